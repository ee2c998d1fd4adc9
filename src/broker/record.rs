//! Durable definitions as bytes: what the store keeps of vhosts, exchanges, queues and bindings.
//!
//! Floor 4. A record's key says what it is about and orders it behind its vhost; its value starts
//! with the version of its form, so that later forms can be told from this one. Damaged bytes are
//! errors, never panics.

use super::{
    arguments::{QueueSpec, QueueType},
    topology::{Binding, Destination, ExchangeSpec, Removed},
    vhost::Metadata,
};
use crate::{
    names::{Name, QueueId},
    store::{RecordKind, StoreOp},
    wire::table::{self, Table},
};

/// The form that is written now.
pub(super) const VERSION: u8 = 1;

const DURABLE: u8 = 1;
const AUTO_DELETE: u8 = 2;
const INTERNAL: u8 = 4;
const HAS_LOG: u8 = 8;

const TO_QUEUE: u8 = 0;
const TO_EXCHANGE: u8 = 1;

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// They end too early, go on too long, or hold what cannot be there.
    #[error("record is damaged")]
    Damaged,
    /// A later version of the broker wrote them.
    #[error("record has form {0}, which this version does not know")]
    Version(u8),
}

/// A definition that outlives the process.
pub trait Record: Sized {
    /// What it describes.
    const KIND: RecordKind;

    /// What tells it from the others of its kind.
    fn key(&self) -> Box<[u8]>;

    /// The rest of it.
    fn value(&self) -> Box<[u8]>;

    /// The record with this key and value.
    ///
    /// # Errors
    /// [`RecordError`].
    fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError>;

    /// The operation that makes it durable.
    fn put(&self) -> StoreOp {
        StoreOp::Put { kind: Self::KIND, key: self.key(), value: self.value() }
    }

    /// The operation that removes it.
    fn remove(&self) -> StoreOp {
        StoreOp::Remove { kind: Self::KIND, key: self.key() }
    }
}

/// A vhost. Its key is its bare name; a vhost of which nothing is said may have no value at all.
#[derive(Clone, Debug, PartialEq)]
pub struct VhostRecord {
    /// Its name.
    pub name: Name,
    /// What is said about it.
    pub metadata: Metadata,
}

/// A durable exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeRecord {
    /// The vhost it is in.
    pub vhost: Name,
    /// Its name.
    pub name: Name,
    /// How it was declared.
    pub spec: ExchangeSpec,
    /// The number under which the store has what it keeps of its messages; the next number is its
    /// own, too.
    pub log: Option<QueueId>,
}

/// A durable queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueRecord {
    /// The vhost it is in.
    pub vhost: Name,
    /// Its name.
    pub name: Name,
    /// The number under which the store has its messages.
    pub id: QueueId,
    /// How it was declared.
    pub spec: QueueSpec,
    /// The user who declared it (QU-023).
    pub declared_by: Name,
}

/// A durable binding: one between durable ends (EX-049).
#[derive(Clone, Debug, PartialEq)]
pub struct BindingRecord {
    /// The vhost it is in.
    pub vhost: Name,
    /// The exchange that it begins at.
    pub source: Name,
    /// Where it leads.
    pub destination: Destination,
    /// The binding key.
    pub key: Box<[u8]>,
    /// The arguments.
    pub arguments: Table,
}

impl Record for VhostRecord {
    const KIND: RecordKind = RecordKind::Vhost;

    fn key(&self) -> Box<[u8]> {
        self.name.as_bytes().into()
    }

    fn value(&self) -> Box<[u8]> {
        let Metadata { description, tags, default_queue_type, is_protected } = &self.metadata;
        let mut out = vec![VERSION, u8::from(*is_protected)];
        put_bytes(&mut out, default_queue_type.map_or("", QueueType::as_str).as_bytes());
        put_bytes(&mut out, description.as_bytes());
        out.extend((tags.len() as u64).to_be_bytes());
        for tag in tags {
            put_bytes(&mut out, tag.as_bytes());
        }
        out.into()
    }

    fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let name = str::from_utf8(key).map_err(|_| RecordError::Damaged)?.into();
        if value.is_empty() {
            return Ok(Self { name, metadata: Metadata::default() });
        }
        let mut value = Reader(value);
        value.version()?;
        let is_protected = value.byte()? != 0;
        let default_queue_type = match value.text()? {
            "" => None,
            word => Some(QueueType::parse(word).ok_or(RecordError::Damaged)?),
        };
        let description = value.text()?.to_owned();
        let count = value.number()?;
        let tags = (0..count).map(|_| Ok(value.text()?.to_owned())).collect::<Result<_, _>>()?;
        value.end()?;
        let metadata = Metadata { description, tags, default_queue_type, is_protected };
        Ok(Self { name, metadata })
    }
}

