//! Options of a collection.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::digest::Digest;
use crate::registry::config::Absences;
use crate::scan::deletion::Deletion;
use crate::scan::{Leftovers, Names, Options};
use crate::trash::REPAIR;

/// The command that the trash's journal names by default.
const COLLECTION: &str = "gc";

/// Options of a collection. The default deletes what no linked manifest needs, and nothing else.
///
/// ```
/// use regc_core::CollectOptions;
///
/// let options = CollectOptions::new().delete_untagged(true);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CollectOptions {
    delete_untagged: bool,
    allow_missing: bool,
    allow_mostly_untagged: bool,
    allow_symlinked_blobs: bool,
    allow_harbor: bool,
    keep_since: Option<SystemTime>,
    leftovers: Leftovers,
    repositories: Option<Accepts>,
    also_roots: BTreeSet<Digest>,
    keep_content: bool,
    command: String,
}

/// A function on the names of repositories.
#[derive(Clone)]
struct Accepts(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl fmt::Debug for Accepts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a function on names")
    }
}

impl Default for CollectOptions {
    fn default() -> Self {
        let Options { leftovers, .. } = Options::default();
        Self {
            delete_untagged: false,
            allow_missing: false,
            allow_mostly_untagged: false,
            allow_symlinked_blobs: false,
            allow_harbor: false,
            keep_since: None,
            leftovers,
            repositories: None,
            also_roots: BTreeSet::new(),
            keep_content: false,
            command: COLLECTION.to_owned(),
        }
    }
}

impl CollectOptions {
    /// Returns the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether manifests that no tag reaches are garbage.
    #[must_use]
    pub fn delete_untagged(self, delete_untagged: bool) -> Self {
        Self { delete_untagged, ..self }
    }

    /// Sets whether to continue even if much of what images need is missing, or a directory looks like an unmounted
    /// file system.
    #[must_use]
    pub fn allow_missing(self, allow_missing: bool) -> Self {
        Self { allow_missing, ..self }
    }

    /// Sets whether a plan that deletes nearly all manifests as untagged counts as
    /// [confirmed](super::plan::Plan::confirm).
    #[must_use]
    pub fn allow_mostly_untagged(self, allow_mostly_untagged: bool) -> Self {
        Self { allow_mostly_untagged, ..self }
    }

    /// Sets whether blobs behind a symbolic link out of the storage root can be garbage. Set it only if no other store
    /// uses them.
    #[must_use]
    pub fn allow_symlinked_blobs(self, allow_symlinked_blobs: bool) -> Self {
        Self { allow_symlinked_blobs, ..self }
    }

    /// Sets whether to continue even if Harbor's database also describes the store.
    #[must_use]
    pub fn allow_harbor(self, allow_harbor: bool) -> Self {
        Self { allow_harbor, ..self }
    }

    /// Keeps what was modified at this time or later, and what it refers to. Otherwise, everything that existed before
    /// the run may be deleted.
    #[must_use]
    pub fn keep_since(self, keep_since: Option<SystemTime>) -> Self {
        Self { keep_since, ..self }
    }

    /// Deletes all leftovers of registries and interrupted programs: empty repositories, tags that name nothing, and
    /// uploads, orphans and remnants that are older than this. Each of the methods below sets one of these.
    #[must_use]
    pub fn delete_leftovers_before(self, before: SystemTime) -> Self {
        self.delete_uploads_before(Some(before))
            .delete_empty_repositories(true)
            .delete_empty_tags(true)
            .delete_orphans_before(Some(before))
            .delete_remnants_before(Some(before))
    }

    /// Deletes uploads that began before this time and have not been written since; with `None`, no uploads. An upload
    /// began at the time in its `startedat`, or without that file, when it was last written.
    #[must_use]
    pub fn delete_uploads_before(mut self, before: Option<SystemTime>) -> Self {
        self.leftovers.uploads_before = before;
        self
    }

    /// Deletes repositories that have no manifests, tags or uploads.
    #[must_use]
    pub fn delete_empty_repositories(mut self, delete: bool) -> Self {
        self.leftovers.empty_repositories = delete;
        self
    }

    /// Deletes tags that name nothing, and scans the indexes of all tags for dangling entries. Otherwise, only the
    /// indexes of tags that have named more than one manifest are scanned.
    #[must_use]
    pub fn delete_empty_tags(mut self, delete: bool) -> Self {
        self.leftovers.every_tag = delete;
        self
    }

    /// Deletes tags and referrers that were pushed before this time, if what they are attached to was deleted from the
    /// repository, together with what only they need; with `None`, none of them.
    #[must_use]
    pub fn delete_orphans_before(mut self, before: Option<SystemTime>) -> Self {
        self.leftovers.orphans_before = before;
        self
    }

    /// Deletes files that interrupted copies left beside content and links, if they were written before this time; with
    /// `None`, none of them.
    #[must_use]
    pub fn delete_remnants_before(mut self, before: Option<SystemTime>) -> Self {
        self.leftovers.copies_before = before;
        self
    }

    /// Deletes untagged manifests and leftovers only in repositories whose names `accepts` accepts. What is in use is
    /// always determined in all repositories.
    #[must_use]
    pub fn repositories(self, accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { repositories: Some(Accepts(Arc::new(accepts))), ..self }
    }

    /// Keeps these manifests, with everything that they need, in each repository that links them, even if no tag names
    /// them, or a deletion names them. Use it for images that a cluster runs.
    #[must_use]
    pub fn also_root(mut self, manifests: impl IntoIterator<Item = Digest>) -> Self {
        self.also_roots.extend(manifests);
        self
    }

    /// Sets whether a deletion leaves blobs and layer links to a later collection. Repositories that are deleted as a
    /// whole lose all of their links.
    #[must_use]
    pub fn keep_content(self, keep_content: bool) -> Self {
        Self { keep_content, ..self }
    }

    /// Sets the command that is recorded in the trash's journal; the default is `gc`. `repair` is reserved for repairs,
    /// and means `gc` here: what a repair moved to the trash is never put back automatically.
    #[must_use]
    pub fn command(self, command: &str) -> Self {
        Self { command: command.to_owned(), ..self }
    }

    /// The same for one scan.
    pub(crate) fn scan<'a>(
        &'a self,
        allow_empty: bool,
        absences: Absences,
        deletion: Option<&'a Deletion>,
        jobs: usize,
    ) -> Options<'a> {
        Options {
            delete_untagged: self.delete_untagged,
            allow_empty,
            allow_missing: self.allow_missing,
            allow_mostly_untagged: self.allow_mostly_untagged,
            absences,
            allow_symlinked_blobs: self.allow_symlinked_blobs,
            allow_harbor: self.allow_harbor,
            recent_since: self.keep_since,
            leftovers: self.leftovers,
            skip_links: false,
            repositories: self.repositories.as_ref().map_or(Names::ALL, |accepts| Names::accepted_by(&*accepts.0)),
            also_roots: Some(&self.also_roots),
            known: None,
            deletion,
            jobs,
        }
    }

    pub(crate) fn journal_command(&self) -> &str {
        if self.command == REPAIR { COLLECTION } else { &self.command }
    }

    pub(crate) fn keeps_content(&self) -> bool {
        self.keep_content
    }
}
