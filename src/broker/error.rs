//! What can be refused, as facts.
//!
//! Floor 4. `connection::error` turns a fact into a reply code and RabbitMQ's text; the texts stand
//! here beside the facts so that the two can be compared. `RESOURCE` in them is the resource as
//! RabbitMQ writes it: `queue 'q' in vhost '/'` (ER-23).

use std::fmt;

use crate::{
    names::Name,
    wire::table::{Value, type_name},
};

/// What a name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An exchange.
    Exchange,
    /// A queue.
    Queue,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exchange => "exchange",
            Self::Queue => "queue",
        })
    }
}

/// An operation that the broker refuses. Each variant's text follows RabbitMQ's, but for the vhost,
/// which only the caller knows.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Declare, delete, bind or unbind of the default exchange (EX-004).
    ///
    /// 403 `ACCESS_REFUSED - operation not permitted on the default exchange`
    #[error("operation not permitted on the default exchange")]
    DefaultExchange,

    /// Declare of a new name that starts with `amq.` (EX-005, QU-002).
    ///
    /// 403 `ACCESS_REFUSED - KIND name 'amq.foo' contains reserved prefix 'amq.*'`
    #[error("{kind} name '{name}' contains reserved prefix 'amq.*'")]
    ReservedName {
        /// What was declared.
        kind: Kind,
        /// Its name.
        name: Name,
    },

    /// There is no such exchange or queue (EX-006, EX-019, EX-042, QU-005).
    ///
    /// 404 `NOT_FOUND - no RESOURCE`
    #[error("no {kind} '{name}'")]
    NotFound {
        /// What was looked for.
        kind: Kind,
        /// Its name.
        name: Name,
    },

    /// No such exchange type is registered (EX-003).
    ///
    /// 406 `PRECONDITION_FAILED - unknown exchange type 'TYPE'`
    #[error("unknown exchange type '{type_name}'")]
    UnknownExchangeType {
        /// The type that was asked for.
        type_name: String,
    },

    /// A redeclare differs from what is there (EX-007..009, QU-006..018).
    ///
    /// 406 `PRECONDITION_FAILED - inequivalent arg 'PROPERTY' for RESOURCE: received RECEIVED but
    /// current is CURRENT`; the two sides are written by [`Side`].
    #[error(
        "inequivalent arg '{property}' for {kind} '{name}': received {received} but current is \
         {current}"
    )]
    Inequivalent {
        /// What was redeclared.
        kind: Kind,
        /// Its name.
        name: Name,
        /// The property or argument that differs.
        property: String,
        /// Its value in the redeclare.
        received: Side,
        /// Its value as it is.
        current: Side,
    },

    /// A queue argument has a value that it cannot have (QU-040..064).
    ///
    /// 406 `PRECONDITION_FAILED - invalid arg 'ARGUMENT' for RESOURCE: REASON`; the reason is
    /// written by [`Reason`].
    #[error("invalid arg '{argument}' for queue '{name}': {reason}")]
    InvalidArgument {
        /// The queue.
        name: Name,
        /// The argument.
        argument: String,
        /// What is wrong with it.
        reason: Reason,
    },

    /// A queue argument belongs to another type of queue (QU-055, QU-067).
    ///
    /// 406 `PRECONDITION_FAILED - invalid arg 'ARGUMENT' for RESOURCE of queue type
    /// rabbit_classic_queue`
    #[error("invalid arg '{argument}' for queue '{name}' of queue type rabbit_{queue_type}_queue")]
    ArgumentOfOtherType {
        /// The queue.
        name: Name,
        /// The argument.
        argument: String,
        /// The type of the queue: `classic`, `quorum`, `stream`.
        queue_type: &'static str,
    },

    /// An argument that names an exchange is not a string (EX-010, QU-046).
    ///
    /// 406 `PRECONDITION_FAILED - invalid type 'TYPE' for arg 'ARGUMENT' in RESOURCE`
    #[error("invalid type '{type_name}' for arg '{argument}' in {kind} '{name}'")]
    InvalidArgumentType {
        /// What was declared.
        kind: Kind,
        /// Its name.
        name: Name,
        /// The argument.
        argument: &'static str,
        /// RabbitMQ's name of the type that it has.
        type_name: &'static str,
    },

    /// A stream's argument is out of its range, in words of its own (QU-060, QU-061).
    ///
    /// 406 `PRECONDITION_FAILED - TEXT`
    #[error("{0}")]
    InvalidStreamArgument(&'static str),

    /// Deletion of an exchange whose name starts with `amq.`, present or not (EX-015).
    ///
    /// 403 `ACCESS_REFUSED - deletion of system RESOURCE not allowed`
    #[error("deletion of system exchange '{name}' not allowed")]
    SystemExchange {
        /// The exchange.
        name: Name,
    },

    /// Deletion of something in use, asked for only if unused (EX-016, QU-084).
    ///
    /// 406 `PRECONDITION_FAILED - RESOURCE in use`
    #[error("{kind} '{name}' in use")]
    InUse {
        /// What was to be deleted.
        kind: Kind,
        /// Its name.
        name: Name,
    },

    /// A queue of this type cannot be what it was declared as (QT-001 to QT-003).
    ///
    /// 406 `PRECONDITION_FAILED - invalid property 'PROPERTY' for RESOURCE`
    #[error("invalid property '{property}' for queue '{name}'")]
    InvalidProperty {
        /// The queue.
        name: Name,
        /// `auto-delete`, `exclusive-owner` or `non-durable`.
        property: &'static str,
    },

    /// A queue of this type must be given a name (QT-004).
    ///
    /// 406 `PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue`
    #[error("Cannot declare a server-named queue for type rabbit_{queue_type}_queue")]
    ServerNamed {
        /// `quorum` or `stream`.
        queue_type: &'static str,
    },

    /// Deletion of a quorum queue under a condition (QT-008, QT-009).
    ///
    /// 540 `NOT_IMPLEMENTED - cannot delete RESOURCE. queue.delete operations with if-unused flag
    /// set are not supported by quorum queues`
    #[error("cannot delete queue '{name}' with the flag {flag}")]
    ConditionalDelete {
        /// The queue.
        name: Name,
        /// `if-unused` or `if-empty`.
        flag: &'static str,
    },

    /// `basic.get` from a quorum queue with a single active consumer (QU-143).
    ///
    /// 405 `RESOURCE_LOCKED - cannot obtain access to locked RESOURCE. basic.get operations are not
    /// supported by quorum queues with single active consumer`
    #[error("basic.get from queue '{name}' with single active consumer")]
    GetFromSingleActive {
        /// The queue.
        name: Name,
    },

    /// Deletion of a queue that has ready messages, asked for only if empty (QU-085).
    ///
    /// 406 `PRECONDITION_FAILED - RESOURCE not empty`
    #[error("queue '{name}' not empty")]
    NotEmpty {
        /// The queue.
        name: Name,
    },

    /// Use of another connection's exclusive queue, or a redeclare that differs in being exclusive
    /// (QU-008, QU-010).
    ///
    /// 405 `RESOURCE_LOCKED - cannot obtain exclusive access to locked RESOURCE. It could be
    /// originally declared on another connection or the exclusive property value does not match
    /// that of the original declaration.`
    #[error("cannot obtain exclusive access to locked queue '{name}'")]
    Locked {
        /// The queue.
        name: Name,
    },

    /// A consumer beside an exclusive one, or an exclusive one beside another (BA-083).
    ///
    /// 403 `ACCESS_REFUSED - RESOURCE in exclusive use`
    #[error("queue '{name}' in exclusive use")]
    InExclusiveUse {
        /// The queue.
        name: Name,
    },

    /// Publish to an internal exchange (EX-018).
    ///
    /// 403 `ACCESS_REFUSED - cannot publish to internal RESOURCE`
    #[error("cannot publish to internal exchange '{name}'")]
    InternalExchange {
        /// The exchange.
        name: Name,
    },

    /// A message's property `expiration` is no time (BA-008).
    ///
    /// 406 `PRECONDITION_FAILED - invalid expiration 'TEXT': REASON`
    #[error("invalid expiration '{text}': {reason}")]
    InvalidExpiration {
        /// The property.
        text: String,
        /// What is wrong with it, as an Erlang term.
        reason: String,
    },

    /// A message's header `CC` or `BCC` is no array (BA-010).
    ///
    /// 406 `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"NAME",TYPE}`
    #[error("invalid message: {{unacceptable_type_in_header,\"{name}\",{type_name}}}")]
    InvalidHeader {
        /// The header.
        name: &'static str,
        /// RabbitMQ's name of the type that it has.
        type_name: &'static str,
    },

    /// Declare of a new queue in a vhost that has as many as it may have (QU-019).
    ///
    /// 406 `PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost 'v' (1) is
    /// reached`
    #[error("cannot declare queue '{name}': queue limit ({limit}) is reached")]
    QueueLimit {
        /// The queue.
        name: Name,
        /// The limit.
        limit: u64,
    },

    /// There are as many queues as there may be.
    ///
    /// 406 `PRECONDITION_FAILED - cannot declare queue 'q': queue limit in cluster (1) is reached`
    #[error("cannot declare queue '{name}': queue limit in cluster ({limit}) is reached")]
    ClusterQueueLimit {
        /// The queue.
        name: Name,
        /// The limit.
        limit: u32,
    },

    /// There are as many exchanges as there may be.
    ///
    /// 406 `PRECONDITION_FAILED - cannot declare exchange 'e' in vhost 'v': exchange limit of 1 is
    /// reached`
    #[error("cannot declare exchange '{name}': exchange limit of {limit} is reached")]
    ExchangeLimit {
        /// The exchange.
        name: Name,
        /// The limit.
        limit: u32,
    },

    /// The vhost was deleted while the connection was in it (CN-126).
    ///
    /// 320 `CONNECTION_FORCED - vhost 'v' is deleted`
    #[error("the vhost is deleted")]
    VhostGone,

    /// A binding's arguments make no sense to the exchange's type (EX-067).
    ///
    /// 406 `PRECONDITION_FAILED - TEXT`, the text being this one's.
    #[error(transparent)]
    InvalidBinding(#[from] BindingFault),

    /// The arguments of an exchange make no sense to its type (EX-091).
    ///
    /// 406 `PRECONDITION_FAILED - TEXT`, the text being this one's.
    #[error(transparent)]
    InvalidExchange(#[from] ExchangeFault),
}

/// `queue 'q' in vhost '/'` (ER-23).
pub fn resource(kind: Kind, name: &str, vhost: &str) -> String {
    format!("{kind} '{name}' in vhost '{vhost}'")
}

impl Error {
    /// RabbitMQ's words for the refusal, behind the name of its code (ER-19, ER-23).
    pub fn in_vhost(&self, vhost: &str) -> String {
        use Error as E;
        let queue = |name: &str| resource(Kind::Queue, name, vhost);
        let exchange = |name: &str| resource(Kind::Exchange, name, vhost);
        let named = |kind: &Kind, name: &str| resource(*kind, name, vhost);
        match self {
            E::NotFound { kind, name } => format!("no {}", named(kind, name)),
            E::Inequivalent { kind, name, property, received, current } => format!(
                "inequivalent arg '{property}' for {}: received {received} but current is \
                 {current}",
                named(kind, name)
            ),
            E::InvalidArgument { name, argument, reason } => {
                format!("invalid arg '{argument}' for {}: {reason}", queue(name))
            }
            E::ArgumentOfOtherType { name, argument, queue_type } => format!(
                "invalid arg '{argument}' for {} of queue type rabbit_{queue_type}_queue",
                queue(name)
            ),
            E::InvalidArgumentType { kind, name, argument, type_name } => {
                format!("invalid type '{type_name}' for arg '{argument}' in {}", named(kind, name))
            }
            E::InvalidProperty { name, property } => {
                format!("invalid property '{property}' for {}", queue(name))
            }
            E::ConditionalDelete { name, flag } => format!(
                "cannot delete {}. queue.delete operations with {flag} flag set are not supported \
                 by quorum queues",
                queue(name)
            ),
            E::GetFromSingleActive { name } => format!(
                "cannot obtain access to locked {}. basic.get operations are not supported by \
                 quorum queues with single active consumer",
                queue(name)
            ),
            E::SystemExchange { name } => {
                format!("deletion of system {} not allowed", exchange(name))
            }
            E::InUse { kind, name } => format!("{} in use", named(kind, name)),
            E::NotEmpty { name } => format!("{} not empty", queue(name)),
            E::InternalExchange { name } => {
                format!("cannot publish to internal {}", exchange(name))
            }
            E::Locked { name } => format!(
                "cannot obtain exclusive access to locked {}. It could be originally declared on \
                 another connection or the exclusive property value does not match that of the \
                 original declaration.",
                queue(name)
            ),
            E::QueueLimit { name, limit } => format!(
                "cannot declare queue '{name}': queue limit in vhost '{vhost}' ({limit}) is reached"
            ),
            E::ExchangeLimit { name, limit } => {
                format!("cannot declare {}: exchange limit of {limit} is reached", exchange(name))
            }
            E::InExclusiveUse { name } => format!("{} in exclusive use", queue(name)),
            other => other.to_string(),
        }
    }
}

/// What is wrong with an exchange's arguments.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeFault {
    /// `hash-property` is none of the three (EX-091).
    #[error("Unsupported property: {property}")]
    UnsupportedProperty {
        /// The property.
        property: String,
    },
    /// Both `hash-header` and `hash-property` are there (EX-091).
    #[error("hash-header and hash-property are mutually exclusive")]
    HeaderAndProperty,
    /// `x-delayed-type` is missing or no string (EX-097).
    #[error("Invalid argument, 'x-delayed-type' must be an existing exchange type")]
    NoDelayedType,
    /// `x-delayed-type` is the delayed type itself (EX-097).
    #[error("Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'")]
    DelayedTwice,
    /// `x-recent-history-length` is no positive integer (EX-096).
    #[error(
        "Invalid argument {}, 'x-recent-history-length' must be a positive integer",
        Term(.value)
    )]
    HistoryLength {
        /// The value.
        value: Value,
    },
    /// `x-cache-size` is missing or no positive integer.
    #[error("Missing or invalid argument, 'x-cache-size' must be an integer greater than 0")]
    CacheSize,
    /// `x-cache-ttl` is no positive integer.
    #[error("Invalid argument, 'x-cache-ttl' must be an integer greater than 0")]
    CacheTtl,
    /// `x-cache-persistence` is neither of the two.
    #[error("Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'")]
    CachePersistence,
    /// An argument must be a string.
    #[error("{argument} must be a string")]
    NoString {
        /// The argument.
        argument: &'static str,
    },
}

