//! What a deletion removes, human-readable.

use std::collections::BTreeMap;
use std::io;

use indicatif::BinaryBytes;
use regc_core::Item;

use super::human::{self, describe};
use super::{Output, Printer, Run, printable};

pub struct Human {
    output: Output,
    quiet: bool,
}

impl Human {
    pub fn new(quiet: bool) -> Self {
        Self { output: Output::new(), quiet }
    }
}

impl Printer for Human {
    fn decided(&mut self, run: &Run<'_>) {
        if self.quiet {
            return;
        }
        human::findings(&mut self.output, run);
        let mut repositories: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for item in run.plan.items() {
            let (repository, line) = match item {
                Item::Tag { repository, tag, digest: Some(digest) } => {
                    (repository, format!("tag       {tag}  {digest}"))
                }
                Item::Tag { repository, tag, digest: None } => (repository, format!("tag       {tag}  garbled")),
                Item::Revision { repository, digest, .. } => (repository, format!("manifest  {digest}")),
                Item::Upload { repository, upload, bytes, .. } => {
                    (repository, format!("upload    {upload}  {}", BinaryBytes(bytes)))
                }
                Item::Repository { repository } => (repository, "and the repository itself".to_owned()),
                Item::TagIndexEntry { .. } | Item::LayerLink { .. } | Item::Blob { .. } | Item::File { .. } => continue,
            };
            repositories.entry(repository).or_default().push(line);
        }
        for (repository, lines) in repositories {
            self.output.line(format_args!("{}", printable(repository)));
            lines.iter().for_each(|line| self.output.line(format_args!("  {}", printable(line))));
        }
        if !run.summary.garbage.is_empty() {
            self.output.line(format_args!("This removes {}.", describe(&run.summary.garbage)));
            if run.summary.hard_linked_bytes > 0 {
                let bytes = BinaryBytes(run.summary.hard_linked_bytes);
                self.output.line(format_args!("{bytes} of that has other names, as hard links, and is not freed."));
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
                self.output.line(format_args!("Spared: {spared}: in use again, or led to, or not regc's to remove."));
            }
            if summary.interrupted {
                self.output.line(format_args!(
                    "Interrupted. No image is half there; `regc gc` gives back what those have taken up that are gone."
                ));
            }
        }
        self.output.flush();
    }

    fn error(&mut self) -> Option<io::Error> {
        self.output.take_error()
    }
}
