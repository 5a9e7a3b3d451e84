//! `regc ls`.

mod deleted;

use indicatif::BinaryBytes;
use std::collections::{BTreeSet, HashSet};

use regc_core::inspect::catalog::{Image, ListOptions, Listing, Problem, Tag, Tree};
use regc_core::registry::pattern::{Part, Pattern};
use regc_core::{Digest, Error};
use serde_json::{Value, json};

use crate::commands::{Common, Format, pattern};
use crate::output::{Output, printable};
use crate::progress::Progress;
use crate::{ExitStatus, process};

/// Show what is in the store: repositories, tags, images.
#[derive(clap::Args)]
pub struct Args {
    /// Which ones: globs on `repository` or `repository:tag`. `*` stands for one component, `**` for any number
    #[arg(value_name = "PATTERN", value_parser = pattern)]
    patterns: Vec<Pattern>,

    #[command(flatten)]
    common: Common,

    /// Only `repository:tag`, a line for each
    #[arg(long, conflicts_with_all = ["untagged", "tree"])]
    tags_only: bool,

    /// The manifests that no tag reaches, instead of tags
    #[arg(long)]
    untagged: bool,

    /// Also what is in an index, and what is attached to an image
    #[arg(long)]
    tree: bool,

    /// The manifests that were deleted and can still be had (`regc undelete`), instead of tags
    #[arg(long, conflicts_with_all = ["tags_only", "untagged", "tree"])]
    deleted: bool,
}

pub fn run(args: Args) -> Result<ExitStatus, Error> {
    let patterns = &args.patterns;
    let source = args.common.source()?;
    let store = source.open(&args.common)?;
    let progress = Progress::new(false)?;
    if args.deleted {
        return deleted::list(&store, &progress, patterns, args.common.format());
    }
    let images = !args.tags_only && !args.untagged;
    let depth = ListOptions::new().images(images).untagged(args.untagged).trees(args.tree).problems(images);
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
    let mut output = Output::new();
    for listing in &listings {
        match args.common.format() {
            Format::Human if args.tags_only => {
                for tag in &listing.tags {
                    output.line(format_args!("{}", printable(&format!("{}:{}", listing.repository, tag.name))));
                }
            }
            Format::Human => human(&mut output, listing, args.untagged),
            Format::Json => json_lines(&mut output, listing, args.untagged),
        }
    }
    Ok(output.end(|| tell_of_unmatched(&unmatched)))
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
fn tell_of_unmatched(patterns: &[&Pattern]) -> ExitStatus {
    for pattern in patterns {
        eprintln!("regc: nothing matches {}", printable(&pattern.to_string()));
    }
    if patterns.is_empty() { ExitStatus::Done } else { ExitStatus::Failed }
}

fn human(output: &mut Output, listing: &Listing, untagged: bool) {
    if untagged && listing.untagged.is_empty() {
        return;
    }
    output.line(format_args!("{}", printable(&listing.repository)));
    if untagged {
        for untagged in &listing.untagged {
            row(output, 1, "", &untagged.image, Some(process::time(untagged.pushed)));
        }
        return;
    }
    let mut shown = HashSet::new();
    let width = listing.tags.iter().map(|tag| tag.name.chars().count()).max().unwrap_or(0).min(40);
    for tag in &listing.tags {
        let name = format!("{:width$}  ", printable(&tag.name));
        match (&tag.image, tag.digest) {
            (Some(image), _) => {
                row(output, 1, &name, image, Some(process::time(tag.pushed)));
                mark(output, tag);
                below(output, listing, image.digest, &mut shown);
            }
            (None, Some(digest)) => {
                output.line(format_args!("  {name}missing: {digest}"));
                mark(output, tag);
            }
            (None, None) => {
                output.line(format_args!("  {name}garbled"));
                mark(output, tag);
            }
        }
    }
}

/// Prints why a tag cannot be pulled, if it cannot.
fn mark(output: &mut Output, tag: &Tag) {
    if let Some(Problem { kind, digest }) = &tag.problem {
        let digest = digest.map_or_else(String::new, |digest| format!(": {digest}"));
        output.line(format_args!("    {}: {}{digest}", kind.code(), kind.page().title));
    }
}

/// The deepest indentation. Without a limit, each line of a long chain would be longer than the one before it.
const DEEPEST: usize = 12;

/// Prints the children and referrers of an image, unless they are shown above.
fn below(output: &mut Output, listing: &Listing, top: Digest, shown: &mut HashSet<Digest>) {
    let mut pending: Vec<(usize, &str, Digest)> = Vec::new();
    let mut next = Some((1, "", top));
    while let Some((depth, what, digest)) = next {
        if let Some(Tree { image, children, referrers }) = listing.trees.get(&digest) {
            let is_new = shown.insert(digest);
            let leads_on = !children.is_empty() || !referrers.is_empty();
            let name = if !is_new && leads_on { format!("{what}shown above: ") } else { what.to_owned() };
            if depth > 1 {
                row(output, depth.min(DEEPEST), &name, image, None);
            } else if !is_new && leads_on {
                output.line(format_args!("    shown above"));
            }
            if is_new {
                // In reverse order, since the last is popped first.
                pending.extend(referrers.iter().rev().map(|digest| (depth + 1, "attached: ", *digest)));
                pending.extend(children.iter().rev().map(|digest| (depth + 1, "", *digest)));
            }
        }
        next = pending.pop();
    }
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

fn row(output: &mut Output, depth: usize, name: &str, image: &Image, pushed: Option<String>) {
    let platforms = if image.platforms.is_empty() { "-".to_owned() } else { image.platforms.join(",") };
    let bytes = image.bytes.map_or_else(|| "-".to_owned(), |bytes| BinaryBytes(bytes).to_string());
    let created = image.created.as_deref().map_or(String::new(), |created| {
        let day: String = created.chars().take(10).collect();
        format!("  created {day}")
    });
    let pushed = pushed.map_or(String::new(), |pushed| format!("  pushed {pushed}"));
    let (kind, digest) = (image.kind.name(), image.digest);
    let line = format!("{name}{kind:<11}  {platforms:<24}  {bytes:>11}{created}{pushed}  {digest}");
    output.line(format_args!("{:indent$}{}", "", printable(&line), indent = depth * 2));
}

fn json_lines(output: &mut Output, listing: &Listing, untagged: bool) {
    if untagged {
        for untagged in &listing.untagged {
            let pushed = process::time(untagged.pushed);
            let line = json!({
                "type": "untagged", "repository": listing.repository, "pushed": pushed, "image": image(&untagged.image),
            });
            output.json(&line);
        }
        return;
    }
    for Tag { name, digest, pushed, image: found, problem, .. } in &listing.tags {
        let pushed = process::time(*pushed);
        let found = found.as_ref().map(image);
        let line = json!({
            "type": "tag", "repository": listing.repository, "tag": name, "digest": digest, "pushed": pushed, "image": found,
            "problem": problem,
        });
        output.json(&line);
    }
    for tree in reached(listing).iter().filter_map(|digest| listing.trees.get(digest)) {
        output.json(&json!({
            "type": "image", "repository": listing.repository, "image": image(&tree.image),
            "children": tree.children, "referrers": tree.referrers,
        }));
    }
}

fn image(found: &Image) -> Value {
    json!({
        "digest": found.digest,
        "kind": found.kind,
        "platforms": found.platforms,
        "bytes": found.bytes,
        "created": found.created,
    })
}
