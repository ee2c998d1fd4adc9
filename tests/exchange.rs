//! Exchanges: declare, delete, the predeclared ones.

use crate::harness::*;

fn missing(name: &str) -> String {
    format!("NOT_FOUND - no exchange '{name}' in vhost '/'")
}

fn inequivalent(name: &str, rest: &str) -> String {
    let (arg, values) = rest.split_once(": ").unwrap();
    format!(
        "PRECONDITION_FAILED - inequivalent arg '{arg}' for exchange '{name}' in vhost '/': \
         {values}"
    )
}

// EX-001
#[test]
fn predeclared_exchanges_are_there() {
    let channel = Channel::open();
    for (name, kind) in [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ] {
        channel.call(&exchange(name, kind).durable());
    }
    channel.call(&exchange("amq.rabbitmq.trace", "topic").durable().internal());
}

// EX-002
#[test]
fn four_types_can_be_declared() {
    let channel = Channel::open();
    for kind in ["direct", "fanout", "topic", "headers"] {
        let name = name(kind);
        channel.call(&exchange(&name, kind).durable().auto_delete());
        channel.call(&exchange(&name, kind).passive());
        channel.call(&exchange_delete(&name));
    }
}

// EX-003, EX-102, VM-05
#[test]
fn unknown_type_closes_the_channel() {
    let channel = Channel::open();
    for kind in ["foo", "x-no-such-type", "x-jms-topic", "x-rtopic", "DIRECT", ""] {
        channel.send(&exchange(name("x"), kind));
        channel.expect_close(406, contains(format!("exchange type '{kind}'")), (40, 10));
        channel.reopen();
    }
    channel.send(&exchange(name("x"), "x-no-such-type"));
    let text = "PRECONDITION_FAILED - unknown exchange type 'x-no-such-type'";
    channel.expect_close(406, text, (40, 10));
}

// EX-004
#[test]
fn default_exchange_is_out_of_reach() {
    let channel = Channel::open();
    let q = channel.queue();
    for request in [
        exchange("", "direct").durable(),
        exchange("", "direct").passive(),
        exchange_delete(""),
        bind(&q, "", "k"),
        unbind(&q, "", "k"),
        exchange_bind("", "amq.direct", "k"),
        exchange_bind("amq.direct", "", "k"),
        exchange_unbind("", "amq.direct", "k"),
        exchange_unbind("amq.direct", "", "k"),
    ] {
        let text = "ACCESS_REFUSED - operation not permitted on the default exchange";
        channel.refused(&request, 403, text);
        channel.reopen();
    }
}

// EX-005
#[test]
fn prefix_amq_is_reserved_for_new_exchanges() {
    let channel = Channel::open();
    channel.refused(
        &exchange("amq.foo", "direct"),
        403,
        "ACCESS_REFUSED - exchange name 'amq.foo' contains reserved prefix 'amq.*'",
    );
    channel.reopen();
    channel.call(&exchange("amq.direct", "direct").durable());
    channel.call(&exchange("amq.direct", "whatever").passive());
    channel.refused(&exchange("amq.foo", "direct").passive(), 404, missing("amq.foo"));
}

// EX-006
#[test]
fn passive_declare_looks_at_the_name_only() {
    let channel = Channel::open();
    let x = channel.exchange("fanout");
    let passive = exchange(&x, "nonsense").passive().durable().internal();
    channel.call(&passive.arg("alternate-exchange", 5));
    channel.refused(&exchange("no-such", "direct").passive(), 404, missing("no-such"));
}

// EX-007, EX-008
#[test]
fn redeclare_must_match_type_and_flags() {
    let channel = Channel::open();
    let x = name("x");
    channel.call(&exchange(&x, "direct").auto_delete());
    channel.call(&exchange(&x, "direct").auto_delete());
    for (request, expected) in [
        (exchange(&x, "fanout").auto_delete(), "type: received 'fanout' but current is 'direct'"),
        (exchange(&x, "direct"), "auto_delete: received 'false' but current is 'true'"),
        (
            exchange(&x, "direct").auto_delete().durable(),
            "durable: received 'true' but current is 'false'",
        ),
        (
            exchange(&x, "direct").auto_delete().internal(),
            "internal: received 'true' but current is 'false'",
        ),
        // The order: type, durable, auto_delete, internal.
        (exchange(&x, "topic").durable(), "type: received 'topic' but current is 'direct'"),
        (exchange(&x, "direct").durable(), "durable: received 'true' but current is 'false'"),
        (exchange(&x, "direct").internal(), "auto_delete: received 'false' but current is 'true'"),
    ] {
        channel.refused(&request, 406, inequivalent(&x, expected));
        channel.reopen();
    }
    channel.refused(
        &exchange("amq.direct", "direct"),
        406,
        inequivalent("amq.direct", "durable: received 'false' but current is 'true'"),
    );
}

