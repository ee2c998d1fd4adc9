//! Tests of declaring, binding, deleting and routing, singly and against a naive model.

use proptest::prelude::*;

use super::*;
use crate::{
    broker::{
        error::Side,
        exchange::View,
        record::{BindingRecord, ExchangeRecord},
        route::{Cacheable, RouteSet},
    },
    wire::table::{LongString, ShortString, Value},
};

type Vhost = Topology<&'static str>;

fn spec(type_name: &str) -> ExchangeSpec {
    ExchangeSpec {
        type_name: type_name.to_owned(),
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Table::default(),
    }
}

fn auto_delete(type_name: &str) -> ExchangeSpec {
    ExchangeSpec { auto_delete: true, ..spec(type_name) }
}

fn with_alternate(type_name: &str, alternate: Value) -> ExchangeSpec {
    let mut spec = spec(type_name);
    spec.arguments.insert(ShortString::from(ALTERNATE_EXCHANGE), alternate);
    spec
}

fn text(text: &str) -> Value {
    Value::LongString(LongString::from(text))
}

fn queue(name: &str) -> Destination {
    Destination::Queue(name.into())
}

fn exchange(name: &str) -> Destination {
    Destination::Exchange(name.into())
}

/// A topology with these exchanges and queues.
fn vhost(exchanges: &[(&str, ExchangeSpec)], queues: &[&'static str]) -> Vhost {
    let mut topology = Topology::new();
    for (name, spec) in exchanges {
        assert_eq!(topology.declare_exchange(name, spec.clone()), Ok(Declared::Created));
    }
    for name in queues {
        topology.insert_queue((*name).into(), *name, true);
    }
    topology
}

fn bind(topology: &mut Vhost, source: &str, destination: &Destination, key: &str) {
    let bound = topology.bind(source, destination, key.as_bytes(), &Table::default());
    assert!(matches!(bound, Ok(Bound::New { .. })), "{bound:?}");
}

fn unbind(topology: &mut Vhost, source: &str, destination: &Destination, key: &str) -> Removed {
    topology.unbind(source, destination, key.as_bytes(), &Table::default()).unwrap()
}

/// The queues of a message, in order of their names.
fn route(topology: &Vhost, exchange: &str, keys: &[&str]) -> Vec<&'static str> {
    let keys: Vec<_> = keys.iter().map(|key| key.as_bytes()).collect();
    let mut out = RouteSet::new();
    topology.route(exchange, &View::new(&keys, None), &mut out).unwrap();
    let mut queues: Vec<_> = out.drain().collect();
    queues.sort_unstable();
    queues
}

fn names(removed: &Removed) -> Vec<&str> {
    removed.exchanges.iter().map(|exchange| exchange.name.as_str()).collect()
}

// EX-001
#[test]
fn vhost_starts_with_the_predeclared_exchanges() {
    let topology = Vhost::new();
    let exchanges: Vec<_> = topology
        .exchanges()
        .map(|exchange| {
            let spec = exchange.spec();
            assert!(spec.durable && !spec.auto_delete);
            (exchange.name().as_str(), spec.type_name.as_str(), spec.internal)
        })
        .collect();
    assert_eq!(exchanges, PREDECLARED);
    assert_eq!(topology.exchange_slot(""), Some(DEFAULT_EXCHANGE));
}

// EX-003 EX-004 EX-005 EX-010
#[test]
fn declare_refuses_in_order() {
    let mut topology = Vhost::new();
    let unknown = Err(Error::UnknownExchangeType { type_name: "foo".to_owned() });
    assert_eq!(topology.declare_exchange("", spec("foo")), unknown);
    assert_eq!(topology.declare_exchange("", spec("direct")), Err(Error::DefaultExchange));
    let reserved = Err(Error::ReservedName { kind: Kind::Exchange, name: "amq.foo".into() });
    let bad_alternate = with_alternate("direct", Value::LongInt(1));
    assert_eq!(topology.declare_exchange("amq.foo", bad_alternate.clone()), reserved);
    assert_eq!(
        topology.declare_exchange("x", bad_alternate).unwrap_err().to_string(),
        "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'x'"
    );
    assert_eq!(topology.exchanges().count(), PREDECLARED.len());
}

