//! The inventory of a store: its blobs, and its repositories with the revisions they link.
//!
//! Blobs are listed before anything else, so a blob that arrives later is never taken for garbage. Directories are
//! listed without examining each entry: the name of a directory is a digest. Of a revision, its `link`
//! is examined but not read: the registry's DELETE removes the link and leaves its directory.

mod blobs;
mod digests;
mod hashes;
mod repositories;
mod signatures;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use self::blobs::Blobs;
pub use self::digests::{DigestId, Digests};
pub(crate) use self::repositories::share;
pub(crate) use self::signatures::signatures;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::finding::Finding;
use crate::monitor::{Monitor, Phase, Unreported};
use crate::registry::layout;
use crate::storage::{EntryKind, ReadStorage, device, directories, each_directory, real_directory};
use crate::sync::Mutex;

/// What a store holds.
#[derive(Debug)]
pub struct Inventory {
    /// Whether there is a registry's layout at all.
    pub has_layout: bool,
    /// All digests, including those of the blobs.
    pub digests: Digests,
    /// Blobs whose directory is a symbolic link, sorted. Their content is stored elsewhere, and stays there.
    pub symlinked_blobs: Vec<DigestId>,
    /// Blob directories that are symbolic links out of the storage root, each with the blobs below it. Another store
    /// may use those blobs as well.
    pub blobs_elsewhere: Vec<(String, Vec<DigestId>)>,
    /// The names of the directories of repositories to which symbolic links give another name, each with one of those
    /// links.
    pub aliased: BTreeMap<String, String>,
    /// The repositories, in the order in which the registry walks them.
    pub repositories: Vec<Repository>,
    /// Whether no repository links a manifest, and at least one links layers without any sign that a manifest was
    /// deleted. OpenShift's registry kept manifests in etcd, and left only signatures here.
    pub lacks_manifests: bool,
    /// Empty directories that may be unmounted file systems, sorted: each is a file system of its own, or its
    /// siblings are on other file systems.
    pub unmounted: Vec<String>,
    /// How many names are not part of the layout. They are ignored.
    pub ignored: u64,
    /// The damage found.
    pub findings: Vec<Finding>,
}

/// A repository and the manifests that it links.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its name, `team/project/app`.
    pub name: String,
    /// The linked revisions, in the order of their numbers.
    pub revisions: Box<[DigestId]>,
    /// Revisions with a directory but without a link: manifests that were deleted through the API.
    pub unlinked: Box<[DigestId]>,
    /// The linked revisions that have signatures, as registry 2.0 to 2.3 wrote them, in the order of their numbers.
    pub signed: Box<[DigestId]>,
    /// The revisions whose link is too recent to be garbage, in the order of their numbers.
    pub recent: Box<[DigestId]>,
    /// The algorithms of its layer links.
    pub layer_algorithms: Box<[Algorithm]>,
    /// Whether it has a directory of links to referrers, as the registry of the ORAS project creates it.
    pub has_referrers: bool,
    /// Whether a symbolic link leads into the repository, or from within it to somewhere else. Then nothing in it is
    /// deleted, and all of it counts as in use: what looks unused here may be in use under the other name.
    pub shared: bool,
    /// A symbolic link that gives the repository another name, and would be dangling if the repository were deleted.
    pub alias: Option<String>,
    /// A link in it that is being written. Then nothing in the repository is deleted, unless you name the repository itself.
    pub writing: Option<String>,
}

impl Repository {
    /// Whether a registry serves a repository of this name. In a repository of any other name, nothing is deleted
    /// unless you name the repository itself.
    pub fn is_served(&self) -> bool {
        layout::is_repository_name(&self.name)
    }

    /// Whether it links this manifest as a revision.
    pub fn links(&self, manifest: DigestId) -> bool {
        self.revisions.binary_search(&manifest).is_ok()
    }

    /// Whether it may link anything, now or before a deletion.
    pub(crate) fn is_linking(&self) -> bool {
        !self.revisions.is_empty() || !self.unlinked.is_empty() || !self.layer_algorithms.is_empty()
    }

    /// Creates a repository of which only the name is known.
    pub(crate) fn empty(name: String) -> Self {
        Self {
            name,
            revisions: Box::default(),
            unlinked: Box::default(),
            signed: Box::default(),
            recent: Box::default(),
            layer_algorithms: Box::default(),
            has_referrers: false,
            shared: false,
            alias: None,
            writing: None,
        }
    }
}

