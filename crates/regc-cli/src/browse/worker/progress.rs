//! What the threads are doing, for the window to show, and how it stops them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use indicatif::HumanCount;
use regc_core::{Monitor, Phase};

/// What ends the calls that run.
#[derive(Default)]
pub struct Stop {
    /// Whether the window is closed.
    pub all: AtomicBool,
    /// Whether what is being planned or deleted is to be stopped.
    pub removal: AtomicBool,
}

impl Monitor for Stop {
    fn phase(&self, _: Phase, _: Option<u64>) {}

    fn advance(&self, _: u64) {}

    fn is_stopped(&self) -> bool {
        self.all.load(Relaxed)
    }
}

/// What a call is doing.
#[derive(Default)]
pub struct Progress {
    phase: Mutex<(&'static str, Option<u64>)>,
    steps: AtomicU64,
}

impl Progress {
    /// `reading manifests, 1,234 of 10,000`.
    pub fn text(&self) -> String {
        let (phase, all) = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let steps = self.steps.load(Relaxed);
        match (phase, all) {
            ("", _) => "opening the store".to_owned(),
            (phase, Some(all)) => format!("{phase}, {} of {}", HumanCount(steps), HumanCount(all)),
            (phase, None) if steps > 0 => format!("{phase}, {}", HumanCount(steps)),
            (phase, None) => phase.to_owned(),
        }
    }

    fn begin(&self, phase: &'static str, steps: Option<u64>) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = (phase, steps);
        self.steps.store(0, Relaxed);
    }
}

/// Reports a call to the window, and stops it when the window says so.
pub struct Watched<'a> {
    pub progress: &'a Progress,
    pub stop: &'a Stop,
    /// Whether it is a part of a removal.
    pub is_removal: bool,
}

impl Monitor for Watched<'_> {
    fn phase(&self, phase: Phase, steps: Option<u64>) {
        self.progress.begin(crate::progress::named(phase), steps);
    }

    fn advance(&self, steps: u64) {
        self.progress.steps.fetch_add(steps, Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_stopped() || self.is_removal && self.stop.removal.load(Relaxed)
    }
}
