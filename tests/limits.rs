//! Queues that hold only so much: `x-max-length`, `x-max-length-bytes`, `x-overflow`.

use crate::harness::*;

const ACK: (u16, u16) = (60, 80);
const NACK: (u16, u16) = (60, 120);

fn length(max: i32) -> Table {
    Table::new().with("x-max-length", max)
}

fn bytes(max: i32) -> Table {
    Table::new().with("x-max-length-bytes", max)
}

fn refusing(limit: Table) -> Table {
    limit.with("x-overflow", "reject-publish")
}

/// Publishes to a queue, and says whether that was acked.
#[track_caller]
fn is_taken(channel: &Channel, q: &str, body: &str) -> bool {
    channel.fill(q, [body]);
    match channel.next_confirm().0 {
        ACK => true,
        NACK => false,
        other => panic!("{other:?} is no confirm"),
    }
}

// QU-111, BA-048
#[test]
fn oldest_messages_make_room() {
    let channel = Channel::open();
    for arguments in [length(2), length(2).with("x-overflow", "drop-head")] {
        let q = channel.queue_with(arguments);
        channel.fill(&q, ["a", "b", "c", "d"]);
        channel.expect_ready(&q, 2);
        assert_eq!(channel.drain(&q), ["c", "d"]);
    }
}

// BA-048
#[test]
fn publish_that_pushes_another_out_is_acked() {
    let channel = Channel::open();
    let q = channel.queue_with(length(1));
    channel.confirm_select();
    channel.fill(&q, ["a", "b", "c"]);
    channel.expect_acked(3);
    assert_eq!(channel.drain(&q), ["c"]);
}

// QU-110, QU-111
#[test]
fn only_bodies_are_weighed() {
    let channel = Channel::open();
    let q = channel.queue_with(bytes(10));
    let heavy = Table::new().with("header", "x".repeat(1000));
    for body in ["aaaaa", "bbbbb", "ccccc"] {
        channel.publish(&publish("", &q, body).headers(heavy.clone()));
    }
    assert_eq!(channel.drain(&q), ["bbbbb", "ccccc"]);
    channel.fill(&q, ["", "", "", "1234567890"]);
    assert_eq!(channel.drain(&q).len(), 4);
}

// QU-111
#[test]
fn body_above_the_limit_pushes_out_itself_with_all_others() {
    let channel = Channel::open();
    let q = channel.queue_with(bytes(10));
    channel.fill(&q, ["aaaaa", "bbbbb", "12345678901"]);
    assert_eq!(channel.get(&q), None);
    channel.fill(&q, ["c"]);
    assert_eq!(channel.drain(&q), ["c"]);
}

// QU-110
#[test]
fn both_limits_hold() {
    let channel = Channel::open();
    let q = channel.queue_with(length(3).with("x-max-length-bytes", 10));
    channel.fill(&q, ["a", "b", "c", "d"]);
    assert_eq!(channel.drain(&q), ["b", "c", "d"]);
    channel.fill(&q, ["aaaa", "bbbb", "cccc"]);
    assert_eq!(channel.drain(&q), ["bbbb", "cccc"]);
}

// QU-110
#[test]
fn delivered_messages_need_no_room() {
    let channel = Channel::open();
    let q = channel.queue_with(length(2));
    channel.fill(&q, ["a", "b"]);
    channel.take(&q, "a");
    channel.take(&q, "b");
    channel.fill(&q, ["c", "d"]);
    assert_eq!(channel.drain(&q), ["c", "d"]);
}

// QU-112
#[test]
fn messages_that_come_back_are_the_oldest_again() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel.queue_with(letters.args().with("x-max-length", 3));
    channel.fill(&q, ["a", "b", "c"]);
    channel.take(&q, "a");
    let second = channel.take(&q, "b");
    channel.fill(&q, ["d", "e"]);
    channel.send(&nack(second, true).multiple());
    assert_eq!(letters.bodies(2), ["a", "b"]);
    assert_eq!(channel.drain(&q), ["c", "d", "e"]);
}