// EX-005 EX-007 EX-008 EX-009
#[test]
fn redeclare_must_repeat_the_declare() {
    let mut topology = vhost(&[("x", with_alternate("direct", text("nonexist")))], &[]);
    let generation = topology.generation();
    let mut received =
        ExchangeSpec { durable: false, auto_delete: true, internal: true, ..spec("fanout") };
    let texts = [
        "'type' for exchange 'x': received 'fanout' but current is 'direct'",
        "'durable' for exchange 'x': received 'false' but current is 'true'",
        "'auto_delete' for exchange 'x': received 'true' but current is 'false'",
        "'internal' for exchange 'x': received 'true' but current is 'false'",
        "'alternate-exchange' for exchange 'x': received none but current is the value 'nonexist' \
         of type 'longstr'",
    ];
    for (corrected, text) in texts.iter().enumerate() {
        let error = topology.declare_exchange("x", received.clone()).unwrap_err();
        assert_eq!(error.to_string(), format!("inequivalent arg {text}"));
        match corrected {
            0 => received.type_name = "direct".to_owned(),
            1 => received.durable = true,
            2 => received.auto_delete = false,
            _ => received.internal = false,
        }
    }
    let other = with_alternate("direct", text("other"));
    let Err(Error::Inequivalent { received, current, .. }) = topology.declare_exchange("x", other)
    else {
        panic!("another alternate exchange is taken for the same");
    };
    assert_eq!((received, current), (Side::Value(text("other")), Side::Value(text("nonexist"))));
    let mut same = with_alternate("direct", text("nonexist"));
    same.arguments.insert(ShortString::from("x-foo"), text("not compared"));
    assert_eq!(topology.declare_exchange("x", same), Ok(Declared::Existing));
    assert_eq!(topology.declare_exchange("amq.direct", spec("direct")), Ok(Declared::Existing));
    assert_eq!(topology.generation(), generation);
}

// EX-004 EX-006 EX-018 EX-019
#[test]
fn lookups_refuse_what_is_not_there_or_not_for_clients() {
    let internal = ExchangeSpec { internal: true, ..spec("direct") };
    let topology = vhost(&[("in", internal)], &[]);
    assert_eq!(topology.check_exchange("").unwrap_err(), Error::DefaultExchange);
    assert_eq!(topology.check_exchange("x").unwrap_err().to_string(), "no exchange 'x'");
    assert!(topology.check_exchange("in").is_ok() && topology.check_publish("").is_ok());
    assert_eq!(topology.check_publish("x").unwrap_err().to_string(), "no exchange 'x'");
    assert_eq!(
        topology.check_publish("in").unwrap_err().to_string(),
        "cannot publish to internal exchange 'in'"
    );
    let missing = topology.route("x", &View::new(&[b""], None), &mut RouteSet::new());
    assert_eq!(missing.unwrap_err().to_string(), "no exchange 'x'");
}

// EX-004 EX-014 EX-015 EX-016
#[test]
fn delete_refuses_system_exchanges_and_on_request_used_ones() {
    let mut topology = vhost(&[("x", spec("fanout")), ("y", spec("fanout"))], &["q"]);
    assert_eq!(topology.delete_exchange("", false), Err(Error::DefaultExchange));
    for name in ["amq.direct", "amq.missing"] {
        let system = Err(Error::SystemExchange { name: name.into() });
        assert_eq!(topology.delete_exchange(name, false), system);
    }
    assert_eq!(topology.delete_exchange("missing", true), Ok(Removed::default()));
    bind(&mut topology, "x", &exchange("y"), "");
    let error = topology.delete_exchange("x", true).unwrap_err();
    assert_eq!(error.to_string(), "exchange 'x' in use");
    // Bindings to it do not count.
    let removed = topology.delete_exchange("y", true).unwrap();
    assert_eq!((names(&removed), removed.bindings.len()), (vec!["y"], 1));
    assert_eq!(names(&topology.delete_exchange("x", true).unwrap()), ["x"]);
    assert_eq!(topology.bindings_count(), 0);
}

// EX-004 EX-042 EX-043 EX-050
#[test]
fn bind_names_the_missing_end_and_unbind_does_not_mind() {
    let mut topology = vhost(&[("x", spec("direct"))], &["q"]);
    let empty = Table::default();
    for (source, destination, text) in [
        ("no", queue("none"), "no exchange 'no'"),
        ("x", queue("none"), "no queue 'none'"),
        ("x", exchange("none"), "no exchange 'none'"),
        ("", queue("q"), "operation not permitted on the default exchange"),
        ("x", exchange(""), "operation not permitted on the default exchange"),
    ] {
        let error = topology.bind(source, &destination, b"", &empty).unwrap_err();
        assert_eq!(error.to_string(), text);
        let unbound = topology.unbind(source, &destination, b"", &empty);
        if error == Error::DefaultExchange {
            assert_eq!(unbound, Err(Error::DefaultExchange));
        } else {
            assert_eq!(unbound, Ok(Removed::default()));
        }
    }
}

