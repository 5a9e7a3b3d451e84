//! What the commands that remove something have in common.

use std::cell::RefCell;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime};

use indicatif::{BinaryBytes, HumanCount};
use regc_core::descriptor_cache::Entry;
use regc_core::registry::pattern::Pattern;
use regc_core::trash::RunSize;
use regc_core::{
    CollectOptions, Deletion, Disposal, Error, Finding, Outcome, Plan, Session, Silent, Store, Summary, duration,
};

use crate::commands::apply::{self, Ways};
use crate::commands::cache::{self, Evicted};
use crate::commands::manifest_cache::ManifestCache;
use crate::commands::owed::Owed;
use crate::commands::plan_file::{Approved, Planning};
use crate::commands::reports::{self, Reports};
use crate::commands::store::{Opened, Opening};
use crate::commands::used::Used;
use crate::commands::{Common, Format};
use crate::failure::Failure;
use crate::hints::{self, Needing};
use crate::output::{self, Printer, Printers, Run};
use crate::{ExitStatus, print_error, process};

/// How something is removed that is named, or that a rule selects.
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

    #[command(flatten)]
    manifest_cache: ManifestCache,

    #[command(flatten)]
    pub reports: reports::Files,

    #[command(flatten)]
    used: Used,

    #[command(flatten)]
    planning: Planning,

    #[clap(skip)]
    approved: Option<(RefCell<Approved>, Ways)>,

    /// List everything that goes, also at a terminal, and where a rule decides
    #[arg(long)]
    pub all: bool,

    /// Print nothing but errors; with --format json, the summary too
    #[arg(short, long)]
    pub quiet: bool,
}

impl Removing {
    /// The same, to carry out a plan that was approved.
    pub fn approved(self, approved: Approved, ways: &Ways) -> Self {
        Self {
            dry_run: ways.dry_run,
            yes: ways.yes,
            quiet: ways.quiet,
            trash: self.trash || ways.trash,
            approved: Some((RefCell::new(approved), ways.clone())),
            ..self
        }
    }
}

/// An open store, from which a command is about to remove something.
pub struct Removal<'a> {
    command: &'static str,
    removing: &'a Removing,
    format: Format,
    pub opened: Opened,
    pub started: SystemTime,
}

/// A step before a plan is carried out: it refuses the plan, or prints it.
pub type Check<'a> = &'a dyn Fn(Plan) -> Result<Plan, Error>;

impl<'a> Removal<'a> {
    /// Opens the store.
    ///
    /// Fails if an operator would have to be asked and cannot be, or if an external database describes the store.
    pub fn open(common: &Common, removing: &'a Removing, reports: &mut Reports<'_>) -> Result<Self, Failure> {
        let started = reports.started;
        let is_asked = common.format() == Format::Human && can_ask();
        if !removing.dry_run && !removing.yes && !is_asked {
            return Err(Failure::Unconfirmed);
        }
        let source = common.source()?;
        reports.check(&source)?;
        removing.planning.check(&source)?;
        let opening = Opening {
            dry_run: removing.dry_run,
            live: removing.live,
            quiet: removing.quiet,
            allow_empty: common.allow_empty,
            jobs: common.jobs,
            manifest_cache: removing.manifest_cache.file(&source),
        };
        let opened = Opened::new(source, opening, &CollectOptions::new(), true)?;
        if common.format() == Format::Human && !removing.quiet {
            output::announce(&opened.place);
        }
        Ok(Self { command: reports.command, removing, format: common.format(), opened, started })
    }

    /// How many lines of what is deleted are listed. Where a rule decides, there are numbers instead.
    fn listed(&self) -> usize {
        match self.command {
            _ if self.removing.all => usize::MAX,
            "prune" => 0,
            _ if io::stdout().is_terminal() => LINES_ON_TERMINAL,
            _ => usize::MAX,
        }
    }

