//! Queues: declare, equivalence, arguments, delete, purge.

use crate::harness::*;

fn missing(name: &str) -> String {
    format!("NOT_FOUND - no queue '{name}' in vhost '/'")
}

fn inequivalent(name: &str, arg: &str, values: &str) -> String {
    format!(
        "PRECONDITION_FAILED - inequivalent arg '{arg}' for queue '{name}' in vhost '/': {values}"
    )
}

// QU-001
#[test]
fn queue_without_a_name_gets_a_new_one_every_time() {
    let channel = Channel::open();
    let first = channel.declare(&queue("").exclusive()).queue;
    let second = channel.declare(&queue("").exclusive()).queue;
    assert_ne!(first, second);
    for name in [first, second] {
        let id = name.strip_prefix("amq.gen-").expect("the prefix amq.gen-");
        let is_base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(id.len() == 22 && id.chars().all(is_base64url), "{name}");
    }
}

// QU-002
#[test]
fn prefix_amq_is_reserved_for_new_queues() {
    let channel = Channel::open();
    channel.refused(
        &queue("amq.x").exclusive(),
        403,
        "ACCESS_REFUSED - queue name 'amq.x' contains reserved prefix 'amq.*'",
    );
    channel.reopen();
    channel.refused(&queue("amq.x").passive(), 404, missing("amq.x"));
    channel.reopen();
    // Not even the name that the server made may be declared again, only looked at.
    let named = channel.declare(&queue("").exclusive()).queue;
    assert_eq!(channel.declare(&queue(&named).passive()).queue, named);
    channel.refused(
        &queue(&named).exclusive(),
        403,
        format!("ACCESS_REFUSED - queue name '{named}' contains reserved prefix 'amq.*'"),
    );
}

// QU-003
#[test]
fn declare_ok_counts_ready_messages_and_consumers() {
    let channel = Channel::open();
    let q = name("queue");
    let declared = channel.declare(&queue(&q).exclusive());
    assert_eq!(declared, Declared { queue: q.clone(), messages: 0, consumers: 0 });
    channel.fill(&q, ["a", "b", "c"]);
    assert_eq!(channel.get(&q).unwrap().left, 2);
    channel.expect_ready(&q, 2);
    channel.call(&qos(1));
    channel.subscribe(&q, "one");
    channel.delivery();
    channel.call(&consume(&q, "two"));
    channel.delivery();
    let declared = channel.declare(&queue(&q).exclusive());
    assert_eq!(declared, Declared { queue: q, messages: 0, consumers: 2 });
}

// QU-005
#[test]
fn passive_declare_looks_at_the_name_only() {
    let channel = Channel::open();
    let q = channel.queue();
    let passive = queue(&q).passive().durable().auto_delete().arg("x-max-length", "nonsense");
    assert_eq!(channel.declare(&passive).queue, q);
    assert_eq!(channel.declare(&queue(&q).passive().exclusive()).queue, q);
    channel.refused(&queue("no-such").passive(), 404, missing("no-such"));
}

// QU-006, QU-007
#[test]
fn redeclare_must_match_durable_and_auto_delete() {
    let channel = Channel::open();
    let q = channel.shared_queue();
    channel.declare(&queue(&q).durable());
    for (request, arg, values) in [
        (queue(&q), "durable", "received 'false' but current is 'true'"),
        (
            queue(&q).durable().auto_delete(),
            "auto_delete",
            "received 'true' but current is 'false'",
        ),
        // durable is looked at before auto_delete, and both before arguments.
        (queue(&q).auto_delete(), "durable", "received 'false' but current is 'true'"),
        (queue(&q).arg("x-expires", 1000), "durable", "received 'false' but current is 'true'"),
    ] {
        channel.refused(&request, 406, inequivalent(&q, arg, values));
        channel.reopen();
    }
    channel.call(&delete(&q));

    let transient = name("queue");
    channel.declare(&queue(&transient).auto_delete());
    channel.refused(
        &queue(&transient).auto_delete().durable(),
        406,
        inequivalent(&transient, "durable", "received 'true' but current is 'false'"),
    );
    channel.reopen();
    channel.call(&delete(&transient));
}