/// What is wrong with a binding.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BindingFault {
    /// `x-match` is a string, but none of the four.
    #[error(
        "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
        Term(&Value::LongString(.value.as_slice().into()))
    )]
    MatchValue {
        /// The string.
        value: Vec<u8>,
    },
    /// `x-match` is no string.
    #[error(
        "Invalid x-match field type {} (value {}); expected longstr",
        type_name(.value),
        Term(.value)
    )]
    MatchType {
        /// The value.
        value: Value,
    },
    /// A weight is no integer (EX-090).
    #[error(
        "The binding key must be an integer: {}",
        Term(&Value::LongString(.key.as_slice().into()))
    )]
    WeightNoInteger {
        /// The binding key.
        key: Vec<u8>,
    },
    /// A weight is not positive (EX-090).
    #[error("The binding key must be greater than 0")]
    WeightTooLow,
    /// A weight is too high (EX-090).
    #[error("The binding key must not exceed {max}")]
    WeightTooHigh {
        /// The highest.
        max: i64,
    },
    /// A binding key where there must be none (EX-094).
    #[error("Non empty binding '{}' key not permitted", String::from_utf8_lossy(.key))]
    KeyNotEmpty {
        /// The binding key.
        key: Vec<u8>,
    },
    /// A binding to an exchange from one that takes queues alone (EX-094).
    #[error("Destination not found")]
    DestinationNotFound,
    /// A binding to a queue of a type that is not taken (EX-094).
    #[error("Queue type rabbit_{queue_type}_queue not valid for this exchange type")]
    QueueTypeNotValid {
        /// The type: `quorum`, `stream`.
        queue_type: &'static str,
    },
}

