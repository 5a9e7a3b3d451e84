//! Why a tag cannot be pulled, as a listing reports it.

use std::collections::HashMap;
use std::fs;

use regc_core::finding::Kind;
use regc_core::inspect::catalog::{ListOptions, Problem, catalog};
use regc_core::registry::layout;
use regc_core::storage::ReadStorage;
use regc_core::storage::filesystem::FilesystemStorage;
use regc_core::{Digest, Silent};
use regc_testkit::wrapped::{Operation, Recording};
use regc_testkit::{TestRegistry, layer};

use crate::DIRECTORIES;

fn with_problems() -> ListOptions {
    ListOptions::new().images(true).problems(true)
}

/// Returns the problem of each tag in `app`.
fn problems(storage: &dyn ReadStorage) -> Vec<(String, Option<Problem>)> {
    let listings = catalog(storage, |name| name == "app", with_problems(), 4, &Silent).unwrap();
    listings.into_iter().flat_map(|listing| listing.tags).map(|tag| (tag.name, tag.problem)).collect()
}

/// Returns the problem of the tag `v1` after `damage` to a store with two images.
fn problem(damage: impl FnOnce(&mut TestRegistry, Digest)) -> Option<Problem> {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["base", "top"]).push();
    registry.image("app:healthy").layers(["healthy"]).push();
    damage(&mut registry, image);
    let problems: HashMap<_, _> = problems(&registry.in_memory(DIRECTORIES)).into_iter().collect();
    assert_eq!(problems["healthy"], None);
    problems["v1"]
}

fn is(kind: Kind, digest: Digest) -> Option<Problem> {
    Some(Problem { kind, digest: Some(digest) })
}

#[test]
fn a_listing_says_why_a_tag_cannot_be_pulled() {
    let mut image = None;
    assert_eq!(problem(|_, digest| image = Some(digest)), None);
    let (image, top) = (image.unwrap(), layer("top"));
    let removed = |key: &str| problem(|registry, _| drop(registry.remove(key)));
    assert_eq!(removed(&layout::revision_link("app", &image)), is(Kind::DanglingTag, image));
    assert_eq!(removed(&layout::blob_data(&image)), is(Kind::DanglingRevision, image));
    assert_eq!(removed(&layout::blob_data(&top)), is(Kind::MissingBlob, top));
    assert_eq!(removed(&layout::layer_link("app", &top)), is(Kind::MissingLayerLink, top));
    let replaced = |key: String, text: &str| problem(|registry, _| registry.put(key, text));
    assert_eq!(replaced(layout::blob_data(&image), "cut off"), is(Kind::DamagedManifest, image));
    let garbled = Some(Problem { kind: Kind::GarbledTag, digest: None });
    assert_eq!(replaced(layout::tag_link("app", "v1"), ""), garbled);
}

#[test]
fn missing_configuration_is_a_problem_and_a_missing_foreign_layer_is_not() {
    let mut registry = TestRegistry::new();
    registry.image("app:foreign").foreign_layers(["elsewhere"]).push();
    let image = registry.image("app:v1").layers(["base"]).push();
    let text = String::from_utf8(registry.get(&layout::blob_data(&image)).unwrap().to_vec()).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let config: Digest = manifest["config"]["digest"].as_str().unwrap().parse().unwrap();
    registry.remove(&layout::blob_data(&config));
    let expected = [("foreign".to_owned(), None), ("v1".to_owned(), is(Kind::MissingBlob, config))];
    assert_eq!(problems(&registry.in_memory(DIRECTORIES)), expected);
}

