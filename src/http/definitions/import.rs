//! Reads definitions, checks them, and then makes them so (HT-125, HT-126).
//!
//! What is there already and cannot change (queues, exchanges, bindings) stays as it is; what can
//! change is changed; nothing is removed.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{OPERATOR_POLICY, RESERVED_PREFIX};
use crate::{
    admin::{self, Admin},
    auth::{
        HashingAlgorithm,
        permissions::{TopicPermissions, UserPermissions},
    },
    broker::{
        Metadata,
        arguments::{self, QueueSpec, QueueType, with_queue_type},
        datum,
        exchange::make,
        parameter::{LIMITS, VHOST_LIMITS},
        policy::{Authority, Draft, Policy},
        queue::Effects,
        topology::{Destination, ExchangeSpec},
        vhost::DeclaredBy,
    },
    clock,
    http::{
        Failure,
        api::{
            policies,
            users::UserDraft,
            vhosts::{queue_type_of, tags},
        },
        json,
    },
    names::{CommitSeq, ConnectionId},
    wire::table::Table,
};

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
    /// All entries made sense, but one was refused. Those before it are there.
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
    users: Vec<(String, UserDraft)>,
    vhosts: Vec<(String, Metadata, datum::Map)>,
    permissions: Vec<(String, String, [String; 3])>,
    topic_permissions: Vec<(String, String, String, [String; 2])>,
    exchanges: Vec<(String, String, ExchangeSpec)>,
    global_parameters: Vec<(String, datum::Datum)>,
    policies: Vec<(String, Authority, String, Draft)>,
    limits: Vec<(String, datum::Map)>,
    queues: Vec<QueueEntry>,
    bindings: Vec<BindingEntry>,
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

/// One entry of a list.
struct Entry<'a> {
    /// Its place and name, for messages.
    label: String,
    object: &'a Map<String, Value>,
}

type Checked<T> = Result<T, String>;

impl Entry<'_> {
    fn text(&self, key: &str) -> Checked<String> {
        match self.object.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(format!("`{key}` must be a string")),
            None => Err(format!("`{key}` is missing")),
        }
    }

    fn flag(&self, key: &str) -> Checked<bool> {
        match self.object.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(format!("`{key}` must be true or false")),
        }
    }

    /// An object, which may also be written as an empty array.
    fn map(&self, key: &str) -> Checked<Map<String, Value>> {
        match self.object.get(key) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Array(items)) if items.is_empty() => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object.clone()),
            Some(_) => Err(format!("`{key}` must be an object")),
        }
    }

    /// The same, as values that can be kept.
    fn data(&self, key: &str) -> Checked<datum::Map> {
        json::to_map(&self.map(key)?).map_err(reason)
    }

    fn arguments(&self) -> Checked<Table> {
        json::to_table(&self.map("arguments")?)
            .map_err(|failure| format!("`arguments`: {}", reason(failure)))
    }

    /// The vhost: its own, or the one that everything is imported into.
    fn vhost(&self, into: Option<&str>) -> Checked<String> {
        match (self.object.get("vhost"), into) {
            (_, Some(vhost)) => Ok(vhost.to_owned()),
            (None, None) => {
                Err("`vhost` is missing; definitions of one vhost are imported into one".to_owned())
            }
            (Some(_), None) => self.text("vhost"),
        }
    }
}

fn reason(failure: Failure) -> String {
    match failure {
        Failure::BadRequest(reason) | Failure::Invalid { reason, .. } => reason,
        other => format!("{other:?}"),
    }
}

impl Definitions {
    /// Whether there are users in them.
    pub fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Whether there are vhosts in them.
    pub fn has_vhosts(&self) -> bool {
        !self.vhosts.is_empty()
    }

