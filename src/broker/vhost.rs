//! A vhost: its topology behind a lock, and the changes to it that must be durable.
//!
//! Every change is made and its operations are submitted under the topology's write lock, so that
//! the store sees changes in the order in which they were made. No queue's lock is taken under it
//! (R4): what a change means for a queue is done after it.

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    broker::{
        Error, arguments,
        error::Kind,
        exchange::Headers,
        queue::{Budget, ConnectionId, DeleteRefused, Effects, Queue, QueueSpec},
        record,
        route::{Cacheable, RouteSet},
        topology::{Bound, Declared, Destination, ExchangeSpec, Removed, Topology, check_new_name},
    },
    names::{CommitSeq, Name, QueueId},
    store::{Store, StoreOp},
    wire::table::Table,
};

/// What vhosts share with the broker they belong to.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) budget: Arc<Budget>,
    pub(super) next_queue: Arc<AtomicU64>,
}

impl Shared {
    fn next_queue_id(&self) -> QueueId {
        QueueId(self.next_queue.fetch_add(1, Ordering::Relaxed))
    }
}

/// A vhost.
#[derive(Debug)]
pub struct Vhost {
    name: Name,
    topology: RwLock<Topology<Arc<Queue>>>,
    /// The topology's generation, to be read without its lock.
    generation: AtomicU64,
    shared: Shared,
}

/// A queue's declare: what it came to, and what must be durable before it may be said.
#[derive(Debug)]
pub struct DeclaredQueue {
    /// The queue.
    pub queue: Arc<Queue>,
    /// What the store must have reached.
    pub needed: CommitSeq,
}

