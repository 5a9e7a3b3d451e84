//! What a plan deletes: single items, and their number and length.

use std::ops::AddAssign;

use serde::Serialize;

use crate::digest::Digest;
use crate::registry::layout;

/// One thing that is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item<'a> {
    /// An entry in a tag's index: the tag once named this manifest.
    TagIndexEntry {
        /// The repository.
        repository: &'a str,
        /// The tag.
        tag: &'a str,
        /// The manifest.
        digest: Digest,
    },
    /// A tag.
    Tag {
        /// The repository.
        repository: &'a str,
        /// The tag.
        tag: &'a str,
        /// The manifest that it names; `None` if the tag is garbled.
        digest: Option<Digest>,
    },
    /// A revision: a repository's link to a manifest.
    Revision {
        /// The repository.
        repository: &'a str,
        /// The manifest.
        digest: Digest,
        /// The signatures that are deleted with it; only registry 2.0 to 2.3 wrote any.
        signatures: Vec<Digest>,
        /// Whether its directory is kept as proof that the manifest was here.
        #[serde(skip)]
        is_remembered: bool,
    },
    /// A layer link, through which a repository serves a blob.
    LayerLink {
        /// The repository.
        repository: &'a str,
        /// The blob.
        digest: Digest,
    },
    /// The content of a blob.
    Blob {
        /// Its digest.
        digest: Digest,
        /// What this frees, in bytes.
        bytes: u64,
    },
    /// An unfinished upload.
    Upload {
        /// The repository.
        repository: &'a str,
        /// The upload's name.
        upload: &'a str,
        /// What this frees, in bytes.
        bytes: u64,
        /// The keys of its files, below its directory.
        #[serde(skip)]
        files: &'a [String],
    },
    /// A single file: one that an interrupted copy left, or a link by which the registry of the ORAS project finds a
    /// referrer.
    File {
        /// The repository; `None` for a file beside a blob.
        repository: Option<&'a str>,
        /// Its key.
        path: &'a str,
        /// What this frees, in bytes; 0 for a link.
        bytes: u64,
    },
    /// The repository itself, once nothing is left in it.
    Repository {
        /// The repository.
        repository: &'a str,
    },
}

impl<'a> Item<'a> {
    /// Returns the keys of its objects, a link before what it points at.
    pub(crate) fn keys(&self) -> Vec<String> {
        match self {
            Item::TagIndexEntry { repository, tag, digest } => vec![layout::tag_index_link(repository, tag, digest)],
            Item::Revision { repository, digest, signatures, .. } => {
                let signatures =
                    signatures.iter().map(|signature| layout::signature_link(repository, digest, signature));
                std::iter::once(layout::revision_link(repository, digest)).chain(signatures).collect()
            }
            Item::LayerLink { repository, digest } => vec![layout::layer_link(repository, digest)],
            Item::Blob { digest, .. } => vec![layout::blob_data(digest)],
            Item::Tag { repository, tag, .. } => vec![layout::tag_link(repository, tag)],
            Item::Upload { repository, upload, files, .. } => {
                files.iter().map(|file| layout::upload_file(repository, upload, file)).collect()
            }
            Item::File { path, .. } => vec![path.to_string()],
            Item::Repository { .. } => Vec::new(),
        }
    }

    /// Returns the repository that it is in, if it is in one.
    pub(super) fn repository(&self) -> Option<&'a str> {
        match self {
            Item::TagIndexEntry { repository, .. }
            | Item::Tag { repository, .. }
            | Item::Revision { repository, .. }
            | Item::LayerLink { repository, .. }
            | Item::Upload { repository, .. }
            | Item::Repository { repository } => Some(repository),
            Item::File { repository, .. } => *repository,
            Item::Blob { .. } => None,
        }
    }

    /// Returns the repository and the name of a tag.
    pub(crate) fn tag(&self) -> Option<(&'a str, &'a str)> {
        match self {
            Item::Tag { repository, tag, .. } => Some((repository, tag)),
            _ => None,
        }
    }

    /// Returns its first key, or its directory: what it is in any plan of the store.
    pub(super) fn key(&self) -> String {
        match self {
            Item::Repository { repository } => layout::repository(repository),
            item => item.keys().into_iter().next().unwrap_or_default(),
        }
    }

    /// Returns the digest of the item, if it has one.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Item::TagIndexEntry { digest, .. }
            | Item::Revision { digest, .. }
            | Item::LayerLink { digest, .. }
            | Item::Blob { digest, .. } => Some(*digest),
            Item::Tag { digest, .. } => *digest,
            Item::File { path, .. } => layout::subject(path).digest,
            Item::Upload { .. } | Item::Repository { .. } => None,
        }
    }
}

