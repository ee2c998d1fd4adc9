//! A queue: its identity, which never changes, and its state behind one lock.
//!
//! Every method takes the lock once, changes the state, submits what is to be made durable, and
//! drops the lock; reads from the store start after that. No method waits (R3), no method takes a
//! second queue's lock (R4).

mod consumers;
mod ready;
mod residency;
mod settings;
mod state;

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::Waker,
};

pub use consumers::{Consumer, ConsumerHandle};
pub use residency::Budget;
pub use settings::{DeadLetterTo, Overflow, Retry, Settings};
pub use state::{Counts, Effects, GetOutcome, Got, Held, Returned, Settled};
use {
    ready::{Entry, Run},
    residency::Residency,
    state::{PageIn, State},
};

use crate::{
    broker::arguments::{QueueSpec, QueueType},
    message::Message,
    names::{CommitSeq, ConnectionId, Name, QueueId},
    store::{ReadBatch, ReadRequest, RecoveredQueue, Store, StoreError},
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
}

/// A queue of one vhost.
#[derive(Debug)]
pub struct Queue {
    identity: Identity,
    store: Store,
    state: Mutex<State>,
}

impl Deref for Queue {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

/// The queue was deleted while the caller held on to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

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
    /// An empty queue, or what the store recovered of one.
    pub fn new(
        identity: Identity,
        store: Store,
        budget: Arc<Budget>,
        recovered: Option<&RecoveredQueue>,
    ) -> Arc<Self> {
        let residency = Residency::new(budget);
        let run = recovered.map(|found| Run {
            from: found.first,
            end: found.end,
            count: found.count,
            bytes: found.bytes,
            after: CommitSeq(0),
        });
        let (id, is_durable) = (identity.id, identity.spec.durable);
        Arc::new_cyclic(|me: &Weak<Self>| Self {
            identity,
            store,
            state: Mutex::new(State::new(id, is_durable, me.clone(), residency, run)),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock ends the connection that caused it; what it left is consistent
        // between two statements of `State`, which do not panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits what the section left, drops the lock and starts the reads that were asked for.
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
        seq
    }

    fn read(self: &Arc<Self>, page_in: PageIn) {
        let request = ReadRequest {
            queue: self.id,
            from: page_in.wanted.from,
            end: page_in.wanted.end,
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
        let batch = match result {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(queue = %self.name, %error, "messages cannot be read back");
                return;
            }
        };
        let entries = batch.messages.into_iter().map(|stored| Entry {
            position: stored.position,
            message: stored.message,
            is_redelivered: stored.standing.returns > 0,
            is_stored: true,
        });
        let mut fx = Effects::default();
        let mut state = self.state();
        let next = if batch.is_end { asked.wanted.end } else { batch.next };
        state.page_in(asked.id, entries, next, &mut fx);
        self.finish(state, &mut fx);
    }

    /// Adds a message, or hands it straight to a consumer. What must be durable before the publish
    /// may be confirmed is returned; 0 where nothing must.
    pub fn publish(
        self: &Arc<Self>,
        message: Message,
        fx: &mut Effects,
    ) -> Result<CommitSeq, Gone> {
        let mut state = self.state();
        if state.is_deleted {
            return Err(Gone);
        }
        state.publish(message, fx);
        Ok(self.finish(state, fx))
    }

    /// Whether a publisher runs ahead of consumers that are busy, and should wait a turn; its task
    /// is woken when it need not any more.
    pub fn is_ahead(&self, waker: &Waker) -> bool {
        self.state().is_ahead(waker)
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

    /// A consumer has room or credit again.
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

    /// Takes deliveries back, each to its own place.
    pub fn requeue(self: &Arc<Self>, returned: Vec<Returned>, fx: &mut Effects) {
        let mut state = self.state();
        state.requeue(returned, fx);
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
        self.finish(state, fx);
        Ok(count)
    }

    /// Its counts, all of one moment.
    pub fn counts(&self) -> Counts {
        self.state().counts()
    }
}
