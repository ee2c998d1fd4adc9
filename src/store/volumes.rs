//! The files that are open, shared by the store thread and the reader.
//!
//! # Locks
//! The map of segments first, then the hot file, then the spill file. Each is read-locked while it
//! is read or written; the map is write-locked for the moments in which a segment joins or leaves,
//! the hot file while it is compacted. Never while the inbox is locked.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{cold::Segment, directory::Place, schema::Volume};

/// The open files.
#[derive(Debug)]
pub(super) struct Volumes {
    hot: RwLock<Volume>,
    cold: RwLock<BTreeMap<Place, Segment>>,
    spill: RwLock<Option<Volume>>,
}

impl Volumes {
    pub(super) fn new(hot: Volume, cold: BTreeMap<Place, Segment>) -> Self {
        Self { hot: RwLock::new(hot), cold: RwLock::new(cold), spill: RwLock::default() }
    }

    pub(super) fn hot(&self) -> RwLockReadGuard<'_, Volume> {
        self.hot.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hot_mut(&self) -> RwLockWriteGuard<'_, Volume> {
        self.hot.write().unwrap_or_else(PoisonError::into_inner)
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
