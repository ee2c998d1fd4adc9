//! Field tables (AMQP 0-9-1 4.2.5.5), read where they lie.
//!
//! * [`RawTable`] and [`RawArray`] iterate lazily over raw bytes: keys and [`RawValue`]s borrow
//!   from them, nested tables and arrays are walked only if somebody asks.
//! * [`check`] says once, where a table comes in, whether it is well formed. Iterating over one
//!   that is not ends at the first fault; it never panics.
//! * [`TableWriter`] and [`ArrayWriter`] build raw bytes in the order of writing; [`put_first`],
//!   [`put_last`] and [`remove`] edit one key and leave the bytes of all others alone.
//! * [`Table`] is a table as a map, for the arguments of methods: it has no order of its own, one
//!   value for a key, and keys in UTF-8.
//!
//! "Raw" is everywhere the table's body, without the four octets of its length.

mod write;

use super::{method, reader::Reader};

pub use amq_protocol::types::{
    AMQPValue as Value, ByteArray, DecimalValue, FieldArray, FieldTable as Table, LongString,
    ShortString,
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
    pub fn to_value(self) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every type once, as RabbitMQ writes them.
    const ALL_TYPES: &[u8] = b"\x01at\x01\x01bb\xff\x01cB\xff\x01ds\xff\xfe\x01eu\xff\xfe\
        \x01fI\xff\xff\xff\xfe\x01gi\xff\xff\xff\xfe\x01hl\xff\xff\xff\xff\xff\xff\xff\xfe\
        \x01if\x3f\x80\x00\x00\x01jd\x3f\xf0\x00\x00\x00\x00\x00\x00\x01kD\x02\x00\x00\x01\x00\
        \x01lS\x00\x00\x00\x02hi\x01mA\x00\x00\x00\x03Vt\x00\x01nT\x00\x00\x00\x00\x00\x00\x01\x00\
        \x01oF\x00\x00\x00\x03\x01kV\x01pV\x01qx\x00\x00\x00\x01\xff";

    fn all_types() -> Vec<(&'static [u8], RawValue<'static>)> {
        vec![
            (b"a", RawValue::Bool(true)),
            (b"b", RawValue::I8(-1)),
            (b"c", RawValue::U8(255)),
            (b"d", RawValue::I16(-2)),
            (b"e", RawValue::U16(65534)),
            (b"f", RawValue::I32(-2)),
            (b"g", RawValue::U32(0xffff_fffe)),
            (b"h", RawValue::I64(-2)),
            (b"i", RawValue::F32(1.0)),
            (b"j", RawValue::F64(1.0)),
            (b"k", RawValue::Decimal { scale: 2, value: 256 }),
            (b"l", RawValue::LongStr(b"hi")),
            (b"m", RawValue::Array(RawArray(b"Vt\0"))),
            (b"n", RawValue::Timestamp(256)),
            (b"o", RawValue::Table(RawTable(b"\x01kV"))),
            (b"p", RawValue::Void),
            (b"q", RawValue::Bytes(b"\xff")),
        ]
    }

    #[test]
    fn every_type_is_read_and_written_back() {
        assert_eq!(check(ALL_TYPES), Ok(()));
        assert_eq!(RawTable(ALL_TYPES).iter().collect::<Vec<_>>(), all_types());
        let mut writer = TableWriter::new();
        for (key, value) in all_types() {
            writer.put(key, value);
        }
        assert_eq!(writer.finish(), ALL_TYPES);
        assert_eq!(encode(&decode(ALL_TYPES).unwrap()), ALL_TYPES);
    }

    #[test]
    fn names_of_types_are_the_same_raw_and_decoded() {
        let table = decode(ALL_TYPES).unwrap();
        for (key, value) in all_types() {
            let decoded = table.inner().get(str::from_utf8(key).unwrap()).unwrap();
            assert_eq!(type_name(decoded), value.type_name());
        }
    }

    #[test]
    fn large_l_is_signed_too() {
        let raw = b"\x01kL\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(RawTable(raw).get(b"k"), Some(RawValue::I64(-1)));
    }

    #[test]
    fn every_truncation_is_an_error_unless_it_ends_an_entry() {
        let mut ends = vec![0];
        let mut entries = RawTable(ALL_TYPES).entries();
        while let Some(entry) = entries.try_next().unwrap() {
            ends.push(ends.last().unwrap() + entry.raw.len());
        }
        for len in 0..ALL_TYPES.len() {
            assert_eq!(check(&ALL_TYPES[..len]).is_ok(), ends.contains(&len), "{len} bytes");
        }
    }

    #[test]
    fn faults_inside_nested_tables_and_arrays_are_found() {
        assert_eq!(check(b"\x01kF\0\0\0\x03\x01kU"), Err(TableError::UnknownType { tag: b'U' }));
        assert_eq!(check(b"\x01kA\0\0\0\x02Vl"), Err(TableError::Truncated));
    }

    #[test]
    fn keys_may_be_any_bytes_and_come_twice() {
        let raw = b"\x01\xffb\x01\x01\xffb\x02";
        assert_eq!(check(raw), Ok(()));
        assert_eq!(RawTable(raw).get(b"\xff"), Some(RawValue::I8(1)));
        let table = decode(raw).unwrap();
        assert_eq!(table.inner().get("\u{fffd}"), Some(&Value::ShortShortInt(1)));
    }

    #[test]
    fn arrays_nested_too_deep_are_refused() {
        let nested = |levels: usize| {
            let array = (2..levels).fold(Vec::new(), |inner, _| {
                [b"A", &u32::try_from(inner.len()).unwrap().to_be_bytes()[..], &inner].concat()
            });
            put_first(b"", b"k", RawValue::Array(RawArray(&array)))
        };
        assert_eq!(check(&nested(DEPTH_MAX)), Ok(()));
        assert_eq!(check(&nested(DEPTH_MAX + 1)), Err(TableError::TooDeep));
        assert_eq!(decode(&nested(20_000)), Err(TableError::TooDeep));
    }

    #[test]
    fn edits_leave_other_entries_as_they_were() {
        // `L` would become `l` if it were read and written.
        let before = b"\x01aL\0\0\0\0\0\0\0\x01\x01kt\x01\x01zs\0\x01";
        let (a, z) = (&before[..11], &before[15..]);
        let k = &b"\x01kS\0\0\0\x01v"[..];
        let value = RawValue::LongStr(b"v");
        assert_eq!(put_first(before, b"k", value), [k, a, z].concat());
        assert_eq!(put_last(before, b"k", value), [a, z, k].concat());
        assert_eq!(remove(before, b"k"), [a, z].concat());
        assert_eq!(remove(before, b"none"), before);
    }

    #[test]
    fn array_is_written_as_it_is_read() {
        let mut writer = ArrayWriter::new();
        writer.push(RawValue::LongStr(b"one")).push(RawValue::I64(2));
        let raw = writer.finish();
        let values: Vec<_> = RawArray(&raw).iter().collect();
        assert_eq!(values, [RawValue::LongStr(b"one"), RawValue::I64(2)]);
    }

    #[test]
    fn short_strings_are_written_as_long_ones() {
        let mut writer = TableWriter::new();
        writer.put_value(b"k", &Value::ShortString("v".into()));
        assert_eq!(writer.finish(), b"\x01kS\0\0\0\x01v");
    }
}
