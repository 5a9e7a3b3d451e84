//! What lives and dies with a manifest although the manifest does not refer to it: what is attached to it by a
//! `subject`, and the tags that programs make for it.

use std::convert::Infallible;

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use super::repository::{Marking, Reach, sorted};
use super::tags::Tag;
use crate::digest::Digest;
use crate::error::Error;
use crate::registry::attached::{attached_to, is_long};
use crate::registry::manifest::Role;
use crate::scan::graph::{Edge, edges};
use crate::scan::inventory::DigestId;
use crate::walk::walk;

/// A tag that lives and dies with a manifest of its repository.
pub(super) struct Attached<'t> {
    pub(super) tag: &'t Tag,
    pub(super) to: DigestId,
}

impl Marking<'_> {
    /// Separates the tags that are attached to a manifest which `is_owner` accepts from all others.
    pub(super) fn attached<'t>(
        &self,
        tags: impl Iterator<Item = &'t Tag>,
        is_owner: impl Fn(&Tag, DigestId) -> bool,
    ) -> (Vec<Attached<'t>>, Vec<&'t Tag>) {
        let (mut attached, mut others) = (Vec::new(), Vec::new());
        let linked = self.repository.revisions.iter().map(|&id| self.digests.digest(id));
        let long: Vec<Digest> = linked.filter(is_long).collect();
        for tag in tags {
            let to = attached_to(&tag.name, &long).map(|digest| self.digests.id(&digest));
            let is_other = |to| tag.digest.is_some_and(|digest| digest != to);
            match to.filter(|&to| is_other(to) && !tag.symlink && is_owner(tag, to)) {
                Some(to) => attached.push(Attached { tag, to }),
                None => others.push(tag),
            }
        }
        (attached, others)
    }

    /// Everything that dies with some manifests, unless something else leads to it.
    pub(super) fn dying(
        &self,
        direct: &HashSet<DigestId>,
        referrers: &HashMap<DigestId, Vec<DigestId>>,
        attached: &[Attached<'_>],
    ) -> HashSet<DigestId> {
        self.dying_by(direct, referrers, attached, |_, _| {})
    }

    /// Does the same, and calls `by` with each manifest and what dies by it.
    pub(super) fn dying_by(
        &self,
        direct: &HashSet<DigestId>,
        referrers: &HashMap<DigestId, Vec<DigestId>>,
        attached: &[Attached<'_>],
        mut by: impl FnMut(DigestId, DigestId),
    ) -> HashSet<DigestId> {
        let tags = by_owner(attached);
        let mut dying = HashSet::default();
        // A manifest that is not linked here may have something attached to it that is.
        let Ok(()) = walk(&mut dying, direct.iter().copied(), |id, pending| {
            let before = pending.len();
            self.manifests.with(id, |manifest| {
                // Everything in an index, whatever its role; but no layer of an image, even if it is a manifest as
                // well.
                let is_part = |edge| matches!(edge, Edge::Reference(Role::Child | Role::OddChild | Role::OpaqueChild));
                pending.extend(edges(manifest).filter(|(edge, _)| is_part(*edge)).map(|(_, id)| id));
            });
            pending.extend([referrers, &tags].into_iter().filter_map(|attached| attached.get(&id)).flatten());
            pending[before..].iter().for_each(|&dies| by(id, dies));
            Ok::<(), Infallible>(())
        });
        dying
    }

    /// Returns everything that is live if `roots` are, with the tags that are attached to any of it.
    pub(super) fn reach_with(
        &self,
        roots: HashSet<DigestId>,
        referrers: &HashMap<DigestId, Vec<DigestId>>,
        attached: &[Attached<'_>],
    ) -> Result<Reach, Error> {
        let tags = by_owner(attached);
        let mut reach = Reach::default();
        self.reach_more(&sorted(roots), referrers, &tags, &mut reach)?;
        Ok(reach)
    }
}

/// Groups what attached tags name by the manifests that they are attached to.
fn by_owner(attached: &[Attached<'_>]) -> HashMap<DigestId, Vec<DigestId>> {
    let mut tags: HashMap<DigestId, Vec<DigestId>> = HashMap::default();
    for Attached { tag, to } in attached {
        tags.entry(*to).or_default().extend(tag.digest);
    }
    tags
}
