//! The ready messages of one queue, in order, however many there are.
//!
//! ```text
//! returned   messages that came back, in memory, each at its own place: before all of the head,
//!            unless they waited over a restart
//! away       messages that came back and are in the store alone, as stretches without gaps
//! head       the next messages, in memory
//! run        places whose messages are in the store alone: from, end, count, bytes
//! tail       the latest messages, in memory, on their way into the run
//! ```
//!
//! The run is one pair of places, so a queue of ten million messages takes no more memory than
//! one of ten thousand. Nothing leaves the middle of the run: it is read into the head before it
//! is needed, and the tail joins the head when the run is empty. Of what came back, so much stays
//! in memory as the queue may keep there; the rest, if the store has it, is away until it is next.

use std::collections::{BTreeMap, VecDeque};

use super::amount::Amount;
use crate::{
    message::Message,
    names::{CommitSeq, Position},
    store::Standing,
};

/// Messages for which an empty list keeps memory: a queue that was long once does not stay large.
const KEPT_CAPACITY: usize = 512;

/// A message and its standing in the queue.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) message: Message,
    /// When it expires, and how often it came back.
    pub(super) standing: Standing,
    /// Whether the store holds it.
    pub(super) is_stored: bool,
}

/// The run of messages that are in the store alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The first place that may hold a message.
    pub(super) from: Position,
    /// The place behind the last.
    pub(super) end: Position,
    /// Messages in it.
    pub(super) count: u64,
    /// Bytes of their bodies.
    pub(super) bytes: u64,
    /// Those of them that are persistent.
    pub(super) persistent: Amount,
    /// What must be written before the whole run can be read.
    pub(super) after: CommitSeq,
}

/// A part of the store to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) from: Position,
    pub(super) end: Position,
    /// What must be written before it can be read.
    pub(super) after: CommitSeq,
}

/// What is next.
#[derive(Debug)]
pub(super) enum Next {
    /// A message, and whether it is one that came back.
    Entry(Entry, bool),
    /// A message that is in the store alone, to be read first.
    Paged,
    /// Nothing.
    Empty,
}

#[derive(Debug, Default)]
pub(super) struct Ready {
    returned: BTreeMap<Position, Entry>,
    /// Stretches with a message at every place: the first, and the place behind the last.
    away: BTreeMap<Position, Position>,
    head: VecDeque<Entry>,
    run: Option<Run>,
    tail: VecDeque<Entry>,
    /// Bytes of memory of what is there.
    returned_bytes: usize,
    head_bytes: usize,
    tail_bytes: usize,
    /// Bytes of the bodies that are in memory.
    body_bytes: u64,
    /// The persistent messages in memory.
    persistent: Amount,
    /// Messages that are away, bytes of their bodies, and those of them that are persistent.
    away_count: u64,
    away_bytes: u64,
    away_persistent: Amount,
    /// What must be written before everything that is away can be read.
    away_after: CommitSeq,
    /// The place behind the last that was spilled: the store takes none before it.
    spilled_to: Position,
}

impl Ready {
    /// Messages that the store holds alone after a restart.
    pub(super) fn recovered(run: Option<Run>) -> Self {
        Self { run, ..Self::default() }
    }

    /// Messages.
    pub(super) fn count(&self) -> u64 {
        self.in_memory() as u64 + self.away_count + self.run.map_or(0, |run| run.count)
    }

