//! What a registry still remembers of deleted blobs.

use regc_core::registry::config::Cache;

use crate::output::printable;

/// Says what to do about it. This is printed whatever else is not: a registry that believes to have a blob accepts images
/// that cannot be pulled.
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
