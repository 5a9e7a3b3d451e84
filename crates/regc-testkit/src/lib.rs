//! Registries made for tests, in a few lines each.
//!
//! ```
//! use regc_testkit::TestRegistry;
//!
//! let mut registry = TestRegistry::new();
//! registry.image("team/app:v1").layers(["base", "old"]).push();
//! registry.image("team/app:v1").layers(["base", "new"]).push(); // "old" is now reachable only from an untagged manifest
//! ```
//!
//! A layer's name determines its content, so digests are the same in every run, and [`TestRegistry::with_names`] puts
//! the names back into a text. A registry can be written to a directory, or used as storage in memory.

pub mod at;
pub mod bucket;
mod builder;
pub mod fixture;
pub mod generate;
pub mod oci_layout;
pub mod oracle;
pub mod peer;
pub mod redis;
pub mod scenario;
pub mod soak;
pub mod tmux;
pub mod wrapped;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use regc_core::registry::layout;
use regc_core::storage::memory::MemoryStorage;
use regc_core::{Algorithm, Digest};

pub use builder::{ImageBuilder, IndexBuilder, MediaTypes};

/// A registry's storage, as a registry would have written it.
#[derive(Clone, Debug, Default)]
pub struct TestRegistry {
    objects: BTreeMap<String, Vec<u8>>,
    empty_directories: BTreeSet<String>,
    names: BTreeMap<Digest, String>,
}

/// Returns the content of the layer called `name`.
pub fn layer_content(name: &str) -> Vec<u8> {
    format!("layer {name}\n").into_bytes()
}

/// Returns the digest of the layer called `name`.
pub fn layer(name: &str) -> Digest {
    sha256(&layer_content(name))
}

/// Returns the SHA-256 digest of a content.
pub fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

