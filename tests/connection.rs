//! An open connection: closing it, and the methods of channel 0.

use std::time::Duration;

use crate::harness::*;

const WRONG_STATE: &str = "CHANNEL_ERROR - unexpected method in connection state running";

// CN-088
#[test]
fn second_open_is_a_channel_error() {
    Connection::open().control().kills(&connection_open("/"), 504, WRONG_STATE);
}

// CN-089
#[test]
fn methods_of_channels_are_out_of_place_on_channel_0() {
    for request in [channel_open(), queue("q"), tx_select(), channel_close()] {
        Connection::open().control().kills(&request, 504, WRONG_STATE);
    }
}

// CN-088
#[test]
fn methods_of_the_handshake_are_out_of_place_later() {
    for request in [Options::new().start_ok(), tune_ok(10, 8192, 0)] {
        Connection::open().control().kills(&request, 504, WRONG_STATE);
    }
}

// CN-120
#[test]
fn close_is_answered_after_channels_are_gone() {
    let watcher = Channel::open();
    let q = watcher.shared_queue();
    for _ in 0..20 {
        watcher.fill(&q, ["a"]);
        watcher.expect_ready(&q, 1);
        let connection = Connection::open();
        connection.channel(1).get(&q).unwrap();
        connection.close();
        watcher.expect_ready(&q, 1);
        assert!(watcher.get_by(&get(&q).no_ack()).unwrap().redelivered);
    }
    watcher.call(&delete(&q));
}

// CN-121
#[test]
fn broker_leaves_it_to_the_client_to_hang_up_first() {
    let connection = Connection::open();
    connection.control().call(&connection_close());
    connection.set_deadline(Duration::from_millis(500));
    assert_eq!(connection.next_frame(), Err(End::Silent));
}

// CN-121
#[test]
fn broker_hangs_up_at_last_when_the_client_does_not() {
    let connection = Options::new().heartbeat_s(1).open();
    connection.control().call(&connection_close());
    connection.expect_end_without_a_word();
}

// CN-122
#[test]
fn broker_hangs_up_at_once_when_its_close_is_answered() {
    let connection = Connection::open();
    connection.control().kills(&connection_open("/"), 504, WRONG_STATE);
    connection.set_deadline(Duration::from_secs(5));
    connection.expect_end_without_a_word();
}

// CN-122
#[test]
fn broker_hangs_up_at_last_when_its_close_is_not_answered() {
    let connection = Options::new().heartbeat_s(1).open();
    connection.control().send(&connection_open("/"));
    connection.control().expect((10, 50));
    connection.expect_end_without_a_word();
}

// CN-123
#[test]
fn close_that_crosses_a_close_is_answered() {
    let connection = Connection::open();
    let control = connection.control();
    control.send(&connection_open("/"));
    control.send(&connection_close());
    assert_eq!(control.expect((10, 50)).close().0, 504);
    control.expect((10, 51));
}

// FR-023
#[test]
fn everything_after_a_connection_error_is_discarded() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    connection.control().send(&connection_open("/"));
    let late = name("late");
    channel.send(&queue(&late).durable());
    channel.fill(&late, ["m"]);
    connection.send_bytes(&[9, 9, 9, 9, 0, 0, 0, 1, 9, FRAME_END]);
    assert_eq!(connection.control().expect((10, 50)).close().0, 504);
    connection.control().send(&connection_close_ok());
    let text = format!("NOT_FOUND - no queue '{late}' in vhost '/'");
    Channel::open().refused(&queue(&late).passive(), 404, text);
}

// CN-124
#[test]
fn connection_close_belongs_on_channel_0() {
    let channel = Connection::open().channel_as_is(1);
    channel.kills(&connection_close(), 504, "CHANNEL_ERROR - expected 'channel.open'");
}

// CN-127
#[test]
fn stop_of_the_broker_is_told_to_every_connection() {
    let Some(mut private) = private_broker("") else { return };
    let (one, two) = (private.open(), private.open());
    two.channel(1);
    private.stop();
    for connection in [one, two] {
        let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
        connection.expect_close(320, text, (0, 0));
        connection.expect_end_without_a_word();
    }
}

// CN-140
#[test]
fn update_secret_is_answered() {
    let connection = Connection::open();
    let ok = connection.control().call(&update_secret("guest", "rotated"));
    assert!(ok.arguments.is_empty());
    connection.channel(1).expect_nothing();
}

// TOP-03: many connections at a time, each on its own.
#[test]
fn a_hundred_connections_work_side_by_side() {
    let connections: Vec<Connection> = (0..100).map(|_| Connection::open()).collect();
    let channels: Vec<Channel> = connections.iter().map(|c| c.channel(1)).collect();
    let queues: Vec<String> = channels.iter().map(Channel::queue).collect();
    for (channel, q) in channels.iter().zip(queues.iter().rev()) {
        channel.fill(q, ["m"]);
    }
    for (channel, q) in channels.iter().zip(&queues) {
        channel.subscribe(q, "t");
        assert_eq!(channel.delivery().text(), "m");
    }
}
