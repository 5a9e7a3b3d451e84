//! `regc ls`.

mod deleted;
mod human;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ptr;

use clap::ValueEnum;
use indicatif::HumanCount;
use regc_core::inspect::catalog::{Image, ListOptions, Listing, Problem, Tag};
use regc_core::registry::image::ImageKind;
use regc_core::registry::pattern::{Part, Pattern};
use regc_core::{Digest, Error, Store};
use serde::Serialize;

use self::human::Digests;
use crate::commands::similar::similar;
use crate::commands::{Common, Format, pattern};
use crate::output::{self, Output, natural, printable};
use crate::progress::Progress;
use crate::{ExitStatus, hints, process};

/// List what is in the store: repositories, tags and images.
#[derive(clap::Args)]
pub struct Args {
    /// What to list: globs on `repository` or `repository:tag`. `*` stands for one component, `**` for any number
    #[arg(value_name = "PATTERN", value_parser = pattern)]
    patterns: Vec<Pattern>,

    #[command(flatten)]
    common: Common,

    /// Print only `repository:tag`, one per line
    #[arg(long, conflicts_with_all = ["untagged", "tree"])]
    tags_only: bool,

    /// List untagged manifests instead of tags
    #[arg(long)]
    untagged: bool,

    /// Also list the manifests in each index, and what is attached to each image
    #[arg(long)]
    tree: bool,

    /// List deleted manifests that `regc undelete` can still link again, instead of tags
    #[arg(long, conflicts_with_all = ["tags_only", "untagged", "tree"])]
    deleted: bool,

    /// Sort the tags of all repositories by this, largest or newest first. Default: by repository and name
    #[arg(long, value_enum, value_name = "BY", conflicts_with_all = ["untagged", "tree", "deleted"])]
    sort: Option<Sort>,

    /// Reverse the order
    #[arg(long, conflicts_with_all = ["untagged", "tree", "deleted"])]
    reverse: bool,

    /// List at most this many tags
    #[arg(short = 'n', long, value_name = "N", conflicts_with_all = ["untagged", "tree", "deleted"])]
    limit: Option<usize>,

    /// Print whole digests, even on a terminal
    #[arg(long)]
    full: bool,
}

/// What tags are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    Name,
    Size,
    Pushed,
    Created,
}

pub fn run(args: Args) -> Result<ExitStatus, Error> {
    let patterns = &args.patterns;
    let source = args.common.source()?;
    let store = source.open(&args.common)?;
    let progress = Progress::new(false)?;
    if args.deleted {
        return deleted::list(&store, &progress, patterns, args.common.format(), args.full);
    }
    let is_sorted_by_image = matches!(args.sort, Some(Sort::Size | Sort::Created));
    let images = (!args.tags_only || is_sorted_by_image) && !args.untagged;
    let depth =
        ListOptions::new().images(images).untagged(args.untagged).trees(args.tree).problems(images && !args.tags_only);
    let is_wanted = |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches_repository(name));
    let listed = store.list(is_wanted, depth, &progress);
    progress.clear();
    let mut listings = listed?;
    let unmatched: Vec<&Pattern> =
        patterns.iter().filter(|pattern| !listings.iter().any(|listing| is_matched(pattern, listing))).collect();
    if !patterns.is_empty() {
        for listing in &mut listings {
            let repository = listing.repository.clone();
            listing.tags.retain(|tag| patterns.iter().any(|pattern| pattern.matches_tag(&repository, &tag.name)));
        }
        let of_tags = patterns.iter().all(|pattern| !matches!(pattern.part(), Part::All));
        listings.retain(|listing| !of_tags || !listing.tags.is_empty());
    }
    let (chosen, more) = chosen(&listings, &args);
    let mut output = Output::new();
    match args.common.format() {
        Format::Json => json_lines(&mut output, &listings, &chosen, args.untagged),
        Format::Human if args.tags_only => {
            for (listing, tag) in chosen.iter().filter_map(|(listing, tag)| Some((listing, (*tag)?))) {
                output.line(format_args!("{}", printable(&format!("{}:{}", listing.repository, tag.name))));
            }
        }
        Format::Human => {
            let digests = if args.full { Digests::Whole } else { Digests::for_eyes() };
            match (args.untagged, args.sort) {
                (true, _) => human::untagged(&listings, digests),
                (false, Some(_)) => human::flat(&chosen, digests),
                (false, None) => human::grouped(&chosen, digests),
            }
            .print(&mut output);
            if more > 0 {
                output.line(format_args!("and {} more", HumanCount(more as u64)));
            }
        }
    }
    Ok(output.end(|| tell_of_unmatched(&store, &progress, &unmatched)))
}

/// A tag of a repository; a repository without tags has none.
type Chosen<'l> = (&'l Listing, Option<&'l Tag>);

