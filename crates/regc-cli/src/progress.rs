//! The progress of a run, on the terminal.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};
use regc_core::{Error, Finding, Monitor, Phase};

use crate::interruption::Interruption;
use crate::process;

/// How long a run goes on without the line: most are over by then.
const QUIET: Duration = Duration::from_millis(500);

/// How often the line is drawn.
const TICK: Duration = Duration::from_millis(200);

/// A line on the standard error stream, drawn only if that is a terminal.
pub struct Progress {
    bar: ProgressBar,
    /// When it began; `None` if it is never drawn.
    began: Option<Instant>,
    /// The phases so far, and when each began.
    phases: Mutex<Vec<(&'static str, Instant)>>,
    interruption: Interruption,
}

impl Progress {
    /// Creates the line. From now on, a signal stops the run after a whole step.
    pub fn new(quiet: bool) -> Result<Self, Error> {
        let interruption = process::watch()?;
        let visible = !quiet && std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Ok(Self { bar, began: visible.then(Instant::now), phases: Mutex::default(), interruption })
    }

    /// Returns the phases so far, each once, with the seconds that it took.
    pub fn phases(&self) -> Vec<(&'static str, f64)> {
        let begun = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = begun.iter().skip(1).map(|(_, began)| *began).chain([Instant::now()]);
        let mut phases: Vec<(&'static str, f64)> = Vec::new();
        for ((name, began), end) in begun.iter().zip(ends) {
            let seconds = (end - *began).as_secs_f64();
            match phases.iter_mut().find(|(phase, _)| phase == name) {
                Some((_, total)) => *total += seconds,
                None => phases.push((name, seconds)),
            }
        }
        phases
    }

    /// Clears the line.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// The standard error stream, to which nothing is written at first.
#[derive(Debug)]
struct Later {
    terminal: Term,
    began: Instant,
}

impl Later {
    fn then(&self, write: impl FnOnce(&Term) -> io::Result<()>) -> io::Result<()> {
        if self.began.elapsed() < QUIET { Ok(()) } else { write(&self.terminal) }
    }
}

impl TermLike for Later {
    fn width(&self) -> u16 {
        self.terminal.width()
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.then(|terminal| terminal.move_cursor_up(lines))
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.then(|terminal| terminal.move_cursor_down(lines))
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.then(|terminal| terminal.move_cursor_right(columns))
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.then(|terminal| terminal.move_cursor_left(columns))
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.then(|terminal| terminal.write_line(line))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.then(|terminal| terminal.write_str(text))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.then(Term::clear_line)
    }

    fn flush(&self) -> io::Result<()> {
        self.then(Term::flush)
    }
}

impl Monitor for Progress {
    fn phase(&self, phase: Phase, steps: Option<u64>) {
        let message = named(phase);
        self.phases.lock().unwrap_or_else(PoisonError::into_inner).push((message, Instant::now()));
        let template = match steps {
            Some(_) if phase == Phase::HashContent => {
                "{spinner} {msg}  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left"
            }
            Some(_) => "{spinner} {msg}  {human_pos} of {human_len}  {rate}  {eta} left",
            None => "{spinner} {msg}  {human_pos}  {rate}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
        let rate = |state: &ProgressState, text: &mut dyn Write| {
            write!(text, "{}/s", HumanCount(state.per_sec() as u64)).ok();
        };
        // Each of these would draw a line, of which a part is still that of the last phase.
        self.bar.finish_and_clear();
        self.bar.set_draw_target(ProgressDrawTarget::hidden());
        match steps {
            Some(steps) => self.bar.set_length(steps),
            None => self.bar.unset_length(),
        }
        self.bar.set_message(message);
        self.bar.set_style(style.with_key("rate", rate));
        self.bar.reset();
        if let Some(began) = self.began {
            let later = Later { terminal: Term::stderr(), began };
            self.bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(later), 20));
            self.bar.enable_steady_tick(TICK);
        }
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

/// What a phase is called.
pub fn named(phase: Phase) -> &'static str {
    match phase {
        Phase::ListBlobs => "listing blobs",
        Phase::ListRepositories => "listing repositories",
        Phase::ReadManifests => "reading manifests",
        Phase::Mark => "marking repositories",
        Phase::Measure => "measuring blobs",
        Phase::ListImages => "listing images",
        Phase::CheckLinks => "checking links",
        Phase::HashContent => "hashing blobs",
        Phase::Rescan => "rescanning",
        Phase::PlanRepair => "planning the repair",
        Phase::Repair => "repairing",
        Phase::FindDeleted => "finding deleted manifests",
        Phase::CheckDeleted => "checking deleted manifests",
        Phase::Link => "writing links",
        Phase::Remove => "deleting",
        Phase::Restore => "restoring",
        Phase::EmptyTrash => "emptying the trash",
        _ => "working",
    }
}
