//! The files that are open, shared by the store thread and the reader.
//!
//! # Locks
//! The map of segments is read-locked while any of them is read or written, and write-locked for
//! the moments in which one joins, leaves or is counted. Never while the inbox is locked.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{cold::Segment, directory::Place, schema::Volume};

/// The open files.
#[derive(Debug)]
pub(super) struct Volumes {
    pub(super) hot: Volume,
    cold: RwLock<BTreeMap<Place, Segment>>,
    spill: RwLock<Option<Volume>>,
}

impl Volumes {
    pub(super) fn new(hot: Volume, cold: BTreeMap<Place, Segment>) -> Self {
        Self { hot, cold: RwLock::new(cold), spill: RwLock::default() }
    }

    pub(super) fn cold(&self) -> RwLockReadGuard<'_, BTreeMap<Place, Segment>> {
        self.cold.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cold_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<Place, Segment>> {
        self.cold.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn spill(&self) -> RwLockReadGuard<'_, Option<Volume>> {
        self.spill.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn spill_mut(&self) -> RwLockWriteGuard<'_, Option<Volume>> {
        self.spill.write().unwrap_or_else(PoisonError::into_inner)
    }
}
