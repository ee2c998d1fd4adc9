//! The store thread: takes batches out of the inbox, writes them, moves the watermark.
//!
//! * Sole writer of all files (R5). One batch becomes at most one transaction of the hot file,
//!   which is what makes it count, all of it or nothing; bulk is appended to a cold segment before
//!   that, and does not count without it.
//! * Between batches it does its chores, a few milliseconds each: moves the oldest pages out of a
//!   hot file that is over its limit, gives up segments of which little or nothing is left.
//! * The first error ends it: nothing is written or confirmed after that (see [`Store::failed`]).
//!
//! [`Store::failed`]: super::Store::failed

use std::{collections::VecDeque, mem, sync::Arc};

use hashbrown::HashMap;

use super::{
    Shared,
    cold::{APPEND_BYTES_MAX, Cold},
    config::SyncMode,
    directory::{Changes, DeadPage, Directory, HOT, Pending, Place, Shelf, Stack},
    error::StoreError,
    hot::{HotBatch, hot_state},
    op::StoreOp,
    page::{Draft, RunsBuilder, chunk_rows, pack},
    schema::{Commit, PageKey},
    spill::{SPILL_BYTES_MAX, Spill, SpillBatch, spill_state},
    state::dead_row,
    stats::BatchDone,
    volumes::Volumes,
};
use crate::clock;

/// A page smaller than this stays in the hot file even then, to be packed with others later.
const DIRECT_PAGE_BYTES_MIN: u64 = 16 * 1024;

/// Bytes of fresh messages in a batch above which they go into a cold segment in any case: more
/// than redb keeps of one transaction in the hot file's cache.
const HOT_TXN_BYTES_MAX: usize = 12 * 1024 * 1024;

/// A queue's last page in the hot file is lengthened while it is smaller than this. The row's leaf
/// of 4 KiB is written again in any case when a row joins it.
const TAIL_BYTES_MAX: u32 = 2 * 1024;

/// The hot file as the store thread counts it.
#[derive(Debug, Default)]
pub(super) struct HotCount {
    /// Bytes of its pages.
    pub(super) bytes: u64,
    pub(super) pages: usize,
    /// Bytes of the file after it was last compacted.
    pub(super) compacted_bytes: u64,
    /// Its pages in the order in which they were written; some of them are gone.
    pub(super) order: VecDeque<PageKey>,
}

/// The store thread's own state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) volumes: Arc<Volumes>,
    pub(super) directory: Directory,
    pub(super) hot: HotCount,
    pub(super) hot_bytes_max: u64,
    pub(super) direct_bytes_min: usize,
    pub(super) sync: SyncMode,
    /// Commits of the hot file are loose until the next sync is due.
    pub(super) is_loose: bool,
    pub(super) cold: Cold,
    pub(super) spill: Spill,
    pub(super) heads: HashMap<u64, u64>,
    /// Pages still to be moved out of a sparse segment.
    pub(super) sparse: Option<(Place, Vec<PageKey>)>,
}

impl Writer {
    /// Runs until the inbox is closed or an error ends the store.
    pub(super) fn run(&mut self) -> Result<(), StoreError> {
        let mut ops = Vec::new();
        let mut has_chores = true;
        loop {
            let mut taken = self.shared.inbox.take_blocking(ops, has_chores);
            if !taken.ops.is_empty() {
                let start = clock::now();
                let ops = taken.ops.len() as u64;
                let has_written = self.write(&mut taken.ops)?;
                self.shared.inbox.written(taken.bytes);
                let end = clock::now();
                self.shared.counters.batch(BatchDone {
                    ops,
                    bytes: taken.bytes as u64,
                    has_written,
                    took: end.since(start),
                    lag: end.since(taken.since),
                });
                // Whoever waited for the batch finds it counted.
                self.shared.advance(taken.last);
                has_chores = true;
            }
            if taken.is_closed || taken.is_sync_due {
                self.sync()?;
            }
            if taken.is_closed {
                return Ok(());
            }
            if taken.is_idle {
                self.cold.rest();
                self.shorten_hot()?;
            }
            has_chores = (has_chores || taken.is_idle) && self.do_chore()?;
            ops = taken.ops;
        }
    }

