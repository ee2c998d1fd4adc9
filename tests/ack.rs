//! basic.ack, basic.nack, basic.reject.

use crate::harness::*;

/// A queue with these messages, all got and unacked under tags 1, 2, 3 ...
fn unacked<const N: usize>(bodies: [&str; N]) -> (Channel, String) {
    let channel = Channel::open();
    let q = channel.queue();
    channel.fill(&q, bodies);
    for tag in 1..=N as u64 {
        assert_eq!(channel.get(&q).unwrap().delivery_tag, tag);
    }
    (channel, q)
}

fn unknown(tag: u64) -> String {
    format!("PRECONDITION_FAILED - unknown delivery tag {tag}")
}

// BA-120, BA-122
#[test]
fn unknown_tag_closes_the_channel() {
    let channel = Channel::open();
    for request in [
        ack(5),
        ack(5).multiple(),
        nack(5, true),
        nack(5, false).multiple(),
        reject(5, true),
        reject(5, false),
    ] {
        channel.refused(&request, 406, unknown(5));
        channel.reopen();
    }
    for request in [ack(0), nack(0, true), reject(0, true)] {
        channel.refused(&request, 406, unknown(0));
        channel.reopen();
    }
}

// BA-120
#[test]
fn tag_is_settled_once() {
    let settle = [ack(1), nack(1, false), reject(1, false), nack(1, true), reject(1, true)];
    for first in &settle {
        for second in [ack(1), nack(1, true), reject(1, true)] {
            let (channel, _) = unacked(["a"]);
            channel.send(first);
            channel.refused(&second, 406, unknown(1));
        }
    }
}

// BA-121
#[test]
fn tag_0_with_multiple_is_everything_outstanding() {
    let (channel, q) = unacked(["a", "b", "c"]);
    channel.send(&ack(0).multiple());
    channel.send(&ack(0).multiple());
    channel.send(&nack(0, true).multiple());
    channel.expect_nothing();
    assert_eq!(channel.get(&q), None);

    let (channel, q) = unacked(["a", "b", "c"]);
    channel.send(&nack(0, true).multiple());
    assert_eq!(channel.drain(&q), ["a", "b", "c"]);
}

// BA-121
#[test]
fn multiple_settles_up_to_its_tag() {
    let (channel, q) = unacked(["a", "b", "c", "d"]);
    channel.send(&ack(2).multiple());
    channel.send(&nack(3, true).multiple());
    assert_eq!(channel.drain(&q), ["c"]);
    channel.send(&ack(4));
    channel.expect_nothing();
}

// BA-123
#[test]
fn multiple_needs_an_outstanding_tag() {
    let (channel, _) = unacked(["a", "b", "c"]);
    channel.refused(&ack(9).multiple(), 406, unknown(9));
    let (channel, _) = unacked(["a", "b", "c"]);
    channel.send(&ack(2));
    channel.refused(&ack(2).multiple(), 406, unknown(2));
}

// BA-124
#[test]
fn settling_on_another_channel_closes_only_that() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = channel.queue();
    channel.fill(&q, ["a"]);
    channel.get(&q).unwrap();
    other.refused(&ack(1), 406, unknown(1));
    channel.send(&ack(1));
    channel.expect_nothing();
}

// BA-125, BA-128
#[test]
fn requeue_returns_a_message_to_its_place() {
    for requeue in [nack(2, true), reject(2, true)] {
        let (channel, q) = unacked(["a", "b", "c"]);
        channel.fill(&q, ["d"]);
        channel.send(&requeue);
        let got = channel.get(&q).unwrap();
        assert_eq!((got.text(), got.redelivered), ("b".to_owned(), true));
        let got = channel.get(&q).unwrap();
        assert_eq!((got.text(), got.redelivered), ("d".to_owned(), false));
    }
}

