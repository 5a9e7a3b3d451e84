//! Runs a program, and measures its time and memory.

use std::fs;
use std::io;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The cost of a run.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The wall-clock time, in seconds.
    pub seconds: f64,
    /// The most memory that was resident at once, in bytes.
    pub peak_bytes: u64,
}

/// Runs a command to its end. It must succeed.
pub fn run(command: &mut Command) -> io::Result<Cost> {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_bytes = 0;
    // The kernel keeps the peak, so it is enough to read it now and then; only a peak in the last moments is missed.
    let exit = loop {
        if let Ok(text) = fs::read_to_string(&status) {
            let peak =
                text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
            peak_bytes = peak.map_or(peak_bytes, |kib: u64| kib << 10).max(peak_bytes);
        }
        if let Some(exit) = child.try_wait()? {
            break exit;
        }
        sleep(Duration::from_millis(2));
    };
    let seconds = start.elapsed().as_secs_f64();
    if exit.success() {
        Ok(Cost { seconds, peak_bytes })
    } else {
        Err(io::Error::other(format!("{command:?}: {exit}")))
    }
}

/// Returns the run with the median time.
pub fn median(mut costs: Vec<Cost>) -> Option<Cost> {
    costs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    costs.get(costs.len() / 2).copied()
}
