//! What is attached to manifests that the repository had and no longer has: signatures, SBOMs and attestations of images that
//! were deleted.
//!
//! That something belongs to a manifest which is not here proves nothing: a repository may hold the signatures of images that
//! are elsewhere (`COSIGN_REPOSITORY`), and a client may push a signature before what it signs. What proves it is the directory
//! of a revision without a link, which the registry's DELETE leaves, or that the manifest is deleted in this very run. So such a
//! directory stays as long as something is attached to the manifest.

use std::time::SystemTime;

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use super::attached::Attached;
use super::repository::{Marking, Reach};
use super::tags::{Tag, Tags};
use super::{GarbageTag, RepositoryGarbage};
use crate::error::Error;
use crate::registry::attached::attached_to;
use crate::registry::layout;
use crate::scan::inventory::DigestId;

impl Marking<'_> {
    /// Whether orphans are to be found in the repository. `untagged` manifests may make some in this very run.
    pub(super) fn may_have_orphans(&self, untagged: bool) -> bool {
        self.options.leftovers.orphans_before.is_some() && (untagged || !self.repository.unlinked.is_empty())
    }

    /// Finds the orphans of a repository, and marks again what is reached without them. With `only_tagged`, the roots are what
    /// tags name; else all revisions.
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
        let gone = self.gone()?;
        let is_old = |tag: &Tag| tag.modified < before && !self.is_recent(tag);
        let is_owner = |tag: &Tag, to| is_old(tag) && (self.has_revision(to) || gone.contains(&to));
        let (attached, others) = self.attached(tags.each.iter(), is_owner);
        let named = others.iter().flat_map(|tag| &tag.keeps).copied();
        let named: HashSet<DigestId> = named.filter(|id| tags.tagged.binary_search(id).is_ok()).collect();
        let referrers = self.referrers();
        let mut roots: HashSet<DigestId> =
            self.repository.recent.iter().copied().chain(named.iter().copied()).collect();
        if !only_tagged {
            let orphaned = attached.iter().filter(|attached| gone.contains(&attached.to));
            let mut orphaned: HashSet<DigestId> = orphaned.filter_map(|attached| attached.tag.digest).collect();
            orphaned.extend(self.old_referrers(&gone, &referrers, before)?);
            orphaned.retain(|id| !named.contains(id));
            let dying = self.dying(&orphaned, &referrers, &attached);
            let all = self.repository.revisions.iter().chain(&tags.tagged).copied();
            roots.extend(all.filter(|id| !dying.contains(id)));
        }
        *reach = self.reach_with(roots, &referrers, &attached)?;
        let is_orphan = |attached: &&Attached<'_>| !reach.manifests.contains(&attached.to);
        for tag in attached.iter().filter(is_orphan).map(|attached| attached.tag) {
            garbage.removed_tags.push(GarbageTag { tag: tag.name.clone(), id: tag.digest });
        }
        Ok(())
    }

    /// The manifests that the repository had and no longer has. One that is linked as a layer can still be pulled.
    fn gone(&self) -> Result<HashSet<DigestId>, Error> {
        let mut gone = HashSet::default();
        for &id in &self.repository.unlinked {
            if !self.is_linked(id)? {
                gone.insert(id);
            }
        }
        Ok(gone)
    }

    /// What is attached by its `subject` to one of some manifests, and was pushed before a time.
    fn old_referrers(
        &self,
        subjects: &HashSet<DigestId>,
        referrers: &HashMap<DigestId, Vec<DigestId>>,
        before: SystemTime,
    ) -> Result<Vec<DigestId>, Error> {
        let attached: Vec<DigestId> =
            subjects.iter().filter_map(|subject| referrers.get(subject)).flatten().copied().collect();
        let keys: Vec<String> = attached.iter().map(|&id| layout::link_below(&self.digests.digest(id))).collect();
        let links = self.storage.stat_each(&layout::revisions(self.name()), &keys)?;
        let is_old =
            attached.into_iter().zip(links).filter(|(_, link)| link.is_some_and(|link| link.modified < before));
        Ok(is_old.map(|(id, _)| id).collect())
    }

    /// Keeps the directories of revisions that are deleted while something that stays is attached to them. `directories` are
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
