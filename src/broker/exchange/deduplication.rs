//! `x-message-deduplication`: a fanout that lets each value of a header pass once, as long as it
//! remembers it.
//!
//! - `x-deduplication-header` in a message is the value. Messages without it always pass.
//! - `x-cache-size` is how many values are remembered; then the oldest is forgotten.
//! - `x-cache-ttl` is for how many milliseconds; the header of that name goes before the argument.
//! - `x-cache-persistence`: with `disk` the values outlive a restart.
//!
//! A duplicate matches nothing, so that it goes to the alternate exchange or is returned if it is
//! mandatory. It is confirmed no earlier than the first of its kind.
//!
//! deviation: the plugin's default is `memory`; here it is `disk` on a durable exchange.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};

use super::{BindingRef, ExchangeType, Fittings, HeaderValue, Matches, Tap, TargetSet, View};
use crate::{
    broker::{
        Error,
        arguments::{integer, text},
        error::ExchangeFault,
        log::Backing,
    },
    clock::UnixTime,
    message::{Message, Traits},
    names::{CommitSeq, Position, QueueId},
    store::{Standing, Store, StoreOp},
    wire::{
        properties::Properties,
        table::{RawTable, Table},
    },
};

const HEADER: &[u8] = b"x-deduplication-header";
const SIZE: &str = "x-cache-size";
const TTL: &str = "x-cache-ttl";
const PERSISTENCE: &str = "x-cache-persistence";

/// A value of the header, cut down to so many bits that no two are alike: memory is bounded by
/// the number of values, whatever their lengths.
pub type Key = [u8; 16];

/// A deduplicating exchange.
#[derive(Debug)]
pub(super) struct Deduplication {
    targets: TargetSet,
    /// How long values are remembered, in milliseconds.
    ttl: Option<u64>,
    /// Whether values outlive a restart if the exchange does.
    is_on_disk: bool,
    /// Locked while messages are routed, with the topology's lock held; the store's inbox is
    /// reached under it.
    cache: Mutex<Cache>,
    log: Option<Log>,
}

/// Where values are on disk.
#[derive(Debug)]
struct Log {
    store: Store,
    queue: QueueId,
}

impl Deduplication {
    pub(super) fn new(arguments: &Table) -> Result<Self, Error> {
        let size = number(arguments, SIZE, ExchangeFault::CacheSize)?;
        let size = size.ok_or(ExchangeFault::CacheSize)?;
        let ttl = number(arguments, TTL, ExchangeFault::CacheTtl)?;
        let is_on_disk = match text(arguments, PERSISTENCE) {
            Some("disk") => true,
            Some("memory") => false,
            None if !arguments.contains_key(PERSISTENCE) => true,
            _ => return Err(ExchangeFault::CachePersistence.into()),
        };
        Ok(Self {
            targets: TargetSet::default(),
            ttl,
            is_on_disk,
            cache: Mutex::new(Cache::new(usize::try_from(size).unwrap_or(usize::MAX))),
            log: None,
        })
    }

    /// Whether a value is new; it is remembered then. With it, what must be durable before a
    /// message that has it may be confirmed.
    fn admit(&self, key: Key, message: &View<'_>) -> (bool, CommitSeq) {
        let of_message = message.header(TTL.as_bytes()).and_then(|ttl| match ttl {
            HeaderValue::Int(ttl) => u64::try_from(ttl).ok().filter(|ttl| *ttl > 0),
            _ => None,
        });
        let ttl = of_message.or(self.ttl);
        let expires_at = ttl.map(|ttl| UnixTime(message.time.0.saturating_add(ttl)));
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let added = cache.admit(key, expires_at, message.time);
        let Some(log) = &self.log else { return (added.is_some(), CommitSeq(0)) };
        let Some(Added { position, forgotten }) = added else {
            // The first of its kind was submitted before.
            return (false, log.store.submit_all([]));
        };
        let queue = log.queue;
        let traits = Traits { is_persistent: true, ..Traits::default() };
        let entry = Message::copied(b"\0\0", b"\0\0", &[&key], traits, &mut Vec::new());
        let standing =
            Standing { expires_at: expires_at.map_or(0, |at| at.0), ..Standing::default() };
        let settle = forgotten.into_iter().map(|position| StoreOp::Settle { queue, position });
        let publish = StoreOp::Publish { queue, position, message: entry, standing };
        (true, log.store.submit_all(settle.chain([publish])))
    }
}

