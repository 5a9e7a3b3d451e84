//! One at a time: whoever changes a store has its lock.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Who has the lock of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The number of the process.
    pub pid: u32,
    /// The name of the machine.
    pub host: String,
    /// When it began, as people write times.
    pub since: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}, since {}", self.pid, self.host, self.since)
    }
}

/// The right to change a store. It ends when this is dropped, or with the process.
pub struct Lock {
    since: SystemTime,
    _held: Box<dyn Send + Sync>,
}

impl Lock {
    /// A lock that is had while `held` is not dropped, since a time by the storage's clock: what is written later is not
    /// older than that, and what was written before is older, as far as the storage can tell the two apart.
    pub fn new(since: SystemTime, held: impl Send + Sync + 'static) -> Self {
        Self { since, _held: Box::new(held) }
    }

    /// Since when, by the storage's clock.
    pub fn since(&self) -> SystemTime {
        self.since
    }
}
