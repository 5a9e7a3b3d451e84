//! Stores that look as if a file system were not mounted.

use std::fs;

use regc_core::registry::layout;
use regc_core::storage::ReadStorage;
use regc_core::{Error, Refusal};
use regc_testkit::TestRegistry;
use regc_testkit::wrapped::Mounted;

use crate::{DEFAULT, DIRECTORIES, Options, UNTAGGED, at, decide};

const ANYTHING: Options<'_> = Options { allow_missing: true, allow_empty: true, ..DEFAULT };

/// Creates a hundred images of one layer each: 300 blobs, none of them shared.
fn registry() -> TestRegistry {
    let mut registry = TestRegistry::new();
    for number in 0..100 {
        registry.image(&format!("app{}:v{number}", number % 5)).layers([format!("layer {number}")]).push();
    }
    registry
}

fn refusal(storage: &dyn ReadStorage) -> Option<Refusal> {
    match decide(storage, DEFAULT) {
        Ok(_) => None,
        Err(Error::Refused(refusal)) => Some(refusal),
        Err(error) => panic!("{error}"),
    }
}

fn blobs(registry: &TestRegistry) -> Vec<String> {
    registry.keys().filter(|key| key.starts_with(layout::BLOBS)).map(str::to_owned).collect()
}

#[test]
fn a_root_without_a_registry_is_refused() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(refusal(&at(root.path())), Some(Refusal::NoLayout));
    decide(&at(root.path()), ANYTHING).unwrap();
    fs::create_dir_all(root.path().join(layout::REPOSITORIES)).unwrap();
    assert_eq!(refusal(&at(root.path())), None, "a registry to which nothing was pushed");
}

#[test]
fn a_store_of_which_half_the_blobs_are_missing_is_refused() {
    let mut registry = registry();
    for key in blobs(&registry).iter().filter(|key| matches!(key.as_bytes()[layout::BLOBS.len() + 8], b'0'..=b'7')) {
        registry.remove(key);
    }
    for options in [DEFAULT, UNTAGGED] {
        let refused = decide(&registry.in_memory(DIRECTORIES), options);
        assert!(matches!(refused, Err(Error::Refused(Refusal::MissingContent { missing: 100.., needed: 200.. }))));
    }
    assert!(
        decide(&registry.in_memory(DIRECTORIES), ANYTHING).unwrap().blobs.is_empty(),
        "and nobody knows what those needed"
    );
}

#[test]
fn a_store_that_has_lost_some_files_is_collected() {
    let mut registry = registry();
    let gone = registry.image("app0:gone").layers(["garbage"]).push();
    registry.delete("app0", &gone);
    let keys = blobs(&registry);
    // One in thirty, in different directories.
    for key in keys.iter().step_by(30) {
        registry.remove(key);
    }
    assert!(!decide(&registry.in_memory(DIRECTORIES), DEFAULT).unwrap().findings.is_empty());
    let mut small = TestRegistry::new();
    let image = small.image("app:v1").layers(["a"]).push();
    small.image("app:v2").layers(["b"]).push();
    small.remove(&layout::blob_data(&image));
    assert_eq!(refusal(&small.in_memory(DIRECTORIES)), None, "one lost file");
}

#[test]
fn a_missing_directory_of_blobs_is_refused() {
    let mut registry = registry();
    for number in 0..2000 {
        registry.layer("base", &format!("more {number}"));
    }
    let layers: Vec<String> = (0..2000).map(|number| format!("more {number}")).collect();
    registry.image("base:v1").layers(layers).push();
    let shard = format!("{}/sha256/ab/", layout::BLOBS);
    let lost: Vec<String> = blobs(&registry).into_iter().filter(|key| key.starts_with(&shard)).collect();
    assert!(lost.len() >= 4 && lost.len() <= 30);
    let (last, others) = lost.split_last().unwrap();
    others.iter().for_each(|key| drop(registry.remove(key)));
    assert_eq!(refusal(&registry.in_memory(DIRECTORIES)), None, "one is there, so the directory is");
    registry.remove(last);
    assert_eq!(
        refusal(&registry.in_memory(DIRECTORIES)),
        Some(Refusal::MissingDirectory(shard.trim_end_matches('/').to_owned()))
    );
    decide(&registry.in_memory(DIRECTORIES), ANYTHING).unwrap();
}

