//! A vhost: its topology behind a lock, and the changes to it that must be durable.
//!
//! Every change is made and its operations are submitted under the topology's write lock, so that
//! the store sees changes in the order in which they were made. No queue's lock is taken under it
//! (R4): what a change means for a queue is done after it.

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use dashmap::DashMap;

use crate::{
    broker::{
        Error,
        arguments::{self, QueueSpec, QueueType},
        dead_letter::{self, Death},
        error::{Kind, Reason},
        exchange::{Fittings, View},
        log::{self, Backing},
        policy::Policies,
        queue::{
            Arrival, Budget, DeadLetter, DeadLetterTo, DeleteRefused, Effects, Identity, Published,
            Queue, Surroundings,
        },
        record::{self, BindingRecord, ExchangeRecord, QueueRecord, Record},
        route::{Cacheable, RouteSet},
        stats::Departed,
        timers::Timers,
        topology::{
            Bound, Declared, Destination, Exchange, ExchangeSpec, Topology, check_new_name,
        },
    },
    clock::UnixTime,
    message::Message,
    names::{CommitSeq, ConnectionId, Name, QueueId},
    store::{RecordKind, Recovered, RecoveredQueue, Store, StoreOp},
    wire::{
        properties::Properties,
        table::{RawTable, Table},
    },
};

/// How far apart the random numbers of two exchanges begin.
const SEEDS_APART: u64 = 0x9e37_79b9_7f4a_7c15;

/// What vhosts share with the broker they belong to.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    /// All vhosts. They share this, so that it must not keep them.
    pub(super) vhosts: Weak<DashMap<Name, Arc<Vhost>>>,
    /// Queues that there may be in all of them.
    pub(super) queues_max: Option<u32>,
    /// Exchanges that there may be.
    pub(super) exchanges_max: Option<u32>,
    pub(super) budget: Arc<Budget>,
    pub(super) timers: Arc<Timers>,
    pub(super) departed: Arc<Departed>,
    pub(super) departed_replies: Arc<Departed>,
    /// Dead letters that were kept until they had somewhere to go, and have arrived.
    pub(super) letters_arrived: Arc<AtomicU64>,
    pub(super) next_queue: Arc<AtomicU64>,
    /// What the random numbers of the next exchange begin at.
    pub(super) seeds: Arc<AtomicU64>,
}

impl Shared {
    /// The limit, if there is one and so much of it is there in all vhosts. Those who declare at
    /// the same time may go beyond it together, as with RabbitMQ.
    ///
    /// # Locks
    /// Each topology's, one after the other.
    fn full(
        &self,
        limit: Option<u32>,
        count: impl Fn(&Topology<Arc<Queue>>) -> usize,
    ) -> Option<u32> {
        let (limit, vhosts) = (limit?, self.vhosts.upgrade()?);
        let vhosts: Vec<_> = vhosts.iter().map(|vhost| Arc::clone(&vhost)).collect();
        let there: usize = vhosts.iter().map(|vhost| count(&vhost.topology())).sum();
        (there >= limit as usize).then_some(limit)
    }

    /// A number for a queue; those of its lanes follow it.
    fn next_queue_id(&self, max_priority: u8) -> QueueId {
        let lanes = u64::from(max_priority) + 1;
        QueueId(self.next_queue.fetch_add(lanes, Ordering::Relaxed))
    }

    /// Two numbers, for an exchange that keeps something and for a type inside it.
    fn next_log(&self) -> QueueId {
        QueueId(self.next_queue.fetch_add(2, Ordering::Relaxed))
    }
}

/// A vhost.
#[derive(Debug)]
pub struct Vhost {
    me: Weak<Self>,
    name: Name,
    topology: RwLock<Topology<Arc<Queue>>>,
    /// The topology's generation, to be read without its lock.
    generation: AtomicU64,
    /// The queues of direct reply-to consumers, by the names that were made for them.
    replies: DashMap<Name, Arc<Queue>>,
    pub(super) metadata: RwLock<Metadata>,
    pub(super) policies: RwLock<Arc<Policies>>,
    pub(super) limits: Limits,
    /// Set under the topology's write lock: nothing is changed here any more.
    is_deleted: AtomicBool,
    /// Whether messages are told to the exchange for that, too (see [`super::trace`]).
    pub(super) is_traced: AtomicBool,
    pub(super) shared: Shared,
}

