//! Human-readable listings of a registry: repositories, tags, images.
//!
//! Only what is requested is read. Damaged objects are shown as missing. Nothing here decides what is removed.

mod problems;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::time::SystemTime;

use rayon::prelude::*;

pub use self::problems::Problem;
use self::problems::Read;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::registry::attached::attached_to;
use crate::registry::config::Absences;
use crate::registry::image::{Description, ImageConfig, ImageKind, Part, Step, history_of};
use crate::registry::layout;
use crate::scan::inventory;
use crate::scan::links::digests_in;
use crate::scan::orphans::{Member, orphan, steps};
use crate::scan::tag_links::{TagLink, tag_links};
use crate::storage::manifests::with_manifest;
use crate::storage::{Content, ReadStorage};
use crate::threads::with_threads;
use crate::walk::walk;

/// What a listing contains besides repositories and tags. By default, nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListOptions {
    images: bool,
    skip_configurations: bool,
    untagged: bool,
    trees: bool,
    owners: bool,
    problems: bool,
    layers: bool,
    absences: Absences,
}

impl ListOptions {
    /// Returns options for a listing of tags alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether to describe what the tags name: kind, platforms, size, creation time.
    #[must_use]
    pub fn images(self, images: bool) -> Self {
        Self { images, ..self }
    }

    /// Sets whether to read the configurations of images, for their platforms and creation times. By default, they are
    /// read for everything that is described. Otherwise, images have no platforms, and only indexes and annotated
    /// manifests have a creation time.
    #[must_use]
    pub fn configurations(self, configurations: bool) -> Self {
        Self { skip_configurations: !configurations, ..self }
    }

    /// Sets whether to list the manifests that no tag reaches.
    #[must_use]
    pub fn untagged(self, untagged: bool) -> Self {
        Self { untagged, ..self }
    }

    /// Sets whether to list what is in an index, and what is attached to an image.
    #[must_use]
    pub fn trees(self, trees: bool) -> Self {
        Self { trees, ..self }
    }

    /// Sets whether to list what each tagged image belongs to.
    #[must_use]
    pub fn owners(self, owners: bool) -> Self {
        Self { owners, ..self }
    }

    /// Sets whether to report why tags cannot be pulled. Requires [`images`](Self::images).
    #[must_use]
    pub fn problems(self, problems: bool) -> Self {
        Self { problems, ..self }
    }

    /// Sets whether to list what each image consists of: config, layers, and the steps in which it was made. Requires
    /// [`trees`](Self::trees).
    #[must_use]
    pub fn layers(self, layers: bool) -> Self {
        Self { layers, ..self }
    }

    /// Sets what may be missing without being a problem. `Store::list` takes this from the configuration.
    #[must_use]
    pub fn absences(self, absences: Absences) -> Self {
        Self { absences, ..self }
    }
}

/// A repository and what is in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listing {
    /// The repository's name.
    pub repository: String,
    /// Its tags, sorted by name.
    pub tags: Vec<Tag>,
    /// The manifests that no tag reaches, newest first; empty unless requested.
    pub untagged: Vec<Untagged>,
    /// What is in each image and what is attached to it, for the images of `tags` and `untagged` and everything
    /// reachable from them. Each image is listed once, even if several images contain it; empty unless requested.
    pub trees: BTreeMap<Digest, Tree>,
    /// The manifests that no tag names but that belong to tagged images, each with what it is directly part of or
    /// attached to; empty unless owners are requested.
    pub between: BTreeMap<Digest, Vec<Digest>>,
    /// The tags that, by their names, belong to manifests that were deleted from the repository, if everything that
    /// would be deleted with them does so too. Each has the time of the latest push among all that. Empty unless owners
    /// are requested.
    pub orphans: BTreeMap<String, SystemTime>,
}

impl Listing {
    /// The listing of a repository that holds nothing.
    pub(super) fn empty(repository: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            tags: Vec::new(),
            untagged: Vec::new(),
            trees: BTreeMap::new(),
            between: BTreeMap::new(),
            orphans: BTreeMap::new(),
        }
    }
}

