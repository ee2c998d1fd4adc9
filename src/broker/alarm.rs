//! Alarms: while one is raised, connections that publish are not read from.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// Why publishers must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Alarm {
    /// Memory in use is over the watermark.
    Memory = 1,
    /// Free disk space is below the limit.
    Disk = 2,
}

/// The gate that publishers pass: shut while an alarm is raised (AL-001 to AL-007).
#[derive(Debug, Default)]
pub struct Gate {
    raised: AtomicU8,
    waiting: Mutex<Vec<Waker>>,
}

impl Gate {
    /// Whether any alarm is raised.
    pub fn is_shut(&self) -> bool {
        self.raised.load(Ordering::Acquire) != 0
    }

    /// Raises or clears an alarm. Returns whether that changed anything.
    pub fn set(&self, alarm: Alarm, is_raised: bool) -> bool {
        let bit = alarm as u8;
        let before = if is_raised {
            self.raised.fetch_or(bit, Ordering::AcqRel)
        } else {
            self.raised.fetch_and(!bit, Ordering::AcqRel)
        };
        if before & !bit == 0 && !is_raised {
            let waiting = std::mem::take(&mut *self.waiting());
            waiting.into_iter().for_each(Waker::wake);
        }
        (before & bit != 0) != is_raised
    }

    /// The reason that `connection.blocked` gives (AL-006).
    pub fn reason(&self) -> &'static str {
        match self.raised.load(Ordering::Acquire) {
            1 => "low on memory",
            2 => "low on disk",
            _ => "low on memory & low on disk",
        }
    }

    /// Ready when the gate is open; else the task is woken when it opens.
    pub fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_shut() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting();
        if !self.is_shut() {
            return Poll::Ready(());
        }
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
