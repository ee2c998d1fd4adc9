//! The delivery acknowledgement timeout (consumer timeout).

use std::time::Instant;

use crate::harness::*;

const OURS: &str = "RabbitMQ 4.3 knows consumer timeouts on quorum queues alone";
const MS: i32 = 300;

fn timeout() -> Table {
    Table::new().with("x-consumer-timeout", MS)
}

fn quorum() -> Table {
    Table::new().with("x-queue-type", "quorum")
}

fn text(timeout: i32) -> String {
    format!(
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value \
         used: {timeout} ms. This timeout value can be configured, see consumers doc guide to \
         learn more"
    )
}

/// A consumer of this queue keeps a delivery until its channel is closed for that.
#[track_caller]
fn expect_closed(channel: &Channel, queue: &str, arguments: Table) {
    channel.call(&qos(1));
    let start = Instant::now();
    channel.consume(&consume(queue, "t").args(arguments));
    channel.delivery();
    channel.expect_close(406, text(MS), (0, 0));
    assert_not_before(start, MS);
}

// BA-140, BA-142
#[test]
fn channel_that_keeps_a_delivery_for_too_long_is_closed() {
    if !only_on_lepus(OURS) {
        return;
    }
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let of_queue = other.queue_with(timeout());
    let of_consumer = other.queue();
    for (q, arguments) in [(of_queue, Table::new()), (of_consumer, timeout())] {
        other.fill(&q, ["a", "b", "c"]);
        expect_closed(&channel, &q, arguments);
        // Everything is back, in order, and what had been delivered is redelivered.
        let first = other.get(&q).unwrap();
        assert_eq!((first.text().as_str(), first.redelivered), ("a", true));
        other.send(&ack(first.delivery_tag));
        assert_eq!(other.drain(&q), ["b", "c"]);
        channel.reopen();
    }
}

// BA-142
#[test]
fn message_that_was_got_must_be_settled_in_time_too() {
    if !only_on_lepus(OURS) {
        return;
    }
    let channel = Channel::open();
    let q = channel.queue_with(timeout());
    channel.fill(&q, ["m"]);
    channel.take(&q, "m");
    channel.expect_close(406, text(MS), (0, 0));
    channel.reopen();
    channel.take(&q, "m");
}

// BA-142, PO-054
#[test]
fn policy_sets_the_timeout_of_live_queues() {
    if !only_on_lepus(OURS) {
        return;
    }
    let realm = Realm::permitting(EVERYTHING);
    let (channel, other) = (realm.channel(), realm.channel());
    channel.declare(&queue("q"));
    channel.declare(&queue("lower").args(timeout()));
    channel.declare(&queue("higher").arg("x-consumer-timeout", 3_600_000));
    let set = |ms: i32| {
        let definition = map([("consumer-timeout", i64::from(ms).into())]);
        realm.operator.policy(&realm.vhost, "slow", "", definition);
    };
    for (q, ms) in [("q", MS), ("higher", MS), ("lower", 3_600_000)] {
        set(ms);
        other.fill(q, ["m"]);
        expect_closed(&channel, q, Table::new());
        channel.reopen();
    }
    realm.operator.delete_policy(&realm.vhost, lepus::broker::policy::Authority::User, "slow");
    channel.subscribe("q", "t");
    channel.delivery();
    outlive(&Connection::open(), 2 * MS);
    channel.expect_nothing();
}

// BA-142
#[test]
fn setting_is_for_whoever_says_nothing() {
    let Some(private) = private_broker("consumer_timeout = \"300ms\"") else { return };
    let connection = private.open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    other.fill(&q, ["m"]);
    expect_closed(&channel, &q, Table::new());
    channel.reopen();
    channel.consume(&consume(&q, "t").arg("x-consumer-timeout", 3_600_000));
    channel.delivery();
    outlive(&connection, 2 * MS);
    channel.expect_nothing();
}

// BA-141
#[test]
fn consumer_of_a_quorum_queue_is_cancelled_and_its_messages_go_to_another() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum());
    channel.confirm_select();
    channel.fill(&q, ["a", "b"]);
    channel.expect_acked(2);
    channel.call(&qos(2));
    let start = Instant::now();
    channel.consume(&consume(&q, "slow").args(timeout()));
    assert_eq!(channel.deliveries(2), ["a", "b"]);
    let cancel = channel.expect((60, 30));
    assert_not_before(start, MS);
    assert_eq!(cancel.read().short_string(), "slow");

    let other = Channel::open();
    other.subscribe(&q, "quick");
    for body in ["a", "b"] {
        let message = other.delivery();
        assert_eq!((message.text().as_str(), message.redelivered), (body, true));
        assert_eq!(message.headers().get("x-acquired-count"), Some(&Value::I64(1)));
        assert_eq!(message.headers().get("x-delivery-count"), None);
        other.send(&ack(message.delivery_tag));
    }
    other.expect_nothing();
    // What comes too late is no fault; it comes once.
    channel.send(&ack(1));
    channel.send(&nack(2, true));
    channel.expect_nothing();
    other.expect_nothing();
    assert_eq!(other.count(&purge(&q)), 0);
    channel.send(&ack(1));
    let unknown = "PRECONDITION_FAILED - unknown delivery tag 1";
    channel.expect_close(406, unknown, (60, 80));
    other.cancel("quick");
    other.call(&delete(&q));
}

