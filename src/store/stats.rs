//! What the store counts while it works.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::histogram::{Distribution, Histogram};

/// What the store has done since it was opened.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StoreStats {
    /// Operations taken out of the inbox.
    pub ops: u64,
    /// Messages settled before they had to be written.
    pub elided: u64,
    /// Messages written.
    pub written_messages: u64,
    /// Messages read back.
    pub read_messages: u64,
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
    /// Operations submitted and not yet durable: how far the watermark lags behind.
    pub lag_ops: u64,
    /// Time that each batch took that was written, in nanoseconds.
    pub commit_times: Distribution,
    /// Time from the submission of each batch's first operation until the watermark had passed
    /// the batch, in nanoseconds. What nobody waits for lingers before it is written.
    pub lag_times: Distribution,
    /// Operations of each batch.
    pub batch_ops: Distribution,
    /// Bytes of the operations of each batch.
    pub batch_bytes: Distribution,
    /// Time that each sync of a file took, in nanoseconds.
    pub sync_times: Distribution,
}

/// A batch that is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchDone {
    pub(super) ops: u64,
    pub(super) bytes: u64,
    /// Whether there was anything to write.
    pub(super) has_written: bool,
    /// Time that it took.
    pub(super) took: Duration,
    /// Time since its first operation was submitted.
    pub(super) lag: Duration,
}

/// The counters behind [`StoreStats`].
#[derive(Debug)]
pub(super) struct Counters {
    ops: AtomicU64,
    elided: AtomicU64,
    written_messages: AtomicU64,
    read_messages: AtomicU64,
    empty_batches: AtomicU64,
    commit_nanos_max: AtomicU64,
    batch_ops_max: AtomicU64,
    commit_times: Histogram,
    lag_times: Histogram,
    batch_ops: Histogram,
    batch_bytes: Histogram,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            ops: AtomicU64::new(0),
            elided: AtomicU64::new(0),
            written_messages: AtomicU64::new(0),
            read_messages: AtomicU64::new(0),
            empty_batches: AtomicU64::new(0),
            commit_nanos_max: AtomicU64::new(0),
            batch_ops_max: AtomicU64::new(0),
            commit_times: Histogram::of_time(),
            lag_times: Histogram::of_time(),
            batch_ops: Histogram::of_numbers(),
            batch_bytes: Histogram::of_sizes(),
        }
    }
}

impl Counters {
    pub(super) fn batch(&self, done: BatchDone) {
        self.ops.fetch_add(done.ops, Relaxed);
        self.batch_ops_max.fetch_max(done.ops, Relaxed);
        self.batch_ops.add(done.ops);
        self.batch_bytes.add(done.bytes);
        self.lag_times.add_time(done.lag);
        if done.has_written {
            self.commit_times.add_time(done.took);
            self.commit_nanos_max.fetch_max(done.took.as_nanos() as u64, Relaxed);
        } else {
            self.empty_batches.fetch_add(1, Relaxed);
        }
    }

    /// Of so many messages of a batch so many were settled before they had to be written.
    pub(super) fn written(&self, messages: u64, elided: u64) {
        self.elided.fetch_add(elided, Relaxed);
        self.written_messages.fetch_add(messages.saturating_sub(elided), Relaxed);
    }

    pub(super) fn read(&self, messages: u64) {
        self.read_messages.fetch_add(messages, Relaxed);
    }

    pub(super) fn stats(&self) -> StoreStats {
        let commit_times = self.commit_times.get();
        StoreStats {
            ops: self.ops.load(Relaxed),
            elided: self.elided.load(Relaxed),
            written_messages: self.written_messages.load(Relaxed),
            read_messages: self.read_messages.load(Relaxed),
            commits: commit_times.count(),
            empty_batches: self.empty_batches.load(Relaxed),
            commit_nanos: commit_times.sum,
            commit_nanos_max: self.commit_nanos_max.load(Relaxed),
            batch_ops_max: self.batch_ops_max.load(Relaxed),
            commit_times,
            lag_times: self.lag_times.get(),
            batch_ops: self.batch_ops.get(),
            batch_bytes: self.batch_bytes.get(),
            ..StoreStats::default()
        }
    }
}