impl Record for ExchangeRecord {
    const KIND: RecordKind = RecordKind::Exchange;

    fn key(&self) -> Box<[u8]> {
        name_key(&self.vhost, &self.name)
    }

    fn value(&self) -> Box<[u8]> {
        let spec = &self.spec;
        let flags = bit(spec.durable, DURABLE)
            | bit(spec.auto_delete, AUTO_DELETE)
            | bit(spec.internal, INTERNAL)
            | bit(self.log.is_some(), HAS_LOG);
        let mut out = vec![VERSION, flags];
        if let Some(log) = self.log {
            out.extend(log.0.to_be_bytes());
        }
        put_bytes(&mut out, spec.type_name.as_bytes());
        put_bytes(&mut out, &table::encode(&spec.arguments));
        out.into()
    }

    fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let (vhost, name) = decode_name_key(key)?;
        let mut value = Reader(value);
        value.version()?;
        let flags = value.byte()?;
        let log = match flags & HAS_LOG {
            0 => None,
            _ => Some(QueueId(value.number()?)),
        };
        let spec = ExchangeSpec {
            type_name: value.text()?.to_owned(),
            durable: flags & DURABLE != 0,
            auto_delete: flags & AUTO_DELETE != 0,
            internal: flags & INTERNAL != 0,
            arguments: value.table()?,
        };
        Ok(Self { vhost, name, spec, log })
    }
}

impl Record for QueueRecord {
    const KIND: RecordKind = RecordKind::Queue;

    fn key(&self) -> Box<[u8]> {
        name_key(&self.vhost, &self.name)
    }

    fn value(&self) -> Box<[u8]> {
        let spec = &self.spec;
        let flags = bit(spec.durable, DURABLE) | bit(spec.auto_delete, AUTO_DELETE);
        let mut out = vec![VERSION, flags];
        out.extend(self.id.0.to_be_bytes());
        put_bytes(&mut out, self.declared_by.as_bytes());
        put_bytes(&mut out, &table::encode(&spec.arguments));
        out.into()
    }

    fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let (vhost, name) = decode_name_key(key)?;
        let mut value = Reader(value);
        value.version()?;
        let flags = value.byte()?;
        let id = QueueId(value.number()?);
        let declared_by = value.name()?;
        let spec = QueueSpec {
            durable: flags & DURABLE != 0,
            auto_delete: flags & AUTO_DELETE != 0,
            arguments: value.table()?,
        };
        Ok(Self { vhost, name, id, spec, declared_by })
    }
}

impl Record for BindingRecord {
    const KIND: RecordKind = RecordKind::Binding;

    /// All of the binding: its contents are its identity (EX-040).
    fn key(&self) -> Box<[u8]> {
        let mut out = Vec::new();
        put_bytes(&mut out, self.vhost.as_bytes());
        put_bytes(&mut out, self.source.as_bytes());
        let (to, name) = match &self.destination {
            Destination::Queue(name) => (TO_QUEUE, name),
            Destination::Exchange(name) => (TO_EXCHANGE, name),
        };
        out.push(to);
        put_bytes(&mut out, name.as_bytes());
        put_bytes(&mut out, &self.key);
        put_bytes(&mut out, &table::encode(&self.arguments));
        out.into()
    }

    fn value(&self) -> Box<[u8]> {
        Box::new([VERSION])
    }

    fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut value = Reader(value);
        value.version()?;
        value.end()?;
        let mut key = Reader(key);
        let (vhost, source) = (key.name()?, key.name()?);
        let destination = match key.byte()? {
            TO_QUEUE => Destination::Queue(key.name()?),
            TO_EXCHANGE => Destination::Exchange(key.name()?),
            _ => return Err(RecordError::Damaged),
        };
        let binding_key = key.bytes()?.into();
        let arguments = key.table()?;
        Ok(Self { vhost, source, destination, key: binding_key, arguments })
    }
}

impl BindingRecord {
    /// The record of a binding in `vhost`.
    pub fn new(vhost: Name, binding: Binding) -> Self {
        let Binding { source, destination, key, arguments, .. } = binding;
        Self { vhost, source, destination, key, arguments }
    }
}

