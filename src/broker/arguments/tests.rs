//! Tests of the argument table, against chapters 3.1 and 4 of COMPATIBILITY.

use super::*;
use crate::wire::table::{FieldArray as Array, LongString};

fn text(text: &str) -> Value {
    Value::LongString(LongString::from(text))
}

fn table(entries: &[(&str, Value)]) -> Table {
    let mut table = Table::default();
    for (name, value) in entries {
        table.insert(ShortString::from(*name), value.clone());
    }
    table
}

/// What a declare of queue `q` with these arguments says.
fn declare(entries: &[(&str, Value)]) -> Result<QueueType, String> {
    check_queue("q", &table(entries), QueueType::Classic).map_err(|error| error.to_string())
}

/// What a declare of queue `q` of this type with one argument says, without the common beginning.
fn reason(queue_type: QueueType, argument: &str, value: &Value) -> Option<String> {
    let arguments = [(argument, value.clone()), (QUEUE_TYPE, text(queue_type.as_str()))];
    let error = declare(&arguments).err()?;
    let beginning = format!("invalid arg '{argument}' for queue 'q'");
    let reason = error.strip_prefix(&beginning).unwrap_or(&error);
    Some(reason.strip_prefix(": ").unwrap_or(reason).to_owned())
}

/// One of each kind of integer (QU-014).
fn fives() -> [Value; 7] {
    [
        Value::ShortShortInt(5),
        Value::ShortShortUInt(5),
        Value::ShortInt(5),
        Value::ShortUInt(5),
        Value::LongInt(5),
        Value::LongUInt(5),
        Value::LongLongInt(5),
    ]
}

/// A queue type, its argument, what it takes, and what it doesn't with the reason.
type Range = (QueueType, &'static str, &'static [i64], &'static [(i64, &'static str)]);

// QU-040..044 QU-056 QU-057 QU-060 QU-062
#[test]
fn integers_have_ranges() {
    use QueueType::{Classic, Quorum, Stream};
    let cases: [Range; 12] = [
        (
            Classic,
            "x-message-ttl",
            &[0, 1, 315_360_000_000],
            &[(-1, "{value_negative,-1}"), (315_360_000_001, "{value_too_large,315360000001}")],
        ),
        (
            Classic,
            "x-expires",
            &[1, 315_360_000_000],
            &[
                (0, "{value_zero,0}"),
                (-5, "{value_negative,-5}"),
                (315_360_000_001, "{value_too_large,315360000001}"),
            ],
        ),
        (Classic, "x-max-length", &[0, i64::MAX], &[(-1, "{value_negative,-1}")]),
        (Classic, "x-max-length-bytes", &[0, i64::MAX], &[(-1, "{value_negative,-1}")]),
        (
            Classic,
            "x-max-priority",
            &[0, 255],
            &[(256, "{max_value_exceeded,256}"), (-1, "{value_negative,-1}")],
        ),
        (Classic, "x-queue-version", &[1, 2], &[(3, "\"unsupported queue version '3'\"")]),
        (Quorum, "x-quorum-initial-group-size", &[1], &[(0, "{value_zero,0}")]),
        (Quorum, "x-max-in-memory-length", &[0], &[(-1, "{value_negative,-1}")]),
        (Quorum, "x-consumer-timeout", &[0], &[(-1, "{value_negative,-1}")]),
        (Classic, "x-consumer-timeout", &[0], &[(-1, "{value_negative,-1}")]),
        (Stream, "x-initial-cluster-size", &[1], &[(0, "{value_zero,0}")]),
        (
            Stream,
            "x-stream-max-segment-size-bytes",
            &[0, 3_000_000_000],
            &[(3_000_000_001, "Exceeded max value for x-stream-max-segment-size-bytes")],
        ),
    ];
    for (queue_type, argument, good, bad) in cases {
        for value in good {
            let value = Value::LongLongInt(*value);
            assert_eq!(reason(queue_type, argument, &value), None, "{argument} {value:?}");
        }
        for (value, expected) in bad {
            let value = Value::LongLongInt(*value);
            assert_eq!(reason(queue_type, argument, &value).as_deref(), Some(*expected));
        }
        for (value, expected) in [
            (text("5"), "\"expected integer, got longstr\""),
            (Value::Boolean(true), "\"expected integer, got bool\""),
            (Value::Double(5.0), "\"expected integer, got double\""),
        ] {
            assert_eq!(reason(queue_type, argument, &value).as_deref(), Some(expected));
        }
    }
    for five in fives() {
        assert_eq!(reason(Classic, "x-max-length", &five), None, "{five:?}");
    }
}

