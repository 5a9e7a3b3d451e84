//! Properties of all registries.

use proptest::prelude::*;
use regc_core::Silent;
use regc_core::registry::layout;
use regc_core::stages::collect::plan::plan;
use regc_core::stages::scan::scan;
use regc_testkit::generate::{self, Features};
use regc_testkit::oracle;

use crate::{DEFAULT, DIRECTORIES, UNTAGGED, collect, decide, garbage};

const ALL: Features = Features { referrers: true, partial_repositories: true };

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn collection_deletes_exactly_what_is_not_live(seed: u64, untagged: bool) {
        let registry = generate::registry(seed, ALL);
        let found = garbage(&registry, if untagged { UNTAGGED } else { DEFAULT });
        let live = oracle::live(&registry, untagged);
        prop_assert_eq!(&found.blobs, &oracle::garbage_blobs(&registry, untagged));
        for (name, live) in &live {
            let revisions = oracle::revisions(&registry, name);
            for digest in &revisions {
                prop_assert_eq!(found.revisions.contains(&(name.clone(), *digest)), untagged && !live.contains(digest));
            }
            for digest in oracle::layer_links(&registry, name) {
                prop_assert_eq!(found.layer_links.contains(&(name.clone(), digest)), !live.contains(&digest));
            }
        }
        let bytes: usize =
            found.blobs.iter().map(|blob| registry.get(&layout::blob_data(blob)).unwrap().len()).sum();
        prop_assert_eq!(found.bytes, bytes as u64);
        prop_assert!(found.findings.is_empty());
    }

    #[test]
    fn planning_twice_gives_the_same_plan(seed: u64) {
        let storage = generate::registry(seed, ALL).in_memory(DIRECTORIES);
        let text = || {
            let scan = scan(&storage, &UNTAGGED, &Silent).unwrap();
            serde_json::to_string(&plan(scan, &UNTAGGED).unwrap()).unwrap()
        };
        prop_assert_eq!(text(), text());
    }

    #[test]
    fn after_a_sweep_nothing_is_left_to_do(seed: u64, untagged: bool) {
        let options = if untagged { UNTAGGED } else { DEFAULT };
        let storage = generate::registry(seed, ALL).in_memory(DIRECTORIES);
        let planned = decide(&storage, options).unwrap();
        let outcome = collect(&storage, options).unwrap();
        prop_assert!(outcome.failures.is_empty());
        prop_assert_eq!(outcome.removed.bytes, planned.bytes);
        prop_assert_eq!(outcome.removed.blobs, planned.blobs.len() as u64);
        let second = decide(&storage, options).unwrap();
        prop_assert_eq!(second, crate::Decided::default());
    }

    #[test]
    fn removing_a_root_never_makes_less_garbage(seed: u64, which: prop::sample::Index) {
        let mut registry = generate::registry(seed, ALL);
        let before = garbage(&registry, DEFAULT);
        let roots: Vec<_> = oracle::repositories(&registry)
            .into_iter()
            .flat_map(|name| oracle::revisions(&registry, &name).into_iter().map(move |digest| (name.clone(), digest)))
            .collect();
        let (name, root) = which.get(&roots);
        registry.delete(name, root);
        let after = garbage(&registry, DEFAULT);
        prop_assert!(after.blobs.is_superset(&before.blobs));
        prop_assert!(after.layer_links.is_superset(&before.layer_links));
    }

    #[test]
    fn deleting_untagged_manifests_only_adds_garbage(seed: u64) {
        let registry = generate::registry(seed, ALL);
        let (default, untagged) = (garbage(&registry, DEFAULT), garbage(&registry, UNTAGGED));
        prop_assert!(untagged.blobs.is_superset(&default.blobs));
        prop_assert!(untagged.layer_links.is_superset(&default.layer_links));
    }
}
