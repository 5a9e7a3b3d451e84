//! Space usage: where the bytes are.
//!
//! Every file below the directory of blobs is counted in exactly one part: content that a repository needs, content
//! that no repository needs, or files that are not a blob's content. So the parts add up to what the file system
//! reports (if [every file](Detail::every_file) is counted), and the exclusive space of all repositories plus the
//! shared space, counted once, equals everything in use.

mod dominators;
mod files;
mod layers;
mod namespaces;
mod needs;
mod sharing;

use std::cmp::Reverse;

use rayon::prelude::*;
use serde::Serialize;

use self::namespaces::Namespaces;
use self::needs::{Needs, TagNeeds, sum};
pub use self::sharing::MANY;
use self::sharing::{Sharing, Users};
use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::scan::Scan;
use crate::storage::ReadStorage;
use crate::threads::with_threads;

/// What to measure besides repositories.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail {
    tags: bool,
    namespaces: bool,
    layers: usize,
    every_file: bool,
}

impl Detail {
    /// Sets whether to measure each tag.
    #[must_use]
    pub fn tags(self, tags: bool) -> Self {
        Self { tags, ..self }
    }

    /// Sets whether to measure each namespace, which is a prefix of repository names.
    #[must_use]
    pub fn namespaces(self, namespaces: bool) -> Self {
        Self { namespaces, ..self }
    }

    /// Sets how many shared layers are reported: those that save most. None by default.
    #[must_use]
    pub fn layers(self, most: usize) -> Self {
        Self { layers: most, ..self }
    }

    /// Sets whether to also count other files in the directory of each blob, beside its content. This lists as many
    /// directories as there are blobs, which takes longer than everything else.
    #[must_use]
    pub fn every_file(self, every_file: bool) -> Self {
        Self { every_file, ..self }
    }
}

/// The space usage of a store, in bytes of file contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Usage<'a> {
    /// Everything below the directory of blobs: live, garbage, and other.
    pub total: u64,
    /// Blobs that some repository needs: exclusive and shared.
    pub live: u64,
    /// Blobs that only one repository needs.
    pub exclusive: u64,
    /// Blobs that several repositories need, each counted once.
    pub shared: u64,
    /// What tags pull, each blob counted once.
    pub pulled: u64,
    /// Live blobs that no tag reaches.
    pub untagged: u64,
    /// Blobs that no repository needs: what `regc gc` frees.
    pub garbage: u64,
    /// The part of the garbage that no repository links any more.
    pub unlinked_garbage: u64,
    /// Files that are not a blob's content, as far as they were counted. They are never deleted.
    pub other: u64,
    /// The repositories, by what deleting them would free, the most first.
    #[serde(skip)]
    pub repositories: Vec<RepositoryUsage<'a>>,
    /// The namespaces, in the same order.
    #[serde(skip)]
    pub namespaces: Vec<NamespaceUsage<'a>>,
    /// What sharing saves; lists no layers unless requested.
    #[serde(skip)]
    pub shared_layers: SharedLayers,
}

/// The layers and configs that several images have. Each is stored once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SharedLayers {
    /// How many there are.
    pub count: u64,
    /// What they save together, in bytes: what they would take up if each image had its own, less what they take up.
    pub bytes_saved: u64,
    /// As many of them as requested, by what they save, the most first.
    pub layers: Vec<LayerUsage>,
}

/// A layer or config that several images have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LayerUsage {
    /// Its digest.
    pub digest: Digest,
    /// Its size, in bytes.
    pub bytes: u64,
    /// How many manifests refer to it. A manifest that several repositories have counts once.
    pub images: u64,
    /// How many repositories need it.
    pub repositories: u64,
}

impl LayerUsage {
    /// How many bytes it saves: what it would take up if each image had its own, less what it takes up.
    pub fn bytes_saved(&self) -> u64 {
        self.bytes.saturating_mul(self.images.saturating_sub(1))
    }
}

/// The space usage of a repository, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RepositoryUsage<'a> {
    /// Its name.
    pub repository: &'a str,
    /// Exclusive space: what only this repository needs. It would be freed if only this repository were deleted.
    pub exclusive: u64,
    /// What others need as well.
    pub shared: u64,
    /// What all of its tags together pull, each blob counted once.
    pub pulled: u64,
    /// What no tag in it reaches, exclusive or shared.
    pub untagged: u64,
    /// Garbage that it links. Garbage that several repositories link is counted in the first of them.
    pub garbage: u64,
    /// The 100 repositories with which it shares most, the most first. Only blobs that at most [`MANY`] repositories
    /// need are considered.
    pub shared_with: Vec<SharedWith<'a>>,
    /// How many more repositories it shares such blobs with.
    pub shared_with_more: u64,
    /// Blobs that more than [`MANY`] repositories need.
    pub shared_by_many: u64,
    /// Its tags, if requested, by what deleting them would free, the most first.
    #[serde(skip)]
    pub tags: Vec<TagUsage<'a>>,
}

