//! Quorum queues as their clients see them on one node.

use crate::harness::*;

fn quorum() -> Table {
    Table::new().with("x-queue-type", "quorum")
}

/// Deletes a queue. The cancels of its consumers come on either side of the answer (QT-033).
#[track_caller]
fn remove(channel: &Channel, q: &str) {
    channel.send(&delete(q));
    while channel.next().method.id != (50, 41) {}
}

/// A header of a delivery, if it is there.
fn header(message: &Message, key: &str) -> Option<Value> {
    message.properties.headers.as_ref().and_then(|headers| headers.get(key).cloned())
}

// QT-001 to QT-005
#[test]
fn quorum_queue_is_durable_and_shared_and_stays() {
    let channel = Channel::open();
    let q = name("quorum");
    let request = || queue(&q).args(quorum());
    for (request, property) in [
        (request(), "non-durable"),
        (request().durable().exclusive(), "exclusive-owner"),
        (request().durable().auto_delete(), "auto-delete"),
        (request().exclusive().auto_delete(), "auto-delete"),
        (request().exclusive(), "exclusive-owner"),
    ] {
        let text = format!(
            "PRECONDITION_FAILED - invalid property '{property}' for queue '{q}' in vhost '/'"
        );
        channel.refused(&request, 406, text);
        channel.reopen();
    }
    let text = "PRECONDITION_FAILED - Cannot declare a server-named queue for type \
                rabbit_quorum_queue";
    channel.refused(&queue("").durable().args(quorum()), 406, text);
}

// QT-034
#[test]
fn arguments_of_other_types_are_not_for_a_quorum_queue() {
    let channel = Channel::open();
    for (key, value) in [
        ("x-max-priority", Value::I32(5)),
        ("x-queue-mode", "lazy".into()),
        ("x-max-age", "1D".into()),
    ] {
        let q = name("quorum");
        let text = format!(
            "PRECONDITION_FAILED - invalid arg '{key}' for queue '{q}' in vhost '/' of queue type \
             rabbit_quorum_queue"
        );
        channel.refused(&queue(&q).durable().args(quorum().with(key, value)), 406, text);
        channel.reopen();
    }
}

// QT-008 to QT-010
#[test]
fn quorum_queue_is_deleted_without_conditions() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum());
    for (request, flag) in
        [(delete(&q).if_unused(), "if-unused"), (delete(&q).if_empty(), "if-empty")]
    {
        let text = format!(
            "NOT_IMPLEMENTED - cannot delete queue '{q}' in vhost '/'. queue.delete operations \
             with {flag} flag set are not supported by quorum queues"
        );
        Channel::open().kills(&request, 540, text);
    }
    channel.fill(&q, ["a", "b"]);
    channel.expect_ready(&q, 2);
    assert_eq!(channel.count(&delete(&q)), 2);
}

// QT-006, QT-007, QT-016, QT-017
#[test]
fn quorum_queue_serves_like_any_other() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum());
    channel.fill(&q, ["a", "b", "c", "d"]);
    channel.expect_ready(&q, 4);
    channel.send(&ack(channel.take(&q, "a")));
    channel.send(&nack(channel.take(&q, "b"), true));
    channel.expect_ready(&q, 3);
    let again = channel.get(&q).unwrap();
    assert_eq!((again.text().as_str(), again.redelivered), ("b", true));
    channel.send(&reject(again.delivery_tag, false));
    channel.subscribe(&q, "t");
    assert_eq!(channel.deliveries(2), ["c", "d"]);
    channel.cancel("t");
    channel.fill(&q, ["e", "f"]);
    channel.expect_ready(&q, 2);
    assert_eq!(channel.count(&purge(&q)), 2);
    remove(&channel, &q);
}

// QT-013
#[test]
fn exclusive_consumers_are_not_alone_on_a_quorum_queue() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum());
    channel.consume(&consume(&q, "one").flag("exclusive", true));
    channel.consume(&consume(&q, "two").flag("exclusive", true));
    remove(&channel, &q);
}

// QU-143
#[test]
fn get_is_refused_where_one_consumer_is_active() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum().with("x-single-active-consumer", true));
    channel.refused(
        &get(&q),
        405,
        starts_with(format!(
            "RESOURCE_LOCKED - cannot obtain access to locked queue '{q}' in vhost '/'. basic.get \
             operations are not supported by "
        )),
    );
    channel.reopen();
    remove(&channel, &q);
}

