//! What a queue's transition leaves to be done by its caller.

use std::{collections::VecDeque, fmt, sync::Weak};

use super::{DeadLetterTo, Held, Queue, ready::Wanted, waiting::Waiter};
use crate::{
    broker::{dead_letter::Reason, outbox::Wakes},
    clock::{self, Now, UnixTime},
    message::Message,
    names::{Name, Position},
    store::{Standing, StoreOp},
};

/// What transitions leave to be done, and what they are given: the time, and memory used again.
#[derive(Default)]
pub struct Effects {
    /// The time, on both clocks; whoever calls a queue sets them. Zero: nothing is over yet.
    pub now: Now,
    /// The time that stored deadlines are compared with.
    pub time: UnixTime,
    /// Tasks to wake before the caller waits.
    pub wakes: Wakes,
    /// Operations to submit before the queue's lock is dropped.
    pub(super) ops: Vec<StoreOp>,
    /// Messages to read from the store, once the lock is dropped.
    pub(super) read: Option<PageIn>,
    /// Messages that queues gave up, to be sent on once the lock is dropped.
    pub(super) dead: VecDeque<DeadLetter>,
    /// Messages that are given up, but in the store alone.
    pub(super) dead_away: Vec<(Position, Reason)>,
    /// When the queue wants to be called (milliseconds since 1970).
    pub(super) arm: Option<u64>,
    /// Whether dead letters are being sent already: those that come of it are left to that.
    pub(super) is_burying: bool,
}

impl Effects {
    /// How many operations there is memory for.
    pub fn capacity(&self) -> usize {
        self.ops.capacity()
    }

    /// Gives back memory that only much at a time needed.
    pub fn rest(&mut self) {
        self.ops.shrink_to_fit();
        self.dead.shrink_to_fit();
        self.dead_away.shrink_to_fit();
    }

    /// None, as of this moment: for what the store's thread does, which nobody hands the time (R9).
    pub(super) fn of_this_moment() -> Self {
        Self { now: clock::now(), time: clock::unix_time(), ..Self::default() }
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects").field("ops", &self.ops.len()).finish_non_exhaustive()
    }
}

/// A message that a queue gave up and that has somewhere to go.
#[derive(Debug)]
pub struct DeadLetter {
    /// The message as it stood in its queue.
    pub message: Message,
    /// Why.
    pub reason: Reason,
    /// The queue.
    pub queue: Name,
    /// Where to.
    pub to: DeadLetterTo,
    /// What settles it in its queue, if the store holds it there: to be made durable together with
    /// its arrival.
    pub(in crate::broker) settle: Option<StoreOp>,
    /// Whether it had been delivered before (BA-244).
    pub was_delivered: bool,
    /// The message's place, if it stays there until its dead letter has arrived.
    pub(in crate::broker) kept: Option<Kept>,
}

/// Where a message stays until its dead letter has arrived.
#[derive(Debug)]
pub(in crate::broker) struct Kept {
    queue: Weak<Queue>,
    pub(super) position: Position,
    pub(super) standing: Standing,
    pub(super) is_stored: bool,
}

impl Kept {
    pub(super) fn new(
        queue: Weak<Queue>,
        position: Position,
        standing: Standing,
        is_stored: bool,
    ) -> Self {
        Self { queue, position, standing, is_stored }
    }

    /// The dead letter found nowhere to go, or not everywhere: it is tried again later.
    pub(in crate::broker) fn keep(self, message: Message, reason: Reason, fx: &mut Effects) {
        let Self { queue, position, standing, is_stored } = self;
        if let Some(queue) = queue.upgrade() {
            let waiter = Waiter { message: Held::Message(message), standing, is_stored };
            queue.keep_letter(position, waiter, reason, fx);
        }
    }
}

/// What messages are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// They are next.
    Deliver,
    /// The time of some of them may be over.
    Expire,
}

/// A request for messages that are in the store alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageIn {
    pub(super) id: u64,
    pub(super) purpose: Purpose,
    pub(super) wanted: Wanted,
    /// Bytes of messages after which to stop.
    pub(super) bytes_max: usize,
}
