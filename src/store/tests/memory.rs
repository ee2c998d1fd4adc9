//! A disk that keeps a log of what was done to it, and can say what a crash at any point of it
//! may have left.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use redb::StorageBackend;

use crate::store::{
    disk::{Backend, Disk, DiskCounts, Safety},
    watermark::lock,
};

/// Bytes that a disk writes as one.
const SECTOR: usize = 512;

/// What was done to the disk.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Create(String, usize),
    /// The new name, and the file that gets it.
    Rename(String, String, usize),
    Remove(String),
    SyncNames,
    Write(usize, u64, Arc<[u8]>),
    SetLen(usize, u64),
    Sync(usize),
}

/// An event and what the store had promised when it began.
#[derive(Clone, Debug)]
pub(super) struct Logged {
    pub(super) event: Event,
    pub(super) confirmed: u64,
}

/// What of the events since the last sync a crash leaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// Everything not synced is lost.
    All,
    /// Nothing is: the process died, the machine did not.
    Nothing,
    /// Each sector of each write is lost or not, by this seed; so is each change of length.
    Some(u64),
}

type Promise = Box<dyn Fn() -> u64 + Send>;

#[derive(Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    log: Vec<Logged>,
    is_logging: bool,
    promise: Option<Promise>,
    /// The event from which on everything fails.
    fails_at: Option<usize>,
    events: usize,
    error: Option<io::ErrorKind>,
}

/// A disk in memory. Cloning shares it.
#[derive(Clone, Default)]
pub(super) struct MemoryDisk {
    state: Arc<Mutex<State>>,
    counts: Arc<DiskCounts>,
}

impl std::fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryDisk")
    }
}

impl State {
    fn note(&mut self, event: Event) -> io::Result<()> {
        self.events += 1;
        if self.fails_at.is_some_and(|at| self.events > at) {
            let kind = self.error.unwrap_or(io::ErrorKind::Other);
            return Err(io::Error::new(kind, "the disk was told to fail"));
        }
        if self.is_logging {
            let confirmed = self.promise.as_ref().map_or(0, |promise| promise());
            self.log.push(Logged { event, confirmed });
        }
        Ok(())
    }
}

impl MemoryDisk {
    /// A disk with these files.
    pub(super) fn with(files: BTreeMap<String, Vec<u8>>) -> Self {
        let disk = Self::default();
        {
            let mut state = lock(&disk.state);
            for (name, bytes) in files {
                let id = state.files.len();
                state.names.insert(name, id);
                state.files.push(bytes);
            }
        }
        disk
    }

    /// Logs events from here on, each with what `promise` says at that moment.
    pub(super) fn log(&self, promise: impl Fn() -> u64 + Send + 'static) {
        let mut state = lock(&self.state);
        state.promise = Some(Box::new(promise));
        state.is_logging = true;
    }

    /// Logs events that happen before there is a store.
    pub(super) fn log_opening(&self) {
        lock(&self.state).is_logging = true;
    }

    /// Events logged so far.
    pub(super) fn log_len(&self) -> usize {
        lock(&self.state).log.len()
    }

    /// Ends logging and returns the log.
    pub(super) fn take_log(&self) -> Vec<Logged> {
        let mut state = lock(&self.state);
        state.is_logging = false;
        state.promise = None;
        std::mem::take(&mut state.log)
    }

    /// Makes every event behind the next `count` fail.
    pub(super) fn fail_after(&self, count: usize, error: io::ErrorKind) {
        let mut state = lock(&self.state);
        state.fails_at = Some(state.events + count);
        state.error = Some(error);
    }

    /// Ends the failing.
    pub(super) fn heal(&self) {
        lock(&self.state).fails_at = None;
    }

    /// The files as they are.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = lock(&self.state);
        state.names.iter().map(|(name, &id)| (name.clone(), state.files[id].clone())).collect()
    }
}

