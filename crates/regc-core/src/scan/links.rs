//! Links of digests: which there are, and what each leads to.
//!
//! If a client pushes content by a digest of another algorithm than SHA-256, the registry stores it under its SHA-256
//! digest, and the link of the client's digest holds the SHA-256 digest (`blobWriter.Commit` and `linkBlob` in
//! distribution).

use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::registry::layout;
use crate::storage::{Content, ReadStorage, directories};

/// Lists the digests that have a directory in a directory of links, for one algorithm, each with whether its directory is a
/// symbolic link.
pub(crate) fn digests_in(
    storage: &dyn ReadStorage,
    links: &str,
    algorithm: Algorithm,
) -> Result<Vec<(Digest, bool)>, Error> {
    let directory = format!("{links}/{}", algorithm.name());
    directories(storage, &directory, |hex| Digest::from_hex(algorithm, hex), || ())
}

/// What the link of a digest leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Absent,
    /// The digest under which the content is stored.
    To(Digest),
    /// It holds no digest, or one that it must not hold.
    Garbled,
}

/// Reads the link of a digest at `path`.
pub(crate) fn read(storage: &dyn ReadStorage, path: &str, digest: &Digest) -> Result<Link, Error> {
    let named = match storage.read(path, layout::link_bytes(Algorithm::Sha512))? {
        Some(Content::Whole(text)) => layout::digest_in_link(&text),
        Some(Content::TooLarge) => None,
        None if storage.stat(path)?.is_none() => return Ok(Link::Absent),
        // Something other than a file.
        None => None,
    };
    Ok(named.filter(|named| may_lead_to(digest, named)).map_or(Link::Garbled, Link::To))
}

/// Whether the link of `digest` may hold `named`.
pub(crate) fn may_lead_to(digest: &Digest, named: &Digest) -> bool {
    named == digest || digest.algorithm() != Algorithm::Sha256 && named.algorithm() == Algorithm::Sha256
}
