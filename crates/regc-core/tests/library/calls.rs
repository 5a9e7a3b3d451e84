//! The number of storage calls for a known registry. A change that increases it should have a reason.

use std::collections::BTreeMap;

use regc_core::inspect::catalog::{ListOptions, catalog};
use regc_core::registry::layout;
use regc_core::storage::filesystem::FilesystemStorage;
use regc_core::{Deletion, Silent};
use regc_testkit::TestRegistry;
use regc_testkit::wrapped::{Operation, Recording};

use crate::{DEFAULT, DIRECTORIES, UNTAGGED, collect};

/// Creates two repositories: one with three images that share a layer, of which one was deleted and one has lost its
/// tag, and one with an index of two platforms.
fn registry() -> TestRegistry {
    let mut registry = TestRegistry::new();
    let deleted = registry.image("app:v0").layers(["base", "deleted"]).push();
    registry.delete("app", &deleted);
    registry.image("app:v1").layers(["base", "old"]).push();
    registry.image("app:v1").layers(["base", "new"]).push();
    let platforms = [registry.image("multi").layers(["a"]).push(), registry.image("multi").layers(["b"]).push()];
    registry.index("multi:v1").manifests(platforms).push();
    registry
}

/// Counts the calls of each kind that a collection makes, including listings and removals.
fn calls(options: crate::Options) -> BTreeMap<&'static str, usize> {
    let storage = Recording::new(registry().in_memory(DIRECTORIES));
    let outcome = collect(&storage, options).unwrap();
    assert!(outcome.failures.is_empty());
    let mut calls = BTreeMap::new();
    for operation in storage.operations() {
        let kind = match operation {
            // Their number depends on the digests.
            Operation::List(key) if key.contains("/blobs/sha256/") => "list a directory of blobs",
            Operation::List(_) => "list",
            Operation::Read(_) => "read",
            Operation::Stat(_) => "stat",
            Operation::Remove(_) => "remove",
        };
        *calls.entry(kind).or_insert(0) += 1;
    }
    calls
}

/// The rescan before deleting lists the repositories, to find new ones,
const LISTED_AGAIN: usize = 3;
/// and checks in two repositories whether any directory of revisions or layer links has changed, for three
/// algorithms.
const LOOKED_AT_AGAIN: usize = 2 * 2 * 3;

/// The revision without a link: its link is checked in the scan, and again before anything is deleted.
const DELETED: usize = 1;

#[test]
fn default_collection_makes_a_known_number_of_storage_calls() {
    let calls = calls(DEFAULT);
    // The layout, blobs, their algorithm, repositories, the trash; in each of two repositories: itself, manifests,
    // revisions and their algorithm, layers and theirs, tags, and since this storage does not count directories, the
    // index of its tag, and its algorithm.
    assert_eq!(calls["list"], 5 + 2 * 9 + LISTED_AGAIN, "{calls:?}");
    assert_eq!(calls["list a directory of blobs"], shards(), "{calls:?}");
    assert_eq!(calls["read"], 5, "each linked manifest once, and no tag: {calls:?}");
    // The layout, whether its blobs or repositories are another store's, the trash and its parent directory; the link of
    // each revision; each layer link that nothing needs; the blobs that are garbage and, in so small a
    // store, those that are live and were not read. Whether each tag has named more than one manifest, and whether its
    // index is a symbolic link.
    assert_eq!(calls["stat"], (3 + 4 + 2) + 5 + 2 * DELETED + 2 + (3 + 9) + 2 * 2 + LOOKED_AT_AGAIN, "{calls:?}");
    assert_eq!(calls["remove"], 2 + 3, "layer links, blobs: {calls:?}");
}