// BA-141
#[test]
fn late_settlement_of_several_is_no_fault() {
    if !only_on_lepus("RabbitMQ serves the cancelled consumer again") {
        return;
    }
    let channel = Channel::open();
    let q = channel.durable_queue(quorum());
    channel.fill(&q, ["a", "b"]);
    channel.call(&qos(2));
    channel.consume(&consume(&q, "slow").args(timeout()));
    assert_eq!(channel.deliveries(2), ["a", "b"]);
    channel.expect((60, 30));
    channel.send(&ack(2).multiple());
    channel.send(&ack(0).multiple());
    channel.expect_nothing();
    Channel::open().call(&delete(&q));
}

// BA-141
#[test]
fn channel_is_closed_where_the_client_takes_no_cancel() {
    let other = Channel::open();
    let q = other.durable_queue(quorum());
    other.fill(&q, ["m"]);
    let channel = Options::new().capabilities(Table::new()).open().channel(1);
    channel.consume(&consume(&q, "t").args(timeout()));
    channel.delivery();
    channel.expect_close(406, text(-1), (0, 0));
    other.take(&q, "m");
    other.call(&delete(&q));
}

// BA-141
#[test]
fn channel_is_closed_for_what_was_got_from_a_quorum_queue() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum().with("x-consumer-timeout", MS));
    channel.confirm_select();
    channel.fill(&q, ["m"]);
    channel.expect_acked(1);
    channel.take(&q, "m");
    channel.expect_close(406, text(-1), (0, 0));
    channel.reopen();
    channel.take(&q, "m");
    channel.call(&delete(&q));
}

// BA-143
#[test]
fn what_is_settled_in_time_or_needs_no_settlement_is_left_alone() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = channel.durable_queue(quorum());
    channel.consume(&consume(&q, "t").args(timeout()));
    other.fill(&q, ["a", "b"]);
    let first = channel.delivery().delivery_tag;
    channel.delivery();
    channel.send(&ack(first + 1).multiple());
    outlive(&connection, 2 * MS);
    channel.expect_nothing();
    channel.cancel("t");
    channel.consume(&consume(&q, "t").args(timeout()).no_ack());
    other.fill(&q, ["c"]);
    channel.delivery();
    outlive(&connection, 2 * MS);
    channel.expect_nothing();
    channel.call(&delete(&q));
}

// BA-211: what is rolled back has its time again.
#[test]
fn rolled_back_settlements_are_due_again() {
    if !only_on_lepus(OURS) {
        return;
    }
    let channel = Channel::open();
    let q = channel.queue_with(timeout());
    channel.fill(&q, ["m"]);
    channel.call(&tx_select());
    channel.send(&ack(channel.take(&q, "m")));
    outlive(&Connection::open(), 2 * MS);
    channel.call(&tx_rollback());
    channel.expect_close(406, text(MS), (0, 0));
}

// QU-062, QU-071
#[test]
fn bad_timeouts_are_refused() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum());
    for (value, reason) in [
        (Value::I32(-1), "{value_negative,-1}"),
        ("x".into(), "\"expected integer, got longstr\""),
        (true.into(), "\"expected integer, got bool\""),
    ] {
        let new = name("timeout");
        let text = |q: &str| {
            format!(
                "PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue '{q}' in vhost \
                 '/': {reason}"
            )
        };
        let consume = consume(&q, "t").arg("x-consumer-timeout", value.clone());
        channel.refused(&consume, 406, text(&q));
        channel.reopen();
        let declare = queue(&new).durable().args(quorum().with("x-consumer-timeout", value));
        channel.refused(&declare, 406, text(&new));
        channel.reopen();
    }
    channel.call(&delete(&q));
}

// QU-013
#[test]
fn timeout_of_a_queue_is_part_of_what_it_is() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum().with("x-consumer-timeout", MS));
    let again = |ms: i32| queue(&q).durable().args(quorum().with("x-consumer-timeout", ms));
    channel.call(&again(MS));
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'x-consumer-timeout' for queue '{q}' in vhost '/': \
         received '301' but current is '300'"
    );
    channel.refused(&again(301), 406, text);
    channel.reopen();
    channel.call(&delete(&q));
}

#[test]
fn timeout_outlives_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable().args(timeout()));
    private.restart();
    let channel = private.open().channel(1);
    channel.fill("q", ["m"]);
    expect_closed(&channel, "q", Table::new());
}
