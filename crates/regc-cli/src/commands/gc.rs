//! `regc gc`.

mod also;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use clap::{ArgAction, ValueEnum};
use regc_core::registry::pattern;
use regc_core::registry::pattern::Pattern;
use regc_core::{CollectOptions, Error, Totals, duration};

use self::also::Also;
use crate::commands::apply::{self, Ways};
use crate::commands::carry_out::{Terms, carry_out};
use crate::commands::manifest_cache::ManifestCache;
use crate::commands::plan_file::{Approved, Planning};
use crate::commands::question::can_ask;
use crate::commands::removing::{MIN_AGE_LIVE, tell_of_unused};
use crate::commands::reports::{self, Reports, Untagged};
use crate::commands::store::{Opened, Opening};
use crate::commands::uploads::Unfinished;
use crate::commands::used::Used;
use crate::commands::{self, jobs};
use crate::failure::Failure;
use crate::hints::Needing;
use crate::output::{self, Output, Printer, Printers};
use crate::{ExitStatus, source};

/// Remove what no manifest refers to.
///
/// Reads the registry's own configuration, marks everything that a client can still pull, and removes the rest:
/// unreferenced blobs, and the links to them. Stop the registry first, or make it read-only. --dry-run changes nothing,
/// and the registry may be running. What is written after the run began is kept.
#[derive(clap::Args)]
pub struct Args {
    /// The registry's configuration file. Default: $REGISTRY_CONFIGURATION_PATH, or the first that exists of
    /// /etc/distribution/config.yml, /etc/docker/registry/config.yml and /etc/docker-distribution/registry/config.yml.
    /// REGISTRY_... variables override it as they do for the registry.
    #[arg(value_name = "CONFIG", conflicts_with_all = ["root", "configuration"])]
    config: Option<PathBuf>,

    /// The same, in the form that all commands accept
    #[arg(short, long = "config", value_name = "CONFIG", id = "configuration", conflicts_with = "root")]
    configuration: Option<PathBuf>,

    /// Show what would be deleted; delete nothing
    #[arg(short, long, overrides_with = "dry_run", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_name = "BOOL", value_parser = parse_bool)]
    dry_run: bool,

    /// Also remove untagged manifests. The platforms of tagged multi-platform images are kept, and so are the
    /// signatures, SBOMs and attestations of live images
    #[arg(short = 'm', long, overrides_with = "delete_untagged", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_name = "BOOL", value_parser = parse_bool)]
    delete_untagged: bool,

    /// Also remove unfinished uploads that began longer ago than this (168h if no duration is given)
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "168h",
          value_parser = duration::parse)]
    purge_uploads: Option<Duration>,

    /// Also remove repositories without manifests, tags and uploads, so that the registry no longer lists them
    #[arg(long)]
    remove_empty_repositories: bool,

    /// Implies --purge-uploads and --remove-empty-repositories. Also removes tags that name nothing and dangling
    /// entries in tags' indexes, and, once they are a week or the duration of --purge-uploads old: signatures, SBOMs
    /// and attestations of images that were deleted from their repository, and files that interrupted copies left
    /// beside blobs and links (rsync's `.data.Xy12Za`)
    #[arg(long)]
    tidy: bool,

    /// Remove untagged manifests, uploads and other leftovers only in matching repositories; `*` stands for one
    /// component, `**` for any number. All repositories are scanned for what is in use
    #[arg(long, value_name = "GLOB", value_parser = pattern::repository)]
    repository: Vec<Pattern>,

    /// Keep what is younger than this: blobs, layer links, and manifests with all they refer to. Examples: 90m, 24h, 7d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    min_age: Option<Duration>,

    /// Move to the trash instead of removing. The trash is on the same disk: `regc trash empty` frees the space. If the
    /// disk is full, runs in the trash that are at least 7 days old are deleted to make room
    #[arg(long)]
    trash: bool,

    /// Run even if the registry is running and accepts pushes. Implies --trash, and --min-age 1h unless --min-age is
    /// given. docs/safety.md describes the remaining risk
    #[arg(long)]
    live: bool,

    /// A storage root instead of a configuration file: the directory that holds docker/registry/v2
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Run even if the root contains no registry, or the store has no repositories, no blobs, or (with -m) no tags
    #[arg(long)]
    allow_empty: bool,

    /// Run even if much of what images need is missing, or a directory looks like an unmounted file system
    #[arg(long)]
    allow_missing: bool,

    /// With -m: run even if nearly all manifests are untagged and would be deleted. On a terminal, regc asks
    #[arg(long)]
    allow_mostly_untagged: bool,

    /// Also remove blobs behind a symbolic link out of the storage root. Use it only if no other store uses them
    #[arg(long)]
    allow_symlinked_blobs: bool,

    /// Run even if the configuration is that of Harbor's registry. Never with -m: Harbor keeps tags in its database
    #[arg(long)]
    allow_harbor: bool,

    /// Number of threads. Default: measured; 64 if threads mostly wait for I/O, eight per core if everything is in
    /// memory
    #[arg(long, value_name = "N", value_parser = jobs)]
    jobs: Option<usize>,

    #[command(flatten)]
    manifest_cache: ManifestCache,

    #[command(flatten)]
    reports: reports::Files,

    #[command(flatten)]
    used: Used,

    #[command(flatten)]
    planning: Planning,

    /// Print nothing but errors and damage; with --format json, the summary too
    #[arg(short, long, overrides_with = "quiet", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_name = "BOOL", value_parser = parse_bool)]
    quiet: bool,

    /// Output format: a human-readable report, JSON Lines, or the lines of the registry's own command
    #[arg(long, value_enum, default_value = "human")]
    format: Format,

    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
    Registry,
}

