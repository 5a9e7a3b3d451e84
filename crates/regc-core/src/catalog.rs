//! What is in a registry, for people: repositories, tags, images.
//!
//! Only what is asked for is read. Damage is shown as what is missing; nothing here decides what is removed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::SystemTime;

use rayon::prelude::*;

use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::image::{Description, ImageConfig, ImageKind, Part};
use crate::inventory;
use crate::layout;
use crate::manifest::MAX_MANIFEST_BYTES;
use crate::storage::{Content, ReadStorage, directories};
use crate::survey::with_threads;

/// What is to be found out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Depth {
    /// What the tags name: kind, platforms, size, when it was made.
    pub images: bool,
    /// The manifests that no tag reaches.
    pub untagged: bool,
    /// What is in an index, and what is attached to an image.
    pub trees: bool,
    /// Which tagged images each tagged image belongs to.
    pub owners: bool,
}

/// A repository and what is in it.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The repository's name.
    pub repository: String,
    /// Its tags, sorted by name.
    pub tags: Vec<Tag>,
    /// The manifests that no tag reaches, the newest first; empty unless asked for.
    pub untagged: Vec<Untagged>,
}

/// A tag.
#[derive(Clone, Debug)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// What it names; `None` if its link is garbled.
    pub digest: Option<Digest>,
    /// When it was pushed last: when its link was written.
    pub pushed: SystemTime,
    /// Whether the repository links that, so that it can be pulled; only asked for with images.
    pub is_linked: bool,
    /// What that is; `None` if it was not asked for, or is missing.
    pub image: Option<Image>,
    /// What other tags name and this is part of or attached to, directly or through others; empty unless asked for.
    pub owners: Vec<Digest>,
}

/// A manifest that no tag reaches.
#[derive(Clone, Debug)]
pub struct Untagged {
    /// When it was pushed last: when its revision's link was written.
    pub pushed: SystemTime,
    /// What it is.
    pub image: Image,
}

/// A manifest as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its digest.
    pub digest: Digest,
    /// What it is.
    pub kind: ImageKind,
    /// The platforms that it is for, in its own order.
    pub platforms: Vec<String>,
    /// How much a client pulls that has nothing yet, in bytes: the manifest, and everything that it refers to, each once.
    pub bytes: u64,
    /// When it was made, as its configuration says: RFC 3339. That of an index is its first image's.
    pub created: Option<String>,
    /// The manifest that it is attached to.
    pub subject: Option<Digest>,
    /// What is in it, if it is an index and that was asked for.
    pub children: Vec<Image>,
    /// What is attached to it, if that was asked for.
    pub referrers: Vec<Image>,
}

/// Lists the repositories that `is_wanted` wants, sorted by name.
pub fn catalog(
    storage: &dyn ReadStorage,
    is_wanted: impl Fn(&str) -> bool + Sync,
    depth: Depth,
    jobs: usize,
) -> Result<Vec<Listing>, Error> {
    with_threads(jobs, || {
        let mut names = inventory::repository_names(storage)?;
        names.retain(|name| is_wanted(name));
        names.sort_unstable();
        names.into_par_iter().map(|name| Repository::new(storage, name, depth).list()).collect()
    })
}

/// The tags of a repository, sorted by name, without what they name.
pub(crate) fn tags(storage: &dyn ReadStorage, repository: &str) -> Result<Vec<Tag>, Error> {
    let all = layout::tags(repository);
    let mut names = Vec::new();
    for (name, _) in directories(storage, &all, |name| Some(name.to_owned()), || ())? {
        names.push(name);
    }
    names.sort_unstable();
    let keys: Vec<String> = names.iter().map(|name| format!("{name}/current/{}", layout::LINK)).collect();
    let links = storage.stat_each(&all, &keys)?;
    let mut texts = Vec::with_capacity(keys.len());
    storage.read_each(&all, &keys, layout::link_bytes(Algorithm::Sha512), &mut |text| texts.push(text))?;
    let tags = names.into_iter().zip(links).zip(texts).filter_map(|((name, link), text)| {
        let digest = match text? {
            Content::Whole(text) => layout::digest_in_link(&text),
            Content::TooLarge => None,
        };
        Some(Tag { name, digest, pushed: link?.modified, is_linked: false, image: None, owners: Vec::new() })
    });
    Ok(tags.collect())
}

