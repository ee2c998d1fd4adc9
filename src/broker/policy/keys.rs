//! What a policy can say: one row for each key (PO-054, PO-055, PO-060).

use super::{Authority, Fault, integers};
use crate::{
    broker::{
        arguments::QueueType,
        datum::{Datum, Map},
    },
    wire::table::Value,
};

/// A row.
struct Row {
    key: &'static str,
    /// What follows `VALUE is not a valid ` when it isn't.
    what: &'static str,
    is_valid: fn(&Datum) -> bool,
    /// Whether an operator policy may say it, and how it is merged with what a policy says.
    operator: Option<Merge>,
    /// What counts if a queue's argument says something, too.
    beside_argument: Beside,
    /// The types of queues to which a policy that says this applies.
    types: &'static [QueueType],
}

/// How what an operator policy says is merged with what a policy says.
#[derive(Clone, Copy)]
enum Merge {
    Lower,
    /// The lower one, but the higher if either is negative, which means no limit.
    Limit,
    Operator,
}

/// How what policies say is resolved with a queue's argument.
#[derive(Clone, Copy)]
enum Beside {
    Lower,
    Limit,
    Argument,
    Policy,
    /// The argument counts for a classic queue, the policy for a quorum queue.
    ByType,
}

use QueueType::{Classic, Quorum, Stream};

const ANY: &[QueueType] = &[Classic, Quorum, Stream];
const QUEUES: &[QueueType] = &[Classic, Quorum];

const fn row(
    key: &'static str,
    what: &'static str,
    is_valid: fn(&Datum) -> bool,
    operator: Option<Merge>,
    beside_argument: Beside,
    types: &'static [QueueType],
) -> Row {
    Row { key, what, is_valid, operator, beside_argument, types }
}

/// All keys. What a key is not valid for a type follows RabbitMQ 4.3's `unsupported_policies`.
const ROWS: &[Row] = {
    use Beside::{Argument, ByType, Lower, Policy};
    const LOWER: Option<Merge> = Some(Merge::Lower);
    const OPERATOR: Option<Merge> = Some(Merge::Operator);
    &[
        row("alternate-exchange", "alternate exchange name", text, None, Argument, ANY),
        row("consumer-timeout", "consumer timeout", not_negative, None, Lower, ANY),
        row(
            "consumer-disconnected-timeout",
            "consumer disconnected timeout",
            not_negative,
            None,
            Lower,
            ANY,
        ),
        row("dead-letter-exchange", "dead letter exchange name", text, None, Argument, QUEUES),
        row("dead-letter-routing-key", "dead letter routing key", text, None, Argument, QUEUES),
        row("dead-letter-strategy", "dead letter strategy", strategy, None, Argument, &[Quorum]),
        row("message-ttl", "message TTL", not_negative, LOWER, Lower, QUEUES),
        row("expires", "queue expiry", positive, LOWER, Lower, QUEUES),
        row("max-length", "maximum length", not_negative, LOWER, Lower, QUEUES),
        row("max-length-bytes", "maximum length in bytes", not_negative, LOWER, Lower, ANY),
        row(
            "max-in-memory-length",
            "maximum memory in bytes",
            not_negative,
            LOWER,
            Lower,
            &[Quorum],
        ),
        row(
            "max-in-memory-bytes",
            "maximum memory in bytes",
            not_negative,
            LOWER,
            Lower,
            &[Quorum],
        ),
        row("queue-mode", "queue-mode value", mode, None, Argument, &[Classic]),
        row("queue-version", "queue-version value", version, OPERATOR, Argument, ANY),
        row("overflow", "overflow value", overflow, OPERATOR, ByType, QUEUES),
        row(
            "delivery-limit",
            "delivery limit",
            integer,
            Some(Merge::Limit),
            Beside::Limit,
            &[Quorum],
        ),
        row("max-age", "max age", age, None, Policy, &[Stream]),
        row("stream-max-segment-size-bytes", "segment size", segment_size, None, Policy, &[Stream]),
        row(
            "stream-filter-size-bytes",
            "filter size. Valid range is 16-255",
            filter_size,
            None,
            Policy,
            ANY,
        ),
        row("queue-leader-locator", "queue leader locator value", locator, None, Argument, ANY),
        row("initial-cluster-size", "cluster size", not_negative, None, Policy, &[Stream]),
        // deviation: RabbitMQ has no such keys; they are the arguments of the same name.
        row("retry-delay", "retry delay", not_negative, None, Argument, QUEUES),
        row("retry-delay-max", "maximum retry delay", not_negative, None, Argument, QUEUES),
    ]
};

