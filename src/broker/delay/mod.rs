//! Messages that wait on an `x-delayed-message` exchange for their time (EX-097..101).
//!
//! Each such exchange has a log: a queue number of its own under which the store has the messages
//! that wait, the time at which each is due beside it. What is in memory is a [`Schedule`]: times
//! and places of all, bodies of those that are due first.
//!
//! - Persistent messages on a durable exchange are published to the store, and confirmed when they
//!   are durable there. All others are spilled: they leave memory, but not for longer than this
//!   process.
//! - A message that is due is routed by the bindings of that moment. Its arrival in its queues and
//!   its end in the log are one group of operations: a crash loses nothing and repeats nothing.
//! - Times are those of the clock on the wall, so that they outlive the process. It is looked at
//!   again now and then in case that clock was set.
//!
//! # Locks
//! One mutex for each log. The store's inbox and the timers are reached under it, nothing else.

mod schedule;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use self::schedule::{Fetch, Key, Schedule};
use super::{
    exchange::delayed,
    log::{Backing, READ_BYTES},
    queue::{Arrival, Effects},
    route::RouteSet,
    timers::{OnDeadline, Timers},
    vhost::Vhost,
};
use crate::{
    clock::{Now, UnixTime},
    message::Message,
    names::{CommitSeq, Name, Position, QueueId},
    store::{ReadBatch, ReadRequest, Standing, Store, StoreError, StoreOp, StoredMessage},
    wire::{
        properties::Properties,
        table::{RawTable, RawValue, put_last},
    },
};

/// Bytes of bodies that one exchange keeps in memory.
const NEAR_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Messages that are handed on before others may run.
const BATCH: usize = 256;
/// The same where few of the messages are wanted: about a page of the store's.
const SPARSE_READ_BYTES: usize = 64 * 1024;
/// How long it is waited at the most before the clock on the wall is looked at again.
const RECHECK: Duration = Duration::from_secs(5);

/// The messages that wait on one exchange.
#[derive(Debug)]
pub struct DelayLog {
    id: QueueId,
    exchange: Name,
    is_durable: bool,
    store: Store,
    timers: Arc<Timers>,
    vhost: Weak<Vhost>,
    me: Weak<Self>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    schedule: Schedule,
    next: Position,
    /// The last operation on the log.
    last_op: CommitSeq,
    /// Messages of an earlier process that are still to be read; none is handed on before.
    unread: u64,
    is_loading: bool,
    is_fetching: bool,
    /// The deadline that was armed last and has not come yet.
    armed: Option<Now>,
    is_closed: bool,
}

