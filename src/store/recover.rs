//! Opening: finds out what is there without reading the bodies of cold pages, and puts right what
//! a crash left half done.
//!
//! * The hot file is bounded, so its pages are read whole. Of the segments only the index is.
//! * A cold page whose append the hot file has not noted does not count: the batch it belongs to
//!   was not finished, or it was being moved. It is noted as dead before anything else is written.
//! * Nothing is changed before everything has been read without an error.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};
use redb::{ReadOnlyTable, ReadableTable};

use super::{
    Deadline, Record, Recovered, RecoveredQueue,
    cold::{Count, Segment, open_segment, segment_id},
    directory::{Directory, HOT, Page, Place},
    disk::{Disk, Safety},
    error::StoreError,
    hot::HotBatch,
    index::{Column, Index, Summary, earlier},
    page::{Runs, record_kind},
    schema::{
        CHUNKS, Commit, FORMAT, Fault, HEADS, INDEX, META, META_APPENDS, META_FORMAT,
        META_NEXT_SEGMENT, PAGES, PageKey, RECORDS, SEGMENTS, STATES, StateKey, Volume,
    },
    spill::SPILL_NAME,
    state::{State, dead_row},
    writer::HotCount,
};
use crate::names::{Position, QueueId};

/// The hot file's name.
const HOT_NAME: &str = "hot.redb";
/// The hot file's name while it is made.
const HOT_NEW_NAME: &str = "hot.new";

/// What opening found.
pub(super) struct Found {
    pub(super) recovered: Recovered,
    pub(super) hot: Volume,
    pub(super) segments: BTreeMap<Place, Segment>,
    pub(super) counts: BTreeMap<Place, Count>,
    pub(super) appends: u64,
    pub(super) active: Option<Place>,
    pub(super) next_segment: Place,
    pub(super) directory: Directory,
    pub(super) hot_count: HotCount,
    pub(super) heads: HashMap<u64, u64>,
}

/// Opens the files on `disk`, creating them when there are none.
pub(super) fn open(disk: &dyn Disk, hot_cache_bytes: usize) -> Result<Found, StoreError> {
    let unreadable = |source| StoreError::of_io(disk.path().to_owned(), source);
    let names = disk.names().map_err(unreadable)?;
    if !names.iter().any(|name| name == HOT_NAME) {
        if names.iter().any(|name| segment_id(name).is_some()) {
            return Err(damaged(disk, format!("{HOT_NAME} is missing")));
        }
        create_hot(disk)?;
    }
    let hot = Volume::open(disk, HOT_NAME, Safety::Durable, hot_cache_bytes)?;
    let contents = hot.read(|txn| {
        check_format(&txn.open_table(META)?)?;
        HotContents::read(txn)
    })?;
    let mut finding = Finding::new(contents.states, contents.heads, contents.appends);
    for (key, summary, bytes) in contents.pages {
        finding.add_hot(key, summary, bytes);
    }
    let (mut segments, mut counts) = (BTreeMap::new(), BTreeMap::new());
    for &id in &contents.segments {
        if !names.iter().any(|name| segment_id(name) == Some(id)) {
            return Err(damaged(disk, format!("{} is missing", super::cold::segment_name(id))));
        }
        let is_last = contents.segments.last() == Some(&id);
        let mut segment = Segment::new(open_segment(disk, id, is_last)?);
        counts.insert(id, segment.read_index(id, &mut finding)?);
        segments.insert(id, segment);
    }
    let last = contents.segments.last().copied();
    let active = last.filter(|id| !finding.with_unfinished.contains(id));
    let names_free = names.iter().filter_map(|name| segment_id(name)).max().unwrap_or(0) + 1;
    let next_segment = contents.next_segment.max(names_free);
    // From here on things are changed.
    let fixes = finding.fixes(&contents.segments);
    if !fixes.is_empty() {
        fixes.commit(&hot, Commit::Safe)?;
    }
    for name in &names {
        let is_stray = segment_id(name).is_some_and(|id| !segments.contains_key(&id));
        if is_stray || name == SPILL_NAME || name == HOT_NEW_NAME {
            disk.remove(name).map_err(unreadable)?;
        }
    }
    Ok(Found {
        recovered: finding.recovered(contents.records),
        hot,
        segments,
        counts,
        appends: finding.appends_seen,
        active,
        next_segment,
        directory: finding.directory,
        hot_count: finding.hot_count,
        heads: finding.heads,
    })
}

fn damaged(disk: &dyn Disk, what: String) -> StoreError {
    StoreError::Damaged { path: disk.path().to_owned(), what }
}