fn locked(name: &str) -> String {
    format!(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'. \
         It could be originally declared on another connection or the exclusive property value \
         does not match that of the original declaration."
    )
}

// QU-006, QU-008
#[test]
fn redeclare_must_match_exclusive_first_of_all() {
    let channel = Channel::open();
    let shared = channel.shared_queue();
    channel.refused(&queue(&shared).durable().exclusive(), 405, locked(&shared));
    channel.reopen();
    channel.refused(&queue(&shared).exclusive().auto_delete(), 405, locked(&shared));
    channel.reopen();
    channel.call(&delete(&shared));
    let own = channel.queue();
    channel.refused(&queue(&own), 405, locked(&own));
}

// QU-009
#[test]
fn exclusive_means_transient() {
    let channel = Channel::open();
    let q = name("queue");
    channel.declare(&queue(&q).exclusive().durable());
    channel.declare(&queue(&q).exclusive());
    channel.declare(&queue(&q).exclusive().durable());
}

// QU-012
#[test]
fn auto_delete_queue_goes_with_its_last_consumer() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let new = || other.declare(&queue(name("queue")).auto_delete()).queue;
    let gone = |q: &str| {
        other.refused(&queue(q).passive(), 404, missing(q));
        other.reopen();
    };
    // By cancel, and not before the last consumer has left.
    let q = new();
    channel.subscribe(&q, "one");
    channel.subscribe(&q, "two");
    channel.cancel("one");
    other.declare(&queue(&q).passive());
    channel.cancel("two");
    gone(&q);
    // By the close of the channel.
    let q = new();
    channel.subscribe(&q, "one");
    channel.close();
    gone(&q);
    // By the end of the connection.
    let q = new();
    let third = Connection::open();
    third.channel(1).subscribe(&q, "one");
    third.close();
    gone(&q);
}

// QU-012
#[test]
fn auto_delete_queue_stays_until_it_had_a_consumer() {
    let channel = Channel::open();
    let q = channel.declare(&queue(name("queue")).auto_delete()).queue;
    channel.fill(&q, ["a"]);
    channel.get(&q).unwrap();
    channel.close();
    channel.reopen();
    channel.declare(&queue(&q).passive());
    channel.call(&delete(&q));
}

// QU-013, QU-065
#[test]
fn unknown_arguments_are_taken_and_never_compared() {
    let channel = Channel::open();
    let q = channel.queue_with(Table::new().with("x-foo", 1).with("bar", "baz"));
    channel.declare(&queue(&q).exclusive());
    channel.declare(&queue(&q).exclusive().arg("x-foo", "other").arg("x-more", true));
}

// QU-014
#[test]
fn integer_arguments_compare_by_value() {
    let channel = Channel::open();
    let q = channel.queue_with(Table::new().with("x-max-length", 1000));
    for same in [Value::I64(1000), Value::I16(1000), Value::U32(1000), Value::U16(1000)] {
        channel.declare(&queue(&q).exclusive().arg("x-max-length", same));
    }
}

// QU-015, QU-016
#[test]
fn redeclare_must_match_the_arguments() {
    let channel = Channel::open();
    let changed: Vec<(&str, Value, Value, &str)> = vec![
        ("x-max-length", 1000.into(), 2000.into(), "received '2000' but current is '1000'"),
        (
            "x-dead-letter-exchange",
            "dlx".into(),
            "other".into(),
            "received 'other' but current is 'dlx'",
        ),
        (
            "x-overflow",
            "drop-head".into(),
            "reject-publish".into(),
            "received 'reject-publish' but current is 'drop-head'",
        ),
        (
            "x-queue-mode",
            "lazy".into(),
            "default".into(),
            "received 'default' but current is 'lazy'",
        ),
    ];
    for (key, first, second, values) in changed {
        let q = channel.queue_with(Table::new().with(key, first));
        let request = queue(&q).exclusive().arg(key, second);
        channel.refused(&request, 406, inequivalent(&q, key, values));
        channel.reopen();
    }
}

