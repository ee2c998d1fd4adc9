//! The file with the process id, for those who wait for the broker by it (EN-008, EN-066).

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

/// A written file. Removed when it is dropped.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes the file, and the directories that it is in if need be.
    pub(super) fn write(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(path, format!("{}\n", process::id()))?;
        Ok(Self(path.into()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "the pid file is still there");
        }
    }
}
