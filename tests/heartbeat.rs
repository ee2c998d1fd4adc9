//! Heartbeats, in both directions.

use std::time::{Duration, Instant};

use crate::harness::*;

// CN-100, CN-105
#[test]
fn idle_connection_gets_heartbeats() {
    let connection = Options::new().heartbeat_s(1).open();
    for _ in 0..3 {
        let frame = connection.next_frame().unwrap();
        assert_eq!(frame.bytes(), [8, 0, 0, 0, 0, 0, 0, FRAME_END]);
    }
}

// CN-100
#[test]
fn heartbeats_start_with_tune_ok() {
    let connection = Options::new().heartbeat_s(1).until_tuned();
    assert_eq!(connection.next_frame().unwrap().kind, HEARTBEAT);
    connection.control().call(&connection_open("/"));
}

// CN-100: a client may wait no longer than the interval; Java's does.
#[test]
fn first_heartbeat_comes_after_half_the_interval_whatever_was_sent() {
    let connection = Options::new().heartbeat_s(4).open();
    connection.channel(1);
    connection.set_deadline(Duration::from_millis(3200));
    assert_eq!(connection.next_frame().unwrap().kind, HEARTBEAT);
}

// CN-066
#[test]
fn heartbeat_0_sends_none() {
    let connection = Options::new().heartbeat_s(0).open();
    connection.set_deadline(Duration::from_millis(1200));
    assert_eq!(connection.next_frame(), Err(End::Silent));
}

// CN-101, CN-103
#[test]
fn silent_client_is_cut_without_a_word() {
    let start = Instant::now();
    let connection = Options::new().heartbeat_s(1).open();
    connection.expect_end_without_a_word();
    let lived = start.elapsed();
    assert!(lived > Duration::from_millis(1900), "cut after {lived:?}");
}

/// Sends `bytes` whenever the broker has been silent for a moment, for longer than it would wait.
fn expect_life(bytes: &[u8]) {
    let connection = Options::new().heartbeat_s(1).open();
    connection.channel(1);
    connection.set_deadline(Duration::from_millis(300));
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(4500) {
        connection.send_bytes(bytes);
        let next = connection.next_frame();
        assert!(!matches!(next, Err(End::Closed(_))), "{next:?} after {:?}", start.elapsed());
    }
    connection.set_deadline(DEADLINE);
    connection.close();
}

// CN-102
#[test]
fn anything_that_is_sent_counts_as_life() {
    in_parallel(
        &[
            ("heartbeats", Frame::new(HEARTBEAT, 0, []).bytes()),
            ("methods", flow(true).frame(1).bytes()),
        ],
        |bytes| expect_life(bytes),
    );
    // Half a frame counts too.
    let connection = Options::new().heartbeat_s(1).open();
    connection.channel(1);
    connection.set_deadline(Duration::from_millis(300));
    for byte in flow(true).frame(1).bytes() {
        connection.send_bytes(&[byte]);
        let end = connection.next_frame();
        assert!(!matches!(end, Err(End::Closed(_))), "{end:?}");
    }
}

// CN-100: while the broker is busy reading it still sends.
#[test]
fn consumer_that_only_receives_must_send_too() {
    let publisher = Channel::open();
    let q = publisher.shared_queue();
    let connection = Options::new().heartbeat_s(1).open();
    let channel = connection.channel(1);
    channel.consume(&consume(&q, "t").no_ack());
    let start = Instant::now();
    // Deliveries are no sign of life of the client.
    let mut is_cut = false;
    while !is_cut && start.elapsed() < DEADLINE {
        publisher.fill(&q, ["m"]);
        is_cut = matches!(connection.next_frame(), Err(End::Closed(_)));
    }
    assert!(is_cut);
    publisher.call(&delete(&q));
}

// CN-105, TOP-03
#[test]
fn heartbeat_belongs_on_channel_0() {
    for number in [1, 7] {
        let connection = Connection::open();
        connection.channel(1);
        connection.send_frame(&Frame::new(HEARTBEAT, number, []));
        let text = "UNEXPECTED_FRAME - type 8, all octets = <<>>";
        connection.expect_close(505, starts_with(text), (0, 0));
    }
}

// CN-106
#[test]
fn heartbeat_carries_nothing() {
    let connection = Connection::open();
    connection.send_frame(&Frame::new(HEARTBEAT, 0, *b"abc"));
    let text = "FRAME_ERROR - type 8, all octets = <<\"abc\">>: unknown_frame";
    connection.expect_close(501, text, (0, 0));
}
