//! Exchanges of type `x-recent-history` (EX-096).

use crate::harness::*;

fn is_there() -> bool {
    only_on_lepus("its plugin may not be enabled")
}

#[test]
fn its_length_must_be_a_positive_integer() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let cases: [(Value, &str); 4] = [
        (0.into(), "0"),
        ((-1).into(), "-1"),
        ("abc".into(), "<<\"abc\">>"),
        (true.into(), "true"),
    ];
    for (value, written) in cases {
        let declare = exchange(name("x"), "x-recent-history");
        let text = format!(
            "PRECONDITION_FAILED - Invalid argument {written}, 'x-recent-history-length' must be \
             a positive integer"
        );
        channel.refused(&declare.arg("x-recent-history-length", value), 406, text);
        channel.reopen();
    }
}

#[test]
fn a_new_binding_gets_the_latest_messages() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let x = name("history");
    let declare = exchange(&x, "x-recent-history").arg("x-recent-history-length", 3);
    channel.call(&declare.auto_delete());
    let (first, second) = (channel.queue(), channel.queue());
    channel.call(&bind(&first, &x, "any"));
    for n in 1..=5 {
        channel.publish(&publish(&x, "other", n.to_string()));
    }
    let no_store = Table::new().with("x-recent-history-no-store", true);
    channel.publish(&publish(&x, "other", "no store").headers(no_store));
    let store = Table::new().with("x-recent-history-no-store", false);
    channel.publish(&publish(&x, "other", "6").headers(store));
    channel.call(&bind(&second, &x, ""));
    assert_eq!(channel.drain(&first), ["1", "2", "3", "4", "5", "no store", "6"]);
    assert_eq!(channel.drain(&second), ["4", "5", "6"]);
    // A binding that is there already gets nothing, and one that comes again gets them again.
    channel.call(&bind(&second, &x, ""));
    assert_eq!(channel.drain(&second), [""; 0]);
    channel.call(&unbind(&second, &x, ""));
    channel.call(&bind(&second, &x, ""));
    assert_eq!(channel.drain(&second), ["4", "5", "6"]);
}

#[test]
fn twenty_messages_are_kept_unless_the_declare_says_otherwise() {
    if !is_there() {
        return;
    }
    let channel = Channel::open();
    let (x, behind) = (channel.exchange("x-recent-history"), channel.exchange("topic"));
    for n in 0..30 {
        channel.publish(&publish(&x, &format!("k.{}", n % 2), n.to_string()));
    }
    // An exchange routes them by their own keys.
    let q = channel.queue();
    channel.call(&bind(&q, &behind, "k.0"));
    channel.call(&exchange_bind(&behind, &x, ""));
    let even: Vec<String> = (10..30).step_by(2).map(|n| n.to_string()).collect();
    assert_eq!(channel.drain(&q), even);
}

#[test]
fn persistent_messages_are_kept_over_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    let declare = exchange("x", "x-recent-history").durable();
    channel.call(&declare.arg("x-recent-history-length", 3));
    channel.confirm_select();
    for n in 1..=6 {
        let message = publish("x", "k", n.to_string());
        channel.publish(&if n == 5 { message } else { message.persistent() });
    }
    channel.expect_acked(6);
    private.restart();

    let channel = private.open().channel(1);
    channel.publish(&publish("x", "k", "7"));
    let q = channel.queue();
    channel.call(&bind(&q, "x", ""));
    assert_eq!(channel.drain(&q), ["4", "6", "7"]);
    channel.call(&exchange_delete("x"));
    let declare = exchange("x", "x-recent-history").durable();
    channel.call(&declare);
    channel.call(&bind(&q, "x", ""));
    assert_eq!(channel.drain(&q), [""; 0]);
}
