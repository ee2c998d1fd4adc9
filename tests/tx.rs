//! Transactions.

use crate::harness::*;

fn transactional() -> (Channel, String) {
    let channel = Channel::open();
    let q = channel.queue();
    channel.call(&tx_select());
    (channel, q)
}

// BA-200
#[test]
fn tx_select_may_be_repeated() {
    let (channel, q) = transactional();
    channel.fill(&q, ["a"]);
    channel.call(&tx_select());
    channel.call(&tx_commit());
    assert_eq!(channel.drain(&q), ["a"]);
}

// BA-200
#[test]
fn confirming_channel_is_not_transactional() {
    let channel = Channel::open();
    channel.confirm_select();
    let text = "PRECONDITION_FAILED - cannot switch from confirm to tx mode";
    channel.refused(&tx_select(), 406, text);
}

// BA-201
#[test]
fn commit_and_rollback_need_select() {
    let channel = Channel::open();
    for request in [tx_commit(), tx_rollback()] {
        channel.refused(&request, 406, "PRECONDITION_FAILED - channel is not transactional");
        channel.reopen();
    }
}

// BA-202, BA-207
#[test]
fn publishes_wait_for_the_commit() {
    let (channel, q) = transactional();
    channel.fill(&q, ["a", "b"]);
    assert_eq!(channel.get(&q), None);
    channel.call(&tx_commit());
    assert_eq!(channel.drain(&q), ["a", "b"]);
    channel.fill(&q, ["c"]);
    channel.call(&tx_rollback());
    channel.call(&tx_commit());
    assert_eq!(channel.get(&q), None);
}

// BA-202
#[test]
fn acks_wait_for_the_commit() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    channel.fill(&q, ["a", "b", "c"]);
    channel.expect_ready(&q, 3);
    channel.call(&tx_select());
    for _ in 0..3 {
        channel.get(&q).unwrap();
    }
    channel.send(&ack(1));
    channel.send(&nack(2, true));
    channel.send(&reject(3, true));
    channel.expect_nothing();
    assert_eq!(other.get(&q), None);
    channel.call(&tx_commit());
    other.expect_ready(&q, 2);
    assert_eq!(other.drain(&q), ["b", "c"]);
}

// BA-202, BA-208
#[test]
fn ack_that_was_not_committed_is_undone_by_the_close() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    channel.call(&tx_select());
    other.fill(&q, ["a"]);
    other.expect_ready(&q, 1);
    channel.get(&q).unwrap();
    channel.send(&ack(1));
    channel.fill(&q, ["b"]);
    channel.close();
    other.expect_ready(&q, 1);
    let got = other.get(&q).unwrap();
    assert_eq!((got.text(), got.redelivered), ("a".to_owned(), true));
}

// BA-202
#[test]
fn deliveries_go_on_during_a_transaction() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    channel.call(&tx_select());
    channel.subscribe(&q, "t");
    channel.fill(&q, ["own"]);
    other.fill(&q, ["other"]);
    assert_eq!(channel.delivery().text(), "other");
    channel.send(&tx_commit());
    // The commit and the delivery that it causes have no order.
    let ids = [channel.next().method.id, channel.next().method.id];
    assert!(ids.contains(&(90, 21)) && ids.contains(&(60, 60)), "{ids:?}");
}

// BA-203
#[test]
fn publishes_are_validated_at_once() {
    let (channel, q) = transactional();
    channel.publish(&publish("", &q, "m").expiration("abc"));
    let text = "PRECONDITION_FAILED - invalid expiration 'abc': no_integer";
    channel.expect_close(406, text, (60, 40));
}

// BA-204
#[test]
fn commit_with_a_refused_publish_fails() {
    let channel = Channel::open();
    let limit = Table::new().with("x-max-length", 1).with("x-overflow", "reject-publish");
    let q = channel.queue_with(limit);
    channel.call(&tx_select());
    channel.fill(&q, ["kept", "refused"]);
    channel.refused(&tx_commit(), 406, "PRECONDITION_FAILED - partial tx completion");
    channel.reopen();
    assert_eq!(channel.drain(&q), ["kept"]);
}

// BA-205
#[test]
fn returns_come_before_commit_ok() {
    let (channel, _) = transactional();
    for body in ["a", "b"] {
        channel.publish(&publish("", "nowhere", body).mandatory());
    }
    channel.expect_nothing();
    channel.send(&tx_commit());
    assert_eq!(channel.returned().text(), "a");
    assert_eq!(channel.returned().text(), "b");
    channel.expect((90, 21));
}

// BA-206
#[test]
fn commit_ok_covers_persistent_publishes_of_many_queues() {
    let channel = Channel::open();
    let queues: Vec<String> = (0..3).map(|_| channel.shared_queue()).collect();
    channel.call(&tx_select());
    for q in &queues {
        for _ in 0..50 {
            channel.publish(&publish("", q, "m").persistent());
        }
    }
    channel.call(&tx_commit());
    for q in &queues {
        assert_eq!(channel.count(&delete(q)), 50);
    }
}

// BA-207
#[test]
fn rollback_leaves_messages_unacked_with_the_channel() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    channel.call(&tx_select());
    other.fill(&q, ["a"]);
    other.expect_ready(&q, 1);
    channel.get(&q).unwrap();
    channel.send(&nack(1, true));
    channel.call(&tx_rollback());
    assert_eq!(other.get(&q), None, "rollback requeues nothing");
    channel.send(&ack(1));
    channel.call(&tx_commit());
    assert_eq!(other.get(&q), None);
}

// BA-208
#[test]
fn channel_stays_transactional() {
    let (channel, q) = transactional();
    channel.call(&tx_commit());
    channel.call(&tx_rollback());
    channel.fill(&q, ["a"]);
    assert_eq!(channel.get(&q), None);
    channel.call(&tx_commit());
    assert_eq!(channel.drain(&q), ["a"]);
}

// BA-209
#[test]
fn tag_is_acked_once_in_a_transaction_and_again_after_rollback() {
    let (channel, q) = transactional();
    channel.fill(&q, ["a"]);
    channel.call(&tx_commit());
    channel.get(&q).unwrap();
    channel.send(&ack(1));
    channel.call(&tx_rollback());
    channel.send(&ack(1));
    channel.refused(&ack(1), 406, "PRECONDITION_FAILED - unknown delivery tag 1");
}

// BA-210
#[test]
fn routes_are_those_of_the_publish_and_not_of_the_commit() {
    let (channel, _) = transactional();
    let late = name("late");
    channel.fill(&late, ["m"]);
    channel.declare(&queue(&late).exclusive());
    channel.call(&tx_commit());
    assert_eq!(channel.get(&late), None);
}

// BA-211
#[test]
fn recover_leaves_acks_of_the_transaction_alone() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    other.fill(&q, ["a", "b"]);
    other.expect_ready(&q, 2);
    channel.call(&tx_select());
    channel.get(&q).unwrap();
    channel.get(&q).unwrap();
    channel.send(&ack(1));
    channel.call(&recover(true));
    other.expect_ready(&q, 1);
    channel.call(&tx_commit());
    assert_eq!(other.drain(&q), ["b"]);
}
