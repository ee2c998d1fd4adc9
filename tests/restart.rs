//! What a clean stop keeps. What a crash keeps is in `crash.rs`.

use crate::harness::*;

// EX-020, EX-049, BA-017, QU-009
#[test]
fn durable_things_come_back_and_transient_ones_do_not() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.call(&exchange("durable", "topic").durable().arg("alternate-exchange", "amq.fanout"));
    channel.call(&exchange("target", "headers").durable());
    channel.call(&exchange("transient", "direct"));
    let arguments = Table::new().with("x-max-length", 1000).with("x-foo", "bar");
    channel.declare(&queue("durable").durable().args(arguments.clone()));
    channel.declare(&queue("transient"));
    channel.declare(&queue("exclusive").durable().exclusive());
    channel.call(&bind("durable", "durable", "a.#"));
    channel.call(&exchange_bind("target", "durable", "b.#"));
    channel.call(&bind("durable", "target", "").arg("x-match", "any").arg("colour", "red"));
    channel.call(&bind("transient", "durable", "#"));
    private.restart();

    let channel = private.open().channel(1);
    channel.call(&exchange("durable", "topic").durable().arg("alternate-exchange", "amq.fanout"));
    let declared = channel.declare(&queue("durable").durable().args(arguments));
    assert_eq!(declared.messages, 0);
    channel.publish(&publish("durable", "a.b", "by topic"));
    let red = Table::new().with("colour", "red");
    channel.publish(&publish("durable", "b", "by header").headers(red));
    channel.publish(&publish("durable", "c", "no route"));
    assert_eq!(channel.drain("durable"), ["by topic", "by header"]);
    for missing in ["transient", "exclusive"] {
        let text = format!("NOT_FOUND - no queue '{missing}' in vhost '/'");
        channel.refused(&queue(missing).passive(), 404, text);
        channel.reopen();
    }
    let text = "NOT_FOUND - no exchange 'transient' in vhost '/'";
    channel.refused(&exchange("transient", "direct").passive(), 404, text);
}

// BA-017
#[test]
fn persistent_messages_come_back_in_order() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable());
    channel.confirm_select();
    let long = "x".repeat(300_000);
    for n in 0..500 {
        let body = if n % 100 == 0 { format!("{n} {long}") } else { n.to_string() };
        let message = publish("", "q", body);
        channel.publish(&if n % 2 == 0 { message.persistent() } else { message });
    }
    channel.expect_acked(500);
    private.restart();

    let channel = private.open().channel(1);
    let got: Vec<String> = channel.drain("q");
    let numbers: Vec<&str> = got.iter().map(|text| text.split(' ').next().unwrap()).collect();
    let expected: Vec<String> = (0..500).step_by(2).map(|n| n.to_string()).collect();
    assert_eq!(numbers, expected);
    assert_eq!(got[50], format!("100 {long}"));
}

// BA-013, BA-017
#[test]
fn properties_come_back_as_they_were() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable());
    let text = |text: &str| Some(text.to_owned());
    let sent = Properties {
        headers: Some(
            Table::new().with("a", vec![1.into(), Value::Void]).with("b", Value::Time(5)),
        ),
        priority: Some(9),
        correlation_id: text("correlation"),
        expiration: text("86400000"),
        timestamp: Some(u64::MAX),
        ..Properties::persistent()
    };
    channel.confirm_select();
    channel.publish(&publish("", "q", "m").properties(sent.clone()));
    channel.expect_acked(1);
    private.restart();

    let got = private.open().channel(1).get("q").unwrap();
    assert_eq!(
        (got.exchange.as_str(), got.routing_key.as_str(), got.redelivered),
        ("", "q", false)
    );
    assert_eq!(got.properties, sent);
}

// BA-017, BA-128
#[test]
fn unacked_messages_come_back_first_and_redelivered() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable());
    channel.confirm_select();
    for body in ["a", "b", "c", "d"] {
        channel.publish(&publish("", "q", body).persistent());
    }
    channel.expect_acked(4);
    channel.get("q").unwrap();
    channel.get("q").unwrap();
    channel.send(&ack(1));
    channel.expect_nothing();
    private.restart();

    let channel = private.open().channel(1);
    let got: Vec<Message> = std::iter::from_fn(|| channel.get("q")).collect();
    let seen: Vec<_> = got.iter().map(|message| (message.text(), message.redelivered)).collect();
    assert_eq!(seen, [("b".into(), true), ("c".into(), false), ("d".into(), false)]);
}

#[test]
fn settled_and_purged_messages_do_not_come_back() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    for q in ["acked", "rejected", "no ack", "purged", "deleted", "committed"] {
        channel.declare(&queue(q).durable());
        channel.publish(&publish("", q, "m").persistent());
    }
    channel.send(&ack(channel.get("acked").unwrap().delivery_tag));
    channel.send(&reject(channel.get("rejected").unwrap().delivery_tag, false));
    channel.get_by(&get("no ack").no_ack()).unwrap();
    assert_eq!(channel.count(&purge("purged")), 1);
    assert_eq!(channel.count(&delete("deleted")), 1);
    channel.call(&tx_select());
    channel.send(&ack(channel.get("committed").unwrap().delivery_tag));
    channel.call(&tx_commit());
    private.restart();

    let channel = private.open().channel(1);
    for q in ["acked", "rejected", "no ack", "purged", "committed"] {
        assert_eq!(channel.get(q), None, "{q}");
    }
    channel.refused(
        &queue("deleted").passive(),
        404,
        "NOT_FOUND - no queue 'deleted' in vhost '/'",
    );
}

#[test]
fn what_was_deleted_does_not_come_back() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.call(&exchange("x", "fanout").durable());
    channel.declare(&queue("q").durable());
    channel.declare(&queue("kept").durable());
    channel.call(&bind("q", "x", ""));
    channel.call(&bind("kept", "x", ""));
    channel.call(&unbind("kept", "x", ""));
    channel.call(&delete("q"));
    channel.declare(&queue("q").durable());
    private.restart();

    let channel = private.open().channel(1);
    channel.publish(&publish("x", "", "m"));
    assert_eq!(channel.get("q"), None);
    assert_eq!(channel.get("kept"), None);
    channel.call(&exchange_delete("x"));
    private.restart();
    let text = "NOT_FOUND - no exchange 'x' in vhost '/'";
    private.open().channel(1).refused(&exchange("x", "fanout").passive(), 404, text);
}

#[test]
fn restarts_in_a_row_change_nothing() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("q").durable());
    channel.confirm_select();
    channel.publish(&publish("", "q", "first").persistent());
    channel.expect_acked(1);
    for round in 0..3 {
        private.restart();
        let channel = private.open().channel(1);
        channel.confirm_select();
        channel.publish(&publish("", "q", round.to_string()).persistent());
        channel.expect_acked(1);
    }
    private.restart();
    assert_eq!(private.open().channel(1).drain("q"), ["first", "0", "1", "2"]);
}

#[test]
fn what_is_synced_late_survives_a_clean_stop() {
    for sync in ["interval", "off"] {
        let settings = format!("sync = {sync:?}\nsync_interval = \"1h\"");
        let Some(mut private) = private_broker(&settings) else { return };
        let channel = private.open().channel(1);
        channel.declare(&queue("q").durable());
        channel.confirm_select();
        channel.fill_persistent("q", ["a", "b"]);
        channel.expect_acked(2);
        private.restart();
        assert_eq!(private.open().channel(1).drain("q"), ["a", "b"], "{sync}");
    }
}
