//! Limits on how fast content is read.

use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use crate::monitor::Monitor;
use crate::sync::Mutex;

/// The maximum read rate of all threads together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// The maximum number of bytes per second.
    pub bytes_per_second: NonZeroU64,
}

impl Bandwidth {
    /// Parses `200MiB/s`, `1.5GB/s`, `500KiB` or `1000000/s`.
    ///
    /// Fails with a human-readable reason.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || "not a bandwidth like 200MiB/s, 1.5GB/s or 1000000/s".to_owned();
        let amount = text.strip_suffix("/s").unwrap_or(text).trim_end();
        let end = amount.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(amount.len());
        let (number, unit) = amount.split_at(end);
        let unit = match &*unit.trim_start().to_ascii_lowercase() {
            "" | "b" => 1,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return Err(invalid()),
        };
        let bytes = number.parse::<f64>().map_err(|_| invalid())? * f64::from(unit);
        // Anything beyond the largest number is rounded down to it, which is no limit at all.
        let bytes_per_second = NonZeroU64::new(bytes as u64).ok_or_else(invalid)?;
        Ok(Self { bytes_per_second })
    }
}

/// A source of time, which the caller provides.
pub trait Clock: Sync {
    /// Returns how much time has passed since some fixed moment. It never goes backwards.
    fn now(&self) -> Duration;

    /// Waits.
    fn sleep(&self, duration: Duration);
}

/// The clock of this machine, from when it was started.
pub struct SystemClock(Instant);

impl SystemClock {
    /// Starts a clock at zero.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }
}

/// How much time without reads may be made up for.
const BURST: Duration = Duration::from_millis(100);

/// How often a waiting thread checks whether to stop.
const NAP: Duration = Duration::from_millis(100);

/// Slows down threads that together read faster than they should.
struct Limiter<'a> {
    bandwidth: Bandwidth,
    clock: &'a dyn Clock,
    /// When everything read so far would have been read at the given bandwidth.
    due: Mutex<Duration>,
}

impl<'a> Limiter<'a> {
    fn new(bandwidth: Bandwidth, clock: &'a dyn Clock) -> Self {
        Self { bandwidth, clock, due: Mutex::new(clock.now()) }
    }

    /// Returns when this many more bytes may have been read.
    fn due(&self, bytes: usize, now: Duration) -> Duration {
        let takes = Duration::from_secs_f64(bytes as f64 / self.bandwidth.bytes_per_second.get() as f64);
        let mut due = self.due.lock();
        *due = now.saturating_sub(BURST).max(*due) + takes;
        *due
    }

    /// Waits until this many more bytes may have been read, or breaks if the monitor stops the run.
    fn wait(&self, bytes: usize, monitor: &dyn Monitor) -> ControlFlow<()> {
        let due = self.due(bytes, self.clock.now());
        loop {
            let left = due.saturating_sub(self.clock.now());
            if left.is_zero() {
                return ControlFlow::Continue(());
            }
            if monitor.is_stopped() {
                return ControlFlow::Break(());
            }
            self.clock.sleep(left.min(NAP));
        }
    }
}

/// The pace at which content is read: no faster than the bandwidth, and only until the monitor stops the run.
pub struct Pace<'a> {
    limiter: Option<Limiter<'a>>,
    monitor: &'a dyn Monitor,
}

impl<'a> Pace<'a> {
    /// Creates a pace, which is unlimited if there is no `bandwidth`.
    pub fn new(bandwidth: Option<Bandwidth>, clock: &'a dyn Clock, monitor: &'a dyn Monitor) -> Self {
        Self { limiter: bandwidth.map(|bandwidth| Limiter::new(bandwidth, clock)), monitor }
    }

    /// Waits until this many more bytes may have been read, or breaks if the monitor stops the run.
    pub(crate) fn wait(&self, bytes: usize) -> ControlFlow<()> {
        if let Some(limiter) = &self.limiter {
            limiter.wait(bytes, self.monitor)?;
        }
        if self.monitor.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidths_parse() {
        for (text, bytes) in [
            ("200MiB/s", 200 << 20),
            ("1.5GB/s", 1_500_000_000),
            ("500KiB/s", 500 << 10),
            ("500 kib", 500 << 10),
            ("1000000/s", 1_000_000),
            ("1000000", 1_000_000),
            ("7B/s", 7),
            ("2GiB/s", 2 << 30),
            ("1kB/s", 1000),
            ("3MB/s", 3_000_000),
        ] {
            assert_eq!(Bandwidth::parse(text).unwrap().bytes_per_second.get(), bytes, "{text}");
        }
        for text in ["", "/s", "MiB/s", "0", "0.4/s", "-1/s", "1e6/s", "inf", "nan", "1.2.3MB/s", "5 apples/s", "1MB/h"]
        {
            assert!(Bandwidth::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limiter_is_shared_by_threads_and_ignores_long_pauses() {
        struct Stopped;
        impl Clock for Stopped {
            fn now(&self) -> Duration {
                Duration::ZERO
            }

            fn sleep(&self, _: Duration) {}
        }
        let limiter = Limiter::new(Bandwidth::parse("100/s").unwrap(), &Stopped);
        let due = |bytes, now| limiter.due(bytes, Duration::from_millis(now)).as_millis();
        assert_eq!((due(100, 0), due(50, 0), due(50, 1000)), (1000, 1500, 2000), "whoever asks");
        assert_eq!((due(1, 2050), due(100, 60_000)), (2010, 60_900), "a long pause does not count");
    }
}
