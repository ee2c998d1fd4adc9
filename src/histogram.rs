//! How values are distributed: how many were no larger than each of a few limits.
//!
//! Floor 0.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Limits of times, in nanoseconds: 50 us to 10 s.
const TIMES: &[u64] = &[
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
];

/// Limits of numbers of things: powers of four up to 262,144.
const NUMBERS: &[u64] = &[1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144];

/// Limits of sizes, in bytes: powers of four from 256 to 64 MiB.
const SIZES: &[u64] =
    &[1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26];

/// Counts values by size. Any thread may add and any may look; neither waits.
#[derive(Debug)]
pub struct Histogram {
    limits: &'static [u64],
    /// Values up to each limit and above the one before, then those above all.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a [`Histogram`] had counted at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// The limits.
    pub limits: &'static [u64],
    /// Values up to each limit and above the one before, then those above all.
    pub buckets: Vec<u64>,
    /// The sum of all values.
    pub sum: u64,
}

impl Histogram {
    fn new(limits: &'static [u64]) -> Self {
        let buckets = (0..=limits.len()).map(|_| AtomicU64::new(0)).collect();
        Self { limits, buckets, sum: AtomicU64::new(0) }
    }

    /// For times, to be added by [`Self::add_time`]; its values are nanoseconds.
    pub fn of_time() -> Self {
        Self::new(TIMES)
    }

    /// For numbers of things.
    pub fn of_numbers() -> Self {
        Self::new(NUMBERS)
    }

    /// For sizes in bytes.
    pub fn of_sizes() -> Self {
        Self::new(SIZES)
    }

    /// Counts a value.
    pub fn add(&self, value: u64) {
        let bucket = self.limits.partition_point(|limit| *limit < value);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Counts a time.
    pub fn add_time(&self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What was counted so far.
    pub fn get(&self) -> Distribution {
        let buckets = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        Distribution { limits: self.limits, buckets, sum: self.sum.load(Relaxed) }
    }
}

impl Distribution {
    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_below_the_first_limit_that_holds_it() {
        let numbers = Histogram::of_numbers();
        for value in [0, 1, 2, 4, 5, 262_144, 262_145] {
            numbers.add(value);
        }
        let seen = numbers.get();
        assert_eq!(seen.buckets, [2, 2, 1, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((seen.count(), seen.sum), (7, 524_301));
    }

    #[test]
    fn limits_rise_and_times_are_counted_in_nanoseconds() {
        for limits in [TIMES, NUMBERS, SIZES] {
            assert!(limits.is_sorted_by(|one, other| one < other));
        }
        let times = Histogram::of_time();
        times.add_time(Duration::from_micros(100));
        times.add_time(Duration::from_secs(100));
        let seen = times.get();
        assert_eq!((seen.buckets[1], seen.buckets[TIMES.len()]), (1, 1));
        assert_eq!(seen.sum, 100_000_100_000);
    }
}
