//! How long a storage takes to answer, which determines how many threads help.
//!
//! If the answers are in memory, more than a few threads slow each other down. If a disk or a network answers, threads
//! wait, and many of them can wait at once.

use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::registry::layout;
use crate::storage::{ReadStorage, directories};

use super::DEFAULT_JOBS;

/// In how many directories of blobs, and for how many in each, it is measured.
const SHARDS: usize = 16;
const IN_EACH: usize = 8;

/// An answer that takes longer than this comes from elsewhere than memory: there it takes 2 to 10 µs, and from the
/// fastest disks 60.
const SLOW: Duration = Duration::from_micros(30);

/// Returns how many threads help: measured on some of the store's blobs.
pub(super) fn helpful_threads(storage: &dyn ReadStorage) -> usize {
    if storage.is_remote() || is_slow(storage).unwrap_or(true) {
        return DEFAULT_JOBS;
    }
    // Something is always read from elsewhere.
    available_parallelism().map_or(1, |cores| cores.get() * 8).clamp(8, DEFAULT_JOBS)
}

/// Whether answers come slowly from most directories: in some, another program may have been in the way. Stops asking
/// once that is clear.
fn is_slow(storage: &dyn ReadStorage) -> Result<bool, Error> {
    let blobs = layout::blobs(Algorithm::Sha256);
    let shards = directories(storage, &blobs, |name| layout::is_shard(name).then(|| name.to_owned()), || ())?;
    let mut slow = 0;
    for (shard, _) in shards.iter().step_by(shards.len().div_ceil(SHARDS).max(1)) {
        let directory = format!("{blobs}/{shard}");
        let found = directories(storage, &directory, |name| Digest::from_hex(Algorithm::Sha256, name), || ())?;
        let some = found.iter().step_by(found.len().div_ceil(IN_EACH).max(1));
        let keys: Vec<String> = some.map(|(digest, _)| layout::data_below(digest)).collect();
        let began = Instant::now();
        storage.stat_each(&directory, &keys)?;
        slow += usize::from(began.elapsed() > SLOW * keys.len() as u32);
        if slow > SHARDS / 2 {
            return Ok(true);
        }
    }
    Ok(false)
}