/// A repository that is being listed, with what was read of it.
struct Repository<'a> {
    storage: &'a dyn ReadStorage,
    name: String,
    depth: Depth,
    manifests: HashMap<Digest, Option<(u64, Description)>>,
    /// The manifests that are attached to another one, by that one.
    referrers: BTreeMap<Digest, Vec<Digest>>,
}

impl<'a> Repository<'a> {
    fn new(storage: &'a dyn ReadStorage, name: String, depth: Depth) -> Self {
        Self { storage, name, depth, manifests: HashMap::new(), referrers: BTreeMap::new() }
    }

    fn list(mut self) -> Result<Listing, Error> {
        let mut tags = tags(self.storage, &self.name)?;
        let mut untagged = Vec::new();
        if self.depth.untagged || self.depth.trees || self.depth.owners {
            let revisions = self.revisions()?;
            for digest in revisions.keys() {
                if let Some(subject) = self.manifest(digest)?.and_then(|(_, manifest)| manifest.subject) {
                    self.referrers.entry(subject).or_default().push(*digest);
                }
            }
            if self.depth.untagged {
                let reached = self.reached(tags.iter().filter_map(|tag| tag.digest))?;
                for (digest, pushed) in revisions {
                    if !reached.contains(&digest)
                        && let Some(image) = self.image(&digest)?
                    {
                        untagged.push(Untagged { pushed, image });
                    }
                }
                untagged.sort_by_key(|untagged| std::cmp::Reverse(untagged.pushed));
            }
        }
        if self.depth.images {
            for tag in &mut tags {
                if let Some(digest) = tag.digest {
                    tag.is_linked = self.is_linked(&digest)?;
                    tag.image = self.image(&digest)?;
                }
            }
        }
        if self.depth.owners {
            self.name_owners(&mut tags)?;
        }
        Ok(Listing { repository: self.name, tags, untagged })
    }

    /// As a revision, or as a layer, where registry 2.1 put manifests and later ones still look.
    fn is_linked(&self, digest: &Digest) -> Result<bool, Error> {
        let links = [layout::revision_link(&self.name, digest), layout::layer_link(&self.name, digest)];
        Ok(self.storage.stat(&links[0])?.is_some() || self.storage.stat(&links[1])?.is_some())
    }

    fn name_owners(&mut self, tags: &mut [Tag]) -> Result<(), Error> {
        let tagged: BTreeSet<Digest> = tags.iter().filter_map(|tag| tag.digest).collect();
        let mut owners: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for &owner in &tagged {
            for digest in self.reached([owner].into_iter())?.intersection(&tagged) {
                if *digest != owner {
                    owners.entry(*digest).or_default().push(owner);
                }
            }
        }
        for tag in tags {
            tag.owners = tag.digest.and_then(|digest| owners.get(&digest).cloned()).unwrap_or_default();
        }
        Ok(())
    }

    /// The linked revisions, and when each was pushed last.
    fn revisions(&self) -> Result<BTreeMap<Digest, SystemTime>, Error> {
        let mut revisions = BTreeMap::new();
        let directory = layout::revisions(&self.name);
        for algorithm in Algorithm::ALL {
            let path = format!("{directory}/{}", algorithm.name());
            let found = directories(self.storage, &path, |hex| Digest::from_hex(algorithm, hex), || ())?;
            let keys: Vec<String> = found.iter().map(|(digest, _)| layout::link_below(digest)).collect();
            let links = self.storage.stat_each(&directory, &keys)?;
            let linked = found.into_iter().zip(links);
            revisions.extend(linked.filter_map(|((digest, _), link)| Some((digest, link?.modified))));
        }
        Ok(revisions)
    }

