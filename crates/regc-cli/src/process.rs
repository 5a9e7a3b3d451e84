//! What a command needs to know of the process and the time.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{SpanRelativeTo, Timestamp, Unit};
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

/// Reads `90m`, `24h` or `7d`. A day has 24 hours.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let invalid = || "not a duration like 90m, 24h or 7d, or too long".to_owned();
    let span: jiff::Span = text.parse().map_err(|_| invalid())?;
    let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).map_err(|_| invalid())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in
            [("90m", 5400), ("24h", 86_400), ("7d", 604_800), ("1h30m", 5400), ("0s", 0), ("2w", 1_209_600)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "7", "d", "-1h", "7x", "1h ago", "1mo"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_run_is_named_after_its_beginning() {
        let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        assert_eq!(run_name(started), format!("20010909T014640Z-{}", std::process::id()));
        assert_eq!(time(started), "2001-09-09T01:46:40Z");
    }
}
