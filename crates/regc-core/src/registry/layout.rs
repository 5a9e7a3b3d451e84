//! The storage layout of distribution, version 2.
//!
//! Source: `registry/storage/paths.go` of distribution/distribution, the same from 2.0 to 3.1. All paths are keys:
//! they are relative to the storage root, separated by `/`, and have no leading `/`.

mod beside;
mod holds;
mod location;
mod names;

pub use self::beside::{REFERRERS, is_remnant, referrers};
pub(crate) use self::beside::{holds_referrers, is_remnant_of};
pub use self::holds::Holds;
pub use self::location::{Location, Subject, digest_of_link, subject};
pub use self::names::{is_repository_name, is_repository_part, is_shard, tag_name};
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
/// The file that caches what manifests refer to.
pub const MANIFEST_CACHE: &str = ".regc/manifests";
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

/// Returns the digest that a link holds, which is all that it holds. `None` if it is garbled.
pub fn digest_in_link(text: &[u8]) -> Option<Digest> {
    std::str::from_utf8(text).ok()?.parse().ok()
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
}
