//! A broker over a data directory: the store is opened, what was durable is restored, and what a
//! new directory lacks is made: a vhost and a user.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use super::StartError;
use crate::{
    admin::{self, Lacks},
    auth::{Authenticator, Permissions, User, Users, permissions::UserPermissions},
    broker::{
        Broker, Settings,
        arguments::QueueType,
        datum::Datum,
        parameter::{CLUSTER_ID, Scope},
    },
    config::{self, Config, DefaultQueueType},
    connection::Context,
    store::{RecordKind, Recovered, Store, StoreConfig, SyncMode},
};

/// Messages of one queue in memory before it pages, as a share of what all may have.
const QUEUE_SHARE: usize = 8;

/// Opens everything under `path`. Blocks on the disk.
pub(super) fn open_blocking(
    config: &Arc<Config>,
    path: &Path,
    lacks: Lacks,
) -> Result<Arc<Context>, StartError> {
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
        default_queue_type: match config.default_queue_type {
            DefaultQueueType::Classic => QueueType::Classic,
            DefaultQueueType::Quorum => QueueType::Quorum,
        },
        queues_max: config.queues_max,
        exchanges_max: config.exchanges_max,
        seed: getrandom::u64()?,
    };
    let broker = Broker::new(&settings, store.clone(), &recovered)?;
    introduce_cluster_id(&broker)?;
    let records = recovered
        .records
        .iter()
        .filter(|(kind, ..)| *kind == RecordKind::User)
        .map(|(_, key, value)| (key, value));
    let users = Users::load(records)?;
    let records = recovered.records.iter().map(|(kind, key, value)| (*kind, &**key, &**value));
    let permissions = Permissions::load(records)?;
    if lacks.users {
        introduce_default_user(config, &users, &permissions, &recovered, &store)?;
    }
    let (users, permissions) = (Arc::new(users), Arc::new(permissions));
    let auth = Authenticator::open_blocking(users, permissions, config)?;
    Ok(Arc::new(Context {
        broker: Arc::new(broker),
        auth: Arc::new(auth),
        config: Arc::clone(config),
        name_seed: getrandom::u64()?,
        names_generated: AtomicU64::new(0),
        complaints: Arc::default(),
    }))
}

/// Gives a broker that has none an identity, in RabbitMQ's form (HT-141).
fn introduce_cluster_id(broker: &Broker) -> Result<(), StartError> {
    if broker.parameter(&Scope::Global, CLUSTER_ID).is_none() {
        let (high, low) = (getrandom::u64()?, getrandom::u64()?);
        let id = Datum::Text(format!("rabbitmq-cluster-id-{high:016x}{low:016x}"));
        broker.set_global_parameter(CLUSTER_ID, id);
    }
    Ok(())
}

/// Makes the user that is made when there is none, with full permissions in the default vhost
/// (PO-074). One from the time before permissions gets them, too.
fn introduce_default_user(
    config: &Config,
    users: &Users,
    permissions: &Permissions,
    recovered: &Recovered,
    store: &Store,
) -> Result<(), StartError> {
    let is_from_before = || {
        let is_default = |key: &[u8]| key == config.default_user.as_bytes();
        recovered.records.iter().any(|(kind, key, value)| {
            *kind == RecordKind::User && is_default(key) && User::is_before_permissions(value)
        })
    };
    let user = if users.is_empty() {
        User::by_default(config)?
    } else {
        match users.get(&config.default_user) {
            Some(user) if is_from_before() => User::clone(&user),
            _ => return Ok(()),
        }
    };
    let mut ops = vec![users.put(user)];
    if permissions.is_empty() {
        ops.push(permissions.set(UserPermissions::by_default(config).map_err(admin::Error::from)?));
    }
    store.submit_all(ops);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::Permission, store::StoreOp};

    const EVERYTHING: Lacks = Lacks { users: true, vhosts: true };

    fn put(kind: RecordKind, key: &[u8], value: &[u8]) -> StoreOp {
        StoreOp::Put { kind, key: key.into(), value: value.into() }
    }

    // PO-074
    #[test]
    fn a_default_user_from_before_permissions_gets_them_once() {
        let (directory, config) = (tempfile::tempdir().unwrap(), Arc::new(Config::default()));
        let (store, _) = Store::open(StoreConfig::new(directory.path())).unwrap();
        let user = [&[1, 1], &[7; 36][..], b"\x0dadministrator"].concat();
        store.submit_all([
            put(RecordKind::Vhost, b"/", b""),
            put(RecordKind::User, b"guest", &user),
            put(RecordKind::User, b"other", &user),
        ]);
        store.close();
        let grant = |context: &Context, user: &str| {
            context.auth.permissions().grant(&user.into(), &"/".into())
        };
        let context = open_blocking(&config, directory.path(), EVERYTHING).unwrap();
        assert!(grant(&context, "guest").unwrap().allows(Permission::Configure, "anything"));
        assert!(grant(&context, "other").is_none());
        let op = context.auth.permissions().clear("guest", "/").unwrap();
        context.broker.store.submit(op);
        context.broker.store.close();
        drop(context);
        // What an operator took away is not given back.
        let context = open_blocking(&config, directory.path(), EVERYTHING).unwrap();
        assert!(grant(&context, "guest").is_none());
        assert_eq!(context.auth.users().get("guest").unwrap().tags, ["administrator"]);
    }

    #[test]
    fn a_new_directory_has_one_user_who_may_do_everything() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { default_vhost: "main".into(), ..Config::default() };
        let context = open_blocking(&Arc::new(config), directory.path(), EVERYTHING).unwrap();
        let all = context.auth.permissions().list();
        let [permissions] = &all[..] else { panic!("{all:?}") };
        assert_eq!((&*permissions.user, &*permissions.vhost), ("guest", "main"));
        assert_eq!(permissions.read.as_str(), ".*");
    }

    // R5: what a crash may leave of a deleted vhost.
    #[test]
    fn what_is_left_of_a_vhost_that_is_not_there_is_removed() {
        let (directory, config) = (tempfile::tempdir().unwrap(), Arc::new(Config::default()));
        let context = open_blocking(&config, directory.path(), EVERYTHING).unwrap();
        let key = [&[4][..], b"gone", &[1], b"x"].concat();
        let value = [&[1, 1, 6][..], b"fanout", &[0]].concat();
        context.broker.store.submit(put(RecordKind::Exchange, &key, &value));
        context.broker.store.close();
        drop(context);
        let count = |recovered: &Recovered| {
            recovered.records.iter().filter(|(kind, ..)| *kind == RecordKind::Exchange).count()
        };
        let context = open_blocking(&config, directory.path(), EVERYTHING).unwrap();
        assert!(context.broker.vhost("gone").is_none());
        context.broker.store.close();
        drop(context);
        let (store, recovered) = Store::open(StoreConfig::new(directory.path())).unwrap();
        assert_eq!(count(&recovered), 0);
        store.close();
    }
}
