//! The unfinished uploads of a store.

use rayon::prelude::*;

use crate::error::Error;
use crate::monitor::Monitor;
pub use crate::scan::uploads::Upload;
use crate::storage::ReadStorage;
use crate::threads::with_threads;

/// Lists the unfinished uploads of these repositories, in the same order. Uploads behind symbolic links are left out.
pub fn uploads(
    storage: &dyn ReadStorage,
    repositories: &[&str],
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<Vec<Upload>, Error> {
    with_threads(jobs, || {
        let of_repository = |repository: &&str| {
            monitor.check()?;
            Ok(crate::scan::uploads::uploads(storage, repository)?.all)
        };
        Ok(repositories.par_iter().map(of_repository).collect::<Result<Vec<_>, Error>>()?.concat())
    })
}
