//! Reads settings from a TOML file and from environment variables.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::Path,
};

use toml::de::{DeTable, DeValue};

use super::{Error, LogFilter, Origin, Setting, loaded::Loaded, value::Written};

/// What the variables of our own begin with.
const PREFIX: &str = "LEPUS_";

/// Variables behind [`PREFIX`] that are no settings, and no setting's name begins like them.
/// Kubernetes and Docker put `LEPUS_PORT`, `LEPUS_PORT_5672_TCP` and `LEPUS_SERVICE_HOST` into
/// every container near a service that is called `lepus`; `LEPUS_TEST_*` are for the tests.
pub(super) const FOREIGN: [&str; 3] = ["PORT", "SERVICE_", "TEST_"];

/// Names the configuration file; no setting.
pub(super) const CONFIG_VARIABLE: &str = "LEPUS_CONFIG";
/// Names the file with other defaults; no setting.
pub(super) const DEFAULTS_VARIABLE: &str = "LEPUS_DEFAULTS";
/// Names the only file of RabbitMQ's that is read; no setting.
pub(super) const RABBITMQ_CONF_VARIABLE: &str = "LEPUS_RABBITMQ_CONF";

/// The environment, without the empty variables: one that is empty is as good as none, because
/// that is what compose files make of `${VARIABLE:-}`.
#[derive(Debug)]
pub(super) struct Variables(Vec<(String, OsString)>);

impl Variables {
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let variables = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(_, value)| !value.is_empty());
        Self(variables.collect())
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// The path that a variable names.
    pub(super) fn path(&self, name: &str) -> Option<&Path> {
        self.get(name).map(Path::new)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_os_str()))
    }
}

/// Where a variable is.
pub(super) fn variable(name: &str) -> Origin {
    Origin::Environment { variable: name.into() }
}

/// The text of a configuration file.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.into(), source })
}

pub(super) fn apply_file(loaded: &mut Loaded, path: &Path) -> Result<(), Error> {
    let text = read(path)?;
    loaded.files.push(path.display().to_string());
    apply_toml(loaded, path, &text)
}

pub(super) fn apply_toml(loaded: &mut Loaded, path: &Path, text: &str) -> Result<(), Error> {
    let line_of = |offset: usize| 1 + text[..offset].matches('\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start.min(text.len()));
        Error::syntax(path, line_of(offset), error.message())
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    // The first mistake of the file is the one to report.
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let origin = Origin::File { path: path.into(), line: line_of(key.span().start) };
        let setting = Setting::named(key.get_ref(), &origin)?;
        let Some(written) = written(value.get_ref()) else {
            let value = format!("a {}", value.get_ref().type_str());
            return Err(setting.refused(&origin, value));
        };
        loaded.set(setting, &written, &origin)?;
    }
    Ok(())
}

/// What stands in the file, if it is something that a setting can be.
fn written(value: &DeValue<'_>) -> Option<Written> {
    if let DeValue::Array(values) = value {
        return values
            .iter()
            .map(|v| scalar(v.get_ref()))
            .collect::<Option<_>>()
            .map(Written::Many);
    }
    scalar(value).map(Written::One)
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(is_true) => Some(is_true.to_string()),
        DeValue::Float(number) => Some(number.as_str().into()),
        DeValue::Integer(number) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix());
            Some(parsed.map_or_else(|_| number.as_str().into(), |n| n.to_string()))
        }
        _ => None,
    }
}

/// Everybody's variable: what it says for other programs is no mistake of ours.
pub(super) fn apply_rust_log(loaded: &mut Loaded, variables: &Variables) {
    let name = "RUST_LOG";
    let value = variables.get(name).and_then(OsStr::to_str);
    if let Some(filter) = value.and_then(LogFilter::parse) {
        loaded.config.log = filter;
        loaded.came_from("log", variable(name));
    }
}

/// Applies the variables of our own.
pub(super) fn apply_environment(loaded: &mut Loaded, variables: &Variables) -> Result<(), Error> {
    const NO_SETTINGS: [&str; 3] = [CONFIG_VARIABLE, DEFAULTS_VARIABLE, RABBITMQ_CONF_VARIABLE];
    for (name, value) in variables.iter() {
        match name.strip_prefix(PREFIX) {
            Some(rest) if !NO_SETTINGS.contains(&name) && !is_foreign(rest) => {
                apply_variable(loaded, name, &rest.to_ascii_lowercase(), value)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_foreign(name: &str) -> bool {
    FOREIGN.iter().any(|prefix| name.starts_with(prefix))
}

/// Gives a setting the value of a variable.
pub(super) fn apply_variable(
    loaded: &mut Loaded,
    name: &str,
    key: &str,
    value: &OsStr,
) -> Result<(), Error> {
    let origin = variable(name);
    let setting = Setting::named(key, &origin)?;
    let text = value.to_str().ok_or_else(|| setting.refused(&origin, "no UTF-8".into()))?;
    loaded.set(setting, &Written::One(text.into()), &origin)
}
