//! Exchanges of type `x-delayed-message`.

use std::time::{Duration, Instant};

use crate::harness::*;

/// RabbitMQ 4.3 has no such type (EX-101).
fn is_there() -> bool {
    only_on_lepus("x-delayed-message is not there")
}

/// A new delayed exchange.
fn delayed(channel: &Channel, kind: &str) -> String {
    let x = name("delayed");
    let declare = exchange(&x, "x-delayed-message").auto_delete();
    channel.call(&declare.arg("x-delayed-type", kind));
    x
}

fn after(exchange: &str, key: &str, body: &str, delay: impl Into<Value>) -> Publish {
    publish(exchange, key, body).headers(Table::new().with("x-delay", delay))
}

/// An exchange of the test's own broker with a durable queue behind it.
fn durable_pair(channel: &Channel) {
    let declare = exchange("x", "x-delayed-message").durable();
    channel.call(&declare.arg("x-delayed-type", "direct"));
    channel.declare(&queue("q").durable());
    channel.call(&bind("q", "x", "k"));
    channel.confirm_select();
}

fn kept(body: &str, delay: i32) -> Publish {
    let headers = Some(Table::new().with("x-delay", delay));
    let properties = Properties { headers, ..Properties::persistent() };
    publish("x", "k", body).properties(properties)
}

// EX-097
#[test]
fn its_type_must_be_another_existing_one() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let declare = || exchange(name("x"), "x-delayed-message");
    let existing = "Invalid argument, 'x-delayed-type' must be an existing exchange type";
    for (request, text) in [
        (declare(), existing),
        (declare().arg("x-delayed-type", 1), existing),
        (
            declare().arg("x-delayed-type", "x-delayed-message"),
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        ),
        (declare().arg("x-delayed-type", "foo"), "unknown exchange type 'foo'"),
    ] {
        channel.refused(&request, 406, format!("PRECONDITION_FAILED - {text}"));
        channel.reopen();
    }
    // Its bindings are those of the other type.
    let x = delayed(&channel, "x-consistent-hash");
    let text = "PRECONDITION_FAILED - The binding key must be greater than 0";
    channel.refused(&bind(&channel.queue(), &x, "0"), 406, text);
}

// EX-098, EX-099
#[test]
fn messages_come_when_they_are_due_and_say_how_long_they_waited() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let x = delayed(&channel, "topic");
    let q = channel.queue();
    channel.call(&bind(&q, &x, "a.*"));
    channel.subscribe(&q, "c");
    let start = Instant::now();
    channel.publish_together(&[
        after(&x, "a.b", "late", 300),
        after(&x, "a.b", "text", "150"),
        after(&x, "a.b", "float", 75.5),
        after(&x, "a.b", "early", 20),
        after(&x, "b.b", "nowhere", 20),
    ]);
    for (body, delay) in [("early", 20), ("float", 75), ("text", 150), ("late", 300)] {
        let got = channel.delivery();
        let waited = start.elapsed();
        assert_eq!((got.text().as_str(), got.exchange.as_str()), (body, x.as_str()));
        assert!(waited >= Duration::from_millis(delay), "{body} came after {waited:?}");
        let headers = got.headers();
        let negated = -i64::try_from(delay).unwrap();
        let is_negated = [Value::I32(negated as i32), Value::I64(negated)]
            .iter()
            .any(|value| headers.get("x-delay") == Some(value));
        assert!(is_negated, "{headers:?}");
    }
}

// EX-098
#[test]
fn what_is_no_delay_does_not_wait() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let x = delayed(&channel, "fanout");
    let q = channel.queue();
    channel.call(&bind(&q, &x, ""));
    channel.publish(&publish(&x, "", "none"));
    for (body, delay) in [
        ("zero", Value::from(0)),
        ("negative", (-5000).into()),
        ("too long", 4_294_967_296_i64.into()),
        ("word", "soon".into()),
        ("truth", true.into()),
    ] {
        channel.publish(&after(&x, "", body, delay));
    }
    channel.publish(&after(&x, "", "longest", 4_294_967_295_i64));
    let expected = ["none", "zero", "negative", "too long", "word", "truth"];
    assert_eq!(channel.drain(&q), expected);
}

// EX-101
#[test]
fn equal_times_keep_the_order_of_publishing() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let x = delayed(&channel, "direct");
    let q = channel.queue();
    channel.call(&bind(&q, &x, "k"));
    channel.consume(&consume(&q, "c").no_ack());
    let bodies: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    for body in &bodies {
        channel.publish(&after(&x, "k", body, 200));
    }
    assert_eq!(channel.deliveries(500), bodies);
}

