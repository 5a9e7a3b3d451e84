//! What is there: the blobs, and the repositories with the revisions they link.
//!
//! Blobs are listed before anything else is looked at. What arrives later is therefore never taken for garbage.
//! Directories are listed without a look at each entry: a digest is in its directory's name. Only the existence of a
//! revision's `link` is tested, since the registry's DELETE removes the link and leaves its directory.

mod digests;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use rayon::prelude::*;

pub use self::digests::{DigestId, Digests};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::finding::Finding;
use crate::layout;
use crate::monitor::{Monitor, Phase};
use crate::storage::{Entry, EntryKind, ReadStorage};

/// What a store holds.
#[derive(Debug)]
pub struct Inventory {
    /// Whether there is a registry's layout at all.
    pub has_layout: bool,
    /// All digests, those of the blobs among them.
    pub digests: Digests,
    /// Blobs whose directory is a symbolic link, sorted. Their content is kept elsewhere, and stays there.
    pub symlinked_blobs: Vec<DigestId>,
    /// The repositories, in the order in which the registry walks them.
    pub repositories: Vec<Repository>,
    /// How many names were met that are no part of the layout. They are left alone.
    pub passed_over: u64,
    /// What was found damaged.
    pub findings: Vec<Finding>,
}

/// A repository and the manifests that it links.
#[derive(Debug)]
pub struct Repository {
    /// Its name, `team/project/app`.
    pub name: String,
    /// The linked revisions, in the order of their numbers.
    pub revisions: Box<[DigestId]>,
    /// Revisions whose directory is left although the link is gone: manifests that were deleted through the API.
    pub unlinked: Box<[DigestId]>,
    /// Whether a symbolic link leads into the repository, or from within it to somewhere else. Then nothing in it is
    /// removed, and all of it counts as in use: what looks unused here may be in use under the other name.
    pub shared: bool,
}

/// Looks at the whole store.
pub fn take(storage: &dyn ReadStorage, monitor: &dyn Monitor) -> Result<Inventory, Error> {
    let walk = Walk { storage, monitor, passed_over: AtomicU64::new(0), findings: Mutex::default() };
    let has_layout = walk.has_layout()?;

    monitor.phase(Phase::ListBlobs, None);
    let blobs = walk.blobs()?;
    let digests = Digests::new(blobs.iter().flat_map(|shard| shard.digests.iter().copied()));
    let mut symlinked_blobs: Vec<_> =
        blobs.iter().flat_map(|shard| &shard.symlinked).map(|digest| digests.id(digest)).collect();
    symlinked_blobs.sort_unstable();
    drop(blobs);

    monitor.phase(Phase::ListRepositories, None);
    let names = walk.repository_names()?;
    let listed: Vec<Listed> =
        names.into_par_iter().map(|found| walk.repository(&digests, found)).collect::<Result<_, _>>()?;
    let repositories = walk.mark_shared(listed)?;

    let mut findings = walk.findings.into_inner();
    findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    let passed_over = walk.passed_over.into_inner();
    Ok(Inventory { has_layout, digests, symlinked_blobs, repositories, passed_over, findings })
}

struct Walk<'a> {
    storage: &'a dyn ReadStorage,
    monitor: &'a dyn Monitor,
    passed_over: AtomicU64,
    findings: Mutex<Vec<Finding>>,
}

/// The blobs below one of the directories `blobs/<algorithm>/<first two hex>`.
#[derive(Default)]
struct Shard {
    digests: Vec<Digest>,
    symlinked: Vec<Digest>,
}

/// The directory of a repository.
struct Found {
    name: String,
    has_manifests: bool,
    has_layers: bool,
    /// The symbolic links in it that were met.
    symlinks: Vec<String>,
    /// Whether the way to it leads through one.
    reached_by_symlink: bool,
}

/// A repository, and the symbolic links within it.
struct Listed {
    repository: Repository,
    symlinks: Vec<String>,
}

