//! What a repository had, according to its own directories.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::digest::Digest;
use crate::error::Error;
use crate::registry::layout;
use crate::scan::links::{self, Link};
use crate::storage::{ReadStorage, below, directories};

/// What a repository has, and what it had.
pub(super) struct History<'a> {
    pub(super) storage: &'a dyn ReadStorage,
    pub(super) repository: String,
    /// The tags whose indexes hold a digest, sorted.
    pub(super) remembered: BTreeMap<Digest, Vec<String>>,
    /// How many digests each tag's index holds.
    remembers: HashMap<String, usize>,
    /// The manifests that it must have had, since it has everything that they refer to.
    pub(super) inferred: HashSet<Digest>,
}

impl<'a> History<'a> {
    /// Reads the indexes of a repository's tags.
    pub(super) fn read(storage: &'a dyn ReadStorage, repository: &str) -> Result<Self, Error> {
        let mut history = Self {
            storage,
            repository: repository.to_owned(),
            remembered: BTreeMap::new(),
            remembers: HashMap::new(),
            inferred: HashSet::new(),
        };
        let all = layout::tags(repository);
        let mut tags = directories(storage, &all, layout::tag_name, || ())?;
        tags.sort_unstable();
        for (tag, _) in tags {
            let index = layout::tag_index(repository, &tag);
            let links = below(storage, &index)?.files.into_iter();
            for digest in links.filter_map(|file| layout::digest_of_link(&format!("{index}/{file}"))) {
                history.remembered.entry(digest).or_default().push(tag.clone());
                *history.remembers.entry(tag.clone()).or_default() += 1;
            }
        }
        Ok(history)
    }

    /// Returns the tags that surely named a digest last: they name nothing now, and their indexes hold nothing else.
    pub(super) fn certain_tags(&self, digest: &Digest) -> Result<Vec<String>, Error> {
        let mut certain = Vec::new();
        for tag in self.remembered.get(digest).into_iter().flatten() {
            let names_nothing = self.storage.stat(&layout::tag_link(&self.repository, tag))?.is_none();
            if names_nothing && self.remembers.get(tag) == Some(&1) {
                certain.push(tag.clone());
            }
        }
        Ok(certain)
    }

    /// Reads the link by which the repository serves a manifest: the revision's or, as registry 2.1 wrote them, a
    /// layer's.
    pub(super) fn manifest_link(&self, digest: &Digest) -> Result<Link, Error> {
        match self.revision_link(digest)? {
            Link::Absent => self.layer_link(digest),
            link => Ok(link),
        }
    }

    /// Reads the link that makes a manifest a root of a collection.
    pub(super) fn revision_link(&self, digest: &Digest) -> Result<Link, Error> {
        links::read(self.storage, &layout::revision_link(&self.repository, digest), digest)
    }

    /// Reads the link by which the repository serves a layer.
    pub(super) fn layer_link(&self, digest: &Digest) -> Result<Link, Error> {
        links::read(self.storage, &layout::layer_link(&self.repository, digest), digest)
    }

    /// Whether something in the repository shows that it had a manifest or a layer. What another repository has is no
    /// evidence.
    pub(super) fn had(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.was_manifest(digest)? || self.storage.stat(&layout::layer(&self.repository, digest))?.is_some())
    }

    /// Whether the repository has or had this digest as a manifest.
    pub(super) fn was_manifest(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.remembered.contains_key(digest)
            || self.inferred.contains(digest)
            || self.storage.stat(&layout::revision(&self.repository, digest))?.is_some())
    }
}
