//! What a broker is, without sockets, disks and clocks: exchanges, bindings, queues.
//!
//! Floor 4. Everything here is plain data behind methods that take what they need and return what
//! came of it; reply codes and JSON are other floors' words (R9, R10).

pub mod alarm;
pub mod arguments;
pub mod client;
pub mod datum;
pub mod dead_letter;
pub mod delay;
pub mod error;
pub mod exchange;
mod govern;
pub mod log;
pub mod outbox;
pub mod parameter;
pub mod policy;
pub mod publish;
pub mod queue;
pub mod record;
pub mod registry;
pub mod route;
pub mod stats;
pub mod timers;
pub mod topology;
pub mod trace;
pub mod vhost;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use dashmap::DashMap;

use self::{
    alarm::Gate,
    arguments::QueueType,
    datum::Datum,
    parameter::{Parameter, Scope},
    policy::PolicyRecord,
    queue::Budget,
    record::{BindingRecord, ExchangeRecord, QueueRecord, Record, RecordError, VhostRecord},
    registry::Registry,
    stats::Departed,
    timers::Timers,
};
pub use self::{
    error::Error,
    error::Kind,
    govern::NoVhost,
    vhost::{Metadata, Vhost},
};
use crate::{
    histogram::Histogram,
    names::{Name, QueueId},
    store::{RecordKind, Recovered, Store, StoreOp},
};

