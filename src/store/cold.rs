//! The cold segments: where pages go that stay.
//!
//! * A segment is a file to which whole pages are appended, in large commits that record redb's
//!   allocator state, so that it opens at once after a crash whatever its size.
//! * Nothing is ever taken out of a segment. What becomes of its messages is written to the hot
//!   file; when nothing is left of a segment its file is deleted, and when little is left, that
//!   little is appended to another segment first.
//! * A segment counts only once the hot file lists it. Appends are numbered, and a page counts
//!   only once the hot file has noted the number of its append: in the transaction that makes the
//!   rest of its batch durable, or that removes it from where it was before.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;
use redb::{ReadOnlyTable, WriteTransaction};

use super::{
    directory::{Page, Place},
    disk::{Disk, Safety},
    error::StoreError,
    hot::{HotBatch, put_pages},
    index::Summary,
    page::{Chunked, Draft, chunk_rows},
    schema::{CHUNKS, ChunkKey, Commit, FORMAT, Fault, INDEX, META, META_FORMAT, PAGES, Volume},
    volumes::Volumes,
};

/// Bytes that are appended in one transaction, about. Also what a read in between has to wait.
pub(super) const APPEND_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Cache of the segment being appended to: twice what one transaction holds, because redb gives
/// half of a cache to what is being written.
const ACTIVE_CACHE_BYTES: usize = 12 * 1024 * 1024;

/// Cache of every other segment. A page is read once; this holds the branches above the pages.
const SEALED_CACHE_BYTES: usize = 256 * 1024;

/// A segment is sealed at a sixteenth of all cold bytes, within these limits: small segments give
/// space back soon, and few of them need few file handles.
const SEGMENT_BYTES_MIN: u64 = 256 * 1024 * 1024;
const SEGMENT_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// The segment being appended to is given up for its dead pages only above this size.
const DEAD_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// One cold file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) volume: Volume,
    /// The queues it has pages of, dead or alive, with their first and last places.
    pub(super) queues: HashMap<u64, (u64, u64)>,
}

impl Segment {
    pub(super) fn new(volume: Volume) -> Self {
        Self { volume, queues: HashMap::new() }
    }

    /// Notes that it has a page of `queue` with these first and last places.
    pub(super) fn note(&mut self, queue: u64, (first, last): (u64, u64)) {
        let places = self.queues.entry(queue).or_insert((first, last));
        *places = (places.0.min(first), places.1.max(last));
    }
}

/// What is in a segment, as the store thread counts it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    /// Bytes of all pages ever appended.
    bytes: u64,
    /// Bytes of the pages of which something is left.
    live_bytes: u64,
    live_pages: u64,
}

impl Count {
    /// Counts a page in; `is_live` unless nothing is left of it.
    pub(super) fn add(&mut self, bytes: u64, is_live: bool) {
        self.bytes += bytes;
        self.live_bytes += bytes * u64::from(is_live);
        self.live_pages += u64::from(is_live);
    }
}

/// The name of a segment's file.
pub(super) fn segment_name(id: Place) -> String {
    format!("cold-{id:06}.redb")
}

/// The segment whose file has this name.
pub(super) fn segment_id(name: &str) -> Option<Place> {
    name.strip_prefix("cold-")?.strip_suffix(".redb")?.parse().ok()
}

/// Opens a segment's file; `is_active` when it will be appended to.
pub(super) fn open_segment(
    disk: &dyn Disk,
    id: Place,
    is_active: bool,
) -> Result<Volume, StoreError> {
    let cache = if is_active { ACTIVE_CACHE_BYTES } else { SEALED_CACHE_BYTES };
    Volume::open(disk, &segment_name(id), Safety::Durable, cache)
}

/// The writing side of the segments.
#[derive(Debug)]
pub(super) struct Cold {
    pub(super) volumes: Arc<Volumes>,
    pub(super) disk: Arc<dyn Disk>,
    /// The segment that is appended to.
    pub(super) active: Option<Place>,
    pub(super) next_id: Place,
    /// The number of the last append.
    pub(super) appends: u64,
    pub(super) counts: BTreeMap<Place, Count>,
    /// For tests: seals segments at this size.
    pub(super) segment_bytes: Option<u64>,
}

/// A table of body rows to copy from.
pub(super) type ChunkSource = ReadOnlyTable<ChunkKey, &'static [u8]>;

impl Cold {
    /// Appends pages, of at most about [`APPEND_BYTES_MAX`], and returns them as the directory is
    /// to know them. They count once a commit of the hot file has noted [`Self::appends`].
    pub(super) fn append(
        &mut self,
        drafts: Vec<(u64, Draft)>,
        chunks: Option<&ChunkSource>,
    ) -> Result<Vec<(u64, Page)>, StoreError> {
        let id = self.active_blocking()?;
        self.appends += 1;
        {
            let segments = self.volumes.cold();
            let Some(segment) = segments.get(&id) else { return Err(StoreError::Closed) };
            segment.volume.write(Commit::QuicklyRepaired, |txn| {
                put_pages(txn, &drafts)?;
                put_index(txn, &drafts, self.appends)?;
                copy_chunks(txn, &drafts, chunks)
            })?;
        }
        let pages: Vec<(u64, Page)> =
            drafts.into_iter().map(|(queue, draft)| (queue, draft.into_page(id))).collect();
        let count = self.counts.entry(id).or_default();
        let mut segments = self.volumes.cold_mut();
        for (queue, page) in &pages {
            count.add(page.bytes(), true);
            if let Some(segment) = segments.get_mut(&id) {
                segment.note(*queue, (page.runs.first, page.runs.last));
            }
        }
        drop(segments);
        Ok(pages)
    }

