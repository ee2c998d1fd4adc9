//! Definitions: everything that was declared, as RabbitMQ's JSON has it (HT-120 to HT-129).
//!
//! - [`export`] writes them.
//! - [`read`] reads them and checks each entry for itself.
//! - [`rehearsal`] checks them all together, against what is there.
//! - [`apply`] makes them so.
//!
//! So a file with a mistake changes nothing, and is told which entry is wrong and why.

mod apply;
mod export;
mod files;
mod read;
mod rehearsal;

pub(super) use export::{of_all, of_vhost};
pub use files::{Files, FilesError};

use super::api::users::UserDraft;
use crate::{
    broker::{
        Metadata,
        datum::{Datum, Map},
        policy::{Authority, Draft},
        topology::{Destination, ExchangeSpec},
    },
    wire::table::Table,
};

/// What names of the broker's own begin with.
const RESERVED_PREFIX: &str = "amq.";

/// Why definitions were not imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionsError {
    /// It is no JSON object.
    #[error("not a JSON object: {0}")]
    Json(String),
    /// An entry is wrong. Nothing was changed.
    #[error("{entry}: {reason}")]
    Entry {
        /// The entry, such as `queues[3] (orders)`.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// All entries made sense, but meanwhile somebody else had changed what they rest on. Those
    /// before it are there.
    #[error("{entry} was refused: {reason}")]
    Refused {
        /// The entry.
        entry: String,
        /// Why.
        reason: String,
    },
}

/// Definitions whose entries have been checked, each for itself.
#[derive(Debug, Default)]
pub struct Definitions {
    users: Vec<Listed<UserEntry>>,
    vhosts: Vec<Listed<VhostEntry>>,
    permissions: Vec<Listed<PermissionEntry>>,
    topic_permissions: Vec<Listed<TopicPermissionEntry>>,
    exchanges: Vec<Listed<ExchangeEntry>>,
    global_parameters: Vec<Listed<GlobalEntry>>,
    policies: Vec<Listed<PolicyEntry>>,
    limits: Vec<Listed<LimitsEntry>>,
    queues: Vec<Listed<QueueEntry>>,
    bindings: Vec<Listed<BindingEntry>>,
}

/// An entry of a list.
#[derive(Debug)]
struct Listed<T> {
    /// Its list, place and name, for messages: `queues[3] (orders)`.
    label: String,
    item: T,
}

#[derive(Debug)]
struct UserEntry {
    name: String,
    draft: UserDraft,
}

#[derive(Debug)]
struct VhostEntry {
    name: String,
    metadata: Metadata,
    /// Whether it is to be traced, if anything is said of that.
    is_traced: Option<bool>,
    limits: Map,
}

#[derive(Debug)]
struct PermissionEntry {
    user: String,
    vhost: String,
    patterns: [String; 3],
}

#[derive(Debug)]
struct TopicPermissionEntry {
    user: String,
    vhost: String,
    exchange: String,
    write_and_read: [String; 2],
}

#[derive(Debug)]
struct ExchangeEntry {
    vhost: String,
    name: String,
    spec: ExchangeSpec,
}

#[derive(Debug)]
struct GlobalEntry {
    name: String,
    value: Datum,
}

#[derive(Debug)]
struct PolicyEntry {
    vhost: String,
    authority: Authority,
    name: String,
    draft: Draft,
}

#[derive(Debug)]
struct LimitsEntry {
    vhost: String,
    limits: Map,
}

#[derive(Debug)]
struct QueueEntry {
    vhost: String,
    name: String,
    durable: bool,
    auto_delete: bool,
    arguments: Table,
}

#[derive(Debug)]
struct BindingEntry {
    vhost: String,
    source: String,
    destination: Destination,
    key: String,
    arguments: Table,
}