/// What a crash at the end of `log` leaves of a disk that held `before`.
pub(super) fn after_crash(
    before: &BTreeMap<String, Vec<u8>>,
    log: &[Logged],
    loss: Loss,
) -> BTreeMap<String, Vec<u8>> {
    let mut random = match loss {
        Loss::Some(seed) => Random(seed | 1),
        _ => Random(1),
    };
    let mut keeps = || match loss {
        Loss::All => false,
        Loss::Nothing => true,
        Loss::Some(_) => random.next() & 1 == 0,
    };
    // Where each file's events are safe up to, and where the names are.
    let mut synced: BTreeMap<usize, usize> = BTreeMap::new();
    let mut names_synced = 0;
    for (at, logged) in log.iter().enumerate() {
        match &logged.event {
            Event::Sync(file) => drop(synced.insert(*file, at)),
            Event::SyncNames => names_synced = at,
            _ => {}
        }
    }
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut files: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    for (id, (name, bytes)) in before.iter().enumerate() {
        names.insert(name.clone(), id);
        files.insert(id, bytes.clone());
    }
    for (at, logged) in log.iter().enumerate() {
        let is_safe = |file: &usize| synced.get(file).is_some_and(|&sync| at < sync);
        match &logged.event {
            Event::Create(name, id) => {
                if at < names_synced || keeps() {
                    names.insert(name.clone(), *id);
                }
                files.entry(*id).or_default();
            }
            Event::Remove(name) => {
                if at < names_synced || keeps() {
                    names.remove(name);
                }
            }
            Event::Rename(from, to, id) => {
                if at < names_synced || keeps() {
                    names.remove(from);
                    names.insert(to.clone(), *id);
                }
            }
            Event::SetLen(file, len) => {
                if is_safe(file) || keeps() {
                    files.entry(*file).or_default().resize(*len as usize, 0);
                }
            }
            Event::Write(file, offset, bytes) => {
                let is_safe = is_safe(file);
                let contents = files.entry(*file).or_default();
                for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                    if is_safe || keeps() {
                        let start = *offset as usize + number * SECTOR;
                        let end = start + sector.len();
                        if contents.len() < end {
                            contents.resize(end, 0);
                        }
                        contents[start..end].copy_from_slice(sector);
                    }
                }
            }
            Event::Sync(_) | Event::SyncNames => {}
        }
    }
    let file = |id: usize| files.get(&id).cloned().unwrap_or_default();
    names.into_iter().map(|(name, id)| (name, file(id))).collect()
}

impl Disk for MemoryDisk {
    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.state).names.keys().cloned().collect())
    }

    fn open(&self, name: &str, safety: Safety) -> io::Result<Backend> {
        let mut state = lock(&self.state);
        let id = if let Some(&id) = state.names.get(name) {
            id
        } else {
            let id = state.files.len();
            state.note(Event::Create(name.to_owned(), id))?;
            state.files.push(Vec::new());
            state.names.insert(name.to_owned(), id);
            id
        };
        let file = MemoryFile { disk: self.clone(), id, safety };
        Ok(Backend::new(file, Arc::clone(&self.counts)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        {
            let mut state = lock(&self.state);
            if let Some(&id) = state.names.get(from) {
                state.note(Event::Rename(from.to_owned(), to.to_owned(), id))?;
                state.names.remove(from);
                state.names.insert(to.to_owned(), id);
            }
        }
        self.sync_names()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.names.contains_key(name) {
            state.note(Event::Remove(name.to_owned()))?;
            state.names.remove(name);
        }
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        lock(&self.state).note(Event::SyncNames)
    }

    fn counts(&self) -> &DiskCounts {
        &self.counts
    }

    fn file_bytes(&self) -> u64 {
        let state = lock(&self.state);
        state.names.values().map(|&id| state.files[id].len() as u64).sum()
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    id: usize,
    safety: Safety,
}

impl StorageBackend for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.disk.state).files[self.id].len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = lock(&self.disk.state);
        let start = offset as usize;
        let bytes = state.files[self.id].get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = lock(&self.disk.state);
        state.note(Event::SetLen(self.id, len))?;
        state.files[self.id].resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.safety {
            Safety::Durable => lock(&self.disk.state).note(Event::Sync(self.id)),
            Safety::Scratch => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.disk.state);
        state.note(Event::Write(self.id, offset, data.into()))?;
        let (start, end) = (offset as usize, offset as usize + data.len());
        let contents = &mut state.files[self.id];
        if contents.len() < end {
            contents.resize(end, 0);
        }
        contents[start..end].copy_from_slice(data);
        Ok(())
    }
}

/// Numbers that look random and are the same every time.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