// EX-040 EX-041 EX-049
#[test]
fn arguments_are_part_of_a_binding() {
    let mut topology = vhost(&[("x", spec("direct"))], &["q"]);
    topology.insert_queue("transient".into(), "transient", false);
    let mut arguments = Table::default();
    let plain = Table::default();
    arguments.insert(ShortString::from("a"), Value::Double(f64::NAN));
    let new = Ok(Bound::New { is_durable: true });
    assert_eq!(topology.bind("x", &queue("q"), b"k", &plain), new);
    assert_eq!(topology.bind("x", &queue("q"), b"k", &arguments), new);
    assert_eq!(topology.bind("x", &queue("q"), b"k", &plain), Ok(Bound::Existing));
    assert_eq!(topology.bind("x", &queue("q"), b"k", &arguments), Ok(Bound::Existing));
    let transient = topology.bind("x", &queue("transient"), b"k", &plain);
    assert_eq!(transient, Ok(Bound::New { is_durable: false }));
    assert!(topology.is_bound("x", &queue("q"), b"k", &arguments));
    assert!(!topology.is_bound("x", &queue("transient"), b"k", &arguments));
    assert!(!topology.is_bound("y", &queue("q"), b"k", &plain));
    assert_eq!(topology.bindings_count(), 3);
    assert_eq!(topology.bindings_from("x").count(), 3);
    assert_eq!(topology.bindings_to(&queue("q")).count(), 2);
    unbind(&mut topology, "x", &queue("q"), "k");
    assert_eq!(route(&topology, "x", &["k"]), ["q", "transient"]);
    topology.unbind("x", &queue("q"), b"k", &arguments).unwrap();
    assert_eq!(route(&topology, "x", &["k"]), ["transient"]);
}

// EX-040
#[test]
fn bindings_are_found_however_many_there_are() {
    let mut topology = vhost(&[("x", spec("direct"))], &["q"]);
    let keys: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
    for key in &keys {
        bind(&mut topology, "x", &queue("q"), key);
    }
    for key in &keys {
        let again = topology.bind("x", &queue("q"), key.as_bytes(), &Table::default());
        assert_eq!(again, Ok(Bound::Existing));
    }
    for key in &keys {
        unbind(&mut topology, "x", &queue("q"), key);
    }
    assert_eq!((topology.bindings_count(), topology.bindings().count()), (0, 0));
}

// EX-044 EX-045 EX-060 EX-061
#[test]
fn message_reaches_a_queue_once() {
    let exchanges = [("d", spec("direct")), ("f", spec("fanout")), ("t", spec("topic"))];
    let mut topology = vhost(&exchanges, &["q", "r"]);
    for key in ["k", "l"] {
        bind(&mut topology, "d", &queue("q"), key);
        bind(&mut topology, "f", &queue("q"), key);
    }
    bind(&mut topology, "t", &queue("q"), "#");
    bind(&mut topology, "t", &queue("q"), "k");
    bind(&mut topology, "t", &queue("r"), "*.x");
    assert_eq!(route(&topology, "d", &["k", "l", "k"]), ["q"]);
    assert_eq!(route(&topology, "d", &["K"]), [""; 0]);
    assert_eq!(route(&topology, "f", &["anything"]), ["q"]);
    assert_eq!(route(&topology, "t", &["k", "y.x"]), ["q", "r"]);
    assert_eq!(route(&topology, "", &["q", "r", "none", "q"]), ["q", "r"]);
}

// EX-044 EX-047
#[test]
fn circles_of_exchanges_end() {
    let exchanges = [("a", spec("topic")), ("b", spec("direct")), ("c", spec("fanout"))];
    let mut topology = vhost(&exchanges, &["q"]);
    bind(&mut topology, "a", &exchange("b"), "k.#");
    bind(&mut topology, "b", &exchange("c"), "k.l");
    bind(&mut topology, "c", &exchange("a"), "");
    bind(&mut topology, "c", &exchange("c"), "");
    bind(&mut topology, "c", &queue("q"), "");
    for (key, expected) in [("k.l", &["q"][..]), ("k.m", &[])] {
        assert_eq!(route(&topology, "a", &[key]), expected);
    }
    let removed = topology.delete_exchange("c", false).unwrap();
    assert_eq!((names(&removed), removed.bindings.len()), (vec!["c"], 4));
    assert_eq!(topology.bindings_count(), 1);
}

