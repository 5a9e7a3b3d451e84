//! What a key means.

use super::{
    BLOBS, DATA, LAYERS, LINK, MANIFESTS, REPOSITORIES, UPLOADS, blob_data, is_repository_part, layer_link,
    revision_link, signature_link, tag_index_link, tag_link, upload_file,
};
use crate::digest::{Algorithm, Digest};

/// An object of the layout: what its key means, and back.
///
/// A repository's name is not checked but for components that would lead elsewhere (empty, `.`, `..`): it may be one that no registry
/// serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// The content of a blob.
    Blob(Digest),
    /// The link by which a repository serves a blob.
    LayerLink {
        /// The repository.
        repository: String,
        /// The blob.
        digest: Digest,
    },
    /// The link by which a repository serves a manifest.
    Revision {
        /// The repository.
        repository: String,
        /// The manifest.
        digest: Digest,
    },
    /// The link of a signature that registry 2.0 to 2.3 wrote beside a manifest's.
    Signature {
        /// The repository.
        repository: String,
        /// The manifest.
        revision: Digest,
        /// The signature.
        signature: Digest,
    },
    /// The link that a tag names its manifest by.
    Tag {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
    },
    /// The entry in a tag's index of a manifest that it names or has named.
    TagIndexEntry {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
        /// The manifest.
        digest: Digest,
    },
    /// A file of an unfinished upload.
    Upload {
        /// The repository.
        repository: String,
        /// The upload.
        upload: String,
        /// The file's key below the upload's directory.
        file: String,
    },
}

impl Location {
    /// What a key means. `None` for a key of something else, and for a directory's.
    pub fn parse(key: &str) -> Option<Self> {
        if let Some(below) = key.strip_prefix(BLOBS).and_then(|below| below.strip_prefix('/')) {
            let [algorithm, _, hex, DATA] = below.split('/').collect::<Vec<_>>()[..] else { return None };
            let digest = digest(algorithm, hex)?;
            return (blob_data(&digest) == key).then_some(Self::Blob(digest));
        }
        let parts: Vec<&str> = key.strip_prefix(REPOSITORIES)?.strip_prefix('/')?.split('/').collect();
        if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return None;
        }
        let at = parts.iter().position(|part| is_repository_part(part)).filter(|at| *at > 0)?;
        let repository = parts[..at].join("/");
        match parts[at..] {
            [LAYERS, algorithm, hex, LINK] => Some(Self::LayerLink { repository, digest: digest(algorithm, hex)? }),
            [MANIFESTS, "revisions", algorithm, hex, LINK] => {
                Some(Self::Revision { repository, digest: digest(algorithm, hex)? })
            }
            [MANIFESTS, "revisions", algorithm, hex, "signatures", of, signature, LINK] => Some(Self::Signature {
                repository,
                revision: digest(algorithm, hex)?,
                signature: digest(of, signature)?,
            }),
            [MANIFESTS, "tags", tag, "current", LINK] => Some(Self::Tag { repository, tag: tag.to_owned() }),
            [MANIFESTS, "tags", tag, "index", algorithm, hex, LINK] => {
                Some(Self::TagIndexEntry { repository, tag: tag.to_owned(), digest: digest(algorithm, hex)? })
            }
            [UPLOADS, upload, ref file @ ..] if !file.is_empty() => {
                Some(Self::Upload { repository, upload: upload.to_owned(), file: file.join("/") })
            }
            _ => None,
        }
    }

    /// The key.
    pub fn key(&self) -> String {
        match self {
            Self::Blob(digest) => blob_data(digest),
            Self::LayerLink { repository, digest } => layer_link(repository, digest),
            Self::Revision { repository, digest } => revision_link(repository, digest),
            Self::Signature { repository, revision, signature } => signature_link(repository, revision, signature),
            Self::Tag { repository, tag } => tag_link(repository, tag),
            Self::TagIndexEntry { repository, tag, digest } => tag_index_link(repository, tag, digest),
            Self::Upload { repository, upload, file } => upload_file(repository, upload, file),
        }
    }

    /// The repository that it is in; `None` for a blob.
    pub fn repository(&self) -> Option<&str> {
        match self {
            Self::Blob(_) => None,
            Self::LayerLink { repository, .. }
            | Self::Revision { repository, .. }
            | Self::Signature { repository, .. }
            | Self::Tag { repository, .. }
            | Self::TagIndexEntry { repository, .. }
            | Self::Upload { repository, .. } => Some(repository),
        }
    }

    /// The blob or manifest that it is about; of a signature, the manifest. `None` for a tag, which may name any, and for an
    /// upload.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Blob(digest)
            | Self::LayerLink { digest, .. }
            | Self::Revision { digest, .. }
            | Self::Signature { revision: digest, .. }
            | Self::TagIndexEntry { digest, .. } => Some(*digest),
            Self::Tag { .. } | Self::Upload { .. } => None,
        }
    }
}

fn digest(algorithm: &str, hex: &str) -> Option<Digest> {
    Digest::from_hex(Algorithm::from_name(algorithm)?, hex)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digests() -> impl Strategy<Value = Digest> {
        (any::<u64>(), prop::sample::select(&Algorithm::ALL[..]))
            .prop_map(|(content, algorithm)| Digest::of(algorithm, &content.to_le_bytes()))
    }

    fn locations() -> impl Strategy<Value = Location> {
        let name = || prop_oneof!["[a-z0-9]{1,8}(/[a-z0-9._~ -]{1,7}x){0,3}", Just("app/index/sha256".to_owned())];
        let tag = || prop_oneof!["[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", Just("current".to_owned())];
        let location = (0..7_usize, name(), tag(), "[a-z]{1,5}(/[a-z0-9]{1,5}){0,2}", digests(), digests());
        location.prop_map(|(kind, repository, tag, file, digest, signature)| match kind {
            0 => Location::Blob(digest),
            1 => Location::LayerLink { repository, digest },
            2 => Location::Revision { repository, digest },
            3 => Location::Signature { repository, revision: digest, signature },
            4 => Location::Tag { repository, tag },
            5 => Location::TagIndexEntry { repository, tag, digest },
            _ => Location::Upload { repository, upload: tag, file },
        })
    }

    proptest! {
        #[test]
        fn a_key_and_its_meaning_are_inverse(location in locations()) {
            prop_assert_eq!(Location::parse(&location.key()), Some(location));
        }

        #[test]
        fn what_means_something_has_that_very_key(key in "docker/registry/v2/(blobs|repositories)(/[a-z_.]{0,12}){0,7}/(link|data)") {
            prop_assert!(Location::parse(&key).is_none_or(|location| location.key() == key));
        }
    }

    #[test]
    fn what_leads_elsewhere_means_nothing() {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let hex = digest.hex();
        for key in [
            layer_link("../a", &digest),
            layer_link("a/./b", &digest),
            layer_link("", &digest),
            tag_link("a", ".."),
            upload_file("a", "..", "data"),
            upload_file("a", "u", "../data"),
            blob_data(&digest).replace(&format!("/{}/", &hex[..2]), "/zz/"),
            format!("{}/more", blob_data(&digest)),
            super::super::blob(&digest),
            super::super::layer("a", &digest),
        ] {
            assert_eq!(Location::parse(&key), None, "{key}");
        }
    }
}
