//! Repairs a store, as far as possible without loss.
//!
//! A link is written only if its content exists and matches its digest. Only dangling links are removed, and tags that
//! name nothing. What is replaced or removed is moved to the trash, after a journal is written. A replacement is one
//! step: a killed run leaves the old or the new.

pub(crate) mod apply;
pub(crate) mod plan;

pub use self::apply::Outcome;
pub(crate) use self::apply::{apply, check};
pub(crate) use self::plan::plan;
pub use self::plan::{Cause, Plan};
use crate::digest::Digest;
use crate::registry::layout::Location;
use crate::storage::ReadStorage;
use crate::trash;
use crate::verify::content::Bandwidth;

/// Options of a repair.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Another store, from which missing or damaged content is taken.
    pub(crate) from: Option<&'a dyn ReadStorage>,
    /// How fast content is read at most; unlimited if not given.
    pub(crate) bandwidth: Option<Bandwidth>,
    /// Whether to go on although the store has no repository or no blob. `Session::plan_repair` uses what the store
    /// allows.
    pub(crate) allow_empty: bool,
    pub(crate) allow_missing: bool,
    pub(crate) drop_lost: bool,
}

impl<'a> Options<'a> {
    /// Returns the options of a repair that uses only what is in the store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies missing or damaged content from another store, such as a backup or a mirror: its `Store::storage`.
    #[must_use]
    pub fn from(self, from: Option<&'a dyn ReadStorage>) -> Self {
        Self { from, ..self }
    }

    /// Limits how fast content is read.
    #[must_use]
    pub fn bandwidth(self, bandwidth: Option<Bandwidth>) -> Self {
        Self { bandwidth, ..self }
    }

    /// Sets whether to continue even if much of what images need is missing: its file system may not be mounted.
    #[must_use]
    pub fn allow_missing(self, allow_missing: bool) -> Self {
        Self { allow_missing, ..self }
    }

    /// Sets whether to remove links to manifests that no longer exist anywhere, and the tags that name them. As long as
    /// a revision's link exists, a collection keeps everything in its repository, so that the manifest's file can be
    /// restored.
    #[must_use]
    pub fn drop_lost(self, drop_lost: bool) -> Self {
        Self { drop_lost, ..self }
    }
}

/// One step of a repair.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Content is copied from the other store. What was there is moved to the trash.
    Take {
        /// Where it is put.
        path: String,
        /// Its digest.
        digest: Digest,
    },
    /// Content that does not match its digest is moved to the trash, so that the next push uploads it again.
    MoveAside {
        /// Where it is.
        path: String,
        /// The digest that it should have.
        digest: Digest,
    },
    /// A link is written; what was there is moved to the trash.
    WriteLink {
        /// Where it is.
        path: String,
        /// What it names.
        digest: Digest,
    },
    /// A dangling link is moved to the trash.
    RemoveLink {
        /// Where it is.
        path: String,
        /// What it names; `None` if it is garbled.
        digest: Option<Digest>,
    },
}

impl Action {
    /// Returns the path that it changes.
    pub fn path(&self) -> &str {
        match self {
            Action::Take { path, .. }
            | Action::MoveAside { path, .. }
            | Action::WriteLink { path, .. }
            | Action::RemoveLink { path, .. } => path,
        }
    }

    /// Returns the digest that it is about.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Action::Take { digest, .. } | Action::MoveAside { digest, .. } | Action::WriteLink { digest, .. } => {
                Some(*digest)
            }
            Action::RemoveLink { digest, .. } => *digest,
        }
    }

    /// Returns what is at its path.
    fn kind(&self) -> trash::Kind {
        Location::parse(self.path()).map_or(trash::Kind::File, |location| trash::Kind::of(&location))
    }
}
