//! What unfinished uploads take up.

use std::fmt::{self, Display};
use std::time::SystemTime;

use indicatif::{BinaryBytes, HumanCount};
use regc_core::inspect::uploads::Upload;
use serde::Serialize;

use crate::commands::gc::OLD_UPLOAD;
use crate::process;

/// Unfinished uploads, summed up.
#[derive(Serialize)]
pub struct Unfinished {
    pub count: u64,
    pub bytes: u64,
    /// When the first of them began.
    pub oldest: Option<String>,
    /// How many are old enough for `gc --tidy`.
    pub old: u64,
    /// The bytes of those.
    pub old_bytes: u64,
}

impl Unfinished {
    pub fn of(uploads: &[Upload], now: SystemTime) -> Self {
        let before = now.checked_sub(OLD_UPLOAD).unwrap_or(SystemTime::UNIX_EPOCH);
        let old = || uploads.iter().filter(|upload| upload.is_abandoned(before));
        Self {
            count: uploads.len() as u64,
            bytes: uploads.iter().map(|upload| upload.bytes).sum(),
            oldest: uploads.iter().map(|upload| upload.began).min().map(process::time),
            old: old().count() as u64,
            old_bytes: old().map(|upload| upload.bytes).sum(),
        }
    }
}

/// `5.00 GiB in 2 unfinished uploads, the first begun 2024-01-05T10:00:00Z; regc gc --tidy deletes 1 of them, 3.00 GiB`.
impl Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uploads = if self.count == 1 { "upload" } else { "uploads" };
        write!(f, "{} in {} unfinished {uploads}", BinaryBytes(self.bytes), HumanCount(self.count))?;
        if let Some(oldest) = &self.oldest {
            write!(f, ", {}begun {oldest}", if self.count == 1 { "" } else { "the first " })?;
        }
        match self.old {
            0 => write!(f, ", none of them older than 7 days"),
            old if old == self.count => write!(f, ", which `regc gc --tidy` deletes"),
            old => write!(f, "; `regc gc --tidy` deletes {} of them, {}", HumanCount(old), BinaryBytes(self.old_bytes)),
        }
    }
}
