//! Values of policies and parameters: what JSON can say, without JSON.
//!
//! Written for people they are Erlang terms, as in RabbitMQ's error texts (ER-22).

use std::{collections::BTreeMap, fmt};

use super::{error::binary, record::Reader, record::RecordError, record::put_bytes};
use crate::wire::table::Value;

/// How deep values may be nested in a record, themselves with it.
pub const DEPTH_MAX: usize = 32;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INTEGER: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;
const LIST: u8 = 6;
const MAP: u8 = 7;

/// A map of values.
pub type Map = BTreeMap<String, Datum>;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Datum>),
    /// An object.
    Map(Map),
}

impl Datum {
    /// The whole number that it is.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The string that it is.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same as a queue's argument, if arguments can say it.
    pub(super) fn to_argument(&self) -> Option<Value> {
        match self {
            Self::Boolean(value) => Some(Value::Boolean(*value)),
            Self::Integer(value) => Some(Value::LongLongInt(*value)),
            Self::Text(text) => Some(Value::LongString(text.as_str().into())),
            _ => None,
        }
    }

    /// Appends the value to a record.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(NULL),
            Self::Boolean(false) => out.push(FALSE),
            Self::Boolean(true) => out.push(TRUE),
            Self::Integer(value) => {
                out.push(INTEGER);
                out.extend(value.to_be_bytes());
            }
            Self::Float(value) => {
                out.push(FLOAT);
                out.extend(value.to_bits().to_be_bytes());
            }
            Self::Text(text) => {
                out.push(TEXT);
                put_bytes(out, text.as_bytes());
            }
            Self::List(values) => {
                out.push(LIST);
                out.extend((values.len() as u64).to_be_bytes());
                for value in values {
                    value.put(out);
                }
            }
            Self::Map(map) => {
                out.push(MAP);
                put_map(out, map);
            }
        }
    }

    /// Reads a value off a record.
    pub(super) fn take(from: &mut Reader<'_>) -> Result<Self, RecordError> {
        take(from, DEPTH_MAX)
    }
}

fn take(from: &mut Reader<'_>, depth: usize) -> Result<Datum, RecordError> {
    let depth = depth.checked_sub(1).ok_or(RecordError::Damaged)?;
    Ok(match from.byte()? {
        NULL => Datum::Null,
        FALSE => Datum::Boolean(false),
        TRUE => Datum::Boolean(true),
        INTEGER => Datum::Integer(from.number()?.cast_signed()),
        FLOAT => Datum::Float(f64::from_bits(from.number()?)),
        TEXT => Datum::Text(from.text()?.to_owned()),
        LIST => {
            let count = from.number()?;
            Datum::List((0..count).map(|_| take(from, depth)).collect::<Result<_, _>>()?)
        }
        MAP => Datum::Map(take_map_within(from, depth)?),
        _ => return Err(RecordError::Damaged),
    })
}

/// Appends a map to a record.
pub(super) fn put_map(out: &mut Vec<u8>, map: &Map) {
    out.extend((map.len() as u64).to_be_bytes());
    for (key, value) in map {
        put_bytes(out, key.as_bytes());
        value.put(out);
    }
}

/// Reads a map off a record.
pub(super) fn take_map(from: &mut Reader<'_>) -> Result<Map, RecordError> {
    take_map_within(from, DEPTH_MAX)
}

fn take_map_within(from: &mut Reader<'_>, depth: usize) -> Result<Map, RecordError> {
    let count = from.number()?;
    (0..count).map(|_| Ok((from.text()?.to_owned(), take(from, depth)?))).collect()
}

impl From<i64> for Datum {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Datum {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<bool> for Datum {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(text) => binary(f, text.as_bytes()),
            Self::List(values) => separated(f, ["[", "]"], values, |f, value| value.fmt(f)),
            Self::Map(map) => separated(f, ["#{", "}"], map, |f, (key, value)| {
                binary(f, key.as_bytes())?;
                write!(f, " => {value}")
            }),
        }
    }
}

/// A map as the list of pairs that it is in RabbitMQ: `[{<<"foo">>,10}]`.
pub(super) struct Pairs<'a>(pub(super) &'a Map);

impl fmt::Display for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        separated(f, ["[", "]"], self.0, |f, (key, value)| {
            f.write_str("{")?;
            binary(f, key.as_bytes())?;
            write!(f, ",{value}}}")
        })
    }
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    [open, close]: [&str; 2],
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    f.write_str(open)?;
    for (at, value) in items.into_iter().enumerate() {
        if at > 0 {
            f.write_str(",")?;
        }
        item(f, value)?;
    }
    f.write_str(close)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::broker) fn datum() -> impl Strategy<Value = Datum> {
        let leaf = prop_oneof![
            Just(Datum::Null),
            any::<bool>().prop_map(Datum::Boolean),
            any::<i64>().prop_map(Datum::Integer),
            (-1e9..1e9).prop_map(Datum::Float),
            "\\PC{0,9}".prop_map(Datum::Text),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Datum::List),
                proptest::collection::btree_map("[a-z]{0,5}", inner, 0..4).prop_map(Datum::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_comes_back_whole_and_in_no_part(value in datum()) {
            let mut bytes = Vec::new();
            value.put(&mut bytes);
            let mut reader = Reader(&bytes);
            prop_assert_eq!(Datum::take(&mut reader), Ok(value));
            prop_assert!(reader.end().is_ok());
            for end in 0..bytes.len() {
                prop_assert!(Datum::take(&mut Reader(&bytes[..end])).is_err());
            }
        }

        #[test]
        fn noise_is_an_error_or_a_value(bytes in any::<Vec<u8>>()) {
            let _ = Datum::take(&mut Reader(&bytes));
        }
    }

    #[test]
    fn a_record_of_nothing_but_beginnings_is_an_error() {
        let bytes = [&[LIST][..], &1_u64.to_be_bytes()].concat().repeat(10_000);
        assert_eq!(Datum::take(&mut Reader(&bytes)), Err(RecordError::Damaged));
    }

    // ER-22, PO-059: run against RabbitMQ 4.3.6.
    #[test]
    fn values_are_written_as_erlang_terms() {
        let map = Map::from([("a".to_owned(), Datum::Null)]);
        let list = Datum::List(vec![1.into(), Datum::Map(map)]);
        assert_eq!(list.to_string(), "[1,#{<<\"a\">> => null}]");
        let pairs = Map::from([
            ("bar".to_owned(), Datum::Float(1.5)),
            ("baz".to_owned(), true.into()),
            ("foo".to_owned(), "x".into()),
        ]);
        let text = Pairs(&pairs).to_string();
        assert_eq!(text, "[{<<\"bar\">>,1.5},{<<\"baz\">>,true},{<<\"foo\">>,<<\"x\">>}]");
    }
}
