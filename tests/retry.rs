//! Messages that wait before they are tried again: `x-retry-delay`, `x-retry-delay-max`. Lepus's
//! own; RabbitMQ has no such thing on classic queues.

use std::time::{Duration, Instant};

use crate::harness::*;

const OURS: &str = "RabbitMQ has no x-retry-delay";

fn retry(delay: i32) -> Table {
    Table::new().with("x-retry-delay", delay)
}

/// Waits until everything that was sent on the connection before is on the disk: the confirm of a
/// message that is behind it says so.
#[track_caller]
fn expect_written(connection: &Connection) {
    let channel = connection.channel(50);
    channel.declare(&queue("mark").durable());
    channel.confirm_select();
    channel.fill_persistent("mark", ["m"]);
    channel.expect_acked(1);
    channel.close();
}

#[test]
fn message_that_failed_comes_again_after_its_delay() {
    if !only_on_lepus(OURS) {
        return;
    }
    let channel = Channel::open();
    let q = channel.queue_with(retry(150));
    channel.subscribe(&q, "t");
    for back in [nack(0, true).multiple(), recover(true)] {
        channel.fill(&q, ["m"]);
        channel.delivery();
        let start = Instant::now();
        if back.id == (60, 110) {
            channel.call(&back);
        } else {
            channel.send(&back);
        }
        let again = channel.delivery();
        assert_not_before(start, 150);
        assert_eq!((again.text().as_str(), again.redelivered), ("m", true));
        channel.send(&ack(again.delivery_tag));
    }
}

#[test]
fn others_go_first_while_a_message_waits() {
    if !only_on_lepus(OURS) {
        return;
    }
    let channel = Channel::open();
    let q = channel.queue_with(retry(200));
    channel.call(&qos(1));
    channel.fill(&q, ["a", "b", "c"]);
    channel.subscribe(&q, "t");
    let first = channel.delivery();
    channel.send(&reject(first.delivery_tag, true));
    for body in ["b", "c", "a"] {
        let next = channel.delivery();
        assert_eq!(next.text(), body);
        channel.send(&ack(next.delivery_tag));
    }
}

#[test]
fn delay_doubles_up_to_its_maximum() {
    if !only_on_lepus(OURS) {
        return;
    }
    let channel = Channel::open();
    let q = channel.queue_with(retry(50).with("x-retry-delay-max", 150));
    channel.fill(&q, ["m"]);
    channel.subscribe(&q, "t");
    let mut message = channel.delivery();
    for delay in [50, 100, 150, 150] {
        let start = Instant::now();
        channel.send(&nack(message.delivery_tag, true));
        message = channel.delivery();
        assert_not_before(start, delay);
    }
}

#[test]
fn messages_of_a_lost_consumer_wait_too() {
    if !only_on_lepus(OURS) {
        return;
    }
    let channel = Channel::open();
    let q = channel.durable_queue(retry(150));
    channel.fill(&q, ["a", "b"]);
    let consumer = Channel::open();
    consumer.subscribe(&q, "t");
    consumer.deliveries(2);
    let start = Instant::now();
    consumer.close();
    channel.subscribe(&q, "t");
    assert_eq!(channel.deliveries(2), ["a", "b"]);
    assert_not_before(start, 150);
    channel.call(&delete(&q));
}

#[test]
fn messages_that_wait_are_counted_apart() {
    let Some(private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("q").args(retry(3_600_000)));
    channel.fill("q", ["a", "b", "c"]);
    channel.send(&nack(channel.take("q", "a"), true));
    channel.take("q", "b");
    let shown = private.api().get("/queues/%2F/q");
    let counts = ["messages_ready", "messages_unacknowledged", "messages_delayed", "messages"];
    // As RabbitMQ counts the delayed messages of its quorum queues.
    assert_eq!(counts.map(|name| shown[name].as_u64().unwrap()), [1, 1, 1, 3]);
}

#[test]
fn message_that_waits_can_be_purged() {
    if !only_on_lepus(OURS) {
        return;
    }
    let connection = Connection::open();
    let channel = connection.channel(1);
    let q = channel.queue_with(retry(150));
    channel.fill(&q, ["m"]);
    channel.send(&nack(channel.take(&q, "m"), true));
    channel.expect_nothing();
    assert_eq!(channel.get(&q), None);
    channel.call(&purge(&q));
    outlive(&connection, 200);
    assert_eq!(channel.get(&q), None);
}

#[test]
fn message_expires_while_it_waits() {
    if !only_on_lepus(OURS) {
        return;
    }
    let connection = Connection::open();
    let (channel, letters) = (connection.channel(1), DeadLetters::open());
    let q = channel.queue_with(letters.args().with("x-retry-delay", 3_600_000));
    channel.subscribe(&q, "t");
    let start = Instant::now();
    channel.publish(&publish("", &q, "m").expiration("200"));
    channel.send(&nack(channel.delivery().delivery_tag, true));
    let letter = letters.next();
    assert_not_before(start, 200);
    assert_eq!(letter.history(), history([(&q, "expired", 1)]));
}

// BA-264
#[test]
fn message_waits_between_its_failures_and_then_dies() {
    if !only_on_lepus(OURS) {
        return;
    }
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let arguments = letters.args().with("x-queue-type", "quorum").with("x-delivery-limit", 2);
    let q = channel.durable_queue(arguments.with("x-retry-delay", 60));
    let start = Instant::now();
    channel.fill(&q, ["m"]);
    channel.subscribe(&q, "t");
    for _ in 0..3 {
        let message = channel.delivery();
        channel.send(&reject(message.delivery_tag, true));
    }
    assert_not_before(start, 120);
    assert_eq!(letters.next().history(), history([(&q, "delivery_limit", 1)]));
    channel.call(&delete(&q));
}

