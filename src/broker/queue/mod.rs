//! A queue: its identity, which never changes, and its state behind one lock.
//!
//! Every method takes the lock once, changes the state, submits what is to be made durable, and
//! drops the lock; reads from the store start after that. No method waits (R3), no method takes a
//! second queue's lock (R4).
//!
//! # Figures
//! `cargo bench --bench queue` on a shared virtual machine of two cores, the least of its samples,
//! for each message and with the outbox that it passes through: 61 ns without acknowledgements,
//! 97 ns when each is acknowledged and 75 ns when 256 are at once, 78 ns with 256 consumers in
//! turn. Published and got back: 89 ns, and 90 ns with 100,000 before it.

mod amount;
mod capacity;
mod consumers;
mod delivery;
mod effects;
mod lanes;
mod limits;
mod present;
mod ready;
mod residency;
mod settings;
mod sleepers;
mod state;
mod waiting;

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
    time::Duration,
};

pub use amount::Amount;
pub use capacity::Capacity;
pub use consumers::{Consumer, ConsumerHandle, ConsumerView};
pub use delivery::{Arrival, Cause, GetOutcome, Got, Held, Returned, Settled};
pub use effects::{DeadLetter, Effects};
pub use residency::Budget;
pub use settings::{DeadLetterTo, Overflow, Retry, Settings};
pub use state::{Counts, QueueView};
use {
    effects::{PageIn, Purpose},
    lanes::{Lanes, Place, in_lane, lane_of},
    ready::{Entry, Run},
    residency::Residency,
    state::State,
    waiting::Waiter,
};

use crate::{
    broker::{
        Error, Vhost,
        arguments::{self, QueueSpec, QueueType},
        dead_letter::Reason,
        stats::{Departed, QueueTally},
        timers::{OnDeadline, Timers},
    },
    clock::{Now, UnixTime},
    message::Message,
    names::{CommitSeq, ConnectionId, Name, Position, QueueId},
    store::{Deadline, ReadBatch, ReadRequest, RecoveredQueue, Store, StoreError},
};

/// What a queue is, from its declare to its end.
#[derive(Debug)]
pub struct Identity {
    /// Its number.
    pub id: QueueId,
    /// Its name in its vhost.
    pub name: Name,
    /// How it was declared.
    pub spec: QueueSpec,
    /// Its type.
    pub queue_type: QueueType,
    /// The connection it belongs to, when exclusive.
    pub owner: Option<ConnectionId>,
    /// The user who declared it.
    pub declared_by: Name,
}

/// A queue of one vhost.
#[derive(Debug)]
pub struct Queue {
    identity: Identity,
    /// Where its dead letters are routed.
    vhost: Weak<Vhost>,
    me: Weak<Self>,
    timers: Arc<Timers>,
    store: Store,
    departed: Arc<Departed>,
    is_deduplicating: bool,
    /// Milliseconds that a delivery may stay unacknowledged, [`NO_TIMEOUT`] for any time. Apart,
    /// since every delivery asks and the rest of a queue changes all the time.
    consumer_timeout: Box<AtomicU64>,
    state: Mutex<State>,
}

impl Deref for Queue {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

/// No consumer timeout.
const NO_TIMEOUT: u64 = u64::MAX;

/// What a queue did with a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It took the message, or ended it as its arguments say. The publish may be confirmed once the
    /// store has reached this; 0 where nothing must be durable.
    Taken(CommitSeq),
    /// It has no room and is told to say so (QU-114).
    Refused,
    /// It was deleted while the caller held on to it.
    Gone,
}

/// What a queue works with.
#[derive(Debug)]
pub struct Surroundings {
    /// Where its dead letters are routed.
    pub vhost: Weak<Vhost>,
    /// Who calls it when something is due.
    pub timers: Arc<Timers>,
    /// What keeps its messages.
    pub store: Store,
    /// What memory they may take.
    pub budget: Arc<Budget>,
    /// What keeps its counts when it is gone.
    pub departed: Arc<Departed>,
}

