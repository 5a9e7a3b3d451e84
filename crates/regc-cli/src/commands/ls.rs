//! `regc ls`.

mod deleted;

use indicatif::BinaryBytes;
use regc_core::catalog::{Depth, Image, Listing, Tag, catalog};
use regc_core::error::Error;
use regc_core::pattern::{Part, Pattern};
use regc_core::survey::Options;
use serde_json::{Value, json};

use crate::commands::{Common, Format};
use crate::output::{Output, printable};
use crate::{Ending, process};

/// Show what is in the store: repositories, tags, images.
#[derive(clap::Args)]
pub struct Args {
    /// Which ones: globs on `repository` or `repository:tag`. `*` stands for one component, `**` for any number
    #[arg(value_name = "PATTERN", value_parser = Pattern::parse)]
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

pub fn run(args: Args) -> Result<Ending, Error> {
    let patterns = &args.patterns;
    let storage = args.common.open()?;
    if args.deleted {
        return deleted::list(&*storage, patterns, args.common.format);
    }
    let images = !args.tags_only && !args.untagged;
    let depth = Depth { images, untagged: args.untagged, trees: args.tree, owners: false };
    let is_wanted = |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches_repository(name));
    let mut listings = catalog(&*storage, is_wanted, depth, Options::default().jobs)?;
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
        match args.common.format {
            _ if args.tags_only => {
                for tag in &listing.tags {
                    output.line(format_args!("{}", printable(&format!("{}:{}", listing.repository, tag.name))));
                }
            }
            Format::Human => human(&mut output, listing, args.untagged),
            Format::Json => json_lines(&mut output, listing, args.untagged),
        }
    }
    output.flush();
    match output.take_error() {
        Some(error) => {
            eprintln!("regc: cannot write the list: {error}");
            Ok(Ending::Failed)
        }
        // As grep: nothing that matches is no success.
        None if listings.is_empty() && !patterns.is_empty() => {
            eprintln!("regc: nothing matches");
            Ok(Ending::Failed)
        }
        None => Ok(Ending::Done),
    }
}

fn human(output: &mut Output, listing: &Listing, untagged: bool) {
    if untagged && listing.untagged.is_empty() {
        return;
    }
    output.line(format_args!("{}", printable(&listing.repository)));
    if untagged {
        for untagged in &listing.untagged {
            row(output, 1, "", &untagged.image, Some(process::time(untagged.pushed)));
            below(output, 2, &untagged.image);
        }
        return;
    }
    let width = listing.tags.iter().map(|tag| tag.name.chars().count()).max().unwrap_or(0).min(40);
    for tag in &listing.tags {
        let name = format!("{:width$}  ", printable(&tag.name));
        match (&tag.image, tag.digest) {
            (Some(image), _) => {
                row(output, 1, &name, image, Some(process::time(tag.pushed)));
                below(output, 2, image);
            }
            (None, Some(digest)) => output.line(format_args!("  {name}missing: {digest}")),
            (None, None) => output.line(format_args!("  {name}garbled")),
        }
    }
}

fn below(output: &mut Output, depth: usize, image: &Image) {
    for (what, images) in [("", &image.children), ("attached: ", &image.referrers)] {
        for image in images {
            row(output, depth, what, image, None);
            below(output, depth + 1, image);
        }
    }
}

fn row(output: &mut Output, depth: usize, name: &str, image: &Image, pushed: Option<String>) {
    let platforms = if image.platforms.is_empty() { "-".to_owned() } else { image.platforms.join(",") };
    let bytes = BinaryBytes(image.bytes).to_string();
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
    for Tag { name, digest, pushed, image: found, .. } in &listing.tags {
        let pushed = process::time(*pushed);
        let found = found.as_ref().map(image);
        let line = json!({
            "type": "tag", "repository": listing.repository, "tag": name, "digest": digest, "pushed": pushed, "image": found,
        });
        output.json(&line);
    }
}

fn image(found: &Image) -> Value {
    json!({
        "digest": found.digest,
        "kind": found.kind,
        "platforms": found.platforms,
        "bytes": found.bytes,
        "created": found.created,
        "children": found.children.iter().map(image).collect::<Vec<_>>(),
        "referrers": found.referrers.iter().map(image).collect::<Vec<_>>(),
    })
}
