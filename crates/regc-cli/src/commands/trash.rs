//! `regc trash`.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use indicatif::{BinaryBytes, HumanCount};
use regc_core::trash::{Entry, Kind, Restored, Runs, Selection, TrashedRun};
use regc_core::{Digest, Error, Holder, Restore, Session, Silent, Store, duration};
use serde_json::{Value, json};

use crate::commands::question::{can_ask, is_agreed};
use crate::commands::{Common, Format};
use crate::failure::Failure;
use crate::hints::{self, Needing};
use crate::output::json::describe_failure;
use crate::output::table::{Cell, Column, Table};
use crate::output::{self, Output, count, object, printable};
use crate::progress::Progress;
use crate::source::Source;
use crate::{ExitStatus, print_error, process};

/// See, bring back or give up what `regc gc --trash` has moved.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show which runs have moved something, how much, and until when each is kept on a full disk. With RUN, show what is in
    /// that run: tags, manifests, layer links and blobs
    List {
        /// The run, as `regc trash list` names it
        #[arg(value_name = "RUN")]
        run: Option<String>,
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
        Command::List { common, .. } | Command::Restore { common, .. } | Command::Empty { common, .. } => common,
    };
    let source = common.source()?;
    let store = source.open(common)?;
    act(&args.command, &source, &store, common.format()).map_err(|failure| match failure {
        Failure::Library(Error::NoSuchRun(run)) => match store.trash(&Silent) {
            Ok(runs) => Failure::NoSuchRun { run, runs: runs.into_iter().map(|run| run.run).collect() },
            Err(_) => Failure::Library(Error::NoSuchRun(run)),
        },
        failure => failure,
    })
}