/// Returns the tags to list, in order, and how many more there are.
fn chosen<'l>(listings: &'l [Listing], args: &Args) -> (Vec<Chosen<'l>>, usize) {
    let by_name = |one: &&Tag, other: &&Tag| natural::compare(&one.name, &other.name);
    let mut chosen: Vec<Chosen<'l>> = Vec::new();
    for listing in listings {
        let mut tags: Vec<&Tag> = listing.tags.iter().collect();
        tags.sort_by(by_name);
        if tags.is_empty() && args.sort.is_none() {
            chosen.push((listing, None));
        }
        chosen.extend(tags.into_iter().map(|tag| (listing, Some(tag))));
    }
    match args.sort {
        None | Some(Sort::Name) => {}
        Some(Sort::Size) => chosen.sort_by_key(|found| Reverse(image_of(found).and_then(|image| image.bytes))),
        Some(Sort::Pushed) => chosen.sort_by_key(|(_, tag)| Reverse(tag.map(|tag| tag.pushed))),
        Some(Sort::Created) => {
            chosen.sort_by_key(|found| Reverse(image_of(found).and_then(|image| image.created.as_deref())))
        }
    }
    if args.reverse {
        chosen.reverse();
    }
    let more = chosen.len().saturating_sub(args.limit.unwrap_or(usize::MAX));
    chosen.truncate(chosen.len() - more);
    (chosen, more)
}

fn image_of<'l>((_, tag): &Chosen<'l>) -> Option<&'l Image> {
    tag.and_then(|tag| tag.image.as_ref())
}

/// Whether a pattern matches something in a repository that can be listed.
fn is_matched(pattern: &Pattern, listing: &Listing) -> bool {
    let repository = &listing.repository;
    pattern.matches_repository(repository)
        && match pattern.part() {
            Part::All => true,
            Part::Tags(_) => listing.tags.iter().any(|tag| pattern.matches_tag(repository, &tag.name)),
            Part::Manifest(digest) => listing.untagged.iter().any(|untagged| untagged.image.digest == *digest),
        }
}

/// Reports the patterns that match nothing. That is a failure: one of them may be misspelled.
fn tell_of_unmatched(store: &Store, progress: &Progress, patterns: &[&Pattern]) -> ExitStatus {
    for pattern in patterns {
        output::fail(format_args!("nothing matches {}", printable(&pattern.to_string())));
    }
    if patterns.is_empty() {
        return ExitStatus::Done;
    }
    hints::print(similar(store, progress, patterns));
    ExitStatus::Failed
}

/// Returns what the listed tags name, and everything reachable from it.
fn reached(listing: &Listing) -> BTreeSet<Digest> {
    let mut reached = BTreeSet::new();
    let mut pending: Vec<Digest> = listing.tags.iter().filter_map(|tag| tag.digest).collect();
    while let Some(digest) = pending.pop() {
        if let Some(tree) = listing.trees.get(&digest)
            && reached.insert(digest)
        {
            pending.extend(tree.children.iter().chain(&tree.referrers));
        }
    }
    reached
}

fn json_lines(output: &mut Output, listings: &[Listing], chosen: &[Chosen<'_>], untagged: bool) {
    for listing in listings.iter().filter(|_| untagged) {
        for untagged in &listing.untagged {
            let (repository, pushed) = (&*listing.repository, process::time(untagged.pushed));
            output.record("untagged", &JsonUntagged { repository, pushed, image: JsonImage::new(&untagged.image) });
        }
    }
    if untagged {
        return;
    }
    for of_one in chosen.chunk_by(|(one, _), (other, _)| ptr::eq(*one, *other)) {
        for (listing, tag) in of_one {
            let Some(Tag { name, digest, pushed, image: found, problem, .. }) = tag else { continue };
            let image = found.as_ref().map(JsonImage::new);
            let (repository, pushed) = (&*listing.repository, process::time(*pushed));
            output.record("tag", &JsonTag { repository, tag: name, digest, pushed, image, problem });
        }
        let Some((listing, _)) = of_one.first() else { continue };
        for tree in reached(listing).iter().filter_map(|digest| listing.trees.get(digest)) {
            let (repository, image) = (&*listing.repository, JsonImage::new(&tree.image));
            let (children, referrers) = (&tree.children, &tree.referrers);
            output.record("image", &JsonTree { repository, image, children, referrers });
        }
    }
}

/// A tag, as JSON.
#[derive(Serialize)]
struct JsonTag<'a> {
    repository: &'a str,
    tag: &'a str,
    digest: &'a Option<Digest>,
    pushed: String,
    image: Option<JsonImage<'a>>,
    problem: &'a Option<Problem>,
}

/// A manifest that no tag reaches, as JSON.
#[derive(Serialize)]
pub struct JsonUntagged<'a> {
    pub repository: &'a str,
    pub pushed: String,
    pub image: JsonImage<'a>,
}

/// An image, and what belongs to it, as JSON.
#[derive(Serialize)]
struct JsonTree<'a> {
    repository: &'a str,
    image: JsonImage<'a>,
    children: &'a [Digest],
    referrers: &'a [Digest],
}

/// An image, as JSON.
#[derive(Serialize)]
pub struct JsonImage<'a> {
    digest: &'a Digest,
    kind: ImageKind,
    platforms: &'a [String],
    bytes: Option<u64>,
    created: Option<String>,
}

impl<'a> JsonImage<'a> {
    pub fn new(found: &'a Image) -> Self {
        Self {
            digest: &found.digest,
            kind: found.kind,
            platforms: &found.platforms,
            bytes: found.bytes,
            // Whatever a client has written there.
            created: found.created.as_ref().and_then(|created| process::parse_time(created)).map(process::time),
        }
    }
}
