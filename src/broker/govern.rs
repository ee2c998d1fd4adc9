//! What administrators change: vhosts, their limits and policies, and runtime parameters.
//!
//! Each change is made in memory and submitted, and takes effect at once. Two changes of the same
//! thing at a time are the caller's to keep apart: `admin` makes one at a time.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use super::{
    Broker, Error, Metadata, Vhost,
    arguments::QueueType,
    datum::{Datum, Map},
    parameter::{self, InvalidLimits, LIMITS, Parameter, Scope, VHOST_LIMITS},
    policy::{self, Authority, Effective, Policies, Policy, PolicyRecord},
    queue::{Effects, Queue, Settings},
    record::{Record, VhostRecord},
    registry::as_limit,
};
use crate::{
    names::{CommitSeq, Name},
    store::{RecordKind, StoreOp},
    wire::table::Table,
};

/// There is no vhost of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoVhost;

impl Broker {
    /// Adds a vhost, or says something else about the one of that name.
    pub fn put_vhost(&self, name: &Name, mut metadata: Metadata) -> CommitSeq {
        if self.vhost(name).is_none() && self.default_queue_type != QueueType::Classic {
            metadata.default_queue_type.get_or_insert(self.default_queue_type);
        }
        let record = VhostRecord { name: name.clone(), metadata: metadata.clone() };
        match self.vhost(name) {
            Some(vhost) => vhost.set_metadata(metadata),
            None => drop(self.insert_vhost(name.clone(), metadata)),
        }
        self.store.submit(record.put())
    }

    /// Deletes a vhost with everything in it, and closes its connections (CN-126). `more` is
    /// removed with it.
    ///
    /// # Errors
    /// [`NoVhost`].
    pub fn delete_vhost(&self, name: &str, more: Vec<StoreOp>) -> Result<CommitSeq, NoVhost> {
        let (name, vhost) = self.vhosts.remove(name).ok_or(NoVhost)?;
        let mut ops =
            vec![StoreOp::Remove { kind: RecordKind::Vhost, key: name.as_bytes().into() }];
        ops.extend(more);
        ops.extend(self.forget_parameters(&name));
        ops.extend(vhost.policies().iter().map(|policy| policy_removal(&name, policy)));
        let queues = vhost.wipe(&mut ops);
        {
            // A vhost of which a half is left would be worse than one that is all there.
            let _group = self.store.group();
            self.store.submit_all(ops);
        }
        let text = format!("vhost '{name}' is deleted");
        self.registry.close_where(|_, place| place.vhost == name, &text);
        let mut fx = Effects::default();
        for queue in queues {
            // No condition is set; one that is gone already is as good.
            let _ = queue.delete(false, false, &mut fx);
        }
        Ok(self.store.submit_all([]))
    }

    fn forget_parameters(&self, vhost: &Name) -> Vec<StoreOp> {
        let is_of_vhost =
            |scope: &Scope| matches!(scope, Scope::Vhost { vhost: of, .. } if of == vhost);
        let mut parameters = self.parameters.write().unwrap_or_else(PoisonError::into_inner);
        let mut ops = Vec::new();
        parameters.retain(|(scope, name), _| {
            let is_meant = is_of_vhost(scope);
            if is_meant {
                ops.push(parameter_removal(scope, name));
            }
            !is_meant
        });
        ops
    }

    /// Sets a global parameter (PO-073).
    pub fn set_global_parameter(&self, name: &str, value: Datum) -> CommitSeq {
        self.put_parameter(Parameter { scope: Scope::Global, name: name.to_owned(), value })
    }

    fn put_parameter(&self, parameter: Parameter) -> CommitSeq {
        let op = parameter.put();
        let Parameter { scope, name, value } = parameter;
        let mut parameters = self.parameters.write().unwrap_or_else(PoisonError::into_inner);
        parameters.insert((scope, name), value);
        drop(parameters);
        self.store.submit(op)
    }

