//! A human-readable report.

use std::io::{self, IsTerminal};

use indicatif::{BinaryBytes, HumanCount};
use regc_core::Totals;

use super::{Output, Printer, Run, count, count_of, printable};

/// How many findings are printed to a terminal. A file or a pipe gets all of them.
const FINDINGS_ON_TERMINAL: usize = 20;
/// How many repositories are listed.
const SHARES: usize = 10;

pub struct Human {
    output: Output,
    quiet: bool,
}

impl Human {
    pub fn new(quiet: bool) -> Self {
        Self { output: Output::new(), quiet }
    }

    /// Creates a printer that keeps the report in memory.
    pub fn kept() -> Self {
        Self { output: Output::kept(), quiet: false }
    }

    fn row(&mut self, name: &str, value: &str) {
        self.output.line(format_args!("  {name:<14}{value}"));
    }

    fn store(&mut self, run: &Run<'_>) {
        let summary = run.summary;
        let mut row = |name: &str, value: &str| self.row(name, value);
        row("Repositories", &HumanCount(summary.repositories).to_string());
        if let Some(tags) = summary.tags {
            row("Tags", &HumanCount(tags).to_string());
        }
        row("Manifests", &HumanCount(summary.manifests).to_string());
        row("In use", &format!("{} in {}", BinaryBytes(summary.live_bytes), count(summary.live_blobs, "blob")));
        row("Garbage", &describe(&summary.garbage));
        if summary.hard_linked_bytes > 0 {
            row(
                "Hard links",
                &format!("{} of that has other hard links, and is not freed", BinaryBytes(summary.hard_linked_bytes)),
            );
        }
        if summary.young_blobs > 0 {
            let blobs = count(summary.young_blobs, "blob");
            row("Too young", &format!("{} in {blobs}, kept", BinaryBytes(summary.young_bytes)));
        }
        if !summary.dry_run {
            row(if summary.trashed_as.is_some() { "Moved" } else { "Removed" }, &describe(&summary.removed));
        }
        if !summary.spared.is_empty() {
            row("Spared", &format!("{}: in use again, or needed by a link that is kept", describe(&summary.spared)));
        }
        if !summary.deleted_runs.is_empty() {
            let bytes = BinaryBytes(summary.deleted_runs.iter().map(|run| run.bytes).sum());
            let runs = count(summary.deleted_runs.len() as u64, "old run");
            row("Made room", &format!("{bytes}, by deleting {runs} from the trash for good"));
        }
        if let Some((before, now)) = run.free {
            row("Free", &format!("{}, {} before", BinaryBytes(now), BinaryBytes(before)));
        }
        if summary.trash_bytes > 0 {
            row("Trash", &format!("{}; `regc trash empty` frees it", BinaryBytes(summary.trash_bytes)));
        }
        if summary.protected_repositories > 0 {
            let number = count_of(summary.protected_repositories, "repository", "repositories");
            row("Protected", &format!("{number}, kept in full because of damage (below)"));
        }
        if summary.shared_repositories > 0 {
            let number = count_of(summary.shared_repositories, "repository", "repositories");
            row("Kept in full", &format!("{number} behind symbolic links"));
        }
        if summary.ignored > 0 {
            row("Ignored", &format!("{}, not part of a registry", count(summary.ignored, "name")));
        }
    }

    fn shares(&mut self, run: &Run<'_>) {
        let (shares, rest) = run.plan.shares();
        if shares.is_empty() {
            return;
        }
        self.output.line(format_args!("\nRepositories that free most:"));
        let mut row = |bytes: u64, name: &str, details: &str| {
            let bytes = BinaryBytes(bytes).to_string();
            self.output.line(format_args!("  {bytes:>12}  {name}  ({details})"));
        };
        for share in shares.iter().take(SHARES) {
            row(share.totals.all_bytes(), &printable(share.repository), &parts(&share.totals).join(", "));
        }
        if shares.len() > SHARES {
            let (mut others, number) = (Totals::default(), shares.len() - SHARES);
            shares[SHARES..].iter().for_each(|share| others += share.totals);
            row(others.all_bytes(), &format!("{number} more"), &parts(&others).join(", "));
        }
        if rest.blobs > 0 {
            row(rest.bytes, "linked by no repository", &parts(&rest).join(", "));
        }
    }