impl TestRegistry {
    /// Returns an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins an image, to push to `repository` or `repository:tag`.
    pub fn image(&mut self, reference: &str) -> ImageBuilder<'_> {
        ImageBuilder::new(self, reference)
    }

    /// Begins an index, to push to `repository` or `repository:tag`.
    pub fn index(&mut self, reference: &str) -> IndexBuilder<'_> {
        IndexBuilder::new(self, reference)
    }

    /// Pushes any text as a manifest to `repository` or `repository:tag`, without checks.
    pub fn manifest(&mut self, reference: &str, content: impl Into<Vec<u8>>) -> Digest {
        let (repository, tag) = split(reference);
        let digest = self.blob(content);
        self.names.insert(digest, format!("manifest {reference}"));
        self.put(layout::revision_link(repository, &digest), digest.to_string());
        if let Some(tag) = tag {
            self.tag(repository, tag, &digest);
        }
        digest
    }

    /// Makes `tag` name a manifest.
    pub fn tag(&mut self, repository: &str, tag: &str, digest: &Digest) {
        self.put(layout::tag_index_link(repository, tag, digest), digest.to_string());
        self.put(layout::tag_link(repository, tag), digest.to_string());
    }

    /// Stores content without any link to it.
    pub fn blob(&mut self, content: impl Into<Vec<u8>>) -> Digest {
        let content = content.into();
        let digest = sha256(&content);
        self.put(layout::blob_data(&digest), content);
        digest
    }

    /// Stores the layer called `name`, and links it in a repository.
    pub fn layer(&mut self, repository: &str, name: &str) -> Digest {
        let digest = self.blob(layer_content(name));
        self.names.insert(digest, format!("layer {name}"));
        self.link_layer(repository, &digest);
        digest
    }

    /// Links a blob in a repository.
    pub fn link_layer(&mut self, repository: &str, digest: &Digest) {
        self.put(layout::layer_link(repository, digest), digest.to_string());
    }

    /// Deletes a manifest as the API does: its link and the tags that name it are deleted, its directory and its
    /// entries in other tags' indexes stay.
    pub fn delete(&mut self, repository: &str, digest: &Digest) {
        self.remove(&layout::revision_link(repository, digest));
        self.empty_directories.insert(layout::revision(repository, digest));
        let text = digest.to_string();
        let tags = format!("{}/", layout::tags(repository));
        let named: Vec<String> = self
            .objects
            .iter()
            .filter(|(key, content)| {
                key.starts_with(&tags) && key.ends_with("/current/link") && **content == text.as_bytes()
            })
            .filter_map(|(key, _)| key[tags.len()..].split('/').next().map(str::to_owned))
            .collect();
        for tag in named {
            self.untag(repository, &tag);
        }
    }

    /// Removes a tag with its index.
    pub fn untag(&mut self, repository: &str, tag: &str) {
        let prefix = format!("{}/{tag}/", layout::tags(repository));
        self.objects.retain(|key, _| !key.starts_with(&prefix));
        self.empty_directories.insert(layout::tags(repository));
    }

    /// Begins an upload to a repository and abandons it.
    pub fn upload(&mut self, repository: &str, id: &str) {
        let directory = format!("{}/{}/{id}", layout::repository(repository), layout::UPLOADS);
        self.put(format!("{directory}/startedat"), "2026-01-01T00:00:00Z");
        self.put(format!("{directory}/data"), "the first half");
    }

    /// Stores `content` at `key`, and replaces what was there.
    pub fn put(&mut self, key: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.objects.insert(key.into(), content.into());
    }

    /// Removes the object at `key`, which must exist, and returns its content.
    pub fn remove(&mut self, key: &str) -> Vec<u8> {
        self.objects.remove(key).unwrap_or_else(|| panic!("{key} is not there"))
    }

    /// Returns the content at `key`.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.objects.get(key).map(Vec::as_slice)
    }

    /// Returns the length of a blob in bytes; 1 if there is no such blob.
    fn stored_bytes(&self, digest: &Digest) -> usize {
        self.get(&layout::blob_data(digest)).map_or(1, <[u8]>::len)
    }

    /// Lists all keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.objects.keys().map(String::as_str)
    }

    /// Replaces every digest in `text` that has a name by that name.
    pub fn with_names(&self, text: &str) -> String {
        let replace =
            |text: String, (digest, name): (&Digest, &String)| text.replace(&digest.to_string(), &format!("<{name}>"));
        self.names.iter().fold(text.to_owned(), replace)
    }

    /// Returns the registry as storage in memory: with directories, as in a file system, or flat, as in a bucket.
    pub fn in_memory(&self, directories: bool) -> MemoryStorage {
        let storage: MemoryStorage = self.objects.iter().map(|(key, content)| (key.clone(), content.clone())).collect();
        if !directories {
            return storage.without_directories();
        }
        self.empty_directories.iter().for_each(|directory| storage.make_directory(directory));
        storage
    }

    /// Writes the registry below `root`.
    pub fn write_to(&self, root: &Path) {
        for directory in &self.empty_directories {
            fs::create_dir_all(root.join(directory)).expect("a directory can be made");
        }
        for (key, content) in &self.objects {
            let path = root.join(key);
            fs::create_dir_all(path.parent().expect("a key has a parent")).expect("a directory can be made");
            fs::write(path, content).expect("a file can be written");
        }
    }

    /// Writes the registry to a directory that is deleted when it is dropped.
    pub fn on_disk(&self) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary directory can be made");
        self.write_to(root.path());
        root
    }
}

/// Lists the keys of all files below `root`.
pub fn files_below(root: &Path) -> BTreeSet<String> {
    walkdir::WalkDir::new(root)
        .into_iter()
        .map(|entry| entry.expect("a test's directory can be walked"))
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| entry.path().strip_prefix(root).expect("below the root").display().to_string())
        .collect()
}

/// Lists the digests of the blobs below `root`.
pub fn blobs_below(root: &Path) -> BTreeSet<Digest> {
    files_below(root).iter().filter_map(|key| blob_of(key)).collect()
}

/// Returns the digest of the blob whose content is at `key`.
pub fn blob_of(key: &str) -> Option<Digest> {
    let rest = key.strip_prefix(layout::BLOBS)?.strip_prefix('/')?.strip_suffix("/data")?;
    let (algorithm, rest) = rest.split_once('/')?;
    Digest::from_hex(Algorithm::from_name(algorithm)?, rest.split_once('/')?.1)
}

fn split(reference: &str) -> (&str, Option<&str>) {
    match reference.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (reference, None),
    }
}
