//! Properties that hold for the floor as a whole: what is encoded is decoded to the same,
//! `amq-protocol` agrees where it is right, and no bytes make anything panic.

use proptest::{collection::vec, option, prelude::*};

use super::{
    content, encode,
    frame::{self, FrameKind},
    method::{
        self, AMQPClass, Incoming, MethodError, ShortString, basic, connection, exchange, queue,
    },
    properties::{Properties, Property, Scan},
    table::{self, DecimalValue, RawTable, RawValue, Table, Value},
};
use crate::names::{DeliveryTag, PublishSeq};

fn text() -> impl Strategy<Value = ShortString> {
    "\\PC{0,12}".prop_map(|text| text.as_str().into())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<i8>().prop_map(Value::ShortShortInt),
        any::<u8>().prop_map(Value::ShortShortUInt),
        any::<i16>().prop_map(Value::ShortInt),
        any::<u16>().prop_map(Value::ShortUInt),
        any::<i32>().prop_map(Value::LongInt),
        any::<u32>().prop_map(Value::LongUInt),
        any::<i64>().prop_map(Value::LongLongInt),
        any::<f32>().prop_map(Value::Float),
        any::<f64>().prop_map(Value::Double),
        (any::<u8>(), any::<u32>())
            .prop_map(|(scale, value)| Value::DecimalValue(DecimalValue { scale, value })),
        vec(any::<u8>(), 0..20).prop_map(|bytes| Value::LongString(bytes.into())),
        any::<u64>().prop_map(Value::Timestamp),
        vec(any::<u8>(), 0..20).prop_map(|bytes| Value::ByteArray(bytes.into())),
        Just(Value::Void),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(|values| Value::FieldArray(values.into())),
            vec((text(), inner), 0..6).prop_map(|entries| Value::FieldTable(table_of(entries))),
        ]
    })
}

fn table() -> impl Strategy<Value = Table> {
    vec((text(), value()), 0..8).prop_map(table_of)
}

fn table_of(entries: Vec<(ShortString, Value)>) -> Table {
    let mut table = Table::default();
    for (key, value) in entries {
        table.insert(key, value);
    }
    table
}

/// Methods of every kind of argument, among them those that are decoded by hand.
fn any_method() -> impl Strategy<Value = AMQPClass> {
    prop_oneof![
        (text(), text(), any::<[bool; 2]>()).prop_map(|(exchange, routing_key, bits)| {
            let [mandatory, immediate] = bits;
            let publish = basic::Publish { exchange, routing_key, mandatory, immediate };
            AMQPClass::Basic(basic::AMQPMethod::Publish(publish))
        }),
        (any::<u64>(), any::<bool>()).prop_map(|(delivery_tag, multiple)| {
            AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple }))
        }),
        (any::<u64>(), any::<[bool; 2]>()).prop_map(|(delivery_tag, [multiple, requeue])| {
            let nack = basic::Nack { delivery_tag, multiple, requeue };
            AMQPClass::Basic(basic::AMQPMethod::Nack(nack))
        }),
        (any::<u64>(), any::<bool>()).prop_map(|(delivery_tag, requeue)| {
            AMQPClass::Basic(basic::AMQPMethod::Reject(basic::Reject { delivery_tag, requeue }))
        }),
        (any::<u16>(), any::<bool>()).prop_map(|(prefetch_count, global)| {
            AMQPClass::Basic(basic::AMQPMethod::Qos(basic::Qos { prefetch_count, global }))
        }),
        (text(), text(), any::<[bool; 4]>(), table()).prop_map(
            |(queue, consumer_tag, [no_local, no_ack, exclusive, nowait], arguments)| {
                AMQPClass::Basic(basic::AMQPMethod::Consume(basic::Consume {
                    queue,
                    consumer_tag,
                    no_local,
                    no_ack,
                    exclusive,
                    nowait,
                    arguments,
                }))
            }
        ),
        (text(), any::<[bool; 5]>(), table()).prop_map(
            |(queue, [passive, durable, exclusive, auto_delete, nowait], arguments)| {
                AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
                    queue,
                    passive,
                    durable,
                    exclusive,
                    auto_delete,
                    nowait,
                    arguments,
                }))
            }
        ),
        (text(), text(), text(), any::<bool>(), table()).prop_map(
            |(destination, source, routing_key, nowait, arguments)| {
                AMQPClass::Exchange(exchange::AMQPMethod::Bind(exchange::Bind {
                    destination,
                    source,
                    routing_key,
                    nowait,
                    arguments,
                }))
            }
        ),
        (table(), text(), vec(any::<u8>(), 0..20), text()).prop_map(
            |(client_properties, mechanism, response, locale)| {
                AMQPClass::Connection(connection::AMQPMethod::StartOk(connection::StartOk {
                    client_properties,
                    mechanism,
                    response: response.into(),
                    locale,
                }))
            }
        ),
        (any::<u16>(), text(), any::<u16>(), any::<u16>()).prop_map(
            |(reply_code, reply_text, class_id, method_id)| {
                AMQPClass::Connection(connection::AMQPMethod::Close(connection::Close {
                    reply_code,
                    reply_text,
                    class_id,
                    method_id,
                }))
            }
        ),
    ]
}

