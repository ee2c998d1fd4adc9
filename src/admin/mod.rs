//! Administration: what operators do with vhosts, users, permissions, limits, parameters and
//! policies, as plain methods.
//!
//! Floor 5, over `broker` and `auth`, which do not know each other. The management API and the
//! command line sit on it; a program that embeds the broker uses it through
//! [`Handle::admin`](crate::server::Handle::admin). No JSON, no codes: an [`Error`] is a fact, its
//! text RabbitMQ's where clients see one.
//!
//! - Changes are made one at a time, and take effect at once, on live connections and queues, too.
//! - A change returns what the store must reach for it to be durable; [`Admin::durable`] waits.

mod alarm_limits;
mod gifts;
mod limits;
mod node;
mod users;
mod vhosts;

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use alarm_limits::{AlarmLimits, Limits};
use gifts::Gifts;
pub use node::{Lacks, Node, SetLogLevel};
pub use users::NewPassword;

use crate::{
    auth::{
        Authenticator,
        permissions::{TopicPermissions, UserPermissions},
    },
    broker::{
        Broker, Vhost,
        parameter::InvalidLimits,
        policy::{Authority, Draft, Invalid, Policy},
        registry::Place,
    },
    config::Config,
    names::{CommitSeq, ConnectionId, Name},
    pattern::InvalidPattern,
    store::Registration,
};

/// Changes the broker as operators ask. Clones change the same broker.
#[derive(Clone, Debug)]
pub struct Admin {
    broker: Arc<Broker>,
    auth: Arc<Authenticator>,
    alarm_limits: AlarmLimits,
    node: Node,
    config: Arc<Config>,
    gifts: Arc<Gifts>,
    /// Held while a change is made, so that memory and store see the same order.
    changing: Arc<Mutex<()>>,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no vhost of that name.
    #[error("no_such_vhost")]
    NoSuchVhost,
    /// There is no user of that name.
    #[error("no_such_user")]
    NoSuchUser,
    /// There is no exchange of that name.
    #[error("no_such_exchange {0}")]
    NoSuchExchange(Name),
    /// There is nothing else of that name.
    #[error("not_found")]
    NotFound,
    /// The vhost was declared protected from deletion.
    #[error("Refusing to delete virtual host '{0}' because it is protected from deletion")]
    Protected(Name),
    /// There are as many vhosts as there may be.
    #[error("cannot create vhost '{0}': vhost limit of {1} is reached")]
    VhostLimit(Name, u32),
    /// What every vhost is to be given makes no sense.
    #[error("the operator policy `{name}` of new vhosts: {reason}")]
    Gift {
        /// The name that the configuration has for it.
        name: String,
        /// What is wrong, on one line.
        reason: String,
    },
    /// A password is not as the configuration wants them (HT-127).
    #[error("credential_validation_failed")]
    Password,
    /// A name is empty or too long.
    #[error("a name is empty, or longer than 255 bytes")]
    Name,
    /// A permission's pattern is no regular expression.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// A policy makes no sense (PO-059).
    #[error(transparent)]
    Policy(#[from] Invalid),
    /// Limits make no sense.
    #[error(transparent)]
    Limits(#[from] InvalidLimits),
    /// No component looks at such parameters (PO-072).
    #[error("Validation failed\n\ncomponent {0} not found\n")]
    NoSuchComponent(String),
    /// The node serves clients, and must not for this.
    #[error(
        "this command requires the 'rabbit' app to be stopped on the target node. Stop it with \
         'stop_app'."
    )]
    Running,
    /// A policy is no parameter like others.
    #[error("policies may not be {0} using this method")]
    IsPolicy(&'static str),
    /// The operating system has no random numbers to give.
    #[error("no random numbers: {0}")]
    Random(String),
    /// The store has failed.
    #[error("the store failed: {0}")]
    Store(String),
}

impl Admin {
    /// The administration of this broker.
    ///
    /// # Errors
    /// [`Error::Gift`], [`Error::Name`].
    pub fn new(
        broker: Arc<Broker>,
        auth: Arc<Authenticator>,
        alarm_limits: AlarmLimits,
        config: Arc<Config>,
    ) -> Result<Self, Error> {
        let (node, gifts) = (Node::default(), Arc::new(Gifts::of(&config)?));
        Ok(Self { broker, auth, alarm_limits, node, config, gifts, changing: Arc::default() })
    }

    /// Waits until a change is durable.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn durable(&self, needed: CommitSeq) -> Result<(), Error> {
        let store = &self.broker.store;
        let mut registration = Registration::default();
        poll_fn(|cx| store.poll_durable(needed, &mut registration, cx)).await;
        match store.failed() {
            Some(reason) if store.durable() < needed => Err(Error::Store(reason.to_string())),
            _ => Ok(()),
        }
    }

