//! What a key of the layout is.

use super::{
    BLOBS, DATA, LAYERS, LINK, MANIFESTS, REFERRERS, REPOSITORIES, UPLOADS, beside::SUBJECTS, blob_data,
    is_repository_part, layer_link, repository, revision_link, signature_link, tag_index_link, tag_link, upload_file,
};
use crate::digest::{Algorithm, Digest};

/// The parsed key of a file of the layout. [`key`](Self::key) writes exactly what [`parse`](Self::parse) accepts.
///
/// The names of repositories and tags may be ones that no registry serves, but none leads elsewhere: no component of
/// a key is empty, `.` or `..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location<'k> {
    /// The content of a blob.
    Blob {
        /// Its digest.
        digest: Digest,
    },
    /// The link that lets a repository serve a blob.
    LayerLink {
        /// The repository.
        repository: &'k str,
        /// The blob.
        digest: Digest,
    },
    /// The link of a manifest.
    RevisionLink {
        /// The repository.
        repository: &'k str,
        /// The manifest.
        digest: Digest,
    },
    /// The link of a revision's signature.
    SignatureLink {
        /// The repository.
        repository: &'k str,
        /// The manifest.
        revision: Digest,
        /// The signature.
        signature: Digest,
    },
    /// The link that holds what a tag names now.
    TagLink {
        /// The repository.
        repository: &'k str,
        /// The tag.
        tag: &'k str,
    },
    /// The link that records that a tag has named a manifest.
    TagIndexEntry {
        /// The repository.
        repository: &'k str,
        /// The tag.
        tag: &'k str,
        /// The manifest.
        digest: Digest,
    },
    /// A file of an unfinished upload.
    UploadFile {
        /// The repository.
        repository: &'k str,
        /// The name of the upload.
        upload: &'k str,
        /// Its key below the upload's directory.
        file: &'k str,
    },
    /// A link by which the registry of the ORAS project finds a referrer.
    ReferrerLink {
        /// The repository.
        repository: &'k str,
        /// The directory in it, one of [`REFERRERS`].
        directory: &'static str,
        /// The manifest that something is attached to.
        subject: Digest,
        /// What is attached.
        referrer: Digest,
    },
}

impl<'k> Location<'k> {
    /// Parses a key. `None` if it is not that of a file of the layout, and for every directory.
    pub fn parse(key: &'k str) -> Option<Self> {
        if let Some(below) = key.strip_prefix(BLOBS) {
            return Self::in_blobs(below.strip_prefix('/')?);
        }
        let below = key.strip_prefix(REPOSITORIES)?.strip_prefix('/')?;
        let parts: Vec<&str> = below.split('/').collect();
        if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return None;
        }
        // The length of some of the parts, with a slash after each.
        let length = |parts: &[&str]| parts.iter().map(|part| part.len() + 1).sum::<usize>();
        let Some(at) = parts.iter().position(|part| is_repository_part(part)) else {
            let (above, link) = parts.split_at_checked(parts.len().checked_sub(REFERRER_PARTS)?)?;
            return Self::of_referrer(below[..length(above)].strip_suffix('/')?, link);
        };
        let repository = below[..length(&parts[..at])].strip_suffix('/')?;
        Some(match parts[at..] {
            [LAYERS, algorithm, hex, LINK] => Self::LayerLink { repository, digest: digest(algorithm, hex)? },
            [MANIFESTS, "revisions", algorithm, hex, LINK] => {
                Self::RevisionLink { repository, digest: digest(algorithm, hex)? }
            }
            [MANIFESTS, "revisions", algorithm, hex, "signatures", of_signature, signature, LINK] => {
                let (revision, signature) = (digest(algorithm, hex)?, digest(of_signature, signature)?);
                Self::SignatureLink { repository, revision, signature }
            }
            [MANIFESTS, "tags", tag, "current", LINK] => Self::TagLink { repository, tag },
            [MANIFESTS, "tags", tag, "index", algorithm, hex, LINK] => {
                Self::TagIndexEntry { repository, tag, digest: digest(algorithm, hex)? }
            }
            [UPLOADS, upload, _, ..] => {
                Self::UploadFile { repository, upload, file: &below[length(&parts[..at + 2])..] }
            }
            _ => return None,
        })
    }

    fn in_blobs(below: &str) -> Option<Self> {
        let [algorithm, shard, hex, DATA] = below.split('/').collect::<Vec<_>>()[..] else { return None };
        let digest = digest(algorithm, hex)?;
        (shard == &hex[..2]).then_some(Self::Blob { digest })
    }

    fn of_referrer(repository: &'k str, link: &[&str]) -> Option<Self> {
        let [part, SUBJECTS, of_subject, subject, of_referrer, referrer, LINK] = *link else { return None };
        let directory = REFERRERS.into_iter().find(|known| *known == part)?;
        let (subject, referrer) = (digest(of_subject, subject)?, digest(of_referrer, referrer)?);
        Some(Self::ReferrerLink { repository, directory, subject, referrer })
    }

    /// Returns its key.
    pub fn key(&self) -> String {
        match self {
            Self::Blob { digest } => blob_data(digest),
            Self::LayerLink { repository, digest } => layer_link(repository, digest),
            Self::RevisionLink { repository, digest } => revision_link(repository, digest),
            Self::SignatureLink { repository, revision, signature } => signature_link(repository, revision, signature),
            Self::TagLink { repository, tag } => tag_link(repository, tag),
            Self::TagIndexEntry { repository, tag, digest } => tag_index_link(repository, tag, digest),
            Self::UploadFile { repository, upload, file } => upload_file(repository, upload, file),
            Self::ReferrerLink { repository: name, directory, subject, referrer } => {
                let [subject, referrer] =
                    [subject, referrer].map(|of| format!("{}/{}", of.algorithm().name(), of.hex()));
                format!("{}/{directory}/{SUBJECTS}/{subject}/{referrer}/{LINK}", repository(name))
            }
        }
    }

    /// Returns the repository that it is in; `None` for a blob.
    pub fn repository(&self) -> Option<&'k str> {
        match *self {
            Self::Blob { .. } => None,
            Self::LayerLink { repository, .. }
            | Self::RevisionLink { repository, .. }
            | Self::SignatureLink { repository, .. }
            | Self::TagLink { repository, .. }
            | Self::TagIndexEntry { repository, .. }
            | Self::UploadFile { repository, .. }
            | Self::ReferrerLink { repository, .. } => Some(repository),
        }
    }

    /// Returns the digest of what is stored under it or what it leads to, according to its key; `None` for the link
    /// of a tag, and for uploads.
    pub fn digest(&self) -> Option<Digest> {
        match *self {
            Self::Blob { digest }
            | Self::LayerLink { digest, .. }
            | Self::RevisionLink { digest, .. }
            | Self::SignatureLink { signature: digest, .. }
            | Self::TagIndexEntry { digest, .. }
            | Self::ReferrerLink { referrer: digest, .. } => Some(digest),
            Self::TagLink { .. } | Self::UploadFile { .. } => None,
        }
    }
}

