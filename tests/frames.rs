//! Frames that are wrong, and frames in the wrong place.

use std::time::Duration;

use crate::harness::*;

/// A connection with channel 1 open, for frames written by hand.
fn opened() -> Connection {
    let connection = Connection::open();
    connection.channel(1);
    connection
}

/// The method frame of a publish to a queue that does not exist, and a header for `size` bytes.
fn publish_frame() -> Frame {
    publish("", "nowhere", "").method.frame(1)
}

fn header_frame(size: u64) -> Frame {
    content_header(1, 60, 0, size, &Properties::default())
}

/// Sends the frames and expects the close.
#[track_caller]
fn closes(frames: &[Frame], code: u16, text: impl Into<Text>, method: (u16, u16)) {
    let connection = opened();
    for frame in frames {
        connection.send_frame(frame);
    }
    connection.expect_close(code, text, method);
}

const PUBLISH: (u16, u16) = (60, 40);

// FR-001, TOP-04, DP-10
#[test]
fn wrong_frame_end_is_a_frame_error() {
    let connection = opened();
    let mut bytes = qos(1).frame(1).bytes();
    *bytes.last_mut().unwrap() = 85;
    connection.send_bytes(&bytes);
    let text = "FRAME_ERROR - type 1, all octets = <<0,60,0,10,0,0,0,0,0,1,0>>: \
                {invalid_frame_end_marker,";
    connection.expect_close(501, starts_with(text), (0, 0));
    connection.frames_until_end();
}

// FR-001, FR-002
#[test]
fn broker_hangs_up_after_a_frame_error_though_its_close_is_not_answered() {
    let mut wrong_end = qos(1).frame(1).bytes();
    *wrong_end.last_mut().unwrap() = 85;
    let cases = [("wrong end", wrong_end), ("too large", frame_head(METHOD, 1, 131_073))];
    in_parallel(&cases, |bytes| {
        let connection = opened();
        connection.send_bytes(bytes);
        connection.control().expect((10, 50));
        connection.set_deadline(Duration::from_secs(10));
        connection.frames_until_end();
    });
}

// FR-006
#[test]
fn long_frames_are_told_by_their_first_16_octets() {
    let connection = opened();
    let mut bytes = Frame::new(BODY, 1, *b"abcdefghijklmnopq").bytes();
    *bytes.last_mut().unwrap() = 85;
    connection.send_bytes(&bytes);
    let text = "FRAME_ERROR - type 3, first 16 octets = <<\"abcdefghijklmnop\">>: {";
    connection.expect_close(501, starts_with(text), (0, 0));

    let unknown = |payload: &[u8], text: &str| {
        let text = format!("FRAME_ERROR - type 9, {text}: unknown_frame");
        closes(&[Frame::new(9, 1, payload)], 501, text, (0, 0));
    };
    unknown(b"abcdefghijklmnop", "all octets = <<\"abcdefghijklmnop\">>");
    unknown(b"abcdefghijklmnopq", "first 16 octets = <<\"abcdefghijklmnop\">>");
    unknown(b"", "all octets = <<>>");
    unknown(&[0, 1, 255], "all octets = <<0,1,255>>");
}

// FR-002, DP-10
#[test]
fn frame_above_frame_max_is_refused_by_its_head() {
    let cases =
        [("default", (131_072, 131_073)), ("small", (8192, 8193)), ("absurd", (8192, u32::MAX))];
    in_parallel(&cases, |&(frame_max, size)| {
        let connection = Options::new().frame_max(frame_max).open();
        connection.channel(1);
        connection.send_bytes(&frame_head(METHOD, 1, size));
        let text = "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,";
        connection.expect_close(501, starts_with(text), (0, 0));
        connection.frames_until_end();
    });
}

// FR-003
#[test]
fn payload_of_frame_max_bytes_is_tolerated() {
    let channel = Channel::open();
    let q = channel.queue();
    let connection = channel.connection();
    let body = vec![7; 131_072];
    connection.send_frame(&publish("", &q, "").method.frame(1));
    connection.send_frame(&header_frame(131_072));
    connection.send_frame(&Frame::new(BODY, 1, body.clone()));
    assert!(channel.get(&q).unwrap().body == body);
}

// FR-004
#[test]
fn unknown_frame_type_is_a_frame_error_on_any_channel() {
    for number in [0, 1, 5] {
        for kind in [0, 4, 9, 255] {
            let text =
                format!("FRAME_ERROR - type {kind}, all octets = <<\"abc\">>: unknown_frame");
            closes(&[Frame::new(kind, number, *b"abc")], 501, text, (0, 0));
        }
    }
}

// FR-005
#[test]
fn method_without_its_ids_is_a_frame_error() {
    for (payload, octets) in [(&[][..], "<<>>"), (&[0], "<<0>>"), (&[0, 60, 0], "<<0,60,0>>")] {
        let text = format!("FRAME_ERROR - type 1, all octets = {octets}: unknown_frame");
        closes(&[Frame::new(METHOD, 1, payload)], 501, text, (0, 0));
    }
}

/// The broker ends the connection, by a close with an error code or, as RabbitMQ does, by hanging
/// up; it lives on.
#[track_caller]
fn ends(frame: &Frame) {
    let connection = opened();
    connection.send_frame(frame);
    match connection.next_frame() {
        Ok(close) => {
            let method = Method::parse(&close.payload);
            assert!(method.id == (10, 50) && method.close().0 >= 500, "{frame:?}: {close:?}");
            connection.control().send(&connection_close_ok());
            connection.frames_until_end();
        }
        Err(end) => {
            let is_cut = broker().is_external && matches!(end, End::Closed(_));
            assert!(is_cut, "{frame:?}: {end:?}");
        }
    }
    Connection::open().close();
}

