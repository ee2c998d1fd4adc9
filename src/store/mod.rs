//! The store: what outlives the process, and what does not fit in memory.

mod config;
mod error;
mod inbox;
mod op;
mod record;
mod simple;
mod watermark;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll},
    thread::JoinHandle,
};

pub use config::{StoreConfig, SyncMode};
pub use error::StoreError;
pub use op::{RecordKind, StoreOp};
pub use watermark::Registration;

use crate::{
    message::Message,
    names::{CommitSeq, Position, QueueId},
};
use inbox::Inbox;
use watermark::{Watermark, lock};

/// The durable store of one data directory. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

/// What was in the store when it was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Every record: kind, key, value.
    pub records: Vec<(RecordKind, Box<[u8]>, Box<[u8]>)>,
    /// Every queue that has messages, whether a record still speaks of it or not.
    pub queues: HashMap<QueueId, RecoveredQueue>,
}

/// The messages of one queue, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveredQueue {
    /// The place of the first unsettled message.
    pub first: Position,
    /// The place behind the last message ever seen: the next publish may use it.
    pub end: Position,
    /// Unsettled messages.
    pub count: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// A wish to have messages back in memory.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// The queue.
    pub queue: QueueId,
    /// The first place of interest.
    pub from: Position,
    /// The place behind the last of interest.
    pub end: Position,
    /// Bytes of messages after which to stop; at least one message is read if there is any.
    pub max_bytes: usize,
    /// Operations up to this one are seen by the read. It waits until they are written.
    pub after: CommitSeq,
}

/// What a read found.
#[derive(Debug, Default)]
pub struct ReadBatch {
    /// Unsettled messages in the order of their places.
    pub messages: Vec<StoredMessage>,
    /// Where the next read goes on.
    pub next: Position,
    /// Nothing is left before the `end` that was asked for.
    pub is_end: bool,
}

/// A message read back.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    /// Its place in the queue.
    pub position: Position,
    /// The message.
    pub message: Message,
    /// It had been delivered before and came back.
    pub redelivered: bool,
}

/// What the store has done since it was opened.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct StoreStats {
    /// Operations submitted.
    pub ops: u64,
    /// Messages settled before they had to be written.
    pub elided: u64,
    /// Batches written.
    pub commits: u64,
    /// Batches in which nothing was left to write.
    pub empty_batches: u64,
    /// Nanoseconds spent writing and syncing batches, in all.
    pub commit_nanos: u64,
    /// Bytes written to files.
    pub written_bytes: u64,
    /// Bytes of all files.
    pub file_bytes: u64,
    /// Operations waiting to be written, in bytes.
    pub inbox_bytes: u64,
}

/// How a read is answered.
pub(crate) type ReadDone = Box<dyn FnOnce(Result<ReadBatch, StoreError>) + Send>;

#[derive(Debug)]
struct Shared {
    inbox: Inbox,
    durable: Watermark,
    has_failed: AtomicBool,
    failure: OnceLock<Arc<str>>,
    reads: Mutex<Option<mpsc::Sender<ReadJob>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct ReadJob {
    request: ReadRequest,
    done: ReadDone,
}

impl Shared {
    /// Notes the first failure, wakes everyone; from here on nothing is ever confirmed.
    fn fail(&self, why: &str) {
        let _ = self.failure.set(Arc::from(why));
        self.has_failed.store(true, Ordering::Release);
        self.durable.abandon();
        self.inbox.room.release(u64::MAX);
    }
}

impl Store {
    /// Opens the store in `config.dir`, or creates it.
    ///
    /// # Errors
    /// Each says what to do about it; none of them changes what is there.
    pub fn open(config: StoreConfig) -> Result<(Self, Recovered), StoreError> {
        simple::open(config)
    }

    /// Submits an operation and returns its number. Never blocks for longer than a push takes.
    ///
    /// # Locks
    /// The inbox, for a push. Called with the queue's lock held, which is what makes the order of
    /// the operations the order of the queue.
    pub fn submit(&self, op: StoreOp) -> CommitSeq {
        self.submit_all([op])
    }

    /// Submits operations and returns the number of the last one; with none, of the last so far.
    pub fn submit_all(&self, ops: impl IntoIterator<Item = StoreOp>) -> CommitSeq {
        CommitSeq(self.shared.inbox.submit(ops))
    }

    /// Says that somebody waits for `needed`, so that it is written without lingering.
    /// [`Self::poll_durable`] does this itself; calling it earlier starts the write earlier.
    pub fn hasten(&self, needed: CommitSeq) {
        self.shared.inbox.hasten(needed.0);
    }

    /// Everything up to here is durable, or was settled before it had to be.
    pub fn durable(&self) -> CommitSeq {
        CommitSeq(self.shared.durable.get())
    }

    /// Is ready once [`Self::durable`] has reached `needed`, or the store has failed: see
    /// [`Self::failed`]. Until then the task of `cx` is parked in `registration`.
    pub fn poll_durable(
        &self,
        needed: CommitSeq,
        registration: &mut Registration,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let shared = &*self.shared;
        let is_ready =
            || shared.durable.get() >= needed.0 || shared.has_failed.load(Ordering::Acquire);
        if is_ready() {
            return Poll::Ready(());
        }
        shared.durable.park(needed.0, registration, cx);
        shared.inbox.hasten(needed.0);
        if is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether more waits to be written than should: publishers are to pause.
    pub fn is_full(&self) -> bool {
        self.shared.inbox.is_full()
    }

    /// Is ready when the store is not full, or has failed.
    pub fn poll_room(&self, registration: &mut Registration, cx: &mut Context<'_>) -> Poll<()> {
        let is_ready = || !self.is_full() || self.shared.has_failed.load(Ordering::Acquire);
        if is_ready() {
            return Poll::Ready(());
        }
        self.shared.inbox.room.park(0, registration, cx);
        if is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Why nothing will be confirmed any more, if so.
    pub fn failed(&self) -> Option<Arc<str>> {
        if !self.shared.has_failed.load(Ordering::Acquire) {
            return None;
        }
        self.shared.failure.get().map(Arc::clone)
    }

    /// Reads messages back on the store's own thread; `done` is called there.
    pub fn read(
        &self,
        request: ReadRequest,
        done: impl FnOnce(Result<ReadBatch, StoreError>) + Send + 'static,
    ) {
        self.hasten(request.after);
        let job = ReadJob { request, done: Box::new(done) };
        let refused = match &*lock(&self.shared.reads) {
            Some(reads) => reads.send(job).err().map(|e| e.0),
            None => Some(job),
        };
        if let Some(job) = refused {
            (job.done)(Err(StoreError::Closed));
        }
    }

    /// Writes what was submitted, ends the threads and releases the directory. Later submits go
    /// nowhere. Closing again does nothing. Blocks until done.
    pub fn close(&self) {
        self.shared.inbox.close();
        lock(&self.shared.reads).take();
        let threads = std::mem::take(&mut *lock(&self.shared.threads));
        for thread in threads {
            let _ = thread.join();
        }
    }

    /// What the store has done since it was opened.
    pub fn stats(&self) -> StoreStats {
        StoreStats::default()
    }
}

#[cfg(test)]
mod tests;