/// Makes an empty hot file, under another name until it is whole.
fn create_hot(disk: &dyn Disk) -> Result<(), StoreError> {
    let failed = |e| StoreError::of_io(disk.path().join(HOT_NAME), e);
    disk.remove(HOT_NEW_NAME).map_err(failed)?;
    let hot = Volume::open(disk, HOT_NEW_NAME, Safety::Durable, 1 << 20)?;
    hot.write(Commit::Safe, |txn| {
        txn.open_table(META)?.insert(META_FORMAT, FORMAT)?;
        txn.open_table(RECORDS)?;
        txn.open_table(PAGES)?;
        txn.open_table(CHUNKS)?;
        txn.open_table(STATES)?;
        txn.open_table(HEADS)?;
        txn.open_table(SEGMENTS)?;
        Ok(())
    })?;
    drop(hot);
    disk.sync_names().map_err(failed)?;
    disk.rename(HOT_NEW_NAME, HOT_NAME).map_err(failed)
}

fn check_format(meta: &ReadOnlyTable<&'static str, u64>) -> Result<(), Fault> {
    match meta.get(META_FORMAT)?.map(|row| row.value()) {
        Some(FORMAT) => Ok(()),
        Some(found) => Err(Fault::Version(found)),
        None => Err(Fault::row("meta", META_FORMAT)),
    }
}

/// What the hot file holds.
#[derive(Default)]
struct HotContents {
    records: Vec<Record>,
    pages: Vec<(PageKey, Summary, u64)>,
    states: HashMap<StateKey, Option<State>>,
    heads: HashMap<u64, u64>,
    segments: Vec<Place>,
    next_segment: Place,
    appends: u64,
}

impl HotContents {
    fn read(txn: &redb::ReadTransaction) -> Result<Self, Fault> {
        let mut contents = Self::default();
        for row in txn.open_table(RECORDS)?.iter()? {
            let (key, value) = row?;
            let (kind, key) = key.value();
            let kind = record_kind(kind).ok_or_else(|| Fault::row("records", (kind, key)))?;
            contents.records.push((kind, key.into(), value.value().into()));
        }
        for row in txn.open_table(PAGES)?.iter()? {
            let (key, row) = row?;
            let key = key.value();
            let summary = Summary::read(key.1, row.value()).map_err(Fault::at("pages", key))?;
            contents.pages.push((key, summary, row.value().len() as u64));
        }
        for row in txn.open_table(STATES)?.iter()? {
            let (key, row) = row?;
            let key = key.value();
            let state = State::read(row.value()).map_err(Fault::at("states", key))?;
            contents.states.insert(key, state);
        }
        for row in txn.open_table(HEADS)?.iter()? {
            let (queue, head) = row?;
            contents.heads.insert(queue.value(), head.value());
        }
        for row in txn.open_table(SEGMENTS)?.iter()? {
            contents.segments.push(row?.0.value());
        }
        let meta = txn.open_table(META)?;
        contents.next_segment = meta.get(META_NEXT_SEGMENT)?.map_or(1, |row| row.value());
        contents.appends = meta.get(META_APPENDS)?.map_or(0, |row| row.value());
        Ok(contents)
    }
}

impl Segment {
    fn read_index(&mut self, id: Place, finding: &mut Finding) -> Result<Count, StoreError> {
        let mut rows = Vec::new();
        self.volume.read(|txn| {
            check_format(&txn.open_table(META)?)?;
            for row in txn.open_table(INDEX)?.iter()? {
                let (key, row) = row?;
                let key = key.value();
                let index = Index::read(key.1, row.value()).map_err(Fault::at("index", key))?;
                rows.push((key.0, index));
            }
            Ok(())
        })?;
        let mut count = Count::default();
        for (queue, index) in rows {
            let places = (index.runs.first, index.runs.last);
            let bytes = index.row_bytes + index.chunk_bytes;
            count.add(bytes, finding.add_cold(id, queue, index));
            self.note(queue, places);
        }
        Ok(count)
    }
}

/// The directory in the making.
#[derive(Default)]
struct Finding {
    directory: Directory,
    queues: HashMap<u64, RecoveredQueue>,
    deadlines: HashMap<QueueId, Vec<Deadline>>,
    states: HashMap<StateKey, Option<State>>,
    heads: HashMap<u64, u64>,
    hot_count: HotCount,
    /// The last append that counts, and the last there was.
    appends: u64,
    appends_seen: u64,
    /// Pages of appends that do not count, to be noted as dead.
    unfinished: Vec<StateKey>,
    /// The segments they lie in. Nothing is appended to those any more, so that the places of a
    /// segment's living pages never overlap those of its dead ones.
    with_unfinished: HashSet<Place>,
    /// Hot pages of which nothing is left.
    hot_dead: Vec<(PageKey, u64)>,
}

impl Finding {
    fn new(
        states: HashMap<StateKey, Option<State>>,
        heads: HashMap<u64, u64>,
        appends: u64,
    ) -> Self {
        Self { states, heads, appends, appends_seen: appends, ..Self::default() }
    }

    fn add_hot(&mut self, key: PageKey, summary: Summary, row_bytes: u64) {
        let (chunk_bytes, body_bytes) = (summary.chunk_bytes, summary.body_bytes);
        let numbers = (row_bytes, chunk_bytes, summary.deadline);
        if self.add(HOT, key.0, summary.runs, numbers, &body_bytes) {
            self.hot_count.bytes += row_bytes + chunk_bytes;
            self.hot_count.pages += 1;
            self.hot_count.order.push_back(key);
        } else {
            self.hot_dead.push((key, chunk_bytes));
        }
    }

