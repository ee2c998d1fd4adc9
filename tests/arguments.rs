//! Arguments of queues as part of what a queue is: every one of them is compared with what a later
//! declare says, before a restart and after it. What each does, and most of the values that none
//! takes, is tested where the feature is.

use crate::harness::*;

/// An argument with two values, and whether Lepus alone has it on this type of queue.
struct Argument {
    queue_type: &'static str,
    key: &'static str,
    value: Value,
    other: Value,
    is_ours: bool,
}

impl Argument {
    /// The arguments of a declare with this value.
    fn with(&self, value: &Value) -> Table {
        self.without().with(self.key, value.clone())
    }

    /// The same without it.
    fn without(&self) -> Table {
        let arguments = Table::new().with("x-queue-type", self.queue_type);
        // A key needs an exchange.
        if self.key == "x-dead-letter-routing-key" {
            return arguments.with("x-dead-letter-exchange", "");
        }
        arguments
    }

    /// Another declare of the queue must say the same.
    #[track_caller]
    fn expect_compared(&self, channel: &Channel, q: &str) {
        let declare = |arguments| queue(q).durable().args(arguments);
        channel.declare(&declare(self.with(&self.value)));
        let (value, type_name) = shown(&self.value);
        let other = shown(&self.other).0;
        for (arguments, values) in [
            (self.with(&self.other), format!("received '{other}' but current is '{value}'")),
            (
                self.without(),
                format!("received none but current is the value '{value}' of type '{type_name}'"),
            ),
        ] {
            let key = self.key;
            let text = format!(
                "PRECONDITION_FAILED - inequivalent arg '{key}' for queue '{q}' in vhost '/': \
                 {values}"
            );
            channel.refused(&declare(arguments), 406, text);
            channel.reopen();
        }
    }
}

/// A value as texts show it, and the name of its type.
fn shown(value: &Value) -> (String, &'static str) {
    match value {
        Value::Bool(value) => (value.to_string(), "bool"),
        Value::I32(value) => (value.to_string(), "signedint"),
        Value::Text(value) => (value.clone(), "longstr"),
        other => panic!("no such value here: {other:?}"),
    }
}

/// All that are compared, with those that only Lepus has on a type.
fn arguments() -> Vec<Argument> {
    let mut all = Vec::new();
    let mut add = |types: &[&'static str], key, value: Value, other: Value, ours: &[&str]| {
        for queue_type in types {
            let is_ours = ours.contains(queue_type);
            let (value, other) = (value.clone(), other.clone());
            all.push(Argument { queue_type, key, value, other, is_ours });
        }
    };
    let (both, classic, quorum) = (&["classic", "quorum"][..], &["classic"][..], &["quorum"][..]);
    for key in ["x-expires", "x-message-ttl", "x-max-length", "x-max-length-bytes"] {
        add(both, key, 3_600_000.into(), 3_600_001.into(), &[]);
    }
    for key in ["x-dead-letter-exchange", "x-dead-letter-routing-key"] {
        add(both, key, "a".into(), "b".into(), &[]);
    }
    add(both, "x-overflow", "reject-publish".into(), "drop-head".into(), &[]);
    add(both, "x-single-active-consumer", true.into(), false.into(), &[]);
    add(both, "x-queue-leader-locator", "client-local".into(), "balanced".into(), &[]);
    add(both, "x-consumer-timeout", 60_000.into(), 60_001.into(), classic);
    add(both, "x-delivery-limit", 3.into(), 4.into(), classic);
    add(classic, "x-max-priority", 5.into(), 6.into(), &[]);
    add(classic, "x-queue-mode", "lazy".into(), "default".into(), &[]);
    add(classic, "x-queue-version", 2.into(), 1.into(), &[]);
    add(classic, "x-queue-master-locator", "min-masters".into(), "random".into(), classic);
    let strategies = ["at-most-once", "at-least-once"].map(Value::from);
    let [at_most_once, at_least_once] = strategies;
    add(quorum, "x-dead-letter-strategy", at_most_once, at_least_once, &[]);
    add(quorum, "x-quorum-initial-group-size", 1.into(), 3.into(), &[]);
    add(quorum, "x-max-in-memory-length", 1.into(), 2.into(), &[]);
    add(quorum, "x-max-in-memory-bytes", 1.into(), 2.into(), &[]);
    add(quorum, "x-consumer-disconnected-timeout", 60_000.into(), 60_001.into(), &[]);
    add(quorum, "x-delayed-retry-type", "all".into(), "failed".into(), &[]);
    for key in ["x-delayed-retry-min", "x-delayed-retry-max"] {
        add(quorum, key, 1000.into(), 2000.into(), &[]);
    }
    add(both, "x-retry-delay", 1000.into(), 1001.into(), both);
    add(both, "x-retry-delay-max", 1000.into(), 1001.into(), both);
    add(both, "x-message-deduplication", true.into(), false.into(), both);
    all.retain(|argument| !argument.is_ours || !broker().is_external);
    all
}

