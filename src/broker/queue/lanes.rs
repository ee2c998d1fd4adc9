//! The ready messages of a queue by priority: one [`Ready`] for each level that has been used,
//! served from the highest (QU-130, QT-026). Levels that no message has cost nothing.
//!
//! A message's lane stands in the top byte of its place, so that a place alone says where it
//! belongs. The store knows nothing of lanes: each is a queue of its own there, numbered on from
//! the queue's number. A queue without priorities has lane 0 alone.

use super::{
    amount::Amount,
    ready::{Entry, Next, Ready, Run, Wanted},
};
use crate::{
    message::Message,
    names::{CommitSeq, Position, QueueId},
};

/// Bits of a place below its lane.
const LANE_SHIFT: u32 = 56;

/// A place as a queue knows it, and as the store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) queue: QueueId,
    pub(super) position: Position,
}

impl Place {
    /// What the store calls `position` of the queue numbered `queue`.
    pub(super) fn of(queue: QueueId, position: Position) -> Self {
        let lane = position.0 >> LANE_SHIFT;
        Self { queue: QueueId(queue.0 + lane), position: Position(position.0 & !lane_bits(lane)) }
    }
}

/// The lane that a place is in.
pub(super) fn lane_of(position: Position) -> usize {
    (position.0 >> LANE_SHIFT) as usize
}

/// A place of the store as a place in a lane.
pub(super) fn in_lane(lane: usize, position: Position) -> Position {
    Position(position.0 | lane_bits(lane as u64))
}

fn lane_bits(lane: u64) -> u64 {
    lane << LANE_SHIFT
}

#[derive(Debug)]
struct Lane {
    level: u8,
    ready: Ready,
    /// The place of the next message.
    next: Position,
}

#[derive(Debug)]
pub(super) struct Lanes {
    /// The highest level that there may be.
    top: u8,
    /// By their levels, the lowest first; never empty.
    lanes: Vec<Lane>,
}

impl Lane {
    fn new(level: u8) -> Self {
        let first = in_lane(usize::from(level), Position(1));
        Self { level, ready: Ready::default(), next: first }
    }
}

impl Lanes {
    /// Lanes up to level `top`. `recovered` is what the store holds of a level, with its places as
    /// the store has them. `usual` is the level that most messages have.
    pub(super) fn recovered(top: u8, usual: u8, recovered: impl Fn(u8) -> Option<Run>) -> Self {
        let lanes = (0..=top).filter_map(|level| {
            let Some(run) = recovered(level) else {
                return (level == usual.min(top)).then(|| Lane::new(level));
            };
            let lane = usize::from(level);
            let run = Run { from: in_lane(lane, run.from), end: in_lane(lane, run.end), ..run };
            let ready = Ready::recovered((run.count > 0).then_some(run));
            Some(Lane { level, ready, next: run.end })
        });
        Self { top, lanes: lanes.collect() }
    }

    /// The levels of which the store may hold something.
    pub(super) fn levels(&self) -> impl Iterator<Item = u8> {
        self.lanes.iter().map(|lane| lane.level)
    }

    /// The place of a new message of this priority.
    pub(super) fn next_place(&mut self, priority: u8) -> Position {
        let level = priority.min(self.top);
        let index = self.lanes.binary_search_by_key(&level, |lane| lane.level);
        let index = index.unwrap_or_else(|index| {
            self.lanes.insert(index, Lane::new(level));
            index
        });
        let lane = &mut self.lanes[index];
        let place = lane.next;
        lane.next = place.next();
        place
    }

    pub(super) fn of(&mut self, position: Position) -> &mut Ready {
        let level = lane_of(position);
        let index = self.lanes.partition_point(|lane| usize::from(lane.level) < level);
        let last = self.lanes.len() - 1;
        &mut self.lanes[index.min(last)].ready
    }