    fn next(&mut self, run: &Run<'_>) {
        let summary = run.summary;
        let next = match (summary.garbage.is_empty(), summary.dry_run, run.failures.is_empty()) {
            (true, _, _) => "There is nothing to remove.",
            (false, true, _) => {
                "Nothing was removed: this was a dry run. To remove the garbage, stop the registry and run the same \
                 command\nwithout --dry-run."
            }
            (false, false, _) if summary.interrupted => {
                "Interrupted. Everything that clients can pull is still there, and running regc again continues where \
                 this run\nstopped."
            }
            (false, false, true) if summary.trashed_as.is_some() => {
                "Done. Nothing is lost yet: `regc trash restore` puts it back, `regc trash empty` frees the space."
            }
            (false, false, true) if summary.stale_cache.is_some() => {
                "Done. The registry's cache must be cleared before the registry takes pushes again; a note says how."
            }
            (false, false, true) => "Done. The registry can be started again.",
            (false, false, false) => {
                "Not everything could be removed; the errors follow. Everything that clients can pull is still there, \
                 and\nrunning regc again continues where this run has stopped."
            }
        };
        self.output.line(format_args!("\n{next}"));
    }
}

impl Printer for Human {
    fn decided(&mut self, run: &Run<'_>) {
        if !self.quiet {
            self.row("Storage", &printable(run.place));
            self.output.flush();
        }
    }

    fn done(&mut self, run: &Run<'_>) {
        if self.quiet {
            return;
        }
        self.store(run);
        self.shares(run);
        findings(&mut self.output, run);
        self.next(run);
        self.output.flush();
    }

    fn error(&mut self) -> Option<io::Error> {
        self.output.take_error()
    }

    fn take_kept(&mut self) -> String {
        self.output.take_kept()
    }
}

/// Prints the damage that was found.
pub fn findings(output: &mut Output, run: &Run<'_>) {
    let findings = run.plan.findings();
    if findings.is_empty() {
        return;
    }
    output.line(format_args!("\nDamage: {}", count(findings.len() as u64, "finding")));
    let shown = if io::stdout().is_terminal() { FINDINGS_ON_TERMINAL } else { usize::MAX };
    for finding in findings.iter().take(shown) {
        output.line(format_args!("  {} {}", finding.code(), printable(&finding.message())));
        output.line(format_args!("    file:   {}", printable(&finding.path())));
        output.line(format_args!("    remedy: {}", finding.remedy()));
    }
    if findings.len() > shown {
        let more = HumanCount((findings.len() - shown) as u64);
        output.line(format_args!("  and {more} more; --format json prints them all"));
    }
}

/// `1.20 MiB in 4 blobs, 2 manifests, 3 layer links`.
pub fn describe(totals: &Totals) -> String {
    match (totals.is_empty(), totals.blobs + totals.uploads + totals.file_bytes) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => parts(totals).join(", "),
        (false, _) => {
            let bytes = BinaryBytes(totals.all_bytes());
            format!("{bytes} in {}", parts(totals).join(", "))
        }
    }
}

fn parts(totals: &Totals) -> Vec<String> {
    let Totals { tag_index_entries, tags, revisions, layer_links, blobs, uploads, files, repositories, .. } = *totals;
    let counts = [
        (blobs, "blob", "blobs"),
        (uploads, "upload", "uploads"),
        (files, "other file", "other files"),
        (repositories, "repository", "repositories"),
        (tags, "tag", "tags"),
        (revisions, "manifest", "manifests"),
        (layer_links, "layer link", "layer links"),
        (tag_index_entries, "tag index entry", "tag index entries"),
    ];
    let counts = counts.into_iter();
    counts.filter(|(number, _, _)| *number > 0).map(|(number, one, many)| count_of(number, one, many)).collect()
}
