//! Field tables.

pub use amq_protocol::types::{
    AMQPValue as Value, FieldArray as Array, FieldTable as Table, LongString, ShortString,
};
use amq_protocol::types::{generation::gen_field_table, parsing::parse_field_table};

/// A table in wire form, with its length in front. Equal tables have equal bytes.
pub fn encode(table: &Table) -> Vec<u8> {
    let context = gen_field_table(table)(Vec::new().into());
    context.map(|context| context.write).unwrap_or_default()
}

/// The table that `bytes` are, unless they are none or there are bytes behind it.
pub fn decode(bytes: &[u8]) -> Option<Table> {
    match parse_field_table(bytes) {
        Ok((b"", table)) => Some(table),
        _ => None,
    }
}
