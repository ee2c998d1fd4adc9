//! RabbitMQ's own configuration: its files, and the variables of its official image.
//!
//! * which files there are (here), their syntax (`syntax`; `erlang` for `advanced.config`);
//! * which key is which setting and how its value is written (`keys`, `advanced`);
//! * giving the settings those values (`apply`; `credentials` for what passwords must be like),
//!   and those of the variables (`environment`).
//!
//! What cannot be used stops the start. What has no effect is named once; nobody has to clean up
//! a file that works with RabbitMQ.

mod advanced;
mod apply;
mod credentials;
mod environment;
mod erlang;
mod keys;
mod listeners;
mod syntax;

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Error, Origin,
    loaded::{Loaded, Sources},
    source::{self, Variables},
};
use apply::Entries;
use erlang::Term;

pub(super) use environment::apply_environment;

/// Stands for a path where no file of RabbitMQ's is to be read.
const NO_FILE: &str = "none";

/// What of RabbitMQ's plugins is built in, under its names, and whether those who use RabbitMQ
/// enable it; the others come with one that is enabled.
pub const PLUGINS: [(&str, bool); 14] = [
    ("rabbitmq_amqp_client", false),
    ("rabbitmq_auth_backend_internal", false),
    ("rabbitmq_auth_backend_oauth2", true),
    ("rabbitmq_auth_mechanism_ssl", true),
    ("rabbitmq_consistent_hash_exchange", true),
    ("rabbitmq_delayed_message_exchange", true),
    ("rabbitmq_management", true),
    ("rabbitmq_management_agent", false),
    ("rabbitmq_message_deduplication", true),
    ("rabbitmq_prometheus", true),
    ("rabbitmq_random_exchange", true),
    ("rabbitmq_recent_history_exchange", true),
    ("rabbitmq_sharding", true),
    ("rabbitmq_web_dispatch", false),
];

/// Whether this plugin of RabbitMQ's is built in.
pub fn is_built_in(plugin: &str) -> bool {
    PLUGINS.iter().any(|(name, _)| *name == plugin)
}

/// Reads the files (EN-006).
pub(super) fn apply_files(
    loaded: &mut Loaded,
    sources: &Sources<'_>,
    variables: &Variables,
) -> Result<(), Error> {
    let variable = |name: &str| variables.get(name)?.to_str().map(str::to_owned);
    let files = match sources.rabbitmq_conf.or(variables.path(source::RABBITMQ_CONF_VARIABLE)) {
        Some(path) if path == Path::new(NO_FILE) => return Ok(()),
        Some(path) => Files { settings: vec![path.into()], ..Files::default() },
        None => Files::usual(loaded, sources.rabbitmq_directory, variables),
    };
    let mut entries = Entries::default();
    for path in files.settings {
        let text = source::read(&path)?;
        loaded.files.push(path.display().to_string());
        if is_erlang(&path) {
            read_terms(loaded, &mut entries, &path, &text);
        } else {
            entries.extend(syntax::parse(&path, &text, &variable)?);
        }
    }
    if let Some(path) = &files.plugins {
        look_at_plugins(loaded, path, &source::read(path)?);
    }
    entries.apply(loaded)
}

/// The files of RabbitMQ's that there are.
#[derive(Debug, Default)]
struct Files {
    /// In the order in which they are read; what is later wins.
    settings: Vec<PathBuf>,
    plugins: Option<PathBuf>,
}

impl Files {
    fn usual(loaded: &mut Loaded, directory: Option<&Path>, variables: &Variables) -> Self {
        let place = |variable: &str, name: &str| match variables.path(variable) {
            Some(path) => Some(path.to_owned()),
            None => directory.map(|directory| directory.join(name)),
        };
        let mut settings = Vec::new();
        if let Some(path) = place("RABBITMQ_CONFIG_FILE", "rabbitmq") {
            let found = with_extension(&path, &["config", "conf"]);
            if found.is_none() && variables.path("RABBITMQ_CONFIG_FILE").is_some() {
                loaded.warn(format!("RABBITMQ_CONFIG_FILE: there is no {}", path.display()));
            }
            settings.extend(found);
        }
        if let Some(pattern) = place("RABBITMQ_CONFIG_FILES", "conf.d/*.conf") {
            settings.extend(matching(&pattern));
        }
        if let Some(path) = place("RABBITMQ_ADVANCED_CONFIG_FILE", "advanced") {
            settings.extend(with_extension(&path, &["config"]));
        }
        let plugins = place("RABBITMQ_ENABLED_PLUGINS_FILE", "enabled_plugins");
        Self { settings, plugins: plugins.filter(|path| path.is_file()) }
    }
}

/// The file, or the one with an extension added to its name, as RabbitMQ looks for it.
fn with_extension(path: &Path, extensions: &[&str]) -> Option<PathBuf> {
    let added = extensions.iter().map(|extension| {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(extension);
        PathBuf::from(name)
    });
    // `/dev/null` is a file, too.
    let is_file = |path: &PathBuf| path.exists() && !path.is_dir();
    std::iter::once(path.to_owned()).chain(added).find(is_file)
}

/// The files of a directory, or those whose name matches one `*`, sorted.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let (directory, name) = if pattern.is_dir() {
        (pattern, "*")
    } else {
        let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        (pattern.parent().unwrap_or(pattern), name)
    };
    let (before, after) = name.split_once('*').unwrap_or((name, ""));
    let matches = |path: &PathBuf| {
        let found = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let rest = found.strip_prefix(before);
        // Kubernetes mounts what begins with a dot beside the files.
        let is_hidden = found.starts_with('.');
        !is_hidden && rest.is_some_and(|rest| rest.ends_with(after)) && path.is_file()
    };
    let Ok(found) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = found.flatten().map(|entry| entry.path()).filter(matches).collect();
    paths.sort();
    paths
}

fn is_erlang(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "config")
}

/// Reads `[{rabbit, [{key, value}]}].`; what is not understood is named.
fn read_terms(loaded: &mut Loaded, entries: &mut Entries, path: &Path, text: &str) {
    let Some(terms) = Term::file(text) else {
        let path = path.display();
        return loaded.warn(format!("{path}: not read, because it is no list of Erlang terms"));
    };
    let applications = terms.iter().filter_map(Term::as_list).flatten();
    let mut ignored = Vec::new();
    for (application, settings, _) in applications.filter_map(Term::as_pair) {
        for (key, value, left) in settings.as_list().unwrap_or(&[]).iter().filter_map(Term::as_pair)
        {
            let line = 1 + text[..text.len() - left].matches('\n').count();
            match advanced::entries(application, key, value) {
                Some(found) => entries.extend(found.into_iter().map(|(key, value)| {
                    let origin = Origin::File { path: path.into(), line };
                    syntax::Entry { key, value, origin }
                })),
                None => ignored.push(format!("{application}.{key}")),
            }
        }
    }
    if !ignored.is_empty() {
        let (path, ignored) = (path.display(), ignored.join(", "));
        loaded.warn(format!("{path}: not read: {ignored}"));
    }
}

/// Names the plugins that are enabled and not here.
fn look_at_plugins(loaded: &mut Loaded, path: &Path, text: &str) {
    let terms = Term::file(text).unwrap_or_default();
    let names = terms.iter().filter_map(Term::as_list).flatten().filter_map(Term::as_text);
    let missing: Vec<_> = names.filter(|name| !is_built_in(name)).collect();
    if !missing.is_empty() {
        let (path, missing) = (path.display(), missing.join(", "));
        loaded.warn(format!("{path}: there is nothing like {missing} here"));
    }
}
