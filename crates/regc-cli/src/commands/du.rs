//! `regc du`.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::ValueEnum;
use indicatif::{BinaryBytes, HumanCount};
use regc_core::inspect::disk_usage::DiskUsage;
use regc_core::inspect::usage::{Detail, MANY, NamespaceUsage, RepositoryUsage, SharedWith, TagUsage, Usage};
use regc_core::registry::config::Driver;
use regc_core::{Error, Summary};
use serde::Serialize;

use crate::ExitStatus;
use crate::commands::carry_out::trash_bytes;
use crate::commands::manifest_cache::ManifestCache;
use crate::commands::uploads::Unfinished;
use crate::commands::{Common, Format};
use crate::output::table::{Cell, Column, Table};
use crate::output::{Output, Versioned, count_of, natural};
use crate::progress::Progress;

/// Show where the bytes are: the exclusive and shared space of each repository, and garbage.
///
/// For each repository, also shows which others it shares space with, what its tags pull, and what is untagged. The
/// exclusive space of a repository is what only this repository uses: it would be freed, with its garbage, if only the
/// repository were deleted. With --files, content in use, garbage, and other files add up to what `du --apparent-size`
/// reports of the files below docker/registry/v2/blobs. Unfinished uploads and the trash are counted separately.
#[derive(clap::Args)]
pub struct Args {
    /// The registry's configuration file. Default: as for `regc gc`
    #[arg(value_name = "CONFIG", conflicts_with_all = ["config", "root"])]
    path: Option<PathBuf>,

    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    manifest_cache: ManifestCache,

    /// Also show each tag: what it pulls, and its exclusive space, which would be freed if only it and its image were
    /// deleted
    #[arg(long)]
    tags: bool,

    /// Also show each namespace, such as team/ and team/project/, with shared content counted once
    #[arg(long)]
    by_namespace: bool,

    /// Also count foreign files beside the content of blobs. Takes several times as long
    #[arg(long)]
    files: bool,

    /// Instead, show what the store takes up on its file system, by kind: blobs, links, directories, uploads, trash.
    /// The total equals that of `du -s`, which counts blocks, and does not follow symbolic links
    #[arg(long, conflicts_with_all = ["tags", "by_namespace", "files", "sort", "top"])]
    disk_usage: bool,

    /// Sort repositories by this, largest first. Default: by what deleting them would free
    #[arg(long, value_enum, value_name = "BY")]
    sort: Option<Sort>,

    /// Show only the first N repositories; the totals include all
    #[arg(long, value_name = "N")]
    top: Option<usize>,
}

/// What repositories are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    Name,
    Exclusive,
    Shared,
    Pulled,
    Untagged,
    Garbage,
}

const COLUMNS: [Column; 6] = [
    Column::number("EXCLUSIVE"),
    Column::number("SHARED"),
    Column::number("PULLED"),
    Column::number("UNTAGGED"),
    Column::number("GARBAGE"),
    Column::text("REPOSITORY").at_least(20),
];

/// How many of the repositories that share blobs with one are named in the human-readable output.
const SHARED_WITH: usize = 3;

pub fn run(mut args: Args) -> Result<ExitStatus, Error> {
    args.common = args.common.at(args.path.take());
    let progress = Progress::new(false)?;
    let source = args.common.source()?;
    // Known without a request.
    if args.disk_usage && matches!(source.config.driver, Driver::S3(_) | Driver::Gcs(_) | Driver::Azure(_)) {
        return Err(Error::NoFileSystem);
    }
    let store = source.open(&args.common)?;
    if args.disk_usage {
        let usage = store.disk_usage(&progress);
        progress.clear();
        let mut output = Output::new();
        print_disk_usage(&mut output, args.common.format(), &usage?);
        return Ok(output.end(|| ExitStatus::Done));
    }
    let store = store.manifest_cache(args.manifest_cache.file(&source));
    let detail = Detail::default().tags(args.tags).namespaces(args.by_namespace).every_file(args.files);
    let scan = store.scan(&progress).inspect_err(|_| progress.clear())?;
    let found = store.usage(&scan, detail, &progress);
    progress.clear();
    let mut found = found?;
    let names = found.repositories.iter().map(|usage| usage.repository);
    let uploads = store.uploads(names, &progress);
    progress.clear();
    let besides = Besides { uploads: Unfinished::of(&uploads?, SystemTime::now()), trash_bytes: trash_bytes(&store) };
    sort(&mut found.repositories, args.sort);
    let more = found.repositories.len().saturating_sub(args.top.unwrap_or(usize::MAX));
    found.repositories.truncate(found.repositories.len() - more);
    let mut output = Output::new();
    match args.common.format() {
        Format::Human => human(&mut output, &found, more, &besides),
        Format::Json => json_lines(&mut output, &found, &besides),
    }
    Ok(output.end(|| ExitStatus::Done))
}

const PARTS: [Column; 3] = [Column::number("ON DISK"), Column::number("FILES"), Column::text("PART")];

fn print_disk_usage(output: &mut Output, format: Format, usage: &DiskUsage) {
    if format == Format::Json {
        output.record("disk_usage", &Versioned { schema_version: Summary::SCHEMA_VERSION, fields: usage });
        return;
    }
    let mut table = Table::new(&PARTS);
    for (taken, part) in [
        (usage.blobs, "blobs"),
        (usage.links, "links"),
        (usage.directories, "directories"),
        (usage.uploads, "unfinished uploads"),
        (usage.trash, "trash"),
        (usage.own, "other files of regc"),
        (usage.other, "foreign files"),
        (usage.total, "(in total, as `du -s`)"),
    ] {
        let files = HumanCount(taken.entries).to_string();
        table.row(vec![Cell::bytes(BinaryBytes(taken.bytes)), Cell::text(&files), Cell::text(part)]);
    }
    table.print(output);
}

