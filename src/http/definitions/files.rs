//! Definitions that are imported at the start, and when everything was reset (EN-044).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Definitions, DefinitionsError};
use crate::{admin::Admin, auth::get_blocking, names::CommitSeq};

/// Why files with definitions cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// One cannot be read.
    #[error("cannot read the definitions {}: {source}", path.display())]
    Read {
        /// The file, or the directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// They cannot be got from where they are: with the URL.
    #[error("definitions: {0}")]
    Fetch(String),
    /// One makes no sense.
    #[error("{}: {source}", path.display())]
    Definitions {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: DefinitionsError,
    },
}

/// The longest definitions that are read from a URL.
const FETCHED_BYTES_MAX: u64 = 256 << 20;

/// The files, in the order of their names, each read and checked.
#[derive(Debug, Default)]
pub struct Files(Vec<(PathBuf, Definitions)>);

impl Files {
    /// Reads a file, or all `.json` files of a directory, or what an http or https URL leads to.
    ///
    /// # Errors
    /// [`FilesError`]: nothing is changed by a file that makes no sense.
    pub fn read_blocking(path: &Path) -> Result<Self, FilesError> {
        let failed =
            |path: &Path, source: io::Error| FilesError::Read { path: path.into(), source };
        let parsed = |path: PathBuf, text: &[u8]| match Definitions::read(text, None) {
            Ok(definitions) => Ok((path, definitions)),
            Err(source) => Err(FilesError::Definitions { path, source }),
        };
        let is_url = |url: &&str| url.starts_with("https://") || url.starts_with("http://");
        if let Some(url) = path.to_str().filter(is_url) {
            let text = get_blocking(url, None, FETCHED_BYTES_MAX).map_err(FilesError::Fetch)?;
            return parsed(path.to_owned(), &text).map(|read| Self(vec![read]));
        }
        let is_directory = fs::metadata(path).map_err(|e| failed(path, e))?.is_dir();
        let mut paths = vec![path.to_owned()];
        if is_directory {
            let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let entries = entries.map_err(|e| failed(path, e))?.into_iter();
            paths = entries.map(|entry| entry.path()).collect();
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
            paths.sort();
        }
        let read = |path: PathBuf| {
            let text = fs::read(&path).map_err(|e| failed(&path, e))?;
            parsed(path, &text)
        };
        paths.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are users in them.
    pub fn have_users(&self) -> bool {
        self.0.iter().any(|(_, definitions)| definitions.has_users())
    }

    /// Whether there are vhosts in them.
    pub fn have_vhosts(&self) -> bool {
        self.0.iter().any(|(_, definitions)| definitions.has_vhosts())
    }

    /// Makes everything so, as this user.
    ///
    /// # Errors
    /// [`FilesError::Definitions`].
    pub fn apply(self, admin: &Admin, user: &str) -> Result<CommitSeq, FilesError> {
        let mut needed = CommitSeq(0);
        for (path, definitions) in self.0 {
            let done = definitions.apply(admin, user);
            let done =
                done.map_err(|source| FilesError::Definitions { path: path.clone(), source });
            needed = needed.max(done?);
            tracing::info!(path = %path.display(), "definitions were imported");
        }
        Ok(needed)
    }
}