// QU-045 QU-047..053 QU-059
#[test]
fn words_are_known_words() {
    use QueueType::{Classic, Quorum, Stream};
    let cases: [(QueueType, &str, &[&str], &str); 5] = [
        (
            Classic,
            "x-overflow",
            &["drop-head", "reject-publish", "reject-publish-dlx"],
            "invalid_overflow",
        ),
        (
            Quorum,
            "x-dead-letter-strategy",
            &["at-most-once", "at-least-once"],
            "invalid_dlx_strategy",
        ),
        (
            Classic,
            "x-queue-leader-locator",
            &["client-local", "balanced", "random", "least-leaders"],
            "invalid_queue_locator_arg",
        ),
        (Stream, "x-max-age", &["1Y", "20M", "07D", "1h", "2m", "30s"], "invalid_max_age"),
        (Classic, "x-queue-mode", &["default", "lazy", "foo"], ""),
    ];
    for (queue_type, argument, good, otherwise) in cases {
        for word in good {
            assert_eq!(reason(queue_type, argument, &text(word)), None, "{argument} {word}");
        }
        if !otherwise.is_empty() {
            for word in ["foo", "", "0s", "1", "s", "1x", "-1s"] {
                assert_eq!(reason(queue_type, argument, &text(word)).as_deref(), Some(otherwise));
            }
            let got = reason(queue_type, argument, &Value::LongInt(1));
            assert_eq!(got.as_deref(), Some("{unacceptable_type,signedint}"));
        }
    }
}

// QU-049
#[test]
fn single_active_consumer_is_a_boolean() {
    let argument = "x-single-active-consumer";
    for value in [true, false] {
        assert_eq!(reason(QueueType::Classic, argument, &Value::Boolean(value)), None);
    }
    let got = reason(QueueType::Quorum, argument, &text("true"));
    assert_eq!(got.as_deref(), Some("{unacceptable_type,longstr}"));
}

// QU-046 QU-047
#[test]
fn dead_letter_key_needs_an_exchange() {
    let key = ("x-dead-letter-routing-key", text("k"));
    assert_eq!(
        declare(std::slice::from_ref(&key)).unwrap_err(),
        "invalid arg 'x-dead-letter-routing-key' for queue 'q': routing_key_but_no_dlx_defined"
    );
    for exchange in ["", "dlx"] {
        let arguments = [key.clone(), (DEAD_LETTER_EXCHANGE, text(exchange))];
        assert_eq!(declare(&arguments), Ok(QueueType::Classic));
    }
    assert_eq!(
        declare(&[("x-dead-letter-routing-key", Value::LongInt(1))]).unwrap_err(),
        "invalid arg 'x-dead-letter-routing-key' for queue 'q': {unacceptable_type,signedint}"
    );
    assert_eq!(
        declare(&[(DEAD_LETTER_EXCHANGE, Value::LongInt(1)), (QUEUE_TYPE, text("foo"))]),
        Err("invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q'".to_owned())
    );
}

