//! What the connection's user may do, asked before anything is done (PO-010 to PO-029).
//!
//! A check comes before the look whether the thing is there (PO-004). What was allowed is
//! remembered until any permission changes (CN-130); a publish whose route is known asks nobody.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{
    Session,
    error::{Code, Failure, Ids},
};
use crate::{
    auth::{Identity, Permission, Permissions, permissions::Grant},
    broker::{Kind, error::resource},
    names::Name,
};

/// The name under which the default exchange is asked for (PO-002).
const DEFAULT_EXCHANGE: &str = "amq.default";
/// Names remembered at the most; beyond them it starts anew.
const ALLOWED_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct Access {
    permissions: Arc<Permissions>,
    /// The generation of what is known.
    generation: u64,
    /// How often the user's token was replaced.
    renewals: u64,
    grant: Option<Arc<Grant>>,
    /// What was allowed, by name: a bit for each permission.
    allowed: HashMap<Box<str>, u8>,
}

impl Access {
    /// Nothing is allowed before [`Self::enter`].
    pub(super) fn new(permissions: Arc<Permissions>) -> Self {
        Self { permissions, generation: 0, renewals: 0, grant: None, allowed: HashMap::new() }
    }

    /// Changes when any permission of anybody does, or the user's token.
    pub(super) fn generation(&self) -> u64 {
        // Neither of them ever falls, so that the sum tells every change of one.
        self.permissions.generation() + self.renewals
    }

    /// The user has another token.
    pub(super) fn renewed(&mut self) {
        self.renewals += 1;
    }

    /// Looks up what the user may do in the vhost. Returns whether the user may be there at all
    /// (PO-003).
    pub(super) fn enter(&mut self, identity: &Identity, vhost: &Name) -> bool {
        self.generation = self.generation();
        self.grant = identity.grant(&self.permissions, vhost);
        self.allowed.clear();
        self.grant.is_some()
    }

    /// Whether anything is said about the keys of topic exchanges.
    pub(super) fn has_topics(&self) -> bool {
        self.grant.as_ref().is_some_and(|grant| grant.has_topics())
    }

    pub(super) fn allows(&mut self, permission: Permission, name: &str) -> bool {
        let Some(grant) = &self.grant else { return false };
        let bit = 1 << permission as u8;
        if self.allowed.get(name).is_some_and(|known| known & bit != 0) {
            return true;
        }
        if !grant.allows(permission, name) {
            return false;
        }
        if self.allowed.len() >= ALLOWED_MAX {
            self.allowed.clear();
        }
        *self.allowed.entry_ref(name).or_default() |= bit;
        true
    }
}

impl Session {
    /// Whether the user may do that with the queue or exchange of this name.
    pub(super) fn check(
        &mut self,
        permission: Permission,
        kind: Kind,
        name: &str,
        ids: Ids,
    ) -> Result<(), Failure> {
        self.refresh_access();
        let name = asked_name(kind, name);
        if self.access.allows(permission, name) {
            return Ok(());
        }
        Err(Code::AccessRefused.failure(
            ids,
            format_args!(
                "{permission} access to {} refused for user '{}'",
                resource(kind, name, self.vhost.name()),
                self.user
            ),
        ))
    }

    /// Whether the user may do anything at all with it: what a passive declare takes (PO-012). A
    /// refusal names `configure`.
    pub(super) fn check_any(&mut self, kind: Kind, name: &str, ids: Ids) -> Result<(), Failure> {
        self.check(Permission::Read, kind, name, ids)
            .or_else(|_| self.check(Permission::Write, kind, name, ids))
            .or_else(|_| self.check(Permission::Configure, kind, name, ids))
    }

    /// Whether the user may use this key, if the exchange is a topic exchange (PO-026, PO-027).
    pub(super) fn check_topic(
        &mut self,
        permission: Permission,
        exchange: &str,
        key: &[u8],
        ids: Ids,
    ) -> Result<(), Failure> {
        self.refresh_access();
        let Some(grant) = &self.access.grant else { return Ok(()) };
        if !grant.has_topics() || !self.is_topic(exchange) {
            return Ok(());
        }
        let key = String::from_utf8_lossy(key);
        if grant.allows_topic(permission, exchange, &key) {
            return Ok(());
        }
        Err(Code::AccessRefused.failure(
            ids,
            format_args!(
                "{permission} access to topic '{key}' in exchange '{exchange}' in vhost '{}' \
                 refused for user '{}'",
                self.vhost.name(),
                self.user
            ),
        ))
    }

    fn is_topic(&self, exchange: &str) -> bool {
        let topology = self.vhost.topology();
        topology.exchange(exchange).is_some_and(|found| found.spec().type_name == "topic")
    }

    fn refresh_access(&mut self) {
        if self.access.generation != self.access.generation() {
            self.access.enter(&self.identity, self.vhost.name());
        }
    }
}

fn asked_name(kind: Kind, name: &str) -> &str {
    if kind == Kind::Exchange && name.is_empty() { DEFAULT_EXCHANGE } else { name }
}
