//! What a run may do.

use std::collections::BTreeSet;
use std::time::SystemTime;

use crate::digest::Digest;
use crate::registry::config::Absences;
use crate::registry::pattern::Pattern;
use crate::scan::deletion::Deletion;

/// What a run may do, and with how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Whether manifests that no tag reaches are garbage too.
    pub delete_untagged: bool,
    /// Whether to go on although the store looks as if something was missing (see [`Refusal`](crate::error::Refusal)).
    pub allow_empty: bool,
    /// Whether to go on although much of what images need is missing, or a directory looks as if it was not mounted.
    pub allow_missing: bool,
    /// Whether to go on although nearly all manifests are untagged and would be deleted.
    pub allow_mostly_untagged: bool,
    /// What may be missing although nothing is wrong.
    pub absences: Absences,
    /// Whether blobs are garbage, too, that are reached through a symbolic link out of the storage root: no other store uses them.
    pub allow_symlinked_blobs: bool,
    /// Whether to go on although Harbor's database also describes the store.
    pub allow_harbor: bool,
    /// What was modified at this time or later is not garbage, and neither is what it refers to.
    pub recent_since: Option<SystemTime>,
    /// What else is garbage, though it takes up little.
    pub leftovers: Leftovers,
    /// Whether layer links and tags' indexes are not listed: the caller checks them itself.
    pub skip_links: bool,
    /// The repositories in which untagged manifests and leftovers are garbage; all if there is no pattern. What is in use
    /// is always found out in all of them.
    pub repositories: &'a [Pattern],
    /// Manifests that stay where they are linked, with everything that they need, as what is recent does.
    pub also_roots: Option<&'a BTreeSet<Digest>>,
    /// What is to go although clients could pull it. Then nothing else does, whatever else is garbage.
    pub deletion: Option<&'a Deletion>,
    /// How many threads wait for the storage at once. They mostly wait for I/O: use more than there are cores.
    pub jobs: usize,
}

/// What registries leave behind, beside content.
///
/// Directories of links without a link go in any case, and so do entries in tags' indexes for manifests that are not linked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leftovers {
    /// Uploads that began before this, and were not written since, are garbage; none if not given. When one began is what its
    /// `startedat` says, or if that is not there, when it was written last.
    pub uploads_before: Option<SystemTime>,
    /// Whether a repository without any manifest, tag or upload is garbage.
    pub empty_repositories: bool,
    /// Whether tags that name nothing are garbage, and the indexes of all tags are looked through for entries that lead to
    /// nothing; else only those of tags that have named more than one manifest.
    pub every_tag: bool,
    /// Tags and referrers that were pushed before this are garbage if what they are attached to was deleted from the
    /// repository, and so is what only they need; none if not given.
    pub orphans_before: Option<SystemTime>,
    /// Files that interrupted copies have left beside content and links are garbage if they were written before this; none if
    /// not given.
    pub copies_before: Option<SystemTime>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            delete_untagged: false,
            allow_empty: false,
            allow_missing: false,
            allow_mostly_untagged: false,
            absences: Absences::default(),
            allow_symlinked_blobs: false,
            allow_harbor: false,
            recent_since: None,
            leftovers: Leftovers::default(),
            skip_links: false,
            repositories: &[],
            also_roots: None,
            deletion: None,
            jobs: 64,
        }
    }
}

impl Options<'_> {
    /// Whether untagged manifests and leftovers may go in a repository.
    pub(crate) fn may_tidy(&self, repository: &str) -> bool {
        let is_meant = |pattern: &Pattern| pattern.matches_repository(repository);
        self.deletion.is_none() && (self.repositories.is_empty() || self.repositories.iter().any(is_meant))
    }

    /// Before when a file was written that an interrupted copy has left and that may be deleted; none may if there is no such
    /// time.
    pub(crate) fn remnants_before(&self) -> Option<SystemTime> {
        let before = self.leftovers.copies_before?;
        Some(self.recent_since.map_or(before, |recent_since| recent_since.min(before)))
    }
}
