//! `regc rm`.

use std::path::{self, Path};
use std::time::SystemTime;

use regc_core::registry::layout;
use regc_core::registry::pattern::Pattern;
use regc_core::{Error, Plan};

use crate::ExitStatus;
use crate::commands::apply::Ways;
use crate::commands::plan_file::Approved;
use crate::commands::removing::{Removal, Removing};
use crate::commands::reports::Reports;
use crate::commands::similar::similar;
use crate::commands::{Common, pattern};
use crate::failure::Failure;

/// Remove tags, manifests or repositories, and the content that only they use.
///
/// Shows what would be deleted and how many bytes that frees, and asks. An image is deleted with its last tag: all its
/// platforms, what is attached to it, and the tags that cosign makes for it. Content that other tags, indexes or
/// repositories need is kept. If anything that you name cannot be deleted, nothing is deleted. Stop the registry first,
/// or make it read-only.
#[derive(clap::Args)]
pub struct Args {
    /// What to delete: `repository`, `repository:tag` or `repository@digest`. `*` stands for anything in one component,
    /// `**` for any number of components. A repository is deleted with its tags and uploads; repositories below it are
    /// kept
    #[arg(value_name = "REPOSITORY[:TAG|@DIGEST]", required_unless_present = "path", value_parser = pattern)]
    names: Vec<Pattern>,

    /// A repository, by its directory, that was renamed to a name that no registry serves: `app~` or `_old/app`.
    /// Patterns do not match such names. The path is absolute, or as a finding reports it
    #[arg(long, value_name = "DIR")]
    path: Vec<String>,

    /// Remove a manifest that you name by digest even if it has tags, together with those tags
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    removing: Removing,

    #[command(flatten)]
    common: Common,
}

pub fn run(args: Args) -> Result<ExitStatus, Failure> {
    let mut reports = Reports::new("rm", &args.removing.reports, SystemTime::now());
    let ended = remove(&args, &mut reports);
    reports.write(ended)
}

/// Carries out a plan that was approved.
pub fn apply(args: Args, approved: Approved, ways: &Ways) -> Result<ExitStatus, Failure> {
    run(Args { removing: args.removing.approved(approved, ways), common: args.common.printing(ways.format()), ..args })
}

fn remove(args: &Args, reports: &mut Reports<'_>) -> Result<ExitStatus, Failure> {
    let removal = Removal::open(&args.common, &args.removing, None, reports)?;
    let session = removal.opened.session()?;
    let store = &removal.opened.store;
    let progress = &removal.opened.progress;
    let mut deletion = match store.resolve(&args.names, args.force, progress) {
        Err(Error::NothingMatches(names)) => {
            let is_missing = |pattern: &&Pattern| names.split(", ").any(|name| name == pattern.to_string());
            let missing: Vec<&Pattern> = args.names.iter().filter(is_missing).collect();
            let similar = similar(store, progress, &missing);
            let error = Error::NothingMatches(names);
            return Err(match similar {
                Some(similar) => Failure::NotFound { error: Box::new(error), similar },
                None => Failure::Library(error),
            });
        }
        deletion => deletion?,
    };
    for path in &args.path {
        let path = below(path, &removal.opened.root);
        deletion.repository(&store.repository_at(&path, &removal.opened.progress)?);
    }
    // If anything that is named cannot be removed, nothing is.
    removal.remove(session.as_ref(), deletion, Vec::new(), &Plan::require_complete, reports)
}

/// Returns a path as it is below the storage root. One that is not below it stays as it is, and names nothing.
fn below(path: &str, root: &Path) -> String {
    let found = Path::new(path);
    if found.starts_with(layout::ROOT) {
        return path.to_owned();
    }
    let roots = [Some(root.to_owned()), path::absolute(root).ok(), root.canonicalize().ok()];
    let below = roots.iter().flatten().find_map(|root| found.strip_prefix(root).ok()).unwrap_or(found);
    below.to_string_lossy().into_owned()
}
