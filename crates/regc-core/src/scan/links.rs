//! What the link of a digest leads to.
//!
//! A client that pushes by another algorithm's digest than SHA-256 gets the content stored under its SHA-256 digest, and the link at
//! the digest that was named holds that one (`blobWriter.Commit` and `linkBlob` in distribution).

use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::registry::layout;
use crate::storage::{Content, ReadStorage};

/// What the link of a digest leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Absent,
    /// The digest under which the content is stored.
    To(Digest),
    /// It holds no digest, or another one than it may.
    Garbled,
}

/// Reads the link of a digest at `path`.
pub(crate) fn read(storage: &dyn ReadStorage, path: &str, digest: &Digest) -> Result<Link, Error> {
    let named = match storage.read(path, layout::link_bytes(Algorithm::Sha512))? {
        Some(Content::Whole(text)) => layout::digest_in_link(&text),
        Some(Content::TooLarge) => None,
        None if storage.stat(path)?.is_none() => return Ok(Link::Absent),
        // Something else than a file.
        None => None,
    };
    Ok(named.filter(|named| may_lead_to(digest, named)).map_or(Link::Garbled, Link::To))
}

/// Whether the link of a digest may hold another one.
pub(crate) fn may_lead_to(digest: &Digest, named: &Digest) -> bool {
    named == digest || digest.algorithm() != Algorithm::Sha256 && named.algorithm() == Algorithm::Sha256
}