// QU-050 QU-067
#[test]
fn queue_type_is_checked_first() {
    let of = |value: Value| declare(&[(QUEUE_TYPE, value), ("x-expires", text("bad"))]);
    assert_eq!(
        of(text("foo")).unwrap_err(),
        "invalid arg 'x-queue-type' for queue 'q': \"unsupported queue type 'foo'\""
    );
    assert_eq!(
        of(Value::LongInt(1)).unwrap_err(),
        "invalid arg 'x-queue-type' for queue 'q': {unacceptable_type,signedint}"
    );
    for (word, expected) in [
        ("", QueueType::Classic),
        ("undefined", QueueType::Classic),
        ("classic", QueueType::Classic),
        ("quorum", QueueType::Quorum),
        ("stream", QueueType::Stream),
    ] {
        assert_eq!(declare(&[(QUEUE_TYPE, text(word))]), Ok(expected));
    }
    let of_default = check_queue("q", &Table::default(), QueueType::Quorum);
    assert_eq!(of_default, Ok(QueueType::Quorum));
}

// QU-048 QU-055 QU-062 QU-065 QU-067
#[test]
fn arguments_of_other_types_are_refused_and_unknown_ones_are_not() {
    for argument in
        ["x-max-age", "x-max-in-memory-length", "x-delayed-retry-min", "x-dead-letter-strategy"]
    {
        let expected =
            format!("invalid arg '{argument}' for queue 'q' of queue type rabbit_classic_queue");
        assert_eq!(declare(&[(argument, Value::LongInt(1))]), Err(expected));
    }
    let quorum = [(QUEUE_TYPE, text("quorum")), ("x-max-priority", Value::LongInt(1))];
    assert_eq!(
        declare(&quorum).unwrap_err(),
        "invalid arg 'x-max-priority' for queue 'q' of queue type rabbit_quorum_queue"
    );
    // Bad values come before arguments of other types.
    assert_eq!(
        declare(&[("x-max-age", Value::LongInt(1)), ("x-expires", Value::LongInt(0))]).unwrap_err(),
        "invalid arg 'x-expires' for queue 'q': {value_zero,0}"
    );
    for value in [Value::Void, text("anything"), Value::LongInt(-7)] {
        assert_eq!(declare(&[("x-foo", value)]), Ok(QueueType::Classic));
    }
}

// QU-061
#[test]
fn stream_filter_size_has_words_of_its_own() {
    let of = |value| reason(QueueType::Stream, "x-stream-filter-size-bytes", &value);
    assert_eq!((of(Value::LongInt(16)), of(Value::LongInt(255))), (None, None));
    for size in [15, 256, -1] {
        let expected = Some("Invalid value for x-stream-filter-size-bytes".to_owned());
        assert_eq!(of(Value::LongInt(size)), expected);
    }
    assert_eq!(of(text("16")).unwrap(), "Invalid type for x-stream-filter-size-bytes");
}

// QU-070..072
#[test]
fn consumers_have_arguments_too() {
    let check = |entries: &[_], queue_type| {
        check_consumer("q", &table(entries), queue_type).map_err(|error| error.to_string())
    };
    let priority = [("x-priority", Value::LongInt(-3)), ("x-foo", text("bar"))];
    assert_eq!(check(&priority, QueueType::Classic), Ok(()));
    assert_eq!(
        check(&[("x-priority", text("3"))], QueueType::Classic).unwrap_err(),
        "invalid arg 'x-priority' for queue 'q': \"expected integer, got longstr\""
    );
    assert_eq!(
        check(&priority, QueueType::Stream).unwrap_err(),
        "invalid arg 'x-priority' for queue 'q' of queue type rabbit_stream_queue"
    );
}

/// What a redeclare of queue `q` says, behind `inequivalent arg '`.
fn redeclare(received: &[(&str, Value)], current: &[(&str, Value)]) -> Option<String> {
    let spec =
        |entries: &[_]| QueueSpec { durable: true, auto_delete: false, arguments: table(entries) };
    check_queue_equivalence(&"q".into(), QueueType::Classic, &spec(received), &spec(current))
        .err()
        .map(|error| error.to_string().strip_prefix("inequivalent arg '").unwrap().to_owned())
}

