//! `regc repair`.

use std::path::{Path, PathBuf};

use regc_core::descriptor_cache::Entry;
use regc_core::finding::{Explanation, Severity};
use regc_core::registry::config::Cache;
use regc_core::registry::layout::{self, Location};
use regc_core::repair::{Action, Cause, Options, Outcome, Plan};
use regc_core::verify::{Defect, Options as VerifyOptions, Verification};
use regc_core::{CollectOptions, Digest, Error, Store};
use serde::Serialize;

use crate::commands::cache::{self, Evicted};
use crate::commands::content::Hashing;
use crate::commands::owed::Owed;
use crate::commands::question::{can_ask, is_agreed};
use crate::commands::store::{Opened, Opening};
use crate::commands::{Common, Format};
use crate::failure::Failure;
use crate::hints::{self, Needing};
use crate::output::json::{describe, describe_failure};
use crate::output::{self, Output, count, count_of, printable};
use crate::{ExitStatus, print_error, source};

/// Repair what `regc verify` finds, as far as that is possible without loss.
///
/// Shows what would be done; --apply does it. Links are rewritten if their content is complete; dangling links are
/// removed; content that does not match its digest is moved to the trash, so that the next push uploads it again.
/// Everything that is replaced or removed is moved to the trash. Stop the registry first, or make it read-only.
#[derive(clap::Args)]
pub struct Args {
    /// The registry's configuration file. Default: as for `regc gc`
    #[arg(value_name = "CONFIG", conflicts_with_all = ["config", "root"])]
    path: Option<PathBuf>,

    /// Carry out the repairs. On a terminal, regc asks first
    #[arg(long)]
    apply: bool,

    /// With --apply: do not ask
    #[arg(short, long, requires = "apply")]
    yes: bool,

    #[command(flatten)]
    hashing: Hashing,

    /// Copy missing or damaged content from another store, such as a backup or mirror: its storage root, or its
    /// registry's configuration file
    #[arg(long, value_name = "ROOT|CONFIG")]
    from: Option<PathBuf>,

    /// Run even if much of what images need is missing, or a directory looks like an unmounted file system
    #[arg(long)]
    allow_missing: bool,

    /// Also remove links to missing manifests, and the tags that name them. Their repositories can then be collected
    /// again, but restoring the manifests' files no longer restores the images
    #[arg(long, conflicts_with = "from")]
    drop_lost: bool,

    /// Also print the path of each file
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,

    /// Print nothing but errors; with --format json, the summary too
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    common: Common,
}

