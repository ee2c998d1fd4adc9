//! The hot file: every commit goes through it, and it stays small.
//!
//! It holds the records, the pages that are not yet cold, and for all pages, wherever they lie,
//! what has happened since they were written. One transaction of it is what makes a batch count.

use redb::{ReadableTable, WriteTransaction};

use super::{
    directory::{HOT, RecordChange},
    error::StoreError,
    page::{Chunked, Draft, chunk_lens},
    schema::{
        CHUNKS, Commit, Fault, HEADS, META, META_APPENDS, META_NEXT_SEGMENT, PAGES, RECORDS,
        SEGMENTS, STATES, StateKey, Volume,
    },
};
use crate::message::Message;

/// What one transaction of the hot file writes.
#[derive(Debug, Default)]
pub(super) struct HotBatch {
    pub(super) records: Vec<RecordChange>,
    pub(super) pages: Vec<(u64, Draft)>,
    /// Pages to remove: queue, first place, rows of its body.
    pub(super) gone: Vec<(u64, u64, u32)>,
    /// States to set, or to remove.
    pub(super) states: Vec<(StateKey, Option<Vec<u8>>)>,
    /// Heads to set, or to remove.
    pub(super) heads: Vec<(u64, Option<u64>)>,
    /// The number of the last append to a segment that counts.
    pub(super) appends: Option<u64>,
    /// A segment that counts from now on.
    pub(super) segment_opened: Option<u64>,
    /// Segments that do not count any more; all states of their pages go with them.
    pub(super) segments_gone: Vec<u64>,
}

impl HotBatch {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.pages.is_empty()
            && self.gone.is_empty()
            && self.states.is_empty()
            && self.heads.is_empty()
            && self.appends.is_none()
            && self.segment_opened.is_none()
            && self.segments_gone.is_empty()
    }

    /// Writes all of it in one transaction.
    pub(super) fn commit(&self, hot: &Volume, commit: Commit) -> Result<(), StoreError> {
        hot.write(commit, |txn| self.write(txn))
    }

    fn write(&self, txn: &WriteTransaction) -> Result<(), Fault> {
        if !self.records.is_empty() {
            let mut records = txn.open_table(RECORDS)?;
            for (kind, key, value) in &self.records {
                let key = (*kind as u8, &**key);
                match value {
                    Some(value) => drop(records.insert(key, &**value)?),
                    None => drop(records.remove(key)?),
                }
            }
        }
        remove_pages(txn, &self.gone)?;
        put_pages(txn, &self.pages)?;
        put_states(txn, &self.states)?;
        if !self.heads.is_empty() {
            let mut heads = txn.open_table(HEADS)?;
            for (queue, head) in &self.heads {
                match head {
                    Some(head) => drop(heads.insert(queue, head)?),
                    None => drop(heads.remove(queue)?),
                }
            }
        }
        if let Some(appends) = self.appends {
            txn.open_table(META)?.insert(META_APPENDS, appends)?;
        }
        if let Some(id) = self.segment_opened {
            txn.open_table(SEGMENTS)?.insert(id, 0)?;
            txn.open_table(META)?.insert(META_NEXT_SEGMENT, id + 1)?;
        }
        if !self.segments_gone.is_empty() {
            let mut segments = txn.open_table(SEGMENTS)?;
            let mut states = txn.open_table(STATES)?;
            for &id in &self.segments_gone {
                segments.remove(id)?;
                states.retain_in((id, 0, 0)..(id + 1, 0, 0), |_, _| false)?;
            }
        }
        Ok(())
    }
}

/// Sets or removes rows of states.
pub(super) fn put_states(
    txn: &WriteTransaction,
    rows: &[(StateKey, Option<Vec<u8>>)],
) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut states = txn.open_table(STATES)?;
    for (key, row) in rows {
        match row {
            Some(row) => drop(states.insert(key, &**row)?),
            None => drop(states.remove(key)?),
        }
    }
    Ok(())
}

/// Removes pages with all their rows.
pub(super) fn remove_pages(txn: &WriteTransaction, gone: &[(u64, u64, u32)]) -> Result<(), Fault> {
    if gone.is_empty() {
        return Ok(());
    }
    let mut pages = txn.open_table(PAGES)?;
    for &(queue, first, _) in gone {
        pages.remove((queue, first))?;
    }
    if gone.iter().any(|&(_, _, chunk_rows)| chunk_rows > 0) {
        let mut chunks = txn.open_table(CHUNKS)?;
        for &(queue, first, chunk_rows) in gone {
            for number in 0..chunk_rows {
                chunks.remove((queue, first, number))?;
            }
        }
    }
    Ok(())
}

/// Writes pages whose bodies, if they have rows of their own, come from messages. A page that
/// grows has its row read, lengthened and written again: such a row is small.
pub(super) fn put_pages(txn: &WriteTransaction, drafts: &[(u64, Draft)]) -> Result<(), Fault> {
    if drafts.is_empty() {
        return Ok(());
    }
    let mut pages = txn.open_table(PAGES)?;
    for (queue, draft) in drafts {
        let key = (*queue, draft.first());
        if draft.len_before == 0 {
            let mut row = pages.insert_reserve(key, draft.len)?;
            draft.put(&mut row.as_mut());
            continue;
        }
        let mut row = pages.get(key)?.map(|row| row.value().to_vec()).unwrap_or_default();
        if row.len() != draft.len_before {
            return Err(Fault::row("pages", key));
        }
        draft.put(&mut row);
        pages.insert(key, &*row)?;
    }
    if drafts.iter().any(|(_, draft)| draft.chunked.is_some()) {
        let mut chunks = txn.open_table(CHUNKS)?;
        for (queue, draft) in drafts {
            if let Some(Chunked::Fresh(message)) = &draft.chunked {
                for (number, chunk) in chunks_of(message).enumerate() {
                    chunks.insert((*queue, draft.first(), number as u32), &*chunk)?;
                }
            }
        }
    }
    Ok(())
}

/// A message's body in the pieces that are to be its rows.
fn chunks_of(message: &Message) -> impl Iterator<Item = Vec<u8>> {
    let mut parts = message.body();
    let mut part: &[u8] = &[];
    chunk_lens(message.body_len() as u64).map(move |len| {
        let mut chunk = Vec::with_capacity(len);
        while chunk.len() < len {
            if part.is_empty() {
                match parts.next() {
                    Some(next) => part = next,
                    None => break,
                }
            }
            let (taken, rest) = part.split_at(part.len().min(len - chunk.len()));
            chunk.extend_from_slice(taken);
            part = rest;
        }
        chunk
    })
}

/// The key of a hot page's state.
pub(super) fn hot_state(queue: u64, first: u64) -> StateKey {
    (HOT, queue, first)
}
