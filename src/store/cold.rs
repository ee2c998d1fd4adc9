//! The cold segments: where pages go that stay.
//!
//! * A segment is a file to which whole pages are appended, in large commits that record redb's
//!   allocator state, so that it opens at once after a crash whatever its size.
//! * Nothing is ever taken out of a segment. What becomes of its messages is written to the hot
//!   file; when nothing is left of a segment its file is deleted, and when little is left, that
//!   little is appended to another segment first.
//! * A segment counts only once the hot file lists it. A page that lies in two places, because a
//!   crash came between the append and the hot file's commit, counts in the hot file before any
//!   segment, and in an older segment before a younger one.

use std::sync::Arc;

use hashbrown::HashMap;
use redb::{ReadOnlyTable, WriteTransaction};

use super::{
    directory::{Page, Place},
    disk::{Disk, Safety},
    error::StoreError,
    hot::{HotBatch, put_pages},
    index::Summary,
    page::{Chunked, Draft, chunk_rows},
    schema::{CHUNKS, ChunkKey, FORMAT, Fault, INDEX, META, META_FORMAT, PAGES, Volume},
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
    /// Bytes of all pages ever appended.
    pub(super) bytes: u64,
    /// Bytes of the pages of which something is left.
    pub(super) live_bytes: u64,
    pub(super) live_pages: u64,
}

impl Segment {
    pub(super) fn new(volume: Volume) -> Self {
        Self { volume, queues: HashMap::new(), bytes: 0, live_bytes: 0, live_pages: 0 }
    }

    /// Counts a page in; `is_live` unless nothing is left of it.
    pub(super) fn count(&mut self, queue: u64, (first, last): (u64, u64), bytes: u64, live: bool) {
        let places = self.queues.entry(queue).or_insert((first, last));
        *places = (places.0.min(first), places.1.max(last));
        self.bytes += bytes;
        self.live_bytes += bytes * u64::from(live);
        self.live_pages += u64::from(live);
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
    /// For tests: seals segments at this size.
    pub(super) segment_bytes: Option<u64>,
}

/// A table of body rows to copy from.
pub(super) type ChunkSource = ReadOnlyTable<ChunkKey, &'static [u8]>;

impl Cold {
    /// Appends pages, of at most about [`APPEND_BYTES_MAX`], and returns them as the directory is
    /// to know them. They count once the hot file's next commit has made them count.
    pub(super) fn append(
        &mut self,
        drafts: Vec<(u64, Draft)>,
        chunks: Option<&ChunkSource>,
    ) -> Result<Vec<(u64, Page)>, StoreError> {
        let id = self.active_blocking()?;
        {
            let segments = self.volumes.cold();
            let Some(segment) = segments.get(&id) else { return Err(StoreError::Closed) };
            segment.volume.write(true, |txn| {
                put_pages(txn, &drafts)?;
                put_index(txn, &drafts)?;
                copy_chunks(txn, &drafts, chunks)
            })?;
        }
        let pages: Vec<(u64, Page)> =
            drafts.into_iter().map(|(queue, draft)| (queue, draft.into_page(id))).collect();
        let mut segments = self.volumes.cold_mut();
        if let Some(segment) = segments.get_mut(&id) {
            for (queue, page) in &pages {
                segment.count(*queue, (page.runs.first, page.runs.last), page.bytes(), true);
            }
        }
        Ok(pages)
    }

    /// The segment to append to; a new one if need be, which the hot file then lists.
    fn active_blocking(&mut self) -> Result<Place, StoreError> {
        if let Some(id) = self.active {
            let limit = self.segment_bytes_max();
            let bytes = self.volumes.cold().get(&id).map_or(0, |segment| segment.bytes);
            if bytes < limit {
                return Ok(id);
            }
            self.seal()?;
        }
        let id = self.next_id;
        self.next_id += 1;
        let volume = open_segment(&*self.disk, id, true)?;
        volume.write(true, |txn| {
            txn.open_table(META)?.insert(META_FORMAT, FORMAT)?;
            txn.open_table(PAGES)?;
            txn.open_table(CHUNKS)?;
            txn.open_table(INDEX)?;
            Ok(())
        })?;
        self.disk.sync_names().map_err(|e| StoreError::of_io(self.disk.path().to_owned(), e))?;
        HotBatch { segment_opened: Some(id), ..HotBatch::default() }.commit(&self.volumes.hot)?;
        self.volumes.cold_mut().insert(id, Segment::new(volume));
        self.active = Some(id);
        Ok(id)
    }

    fn segment_bytes_max(&self) -> u64 {
        self.segment_bytes.unwrap_or_else(|| {
            let all: u64 = self.volumes.cold().values().map(|segment| segment.bytes).sum();
            (all / 16).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
        })
    }

    /// Ends appending to the active segment and gives its cache back.
    pub(super) fn seal(&mut self) -> Result<(), StoreError> {
        let Some(id) = self.active.take() else { return Ok(()) };
        let mut segments = self.volumes.cold_mut();
        if let Some(segment) = segments.remove(&id) {
            let Segment { volume, queues, bytes, live_bytes, live_pages } = segment;
            drop(volume);
            let volume = open_segment(&*self.disk, id, false)?;
            segments.insert(id, Segment { volume, queues, bytes, live_bytes, live_pages });
        }
        Ok(())
    }

    /// Segments of which nothing is left.
    pub(super) fn dead(&self) -> Vec<Place> {
        let is_dead = |id: Place, segment: &Segment| {
            segment.live_pages == 0
                && (self.active != Some(id) || segment.bytes >= self.dead_bytes_min())
        };
        let segments = self.volumes.cold();
        segments.iter().filter(|&(&id, segment)| is_dead(id, segment)).map(|(&id, _)| id).collect()
    }

    /// A segment of which so little is left that the rest is better moved.
    pub(super) fn sparse(&self) -> Option<Place> {
        let segments = self.volumes.cold();
        let is_sparse = |id: Place, segment: &Segment| {
            segment.live_pages > 0
                && segment.live_bytes < segment.bytes / 4
                && (self.active != Some(id) || segment.bytes >= self.dead_bytes_min())
        };
        segments.iter().find(|&(&id, segment)| is_sparse(id, segment)).map(|(&id, _)| id)
    }

    fn dead_bytes_min(&self) -> u64 {
        self.segment_bytes.map_or(DEAD_BYTES_MIN, |bytes| bytes / 4)
    }

    /// Forgets segments and deletes their files. The hot file does not list them any more.
    pub(super) fn remove(&mut self, ids: &[Place]) -> Result<(), StoreError> {
        for id in ids {
            if self.active == Some(*id) {
                self.active = None;
            }
            let segment = self.volumes.cold_mut().remove(id);
            drop(segment);
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

fn put_index(txn: &WriteTransaction, drafts: &[(u64, Draft)]) -> Result<(), Fault> {
    let mut index = txn.open_table(INDEX)?;
    let mut row = Vec::new();
    for (queue, draft) in drafts {
        let key = (*queue, draft.first());
        let summary = Summary::read(key.1, &draft.bytes).map_err(Fault::at("pages", key))?;
        row.clear();
        summary.put(&mut row, draft.row_bytes() as u64);
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