pub fn run(mut args: Args) -> Result<ExitStatus, Failure> {
    args.common = args.common.at(args.path.take());
    let allow_empty = args.common.allow_empty;
    let opening = Opening {
        dry_run: !args.apply,
        live: false,
        quiet: args.quiet,
        allow_empty,
        jobs: args.common.jobs,
        manifest_cache: None,
    };
    let source = args.common.source()?;
    let from = args.from.as_deref().map(|path| open_other(path, &source.root)).transpose()?;
    let opened = Opened::new(source, opening, &CollectOptions::new(), true)?;
    if args.common.format() == Format::Human && !args.quiet {
        output::announce(&opened.place);
    }
    let session = opened.session()?;
    let Opened { store, root, progress, .. } = &opened;

    let to_verify = VerifyOptions::default();
    let options = Options::new()
        .from(from.as_ref().map(Store::storage))
        .bandwidth(args.hashing.bandwidth())
        .allow_missing(args.allow_missing)
        .drop_lost(args.drop_lost);
    let verified = match &session {
        Some(session) => session.verify(&to_verify, progress),
        None => store.verify(&to_verify, progress),
    };
    let planned = verified.and_then(|mut verification| {
        let hashed = args.hashing.run(store, root, &mut verification, progress)?;
        if hashed.interrupted {
            return Err(Error::Interrupted);
        }
        let plan = match &session {
            Some(session) => session.plan_repair(&verification, &options, progress)?,
            None => store.plan_repair(&verification, &options, progress)?,
        };
        Ok((verification, hashed, plan))
    });
    progress.clear();
    let (verification, hashed, plan) = planned?;
    plan.failures().iter().for_each(|error| print_error(error));
    let owed = Owed::of(store.config(), root);
    let mut output = Output::new();
    let (mut outcome, mut left) = (Outcome::default(), Some(verification));
    match session.as_ref().filter(|_| !plan.actions().is_empty()) {
        Some(session) => {
            if !args.yes && args.common.format() == Format::Human && can_ask() {
                tell(&mut output, &args, &plan, "planned", plan.actions());
                output.flush();
                if !is_agreed(&question(&plan, root)) {
                    return Err(Failure::Declined("changed"));
                }
            }
            owed.write();
            outcome = session.repair(&plan, &options, progress)?;
            progress.clear();
            tell(&mut output, &args, &plan, "done", &outcome.done);
            tell(&mut output, &args, &plan, "spared", &outcome.spared);
            tell_failures(&outcome);
            left = match session.verify_repair(&to_verify, &hashed, &outcome, progress) {
                Err(Error::Interrupted) => None,
                verification => Some(verification?),
            };
            progress.clear();
        }
        None if session.is_none() => {
            tell(&mut output, &args, &plan, "planned", plan.actions());
            outcome.failures = store.check_repair(&plan, progress)?;
            tell_failures(&outcome);
        }
        None => {}
    }
    if !plan.in_trash().is_empty() {
        eprintln!(
            "regc: {} in the trash: `regc gc` puts back what is in use, `regc trash restore` all of it",
            count_of(plan.in_trash().len() as u64, "missing object is", "missing objects are")
        );
    }
    if !plan.lost().is_empty() {
        let lost = plan.lost().len();
        let or_else = match args.drop_lost {
            true => "; the links are kept, because something is attached to them or a tag is a symbolic link",
            false => ", or delete the links with --drop-lost or `regc rm`",
        };
        eprintln!(
            "regc: {} still linked or tagged: restore the files, or push the images again{or_else}",
            count_of(lost as u64, "missing manifest is", "missing manifests are")
        );
    }
    let changes_content = |done: &Action| !matches!(done, Action::WriteLink { .. });
    let evicted = match outcome.done.iter().any(changes_content) {
        true => cache::evict(store, &owed, outcome.done.iter().filter_map(|done| Entry::at(done.path()))),
        false if session.is_some() && owed.is_from_before() => cache::evict(store, &owed, std::iter::empty()),
        false => {
            if session.is_some() {
                owed.clear();
            }
            Evicted::default()
        }
    };
    if args.common.format() == Format::Json {
        let failures =
            plan.failures().iter().chain(outcome.failures.iter().map(|(_, error)| error)).chain(&outcome.left);
        failures.for_each(|failure| describe_failure(&mut output, failure));
        evicted.finding.iter().for_each(|finding| describe(&mut output, finding));
    }
    summarise(&mut output, &args, &plan, &Ended { outcome: &outcome, left: left.as_ref(), evicted: &evicted });
    output.flush();
    evicted.warn();
    let has_failed = !plan.failures().is_empty() || !outcome.failures.is_empty() || !outcome.left.is_empty();
    Ok(output.end(|| match left {
        _ if outcome.interrupted => ExitStatus::Interrupted,
        None => ExitStatus::Interrupted,
        Some(_) if has_failed => ExitStatus::Failed,
        Some(left) if left.is_damaged() || !outcome.spared.is_empty() || evicted.finding.is_some() => {
            ExitStatus::FoundDamage
        }
        Some(_) => ExitStatus::Done,
    }))
}

/// Returns the question before a repair.
fn question(plan: &Plan, root: &Path) -> String {
    let root = root.to_string_lossy();
    format!("Carry out {} in {}?", count(plan.actions().len() as u64, "repair"), printable(&root))
}

