//! The state of one queue and its transitions: pure, under the queue's lock.
//!
//! Nothing here waits, reads a clock or touches the store. What is to be made durable is left in
//! [`Effects`] and submitted before the lock is dropped, so that the store's order is the queue's.

use std::{sync::Weak, task::Waker};

use super::{
    ConsumerHandle, Queue,
    consumers::{Consumer, Consumers},
    ready::{Entry, Next, Ready, Run, Wanted},
    residency::Residency,
};
use crate::{
    broker::outbox::{Delivery, Event, Refusal, Stalled, Wakes},
    message::Message,
    names::{CommitSeq, Position, QueueId},
    store::{Standing, StoreOp},
};

/// What a transition leaves to be done by its caller.
#[derive(Debug, Default)]
pub struct Effects {
    /// Operations to submit before the queue's lock is dropped.
    pub(super) ops: Vec<StoreOp>,
    /// Tasks to wake before the caller waits.
    pub wakes: Wakes,
    /// Messages to read from the store, once the lock is dropped.
    pub(super) read: Option<PageIn>,
}

/// A request for messages that are in the store alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageIn {
    pub(super) id: u64,
    pub(super) wanted: Wanted,
    /// Bytes of messages after which to stop.
    pub(super) bytes_max: usize,
}

/// A delivery that is settled or comes back.
#[derive(Debug)]
pub struct Settled {
    /// The message's place in its queue.
    pub position: Position,
    /// The consumer it was delivered to; none for `basic.get`.
    pub consumer: Option<ConsumerHandle>,
    /// Whether the store holds it.
    pub is_stored: bool,
}

/// A delivered message, for as long as it may come back.
#[derive(Debug)]
pub enum Held {
    /// In memory.
    Message(Message),
    /// In the store alone.
    Stored {
        /// Bytes of its body.
        body_bytes: usize,
    },
}

impl Held {
    /// Bytes of memory that it keeps alive.
    pub fn footprint(&self) -> usize {
        match self {
            Self::Message(message) => message.footprint(),
            Self::Stored { .. } => 0,
        }
    }

    /// Leaves the message to the store, which must have it.
    pub fn leave_to_store(&mut self) {
        if let Self::Message(message) = self {
            *self = Self::Stored { body_bytes: message.body_len() };
        }
    }
}

/// A delivery that goes back to its queue.
#[derive(Debug)]
pub struct Returned {
    /// The message's place in its queue.
    pub position: Position,
    /// The consumer it was delivered to; none for `basic.get`.
    pub consumer: Option<ConsumerHandle>,
    /// The message; one that the store holds need not be in memory.
    pub message: Held,
    /// Whether it had come back before.
    pub was_redelivered: bool,
    /// Whether the store holds it.
    pub is_stored: bool,
    /// Whether it reached the client, so that its next delivery is a redelivery.
    pub was_seen: bool,
}

/// A message taken by `basic.get`.
#[derive(Debug)]
pub struct Got {
    /// Its place.
    pub position: Position,
    /// The message.
    pub message: Message,
    /// Whether it was delivered before.
    pub is_redelivered: bool,
    /// Whether the store holds it still.
    pub is_stored: bool,
    /// Ready messages left.
    pub left: u64,
}

/// What `basic.get` finds.
#[derive(Debug)]
pub enum GetOutcome {
    /// A message.
    Got(Got),
    /// Nothing.
    Empty,
    /// A message that is being read from the store; the waker is woken when it has come.
    Wait,
    /// A message that the store failed to read. It stays; the next get tries again.
    Unreadable,
    /// The queue is deleted.
    Gone,
}

/// How a consumer took a message.
enum Taken {
    /// It will acknowledge.
    ToBeSettled,
    /// It does not acknowledge: the message is settled with that.
    Settled,
}

