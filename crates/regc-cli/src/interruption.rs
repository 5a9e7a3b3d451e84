//! Being told to stop.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether a signal has told the process to stop, and which.
#[derive(Clone, Debug, Default)]
pub struct Interruption {
    is_there: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

/// Signals are the process's.
static WATCHED: OnceLock<Interruption> = OnceLock::new();

impl Interruption {
    /// From now on, the first SIGINT or SIGTERM is only noted. The second ends the process at once.
    pub fn watch() -> io::Result<Self> {
        if let Some(watched) = WATCHED.get() {
            return Ok(watched.clone());
        }
        let interruption = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: what the first signal sets, the second finds.
            flag::register_conditional_shutdown(signal, 128 + signal, interruption.is_there.clone())?;
            flag::register_usize(signal, interruption.signal.clone(), signal as usize)?;
            flag::register(signal, interruption.is_there.clone())?;
        }
        Ok(WATCHED.get_or_init(|| interruption).clone())
    }

    /// Whether the process is to stop.
    pub fn is_there(&self) -> bool {
        self.is_there.load(Relaxed)
    }

    /// The exit code by which shells know what ended a process: 130 or 143. 0 if nothing has.
    pub fn exit_code() -> u8 {
        match WATCHED.get().map_or(0, |watched| watched.signal.load(Relaxed)) {
            0 => 0,
            signal => 128 + signal as u8,
        }
    }
}
