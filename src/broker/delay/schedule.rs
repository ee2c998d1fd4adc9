//! Which message is due when: pure, without a clock, a store or a lock.
//!
//! ```text
//! near      the messages that are due first, in memory
//! far       all others, by due time and place alone: their bodies are in the store
//! fetched   messages of `far` that came back from the store, until they are the first there
//! ```
//!
//! Everything in `near` is due before everything in `far`. So memory holds bodies up to a budget,
//! and those that are needed next, whatever the order in which they came.

use std::collections::{BTreeMap, BTreeSet};

use crate::{clock::UnixTime, message::Message, names::Position};

/// When a message is due, and its place in the log: equal times keep the order of publishing.
pub(super) type Key = (UnixTime, Position);

/// Messages fetched at a time, at the least (if there are as many) and at the most.
const FETCH_MIN: usize = 512;
const FETCH_MAX: usize = 65_536;
/// If at least one message in so many is wanted, all of them are read.
const DENSE: u64 = 8;

/// The messages that wait on one exchange.
#[derive(Debug)]
pub(super) struct Schedule {
    near: BTreeMap<Key, Message>,
    far: BTreeSet<Key>,
    fetched: BTreeMap<Key, Message>,
    /// Bytes of memory of the messages in `near` and `fetched`.
    bytes: usize,
    bytes_max: usize,
}

/// Messages to read from the store: their places and when they are due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    wanted: BTreeMap<Position, UnixTime>,
}

impl Fetch {
    /// The places to read next: from the first one that is wanted to behind the last.
    pub(super) fn range(&self) -> Option<(Position, Position)> {
        let (first, last) = (self.wanted.first_key_value()?, self.wanted.last_key_value()?);
        Some((*first.0, last.0.next()))
    }

    /// Whether many of the messages in the range are wanted.
    pub(super) fn is_dense(&self) -> bool {
        let span = self.range().map_or(0, |(from, end)| end.0 - from.0);
        self.wanted.len() as u64 * DENSE >= span
    }

    /// When a message that was read is due, if it is wanted.
    pub(super) fn take(&mut self, at: Position) -> Option<UnixTime> {
        self.wanted.remove(&at)
    }

    /// All before `end` was read: what is still wanted there is not in the store.
    pub(super) fn take_missing(&mut self, end: Position) -> Vec<Key> {
        let left = self.wanted.split_off(&end);
        let missing = std::mem::replace(&mut self.wanted, left);
        missing.into_iter().map(|(at, due)| (due, at)).collect()
    }
}

impl Schedule {
    /// No messages. Memory holds bodies of about `bytes_max`.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            near: BTreeMap::new(),
            far: BTreeSet::new(),
            fetched: BTreeMap::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// How many messages wait.
    pub(super) fn count(&self) -> usize {
        self.near.len() + self.far.len()
    }

    /// Whether the next message is in memory.
    pub(super) fn has_near(&self) -> bool {
        !self.near.is_empty()
    }

    /// When the next message is due.
    pub(super) fn next_due(&self) -> Option<UnixTime> {
        let near = self.near.first_key_value().map(|(key, _)| key);
        near.or_else(|| self.far.first()).map(|(due, _)| *due)
    }

    /// Adds a message, which the store has.
    pub(super) fn insert(&mut self, key: Key, message: Message) {
        if self.far.first().is_some_and(|first| *first < key) {
            self.far.insert(key);
            return;
        }
        self.bytes += message.footprint();
        self.near.insert(key, message);
        while self.bytes > self.bytes_max {
            // What was fetched ahead goes first: it is due last.
            let Some((key, message)) = self.fetched.pop_last().or_else(|| self.near.pop_last())
            else {
                break;
            };
            self.bytes -= message.footprint();
            self.far.insert(key);
        }
    }

    /// Takes out the next message that is due by `time` and is in memory.
    pub(super) fn pop_due(&mut self, time: UnixTime) -> Option<(Key, Message)> {
        let first = self.near.first_entry().filter(|first| first.key().0 <= time)?;
        let (key, message) = first.remove_entry();
        self.bytes -= message.footprint();
        Some((key, message))
    }

    /// What should be read next, if memory has room: those that are due first of what is not there.
    ///
    /// They may stand anywhere in the log. So many are asked for at a time, and read in the order
    /// of their places; only where one is due already, it must not wait for many.
    pub(super) fn next_fetch(&self) -> Option<Fetch> {
        let room = self.bytes_max.saturating_sub(self.bytes);
        if self.far.is_empty() || (room < self.bytes_max / 2 && !self.near.is_empty()) {
            return None;
        }
        let in_memory = self.near.len() + self.fetched.len();
        let count = match self.bytes.checked_div(in_memory) {
            Some(average) => (room / average.max(1)).clamp(FETCH_MIN, FETCH_MAX),
            None => FETCH_MIN,
        };
        let missing = self.far.iter().filter(|key| !self.fetched.contains_key(key));
        let wanted: BTreeMap<_, _> = missing.take(count).map(|(due, at)| (*at, *due)).collect();
        (!wanted.is_empty()).then_some(Fetch { wanted })
    }

