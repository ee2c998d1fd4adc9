//! What matches: direct, fanout, topic, headers, alternate exchanges.

use crate::harness::*;

/// Publishes every key as its own body and tells which ones came through.
#[track_caller]
fn routed(channel: &Channel, exchange: &str, keys: &[&str], q: &str) -> Vec<String> {
    for key in keys {
        channel.publish(&publish(exchange, key, *key));
    }
    channel.drain(q)
}

// EX-060
#[test]
fn direct_exchange_matches_the_exact_key() {
    let channel = Channel::open();
    let (x, q) = (channel.exchange("direct"), channel.queue());
    channel.call(&bind(&q, &x, "key"));
    channel.call(&bind(&q, &x, "other"));
    let keys = ["key", "Key", "key ", "", "other", "*", "#", "ke"];
    assert_eq!(routed(&channel, &x, &keys, &q), ["key", "other"]);
}

// EX-061
#[test]
fn fanout_exchange_ignores_key_and_headers() {
    let channel = Channel::open();
    let (x, q, r) = (channel.exchange("fanout"), channel.queue(), channel.queue());
    channel.call(&bind(&q, &x, "key"));
    channel.call(&bind(&r, &x, "").arg("colour", "red"));
    assert_eq!(routed(&channel, &x, &["", "other"], &q), ["", "other"]);
    assert_eq!(channel.drain(&r), ["", "other"]);
}

const TOPIC_KEYS: [&str; 13] =
    ["", "a", "a.b", "a.b.c", ".", "a.", ".a", "a..b", "..", "#", "*", "a.*", "A"];

// EX-062, EX-063, EX-064, EX-065, EX-066
#[test]
fn topic_exchange_matches_word_by_word() {
    let channel = Channel::open();
    let all = TOPIC_KEYS.as_slice();
    let but_the_empty = &TOPIC_KEYS[1..];
    let table: &[(&str, &[&str])] = &[
        ("#", all),
        ("*", &["a", "#", "*", "A"]),
        ("", &[""]),
        ("a", &["a"]),
        ("a.*", &["a.b", "a.", "a.*"]),
        ("a.#", &["a", "a.b", "a.b.c", "a.", "a..b", "a.*"]),
        ("*.*", &["a.b", ".", "a.", ".a", "a.*"]),
        ("#.b", &["a.b", "a..b"]),
        ("*.#", but_the_empty),
        ("#.#", all),
        ("a.*.b", &["a..b"]),
        ("*.", &[".", "a."]),
        ("#.*", but_the_empty),
        ("#.a.#", &["a", "a.b", "a.b.c", "a.", ".a", "a..b", "a.*"]),
        ("a#", &[]),
        ("*a", &[]),
        ("*.*.*", &["a.b.c", "a..b", ".."]),
        ("a.b.c", &["a.b.c"]),
        ("#.c", &["a.b.c"]),
        ("a.#.c", &["a.b.c"]),
        ("a.#.b", &["a.b", "a..b"]),
        ("a.b.#.c", &["a.b.c"]),
    ];
    for (binding, expected) in table {
        // Each binding alone, so that one cannot hide the other.
        let (x, q) = (channel.exchange("topic"), channel.queue());
        channel.call(&bind(&q, &x, binding));
        let got = routed(&channel, &x, &TOPIC_KEYS, &q);
        assert_eq!(got, *expected, "binding {binding:?}");
        channel.call(&delete(&q));
    }
}

// EX-066
#[test]
fn topic_bindings_side_by_side_match_as_they_do_alone() {
    let channel = Channel::open();
    let x = channel.exchange("topic");
    let bindings = ["#", "*", "a.*", "a.#", "*.*", "#.b", "a.*.b", "a.b.c", "a"];
    let queues: Vec<String> = bindings.iter().map(|_| channel.queue()).collect();
    for (binding, q) in bindings.iter().zip(&queues) {
        channel.call(&bind(q, &x, binding));
    }
    channel.publish(&publish(&x, "a.b", "m"));
    let matched = |(_, q): &(&&str, &String)| channel.count(&purge(q)) == 1;
    let got: Vec<&str> = bindings.iter().zip(&queues).filter(matched).map(|(b, _)| *b).collect();
    assert_eq!(got, ["#", "a.*", "a.#", "*.*", "#.b"]);
}

// EX-066
#[test]
fn topic_binding_that_is_gone_matches_no_more() {
    let channel = Channel::open();
    let (x, q) = (channel.exchange("topic"), channel.queue());
    for binding in ["a.#", "a.*", "a.b"] {
        channel.call(&bind(&q, &x, binding));
    }
    channel.call(&unbind(&q, &x, "a.#"));
    assert_eq!(routed(&channel, &x, &["a.b", "a.c", "a", "a.b.c"], &q), ["a.b", "a.c"]);
    channel.call(&unbind(&q, &x, "a.*"));
    assert_eq!(routed(&channel, &x, &["a.b", "a.c", "a", "a.b.c"], &q), ["a.b"]);
}

