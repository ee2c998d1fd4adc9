//! Alarms: while one is raised, connections that publish are not read from, nor those that go on
//! with a message they have begun.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    task::{Context, Poll},
};

use crate::store::{Registration, Waiters};

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
    waiting: Waiters,
}

impl Gate {
    /// Whether any alarm is raised.
    pub fn is_shut(&self) -> bool {
        self.raised.load(Ordering::Acquire) != 0
    }

    /// Whether this alarm is raised.
    pub fn is_raised(&self, alarm: Alarm) -> bool {
        self.raised.load(Ordering::Acquire) & alarm as u8 != 0
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
            self.waiting.release(u64::MAX);
        }
        (before & bit != 0) != is_raised
    }

    /// The reason that `connection.blocked` gives (AL-006); none while the gate is open.
    pub fn reason(&self) -> Option<&'static str> {
        match self.raised.load(Ordering::Acquire) {
            0 => None,
            1 => Some("low on memory"),
            2 => Some("low on disk"),
            _ => Some("low on memory & low on disk"),
        }
    }

    /// Ready when the gate is open; else the task of `cx` is parked in `registration` until it
    /// opens.
    pub fn poll_open(&self, registration: &mut Registration, cx: &Context<'_>) -> Poll<()> {
        if !self.is_shut() {
            return Poll::Ready(());
        }
        self.waiting.park(0, registration, cx);
        if self.is_shut() { Poll::Pending } else { Poll::Ready(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicUsize},
        task::{Wake, Waker},
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn opens_when_the_last_alarm_is_over() {
        let gate = Gate::default();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        let mut registration = Registration::default();
        assert!(gate.poll_open(&mut registration, &cx).is_ready());
        assert_eq!(gate.reason(), None);

        assert!(gate.set(Alarm::Memory, true));
        assert!(!gate.set(Alarm::Memory, true));
        assert_eq!(gate.reason(), Some("low on memory"));
        assert!(gate.set(Alarm::Disk, true));
        assert_eq!(gate.reason(), Some("low on memory & low on disk"));
        assert!(gate.poll_open(&mut registration, &cx).is_pending());
        assert!(gate.poll_open(&mut registration, &cx).is_pending());

        assert!(gate.set(Alarm::Memory, false));
        assert_eq!(gate.reason(), Some("low on disk"));
        assert!(gate.is_shut());
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        assert!(gate.set(Alarm::Disk, false));
        assert!(!gate.set(Alarm::Disk, false));
        assert!(!gate.is_shut());
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }
}