// EX-100
#[test]
fn mandatory_messages_that_wait_are_returned_and_come_all_the_same() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let x = delayed(&channel, "direct");
    let q = channel.queue();
    channel.call(&bind(&q, &x, "k"));
    channel.confirm_select();
    channel.publish(&after(&x, "k", "m", 50).mandatory());
    assert_eq!(channel.returned().returned, Some((312, "NO_ROUTE".to_owned())));
    channel.expect_acked(1);
    channel.subscribe(&q, "c");
    assert_eq!(channel.delivery().text(), "m");
}

#[test]
fn bindings_are_those_of_the_moment_when_a_message_is_due() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let x = delayed(&channel, "direct");
    let (before, later) = (channel.queue(), channel.queue());
    // Keeps the auto-delete exchange.
    channel.call(&bind(&before, &x, "other"));
    channel.call(&bind(&before, &x, "k"));
    channel.publish(&after(&x, "k", "m", 1000));
    channel.call(&unbind(&before, &x, "k"));
    channel.call(&bind(&later, &x, "k"));
    channel.subscribe(&later, "c");
    assert_eq!(channel.delivery().text(), "m");
    assert_eq!(channel.drain(&before), [""; 0]);
}

#[test]
fn messages_that_are_due_follow_bindings_and_alternates() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let (x, alternate) = (name("delayed"), channel.exchange("fanout"));
    let declare = exchange(&x, "x-delayed-message").arg("x-delayed-type", "direct");
    channel.call(&declare.arg("alternate-exchange", &alternate));
    // In front of it one that does not wait itself, behind it one that would.
    let front = channel.exchange("fanout");
    let behind = delayed(&channel, "fanout");
    channel.call(&exchange_bind(&x, &front, ""));
    channel.call(&exchange_bind(&behind, &x, "k"));
    let [at_once, waited, unmatched] = [channel.queue(), channel.queue(), channel.queue()];
    channel.call(&bind(&at_once, &front, ""));
    channel.call(&bind(&waited, &behind, ""));
    channel.call(&bind(&unmatched, &alternate, ""));
    channel.publish(&after(&front, "k", "m", 60));
    channel.publish(&after(&front, "none", "n", 60));
    assert_eq!(channel.drain(&at_once), ["m", "n"]);
    channel.subscribe(&waited, "w");
    assert_eq!(channel.delivery().text(), "m");
    channel.subscribe(&unmatched, "u");
    assert_eq!(channel.delivery().text(), "n");
    channel.call(&exchange_delete(&x));
}

// BA-010, BA-011
#[test]
fn copies_are_sent_when_the_message_is_due() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let x = delayed(&channel, "direct");
    let queues = [channel.queue(), channel.queue(), channel.queue()];
    for (queue, key) in queues.iter().zip(["k", "cc", "bcc"]) {
        channel.call(&bind(queue, &x, key));
    }
    let list = |key: &str| vec![Value::from(key)];
    let headers = Table::new().with("x-delay", 40).with("CC", list("cc")).with("BCC", list("bcc"));
    channel.publish(&publish(&x, "k", "m").headers(headers));
    for queue in &queues {
        channel.subscribe(queue, queue);
        let got = channel.delivery();
        assert_eq!((got.text().as_str(), got.routing_key.as_str()), ("m", "k"));
        assert_eq!(got.headers().keys(), ["CC", "x-delay"]);
    }
}

#[test]
fn transactions_begin_the_wait_at_their_commit() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let x = delayed(&channel, "direct");
    let q = channel.queue();
    channel.call(&bind(&q, &x, "k"));
    channel.call(&tx_select());
    channel.publish(&after(&x, "k", "undone", 1));
    channel.call(&tx_rollback());
    channel.publish(&after(&x, "k", "done", 60));
    channel.call(&tx_commit());
    channel.subscribe(&q, "c");
    assert_eq!(channel.delivery().text(), "done");
}

#[test]
fn deleting_the_exchange_drops_what_waits() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let x = name("delayed");
    let declare = || exchange(&x, "x-delayed-message").arg("x-delayed-type", "direct");
    let q = channel.queue();
    channel.call(&declare());
    channel.publish(&after(&x, "k", "dropped", 60));
    channel.call(&exchange_delete(&x));
    channel.call(&declare());
    channel.call(&bind(&q, &x, "k"));
    channel.publish(&after(&x, "k", "kept", 120));
    channel.subscribe(&q, "c");
    assert_eq!(channel.delivery().text(), "kept");
    channel.call(&exchange_delete(&x));
}