fn find(key: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.key == key)
}

/// Whether each key is there and its value is one that it can have: the first fault by name, and
/// values before unknown keys, as in RabbitMQ.
pub(super) fn check(authority: Authority, definition: &Map) -> Result<(), Fault> {
    let known =
        |key: &str| find(key).filter(|row| authority == Authority::User || row.operator.is_some());
    for (key, value) in definition {
        if let Some(row) = known(key)
            && !(row.is_valid)(value)
        {
            return Err(Fault::Value { value: value.clone(), what: row.what });
        }
    }
    let unknown = definition.iter().filter(|(key, _)| known(key).is_none());
    let settings: Map = unknown.map(|(key, value)| (key.clone(), value.clone())).collect();
    if settings.is_empty() { Ok(()) } else { Err(Fault::UnknownKeys { settings }) }
}

/// Whether a policy that says this applies to queues of a type (PO-058).
pub(super) fn is_supported(key: &str, queue_type: QueueType) -> bool {
    find(key).is_none_or(|row| row.types.contains(&queue_type))
}

/// What a policy and an operator policy say together.
pub(super) fn merged(key: &str, user: &Datum, operator: Datum) -> Datum {
    let merge = find(key).and_then(|row| row.operator).unwrap_or(Merge::Operator);
    let Some((one, other)) = user.as_integer().zip(operator.as_integer()) else { return operator };
    Datum::Integer(match merge {
        Merge::Lower => one.min(other),
        Merge::Limit => limit(one, other),
        Merge::Operator => other,
    })
}

/// What counts of an argument of a queue and of what policies say.
pub(super) fn resolved(key: &str, queue_type: QueueType, own: &Value, said: Value) -> Value {
    let beside = find(key).map_or(Beside::Argument, |row| row.beside_argument);
    let numbers = integers(own, &said);
    let number = |resolve: fn(i64, i64) -> i64| match numbers {
        Some((one, other)) => Value::LongLongInt(resolve(one, other)),
        None => own.clone(),
    };
    match beside {
        Beside::Lower => number(i64::min),
        Beside::Limit => number(limit),
        Beside::Policy => said,
        Beside::ByType if queue_type == QueueType::Quorum => said,
        Beside::Argument | Beside::ByType => own.clone(),
    }
}

/// The stricter of two limits, of which a negative one is none. RabbitMQ takes the higher one as
/// soon as either is negative, so that a limit always wins over none.
fn limit(one: i64, other: i64) -> i64 {
    if one < 0 || other < 0 { one.max(other) } else { one.min(other) }
}

fn text(value: &Datum) -> bool {
    value.as_text().is_some()
}

fn integer(value: &Datum) -> bool {
    value.as_integer().is_some()
}

fn not_negative(value: &Datum) -> bool {
    value.as_integer().is_some_and(|value| value >= 0)
}

fn positive(value: &Datum) -> bool {
    value.as_integer().is_some_and(|value| value >= 1)
}

fn one_of(value: &Datum, words: &[&str]) -> bool {
    value.as_text().is_some_and(|word| words.contains(&word))
}

fn strategy(value: &Datum) -> bool {
    one_of(value, &["at-most-once", "at-least-once"])
}

fn mode(value: &Datum) -> bool {
    one_of(value, &["default", "lazy"])
}

fn overflow(value: &Datum) -> bool {
    one_of(value, &["drop-head", "reject-publish", "reject-publish-dlx"])
}

fn locator(value: &Datum) -> bool {
    one_of(value, &["client-local", "balanced", "random", "least-leaders"])
}

fn version(value: &Datum) -> bool {
    matches!(value, Datum::Integer(1 | 2))
}

fn segment_size(value: &Datum) -> bool {
    matches!(value, Datum::Integer(0..=3_000_000_000))
}

fn filter_size(value: &Datum) -> bool {
    matches!(value, Datum::Integer(16..=255))
}

/// A number and a unit: `7D`.
fn age(value: &Datum) -> bool {
    let Some(text) = value.as_text() else { return false };
    let Some(number) = text.strip_suffix(['Y', 'M', 'D', 'h', 'm', 's']) else { return false };
    number.bytes().all(|byte| byte.is_ascii_digit()) && number.bytes().any(|byte| byte != b'0')
}
