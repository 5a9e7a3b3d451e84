//! What is removed, in which order, and what an interruption leaves.

use std::collections::BTreeMap;
use std::fs;

use regc_core::registry::layout;
use regc_core::stages::collect::plan::plan;
use regc_core::stages::scan::scan;
use regc_core::storage::lock::Locked;
use regc_core::{Item, Silent};
use regc_testkit::generate::{self, Features};
use regc_testkit::wrapped::{Fault, Faulty, Recording};
use regc_testkit::{TestRegistry, blob_of, layer};

use crate::{DEFAULT, DIRECTORIES, UNTAGGED, at, collect, decide};

const ALL: Features = Features { referrers: true, partial_repositories: true };

/// Returns the position of a removed key in the order of removal.
fn stage(key: &str) -> usize {
    if key.contains("/tags/") {
        0
    } else if key.contains("/revisions/") {
        1
    } else if key.contains("/_layers/") {
        2
    } else {
        3
    }
}

#[test]
fn links_are_deleted_before_content() {
    for seed in 0..20 {
        let storage = Recording::new(generate::registry(seed, ALL).in_memory(DIRECTORIES));
        drop(collect(&storage, UNTAGGED).unwrap());
        let removed = storage.removed();
        let stages: Vec<_> = removed.iter().map(|key| stage(key).max(1)).collect();
        assert!(stages.is_sorted(), "seed {seed}: {stages:?}");
        // Links of different repositories are independent.
        let mut of_each: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for key in &removed {
            let repository = key.split_once("/_").map_or("", |(repository, _)| repository);
            of_each.entry(repository).or_default().push(stage(key));
        }
        assert!(of_each.values().all(|stages| stages.is_sorted()), "seed {seed}: {of_each:?}");
    }
}

#[test]
fn parents_are_deleted_before_children() {
    let mut registry = TestRegistry::new();
    registry.image("app:keep").layers(["x"]).push();
    let mut below = registry.image("app").layers(["x", "y"]).push();
    let mut chain = vec![below];
    for _ in 0..20 {
        below = registry.index("app").manifests([below]).push();
        chain.push(below);
    }
    let referrer = registry.image("app").layers(["z"]).subject(below).push();
    chain.push(referrer);
    chain.reverse();
    let storage = registry.in_memory(DIRECTORIES);
    let scan = scan(&storage, &UNTAGGED, &Silent).unwrap();
    let plan = plan(scan, &UNTAGGED).unwrap();
    let revisions = plan.items().filter_map(|item| match item {
        Item::Revision { digest, .. } => Some(digest),
        _ => None,
    });
    assert_eq!(revisions.collect::<Vec<_>>(), chain);
}

#[test]
fn only_emptied_directories_are_deleted() {
    let mut registry = TestRegistry::new();
    let gone = registry.image("app:v1").layers(["x", "y"]).push();
    registry.delete("app", &gone);
    registry.image("app:v2").layers(["z"]).push();
    registry.put(format!("{}/note", layout::blob(&layer("x"))), "an operator's");
    registry.upload("app", "1");
    let root = registry.on_disk();
    let outcome = collect(&at(root.path()), DEFAULT).unwrap();
    assert!(outcome.failures.is_empty());
    let exists = |key: String| root.path().join(key).exists();
    assert!(!exists(layout::blob(&layer("y"))));
    assert!(!exists(layout::blob_data(&layer("x"))) && exists(layout::blob(&layer("x"))), "a foreign file stays");
    assert!(exists(format!("{}/_uploads/1/data", layout::repository("app"))), "uploads are not touched");
    assert!(!root.path().join(layout::layer_link("app", &layer("y"))).parent().unwrap().exists());
    assert!(exists(layout::layers("app")));
    assert_eq!(decide(&at(root.path()), DEFAULT).unwrap(), crate::Decided::default());
}

