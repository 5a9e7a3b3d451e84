//! A note that a run has removed something that the registry's cache in Redis may still list. It is written before the first
//! removal, and removed when the cache was told: a run that was killed, or could not reach Redis, is made up for by the next.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use regc_core::registry::config::{Cache, Config, Driver};
use regc_core::registry::layout;

use crate::commands::manifest_cache;

/// The note of a store, if its registry caches in Redis.
pub struct Owed {
    file: Option<PathBuf>,
    /// Whether an earlier run has left it.
    is_from_before: bool,
}

impl Owed {
    /// Looks for the note: in the store, or for a bucket in the user's cache directory.
    pub fn of(config: &Config, root: &Path) -> Self {
        let file = match (&config.cache, &config.driver) {
            (Cache::Redis { .. }, Driver::Filesystem { root }) => Some(root.join(layout::OWN).join("stale-cache")),
            (Cache::Redis { .. }, _) => manifest_cache::of_user()
                .map(|of_user| of_user.join(format!("{}.stale-cache", manifest_cache::name(root)))),
            _ => None,
        };
        let is_from_before = file.as_ref().is_some_and(|file| file.exists());
        Self { file, is_from_before }
    }

    /// Whether an earlier run has removed something without telling the cache.
    pub fn is_from_before(&self) -> bool {
        self.is_from_before
    }

    /// Writes the note, which belongs to whom its directory's directory does. On a full disk there is none, and the run goes on.
    pub fn write(&self) {
        let Some(file) = &self.file else { return };
        let Some(directory) = file.parent() else { return };
        fs::create_dir_all(directory).and_then(|()| fs::write(file, "")).ok();
        let Some(owner) = directory.parent().and_then(|above| above.metadata().ok()) else { return };
        for path in [directory, file] {
            chown(path, Some(owner.uid()), Some(owner.gid())).ok();
        }
    }

    /// Removes the note, since the cache was told.
    pub fn clear(&self) {
        if let Some(file) = &self.file {
            fs::remove_file(file).ok();
            // Only if nothing else is in it.
            file.parent().map(|directory| fs::remove_dir(directory).ok());
        }
    }
}
