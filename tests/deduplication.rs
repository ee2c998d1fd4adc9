//! Deduplication: exchanges of type `x-message-deduplication`.

use std::time::Instant;

use crate::harness::*;

fn is_there() -> bool {
    only_on_lepus("its plugin is not RabbitMQ's own")
}

fn declare(x: &str, size: i32) -> Request {
    exchange(x, "x-message-deduplication").arg("x-cache-size", size)
}

/// A message with this value of the header.
fn valued(exchange: &str, value: impl Into<Value>, body: &str) -> Publish {
    let headers = Table::new().with("x-deduplication-header", value);
    publish(exchange, "k", body).headers(headers)
}

#[test]
fn its_arguments_are_checked() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let plain = || exchange(name("x"), "x-message-deduplication");
    let size = "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0";
    for (request, text) in [
        (plain(), size),
        (plain().arg("x-cache-size", 0), size),
        (plain().arg("x-cache-size", "many"), size),
        (
            declare(&name("x"), 5).arg("x-cache-ttl", -1),
            "Invalid argument, 'x-cache-ttl' must be an integer greater than 0",
        ),
        (
            declare(&name("x"), 5).arg("x-cache-persistence", "tape"),
            "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'",
        ),
    ] {
        channel.refused(&request, 406, format!("PRECONDITION_FAILED - {text}"));
        channel.reopen();
    }
}

#[test]
fn a_value_passes_once() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let (x, q) = (name("dedup"), channel.queue());
    channel.call(&declare(&x, 10).auto_delete());
    channel.call(&bind(&q, &x, "any key"));
    for (value, body) in [
        (Value::from("a"), "a"),
        ("b".into(), "b"),
        ("a".into(), "a again"),
        (1.into(), "1"),
        (1_i64.into(), "1 again"),
        ("1".into(), "text 1"),
    ] {
        channel.publish(&valued(&x, value, body));
    }
    for _ in 0..2 {
        channel.publish(&publish(&x, "k", "no value"));
    }
    let expected = ["a", "b", "1", "text 1", "no value", "no value"];
    assert_eq!(channel.drain(&q), expected);
    // What the queue gave away is remembered all the same.
    channel.publish(&valued(&x, "a", "a again"));
    assert_eq!(channel.drain(&q), [""; 0]);
}

#[test]
fn duplicates_match_nothing() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let (x, alternate) = (name("dedup"), channel.exchange("fanout"));
    channel.call(&declare(&x, 10).arg("alternate-exchange", &alternate).auto_delete());
    let (q, duplicates) = (channel.queue(), channel.queue());
    channel.call(&bind(&q, &x, ""));
    channel.confirm_select();
    for body in ["one", "two"] {
        channel.publish(&valued(&x, "a", body).mandatory());
    }
    assert_eq!(channel.confirms(2).returned, 1);
    channel.call(&bind(&duplicates, &alternate, ""));
    channel.publish(&valued(&x, "a", "three").mandatory());
    assert_eq!(channel.next_confirm().1, 3);
    assert_eq!(
        (channel.drain(&q), channel.drain(&duplicates)),
        (vec!["one".into()], vec!["three".into()])
    );
}

#[test]
fn the_oldest_value_is_forgotten_when_the_cache_is_full() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let (x, q) = (name("dedup"), channel.queue());
    channel.call(&declare(&x, 2).auto_delete());
    channel.call(&bind(&q, &x, ""));
    for value in ["a", "b", "c", "b", "c", "a", "b"] {
        channel.publish(&valued(&x, value, value));
    }
    assert_eq!(channel.drain(&q), ["a", "b", "c", "a", "b"]);
}

#[test]
fn values_are_forgotten_in_time() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let (x, q) = (name("dedup"), channel.queue());
    channel.call(&declare(&x, 10).arg("x-cache-ttl", 3_600_000).auto_delete());
    channel.call(&bind(&q, &x, ""));
    // The message's time to be remembered goes before the exchange's.
    let headers = Table::new().with("x-deduplication-header", "a").with("x-cache-ttl", 100);
    let short = || publish(&x, "k", "short").headers(headers.clone());
    channel.publish_together(&[valued(&x, "b", "long"), short(), short()]);
    assert_eq!(channel.drain(&q), ["long", "short"]);
    // It passes again, after some time.
    let (start, mut passed) = (Instant::now(), Vec::new());
    while passed.is_empty() {
        assert!(start.elapsed() < DEADLINE, "it is remembered for ever");
        channel.publish(&short());
        passed = channel.drain(&q);
    }
    assert_eq!(passed, ["short"]);
    channel.publish(&valued(&x, "b", "long"));
    assert_eq!(channel.drain(&q), [""; 0]);
}

#[test]
fn what_is_refused_is_not_remembered() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let x = name("dedup");
    channel.call(&declare(&x, 10));
    let q = channel.queue();
    channel.call(&bind(&q, &x, ""));
    let headers = Some(Table::new().with("x-deduplication-header", "a"));
    let user_id = Some("somebody".to_owned());
    let refused = Properties { headers, user_id, ..Properties::default() };
    channel.publish(&publish(&x, "k", "refused").properties(refused));
    channel.expect_close(
        406,
        "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was \
         'guest'",
        (60, 40),
    );
    channel.reopen();
    channel.publish(&valued(&x, "a", "passes"));
    assert_eq!(channel.drain(&q), ["passes"]);
    channel.call(&exchange_delete(&x));
}

