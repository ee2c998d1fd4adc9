//! What the store counts while it works.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What the store has done since it was opened.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct StoreStats {
    /// Operations taken out of the inbox.
    pub ops: u64,
    /// Messages settled before they had to be written.
    pub elided: u64,
    /// Batches written.
    pub commits: u64,
    /// Batches in which nothing was left to write.
    pub empty_batches: u64,
    /// Time spent on batches that were written, in all, in nanoseconds.
    pub commit_nanos: u64,
    /// The longest of them.
    pub commit_nanos_max: u64,
    /// Operations of the largest batch.
    pub batch_ops_max: u64,
    /// Bytes written to files.
    pub written_bytes: u64,
    /// Bytes of all files.
    pub file_bytes: u64,
    /// Bytes of operations submitted and not yet written.
    pub inbox_bytes: u64,
}

/// The counters behind [`StoreStats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    ops: AtomicU64,
    elided: AtomicU64,
    commits: AtomicU64,
    empty_batches: AtomicU64,
    commit_nanos: AtomicU64,
    commit_nanos_max: AtomicU64,
    batch_ops_max: AtomicU64,
}

impl Counters {
    pub(super) fn batch(&self, ops: u64, has_written: bool, took: Duration) {
        self.ops.fetch_add(ops, Relaxed);
        self.batch_ops_max.fetch_max(ops, Relaxed);
        if has_written {
            let nanos = took.as_nanos() as u64;
            self.commits.fetch_add(1, Relaxed);
            self.commit_nanos.fetch_add(nanos, Relaxed);
            self.commit_nanos_max.fetch_max(nanos, Relaxed);
        } else {
            self.empty_batches.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn elided(&self, messages: u64) {
        self.elided.fetch_add(messages, Relaxed);
    }

    pub(super) fn stats(&self) -> StoreStats {
        StoreStats {
            ops: self.ops.load(Relaxed),
            elided: self.elided.load(Relaxed),
            commits: self.commits.load(Relaxed),
            empty_batches: self.empty_batches.load(Relaxed),
            commit_nanos: self.commit_nanos.load(Relaxed),
            commit_nanos_max: self.commit_nanos_max.load(Relaxed),
            batch_ops_max: self.batch_ops_max.load(Relaxed),
            ..StoreStats::default()
        }
    }
}
