//! What can go wrong, as facts. Each text says what to do about it.

use std::{io, path::PathBuf, sync::Arc};

use thiserror::Error;

/// An error of the store.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the data directory open.
    #[error(
        "the data directory {} is in use by another process; stop that one or choose another \
         with --data-dir", dir.display()
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
    },
    /// A file cannot be opened, read or written.
    #[error(
        "cannot access {}: {source}; check that it exists and that this user may read and write \
         it", path.display()
    )]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk has no room left.
    #[error("no space left for {}; free some and start again", path.display())]
    DiskFull {
        /// The file or directory that was to grow.
        path: PathBuf,
    },
    /// The files are of a version that this program does not know.
    #[error(
        "{} has format version {found}, this program reads version {known}; start the version \
         that wrote it", path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u64,
        /// The version that is understood.
        known: u64,
    },
    /// A file does not hold what it must.
    #[error(
        "{} is damaged: {what}; nothing was changed: restore the directory from a backup, or \
         move it away to start empty", path.display()
    )]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What was found: table and key, as far as known.
        what: String,
    },
    /// An error of the disk made redb give the file up; whoever met it was told what it was.
    #[error(
        "an earlier error of the disk ended the use of {}, of which nothing is said to be \
         damaged; the log has the error: when its cause is gone, start again", path.display()
    )]
    GivenUp {
        /// The file.
        path: PathBuf,
    },
    /// An earlier write failed; nothing is written or confirmed until the next start.
    #[error("the store has failed: {why}; nothing is confirmed until the broker is started again")]
    Failed {
        /// The first failure.
        why: Arc<str>,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
