//! The directories of repositories, which nest, and the revisions in them.

use std::collections::HashSet;

use rayon::prelude::*;

use super::{Digests, Repository, Walk};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::finding::Finding;
use crate::registry::layout;
use crate::storage::{EntryKind, Metadata, ReadStorage, real_directory};
use crate::sync::Mutex;

/// A directory that may be a repository, may hold repositories, or both.
struct Directory {
    /// Its path below the directory of all repositories, which is the name of the repository if it is one. Empty for
    /// that directory itself.
    name: String,
    /// Whether its path leads through a symbolic link.
    reached_by_symlink: bool,
}

/// A repository's directory, and what was found in it.
struct Found {
    directory: Directory,
    has_manifests: bool,
    has_layers: bool,
    has_referrers: bool,
    /// The symbolic links in it.
    symlinks: Vec<String>,
    /// Its uploads, if they are a symbolic link. An upload in progress is never deleted, so it may be anywhere.
    uploads_elsewhere: Option<String>,
}

/// A repository, and the symbolic links in it.
struct Listed {
    repository: Repository,
    symlinks: Vec<String>,
}

/// The links of a repository's revisions.
#[derive(Default)]
struct Links {
    linked: Vec<Digest>,
    unlinked: Vec<Digest>,
    recent: Vec<Digest>,
    /// Links that are symbolic links. What they lead to, if anything, is in use here as well as there.
    symlinks: Vec<String>,
}

/// The state of a walk.
#[derive(Default)]
struct Descent {
    found: Mutex<Vec<Found>>,
    /// The symbolic links found, as the names that they would give to what is behind them.
    symlinks: Mutex<Vec<String>>,
    failed: Mutex<Option<Error>>,
}

