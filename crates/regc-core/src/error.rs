//! Everything that can stop a run.

use std::io;
use std::path::PathBuf;

use crate::blocked::Blocked;
use crate::blocked::Missing;
use crate::digest::Digest;

/// Why an operation failed.
///
/// `Display` shows what and where; the underlying cause is the error's `source`, for the caller to print as a chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Listing, reading or changing the storage failed.
    #[error("cannot {action} {path}")]
    Storage {
        /// A verb: `list`, `read`, `remove`, …
        action: &'static str,
        /// The path or key.
        path: String,
        /// The error of the backend.
        source: io::Error,
    },
    /// The root directory is absent. It is never taken for an empty registry.
    #[error(
        "the storage root {0} does not exist; check that its volume is mounted and that this is the right \
         configuration"
    )]
    RootMissing(PathBuf),
    /// The root is not a directory.
    #[error("the storage root {0} is not a directory")]
    RootNotDirectory(PathBuf),
    /// A symbolic link in the layout is dangling, so its target would be taken for absent.
    #[error("{0} is a dangling symbolic link; mount what it points to, or remove the link")]
    BrokenSymlink(String),
    /// When untagged manifests are deleted: a tag's link is a symbolic link out of its repository.
    #[error(
        "{0} is a symbolic link out of its repository, and its target may be garbage there; replace it with a copy"
    )]
    SymlinkElsewhere(String),
    /// A change would be made through a symbolic link in a place where no registry creates one.
    #[error("{0} is a symbolic link, and regc changes nothing through symbolic links; replace it with its target")]
    ThroughSymlink(String),
    /// The store's blobs are those of another store, whose repositories are not scanned.
    #[error("{0} points to the blobs of another store, whose repositories are not scanned; run regc on that store")]
    BlobsOfAnotherStore(String),
    /// The store's repositories are those of another store, whose blobs are elsewhere.
    #[error("{0} points to the repositories of another store, whose blobs are elsewhere; run regc on that store")]
    RepositoriesOfAnotherStore(String),
    /// The configuration is not one that the registry can read.
    #[error("cannot use the configuration: {0}")]
    Config(String),
    /// An environment variable that overrides the configuration cannot be applied.
    #[error("cannot use the environment variable {name}: {reason}")]
    Environment {
        /// The variable.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store can be read, but collecting in it is not safe.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// Another process is changing the store.
    #[error("{path} is locked by {holder}; wait until it is done")]
    Locked {
        /// The store.
        path: String,
        /// The holder of the lock, as far as it is known.
        holder: String,
    },
    /// Something cannot be moved to the trash, or a new file into place, because it would cross file systems. Nothing
    /// is copied silently.
    #[error(
        "{0} is on another file system than .regc in the storage root, or is a mount point; regc does not copy between \
         file systems"
    )]
    OtherFilesystem(String),
    /// The session is already planning or changing the store, in another thread, or in the call whose monitor made this
    /// one.
    #[error("the session is busy; wait until the other call has returned")]
    SessionBusy,
    /// The plan to carry out is not the latest of the session, or the session has changed the store since; or a repair
    /// was to be planned from such a verification.
    #[error("the plan is not the latest of this session, or the store has changed since; plan again")]
    StalePlan,
    /// Something was to be moved or written in a storage that can only delete.
    #[error("this storage has no trash: it can delete objects, but not move or replace them")]
    NoTrash,
    /// The call needs a file system, but the storage is not one.
    #[error("the store is in a bucket; only a file system has blocks to count")]
    NoFileSystem,
    /// The file system has no room for the trash's journal, without which nothing is moved to the trash.
    #[error("nothing was deleted: no space left for the trash's journal{}", told(deleted))]
    NoRoom {
        /// The runs that were deleted from the trash to make room.
        deleted: Vec<RunSize>,
        /// The oldest of the runs that can be emptied without losing anything that is in use.
        oldest: Option<RunSize>,
        /// Why the journal was not written.
        source: Box<Error>,
    },
    /// The registry's cache in Redis cannot be reached or changed.
    #[error("cannot use the registry's cache, {at}")]
    Cache {
        /// The database.
        at: String,
        /// The error of the client.
        source: io::Error,
    },
    /// The journal of a run in the trash cannot be used.
    #[error("cannot use the journal {path}: {reason}")]
    Journal {
        /// The journal.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The checkpoint belongs to a run over other blobs. This run would skip what that run has hashed.
    #[error(
        "the checkpoint belongs to a run over {checkpoint}, not over {run}; repeat that run, or use another checkpoint"
    )]
    OtherCheckpoint {
        /// What the checkpoint's run was to hash.
        checkpoint: String,
        /// What this run is to hash.
        run: String,
    },
    /// Content in the trash does not match its digest, so it is not put back.
    #[error("{0} does not match its digest; it stays in the trash, and can be copied from there")]
    NotItsDigest(String),
    /// Copying content from another store failed, so nothing that needs it is done.
    #[error("{0} was not written: failed to copy its content from the other store")]
    NotTaken(String),
    /// One of regc's own files in a storage root is a symbolic link, which regc never creates.
    #[error("{0} is a symbolic link, which regc never creates there; remove it")]
    OwnSymlink(String),
    /// A retention policy is invalid, or does not say what to keep.
    #[error("cannot use the retention policy: {0}")]
    Policy(String),
    /// A retention rule does not say what to keep. It is not treated as a rule that keeps nothing.
    #[error(
        "what to keep is not set; add keep, keep-within, keep-tag, or a calendar rule such as keep-daily (`keep 0` \
         keeps nothing)"
    )]
    NothingToKeep,
    /// A pattern of names is invalid.
    #[error("invalid pattern: {0}")]
    Pattern(String),
    /// Nothing in the store has such a name.
    #[error("nothing matches {0}")]
    NothingMatches(String),
    /// A manifest that is to be deleted still has tags.
    #[error("{repository}@{digest} still has tags: {}", tags.join(", "))]
    StillTagged {
        /// The repository.
        repository: String,
        /// The manifest.
        digest: Digest,
        /// The tags.
        tags: Vec<String>,
    },
    /// There is nothing in the trash.
    #[error("the trash is empty")]
    TrashEmpty,
    /// No run of that name is in the trash.
    #[error("run {0} is not in the trash")]
    NoSuchRun(String),
    /// The run has nothing of that name in the trash.
    #[error("{what} is not in run {run} of the trash")]
    NotInTrash {
        /// The run.
        run: String,
        /// A digest or repository.
        what: String,
    },
    /// A manifest to undelete is not among those that can be undeleted.
    #[error("{repository}@{digest} is not a deleted manifest that can be undeleted")]
    NotDeleted {
        /// The repository.
        repository: String,
        /// The manifest.
        digest: Digest,
    },
    /// A manifest to undelete needs something that is missing.
    #[error(
        "{repository}@{digest} cannot be undeleted, and nothing was changed: {}",
        missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    NotWhole {
        /// The repository.
        repository: String,
        /// The manifest.
        digest: Digest,
        /// What is missing.
        missing: Vec<Missing>,
    },
    /// A tag to restore already names another manifest.
    #[error(
        "{repository}:{tag} already exists and names another manifest; choose another tag, or remove that one first"
    )]
    TagExists {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
    },
    /// A name that no registry accepts as a tag.
    #[error("{0:?} is not a valid tag")]
    NoTag(String),
    /// A directory among the repositories has a name that is not UTF-8.
    #[error("{0}: the directory's name is not valid UTF-8; rename it")]
    NotUtf8(String),
    /// A manifest or link that was pushed during the run is still incomplete, or is being rewritten.
    #[error("{0} is being written, so nothing was deleted; run the command again")]
    BeingWritten(String),
    /// The monitor stopped the run before it changed anything. Later stops are reported by what the call returns, such
    /// as `Outcome::interrupted`.
    #[error("interrupted; nothing was deleted")]
    Interrupted,
    /// The store has more of something than can be numbered.
    #[error("the store has more {0} than regc supports")]
    TooMany(&'static str),
    /// Starting the threads failed.
    #[error("cannot start {0} threads")]
    Threads(usize),
}

