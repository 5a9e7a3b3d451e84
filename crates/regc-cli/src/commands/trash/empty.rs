//! `regc trash empty`.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, SystemTime};

use indicatif::BinaryBytes;
use regc_core::trash::{Emptied, Runs, TrashedRun};
use regc_core::{Session, Store};
use serde::Serialize;

use super::list::{describe as line_of, print_run};
use crate::commands::Format;
use crate::commands::question::{can_ask, is_agreed};
use crate::failure::Failure;
use crate::output::json::{describe, describe_failure};
use crate::output::{Output, printable};
use crate::progress::Progress;
use crate::{ExitStatus, print_error};

/// What is deleted from the trash.
pub struct What<'a> {
    /// The runs; all if there are none.
    pub runs: &'a [String],
    /// How long ago they must have begun.
    pub older_than: Option<Duration>,
    pub dry_run: bool,
    /// Whether the operator has agreed on the command line.
    pub is_agreed: bool,
}

/// Deletes runs from the trash for good, unless the operator at the terminal declines.
pub fn empty(
    output: &mut Output,
    format: Format,
    store: &Store,
    session: Option<&Session<'_>>,
    root: &Path,
    &What { runs, older_than, dry_run, is_agreed: yes }: &What<'_>,
) -> Result<ExitStatus, Failure> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let before = older_than.map(|age| now.saturating_sub(age.as_secs()));
    let progress = Progress::new(false)?;
    let meant = if runs.is_empty() { Runs::All } else { Runs::Named(runs) };
    let asks = session.is_some() && !yes && format == Format::Human && io::stdin().is_terminal();
    if asks && !can_ask() {
        return Err(Failure::Unconfirmed);
    }
    if asks {
        let planned = store.plan_empty_trash(meant, before, &progress);
        progress.clear();
        let runs = planned?.runs;
        for run in &runs {
            output.line(format_args!("{}", printable(&line_of(run))));
        }
        output.flush();
        if !runs.is_empty() && !is_agreed(&question(&runs, root)) {
            return Err(Failure::Declined("deleted"));
        }
    }
    let emptied = match session {
        Some(session) => session.empty_trash(meant, before, &progress),
        None => store.plan_empty_trash(meant, before, &progress),
    };
    progress.clear();
    let emptied = emptied?;
    for finding in &emptied.findings {
        eprintln!("regc: {}; {}", printable(&finding.message()), finding.remedy());
    }
    told_emptied(output, format, &emptied, dry_run, asks);
    emptied.failures.iter().for_each(|failure| print_error(failure));
    Ok(match emptied.interrupted {
        true => ExitStatus::Interrupted,
        false if emptied.failures.is_empty() => ExitStatus::Done,
        false => ExitStatus::Failed,
    })
}

/// Returns the question before runs are deleted from the trash.
fn question(runs: &[TrashedRun], root: &Path) -> String {
    let bytes = BinaryBytes(runs.iter().map(|run| run.bytes).sum());
    let (count, root) = (runs.len(), root.to_string_lossy());
    let runs = if count == 1 { "run" } else { "runs" };
    format!("Delete {count} {runs}, {bytes}, from the trash of {} for good?", printable(&root))
}

/// The last line of JSON.
#[derive(Serialize)]
struct Last {
    dry_run: bool,
    runs: usize,
    bytes: u64,
    interrupted: bool,
    failures: usize,
}

fn told_emptied(output: &mut Output, format: Format, emptied: &Emptied, dry_run: bool, are_told: bool) {
    let runs = &emptied.runs;
    let bytes: u64 = runs.iter().map(|run| run.bytes).sum();
    match format {
        Format::Json => {
            emptied.findings.iter().for_each(|finding| describe(output, finding));
            runs.iter().for_each(|run| print_run(output, if dry_run { "planned" } else { "done" }, run));
            emptied.failures.iter().for_each(|failure| describe_failure(output, failure));
            let (interrupted, failures) = (emptied.interrupted, emptied.failures.len());
            output.summary(&Last { dry_run, runs: runs.len(), bytes, interrupted, failures });
        }
        Format::Human => {
            for run in runs.iter().filter(|_| !are_told) {
                output.line(format_args!("{}", printable(&line_of(run))));
            }
            let what = if dry_run { "Would free" } else { "Freed" };
            output.line(format_args!("{what} {}.", BinaryBytes(bytes)));
        }
    }
}