fn nested() -> Table {
    Table::new().with("deep", Table::new().with("deeper", 1))
}

/// A row: arguments of the binding, headers of the message, whether they match.
type HeadersRow = (Table, Table, bool);

#[track_caller]
fn check_headers(rows: Vec<HeadersRow>) {
    let channel = Channel::open();
    for (arguments, headers, is_match) in rows {
        let (x, q) = (channel.exchange("headers"), channel.queue());
        channel.call(&bind(&q, &x, "ignored").args(arguments.clone()));
        channel.publish(&publish(&x, "key", "m").headers(headers.clone()));
        let got = channel.count(&delete(&q)) == 1;
        assert_eq!(got, is_match, "binding {arguments:?}, message {headers:?}");
    }
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    only(entries)
}

// EX-067, EX-068
#[test]
fn headers_exchange_asks_for_all_or_any() {
    let two = |mode: Option<&str>| {
        let arguments = table([("a", "1".into()), ("b", "2".into())]);
        match mode {
            Some(mode) => arguments.with("x-match", mode),
            None => arguments,
        }
    };
    let both = || table([("b", "2".into()), ("a", "1".into()), ("c", "3".into())]);
    let one = || table([("a", "1".into()), ("b", "wrong".into())]);
    let none = || table([("a", "2".into()), ("c", "1".into())]);
    check_headers(vec![
        (two(None), both(), true),
        (two(None), one(), false),
        (two(Some("all")), both(), true),
        (two(Some("all")), one(), false),
        (two(Some("any")), both(), true),
        (two(Some("any")), one(), true),
        (two(Some("any")), none(), false),
        (two(Some("all-with-x")), both(), true),
        (two(Some("all-with-x")), one(), false),
        (two(Some("any-with-x")), one(), true),
        (two(Some("any-with-x")), none(), false),
    ]);
}

// EX-068
#[test]
fn headers_exchange_skips_x_keys_unless_told() {
    let with_x =
        |mode: &str| table([("x-match", mode.into()), ("a", "1".into()), ("x-b", "2".into())]);
    let only_x = |mode: &str| table([("x-match", mode.into()), ("x-b", "2".into())]);
    let a = || table([("a", "1".into())]);
    let b = || table([("x-b", "2".into())]);
    let both = || table([("a", "1".into()), ("x-b", "2".into())]);
    check_headers(vec![
        (with_x("all"), a(), true),
        (with_x("any"), b(), false),
        (only_x("any"), b(), false),
        (only_x("all"), Table::new(), true),
        (with_x("all-with-x"), a(), false),
        (with_x("all-with-x"), both(), true),
        (with_x("any-with-x"), b(), true),
        (only_x("any-with-x"), b(), true),
    ]);
}

// EX-069, EX-072
#[test]
fn headers_exchange_compares_values_and_not_widths() {
    let pairs: Vec<(Value, Value, bool)> = vec![
        (5.into(), Value::I64(5), true),
        (Value::I8(5), Value::U32(5), true),
        (Value::U8(200), Value::I16(200), true),
        (Value::I64AsL(-7), (-7).into(), true),
        (5.into(), 6.into(), false),
        ("5".into(), 5.into(), false),
        (5.into(), "5".into(), false),
        (true.into(), 1.into(), false),
        (true.into(), true.into(), true),
        (true.into(), false.into(), false),
        (true.into(), "true".into(), false),
        (1.into(), Value::F64(1.0), false),
        (Value::F64(1.5), Value::F64(1.5), true),
        ("a".into(), "A".into(), false),
        (nested().into(), nested().into(), true),
        (nested().into(), Table::new().with("deep", 1).into(), false),
        (vec![1.into(), "a".into()].into(), vec![1.into(), "a".into()].into(), true),
        (vec![1.into(), "a".into()].into(), vec!["a".into(), 1.into()].into(), false),
    ];
    check_headers(
        pairs.into_iter().map(|(b, m, is)| (table([("k", b)]), table([("k", m)]), is)).collect(),
    );
}

// EX-070
#[test]
fn headers_exchange_takes_void_as_a_test_of_presence() {
    let void = || table([("k", Value::Void)]);
    check_headers(vec![
        (void(), table([("k", 1.into())]), true),
        (void(), table([("k", "any".into())]), true),
        (void(), table([("k", Value::Void)]), true),
        (void(), table([("other", 1.into())]), false),
        (table([("k", 1.into())]), table([("k", Value::Void)]), false),
    ]);
}