/// Why regc refuses to remove anything, although nothing failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The store has blobs, but no repositories.
    #[error(
        "the store has blobs but no repositories, so everything would be deleted; the root may be wrong, or a file \
         system may not be mounted"
    )]
    NoRepositories,
    /// The storage root exists, but contains no registry.
    #[error("the storage root does not contain docker/registry/v2; its file system may not be mounted")]
    NoLayout,
    /// The storage root exists and contains no registry, but a directory nearby does.
    #[error("the storage root does not contain docker/registry/v2; did you mean {0}?")]
    LayoutElsewhere(String),
    /// An empty directory is a mount point, or its siblings are.
    #[error("{0} is empty, and it or a directory beside it is a mount point; a file system may not be mounted")]
    Unmounted(String),
    /// Much of what images need is missing.
    #[error("{missing} of {needed} blobs that images need are missing; a file system may not be mounted")]
    MissingContent {
        /// How many digests are missing.
        missing: u64,
        /// How many are needed.
        needed: u64,
    },
    /// All that a directory of blobs should hold is missing.
    #[error("all blobs of {0} that images need are missing; a file system may not be mounted")]
    MissingDirectory(String),
    /// A registry answers at the configured address.
    #[error("a registry answers at {0} and is not read-only; images pushed during the run could be lost")]
    RegistryRuns(String),
    /// A server at the registry's address may be the registry.
    #[error("the server at {listener} {answer} and may be a registry; images pushed during the run could be lost")]
    RegistryMayRun {
        /// The address.
        listener: String,
        /// How it answers.
        answer: String,
    },
    /// Something that the deletion names cannot be deleted, so nothing is deleted.
    #[error("nothing was deleted: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Blocked(Vec<Blocked>),
    /// The store has revisions, but no blobs.
    #[error(
        "the store has repositories with manifests, but no blobs, so all links would be deleted; a file system may not \
         be mounted"
    )]
    NoBlobs,
    /// The store has layer links that refer to blobs, and no manifest that shows which of them are in use.
    #[error(
        "the store has repositories with layers, but no manifest links, so every layer would be deleted; the manifests \
         may be in an external metadata database, as in OpenShift's registry"
    )]
    NoManifests,
    /// Untagged manifests are to be deleted, and the store has no tags.
    #[error(
        "the store has manifests but no tags, so all manifests are untagged and would be deleted; the tags may be in \
         an external metadata database"
    )]
    NoTags,
    /// Untagged manifests are to be deleted, and nearly all are untagged.
    #[error(
        "{untagged} of {linked} manifests are untagged and would be deleted; the tags may be in an external metadata \
         database, as in Harbor"
    )]
    MostlyUntagged {
        /// How many manifests no tag reaches.
        untagged: u64,
        /// How many there are.
        linked: u64,
    },
    /// GitLab's registry describes this storage in its database.
    #[error(
        "GitLab's registry keeps this store's repositories and tags in its database ({0}), so the links in the storage \
         do not show what is in use; it collects garbage online by itself"
    )]
    GitLabDatabase(&'static str),
    /// OpenShift's registry keeps manifests and tags in etcd.
    #[error(
        "this is OpenShift's registry (its configuration has an `openshift` section or middleware), which keeps \
         manifests and tags in etcd, so the storage does not show what is in use; use `oc adm prune images`"
    )]
    OpenShift,
    /// Untagged manifests, or named tags and manifests, are to be deleted, and Harbor keeps the tags.
    #[error(
        "this is a Harbor registry (by its `auth` section), which keeps tags in its own database: every manifest looks \
         untagged in the storage, and what is deleted here is not deleted there"
    )]
    HarborUntagged,
    /// The registry is Harbor's, and the options do not allow that.
    #[error(
        "this is a Harbor registry (by its `auth` section), whose database also describes this store; Harbor collects \
         garbage by itself"
    )]
    Harbor,
}

/// A run in the trash, and what deleting it frees.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct RunSize {
    /// The run's name.
    pub run: String,
    /// The length of its blobs and uploads, in bytes.
    pub bytes: u64,
}

/// Formats what was deleted from the trash.
fn told(deleted: &[RunSize]) -> String {
    let runs: Vec<String> = deleted.iter().map(|run| format!("{} ({} bytes)", run.run, run.bytes)).collect();
    if runs.is_empty() {
        String::new()
    } else {
        format!(", even after runs were deleted from the trash: {}", runs.join(", "))
    }
}

impl Error {
    /// Whether a file system, or a user's quota of it, is full.
    pub fn is_full(&self) -> bool {
        let is_full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        matches!(self, Self::Storage { source, .. } if is_full(source.kind()))
    }

    /// Whether the storage refused access.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Storage { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    pub(crate) fn storage(action: &'static str, path: impl Into<String>, source: io::Error) -> Self {
        Self::Storage { action, path: path.into(), source }
    }
}
