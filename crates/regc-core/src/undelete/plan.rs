//! Which links are missing. Nothing is changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::SystemTime;

use super::history::History;
use super::needs::{Assessor, Hashes};
use super::{Deleted, Evidence, LinkKind, NewLink};
use crate::blocked::{Missing, MissingReason};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout;
use crate::scan::links::Link;
use crate::storage::{Content, ReadStorage, symlink_between};

/// A manifest to link again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selection {
    /// Its repository.
    pub repository: String,
    /// The manifest.
    pub digest: Digest,
    /// The tags to write for it.
    pub tags: Vec<String>,
}

/// A plan of the links to write.
#[derive(Debug, Default)]
pub struct Plan {
    links: Vec<NewLink>,
    selected: Vec<Selection>,
    left: Vec<(Selection, Vec<Missing>)>,
    absent: Vec<(String, Digest)>,
    /// The state of a session in which it was made.
    pub(crate) made_in: Option<u64>,
}

impl Plan {
    /// Returns the missing links, in the order in which they are written, which is that of a push: what a link refers
    /// to always exists first.
    pub fn links(&self) -> &[NewLink] {
        &self.links
    }

    /// Returns what is linked again, or is already linked.
    pub fn selected(&self) -> &[Selection] {
        &self.selected
    }

    /// Returns what is not linked again because something is missing.
    pub fn left(&self) -> &[(Selection, Vec<Missing>)] {
        &self.left
    }

    /// Returns the manifests in indexes to link again that the repository never had.
    pub fn absent(&self) -> &[(String, Digest)] {
        &self.absent
    }
}

/// Selects everything that was deleted over the API at `since` or later, with the tags that certainly named it.
pub fn select_since(found: &[Deleted], since: SystemTime) -> Vec<Selection> {
    let is_meant = |deleted: &&Deleted| {
        deleted.evidence == Evidence::Revision && deleted.deleted.is_some_and(|deleted| deleted >= since)
    };
    let selection = |deleted: &Deleted| Selection {
        repository: deleted.repository.clone(),
        digest: deleted.digest,
        tags: deleted.certain_tags.clone(),
    };
    found.iter().filter(is_meant).map(selection).collect()
}

/// Checks everything that the selected manifests need, hashes it, and decides which links are missing.
///
/// Incomplete manifests are in [`Plan::left`], and so are those that would be linked through a symbolic link. Fails
/// with [`Error::NotDeleted`] if a manifest is neither linked nor in `found`, with [`Error::TagExists`] if a tag names
/// something else.
pub fn plan(
    storage: &dyn ReadStorage,
    found: &[Deleted],
    selected: &[Selection],
    monitor: &dyn Monitor,
) -> Result<Plan, Error> {
    monitor.phase(Phase::CheckDeleted, Some(selected.len() as u64));
    let mut by_repository: BTreeMap<&str, BTreeSet<&Selection>> = BTreeMap::new();
    for selection in selected {
        by_repository.entry(&selection.repository).or_default().insert(selection);
    }
    let inferred = |deleted: &&Deleted| deleted.evidence == Evidence::References;
    let mut known: HashMap<&str, Vec<&Deleted>> = HashMap::new();
    for deleted in found {
        known.entry(&deleted.repository).or_default().push(deleted);
    }
    let (hashes, mut plan) = (Hashes::default(), Plan::default());
    for (repository, selections) in by_repository {
        let deleted = known.get(repository).map_or(&[][..], Vec::as_slice);
        let mut history = History::read(storage, repository)?;
        history.inferred = deleted.iter().copied().filter(inferred).map(|deleted| deleted.digest).collect();
        let deleted: HashSet<Digest> = deleted.iter().map(|deleted| deleted.digest).collect();
        let assessor = Assessor::new(history, Some(&hashes), monitor);
        let (done, layers, tags) = (HashSet::new(), HashSet::new(), HashMap::new());
        let mut planner = Planner { storage, repository, assessor, done, layers, tags, plan: &mut plan };
        for selection in selections {
            planner.select(selection, &deleted)?;
            monitor.advance(1);
        }
    }
    Ok(plan)
}

