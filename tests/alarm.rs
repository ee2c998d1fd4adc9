//! The alarms of memory and disk: publishers wait, and nobody else.
//!
//! Limits are set so that the alarm is certain, or certainly over; what this machine has does not
//! matter. Where a test shows that something does not come, the heartbeats of the broker are the
//! clock: they go on while a connection is blocked.

use lepus::config::{MemoryLimit, Size};

use crate::harness::*;

const ACK: (u16, u16) = (60, 80);
const BLOCKED: (u16, u16) = (10, 60);
const UNBLOCKED: (u16, u16) = (10, 61);

const NO_MEMORY: MemoryLimit = MemoryLimit::Absolute(Size(0));
const MUCH_MEMORY: MemoryLimit = MemoryLimit::Absolute(Size(u64::MAX));

/// A broker with a memory alarm (AL-005).
fn alarmed() -> Option<PrivateBroker> {
    private_broker("memory_watermark = '0'")
}

/// The next method on channel 0 is connection.blocked; its reason.
#[track_caller]
fn blocked(connection: &Connection) -> String {
    connection.control().expect(BLOCKED).read().short_string()
}

/// The next frame on any channel but for heartbeats.
fn next_method(connection: &Connection) -> (u16, Method) {
    loop {
        let frame = connection.next_frame().expect("a frame in time");
        if frame.kind != HEARTBEAT {
            return (frame.channel, Method::parse(&frame.payload));
        }
    }
}

/// So many heartbeats of the broker come, and nothing else.
#[track_caller]
fn expect_heartbeats(connection: &Connection, count: usize) {
    for _ in 0..count {
        let frame = connection.next_frame().expect("a heartbeat in time");
        assert_eq!(frame.kind, HEARTBEAT, "got {frame:?}");
    }
}

/// Raises the memory alarm, and returns once the broker has seen it.
fn raise_alarm(private: &PrivateBroker) {
    private.alarm_limits().set_memory_watermark(NO_MEMORY);
    publish_until_blocked(&private.open().channel(1), "nowhere");
}

/// The state of a connection as the API shows it.
fn state_of(private: &PrivateBroker, connection: &Connection) -> String {
    let port = connection.socket().local_addr().unwrap().port();
    let connections = private.api().get("/connections");
    let found = connections.as_array().unwrap().iter().find(|other| other["peer_port"] == port);
    found.expect("the connection is listed")["state"].as_str().unwrap().to_owned()
}

/// Publishes until the alarm has come; how many publishes were confirmed before.
fn publish_until_blocked(channel: &Channel, queue: &str) -> u32 {
    channel.confirm_select();
    for confirmed in 0.. {
        channel.fill(queue, ["m"]);
        match next_method(&channel.connection()).1.id {
            ACK => {}
            id => {
                assert_eq!(id, BLOCKED);
                return confirmed;
            }
        }
    }
    unreachable!("the loop ends with the alarm")
}

// CN-143, CN-144, CN-146, CN-147, AL-006
#[test]
fn publisher_is_told_once_and_goes_on_when_the_alarm_is_over() {
    let Some(private) = alarmed() else { return };
    let connection = private.options().heartbeat_s(1).open();
    let channel = connection.channel(1);
    let q = channel.queue();
    channel.confirm_select();
    channel.fill(&q, ["a", "b"]);
    let another = connection.channel_as_is(2);
    another.send(&channel_open());
    assert_eq!(blocked(&connection), "low on memory");
    // Not even what is no publish is answered.
    expect_heartbeats(&connection, 3);
    private.alarm_limits().set_memory_watermark(MUCH_MEMORY);
    assert_eq!(next_method(&connection).1.id, UNBLOCKED);
    channel.expect_acked(2);
    another.expect((20, 11));
    assert_eq!(channel.drain(&q), ["a", "b"]);
}

