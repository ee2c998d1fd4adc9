//! The watermark: how far everything is durable, and who waits for it to move.
//!
//! * Written by the store thread alone, read by everyone with one atomic load.
//! * A waiter parks its waker together with the number it needs, and is woken once that number is
//!   reached, not at every move.
//! * Polling again while parked costs one uncontended lock and adds nothing.
//!
//! # Locks
//! The list of waiters, then a waiter's own cell; both are held for a few instructions, and never
//! while a waker runs.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
};

/// A task's place among the waiters. Keep one per task and use it for every poll.
#[derive(Debug, Default)]
pub struct Registration {
    cell: Option<Arc<Cell>>,
}

#[derive(Debug, Default)]
struct Cell(Mutex<Parked>);

#[derive(Debug, Default)]
struct Parked {
    needed: u64,
    /// Present while the cell stands in the list.
    waker: Option<Waker>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(cell) = &self.cell {
            lock(&cell.0).waker = None;
        }
    }
}

/// Tasks that wait for a number to be reached.
#[derive(Debug, Default)]
pub struct Waiters {
    cells: Mutex<Vec<Arc<Cell>>>,
}

impl Waiters {
    /// Parks `cx`'s waker until [`Self::release`] is called with at least `needed`. The caller
    /// checks its condition again afterwards, so that a move in between is not missed.
    pub fn park(&self, needed: u64, registration: &mut Registration, cx: &Context<'_>) {
        let cell = registration.cell.get_or_insert_default();
        {
            let mut parked = lock(&cell.0);
            parked.needed = needed;
            match &mut parked.waker {
                Some(waker) => {
                    waker.clone_from(cx.waker());
                    return;
                }
                none => *none = Some(cx.waker().clone()),
            }
        }
        let mut cells = lock(&self.cells);
        if cells.len() == cells.capacity() {
            // Before the list grows, those who wait no more leave it.
            cells.retain(|cell| lock(&cell.0).waker.is_some());
        }
        cells.push(Arc::clone(cell));
    }

    /// Wakes everyone whose number is at most `reached`.
    pub fn release(&self, reached: u64) {
        let mut woken = Vec::new();
        lock(&self.cells).retain(|cell| {
            let mut parked = lock(&cell.0);
            if parked.needed <= reached || parked.waker.is_none() {
                woken.extend(parked.waker.take());
                return false;
            }
            true
        });
        woken.into_iter().for_each(Waker::wake);
    }
}

/// The number up to which everything is durable, or was settled before it had to be.
#[derive(Debug, Default)]
pub(super) struct Watermark {
    reached: AtomicU64,
    waiters: Waiters,
}

impl Watermark {
    /// Where the watermark stands.
    pub(super) fn get(&self) -> u64 {
        self.reached.load(Ordering::Acquire)
    }

    /// Moves the watermark and wakes whoever waited for that.
    pub(super) fn advance(&self, reached: u64) {
        self.reached.store(reached, Ordering::Release);
        self.waiters.release(reached);
    }

    /// See [`Waiters::park`].
    pub(super) fn park(&self, needed: u64, registration: &mut Registration, cx: &Context<'_>) {
        self.waiters.park(needed, registration, cx);
    }

    /// Wakes everyone, because the watermark will never move again.
    pub(super) fn abandon(&self) {
        self.waiters.release(u64::MAX);
    }
}

/// Locks `mutex`. A panic elsewhere is dealt with where it happened, not at every later lock.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
