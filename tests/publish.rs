//! basic.publish: content, properties, sizes, validation.

use crate::harness::*;

/// Publishes through a queue and gives back what arrives.
#[track_caller]
fn echo(channel: &Channel, message: &Publish) -> Message {
    channel.publish(message);
    let last = channel.get("").expect("the message is in the queue");
    assert_eq!(last.left, 0);
    last
}

/// A channel whose last declared queue is this one.
fn with_queue() -> (Channel, String) {
    let channel = Channel::open();
    let q = channel.queue();
    (channel, q)
}

// BA-004
#[test]
fn immediate_is_not_implemented() {
    let (channel, q) = with_queue();
    channel.publish(&publish("", &q, "m").immediate());
    channel.connection().expect_close(540, "NOT_IMPLEMENTED - immediate=true", (60, 40));
}

// BA-006
#[test]
fn unroutable_message_is_dropped() {
    let channel = Channel::open();
    channel.publish(&publish("", "no-such-queue", "m"));
    channel.expect_nothing();
}

// BA-008
#[test]
fn expiration_is_a_number_of_milliseconds() {
    let (channel, q) = with_queue();
    for (text, reason) in [
        ("abc", "no_integer"),
        ("", "no_integer"),
        (" 5", "no_integer"),
        ("-1", "{value_negative,-1}"),
        ("1.5", "{leftover_string,\".5\"}"),
        ("10s", "{leftover_string,\"s\"}"),
        ("315360000001", "{value_too_large,315360000001}"),
    ] {
        channel.publish(&publish("", &q, "m").expiration(text));
        let expected = format!("PRECONDITION_FAILED - invalid expiration '{text}': {reason}");
        channel.expect_close(406, expected, (60, 40));
        channel.reopen();
    }
    for text in ["60000", "+60000", "315360000000", "00060000"] {
        channel.declare(&queue(&q).passive());
        let got = echo(&channel, &publish("", &q, "m").expiration(text));
        // RabbitMQ 4 delivers the number it read: "60000" for "+60000".
        let number = |text: &str| text.parse::<u64>().unwrap();
        assert_eq!(got.properties.expiration.as_deref().map(number), Some(number(text)));
    }
}

// BA-001, BA-008
#[test]
fn missing_exchange_is_said_before_a_wrong_expiration() {
    let channel = Channel::open();
    channel.publish(&publish("no-such", "k", "m").expiration("abc"));
    channel.expect_close(404, "NOT_FOUND - no exchange 'no-such' in vhost '/'", (60, 40));
}

// BA-008
#[test]
fn expiration_is_checked_without_a_route() {
    let channel = Channel::open();
    channel.publish(&publish("", "no-such-queue", "m").expiration("abc"));
    let text = "PRECONDITION_FAILED - invalid expiration 'abc': no_integer";
    channel.expect_close(406, text, (60, 40));
}

// BA-009, VM-24
#[test]
fn any_delivery_mode_passes_through() {
    let (channel, q) = with_queue();
    for mode in [None, Some(0), Some(1), Some(2), Some(3), Some(255)] {
        let properties = Properties { delivery_mode: mode, ..Properties::default() };
        let got = echo(&channel, &publish("", &q, "m").properties(properties));
        assert_eq!(got.properties.delivery_mode, mode);
    }
}

// BA-013, BA-014, BA-018, BA-019, FR-021
#[test]
fn properties_pass_through_unchanged() {
    let (channel, q) = with_queue();
    let nested =
        Table::new().with("a", 1).with("b", Table::new().with("c", vec![1.into(), "x".into()]));
    let headers = Table::new()
        .with(
            "array",
            vec![Value::I32(1), "two".into(), Value::Void, true.into(), nested.clone().into()],
        )
        .with("bool", false)
        .with("byte", Value::I8(-8))
        .with("bytes", Value::Bytes(vec![0, 255, 1]))
        .with("decimal", Value::Decimal(2, 314))
        .with("double", Value::F64(-1.5))
        .with("empty", "")
        .with("empty table", Table::new())
        .with("empty array", Value::Array(Vec::new()))
        .with("float", Value::F32(2.5))
        .with("int", -5)
        .with("long", Value::I64(i64::MIN))
        .with("short", Value::I16(-300))
        .with("table", nested)
        .with("text", "\u{1F407}")
        .with("time", Value::Time(1_700_000_000))
        .with("unsigned byte", Value::U8(200))
        .with("unsigned int", Value::U32(u32::MAX))
        .with("unsigned short", Value::U16(65535))
        .with("void", Value::Void);
    let text = |text: &str| Some(text.to_owned());
    let sent = Properties {
        content_type: text("text/plain"),
        content_encoding: text("utf-8"),
        headers: Some(headers.sorted()),
        delivery_mode: Some(2),
        priority: Some(255),
        correlation_id: text("correlation"),
        reply_to: text("reply"),
        expiration: text("60000"),
        message_id: text("id"),
        timestamp: Some(u64::MAX),
        kind: text("type"),
        user_id: text("guest"),
        app_id: text("app"),
        cluster_id: text("cluster"),
    };
    let mut got = echo(&channel, &publish("", &q, "m").properties(sent.clone())).properties;
    got.headers = got.headers.map(Table::sorted);
    assert_eq!(got, sent);
}