    /// A message came back from the store.
    pub(super) fn fetched(&mut self, key: Key, message: Message) {
        if self.far.contains(&key) {
            self.bytes += message.footprint();
            if let Some(twice) = self.fetched.insert(key, message) {
                self.bytes -= twice.footprint();
            }
        }
    }

    /// A message is not in the store any more. Returns whether it still waited.
    pub(super) fn lost(&mut self, key: Key) -> bool {
        self.far.remove(&key)
    }

    /// Makes what was fetched near, as far as nothing that is missing is due before it.
    pub(super) fn promote(&mut self) {
        while let Some(first) = self.far.first()
            && let Some(message) = self.fetched.remove(first)
        {
            let key = *first;
            self.far.remove(&key);
            self.near.insert(key, message);
        }
    }

    /// Forgets all messages.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::Traits;

    fn message(number: u64) -> Message {
        let body = number.to_string();
        Message::copied(b"\0\0", b"\0\0", &[body.as_bytes()], Traits::default(), &mut Vec::new())
    }

    fn number(message: &Message) -> u64 {
        String::from_utf8(message.body().collect::<Vec<_>>().concat()).unwrap().parse().unwrap()
    }

    /// Reads what the schedule asks for, as a store would that has everything, but stops early.
    fn fetch(schedule: &mut Schedule, limit: usize) {
        let Some(mut fetch) = schedule.next_fetch() else { return };
        let (from, end) = fetch.range().unwrap();
        for at in (from.0..end.0).take(limit) {
            if let Some(due) = fetch.take(Position(at)) {
                schedule.fetched((due, Position(at)), message(at));
            }
        }
        schedule.promote();
    }

    #[test]
    fn equal_times_keep_their_order() {
        let mut schedule = Schedule::new(usize::MAX);
        for (due, place) in [(5, 1), (3, 2), (5, 3), (3, 4)] {
            schedule.insert((UnixTime(due), Position(place)), message(place));
        }
        assert_eq!(schedule.next_due(), Some(UnixTime(3)));
        assert!(schedule.pop_due(UnixTime(2)).is_none());
        let next = || schedule.pop_due(UnixTime(9)).map(|((_, place), _)| place.0);
        assert_eq!(std::iter::from_fn(next).collect::<Vec<_>>(), [2, 4, 1, 3]);
    }

    #[test]
    fn what_is_due_first_is_fetched_in_the_order_of_its_places() {
        let mut schedule = Schedule::new(0);
        for (due, place) in [(10, 5), (11, 90), (13, 7), (12, 9), (50, 8)] {
            schedule.insert((UnixTime(due), Position(place)), message(place));
        }
        let mut fetch = schedule.next_fetch().unwrap();
        assert_eq!(fetch.range(), Some((Position(5), Position(91))));
        assert!(!fetch.is_dense());
        assert_eq!(fetch.take(Position(6)), None);
        assert_eq!(fetch.take(Position(7)), Some(UnixTime(13)));
        let missing = fetch.take_missing(Position(9));
        assert_eq!(missing, [(UnixTime(10), Position(5)), (UnixTime(50), Position(8))]);
        assert_eq!(fetch.range(), Some((Position(9), Position(91))));
        for key in missing {
            schedule.lost(key);
        }
        assert_eq!(schedule.count(), 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Whatever comes in whatever order and however little memory there is: everything comes
        /// out once, when it is due, in the order of due times and places.
        #[test]
        fn all_come_out_when_they_are_due(
            dues in proptest::collection::vec(0..60_u64, 0..120),
            steps in proptest::collection::vec((0..4_usize, 0..6_u64, 1..9_usize), 0..60),
            bytes_max in 0..3000_usize,
        ) {
            let mut schedule = Schedule::new(bytes_max);
            let mut model = BTreeSet::new();
            let mut dues = (1_u64..).zip(dues);
            let mut now = 0;
            let last = (200, 100_000, 9);
            for (inserts, forward, limit) in steps.into_iter().chain([last; 300]) {
                for (place, due) in dues.by_ref().take(inserts) {
                    let key = (UnixTime(now + due), Position(place));
                    schedule.insert(key, message(place));
                    model.insert(key);
                }
                now += forward;
                prop_assert_eq!(schedule.count(), model.len());
                prop_assert_eq!(schedule.next_due(), model.first().map(|(due, _)| *due));
                fetch(&mut schedule, limit);
                while let Some((key, got)) = schedule.pop_due(UnixTime(now)) {
                    prop_assert_eq!(number(&got), key.1.0);
                    prop_assert!(key.0.0 <= now);
                    prop_assert_eq!(model.pop_first(), Some(key));
                }
            }
            prop_assert!(model.is_empty());
            prop_assert_eq!(schedule.bytes, 0);
        }
    }
}
