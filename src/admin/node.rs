//! The node as a whole: whether it takes connections, that it is to stop, what it logs, and how it
//! becomes as if it had never been used.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::{Admin, Error};
use crate::{
    auth::{User, permissions::UserPermissions},
    broker::{Metadata, parameter::Scope},
    config::Config,
    names::{CommitSeq, Name},
};

/// What definitions do not bring to a new data directory, so that there must be one by default
/// (EN-002).
#[derive(Clone, Copy, Debug)]
pub struct Lacks {
    /// There are no users in them.
    pub users: bool,
    /// There are no vhosts in them.
    pub vhosts: bool,
}

/// Sets what is logged; tells why it cannot.
pub type SetLogLevel = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// What whoever runs the server does for operators. Clones are the same.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    /// Whether the server is to stop.
    stop: watch::Sender<bool>,
    /// How the log is changed, if it can be.
    set_log_level: Mutex<Option<Box<SetLogLevel>>>,
}

impl Default for Node {
    fn default() -> Self {
        let inner = Inner { stop: watch::Sender::new(false), set_log_level: Mutex::default() };
        Self(Arc::new(inner))
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_to_stop = *self.0.stop.borrow();
        f.debug_struct("Node").field("is_to_stop", &is_to_stop).finish_non_exhaustive()
    }
}

impl Node {
    /// Asks whoever runs the server to stop it.
    pub fn stop(&self) {
        self.0.stop.send_replace(true);
    }

    /// Waits until somebody asks for the server to be stopped.
    pub async fn stop_asked(&self) {
        let mut asked = self.0.stop.subscribe();
        // The sender lives as long as this does.
        let _ = asked.wait_for(|is_to_stop| *is_to_stop).await;
    }

    /// Lets operators change what is logged.
    pub fn on_log_level(&self, set: Box<SetLogLevel>) {
        *self.0.set_log_level.lock().unwrap_or_else(PoisonError::into_inner) = Some(set);
    }

    /// Changes what is logged: a level, or targets with levels.
    ///
    /// # Errors
    /// Why it cannot be changed.
    pub fn set_log_level(&self, level: &str) -> Result<(), String> {
        let set = self.0.set_log_level.lock().unwrap_or_else(PoisonError::into_inner);
        match &*set {
            Some(set) => set(level),
            None => Err("the program that runs the broker keeps its own log".into()),
        }
    }
}

impl Admin {
    /// The node as a whole.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Takes connections, or takes no more of them.
    pub fn accept_connections(&self, is_accepting: bool) {
        self.broker.registry.set_accepting(is_accepting);
    }

    /// Takes no more connections and closes those that there are.
    pub fn suspend(&self) {
        self.accept_connections(false);
        self.broker.registry.close_all();
    }

    /// Deletes everything, messages too, and makes what a new data directory lacks: the default
    /// vhost, the default user and the user's permissions. All of it becomes durable at once.
    /// Holds up the store for as long as it takes.
    ///
    /// # Errors
    /// [`Error::Running`] while connections are taken; [`Error::Random`].
    pub fn reset(&self, config: &Config, lacks: Lacks) -> Result<CommitSeq, Error> {
        if self.broker.registry.is_accepting() {
            return Err(Error::Running);
        }
        let user = User::by_default(config).map_err(|error| Error::Random(error.to_string()))?;
        let _changing = self.changing();
        let _group = self.broker.store.group();
        self.broker.registry.close_all();
        for vhost in self.broker.vhosts() {
            let permissions = self.auth.permissions().forget_vhost(vhost.name());
            // It was there a moment ago, and only who holds the lock deletes any.
            let _ = self.broker.delete_vhost(vhost.name(), permissions);
        }
        let users = self.auth.users().list();
        let gone = users.iter().filter_map(|user| self.auth.users().remove(&user.name));
        self.broker.store.submit_all(gone.collect::<Vec<_>>());
        for parameter in self.broker.parameters() {
            if parameter.scope == Scope::Global {
                self.broker.remove_parameter(&parameter.scope, &parameter.name);
            }
        }
        if lacks.vhosts {
            let vhost = Name::from(config.default_vhost.as_str());
            self.make_vhost(&vhost, Metadata::of_default_vhost())?;
        }
        if !lacks.users {
            return Ok(self.broker.store.submitted());
        }
        let permissions = UserPermissions::by_default(config)?;
        let ops = [self.auth.users().put(user), self.auth.permissions().set(permissions)];
        Ok(self.broker.store.submit_all(ops))
    }
}