    /// Writes a batch; whether there was anything to write.
    fn write(&mut self, ops: &mut Vec<StoreOp>) -> Result<bool, StoreError> {
        let mut changes = Changes::default();
        for op in ops.drain(..) {
            self.directory.apply(op, &mut changes);
        }
        let is_over = self.hot.bytes + changes.fresh_bytes as u64 > self.hot_bytes_max;
        let is_direct = (is_over && changes.fresh_bytes >= self.direct_bytes_min)
            || changes.fresh_bytes > HOT_TXN_BYTES_MAX;
        let mut batch = HotBatch::default();
        let mut spill = SpillBatch::default();
        let mut messages = 0;
        for (queue, shelf) in mem::take(&mut changes.fresh) {
            let Some(stacks) = self.directory.queues.get_mut(&queue) else { continue };
            messages += stacks.stack(shelf).fresh.len() as u64;
            match shelf {
                Shelf::Durable => {
                    let (drafts, emptied) = stacks.durable.pack(!is_direct);
                    self.directory.recycle(emptied);
                    batch.pages.extend(drafts.into_iter().map(|draft| (queue, draft)));
                }
                Shelf::Spilled => {
                    let (drafts, emptied) = stacks.spilled.pack(false);
                    self.directory.recycle(emptied);
                    spill.pages.extend(drafts.into_iter().map(|draft| (queue, draft)));
                }
            }
        }
        self.shared.counters.written(messages, changes.elided);
        self.note_dead(mem::take(&mut changes.dead), &mut batch, &mut spill);
        self.note_dirty(&changes.dirty, &mut batch, &mut spill);
        self.note_heads(&changes.heads, &mut batch);
        batch.records = changes.records;
        let has_written = !batch.is_empty();
        self.write_spill(spill)?;
        if is_direct {
            self.write_direct(&mut batch)?;
        }
        if !batch.is_empty() {
            self.commit_hot(&batch)?;
            self.add_pages(Shelf::Durable, batch.pages);
        }
        Ok(has_written)
    }

    /// Turns dead pages into what has to be removed or noted.
    fn note_dead(&mut self, dead: Vec<DeadPage>, batch: &mut HotBatch, spill: &mut SpillBatch) {
        for DeadPage { queue, first, shelf, page, is_below_head } in dead {
            let rows = chunk_rows(page.chunk_bytes);
            match (shelf, page.place) {
                (Shelf::Spilled, _) => {
                    spill.gone.push((queue, first, rows));
                    if page.has_state_row {
                        spill.states.push((spill_state(queue, first), None));
                    }
                }
                (Shelf::Durable, HOT) => {
                    batch.gone.push((queue, first, rows));
                    if page.has_state_row {
                        batch.states.push((hot_state(queue, first), None));
                    }
                    self.hot.bytes -= page.bytes();
                    self.hot.pages -= 1;
                }
                (Shelf::Durable, place) => {
                    if !is_below_head {
                        batch.states.push(((place, queue, first), Some(dead_row().to_vec())));
                    }
                    self.cold.note_dead(place, page.bytes());
                }
            }
        }
    }

    /// Turns changed pages into rows of states.
    fn note_dirty(
        &mut self,
        dirty: &[(u64, u64, Shelf)],
        batch: &mut HotBatch,
        spill: &mut SpillBatch,
    ) {
        for &(queue, first, shelf) in dirty {
            let Some(stacks) = self.directory.queues.get_mut(&queue) else { continue };
            let Some(page) = stacks.stack(shelf).pages.get_mut(&first) else { continue };
            page.is_dirty = false;
            page.has_state_row = true;
            let row = page.state.as_ref().map(|state| state.row());
            match shelf {
                Shelf::Durable => batch.states.push(((page.place, queue, first), row)),
                Shelf::Spilled => spill.states.push((spill_state(queue, first), row)),
            }
        }
    }

    /// Notes the heads of queues of which cold segments know.
    fn note_heads(&mut self, heads: &[(u64, u64)], batch: &mut HotBatch) {
        let segments = self.volumes.cold();
        for &(queue, head) in heads {
            if head == u64::MAX {
                self.directory.queues.remove(&queue);
            }
            if segments.values().any(|segment| segment.queues.contains_key(&queue)) {
                let known = self.heads.entry(queue).or_default();
                *known = head.max(*known);
                batch.heads.push((queue, Some(*known)));
            }
        }
    }

    fn write_spill(&mut self, mut spill: SpillBatch) -> Result<(), StoreError> {
        while let Some(pages) = split_off(&mut spill.pages, SPILL_BYTES_MAX) {
            let part = SpillBatch { pages, ..SpillBatch::default() };
            self.spill.commit(&part)?;
            self.add_pages(Shelf::Spilled, part.pages);
        }
        self.spill.commit(&spill)?;
        self.add_pages(Shelf::Spilled, spill.pages);
        self.spill.tidy()
    }