// QU-113, BA-048
#[test]
fn queue_without_room_serves_who_waits() {
    let channel = Channel::open();
    let q = channel.queue_with(length(0));
    channel.confirm_select();
    assert!(is_taken(&channel, &q, "dropped"));
    assert_eq!(channel.get(&q), None);
    channel.consume(&consume(&q, "t").no_ack());
    channel.fill(&q, ["served"]);
    let mut bodies = Vec::new();
    // The confirm and the delivery come in either order.
    for _ in 0..2 {
        let got = channel.next();
        if got.method.id == DELIVER {
            bodies.push(Message::parse(got).text());
        }
    }
    assert_eq!(bodies, ["served"]);
}

// QU-111, BA-230
#[test]
fn messages_without_room_are_dead_letters() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel.queue_with(letters.args().with("x-max-length", 1));
    channel.fill(&q, ["a", "b", "c"]);
    for body in ["a", "b"] {
        let letter = letters.next();
        assert_eq!(letter.text(), body);
        assert_eq!(letter.history(), history([(&q, "maxlen", 1)]));
        assert!(!letter.redelivered);
    }
    assert_eq!(channel.drain(&q), ["c"]);
}

// QU-114, BA-045
#[test]
fn queue_that_refuses_keeps_what_it_has() {
    let channel = Channel::open();
    let q = channel.queue_with(refusing(length(2)));
    channel.confirm_select();
    let taken: Vec<bool> =
        ["a", "b", "c", "d"].iter().map(|body| is_taken(&channel, &q, body)).collect();
    assert_eq!(taken, [true, true, false, false]);
    // Room again.
    let first = channel.take(&q, "a");
    channel.send(&ack(first));
    assert!(is_taken(&channel, &q, "e"));
    assert!(!is_taken(&channel, &q, "f"));
    assert_eq!(channel.drain(&q), ["b", "e"]);
}

// QU-110, QU-114
#[test]
fn refusal_weighs_the_message_itself() {
    let channel = Channel::open();
    let q = channel.queue_with(refusing(bytes(10)));
    channel.confirm_select();
    let bodies = ["12345678901", "123456", "12345", "1234", "1"];
    let taken: Vec<bool> = bodies.iter().map(|body| is_taken(&channel, &q, body)).collect();
    assert_eq!(taken, [false, true, false, true, false]);
    assert_eq!(channel.drain(&q), ["123456", "1234"]);
}

// QU-114
#[test]
fn refused_publish_without_confirms_is_dropped_silently() {
    let channel = Channel::open();
    let q = channel.queue_with(refusing(length(1)));
    channel.fill(&q, ["a", "b"]);
    channel.expect_nothing();
    assert_eq!(channel.drain(&q), ["a"]);
}

// QU-114
#[test]
fn messages_that_come_back_are_never_refused() {
    let channel = Channel::open();
    let q = channel.queue_with(refusing(length(1)));
    channel.confirm_select();
    assert!(is_taken(&channel, &q, "a"));
    let first = channel.take(&q, "a");
    assert!(is_taken(&channel, &q, "b"));
    channel.send(&nack(first, true));
    channel.expect_ready(&q, 2);
    assert!(!is_taken(&channel, &q, "c"));
    assert_eq!(channel.drain(&q), ["a", "b"]);
}

// QU-113, QU-114
#[test]
fn queue_without_room_refuses_although_a_consumer_waits() {
    let channel = Channel::open();
    let connection = Connection::open();
    let other = connection.channel(1);
    channel.confirm_select();
    for limit in [length(0), bytes(3)] {
        let q = channel.durable_queue(refusing(limit));
        other.subscribe(&q, "t");
        assert!(!is_taken(&channel, &q, "refused"));
        other.cancel("t");
        other.expect_nothing();
        channel.call(&delete(&q));
    }
}

// QU-115, TOP-16
#[test]
fn one_queue_that_refuses_is_enough_for_a_nack() {
    let channel = Channel::open();
    let x = channel.exchange("fanout");
    let (full, roomy) = (channel.queue_with(refusing(length(1))), channel.queue());
    channel.fill(&full, ["first"]);
    channel.call(&bind(&full, &x, ""));
    channel.call(&bind(&roomy, &x, ""));
    channel.confirm_select();
    channel.publish(&publish(&x, "", "second"));
    assert_eq!(channel.next_confirm().0, NACK);
    assert_eq!(channel.drain(&full), ["first"]);
    assert_eq!(channel.drain(&roomy), ["second"]);
}