/// An image, and the images that are in it or attached to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tree {
    /// The image.
    pub image: Image,
    /// What is in it, if it is an index.
    pub children: Vec<Digest>,
    /// What is attached to it.
    pub referrers: Vec<Digest>,
    /// Its config; `None` if it has none, and unless layers are requested.
    pub config: Option<Part>,
    /// Its layers, or an artifact's blobs, in its own order; empty unless requested.
    pub layers: Vec<Part>,
    /// The steps in which it was made, the oldest first; empty unless layers are requested, and for an index.
    pub history: Vec<Step>,
}

/// A tag.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// The digest that it names; `None` if its link is garbled.
    pub digest: Option<Digest>,
    /// When it was last pushed: when its link was written.
    pub pushed: SystemTime,
    /// Whether the repository links that digest, so that it can be pulled; only determined if images are requested.
    pub is_linked: bool,
    /// The image with that digest; `None` if it was not requested, or is missing.
    pub image: Option<Image>,
    /// What this is directly part of or attached to, if other tags reach it; empty unless requested.
    pub owners: Vec<Digest>,
    /// Why it cannot be pulled, or not for all of its platforms; `None` if it can be, or if problems were not
    /// requested.
    pub problem: Option<Problem>,
}

/// A manifest that no tag reaches.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Untagged {
    /// When it was last pushed: when its revision's link was written.
    pub pushed: SystemTime,
    /// The image.
    pub image: Image,
}

/// A human-readable description of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// Its digest.
    pub digest: Digest,
    /// Its kind.
    pub kind: ImageKind,
    /// Its platforms, in its own order.
    pub platforms: Vec<String>,
    /// How many bytes a client without any content pulls: the manifest and everything that it refers to, each once.
    /// `None` in a repository whose indexes contain each other so often that adding up takes longer than reading.
    pub bytes: Option<u64>,
    /// When it was created, according to its config, or else to its annotation, in RFC 3339. For an index, the time of
    /// its first image.
    pub created: Option<String>,
    /// The manifest that it is attached to.
    pub subject: Option<Digest>,
}

impl From<TagLink> for Tag {
    fn from(TagLink { name, digest, pushed }: TagLink) -> Self {
        Self { name, digest, pushed, is_linked: false, image: None, owners: Vec::new(), problem: None }
    }
}

/// Lists the repositories for which `is_wanted` is true, sorted by name.
pub fn catalog(
    storage: &dyn ReadStorage,
    is_wanted: impl Fn(&str) -> bool + Sync,
    depth: ListOptions,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<Vec<Listing>, Error> {
    with_threads(jobs, || {
        let mut names = inventory::repository_names(storage, monitor)?;
        names.retain(|name| is_wanted(name));
        names.sort_unstable();
        monitor.phase(Phase::ListImages, Some(names.len() as u64));
        let list = |name| {
            let listing = Repository::new(storage, name, depth).list()?;
            monitor.advance(1);
            monitor.check().map(|()| listing)
        };
        names.into_par_iter().map(list).collect()
    })
}

/// A repository that is being listed, with what was read from it.
struct Repository<'a> {
    storage: &'a dyn ReadStorage,
    name: String,
    depth: ListOptions,
    manifests: HashMap<Digest, Option<Rc<(u64, Description)>>>,
    images: HashMap<Digest, Image>,
    /// What the manifests that were read refer to; empty unless problems are requested.
    read: HashMap<Digest, Read>,
    configs: HashMap<Digest, (ImageConfig, Vec<Step>)>,
    /// How many more parts of images may be added up.
    parts_left: u64,
    /// The manifests that are attached to a subject, by subject.
    referrers: BTreeMap<Digest, Vec<Digest>>,
    /// The revisions that were found to be linked.
    linked: HashSet<Digest>,
}

impl<'a> Repository<'a> {
    fn new(storage: &'a dyn ReadStorage, name: String, depth: ListOptions) -> Self {
        Self {
            storage,
            name,
            depth,
            manifests: HashMap::new(),
            images: HashMap::new(),
            read: HashMap::new(),
            configs: HashMap::new(),
            parts_left: PARTS,
            referrers: BTreeMap::new(),
            linked: HashSet::new(),
        }
    }

