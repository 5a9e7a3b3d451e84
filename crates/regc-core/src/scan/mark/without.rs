//! What is live in a repository after a deletion.
//!
//! An image is more than its manifest: the platforms of an index, what is attached to it by a `subject`, and the tags
//! that programs make for it live and die with it. But nothing is deleted that anything else in the repository still
//! leads to.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use super::attached::Attached;
use super::manifests::Manifest;
use super::repository::{Kept, Marked, Marking, Reach, not_understood, sorted};
use super::tags::{Tag, Tags};
use super::{GarbageTag, RepositoryGarbage, RepositoryReachable};
use crate::blocked::{Blocked, Cause, Named};
use crate::digest::Digest;
use crate::error::Error;
use crate::finding::Finding;
use crate::scan::inventory::DigestId;

/// The tags to delete, and those that were named for deletion and stay.
type Going<'t> = (HashSet<&'t str>, Vec<(Named, Cause)>);

impl Marking<'_> {
    /// Marks the repository as if everything in it were deleted.
    pub(super) fn without_everything(&self) -> Result<Marked, Error> {
        if let Some(run) = self.restoring {
            return self.keep(vec![(Named::Repository, Cause::BeingRestored(run.to_owned()))]);
        }
        let tags = self.tags()?;
        let uploads = self.uploads(None)?;
        let is_old = |tag: &Tag| !self.is_recent(tag);
        if let Some(link) = &self.repository.alias {
            return self.keep(vec![(Named::Repository, Cause::Alias(link.clone()))]);
        }
        if self.repository.shared || tags.each.iter().any(|tag| tag.symlink) {
            return self.keep(vec![(Named::Repository, Cause::Symlinks)]);
        }
        if uploads.has_others {
            let reason = if self.options.recent_since.is_some() { Cause::Recent } else { Cause::Symlinks };
            return self.keep(vec![(Named::Repository, reason)]);
        }
        let (mut garbage, mut recent) = (RepositoryGarbage::default(), HashSet::default());
        self.layer_links(false, &mut recent, &mut garbage)?;
        if !recent.is_empty() || !tags.each.iter().all(is_old) {
            return self.keep(vec![(Named::Repository, Cause::Recent)]);
        }
        if !self.repository.recent.is_empty() {
            return self.keep(vec![(Named::Repository, self.cause_of_recent())]);
        }
        let mut released = self.reach(&self.everything(&tags), &HashMap::default())?.live;
        released.extend(&self.repository.unlinked);
        for &id in &garbage.layer_links {
            released.insert(id);
            released.extend(self.target(id)?);
        }
        self.unused_revisions(&HashSet::default(), &mut garbage)?;
        garbage.tag_index_entries = self.tag_index_entries(&tags.directories, |_| Ok(true))?;
        garbage.removed_tags = tags.each.into_iter().map(|tag| GarbageTag { tag: tag.name, id: tag.digest }).collect();
        garbage.uploads = uploads.old;
        garbage.referrer_links = self.referrer_links(|_| true)?;
        garbage.remnants = self.remnants(self.options.recent_since, None, &garbage)?;
        let findings = Vec::from_iter(self.foreign(&garbage.remnants)?);
        garbage.whole = findings.is_empty();
        Ok(Marked {
            released,
            kept: Kept { garbage, findings, tags_unmounted: tags.is_unmounted, ..Kept::default() },
            ..Marked::default()
        })
    }

    /// Marks the repository as if some tags and manifests were deleted.
    pub(super) fn without(
        &self,
        deleted_tags: &BTreeMap<String, Option<Digest>>,
        deleted_manifests: &BTreeSet<Digest>,
    ) -> Result<Marked, Error> {
        let all_for = |reason: Cause| {
            let tags = deleted_tags.keys().map(|tag| Named::Tag(tag.clone()));
            let named = tags.chain(deleted_manifests.iter().map(|digest| Named::Manifest(*digest)));
            named.map(|named| (named, reason.clone())).collect()
        };
        if let Some(run) = self.restoring {
            return self.keep(all_for(Cause::BeingRestored(run.to_owned())));
        }
        if let Some(link) = &self.repository.writing {
            return self.keep(all_for(Cause::BeingWritten(link.clone())));
        }
        if self.repository.shared {
            return self.keep(all_for(Cause::Symlinks));
        }
        let tags = self.tags()?;
        if tags.symlinks_elsewhere {
            return self.keep(all_for(Cause::Symlinks));
        }
        let mut referrers = self.referrers();
        let (mut going, mut blocked) = self.going(&tags, deleted_tags);
        self.keep_recent(&tags, &referrers, &mut going, &mut blocked);
        let is_going = |tag: &&Tag| going.contains(tag.name.as_str());
        if tags.each.iter().any(|tag| tag.digest.is_none() && tag.keeps.is_empty() && !is_going(&tag)) {
            return self.keep(all_for(Cause::GarbledTag));
        }
        let (attached, staying): (Vec<Attached<'_>>, Vec<&Tag>) = self.staying(&tags, &going);
        let mut roots: HashSet<DigestId> = self.repository.recent.iter().copied().collect();

        // What is named for deletion: manifests, and what deleted tags name and no staying tag does.
        let explicit: HashSet<DigestId> = deleted_manifests.iter().map(|digest| self.digests.id(digest)).collect();
        let still_named: HashSet<DigestId> = staying.iter().flat_map(|tag| &tag.keeps).copied().collect();
        let named = tags.each.iter().filter(is_going).filter_map(|tag| tag.digest);
        let direct: HashSet<DigestId> = named.filter(|id| !still_named.contains(id)).chain(explicit).collect();
        for &id in &still_named {
            if self.is_linked(id)? {
                roots.insert(id);
            }
        }
        let dying = self.dying(&direct, &referrers, &attached);
        referrers.values_mut().for_each(|referrers| referrers.retain(|id| !direct.contains(id)));
        roots.extend(self.repository.revisions.iter().filter(|id| !dying.contains(id)));
        let mut reach = self.reach_with(roots, &referrers, &attached)?;

        // A damaged manifest is deleted only if it is named itself, not with an index that it is in.
        let unnamed = dying.iter().filter(|id| self.has_revision(**id) && !direct.contains(id));
        let concerned: HashSet<DigestId> = reach.manifests.iter().chain(unnamed).copied().collect();
        let mut findings: Vec<Finding> = self.findings_of(&sorted(concerned))?;
        findings.extend(tags.findings(self.name()));
        if let Some(manifest) = not_understood(&findings) {
            return self.keep(all_for(Cause::Damaged(manifest)));
        }
        let live = deleted_manifests.iter().map(|digest| (*digest, self.digests.id(digest)));
        let live: Vec<(Digest, DigestId)> = live.filter(|(_, id)| reach.manifests.contains(id)).collect();
        let mut reasons = self.reasons(&live.iter().map(|(_, id)| *id).collect(), &tags, &going, &reach);
        let reason =
            |(digest, id)| (Named::Manifest(digest), reasons.remove(&id).unwrap_or_else(|| self.cause_of_recent()));
        blocked.extend(live.into_iter().map(reason));

        let released = self.reach(&self.everything(&tags), &HashMap::default())?.live;
        let mut garbage = RepositoryGarbage::default();
        self.layer_links(false, &mut reach.live, &mut garbage)?;
        self.unused_revisions(&reach.manifests, &mut garbage)?;
        // What an interrupted run left.
        let whole: HashSet<&str> = tags.each.iter().map(|tag| tag.name.as_str()).collect();
        let is_left = |name: &&String| tags.directories.binary_search(name).is_ok() && !whole.contains(name.as_str());
        garbage.empty_tag_dirs = deleted_tags.keys().filter(is_left).cloned().collect();
        let mut removed: Vec<&Tag> = tags.each.iter().filter(is_going).collect();
        let dead = attached.iter().filter(|attached| !reach.manifests.contains(&attached.to));
        removed.extend(dead.map(|attached| attached.tag));
        removed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let names = removed.iter().map(|tag| tag.name.as_str());
        let names: HashSet<&str> = names.chain(garbage.empty_tag_dirs.iter().map(String::as_str)).collect();
        let gone: HashSet<DigestId> = garbage.revisions.iter().map(|revision| revision.id).collect();
        let (of_removed, of_others): (Vec<String>, Vec<String>) =
            tags.directories.iter().cloned().partition(|tag| names.contains(tag.as_str()));
        for removed in self.in_tags(&of_removed)? {
            findings.extend(self.foreign_in_tag(&removed, &[]));
            garbage.tag_index_entries.extend(removed.entries);
        }
        if !gone.is_empty() {
            // A tag that has named one manifest names that one still.
            let of_others: Vec<String> = of_others.into_iter().filter(|tag| tags.have_history.contains(tag)).collect();
            garbage.tag_index_entries.extend(self.tag_index_entries(&of_others, |id| Ok(gone.contains(&id)))?);
            garbage.referrer_links = self.referrer_links(|id| gone.contains(&id))?;
        }
        garbage.removed_tags = removed.iter().map(|tag| GarbageTag { tag: tag.name.clone(), id: tag.digest }).collect();
        findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        let reachable = RepositoryReachable {
            roots: sorted(
                self.repository.revisions.iter().copied().filter(|id| reach.manifests.contains(id)).collect(),
            ),
            manifests: sorted(reach.manifests),
            protected: false,
        };
        let blocked = self.blocked(blocked);
        Ok(Marked {
            live: reach.live,
            released,
            tags: tags.count,
            kept: Kept { reachable, garbage, findings, blocked, tags_unmounted: tags.is_unmounted },
        })
    }

    /// Keeps the whole repository as it is.
    fn keep(&self, reasons: Vec<(Named, Cause)>) -> Result<Marked, Error> {
        let mut marked = self.collect()?;
        marked.kept.blocked = self.blocked(reasons);
        Ok(marked)
    }

    fn blocked(&self, reasons: Vec<(Named, Cause)>) -> Vec<Blocked> {
        let blocked = |(what, reason)| Blocked { repository: self.name().to_owned(), what, reason };
        reasons.into_iter().map(blocked).collect()
    }

    pub(super) fn is_recent(&self, tag: &Tag) -> bool {
        self.options.recent_since.is_some_and(|since| tag.modified >= since)
    }

    fn everything(&self, tags: &Tags) -> Vec<DigestId> {
        [&*self.repository.revisions, &*tags.tagged].concat()
    }

    /// Splits the tags named for deletion into those to delete and those that stay.
    fn going<'t>(&self, tags: &'t Tags, deletion: &BTreeMap<String, Option<Digest>>) -> Going<'t> {
        let (mut going, mut blocked) = (HashSet::default(), Vec::new());
        for tag in &tags.each {
            let Some(digest) = deletion.get(&tag.name) else { continue };
            let reason = if tag.symlink {
                // What is deleted may be the symbolic link itself or what it leads to.
                Cause::Symlinks
            } else if tag.digest != digest.map(|digest| self.digests.id(&digest)) {
                Cause::Changed
            } else if self.is_recent(tag) {
                Cause::Recent
            } else {
                going.insert(tag.name.as_str());
                continue;
            };
            blocked.push((Named::Tag(tag.name.clone()), reason));
        }
        (going, blocked)
    }

    /// Keeps tags whose images hold something too recent to delete.
    fn keep_recent<'t>(
        &self,
        tags: &'t Tags,
        referrers: &HashMap<DigestId, Vec<DigestId>>,
        going: &mut HashSet<&'t str>,
        blocked: &mut Vec<(Named, Cause)>,
    ) {
        if self.repository.recent.is_empty() {
            return;
        }
        let (attached, _) = self.staying(tags, &HashSet::default());
        let named = tags.each.iter().filter(|tag| going.contains(tag.name.as_str()));
        let named: HashSet<DigestId> = named.filter_map(|tag| tag.digest).collect();
        // The edges reversed: finds everything whose deletion would also delete something recent.
        let mut above: HashMap<DigestId, Vec<DigestId>> = HashMap::default();
        self.dying_by(&named, referrers, &attached, |from, to| above.entry(to).or_default().push(from));
        let mut with_young: HashSet<DigestId> = HashSet::default();
        let mut pending: Vec<DigestId> = self.repository.recent.to_vec();
        while let Some(id) = pending.pop() {
            if with_young.insert(id) {
                pending.extend(above.remove(&id).unwrap_or_default());
            }
        }
        for tag in &tags.each {
            let Some(digest) = tag.digest.filter(|_| going.contains(tag.name.as_str())) else { continue };
            if with_young.contains(&digest) {
                going.remove(tag.name.as_str());
                blocked.push((Named::Tag(tag.name.clone()), self.cause_of_recent()));
            }
        }
    }

    /// Why manifests stay that count as recent: they are, unless all of them are roots of the caller's.
    fn cause_of_recent(&self) -> Cause {
        let is_root =
            |id: &DigestId| self.options.also_roots.is_some_and(|roots| roots.contains(&self.digests.digest(*id)));
        let recent = &self.repository.recent;
        if !recent.is_empty() && recent.iter().all(is_root) { Cause::Root } else { Cause::Recent }
    }

    pub(super) fn foreign_file(&self, path: String) -> Finding {
        Finding::ForeignFile { repository: self.name().to_owned(), path }
    }

    /// Splits the tags that stay into those that are attached to a manifest of the repository and all others.
    fn staying<'t>(&self, tags: &'t Tags, going: &HashSet<&str>) -> (Vec<Attached<'t>>, Vec<&'t Tag>) {
        let stays = |tag: &&Tag| !going.contains(tag.name.as_str());
        self.attached(tags.each.iter().filter(stays), |tag, to| self.has_revision(to) && !self.is_recent(tag))
    }

    /// Returns why each of some manifests is live, except those that are live only because they are recent.
    fn reasons(
        &self,
        ids: &HashSet<DigestId>,
        tags: &Tags,
        going: &HashSet<&str>,
        reach: &Reach,
    ) -> HashMap<DigestId, Cause> {
        let mut reasons: HashMap<DigestId, Cause> = HashMap::default();
        if ids.is_empty() {
            return reasons;
        }
        let mut parents: HashMap<DigestId, Digest> = HashMap::default();
        for &parent in &reach.manifests {
            let parts = self.manifests.with(parent, |manifest| match manifest {
                Manifest::Parsed { references, .. } => {
                    let parts = references.iter().map(|reference| reference.id());
                    parts.filter(|id| *id != parent && ids.contains(id)).collect()
                }
                _ => Vec::new(),
            });
            let digest = self.digests.digest(parent);
            for id in parts.unwrap_or_default() {
                parents.entry(id).and_modify(|first| *first = digest.min(*first)).or_insert(digest);
            }
        }
        reasons.extend(parents.into_iter().map(|(id, parent)| (id, Cause::PartOf(parent))));
        let staying = tags.each.iter().filter(|tag| !going.contains(tag.name.as_str()));
        // The first tag that names it is the reason.
        for tag in staying.rev() {
            for &id in tag.keeps.iter().filter(|id| ids.contains(id)) {
                reasons.insert(id, Cause::Tagged(tag.name.clone()));
            }
        }
        reasons
    }
}
