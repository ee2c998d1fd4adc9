//! What the broker has for one connection: deliveries and news, waiting for the connection's task.
//!
//! - Any task may push; the connection's own task alone drains.
//! - Room is bounded by events and bytes. A queue that finds no room leaves its name here and is
//!   resumed when the connection has drained.
//! - Whoever makes an outbox non-empty takes the task's waker along as a debt and pays it before
//!   its own task waits (R7): one wake for a whole batch.
//!
//! Lock order: a queue's lock may be held when an outbox's is taken, and an outbox's when a
//! window's is, never the other way round (R4).

use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError, Weak},
    task::Waker,
};

use crate::{
    broker::queue::{ConsumerHandle, Queue},
    clock::Now,
    message::Message,
    names::Position,
    store::Standing,
};

/// How much may wait in one outbox.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Deliveries.
    pub events_max: usize,
    /// Bytes of messages.
    pub bytes_max: usize,
}

/// A message on its way to a consumer.
#[derive(Debug)]
pub struct Delivery {
    /// The consumer's slot on its connection.
    pub slot: u32,
    /// Where the message stands in the consumer's queue.
    pub position: Position,
    /// The message.
    pub message: Message,
    /// How it stands in its queue.
    pub standing: Standing,
    /// Whether the store holds it, so that settling it is an operation.
    pub is_stored: bool,
}

/// What a connection finds in its outbox.
#[derive(Debug)]
pub enum Event {
    /// A message for one of its consumers.
    Deliver(Delivery),
    /// A consumer is no more, because its queue is no more.
    Cancelled {
        /// The consumer's slot on its connection.
        slot: u32,
    },
    /// The connection is to be closed with 320 `CONNECTION_FORCED` and this text.
    Close {
        /// What follows `CONNECTION_FORCED - `.
        reason: String,
        /// Whether the socket is closed without waiting for an answer (CN-127).
        at_once: bool,
    },
}

/// Why a delivery was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no room; the queue is resumed when there is.
    Full,
    /// The channel's window has no place; its consumers are resumed when there is one.
    NoPlace,
    /// The connection is gone.
    Closed,
}

/// Where an outbox says that a queue waits for room.
#[derive(Debug)]
pub struct Stalled {
    /// The queue to resume.
    pub queue: Weak<Queue>,
    /// Its consumer that had no room.
    pub consumer: ConsumerHandle,
    /// When that was.
    pub since: Now,
}

/// The events of one connection.
#[derive(Debug)]
pub struct Outbox {
    limits: OutboxLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    bytes: usize,
    stalled: Vec<Stalled>,
    /// The connection's task, when it waits.
    waker: Option<Waker>,
    is_closed: bool,
}

/// Tasks that must be woken before this one waits. Pays on drop, so that no debt is forgotten.
#[derive(Debug, Default)]
pub struct Wakes(Vec<Waker>);

impl Wakes {
    /// Takes on a debt.
    pub fn owe(&mut self, waker: Waker) {
        self.0.push(waker);
    }

    /// Wakes everyone owed.
    pub fn pay(&mut self) {
        for waker in self.0.drain(..) {
            waker.wake();
        }
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.pay();
    }
}