// QU-015, QU-016
#[test]
fn redeclare_must_repeat_the_arguments() {
    let channel = Channel::open();
    for (key, value, current) in [
        ("x-max-length", Value::I32(1000), "'1000' of type 'signedint'"),
        ("x-message-ttl", Value::I64(1000), "'1000' of type 'long'"),
        ("x-expires", Value::I16(1000), "'1000' of type 'short'"),
        ("x-max-priority", Value::I8(10), "'10' of type 'byte'"),
        ("x-max-priority", Value::U8(10), "'10' of type 'unsignedbyte'"),
        ("x-max-length-bytes", Value::U16(10), "'10' of type 'unsignedshort'"),
        ("x-max-length-bytes", Value::U32(10), "'10' of type 'unsignedint'"),
        ("x-dead-letter-exchange", "dlx".into(), "'dlx' of type 'longstr'"),
        ("x-single-active-consumer", true.into(), "'true' of type 'bool'"),
    ] {
        let q = channel.queue_with(Table::new().with(key, value));
        let values = format!("received none but current is the value {current}");
        channel.refused(&queue(&q).exclusive(), 406, inequivalent(&q, key, &values));
        channel.reopen();
    }
    let plain = channel.queue();
    channel.refused(
        &queue(&plain).exclusive().arg("x-max-length", 1000),
        406,
        inequivalent(
            &plain,
            "x-max-length",
            "received the value '1000' of type 'signedint' but current is none",
        ),
    );
}

// QU-017, VM-20
#[test]
fn absent_queue_type_is_classic() {
    let channel = Channel::open();
    let plain = channel.queue();
    channel.declare(&queue(&plain).exclusive().arg("x-queue-type", "classic"));
    let classic = channel.queue_with(Table::new().with("x-queue-type", "classic"));
    channel.declare(&queue(&classic).exclusive());

    let durable = channel.shared_queue();
    channel.refused(
        &queue(&durable).durable().arg("x-queue-type", "quorum"),
        406,
        inequivalent(&durable, "x-queue-type", "received 'quorum' but current is 'classic'"),
    );
    channel.reopen();
    channel.call(&delete(&durable));
}