fn act(command: &Command, source: &Source, store: &Store, format: Format) -> Result<ExitStatus, Failure> {
    if format == Format::Human && !matches!(command, Command::List { .. }) {
        output::announce(&source.place());
    }
    let mut output = Output::new();
    // The registry may take pushes meanwhile: what it serves does not change, except for what is restored.
    let session = |dry_run: bool| (!dry_run).then(|| store.lock_live(&Holder::new("regc"))).transpose();
    let ending = match command {
        Command::List { run, .. } => {
            let progress = Progress::new(false)?;
            let runs = store.trash(&progress).inspect_err(|_| progress.clear())?;
            let contents = run.as_ref().map(|run| store.trash_contents(run, &progress)).transpose();
            progress.clear();
            match (contents?, runs.iter().find(|listed| Some(&listed.run) == run.as_ref())) {
                (Some(contents), Some(run)) => list_contents(&mut output, format, run, contents),
                (Some(_), None) => return Err(Error::NoSuchRun(run.clone().unwrap_or_default()).into()),
                (None, _) => list(&mut output, format, &runs),
            }
            ExitStatus::Done
        }
        &Command::Restore { dry_run, ref what, .. } => {
            restore(&mut output, format, store, session(dry_run)?, what.clone())?
        }
        &Command::Empty { dry_run, yes, older_than, ref runs, .. } => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
            let before = older_than.map(|age| now.saturating_sub(age.as_secs()));
            let session = session(dry_run)?;
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

const RUNS: [Column; 8] = [
    Column::text("RUN"),
    Column::number("SIZE"),
    Column::number("BLOBS"),
    Column::number("OTHER FILES").spare(),
    Column::text("COMMAND"),
    Column::text("STARTED").spare(),
    Column::text("KEPT UNTIL"),
    Column::text("STATE"),
];

const OBJECTS: [Column; 3] =
    [Column::text("OBJECT").at_least(20), Column::number("SIZE"), Column::text("DIGEST").at_least(19)];

fn list(output: &mut Output, format: Format, runs: &[TrashedRun]) {
    if format == Format::Json {
        runs.iter().for_each(|run| output.record(&run_json("run", run)));
        return;
    }
    if runs.is_empty() {
        output.line(format_args!("The trash is empty."));
        return;
    }
    let mut table = Table::new(&RUNS);
    for run in runs {
        table.row(vec![
            Cell::text(&run.run),
            Cell::bytes(BinaryBytes(run.bytes)),
            Cell::text(&HumanCount(run.blobs).to_string()),
            Cell::text(&HumanCount(run.objects - run.blobs).to_string()),
            Cell::text(run.header.as_ref().map_or("unknown", |header| &header.command)),
            Cell::text(&started(run).map_or_else(|| "unknown".to_owned(), process::time)),
            Cell::text(&kept_until(run).map_or_else(|| "emptied".to_owned(), process::time)),
            Cell::text(state(run)),
        ]);
    }
    table.print(output);
    let bytes = runs.iter().map(|run| run.bytes).sum();
    output.line(format_args!("{} in total, which `regc trash empty` frees", BinaryBytes(bytes)));
    if runs.iter().any(|run| run.kept_until().is_some()) {
        output.line(format_args!("On a full disk, --trash and --live delete the oldest runs that are past KEPT UNTIL"));
    }
}

/// Lists what is in a run: by repository, and then the content, which belongs to none.
fn list_contents(output: &mut Output, format: Format, run: &TrashedRun, mut contents: Vec<Entry>) {
    if format == Format::Json {
        output.record(&run_json("run", run));
        print_objects(output, "in_trash", &contents);
        return;
    }
    let command = run.header.as_ref().map_or("unknown", |header| &header.command);
    output.line(format_args!("Run         {}", printable(&run.run)));
    output.line(format_args!("Command     {}", printable(command)));
    started(run).iter().for_each(|started| output.line(format_args!("Started     {}", process::time(*started))));
    match kept_until(run) {
        Some(until) => {
            let until = process::time(until);
            output
                .line(format_args!("Kept until  {until}; after that, --trash and --live may delete it on a full disk"));
        }
        None => output.line(format_args!("Kept until  emptied, also on a full disk")),
    }
    if !state(run).is_empty() {
        output.line(format_args!("State       {}", state(run)));
    }
    contents.sort_by(|one, other| {
        let place = |entry: &Entry| (entry.repository.is_none(), entry.repository.clone());
        place(one).cmp(&place(other)).then_with(|| object::compare(&one.path, &other.path))
    });
    let mut table = Table::new(&OBJECTS);
    for of_one in contents.chunk_by(|one, other| one.repository == other.repository) {
        table.title(of_one[0].repository.as_deref().unwrap_or("(content of all repositories)"));
        for Entry { path, digest, bytes, .. } in of_one {
            table.row(vec![
                Cell::text(&format!("  {}", object::name(path))),
                bytes.map_or_else(Cell::empty, |bytes| Cell::bytes(BinaryBytes(bytes))),
                digest.map_or_else(Cell::empty, |digest| Cell::text(&digest.to_string())),
            ]);
        }
    }
    table.print(output);
    let (bytes, blobs, others) = (BinaryBytes(run.bytes), count(run.blobs, "blob"), run.objects - run.blobs);
    output.line(format_args!("{bytes} in {blobs} and {}", count(others, "other file")));
}

/// Returns what keeps a run from being restored or deleted like others.
fn state(run: &TrashedRun) -> &'static str {
    match run.header {
        _ if run.restoring => "being restored",
        None => "without a readable journal",
        Some(_) => "",
    }
}

fn started(run: &TrashedRun) -> Option<SystemTime> {
    run.header.as_ref().and_then(|header| since_epoch(header.started))
}

/// Returns the time from which a run may be deleted to make room; `None` if only emptying the trash deletes it.
fn kept_until(run: &TrashedRun) -> Option<SystemTime> {
    run.kept_until().and_then(since_epoch)
}

fn since_epoch(seconds: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
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
    json!({
        "type": kind,
        "run": run.run,
        "started": started(run).map(process::time),
        "kept_until": kept_until(run).map(process::time),
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

fn print_objects(output: &mut Output, state: &str, entries: &[Entry]) {
    for entry in entries {
        output.record(&json!({ "type": "object", "state": state, "object": entry }));
    }
}

fn restored_json(output: &mut Output, run: &str, restored: &Restored, dry_run: bool) {
    print_objects(output, "restored", &restored.restored);
    print_objects(output, "already_there", &restored.already_there);
    print_objects(output, "conflicting", &restored.conflicting);
    print_objects(output, "missing", &restored.missing);
    for failure in &restored.failures {
        output.record(&describe_failure(failure));
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
    output.record(&summary);
}

fn told_emptied(output: &mut Output, format: Format, runs: &[TrashedRun], dry_run: bool, are_told: bool) {
    let bytes: u64 = runs.iter().map(|run| run.bytes).sum();
    match format {
        Format::Json => {
            for run in runs {
                output.record(&run_json("removed", run));
            }
            let summary = json!({ "type": "summary", "schema_version": 1, "dry_run": dry_run, "runs": runs.len(), "bytes": bytes });
            output.record(&summary);
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
