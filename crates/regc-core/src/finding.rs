//! Damage that is found during a run.

mod kind;

pub use self::kind::{Explanation, Kind, Severity};
use crate::blocked::{Blocked, Named};
use crate::digest::Digest;
use crate::registry::layout;
use crate::registry::manifest::Damage;

/// Damage in a store. It never stops a run: what it may have referred to is kept, and the rest is collected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A linked manifest that is not understood, that does not match its digest, or whose content a repair moved to the
    /// trash. Everything in its repository is kept.
    DamagedManifest {
        /// The repository that links it.
        repository: String,
        /// The manifest.
        manifest: Digest,
        /// What is wrong with it.
        damage: Damage,
    },
    /// A linked revision whose blob is missing. What it needs is unknown, so everything in its repository is kept.
    DanglingRevision {
        /// The repository that links it.
        repository: String,
        /// The manifest that is missing.
        manifest: Digest,
    },
    /// A revision link that does not hold its digest. The directory's name identifies the revision, so it counts.
    GarbledRevisionLink {
        /// The repository.
        repository: String,
        /// The revision.
        manifest: Digest,
    },
    /// A tag whose link is missing or holds no digest, and that has an index. Everything that the tag has ever named
    /// counts as tagged.
    GarbledTag {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
    },
    /// A tag that names a manifest that the repository does not link. It cannot be pulled.
    DanglingTag {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
        /// The manifest that it names.
        manifest: Digest,
    },
    /// A layer or config of a live manifest that is not in the store.
    MissingBlob {
        /// The repository.
        repository: String,
        /// The manifest that refers to it.
        manifest: Digest,
        /// The missing blob.
        blob: Digest,
    },
    /// A file that no registry wrote, beside something that is deleted. It is kept, and so is its directory, so the
    /// registry still lists the tag or repository.
    ForeignFile {
        /// The repository.
        repository: String,
        /// Its key.
        path: String,
    },
    /// Something that a rule selects for deletion, but that is kept.
    Blocked(Blocked),
    /// A repository whose name no registry serves: its directory was renamed. Nothing in it is deleted.
    UnservedRepository {
        /// The repository.
        repository: String,
    },
    /// An incomplete restore from the trash that includes something of the repository. Everything in the repository is
    /// kept.
    BeingRestored {
        /// The repository.
        repository: String,
        /// The run that is being restored.
        run: String,
    },
    /// An empty link in a bucket where the registry creates a link first, and adds its content afterwards. Everything
    /// in the repository is kept.
    LinkBeingWritten {
        /// The repository.
        repository: String,
        /// The key of the link.
        path: String,
    },
    /// Blobs reached through a symbolic link out of the storage root. Another store may use them, so they are kept.
    BlobsElsewhere {
        /// The key of the link.
        path: String,
    },
    /// The registry's cache in Redis still lists what was removed, because Redis could not be reached.
    StaleCache {
        /// The database, for display.
        cache: String,
        /// Why the entries were not removed.
        reason: String,
    },
    /// Something live that was in the trash, and not in the store.
    InTrash {
        /// A repository that needs it.
        repository: String,
        /// Its digest.
        digest: Digest,
        /// Its key in the registry.
        path: String,
        /// The run that moved it to the trash.
        run: String,
        /// Whether it was put back; a dry run does not put it back.
        restored: bool,
    },
}

