//! Signals and times, for all commands.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use jiff::Timestamp;
use regc_core::Error;

use crate::interruption::Interruption;

/// Starts to watch for signals.
pub fn watch() -> Result<Interruption, Error> {
    let fail = |source| Error::Storage { action: "watch", path: "signals".to_owned(), source };
    Interruption::watch().map_err(fail)
}

/// Returns the number of the user that this process runs as, if the system tells.
pub fn user() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|process| process.uid())
}

/// Formats a time, human-readable and machine-readable: `2026-11-21T03:15:02Z`.
pub fn time(time: SystemTime) -> String {
    format!("{:.0}", timestamp(time))
}

/// Parses a time as clients write it: RFC 3339, in any time zone.
pub fn parse_time(text: &str) -> Option<SystemTime> {
    text.parse().ok().map(|time: Timestamp| time.into())
}

fn timestamp(time: SystemTime) -> Timestamp {
    // Beyond the year 9999, any time will do.
    Timestamp::try_from(time).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_whole_seconds() {
        let started = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_000_999);
        assert_eq!(time(started), "2001-09-09T01:46:40Z");
    }
}
