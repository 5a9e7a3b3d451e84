//! Finds what was added after a store was scanned, and must be kept.
//!
//! A push that reuses an old blob does not touch it, so the blob's age proves nothing. But the push writes a layer
//! link, a revision and a tag. Those that are newer than the run, and everything that they refer to, are kept. Only
//! directories that have changed are listed again, so a rescan takes a fraction of the time of the scan.

use std::time::SystemTime;

use rayon::prelude::*;
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use crate::collect::plan::Item;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::monitor::Monitor;
use crate::registry::layout;
use crate::registry::layout::Location;
use crate::scan::Scan;
use crate::scan::graph::{self, Edge, edges};
use crate::scan::inventory::{self, DigestId, Repository};
use crate::scan::links::digests_in;
use crate::scan::mark::{GarbageRevision, Manifest, RepositoryGarbage, target};
use crate::storage::{Content, Metadata, ReadStorage, directories};
use crate::walk::walk;

/// Digests that are kept: neither their content nor any link to it is removed.
pub(crate) type Spared = HashSet<DigestId>;

/// A rescan of a store that was scanned before.
pub(crate) struct Rescan<'a> {
    pub(crate) storage: &'a dyn ReadStorage,
    pub(crate) scan: &'a Scan,
    /// What was modified at this time or later is new.
    since: SystemTime,
    /// The garbage manifests that are attached to another manifest, by that manifest.
    referrers: HashMap<DigestId, Vec<DigestId>>,
    /// The signatures of garbage manifests, by manifest.
    signatures: HashMap<DigestId, Vec<DigestId>>,
}

/// What is new in a repository.
#[derive(Default)]
struct New {
    revisions: Vec<DigestId>,
    layers: Vec<DigestId>,
}

impl<'a> Rescan<'a> {
    pub(crate) fn new(storage: &'a dyn ReadStorage, scan: &'a Scan, since: SystemTime) -> Self {
        let garbage = || scan.reachable.garbage.iter().flat_map(|garbage| &garbage.revisions);
        let referrers = graph::referrers(&scan.reachable.manifests, garbage().map(|revision| revision.id));
        let mut signatures: HashMap<DigestId, Vec<DigestId>> = HashMap::default();
        for GarbageRevision { id, signatures: of_one, .. } in garbage() {
            signatures.entry(*id).or_default().extend(of_one);
        }
        Self { storage, scan, since, referrers, signatures }
    }

    /// Returns what is new, with everything that it refers to.
    ///
    /// Fails if the storage cannot be read, if a new manifest is not whole yet, or if the monitor stops it.
    pub(crate) fn look(&self, monitor: &dyn Monitor) -> Result<Spared, Error> {
        let Scan { inventory, reachable, .. } = self.scan;
        self.storage.relist(layout::REPOSITORIES);
        let mut spared = Spared::default();
        let known: Vec<_> = inventory.repositories.iter().zip(&reachable.garbage).collect();
        let new: Vec<New> = known
            .par_iter()
            .map(|(repository, garbage)| {
                monitor.check()?;
                self.new_in(repository, garbage, false)
            })
            .collect::<Result<_, _>>()?;
        for ((repository, _), new) in known.iter().zip(new) {
            self.spare_new(&repository.name, new, &mut spared)?;
        }
        let names: HashSet<&str> = inventory.repositories.iter().map(|repository| &*repository.name).collect();
        for name in inventory::repository_names(self.storage, monitor)? {
            monitor.check()?;
            if !names.contains(&*name) {
                let repository = Repository::empty(name);
                let new = self.new_in(&repository, &RepositoryGarbage::default(), true)?;
                self.spare_new(&repository.name, new, &mut spared)?;
            }
        }
        Ok(spared)
    }