impl Removed {
    /// The operations that remove what was durable of it.
    pub fn store_ops(&self, vhost: &Name) -> Vec<StoreOp> {
        let bindings = self.bindings.iter().filter(|binding| binding.is_durable);
        let exchanges = self.exchanges.iter().filter(|exchange| exchange.is_durable);
        let bindings =
            bindings.map(|binding| BindingRecord::new(vhost.clone(), binding.clone()).remove());
        let exchanges = exchanges.map(|exchange| StoreOp::Remove {
            kind: RecordKind::Exchange,
            key: name_key(vhost, &exchange.name),
        });
        bindings.chain(exchanges).collect()
    }
}

/// The key of an exchange's or a queue's record.
pub(super) fn name_key(vhost: &str, name: &str) -> Box<[u8]> {
    let mut out = Vec::with_capacity(vhost.len() + name.len() + 2);
    put_bytes(&mut out, vhost.as_bytes());
    put_bytes(&mut out, name.as_bytes());
    out.into()
}

fn decode_name_key(key: &[u8]) -> Result<(Name, Name), RecordError> {
    let mut key = Reader(key);
    let names = (key.name()?, key.name()?);
    key.end()?;
    Ok(names)
}

fn bit(is_set: bool, flag: u8) -> u8 {
    if is_set { flag } else { 0 }
}

/// Appends bytes with their length in front, seven bits to a byte, the lowest first.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(bytes);
}

