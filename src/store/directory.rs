//! The directory: which page holds which message, and what is settled, in memory.
//!
//! * Owned by the store thread alone. It costs some 100 bytes per page, which is two bytes per
//!   message of 1 KiB.
//! * Applying operations changes it at once and notes in [`Changes`] what the disk has to be told.
//!   A message that is settled before it was written leaves no trace in either: that is elision.

use std::{collections::BTreeMap, mem};

use hashbrown::HashMap;

use super::{
    op::{RecordKind, Standing, StoreOp},
    page::Runs,
    state::{Returns, State},
};
use crate::message::Message;

/// A settled range that kills more cold pages than this is noted as one number, not page by page.
const HEAD_PAGES_MIN: usize = 8;

/// Lists of fresh messages that are kept for use again.
const SPARE_MAX: usize = 8;

/// Where a page's row lies: 0 is the hot file (or, of spilled pages, the spill file), any other
/// number is that cold segment.
pub(super) type Place = u64;

/// The hot file.
pub(super) const HOT: Place = 0;

/// A page as the directory knows it.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) runs: Runs,
    pub(super) place: Place,
    /// Messages that are not settled.
    pub(super) unsettled: u32,
    pub(super) row_bytes: u32,
    /// Bytes of the body that has rows of its own, if one has.
    pub(super) chunk_bytes: u64,
    pub(super) state: Option<Box<State>>,
    /// The state has changed since its row was written.
    pub(super) is_dirty: bool,
    /// The state has a row.
    pub(super) has_state_row: bool,
}

impl Page {
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.row_bytes) + self.chunk_bytes
    }

    pub(super) fn is_settled(&self, ordinal: u32) -> bool {
        self.state.as_ref().is_some_and(|state| state.settled.contains(ordinal))
    }

    pub(super) fn returns(&self, ordinal: u32) -> Option<Returns> {
        self.state.as_ref()?.returned.get(&ordinal).copied()
    }

    /// Settles one message; whether it was unsettled.
    fn settle(&mut self, ordinal: u32) -> bool {
        let is_new = self.state.get_or_insert_default().settled.insert(ordinal);
        self.unsettled -= u32::from(is_new);
        is_new
    }
}

/// A message that is not yet written.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) position: u64,
    /// `None` once it is settled.
    pub(super) message: Option<Message>,
    pub(super) standing: Standing,
}

/// The two kinds of storage: what survives, and what only makes room in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shelf {
    Durable,
    Spilled,
}

/// One kind of messages of one queue.
#[derive(Debug, Default)]
pub(super) struct Stack {
    /// Pages by their first place.
    pub(super) pages: BTreeMap<u64, Page>,
    /// Messages of the batch being written, in the order of their places.
    pub(super) fresh: Vec<Pending>,
    /// Where in `fresh` the last one settled was: the next is likely behind it.
    hint: usize,
}

/// One queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) durable: Stack,
    pub(super) spilled: Stack,
}

impl Queue {
    pub(super) fn stack(&mut self, shelf: Shelf) -> &mut Stack {
        match shelf {
            Shelf::Durable => &mut self.durable,
            Shelf::Spilled => &mut self.spilled,
        }
    }
}

/// A page of which nothing is left.
#[derive(Debug)]
pub(super) struct DeadPage {
    pub(super) queue: u64,
    pub(super) first: u64,
    pub(super) shelf: Shelf,
    pub(super) page: Page,
    /// A number for the whole queue says so already.
    pub(super) is_below_head: bool,
}

/// A record's kind and key, and its new value; none to remove it.
pub(super) type RecordChange = (RecordKind, Box<[u8]>, Option<Box<[u8]>>);

/// What a batch of operations comes to.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) records: Vec<RecordChange>,
    /// Queues with fresh messages.
    pub(super) fresh: Vec<(u64, Shelf)>,
    /// About how many bytes of fresh durable messages there are to be written.
    pub(super) fresh_bytes: usize,
    /// Pages whose state has changed.
    pub(super) dirty: Vec<(u64, u64, Shelf)>,
    pub(super) dead: Vec<DeadPage>,
    /// Queues whose messages below a place are all gone.
    pub(super) heads: Vec<(u64, u64)>,
    /// Messages settled before they were written.
    pub(super) elided: u64,
}

