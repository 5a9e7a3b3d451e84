//! The sizes of blobs.

use std::collections::BTreeSet;
use std::time::SystemTime;

use rayon::prelude::*;

use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout;
use crate::scan::inventory::{DigestId, Inventory};
use crate::scan::mark::Reachable;
use crate::storage::{EntryKind, Metadata, ReadStorage};

/// A blob that nothing refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreferencedBlob {
    /// Its digest.
    pub id: DigestId,
    /// How many bytes deleting it frees: the length of its content, or 0 if a symbolic link leads to its content.
    pub bytes: u64,
}

/// The blobs of a store, live and not.
#[derive(Debug, Default)]
pub struct Sizes {
    /// The blobs that are garbage, in the order of their digests.
    pub unreferenced: Vec<UnreferencedBlob>,
    /// How many blobs are live.
    pub live_blobs: u64,
    /// The total size of their contents, in bytes.
    pub live_bytes: u64,
    /// How many blobs are not live, but too recent to be garbage.
    pub young_blobs: u64,
    /// The total size of their contents, in bytes.
    pub young_bytes: u64,
    /// The total size, in bytes, of the garbage blobs whose content has other hard links: deleting them here frees
    /// nothing.
    pub hard_linked_bytes: u64,
    /// Digests with a directory but without content, as an interrupted run leaves them.
    pub(crate) without_content: BTreeSet<DigestId>,
}

impl Sizes {
    /// Adds what was found out about other blobs, except which of them are garbage.
    fn add(&mut self, other: Self) {
        self.live_blobs += other.live_blobs;
        self.live_bytes += other.live_bytes;
        self.young_blobs += other.young_blobs;
        self.young_bytes += other.young_bytes;
        self.hard_linked_bytes += other.hard_linked_bytes;
        self.without_content.extend(other.without_content);
    }
}

/// The number of live blobs up to which each one is checked. In larger stores, a live blob counts as present if its
/// directory is: checking the content of each would take longer than the rest of a run, and is left to a
/// verification.
const CHECKED_LIVE_BLOBS: u64 = 10_000;

/// How many blobs one task measures.
const BATCH: usize = 64;

/// Marks a blob that was measured and stays.
const NO_GARBAGE: u64 = u64::MAX;

/// Measures every blob that is garbage. The sizes of live blobs are known from the manifests that refer to them,
/// except for old manifests, which do not state them.
pub fn measure(
    storage: &dyn ReadStorage,
    inventory: &Inventory,
    reachable: &Reachable,
    recent_since: Option<SystemTime>,
    monitor: &dyn Monitor,
) -> Result<Sizes, Error> {
    let digests = &inventory.digests;
    let check_live = reachable.live.len() <= CHECKED_LIVE_BLOBS;
    let mut sizes = Sizes::default();
    let mut asked = Vec::new();
    for id in digests.stored_ids() {
        let (bytes, was_read) = reachable.manifests.known_size(digests, id);
        let is_live = reachable.live.contains(digests, id);
        if !is_live && reachable.released.as_ref().is_some_and(|released| !released.contains(digests, id)) {
            continue;
        }
        if !is_live || !was_read && (check_live || bytes == 0) {
            asked.push(UnreferencedBlob { id, bytes: 0 });
        } else {
            sizes.live_blobs += 1;
            sizes.live_bytes += bytes;
        }
    }
    monitor.phase(Phase::Measure, Some(asked.len() as u64));
    let shards = asked.chunk_by_mut(|a, b| digests.same_shard(a.id, b.id));
    let batches: Vec<&mut [UnreferencedBlob]> = shards.flat_map(|shard| shard.chunks_mut(BATCH)).collect();
    let measured = batches.into_par_iter().map(|batch| {
        let sizes = measure_batch(storage, inventory, reachable, recent_since, batch)?;
        monitor.advance(batch.len() as u64);
        monitor.check()?;
        Ok::<_, Error>(sizes)
    });
    sizes.add(measured.try_reduce(Sizes::default, |mut all, batch| {
        all.add(batch);
        Ok(all)
    })?);
    asked.retain(|blob| blob.bytes != NO_GARBAGE);
    sizes.unreferenced = asked;
    Ok(sizes)
}

