//! Field tables (AMQP 0-9-1 4.2.5.5), read where they lie.
//!
//! * [`RawTable`] and [`RawArray`] iterate lazily over raw bytes: keys and [`RawValue`]s borrow from
//!   them, nested tables and arrays are walked only if somebody asks.
//! * [`check`] says once, where a table comes in, whether it is well formed. Iterating over one that
//!   is not ends at the first fault; it never panics.
//! * [`TableWriter`] and [`ArrayWriter`] build raw bytes in the order of writing; [`put_first`],
//!   [`put_last`] and [`remove`] edit one key and leave the bytes of all others alone.
//! * [`Table`] is a table as a map, for the arguments of methods: it has no order of its own, one
//!   value for a key, and keys in UTF-8.
//!
//! "Raw" is everywhere the table's body, without the four octets of its length.

mod write;

use super::{method, reader::Reader};

pub use amq_protocol::types::{
    AMQPValue as Value, ByteArray, DecimalValue, FieldArray, FieldTable as Table,
};
pub use write::{ArrayWriter, TableWriter, encode, put_first, put_last, remove};

/// How deep tables and arrays may be nested in each other; deviation: RabbitMQ has no limit but
/// its memory. Reading such a table takes stack for each level.
pub const DEPTH_MAX: usize = 64;

/// Why a table is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It ends in the middle of an entry.
    #[error("table ends in the middle of an entry")]
    Truncated,
    /// A value of a type that does not exist.
    #[error("unknown field type {tag}")]
    UnknownType {
        /// The octet for the type.
        tag: u8,
    },
    /// Tables and arrays nested deeper than [`DEPTH_MAX`].
    #[error("tables nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// A value in a table, borrowed from its raw bytes. The types are those that RabbitMQ reads and
/// writes, which differ from the specification's (`s` is a number, `L` is signed).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RawValue<'a> {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`, and `L`
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: `value` with `scale` digits behind the point.
    Decimal {
        /// Digits behind the point.
        scale: u8,
        /// All digits.
        value: u32,
    },
    /// `S`: bytes, mostly UTF-8.
    LongStr(&'a [u8]),
    /// `A`
    Array(RawArray<'a>),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `F`
    Table(RawTable<'a>),
    /// `V`: no value.
    Void,
    /// `x`
    Bytes(&'a [u8]),
}

impl<'a> RawValue<'a> {
    /// Takes a type's octet and a value of that type.
    fn read(rest: &mut Reader<'a>) -> Result<Self, TableError> {
        let tag = rest.octet().ok_or(TableError::Truncated)?;
        let value = match tag {
            b't' => rest.octet().map(|octet| Self::Bool(octet != 0)),
            b'b' => rest.array().map(|octets| Self::I8(i8::from_be_bytes(octets))),
            b'B' => rest.octet().map(Self::U8),
            b's' => rest.array().map(|octets| Self::I16(i16::from_be_bytes(octets))),
            b'u' => rest.short().map(Self::U16),
            b'I' => rest.array().map(|octets| Self::I32(i32::from_be_bytes(octets))),
            b'i' => rest.long().map(Self::U32),
            b'l' | b'L' => rest.array().map(|octets| Self::I64(i64::from_be_bytes(octets))),
            b'f' => rest.array().map(|octets| Self::F32(f32::from_be_bytes(octets))),
            b'd' => rest.array().map(|octets| Self::F64(f64::from_be_bytes(octets))),
            b'D' => rest.array().map(|[scale, a, b, c, d]| Self::Decimal {
                scale,
                value: u32::from_be_bytes([a, b, c, d]),
            }),
            b'S' => rest.longstr().map(Self::LongStr),
            b'A' => rest.longstr().map(|raw| Self::Array(RawArray(raw))),
            b'T' => rest.longlong().map(Self::Timestamp),
            b'F' => rest.longstr().map(|raw| Self::Table(RawTable(raw))),
            b'V' => Some(Self::Void),
            b'x' => rest.longstr().map(Self::Bytes),
            tag => return Err(TableError::UnknownType { tag }),
        };
        value.ok_or(TableError::Truncated)
    }

    /// The number, if it is a whole one of any width.
    pub fn as_int(self) -> Option<i64> {
        Some(match self {
            Self::I8(number) => number.into(),
            Self::U8(number) => number.into(),
            Self::I16(number) => number.into(),
            Self::U16(number) => number.into(),
            Self::I32(number) => number.into(),
            Self::U32(number) => number.into(),
            Self::I64(number) => number,
            _ => return None,
        })
    }

    /// The bytes, if it is a long string.
    pub fn as_longstr(self) -> Option<&'a [u8]> {
        if let Self::LongStr(bytes) = self { Some(bytes) } else { None }
    }

    /// The array, if it is one.
    pub fn as_array(self) -> Option<RawArray<'a>> {
        if let Self::Array(array) = self { Some(array) } else { None }
    }

    /// The table, if it is one.
    pub fn as_table(self) -> Option<RawTable<'a>> {
        if let Self::Table(table) = self { Some(table) } else { None }
    }

    /// The name that RabbitMQ has for the type, as it appears in its error texts.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::I8(_) => "byte",
            Self::U8(_) => "unsignedbyte",
            Self::I16(_) => "short",
            Self::U16(_) => "unsignedshort",
            Self::I32(_) => "signedint",
            Self::U32(_) => "unsignedint",
            Self::I64(_) => "long",
            Self::F32(_) => "float",
            Self::F64(_) => "double",
            Self::Decimal { .. } => "decimal",
            Self::LongStr(_) => "longstr",
            Self::Array(_) => "array",
            Self::Timestamp(_) => "timestamp",
            Self::Table(_) => "table",
            Self::Void => "void",
            Self::Bytes(_) => "binary",
        }
    }

    /// Copies the value out; tables of a depth that was checked.
    fn to_value(self) -> Value {
        match self {
            Self::Bool(value) => Value::Boolean(value),
            Self::I8(value) => Value::ShortShortInt(value),
            Self::U8(value) => Value::ShortShortUInt(value),
            Self::I16(value) => Value::ShortInt(value),
            Self::U16(value) => Value::ShortUInt(value),
            Self::I32(value) => Value::LongInt(value),
            Self::U32(value) => Value::LongUInt(value),
            Self::I64(value) => Value::LongLongInt(value),
            Self::F32(value) => Value::Float(value),
            Self::F64(value) => Value::Double(value),
            Self::Decimal { scale, value } => Value::DecimalValue(DecimalValue { scale, value }),
            Self::LongStr(bytes) => Value::LongString(bytes.into()),
            Self::Array(array) => {
                Value::FieldArray(array.iter().map(Self::to_value).collect::<Vec<_>>().into())
            }
            Self::Timestamp(value) => Value::Timestamp(value),
            Self::Table(table) => Value::FieldTable(table.to_table()),
            Self::Void => Value::Void,
            Self::Bytes(bytes) => Value::ByteArray(bytes.into()),
        }
    }
}

