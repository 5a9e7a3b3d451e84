//! What is live: everything reachable from the roots of some repository.
//!
//! A blob is garbage if it is live in no repository; a layer link or a revision is garbage if it is not live in its
//! own repository. So each repository is marked by itself, and what is live in it is added to what is live in the
//! store.

mod again;
mod attached;
mod garbage;
mod in_tags;
mod known_sizes;
mod leftovers;
mod linked;
mod manifests;
mod orphans;
mod referrers;
mod remnants;
mod repository;
mod signed;
mod tags;
mod without;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rayon::prelude::*;

pub(crate) use self::again::{Again, Marker};
pub(crate) use self::leftovers::have_history;
pub(crate) use self::manifests::target;
pub use self::manifests::{Damaged, Manifest, Manifests, PackedReference};
use crate::blocked::Blocked;
use crate::error::Error;
use crate::finding::Finding;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout;
use crate::scan::Options;
use crate::scan::deletion::Deletion;
use crate::scan::inventory::{DigestId, Digests, Inventory, Repository};
use crate::scan::uploads::Upload;
use crate::storage::ReadStorage;
use crate::sync::Mutex;
use crate::trash::{self, Restoring};

/// What is live in a store, and the links that are not.
#[derive(Debug)]
pub struct Reachable {
    /// All manifests that a repository links.
    pub manifests: Manifests,
    /// Every digest that is live in some repository.
    pub live: DigestSet,
    /// What the deletion kept alive, whether or not it is still live: nothing else may be deleted. `None` if
    /// everything that is not live may be deleted.
    pub released: Option<DigestSet>,
    /// What was named for deletion and stays.
    pub blocked: Vec<Blocked>,
    /// For each repository of the inventory, in its order, what is live in it.
    pub repositories: Vec<RepositoryReachable>,
    /// For each repository of the inventory, in its order, the links that are garbage.
    pub garbage: Vec<RepositoryGarbage>,
    /// How many tags there are; 0 unless they were needed.
    pub tags: u64,
    /// Directories of tags that are empty file systems of their own, as far as tags were read: the intended file
    /// system is not mounted.
    pub unmounted: Vec<String>,
    /// All damage found, in a fixed order.
    pub findings: Vec<Finding>,
}

/// What is live in one repository.
#[derive(Debug, Default)]
pub struct RepositoryReachable {
    /// The manifests from which everything else is reached.
    pub roots: Box<[DigestId]>,
    /// The linked manifests that are live, in the order of their numbers.
    pub manifests: Box<[DigestId]>,
    /// Whether everything in it is kept because of damage.
    pub protected: bool,
}

/// The links of one repository that are garbage.
#[derive(Clone, Debug, Default)]
pub struct RepositoryGarbage {
    /// Entries in the index of a tag that name a revision which is garbage or gone, and all those of deleted tags, by
    /// tag and digest.
    pub tag_index_entries: Vec<TagIndexEntry>,
    /// Tags to delete, sorted by name.
    pub removed_tags: Vec<GarbageTag>,
    /// Revisions, each before those that it refers to.
    pub revisions: Vec<GarbageRevision>,
    /// Layer links, by digest.
    pub layer_links: Vec<DigestId>,
    /// Digests that have a directory among the layer links but no link in it, as an interrupted run leaves them.
    pub empty_layers: Vec<DigestId>,
    /// Digests that have a directory among the revisions but no link in it, as the registry's DELETE leaves them.
    pub empty_revisions: Vec<DigestId>,
    /// Tags of which only a directory is left that names nothing: the registry lists them, but no client can pull
    /// them.
    pub empty_tag_dirs: Vec<String>,
    /// Abandoned uploads, by name.
    pub uploads: Vec<Upload>,
    /// Files that interrupted copies left beside links, by path.
    pub remnants: Vec<GarbageFile>,
    /// Keys of links to garbage by which the registry of the ORAS project finds referrers, sorted.
    pub referrer_links: Vec<String>,
    /// Whether the repository is deleted as a whole: its directory too, after everything else.
    pub whole: bool,
    /// The repository's tags, sorted, if revisions are garbage: these tags might have named them.
    pub tags: Vec<String>,
    /// Directories of its layer links that are symbolic links. What they lead to is in use there.
    pub(crate) symlinks: Vec<String>,
}

/// A record that a tag has named a digest.
#[derive(Clone, Debug)]
pub struct TagIndexEntry {
    /// The tag.
    pub tag: String,
    /// What it has named.
    pub id: DigestId,
}