#[test]
fn a_sparse_index_is_normal_and_a_lost_platform_is_not() {
    let mut registry = TestRegistry::new();
    let [amd64, arm64] = ["amd64", "arm64"].map(|name| registry.image("app").layers(["base", name]).push());
    let elsewhere = registry.image("other").layers(["elsewhere"]).push();
    registry.index("app:whole").manifests([amd64, arm64]).push();
    registry.index("app:sparse").manifests([amd64, elsewhere]).push();
    registry.index("app:empty").manifests([elsewhere]).push();
    let inner = registry.index("app").manifests([arm64]).push();
    registry.index("app:nested").manifests([inner]).push();
    let named = |storage: &dyn ReadStorage| -> HashMap<_, _> { problems(storage).into_iter().collect() };
    let found = named(&registry.in_memory(DIRECTORIES));
    assert_eq!([found["whole"], found["sparse"], found["nested"]], [None; 3]);
    assert_eq!(found["empty"], is(Kind::MissingChild, elsewhere));

    // The same applies to a layer in a build cache's index.
    let cache = |registry: &mut TestRegistry, layer| {
        registry.index("cache:v1").entry("application/vnd.oci.image.layer.v1.tar", &layer).push();
    };
    let mut cached = registry.clone();
    cached.blob(regc_testkit::layer_content("cached"));
    cache(&mut cached, layer("cached"));
    let of_cache = |storage: &dyn ReadStorage| {
        let all = catalog(storage, |name| name == "cache", with_problems(), 2, &Silent).unwrap();
        all[0].tags[0].problem.map(|problem| problem.kind)
    };
    assert_eq!(of_cache(&cached.in_memory(DIRECTORIES)), None);
    cached.put(layout::layer("cache", &layer("cached")) + "/left", "");
    assert_eq!(of_cache(&cached.in_memory(DIRECTORIES)), Some(Kind::MissingLayerLink));

    // What a platform lacks, all indexes that list it lack.
    let root = registry.on_disk();
    fs::remove_file(root.path().join(layout::layer_link("app", &layer("arm64")))).unwrap();
    let found = named(&FilesystemStorage::open(root.path()).unwrap());
    assert_eq!([found["whole"], found["nested"]], [is(Kind::MissingLayerLink, layer("arm64")); 2]);
    assert_eq!(found["sparse"], None);

    // A deletion through the API leaves the directory of the link, which a sparse index never has.
    fs::remove_file(root.path().join(layout::revision_link("app", &amd64))).unwrap();
    let found = named(&FilesystemStorage::open(root.path()).unwrap());
    assert_eq!([found["whole"], found["sparse"]], [is(Kind::MissingChild, amd64); 2]);
}

#[test]
fn build_cache_with_a_missing_layer_is_a_problem() {
    let mut registry = TestRegistry::new();
    let cached = registry.layer("app", "cached");
    registry.index("app:cache").entry("application/vnd.oci.image.layer.v1.tar+gzip", &cached).push();
    assert_eq!(problems(&registry.in_memory(DIRECTORIES)), [("cache".to_owned(), None)]);
    registry.remove(&layout::blob_data(&cached));
    assert_eq!(problems(&registry.in_memory(DIRECTORIES)), [("cache".to_owned(), is(Kind::MissingBlob, cached))]);
}

#[test]
fn each_file_is_checked_once_however_many_tags_need_it() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app").layers(["base"]).push();
    let index = registry.index("app").manifests([image]).push();
    (0..20).for_each(|n| registry.tag("app", &format!("v{n}"), &index));
    for n in 0..5 {
        registry.image(&format!("app:other{n}")).layers(["base", "more"]).push();
    }
    let storage = Recording::new(registry.in_memory(DIRECTORIES));
    assert!(problems(&storage).iter().all(|(_, problem)| problem.is_none()));
    let mut looked_at: HashMap<String, usize> = HashMap::new();
    for operation in storage.operations() {
        if let Operation::Stat(key) = operation {
            *looked_at.entry(key).or_default() += 1;
        }
    }
    for key in [
        layout::blob_data(&layer("base")),
        layout::layer_link("app", &layer("base")),
        layout::layer_link("app", &layer("more")),
        layout::revision_link("app", &image),
    ] {
        assert_eq!(looked_at.get(&key), Some(&1), "{key}: {looked_at:?}");
    }
}
