//! Plans of which only a part is carried out: what somebody has approved before.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::prelude::*;
use regc_core::registry::layout;
use regc_core::stages::collect::plan::plan;
use regc_core::stages::collect::sweep::sweep;
use regc_core::stages::scan::scan;
use regc_core::storage::lock::Locked;
use regc_core::{Digest, Item, Silent};
use regc_testkit::generate::{self, Features};
use serde_json::Value;

use crate::faults::{assert_intact, outside};
use crate::{DIRECTORIES, UNTAGGED, collect, holder};

const ALL: Features = Features { referrers: true, partial_repositories: true };

/// Whether an item is approved: some of them, always the same for a seed.
fn is_approved(seed: u64, item: &Item<'_>) -> bool {
    let mut hasher = DefaultHasher::new();
    (seed, serde_json::to_string(item).unwrap()).hash(&mut hasher);
    !hasher.finish().is_multiple_of(4)
}

/// Returns all digests in the text of a manifest, but for what it is attached to, which it does not need.
fn needed(text: &[u8]) -> Vec<Digest> {
    let mut manifest: Value = serde_json::from_slice(text).unwrap_or_default();
    if let Value::Object(fields) = &mut manifest {
        fields.remove("subject");
    }
    manifest.to_string().split('"').filter_map(|part| part.parse().ok()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is not approved stays, with all that it leads to; the next collection finishes the work.
    #[test]
    fn what_is_not_approved_stays_with_all_that_it_leads_to(seed: u64, choice: u64) {
        let registry = generate::registry(seed, ALL);
        let storage = registry.in_memory(DIRECTORIES);
        let locked = Locked::take(&storage, &holder()).unwrap();
        let whole = plan(scan(&storage, &UNTAGGED, &Silent).unwrap(), &UNTAGGED).unwrap();
        let all: Vec<String> = whole.items().map(|item| serde_json::to_string(&item).unwrap()).collect();
        let mut held: BTreeSet<String> = BTreeSet::new();
        let mut held_revisions: Vec<Digest> = Vec::new();
        for item in whole.items().filter(|item| !is_approved(choice, item)) {
            held.insert(match item {
                Item::Revision { repository, digest, .. } => {
                    held_revisions.push(digest);
                    layout::revision_link(repository, &digest)
                }
                Item::TagIndexEntry { repository, tag, digest } => layout::tag_index_link(repository, tag, &digest),
                Item::LayerLink { repository, digest } => layout::layer_link(repository, &digest),
                Item::Blob { digest, .. } => layout::blob_data(&digest),
                other => panic!("{other:?}"),
            });
        }
        let restricted = whole.only(&storage, |item| is_approved(choice, item)).unwrap();
        let approved: HashSet<String> = restricted.items().map(|item| serde_json::to_string(&item).unwrap()).collect();
        prop_assert!(approved.len() + held.len() <= all.len());
        let totals = restricted.totals();
        let counted = totals.tag_index_entries + totals.revisions + totals.layer_links + totals.blobs;
        prop_assert_eq!(counted, approved.len() as u64);
        let outcome = sweep(&locked, &restricted, None, &Silent).unwrap();
        drop(locked);
        prop_assert!(outcome.failures.is_empty());
        // What was announced is what was done.
        prop_assert_eq!(outcome.removed, totals);

        let left = outside(&storage);
        assert_intact(&registry, UNTAGGED, &left, "restricted");
        for key in &held {
            prop_assert!(left.contains(key), "{key} was not approved");
        }
        for manifest in &held_revisions {
            let text = registry.get(&layout::blob_data(manifest)).unwrap_or_default();
            for digest in needed(text) {
                let blob = layout::blob_data(&digest);
                prop_assert_eq!(left.contains(&blob), registry.get(&blob).is_some(), "{} needs {}", manifest, digest);
            }
        }
        // What was removed was approved.
        let gone: BTreeSet<String> = outside(&registry.in_memory(DIRECTORIES)).difference(&left).cloned().collect();
        prop_assert!(gone.is_disjoint(&held));
        prop_assert!(gone.len() as u64 <= counted);

        let undisturbed = registry.in_memory(DIRECTORIES);
        for storage in [&storage, &undisturbed] {
            prop_assert!(collect(storage, UNTAGGED).unwrap().failures.is_empty());
        }
        prop_assert_eq!(outside(&storage), outside(&undisturbed));
    }
}