    /// Removes a parameter, if it is there.
    pub fn remove_parameter(&self, scope: &Scope, name: &str) -> Option<CommitSeq> {
        let mut parameters = self.parameters.write().unwrap_or_else(PoisonError::into_inner);
        parameters.remove(&(scope.clone(), name.to_owned()))?;
        drop(parameters);
        if let Scope::Vhost { vhost, component } = scope
            && component == VHOST_LIMITS
            && let Some(vhost) = self.vhost(vhost)
        {
            vhost.set_limits([None, None]);
        }
        Some(self.store.submit(parameter_removal(scope, name)))
    }

    /// All parameters, but for policies.
    pub fn parameters(&self) -> Vec<Parameter> {
        let parameters = self.parameters.read().unwrap_or_else(PoisonError::into_inner);
        let parameters = parameters.iter().map(|((scope, name), value)| Parameter {
            scope: scope.clone(),
            name: name.clone(),
            value: value.clone(),
        });
        parameters.collect()
    }

    /// A parameter's value.
    pub fn parameter(&self, scope: &Scope, name: &str) -> Option<Datum> {
        let parameters = self.parameters.read().unwrap_or_else(PoisonError::into_inner);
        parameters.get(&(scope.clone(), name.to_owned())).cloned()
    }

    /// Sets all limits of a vhost (PO-070).
    ///
    /// # Errors
    /// [`InvalidLimits`].
    pub fn set_vhost_limits(&self, vhost: &Vhost, limits: Map) -> Result<CommitSeq, InvalidLimits> {
        let read = parameter::vhost_limits(limits.clone())?;
        vhost.set_limits(read);
        let (vhost, component) = (vhost.name().clone(), VHOST_LIMITS.to_owned());
        let scope = Scope::Vhost { vhost, component };
        let value = Datum::Map(limits);
        Ok(self.put_parameter(Parameter { scope, name: LIMITS.to_owned(), value }))
    }

    /// The limits of a vhost, as they were set.
    pub fn vhost_limits(&self, vhost: &Name) -> Map {
        let scope = Scope::Vhost { vhost: vhost.clone(), component: VHOST_LIMITS.to_owned() };
        match self.parameter(&scope, LIMITS) {
            Some(Datum::Map(limits)) => limits,
            _ => Map::new(),
        }
    }

    /// Brings a parameter back. Returns false if its vhost is gone.
    pub(super) fn restore_parameter(&self, parameter: Parameter) -> bool {
        let Parameter { scope, name, value } = parameter;
        if let Scope::Vhost { vhost, component } = &scope {
            let Some(vhost) = self.vhost(vhost) else { return false };
            if component == VHOST_LIMITS
                && let Datum::Map(limits) = &value
                && let Ok(limits) = parameter::vhost_limits(limits.clone())
            {
                vhost.set_limits(limits);
            }
        }
        let mut parameters = self.parameters.write().unwrap_or_else(PoisonError::into_inner);
        parameters.insert((scope, name), value);
        true
    }

    /// Sets a policy; it applies at once (PO-053).
    pub fn set_policy(&self, vhost: &Vhost, policy: Policy) -> CommitSeq {
        let policy = Arc::new(policy);
        let record = PolicyRecord { vhost: vhost.name().clone(), policy: Arc::clone(&policy) };
        vhost.change_policies(|policies| policies.put(policy));
        self.store.submit(record.put())
    }

    /// Removes a policy, if it is there; what it did is undone at once.
    pub fn remove_policy(
        &self,
        vhost: &Vhost,
        authority: Authority,
        name: &str,
    ) -> Option<CommitSeq> {
        let removed = vhost.change_policies(|policies| policies.remove(authority, name))?;
        Some(self.store.submit(policy_removal(vhost.name(), &removed)))
    }
}

fn policy_removal(vhost: &Name, policy: &Policy) -> StoreOp {
    let key = policy::key(vhost, policy.authority, &policy.name);
    StoreOp::Remove { kind: RecordKind::Policy, key }
}

