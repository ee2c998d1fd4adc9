//! basic.recover and basic.recover-async.

use crate::harness::*;

// BA-129
#[test]
fn recover_requeues_everything_of_the_channel_in_order() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = channel.queue();
    channel.fill(&q, ["a", "b", "c", "d"]);
    channel.get(&q).unwrap();
    channel.call(&qos(2));
    channel.subscribe(&q, "t");
    channel.deliveries(2);
    channel.cancel("t");
    channel.call(&recover(true));
    other.expect_ready(&q, 4);
    assert_eq!(other.drain(&q), ["a", "b", "c", "d"]);
    channel.refused(&ack(1), 406, "PRECONDITION_FAILED - unknown delivery tag 1");
}

// BA-129
#[test]
fn recover_brings_messages_back_to_the_consumer() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.subscribe(&q, "t");
    channel.fill(&q, ["a", "b"]);
    channel.deliveries(2);
    channel.send(&recover(true));
    let mut got = Vec::new();
    let mut is_answered = false;
    while got.len() < 2 || !is_answered {
        let next = channel.next();
        match next.method.id {
            (60, 111) => is_answered = true,
            (60, 60) => got.push(next),
            _ => panic!("expected recover-ok or deliveries, got {next:?}"),
        }
    }
    let redelivered = |incoming: &Incoming| {
        let mut read = incoming.method.read();
        (read.short_string(), read.longlong(), read.octet())
    };
    let seen: Vec<_> = got.iter().map(redelivered).collect();
    assert_eq!(seen, [("t".to_owned(), 3, 1), ("t".to_owned(), 4, 1)]);
}

// BA-129
#[test]
fn recover_leaves_other_channels_alone() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = channel.queue();
    channel.fill(&q, ["a"]);
    channel.get(&q).unwrap();
    other.call(&recover(true));
    assert_eq!(other.get(&q), None);
    channel.send(&ack(1));
    channel.expect_nothing();
}

// BA-130
#[test]
fn recover_without_requeue_is_not_implemented() {
    for request in [recover(false), recover_async(false)] {
        Channel::open().kills(&request, 540, "NOT_IMPLEMENTED - requeue=false");
    }
}

// BA-130
#[test]
fn recover_async_is_not_answered() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.fill(&q, ["a"]);
    channel.get(&q).unwrap();
    channel.send(&recover_async(true));
    let got = channel.get(&q).unwrap();
    assert_eq!((got.text(), got.redelivered), ("a".to_owned(), true));
}