impl Walk<'_> {
    fn pass_over(&self) {
        self.passed_over.fetch_add(1, Relaxed);
    }

    /// What `accept` makes of the names of directories in `directory`, and whether each is a symbolic link. All other
    /// names are passed over.
    fn directories<T>(&self, directory: &str, accept: impl Fn(&str) -> Option<T>) -> Result<Vec<(T, bool)>, Error> {
        let mut accepted = Vec::new();
        let mut broken = None;
        self.storage.list(directory, &mut |Entry { name, kind, symlink }| match (accept(name), kind) {
            (Some(meaning), EntryKind::Directory) => accepted.push((meaning, symlink)),
            (Some(_), EntryKind::BrokenSymlink) => broken = Some(format!("{directory}/{name}")),
            _ => self.pass_over(),
        })?;
        match broken {
            Some(key) => Err(Error::BrokenSymlink(key)),
            None => Ok(accepted),
        }
    }

    /// Whether the directories are there in which everything else is.
    fn has_layout(&self) -> Result<bool, Error> {
        for (end, _) in layout::ROOT.match_indices('/').chain([(layout::ROOT.len(), "")]) {
            match self.storage.stat(&layout::ROOT[..end])?.map(|metadata| metadata.kind) {
                Some(EntryKind::Directory) => {}
                Some(EntryKind::BrokenSymlink) => return Err(Error::BrokenSymlink(layout::ROOT[..end].to_owned())),
                _ => return Ok(false),
            }
        }
        self.directories(layout::ROOT, |name| matches!(name, "blobs" | "repositories").then_some(()))?;
        Ok(true)
    }

    fn blobs(&self) -> Result<Vec<Shard>, Error> {
        let mut shards = Vec::new();
        for (algorithm, _) in self.directories(layout::BLOBS, Algorithm::from_name)? {
            let is_shard = |name: &str| layout::is_shard(name).then(|| name.to_owned());
            for (prefix, _) in self.directories(&layout::blobs(algorithm), is_shard)? {
                shards.push((algorithm, prefix));
            }
        }
        shards.into_par_iter().map(|(algorithm, prefix)| self.shard(algorithm, &prefix)).collect()
    }

    fn shard(&self, algorithm: Algorithm, prefix: &str) -> Result<Shard, Error> {
        let mut shard = Shard::default();
        self.storage.list(
            &format!("{}/{prefix}", layout::blobs(algorithm)),
            &mut |Entry { name, kind, symlink }| {
                // A blob below the wrong prefix is where no registry looks for it.
                let digest = Digest::from_hex(algorithm, name).filter(|_| name.starts_with(prefix));
                match (digest, kind) {
                    (Some(digest), EntryKind::Directory) => {
                        shard.digests.push(digest);
                        if symlink {
                            shard.symlinked.push(digest);
                        }
                    }
                    _ => self.pass_over(),
                }
            },
        )?;
        self.monitor.advance(shard.digests.len() as u64);
        Ok(shard)
    }

    /// Every repository, in the registry's order: component by component, a repository before those below it.
    fn repository_names(&self) -> Result<Vec<Found>, Error> {
        let found = Mutex::new(Vec::new());
        let failed = Mutex::new(None);
        rayon::scope(|scope| self.descend(scope, String::new(), false, &found, &failed));
        if let Some(error) = failed.into_inner() {
            return Err(error);
        }
        let mut found = self.without_second_names(found.into_inner())?;
        found.sort_by(|a, b| walk_order(&a.name).cmp(walk_order(&b.name)));
        Ok(found)
    }

    /// Leaves out repositories that a symbolic link only gives another name: they are met by their own.
    fn without_second_names(&self, found: Vec<Found>) -> Result<Vec<Found>, Error> {
        if !found.iter().any(|repository| repository.reached_by_symlink) {
            return Ok(found);
        }
        let direct: HashSet<String> =
            found.iter().filter(|found| !found.reached_by_symlink).map(|found| found.name.clone()).collect();
        let mut kept = Vec::new();
        for repository in found {
            let is_second_name = repository.reached_by_symlink
                && self
                    .below_repositories(&layout::repository(&repository.name))?
                    .is_some_and(|name| direct.contains(&name));
            if is_second_name {
                self.pass_over();
            } else {
                kept.push(repository);
            }
        }
        Ok(kept)
    }

    /// The path below the directory of all repositories at which a directory really is, if it is there.
    fn below_repositories(&self, directory: &str) -> Result<Option<String>, Error> {
        let repositories = self.storage.real_directory(layout::REPOSITORIES)?;
        let real = self.storage.real_directory(directory)?;
        Ok(real.strip_prefix(&repositories).and_then(|below| below.strip_prefix('/')).map(str::to_owned))
    }

    /// The repositories, where those count as shared into which another one's symbolic links lead.
    fn mark_shared(&self, listed: Vec<Listed>) -> Result<Vec<Repository>, Error> {
        let mut targets = Vec::new();
        for link in listed.iter().flat_map(|listed| &listed.symlinks) {
            targets.extend(self.below_repositories(link)?.map(|target| target + "/"));
        }
        let mut repositories: Vec<Repository> = listed.into_iter().map(|listed| listed.repository).collect();
        if !targets.is_empty() {
            for repository in &mut repositories {
                let directory = format!("{}/", repository.name);
                repository.shared |= targets.iter().any(|target| target.starts_with(&directory));
            }
        }
        Ok(repositories)
    }

    fn descend<'scope>(
        &'scope self,
        scope: &rayon::Scope<'scope>,
        name: String,
        reached_by_symlink: bool,
        found: &'scope Mutex<Vec<Found>>,
        failed: &'scope Mutex<Option<Error>>,
    ) {
        match self.look_into(&name, reached_by_symlink) {
            Ok((repository, below)) => {
                if let Some(repository) = repository {
                    self.monitor.advance(1);
                    found.lock().push(repository);
                }
                for (name, reached_by_symlink) in below {
                    scope.spawn(move |scope| self.descend(scope, name, reached_by_symlink, found, failed));
                }
            }
            Err(error) => {
                failed.lock().get_or_insert(error);
            }
        }
    }

    /// Whether the directory `name` is a repository, and the directories below it that may be.
    fn look_into(&self, name: &str, reached_by_symlink: bool) -> Result<(Option<Found>, Vec<(String, bool)>), Error> {
        enum Part {
            Manifests,
            Layers,
            Uploads,
            Below(String),
        }
        let directory = if name.is_empty() { layout::REPOSITORIES.to_owned() } else { layout::repository(name) };
        let parts = self.directories(&directory, |part| match part {
            layout::MANIFESTS => Some(Part::Manifests),
            layout::LAYERS => Some(Part::Layers),
            layout::UPLOADS => Some(Part::Uploads),
            _ if layout::is_repository_component(part) && name.is_empty() => Some(Part::Below(part.to_owned())),
            _ if layout::is_repository_component(part) => Some(Part::Below(format!("{name}/{part}"))),
            _ => None,
        })?;
        let mut repository = Found {
            name: name.to_owned(),
            has_manifests: false,
            has_layers: false,
            symlinks: Vec::new(),
            reached_by_symlink,
        };
        let mut has_uploads = false;
        let mut below = Vec::new();
        for (part, symlink) in parts {
            let part = match part {
                Part::Below(name) => {
                    if symlink && self.leads_back(&layout::repository(&name))? {
                        self.pass_over();
                    } else {
                        below.push((name, reached_by_symlink || symlink));
                    }
                    continue;
                }
                Part::Manifests => {
                    repository.has_manifests = true;
                    layout::MANIFESTS
                }
                Part::Layers => {
                    repository.has_layers = true;
                    layout::LAYERS
                }
                Part::Uploads => {
                    has_uploads = true;
                    layout::UPLOADS
                }
            };
            repository.symlinks.extend(symlink.then(|| format!("{directory}/{part}")));
        }
        let is_repository = !name.is_empty() && (repository.has_manifests || repository.has_layers || has_uploads);
        Ok((is_repository.then_some(repository), below))
    }

    /// Whether a symbolic link leads to a directory on the way to itself. All that is there is met by another name.
    fn leads_back(&self, link: &str) -> Result<bool, Error> {
        let target = self.storage.real_directory(link)?;
        let mut ancestor = link;
        while let Some((parent, _)) = ancestor.rsplit_once('/') {
            if self.storage.real_directory(parent)? == target {
                return Ok(true);
            }
            ancestor = parent;
        }
        Ok(false)
    }

    /// Lists what a repository links.
    fn repository(&self, digests: &Digests, found: Found) -> Result<Listed, Error> {
        let Found { name, has_manifests, has_layers, mut symlinks, reached_by_symlink } = found;
        let mut candidates = Vec::new();
        if has_manifests {
            let manifests = format!("{}/{}", layout::repository(&name), layout::MANIFESTS);
            let is_part = |part: &str| matches!(part, "revisions" | "tags").then(|| part.to_owned());
            for (part, symlink) in self.directories(&manifests, is_part)? {
                symlinks.extend(symlink.then(|| format!("{manifests}/{part}")));
            }
            let revisions = layout::revisions(&name);
            for (algorithm, symlink) in self.directories(&revisions, Algorithm::from_name)? {
                let directory = format!("{revisions}/{}", algorithm.name());
                for (digest, symlink) in self.directories(&directory, |hex| Digest::from_hex(algorithm, hex))? {
                    symlinks.extend(symlink.then(|| layout::revision(&name, &digest)));
                    candidates.push(digest);
                }
                symlinks.extend(symlink.then_some(directory));
            }
        }
        if has_layers {
            let layers = layout::layers(&name);
            for (algorithm, symlink) in self.directories(&layers, Algorithm::from_name)? {
                symlinks.extend(symlink.then(|| format!("{layers}/{}", algorithm.name())));
            }
        }
        let linked: Vec<bool> =
            candidates.par_iter().map(|digest| self.is_linked(&name, digest)).collect::<Result<_, _>>()?;
        let ids = |wanted: bool| {
            let mut ids: Vec<_> = candidates
                .iter()
                .zip(&linked)
                .filter(|(_, linked)| **linked == wanted)
                .map(|(digest, _)| digests.id(digest))
                .collect();
            ids.sort_unstable();
            ids.into_boxed_slice()
        };
        let shared = reached_by_symlink || !symlinks.is_empty();
        let repository = Repository { revisions: ids(true), unlinked: ids(false), name, shared };
        Ok(Listed { repository, symlinks })
    }

    /// Whether the revision has a link. Its size tells whether it holds a digest; it is not read.
    fn is_linked(&self, repository: &str, digest: &Digest) -> Result<bool, Error> {
        let Some(link) = self.storage.stat(&layout::revision_link(repository, digest))? else { return Ok(false) };
        // The link of a digest of another algorithm may hold the canonical one.
        let sizes = [layout::link_bytes(digest.algorithm()), layout::link_bytes(Algorithm::Sha256)];
        if link.kind != EntryKind::File || !sizes.contains(&link.bytes) {
            let finding = Finding::GarbledRevisionLink { repository: repository.to_owned(), manifest: *digest };
            self.monitor.finding(&finding);
            self.findings.lock().push(finding);
        }
        Ok(true)
    }
}

/// The order in which the registry walks repositories: by component, and a repository where its `_manifests` stands.
fn walk_order(name: &str) -> impl Iterator<Item = &str> {
    name.split('/').chain(std::iter::once(layout::MANIFESTS))
}
