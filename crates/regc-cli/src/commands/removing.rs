//! What all commands have in common that remove something.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::{Duration, SystemTime};

use indicatif::BinaryBytes;
use regc_core::collect::guards::refuse_missing_parts;
use regc_core::collect::plan::{Plan, plan};
use regc_core::collect::recover::scan_and_recover;
use regc_core::collect::summary::Summary;
use regc_core::collect::sweep::{Outcome, check_removable, sweep};
use regc_core::error::{Error, Refusal};
use regc_core::finding::Finding;
use regc_core::registry::config::Config;
use regc_core::registry::pattern::Pattern;
use regc_core::scan::deletion::Deletion;
use regc_core::scan::{Options, Scan};
use regc_core::storage::lock::Lock;
use regc_core::storage::{ReadStorage, TrashStorage};
use regc_core::trash::RunSize;
use regc_core::{duration, trash};

use crate::commands::store::{Opening, Store};
use crate::commands::{Common, Format, cache};
use crate::hints::{self, Needing};
use crate::output::{self, Printer, Run};
use crate::progress::Progress;
use crate::{ExitStatus, print_error, process};

/// How something is removed that somebody has named, or has made a rule for.
#[derive(clap::Args)]
pub struct Removing {
    /// Show what would go, remove nothing
    #[arg(short, long)]
    pub dry_run: bool,

    /// Do not ask. Needed where nobody can be asked
    #[arg(short, long, conflicts_with = "dry_run")]
    yes: bool,

    /// Leave blobs and layer links to a later `regc gc`
    #[arg(long)]
    no_gc: bool,

    /// Move to the trash instead of removing. It is on the same disk: the space comes back with `regc trash empty`. If the disk
    /// is full, runs that are at least 7 days old are deleted from the trash to make room
    #[arg(long)]
    trash: bool,

    /// Go on although the registry is running and can be written to. Means --trash, and --min-age 1h unless another is
    /// given. What risk remains is written in docs/safety.md
    #[arg(long)]
    live: bool,

    /// Keep what is younger: tags, and manifests with all they refer to. 90m, 24h, 7d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    min_age: Option<Duration>,

    /// Go on although much of what images need is missing, or a directory looks like an unmounted file system
    #[arg(long)]
    allow_missing: bool,

    /// Also remove blobs behind a symbolic link out of the storage root: no other store uses them
    #[arg(long)]
    allow_symlinked_blobs: bool,

    /// Print nothing but errors; with --format json, the summary too
    #[arg(short, long)]
    pub quiet: bool,
}

/// A store from which something is about to be removed.
pub struct Session<'a> {
    command: &'static str,
    removing: &'a Removing,
    format: Format,
    allow_empty: bool,
    pub store: Store,
    pub started: SystemTime,
}

/// What the scan found, and what may keep the run from going on.
pub type Check<'a> = &'a dyn Fn(&Scan) -> Result<(), Error>;

impl<'a> Session<'a> {
    /// Opens the store, and unless it is a dry run, takes its lock.
    ///
    /// Fails if somebody would have to be asked and cannot be, or if the store is described by somebody else's database.
    pub fn open(command: &'static str, common: &Common, removing: &'a Removing) -> Result<Self, Error> {
        let started = SystemTime::now();
        let is_asked = common.format == Format::Human && can_ask();
        if !removing.dry_run && !removing.yes && !is_asked {
            return Err(Error::Refused(Refusal::Unconfirmed));
        }
        let nothing = Deletion::default();
        let allow_empty = common.allow_empty;
        let removes_tags = Options { deletion: Some(&nothing), allow_empty, ..Options::default() };
        let opening = Opening { dry_run: removing.dry_run, live: removing.live, quiet: removing.quiet };
        let store = Store::open(common.source()?, opening, &removes_tags)?;
        Ok(Self { command, removing, format: common.format, allow_empty, store, started })
    }