struct Planner<'a> {
    storage: &'a dyn ReadStorage,
    repository: &'a str,
    assessor: Assessor<'a>,
    /// The manifests whose links are planned, with all that is in them.
    done: HashSet<Digest>,
    /// The layers and tags whose links are planned.
    layers: HashSet<Digest>,
    tags: HashMap<String, Digest>,
    plan: &'a mut Plan,
}

impl Planner<'_> {
    fn select(&mut self, selection: &Selection, deleted: &HashSet<Digest>) -> Result<(), Error> {
        let Selection { repository, digest, tags } = selection;
        let is_linked = self.assessor.history.manifest_link(digest)? != Link::Absent;
        if !is_linked && !deleted.contains(digest) {
            return Err(Error::NotDeleted { repository: repository.clone(), digest: *digest });
        }
        let missing = self.assessor.verdict(digest)?;
        if !missing.is_empty() {
            self.plan.left.push((selection.clone(), missing.to_vec()));
            return Ok(());
        }
        let (mut links, mut manifests, mut layers, mut absent) = (Vec::new(), Vec::new(), HashSet::new(), Vec::new());
        for (manifest, needs) in self.assessor.in_order(digest, &self.done)? {
            for layer in needs.links.iter().filter(|layer| !self.layers.contains(*layer)) {
                if layers.insert(*layer) {
                    links.push(self.link(LinkKind::LayerLink, layout::layer_link(repository, layer), *layer));
                }
            }
            let history = &self.assessor.history;
            let link = match manifest == *digest {
                true => history.revision_link(&manifest)?,
                false => history.manifest_link(&manifest)?,
            };
            if link == Link::Absent {
                links.push(self.link(LinkKind::Revision, layout::revision_link(repository, &manifest), manifest));
            }
            absent.extend(needs.absent.iter().map(|absent| (repository.clone(), *absent)));
            manifests.push(manifest);
        }
        for tag in tags {
            self.tag(tag, *digest, &mut links)?;
        }
        if self.is_behind_symlink(&links)? {
            let missing = Missing { digest: *digest, reason: MissingReason::BehindSymlink };
            self.plan.left.push((selection.clone(), vec![missing]));
            return Ok(());
        }
        self.done.extend(manifests);
        self.layers.extend(layers);
        self.tags.extend(tags.iter().map(|tag| (tag.clone(), *digest)));
        self.plan.links.extend(links);
        self.plan.absent.extend(absent);
        self.plan.selected.push(selection.clone());
        Ok(())
    }

    fn tag(&self, tag: &str, digest: Digest, links: &mut Vec<NewLink>) -> Result<(), Error> {
        if layout::tag_name(tag).is_none() {
            return Err(Error::NoTag(tag.to_owned()));
        }
        let link = layout::tag_link(self.repository, tag);
        let names = match self.storage.read(&link, layout::link_bytes(Algorithm::Sha512))? {
            None => self.tags.get(tag).copied().map(Some),
            Some(Content::Whole(text)) => Some(layout::digest_in_link(&text)),
            Some(Content::TooLarge) => Some(None),
        };
        match names {
            Some(names) if names == Some(digest) => return Ok(()),
            Some(_) => {
                return Err(Error::TagExists { repository: self.repository.to_owned(), tag: tag.to_owned() });
            }
            None => {}
        }
        let entry = layout::tag_index_link(self.repository, tag, &digest);
        if self.storage.stat(&entry)?.is_none() {
            links.push(self.link(LinkKind::TagIndexEntry, entry, digest));
        }
        links.push(self.link(LinkKind::Tag, link, digest));
        Ok(())
    }

    fn link(&self, kind: LinkKind, path: String, digest: Digest) -> NewLink {
        NewLink { kind, repository: self.repository.to_owned(), path, digest }
    }

    /// Whether one of the links would be written through a symbolic link.
    fn is_behind_symlink(&self, links: &[NewLink]) -> Result<bool, Error> {
        for link in links {
            if symlink_between(self.storage, layout::REPOSITORIES, &link.path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
