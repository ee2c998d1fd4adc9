//! The errors of clients in the log: each with what the client was told, and so few a second that
//! one which fails in a loop does not fill the disk.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Session, error::Close};
use crate::{
    clock::{self, Now},
    names::ChannelId,
};

/// Errors that are logged in one [`PERIOD`], of all connections together.
const COUNT_MAX: u32 = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// Counts the errors that are logged. One for the whole broker.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<Period>);

#[derive(Debug, Default)]
struct Period {
    until: Now,
    logged: u32,
    /// Those that nobody has told of yet, from the periods before, too.
    left_out: u64,
}

/// What becomes of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Log,
    /// It is the first one that is left out: how many there were is to be told at that time.
    LeaveOutAndTell(Now),
    LeaveOut,
}

impl Period {
    fn judge(&mut self, now: Now) -> Verdict {
        if now >= self.until {
            (self.until, self.logged) = (now.after(PERIOD), 0);
        }
        if self.logged < COUNT_MAX {
            self.logged += 1;
            return Verdict::Log;
        }
        self.left_out += 1;
        if self.left_out == 1 { Verdict::LeaveOutAndTell(self.until) } else { Verdict::LeaveOut }
    }
}

impl Complaints {
    /// Whether one more may be logged. Sees to it that those left out are told of; needs a tokio
    /// runtime.
    fn is_heard(self: &Arc<Self>, now: Now) -> bool {
        let verdict = self.0.lock().unwrap_or_else(PoisonError::into_inner).judge(now);
        if let Verdict::LeaveOutAndTell(at) = verdict {
            let complaints = Arc::clone(self);
            tokio::spawn(async move {
                clock::sleep_until(at).await;
                complaints.tell_of_left_out();
            });
        }
        verdict == Verdict::Log
    }

    /// Logs how many were left out and not told of yet, if any.
    pub fn tell_of_left_out(&self) {
        let mut period = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = std::mem::take(&mut period.left_out);
        drop(period);
        if left_out > 0 {
            tracing::warn!(left_out, "more errors of clients than are logged in a second");
        }
    }
}

impl Session {
    /// Logs what a client is told when its channel is closed, or its connection on channel 0.
    pub(super) fn complain(&self, channel: ChannelId, close: &Close, message: &'static str) {
        if !self.context.complaints.is_heard(clock::now()) {
            return;
        }
        let (user, vhost) = self.whose();
        tracing::warn!(
            connection = self.id.0,
            peer = %self.peer.ends.peer,
            user,
            vhost,
            channel = Some(channel.0).filter(|&id| id != 0),
            code = close.code,
            text = close.text,
            "{message}"
        );
    }

    /// The user and the vhost, as far as they are known.
    pub(super) fn whose(&self) -> (Option<&str>, Option<&str>) {
        let known = |name: &'_ str| !name.is_empty();
        (
            Some(self.user.as_str()).filter(|name| known(name)),
            Some(self.vhost.name().as_str()).filter(|name| known(name)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_are_logged_and_the_rest_is_told_of_once() {
        let mut period = Period::default();
        let at = Now::from_millis;
        for n in 0..u64::from(COUNT_MAX) {
            assert_eq!(period.judge(at(n)), Verdict::Log);
        }
        assert_eq!(period.judge(at(990)), Verdict::LeaveOutAndTell(at(1000)));
        assert_eq!(period.judge(at(999)), Verdict::LeaveOut);
        // The next second has room again, told of or not.
        for _ in 0..COUNT_MAX {
            assert_eq!(period.judge(at(1000)), Verdict::Log);
        }
        assert_eq!(period.judge(at(1001)), Verdict::LeaveOut);
        assert_eq!(std::mem::take(&mut period.left_out), 3);
        assert_eq!(period.judge(at(1002)), Verdict::LeaveOutAndTell(at(2000)));
    }
}