/// How a value of an argument is answered on the declare of a new queue.
enum Answer {
    Taken,
    /// `invalid arg ...: REASON`
    Reason(&'static str),
    /// `invalid arg ... of queue type rabbit_classic_queue`
    NotForClassic,
    /// The whole text, with `Q` for the name of the queue.
    Whole(&'static str),
}
use Answer::{NotForClassic, Reason, Taken, Whole};

#[track_caller]
fn check_arguments(rows: Vec<(&str, Value, Answer)>) {
    let channel = Channel::open();
    for (key, value, answer) in rows {
        let q = name("queue");
        let request = queue(&q).durable().arg(key, value.clone());
        let of = format!("PRECONDITION_FAILED - invalid arg '{key}' for queue '{q}' in vhost '/'");
        let text = match answer {
            Taken => {
                channel.declare(&request);
                channel.call(&delete(&q));
                continue;
            }
            Reason(reason) => format!("{of}: {reason}"),
            NotForClassic => format!("{of} of queue type rabbit_classic_queue"),
            Whole(text) => text.replace('Q', &q),
        };
        channel.refused(&request, 406, text);
        channel.reopen();
        channel.refused(&queue(&q).passive(), 404, missing(&q));
        channel.reopen();
    }
}

// QU-040
#[test]
fn message_ttl_is_ten_years_at_most() {
    check_arguments(vec![
        ("x-message-ttl", 0.into(), Taken),
        ("x-message-ttl", Value::I64(315_360_000_000), Taken),
        ("x-message-ttl", Value::U8(7), Taken),
        ("x-message-ttl", Value::I8(7), Taken),
        ("x-message-ttl", Value::I16(7), Taken),
        ("x-message-ttl", Value::U16(7), Taken),
        ("x-message-ttl", Value::U32(7), Taken),
        ("x-message-ttl", Value::I64AsL(7), Taken),
        ("x-message-ttl", (-1).into(), Reason("{value_negative,-1}")),
        ("x-message-ttl", Value::I64(315_360_000_001), Reason("{value_too_large,315360000001}")),
        ("x-message-ttl", "5".into(), Reason("\"expected integer, got longstr\"")),
        ("x-message-ttl", true.into(), Reason("\"expected integer, got bool\"")),
        ("x-message-ttl", Value::F64(1.0), Reason("\"expected integer, got double\"")),
        ("x-message-ttl", Value::Void, Reason("\"expected integer, got void\"")),
    ]);
}

// QU-041
#[test]
fn expires_is_at_least_one() {
    check_arguments(vec![
        ("x-expires", 60_000.into(), Taken),
        ("x-expires", Value::I64(315_360_000_000), Taken),
        ("x-expires", 0.into(), Reason("{value_zero,0}")),
        ("x-expires", (-5).into(), Reason("{value_negative,-5}")),
        ("x-expires", Value::I64(315_360_000_001), Reason("{value_too_large,315360000001}")),
        ("x-expires", "5".into(), Reason("\"expected integer, got longstr\"")),
    ]);
}

// QU-042, QU-043, QU-044
#[test]
fn lengths_and_priorities_are_not_negative() {
    let mut rows = Vec::new();
    for key in ["x-max-length", "x-max-length-bytes"] {
        rows.push((key, 0.into(), Taken));
        rows.push((key, Value::I64(1 << 60), Taken));
        rows.push((key, (-1).into(), Reason("{value_negative,-1}")));
        rows.push((key, "5".into(), Reason("\"expected integer, got longstr\"")));
    }
    rows.push(("x-max-priority", 0.into(), Taken));
    rows.push(("x-max-priority", 255.into(), Taken));
    rows.push(("x-max-priority", 256.into(), Reason("{max_value_exceeded,256}")));
    rows.push(("x-max-priority", (-1).into(), Reason("{value_negative,-1}")));
    rows.push(("x-max-priority", "5".into(), Reason("\"expected integer, got longstr\"")));
    check_arguments(rows);
}

// QU-045
#[test]
fn overflow_is_one_of_three_words() {
    check_arguments(vec![
        ("x-overflow", "drop-head".into(), Taken),
        ("x-overflow", "reject-publish".into(), Taken),
        ("x-overflow", "reject-publish-dlx".into(), Taken),
        ("x-overflow", "foo".into(), Reason("invalid_overflow")),
        ("x-overflow", 1.into(), Reason("{unacceptable_type,signedint}")),
    ]);
}

// QU-046, QU-047
#[test]
fn dead_letter_exchange_is_a_string_and_its_key_needs_it() {
    check_arguments(vec![
        ("x-dead-letter-exchange", "no-such".into(), Taken),
        ("x-dead-letter-exchange", "".into(), Taken),
        (
            "x-dead-letter-exchange",
            1.into(),
            Whole(
                "PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' \
                 in queue 'Q' in vhost '/'",
            ),
        ),
        ("x-dead-letter-routing-key", "k".into(), Reason("routing_key_but_no_dlx_defined")),
        ("x-dead-letter-routing-key", 1.into(), Reason("{unacceptable_type,signedint}")),
    ]);
    let both =
        Table::new().with("x-dead-letter-exchange", "x").with("x-dead-letter-routing-key", "k");
    Channel::open().queue_with(both);
}

// QU-049
#[test]
fn single_active_consumer_is_a_boolean() {
    check_arguments(vec![
        ("x-single-active-consumer", true.into(), Taken),
        ("x-single-active-consumer", false.into(), Taken),
        ("x-single-active-consumer", "true".into(), Reason("{unacceptable_type,longstr}")),
        ("x-single-active-consumer", 1.into(), Reason("{unacceptable_type,signedint}")),
    ]);
}

// QU-050
#[test]
fn queue_type_is_a_known_word() {
    check_arguments(vec![
        ("x-queue-type", "classic".into(), Taken),
        ("x-queue-type", "".into(), Taken),
        ("x-queue-type", "undefined".into(), Taken),
        ("x-queue-type", "foo".into(), Reason("\"unsupported queue type 'foo'\"")),
        ("x-queue-type", 1.into(), Reason("{unacceptable_type,signedint}")),
    ]);
}

// QU-050
#[test]
fn streams_are_not_supported() {
    if only_on_lepus("RabbitMQ has streams") {
        let reason = "\"unsupported queue type 'stream'\"";
        check_arguments(vec![("x-queue-type", "stream".into(), Reason(reason))]);
    }
}

// QU-051, QU-052, QU-053, VM-16, VM-17
#[test]
fn mode_version_and_locator_of_a_classic_queue() {
    check_arguments(vec![
        ("x-queue-mode", "lazy".into(), Taken),
        ("x-queue-mode", "default".into(), Taken),
        ("x-queue-mode", "foo".into(), Taken),
        ("x-queue-version", 2.into(), Taken),
        ("x-queue-version", 3.into(), Reason("\"unsupported queue version '3'\"")),
        ("x-queue-leader-locator", "client-local".into(), Taken),
        ("x-queue-leader-locator", "balanced".into(), Taken),
        ("x-queue-leader-locator", "foo".into(), Reason("invalid_queue_locator_arg")),
    ]);
}

// QU-048, QU-055 to QU-063, QU-070, QT-034
#[test]
fn arguments_of_other_types_are_not_for_a_classic_queue() {
    check_arguments(vec![
        ("x-dead-letter-strategy", "at-most-once".into(), NotForClassic),
        ("x-quorum-initial-group-size", 3.into(), NotForClassic),
        ("x-max-in-memory-length", 3.into(), NotForClassic),
        ("x-max-in-memory-bytes", 3.into(), NotForClassic),
        ("x-delayed-retry-type", "all".into(), NotForClassic),
        ("x-delayed-retry-min", 1.into(), NotForClassic),
        ("x-consumer-disconnected-timeout", 1.into(), NotForClassic),
        ("x-max-age", "1D".into(), NotForClassic),
        ("x-stream-max-segment-size-bytes", 1000.into(), NotForClassic),
        ("x-stream-filter-size-bytes", 32.into(), NotForClassic),
        ("x-initial-cluster-size", 3.into(), NotForClassic),
    ]);
}

// QU-066
#[test]
fn ranges_are_checked_on_creation_only() {
    let channel = Channel::open();
    let q = channel.queue();
    for (key, value, values) in [
        (
            "x-max-length",
            Value::I32(-1),
            "received the value '-1' of type 'signedint' but current is none",
        ),
        ("x-queue-type", "foo".into(), "received 'foo' but current is 'classic'"),
    ] {
        channel.refused(&queue(&q).exclusive().arg(key, value), 406, inequivalent(&q, key, values));
        channel.reopen();
    }
    channel.declare(&queue(&q).exclusive().arg("x-max-age", "1D"));
}

// QU-067
#[test]
fn queue_type_is_checked_before_the_other_arguments() {
    let channel = Channel::open();
    let q = name("queue");
    channel.refused(
        &queue(&q).durable().arg("x-max-length", -1).arg("x-queue-type", "foo"),
        406,
        format!(
            "PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue '{q}' in vhost '/': \
             \"unsupported queue type 'foo'\""
        ),
    );
}

// QU-080
#[test]
fn delete_of_a_missing_queue_counts_nothing() {
    let channel = Channel::open();
    assert_eq!(channel.count(&delete("no-such-queue")), 0);
    assert_eq!(channel.count(&delete("no-such-queue").if_unused().if_empty()), 0);
}

// QU-081
#[test]
fn purge_of_a_missing_queue_is_not_found() {
    Channel::open().refused(&purge("no-such-queue"), 404, missing("no-such-queue"));
}

// QU-082
#[test]
fn delete_ok_counts_ready_messages() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.fill(&q, ["a", "b", "c"]);
    channel.get(&q).unwrap();
    assert_eq!(channel.count(&delete(&q)), 2);
}

// QU-083
#[test]
fn purge_leaves_unacked_messages() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.fill(&q, ["a", "b", "c"]);
    channel.get(&q).unwrap();
    assert_eq!(channel.count(&purge(&q)), 2);
    assert_eq!(channel.get(&q), None);
    channel.send(&nack(1, true));
    assert_eq!(channel.drain(&q), ["a"]);
}

