//! The reader: brings messages back that had left memory, on a thread of its own.
//!
//! * It keeps the segments from being deleted, sees a snapshot of the hot file, and then of each
//!   segment. In this order a page that is being moved is seen in one place or in both, never in
//!   none; where it is seen twice, the places already passed are skipped.
//! * Durable and spilled messages are two streams of growing places, merged.

use std::{
    collections::VecDeque,
    sync::{Arc, mpsc},
};

use bytes::Bytes;
use redb::{AccessGuard, Range, ReadOnlyTable, ReadTransaction};

use super::{
    ReadBatch, ReadJob, ReadRequest, Shared, StoredMessage,
    directory::{HOT, Place},
    error::StoreError,
    op::Standing,
    page::{Records, chunk_rows},
    record::Record,
    schema::{CHUNKS, ChunkKey, Fault, HEADS, PAGES, PageKey, STATES, StateKey, Volume, guarded},
    state::{Returns, State},
    volumes::Volumes,
};
use crate::{message::Message, names::Position};

/// Answers reads until the store is closed.
pub(super) fn run(shared: &Arc<Shared>, volumes: &Arc<Volumes>, jobs: &mpsc::Receiver<ReadJob>) {
    for ReadJob { request, done } in jobs {
        let batch = if shared.wait_written_blocking(request.after.0) {
            read(volumes, &request)
        } else {
            Err(shared.failure_error())
        };
        if let Ok(batch) = &batch {
            shared.counters.read(batch.messages.len() as u64);
        }
        done(batch);
    }
}

type PageTable = ReadOnlyTable<PageKey, &'static [u8]>;
type StateTable = ReadOnlyTable<StateKey, &'static [u8]>;
type PageGuard = (AccessGuard<'static, PageKey>, AccessGuard<'static, &'static [u8]>);

/// Reads what `request` asks for, as of now.
fn read(volumes: &Volumes, request: &ReadRequest) -> Result<ReadBatch, StoreError> {
    let mut scratch = Vec::new();
    let mut batch = ReadBatch { next: request.end, is_end: true, ..ReadBatch::default() };
    if request.from >= request.end {
        return Ok(batch);
    }
    let segments = volumes.cold();
    let hot_volume = volumes.hot();
    let hot = hot_volume.begin_read()?;
    let spill = volumes.spill();
    let mut durable = Stream::default();
    let head = guarded(|| {
        let heads = hot.open_table(HEADS)?;
        Ok(heads.get(request.queue.0)?.map_or(0, |head| head.value()))
    });
    durable.floor = head.map_err(|fault| hot_volume.error(fault))?.max(request.from.0);
    let mut spilled = Stream { floor: request.from.0, ..Stream::default() };
    durable.add(&hot_volume, HOT, &hot, &hot, request)?;
    for (&place, segment) in &*segments {
        let Some(&(first, last)) = segment.queues.get(&request.queue.0) else { continue };
        if last >= durable.floor && first < request.end.0 {
            let txn = segment.volume.begin_read()?;
            durable.add(&segment.volume, place, &txn, &hot, request)?;
        }
    }
    if let Some(volume) = &*spill {
        let txn = volume.begin_read()?;
        spilled.add(volume, HOT, &txn, &txn, request)?;
    }
    let mut bytes = 0;
    loop {
        durable.fill(request, &mut scratch)?;
        spilled.fill(request, &mut scratch)?;
        let stream = match (durable.ready.front(), spilled.ready.front()) {
            (None, None) => return Ok(batch),
            (Some(a), Some(b)) if b.position < a.position => &mut spilled,
            (Some(_), _) => &mut durable,
            (None, Some(_)) => &mut spilled,
        };
        let Some(message) = stream.ready.pop_front() else { return Ok(batch) };
        bytes += message.message.footprint();
        let next = message.position.next();
        batch.messages.push(message);
        if bytes >= request.max_bytes {
            batch.is_end = durable.is_exhausted() && spilled.is_exhausted();
            if !batch.is_end {
                batch.next = next;
            }
            return Ok(batch);
        }
    }
}

/// Messages of one kind, in the order of their places, out of several files.
#[derive(Default)]
struct Stream<'a> {
    sources: Vec<Source<'a>>,
    /// Places below this are done.
    floor: u64,
    /// Messages of the last page loaded.
    ready: VecDeque<StoredMessage>,
}

