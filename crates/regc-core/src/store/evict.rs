//! Removes from the registry's cache in Redis what is no longer in the storage. The storage itself is not changed.

use super::Store;
use crate::descriptor_cache::{self, Entry};
use crate::error::Error;
use crate::monitor::Monitor;
use crate::registry::config::{Cache, Redis};

impl Store {
    /// Removes entries from the registry's cache in Redis, and returns how many keys and members of sets were removed:
    /// 0 if the configuration has no such cache.
    ///
    /// [`Entry::of`] returns the entries for what a plan deletes. Removing more than that is harmless: the registry
    /// reads from the storage what is not in its cache. Call this after the storage has changed: earlier, a registry
    /// that serves pulls would cache the entries again.
    ///
    /// Fails with [`Error::Cache`] if Redis cannot be reached, or refuses the request.
    pub fn evict<'a>(&self, entries: impl IntoIterator<Item = Entry<'a>>) -> Result<u64, Error> {
        match self.redis() {
            Some(redis) => descriptor_cache::evict(redis, entries.into_iter()),
            None => Ok(0),
        }
    }

    /// Lists the entries of the registry's cache in Redis for which the storage has no blob, or no link, sorted: what
    /// earlier collections left there. Reads the whole cache, and queries the storage once or twice for each entry.
    /// Empty if the configuration has no such cache.
    ///
    /// Fails as [`evict`](Self::evict) does.
    pub fn stale_entries(&self, monitor: &dyn Monitor) -> Result<Vec<Entry<'static>>, Error> {
        match self.redis() {
            Some(redis) => descriptor_cache::stale(redis, self.as_it_is(), self.threads(), monitor),
            None => Ok(Vec::new()),
        }
    }

    fn redis(&self) -> Option<&Redis> {
        matches!(self.config.cache, Cache::Redis { .. }).then_some(&self.config.redis)
    }
}