impl Vhost {
    pub(super) fn new(name: Name, shared: Shared) -> Self {
        let topology = Topology::new();
        let generation = AtomicU64::new(topology.generation());
        Self { name, topology: RwLock::new(topology), generation, shared }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Grows with every change that may alter where a message goes.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The topology, to look at. Drop it before a queue's lock is taken.
    pub fn topology(&self) -> RwLockReadGuard<'_, Topology<Arc<Queue>>> {
        self.topology.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the topology and submits what came of it.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Topology<Arc<Queue>>, &mut Vec<StoreOp>) -> Result<T, Error>,
    ) -> Result<(T, CommitSeq), Error> {
        let mut topology: RwLockWriteGuard<'_, _> =
            self.topology.write().unwrap_or_else(PoisonError::into_inner);
        let mut ops = Vec::new();
        let result = change(&mut topology, &mut ops);
        self.generation.store(topology.generation(), Ordering::Release);
        let needed = match ops.is_empty() {
            true => CommitSeq(0),
            false => self.shared.store.submit_all(ops),
        };
        Ok((result?, needed))
    }

    /// Finds the queues of a message (see [`Topology::route`]), refusing publishes to internal
    /// exchanges.
    pub fn route(
        &self,
        exchange: &str,
        keys: &[&[u8]],
        headers: Option<&dyn Headers>,
        out: &mut RouteSet<Arc<Queue>>,
    ) -> Result<Cacheable, Error> {
        let topology = self.topology();
        topology.check_publish(exchange)?;
        topology.route(exchange, keys, headers, out)
    }

    /// Declares an exchange.
    pub fn declare_exchange(&self, name: &str, spec: ExchangeSpec) -> Result<CommitSeq, Error> {
        let ((), needed) = self.change(|topology, ops| {
            if topology.declare_exchange(name, spec.clone())? == Declared::Created && spec.durable {
                ops.push(record::put_exchange(&self.name, name, &spec));
            }
            Ok(())
        })?;
        Ok(needed)
    }

    /// Deletes an exchange, and whatever goes with it.
    pub fn delete_exchange(&self, name: &str, if_unused: bool) -> Result<CommitSeq, Error> {
        let ((), needed) = self.change(|topology, ops| {
            let removed = topology.delete_exchange(name, if_unused)?;
            self.forget(&removed, ops);
            Ok(())
        })?;
        Ok(needed)
    }

    /// The operations that make durable what went.
    fn forget(&self, removed: &Removed, ops: &mut Vec<StoreOp>) {
        for exchange in removed.exchanges.iter().filter(|exchange| exchange.is_durable) {
            ops.push(record::remove_exchange(&self.name, &exchange.name));
        }
        for binding in removed.bindings.iter().filter(|binding| binding.is_durable) {
            ops.push(record::remove_binding(&self.name, binding));
        }
    }

    /// Binds `destination` to `source`.
    pub fn bind(
        &self,
        source: &str,
        destination: &Destination,
        key: &[u8],
        arguments: &Table,
    ) -> Result<CommitSeq, Error> {
        let ((), needed) = self.change(|topology, ops| {
            let bound = topology.bind(source, destination, key, arguments)?;
            if bound == (Bound::New { is_durable: true }) {
                ops.push(record::put_binding(&self.name, source, destination, key, arguments));
            }
            Ok(())
        })?;
        Ok(needed)
    }

    /// Undoes a binding, and whatever goes with it.
    pub fn unbind(
        &self,
        source: &str,
        destination: &Destination,
        key: &[u8],
        arguments: &Table,
    ) -> Result<CommitSeq, Error> {
        let ((), needed) = self.change(|topology, ops| {
            let removed = topology.unbind(source, destination, key, arguments)?;
            self.forget(&removed, ops);
            Ok(())
        })?;
        Ok(needed)
    }

    /// The queue of this name, if `connection` may use it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Locked`] for another connection's exclusive queue (QU-010).
    pub fn queue(&self, name: &str, connection: ConnectionId) -> Result<Arc<Queue>, Error> {
        let topology = self.topology();
        let queue = topology.queue(name);
        let queue =
            queue.ok_or_else(|| Error::NotFound { kind: Kind::Queue, name: name.into() })?;
        check_owner(queue, connection)?;
        Ok(Arc::clone(queue))
    }

    /// Declares a queue. An existing one must be alike (QU-006 to QU-015).
    pub fn declare_queue(
        &self,
        name: &str,
        spec: QueueSpec,
        connection: ConnectionId,
    ) -> Result<DeclaredQueue, Error> {
        let (queue, needed) = self.change(|topology, ops| {
            if let Some(queue) = topology.queue(name) {
                check_alike(queue, &spec, connection)?;
                return Ok(Arc::clone(queue));
            }
            if !name.starts_with(SERVER_NAMED) || spec.is_client_named {
                check_new_name(Kind::Queue, name)?;
            }
            arguments::validate_queue(name, &spec.arguments)?;
            let id = self.shared.next_queue_id();
            if spec.is_durable {
                ops.push(record::put_queue(&self.name, name, id, &spec));
            }
            let is_durable = spec.is_durable;
            let queue = self.new_queue(id, name.into(), spec);
            topology.insert_queue(name.into(), Arc::clone(&queue), is_durable);
            Ok(queue)
        })?;
        Ok(DeclaredQueue { queue, needed })
    }

    fn new_queue(&self, id: QueueId, name: Name, spec: QueueSpec) -> Arc<Queue> {
        let Shared { store, budget, .. } = self.shared.clone();
        Queue::new(id, name, spec, store, budget, None)
    }

    /// Deletes a queue if the conditions hold. Returns how many messages were ready in it, and what
    /// must be durable before that may be said.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::InUse`].
    pub fn delete_queue(
        &self,
        queue: &Arc<Queue>,
        if_unused: bool,
        if_empty: bool,
        fx: &mut Effects,
    ) -> Result<(u64, CommitSeq), Error> {
        // The queue ends first: from then on it takes no message and no consumer, so the
        // conditions still hold when its name is free again.
        let count = match queue.delete(if_unused, if_empty, fx) {
            Ok(count) => count,
            Err(DeleteRefused::Gone) => return Ok((0, CommitSeq(0))),
            Err(DeleteRefused::InUse) => {
                return Err(Error::InUse { kind: Kind::Queue, name: queue.name.clone() });
            }
            Err(DeleteRefused::NotEmpty) => {
                return Err(Error::NotEmpty { name: queue.name.clone() });
            }
        };
        let ((), needed) = self.change(|topology, ops| {
            if queue.spec.is_durable {
                ops.push(record::remove_queue(&self.name, &queue.name));
            }
            let is_current = topology.queue(&queue.name).is_some_and(|q| Arc::ptr_eq(q, queue));
            if is_current && let Some((_, removed)) = topology.remove_queue(&queue.name) {
                self.forget(&removed, ops);
            }
            Ok(())
        })?;
        Ok((count, needed))
    }
}

/// The prefix of the names that the broker gives.
pub const SERVER_NAMED: &str = "amq.gen-";

fn check_owner(queue: &Queue, connection: ConnectionId) -> Result<(), Error> {
    match queue.spec.owner {
        Some(owner) if owner != connection => Err(Error::Locked { name: queue.name.clone() }),
        _ => Ok(()),
    }
}
