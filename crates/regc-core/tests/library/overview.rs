//! Overviews: that they say what listings and space usage say, what layers save, and how repositories grow.

use std::time::Duration;

use regc_core::inspect::catalog::ListOptions;
use regc_core::inspect::usage::Detail;
use regc_core::{Config, Silent, Store};
use regc_testkit::generate::{self, Features};
use regc_testkit::{TestRegistry, layer, layer_content};

use crate::DIRECTORIES;

fn store(registry: &TestRegistry) -> Store {
    Store::with_storage(&Config::at_root("/"), Box::new(registry.in_memory(DIRECTORIES)))
}

#[test]
fn overview_is_listing_and_usage_of_the_same_store() {
    for seed in 0..20 {
        let store = store(&generate::registry(seed, Features { referrers: true, partial_repositories: true }));
        let scan = store.scan(&Silent).unwrap();
        let overview = store.overview(&scan, &Silent).unwrap();
        let usage = store.usage(&scan, Detail::default().tags(true), &Silent).unwrap();
        let options = ListOptions::new().images(true).untagged(true);
        let listings = store.list(|_| true, options, &Silent).unwrap();
        assert_eq!(overview.totals.live, usage.live);
        assert_eq!(overview.repositories.len(), usage.repositories.len());
        for (found, expected) in overview.repositories.iter().zip(&usage.repositories) {
            assert_eq!(found.usage.repository, expected.repository);
            assert_eq!(found.usage.exclusive, expected.exclusive);
            let listing = listings.iter().find(|listing| listing.repository == expected.repository).unwrap();
            assert_eq!(found.listing.untagged.len(), listing.untagged.len());
            assert_eq!(found.listing.tags.len(), expected.tags.len());
            for tag in &expected.tags {
                assert_eq!(found.usage_of(&tag.tag), Some(tag));
            }
        }
    }
}

#[test]
fn shared_layers_are_counted_by_image_and_by_repository() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["base", "base", "one"]).push();
    registry.image("app:v2").layers(["base", "two"]).push();
    registry.image("other:v1").layers(["base", "three"]).push();
    // The same manifest in another repository is no further image.
    registry.image("copy:v1").layers(["base", "base", "one"]).push();
    let store = store(&registry);
    let scan = store.scan(&Silent).unwrap();
    let layers = store.overview(&scan, &Silent).unwrap().totals.shared_layers.layers;
    let base = layers.iter().find(|found| found.digest == layer("base")).unwrap();
    assert_eq!((base.images, base.repositories), (3, 3));
    assert_eq!(base.bytes_saved(), 2 * layer_content("base").len() as u64);
    assert!(layers.iter().all(|found| found.digest != layer("one")));
    assert!(layers.is_sorted_by_key(|found| std::cmp::Reverse(found.bytes_saved())));
}

#[test]
fn growth_counts_content_in_the_week_in_which_it_came() {
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["base", "one"]).push();
    registry.image("app:v2").layers(["base", "two", "more"]).push();
    let directory = registry.on_disk();
    let link = directory.path().join(regc_core::registry::layout::tag_link("app", "v1"));
    let earlier = std::time::SystemTime::now() - 3 * week;
    std::fs::File::options().write(true).open(link).unwrap().set_modified(earlier).unwrap();
    let store = Store::open(&Config::at_root(directory.path())).unwrap();
    let scan = store.scan(&Silent).unwrap();
    let overview = store.overview(&scan, &Silent).unwrap();
    let [repository] = &*overview.repositories else { panic!("one repository") };
    let [first, second] = &*repository.growth else { panic!("two weeks: {:?}", repository.growth) };
    assert_eq!(second.week.duration_since(first.week).unwrap(), 3 * week);
    let tags = &repository.listing.tags;
    let pulled = |tag: usize| {
        let tree = &repository.listing.trees[&tags[tag].digest.unwrap()];
        tree.config.iter().chain(&tree.layers).map(|part| part.bytes).sum::<u64>()
    };
    assert_eq!(first.bytes, pulled(0));
    assert_eq!(second.bytes, pulled(1) - layer_content("base").len() as u64);
}
