//! How much memory the messages of a queue, and of all queues together, may take.

use std::sync::{
    Arc,
    atomic::{AtomicIsize, Ordering},
};

/// The limits of memory for ready messages, shared by all queues.
#[derive(Debug)]
pub struct Budget {
    /// Bytes for all queues together.
    total_max: isize,
    /// Bytes for one queue.
    queue_max: usize,
    used: AtomicIsize,
}

/// Queues report to the shared count in steps of this many bytes, so that it is no busy line.
const STEP: usize = 64 * 1024;
/// What a queue may always keep, whatever the others take.
const FLOOR: usize = 64 * 1024;
/// A queue that pages moves its latest messages out in batches of this many bytes.
const BATCH: usize = 256 * 1024;
/// How much of what is next a queue that pages has in memory.
const NEAR: usize = 2 * 1024 * 1024;

impl Budget {
    /// A budget of `total_max` bytes for all queues and `queue_max` bytes for each.
    pub fn new(total_max: usize, queue_max: usize) -> Self {
        Self {
            total_max: isize::try_from(total_max).unwrap_or(isize::MAX),
            queue_max,
            used: AtomicIsize::new(0),
        }
    }

    /// Bytes of memory in use by ready messages, to the nearest step of each queue.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed).max(0).cast_unsigned()
    }
}

/// One queue's part of the budget.
#[derive(Debug)]
pub(super) struct Residency {
    budget: Arc<Budget>,
    reported: usize,
}

impl Residency {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, reported: 0 }
    }

    /// The queue's messages take this many bytes now.
    pub(super) fn report(&mut self, bytes: usize) {
        if bytes.abs_diff(self.reported) >= STEP || (bytes == 0 && self.reported > 0) {
            let change = bytes.cast_signed() - self.reported.cast_signed();
            self.budget.used.fetch_add(change, Ordering::Relaxed);
            self.reported = bytes;
        }
    }

    fn is_short(&self) -> bool {
        self.budget.used.load(Ordering::Relaxed) > self.budget.total_max
    }

    /// Whether messages should leave memory.
    pub(super) fn wants_out(&self, is_paging: bool, head_bytes: usize, tail_bytes: usize) -> bool {
        if is_paging {
            return tail_bytes > BATCH.min(self.budget.queue_max);
        }
        head_bytes > self.budget.queue_max || (head_bytes > FLOOR && self.is_short())
    }

    /// Bytes of the next messages that are to be in memory: when the rest leaves, this much stays;
    /// when less is left, this much is read.
    pub(super) fn near_bytes(&self) -> usize {
        self.budget.queue_max.min(if self.is_short() { FLOOR } else { NEAR })
    }
}

impl Drop for Residency {
    fn drop(&mut self) {
        self.report(0);
    }
}