impl Walk<'_> {
    /// Returns the names of all repositories.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        Ok(self.find()?.into_iter().map(|found| found.directory.name).collect())
    }

    /// Lists all repositories, in the registry's order: component by component, a repository before those below it.
    pub(super) fn repositories(&self, digests: &Digests) -> Result<Vec<Repository>, Error> {
        let mut found = self.find()?;
        found.sort_by(|a, b| walk_order(&a.directory.name).cmp(walk_order(&b.directory.name)));
        let listed = found.into_par_iter().map(|found| self.repository(digests, found)).collect::<Result<_, _>>()?;
        self.mark_shared(listed)
    }

    /// Finds all repositories, including those behind symbolic links.
    ///
    /// Each directory is walked under one name only, so that the walk ends even if links lead in circles or to each
    /// other. That name does not depend on threads: links are followed after everything else, in order.
    fn find(&self) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        let mut followed = HashSet::new();
        let mut pending = vec![Directory { name: String::new(), reached_by_symlink: false }];
        while !pending.is_empty() {
            let descent = Descent::default();
            rayon::scope(|scope| {
                for directory in pending.drain(..) {
                    scope.spawn(|scope| self.descend(scope, directory, &descent));
                }
            });
            if let Some(error) = descent.failed.into_inner() {
                return Err(error);
            }
            found.extend(descent.found.into_inner());
            let mut symlinks = descent.symlinks.into_inner();
            symlinks.sort_unstable();
            for name in symlinks {
                let key = layout::repository(&name);
                let below = below_repositories(self.storage, &key)?;
                self.aliased.lock().extend(below.clone().map(|below| (below, key.clone())));
                let is_met_by_its_own_name = below.is_some_and(|below| is_walked(&below));
                if is_met_by_its_own_name || !followed.insert(real_directory(self.storage, &key)?) {
                    self.pass_over();
                } else {
                    pending.push(Directory { name, reached_by_symlink: true });
                }
            }
        }
        self.without_second_names(found)
    }

    /// Walks a directory, and then those below it.
    fn descend<'scope>(&'scope self, scope: &rayon::Scope<'scope>, directory: Directory, descent: &'scope Descent) {
        match self.look_into(directory, descent) {
            Ok(below) => {
                for directory in below {
                    scope.spawn(move |scope| self.descend(scope, directory, descent));
                }
            }
            Err(error) => {
                descent.failed.lock().get_or_insert(error);
            }
        }
    }

    /// Records the directory if it is a repository, and returns the directories below it.
    fn look_into(&self, directory: Directory, descent: &Descent) -> Result<Vec<Directory>, Error> {
        self.monitor.check()?;
        let is_top = directory.name.is_empty();
        let key = if is_top { layout::REPOSITORIES.to_owned() } else { layout::repository(&directory.name) };
        let names =
            self.directories(&key, |name| (!is_top || !layout::is_repository_part(name)).then(|| name.to_owned()));
        let names = match names {
            // A file system's own `lost+found`, which only root can read.
            Err(error) if error.is_denied() && is_lost_and_found(&directory.name) => {
                self.pass_over();
                return Ok(Vec::new());
            }
            names => names?,
        };
        // A new file system contains only `lost+found`.
        if !is_top && names.iter().all(|(name, _)| is_lost_and_found(name)) {
            self.note_empty(&key);
        }
        let mut below = Vec::new();
        let mut parts = Vec::new();
        let (mut symlinks, mut uploads_elsewhere) = (Vec::new(), None);
        let has_referrers = names.iter().any(|(name, _)| layout::REFERRERS.contains(&name.as_str()));
        let holds_referrers = layout::holds_referrers(&directory.name);
        for (name, symlink) in names {
            // No repository is below this directory; walking it would list each referrer.
            if holds_referrers && Algorithm::from_name(&name).is_some() {
                continue;
            }
            let path = format!("{key}/{name}");
            if layout::is_repository_part(&name) {
                match symlink.then_some(path) {
                    Some(path) if name == layout::UPLOADS => uploads_elsewhere = Some(path),
                    path => symlinks.extend(path),
                }
                parts.push(name);
            } else {
                let name = if is_top { name } else { format!("{}/{name}", directory.name) };
                if symlink {
                    descent.symlinks.lock().push(name);
                } else {
                    below.push(Directory { name, reached_by_symlink: directory.reached_by_symlink });
                }
            }
        }
        if !parts.is_empty() {
            self.monitor.advance(1);
            let has = |part: &str| parts.iter().any(|name| name == part);
            let (has_manifests, has_layers) = (has(layout::MANIFESTS), has(layout::LAYERS));
            let found = Found { directory, has_manifests, has_layers, has_referrers, symlinks, uploads_elsewhere };
            descent.found.lock().push(found);
        }
        Ok(below)
    }

    /// Drops repositories to which a symbolic link only gives another name: they are found by their own name.
    fn without_second_names(&self, found: Vec<Found>) -> Result<Vec<Found>, Error> {
        if !found.iter().any(|found| found.directory.reached_by_symlink) {
            return Ok(found);
        }
        let direct: HashSet<String> =
            found.iter().filter(|f| !f.directory.reached_by_symlink).map(|f| f.directory.name.clone()).collect();
        let mut kept = Vec::new();
        for found in found {
            let Directory { name, reached_by_symlink } = &found.directory;
            let is_second_name = *reached_by_symlink
                && below_repositories(self.storage, &layout::repository(name))?
                    .is_some_and(|name| direct.contains(&name));
            if is_second_name {
                self.pass_over();
            } else {
                kept.push(found);
            }
        }
        Ok(kept)
    }

    /// Returns the repositories, and marks those as shared into which another one's symbolic links lead.
    fn mark_shared(&self, listed: Vec<Listed>) -> Result<Vec<Repository>, Error> {
        let symlinks: Vec<String> = listed.iter().flat_map(|listed| &listed.symlinks).cloned().collect();
        let mut repositories: Vec<Repository> = listed.into_iter().map(|listed| listed.repository).collect();
        share(self.storage, &mut repositories, &symlinks)?;
        Ok(repositories)
    }

    /// Lists what a repository links.
    fn repository(&self, digests: &Digests, found: Found) -> Result<Listed, Error> {
        let Found { directory, has_manifests, has_layers, has_referrers, mut symlinks, uploads_elsewhere } = found;
        let Directory { name, reached_by_symlink } = directory;
        self.monitor.check()?;
        let mut candidates = Vec::new();
        if has_manifests {
            let manifests = format!("{}/{}", layout::repository(&name), layout::MANIFESTS);
            let is_part = |part: &str| matches!(part, "revisions" | "tags").then(|| part.to_owned());
            let parts = self.directories(&manifests, is_part)?;
            if parts.is_empty() {
                self.note_empty(&manifests);
            }
            for (part, symlink) in parts {
                symlinks.extend(symlink.then(|| format!("{manifests}/{part}")));
            }
            let revisions = layout::revisions(&name);
            let algorithms = self.directories(&revisions, Algorithm::from_name)?;
            if algorithms.is_empty() {
                self.note_empty(&revisions);
            }
            for (algorithm, symlink) in algorithms {
                let directory = format!("{revisions}/{}", algorithm.name());
                let digests = self.directories(&directory, |hex| Digest::from_hex(algorithm, hex))?;
                if digests.is_empty() {
                    self.note_empty(&directory);
                }
                for (digest, symlink) in digests {
                    symlinks.extend(symlink.then(|| layout::revision(&name, &digest)));
                    candidates.push(digest);
                }
                symlinks.extend(symlink.then_some(directory));
            }
        }
        let mut layer_algorithms = Vec::new();
        if has_layers {
            let layers = layout::layers(&name);
            for (algorithm, symlink) in self.directories(&layers, Algorithm::from_name)? {
                symlinks.extend(symlink.then(|| format!("{layers}/{}", algorithm.name())));
                layer_algorithms.push(algorithm);
            }
        }
        let Links { linked, unlinked, recent, symlinks: elsewhere } = self.links(&name, candidates)?;
        symlinks.extend(elsewhere);
        let ids = |digests_of: Vec<Digest>| {
            let mut ids: Vec<_> = digests_of.iter().map(|digest| digests.id(digest)).collect();
            ids.sort_unstable();
            ids.into_boxed_slice()
        };
        let shared = reached_by_symlink || !symlinks.is_empty();
        symlinks.extend(uploads_elsewhere);
        layer_algorithms.sort_unstable();
        let layer_algorithms = layer_algorithms.into();
        let (revisions, unlinked, recent) = (ids(linked), ids(unlinked), ids(recent));
        let repository = Repository {
            revisions,
            unlinked,
            signed: Box::default(),
            recent,
            layer_algorithms,
            has_referrers,
            shared,
            alias: None,
            writing: self.link_being_written(&name)?,
            name,
        };
        Ok(Listed { repository, symlinks })
    }

    /// Returns the first link of a repository that is being written.
    fn link_being_written(&self, repository: &str) -> Result<Option<String>, Error> {
        for part in [layout::LAYERS, layout::MANIFESTS] {
            let link = self.storage.link_being_written(&format!("{}/{part}", layout::repository(repository)))?;
            if link.is_some() {
                return Ok(link);
            }
        }
        Ok(None)
    }

    /// Tests the link of each revision.
    fn links(&self, repository: &str, revisions: Vec<Digest>) -> Result<Links, Error> {
        let directory = layout::revisions(repository);
        let batches: Vec<Links> = revisions
            .par_chunks(BATCH)
            .map(|batch| {
                let mut links = Links::default();
                let keys: Vec<String> = batch.iter().map(layout::link_below).collect();
                for (digest, link) in batch.iter().zip(self.storage.stat_each(&directory, &keys)?) {
                    match link {
                        Some(link) if link.kind == EntryKind::BrokenSymlink => {
                            return Err(Error::BrokenSymlink(layout::revision_link(repository, digest)));
                        }
                        Some(link) => {
                            self.check_link(repository, digest, &link)?;
                            links.linked.push(*digest);
                            let is_recent = self.recent_since.is_some_and(|since| link.may_be_recent(since));
                            links.recent.extend(is_recent.then_some(*digest));
                            let path = link.symlink.then(|| layout::revision_link(repository, digest));
                            links.symlinks.extend(path);
                        }
                        None => links.unlinked.push(*digest),
                    }
                }
                Ok(links)
            })
            .collect::<Result<_, Error>>()?;
        let mut all = Links::default();
        for links in batches {
            all.linked.extend(links.linked);
            all.unlinked.extend(links.unlinked);
            all.recent.extend(links.recent);
            all.symlinks.extend(links.symlinks);
        }
        Ok(all)
    }

    /// Reports a link that is no file, or does not have the size of a digest. The link is not read.
    fn check_link(&self, repository: &str, digest: &Digest, link: &Metadata) -> Result<(), Error> {
        // The link of a digest of another algorithm may hold the canonical one.
        let sizes = [layout::link_bytes(digest.algorithm()), layout::link_bytes(Algorithm::Sha256)];
        let is_whole = link.kind == EntryKind::File && sizes.contains(&link.bytes);
        if !is_whole && self.storage.link_being_written(&layout::revision_link(repository, digest))?.is_none() {
            let finding = Finding::GarbledRevisionLink { repository: repository.to_owned(), manifest: *digest };
            self.monitor.finding(&finding);
            self.findings.lock().push(finding);
        }
        Ok(())
    }
}

