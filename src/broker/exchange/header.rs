//! A message's headers, as routing sees them: without the widths of integers.

use std::borrow::Cow;

use crate::wire::table::{RawTable, RawValue, Table, Value};

/// A message's headers. `wire`'s raw header table is one, and so is a decoded [`Table`].
pub trait Headers {
    /// Calls `visit` with each header's name and value. If a name comes twice, the later counts.
    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a [u8], HeaderValue<'a>));
}

/// The value of a header. Equal values match (EX-069): all integers are one kind, both floats are
/// one kind, and kinds don't mix.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderValue<'a> {
    /// No value.
    Void,
    /// A boolean.
    Bool(bool),
    /// An integer of any width.
    Int(i64),
    /// The bits of a float of either width, as a double.
    Float(u64),
    /// Seconds since the epoch.
    Timestamp(u64),
    /// A string or a byte array.
    Bytes(&'a [u8]),
    /// An array, a table or a decimal. These are equal if they are built alike (EX-072).
    Compound(Cow<'a, Value>),
}

impl HeaderValue<'_> {
    /// A float of either width.
    pub fn float(value: f64) -> Self {
        Self::Float(value.to_bits())
    }
}

impl<'a> From<&'a Value> for HeaderValue<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Void => Self::Void,
            Value::Boolean(v) => Self::Bool(*v),
            Value::ShortShortInt(v) => Self::Int((*v).into()),
            Value::ShortShortUInt(v) => Self::Int((*v).into()),
            Value::ShortInt(v) => Self::Int((*v).into()),
            Value::ShortUInt(v) => Self::Int((*v).into()),
            Value::LongInt(v) => Self::Int((*v).into()),
            Value::LongUInt(v) => Self::Int((*v).into()),
            Value::LongLongInt(v) => Self::Int(*v),
            Value::Float(v) => Self::float((*v).into()),
            Value::Double(v) => Self::float(*v),
            Value::Timestamp(v) => Self::Timestamp(*v),
            Value::LongString(v) => Self::Bytes(v.as_bytes()),
            Value::ShortString(v) => Self::Bytes(v.as_str().as_bytes()),
            Value::ByteArray(v) => Self::Bytes(v.as_slice()),
            Value::FieldArray(_) | Value::FieldTable(_) | Value::DecimalValue(_) => {
                Self::Compound(Cow::Borrowed(value))
            }
        }
    }
}

impl<'a> From<RawValue<'a>> for HeaderValue<'a> {
    fn from(value: RawValue<'a>) -> Self {
        match value {
            RawValue::Void => Self::Void,
            RawValue::Bool(v) => Self::Bool(v),
            RawValue::F32(v) => Self::float(v.into()),
            RawValue::F64(v) => Self::float(v),
            RawValue::Timestamp(v) => Self::Timestamp(v),
            RawValue::LongStr(v) | RawValue::Bytes(v) => Self::Bytes(v),
            RawValue::Array(_) | RawValue::Table(_) | RawValue::Decimal { .. } => {
                Self::Compound(Cow::Owned(value.to_value()))
            }
            integer => integer.as_int().map_or(Self::Void, Self::Int),
        }
    }
}

impl Headers for RawTable<'_> {
    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a [u8], HeaderValue<'a>)) {
        for (name, value) in self.iter() {
            visit(name, value.into());
        }
    }
}

impl Headers for Table {
    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a [u8], HeaderValue<'a>)) {
        for (name, value) in self {
            visit(name.as_str().as_bytes(), value.into());
        }
    }
}
