//! Undoes deletions over the API, as long as no collection has run since.
//!
//! A DELETE removes the link of a manifest and the tags that name it. All content remains until the next collection.
//! `Store::deleted` lists the manifests that can still be undeleted, `Session::plan_undelete` checks and hashes
//! everything that one needs and decides which links are missing, `Session::undelete` writes those in the order of a
//! push.
//!
//! A link to content that the repository never had would be dangerous: a client that may read the repository could then
//! read what belongs to another one. So content is linked only with evidence from its own repository: see [`Evidence`].

pub(crate) mod apply;
pub(crate) mod find;
mod history;
mod needs;
mod orphans;
pub(crate) mod plan;

use std::time::SystemTime;

pub use self::apply::Outcome;
pub(crate) use self::apply::{apply, check};
pub(crate) use self::find::find;
pub(crate) use self::plan::plan;
pub use self::plan::{Plan, Selection, select_since};
use crate::blocked::Missing;
use crate::digest::Digest;
use crate::registry::image::ImageKind;

/// A manifest that its repository no longer links, but whose content still exists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// The repository that had it.
    pub repository: String,
    /// Its digest.
    pub digest: Digest,
    /// The evidence that the repository had it.
    pub evidence: Evidence,
    /// When it was deleted: when its revision's directory lost the link.
    pub deleted: Option<SystemTime>,
    /// The tags whose index has an entry for it, sorted. The API removes a tag that names the deleted manifest
    /// together with its index, so these tags were moved to another manifest before.
    pub tags: Vec<String>,
    /// Those of the tags that name nothing now and whose index has no other entry.
    pub certain_tags: Vec<String>,
    /// Its kind.
    pub kind: ImageKind,
    /// Its platforms.
    pub platforms: Vec<String>,
    /// How many bytes a client without any content pulls, as far as they still exist.
    pub bytes: u64,
    /// Something without which it cannot be pulled; `None` if everything is there.
    pub missing: Option<Missing>,
    /// The store in which the evidence was found, by a number.
    pub(crate) store: u64,
}

/// The evidence that a repository had a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The directory of its revision exists, without a link, as a DELETE leaves it.
    Revision,
    /// A tag's index has an entry for it.
    TagIndex,
    /// Nothing else in the store refers to it, and the repository has everything that it refers to.
    References,
}

/// A link that is missing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NewLink {
    /// What kind of link it is.
    #[serde(rename = "type")]
    pub kind: LinkKind,
    /// The repository.
    pub repository: String,
    /// What it names.
    pub digest: Digest,
    /// Its path.
    pub path: String,
}

/// The kinds of links, in the order in which they are written for one manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// Lets the repository serve a layer or configuration.
    LayerLink,
    /// Lets it serve a manifest.
    Revision,
    /// Records that a tag named a manifest.
    TagIndexEntry,
    /// What a tag names.
    Tag,
}