// EX-007, EX-009
#[test]
fn redeclare_must_match_the_alternate_exchange_only() {
    let channel = Channel::open();
    let plain = name("plain");
    channel.call(&exchange(&plain, "direct").auto_delete());
    channel.call(&exchange(&plain, "direct").auto_delete().arg("x-foo", 1));
    let with = name("with");
    let declare = || exchange(&with, "direct").auto_delete();
    channel.call(&declare().arg("alternate-exchange", "nonexist").arg("x-foo", 2));
    channel.call(&declare().arg("x-foo", "other").arg("alternate-exchange", "nonexist"));
    for (request, expected) in [
        (
            declare().arg("alternate-exchange", "other"),
            "alternate-exchange: received 'other' but current is 'nonexist'",
        ),
        (
            declare(),
            "alternate-exchange: received none but current is \
             the value 'nonexist' of type 'longstr'",
        ),
    ] {
        channel.refused(&request, 406, inequivalent(&with, expected));
        channel.reopen();
    }
    channel.refused(
        &exchange(&plain, "direct").auto_delete().arg("alternate-exchange", "ae"),
        406,
        inequivalent(
            &plain,
            "alternate-exchange: received the value 'ae' of type 'longstr' but current is none",
        ),
    );
}

// EX-010
#[test]
fn alternate_exchange_must_be_a_string() {
    let channel = Channel::open();
    let x = name("x");
    channel.refused(
        &exchange(&x, "direct").arg("alternate-exchange", 5),
        406,
        format!(
            "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in \
             exchange '{x}' in vhost '/'"
        ),
    );
}

// EX-012
#[test]
fn line_ends_are_stripped_from_names() {
    let channel = Channel::open();
    let (x, q) = (name("x"), name("q"));
    channel.call(&exchange(format!("{x}\r\n"), "direct").auto_delete());
    let declared = channel.declare(&queue(format!("\n{q}\r")).exclusive());
    assert_eq!(declared.queue, q);
    channel.call(&exchange(&x, "direct").passive());
    channel.call(&bind(&format!("{q}\n"), &format!("{x}\n"), "k"));
    channel.publish(&publish(&x, "k", "m"));
    assert_eq!(channel.drain(&q), ["m"]);
    channel.call(&unbind(&format!("{q}\n"), &format!("{x}\n"), "k"));
    channel.call(&delete(&format!("{q}\r\n")));
    channel.call(&exchange_delete(&format!("{x}\r\n")));
    channel.refused(&exchange(&x, "direct").passive(), 404, missing(&x));
}

// EX-013, BA-282
#[test]
fn names_are_any_utf_8_up_to_255_bytes() {
    let channel = Channel::open();
    let unique = name("");
    for filler in ["x", " ", "\u{1F407}", "/", "\\'\"", "\u{0}", "%00", "*#"] {
        let mut long = unique.clone();
        while long.len() + filler.len() <= 255 {
            long.push_str(filler);
        }
        channel.call(&exchange(&long, "fanout").auto_delete());
        let q = channel.declare(&queue(&long).exclusive()).queue;
        assert_eq!(q, long);
        channel.call(&bind(&q, &long, &long));
        channel.publish(&publish(&long, &long, filler));
        let got = channel.get(&q).unwrap();
        assert_eq!((got.exchange, got.routing_key), (long.clone(), long));
        channel.call(&delete(&q));
    }
}

// EX-014
#[test]
fn delete_of_a_missing_exchange_is_fine() {
    Channel::open().call(&exchange_delete("no-such-exchange"));
}

// EX-015
#[test]
fn system_exchanges_cannot_be_deleted() {
    let channel = Channel::open();
    for name in ["amq.direct", "amq.no-such", "amq.rabbitmq.trace"] {
        let text = format!(
            "ACCESS_REFUSED - deletion of system exchange '{name}' in vhost '/' not allowed"
        );
        channel.refused(&exchange_delete(name), 403, text);
        channel.reopen();
    }
}

