//! Threads that wait for the storage.

use rayon::ThreadPoolBuilder;

use crate::error::Error;

/// The maximum number of threads for one call.
pub const MAX_JOBS: usize = 1024;

/// Runs `work` on that many threads of its own, at least one and at most [`MAX_JOBS`].
pub(crate) fn with_threads<T: Send>(jobs: usize, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    let jobs = jobs.clamp(1, MAX_JOBS);
    let pool = ThreadPoolBuilder::new().num_threads(jobs).build().map_err(|_| Error::Threads(jobs))?;
    pool.install(work)
}