// CN-026, CN-148
#[test]
fn publisher_that_does_not_understand_it_waits_without_a_word() {
    let Some(private) = alarmed() else { return };
    let connection = private.options().capabilities(Table::new()).heartbeat_s(1).open();
    let channel = connection.channel(1);
    let q = channel.queue();
    channel.confirm_select();
    channel.fill(&q, ["a"]);
    expect_heartbeats(&connection, 3);
    private.alarm_limits().set_memory_watermark(MUCH_MEMORY);
    let (number, method) = next_method(&connection);
    assert_eq!((number, method.id), (1, ACK));
}

// CN-145, AL-003, AL-005
#[test]
fn consumers_on_other_connections_go_on() {
    let Some(private) = private_broker("") else { return };
    let publisher = private.open().channel(1);
    let q = publisher.shared_queue();
    let consumer = private.open().channel(1);
    private.alarm_limits().set_memory_watermark(NO_MEMORY);
    let confirmed = publish_until_blocked(&publisher, &q);

    consumer.subscribe(&q, "t");
    for n in 1..=confirmed {
        assert_eq!(consumer.delivery().delivery_tag, u64::from(n));
        consumer.send(&ack(n.into()));
    }
    consumer.queue();
    consumer.expect_nothing();
    private.alarm_limits().set_memory_watermark(MUCH_MEMORY);
    publisher.connection().control().expect(UNBLOCKED);
    assert_eq!(publisher.next_confirm().1, u64::from(confirmed) + 1);
    assert_eq!(consumer.delivery().text(), "m");
}

// CN-146
#[test]
fn deliveries_reach_a_blocked_connection_but_its_acks_wait() {
    let Some(private) = private_broker("") else { return };
    let other = private.open().channel(1);
    let q = other.shared_queue();
    other.confirm_select();
    other.fill(&q, ["early", "late"]);
    other.expect_acked(2);
    let early = other.get(&q).unwrap();
    let late = other.get(&q).unwrap();

    let connection = private.open();
    let (publisher, consumer) = (connection.channel(1), connection.channel(2));
    private.alarm_limits().set_memory_watermark(NO_MEMORY);
    consumer.call(&qos(1));
    consumer.subscribe(&q, "t");
    publish_until_blocked(&publisher, "nowhere");
    other.send(&nack(early.delivery_tag, true));
    let delivery = consumer.delivery();
    assert_eq!(delivery.text(), "early");
    consumer.send(&ack(delivery.delivery_tag));
    other.send(&nack(late.delivery_tag, true));
    // Its only place is taken as long as its ack is not read.
    other.expect_ready(&q, 1);
    private.alarm_limits().set_memory_watermark(MUCH_MEMORY);
    assert_eq!(consumer.delivery().text(), "late");
}

// AL-001, AL-006, CN-144
#[test]
fn both_alarms_must_be_over() {
    let Some(private) = private_broker("memory_watermark = '0'\ndisk_free_limit = '16000TB'")
    else {
        return;
    };
    let connection = private.open();
    let channel = connection.channel(1);
    let q = channel.shared_queue();
    channel.fill(&q, ["m"]);
    assert_eq!(blocked(&connection), "low on memory & low on disk");
    private.alarm_limits().set_memory_watermark(MUCH_MEMORY);
    // Another publisher is told which alarm is left, once the broker has seen the change.
    loop {
        let other = private.open();
        other.channel(1).fill(&q, ["m"]);
        if blocked(&other) == "low on disk" {
            break;
        }
    }
    private.open().channel(1).expect_ready(&q, 0);
    private.alarm_limits().set_disk_free_limit(Size(0));
    connection.control().expect(UNBLOCKED);
    channel.expect_nothing();
}

