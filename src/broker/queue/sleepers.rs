//! When messages that are in the store alone expire.
//!
//! Of each stretch of them the earliest moment is known, and no more: so a queue of millions takes
//! a few bytes for each stretch, and one that has nothing to expire takes none. When a moment has
//! come its stretch is read and what is over is ended, so that the cost of it is that of a stretch,
//! however long the queue is.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Effects,
    effects::{PageIn, Purpose},
    ready::{Entry, Wanted},
    state::State,
};
use crate::{
    broker::dead_letter::Reason,
    names::{CommitSeq, Position},
};

/// Places next to each other that are looked at together.
const PLACES_MAX: u64 = 256;

/// Bytes of messages that are looked at together when some of them may be over.
const STRETCH_BYTES: usize = 256 * 1024;
/// A stretch is not looked at again within so many milliseconds.
const EXPIRE_STEP_MS: u64 = 50;
/// Milliseconds after which a stretch that could not be read is tried again.
const EXPIRE_AGAIN_MS: u64 = 1000;

/// What is known of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    /// The place behind the last.
    end: Position,
    /// When the first of its messages expires, or may: it need not be there any more.
    at: u64,
}

#[derive(Debug, Default)]
pub(super) struct Sleepers {
    /// By their first places; they do not overlap.
    stretches: BTreeMap<Position, Stretch>,
    /// By when they are to be looked at.
    by_time: BTreeSet<(u64, Position)>,
}

impl Sleepers {
    /// Of the messages in `from..end` the first expires at `at` (milliseconds since 1970).
    pub(super) fn add(&mut self, mut from: Position, end: Position, mut at: u64) {
        self.forget(from, end);
        if let Some((&before, &stretch)) = self.stretches.range(..from).next_back()
            && stretch.end == from
            && end.0 - before.0 <= PLACES_MAX
        {
            self.by_time.remove(&(stretch.at, before));
            (from, at) = (before, at.min(stretch.at));
        }
        self.stretches.insert(from, Stretch { end, at });
        self.by_time.insert((at, from));
    }

    /// Forgets the places in `from..end`: their messages are in memory, or gone.
    pub(super) fn forget(&mut self, from: Position, end: Position) {
        while let Some((&start, &stretch)) = self.stretches.range(..end).next_back()
            && stretch.end > from
        {
            self.stretches.remove(&start);
            self.by_time.remove(&(stretch.at, start));
            // What is left of it lies outside.
            let rest = [(start, from), (end, stretch.end)].into_iter().filter(|(a, b)| a < b);
            for (start, end) in rest {
                self.stretches.insert(start, Stretch { end, at: stretch.at });
                self.by_time.insert((stretch.at, start));
            }
        }
    }

    /// A stretch of which a message may be over at `time`, the earliest first.
    pub(super) fn due(&self, time: u64) -> Option<(Position, Position)> {
        let &(_, from) = self.by_time.first().filter(|(at, _)| *at <= time)?;
        Some((from, self.stretches.get(&from)?.end))
    }

    /// When to look next.
    pub(super) fn next(&self) -> Option<u64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(super) fn clear(&mut self) {
        self.stretches.clear();
        self.by_time.clear();
    }
}

/// Messages that leave memory, or stay away, in the order of their places.
#[derive(Default)]
pub(super) struct FallingAsleep {
    from: Position,
    end: Position,
    bytes: usize,
    /// When the first of them expires; 0 for never.
    at: u64,
    /// They are not looked at before.
    not_before: u64,
}

impl FallingAsleep {
    pub(super) fn add(&mut self, entry: &Entry, sleepers: &mut Sleepers) {
        if self.bytes > STRETCH_BYTES {
            let not_before = self.not_before;
            std::mem::replace(self, Self { not_before, ..Self::default() }).end(sleepers);
        }
        if self.bytes == 0 {
            self.from = entry.position;
        }
        self.end = entry.position.next();
        self.bytes += entry.message.footprint();
        let at = entry.standing.expires_at;
        if at != 0 && (self.at == 0 || at < self.at) {
            self.at = at;
        }
    }

    pub(super) fn end(self, sleepers: &mut Sleepers) {
        if self.at != 0 {
            sleepers.add(self.from, self.end, self.at.max(self.not_before));
        }
    }
}

impl State {
    /// Asks for a stretch of paged-out messages of which some may be over, unless another read is
    /// under way: no message is looked for in two reads.
    pub(super) fn read_expired(&mut self, fx: &mut Effects) {
        let due = self.sleepers.due(fx.time.0).filter(|_| self.may_read());
        let Some((from, end)) = due else { return };
        let wanted = Wanted { from, end, after: self.ready.of(from).after() };
        self.reads += 1;
        let purpose = Purpose::Expire;
        self.reading = Some(PageIn { id: self.reads, purpose, wanted, bytes_max: STRETCH_BYTES });
        fx.read = self.reading;
    }

