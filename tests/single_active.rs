//! Queues that serve one consumer at a time: `x-single-active-consumer`.

use crate::harness::*;

fn single() -> Table {
    Table::new().with("x-single-active-consumer", true)
}

/// A queue, and channels of connections of their own that consume it in this order.
fn with_consumers<const N: usize>() -> (Channel, String, [Channel; N]) {
    let channel = Channel::open();
    let q = channel.durable_queue(single());
    let consumers = [(); N].map(|()| Channel::open());
    for consumer in &consumers {
        consumer.subscribe(&q, "t");
    }
    (channel, q, consumers)
}

// QU-140
#[test]
fn first_consumer_gets_everything() {
    let (channel, q, [first, second, third]) = with_consumers();
    channel.fill(&q, ["a", "b", "c", "d"]);
    assert_eq!(first.deliveries(4), ["a", "b", "c", "d"]);
    second.expect_nothing();
    third.expect_nothing();
    assert_eq!(channel.declare(&queue(&q).passive()).consumers, 3);
    channel.call(&delete(&q));
}

// QU-140
#[test]
fn next_consumer_takes_over_however_the_active_one_ends() {
    let (channel, q, [first, second, third, fourth]) = with_consumers();
    let mut turn = 0;
    let mut expect_served = |consumer: &Channel| {
        turn += 1;
        channel.fill(&q, [turn.to_string().as_str()]);
        let message = consumer.delivery();
        assert_eq!(message.text(), turn.to_string());
        consumer.send(&ack(message.delivery_tag));
        consumer.expect_nothing();
    };
    expect_served(&first);
    first.cancel("t");
    expect_served(&second);
    second.close();
    expect_served(&third);
    third.connection().close();
    expect_served(&fourth);
    fourth.cancel("t");
    channel.fill(&q, ["nobody"]);
    assert_eq!(channel.drain(&q), ["nobody"]);
    channel.call(&delete(&q));
}

// QU-140
#[test]
fn consumer_that_waits_leaves_without_a_trace() {
    let (channel, q, [first, second, third]) = with_consumers();
    second.cancel("t");
    channel.fill(&q, ["a"]);
    assert_eq!(first.delivery().text(), "a");
    first.send(&ack(1));
    first.cancel("t");
    channel.fill(&q, ["b"]);
    assert_eq!(third.delivery().text(), "b");
    second.expect_nothing();
    channel.call(&delete(&q));
}

// QU-140
#[test]
fn nobody_steps_in_for_an_active_consumer_that_is_busy() {
    let channel = Channel::open();
    let q = channel.durable_queue(single());
    let (first, second) = (Channel::open(), Channel::open());
    first.call(&qos(1));
    first.subscribe(&q, "t");
    second.subscribe(&q, "t");
    channel.fill(&q, ["a", "b"]);
    assert_eq!(first.delivery().text(), "a");
    channel.expect_ready(&q, 1);
    second.expect_nothing();
    first.send(&ack(1));
    assert_eq!(first.delivery().text(), "b");
    channel.call(&delete(&q));
}

// QU-141, TOP-32
#[test]
fn unacked_messages_stay_with_the_channel_that_cancels() {
    let (channel, q, [first, second]) = with_consumers();
    channel.fill(&q, ["a"]);
    assert_eq!(first.delivery().text(), "a");
    first.cancel("t");
    channel.fill(&q, ["b"]);
    assert_eq!(second.delivery().text(), "b");
    first.send(&nack(1, true));
    let again = second.delivery();
    assert_eq!((again.text().as_str(), again.redelivered), ("a", true));
    channel.call(&delete(&q));
}

// QU-141
#[test]
fn messages_of_an_active_consumer_that_dies_go_to_the_next_in_order() {
    let (channel, q, [first, second]) = with_consumers();
    channel.fill(&q, ["a", "b", "c"]);
    assert_eq!(first.deliveries(3), ["a", "b", "c"]);
    channel.fill(&q, ["d"]);
    first.delivery();
    first.connection().close();
    assert_eq!(second.deliveries(4), ["a", "b", "c", "d"]);
    channel.call(&delete(&q));
}

// QU-142
#[test]
fn consumer_cannot_be_exclusive_among_them() {
    let channel = Channel::open();
    let q = channel.queue_with(single());
    channel.refused(
        &consume(&q, "t").flag("exclusive", true),
        403,
        format!("ACCESS_REFUSED - queue '{q}' in vhost '/' in exclusive use"),
    );
}

// QU-143
#[test]
fn get_is_served_beside_the_active_consumer() {
    let channel = Channel::open();
    let q = channel.queue_with(single());
    channel.call(&qos(1));
    channel.subscribe(&q, "t");
    channel.fill(&q, ["a", "b"]);
    assert_eq!(channel.delivery().text(), "a");
    channel.take(&q, "b");
}

// QU-140
#[test]
fn priority_does_not_depose_the_active_consumer_of_a_classic_queue() {
    let channel = Channel::open();
    let q = channel.durable_queue(single());
    let [first, low, high] = [(); 3].map(|()| Channel::open());
    first.subscribe(&q, "t");
    low.consume(&consume(&q, "t").arg("x-priority", 1));
    high.consume(&consume(&q, "t").arg("x-priority", 10));
    channel.fill(&q, ["a"]);
    assert_eq!(first.delivery().text(), "a");
    first.send(&ack(1));
    first.cancel("t");
    channel.fill(&q, ["b"]);
    assert_eq!(high.delivery().text(), "b");
    channel.call(&delete(&q));
}

// QU-049
#[test]
fn argument_that_says_no_changes_nothing() {
    let channel = Channel::open();
    let q = channel.durable_queue(Table::new().with("x-single-active-consumer", false));
    let (first, second) = (Channel::open(), Channel::open());
    first.subscribe(&q, "t");
    second.subscribe(&q, "t");
    channel.fill(&q, ["a", "b"]);
    first.delivery();
    second.delivery();
    channel.call(&delete(&q));
}

// QU-140
#[test]
fn queue_serves_one_at_a_time_after_a_restart_too() {
    let Some(mut private) = private_broker("") else { return };
    private.open().channel(1).declare(&queue("q").durable().args(single()));
    private.restart();
    let connection = private.open();
    let (first, second) = (connection.channel(1), connection.channel(2));
    first.subscribe("q", "first");
    second.subscribe("q", "second");
    first.fill("q", ["a", "b", "c"]);
    assert_eq!(first.deliveries(3), ["a", "b", "c"]);
    second.expect_nothing();
}
