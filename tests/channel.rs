//! Channels: opening, closing, errors and what they leave alone.

use crate::harness::*;

const UNEXPECTED_OPEN: &str = "CHANNEL_ERROR - second 'channel.open' seen";
const NOT_OPEN: &str = "CHANNEL_ERROR - expected 'channel.open'";

/// Closes the channel with a 404 that is caused by a passive declare.
#[track_caller]
fn fail(channel: &Channel) {
    channel.send(&queue("no-such-queue").passive());
    channel.expect_close_only(404, "NOT_FOUND - no queue 'no-such-queue' in vhost '/'", (50, 10));
}

// CH-001
#[test]
fn open_ok_carries_an_empty_channel_id() {
    let channel = Connection::open().channel_as_is(1);
    assert_eq!(channel.call(&channel_open()).arguments, [0, 0, 0, 0]);
}

// CH-002
#[test]
fn channel_max_limits_the_count_and_not_the_number() {
    let connection = Options::new().channel_max(2).open();
    connection.channel(3).expect_nothing();
    connection.channel(65535).expect_nothing();
}

// CH-003
#[test]
fn one_channel_too_many_is_not_allowed() {
    let connection = Options::new().channel_max(2).open();
    connection.channel(1);
    connection.channel(2);
    connection.channel_as_is(3).send(&channel_open());
    connection.expect_close(
        530,
        "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)",
        (0, 0),
    );
}

// CH-003
#[test]
fn closed_channel_makes_room_for_another() {
    let connection = Options::new().channel_max(1).open();
    for number in 1..=20 {
        connection.channel(number).close();
    }
}

// CH-006
#[test]
fn method_on_an_unopened_channel_is_a_channel_error() {
    for request in [
        queue("q"),
        purge("q"),
        ack(1),
        channel_close(),
        channel_close_ok(),
        flow(true),
        tx_select(),
        qos(1),
    ] {
        Connection::open().channel_as_is(7).kills(&request, 504, NOT_OPEN);
    }
}

// CH-006
#[test]
fn publish_on_an_unopened_channel_is_a_channel_error() {
    let channel = Connection::open().channel_as_is(7);
    channel.publish(&publish("", "q", "m"));
    channel.connection().expect_close(504, NOT_OPEN, (60, 40));
}

// CH-007
#[test]
fn second_open_is_a_channel_error() {
    Channel::open().kills(&channel_open(), 504, UNEXPECTED_OPEN);
}

// CH-008, CH-009, BA-016
#[test]
fn everything_after_a_channel_error_is_discarded() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    fail(&channel);
    let late = name("late");
    channel.send(&queue(&late).exclusive());
    channel.publish(&publish("", &q, "late"));
    channel.send(&flow(true));
    channel.send(&ack(99));
    channel.call(&channel_close());
    channel.send(&channel_close_ok());
    other.expect_nothing();
    assert_eq!(other.get(&q), None);
    other.refused(
        &queue(&late).passive(),
        404,
        format!("NOT_FOUND - no queue '{late}' in vhost '/'"),
    );
}

// CH-010
#[test]
fn number_of_a_failed_channel_is_taken_until_close_ok() {
    let channel = Channel::open();
    fail(&channel);
    channel.kills(&channel_open(), 504, UNEXPECTED_OPEN);
}

// CH-011
#[test]
fn close_that_crosses_a_close_is_answered() {
    let channel = Channel::open();
    channel.send(&queue("no-such-queue").passive());
    channel.send(&channel_close());
    channel.expect_close_only(404, "NOT_FOUND - no queue 'no-such-queue' in vhost '/'", (50, 10));
    channel.expect((20, 41));
    channel.send(&channel_close_ok());
    channel.reopen();
}

// CH-011
#[test]
fn number_stays_taken_after_crossing_closes_until_close_ok() {
    let channel = Channel::open();
    fail(&channel);
    channel.call(&channel_close());
    channel.kills(&channel_open(), 504, UNEXPECTED_OPEN);
}

