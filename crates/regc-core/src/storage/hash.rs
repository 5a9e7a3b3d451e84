//! Hashes of the content of objects.

use std::ops::ControlFlow;

use super::ReadStorage;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::monitor::Monitor;

/// Returns the digest of the content at `key`; `None` if there is none.
///
/// Fails with [`Error::Interrupted`] if the monitor stops it.
pub(crate) fn hash(
    storage: &dyn ReadStorage,
    key: &str,
    algorithm: Algorithm,
    monitor: &dyn Monitor,
) -> Result<Option<Digest>, Error> {
    let stop = |_| monitor.check().map_or_else(ControlFlow::Break, ControlFlow::Continue);
    match hash_while(storage, key, algorithm, &mut { stop })? {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(digest) => Ok(digest),
    }
}

/// Returns the digest of the content at `key`; `None` if there is none. Calls `on_part` with the length of each part
/// after it is read; `on_part` may stop the hashing.
pub(crate) fn hash_while<B>(
    storage: &dyn ReadStorage,
    key: &str,
    algorithm: Algorithm,
    on_part: &mut dyn FnMut(usize) -> ControlFlow<B>,
) -> Result<ControlFlow<B, Option<Digest>>, Error> {
    match algorithm {
        Algorithm::Sha256 => hash_with::<sha2::Sha256, B>(storage, key, algorithm, on_part),
        Algorithm::Sha384 => hash_with::<sha2::Sha384, B>(storage, key, algorithm, on_part),
        Algorithm::Sha512 => hash_with::<sha2::Sha512, B>(storage, key, algorithm, on_part),
    }
}

fn hash_with<H: sha2::Digest, B>(
    storage: &dyn ReadStorage,
    key: &str,
    algorithm: Algorithm,
    on_part: &mut dyn FnMut(usize) -> ControlFlow<B>,
) -> Result<ControlFlow<B, Option<Digest>>, Error> {
    let mut hasher = H::new();
    let mut broken = None;
    let is_there = storage.read_in_parts(key, &mut |part| {
        hasher.update(part);
        match on_part(part.len()) {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(value) => {
                broken = Some(value);
                ControlFlow::Break(())
            }
        }
    })?;
    Ok(match broken {
        Some(value) => ControlFlow::Break(value),
        None => ControlFlow::Continue(is_there.then(|| Digest::from_bytes(algorithm, &hasher.finalize()))),
    })
}
