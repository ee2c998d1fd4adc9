//! What the store thread does between batches, a few milliseconds at a time.
//!
//! * Moves the oldest pages out of a hot file that is over its limit.
//! * Deletes segments of which nothing is left, and moves the rest out of those of which little is.
//!
//! # Order
//! A move appends the pages to a segment first; one transaction of the hot file behind that makes
//! the copies count and the originals not. A crash between the two leaves copies that do not
//! count: see `recover`.

use std::mem;

use redb::ReadOnlyTable;

use super::{
    cold::{APPEND_BYTES_MAX, ChunkSource},
    directory::{Directory, HOT, Page, Place},
    error::StoreError,
    hot::{HotBatch, hot_state},
    page::{Chunked, Draft, Records, chunk_rows, repack},
    schema::{CHUNKS, Commit, Fault, PAGES, PageKey, Volume},
    state::dead_row,
    writer::Writer,
};

/// The hot file is compacted when its messages are less than this share of it,
const HOT_SHARE_MIN: u64 = 8;
/// and it is longer than this, and twice as long as after the last time.
const HOT_BYTES_MIN: u64 = 8 * 1024 * 1024;
impl Writer {
    /// Does one piece of what can wait; whether there may be more.
    pub(super) fn do_chore(&mut self) -> Result<bool, StoreError> {
        let dead = self.cold.dead();
        if !dead.is_empty() {
            self.give_up_segments(&dead)?;
            return Ok(true);
        }
        if self.hot.bytes > self.hot_bytes_max {
            let keys = self.oldest_hot_pages();
            let has_moved = !keys.is_empty();
            self.relocate(HOT, keys)?;
            return Ok(has_moved);
        }
        let sparse = match self.sparse.take() {
            None => self.find_sparse()?,
            some => some,
        };
        let Some((place, mut keys)) = sparse else { return Ok(false) };
        let mut bytes = 0;
        let mut part = Vec::new();
        while bytes < APPEND_BYTES_MAX
            && let Some(key) = keys.pop()
        {
            if let Some(page) = self.directory.page(key).filter(|page| page.place == place) {
                bytes += page.bytes();
                part.push(key);
            }
        }
        self.relocate(place, part)?;
        if !keys.is_empty() {
            self.sparse = Some((place, keys));
        }
        Ok(true)
    }

    /// Makes the hot file shorter when little is left of what was in it, once nothing else is to
    /// be done. redb cuts off free space at a file's end by itself, but what lies there stays.
    pub(super) fn shorten_hot(&mut self) -> Result<(), StoreError> {
        let bytes = self.volumes.hot().file_bytes();
        let is_worth_it = bytes > HOT_BYTES_MIN
            && bytes > self.hot.bytes * HOT_SHARE_MIN
            && bytes > self.hot.compacted_bytes * 2;
        if is_worth_it {
            let mut hot = self.volumes.hot_mut();
            hot.compact()?;
            self.hot.compacted_bytes = hot.file_bytes();
            self.is_loose = false;
        }
        Ok(())
    }

    /// Deletes segments of which nothing is left.
    fn give_up_segments(&mut self, dead: &[Place]) -> Result<(), StoreError> {
        let mut batch = HotBatch { segments_gone: dead.to_vec(), ..HotBatch::default() };
        {
            let segments = self.volumes.cold();
            let is_needed = |queue: u64| {
                segments.iter().any(|(id, s)| !dead.contains(id) && s.queues.contains_key(&queue))
            };
            self.heads.retain(|&queue, _| {
                let is_needed = is_needed(queue);
                if !is_needed {
                    batch.heads.push((queue, None));
                }
                is_needed
            });
        }
        self.cold.remove(dead, |hot| batch.commit(hot, Commit::Safe))
    }

    /// Takes the oldest pages of the hot file, as many as are moved at once.
    fn oldest_hot_pages(&mut self) -> Vec<PageKey> {
        let mut keys = Vec::new();
        let mut bytes = 0;
        while bytes < APPEND_BYTES_MAX
            && let Some(key) = self.hot.order.pop_front()
        {
            if let Some(page) = self.directory.page(key).filter(|page| page.place == HOT) {
                bytes += page.bytes();
                keys.push(key);
            }
        }
        keys
    }