// EX-016
#[test]
fn delete_if_unused_looks_at_bindings_from_the_exchange() {
    let channel = Channel::open();
    let (source, target) = (name("source"), name("target"));
    channel.call(&exchange(&source, "direct"));
    channel.call(&exchange(&target, "direct"));
    channel.call(&exchange_bind(&target, &source, "k"));
    channel.refused(
        &exchange_delete(&source).if_unused(),
        406,
        format!("PRECONDITION_FAILED - exchange '{source}' in vhost '/' in use"),
    );
    channel.reopen();
    channel.call(&exchange_delete(&target).if_unused());
    channel.call(&exchange_delete(&source).if_unused());
    channel.refused(&exchange(&source, "direct").passive(), 404, missing(&source));
}

// EX-017
#[test]
fn auto_delete_exchange_goes_with_the_last_binding_from_it() {
    let channel = Channel::open();
    let gone = |x: &str| {
        channel.refused(&exchange(x, "direct").passive(), 404, missing(x));
        channel.reopen();
    };
    let there = |x: &str| channel.call(&exchange(x, "direct").passive());
    // By unbind, and not before the last.
    let (x, q) = (channel.exchange("direct"), channel.queue());
    channel.call(&bind(&q, &x, "a"));
    channel.call(&bind(&q, &x, "b"));
    channel.call(&unbind(&q, &x, "a"));
    there(&x);
    channel.call(&unbind(&q, &x, "b"));
    gone(&x);
    // By the deletion of the queue.  QU-091, EX-048
    let (x, q) = (channel.exchange("topic"), channel.queue());
    channel.call(&bind(&q, &x, "a"));
    channel.call(&delete(&q));
    gone(&x);
    // By the deletion of the exchange it led to.
    let (x, target) = (channel.exchange("headers"), channel.exchange("fanout"));
    channel.call(&exchange_bind(&target, &x, "a"));
    channel.call(&exchange_delete(&target));
    gone(&x);
    // By exchange.unbind.
    let (x, target) = (channel.exchange("fanout"), channel.exchange("fanout"));
    channel.call(&exchange_bind(&target, &x, ""));
    channel.call(&exchange_unbind(&target, &x, ""));
    gone(&x);
    there(&target);
    // An unbind that finds nothing changes nothing.
    let (x, q) = (channel.exchange("direct"), channel.queue());
    channel.call(&unbind(&q, &x, "a"));
    there(&x);
}

// EX-017
#[test]
fn auto_delete_exchange_goes_in_a_chain() {
    let channel = Channel::open();
    let (first, second, q) =
        (channel.exchange("fanout"), channel.exchange("fanout"), channel.queue());
    channel.call(&exchange_bind(&second, &first, ""));
    channel.call(&bind(&q, &second, ""));
    channel.call(&delete(&q));
    for x in [&first, &second] {
        channel.refused(&exchange(x, "fanout").passive(), 404, missing(x));
        channel.reopen();
    }
}

// EX-017
#[test]
fn auto_delete_exchange_stays_when_it_loses_a_binding_to_it() {
    let channel = Channel::open();
    let (source, x) = (channel.exchange("fanout"), channel.exchange("fanout"));
    let other = channel.exchange("fanout");
    channel.call(&exchange_bind(&other, &source, ""));
    channel.call(&exchange_bind(&x, &source, ""));
    channel.call(&exchange_unbind(&x, &source, ""));
    channel.call(&exchange(&x, "fanout").passive());
}

// EX-018
#[test]
fn internal_exchange_is_reached_through_bindings_only() {
    let channel = Channel::open();
    let (x, entry) = (name("internal"), channel.exchange("fanout"));
    channel.call(&exchange(&x, "fanout").internal().auto_delete());
    let q = channel.queue();
    channel.call(&bind(&q, &x, ""));
    channel.call(&exchange_bind(&x, &entry, ""));
    channel.publish(&publish(&entry, "k", "m"));
    assert_eq!(channel.drain(&q), ["m"]);
    channel.publish(&publish(&x, "k", "m"));
    channel.expect_close(
        403,
        format!("ACCESS_REFUSED - cannot publish to internal exchange '{x}' in vhost '/'"),
        (60, 40),
    );
}

// EX-019, BA-050, BA-047
#[test]
fn publish_to_a_missing_exchange_closes_the_channel_in_every_mode() {
    let connection = Connection::open();
    for mode in [None, Some(confirm_select()), Some(tx_select())] {
        let channel = connection.channel(1);
        if let Some(mode) = mode {
            channel.call(&mode);
        }
        channel.publish(&publish("no-such-exchange", "k", "m"));
        channel.expect_close(404, missing("no-such-exchange"), (60, 40));
    }
}
