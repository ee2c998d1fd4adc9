//! The payload of a method frame to a method (AMQP 0-9-1 4.2.4).
//!
//! The four methods that come with every message are decoded here and borrow from the payload; the
//! rest is checked by `grammar` and decoded by `amq-protocol`.

use std::str;

pub use amq_protocol::{
    protocol::{
        AMQPClass, AMQPErrorKind, AMQPHardError, AMQPSoftError, access, basic, channel, confirm,
        connection, exchange, queue, tx,
    },
    types::{LongString, ShortString},
};

use super::{frame::erlang_binary, grammar, reader::Reader, table::TableError};
use crate::names::DeliveryTag;

/// A method as it came in.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming<'a> {
    /// `basic.publish`
    Publish(Publish<'a>),
    /// `basic.ack`
    Ack {
        /// The delivery, or the last of them.
        delivery_tag: DeliveryTag,
        /// All up to that tag.
        multiple: bool,
    },
    /// `basic.nack`
    Nack {
        /// The delivery, or the last of them.
        delivery_tag: DeliveryTag,
        /// All up to that tag.
        multiple: bool,
        /// Back to the queue, instead of dead-lettered or dropped.
        requeue: bool,
    },
    /// `basic.reject`
    Reject {
        /// The delivery.
        delivery_tag: DeliveryTag,
        /// Back to the queue, instead of dead-lettered or dropped.
        requeue: bool,
    },
    /// `basic.qos`. Not in `Other`, because `amq-protocol` drops the `prefetch_size` that must be
    /// refused when it is not 0.
    Qos {
        /// Octets to have on the way; RabbitMQ implements only 0, no limit.
        prefetch_size: u32,
        /// Messages to have on the way; 0: no limit.
        prefetch_count: u16,
        /// For the whole channel, as RabbitMQ understands it.
        global: bool,
    },
    /// Every other method; never one of the five above.
    Other(AMQPClass),
}

/// `basic.publish`, borrowed from the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Exchange and routing key as they were sent, each behind its length: exactly what
    /// `basic.deliver`, `basic.get-ok` and `basic.return` end with, and what a message keeps.
    pub address: &'a [u8],
    exchange: &'a [u8],
    routing_key: &'a [u8],
    /// Return the message if it reaches no queue.
    pub mandatory: bool,
    /// Return the message if no consumer can take it at once; RabbitMQ has not implemented it.
    pub immediate: bool,
}

impl<'a> Publish<'a> {
    /// The exchange's name, perhaps empty; any bytes: RabbitMQ does not look at them here.
    pub fn exchange(&self) -> &'a [u8] {
        self.exchange
    }

    /// The routing key, perhaps empty; any bytes.
    pub fn routing_key(&self) -> &'a [u8] {
        self.routing_key
    }
}

/// Why a payload is no method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MethodError {
    /// Shorter than the two numbers that name a method.
    #[error("method frame shorter than 4 octets")]
    TooShort,
    /// No class and method of these numbers.
    #[error("unknown method {class_id}.{method_id}")]
    Unknown {
        /// The class.
        class_id: u16,
        /// The method in its class.
        method_id: u16,
    },
    /// The arguments end too early, or go on behind the last one. Displayed as RabbitMQ explains it
    /// behind `FRAME_ERROR - `, as far as a reply text can hold it.
    #[error("cannot decode {}", erlang_binary(fields))]
    Truncated {
        /// The class.
        class_id: u16,
        /// The method in its class.
        method_id: u16,
        /// The first octets of the arguments: more of them than a reply text of 255 can hold.
        fields: Box<[u8]>,
    },
    /// A short string, or a key in a table of arguments, is not UTF-8. Displayed as RabbitMQ
    /// explains it behind `FRAME_ERROR - `.
    #[error("Malformed UTF-8 in shortstr")]
    MalformedUtf8,
    /// A table of arguments has a value of a type that does not exist.
    #[error("unknown field type {tag}")]
    UnknownFieldType {
        /// The octet for the type.
        tag: u8,
    },
    /// A table of arguments is malformed in another way.
    #[error(transparent)]
    MalformedTable(TableError),
}