// BA-125
#[test]
fn requeue_in_any_order_restores_the_order_of_the_queue() {
    let (channel, q) = unacked(["a", "b", "c", "d", "e"]);
    channel.fill(&q, ["f"]);
    for tag in [4, 1, 5, 3, 2] {
        channel.send(&nack(tag, true));
    }
    assert_eq!(channel.drain(&q), ["a", "b", "c", "d", "e", "f"]);
}

// BA-125
#[test]
fn requeue_among_ready_messages_finds_the_place_between_them() {
    let (channel, q) = unacked(["a", "b", "c", "d", "e"]);
    channel.send(&nack(1, true));
    channel.send(&nack(5, true));
    channel.send(&nack(3, true));
    assert_eq!(channel.drain(&q), ["a", "c", "e"]);
    channel.send(&nack(0, true).multiple());
    assert_eq!(channel.drain(&q), ["b", "d"]);
}

// BA-126
#[test]
fn requeued_message_may_come_back_to_the_same_consumer() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.call(&qos(1));
    channel.subscribe(&q, "t");
    channel.fill(&q, ["a", "b"]);
    for tag in 1..=20 {
        let got = channel.delivery();
        let expected = ("a".to_owned(), tag, tag > 1);
        assert_eq!((got.text(), got.delivery_tag, got.redelivered), expected);
        channel.send(&nack(tag, true));
    }
    channel.send(&ack(channel.delivery().delivery_tag));
    let got = channel.delivery();
    assert_eq!((got.text(), got.redelivered), ("b".to_owned(), false));
}

// BA-127
#[test]
fn message_that_is_not_requeued_is_dropped() {
    for settle in [nack(1, false), reject(1, false)] {
        let (channel, q) = unacked(["a"]);
        channel.send(&settle);
        channel.expect_nothing();
        assert_eq!(channel.get(&q), None);
    }
}

// BA-128
#[test]
fn redelivered_stays_with_the_message() {
    let (channel, q) = unacked(["a"]);
    channel.send(&nack(1, true));
    for tag in 2..5 {
        assert!(channel.get(&q).unwrap().redelivered);
        channel.send(&nack(tag, true));
    }
}

// BA-128, CH-013
#[test]
fn lost_connection_gives_its_messages_back_in_order() {
    let watcher = Channel::open();
    let q = watcher.shared_queue();
    watcher.fill(&q, ["a", "b", "c", "d", "e"]);
    watcher.expect_ready(&q, 5);
    let lost = Connection::open();
    let channel = lost.channel(1);
    channel.call(&qos(2));
    channel.subscribe(&q, "t");
    assert_eq!(channel.deliveries(2), ["a", "b"]);
    assert_eq!(channel.get(&q).unwrap().text(), "c");
    lost.cut();
    watcher.expect_ready(&q, 5);
    let got: Vec<_> = (0..5).map(|_| watcher.get(&q).unwrap()).collect();
    let seen: Vec<_> = got.iter().map(|m| (m.text(), m.redelivered)).collect();
    let expected = [("a", true), ("b", true), ("c", true), ("d", false), ("e", false)];
    assert_eq!(seen, expected.map(|(body, redelivered)| (body.to_owned(), redelivered)));
    watcher.call(&delete(&q));
}

// BA-131
#[test]
fn ack_is_not_answered() {
    let (channel, _) = unacked(["a", "b", "c"]);
    channel.send(&ack(1));
    channel.send(&nack(2, false));
    channel.send(&reject(3, false));
    channel.expect_nothing();
}

// BA-260
#[test]
fn classic_queue_adds_no_delivery_count() {
    let (channel, q) = unacked(["a"]);
    channel.send(&reject(1, true));
    assert_eq!(channel.get(&q).unwrap().properties, Properties::default());
}

// BA-265
#[test]
fn delivery_count_of_a_publisher_passes_through() {
    let channel = Channel::open();
    let q = channel.queue();
    let headers = Table::new().with("x-delivery-count", 7);
    channel.publish(&publish("", &q, "m").headers(headers.clone()));
    channel.get(&q).unwrap();
    channel.send(&nack(1, true));
    assert_eq!(channel.get(&q).unwrap().headers(), headers);
}