/// One side of an inequivalence, written as RabbitMQ writes it (QU-015).
#[derive(Clone, Debug, PartialEq)]
pub enum Side {
    /// `none`
    Absent,
    /// `'1000'`: the other side has a value, too.
    Value(Value),
    /// `the value '1000' of type 'signedint'`: the other side has none.
    TypedValue(Value),
}

/// What is wrong with a queue argument's value, written as RabbitMQ writes it: as an Erlang term.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// `"expected integer, got longstr"`, with RabbitMQ's name of the type.
    ExpectedInteger(&'static str),
    /// `{value_negative,-1}`
    Negative(i64),
    /// `{value_zero,0}`
    Zero,
    /// `{value_too_large,315360000001}`
    TooLarge(i64),
    /// `{max_value_exceeded,256}`
    MaxExceeded(i64),
    /// `{unacceptable_type,signedint}`, with RabbitMQ's name of the type.
    UnacceptableType(&'static str),
    /// A word of RabbitMQ's: `invalid_overflow`.
    Word(&'static str),
    /// `"unsupported queue type 'foo'"`
    UnsupportedQueueType(String),
    /// `"unsupported queue version '3'"`
    UnsupportedQueueVersion(i64),
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("none"),
            Self::Value(value) => write!(f, "'{}'", Plain(value)),
            Self::TypedValue(value) => {
                write!(f, "the value '{}' of type '{}'", Plain(value), type_name(value))
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExpectedInteger(got) => write!(f, "\"expected integer, got {got}\""),
            Self::Negative(value) => write!(f, "{{value_negative,{value}}}"),
            Self::Zero => f.write_str("{value_zero,0}"),
            Self::TooLarge(value) => write!(f, "{{value_too_large,{value}}}"),
            Self::MaxExceeded(value) => write!(f, "{{max_value_exceeded,{value}}}"),
            Self::UnacceptableType(got) => write!(f, "{{unacceptable_type,{got}}}"),
            Self::Word(word) => f.write_str(word),
            Self::UnsupportedQueueType(name) => write!(f, "\"unsupported queue type '{name}'\""),
            Self::UnsupportedQueueVersion(version) => {
                write!(f, "\"unsupported queue version '{version}'\"")
            }
        }
    }
}

/// A value as Erlang's `~ts` writes strings and its `~tp` writes the rest.
struct Plain<'a>(&'a Value);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::LongString(text) => f.write_str(&String::from_utf8_lossy(text.as_bytes())),
            Value::ShortString(text) => f.write_str(text.as_str()),
            Value::ByteArray(bytes) => f.write_str(&String::from_utf8_lossy(bytes.as_slice())),
            other => Term(other).fmt(f),
        }
    }
}