impl MethodError {
    /// Octets of the arguments that an error keeps: a reply text of 255 has room for 113 at most.
    const FIELDS_KEPT: usize = 128;

    /// `fields` are not the arguments of that method.
    #[cold]
    pub(super) fn truncated(class_id: u16, method_id: u16, fields: &[u8]) -> Self {
        let fields = fields.get(..Self::FIELDS_KEPT).unwrap_or(fields).into();
        Self::Truncated { class_id, method_id, fields }
    }
}

/// Class and method id of a method.
pub fn ids(class: &AMQPClass) -> (u16, u16) {
    (class.get_amqp_class_id(), class.get_amqp_method_id())
}

/// Class and method id that a method frame's payload begins with, known method or not.
pub fn payload_ids(payload: &[u8]) -> Option<(u16, u16)> {
    let mut rest = Reader(payload);
    Some((rest.short()?, rest.short()?))
}

/// Makes a short string of `text`, which RabbitMQ would cut in the same way if it has more than
/// 255 bytes. `ShortString::from` panics of such a text.
pub fn short_string(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap_or_else(|_| {
        ShortString::try_new(format!("{}...", cut(text, 252))).unwrap_or_default()
    })
}

/// As much of `text` as fits into `max` bytes.
pub(super) fn cut(text: &str, max: usize) -> &str {
    (0..=max).rev().find_map(|end| text.get(..end)).unwrap_or(text)
}

/// Decodes the payload of a method frame.
#[inline]
pub fn decode(payload: &[u8]) -> Result<Incoming<'_>, MethodError> {
    let Some((&[c1, c0, m1, m0], fields)) = payload.split_first_chunk() else {
        return Err(MethodError::TooShort);
    };
    let class_id = u16::from_be_bytes([c1, c0]);
    let method_id = u16::from_be_bytes([m1, m0]);
    let hot = match (class_id, method_id) {
        (60, 40) => return publish(fields),
        (60, 80) => settle(fields)
            .map(|(delivery_tag, bits)| Incoming::Ack { delivery_tag, multiple: bits & 1 != 0 }),
        (60, 90) => settle(fields)
            .map(|(delivery_tag, bits)| Incoming::Reject { delivery_tag, requeue: bits & 1 != 0 }),
        (60, 120) => settle(fields).map(|(delivery_tag, bits)| {
            let (multiple, requeue) = (bits & 1 != 0, bits & 2 != 0);
            Incoming::Nack { delivery_tag, multiple, requeue }
        }),
        (60, 10) => qos(fields),
        _ => return other(class_id, method_id, payload, fields),
    };
    hot.ok_or_else(|| MethodError::truncated(class_id, method_id, fields))
}

/// The arguments of `basic.publish`: a ticket that means nothing any more, exchange, routing key,
/// bits.
///
/// deviation: RabbitMQ takes any bytes for the two names, of this method alone, to save the look at
/// them. Such a routing key reaches a queue only where it does not matter, or through `*` and `#`.
#[inline]
fn publish(fields: &[u8]) -> Result<Incoming<'_>, MethodError> {
    let parts = || {
        let (_ticket, rest) = fields.split_first_chunk::<2>()?;
        let mut rest = Reader(rest);
        let exchange = rest.shortstr()?;
        let routing_key = rest.shortstr()?;
        let &[bits] = rest.0 else { return None };
        let address = fields.get(2..fields.len() - 1)?;
        let (mandatory, immediate) = (bits & 1 != 0, bits & 2 != 0);
        Some(Publish { address, exchange, routing_key, mandatory, immediate })
    };
    let publish = parts().ok_or_else(|| MethodError::truncated(60, 40, fields))?;
    Ok(Incoming::Publish(publish))
}

/// The arguments of ack, nack and reject: a delivery tag and an octet of bits.
#[inline]
fn settle(fields: &[u8]) -> Option<(DeliveryTag, u8)> {
    let (&tag, &[bits]) = fields.split_first_chunk()? else { return None };
    Some((DeliveryTag(u64::from_be_bytes(tag)), bits))
}