#[test]
fn what_waits_survives_a_restart_if_it_is_persistent() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    durable_pair(&channel);
    channel.publish(&kept("overdue", 1));
    channel.publish(&kept("later", 2_000));
    channel.publish(&kept("soon", 1_000));
    channel.publish(&after("x", "k", "transient", 1_500));
    let long = "x".repeat(100_000);
    channel.publish(&kept(&long, 1_200));
    channel.expect_acked(5);
    private.restart();

    let channel = private.open().channel(1);
    channel.subscribe("q", "c");
    assert_eq!(channel.deliveries(4), ["overdue", "soon", &long, "later"]);
    channel.send(&ack(4).multiple());
    channel.close();
    // What was handed on is not there again.
    private.restart();
    let channel = private.open().channel(1);
    assert_eq!(channel.declare(&queue("q").durable()).messages, 0);
    channel.confirm_select();
    channel.publish(&kept("new", 10));
    channel.expect_acked(1);
    channel.subscribe("q", "c");
    assert_eq!(channel.delivery().text(), "new");
}

#[test]
fn bodies_beyond_what_memory_holds_come_back_from_the_store() {
    let Some(private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    durable_pair(&channel);
    // 40 MB, the last to be due first; some are transient.
    let body = |n: i32| format!("{n:02}{}", "x".repeat(1_000_000));
    for n in 0..40 {
        let headers = Some(Table::new().with("x-delay", 2_000 - 20 * n));
        let properties = Properties {
            headers,
            ..if n % 3 == 0 { Properties::default() } else { Properties::persistent() }
        };
        channel.publish(&publish("x", "k", body(n)).properties(properties));
    }
    channel.expect_acked(40);
    channel.consume(&consume("q", "c").no_ack());
    let mut order: Vec<i32> = Vec::new();
    for got in channel.deliveries(40) {
        order.push(got[..2].parse().unwrap());
        assert!(got == body(order[order.len() - 1]));
    }
    order.sort_unstable();
    assert_eq!(order, (0..40).collect::<Vec<_>>());
}

#[test]
fn what_waits_is_counted_also_after_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    durable_pair(&channel);
    let waiting = |private: &PrivateBroker| {
        private.api().get("/exchanges/%2F/x")["messages_delayed"].as_u64()
    };
    assert_eq!(waiting(&private), Some(0));
    for n in 0..30 {
        channel.publish(&kept(&n.to_string(), 3_600_000));
    }
    channel.publish(&after("x", "k", "transient", 3_600_000));
    channel.publish(&kept("soon", 1));
    channel.expect_acked(32);
    channel.subscribe("q", "c");
    assert_eq!(channel.delivery().text(), "soon");
    assert_eq!(waiting(&private), Some(31));
    private.restart();
    assert_eq!(waiting(&private), Some(30));
}

#[test]
fn kill_neither_ends_a_wait_nor_begins_it_anew() {
    const DELAY: i32 = 5000;
    if !is_there() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let lepus = Lepus::start(home.path());
    let connection = lepus.options.open();
    let channel = connection.channel(1);
    durable_pair(&channel);
    let start = Instant::now();
    channel.publish(&kept("long", 3_600_000));
    channel.publish(&kept("short", DELAY));
    channel.expect_acked(2);
    outlive(&connection, DELAY / 2);
    lepus.kill();
    Lepus::start(home.path()).kill();

    let lepus = Lepus::start(home.path());
    let restart = Instant::now();
    let channel = lepus.options.open().channel(1);
    channel.subscribe("q", "c");
    assert_eq!(channel.delivery().text(), "short");
    let waited = restart.elapsed();
    assert_not_before(start, DELAY);
    assert!(waited < Duration::from_millis(DELAY as u64), "it began anew: {waited:?}");
    channel.expect_nothing();
    lepus.kill();
}

#[test]
fn what_was_confirmed_survives_a_kill_and_comes_once() {
    if !is_there() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let lepus = Lepus::start(home.path());
    let channel = lepus.options.open().channel(1);
    durable_pair(&channel);
    let mut random = Random(7);
    // Some are due while others are still being published, some when the broker is not there.
    for n in 0..2000 {
        channel.publish(&kept(&n.to_string(), 1 + i32::try_from(random.below(1500)).unwrap()));
    }
    channel.expect_acked(2000);
    lepus.kill();

    for _ in 0..2 {
        Lepus::start(home.path()).kill();
    }
    let lepus = Lepus::start(home.path());
    let channel = lepus.options.open().channel(1);
    channel.subscribe("q", "c");
    let mut bodies: Vec<u32> =
        channel.deliveries(2000).iter().map(|body| body.parse().unwrap()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, (0..2000).collect::<Vec<_>>());
    channel.expect_nothing();
    lepus.kill();
}
