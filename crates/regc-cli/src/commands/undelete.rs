//! `regc undelete`.

use std::time::{Duration, SystemTime};

use regc_core::registry::layout;
use regc_core::undelete::{LinkKind, NewLink, Outcome, Plan, Selection, select_since};
use regc_core::{CollectOptions, Digest, Error, Missing, duration};
use serde::Serialize;

use crate::commands::store::{Opened, Opening};
use crate::commands::{Common, Format};
use crate::hints::{self, Needing};
use crate::output::json::describe_failure;
use crate::output::{self, Output, count, count_of, printable};
use crate::{ExitStatus, print_error};

/// Link again what was deleted over the registry's API.
///
/// The content of a deleted image stays in the storage until the next garbage collection. `regc ls --deleted` lists what can
/// be undeleted. Everything that an image needs is checked and hashed first; if anything is missing, nothing is changed. Nothing
/// is linked that its repository never had. Stop the registry first, or make it read-only.
#[derive(clap::Args)]
pub struct Args {
    /// The images, as `regc ls --deleted` lists them. An index is linked with its platforms; name signatures and other
    /// referrers as well
    #[arg(value_name = "REPOSITORY@DIGEST", required_unless_present = "all_since", value_parser = name)]
    names: Vec<(String, Digest)>,

    /// The tag to give the image. A tag that names another one is never overwritten
    #[arg(long, conflicts_with = "all_since")]
    tag: Option<String>,

    /// Undelete all images that were deleted within this time, with the tags that are known for certain, and report
    /// incomplete ones. Examples: 90m, 24h, 7d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "names")]
    all_since: Option<Duration>,

    /// Show which links would be written; change nothing
    #[arg(short, long)]
    dry_run: bool,

    /// Print nothing but errors; with --format json, the summary too
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    common: Common,
}

fn name(text: &str) -> Result<(String, Digest), String> {
    let malformed = || "not `repository@digest`".to_owned();
    let (repository, digest) = text.split_once('@').ok_or_else(malformed)?;
    let is_name = layout::is_repository_name(repository);
    let digest = Digest::parse_any_case(digest).map_err(|error| error.to_string())?;
    if is_name { Ok((repository.to_owned(), digest)) } else { Err(malformed()) }
}

pub fn run(args: Args) -> Result<ExitStatus, Error> {
    let started = SystemTime::now();
    let allow_empty = args.common.allow_empty;
    let opening = Opening {
        dry_run: args.dry_run,
        live: false,
        quiet: args.quiet,
        allow_empty,
        jobs: args.common.jobs,
        manifest_cache: None,
    };
    let opened = Opened::new(args.common.source()?, opening, &CollectOptions::new(), true)?;
    if args.common.format() == Format::Human && !args.quiet {
        output::announce(&opened.place);
    }
    let session = opened.session()?;
    let Opened { store, progress, .. } = &opened;
    let is_wanted = |name: &str| args.names.is_empty() || args.names.iter().any(|(repository, _)| repository == name);
    let planned = store.deleted(is_wanted, progress).and_then(|found| {
        let selected = match args.all_since {
            Some(age) => select_since(&found, started.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH)),
            None => named(&args),
        };
        match &session {
            Some(session) => session.plan_undelete(&found, &selected, progress),
            None => store.plan_undelete(&found, &selected, progress),
        }
    });
    progress.clear();
    let plan = planned?;
    if let Some((Selection { repository, digest, .. }, missing)) = plan.left().first()
        && args.all_since.is_none()
    {
        let (repository, missing) = (repository.clone(), missing.clone());
        return Err(Error::NotWhole { repository, digest: *digest, missing });
    }
    let outcome = match &session {
        Some(session) => session.undelete(&plan, progress)?,
        None => {
            let mut outcome = Outcome::default();
            outcome.failure = store.check_undelete(&plan, progress).err();
            outcome
        }
    };
    progress.clear();
    let mut output = Output::new();
    report(&mut output, &args, &plan, &outcome);
    output.flush();
    for error in outcome.failure.iter().chain(&outcome.left) {
        print_error(error);
        hints::print(Needing::Undelete.hint(error));
    }
    Ok(output.end(|| match outcome {
        Outcome { failure: Some(_), .. } | Outcome { left: Some(_), .. } => ExitStatus::Failed,
        Outcome { interrupted: true, .. } => ExitStatus::Interrupted,
        _ if !plan.left().is_empty() => ExitStatus::FoundDamage,
        _ => ExitStatus::Done,
    }))
}

