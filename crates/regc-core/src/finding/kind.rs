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

    /// Returns the kind that applies in a registry in which these may be absent.
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

    /// Returns its severity.
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
                title: "a name that does not belong to a registry's storage",
                meaning: "The registry never creates such a name, and ignores it. Examples: `lost+found`, `.DS_Store`, \
                          a file that was put there by hand. regc does not touch it.",
                remedy: "none is needed; remove it if you do not need it",
                repair: None,
            },
            Kind::BrokenSymlink => &Explanation {
                code: "RG002",
                name: "broken_symlink",
                severity: Severity::Error,
                title: "a dangling symbolic link",
                meaning: "Its target is missing, and may be on an unmounted file system. What should be there cannot \
                          be pulled, and `regc gc` refuses to run, because it cannot know what the missing target \
                          refers to.",
                remedy: "mount its target, or remove the link",
                repair: None,
            },
            Kind::Unreadable => &Explanation {
                code: "RG003",
                name: "unreadable",
                severity: Severity::Error,
                title: "a file or directory that the registry's user cannot read",
                meaning: "Its owner and mode do not let the owner of the storage root read it, so the registry fails \
                          with an internal error. This happens when files are restored or copied as root.",
                remedy: "let the registry's user read it, with chown or chmod",
                repair: None,
            },
            Kind::CannotBeRead => &Explanation {
                code: "RG004",
                name: "cannot_be_read",
                severity: Severity::Error,
                title: "a file or object that cannot be read",
                meaning: "Reading fails with an error. The disk may be failing, or regc may lack permissions.",
                remedy: "look for disk errors in the system's log, and run regc as the registry's user",
                repair: Some("copies unreadable content from another store with `--from`"),
            },
            Kind::UnservedRepository => &Explanation {
                code: "RG005",
                name: "unserved_repository",
                severity: Severity::Warning,
                title: "a repository under a name that no registry serves",
                meaning: "A directory was renamed to set the repository aside, for example `app` to `app~` or \
                          `_old/app`. No client can pull from it, and the registry's own collection fails on it. regc \
                          keeps what its manifests need, and deletes nothing in it.",
                remedy: "rename the directory back, or delete it with `regc rm --path`",
                repair: None,
            },
            Kind::ForeignFile => &Explanation {
                code: "RG006",
                name: "foreign_file",
                severity: Severity::Warning,
                title: "a foreign file beside what is removed",
                meaning: "The directory of a tag or repository that is removed contains a file that no registry \
                          writes, such as `.nfs0000`, `.DS_Store` or `@eaDir`. The links are deleted. The file and its \
                          directory are kept, so the registry still lists a name that cannot be pulled.",
                remedy: "delete the file, and run `regc gc --tidy`, which also deletes files that an interrupted copy \
                         left (`.link.Xy12Za`, `link.part`) once they are a week old",
                repair: None,
            },
            Kind::Blocked => &Explanation {
                code: "RG007",
                name: "kept_back",
                severity: Severity::Warning,
                title: "something that should be removed is kept",
                meaning: "No retention rule keeps this tag, but it is kept anyway: it is a symbolic link, a symbolic \
                          link points to it or to its repository, or a garbled tag of the repository may have named the \
                          same image.",
                remedy: "remove the obstacle, and run the same command again",
                repair: None,
            },
            Kind::GarbledRevisionLink => &Explanation {
                code: "RG010",
                name: "garbled_revision_link",
                severity: Severity::Error,
                title: "the link of a manifest is empty or garbled",
                meaning: "The registry cannot serve the manifest, by its digest or by a tag. A full disk or a power \
                          cut during a push leaves such links.",
                remedy: "repair it, or push the image again, which rewrites the link",
                repair: Some("rewrites the link, if the manifest exists and its content matches the digest"),
            },
            Kind::GarbledLayerLink => &Explanation {
                code: "RG011",
                name: "garbled_layer_link",
                severity: Severity::Error,
                title: "the link of a layer is empty or garbled",
                meaning: "The registry cannot serve the layer in this repository, and pulls of images that need it \
                          fail. A full disk or a power cut during a push leaves such links. Of links that no image \
                          needs, only the size is checked.",
                remedy: "repair it, or push the image again",
                repair: Some("rewrites the link, if the content exists and matches the digest"),
            },
            Kind::GarbledTag => &Explanation {
                code: "RG012",
                name: "garbled_tag",
                severity: Severity::Error,
                title: "a tag's link is missing, empty or garbled",
                meaning: "The tag cannot be pulled. The registry lists every tag that has a directory, even without a \
                          link, and an interrupted push leaves such a directory. With `--delete-untagged`, regc treats \
                          everything that the tag has ever named as tagged.",
                remedy: "push the tag again, which rewrites the link",
                repair: Some("rewrites the link, if it holds a digest surrounded by white space"),
            },
            Kind::GarbledTagIndexEntry => &Explanation {
                code: "RG013",
                name: "garbled_tag_index_entry",
                severity: Severity::Warning,
                title: "an entry in a tag's index is empty or garbled",
                meaning: "Only the registry's own garbage collection reads these entries, and it fails on this one. An \
                          entry that names a different digest than its directory also counts as garbled.",
                remedy: "repair it, or push the tag again",
                repair: Some("rewrites the entry if its manifest is linked, and removes it otherwise"),
            },
            Kind::MisdirectedLink => &Explanation {
                code: "RG014",
                name: "misdirected_link",
                severity: Severity::Error,
                title: "a link names a different digest than its directory",
                meaning: "The registry serves content other than what was requested, and clients reject it. No \
                          registry writes such a link: files were copied or edited by hand.",
                remedy: "repair it, or push the image again",
                repair: Some("rewrites the link, if the content exists and matches the digest"),
            },
            Kind::DanglingRevision => &Explanation {
                code: "RG020",
                name: "dangling_revision",
                severity: Severity::Error,
                title: "a manifest is linked, but its content is missing",
                meaning: "The image cannot be pulled. Content is lost when files are removed by hand, or when an image \
                          is pushed while the registry collects garbage. What the manifest needs is unknown, so a \
                          collection keeps everything in the repository until the content is restored or the manifest \
                          is deleted.",
                remedy: "take the content from a backup with `regc repair --from`, push the image again, or delete it with \
                         `regc rm REPOSITORY@DIGEST` or `regc repair --drop-lost`",
                repair: Some(
                    "copies the content from another store with `--from`; with `--drop-lost`, removes the link and the \
                     tags that name the manifest, unless the manifest is in the trash, cannot be read now, or has \
                     something attached to it",
                ),
            },
            Kind::DanglingTag => &Explanation {
                code: "RG021",
                name: "dangling_tag",
                severity: Severity::Error,
                title: "a tag names a manifest that the repository does not link",
                meaning: "The registry lists the tag, but cannot serve it. An interrupted deletion leaves such tags.",
                remedy: "repair it, push the tag again, or remove it with `regc rm`",
                repair: Some(
                    "links the manifest again with everything it needs, if its content exists and matches its digest, \
                     even if the manifest was deleted and the tag was left; otherwise, with `--drop-lost`, removes the \
                     tag",
                ),
            },
            Kind::DanglingTagIndexEntry => &Explanation {
                code: "RG022",
                name: "dangling_tag_index_entry",
                severity: Severity::Note,
                title: "a tag's index has an entry for a deleted manifest",
                meaning: "Deleting a manifest over the API leaves these dangling entries. No client sees them.",
                remedy: "none is needed; `regc gc --tidy` removes them",
                repair: Some("removes the entry"),
            },
            Kind::MissingChild => &Explanation {
                code: "RG023",
                name: "missing_child",
                severity: Severity::Warning,
                title: "a platform of an index is missing",
                meaning: "The index can be pulled only for its other platforms. The repository once had this platform: \
                          the directory of its link exists, a tag's index has an entry for it, or its link is in the \
                          trash; or the repository has no platform of the index at all. Deleting a platform over the \
                          API leaves that directory. If nothing shows that the repository had the platform, the finding \
                          is RG028.",
                remedy: "push the platform's image again, or take it from a backup with `regc repair --from`",
                repair: Some(
                    "links it again with everything it needs, if its content exists; copies the content from another \
                     store with `--from`",
                ),
            },
            Kind::MissingBlob => &Explanation {
                code: "RG024",
                name: "missing_blob",
                severity: Severity::Error,
                title: "a layer or configuration is missing",
                meaning: "The image cannot be pulled. Content is lost when files are removed by hand, or when an image \
                          is pushed while the registry collects garbage.",
                remedy: "push the image again, which uploads what is missing, or take it from a backup with `regc repair --from`",
                repair: Some("copies the content from another store with `--from`, and links it"),
            },
            Kind::WrongSize => &Explanation {
                code: "RG025",
                name: "wrong_size",
                severity: Severity::Error,
                title: "content does not have the size that a manifest states",
                meaning: "Clients reject it, so the image cannot be pulled. A full disk truncated the file, or the \
                          manifest is wrong; `--content` reports which.",
                remedy: "run `regc verify --content`, and repair what it finds; if it finds nothing, push the image \
                         again",
                repair: Some(
                    "moves content that does not match its digest to the trash, so that the next push uploads it again",
                ),
            },
            Kind::DanglingLayerLink => &Explanation {
                code: "RG026",
                name: "dangling_layer_link",
                severity: Severity::Warning,
                title: "a layer is linked, but its content is missing",
                meaning: "No image in this repository needs it. A push that uses the layer uploads it again.",
                remedy: "none is needed; `regc gc` removes the link",
                repair: None,
            },
            Kind::MissingLayerLink => &Explanation {
                code: "RG027",
                name: "missing_layer_link",
                severity: Severity::Error,
                title: "an image needs a layer that its repository does not link",
                meaning: "The content exists, but the registry answers that it does not, because it serves a layer \
                          only in repositories that link it. Links are lost when files are removed by hand.",
                remedy: "repair it, or push the image again",
                repair: Some(
                    "links it, if its content matches its digest and the repository once had it: the directory of its \
                     link exists, a tag's index has an entry for it, its link is in the trash or in the store of \
                     `--from`, or an image needs it whose layers the registry checked during the push",
                ),
            },
            Kind::AbsentChild => &Explanation {
                code: "RG028",
                name: "absent_child",
                severity: Severity::Note,
                title: "an index lists a platform or layer that the repository never had",
                meaning: "Such an index is sparse: only some of its platforms were pushed, and it can be pulled for \
                          those. Nothing shows that the repository ever had this platform: no directory of a link, no \
                          entry in a tag's index, no link in the trash. However, `registry garbage-collect \
                          --delete-untagged` of distribution 2.8 leaves no trace of the platforms that it removes.",
                remedy: "none is needed if the index was pushed that way; otherwise push the platform's image, or take \
                         it from a backup with `regc repair --from`",
                repair: Some("links it, if the store of `--from` has it in the same repository"),
            },
            Kind::ExpiredBlob => &Explanation {
                code: "RG029",
                name: "expired_blob",
                severity: Severity::Note,
                title: "content that a pull-through cache does not hold",
                meaning: "The registry is configured as a cache of another one (`proxy.remoteurl`). Its content \
                          expires, and is fetched again on the next pull.",
                remedy: "none is needed: a pull brings it back",
                repair: None,
            },
            Kind::DamagedManifest => &Explanation {
                code: "RG030",
                name: "damaged_manifest",
                severity: Severity::Error,
                title: "a manifest does not match its digest",
                meaning: "Clients that check digests reject it, and as long as the file exists, the registry answers a \
                          push of the correct content with \"already exists\". `regc gc` keeps everything in the \
                          repository.",
                remedy: "repair it, and push the image again before the registry's own `garbage-collect` runs, which \
                         removes the layers of missing manifests",
                repair: Some(
                    "copies the content from another store with `--from`; otherwise moves the manifest to the trash, \
                     so that the next push uploads it again; until then, `regc gc` keeps everything in the repository, \
                     as long as the manifest is in the trash",
                ),
            },
            Kind::UnknownManifest => &Explanation {
                code: "RG031",
                name: "unknown_manifest",
                severity: Severity::Error,
                title: "a manifest that regc does not understand",
                meaning: "It matches its digest, but is not JSON, or is of a kind that regc does not know. What it \
                          needs is unknown, so `regc gc` keeps everything in the repository.",
                remedy: "delete it over the API if you do not need it; otherwise report it to the developers of regc",
                repair: None,
            },
            Kind::DamagedBlob => &Explanation {
                code: "RG032",
                name: "damaged_blob",
                severity: Severity::Error,
                title: "content does not match its digest",
                meaning: "Clients reject it, so no image that needs it can be pulled. As long as the file exists, the \
                          registry answers a push of the correct content with \"already exists\".",
                remedy: "repair it, and push the image again",
                repair: Some(
                    "copies the content from another store with `--from`; otherwise moves it to the trash, so that the \
                     next push uploads it again",
                ),
            },
            Kind::UnreferencedBlob => &Explanation {
                code: "RG040",
                name: "unreferenced_blob",
                severity: Severity::Note,
                title: "content that nothing refers to",
                meaning: "It is garbage: the content of deleted images, or of an interrupted push.",
                remedy: "none is needed; `regc gc` frees the space",
                repair: None,
            },
            Kind::StaleUpload => &Explanation {
                code: "RG041",
                name: "stale_upload",
                severity: Severity::Note,
                title: "an upload that began more than a week ago",
                meaning: "It was abandoned. Its data takes up space.",
                remedy: "none is needed; `regc gc --purge-uploads` frees the space",
                repair: None,
            },
            Kind::BlobsElsewhere => &Explanation {
                code: "RG042",
                name: "blobs_elsewhere",
                severity: Severity::Note,
                title: "blobs behind a symbolic link out of the storage root",
                meaning: "A directory of blobs is a symbolic link out of the storage root. Another store may link the \
                          same directory, so a collection keeps the blobs in it.",
                remedy: "none is needed; if no other store uses them, `regc gc --allow-symlinked-blobs` collects them as well",
                repair: None,
            },
            Kind::InTrash => &Explanation {
                code: "RG050",
                name: "in_trash",
                severity: Severity::Error,
                title: "something in use is in the trash",
                meaning: "It was pushed while a run of regc moved it to the trash. The next run that removes anything \
                          puts it back first.",
                remedy: "run `regc gc`, or `regc trash restore`",
                repair: None,
            },
            Kind::BeingRestored => &Explanation {
                code: "RG051",
                name: "being_restored",
                severity: Severity::Warning,
                title: "an incomplete restore from the trash",
                meaning: "The restore was killed, or something that it needs is missing. Until it is complete, a \
                          collection deletes nothing from the repositories that it restores, and none of their content.",
                remedy: "run `regc trash restore RUN` again, or delete the rest with `regc trash empty RUN`",
                repair: None,
            },
            Kind::LinkBeingWritten => &Explanation {
                code: "RG052",
                name: "link_being_written",
                severity: Severity::Warning,
                title: "a link that is being written",
                meaning: "The registry's driver for Azure creates an empty link, and adds the digest in a second \
                          request. Between the two requests, or if the registry was stopped between them, the link is \
                          empty, and `regc gc` keeps everything in the repository.",
                remedy: "stop the registry, then push the image again, delete the empty link, or delete the repository",
                repair: None,
            },
            Kind::StaleCache => &Explanation {
                code: "RG060",
                name: "stale_cache",
                severity: Severity::Warning,
                title: "a cache that still lists what was removed",
                meaning: "The registry caches in Redis which blobs it has, and regc failed to reach Redis after it \
                          removed blobs or links. The registry still claims to have those blobs, so a client that \
                          pushes an image does not upload them, and the image cannot be pulled.",
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