// QU-006 QU-007
#[test]
fn durability_is_compared_before_auto_delete_and_arguments() {
    let current = QueueSpec { durable: false, auto_delete: false, arguments: Table::default() };
    let mut received = QueueSpec {
        durable: true,
        auto_delete: true,
        arguments: table(&[("x-max-length", Value::LongInt(1))]),
    };
    let mut differences = Vec::new();
    for _ in 0..3 {
        let result = check_queue_equivalence(&"q".into(), QueueType::Classic, &received, &current);
        let Err(Error::Inequivalent { property, received: side, .. }) = result else {
            panic!("redeclare is taken for equivalent");
        };
        differences.push((property, side.to_string()));
        (received.durable, received.auto_delete) = (false, received.durable);
    }
    let first = ("durable".to_owned(), "'true'".to_owned());
    let second = ("auto_delete".to_owned(), "'true'".to_owned());
    let third = ("x-max-length".to_owned(), "the value '1' of type 'signedint'".to_owned());
    assert_eq!(differences, [first, second, third]);
}

// QU-013 QU-014 QU-015 QU-017 QU-066
#[test]
fn arguments_of_the_type_are_compared_by_value() {
    let length = |value: Value| ("x-max-length", value);
    let thousand = [length(Value::LongInt(1000))];
    assert_eq!(
        redeclare(&[length(Value::LongInt(2000))], &thousand).unwrap(),
        "x-max-length' for queue 'q': received '2000' but current is '1000'"
    );
    assert_eq!(
        redeclare(&[], &thousand).unwrap(),
        "x-max-length' for queue 'q': received none but current is the value '1000' of type \
         'signedint'"
    );
    assert_eq!(
        redeclare(&thousand, &[]).unwrap(),
        "x-max-length' for queue 'q': received the value '1000' of type 'signedint' but current \
         is none"
    );
    assert_eq!(
        redeclare(&[length(Value::LongInt(-1))], &[]).unwrap(),
        "x-max-length' for queue 'q': received the value '-1' of type 'signedint' but current is \
         none"
    );
    for five in fives() {
        for other in fives() {
            assert_eq!(redeclare(&[length(five.clone())], &[length(other)]), None);
        }
    }
    assert_eq!(
        redeclare(&[length(text("5"))], &[length(Value::LongInt(5))]).unwrap(),
        "x-max-length' for queue 'q': received '5' but current is '5'"
    );
    let array = Value::FieldArray(Array::from(vec![text("x")]));
    assert_eq!(redeclare(&[("x-foo", array), ("x-max-age", text("1D"))], &[]), None);
    let of_type = |word| [(QUEUE_TYPE, text(word))];
    assert_eq!(redeclare(&of_type("classic"), &[]), None);
    assert_eq!(redeclare(&[], &of_type("classic")), None);
    assert_eq!(
        redeclare(&of_type("quorum"), &of_type("classic")).unwrap(),
        "x-queue-type' for queue 'q': received 'quorum' but current is 'classic'"
    );
}

// VM-20
#[test]
fn queue_type_is_put_among_the_arguments() {
    let filled = with_queue_type(Table::default(), QueueType::Classic);
    assert_eq!(filled, table(&[(QUEUE_TYPE, text("classic"))]));
    let quorum = table(&[(QUEUE_TYPE, text("quorum"))]);
    assert_eq!(with_queue_type(quorum.clone(), QueueType::Classic), quorum);
}

#[test]
fn values_are_read_by_kind() {
    let arguments = table(&[
        ("text", text("word")),
        ("number", Value::ShortInt(-3)),
        ("flag", Value::Boolean(false)),
    ]);
    assert_eq!(
        (super::text(&arguments, "text"), super::text(&arguments, "flag")),
        (Some("word"), None)
    );
    assert_eq!((integer(&arguments, "number"), integer(&arguments, "text")), (Some(-3), None));
    assert_eq!((boolean(&arguments, "flag"), boolean(&arguments, "none")), (Some(false), None));
}