/// What a broker is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of ready messages in memory, over all queues.
    pub resident_max: usize,
    /// The same for one queue.
    pub queue_resident_max: usize,
    /// The type of queues that new vhosts say where they are created without one.
    pub default_queue_type: QueueType,
    /// Queues that there may be in all vhosts.
    pub queues_max: Option<u32>,
    /// Exchanges that there may be in all vhosts.
    pub exchanges_max: Option<u32>,
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
    /// Its connections.
    pub registry: Registry,
    /// What queues counted that are gone.
    pub departed: Arc<Departed>,
    /// The same of queues for direct replies.
    pub departed_replies: Arc<Departed>,
    /// Dead letters that were kept until they had somewhere to go, and have arrived.
    pub letters_arrived: Arc<AtomicU64>,
    /// How long queues found no room in a consumer's outbox.
    pub stalls: Histogram,
    vhosts: Arc<DashMap<Name, Arc<Vhost>>>,
    /// A vhost that nobody can name, for connections that have not named theirs yet.
    limbo: Arc<Vhost>,
    /// The runtime parameters, by whose they are and by name.
    parameters: RwLock<BTreeMap<(Scope, String), Datum>>,
    /// The type of queues that new vhosts say where they are created without one.
    pub default_queue_type: QueueType,
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
        let departed = Arc::new(Departed::default());
        let departed_replies = Arc::new(Departed::default());
        let letters_arrived = Arc::new(AtomicU64::new(0));
        let vhosts = Arc::new(DashMap::new());
        let shared = vhost::Shared {
            vhosts: Arc::downgrade(&vhosts),
            queues_max: settings.queues_max,
            exchanges_max: settings.exchanges_max,
            store: store.clone(),
            budget: Arc::clone(&budget),
            timers: Arc::clone(&timers),
            departed: Arc::clone(&departed),
            departed_replies: Arc::clone(&departed_replies),
            letters_arrived: Arc::clone(&letters_arrived),
            next_queue: Arc::new(AtomicU64::new(1)),
            seeds: Arc::new(AtomicU64::new(settings.seed)),
        };
        let broker = Self {
            store,
            gate: Gate::default(),
            budget,
            timers,
            registry: Registry::default(),
            departed,
            departed_replies,
            letters_arrived,
            stalls: Histogram::of_time(),
            vhosts,
            limbo: Vhost::new(Name::from(""), shared.clone()),
            parameters: RwLock::default(),
            default_queue_type: settings.default_queue_type,
            shared,
        };
        broker.restore(recovered)?;
        Ok(broker)
    }

    fn restore(&self, recovered: &Recovered) -> Result<(), RestoreError> {
        let of_kind =
            |kind: RecordKind| recovered.records.iter().filter(move |(found, ..)| *found == kind);
        for (_, key, value) in of_kind(RecordKind::Vhost) {
            let record: VhostRecord = decode(key, value)?;
            self.insert_vhost(record.name, record.metadata);
        }
        let mut leftovers = Vec::new();
        for (_, key, value) in of_kind(RecordKind::Policy) {
            let record: PolicyRecord = decode(key, value)?;
            match self.vhost(&record.vhost) {
                Some(vhost) => vhost.restore_policy(record.policy),
                None => leftovers.push(record.remove()),
            }
        }
        for (_, key, value) in of_kind(RecordKind::Parameter) {
            let record: Parameter = decode(key, value)?;
            let removal = record.remove();
            if !self.restore_parameter(record) {
                leftovers.push(removal);
            }
        }
        let mut logs_used = Vec::new();
        for (_, key, value) in of_kind(RecordKind::Exchange) {
            let record: ExchangeRecord = decode(key, value)?;
            let Some(vhost) = self.vhost(&record.vhost) else {
                leftovers.push(record.remove());
                continue;
            };
            let name = record.name.clone();
            let logs = record.log.map(|log| [log, QueueId(log.0 + 1)]);
            let found = logs.map(|logs| logs.map(|log| recovered.queues.get(&log).copied()));
            let found = found.unwrap_or_default();
            if let Err(error) = vhost.restore_exchange(record, found) {
                tracing::warn!(exchange = %name, %error, "an exchange was not restored");
            }
            logs_used.extend(logs.into_iter().flatten());
        }
        self.restore_queues(recovered, &logs_used, &mut leftovers)?;
        for (_, key, value) in of_kind(RecordKind::Binding) {
            let record: BindingRecord = decode(key, value)?;
            let Some(vhost) = self.vhost(&record.vhost) else {
                leftovers.push(record.remove());
                continue;
            };
            let BindingRecord { source, destination, key, arguments, .. } = &record;
            if let Err(error) = vhost.restore(|t| t.bind(source, destination, key, arguments)) {
                tracing::warn!(%source, ?destination, %error, "a binding was not restored");
            }
        }
        for vhost in self.vhosts.iter() {
            vhost.apply_policies();
        }
        if !leftovers.is_empty() {
            tracing::warn!(count = leftovers.len(), "definitions of deleted vhosts were removed");
            self.store.submit_all(leftovers);
        }
        Ok(())
    }

    fn restore_queues(
        &self,
        recovered: &Recovered,
        logs_used: &[QueueId],
        leftovers: &mut Vec<StoreOp>,
    ) -> Result<(), RestoreError> {
        let mut next_queue = recovered.queue_id_floor.0.max(1);
        let mut orphans = recovered.queues.clone();
        for log in logs_used {
            next_queue = next_queue.max(log.0 + 1);
            orphans.remove(log);
        }
        for (kind, key, value) in &recovered.records {
            if *kind != RecordKind::Queue {
                continue;
            }
            let record: QueueRecord = decode(key, value)?;
            let lanes = 0..=u64::from(arguments::max_priority(&record.spec.arguments));
            next_queue = next_queue.max(record.id.0 + 1 + lanes.end());
            let Some(vhost) = self.vhost(&record.vhost) else {
                leftovers.push(record.remove());
                continue;
            };
            for lane in lanes {
                orphans.remove(&QueueId(record.id.0 + lane));
            }
            vhost.restore_queue(record, recovered);
        }
        self.shared.next_queue.store(next_queue, Ordering::Relaxed);
        // What is left of queues that were deleted just before the end.
        self.store.submit_all(orphans.into_keys().map(|queue| StoreOp::DropQueue { queue }));
        Ok(())
    }

    fn insert_vhost(&self, name: Name, metadata: Metadata) -> Arc<Vhost> {
        let vhost = Vhost::new(name.clone(), self.shared.clone());
        vhost.set_metadata(metadata);
        self.vhosts.insert(name, Arc::clone(&vhost));
        vhost
    }

    /// The vhost of this name.
    pub fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.vhosts.get(name).map(|vhost| Arc::clone(&vhost))
    }

    /// All vhosts, by name.
    pub fn vhosts(&self) -> Vec<Arc<Vhost>> {
        let mut vhosts: Vec<_> = self.vhosts.iter().map(|vhost| Arc::clone(&vhost)).collect();
        vhosts.sort_by(|one, other| one.name().cmp(other.name()));
        vhosts
    }

    /// A vhost to stand in until the right one is known. Nothing is in it.
    pub fn limbo(&self) -> Arc<Vhost> {
        Arc::clone(&self.limbo)
    }
}

fn decode<R: Record>(key: &[u8], value: &[u8]) -> Result<R, RestoreError> {
    R::decode(key, value).map_err(|reason| RestoreError {
        kind: R::KIND,
        key: String::from_utf8_lossy(key).into_owned(),
        reason,
    })
}
