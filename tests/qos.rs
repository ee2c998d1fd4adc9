//! basic.qos: prefetch of consumers and of channels.

use crate::harness::*;

/// Fills the queue and expects deliveries up to the credit, and the rest ready.
#[track_caller]
fn expect_credit(channel: &Channel, q: &str, credit: usize) {
    channel.fill(q, ["m", "m", "m", "m", "m", "m", "m", "m"]);
    channel.deliveries(credit);
    channel.expect_ready(q, 8 - credit as u32);
    channel.expect_nothing();
}

// BA-100
#[test]
fn prefetch_size_is_not_implemented() {
    let text = "NOT_IMPLEMENTED - prefetch_size!=0 (5)";
    Channel::open().kills(&qos_bytes(5, 0), 540, text);
}

// BA-101
#[test]
fn prefetch_is_for_consumers_that_start_later() {
    let channel = Channel::open();
    let (before, after) = (channel.queue(), channel.queue());
    channel.call(&qos(2));
    channel.subscribe(&before, "before");
    channel.call(&qos(5));
    channel.subscribe(&after, "after");
    expect_credit(&channel, &before, 2);
    expect_credit(&channel, &after, 5);
}

// BA-102
#[test]
fn prefetch_0_is_no_limit() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.call(&qos(1));
    channel.call(&qos(0));
    channel.subscribe(&q, "t");
    expect_credit(&channel, &q, 8);
}

// BA-103
#[test]
fn each_consumer_has_its_own_credit() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.call(&qos(2));
    channel.subscribe(&q, "a");
    channel.subscribe(&q, "b");
    expect_credit(&channel, &q, 4);
}

// BA-106
#[test]
fn consumers_without_ack_need_no_credit() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.call(&qos(1));
    channel.consume(&consume(&q, "t").no_ack());
    expect_credit(&channel, &q, 8);
}

// BA-107
#[test]
fn settling_frees_credit() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.call(&qos(3));
    channel.subscribe(&q, "t");
    channel.fill(&q, ["a", "b", "c", "d", "e", "f", "g", "h"]);
    assert_eq!(channel.deliveries(3), ["a", "b", "c"]);
    channel.send(&ack(2).multiple());
    assert_eq!(channel.deliveries(2), ["d", "e"]);
    channel.send(&reject(3, false));
    assert_eq!(channel.deliveries(1), ["f"]);
    channel.send(&nack(0, false).multiple());
    assert_eq!(channel.deliveries(2), ["g", "h"]);
}

// BA-101
#[test]
fn work_queue_with_prefetch_1_gives_one_at_a_time() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.call(&qos(1));
    channel.subscribe(&q, "t");
    channel.fill(&q, ["a", "b", "c"]);
    for (tag, body) in [(1, "a"), (2, "b"), (3, "c")] {
        assert_eq!(channel.delivery().text(), body);
        channel.expect_nothing();
        channel.send(&ack(tag));
    }
}

// BA-105, VM-14: on both, qos with global=true is answered.
#[test]
fn global_prefetch_is_taken() {
    Channel::open().call(&qos(5).global());
}

// BA-104
#[test]
fn global_prefetch_is_one_window_for_the_channel() {
    if !only_on_lepus("RabbitMQ 4.3 reads global=true as false") {
        return;
    }
    let channel = Channel::open();
    let (q, r) = (channel.queue(), channel.queue());
    channel.call(&qos(3).global());
    channel.subscribe(&q, "a");
    channel.subscribe(&r, "b");
    channel.fill(&q, ["q", "q", "q", "q"]);
    channel.fill(&r, ["r", "r", "r", "r"]);
    channel.deliveries(3);
    channel.expect_nothing();
    channel.send(&ack(0).multiple());
    channel.deliveries(3);
    channel.send(&ack(0).multiple());
    channel.deliveries(2);
}

// BA-104
#[test]
fn global_prefetch_holds_for_consumers_that_are_there_already() {
    if !only_on_lepus("RabbitMQ 4.3 reads global=true as false") {
        return;
    }
    let channel = Channel::open();
    let q = channel.queue();
    channel.subscribe(&q, "t");
    channel.call(&qos(2).global());
    expect_credit(&channel, &q, 2);
}

// BA-104
#[test]
fn global_and_consumer_prefetch_hold_together() {
    if !only_on_lepus("RabbitMQ 4.3 reads global=true as false") {
        return;
    }
    let channel = Channel::open();
    let q = channel.queue();
    channel.call(&qos(5).global());
    channel.call(&qos(3));
    channel.subscribe(&q, "a");
    expect_credit(&channel, &q, 3);
    channel.subscribe(&q, "b");
    channel.deliveries(2);
    channel.expect_ready(&q, 3);
    channel.expect_nothing();
}

// BA-104: the window of one channel is not that of another.
#[test]
fn global_prefetch_across_queues_loses_no_message() {
    if !only_on_lepus("RabbitMQ 4.3 reads global=true as false") {
        return;
    }
    let connection = Connection::open();
    let (channel, publisher) = (connection.channel(1), connection.channel(2));
    let queues: Vec<String> = (0..5).map(|_| publisher.queue()).collect();
    channel.call(&qos(2).global());
    for q in &queues {
        channel.subscribe(q, q);
    }
    for n in 0..500 {
        publisher.publish(&publish("", &queues[n % 5], n.to_string()));
    }
    let mut seen: Vec<usize> = Vec::new();
    let mut outstanding = 0;
    while seen.len() < 500 {
        let got = channel.delivery();
        outstanding += 1;
        assert!(outstanding <= 2, "the window holds two");
        seen.push(got.text().parse().unwrap());
        if outstanding == 2 || seen.len() == 499 {
            channel.send(&ack(got.delivery_tag).multiple());
            outstanding = 0;
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..500).collect::<Vec<_>>());
}

// BA-105, VM-14
#[test]
fn global_prefetch_may_be_that_of_each_consumer() {
    // RabbitMQ 4.3 knows no other.
    let private = private_broker("global_prefetch = \"consumer\"");
    let options = private.as_ref().map_or_else(Options::new, PrivateBroker::options);
    let channel = options.open().channel(1);
    let q = channel.queue();
    channel.subscribe(&q, "before");
    channel.cancel("before");
    channel.call(&qos(2).global());
    channel.subscribe(&q, "a");
    channel.subscribe(&q, "b");
    expect_credit(&channel, &q, 4);
}
