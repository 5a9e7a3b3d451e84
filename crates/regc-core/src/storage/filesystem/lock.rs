//! The lock of a store in a directory.
//!
//! What is locked is the root directory itself, not a file in it: a disk that is full has no room for a file, and that is
//! when regc is needed. The system lets go of such a lock when its process ends, however it ends. Who has it is told by a
//! file beside, where there is room for that.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use super::trash::make_directories;
use super::{FilesystemStorage, absent_is_fine};
use crate::error::Error;
use crate::layout;
use crate::lock::{Holder, Lock};

/// Longer than a kernel's clock for files stands still: 10 ms on Linux at most, where it is not exact.
const TICK: Duration = Duration::from_millis(12);

/// What is locked, and the file that says by whom.
struct Held {
    _locked: File,
    note: Option<PathBuf>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(note) = &self.note {
            // Whatever is left of it says nothing to anybody: the lock is what counts.
            fs::remove_file(note).ok();
            note.parent().map(fs::remove_dir);
        }
    }
}

impl FilesystemStorage {
    pub(super) fn take_lock(&self, holder: &Holder) -> Result<Lock, Error> {
        let path = self.path(layout::LOCK);
        let fail = |error| self.error("lock", "", error);
        let directory = File::open(&self.root).map_err(fail)?;
        let (locked, is_directory) = match directory.try_lock() {
            Ok(()) => (directory, true),
            Err(TryLockError::WouldBlock) => return Err(self.locked()),
            // Some file systems, as NFS, lock nothing but files that can be written.
            Err(TryLockError::Error(_)) => {
                make_directories(path.parent().unwrap_or(&path)).map_err(fail)?;
                let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
                let file = options.map_err(fail)?;
                match file.try_lock() {
                    Ok(()) => (file, false),
                    Err(TryLockError::WouldBlock) => return Err(self.locked()),
                    Err(TryLockError::Error(error)) => return Err(fail(error)),
                }
            }
        };
        sleep(TICK);
        let since = self.note(holder).unwrap_or_else(|_| SystemTime::now());
        // What is locked must not be removed: somebody else may have opened it.
        Ok(Lock::new(since, Held { _locked: locked, note: is_directory.then_some(path) }))
    }

    /// Writes down who has the lock, and answers when that was by the storage's clock.
    fn note(&self, holder: &Holder) -> io::Result<SystemTime> {
        let path = self.path(layout::LOCK);
        make_directories(path.parent().unwrap_or(&path))?;
        // A new file, never what somebody has put there, nor through a symbolic link.
        absent_is_fine(fs::remove_file(&path))?;
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.write_all(&serde_json::to_vec(holder)?)?;
        file.metadata()?.modified()
    }

    fn locked(&self) -> Error {
        let holder = fs::read(self.path(layout::LOCK)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let holder = holder.map_or_else(|| "another regc".to_owned(), |holder: Holder| holder.to_string());
        Error::Locked { path: self.root.display().to_string(), holder }
    }
}