/// What is said about a vhost (PO-076).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// For people.
    pub description: String,
    /// For people and programs.
    pub tags: Vec<String>,
    /// The type of queues whose declare says none.
    pub default_queue_type: Option<QueueType>,
    /// Whether the vhost cannot be deleted.
    pub is_protected: bool,
}

impl Metadata {
    /// What is said about the vhost that is made when there is none.
    pub fn of_default_vhost() -> Self {
        Self { description: "Default virtual host".to_owned(), ..Self::default() }
    }
}

/// How much there may be in a vhost; a negative number is no limit (PO-070).
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) max_connections: AtomicI64,
    pub(super) max_queues: AtomicI64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_connections: AtomicI64::new(-1), max_queues: AtomicI64::new(-1) }
    }
}

/// A queue's declare: what it came to, and what must be durable before it may be said.
#[derive(Debug)]
pub struct DeclaredQueue {
    /// The queue.
    pub queue: Arc<Queue>,
    /// What the store must have reached.
    pub needed: CommitSeq,
}

/// Who declares a queue.
#[derive(Clone, Debug)]
pub struct DeclaredBy {
    /// The connection.
    pub connection: ConnectionId,
    /// Its user.
    pub user: Name,
    /// Whether the broker gave the queue's name, so that it may begin with `amq.`.
    pub gave_name: bool,
    /// Whether a queue that is not there may be made; else it is not found.
    pub may_create: bool,
}

