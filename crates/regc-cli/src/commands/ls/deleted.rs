//! `regc ls --deleted`.

use indicatif::BinaryBytes;
use regc_core::registry::pattern::{Part, Pattern};
use regc_core::undelete::Deleted;
use regc_core::{Error, Store};
use serde_json::json;

use crate::commands::Format;
use crate::output::{Output, printable};
use crate::progress::Progress;
use crate::{ExitStatus, process};

/// Lists what was deleted and can still be had.
pub fn list(store: &Store, progress: &Progress, patterns: &[Pattern], format: Format) -> Result<ExitStatus, Error> {
    let is_wanted = |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches_repository(name));
    let found = store.deleted(is_wanted, progress);
    progress.clear();
    let mut deleted = found?;
    let is_matched = |pattern: &&Pattern| deleted.iter().any(|deleted| is_named(pattern, deleted));
    let unmatched: Vec<&Pattern> = patterns.iter().filter(|pattern| !is_matched(pattern)).collect();
    deleted.retain(|deleted| patterns.is_empty() || patterns.iter().any(|pattern| is_named(pattern, deleted)));
    let mut output = Output::new();
    let mut repository = None;
    for deleted in &deleted {
        match format {
            Format::Json => json_line(&mut output, deleted),
            Format::Human => {
                if repository.replace(&deleted.repository) != Some(&deleted.repository) {
                    output.line(format_args!("{}", printable(&deleted.repository)));
                }
                human(&mut output, deleted);
            }
        }
    }
    Ok(output.end(|| super::tell_of_unmatched(&unmatched)))
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

fn human(output: &mut Output, deleted: &Deleted) {
    let platforms = if deleted.platforms.is_empty() { "-".to_owned() } else { deleted.platforms.join(",") };
    let bytes = BinaryBytes(deleted.bytes).to_string();
    let time = deleted.deleted.map_or_else(|| "at an unknown time".to_owned(), process::time);
    let (kind, digest) = (deleted.kind.name(), deleted.digest);
    let line = format!("{kind:<11}  {platforms:<24}  {bytes:>11}  deleted {time}  {digest}");
    output.line(format_args!("  {}", printable(&line)));
    if !deleted.tags.is_empty() {
        output.line(format_args!("    was tagged {}", printable(&deleted.tags.join(", "))));
    }
    if let Some(missing) = &deleted.missing {
        output.line(format_args!("    not whole: {missing}"));
    }
}

fn json_line(output: &mut Output, deleted: &Deleted) {
    output.json(&json!({
        "type": "deleted",
        "repository": deleted.repository,
        "digest": deleted.digest,
        "kind": deleted.kind,
        "platforms": deleted.platforms,
        "bytes": deleted.bytes,
        "deleted": deleted.deleted.map(process::time),
        "evidence": deleted.evidence,
        "tags": deleted.tags,
        "whole": deleted.missing.is_none(),
        "missing": deleted.missing,
    }));
}
