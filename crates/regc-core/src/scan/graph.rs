//! What refers to what in a repository, and the one walk along these references.
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
//! - `inspect::usage` (what a tag needs): references, mentions and targets, onwards from manifests that are live
//!   here; referrers and signatures, unless only what a client pulls is counted.
//! - `inspect::catalog` (what is untagged, what belongs to what): children and referrers. Content is not listed.
//! - `collect::recover` (what live manifests need): references and mentions of each. It does not walk: marking did.
//! - `verify::images` (which images need a digest): references and mentions, backwards.
//! - `trash::selection` (what is restored with a digest): references except those to foreign layers; referrers and
//!   attached tags of the same run.
//!
//! Some callers do not use [`walk`]. `verify::images` and the sums of `inspect` take a limited number of steps, and
//! the first walks breadth first. `mark::garbage` and `undelete` order manifests by what they lead to. `trash` is
//! below this module, and reads manifests from the trash.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash};

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

/// Visits everything that some roots lead to and that is not yet `seen`, each once. `follow` adds what a node leads to.
///
/// It does not recurse: a client can make a chain of indexes of any length.
pub(crate) fn walk<Node: Copy + Eq + Hash, Error>(
    seen: &mut HashSet<Node, impl BuildHasher>,
    roots: impl IntoIterator<Item = Node>,
    mut follow: impl FnMut(Node, &mut Vec<Node>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut pending: Vec<Node> = roots.into_iter().collect();
    while let Some(node) = pending.pop() {
        if seen.insert(node) {
            follow(node, &mut pending)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_is_visited_once_also_in_circles_and_long_chains() {
        const LENGTH: u32 = 100_000;
        let (mut seen, mut visited) = (HashSet::from([7]), Vec::new());
        let follow = |node: u32, pending: &mut Vec<u32>| {
            visited.push(node);
            pending.extend([node, (node + 1) % LENGTH]);
            Ok::<(), ()>(())
        };
        assert_eq!(walk(&mut seen, [8, 8, 9], follow), Ok(()));
        visited.sort_unstable();
        // What was seen before is not visited.
        assert!(visited.iter().copied().eq((0..7).chain(8..LENGTH)));
        assert_eq!(seen.len(), LENGTH as usize);
    }

    #[test]
    fn a_walk_ends_with_the_first_error() {
        let mut visited = 0;
        let follow = |_: u32, pending: &mut Vec<u32>| {
            visited += 1;
            pending.extend((visited < 9).then_some(visited));
            if visited == 3 { Err("unreadable") } else { Ok(()) }
        };
        assert_eq!(walk(&mut HashSet::new(), [0], follow), Err("unreadable"));
        assert_eq!(visited, 3);
    }
}