/// All queues.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) queues: HashMap<u64, Queue>,
    /// Emptied lists of fresh messages, to be used again.
    spare: Vec<Vec<Pending>>,
}

impl Directory {
    /// Applies an operation in memory and notes what has to be written.
    pub(super) fn apply(&mut self, op: StoreOp, changes: &mut Changes) {
        match op {
            StoreOp::Put { kind, key, value } => changes.records.push((kind, key, Some(value))),
            StoreOp::Remove { kind, key } => changes.records.push((kind, key, None)),
            StoreOp::Publish { queue, position, message, standing } => {
                changes.fresh_bytes += message.footprint();
                let pending = Pending { position: position.0, message: Some(message), standing };
                self.add(queue.0, pending, Shelf::Durable, changes);
            }
            StoreOp::Spill { queue, position, message, standing } => {
                let pending = Pending { position: position.0, message: Some(message), standing };
                self.add(queue.0, pending, Shelf::Spilled, changes);
            }
            StoreOp::Settle { queue, position } => {
                if let Some(stacks) = self.queues.get_mut(&queue.0) {
                    stacks.durable.settle(queue.0, position.0, Shelf::Durable, changes);
                    stacks.spilled.settle(queue.0, position.0, Shelf::Spilled, changes);
                }
            }
            StoreOp::Returned { queue, position, returns, failures, ready_at } => {
                let now = Returns { times: returns, failures, ready_at };
                if let Some(stacks) = self.queues.get_mut(&queue.0) {
                    let place = (queue.0, position.0);
                    stacks.durable.mark_returned(place, now, Shelf::Durable, changes);
                    stacks.spilled.mark_returned(place, now, Shelf::Spilled, changes);
                }
            }
            StoreOp::SettleRange { queue, first, end } => {
                if let Some(stacks) = self.queues.get_mut(&queue.0) {
                    let range = (first.0, end.0);
                    stacks.durable.settle_range(queue.0, range, Shelf::Durable, changes);
                    stacks.spilled.settle_range(queue.0, range, Shelf::Spilled, changes);
                }
            }
            StoreOp::DropQueue { queue } => self.drop_queue(queue.0, changes),
        }
    }

    fn add(&mut self, queue: u64, pending: Pending, shelf: Shelf, changes: &mut Changes) {
        let position = pending.position;
        let stack = self.queues.entry(queue).or_default().stack(shelf);
        if stack.fresh.capacity() == 0 {
            stack.fresh = self.spare.pop().unwrap_or_default();
        }
        let is_behind = stack.fresh.last().map_or_else(
            || stack.pages.last_key_value().is_none_or(|(_, page)| page.runs.last < position),
            |last| last.position < position,
        );
        debug_assert!(is_behind, "places of a queue grow");
        if !is_behind {
            return;
        }
        if stack.fresh.is_empty() {
            changes.fresh.push((queue, shelf));
            stack.hint = 0;
        }
        stack.fresh.push(pending);
    }

    /// Takes back an emptied list of fresh messages.
    pub(super) fn recycle(&mut self, fresh: Vec<Pending>) {
        debug_assert!(fresh.is_empty());
        if self.spare.len() < SPARE_MAX && fresh.capacity() > 0 {
            self.spare.push(fresh);
        }
    }

    fn drop_queue(&mut self, queue: u64, changes: &mut Changes) {
        let Some(stacks) = self.queues.get_mut(&queue) else { return };
        for shelf in [Shelf::Durable, Shelf::Spilled] {
            let stack = stacks.stack(shelf);
            for pending in &mut stack.fresh {
                pending.settle(shelf, changes);
            }
            let pages = mem::take(&mut stack.pages);
            changes.dead.extend(pages.into_iter().map(|(first, page)| DeadPage {
                queue,
                first,
                shelf,
                page,
                is_below_head: true,
            }));
        }
        changes.heads.push((queue, u64::MAX));
    }
}

impl Pending {
    /// Settles the message; whether it was unsettled.
    fn settle(&mut self, shelf: Shelf, changes: &mut Changes) -> bool {
        let Some(message) = self.message.take() else { return false };
        changes.elided += 1;
        if shelf == Shelf::Durable {
            changes.fresh_bytes = changes.fresh_bytes.saturating_sub(message.footprint());
        }
        true
    }
}