// QU-013 to QU-016, QU-070, QU-071
#[test]
fn later_declares_say_the_same() {
    let channel = Channel::open();
    for argument in arguments() {
        let q = channel.durable_queue(argument.with(&argument.value));
        argument.expect_compared(&channel, &q);
        channel.call(&delete(&q));
    }
}

// QU-013 to QU-016
#[test]
fn queues_are_what_they_were_after_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    let q = |argument: &Argument| format!("{} {}", argument.queue_type, argument.key);
    for argument in arguments() {
        let arguments = argument.with(&argument.value);
        channel.declare(&queue(q(&argument)).durable().args(arguments));
    }
    private.restart();
    let channel = private.open().channel(1);
    for argument in arguments() {
        argument.expect_compared(&channel, &q(&argument));
    }
}

/// Values of arguments that no queue of this type takes, and why.
#[track_caller]
fn expect_refused(queue_type: &str, rows: &[(&str, Value, &str)]) {
    let channel = Channel::open();
    for (key, value, reason) in rows {
        let q = name("refused");
        let arguments = Table::new().with("x-queue-type", queue_type).with(key, value.clone());
        let text = format!(
            "PRECONDITION_FAILED - invalid arg '{key}' for queue '{q}' in vhost '/': {reason}"
        );
        channel.refused(&queue(&q).durable().args(arguments), 406, text);
        channel.reopen();
    }
}

// QU-040 to QU-049, QU-056, QU-058
#[test]
fn quorum_queues_refuse_values_that_make_no_sense() {
    expect_refused(
        "quorum",
        &[
            ("x-message-ttl", (-1).into(), "{value_negative,-1}"),
            ("x-expires", 0.into(), "{value_zero,0}"),
            ("x-max-length", (-1).into(), "{value_negative,-1}"),
            ("x-max-length-bytes", "5".into(), "\"expected integer, got longstr\""),
            ("x-max-in-memory-length", (-1).into(), "{value_negative,-1}"),
            ("x-max-in-memory-bytes", (-1).into(), "{value_negative,-1}"),
            ("x-overflow", "foo".into(), "invalid_overflow"),
            ("x-dead-letter-routing-key", "k".into(), "routing_key_but_no_dlx_defined"),
            ("x-dead-letter-strategy", "foo".into(), "invalid_dlx_strategy"),
            ("x-dead-letter-strategy", 1.into(), "{unacceptable_type,signedint}"),
            ("x-single-active-consumer", "true".into(), "{unacceptable_type,longstr}"),
            ("x-quorum-initial-group-size", 0.into(), "{value_zero,0}"),
            ("x-queue-leader-locator", "foo".into(), "invalid_queue_locator_arg"),
        ],
    );
}

#[test]
fn delays_of_retries_are_numbers() {
    if !only_on_lepus("RabbitMQ has no x-retry-delay") {
        return;
    }
    for queue_type in ["classic", "quorum"] {
        for key in ["x-retry-delay", "x-retry-delay-max"] {
            expect_refused(
                queue_type,
                &[
                    (key, (-1).into(), "{value_negative,-1}"),
                    (key, "5".into(), "\"expected integer, got longstr\""),
                    (key, true.into(), "\"expected integer, got bool\""),
                ],
            );
        }
    }
}
