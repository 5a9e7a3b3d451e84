//! The lock of a store in a directory.
//!
//! The lock is on the directory of the layout itself, not on a file in it: a full disk has no room for a file, and
//! that is when regc is needed. The system releases such a lock when its process ends, however it ends. A separate
//! file records the holder, if there is room for it. If there is none, the directory provides the storage's time.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use crate::storage::{Content, ReadStorage};
use rustix::fs::{CWD, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;

use super::{FilesystemStorage, absent_is_fine};
use crate::digest::Algorithm;
use crate::error::Error;
use crate::registry::layout;
use crate::storage::lock::{Holder, Lock};

/// Longer than a tick of the kernel's clock for files: 10 ms at most on Linux, where it is not exact.
const TICK: Duration = Duration::from_millis(12);

/// More bytes than the record of a holder can have.
const NOTE_BYTES: u64 = 4096;

/// What is locked, and the file that records by which process.
struct Held {
    /// The directory of the layout, then those in it that another store may also reach.
    _locked: Vec<File>,
    note: Option<PathBuf>,
    /// regc's own directory.
    own: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(note) = &self.note {
            // A file that is left over means nothing: only the lock counts.
            fs::remove_file(note).ok();
        }
        // The directory stays if anything is in it.
        fs::remove_dir(&self.own).ok();
    }
}

impl FilesystemStorage {
    pub(super) fn take_lock(&self, holder: &Holder) -> Result<Lock, Error> {
        let fail = |error| self.error("lock", "", error);
        // The same store may be reached from several roots.
        let layout = self.path(layout::ROOT);
        let directory = File::open(if layout.is_dir() { &layout } else { &self.root }).map_err(fail)?;
        match directory.try_lock() {
            Ok(()) => {
                let mut locked = vec![directory];
                locked.extend(self.lock_what_may_be_linked()?);
                sleep(TICK);
                let noted = self.note(holder);
                let note = noted.is_ok().then(|| self.path(layout::LOCK));
                let since = noted.or_else(|_| touch(&locked[0])).unwrap_or_else(|_| SystemTime::now());
                Ok(Lock::new(since, Held { _locked: locked, note, own: self.path(layout::OWN) }))
            }
            Err(TryLockError::WouldBlock) => Err(self.locked()),
            Err(TryLockError::Error(error)) => match Errno::from_io_error(&error) {
                Some(Errno::BADF | Errno::INVAL | Errno::OPNOTSUPP) => self.take_lock_of_file(holder),
                _ => Err(fail(error)),
            },
        }
    }

    /// Locks the directories of blobs and of repositories where they really are: another store may reach the same
    /// directories through symbolic links. No process waits for a lock, so the order does not matter.
    fn lock_what_may_be_linked(&self) -> Result<Vec<File>, Error> {
        let mut seen = HashSet::new();
        let mut locked = Vec::new();
        for key in self.what_may_be_linked()? {
            let directory = match File::open(self.path(&key)) {
                Err(error) if super::is_absent(&error) && self.path(&key).is_symlink() => {
                    return Err(Error::BrokenSymlink(key));
                }
                Err(error) if super::is_absent(&error) => continue,
                opened => opened.map_err(|error| self.error("lock", &key, error))?,
            };
            let found = directory.metadata().map_err(|error| self.error("lock", &key, error))?;
            // A directory with two names would be locked out by itself.
            if !seen.insert((found.dev(), found.ino())) {
                continue;
            }
            match directory.try_lock() {
                Ok(()) => locked.push(directory),
                Err(TryLockError::WouldBlock) => return Err(self.locked()),
                Err(TryLockError::Error(error)) => match Errno::from_io_error(&error) {
                    Some(Errno::BADF | Errno::INVAL | Errno::OPNOTSUPP) => {}
                    _ => return Err(self.error("lock", &key, error)),
                },
            }
        }
        Ok(locked)
    }

    /// Returns the directories of all blobs and of all repositories, and those below that are symbolic links.
    fn what_may_be_linked(&self) -> Result<Vec<String>, Error> {
        let mut keys = vec![layout::BLOBS.to_owned(), layout::REPOSITORIES.to_owned()];
        for blobs in Algorithm::ALL.map(layout::blobs) {
            keys.extend(self.path(&blobs).is_symlink().then(|| blobs.clone()));
            self.list(&blobs, &mut |entry| {
                let is_linked = entry.symlink && layout::is_shard(entry.name);
                keys.extend(is_linked.then(|| format!("{blobs}/{}", entry.name)));
            })?;
        }
        Ok(keys)
    }

    /// Locks a file: some file systems, such as NFS, lock nothing but writable files. The file stays where it is: if
    /// it were removed, another process could lock a new one of the same name.
    fn take_lock_of_file(&self, holder: &Holder) -> Result<Lock, Error> {
        let fail = |error| self.error("lock", layout::LOCK, error);
        let path = self.own(layout::LOCK).map_err(fail)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(CWD, &path, flags, Mode::from_raw_mode(0o644)).map_err(|error| fail(error.into()))?;
        let file = File::from(file);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(self.locked()),
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let mut locked = vec![file];
        locked.extend(self.lock_what_may_be_linked()?);
        sleep(TICK);
        let file = &locked[0];
        let noted = file.set_len(0).and_then(|()| write_note(file, holder));
        Ok(Lock::new(
            noted.unwrap_or_else(|_| SystemTime::now()),
            Held { _locked: locked, note: None, own: self.path(layout::OWN) },
        ))
    }

    /// Records the holder of the lock, and returns the time of that by the storage's clock.
    fn note(&self, holder: &Holder) -> io::Result<SystemTime> {
        let path = self.own(layout::LOCK)?;
        // Always a new file: never what was there before, and never through a symbolic link.
        absent_is_fine(fs::remove_file(&path))?;
        let noted = write_note(&OpenOptions::new().write(true).create_new(true).open(&path)?, holder);
        if noted.is_err() {
            fs::remove_file(&path).ok();
        }
        noted
    }

    /// Returns the path of a file in regc's own directory, which is created if it does not exist.
    fn own(&self, key: &str) -> io::Result<PathBuf> {
        self.make_beneath(layout::OWN, false)?;
        Ok(self.path(key))
    }

    fn locked(&self) -> Error {
        let note = match self.read(layout::LOCK, NOTE_BYTES) {
            Ok(Some(Content::Whole(text))) => text,
            _ => Vec::new(),
        };
        let holder = serde_json::from_slice(&note).ok();
        let holder = holder.map_or_else(|| "another regc".to_owned(), |holder: Holder| holder.to_string());
        Error::Locked { path: self.root.display().to_string(), holder }
    }
}

/// Sets a directory's time to now by the storage's clock, and returns that time. The time of the layout's directory
/// means nothing.
fn touch(directory: &File) -> io::Result<SystemTime> {
    let [kept, now] = [UTIME_OMIT, UTIME_NOW].map(|tv_nsec| Timespec { tv_sec: 0, tv_nsec });
    rustix::fs::futimens(directory, &Timestamps { last_access: kept, last_modification: now })?;
    directory.metadata()?.modified()
}

fn write_note(mut file: &File, holder: &Holder) -> io::Result<SystemTime> {
    file.write_all(&serde_json::to_vec(holder)?)?;
    file.metadata()?.modified()
}
