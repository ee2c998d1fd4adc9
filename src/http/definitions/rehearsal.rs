//! Definitions tried out on a copy of what they would change, so that whatever would be refused is
//! refused before anything is done.

use std::collections::{HashMap, HashSet};

use super::{BindingEntry, Definitions, DefinitionsError, Listed, QueueEntry, RESERVED_PREFIX};
use crate::{
    admin::Admin,
    broker::{
        Error, Vhost,
        arguments::QueueType,
        datum::Map,
        parameter,
        registry::as_limit,
        topology::{Destination, Topology},
        vhost::check_new_queue,
    },
};

/// What would be in a vhost, queues by their types. Bindings are left out.
struct Stage {
    topology: Topology<QueueType>,
    default_queue_type: QueueType,
    /// Queues that are there, and how many would be added.
    queues: (usize, usize),
    queues_max: Option<u64>,
}

impl Stage {
    fn of(vhost: Option<&Vhost>) -> Self {
        let mut topology = Topology::new();
        let Some(vhost) = vhost else {
            let (default_queue_type, queues_max) = (QueueType::Classic, None);
            return Self { topology, default_queue_type, queues: (0, 0), queues_max };
        };
        let is = vhost.topology();
        for exchange in is.exchanges() {
            // Those that every vhost has are there already.
            let _ = topology.declare_exchange(exchange.name(), exchange.spec().clone());
        }
        let mut count = 0;
        for (name, queue) in is.queues() {
            topology.insert_queue(name.clone(), queue.queue_type, queue.spec.durable);
            count += 1;
        }
        Self {
            topology,
            default_queue_type: vhost.metadata().default_queue_type.unwrap_or_default(),
            queues: (count, 0),
            queues_max: as_limit(Some(vhost.max_queues())),
        }
    }

    fn limit(&mut self, limits: &Map) {
        if let Ok([_, Some(max_queues)]) = parameter::vhost_limits(limits.clone()) {
            self.queues_max = as_limit(Some(max_queues));
        }
    }

    fn declare_queue(&mut self, queue: &QueueEntry) -> Result<(), Error> {
        if self.topology.queue(&queue.name).is_some() {
            return Ok(());
        }
        let spec = queue.spec(|| self.default_queue_type);
        let is_server_named = queue.name.starts_with(RESERVED_PREFIX);
        let queue_type = check_new_queue(&queue.name, &spec, false, is_server_named)?;
        self.topology.insert_queue(queue.name.as_str().into(), queue_type, spec.durable);
        self.queues.1 += 1;
        Ok(())
    }

    /// RabbitMQ counts before it declares, too, and says it in these words.
    fn check_limit(&self, vhost: &str) -> Result<(), String> {
        let (count, added) = self.queues;
        match self.queues_max {
            Some(max) if added > 0 && (count + added) as u64 > max => Err(format!(
                "Adding {added} queue(s) to virtual host \"{vhost}\" would exceed the limit of \
                 {max} queue(s).\n\nThis virtual host currently has {count} queue(s) \
                 defined.\n\nImport aborted!"
            )),
            _ => Ok(()),
        }
    }

    fn check_binding(&self, binding: &BindingEntry) -> Result<(), String> {
        let exchange =
            |name: &str| self.topology.exchange(name).ok_or_else(|| is_missing("exchange", name));
        let source = exchange(&binding.source)?;
        let to = match &binding.destination {
            Destination::Exchange(name) => exchange(name).map(|_| None)?,
            Destination::Queue(name) => {
                Some(*self.topology.queue(name).ok_or_else(|| is_missing("queue", name))?)
            }
        };
        let checked = source.check_binding(to, binding.key.as_bytes(), &binding.arguments);
        checked.map_err(|error| error.in_vhost(&binding.vhost))
    }
}

/// The vhosts that there are or would be, as far as something is said about them.
struct Stages<'a> {
    admin: &'a Admin,
    by_vhost: HashMap<String, Stage>,
    new_users: HashSet<&'a str>,
}