#[test]
fn restart_neither_ends_a_wait_nor_begins_it_anew() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("short").durable().args(retry(1000)));
    channel.declare(&queue("long").durable().args(retry(3_600_000)));
    channel.confirm_select();
    for q in ["short", "long"] {
        channel.fill_persistent(q, ["a", "b"]);
    }
    channel.expect_acked(4);
    let start = Instant::now();
    for q in ["short", "long"] {
        channel.send(&nack(channel.take(q, "a"), true));
    }
    channel.expect_nothing();
    private.restart();
    private.restart();

    let connection = private.open();
    let (short, long) = (connection.channel(1), connection.channel(2));
    short.subscribe("short", "t");
    for (body, redelivered) in [("b", false), ("a", true)] {
        let message = short.delivery();
        assert_eq!((message.text().as_str(), message.redelivered), (body, redelivered));
    }
    let passed = start.elapsed();
    assert_not_before(start, 1000);
    assert!(passed < Duration::from_secs(10), "the wait began anew: {passed:?}");
    long.subscribe("long", "t");
    assert_eq!(long.delivery().text(), "b");
    outlive(&private.open(), 300);
    long.expect_nothing();
}

// BA-262
#[test]
fn kill_neither_ends_a_wait_nor_begins_it_anew() {
    const DELAY: i32 = 5000;
    if !only_on_lepus(OURS) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let lepus = Lepus::start(home.path());
    let connection = lepus.options.open();
    let channel = connection.channel(1);
    for (q, queue_type, delay) in
        [("classic", "classic", DELAY), ("quorum", "quorum", DELAY), ("long", "classic", 3_600_000)]
    {
        channel.declare(&queue(q).durable().args(retry(delay).with("x-queue-type", queue_type)));
    }
    let start = Instant::now();
    for q in ["classic", "quorum", "long"] {
        channel.fill_persistent(q, ["m"]);
        channel.send(&reject(channel.take(q, "m"), true));
    }
    channel.fill_persistent("long", ["next"]);
    outlive(&connection, DELAY / 2);
    expect_written(&connection);
    lepus.kill();
    Lepus::start(home.path()).kill();

    let lepus = Lepus::start(home.path());
    let restart = Instant::now();
    let connection = lepus.options.open();
    let channel = connection.channel(1);
    for q in ["classic", "quorum"] {
        channel.subscribe(q, q);
        let message = channel.delivery();
        let waited = restart.elapsed();
        assert_not_before(start, DELAY);
        assert!(waited < Duration::from_millis(DELAY as u64), "it began anew: {waited:?}");
        assert!(message.redelivered);
        let count = (q == "quorum").then_some(Value::I64(1));
        let headers = message.properties.headers.unwrap_or_default();
        assert_eq!(headers.get("x-delivery-count"), count.as_ref());
        channel.send(&ack(message.delivery_tag));
    }
    channel.subscribe("long", "long");
    assert_eq!(channel.delivery().text(), "next");
    channel.expect_nothing();
    lepus.kill();
}

// BA-264
#[test]
fn kill_forgets_no_return() {
    if !only_on_lepus(OURS) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let lepus = Lepus::start(home.path());
    let connection = lepus.options.open();
    let channel = connection.channel(1);
    channel.declare(&queue("dead").durable());
    let queues = ["classic", "quorum"];
    for queue_type in queues {
        let arguments = letters_to("dead").with("x-queue-type", queue_type);
        let back_off = arguments.with("x-retry-delay", 100).with("x-retry-delay-max", 60_000);
        channel.declare(&queue(queue_type).durable().args(back_off.with("x-delivery-limit", 3)));
    }
    for q in queues {
        channel.subscribe(q, q);
        channel.fill_persistent(q, ["m"]);
        for _ in 0..2 {
            channel.send(&reject(channel.delivery().delivery_tag, true));
        }
        channel.cancel(q);
    }
    expect_written(&connection);
    lepus.kill();

    let lepus = Lepus::start(home.path());
    let channel = lepus.options.open().channel(1);
    for q in queues {
        channel.subscribe(q, q);
        let third = channel.delivery();
        let start = Instant::now();
        channel.send(&reject(third.delivery_tag, true));
        let last = channel.delivery();
        // It is the third return, not the first.
        assert_not_before(start, 400);
        channel.send(&reject(last.delivery_tag, true));
        channel.subscribe("dead", "dead");
        assert_eq!(channel.delivery().history(), history([(q, "delivery_limit", 1)]));
        channel.cancel("dead");
    }
    lepus.kill();
}

#[test]
fn messages_that_only_the_disk_holds_wait_too() {
    let Some(private) = private_broker("resident_max = \"1MiB\"") else { return };
    let connection = private.open();
    let channel = connection.channel(1);
    let q = channel.declare(&queue("q").durable().args(retry(700))).queue;
    channel.confirm_select();
    // More than a channel keeps in memory of what is not acknowledged.
    let bodies: Vec<Vec<u8>> = (0..80_u8).map(|number| vec![number; 100_000]).collect();
    for body in &bodies {
        channel.publish(&publish("", &q, body.clone()).persistent());
    }
    channel.expect_acked(80);
    channel.subscribe(&q, "t");
    let mut last = 0;
    for body in &bodies {
        let message = channel.delivery();
        assert_eq!(message.body, *body);
        last = message.delivery_tag;
    }
    let start = Instant::now();
    channel.send(&nack(last, true).multiple());
    for body in &bodies {
        let message = channel.delivery();
        assert_not_before(start, 700);
        assert_eq!((&message.body, message.redelivered), (body, true));
    }
    channel.send(&ack(0).multiple());
    channel.call(&delete(&q));
}