/// Returns the real path of a directory relative to the directory of all repositories, if it is below that.
fn below_repositories(storage: &dyn ReadStorage, directory: &str) -> Result<Option<String>, Error> {
    let repositories = real_directory(storage, layout::REPOSITORIES)?;
    let real = real_directory(storage, directory)?;
    let below = real.strip_prefix(&repositories);
    Ok(below
        .filter(|below| below.is_empty() || below.starts_with('/'))
        .map(|below| below.trim_start_matches('/').to_owned()))
}

/// Marks those repositories as shared into which symbolic links lead.
pub(crate) fn share(
    storage: &dyn ReadStorage,
    repositories: &mut [Repository],
    symlinks: &[String],
) -> Result<(), Error> {
    let mut targets = Vec::new();
    for link in symlinks {
        targets.extend(below_repositories(storage, link)?.map(|target| target + "/"));
    }
    if !targets.is_empty() {
        for repository in repositories {
            let directory = format!("{}/", repository.name);
            repository.shared |= targets.iter().any(|target| target.starts_with(&directory));
        }
    }
    Ok(())
}

/// How many links one task tests.
const BATCH: usize = 256;

/// Whether the walk reaches a directory of this path without following a symbolic link.
fn is_walked(path: &str) -> bool {
    path.is_empty() || !path.split('/').any(layout::is_repository_part)
}

/// Whether it is a directory that a file system creates for what fsck finds.
fn is_lost_and_found(name: &str) -> bool {
    name.rsplit('/').next() == Some("lost+found")
}

/// Returns the key of the registry's walk order: by component, with a repository at the place of its `_manifests`.
fn walk_order(name: &str) -> impl Iterator<Item = &str> {
    name.split('/').chain(std::iter::once(layout::MANIFESTS))
}