    /// The segment to append to; a new one if need be, which the hot file then lists.
    fn active_blocking(&mut self) -> Result<Place, StoreError> {
        if let Some(id) = self.active {
            let bytes = self.counts.get(&id).map_or(0, |count| count.bytes);
            if bytes < self.segment_bytes_max() {
                return Ok(id);
            }
            self.seal()?;
        }
        let id = self.next_id;
        self.next_id += 1;
        let volume = open_segment(&*self.disk, id, true)?;
        volume.write(Commit::QuicklyRepaired, |txn| {
            txn.open_table(META)?.insert(META_FORMAT, FORMAT)?;
            txn.open_table(PAGES)?;
            txn.open_table(CHUNKS)?;
            txn.open_table(INDEX)?;
            Ok(())
        })?;
        self.disk.sync_names().map_err(|e| StoreError::of_io(self.disk.path().to_owned(), e))?;
        let batch = HotBatch { segment_opened: Some(id), ..HotBatch::default() };
        batch.commit(&self.volumes.hot(), Commit::Safe)?;
        self.volumes.cold_mut().insert(id, Segment::new(volume));
        self.active = Some(id);
        Ok(id)
    }

    fn segment_bytes_max(&self) -> u64 {
        self.segment_bytes.unwrap_or_else(|| {
            let all: u64 = self.counts.values().map(|count| count.bytes).sum();
            (all / 16).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
        })
    }

    /// Ends appending to the active segment and gives its cache back.
    pub(super) fn seal(&mut self) -> Result<(), StoreError> {
        let Some(id) = self.active.take() else { return Ok(()) };
        let mut segments = self.volumes.cold_mut();
        if let Some(segment) = segments.remove(&id) {
            let Segment { volume, queues } = segment;
            drop(volume);
            let volume = open_segment(&*self.disk, id, false)?;
            segments.insert(id, Segment { volume, queues });
        }
        Ok(())
    }

    /// Counts a page out of which nothing is left.
    pub(super) fn note_dead(&mut self, place: Place, bytes: u64) {
        if let Some(count) = self.counts.get_mut(&place) {
            count.live_bytes -= bytes;
            count.live_pages -= 1;
        }
    }

    /// Gives the active segment up when nothing is left of it, however small it is.
    pub(super) fn rest(&mut self) {
        let counts = &self.counts;
        self.active.take_if(|id| counts.get(id).is_some_and(|count| count.live_pages == 0));
    }

    /// Segments of which nothing is left.
    pub(super) fn dead(&self) -> Vec<Place> {
        let dead = self.counts.iter().filter(|&(&id, count)| {
            count.live_pages == 0
                && (self.active != Some(id) || count.bytes >= self.dead_bytes_min())
        });
        dead.map(|(&id, _)| id).collect()
    }

    /// A segment of which so little is left that the rest is better moved.
    pub(super) fn sparse(&self) -> Option<Place> {
        let mut sparse = self.counts.iter().filter(|&(&id, count)| {
            count.live_pages > 0
                && count.live_bytes < count.bytes / 4
                && (self.active != Some(id) || count.bytes >= self.dead_bytes_min())
        });
        sparse.next().map(|(&id, _)| id)
    }

    fn dead_bytes_min(&self) -> u64 {
        self.segment_bytes.map_or(DEAD_BYTES_MIN, |bytes| bytes / 4)
    }

    /// Deletes segments of which nothing is left. No read sees them from before the hot file
    /// forgets what became of their pages; their files go once it has.
    pub(super) fn remove(
        &mut self,
        ids: &[Place],
        commit: impl FnOnce(&Volume) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let segments: Vec<Option<Segment>> = {
            let mut segments = self.volumes.cold_mut();
            ids.iter().map(|id| segments.remove(id)).collect()
        };
        commit(&self.volumes.hot())?;
        drop(segments);
        for id in ids {
            self.counts.remove(id);
            self.active = self.active.filter(|active| active != id);
            let name = segment_name(*id);
            self.disk
                .remove(&name)
                .map_err(|e| StoreError::of_io(self.disk.path().join(name), e))?;
        }
        Ok(())
    }
}

impl Draft {
    /// The page as the directory is to know it.
    pub(super) fn into_page(self, place: Place) -> Page {
        let (row_bytes, chunk_bytes) = (self.row_bytes() as u32, self.chunk_bytes());
        let runs = self.runs.build();
        Page {
            place,
            unsettled: runs.count,
            runs,
            row_bytes,
            chunk_bytes,
            state: None,
            is_dirty: false,
            has_state_row: false,
        }
    }
}

fn put_index(txn: &WriteTransaction, drafts: &[(u64, Draft)], append: u64) -> Result<(), Fault> {
    let mut index = txn.open_table(INDEX)?;
    let mut row = Vec::new();
    for (queue, draft) in drafts {
        let key = (*queue, draft.first());
        let summary = Summary::of(draft).map_err(Fault::at("pages", key))?;
        row.clear();
        summary.put(&mut row, append, draft.row_bytes() as u64);
        index.insert(key, &*row)?;
    }
    Ok(())
}

fn copy_chunks(
    txn: &WriteTransaction,
    drafts: &[(u64, Draft)],
    source: Option<&ChunkSource>,
) -> Result<(), Fault> {
    for (queue, draft) in drafts {
        let Some(Chunked::Copied(bytes)) = draft.chunked else { continue };
        let mut chunks = txn.open_table(CHUNKS)?;
        for number in 0..chunk_rows(bytes) {
            let key = (*queue, draft.first(), number);
            let row = match source {
                Some(source) => source.get(key)?,
                None => None,
            };
            let row = row.ok_or_else(|| Fault::row("chunks", key))?;
            chunks.insert(key, row.value())?;
        }
    }
    Ok(())
}