/// What a repository shares with another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SharedWith<'a> {
    /// The other repository.
    pub repository: &'a str,
    /// How many bytes both need, even if more repositories need them.
    pub bytes: u64,
}

/// The space usage of a tag, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TagUsage<'a> {
    /// The repository.
    pub repository: &'a str,
    /// The tag.
    pub tag: String,
    /// The digest that it names; `None` if its link is garbled.
    pub digest: Option<Digest>,
    /// How many tags of the repository name the same digest, including this one.
    pub tags_of_image: u64,
    /// What would be freed if the tag and its image were deleted: everything that it reaches, and that no other tag,
    /// untagged manifest or repository needs. 0 if another tag names the same digest.
    pub exclusive: u64,
    /// What it pulls; `None` in a repository whose indexes contain each other so often that adding up takes longer than
    /// reading.
    pub pulled: Option<u64>,
}

/// The space usage of all repositories in a namespace together, in bytes, each blob counted once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NamespaceUsage<'a> {
    /// The prefix of their names, such as `team/project`. A repository of that name is in the namespace as well.
    pub namespace: &'a str,
    /// What no other repository needs. It would be freed if all of them were deleted.
    pub exclusive: u64,
    /// What others need as well.
    pub shared: u64,
    /// What all of their tags together pull.
    pub pulled: u64,
}

/// Measures the space usage of everything in a store. The scan must have default options: it treats no untagged
/// manifest as garbage, and nothing as recent.
///
/// Lengths are those of the files, not those that manifests state. Symbolic links take up no space.
pub fn usage<'a>(
    storage: &dyn ReadStorage,
    scan: &'a Scan,
    detail: Detail,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<Usage<'a>, Error> {
    with_threads(jobs, || {
        let Scan { inventory, reachable, .. } = scan;
        let files::Files { sizes, other } = files::measure(storage, scan, detail.every_file, monitor)?;
        monitor.phase(Phase::Mark, Some(inventory.repositories.len() as u64));
        let pairs: Vec<_> = inventory.repositories.iter().zip(&reachable.repositories).collect();
        let mut needs: Vec<Needs> = pairs
            .into_par_iter()
            .map(|pair| {
                let needs = needs::needs(storage, scan, pair, &sizes, detail.tags)?;
                monitor.advance(1);
                monitor.check().map(|()| needs)
            })
            .collect::<Result<_, Error>>()?;
        let tags: Vec<Vec<TagNeeds>> = needs.iter_mut().map(|needs| std::mem::take(&mut needs.tags)).collect();
        let users = Users::new(sizes.len(), needs.iter().map(|needs| &*needs.all));
        let (of_repositories, unlinked_garbage) = garbage(scan, &users, &sizes);

        let names: Vec<&str> = inventory.repositories.iter().map(|repository| repository.name.as_str()).collect();
        let counted = Counted { names: &names, sizes: &sizes, users: &users };
        let mut repositories: Vec<RepositoryUsage<'a>> = needs
            .par_iter()
            .zip(tags)
            .zip(of_repositories)
            .enumerate()
            .map(|(number, ((needs, tags), garbage))| counted.repository(number, needs, tags, garbage))
            .collect();
        repositories.sort_by_key(|usage| (Reverse((usage.exclusive, usage.shared)), usage.repository));
        let namespaces = if detail.namespaces { counted.namespaces(&needs) } else { Vec::new() };
        let shared_layers = match detail.layers {
            0 => SharedLayers::default(),
            most => layers::shared_layers(scan, &users, &sizes, most),
        };
        let totals = counted.totals(&needs, other);
        Ok(Usage { unlinked_garbage, other, repositories, namespaces, shared_layers, ..totals })
    })
}

/// Returns how much garbage each repository links, and how much no repository links. A blob that several link is
/// counted in the first of them, as a collection reports it.
fn garbage(scan: &Scan, users: &Users, sizes: &[u64]) -> (Vec<u64>, u64) {
    let mut uncounted: Vec<u64> =
        users.iter().zip(sizes).map(|(users, &bytes)| if users.is_empty() { bytes } else { 0 }).collect();
    let repositories = scan.inventory.repositories.iter().zip(&scan.reachable.garbage);
    let linked = repositories.map(|(repository, garbage)| {
        let links = garbage.layer_links.iter().chain(&repository.unlinked);
        let blobs = links.filter_map(|&id| scan.inventory.digests.stored_index(id));
        blobs.map(|blob| std::mem::take(&mut uncounted[blob])).sum()
    });
    (linked.collect(), uncounted.into_iter().sum())
}

