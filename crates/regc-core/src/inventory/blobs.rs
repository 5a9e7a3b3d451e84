//! The directories of blobs: `blobs/<algorithm>/<first two hex>/<hex>`.

use rayon::prelude::*;

use super::Walk;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::layout;

/// The blobs below one of the directories `blobs/<algorithm>/<first two hex>`.
pub(super) struct Shard {
    /// Those named by SHA-256, without the rest of a digest: there may be very many.
    pub(super) sha256: Vec<[u8; 32]>,
    /// Those named by another algorithm.
    pub(super) otherwise: Vec<Digest>,
    /// Those among them whose directory is a symbolic link.
    pub(super) symlinked: Vec<Digest>,
}

impl Walk<'_> {
    /// Lists all blobs.
    pub(super) fn blobs(&self) -> Result<Vec<Shard>, Error> {
        let mut shards = Vec::new();
        for (algorithm, _) in self.directories(layout::BLOBS, Algorithm::from_name)? {
            let is_shard = |name: &str| layout::is_shard(name).then(|| name.to_owned());
            for (prefix, _) in self.directories(&layout::blobs(algorithm), is_shard)? {
                shards.push((algorithm, prefix));
            }
        }
        shards.into_par_iter().map(|(algorithm, prefix)| self.shard(algorithm, &prefix)).collect()
    }

    fn shard(&self, algorithm: Algorithm, prefix: &str) -> Result<Shard, Error> {
        // A blob below the wrong prefix is where no registry looks for it.
        let blob = |name: &str| Digest::from_hex(algorithm, name).filter(|_| name.starts_with(prefix));
        let found = self.directories(&format!("{}/{prefix}", layout::blobs(algorithm)), blob)?;
        self.monitor.advance(found.len() as u64);
        let mut shard = Shard { sha256: Vec::with_capacity(found.len()), otherwise: Vec::new(), symlinked: Vec::new() };
        for (digest, symlink) in found {
            match digest.as_sha256() {
                Some(hash) => shard.sha256.push(*hash),
                None => shard.otherwise.push(digest),
            }
            shard.symlinked.extend(symlink.then_some(digest));
        }
        Ok(shard)
    }
}
