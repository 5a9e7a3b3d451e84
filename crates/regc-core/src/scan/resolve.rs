//! What names stand for in a store.

#[cfg(feature = "patterns")]
mod patterns;

#[cfg(feature = "patterns")]
pub use self::patterns::resolve;
use crate::error::Error;
use crate::monitor::Monitor;
use crate::registry::layout;
use crate::scan::inventory;
use crate::storage::ReadStorage;
use crate::threads::with_threads;

/// Returns the name of the repository whose directory is at `path`, relative to the storage root or to the directory
/// of all repositories.
///
/// Fails with [`Error::NothingMatches`] if it is not a repository.
pub fn repository_at(
    storage: &dyn ReadStorage,
    path: &str,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<String, Error> {
    let name = path.trim_matches('/');
    let name = name.strip_prefix(layout::REPOSITORIES).map_or(name, |below| below.trim_start_matches('/'));
    let names = with_threads(jobs, || inventory::repository_names(storage, monitor))?;
    names.into_iter().find(|found| found == name).ok_or_else(|| Error::NothingMatches(path.to_owned()))
}