// QT-032, QU-140
#[test]
fn one_consumer_is_active_at_a_time() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum().with("x-single-active-consumer", true));
    let (first, second) = (Channel::open(), Channel::open());
    first.subscribe(&q, "t");
    second.subscribe(&q, "t");
    channel.fill(&q, ["a", "b"]);
    assert_eq!(first.deliveries(2), ["a", "b"]);
    second.expect_nothing();
    first.send(&ack(2).multiple());
    first.cancel("t");
    channel.fill(&q, ["c"]);
    assert_eq!(second.delivery().text(), "c");
    remove(&channel, &q);
}

// BA-261, BA-262, BA-264, TOP-33
#[test]
fn message_that_fails_too_often_is_a_dead_letter() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel
        .durable_queue(letters.args().with("x-queue-type", "quorum").with("x-delivery-limit", 2));
    channel.fill(&q, ["m"]);
    channel.subscribe(&q, "t");
    for count in [None, Some(1), Some(2)] {
        let message = channel.delivery();
        assert_eq!(message.redelivered, count.is_some());
        assert_eq!(header(&message, "x-delivery-count"), count.map(Value::I64));
        assert_eq!(header(&message, "x-acquired-count"), count.map(Value::I64));
        channel.send(&reject(message.delivery_tag, true));
    }
    let letter = letters.next();
    assert_eq!(letter.history(), history([(&q, "delivery_limit", 1)]));
    channel.expect_ready(&q, 0);
    remove(&channel, &q);
}

// BA-264
#[test]
fn message_that_fails_too_often_is_dropped_without_dead_letters() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum().with("x-delivery-limit", 0));
    channel.fill(&q, ["a", "b"]);
    channel.call(&qos(1));
    channel.subscribe(&q, "t");
    let message = channel.delivery();
    channel.send(&reject(message.delivery_tag, true));
    assert_eq!(channel.delivery().text(), "b");
    remove(&channel, &q);
}

// BA-262
#[test]
fn nack_and_recover_do_not_count_as_failures() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum().with("x-delivery-limit", 1));
    channel.fill(&q, ["m"]);
    channel.subscribe(&q, "t");
    for acquired in 0..5 {
        let message = channel.delivery();
        assert_eq!(header(&message, "x-delivery-count"), None);
        let expected = (acquired > 0).then_some(Value::I64(acquired));
        assert_eq!(header(&message, "x-acquired-count"), expected);
        channel.send(&nack(message.delivery_tag, true));
    }
    channel.delivery();
    remove(&channel, &q);
}

// BA-262
#[test]
fn loss_of_the_channel_counts_as_a_failure() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel
        .durable_queue(letters.args().with("x-queue-type", "quorum").with("x-delivery-limit", 2));
    channel.fill(&q, ["m"]);
    for (count, ends_with) in [(None, "close"), (Some(1), "connection.close"), (Some(2), "cut")] {
        let consumer = Channel::open();
        consumer.subscribe(&q, "t");
        let message = consumer.delivery();
        assert_eq!(header(&message, "x-delivery-count"), count.map(Value::I64));
        match ends_with {
            "close" => consumer.close(),
            "cut" => consumer.connection().cut(),
            _ => consumer.connection().close(),
        }
    }
    assert_eq!(letters.next().history(), history([(&q, "delivery_limit", 1)]));
    remove(&channel, &q);
}

// BA-261
#[test]
fn get_tells_the_count_too() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum());
    channel.fill(&q, ["m"]);
    channel.expect_ready(&q, 1);
    for count in [None, Some(1), Some(2)] {
        let message = channel.get(&q).unwrap();
        assert_eq!(header(&message, "x-delivery-count"), count.map(Value::I64));
        channel.send(&reject(message.delivery_tag, true));
        channel.expect_ready(&q, 1);
    }
    remove(&channel, &q);
}

// QT-029
#[test]
fn message_may_fail_twenty_times_by_default() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel.durable_queue(letters.args().with("x-queue-type", "quorum"));
    channel.fill(&q, ["m"]);
    channel.subscribe(&q, "t");
    for _ in 0..=20 {
        let message = channel.delivery();
        channel.send(&reject(message.delivery_tag, true));
    }
    assert_eq!(letters.next().history(), history([(&q, "delivery_limit", 1)]));
    remove(&channel, &q);
}

