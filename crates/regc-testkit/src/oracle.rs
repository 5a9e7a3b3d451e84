//! What is live, worked out a second time: as slowly and as plainly as the rules read, from the keys alone.
//!
//! It shares nothing with the collector but paths and digests, so that an error in one is not an error in both.

use std::collections::{BTreeMap, BTreeSet};

use regc_core::digest::Digest;
use regc_core::layout;
use serde_json::Value;

use crate::{TestRegistry, blob_of};

/// The live digests of each repository of a registry without damage.
pub fn live(registry: &TestRegistry, delete_untagged: bool) -> BTreeMap<String, BTreeSet<Digest>> {
    let repositories = repositories(registry);
    let live = repositories.into_iter().map(|name| {
        let live = live_in(registry, &name, delete_untagged);
        (name, live)
    });
    live.collect()
}

/// The blobs of a registry that are live in no repository.
pub fn garbage_blobs(registry: &TestRegistry, delete_untagged: bool) -> BTreeSet<Digest> {
    let live: BTreeSet<Digest> = live(registry, delete_untagged).into_values().flatten().collect();
    registry.keys().filter_map(blob_of).filter(|digest| !live.contains(digest)).collect()
}

/// The names of all repositories.
pub fn repositories(registry: &TestRegistry) -> BTreeSet<String> {
    let prefix = format!("{}/", layout::REPOSITORIES);
    let below = registry.keys().filter_map(|key| key.strip_prefix(&prefix));
    below.filter_map(|key| Some(key.split_once("/_")?.0.to_owned())).collect()
}

/// The manifests that a repository links.
pub fn revisions(registry: &TestRegistry, repository: &str) -> BTreeSet<Digest> {
    links_below(registry, &layout::revisions(repository))
}

/// The layers that a repository links.
pub fn layer_links(registry: &TestRegistry, repository: &str) -> BTreeSet<Digest> {
    links_below(registry, &layout::layers(repository))
}

fn links_below(registry: &TestRegistry, directory: &str) -> BTreeSet<Digest> {
    let prefix = format!("{directory}/");
    registry.keys().filter(|key| key.starts_with(&prefix)).filter_map(layout::digest_of_link).collect()
}

fn live_in(registry: &TestRegistry, repository: &str, delete_untagged: bool) -> BTreeSet<Digest> {
    let revisions = revisions(registry, repository);
    let tagged: BTreeSet<String> = registry
        .keys()
        .filter(|key| key.starts_with(&format!("{}/", layout::tags(repository))) && key.ends_with("/current/link"))
        .map(|key| String::from_utf8(registry.get(key).unwrap().to_vec()).unwrap())
        .collect();
    let mut live: BTreeSet<Digest> =
        revisions.iter().filter(|digest| !delete_untagged || tagged.contains(&digest.to_string())).copied().collect();
    // Apply the rules until none adds anything.
    loop {
        let before = live.len();
        for revision in &revisions {
            let Some(text) = registry.get(&layout::blob_data(revision)) else { continue };
            let manifest: Value = serde_json::from_slice(text).unwrap();
            if manifest["subject"]["digest"].as_str().is_some_and(|subject| live.contains(&subject.parse().unwrap())) {
                live.insert(*revision);
            }
            if live.contains(revision) {
                let lists = ["layers", "blobs", "manifests"].map(|list| manifest[list].as_array().cloned());
                let descriptors = lists.into_iter().flatten().flatten().chain([manifest["config"].clone()]);
                live.extend(
                    descriptors.filter_map(|d| d["digest"].as_str().map(|text| text.parse::<Digest>().unwrap())),
                );
            }
        }
        if live.len() == before {
            return live;
        }
    }
}
