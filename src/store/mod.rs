//! The store: what outlives the process, and what does not fit in memory.
//!
//! * [`Store::submit`] hands over operations in order and waits for nothing; the watermark says how
//!   far they are durable. A confirm waits for the watermark, which by default waits for fdatasync.
//! * One thread writes. All that was submitted while it synced is its next batch (group commit).
//! * A message settled before its batch is written is never written: elision.
//! * Messages are packed into pages of up to 64 KiB, one row each. A row per message would pay
//!   redb's key, tree and copy for each; a page pays them once for some 60 messages of 1 KiB.
//! * Every commit goes through the hot file, which stays small, so that a commit costs the same
//!   however long the queues are. Bulk is appended to cold segments, in which nothing is ever
//!   changed and which are deleted as files.
//! * Segments record redb's allocator state with each append (quick repair), so that they open at
//!   once after a crash. The directory is read from their index; the bodies are left alone.
//! * Transient messages that have to leave memory go to a spill file, which is never synced.
//!
//! # Figures
//! One run of `cargo bench --bench store -- <what>` on a shared virtual machine of two cores, in
//! which an fdatasync (`sync`) took 145 us at the median. MiB are resident memory.
//!
//! | what | seen |
//! | --- | --- |
//! | `single 3000`, settled | p50 159 us, p99 462 us for a commit; 20.8 KB written each |
//! | `window 300000 100 20000` | 6.97 M messages/s, 99.0 % elided, 0.03 bytes written per byte |
//! | `window 200000 1024 20000` | 3.82 M messages/s, 97.7 % elided, 0.03 bytes written per byte |
//! | `steady 500000 100 100000` | 2.14 M messages/s, 1.21 bytes written per byte |
//! | `backlog 1000000 1024` | grows at 680 k/s, 1.05 bytes written per byte, at most 143 MiB |
//! | ... after `kill -9`, caches dropped | open in 88 ms, drained at 1.16 M/s, 12 MB left |
//! | `backlog 10000000 1024` (10.6 GB) | grows at 660 k/s, at most 153 MiB |
//! | ... after `kill -9`, caches dropped | open in 241 ms, drained at 1.03 M/s, 12 MB left |
//! | `spill 500000 1024` | out at 1.18 M/s, back at 2.05 M/s |
//! | `bodies` of 100 kB, 1 MB, 10 MB | 1.032, 1.006, 1.005 bytes on the disk per byte |
//!
//! So a single confirm costs one sync and some 15 us, and what follows it closely costs
//! a fraction of a microsecond; neither depends on how much is stored.

mod chores;
mod cold;
mod config;
mod directory;
mod disk;
mod error;
mod hot;
mod inbox;
mod index;
mod op;
mod page;
mod reader;
mod record;
mod recover;
mod schema;
mod spill;
mod state;
mod stats;
mod volumes;
mod watermark;
mod writer;

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll},
    thread::{self, JoinHandle},
};

pub use config::{StoreConfig, SyncMode};
pub use error::StoreError;
pub use op::{RecordKind, Standing, StoreOp};
pub use stats::StoreStats;
pub use watermark::{Registration, Waiters};

use crate::{
    message::Message,
    names::{CommitSeq, Position, QueueId},
};
use cold::Cold;
use disk::{Directory as DiskDirectory, Disk};
use inbox::Inbox;
use spill::Spill;
use stats::Counters;
use volumes::Volumes;
use watermark::{Watermark, lock};
use writer::Writer;

/// The durable store of one data directory. Cloning shares it; it is closed with its last clone.
#[derive(Clone, Debug)]
pub struct Store {
    handle: Arc<Handle>,
}

/// Closes the store when dropped.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close_blocking();
    }
}

/// A record: kind, key, value.
pub type Record = (RecordKind, Box<[u8]>, Box<[u8]>);

/// A group of operations that is being submitted; ends when dropped.
#[derive(Debug)]
pub struct Group<'a> {
    inbox: &'a Inbox,
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        self.inbox.end_group();
    }
}

