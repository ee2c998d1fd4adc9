//! Deadlines: who wants to be called, and when.
//!
//! Floor 4, and so without a clock (R9): whoever arms a deadline says when it is, and the one task
//! of `server::timers` says what time it is. Whoever waits for anything arms itself here: queues,
//! delayed exchanges.
//!
//! * A target has one deadline here at a time, the earliest it armed. So there are never more
//!   deadlines than targets (R8), and a queue may arm one for each message it takes: one that is
//!   no earlier than the one it has costs a look-up.
//! * Being called ends that deadline. The target looks at what it has, does what is due, and arms
//!   the next. It may be called before anything is due, and does nothing then.
//!
//! # Locks
//! One short mutex, which may be taken under a queue's lock; nothing is called under it (R3, R4).

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use super::queue::Effects;
use crate::clock::{Now, UnixTime};

/// Something that waits for a moment.
pub trait OnDeadline: fmt::Debug + Send + Sync {
    /// A moment that this armed has come, or one before it. Does what is due by `now` (by `time`,
    /// for what is stored) and arms what comes next; what would take long, it does in parts, arming
    /// `now` itself. Called by the timer thread, with no lock held; the wakes in `fx` are paid
    /// after.
    fn on_deadline(self: Arc<Self>, now: Now, time: UnixTime, fx: &mut Effects);
}

/// The deadlines of one broker.
#[derive(Debug, Default)]
pub struct Timers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The targets by their deadlines; equal ones in the order in which they were armed.
    armed: BTreeMap<(Now, u64), Weak<dyn OnDeadline>>,
    /// The deadline of each target, by its address, which is its own as long as `armed` holds it.
    of_target: HashMap<usize, (Now, u64)>,
    /// Counts the deadlines that were armed.
    next_number: u64,
    /// The timer thread, while it sleeps, and the moment until which it does.
    sleeper: Option<(Option<Now>, Waker)>,
}

impl Timers {
    /// Has `target` called at `at`, or earlier if it is to be called earlier anyway.
    pub fn arm(&self, at: Now, target: Weak<dyn OnDeadline>) {
        let address = Weak::as_ptr(&target).cast::<()>() as usize;
        let woken = {
            let mut state = self.state();
            if state.of_target.get(&address).is_some_and(|(earlier, _)| *earlier <= at) {
                return;
            }
            let number = state.next_number;
            state.next_number += 1;
            if let Some(later) = state.of_target.insert(address, (at, number)) {
                state.armed.remove(&later);
            }
            state.armed.insert((at, number), target);
            state.sleeper.take_if(|(until, _)| until.is_none_or(|until| at < until))
        };
        if let Some((_, waker)) = woken {
            waker.wake();
        }
    }

    /// The next deadline.
    pub fn next(&self) -> Option<Now> {
        self.state().next()
    }

    /// Takes out the targets whose deadline is not after `now`, the earliest first, but for those
    /// that are no more.
    pub fn expired(&self, now: Now) -> Vec<Arc<dyn OnDeadline>> {
        let mut due = Vec::new();
        {
            let mut state = self.state();
            while let Some(first) = state.armed.first_entry()
                && first.key().0 <= now
            {
                let target = first.remove();
                state.of_target.remove(&(Weak::as_ptr(&target).cast::<()>() as usize));
                due.push(target);
            }
        }
        due.into_iter().filter_map(|target| target.upgrade()).collect()
    }

    /// Is ready when there is a deadline before `moment`; with none, when there is one at all. The
    /// task is woken when that comes to be.
    pub fn poll_before(&self, moment: Option<Now>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let is_before = |next: Now| moment.is_none_or(|moment| next < moment);
        if state.next().is_some_and(is_before) {
            return Poll::Ready(());
        }
        state.sleeper = Some((moment, cx.waker().clone()));
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing foreign runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&self) -> Option<Now> {
        self.armed.first_key_value().map(|((at, _), _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Target(usize);

    impl fmt::Debug for Target {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "target {}", self.0)
        }
    }

    impl OnDeadline for Target {
        fn on_deadline(self: Arc<Self>, _now: Now, _time: UnixTime, _fx: &mut Effects) {}
    }

    fn targets(count: usize) -> Vec<Arc<dyn OnDeadline>> {
        (0..count).map(|number| Arc::new(Target(number)) as Arc<dyn OnDeadline>).collect()
    }

    fn at(millis: u64) -> Now {
        Now::from_millis(millis)
    }

    fn names(expired: &[Arc<dyn OnDeadline>]) -> Vec<String> {
        expired.iter().map(|target| format!("{target:?}")).collect()
    }

    #[test]
    fn the_earliest_deadline_of_a_target_counts() {
        let (timers, targets) = (Timers::default(), targets(2));
        for (target, millis) in [(0, 30), (1, 20), (0, 10), (0, 40), (0, 10)] {
            timers.arm(at(millis), Arc::downgrade(&targets[target]));
        }
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(names(&timers.expired(at(9))), [""; 0]);
        assert_eq!(names(&timers.expired(at(10))), ["target 0"]);
        assert_eq!(timers.next(), Some(at(20)));
        assert_eq!(names(&timers.expired(at(99))), ["target 1"]);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn equal_deadlines_keep_their_order_and_dead_targets_are_forgotten() {
        let (timers, mut targets) = (Timers::default(), targets(3));
        for target in [2, 0, 1] {
            timers.arm(at(5), Arc::downgrade(&targets[target]));
        }
        targets.remove(0);
        assert_eq!(names(&timers.expired(at(5))), ["target 2", "target 1"]);
        assert!(timers.state().of_target.is_empty());
    }

    #[test]
    fn the_sleeper_is_woken_for_what_is_earlier_alone() {
        use std::task::Wake;
        #[derive(Default)]
        struct Flag(std::sync::atomic::AtomicUsize);
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let (timers, targets, flag) = (Timers::default(), targets(3), Arc::new(Flag::default()));
        let waker = Waker::from(Arc::clone(&flag));
        let mut cx = Context::from_waker(&waker);
        let wakes = || flag.0.load(std::sync::atomic::Ordering::Relaxed);
        assert!(timers.poll_before(None, &mut cx).is_pending());
        timers.arm(at(20), Arc::downgrade(&targets[0]));
        assert_eq!(wakes(), 1);
        assert!(timers.poll_before(None, &mut cx).is_ready());
        assert!(timers.poll_before(Some(at(20)), &mut cx).is_pending());
        timers.arm(at(20), Arc::downgrade(&targets[1]));
        assert_eq!(wakes(), 1);
        timers.arm(at(19), Arc::downgrade(&targets[2]));
        timers.arm(at(18), Arc::downgrade(&targets[2]));
        assert_eq!(wakes(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn every_target_is_called_once_and_on_time(
            armed in proptest::collection::vec((0..8usize, 0..50u64), 0..60),
            step in 1..20u64,
        ) {
            let (timers, targets) = (Timers::default(), targets(8));
            let mut earliest = HashMap::new();
            for (target, millis) in armed {
                timers.arm(at(millis), Arc::downgrade(&targets[target]));
                let known = earliest.entry(format!("target {target}")).or_insert(millis);
                *known = millis.min(*known);
            }
            let mut now = 0;
            while let Some(next) = timers.next() {
                prop_assert!(next > at(now) || now == 0);
                now += step;
                for name in names(&timers.expired(at(now))) {
                    let due = earliest.remove(&name);
                    prop_assert!(due.is_some_and(|due| due <= now && due + step >= now));
                }
            }
            prop_assert!(earliest.is_empty());
        }
    }
}