impl Inventory {
    /// Counts these manifests as recent wherever they are linked.
    pub(crate) fn keep<'d>(&mut self, manifests: impl Iterator<Item = &'d Digest>) {
        let kept: Vec<DigestId> = manifests.map(|digest| self.digests.id(digest)).collect();
        for repository in &mut self.repositories {
            let linked = kept.iter().filter(|id| repository.revisions.binary_search(id).is_ok());
            let mut recent: Vec<DigestId> = linked.chain(&repository.recent).copied().collect();
            recent.sort_unstable();
            recent.dedup();
            repository.recent = recent.into();
        }
    }
}

/// Scans the whole store. What was modified at `recent_since` or later is recent.
pub fn scan(
    storage: &dyn ReadStorage,
    recent_since: Option<SystemTime>,
    monitor: &dyn Monitor,
) -> Result<Inventory, Error> {
    let walk = Walk::new(storage, recent_since, monitor);
    let has_layout = walk.has_layout()?;

    monitor.phase(Phase::ListBlobs, None);
    let Blobs { sha256, held, otherwise, symlinked, elsewhere } = walk.blobs()?;
    let digests = Digests::new(sha256, held, otherwise);
    if digests.stored_len() > DigestId::COUNT / 2 {
        return Err(Error::TooMany("blobs"));
    }
    let mut symlinked_blobs: Vec<_> = symlinked.iter().map(|digest| digests.id(digest)).collect();
    symlinked_blobs.sort_unstable();
    let ids = |blobs: Vec<Digest>| blobs.iter().map(|digest| digests.id(digest)).collect();
    let blobs_elsewhere = elsewhere.into_iter().map(|(directory, blobs)| (directory, ids(blobs))).collect();

    monitor.phase(Phase::ListRepositories, None);
    let mut repositories = walk.repositories(&digests)?;
    let aliased = walk.aliased.lock().clone();
    for repository in &mut repositories {
        let name = &repository.name;
        // An alias of a namespace gives another name to every repository in it.
        let ends = name.match_indices('/').map(|(end, _)| end).chain([name.len()]);
        repository.alias = ends.filter_map(|end| aliased.get(&name[..end])).next().cloned();
    }

    let lacks_manifests = walk.lacks_manifests(&repositories, &digests)?;
    let unmounted = walk.unmounted()?;
    let mut findings = walk.findings.into_inner();
    findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    let ignored = walk.ignored.into_inner() + storage.ignored();
    Ok(Inventory {
        has_layout,
        digests,
        symlinked_blobs,
        blobs_elsewhere,
        aliased,
        repositories,
        lacks_manifests,
        unmounted,
        ignored,
        findings,
    })
}

/// Lists the names of all repositories, as they are now.
///
/// Fails with [`Error::Interrupted`] if the monitor stops it.
pub(crate) fn repository_names(storage: &dyn ReadStorage, monitor: &dyn Monitor) -> Result<Vec<String>, Error> {
    Walk::new(storage, None, &Unreported(monitor)).names()
}

struct Walk<'a> {
    storage: &'a dyn ReadStorage,
    recent_since: Option<SystemTime>,
    monitor: &'a dyn Monitor,
    ignored: AtomicU64,
    /// Directories that hold nothing of the layout.
    empty: Mutex<BTreeSet<String>>,
    /// The names of directories of repositories that symbolic links lead to, each with one of those links.
    aliased: Mutex<BTreeMap<String, String>>,
    findings: Mutex<Vec<Finding>>,
}

impl<'a> Walk<'a> {
    fn new(storage: &'a dyn ReadStorage, recent_since: Option<SystemTime>, monitor: &'a dyn Monitor) -> Self {
        let (empty, aliased, findings) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { storage, recent_since, monitor, ignored: AtomicU64::new(0), empty, aliased, findings }
    }

    /// Notes a directory that holds nothing of the layout.
    fn note_empty(&self, directory: &str) {
        self.empty.lock().insert(directory.to_owned());
    }

