//! The arguments of queues, consumers and exchanges: which there are, what values they take, and
//! when two declares are alike.
//!
//! Floor 4. [`QUEUE_ARGUMENTS`] is the whole list: a queue type or feature that needs an argument
//! adds a row there. Arguments are checked when a queue is created, whether their effect is there
//! or not; arguments that no row names are accepted and never compared (QU-065).

use std::time::Duration;

use super::{
    Error,
    error::{Kind, Reason, Side},
    exchange::HeaderValue,
};
use crate::{
    names::Name,
    wire::{
        method::ShortString,
        table::{Table, Value, type_name},
    },
};

mod check;
#[cfg(test)]
mod tests;

/// The argument of a queue that says its type.
pub const QUEUE_TYPE: &str = "x-queue-type";
/// The argument of a queue that names the exchange for its dead letters.
pub const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";
/// The argument of an exchange that names the exchange for what it cannot route.
pub const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

/// The types of queues that arguments can tell apart. Whether a type can be declared is not said
/// here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum QueueType {
    /// `classic`
    #[default]
    Classic = C,
    /// `quorum`
    Quorum = Q,
    /// `stream`
    Stream = S,
}

impl QueueType {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [Self::Classic, Self::Quorum, Self::Stream];

    /// Its place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        (self as u8).trailing_zeros() as usize
    }
}

/// Bits of a row's types.
const C: u8 = 1;
const Q: u8 = 2;
const S: u8 = 4;

impl QueueType {
    /// The word for it in `x-queue-type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }

    /// The type that a word of `x-queue-type` means.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Classic, Self::Quorum, Self::Stream].into_iter().find(|t| t.as_str() == word)
    }

    /// The type that a queue with these arguments has, `default` if they don't say (QU-050).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`].
    pub fn of(name: &str, arguments: &Table, default: Self) -> Result<Self, Error> {
        let reason = match arguments.inner().get(QUEUE_TYPE) {
            None => return Ok(default),
            Some(Value::LongString(word)) => match word.as_bytes() {
                b"" | b"undefined" => return Ok(default),
                word => match str::from_utf8(word).ok().and_then(Self::parse) {
                    Some(queue_type) => return Ok(queue_type),
                    None => Reason::UnsupportedQueueType(String::from_utf8_lossy(word).into()),
                },
            },
            Some(other) => Reason::UnacceptableType(type_name(other)),
        };
        Err(Error::InvalidArgument { name: name.into(), argument: QUEUE_TYPE.into(), reason })
    }
}

/// How a queue was declared, as far as a redeclare must repeat it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueSpec {
    /// Whether it outlives the broker's process. An exclusive queue doesn't, whatever its declare
    /// said (QU-009).
    pub durable: bool,
    /// Whether it goes with its last consumer (QU-012).
    pub auto_delete: bool,
    /// The arguments, with `x-queue-type` among them (VM-20): see [`with_queue_type`].
    pub arguments: Table,
}

/// The arguments with the queue's type among them, as RabbitMQ keeps and compares them (VM-20).
pub fn with_queue_type(mut arguments: Table, default: QueueType) -> Table {
    if !arguments.contains_key(QUEUE_TYPE) {
        let word = Value::LongString(default.as_str().into());
        arguments.insert(ShortString::from(QUEUE_TYPE), word);
    }
    arguments
}

