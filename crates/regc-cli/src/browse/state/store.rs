//! What is known of the store so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::time::SystemTime;

use regc_core::Digest;
use regc_core::inspect::catalog::Listing;

use crate::browse::message::{Named, OfRepository, Request, Sizes};

/// What is known of the store.
#[derive(Default)]
pub struct Store {
    pub repositories: BTreeMap<String, Repository>,
    /// The namespaces, without a slash at their end, with what only they need and what they share.
    pub namespaces: HashMap<String, [u64; 2]>,
    /// Everything in use, garbage, and garbage that no repository links, in bytes; `None` until it is measured.
    pub totals: Option<[u64; 3]>,
    /// The images of repositories; `None` while they are read.
    images: HashMap<String, Option<Box<Listing>>>,
    /// How many repositories need a blob, as far as that was asked for.
    pub needs: HashMap<Digest, u64>,
    /// Whether the names are known.
    pub is_listed: bool,
}

/// What is known of a repository.
#[derive(Default)]
pub struct Repository {
    pub tags: Vec<Tag>,
    /// When a tag was pushed last.
    pub newest: Option<SystemTime>,
    /// What it takes up, once that is measured. The tags' sizes are with the tags.
    pub sizes: Option<OfRepository>,
}

/// A tag.
pub struct Tag {
    pub name: String,
    pub digest: Option<Digest>,
    pub pushed: SystemTime,
    /// What only it needs, in bytes.
    pub exclusive: Option<u64>,
    /// What it pulls, in bytes.
    pub pulled: Option<u64>,
    /// How many tags name the same.
    pub tags_of_image: u64,
}

impl Store {
    /// Takes the names. What is known of sizes is out of date then, and stays until it is measured anew.
    pub fn take_names(&mut self, named: Vec<Named>) {
        let mut before = std::mem::take(&mut self.repositories);
        self.images.clear();
        self.needs.clear();
        self.is_listed = true;
        for Named { repository, tags } in named {
            let known = before.remove(&repository).unwrap_or_default();
            let newest = tags.iter().map(|tag| tag.pushed).max();
            let sized: HashMap<String, Tag> = known.tags.into_iter().map(|tag| (tag.name.clone(), tag)).collect();
            let tags = tags.into_iter().map(|tag| {
                let known = sized.get(&tag.name);
                Tag {
                    exclusive: known.and_then(|known| known.exclusive),
                    pulled: known.and_then(|known| known.pulled),
                    tags_of_image: known.map_or(1, |known| known.tags_of_image),
                    name: tag.name,
                    digest: tag.digest,
                    pushed: tag.pushed,
                }
            });
            let repository_of = Repository { tags: tags.collect(), newest, sizes: known.sizes };
            self.repositories.insert(repository, repository_of);
        }
    }

    /// Takes where the bytes are.
    pub fn take_sizes(&mut self, sizes: Sizes) {
        let Sizes { repositories, namespaces, live, garbage, unlinked_garbage } = sizes;
        self.namespaces = namespaces.into_iter().collect();
        self.totals = Some([live, garbage, unlinked_garbage]);
        for (name, mut sizes) in repositories {
            let repository = self.repositories.entry(name).or_default();
            let mut sized: HashMap<String, ([Option<u64>; 2], u64)> =
                std::mem::take(&mut sizes.tags).into_iter().map(|(tag, sizes, tags)| (tag, (sizes, tags))).collect();
            for tag in &mut repository.tags {
                if let Some(([exclusive, pulled], tags_of_image)) = sized.remove(&tag.name) {
                    (tag.exclusive, tag.pulled, tag.tags_of_image) = (exclusive, pulled, tags_of_image);
                }
            }
            repository.sizes = Some(sizes);
        }
    }

    /// Whether it is known where the bytes are.
    pub fn is_measured(&self) -> bool {
        self.totals.is_some()
    }

    /// Forgets that it is known where the bytes are: something was removed.
    pub fn measure_again(&mut self) {
        self.totals = None;
    }

    pub fn take_images(&mut self, repository: String, images: Option<Box<Listing>>) {
        match images {
            Some(images) => drop(self.images.insert(repository, Some(images))),
            None => drop(self.images.remove(&repository)),
        }
    }

    /// The images of a repository, once they are read.
    pub fn images(&self, repository: &str) -> Option<&Listing> {
        self.images.get(repository)?.as_deref()
    }

    /// Returns what to request so that it becomes known which layers of an image others need as well, unless that is known.
    pub fn request_needs(&self, repository: &str, image: &Digest) -> Option<Request> {
        let tree = self.images(repository)?.trees.get(image)?;
        let parts = tree.layers.iter().chain(&tree.config).map(|part| part.digest);
        let unknown: BTreeSet<Digest> = parts.filter(|digest| !self.needs.contains_key(digest)).collect();
        (!unknown.is_empty()).then(|| Request::Needs(unknown.into_iter().collect()))
    }

    /// Returns what to request so that the images of a repository become known, unless that was done.
    pub fn request_images(&mut self, repository: &str) -> Option<Request> {
        if self.images.contains_key(repository) {
            return None;
        }
        self.images.insert(repository.to_owned(), None);
        Some(Request::Images(repository.to_owned()))
    }

    /// The names of the repositories in a namespace: as in the file system, that of its name and those below it.
    pub fn names_in<'s>(&'s self, namespace: &'s str) -> impl Iterator<Item = &'s str> {
        let own = self.repositories.get_key_value(namespace).map(|(name, _)| name.as_str());
        let below = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let after = (Bound::Included(below.clone()), Bound::Unbounded);
        let below = self.repositories.range::<String, _>(after).take_while(move |(name, _)| name.starts_with(&below));
        own.into_iter().chain(below.map(|(name, _)| name.as_str()))
    }

    /// Whether a repository is in a namespace.
    pub fn is_in(repository: &str, namespace: &str) -> bool {
        let below = repository.strip_prefix(namespace);
        namespace.is_empty() || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}
