//! The shape of every method's arguments, as RabbitMQ 4 matches them.
//!
//! Checked before `amq-protocol` decodes a method, because it recurses into tables as deep as they
//! go, knows a field type more than RabbitMQ does, ignores octets behind the last argument, and
//! cannot say what was wrong.

use super::{
    method::MethodError,
    reader::Reader,
    table::{self, TableError},
};

/// The arguments of a method, one character each: `b` up to eight bits in an octet; `1`, `2`, `4`,
/// `8` a number of so many octets; `s` a short string; `S` a long string; `F` a table.
#[expect(clippy::match_same_arms, reason = "grouped by class")]
fn arguments(class_id: u16, method_id: u16) -> Option<&'static str> {
    Some(match (class_id, method_id) {
        // connection
        (10, 10) => "11FSS",
        (10, 11) => "FsSs",
        (10, 20 | 21) => "S",
        (10, 30 | 31) => "242",
        (10, 40) => "ssb",
        (10, 41 | 60) => "s",
        (10, 50) => "2s22",
        (10, 51 | 61 | 71) => "",
        (10, 70) => "Ss",
        // channel
        (20, 10) => "s",
        (20, 11) => "S",
        (20, 20 | 21) => "b",
        (20, 40) => "2s22",
        (20, 41) => "",
        // access
        (30, 10) => "sb",
        (30, 11) => "2",
        // exchange
        (40, 10) => "2ssbF",
        (40, 11 | 21 | 31 | 51) => "",
        (40, 20) => "2sb",
        (40, 30 | 40) => "2sssbF",
        // queue
        (50, 10) => "2sbF",
        (50, 11) => "s44",
        (50, 20) => "2sssbF",
        (50, 21 | 51) => "",
        (50, 30 | 40) => "2sb",
        (50, 31 | 41) => "4",
        (50, 50) => "2sssF",
        // basic
        (60, 10) => "42b",
        (60, 11 | 111) => "",
        (60, 20) => "2ssbF",
        (60, 21 | 31 | 72) => "s",
        (60, 30) => "sb",
        (60, 40) => "2ssb",
        (60, 50) => "2sss",
        (60, 60) => "s8bss",
        (60, 70) => "2sb",
        (60, 71) => "8bss4",
        (60, 80 | 90 | 120) => "8b",
        (60, 100 | 110) => "b",
        // confirm
        (85, 10) => "b",
        (85, 11) => "",
        // tx
        (90, 10 | 11 | 20 | 21 | 30 | 31) => "",
        _ => return None,
    })
}

/// Checks the arguments of a method against its shape: as RabbitMQ does, first that they are
/// exactly as long as they say, then what is in them, in order.
pub(super) fn check(class_id: u16, method_id: u16, fields: &[u8]) -> Result<(), MethodError> {
    let shape = arguments(class_id, method_id)
        .ok_or(MethodError::Unknown { class_id, method_id })?
        .as_bytes();
    let mut rest = Reader(fields);
    let mut inside = Ok(());
    for kind in shape {
        let found = match kind {
            b'b' | b'1' => rest.take(1),
            b'2' => rest.take(2),
            b'4' => rest.take(4),
            b'8' => rest.take(8),
            b's' => rest.shortstr(),
            _ => rest.longstr(),
        };
        let Some(found) = found else {
            return Err(MethodError::truncated(class_id, method_id, fields));
        };
        inside = inside.and_then(|()| match kind {
            b's' if std::str::from_utf8(found).is_err() => Err(MethodError::MalformedUtf8),
            b'F' => table::check(found).map_err(MethodError::from),
            _ => Ok(()),
        });
    }
    if !rest.is_empty() {
        return Err(MethodError::truncated(class_id, method_id, fields));
    }
    inside
}

impl From<TableError> for MethodError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::UnknownType { tag } => Self::UnknownFieldType { tag },
            error => Self::MalformedTable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::parse_class;

    use super::*;
    use crate::wire::{encode, frame, method};

    /// The method with arguments that are all 0 and empty.
    fn empty(class_id: u16, method_id: u16, shape: &str) -> Vec<u8> {
        let fields: usize = shape
            .bytes()
            .map(|kind| match kind {
                b'2' => 2,
                b'4' | b'S' | b'F' => 4,
                b'8' => 8,
                _ => 1,
            })
            .sum();
        [&class_id.to_be_bytes()[..], &method_id.to_be_bytes(), &vec![0; fields]].concat()
    }

    #[test]
    fn shapes_are_those_of_the_methods_that_amq_protocol_knows() {
        let mut known = 0;
        for (class_id, method_id) in (0..=100).flat_map(|c| (0..=300).map(move |m| (c, m))) {
            let Some(shape) = arguments(class_id, method_id) else {
                let payload = empty(class_id, method_id, "SSSSSSSS");
                assert!(parse_class(&payload[..]).is_err(), "{class_id}.{method_id}");
                continue;
            };
            known += 1;
            let payload = empty(class_id, method_id, shape);
            let (rest, class) = parse_class(&payload[..]).unwrap();
            assert!(rest.is_empty());
            assert_eq!(method::ids(&class), (class_id, method_id));
            assert!(method::decode(&payload).is_ok());
            let mut out = Vec::new();
            encode::method(&mut out, 1, &class);
            assert_eq!(out.len(), payload.len() + frame::FRAME_OVERHEAD);
        }
        assert_eq!(known, 66);
    }
}
