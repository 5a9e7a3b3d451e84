//! `regc gc`.

use std::path::PathBuf;

use clap::{ArgAction, ValueEnum};
use regc_core::error::Error;
use regc_core::plan::plan;
use regc_core::report::Summary;
use regc_core::survey::{Options, refuse_foreign_metadata, survey};
use regc_core::sweep::sweep;
use regc_core::{layout, storage};

use crate::output::{self, Printer, Run};
use crate::progress::Progress;
use crate::{Ending, print_error, source};

/// Remove what no manifest refers to.
///
/// Reads the registry's own configuration, marks everything that a client can still pull, and removes the rest: blobs
/// that nothing refers to, and the links to them. Stop the registry first, or make it read-only. With --dry-run nothing
/// is changed, and a running registry does no harm.
#[derive(clap::Args)]
pub struct Args {
    /// The registry's configuration file. Without it: $REGISTRY_CONFIGURATION_PATH, or the first that exists of
    /// /etc/distribution/config.yml, /etc/docker/registry/config.yml and
    /// /etc/docker-distribution/registry/config.yml. REGISTRY_... variables override it as they do for the registry.
    #[arg(value_name = "CONFIG", conflicts_with = "root")]
    config: Option<PathBuf>,

    /// Show what would go, remove nothing
    #[arg(short, long, overrides_with = "dry_run", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_name = "BOOL", value_parser = parse_bool)]
    dry_run: bool,

    /// Also remove manifests that no tag reaches. Multi-platform images stay whole, and so does what is attached to a
    /// live image: signatures, SBOMs, attestations
    #[arg(short = 'm', long, overrides_with = "delete_untagged", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_name = "BOOL", value_parser = parse_bool)]
    delete_untagged: bool,

    /// A storage root instead of a configuration file: the directory that holds docker/registry/v2
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Go on although the store has no repository, no blob, or (with -m) no tag at all
    #[arg(long)]
    allow_empty: bool,

    /// Go on although the configuration is that of Harbor's registry. Never with -m: Harbor keeps tags in its database
    #[arg(long)]
    allow_harbor: bool,

    /// How many threads wait for the storage at once. More than there are cores: waiting is no work
    #[arg(long, value_name = "N", default_value_t = Options::default().jobs, value_parser = parse_jobs)]
    jobs: usize,

    /// Print nothing but errors and damage; with --format json, the summary too
    #[arg(short, long, overrides_with = "quiet", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_name = "BOOL", value_parser = parse_bool)]
    quiet: bool,

    /// What to print: a report for people, JSON Lines, or the lines of the registry's own command
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
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
What is counted: bytes are the lengths of the contents of the blobs that go. Links and directories
take up space too, which is not counted.";

fn parse_jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(jobs @ 1..=1024) => Ok(jobs),
        _ => Err("not a number from 1 to 1024".to_owned()),
    }
}

/// Reads what may follow a flag after `=`, as the registry's own command does.
fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

pub fn run(args: Args) -> Result<Ending, Error> {
    let options = Options {
        delete_untagged: args.delete_untagged,
        allow_empty: args.allow_empty,
        allow_harbor: args.allow_harbor,
        jobs: args.jobs,
    };
    let source = source::find(args.config, args.root)?;
    let storage = storage::open(&source.config)?;
    refuse_foreign_metadata(&source.config, &*storage, &options)?;

    let progress = Progress::new(args.quiet);
    let survey = survey(&*storage, &options, &progress);
    progress.clear();
    let survey = survey?;
    let plan = plan(&survey, &options)?;
    let summary = Summary::new(&survey, &options, &plan, None);
    let mut printer: Box<dyn Printer> = match args.format {
        Format::Human => Box::new(output::human::Human::new(args.quiet)),
        Format::Json => Box::new(output::json::Json::new(args.quiet)),
        Format::Registry => Box::new(output::registry::Registry::new(args.quiet)),
    };
    if args.quiet || args.format == Format::Registry {
        for finding in &survey.findings {
            eprintln!("regc: {}; {}", output::printable(&finding.message()), finding.remedy());
        }
    }
    let planned = Run { root: &source.root, survey: &survey, plan: &plan, summary: &summary, failures: &[] };
    printer.decided(&planned);

    let ending = if args.dry_run {
        printer.done(&planned);
        Ending::Done
    } else {
        let outcome = sweep(&*storage, &plan, options.jobs, &progress);
        progress.clear();
        let outcome = outcome?;
        let summary = Summary::new(&survey, &options, &plan, Some(&outcome));
        printer.done(&Run { summary: &summary, failures: &outcome.failures, ..planned });
        outcome.failures.iter().for_each(|failure| print_error(failure));
        if outcome.failures.is_empty() { Ending::Done } else { Ending::Failed }
    };
    if let Some(error) = printer.error() {
        // The work is done all the same: a full disk that cannot take the report is why it was needed.
        eprintln!("regc: cannot write the report: {error}");
        return Ok(Ending::Failed);
    }
    if !survey.inventory.has_layout && !args.quiet {
        eprintln!("regc: {} holds no {}: there is nothing to collect", source.root.display(), layout::ROOT);
    }
    Ok(if ending == Ending::Done && !survey.findings.is_empty() { Ending::FoundDamage } else { ending })
}
