//! Undoing what the API's DELETE did, as long as no collection has run since.
//!
//! DELETE removes the link of a manifest and the tags that name it. Every byte stays until the next collection. [`find`] lists
//! the manifests that can still be had, [`plan`] checks and hashes everything that one needs and decides which links are
//! missing, [`apply`] writes those in the order of a push.
//!
//! The hazard is a link to content that the repository never had: a client that may read the repository would then read what belongs
//! to another. So everything that is linked has left evidence in its own repository, see [`Evidence`].

mod apply;
mod find;
mod history;
mod needs;
mod orphans;
mod plan;

use std::time::SystemTime;

pub use self::apply::{Outcome, apply, check};
pub use self::find::find;
pub use self::plan::{Plan, Selection, plan, select_since};
use crate::blocked::Missing;
use crate::digest::Digest;
use crate::registry::image::ImageKind;

/// A manifest that its repository does not link any more, and whose content is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// The repository that had it.
    pub repository: String,
    /// Its digest.
    pub digest: Digest,
    /// How that is known.
    pub evidence: Evidence,
    /// When it was deleted: when its revision's directory lost the link.
    pub deleted: Option<SystemTime>,
    /// The tags whose index remembers it, sorted. The API removes a tag that names what it deletes with its index, so these
    /// are tags that were moved to another manifest before.
    pub tags: Vec<String>,
    /// Those of the tags that name nothing now and remember nothing else.
    pub certain_tags: Vec<String>,
    /// What it is.
    pub kind: ImageKind,
    /// The platforms that it is for.
    pub platforms: Vec<String>,
    /// How much a client pulls that has nothing yet, in bytes, as far as it is still there.
    pub bytes: u64,
    /// Something without which it cannot be pulled; `None` if everything is there.
    pub missing: Option<Missing>,
}

/// How it is known that a repository had a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The directory of its revision is there, without a link: what the API's DELETE leaves.
    Revision,
    /// A tag's index remembers it.
    TagIndex,
    /// Nothing else in the store knows it, and the repository has everything that it refers to.
    References,
}

/// A link that is missing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NewLink {
    /// What kind of link it is.
    pub kind: LinkKind,
    /// The repository.
    pub repository: String,
    /// Its path.
    pub path: String,
    /// What it names.
    pub digest: Digest,
}

/// The kinds of links, in the order in which they are written for one manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// Lets the repository serve a layer or configuration.
    LayerLink,
    /// Lets it serve a manifest.
    Revision,
    /// Remembers that a tag has named a manifest.
    TagIndexEntry,
    /// What a tag names.
    Tag,
}