    fn add_cold(&mut self, place: Place, queue: u64, index: Index) -> bool {
        let Index { runs, append, row_bytes, chunk_bytes, body_bytes, deadline } = index;
        self.appends_seen = self.appends_seen.max(append);
        if append > self.appends {
            self.with_unfinished.insert(place);
            let key = (place, queue, runs.first);
            if self.states.insert(key, None) != Some(None) {
                self.unfinished.push(key);
            }
        }
        self.add(place, queue, runs, (row_bytes, chunk_bytes, deadline), &body_bytes)
    }

    /// Counts a page in, unless nothing is left of it.
    fn add(
        &mut self,
        place: Place,
        queue: u64,
        runs: Runs,
        (row_bytes, chunk_bytes, deadline): (u64, u64, u64),
        body_bytes: &Column,
    ) -> bool {
        let head = self.heads.get(&queue).copied().unwrap_or_default();
        let counted = self.queues.entry(queue).or_default();
        counted.end = counted.end.max(Position(runs.last.saturating_add(1)));
        let key = (place, queue, runs.first);
        let stored = self.states.remove(&key);
        let has_state_row = stored.is_some();
        let mut state = match stored {
            None => None,
            Some(None) => return false,
            Some(Some(state)) => Some(Box::new(state)),
        };
        for ordinal in runs.ordinals(0, head) {
            state.get_or_insert_default().settled.insert(ordinal);
        }
        let is_settled =
            |ordinal| state.as_ref().is_some_and(|state| state.settled.contains(ordinal));
        let unsettled = (0..runs.count).filter(|&ordinal| !is_settled(ordinal)).count() as u32;
        if unsettled == 0 {
            return false;
        }
        let pages = &mut self.directory.queues.entry(queue).or_default().durable.pages;
        let before = pages.range(..=runs.last).next_back();
        if before.is_some_and(|(_, page)| page.runs.last >= runs.first) {
            // Not to be; but better one copy than two.
            self.unfinished.push(key);
            return false;
        }
        let places = runs.positions().enumerate().filter(|&(at, _)| !is_settled(at as u32));
        for (at, position) in places {
            if counted.count == 0 || position < counted.first.0 {
                counted.first = Position(position);
            }
            counted.count += 1;
            counted.bytes += body_bytes.get(at as u32);
        }
        let returned = state.iter().flat_map(|state| &state.returned);
        let returned = returned.filter(|(ordinal, _)| !is_settled(**ordinal));
        let deadline = returned.fold(deadline, |at, (_, returns)| earlier(at, returns.ready_at));
        if deadline != 0 {
            let (from, end) = (Position(runs.first), Position(runs.last + 1));
            let deadlines = self.deadlines.entry(QueueId(queue)).or_default();
            deadlines.push(Deadline { from, end, at: deadline });
        }
        let page = Page {
            place,
            unsettled,
            row_bytes: row_bytes as u32,
            chunk_bytes,
            state,
            is_dirty: false,
            has_state_row,
            runs,
        };
        pages.insert(page.runs.first, page);
        true
    }

    /// What has to be written so that the files say what was found.
    fn fixes(&mut self, segments: &[Place]) -> HotBatch {
        let mut fixes = HotBatch::default();
        for &key in &self.unfinished {
            fixes.states.push((key, Some(dead_row().to_vec())));
        }
        for &((queue, first), chunk_bytes) in &self.hot_dead {
            fixes.gone.push((queue, first, super::page::chunk_rows(chunk_bytes)));
        }
        // What is left of the states belongs to no page.
        let left = self.states.drain();
        fixes.states.extend(
            left.filter(|(key, _)| key.0 == HOT || !segments.contains(&key.0))
                .map(|(key, _)| (key, None)),
        );
        fixes
    }

    fn recovered(&mut self, records: Vec<Record>) -> Recovered {
        let ids = self.queues.keys().chain(self.heads.keys()).copied();
        let queue_id_floor = QueueId(ids.max().map_or(0, |id| id.saturating_add(1)));
        for (&queue, &head) in &self.heads {
            if head == u64::MAX {
                self.queues.remove(&queue);
                self.directory.queues.remove(&queue);
            } else {
                let counted = self.queues.entry(queue).or_default();
                counted.end = counted.end.max(Position(head));
            }
        }
        let mut deadlines: std::collections::HashMap<_, Vec<Deadline>> =
            self.deadlines.drain().collect();
        for deadlines in deadlines.values_mut() {
            deadlines.sort_unstable_by_key(|deadline| deadline.from);
        }
        let queues = self.queues.drain().map(|(id, queue)| (QueueId(id), queue)).collect();
        Recovered { records, queues, deadlines, queue_id_floor }
    }
}