/// Prints all failures, then one hint.
fn tell_failures(outcome: &Outcome) {
    outcome.failures.iter().for_each(|(_, error)| print_error(error));
    outcome.left.iter().for_each(|error| print_error(error));
    hints::print(outcome.failures.iter().find_map(|(_, error)| Needing::Repair.hint(error)));
}

/// Opens the store from which content is taken.
fn open_other(path: &Path, root: &Path) -> Result<Store, Error> {
    let other = source::other(path)?;
    let store = Store::open(&other.config)?;
    let is_same =
        other.root.canonicalize().ok().is_some_and(|other| root.canonicalize().is_ok_and(|root| root == other));
    if is_same {
        return Err(Error::Config(format!("{} is the store itself; pass another one to --from", path.display())));
    }
    if store.storage().stat(layout::BLOBS)?.is_none() {
        let (root, blobs) = (other.root.display(), layout::BLOBS);
        return Err(Error::Config(format!(
            "{root} does not contain {blobs}; pass the root of another store to --from"
        )));
    }
    Ok(store)
}

/// How many images a line names.
const IMAGES: usize = 3;

/// A step of a repair, as JSON.
#[derive(Serialize)]
struct Step<'a> {
    state: &'a str,
    repair: Doing<'a>,
    code: Option<&'a str>,
    name: Option<&'a str>,
    images: &'a [String],
    more_images: bool,
}

/// What is done in it.
#[derive(Serialize)]
struct Doing<'a> {
    action: &'static str,
    digest: Option<Digest>,
    path: &'a str,
}

fn name(action: &Action) -> &'static str {
    match action {
        Action::Take { .. } => "take",
        Action::MoveAside { .. } => "move_aside",
        Action::WriteLink { .. } => "write_link",
        Action::RemoveLink { .. } => "remove_link",
    }
}

fn tell(output: &mut Output, args: &Args, plan: &Plan, state: &str, actions: &[Action]) {
    for action in actions.iter().filter(|_| !args.quiet) {
        let cause = plan.cause(action);
        if args.common.format() == Format::Json {
            let step = Step {
                state,
                repair: Doing { action: name(action), digest: action.digest(), path: action.path() },
                code: cause.map(|cause| cause.kind.page().code),
                name: cause.map(|cause| cause.kind.page().name),
                images: cause.map_or(&[][..], |cause| &cause.images),
                more_images: cause.is_some_and(|cause| cause.has_more_images),
            };
            output.record("repair", &step);
            continue;
        }
        let spared = if state == "spared" { "; it changed in the meantime" } else { "" };
        let reason = cause.map_or_else(String::new, |cause| because(action, cause));
        output.line(format_args!("{}{}{spared}", printable(&sentence(action, state)), printable(&reason)));
        if args.verbose {
            output.line(format_args!("    {}", printable(action.path())));
        }
    }
}

/// `tag team/app:v1 would be removed`; `is removed` once it is, `is not removed` if it is spared.
fn sentence(action: &Action, state: &str) -> String {
    let what = match Location::parse(action.path()) {
        Some(Location::Blob { digest }) => format!("blob {digest}"),
        Some(Location::LayerLink { repository, digest }) => format!("layer link of {digest} in {repository}"),
        Some(Location::RevisionLink { repository, digest }) => format!("link of manifest {repository}@{digest}"),
        Some(Location::SignatureLink { repository, signature, .. }) => {
            format!("link of signature {signature} in {repository}")
        }
        Some(Location::TagLink { repository, tag }) => format!("tag {repository}:{tag}"),
        Some(Location::TagIndexEntry { repository, tag, digest }) => {
            format!("entry of {digest} in the index of tag {repository}:{tag}")
        }
        Some(Location::UploadFile { .. } | Location::ReferrerLink { .. }) | None => action.path().to_owned(),
    };
    let done = match action {
        Action::Take { .. } => "copied from the other store",
        Action::MoveAside { .. } => "moved to the trash",
        Action::WriteLink { .. } => "written",
        Action::RemoveLink { .. } => "removed",
    };
    let is = match state {
        "planned" => "would be",
        "spared" => "is not",
        _ => "is",
    };
    format!("{what} {is} {done}")
}

