//! `regc trash`.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use indicatif::{BinaryBytes, HumanCount};
use regc_core::trash::{Entry, Kind, Restored, Runs, Selection, TrashedRun};
use regc_core::{Digest, Error, Holder, Restore, Session, Store, duration};
use serde_json::{Value, json};

use crate::commands::removing::{can_ask, is_agreed};
use crate::commands::{Common, Format};
use crate::failure::Failure;
use crate::hints::{self, Needing};
use crate::output::{self, Output, printable};
use crate::progress::Progress;
use crate::{ExitStatus, print_error, process};

/// See, bring back or give up what `regc gc --trash` has moved.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show which runs have moved something, and how much
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Put back what a run has moved: all of it, or some images or repositories. Nothing is overwritten, and no link comes
    /// back without what it leads to. Until all of it is back, a collection keeps what was to come back
    Restore {
        #[command(flatten)]
        common: Common,
        /// Show what would come back, change nothing
        #[arg(short, long)]
        dry_run: bool,
        /// The run, as `regc trash list` names it; the last one if none is given. Then digests, which come back with all
        /// that they refer to and all that is attached to them, and repositories; everything if none is given
        #[arg(value_name = "RUN|DIGEST|REPOSITORY")]
        what: Vec<String>,
    },
    /// Delete what runs have moved, for good. This is what frees space
    Empty {
        /// The runs, as `regc trash list` names them; all if none is given
        #[arg(value_name = "RUN")]
        runs: Vec<String>,
        #[command(flatten)]
        common: Common,
        /// Show what would go, change nothing
        #[arg(short, long)]
        dry_run: bool,
        /// Do not ask. Without a terminal, nothing is asked
        #[arg(short, long)]
        yes: bool,
        /// Only runs that began that long ago, and are not being restored: 90m, 24h, 7d
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        older_than: Option<Duration>,
    },
}

pub fn run(args: Args) -> Result<ExitStatus, Failure> {
    let common = match &args.command {
        Command::List { common } | Command::Restore { common, .. } | Command::Empty { common, .. } => common,
    };
    let source = common.source()?;
    let store = source.open(common)?;
    let format = common.format();
    if format == Format::Human && !matches!(args.command, Command::List { .. }) {
        output::announce(&source.place());
    }
    let mut output = Output::new();
    // The registry may take pushes meanwhile: what it serves does not change, except for what is restored.
    let session = |dry_run: bool| (!dry_run).then(|| store.lock_live(&Holder::new("regc"))).transpose();
    let ending = match args.command {
        Command::List { .. } => {
            let progress = Progress::new(false)?;
            let runs = store.trash(&progress);
            progress.clear();
            list(&mut output, format, &runs?);
            ExitStatus::Done
        }
        Command::Restore { dry_run, what, .. } => restore(&mut output, format, &store, session(dry_run)?, what)?,
        Command::Empty { dry_run, yes, older_than, runs, .. } => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
            let before = older_than.map(|age| now.saturating_sub(age.as_secs()));
            let session = session(dry_run)?;
            let progress = Progress::new(false)?;
            let meant = if runs.is_empty() { Runs::All } else { Runs::Named(&runs) };
            let asks = session.is_some() && !yes && format == Format::Human && io::stdin().is_terminal();
            if asks && !can_ask() {
                return Err(Failure::Unconfirmed);
            }
            if asks {
                let planned = store.plan_empty_trash(meant, before, &progress);
                progress.clear();
                let runs = planned?.runs;
                for run in &runs {
                    output.line(format_args!("{}", printable(&describe(run))));
                }
                output.flush();
                if !runs.is_empty() && !is_agreed(&question(&runs, &source.root)) {
                    return Err(Failure::Declined);
                }
            }
            let emptied = match &session {
                Some(session) => session.empty_trash(meant, before, &progress),
                None => store.plan_empty_trash(meant, before, &progress),
            };
            progress.clear();
            let emptied = emptied?;
            for finding in &emptied.findings {
                eprintln!("regc: {}; {}", printable(&finding.message()), finding.remedy());
            }
            told_emptied(&mut output, format, &emptied.runs, dry_run, asks);
            emptied.failures.iter().for_each(|failure| print_error(failure));
            match emptied.interrupted {
                true => ExitStatus::Interrupted,
                false if emptied.failures.is_empty() => ExitStatus::Done,
                false => ExitStatus::Failed,
            }
        }
    };
    Ok(output.end(|| ending))
}

