//! Marking some repositories of a scanned store again, with other options.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashSet as HashSet;

use super::{RepositoryGarbage, kept_for_all, linked, repository};
use crate::blocked::Blocked;
use crate::error::Error;
use crate::scan::inventory::{DigestId, Repository};
use crate::scan::{Options, Scan};
use crate::storage::ReadStorage;
use crate::trash::{self, Restoring};

/// A scanned store, of which repositories can be marked again.
pub(crate) struct Marker<'a> {
    storage: &'a dyn ReadStorage,
    scan: &'a Scan,
    restoring: Restoring,
}

/// What marking a repository again has found.
pub(crate) struct Again {
    /// What is live in it.
    pub(crate) live: HashSet<DigestId>,
    /// What was live in it before the deletion.
    pub(crate) released: HashSet<DigestId>,
    /// The links that are garbage.
    pub(crate) garbage: RepositoryGarbage,
    /// What was named for deletion and stays.
    pub(crate) blocked: Vec<Blocked>,
}

impl From<repository::Marked> for Again {
    fn from(repository::Marked { live, released, kept, .. }: repository::Marked) -> Self {
        Self { live, released, garbage: kept.garbage, blocked: kept.blocked }
    }
}

impl<'a> Marker<'a> {
    /// Reads which repositories an incomplete restore protects, as a scan does.
    pub(crate) fn new(storage: &'a dyn ReadStorage, scan: &'a Scan) -> Result<Self, Error> {
        Ok(Self { storage, scan, restoring: trash::restoring(storage)? })
    }

    /// Returns what is live whatever the repositories need.
    pub(crate) fn kept_for_all(&self, options: &Options<'_>) -> impl Iterator<Item = DigestId> {
        kept_for_all(&self.scan.inventory, options, &self.restoring)
    }

    /// Marks the repository at this position of the inventory.
    pub(crate) fn mark(&self, position: usize, options: &Options<'_>) -> Result<Again, Error> {
        self.mark_as(&self.scan.inventory.repositories[position], options)
    }

    /// Marks the repositories into which layer links of others lead, as what is shared, and adds to each what was found of it
    /// before; `again` are the repositories that were marked with other garbage than the scan has found.
    pub(crate) fn mark_linked(&self, again: &mut BTreeMap<usize, Again>, options: &Options<'_>) -> Result<(), Error> {
        let inventory = &self.scan.inventory;
        let scanned = self.scan.reachable.garbage.iter().enumerate();
        let symlinks = scanned.flat_map(|(position, garbage)| {
            let garbage = again.get(&position).map_or(garbage, |again| &again.garbage);
            garbage.symlinks.iter()
        });
        let linked: BTreeSet<usize> = linked::repositories(self.storage, inventory, symlinks)?;
        for position in linked {
            let shared = Repository { shared: true, ..inventory.repositories[position].clone() };
            let marked = self.mark_as(&shared, options)?;
            let before = match again.remove(&position) {
                Some(before) => before,
                None => self.mark(position, options)?,
            };
            let live = marked.live.union(&before.live).copied().collect();
            again.insert(position, Again { live, released: before.released, ..marked });
        }
        Ok(())
    }

    fn mark_as(&self, repository: &Repository, options: &Options<'_>) -> Result<Again, Error> {
        let (digests, manifests) = (&self.scan.inventory.digests, &self.scan.reachable.manifests);
        repository::mark(self.storage, digests, manifests, repository, options, &self.restoring).map(Again::from)
    }
}