/// What was in the store when it was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Every record.
    pub records: Vec<Record>,
    /// Every queue that has messages or traces of some, whether a record still speaks of it or
    /// not. Those of which none does are to be dropped by [`StoreOp::DropQueue`].
    pub queues: HashMap<QueueId, RecoveredQueue>,
    /// When those of their messages expire that do, or are ready that came back, a page at a time,
    /// in the order of their places.
    pub deadlines: HashMap<QueueId, Vec<Deadline>>,
    /// From this number on no queue has left a trace. New queues must be numbered from here, or
    /// from behind those in the records if that is higher.
    pub queue_id_floor: QueueId,
}

/// When the first of the messages in a stretch of places expires, or is ready again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The first place.
    pub from: Position,
    /// The place behind the last.
    pub end: Position,
    /// Milliseconds since 1970; it may be that of a message that is settled.
    pub at: u64,
}

/// The messages of one queue, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveredQueue {
    /// The place of the first unsettled message, if there is one.
    pub first: Position,
    /// No message has left a trace here or behind: the next publish must not be before it.
    pub end: Position,
    /// Unsettled messages; may be 0.
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
    /// How it stands in the queue.
    pub standing: Standing,
}

/// How a read is answered.
pub(crate) type ReadDone = Box<dyn FnOnce(Result<ReadBatch, StoreError>) + Send>;

/// What the handles, the store thread and the reader share.
#[derive(Debug)]
pub(crate) struct Shared {
    inbox: Inbox,
    durable: Watermark,
    /// The same number, for threads that block until it moves.
    written: Mutex<Written>,
    has_written: Condvar,
    has_failed: AtomicBool,
    failure: OnceLock<Arc<str>>,
    counters: Counters,
    reads: Mutex<Option<mpsc::Sender<ReadJob>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    disk: Mutex<Option<Arc<dyn Disk>>>,
}

/// A read on its way to the reader.
struct ReadJob {
    request: ReadRequest,
    done: ReadDone,
}

impl fmt::Debug for ReadJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadJob").field("request", &self.request).finish_non_exhaustive()
    }
}

/// How far the store thread has come, for threads that wait for it.
#[derive(Debug, Default)]
struct Written {
    reached: u64,
    /// Threads that wait.
    waiting: usize,
}

impl Shared {
    fn new(config: &StoreConfig, disk: Arc<dyn Disk>, reads: mpsc::Sender<ReadJob>) -> Self {
        Self {
            inbox: Inbox::new(config.inbox_bytes_max, config.linger, config.linger_bytes_max),
            durable: Watermark::default(),
            written: Mutex::default(),
            has_written: Condvar::new(),
            has_failed: AtomicBool::new(false),
            failure: OnceLock::new(),
            counters: Counters::default(),
            reads: Mutex::new(Some(reads)),
            threads: Mutex::default(),
            disk: Mutex::new(Some(disk)),
        }
    }

    fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Ends the store because of an error, which the log gets.
    fn fail(&self, why: &str) {
        if self.failure.set(Arc::from(why)).is_ok() {
            tracing::error!("{}", StoreError::Failed { why: why.into() });
        }
        self.end();
    }

    /// Wakes everyone: from here on nothing is ever confirmed.
    fn end(&self) {
        self.has_failed.store(true, Ordering::Release);
        self.inbox.abandon();
        self.durable.abandon();
        drop(lock(&self.written));
        self.has_written.notify_all();
    }

    /// Moves the watermark. Called by the store thread.
    fn advance(&self, reached: u64) {
        self.durable.advance(reached);
        let mut written = lock(&self.written);
        written.reached = reached;
        // A condition that nobody waits for costs a system call all the same.
        let is_awaited = written.waiting > 0;
        drop(written);
        if is_awaited {
            self.has_written.notify_all();
        }
    }

    /// Waits until operation `needed` is written; whether it was.
    fn wait_written_blocking(&self, needed: u64) -> bool {
        self.inbox.hasten(needed);
        let mut written = lock(&self.written);
        written.waiting += 1;
        while written.reached < needed && !self.has_failed() {
            written = self.has_written.wait(written).unwrap_or_else(PoisonError::into_inner);
        }
        written.waiting -= 1;
        written.reached >= needed
    }