    fn new_in(&self, repository: &Repository, garbage: &RepositoryGarbage, all: bool) -> Result<New, Error> {
        let mut new = New::default();
        let garbage_revisions: HashSet<DigestId> = garbage.revisions.iter().map(|revision| revision.id).collect();

        // A revision that is known and live needs no check: everything that it refers to is live, too.
        let mut asked: HashSet<DigestId> = garbage_revisions.clone();
        asked.extend(&repository.unlinked);
        self.each_changed(&layout::revisions(&repository.name), all, |id| {
            if repository.revisions.binary_search(&id).is_err() {
                asked.insert(id);
            }
        })?;
        for (id, link) in self.links(&layout::revisions(&repository.name), asked)? {
            if link.may_be_recent(self.since) || !garbage_revisions.contains(&id) {
                new.revisions.push(id);
            }
        }

        // A layer link that was garbage is checked again before it is removed.
        let unreferenced = &self.scan.sizes.unreferenced;
        let garbage_links: HashSet<DigestId> = garbage.layer_links.iter().copied().collect();
        let mut asked: HashSet<DigestId> = garbage.empty_layers.iter().copied().collect();
        self.each_changed(&layout::layers(&repository.name), all, |id| {
            let is_candidate = unreferenced.binary_search_by_key(&id, |blob| blob.id).is_ok();
            let may_lead_to_one = self.scan.inventory.digests.algorithm(id) != Algorithm::Sha256;
            if (is_candidate || may_lead_to_one) && !garbage_links.contains(&id) {
                asked.insert(id);
            }
        })?;
        let links = self.links(&layout::layers(&repository.name), asked)?;
        new.layers.extend(links.into_iter().map(|(id, _)| id));

        if !garbage_revisions.is_empty() {
            let tagged = self.new_tags(&repository.name)?;
            new.revisions.extend(tagged.into_iter().filter(|id| garbage_revisions.contains(id)));
        }
        Ok(new)
    }

    /// Calls `visit` with each digest that has a directory in a directory of links, where one may have been added.
    fn each_changed(&self, links: &str, all: bool, mut visit: impl FnMut(DigestId)) -> Result<(), Error> {
        for algorithm in Algorithm::ALL {
            let directory = format!("{links}/{}", algorithm.name());
            if self.storage.stat(&directory)?.is_some_and(|found| all || found.may_be_recent(self.since)) {
                for (digest, _) in digests_in(self.storage, links, algorithm)? {
                    visit(self.scan.inventory.digests.id(&digest));
                }
            }
        }
        Ok(())
    }

    /// Returns the links of these digests that exist.
    fn links(&self, directory: &str, ids: HashSet<DigestId>) -> Result<Vec<(DigestId, Metadata)>, Error> {
        let ids: Vec<DigestId> = ids.into_iter().collect();
        let digests = &self.scan.inventory.digests;
        let keys: Vec<String> = ids.iter().map(|&id| layout::link_below(&digests.digest(id))).collect();
        let links = self.storage.stat_each(directory, &keys)?;
        Ok(ids.into_iter().zip(links).filter_map(|(id, link)| Some((id, link?))).collect())
    }

    /// Returns what new tags name.
    fn new_tags(&self, repository: &str) -> Result<Vec<DigestId>, Error> {
        let mut named = Vec::new();
        let tags = directories(self.storage, &layout::tags(repository), layout::tag_name, || ())?;
        for (tag, _) in tags {
            let link = layout::tag_link(repository, &tag);
            if self.storage.stat(&link)?.is_some_and(|link| link.may_be_recent(self.since)) {
                named.extend(self.named(repository, &tag)?);
            }
        }
        Ok(named)
    }

    fn spare_new(&self, repository: &str, new: New, spared: &mut Spared) -> Result<(), Error> {
        for id in new.layers {
            self.spare_content(repository, id, spared)?;
        }
        for id in new.revisions {
            if self.spare_manifest(repository, id, spared)? {
                let digest = self.scan.inventory.digests.digest(id);
                return Err(Error::BeingWritten(layout::blob_data(&digest)));
            }
        }
        Ok(())
    }

