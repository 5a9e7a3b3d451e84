//! `regc ls --deleted`.

use indicatif::BinaryBytes;
use regc_core::registry::image::ImageKind;
use regc_core::registry::pattern::{Part, Pattern};
use regc_core::undelete::{Deleted, Evidence};
use regc_core::{Digest, Error, Missing, Store};
use serde::Serialize;

use super::human::Digests;
use crate::commands::Format;
use crate::output::Output;
use crate::output::table::{Cell, Column, Table};
use crate::progress::Progress;
use crate::{ExitStatus, process};

/// Lists what was deleted and can still be had.
pub fn list(
    store: &Store,
    progress: &Progress,
    patterns: &[Pattern],
    format: Format,
    is_full: bool,
) -> Result<ExitStatus, Error> {
    let is_wanted = |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches_repository(name));
    let found = store.deleted(is_wanted, progress);
    progress.clear();
    let mut deleted = found?;
    let is_matched = |pattern: &&Pattern| deleted.iter().any(|deleted| is_named(pattern, deleted));
    let unmatched: Vec<&Pattern> = patterns.iter().filter(|pattern| !is_matched(pattern)).collect();
    deleted.retain(|deleted| patterns.is_empty() || patterns.iter().any(|pattern| is_named(pattern, deleted)));
    let mut output = Output::new();
    match format {
        Format::Json => deleted.iter().for_each(|deleted| json_line(&mut output, deleted)),
        Format::Human => human(&deleted, if is_full { Digests::Whole } else { Digests::for_eyes() }).print(&mut output),
    }
    Ok(output.end(|| super::tell_of_unmatched(store, progress, &unmatched)))
}

/// Whether a pattern names a manifest: by its repository, a tag that named it, or its digest.
fn is_named(pattern: &Pattern, deleted: &Deleted) -> bool {
    pattern.matches_repository(&deleted.repository)
        && match pattern.part() {
            Part::All => true,
            Part::Tags(_) => deleted.tags.iter().any(|tag| pattern.matches_tag(&deleted.repository, tag)),
            Part::Manifest(digest) => *digest == deleted.digest,
        }
}

const COLUMNS: [Column; 5] = [
    Column::text("KIND"),
    Column::text("PLATFORMS").at_least(9),
    Column::number("SIZE"),
    Column::text("DELETED").spare(),
    Column::text("DIGEST"),
];

fn human(deleted: &[Deleted], digests: Digests) -> Table {
    let mut table = Table::new(&COLUMNS);
    for of_one in deleted.chunk_by(|one, other| one.repository == other.repository) {
        for (at, deleted) in of_one.iter().enumerate() {
            if at == 0 {
                table.title(&deleted.repository);
            }
            table.row(vec![
                Cell::text(&format!("  {}", deleted.kind.name())),
                Cell::text(&deleted.platforms.join(",")),
                Cell::bytes(BinaryBytes(deleted.bytes)),
                Cell::text(&deleted.deleted.map_or_else(|| "unknown".to_owned(), process::time)),
                digests.cell(&deleted.digest),
            ]);
            if !deleted.tags.is_empty() {
                table.text(&format!("    was tagged {}", deleted.tags.join(", ")));
            }
            if let Some(missing) = &deleted.missing {
                table.text(&format!("    incomplete: {missing}"));
            }
        }
    }
    table
}

fn json_line(output: &mut Output, deleted: &Deleted) {
    #[derive(Serialize)]
    struct Line<'a> {
        repository: &'a str,
        digest: Digest,
        kind: ImageKind,
        platforms: &'a [String],
        bytes: u64,
        deleted: Option<String>,
        evidence: Evidence,
        tags: &'a [String],
        whole: bool,
        missing: &'a Option<Missing>,
    }
    let line = Line {
        repository: &deleted.repository,
        digest: deleted.digest,
        kind: deleted.kind,
        platforms: &deleted.platforms,
        bytes: deleted.bytes,
        deleted: deleted.deleted.map(process::time),
        evidence: deleted.evidence,
        tags: &deleted.tags,
        whole: deleted.missing.is_none(),
        missing: &deleted.missing,
    };
    output.record("deleted", &line);
}