    /// The messages before `next` of a stretch of which some may be over. Those that are end here;
    /// until they are settled in the store, no other read begins.
    pub(super) fn expire_stored(
        &mut self,
        id: u64,
        entries: impl Iterator<Item = Entry>,
        next: Position,
        fx: &mut Effects,
    ) {
        let Some(asked) = self.reading.filter(|asked| asked.id == id) else { return };
        self.sleepers.forget(asked.wanted.from, next);
        let not_before = fx.time.0 + EXPIRE_STEP_MS;
        let mut left = FallingAsleep { not_before, ..FallingAsleep::default() };
        for entry in entries {
            if self.kept.contains(&entry.position) {
                continue;
            }
            let dead = Reason::of_ready_at(entry.standing.ready_at);
            if dead.is_none() && !Self::is_over(entry.standing, fx) {
                left.add(&entry, &mut self.sleepers);
            } else if self.ready.of(entry.position).forget(&entry) {
                self.give_up(entry, dead.unwrap_or(Reason::Expired), fx);
            }
        }
        left.end(&mut self.sleepers);
        self.has_paged_out = true;
    }

    /// What was found to be over is settled with `seq`.
    pub(super) fn expired(&mut self, id: u64, seq: CommitSeq, fx: &mut Effects) {
        if self.reading.take_if(|asked| asked.id == id).is_some() {
            self.go_on_reading(seq, fx);
        }
    }

    /// The messages for which [`Self::is_settling`] was set are settled with `seq`.
    pub(super) fn settled(&mut self, seq: CommitSeq, fx: &mut Effects) {
        self.is_settling = false;
        self.go_on_reading(seq, fx);
    }

    /// Reads may begin again, and find nothing of what was settled with `seq`.
    fn go_on_reading(&mut self, seq: CommitSeq, fx: &mut Effects) {
        self.ready.written_by(seq);
        self.trim(fx);
        self.dispatch(fx);
        self.read_expired(fx);
        self.arm_for_next(fx);
        self.wake_gets(fx);
    }

    /// A stretch of which some may be over cannot be read: it is tried again later.
    pub(super) fn expire_failed(&mut self, id: u64, fx: &mut Effects) {
        if self.reading.take_if(|asked| asked.id == id).is_some() {
            self.look_again(fx);
            self.dispatch(fx);
            self.wake_gets(fx);
        }
    }

    /// After a read that failed: what is due is looked at later.
    pub(super) fn look_again(&mut self, fx: &mut Effects) {
        if self.sleepers.due(fx.time.0).is_some() {
            self.arm(fx.time.0 + EXPIRE_AGAIN_MS, fx);
        }
    }

    /// After a read: what is next now, in memory or in the store, is to go in time as well.
    pub(super) fn arm_for_next(&mut self, fx: &mut Effects) {
        if let Some(at) = self.ready.next_expiry() {
            self.arm(at, fx);
        }
        self.arm_for_sleepers(fx);
    }

    pub(super) fn arm_for_sleepers(&mut self, fx: &mut Effects) {
        // What is due is looked at when the read that is under way has ended.
        if let Some(at) = self.sleepers.next().filter(|at| *at > fx.time.0) {
            self.arm(at, fx);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_looked_at_too_late(
            steps in prop::collection::vec((any::<bool>(), 0u64..60, 1u64..20, 1u64..100), 1..60)
        ) {
            let (mut sleepers, mut model) = (Sleepers::default(), BTreeMap::<u64, u64>::new());
            for (is_added, from, count, at) in steps {
                let end = from + count;
                model.retain(|place, _| !(from..end).contains(place));
                if is_added {
                    sleepers.add(Position(from), Position(end), at);
                    model.extend((from..end).map(|place| (place, at)));
                } else {
                    sleepers.forget(Position(from), Position(end));
                }
                let covered = |place: u64| {
                    let before = sleepers.stretches.range(..=Position(place)).next_back();
                    before.filter(|(_, stretch)| stretch.end.0 > place).map(|(_, s)| s.at)
                };
                for place in 0..80 {
                    let known = covered(place);
                    prop_assert_eq!(known.is_some(), model.contains_key(&place));
                    prop_assert!(known <= model.get(&place).copied());
                }
                prop_assert_eq!(sleepers.by_time.len(), sleepers.stretches.len());
                let earliest = sleepers.stretches.values().map(|stretch| stretch.at).min();
                prop_assert_eq!(sleepers.next(), earliest);
                let due = earliest.and_then(|at| sleepers.due(at));
                prop_assert_eq!(due.is_some(), earliest.is_some());
            }
        }
    }
}
