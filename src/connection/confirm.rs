//! Publisher confirms of one channel: what was published, and what the store must have reached
//! before it may be confirmed (R6).
//!
//! Publishes are confirmed in order. One that must wait for nothing waits for those before it,
//! which is no longer than one commit, and in return one `basic.ack` with `multiple` stands for
//! everything that became true at once (BA-044).

use std::collections::VecDeque;

use crate::names::{CommitSeq, PublishSeq};

/// Publishes up to `last` wait for `needed`.
#[derive(Clone, Copy, Debug)]
struct Run {
    last: PublishSeq,
    needed: CommitSeq,
}

#[derive(Debug, Default)]
pub(super) struct Confirms {
    published: u64,
    confirmed: u64,
    runs: VecDeque<Run>,
}

/// A `basic.ack` to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) tag: PublishSeq,
    pub(super) multiple: bool,
    /// Publishes that it stands for.
    pub(super) count: u64,
}

impl Confirms {
    /// Counts publishes that may be confirmed once the store has reached `needed`.
    pub(super) fn published(&mut self, needed: CommitSeq, count: usize) {
        if count == 0 {
            return;
        }
        self.published += count as u64;
        let last = PublishSeq(self.published);
        match self.runs.back_mut() {
            Some(run) if run.needed >= needed => run.last = last,
            _ => self.runs.push_back(Run { last, needed }),
        }
    }

    /// Counts a publish that is answered at once, whatever is pending: it reached no queue, or was
    /// refused. A later ack with `multiple` may cover it again.
    pub(super) fn published_in_vain(&mut self) -> PublishSeq {
        self.published += 1;
        if self.runs.is_empty() {
            self.confirmed = self.published;
        }
        PublishSeq(self.published)
    }

    /// Whether publishes wait to be confirmed.
    pub(super) fn is_pending(&self) -> bool {
        !self.runs.is_empty()
    }

    /// How many do, with those among them that were answered at once.
    pub(super) fn pending(&self) -> u64 {
        self.runs.back().map_or(0, |run| run.last.0 - self.confirmed)
    }

    /// What the store must reach before the next confirm, if any is pending.
    pub(super) fn needed(&self) -> Option<CommitSeq> {
        self.runs.front().map(|run| run.needed)
    }

    /// What the store must reach before the last of them.
    pub(super) fn needed_for_all(&self) -> Option<CommitSeq> {
        self.runs.back().map(|run| run.needed)
    }

    /// The one ack for everything that may be confirmed now that the store has reached `durable`.
    pub(super) fn take(&mut self, durable: CommitSeq) -> Option<Ack> {
        let mut last = None;
        while let Some(run) = self.runs.front().filter(|run| run.needed <= durable) {
            last = Some(run.last);
            self.runs.pop_front();
        }
        let tag = last?;
        let count = tag.0 - self.confirmed;
        self.confirmed = tag.0;
        Some(Ack { tag, multiple: count > 1, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ack_stands_for_all_that_became_durable_at_once() {
        let mut confirms = Confirms::default();
        for needed in [0, 3, 0, 5, 9] {
            confirms.published(CommitSeq(needed), 1);
        }
        assert_eq!(
            confirms.take(CommitSeq(0)),
            Some(Ack { tag: PublishSeq(1), multiple: false, count: 1 })
        );
        assert_eq!(confirms.take(CommitSeq(2)), None);
        assert_eq!(
            confirms.take(CommitSeq(5)),
            Some(Ack { tag: PublishSeq(4), multiple: true, count: 3 })
        );
        assert_eq!(confirms.needed(), Some(CommitSeq(9)));
        assert!(confirms.is_pending());
        assert_eq!(confirms.published_in_vain(), PublishSeq(6));
        assert_eq!(confirms.pending(), 1);
        assert_eq!(
            confirms.take(CommitSeq(9)),
            Some(Ack { tag: PublishSeq(5), multiple: false, count: 1 })
        );
        assert_eq!(confirms.take(CommitSeq(99)), None);
    }
}