    /// Removes what is deletion, once everybody who is asked agrees: `check`, and whoever sits at the terminal.
    ///
    /// `findings` are what was found before.
    pub fn remove(
        &self,
        mut deletion: Deletion,
        findings: Vec<Finding>,
        check: Check<'_>,
    ) -> Result<ExitStatus, Error> {
        deletion.keep_content = self.removing.no_gc;
        let min_age = self.removing.min_age.or(self.removing.live.then_some(MIN_AGE_LIVE));
        let ago = |age: Duration| self.started.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let options = Options {
            recent_since: min_age.map(ago),
            allow_empty: self.allow_empty,
            allow_missing: self.removing.allow_missing,
            allow_symlinked_blobs: self.removing.allow_symlinked_blobs,
            absences: self.store.source.config.absences,
            deletion: Some(&deletion),
            ..Options::default()
        };
        let Store { source, storage, lock, progress } = &self.store;
        let scan = scan_and_recover(&**storage, lock.as_ref(), &options, progress);
        progress.clear();
        let mut scan = scan?;
        refuse_missing_parts(&scan, &options)?;
        // Damage elsewhere is for a collection to tell.
        let concerns = |finding: &Finding| {
            matches!(finding, Finding::InTrash { .. } | Finding::BlobsElsewhere { .. })
                || deletion.of(finding.repository()).is_some()
        };
        scan.findings.retain(concerns);
        scan.add_findings(findings);
        let obstructed = scan.reachable.blocked.iter().filter(|blocked| blocked.is_obstructed()).cloned();
        let obstructed = obstructed.map(Finding::Blocked).collect();
        scan.add_findings(obstructed);
        let plan = plan(&scan, &options)?;
        check(&scan)?;
        let summary = Summary::new(&scan, &options, &plan, None, trash_bytes(&**storage));
        let planned = Run { root: &source.root, scan: &scan, plan: &plan, summary: &summary, failures: &[] };
        let mut printer: Box<dyn Printer> = match self.format {
            Format::Human => Box::new(output::removal::Human::new(self.removing.quiet)),
            Format::Json => Box::new(output::json::Json::new(self.removing.quiet)),
        };
        if self.removing.quiet {
            for finding in &scan.findings {
                eprintln!("regc: {}; {}", output::printable(&finding.message()), finding.remedy());
            }
        }
        printer.decided(&planned);
        let ending = match lock {
            Some(lock) if !plan.totals().is_empty() => {
                if !self.removing.yes && !is_agreed() {
                    return Err(Error::Declined);
                }
                let to_trash = self.removing.trash || self.removing.live;
                let header =
                    to_trash.then(|| header(self.command, self.started, &options, min_age, self.removing.live));
                let run = Removal {
                    config: &source.config,
                    storage: &**storage,
                    lock,
                    options: &options,
                    header: header.as_ref(),
                };
                run.carry_out(&planned, &mut *printer, progress)?
            }
            Some(_) => {
                let nothing = Outcome::default();
                let summary = Summary::new(&scan, &options, &plan, Some(&nothing), summary.trash_bytes);
                printer.done(&Run { summary: &summary, ..planned });
                finish(&mut *printer, ExitStatus::Done)
            }
            None => {
                if self.removing.trash || self.removing.live {
                    refuse_other_filesystem(&**storage, &plan)?;
                }
                printer.done(&planned);
                finish(&mut *printer, ExitStatus::Done)
            }
        };
        Ok(if ending == ExitStatus::Done && !scan.findings.is_empty() { ExitStatus::FoundDamage } else { ending })
    }
}

/// Whether somebody sits at a terminal and can answer.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks whoever sits at the terminal.
pub fn is_agreed() -> bool {
    eprint!("Remove this? [y/N] ");
    io::stderr().flush().ok();
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes")
}

/// Ends a dry run as the real one would end that cannot move anything to the trash. Where regc may not write is another matter:
/// who looks need not be who deletes.
pub fn refuse_other_filesystem(storage: &dyn TrashStorage, plan: &Plan<'_>) -> Result<(), Error> {
    match check_removable(storage, plan, true) {
        Err(error @ Error::OtherFilesystem(_)) => Err(error),
        _ => Ok(()),
    }
}