    fn list(mut self) -> Result<Listing, Error> {
        let links = tag_links(self.storage, &self.name)?;
        let mut tags: Vec<Tag> = links.into_iter().map(Tag::from).collect();
        let (mut untagged, mut orphans) = (Vec::new(), BTreeMap::new());
        if self.depth.untagged || self.depth.trees || self.depth.owners {
            let (revisions, unlinked) = self.revisions()?;
            self.linked.extend(revisions.keys());
            for digest in revisions.keys() {
                if let Some(subject) = self.manifest(digest)?.and_then(|manifest| manifest.1.subject) {
                    self.referrers.entry(subject).or_default().push(*digest);
                }
            }
            if self.depth.owners {
                orphans = self.orphans(&revisions, &unlinked, &tags)?;
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
        if self.depth.images && self.depth.problems {
            self.find_problems(&mut tags)?;
        }
        let mut between = BTreeMap::new();
        if self.depth.owners {
            between = self.owners(tags.iter().filter_map(|tag| tag.digest))?;
            let named: BTreeMap<Digest, Vec<Digest>> =
                tags.iter().filter_map(|tag| between.remove_entry(&tag.digest?)).collect();
            for tag in &mut tags {
                tag.owners = tag.digest.and_then(|digest| named.get(&digest).cloned()).unwrap_or_default();
            }
        }
        let named = tags.iter().filter(|tag| tag.image.is_some()).filter_map(|tag| tag.digest);
        let listed: Vec<Digest> = named.chain(untagged.iter().map(|untagged| untagged.image.digest)).collect();
        let trees = if self.depth.trees { self.trees(listed)? } else { BTreeMap::new() };
        Ok(Listing { repository: self.name, tags, untagged, trees, between, orphans })
    }

    /// Returns whether the repository links a digest: as a revision, or as a layer, where registry 2.1 put manifests
    /// and later versions still look.
    fn is_linked(&self, digest: &Digest) -> Result<bool, Error> {
        if self.linked.contains(digest) {
            return Ok(true);
        }
        let links = [layout::revision_link(&self.name, digest), layout::layer_link(&self.name, digest)];
        Ok(self.storage.stat(&links[0])?.is_some() || self.storage.stat(&links[1])?.is_some())
    }

    /// Returns what each manifest is directly part of or attached to, for all manifests reachable from some. What it
    /// belongs to through others is not listed: in a chain, that grows with the square of its length.
    fn owners(&mut self, from: impl Iterator<Item = Digest>) -> Result<BTreeMap<Digest, Vec<Digest>>, Error> {
        let mut owners: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for owner in self.reached(from)? {
            let children = self.manifest(&owner)?;
            let children = children.iter().flat_map(|manifest| &manifest.1.children).map(|child| child.digest);
            let attached = self.referrers.get(&owner).into_iter().flatten().copied();
            for digest in children.chain(attached).filter(|digest| *digest != owner) {
                let owners = owners.entry(digest).or_default();
                // The entries of one owner come one after the other.
                if owners.last() != Some(&owner) {
                    owners.push(owner);
                }
            }
        }
        Ok(owners)
    }

    /// Returns the tags that by their names belong to manifests that were deleted, if everything that would be
    /// deleted with them does too, each with the time when the newest of that was pushed.
    fn orphans(
        &mut self,
        revisions: &BTreeMap<Digest, SystemTime>,
        unlinked: &BTreeSet<Digest>,
        tags: &[Tag],
    ) -> Result<BTreeMap<String, SystemTime>, Error> {
        let mut by_name: BTreeMap<Digest, Vec<(Digest, SystemTime)>> = BTreeMap::new();
        let mut of_owner: BTreeMap<Digest, Vec<&Tag>> = BTreeMap::new();
        for tag in tags {
            if let (Some(owner), Some(digest)) = (attached_to(&tag.name, &[]), tag.digest) {
                by_name.entry(owner).or_default().push((digest, tag.pushed));
                of_owner.entry(owner).or_default().push(tag);
            }
        }
        let mut steps_left = steps(revisions.len());
        let mut orphans = BTreeMap::new();
        let gone: Vec<Digest> = by_name.keys().filter(|owner| unlinked.contains(owner)).copied().collect();
        if gone.is_empty() {
            return Ok(orphans);
        }
        // A part of something that stays belongs to an image that stays.
        let mut parts = BTreeSet::new();
        for digest in revisions.keys() {
            let children = self.manifest(digest)?.map(|manifest| manifest.1.children.clone()).unwrap_or_default();
            parts.extend(children.iter().map(|child| child.digest));
        }
        for owner in gone.into_iter().filter(|owner| !parts.contains(owner)) {
            if self.is_linked(&owner)? {
                continue;
            }
            for tag in of_owner.get(&owner).into_iter().flatten() {
                let Some(digest) = tag.digest else { continue };
                let found = orphan(owner, vec![(digest, tag.pushed)], &mut steps_left, |digest| {
                    let Some(&pushed) = revisions.get(&digest) else { return Ok(None) };
                    let described = self.manifest(&digest)?;
                    let described = described.as_ref().map(|manifest| &manifest.1);
                    let children = described.into_iter().flat_map(|described| &described.children);
                    let by_subject = self.referrers.get(&digest).into_iter().flatten();
                    let by_subject = by_subject.map(|referrer| (*referrer, SystemTime::UNIX_EPOCH));
                    let by_name = by_name.get(&digest).into_iter().flatten().copied();
                    Ok(Some(Member {
                        pushed,
                        subject: described.and_then(|described| described.subject),
                        children: children.map(|child| child.digest).collect(),
                        attached: by_subject.chain(by_name).collect(),
                    }))
                })?;
                orphans.extend(found.map(|orphan| (tag.name.clone(), orphan.since)));
            }
        }
        Ok(orphans)
    }

    /// Returns the linked revisions, each with the time of its last push, and the revisions of which only a directory
    /// is left.
    fn revisions(&self) -> Result<(BTreeMap<Digest, SystemTime>, BTreeSet<Digest>), Error> {
        let (mut revisions, mut unlinked) = (BTreeMap::new(), BTreeSet::new());
        let directory = layout::revisions(&self.name);
        for algorithm in Algorithm::ALL {
            let found = digests_in(self.storage, &directory, algorithm)?;
            let keys: Vec<String> = found.iter().map(|(digest, _)| layout::link_below(digest)).collect();
            let links = self.storage.stat_each(&directory, &keys)?;
            for ((digest, _), link) in found.into_iter().zip(links) {
                match link {
                    Some(link) => drop(revisions.insert(digest, link.written())),
                    None => drop(unlinked.insert(digest)),
                }
            }
        }
        Ok((revisions, unlinked))
    }

    /// Returns everything reachable from some manifests: what is in an index, and what is attached.
    fn reached(&mut self, from: impl Iterator<Item = Digest>) -> Result<BTreeSet<Digest>, Error> {
        let mut reached = HashSet::new();
        walk(&mut reached, from, |digest, pending| {
            pending.extend(self.referrers.get(&digest).into_iter().flatten());
            if let Some(manifest) = self.manifest(&digest)? {
                pending.extend(manifest.1.children.iter().map(|child| child.digest));
            }
            Ok::<(), Error>(())
        })?;
        Ok(reached.into_iter().collect())
    }

    /// Returns a manifest and its length in bytes; `None` if it is missing or not understood.
    fn manifest(&mut self, digest: &Digest) -> Result<Option<Rc<(u64, Description)>>, Error> {
        if let Some(known) = self.manifests.get(digest) {
            return Ok(known.clone());
        }
        let finds_problems = self.depth.problems;
        let describe = |content: Option<Content>| {
            let read = finds_problems.then(|| problems::read(digest, content.as_ref()));
            let Some(Content::Whole(content)) = content else { return (None, read) };
            (Description::of(&content).map(|manifest| (content.len() as u64, manifest)), read)
        };
        let (manifest, read) = with_manifest(self.storage, &layout::blob_data(digest), describe)?;
        self.read.extend(read.map(|read| (*digest, read)));
        let manifest = manifest.map(Rc::new);
        if let Some(manifest) = &manifest {
            self.parts_left += PARTS_OF_EACH * (1 + parts_of(&manifest.1).count() as u64);
        }
        self.manifests.insert(*digest, manifest.clone());
        Ok(manifest)
    }

    fn image(&mut self, digest: &Digest) -> Result<Option<Image>, Error> {
        if let Some(known) = self.images.get(digest) {
            return Ok(Some(known.clone()));
        }
        let Some(manifest) = self.manifest(digest)? else { return Ok(None) };
        let (_, manifest) = &*manifest;
        let config = match self.depth.skip_configurations {
            true => ImageConfig::default(),
            false => self.config_of(manifest)?,
        };
        let platforms = match manifest.kind {
            ImageKind::Index => manifest.children.iter().filter_map(|child| child.platform.clone()).collect(),
            _ => config.platform.into_iter().collect(),
        };
        let bytes = self.bytes(digest)?;
        let created = config.created.or_else(|| manifest.created.clone());
        let (kind, subject) = (manifest.kind, manifest.subject);
        let image = Image { digest: *digest, kind, platforms, bytes, created, subject };
        self.images.insert(*digest, image.clone());
        Ok(Some(image))
    }

    /// Returns the trees of some images and of everything reachable from them.
    fn trees(&mut self, images: Vec<Digest>) -> Result<BTreeMap<Digest, Tree>, Error> {
        let mut trees = BTreeMap::new();
        walk(&mut HashSet::new(), images, |digest, pending| {
            let (Some(image), Some(manifest)) = (self.image(&digest)?, self.manifest(&digest)?) else { return Ok(()) };
            let mut children: Vec<Digest> = Vec::new();
            for child in &manifest.1.children {
                if self.manifest(&child.digest)?.is_some() {
                    children.push(child.digest);
                }
            }
            let referrers = self.referrers.get(&digest).cloned().unwrap_or_default();
            pending.extend(children.iter().chain(&referrers));
            let mut tree = Tree { image, children, referrers, config: None, layers: Vec::new(), history: Vec::new() };
            if self.depth.layers {
                tree.config = manifest.1.config.clone();
                tree.layers = manifest.1.layers.clone();
                tree.history = match &tree.config {
                    Some(config) => self.config(config)?.1,
                    None => Vec::new(),
                };
            }
            trees.insert(digest, tree);
            Ok::<(), Error>(())
        })?;
        Ok(trees)
    }

    /// Returns the total length of everything that a client pulls with a manifest.
    fn bytes(&mut self, digest: &Digest) -> Result<Option<u64>, Error> {
        let mut parts: HashMap<Digest, u64> = HashMap::new();
        let mut pending = vec![*digest];
        while let Some(digest) = pending.pop() {
            let Some(manifest) = self.manifest(&digest)? else { continue };
            let (length, manifest) = &*manifest;
            parts.insert(digest, *length);
            for Part { digest, bytes, .. } in parts_of(manifest) {
                let Some(left) = self.parts_left.checked_sub(1) else { return Ok(None) };
                self.parts_left = left;
                parts.insert(*digest, *bytes);
            }
            for child in &manifest.children {
                let Some(left) = self.parts_left.checked_sub(1) else { return Ok(None) };
                self.parts_left = left;
                if parts.insert(child.digest, child.bytes).is_none() {
                    pending.push(child.digest);
                }
            }
        }
        Ok(Some(parts.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))))
    }

