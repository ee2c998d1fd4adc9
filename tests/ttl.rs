//! Messages whose time is over: `x-message-ttl` and `expiration`.

use std::time::Instant;

use crate::harness::*;

fn ttl(ms: i32) -> Table {
    Table::new().with("x-message-ttl", ms)
}

// QU-103
#[test]
fn message_goes_when_its_time_is_over_and_not_before() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    for (arguments, expiration) in [
        (letters.args().with("x-message-ttl", 150), None),
        (letters.args(), Some("150")),
        (letters.args().with("x-message-ttl", 60_000), Some("150")),
        (letters.args().with("x-message-ttl", 150), Some("60000")),
    ] {
        let q = channel.queue_with(arguments);
        let start = Instant::now();
        let mut message = publish("", &q, "m");
        message.properties.expiration = expiration.map(str::to_owned);
        channel.publish(&message);
        let letter = letters.next();
        assert_not_before(start, 150);
        assert_eq!(letter.history(), history([(&q, "expired", 1)]));
        assert_eq!(channel.get(&q), None);
    }
}

// QU-103
#[test]
fn expired_message_is_counted_no_more() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let q = channel.queue_with(ttl(20));
    channel.confirm_select();
    channel.fill(&q, ["a", "b"]);
    channel.expect_acked(2);
    outlive(&connection, 30);
    assert_eq!(channel.get(&q), None);
    assert_eq!(channel.count(&delete(&q)), 0);
}

// QU-106, BA-048
#[test]
fn message_without_a_moment_to_live_is_dead_at_once_and_acked() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let by_queue = channel.queue_with(letters.args().with("x-message-ttl", 0));
    let by_message = channel.queue_with(letters.args());
    channel.confirm_select();
    channel.publish(&publish("", &by_queue, "a"));
    assert_eq!(letters.next().text(), "a");
    channel.publish(&publish("", &by_message, "b").expiration("0"));
    assert_eq!(letters.next().text(), "b");
    channel.expect_acked(2);
    assert_eq!(channel.get(&by_queue), None);
    assert_eq!(channel.get(&by_message), None);
}

// QU-106, TOP-28
#[test]
fn consumer_that_waits_gets_a_message_without_a_moment_to_live() {
    let channel = Channel::open();
    let by_queue = channel.queue_with(ttl(0));
    let by_message = channel.queue();
    channel.subscribe(&by_queue, "one");
    channel.subscribe(&by_message, "two");
    channel.publish(&publish("", &by_queue, "a"));
    assert_eq!(channel.delivery().text(), "a");
    channel.publish(&publish("", &by_message, "b").expiration("0"));
    assert_eq!(channel.delivery().text(), "b");
}

// QU-107
#[test]
fn message_without_a_moment_to_live_is_not_returned() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.confirm_select();
    channel.publish(&publish("", &q, "m").expiration("0").mandatory());
    assert_eq!(channel.next_confirm().1, 1);
    channel.expect_nothing();
}

// QU-108, TOP-28
#[test]
fn requeue_does_not_prolong_a_life() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel.queue_with(letters.args().with("x-message-ttl", 100));
    channel.call(&qos(1));
    channel.subscribe(&q, "t");
    channel.fill(&q, ["first", "second"]);
    let first = channel.delivery();
    assert_eq!(first.text(), "first");
    channel.cancel("t");
    // The second expires later than the first would have.
    assert_eq!(letters.next().text(), "second");
    channel.send(&nack(first.delivery_tag, true));
    let letter = letters.next();
    assert_eq!(letter.text(), "first");
    assert_eq!(letter.history(), history([(&q, "expired", 1)]));
    assert_eq!(channel.get(&q), None);
}

// QU-103
#[test]
fn delivered_message_does_not_expire() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel.queue_with(letters.args().with("x-message-ttl", 50));
    channel.call(&qos(1));
    channel.subscribe(&q, "t");
    channel.fill(&q, ["first", "second"]);
    let first = channel.delivery();
    assert_eq!(first.text(), "first");
    assert_eq!(letters.next().text(), "second");
    channel.cancel("t");
    channel.send(&ack(first.delivery_tag));
    channel.fill(&q, ["third"]);
    assert_eq!(letters.next().text(), "third");
}

// QU-104, TOP-28
#[test]
fn expired_message_behind_a_longer_life_is_never_delivered() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let q = channel.queue();
    channel.publish(&publish("", &q, "a"));
    channel.publish(&publish("", &q, "b").expiration("20"));
    channel.publish(&publish("", &q, "c").expiration("60000"));
    channel.publish(&publish("", &q, "d").expiration("20"));
    outlive(&connection, 30);
    assert_eq!(channel.drain(&q), ["a", "c"]);
}

// QU-105
#[test]
fn consumer_does_not_get_what_expired_while_it_was_busy() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let q = channel.queue();
    channel.call(&qos(1));
    channel.subscribe(&q, "t");
    channel.publish(&publish("", &q, "a"));
    let first = channel.delivery();
    channel.publish(&publish("", &q, "b").expiration("20"));
    channel.publish(&publish("", &q, "c"));
    outlive(&connection, 30);
    channel.send(&ack(first.delivery_tag));
    assert_eq!(channel.delivery().text(), "c");
}

// QU-104: RabbitMQ looks at the head alone.
#[test]
fn message_expires_wherever_it_stands() {
    if !only_on_lepus("RabbitMQ expires at the head of a queue alone") {
        return;
    }
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel.queue_with(letters.args());
    let mortal = |body: &str, expiration: &str| publish("", &q, body).expiration(expiration);
    channel.publish_together(&[
        publish("", &q, "stays"),
        mortal("third", "300"),
        mortal("first", "50"),
        mortal("second", "150"),
        mortal("stays too", "60000"),
    ]);
    assert_eq!(letters.bodies(3), ["first", "second", "third"]);
    assert_eq!(channel.drain(&q), ["stays", "stays too"]);
}

