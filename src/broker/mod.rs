//! What a broker is, without sockets, disks and clocks: exchanges, bindings, queues.
//!
//! Floor 4. Everything here is plain data behind methods that take what they need and return what
//! came of it; reply codes and JSON are other floors' words (R9, R10).

pub mod alarm;
pub mod arguments;
pub mod dead_letter;
pub mod delay;
pub mod error;
pub mod exchange;
pub mod log;
pub mod outbox;
pub mod queue;
pub mod record;
pub mod route;
pub mod timers;
pub mod topology;
pub mod vhost;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use dashmap::DashMap;

use self::{
    alarm::Gate,
    outbox::{Event, Outbox, Wakes},
    queue::Budget,
    record::{BindingRecord, ExchangeRecord, QueueRecord, Record, RecordError},
    timers::Timers,
};
pub use self::{error::Error, error::Kind, vhost::Vhost};
use crate::{
    names::{ConnectionId, Name, QueueId},
    store::{RecordKind, Recovered, Store, StoreOp},
};

/// What a broker is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of ready messages in memory, over all queues.
    pub resident_max: usize,
    /// The same for one queue.
    pub queue_resident_max: usize,
    /// The vhost that is created when there is none.
    pub default_vhost: Name,
    /// What random numbers begin at.
    pub seed: u64,
}

/// The broker: its vhosts, its connections, its store.
#[derive(Debug)]
pub struct Broker {
    /// The store behind everything durable.
    pub store: Store,
    /// Whether publishers may publish.
    pub gate: Gate,
    /// The memory that ready messages take.
    pub budget: Arc<Budget>,
    /// Who waits for which moment.
    pub timers: Arc<Timers>,
    vhosts: DashMap<Name, Arc<Vhost>>,
    connections: DashMap<ConnectionId, Arc<Outbox>>,
    next_connection: AtomicU64,
    shared: vhost::Shared,
}

/// A record that cannot be understood.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the {kind:?} record {key:?} cannot be read: {reason}; the data directory may have been \
         written by a later version of lepus, or be damaged"
)]
pub struct RestoreError {
    kind: RecordKind,
    key: String,
    reason: RecordError,
}

impl Broker {
    /// A broker over what the store recovered.
    pub fn new(
        settings: &Settings,
        store: Store,
        recovered: &Recovered,
    ) -> Result<Self, RestoreError> {
        let budget = Arc::new(Budget::new(settings.resident_max, settings.queue_resident_max));
        let timers = Arc::new(Timers::default());
        let shared = vhost::Shared {
            store: store.clone(),
            budget: Arc::clone(&budget),
            timers: Arc::clone(&timers),
            next_queue: Arc::new(AtomicU64::new(1)),
            seeds: Arc::new(AtomicU64::new(settings.seed)),
        };
        let broker = Self {
            store,
            gate: Gate::default(),
            budget,
            timers,
            vhosts: DashMap::new(),
            connections: DashMap::new(),
            next_connection: AtomicU64::new(1),
            shared,
        };
        broker.restore(recovered)?;
        if broker.vhosts.is_empty() {
            broker.add_vhost(&settings.default_vhost);
        }
        Ok(broker)
    }

    fn restore(&self, recovered: &Recovered) -> Result<(), RestoreError> {
        let of_kind =
            |kind: RecordKind| recovered.records.iter().filter(move |(found, ..)| *found == kind);
        for (_, key, _) in of_kind(RecordKind::Vhost) {
            self.insert_vhost(Name::from(&*String::from_utf8_lossy(key)));
        }
        let mut next_queue = recovered.queue_id_floor.0.max(1);
        let mut orphans = recovered.queues.clone();
        for (_, key, value) in of_kind(RecordKind::Exchange) {
            let record: ExchangeRecord = decode(key, value)?;
            let name = record.name.clone();
            let logs = record.log.map(|log| [log, QueueId(log.0 + 1)]);
            let found = logs.map(|logs| logs.map(|log| orphans.remove(&log))).unwrap_or_default();
            next_queue = logs.map_or(next_queue, |logs| next_queue.max(logs[1].0 + 1));
            if let Err(error) = self.vhost_of(&record.vhost).restore_exchange(record, found) {
                tracing::warn!(exchange = %name, %error, "an exchange was not restored");
            }
        }
        for (_, key, value) in of_kind(RecordKind::Queue) {
            let record: QueueRecord = decode(key, value)?;
            next_queue = next_queue.max(record.id.0 + 1);
            let messages = orphans.remove(&record.id);
            self.vhost_of(&record.vhost).restore_queue(record, messages.as_ref());
        }
        self.shared.next_queue.store(next_queue, Ordering::Relaxed);
        for (_, key, value) in of_kind(RecordKind::Binding) {
            let record: BindingRecord = decode(key, value)?;
            let BindingRecord { source, destination, key, arguments, .. } = &record;
            let vhost = self.vhost_of(&record.vhost);
            if let Err(error) = vhost.restore(|t| t.bind(source, destination, key, arguments)) {
                tracing::warn!(%source, ?destination, %error, "a binding was not restored");
            }
        }
        // What is left of queues that were deleted just before the end.
        self.store.submit_all(orphans.into_keys().map(|queue| StoreOp::DropQueue { queue }));
        Ok(())
    }

    fn insert_vhost(&self, name: Name) -> Arc<Vhost> {
        let vhost = Vhost::new(name.clone(), self.shared.clone());
        self.vhosts.insert(name, Arc::clone(&vhost));
        vhost
    }

    fn vhost_of(&self, name: &Name) -> Arc<Vhost> {
        let found = self.vhosts.get(name).map(|vhost| Arc::clone(&vhost));
        found.unwrap_or_else(|| self.insert_vhost(name.clone()))
    }

    /// Adds a vhost and makes it durable.
    pub fn add_vhost(&self, name: &Name) -> Arc<Vhost> {
        let vhost = self.insert_vhost(name.clone());
        let (key, value) = (name.as_bytes().into(), Box::default());
        self.store.submit(StoreOp::Put { kind: RecordKind::Vhost, key, value });
        vhost
    }

    /// The vhost of this name.
    pub fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.vhosts.get(name).map(|vhost| Arc::clone(&vhost))
    }

    /// Some vhost, whichever.
    pub fn any_vhost(&self) -> Option<Arc<Vhost>> {
        self.vhosts.iter().next().map(|vhost| Arc::clone(&vhost))
    }

    /// Registers a connection.
    pub fn connect(&self, outbox: Arc<Outbox>) -> ConnectionId {
        let id = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        self.connections.insert(id, outbox);
        id
    }

    /// Forgets a connection.
    pub fn disconnect(&self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    /// Connections that are open.
    pub fn connections_count(&self) -> usize {
        self.connections.len()
    }

    /// Closes every connection, for this reason, without waiting for answers (CN-127).
    pub fn close_connections(&self, reason: &str) {
        let mut wakes = Wakes::default();
        for connection in &self.connections {
            connection.push(Event::Close { reason: reason.to_owned(), at_once: true }, &mut wakes);
        }
    }
}

fn decode<R: Record>(key: &[u8], value: &[u8]) -> Result<R, RestoreError> {
    R::decode(key, value).map_err(|reason| RestoreError {
        kind: R::KIND,
        key: String::from_utf8_lossy(key).into_owned(),
        reason,
    })
}
