//! Gives settings the values of RabbitMQ's keys.

use std::collections::BTreeMap;

use super::{
    credentials,
    keys::{Form, GIVEN, HEADERS, IDLE, KEYS, LISTS, MISSED, Members, SAFETY},
    listeners,
    syntax::Entry,
};
use crate::config::{
    AuthMechanism, Config, Error, MemoryLimit, Origin, Setting, Size,
    loaded::{Loaded, Note},
    value::Written,
};

/// Keys that are neither a setting nor without effect.
const ANONYMOUS_USER: &str = "anonymous_login_user";
const TOTAL_MEMORY: &str = "total_memory_available_override_value";

/// How a value begins that only RabbitMQ can read, and what is said of it.
const ENCRYPTED: &str = "encrypted:";
const NOT_ENCRYPTED: &str = "plain text here: encrypted values cannot be read";

/// What the files say; of each key what was said last.
#[derive(Debug, Default)]
pub(super) struct Entries(Vec<Entry>);

impl Entries {
    /// Adds what a later file says.
    pub(super) fn extend(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            self.0.retain(|earlier| earlier.key != entry.key);
            self.0.push(entry);
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    /// The entries below a prefix and what their keys have behind it; numbers in their order.
    pub(super) fn below(&self, prefix: &str) -> Vec<(&str, &Entry)> {
        let member = |entry: &Entry| {
            let rest = entry.key.strip_prefix(prefix)?.strip_prefix('.')?;
            Some(rest.len())
        };
        let members = self.0.iter().filter_map(|entry| {
            let length = member(entry)?;
            Some((&entry.key[entry.key.len() - length..], entry))
        });
        let mut members: Vec<_> = members.collect();
        members.sort_by_key(|(name, _)| (name.parse::<u32>().unwrap_or(u32::MAX), *name));
        members
    }

    /// Applies all of them, and notes what has no effect.
    pub(super) fn apply(&self, loaded: &mut Loaded) -> Result<(), Error> {
        let mut idle = Vec::new();
        let (mut missed, mut unsafe_without) = (Vec::new(), Vec::new());
        for entry in &self.0 {
            let key = entry.key.as_str();
            if apply_key(loaded, key, &entry.value, &entry.origin)? {
                continue;
            }
            let begins = |list: &[&str]| list.iter().any(|prefix| key.starts_with(prefix));
            let is_given = GIVEN.contains(&(key, entry.value.as_str()));
            let is_known = is_member(key) || credentials::is_understood(self, key);
            if is_given || key == TOTAL_MEMORY || is_no_anonymous(entry) || is_known {
            } else if begins(SAFETY) {
                unsafe_without.push(entry);
            } else if begins(MISSED) {
                missed.push(entry);
            } else if begins(IDLE) {
                idle.push(key);
            } else {
                loaded.warn(format!("{}: RabbitMQ knows no `{key}`", entry.origin));
            }
        }
        for (prefix, setting, members) in LISTS {
            self.apply_list(loaded, prefix, setting, *members)?;
        }
        self.apply_headers(loaded)?;
        credentials::apply(self, loaded)?;
        listeners::apply(self, loaded)?;
        if let Some(entry) = self.get(ANONYMOUS_USER).filter(|entry| is_no_anonymous(entry)) {
            loaded.config.auth_mechanisms.retain(|other| *other != AuthMechanism::Anonymous);
            loaded.came_from("auth_mechanisms", entry.origin.clone());
        }
        self.apply_total_memory(loaded)?;
        self.apply_tls_alone(loaded)?;
        let about = "these keys of RabbitMQ's say who is kept out, and have no effect here";
        warn_of(loaded, about, &unsafe_without);
        warn_of(loaded, "these keys of RabbitMQ's have no effect", &missed);
        if !idle.is_empty() {
            let text = format!("these keys of RabbitMQ's mean nothing here: {}", idle.join(", "));
            loaded.notes.push(Note::Idle(text));
        }
        Ok(())
    }

    /// A management API that is spoken of with TLS alone is served with TLS alone.
    fn apply_tls_alone(&self, loaded: &mut Loaded) -> Result<(), Error> {
        let below = |prefix: &str| self.0.iter().find(|entry| entry.key.starts_with(prefix));
        let is_tls = |entry: &&Entry| entry.value == "true";
        let listener = self.get("management.listener.ssl").filter(is_tls);
        if let Some(port) = self.get("management.listener.port").filter(|_| listener.is_some()) {
            let setting = Setting::named("https_port", &port.origin)?;
            loaded.set(setting, &Written::One(port.value.clone()), &port.origin)?;
        }
        let plain = below("management.listener.").filter(|_| listener.is_none());
        let tls = listener.or(below("management.ssl."));
        let Some(entry) = tls.filter(|_| plain.or(below("management.tcp.")).is_none()) else {
            return Ok(());
        };
        let setting = Setting::named("http", &entry.origin)?;
        loaded.set(setting, &Written::One("false".into()), &entry.origin)
    }

    /// The backends, one entry for each number. Who says of one alone by whom users are known, or
    /// by whom it is known what they may do, says both, as with RabbitMQ.
    fn backends(&self, prefix: &str, form: Form) -> Result<Vec<(&str, &Entry)>, Error> {
        let mut by_number: BTreeMap<u32, (&str, &Entry)> = BTreeMap::new();
        for (name, entry) in self.below(prefix) {
            let Entry { key, value, origin } = entry;
            let refused = |expected: String| Err(refused(origin, key, value, expected));
            let (number, half) = name.split_once('.').unwrap_or((name, "authn"));
            let (Ok(number), "authn" | "authz") = (number.parse(), half) else {
                return refused(format!(
                    "written as {prefix}.1, or as {prefix}.1.authn and {prefix}.1.authz"
                ));
            };
            let backend = form.read(value);
            if backend.is_none() {
                return refused(form.expected());
            }
            let (_, known) = by_number.entry(number).or_insert((name, entry));
            if form.read(&known.value) != backend {
                return refused(format!(
                    "{} like `{}`: whoever knows a user says what that user may do",
                    known.value, known.key
                ));
            }
        }
        Ok(by_number.into_values().collect())
    }

    fn apply_list(
        &self,
        loaded: &mut Loaded,
        prefix: &str,
        setting: &str,
        members: Members,
    ) -> Result<(), Error> {
        let bare = self.get(prefix);
        if let Some(entry) = bare.filter(|entry| entry.value != "none") {
            return Err(refused(&entry.origin, prefix, &entry.value, "none, or a list".into()));
        }
        let entries = match members {
            Members::Backends(form) => self.backends(prefix, form)?,
            _ => self.below(prefix),
        };
        let Some(first) = bare.or(entries.first().map(|(_, entry)| *entry)) else {
            return Ok(());
        };
        let origin = first.origin.clone();
        let mut values = Vec::new();
        for (name, entry) in entries {
            let Entry { key, value, .. } = entry;
            match members {
                _ if bare.is_some() => {}
                Members::Values(form) | Members::Backends(form) => match form.read(value) {
                    Some(value) => values.push(value),
                    None => return Err(refused(&entry.origin, key, value, form.expected())),
                },
                Members::Pairs => values.push(format!("{name}={value}")),
                Members::Properties => values.push(property(setting, name, entry)?),
                Members::Names => match value.as_str() {
                    "true" => values.push(name.to_owned()),
                    "false" => {}
                    _ => {
                        let expected = "true or false".into();
                        return Err(refused(&entry.origin, key, value, expected));
                    }
                },
            }
        }
        loaded.set(Setting::named(setting, &origin)?, &Written::Many(values), &origin)
    }

    /// Headers are one list, whatever their keys.
    fn apply_headers(&self, loaded: &mut Loaded) -> Result<(), Error> {
        let mut headers = Vec::new();
        for (key, header) in HEADERS {
            let Some(Entry { value, origin, .. }) = self.get(key) else { continue };
            headers.push(format!("{header}={value}"));
            let setting = Setting::named("http_headers", origin)?;
            let set = loaded.set(setting, &Written::Many(headers.clone()), origin);
            set.map_err(|_| refused(origin, key, value, "text of ASCII".into()))?;
        }
        Ok(())
    }

    /// A share of the memory is one of the memory that there is said to be.
    fn apply_total_memory(&self, loaded: &mut Loaded) -> Result<(), Error> {
        let Some(entry) = self.get(TOTAL_MEMORY) else { return Ok(()) };
        let total = Form::Units.read(&entry.value).and_then(|bytes| bytes.parse::<u64>().ok());
        let Some(total) = total else {
            let expected = Form::Units.expected();
            return Err(refused(&entry.origin, TOTAL_MEMORY, &entry.value, expected));
        };
        if let MemoryLimit::Percent(share) = loaded.config.memory_watermark {
            let limit = Size(total / 100 * u64::from(share));
            loaded.config.memory_watermark = MemoryLimit::Absolute(limit);
            loaded.came_from("memory_watermark", entry.origin.clone());
        }
        Ok(())
    }
}

/// One property of what vhosts are given when they are made, as the setting has it.
fn property(setting: &str, name: &str, entry: &Entry) -> Result<String, Error> {
    let Entry { key, value, origin } = entry;
    let setting = Setting::named(setting, origin)?;
    if setting.is_secret && value.starts_with(ENCRYPTED) {
        return Err(refused(origin, key, "that", NOT_ENCRYPTED.into()));
    }
    let bytes = name.ends_with("_bytes").then(|| Form::BinaryUnits.read(value)).flatten();
    let property = format!("{name}={}", bytes.as_deref().unwrap_or(value));
    let written = Written::Many(vec![property.clone()]);
    match setting.apply(&mut Config::default(), &written, origin) {
        Err(Error::BadValue { expected, .. }) => {
            let shown = if setting.is_secret { "that" } else { value.as_str() };
            Err(refused(origin, key, shown, expected))
        }
        other => other.map(|()| property),
    }
}

/// Whether the key belongs to a list or to the listeners.
fn is_member(key: &str) -> bool {
    let is_below = |prefix: &str| {
        let rest = key.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let is_list = LISTS.iter().any(|(prefix, ..)| is_below(prefix));
    let is_header = HEADERS.iter().any(|(header, _)| *header == key);
    is_list || is_header || listeners::PREFIXES.iter().any(|prefix| is_below(prefix))
}

/// Whether it is said that nobody comes in without a name.
fn is_no_anonymous(entry: &Entry) -> bool {
    entry.key == ANONYMOUS_USER && entry.value == "none"
}

/// Gives the setting that RabbitMQ's key stands for its value; tells whether there is one.
pub(super) fn apply_key(
    loaded: &mut Loaded,
    key: &str,
    value: &str,
    origin: &Origin,
) -> Result<bool, Error> {
    let Some((_, setting, form)) = KEYS.iter().find(|(known, ..)| *known == key) else {
        return Ok(false);
    };
    let setting = Setting::named(setting, origin)?;
    if setting.is_secret && value.starts_with(ENCRYPTED) {
        return Err(refused(origin, key, "that", NOT_ENCRYPTED.into()));
    }
    let Some(ours) = form.read(value) else {
        return Err(refused(origin, key, &format!("{value:?}"), form.expected()));
    };
    let set = loaded.set(setting, &Written::One(ours), origin);
    set.map_err(|error| in_terms_of(key, value, *form, setting, error))?;
    Ok(true)
}

/// Says what is wrong in RabbitMQ's words.
fn in_terms_of(key: &str, value: &str, form: Form, setting: &Setting, error: Error) -> Error {
    let Error::BadValue { origin, expected, .. } = error else { return error };
    let value = if setting.is_secret { "that".into() } else { format!("{value:?}") };
    let expected = match form {
        Form::Same => expected,
        form => format!("{}; here {expected}", form.expected()),
    };
    Error::BadValue { origin, key: key.into(), value, expected }
}

pub(super) fn refused(origin: &Origin, key: &str, value: &str, expected: String) -> Error {
    Error::BadValue { origin: origin.clone(), key: key.into(), value: value.into(), expected }
}

/// Names what has no effect, in one line.
fn warn_of(loaded: &mut Loaded, about: &str, entries: &[&Entry]) {
    if entries.is_empty() {
        return;
    }
    let keys: Vec<_> = entries.iter().map(|e| format!("{} ({})", e.key, e.origin)).collect();
    loaded.warn(format!("{about}: {}", keys.join(", ")));
}
