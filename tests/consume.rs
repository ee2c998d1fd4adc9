//! basic.consume, basic.cancel and deliveries.

use crate::harness::*;

// BA-080
#[test]
fn consumer_without_a_tag_gets_a_new_one() {
    let channel = Channel::open();
    let q = channel.queue();
    let (one, two) = (channel.consume(&consume(&q, "")), channel.consume(&consume(&q, "")));
    assert_ne!(one, two);
    for tag in [one, two] {
        let id = tag.strip_prefix("amq.ctag-").expect("the prefix amq.ctag-");
        let is_base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(id.len() == 22 && id.chars().all(is_base64url), "{tag}");
    }
}

// BA-080
#[test]
fn nowait_consumer_learns_its_tag_from_deliveries() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.send(&consume(&q, "").nowait());
    channel.fill(&q, ["m"]);
    let tag = channel.delivery().consumer_tag;
    assert!(tag.starts_with("amq.ctag-"), "{tag}");
    channel.cancel(&tag);
}

// BA-081
#[test]
fn consume_ok_stands_before_the_first_delivery() {
    let channel = Channel::open();
    for _ in 0..50 {
        let q = channel.queue();
        channel.fill(&q, ["m"]);
        channel.send(&consume(&q, "t"));
        channel.expect((60, 21));
        channel.delivery();
        channel.cancel("t");
    }
}

// BA-060, CH-012
#[test]
fn delivery_describes_the_message() {
    let channel = Channel::open();
    let q = channel.queue();
    let x = channel.exchange("direct");
    channel.call(&bind(&q, &x, "key"));
    channel.subscribe(&q, "tag");
    channel.publish(&publish(&x, "key", "body").properties(Properties::persistent()));
    let expected = Message {
        consumer_tag: "tag".to_owned(),
        delivery_tag: 1,
        exchange: x,
        routing_key: "key".to_owned(),
        properties: Properties::persistent(),
        body: b"body".to_vec(),
        body_frames: vec![4],
        ..Message::default()
    };
    assert_eq!(channel.delivery(), expected);
}

// BA-082
#[test]
fn tag_that_is_taken_closes_the_connection() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let (q, r) = (channel.queue(), channel.queue());
    channel.subscribe(&q, "t");
    other.subscribe(&q, "t");
    let text = "NOT_ALLOWED - attempt to reuse consumer tag 't'";
    channel.kills(&consume(&r, "t"), 530, text);
}

// BA-082
#[test]
fn tag_is_free_after_cancel() {
    let channel = Channel::open();
    let q = channel.queue();
    for _ in 0..20 {
        channel.subscribe(&q, "t");
        channel.cancel("t");
    }
}

// BA-083
#[test]
fn exclusive_consumer_stays_alone() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = channel.queue();
    let text = format!("ACCESS_REFUSED - queue '{q}' in vhost '/' in exclusive use");
    channel.consume(&consume(&q, "alone").exclusive());
    for request in [consume(&q, "t"), consume(&q, "t").exclusive()] {
        other.refused(&request, 403, &text);
        other.reopen();
    }
    channel.cancel("alone");
    other.subscribe(&q, "t");
    channel.refused(&consume(&q, "alone").exclusive(), 403, &text);
}

// BA-083
#[test]
fn exclusive_consumer_leaves_with_its_channel() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    for _ in 0..20 {
        channel.consume(&consume(&q, "alone").exclusive());
        channel.close();
        channel.reopen();
    }
    other.consume(&consume(&q, "alone").exclusive());
}

// BA-084
#[test]
fn no_local_is_ignored() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.consume(&consume(&q, "t").flag("no_local", true));
    channel.fill(&q, ["own"]);
    assert_eq!(channel.delivery().text(), "own");
}

// BA-085, BA-087
#[test]
fn consumer_priority_is_an_integer() {
    let channel = Channel::open();
    let q = channel.queue();
    for (n, value) in
        [Value::I32(-5), Value::I64(1 << 40), Value::U8(7), Value::I16(-1)].into_iter().enumerate()
    {
        channel.consume(&consume(&q, &n.to_string()).arg("x-priority", value));
    }
    let of = |arg: &str| {
        format!("PRECONDITION_FAILED - invalid arg '{arg}' for queue '{q}' in vhost '/'")
    };
    let text = format!("{}: \"expected integer, got longstr\"", of("x-priority"));
    channel.refused(&consume(&q, "t").arg("x-priority", "high"), 406, text);
    channel.reopen();
    channel.declare(&queue(&q).passive());
    let text = format!("{} of queue type rabbit_classic_queue", of("x-stream-offset"));
    channel.refused(&consume(&q, "t").arg("x-stream-offset", "first"), 406, text);
    channel.reopen();
    channel.consume(&consume(&q, "t").arg("x-unknown", "anything"));
}

