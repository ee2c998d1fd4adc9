//! Tables to raw bytes, and edits of raw bytes.

use super::{RawTable, RawValue, Table, Value};

/// Writes a table's raw bytes, in the order of the calls.
#[derive(Clone, Debug, Default)]
pub struct TableWriter {
    raw: Vec<u8>,
}

impl TableWriter {
    /// Begins an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins an empty table with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { raw: Vec::with_capacity(bytes) }
    }

    /// Adds an entry. A key has at most 255 bytes; what is beyond is cut off.
    pub fn put(&mut self, key: &[u8], value: RawValue<'_>) -> &mut Self {
        write_key(&mut self.raw, key);
        write_raw(&mut self.raw, value);
        self
    }

    /// Adds an entry whose value is decoded.
    pub fn put_value(&mut self, key: &[u8], value: &Value) -> &mut Self {
        write_key(&mut self.raw, key);
        write_value(&mut self.raw, value);
        self
    }

    /// Adds the entries of another table, but those of some keys, byte for byte.
    pub fn copy(&mut self, table: RawTable<'_>, except: &[&[u8]]) -> &mut Self {
        for entry in table.entries().filter(|entry| !except.contains(&entry.key)) {
            self.raw.extend_from_slice(entry.raw);
        }
        self
    }

    /// Gives the table's raw bytes.
    pub fn finish(self) -> Vec<u8> {
        self.raw
    }
}

/// Writes an array's raw bytes, in the order of the calls.
#[derive(Clone, Debug, Default)]
pub struct ArrayWriter {
    raw: Vec<u8>,
}

impl ArrayWriter {
    /// Begins an empty array.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value.
    pub fn push(&mut self, value: RawValue<'_>) -> &mut Self {
        write_raw(&mut self.raw, value);
        self
    }

    /// Gives the array's raw bytes.
    pub fn finish(self) -> Vec<u8> {
        self.raw
    }
}

/// `raw` with `key` in front and nowhere else.
pub fn put_first(raw: &[u8], key: &[u8], value: RawValue<'_>) -> Vec<u8> {
    let mut writer = TableWriter::with_capacity(raw.len() + 64);
    writer.put(key, value).copy(RawTable(raw), &[key]);
    writer.finish()
}

/// `raw` with `key` at the end and nowhere else.
pub fn put_last(raw: &[u8], key: &[u8], value: RawValue<'_>) -> Vec<u8> {
    let mut writer = TableWriter::with_capacity(raw.len() + 64);
    writer.copy(RawTable(raw), &[key]).put(key, value);
    writer.finish()
}

/// `raw` without `key`.
pub fn remove(raw: &[u8], key: &[u8]) -> Vec<u8> {
    let mut writer = TableWriter::with_capacity(raw.len());
    writer.copy(RawTable(raw), &[key]);
    writer.finish()
}

/// The raw bytes of a table that is a map, in the order of its keys.
pub fn encode(table: &Table) -> Vec<u8> {
    let mut writer = TableWriter::new();
    for (key, value) in table {
        writer.put_value(key.as_str().as_bytes(), value);
    }
    writer.finish()
}

fn write_key(out: &mut Vec<u8>, key: &[u8]) {
    debug_assert!(key.len() <= 255);
    let key = key.get(..255).unwrap_or(key);
    out.push(key.len() as u8);
    out.extend_from_slice(key);
}

fn write_raw(out: &mut Vec<u8>, value: RawValue<'_>) {
    match value {
        RawValue::Bool(value) => write_fixed(out, b't', [u8::from(value)]),
        RawValue::I8(value) => write_fixed(out, b'b', value.to_be_bytes()),
        RawValue::U8(value) => write_fixed(out, b'B', [value]),
        RawValue::I16(value) => write_fixed(out, b's', value.to_be_bytes()),
        RawValue::U16(value) => write_fixed(out, b'u', value.to_be_bytes()),
        RawValue::I32(value) => write_fixed(out, b'I', value.to_be_bytes()),
        RawValue::U32(value) => write_fixed(out, b'i', value.to_be_bytes()),
        RawValue::I64(value) => write_fixed(out, b'l', value.to_be_bytes()),
        RawValue::F32(value) => write_fixed(out, b'f', value.to_be_bytes()),
        RawValue::F64(value) => write_fixed(out, b'd', value.to_be_bytes()),
        RawValue::Decimal { scale, value } => {
            write_fixed(out, b'D', [scale]);
            out.extend_from_slice(&value.to_be_bytes());
        }
        RawValue::LongStr(bytes) => write_long(out, b'S', bytes),
        RawValue::Array(array) => write_long(out, b'A', array.0),
        RawValue::Timestamp(value) => write_fixed(out, b'T', value.to_be_bytes()),
        RawValue::Table(table) => write_long(out, b'F', table.0),
        RawValue::Void => out.push(b'V'),
        RawValue::Bytes(bytes) => write_long(out, b'x', bytes),
    }
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    write_raw(
        out,
        match value {
            Value::Boolean(value) => RawValue::Bool(*value),
            Value::ShortShortInt(value) => RawValue::I8(*value),
            Value::ShortShortUInt(value) => RawValue::U8(*value),
            Value::ShortInt(value) => RawValue::I16(*value),
            Value::ShortUInt(value) => RawValue::U16(*value),
            Value::LongInt(value) => RawValue::I32(*value),
            Value::LongUInt(value) => RawValue::U32(*value),
            Value::LongLongInt(value) => RawValue::I64(*value),
            Value::Float(value) => RawValue::F32(*value),
            Value::Double(value) => RawValue::F64(*value),
            Value::DecimalValue(d) => RawValue::Decimal { scale: d.scale, value: d.value },
            // A short string is no type of a table's value.
            Value::ShortString(text) => RawValue::LongStr(text.as_str().as_bytes()),
            Value::LongString(text) => RawValue::LongStr(text.as_bytes()),
            Value::Timestamp(value) => RawValue::Timestamp(*value),
            Value::ByteArray(bytes) => RawValue::Bytes(bytes.as_slice()),
            Value::Void => RawValue::Void,
            Value::FieldArray(array) => {
                let mut raw = Vec::new();
                for value in array.as_slice() {
                    write_value(&mut raw, value);
                }
                return write_long(out, b'A', &raw);
            }
            Value::FieldTable(table) => return write_long(out, b'F', &encode(table)),
        },
    );
}

fn write_fixed<const N: usize>(out: &mut Vec<u8>, tag: u8, octets: [u8; N]) {
    out.push(tag);
    out.extend_from_slice(&octets);
}

fn write_long(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    write_fixed(out, tag, (bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}