    /// Removes what `deletion` names, unless `check` refuses or the operator at the terminal declines.
    ///
    /// `findings` are those from before, added to the plan's.
    pub fn remove(
        &self,
        session: Option<&Session<'_>>,
        deletion: Deletion,
        findings: Vec<Finding>,
        check: Check<'_>,
        reports: &mut Reports<'_>,
    ) -> Result<ExitStatus, Failure> {
        let Self { removing, opened, .. } = self;
        let min_age = removing.min_age.or(removing.live.then_some(MIN_AGE_LIVE));
        let ago = |age: Duration| self.started.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let options = CollectOptions::new()
            .command(self.command)
            .keep_content(removing.no_gc)
            .keep_since(min_age.map(ago))
            .allow_missing(removing.allow_missing)
            .allow_symlinked_blobs(removing.allow_symlinked_blobs)
            .also_root(removing.used.manifests(&opened.store)?);
        let plan = match session {
            Some(session) => session.plan_deletion(deletion, &options, &opened.progress),
            None => opened.store.plan_deletion(deletion, &options, &opened.progress),
        };
        opened.progress.clear();
        let mut plan = plan?;
        plan.add_findings(findings);
        if let Some((approved, ways)) = &removing.approved {
            approved.borrow().check_store(&opened.root)?;
            plan = apply::restrict(&mut approved.borrow_mut(), plan, ways)?;
        }
        let plan = check(plan)?;
        if removing.approved.is_none() {
            removing.planning.write(&plan, &opened.root)?;
        }
        let shown: Box<dyn Printer> = match self.format {
            Format::Human => Box::new(output::removal::Human::new(removing.quiet, self.listed())),
            Format::Json => Box::new(output::json::Json::new(removing.quiet)),
        };
        let kept = || Box::new(output::removal::Human::kept(&opened.place)) as Box<dyn Printer>;
        let printers = Printers { shown, kept: reports.has_summary().then(kept) };
        let terms = Terms {
            needing: Needing::of(removing.trash, removing.live),
            findings_apart: removing.quiet,
            asks: !removing.yes,
            ends_if_empty: true,
        };
        let status = carry_out(opened, session, plan, printers, &terms, reports);
        reports.time(&opened.progress);
        status
    }
}

/// How many lines of what is deleted are printed to a terminal. A file or a pipe gets all of them.
const LINES_ON_TERMINAL: usize = 40;

/// How a plan is carried out.
pub struct Terms {
    /// Whether what is removed is kept in the trash.
    pub needing: Needing,
    /// Whether findings are printed to the standard error stream, since the report has none.
    pub findings_apart: bool,
    /// Whether the operator is asked first.
    pub asks: bool,
    /// Whether a plan that removes nothing is not carried out.
    pub ends_if_empty: bool,
}

