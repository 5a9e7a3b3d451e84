//! The options of a run.

use std::collections::BTreeSet;
use std::fmt;
use std::time::SystemTime;

use crate::digest::Digest;
use crate::registry::config::Absences;
use crate::scan::KnownManifests;
use crate::scan::deletion::Deletion;

/// What a run may do, and with how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Whether manifests that no tag reaches are garbage too.
    pub delete_untagged: bool,
    /// Whether to continue even if something seems to be missing from the store (see
    /// [`Refusal`](crate::error::Refusal)).
    pub allow_empty: bool,
    /// Whether to continue even if much of what images need is missing, or a directory looks like an unmounted file
    /// system.
    pub allow_missing: bool,
    /// Whether to continue even if nearly all manifests are untagged and would be deleted.
    pub allow_mostly_untagged: bool,
    /// What may be missing although nothing is wrong.
    pub absences: Absences,
    /// Whether blobs reached through a symbolic link out of the storage root can be garbage too: no other store uses
    /// them.
    pub allow_symlinked_blobs: bool,
    /// Whether to continue even if Harbor's database also describes the store.
    pub allow_harbor: bool,
    /// What was modified at this time or later is not garbage, and neither is what it refers to.
    pub recent_since: Option<SystemTime>,
    /// Which leftovers are garbage too, though they take up little space.
    pub leftovers: Leftovers,
    /// Whether layer links and tags' indexes are not listed: the caller checks them itself.
    pub skip_links: bool,
    /// The repositories in which untagged manifests and leftovers are garbage. What is in
    /// use is always determined in all repositories.
    pub repositories: Names<'a>,
    /// Manifests that stay wherever they are linked, with everything that they need, as recent ones do.
    pub also_roots: Option<&'a BTreeSet<Digest>>,
    /// What manifests refer to, as earlier runs have read it: those whose blobs are as they were are not read again. With this,
    /// even if it is empty, it is noted what the blobs of all manifests are, so that the scan can be remembered.
    pub known: Option<&'a KnownManifests>,
    /// What to delete although clients could pull it. Then nothing else is deleted, not even other garbage.
    pub deletion: Option<&'a Deletion>,
    /// How many threads access the storage at once. They mostly wait for I/O: use more than there are cores.
    pub jobs: usize,
}

/// Names of repositories: all of them, or those that a function accepts.
#[derive(Clone, Copy)]
pub struct Names<'a>(Option<&'a (dyn Fn(&str) -> bool + Send + Sync)>);

impl<'a> Names<'a> {
    /// Every name.
    pub const ALL: Self = Self(None);

    /// The names that a function accepts.
    pub fn accepted_by(accepts: &'a (dyn Fn(&str) -> bool + Send + Sync)) -> Self {
        Self(Some(accepts))
    }

    fn contains(self, name: &str) -> bool {
        self.0.is_none_or(|accepts| accepts(name))
    }
}

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Names(some)" } else { "Names(all)" })
    }
}

/// What registries leave behind, other than content.
///
/// A collection always deletes directories of layer links and revisions without a link, and entries in tags' indexes for
/// manifests that are not linked, as far as one of those directories or a layer link that is deleted gives reason to search
/// for them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leftovers {
    /// Uploads that began before this time and were not written since are garbage; none if `None`. An upload began at
    /// the time in its `startedat`, or without that file, when it was last written.
    pub uploads_before: Option<SystemTime>,
    /// Whether a repository without any manifest, tag or upload is garbage.
    pub empty_repositories: bool,
    /// Whether tags that name nothing are garbage, and the indexes of all tags are searched for dangling entries.
    /// Otherwise, only those of tags that have named more than one manifest are, where a revision has lost its link or a
    /// layer link is deleted, unless something else in the repository is deleted.
    pub every_tag: bool,
    /// Tags and referrers that were pushed before this time are garbage if what they are attached to was deleted from
    /// the repository, and so is what only they need; none if `None`.
    pub orphans_before: Option<SystemTime>,
    /// Files that interrupted copies left beside content and links are garbage if they were written before this time;
    /// none if `None`.
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
            repositories: Names::ALL,
            also_roots: None,
            known: None,
            deletion: None,
            jobs: 64,
        }
    }
}

impl Options<'_> {
    /// Whether untagged manifests and leftovers may be deleted in a repository.
    pub(crate) fn may_tidy(&self, repository: &str) -> bool {
        self.deletion.is_none() && self.repositories.contains(repository)
    }

    /// Returns the time before which a file that an interrupted copy left must have been written to be deleted;
    /// `None` if none may be deleted.
    pub(crate) fn remnants_before(&self) -> Option<SystemTime> {
        let before = self.leftovers.copies_before?;
        Some(self.recent_since.map_or(before, |recent_since| recent_since.min(before)))
    }
}