// EX-071, EX-073
#[test]
fn headers_binding_without_arguments_matches_all_or_nothing() {
    check_headers(vec![
        (Table::new(), Table::new(), true),
        (Table::new(), table([("a", 1.into())]), true),
        (table([("x-match", "all".into())]), table([("a", 1.into())]), true),
        (table([("x-match", "any".into())]), table([("a", 1.into())]), false),
        (table([("x-match", "any".into())]), Table::new(), false),
        (table([("x-match", "any-with-x".into())]), Table::new(), false),
    ]);
    // No header table at all.
    let channel = Channel::open();
    let (x, q) = (channel.exchange("headers"), channel.queue());
    channel.call(&bind(&q, &x, ""));
    channel.publish(&publish(&x, "", "m"));
    assert_eq!(channel.drain(&q), ["m"]);
}

// EX-067
#[test]
fn headers_binding_refuses_an_unknown_x_match() {
    let channel = Channel::open();
    let (x, q) = (channel.exchange("headers"), channel.queue());
    channel.refused(
        &bind(&q, &x, "").arg("x-match", "foo"),
        406,
        "PRECONDITION_FAILED - Invalid x-match field value <<\"foo\">>; \
         expected all, any, all-with-x, or any-with-x",
    );
    channel.reopen();
    channel.refused(
        &bind(&q, &x, "").arg("x-match", 1),
        406,
        "PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr",
    );
}

/// An exchange whose unroutable messages go to another.
fn with_alternate(channel: &Channel, kind: &str, alternate: &str) -> String {
    let x = name(kind);
    channel.call(&exchange(&x, kind).auto_delete().arg("alternate-exchange", alternate));
    x
}

// EX-074, EX-076
#[test]
fn alternate_exchange_takes_what_has_no_route() {
    let channel = Channel::open();
    let (last, q, r) = (channel.exchange("fanout"), channel.queue(), channel.queue());
    let middle = with_alternate(&channel, "direct", &last);
    let first = with_alternate(&channel, "direct", &middle);
    channel.call(&bind(&q, &first, "routed"));
    channel.call(&bind(&r, &last, ""));
    channel.publish(&publish(&first, "routed", "a"));
    channel.publish(&publish(&first, "lost", "b"));
    assert_eq!(channel.drain(&q), ["a"]);
    let got = channel.get(&r).unwrap();
    assert_eq!((got.text(), got.exchange, got.routing_key), ("b".into(), first, "lost".into()));
    assert_eq!(got.left, 0);
}

// EX-074
#[test]
fn alternates_in_a_circle_end_nowhere() {
    let channel = Channel::open();
    let (a, b) = (name("direct"), name("direct"));
    channel.call(&exchange(&a, "direct").auto_delete().arg("alternate-exchange", &b));
    channel.call(&exchange(&b, "direct").auto_delete().arg("alternate-exchange", &a));
    channel.publish(&publish(&a, "k", "m").mandatory());
    assert_eq!(channel.returned().text(), "m");
}

// EX-074
#[test]
fn alternate_is_asked_for_a_nested_exchange_too() {
    let channel = Channel::open();
    let (last, q) = (channel.exchange("fanout"), channel.queue());
    channel.call(&bind(&q, &last, ""));
    let inner = with_alternate(&channel, "direct", &last);
    let outer = channel.exchange("fanout");
    channel.call(&exchange_bind(&inner, &outer, ""));
    channel.publish(&publish(&outer, "no route in inner", "m"));
    assert_eq!(channel.drain(&q), ["m"]);
}

// EX-075
#[test]
fn mandatory_is_judged_after_the_alternate() {
    let channel = Channel::open();
    let (last, q) = (channel.exchange("fanout"), channel.queue());
    channel.call(&bind(&q, &last, ""));
    let x = with_alternate(&channel, "direct", &last);
    channel.publish(&publish(&x, "k", "kept").mandatory());
    assert_eq!(channel.drain(&q), ["kept"]);

    let x = with_alternate(&channel, "direct", "no-such-exchange");
    channel.publish(&publish(&x, "k", "lost").mandatory());
    let got = channel.returned();
    assert_eq!((got.text(), got.exchange), ("lost".into(), x));
}

// EX-074
#[test]
fn alternate_exchange_may_be_declared_later() {
    let channel = Channel::open();
    let (late, q) = (name("late"), channel.queue());
    let x = with_alternate(&channel, "direct", &late);
    channel.publish(&publish(&x, "k", "lost"));
    channel.call(&exchange(&late, "fanout").auto_delete());
    channel.call(&bind(&q, &late, ""));
    channel.publish(&publish(&x, "k", "kept"));
    assert_eq!(channel.drain(&q), ["kept"]);
}
