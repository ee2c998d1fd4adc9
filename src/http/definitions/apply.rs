//! Makes definitions so, in RabbitMQ's order (HT-125).
//!
//! What is there already and cannot change (queues, exchanges, bindings) stays as it is; what can
//! change is changed; nothing is removed.

use super::{BindingEntry, Definitions, DefinitionsError, Listed, QueueEntry, RESERVED_PREFIX};
use crate::{
    admin::Admin,
    broker::{
        arguments::{QueueSpec, QueueType, with_queue_type},
        datum::Datum,
        parameter::{LIMITS, VHOST_LIMITS},
        vhost::DeclaredBy,
    },
    http::api::{effects, queues::NOBODY},
    names::CommitSeq,
};

impl Definitions {
    /// Makes everything so. Returns what must be durable before that may be said.
    ///
    /// # Errors
    /// [`DefinitionsError::Entry`] if something would be refused: nothing was changed then.
    /// [`DefinitionsError::Refused`] if something was, all the same.
    pub fn apply(self, admin: &Admin, user: &str) -> Result<CommitSeq, DefinitionsError> {
        self.rehearse(admin)?;
        let mut needed = CommitSeq(0);
        each(&mut needed, self.users, |entry| {
            entry.draft.put(admin, &entry.name).map_err(|error| error.to_string())
        })?;
        each(&mut needed, self.vhosts, |entry| {
            let is_new = admin.vhost(&entry.name).is_err();
            let mut done = admin.put_vhost(&entry.name, entry.metadata);
            // Whoever makes a vhost may do everything there.
            if is_new && admin.user(user).is_ok() {
                done = done.and_then(|_| admin.set_permissions(user, &entry.name, [".*"; 3]));
            }
            if let Some(is_traced) = entry.is_traced {
                done =
                    done.and_then(|done| admin.trace_vhost(&entry.name, is_traced).map(|()| done));
            }
            if !entry.limits.is_empty() {
                done = done.and_then(|_| admin.set_vhost_limits(&entry.name, entry.limits));
            }
            done.map_err(|error| error.to_string())
        })?;
        each(&mut needed, self.permissions, |entry| {
            let [configure, write, read] = &entry.patterns;
            let done = admin.set_permissions(&entry.user, &entry.vhost, [configure, write, read]);
            done.map_err(|error| error.to_string())
        })?;
        each(&mut needed, self.exchanges, |entry| {
            let vhost = admin.vhost(&entry.vhost).map_err(|error| error.to_string())?;
            if vhost.topology().exchange(&entry.name).is_some() {
                return Ok(CommitSeq(0));
            }
            let done = vhost.declare_exchange(&entry.name, entry.spec);
            done.map_err(|error| error.in_vhost(&entry.vhost))
        })?;
        each(&mut needed, self.topic_permissions, |entry| {
            let [write, read] = &entry.write_and_read;
            let (user, vhost) = (&entry.user, &entry.vhost);
            let done = admin.set_topic_permissions(user, vhost, &entry.exchange, [write, read]);
            done.map_err(|error| error.to_string())
        })?;
        each(&mut needed, self.global_parameters, |entry| {
            Ok(admin.set_global_parameter(&entry.name, entry.value))
        })?;
        each(&mut needed, self.policies, |entry| {
            let done = admin.set_policy(&entry.vhost, entry.authority, &entry.name, entry.draft);
            done.map_err(|error| error.to_string())
        })?;
        each(&mut needed, self.limits, |entry| {
            let limits = Datum::Map(entry.limits);
            let done = admin.set_parameter(&entry.vhost, VHOST_LIMITS, LIMITS, limits);
            done.map_err(|error| error.to_string())
        })?;
        each(&mut needed, self.queues, |entry| entry.declare(admin, user))?;
        each(&mut needed, self.bindings, |entry| entry.bind(admin))?;
        Ok(needed)
    }
}

/// Makes entries so, one after the other.
fn each<T>(
    needed: &mut CommitSeq,
    entries: Vec<Listed<T>>,
    mut make: impl FnMut(T) -> Result<CommitSeq, String>,
) -> Result<(), DefinitionsError> {
    for Listed { label, item } in entries {
        let done = make(item);
        let done = done.map_err(|reason| DefinitionsError::Refused { entry: label, reason })?;
        *needed = done.max(*needed);
    }
    Ok(())
}

impl QueueEntry {
    /// What it is declared as, of the type that it names, else of the vhost's.
    pub(super) fn spec(&self, default_queue_type: impl Fn() -> QueueType) -> QueueSpec {
        let (durable, auto_delete) = (self.durable, self.auto_delete);
        // Not every type can be what is declared.
        let can_be_any = durable && !auto_delete;
        let default = if can_be_any { default_queue_type() } else { QueueType::Classic };
        let arguments = with_queue_type(self.arguments.clone(), default);
        QueueSpec { durable, auto_delete, arguments }
    }

    /// Declares it, unless it is there already, however it was declared.
    fn declare(self, admin: &Admin, user: &str) -> Result<CommitSeq, String> {
        let vhost = admin.vhost(&self.vhost).map_err(|error| error.to_string())?;
        if vhost.topology().queue(&self.name).is_some() {
            return Ok(CommitSeq(0));
        }
        let spec = self.spec(|| vhost.default_queue_type(true, false, false));
        let by = DeclaredBy {
            connection: NOBODY,
            user: user.into(),
            // Definitions may have queues whose names the broker gave.
            gave_name: self.name.starts_with(RESERVED_PREFIX),
            may_create: true,
        };
        let declared = vhost.declare_queue(&self.name, spec, None, &by);
        declared.map(|declared| declared.needed).map_err(|error| error.in_vhost(&self.vhost))
    }
}

impl BindingEntry {
    fn bind(self, admin: &Admin) -> Result<CommitSeq, String> {
        let vhost = admin.vhost(&self.vhost).map_err(|error| error.to_string())?;
        let mut fx = effects();
        let (key, arguments) = (self.key.as_bytes(), &self.arguments);
        let done = vhost.bind(&self.source, &self.destination, key, arguments, &mut fx);
        fx.wakes.pay();
        done.map_err(|error| error.in_vhost(&self.vhost))
    }
}