    fn all(&self) -> impl Iterator<Item = &Ready> {
        self.lanes.iter().map(|lane| &lane.ready)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Ready> {
        self.lanes.iter_mut().rev().map(|lane| &mut lane.ready)
    }

    pub(super) fn count(&self) -> u64 {
        self.all().map(Ready::count).sum()
    }

    /// How many messages are in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.all().map(Ready::in_memory).sum()
    }

    pub(super) fn body_bytes(&self) -> u64 {
        self.all().map(Ready::body_bytes).sum()
    }

    /// Messages that came back.
    pub(super) fn returned(&self) -> u64 {
        self.all().map(Ready::returned).sum()
    }

    /// Messages that did not come back, of each level that has any, the lowest first.
    pub(super) fn by_level(&self) -> Vec<(u8, u64)> {
        let new = |lane: &Lane| lane.ready.count() - lane.ready.returned();
        let counts = self.lanes.iter().map(|lane| (lane.level, new(lane)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// The persistent messages.
    pub(super) fn persistent(&self) -> Amount {
        self.all().map(Ready::persistent).fold(Amount::default(), Amount::and)
    }

    /// Bytes of the bodies in memory.
    pub(super) fn resident_body_bytes(&self) -> u64 {
        self.all().map(Ready::resident_body_bytes).sum()
    }

    pub(super) fn resident_bytes(&self) -> usize {
        self.all().map(Ready::resident_bytes).sum()
    }

    /// Bytes of memory of all messages but those that came back.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.all().map(|ready| ready.head_bytes() + ready.tail_bytes()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().all(Ready::is_empty)
    }

    /// The message that is served first, if it is in memory.
    pub(super) fn first(&self) -> Option<&Message> {
        self.lanes.iter().rev().find(|lane| !lane.ready.is_empty())?.ready.first()
    }

    pub(super) fn push_back(&mut self, entry: Entry) {
        self.of(entry.position).push_back(entry);
    }

    pub(super) fn put_back(&mut self, entry: Entry) {
        self.of(entry.position).put_back(entry);
    }

    pub(super) fn undo_pop(&mut self, entry: Entry, came_back: bool) {
        self.of(entry.position).undo_pop(entry, came_back);
    }

    /// Takes the next message: the first of the highest lane that has any.
    pub(super) fn pop_front(&mut self) -> Next {
        for ready in self.all_mut() {
            match ready.pop_front() {
                Next::Empty => {}
                next => return next,
            }
        }
        Next::Empty
    }

    /// What is to be read next, the highest lane first.
    pub(super) fn wanted(&self, low: usize) -> Option<Wanted> {
        self.lanes.iter().rev().find_map(|lane| lane.ready.wanted(low))
    }

    pub(super) fn written_by(&mut self, seq: CommitSeq) {
        self.all_mut().for_each(|ready| ready.written_by(seq));
    }

    /// Takes out the message at this place, if it is ready and in memory.
    pub(super) fn remove(&mut self, position: Position) -> Option<Entry> {
        self.of(position).remove(position)
    }

    /// Takes out a message whose time is over and that nothing stands before.
    pub(super) fn pop_expired(&mut self, time: u64) -> Option<Entry> {
        self.all_mut().find_map(|ready| ready.pop_expired(time))
    }

    /// When the first message in line of any lane expires.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.all().filter_map(Ready::next_expiry).min()
    }

    /// Takes everything out: the messages in memory, and the places of those in the store alone.
    pub(super) fn clear(&mut self) -> (Vec<Entry>, Vec<(Position, Position)>) {
        let (mut entries, mut ranges) = (Vec::new(), Vec::new());
        for ready in self.all_mut() {
            let (some_entries, some_ranges) = ready.clear();
            entries.extend(some_entries);
            ranges.extend(some_ranges);
        }
        (entries, ranges)
    }

    /// Whether the next message is in the store alone.
    #[cfg(test)]
    pub(super) fn is_paged(&self) -> bool {
        self.lanes
            .iter()
            .rev()
            .find(|lane| !lane.ready.is_empty())
            .is_some_and(|l| l.ready.is_paged())
    }
}