// BA-013
#[test]
fn each_property_alone_passes_through() {
    let (channel, q) = with_queue();
    let text = || Some("x".to_owned());
    let none = Properties::default;
    for sent in [
        none(),
        Properties { content_type: text(), ..none() },
        Properties { content_encoding: text(), ..none() },
        Properties { headers: Some(Table::new().with("a", "b")), ..none() },
        Properties { headers: Some(Table::new()), ..none() },
        Properties { delivery_mode: Some(1), ..none() },
        Properties { priority: Some(0), ..none() },
        Properties { correlation_id: text(), ..none() },
        Properties { reply_to: text(), ..none() },
        Properties { message_id: text(), ..none() },
        Properties { timestamp: Some(0), ..none() },
        Properties { kind: text(), ..none() },
        Properties { app_id: text(), ..none() },
        Properties { cluster_id: text(), ..none() },
        Properties { content_type: Some(String::new()), ..none() },
    ] {
        let got = echo(&channel, &publish("", &q, "m").properties(sent.clone()));
        assert_eq!(got.properties, sent);
    }
}

// FR-021: the tag L is a second spelling of l.
#[test]
fn both_spellings_of_a_long_integer_are_read() {
    let (channel, q) = with_queue();
    let sent = Table::new().with("long", Value::I64AsL(-77));
    let got = echo(&channel, &publish("", &q, "m").headers(sent));
    let long = got.headers().get("long").cloned();
    assert!(matches!(long, Some(Value::I64(-77) | Value::I64AsL(-77))), "{long:?}");
}

// VM-21, BA-014
#[test]
fn key_that_stands_twice_in_the_headers_does_no_harm() {
    let (channel, q) = with_queue();
    let sent = Table::new().with("b", 1).with("a", 1).with("a", 2);
    let got = echo(&channel, &publish("", &q, "m").headers(sent)).headers();
    assert!(got.get("a").is_some() && got.get("b") == Some(&Value::I32(1)), "{got:?}");
}

// BA-015, FR-016, FR-018
#[test]
fn empty_body_has_no_frame() {
    let (channel, q) = with_queue();
    channel.fill(&q, [""]);
    channel.subscribe(&q, "t");
    let got = channel.delivery();
    assert_eq!((got.body.len(), got.body_frames), (0, vec![]));
    channel.send(&ack(1));
    channel.expect_nothing();
}