/// How old everything that goes must be beside a running registry.
pub const MIN_AGE_LIVE: Duration = Duration::from_secs(60 * 60);

/// The first line of the journal of a run that moves to the trash.
pub fn header(
    command: &str,
    started: SystemTime,
    options: &Options<'_>,
    min_age: Option<Duration>,
    live: bool,
) -> trash::Header {
    trash::Header {
        schema_version: 1,
        run: process::run_name(started),
        started: started.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        regc: env!("CARGO_PKG_VERSION").to_owned(),
        command: command.to_owned(),
        delete_untagged: options.delete_untagged,
        min_age: min_age.map_or(0, |age| age.as_secs()),
        live,
    }
}

/// Warns of patterns that match none of these repositories: they may be misspelled.
pub fn tell_of_unused<'n>(patterns: &[Pattern], names: impl Iterator<Item = &'n str> + Clone) {
    for pattern in patterns.iter().filter(|pattern| !names.clone().any(|name| pattern.matches_repository(name))) {
        eprintln!("regc: warning: no repository matches {}", output::printable(&pattern.to_string()));
    }
}

/// How many bytes are in the trash. What is wrong with it must not keep anybody from a report.
pub fn trash_bytes(storage: &dyn ReadStorage) -> u64 {
    match trash::list(storage) {
        Ok(runs) => runs.iter().map(|run| run.bytes).sum(),
        Err(error) => {
            print_error(&error);
            0
        }
    }
}

/// A plan that is about to be carried out.
pub struct Removal<'a> {
    pub config: &'a Config,
    pub storage: &'a dyn TrashStorage,
    pub lock: &'a Lock,
    pub options: &'a Options<'a>,
    pub header: Option<&'a trash::Header>,
}

impl Removal<'_> {
    /// Removes what was planned, and prints what became of it.
    pub fn carry_out(
        &self,
        planned: &Run<'_>,
        printer: &mut dyn Printer,
        progress: &Progress,
    ) -> Result<ExitStatus, Error> {
        let outcome = sweep(self.storage, self.lock, planned.plan, self.options, self.header, progress);
        progress.clear();
        let outcome = match outcome {
            Err(Error::Interrupted) => Outcome { interrupted: true, ..Outcome::default() },
            outcome => outcome?,
        };
        let trash_bytes = trash_bytes(self.storage);
        let mut summary = Summary::new(planned.scan, self.options, planned.plan, Some(&outcome), trash_bytes);
        if outcome.removed.blobs > 0 || outcome.removed.layer_links > 0 {
            summary.stale_cache = cache::stale(self.config);
        }
        printer.done(&Run { summary: &summary, failures: &outcome.failures, ..*planned });
        outcome.failures.iter().for_each(|failure| print_error(failure));
        let needing = Needing::of(self.header);
        hints::print(outcome.failures.iter().find_map(|failure| needing.hint(failure)));
        outcome.deleted_runs.iter().for_each(tell_deleted);
        summary.stale_cache.iter().for_each(cache::warn);
        let ending = match outcome {
            Outcome { interrupted: true, .. } => ExitStatus::Interrupted,
            Outcome { failures, .. } if failures.is_empty() => ExitStatus::Done,
            _ => ExitStatus::Failed,
        };
        Ok(finish(printer, ending))
    }
}

/// Says that a run was deleted from the trash for good. This is printed whatever else is not.
fn tell_deleted(deleted: &RunSize) {
    let bytes = BinaryBytes(deleted.bytes);
    eprintln!("regc: note: the disk was full: run {} was deleted from the trash for good, {bytes}", deleted.run);
}

/// The ending of a run whose report is printed.
pub fn finish(printer: &mut dyn Printer, ending: ExitStatus) -> ExitStatus {
    match printer.error() {
        Some(error) => {
            // The work is done all the same: a full disk that cannot take the report is why it was needed.
            eprintln!("regc: cannot write the report: {error}");
            ExitStatus::Failed
        }
        None => ending,
    }
}
