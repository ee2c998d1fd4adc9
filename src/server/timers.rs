//! The timer thread: sleeps until the broker's next deadline and calls whoever armed it.
//!
//! A thread of its own, because the runtime's timers count in milliseconds and are late by two or
//! three: delayed messages, expiry and retries are to be on time.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
    thread::{self, JoinHandle, Thread},
};

use crate::{
    broker::{
        queue::Effects,
        timers::{OnDeadline, Timers},
    },
    clock,
};

/// The thread that calls deadlines. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct TimerThread {
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TimerThread {
    /// Starts calling deadlines.
    pub(super) fn start(timers: Arc<Timers>) -> io::Result<Self> {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&is_stopped);
        let work = move || run_blocking(&timers, &stopped);
        let thread = thread::Builder::new().name("lepus-timers".to_owned()).spawn(work)?;
        Ok(Self { is_stopped, thread: Some(thread) })
    }

    /// Ends the thread, and waits until a call that is under way is done.
    pub(super) fn stop_blocking(mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // Its calls are guarded against panics.
            let _ = thread.join();
        }
    }

    fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for TimerThread {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Wakes the timer thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Calls deadlines until it is stopped.
fn run_blocking(timers: &Timers, is_stopped: &AtomicBool) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    while !is_stopped.load(Ordering::Acquire) {
        let next = timers.next();
        if next.is_some_and(|next| next <= clock::now()) {
            call(timers);
        } else if timers.poll_before(next, &mut Context::from_waker(&waker)).is_pending() {
            clock::park_until_blocking(next);
        }
    }
}

/// Calls everyone whose time has come.
fn call(timers: &Timers) {
    let now = clock::now();
    let mut fx = Effects::default();
    for target in timers.expired(now) {
        let call = || OnDeadline::on_deadline(target, now, clock::unix_time(), &mut fx);
        // A panic ends this call alone; the panic hook has said what and where.
        if catch_unwind(AssertUnwindSafe(call)).is_err() {
            tracing::error!("what was due at a deadline failed");
        }
    }
    fx.wakes.pay();
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, mpsc},
        time::Duration,
    };

    use super::*;
    use crate::clock::{Now, UnixTime};

    #[derive(Debug)]
    struct Target {
        due: Now,
        called: mpsc::SyncSender<(Now, Now)>,
        panics: bool,
    }

    impl OnDeadline for Target {
        fn on_deadline(self: Arc<Self>, now: Now, _time: UnixTime, _fx: &mut Effects) {
            assert!(!self.panics, "as it should");
            self.called.try_send((self.due, now)).unwrap();
        }
    }

    #[test]
    fn deadlines_are_kept_also_those_armed_while_it_sleeps() {
        let timers = Arc::new(Timers::default());
        let thread = TimerThread::start(Arc::clone(&timers)).unwrap();
        let (called, calls) = mpsc::sync_channel(9);
        let mut targets = Vec::new();
        let start = clock::now();
        for millis in [60_000, 90, 30, 60, 10] {
            let due = start.after(Duration::from_millis(millis));
            let (called, panics) = (called.clone(), millis == 10);
            let target: Arc<dyn OnDeadline> = Arc::new(Target { due, called, panics });
            timers.arm(due, Arc::downgrade(&target));
            targets.push(target);
        }
        for millis in [30, 60, 90] {
            let (due, now) = calls.recv_timeout(Duration::from_secs(10)).unwrap();
            assert_eq!(due, start.after(Duration::from_millis(millis)));
            assert!(now >= due);
        }
        assert!(calls.try_recv().is_err());
        thread.stop_blocking();
        assert!(targets.iter().all(|target| Arc::strong_count(target) == 1));
    }
}
