//! Heartbeats (CN-100 to CN-106): what is due, and when the peer is given up.

use std::time::Duration;

use crate::clock::Now;

/// The heartbeats of one connection; both directions use the client's interval (CN-066).
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    /// Zero: none.
    interval: Duration,
    next_send: Now,
    next_check: Now,
    has_sent: bool,
    /// The first heartbeat goes out whatever else was sent: a client that waits no longer than the
    /// interval would else wait just that long, as the `open-ok` was sent last.
    is_first: bool,
    /// The next write is a heartbeat of our own, which does not make up for one.
    is_sending: bool,
    has_received: bool,
    /// Checks in a row that found nothing received.
    silent_checks: u8,
}

/// What a moment calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Send,
    /// The peer was silent for two checks (CN-101).
    GiveUp,
}

impl Heartbeat {
    pub(super) fn start(&mut self, interval: Duration, now: Now) {
        self.interval = interval;
        self.next_send = now.after(interval / 2);
        self.next_check = now.after(interval);
        self.is_first = true;
        // The `tune-ok` that started it was a sign of life.
        self.has_received = true;
    }

    /// Seconds that the peer has to close the socket after the goodbyes (CN-121).
    pub(super) fn farewell(&self) -> Duration {
        const MAX: Duration = Duration::from_secs(30);
        if self.interval.is_zero() { MAX } else { self.interval.min(MAX) }
    }

    pub(super) fn sent(&mut self) {
        self.has_sent |= !std::mem::take(&mut self.is_sending);
    }

    pub(super) fn received(&mut self) {
        self.has_received = true;
    }

    /// The next moment at which [`Self::due`] is to be asked.
    pub(super) fn next(&self) -> Option<Now> {
        (!self.interval.is_zero()).then(|| self.next_send.min(self.next_check))
    }

    /// What is due now. While `is_paused` nothing is read from the peer, so it is not given up
    /// (CN-104).
    pub(super) fn due(&mut self, now: Now, is_paused: bool) -> Due {
        if self.interval.is_zero() {
            return Due::Nothing;
        }
        if now >= self.next_check {
            self.next_check = now.after(self.interval);
            self.silent_checks =
                if self.has_received || is_paused { 0 } else { self.silent_checks + 1 };
            self.has_received = false;
            if self.silent_checks >= 2 {
                return Due::GiveUp;
            }
        }
        if now >= self.next_send {
            self.next_send = now.after(self.interval / 2);
            let is_first = std::mem::take(&mut self.is_first);
            if !std::mem::take(&mut self.has_sent) || is_first {
                self.is_sending = true;
                return Due::Send;
            }
        }
        Due::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> Heartbeat {
        let mut heartbeat = Heartbeat::default();
        heartbeat.start(Duration::from_secs(2), Now::from_millis(0));
        heartbeat
    }

    #[test]
    fn sends_every_half_interval_unless_something_else_was_sent() {
        let mut heartbeat = started();
        assert_eq!(heartbeat.due(Now::from_millis(999), false), Due::Nothing);
        assert_eq!(heartbeat.due(Now::from_millis(1000), false), Due::Send);
        heartbeat.sent();
        heartbeat.received();
        assert_eq!(heartbeat.due(Now::from_millis(2000), false), Due::Send);
        heartbeat.sent();
        heartbeat.sent();
        assert_eq!(heartbeat.due(Now::from_millis(3000), false), Due::Nothing);
    }

    #[test]
    fn sends_the_first_one_whatever_else_was_sent() {
        let mut heartbeat = started();
        heartbeat.sent();
        assert_eq!(heartbeat.due(Now::from_millis(1000), false), Due::Send);
        heartbeat.sent();
        heartbeat.sent();
        assert_eq!(heartbeat.due(Now::from_millis(2000), false), Due::Nothing);
        assert_eq!(heartbeat.due(Now::from_millis(3000), false), Due::Send);
    }

    #[test]
    fn gives_a_silent_peer_up_at_the_second_check() {
        let mut heartbeat = started();
        heartbeat.received();
        assert_ne!(heartbeat.due(Now::from_millis(2000), false), Due::GiveUp);
        assert_ne!(heartbeat.due(Now::from_millis(4000), false), Due::GiveUp);
        assert_eq!(heartbeat.due(Now::from_millis(6000), false), Due::GiveUp);
    }

    #[test]
    fn a_paused_peer_is_not_given_up() {
        let mut heartbeat = started();
        for second in 1..20 {
            assert_ne!(heartbeat.due(Now::from_millis(second * 1000), true), Due::GiveUp);
        }
    }

    #[test]
    fn zero_means_none() {
        let mut heartbeat = Heartbeat::default();
        heartbeat.start(Duration::ZERO, Now::from_millis(0));
        assert_eq!(heartbeat.next(), None);
        assert_eq!(heartbeat.due(Now::from_millis(100_000), false), Due::Nothing);
    }
}
