//! The progress of a run, on the terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use regc_core::{Error, Finding, Monitor, Phase};

use crate::interruption::Interruption;
use crate::process;

/// A line on the standard error stream, drawn only if that is a terminal.
pub struct Progress {
    bar: ProgressBar,
    interruption: Interruption,
}

impl Progress {
    /// Creates the line. From now on, a signal stops the run after a whole step.
    pub fn new(quiet: bool) -> Result<Self, Error> {
        let interruption = process::watch()?;
        let visible = !quiet && std::io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target).with_style(ProgressStyle::default_spinner());
        if visible {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Ok(Self { bar, interruption })
    }

    /// Clears the line.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Monitor for Progress {
    fn phase(&self, phase: Phase, steps: Option<u64>) {
        let message = match phase {
            Phase::ListBlobs => "listing blobs",
            Phase::ListRepositories => "listing repositories",
            Phase::ReadManifests => "reading manifests",
            Phase::Mark => "marking repositories",
            Phase::Measure => "measuring blobs",
            Phase::ListImages => "listing images",
            Phase::CheckLinks => "checking links",
            Phase::HashContent => "hashing blobs",
            Phase::Rescan => "rescanning",
            Phase::PlanRepair => "looking for what can be repaired",
            Phase::Repair => "repairing",
            Phase::FindDeleted => "looking for deleted manifests",
            Phase::CheckDeleted => "checking deleted manifests",
            Phase::Link => "writing links",
            Phase::Remove => "deleting",
            Phase::Restore => "restoring",
            Phase::EmptyTrash => "emptying the trash",
            _ => "working",
        };
        let template = match steps {
            Some(_) if phase == Phase::HashContent => {
                "{spinner} {msg}  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left"
            }
            Some(_) => "{spinner} {msg}  {human_pos} of {human_len}  {per_sec}  {eta} left",
            None => "{spinner} {msg}  {human_pos}  {per_sec}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
        match steps {
            Some(steps) => self.bar.set_length(steps),
            None => self.bar.unset_length(),
        }
        self.bar.set_message(message);
        self.bar.set_style(style);
        self.bar.reset();
    }

    fn advance(&self, steps: u64) {
        self.bar.inc(steps);
    }

    /// Findings are part of the report.
    fn finding(&self, _: &Finding) {}

    fn is_stopped(&self) -> bool {
        self.interruption.is_there()
    }
}
