//! Interruption by signals.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether a signal has interrupted the process, and which.
#[derive(Clone, Debug, Default)]
pub struct Interruption {
    is_there: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

/// How long a signal may go unnoticed while something is waited for.
const CHECKED_EVERY: Duration = Duration::from_millis(100);

/// One for the process, since signals are sent to a process.
static WATCHED: OnceLock<Interruption> = OnceLock::new();

impl Interruption {
    /// Watches for signals: the first SIGINT or SIGTERM is only recorded, the second ends the process at once.
    pub fn watch() -> io::Result<Self> {
        if let Some(watched) = WATCHED.get() {
            return Ok(watched.clone());
        }
        let interruption = Self::default();
        for signal in [SIGINT, SIGTERM] {
            interruption.heed(signal)?;
        }
        Ok(WATCHED.get_or_init(|| interruption).clone())
    }

    /// Watches for the end of the terminal too, as when a connection breaks. Commands that need no terminal leave that signal alone: `nohup`
    /// lets them go on.
    pub fn watch_terminal(&self) -> io::Result<()> {
        self.heed(SIGHUP)
    }

    fn heed(&self, signal: i32) -> io::Result<()> {
        // In this order, only the second signal finds what the first one has set.
        flag::register_conditional_shutdown(signal, 128 + signal, self.is_there.clone())?;
        flag::register_usize(signal, self.signal.clone(), signal as usize)?;
        flag::register(signal, self.is_there.clone())?;
        Ok(())
    }

    /// Whether the process must stop.
    pub fn is_there(&self) -> bool {
        self.is_there.load(Relaxed)
    }

    /// Waits for something that a signal does not end by itself, such as reading from a pipe that says nothing. `None` if a signal
    /// comes first: then it goes on until the process ends.
    pub fn or<T: Send + 'static>(&self, waits: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(waits()).ok());
        loop {
            match receiver.recv_timeout(CHECKED_EVERY) {
                Ok(result) => return Some(result),
                Err(RecvTimeoutError::Timeout) if !self.is_there() => {}
                Err(_) => return None,
            }
        }
    }

    /// Returns the exit code that shells expect of a process that a signal ended: 129, 130 or 143. 0 if there was no
    /// signal.
    pub fn exit_code() -> u8 {
        match WATCHED.get().map_or(0, |watched| watched.signal.load(Relaxed)) {
            0 => 0,
            signal => 128 + signal as u8,
        }
    }
}