    /// Everything that is reached from some manifests: what is in an index, and what is attached.
    fn reached(&mut self, from: impl Iterator<Item = Digest>) -> Result<BTreeSet<Digest>, Error> {
        let mut reached = BTreeSet::new();
        let mut pending: Vec<Digest> = from.collect();
        while let Some(digest) = pending.pop() {
            if reached.insert(digest) {
                pending.extend(self.referrers.get(&digest).into_iter().flatten());
                if let Some((_, manifest)) = self.manifest(&digest)? {
                    pending.extend(manifest.children.iter().map(|child| child.digest));
                }
            }
        }
        Ok(reached)
    }

    /// A manifest and its length in bytes; `None` if it is missing or not understood.
    fn manifest(&mut self, digest: &Digest) -> Result<Option<(u64, Description)>, Error> {
        if let Some(known) = self.manifests.get(digest) {
            return Ok(known.clone());
        }
        let content = self.storage.read(&layout::blob_data(digest), MAX_MANIFEST_BYTES)?;
        let manifest = match content {
            Some(Content::Whole(content)) => Description::of(&content).map(|manifest| (content.len() as u64, manifest)),
            _ => None,
        };
        self.manifests.insert(*digest, manifest.clone());
        Ok(manifest)
    }

    fn image(&mut self, digest: &Digest) -> Result<Option<Image>, Error> {
        let mut above = Vec::new();
        self.image_below(digest, &mut above)
    }

    /// `above` are the manifests in which this one is, so that none is in itself.
    fn image_below(&mut self, digest: &Digest, above: &mut Vec<Digest>) -> Result<Option<Image>, Error> {
        let Some((length, manifest)) = self.manifest(digest)? else { return Ok(None) };
        let mut parts: BTreeMap<Digest, u64> = BTreeMap::from([(*digest, length)]);
        self.parts(&manifest, &mut parts)?;
        let mut image = Image {
            digest: *digest,
            kind: manifest.kind,
            platforms: Vec::new(),
            bytes: parts.values().sum(),
            created: None,
            subject: manifest.subject,
            children: Vec::new(),
            referrers: Vec::new(),
        };
        let first = manifest.children.first().map(|child| child.digest);
        let of_first = first.map(|first| self.manifest(&first)).transpose()?.flatten();
        let config = manifest.config.clone().or_else(|| of_first.and_then(|(_, manifest)| manifest.config));
        let config = config.map(|config| self.config(&config)).transpose()?.unwrap_or_default();
        image.created = config.created;
        image.platforms = match manifest.kind {
            ImageKind::Index => manifest.children.iter().filter_map(|child| child.platform.clone()).collect(),
            _ => config.platform.into_iter().collect(),
        };
        if self.depth.trees && !above.contains(digest) {
            above.push(*digest);
            for child in &manifest.children {
                image.children.extend(self.image_below(&child.digest, above)?);
            }
            for referrer in self.referrers.get(digest).cloned().unwrap_or_default() {
                image.referrers.extend(self.image_below(&referrer, above)?);
            }
            above.pop();
        }
        Ok(Some(image))
    }

    /// Everything that a client pulls with a manifest.
    fn parts(&mut self, manifest: &Description, parts: &mut BTreeMap<Digest, u64>) -> Result<(), Error> {
        let mut pending = vec![manifest.clone()];
        while let Some(manifest) = pending.pop() {
            for Part { digest, bytes, .. } in manifest.config.iter().chain(&manifest.layers) {
                parts.insert(*digest, *bytes);
            }
            for child in &manifest.children {
                if parts.insert(child.digest, child.bytes).is_none()
                    && let Some((length, manifest)) = self.manifest(&child.digest)?
                {
                    parts.insert(child.digest, length);
                    pending.push(manifest);
                }
            }
        }
        Ok(())
    }

    fn config(&self, config: &Part) -> Result<ImageConfig, Error> {
        let content = self.storage.read(&layout::blob_data(&config.digest), MAX_MANIFEST_BYTES)?;
        Ok(match content {
            Some(Content::Whole(content)) => ImageConfig::of(&content),
            _ => ImageConfig::default(),
        })
    }
}
