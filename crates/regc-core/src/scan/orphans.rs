//! Orphans: what belongs to a manifest that was deleted, and to nothing else.
//!
//! A signature outlives the image that it signs, since nothing deletes it. But a name or a `subject` is only a claim
//! of the client that pushed it. So everything attached to an orphan counts: the orphan is deleted once the youngest
//! of it is old, and never while one of its indexes holds something that is attached to nothing that was deleted.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::SystemTime;

use crate::error::Error;

/// A manifest that a repository links, as far as it matters here.
pub(crate) struct Member<D> {
    /// When its link was written.
    pub(crate) pushed: SystemTime,
    /// What it is attached to.
    pub(crate) subject: Option<D>,
    /// What is in it, if it is an index.
    pub(crate) children: Vec<D>,
    /// What is attached to it, by a subject or by the name of a tag, and when that tag was written.
    pub(crate) attached: Vec<(D, SystemTime)>,
}

/// What would be deleted with an orphan.
pub(crate) struct Orphan<D> {
    /// When the youngest of it was pushed.
    pub(crate) since: SystemTime,
    /// Its manifests.
    pub(crate) members: HashSet<D>,
}

/// Returns how many steps all searches in a repository may take together. Only a graph made to be slow needs more.
/// What is not judged by then stays.
pub(crate) fn steps(revisions: usize) -> u64 {
    65_536 + 16 * revisions as u64
}

/// Finds everything attached to a tag or a referrer of `owner`, which was deleted. `named` holds the manifests that
/// it names, each with the time of the link that names it. `member` describes a manifest, `None` if the repository
/// does not link it.
///
/// Returns `None` if something in it is attached neither to the owner nor to anything else in it, or if the search
/// would take more than `steps_left`.
pub(crate) fn orphan<D: Copy + Eq + Hash>(
    owner: D,
    named: Vec<(D, SystemTime)>,
    steps_left: &mut u64,
    mut member: impl FnMut(D) -> Result<Option<Member<D>>, Error>,
) -> Result<Option<Orphan<D>>, Error> {
    let mut found = Orphan { since: SystemTime::UNIX_EPOCH, members: HashSet::new() };
    let (mut pending, mut in_indexes) = (named, Vec::new());
    while let Some((manifest, written)) = pending.pop() {
        let Some(left) = steps_left.checked_sub(1) else { return Ok(None) };
        *steps_left = left;
        found.since = found.since.max(written);
        if found.members.contains(&manifest) {
            continue;
        }
        let Some(described) = member(manifest)? else { continue };
        found.members.insert(manifest);
        found.since = found.since.max(described.pushed);
        pending.extend(described.attached);
        for child in described.children {
            if let Some(described) = member(child)? {
                in_indexes.push(described.subject);
                pending.push((child, described.pushed));
            }
        }
    }
    let is_attached = |subject: &Option<D>| subject.is_some_and(|to| to == owner || found.members.contains(&to));
    Ok(in_indexes.iter().all(is_attached).then_some(found))
}