// BA-086
#[test]
fn lower_priority_gets_what_higher_ones_have_no_credit_for() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.call(&qos(2));
    channel.subscribe(&q, "normal");
    channel.consume(&consume(&q, "low").arg("x-priority", -1));
    channel.consume(&consume(&q, "high").arg("x-priority", 10));
    channel.fill(&q, ["a", "b", "c", "d", "e", "f"]);
    let mut got: Vec<_> = (0..6).map(|_| channel.delivery()).collect();
    got.sort_by_key(Message::text);
    let tags: Vec<&str> = got.iter().map(|message| message.consumer_tag.as_str()).collect();
    assert_eq!(tags, ["high", "high", "normal", "normal", "low", "low"]);
    // The high one has credit again and is served first.
    channel.send(&ack(got[0].delivery_tag));
    channel.send(&ack(got[5].delivery_tag));
    channel.call(&flow(true));
    channel.fill(&q, ["g"]);
    assert_eq!(channel.delivery().consumer_tag, "high");
}

// BA-088
#[test]
fn consumers_take_turns() {
    let channel = Channel::open();
    let q = channel.queue();
    for tag in ["a", "b", "c"] {
        channel.subscribe(&q, tag);
    }
    for _ in 0..9 {
        channel.fill(&q, ["m"]);
    }
    let tags: Vec<String> = (0..9).map(|_| channel.delivery().consumer_tag).collect();
    assert_eq!(tags[0..3], tags[3..6]);
    assert_eq!(tags[0..3], tags[6..9]);
    let mut once = tags[0..3].to_vec();
    once.sort();
    assert_eq!(once, ["a", "b", "c"]);
}

// BA-088
#[test]
fn consumer_without_credit_is_passed_over() {
    let connection = Connection::open();
    let (busy, idle) = (connection.channel(1), connection.channel(2));
    let q = idle.queue();
    busy.call(&qos(1));
    busy.subscribe(&q, "busy");
    idle.subscribe(&q, "idle");
    idle.fill(&q, ["a", "b", "c", "d"]);
    busy.delivery();
    idle.deliveries(3);
}

// BA-089
#[test]
fn cancel_of_an_unknown_tag_is_fine() {
    Channel::open().cancel("no-such-tag");
}

// BA-090
#[test]
fn cancel_keeps_unacked_messages_with_the_channel() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = channel.queue();
    channel.subscribe(&q, "t");
    channel.fill(&q, ["a", "b"]);
    channel.deliveries(2);
    channel.cancel("t");
    assert_eq!(other.get(&q), None, "nothing is requeued");
    channel.send(&ack(1));
    channel.send(&nack(2, true));
    channel.expect_nothing();
    other.expect_ready(&q, 1);
    let got = other.get(&q).unwrap();
    assert_eq!((got.text(), got.redelivered), ("b".to_owned(), true));
}

// BA-090
#[test]
fn no_delivery_follows_cancel_ok() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    for _ in 0..50 {
        channel.consume(&consume(&q, "t"));
        other.fill(&q, ["a", "b", "c", "d", "e"]);
        channel.send(&cancel("t"));
        let mut delivered = 0;
        while channel.next().method.id != (60, 31) {
            delivered += 1;
        }
        // Were a delivery to follow, it would stand before flow-ok.
        channel.expect_nothing();
        other.expect_ready(&q, 5 - delivered);
        channel.call(&recover(true));
        assert_eq!(channel.drain(&q), ["a", "b", "c", "d", "e"]);
    }
}

// BA-091 is tested with queue.delete: QU-087

// BA-094
#[test]
fn consume_from_a_missing_queue_is_not_found() {
    let channel = Channel::open();
    let text = "NOT_FOUND - no queue 'no-such-queue' in vhost '/'";
    channel.refused(&consume("no-such-queue", "t"), 404, text);
}

// BA-095
#[test]
fn deliveries_keep_the_order_of_the_queue() {
    let connection = Connection::open();
    let (publisher, consumer) = (connection.channel(1), connection.channel(2));
    let q = publisher.queue();
    let expected: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
    for body in &expected[..1000] {
        publisher.publish(&publish("", &q, body.as_str()));
    }
    consumer.call(&qos(100));
    consumer.subscribe(&q, "t");
    for body in &expected[1000..] {
        publisher.publish(&publish("", &q, body.as_str()));
    }
    for body in &expected {
        let got = consumer.delivery();
        assert_eq!(got.text(), *body);
        consumer.send(&ack(got.delivery_tag));
    }
}

// BA-062, CH-013
#[test]
fn deliveries_without_ack_are_settled() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.consume(&consume(&q, "t").no_ack());
    channel.fill(&q, ["a", "b"]);
    channel.deliveries(2);
    channel.close();
    channel.reopen();
    assert_eq!(channel.get(&q), None);
}

// QU-003
#[test]
fn consumer_that_leaves_is_counted_no_more() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    channel.subscribe(&q, "a");
    channel.subscribe(&q, "b");
    channel.cancel("a");
    assert_eq!(other.declare(&queue(&q).passive()).consumers, 1);
    channel.close();
    assert_eq!(other.declare(&queue(&q).passive()).consumers, 0);
}

// CH-025
#[test]
fn consumers_of_a_channel_have_a_limit() {
    let Some(private) = private_broker("channel_consumers_max = 2") else { return };
    let connection = private.open();
    let channel = connection.channel(1);
    let q = channel.queue();
    channel.subscribe(&q, "a");
    channel.subscribe(&q, "b");
    connection.channel(2).subscribe(&q, "c");
    channel.cancel("a");
    channel.subscribe(&q, "d");
    let text = "NOT_ALLOWED - reached maximum (2) of consumers per channel";
    channel.kills(&consume(&q, "e"), 530, text);
}