/// What takes up space beside the blobs.
#[derive(Serialize)]
struct Besides {
    uploads: Unfinished,
    trash_bytes: u64,
}

/// Orders repositories, and by name also the tags in them.
fn sort(repositories: &mut [RepositoryUsage<'_>], by: Option<Sort>) {
    match by {
        None => {}
        Some(Sort::Name) => {
            repositories.sort_by_key(|usage| usage.repository);
            for usage in repositories {
                usage.tags.sort_by(|one, other| natural::compare(&one.tag, &other.tag));
            }
        }
        Some(Sort::Exclusive) => repositories.sort_by_key(|usage| Reverse(usage.exclusive)),
        Some(Sort::Shared) => repositories.sort_by_key(|usage| Reverse(usage.shared)),
        Some(Sort::Pulled) => repositories.sort_by_key(|usage| Reverse(usage.pulled)),
        Some(Sort::Untagged) => repositories.sort_by_key(|usage| Reverse(usage.untagged)),
        Some(Sort::Garbage) => repositories.sort_by_key(|usage| Reverse(usage.garbage)),
    }
}

fn human(output: &mut Output, found: &Usage<'_>, more: usize, besides: &Besides) {
    let mut table = Table::new(&COLUMNS);
    for usage in &found.repositories {
        let RepositoryUsage { exclusive, shared, pulled, untagged, garbage, .. } = *usage;
        row(&mut table, [exclusive, shared, pulled, untagged, garbage].map(Some), usage.repository);
        let shared_with = shared_with(usage);
        if !shared_with.is_empty() {
            table.text(&format!("{:14}shared with {shared_with}", ""));
        }
        for TagUsage { tag, tags_of_image, exclusive, pulled, .. } in &usage.tags {
            let others = if *tags_of_image > 1 { format!("  ({tags_of_image} tags name it)") } else { String::new() };
            row(&mut table, [Some(*exclusive), None, *pulled, None, None], &format!("  :{tag}{others}"));
        }
    }
    if more > 0 {
        table.text(&format!("and {} (without --top)", count_of(more as u64, "more repository", "more repositories")));
    }
    if found.unlinked_garbage > 0 {
        row(&mut table, [None, None, None, None, Some(found.unlinked_garbage)], "(linked by no repository)");
    }
    for NamespaceUsage { namespace, exclusive, shared, pulled, .. } in &found.namespaces {
        row(&mut table, [Some(*exclusive), Some(*shared), Some(*pulled), None, None], &format!("{namespace}/"));
    }
    let Usage { total, live, exclusive, shared, pulled, untagged, garbage, other, .. } = *found;
    row(&mut table, [exclusive, shared, pulled, untagged, garbage].map(Some), "(total, everything once)");
    table.print(output);
    let [total, live, garbage, other] = [total, live, garbage, other].map(BinaryBytes);
    output.line(format_args!(
        "{total} in total: {live} in use, {garbage} garbage, which `regc gc` frees, {other} in other files"
    ));
    let Besides { uploads, trash_bytes } = besides;
    if uploads.count > 0 {
        output.line(format_args!("{uploads}"));
    }
    if *trash_bytes > 0 {
        output.line(format_args!("{} in the trash, which `regc trash empty` deletes", BinaryBytes(*trash_bytes)));
    }
}

fn row(table: &mut Table, columns: [Option<u64>; 5], name: &str) {
    let bytes =
        |bytes: Option<u64>| bytes.map_or_else(Cell::empty, |bytes| Cell::text(&BinaryBytes(bytes).to_string()));
    table.row(columns.map(bytes).into_iter().chain([Cell::text(name)]).collect());
}

/// `other (1.20 MiB), team/app (3 B) and 4 more; 2.00 MiB with more than 100 repositories`.
fn shared_with(usage: &RepositoryUsage<'_>) -> String {
    let named = usage.shared_with.iter().take(SHARED_WITH);
    let named = named.map(|SharedWith { repository, bytes, .. }| format!("{repository} ({})", BinaryBytes(*bytes)));
    let mut text = named.collect::<Vec<_>>().join(", ");
    let more = usage.shared_with.len().saturating_sub(SHARED_WITH) as u64 + usage.shared_with_more;
    if more > 0 {
        text += &format!(" and {more} more");
    }
    if usage.shared_by_many > 0 {
        let separator = if text.is_empty() { "" } else { "; " };
        text += &format!("{separator}more than {MANY} repositories ({})", BinaryBytes(usage.shared_by_many));
    }
    text
}

fn json_lines(output: &mut Output, found: &Usage<'_>, besides: &Besides) {
    for usage in &found.repositories {
        output.record("repository", usage);
        usage.tags.iter().for_each(|tag| output.record("tag", tag));
    }
    found.namespaces.iter().for_each(|namespace| output.record("namespace", namespace));
    output.summary(&Last { usage: found, besides });
}

/// The last line of JSON.
#[derive(Serialize)]
struct Last<'l> {
    #[serde(flatten)]
    usage: &'l Usage<'l>,
    #[serde(flatten)]
    besides: &'l Besides,
}