    /// Spares some content, and what the registry serves for its digest in this repository.
    pub(crate) fn spare_content(&self, repository: &str, id: DigestId, spared: &mut Spared) -> Result<(), Error> {
        spared.insert(id);
        spared.extend(target(self.storage, &self.scan.inventory.digests, repository, id)?);
        Ok(())
    }

    /// Spares what an item leads to, because the item itself stays.
    pub(crate) fn spare_what_it_leads_to(&self, item: &Item<'_>, spared: &mut Spared) -> Result<(), Error> {
        let Some(digest) = item.digest() else { return Ok(()) };
        let id = self.scan.inventory.digests.id(&digest);
        match item {
            Item::TagIndexEntry { repository, .. } | Item::Revision { repository, .. } => {
                self.spare_manifest(repository, id, spared).map(drop)
            }
            Item::LayerLink { repository, .. } => self.spare_content(repository, id, spared),
            // It may name something else by now.
            Item::Tag { repository, tag, .. } => self.spare_tag(repository, tag, id, spared),
            Item::File { repository: Some(repository), path, .. }
                if matches!(Location::parse(path), Some(Location::ReferrerLink { .. })) =>
            {
                self.spare_manifest(repository, id, spared).map(drop)
            }
            Item::Blob { .. } | Item::Upload { .. } | Item::File { .. } | Item::Repository { .. } => Ok(()),
        }
    }

    /// Spares what a tag named when the store was scanned, and what it names now.
    pub(crate) fn spare_tag(
        &self,
        repository: &str,
        tag: &str,
        named: DigestId,
        spared: &mut Spared,
    ) -> Result<(), Error> {
        self.spare_manifest(repository, named, spared)?;
        if let Some(named) = self.named(repository, tag)? {
            self.spare_manifest(repository, named, spared)?;
        }
        Ok(())
    }

    /// Returns what a tag names now.
    fn named(&self, repository: &str, tag: &str) -> Result<Option<DigestId>, Error> {
        let link = self.storage.read(&layout::tag_link(repository, tag), layout::link_bytes(Algorithm::Sha512))?;
        let digest: Option<Digest> = match link {
            Some(Content::Whole(text)) => layout::digest_in_link(&text),
            _ => None,
        };
        match digest {
            Some(digest) => Ok(Some(self.scan.inventory.digests.id(&digest))),
            None => match self.storage.link_being_written(&layout::tag_link(repository, tag))? {
                Some(link) => Err(Error::BeingWritten(link)),
                None => Ok(None),
            },
        }
    }

    /// Spares a manifest, everything that it refers to, and what is attached to any of that. Returns whether the
    /// manifest is damaged or missing.
    pub(crate) fn spare_manifest(&self, repository: &str, id: DigestId, spared: &mut Spared) -> Result<bool, Error> {
        let Scan { inventory, reachable, .. } = self.scan;
        let mut is_damaged = false;
        walk(&mut HashSet::default(), [id], |manifest, pending| {
            self.spare_content(repository, manifest, spared)?;
            pending.extend(target(self.storage, &inventory.digests, repository, manifest)?);
            reachable.manifests.read_other(self.storage, &inventory.digests, manifest)?;
            let mut content = self.signatures.get(&manifest).cloned().unwrap_or_default();
            reachable.manifests.with(manifest, |found| {
                is_damaged |= manifest == id && matches!(found, Manifest::Damaged(_) | Manifest::Missing);
                for (edge, to) in edges(found) {
                    match edge {
                        Edge::Reference(role) if role.may_be_child() => pending.push(to),
                        Edge::Reference(_) | Edge::Mention => content.push(to),
                    }
                }
            });
            for id in content {
                self.spare_content(repository, id, spared)?;
                // A linked manifest is a manifest whatever the reference calls it, and anything may have referrers.
                pending.extend(reachable.manifests.with(id, |_| id));
                pending.extend(self.referrers.get(&id).into_iter().flatten());
            }
            pending.extend(self.referrers.get(&manifest).into_iter().flatten());
            Ok::<(), Error>(())
        })?;
        Ok(is_damaged)
    }
}
