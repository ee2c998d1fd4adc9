//! Reads definitions, and checks each entry for itself (HT-123 to HT-126).

use serde_json::{Map, Value};

use super::{
    BindingEntry, Definitions, DefinitionsError, ExchangeEntry, GlobalEntry, LimitsEntry, Listed,
    PermissionEntry, PolicyEntry, QueueEntry, RESERVED_PREFIX, TopicPermissionEntry, UserEntry,
    VhostEntry,
};
use crate::{
    auth::{
        HashingAlgorithm,
        permissions::{TopicPermissions, UserPermissions},
    },
    broker::{
        Metadata,
        arguments::{self, QueueType, with_queue_type},
        datum,
        exchange::make,
        parameter::{self, LIMITS, OPERATOR_POLICY, VHOST_LIMITS},
        policy::{Authority, Policy},
        topology::{Destination, ExchangeSpec},
    },
    http::{
        Failure,
        api::{
            policies,
            users::UserDraft,
            vhosts::{queue_type_of, tags},
        },
        json,
    },
    names::Name,
    wire::table::Table,
};

type Checked<T> = Result<T, String>;

/// One entry of a list, as it came.
struct Entry<'a>(&'a Map<String, Value>);

impl Entry<'_> {
    fn text(&self, key: &str) -> Checked<String> {
        match self.0.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(format!("`{key}` must be a string")),
            None => Err(format!("`{key}` is missing")),
        }
    }

    /// A text that fits where AMQP has names and keys.
    fn short_text(&self, key: &str) -> Checked<String> {
        let text = self.text(key)?;
        if text.len() > Name::BYTES_MAX {
            return Err(format!("`{key}` has more than {} bytes", Name::BYTES_MAX));
        }
        Ok(text)
    }

    /// A name, which is never empty.
    fn name(&self, key: &str) -> Checked<String> {
        let name = self.short_text(key)?;
        if name.is_empty() { Err(format!("`{key}` is empty")) } else { Ok(name) }
    }

    fn flag(&self, key: &str, default: bool) -> Checked<bool> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(format!("`{key}` must be true or false")),
        }
    }

    /// An object, which may also be written as an empty array.
    fn map(&self, key: &str) -> Checked<Map<String, Value>> {
        match self.0.get(key) {
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
        match (self.0.get("vhost"), into) {
            (_, Some(vhost)) => Ok(vhost.to_owned()),
            (None, None) => {
                Err("`vhost` is missing; definitions of one vhost are imported into one".to_owned())
            }
            (Some(_), None) => self.name("vhost"),
        }
    }
}

fn reason(failure: Failure) -> String {
    match failure {
        Failure::BadRequest(reason) | Failure::Invalid { reason, .. } => reason,
        Failure::BadTerm(word, about) => format!("{word}: {about}"),
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
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
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
                let draft = UserDraft::read(entry.0, algorithm).map_err(reason)?;
                Ok(Some(UserEntry { name: entry.name("name")?, draft }))
            })?;
            all.vhosts = list(&file, "vhosts", vhost)?;
            all.permissions = list(&file, "permissions", permission)?;
            all.topic_permissions = list(&file, "topic_permissions", topic_permission)?;
            all.global_parameters = list(&file, "global_parameters", |entry| {
                let value = entry.0.get("value").ok_or("`value` is missing")?;
                let value = json::to_datum(value).map_err(reason)?;
                Ok(Some(GlobalEntry { name: entry.text("name")?, value }))
            })?;
        }
        all.exchanges = list(&file, "exchanges", |entry| exchange(entry, into))?;
        all.policies = list(&file, "policies", |entry| {
            policy(entry, entry.vhost(into)?, Authority::User, entry.0).map(Some)
        })?;
        for Listed { label, item } in list(&file, "parameters", |entry| parameter(entry, into))? {
            match item {
                ParameterEntry::Policy(item) => all.policies.push(Listed { label, item }),
                ParameterEntry::Limits(item) => all.limits.push(Listed { label, item }),
                ParameterEntry::Foreign => {
                    tracing::warn!(entry = %label, "not imported: Lepus has no such component");
                }
            }
        }
        all.queues = list(&file, "queues", |entry| queue(entry, into).map(Some))?;
        all.bindings = list(&file, "bindings", |entry| binding(entry, into))?;
        Ok(all)
    }
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

/// Reads a list. Entries that read as none are passed over.
fn list<T>(
    file: &Map<String, Value>,
    key: &str,
    read: impl Fn(&Entry<'_>) -> Checked<Option<T>>,
) -> Result<Vec<Listed<T>>, DefinitionsError> {
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
            Value::Object(object) => read(&Entry(object)),
            _ => Err("must be an object".to_owned()),
        };
        match read {
            Ok(item) => Ok(item.map(|item| Listed { label, item })),
            Err(reason) => Err(DefinitionsError::Entry { entry: label, reason }),
        }
    };
    items.iter().enumerate().filter_map(|item| read(item).transpose()).collect()
}

