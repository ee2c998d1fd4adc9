//! What policies do to queues that are there already, as long as they are there themselves.

use std::time::Instant;

use super::*;

/// Sets the policy "p" for every queue of a realm.
fn set<const N: usize>(realm: &Realm, definition: [(&str, Datum); N]) {
    realm.operator.policy(&realm.vhost, "p", "", map(definition));
}

fn unset(realm: &Realm) {
    realm.operator.delete_policy(&realm.vhost, Authority::User, "p");
}

/// Publishes to a queue, and says whether that was acked.
#[track_caller]
fn is_taken(channel: &Channel, q: &str, body: &str) -> bool {
    channel.fill(q, [body]);
    channel.next_confirm().0 == (60, 80)
}

// PO-053, PO-054, QU-111, TOP-39
#[test]
fn what_is_too_much_for_a_new_policy_goes_at_once() {
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    for key in ["max-length", "max-length-bytes"] {
        channel.declare(&queue(key).durable());
        channel.fill(key, ["a", "b", "c"]);
        channel.expect_ready(key, 3);
        set(&realm, [(key, 2.into())]);
        channel.expect_left(key, 2);
        channel.fill(key, ["d"]);
        assert_eq!(channel.drain(key), ["c", "d"]);
        unset(&realm);
        channel.fill(key, ["a", "b", "c"]);
        assert_eq!(channel.drain(key), ["a", "b", "c"]);
    }
}

// PO-053, PO-054, QU-114
#[test]
fn queue_refuses_as_long_as_a_policy_says_so() {
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("q"));
    channel.confirm_select();
    assert!(is_taken(&channel, "q", "a"));
    set(&realm, [("max-length", 1.into()), ("overflow", "reject-publish".into())]);
    assert!(!is_taken(&channel, "q", "b"));
    set(&realm, [("max-length", 2.into()), ("overflow", "reject-publish".into())]);
    assert!(is_taken(&channel, "q", "c"));
    assert!(!is_taken(&channel, "q", "d"));
    unset(&realm);
    assert!(is_taken(&channel, "q", "e"));
    assert_eq!(channel.drain("q"), ["a", "c", "e"]);
}

// PO-055, PO-056, PO-057, QU-118, TOP-39
#[test]
fn the_lowest_limit_of_argument_policy_and_operator_holds() {
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("q").arg("x-max-length", 3));
    let holds = |count: usize| {
        channel.fill("q", ["a", "b", "c", "d", "e"]);
        assert_eq!(channel.drain("q").len(), count);
    };
    holds(3);
    set(&realm, [("max-length", 4.into())]);
    holds(3);
    set(&realm, [("max-length", 2.into())]);
    holds(2);
    let operator = &realm.operator;
    operator.operator_policy(&realm.vhost, "o", "", map([("max-length", 1.into())]));
    holds(1);
    unset(&realm);
    holds(1);
    operator.delete_policy(&realm.vhost, Authority::Operator, "o");
    holds(3);
}

// PO-052, PO-058
#[test]
fn policy_that_is_for_another_type_of_queue_leaves_it_to_the_next() {
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("q").durable());
    let set = |name: &str, priority: i64, definition: Map| {
        let draft = Draft { priority: priority.into(), ..Draft::new("", definition) };
        realm.operator.try_policy(&realm.vhost, Authority::User, name, draft).unwrap();
    };
    set("low", 1, map([("max-length", 2.into())]));
    set("high", 2, map([("max-length", 1.into()), ("max-age", "1h".into())]));
    channel.fill("q", ["a", "b", "c"]);
    channel.expect_nothing();
    channel.expect_left("q", 2);
    assert_eq!(channel.drain("q"), ["b", "c"]);
}

// PO-053, PO-054, PO-057, BA-245
#[test]
fn dead_letters_go_where_a_policy_says() {
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("q"));
    channel.declare(&queue("own").args(letters_to("of-argument")));
    for q in ["of-policy", "of-argument"] {
        channel.declare(&queue(q));
    }
    let die = |q: &str, body: &str| {
        channel.fill(q, [body]);
        channel.send(&reject(channel.take(q, body), false));
    };
    die("q", "before");
    channel.expect_nothing();
    let way =
        [("dead-letter-exchange", "".into()), ("dead-letter-routing-key", "of-policy".into())];
    set(&realm, way);
    for q in ["q", "own"] {
        die(q, "m");
    }
    for (dead, q) in [("of-policy", "q"), ("of-argument", "own")] {
        channel.subscribe(dead, dead);
        let letter = channel.delivery();
        assert_eq!(
            (letter.text().as_str(), letter.history()),
            ("m", history([(q, "rejected", 1)]))
        );
    }
    unset(&realm);
    die("q", "after");
    // Whatever came of it would have come before this.
    die("own", "last");
    assert_eq!(channel.delivery().text(), "last");
    channel.expect_nothing();
}

