//! Carrying out a plan: the one place that removes.
//!
//! Whatever is removed is removed before what it points at, so that a stop at any moment leaves a registry that serves
//! everything it should, and a second run finishes the work.

use parking_lot::Mutex;
use rayon::prelude::*;

use crate::error::Error;
use crate::layout;
use crate::monitor::{Monitor, Phase};
use crate::plan::{Item, Plan, RepositoryPlan, Totals};
use crate::storage::{DeleteStorage, Removal};
use crate::survey::with_threads;

/// What was done.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was removed.
    pub removed: Totals,
    /// What could not be, in no fixed order. After a failure, nothing is removed that a link may still point at: where
    /// a link stays, all that would have come after the links of its kind stays too.
    pub failures: Vec<Error>,
}

/// How many items one task removes from a directory of links. What goes of a directory of blobs is always one task's:
/// removing from one directory at several places at once only makes one wait for another.
const BATCH: usize = 256;

/// Removes everything that `plan` says, in its order.
///
/// Fails only if the threads cannot be started. A removal that fails is told in the [`Outcome`].
pub fn sweep(
    storage: &dyn DeleteStorage,
    plan: &Plan<'_>,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<Outcome, Error> {
    let totals = plan.totals();
    let steps = totals.tag_index_entries + totals.revisions + totals.layer_links + totals.blobs;
    monitor.phase(Phase::Remove, Some(steps));
    let sweep = Sweep { storage, monitor, outcome: Mutex::default() };
    let repositories: Vec<RepositoryPlan<'_>> = plan.repositories().collect();
    with_threads(jobs, || {
        if sweep.links(&repositories, RepositoryPlan::tag_index_entries)
            && sweep.revisions(&repositories)
            && sweep.links(&repositories, RepositoryPlan::layer_links)
            && sweep.blobs(plan)
        {
            sweep.empty_directories(plan, &repositories);
        }
        Ok(())
    })?;
    Ok(sweep.outcome.into_inner())
}

struct Sweep<'a> {
    storage: &'a dyn DeleteStorage,
    monitor: &'a dyn Monitor,
    outcome: Mutex<Outcome>,
}

impl Sweep<'_> {
    /// Removes links whose order does not matter, and answers whether nothing has failed.
    fn links<'p, L: Iterator<Item = Item<'p>>>(
        &self,
        repositories: &[RepositoryPlan<'p>],
        links: impl Fn(RepositoryPlan<'p>) -> L + Sync,
    ) -> bool {
        repositories.par_iter().for_each(|repository| {
            let links: Vec<Item<'p>> = links(*repository).collect();
            links.par_chunks(BATCH).for_each(|batch| self.batch(batch));
        });
        self.has_no_failure()
    }

    /// Removes revisions: repositories side by side, in each of them one after the other, up to the first failure.
    fn revisions(&self, repositories: &[RepositoryPlan<'_>]) -> bool {
        repositories.par_iter().for_each(|repository| {
            for revision in repository.revisions() {
                self.batch(&[revision]);
                if !self.has_no_failure() {
                    break;
                }
            }
        });
        self.has_no_failure()
    }

    fn blobs(&self, plan: &Plan<'_>) -> bool {
        let directories: Vec<_> = plan.blob_directories().collect();
        directories.par_iter().for_each(|blobs| self.batch(&plan.blobs(blobs).collect::<Vec<_>>()));
        self.has_no_failure()
    }

    fn has_no_failure(&self) -> bool {
        self.outcome.lock().failures.is_empty()
    }

    fn batch(&self, items: &[Item<'_>]) {
        let mut keys = Vec::with_capacity(items.len());
        let mut ends = Vec::with_capacity(items.len());
        for item in items {
            keys.extend(item_keys(item));
            ends.push(keys.len());
        }
        let mut removals = self.storage.remove(&keys).into_iter();
        let mut outcome = self.outcome.lock();
        let mut start = 0;
        for (item, end) in items.iter().zip(ends) {
            let mut is_gone = true;
            for removal in removals.by_ref().take(end - start) {
                match removal {
                    Removal::Done => {}
                    Removal::LeftDirectory(error) => outcome.failures.push(error),
                    Removal::Failed(error) => {
                        is_gone = false;
                        outcome.failures.push(error);
                    }
                }
            }
            start = end;
            if is_gone {
                outcome.removed.add(item);
            }
        }
        drop(outcome);
        self.monitor.advance(items.len() as u64);
    }

    /// Removes directories that hold nothing any more: those of signatures, and what a run that was stopped has left.
    fn empty_directories(&self, plan: &Plan<'_>, repositories: &[RepositoryPlan<'_>]) {
        let mut directories: Vec<String> = plan.empty_blobs().map(|digest| layout::blob(&digest)).collect();
        for repository in repositories {
            directories.extend(repository.empty_layers());
        }
        for item in repositories.iter().flat_map(|repository| repository.revisions()) {
            let Item::Revision { repository, digest, signatures } = item else { continue };
            let parent = layout::signatures(repository, &digest);
            for signature in &signatures {
                directories.push(format!("{parent}/{}", signature.algorithm().name()));
            }
            if !signatures.is_empty() {
                directories.extend([parent, layout::revision(repository, &digest)]);
            }
        }
        let failures = self.storage.remove_empty_directories(&directories).into_iter().filter_map(Result::err);
        self.outcome.lock().failures.extend(failures);
    }
}

/// The objects that make up an item, a link before what it points at.
fn item_keys(item: &Item<'_>) -> Vec<String> {
    match item {
        Item::TagIndexEntry { repository, tag, digest } => vec![layout::tag_index_link(repository, tag, digest)],
        Item::Revision { repository, digest, signatures } => {
            let signatures = signatures.iter().map(|signature| layout::signature_link(repository, digest, signature));
            std::iter::once(layout::revision_link(repository, digest)).chain(signatures).collect()
        }
        Item::LayerLink { repository, digest } => vec![layout::layer_link(repository, digest)],
        Item::Blob { digest, .. } => vec![layout::blob_data(digest)],
    }
}