/// The payload of the only frame in `out`.
fn payload(out: &[u8]) -> &[u8] {
    let frame = frame::parse(out, 0).unwrap().unwrap();
    assert_eq!(frame.len, out.len());
    &out[frame.payload]
}

/// What was decoded by hand, as `amq-protocol` has it.
fn as_class(incoming: Incoming<'_>) -> AMQPClass {
    let name = |bytes| ShortString::from(&*String::from_utf8_lossy(bytes));
    AMQPClass::Basic(match incoming {
        Incoming::Publish(publish) => basic::AMQPMethod::Publish(basic::Publish {
            exchange: name(publish.exchange()),
            routing_key: name(publish.routing_key()),
            mandatory: publish.mandatory,
            immediate: publish.immediate,
        }),
        Incoming::Ack { delivery_tag: DeliveryTag(delivery_tag), multiple } => {
            basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple })
        }
        Incoming::Nack { delivery_tag: DeliveryTag(delivery_tag), multiple, requeue } => {
            basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue })
        }
        Incoming::Reject { delivery_tag: DeliveryTag(delivery_tag), requeue } => {
            basic::AMQPMethod::Reject(basic::Reject { delivery_tag, requeue })
        }
        Incoming::Qos { prefetch_size, prefetch_count, global } => {
            assert_eq!(prefetch_size, 0);
            basic::AMQPMethod::Qos(basic::Qos { prefetch_count, global })
        }
        Incoming::Other(class) => return class,
    })
}

/// Reads everything that can be read of some bytes, whatever they are.
fn read_all(bytes: &[u8]) {
    for frame_max in [0, 16, 4096] {
        let _ = frame::parse(bytes, frame_max).map_err(|error| error.to_string());
    }
    let _ = frame::protocol_header(bytes);
    let _ = method::decode(bytes).map_err(|error| error.to_string());
    let _ = method::payload_ids(bytes);
    if let Ok(header) = content::header(bytes) {
        let _ = Properties::scan(header.properties);
    }
    let scanned = Properties::scan(bytes).is_ok();
    assert_eq!(scanned, Properties::parse(bytes).is_ok());
    let properties = Properties::of_message(bytes);
    let edited = properties.with_reply_to(b"queue");
    assert!(Properties::of_message(&edited).has(Property::ReplyTo));
    assert!(!scanned || properties.with(&[]) == bytes);
    let checked = table::check(bytes).is_ok();
    assert_eq!(checked, table::decode(bytes).is_ok());
    let copied = table::remove(bytes, b"no such key");
    assert!(if checked { copied == bytes } else { bytes.starts_with(&copied) });
    let _ = RawTable(bytes).get(b"key").and_then(RawValue::as_int);
}

