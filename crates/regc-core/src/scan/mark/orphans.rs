//! What is attached to manifests that the repository no longer has: signatures, SBOMs and attestations of images that
//! were deleted.
//!
//! The absence of a manifest does not prove that it was deleted: a repository may hold the signatures of images that
//! are elsewhere (`COSIGN_REPOSITORY`), and a client may push a signature before what it signs. The proof is the
//! directory of a revision without a link, which the registry's DELETE leaves, or that this run deletes the manifest.
//! So such a directory stays as long as something is attached to the manifest.

use std::time::SystemTime;

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use super::attached::Attached;
use super::manifests::Manifest;
use super::repository::{Marking, Reach};
use super::tags::{Tag, Tags};
use super::{GarbageTag, RepositoryGarbage};
use crate::error::Error;
use crate::registry::attached::attached_to;
use crate::registry::layout;
use crate::registry::manifest::Role;
use crate::scan::inventory::DigestId;
use crate::scan::orphans::{Member, Orphan, orphan, steps};

/// What is attached to what in a repository.
struct Hanging<'t> {
    /// By a `subject`.
    referrers: HashMap<DigestId, Vec<DigestId>>,
    /// By the names of tags.
    tags: HashMap<DigestId, Vec<&'t Tag>>,
}

impl Marking<'_> {
    /// Whether to search the repository for orphans. If `untagged` manifests are deleted, this run may create some.
    pub(super) fn may_have_orphans(&self, untagged: bool) -> bool {
        self.options.leftovers.orphans_before.is_some() && (untagged || !self.repository.unlinked.is_empty())
    }

    /// Finds the orphans of a repository, and marks again what is reachable without them. With `only_tagged`, the
    /// roots are what tags name; otherwise all revisions.
    pub(super) fn drop_orphans(
        &self,
        tags: &Tags,
        only_tagged: bool,
        reach: &mut Reach,
        garbage: &mut RepositoryGarbage,
    ) -> Result<(), Error> {
        let Some(before) = self.options.leftovers.orphans_before.filter(|_| !tags.unknown && !tags.symlinks_elsewhere)
        else {
            return Ok(());
        };
        let gone = self.gone(&reach.live)?;
        let is_owner = |tag: &Tag, to| !self.is_recent(tag) && (self.has_revision(to) || gone.contains(&to));
        let (mut attached, others) = self.attached(tags.each.iter(), is_owner);
        let referrers = self.referrers();
        let named = |others: &[&Tag]| -> HashSet<DigestId> {
            let named = others.iter().flat_map(|tag| &tag.keeps).copied();
            named.filter(|id| tags.tagged.binary_search(id).is_ok()).collect()
        };
        let recent = self.repository.recent.iter().copied();
        if only_tagged {
            // What is attached to a deleted untagged manifest becomes an orphan.
            let roots = recent.clone().chain(named(&others)).collect();
            *reach = self.reach_with(roots, &referrers, &attached)?;
        }
        let mut hanging = Hanging { referrers, tags: HashMap::default() };
        attached.iter().for_each(|Attached { tag, to }| hanging.tags.entry(*to).or_default().push(tag));
        let is_candidate = |to: DigestId| gone.contains(&to) || only_tagged && !reach.manifests.contains(&to);
        let mut steps_left = steps(self.repository.revisions.len());
        let (mut dying, mut young): (HashSet<DigestId>, Vec<&Tag>) = (HashSet::default(), Vec::new());
        for Attached { tag, to } in attached.iter().filter(|attached| is_candidate(attached.to)) {
            // What is attached to an orphan was judged with it.
            if tag.modified < before && tag.digest.is_some_and(|digest| dying.contains(&digest)) {
                continue;
            }
            let orphan = self.orphan(*to, self.ever_named_by(tag)?, &hanging, &mut steps_left)?;
            match orphan.filter(|orphan| orphan.since < before) {
                Some(orphan) => dying.extend(orphan.members),
                None => young.push(tag),
            }
        }
        let names: HashSet<&str> = young.iter().map(|tag| tag.name.as_str()).collect();
        attached.retain(|attached| !names.contains(attached.tag.name.as_str()));
        let named = named(&[others, young].concat());
        let mut roots: HashSet<DigestId> = recent.chain(named.iter().copied()).collect();
        if !only_tagged {
            for &owner in &gone {
                for &referrer in hanging.referrers.get(&owner).into_iter().flatten() {
                    let named = vec![(referrer, SystemTime::UNIX_EPOCH)];
                    let orphan = self.orphan(owner, named, &hanging, &mut steps_left)?;
                    dying.extend(orphan.filter(|orphan| orphan.since < before).into_iter().flat_map(|o| o.members));
                }
            }
            let all = self.repository.revisions.iter().chain(&tags.tagged).copied();
            roots.extend(all.filter(|id| !dying.contains(id)));
        }
        *reach = self.reach_with(roots, &hanging.referrers, &attached)?;
        for Attached { tag, .. } in attached.iter().filter(|attached| !reach.manifests.contains(&attached.to)) {
            garbage.removed_tags.push(GarbageTag { tag: tag.name.clone(), id: tag.digest });
        }
        Ok(())
    }

    /// Returns the manifests that the repository had and no longer has, except those that are linked as layers, which
    /// clients can still pull, and those that are part of something live, whose image stays.
    fn gone(&self, live: &HashSet<DigestId>) -> Result<HashSet<DigestId>, Error> {
        let mut gone = HashSet::default();
        for &id in self.repository.unlinked.iter().filter(|id| !live.contains(id)) {
            if !self.is_linked(id)? {
                gone.insert(id);
            }
        }
        Ok(gone)
    }

    /// Returns what a tag names and has named before, with the time of the tag.
    fn ever_named_by(&self, tag: &Tag) -> Result<Vec<(DigestId, SystemTime)>, Error> {
        let before = self.entries_of(&tag.name)?.into_iter().map(|entry| entry.id);
        Ok(tag.digest.into_iter().chain(before).map(|id| (id, tag.modified)).collect())
    }

    /// Finds everything attached to a tag or a referrer of `owner`.
    fn orphan(
        &self,
        owner: DigestId,
        named: Vec<(DigestId, SystemTime)>,
        hanging: &Hanging<'_>,
        steps_left: &mut u64,
    ) -> Result<Option<Orphan<DigestId>>, Error> {
        orphan(owner, named, steps_left, |id| {
            let Some(link) = self.storage.stat(&layout::revision_link(self.name(), &self.digests.digest(id)))? else {
                return Ok(None);
            };
            let parsed = self.manifests.with(id, |manifest| match manifest {
                Manifest::Parsed { references, subject, .. } => {
                    let is_part = |role| matches!(role, Role::Child | Role::OddChild | Role::OpaqueChild);
                    let parts = references.iter().filter(|reference| is_part(reference.role()));
                    (parts.map(|reference| reference.id()).collect(), subject)
                }
                _ => (Vec::new(), None),
            });
            let (children, subject) = parsed.unwrap_or_default();
            let by_subject = hanging.referrers.get(&id).into_iter().flatten();
            let by_subject = by_subject.map(|&referrer| (referrer, SystemTime::UNIX_EPOCH));
            let by_name = hanging.tags.get(&id).into_iter().flatten();
            let by_name = by_name.filter_map(|tag| Some((tag.digest?, tag.modified)));
            Ok(Some(Member {
                pushed: link.written(),
                subject,
                children,
                attached: by_subject.chain(by_name).collect(),
            }))
        })
    }

    /// Keeps the directories of deleted revisions while something that stays is attached to them. `directories` are
    /// those of all tags, `live` the manifests that stay.
    pub(super) fn remember_deleted(
        &self,
        directories: &[String],
        live: &HashSet<DigestId>,
        garbage: &mut RepositoryGarbage,
    ) {
        if garbage.empty_revisions.is_empty() && garbage.revisions.is_empty() {
            return;
        }
        let stays = |tag: &&String| !garbage.removes_tag(tag);
        let owners = directories.iter().filter(stays).filter_map(|tag| attached_to(tag, &[]));
        let mut owners: HashSet<DigestId> = owners.map(|digest| self.digests.id(&digest)).collect();
        let referrers = self.referrers().into_iter();
        let with_live = referrers.filter(|(_, attached)| attached.iter().any(|id| live.contains(id)));
        owners.extend(with_live.map(|(subject, _)| subject));
        garbage.empty_revisions.retain(|id| !owners.contains(id));
        for revision in &mut garbage.revisions {
            revision.is_remembered = owners.contains(&revision.id);
        }
    }
}