// QU-103
#[test]
fn a_thousand_lives_end_in_the_order_of_their_ends() {
    if !only_on_lepus("RabbitMQ expires at the head of a queue alone") {
        return;
    }
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel.queue_with(letters.args());
    let start = Instant::now();
    let lives = (0..1000).map(|n| (500 + (n * 7 % 10) * 200).to_string());
    let messages: Vec<_> =
        lives.map(|life| publish("", &q, life.as_str()).expiration(&life)).collect();
    channel.publish_together(&messages);
    let mut last = 0;
    for _ in 0..1000 {
        let life: i32 = letters.next().text().parse().unwrap();
        assert!(life >= last, "{life} after {last}");
        last = life;
        assert_not_before(start, life);
    }
    assert_eq!(channel.get(&q), None);
}

// QU-103, BA-017
#[test]
fn deadline_outlives_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("dead").durable());
    channel.declare(&queue("q").durable().args(letters_to("dead")));
    channel
        .declare(&queue("by-queue").durable().args(letters_to("dead").with("x-message-ttl", 400)));
    channel.confirm_select();
    let start = Instant::now();
    channel.publish(&publish("", "q", "stays").persistent());
    channel.publish(&publish("", "q", "by message").persistent().expiration("800"));
    channel.publish(&publish("", "q", "stays too").persistent().expiration("3600000"));
    channel.publish(&publish("", "by-queue", "by queue").persistent());
    channel.expect_acked(4);
    private.restart();

    let channel = private.open().channel(1);
    channel.consume(&consume("dead", "t").no_ack());
    let letter = channel.delivery();
    assert_eq!((letter.text().as_str(), letter.redelivered), ("by queue", false));
    assert_not_before(start, 400);
    // It stands behind one that stays.
    let letter = channel.delivery();
    assert_eq!(letter.text(), "by message");
    assert_not_before(start, 800);
    assert_eq!(letter.history(), history([("q", "expired", 1)]));
    assert_eq!(letter.deaths()[0].text("original-expiration"), "800");
    assert_eq!(channel.drain("q"), ["stays", "stays too"]);
}

// QU-103
#[test]
fn message_whose_time_ended_during_a_stop_is_never_delivered() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable());
    channel.declare(&queue("consumed").durable());
    channel.confirm_select();
    for q in ["q", "consumed"] {
        channel.publish(&publish("", q, "dead").persistent().expiration("1"));
        channel.publish(&publish("", q, "alive").persistent());
    }
    channel.expect_acked(4);
    private.restart();

    let channel = private.open().channel(1);
    assert_eq!(channel.drain("q"), ["alive"]);
    channel.subscribe("consumed", "t");
    assert_eq!(channel.delivery().text(), "alive");
}

/// A broker that keeps little in memory, with a queue "q" of messages of which the hundredth and
/// each hundredth after it live for `ms`, and the others for long. Dead letters go to "dead".
fn with_deep_deadlines(private: &PrivateBroker, arguments: Table, persistent: bool, ms: i32) {
    let channel = private.open().channel(1);
    channel.declare(&queue("dead").durable());
    let mut all = letters_to("dead");
    all.0.extend(arguments.0);
    channel.declare(&queue("q").durable().args(all));
    channel.confirm_select();
    for number in 0..600_u64 {
        let mut message = publish("", "q", vec![b'm'; 20_000]);
        if persistent {
            message = message.persistent();
        }
        if number % 100 == 99 {
            message = message.expiration(&ms.to_string());
        }
        channel.publish(&message);
    }
    channel.expect_acked(600);
}

/// The deep ones are over, and nothing else is.
#[track_caller]
fn expect_deep_deaths(private: &PrivateBroker, start: Instant, ms: i32) {
    let channel = private.open().channel(1);
    channel.consume(&consume("dead", "t").no_ack());
    for _ in 0..6 {
        let letter = channel.delivery();
        assert_not_before(start, ms);
        assert_eq!(letter.history(), history([("q", "expired", 1)]));
    }
    channel.expect_ready("q", 594);
    channel.expect_nothing();
    assert_eq!(channel.drain("q").len(), 594);
}

// QU-104: RabbitMQ looks at the head alone.
#[test]
fn message_expires_deep_in_what_left_memory() {
    for persistent in [true, false] {
        let Some(private) = private_broker("resident_max = \"1MiB\"") else { return };
        let start = Instant::now();
        with_deep_deadlines(&private, Table::new(), persistent, 1000);
        expect_deep_deaths(&private, start, 1000);
    }
}

// QU-104
#[test]
fn message_expires_deep_in_what_a_restart_left_on_the_disk() {
    let Some(mut private) = private_broker("resident_max = \"1MiB\"") else { return };
    let start = Instant::now();
    with_deep_deadlines(&private, Table::new().with("x-queue-type", "quorum"), true, 3000);
    private.restart();
    expect_deep_deaths(&private, start, 3000);
}

// QU-104
#[test]
fn message_expires_that_came_back_and_left_memory() {
    let Some(private) = private_broker("resident_max = \"1MiB\"") else { return };
    let start = Instant::now();
    with_deep_deadlines(&private, Table::new(), true, 4000);
    let channel = private.open().channel(1);
    channel.subscribe("q", "t");
    let mut last = 0;
    for _ in 0..600 {
        last = channel.delivery().delivery_tag;
    }
    channel.cancel("t");
    channel.send(&nack(last, true).multiple());
    expect_deep_deaths(&private, start, 4000);
}