/// A row: an argument, the queue types it belongs to, what it takes.
type Row = (&'static str, u8, check::Check);

/// The arguments of queues, in the order in which they are checked and compared (QU-067).
const QUEUE_ARGUMENTS: &[Row] = &[
    ("x-expires", C | Q, check::expires),
    ("x-message-ttl", C | Q, check::message_ttl),
    (DEAD_LETTER_EXCHANGE, C | Q, check::text),
    ("x-dead-letter-routing-key", C | Q, check::dead_letter_routing_key),
    ("x-dead-letter-strategy", Q, check::dead_letter_strategy),
    ("x-max-length", C | Q, check::not_negative),
    ("x-max-length-bytes", C | Q | S, check::not_negative),
    ("x-max-in-memory-length", Q, check::not_negative),
    ("x-max-in-memory-bytes", Q, check::not_negative),
    ("x-max-priority", C, check::max_priority),
    ("x-overflow", C | Q, check::overflow),
    ("x-queue-mode", C, check::anything),
    ("x-queue-version", C, check::queue_version),
    ("x-message-deduplication", C | Q, check::boolean),
    ("x-single-active-consumer", C | Q, check::boolean),
    // deviation: RabbitMQ 4.3 knows it on quorum queues alone (QU-062); before, it held for all.
    ("x-consumer-timeout", C | Q, check::not_negative),
    ("x-consumer-disconnected-timeout", Q, check::not_negative),
    ("x-delayed-retry-type", Q, check::anything),
    ("x-delayed-retry-min", Q, check::anything),
    ("x-delayed-retry-max", Q, check::anything),
    (QUEUE_TYPE, C | Q | S, check::anything),
    // deviation: RabbitMQ 4.3 closes the connection (QU-054); old code still sends it.
    ("x-queue-master-locator", C, check::anything),
    ("x-quorum-initial-group-size", Q, check::positive),
    // deviation: RabbitMQ knows it on quorum queues alone.
    ("x-delivery-limit", C | Q, check::anything),
    // Lepus's own.
    ("x-retry-delay", C | Q, check::not_negative),
    ("x-retry-delay-max", C | Q, check::not_negative),
    ("x-max-age", S, check::max_age),
    ("x-stream-max-segment-size-bytes", S, check::segment_size),
    ("x-stream-filter-size-bytes", S, check::filter_size),
    ("x-initial-cluster-size", S, check::positive),
    ("x-queue-leader-locator", C | Q | S, check::leader_locator),
];

/// The arguments of consumers (QU-070..072).
const CONSUMER_ARGUMENTS: &[Row] = &[
    ("x-priority", C | Q, check::any_integer),
    // deviation: as for queues.
    ("x-consumer-timeout", C | Q, check::not_negative),
    ("x-stream-offset", S, check::anything),
    ("x-stream-filter", S, check::anything),
    ("x-stream-match-unfiltered", S, check::anything),
];

/// Checks the arguments of a new queue and returns its type, `default` if they don't say. The
/// order is RabbitMQ's: the dead letter exchange's type, `x-queue-type`, the rest in table order,
/// then arguments of other queue types (QU-067).
///
/// # Errors
/// [`Error::InvalidArgumentType`], [`Error::InvalidArgument`], [`Error::InvalidStreamArgument`],
/// [`Error::ArgumentOfOtherType`].
pub fn check_queue(name: &str, arguments: &Table, default: QueueType) -> Result<QueueType, Error> {
    exchange_name(Kind::Queue, name, arguments, DEAD_LETTER_EXCHANGE)?;
    let queue_type = QueueType::of(name, arguments, default)?;
    check_rows(QUEUE_ARGUMENTS, name, arguments, queue_type)?;
    Ok(queue_type)
}

/// Checks the arguments of a new consumer of a queue.
///
/// # Errors
/// [`Error::InvalidArgument`], [`Error::ArgumentOfOtherType`].
pub fn check_consumer(name: &str, arguments: &Table, queue_type: QueueType) -> Result<(), Error> {
    check_rows(CONSUMER_ARGUMENTS, name, arguments, queue_type)
}

fn check_rows(
    rows: &[Row],
    name: &str,
    arguments: &Table,
    queue_type: QueueType,
) -> Result<(), Error> {
    let is_of_type = |types: u8| types & queue_type as u8 != 0;
    for (argument, types, check) in rows {
        if is_of_type(*types)
            && let Some(value) = arguments.inner().get(*argument)
        {
            check(value, arguments).map_err(|fault| fault.of(name, argument))?;
        }
    }
    for (argument, _) in arguments {
        if rows.iter().any(|(row, types, _)| *row == argument.as_str() && !is_of_type(*types)) {
            return Err(Error::ArgumentOfOtherType {
                name: name.into(),
                argument: argument.to_string(),
                queue_type: queue_type.as_str(),
            });
        }
    }
    Ok(())
}

/// Whether a redeclare of a queue says what is there already: durability, auto-delete, then the
/// arguments of its type (QU-006). Exclusiveness is the caller's to check first (QU-008).
///
/// # Errors
/// [`Error::Inequivalent`] for the first that differs.
pub fn check_queue_equivalence(
    name: &Name,
    queue_type: QueueType,
    received: &QueueSpec,
    current: &QueueSpec,
) -> Result<(), Error> {
    let flags = [
        ("durable", received.durable, current.durable),
        ("auto_delete", received.auto_delete, current.auto_delete),
    ];
    for (property, received, current) in flags {
        let (received, current) = (Value::Boolean(received), Value::Boolean(current));
        check_property(Kind::Queue, name, property, received, current)?;
    }
    let compared = QUEUE_ARGUMENTS
        .iter()
        .filter_map(|(argument, types, _)| (types & queue_type as u8 != 0).then_some(*argument));
    check_equivalence(Kind::Queue, name, compared, &received.arguments, &current.arguments)
}

/// Whether a property of a redeclare is as it is.
///
/// # Errors
/// [`Error::Inequivalent`].
pub fn check_property(
    kind: Kind,
    name: &Name,
    property: &str,
    received: Value,
    current: Value,
) -> Result<(), Error> {
    if received == current {
        return Ok(());
    }
    let (received, current) = (Side::Value(received), Side::Value(current));
    Err(Error::Inequivalent {
        kind,
        name: name.clone(),
        property: property.into(),
        received,
        current,
    })
}

/// Whether a redeclare's arguments are like the current ones, as far as `compared` names them
/// (EX-009, QU-013..017).
///
/// # Errors
/// [`Error::Inequivalent`] for the first that differs.
pub fn check_equivalence<'a>(
    kind: Kind,
    name: &Name,
    compared: impl IntoIterator<Item = &'a str>,
    received: &Table,
    current: &Table,
) -> Result<(), Error> {
    for argument in compared {
        let sides = match (received.inner().get(argument), current.inner().get(argument)) {
            (None, None) => continue,
            (Some(received), Some(current)) if is_alike(received, current) => continue,
            (Some(received), Some(current)) => {
                (Side::Value(received.clone()), Side::Value(current.clone()))
            }
            (None, Some(word)) | (Some(word), None) if is_classic(argument, word) => continue,
            (received, current) => (side(received), side(current)),
        };
        return Err(Error::Inequivalent {
            kind,
            name: name.clone(),
            property: argument.to_owned(),
            received: sides.0,
            current: sides.1,
        });
    }
    Ok(())
}