impl Outbox {
    /// An empty outbox.
    pub fn new(limits: OutboxLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each section leaves the state whole, so a panic elsewhere under it harms nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a delivery if there is room; if there is none, remembers `stalled`. An empty outbox
    /// takes a delivery of any size.
    ///
    /// A place in `window` is taken last. Were it taken first and given back for want of room, a
    /// queue that looked in between would find the window full and wait for nothing.
    pub fn offer(
        &self,
        delivery: Delivery,
        window: Option<&Window>,
        stalled: impl FnOnce() -> Stalled,
        wakes: &mut Wakes,
    ) -> Result<(), (Refusal, Delivery)> {
        let size = delivery.message.footprint();
        let mut state = self.state();
        if state.is_closed {
            return Err((Refusal::Closed, delivery));
        }
        let is_full = state.events.len() >= self.limits.events_max
            || state.bytes + size > self.limits.bytes_max;
        if is_full && !state.events.is_empty() {
            state.stalled.push(stalled());
            return Err((Refusal::Full, delivery));
        }
        if window.is_some_and(|window| !window.try_take()) {
            return Err((Refusal::NoPlace, delivery));
        }
        state.bytes += size;
        state.events.push_back(Event::Deliver(delivery));
        if let Some(waker) = state.waker.take() {
            wakes.owe(waker);
        }
        Ok(())
    }

    /// Adds news that is no delivery; there is always room for it.
    pub fn push(&self, event: Event, wakes: &mut Wakes) {
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        state.events.push_back(event);
        if let Some(waker) = state.waker.take() {
            wakes.owe(waker);
        }
    }

    /// Moves the waiting events behind those in `events`, whose memory is used again if there are
    /// none, and the queues that found no room into `stalled`, which is empty. Returns whether
    /// there was anything.
    pub fn drain(&self, events: &mut VecDeque<Event>, stalled: &mut Vec<Stalled>) -> bool {
        debug_assert!(stalled.is_empty());
        let mut state = self.state();
        let has_any = !(state.events.is_empty() && state.stalled.is_empty());
        if events.is_empty() {
            mem::swap(&mut state.events, events);
        } else {
            events.append(&mut state.events);
        }
        mem::swap(&mut state.stalled, stalled);
        state.bytes = 0;
        has_any
    }

    /// Gives back memory that only many events needed.
    pub fn rest(&self) {
        let mut state = self.state();
        state.events.shrink_to_fit();
        state.stalled.shrink_to_fit();
    }

    /// Leaves the task's waker behind. Returns false when there is something to drain already.
    pub fn park(&self, waker: &Waker) -> bool {
        let mut state = self.state();
        if !(state.events.is_empty() && state.stalled.is_empty()) {
            return false;
        }
        match &mut state.waker {
            Some(parked) => parked.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        true
    }

    /// Shows a test what is inside.
    #[cfg(test)]
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[Event], &[Stalled]) -> T) -> T {
        let mut state = self.state();
        state.events.make_contiguous();
        look(state.events.as_slices().0, &state.stalled)
    }

    /// Refuses everything from now on and hands back what was still inside.
    pub fn close(&self) -> VecDeque<Event> {
        let mut state = self.state();
        state.is_closed = true;
        state.waker = None;
        state.stalled = Vec::new();
        mem::take(&mut state.events)
    }
}

/// A channel's window of unacknowledged messages, shared by its consumers: `basic.qos` with
/// `global`. COMPATIBILITY BA-104.
#[derive(Debug)]
pub struct Window {
    state: Mutex<WindowState>,
}

#[derive(Debug)]
struct WindowState {
    limit: u32,
    used: u32,
}

impl Window {
    /// A window of `limit` messages, 0 for no limit, of which `used` are taken.
    pub fn new(limit: u32, used: u32) -> Self {
        Self { state: Mutex::new(WindowState { limit, used }) }
    }

    fn state(&self) -> MutexGuard<'_, WindowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the limit, effective at once.
    pub fn set_limit(&self, limit: u32) {
        self.state().limit = limit;
    }

    /// Takes one place, if there is one.
    pub fn try_take(&self) -> bool {
        let mut state = self.state();
        let has_room = state.limit == 0 || state.used < state.limit;
        state.used += u32::from(has_room);
        has_room
    }

    /// Gives places back. Returns whether the window had been full, so that queues may wait for it.
    pub fn give_back(&self, places: u32) -> bool {
        let mut state = self.state();
        let was_full = state.limit != 0 && state.used >= state.limit;
        state.used = state.used.saturating_sub(places);
        was_full
    }
}

#[cfg(test)]
pub(in crate::broker) mod tests;
