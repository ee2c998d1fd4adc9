//! Where the files live: a directory, or in tests a disk that forgets what was not synced.
//!
//! * [`Disk`] is the seam: names, files, and the moment at which either is safe.
//! * [`Directory`] is the real one. It holds the data directory's lock for as long as it lives,
//!   and counts what is written.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    ops::Bound,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use redb::{BackendError, StorageBackend, backends::FileBackend};

use super::{config::SyncMode, error::StoreError};
use crate::{clock, histogram::Histogram};

/// The file whose lock says that a process uses the directory.
const LOCK_NAME: &str = "lock";

/// Whether a file's contents have to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Safety {
    /// Synced as the configuration says.
    Durable,
    /// Never synced: thrown away at the next start.
    Scratch,
}

/// A place for named files.
pub(super) trait Disk: fmt::Debug + Send + Sync {
    /// What error messages call the place.
    fn path(&self) -> &Path;
    /// The names of all files.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Opens a file, or creates it empty.
    fn open(&self, name: &str, safety: Safety) -> io::Result<Backend>;
    /// Gives a file another name, in place of the file that has it. Safe once it returns.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file, if it is there.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Returns once every name created so far is safe.
    fn sync_names(&self) -> io::Result<()>;
    /// What was done to its files so far.
    fn counts(&self) -> &DiskCounts;
    /// Bytes of all files.
    fn file_bytes(&self) -> u64;
}

/// What is done to the files of a disk.
#[derive(Debug)]
pub(super) struct DiskCounts {
    /// Bytes written.
    pub(super) written: AtomicU64,
    /// How long each sync of a file took.
    pub(super) syncs: Histogram,
}

impl Default for DiskCounts {
    fn default() -> Self {
        Self { written: AtomicU64::new(0), syncs: Histogram::of_time() }
    }
}

/// A directory of the file system, locked for this process.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    sync: SyncMode,
    counts: Arc<DiskCounts>,
    _lock: File,
}

impl Directory {
    /// Opens the directory, creating it when missing, and takes its lock.
    pub(super) fn open(path: &Path, sync: SyncMode) -> Result<Self, StoreError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Unreadable { path, source }
        };
        fs::create_dir_all(path).map_err(unreadable(path))?;
        let lock_path = path.join(LOCK_NAME);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(unreadable(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { dir: path.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(unreadable(&lock_path)(source)),
        }
        Ok(Self { path: path.to_owned(), sync, counts: Arc::default(), _lock: lock })
    }
}

impl Disk for Directory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, name: &str, safety: Safety) -> io::Result<Backend> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            // Messages and password hashes, in a directory that somebody else may have made.
            .mode(0o600)
            .open(self.path.join(name))?;
        let syncs = safety == Safety::Durable && self.sync != SyncMode::Off;
        let inner = FileBackend::new(file).map_err(io::Error::other)?;
        let counts = Arc::clone(&self.counts);
        Ok(Backend { inner: Box::new(inner), syncs, counts, bytes: Arc::default() })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))?;
        self.sync_names()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn sync_names(&self) -> io::Result<()> {
        // Elsewhere a directory cannot be opened as a file, and need not be.
        if cfg!(unix) { File::open(&self.path)?.sync_all() } else { Ok(()) }
    }

    fn counts(&self) -> &DiskCounts {
        &self.counts
    }

    fn file_bytes(&self) -> u64 {
        let Ok(entries) = fs::read_dir(&self.path) else { return 0 };
        entries.flatten().filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum()
    }
}

/// A file as redb sees it: counts what is written, and syncs as it was told.
#[derive(Debug)]
pub(super) struct Backend {
    inner: Box<dyn StorageBackend>,
    /// Whether a sync is one.
    syncs: bool,
    counts: Arc<DiskCounts>,
    /// Bytes of the file, once it was asked for or changed.
    bytes: Arc<AtomicU64>,
}

impl Backend {
    /// Where to find the file's length, from when redb has asked for it or changed it.
    pub(super) fn bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes)
    }

    /// A file that syncs whenever it is asked to.
    #[cfg(test)]
    pub(super) fn new(inner: impl StorageBackend, counts: Arc<DiskCounts>) -> Self {
        Self { inner: Box::new(inner), syncs: true, counts, bytes: Arc::default() }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        let len = self.inner.len()?;
        self.bytes.store(len, Ordering::Relaxed);
        Ok(len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)?;
        self.bytes.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if !self.syncs {
            return Ok(());
        }
        let start = clock::now();
        self.inner.sync_data()?;
        self.counts.syncs.add_time(clock::now().since(start));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.counts.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
