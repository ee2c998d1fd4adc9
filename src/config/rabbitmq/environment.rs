//! The variables of the official image (EN-001 to EN-008), and of RabbitMQ's scripts.
//!
//! Those that are not named here say something about Erlang, and are nobody's mistake.

use std::{ffi::OsStr, fs, path::Path};

use super::{
    advanced,
    apply::{Entries, apply_key, refused},
    erlang::{Term, words},
    listeners,
    syntax::Entry,
};
use crate::config::{
    Error, Setting,
    loaded::{Loaded, Note},
    source::{Variables, apply_variable, variable},
    value::Written,
};

/// Variables that are a setting of our own.
const SETTINGS: [(&str, &str); 7] = [
    ("RABBITMQ_DEFAULT_USER", "default_user"),
    ("RABBITMQ_DEFAULT_PASS", "default_pass"),
    ("RABBITMQ_DEFAULT_VHOST", "default_vhost"),
    ("RABBITMQ_NODENAME", "node_name"),
    ("RABBITMQ_NODE_PORT", "amqp_port"),
    ("RABBITMQ_PID_FILE", "pid_file"),
    ("RABBITMQ_MNESIA_DIR", "data_dir"),
];

/// Variables that name a file with the value in it, as secrets are given to containers (EN-003).
const FROM_FILES: [(&str, &str); 3] = [
    ("RABBITMQ_DEFAULT_USER_FILE", "default_user"),
    ("RABBITMQ_DEFAULT_PASS_FILE", "default_pass"),
    ("RABBITMQ_DEFAULT_VHOST_FILE", "default_vhost"),
];

/// Variables of older images that stand for a key of `rabbitmq.conf` (EN-003).
const KEYS: [(&str, &str); 10] = [
    ("RABBITMQ_SSL_CACERTFILE", "ssl_options.cacertfile"),
    ("RABBITMQ_SSL_CERTFILE", "ssl_options.certfile"),
    ("RABBITMQ_SSL_KEYFILE", "ssl_options.keyfile"),
    ("RABBITMQ_SSL_VERIFY", "ssl_options.verify"),
    ("RABBITMQ_SSL_FAIL_IF_NO_PEER_CERT", "ssl_options.fail_if_no_peer_cert"),
    ("RABBITMQ_MANAGEMENT_SSL_CACERTFILE", "management.ssl.cacertfile"),
    ("RABBITMQ_MANAGEMENT_SSL_CERTFILE", "management.ssl.certfile"),
    ("RABBITMQ_MANAGEMENT_SSL_KEYFILE", "management.ssl.keyfile"),
    ("RABBITMQ_MANAGEMENT_SSL_VERIFY", "management.ssl.verify"),
    ("RABBITMQ_MANAGEMENT_SSL_FAIL_IF_NO_PEER_CERT", "management.ssl.fail_if_no_peer_cert"),
];

