//! The inbox: operations submitted and not yet taken by the store thread.
//!
//! * One short mutex. A submit pushes, counts, and leaves; it wakes the store thread only when
//!   that is in its deep sleep.
//! * The store thread takes everything at once as soon as somebody waits for any of it
//!   ([`Inbox::hasten`]). What nobody waits for lingers a few milliseconds to be settled before it
//!   has to be written, or to share a sync.
//! * Its size has a limit, counted from submit until written; above it the broker's gate shuts.
//!
//! # Locks
//! Taken with a queue's lock held (R4), hence never held across anything that may block.

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    op::StoreOp,
    watermark::{Waiters, lock},
};
use crate::clock::{self, Now};

/// Rounds of `linger` for which the store thread stays half awake after its last work, so that a
/// submit need not wake it.
const WARM_ROUNDS: u32 = 200;

/// What the store thread takes out of the inbox.
#[derive(Debug)]
pub(super) struct Taken {
    /// The operations, in the order of their numbers.
    pub(super) ops: Vec<StoreOp>,
    /// The number of the last one.
    pub(super) last: u64,
    /// The bytes they were counted as.
    pub(super) bytes: usize,
    /// When the first of them was submitted.
    pub(super) since: Now,
    /// The interval after which written operations are to be synced has passed.
    pub(super) is_sync_due: bool,
    /// Nothing has come for a while, and this is the first time that it is said.
    pub(super) is_idle: bool,
    /// The inbox is closed: nothing comes after these.
    pub(super) is_closed: bool,
}

/// Operations on their way to the store thread.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
    /// Is notified when the inbox is closed.
    closing: Condvar,
    /// The number up to which the store thread has taken operations.
    taken: AtomicU64,
    /// The number up to which somebody waits for operations, whether they are taken or not.
    hurried: AtomicU64,
    /// Bytes submitted and not yet written.
    bytes: AtomicUsize,
    bytes_max: usize,
    linger: Duration,
    linger_bytes_max: usize,
    /// Who waits for room.
    pub(super) room: Waiters,
}

#[derive(Debug, Default)]
struct State {
    ops: Vec<StoreOp>,
    /// The number of the last operation submitted.
    last: u64,
    /// Bytes of `ops`.
    bytes: usize,
    /// When the first of `ops` was submitted.
    since: Now,
    is_closed: bool,
    /// Groups of operations that are being submitted: nothing is taken in the middle of one.
    open_groups: u32,
    is_sync_due: bool,
    /// The store thread has been told that nothing comes.
    has_been_idle: bool,
    /// Nothing is taken any more: what is submitted is numbered and dropped.
    is_dead: bool,
    sleep: Sleep,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum Sleep {
    /// At work; looks into the inbox before it sleeps.
    #[default]
    Awake,
    /// Looks again within `linger`.
    Light,
    /// Must be woken.
    Deep,
    /// Is woken when the last open group ends.
    Group,
}

impl Inbox {
    pub(super) fn new(bytes_max: usize, linger: Duration, linger_bytes_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            closing: Condvar::new(),
            taken: AtomicU64::new(0),
            hurried: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            bytes_max,
            linger,
            linger_bytes_max,
            room: Waiters::default(),
        }
    }

    /// Adds operations and returns the number of the last one.
    pub(super) fn submit(&self, ops: impl IntoIterator<Item = StoreOp>) -> u64 {
        let mut state = lock(&self.state);
        let before = state.bytes;
        for op in ops {
            state.last += 1;
            if !state.is_dead {
                if state.ops.is_empty() {
                    state.since = clock::now();
                }
                state.bytes += op_bytes(&op);
                state.ops.push(op);
            }
        }
        let last = state.last;
        self.bytes.fetch_add(state.bytes - before, Ordering::Relaxed);
        let must_wake = match state.sleep {
            Sleep::Light => state.bytes >= self.linger_bytes_max,
            Sleep::Deep => !state.ops.is_empty(),
            Sleep::Awake | Sleep::Group => false,
        };
        if must_wake {
            state.sleep = Sleep::Awake;
        }
        drop(state);
        if must_wake {
            self.wake.notify_one();
        }
        last
    }

    /// Says that somebody waits for operation `needed`: it is written as soon as possible. To say
    /// it again costs no lock.
    pub(super) fn hasten(&self, needed: u64) {
        let is_said = |said: &AtomicU64| needed <= said.load(Ordering::Acquire);
        if is_said(&self.hurried) || is_said(&self.taken) {
            return;
        }
        let mut state = lock(&self.state);
        if state.ops.is_empty() || is_said(&self.hurried) {
            return;
        }
        self.hurried.store(state.last, Ordering::Release);
        let must_wake = !matches!(state.sleep, Sleep::Awake | Sleep::Group);
        if must_wake {
            state.sleep = Sleep::Awake;
        }
        drop(state);
        if must_wake {
            self.wake.notify_one();
        }
    }