/// Returns the question before runs are deleted from the trash.
fn question(runs: &[TrashedRun], root: &Path) -> String {
    let bytes = BinaryBytes(runs.iter().map(|run| run.bytes).sum());
    let (count, root) = (runs.len(), root.to_string_lossy());
    let runs = if count == 1 { "run" } else { "runs" };
    format!("Delete {count} {runs}, {bytes}, from the trash of {} for good?", printable(&root))
}

fn list(output: &mut Output, format: Format, runs: &[TrashedRun]) {
    for run in runs {
        match format {
            Format::Json => output.json(&run_json("run", run)),
            Format::Human => output.line(format_args!("{}", describe(run))),
        }
    }
    if format == Format::Human {
        let bytes = runs.iter().map(|run| run.bytes).sum();
        match runs.len() {
            0 => output.line(format_args!("The trash is empty.")),
            _ => output.line(format_args!("{} in all; `regc trash empty` gives it back", BinaryBytes(bytes))),
        }
    }
}

fn describe(run: &TrashedRun) -> String {
    let (bytes, blobs) = (BinaryBytes(run.bytes).to_string(), HumanCount(run.blobs));
    let links = HumanCount(run.objects - run.blobs);
    let journal = match &run.header {
        Some(header) => format!(", by {}", header.command),
        None => ", without a journal that can be read".to_owned(),
    };
    let restoring = if run.restoring { ", being restored" } else { "" };
    format!("{}  {bytes:>12}  {blobs} blobs, {links} other files{journal}{restoring}", run.run)
}

fn run_json(kind: &str, run: &TrashedRun) -> Value {
    let started =
        run.header.as_ref().and_then(|header| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(header.started)));
    json!({
        "type": kind,
        "run": run.run,
        "started": started.map(process::time),
        "blobs": run.blobs,
        "links": run.objects - run.blobs,
        "bytes": run.bytes,
        "restoring": run.restoring,
        "journal": run.header,
    })
}

