//! What the library's tests share: what a collection decides, and on which storage.

use std::collections::BTreeSet;
use std::path::Path;

use regc_core::stages::collect::plan::plan;
use regc_core::stages::collect::sweep::sweep;
use regc_core::stages::scan::{Leftovers, Names, Options, scan};
use regc_core::storage::filesystem::FilesystemStorage;
use regc_core::storage::lock::Locked;
use regc_core::storage::{ReadStorage, TrashStorage};
use regc_core::{Digest, Error, Finding, Holder, Item, Outcome, Silent};
use regc_testkit::TestRegistry;

use crate::DIRECTORIES;

pub const DEFAULT: Options<'_> = Options {
    delete_untagged: false,
    allow_empty: false,
    allow_missing: false,
    allow_mostly_untagged: true,
    absences: regc_core::registry::config::Absences { content: false, platforms: false },
    allow_symlinked_blobs: false,
    allow_harbor: false,
    recent_since: None,
    leftovers: Leftovers {
        uploads_before: None,
        empty_repositories: false,
        every_tag: false,
        orphans_before: None,
        copies_before: None,
    },
    skip_links: false,
    repositories: Names::ALL,
    also_roots: None,
    known: None,
    deletion: None,
    jobs: 4,
};
pub const UNTAGGED: Options<'_> = Options { delete_untagged: true, ..DEFAULT };

/// What a collection would remove, and the damage it found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decided {
    pub blobs: BTreeSet<Digest>,
    /// Repository and digest.
    pub revisions: BTreeSet<(String, Digest)>,
    pub layer_links: BTreeSet<(String, Digest)>,
    /// Repository, tag and digest.
    pub tag_index_entries: BTreeSet<(String, String, Digest)>,
    /// `repository:tag`.
    pub tags: BTreeSet<String>,
    /// `repository/upload`.
    pub uploads: BTreeSet<String>,
    /// Keys.
    pub files: BTreeSet<String>,
    pub repositories: BTreeSet<String>,
    pub bytes: u64,
    pub findings: Vec<Finding>,
}

pub fn decide(storage: &dyn ReadStorage, options: Options) -> Result<Decided, Error> {
    let scan = scan(storage, &options, &Silent)?;
    let plan = plan(scan, &options)?;
    let mut decided = Decided { findings: plan.findings().to_vec(), bytes: plan.totals().bytes, ..Decided::default() };
    for item in plan.items() {
        match item {
            Item::Blob { digest, .. } => drop(decided.blobs.insert(digest)),
            Item::Revision { repository, digest, .. } => {
                decided.revisions.insert((repository.to_owned(), digest));
            }
            Item::LayerLink { repository, digest } => {
                decided.layer_links.insert((repository.to_owned(), digest));
            }
            Item::Tag { repository, tag, .. } => drop(decided.tags.insert(format!("{repository}:{tag}"))),
            Item::Upload { repository, upload, .. } => drop(decided.uploads.insert(format!("{repository}/{upload}"))),
            Item::File { path, .. } => drop(decided.files.insert(path.to_owned())),
            Item::Repository { repository } => drop(decided.repositories.insert(repository.to_owned())),
            Item::TagIndexEntry { repository, tag, digest } => {
                decided.tag_index_entries.insert((repository.to_owned(), tag.to_owned(), digest));
            }
        }
    }
    Ok(decided)
}

/// Returns what a collection would delete from a registry without refusing it.
pub fn garbage(registry: &TestRegistry, options: Options) -> Decided {
    decide(&registry.in_memory(DIRECTORIES), options).expect("the registry can be collected")
}

pub fn collect(storage: &dyn TrashStorage, options: Options) -> Result<Outcome, Error> {
    let locked = Locked::take(&storage, &holder())?;
    let scan = scan(storage, &options, &Silent)?;
    sweep(&locked, &plan(scan, &options)?, None, &Silent)
}

pub fn holder() -> Holder {
    Holder { program: String::new(), pid: 1, host: "here".into(), since: "now".into() }
}

pub fn at(root: &Path) -> FilesystemStorage {
    FilesystemStorage::open(root).expect("the root is there")
}

pub fn set<T: Ord, const N: usize>(items: [T; N]) -> BTreeSet<T> {
    BTreeSet::from(items)
}

pub fn here(repository: &str, digests: impl IntoIterator<Item = Digest>) -> BTreeSet<(String, Digest)> {
    digests.into_iter().map(|digest| (repository.to_owned(), digest)).collect()
}
