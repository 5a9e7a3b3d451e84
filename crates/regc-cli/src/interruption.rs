//! Being told to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether a signal has told the process to stop, and which.
#[derive(Clone, Debug, Default)]
pub struct Interruption {
    is_there: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Interruption {
    /// From now on, the first SIGINT or SIGTERM is only noted. The second ends the process at once.
    pub fn watch() -> io::Result<Self> {
        let interruption = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: what the first signal sets, the second finds.
            flag::register_conditional_shutdown(signal, 128 + signal, interruption.is_there.clone())?;
            flag::register_usize(signal, interruption.signal.clone(), signal as usize)?;
            flag::register(signal, interruption.is_there.clone())?;
        }
        Ok(interruption)
    }

    /// Whether the process is to stop.
    pub fn is_there(&self) -> bool {
        self.is_there.load(Relaxed)
    }

    /// The exit code by which shells know what ended a process: 130 or 143. 0 if nothing has.
    pub fn exit_code(&self) -> u8 {
        match self.signal.load(Relaxed) {
            0 => 0,
            signal => 128 + signal as u8,
        }
    }
}
