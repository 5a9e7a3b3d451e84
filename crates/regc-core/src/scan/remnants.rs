//! Remnants: files that interrupted copies, or a registry that was killed, left beside content and links.
//!
//! No registry reads them, but they take up space, and their directories cannot be deleted. They may be all that is
//! left of what was copied. So a remnant is deleted only if its name shows which file it was to become and if it is
//! old, and never if that file is needed and missing.

use rayon::prelude::*;
use rustc_hash::FxHashSet as HashSet;

use std::time::SystemTime;

use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout;
use crate::scan::Options;
use crate::scan::inventory::{DigestId, Inventory};
use crate::scan::mark::{GarbageFile, Reachable};
use crate::storage::{EntryKind, ReadStorage};

/// How many directories one task lists.
pub(crate) const BATCH: usize = 64;

/// Lists the remnants beside blobs, by path. Skips what is behind a symbolic link out of the storage root, unless the
/// blobs there may be deleted as well, and a blob's directory that is a symbolic link.
pub(crate) fn beside_blobs(
    storage: &dyn ReadStorage,
    inventory: &Inventory,
    reachable: &Reachable,
    options: &Options<'_>,
    monitor: &dyn Monitor,
) -> Result<Vec<GarbageFile>, Error> {
    let Some(before) = options.remnants_before() else { return Ok(Vec::new()) };
    let digests = &inventory.digests;
    let elsewhere = inventory.blobs_elsewhere.iter().filter(|_| !options.allow_symlinked_blobs);
    let mut left_out: HashSet<DigestId> = elsewhere.flat_map(|(_, blobs)| blobs).copied().collect();
    left_out.extend(&inventory.symlinked_blobs);
    let ids: Vec<DigestId> = digests.stored_ids().filter(|id| !left_out.contains(id)).collect();
    monitor.phase(Phase::Measure, Some(ids.len() as u64));
    let shards = ids.chunk_by(|a, b| digests.same_shard(*a, *b));
    let batches: Vec<&[DigestId]> = shards.flat_map(|shard| shard.chunks(BATCH)).collect();
    let found = batches.into_par_iter().map(|batch| {
        let blobs: Vec<Digest> = batch.iter().map(|&id| digests.digest(id)).collect();
        let directories: Vec<String> = blobs.iter().map(Digest::hex).collect();
        let is_needed = |number: usize| reachable.live.contains(digests, batch[number]);
        let beside = Beside { storage, above: &layout::shard(&blobs[0]), file: layout::DATA, before: Some(before) };
        let found = beside.list(&directories, is_needed)?;
        monitor.advance(batch.len() as u64);
        monitor.check()?;
        Ok(found)
    });
    let mut found = found.collect::<Result<Vec<_>, Error>>()?.concat();
    found.sort_unstable();
    Ok(found)
}

/// Whether `files`, which are sorted, contain this key.
pub(crate) fn has(files: &[GarbageFile], key: &str) -> bool {
    files.binary_search_by(|file| file.path.as_str().cmp(key)).is_ok()
}

/// Directories in which files may have been left.
pub(crate) struct Beside<'a> {
    pub(crate) storage: &'a dyn ReadStorage,
    /// A directory of directories that hold one file each.
    pub(crate) above: &'a str,
    /// The name of that file.
    pub(crate) file: &'a str,
    /// What was written at this time or later is kept.
    pub(crate) before: Option<SystemTime>,
}

impl Beside<'_> {
    /// Lists the remnants in some directories, given relative to `above`. If the file itself is missing and
    /// `is_needed`, its remnants are kept.
    pub(crate) fn list(
        &self,
        directories: &[String],
        is_needed: impl Fn(usize) -> bool,
    ) -> Result<Vec<GarbageFile>, Error> {
        let (mut found, mut is_there) = (Vec::new(), vec![false; directories.len()]);
        let listed = self.storage.list_each(self.above, directories, &mut |number, entry| {
            is_there[number] |= entry.name == self.file;
            let is_remnant = entry.kind == EntryKind::File && layout::is_remnant_of(self.file, entry.name);
            if is_remnant {
                found.push((number, format!("{}/{}", directories[number], entry.name)));
            }
        });
        listed.into_iter().try_for_each(|listed| listed.map(drop))?;
        found.retain(|(number, _)| is_there[*number] || !is_needed(*number));
        self.old(found.into_iter().map(|(_, key)| key).collect())
    }

    /// Returns those of some files that are old. `keys` are relative to `above`.
    pub(crate) fn old(&self, keys: Vec<String>) -> Result<Vec<GarbageFile>, Error> {
        let found = self.storage.stat_each(self.above, &keys)?;
        let old = keys.into_iter().zip(found).filter_map(|(key, found)| {
            let found = found.filter(|found| found.kind == EntryKind::File && !found.symlink)?;
            let path = format!("{}/{key}", self.above);
            self.before
                .is_none_or(|before| !found.may_be_recent(before))
                .then_some(GarbageFile { path, bytes: found.bytes })
        });
        Ok(old.collect())
    }
}