/// Measures blobs that are in the same directory: records the sizes of garbage, and sums up those of live
/// and recent blobs.
fn measure_batch(
    storage: &dyn ReadStorage,
    inventory: &Inventory,
    reachable: &Reachable,
    recent_since: Option<SystemTime>,
    batch: &mut [UnreferencedBlob],
) -> Result<Sizes, Error> {
    let digests = &inventory.digests;
    let blobs: Vec<Digest> = batch.iter().map(|blob| digests.digest(blob.id)).collect();
    let keys: Vec<String> = blobs.iter().map(layout::data_below).collect();
    let mut sizes = Sizes::default();
    for (UnreferencedBlob { id, bytes }, data) in
        batch.iter_mut().zip(storage.stat_each(&layout::shard(&blobs[0]), &keys)?)
    {
        *bytes = NO_GARBAGE;
        match data {
            Some(data) if data.kind == EntryKind::BrokenSymlink => {
                return Err(Error::BrokenSymlink(layout::blob_data(&digests.digest(*id))));
            }
            Some(data) if data.kind != EntryKind::File => drop(sizes.without_content.insert(*id)),
            None => drop(sizes.without_content.insert(*id)),
            Some(data) if reachable.live.contains(digests, *id) => {
                sizes.live_blobs += 1;
                sizes.live_bytes += data.bytes;
            }
            Some(data) if recent_since.is_some_and(|since| data.may_be_recent(since)) => {
                sizes.young_blobs += 1;
                sizes.young_bytes += data.bytes;
            }
            Some(data) => {
                *bytes = freed(inventory, *id, &data);
                sizes.hard_linked_bytes += if data.posix.is_some_and(|posix| posix.hard_linked) { *bytes } else { 0 };
            }
        }
    }
    Ok(sizes)
}

/// Returns how many bytes deleting a blob frees.
fn freed(inventory: &Inventory, id: DigestId, data: &Metadata) -> u64 {
    let is_elsewhere = data.symlink || inventory.symlinked_blobs.binary_search(&id).is_ok();
    if is_elsewhere { 0 } else { data.bytes }
}

/// Returns how many bytes deleting each of these blobs frees; `None` for one without content. They are in the order of their digests.
pub(crate) fn freed_each(
    storage: &dyn ReadStorage,
    inventory: &Inventory,
    blobs: &[DigestId],
    monitor: &dyn Monitor,
) -> Result<Vec<Option<u64>>, Error> {
    let digests = &inventory.digests;
    let shards = blobs.chunk_by(|a, b| digests.same_shard(*a, *b));
    let batches: Vec<&[DigestId]> = shards.flat_map(|shard| shard.chunks(BATCH)).collect();
    let measured = batches.into_par_iter().map(|batch| {
        monitor.check()?;
        let of_batch: Vec<Digest> = batch.iter().map(|&id| digests.digest(id)).collect();
        let keys: Vec<String> = of_batch.iter().map(layout::data_below).collect();
        let found = storage.stat_each(&layout::shard(&of_batch[0]), &keys)?;
        let each = batch.iter().zip(found).map(|(&id, data)| match data {
            Some(data) if data.kind == EntryKind::BrokenSymlink => {
                Err(Error::BrokenSymlink(layout::blob_data(&digests.digest(id))))
            }
            Some(data) if data.kind == EntryKind::File => Ok(Some(freed(inventory, id, &data))),
            _ => Ok(None),
        });
        each.collect::<Result<Vec<_>, Error>>()
    });
    Ok(measured.collect::<Result<Vec<_>, Error>>()?.concat())
}