/// Whether RabbitMQ takes two values for the same: the widths of numbers don't count (QU-014).
fn is_alike(one: &Value, other: &Value) -> bool {
    HeaderValue::from(one) == HeaderValue::from(other)
}

/// Whether this is the queue type that is meant if none is said (QU-017).
fn is_classic(argument: &str, value: &Value) -> bool {
    argument == QUEUE_TYPE
        && matches!(value, Value::LongString(word) if word.as_bytes() == b"classic")
}

fn side(value: Option<&Value>) -> Side {
    value.map_or(Side::Absent, |value| Side::TypedValue(value.clone()))
}

/// Whether an argument that names an exchange is a string or missing (EX-010, QU-046).
///
/// # Errors
/// [`Error::InvalidArgumentType`].
pub fn exchange_name(
    kind: Kind,
    name: &str,
    arguments: &Table,
    argument: &'static str,
) -> Result<(), Error> {
    match arguments.inner().get(argument) {
        None | Some(Value::LongString(_)) => Ok(()),
        Some(other) => Err(Error::InvalidArgumentType {
            kind,
            name: name.into(),
            argument,
            type_name: type_name(other),
        }),
    }
}

/// A string argument's value; nothing if it is missing, no string, or no UTF-8.
pub fn text<'a>(arguments: &'a Table, argument: &str) -> Option<&'a str> {
    match arguments.inner().get(argument)? {
        Value::LongString(text) => str::from_utf8(text.as_bytes()).ok(),
        _ => None,
    }
}

/// An integer argument's value, of whatever width; nothing if it is missing or no integer.
pub fn integer(arguments: &Table, argument: &str) -> Option<i64> {
    match HeaderValue::from(arguments.inner().get(argument)?) {
        HeaderValue::Int(value) => Some(value),
        _ => None,
    }
}

/// The milliseconds that an argument says; nothing if it is missing or no integer from 0.
pub fn milliseconds(arguments: &Table, argument: &str) -> Option<Duration> {
    integer(arguments, argument)?.try_into().ok().map(Duration::from_millis)
}

/// The highest priority of every quorum queue (QT-026).
const QUORUM_MAX_PRIORITY: u8 = 31;

/// The highest priority of a queue with these arguments, its type among them; 0 for one without
/// priorities (QU-130).
pub fn max_priority(arguments: &Table) -> u8 {
    if text(arguments, QUEUE_TYPE) == Some(QueueType::Quorum.as_str()) {
        return QUORUM_MAX_PRIORITY;
    }
    integer(arguments, "x-max-priority")
        .map_or(0, |value| u8::try_from(value.clamp(0, 255)).unwrap_or(0))
}

/// A boolean argument's value; nothing if it is missing or no boolean.
pub fn boolean(arguments: &Table, argument: &str) -> Option<bool> {
    match arguments.inner().get(argument)? {
        Value::Boolean(value) => Some(*value),
        _ => None,
    }
}
