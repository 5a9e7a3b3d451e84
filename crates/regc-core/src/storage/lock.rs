//! One writer at a time: a program must hold the lock of a store to change it.

use std::fmt;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DeleteStorage, ReadStorage, TrashStorage};
use crate::error::Error;

/// The process that holds the lock of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The name of the program; empty if it is unknown.
    #[serde(default)]
    pub program: String,
    /// The process ID.
    pub pid: u32,
    /// The name of the machine.
    pub host: String,
    /// When it began, in human-readable form.
    pub since: String,
}

impl Holder {
    /// Describes this process, of a program with this name, on this machine, as of now.
    pub fn new(program: &str) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let since = format!("{:.0}", Timestamp::now());
        Self { program: program.to_owned(), pid: std::process::id(), host, since }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, pid, host, since } = self;
        match &**program {
            "" => write!(f, "process {pid} on {host}, since {since}"),
            program => write!(f, "process {pid} ({program}) on {host}, since {since}"),
        }
    }
}

/// The right to change a store, until this is dropped or the process ends.
pub struct Lock {
    since: SystemTime,
    _held: Box<dyn Send + Sync>,
}

impl Lock {
    /// Creates a lock that is held until `held` is dropped. `since` is a time of the storage's clock: what is written
    /// later is not older, and what was written before is older, as far as the storage's times are fine enough.
    pub fn new(since: SystemTime, held: impl Send + Sync + 'static) -> Self {
        Self { since, _held: Box::new(held) }
    }

    /// Returns when the lock was taken, by the storage's clock.
    pub fn since(&self) -> SystemTime {
        self.since
    }
}

/// A storage that this process has locked, as required to change it.
pub struct Locked<'s> {
    storage: &'s dyn DeleteStorage,
    lock: Lock,
}

impl<'s> Locked<'s> {
    /// Locks a storage for the holder, until this is dropped.
    ///
    /// Fails with [`Error::Locked`] while another process holds the lock.
    pub fn take(storage: &'s dyn DeleteStorage, holder: &Holder) -> Result<Self, Error> {
        Ok(Self { storage, lock: storage.lock(holder)? })
    }

    /// Returns when the lock was taken, by the storage's clock.
    pub fn since(&self) -> SystemTime {
        self.lock.since()
    }

    /// Returns the storage, to change it.
    pub(crate) fn storage(&self) -> &'s dyn DeleteStorage {
        self.storage
    }

    /// Returns the storage, to move objects in it.
    ///
    /// Fails with [`Error::NoTrash`] if it has no trash.
    pub(crate) fn trash(&self) -> Result<&'s dyn TrashStorage, Error> {
        self.storage.as_trash().ok_or(Error::NoTrash)
    }
}

/// What a call may do with a storage.
#[derive(Clone, Copy)]
pub enum Access<'a> {
    /// Read it: a dry run.
    Read(&'a dyn ReadStorage),
    /// Change it.
    Change(&'a Locked<'a>),
}

impl<'a> Access<'a> {
    /// Returns the storage, to read.
    pub fn storage(self) -> &'a dyn ReadStorage {
        match self {
            Self::Read(storage) => storage,
            Self::Change(locked) => locked.storage,
        }
    }

    /// Returns the locked storage, if it may be changed.
    pub(crate) fn locked(self) -> Option<&'a Locked<'a>> {
        match self {
            Self::Read(_) => None,
            Self::Change(locked) => Some(locked),
        }
    }
}
