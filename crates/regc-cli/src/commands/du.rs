//! `regc du`.

use std::path::PathBuf;
use std::time::SystemTime;

use indicatif::BinaryBytes;
use regc_core::Error;
use regc_core::inspect::usage::{Detail, MANY, NamespaceUsage, RepositoryUsage, SharedWith, TagUsage, Usage};
use serde::Serialize;

use crate::ExitStatus;
use crate::commands::manifest_cache::ManifestCache;
use crate::commands::removing::trash_bytes;
use crate::commands::uploads::Unfinished;
use crate::commands::{Common, Format};
use crate::output::{Output, printable};
use crate::progress::Progress;

/// Show where the bytes are: what each repository has for itself, shares and with whom, pulls, keeps without a tag, and
/// what is garbage.
///
/// What a repository has for itself (exclusive) would be freed if it alone went, and its garbage with it. With --files, what is
/// in use, what is garbage, and other files are together exactly what `du --apparent-size` says of the files below
/// docker/registry/v2/blobs. Unfinished uploads and the trash are counted by themselves.
#[derive(clap::Args)]
pub struct Args {
    /// The registry's configuration file; found as `regc gc` finds it if not given
    #[arg(value_name = "CONFIG", conflicts_with_all = ["config", "root"])]
    path: Option<PathBuf>,

    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    manifest_cache: ManifestCache,

    /// Also each tag: what it pulls, and what would be freed if it alone went, and its image with it
    #[arg(long)]
    tags: bool,

    /// Also what is below each part of repositories' names, team/ and team/project/, everything once
    #[arg(long)]
    by_namespace: bool,

    /// Also files beside the content of a blob that do not belong there. That takes several times as long
    #[arg(long)]
    files: bool,
}

/// How many of the repositories that share blobs with one are named in the human-readable output.
const SHARED_WITH: usize = 3;

pub fn run(mut args: Args) -> Result<ExitStatus, Error> {
    args.common = args.common.at(args.path.take());
    let progress = Progress::new(false)?;
    let source = args.common.source()?;
    let store = source.open(&args.common)?.manifest_cache(args.manifest_cache.file(&source));
    let detail = Detail::default().tags(args.tags).namespaces(args.by_namespace).every_file(args.files);
    let scan = store.scan(&progress).inspect_err(|_| progress.clear())?;
    let found = store.usage(&scan, detail, &progress);
    progress.clear();
    let found = found?;
    let names = found.repositories.iter().map(|usage| usage.repository);
    let uploads = store.uploads(names, &progress);
    progress.clear();
    let besides = Besides { uploads: Unfinished::of(&uploads?, SystemTime::now()), trash_bytes: trash_bytes(&store) };
    let mut output = Output::new();
    match args.common.format() {
        Format::Human => human(&mut output, &found, &besides),
        Format::Json => json_lines(&mut output, &found, &besides),
    }
    Ok(output.end(|| ExitStatus::Done))
}

/// What takes up space beside the blobs.
#[derive(Serialize)]
struct Besides {
    uploads: Unfinished,
    trash_bytes: u64,
}

fn human(output: &mut Output, found: &Usage<'_>, besides: &Besides) {
    line(output, ["exclusive", "shared", "pulled", "untagged", "garbage"], "");
    for usage in &found.repositories {
        let RepositoryUsage { exclusive, shared, pulled, untagged, garbage, .. } = *usage;
        row(output, [exclusive, shared, pulled, untagged, garbage].map(Some), usage.repository);
        let shared_with = shared_with(usage);
        if !shared_with.is_empty() {
            output.line(format_args!("{:14}shared with {}", "", printable(&shared_with)));
        }
        for TagUsage { tag, tags_of_image, exclusive, pulled, .. } in &usage.tags {
            let others = if *tags_of_image > 1 { format!("  ({tags_of_image} tags name it)") } else { String::new() };
            row(output, [Some(*exclusive), None, *pulled, None, None], &format!("  :{tag}{others}"));
        }
    }
    if found.unlinked_garbage > 0 {
        row(output, [None, None, None, None, Some(found.unlinked_garbage)], "(linked by no repository)");
    }
    for NamespaceUsage { namespace, exclusive, shared, pulled, .. } in &found.namespaces {
        row(output, [Some(*exclusive), Some(*shared), Some(*pulled), None, None], &format!("{namespace}/"));
    }
    let Usage { total, live, exclusive, shared, pulled, untagged, garbage, other, .. } = *found;
    row(output, [exclusive, shared, pulled, untagged, garbage].map(Some), "(in all, everything once)");
    let [total, live, garbage, other] = [total, live, garbage, other].map(BinaryBytes);
    output.line(format_args!(
        "{total} in all: {live} in use, {garbage} garbage, which `regc gc` gives back, {other} in other files"
    ));
    let Besides { uploads, trash_bytes } = besides;
    if uploads.count > 0 {
        output.line(format_args!("{uploads}"));
    }
    if *trash_bytes > 0 {
        output.line(format_args!("{} in the trash, which `regc trash empty` deletes", BinaryBytes(*trash_bytes)));
    }
}

fn row(output: &mut Output, columns: [Option<u64>; 5], name: &str) {
    let columns = columns.map(|bytes| bytes.map_or(String::new(), |bytes| BinaryBytes(bytes).to_string()));
    line(output, columns.each_ref().map(String::as_str), &printable(name));
}

fn line(output: &mut Output, [a, b, c, d, e]: [&str; 5], name: &str) {
    let line = format!("{a:>12}  {b:>12}  {c:>12}  {d:>12}  {e:>12}  {name}");
    output.line(format_args!("{}", line.trim_end()));
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
        output.json(&Line::Repository(usage));
        usage.tags.iter().for_each(|tag| output.json(&Line::Tag(tag)));
    }
    found.namespaces.iter().for_each(|namespace| output.json(&Line::Namespace(namespace)));
    output.json(&Line::Summary { schema_version: 1, usage: found, besides });
}

/// A line of JSON.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'l> {
    Repository(&'l RepositoryUsage<'l>),
    Tag(&'l TagUsage<'l>),
    Namespace(&'l NamespaceUsage<'l>),
    Summary {
        schema_version: u32,
        #[serde(flatten)]
        usage: &'l Usage<'l>,
        #[serde(flatten)]
        besides: &'l Besides,
    },
}