#[test]
fn an_empty_directory_where_a_file_system_may_be_missing_is_refused() {
    let registry = registry();
    for (empty, mounted, expected) in [
        // An empty file system.
        ("repositories/team", vec![("repositories/team", 1)], true),
        ("blobs/sha256/ab0", vec![("blobs/sha256/ab0", 1)], false),
        ("repositories/app9/_manifests", vec![("repositories/app9/_manifests", 1)], true),
        // All others are file systems of their own.
        (
            "repositories/team",
            (0..5)
                .map(|n| {
                    (
                        [
                            "repositories/app0",
                            "repositories/app1",
                            "repositories/app2",
                            "repositories/app3",
                            "repositories/app4",
                        ][n],
                        1,
                    )
                })
                .collect(),
            true,
        ),
        // Only some are: an empty directory beside a repository is not unusual.
        ("repositories/team", vec![("repositories/app0", 1), ("repositories/app1", 2)], false),
        ("repositories/team", vec![], false),
    ] {
        let root = registry.on_disk();
        let empty = format!("{}/{empty}", layout::ROOT);
        fs::create_dir_all(root.path().join(&empty)).unwrap();
        let mounted: Vec<_> =
            mounted.into_iter().map(|(key, device)| (format!("{}/{key}", layout::ROOT), device)).collect();
        let storage = Mounted::new(at(root.path()), mounted.clone());
        let refused = matches!(refusal(&storage), Some(Refusal::Unmounted(directory)) if directory == empty);
        assert_eq!(refused, expected, "{empty}: {mounted:?}");
        decide(&storage, ANYTHING).unwrap();
    }
    // A directory of blobs.
    let root = registry.on_disk();
    let shard = (0..=255u8)
        .map(|byte| format!("{}/sha256/{byte:02x}", layout::BLOBS))
        .find(|shard| !root.path().join(shard).exists());
    let shard = shard.expect("300 blobs leave one empty");
    fs::create_dir_all(root.path().join(&shard)).unwrap();
    assert_eq!(refusal(&at(root.path())), None);
    assert_eq!(refusal(&Mounted::new(at(root.path()), [(shard.clone(), 1)])), Some(Refusal::Unmounted(shard)));
}

#[test]
fn an_empty_file_system_within_a_repository_or_with_its_own_directory_is_refused() {
    let registry = registry();
    for (empty, holds) in [
        ("repositories/app9/_manifests/revisions", ""),
        ("repositories/app9/_manifests/revisions/sha256", ""),
        ("repositories/team", "lost+found"),
        ("repositories/app9/_manifests/revisions", "lost+found"),
    ] {
        let root = registry.on_disk();
        let empty = format!("{}/{empty}", layout::ROOT);
        fs::create_dir_all(root.path().join(&empty).join(holds)).unwrap();
        assert_eq!(refusal(&at(root.path())), None, "{empty}");
        let storage = Mounted::new(at(root.path()), [(empty.clone(), 1)]);
        assert_eq!(refusal(&storage), Some(Refusal::Unmounted(empty)));
        decide(&storage, ANYTHING).unwrap();
    }
    // Tags matter with `-m`.
    let root = registry.on_disk();
    let tags = layout::tags("app0");
    fs::remove_dir_all(root.path().join(&tags)).unwrap();
    fs::create_dir_all(root.path().join(&tags)).unwrap();
    let storage = Mounted::new(at(root.path()), [(tags.clone(), 1)]);
    assert_eq!(refusal(&storage), None);
    let refused = decide(&storage, UNTAGGED);
    assert!(matches!(&refused, Err(Error::Refused(Refusal::Unmounted(found))) if *found == tags), "{refused:?}");
    let allowed = Options { allow_missing: true, ..UNTAGGED };
    assert!(!decide(&storage, allowed).unwrap().revisions.is_empty());
}