/// Arguments of the Erlang machine.
const ARGUMENTS: [&str; 2] = ["RABBITMQ_SERVER_ERL_ARGS", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"];

/// Applies them.
pub(in crate::config) fn apply_environment(
    loaded: &mut Loaded,
    variables: &Variables,
) -> Result<(), Error> {
    for name in ARGUMENTS {
        if let Some(arguments) = variables.get(name) {
            apply_arguments(loaded, name, &arguments.to_string_lossy())?;
        }
    }
    if let Some(base) = variables.path("RABBITMQ_MNESIA_BASE") {
        apply_base(loaded, base, variables)?;
    }
    for (name, value) in variables.iter() {
        let text = value.to_string_lossy();
        if let Some((_, key)) = SETTINGS.iter().find(|(known, _)| *known == name) {
            apply_variable(loaded, name, key, value)?;
        } else if let Some((_, key)) = FROM_FILES.iter().find(|(known, _)| *known == name) {
            apply_from_file(loaded, name, key, Path::new(value))?;
        } else if let Some((_, key)) = KEYS.iter().find(|(known, _)| *known == name) {
            apply_key(loaded, key, &text, &variable(name))?;
        } else {
            apply_other(loaded, name, &text)?;
        }
    }
    Ok(())
}

/// Variables with a form of their own.
fn apply_other(loaded: &mut Loaded, name: &str, value: &str) -> Result<(), Error> {
    let origin = variable(name);
    match name {
        "RABBITMQ_NODE_IP_ADDRESS" if value != "auto" => {
            let setting = Setting::named("bind", &origin)?;
            let addresses = value.split(',').map(|text| text.trim().parse().ok());
            let Some(addresses) = addresses.collect::<Option<Vec<_>>>() else {
                return Err(setting.refused(&origin, format!("{value:?}")));
            };
            let addresses = addresses.into_iter().flat_map(listeners::meant);
            let written = Written::Many(addresses.map(|ip| ip.to_string()).collect());
            loaded.set(setting, &written, &origin)
        }
        "RABBITMQ_VM_MEMORY_HIGH_WATERMARK" => {
            let share = value.parse::<f64>().is_ok_and(|share| share <= 1.0);
            let form = if share { "relative" } else { "absolute" };
            let key = format!("vm_memory_high_watermark.{form}");
            if value.ends_with('%') {
                return apply_variable(loaded, name, "memory_watermark", OsStr::new(value));
            }
            apply_key(loaded, &key, value, &origin).map(|_| ())
        }
        // A level, or categories with levels (`connection=debug,default=info`), and `+color`.
        "RABBITMQ_LOG" => {
            for part in value.split(',').filter(|part| !part.starts_with(['+', '-'])) {
                let level = part.strip_prefix("default=").unwrap_or(part);
                if !level.contains('=') {
                    apply_key(loaded, "log.console.level", level, &origin)?;
                }
            }
            Ok(())
        }
        "RABBITMQ_LOGS" if value != "-" && value != "-stderr" => {
            let text = format!("{origin}: the log goes to standard error, not to {value}");
            loaded.notes.push(Note::Warning(text));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Takes the value from a file, without the end of its line.
fn apply_from_file(loaded: &mut Loaded, name: &str, key: &str, path: &Path) -> Result<(), Error> {
    let text = fs::read_to_string(path).map_err(|error| {
        let expected = format!("the path of a file with the value in it ({error})");
        refused(&variable(name), key, &format!("{:?}", path.display()), expected)
    })?;
    apply_variable(loaded, name, key, OsStr::new(text.trim_end_matches(['\n', '\r'])))
}

/// The data directory below the one for those of all nodes; `RABBITMQ_MNESIA_DIR` wins.
fn apply_base(loaded: &mut Loaded, base: &Path, variables: &Variables) -> Result<(), Error> {
    let name = "RABBITMQ_MNESIA_BASE";
    if let Some(node) = variables.get("RABBITMQ_NODENAME") {
        apply_variable(loaded, "RABBITMQ_NODENAME", "node_name", node)?;
    }
    let directory = base.join(loaded.config.node());
    apply_variable(loaded, name, "data_dir", directory.as_os_str())
}

/// Reads `-rabbit disk_free_limit 2147483648` (EN-008); the rest is for Erlang.
fn apply_arguments(loaded: &mut Loaded, name: &str, arguments: &str) -> Result<(), Error> {
    let words = words(arguments);
    let is_flag = |word: &String| word.starts_with(['-', '+']);
    let mut entries = Entries::default();
    let mut ignored = Vec::new();
    for (at, flag) in words.iter().enumerate().filter(|(_, word)| word.starts_with("-rabbit")) {
        let values: Vec<_> = words[at + 1..].iter().take_while(|word| !is_flag(word)).collect();
        let Some((key, value)) = values.split_first() else { continue };
        let value: String = value.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(" ");
        let application = &flag[1..];
        let found = Term::one(&value).and_then(|term| advanced::entries(application, key, &term));
        match found {
            Some(found) => entries.extend(found.into_iter().map(|(key, value)| Entry {
                key,
                value,
                origin: variable(name),
            })),
            None => ignored.push(format!("{flag} {key}")),
        }
    }
    if !ignored.is_empty() {
        loaded.notes.push(Note::Idle(format!("{name}: not read: {}", ignored.join(", "))));
    }
    entries.apply(loaded)
}