    /// Messages in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.returned.len() + self.head.len() + self.tail.len()
    }

    /// Bytes of their bodies.
    pub(super) fn resident_body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Bytes of all bodies.
    pub(super) fn body_bytes(&self) -> u64 {
        self.body_bytes + self.away_bytes + self.run.map_or(0, |run| run.bytes)
    }

    /// The persistent messages.
    pub(super) fn persistent(&self) -> Amount {
        let in_run = self.run.map_or(Amount::default(), |run| run.persistent);
        self.persistent.and(self.away_persistent).and(in_run)
    }

    /// Bytes of memory in use.
    pub(super) fn resident_bytes(&self) -> usize {
        self.returned_bytes + self.head_bytes + self.tail_bytes
    }

    /// Bytes of memory in use by the messages that are next in order.
    pub(super) fn head_bytes(&self) -> usize {
        self.head_bytes
    }

    /// Bytes of memory in use by the latest messages.
    pub(super) fn tail_bytes(&self) -> usize {
        self.tail_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        // The tail is empty without a run.
        self.head.is_empty()
            && self.run.is_none()
            && self.returned.is_empty()
            && self.away.is_empty()
    }

    pub(super) fn is_paging(&self) -> bool {
        self.run.is_some()
    }

    /// Messages that came back.
    pub(super) fn returned(&self) -> u64 {
        self.returned.len() as u64 + self.away_count
    }

    /// Whether a message at this place would stand among those that never came back: whether a run,
    /// this one or a later one, may take the place in.
    pub(super) fn is_ahead(&self, position: Position) -> bool {
        let head = self.head.front().map(|entry| entry.position);
        head.or(self.run.map(|run| run.from)).is_some_and(|first| first <= position)
    }

    /// What is to be read from the store when no more than `low` bytes are left before it.
    pub(super) fn wanted(&self, low: usize) -> Option<Wanted> {
        if let Some((&from, &end)) = self.away.first_key_value() {
            return (self.is_away() || self.returned_bytes <= low).then_some(Wanted {
                from,
                end,
                after: self.away_after,
            });
        }
        let Run { from, end, after, .. } = self.run?;
        (self.head_bytes <= low).then_some(Wanted { from, end, after })
    }

    /// A message is in memory now.
    fn count_in(&mut self, message: &Message) {
        let bytes = message.body_len() as u64;
        self.body_bytes += bytes;
        if message.is_persistent() {
            self.persistent.add(bytes);
        }
    }

    /// A message is not in memory any more.
    fn count_out(&mut self, message: &Message) {
        let bytes = message.body_len() as u64;
        self.body_bytes -= bytes;
        if message.is_persistent() {
            self.persistent.take(bytes);
        }
    }

    pub(super) fn push_back(&mut self, entry: Entry) {
        self.count_in(&entry.message);
        let footprint = entry.message.footprint();
        if self.run.is_some() {
            self.tail_bytes += footprint;
            self.tail.push_back(entry);
        } else {
            self.head_bytes += footprint;
            self.head.push_back(entry);
        }
    }

    /// Puts a message back in its place.
    pub(super) fn put_back(&mut self, entry: Entry) {
        self.count_in(&entry.message);
        self.returned_bytes += entry.message.footprint();
        self.returned.insert(entry.position, entry);
    }

    /// Puts a message back that only the store has.
    pub(super) fn put_away(&mut self, position: Position, body_bytes: u64, is_persistent: bool) {
        self.away_count += 1;
        self.away_bytes += body_bytes;
        if is_persistent {
            self.away_persistent.add(body_bytes);
        }
        // A stretch grows at its end alone: it may be being read.
        match self.away.range_mut(..position).next_back() {
            Some((_, end)) if *end == position => *end = position.next(),
            _ => drop(self.away.insert(position, position.next())),
        }
    }

    /// What must be written before everything that is in the store alone can be read.
    pub(super) fn after(&self) -> CommitSeq {
        self.run.map_or(self.away_after, |run| run.after.max(self.away_after))
    }

    /// A message that was in the store alone is gone; whether it was ready. Nothing may be being
    /// read.
    pub(super) fn forget(&mut self, entry: &Entry) -> bool {
        let (position, bytes) = (entry.position, entry.message.body_len() as u64);
        let is_persistent = entry.message.is_persistent();
        if let Some((&from, &end)) = self.away.range(..=position).next_back()
            && position < end
        {
            self.away.remove(&from);
            let rest = [(from, position), (position.next(), end)];
            self.away.extend(rest.into_iter().filter(|(from, end)| from < end));
            if is_persistent {
                self.away_persistent.take(bytes);
            }
            self.away_left(1, bytes);
            return true;
        }
        let Some(run) = self.run.as_mut().filter(|run| (run.from..run.end).contains(&position))
        else {
            return false;
        };
        run.count = run.count.saturating_sub(1);
        run.bytes = run.bytes.saturating_sub(bytes);
        if is_persistent {
            run.persistent.take(bytes);
        }
        if run.count == 0 {
            self.end_run();
        }
        true
    }

    /// So many messages, with so many bytes in their bodies, are not away any more.
    fn away_left(&mut self, count: u64, bytes: u64) {
        self.away_count -= count;
        self.away_bytes = self.away_bytes.saturating_sub(bytes);
        let left = &mut self.away_persistent;
        left.messages = left.messages.min(self.away_count);
        left.bytes = left.bytes.min(self.away_bytes);
        if self.away_count == 0 {
            // What was thought to be away and was not there is gone, too.
            (self.away_bytes, self.away_persistent) = (0, Amount::default());
        }
    }

    /// Nothing is left of the run.
    fn end_run(&mut self) {
        self.run = None;
        self.head.append(&mut self.tail);
        self.head_bytes += self.tail_bytes;
        self.tail_bytes = 0;
    }

    /// Bytes of memory in use by messages that came back.
    pub(super) fn returned_bytes(&self) -> usize {
        self.returned_bytes
    }

    /// Whether the next message is away.
    fn is_away(&self) -> bool {
        self.away.first_key_value().is_some_and(|(away, _)| {
            self.returned.first_key_value().is_none_or(|(there, _)| away < there)
                && self.is_before_head(*away)
        })
    }

    fn is_before_head(&self, position: Position) -> bool {
        self.head.front().is_none_or(|entry| position < entry.position)
    }

    /// Whether the next message is in the store alone.
    #[cfg(test)]
    pub(super) fn is_paged(&self) -> bool {
        let is_in_run = || self.returned.is_empty() && self.head.is_empty() && self.run.is_some();
        self.is_away() || is_in_run()
    }

    pub(super) fn pop_front(&mut self) -> Next {
        if self.is_away() {
            return Next::Paged;
        }
        let came_back = self.returned.first_key_value().map(|(position, _)| *position);
        let came_back = came_back.filter(|position| self.is_before_head(*position));
        let (entry, came_back) = if came_back.is_some()
            && let Some((_, entry)) = self.returned.pop_first()
        {
            self.returned_bytes -= entry.message.footprint();
            (entry, true)
        } else if let Some(entry) = self.pop_head() {
            (entry, false)
        } else if self.run.is_some() {
            return Next::Paged;
        } else {
            return Next::Empty;
        };
        self.count_out(&entry.message);
        Next::Entry(entry, came_back)
    }

    fn pop_head(&mut self) -> Option<Entry> {
        let entry = self.head.pop_front()?;
        self.head_bytes -= entry.message.footprint();
        if self.head.is_empty() && self.head.capacity() > KEPT_CAPACITY {
            self.head = VecDeque::new();
        }
        Some(entry)
    }

    /// Undoes the last [`Self::pop_front`]: nobody wanted the message after all. One that came back
    /// must not get into the head: between it and the next there may be messages that are not
    /// ready, and a run that begins with it would take them in.
    pub(super) fn undo_pop(&mut self, entry: Entry, came_back: bool) {
        if came_back {
            return self.put_back(entry);
        }
        self.count_in(&entry.message);
        self.head_bytes += entry.message.footprint();
        self.head.push_front(entry);
    }

    /// Moves out of memory what is behind the first `keep` bytes of the head; `forget` is told of
    /// each message that goes.
    pub(super) fn page_out(&mut self, keep: usize, mut forget: impl FnMut(Entry)) {
        let mut run = self.run.take();
        if run.is_none() {
            let mut kept = 0;
            let split = self.head.iter().position(|entry| {
                kept += entry.message.footprint();
                kept > keep && entry.position >= self.spilled_to
            });
            self.tail = self.head.split_off(split.unwrap_or(self.head.len()));
            self.tail_bytes = self.tail.iter().map(|entry| entry.message.footprint()).sum();
            self.head_bytes -= self.tail_bytes;
        }
        let mut tail = std::mem::take(&mut self.tail);
        for entry in tail.drain(..) {
            let (position, bytes) = (entry.position, entry.message.body_len() as u64);
            let is_persistent = entry.message.is_persistent();
            if !entry.is_stored {
                self.spilled_to = position.next();
            }
            self.count_out(&entry.message);
            forget(entry);
            let run = run.get_or_insert(Run {
                from: position,
                end: position,
                count: 0,
                bytes: 0,
                persistent: Amount::default(),
                after: CommitSeq(0),
            });
            run.end = position.next();
            run.count += 1;
            run.bytes += bytes;
            if is_persistent {
                run.persistent.add(bytes);
            }
        }
        self.tail_bytes = 0;
        if tail.capacity() <= KEPT_CAPACITY {
            self.tail = tail;
        }
        self.run = run;
    }

    /// Everything that is in the store alone can be read when it has written `seq`.
    pub(super) fn written_by(&mut self, seq: CommitSeq) {
        self.away_after = self.away_after.max(seq);
        if let Some(run) = &mut self.run {
            run.after = run.after.max(seq);
        }
    }

    /// All messages from `from`, where what was wanted began, to `next` have come. What was wanted
    /// may have grown at its end meanwhile. `take` may keep a message, which is not ready then.
    pub(super) fn page_in(
        &mut self,
        from: Position,
        entries: impl Iterator<Item = Entry>,
        next: Position,
        take: impl FnMut(Entry) -> Option<Entry>,
    ) {
        match self.away.remove(&from) {
            Some(end) => self.page_in_returned((from, end), entries, next, take),
            None => self.page_in_run(entries, next, take),
        }
    }

    fn page_in_returned(
        &mut self,
        (from, end): (Position, Position),
        entries: impl Iterator<Item = Entry>,
        next: Position,
        mut take: impl FnMut(Entry) -> Option<Entry>,
    ) {
        let mut bytes = 0;
        for entry in entries {
            let body_bytes = entry.message.body_len() as u64;
            bytes += body_bytes;
            if entry.message.is_persistent() {
                self.away_persistent.take(body_bytes);
            }
            if let Some(entry) = take(entry) {
                self.put_back(entry);
            }
        }
        // What it claimed to hold before `next` and was not there is gone with it.
        self.away_left(next.min(end).0 - from.0, bytes);
        if next < end {
            self.away.insert(next, end);
        }
    }

    fn page_in_run(
        &mut self,
        entries: impl Iterator<Item = Entry>,
        next: Position,
        mut take: impl FnMut(Entry) -> Option<Entry>,
    ) {
        let Some(mut run) = self.run.take() else { return };
        for entry in entries {
            let bytes = entry.message.body_len() as u64;
            run.count = run.count.saturating_sub(1);
            run.bytes = run.bytes.saturating_sub(bytes);
            if entry.message.is_persistent() {
                run.persistent.take(bytes);
            }
            let Some(entry) = take(entry) else { continue };
            self.count_in(&entry.message);
            self.head_bytes += entry.message.footprint();
            self.head.push_back(entry);
        }
        run.from = next;
        if run.from < run.end {
            self.run = Some(run);
            return;
        }
        // What the run still claimed to hold was not there, and goes with it.
        self.end_run();
    }

    /// Takes out the message at this place, if it is in memory.
    pub(super) fn remove(&mut self, position: Position) -> Option<Entry> {
        let in_order = |entries: &VecDeque<Entry>| {
            entries.binary_search_by_key(&position, |entry| entry.position).ok()
        };
        let entry = if let Some(entry) = self.returned.remove(&position) {
            self.returned_bytes -= entry.message.footprint();
            entry
        } else if let Some(at) = in_order(&self.head) {
            let entry = self.head.remove(at)?;
            self.head_bytes -= entry.message.footprint();
            entry
        } else {
            let entry = self.tail.remove(in_order(&self.tail)?)?;
            self.tail_bytes -= entry.message.footprint();
            entry
        };
        self.count_out(&entry.message);
        Some(entry)
    }

    /// Whether the message at this place is there, in memory.
    pub(super) fn has(&self, position: Position) -> bool {
        let in_order = |entries: &VecDeque<Entry>| {
            entries.binary_search_by_key(&position, |entry| entry.position).is_ok()
        };
        self.returned.contains_key(&position) || in_order(&self.head) || in_order(&self.tail)
    }

    /// The first message, if it is in memory.
    pub(super) fn first(&self) -> Option<&Message> {
        self.fronts().min_by_key(|entry| entry.position).map(|entry| &entry.message)
    }

    /// The first of those that came back, and the first of the others, as far as they are in
    /// memory.
    fn fronts(&self) -> impl Iterator<Item = &Entry> {
        let came_back = self.returned.first_key_value().map(|(_, entry)| entry);
        came_back.into_iter().chain(self.head.front())
    }

    /// Takes out a message whose time is over and that nothing stands before.
    pub(super) fn pop_expired(&mut self, time: u64) -> Option<Entry> {
        let is_over = |entry: &&Entry| (1..=time).contains(&entry.standing.expires_at);
        let position = self.fronts().find(is_over)?.position;
        self.remove(position)
    }

    /// When the messages that nothing stands before expire.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.fronts().map(|entry| entry.standing.expires_at).filter(|at| *at != 0).min()
    }

    /// Takes everything out: the messages in memory, and the places of those in the store alone.
    pub(super) fn clear(
        &mut self,
    ) -> (impl Iterator<Item = Entry> + use<>, impl Iterator<Item = (Position, Position)> + use<>)
    {
        let spilled_to = self.spilled_to;
        let all = std::mem::replace(self, Self { spilled_to, ..Self::default() });
        let entries = all.returned.into_values().chain(all.head).chain(all.tail);
        (entries, all.away.into_iter().chain(all.run.map(|run| (run.from, run.end))))
    }
}

#[cfg(test)]
mod tests;
