//! A configuration while it is put together: what it says so far, and where that came from.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use super::{Config, Error, Origin, Setting, rabbitmq, source, value::Written};

/// Where a configuration is read from, besides the environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// The configuration file. Without one it is the one that `LEPUS_CONFIG` names.
    pub file: Option<&'a Path>,
    /// The one file of RabbitMQ's to read, `none` for none. Without it it is what
    /// `LEPUS_RABBITMQ_CONF` says; else the files that RabbitMQ's own variables name, and those
    /// below `rabbitmq_directory`.
    pub rabbitmq_conf: Option<&'a Path>,
    /// Where RabbitMQ has its files, `/etc/rabbitmq`. Those that are not there are not missed.
    pub rabbitmq_directory: Option<&'a Path>,
}

/// Something to tell the operator about the configuration that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// What was written has no effect, and nobody will miss it.
    Idle(String),
    /// What was written has no effect, and somebody may count on it.
    Warning(String),
}

/// A configuration, with what is known about it.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What to tell about it, once there is a log.
    pub notes: Vec<Note>,
    /// The files that were read, in this order.
    pub files: Vec<String>,
    origins: BTreeMap<&'static str, Origin>,
}

impl Loaded {
    /// Reads defaults, RabbitMQ's files, the file, `RABBITMQ_*` and `LEPUS_*` variables; later
    /// wins. Before all of them comes what a package or an image changes of the defaults, in the
    /// TOML file that `LEPUS_DEFAULTS` names.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used, with its place.
    pub fn read(
        sources: &Sources<'_>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        let variables = source::Variables::new(variables);
        let mut loaded = Self::default();
        if let Some(path) = variables.path(source::DEFAULTS_VARIABLE) {
            source::apply_file(&mut loaded, path)?;
        }
        rabbitmq::apply_files(&mut loaded, sources, &variables)?;
        if let Some(path) = sources.file.or(variables.path(source::CONFIG_VARIABLE)) {
            source::apply_file(&mut loaded, path)?;
        }
        source::apply_rust_log(&mut loaded, &variables);
        rabbitmq::apply_environment(&mut loaded, &variables)?;
        source::apply_environment(&mut loaded, &variables)?;
        Ok(loaded)
    }

    /// Where a setting's value was written.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }

    /// Notes that a setting's value comes from there; for who changes [`Self::config`].
    pub fn came_from(&mut self, key: &'static str, origin: Origin) {
        self.origins.insert(key, origin);
    }

    /// Gives a setting its value, which is held to the setting's limits.
    pub(super) fn set(
        &mut self,
        setting: &'static Setting,
        written: &Written,
        origin: &Origin,
    ) -> Result<(), Error> {
        setting.apply(&mut self.config, written, origin)?;
        self.origins.insert(setting.key, origin.clone());
        Ok(())
    }

    pub(super) fn warn(&mut self, text: String) {
        self.notes.push(Note::Warning(text));
    }
}
