//! The numbers of a run, the same for a dry run and a real one.

use serde::Serialize;

use crate::collect::plan::{Plan, Totals};
use crate::collect::sweep::Outcome;
use crate::registry::config::Cache;
use crate::trash::RunSize;

/// The numbers of a run.
///
/// Serialised, it is the last line of `regc gc --format json`; docs/json.md describes it for users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The version of this schema. It increases when a field changes its meaning or is removed; new fields may be
    /// added without that.
    pub schema_version: u32,
    /// Whether this was a dry run.
    pub dry_run: bool,
    /// Whether untagged manifests were garbage.
    pub delete_untagged: bool,
    /// The number of repositories.
    pub repositories: u64,
    /// Repositories in which everything is kept because something in them is damaged.
    pub protected_repositories: u64,
    /// Repositories from which nothing is removed because symbolic links point into or out of them.
    pub shared_repositories: u64,
    /// Tags; `None` if they were not read because nothing depends on them.
    pub tags: Option<u64>,
    /// Distinct manifests that some repository links.
    pub manifests: u64,
    /// Digests that are live, including those whose content is not in the store.
    pub marked: u64,
    /// Blobs that are kept.
    pub live_blobs: u64,
    /// The length of their content, in bytes.
    pub live_bytes: u64,
    /// Blobs that nothing refers to, but that are too recent to be deleted.
    pub young_blobs: u64,
    /// The length of their content, in bytes.
    pub young_bytes: u64,
    /// Bytes of garbage blobs that are not freed because their files have other hard links.
    pub hard_linked_bytes: u64,
    /// What is garbage.
    pub garbage: Totals,
    /// Garbage that was removed, or moved to the trash: nothing in a dry run.
    pub removed: Totals,
    /// Garbage that was kept: it came into use during the run, or removing a link to it failed.
    pub spared: Totals,
    /// The run's name in the trash; `None` if what is removed is not kept.
    pub trashed_as: Option<String>,
    /// The runs that were deleted from the trash for good because the file system had no room for this run's journal.
    pub deleted_runs: Vec<RunSize>,
    /// The length of everything in the trash that is not a link, in bytes. `regc trash empty` frees it.
    pub trash_bytes: u64,
    /// How many keys and members of sets were removed from the registry's cache in Redis. The caller sets it.
    pub evicted: u64,
    /// The registry's cache that still lists what was removed and must be cleared; `None` if there is no cache, nothing
    /// was removed, or the cache no longer lists it. The caller knows whether a registry is running, and sets it.
    pub stale_cache: Option<Cache>,
    /// Whether the run was stopped before it was complete.
    pub interrupted: bool,
    /// Removals that failed.
    pub failures: u64,
    /// Damage that was found.
    pub findings: u64,
    /// Names that are not part of a registry's layout, and were ignored.
    pub ignored: u64,
}

impl Summary {
    /// The current version of the schema of all records that regc prints as JSON.
    pub const SCHEMA_VERSION: u32 = 3;

    /// Summarises a run; `outcome` is `None` for a dry run. The caller provides the size of the trash.
    pub fn new(plan: &Plan, outcome: Option<&Outcome>, trash_bytes: u64) -> Self {
        let scan = plan.scan();
        let delete_untagged = plan.terms.delete_untagged;
        let repositories = &scan.inventory.repositories;
        Self {
            schema_version: Self::SCHEMA_VERSION,
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
            evicted: 0,
            stale_cache: None,
            interrupted: outcome.is_some_and(|outcome| outcome.interrupted),
            failures: outcome.map_or(0, |outcome| outcome.failures.len() as u64),
            findings: scan.findings.len() as u64,
            ignored: scan.inventory.ignored,
        }
    }
}