/// What was counted, to be summed up.
struct Counted<'c, 'a> {
    names: &'c [&'a str],
    sizes: &'c [u64],
    users: &'c Users,
}

impl<'a> Counted<'_, 'a> {
    /// Returns how many bytes of some blobs only one repository needs.
    fn exclusive(&self, blobs: &[u32]) -> u64 {
        let exclusive = blobs.iter().filter(|&&blob| self.users.of(blob).len() == 1);
        exclusive.map(|&blob| self.sizes[blob as usize]).sum()
    }

    fn repository(&self, number: usize, needs: &Needs, tags: Vec<TagNeeds>, garbage: u64) -> RepositoryUsage<'a> {
        let repository = self.names[number];
        let all = sum(&needs.all, self.sizes);
        let exclusive = self.exclusive(&needs.all);
        let Sharing { with, with_more, by_many } = sharing::sharing(number as u32, &needs.all, self.users, self.sizes);
        let shared_with =
            with.into_iter().map(|(other, bytes)| SharedWith { repository: self.names[other as usize], bytes });
        let mut exclusive_of_tags: Vec<u64> = tags.iter().map(|tag| self.exclusive(&tag.alone)).collect();
        for (below, tag) in tags.iter().enumerate().rev() {
            if let Some(above) = tag.above {
                exclusive_of_tags[above] += exclusive_of_tags[below];
            }
        }
        let usage = |(TagNeeds { name, digest, tags_of_image, pulled, .. }, exclusive)| TagUsage {
            repository,
            tag: name,
            digest,
            tags_of_image,
            exclusive,
            pulled,
        };
        let mut tags: Vec<TagUsage<'a>> = tags.into_iter().zip(exclusive_of_tags).map(usage).collect();
        tags.sort_unstable_by(|a, b| {
            let key = |tag: &TagUsage<'_>| Reverse((tag.exclusive, tag.pulled));
            key(a).cmp(&key(b)).then_with(|| a.tag.cmp(&b.tag))
        });
        RepositoryUsage {
            repository,
            exclusive,
            shared: all - exclusive,
            pulled: sum(&needs.pulled, self.sizes),
            untagged: all - sum(&needs.tagged, self.sizes),
            garbage,
            shared_with: shared_with.collect(),
            shared_with_more: with_more,
            shared_by_many: by_many,
            tags,
        }
    }

    /// Returns the totals of all repositories, each blob counted once; `other` is what is not a blob's content.
    fn totals(&self, needs: &[Needs], other: u64) -> Usage<'a> {
        let mut by_users = [0; 3];
        for (users, bytes) in self.users.iter().zip(self.sizes) {
            by_users[users.len().min(2)] += bytes;
        }
        let [garbage, exclusive, shared] = by_users;
        let live = exclusive + shared;
        let once = |of: fn(&Needs) -> &[u32]| {
            let mut is_in = vec![false; self.sizes.len()];
            needs.iter().flat_map(of).for_each(|&blob| is_in[blob as usize] = true);
            is_in.into_iter().zip(self.sizes).filter(|(is_in, _)| *is_in).map(|(_, bytes)| bytes).sum::<u64>()
        };
        Usage {
            total: live + garbage + other,
            live,
            exclusive,
            shared,
            pulled: once(|needs| &needs.pulled),
            untagged: live - once(|needs| &needs.tagged),
            garbage,
            ..Usage::default()
        }
    }

    fn namespaces(&self, needs: &[Needs]) -> Vec<NamespaceUsage<'a>> {
        let namespaces = Namespaces::new(self.names);
        let needed = namespaces.sums(self.users, self.sizes);
        let pulled = Users::new(self.sizes.len(), needs.iter().map(|needs| &*needs.pulled));
        let pulled = namespaces.sums(&pulled, self.sizes).all;
        let usage = |(index, namespace): (usize, &'a str)| {
            let (all, exclusive) = (needed.all[index], needed.exclusive[index]);
            NamespaceUsage { namespace, exclusive, shared: all - exclusive, pulled: pulled[index] }
        };
        let mut usages: Vec<NamespaceUsage<'a>> = namespaces.names().map(usage).collect();
        usages.sort_by_key(|usage| (Reverse((usage.exclusive, usage.shared)), usage.namespace));
        usages
    }
}
