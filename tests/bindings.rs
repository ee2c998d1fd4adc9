//! Bindings: their identity, and what may be bound to what.

use crate::harness::*;

/// How many copies of one publish arrive.
#[track_caller]
fn copies(channel: &Channel, exchange: &str, key: &str, q: &str) -> u32 {
    channel.publish(&publish(exchange, key, "m"));
    channel.count(&purge(q))
}

// EX-040
#[test]
fn binding_twice_is_binding_once() {
    let channel = Channel::open();
    let (x, q) = (channel.exchange("direct"), channel.queue());
    channel.call(&bind(&q, &x, "k").arg("x", 1));
    channel.call(&bind(&q, &x, "k").arg("x", 1));
    assert_eq!(copies(&channel, &x, "k", &q), 1);
    channel.call(&unbind(&q, &x, "other").arg("x", 1));
    assert_eq!(copies(&channel, &x, "k", &q), 1);
    let keeper = channel.queue();
    channel.call(&bind(&keeper, &x, "keep the exchange"));
    channel.call(&unbind(&q, &x, "k").arg("x", 1));
    assert_eq!(copies(&channel, &x, "k", &q), 0);
}

// EX-041
#[test]
fn arguments_are_part_of_a_binding() {
    let channel = Channel::open();
    let (x, q) = (channel.exchange("direct"), channel.queue());
    channel.call(&bind(&q, &x, "k"));
    channel.call(&bind(&q, &x, "k").arg("a", "1"));
    channel.call(&unbind(&q, &x, "k"));
    assert_eq!(copies(&channel, &x, "k", &q), 1, "the binding with arguments is left");
    channel.call(&unbind(&q, &x, "k").arg("a", "2"));
    assert_eq!(copies(&channel, &x, "k", &q), 1, "nothing is bound with these");
    let keeper = channel.queue();
    channel.call(&bind(&keeper, &x, "keep the exchange"));
    channel.call(&unbind(&q, &x, "k").arg("a", "1"));
    assert_eq!(copies(&channel, &x, "k", &q), 0);
}

// EX-042
#[test]
fn bind_names_the_missing_exchange_before_the_missing_queue() {
    let channel = Channel::open();
    let q = channel.queue();
    let no_exchange = "NOT_FOUND - no exchange 'no-x' in vhost '/'";
    let no_queue = "NOT_FOUND - no queue 'no-q' in vhost '/'";
    for (request, text) in [
        (bind("no-q", "no-x", "k"), no_exchange),
        (bind(&q, "no-x", "k"), no_exchange),
        (bind("no-q", "amq.direct", "k"), no_queue),
    ] {
        channel.refused(&request, 404, text);
        channel.reopen();
    }
}

// EX-043
#[test]
fn unbind_of_what_is_not_there_is_fine() {
    let channel = Channel::open();
    let (x, q) = (channel.exchange("direct"), channel.queue());
    for request in [
        unbind(&q, &x, "k"),
        unbind("no-q", &x, "k"),
        unbind(&q, "no-x", "k"),
        unbind("no-q", "no-x", "k"),
        exchange_unbind(&x, "amq.direct", "k"),
        exchange_unbind("no-x", &x, "k"),
        exchange_unbind(&x, "no-x", "k"),
    ] {
        channel.call(&request);
    }
}

// EX-044
#[test]
fn queue_gets_a_message_once_however_many_paths_lead_to_it() {
    let channel = Channel::open();
    let (x, y, q) = (channel.exchange("topic"), channel.exchange("fanout"), channel.queue());
    for key in ["#", "a.*", "*.b", "a.b"] {
        channel.call(&bind(&q, &x, key));
    }
    channel.call(&exchange_bind(&y, &x, "#"));
    channel.call(&bind(&q, &y, ""));
    assert_eq!(copies(&channel, &x, "a.b", &q), 1);
}

// EX-044
#[test]
fn cycles_of_exchanges_are_safe() {
    let channel = Channel::open();
    let (x, y, z) =
        (channel.exchange("fanout"), channel.exchange("fanout"), channel.exchange("fanout"));
    for (to, from) in [(&y, &x), (&z, &y), (&x, &z), (&x, &x)] {
        channel.call(&exchange_bind(to, from, ""));
    }
    let q = channel.queue();
    channel.call(&bind(&q, &z, ""));
    assert_eq!(copies(&channel, &x, "", &q), 1);
}

// EX-045
#[test]
fn default_exchange_routes_by_the_name_of_the_queue() {
    let channel = Channel::open();
    let q = channel.queue();
    assert_eq!(copies(&channel, "", &q, &q), 1);
    assert_eq!(copies(&channel, "", &q.to_uppercase(), &q), 0);
    assert_eq!(copies(&channel, "", &format!("{q}x"), &q), 0);
    assert_eq!(copies(&channel, "", "", &q), 0);
}

// EX-047, EX-076
#[test]
fn key_is_judged_at_the_source_and_the_exchange_stays_the_first() {
    let channel = Channel::open();
    let (topic, direct, q) =
        (channel.exchange("topic"), channel.exchange("direct"), channel.queue());
    channel.call(&exchange_bind(&direct, &topic, "a.*"));
    channel.call(&bind(&q, &direct, "a.b"));
    for key in ["a.c", "b.b", "a.b"] {
        channel.publish(&publish(&topic, key, key));
    }
    let got = channel.get(&q).unwrap();
    assert_eq!((got.text(), got.exchange, got.routing_key), ("a.b".into(), topic, "a.b".into()));
    assert_eq!(got.left, 0);
}

// EX-047
#[test]
fn arguments_of_exchange_bindings_are_judged_at_a_headers_exchange() {
    let channel = Channel::open();
    let (headers, fanout, q) =
        (channel.exchange("headers"), channel.exchange("fanout"), channel.queue());
    channel.call(&exchange_bind(&fanout, &headers, "").arg("colour", "red"));
    channel.call(&bind(&q, &fanout, ""));
    for colour in ["red", "blue"] {
        let message = publish(&headers, "", colour);
        channel.publish(&message.headers(Table::new().with("colour", colour)));
    }
    assert_eq!(channel.drain(&q), ["red"]);
}

// EX-048
#[test]
fn queue_deleted_and_declared_again_has_no_bindings() {
    let channel = Channel::open();
    let q = channel.queue();
    let key = name("key");
    channel.call(&bind(&q, "amq.direct", &key));
    channel.call(&delete(&q));
    channel.declare(&queue(&q).exclusive());
    assert_eq!(copies(&channel, "amq.direct", &key, &q), 0);
}

// EX-048
#[test]
fn exchange_deleted_and_declared_again_has_no_bindings() {
    let channel = Channel::open();
    let (x, q) = (channel.exchange("fanout"), channel.queue());
    channel.call(&bind(&q, &x, ""));
    channel.call(&exchange_bind(&x, "amq.direct", &x));
    channel.call(&exchange_delete(&x));
    channel.call(&exchange(&x, "fanout").auto_delete());
    assert_eq!(copies(&channel, &x, "", &q), 0);
    channel.call(&bind(&q, &x, ""));
    assert_eq!(copies(&channel, "amq.direct", &x, &q), 0);
}

// EX-050
#[test]
fn exchange_binding_needs_both_sides() {
    let channel = Channel::open();
    for request in
        [exchange_bind("nod", "amq.direct", "k"), exchange_bind("amq.direct", "nod", "k")]
    {
        channel.refused(&request, 404, "NOT_FOUND - no exchange 'nod' in vhost '/'");
        channel.reopen();
    }
}

// EX-051 is `Request::reply` and the flags in `METHODS`: every test stands on them.