// CH-012
#[test]
fn reopened_channel_starts_afresh() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let q = channel.queue();
    channel.confirm_select();
    channel.call(&qos(1));
    channel.fill(&q, ["a", "b", "c"]);
    channel.expect_acked(3);
    assert_eq!(channel.get(&q).unwrap().delivery_tag, 1);
    assert_eq!(channel.get(&q).unwrap().delivery_tag, 2);
    channel.close();

    channel.reopen();
    channel.subscribe(&q, "t");
    let tags: Vec<u64> = (0..3).map(|_| channel.delivery().delivery_tag).collect();
    assert_eq!(tags, [1, 2, 3], "delivery tags start again and no prefetch holds them back");
    channel.cancel("t");
    channel.publish(&publish("", &q, "unconfirmed"));
    channel.expect_nothing();
    channel.call(&tx_select());
}

// CH-012
#[test]
fn number_is_free_after_the_clients_close_ok() {
    let channel = Channel::open();
    for _ in 0..20 {
        fail(&channel);
        channel.send(&channel_close_ok());
        channel.reopen();
    }
}

// CH-012
#[test]
fn last_declared_queue_is_forgotten_by_a_reopened_channel() {
    let channel = Channel::open();
    channel.queue();
    channel.close();
    channel.reopen();
    channel.refused(&get(""), 404, "NOT_FOUND - no previously declared queue");
}

// CH-013, BA-128
#[test]
fn unacked_messages_of_a_closed_channel_return_to_their_places() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    other.fill(&q, ["a", "b", "c", "d"]);
    other.expect_ready(&q, 4);
    channel.get(&q).unwrap();
    channel.get(&q).unwrap();
    channel.get(&q).unwrap();
    channel.send(&ack(2));
    channel.close();
    let got: Vec<_> = (0..3).map(|_| other.get(&q).unwrap()).collect();
    let seen: Vec<_> = got.iter().map(|m| (m.text(), m.redelivered)).collect();
    assert_eq!(seen, [("a".into(), true), ("c".into(), true), ("d".into(), false)]);
}

// CH-014
#[test]
fn close_ok_that_answers_nothing_is_invalid() {
    Channel::open().kills(&channel_close_ok(), 503, "COMMAND_INVALID - unimplemented method");
}

// CH-015
#[test]
fn methods_of_the_server_are_invalid_from_a_client() {
    let short = |text: &str| Writer::new().short_string(text);
    for request in [
        Request::new((60, 21), short("t")),
        Request::new((60, 11), Writer::new()),
        Request::new((50, 11), short("q").long(0).long(0)),
        Request::new((40, 11), Writer::new()),
        Request::new((20, 11), Writer::new().long(0)),
        Request::new((85, 11), Writer::new()),
        Request::new((90, 11), Writer::new()),
    ] {
        Channel::open().kills(&request, 503, "COMMAND_INVALID - unimplemented method");
    }
}

// CH-015
#[test]
fn delivery_from_a_client_is_invalid() {
    let channel = Channel::open();
    let mut frame = Request::new((60, 60), Writer::new().short_string("t").longlong(1)).frame(1);
    // Exchange and routing key stand behind the flag; the content follows.
    frame.payload.extend([0, 0]);
    let connection = channel.connection();
    connection.send_frame(&frame);
    connection.send_frame(&content_header(1, 60, 0, 0, &Properties::default()));
    connection.expect_close(503, "COMMAND_INVALID - unimplemented method", (60, 60));
}

// CH-015, BA-092, DP-04
#[test]
fn cancel_ok_from_a_client_closes_the_connection_at_most() {
    let channel = Channel::open();
    channel.send(&Request::new((60, 31), Writer::new().short_string("t")));
    channel.send(&flow(true));
    let got = channel.connection().next_frame().unwrap();
    let method = Method::parse(&got.payload);
    match method.id {
        (20, 21) => {}
        (10, 50) => assert!([503, 541].contains(&method.close().0), "{method}"),
        _ => panic!("expected flow-ok or connection.close, got {got:?}"),
    }
}