#[test]
fn collection_of_untagged_manifests_makes_a_known_number_of_storage_calls() {
    let calls = calls(UNTAGGED);
    // In addition: the tags of the repository in which a manifest is deleted, once more.
    assert_eq!(calls["list"], 5 + 2 * 9 + (LISTED_AGAIN + 1), "{calls:?}");
    assert_eq!(calls["list a directory of blobs"], shards(), "{calls:?}");
    assert_eq!(calls["read"], 5 + 2, "each linked manifest once, and each tag once: {calls:?}");
    // In addition: whether each tag's link is a symbolic link; whether the link of the manifest to be deleted is new,
    // or that of a tag which may name it. Where a manifest is deleted, all tags' indexes are listed without a check.
    assert_eq!(
        calls["stat"],
        (3 + 4 + 2) + 5 + 2 * DELETED + 2 + (1 + 3) + 3 + (6 + 7) + (LOOKED_AT_AGAIN + 2),
        "{calls:?}"
    );
    assert_eq!(calls["remove"], 1 + 1 + 4 + 6, "tag index entries, revisions, layer links, blobs: {calls:?}");
}

#[test]
fn histories_of_tags_are_asked_for_only_where_a_revision_was_deleted() {
    let root = registry().on_disk();
    let storage = Recording::new(FilesystemStorage::open(root.path()).unwrap());
    crate::decide(&storage, DEFAULT).unwrap();
    let asked = |repository: &str| {
        let tags = layout::tags(repository);
        let is_below = |operation: &Operation| match operation {
            Operation::List(key) | Operation::Read(key) | Operation::Stat(key) => key.starts_with(&tags),
            Operation::Remove(_) => false,
        };
        storage.operations().iter().filter(|operation| is_below(operation)).count()
    };
    assert!(asked("app") > 0 && asked("multi") == 0, "{:?}", storage.operations());
}

#[test]
fn each_directory_of_a_deleted_tag_is_listed_once() {
    let root = registry().on_disk();
    let storage = Recording::new(FilesystemStorage::open(root.path()).unwrap());
    let mut deletion = Deletion::default();
    let [old, new] = ["old", "new"].map(|name| TestRegistry::new().image("app:v1").layers(["base", name]).push());
    deletion.tag("app", "v1", Some(new));
    let outcome = collect(&storage, crate::Options { deletion: Some(&deletion), ..DEFAULT }).unwrap();
    assert_eq!(outcome.removed.tags, 1);
    let tag = layout::tag("app", "v1");
    let scanned = storage.operations().into_iter().take_while(|operation| !matches!(operation, Operation::Remove(_)));
    let mut listed: Vec<String> = scanned
        .filter_map(|operation| match operation {
            Operation::List(key) => key.strip_prefix(&tag).map(str::to_owned),
            _ => None,
        })
        .collect();
    listed.sort_unstable();
    let mut entries = [old, new].map(|digest| format!("/index/sha256/{}", digest.hex()));
    entries.sort_unstable();
    assert_eq!(listed, ["", "/current", "/index", "/index/sha256", &entries[0], &entries[1]]);
}

#[test]
fn listing_without_configurations_reads_tags_and_manifests() {
    let reads = |depth: ListOptions| {
        let storage = Recording::new(registry().in_memory(DIRECTORIES));
        let listed = catalog(&storage, |_| true, depth, 1, &Silent).unwrap();
        assert!(listed.iter().flat_map(|listing| &listing.tags).all(|tag| tag.image.is_some()));
        storage.operations().iter().filter(|operation| matches!(operation, Operation::Read(_))).count()
    };
    let depth = ListOptions::new().images(true).owners(true);
    assert_eq!(reads(depth.configurations(false)), 2 + 5, "each tag, and each linked manifest");
    assert_eq!(reads(depth), 2 + 5 + 2, "and the configuration of each tagged image, for an index that of its first");
}

/// Counts the directories that hold the blobs of the registry.
fn shards() -> usize {
    let registry = registry();
    let blobs = registry.keys().filter_map(regc_testkit::blob_of);
    blobs.map(|digest| digest.as_bytes()[0]).collect::<std::collections::BTreeSet<_>>().len()
}
