//! A run in numbers, the same for a dry run and a real one.

use serde::Serialize;

use crate::collect::plan::{Plan, Totals};
use crate::collect::sweep::Outcome;
use crate::registry::config::Cache;
use crate::trash::RunSize;

/// A run in numbers.
///
/// Serialised, it is the last line of `regc gc --format json`; docs/json.md describes it for users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The version of this schema. It rises when a field changes its meaning or goes; new fields may come without.
    pub schema_version: u32,
    /// Whether nothing was to be removed.
    pub dry_run: bool,
    /// Whether untagged manifests were garbage.
    pub delete_untagged: bool,
    /// How many repositories there are.
    pub repositories: u64,
    /// Repositories that are kept whole because something in them is damaged.
    pub protected_repositories: u64,
    /// Repositories from which nothing is removed because symbolic links lead into or out of them.
    pub shared_repositories: u64,
    /// Tags; `None` where they were not read, since they decide nothing.
    pub tags: Option<u64>,
    /// Different manifests that some repository links.
    pub manifests: u64,
    /// Digests that are live, those among them whose content is not in the store.
    pub marked: u64,
    /// Blobs that stay.
    pub live_blobs: u64,
    /// The length of their content, in bytes.
    pub live_bytes: u64,
    /// Blobs that nothing refers to, but that are too recent to be garbage.
    pub young_blobs: u64,
    /// The length of their content, in bytes.
    pub young_bytes: u64,
    /// What of the bytes of garbage blobs is not freed, since their files have other names as well: hard links.
    pub hard_linked_bytes: u64,
    /// What is garbage.
    pub garbage: Totals,
    /// What of it was removed, or moved to the trash: nothing in a dry run.
    pub removed: Totals,
    /// What of it stays all the same: it came into use while the run went on, or a link to it could not be removed.
    pub spared: Totals,
    /// The run's name in the trash; `None` where what is removed is not kept.
    pub trashed_as: Option<String>,
    /// The runs that were deleted from the trash for good, since the file system had no room for this one's journal.
    pub deleted_runs: Vec<RunSize>,
    /// The length of everything in the trash that is no link, in bytes. `regc trash empty` gives it back.
    pub trash_bytes: u64,
    /// The registry's cache, which still lists what was removed and must be cleared; `None` if there is none, or nothing was
    /// removed. Whether a registry is running is known to the caller, who sets it.
    pub stale_cache: Option<Cache>,
    /// Whether the run was told to stop before it was done.
    pub interrupted: bool,
    /// Removals that failed.
    pub failures: u64,
    /// Damage that was found.
    pub findings: u64,
    /// Names that are no part of a registry's layout. They were left alone.
    pub passed_over: u64,
}

impl Summary {
    /// Sums a run up; `outcome` is `None` for a dry run. What the trash holds is known to the caller.
    pub fn new(plan: &Plan, outcome: Option<&Outcome>, trash_bytes: u64) -> Self {
        let scan = plan.scan();
        let delete_untagged = plan.terms.delete_untagged;
        let repositories = &scan.inventory.repositories;
        Self {
            schema_version: 2,
            dry_run: outcome.is_none(),
            delete_untagged,
            repositories: repositories.len() as u64,
            protected_repositories: scan.reachable.repositories.iter().filter(|r| r.protected).count() as u64,
            shared_repositories: repositories.iter().filter(|r| r.shared).count() as u64,
            tags: delete_untagged.then_some(scan.reachable.tags),
            manifests: scan.reachable.manifests.len() as u64,
            marked: scan.reachable.live.len(),
            live_blobs: scan.sizes.live_blobs,
            live_bytes: scan.sizes.live_bytes,
            young_blobs: scan.sizes.young_blobs,
            young_bytes: scan.sizes.young_bytes,
            hard_linked_bytes: scan.sizes.hard_linked_bytes,
            garbage: plan.totals(),
            removed: outcome.map(|outcome| outcome.removed).unwrap_or_default(),
            spared: outcome.map(|outcome| outcome.spared).unwrap_or_default(),
            trashed_as: outcome.and_then(|outcome| outcome.trashed_as.clone()),
            deleted_runs: outcome.map(|outcome| outcome.deleted_runs.clone()).unwrap_or_default(),
            trash_bytes,
            stale_cache: None,
            interrupted: outcome.is_some_and(|outcome| outcome.interrupted),
            failures: outcome.map_or(0, |outcome| outcome.failures.len() as u64),
            findings: scan.findings.len() as u64,
            passed_over: scan.inventory.passed_over,
        }
    }
}