impl Vhost {
    pub(super) fn new(name: Name, shared: Shared) -> Arc<Self> {
        let topology = Topology::new();
        let generation = AtomicU64::new(topology.generation());
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            name,
            topology: RwLock::new(topology),
            generation,
            replies: DashMap::new(),
            metadata: RwLock::default(),
            policies: RwLock::default(),
            limits: Limits::default(),
            is_deleted: AtomicBool::new(false),
            is_traced: AtomicBool::new(false),
            shared,
        })
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Grows with every change that may alter where a message goes.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether it was deleted; those who are in it still are about to leave.
    pub fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
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
        if self.is_deleted() {
            return Err(Error::VhostGone);
        }
        let mut ops = Vec::new();
        let result = change(&mut topology, &mut ops);
        self.generation.store(topology.generation(), Ordering::Release);
        let needed = if ops.is_empty() { CommitSeq(0) } else { self.shared.store.submit_all(ops) };
        Ok((result?, needed))
    }

    /// Finds the queues of a message (see [`Topology::route`]), refusing publishes to internal
    /// exchanges.
    pub fn route(
        &self,
        exchange: &str,
        message: &View<'_>,
        out: &mut RouteSet<Arc<Queue>>,
    ) -> Result<Cacheable, Error> {
        let topology = self.topology();
        topology.check_publish(exchange)?;
        topology.route(exchange, message, out)
    }

    /// Declares an exchange.
    pub fn declare_exchange(&self, name: &str, spec: ExchangeSpec) -> Result<CommitSeq, Error> {
        let full = self.shared.full(self.shared.exchanges_max, |t| t.exchanges().count());
        if let Some(limit) = full.filter(|_| self.topology().exchange(name).is_none()) {
            return Err(Error::ExchangeLimit { name: name.into(), limit });
        }
        let ((), needed) = self.change(|topology, ops| {
            if topology.declare_exchange(name, spec.clone())? == Declared::Existing {
                return Ok(());
            }
            let needs_log = topology.exchange(name).is_some_and(Exchange::needs_log);
            let log = needs_log.then(|| self.shared.next_log());
            let backing = log.map(|log| self.backing(log, spec.durable));
            topology.fit_exchange(&self.fittings(name, backing));
            topology.set_alternate(name, self.policies().alternate_exchange(name));
            if spec.durable {
                let (vhost, name) = (self.name.clone(), name.into());
                ops.push(ExchangeRecord { vhost, name, spec, log }.put());
            }
            Ok(())
        })?;
        Ok(needed)
    }

    fn fittings<'a>(&self, name: &'a str, backing: Option<Backing>) -> Fittings<'a> {
        let seed = self.shared.seeds.fetch_add(SEEDS_APART, Ordering::Relaxed);
        Fittings { seed, name, backing }
    }

    fn backing(&self, log: QueueId, is_durable: bool) -> Backing {
        Backing {
            store: self.shared.store.clone(),
            timers: Arc::clone(&self.shared.timers),
            vhost: self.me.clone(),
            log,
            is_durable,
            recovered: None,
            recovered_inner: None,
        }
    }

    /// Brings a durable exchange back.
    ///
    /// # Errors
    /// As a declare's.
    pub(super) fn restore_exchange(
        &self,
        record: ExchangeRecord,
        recovered: [Option<RecoveredQueue>; 2],
    ) -> Result<(), Error> {
        let [recovered, recovered_inner] = recovered;
        let backing = record.log.map(|log| {
            let backing = self.backing(log, record.spec.durable);
            Backing { recovered, recovered_inner, ..backing }
        });
        let fittings = self.fittings(&record.name, backing);
        self.restore(|topology| {
            topology.declare_exchange(&record.name, record.spec)?;
            topology.fit_exchange(&fittings);
            Ok(())
        })
    }

    /// What a declare comes to that must not make a new exchange; none if it would (PO-011).
    pub fn redeclare_exchange(&self, name: &str, spec: &ExchangeSpec) -> Option<Result<(), Error>> {
        self.topology().check_redeclare(name, spec)
    }

    /// Deletes an exchange, and whatever goes with it.
    pub fn delete_exchange(&self, name: &str, if_unused: bool) -> Result<CommitSeq, Error> {
        let ((), needed) = self.change(|topology, ops| {
            ops.extend(topology.delete_exchange(name, if_unused)?.store_ops(&self.name));
            Ok(())
        })?;
        Ok(needed)
    }

    /// Binds `destination` to `source`. A new binding may be given messages that were published
    /// before.
    pub fn bind(
        &self,
        source: &str,
        destination: &Destination,
        key: &[u8],
        arguments: &Table,
        fx: &mut Effects,
    ) -> Result<CommitSeq, Error> {
        let (history, needed) = self.change(|topology, ops| {
            check_destination(topology, source, destination, key, arguments)?;
            let bound = topology.bind(source, destination, key, arguments)?;
            if bound == (Bound::New { is_durable: true }) {
                let record = BindingRecord {
                    vhost: self.name.clone(),
                    source: source.into(),
                    destination: destination.clone(),
                    key: key.into(),
                    arguments: arguments.clone(),
                };
                ops.push(record.put());
            }
            let source = topology.exchange(source).filter(|_| bound != Bound::Existing);
            Ok(source.and_then(Exchange::history))
        })?;
        for message in history.iter().flat_map(|history| history.messages()) {
            self.replay(&message, destination, fx);
        }
        Ok(needed)
    }

    /// Gives a message of the past to a new binding's destination.
    fn replay(&self, message: &Message, destination: &Destination, fx: &mut Effects) {
        let mut route = RouteSet::new();
        match destination {
            Destination::Queue(name) => route.only(self.topology().queue(name).cloned()),
            Destination::Exchange(name) => {
                // One that was deleted just now gets nothing.
                let _ = self.route_again(name, message, fx.time, &mut route);
            }
        }
        route.hand_out(message, Arrival::of(message), fx);
    }

    /// Finds the queues of a message that was published before, by its own keys and headers.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(super) fn route_again(
        &self,
        exchange: &str,
        message: &Message,
        time: UnixTime,
        out: &mut RouteSet<Arc<Queue>>,
    ) -> Result<(), Error> {
        self.route_by(&message.routing_keys(), exchange, message, time, out)
    }

    fn route_by(
        &self,
        keys: &[&[u8]],
        exchange: &str,
        message: &Message,
        time: UnixTime,
        out: &mut RouteSet<Arc<Queue>>,
    ) -> Result<(), Error> {
        let properties = Properties::of_message(message.properties());
        let headers = RawTable(properties.headers().unwrap_or_default());
        let view = View { properties: Some(properties), time, ..View::new(keys, Some(&headers)) };
        self.topology().route(exchange, &view, out)?;
        Ok(())
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
            ops.extend(removed.store_ops(&self.name));
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

    /// Declares a queue; one with an owner is exclusive. An existing one must be alike (QU-006 to
    /// QU-015). `is_given` says that the broker itself gave the name.
    pub fn declare_queue(
        &self,
        name: &str,
        spec: QueueSpec,
        owner: Option<ConnectionId>,
        by: &DeclaredBy,
    ) -> Result<DeclaredQueue, Error> {
        let full = self.shared.full(self.shared.queues_max, Topology::queues_count);
        let (queue, needed) = self.change(|topology, ops| {
            // Not even a name that the broker gave may be declared again.
            if !by.gave_name {
                check_new_name(Kind::Queue, name)?;
            }
            if let Some(queue) = topology.queue(name) {
                check_owner(queue, by.connection)?;
                if queue.owner.is_some() != owner.is_some() {
                    return Err(Error::Locked { name: queue.name.clone() });
                }
                arguments::check_queue_equivalence(
                    &queue.name,
                    queue.queue_type,
                    &spec,
                    &queue.spec,
                )?;
                self.shared.departed.declared(false);
                return Ok(Arc::clone(queue));
            }
            if !by.may_create {
                return Err(Error::NotFound { kind: Kind::Queue, name: name.into() });
            }
            let queue_type = check_new_queue(name, &spec, owner.is_some(), by.gave_name)?;
            self.check_queue_limit(name, topology.queues_count())?;
            if let Some(limit) = full {
                return Err(Error::ClusterQueueLimit { name: name.into(), limit });
            }
            let id = self.shared.next_queue_id(arguments::max_priority(&spec.arguments));
            let name = Name::from(name);
            if spec.durable {
                let record = QueueRecord {
                    vhost: self.name.clone(),
                    name: name.clone(),
                    id,
                    spec: spec.clone(),
                    declared_by: by.user.clone(),
                };
                ops.push(record.put());
            }
            let is_durable = spec.durable;
            let declared_by = by.user.clone();
            let identity =
                Identity { id, name: name.clone(), spec, queue_type, owner, declared_by };
            let queue = self.new_queue(identity, |_| None);
            topology.insert_queue(name, Arc::clone(&queue), is_durable);
            self.shared.departed.declared(true);
            Ok(queue)
        })?;
        Ok(DeclaredQueue { queue, needed })
    }

    fn new_queue(
        &self,
        identity: Identity,
        recovered: impl Fn(QueueId) -> Option<RecoveredQueue>,
    ) -> Arc<Queue> {
        let Identity { name, queue_type, spec, .. } = &identity;
        let settings = self.settings_of(name, *queue_type, &spec.arguments);
        Queue::new(identity, settings, self.surroundings(), recovered)
    }

    fn surroundings(&self) -> Surroundings {
        let Shared { store, budget, timers, departed, .. } = self.shared.clone();
        Surroundings { vhost: self.me.clone(), timers, store, budget, departed }
    }

    /// Brings a durable queue back.
    pub(super) fn restore_queue(&self, record: QueueRecord, recovered: &Recovered) {
        let queue_type = QueueType::of(&record.name, &record.spec.arguments, QueueType::Classic)
            .unwrap_or_default();
        let QueueRecord { id, name, spec, declared_by, .. } = record;
        let lanes = usize::from(arguments::max_priority(&spec.arguments)) + 1;
        let of_lane = |id: QueueId| recovered.queues.get(&id).copied();
        let owner = None;
        let identity = Identity { id, name: name.clone(), spec, queue_type, owner, declared_by };
        let queue = self.new_queue(identity, of_lane);
        for lane in 0..lanes {
            let id = QueueId(id.0 + lane as u64);
            if let Some(deadlines) = recovered.deadlines.get(&id) {
                queue.expect_expiries(lane, deadlines);
            }
            let Some(found) = of_lane(id).filter(|_| queue.is_deduplicating()) else { continue };
            log::read_blocking(&self.shared.store, id, found, |stored| {
                queue.recall(lane, stored.position, &stored.message);
            });
        }
        self.restore(|topology| topology.insert_queue(name, queue, true));
    }

    /// Changes the topology to what the store knows already.
    pub(super) fn restore<T>(&self, change: impl FnOnce(&mut Topology<Arc<Queue>>) -> T) -> T {
        let mut topology = self.topology.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut topology);
        self.generation.store(topology.generation(), Ordering::Release);
        result
    }

    /// Takes everything out of a vhost that is to be no more: the queues, which are the caller's to
    /// end, and the operations that remove what was durable.
    pub(super) fn wipe(&self, ops: &mut Vec<StoreOp>) -> Vec<Arc<Queue>> {
        let mut topology = self.topology.write().unwrap_or_else(PoisonError::into_inner);
        self.is_deleted.store(true, Ordering::Release);
        self.replies.clear();
        let bindings = topology.bindings().filter(|binding| binding.is_durable);
        ops.extend(bindings.map(|b| BindingRecord::new(self.name.clone(), b).remove()));
        let exchanges = topology.exchanges().filter(|exchange| exchange.spec().durable);
        ops.extend(exchanges.map(|exchange| StoreOp::Remove {
            kind: RecordKind::Exchange,
            key: record::name_key(&self.name, exchange.name()),
        }));
        let queues: Vec<_> = topology.queues().map(|(_, queue)| Arc::clone(queue)).collect();
        ops.extend(queues.iter().filter(|queue| queue.spec.durable).map(|queue| {
            let key = record::name_key(&self.name, &queue.name);
            StoreOp::Remove { kind: RecordKind::Queue, key }
        }));
        // Whoever kept a route finds that it is none any more.
        let generation = topology.generation() + 1;
        topology.end_exchanges();
        *topology = Topology::new();
        self.generation.store(generation.max(topology.generation()) + 1, Ordering::Release);
        queues
    }

    /// Makes a queue for direct replies to a connection: transient, and outside the topology.
    pub fn open_reply_queue(&self, name: Name, owner: ConnectionId) -> Arc<Queue> {
        let spec = QueueSpec { durable: false, auto_delete: false, arguments: Table::default() };
        let id = self.shared.next_queue_id(0);
        let queue_type = QueueType::Classic;
        let settings = self.settings_of(&name, queue_type, &spec.arguments);
        let (owner, declared_by) = (Some(owner), Name::from(""));
        let identity = Identity { id, name: name.clone(), spec, queue_type, owner, declared_by };
        let departed = Arc::clone(&self.shared.departed_replies);
        let surroundings = Surroundings { departed, ..self.surroundings() };
        let queue = Queue::new(identity, settings, surroundings, |_| None);
        self.replies.insert(name, Arc::clone(&queue));
        queue
    }

    /// The queue for direct replies of this name, while its consumer is there.
    pub fn reply_queue(&self, name: &[u8]) -> Option<Arc<Queue>> {
        self.replies.get(str::from_utf8(name).ok()?).map(|queue| Arc::clone(&queue))
    }

    /// The queues for direct replies.
    pub fn reply_queues(&self) -> Vec<Arc<Queue>> {
        self.replies.iter().map(|queue| Arc::clone(&queue)).collect()
    }

    /// Forgets a queue for direct replies.
    pub fn close_reply_queue(&self, name: &str) {
        self.replies.remove(name);
    }

    /// Sends a dead letter to its queues and settles it where it died, both in one commit. Returns
    /// what must be durable for that.
    pub(super) fn send_dead_letter(&self, letter: DeadLetter, fx: &mut Effects) -> CommitSeq {
        let DeadLetter { message: dead, reason, queue, to, settle, was_delivered, mut kept } =
            letter;
        let exchange = to.exchange.as_str();
        let death = Death {
            queue: &queue,
            reason,
            time: fx.time,
            exchange,
            routing_key: to.routing_key.as_deref(),
        };
        let message = dead_letter::dead_letter(&dead, &death);
        let arrival = Arrival { expiration: None, returns: was_delivered.into() };
        let route = self.dead_letter_route(&to, &message, fx.time);
        let is_open = |queue: &&Arc<Queue>| !dead_letter::is_cycle(&message, reason, &queue.name);
        let is_kept = kept.is_some();
        let cannot_arrive = || {
            let size = message.body_len();
            let has_target = route.queues().iter().any(|queue| is_open(&queue));
            let is_refused = || route.queues().iter().filter(is_open).any(|q| q.refuses(size));
            (!has_target && route.taps().is_empty()) || is_refused()
        };
        if let Some(kept) = kept.take_if(|_| cannot_arrive()) {
            kept.keep(dead, reason, fx);
            return CommitSeq(0);
        }
        // Nothing is written in the middle of this: the letter arrives and leaves in one commit.
        let group = self.shared.store.group();
        let mut seq = CommitSeq(0);
        let (mut has_target, mut is_refused) = (!route.taps().is_empty(), false);
        for target in route.queues().iter().filter(is_open) {
            // A queue that refuses it, or is gone, is nowhere to go (BA-240).
            match target.publish(message.clone(), arrival, fx) {
                Published::Taken(needed) => (seq, has_target) = (seq.max(needed), true),
                Published::Refused => is_refused = true,
                Published::Gone => {}
            }
        }
        if let Some(kept) = kept.filter(|_| is_refused || !has_target) {
            // Others were faster than the look before. Where it has arrived it comes once more.
            drop(group);
            kept.keep(dead, reason, fx);
            return CommitSeq(0);
        }
        for tap in route.taps() {
            seq = seq.max(tap.keep(&message, fx));
        }
        if let Some(settle) = settle {
            seq = seq.max(self.shared.store.submit(settle));
        }
        drop(group);
        self.shared.letters_arrived.fetch_add(u64::from(is_kept), Ordering::Relaxed);
        seq
    }

    /// Where a dead letter goes: nowhere if its exchange is missing (BA-239).
    fn dead_letter_route(
        &self,
        to: &DeadLetterTo,
        message: &Message,
        time: UnixTime,
    ) -> RouteSet<Arc<Queue>> {
        let mut found = RouteSet::new();
        let routed = match &to.routing_key {
            // It stands for all keys of the message, those of CC too (BA-231).
            Some(key) => self.route_by(&[key], &to.exchange, message, time, &mut found),
            None => self.route_again(&to.exchange, message, time, &mut found),
        };
        if routed.is_err() {
            found.only(None);
        }
        found
    }

    /// Whether a client may delete a queue of this type under these conditions (QT-008, QT-009).
    ///
    /// # Errors
    /// [`Error::ConditionalDelete`].
    pub fn check_conditions(queue: &Queue, if_unused: bool, if_empty: bool) -> Result<(), Error> {
        let flags = [(if_unused, "if-unused"), (if_empty, "if-empty")];
        match flags.iter().find(|(is_set, _)| *is_set) {
            Some((_, flag)) if queue.queue_type == QueueType::Quorum => {
                Err(Error::ConditionalDelete { name: queue.name.clone(), flag })
            }
            _ => Ok(()),
        }
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
            let is_current = topology.queue(&queue.name).is_some_and(|q| Arc::ptr_eq(q, queue));
            if is_current && let Some((_, removed)) = topology.remove_queue(&queue.name) {
                if queue.spec.durable {
                    ops.push(StoreOp::Remove {
                        kind: RecordKind::Queue,
                        key: record::name_key(&self.name, &queue.name),
                    });
                }
                ops.extend(removed.store_ops(&self.name));
            }
            Ok(())
        })?;
        Ok((count, needed))
    }
}

