//! The time. The only module that reads a clock (R9): everything else is handed a [`Now`] or a
//! [`UnixTime`], so that the same inputs give the same outputs.
//!
//! Floor 0.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime},
};

/// A moment on the clock that only goes forward: the time since this process first asked for it.
/// It means nothing to another process; what is stored carries a [`UnixTime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Now(Duration);

impl Now {
    /// The moment `millis` milliseconds after the clock's start, for tests and comparisons.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// The moment so many nanoseconds after the clock's start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(Duration::from_nanos(nanos))
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0.as_nanos() as u64
    }

    /// Whole milliseconds since the clock's start.
    pub const fn as_millis(self) -> u64 {
        self.0.as_millis() as u64
    }

    /// The moment so much later.
    pub const fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Milliseconds since 1970 began, as the machine's clock has it. It may jump either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// Whole seconds since 1970 began, as AMQP's timestamps count.
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The moment as RFC 3339 writes it, in UTC with milliseconds.
    pub fn to_rfc3339(self) -> String {
        let (days, millis) = (self.0 / 86_400_000, self.0 % 86_400_000);
        // The civil date from the count of days: each era of 400 years has 146,097, and years
        // begin in March, so that leap days come last (Howard Hinnant, days_from_civil).
        let z = days + 719_468;
        let (era, day_of_era) = (z / 146_097, z % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
        let (seconds, millis) = (millis / 1000 % 60, millis % 1000);
        format!(
            "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}+00:00"
        )
    }
}

/// The start of [`Now`].
static START: LazyLock<Instant> = LazyLock::new(read_instant);

/// Reads the clock that only goes forward.
pub fn now() -> Now {
    let start = *START;
    Now(read_instant().saturating_duration_since(start))
}

/// Reads the clock on the wall.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the time")]
pub fn unix_time() -> UnixTime {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    UnixTime(since_1970.map_or(0, |time| time.as_millis() as u64))
}

/// Waits until `moment`; needs a tokio runtime. Dropping the wait cancels it.
pub async fn sleep_until(moment: Now) {
    // A moment too far for the platform's clock is never reached.
    match START.checked_add(moment.0) {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Blocks this thread until `moment`, until it is unparked, or for no reason less long; for ever if
/// there is no moment. To the tenth of a millisecond, where [`sleep_until`] is good for two.
pub fn park_until_blocking(moment: Option<Now>) {
    match moment {
        Some(moment) => std::thread::park_timeout(moment.since(now())),
        None => std::thread::park(),
    }
}

/// Blocks this thread for a time: for a load that keeps a pace, and for nothing that serves
/// clients.
#[expect(clippy::disallowed_methods, reason = "the one place that waits for the time")]
pub fn rest_blocking(time: Duration) {
    std::thread::sleep(time);
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the time")]
fn read_instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_never_goes_back() {
        let readings: Vec<_> = (0..1000).map(|_| now()).collect();
        assert!(readings.is_sorted());
    }

    #[test]
    fn moments_are_reckoned_without_overflow() {
        let moment = Now::from_millis(1500);
        assert_eq!(moment.as_millis(), 1500);
        assert_eq!(moment.after(Duration::from_millis(500)), Now::from_millis(2000));
        assert_eq!(moment.since(Now::from_millis(500)), Duration::from_secs(1));
        assert_eq!(Now::from_millis(500).since(moment), Duration::ZERO);
        assert!(moment.after(Duration::MAX) > moment);
    }

    #[test]
    fn moments_are_written_as_dates() {
        let text = |seconds: u64| UnixTime(seconds * 1000 + 7).to_rfc3339();
        assert_eq!(text(0), "1970-01-01T00:00:00.007+00:00");
        assert_eq!(text(951_782_399), "2000-02-28T23:59:59.007+00:00");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00.007+00:00");
        assert_eq!(text(1_795_178_187), "2026-11-20T12:36:27.007+00:00");
        assert_eq!(text(4_107_542_400), "2100-03-01T00:00:00.007+00:00");
    }

    #[test]
    fn unix_time_is_of_this_century() {
        let seconds = unix_time().seconds();
        assert!((1_700_000_000..4_200_000_000).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn sleeping_until_the_past_returns_and_until_never_does_not() {
        sleep_until(Now::default()).await;
        let never = Now::default().after(Duration::MAX);
        let waited = tokio::time::timeout(Duration::from_secs(3600), sleep_until(never)).await;
        assert!(waited.is_err());
    }
}
