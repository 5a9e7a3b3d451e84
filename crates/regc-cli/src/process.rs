//! What a command needs to know of the process and the time.

use std::time::SystemTime;

use jiff::Timestamp;
use regc_core::Error;

use crate::interruption::Interruption;

/// Notes signals from now on.
pub fn watch() -> Result<Interruption, Error> {
    let fail = |source| Error::Storage { action: "watch", path: "signals".to_owned(), source };
    Interruption::watch().map_err(fail)
}

/// A time as people and programs read it: `2026-11-21T03:15:02Z`.
pub fn time(time: SystemTime) -> String {
    format!("{:.0}", timestamp(time))
}

fn timestamp(time: SystemTime) -> Timestamp {
    // Beyond the year 9999, any time does.
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