// QU-084
#[test]
fn delete_if_unused_needs_no_consumers() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.subscribe(&q, "t");
    channel.refused(
        &delete(&q).if_unused(),
        406,
        format!("PRECONDITION_FAILED - queue '{q}' in vhost '/' in use"),
    );
    channel.reopen();
    assert_eq!(channel.count(&delete(&q).if_unused()), 0);
}

// QU-085
#[test]
fn delete_if_empty_needs_no_ready_messages() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.fill(&q, ["a", "b"]);
    channel.get(&q).unwrap();
    channel.refused(
        &delete(&q).if_empty(),
        406,
        format!("PRECONDITION_FAILED - queue '{q}' in vhost '/' not empty"),
    );
    channel.reopen();
    channel.expect_ready(&q, 2);
    channel.get(&q).unwrap();
    channel.get(&q).unwrap();
    assert_eq!(channel.count(&delete(&q).if_empty()), 0, "unacked messages do not count");
}

// QU-086
#[test]
fn not_empty_is_said_before_in_use() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.call(&qos(1));
    channel.subscribe(&q, "t");
    channel.fill(&q, ["a", "b"]);
    channel.delivery();
    channel.expect_ready(&q, 1);
    channel.refused(
        &delete(&q).if_empty().if_unused(),
        406,
        format!("PRECONDITION_FAILED - queue '{q}' in vhost '/' not empty"),
    );
}