    /// Reads definitions of everything; or, if `into` names a vhost, those of a vhost.
    ///
    /// # Errors
    /// [`DefinitionsError::Json`]; [`DefinitionsError::Entry`] for the first entry that is wrong.
    pub fn read(text: &[u8], into: Option<&str>) -> Result<Self, DefinitionsError> {
        let file: Value =
            serde_json::from_slice(text).map_err(|e| DefinitionsError::Json(e.to_string()))?;
        let Value::Object(file) = file else {
            return Err(DefinitionsError::Json("something else".to_owned()));
        };
        let mut all = Self::default();
        if into.is_none() {
            // Definitions from before 3.6 do not say how passwords are hashed (HT-128).
            let algorithm = default_algorithm(&file);
            all.users = list(&file, "users", |entry| {
                Ok((entry.text("name")?, UserDraft::read(entry.object, algorithm).map_err(reason)?))
            })?;
            all.vhosts = list(&file, "vhosts", vhost)?;
            all.permissions = list(&file, "permissions", permission)?;
            all.topic_permissions = list(&file, "topic_permissions", topic_permission)?;
            all.global_parameters = list(&file, "global_parameters", |entry| {
                let value = entry.object.get("value").ok_or("`value` is missing")?;
                Ok((entry.text("name")?, json::to_datum(value).map_err(reason)?))
            })?;
        }
        all.exchanges = list(&file, "exchanges", |entry| exchange(entry, into))?;
        all.policies = list(&file, "policies", |entry| {
            policy(entry, entry.vhost(into)?, Authority::User, entry.object)
        })?;
        let parameters = list(&file, "parameters", |entry| parameter(entry, into))?;
        for parameter in parameters {
            match parameter {
                ParameterEntry::Policy(policy) => all.policies.push(policy),
                ParameterEntry::Limits(vhost, limits) => all.limits.push((vhost, limits)),
                ParameterEntry::Foreign(label) => {
                    tracing::warn!(entry = %label, "not imported: Lepus has no such component");
                }
            }
        }
        all.queues = list(&file, "queues", |entry| queue(entry, into))?;
        all.bindings = list(&file, "bindings", |entry| binding(entry, into))?;
        Ok(all)
    }

    /// Makes everything so, in RabbitMQ's order (HT-125). Returns what must be durable before that
    /// may be said.
    ///
    /// # Errors
    /// [`DefinitionsError::Entry`] if something refers to what is neither there nor among the
    /// definitions: nothing was changed then. [`DefinitionsError::Refused`].
    pub fn apply(self, admin: &Admin, user: &str) -> Result<CommitSeq, DefinitionsError> {
        self.check_references(admin)?;
        let mut needed = CommitSeq(0);
        let mut note = |entry: String, done: Result<CommitSeq, admin::Error>| match done {
            Ok(seq) => {
                needed = needed.max(seq);
                Ok(())
            }
            Err(error) => Err(DefinitionsError::Refused { entry, reason: error.to_string() }),
        };
        for (name, draft) in self.users {
            note(format!("user '{name}'"), draft.put(admin, &name))?;
        }
        for (name, metadata, limits) in self.vhosts {
            let is_new = admin.vhost(&name).is_err();
            note(format!("vhost '{name}'"), admin.put_vhost(&name, metadata))?;
            // Whoever makes a vhost may do everything there.
            if is_new && admin.user(user).is_ok() {
                let done = admin.set_permissions(user, &name, [".*"; 3]);
                note(format!("permissions of '{user}' in '{name}'"), done)?;
            }
            if !limits.is_empty() {
                note(format!("limits of '{name}'"), admin.set_vhost_limits(&name, limits))?;
            }
        }
        for (user, vhost, patterns) in &self.permissions {
            let [configure, write, read] = patterns;
            let done = admin.set_permissions(user, vhost, [configure, write, read]);
            note(format!("permissions of '{user}' in '{vhost}'"), done)?;
        }
        for (vhost, name, spec) in self.exchanges {
            let found = admin.vhost(&vhost);
            let entry = || format!("exchange '{name}' in vhost '{vhost}'");
            let found = found.map_err(|error| refused(entry(), &error))?;
            if found.topology().exchange(&name).is_some() {
                continue;
            }
            let done = found.declare_exchange(&name, spec);
            let done = done.map_err(|error| refused(entry(), &error.in_vhost(&vhost)))?;
            note(entry(), Ok(done))?;
        }
        for (user, vhost, exchange, [write, read]) in &self.topic_permissions {
            let done = admin.set_topic_permissions(user, vhost, exchange, [write, read]);
            note(format!("topic permissions of '{user}' in '{vhost}'"), done)?;
        }
        for (name, value) in self.global_parameters {
            note(
                format!("global parameter '{name}'"),
                Ok(admin.set_global_parameter(&name, value)),
            )?;
        }
        for (vhost, authority, name, draft) in self.policies {
            let done = admin.set_policy(&vhost, authority, &name, draft);
            note(format!("policy '{name}' in vhost '{vhost}'"), done)?;
        }
        for (vhost, limits) in self.limits {
            note(format!("limits of '{vhost}'"), admin.set_vhost_limits(&vhost, limits))?;
        }
        for queue in self.queues {
            let entry = format!("queue '{}' in vhost '{}'", queue.name, queue.vhost);
            let done =
                queue.declare(admin, user).map_err(|reason| refused(entry.clone(), &reason))?;
            note(entry, Ok(done))?;
        }
        for binding in self.bindings {
            let entry = format!("binding from '{}' in vhost '{}'", binding.source, binding.vhost);
            let done = binding.bind(admin).map_err(|reason| refused(entry.clone(), &reason))?;
            note(entry, Ok(done))?;
        }
        Ok(needed)
    }

