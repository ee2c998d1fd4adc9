//! What values an argument takes.

use crate::{
    broker::{Error, arguments::DEAD_LETTER_EXCHANGE, error::Reason, exchange::HeaderValue},
    wire::table::{Table, Value, type_name},
};

/// Checks an argument's value. The table holds the other arguments.
pub(super) type Check = fn(&Value, &Table) -> Result<(), Fault>;

/// The longest time that a queue may be asked to wait: ten years of milliseconds (QU-040).
const TIME_MAX_MS: i64 = 315_360_000_000;
/// The highest `x-max-priority` (QU-044).
const PRIORITY_MAX: i64 = 255;
/// The largest segment that a stream may be asked for (QU-060).
const SEGMENT_BYTES_MAX: i64 = 3_000_000_000;

/// What is wrong with a value.
pub(super) enum Fault {
    /// One of the reasons that follow `invalid arg 'x' for queue 'q':`.
    Reason(Reason),
    /// A text that stands alone.
    Stream(&'static str),
}

impl From<Reason> for Fault {
    fn from(reason: Reason) -> Self {
        Self::Reason(reason)
    }
}

impl Fault {
    /// The fault of this argument of this queue.
    pub(super) fn of(self, name: &str, argument: &str) -> Error {
        match self {
            Self::Reason(reason) => {
                Error::InvalidArgument { name: name.into(), argument: argument.into(), reason }
            }
            Self::Stream(text) => Error::InvalidStreamArgument(text),
        }
    }
}

/// Takes any value at all.
#[expect(clippy::unnecessary_wraps, reason = "one of the checks, all of one type")]
pub(super) fn anything(_: &Value, _: &Table) -> Result<(), Fault> {
    Ok(())
}

/// Takes integers.
pub(super) fn any_integer(value: &Value, _: &Table) -> Result<(), Fault> {
    integer(value)?;
    Ok(())
}

/// Takes integers from 0.
pub(super) fn not_negative(value: &Value, _: &Table) -> Result<(), Fault> {
    unsigned(value)?;
    Ok(())
}

/// Takes integers from 1.
pub(super) fn positive(value: &Value, _: &Table) -> Result<(), Fault> {
    if unsigned(value)? == 0 { Err(Reason::Zero.into()) } else { Ok(()) }
}

/// Takes milliseconds from 0 to ten years.
pub(super) fn message_ttl(value: &Value, _: &Table) -> Result<(), Fault> {
    match unsigned(value)? {
        time if time > TIME_MAX_MS => Err(Reason::TooLarge(time).into()),
        _ => Ok(()),
    }
}

/// Takes milliseconds from 1 to ten years.
pub(super) fn expires(value: &Value, arguments: &Table) -> Result<(), Fault> {
    message_ttl(value, arguments)?;
    positive(value, arguments)
}

/// Takes priorities.
pub(super) fn max_priority(value: &Value, _: &Table) -> Result<(), Fault> {
    match unsigned(value)? {
        priority if priority > PRIORITY_MAX => Err(Reason::MaxExceeded(priority).into()),
        _ => Ok(()),
    }
}

/// Takes the versions that RabbitMQ's classic queues have had; they are all one to us.
///
/// deviation: RabbitMQ 4.3 takes 2 alone (QU-052); old code still sends 1.
pub(super) fn queue_version(value: &Value, _: &Table) -> Result<(), Fault> {
    match unsigned(value)? {
        1 | 2 => Ok(()),
        version => Err(Reason::UnsupportedQueueVersion(version).into()),
    }
}

/// Takes booleans.
pub(super) fn boolean(value: &Value, _: &Table) -> Result<(), Fault> {
    match value {
        Value::Boolean(_) => Ok(()),
        other => Err(unacceptable(other)),
    }
}

/// Takes strings.
pub(super) fn text(value: &Value, _: &Table) -> Result<(), Fault> {
    bytes(value)?;
    Ok(())
}

/// Takes strings, where dead letters have an exchange to go to.
pub(super) fn dead_letter_routing_key(value: &Value, arguments: &Table) -> Result<(), Fault> {
    bytes(value)?;
    if arguments.contains_key(DEAD_LETTER_EXCHANGE) {
        return Ok(());
    }
    Err(Reason::Word("routing_key_but_no_dlx_defined").into())
}

/// Takes the ways of not losing dead letters.
pub(super) fn dead_letter_strategy(value: &Value, _: &Table) -> Result<(), Fault> {
    one_of(value, &["at-most-once", "at-least-once"], "invalid_dlx_strategy")
}

/// Takes what a full queue may do.
pub(super) fn overflow(value: &Value, _: &Table) -> Result<(), Fault> {
    one_of(value, &["drop-head", "reject-publish", "reject-publish-dlx"], "invalid_overflow")
}

/// Takes the ways of choosing a node for a queue.
pub(super) fn leader_locator(value: &Value, _: &Table) -> Result<(), Fault> {
    let locators = ["client-local", "balanced", "random", "least-leaders"];
    one_of(value, &locators, "invalid_queue_locator_arg")
}

/// Takes a number and a unit: `7D`.
pub(super) fn max_age(value: &Value, _: &Table) -> Result<(), Fault> {
    let age = bytes(value)?;
    let digits = age.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = age.split_at(digits);
    let is_positive = number.iter().any(|digit| *digit != b'0');
    if is_positive && matches!(unit, b"Y" | b"M" | b"D" | b"h" | b"m" | b"s") {
        return Ok(());
    }
    Err(Reason::Word("invalid_max_age").into())
}

/// Takes the size of a stream's segments.
pub(super) fn segment_size(value: &Value, _: &Table) -> Result<(), Fault> {
    if unsigned(value)? > SEGMENT_BYTES_MAX {
        return Err(Fault::Stream("Exceeded max value for x-stream-max-segment-size-bytes"));
    }
    Ok(())
}

/// Takes the size of a stream's filters.
pub(super) fn filter_size(value: &Value, _: &Table) -> Result<(), Fault> {
    match integer(value) {
        Ok(16..=255) => Ok(()),
        Ok(_) => Err(Fault::Stream("Invalid value for x-stream-filter-size-bytes")),
        Err(_) => Err(Fault::Stream("Invalid type for x-stream-filter-size-bytes")),
    }
}

fn integer(value: &Value) -> Result<i64, Reason> {
    match HeaderValue::from(value) {
        HeaderValue::Int(value) => Ok(value),
        _ => Err(Reason::ExpectedInteger(type_name(value))),
    }
}

fn unsigned(value: &Value) -> Result<i64, Reason> {
    match integer(value)? {
        negative if negative < 0 => Err(Reason::Negative(negative)),
        value => Ok(value),
    }
}

fn bytes(value: &Value) -> Result<&[u8], Fault> {
    match value {
        Value::LongString(text) => Ok(text.as_bytes()),
        other => Err(unacceptable(other)),
    }
}

fn one_of(value: &Value, words: &[&str], otherwise: &'static str) -> Result<(), Fault> {
    let given = bytes(value)?;
    if words.iter().any(|word| word.as_bytes() == given) {
        return Ok(());
    }
    Err(Reason::Word(otherwise).into())
}

fn unacceptable(value: &Value) -> Fault {
    Reason::UnacceptableType(type_name(value)).into()
}
