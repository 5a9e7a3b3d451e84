//! A monitor that does something in the middle of a call.

use regc_core::{Monitor, Phase};

/// Does something when a phase begins.
pub struct At<F>(pub Phase, pub F);

impl<F: Fn() + Sync> Monitor for At<F> {
    fn phase(&self, phase: Phase, _: Option<u64>) {
        if phase == self.0 {
            (self.1)();
        }
    }

    fn advance(&self, _: u64) {}
}
