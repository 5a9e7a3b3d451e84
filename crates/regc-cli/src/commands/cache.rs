//! Registry caches that still list deleted blobs.

use regc_core::Config;
use regc_core::registry::config::Cache;
use regc_core::stages::collect::probe;
use regc_core::stages::collect::probe::Answer;

use crate::output::printable;

/// Returns the cache that still lists what a run has just removed, if any. Redis outlives the registry; the in-memory
/// cache matters only if the registry was not stopped.
pub fn stale(config: &Config) -> Option<Cache> {
    let is_stale = match &config.cache {
        Cache::Redis { .. } => true,
        // A registry that cannot be probed may be running.
        Cache::InMemory => config.listener.as_ref().is_some_and(|listener| {
            probe::answers(listener).map_or(true, |answer| matches!(answer, Answer::Registry | Answer::Unclear(_)))
        }),
        _ => false,
    };
    is_stale.then(|| config.cache.clone())
}

/// Prints what to do about a stale cache. This is always printed: a registry that believes it has a blob accepts
/// images that cannot be pulled.
pub fn warn(cache: &Cache) {
    let advice = match cache {
        Cache::Redis { addresses, db } => {
            let at = if addresses.is_empty() { String::new() } else { format!(" at {}", addresses.join(", ")) };
            format!(
                "the registry's cache in Redis{at}, database {db}, still lists what was removed: empty that database (FLUSHDB) \
                 before the registry starts again or takes pushes"
            )
        }
        _ => "the running registry's memory still lists what was removed: restart it before it takes pushes".to_owned(),
    };
    eprintln!("regc: note: {}", printable(&advice));
}