#[test]
fn dry_run_changes_nothing_and_predicts_real_run() {
    for seed in 0..10 {
        let registry = generate::registry(seed, ALL);
        let root = registry.on_disk();
        let before = regc_testkit::files_below(root.path());
        let planned = decide(&at(root.path()), UNTAGGED).unwrap();
        assert_eq!(regc_testkit::files_below(root.path()), before);
        let outcome = collect(&at(root.path()), UNTAGGED).unwrap();
        assert_eq!(outcome.removed.bytes, planned.bytes);
        let after = regc_testkit::files_below(root.path());
        let gone: u64 = before
            .difference(&after)
            .filter(|key| blob_of(key).is_some())
            .map(|key| registry.get(key).unwrap().len() as u64)
            .sum();
        assert_eq!(gone, planned.bytes, "seed {seed}");
        assert_eq!(before.difference(&after).count() as u64, {
            let removed = outcome.removed;
            removed.tag_index_entries + removed.revisions + removed.layer_links + removed.blobs
        });
    }
}

#[test]
fn failed_removal_is_reported_with_path() {
    let mut registry = TestRegistry::new();
    let gone = registry.image("app:v1").layers(["x"]).push();
    registry.delete("app", &gone);
    registry.image("app:v2").layers(["z"]).push();
    let root = registry.on_disk();
    // A directory where the content should be cannot be unlinked, not even by root.
    let data = root.path().join(layout::blob_data(&layer("x")));
    let storage = at(root.path());
    let locked = Locked::take(&storage, &crate::holder()).unwrap();
    let scan = scan(&storage, &DEFAULT, &Silent).unwrap();
    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    fs::File::open(&data).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let plan = plan(scan, &DEFAULT).unwrap();
    let outcome = regc_core::stages::collect::sweep::sweep(&locked, &plan, None, &Silent).unwrap();
    let [failure] = &outcome.failures[..] else { panic!("{:?}", outcome.failures) };
    assert!(failure.to_string().contains(&data.display().to_string()), "{failure}");
    assert_eq!(outcome.removed.blobs, 2);
}

#[test]
fn object_counts_as_removed_if_only_its_directory_stays() {
    let mut registry = TestRegistry::new();
    let gone = registry.image("app:v1").layers(["x"]).push();
    registry.delete("app", &gone);
    registry.image("app:v2").layers(["z"]).push();
    let outcome =
        collect(&Faulty::changing(registry.in_memory(DIRECTORIES), |_| Fault::LeftDirectory), DEFAULT).unwrap();
    assert_eq!((outcome.removed.layer_links, outcome.removed.blobs), (2, 3), "and the rest goes all the same");
    assert_eq!(outcome.failures.len(), 5);
}

#[test]
fn a_run_removes_the_empty_directories_that_one_before_has_left() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["x"]).push();
    let root = registry.on_disk();
    let left = [layout::blob(&layer("gone")), format!("{}/sha256/{}", layout::layers("app"), layer("gone").hex())];
    for directory in &left {
        fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    assert_eq!(decide(&at(root.path()), DEFAULT).unwrap(), crate::Decided::default());
    drop(collect(&at(root.path()), DEFAULT).unwrap());
    assert!(left.iter().all(|directory| !root.path().join(directory).exists()));
}

#[test]
fn failed_move_to_trash_is_reported_and_object_stays() {
    let mut registry = TestRegistry::new();
    let gone = registry.image("app:v1").layers(["x"]).push();
    registry.delete("app", &gone);
    registry.image("app:v2").layers(["z"]).push();
    let root = registry.on_disk();
    let before = regc_testkit::files_below(root.path());
    fs::create_dir_all(root.path().join(".regc/trash/run")).unwrap();
    fs::write(root.path().join(".regc/trash/run/docker"), "in the way").unwrap();
    let outcome = crate::faults::run(&at(root.path()), DEFAULT, Some("run")).unwrap();
    assert!(outcome.removed == Default::default() && outcome.failures.len() >= 3, "{outcome:?}");
    let after = regc_testkit::files_below(root.path());
    assert!(before.is_subset(&after));
}
