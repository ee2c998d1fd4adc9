//! How much of the time the consumers of a queue could have taken a message at once.
//!
//! A queue is blocked while a message is ready, there are consumers, and none of them can take it:
//! they hold as many as they may, or their clients do not read. What is told is an average over the
//! time that passed, of which what was a second ago counts half, as RabbitMQ has it
//! (`consumer_capacity`, HT-078).
//!
//! A message costs nothing here: time is looked at when a queue becomes blocked or free again, and
//! the average is brought up to date when that has taken long enough to matter.

use std::time::Duration;

use crate::clock::Now;

/// After so many seconds what was counts half.
const HALF_LIFE: f64 = 1.0;
/// Times are added up until they are as long as this.
const STEP: Duration = Duration::from_millis(50);

/// The part of the time in which a queue was not blocked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    is_blocked: bool,
    /// Since when, or since it was looked at last.
    since: Now,
    /// Times that are not in the average yet.
    free: Duration,
    blocked: Duration,
    average: f64,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            is_blocked: false,
            since: Now::default(),
            free: Duration::ZERO,
            blocked: Duration::ZERO,
            average: 1.0,
        }
    }
}

impl Capacity {
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// From now on the queue is blocked, or is not.
    #[inline]
    pub(super) fn note(&mut self, is_blocked: bool, now: Now) {
        if is_blocked != self.is_blocked {
            self.turn(is_blocked, now);
        }
    }

    fn turn(&mut self, is_blocked: bool, now: Now) {
        self.pass(now);
        if self.free + self.blocked >= STEP {
            self.fold();
        }
        self.is_blocked = is_blocked;
    }

    /// The average, from 0 to 1, as of this moment.
    pub fn at(mut self, now: Now) -> f64 {
        self.pass(now);
        self.fold();
        self.average
    }

    fn pass(&mut self, now: Now) {
        let passed = now.since(self.since);
        *(if self.is_blocked { &mut self.blocked } else { &mut self.free }) += passed;
        // Whoever has no time at hand changes nothing.
        self.since = self.since.max(now);
    }

    fn fold(&mut self) {
        let time = (self.free + self.blocked).as_secs_f64();
        if time > 0.0 {
            let part = self.free.as_secs_f64() / time;
            self.average += (part - self.average) * (1.0 - 0.5_f64.powf(time / HALF_LIFE));
        }
        (self.free, self.blocked) = (Duration::ZERO, Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What it says after being blocked, free, blocked and so on for so many milliseconds each.
    fn after(times: &[u64]) -> f64 {
        let (mut capacity, mut now) = (Capacity::default(), 0);
        for (at, time) in times.iter().enumerate() {
            capacity.note(at % 2 == 0, Now::from_millis(now));
            now += time;
        }
        capacity.at(Now::from_millis(now))
    }

    // HT-078
    #[test]
    fn what_was_a_second_ago_counts_half() {
        for (times, expected) in [
            (&[][..], 1.0),
            (&[1000], 0.5),
            (&[2000], 0.25),
            (&[1000, 1000], 0.75),
            (&[0, 5000], 1.0),
            (&[60_000], 0.0),
        ] {
            assert!((after(times) - expected).abs() < 1e-9, "{times:?}: {}", after(times));
        }
    }

    #[test]
    fn free_all_the_time_is_one_and_no_less() {
        let mut capacity = Capacity::default();
        for second in 1..1000 {
            assert_eq!(capacity.at(Now::from_millis(second * 1000)).to_bits(), 1.0_f64.to_bits());
            capacity.note(true, Now::from_millis(second * 1000));
            capacity.note(false, Now::from_millis(second * 1000));
        }
    }

    #[test]
    fn short_times_are_told_in_their_proportion() {
        // Blocked for a quarter of the time, ten seconds long.
        let times: Vec<u64> = [1, 3].into_iter().cycle().take(5000).collect();
        assert!((after(&times) - 0.75).abs() < 0.01, "{}", after(&times));
    }

    #[test]
    fn a_time_that_is_not_known_changes_nothing() {
        let mut capacity = Capacity::default();
        capacity.note(true, Now::from_millis(1000));
        capacity.note(false, Now::default());
        assert!((capacity.at(Now::from_millis(2000)) - 1.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn it_is_a_part_of_the_whole(times in prop::collection::vec(0u64..3000, 0..50)) {
            prop_assert!((0.0..=1.0).contains(&after(&times)));
        }
    }
}
