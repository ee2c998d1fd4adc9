//! basic.return: mandatory messages that have no route.

use crate::harness::*;

// BA-005, ER-02, EX-076
#[test]
fn unroutable_mandatory_message_comes_back_as_it_was() {
    let channel = Channel::open();
    let x = channel.exchange("topic");
    let sent = Properties {
        headers: Some(Table::new().with("a", "b")),
        message_id: Some("id".to_owned()),
        ..Properties::persistent()
    };
    let body: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    channel.publish(&publish(&x, "key", body.clone()).mandatory().properties(sent.clone()));
    let got = channel.returned();
    assert_eq!(got.returned, Some((312, "NO_ROUTE".to_owned())));
    assert_eq!((got.exchange, got.routing_key), (x, "key".to_owned()));
    assert_eq!(got.properties, sent);
    assert!(got.body == body);
}

// BA-005
#[test]
fn mandatory_message_that_is_routed_does_not_come_back() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.publish(&publish("", &q, "m").mandatory());
    channel.expect_nothing();
    assert_eq!(channel.drain(&q), ["m"]);
}

// BA-005
#[test]
fn return_through_the_default_exchange_has_an_empty_exchange() {
    let channel = Channel::open();
    channel.publish(&publish("", "no-such-queue", "").mandatory());
    let got = channel.returned();
    assert_eq!((got.exchange.as_str(), got.routing_key.as_str()), ("", "no-such-queue"));
    assert!(got.body_frames.is_empty());
}

// BA-005
#[test]
fn returns_keep_the_order_of_the_publishes() {
    let channel = Channel::open();
    for body in ["a", "b", "c"] {
        channel.publish(&publish("", "no-such-queue", body).mandatory());
    }
    let got: Vec<String> = (0..3).map(|_| channel.returned().text()).collect();
    assert_eq!(got, ["a", "b", "c"]);
}

// BA-042
#[test]
fn return_comes_before_its_confirm() {
    let channel = Channel::open();
    channel.confirm_select();
    for tag in 1..=50 {
        channel.publish(&publish("", "no-such-queue", "m").mandatory());
        channel.returned();
        assert_eq!(channel.next_confirm(), ((60, 80), tag, false));
    }
}
