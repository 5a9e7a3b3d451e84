//! What a command needs to know of the process and the time.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use regc_core::error::Error;
use regc_core::lock::Holder;

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

/// The name of a run that began at that time: `20261121T031502Z-4711`.
pub fn run_name(started: SystemTime) -> String {
    let name = timestamp(started).to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
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
        assert_eq!(run_name(started), format!("20010909T014640Z-{}", std::process::id()));
        assert_eq!(time(started), "2001-09-09T01:46:40Z");
    }
}
