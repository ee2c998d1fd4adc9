//! The limits of memory and disk beyond which publishers wait.

use std::path::{Path, PathBuf};

use tokio::sync::watch;

use crate::{
    config::{Config, DiskLimit, MemoryLimit, Size},
    machine,
};

/// The limits behind the alarms, which may be changed while the server runs (AL-005). Clones are
/// the same limits.
#[derive(Clone, Debug)]
pub struct AlarmLimits {
    limits: watch::Sender<Limits>,
    data_path: PathBuf,
}

/// The limits at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory in use beyond which publishers wait.
    pub memory: MemoryLimit,
    /// Free space on the disk below which they do.
    pub disk_free: Size,
}

impl Limits {
    /// The limit of memory in bytes; none where the system does not say how much there is.
    pub fn memory_bytes(&self) -> Option<u64> {
        match self.memory {
            MemoryLimit::Absolute(size) => Some(size.0),
            MemoryLimit::Percent(0) => Some(0),
            MemoryLimit::Percent(share) => {
                machine::memory_available().map(|bytes| bytes / 100 * u64::from(share))
            }
        }
    }
}

impl AlarmLimits {
    /// The limits that the configuration sets, for the disk of this directory.
    pub fn new(config: &Config, data_path: &Path) -> Self {
        let memory = config.memory_watermark;
        let disk_free = match config.disk_free_limit {
            DiskLimit::Absolute(size) => size,
            // Where the system does not say how much memory there is, there is no limit.
            DiskLimit::PercentOfMemory(share) => Size(
                machine::memory_available()
                    .map_or(0, |bytes| (bytes / 100).saturating_mul(share.into())),
            ),
        };
        let limits = watch::Sender::new(Limits { memory, disk_free });
        Self { limits, data_path: data_path.into() }
    }

    /// Sets the memory in use beyond which publishers wait; 0 makes them wait in any case.
    pub fn set_memory_watermark(&self, watermark: MemoryLimit) {
        self.limits.send_modify(|limits| limits.memory = watermark);
    }

    /// Sets the free space on the disk below which publishers wait.
    pub fn set_disk_free_limit(&self, limit: Size) {
        self.limits.send_modify(|limits| limits.disk_free = limit);
    }

    /// The limits as they are.
    pub fn get(&self) -> Limits {
        *self.limits.borrow()
    }

    /// Sees every change.
    pub fn subscribe(&self) -> watch::Receiver<Limits> {
        self.limits.subscribe()
    }

    /// The directory on whose disk there must be space.
    pub fn data_path(&self) -> &Path {
        &self.data_path
    }
}