/// Why a consumer was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumeRefused {
    /// Another consumer is exclusive, or this one wants to be and is not the first.
    InExclusiveUse,
    /// The queue was deleted.
    Gone,
}

/// Why a queue was not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRefused {
    /// `if-unused`, and it has consumers.
    InUse,
    /// `if-empty`, and it has ready messages.
    NotEmpty,
    /// Somebody else was first.
    Gone,
}

impl Queue {
    /// An empty queue, or what the store recovered of one: of each of its lanes.
    pub fn new(
        identity: Identity,
        settings: Settings,
        surroundings: Surroundings,
        recovered: impl Fn(QueueId) -> Option<RecoveredQueue>,
    ) -> Arc<Self> {
        let Surroundings { vhost, timers, store, budget, departed } = surroundings;
        let residency = Residency::new(budget);
        let run = |level: u8| {
            recovered(QueueId(identity.id.0 + u64::from(level))).map(|found| Run {
                from: found.first,
                end: found.end,
                count: found.count,
                bytes: found.bytes,
                // What was spilled is not there any more.
                persistent: Amount { messages: found.count, bytes: found.bytes },
                after: CommitSeq(0),
            })
        };
        let ready = Lanes::recovered(settings.max_priority, settings.usual_priority(), run);
        let is_deduplicating = settings.is_deduplicating;
        let about = (identity.id, identity.name.clone(), identity.spec.durable);
        // Recovered messages may have times of their own.
        let has_times =
            settings.expires.is_some() || settings.message_ttl.is_some() || !ready.is_empty();
        let consumer_timeout = settings.consumer_timeout.unwrap_or(NO_TIMEOUT);
        let queue = Arc::new_cyclic(|me: &Weak<Self>| Self {
            identity,
            vhost,
            me: me.clone(),
            timers,
            store,
            departed,
            is_deduplicating,
            consumer_timeout: Box::new(AtomicU64::new(consumer_timeout)),
            state: Mutex::new(State::new(about, settings, me.clone(), residency, ready)),
        });
        if has_times {
            queue.arm_now();
        }
        queue
    }

    /// Has the queue called as soon as possible, with the time.
    fn arm_now(&self) {
        self.timers.arm(Now::default(), self.me.clone());
    }