// FR-007, DP-04
#[test]
fn unknown_class_or_method_ends_the_connection() {
    for (class, method) in [(0, 0), (11, 10), (60, 1), (60, 65535), (65535, 65535), (20, 42)] {
        ends(&Request::new((class, method), Writer::new()).frame(1));
    }
}

// FR-021, DP-04
#[test]
fn unknown_type_of_a_field_ends_the_connection() {
    for tag in [b'U', b'Z', 0, b'?'] {
        let table = Writer::new().short_string("key").octet(tag).raw(&[0; 8]);
        let fields = Writer::new().short(0).short_string("q").octet(0).long_string(&table.0);
        ends(&Request::new((50, 10), fields.clone()).frame(1));
    }
}

// FR-008
#[test]
fn truncated_arguments_are_a_frame_error() {
    let cut = |request: &Request, left: usize, octets: &str| {
        let mut frame = request.frame(1);
        frame.payload.truncate(4 + left);
        closes(&[frame], 501, format!("FRAME_ERROR - cannot decode {octets}"), request.id);
    };
    cut(&qos(1), 1, "<<0>>");
    cut(&qos(1), 5, "<<0,0,0,0,0>>");
    cut(&ack(1), 8, "<<0,0,0,0,0,0,0,1>>");
    cut(&get("queue"), 4, "<<0,0,5,113>>");
}

// FR-009, TOP-13
#[test]
fn publish_is_followed_by_its_header() {
    let text = "UNEXPECTED_FRAME - expected content header for class 60, \
                got non content header frame instead";
    closes(&[publish_frame(), publish_frame()], 505, text, PUBLISH);
    closes(&[publish_frame(), Frame::new(BODY, 1, *b"abc")], 505, text, PUBLISH);
    closes(&[publish_frame(), flow(true).frame(1)], 505, text, PUBLISH);
    closes(&[publish_frame(), channel_close().frame(1)], 505, text, PUBLISH);
}

// FR-010
#[test]
fn header_is_of_the_class_of_the_method() {
    let header = content_header(1, 50, 0, 3, &Properties::default());
    let text = "UNEXPECTED_FRAME - expected content header for class 60, \
                got one for class 50 instead";
    closes(&[publish_frame(), header], 505, text, PUBLISH);
}

// FR-011
#[test]
fn weight_of_a_header_is_0() {
    let header = content_header(1, 60, 1, 3, &Properties::default());
    let text = "UNEXPECTED_FRAME - expected content header for class 60, \
                got non content header frame instead";
    closes(&[publish_frame(), header], 505, text, PUBLISH);
}

// FR-012, TOP-13
#[test]
fn header_is_followed_by_the_body() {
    let text = "UNEXPECTED_FRAME - expected content body, got non content body frame instead";
    for intruder in [publish_frame(), flow(true).frame(1), header_frame(3)] {
        closes(&[publish_frame(), header_frame(3), intruder.clone()], 505, text, PUBLISH);
        let part = Frame::new(BODY, 1, *b"a");
        closes(&[publish_frame(), header_frame(3), part, intruder], 505, text, PUBLISH);
    }
}

// FR-013
#[test]
fn content_without_a_publish_is_unexpected() {
    let text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    closes(&[header_frame(3)], 505, text, (0, 0));
    closes(&[Frame::new(BODY, 1, *b"abc")], 505, text, (0, 0));
    // FR-016: with no body announced the message is complete at the header.
    let extra = Frame::new(BODY, 1, *b"abc");
    closes(&[publish_frame(), header_frame(0), extra], 505, text, (0, 0));
}

// FR-014, VM-23
#[test]
fn body_beyond_the_announced_size_is_a_frame_error() {
    let text = "FRAME_ERROR - content body frame exceeds remaining content size";
    let long = Frame::new(BODY, 1, *b"abcd");
    closes(&[publish_frame(), header_frame(3), long], 501, text, PUBLISH);
    let (two, again) = (Frame::new(BODY, 1, *b"ab"), Frame::new(BODY, 1, *b"cd"));
    closes(&[publish_frame(), header_frame(3), two, again], 501, text, PUBLISH);
}

// FR-015, VM-23
#[test]
fn body_of_more_than_512_mib_is_not_announced() {
    for size in [536_870_913, u64::MAX] {
        let text = format!(
            "FRAME_ERROR - content body size {size} exceeds maximum allowed size 536870912"
        );
        closes(&[publish_frame(), header_frame(size)], 501, text, PUBLISH);
    }
}

// FR-020
#[test]
fn short_strings_are_utf_8() {
    let declare = queue([0xFF, 0xFE, 0xFD]).frame(1);
    closes(&[declare], 501, "FRAME_ERROR - Malformed UTF-8 in shortstr", (0, 0));
}

// FR-021
#[test]
fn every_type_of_field_is_read() {
    let channel = Channel::open();
    let table = Table::new()
        .with("t", true)
        .with("b", Value::I8(1))
        .with("B", Value::U8(1))
        .with("s", Value::I16(1))
        .with("u", Value::U16(1))
        .with("I", Value::I32(1))
        .with("i", Value::U32(1))
        .with("l", Value::I64(1))
        .with("L", Value::I64AsL(1))
        .with("f", Value::F32(1.0))
        .with("d", Value::F64(1.0))
        .with("D", Value::Decimal(2, 100))
        .with("S", "text")
        .with("A", Value::Array(vec![Value::Void, 1.into()]))
        .with("T", Value::Time(1))
        .with("F", Table::new().with("nested", 1))
        .with("V", Value::Void)
        .with("x", Value::Bytes(vec![1, 2, 3]));
    channel.queue_with(table.clone());
    channel.consume(&consume("", "t").args(table));
}

// FR-022: what the broker sends in tables is read by the harness, which fails on unknown types.