// QU-087, BA-091
#[test]
fn delete_cancels_consumers_that_understand_it() {
    let connection = Connection::open();
    let (channel, other) = (connection.channel(1), connection.channel(2));
    let q = channel.queue();
    channel.subscribe(&q, "here");
    other.subscribe(&q, "there");
    channel.call(&delete(&q));
    for (channel, tag) in [(&channel, "here"), (&other, "there")] {
        let cancel = channel.expect((60, 30));
        let mut read = cancel.read();
        assert_eq!((read.short_string(), read.octet()), (tag.to_owned(), 1));
    }
    // The tag is free again.
    let next = channel.queue();
    channel.subscribe(&next, "here");
}

// QU-087, BA-091, CN-026
#[test]
fn delete_is_silent_to_consumers_that_do_not_understand_it() {
    let channel = Options::new().capabilities(Table::new()).open().channel(1);
    let q = channel.queue();
    channel.subscribe(&q, "t");
    channel.call(&delete(&q));
    channel.expect_nothing();
    let next = channel.queue();
    channel.subscribe(&next, "t");
}

// QU-087
#[test]
fn messages_of_a_deleted_queue_may_still_be_settled() {
    let channel = Channel::open();
    let q = channel.queue();
    channel.fill(&q, ["a", "b", "c", "d"]);
    for _ in 0..4 {
        channel.get(&q).unwrap();
    }
    channel.call(&delete(&q));
    channel.send(&ack(1));
    channel.send(&nack(2, true));
    channel.send(&reject(3, false));
    channel.send(&ack(0).multiple());
    channel.expect_nothing();
}

// VM-15: QU-021 is what RabbitMQ answers where its default is left as it is.
#[test]
fn transient_queue_need_not_be_exclusive() {
    let channel = Channel::open();
    let q = channel.declare(&queue(name("transient"))).queue;
    Channel::open().declare(&queue(&q));
    channel.call(&delete(&q));
}

// QU-054
#[test]
fn queue_master_locator_is_not_permitted_anymore() {
    if !broker().is_external {
        // Lepus accepts what old code still sends.
        Channel::open().declare(&queue(name("queue")).arg("x-queue-master-locator", "min-masters"));
        return;
    }
    let request = queue(name("queue")).durable().arg("x-queue-master-locator", "min-masters");
    let text = "INTERNAL_ERROR - Feature `queue_master_locator` is deprecated.\n\
                By default, this feature is not permitted anymore.";
    Channel::open().kills(&request, 541, starts_with(text));
}

// CH-020: the empty name of a declare is not the last declared queue, not even a passive one.
#[test]
fn passive_declare_needs_a_name() {
    let channel = Channel::open();
    channel.queue();
    channel.refused(&queue("").passive(), 404, missing(""));
}

// ER-20, ER-23
#[test]
fn long_texts_are_cut() {
    let channel = Channel::open();
    let long = "q".repeat(255);
    let whole = missing(&long);
    channel.refused(&queue(&long).passive(), 404, format!("{}...", &whole[..252]));
}