/// One file's pages.
struct Source<'a> {
    volume: &'a Volume,
    place: Place,
    pages: Range<'static, PageKey, &'static [u8]>,
    next: Option<PageGuard>,
    chunks: ReadOnlyTable<ChunkKey, &'static [u8]>,
    states: StateTable,
}

impl<'a> Stream<'a> {
    fn add(
        &mut self,
        volume: &'a Volume,
        place: Place,
        txn: &ReadTransaction,
        states: &ReadTransaction,
        request: &ReadRequest,
    ) -> Result<(), StoreError> {
        let source = guarded(|| {
            let pages: PageTable = txn.open_table(PAGES)?;
            let (queue, from, end) = (request.queue.0, self.floor, request.end.0);
            let before = pages.range((queue, 0)..=(queue, from))?.next_back().transpose()?;
            let start = before.map_or(from, |(key, _)| key.value().1);
            let mut pages = pages.range((queue, start)..(queue, end))?;
            let next = pages.next().transpose()?;
            let (chunks, states) = (txn.open_table(CHUNKS)?, states.open_table(STATES)?);
            Ok(Source { volume, place, pages, next, chunks, states })
        });
        self.sources.push(source.map_err(|fault| volume.error(fault))?);
        Ok(())
    }

    fn is_exhausted(&self) -> bool {
        self.ready.is_empty() && self.sources.iter().all(|source| source.next.is_none())
    }

    /// Loads pages until one has something, or there are no more.
    fn fill(&mut self, request: &ReadRequest, scratch: &mut Vec<u8>) -> Result<(), StoreError> {
        while self.ready.is_empty() {
            let firsts = self.sources.iter().enumerate();
            let lowest = firsts
                .filter_map(|(at, s)| s.next.as_ref().map(|(key, _)| (key.value().1, s.place, at)))
                .min();
            let Some((first, _, at)) = lowest else { return Ok(()) };
            let source = &mut self.sources[at];
            let loaded = guarded(|| source.load(first, &mut self.floor, request, scratch));
            self.ready = loaded.map_err(|fault| source.volume.error(fault))?;
        }
        Ok(())
    }
}

impl Source<'_> {
    /// Takes the next page, whose first place is `first`, and what is wanted of it.
    fn load(
        &mut self,
        first: u64,
        floor: &mut u64,
        request: &ReadRequest,
        scratch: &mut Vec<u8>,
    ) -> Result<VecDeque<StoredMessage>, Fault> {
        let mut ready = VecDeque::new();
        let after = self.pages.next().transpose()?;
        let Some((_, row)) = std::mem::replace(&mut self.next, after) else { return Ok(ready) };
        let key = (self.place, request.queue.0, first);
        let state = match self.states.get(key)? {
            None => State::default(),
            Some(state) => match State::read(state.value()).map_err(Fault::at("states", key))? {
                None => return Ok(ready),
                Some(state) => state,
            },
        };
        for (ordinal, record) in Records::new(first, row.value()).enumerate() {
            let ordinal = ordinal as u32;
            let (position, _, record) = record.map_err(Fault::at("pages", key))?;
            if position < *floor || state.settled.contains(ordinal) {
                continue;
            }
            if position >= request.end.0 {
                break;
            }
            *floor = position + 1;
            ready.push_back(StoredMessage {
                position: Position(position),
                message: self.message((request.queue.0, position), &record, scratch)?,
                standing: standing_now(record.standing, state.returned.get(&ordinal)),
            });
        }
        Ok(ready)
    }

    fn message(
        &self,
        (queue, position): PageKey,
        record: &Record<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Message, Fault> {
        let mut chunks = Vec::new();
        if record.is_chunked() {
            let mut bytes = 0;
            for number in 0..chunk_rows(record.body_len as u64) {
                let key = (queue, position, number);
                let row = self.chunks.get(key)?.ok_or_else(|| Fault::row("chunks", key))?;
                bytes += row.value().len();
                chunks.push(Bytes::copy_from_slice(row.value()));
            }
            if bytes != record.body_len {
                return Err(Fault::row("chunks", (queue, position)));
            }
        }
        Ok(record.message(chunks, scratch))
    }
}

/// How a message stands, given what its page's state says of its returns.
fn standing_now(written: Standing, returned: Option<&Returns>) -> Standing {
    match returned {
        None => written,
        Some(&Returns { times, failures, ready_at }) => {
            Standing { ready_at, returns: times, failures, ..written }
        }
    }
}