/// A publisher waits when more bytes than this pile up in memory before busy consumers.
const RUNS_AHEAD: usize = 2 * 1024 * 1024;
/// It goes on when fewer bytes than this are left.
const CAUGHT_UP: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct State {
    id: QueueId,
    is_durable: bool,
    me: Weak<Queue>,
    residency: Residency,
    ready: Ready,
    consumers: Consumers,
    next: Position,
    unacked: u64,
    /// Whether there ever was a consumer (auto-delete waits for the first).
    pub(super) had_consumer: bool,
    has_exclusive_consumer: bool,
    pub(super) is_deleted: bool,
    /// Whether the store may hold anything of this queue.
    uses_store: bool,
    /// Whether messages were left to the store in this section.
    has_paged_out: bool,
    /// The read that is under way.
    reading: Option<PageIn>,
    reads: u64,
    waiting_gets: Vec<Waker>,
    /// Whether the store failed to read what gets waited for.
    has_failed_gets: bool,
    /// Publishers that wait for the consumers to catch up.
    waiting_publishers: Vec<Waker>,
}

/// What may be found out about a queue at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages ready for delivery.
    pub ready: u64,
    /// Bytes of their bodies.
    pub ready_bytes: u64,
    /// Messages delivered and not settled.
    pub unacked: u64,
    /// Consumers.
    pub consumers: usize,
}

impl State {
    pub(super) fn new(
        id: QueueId,
        is_durable: bool,
        me: Weak<Queue>,
        residency: Residency,
        run: Option<Run>,
    ) -> Self {
        Self {
            id,
            is_durable,
            me,
            residency,
            next: run.map_or(Position(1), |run| run.end),
            ready: Ready::recovered(run.filter(|run| run.count > 0)),
            consumers: Consumers::default(),
            unacked: 0,
            had_consumer: false,
            has_exclusive_consumer: false,
            is_deleted: false,
            uses_store: run.is_some(),
            has_paged_out: false,
            reading: None,
            reads: 0,
            waiting_gets: Vec::new(),
            has_failed_gets: false,
            waiting_publishers: Vec::new(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            ready: self.ready.count(),
            ready_bytes: self.ready.body_bytes(),
            unacked: self.unacked,
            consumers: self.consumers.len(),
        }
    }

    pub(super) fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.consumers.iter()
    }

    /// Adds a message behind all others, or hands it straight to a waiting consumer.
    pub(super) fn publish(&mut self, message: Message, fx: &mut Effects) {
        let position = self.next;
        self.next = position.next();
        let is_stored = self.is_durable && message.is_persistent();
        let entry = Entry { position, message, is_redelivered: false, is_stored };
        if !self.ready.is_empty() {
            return self.keep(entry, fx);
        }
        // The store's copy costs a reference count.
        let copy = is_stored.then(|| entry.message.clone());
        match self.hand_over(entry, fx) {
            Ok(Taken::ToBeSettled) => {
                if let Some(message) = copy {
                    self.uses_store = true;
                    fx.ops.push(StoreOp::Publish {
                        queue: self.id,
                        position,
                        message,
                        standing: Standing::default(),
                    });
                }
            }
            // Without an acknowledgement to come it is settled already, and never stored.
            Ok(Taken::Settled) => {}
            Err(entry) => self.keep(entry, fx),
        }
    }

    fn keep(&mut self, entry: Entry, fx: &mut Effects) {
        if entry.is_stored {
            self.uses_store = true;
            fx.ops.push(StoreOp::Publish {
                queue: self.id,
                position: entry.position,
                message: entry.message.clone(),
                standing: Standing::default(),
            });
        }
        self.ready.push_back(entry);
        self.residency.report(self.ready.resident_bytes());
        let (is_paging, head) = (self.ready.is_paging(), self.ready.head_bytes());
        if self.residency.wants_out(is_paging, head, self.ready.tail_bytes()) {
            self.page_out(fx);
        }
    }