impl DelayLog {
    /// The log of an exchange; reads what an earlier process left in it.
    pub(super) fn open(exchange: &str, backing: Backing) -> Arc<Self> {
        let next = backing.next();
        let Backing { store, timers, vhost, log, is_durable, recovered, .. } = backing;
        let unread = recovered.map_or(0, |found| found.count);
        let state = State {
            schedule: Schedule::new(NEAR_BYTES_MAX),
            next,
            last_op: CommitSeq(0),
            unread,
            is_loading: unread > 0,
            is_fetching: false,
            armed: None,
            is_closed: false,
        };
        let log = Arc::new_cyclic(|me| Self {
            id: log,
            exchange: exchange.into(),
            is_durable,
            store,
            timers,
            vhost,
            me: me.clone(),
            state: Mutex::new(state),
        });
        if let Some(found) = recovered.filter(|found| found.count > 0) {
            log.load(found.first, found.end);
        }
        log
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each section leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many messages wait.
    pub fn count(&self) -> u64 {
        let state = self.state();
        state.schedule.count() as u64 + state.unread
    }

    /// Keeps a message until `delay` has passed. Returns what must be durable before it may be
    /// confirmed.
    pub fn keep(&self, message: Message, delay: Duration, now: Now, time: UnixTime) -> CommitSeq {
        // The clock's milliseconds are begun ones: one more, so that it is never too early.
        let due = UnixTime(time.0 + delay.as_millis() as u64 + 1);
        let standing = Standing { expires_at: due.0, ..Standing::default() };
        let mut state = self.state();
        if state.is_closed {
            return CommitSeq(0);
        }
        let (queue, position) = (self.id, state.next);
        state.next = position.next();
        let is_stored = self.is_durable && message.is_persistent();
        let copy = message.clone();
        let seq = self.store.submit(if is_stored {
            StoreOp::Publish { queue, position, message: copy, standing }
        } else {
            StoreOp::Spill { queue, position, message: copy, standing }
        });
        state.last_op = seq;
        state.schedule.insert((due, position), message);
        self.arm(&mut state, now, time);
        if is_stored { seq } else { CommitSeq(0) }
    }

    /// Ends the log with its exchange: what waits goes with it.
    pub fn close(&self) {
        let mut state = self.state();
        if !state.is_closed {
            state.is_closed = true;
            state.unread = 0;
            state.schedule.clear();
            self.store.submit(StoreOp::DropQueue { queue: self.id });
        }
    }

    /// Sees to it that the timer thread comes when the next message is due.
    fn arm(&self, state: &mut State, now: Now, time: UnixTime) {
        let Some(due) = state.schedule.next_due().filter(|_| !state.is_loading) else { return };
        let wait = Duration::from_millis(due.0.saturating_sub(time.0));
        let at = now.after(wait.min(RECHECK));
        if state.armed.is_none_or(|armed| at < armed) {
            state.armed = Some(at);
            self.timers.arm(at, self.me.clone());
        }
    }

    /// Has the timer thread come at once.
    fn wake(&self, state: &mut State) {
        state.armed = Some(Now::default());
        self.timers.arm(Now::default(), self.me.clone());
    }

    /// Reads on in what an earlier process left.
    fn load(self: &Arc<Self>, from: Position, end: Position) {
        let after = CommitSeq(0);
        let request = ReadRequest { queue: self.id, from, end, max_bytes: READ_BYTES, after };
        let log = Arc::downgrade(self);
        self.store.read(request, move |result| {
            let Some(log) = log.upgrade() else { return };
            match log.read_back(result) {
                Some(batch) if !batch.is_end => {
                    log.loaded(batch.messages);
                    log.load(batch.next, end);
                }
                batch => {
                    log.loaded(batch.map_or_else(Vec::new, |batch| batch.messages));
                    let mut state = log.state();
                    (state.is_loading, state.unread) = (false, 0);
                    log.wake(&mut state);
                }
            }
        });
    }

    fn loaded(&self, messages: Vec<StoredMessage>) {
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        for StoredMessage { position, message, standing } in messages {
            state.unread = state.unread.saturating_sub(1);
            state.schedule.insert((UnixTime(standing.expires_at), position), message);
        }
    }

    /// What a read gave.
    fn read_back(&self, result: Result<ReadBatch, StoreError>) -> Option<ReadBatch> {
        result
            .inspect_err(|error| {
                tracing::error!(exchange = %self.exchange, %error, "delayed messages are not read");
            })
            .ok()
    }

    /// Starts to read what is due next and not in memory.
    fn fetch(self: &Arc<Self>, state: &mut State) {
        if state.is_fetching || state.is_loading || state.is_closed {
            return;
        }
        let Some(fetch) = state.schedule.next_fetch() else { return };
        state.is_fetching = true;
        self.read(fetch, state.last_op);
    }

    fn read(self: &Arc<Self>, fetch: Fetch, after: CommitSeq) {
        let Some((from, end)) = fetch.range() else { return };
        let max_bytes = if fetch.is_dense() { READ_BYTES } else { SPARSE_READ_BYTES };
        let request = ReadRequest { queue: self.id, from, end, max_bytes, after };
        let log = Arc::downgrade(self);
        self.store.read(request, move |result| {
            if let Some(log) = log.upgrade() {
                log.fetched(fetch, (end, after), result);
            }
        });
    }

    fn fetched(
        self: &Arc<Self>,
        mut fetch: Fetch,
        (end, after): (Position, CommitSeq),
        result: Result<ReadBatch, StoreError>,
    ) {
        let Some(batch) = self.read_back(result) else { return };
        let reached = if batch.is_end { end } else { batch.next };
        let mut state = self.state();
        for StoredMessage { position, message, .. } in batch.messages {
            if let Some(due) = fetch.take(position) {
                state.schedule.fetched((due, position), message);
            }
        }
        for (due, position) in fetch.take_missing(reached) {
            // One that was dropped with its exchange is not in the schedule either.
            if state.schedule.lost((due, position)) {
                tracing::error!(exchange = %self.exchange, ?position, "a delayed message is gone");
            }
        }
        state.schedule.promote();
        // Without a clock here, it is left to the timer thread what is due now.
        self.wake(&mut state);
        if fetch.range().is_some() && !state.is_closed {
            drop(state);
            self.read(fetch, after);
        } else {
            state.is_fetching = false;
            self.fetch(&mut state);
        }
    }

    /// Routes a message whose time has come by the bindings as they are.
    fn hand_on(&self, vhost: &Vhost, waited: &Message, fx: &mut Effects) {
        let mut route = RouteSet::new();
        let message = passed_on(waited);
        // An exchange that was deleted just now routes to nothing.
        if vhost.route_again(&self.exchange, &message, fx.time, &mut route).is_ok() {
            route.hand_out(&message, Arrival::of(&message), fx);
        }
    }
}

/// A message that has waited: its header `x-delay` is negated (EX-099).
fn passed_on(waited: &Message) -> Message {
    let properties = Properties::of_message(waited.properties());
    let headers = properties.headers().unwrap_or_default();
    let negated = match RawTable(headers).get(delayed::HEADER) {
        Some(RawValue::I32(delay)) => RawValue::I32(delay.saturating_neg()),
        other => RawValue::I64(other.and_then(delayed::millis).unwrap_or(0).saturating_neg()),
    };
    let headers = put_last(headers, delayed::HEADER, negated);
    let properties = properties.with_headers(Some(&headers));
    waited.readdressed(waited.address(), &properties, waited.traits())
}

impl OnDeadline for DelayLog {
    fn on_deadline(self: Arc<Self>, now: Now, time: UnixTime, fx: &mut Effects) {
        (fx.now, fx.time) = (now, time);
        let due: Vec<(Key, Message)> = {
            let mut state = self.state();
            state.armed = None;
            let next = || state.schedule.pop_due(time).filter(|_| !state.is_loading);
            std::iter::from_fn(next).take(BATCH).collect()
        };
        if let Some(vhost) = self.vhost.upgrade().filter(|_| !due.is_empty()) {
            let _group = self.store.group();
            for (_, message) in &due {
                self.hand_on(&vhost, message, fx);
            }
            let queue = self.id;
            let settle = due.iter().map(|((_, position), _)| *position);
            self.store.submit_all(settle.map(|position| StoreOp::Settle { queue, position }));
        }
        let mut state = self.state();
        self.fetch(&mut state);
        if !state.is_fetching || state.schedule.has_near() {
            self.arm(&mut state, now, time);
        }
    }
}
