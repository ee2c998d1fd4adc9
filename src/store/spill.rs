//! The spill file: transient messages that had to leave memory.
//!
//! Pages as everywhere, in a file that is never synced, is created when first needed, and is
//! deleted at every start and whenever nothing is left in it.

use std::sync::Arc;

use super::{
    directory::HOT,
    disk::{Disk, Safety},
    error::StoreError,
    hot::{put_pages, put_states, remove_pages},
    page::Draft,
    schema::{CHUNKS, Commit, PAGES, STATES, StateKey, Volume},
    volumes::Volumes,
};

/// The file's name.
pub(super) const SPILL_NAME: &str = "spill.redb";

/// The file's cache: half of it for what is being written, half for the branches above the pages.
const CACHE_BYTES: usize = 12 * 1024 * 1024;

/// An empty file is given back above this size.
const EMPTY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bytes written in one transaction, about.
pub(super) const SPILL_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What one transaction of the spill file writes.
#[derive(Debug, Default)]
pub(super) struct SpillBatch {
    pub(super) pages: Vec<(u64, Draft)>,
    /// Pages to remove: queue, first place, rows of its body.
    pub(super) gone: Vec<(u64, u64, u32)>,
    /// States to set, or to remove.
    pub(super) states: Vec<(StateKey, Option<Vec<u8>>)>,
}

/// The writing side of the spill file.
#[derive(Debug)]
pub(super) struct Spill {
    pub(super) volumes: Arc<Volumes>,
    pub(super) disk: Arc<dyn Disk>,
    /// Pages in the file.
    pub(super) pages: u64,
    /// Bytes appended since the file was created.
    pub(super) bytes: u64,
}

impl Spill {
    /// Writes `batch` in one transaction.
    pub(super) fn commit(&mut self, batch: &SpillBatch) -> Result<(), StoreError> {
        if batch.pages.is_empty() && batch.gone.is_empty() && batch.states.is_empty() {
            return Ok(());
        }
        if self.volumes.spill().is_none() {
            let volume = Volume::open(&*self.disk, SPILL_NAME, Safety::Scratch, CACHE_BYTES)?;
            volume.write(Commit::Safe, |txn| {
                txn.open_table(PAGES)?;
                txn.open_table(CHUNKS)?;
                txn.open_table(STATES)?;
                Ok(())
            })?;
            *self.volumes.spill_mut() = Some(volume);
        }
        let Some(volume) = &*self.volumes.spill() else { return Ok(()) };
        volume.write(Commit::Safe, |txn| {
            remove_pages(txn, &batch.gone)?;
            put_pages(txn, &batch.pages)?;
            put_states(txn, &batch.states)
        })?;
        self.pages += batch.pages.len() as u64;
        self.pages -= batch.gone.len() as u64;
        self.bytes += batch.pages.iter().map(|(_, draft)| draft.added_bytes()).sum::<u64>();
        Ok(())
    }

    /// Gives the file back when nothing is left in it.
    pub(super) fn tidy(&mut self) -> Result<(), StoreError> {
        if self.pages > 0 || self.bytes < EMPTY_BYTES_MAX {
            return Ok(());
        }
        self.bytes = 0;
        let volume = self.volumes.spill_mut().take();
        drop(volume);
        let failed = |e| StoreError::of_io(self.disk.path().join(SPILL_NAME), e);
        self.disk.remove(SPILL_NAME).map_err(failed)
    }
}

/// The key of a spilled page's state.
pub(super) fn spill_state(queue: u64, first: u64) -> StateKey {
    (HOT, queue, first)
}