    fn page_out(&mut self, fx: &mut Effects) {
        let queue = self.id;
        let ops = &mut fx.ops;
        self.ready.page_out(self.residency.near_bytes(), |entry| {
            if !entry.is_stored {
                ops.push(StoreOp::Spill {
                    queue,
                    position: entry.position,
                    message: entry.message,
                    standing: Standing {
                        returns: entry.is_redelivered.into(),
                        ..Standing::default()
                    },
                });
            }
        });
        self.uses_store = true;
        self.has_paged_out = true;
        self.note_memory(fx);
    }

    /// Whether the number of what was submitted last is needed, even without operations.
    pub(super) fn has_paged_out(&self) -> bool {
        self.has_paged_out
    }

    /// The operations of this section were submitted; `seq` is the last number so far. What the
    /// section left to the store, it may want to read at once.
    pub(super) fn submitted(&mut self, seq: CommitSeq, fx: &mut Effects) {
        if std::mem::take(&mut self.has_paged_out) {
            self.ready.written_by(seq);
            if let Some(page_in) = &mut fx.read {
                page_in.wanted.after = seq;
            }
        }
    }

    /// Offers the message to the consumers in line. Gives it back when nobody takes it.
    fn hand_over(&mut self, entry: Entry, fx: &mut Effects) -> Result<Taken, Entry> {
        let Entry { position, mut message, is_redelivered, is_stored } = entry;
        while let Some((handle, consumer)) = self.consumers.next() {
            let no_ack = consumer.no_ack;
            let is_stored_after = is_stored && !no_ack;
            let delivery = Delivery {
                slot: consumer.slot,
                position,
                message,
                is_redelivered,
                is_stored: is_stored_after,
            };
            let me = &self.me;
            let stalled = || Stalled { queue: me.clone(), consumer: handle };
            let window = (!no_ack).then_some(&*consumer.window);
            match consumer.outbox.offer(delivery, window, stalled, &mut fx.wakes) {
                Ok(()) => {
                    self.unacked += u64::from(!no_ack);
                    self.consumers.served();
                    return Ok(if no_ack { Taken::Settled } else { Taken::ToBeSettled });
                }
                Err((refusal, delivery)) => {
                    message = delivery.message;
                    self.consumers.step_aside(refusal == Refusal::Full);
                }
            }
        }
        Err(Entry { position, message, is_redelivered, is_stored })
    }

    /// Hands out ready messages while there is a consumer for the next one.
    fn dispatch(&mut self, fx: &mut Effects) {
        while self.consumers.next().is_some() {
            let Next::Entry(entry, came_back) = self.ready.pop_front() else { break };
            let (position, is_stored) = (entry.position, entry.is_stored);
            match self.hand_over(entry, fx) {
                Ok(Taken::Settled) if is_stored => {
                    fx.ops.push(StoreOp::Settle { queue: self.id, position });
                }
                Ok(_) => {}
                Err(entry) => {
                    self.ready.undo_pop(entry, came_back);
                    break;
                }
            }
        }
        self.note_memory(fx);
        if self.consumers.len() > 0 {
            self.read_ahead(fx);
        }
    }

    /// The memory in use, or who waits for room, has changed.
    fn note_memory(&mut self, fx: &mut Effects) {
        self.residency.report(self.ready.resident_bytes());
        if !self.waiting_publishers.is_empty() && !self.is_outrun(CAUGHT_UP) {
            self.wake_publishers(fx);
        }
    }

    /// Whether messages pile up although there are consumers for them, which are busy reading: the
    /// publishers run ahead.
    fn is_outrun(&self, bytes: usize) -> bool {
        self.consumers.has_stalled() && self.ready.head_bytes() + self.ready.tail_bytes() > bytes
    }

    /// Whether a publisher should wait a turn; the task is woken when it need not any more.
    pub(super) fn is_ahead(&mut self, waker: &Waker) -> bool {
        let is_ahead = self.is_outrun(RUNS_AHEAD);
        if is_ahead && !self.waiting_publishers.iter().any(|other| other.will_wake(waker)) {
            self.waiting_publishers.push(waker.clone());
        }
        is_ahead
    }