    /// Begins a group: until [`Self::end_group`] nothing is taken, so that all that is submitted in
    /// between is written together.
    pub(super) fn begin_group(&self) {
        lock(&self.state).open_groups += 1;
    }

    /// Ends a group.
    pub(super) fn end_group(&self) {
        let mut state = lock(&self.state);
        state.open_groups -= 1;
        let must_wake = state.open_groups == 0 && state.sleep == Sleep::Group;
        if must_wake {
            state.sleep = Sleep::Awake;
        }
        drop(state);
        if must_wake {
            self.wake.notify_one();
        }
    }

    /// Waits until there is something to write and takes all of it. `ops` is an empty vector whose
    /// memory is used again. A store thread that `has_chores` gets nothing rather than wait,
    /// and what there is without letting it linger.
    pub(super) fn take_blocking(&self, ops: Vec<StoreOp>, has_chores: bool) -> Taken {
        debug_assert!(ops.is_empty());
        let mut state = lock(&self.state);
        let mut rounds = 0;
        let (mut has_lingered, mut is_idle) = (false, false);
        loop {
            if state.open_groups > 0 {
                // The last of them wakes this thread.
                state.sleep = Sleep::Group;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let is_large = state.bytes >= self.linger_bytes_max;
            // Neither of the two changes without the lock.
            let is_hurried =
                self.hurried.load(Ordering::Relaxed) > self.taken.load(Ordering::Relaxed);
            let is_due = is_hurried || is_large || has_lingered;
            let is_called = state.is_closed || state.is_sync_due || has_chores;
            if is_called || (is_due && !state.ops.is_empty()) {
                break;
            }
            if state.ops.is_empty() && rounds >= WARM_ROUNDS {
                if !state.has_been_idle {
                    is_idle = true;
                    break;
                }
                state.sleep = Sleep::Deep;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                rounds = 0;
            } else {
                rounds += 1;
                let had_ops = !state.ops.is_empty();
                state.sleep = Sleep::Light;
                let (guard, waited) = self
                    .wake
                    .wait_timeout(state, self.linger)
                    .unwrap_or_else(PoisonError::into_inner);
                state = guard;
                // Whether a group has begun meanwhile is looked at above.
                has_lingered = waited.timed_out() && had_ops;
            }
        }
        state.sleep = Sleep::Awake;
        state.has_been_idle = is_idle;
        let taken = Taken {
            ops: std::mem::replace(&mut state.ops, ops),
            last: state.last,
            bytes: std::mem::take(&mut state.bytes),
            since: state.since,
            is_sync_due: std::mem::take(&mut state.is_sync_due),
            is_idle,
            is_closed: state.is_closed,
        };
        self.taken.store(state.last, Ordering::Release);
        taken
    }

    /// Counts `bytes` of operations as written.
    pub(super) fn written(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if !self.is_full() {
            self.room.release(u64::MAX);
        }
    }

    /// Whether more waits than should.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max
    }

    /// The number of the last operation submitted.
    pub(super) fn last(&self) -> u64 {
        lock(&self.state).last
    }

    /// Bytes submitted and not yet written.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed) as u64
    }

    /// Has the store thread sync what it has written.
    pub(super) fn demand_sync(&self) {
        let mut state = lock(&self.state);
        state.is_sync_due = true;
        state.sleep = Sleep::Awake;
        drop(state);
        self.wake.notify_one();
    }

    /// Waits for `time`, or until the inbox is closed; whether it is.
    pub(super) fn is_closed_within(&self, time: Duration) -> bool {
        let state = lock(&self.state);
        let waited = self.closing.wait_timeout_while(state, time, |state| !state.is_closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    /// Drops what is in the inbox and all that will come: the store has failed or is closed.
    pub(super) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.is_dead = true;
        let ops = std::mem::take(&mut state.ops);
        state.bytes = 0;
        drop(state);
        drop(ops);
        self.bytes.store(0, Ordering::Relaxed);
        self.room.release(u64::MAX);
    }

    /// Lets the store thread take what is left and end.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        state.sleep = Sleep::Awake;
        drop(state);
        self.wake.notify_one();
        self.closing.notify_all();
    }
}

fn op_bytes(op: &StoreOp) -> usize {
    size_of::<StoreOp>()
        + match op {
            StoreOp::Put { key, value, .. } => key.len() + value.len(),
            StoreOp::Remove { key, .. } => key.len(),
            StoreOp::Publish { message, .. } | StoreOp::Spill { message, .. } => {
                message.footprint()
            }
            StoreOp::Settle { .. }
            | StoreOp::SettleRange { .. }
            | StoreOp::Returned { .. }
            | StoreOp::DropQueue { .. } => 0,
        }
}
