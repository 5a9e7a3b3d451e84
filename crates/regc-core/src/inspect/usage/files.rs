//! The lengths of the files below the directory of blobs.
//!
//! A blob's directory may hold more than its content, so each directory is listed, once, if that is requested. A
//! symbolic link takes up no space. A symbolic link in place of a directory of blob directories may lead to another
//! disk, so the blobs behind it are counted; other files behind it are not, since they may be found a second time under
//! their own names.

use std::cell::Cell;

use rayon::prelude::*;

use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout;
use crate::scan::Scan;
use crate::scan::inventory::DigestId;
use crate::storage::{Entry, EntryKind, ReadStorage, directories};

/// The lengths of files.
pub(super) struct Files {
    /// The length of every blob's content, in the order of their digests.
    pub(super) sizes: Vec<u64>,
    /// The total length of all files that are not a blob's content.
    pub(super) other: u64,
}

/// How many blob directories one task lists.
const BATCH: usize = 64;

/// Measures all files below the directory of blobs.
///
/// `every_file` tells whether to count those beside the content of each blob.
pub(super) fn measure(
    storage: &dyn ReadStorage,
    scan: &Scan,
    every_file: bool,
    monitor: &dyn Monitor,
) -> Result<Files, Error> {
    let digests = &scan.inventory.digests;
    let ids: Vec<DigestId> = digests.stored_ids().collect();
    monitor.phase(Phase::Measure, Some(ids.len() as u64));
    let measuring = Measuring { storage, scan, every_file };
    let (symlinks, beside) = measuring.beside_blobs()?;
    let shards = ids.chunk_by(|a, b| digests.same_shard(*a, *b));
    let batches: Vec<&[DigestId]> = shards.flat_map(|shard| shard.chunks(BATCH)).collect();
    let measured: Vec<Files> = batches
        .into_par_iter()
        .map(|batch| {
            let files = measuring.blobs(batch, &symlinks)?;
            monitor.advance(batch.len() as u64);
            monitor.check()?;
            Ok(files)
        })
        .collect::<Result<_, Error>>()?;
    let other = beside + measured.iter().map(|files| files.other).sum::<u64>();
    let sizes = measured.into_iter().flat_map(|files| files.sizes).collect();
    Ok(Files { sizes, other })
}

struct Measuring<'a> {
    storage: &'a dyn ReadStorage,
    scan: &'a Scan,
    every_file: bool,
}

impl Measuring<'_> {
    /// Measures blobs in the same directory, and what is next to their content.
    fn blobs(&self, batch: &[DigestId], symlinks: &[String]) -> Result<Files, Error> {
        let Scan { inventory, sizes: known, .. } = self.scan;
        let blobs: Vec<Digest> = batch.iter().map(|&id| inventory.digests.digest(id)).collect();
        let shard = layout::shard(&blobs[0]);
        let is_symlink = symlinks.iter().any(|link| *link == shard || *link == layout::blobs(blobs[0].algorithm()));
        let mut files = Files { sizes: vec![0; batch.len()], other: 0 };
        let mut asked = Vec::new();
        for (index, (&id, blob)) in batch.iter().zip(&blobs).enumerate() {
            if inventory.symlinked_blobs.binary_search(&id).is_ok() {
                continue;
            }
            if self.every_file && !is_symlink {
                files.other += self.beside_content(&layout::blob(blob))?;
            }
            match known.unreferenced.binary_search_by_key(&id, |blob| blob.id) {
                Ok(garbage) => files.sizes[index] = known.unreferenced[garbage].bytes,
                Err(_) => asked.push(index),
            }
        }
        let keys: Vec<String> = asked.iter().map(|&index| layout::data_below(&blobs[index])).collect();
        for (index, data) in asked.into_iter().zip(self.storage.stat_each(&shard, &keys)?) {
            let data = data.filter(|data| data.kind == EntryKind::File && !data.symlink);
            files.sizes[index] = data.map_or(0, |data| data.bytes);
        }
        Ok(files)
    }

    /// Returns the total length of the files in a blob's directory that are not its content.
    fn beside_content(&self, directory: &str) -> Result<u64, Error> {
        let (mut has_data, mut has_more) = (false, false);
        self.storage.list(directory, &mut |Entry { name, kind, symlink }| match kind {
            EntryKind::File if name == layout::DATA => has_data = !symlink,
            _ => has_more |= !symlink,
        })?;
        match has_more {
            true => self.storage.bytes_below(directory, &|name| has_data && name == layout::DATA),
            false => Ok(0),
        }
    }

    /// Returns the directories of algorithms and the shards that are symbolic links, and the total length of all
    /// files that are not in a blob's directory.
    fn beside_blobs(&self) -> Result<(Vec<String>, u64), Error> {
        let (algorithms, mut bytes) = self.parts(layout::BLOBS, |name| Algorithm::from_name(name).is_some())?;
        let mut symlinks = Vec::new();
        let mut shards = Vec::new();
        for (name, symlink) in algorithms {
            let directory = format!("{}/{name}", layout::BLOBS);
            if symlink {
                symlinks.push(directory);
                continue;
            }
            let (found, beside) = self.parts(&directory, layout::is_shard)?;
            bytes += beside;
            for (prefix, symlink) in found {
                let shard = format!("{directory}/{prefix}");
                if symlink {
                    symlinks.push(shard);
                } else {
                    shards.extend(Algorithm::from_name(&name).map(|algorithm| (algorithm, prefix, shard)));
                }
            }
        }
        // If no name was ignored, the inventory contains everything in the shards.
        if self.scan.inventory.ignored > 0 {
            let is_blob = |algorithm, prefix: &str, name: &str| {
                name.starts_with(prefix) && Digest::from_hex(algorithm, name).is_some()
            };
            let beside = shards.into_par_iter().map(|(algorithm, prefix, shard)| {
                self.parts(&shard, |name| is_blob(algorithm, &prefix, name)).map(|(_, beside)| beside)
            });
            bytes += beside.sum::<Result<u64, Error>>()?;
        }
        Ok((symlinks, bytes))
    }

    /// Returns the directories in `directory` that are part of the layout, sorted, and whether each is a symbolic
    /// link; and the total length of all files that are not below one of them.
    fn parts(&self, directory: &str, is_part: impl Fn(&str) -> bool) -> Result<(Vec<(String, bool)>, u64), Error> {
        let has_more = Cell::new(false);
        let part = |name: &str| is_part(name).then(|| name.to_owned());
        let mut parts = directories(self.storage, directory, part, || has_more.set(true))?;
        parts.sort_unstable();
        let is_known = |name: &str| parts.binary_search_by(|(part, _)| part.as_str().cmp(name)).is_ok();
        let beside = if has_more.get() { self.storage.bytes_below(directory, &is_known)? } else { 0 };
        Ok((parts, beside))
    }
}