    /// Whether what entries refer to is there, or will be.
    fn check_references(&self, admin: &Admin) -> Result<(), DefinitionsError> {
        let vhosts: HashSet<&str> = self.vhosts.iter().map(|(name, ..)| name.as_str()).collect();
        let users: HashSet<&str> = self.users.iter().map(|(name, _)| name.as_str()).collect();
        let check = |entry: String, vhost: &str, user: Option<&str>| {
            let wrong = |what: &str, name: &str| DefinitionsError::Entry {
                entry: entry.clone(),
                reason: format!("there is no {what} '{name}', neither here nor in the file"),
            };
            if !vhosts.contains(vhost) && admin.vhost(vhost).is_err() {
                return Err(wrong("vhost", vhost));
            }
            match user {
                Some(user) if !users.contains(user) && admin.user(user).is_err() => {
                    Err(wrong("user", user))
                }
                _ => Ok(()),
            }
        };
        for (user, vhost, _) in &self.permissions {
            check(format!("permissions of '{user}' in '{vhost}'"), vhost, Some(user))?;
        }
        for (user, vhost, ..) in &self.topic_permissions {
            check(format!("topic permissions of '{user}' in '{vhost}'"), vhost, Some(user))?;
        }
        for (vhost, name, _) in &self.exchanges {
            check(format!("exchange '{name}'"), vhost, None)?;
        }
        for (vhost, _, name, _) in &self.policies {
            check(format!("policy '{name}'"), vhost, None)?;
        }
        for (vhost, _) in &self.limits {
            check(format!("limits of '{vhost}'"), vhost, None)?;
        }
        for queue in &self.queues {
            check(format!("queue '{}'", queue.name), &queue.vhost, None)?;
        }
        for binding in &self.bindings {
            check(format!("binding from '{}'", binding.source), &binding.vhost, None)?;
            self.check_ends(admin, binding)?;
        }
        Ok(())
    }

    /// Whether both ends of a binding are there, or will be.
    fn check_ends(&self, admin: &Admin, binding: &BindingEntry) -> Result<(), DefinitionsError> {
        let found = admin.vhost(&binding.vhost).ok();
        let has_exchange = |name: &str| {
            name.is_empty()
                || name.starts_with(RESERVED_PREFIX)
                || self.exchanges.iter().any(|(v, n, _)| *v == binding.vhost && n == name)
                || found.as_ref().is_some_and(|v| v.topology().exchange(name).is_some())
        };
        let (is_there, what) = match &binding.destination {
            _ if !has_exchange(&binding.source) => {
                (false, format!("exchange '{}'", binding.source))
            }
            Destination::Exchange(name) => (has_exchange(name), format!("exchange '{name}'")),
            Destination::Queue(name) => {
                let is_new =
                    self.queues.iter().any(|q| q.vhost == binding.vhost && *q.name == **name);
                let is_old = found.as_ref().is_some_and(|v| v.topology().queue(name).is_some());
                (is_new || is_old, format!("queue '{name}'"))
            }
        };
        if is_there {
            return Ok(());
        }
        Err(DefinitionsError::Entry {
            entry: format!("binding from '{}' in vhost '{}'", binding.source, binding.vhost),
            reason: format!("there is no {what}, neither here nor in the file"),
        })
    }
}