/// The bytes that are still to be read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(RecordError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, RecordError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn version(&mut self) -> Result<(), RecordError> {
        match self.byte()? {
            VERSION => Ok(()),
            other => Err(RecordError::Version(other)),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, RecordError> {
        let bytes = self.take(8)?.try_into().map_err(|_| RecordError::Damaged)?;
        Ok(u64::from_be_bytes(bytes))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], RecordError> {
        let mut len = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            len |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return self.take(len);
            }
        }
        Err(RecordError::Damaged)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, RecordError> {
        str::from_utf8(self.bytes()?).map_err(|_| RecordError::Damaged)
    }

    pub(super) fn name(&mut self) -> Result<Name, RecordError> {
        Ok(self.text()?.into())
    }

    /// The table that is the last thing of all.
    fn table(&mut self) -> Result<Table, RecordError> {
        let raw = self.bytes()?;
        self.end()?;
        table::decode(raw).map_err(|_| RecordError::Damaged)
    }

    pub(super) fn end(&self) -> Result<(), RecordError> {
        if self.0.is_empty() { Ok(()) } else { Err(RecordError::Damaged) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::table::{LongString, ShortString, Value};

    fn table() -> impl Strategy<Value = Table> {
        let value = prop_oneof![
            any::<i64>().prop_map(Value::LongLongInt),
            any::<u8>().prop_map(Value::ShortShortUInt),
            any::<bool>().prop_map(Value::Boolean),
            any::<Vec<u8>>().prop_map(|bytes| Value::LongString(LongString::from(bytes))),
            Just(Value::Void),
        ];
        proptest::collection::btree_map("[a-z]{0,9}", value, 0..5).prop_map(|entries| {
            let mut table = Table::default();
            for (name, value) in entries {
                table.insert(ShortString::from(name), value);
            }
            table
        })
    }

    fn name() -> impl Strategy<Value = Name> {
        prop_oneof!["\\PC{0,20}", "[a-z]{120,255}"].prop_map(Name::from)
    }

    fn exchange() -> impl Strategy<Value = ExchangeRecord> {
        let flags = any::<(bool, bool, bool, Option<u64>)>();
        (name(), name(), "[a-z-]{1,20}", flags, table()).prop_map(
            |(vhost, name, type_name, (durable, auto_delete, internal, log), arguments)| {
                let spec = ExchangeSpec { type_name, durable, auto_delete, internal, arguments };
                ExchangeRecord { vhost, name, spec, log: log.map(QueueId) }
            },
        )
    }

    fn queue() -> impl Strategy<Value = QueueRecord> {
        (name(), name(), any::<(u64, bool, bool)>(), name(), table()).prop_map(
            |(vhost, name, (id, durable, auto_delete), declared_by, arguments)| {
                let spec = QueueSpec { durable, auto_delete, arguments };
                QueueRecord { vhost, name, id: QueueId(id), spec, declared_by }
            },
        )
    }

    fn binding() -> impl Strategy<Value = BindingRecord> {
        let destination = prop_oneof![
            name().prop_map(Destination::Queue),
            name().prop_map(Destination::Exchange)
        ];
        let key = proptest::collection::vec(any::<u8>(), 0..=255);
        (name(), name(), destination, key, table()).prop_map(
            |(vhost, source, destination, key, arguments)| {
                let key = key.into();
                BindingRecord { vhost, source, destination, key, arguments }
            },
        )
    }

    /// Whether a record comes back whole, and in no part or excess of its bytes.
    pub(in crate::broker) fn check<R: Record + PartialEq + std::fmt::Debug>(record: &R) {
        let (key, value) = (record.key(), record.value());
        assert_eq!(R::decode(&key, &value).as_ref(), Ok(record));
        for end in 0..key.len() {
            assert!(R::decode(&key[..end], &value).is_err());
        }
        for end in 0..value.len() {
            assert!(R::decode(&key, &value[..end]).is_err());
        }
        assert!(R::decode(&[&key[..], b"\0"].concat(), &value).is_err());
        assert!(R::decode(&key, &[&value[..], b"\0"].concat()).is_err());
        let later = [&[VERSION + 1], &value[1..]].concat();
        assert_eq!(R::decode(&key, &later).err(), Some(RecordError::Version(VERSION + 1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn records_come_back_whole(
            exchange in exchange(),
            queue in queue(),
            binding in binding(),
        ) {
            check(&exchange);
            check(&queue);
            check(&binding);
        }

        #[test]
        fn noise_is_an_error_or_a_record(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
            let value = [&[VERSION], &value[..]].concat();
            let _ = ExchangeRecord::decode(&key, &value);
            let _ = QueueRecord::decode(&key, &value);
            let _ = BindingRecord::decode(&key, &value);
        }

        #[test]
        fn bindings_that_differ_have_keys_that_differ(one in binding(), other in binding()) {
            prop_assert_eq!(one.key() == other.key(), one == other);
        }
    }

    #[test]
    fn vhosts_come_back_with_what_is_said_about_them() {
        let said = Metadata {
            description: "for \u{e9}lan".to_owned(),
            tags: vec!["one".to_owned(), String::new()],
            default_queue_type: Some(QueueType::Quorum),
            is_protected: true,
        };
        for metadata in [Metadata::default(), said] {
            let record = VhostRecord { name: "v".into(), metadata };
            let (key, value) = (record.key(), record.value());
            assert_eq!(VhostRecord::decode(&key, &value).as_ref(), Ok(&record));
            for end in 1..value.len() {
                assert!(VhostRecord::decode(&key, &value[..end]).is_err(), "cut at {end}");
            }
            assert!(VhostRecord::decode(b"\xff", &value).is_err());
        }
        // As vhosts were kept at first.
        let bare = VhostRecord::decode(b"/", b"").unwrap();
        assert_eq!(bare, VhostRecord { name: "/".into(), metadata: Metadata::default() });
    }

    #[test]
    fn removed_definitions_are_store_operations() {
        let mut topology = super::super::topology::Topology::new();
        let spec = ExchangeSpec {
            type_name: "fanout".to_owned(),
            durable: true,
            auto_delete: true,
            internal: false,
            arguments: Table::default(),
        };
        topology.declare_exchange("x", spec.clone()).unwrap();
        for (queue, durable) in [("durable", true), ("transient", false)] {
            topology.insert_queue(queue.into(), (), durable);
            let queue = Destination::Queue(queue.into());
            topology.bind("x", &queue, b"k", &Table::default()).unwrap();
        }
        let (vhost, mut ops) = (Name::from("/"), Vec::new());
        for queue in ["durable", "transient"] {
            let ((), removed) = topology.remove_queue(queue).unwrap();
            ops.extend(removed.store_ops(&vhost));
        }
        let removed: Vec<_> = ops
            .into_iter()
            .map(|op| match op {
                StoreOp::Remove { kind, key } => (kind, key),
                other => panic!("{other:?} removes nothing"),
            })
            .collect();
        let binding = BindingRecord {
            vhost: vhost.clone(),
            source: "x".into(),
            destination: Destination::Queue("durable".into()),
            key: (*b"k").into(),
            arguments: Table::default(),
        };
        let exchange = ExchangeRecord { vhost, name: "x".into(), spec, log: None };
        let expected =
            [(RecordKind::Binding, binding.key()), (RecordKind::Exchange, exchange.key())];
        assert_eq!(removed, expected);
    }
}
