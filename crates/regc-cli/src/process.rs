//! What a command needs to know of the process and the time.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use regc_core::error::Error;
use regc_core::storage::lock::Holder;

use crate::interruption::Interruption;

/// Who holds a lock that this process takes.
pub fn holder() -> Holder {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Holder { pid: std::process::id(), host, since: time(SystemTime::now()) }
}

/// Notes signals from now on.
pub fn watch() -> Result<Interruption, Error> {
    let fail = |source| Error::Storage { action: "watch", path: "signals".to_owned(), source };
    Interruption::watch().map_err(fail)
}

/// The name of a run that began at that time, to the microsecond: `20261121T031502123456Z-4711`. Names in their order are runs
/// in theirs.
pub fn run_name(started: SystemTime) -> String {
    let name = timestamp(started).to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S%6fZ").to_string();
    format!("{name}-{}", std::process::id())
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
    fn a_run_is_named_after_its_beginning() {
        let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let name = |nanos| run_name(started + Duration::from_nanos(nanos));
        assert_eq!(name(123_456_789), format!("20010909T014640123456Z-{}", std::process::id()));
        assert!(name(0) < name(1_000) && name(9_000) < name(10_000));
        assert_eq!(time(started), "2001-09-09T01:46:40Z");
    }
}