    /// The pages left in a sparse segment, the last to be moved first.
    fn find_sparse(&mut self) -> Result<Option<(Place, Vec<PageKey>)>, StoreError> {
        let Some(place) = self.cold.sparse() else { return Ok(None) };
        if self.cold.active == Some(place) {
            // What is left of it has to go elsewhere.
            self.cold.seal()?;
        }
        let mut keys = Vec::new();
        let segments = self.volumes.cold();
        let Some(segment) = segments.get(&place) else { return Ok(None) };
        for queue in segment.queues.keys() {
            let Some(stacks) = self.directory.queues.get(queue) else { continue };
            let pages = stacks.durable.pages.iter().filter(|(_, page)| page.place == place);
            keys.extend(pages.map(|(&first, _)| (*queue, first)));
        }
        drop(segments);
        keys.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Some((place, keys)))
    }

    /// Moves pages into the cold segment, packed anew without what is settled of them.
    fn relocate(&mut self, from: Place, mut keys: Vec<PageKey>) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        keys.sort_unstable();
        let drafts = self.repack_all(from, &keys)?;
        let pages = {
            let source = self.chunk_source(from, &drafts)?;
            self.cold.append(drafts, source.as_ref())?
        };
        let mut batch = HotBatch { appends: Some(self.cold.appends), ..HotBatch::default() };
        for &(queue, first) in &keys {
            let Some(page) = self.directory.remove((queue, first)) else { continue };
            if from == HOT {
                batch.gone.push((queue, first, chunk_rows(page.chunk_bytes)));
                if page.has_state_row {
                    batch.states.push((hot_state(queue, first), None));
                }
                self.hot.bytes -= page.bytes();
                self.hot.pages -= 1;
            } else {
                batch.states.push(((from, queue, first), Some(dead_row().to_vec())));
                self.cold.note_dead(from, page.bytes());
            }
        }
        self.commit_hot(&batch)?;
        for (queue, page) in pages {
            self.directory.insert(queue, page);
        }
        Ok(())
    }

    /// Packs what is left of the given pages into new ones. Only neighbours are joined.
    fn repack_all(&self, from: Place, keys: &[PageKey]) -> Result<Vec<(u64, Draft)>, StoreError> {
        let mut drafts = Vec::new();
        let mut draft = Draft::default();
        let mut last: Option<PageKey> = None;
        self.read_from(from, |volume| {
            volume.read(|txn| {
                let rows = txn.open_table(PAGES)?;
                for &key in keys {
                    let Some(page) = self.directory.page(key) else { continue };
                    let is_neighbour = last.is_some_and(|last| {
                        last.0 == key.0 && self.directory.next_page(last) == Some(key.1)
                    });
                    if let Some(last) = last
                        && !is_neighbour
                        && !draft.is_empty()
                    {
                        drafts.push((last.0, mem::take(&mut draft)));
                    }
                    last = Some(key);
                    let row = rows.get(key)?.ok_or_else(|| Fault::row("pages", key))?;
                    repack_page(key, page, row.value(), &mut draft, &mut drafts)?;
                }
                Ok(())
            })
        })?;
        if let Some(last) = last
            && !draft.is_empty()
        {
            drafts.push((last.0, draft));
        }
        Ok(drafts)
    }

    /// The table of bodies' rows, when any of `drafts` is to be copied from it.
    fn chunk_source(
        &self,
        from: Place,
        drafts: &[(u64, Draft)],
    ) -> Result<Option<ChunkSource>, StoreError> {
        if drafts.iter().all(|(_, draft)| draft.chunked.is_none()) {
            return Ok(None);
        }
        self.read_from(from, |volume| {
            let table = volume.read(|txn| -> Result<ReadOnlyTable<_, _>, Fault> {
                Ok(txn.open_table(CHUNKS)?)
            })?;
            Ok(Some(table))
        })
    }

    fn read_from<T>(
        &self,
        place: Place,
        read: impl FnOnce(&Volume) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if place == HOT {
            return read(&self.volumes.hot());
        }
        let segments = self.volumes.cold();
        segments.get(&place).map_or(Err(StoreError::Closed), |segment| read(&segment.volume))
    }
}

/// Packs what is left of one page.
fn repack_page(
    (queue, first): PageKey,
    page: &Page,
    row: &[u8],
    draft: &mut Draft,
    drafts: &mut Vec<(u64, Draft)>,
) -> Result<(), Fault> {
    for (ordinal, record) in Records::new(first, row).enumerate() {
        let ordinal = ordinal as u32;
        let (position, bytes, record) = record.map_err(Fault::at("pages", (queue, first)))?;
        if page.is_settled(ordinal) {
            continue;
        }
        let is_chunked = record.is_chunked();
        if is_chunked && !draft.is_empty() {
            drafts.push((queue, mem::take(draft)));
        }
        repack(draft, position, bytes, page.returns(ordinal), |full| {
            drafts.push((queue, full));
        });
        if is_chunked {
            draft.chunked = Some(Chunked::Copied(record.body_len as u64));
            drafts.push((queue, mem::take(draft)));
        }
    }
    Ok(())
}

impl Directory {
    pub(super) fn page(&self, (queue, first): PageKey) -> Option<&Page> {
        self.queues.get(&queue)?.durable.pages.get(&first)
    }

    fn next_page(&self, (queue, first): PageKey) -> Option<u64> {
        let pages = &self.queues.get(&queue)?.durable.pages;
        pages.range(first + 1..).next().map(|(&first, _)| first)
    }

    fn remove(&mut self, (queue, first): PageKey) -> Option<Page> {
        self.queues.get_mut(&queue)?.durable.pages.remove(&first)
    }

    pub(super) fn insert(&mut self, queue: u64, page: Page) {
        let stack = &mut self.queues.entry(queue).or_default().durable;
        stack.pages.insert(page.runs.first, page);
    }
}
