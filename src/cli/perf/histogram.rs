//! Times, counted in buckets that are at most 3 percent wide.

use std::time::Duration;

/// Buckets for each power of two.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Enough for every `u64`.
const BUCKETS: usize = ((64 - STEP_BITS as usize) + 1) * STEPS as usize;

/// How often something took how long.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }
}

/// The bucket of a number of nanoseconds.
fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - STEP_BITS;
    ((u64::from(shift) + 1) * STEPS + (nanos >> shift) - STEPS) as usize
}

/// The largest number of nanoseconds of a bucket.
fn upper(bucket: usize) -> u64 {
    let (row, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    if row == 0 {
        return step;
    }
    let shift = row - 1;
    (u128::from(STEPS + step + 1) << shift).saturating_sub(1).min(u128::from(u64::MAX)) as u64
}

impl Histogram {
    pub(super) fn add(&mut self, time: Duration) {
        let nanos = time.as_nanos() as u64;
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (sum, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += more;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The time that this share of all did not exceed.
    pub(super) fn percentile(&self, share: f64) -> Duration {
        let rank = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper(at).min(self.max));
            }
        }
        Duration::from_nanos(self.max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_holds_its_numbers_and_is_narrow(nanos: u64) {
            let at = bucket(nanos);
            prop_assert!(at < BUCKETS);
            prop_assert!(upper(at) >= nanos);
            prop_assert!(at == 0 || upper(at - 1) < nanos);
            prop_assert!(upper(at) - nanos <= nanos / (STEPS - 1) + 1);
        }
    }

    #[test]
    fn percentiles_are_of_all_that_was_added() {
        let mut histogram = Histogram::default();
        let mut other = Histogram::default();
        for micros in 1..=50 {
            histogram.add(Duration::from_micros(micros));
            other.add(Duration::from_micros(50 + micros));
        }
        histogram.merge(&other);
        let micros = |share| histogram.percentile(share).as_nanos() as f64 / 1000.0;
        assert!((micros(0.5) - 50.0).abs() < 2.0, "{}", micros(0.5));
        assert!((micros(0.99) - 99.0).abs() < 4.0, "{}", micros(0.99));
        assert!((micros(1.0) - 100.0).abs() < 1e-9);
        assert!(Histogram::default().is_empty());
    }
}