/// What the numbers mean.
pub const WHAT_IS_COUNTED: &str = "\
Bytes are the sizes of the deleted blobs. The space of links and directories is not counted.";

/// Parses the value after a flag's `=`, as the registry's own command does.
fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

/// The age from which an upload counts as abandoned, the same as in the registry itself. Orphans must be as old.
pub const OLD_UPLOAD: Duration = Duration::from_secs(168 * 60 * 60);

pub fn run(args: Args) -> Result<ExitStatus, Failure> {
    let mut reports = Reports::new("gc", &args.reports, SystemTime::now());
    let ended = collect(&args, None, &mut reports);
    reports.write(ended)
}

/// Carries out a plan that was approved.
pub fn apply(mut args: Args, approved: Approved, ways: &Ways) -> Result<ExitStatus, Failure> {
    (args.dry_run, args.quiet) = (ways.dry_run, ways.quiet);
    args.trash |= ways.trash;
    args.json = false;
    args.format = match ways.format() {
        commands::Format::Human => Format::Human,
        commands::Format::Json => Format::Json,
    };
    let mut reports = Reports::new("gc", &args.reports, SystemTime::now());
    let ended = collect(&args, Some((&approved, ways)), &mut reports);
    reports.write(ended)
}

fn collect(
    args: &Args,
    approved: Option<(&Approved, &Ways)>,
    reports: &mut Reports<'_>,
) -> Result<ExitStatus, Failure> {
    let started = reports.started;
    let format = if args.json { Format::Json } else { args.format };
    let source = source::find(args.config.clone().or(args.configuration.clone()), args.root.clone())?;
    let plan_out = args.planning.file().filter(|_| approved.is_none());
    reports.check(&source, plan_out, &args.used.files())?;
    if approved.is_none() {
        args.planning.remove_earlier();
    }
    let opening = Opening {
        dry_run: args.dry_run,
        live: args.live,
        quiet: args.quiet,
        allow_empty: args.allow_empty,
        jobs: args.jobs,
        manifest_cache: args.manifest_cache.file(&source),
    };
    let options = options(args, started, args.delete_untagged, args.tidy);
    let opened = Opened::new(source, opening, &options, false)?;
    let used = args.used.manifests(&opened.store)?;
    let options = options.also_root(used.iter().copied());
    let session = opened.session()?;
    let began = Instant::now();
    let plan = match &session {
        Some(session) => session.plan(&options, &opened.progress),
        None => opened.store.plan(&options, &opened.progress),
    };
    opened.progress.clear();
    let mut plan = plan?;
    let is_applied = approved.is_some();
    match approved {
        Some((approved, ways)) => {
            approved.check_store(&opened.root)?;
            plan = apply::restrict(approved, plan, &opened.store, ways)?;
        }
        None => args.planning.write(&plan, &opened.root)?,
    }
    let (scanned_in, planned) = (began.elapsed(), plan.totals());
    let names: Vec<&str> = plan.repository_names().collect();
    tell_of_unused(&args.repository, names.into_iter());
    let is_asked = format == Format::Human && can_ask();
    let asks = match plan.unconfirmed() {
        Some(refusal) if args.dry_run => {
            output::warn(format_args!("{refusal}; a real run asks, or needs --allow-mostly-untagged"));
            false
        }
        Some(refusal) if !is_asked => return Err(Error::Refused(refusal.clone()).into()),
        unconfirmed => unconfirmed.is_some(),
    };
    let shown: Box<dyn Printer> = match format {
        Format::Human => Box::new(output::human::Human::new(args.quiet)),
        Format::Json => Box::new(output::json::Json::new(args.quiet)),
        Format::Registry => Box::new(output::registry::Registry::new(args.quiet)),
    };
    let kept = || Box::new(output::human::Human::kept()) as Box<dyn Printer>;
    let printers = Printers { shown, kept: reports.has_summary().then(kept) };
    let terms = Terms {
        needing: Needing::of(args.trash, args.live),
        findings_apart: args.quiet || format == Format::Registry,
        asks,
        ends_if_empty: false,
    };
    let is_told = !is_applied
        && (format == Format::Human && !args.quiet || reports.has_summary())
        && !args.tidy
        && args.purge_uploads.is_none();
    let names: Vec<String> = if is_told { plan.repository_names().map(str::to_owned).collect() } else { Vec::new() };
    let status = carry_out(&opened, session.as_ref(), plan, printers, &terms, reports)?;
    reports.time(&opened.progress);
    let is_shown = format == Format::Human && !args.quiet && io::stdout().is_terminal() && scanned_in < SECOND_SCAN;
    let is_scanned = is_shown && !(args.delete_untagged && args.tidy) || reports.has_metrics() && !args.delete_untagged;
    let also = if is_scanned && !is_applied && status != ExitStatus::Interrupted {
        let planned = if args.dry_run { planned } else { Totals::default() };
        let options = self::options(args, started, true, true).also_root(used);
        let with = opened.store.plan(&options, &opened.progress);
        opened.progress.clear();
        // It is only mentioned: a collection does not fail because of it.
        with.ok().map(|with| Also::beside(&planned, &with, args.delete_untagged, args.tidy))
    } else {
        None
    };
    reports.untagged = match args.delete_untagged && !args.dry_run {
        true => Some(Untagged::default()),
        false => also.as_ref().and_then(|also| also.untagged),
    };
    reports.leftover_bytes = match args.tidy && !args.dry_run {
        true => Some(0),
        false => also.as_ref().map(Also::leftover_bytes),
    };
    let note = match &also {
        Some(also) => also.note(),
        None if is_told => unfinished(&opened, &names, started).as_ref().map(ToString::to_string),
        None => None,
    };
    let mut output = Output::new();
    if let Some(note) = note {
        if format == Format::Human && !args.quiet {
            output.line(format_args!("\n{note}"));
        }
        reports.text += &format!("\n{note}\n");
    }
    Ok(output.end(|| status))
}

