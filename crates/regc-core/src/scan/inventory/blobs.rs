//! The directories of blobs: `blobs/<algorithm>/<first two hex>/<hex>`.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::Walk;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::registry::layout;
use crate::storage::{Hashes, each_directory_of_digest};
use crate::sync::Mutex;

/// The blobs of a store, in no particular order.
#[derive(Default)]
pub(super) struct Blobs {
    /// Blobs named by SHA-256, as bare hashes: there may be very many.
    pub(super) sha256: Vec<[u8; 32]>,
    /// More of them, which the storage holds in memory.
    pub(super) held: Vec<Hashes>,
    /// Blobs named by another algorithm.
    pub(super) otherwise: Vec<Digest>,
    /// Blobs whose directory is a symbolic link.
    pub(super) symlinked: Vec<Digest>,
    /// Blobs below a directory that is a symbolic link out of the storage root, by that directory.
    pub(super) elsewhere: BTreeMap<String, Vec<Digest>>,
}

/// How many digests a directory adds to the list at once.
const AT_ONCE: usize = 256;

impl Walk<'_> {
    /// Lists all blobs.
    pub(super) fn blobs(&self) -> Result<Blobs, Error> {
        let mut shards = Vec::new();
        let is_symlink = self.storage.stat(layout::BLOBS)?.is_some_and(|blobs| blobs.symlink);
        let all_elsewhere = self.elsewhere(layout::BLOBS, is_symlink, "..")?;
        for (algorithm, symlink) in self.directories(layout::BLOBS, Algorithm::from_name)? {
            let directory = layout::blobs(algorithm);
            let elsewhere = all_elsewhere.clone().or(self.elsewhere(&directory, symlink, "../..")?);
            let is_shard = |name: &str| layout::is_shard(name).then(|| name.to_owned());
            for (prefix, symlink) in self.directories(&directory, is_shard)? {
                let shard = self.elsewhere(&format!("{directory}/{prefix}"), symlink, "../../..")?;
                shards.push((algorithm, prefix, elsewhere.clone().or(shard)));
            }
        }
        // All directories add to the same list, so that nothing of the store's size is held in memory twice.
        let blobs = Mutex::default();
        shards.into_par_iter().try_for_each(|(algorithm, prefix, elsewhere)| {
            self.shard(algorithm, &prefix, elsewhere.as_deref(), &blobs)
        })?;
        Ok(blobs.into_inner())
    }

    /// Returns the directory itself if it is a symbolic link out of the storage root.
    ///
    /// Fails if it leads to the blobs of another store with repositories of its own. `above` is the path from the
    /// directory to the one that would hold those.
    fn elsewhere(&self, directory: &str, symlink: bool, above: &str) -> Result<Option<String>, Error> {
        if !symlink {
            return Ok(None);
        }
        self.refuse_blobs_of_another_store(directory, above)?;
        Ok(self.leads_out(directory)?.then(|| directory.to_owned()))
    }

    fn shard(
        &self,
        algorithm: Algorithm,
        prefix: &str,
        elsewhere: Option<&str>,
        blobs: &Mutex<Blobs>,
    ) -> Result<(), Error> {
        // No registry looks for a blob below the wrong prefix.
        let blob = |name: &str| Digest::from_hex(algorithm, name).filter(|_| name.starts_with(prefix));
        self.monitor.check()?;
        let directory = format!("{}/{prefix}", layout::blobs(algorithm));
        let mut sha256 = Vec::with_capacity(AT_ONCE);
        let mut count = 0;
        let visit = |digest: Digest, symlink| {
            count += 1;
            match digest.as_sha256() {
                Some(hash) => sha256.push(*hash),
                None => blobs.lock().otherwise.push(digest),
            }
            if symlink {
                blobs.lock().symlinked.push(digest);
            }
            if let Some(elsewhere) = elsewhere {
                blobs.lock().elsewhere.entry(elsewhere.to_owned()).or_default().push(digest);
            }
            if sha256.len() == AT_ONCE {
                blobs.lock().sha256.append(&mut sha256);
            }
        };
        // Only a file system has blobs elsewhere, and it holds none in memory.
        if algorithm == Algorithm::Sha256 && elsewhere.is_none() {
            let held = each_directory_of_digest(self.storage, &directory, blob, visit, || self.pass_over())?;
            let is_blob = |hash: &[u8; 32]| hex::encode(&hash[..1]) == prefix;
            for hashes in held {
                // Where the first and the last one begin with the same byte, so do all between them.
                let all_are = hashes.first().is_some_and(is_blob) && hashes.last().is_some_and(is_blob);
                let in_place = if all_are {
                    hashes.clone()
                } else {
                    hashes.iter().copied().filter(is_blob).collect::<Vec<_>>().into()
                };
                (in_place.len()..hashes.len()).for_each(|_| self.pass_over());
                count += in_place.len() as u64;
                blobs.lock().held.push(in_place);
            }
        } else {
            self.each_directory(&directory, blob, visit)?;
        }
        blobs.lock().sha256.append(&mut sha256);
        if count == 0 {
            self.note_empty(&directory);
        }
        self.monitor.advance(count);
        Ok(())
    }
}
