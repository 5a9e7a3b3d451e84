//! The storage layout of distribution, version 2.
//!
//! Source: `registry/storage/paths.go` of distribution/distribution, the same from 2.0 to 3.1. All paths are keys:
//! they are relative to the storage root, separated by `/`, and have no leading `/`.

mod beside;
mod location;

pub use self::beside::{REFERRERS, is_remnant, referrers};
pub(crate) use self::beside::{holds_referrers, is_remnant_of};
pub use self::location::Location;
use crate::digest::{Algorithm, Digest};

/// The directory that holds everything of a registry.
pub const ROOT: &str = "docker/registry/v2";
/// The directory that holds the content of all repositories.
pub const BLOBS: &str = "docker/registry/v2/blobs";
/// The directory that holds one tree of links for each repository.
pub const REPOSITORIES: &str = "docker/registry/v2/repositories";
/// Exists when GitLab's registry keeps this store's repositories, tags and links in its database.
pub const GITLAB_DATABASE_IN_USE: &str = "docker/registry/lockfiles/database-in-use";
/// Exists when GitLab's registry keeps them in the storage itself, as distribution does.
pub const GITLAB_FILESYSTEM_IN_USE: &str = "docker/registry/lockfiles/filesystem-in-use";

/// The directory in a storage root that holds regc's own files.
pub const OWN: &str = ".regc";
/// The file that records the holder of a store's lock.
pub const LOCK: &str = ".regc/lock";
/// The directory that holds what was moved to the trash, one directory for each run.
pub const TRASH: &str = ".regc/trash";

/// The file in a directory of the layout that makes it a link.
pub const LINK: &str = "link";
/// The file in a blob's directory that holds its content.
pub const DATA: &str = "data";
/// The directory in a repository that holds revisions and tags.
pub const MANIFESTS: &str = "_manifests";
/// The directory in a repository that holds layer links.
pub const LAYERS: &str = "_layers";
/// The directory in a repository that holds unfinished uploads.
pub const UPLOADS: &str = "_uploads";

/// The directory of a blob.
pub fn blob(digest: &Digest) -> String {
    let algorithm = digest.algorithm().name();
    digest.with_hex(|hex| [BLOBS, "/", algorithm, "/", &hex[..2], "/", hex].concat())
}

/// The directory of all blobs whose hash begins like this one's.
pub fn shard(digest: &Digest) -> String {
    format!("{}/{:02x}", blobs(digest.algorithm()), digest.as_bytes()[0])
}

/// The content of a blob.
pub fn blob_data(digest: &Digest) -> String {
    let algorithm = digest.algorithm().name();
    digest.with_hex(|hex| [BLOBS, "/", algorithm, "/", &hex[..2], "/", hex, "/", DATA].concat())
}

/// The directory of all blobs named with one algorithm.
pub fn blobs(algorithm: Algorithm) -> String {
    format!("{BLOBS}/{}", algorithm.name())
}

/// The directory of a repository.
pub fn repository(name: &str) -> String {
    format!("{REPOSITORIES}/{name}")
}

/// The directory of a repository's layer links.
pub fn layers(name: &str) -> String {
    format!("{REPOSITORIES}/{name}/{LAYERS}")
}

/// The directory of one layer link.
pub fn layer(name: &str, digest: &Digest) -> String {
    format!("{}/{}/{}", layers(name), digest.algorithm().name(), digest.hex())
}

/// The file that lets a repository serve a blob.
pub fn layer_link(name: &str, digest: &Digest) -> String {
    format!("{}/{LINK}", layer(name, digest))
}

/// The directory of a repository's unfinished uploads.
pub fn uploads(name: &str) -> String {
    format!("{REPOSITORIES}/{name}/{UPLOADS}")
}

/// A file of an upload, by its key below the upload's directory.
pub fn upload_file(name: &str, upload: &str, file: &str) -> String {
    format!("{}/{upload}/{file}", uploads(name))
}

/// The directory of a repository's revisions.
pub fn revisions(name: &str) -> String {
    format!("{REPOSITORIES}/{name}/{MANIFESTS}/revisions")
}

/// The directory of one revision.
pub fn revision(name: &str, digest: &Digest) -> String {
    format!("{}/{}/{}", revisions(name), digest.algorithm().name(), digest.hex())
}

/// The file that records that a repository has a manifest.
pub fn revision_link(name: &str, digest: &Digest) -> String {
    format!("{}/{LINK}", revision(name, digest))
}

/// The directory of a revision's signatures, which registry 2.0 to 2.3 wrote for schema 1 manifests.
pub fn signatures(name: &str, digest: &Digest) -> String {
    format!("{}/signatures", revision(name, digest))
}

/// The file that records that a revision has a signature.
pub fn signature_link(name: &str, revision: &Digest, signature: &Digest) -> String {
    format!("{}/{}/{}/{LINK}", signatures(name, revision), signature.algorithm().name(), signature.hex())
}

/// The directory of a repository's tags.
pub fn tags(name: &str) -> String {
    format!("{REPOSITORIES}/{name}/{MANIFESTS}/tags")
}

/// Returns the name of a tag; `None` for what no registry accepts as one.
///
/// Source: the grammar of `tag` in `reference/reference.go` of distribution.
pub fn tag_name(name: &str) -> Option<String> {
    let is_first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_next = |c: char| is_first(c) || matches!(c, '.' | '-');
    (name.len() <= 128 && name.starts_with(is_first) && name.chars().all(is_next)).then(|| name.to_owned())
}

/// The directory of a tag.
pub fn tag(name: &str, tag: &str) -> String {
    format!("{}/{tag}", tags(name))
}

/// The file that holds the digest that a tag names now.
pub fn tag_link(name: &str, tag: &str) -> String {
    format!("{}/current/{LINK}", self::tag(name, tag))
}