    /// Lists the empty directories that are a file system of their own, or whose non-empty siblings are all on other
    /// file systems. A symbolic link is skipped: it is there on purpose.
    fn unmounted(&self) -> Result<Vec<String>, Error> {
        let empty = self.empty.lock();
        let (mut unmounted, mut above, mut siblings) = (Vec::new(), String::new(), BTreeSet::new());
        for directory in empty.iter() {
            let Some((parent, _)) = directory.rsplit_once('/') else { continue };
            if parent != above {
                above = parent.to_owned();
                siblings.clear();
                for (name, _) in self.directories(parent, |name| Some(name.to_owned()))? {
                    let sibling = format!("{parent}/{name}");
                    siblings.extend(if empty.contains(&sibling) { None } else { device(self.storage, &sibling)? });
                }
            }
            let Some(found) = self.storage.stat(directory)?.filter(|found| !found.symlink) else { continue };
            let own = found.device();
            let is_mounted_alone = own != device(self.storage, parent)?;
            let is_left_alone = own.is_some_and(|own| !siblings.is_empty() && !siblings.contains(&own));
            if is_mounted_alone || is_left_alone {
                unmounted.push(directory.clone());
            }
        }
        Ok(unmounted)
    }

    fn lacks_manifests(&self, repositories: &[Repository], digests: &Digests) -> Result<bool, Error> {
        if repositories.iter().any(|repository| !repository.revisions.is_empty()) {
            return Ok(false);
        }
        // Each repository is judged by itself: a deletion in one says nothing about another.
        for repository in repositories.iter().filter(|repository| !repository.layer_algorithms.is_empty()) {
            if !self.had_a_manifest(repository, digests)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a manifest was deleted from a repository. The API's DELETE removes only the link, so a revision
    /// without a link may never have had one only if it has signatures.
    fn had_a_manifest(&self, repository: &Repository, digests: &Digests) -> Result<bool, Error> {
        for revision in &repository.unlinked {
            if self.storage.stat(&layout::signatures(&repository.name, &digests.digest(*revision)))?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn pass_over(&self) {
        self.ignored.fetch_add(1, Relaxed);
    }

    fn each_directory<T>(
        &self,
        directory: &str,
        accept: impl Fn(&str) -> Option<T>,
        visit: impl FnMut(T, bool),
    ) -> Result<(), Error> {
        each_directory(self.storage, directory, accept, visit, || self.pass_over())
    }

    fn directories<T>(&self, directory: &str, accept: impl Fn(&str) -> Option<T>) -> Result<Vec<(T, bool)>, Error> {
        directories(self.storage, directory, accept, || self.pass_over())
    }

    /// Whether the directories exist that hold everything else.
    fn has_layout(&self) -> Result<bool, Error> {
        for (end, _) in layout::ROOT.match_indices('/').chain([(layout::ROOT.len(), "")]) {
            match self.storage.stat(&layout::ROOT[..end])?.map(|metadata| metadata.kind) {
                Some(EntryKind::Directory) => {}
                Some(EntryKind::BrokenSymlink) => return Err(Error::BrokenSymlink(layout::ROOT[..end].to_owned())),
                _ => return Ok(false),
            }
        }
        self.directories(layout::ROOT, |name| matches!(name, "blobs" | "repositories").then_some(()))?;
        for (directory, above) in [(layout::BLOBS.to_owned(), ".."), (layout::blobs(Algorithm::Sha256), "../..")] {
            self.refuse_blobs_of_another_store(&directory, above)?;
        }
        let beside = format!("{}/../blobs", layout::REPOSITORIES);
        if self.storage.stat(&beside)?.is_some()
            && (self.storage.stat(layout::BLOBS)?.is_none()
                || real_directory(self.storage, &beside)? != real_directory(self.storage, layout::BLOBS)?)
        {
            return Err(Error::RepositoriesOfAnotherStore(layout::REPOSITORIES.to_owned()));
        }
        Ok(true)
    }

    /// Fails if the blobs are those of another store with repositories of its own: what those repositories use would
    /// be taken for garbage. Blobs may be behind a symbolic link, on another disk.
    fn refuse_blobs_of_another_store(&self, directory: &str, above: &str) -> Result<(), Error> {
        let beside = format!("{directory}/{above}/repositories");
        if self.storage.stat(&beside)?.is_some()
            && self.storage.stat(layout::REPOSITORIES)?.is_some()
            && real_directory(self.storage, &beside)? != real_directory(self.storage, layout::REPOSITORIES)?
        {
            return Err(Error::BlobsOfAnotherStore(directory.to_owned()));
        }
        Ok(())
    }

    /// Whether a directory that is a symbolic link leads out of the storage root.
    fn leads_out(&self, directory: &str) -> Result<bool, Error> {
        Ok(real_directory(self.storage, directory)?.starts_with('/'))
    }
}
