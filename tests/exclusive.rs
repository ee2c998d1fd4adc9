//! Exclusive queues: who may touch them, and when they go.

use crate::harness::*;

fn locked(name: &str) -> String {
    format!(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'. \
         It could be originally declared on another connection or the exclusive property value \
         does not match that of the original declaration."
    )
}

// QU-010, BA-064, EX-046
#[test]
fn other_connections_are_locked_out() {
    let owner = Channel::open();
    let q = owner.queue();
    let stranger = Channel::open();
    for request in [
        queue(&q).passive(),
        queue(&q).exclusive(),
        queue(&q),
        consume(&q, "t"),
        get(&q),
        bind(&q, "amq.direct", "k"),
        purge(&q),
        delete(&q),
    ] {
        stranger.refused(&request, 405, locked(&q));
        stranger.reopen();
    }
}

// QU-010, EX-046
#[test]
fn other_connections_may_publish() {
    let owner = Channel::open();
    let q = owner.queue();
    let key = name("key");
    owner.call(&bind(&q, "amq.direct", &key));
    let stranger = Channel::open();
    stranger.publish(&publish("amq.direct", &key, "through an exchange"));
    stranger.publish(&publish("", &q, "by name"));
    stranger.expect_nothing();
    owner.expect_ready(&q, 2);
    assert_eq!(owner.drain(&q), ["through an exchange", "by name"]);
}

// QU-010, EX-046: 4.3.6 allows only the unbind that finds nothing.
#[test]
fn other_connections_may_not_unbind() {
    let owner = Channel::open();
    let q = owner.queue();
    owner.call(&bind(&q, "amq.direct", &q));
    let stranger = Channel::open();
    stranger.call(&unbind(&q, "amq.direct", "not bound"));
    stranger.refused(&unbind(&q, "amq.direct", &q), 405, locked(&q));
}

// QU-010
#[test]
fn other_channels_of_the_connection_are_not_locked_out() {
    let connection = Connection::open();
    let q = connection.channel(1).queue();
    let other = connection.channel(2);
    other.subscribe(&q, "t");
    other.fill(&q, ["m"]);
    assert_eq!(other.delivery().text(), "m");
}

// QU-011
#[test]
fn exclusive_queue_outlives_its_channel() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.close();
    channel.reopen();
    channel.declare(&queue(&q).passive());
}

// QU-011, CN-120
#[test]
fn exclusive_queues_are_gone_before_close_ok() {
    let watcher = Channel::open();
    for _ in 0..20 {
        let owner = Connection::open();
        let q = owner.channel(1).queue();
        owner.close();
        let text = format!("NOT_FOUND - no queue '{q}' in vhost '/'");
        watcher.refused(&queue(&q).passive(), 404, text);
        watcher.reopen();
    }
}

// QU-011
#[test]
fn exclusive_queue_goes_when_the_socket_is_cut() {
    let watcher = Channel::open();
    let owner = Connection::open();
    let q = owner.channel(1).queue();
    owner.cut();
    // It is locked until the broker has noticed, and missing from then on.
    let start = std::time::Instant::now();
    loop {
        watcher.send(&queue(&q).passive());
        let (code, ..) = watcher.expect((20, 40)).close();
        watcher.send(&channel_close_ok());
        watcher.reopen();
        if code == 404 {
            return;
        }
        assert!(code == 405 && start.elapsed() < DEADLINE, "still {code}");
    }
}

// QU-011
#[test]
fn name_is_free_at_once_for_the_next_owner() {
    if !only_on_lepus("RabbitMQ 4.3 still says 405 once in a while") {
        return;
    }
    let q = name("queue");
    for _ in 0..20 {
        let owner = Connection::open();
        owner.channel(1).declare(&queue(&q).exclusive());
        owner.close();
    }
}
