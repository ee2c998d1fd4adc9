//! How often somebody tried to log in, and whether it went well.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What somebody logs in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// An AMQP connection.
    Amqp,
    /// A call of the management API.
    Http,
}

impl Via {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Amqp, Self::Http];

    /// RabbitMQ's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amqp => "amqp091",
            Self::Http => "http",
        }
    }
}

/// Attempts of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttemptCounts {
    /// Those that went well.
    pub succeeded: u64,
    /// Those that did not.
    pub failed: u64,
}

/// Counts attempts; any task may.
#[derive(Debug, Default)]
pub struct Attempts([[AtomicU64; 2]; Via::ALL.len()]);

impl Attempts {
    /// Counts an attempt.
    pub fn count(&self, via: Via, is_success: bool) {
        self.0[via as usize][usize::from(is_success)].fetch_add(1, Relaxed);
    }

    /// What was counted so far.
    pub fn get(&self, via: Via) -> AttemptCounts {
        let [failed, succeeded] = &self.0[via as usize];
        AttemptCounts { succeeded: succeeded.load(Relaxed), failed: failed.load(Relaxed) }
    }

    /// Counts from zero again.
    pub fn reset(&self) {
        for count in self.0.iter().flatten() {
            count.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_by_what_they_are_for() {
        let attempts = Attempts::default();
        for (via, is_success) in [(Via::Amqp, true), (Via::Amqp, true), (Via::Http, false)] {
            attempts.count(via, is_success);
        }
        let counts = |via| (attempts.get(via).succeeded, attempts.get(via).failed);
        assert_eq!((counts(Via::Amqp), counts(Via::Http)), ((2, 0), (0, 1)));
        attempts.reset();
        assert_eq!((counts(Via::Amqp), counts(Via::Http)), ((0, 0), (0, 0)));
    }
}
