//! What is deleted although a client could pull it, because it was named.
//!
//! Naming something does not make it go. Marking finds out what else is in use, and what cannot go is [kept
//! back](crate::blocked::Blocked), with the reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;

/// Tags, manifests and repositories that are to go, and with them what only they keep alive.
///
/// Nothing else goes in the same run: what is garbage anyhow is left to a collection.
#[derive(Clone, Debug, Default)]
pub struct Deletion {
    repositories: BTreeMap<String, DeletionIn>,
    /// Whether blobs and layer links stay for a later collection. What goes of a repository that goes as a whole does not
    /// change: all of its links.
    pub keep_content: bool,
}

/// What is to go of one repository.
#[derive(Clone, Debug)]
pub enum DeletionIn {
    /// All of it. Repositories below it stay.
    Everything,
    /// Some tags and manifests.
    Some {
        /// Tags, by name, and what each named when it was decided that it should go; `None` for one that is garbled. One
        /// that names something else by now stays.
        tags: BTreeMap<String, Option<Digest>>,
        /// Manifests that are to go although no tag that goes names them.
        manifests: BTreeSet<Digest>,
    },
}

impl Deletion {
    /// Everything in a repository is to go.
    pub fn repository(&mut self, name: &str) {
        self.repositories.insert(name.to_owned(), DeletionIn::Everything);
    }

    /// A tag is to go, which names this now. So does its manifest, unless another tag or an index that stay name it.
    pub fn tag(&mut self, repository: &str, tag: &str, digest: Option<Digest>) {
        if let DeletionIn::Some { tags, .. } = self.some(repository) {
            tags.insert(tag.to_owned(), digest);
        }
    }

    /// A manifest is to go.
    pub fn manifest(&mut self, repository: &str, digest: Digest) {
        if let DeletionIn::Some { manifests, .. } = self.some(repository) {
            manifests.insert(digest);
        }
    }

    fn some(&mut self, repository: &str) -> &mut DeletionIn {
        let nothing = || DeletionIn::Some { tags: BTreeMap::new(), manifests: BTreeSet::new() };
        self.repositories.entry(repository.to_owned()).or_insert_with(nothing)
    }

    /// What is to go of a repository.
    pub fn of(&self, repository: &str) -> Option<&DeletionIn> {
        self.repositories.get(repository)
    }

    /// The repositories of which something is to go.
    pub fn repositories(&self) -> impl Iterator<Item = (&str, &DeletionIn)> {
        self.repositories.iter().map(|(name, deletion)| (name.as_str(), deletion))
    }

    /// Whether nothing is to go.
    pub fn is_empty(&self) -> bool {
        self.repositories.is_empty()
    }
}