    /// Asks for the next paged-out messages when those before them run low.
    fn read_ahead(&mut self, fx: &mut Effects) {
        if self.reading.is_some() {
            return;
        }
        let near = self.residency.near_bytes();
        let Some(wanted) = self.ready.wanted(near) else { return };
        self.reads += 1;
        self.reading = Some(PageIn { id: self.reads, wanted, bytes_max: near });
        fx.read = self.reading;
    }

    /// All messages that were asked for before `next` came from the store.
    pub(super) fn page_in(
        &mut self,
        id: u64,
        entries: impl Iterator<Item = Entry>,
        next: Position,
        fx: &mut Effects,
    ) {
        let Some(asked) = self.reading.take_if(|asked| asked.id == id) else { return };
        self.has_failed_gets = false;
        self.ready.page_in(asked.wanted.from, entries, next);
        self.dispatch(fx);
        self.wake_gets(fx);
    }

    /// What was asked for cannot be read. Nobody is left waiting for it: consumers end, as they do
    /// when a queue's node fails (BA-091), and gets are refused. The messages stay, and whoever
    /// consumes or gets next has the store try again, at the clients' pace.
    pub(super) fn read_failed(&mut self, id: u64, fx: &mut Effects) {
        if self.reading.take_if(|asked| asked.id == id).is_none() {
            return;
        }
        self.has_failed_gets = !self.waiting_gets.is_empty();
        self.end_consumers(fx);
        self.wake_all(fx);
    }

    fn end_consumers(&mut self, fx: &mut Effects) {
        self.has_exclusive_consumer = false;
        for consumer in self.consumers.clear() {
            let event = Event::Cancelled { slot: consumer.slot };
            consumer.outbox.push(event, &mut fx.wakes);
        }
    }

    pub(super) fn get(&mut self, no_ack: bool, waker: &Waker, fx: &mut Effects) -> GetOutcome {
        if self.is_deleted {
            return GetOutcome::Gone;
        }
        let entry = match self.ready.pop_front() {
            Next::Entry(entry, _) => entry,
            Next::Empty => return GetOutcome::Empty,
            Next::Paged if std::mem::take(&mut self.has_failed_gets) => {
                return GetOutcome::Unreadable;
            }
            Next::Paged => {
                if !self.waiting_gets.iter().any(|other| other.will_wake(waker)) {
                    self.waiting_gets.push(waker.clone());
                }
                self.read_ahead(fx);
                return GetOutcome::Wait;
            }
        };
        self.note_memory(fx);
        if no_ack {
            if entry.is_stored {
                fx.ops.push(StoreOp::Settle { queue: self.id, position: entry.position });
            }
        } else {
            self.unacked += 1;
        }
        self.read_ahead(fx);
        GetOutcome::Got(Got {
            position: entry.position,
            message: entry.message,
            is_redelivered: entry.is_redelivered,
            is_stored: entry.is_stored && !no_ack,
            left: self.ready.count(),
        })
    }

    /// Whether a consumer may be added now. COMPATIBILITY BA-083.
    pub(super) fn admits(&self, exclusive: bool) -> bool {
        !(self.has_exclusive_consumer || exclusive && self.consumers.len() > 0)
    }

    /// Adds a consumer without serving it yet: its `consume-ok` goes first (BA-081).
    pub(super) fn add_consumer(&mut self, consumer: Consumer, exclusive: bool) -> ConsumerHandle {
        self.had_consumer = true;
        self.has_exclusive_consumer = exclusive;
        self.consumers.add(consumer)
    }

    pub(super) fn resume(&mut self, handle: ConsumerHandle, fx: &mut Effects) {
        self.consumers.resume(handle);
        self.dispatch(fx);
    }

    /// The consumer's window has places. If it is stalled, its outbox will resume it.
    pub(super) fn window_opened(&mut self, handle: ConsumerHandle, fx: &mut Effects) {
        self.consumers.settled(handle, 0);
        self.dispatch(fx);
    }