    /// Puts other settings in effect (PO-053): a policy changed. What the queue was declared as
    /// stays.
    pub fn apply_settings(&self, settings: Settings) {
        let consumer_timeout = settings.consumer_timeout.unwrap_or(NO_TIMEOUT);
        self.consumer_timeout.store(consumer_timeout, Relaxed);
        self.state().apply(settings);
        // What the new settings end is ended when the time is known.
        self.arm_now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock ends the connection that caused it; what it left is consistent
        // between two statements of `State`, which do not panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits what the section left, drops the lock and does what is to be done without it: reads,
    /// timers, dead letters. Returns what must be durable before the section's outcome may be told.
    fn finish(self: &Arc<Self>, mut state: MutexGuard<'_, State>, fx: &mut Effects) -> CommitSeq {
        let mut seq = CommitSeq(0);
        if !fx.ops.is_empty() || state.has_paged_out() {
            seq = self.store.submit_all(fx.ops.drain(..));
            state.submitted(seq, fx);
        }
        drop(state);
        if let Some(page_in) = fx.read.take() {
            self.read(page_in);
        }
        if fx.time == UnixTime::default() && fx.arm.take().is_some() {
            self.arm_now();
        }
        if let Some(at) = fx.arm.take() {
            let wait = Duration::from_millis(at.saturating_sub(fx.time.0));
            self.timers.arm(fx.now.after(wait), self.me.clone());
        }
        for (position, reason) in fx.dead_away.drain(..) {
            self.fetch_dead(position, reason);
        }
        if !fx.dead.is_empty() && !fx.is_burying {
            seq = seq.max(self.bury(fx));
        }
        seq
    }

    /// Sends dead letters on, and those that come of it.
    fn bury(&self, fx: &mut Effects) -> CommitSeq {
        let mut seq = CommitSeq(0);
        let Some(vhost) = self.vhost.upgrade() else { return seq };
        fx.is_burying = true;
        while let Some(letter) = fx.dead.pop_front() {
            seq = seq.max(vhost.send_dead_letter(letter, fx));
        }
        fx.is_burying = false;
        seq
    }

    /// Reads a message that was given up after it had left memory, and gives it up then.
    fn fetch_dead(self: &Arc<Self>, at: Position, reason: Reason) {
        let Place { queue, position } = Place::of(self.id, at);
        let after = self.store.submitted();
        let end = position.next();
        let request = ReadRequest { queue, from: position, end, max_bytes: 1, after };
        let queue = Arc::clone(self);
        self.store.read(request, move |result| match result {
            Ok(batch) => {
                let mut fx = Effects::of_this_moment();
                let mut state = queue.state();
                for stored in batch.messages {
                    state.bury_read(at, stored.message, reason, stored.standing, &mut fx);
                }
                queue.finish(state, &mut fx);
            }
            Err(error) => {
                tracing::error!(queue = %queue.name, %error, "a dead letter cannot be read back");
            }
        });
    }

    /// Keeps a message whose dead letter has nowhere to go yet.
    fn keep_letter(
        self: &Arc<Self>,
        position: Position,
        waiter: Waiter,
        reason: Reason,
        fx: &mut Effects,
    ) {
        let mut state = self.state();
        state.keep_letter(position, waiter, reason, fx);
        self.finish(state, fx);
    }

    /// Whether it would refuse a message of this size now.
    pub fn refuses(&self, body_bytes: usize) -> bool {
        self.state().refuses(body_bytes)
    }

    fn read(self: &Arc<Self>, page_in: PageIn) {
        let (from, end) =
            (Place::of(self.id, page_in.wanted.from), Place::of(self.id, page_in.wanted.end));
        let request = ReadRequest {
            queue: from.queue,
            from: from.position,
            end: end.position,
            max_bytes: page_in.bytes_max,
            after: page_in.wanted.after,
        };
        let queue = Arc::downgrade(self);
        self.store.read(request, move |result| {
            if let Some(queue) = queue.upgrade() {
                queue.page_in(page_in, result);
            }
        });
    }

    fn page_in(self: &Arc<Self>, asked: PageIn, result: Result<ReadBatch, StoreError>) {
        let mut fx = Effects::of_this_moment();
        let mut state = self.state();
        let batch = match result {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(queue = %self.name, %error, "messages cannot be read back");
                match asked.purpose {
                    Purpose::Deliver => state.read_failed(asked.id, &mut fx),
                    Purpose::Expire => state.expire_failed(asked.id, &mut fx),
                }
                self.finish(state, &mut fx);
                return;
            }
        };
        let lane = lane_of(asked.wanted.from);
        let entries = batch.messages.into_iter().map(|stored| Entry {
            position: in_lane(lane, stored.position),
            message: stored.message,
            standing: stored.standing,
            is_stored: true,
        });
        let next = if batch.is_end { asked.wanted.end } else { in_lane(lane, batch.next) };
        if asked.purpose == Purpose::Deliver {
            state.page_in(asked.id, entries, next, &mut fx);
            self.finish(state, &mut fx);
            return;
        }
        state.expire_stored(asked.id, entries, next, &mut fx);
        self.finish(state, &mut fx);
        // What is over is settled now, and a read from here on does not find it.
        let mut state = self.state();
        state.expired(asked.id, self.store.submitted(), &mut fx);
        self.finish(state, &mut fx);
    }

    /// Whether it takes each value of `x-deduplication-header` once at a time: what is settled must
    /// be known to it before what is published later, and by [`Self::recall`] what an earlier
    /// process left in it.
    pub fn is_deduplicating(&self) -> bool {
        self.is_deduplicating
    }

    /// The store has this message in the lane of this number.
    pub fn recall(&self, lane: usize, position: Position, message: &Message) {
        self.state().recall(in_lane(lane, position), message);
    }