// QT-029
#[test]
fn delivery_limit_may_be_off() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum().with("x-delivery-limit", -1));
    channel.fill(&q, ["m"]);
    channel.subscribe(&q, "t");
    for _ in 0..30 {
        let message = channel.delivery();
        channel.send(&reject(message.delivery_tag, true));
    }
    assert_eq!(header(&channel.delivery(), "x-delivery-count"), Some(Value::I64(30)));
    remove(&channel, &q);
}

// BA-260
#[test]
fn classic_queue_tells_no_counts() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.fill(&q, ["m"]);
    channel.send(&reject(channel.take(&q, "m"), true));
    assert_eq!(channel.get(&q).unwrap().properties.headers, None);
}

// BA-232, BA-261
#[test]
fn message_that_failed_too_often_may_go_to_another_quorum_queue() {
    let channel = Channel::open();
    let dead = channel.durable_queue(quorum());
    let q = channel.durable_queue(
        letters_to(&dead).with("x-queue-type", "quorum").with("x-delivery-limit", 1),
    );
    channel.fill(&q, ["m"]);
    channel.subscribe(&q, "t");
    for _ in 0..2 {
        let message = channel.delivery();
        channel.send(&reject(message.delivery_tag, true));
    }
    channel.subscribe(&dead, "dead");
    let letter = channel.delivery();
    assert_eq!(letter.history(), history([(&q, "delivery_limit", 1)]));
    remove(&channel, &q);
    remove(&channel, &dead);
}

// QT-023
#[test]
fn messages_of_a_quorum_queue_expire() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel
        .durable_queue(letters.args().with("x-queue-type", "quorum").with("x-message-ttl", 50));
    channel.fill(&q, ["m"]);
    let letter = letters.next();
    assert_eq!(letter.history(), history([(&q, "expired", 1)]));
    remove(&channel, &q);
}

// QT-025, QU-045
#[test]
fn quorum_queue_drops_where_others_refuse_to_dead_letters() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let arguments = letters.args().with("x-queue-type", "quorum").with("x-max-length", 2);
    let q = channel.durable_queue(arguments.with("x-overflow", "reject-publish-dlx"));
    channel.confirm_select();
    channel.fill(&q, ["a", "b", "c"]);
    channel.expect_acked(3);
    let letter = letters.next();
    assert_eq!(letter.text(), "a");
    assert_eq!(letter.history(), history([(&q, "maxlen", 1)]));
    remove(&channel, &q);
}

// QT-026
#[test]
fn quorum_queue_has_32_priorities() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum());
    let sent: [(&str, Option<u8>); 7] = [
        ("zero", Some(0)),
        ("none", None),
        ("four", Some(4)),
        ("five", Some(5)),
        ("three", Some(3)),
        ("hundred", Some(100)),
        ("thirty-one", Some(31)),
    ];
    for (body, priority) in sent {
        let mut message = publish("", &q, body);
        message.properties.priority = priority;
        channel.publish(&message);
    }
    channel.expect_ready(&q, 7);
    let expected = ["hundred", "thirty-one", "five", "none", "four", "three", "zero"];
    assert_eq!(channel.drain(&q), expected);
    remove(&channel, &q);
}

// QT-026
#[test]
fn priorities_of_a_quorum_queue_outlive_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable().args(quorum()));
    channel.declare(&queue("other").durable().args(quorum()));
    channel.confirm_select();
    for (body, priority) in [("a", Some(0)), ("b", None), ("c", Some(31)), ("d", Some(7))] {
        let mut message = publish("", "q", body);
        message.properties.priority = priority;
        channel.publish(&message);
    }
    channel.fill("other", ["e", "f"]);
    channel.expect_acked(6);
    private.restart();
    let channel = private.open().channel(1);
    channel.fill("q", ["g"]);
    channel.expect_ready("q", 5);
    assert_eq!(channel.drain("q"), ["c", "d", "b", "g", "a"]);
    assert_eq!(channel.drain("other"), ["e", "f"]);
    channel.call(&delete("q"));
    private.restart();
    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable().args(quorum()));
    assert_eq!(channel.get("q"), None);
}

