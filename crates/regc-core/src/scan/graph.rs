//! What refers to what in a repository.
//!
//! A manifest leads to what it refers to, each for a [`Role`], or, if it is not understood, to every digest that its
//! text mentions. A manifest also leads to what is attached to it by a `subject` (its referrers) or by the name of a
//! tag, and to its signatures; a digest of another algorithm than SHA-256 leads to the one that its link holds (its
//! target). Each caller answers a question and follows what that needs:
//!
//! - `mark::repository` (what is live): references to revisions, whatever their role, and those to children that only
//!   a layer link names. Content, mentions and signatures are live and end there. Targets, of content too. Referrers
//!   of all that is live, where not every revision is a root. Attached tags, where something is to be deleted.
//! - `mark::attached` (what is deleted with a manifest unless something else keeps it): what is in an index, whatever
//!   its role there; referrers; attached tags. An image's layer is no part of an index, even if it is a manifest too.
//!   A damaged manifest takes nothing with it.
//! - `collect::rescan` (what a push may need again): children, linked manifests whatever they are called, signatures,
//!   and referrers that are garbage, of content too. Other content and mentions are spared and end there. Targets, of
//!   content too.
//! - `collect::leftovers` (what is deleted with what is attached to a deleted image): references and mentions of revisions that
//!   are deleted, and their referrers.
//! - `inspect::usage` (what a tag needs): references, mentions and targets, onwards from manifests that are live
//!   here; referrers and signatures, unless only what a client pulls is counted.
//! - `inspect::catalog` (what is untagged, what belongs to what): children and referrers. Content is not listed.
//! - `collect::recover` (what live manifests need): references and mentions of each. It does not walk: marking did.
//! - `verify::images` (which images need a digest): references and mentions, backwards.
//! - `trash::selection` (what is restored with a digest): references except those to foreign layers; referrers and
//!   attached tags of the same run.
//!
//! All of them walk by [`walk`](crate::walk::walk). Only `mark::garbage` and `undelete` do not: they order manifests by what
//! those lead to, and have to come back to a node once all below it is done.

use rustc_hash::FxHashMap as HashMap;

use super::inventory::DigestId;
use super::mark::{Manifest, Manifests};
use crate::registry::manifest::Role;

/// Why a manifest leads to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// It refers to it.
    Reference(Role),
    /// It is not understood, and its text mentions it.
    Mention,
}

/// Lists what a manifest leads to by its own text, in its own order.
pub(crate) fn edges(manifest: Manifest<'_>) -> impl Iterator<Item = (Edge, DigestId)> {
    let (references, mentioned) = match manifest {
        Manifest::Parsed { references, .. } => (references, &[][..]),
        Manifest::Missing => (&[][..], &[][..]),
        Manifest::Damaged(damaged) => (&[][..], &*damaged.mentioned),
    };
    let references = references.iter().map(|reference| (Edge::Reference(reference.role()), reference.id()));
    references.chain(mentioned.iter().map(|&id| (Edge::Mention, id)))
}

/// Returns those of some manifests that are attached to another one by their `subject`, grouped by that one.
pub(crate) fn referrers(
    manifests: &Manifests,
    among: impl IntoIterator<Item = DigestId>,
) -> HashMap<DigestId, Vec<DigestId>> {
    let mut referrers: HashMap<_, Vec<_>> = HashMap::default();
    for id in among {
        let subject = manifests.with(id, |manifest| match manifest {
            Manifest::Parsed { subject, .. } => subject,
            Manifest::Missing | Manifest::Damaged(_) => None,
        });
        if let Some(subject) = subject.flatten() {
            referrers.entry(subject).or_default().push(id);
        }
    }
    referrers
}