    /// The store has messages that expire, or wait, in the lane of this number.
    pub fn expect_expiries(&self, lane: usize, deadlines: &[Deadline]) {
        let mut state = self.state();
        for &Deadline { from, end, at } in deadlines {
            state.sleepers.add(in_lane(lane, from), in_lane(lane, end), at);
        }
        drop(state);
        self.arm_now();
    }

    /// Adds a message, or hands it straight to a consumer.
    pub fn publish(
        self: &Arc<Self>,
        message: Message,
        arrival: Arrival,
        fx: &mut Effects,
    ) -> Published {
        let mut state = self.state();
        if state.is_deleted {
            return Published::Gone;
        }
        let is_taken = state.publish(message, arrival, fx);
        let needed = self.finish(state, fx);
        if is_taken { Published::Taken(needed) } else { Published::Refused }
    }

    /// Adds messages one after the other, all under one lock. Returns what the store must have
    /// reached before those that it took may be confirmed, and says which it `refused`, counted
    /// from 0. A queue that is gone takes all of them and keeps none.
    pub fn publish_all(
        self: &Arc<Self>,
        messages: impl Iterator<Item = (Message, Arrival)>,
        refused: &mut Vec<usize>,
        fx: &mut Effects,
    ) -> CommitSeq {
        let mut state = self.state();
        if state.is_deleted {
            return CommitSeq(0);
        }
        for (at, (message, arrival)) in messages.enumerate() {
            if !state.publish(message, arrival, fx) {
                refused.push(at);
            }
        }
        self.finish(state, fx)
    }

    /// The queue is used: it was declared again (QU-100).
    pub fn touch(self: &Arc<Self>, fx: &mut Effects) {
        let mut state = self.state();
        state.touch(fx);
        self.finish(state, fx);
    }

    /// How long a delivery may stay unacknowledged, if arguments or policies say (BA-142). It holds
    /// for what is delivered from now on.
    pub fn consumer_timeout(&self) -> Option<Duration> {
        let timeout = self.consumer_timeout.load(Relaxed);
        (timeout != NO_TIMEOUT).then(|| Duration::from_millis(timeout))
    }

    /// Whether deliveries say how often the message came back (BA-261, BA-262).
    pub fn counts_deliveries(&self) -> bool {
        self.queue_type == QueueType::Quorum
    }

    /// Whether a publisher runs ahead of consumers that are busy, and should wait a turn; its task
    /// is woken when it need not any more.
    pub fn is_ahead(&self, waker: &Waker) -> bool {
        self.state().is_ahead(waker)
    }

    /// Refuses `basic.get` where consumers take turns (QU-143).
    ///
    /// # Errors
    /// [`Error::GetFromSingleActive`].
    pub fn check_get(&self) -> Result<(), Error> {
        let is_single = arguments::boolean(&self.spec.arguments, "x-single-active-consumer");
        if self.queue_type == QueueType::Quorum && is_single == Some(true) {
            return Err(Error::GetFromSingleActive { name: self.name.clone() });
        }
        Ok(())
    }

    /// Takes the next message for `basic.get`.
    pub fn get(self: &Arc<Self>, no_ack: bool, waker: &Waker, fx: &mut Effects) -> GetOutcome {
        let mut state = self.state();
        let outcome = state.get(no_ack, waker, fx);
        self.finish(state, fx);
        outcome
    }

    /// Adds a consumer. It is served from the first [`Self::resume`] on, which the caller owes
    /// once its `consume-ok` is on its way.
    pub fn consume(
        &self,
        consumer: Consumer,
        exclusive: bool,
    ) -> Result<ConsumerHandle, ConsumeRefused> {
        let mut state = self.state();
        if state.is_deleted {
            return Err(ConsumeRefused::Gone);
        }
        if !state.admits(exclusive) {
            return Err(ConsumeRefused::InExclusiveUse);
        }
        Ok(state.add_consumer(consumer, exclusive))
    }

    /// A consumer's window has places again.
    pub fn window_opened(self: &Arc<Self>, consumer: ConsumerHandle, fx: &mut Effects) {
        let mut state = self.state();
        state.window_opened(consumer, fx);
        self.finish(state, fx);
    }

