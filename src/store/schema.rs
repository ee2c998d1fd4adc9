//! The tables of the files, and one file opened as a database.
//!
//! | file | tables |
//! | --- | --- |
//! | `hot.redb` | records, pages, chunks, states, heads, segments, meta |
//! | `cold-N.redb` | pages, chunks, index, meta |
//! | `spill.redb` | pages, chunks, states |

use std::{
    fmt::Debug,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use redb::{
    CompactionError, Database, Durability, ReadTransaction, ReadableDatabase, TableDefinition,
    WriteTransaction,
};

use super::{
    disk::{Disk, Safety},
    error::StoreError,
    page::Malformed,
    panic_text,
};

/// The version of the files' format.
pub(super) const FORMAT: u64 = 2;

/// A page's key: queue, first place.
pub(super) type PageKey = (u64, u64);
/// A body row's key: queue, place, number.
pub(super) type ChunkKey = (u64, u64, u32);
/// A state row's key: where the page lies, queue, first place.
pub(super) type StateKey = (u64, u64, u64);

/// Rows of records: kind and key.
pub(super) const RECORDS: TableDefinition<'_, (u8, &[u8]), &[u8]> = TableDefinition::new("records");
/// Pages of messages.
pub(super) const PAGES: TableDefinition<'_, PageKey, &[u8]> = TableDefinition::new("pages");
/// Bodies that have rows of their own.
pub(super) const CHUNKS: TableDefinition<'_, ChunkKey, &[u8]> = TableDefinition::new("chunks");
/// What has happened to pages since they were written.
pub(super) const STATES: TableDefinition<'_, StateKey, &[u8]> = TableDefinition::new("states");
/// What recovery reads of cold pages.
pub(super) const INDEX: TableDefinition<'_, PageKey, &[u8]> = TableDefinition::new("index");
/// Per queue: everything below this place is settled.
pub(super) const HEADS: TableDefinition<'_, u64, u64> = TableDefinition::new("heads");
/// The cold segments that count.
pub(super) const SEGMENTS: TableDefinition<'_, u64, u64> = TableDefinition::new("segments");
/// Single numbers, by name.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The row of [`META`] that holds [`FORMAT`].
pub(super) const META_FORMAT: &str = "format";
/// The row of [`META`] that holds the number of the last append to a segment that counts.
pub(super) const META_APPENDS: &str = "appends";
/// The row of [`META`] that holds the number of the next cold segment.
pub(super) const META_NEXT_SEGMENT: &str = "next_segment";

/// What went wrong inside a file.
#[derive(Debug)]
pub(super) enum Fault {
    /// redb says so.
    Redb(Box<redb::Error>),
    /// A row does not hold what it must.
    Row { table: &'static str, key: String },
    /// The program that reads the file has a limit or an error that the file hit.
    Panic(String),
    /// The format is of another version.
    Version(u64),
    /// The file is closed.
    Closed,
}

impl Fault {
    /// A row that makes no sense.
    pub(super) fn row(table: &'static str, key: impl Debug) -> Self {
        Self::Row { table, key: format!("{key:?}") }
    }

    /// The same, as a closure for `map_err`.
    pub(super) fn at(table: &'static str, key: impl Debug) -> impl FnOnce(Malformed) -> Self {
        move |Malformed| Self::row(table, key)
    }

    /// The error as the store's callers see it.
    pub(super) fn of(self, path: PathBuf) -> StoreError {
        match self {
            Self::Redb(error) => match *error {
                redb::Error::DatabaseAlreadyOpen => {
                    let dir = path.parent().map_or_else(|| path.clone(), PathBuf::from);
                    StoreError::Locked { dir }
                }
                // redb reports in this way that a file is none of its own, or too short.
                redb::Error::Io(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                    ) =>
                {
                    StoreError::Damaged { path, what: e.to_string() }
                }
                redb::Error::Io(source) => StoreError::of_io(path, source),
                redb::Error::PreviousIo => StoreError::GivenUp { path },
                redb::Error::UpgradeRequired(found) => {
                    StoreError::Version { path, found: u64::from(found), known: FORMAT }
                }
                error => StoreError::Damaged { path, what: error.to_string() },
            },
            Self::Row { table, key } => StoreError::Damaged {
                path,
                what: format!("table {table}, key {key}: the row makes no sense"),
            },
            Self::Panic(what) => StoreError::Damaged { path, what },
            Self::Version(found) => StoreError::Version { path, found, known: FORMAT },
            Self::Closed => StoreError::Closed,
        }
    }
}

impl StoreError {
    /// An error of the file system about `path`.
    pub(super) fn of_io(path: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Unreadable { path, source },
        }
    }
}

macro_rules! faults_from {
    ($($error:ty),*) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Redb(Box::new(error.into()))
            }
        })*
    };
}
faults_from!(
    redb::Error,
    redb::StorageError,
    redb::TableError,
    redb::DatabaseError,
    redb::TransactionError,
    redb::CommitError,
    redb::SetDurabilityError,
    CompactionError,
    io::Error
);