// CN-104, AL-010
#[test]
fn blocked_publisher_is_not_given_up() {
    let Some(private) = alarmed() else { return };
    let connection = private.options().heartbeat_s(1).open();
    let channel = connection.channel(1);
    channel.confirm_select();
    channel.fill("nowhere", ["m"]);
    assert_eq!(blocked(&connection), "low on memory");
    // Two in a second, and a silent peer is given up after three seconds.
    expect_heartbeats(&connection, 9);
    private.alarm_limits().set_memory_watermark(MUCH_MEMORY);
    assert_eq!(next_method(&connection).1.id, UNBLOCKED);
    channel.expect_acked(1);
}

// CN-104, CN-143, CN-145, CN-146, AL-004, AL-008
#[test]
fn content_that_has_begun_waits_too() {
    let Some(private) = private_broker("") else { return };
    let connection = private.options().heartbeat_s(1).open();
    let other = connection.channel(9);
    let q = other.queue();
    // So many of its frames, a method, a header and three bodies, come before the alarm. Two
    // heartbeats go out in a second, and a silent peer is given up after three seconds.
    for (begun, heartbeats) in [(1, 1), (2, 1), (4, 9)] {
        let channel = connection.channel(begun);
        channel.confirm_select();
        let frames = publish("", &q, "abcdef").frames(begun, 8 + 2);
        let (before, after) = frames.split_at(begun.into());
        for frame in before {
            connection.send_frame(frame);
        }
        other.expect_nothing();
        raise_alarm(&private);
        other.expect_nothing();
        assert_eq!(state_of(&private, &connection), "blocking");

        for frame in after {
            connection.send_frame(frame);
        }
        other.send(&flow(true));
        assert_eq!(blocked(&connection), "low on memory");
        assert_eq!(state_of(&private, &connection), "blocked");
        expect_heartbeats(&connection, heartbeats);
        private.alarm_limits().set_memory_watermark(MUCH_MEMORY);
        assert_eq!(next_method(&connection).1.id, UNBLOCKED);
        assert_eq!(state_of(&private, &connection), "running");
        channel.expect_acked(1);
        other.expect((20, 21));
        assert_eq!(other.drain(&q), ["abcdef"]);
    }
}

// CN-146, BA-140
#[test]
fn connection_stays_blocked_when_the_channel_that_publishes_is_closed() {
    let Some(private) = private_broker("consumer_timeout = '300ms'") else { return };
    let connection = private.options().heartbeat_s(1).open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    other.fill(&q, ["m"]);
    other.expect_nothing();
    raise_alarm(&private);
    channel.send(&consume(&q, "t"));
    channel.fill("nowhere", ["m"]);
    other.send(&flow(true));
    assert_eq!(blocked(&connection), "low on memory");
    channel.expect((60, 21));
    channel.delivery();
    channel.expect((20, 40));
    expect_heartbeats(&connection, 3);
    private.alarm_limits().set_memory_watermark(MUCH_MEMORY);
    assert_eq!(next_method(&connection).1.id, UNBLOCKED);
    other.expect((20, 21));
}

// CN-127
#[test]
fn blocked_connection_is_told_that_the_broker_stops() {
    let Some(mut private) = alarmed() else { return };
    let connection = private.open();
    connection.channel(1).fill("nowhere", ["m"]);
    assert_eq!(blocked(&connection), "low on memory");
    private.stop();
    let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    connection.expect_close(320, text, (0, 0));
}

// AL-005, AL-007
#[test]
fn alarm_comes_and_goes_again() {
    let Some(private) = private_broker("") else { return };
    let connection = private.open();
    let channel = connection.channel(1);
    let q = channel.queue();
    let mut confirmed = 0;
    for _ in 0..5 {
        private.alarm_limits().set_memory_watermark(NO_MEMORY);
        confirmed += publish_until_blocked(&channel, &q);
        private.alarm_limits().set_memory_watermark(MUCH_MEMORY);
        assert_eq!(next_method(&connection).1.id, UNBLOCKED);
        assert_eq!(next_method(&connection).1.id, ACK);
        confirmed += 1;
    }
    assert_eq!(channel.drain(&q).len(), confirmed as usize);
}