impl Stack {
    fn fresh_at(&mut self, position: u64) -> Option<usize> {
        let next = self.hint;
        if self.fresh.get(next).is_some_and(|pending| pending.position == position) {
            self.hint = next + 1;
            return Some(next);
        }
        if self.fresh.last().is_none_or(|last| last.position < position) {
            return None;
        }
        let found = self.fresh.binary_search_by_key(&position, |pending| pending.position).ok()?;
        self.hint = found + 1;
        Some(found)
    }

    fn page_at(&mut self, position: u64) -> Option<(u64, u32, &mut Page)> {
        let (&first, page) = self.pages.range_mut(..=position).next_back()?;
        let ordinal = page.runs.ordinal(position)?;
        Some((first, ordinal, page))
    }

    fn settle(&mut self, queue: u64, position: u64, shelf: Shelf, changes: &mut Changes) {
        if let Some(at) = self.fresh_at(position) {
            self.fresh[at].settle(shelf, changes);
            return;
        }
        let Some((first, ordinal, page)) = self.page_at(position) else { return };
        if page.settle(ordinal) {
            self.note(queue, first, shelf, false, changes);
        }
    }

    /// Notes that messages of the page at `first` were settled.
    fn note(
        &mut self,
        queue: u64,
        first: u64,
        shelf: Shelf,
        is_below_head: bool,
        changes: &mut Changes,
    ) {
        let Some(page) = self.pages.get_mut(&first) else { return };
        if page.unsettled > 0 {
            if !mem::replace(&mut page.is_dirty, true) {
                changes.dirty.push((queue, first, shelf));
            }
        } else if let Some(page) = self.pages.remove(&first) {
            changes.dead.push(DeadPage { queue, first, shelf, page, is_below_head });
        }
    }

    fn mark_returned(
        &mut self,
        (queue, position): (u64, u64),
        now: Returns,
        shelf: Shelf,
        changes: &mut Changes,
    ) {
        if let Some(at) = self.fresh_at(position) {
            let Returns { times, failures, ready_at } = now;
            let standing = &mut self.fresh[at].standing;
            *standing = Standing { ready_at, returns: times, failures, ..*standing };
            return;
        }
        let Some((first, ordinal, page)) = self.page_at(position) else { return };
        let before = page.state.get_or_insert_default().returned.insert(ordinal, now);
        if before != Some(now) && !mem::replace(&mut page.is_dirty, true) {
            changes.dirty.push((queue, first, shelf));
        }
    }

    fn settle_range(
        &mut self,
        queue: u64,
        (first, end): (u64, u64),
        shelf: Shelf,
        changes: &mut Changes,
    ) {
        let from = self.fresh.partition_point(|pending| pending.position < first);
        let is_fresh_left = self.fresh[..from].iter().any(|pending| pending.message.is_some());
        for pending in self.fresh[from..].iter_mut().take_while(|p| p.position < end) {
            pending.settle(shelf, changes);
        }
        let start = match self.pages.range(..first).next_back() {
            Some((&start, page)) if page.runs.last >= first => start,
            _ => first,
        };
        if start >= end {
            return;
        }
        let within: Vec<u64> = self.pages.range(start..end).map(|(&first, _)| first).collect();
        // All that lies before the range is settled: one number says it for the queue.
        let is_head = shelf == Shelf::Durable
            && within.len() > HEAD_PAGES_MIN
            && !is_fresh_left
            && self.pages.first_key_value().is_some_and(|(&front, _)| front >= first);
        let mut head = 0;
        for page_first in within {
            let Some(page) = self.pages.get_mut(&page_first) else { continue };
            let is_whole = page.runs.first >= first && page.runs.last < end;
            let mut is_changed = false;
            if is_whole {
                page.unsettled = 0;
                is_changed = true;
                if is_head && page.place != HOT {
                    head = page.runs.last + 1;
                }
            } else {
                for ordinal in page.runs.ordinals(first, end) {
                    is_changed |= page.settle(ordinal);
                }
            }
            if is_changed {
                self.note(queue, page_first, shelf, is_head && is_whole, changes);
            }
        }
        if head > 0 {
            changes.heads.push((queue, head));
        }
    }
}