    /// Returns the configuration of an image; for an index, that of its first image.
    fn config_of(&mut self, manifest: &Description) -> Result<ImageConfig, Error> {
        let first = manifest.children.first().map(|child| child.digest);
        let of_first = first.map(|first| self.manifest(&first)).transpose()?.flatten();
        let config = manifest.config.as_ref().or_else(|| of_first.as_ref().and_then(|first| first.1.config.as_ref()));
        Ok(config.map(|config| self.config(config)).transpose()?.unwrap_or_default().0)
    }

    /// Returns what a config says, with the history if layers are requested.
    fn config(&mut self, config: &Part) -> Result<(ImageConfig, Vec<Step>), Error> {
        if let Some(known) = self.configs.get(&config.digest) {
            return Ok(known.clone());
        }
        let with_history = self.depth.layers;
        let read = |content| match content {
            Some(Content::Whole(content)) => {
                (ImageConfig::of(&content), if with_history { history_of(&content) } else { Vec::new() })
            }
            _ => (ImageConfig::default(), Vec::new()),
        };
        let read = with_manifest(self.storage, &layout::blob_data(&config.digest), read)?;
        self.configs.insert(config.digest, read.clone());
        Ok(read)
    }
}

/// How many parts of images may be added up in a repository: at least this many, and more for each part of a
/// manifest. If thousands of indexes contain each other, adding up all parts would take quadratic time.
const PARTS: u64 = 1 << 16;
const PARTS_OF_EACH: u64 = 16;

fn parts_of(manifest: &Description) -> impl Iterator<Item = &Part> {
    manifest.config.iter().chain(&manifest.layers)
}
