//! The arguments of queues and exchanges: names, types, ranges, and when two of them are alike.

use super::{
    Error,
    error::{Kind, Side, type_name},
};
use crate::{
    names::Name,
    wire::table::{Table, Value},
};

/// A string argument's value; nothing if it is missing, no string, or no UTF-8.
pub fn text<'a>(arguments: &'a Table, argument: &str) -> Option<&'a str> {
    match arguments.inner().get(argument)? {
        Value::LongString(text) => str::from_utf8(text.as_bytes()).ok(),
        _ => None,
    }
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
            (Some(received), Some(current)) if received == current => continue,
            (Some(received), Some(current)) => {
                (Side::Value(received.clone()), Side::Value(current.clone()))
            }
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

fn side(value: Option<&Value>) -> Side {
    value.map_or(Side::Absent, |value| Side::TypedValue(value.clone()))
}