fn vhost(entry: &Entry<'_>) -> Checked<Option<VhostEntry>> {
    let said = entry.map("metadata")?;
    let find = |key: &str| said.get(key).or_else(|| entry.0.get(key));
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
    let limits = entry.data("limits")?;
    parameter::vhost_limits(limits.clone()).map_err(|error| error.to_string())?;
    let is_traced = entry
        .0
        .get("tracing")
        .filter(|said| !said.is_null())
        .map(|_| entry.flag("tracing", false))
        .transpose()?;
    Ok(Some(VhostEntry { name: entry.name("name")?, metadata, is_traced, limits }))
}

fn permission(entry: &Entry<'_>) -> Checked<Option<PermissionEntry>> {
    let (user, vhost) = (entry.name("user")?, entry.name("vhost")?);
    let patterns = [entry.text("configure")?, entry.text("write")?, entry.text("read")?];
    let [configure, write, read] = &patterns;
    UserPermissions::new(user.as_str(), vhost.as_str(), [configure, write, read])
        .map_err(|error| error.to_string())?;
    Ok(Some(PermissionEntry { user, vhost, patterns }))
}

fn topic_permission(entry: &Entry<'_>) -> Checked<Option<TopicPermissionEntry>> {
    let (user, vhost) = (entry.name("user")?, entry.name("vhost")?);
    let exchange = entry.short_text("exchange")?;
    let write_and_read = [entry.text("write")?, entry.text("read")?];
    let [write, read] = &write_and_read;
    TopicPermissions::new(user.as_str(), vhost.as_str(), exchange.as_str(), [write, read])
        .map_err(|error| error.to_string())?;
    Ok(Some(TopicPermissionEntry { user, vhost, exchange, write_and_read }))
}

/// An exchange; none if it is one that every vhost has.
fn exchange(entry: &Entry<'_>, into: Option<&str>) -> Checked<Option<ExchangeEntry>> {
    let (vhost, name) = (entry.vhost(into)?, entry.short_text("name")?);
    if name.is_empty() || name.starts_with(RESERVED_PREFIX) {
        return Ok(None);
    }
    let spec = ExchangeSpec {
        type_name: entry.text("type")?,
        durable: entry.flag("durable", true)?,
        auto_delete: entry.flag("auto_delete", false)?,
        internal: entry.flag("internal", false)?,
        arguments: entry.arguments()?,
    };
    make(&spec.type_name, &spec.arguments).map_err(|error| error.in_vhost(&vhost))?;
    Ok(Some(ExchangeEntry { vhost, name, spec }))
}

fn policy(
    entry: &Entry<'_>,
    vhost: String,
    authority: Authority,
    said: &Map<String, Value>,
) -> Checked<PolicyEntry> {
    let name = entry.name("name")?;
    for key in ["pattern", "definition"] {
        if !said.contains_key(key) {
            return Err(format!("`{key}` is missing"));
        }
    }
    let draft = policies::draft(said).map_err(reason)?;
    Policy::new(name.as_str().into(), authority, draft.clone())
        .map_err(|error| error.to_string())?;
    Ok(PolicyEntry { vhost, authority, name, draft })
}

enum ParameterEntry {
    Policy(PolicyEntry),
    Limits(LimitsEntry),
    /// Of a component that there is not, such as a plugin's.
    Foreign,
}

fn parameter(entry: &Entry<'_>, into: Option<&str>) -> Checked<Option<ParameterEntry>> {
    let (vhost, component) = (entry.vhost(into)?, entry.text("component")?);
    Ok(Some(match component.as_str() {
        OPERATOR_POLICY => {
            let said = entry.map("value")?;
            ParameterEntry::Policy(policy(entry, vhost, Authority::Operator, &said)?)
        }
        VHOST_LIMITS if entry.text("name")? == LIMITS => {
            let limits = entry.data("value")?;
            parameter::vhost_limits(limits.clone()).map_err(|error| error.to_string())?;
            ParameterEntry::Limits(LimitsEntry { vhost, limits })
        }
        _ => ParameterEntry::Foreign,
    }))
}

fn queue(entry: &Entry<'_>, into: Option<&str>) -> Checked<QueueEntry> {
    let (vhost, name) = (entry.vhost(into)?, entry.name("name")?);
    let mut arguments = entry.arguments()?;
    let said = entry.0.get("type").and_then(Value::as_str);
    if let Some(said) = said.and_then(QueueType::parse) {
        arguments = with_queue_type(arguments, said);
    }
    arguments::check_queue(&name, &arguments, QueueType::Classic)
        .map_err(|error| error.in_vhost(&vhost))?;
    Ok(QueueEntry {
        durable: entry.flag("durable", true)?,
        auto_delete: entry.flag("auto_delete", false)?,
        vhost,
        name,
        arguments,
    })
}

/// A binding; none if it is one of the default exchange, which every queue has.
fn binding(entry: &Entry<'_>, into: Option<&str>) -> Checked<Option<BindingEntry>> {
    let (source, destination) = (entry.short_text("source")?, entry.name("destination")?);
    let destination = match entry.text("destination_type")?.as_str() {
        "queue" => Destination::Queue(destination.into()),
        "exchange" => Destination::Exchange(destination.into()),
        other => return Err(format!("`destination_type` is neither queue nor exchange: {other}")),
    };
    let (vhost, key) = (entry.vhost(into)?, entry.short_text("routing_key")?);
    let arguments = entry.arguments()?;
    let binding = BindingEntry { vhost, source, destination, key, arguments };
    Ok((!binding.source.is_empty()).then_some(binding))
}