fn named(args: &Args) -> Vec<Selection> {
    let selection = |(repository, digest): &(String, Digest)| Selection {
        repository: repository.clone(),
        digest: *digest,
        tags: args.tag.iter().cloned().collect(),
    };
    args.names.iter().map(selection).collect()
}

/// A link that is written, as JSON.
#[derive(Serialize)]
struct JsonLink<'a> {
    state: &'a str,
    link: &'a NewLink,
}

/// A manifest that the repository never had, as JSON.
#[derive(Serialize)]
struct Absent<'a> {
    repository: &'a str,
    digest: &'a Digest,
}

/// A manifest that is not linked, as JSON.
#[derive(Serialize)]
struct Left<'a> {
    repository: &'a str,
    digest: &'a Digest,
    missing: &'a [Missing],
}

/// The last line of JSON.
#[derive(Serialize)]
struct Last {
    dry_run: bool,
    images: usize,
    planned: usize,
    done: usize,
    left: usize,
    interrupted: bool,
    failures: usize,
}

fn report(output: &mut Output, args: &Args, plan: &Plan, outcome: &Outcome) {
    let is_json = args.common.format() == Format::Json;
    let (links, state) = match args.dry_run {
        true => (plan.links(), "planned"),
        false => (&plan.links()[..outcome.done], "done"),
    };
    for link in links.iter().filter(|_| !args.quiet) {
        match is_json {
            true => output.record("link", &JsonLink { state, link }),
            false => output.line(format_args!("{}", printable(&human(link)))),
        }
    }
    for (repository, digest) in plan.absent() {
        match is_json {
            true if args.quiet => {}
            true => output.record("absent", &Absent { repository, digest }),
            false => output::warn(format_args!("{repository} never had {digest}, which an index refers to")),
        }
    }
    for (selection, missing) in plan.left() {
        left(output, args, selection, missing);
    }
    if is_json {
        outcome.failure.iter().for_each(|failure| describe_failure(output, failure));
        output.summary(&Last {
            dry_run: args.dry_run,
            images: plan.selected().len(),
            planned: plan.links().len(),
            done: outcome.done,
            left: plan.left().len(),
            interrupted: outcome.interrupted,
            failures: usize::from(outcome.failure.is_some()),
        });
    } else if !args.quiet {
        summarise(output, args, plan, outcome);
    }
}

fn human(link: &NewLink) -> String {
    let kind = match link.kind {
        LinkKind::LayerLink => "layer link",
        LinkKind::Revision => "manifest",
        LinkKind::TagIndexEntry => "tag index entry",
        LinkKind::Tag => "tag",
    };
    format!("{kind:<15}  {}", link.path)
}

fn left(output: &mut Output, args: &Args, selection: &Selection, missing: &[Missing]) {
    let Selection { repository, digest, .. } = selection;
    if args.common.format() == Format::Json {
        if !args.quiet {
            output.record("left", &Left { repository, digest, missing });
        }
        return;
    }
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    eprintln!("regc: {} was not undeleted: {}", printable(&format!("{repository}@{digest}")), missing.join("; "));
}

fn summarise(output: &mut Output, args: &Args, plan: &Plan, outcome: &Outcome) {
    let links = plan.links().len();
    let number = count(links as u64, "link");
    let images = |needs: &str, need: &str| {
        count_of(plan.selected().len() as u64, &format!("image{needs}"), &format!("images{need}"))
    };
    match (links, args.dry_run) {
        (0, _) => output.line(format_args!("There is nothing to undelete.")),
        (_, true) => output.line(format_args!(
            "{} {number}. Nothing was changed: to write them, stop the registry and run the same command without --dry-run.",
            images(" needs", " need")
        )),
        (_, false) if outcome.done < links => output.line(format_args!(
            "{} of {number} written. Run the same command again to write the others.",
            outcome.done
        )),
        (_, false) => output.line(format_args!("{} undeleted, {number} written.", images("", ""))),
    }
}