/// A value as Erlang's `~tp` writes it (ER-22).
struct Term<'a>(&'a Value);

impl fmt::Display for Term<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Boolean(value) => write!(f, "{value}"),
            Value::ShortShortInt(value) => write!(f, "{value}"),
            Value::ShortShortUInt(value) => write!(f, "{value}"),
            Value::ShortInt(value) => write!(f, "{value}"),
            Value::ShortUInt(value) => write!(f, "{value}"),
            Value::LongInt(value) => write!(f, "{value}"),
            Value::LongUInt(value) => write!(f, "{value}"),
            Value::LongLongInt(value) => write!(f, "{value}"),
            Value::Timestamp(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{:?}", f64::from(*value)),
            Value::Double(value) => write!(f, "{value:?}"),
            Value::DecimalValue(value) => write!(f, "{{{},{}}}", value.scale, value.value),
            Value::LongString(text) => binary(f, text.as_bytes()),
            Value::ShortString(text) => binary(f, text.as_str().as_bytes()),
            Value::ByteArray(bytes) => binary(f, bytes.as_slice()),
            Value::FieldArray(values) => list(f, values.as_slice().iter(), |f, value| {
                write!(f, "{{{},{}}}", type_name(value), Term(value))
            }),
            Value::FieldTable(table) => list(f, table.into_iter(), |f, (name, value)| {
                f.write_str("{")?;
                binary(f, name.as_str().as_bytes())?;
                write!(f, ",{},{}}}", type_name(value), Term(value))
            }),
            Value::Void => f.write_str("undefined"),
        }
    }
}

