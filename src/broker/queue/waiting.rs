//! Messages that came back and wait before they are ready again (`x-retry-delay`).
//!
//! When each is ready stands in the store, too: a restart shortens no wait and begins none anew. Of
//! the messages so much stays in memory as a queue may keep of what is next; the rest, if the store
//! has it, is read again when it is ready and wanted.

use std::collections::BTreeMap;

use super::{Amount, Held};
use crate::{broker::dead_letter::Reason, names::Position, store::Standing};

/// A message that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) message: Held,
    pub(super) standing: Standing,
    /// Whether the store holds it.
    pub(super) is_stored: bool,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// By when they are ready (milliseconds since 1970), then by their places.
    waiters: BTreeMap<(u64, Position), Waiter>,
    /// Bytes of memory of their messages.
    bytes: usize,
    counts: WaitingCounts,
}

/// What waits, but for what it waits for, and those of all that are persistent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WaitingCounts {
    /// Messages that came back and will be ready again.
    pub(super) delayed: Amount,
    /// Dead messages whose letters have nowhere to go yet.
    pub(super) letters: Amount,
    pub(super) persistent: Amount,
}

impl WaitingCounts {
    /// The counts that a message is among.
    fn of(&mut self, waiter: &Waiter) -> impl Iterator<Item = &mut Amount> {
        let is_dead = Reason::of_ready_at(waiter.standing.ready_at).is_some();
        let kind = if is_dead { &mut self.letters } else { &mut self.delayed };
        [kind].into_iter().chain(waiter.message.is_persistent().then_some(&mut self.persistent))
    }
}

impl Waiting {
    /// Has a message wait until `due`. It stays in memory if no more than `bytes_max` bytes do
    /// then, or if it is nowhere else.
    pub(super) fn add(
        &mut self,
        due: u64,
        position: Position,
        mut waiter: Waiter,
        bytes_max: usize,
    ) {
        if waiter.is_stored && self.bytes + waiter.message.footprint() > bytes_max {
            waiter.message.leave_to_store();
        }
        self.bytes += waiter.message.footprint();
        let body_bytes = waiter.message.body_bytes() as u64;
        self.counts.of(&waiter).for_each(|amount| amount.add(body_bytes));
        self.waiters.insert((due, position), waiter);
    }

    /// Takes out the next that is ready at `time`.
    pub(super) fn pop_due(&mut self, time: u64) -> Option<(Position, Waiter)> {
        let first = self.waiters.first_entry().filter(|first| first.key().0 <= time)?;
        let ((_, position), waiter) = first.remove_entry();
        self.bytes -= waiter.message.footprint();
        let body_bytes = waiter.message.body_bytes() as u64;
        self.counts.of(&waiter).for_each(|amount| amount.take(body_bytes));
        Some((position, waiter))
    }

    /// When the next is ready.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.waiters.first_key_value().map(|((due, _), _)| *due)
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn counts(&self) -> WaitingCounts {
        self.counts
    }

    /// Bytes of memory in use.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes everything out: the places, and whether the store holds what is there.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = (Position, bool)> + use<> {
        let all = std::mem::take(self).waiters.into_iter();
        all.map(|((_, position), waiter)| (position, waiter.is_stored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, Traits};

    fn waiter(is_stored: bool) -> Waiter {
        let traits = Traits { is_persistent: is_stored, ..Traits::default() };
        let message = Message::copied(b"\0\0", b"\0\0", &[&[0; 100]], traits, &mut Vec::new());
        Waiter { message: Held::Message(message), standing: Standing::default(), is_stored }
    }

    #[test]
    fn memory_is_kept_for_what_fits_and_what_the_store_lacks() {
        let (mut waiting, max) = (Waiting::default(), waiter(true).message.footprint());
        for (position, is_stored) in [(1, true), (2, true), (3, false)] {
            waiting.add(10 - position, Position(position), waiter(is_stored), max);
        }
        assert_eq!((waiting.len(), waiting.bytes()), (3, 2 * max));
        assert_eq!(
            (waiting.counts().delayed.messages, waiting.counts().persistent.bytes),
            (3, 200)
        );
        assert_eq!(waiting.next_due(), Some(7));
        assert!(waiting.pop_due(6).is_none());
        let is_in_memory = |waiter: &Waiter| matches!(waiter.message, Held::Message(_));
        let popped: Vec<_> = std::iter::from_fn(|| waiting.pop_due(9))
            .map(|(position, waiter)| (position.0, is_in_memory(&waiter)))
            .collect();
        assert_eq!(popped, [(3, true), (2, false), (1, true)]);
        assert_eq!((waiting.bytes(), waiting.counts()), (0, WaitingCounts::default()));
    }
}
