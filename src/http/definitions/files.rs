//! Definitions that are imported at the start, and when everything was reset (EN-044).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Definitions, DefinitionsError};
use crate::{admin::Admin, names::CommitSeq};

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
    /// One makes no sense.
    #[error("{}: {source}", path.display())]
    Definitions {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: DefinitionsError,
    },
}

/// The files, in the order of their names, each read and checked.
#[derive(Debug, Default)]
pub struct Files(Vec<(PathBuf, Definitions)>);

impl Files {
    /// Reads a file, or all `.json` files of a directory.
    ///
    /// # Errors
    /// [`FilesError`]: nothing is changed by a file that makes no sense.
    pub fn read_blocking(path: &Path) -> Result<Self, FilesError> {
        let failed =
            |path: &Path, source: io::Error| FilesError::Read { path: path.into(), source };
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
            let definitions = Definitions::read(&text, None)
                .map_err(|source| FilesError::Definitions { path: path.clone(), source })?;
            Ok((path, definitions))
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
