//! Everything that can be wrong in a store: its name, what it means, and what can be done about it.
//!
//! This is the only source of `regc explain`, of docs/findings.md, and of the codes in all reports.

use serde::Serialize;

use crate::registry::config::Absences;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// An image cannot be pulled.
    Error,
    /// Something is wrong, but images can still be pulled, except as reported.
    Warning,
    /// Nothing is wrong: something is left over, or does not belong to the registry.
    Note,
}

impl Severity {
    /// Returns the name, for example `error`.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// The explanation of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// A stable code: `RG012`.
    pub code: &'static str,
    /// A stable name for programs.
    pub name: &'static str,
    /// The severity.
    pub severity: Severity,
    /// A title of a few words.
    pub title: &'static str,
    /// What it means for the registry and its clients, and what causes it.
    pub meaning: &'static str,
    /// What an operator can do.
    pub remedy: &'static str,
    /// What `regc repair` does about it, if anything.
    pub repair: Option<&'static str>,
}

/// A kind of finding: something that can be wrong in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "its page tells what each is")]
pub enum Kind {
    ForeignName,
    BrokenSymlink,
    Unreadable,
    CannotBeRead,
    UnservedRepository,
    ForeignFile,
    Blocked,
    GarbledRevisionLink,
    GarbledLayerLink,
    GarbledTag,
    GarbledTagIndexEntry,
    MisdirectedLink,
    DanglingRevision,
    DanglingTag,
    DanglingTagIndexEntry,
    MissingChild,
    MissingBlob,
    WrongSize,
    DanglingLayerLink,
    MissingLayerLink,
    AbsentChild,
    ExpiredBlob,
    DamagedManifest,
    UnknownManifest,
    DamagedBlob,
    UnreferencedBlob,
    StaleUpload,
    BlobsElsewhere,
    InTrash,
    BeingRestored,
    LinkBeingWritten,
    StaleCache,
}

impl Kind {
    /// All kinds, in the order of their codes.
    pub const ALL: [Kind; 32] = [
        Kind::ForeignName,
        Kind::BrokenSymlink,
        Kind::Unreadable,
        Kind::CannotBeRead,
        Kind::UnservedRepository,
        Kind::ForeignFile,
        Kind::Blocked,
        Kind::GarbledRevisionLink,
        Kind::GarbledLayerLink,
        Kind::GarbledTag,
        Kind::GarbledTagIndexEntry,
        Kind::MisdirectedLink,
        Kind::DanglingRevision,
        Kind::DanglingTag,
        Kind::DanglingTagIndexEntry,
        Kind::MissingChild,
        Kind::MissingBlob,
        Kind::WrongSize,
        Kind::DanglingLayerLink,
        Kind::MissingLayerLink,
        Kind::AbsentChild,
        Kind::ExpiredBlob,
        Kind::DamagedManifest,
        Kind::UnknownManifest,
        Kind::DamagedBlob,
        Kind::UnreferencedBlob,
        Kind::StaleUpload,
        Kind::BlobsElsewhere,
        Kind::InTrash,
        Kind::BeingRestored,
        Kind::LinkBeingWritten,
        Kind::StaleCache,
    ];

    /// Returns the kind that it is in a registry with these absences.
    pub fn in_spite_of(self, absences: Absences) -> Self {
        match self {
            Kind::MissingBlob if absences.content => Kind::ExpiredBlob,
            Kind::MissingChild if absences.content || absences.platforms => Kind::AbsentChild,
            kind => kind,
        }
    }