/// Restores what is named. Missing objects count as damage; objects that cannot be restored, as failures.
fn restore(
    output: &mut Output,
    format: Format,
    store: &Store,
    session: Option<Session<'_>>,
    mut what: Vec<String>,
) -> Result<ExitStatus, Error> {
    let progress = Progress::new(false)?;
    let mut runs = store.trash(&progress)?;
    let run = match what.first() {
        Some(first) if runs.iter().any(|run| run.run == *first) => what.remove(0),
        // No repository has upper-case letters in its name, but every run has.
        Some(first) if !first.contains(':') && first.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            return Err(Error::NoSuchRun(first.clone()));
        }
        _ => {
            runs.retain(|run| run.objects > 0);
            runs.pop().ok_or(Error::TrashEmpty)?.run
        }
    };
    let selection = (!what.is_empty()).then(|| {
        let (digests, repositories): (Vec<_>, Vec<_>) =
            what.into_iter().map(|name| Digest::parse_any_case(&name).map_err(|_| name)).partition(Result::is_ok);
        Selection {
            digests: digests.into_iter().filter_map(Result::ok).collect(),
            repositories: repositories.into_iter().filter_map(Result::err).collect(),
        }
    });
    let dry_run = session.is_none();
    let to_restore = Restore::new(&run).selection(selection.as_ref());
    let restored = match &session {
        Some(session) => session.restore(&to_restore, &progress),
        None => store.plan_restore(&to_restore, &progress),
    };
    progress.clear();
    let restored = restored?;
    match format {
        Format::Json => restored_json(output, &run, &restored, dry_run),
        Format::Human => {
            let bytes = restored.restored.iter().filter_map(|entry| entry.bytes).sum();
            let what = if dry_run { "Would put back" } else { "Put back" };
            let number = HumanCount(restored.restored.len() as u64);
            output.line(format_args!("{what} {number} objects of run {run}, {} of blobs.", BinaryBytes(bytes)));
            if !restored.already_there.is_empty() {
                let number = HumanCount(restored.already_there.len() as u64);
                output.line(format_args!("The registry has {number} of them again; those stay in the trash."));
            }
        }
    }
    for entry in &restored.missing {
        let why = match entry.kind {
            Kind::Blob => "is neither in the trash nor in the registry",
            _ => "would lead to nothing, and stays in the trash",
        };
        eprintln!("regc: {}: {why}", printable(&entry.path));
    }
    for entry in &restored.conflicting {
        eprintln!(
            "regc: {}: the registry has something else there; what is in the trash stays there",
            printable(&entry.path)
        );
    }
    if restored.interrupted {
        eprintln!("regc: interrupted; the rest stays in the trash, and `regc gc` keeps what is back. Run it again");
    } else if !restored.missing.is_empty() || !restored.failures.is_empty() {
        eprintln!(
            "regc: the restore is not complete; until it is, `regc gc` keeps what is back. Run it again once what is missing \
             is there, or give the rest up with `regc trash empty {run}`"
        );
    }
    restored.failures.iter().for_each(|failure| print_error(failure));
    hints::print(restored.failures.iter().find_map(|failure| Needing::Restore.hint(failure)));
    Ok(match () {
        () if restored.interrupted => ExitStatus::Interrupted,
        () if !restored.failures.is_empty() => ExitStatus::Failed,
        () if !restored.is_complete() => ExitStatus::FoundDamage,
        () => ExitStatus::Done,
    })
}

fn restored_json(output: &mut Output, run: &str, restored: &Restored, dry_run: bool) {
    let mut entries = |state: &str, entries: &[Entry]| {
        for entry in entries {
            output.json(&json!({ "type": "object", "state": state, "object": entry }));
        }
    };
    entries("restored", &restored.restored);
    entries("already_there", &restored.already_there);
    entries("conflicting", &restored.conflicting);
    entries("missing", &restored.missing);
    for failure in &restored.failures {
        output.json(&json!({ "type": "failure", "message": failure.to_string() }));
    }
    let bytes: u64 = restored.restored.iter().filter_map(|entry| entry.bytes).sum();
    let summary = json!({
        "type": "summary",
        "schema_version": 1,
        "run": run,
        "dry_run": dry_run,
        "restored": restored.restored.len(),
        "restored_bytes": bytes,
        "already_there": restored.already_there.len(),
        "conflicting": restored.conflicting.len(),
        "missing": restored.missing.len(),
        "failures": restored.failures.len(),
        "interrupted": restored.interrupted,
    });
    output.json(&summary);
}

fn told_emptied(output: &mut Output, format: Format, runs: &[TrashedRun], dry_run: bool, are_told: bool) {
    let bytes: u64 = runs.iter().map(|run| run.bytes).sum();
    match format {
        Format::Json => {
            for run in runs {
                output.json(&run_json("removed", run));
            }
            let summary = json!({ "type": "summary", "schema_version": 1, "dry_run": dry_run, "runs": runs.len(), "bytes": bytes });
            output.json(&summary);
        }
        Format::Human => {
            for run in runs.iter().filter(|_| !are_told) {
                output.line(format_args!("{}", printable(&describe(run))));
            }
            let what = if dry_run { "Would give back" } else { "Gave back" };
            output.line(format_args!("{what} {}.", BinaryBytes(bytes)));
        }
    }
}