impl Stages<'_> {
    fn vhost(&mut self, name: &str) -> Result<&mut Stage, String> {
        if !self.by_vhost.contains_key(name) {
            let vhost = self.admin.vhost(name).map_err(|_| is_missing("vhost", name))?;
            self.by_vhost.insert(name.to_owned(), Stage::of(Some(&vhost)));
        }
        self.by_vhost.get_mut(name).ok_or_else(|| is_missing("vhost", name))
    }

    fn check_user(&self, name: &str) -> Result<(), String> {
        if self.new_users.contains(name) || self.admin.user(name).is_ok() {
            return Ok(());
        }
        Err(is_missing("user", name))
    }
}

fn is_missing(what: &str, name: &str) -> String {
    format!("there is no {what} '{name}', neither here nor in the file")
}

/// Tries entries out, up to the first that is refused.
fn each<T>(
    entries: &[Listed<T>],
    mut try_out: impl FnMut(&T) -> Result<(), String>,
) -> Result<(), DefinitionsError> {
    entries.iter().try_for_each(|Listed { label, item }| {
        try_out(item).map_err(|reason| DefinitionsError::Entry { entry: label.clone(), reason })
    })
}

impl Definitions {
    /// Whether everything would be accepted.
    ///
    /// # Errors
    /// [`DefinitionsError::Entry`].
    pub(super) fn rehearse(&self, admin: &Admin) -> Result<(), DefinitionsError> {
        let new_users = self.users.iter().map(|user| user.item.name.as_str()).collect();
        let mut stages = Stages { admin, by_vhost: HashMap::new(), new_users };
        // Users come first: what they are permitted is so in vhosts that there are already.
        each(&self.users, |user| user.draft.check(admin).map_err(|error| error.to_string()))?;
        each(&self.vhosts, |vhost| {
            let mut stage = Stage::of(admin.vhost(&vhost.name).ok().as_deref());
            let said = vhost.metadata.default_queue_type;
            stage.default_queue_type = said.unwrap_or_else(|| admin.default_queue_type());
            stage.limit(&vhost.limits);
            stages.by_vhost.insert(vhost.name.clone(), stage);
            Ok(())
        })?;
        each(&self.permissions, |permission| {
            stages.vhost(&permission.vhost)?;
            stages.check_user(&permission.user)
        })?;
        each(&self.exchanges, |exchange| {
            let stage = stages.vhost(&exchange.vhost)?;
            if stage.topology.exchange(&exchange.name).is_some() {
                return Ok(());
            }
            let declared = stage.topology.declare_exchange(&exchange.name, exchange.spec.clone());
            declared.map(drop).map_err(|error| error.in_vhost(&exchange.vhost))
        })?;
        each(&self.topic_permissions, |permission| {
            let exchange = &permission.exchange;
            if stages.vhost(&permission.vhost)?.topology.exchange(exchange).is_none() {
                return Err(is_missing("exchange", exchange));
            }
            stages.check_user(&permission.user)
        })?;
        each(&self.policies, |policy| stages.vhost(&policy.vhost).map(drop))?;
        each(&self.limits, |limits| {
            let stage = stages.vhost(&limits.vhost)?;
            // A parameter takes the place of the one before, with all its limits.
            stage.queues_max = None;
            stage.limit(&limits.limits);
            Ok(())
        })?;
        each(&self.queues, |queue| {
            let stage = stages.vhost(&queue.vhost)?;
            stage.declare_queue(queue).map_err(|error| error.in_vhost(&queue.vhost))
        })?;
        for (vhost, stage) in &stages.by_vhost {
            let entry = "queues".to_owned();
            stage.check_limit(vhost).map_err(|reason| DefinitionsError::Entry { entry, reason })?;
        }
        each(&self.bindings, |binding| stages.vhost(&binding.vhost)?.check_binding(binding))
    }
}