    /// Removes a consumer. Its unacknowledged messages stay with its channel (BA-090).
    pub(super) fn cancel(&mut self, handle: ConsumerHandle, fx: &mut Effects) -> bool {
        let found = self.consumers.remove(handle).is_some();
        if self.consumers.len() == 0 {
            self.has_exclusive_consumer = false;
        }
        self.dispatch(fx);
        found
    }

    pub(super) fn settle(&mut self, settled: &[Settled], fx: &mut Effects) {
        if self.is_deleted {
            return;
        }
        for delivery in settled {
            self.unacked = self.unacked.saturating_sub(1);
            if let Some(consumer) = delivery.consumer {
                self.consumers.settled(consumer, 1);
            }
            if delivery.is_stored {
                fx.ops.push(StoreOp::Settle { queue: self.id, position: delivery.position });
            }
        }
        self.dispatch(fx);
    }

    /// Puts messages back in their places. All of them are back before the first is handed out
    /// again, so that they go out in order.
    pub(super) fn requeue(&mut self, returned: Vec<Returned>, fx: &mut Effects) {
        if self.is_deleted {
            return;
        }
        for delivery in returned {
            self.unacked = self.unacked.saturating_sub(1);
            if let Some(consumer) = delivery.consumer {
                self.consumers.settled(consumer, 1);
            }
            let is_redelivered = delivery.was_redelivered || delivery.was_seen;
            if delivery.is_stored && is_redelivered && !delivery.was_redelivered {
                fx.ops.push(StoreOp::Returned {
                    queue: self.id,
                    position: delivery.position,
                    returns: 1,
                    failures: 0,
                });
            }
            self.put_back(delivery.position, delivery.message, is_redelivered, delivery.is_stored);
        }
        self.dispatch(fx);
        self.wake_gets(fx);
    }

    fn put_back(
        &mut self,
        position: Position,
        message: Held,
        is_redelivered: bool,
        is_stored: bool,
    ) {
        let body_bytes = match message {
            Held::Message(message)
                if !is_stored || self.ready.returned_bytes() < self.residency.near_bytes() =>
            {
                self.ready.put_back(Entry { position, message, is_redelivered, is_stored });
                return;
            }
            Held::Message(message) => message.body_len(),
            Held::Stored { body_bytes } => body_bytes,
        };
        self.ready.put_away(position, body_bytes);
        self.has_paged_out = true;
    }

    /// Removes every ready message; those delivered and not settled stay (QU-083).
    pub(super) fn purge(&mut self, fx: &mut Effects) -> u64 {
        let count = self.ready.count();
        let (entries, ranges) = self.ready.clear();
        for entry in entries.filter(|entry| entry.is_stored) {
            fx.ops.push(StoreOp::Settle { queue: self.id, position: entry.position });
        }
        for (first, end) in ranges {
            fx.ops.push(StoreOp::SettleRange { queue: self.id, first, end });
        }
        self.reading = None;
        self.wake_all(fx);
        self.residency.report(0);
        count
    }

    /// Ends the queue: everything in it goes, its consumers are told. Returns how many messages
    /// were ready.
    pub(super) fn delete(&mut self, fx: &mut Effects) -> u64 {
        self.is_deleted = true;
        let count = self.ready.count();
        drop(self.ready.clear());
        self.residency.report(0);
        if self.uses_store {
            fx.ops.push(StoreOp::DropQueue { queue: self.id });
        }
        self.end_consumers(fx);
        self.wake_all(fx);
        count
    }

    fn wake_gets(&mut self, fx: &mut Effects) {
        for waker in self.waiting_gets.drain(..) {
            fx.wakes.owe(waker);
        }
    }

    fn wake_publishers(&mut self, fx: &mut Effects) {
        for waker in self.waiting_publishers.drain(..) {
            fx.wakes.owe(waker);
        }
    }

    fn wake_all(&mut self, fx: &mut Effects) {
        self.wake_gets(fx);
        self.wake_publishers(fx);
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
