//! Dead letters that arrive at least once: `x-dead-letter-strategy` on quorum queues (QU-120).

use lepus::broker::policy::Authority;

use crate::harness::*;

/// RabbitMQ keeps a dead letter likewise, but tries it again after three minutes.
const SLOW: &str = "RabbitMQ takes three minutes";

fn at_least_once(exchange: &str) -> Table {
    Table::new()
        .with("x-queue-type", "quorum")
        .with("x-dead-letter-exchange", exchange)
        .with("x-dead-letter-routing-key", "dead")
        .with("x-dead-letter-strategy", "at-least-once")
        .with("x-overflow", "reject-publish")
}

/// Publishes a message to a queue and refuses it.
fn kill(channel: &Channel, q: &str, body: &str) {
    channel.publish(&publish("", q, body).persistent());
    channel.expect_ready(q, 1);
    channel.send(&reject(channel.take(q, body), false));
}

#[track_caller]
fn expect_letter(channel: &Channel, dead: &str, q: &str, body: &str) {
    channel.consume(&consume(dead, "letters").no_ack());
    let letter = channel.delivery();
    assert_eq!((letter.text().as_str(), letter.redelivered), (body, true));
    assert_eq!(letter.history(), history([(q, "rejected", 1)]));
    channel.cancel("letters");
}

#[test]
fn dead_letter_waits_for_its_exchange_and_its_binding() {
    if !only_on_lepus(SLOW) {
        return;
    }
    let connection = Connection::open();
    let (channel, x) = (connection.channel(1), name("later"));
    let q = channel.durable_queue(at_least_once(&x));
    kill(&channel, &q, "m");
    outlive(&connection, 1500);
    assert_eq!(channel.get(&q), None);
    channel.call(&exchange(&x, "direct"));
    let dead = channel.queue();
    outlive(&connection, 1500);
    assert_eq!(channel.get(&q), None);
    channel.call(&bind(&dead, &x, "dead"));
    expect_letter(&channel, &dead, &q, "m");
    outlive(&connection, 1500);
    assert_eq!(channel.get(&dead), None);
    channel.call(&delete(&q));
    channel.call(&exchange_delete(&x));
}

#[test]
fn dead_letter_waits_until_every_queue_takes_it() {
    if !only_on_lepus(SLOW) {
        return;
    }
    let connection = Connection::open();
    let channel = connection.channel(1);
    let x = channel.exchange("fanout");
    let full = Table::new().with("x-max-length", 1).with("x-overflow", "reject-publish");
    let (full, free) = (channel.queue_with(full), channel.queue());
    channel.fill(&full, ["first"]);
    channel.call(&bind(&full, &x, ""));
    channel.call(&bind(&free, &x, ""));
    let q = channel.durable_queue(at_least_once(&x));
    kill(&channel, &q, "m");
    outlive(&connection, 1500);
    assert_eq!(channel.get(&free), None);
    assert_eq!(channel.drain(&full), ["first"]);
    expect_letter(&channel, &full, &q, "m");
    expect_letter(&channel, &free, &q, "m");
    outlive(&connection, 1500);
    assert_eq!(channel.get(&free), None);
    channel.call(&delete(&q));
}

#[test]
fn message_that_is_dead_stays_so_after_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable().args(at_least_once("later")));
    channel.confirm_select();
    channel.publish(&publish("", "q", "refused").persistent());
    channel.publish(&publish("", "q", "expired").persistent().expiration("1"));
    channel.expect_acked(2);
    channel.send(&reject(channel.take("q", "refused"), false));
    channel.expect_nothing();
    for _ in 0..2 {
        private.restart();
        let channel = private.open().channel(1);
        channel.subscribe("q", "t");
        channel.expect_nothing();
        outlive(&private.open(), 1500);
        channel.expect_nothing();
    }
    let channel = private.open().channel(1);
    channel.call(&exchange("later", "direct").durable());
    channel.declare(&queue("dead").durable());
    channel.call(&bind("dead", "later", "dead"));
    channel.consume(&consume("dead", "t").no_ack());
    let mut seen: Vec<_> =
        [(); 2].map(|()| channel.delivery()).iter().map(|m| (m.text(), m.history())).collect();
    seen.sort();
    let expected = ["expired", "refused"].map(|body| {
        let reason = if body == "expired" { "expired" } else { "rejected" };
        (body.to_owned(), history([("q", reason, 1)]))
    });
    assert_eq!(seen, expected);
    private.restart();
    let channel = private.open().channel(1);
    assert_eq!(channel.get("q"), None);
    assert_eq!(channel.get("dead"), None);
}