/// A tag to delete.
#[derive(Clone, Debug)]
pub struct GarbageTag {
    /// The tag.
    pub tag: String,
    /// What it names; `None` if it is garbled.
    pub id: Option<DigestId>,
}

/// A file to delete by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GarbageFile {
    /// Its key.
    pub path: String,
    /// Its size, in bytes.
    pub bytes: u64,
}

/// A revision that is garbage, with the contents of its directory.
#[derive(Clone, Debug)]
pub struct GarbageRevision {
    /// The manifest.
    pub id: DigestId,
    /// Its signatures, if registry 2.0 to 2.3 left any.
    pub signatures: Box<[DigestId]>,
    /// Whether its directory stays because something that stays is attached to it: the directory proves that the
    /// manifest was here.
    pub is_remembered: bool,
}

impl RepositoryGarbage {
    /// Whether a tag is deleted.
    pub(crate) fn removes_tag(&self, tag: &str) -> bool {
        self.removed_tags.binary_search_by(|removed| removed.tag.as_str().cmp(tag)).is_ok()
    }
}

/// A set of digests, at one bit for each blob of the store.
#[derive(Debug)]
pub struct DigestSet {
    stored: Vec<AtomicU64>,
    others: Mutex<BTreeSet<DigestId>>,
}

impl DigestSet {
    fn new(digests: &Digests) -> Self {
        let words = digests.stored_len().div_ceil(64);
        Self { stored: (0..words).map(|_| AtomicU64::new(0)).collect(), others: Mutex::default() }
    }

    fn extend(&self, digests: &Digests, ids: impl IntoIterator<Item = DigestId>) {
        for id in ids {
            match digests.stored_index(id) {
                Some(index) => {
                    self.stored[index / 64].fetch_or(1 << (index % 64), Relaxed);
                }
                None => {
                    self.others.lock().insert(id);
                }
            }
        }
    }

    /// Whether `id` is in the set.
    pub fn contains(&self, digests: &Digests, id: DigestId) -> bool {
        match digests.stored_index(id) {
            Some(index) => self.stored[index / 64].load(Relaxed) >> (index % 64) & 1 == 1,
            None => self.others.lock().contains(&id),
        }
    }

    /// How many digests are in the set, including those without a blob.
    pub fn len(&self) -> u64 {
        let stored: u64 = self.stored.iter().map(|word| u64::from(word.load(Relaxed).count_ones())).sum();
        stored + self.others.lock().len() as u64
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Marks what is live. Where untagged manifests are garbage, a revision is a root only if a tag of its repository names
/// it, or if it is recent. In a repository that is damaged, shared or excluded, or has a tag of unknown content, every
/// revision is a root.
///
/// Adds to the inventory which revisions have signatures: that only the manifests tell.
pub fn mark(
    storage: &dyn ReadStorage,
    inventory: &mut Inventory,
    options: &Options<'_>,
    monitor: &dyn Monitor,
) -> Result<Reachable, Error> {
    let mut linked: Vec<DigestId> =
        inventory.repositories.iter().flat_map(|repository| repository.revisions.iter().copied()).collect();
    linked.sort_unstable();
    linked.dedup();
    monitor.phase(Phase::ReadManifests, Some(linked.len() as u64));
    let manifests = Manifests::read_linked(storage, inventory, options.known, monitor, linked)?;
    signed::find(storage, inventory, &manifests)?;

    let (inventory, digests) = (&*inventory, &inventory.digests);

    monitor.phase(Phase::Mark, Some(inventory.repositories.len() as u64));
    let (live, released) = (DigestSet::new(digests), DigestSet::new(digests));
    let restoring = trash::restoring(storage)?;
    live.extend(digests, kept_for_all(inventory, options, &restoring));
    let elsewhere = inventory.blobs_elsewhere.iter().filter(|_| !options.allow_symlinked_blobs);
    let mut findings: Vec<Finding> =
        elsewhere.map(|(directory, _)| Finding::BlobsElsewhere { path: directory.clone() }).collect();
    findings.iter().for_each(|finding| monitor.finding(finding));
    let tags = AtomicU64::new(0);
    let mut marked: Vec<repository::Kept> = inventory
        .repositories
        .par_iter()
        .map(|repository| {
            let marked = repository::mark(storage, digests, &manifests, repository, options, &restoring)?;
            live.extend(digests, marked.live);
            released.extend(digests, marked.released);
            tags.fetch_add(marked.tags, Relaxed);
            marked.kept.findings.iter().for_each(|finding| monitor.finding(finding));
            monitor.advance(1);
            monitor.check()?;
            Ok(marked.kept)
        })
        .collect::<Result<_, Error>>()?;
    let symlinks = marked.iter().flat_map(|kept| &kept.garbage.symlinks);
    for index in linked::repositories(storage, inventory, symlinks)? {
        let shared = Repository { shared: true, ..inventory.repositories[index].clone() };
        let again = repository::mark(storage, digests, &manifests, &shared, options, &restoring)?;
        live.extend(digests, again.live);
        marked[index] = again.kept;
    }

    let mut repositories = Vec::with_capacity(marked.len());
    let mut garbage = Vec::with_capacity(marked.len());
    let (mut blocked, mut unmounted) = (Vec::new(), Vec::new());
    for (kept, repository) in marked.into_iter().zip(&inventory.repositories) {
        unmounted.extend(kept.tags_unmounted.then(|| layout::tags(&repository.name)));
        repositories.push(kept.reachable);
        garbage.push(kept.garbage);
        findings.extend(kept.findings);
        blocked.extend(kept.blocked);
    }
    findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    blocked.sort_unstable();
    let mut reachable = Reachable {
        manifests,
        live,
        released: None,
        blocked,
        repositories,
        garbage,
        tags: tags.into_inner(),
        unmounted,
        findings,
    };
    if let Some(deletion) = options.deletion {
        reachable.keep_what_was_not_released(inventory, deletion, released);
    }
    Ok(reachable)
}

/// Returns what is live whatever the repositories need: what an incomplete restore protects, and blobs that another store may use.
fn kept_for_all<'a>(
    inventory: &'a Inventory,
    options: &Options<'_>,
    restoring: &'a Restoring,
) -> impl Iterator<Item = DigestId> + use<'a> {
    let elsewhere = if options.allow_symlinked_blobs { &[][..] } else { &inventory.blobs_elsewhere };
    let restoring = restoring.digests.iter().map(|digest| inventory.digests.id(digest));
    restoring.chain(elsewhere.iter().flat_map(|(_, blobs)| blobs.iter().copied()))
}