/// `: RG032 content does not match its digest; images team/app:v1, team/app:v2, team/app:v3 and 4 more`.
fn because(action: &Action, cause: &Cause) -> String {
    let Explanation { code, title, .. } = cause.kind.page();
    let images = match (&cause.images[..], Location::parse(action.path())) {
        // The sentence names the only one.
        ([image], Some(Location::TagLink { repository, tag })) if *image == format!("{repository}:{tag}") => &[],
        (images, _) => images,
    };
    if images.is_empty() {
        return format!(": {code} {title}");
    }
    let named = images[..images.len().min(IMAGES)].join(", ");
    let more = match (images.len().saturating_sub(IMAGES), cause.has_more_images) {
        (_, true) => " and more".to_owned(),
        (0, false) => String::new(),
        (more, false) => format!(" and {more} more"),
    };
    let noun = if images.len() == 1 && !cause.has_more_images { "image" } else { "images" };
    format!(": {code} {title}; {noun} {named}{more}")
}

/// How a repair ended.
struct Ended<'a> {
    outcome: &'a Outcome,
    /// What is still wrong; `None` if that is not known.
    left: Option<&'a Verification>,
    evicted: &'a Evicted,
}

/// The last line of JSON.
#[derive(Serialize)]
struct Last<'a> {
    dry_run: bool,
    planned: usize,
    done: usize,
    spared: usize,
    left: Option<usize>,
    lost: usize,
    evicted: u64,
    stale_cache: Option<&'a Cache>,
    interrupted: bool,
    failures: usize,
}

fn summarise(output: &mut Output, args: &Args, plan: &Plan, ended: &Ended<'_>) {
    let Ended { outcome, left, evicted } = ended;
    let is_wrong = |defect: &&Defect| defect.kind.severity() < Severity::Note;
    let left = left.map(|left| left.defects.iter().filter(is_wrong).count());
    let (planned, done) = (plan.actions().len(), outcome.done.len());
    match args.common.format() {
        Format::Json => output.summary(&Last {
            dry_run: !args.apply,
            planned,
            done,
            spared: outcome.spared.len(),
            left,
            lost: plan.lost().len(),
            evicted: evicted.entries,
            stale_cache: evicted.stale.as_ref(),
            interrupted: outcome.interrupted || left.is_none(),
            failures: plan.failures().len() + outcome.failures.len() + outcome.left.len(),
        }),
        Format::Human if args.quiet => {}
        Format::Human if !args.apply && planned > 0 => output.line(format_args!(
            "{} planned. Nothing was changed: to apply, stop the registry and run the same command with --apply.",
            count(planned as u64, "repair")
        )),
        Format::Human if planned == 0 && left == Some(0) => output.line(format_args!("There is nothing to repair.")),
        Format::Human => {
            let interrupted = if outcome.interrupted { ", then interrupted" } else { "" };
            let left = match left {
                None => "interrupted before the store was scanned again".to_owned(),
                Some(0) => "nothing is damaged now".to_owned(),
                Some(left) => {
                    let findings = count_of(left as u64, "finding is", "findings are");
                    format!("{findings} left: see `regc verify`")
                }
            };
            output.line(format_args!("{} done{interrupted}; {left}.", count(done as u64, "repair")));
            if outcome.done.iter().any(|done| matches!(done, Action::MoveAside { .. })) {
                output.line(format_args!(
                    "Push again what was moved to the trash, before the registry's own garbage collection runs."
                ));
            }
        }
    }
}
