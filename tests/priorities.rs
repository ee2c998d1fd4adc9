//! Messages that overtake others: `x-max-priority`.

use crate::harness::*;

fn levels(max: i32) -> Table {
    Table::new().with("x-max-priority", max)
}

fn with_priority(q: &str, body: &str, priority: impl Into<Option<u8>>) -> Publish {
    let mut message = publish("", q, body);
    message.properties.priority = priority.into();
    message
}

// QU-130, QU-131
#[test]
fn higher_priorities_go_first() {
    let channel = Channel::open();
    let q = channel.queue_with(levels(5));
    let sent = [
        ("none", None),
        ("one", Some(1)),
        ("nine", Some(9)),
        ("five", Some(5)),
        ("zero", Some(0)),
        ("three", Some(3)),
    ];
    for (body, priority) in sent {
        channel.publish(&with_priority(&q, body, priority));
    }
    channel.expect_ready(&q, 6);
    let got: Vec<Message> = std::iter::from_fn(|| channel.get(&q)).collect();
    let seen: Vec<(String, Option<u8>)> =
        got.iter().map(|message| (message.text(), message.properties.priority)).collect();
    let expected = [
        ("nine", Some(9)),
        ("five", Some(5)),
        ("three", Some(3)),
        ("one", Some(1)),
        ("none", None),
        ("zero", Some(0)),
    ];
    assert_eq!(seen, expected.map(|(body, priority)| (body.to_owned(), priority)));
    let left: Vec<u32> = got.iter().map(|message| message.left).collect();
    assert_eq!(left, [5, 4, 3, 2, 1, 0]);
}

// QU-130
#[test]
fn equal_priorities_keep_their_order() {
    let channel = Channel::open();
    let q = channel.queue_with(levels(255));
    for n in 0..300_u32 {
        channel.publish(&with_priority(&q, &n.to_string(), (n % 3 * 100) as u8));
    }
    let mut expected: Vec<u32> = (0..300).collect();
    expected.sort_by_key(|n| std::cmp::Reverse(n % 3));
    let expected: Vec<String> = expected.iter().map(u32::to_string).collect();
    assert_eq!(channel.drain(&q), expected);
}

// QU-044, QU-132
#[test]
fn queue_without_priorities_ignores_them() {
    let channel = Channel::open();
    for q in [channel.queue(), channel.queue_with(levels(0))] {
        channel.publish(&with_priority(&q, "low", 1));
        channel.publish(&with_priority(&q, "high", 200));
        assert_eq!(channel.drain(&q), ["low", "high"]);
    }
}

// QU-130, BA-125
#[test]
fn message_that_comes_back_stands_in_its_level() {
    let channel = Channel::open();
    let q = channel.queue_with(levels(2));
    for (body, priority) in [("low", 0), ("mid a", 1), ("mid b", 1), ("mid c", 1), ("high", 2)] {
        channel.publish(&with_priority(&q, body, priority));
    }
    for body in ["high", "mid a", "mid b"] {
        channel.take(&q, body);
    }
    channel.send(&ack(1));
    channel.send(&nack(0, true).multiple());
    channel.publish(&with_priority(&q, "high again", 2));
    assert_eq!(channel.drain(&q), ["high again", "mid a", "mid b", "mid c", "low"]);
}

// QU-133
#[test]
fn delivered_messages_are_not_overtaken() {
    let channel = Channel::open();
    let q = channel.queue_with(levels(5));
    channel.call(&qos(2));
    channel.subscribe(&q, "t");
    for (body, priority) in [("a", 0), ("b", 1), ("c", 2), ("d", 5)] {
        channel.publish(&with_priority(&q, body, priority));
    }
    assert_eq!(channel.deliveries(2), ["a", "b"]);
    channel.expect_ready(&q, 2);
    channel.send(&ack(2).multiple());
    assert_eq!(channel.deliveries(2), ["d", "c"]);
}

// QU-103, QU-130
#[test]
fn messages_of_every_priority_expire() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel.queue_with(letters.args().with("x-max-priority", 5).with("x-message-ttl", 50));
    for (body, priority) in [("a", 0), ("b", 3), ("c", 5)] {
        channel.publish(&with_priority(&q, body, priority));
    }
    let mut bodies = letters.bodies(3);
    bodies.sort();
    assert_eq!(bodies, ["a", "b", "c"]);
    assert_eq!(channel.get(&q), None);
}

// QU-130, BA-241
#[test]
fn dead_letter_keeps_its_priority() {
    let channel = Channel::open();
    let dead = channel.queue_with(levels(5));
    let q = channel.queue_with(letters_to(&dead));
    for (body, priority) in [("low", 1), ("high", 4)] {
        channel.publish(&with_priority(&q, body, priority));
    }
    channel.take(&q, "low");
    channel.take(&q, "high");
    channel.send(&nack(0, false).multiple());
    channel.expect_ready(&dead, 2);
    assert_eq!(channel.drain(&dead), ["high", "low"]);
}

// QU-082, QU-130
#[test]
fn purge_and_delete_count_every_level() {
    let channel = Channel::open();
    let q = channel.queue_with(levels(9));
    for priority in 0..10 {
        channel.publish(&with_priority(&q, "m", priority));
    }
    assert_eq!(channel.count(&purge(&q)), 10);
    assert_eq!(channel.get(&q), None);
    for priority in 0..10 {
        channel.publish(&with_priority(&q, "m", priority));
    }
    assert_eq!(channel.count(&delete(&q)), 10);
}

// QU-130, BA-017
#[test]
fn priorities_outlive_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable().args(levels(5)));
    channel.declare(&queue("other").durable());
    channel.confirm_select();
    for n in 0..60_u8 {
        let message = with_priority("q", &n.to_string(), n % 6).persistent();
        channel.publish(&message);
    }
    channel.fill_persistent("other", ["other"]);
    channel.expect_acked(61);
    // Seen before, and back in its place.
    channel.take("q", "5");
    private.restart();

    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable().args(levels(5)));
    // What comes now stands behind its equals.
    channel.publish(&with_priority("q", "new", 5));
    let mut expected: Vec<u8> = (0..60).collect();
    expected.sort_by_key(|n| std::cmp::Reverse(n % 6));
    let mut expected: Vec<String> = expected.iter().map(u8::to_string).collect();
    expected.insert(10, "new".to_owned());
    assert!(channel.get("q").unwrap().redelivered);
    channel.send(&nack(1, true));
    assert_eq!(channel.drain("q"), expected);
    assert_eq!(channel.drain("other"), ["other"]);
    private.restart();
    assert_eq!(private.open().channel(1).get("q"), None);
}
