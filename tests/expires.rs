//! Queues that go when nobody uses them: `x-expires`.

use std::time::{Duration, Instant};

use crate::harness::*;

fn unused(ms: i32) -> Table {
    Table::new().with("x-expires", ms)
}

/// Waits until a queue is gone. Publishing is no use of it (QU-100).
#[track_caller]
fn expect_gone(connection: &Connection, q: &str) {
    let channel = connection.channel(97);
    let start = Instant::now();
    loop {
        channel.publish(&publish("", q, "m").mandatory());
        channel.send(&flow(true));
        if channel.next().method.id == (60, 50) {
            channel.expect((20, 21));
            channel.close();
            return;
        }
        assert!(start.elapsed() < DEADLINE, "the queue is still there");
    }
}

fn missing(name: &str) -> String {
    format!("NOT_FOUND - no queue '{name}' in vhost '/'")
}

// QU-100
#[test]
fn unused_queue_goes_when_its_time_is_over_and_not_before() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let start = Instant::now();
    let q = channel.durable_queue(unused(200));
    expect_gone(&connection, &q);
    assert_not_before(start, 200);
    channel.refused(&queue(&q).passive(), 404, missing(&q));
    // The name is free, and what comes under it is new.
    channel.reopen();
    assert_eq!(channel.declare(&queue(&q).durable()).messages, 0);
    channel.call(&delete(&q));
}

// QU-100
#[test]
fn bindings_go_with_an_expired_queue() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let x = channel.exchange("fanout");
    let q = channel.queue_with(unused(100));
    let kept = channel.queue();
    channel.call(&bind(&q, &x, ""));
    channel.call(&bind(&kept, &x, ""));
    expect_gone(&connection, &q);
    channel.call(&unbind(&kept, &x, ""));
    // That was the last binding of an exchange that goes with it.
    channel.refused(
        &exchange(&x, "fanout").passive(),
        404,
        format!("NOT_FOUND - no exchange '{x}' in vhost '/'"),
    );
}

// QU-100, QU-102, TOP-27
#[test]
fn queue_with_a_consumer_stays_and_goes_after_it() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    for ends_with in ["cancel", "close of the channel"] {
        let q = channel.durable_queue(unused(1000));
        channel.subscribe(&q, "t");
        outlive(&connection, 1500);
        channel.declare(&queue(&q).passive());
        let start = Instant::now();
        if ends_with == "cancel" {
            channel.cancel("t");
        } else {
            channel.close();
            channel.reopen();
        }
        expect_gone(&connection, &q);
        assert_not_before(start, 1000);
    }
}

// QU-100, TOP-27
#[test]
fn get_and_declare_are_uses() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let got = channel.durable_queue(unused(3000));
    let declared = channel.durable_queue(unused(3000));
    let looked_at = channel.durable_queue(unused(3000));
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(4500) {
        channel.get_by(&get(&got).no_ack());
        channel.declare(&queue(&declared).durable().args(unused(3000)));
        channel.declare(&queue(&looked_at).passive());
    }
    for q in [got, declared, looked_at] {
        expect_gone(&connection, &q);
    }
}

// QU-101
#[test]
fn messages_of_an_expired_queue_are_no_dead_letters() {
    let connection = Connection::open();
    let (channel, letters) = (connection.channel(1), DeadLetters::open());
    let q = channel.queue_with(letters.args().with("x-expires", 100));
    channel.fill(&q, ["lost"]);
    expect_gone(&connection, &q);
    let alive = channel.queue_with(letters.args().with("x-message-ttl", 0));
    channel.fill(&alive, ["dead"]);
    assert_eq!(letters.next().text(), "dead");
}

// QU-102
#[test]
fn time_of_an_unused_queue_begins_anew_with_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable().args(unused(1500)));
    channel.confirm_select();
    channel.publish(&publish("", "q", "m").persistent());
    channel.expect_acked(1);
    private.stop();
    let start = Instant::now();
    private.restart();
    let connection = private.open();
    expect_gone(&connection, "q");
    assert_not_before(start, 1500);
    // It does not come back, and neither do its messages.
    private.restart();
    let channel = private.open().channel(1);
    channel.refused(&queue("q").passive(), 404, missing("q"));
    channel.reopen();
    assert_eq!(channel.declare(&queue("q").durable()).messages, 0);
}