// CH-016
#[test]
fn flow_may_be_asked_for_but_not_stopped() {
    let channel = Channel::open();
    assert_eq!(channel.call(&flow(true)).arguments, [1]);
    channel.kills(&flow(false), 540, "NOT_IMPLEMENTED - active=false");
}

// CH-018
#[test]
fn access_request_grants_ticket_1() {
    let channel = Channel::open();
    let request = Request::new((30, 10), Writer::new().short_string("/data"));
    let ok = channel.call(&request.flag("active", true).flag("read", true));
    assert_eq!(ok.read().short(), 1);
}

// CH-018
#[test]
fn tickets_are_ignored() {
    let channel = Channel::open();
    let q = name("queue");
    let mut frame = queue(&q).exclusive().frame(1);
    frame.payload[4..6].copy_from_slice(&54_321_u16.to_be_bytes());
    channel.connection().send_frame(&frame);
    assert_eq!(channel.expect((50, 11)).read().short_string(), q);
}

// CH-019
#[test]
fn pipelined_methods_are_answered_in_order() {
    let channel = Channel::open();
    let (first, second) = (name("queue"), name("queue"));
    channel.send(&queue(&first).exclusive());
    channel.send(&queue(&second).exclusive());
    channel.publish(&publish("", &second, "m"));
    channel.send(&get(&second));
    channel.send(&delete(&first));
    channel.send(&qos(1));
    assert_eq!(channel.expect((50, 11)).read().short_string(), first);
    assert_eq!(channel.expect((50, 11)).read().short_string(), second);
    assert!(matches!(channel.next().method.id, (60, 71 | 72)));
    channel.expect((50, 41));
    channel.expect((60, 11));
}

// CH-020
#[test]
fn empty_queue_name_means_the_last_declared_queue() {
    let channel = Channel::open();
    channel.queue();
    let q = channel.queue();
    channel.call(&bind("", "amq.direct", &q));
    channel.publish(&publish("amq.direct", &q, "m"));
    channel.expect_ready(&q, 1);
    assert_eq!(channel.get("").unwrap().text(), "m");
    assert_eq!(channel.consume(&consume("", "t")), "t");
    channel.cancel("t");
    assert_eq!(channel.count(&purge("")), 0);
    channel.call(&unbind("", "amq.direct", &q));
    channel.call(&delete(""));
    channel.refused(&queue(&q).passive(), 404, format!("NOT_FOUND - no queue '{q}' in vhost '/'"));
}

// CH-020
#[test]
fn empty_queue_name_without_a_declare_is_not_found() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    connection.channel(2).queue();
    for request in [
        get(""),
        consume("", "t"),
        purge(""),
        delete(""),
        bind("", "amq.direct", "k"),
        unbind("", "amq.direct", "k"),
    ] {
        channel.refused(&request, 404, "NOT_FOUND - no previously declared queue");
        channel.reopen();
    }
}

// CH-021
#[test]
fn empty_queue_and_empty_key_both_become_the_last_declared_queue() {
    let channel = Channel::open();
    let exchange = channel.exchange("direct");
    let q = channel.queue();
    channel.call(&bind("", &exchange, ""));
    channel.publish(&publish(&exchange, &q, "by name"));
    channel.publish(&publish(&exchange, "", "by empty key"));
    assert_eq!(channel.drain(&q), ["by name"]);
    channel.call(&unbind("", &exchange, ""));
    let gone = format!("NOT_FOUND - no exchange '{exchange}' in vhost '/'");
    // The last binding is gone, and the auto-delete exchange with it.
    channel.refused(&super::harness::exchange(&exchange, "direct").passive(), 404, gone);
}

// CH-021
#[test]
fn empty_key_beside_a_queue_name_stays_empty() {
    let channel = Channel::open();
    let exchange = channel.exchange("direct");
    let q = channel.queue();
    channel.call(&bind(&q, &exchange, ""));
    channel.publish(&publish(&exchange, &q, "by name"));
    channel.publish(&publish(&exchange, "", "by empty key"));
    assert_eq!(channel.drain(&q), ["by empty key"]);
}

