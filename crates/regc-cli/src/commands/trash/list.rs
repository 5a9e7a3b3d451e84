//! `regc trash list`.

use std::time::{Duration, SystemTime};

use indicatif::{BinaryBytes, HumanCount};
use regc_core::Digest;
use regc_core::trash::{Entry, Kind, TrashedRun};
use serde::Serialize;

use crate::commands::Format;
use crate::output::table::{Cell, Column, Table};
use crate::output::{Output, count, object, printable};
use crate::process;

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

pub fn list(output: &mut Output, format: Format, runs: &[TrashedRun]) {
    if format == Format::Json {
        runs.iter().for_each(|run| print_run(output, "in_trash", run));
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
pub fn list_contents(output: &mut Output, format: Format, run: &TrashedRun, mut contents: Vec<Entry>) {
    if format == Format::Json {
        print_run(output, "in_trash", run);
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
        None => output.line(format_args!("Kept until  emptied, even on a full disk")),
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

/// Describes a run in a line.
pub fn describe(run: &TrashedRun) -> String {
    let (bytes, blobs) = (BinaryBytes(run.bytes).to_string(), HumanCount(run.blobs));
    let links = HumanCount(run.objects - run.blobs);
    let journal = match &run.header {
        Some(header) => format!(", by {}", header.command),
        None => ", without a readable journal".to_owned(),
    };
    let restoring = if run.restoring { ", being restored" } else { "" };
    format!("{}  {bytes:>12}  {blobs} blobs, {links} other files{journal}{restoring}", run.run)
}

/// Prints a run as JSON. `state` is what becomes of it.
pub fn print_run(output: &mut Output, state: &str, run: &TrashedRun) {
    #[derive(Serialize)]
    struct Line<'a> {
        state: &'a str,
        run: &'a str,
        started: Option<String>,
        kept_until: Option<String>,
        blobs: u64,
        links: u64,
        bytes: u64,
        restoring: bool,
        journal: Option<Journal<'a>>,
    }
    let journal = run.header.as_ref().map(|header| Journal {
        regc: &header.regc,
        command: &header.command,
        delete_untagged: header.delete_untagged,
        min_age: header.min_age,
        live: header.live,
    });
    let line = Line {
        state,
        run: &run.run,
        started: started(run).map(process::time),
        kept_until: kept_until(run).map(process::time),
        blobs: run.blobs,
        links: run.objects - run.blobs,
        bytes: run.bytes,
        restoring: run.restoring,
        journal,
    };
    output.record("run", &line);
}

/// What the journal of a run says of it, as JSON.
#[derive(Serialize)]
struct Journal<'a> {
    regc: &'a str,
    command: &'a str,
    delete_untagged: bool,
    min_age: u64,
    live: bool,
}

/// Prints objects as JSON.
pub fn print_objects(output: &mut Output, state: &str, entries: &[Entry]) {
    #[derive(Serialize)]
    struct Line<'a> {
        state: &'a str,
        object: Object<'a>,
    }
    #[derive(Serialize)]
    struct Object<'a> {
        r#type: Kind,
        repository: Option<&'a str>,
        digest: Option<Digest>,
        path: &'a str,
        bytes: Option<u64>,
    }
    for Entry { kind, repository, digest, path, bytes } in entries {
        let object = Object { r#type: *kind, repository: repository.as_deref(), digest: *digest, path, bytes: *bytes };
        output.record("object", &Line { state, object });
    }
}