// QU-116
#[test]
fn refused_message_may_be_a_dead_letter() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let limit = letters.args().with("x-max-length", 1).with("x-overflow", "reject-publish-dlx");
    let q = channel.queue_with(limit);
    channel.confirm_select();
    assert!(is_taken(&channel, &q, "a"));
    assert!(!is_taken(&channel, &q, "b"));
    let letter = letters.next();
    assert_eq!(letter.text(), "b");
    assert_eq!(letter.history(), history([(&q, "maxlen", 1)]));
    assert_eq!(channel.drain(&q), ["a"]);
}

// QU-116
#[test]
fn refused_message_is_no_dead_letter_if_nobody_asks_for_it() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel.queue_with(refusing(letters.args().with("x-max-length", 1)));
    channel.confirm_select();
    assert!(is_taken(&channel, &q, "a"));
    assert!(!is_taken(&channel, &q, "b"));
    channel.send(&reject(channel.take(&q, "a"), false));
    assert_eq!(letters.next().text(), "a");
    letters.expect_none();
}

// QU-117
#[test]
fn refused_message_is_not_returned() {
    let channel = Channel::open();
    let q = channel.queue_with(refusing(length(0)));
    channel.confirm_select();
    channel.publish(&publish("", &q, "m").mandatory());
    let (id, tag, _) = channel.next_confirm();
    assert_eq!((id, tag), (NACK, 1));
    channel.expect_nothing();
}

// QU-119
#[test]
fn highest_priority_makes_room_first() {
    let channel = Channel::open();
    let q = channel.queue_with(length(2).with("x-max-priority", 5));
    for (body, priority) in [("five", 5), ("one", 1), ("zero", 0)] {
        let mut message = publish("", &q, body);
        message.properties.priority = Some(priority);
        channel.publish(&message);
    }
    assert_eq!(channel.drain(&q), ["one", "zero"]);
}

// QU-114, BA-240
#[test]
fn dead_letter_that_is_refused_is_lost() {
    let channel = Channel::open();
    let full = channel.queue_with(refusing(length(1)));
    let q = channel.queue_with(letters_to(&full));
    channel.fill(&full, ["first"]);
    channel.fill(&q, ["second"]);
    channel.send(&reject(channel.take(&q, "second"), false));
    // Another way to the same queue shows that the letter is through.
    let after = channel.queue();
    let chain = channel.queue_with(letters_to(&after));
    channel.fill(&chain, ["third"]);
    channel.subscribe(&after, "t");
    channel.send(&reject(channel.take(&chain, "third"), false));
    assert_eq!(channel.delivery().text(), "third");
    assert_eq!(channel.get(&q), None);
    assert_eq!(channel.drain(&full), ["first"]);
}

// QU-110
#[test]
fn limits_hold_after_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("dead").durable());
    channel.declare(&queue("drops").durable().args(letters_to("dead").with("x-max-length", 3)));
    channel.declare(&queue("refuses").durable().args(refusing(length(2))));
    channel.confirm_select();
    channel.fill_persistent("drops", ["a", "b", "c"]);
    channel.fill_persistent("refuses", ["a", "b"]);
    channel.expect_acked(5);
    private.restart();

    let channel = private.open().channel(1);
    channel.confirm_select();
    assert!(!is_taken(&channel, "refuses", "c"));
    channel.fill_persistent("drops", ["d", "e"]);
    assert_eq!(channel.confirms_of(&mut [2, 3].into()).nacked.len(), 0);
    channel.consume(&consume("dead", "t").no_ack());
    assert_eq!(channel.deliveries(2), ["a", "b"]);
    private.restart();

    let channel = private.open().channel(1);
    assert_eq!(channel.drain("drops"), ["c", "d", "e"]);
    assert_eq!(channel.drain("refuses"), ["a", "b"]);
    assert_eq!(channel.get("dead"), None);
}
