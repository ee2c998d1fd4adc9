//! The timer task: sleeps until the broker's next deadline and calls whoever armed it.

use std::{
    future::{pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
};

use tokio::task;

use crate::{
    broker::{
        queue::Effects,
        timers::{OnDeadline, Timers},
    },
    clock,
};

/// Calls deadlines until the task is dropped.
pub(super) async fn run(timers: &Timers) {
    loop {
        let next = timers.next();
        let earlier = poll_fn(|cx| timers.poll_before(next, cx));
        let is_due = async {
            match next {
                Some(moment) => clock::sleep_until(moment).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = earlier => continue,
            () = is_due => {}
        }
        call(timers);
        // What is due again at once lets others run in between.
        task::yield_now().await;
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
    use std::{sync::Arc, time::Duration};

    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::{Now, UnixTime};

    #[derive(Debug)]
    struct Target {
        due: Now,
        called: mpsc::Sender<(Now, Now)>,
        panics: bool,
    }

    impl OnDeadline for Target {
        fn on_deadline(self: Arc<Self>, now: Now, _time: UnixTime, _fx: &mut Effects) {
            assert!(!self.panics, "as it should");
            self.called.try_send((self.due, now)).unwrap();
        }
    }

    #[tokio::test]
    async fn deadlines_are_kept_also_those_armed_while_it_sleeps() {
        let timers = Arc::new(Timers::default());
        let task = {
            let timers = Arc::clone(&timers);
            tokio::spawn(async move { run(&timers).await })
        };
        let (called, mut calls) = mpsc::channel(9);
        let mut targets = Vec::new();
        let start = clock::now();
        for millis in [60_000, 90, 30, 60, 10] {
            let due = start.after(Duration::from_millis(millis));
            let (called, panics) = (called.clone(), millis == 10);
            let target: Arc<dyn OnDeadline> = Arc::new(Target { due, called, panics });
            timers.arm(due, Arc::downgrade(&target));
            targets.push(target);
            task::yield_now().await;
        }
        for millis in [30, 60, 90] {
            let call = tokio::time::timeout(Duration::from_secs(10), calls.recv());
            let (due, now) = call.await.unwrap().unwrap();
            assert_eq!(due, start.after(Duration::from_millis(millis)));
            assert!(now >= due);
        }
        assert!(calls.is_empty());
        assert!(targets.iter().all(|target| Arc::strong_count(target) == 1));
        task.abort();
    }
}
