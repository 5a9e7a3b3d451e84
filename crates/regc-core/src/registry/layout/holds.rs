//! What a directory of the layout may hold.

use super::{
    BLOBS, DATA, LAYERS, LINK, MANIFESTS, REPOSITORIES, ROOT, UPLOADS, is_repository_part, is_shard, tag_name,
};
use crate::digest::{Algorithm, Digest};

/// What may be in a directory of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Blobs and repositories.
    Everything,
    /// One directory for each algorithm.
    Algorithms,
    /// The directories of blobs whose hash begins the same.
    Shards,
    /// A directory for each digest of an algorithm.
    Digests(Algorithm),
    /// The content of a blob.
    Content,
    /// Repositories, or the first components of their names. A directory may be renamed to anything.
    Repositories,
    /// The parts of a repository, and other repositories, whatever they are called.
    Repository,
    /// Revisions and tags.
    Manifests,
    /// The link of a revision, and its signatures.
    Revision,
    /// A link.
    Link,
    /// What a tag names and has named.
    Tag,
    /// Tags.
    Tags,
    /// Uploads, whatever they are called.
    AnyNames,
    /// What was uploaded so far.
    Upload,
}

impl Holds {
    /// Returns what a directory may hold. `None` outside the layout, and deep inside an upload.
    pub fn of(directory: &str) -> Option<Self> {
        let below = |top: &str| {
            directory.strip_prefix(top).and_then(|below| below.strip_prefix('/').or(below.is_empty().then_some("")))
        };
        let in_algorithm = |algorithm: &str, holds: fn(Algorithm) -> Self| Algorithm::from_name(algorithm).map(holds);
        let if_digest = |algorithm: &str, hex: &str, holds: Self| {
            Algorithm::from_name(algorithm).and_then(|algorithm| Digest::from_hex(algorithm, hex)).map(|_| holds)
        };
        if directory == ROOT {
            return Some(Holds::Everything);
        }
        if let Some(below) = below(BLOBS) {
            return match below.split('/').collect::<Vec<_>>()[..] {
                [""] => Some(Holds::Algorithms),
                [algorithm] => in_algorithm(algorithm, |_| Holds::Shards),
                [algorithm, shard] if is_shard(shard) => in_algorithm(algorithm, Holds::Digests),
                [algorithm, shard, hex] if is_shard(shard) => if_digest(algorithm, hex, Holds::Content),
                _ => None,
            };
        }
        let parts: Vec<&str> = below(REPOSITORIES)?.split('/').filter(|part| !part.is_empty()).collect();
        let Some(at) = parts.iter().position(|part| is_repository_part(part)) else {
            return Some(if parts.is_empty() { Holds::Repositories } else { Holds::Repository });
        };
        match parts[at..] {
            [MANIFESTS] => Some(Holds::Manifests),
            [MANIFESTS, "tags"] => Some(Holds::Tags),
            [UPLOADS] => Some(Holds::AnyNames),
            [MANIFESTS, "tags", _] => Some(Holds::Tag),
            [MANIFESTS, "tags", _, "current"] => Some(Holds::Link),
            [MANIFESTS, "revisions", algorithm, hex] => if_digest(algorithm, hex, Holds::Revision),
            [UPLOADS, _] => Some(Holds::Upload),
            [LAYERS, ref rest @ ..]
            | [MANIFESTS, "tags", _, "index", ref rest @ ..]
            | [MANIFESTS, "revisions", _, _, "signatures", ref rest @ ..]
            | [MANIFESTS, "revisions", ref rest @ ..] => match rest {
                [] => Some(Holds::Algorithms),
                [algorithm] => in_algorithm(algorithm, Holds::Digests),
                [algorithm, hex] => if_digest(algorithm, hex, Holds::Link),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the directory may hold this name.
    pub fn allows(self, name: &str) -> bool {
        match self {
            Holds::Everything => matches!(name, "blobs" | "repositories"),
            Holds::Algorithms => Algorithm::from_name(name).is_some(),
            Holds::Shards => is_shard(name),
            Holds::Digests(algorithm) => Digest::from_hex(algorithm, name).is_some(),
            Holds::Content => name == DATA,
            Holds::Repositories => !is_repository_part(name),
            Holds::Repository => true,
            Holds::Manifests => matches!(name, "revisions" | "tags"),
            Holds::Revision => matches!(name, LINK | "signatures"),
            Holds::Link => name == LINK,
            Holds::Tag => matches!(name, "current" | "index"),
            Holds::Tags => tag_name(name).is_some(),
            Holds::AnyNames => true,
            Holds::Upload => matches!(name, DATA | "startedat" | "hashstates"),
        }
    }

    /// Whether an allowed name is that of a directory; otherwise it is that of a file.
    pub fn is_directory(self, name: &str) -> bool {
        match self {
            Holds::Content | Holds::Link => false,
            Holds::Revision | Holds::Upload => matches!(name, "signatures" | "hashstates"),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_hold_known_names() {
        let hex = Digest::of(Algorithm::Sha256, b"").hex();
        let repository = format!("{REPOSITORIES}/app");
        for (directory, name) in [
            (ROOT, "blobs"),
            (BLOBS, "sha512"),
            (&format!("{BLOBS}/sha256"), "ab"),
            (&format!("{BLOBS}/sha256/e3"), &*hex),
            (REPOSITORIES, "app"),
            (&repository, "_layers"),
            (&repository, "worker"),
            (&format!("{repository}/_manifests/revisions/sha256"), &hex),
            (&format!("{repository}/_manifests/tags"), "v1.0_x"),
            (&format!("{repository}/_manifests/tags/v1"), "index"),
            (&format!("{repository}/_uploads"), "anything"),
        ] {
            assert!(Holds::of(directory).unwrap().allows(name), "{directory} {name}");
        }
        for (directory, name) in [
            (ROOT, "backup"),
            (BLOBS, "md5"),
            (&format!("{BLOBS}/sha256"), "lost+found"),
            (&format!("{BLOBS}/sha256/e3"), &hex[1..]),
            (REPOSITORIES, "_layers"),
            (&format!("{repository}/_manifests/tags"), "@eaDir"),
            (&format!("{repository}/_layers"), "old"),
            (&format!("{repository}/_layers/sha256"), "old"),
            (&format!("{repository}/_manifests"), "signatures"),
            (&format!("{repository}/_manifests/tags/v1"), "old"),
            (&format!("{repository}/_manifests/tags/v1/index/sha256"), "old"),
        ] {
            assert!(!Holds::of(directory).unwrap().allows(name), "{directory} {name}");
        }
        for (directory, file, other) in [
            (&format!("{BLOBS}/sha256/e3/{hex}"), "data", "link"),
            (&format!("{repository}/_layers/sha256/{hex}"), "link", "signatures"),
            (&format!("{repository}/_manifests/tags/v1/current"), "link", "data"),
            (&format!("{repository}/_manifests/tags/v1/index/sha256/{hex}"), "link", ".DS_Store"),
            (&format!("{repository}/_manifests/revisions/sha256/{hex}"), "link", "signature"),
            (&format!("{repository}/_manifests/revisions/sha256/{hex}/signatures/sha256/{hex}"), "link", "data"),
            (&format!("{repository}/_uploads/id"), "startedat", "link"),
        ] {
            let holds = Holds::of(directory).unwrap();
            assert!(holds.allows(file) && !holds.is_directory(file) && !holds.allows(other), "{directory}");
        }
        for directory in
            ["elsewhere", &format!("{BLOBS}/sha256/e3/e3"), &format!("{repository}/_uploads/id/hashstates")]
        {
            assert_eq!(Holds::of(directory), None, "{directory}");
        }
    }
}