// QT-027
#[test]
fn delivery_mode_comes_as_it_was_sent() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum());
    for mode in [None, Some(1), Some(2)] {
        let mut message = publish("", &q, "m");
        message.properties.delivery_mode = mode;
        channel.publish(&message);
        channel.expect_ready(&q, 1);
        assert_eq!(channel.get_by(&get(&q).no_ack()).unwrap().properties.delivery_mode, mode);
    }
    remove(&channel, &q);
}

// BA-262, BA-264, QT-027
#[test]
fn failures_are_counted_on_after_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("dead").durable());
    let arguments = letters_to("dead").with("x-queue-type", "quorum").with("x-delivery-limit", 3);
    channel.declare(&queue("q").durable().args(arguments));
    channel.confirm_select();
    // Not said to be persistent: a quorum queue keeps it all the same.
    channel.fill("q", ["m"]);
    channel.expect_acked(1);
    channel.subscribe("q", "t");
    let message = channel.delivery();
    channel.send(&reject(message.delivery_tag, true));
    let message = channel.delivery();
    channel.send(&reject(message.delivery_tag, true));
    channel.delivery();
    channel.cancel("t");
    private.restart();

    let channel = private.open().channel(1);
    channel.subscribe("q", "t");
    let message = channel.delivery();
    assert!(message.redelivered);
    // The stop was the third loss.
    assert_eq!(header(&message, "x-delivery-count"), Some(Value::I64(3)));
    channel.send(&reject(message.delivery_tag, true));
    channel.subscribe("dead", "dead");
    assert_eq!(channel.delivery().history(), history([("q", "delivery_limit", 1)]));
}

// QT-015, BA-086
#[test]
fn consumers_of_a_quorum_queue_have_priorities() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum());
    channel.call(&qos(1));
    channel.consume(&consume(&q, "low").arg("x-priority", -1));
    channel.consume(&consume(&q, "high").arg("x-priority", 10));
    for tag in ["high", "low"] {
        channel.fill(&q, ["m"]);
        assert_eq!(channel.delivery().consumer_tag, tag);
    }
    channel.send(&ack(1));
    channel.fill(&q, ["m"]);
    assert_eq!(channel.delivery().consumer_tag, "high");
    remove(&channel, &q);
}

// QT-028, QT-030
#[test]
fn message_of_a_quorum_queue_tells_where_it_was_published() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum());
    let x = channel.exchange("direct");
    channel.call(&bind(&q, &x, "key"));
    channel.publish(&publish(&x, "key", "m"));
    channel.subscribe(&q, "t");
    for redelivered in [false, true, true] {
        let message = channel.delivery();
        let from = (message.exchange.as_str(), message.routing_key.as_str(), message.redelivered);
        assert_eq!(from, (x.as_str(), "key", redelivered));
        channel.send(&nack(message.delivery_tag, true));
    }
    remove(&channel, &q);
}

// QT-033, QU-087
#[test]
fn consumers_of_a_quorum_queue_are_cancelled_with_it() {
    let channel = Channel::open();
    let q = channel.durable_queue(quorum());
    channel.subscribe(&q, "t");
    channel.send(&delete(&q));
    let mut seen = [channel.next().method, channel.next().method];
    seen.sort_by_key(|method| method.id);
    assert_eq!(seen.each_ref().map(|method| method.id), [(50, 41), (60, 30)]);
    assert_eq!(seen[1].read().short_string(), "t");
}

// QT-024, QU-114
#[test]
fn quorum_queue_refuses_what_is_too_much() {
    let channel = Channel::open();
    let limit = quorum().with("x-max-length", 2).with("x-overflow", "reject-publish");
    let q = channel.durable_queue(limit);
    channel.confirm_select();
    let is_taken = |_: &u32| {
        channel.fill(&q, ["m"]);
        channel.next_confirm().0 == (60, 80)
    };
    let taken = (0..10).take_while(is_taken).count();
    // RabbitMQ may take one more than it should.
    assert!((2..=2 + usize::from(broker().is_external)).contains(&taken), "{taken}");
    assert_eq!(channel.drain(&q).len(), taken);
    remove(&channel, &q);
}
