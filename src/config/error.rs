//! What can be wrong with the configuration, and where.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In a configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// In an environment variable.
    Environment {
        /// The variable.
        variable: String,
    },
    /// In an argument of the program.
    Flag {
        /// The flag, with its dashes.
        flag: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Flag { flag } => f.write_str(flag),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
        }
    }
}

/// What stops a configuration from being used. Each names its place and its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser says.
        message: String,
    },
    /// There is no such setting.
    #[error("{origin}: unknown setting `{key}`{}", hint(*.nearest))]
    UnknownKey {
        /// Where.
        origin: Origin,
        /// The key as written.
        key: String,
        /// The setting with the most similar name, if any is similar.
        nearest: Option<&'static str>,
    },
    /// The setting cannot have this value.
    #[error("{origin}: `{key}` cannot be {value}: it is {expected}")]
    BadValue {
        /// Where.
        origin: Origin,
        /// The setting, as it is called there.
        key: String,
        /// The value as written; empty for a secret.
        value: String,
        /// What it may be.
        expected: String,
    },
}

impl Error {
    pub(super) fn syntax(path: &Path, line: usize, message: &str) -> Self {
        let origin = Origin::File { path: path.into(), line };
        Self::Syntax { origin, message: message.replace('\n', ", ") }
    }
}

fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(key) => format!("; did you mean `{key}`?"),
        None => "; config/lepus.toml lists all".into(),
    }
}