impl Reachable {
    /// Keeps all garbage that the deletion does not release.
    fn keep_what_was_not_released(&mut self, inventory: &Inventory, deletion: &Deletion, released: DigestSet) {
        let digests = &inventory.digests;
        for (repository, garbage) in inventory.repositories.iter().zip(&mut self.garbage) {
            garbage.empty_layers.clear();
            // A link of another repository is deleted only with its content.
            let is_meant = deletion.of(&repository.name).is_some();
            let live = &self.live;
            garbage.layer_links.retain(|&id| {
                released.contains(digests, id)
                    && (garbage.whole || !deletion.keep_content && (is_meant || !live.contains(digests, id)))
            });
        }
        self.released = Some(if deletion.keep_content { DigestSet::new(digests) } else { released });
    }

    /// Returns a finding for every layer and config that a live manifest needs and that is not among the blobs.
    ///
    /// `is_missing` returns whether a digest is missing. A foreign layer need not be there.
    pub(crate) fn missing_blobs(
        &self,
        storage: &dyn ReadStorage,
        inventory: &Inventory,
        is_missing: impl Fn(DigestId) -> bool + Sync,
    ) -> Result<Vec<Finding>, Error> {
        let repositories: Vec<_> = inventory.repositories.iter().zip(&self.repositories).collect();
        let found: Vec<Vec<Finding>> = repositories
            .into_par_iter()
            .map(|(repository, reachable)| {
                let mut findings = Vec::new();
                for &manifest in &reachable.manifests {
                    let missing = self
                        .manifests
                        .with(manifest, |manifest| manifest.needs().filter(|id| is_missing(*id)).collect());
                    let missing: Vec<DigestId> = missing.unwrap_or_default();
                    for blob in missing {
                        let target = manifests::target(storage, &inventory.digests, &repository.name, blob)?;
                        if target.is_none_or(&is_missing) {
                            findings.push(Finding::MissingBlob {
                                repository: repository.name.clone(),
                                manifest: inventory.digests.digest(manifest),
                                blob: inventory.digests.digest(blob),
                            });
                        }
                    }
                }
                Ok(findings)
            })
            .collect::<Result<_, Error>>()?;
        let mut findings: Vec<Finding> = found.into_iter().flatten().collect();
        findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        findings.dedup();
        Ok(findings)
    }
}
