//! What the commands that remove something have in common.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, SystemTime};

use regc_core::registry::pattern::Pattern;
use regc_core::{CollectOptions, Deletion, Error, Finding, Plan, Session, duration};

use crate::ExitStatus;
use crate::commands::apply::{self, Ways};
use crate::commands::carry_out::{Terms, carry_out};
use crate::commands::manifest_cache::ManifestCache;
use crate::commands::plan_file::{Approved, Planning};
use crate::commands::question::can_ask;
use crate::commands::reports::{self, Reports};
use crate::commands::store::{Opened, Opening};
use crate::commands::used::Used;
use crate::commands::{Common, Format};
use crate::failure::Failure;
use crate::hints::Needing;
use crate::output::{self, Printer, Printers};

/// How something is removed that is named, or that a rule selects.
#[derive(clap::Args)]
pub struct Removing {
    /// Show what would be deleted; delete nothing
    #[arg(short, long)]
    pub dry_run: bool,

    /// Do not ask. Required when standard input is not a terminal, and with --format json
    #[arg(short, long, conflicts_with = "dry_run")]
    yes: bool,

    /// Leave blobs and layer links for a later `regc gc`
    #[arg(long)]
    no_gc: bool,

    /// Move to the trash instead of removing. The trash is on the same disk: `regc trash empty` frees the space. If the
    /// disk is full, runs in the trash that are at least 7 days old are deleted to make room
    #[arg(long)]
    trash: bool,

    /// Run even if the registry is running and accepts pushes. Implies --trash, and --min-age 1h unless --min-age is
    /// given. docs/safety.md describes the remaining risk
    #[arg(long)]
    live: bool,

    /// Keep what is younger than this: tags, and manifests with all they refer to. Examples: 90m, 24h, 7d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    min_age: Option<Duration>,

    /// Run even if much of what images need is missing, or a directory looks like an unmounted file system
    #[arg(long)]
    allow_missing: bool,

    /// Also remove blobs behind a symbolic link out of the storage root. Use it only if no other store uses them
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
    approved: Option<(Approved, Ways)>,

    /// List everything that is deleted, without shortening the list
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
            approved: Some((approved, ways.clone())),
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
    /// Whether rules decide what is deleted. Then there are numbers in place of a list.
    pub is_by_rule: bool,
}

/// A step before a plan is carried out: it refuses the plan, or prints it.
pub type Check<'a> = &'a dyn Fn(Plan) -> Result<Plan, Error>;

impl<'a> Removal<'a> {
    /// Opens the store. A `policy` is a file that the command reads.
    ///
    /// Fails if an operator would have to be asked and cannot be, or if an external database describes the store.
    pub fn open(
        common: &Common,
        removing: &'a Removing,
        policy: Option<&Path>,
        reports: &mut Reports<'_>,
    ) -> Result<Self, Failure> {
        let started = reports.started;
        let is_asked = common.format() == Format::Human && can_ask();
        if !removing.dry_run && !removing.yes && !is_asked {
            return Err(Failure::Unconfirmed);
        }
        let source = common.source()?;
        let plan_out = removing.planning.file().filter(|_| removing.approved.is_none());
        let inputs: Vec<&Path> = removing.used.files().into_iter().chain(policy).collect();
        reports.check(&source, plan_out, &inputs)?;
        if removing.approved.is_none() {
            removing.planning.remove_earlier();
        }
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
        Ok(Self { command: reports.command, removing, format: common.format(), opened, started, is_by_rule: false })
    }

    /// How many lines of what is deleted are listed.
    fn listed(&self) -> usize {
        match self.is_by_rule {
            _ if self.removing.all => usize::MAX,
            true => 0,
            false if io::stdout().is_terminal() => LINES_ON_TERMINAL,
            false => usize::MAX,
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
            approved.check_store(&opened.root)?;
            plan = apply::restrict(approved, plan, &opened.store, ways)?;
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

/// The default minimum age of what is deleted while a registry runs.
pub const MIN_AGE_LIVE: Duration = Duration::from_secs(60 * 60);

/// Warns of patterns that match none of these repositories: they may be misspelled.
pub fn tell_of_unused<'n>(patterns: &[Pattern], names: impl Iterator<Item = &'n str> + Clone) {
    for pattern in patterns.iter().filter(|pattern| !names.clone().any(|name| pattern.matches_repository(name))) {
        output::warn(format_args!("no repository matches {}", output::printable(&pattern.to_string())));
    }
}