/// A positive integer, perhaps written as a string.
fn number(
    arguments: &Table,
    argument: &str,
    fault: ExchangeFault,
) -> Result<Option<u64>, ExchangeFault> {
    if !arguments.contains_key(argument) {
        return Ok(None);
    }
    let written = || text(arguments, argument)?.parse().ok();
    let number = integer(arguments, argument).or_else(written);
    number.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).map(Some).ok_or(fault)
}

/// What a message's value is remembered by. Arrays and tables are no values.
fn key(value: &HeaderValue<'_>) -> Option<Key> {
    let hash = |tag: u8, bytes: &[u8]| Sha256::new().chain_update([tag]).chain_update(bytes);
    let digest = match value {
        HeaderValue::Bytes(bytes) => hash(0, bytes),
        HeaderValue::Int(value) => hash(1, &value.to_be_bytes()),
        HeaderValue::Bool(value) => hash(2, &[u8::from(*value)]),
        HeaderValue::Float(bits) => hash(3, &bits.to_be_bytes()),
        HeaderValue::Timestamp(value) => hash(4, &value.to_be_bytes()),
        HeaderValue::Void => hash(5, b""),
        HeaderValue::Compound(_) => return None,
    };
    digest.finalize().first_chunk().copied()
}

/// What a message's value is remembered by, if it has one.
pub fn deduplication_key(message: &Message) -> Option<Key> {
    let headers = Properties::of_message(message.properties()).headers()?;
    key(&RawTable(headers).get(HEADER)?.into())
}

impl ExchangeType for Deduplication {
    fn needs_log(&self) -> bool {
        true
    }

    fn fit(&mut self, fittings: &Fittings<'_>) {
        let is_durable = |backing: &&Backing| backing.is_durable && self.is_on_disk;
        let Some(backing) = fittings.backing.as_ref().filter(is_durable) else { return };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.next = backing.next();
        backing.read_blocking(|stored| {
            let expires_at = Some(UnixTime(stored.standing.expires_at)).filter(|at| at.0 > 0);
            let body = stored.message.inline_body();
            if let Some(key) = body.and_then(<[u8]>::first_chunk) {
                cache.restore(*key, Entry { position: stored.position, expires_at });
            }
        });
        self.log = Some(Log { store: backing.store.clone(), queue: backing.log });
    }

    fn end(&mut self) {
        if let Some(Log { store, queue }) = self.log.take() {
            store.submit(StoreOp::DropQueue { queue });
        }
    }

    fn bind(&mut self, binding: BindingRef<'_>) {
        self.targets.add(binding.target);
    }

    fn unbind(&mut self, binding: BindingRef<'_>) {
        self.targets.remove(binding.target);
    }

    fn route(&self, message: &View<'_>, out: &mut Matches) {
        let value = message.header(HEADER);
        if let Some(key) = value.as_ref().and_then(key) {
            let (is_new, needed) = self.admit(key, message);
            if needed > CommitSeq(0) {
                out.taps.push(Tap::After(needed));
            }
            if !is_new {
                return;
            }
        }
        out.targets.extend_from_slice(self.targets.as_slice());
    }

    fn is_cacheable(&self) -> bool {
        false
    }
}

/// The values that are remembered: at the most so many.
#[derive(Debug)]
struct Cache {
    size_max: usize,
    entries: HashMap<Key, Entry>,
    /// The values in the order in which they came.
    order: BTreeMap<Position, Key>,
    next: Position,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    position: Position,
    expires_at: Option<UnixTime>,
}

/// A value that was added.
#[derive(Debug, PartialEq, Eq)]
struct Added {
    /// Its place.
    position: Position,
    /// The places of those that were forgotten for it.
    forgotten: Vec<Position>,
}

impl Cache {
    fn new(size_max: usize) -> Self {
        Self { size_max, entries: HashMap::new(), order: BTreeMap::new(), next: Position(1) }
    }

