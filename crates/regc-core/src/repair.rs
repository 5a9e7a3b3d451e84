//! Making a store whole again, as far as that can lose nothing.
//!
//! A link is written only where its content is there and is that of its digest. What is removed leads to nothing. What is
//! replaced or removed goes to the trash, with a journal that is written before. What is replaced is so in one step: a run
//! that is killed leaves the old or the new.

mod apply;
mod plan;

pub use self::apply::{Outcome, apply, check};
pub use self::plan::{Plan, plan};
use crate::digest::Digest;
use crate::registry::layout::Location;
use crate::storage::ReadStorage;
use crate::trash;
use crate::verify::content::Pace;

/// What may be done, and how.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Another store, a backup or a mirror, of which content is taken that is missing or damaged.
    pub from: Option<&'a dyn ReadStorage>,
    /// Whether to go on although the store has no repository or no blob.
    pub allow_empty: bool,
    /// Whether to go on although much of what images need is missing: its file system may not be mounted.
    pub allow_missing: bool,
    /// Whether links to manifests that are nowhere are removed, and the tags that name them. As long as a revision's link is
    /// there, a collection keeps its repository whole, so that the manifest's file can be restored.
    pub drop_lost: bool,
    /// How content is read.
    pub pace: &'a Pace<'a>,
}

/// What is done about something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Content is taken from the other store. What was there is moved to the trash.
    Take {
        /// Where it comes to.
        path: String,
        /// Its digest.
        digest: Digest,
    },
    /// Content is moved to the trash that is not that of its digest, so that the next push uploads it again.
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
    /// A link to nothing is moved to the trash.
    RemoveLink {
        /// Where it is.
        path: String,
        /// What it names; none if it is garbled.
        digest: Option<Digest>,
    },
}

impl Action {
    /// Where something is done.
    pub fn path(&self) -> &str {
        match self {
            Action::Take { path, .. }
            | Action::MoveAside { path, .. }
            | Action::WriteLink { path, .. }
            | Action::RemoveLink { path, .. } => path,
        }
    }

    /// The digest that it is about.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Action::Take { digest, .. } | Action::MoveAside { digest, .. } | Action::WriteLink { digest, .. } => {
                Some(*digest)
            }
            Action::RemoveLink { digest, .. } => *digest,
        }
    }

    /// What there is at its path.
    fn kind(&self) -> trash::Kind {
        Location::parse(self.path()).map_or(trash::Kind::File, |location| trash::Kind::of(&location))
    }
}