    /// The limits of memory and disk beyond which publishers wait.
    pub fn alarm_limits(&self) -> &AlarmLimits {
        &self.alarm_limits
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        // It guards no data, so a panic under it harms nothing.
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vhost of this name.
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`].
    pub fn vhost(&self, name: &str) -> Result<Arc<Vhost>, Error> {
        self.broker.vhost(name).ok_or(Error::NoSuchVhost)
    }

    // ---- permissions

    /// Sets what a user may configure, write to and read from in a vhost (PO-001).
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`], [`Error::NoSuchUser`], [`Error::Pattern`].
    pub fn set_permissions(
        &self,
        user: &str,
        vhost: &str,
        patterns: [&str; 3],
    ) -> Result<CommitSeq, Error> {
        let _changing = self.changing();
        self.check_user_and_vhost(user, vhost)?;
        let permissions = UserPermissions::new(user, vhost, patterns)?;
        Ok(self.broker.store.submit(self.auth.permissions().set(permissions)))
    }

    /// Takes a user's permissions in a vhost away, so that the user cannot enter it any more.
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`], [`Error::NoSuchUser`], [`Error::NotFound`].
    pub fn clear_permissions(&self, user: &str, vhost: &str) -> Result<CommitSeq, Error> {
        let _changing = self.changing();
        self.check_user_and_vhost(user, vhost)?;
        let op = self.auth.permissions().clear(user, vhost).ok_or(Error::NotFound)?;
        Ok(self.broker.store.submit(op))
    }

    /// All permissions, by vhost, then by user.
    pub fn permissions(&self) -> Vec<Arc<UserPermissions>> {
        self.auth.permissions().list()
    }

    /// Sets with which keys a user may publish to a topic exchange and bind to it (PO-026).
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`], [`Error::NoSuchUser`], [`Error::Pattern`],
    /// [`Error::NoSuchExchange`].
    pub fn set_topic_permissions(
        &self,
        user: &str,
        vhost: &str,
        exchange: &str,
        write_and_read: [&str; 2],
    ) -> Result<CommitSeq, Error> {
        let _changing = self.changing();
        self.check_user_and_vhost(user, vhost)?;
        let permissions = TopicPermissions::new(user, vhost, exchange, write_and_read)?;
        if self.vhost(vhost)?.topology().exchange(exchange).is_none() {
            return Err(Error::NoSuchExchange(exchange.into()));
        }
        Ok(self.broker.store.submit(self.auth.permissions().set_topic(permissions)))
    }

    /// Takes a user's topic permissions in a vhost away: those on one exchange, or all. Those that
    /// are not there are taken away already.
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`], [`Error::NoSuchUser`].
    pub fn clear_topic_permissions(
        &self,
        user: &str,
        vhost: &str,
        exchange: Option<&str>,
    ) -> Result<CommitSeq, Error> {
        let _changing = self.changing();
        self.check_user_and_vhost(user, vhost)?;
        let ops = self.auth.permissions().clear_topics(user, vhost, exchange);
        Ok(self.broker.store.submit_all(ops))
    }

    /// All topic permissions, by vhost, then by user, then by exchange.
    pub fn topic_permissions(&self) -> Vec<Arc<TopicPermissions>> {
        self.auth.permissions().list_topics()
    }

    fn check_user_and_vhost(&self, user: &str, vhost: &str) -> Result<(), Error> {
        self.vhost(vhost)?;
        self.user(user).map(drop)
    }

    // ---- policies

    /// Sets a policy; it applies at once (PO-053).
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`], [`Error::Policy`], [`Error::Name`].
    pub fn set_policy(
        &self,
        vhost: &str,
        authority: Authority,
        name: &str,
        draft: Draft,
    ) -> Result<CommitSeq, Error> {
        let _changing = self.changing();
        let vhost = self.vhost(vhost)?;
        let policy = Policy::new(checked_name(name)?, authority, draft)?;
        Ok(self.broker.set_policy(&vhost, policy))
    }

    /// Removes a policy; what it did is undone at once (PO-053).
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`], [`Error::NotFound`].
    pub fn delete_policy(
        &self,
        vhost: &str,
        authority: Authority,
        name: &str,
    ) -> Result<CommitSeq, Error> {
        let _changing = self.changing();
        let vhost = self.vhost(vhost)?;
        self.broker.remove_policy(&vhost, authority, name).ok_or(Error::NotFound)
    }

    /// The policies of a vhost, the highest priority first.
    ///
    /// # Errors
    /// [`Error::NoSuchVhost`].
    pub fn policies(&self, vhost: &str, authority: Authority) -> Result<Vec<Arc<Policy>>, Error> {
        Ok(self.vhost(vhost)?.policies().of(authority).cloned().collect())
    }

    // ---- connections

    /// The open connections, in the order in which they came.
    pub fn connections(&self) -> Vec<(ConnectionId, Place)> {
        self.broker.registry.list()
    }

    /// Closes a connection with 320 and this reason (CN-125).
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn close_connection(&self, id: ConnectionId, reason: &str) -> Result<(), Error> {
        let count = self.broker.registry.close_where(|other, _| other == id, reason);
        if count == 0 { Err(Error::NotFound) } else { Ok(()) }
    }

    /// Closes all connections that are in such a place, in the same way.
    pub fn close_connections(&self, is_meant: impl Fn(&Place) -> bool, reason: &str) {
        self.broker.registry.close_where(|_, place| is_meant(place), reason);
    }
}

fn checked_name(name: &str) -> Result<Name, Error> {
    if name.is_empty() || name.len() > Name::BYTES_MAX {
        return Err(Error::Name);
    }
    Ok(name.into())
}