/// The arguments of `basic.qos`.
fn qos(fields: &[u8]) -> Option<Incoming<'_>> {
    let mut rest = Reader(fields);
    let (prefetch_size, prefetch_count) = (rest.long()?, rest.short()?);
    let &[bits] = rest.0 else { return None };
    Some(Incoming::Qos { prefetch_size, prefetch_count, global: bits & 1 != 0 })
}

/// Every method that does not come with every message.
#[cold]
fn other<'a>(
    class_id: u16,
    method_id: u16,
    payload: &'a [u8],
    fields: &[u8],
) -> Result<Incoming<'a>, MethodError> {
    grammar::check(class_id, method_id, fields)?;
    match amq_protocol::protocol::parse_class(payload) {
        Ok((_, class)) => Ok(Incoming::Other(class)),
        // All that is left to be wrong: the keys of tables must be UTF-8 for `amq-protocol`.
        Err(_) => Err(MethodError::MalformedUtf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::table::{DEPTH_MAX, Value};

    fn payload(class_id: u16, method_id: u16, fields: &[u8]) -> Vec<u8> {
        let [c1, c0] = class_id.to_be_bytes();
        let [m1, m0] = method_id.to_be_bytes();
        [&[c1, c0, m1, m0], fields].concat()
    }

    /// `queue.declare` of `q` with a raw table of arguments.
    fn declare(arguments: &[u8]) -> Vec<u8> {
        let len = u32::try_from(arguments.len()).unwrap().to_be_bytes();
        payload(50, 10, &[b"\0\0\x01q\0", &len[..], arguments].concat())
    }

    /// A table in a table in a table, so many in all.
    fn nested(levels: usize) -> Vec<u8> {
        (1..levels).fold(Vec::new(), |inner, _| {
            let len = u32::try_from(inner.len()).unwrap().to_be_bytes();
            [b"\x01kF", &len[..], &inner].concat()
        })
    }

    #[test]
    fn publish_borrows_its_address() {
        let payload = payload(60, 40, b"\0\0\x02ex\x03key\x01");
        let Ok(Incoming::Publish(publish)) = decode(&payload) else { panic!() };
        assert_eq!(publish.address, b"\x02ex\x03key");
        assert_eq!((publish.exchange(), publish.routing_key()), (&b"ex"[..], &b"key"[..]));
        assert!(publish.mandatory && !publish.immediate);
    }

    #[test]
    fn publish_with_empty_names_is_legal() {
        let payload = payload(60, 40, b"\0\0\0\0\x02");
        let Ok(Incoming::Publish(publish)) = decode(&payload) else { panic!() };
        assert_eq!(publish.address, b"\0\0");
        assert!(publish.immediate && !publish.mandatory);
    }

    #[test]
    fn publish_may_name_anything_as_for_rabbitmq() {
        for fields in [&b"\0\0\x03\xe2\x82\xac\x02\xc3\xa9\0"[..], b"\0\0\x01e\x02\xc3(\0"] {
            assert!(matches!(decode(&payload(60, 40, fields)), Ok(Incoming::Publish(_))));
        }
    }

    #[test]
    fn settlements_give_tag_and_bits() {
        let fields = [0, 0, 0, 0, 0, 0, 1, 0, 3];
        let delivery_tag = DeliveryTag(256);
        assert_eq!(
            decode(&payload(60, 80, &fields)),
            Ok(Incoming::Ack { delivery_tag, multiple: true })
        );
        assert_eq!(
            decode(&payload(60, 90, &fields)),
            Ok(Incoming::Reject { delivery_tag, requeue: true })
        );
        assert_eq!(
            decode(&payload(60, 120, &fields)),
            Ok(Incoming::Nack { delivery_tag, multiple: true, requeue: true })
        );
    }

    #[test]
    fn qos_keeps_its_prefetch_size() {
        assert_eq!(
            decode(&payload(60, 10, &[0, 0, 0, 5, 1, 0, 1])),
            Ok(Incoming::Qos { prefetch_size: 5, prefetch_count: 256, global: true })
        );
    }

    #[test]
    fn truncated_arguments_are_explained_as_rabbitmq_does() {
        let error = decode(&payload(60, 10, &[0])).unwrap_err();
        assert_eq!(error.to_string(), "cannot decode <<0>>");
        assert!(matches!(error, MethodError::Truncated { class_id: 60, method_id: 10, .. }));
    }

    #[test]
    fn octets_behind_the_last_argument_cannot_be_decoded() {
        for (class_id, method_id, fields) in [
            (20, 10, &b"\0!"[..]),
            (60, 40, b"\0\0\0\0\0!"),
            (60, 80, b"\0\0\0\0\0\0\0\x01\0!"),
            (60, 10, b"\0\0\0\0\0\x01\0!"),
        ] {
            let truncated = MethodError::truncated(class_id, method_id, fields);
            assert_eq!(decode(&payload(class_id, method_id, fields)), Err(truncated));
        }
    }

    #[test]
    fn method_needs_four_octets() {
        assert_eq!(decode(&[0, 60, 0]), Err(MethodError::TooShort));
    }

    #[test]
    fn unknown_methods_are_named() {
        for (class_id, method_id) in [(60, 41), (61, 10), (0, 0), (60, 200)] {
            assert_eq!(
                decode(&payload(class_id, method_id, b"")),
                Err(MethodError::Unknown { class_id, method_id })
            );
        }
    }

    #[test]
    fn queue_name_must_be_utf8() {
        let payload = payload(50, 10, b"\0\0\x03\xff\xfe\xfd\0\0\0\0\0");
        assert_eq!(decode(&payload), Err(MethodError::MalformedUtf8));
    }

    #[test]
    fn argument_keys_must_be_utf8() {
        assert_eq!(decode(&declare(b"\x01\xffV")), Err(MethodError::MalformedUtf8));
    }

    #[test]
    fn truncation_counts_more_than_malformed_utf8() {
        let payload = payload(50, 10, b"\0\0\x03\xff\xfe\xfd\0\0\0\0");
        assert!(matches!(decode(&payload), Err(MethodError::Truncated { .. })));
    }

    #[test]
    fn arguments_of_unknown_types_are_refused() {
        for tag in [b'U', b'Z', b'_', 0] {
            assert_eq!(
                decode(&declare(&[1, b'k', tag, 0, 0])),
                Err(MethodError::UnknownFieldType { tag })
            );
        }
    }

    #[test]
    fn small_s_is_a_number_of_sixteen_bits() {
        let payload = declare(b"\x01ks\xff\xfe");
        let Ok(Incoming::Other(AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))) =
            decode(&payload)
        else {
            panic!()
        };
        assert_eq!(declare.arguments.inner().get("k"), Some(&Value::ShortInt(-2)));
    }

    #[test]
    fn table_that_ends_in_an_entry_is_malformed() {
        assert_eq!(
            decode(&declare(b"\x01kS\0\0\0\x09abc")),
            Err(MethodError::MalformedTable(TableError::Truncated))
        );
    }

    #[test]
    fn deeply_nested_arguments_are_refused_and_do_not_exhaust_the_stack() {
        assert!(matches!(decode(&declare(&nested(DEPTH_MAX))), Ok(Incoming::Other(_))));
        let too_deep = Err(MethodError::MalformedTable(TableError::TooDeep));
        assert_eq!(decode(&declare(&nested(DEPTH_MAX + 1))), too_deep);
        assert_eq!(decode(&declare(&nested(10_000))), too_deep);
    }

    #[test]
    fn too_long_texts_are_cut_as_rabbitmq_does() {
        assert_eq!(short_string(&"a".repeat(255)).as_str().len(), 255);
        let cut = short_string(&"\u{e9}".repeat(128));
        assert_eq!(cut.as_str(), format!("{}...", "\u{e9}".repeat(126)));
    }
}
