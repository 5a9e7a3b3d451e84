//! Threads that wait for the storage.

use rayon::ThreadPoolBuilder;

use crate::error::Error;

/// Runs `work` on that many threads of its own.
pub(crate) fn with_threads<T: Send>(jobs: usize, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    let pool = ThreadPoolBuilder::new().num_threads(jobs).build().map_err(|_| Error::Threads(jobs))?;
    pool.install(work)
}