// QU-120: with any other way to make room it is at most once.
#[test]
fn queue_that_drops_its_head_drops_dead_letters_too() {
    let connection = Connection::open();
    let (channel, x) = (connection.channel(1), name("later"));
    let mut arguments = at_least_once(&x);
    arguments.0.retain(|(key, _)| key != "x-overflow");
    let q = channel.durable_queue(arguments);
    kill(&channel, &q, "m");
    channel.expect_nothing();
    channel.call(&exchange(&x, "direct"));
    let dead = channel.queue();
    channel.call(&bind(&dead, &x, "dead"));
    outlive(&connection, 2500);
    assert_eq!(channel.get(&dead), None);
    channel.call(&delete(&q));
    channel.call(&exchange_delete(&x));
}

// PO-054
#[test]
fn strategy_may_come_with_a_policy_and_go_with_it() {
    if !only_on_lepus(SLOW) {
        return;
    }
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    channel.declare(&queue("q").durable().args(Table::new().with("x-queue-type", "quorum")));
    let definition = map([
        ("dead-letter-exchange", "later".into()),
        ("dead-letter-strategy", "at-least-once".into()),
        ("overflow", "reject-publish".into()),
    ]);
    realm.operator.policy(&realm.vhost, "p", "", definition);
    kill(&channel, "q", "m");
    channel.call(&exchange("later", "fanout"));
    channel.declare(&queue("dead"));
    channel.call(&bind("dead", "later", ""));
    expect_letter(&channel, "dead", "q", "m");
    channel.call(&exchange_delete("later"));
    kill(&channel, "q", "n");
    realm.operator.delete_policy(&realm.vhost, Authority::User, "p");
    outlive(&Connection::open(), 1500);
    assert_eq!(channel.get("q"), None);
}

#[test]
fn letter_is_tried_again_after_a_restart_wherever_its_message_stands() {
    let Some(mut private) = private_broker("resident_max = \"1MiB\"") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable().args(at_least_once("")));
    channel.confirm_select();
    for number in 0..60 {
        let message = publish("", "q", vec![b'm'; 100_000]).persistent();
        channel.publish(&if number == 50 { message.expiration("1") } else { message });
    }
    channel.expect_acked(60);
    // It is dead, and there is nobody for its letter.
    channel.expect_left("q", 59);
    private.restart();
    private.restart();

    let channel = private.open().channel(1);
    channel.declare(&queue("dead").durable());
    channel.subscribe("dead", "letters");
    assert_eq!(channel.delivery().history(), history([("q", "expired", 1)]));
    channel.expect_left("q", 59);
}

#[test]
fn purge_takes_what_is_dead_along() {
    if !only_on_lepus(SLOW) {
        return;
    }
    let connection = Connection::open();
    let channel = connection.channel(1);
    let x = channel.exchange("fanout");
    let q = channel.durable_queue(at_least_once(&x));
    kill(&channel, &q, "m");
    channel.expect_nothing();
    channel.call(&purge(&q));
    let dead = channel.queue();
    channel.call(&bind(&dead, &x, ""));
    outlive(&connection, 1500);
    assert_eq!(channel.get(&dead), None);
    channel.call(&delete(&q));
}
