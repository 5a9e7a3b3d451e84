//! Why something that was named cannot be deleted.

use std::fmt;

use crate::digest::Digest;

/// Something that a deletion names, but that is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocked {
    /// The repository.
    pub repository: String,
    /// What is kept in it.
    pub what: Named,
    /// Why.
    pub reason: Cause,
}

/// What a deletion names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// The whole repository.
    Repository,
    /// A tag.
    Tag(String),
    /// A manifest.
    Manifest(Digest),
}

/// Why something is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A tag that is kept names it.
    Tagged(String),
    /// It is part of this index, which is kept.
    PartOf(Digest),
    /// Symbolic links point into or out of the repository, or to the tag.
    Symlinks,
    /// This symbolic link gives the repository another name, and would be dangling.
    Alias(String),
    /// This manifest, which the deletion does not name, is damaged or missing, so what it needs is unknown.
    Damaged(Digest),
    /// A tag that is kept is garbled, so what it named is unknown.
    GarbledTag,
    /// The restore of this run from the trash, which includes something of the repository, is not complete.
    BeingRestored(String),
    /// This link in the repository is empty: the registry is writing it.
    BeingWritten(String),
    /// It, or something in it, is too recent to be deleted.
    Recent,
    /// The caller keeps it, or something in it, as a root of its own (`CollectOptions::also_root`).
    Root,
    /// The tag now names something else.
    Changed,
}

impl Blocked {
    /// Whether an obstacle prevents the deletion, and not its age or use.
    pub fn is_obstructed(&self) -> bool {
        matches!(self.reason, Cause::Symlinks | Cause::Alias(_) | Cause::GarbledTag)
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, what, reason } = self;
        match what {
            Named::Repository => write!(f, "{repository}: {reason}"),
            Named::Tag(tag) => write!(f, "{repository}:{tag}: {reason}"),
            Named::Manifest(digest) => write!(f, "{repository}@{digest}: {reason}"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Tagged(tag) => write!(f, "the tag {tag}, which is kept, names it"),
            Cause::PartOf(index) => write!(f, "it is part of the index {index}, which is kept"),
            Cause::Symlinks => {
                f.write_str("it is behind a symbolic link, and regc deletes nothing through symbolic links")
            }
            Cause::Alias(link) => {
                write!(f, "the symbolic link {link} gives it another name; remove the link first")
            }
            Cause::Damaged(manifest) => {
                write!(
                    f,
                    "the manifest {manifest} in this repository is damaged or missing, so what it needs is unknown; \
                     restore it, or name it as well"
                )
            }
            Cause::GarbledTag => f.write_str("a tag of this repository is garbled, so what it named is unknown"),
            Cause::BeingRestored(run) => write!(f, "the restore of run {run} is not complete"),
            Cause::BeingWritten(link) => write!(f, "the registry is writing {link}, or was interrupted"),
            Cause::Root => f.write_str("something outside the registry uses it"),
            Cause::Recent => f.write_str("it is too recent"),
            Cause::Changed => f.write_str("it was pushed again in the meantime"),
        }
    }
}

/// Something without which a manifest cannot be pulled.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Missing {
    /// What is missing.
    pub digest: Digest,
    /// Why it is unavailable.
    pub reason: MissingReason,
}

/// Why something is unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingReason {
    /// There is no such content.
    NoContent,
    /// The content does not match its digest.
    Damaged,
    /// It is not a manifest that regc understands.
    NotUnderstood,
    /// The content exists, but nothing shows that this repository had it.
    NeverInRepository,
    /// The repository's link to it is garbled, or names something else.
    GarbledLink,
    /// A directory of the repository is a symbolic link, and no link is written through one.
    BehindSymlink,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            MissingReason::NoContent => "has no content in the store",
            MissingReason::Damaged => "does not match its digest",
            MissingReason::NotUnderstood => "is not a manifest that regc understands",
            MissingReason::NeverInRepository => "is not known to have been in this repository",
            MissingReason::GarbledLink => "has a garbled link",
            MissingReason::BehindSymlink => "is behind a symbolic link, and regc writes nothing through symbolic links",
        };
        write!(f, "{} {reason}", self.digest)
    }
}