    fn failure_error(&self) -> StoreError {
        self.failure.get().map_or(StoreError::Closed, |why| StoreError::Failed { why: why.clone() })
    }

    fn close_blocking(&self) {
        self.inbox.close();
        lock(&self.reads).take();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // The last handle may be dropped by an answer to a read.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
        lock(&self.disk).take();
    }
}

impl Store {
    /// Opens the store in `config.dir`, or creates it.
    ///
    /// # Errors
    /// Each says what to do about it; none of them changes what is there.
    #[allow(clippy::needless_pass_by_value, reason = "whoever opens a store is done with it")]
    pub fn open(config: StoreConfig) -> Result<(Self, Recovered), StoreError> {
        let disk: Arc<dyn Disk> = Arc::new(DiskDirectory::open(&config.dir, config.sync)?);
        Self::open_on(&disk, &config)
    }

    /// Opens the store on a disk of any kind.
    #[expect(clippy::disallowed_methods, reason = "no more reads wait than there are queues")]
    fn open_on(
        disk: &Arc<dyn Disk>,
        config: &StoreConfig,
    ) -> Result<(Self, Recovered), StoreError> {
        // What a damaged file says may lead astray behind the reading of it, too.
        let found = catch_unwind(AssertUnwindSafe(|| recover::open(&**disk, config.cache_bytes)));
        let found = found.unwrap_or_else(|panic| {
            let what = panic_text(&*panic).to_owned();
            Err(StoreError::Damaged { path: disk.path().to_owned(), what })
        })?;
        let volumes = Arc::new(Volumes::new(found.hot, found.segments));
        let (sender, jobs) = mpsc::channel();
        let shared = Arc::new(Shared::new(config, Arc::clone(disk), sender));
        let mut writer = Writer {
            shared: Arc::clone(&shared),
            volumes: Arc::clone(&volumes),
            directory: found.directory,
            hot: found.hot_count,
            hot_bytes_max: config.hot_bytes_max,
            direct_bytes_min: config.direct_bytes_min,
            sync: config.sync,
            is_loose: false,
            cold: Cold {
                volumes: Arc::clone(&volumes),
                disk: Arc::clone(disk),
                active: found.active,
                next_id: found.next_segment,
                appends: found.appends,
                counts: found.counts,
                segment_bytes: config.segment_bytes,
            },
            spill: Spill {
                volumes: Arc::clone(&volumes),
                disk: Arc::clone(disk),
                pages: 0,
                bytes: 0,
            },
            heads: found.heads,
            sparse: None,
        };
        let store = Self { handle: Arc::new(Handle { shared: Arc::clone(&shared) }) };
        spawn("lepus-store", &shared, move |shared| {
            let ended = writer.run();
            drop(writer);
            ended?;
            let _ = shared.failure.set(Arc::from(StoreError::Closed.to_string()));
            shared.end();
            Ok(())
        })?;
        spawn("lepus-reader", &shared, move |shared| {
            reader::run(shared, &volumes, &jobs);
            Ok(())
        })?;
        if let SyncMode::Interval(interval) = config.sync {
            spawn("lepus-sync", &shared, move |shared| {
                while !shared.inbox.is_closed_within(interval) {
                    shared.inbox.demand_sync();
                }
                Ok(())
            })?;
        }
        Ok((store, found.recovered))
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
        CommitSeq(self.handle.shared.inbox.submit(ops))
    }

    /// The number of the last operation submitted so far.
    pub fn submitted(&self) -> CommitSeq {
        self.submit_all([])
    }