/// Carries out a plan, unless it is a dry run, and prints the outcome.
pub fn carry_out(
    opened: &Opened,
    session: Option<&Session<'_>>,
    mut plan: Plan,
    mut printers: Printers,
    terms: &Terms,
    reports: &mut Reports<'_>,
) -> Result<ExitStatus, Failure> {
    let Opened { store, root, place, progress, .. } = opened;
    let summary = Summary::new(&plan, None, trash_bytes(store));
    if terms.findings_apart {
        for finding in plan.findings() {
            eprintln!("regc: {}; {}", output::printable(&finding.message()), finding.remedy());
        }
    }
    printers.decided(&Run { place, plan: &plan, summary: &summary, failures: &[], free: None, stale: None });
    if plan.totals().all_bytes() > 0 && store.keeps_versions() {
        output::note(format_args!(
            "the bucket keeps versions: what is deleted takes up space until its old version expires"
        ));
    }
    if store.hides_uploads() {
        output::note(format_args!("the server does not list unfinished uploads: they are not counted, and stay"));
    }
    let is_kept = terms.needing != Needing::Nothing;
    let before = Before { owed: Owed::of(store.config(), root), free_bytes: store.free_bytes() };
    if before.owed.is_from_before() && session.is_none() {
        output::note(format_args!(
            "an earlier run could not tell the registry's cache what it has removed: run `regc cache evict`"
        ));
    }
    let outcome = match session {
        None if is_kept => store.check_trash(&plan, progress).map(|()| None)?,
        None => None,
        Some(_) if terms.ends_if_empty && plan.totals().is_empty() => Some(Outcome::default()),
        Some(_) if terms.asks && !is_agreed_to(&plan, &question(&plan, root, is_kept)) => {
            return Err(Failure::Declined);
        }
        Some(session) => {
            plan.confirm();
            before.owed.write();
            let outcome = session.execute(&plan, if is_kept { Disposal::Trash } else { Disposal::Delete }, progress);
            progress.clear();
            Some(match outcome {
                Err(Error::Interrupted) => {
                    let mut outcome = Outcome::default();
                    outcome.interrupted = true;
                    outcome
                }
                outcome => {
                    if outcome.is_ok()
                        && let Err(error) = session.remember(&plan)
                        && !opened.is_quiet()
                    {
                        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                        let told = format!("{error}{}", cause.unwrap_or_default());
                        output::note(format_args!("{}; the next run reads more manifests", output::printable(&told)));
                    }
                    outcome?
                }
            })
        }
    };
    let status = match &outcome {
        Some(outcome) => report(opened, &plan, outcome, &before, &mut printers, terms.needing, reports),
        None => {
            printers.done(&Run { place, plan: &plan, summary: &summary, failures: &[], free: None, stale: None });
            reports.summary = Some(summary);
            ExitStatus::Done
        }
    };
    reports.text = printers.take_kept() + &reports.text;
    reports.findings.extend(plan.findings().iter().cloned());
    reports.free_bytes = store.free_bytes();
    let status = finish(&mut *printers.shown, status);
    Ok(if status == ExitStatus::Done && !plan.findings().is_empty() { ExitStatus::FoundDamage } else { status })
}

/// What was known before a plan was carried out.
struct Before {
    owed: Owed,
    /// How many bytes were free on the file system, if it is on one.
    free_bytes: Option<u64>,
}

/// Prints the outcome of a plan.
fn report(
    Opened { store, place, .. }: &Opened,
    plan: &Plan,
    outcome: &Outcome,
    Before { owed, free_bytes }: &Before,
    printers: &mut Printers,
    needing: Needing,
    reports: &mut Reports<'_>,
) -> ExitStatus {
    let mut summary = Summary::new(plan, Some(outcome), trash_bytes(store));
    let removed = &outcome.removed;
    let evicted = match removed.blobs + removed.layer_links + removed.revisions {
        0 if !owed.is_from_before() => {
            owed.clear();
            Evicted::default()
        }
        // Not all of it was removed, perhaps. What is evicted although it is still there is only cached again.
        _ => cache::evict(store, owed, plan.items().filter_map(|item| Entry::of(&item))),
    };
    summary.evicted = evicted.entries;
    summary.stale_cache.clone_from(&evicted.stale);
    summary.findings += u64::from(evicted.finding.is_some());
    let (free, stale) = (free_bytes.zip(store.free_bytes()), evicted.finding.as_ref());
    printers.done(&Run { place, plan, summary: &summary, failures: &outcome.failures, free, stale });
    outcome.failures.iter().for_each(|failure| print_error(failure));
    hints::print(outcome.failures.iter().find_map(|failure| needing.hint(failure)));
    outcome.deleted_runs.iter().for_each(tell_deleted);
    evicted.warn();
    reports.add_failures(&outcome.failures);
    reports.findings.extend(evicted.finding.clone());
    reports.summary = Some(summary);
    match outcome {
        Outcome { interrupted: true, .. } => ExitStatus::Interrupted,
        Outcome { failures, .. } if !failures.is_empty() => ExitStatus::Failed,
        _ if evicted.finding.is_some() => ExitStatus::FoundDamage,
        _ => ExitStatus::Done,
    }
}