/// Whether a binding makes sense to the exchange it begins at, if both ends are there.
fn check_destination(
    topology: &Topology<Arc<Queue>>,
    source: &str,
    destination: &Destination,
    key: &[u8],
    arguments: &Table,
) -> Result<(), Error> {
    let to = match destination {
        Destination::Queue(name) => match topology.queue(name) {
            Some(queue) => Some(queue.queue_type),
            None => return Ok(()),
        },
        Destination::Exchange(name) if topology.exchange(name).is_some() => None,
        Destination::Exchange(_) => return Ok(()),
    };
    match topology.exchange(source) {
        Some(exchange) if !source.is_empty() => exchange.check_binding(to, key, arguments),
        _ => Ok(()),
    }
}

/// Whether a new queue can be what it is declared as, and its type.
///
/// # Errors
/// What is wrong with its arguments; [`Error::InvalidProperty`], [`Error::ServerNamed`].
pub fn check_new_queue(
    name: &str,
    spec: &QueueSpec,
    is_exclusive: bool,
    is_server_named: bool,
) -> Result<QueueType, Error> {
    let queue_type = arguments::check_queue(name, &spec.arguments, QueueType::Classic)?;
    check_properties(name, queue_type, spec, is_exclusive, is_server_named)?;
    Ok(queue_type)
}