    /// A consumer's outbox has room again, or its service begins.
    pub fn resume(self: &Arc<Self>, consumer: ConsumerHandle, fx: &mut Effects) {
        let mut state = self.state();
        state.resume(consumer, fx);
        self.finish(state, fx);
    }

    /// Removes a consumer. Returns whether the queue is to be deleted for it: it is auto-delete and
    /// that was its last (QU-012).
    pub fn cancel(self: &Arc<Self>, consumer: ConsumerHandle, fx: &mut Effects) -> bool {
        let mut state = self.state();
        let found = state.cancel(consumer, fx);
        let is_abandoned =
            found && self.spec.auto_delete && state.counts().consumers == 0 && !state.is_deleted;
        self.finish(state, fx);
        is_abandoned
    }

    /// Settles deliveries for good.
    pub fn settle(self: &Arc<Self>, settled: &[Settled], fx: &mut Effects) -> CommitSeq {
        let mut state = self.state();
        state.settle(settled, fx);
        self.finish(state, fx)
    }

    /// Takes deliveries back, each for its own cause.
    pub fn take_back(self: &Arc<Self>, returned: Vec<Returned>, fx: &mut Effects) {
        let mut state = self.state();
        state.take_back(returned, fx);
        self.finish(state, fx);
    }

    /// Removes all ready messages; returns how many there were.
    pub fn purge(self: &Arc<Self>, fx: &mut Effects) -> u64 {
        let mut state = self.state();
        let count = state.purge(fx);
        self.finish(state, fx);
        count
    }

    /// Ends the queue, if the conditions hold; `if_empty` is looked at first (QU-086). The caller
    /// has removed it, or removes it, from its vhost. Returns how many messages were ready.
    pub fn delete(
        self: &Arc<Self>,
        if_unused: bool,
        if_empty: bool,
        fx: &mut Effects,
    ) -> Result<u64, DeleteRefused> {
        let mut state = self.state();
        let counts = state.counts();
        if state.is_deleted {
            return Err(DeleteRefused::Gone);
        }
        if if_empty && counts.ready > 0 {
            return Err(DeleteRefused::NotEmpty);
        }
        if if_unused && counts.consumers > 0 {
            return Err(DeleteRefused::InUse);
        }
        let count = state.delete(fx);
        state.departure = self.departed.queue(self.queue_type, state.tally);
        self.finish(state, fx);
        Ok(count)
    }

    /// Its counts, all of one moment.
    pub fn counts(&self) -> Counts {
        self.state().counts()
    }

    /// What it looks like from outside, all of one moment; none once it is deleted.
    pub fn view(&self) -> Option<QueueView> {
        let state = self.state();
        (!state.is_deleted).then(|| state.view())
    }

    /// How often a message may come back before it is given up; none for any number.
    pub fn delivery_limit(&self) -> Option<u32> {
        self.state().settings.delivery_limit
    }

    /// What it had counted when it was deleted, if that was after the first `departures` queues.
    pub fn departed_after(&self, departures: u64) -> Option<QueueTally> {
        let state = self.state();
        (state.departure > departures).then_some(state.tally)
    }

    /// Its consumers, in the order in which they came; only one that is active is served.
    pub fn consumers(&self) -> Vec<ConsumerView> {
        self.state().consumers.list()
    }
}

impl OnDeadline for Queue {
    fn on_deadline(self: Arc<Self>, now: Now, time: UnixTime, fx: &mut Effects) {
        (fx.now, fx.time) = (now, time);
        let mut state = self.state();
        let is_unused = state.on_deadline(fx);
        let is_settling = state.is_settling;
        self.finish(state, fx);
        if is_settling {
            let mut state = self.state();
            state.settled(self.store.submitted(), fx);
            self.finish(state, fx);
        }
        if is_unused && let Some(vhost) = self.vhost.upgrade() {
            // If somebody consumes again, the queue stays.
            let _ = vhost.delete_queue(&self, true, false, fx);
        }
    }
}

#[cfg(test)]
mod tests;