    /// Appends the large pages of `batch` to the cold segment.
    fn write_direct(&mut self, batch: &mut HotBatch) -> Result<(), StoreError> {
        let (mut large, small) =
            mem::take(&mut batch.pages).into_iter().partition(|(_, draft): &(u64, Draft)| {
                draft.row_bytes() as u64 + draft.chunk_bytes() >= DIRECT_PAGE_BYTES_MIN
            });
        batch.pages = small;
        loop {
            let part = split_off(&mut large, APPEND_BYTES_MAX);
            let is_last = part.is_none();
            let part = part.unwrap_or_else(|| mem::take(&mut large));
            if !part.is_empty() {
                for (queue, page) in self.cold.append(part, None)? {
                    self.directory.insert(queue, page);
                }
                batch.appends = Some(self.cold.appends);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Commits a transaction of the hot file, as safe as was asked for.
    pub(super) fn commit_hot(&mut self, batch: &HotBatch) -> Result<(), StoreError> {
        let commit = match self.sync {
            SyncMode::Interval(_) => Commit::Loose,
            SyncMode::Always | SyncMode::Off => Commit::Safe,
        };
        self.is_loose |= commit == Commit::Loose;
        batch.commit(&self.volumes.hot(), commit)
    }

    /// Makes loose commits safe.
    fn sync(&mut self) -> Result<(), StoreError> {
        if mem::take(&mut self.is_loose) {
            HotBatch::default().commit(&self.volumes.hot(), Commit::Safe)?;
        }
        Ok(())
    }

    /// Tells the directory of pages that were written to the hot or the spill file.
    fn add_pages(&mut self, shelf: Shelf, drafts: Vec<(u64, Draft)>) {
        for (queue, draft) in drafts {
            let first = draft.first();
            let added = draft.added_bytes();
            let is_new = draft.len_before == 0;
            let page = draft.into_page(HOT);
            let stack = self.directory.queues.entry(queue).or_default().stack(shelf);
            if shelf == Shelf::Durable {
                self.hot.bytes += added;
                if is_new {
                    self.hot.pages += 1;
                    self.hot.order.push_back((queue, first));
                }
            }
            match stack.pages.get_mut(&first) {
                Some(known) => {
                    known.unsettled += page.runs.count - known.runs.count;
                    known.runs = page.runs;
                    known.row_bytes = page.row_bytes;
                }
                None => drop(stack.pages.insert(first, page)),
            }
        }
        if self.hot.order.len() > 2 * self.hot.pages + 1024 {
            let queues = &self.directory.queues;
            self.hot.order.retain(|(queue, first)| {
                queues
                    .get(queue)
                    .and_then(|q| q.durable.pages.get(first))
                    .is_some_and(|page| page.place == HOT)
            });
        }
    }
}

/// Takes about `bytes_max` off the front of `drafts`; `None` when there is not more than that.
fn split_off(drafts: &mut Vec<(u64, Draft)>, bytes_max: u64) -> Option<Vec<(u64, Draft)>> {
    let mut bytes = 0;
    let at = drafts.iter().position(|(_, draft)| {
        bytes += draft.added_bytes();
        bytes > bytes_max
    })?;
    if at + 1 >= drafts.len() {
        return None;
    }
    let rest = drafts.split_off(at + 1);
    Some(mem::replace(drafts, rest))
}

impl Stack {
    /// Packs the fresh messages into pages; first into the last page there is, if `may_grow` and
    /// that is small.
    fn pack(&mut self, may_grow: bool) -> (Vec<Draft>, Vec<Pending>) {
        let mut done = Vec::new();
        let mut draft = self.tail().filter(|_| may_grow).unwrap_or_default();
        let mut fresh = mem::take(&mut self.fresh);
        for pending in fresh.drain(..) {
            if let Some(message) = pending.message {
                pack(&mut draft, pending.position, message, pending.standing, |full| {
                    done.push(full);
                });
            }
        }
        done.push(draft);
        done.retain(|draft| draft.len > 0);
        (done, fresh)
    }

    fn tail(&self) -> Option<Draft> {
        let (_, page) = self.pages.last_key_value()?;
        let is_small =
            page.place == HOT && page.row_bytes < TAIL_BYTES_MAX && page.chunk_bytes == 0;
        is_small.then(|| Draft {
            runs: RunsBuilder::resume(&page.runs),
            len_before: page.row_bytes as usize,
            ..Draft::default()
        })
    }
}