fn refused(entry: String, error: &impl ToString) -> DefinitionsError {
    DefinitionsError::Refused { entry, reason: error.to_string() }
}

/// How passwords are hashed that do not say.
fn default_algorithm(file: &Map<String, Value>) -> HashingAlgorithm {
    let version = file.get("rabbit_version").or_else(|| file.get("rabbitmq_version"));
    let mut parts = version.and_then(Value::as_str).unwrap_or("4").split('.');
    let mut next = || parts.next().and_then(|part| part.parse::<u32>().ok());
    match (next(), next()) {
        (Some(major), Some(minor)) if (major, minor) < (3, 6) => HashingAlgorithm::Md5,
        _ => HashingAlgorithm::default(),
    }
}

/// Reads a list.
fn list<T>(
    file: &Map<String, Value>,
    key: &str,
    read: impl Fn(&Entry<'_>) -> Checked<T>,
) -> Result<Vec<T>, DefinitionsError> {
    let items = match file.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => {
            let reason = "must be a list".to_owned();
            return Err(DefinitionsError::Entry { entry: key.to_owned(), reason });
        }
    };
    let read = |(at, item): (usize, &Value)| {
        let name = ["name", "user", "source"].iter().find_map(|key| item.get(key)?.as_str());
        let label = match name {
            Some(name) => format!("{key}[{at}] ({name})"),
            None => format!("{key}[{at}]"),
        };
        let read = match item {
            Value::Object(object) => read(&Entry { label: label.clone(), object }),
            _ => Err("must be an object".to_owned()),
        };
        read.map_err(|reason| DefinitionsError::Entry { entry: label, reason })
    };
    items.iter().enumerate().map(read).collect()
}