/// A property and a value that it can have.
fn change() -> impl Strategy<Value = (Property, Vec<u8>)> {
    prop_oneof![
        (
            prop_oneof![
                Just(Property::ContentType),
                Just(Property::ContentEncoding),
                Just(Property::CorrelationId),
                Just(Property::ReplyTo),
                Just(Property::Expiration),
                Just(Property::MessageId),
                Just(Property::Type),
                Just(Property::UserId),
                Just(Property::AppId),
                Just(Property::ClusterId),
            ],
            vec(any::<u8>(), 0..=255)
        ),
        table().prop_map(|table| (Property::Headers, table::encode(&table))),
        any::<u8>().prop_map(|octet| (Property::DeliveryMode, vec![octet])),
        any::<u8>().prop_map(|octet| (Property::Priority, vec![octet])),
        any::<u64>().prop_map(|number| (Property::Timestamp, number.to_be_bytes().to_vec())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn methods_are_decoded_to_what_was_encoded(class in any_method(), channel: u16) {
        let mut out = Vec::new();
        encode::method(&mut out, channel, &class);
        prop_assert_eq!(method::payload_ids(payload(&out)), Some(method::ids(&class)));
        let decoded = method::decode(payload(&out)).map(as_class);
        prop_assert_eq!(decoded, Ok(class));
    }

    #[test]
    fn every_truncation_of_a_method_is_an_error(class in any_method()) {
        let mut out = Vec::new();
        encode::method(&mut out, 1, &class);
        let payload = payload(&out);
        for len in 0..payload.len() {
            let error = method::decode(&payload[..len]).unwrap_err();
            prop_assert!(
                matches!(error, MethodError::TooShort | MethodError::Truncated { .. }),
                "{:?} of {} octets", error, len
            );
        }
    }

    #[test]
    fn damaged_methods_do_not_panic(
        class in any_method(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut out = Vec::new();
        encode::method(&mut out, 1, &class);
        let mut payload = payload(&out).to_vec();
        for (place, octet) in damage {
            *place.get_mut(&mut payload) = octet;
        }
        if let Ok(incoming) = method::decode(&payload) {
            let ids = method::ids(&as_class_of_damaged(incoming));
            prop_assert_eq!(Some(ids), method::payload_ids(&payload));
        }
    }

    #[test]
    fn no_bytes_make_anything_panic(bytes in vec(any::<u8>(), 0..300)) {
        read_all(&bytes);
    }

    #[test]
    fn damaged_tables_and_properties_do_not_panic(
        changes in vec(change(), 0..8),
        place: prop::sample::Index,
        octet: u8,
    ) {
        let changes: Vec<_> = changes.iter().map(|(p, v)| (*p, Some(v.as_slice()))).collect();
        let mut raw = Properties::EMPTY.with(&changes);
        *place.get_mut(&mut raw) = octet;
        read_all(&raw);
        read_all(Properties::of_message(&raw).headers().unwrap_or_default());
    }

    #[test]
    fn tables_are_decoded_to_what_was_encoded(table in table()) {
        let raw = table::encode(&table);
        prop_assert_eq!(table::check(&raw), Ok(()));
        prop_assert_eq!(table::decode(&raw), Ok(table));
    }

    #[test]
    fn edits_of_tables_change_one_key(table in table(), key in text(), number: i64) {
        let raw = table::encode(&table);
        let key = key.as_str().as_bytes();
        let value = RawValue::I64(number);
        let others: Vec<_> = RawTable(&raw).iter().filter(|entry| entry.0 != key).collect();
        let edited = table::remove(&raw, key);
        prop_assert!(RawTable(&edited).iter().eq(others.iter().copied()));
        let edited = table::put_first(&raw, key, value);
        prop_assert!(RawTable(&edited).iter().eq([(key, value)].into_iter().chain(others.clone())));
        let edited = table::put_last(&raw, key, value);
        prop_assert!(RawTable(&edited).iter().eq(others.into_iter().chain([(key, value)])));
    }

    #[test]
    fn properties_give_back_what_was_put(changes in vec(change(), 0..14)) {
        let put: Vec<_> = changes.iter().map(|(p, v)| (*p, Some(v.as_slice()))).collect();
        let raw = Properties::EMPTY.with(&put);
        let properties = Properties::parse(&raw).unwrap();
        for property in Property::ALL {
            let last = put.iter().rev().find(|change| change.0 == property);
            prop_assert_eq!(properties.get(property), last.and_then(|change| change.1));
        }
        prop_assert_eq!(properties.with(&[]), raw.clone());
        prop_assert_eq!(Properties::scan(&raw), Ok(Scan {
            delivery_mode: properties.delivery_mode().unwrap_or(0),
            priority: properties.priority().unwrap_or(0),
            expiration: properties.expiration(),
            user_id: properties.user_id(),
            reply_to: properties.reply_to(),
            headers: properties.headers(),
        }));
    }

    #[test]
    fn edits_of_properties_keep_the_others(
        changes in vec(change(), 0..14),
        (property, value) in change(),
        put: bool,
    ) {
        let changes: Vec<_> = changes.iter().map(|(p, v)| (*p, Some(v.as_slice()))).collect();
        let raw = Properties::EMPTY.with(&changes);
        let before = Properties::parse(&raw).unwrap();
        let value = put.then_some(value.as_slice());
        let edited = before.with(&[(property, value)]);
        let after = Properties::parse(&edited).unwrap();
        for other in Property::ALL {
            let expected = if other == property { value } else { before.get(other) };
            prop_assert_eq!(after.get(other), expected);
        }
        let restored = after.with(&[(property, before.get(property))]);
        prop_assert_eq!(restored, raw);
    }

    #[test]
    fn properties_of_clients_are_read_as_they_were_meant(
        headers in option::of(table()),
        content_type in option::of(text()),
        delivery_mode in option::of(any::<u8>()),
        timestamp in option::of(any::<u64>()),
        expiration in option::of(text()),
        cluster_id in option::of(text()),
    ) {
        let mut meant = basic::AMQPProperties::default();
        if let Some(headers) = headers.clone() { meant = meant.with_headers(headers); }
        if let Some(text) = content_type.clone() { meant = meant.with_content_type(text); }
        if let Some(octet) = delivery_mode { meant = meant.with_delivery_mode(octet); }
        if let Some(seconds) = timestamp { meant = meant.with_timestamp(seconds); }
        if let Some(text) = expiration.clone() { meant = meant.with_expiration(text); }
        if let Some(text) = cluster_id.clone() { meant = meant.with_cluster_id(text); }
        let written = basic::gen_properties(&meant)(Vec::new().into()).unwrap();
        let raw: Vec<u8> = written.into_inner().0;
        let properties = Properties::parse(&raw).unwrap();
        let bytes = |text: &Option<ShortString>| {
            text.as_ref().map(|text| text.as_str().as_bytes().to_vec())
        };
        prop_assert_eq!(properties.headers().map(|raw| table::decode(raw).unwrap()), headers);
        prop_assert_eq!(properties.content_type().map(<[u8]>::to_vec), bytes(&content_type));
        prop_assert_eq!(properties.delivery_mode(), delivery_mode);
        prop_assert_eq!(properties.timestamp(), timestamp);
        prop_assert_eq!(properties.expiration().map(<[u8]>::to_vec), bytes(&expiration));
        prop_assert_eq!(properties.cluster_id().map(<[u8]>::to_vec), bytes(&cluster_id));
    }

    #[test]
    fn methods_encoded_by_hand_are_what_amq_protocol_writes(
        channel: u16,
        (exchange, routing_key, consumer_tag) in (text(), text(), text()),
        delivery_tag: u64,
        (redelivered, multiple, requeue) in any::<(bool, bool, bool)>(),
        message_count: u32,
        reply_code: u16,
    ) {
        let mut address = Vec::new();
        for name in [&exchange, &routing_key] {
            address.push(u8::try_from(name.as_str().len()).unwrap());
            address.extend_from_slice(name.as_str().as_bytes());
        }
        let reply_text = consumer_tag.clone();
        let (mut by_hand, mut expected) = (Vec::new(), Vec::new());
        let tag = consumer_tag.as_str().as_bytes();
        let delivery = DeliveryTag(delivery_tag);
        let out = &mut by_hand;
        encode::deliver(out, channel, tag, delivery, redelivered, &address);
        encode::get_ok(out, channel, delivery, redelivered, &address, message_count);
        encode::basic_return(out, channel, reply_code, consumer_tag.as_str(), &address);
        encode::ack(out, channel, PublishSeq(delivery_tag), multiple);
        encode::nack(out, channel, PublishSeq(delivery_tag), multiple, requeue);
        for method in [
            basic::AMQPMethod::Deliver(basic::Deliver {
                consumer_tag,
                delivery_tag,
                redelivered,
                exchange: exchange.clone(),
                routing_key: routing_key.clone(),
            }),
            basic::AMQPMethod::GetOk(basic::GetOk {
                delivery_tag,
                redelivered,
                exchange: exchange.clone(),
                routing_key: routing_key.clone(),
                message_count,
            }),
            basic::AMQPMethod::Return(basic::Return {
                reply_code,
                reply_text,
                exchange,
                routing_key,
            }),
            basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple }),
            basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue }),
        ] {
            encode::method(&mut expected, channel, &AMQPClass::Basic(method));
        }
        prop_assert_eq!(by_hand, expected);
    }

    #[test]
    fn content_is_parsed_to_what_was_encoded(
        channel: u16,
        changes in vec(change(), 0..4),
        body in vec(any::<u8>(), 0..200),
        frame_max in prop_oneof![Just(0), 9_u32..64],
        cuts in vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let changes: Vec<_> = changes.iter().map(|(p, v)| (*p, Some(v.as_slice()))).collect();
        let properties = Properties::EMPTY.with(&changes);
        let mut whole = Vec::new();
        encode::content(&mut whole, channel, &properties, &body, frame_max);

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(body.len());
        let starts = [0].into_iter().chain(cuts.clone());
        let pieces = starts.zip(cuts).map(|(start, end)| &body[start..end]);
        let mut pieced = Vec::new();
        encode::content_header(&mut pieced, channel, body.len() as u64, &properties);
        encode::body_frames(&mut pieced, channel, pieces, frame_max);
        prop_assert_eq!(&pieced, &whole);

        let first = frame::parse(&whole, 0).unwrap().unwrap();
        prop_assert_eq!((first.kind, first.channel), (FrameKind::Header, channel));
        let header = content::header(&whole[first.payload]).unwrap();
        prop_assert_eq!((header.class_id, header.weight), (60, 0));
        let expected = (body.len() as u64, &properties[..]);
        prop_assert_eq!((header.body_size, header.properties), expected);
        let mut rest = &whole[first.len..];
        let mut received = Vec::new();
        while !rest.is_empty() {
            let frame = frame::parse(rest, frame_max).unwrap().unwrap();
            prop_assert_eq!((frame.kind, frame.channel), (FrameKind::Body, channel));
            let full = frame.payload.len() == encode::payload_max(frame_max);
            prop_assert!(full || (frame.len == rest.len() && !frame.payload.is_empty()));
            received.extend_from_slice(&rest[frame.payload]);
            rest = &rest[frame.len..];
        }
        prop_assert_eq!(received, body);
    }
}