/// The directory of the digests that a tag has named.
pub fn tag_index(name: &str, tag: &str) -> String {
    format!("{}/index", self::tag(name, tag))
}

/// The file that records that a tag has named a digest.
pub fn tag_index_link(name: &str, tag: &str, digest: &Digest) -> String {
    format!("{}/{}/{}/{LINK}", tag_index(name, tag), digest.algorithm().name(), digest.hex())
}

/// The link for a digest, below a directory of links: that of a repository's layers or revisions, or a tag's index.
pub fn link_below(digest: &Digest) -> String {
    digest.with_hex(|hex| [digest.algorithm().name(), "/", hex, "/", LINK].concat())
}

/// The signatures of a revision, below the directory of all revisions.
pub fn signatures_below(digest: &Digest) -> String {
    digest.with_hex(|hex| [digest.algorithm().name(), "/", hex, "/signatures"].concat())
}

/// The content of a blob, below the directory of all blobs of its algorithm whose hash begins the same.
pub fn data_below(digest: &Digest) -> String {
    digest.with_hex(|hex| [hex, "/", DATA].concat())
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

/// Returns the digest that a link holds, which is all that it holds. `None` if it is garbled.
pub fn digest_in_link(text: &[u8]) -> Option<Digest> {
    std::str::from_utf8(text).ok()?.parse().ok()
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
                rest.split('/').next().is_some_and(is_repository_part) || beside::is_referrers(rest)
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

/// Whether a directory is one of the parts of a repository, and not a component of a name.
pub fn is_repository_part(name: &str) -> bool {
    matches!(name, MANIFESTS | LAYERS | UPLOADS)
}

/// Whether a registry serves a repository of this name. A repository of any other name is a directory that was
/// renamed.
///
/// Source: `reference/regexp.go` of distribution 2.8, where the first component of several may also be a host with a
/// port.
pub fn is_repository_name(name: &str) -> bool {
    let is_host = |first: &str| {
        let (host, port) = first.rsplit_once(':').unwrap_or((first, "0"));
        let is_label = |label: &str| {
            let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
            !label.is_empty() && label.chars().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
        };
        host.split('.').all(is_label) && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut components = name.split('/');
    let first = components.next().unwrap_or_default();
    let mut below = components.peekable();
    let is_first = is_path_component(first) || below.peek().is_some() && is_host(first);
    is_first && below.all(is_path_component) && name.len() <= 255
}

/// Whether it consists of lower-case letters and digits, separated by single dots, one or two underscores, or dashes.
fn is_path_component(name: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator =
        |between: &str| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-');
    name.starts_with(is_alphanumeric)
        && name.ends_with(is_alphanumeric)
        && name.split(is_alphanumeric).all(is_separator)
}

/// Whether it is a name for a blob's parent directory: the first two digits of the blob's hexadecimal form.
pub fn is_shard(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns the size of a link file of the registry: the digest's text and nothing else.
pub fn link_bytes(algorithm: Algorithm) -> u64 {
    (algorithm.name().len() + 1 + algorithm.bytes() * 2) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_registry() {
        let digest = Digest::of(Algorithm::Sha256, b"");
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(blob_data(&digest), format!("docker/registry/v2/blobs/sha256/e3/{hex}/data"));
        assert_eq!(
            layer_link("team/app", &digest),
            format!("docker/registry/v2/repositories/team/app/_layers/sha256/{hex}/link")
        );
        assert_eq!(
            tag_index_link("app", "v1", &digest),
            format!("docker/registry/v2/repositories/app/_manifests/tags/v1/index/sha256/{hex}/link")
        );
        assert_eq!(digest_of_link(&revision_link("app", &digest)), Some(digest));
        assert_eq!(digest_of_link(&blob_data(&digest)), None);
        assert_eq!(link_bytes(Algorithm::Sha256), 71);
    }

    #[test]
    fn what_keys_are_about() {
        let digest = Digest::of(Algorithm::Sha256, b"");
        let about = |key: &str| {
            let Subject { repository, tag, digest } = subject(key);
            (repository.unwrap_or_default(), tag.unwrap_or_default(), digest.is_some())
        };
        let name = "team/app".to_owned();
        assert_eq!(about(&blob_data(&digest)), (String::new(), String::new(), true));
        assert_eq!(about(&blob(&digest)), (String::new(), String::new(), true));
        assert_eq!(about(&layer_link("team/app", &digest)), (name.clone(), String::new(), true));
        assert_eq!(about(&tag_link("team/app", "v1")), (name.clone(), "v1".into(), false));
        assert_eq!(about(&tag_index_link("team/app", "v1", &digest)), (name.clone(), "v1".into(), true));
        assert_eq!(about(&repository("team/app")), (name, String::new(), false));
    }

    #[test]
    fn what_directories_may_hold() {
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

    #[test]
    fn names_of_repositories() {
        for name in ["app", "a", "0", "my-app", "a--b", "a__b", "a.b/c_d", "localhost:5000/app", "Host.example/app"] {
            assert!(is_repository_name(name), "{name}");
        }
        for name in [
            "",
            "App",
            "_layers",
            ".DS_Store",
            "lost+found",
            "@eaDir",
            "..",
            "a b",
            "ä",
            "app~",
            "-app",
            "app-",
            "a..b",
            "a._b",
            "a___b",
            "_old/app",
            "app/",
            "a//b",
            "localhost:5000",
            "host:/app",
            "host:x/app",
            "a/host:5000/b",
            "lost+found/#12",
            "-a.b/app",
        ] {
            assert!(!is_repository_name(name), "{name}");
        }
        assert!(is_repository_name(&"a".repeat(255)) && !is_repository_name(&"a".repeat(256)));
    }
}
