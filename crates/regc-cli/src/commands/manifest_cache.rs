//! Where it is remembered what manifests refer to.

use std::env;
use std::path::{Path, PathBuf};

use regc_core::registry::config::Driver;
use regc_core::registry::layout;
use regc_core::{Algorithm, Digest};

use crate::source::{Source, real};

/// Whether what manifests refer to is remembered, and where.
#[derive(clap::Args)]
pub struct ManifestCache {
    /// Cache in this directory what manifests refer to, so that the next run reads only new manifests. Default:
    /// .regc/manifests in the storage root; for a bucket, $XDG_CACHE_HOME/regc or ~/.cache/regc
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    cache: Option<PathBuf>,

    /// Read all manifests; neither read nor write the cache
    #[arg(long)]
    no_cache: bool,
}

impl ManifestCache {
    /// Returns the file for a store; `None` if nothing is to be remembered, or if there is no place for it.
    pub fn file(&self, source: &Source) -> Option<PathBuf> {
        match (self.no_cache, &self.cache, &source.config.driver) {
            (true, _, _) => None,
            (_, None, Driver::Filesystem { root }) => Some(root.join(layout::MANIFEST_CACHE)),
            (_, directory, _) => {
                Some(directory.clone().or_else(of_user)?.join(format!("{}.manifests", name(&source.root))))
            }
        }
    }
}

/// Returns the directory for a user's caches, as the XDG Base Directory Specification says.
pub fn of_user() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    Some(absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?.join("regc"))
}

/// Returns a name for the files of a store: stores on the same machine have different ones.
pub fn name(root: &Path) -> String {
    let root = real(root);
    let of_root = Digest::of(Algorithm::Sha256, root.as_os_str().as_encoded_bytes());
    of_root.hex()[..16].to_owned()
}
