//! One writer at a time: a program that changes a store holds its lock.

use std::fmt;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// When it began, human-readable.
    pub since: String,
}

impl Holder {
    /// Describes this process, for a program of that name, on this machine, from now on.
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

/// The right to change a store. It ends when this is dropped, or with the process.
pub struct Lock {
    since: SystemTime,
    _held: Box<dyn Send + Sync>,
}

impl Lock {
    /// Creates a lock that is held until `held` is dropped, since a time by the storage's clock: what is written
    /// later is not older than that, and what was written before is older, as far as the storage can tell the two
    /// apart.
    pub fn new(since: SystemTime, held: impl Send + Sync + 'static) -> Self {
        Self { since, _held: Box::new(held) }
    }

    /// Returns when the lock was taken, by the storage's clock.
    pub fn since(&self) -> SystemTime {
        self.since
    }
}
