//! A store that does what it is told at once, and forgets what is transient in a crash.

use std::collections::BTreeMap;

use super::bench::QUEUE;
use crate::{
    message::Message,
    names::{Position, QueueId},
    store::{Standing, StoreOp},
};

/// A message in the store, and how it stands.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) message: Message,
    pub(super) standing: Standing,
    pub(super) is_spilled: bool,
}

/// What the store holds after some operations.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub(super) messages: BTreeMap<(QueueId, Position), Row>,
    /// The last places, of each lane.
    published: BTreeMap<QueueId, Position>,
    spilled: BTreeMap<QueueId, Position>,
}

impl Stored {
    pub(super) fn apply(&mut self, op: &StoreOp) {
        match op {
            StoreOp::Publish { queue, position, message, standing } => {
                let last = self.published.insert(*queue, *position);
                assert!(last < Some(*position), "a place published twice or too late");
                self.add((*queue, *position), message, *standing, false);
            }
            StoreOp::Spill { queue, position, message, standing } => {
                let last = self.spilled.insert(*queue, *position);
                assert!(last < Some(*position), "a place spilled twice or too late");
                self.add((*queue, *position), message, *standing, true);
            }
            StoreOp::Settle { queue, position } => {
                assert!(self.remove(*queue, *position), "settled but not stored");
            }
            StoreOp::SettleRange { queue, first, end } => {
                let range = (*queue, *first)..(*queue, *end);
                self.messages.retain(|place, _| !range.contains(place));
            }
            StoreOp::Returned { queue, position, returns, failures, ready_at } => {
                let stored = self.messages.get_mut(&(*queue, *position));
                let standing = &mut stored.expect("returned but not stored").standing;
                (standing.returns, standing.failures) = (*returns, *failures);
                standing.ready_at = *ready_at;
            }
            other => panic!("no business of a queue: {other:?}"),
        }
    }

    fn add(
        &mut self,
        place: (QueueId, Position),
        message: &Message,
        standing: Standing,
        is_spilled: bool,
    ) {
        assert!(place.0 >= QUEUE);
        let row = Row { message: message.clone(), standing, is_spilled };
        assert!(self.messages.insert(place, row).is_none(), "stored twice");
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, queue: QueueId, position: Position) -> bool {
        self.messages.remove(&(queue, position)).is_some()
    }

    /// What another process finds.
    pub(super) fn crash(&mut self) {
        self.messages.retain(|_, row| !row.is_spilled);
        self.spilled.clear();
    }

    /// The place behind the last that was published in a lane, if any was.
    pub(super) fn end(&self, queue: QueueId) -> Option<Position> {
        self.published.get(&queue).map(|last| last.next())
    }

    pub(super) fn of_lane(&self, queue: QueueId) -> impl Iterator<Item = (Position, &Row)> + Clone {
        let range = (queue, Position(0))..(QueueId(queue.0 + 1), Position(0));
        self.messages.range(range).map(|((_, position), row)| (*position, row))
    }
}
