//! Policies: COMPATIBILITY chapter 6.3. What they do to queues is in `queues`.

mod queues;

use lepus::broker::{
    datum::{Datum, Map},
    policy::{Authority, Draft},
};

use crate::harness::*;

/// A realm with a queue that gets what an exchange cannot route.
fn realm() -> (Realm, Channel) {
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("lost"));
    for (name, arguments) in [
        ("orders.new", Table::new()),
        ("orders.own", Table::new().with("alternate-exchange", "amq.direct")),
        ("other", Table::new()),
    ] {
        channel.call(&exchange(name, "direct").args(arguments));
    }
    channel.call(&bind("lost", "amq.fanout", ""));
    (realm, channel)
}

/// Whether what an exchange cannot route gets to the queue.
fn is_caught(channel: &Channel, exchange: &str) -> bool {
    channel.publish(&publish(exchange, "nowhere", exchange));
    channel.expect_settled();
    !channel.drain("lost").is_empty()
}

// PO-053, PO-057, TOP-39
#[test]
fn an_alternate_exchange_comes_and_goes_with_its_policy() {
    let (realm, channel) = realm();
    assert!(!is_caught(&channel, "orders.new"));
    let definition = map([("alternate-exchange", "amq.fanout".into())]);
    realm.operator.policy(&realm.vhost, "ae", "^orders", definition);
    assert!(is_caught(&channel, "orders.new"));
    assert!(!is_caught(&channel, "orders.own"), "its own argument counts");
    assert!(!is_caught(&channel, "other"));
    channel.call(&exchange("orders.later", "direct"));
    assert!(is_caught(&channel, "orders.later"));
    realm.operator.delete_policy(&realm.vhost, Authority::User, "ae");
    assert!(!is_caught(&channel, "orders.new"));
    assert!(!is_caught(&channel, "orders.later"));
}

// PO-051, PO-052
#[test]
fn the_policy_of_the_highest_priority_applies_to_what_it_is_for() {
    let (realm, channel) = realm();
    let set = |name: &str, apply_to: &str, priority: i64, exchange: &str| {
        let definition = map([("alternate-exchange", exchange.into())]);
        let draft = Draft {
            apply_to: apply_to.into(),
            priority: priority.into(),
            ..Draft::new(".*", definition)
        };
        realm.operator.try_policy(&realm.vhost, Authority::User, name, draft).unwrap();
    };
    set("low", "all", 1, "amq.fanout");
    assert!(is_caught(&channel, "other"));
    set("high", "exchanges", 2, "amq.direct");
    assert!(!is_caught(&channel, "other"));
    set("high", "queues", 2, "amq.direct");
    assert!(is_caught(&channel, "other"));
    set("high", "exchanges", 0, "amq.direct");
    assert!(is_caught(&channel, "other"));
}

// PO-055, PO-059, PO-060: RabbitMQ's texts.
#[test]
fn a_policy_that_makes_no_sense_is_refused_in_words() {
    let realm = Realm::new();
    let refused = |authority: Authority, draft: Draft| {
        realm.operator.try_policy(&realm.vhost, authority, "p", draft).unwrap_err()
    };
    let user =
        |key: &str, value: Datum| refused(Authority::User, Draft::new("", map([(key, value)])));
    let failed = |line: &str| format!("Validation failed\n\n{line}\n");
    let empty = refused(Authority::User, Draft::new("", map([])));
    assert_eq!(empty, failed("no policy provided"));
    let unknown = failed("[{<<\"foo\">>,10}] are not recognised policy settings");
    assert_eq!(user("foo", 10.into()), unknown);
    for (key, value, line) in [
        ("max-length", "x".into(), "<<\"x\">> is not a valid maximum length"),
        ("max-length-bytes", (-1).into(), "-1 is not a valid maximum length in bytes"),
        ("message-ttl", (-1).into(), "-1 is not a valid message TTL"),
        ("expires", 0.into(), "0 is not a valid queue expiry"),
        ("overflow", "x".into(), "<<\"x\">> is not a valid overflow value"),
        ("delivery-limit", "x".into(), "<<\"x\">> is not a valid delivery limit"),
        ("dead-letter-strategy", "x".into(), "<<\"x\">> is not a valid dead letter strategy"),
        ("alternate-exchange", 1.into(), "1 is not a valid alternate exchange name"),
        ("queue-mode", "x".into(), "<<\"x\">> is not a valid queue-mode value"),
        // QU-134: that is for arguments alone.
        ("max-priority", 5.into(), "[{<<\"max-priority\">>,5}] are not recognised policy settings"),
    ] {
        assert_eq!(user(key, value), failed(line));
    }
    let operators = map([("dead-letter-exchange", "x".into())]);
    let line = "[{<<\"dead-letter-exchange\">>,<<\"x\">>}] are not recognised policy settings";
    assert_eq!(refused(Authority::Operator, Draft::new("", operators)), failed(line));
    let pattern = refused(Authority::User, Draft::new("(", map([("max-length", 1.into())])));
    let start = "Validation failed\n\npattern should be regular expression but is invalid: {\"";
    assert!(pattern.starts_with(start), "{pattern}");
    let draft = Draft {
        apply_to: "foo".into(),
        priority: "x".into(),
        ..Draft::new("", map([("max-length", 1.into())]))
    };
    let lines = "apply-to 'foo' unrecognised; should be one of: 'queues', 'classic_queues',  \
                 'quorum_queues', 'streams', 'exchanges', or 'all'\npriority should be a number, \
                 actually was <<\"x\">>";
    assert_eq!(refused(Authority::User, draft), failed(lines));
}

#[test]
fn policies_survive_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let operator = private.operator();
    operator.policy("/", "gone", "", map([("max-length", 1.into())]));
    operator.delete_policy("/", Authority::User, "gone");
    operator.policy("/", "ae", "^x$", map([("alternate-exchange", "amq.fanout".into())]));
    operator.operator_policy("/", "ae", "", map([("max-length", 5.into())]));
    let channel = private.open().channel(1);
    channel.call(&exchange("x", "direct").durable());
    channel.declare(&queue("lost").durable());
    channel.call(&bind("lost", "amq.fanout", ""));
    private.restart();
    assert!(is_caught(&private.open().channel(1), "x"));
    let Operator::Lepus(admin) = private.operator() else { unreachable!("ours") };
    let names = |authority| {
        let policies = admin.policies("/", authority).unwrap();
        policies.iter().map(|policy| policy.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(Authority::User), ["ae"]);
    assert_eq!(names(Authority::Operator), ["ae"]);
}