// PO-053, PO-054, QU-109
#[test]
fn what_comes_after_a_policy_lives_as_long_as_that_says() {
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("q"));
    set(&realm, [("message-ttl", 100.into())]);
    let start = Instant::now();
    channel.fill("q", ["a", "b"]);
    channel.expect_nothing();
    channel.expect_left("q", 0);
    assert_not_before(start, 100);
    unset(&realm);
    channel.fill("q", ["c"]);
    outlive(&Connection::open(), 200);
    assert_eq!(channel.drain("q"), ["c"]);
}

// PO-053, QU-104, QU-109: RabbitMQ looks at the head alone.
#[test]
fn messages_without_an_end_do_not_keep_those_behind_them_alive() {
    if !only_on_lepus("RabbitMQ expires at the head of a queue alone") {
        return;
    }
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("q"));
    channel.fill("q", ["stays"]);
    for ttl in [100, 50] {
        channel.expect_nothing();
        set(&realm, [("message-ttl", ttl.into())]);
        channel.fill("q", ["goes"]);
    }
    channel.expect_nothing();
    channel.expect_left("q", 1);
    assert_eq!(channel.drain("q"), ["stays"]);
}

// PO-053, PO-054, QU-100
#[test]
fn unused_queue_goes_when_a_policy_says_so() {
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("used"));
    channel.declare(&queue("q"));
    channel.subscribe("used", "t");
    let start = Instant::now();
    set(&realm, [("expires", 100.into())]);
    loop {
        // A publish is no use.
        channel.publish(&publish("", "q", "m").mandatory());
        channel.send(&flow(true));
        if channel.next().method.id == (60, 50) {
            channel.expect((20, 21));
            break;
        }
        assert!(start.elapsed() < DEADLINE, "the queue is still there");
    }
    assert_not_before(start, 100);
    channel.declare(&queue("used").passive());
}

// PO-054, PO-057, BA-264
#[test]
fn messages_may_fail_as_often_as_a_policy_says() {
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("q").durable().arg("x-queue-type", "quorum"));
    channel.declare(&queue("dead"));
    set(
        &realm,
        [
            ("delivery-limit", 1.into()),
            ("dead-letter-exchange", "".into()),
            ("dead-letter-routing-key", "dead".into()),
        ],
    );
    channel.fill("q", ["m"]);
    channel.subscribe("q", "t");
    for _ in 0..2 {
        channel.send(&reject(channel.delivery().delivery_tag, true));
    }
    channel.subscribe("dead", "dead");
    let letter = channel.delivery();
    assert_eq!(letter.history(), history([("q", "delivery_limit", 1)]));
}

// PO-053, BA-017
#[test]
fn policies_hold_for_queues_after_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let definition = map([("max-length", 1.into()), ("overflow", "reject-publish".into())]);
    private.operator().policy("/", "p", "^q$", definition);
    private.open().channel(1).declare(&queue("q").durable());
    private.restart();
    let channel = private.open().channel(1);
    channel.confirm_select();
    assert!(is_taken(&channel, "q", "a"));
    assert!(!is_taken(&channel, "q", "b"));
    private.operator().delete_policy("/", Authority::User, "p");
    assert!(is_taken(&channel, "q", "c"));
}

// PO-053
#[test]
fn messages_wait_before_they_come_again_as_long_as_a_policy_says_so() {
    if !only_on_lepus("RabbitMQ has no retry-delay") {
        return;
    }
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("q"));
    channel.fill("q", ["m"]);
    set(&realm, [("retry-delay", 150.into())]);
    let start = Instant::now();
    channel.send(&nack(channel.take("q", "m"), true));
    channel.subscribe("q", "t");
    let again = channel.delivery();
    assert_not_before(start, 150);
    set(&realm, [("retry-delay", 3_600_000.into())]);
    unset(&realm);
    channel.send(&nack(again.delivery_tag, true));
    assert_eq!(channel.delivery().text(), "m");
}