/// Writes bytes as an Erlang binary: as text if they are text that can be shown, else as numbers.
pub(super) fn binary(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    match str::from_utf8(bytes) {
        Ok("") => f.write_str("<<>>"),
        Ok(text) if !text.chars().any(char::is_control) => {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            let encoding = if text.is_ascii() { "" } else { "/utf8" };
            write!(f, "<<\"{quoted}\"{encoding}>>")
        }
        _ => {
            f.write_str("<<")?;
            for (at, byte) in bytes.iter().enumerate() {
                write!(f, "{}{byte}", if at == 0 { "" } else { "," })?;
            }
            f.write_str(">>")
        }
    }
}

/// Writes an Erlang list.
fn list<'a, T>(
    f: &mut fmt::Formatter<'a>,
    items: impl Iterator<Item = T>,
    mut item: impl FnMut(&mut fmt::Formatter<'a>, T) -> fmt::Result,
) -> fmt::Result {
    f.write_str("[")?;
    for (at, value) in items.enumerate() {
        if at > 0 {
            f.write_str(",")?;
        }
        item(f, value)?;
    }
    f.write_str("]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::table::{FieldArray as Array, LongString, ShortString, Table};

    fn text(text: &str) -> Value {
        Value::LongString(LongString::from(text))
    }

    // EX-009 QU-015 QU-016
    #[test]
    fn sides_are_written_as_in_rabbitmq() {
        assert_eq!(Side::Absent.to_string(), "none");
        assert_eq!(Side::Value(Value::Boolean(true)).to_string(), "'true'");
        assert_eq!(Side::Value(Value::LongInt(1000)).to_string(), "'1000'");
        assert_eq!(Side::Value(text("drop-head")).to_string(), "'drop-head'");
        assert_eq!(
            Side::TypedValue(Value::LongInt(1000)).to_string(),
            "the value '1000' of type 'signedint'"
        );
        assert_eq!(
            Side::TypedValue(text("nonexist")).to_string(),
            "the value 'nonexist' of type 'longstr'"
        );
    }

    // ER-22
    #[test]
    fn values_are_written_as_erlang_terms() {
        let term = |value: &Value| Term(value).to_string();
        assert_eq!(term(&text("foo")), "<<\"foo\">>");
        assert_eq!(term(&text("")), "<<>>");
        assert_eq!(term(&text("a\"b\\")), "<<\"a\\\"b\\\\\">>");
        assert_eq!(term(&Value::LongString(LongString::from(vec![0, 60]))), "<<0,60>>");
        assert_eq!(term(&Value::Double(1.5)), "1.5");
        assert_eq!(term(&Value::Float(2.0)), "2.0");
        assert_eq!(term(&Value::Void), "undefined");
        let array = Value::FieldArray(Array::from(vec![text("a"), Value::LongInt(1)]));
        assert_eq!(term(&array), "[{longstr,<<\"a\">>},{signedint,1}]");
        let mut table = Table::default();
        table.insert(ShortString::from("k"), array);
        let table = Value::FieldTable(table);
        assert_eq!(term(&table), "[{<<\"k\">>,array,[{longstr,<<\"a\">>},{signedint,1}]}]");
    }
}