// BA-282
#[test]
fn short_strings_of_255_bytes_work_everywhere() {
    let (channel, q) = with_queue();
    let long = "k".repeat(255);
    let x = channel.exchange("direct");
    channel.call(&bind(&q, &x, &long));
    let text = || Some(long.clone());
    let properties =
        Properties { correlation_id: text(), message_id: text(), ..Properties::default() };
    channel.subscribe(&q, &long);
    channel.publish(&publish(&x, &long, "m").properties(properties.clone()));
    let got = channel.delivery();
    assert_eq!((got.routing_key, got.consumer_tag), (long.clone(), long.clone()));
    assert_eq!(got.properties, properties);
    channel.cancel(&long);
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

// CN-068, FR-018, BA-280
#[test]
fn bodies_are_split_at_frame_max_and_not_before() {
    let (channel, q) = with_queue();
    let whole = 131_072 - 8;
    channel.subscribe(&q, "t");
    for (length, frames) in [
        (1, vec![1]),
        (whole - 1, vec![whole - 1]),
        (whole, vec![whole]),
        (whole + 1, vec![whole, 1]),
        (3 * whole, vec![whole; 3]),
    ] {
        channel.publish(&publish("", &q, pattern(length)));
        let got = channel.delivery();
        assert!(got.body == pattern(length), "the body of {length} bytes is intact");
        assert_eq!(got.body_frames, frames);
    }
}

// BA-280, CN-068
#[test]
fn bodies_are_split_again_for_a_consumer_with_small_frames() {
    let publisher = Channel::open();
    let q = publisher.shared_queue();
    let consumer = Options::new().frame_max(8192).open().channel(1);
    consumer.subscribe(&q, "t");
    publisher.publish(&publish("", &q, pattern(20_000)));
    let got = consumer.delivery();
    assert!(got.body == pattern(20_000));
    assert_eq!(got.body_frames, [8184, 8184, 3632]);
    // And the other way round: small frames in, one large frame out.
    consumer.publish(&publish("", &q, pattern(20_000)));
    assert!(consumer.delivery().body == pattern(20_000));
    consumer.cancel("t");
    consumer.publish(&publish("", &q, pattern(20_000)));
    consumer.expect_nothing();
    publisher.expect_ready(&q, 1);
    assert_eq!(publisher.get(&q).unwrap().body_frames, [20_000]);
    publisher.call(&delete(&q));
}

// BA-283
#[test]
fn large_message_is_intact_in_every_queue() {
    let channel = Channel::open();
    let x = channel.exchange("fanout");
    let queues: Vec<String> = (0..3).map(|_| channel.queue()).collect();
    for q in &queues {
        channel.call(&bind(q, &x, ""));
    }
    let body = pattern(10 * 1024 * 1024);
    channel.publish(&publish(&x, "", body.clone()));
    for q in &queues {
        assert!(channel.get(q).unwrap().body == body, "the copy in {q} is intact");
    }
}

// BA-002, BA-003, VM-04
#[test]
fn message_above_the_size_limit_closes_the_channel() {
    let (channel, q) = with_queue();
    let limit = 16_777_216;
    channel.publish(&publish("", &q, vec![b'x'; limit]));
    assert_eq!(channel.get(&q).unwrap().body.len(), limit);
    channel.publish(&publish("", &q, vec![b'x'; limit + 1]));
    let text =
        "PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216";
    channel.expect_close(406, text, (60, 40));
}

// BA-002
#[test]
fn largest_message_is_a_setting() {
    let Some(private) = private_broker("max_message_size = 100") else { return };
    let channel = private.open().channel(1);
    let q = channel.queue();
    channel.fill(&q, ["x".repeat(100).as_str()]);
    assert_eq!(channel.get(&q).unwrap().body.len(), 100);
    channel.fill(&q, ["x".repeat(101).as_str()]);
    let text = "PRECONDITION_FAILED - message size 101 is larger than configured max size 100";
    channel.expect_close(406, text, (60, 40));
}

// BA-281
#[test]
fn channels_may_interleave_their_content() {
    let connection = Connection::open();
    let (one, two) = (connection.channel(1), connection.channel(2));
    let q = one.queue();
    let (a, b) = (publish("", &q, "aaaa"), publish("", &q, "bbbb"));
    for (first, second) in a.frames(1, 10).iter().zip(&b.frames(2, 10)) {
        connection.send_frame(first);
        connection.send_frame(second);
    }
    two.expect_nothing();
    one.expect_ready(&q, 2);
    let mut got = one.drain(&q);
    got.sort();
    assert_eq!(got, ["aaaa", "bbbb"]);
}

// FR-017
#[test]
fn body_frames_of_no_bytes_are_ignored() {
    let (channel, q) = with_queue();
    let connection = channel.connection();
    let frames = publish("", &q, "abcd").frames(1, 10);
    let empty = Frame::new(BODY, 1, []);
    for frame in [&frames[0], &frames[1], &empty, &frames[2], &empty, &empty, &frames[3]] {
        connection.send_frame(frame);
    }
    assert_eq!(channel.drain(&q), ["abcd"]);
}

// BA-095
#[test]
fn order_of_a_publisher_is_the_order_of_the_queue() {
    let (channel, q) = with_queue();
    let expected: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    for body in &expected {
        channel.publish(&publish("", &q, body.as_str()));
    }
    channel.consume(&consume(&q, "t").no_ack());
    assert_eq!(channel.deliveries(1000), expected);
}

// BA-010, BA-011
#[test]
fn cc_and_bcc_are_further_routing_keys() {
    let channel = Channel::open();
    let (one, two, three) = (channel.queue(), channel.queue(), channel.queue());
    let copies = vec![two.as_str().into(), one.as_str().into(), 5.into()];
    let headers = Table::new()
        .with("BCC", vec![three.as_str().into()])
        .with("CC", copies.clone())
        .with("cc", "lower case is no address");
    channel.publish(&publish("", &one, "m").headers(headers));
    for q in [&one, &two, &three] {
        let got = channel.get(q).unwrap();
        assert_eq!((got.routing_key.as_str(), got.left), (one.as_str(), 0));
        let expected =
            Table::new().with("CC", copies.clone()).with("cc", "lower case is no address");
        assert_eq!(got.headers(), expected);
    }
}

// BA-012
#[test]
fn mandatory_message_with_a_routed_copy_does_not_come_back() {
    let (channel, q) = with_queue();
    let headers = Table::new().with("CC", vec![q.as_str().into()]);
    channel.publish(&publish("", "nowhere", "m").headers(headers).mandatory());
    channel.expect_nothing();
    assert_eq!(channel.drain(&q), ["m"]);
}

// BA-010
#[test]
fn cc_and_bcc_are_arrays() {
    let (channel, q) = with_queue();
    for key in ["CC", "BCC"] {
        channel.publish(&publish("", &q, "m").headers(Table::new().with(key, "text")));
        let text = format!(
            "PRECONDITION_FAILED - invalid message: \
             {{unacceptable_type_in_header,\"{key}\",longstr}}"
        );
        channel.expect_close(406, text, (60, 40));
        channel.reopen();
    }
}

// BA-007
#[test]
fn user_id_is_the_user_of_the_connection() {
    let (channel, q) = with_queue();
    let claim = |user: &str| Properties { user_id: Some(user.to_owned()), ..Properties::default() };
    let got = echo(&channel, &publish("", &q, "m").properties(claim("guest")));
    assert_eq!(got.properties, claim("guest"));
    channel.publish(&publish("", &q, "m").properties(claim("bob")));
    let text = "PRECONDITION_FAILED - user_id property set to 'bob' \
                but authenticated user was 'guest'";
    channel.expect_close(406, text, (60, 40));
}