impl Finding {
    /// Returns the stable code, for example `RG012`, which [`Kind::page`] explains.
    pub const fn code(&self) -> &'static str {
        self.kind().page().code
    }

    /// Returns the stable name, for example `garbled_tag`.
    pub const fn name(&self) -> &'static str {
        self.kind().page().name
    }

    /// Returns its severity.
    pub const fn severity(&self) -> Severity {
        self.kind().page().severity
    }

    /// Returns its kind, which [`explain`](crate::finding::Kind::page) describes.
    pub const fn kind(&self) -> Kind {
        match self {
            Finding::DamagedManifest { damage: Damage::DigestMismatch(_) | Damage::MovedAside, .. } => {
                Kind::DamagedManifest
            }
            Finding::DamagedManifest { .. } => Kind::UnknownManifest,
            Finding::DanglingRevision { .. } => Kind::DanglingRevision,
            Finding::GarbledRevisionLink { .. } => Kind::GarbledRevisionLink,
            Finding::GarbledTag { .. } => Kind::GarbledTag,
            Finding::DanglingTag { .. } => Kind::DanglingTag,
            Finding::MissingBlob { .. } => Kind::MissingBlob,
            Finding::ForeignFile { .. } => Kind::ForeignFile,
            Finding::Blocked(_) => Kind::Blocked,
            Finding::UnservedRepository { .. } => Kind::UnservedRepository,
            Finding::BeingRestored { .. } => Kind::BeingRestored,
            Finding::LinkBeingWritten { .. } => Kind::LinkBeingWritten,
            Finding::BlobsElsewhere { .. } => Kind::BlobsElsewhere,
            Finding::StaleCache { .. } => Kind::StaleCache,
            Finding::InTrash { .. } => Kind::InTrash,
        }
    }

    /// Returns the affected repository; empty if there is no single one.
    pub fn repository(&self) -> &str {
        match self {
            Finding::DamagedManifest { repository, .. }
            | Finding::DanglingRevision { repository, .. }
            | Finding::GarbledRevisionLink { repository, .. }
            | Finding::GarbledTag { repository, .. }
            | Finding::DanglingTag { repository, .. }
            | Finding::MissingBlob { repository, .. }
            | Finding::ForeignFile { repository, .. }
            | Finding::Blocked(Blocked { repository, .. })
            | Finding::UnservedRepository { repository }
            | Finding::BeingRestored { repository, .. }
            | Finding::LinkBeingWritten { repository, .. }
            | Finding::InTrash { repository, .. } => repository,
            Finding::BlobsElsewhere { .. } | Finding::StaleCache { .. } => "",
        }
    }

    /// Returns the digest of what is missing, damaged, garbled, dangling or in the trash; `None` if there is none.
    pub const fn digest(&self) -> Option<&Digest> {
        match self {
            Finding::MissingBlob { blob: digest, .. } | Finding::InTrash { digest, .. } => Some(digest),
            _ => self.manifest(),
        }
    }

    /// Returns the affected manifest, if there is one.
    pub const fn manifest(&self) -> Option<&Digest> {
        match self {
            Finding::DamagedManifest { manifest, .. }
            | Finding::DanglingRevision { manifest, .. }
            | Finding::GarbledRevisionLink { manifest, .. }
            | Finding::DanglingTag { manifest, .. }
            | Finding::MissingBlob { manifest, .. } => Some(manifest),
            Finding::GarbledTag { .. }
            | Finding::ForeignFile { .. }
            | Finding::Blocked(_)
            | Finding::UnservedRepository { .. }
            | Finding::BeingRestored { .. }
            | Finding::LinkBeingWritten { .. }
            | Finding::BlobsElsewhere { .. }
            | Finding::StaleCache { .. }
            | Finding::InTrash { .. } => None,
        }
    }

    /// Returns the key of what is damaged or missing; for a cache, its address.
    pub fn path(&self) -> String {
        match self {
            Finding::DamagedManifest { manifest, .. } | Finding::DanglingRevision { manifest, .. } => {
                layout::blob_data(manifest)
            }
            Finding::GarbledRevisionLink { repository, manifest } => layout::revision_link(repository, manifest),
            Finding::GarbledTag { repository, tag } | Finding::DanglingTag { repository, tag, .. } => {
                layout::tag_link(repository, tag)
            }
            Finding::MissingBlob { blob, .. } => layout::blob_data(blob),
            Finding::UnservedRepository { repository } | Finding::BeingRestored { repository, .. } => {
                layout::repository(repository)
            }
            Finding::Blocked(blocked) => path_of(blocked),
            Finding::ForeignFile { path, .. }
            | Finding::LinkBeingWritten { path, .. }
            | Finding::BlobsElsewhere { path }
            | Finding::StaleCache { cache: path, .. }
            | Finding::InTrash { path, .. } => path.clone(),
        }
    }

    /// Returns what is wrong, as a sentence without a full stop.
    pub fn message(&self) -> String {
        match self {
            Finding::DamagedManifest { repository, manifest, damage } => {
                format!("{repository}: manifest {manifest} is damaged: {damage}; everything in the repository is kept")
            }
            Finding::DanglingRevision { repository, manifest } => {
                format!(
                    "{repository}: manifest {manifest} is linked, but its content is missing; everything in the \
                     repository is kept"
                )
            }
            Finding::GarbledRevisionLink { repository, manifest } => {
                format!("{repository}: the link of manifest {manifest} is empty or garbled; it counts as linked")
            }
            Finding::GarbledTag { repository, tag } => format!(
                "{repository}: the link of the tag {tag} is missing, empty or garbled; everything it has ever named counts as tagged"
            ),
            Finding::DanglingTag { repository, tag, manifest } => {
                format!("{repository}: the tag {tag} names {manifest}, which the repository does not link")
            }
            Finding::MissingBlob { repository, manifest, blob } => {
                format!("{repository}: manifest {manifest} cannot be pulled: {blob} is missing")
            }
            Finding::ForeignFile { path, .. } => {
                format!("{path} is not a file of the registry; it is kept, and so is its directory")
            }
            Finding::Blocked(blocked) => format!("{blocked}; it is not removed"),
            Finding::UnservedRepository { repository } => {
                format!("{repository}: no registry serves a repository of this name; it is kept")
            }
            Finding::BeingRestored { repository, run } => {
                format!("{repository}: the restore of run {run} is not complete; everything in the repository is kept")
            }
            Finding::LinkBeingWritten { path, .. } => {
                format!(
                    "{path} is empty: the registry is writing it, or was interrupted; everything in the repository is \
                     kept"
                )
            }
            Finding::BlobsElsewhere { path } => format!(
                "{path} is a symbolic link out of the storage root; the blobs in it are kept, since another store may use them"
            ),
            Finding::StaleCache { cache, reason } => {
                format!("the registry's cache, {cache}, still lists what was removed: {reason}")
            }
            Finding::InTrash { repository, digest, run, restored, .. } => {
                let what = if *restored { "was put back from the trash" } else { "is in the trash" };
                format!("{repository}: {digest} is in use, and {what} (run {run})")
            }
        }
    }

    /// Returns what an operator can do about it: the remedy of the [kind](Kind::page), unless more is known.
    pub fn remedy(&self) -> &'static str {
        match self {
            Finding::ForeignFile { path, .. } if layout::is_remnant(path) => {
                "none is needed: an interrupted copy left it, and `regc gc --tidy` deletes it once it is a week old"
            }
            Finding::InTrash { restored: true, .. } => {
                "none is needed; next time, stop the registry before you delete anything"
            }
            Finding::InTrash { restored: false, .. } => {
                "none is needed: the next run that removes anything puts it back first"
            }
            _ => self.kind().page().remedy,
        }
    }

    /// Returns the key that reported findings are sorted by, whatever the order in which they were found.
    pub(crate) fn sort_key(&self) -> (&str, &'static str, String, Option<Digest>) {
        (self.repository(), self.code(), self.path(), self.manifest().copied())
    }
}

/// Returns the key of what stays.
fn path_of(blocked: &Blocked) -> String {
    match &blocked.what {
        Named::Repository => layout::repository(&blocked.repository),
        Named::Tag(tag) => layout::tag(&blocked.repository, tag),
        Named::Manifest(digest) => layout::revision(&blocked.repository, digest),
    }
}