/// How many components of a link to a referrer follow the repository's name.
const REFERRER_PARTS: usize = 7;

fn digest(algorithm: &str, hex: &str) -> Option<Digest> {
    Digest::from_hex(Algorithm::from_name(algorithm)?, hex)
}

/// Returns the digest that a link's key ends in: `…/<algorithm>/<hex>/link`. `None` for every other key.
pub fn digest_of_link(key: &str) -> Option<Digest> {
    let mut components = key.rsplit('/');
    if components.next()? != LINK {
        return None;
    }
    let hex = components.next()?;
    Digest::from_hex(Algorithm::from_name(components.next()?)?, hex)
}

/// What a key is about: the repository that it is in, the tag, and the digest, as far as it is about one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The repository.
    pub repository: Option<String>,
    /// The tag.
    pub tag: Option<String>,
    /// The last digest in it.
    pub digest: Option<Digest>,
}

/// Determines what a key is about.
pub fn subject(key: &str) -> Subject {
    let below = key.strip_prefix(REPOSITORIES).and_then(|below| below.strip_prefix('/'));
    let (repository, rest) = match below {
        Some(below) => {
            let starts = below.match_indices('/').map(|(at, _)| at);
            let part = |at: &usize| {
                let rest = &below[at + 1..];
                rest.split('/').next().is_some_and(is_repository_part) || super::beside::is_referrers(rest)
            };
            let at = starts.clone().find(part).unwrap_or(below.len());
            (Some(below[..at].to_owned()), below[at..].trim_start_matches('/'))
        }
        None => (None, key),
    };
    let tag = rest.strip_prefix("_manifests/tags/").and_then(|below| below.split('/').next()).map(str::to_owned);
    let mut digest = None;
    let mut algorithm = None;
    for component in key.split('/') {
        digest = algorithm.and_then(|algorithm| Digest::from_hex(algorithm, component)).or(digest);
        algorithm = Algorithm::from_name(component).or(algorithm);
    }
    Subject { repository, tag, digest }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::layout::subject;

    fn any_digest() -> impl Strategy<Value = Digest> {
        (0..Algorithm::ALL.len(), any::<u64>())
            .prop_map(|(at, seed)| Digest::of(Algorithm::ALL[at], &seed.to_le_bytes()))
    }

    /// Names of one component of all kinds, including those that no registry uses, and those that mean something
    /// elsewhere.
    const NAME: &str = "[a-z][a-z0-9._-]{0,5}|[^/]{1,4}|_refs|_referrers|subjects|sha256|tags|index|current|link|data";

    fn name() -> impl Strategy<Value = String> {
        NAME.prop_filter("leads elsewhere", |name| !matches!(&**name, "" | "." | "..") && !is_repository_part(name))
    }

    /// A location of each kind.
    fn locations<'k>(
        repository: &'k str,
        tag: &'k str,
        file: &'k str,
        directory: &'static str,
        [digest, other]: [Digest; 2],
    ) -> [Location<'k>; 8] {
        [
            Location::Blob { digest },
            Location::LayerLink { repository, digest },
            Location::RevisionLink { repository, digest },
            Location::SignatureLink { repository, revision: digest, signature: other },
            Location::TagLink { repository, tag },
            Location::TagIndexEntry { repository, tag, digest },
            Location::UploadFile { repository, upload: tag, file },
            Location::ReferrerLink { repository, directory, subject: digest, referrer: other },
        ]
    }

    proptest! {
        #[test]
        fn parsing_and_formatting_are_inverse(
            components in prop::collection::vec(name(), 1..4),
            tag in name(),
            file in prop::collection::vec(name(), 1..3),
            digests in [any_digest(), any_digest()],
            directory in prop::sample::select(REFERRERS.to_vec()),
        ) {
            let (repository, file) = (components.join("/"), file.join("/"));
            for location in locations(&repository, &tag, &file, directory, digests) {
                let key = location.key();
                prop_assert_eq!(Location::parse(&key), Some(location));
            }
        }

        #[test]
        fn parsed_location_writes_same_key(
            repository in name(),
            digests in [any_digest(), any_digest()],
            at in any::<prop::sample::Index>(),
            other in prop_oneof![
                name(),
                prop::sample::select(vec!["_layers", "_manifests", "_uploads", "", ".", "..", "revisions", "SHA256", "e4"])
                    .prop_map(str::to_owned),
                any_digest().prop_map(|digest| digest.hex().to_uppercase()),
            ],
        ) {
            for location in locations(&repository, "v1", "data", "_refs", digests) {
                let key = location.key();
                let mut parts: Vec<&str> = key.split('/').collect();
                let at = at.index(parts.len());
                parts[at] = &other;
                let key = parts.join("/");
                if let Some(location) = Location::parse(&key) {
                    prop_assert_eq!(location.key(), key);
                }
            }
        }
    }

    #[test]
    fn only_files_of_the_layout_have_a_location() {
        let (digest, hex) = (Digest::of(Algorithm::Sha256, b""), Digest::of(Algorithm::Sha256, b"").hex());
        for other in [
            String::new(),
            blob_data(&digest).replace("/e3/", "/e4/"),
            blob_data(&digest).replace(&*hex, &hex.to_uppercase()),
            format!("{}/x", blob_data(&digest)),
            format!("{REPOSITORIES}/{LAYERS}/sha256/{hex}/{LINK}"),
            format!("{REPOSITORIES}/_refs/{SUBJECTS}/sha256/{hex}/sha256/{hex}/{LINK}"),
            layer_link("../app", &digest),
            layer_link("app//x", &digest),
            layer_link("app", &digest) + "/link",
            tag_link("app", ".."),
            upload_file("app", "id", "../../x"),
            upload_file("app", "id", ""),
            format!("{REPOSITORIES}/app/{UPLOADS}/id"),
            format!("{REPOSITORIES}/app/{LAYERS}/x/sha256/{hex}/{LINK}"),
            format!(".regc/trash/1/{}", blob_data(&digest)),
        ] {
            assert_eq!(Location::parse(&other), None, "{other}");
        }
    }

    #[test]
    fn location_agrees_with_the_subject_of_its_key() {
        let [digest, other] = [b"" as &[u8], b"other"].map(|text| Digest::of(Algorithm::Sha256, text));
        for location in locations("team/app", "v1", "hashstates/sha256/0", "_refs", [digest, other]) {
            let about = subject(&location.key());
            assert_eq!((about.repository.as_deref(), about.digest), (location.repository(), location.digest()));
        }
    }

    #[test]
    fn keys_have_subjects() {
        let digest = Digest::of(Algorithm::Sha256, b"");
        let about = |key: &str| {
            let Subject { repository, tag, digest } = subject(key);
            (repository.unwrap_or_default(), tag.unwrap_or_default(), digest.is_some())
        };
        let name = "team/app".to_owned();
        assert_eq!(about(&blob_data(&digest)), (String::new(), String::new(), true));
        assert_eq!(about(&super::super::blob(&digest)), (String::new(), String::new(), true));
        assert_eq!(about(&layer_link("team/app", &digest)), (name.clone(), String::new(), true));
        assert_eq!(about(&tag_link("team/app", "v1")), (name.clone(), "v1".into(), false));
        assert_eq!(about(&tag_index_link("team/app", "v1", &digest)), (name.clone(), "v1".into(), true));
        assert_eq!(about(&repository("team/app")), (name, String::new(), false));
    }
}