    /// Begins a group: what is submitted while it lives, by whomever, becomes durable all at once
    /// or not at all. It holds up the store, so it lives for moments only and never across a wait.
    pub fn group(&self) -> Group<'_> {
        self.handle.shared.inbox.begin_group();
        Group { inbox: &self.handle.shared.inbox }
    }

    /// Says that somebody waits for `needed`, so that it is written without lingering.
    /// [`Self::poll_durable`] does this itself; calling it earlier starts the write earlier.
    pub fn hasten(&self, needed: CommitSeq) {
        self.handle.shared.inbox.hasten(needed.0);
    }

    /// Everything up to here is durable, or was settled before it had to be.
    pub fn durable(&self) -> CommitSeq {
        CommitSeq(self.handle.shared.durable.get())
    }

    /// Is ready once [`Self::durable`] has reached `needed`, or the store has failed: see
    /// [`Self::failed`]. Until then the task of `cx` is parked in `registration`.
    pub fn poll_durable(
        &self,
        needed: CommitSeq,
        registration: &mut Registration,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let shared = &*self.handle.shared;
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
        self.handle.shared.inbox.is_full()
    }

    /// Is ready when the store is not full, or has failed.
    pub fn poll_room(&self, registration: &mut Registration, cx: &mut Context<'_>) -> Poll<()> {
        let is_ready = || !self.is_full() || self.handle.shared.has_failed.load(Ordering::Acquire);
        if is_ready() {
            return Poll::Ready(());
        }
        self.handle.shared.inbox.room.park(0, registration, cx);
        if is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Why nothing will be confirmed any more, if so: an error, or that the store is closed.
    pub fn failed(&self) -> Option<Arc<str>> {
        if !self.handle.shared.has_failed.load(Ordering::Acquire) {
            return None;
        }
        self.handle.shared.failure.get().map(Arc::clone)
    }

    /// Waits for [`Self::failed`], and gives what it says.
    pub async fn failure(&self) -> Arc<str> {
        let mut registration = Registration::default();
        poll_fn(|cx| {
            let poll = || self.failed().map_or(Poll::Pending, Poll::Ready);
            if poll().is_pending() {
                // No operation has this number: only the end of the store wakes whoever waits.
                self.handle.shared.durable.park(u64::MAX, &mut registration, cx);
            }
            poll()
        })
        .await
    }

    /// Reads messages back on the store's own thread; `done` is called there.
    pub fn read(
        &self,
        request: ReadRequest,
        done: impl FnOnce(Result<ReadBatch, StoreError>) + Send + 'static,
    ) {
        self.hasten(request.after);
        let job = ReadJob { request, done: Box::new(done) };
        let refused = match &*lock(&self.handle.shared.reads) {
            Some(reads) => reads.send(job).err().map(|e| e.0),
            None => Some(job),
        };
        if let Some(job) = refused {
            (job.done)(Err(StoreError::Closed));
        }
    }

    /// Writes what was submitted, ends the threads and releases the directory. What is submitted
    /// later goes nowhere. Closing again does nothing. Blocks until done.
    pub fn close(&self) {
        self.handle.shared.close_blocking();
    }

    /// What the store has done since it was opened.
    pub fn stats(&self) -> StoreStats {
        let shared = &self.handle.shared;
        let mut stats = shared.counters.stats();
        stats.inbox_bytes = shared.inbox.bytes();
        // The watermark is looked at first: behind what is submitted later, it lags.
        let durable = shared.durable.get();
        stats.lag_ops = shared.inbox.last().saturating_sub(durable);
        if let Some(disk) = &*lock(&shared.disk) {
            stats.written_bytes = disk.counts().written.load(Ordering::Relaxed);
            stats.sync_times = disk.counts().syncs.get();
            stats.file_bytes = disk.file_bytes();
        }
        stats
    }
}

/// Starts a thread of the store. Its error or panic fails the store.
fn spawn(
    name: &str,
    shared: &Arc<Shared>,
    work: impl FnOnce(&Arc<Shared>) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), StoreError> {
    let for_thread = Arc::clone(shared);
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        let shared = for_thread;
        match catch_unwind(AssertUnwindSafe(|| work(&shared))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => shared.fail(&error.to_string()),
            Err(panic) => shared.fail(&format!("a thread panicked: {}", panic_text(&*panic))),
        }
    });
    let thread =
        thread.map_err(|source| StoreError::Unreadable { path: "thread".into(), source })?;
    lock(&shared.threads).push(thread);
    Ok(())
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text")
}

#[cfg(test)]
mod tests;