/// How long a scan may have taken for another one to follow at a terminal, to say what `-m` and `--tidy` would free.
const SECOND_SCAN: Duration = Duration::from_secs(10);

/// Returns what is in the unfinished uploads of these repositories, if there are any that are old enough to be deleted.
fn unfinished(opened: &Opened, names: &[String], now: SystemTime) -> Option<Unfinished> {
    let uploads = opened.store.uploads(names.iter().map(String::as_str), &opened.progress);
    opened.progress.clear();
    // It is only mentioned: a collection does not fail because of it.
    let unfinished = Unfinished::of(&uploads.ok()?, now);
    (unfinished.old > 0).then_some(unfinished)
}

fn options(args: &Args, started: SystemTime, delete_untagged: bool, tidy: bool) -> CollectOptions {
    let min_age = args.min_age.or(args.live.then_some(MIN_AGE_LIVE));
    let ago = |age: Duration| started.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    let old = ago(args.purge_uploads.unwrap_or(OLD_UPLOAD));
    let options = CollectOptions::new()
        .delete_untagged(delete_untagged)
        .allow_missing(args.allow_missing)
        .allow_mostly_untagged(args.allow_mostly_untagged)
        .allow_symlinked_blobs(args.allow_symlinked_blobs)
        .allow_harbor(args.allow_harbor)
        .keep_since(min_age.map(ago))
        .delete_uploads_before(args.purge_uploads.map(|_| old))
        .delete_empty_repositories(args.remove_empty_repositories)
        .repositories({
            let patterns = args.repository.clone();
            move |name| patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches_repository(name))
        });
    if tidy { options.delete_leftovers_before(old) } else { options }
}