    /// Returns the kind with this code, in any case: `RG012`.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.page().code.eq_ignore_ascii_case(code))
    }

    /// Returns the kind with this name, in any case: `garbled_tag`.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.page().name.eq_ignore_ascii_case(name))
    }

    /// Returns the stable code: `RG012`.
    pub const fn code(self) -> &'static str {
        self.page().code
    }

    /// Returns how bad it is.
    pub const fn severity(self) -> Severity {
        self.page().severity
    }

    /// Returns its explanation.
    pub const fn page(self) -> &'static Explanation {
        match self {
            Kind::ForeignName => &Explanation {
                code: "RG001",
                name: "foreign_name",
                severity: Severity::Note,
                title: "a name that is no part of a registry's storage",
                meaning: "The registry never makes such a name, and passes it over: `lost+found`, `.DS_Store`, a file that \
                          somebody has put there. regc leaves it alone.",
                remedy: "none is needed; remove it if nobody knows it",
                repair: None,
            },
            Kind::BrokenSymlink => &Explanation {
                code: "RG002",
                name: "broken_symlink",
                severity: Severity::Error,
                title: "a dangling symbolic link",
                meaning: "It should lead to a part of the storage, maybe on an unmounted file system. What it leads to \
                          cannot be pulled, and `regc gc` refuses to run: what is not seen cannot be protected.",
                remedy: "mount what it leads to, or remove the link",
                repair: None,
            },
            Kind::Unreadable => &Explanation {
                code: "RG003",
                name: "unreadable",
                severity: Severity::Error,
                title: "the registry's user may not read it",
                meaning: "Whoever owns the storage's directory cannot read this, by its owner and mode, so the registry \
                          answers with an internal error. Files come to that when somebody restores or copies them as root.",
                remedy: "give it to the registry's user: chown, or chmod",
                repair: None,
            },
            Kind::CannotBeRead => &Explanation {
                code: "RG004",
                name: "cannot_be_read",
                severity: Severity::Error,
                title: "it cannot be read",
                meaning: "The storage answers with an error. A disk may be failing, or regc may not have the rights.",
                remedy: "look into the system's log for errors of the disk, and run regc as the registry's user",
                repair: Some("takes content that cannot be read from another store with `--from`"),
            },
            Kind::UnservedRepository => &Explanation {
                code: "RG005",
                name: "unserved_repository",
                severity: Severity::Warning,
                title: "a repository under a name that no registry serves",
                meaning: "A directory was renamed, `app` to `app~` or `_old/app`, to put the repository aside. No client can \
                          reach it, and the registry's own collection stops at it. regc keeps what its manifests need, \
                          and deletes nothing in it.",
                remedy: "rename the directory to have the repository back, or delete it with `regc rm --path`",
                repair: None,
            },
            Kind::ForeignFile => &Explanation {
                code: "RG006",
                name: "foreign_file",
                severity: Severity::Warning,
                title: "a foreign file beside what is removed",
                meaning: "A tag or repository is removed, and in its directory is a file that no registry has put there: \
                          `.nfs0000`, `.DS_Store`, `@eaDir`. The links are deleted; the file stays where it is, and its \
                          directory with it, so the registry goes on listing a name that cannot be pulled.",
                remedy: "delete the file, and run `regc gc --tidy`, which itself deletes what an interrupted copy has left \
                         (`.link.Xy12Za`, `link.part`) once it is a week old",
                repair: None,
            },
            Kind::Blocked => &Explanation {
                code: "RG007",
                name: "kept_back",
                severity: Severity::Warning,
                title: "something in the way of what should be removed",
                meaning: "A retention rule removes a tag, and it stays: it is a symbolic link, one leads to it or to its \
                          repository, or a garbled tag of the repository may have named the same image.",
                remedy: "clear what is in the way, and run the same command again",
                repair: None,
            },
            Kind::GarbledRevisionLink => &Explanation {
                code: "RG010",
                name: "garbled_revision_link",
                severity: Severity::Error,
                title: "the link of a manifest is empty or garbled",
                meaning: "The registry cannot serve the manifest by its digest, and with it no tag that names it. A full \
                          disk or a power cut while the image was pushed leaves such links.",
                remedy: "repair it, or push the image again, which writes the link anew",
                repair: Some(
                    "writes the link anew, where the manifest is there and its content is that of the directory's name",
                ),
            },
            Kind::GarbledLayerLink => &Explanation {
                code: "RG011",
                name: "garbled_layer_link",
                severity: Severity::Error,
                title: "the link of a layer is empty or garbled",
                meaning: "The registry cannot serve the layer in this repository, and pulls of images that need it fail. A \
                          full disk or a power cut while the image was pushed leaves such links. Of a link that no image \
                          needs, only the size is looked at.",
                remedy: "repair it, or push the image again",
                repair: Some("writes the link anew, where the content is there and is that of the directory's name"),
            },
            Kind::GarbledTag => &Explanation {
                code: "RG012",
                name: "garbled_tag",
                severity: Severity::Error,
                title: "a tag's link is missing, empty or garbled",
                meaning: "The tag cannot be pulled. So it is where the link is missing: the registry lists every tag that has \
                          a directory, and a push that was cut off leaves one. With `--delete-untagged`, regc counts everything that it has ever named \
                          as tagged.",
                remedy: "push the tag again, which writes the link anew",
                repair: Some("writes the link anew, where it holds a digest and white space around it"),
            },
            Kind::GarbledTagIndexEntry => &Explanation {
                code: "RG013",
                name: "garbled_tag_index_entry",
                severity: Severity::Warning,
                title: "an entry in a tag's index is empty or garbled",
                meaning: "Only the registry's own garbage collection reads these entries, and it stops there. One that names another \
                          digest than its directory does is garbled, too.",
                remedy: "repair it, or push the tag again",
                repair: Some("writes the entry anew where its manifest is linked, else removes it"),
            },
            Kind::MisdirectedLink => &Explanation {
                code: "RG014",
                name: "misdirected_link",
                severity: Severity::Error,
                title: "a link names another digest than its directory does",
                meaning: "The registry serves other content than was asked for, and clients refuse it. No registry writes \
                          such a link: somebody has copied or edited files.",
                remedy: "repair it, or push the image again",
                repair: Some("writes the link anew, where the content is there and is that of the directory's name"),
            },
            Kind::DanglingRevision => &Explanation {
                code: "RG020",
                name: "dangling_revision",
                severity: Severity::Error,
                title: "a manifest is linked, and its content is missing",
                meaning: "The image cannot be pulled. Content is lost where files were removed by hand, or when an image \
                          was pushed while the registry collected garbage. Nobody knows what the manifest needs, so a \
                          collection keeps the whole repository until the content is back or somebody gives it up.",
                remedy: "take the content from a backup with `regc repair --from`, push the image again, or delete it with \
                         `regc rm REPOSITORY@DIGEST` or `regc repair --drop-lost`",
                repair: Some(
                    "takes the content from another store with `--from`; with `--drop-lost`, removes the link, and with it \
                     the tags that name the manifest, unless it is in the trash, cannot be read now, or something is \
                     attached to it",
                ),
            },
            Kind::DanglingTag => &Explanation {
                code: "RG021",
                name: "dangling_tag",
                severity: Severity::Error,
                title: "a tag names a manifest that the repository does not link",
                meaning: "The registry lists the tag and cannot serve it. A deletion that was cut off leaves such tags.",
                remedy: "repair it, push the tag again, or remove it with `regc rm`",
                repair: Some(
                    "links the manifest again with what it needs, where its content is there and is that of its digest, \
                     even if somebody has deleted the manifest and the tag was left; else, with `--drop-lost`, removes the tag",
                ),
            },
            Kind::DanglingTagIndexEntry => &Explanation {
                code: "RG022",
                name: "dangling_tag_index_entry",
                severity: Severity::Note,
                title: "a tag remembers a manifest that was deleted",
                meaning: "A deletion through the API leaves these entries. They are dangling, and no client sees them.",
                remedy: "none is needed; `regc gc --tidy` removes them",
                repair: Some("removes the entry"),
            },
            Kind::MissingChild => &Explanation {
                code: "RG023",
                name: "missing_child",
                severity: Severity::Warning,
                title: "a platform of an index is missing",
                meaning: "The index can be pulled for its other platforms only, and the repository has had this one: the \
                          directory of its link is there, a tag's index has an entry for it, or its link is in the trash; or \
                          the repository has no platform of the index at all. A deletion through the API leaves the \
                          directory. One of which nothing shows that the repository has had it is RG028.",
                remedy: "push the platform's image again, or take it from a backup with `regc repair --from`",
                repair: Some(
                    "links it again with what it needs, where its content is there; takes the content from another store \
                     with `--from`",
                ),
            },
            Kind::MissingBlob => &Explanation {
                code: "RG024",
                name: "missing_blob",
                severity: Severity::Error,
                title: "a layer or configuration is missing",
                meaning: "The image cannot be pulled. Content is lost where files were removed by hand, or when an image \
                          was pushed while the registry collected garbage.",
                remedy: "push the image again, which uploads what is missing, or take it from a backup with `regc repair --from`",
                repair: Some("takes the content from another store with `--from`, and links it"),
            },
            Kind::WrongSize => &Explanation {
                code: "RG025",
                name: "wrong_size",
                severity: Severity::Error,
                title: "content does not have the size that a manifest states",
                meaning: "Clients refuse it, so the image cannot be pulled. The file was cut off by a full disk, or the \
                          manifest is wrong; `--content` tells which.",
                remedy: "run `regc verify --content`, and repair what that finds; if nothing, push the image again",
                repair: Some(
                    "moves content aside that is not that of its digest, so that the next push uploads it again",
                ),
            },
            Kind::DanglingLayerLink => &Explanation {
                code: "RG026",
                name: "dangling_layer_link",
                severity: Severity::Warning,
                title: "a layer is linked, and its content is missing",
                meaning: "No image in this repository needs it. A push that reuses the layer uploads it again.",
                remedy: "none is needed; `regc gc` removes the link",
                repair: None,
            },
            Kind::MissingLayerLink => &Explanation {
                code: "RG027",
                name: "missing_layer_link",
                severity: Severity::Error,
                title: "an image needs a layer that its repository does not link",
                meaning: "The content is there, and the registry answers that it is not: it serves a layer only in \
                          repositories that link it. Links are lost where files were removed by hand.",
                remedy: "repair it, or push the image again",
                repair: Some(
                    "links it, where its content is that of its digest, and where the repository has had it: the directory of \
                     its link is there, a tag's index has an entry for it, its link is in the trash or in the other store of \
                     `--from`, or an image needs it whose layers the registry has checked when it was pushed",
                ),
            },
            Kind::AbsentChild => &Explanation {
                code: "RG028",
                name: "absent_child",
                severity: Severity::Note,
                title: "an index lists a platform or layer that the repository never had",
                meaning: "Such an index is sparse: whoever made it has pushed only some of its platforms, and it can be \
                          pulled for those. Nothing shows that the repository has had this one: neither the directory of a \
                          link, nor an entry in a tag's index, nor a link in the trash. But `registry garbage-collect \
                          --delete-untagged` of distribution 2.8 leaves no trace of the platforms that it removes.",
                remedy: "none is needed if the index was pushed like that; else push the platform's image, or take it from a \
                         backup with `regc repair --from`",
                repair: Some("links it where the other store of `--from` has it in the same repository"),
            },
            Kind::ExpiredBlob => &Explanation {
                code: "RG029",
                name: "expired_blob",
                severity: Severity::Note,
                title: "content that a pull-through cache does not have now",
                meaning: "The configuration names a registry that this one is a cache of (`proxy.remoteurl`). It lets content \
                          expire, and fetches it again when somebody pulls it.",
                remedy: "none is needed: a pull brings it back",
                repair: None,
            },
            Kind::DamagedManifest => &Explanation {
                code: "RG030",
                name: "damaged_manifest",
                severity: Severity::Error,
                title: "a manifest does not have the content of its digest",
                meaning: "Clients that look refuse it; and as long as the file is there, a push of the true content is \
                          answered with \"already exists\". `regc gc` keeps the whole repository.",
                remedy: "repair it, and push the image again before the registry's own `garbage-collect` runs, which removes \
                         the layers of manifests that are not there",
                repair: Some(
                    "takes the content from another store with `--from`; else moves it aside, so that the next push \
                     uploads it again; until then, `regc gc` goes on to keep the whole repository, as long as what was \
                     moved aside is in the trash",
                ),
            },
            Kind::UnknownManifest => &Explanation {
                code: "RG031",
                name: "unknown_manifest",
                severity: Severity::Error,
                title: "a manifest is not understood",
                meaning: "It has the content of its digest, and is no JSON, or of a kind that regc does not know. Nobody \
                          knows what it needs, so `regc gc` keeps the whole repository.",
                remedy: "delete it through the API if nobody needs it; else tell the authors of regc what it is",
                repair: None,
            },
            Kind::DamagedBlob => &Explanation {
                code: "RG032",
                name: "damaged_blob",
                severity: Severity::Error,
                title: "content is not that of its digest",
                meaning: "Clients refuse it, so no image that needs it can be pulled; and as long as the file is there, a \
                          push of the true content is answered with \"already exists\".",
                remedy: "repair it, and push the image again",
                repair: Some(
                    "takes the content from another store with `--from`; else moves it aside, so that the next push \
                     uploads it again",
                ),
            },
            Kind::UnreferencedBlob => &Explanation {
                code: "RG040",
                name: "unreferenced_blob",
                severity: Severity::Note,
                title: "content that nothing refers to",
                meaning: "It is garbage: what is left of images that were deleted, or of a push that did not end.",
                remedy: "none is needed; `regc gc` frees the space",
                repair: None,
            },
            Kind::StaleUpload => &Explanation {
                code: "RG041",
                name: "stale_upload",
                severity: Severity::Note,
                title: "an upload that began more than a week ago",
                meaning: "It was abandoned. The registry keeps what was uploaded.",
                remedy: "none is needed; `regc gc --purge-uploads` frees the space",
                repair: None,
            },
            Kind::BlobsElsewhere => &Explanation {
                code: "RG042",
                name: "blobs_elsewhere",
                severity: Severity::Note,
                title: "blobs behind a symbolic link out of the storage root",
                meaning: "A directory of blobs is a symbolic link to somewhere else. Nothing there tells whether another \
                          store links the same directory, so a collection keeps the blobs in it.",
                remedy: "none is needed; if no other store uses them, `regc gc --allow-symlinked-blobs` collects them as well",
                repair: None,
            },
            Kind::InTrash => &Explanation {
                code: "RG050",
                name: "in_trash",
                severity: Severity::Error,
                title: "something in use is in the trash",
                meaning: "It was pushed while a run of regc removed it. The next run that removes something puts it back \
                          before anything else.",
                remedy: "run `regc gc`, or `regc trash restore`",
                repair: None,
            },
            Kind::BeingRestored => &Explanation {
                code: "RG051",
                name: "being_restored",
                severity: Severity::Warning,
                title: "a restore from the trash that is not complete",
                meaning: "It was killed, or something that it needs is missing. Until it is complete, a collection deletes \
                          nothing of the repositories that it restores, and none of the content.",
                remedy: "run `regc trash restore` again, or delete the rest with `regc trash empty`, each with the run's name",
                repair: None,
            },
            Kind::LinkBeingWritten => &Explanation {
                code: "RG052",
                name: "link_being_written",
                severity: Severity::Warning,
                title: "a link that is being written",
                meaning: "The registry's driver for Azure creates a link empty, and adds the digest by another request. Between                           the two, or if the registry was stopped there, the link is empty, and `regc gc` keeps the whole                           repository.",
                remedy: "stop the registry, and push the image again, delete the empty link, or delete the repository as a whole",
                repair: None,
            },
            Kind::StaleCache => &Explanation {
                code: "RG060",
                name: "stale_cache",
                severity: Severity::Warning,
                title: "a cache that lists what was removed",
                meaning: "The registry caches in Redis which blobs it has, and Redis was not reachable after blobs or links were \
                          removed. The registry still claims to have those blobs: a client that pushes an image does not upload \
                          them, and the image cannot be pulled.",
                remedy: "before the registry takes pushes, run `regc cache evict` with the registry's configuration, or empty that \
                         database (FLUSHDB)",
                repair: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_no_code_or_name_repeats() {
        assert!(Kind::ALL.is_sorted_by_key(|kind| kind.code()));
        let (mut codes, mut names) =
            (Kind::ALL.map(Kind::code).to_vec(), Kind::ALL.map(|kind| kind.page().name).to_vec());
        names.sort_unstable();
        codes.dedup();
        names.dedup();
        assert_eq!((codes.len(), names.len()), (Kind::ALL.len(), Kind::ALL.len()));
        assert_eq!(Kind::of_code("rg012"), Some(Kind::GarbledTag));
        assert_eq!(Kind::of_code("RG999"), None);
    }
}