fn parameter_removal(scope: &Scope, name: &str) -> StoreOp {
    StoreOp::Remove { kind: RecordKind::Parameter, key: parameter::key(scope, name) }
}

impl Vhost {
    /// What is said about it.
    pub fn metadata(&self) -> Metadata {
        self.metadata.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_metadata(&self, metadata: Metadata) {
        *self.metadata.write().unwrap_or_else(PoisonError::into_inner) = metadata;
    }

    /// The type of a new queue whose declare says none: the vhost's, where a queue of that type
    /// can be what is declared, else classic.
    pub fn default_queue_type(
        &self,
        is_durable: bool,
        is_exclusive: bool,
        is_auto_delete: bool,
    ) -> QueueType {
        let metadata = self.metadata.read().unwrap_or_else(PoisonError::into_inner);
        match metadata.default_queue_type {
            Some(chosen) if is_durable && !is_exclusive && !is_auto_delete => chosen,
            _ => QueueType::Classic,
        }
    }

    fn set_limits(&self, [max_connections, max_queues]: [Option<i64>; 2]) {
        let none = -1;
        self.limits.max_connections.store(max_connections.unwrap_or(none), Ordering::Relaxed);
        self.limits.max_queues.store(max_queues.unwrap_or(none), Ordering::Relaxed);
    }

    /// Connections that may be in it; negative for any number (CN-083).
    pub fn max_connections(&self) -> i64 {
        self.limits.max_connections.load(Ordering::Relaxed)
    }

    /// Queues that may be in it; negative for any number (QU-019).
    pub fn max_queues(&self) -> i64 {
        self.limits.max_queues.load(Ordering::Relaxed)
    }

    /// Refuses one more queue beyond the limit (QU-019).
    pub(super) fn check_queue_limit(&self, name: &str, count: usize) -> Result<(), Error> {
        match as_limit(Some(self.max_queues())) {
            Some(limit) if count as u64 >= limit => {
                Err(Error::QueueLimit { name: name.into(), limit })
            }
            _ => Ok(()),
        }
    }

    /// The policies as they are now.
    pub fn policies(&self) -> Arc<Policies> {
        Arc::clone(&self.policies.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is in effect for one of its queues.
    pub fn effective(&self, queue: &Queue) -> Effective {
        self.policies().effective(&queue.name, queue.queue_type, &queue.spec.arguments)
    }

    /// What a queue with these arguments obeys, the policies considered.
    pub(super) fn settings_of(
        &self,
        name: &str,
        queue_type: QueueType,
        arguments: &Table,
    ) -> Settings {
        let effective = self.policies().effective(name, queue_type, arguments);
        Settings::of(queue_type, &effective.arguments)
    }

    fn change_policies<T>(&self, change: impl FnOnce(&mut Policies) -> T) -> T {
        let mut kept = self.policies.write().unwrap_or_else(PoisonError::into_inner);
        let mut policies = (**kept).clone();
        let result = change(&mut policies);
        *kept = Arc::new(policies);
        drop(kept);
        self.apply_policies();
        result
    }

    /// Brings a policy back; [`Self::apply_policies`] is to follow.
    pub(super) fn restore_policy(&self, policy: Arc<Policy>) {
        let mut kept = self.policies.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut kept).put(policy);
    }

    /// Gives every exchange and queue what the policies say now.
    ///
    /// # Locks
    /// The topology, for the exchanges. What is declared meanwhile looks at the policies under the
    /// same lock, so that it misses no change.
    pub(super) fn apply_policies(&self) {
        let policies = self.policies();
        let queues: Vec<_> = self.topology().queues().map(|(_, q)| Arc::clone(q)).collect();
        for queue in queues {
            let arguments = &queue.spec.arguments;
            queue.apply_settings(self.settings_of(&queue.name, queue.queue_type, arguments));
        }
        self.restore(|topology| {
            let names: Vec<_> = topology.exchanges().map(|found| found.name().clone()).collect();
            for name in names {
                topology.set_alternate(&name, policies.alternate_exchange(&name));
            }
        });
    }
}