#[test]
fn values_are_remembered_over_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable());
    let kinds = [("default", None), ("disk", Some("disk")), ("memory", Some("memory"))];
    for (x, persistence) in kinds {
        let durable = declare(x, 3).durable();
        channel.call(&match persistence {
            Some(word) => durable.arg("x-cache-persistence", word),
            None => durable,
        });
        channel.call(&bind("q", x, ""));
    }
    channel.confirm_select();
    for (x, _) in kinds {
        for value in ["a", "b", "c", "d"] {
            channel.publish(&valued(x, value, value));
        }
    }
    channel.expect_acked(12);
    for _ in 0..2 {
        private.restart();
        let channel = private.open().channel(1);
        for (x, _) in kinds {
            for value in ["b", "c", "d"] {
                channel.publish(&valued(x, value, &format!("{x} {value}")));
            }
        }
        assert_eq!(channel.drain("q"), ["memory b", "memory c", "memory d"]);
    }
    let channel = private.open().channel(1);
    // The oldest was forgotten before.
    channel.publish(&valued("disk", "a", "disk a"));
    assert_eq!(channel.drain("q"), ["disk a"]);
}

/// A durable queue of the test's own that takes each value once at a time.
fn deduplicating(channel: &Channel) -> String {
    channel.queue_with(Table::new().with("x-message-deduplication", true))
}

#[test]
fn a_queue_takes_a_value_once_at_a_time() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let q = deduplicating(&channel);
    let with = |value: &str, body: &str| {
        let headers = Table::new().with("x-deduplication-header", value);
        publish("", &q, body).headers(headers)
    };
    let confirmed = channel.connection().channel(2);
    confirmed.confirm_select();
    for (value, body) in [("a", "1"), ("a", "2"), ("b", "3"), ("b", "4")] {
        confirmed.publish(&with(value, body));
    }
    confirmed.publish(&publish("", &q, "no value"));
    confirmed.publish(&publish("", &q, "no value"));
    confirmed.expect_acked(6);
    channel.expect_ready(&q, 4);
    let send = |value: &str, body: &str| channel.publish(&with(value, body));
    // Delivered is not gone; put back it is what it was; acknowledged it is gone.
    let first = channel.get(&q).unwrap();
    assert_eq!(first.text(), "1");
    send("a", "5");
    channel.send(&nack(first.delivery_tag, true));
    send("a", "6");
    let again = channel.get(&q).unwrap();
    assert_eq!((again.text().as_str(), again.redelivered), ("1", true));
    channel.send(&ack(again.delivery_tag));
    send("a", "7");
    assert_eq!(channel.drain(&q), ["3", "no value", "no value", "7"]);
    // Taken without acknowledgement, purged, and handed over at once: each time it is gone.
    let quiet = Channel::open();
    let q = deduplicating(&quiet);
    let send = |body: &str| {
        let headers = Table::new().with("x-deduplication-header", "a");
        quiet.publish(&publish("", &q, body).headers(headers));
    };
    send("1");
    assert_eq!(quiet.drain(&q), ["1"]);
    send("2");
    assert_eq!(quiet.count(&purge(&q)), 1);
    quiet.consume(&consume(&q, "c").no_ack());
    send("3");
    send("4");
    assert_eq!(quiet.deliveries(2), ["3", "4"]);
}

#[test]
fn what_leaves_a_queue_by_its_limits_may_come_again() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let arguments = Table::new().with("x-message-deduplication", true);
    let q = channel.queue_with(arguments.clone().with("x-max-length", 1));
    let send = |q: &str, value: &str, body: &str| {
        let headers = Table::new().with("x-deduplication-header", value);
        channel.publish(&publish("", q, body).headers(headers));
    };
    for (value, body) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")] {
        send(&q, value, body);
    }
    assert_eq!(channel.drain(&q), ["3"]);
    let full = arguments.clone().with("x-max-length", 1).with("x-overflow", "reject-publish");
    let q = channel.queue_with(full);
    send(&q, "a", "1");
    send(&q, "b", "refused");
    assert_eq!(channel.drain(&q), ["1"]);
    send(&q, "b", "2");
    assert_eq!(channel.drain(&q), ["2"]);
    let q = channel.queue_with(arguments.with("x-message-ttl", 0));
    send(&q, "a", "expired");
    channel.subscribe(&q, "c");
    send(&q, "a", "delivered");
    assert_eq!(channel.delivery().text(), "delivered");
}

#[test]
fn a_queue_remembers_over_a_restart_what_it_holds() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    let declare = || queue("q").durable().arg("x-message-deduplication", true);
    channel.declare(&declare().arg("x-max-priority", 3));
    channel.confirm_select();
    let send = |channel: &Channel, value: &str, priority: u8| {
        let headers = Some(Table::new().with("x-deduplication-header", value));
        let properties =
            Properties { headers, priority: Some(priority), ..Properties::persistent() };
        channel.publish(&publish("", "q", value).properties(properties));
    };
    for (value, priority) in [("a", 0), ("b", 1), ("c", 2)] {
        send(&channel, value, priority);
    }
    channel.expect_acked(3);
    assert_eq!(channel.get_by(&get("q").no_ack()).unwrap().text(), "c");
    private.restart();

    let channel = private.open().channel(1);
    for value in ["a", "b", "c"] {
        send(&channel, value, 3);
    }
    assert_eq!(channel.drain("q"), ["c", "b", "a"]);
    send(&channel, "a", 0);
    assert_eq!(channel.drain("q"), ["a"]);
    let text = "PRECONDITION_FAILED - invalid arg 'x-message-deduplication' for queue 'x' in vhost \
                '/': ";
    let request = queue("x").arg("x-message-deduplication", "yes");
    channel.refused(&request, 406, starts_with(text));
}