/// What a queue of a replicated type cannot be (QT-001 to QT-005).
fn check_properties(
    name: &str,
    queue_type: QueueType,
    spec: &QueueSpec,
    is_exclusive: bool,
    is_server_named: bool,
) -> Result<(), Error> {
    match queue_type {
        QueueType::Classic => return Ok(()),
        QueueType::Quorum => {}
        // There are none yet, and a queue that only claimed to be one would lose its messages to
        // the first consumer.
        QueueType::Stream => {
            return Err(Error::InvalidArgument {
                name: name.into(),
                argument: arguments::QUEUE_TYPE.into(),
                reason: Reason::UnsupportedQueueType("stream".into()),
            });
        }
    }
    let property = match (spec.auto_delete, is_exclusive, spec.durable) {
        (true, ..) => "auto-delete",
        (_, true, _) => "exclusive-owner",
        (.., false) => "non-durable",
        _ if is_server_named => {
            return Err(Error::ServerNamed { queue_type: queue_type.as_str() });
        }
        _ => return Ok(()),
    };
    Err(Error::InvalidProperty { name: name.into(), property })
}

fn check_owner(queue: &Queue, connection: ConnectionId) -> Result<(), Error> {
    match queue.owner {
        Some(owner) if owner != connection => Err(Error::Locked { name: queue.name.clone() }),
        _ => Ok(()),
    }
}