// CH-022
#[test]
fn passive_and_nowait_declares_name_the_last_queue_too() {
    let channel = Channel::open();
    let (first, second) = (channel.queue(), channel.queue());
    channel.declare(&queue(&first).passive());
    channel.fill(&first, ["to the first"]);
    assert_eq!(channel.get("").unwrap().text(), "to the first");
    channel.send(&queue(&second).exclusive().nowait());
    channel.fill(&second, ["to the second"]);
    assert_eq!(channel.get("").unwrap().text(), "to the second");
}

// CH-023
#[test]
fn nowait_that_fails_closes_the_channel() {
    let missing = "NOT_FOUND - no queue 'no-such-queue' in vhost '/'";
    let channel = Channel::open();
    for request in [
        queue("no-such-queue").passive().nowait(),
        purge("no-such-queue").nowait(),
        bind("no-such-queue", "amq.direct", "k").nowait(),
        consume("no-such-queue", "t").nowait(),
    ] {
        channel.refused(&request, 404, missing);
        channel.reopen();
    }
}

// CH-023, QU-004
#[test]
fn nowait_that_succeeds_is_not_answered() {
    let channel = Channel::open();
    let (q, x) = (name("queue"), name("exchange"));
    channel.send(&queue(&q).exclusive().nowait());
    channel.send(&exchange(&x, "direct").nowait());
    channel.send(&bind(&q, &x, "k").nowait());
    channel.send(&exchange_bind(&x, "amq.topic", &x).nowait());
    channel.send(&exchange_unbind(&x, "amq.topic", &x).nowait());
    channel.send(&purge(&q).nowait());
    channel.send(&consume(&q, "t").nowait());
    channel.send(&cancel("t").nowait());
    channel.send(&delete(&q).nowait());
    channel.send(&exchange_delete(&x).nowait());
    channel.send(&confirm_select().nowait());
    channel.expect_nothing();
}

// CH-024
#[test]
fn channel_error_leaves_other_channels_alone() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    other.subscribe(&q, "t");
    fail(&channel);
    other.fill(&q, ["m"]);
    assert_eq!(other.delivery().text(), "m");
}

// CH-026
#[test]
fn settling_on_a_channel_that_the_server_closed_is_dropped() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    other.fill(&q, ["a"]);
    other.expect_ready(&q, 1);
    channel.get(&q).unwrap();
    fail(&channel);
    for request in [ack(1), nack(1, true), reject(1, false), ack(77).multiple()] {
        channel.send(&request);
    }
    channel.send(&channel_close_ok());
    other.expect_ready(&q, 1);
    assert!(other.get(&q).unwrap().redelivered, "the late ack settled nothing");
}

// CH-027
#[test]
fn no_delivery_follows_close_ok() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = other.queue();
    for _ in 0..20 {
        channel.subscribe(&q, "t");
        other.fill(&q, ["a", "b", "c", "d"]);
        channel.send(&channel_close());
        while channel.next().method.id != (20, 41) {}
        // Were a delivery to follow, it would stand before open-ok.
        channel.reopen();
        assert_eq!(other.count(&purge(&q)), 4);
    }
}

// 80,000 open and close cycles: amqp091-go's suite does it on one connection.
#[test]
fn channel_opens_and_closes_80_000_times_on_one_connection() {
    let connection = Connection::open();
    let (open, close) = (channel_open(), channel_close());
    for round in 0..800_u16 {
        // A hundred at a time: the point is the count and not the round trips.
        let first = (round % 20) * 100 + 1;
        let frames: Vec<u8> = (first..first + 100)
            .flat_map(|number| [open.frame(number), close.frame(number)])
            .flat_map(|frame| frame.bytes())
            .collect();
        connection.send_bytes(&frames);
        for number in first..first + 100 {
            let channel = connection.channel_as_is(number);
            channel.expect((20, 11));
            channel.expect((20, 41));
        }
    }
}
