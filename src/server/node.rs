//! A broker over a data directory: the store is opened, what was durable is restored, and what a
//! new directory lacks is made: a vhost and a user.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use super::StartError;
use crate::{
    auth::{Authenticator, User, Users},
    broker::{Broker, Settings},
    config::{self, Config},
    connection::Context,
    store::{RecordKind, Store, StoreConfig, SyncMode},
};

/// Messages of one queue in memory before it pages, as a share of what all may have.
const QUEUE_SHARE: usize = 8;

/// Opens everything under `path`. Blocks on the disk.
pub(super) fn open_blocking(config: &Arc<Config>, path: &Path) -> Result<Arc<Context>, StartError> {
    let (store, recovered) = Store::open(StoreConfig {
        sync: match config.sync {
            config::SyncMode::Always => SyncMode::Always,
            config::SyncMode::Interval => SyncMode::Interval(config.sync_interval),
            config::SyncMode::Off => SyncMode::Off,
        },
        inbox_bytes_max: config.store_inbox_max.bytes(),
        cache_bytes: config.store_cache_max.bytes(),
        ..StoreConfig::new(path)
    })?;
    let settings = Settings {
        resident_max: config.resident_max.bytes(),
        queue_resident_max: config.resident_max.bytes() / QUEUE_SHARE,
        default_vhost: config.default_vhost.as_str().into(),
        seed: getrandom::u64()?,
    };
    let broker = Broker::new(&settings, store.clone(), &recovered)?;
    let records = recovered
        .records
        .iter()
        .filter(|(kind, ..)| *kind == RecordKind::User)
        .map(|(_, key, value)| (key, value));
    let users = Users::load(records)?;
    if users.is_empty() {
        store.submit(users.put(User::by_default(config)?));
    }
    Ok(Arc::new(Context {
        broker: Arc::new(broker),
        auth: Arc::new(Authenticator::new(Arc::new(users), config)),
        config: Arc::clone(config),
        name_seed: getrandom::u64()?,
        names_generated: AtomicU64::new(0),
    }))
}