// EX-074
#[test]
fn alternate_exchange_takes_what_matches_nothing() {
    let exchanges = [
        ("first", with_alternate("direct", text("second"))),
        ("second", with_alternate("direct", text("third"))),
        ("third", with_alternate("fanout", text("first"))),
        ("lost", with_alternate("direct", text("missing"))),
        ("named", with_alternate("direct", text(""))),
    ];
    let mut topology = vhost(&exchanges, &["q1", "q2", "q3"]);
    assert_eq!(route(&topology, "first", &["k"]), [""; 0]);
    bind(&mut topology, "first", &queue("q1"), "one");
    bind(&mut topology, "second", &queue("q2"), "two");
    bind(&mut topology, "third", &queue("q3"), "");
    for (key, expected) in [("one", "q1"), ("two", "q2"), ("three", "q3")] {
        assert_eq!(route(&topology, "first", &[key]), [expected]);
    }
    assert_eq!(route(&topology, "lost", &["k"]), [""; 0]);
    assert_eq!(route(&topology, "named", &["q2"]), ["q2"]);
    // A binding that leads to an exchange is a match, whatever comes of it there.
    bind(&mut topology, "first", &exchange("lost"), "nowhere");
    assert_eq!(route(&topology, "first", &["nowhere"]), [""; 0]);
}

#[test]
fn routes_through_headers_exchanges_are_not_cacheable() {
    let mut topology = vhost(&[("d", spec("direct")), ("h", spec("headers"))], &["q"]);
    bind(&mut topology, "d", &exchange("h"), "k");
    bind(&mut topology, "h", &queue("q"), "");
    let mut out = RouteSet::new();
    for (key, expected) in [(&b"k"[..], Cacheable::No), (b"l", Cacheable::Yes)] {
        assert_eq!(topology.route("d", &View::new(&[key], None), &mut out), Ok(expected));
    }
    assert_eq!(topology.route("h", &View::new(&[b""], None), &mut out), Ok(Cacheable::No));
    assert_eq!(out.queues(), ["q"]);
}

// EX-017 QU-091
#[test]
fn auto_delete_exchange_goes_with_its_last_binding() {
    let exchanges = [("a", auto_delete("fanout")), ("b", auto_delete("fanout"))];
    let mut topology = vhost(&exchanges, &["q", "r"]);
    bind(&mut topology, "a", &exchange("b"), "");
    bind(&mut topology, "b", &queue("q"), "");
    bind(&mut topology, "b", &queue("r"), "");
    assert_eq!(names(&unbind(&mut topology, "b", &queue("q"), "")), [""; 0]);
    let (handle, removed) = topology.remove_queue("r").unwrap();
    assert_eq!((handle, names(&removed)), ("r", vec!["b", "a"]));
    assert_eq!((topology.bindings_count(), topology.queues_count()), (0, 1));
    assert!(topology.exchange("a").is_none() && topology.remove_queue("r").is_none());
}

#[test]
fn names_lose_line_ends() {
    assert_eq!(strip_cr_lf("\r\na\rb\n"), "ab");
    assert!(check_new_name(Kind::Queue, "amqp").is_ok());
    assert_eq!(
        check_new_name(Kind::Queue, "amq.x").unwrap_err().to_string(),
        "queue name 'amq.x' contains reserved prefix 'amq.*'"
    );
}

#[test]
fn restore_leaves_out_what_makes_no_sense() {
    let record = |name: &str, type_name| ExchangeRecord {
        vhost: "/".into(),
        name: name.into(),
        spec: spec(type_name),
        log: None,
    };
    let binding = |source: &str, destination| BindingRecord {
        vhost: "/".into(),
        source: source.into(),
        destination,
        key: (*b"k").into(),
        arguments: Table::default(),
    };
    let (topology, dropped) = Topology::restore(
        [record("x", "direct"), record("odd", "x-odd"), record("amq.direct", "direct")],
        [(Name::from("q"), "q")],
        [
            binding("x", queue("q")),
            binding("odd", queue("q")),
            binding("x", queue("gone")),
            binding("amq.direct", exchange("x")),
        ],
    );
    assert_eq!(route(&topology, "amq.direct", &["k"]), ["q"]);
    let texts: Vec<_> = dropped
        .iter()
        .map(|dropped| match dropped {
            Dropped::Exchange(record, error) => format!("{}: {error}", record.name),
            Dropped::Binding(record, error) => format!("{}: {error}", record.source),
        })
        .collect();
    let expected =
        ["odd: unknown exchange type 'x-odd'", "odd: no exchange 'odd'", "x: no queue 'gone'"];
    assert_eq!(texts, expected);
}

mod model;
