//! Deletions: what is deleted because it was named, although clients could pull it.
//!
//! Naming something is not enough to delete it. Marking finds what else is in use, and what cannot be deleted is
//! [kept](crate::blocked::Blocked), with the reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;

/// Tags, manifests and repositories to delete, and with them what only they keep alive.
///
/// Nothing else is deleted in the same run: other garbage is left to a collection.
#[derive(Clone, Debug, Default)]
pub struct Deletion {
    repositories: BTreeMap<String, DeletionIn>,
    /// Whether blobs and layer links stay for a later collection; `CollectOptions::keep_content` sets it as well. A repository that is deleted as a whole still loses
    /// all of its links.
    pub keep_content: bool,
}

/// What to delete in one repository.
#[derive(Clone, Debug)]
pub enum DeletionIn {
    /// All that it holds when the deletion is planned. Repositories below it stay.
    Everything,
    /// Some tags and manifests.
    Some {
        /// Tags, by name, and what each named when its deletion was decided; `None` for a garbled one. A tag that
        /// names something else by now stays.
        tags: BTreeMap<String, Option<Digest>>,
        /// Manifests to delete although no deleted tag names them.
        manifests: BTreeSet<Digest>,
    },
}

impl Deletion {
    /// Adds everything in a repository. Whether there is one of that name is not checked: `Store::resolve_repository` does.
    pub fn repository(&mut self, name: &str) {
        self.repositories.insert(name.to_owned(), DeletionIn::Everything);
    }

    /// Adds a tag, with what it names now. Its manifest is deleted too, unless another tag or an index that stays
    /// names it.
    pub fn tag(&mut self, repository: &str, tag: &str, digest: Option<Digest>) {
        if let DeletionIn::Some { tags, .. } = self.some(repository) {
            tags.insert(tag.to_owned(), digest);
        }
    }

    /// Adds a manifest.
    pub fn manifest(&mut self, repository: &str, digest: Digest) {
        if let DeletionIn::Some { manifests, .. } = self.some(repository) {
            manifests.insert(digest);
        }
    }

    fn some(&mut self, repository: &str) -> &mut DeletionIn {
        let nothing = || DeletionIn::Some { tags: BTreeMap::new(), manifests: BTreeSet::new() };
        self.repositories.entry(repository.to_owned()).or_insert_with(nothing)
    }

    /// Returns what to delete in a repository.
    pub fn of(&self, repository: &str) -> Option<&DeletionIn> {
        self.repositories.get(repository)
    }

    /// Lists the repositories in which something is to be deleted.
    pub fn repositories(&self) -> impl Iterator<Item = (&str, &DeletionIn)> {
        self.repositories.iter().map(|(name, deletion)| (name.as_str(), deletion))
    }

    /// Whether there is nothing to delete.
    pub fn is_empty(&self) -> bool {
        self.repositories.is_empty()
    }
}