/// Counts and lengths of what is deleted, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// Entries in the index of a tag.
    pub tag_index_entries: u64,
    /// Tags.
    pub tags: u64,
    /// Revisions: a repository's links to a manifest.
    pub revisions: u64,
    /// Layer links.
    pub layer_links: u64,
    /// Blobs.
    pub blobs: u64,
    /// The length of the blobs' content, in bytes. The space of links and directories is not counted.
    pub bytes: u64,
    /// Unfinished uploads.
    pub uploads: u64,
    /// The length of their files, in bytes.
    pub upload_bytes: u64,
    /// Single files: what interrupted copies left, and links to referrers.
    pub files: u64,
    /// The length of those that are not links, in bytes.
    pub file_bytes: u64,
    /// Repositories.
    pub repositories: u64,
}

impl Totals {
    /// Whether everything is zero.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the number of items.
    pub(crate) fn items(&self) -> u64 {
        let Self { tag_index_entries, tags, revisions, layer_links, blobs, uploads, files, repositories, .. } = self;
        tag_index_entries + tags + revisions + layer_links + blobs + uploads + files + repositories
    }

    /// Returns how many bytes all of it frees.
    pub fn all_bytes(&self) -> u64 {
        self.bytes + self.upload_bytes + self.file_bytes
    }

    /// Subtracts another one, field by field; a field is 0 if the other's is larger.
    #[must_use]
    pub fn saturating_sub(&self, other: &Self) -> Self {
        Self {
            tag_index_entries: self.tag_index_entries.saturating_sub(other.tag_index_entries),
            tags: self.tags.saturating_sub(other.tags),
            revisions: self.revisions.saturating_sub(other.revisions),
            layer_links: self.layer_links.saturating_sub(other.layer_links),
            blobs: self.blobs.saturating_sub(other.blobs),
            bytes: self.bytes.saturating_sub(other.bytes),
            uploads: self.uploads.saturating_sub(other.uploads),
            upload_bytes: self.upload_bytes.saturating_sub(other.upload_bytes),
            files: self.files.saturating_sub(other.files),
            file_bytes: self.file_bytes.saturating_sub(other.file_bytes),
            repositories: self.repositories.saturating_sub(other.repositories),
        }
    }

    pub(crate) fn add(&mut self, item: &Item<'_>) {
        match item {
            Item::Tag { .. } => self.tags += 1,
            Item::Repository { .. } => self.repositories += 1,
            Item::Upload { bytes, .. } => {
                self.uploads += 1;
                self.upload_bytes += bytes;
            }
            Item::File { bytes, .. } => {
                self.files += 1;
                self.file_bytes += bytes;
            }
            Item::TagIndexEntry { .. } => self.tag_index_entries += 1,
            Item::Revision { .. } => self.revisions += 1,
            Item::LayerLink { .. } => self.layer_links += 1,
            Item::Blob { bytes, .. } => {
                self.blobs += 1;
                self.bytes += bytes;
            }
        }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        let Self {
            tag_index_entries,
            tags,
            revisions,
            layer_links,
            blobs,
            bytes,
            uploads,
            upload_bytes,
            files,
            file_bytes,
            repositories,
        } = more;
        self.tag_index_entries += tag_index_entries;
        self.tags += tags;
        self.revisions += revisions;
        self.layer_links += layer_links;
        self.blobs += blobs;
        self.bytes += bytes;
        self.uploads += uploads;
        self.upload_bytes += upload_bytes;
        self.files += files;
        self.file_bytes += file_bytes;
        self.repositories += repositories;
    }
}
