//! What a deletion removes, human-readable.

use std::collections::BTreeMap;
use std::io;

use indicatif::{BinaryBytes, HumanCount};
use regc_core::{Digest, Item};

use super::human::{self, describe};
use super::{Output, Printer, Run, natural, printable};

pub struct Human {
    output: Output,
    quiet: bool,
    /// How many lines of what is deleted are printed.
    limit: usize,
}

impl Human {
    /// Creates a printer that lists what is deleted in at most `limit` lines.
    pub fn new(quiet: bool, limit: usize) -> Self {
        Self { output: Output::new(), quiet, limit }
    }

    /// Creates a printer that keeps the report in memory.
    pub fn kept(place: &str) -> Self {
        let mut output = Output::kept();
        output.line(format_args!("Storage  {}", printable(place)));
        Self { output, quiet: false, limit: usize::MAX }
    }
}

impl Printer for Human {
    fn decided(&mut self, run: &Run<'_>) {
        if self.quiet {
            return;
        }
        human::findings(&mut self.output, run);
        #[derive(Default)]
        struct Deleted<'p> {
            tags: Vec<(&'p str, Option<Digest>)>,
            others: Vec<String>,
        }
        let mut repositories: BTreeMap<&str, Deleted<'_>> = BTreeMap::new();
        for item in run.plan.items() {
            let (repository, line) = match item {
                Item::Tag { repository, tag, digest } => {
                    repositories.entry(repository).or_default().tags.push((tag, digest));
                    continue;
                }
                Item::Revision { repository, digest, .. } => (repository, format!("manifest  {digest}")),
                Item::Upload { repository, upload, bytes, .. } => {
                    (repository, format!("upload    {upload}  {}", BinaryBytes(bytes)))
                }
                Item::Repository { repository } => (repository, "and the repository itself".to_owned()),
                Item::TagIndexEntry { .. } | Item::LayerLink { .. } | Item::Blob { .. } | Item::File { .. } => continue,
            };
            repositories.entry(repository).or_default().others.push(line);
        }
        let mut lines = Vec::new();
        for (repository, Deleted { mut tags, others }) in repositories {
            lines.push(repository.to_owned());
            tags.sort_by(|(one, _), (other, _)| natural::compare(one, other));
            lines.extend(tags.into_iter().map(|(tag, digest)| match digest {
                Some(digest) => format!("  tag       {tag}  {digest}"),
                None => format!("  tag       {tag}  garbled"),
            }));
            lines.extend(others.into_iter().map(|line| format!("  {line}")));
        }
        for line in lines.iter().take(self.limit) {
            self.output.line(format_args!("{}", printable(line)));
        }
        let more = lines.len().saturating_sub(self.limit);
        if more > 0 && self.limit > 0 {
            self.output.line(format_args!("and {} more (--all)", HumanCount(more as u64)));
        }
        if !run.summary.garbage.is_empty() {
            self.output.line(format_args!("This removes {}.", describe(&run.summary.garbage)));
            if run.summary.hard_linked_bytes > 0 {
                let bytes = BinaryBytes(run.summary.hard_linked_bytes);
                self.output.line(format_args!("{bytes} of that has other hard links, and is not freed."));
            }
        }
        self.output.flush();
    }

    fn done(&mut self, run: &Run<'_>) {
        let summary = run.summary;
        if self.quiet {
            return;
        }
        if summary.garbage.is_empty() {
            let dry_run = if summary.dry_run { " This was a dry run." } else { "" };
            self.output.line(format_args!("There is nothing to remove.{dry_run}"));
        } else if summary.dry_run {
            self.output.line(format_args!("Nothing was removed: this was a dry run."));
        } else {
            let what = if summary.trashed_as.is_some() { "Moved to the trash" } else { "Removed" };
            self.output.line(format_args!("{what}: {}.", describe(&summary.removed)));
            if let Some((before, now)) = run.free {
                self.output.line(format_args!("Free: {}, {} before.", BinaryBytes(now), BinaryBytes(before)));
            }
            if !summary.deleted_runs.is_empty() {
                let bytes = BinaryBytes(summary.deleted_runs.iter().map(|run| run.bytes).sum());
                self.output.line(format_args!("Deleted old runs from the trash for good, to make room: {bytes}."));
            }
            if !summary.spared.is_empty() {
                let spared = describe(&summary.spared);
                self.output.line(format_args!(
                    "Spared: {spared}: in use again, needed by a link that is kept, or not a file of the registry."
                ));
            }
            if summary.interrupted {
                self.output.line(format_args!(
                    "Interrupted. No image is left incomplete; `regc gc` frees the space of the deleted ones."
                ));
            }
        }
        self.output.flush();
    }

    fn error(&mut self) -> Option<io::Error> {
        self.output.take_error()
    }

    fn take_kept(&mut self) -> String {
        self.output.take_kept()
    }
}