/// Whether an operator at a terminal can answer.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Returns the question before a plan is carried out. It names the store: another one may be meant.
fn question(plan: &Plan, root: &Path, is_kept: bool) -> String {
    let totals = plan.totals();
    let (bytes, blobs) = (BinaryBytes(totals.all_bytes()), HumanCount(totals.blobs));
    let what = match totals.blobs {
        0 => "this".to_owned(),
        1 => format!("this, {bytes} in 1 blob,"),
        _ => format!("this, {bytes} in {blobs} blobs,"),
    };
    let root = root.to_string_lossy();
    let root = output::printable(&root);
    if is_kept { format!("Move {what} to the trash of {root}?") } else { format!("Remove {what} from {root}?") }
}

/// Asks the operator at the terminal whether to carry out a plan. Where no repository would be left, a word must be typed: the
/// pattern may match more than was meant.
fn is_agreed_to(plan: &Plan, question: &str) -> bool {
    let repositories = plan.totals().repositories;
    if repositories < 2 || repositories < plan.repository_names().count() as u64 {
        return is_agreed(question);
    }
    let question = format!("{question} All {} repositories go. Type `everything` to go on:", HumanCount(repositories));
    ask(&question).is_some_and(|answer| answer == "everything")
}

/// Asks the operator at the terminal.
pub fn is_agreed(question: &str) -> bool {
    let answer = ask(&format!("{question} [y/N]"));
    answer.is_some_and(|answer| matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Returns what is typed in answer to a question; `None` if nothing is, or if a signal comes first.
fn ask(question: &str) -> Option<String> {
    eprint!("{question} ");
    io::stderr().flush().ok();
    let (answer, answered) = mpsc::channel();
    // A signal does not end the reading of a line, but this thread ends with the process.
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        answer.send(read.is_ok().then(|| line.trim().to_owned())).ok();
    });
    let interruption = process::watch().ok()?;
    loop {
        match answered.recv_timeout(Duration::from_millis(100)) {
            Ok(answer) => return answer,
            Err(RecvTimeoutError::Timeout) if !interruption.is_there() => {}
            Err(_) => {
                eprintln!();
                return None;
            }
        }
    }
}

/// The default minimum age of what is deleted while a registry runs.
pub const MIN_AGE_LIVE: Duration = Duration::from_secs(60 * 60);

/// Warns of patterns that match none of these repositories: they may be misspelled.
pub fn tell_of_unused<'n>(patterns: &[Pattern], names: impl Iterator<Item = &'n str> + Clone) {
    for pattern in patterns.iter().filter(|pattern| !names.clone().any(|name| pattern.matches_repository(name))) {
        output::warn(format_args!("no repository matches {}", output::printable(&pattern.to_string())));
    }
}

/// Returns how many bytes are in the trash. If it cannot be listed, prints why: the report must not fail because of
/// it.
pub fn trash_bytes(store: &Store) -> u64 {
    match store.trash(&Silent) {
        Err(Error::NoTrash) => 0,
        Ok(runs) => runs.iter().map(|run| run.bytes).sum(),
        Err(error) => {
            print_error(&error);
            0
        }
    }
}

/// Reports that a run was deleted from the trash for good. This is always printed.
fn tell_deleted(deleted: &RunSize) {
    let bytes = BinaryBytes(deleted.bytes);
    output::note(format_args!("the disk was full: run {} was deleted from the trash for good, {bytes}", deleted.run));
}

/// Returns the exit status of a run after its report: a failure if the report was not written.
pub fn finish(printer: &mut dyn Printer, ending: ExitStatus) -> ExitStatus {
    match printer.error() {
        Some(error) => {
            // The work is done all the same: the disk that is too full for the report may be why the run was needed.
            eprintln!("regc: cannot write the report: {error}");
            ExitStatus::Failed
        }
        None => ending,
    }
}
