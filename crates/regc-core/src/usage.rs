//! Where the bytes are.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use rayon::prelude::*;
use rustc_hash::FxHashSet as HashSet;

use crate::catalog;
use crate::digest::Digest;
use crate::error::Error;
use crate::inventory::{DigestId, Inventory};
use crate::layout;
use crate::mark::{Manifest, Reachable};
use crate::storage::{EntryKind, ReadStorage};
use crate::survey::{Survey, with_threads};

/// How much the blobs of a store take up, in bytes of their contents.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Blobs that some repository needs.
    pub live: u64,
    /// Blobs that none does: what `regc gc` gives back.
    pub garbage: u64,
    /// The repositories, those first that would give back most if they went.
    pub repositories: Vec<RepositoryUsage>,
}

/// How much a repository takes up, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct RepositoryUsage {
    /// Its name.
    pub repository: String,
    /// What all of its tags together pull, everything once.
    pub pulled: u64,
    /// What no other repository needs: this would be freed if it alone went.
    pub exclusive: u64,
    /// What others need as well.
    pub shared: u64,
    /// What in it no tag reaches, be it exclusive or shared.
    pub untagged: u64,
}

/// Finds out how much everything in a store takes up. The survey must be one that takes no untagged manifest for garbage.
///
/// Every blob is asked for its size, so the parts are exact: what is live and what is garbage are together what all blobs
/// take up. Blobs that are symbolic links take up nothing here.
pub fn usage(storage: &dyn ReadStorage, survey: &Survey, jobs: usize) -> Result<Usage, Error> {
    with_threads(jobs, || {
        let Survey { inventory, reachable, .. } = survey;
        let sizes = sizes(storage, inventory)?;
        let size = |id: DigestId| inventory.digests.stored_index(id).map_or(0, |index| sizes[index]);

        // How many repositories need a blob; more than one is as good as two.
        let users: Vec<AtomicU8> = sizes.iter().map(|_| AtomicU8::new(0)).collect();
        let needed: Vec<HashSet<DigestId>> = reachable
            .repositories
            .par_iter()
            .map(|marked| closure(reachable, &marked.manifests, &marked.manifests))
            .collect();
        needed.par_iter().flat_map_iter(|needed| needed.iter()).for_each(|&id| {
            if let Some(index) = inventory.digests.stored_index(id) {
                let one_more = |users: u8| (users < 2).then_some(users + 1);
                users[index].fetch_update(Relaxed, Relaxed, one_more).ok();
            }
        });
        let is_exclusive =
            |id: DigestId| inventory.digests.stored_index(id).is_some_and(|index| users[index].load(Relaxed) == 1);

        let mut repositories = inventory
            .repositories
            .par_iter()
            .zip(needed)
            .zip(&reachable.repositories)
            .map(|((repository, needed), marked)| {
                let (pulled, reached) = tagged(storage, survey, &repository.name, &marked.manifests)?;
                let mut usage = RepositoryUsage { repository: repository.name.clone(), ..RepositoryUsage::default() };
                for id in needed {
                    *if is_exclusive(id) { &mut usage.exclusive } else { &mut usage.shared } += size(id);
                    usage.untagged += if reached.contains(&id) { 0 } else { size(id) };
                }
                usage.pulled = pulled.into_iter().map(size).sum();
                Ok(usage)
            })
            .collect::<Result<Vec<_>, Error>>()?;
        repositories.sort_by(|a, b| {
            (b.exclusive, b.shared).cmp(&(a.exclusive, a.shared)).then_with(|| a.repository.cmp(&b.repository))
        });
        let all = inventory.digests.stored_ids();
        let (live, garbage): (Vec<_>, Vec<_>) = all.partition(|&id| reachable.live.contains(&inventory.digests, id));
        let sum = |ids: Vec<DigestId>| ids.into_iter().map(size).sum();
        Ok(Usage { live: sum(live), garbage: sum(garbage), repositories })
    })
}

/// The length of every blob's content, in the order of their digests.
fn sizes(storage: &dyn ReadStorage, inventory: &Inventory) -> Result<Vec<u64>, Error> {
    let digests = &inventory.digests;
    let ids: Vec<DigestId> = digests.stored_ids().collect();
    let shards: Vec<&[DigestId]> = ids.chunk_by(|a, b| digests.same_shard(*a, *b)).collect();
    let sizes = shards.into_par_iter().map(|shard| {
        let blobs: Vec<Digest> = shard.iter().map(|&id| digests.digest(id)).collect();
        let keys: Vec<String> = blobs.iter().map(layout::data_below).collect();
        let found = storage.stat_each(&layout::shard(&blobs[0]), &keys)?;
        Ok(shard
            .iter()
            .zip(found)
            .map(|(id, data)| {
                let is_here = |data: &crate::storage::Metadata| {
                    data.kind == EntryKind::File
                        && !data.symlink
                        && inventory.symlinked_blobs.binary_search(id).is_err()
                };
                data.filter(is_here).map_or(0, |data| data.bytes)
            })
            .collect::<Vec<u64>>())
    });
    Ok(sizes.collect::<Result<Vec<_>, Error>>()?.concat())
}

/// Manifests with everything that they refer to. `here` are the manifests of their repository, in the order of their
/// numbers: another one's are not followed.
fn closure<'a>(
    reachable: &Reachable,
    here: &[DigestId],
    manifests: impl IntoIterator<Item = &'a DigestId>,
) -> HashSet<DigestId> {
    let mut closure = HashSet::default();
    let mut pending: Vec<DigestId> = manifests.into_iter().copied().collect();
    while let Some(id) = pending.pop() {
        if closure.insert(id) && here.binary_search(&id).is_ok() {
            reachable.manifests.with(id, |manifest| match manifest {
                Manifest::Parsed { references, .. } => pending.extend(references.iter().map(|r| r.id())),
                Manifest::Missing => {}
                Manifest::Damaged(damaged) => closure.extend(&damaged.mentioned),
            });
        }
    }
    closure
}

/// What a repository's tags pull, and what they reach with all that is attached to it.
fn tagged(
    storage: &dyn ReadStorage,
    survey: &Survey,
    repository: &str,
    manifests: &[DigestId],
) -> Result<(HashSet<DigestId>, HashSet<DigestId>), Error> {
    let Survey { inventory, reachable, .. } = survey;
    let tags = catalog::tags(storage, repository)?;
    let digests = tags.iter().filter_map(|tag| tag.digest.as_ref());
    let named: BTreeSet<DigestId> = digests.map(|digest| inventory.digests.id(digest)).collect();
    let pulled = closure(reachable, manifests, &named);
    let mut reached = pulled.clone();
    loop {
        let is_attached = |id: &&DigestId| {
            let subject = reachable.manifests.with(**id, |manifest| match manifest {
                Manifest::Parsed { subject, .. } => subject,
                _ => None,
            });
            !reached.contains(id) && subject.flatten().is_some_and(|subject| reached.contains(&subject))
        };
        let attached: Vec<DigestId> = manifests.iter().filter(is_attached).copied().collect();
        if attached.is_empty() {
            return Ok((pulled, reached));
        }
        reached.extend(closure(reachable, manifests, &attached));
    }
}
