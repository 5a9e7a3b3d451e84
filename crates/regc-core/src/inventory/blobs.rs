//! The directories of blobs: `blobs/<algorithm>/<first two hex>/<hex>`.

use rayon::prelude::*;

use super::Walk;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::layout;

/// The blobs below one of the directories `blobs/<algorithm>/<first two hex>`.
pub(super) struct Shard {
    pub(super) digests: Vec<Digest>,
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
        Ok(Shard {
            symlinked: found.iter().filter(|(_, symlink)| *symlink).map(|(digest, _)| *digest).collect(),
            digests: found.into_iter().map(|(digest, _)| digest).collect(),
        })
    }
}