/// Like [`as_class`], of a method whose `prefetch_size` may be anything.
fn as_class_of_damaged(incoming: Incoming<'_>) -> AMQPClass {
    match incoming {
        Incoming::Qos { prefetch_count, global, .. } => {
            as_class(Incoming::Qos { prefetch_size: 0, prefetch_count, global })
        }
        other => as_class(other),
    }
}

#[test]
fn heartbeat_is_a_frame_without_payload() {
    let mut out = Vec::new();
    encode::heartbeat(&mut out);
    let frame = frame::parse(&out, 8).unwrap().unwrap();
    assert_eq!((frame.kind, frame.channel, frame.len), (FrameKind::Heartbeat, 0, 8));
}

#[test]
fn body_written_by_the_caller_is_a_frame_too() {
    let mut out = Vec::new();
    encode::body_frame_header(&mut out, 5, 4);
    out.extend_from_slice(b"body");
    out.push(frame::FRAME_END);
    let frame = frame::parse(&out, 12).unwrap().unwrap();
    assert_eq!(
        (frame.kind, frame.channel, &out[frame.payload]),
        (FrameKind::Body, 5, &b"body"[..])
    );
}

#[test]
fn reply_text_of_a_return_is_cut_to_what_a_short_string_holds() {
    let mut out = Vec::new();
    encode::basic_return(&mut out, 1, 312, &"\u{e9}".repeat(200), b"\0\0");
    let Ok(Incoming::Other(AMQPClass::Basic(basic::AMQPMethod::Return(returned)))) =
        method::decode(payload(&out))
    else {
        panic!()
    };
    assert_eq!(returned.reply_text.as_str(), "\u{e9}".repeat(127));
}