    /// Adds a value unless it is known.
    fn admit(&mut self, key: Key, expires_at: Option<UnixTime>, time: UnixTime) -> Option<Added> {
        let is_over = |entry: &Entry| entry.expires_at.is_some_and(|at| at <= time);
        let mut forgotten = Vec::new();
        match self.entries.get(&key) {
            Some(entry) if !is_over(entry) => return None,
            Some(entry) => {
                forgotten.push(entry.position);
                self.order.remove(&entry.position);
                self.entries.remove(&key);
            }
            None => {}
        }
        // The oldest go while they are over, or too many.
        while let Some((position, oldest)) = self.order.first_key_value()
            && (self.order.len() >= self.size_max || self.entries.get(oldest).is_some_and(is_over))
        {
            forgotten.push(*position);
            self.entries.remove(oldest);
            self.order.pop_first();
        }
        let position = self.next;
        self.next = position.next();
        self.restore(key, Entry { position, expires_at });
        Some(Added { position, forgotten })
    }

    /// Adds a value in place of what is known of it.
    fn restore(&mut self, key: Key, entry: Entry) {
        if let Some(former) = self.entries.insert(key, entry) {
            self.order.remove(&former.position);
        }
        self.order.insert(entry.position, key);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::table::{LongString, ShortString, Value};

    fn key_of(number: u8) -> Key {
        key(&HeaderValue::Int(number.into())).unwrap()
    }

    #[test]
    fn values_of_different_types_differ() {
        let keys = [
            HeaderValue::Bytes(b"1"),
            HeaderValue::Int(1),
            HeaderValue::Bool(true),
            HeaderValue::float(1.0),
            HeaderValue::Timestamp(1),
            HeaderValue::Void,
        ];
        let mut keys: Vec<_> = keys.iter().map(|value| key(value).unwrap()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 6);
    }

    #[test]
    fn arguments_are_checked() {
        let text = |text: &str| Value::LongString(LongString::from(text));
        let make = |entries: &[(&str, Value)]| {
            let mut table = Table::default();
            for (name, value) in entries {
                table.insert(ShortString::from(*name), value.clone());
            }
            Deduplication::new(&table).map(|made| (made.ttl, made.is_on_disk))
        };
        let size = (SIZE, Value::LongInt(5));
        assert_eq!(make(std::slice::from_ref(&size)), Ok((None, true)));
        assert_eq!(make(&[(SIZE, text("5")), (TTL, text("7"))]), Ok((Some(7), true)));
        assert_eq!(make(&[size.clone(), (PERSISTENCE, text("memory"))]), Ok((None, false)));
        let refused = |entries: &[(&str, Value)]| make(entries).unwrap_err().to_string();
        let wrong = "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0";
        assert_eq!(refused(&[]), wrong);
        for value in [Value::LongInt(0), text("many"), Value::Boolean(true)] {
            assert_eq!(refused(&[(SIZE, value)]), wrong);
        }
        assert_eq!(
            refused(&[size.clone(), (TTL, Value::LongInt(-1))]),
            "Invalid argument, 'x-cache-ttl' must be an integer greater than 0"
        );
        assert_eq!(
            refused(&[size, (PERSISTENCE, Value::Void)]),
            "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Against a list of what came when.
        #[test]
        fn a_value_passes_once_while_it_is_remembered(
            size in 1..6_usize,
            steps in proptest::collection::vec(
                (0..8_u8, 0..4_u64, prop::option::of(1..9_u64)),
                0..80,
            ),
        ) {
            let mut cache = Cache::new(size);
            // The values in order, with their ends.
            let mut model: Vec<(u8, Option<u64>)> = Vec::new();
            let mut stored = std::collections::BTreeSet::new();
            let mut now = 1;
            for (value, forward, ttl) in steps {
                now += forward;
                let end = ttl.map(|ttl| now + ttl);
                let is_known = model
                    .iter()
                    .any(|(other, end)| *other == value && end.is_none_or(|end| end > now));
                let added = cache.admit(key_of(value), end.map(UnixTime), UnixTime(now));
                prop_assert_eq!(added.is_none(), is_known);
                if let Some(Added { position, forgotten }) = added {
                    for position in forgotten {
                        prop_assert!(stored.remove(&position));
                    }
                    stored.insert(position);
                    let is_over = |end: &Option<u64>| end.is_some_and(|end| end <= now);
                    model.retain(|(other, _)| *other != value);
                    while model.len() >= size || model.first().is_some_and(|(_, end)| is_over(end))
                    {
                        model.remove(0);
                    }
                    model.push((value, end));
                }
                prop_assert!(cache.entries.len() <= size);
                prop_assert_eq!(cache.entries.len(), cache.order.len());
                prop_assert!(cache.order.keys().eq(&stored));
            }
        }
    }
}
