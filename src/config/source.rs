//! Reads settings from a TOML file and from environment variables.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::Path,
};

use toml::de::{DeTable, DeValue};

use super::{Config, Error, LogFilter, Origin, Setting, value::Written};

/// The variables of the official RabbitMQ image that set something here. Lepus's own win.
const RABBITMQ_VARIABLES: [(&str, &str); 4] = [
    ("RABBITMQ_DEFAULT_USER", "default_user"),
    ("RABBITMQ_DEFAULT_PASS", "default_pass"),
    ("RABBITMQ_DEFAULT_VHOST", "default_vhost"),
    ("RABBITMQ_NODE_PORT", "amqp_port"),
];

/// What the variables of our own begin with.
const PREFIX: &str = "LEPUS_";

/// Variables behind [`PREFIX`] that are no settings, and no setting's name begins like them.
/// Kubernetes and Docker put `LEPUS_PORT`, `LEPUS_PORT_5672_TCP` and `LEPUS_SERVICE_HOST` into
/// every container near a service that is called `lepus`; `LEPUS_TEST_*` are for the tests.
pub(super) const FOREIGN: [&str; 3] = ["PORT", "SERVICE_", "TEST_"];

/// Names the configuration file; read before everything else, and no setting.
pub(super) const CONFIG_VARIABLE: &str = "LEPUS_CONFIG";

pub(super) fn apply_file(config: &mut Config, path: &Path) -> Result<(), Error> {
    let text = fs::read_to_string(path)
        .map_err(|source| Error::Unreadable { path: path.into(), source })?;
    apply_toml(config, path, &text)
}

pub(super) fn apply_toml(config: &mut Config, path: &Path, text: &str) -> Result<(), Error> {
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
        let setting = Setting::find(key.get_ref()).ok_or_else(|| Error::UnknownKey {
            origin: origin.clone(),
            key: key.get_ref().to_string(),
            nearest: Setting::nearest(key.get_ref()),
        })?;
        let Some(written) = written(value.get_ref()) else {
            let value = format!("a {}", value.get_ref().type_str());
            return Err(setting.refused(origin, value));
        };
        setting.apply(config, &written, origin)?;
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

/// Applies the variables; an empty one is as good as none, because that is what compose files
/// make of `${VARIABLE:-}`.
pub(super) fn apply_environment(
    config: &mut Config,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(), Error> {
    let variables: Vec<_> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    // Everybody's variable: what it says for other programs is no mistake of ours.
    let rust_log = variables.iter().find(|(name, _)| name == "RUST_LOG");
    if let Some(filter) = rust_log.and_then(|(_, value)| LogFilter::parse(value.to_str()?)) {
        config.log = filter;
    }
    for (name, value) in &variables {
        if let Some((_, key)) = RABBITMQ_VARIABLES.iter().find(|(variable, _)| variable == name) {
            apply_variable(config, name, key, value)?;
        }
    }
    for (name, value) in &variables {
        match name.strip_prefix(PREFIX) {
            Some(rest) if name != CONFIG_VARIABLE && !is_foreign(rest) => {
                apply_variable(config, name, &rest.to_ascii_lowercase(), value)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_foreign(name: &str) -> bool {
    FOREIGN.iter().any(|prefix| name.starts_with(prefix))
}

fn apply_variable(
    config: &mut Config,
    variable: &str,
    key: &str,
    value: &OsStr,
) -> Result<(), Error> {
    let origin = Origin::Environment { variable: variable.into() };
    let setting = Setting::find(key).ok_or_else(|| Error::UnknownKey {
        origin: origin.clone(),
        key: key.into(),
        nearest: Setting::nearest(key),
    })?;
    let text = value.to_str().ok_or_else(|| setting.refused(origin.clone(), "no UTF-8".into()))?;
    setting.apply(config, &Written::One(text.into()), origin)
}
