//! What the store can be told: where it lives, when it syncs, and every one of its limits (R8).

use std::{path::PathBuf, time::Duration};

/// When written data is forced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// Before the watermark moves: what was confirmed survives a loss of power.
    #[default]
    Always,
    /// At this interval. The last interval's confirmed messages may be lost with the process or
    /// the power; nothing older is.
    Interval(Duration),
    /// When the operating system pleases. What was confirmed survives the end of the process, but
    /// a loss of power may damage the files.
    Off,
}

/// The store's settings. `StoreConfig::new(dir)` gives the defaults.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The data directory. Created when missing.
    pub dir: PathBuf,
    /// When written data is forced to the disk.
    pub sync: SyncMode,
    /// Bytes of operations that may wait to be written before [`Store::is_full`] says so.
    ///
    /// [`Store::is_full`]: super::Store::is_full
    pub inbox_bytes_max: usize,
    /// Bytes of the hot file's contents that are kept in memory. The other files add up to 24 MiB
    /// and 256 KiB for each cold segment.
    pub cache_bytes: usize,
    /// Bytes of messages in the hot file from which on the oldest move to a cold segment. Opening
    /// after a crash reads the hot file.
    pub hot_bytes_max: u64,
    /// Bytes of fresh messages in one batch from which on they go straight to a cold segment when
    /// the hot file has no room for them.
    pub direct_bytes_min: usize,
    /// The size at which a cold segment is sealed, when it is not to be chosen by the store.
    pub segment_bytes: Option<u64>,
    /// How long operations that nobody waits for may gather company before they are written.
    pub linger: Duration,
    /// Bytes of such operations that are written without waiting any longer.
    pub linger_bytes_max: usize,
}

impl StoreConfig {
    /// The default settings for a store in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            sync: SyncMode::Always,
            inbox_bytes_max: 32 * 1024 * 1024,
            cache_bytes: 32 * 1024 * 1024,
            hot_bytes_max: 64 * 1024 * 1024,
            direct_bytes_min: 512 * 1024,
            segment_bytes: None,
            linger: Duration::from_millis(5),
            linger_bytes_max: 1024 * 1024,
        }
    }
}