/// The name that RabbitMQ has for a value's type, as it appears in its error texts.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Boolean(_) => "bool",
        Value::ShortShortInt(_) => "byte",
        Value::ShortShortUInt(_) => "unsignedbyte",
        Value::ShortInt(_) => "short",
        Value::ShortUInt(_) => "unsignedshort",
        Value::LongInt(_) => "signedint",
        Value::LongUInt(_) => "unsignedint",
        Value::LongLongInt(_) => "long",
        Value::Float(_) => "float",
        Value::Double(_) => "double",
        Value::DecimalValue(_) => "decimal",
        Value::ShortString(_) | Value::LongString(_) => "longstr",
        Value::FieldArray(_) => "array",
        Value::Timestamp(_) => "timestamp",
        Value::FieldTable(_) => "table",
        Value::ByteArray(_) => "binary",
        Value::Void => "void",
    }
}

/// A table in its raw bytes. Nothing is known of them until [`check`] was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RawTable<'a>(pub &'a [u8]);

impl<'a> RawTable<'a> {
    /// Keys and values in order, up to the first fault if there is one.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], RawValue<'a>)> + Clone {
        self.entries().map(|entry| (entry.key, entry.value))
    }

    /// The first value of that key; RabbitMQ takes the first too.
    pub fn get(self, key: &[u8]) -> Option<RawValue<'a>> {
        self.entries().find(|entry| entry.key == key).map(|entry| entry.value)
    }

    fn entries(self) -> Entries<'a> {
        Entries(Reader(self.0))
    }

    /// Copies a checked table out; see [`decode`].
    fn to_table(self) -> Table {
        let mut table = Table::default();
        for (key, value) in self.iter() {
            let key = method::short_string(&String::from_utf8_lossy(key));
            if !table.contains_key(key.as_str()) {
                table.insert(key, value.to_value());
            }
        }
        table
    }
}

/// An entry of a table.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    key: &'a [u8],
    value: RawValue<'a>,
    /// Both in the bytes that they came in.
    raw: &'a [u8],
}

#[derive(Clone, Debug)]
struct Entries<'a>(Reader<'a>);

impl<'a> Entries<'a> {
    fn try_next(&mut self) -> Result<Option<Entry<'a>>, TableError> {
        let before = self.0;
        if before.is_empty() {
            return Ok(None);
        }
        let key = self.0.shortstr().ok_or(TableError::Truncated)?;
        let value = RawValue::read(&mut self.0)?;
        let len = before.0.len() - self.0.0.len();
        let raw = before.0.get(..len).unwrap_or_default();
        Ok(Some(Entry { key, value, raw }))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        self.try_next().ok().flatten()
    }
}

/// An array in its raw bytes. Nothing is known of them until [`check`] was asked for the table that
/// the array is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RawArray<'a>(pub &'a [u8]);

impl<'a> RawArray<'a> {
    /// The values in order, up to the first fault if there is one.
    pub fn iter(self) -> impl Iterator<Item = RawValue<'a>> + Clone {
        let mut rest = Reader(self.0);
        std::iter::from_fn(move || RawValue::read(&mut rest).ok())
    }
}

/// Whether `raw` is a table through and through: every entry whole, every type known, nothing
/// nested deeper than [`DEPTH_MAX`]. Keys and strings may be any bytes, as for RabbitMQ.
pub fn check(raw: &[u8]) -> Result<(), TableError> {
    check_table(RawTable(raw), DEPTH_MAX)
}

fn check_table(table: RawTable<'_>, levels: usize) -> Result<(), TableError> {
    let mut entries = table.entries();
    while let Some(entry) = entries.try_next()? {
        check_nested(entry.value, levels)?;
    }
    Ok(())
}

fn check_nested(value: RawValue<'_>, levels: usize) -> Result<(), TableError> {
    match value {
        RawValue::Table(_) | RawValue::Array(_) if levels <= 1 => Err(TableError::TooDeep),
        RawValue::Table(table) => check_table(table, levels - 1),
        RawValue::Array(array) => {
            let mut rest = Reader(array.0);
            while !rest.is_empty() {
                check_nested(RawValue::read(&mut rest)?, levels - 1)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Copies a table out as a map. Of a key that comes twice the first value stays; keys that are not
/// UTF-8 lose what is not.
pub fn decode(raw: &[u8]) -> Result<Table, TableError> {
    check(raw)?;
    Ok(RawTable(raw).to_table())
}
