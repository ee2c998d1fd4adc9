//! Publisher confirms.

use crate::harness::*;

const ACK: (u16, u16) = (60, 80);

fn confirming() -> Channel {
    let channel = Channel::open();
    channel.confirm_select();
    channel
}

// BA-040
#[test]
fn confirm_select_may_be_repeated() {
    let channel = confirming();
    channel.publish(&publish("", "nowhere", "m"));
    assert_eq!(channel.next_confirm(), (ACK, 1, false));
    channel.confirm_select();
    channel.publish(&publish("", "nowhere", "m"));
    assert_eq!(channel.next_confirm(), (ACK, 2, false));
}

// BA-040
#[test]
fn transactional_channel_does_not_confirm() {
    let channel = Channel::open();
    channel.call(&tx_select());
    let text = "PRECONDITION_FAILED - cannot switch from tx to confirm mode";
    channel.refused(&confirm_select(), 406, text);
}

// BA-041
#[test]
fn publishes_before_confirm_select_do_not_count() {
    let channel = Channel::open();
    channel.fill("nowhere", ["a", "b", "c"]);
    channel.confirm_select();
    channel.fill("nowhere", ["d"]);
    assert_eq!(channel.next_confirm(), (ACK, 1, false));
}

// BA-041, BA-042
#[test]
fn returned_and_dropped_messages_count_too() {
    let channel = confirming();
    let q = channel.queue();
    channel.publish(&publish("", "nowhere", "dropped"));
    channel.publish(&publish("", "nowhere", "returned").mandatory());
    channel.publish(&publish("", &q, "routed"));
    // The confirm of the first may come on either side of the return: the second must not.
    let first = channel.next();
    if first.method.id == ACK {
        assert_eq!(first.method.read().longlong(), 1);
        channel.returned();
        channel.confirms_of(&mut [2, 3].into());
    } else {
        assert_eq!(first.method.id, (60, 50));
        channel.confirms_of(&mut [1, 2, 3].into());
    }
    channel.expect_nothing();
}

// BA-041
#[test]
fn each_channel_counts_for_itself() {
    let connection = Connection::open();
    let (one, two) = (connection.channel(1), connection.channel(2));
    one.confirm_select();
    two.confirm_select();
    one.fill("nowhere", ["a", "b"]);
    two.fill("nowhere", ["c"]);
    one.expect_acked(2);
    assert_eq!(two.next_confirm(), (ACK, 1, false));
}

// BA-043
#[test]
fn every_kind_of_message_in_every_kind_of_queue_is_acked() {
    let channel = confirming();
    let (transient, durable) = (channel.queue(), channel.shared_queue());
    let x = channel.exchange("fanout");
    channel.call(&bind(&transient, &x, ""));
    channel.call(&bind(&durable, &x, ""));
    for target in [&transient, &durable] {
        channel.publish(&publish("", target, "transient"));
        channel.publish(&publish("", target, "persistent").persistent());
    }
    channel.publish(&publish(&x, "", "both").persistent());
    channel.publish(&publish(&x, "", "both"));
    channel.expect_acked(6);
    assert_eq!(channel.count(&delete(&durable)), 4);
    assert_eq!(channel.count(&delete(&transient)), 4);
}

// BA-043
#[test]
fn acked_message_is_in_the_queue() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = channel.shared_queue();
    channel.confirm_select();
    for tag in 1..=30 {
        channel.publish(&publish("", &q, "m").persistent());
        assert_eq!(channel.next_confirm(), (ACK, tag, false));
        assert!(other.get_by(&get(&q).no_ack()).is_some(), "message {tag}");
    }
    channel.call(&delete(&q));
}

// BA-044
#[test]
fn confirms_of_a_burst_cover_every_publish_once() {
    let channel = confirming();
    let q = channel.shared_queue();
    for _ in 0..2000 {
        channel.publish(&publish("", &q, "m").persistent());
    }
    // A tag that is decided twice fails in here.
    channel.expect_acked(2000);
    channel.expect_nothing();
    assert_eq!(channel.count(&delete(&q)), 2000);
}

// BA-044
#[test]
fn confirms_of_mixed_publishes_cover_every_publish_once() {
    let channel = confirming();
    let (transient, durable) = (channel.queue(), channel.shared_queue());
    let targets = [transient.as_str(), durable.as_str(), "nowhere"];
    for n in 0..900 {
        let message = publish("", targets[n % 3], "m");
        channel.publish(&if n % 2 == 0 { message.persistent() } else { message });
    }
    channel.expect_acked(900);
    channel.call(&delete(&durable));
}

// BA-043, BA-049
#[test]
fn message_that_is_consumed_at_once_is_confirmed_too() {
    let connection = Connection::open();
    let (channel, consumer) = (connection.channel(1), connection.channel(2));
    let q = channel.shared_queue();
    consumer.consume(&consume(&q, "t").no_ack());
    channel.confirm_select();
    for _ in 0..200 {
        channel.publish(&publish("", &q, "m").persistent());
    }
    channel.expect_acked(200);
    consumer.deliveries(200);
    channel.call(&delete(&q));
}

// BA-045, QU-114
#[test]
fn refused_publish_is_nacked() {
    let channel = confirming();
    let limit = Table::new().with("x-max-length", 1).with("x-overflow", "reject-publish");
    let q = channel.queue_with(limit);
    channel.fill(&q, ["kept"]);
    assert_eq!(channel.next_confirm().1, 1);
    channel.fill(&q, ["refused"]);
    let (id, tag, _) = channel.next_confirm();
    assert_eq!((id, tag), ((60, 120), 2));
    assert_eq!(channel.drain(&q), ["kept"]);
}

// BA-046, QU-089
#[test]
fn deleting_the_queue_leaves_no_publish_undecided() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    channel.confirm_select();
    for round in 0..20 {
        let q = other.shared_queue();
        for _ in 0..50 {
            channel.publish(&publish("", &q, "m").persistent());
        }
        other.call(&delete(&q));
        let mut undecided = (round * 50 + 1..=round * 50 + 50).collect();
        assert!(channel.confirms_of(&mut undecided).nacked.is_empty());
    }
}

// BA-047, BA-050
#[test]
fn failed_publish_is_not_nacked() {
    let channel = confirming();
    channel.publish(&publish("no-such-exchange", "k", "m"));
    let text = "NOT_FOUND - no exchange 'no-such-exchange' in vhost '/'";
    channel.expect_close(404, text, (60, 40));
}