fn vhost(entry: &Entry<'_>) -> Checked<(String, Metadata, datum::Map)> {
    let said = entry.map("metadata")?;
    let find = |key: &str| said.get(key).or_else(|| entry.object.get(key));
    let metadata = Metadata {
        description: find("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
        tags: find("tags").map(tags).transpose().map_err(reason)?.unwrap_or_default(),
        default_queue_type: find("default_queue_type")
            .map(queue_type_of)
            .transpose()
            .map_err(reason)?
            .flatten(),
        is_protected: find("protected_from_deletion").and_then(Value::as_bool).unwrap_or(false),
    };
    Ok((entry.text("name")?, metadata, entry.data("limits")?))
}

fn permission(entry: &Entry<'_>) -> Checked<(String, String, [String; 3])> {
    let (user, vhost) = (entry.text("user")?, entry.text("vhost")?);
    let patterns = [entry.text("configure")?, entry.text("write")?, entry.text("read")?];
    let [configure, write, read] = &patterns;
    UserPermissions::new(user.as_str(), vhost.as_str(), [configure, write, read])
        .map_err(|error| error.to_string())?;
    Ok((user, vhost, patterns))
}

fn topic_permission(entry: &Entry<'_>) -> Checked<(String, String, String, [String; 2])> {
    let (user, vhost) = (entry.text("user")?, entry.text("vhost")?);
    let exchange = entry.text("exchange")?;
    let patterns = [entry.text("write")?, entry.text("read")?];
    let [write, read] = &patterns;
    TopicPermissions::new(user.as_str(), vhost.as_str(), exchange.as_str(), [write, read])
        .map_err(|error| error.to_string())?;
    Ok((user, vhost, exchange, patterns))
}

fn exchange(entry: &Entry<'_>, into: Option<&str>) -> Checked<(String, String, ExchangeSpec)> {
    let (vhost, name) = (entry.vhost(into)?, entry.text("name")?);
    let spec = ExchangeSpec {
        type_name: entry.text("type")?,
        durable: entry.flag("durable")?,
        auto_delete: entry.flag("auto_delete")?,
        internal: entry.flag("internal")?,
        arguments: entry.arguments()?,
    };
    // RabbitMQ's own exports have its log's exchange.
    let is_reserved = name.is_empty() || name.starts_with(RESERVED_PREFIX);
    if is_reserved && name != "amq.rabbitmq.log" && name != "amq.rabbitmq.trace" {
        return Err("names that begin with `amq.` are the broker's own".to_owned());
    }
    make(&spec.type_name, &spec.arguments).map_err(|error| error.in_vhost(&vhost))?;
    Ok((vhost, name, spec))
}

type PolicyEntry = (String, Authority, String, Draft);

fn policy(
    entry: &Entry<'_>,
    vhost: String,
    authority: Authority,
    said: &Map<String, Value>,
) -> Checked<PolicyEntry> {
    let name = entry.text("name")?;
    for key in ["pattern", "definition"] {
        if !said.contains_key(key) {
            return Err(format!("`{key}` is missing"));
        }
    }
    let draft = policies::draft(said).map_err(reason)?;
    Policy::new(name.as_str().into(), authority, draft.clone())
        .map_err(|error| error.to_string())?;
    Ok((vhost, authority, name, draft))
}

enum ParameterEntry {
    Policy(PolicyEntry),
    Limits(String, datum::Map),
    /// Of a component that there is not, such as a plugin's.
    Foreign(String),
}

fn parameter(entry: &Entry<'_>, into: Option<&str>) -> Checked<ParameterEntry> {
    let (vhost, component) = (entry.vhost(into)?, entry.text("component")?);
    match component.as_str() {
        OPERATOR_POLICY => {
            let said = entry.map("value")?;
            policy(entry, vhost, Authority::Operator, &said).map(ParameterEntry::Policy)
        }
        VHOST_LIMITS if entry.text("name")? == LIMITS => {
            Ok(ParameterEntry::Limits(vhost, entry.data("value")?))
        }
        _ => Ok(ParameterEntry::Foreign(entry.label.clone())),
    }
}

fn queue(entry: &Entry<'_>, into: Option<&str>) -> Checked<QueueEntry> {
    let (vhost, name) = (entry.vhost(into)?, entry.text("name")?);
    let mut arguments = entry.arguments()?;
    let said = entry.object.get("type").and_then(Value::as_str);
    if let Some(said) = said.and_then(QueueType::parse) {
        arguments = with_queue_type(arguments, said);
    }
    arguments::check_queue(&name, &arguments, QueueType::Classic)
        .map_err(|error| error.in_vhost(&vhost))?;
    Ok(QueueEntry {
        durable: entry.flag("durable")?,
        auto_delete: entry.flag("auto_delete")?,
        vhost,
        name,
        arguments,
    })
}

fn binding(entry: &Entry<'_>, into: Option<&str>) -> Checked<BindingEntry> {
    let destination = entry.text("destination")?;
    let destination = match entry.text("destination_type")?.as_str() {
        "queue" => Destination::Queue(destination.into()),
        "exchange" => Destination::Exchange(destination.into()),
        other => return Err(format!("`destination_type` is neither queue nor exchange: {other}")),
    };
    Ok(BindingEntry {
        vhost: entry.vhost(into)?,
        source: entry.text("source")?,
        destination,
        key: entry.text("routing_key")?,
        arguments: entry.arguments()?,
    })
}

impl QueueEntry {
    /// Declares it, unless it is there already, however it was declared.
    fn declare(self, admin: &Admin, user: &str) -> Checked<CommitSeq> {
        let vhost = admin.vhost(&self.vhost).map_err(|error| error.to_string())?;
        if vhost.topology().queue(&self.name).is_some() {
            return Ok(CommitSeq(0));
        }
        let default = vhost.default_queue_type(self.durable, false, self.auto_delete);
        let spec = QueueSpec {
            durable: self.durable,
            auto_delete: self.auto_delete,
            arguments: with_queue_type(self.arguments, default),
        };
        let by = DeclaredBy {
            connection: ConnectionId(0),
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
    fn bind(&self, admin: &Admin) -> Checked<CommitSeq> {
        if self.source.is_empty() {
            return Ok(CommitSeq(0));
        }
        let vhost = admin.vhost(&self.vhost).map_err(|error| error.to_string())?;
        let mut fx = Effects::default();
        (fx.now, fx.time) = (clock::now(), clock::unix_time());
        let (key, arguments) = (self.key.as_bytes(), &self.arguments);
        let done = vhost.bind(&self.source, &self.destination, key, arguments, &mut fx);
        fx.wakes.pay();
        done.map_err(|error| error.in_vhost(&self.vhost))
    }
}