/// How a transaction is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    /// Safe once it returns.
    Safe,
    /// The same, and the file opens at once after a crash.
    QuicklyRepaired,
    /// Safe with the next safe one; until then a crash undoes it.
    Loose,
}

/// One file of the store.
#[derive(Debug)]
pub(super) struct Volume {
    /// There until the volume is dropped.
    db: Option<Database>,
    path: PathBuf,
    bytes: Arc<AtomicU64>,
}

impl Volume {
    /// Opens a file, or creates it, with a bounded cache.
    pub(super) fn open(
        disk: &dyn Disk,
        name: &str,
        safety: Safety,
        cache_bytes: usize,
    ) -> Result<Self, StoreError> {
        let path = disk.path().join(name);
        let backend =
            disk.open(name, safety).map_err(|source| StoreError::of_io(path.clone(), source))?;
        let bytes = backend.bytes();
        let db = guarded(|| {
            let mut builder = Database::builder();
            Ok(builder.set_cache_size(cache_bytes).create_with_backend(backend)?)
        });
        match db {
            Ok(db) => Ok(Self { db: Some(db), path, bytes }),
            Err(fault) => Err(fault.of(path)),
        }
    }

    fn db(&self) -> Result<&Database, Fault> {
        self.db.as_ref().ok_or(Fault::Closed)
    }

    /// Bytes of the file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Moves what is in the file to its front and cuts off the rest, unless it is being read.
    pub(super) fn compact(&mut self) -> Result<(), StoreError> {
        let compacted = guarded(|| match self.db.as_mut().ok_or(Fault::Closed)?.compact() {
            Ok(_) | Err(CompactionError::TransactionInProgress) => Ok(()),
            Err(error) => Err(Fault::from(error)),
        });
        compacted.map_err(|fault| fault.of(self.path.clone()))
    }

    /// Runs `work` in a read transaction.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        guarded(|| work(&self.db()?.begin_read()?)).map_err(|fault| self.error(fault))
    }

    /// Begins a read transaction.
    pub(super) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        guarded(|| Ok(self.db()?.begin_read()?)).map_err(|fault| self.error(fault))
    }

    /// The error of a fault in this file.
    pub(super) fn error(&self, fault: Fault) -> StoreError {
        fault.of(self.path.clone())
    }

    /// Runs `work` in a write transaction and commits it.
    pub(super) fn write(
        &self,
        commit: Commit,
        work: impl FnOnce(&WriteTransaction) -> Result<(), Fault>,
    ) -> Result<(), StoreError> {
        guarded(|| {
            let mut txn = self.db()?.begin_write()?;
            txn.set_quick_repair(commit == Commit::QuicklyRepaired);
            if commit == Commit::Loose {
                txn.set_durability(Durability::None)?;
            }
            work(&txn)?;
            Ok(txn.commit()?)
        })
        .map_err(|fault| self.error(fault))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // redb writes when it closes a file, and so reads it: of a damaged one nobody needs to
        // hear more than what was found before.
        let db = self.db.take();
        let _ = guarded(|| {
            drop(db);
            Ok(())
        });
    }
}

/// Runs `work`; a panic in it, which a damaged file can cause in redb, is a fault.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Fault::Panic(panic_text(&*panic).to_owned())))
}
