//! How much the blobs hold.

use std::collections::HashSet;

use rayon::prelude::*;

use crate::error::Error;
use crate::inventory::{DigestId, Inventory};
use crate::layout;
use crate::mark::Reachable;
use crate::monitor::{Monitor, Phase};
use crate::storage::{EntryKind, ReadStorage};

/// A blob that nothing refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreferencedBlob {
    /// Its digest.
    pub id: DigestId,
    /// What removing it gives back: the length of its content, or 0 where a symbolic link says that it is elsewhere.
    pub bytes: u64,
}

/// The blobs of a store, live and not.
#[derive(Debug, Default)]
pub struct Sizes {
    /// The blobs that are garbage, in the order of their digests.
    pub unreferenced: Vec<UnreferencedBlob>,
    /// How many blobs are live.
    pub live_blobs: u64,
    /// How long their contents are together.
    pub live_bytes: u64,
    /// Digests with a directory but without content.
    pub(crate) without_content: HashSet<DigestId>,
}

/// How many blobs one task looks at.
const BATCH: usize = 256;

/// Asks for the size of every blob.
pub fn measure(
    storage: &dyn ReadStorage,
    inventory: &Inventory,
    reachable: &Reachable,
    monitor: &dyn Monitor,
) -> Result<Sizes, Error> {
    let digests = &inventory.digests;
    let ids: Vec<DigestId> = digests.stored_ids().collect();
    monitor.phase(Phase::Measure, Some(ids.len() as u64));
    let batches: Vec<Sizes> = ids
        .par_chunks(BATCH)
        .map(|batch| {
            let mut sizes = Sizes::default();
            for &id in batch {
                let data = storage.stat(&layout::blob_data(&digests.digest(id)))?;
                let Some(data) = data.filter(|data| data.kind == EntryKind::File) else {
                    sizes.without_content.insert(id);
                    continue;
                };
                if reachable.live.contains(digests, id) {
                    sizes.live_blobs += 1;
                    sizes.live_bytes += data.bytes;
                } else {
                    let is_elsewhere = data.symlink || inventory.symlinked_blobs.binary_search(&id).is_ok();
                    sizes.unreferenced.push(UnreferencedBlob { id, bytes: if is_elsewhere { 0 } else { data.bytes } });
                }
            }
            monitor.advance(batch.len() as u64);
            Ok(sizes)
        })
        .collect::<Result<_, Error>>()?;
    let mut sizes = Sizes::default();
    for batch in batches {
        sizes.unreferenced.extend(batch.unreferenced);
        sizes.without_content.extend(batch.without_content);
        sizes.live_blobs += batch.live_blobs;
        sizes.live_bytes += batch.live_bytes;
    }
    Ok(sizes)
}
