//! A second implementation of reachability: slow and plain, directly from the rules and the keys.
//!
//! It shares only paths and digests with the collector, so that an error in one is not an error in both.

pub mod pull;

use std::collections::{BTreeMap, BTreeSet};

use regc_core::Digest;
use regc_core::registry::layout;
use serde_json::Value;

use crate::{TestRegistry, blob_of};

/// Returns the live digests of each repository of a registry without damage.
pub fn live(registry: &TestRegistry, delete_untagged: bool) -> BTreeMap<String, BTreeSet<Digest>> {
    let repositories = repositories(registry);
    let live = repositories.into_iter().map(|name| {
        let live = live_in(registry, &name, delete_untagged);
        (name, live)
    });
    live.collect()
}

/// Returns the blobs of a registry that are live in no repository.
pub fn garbage_blobs(registry: &TestRegistry, delete_untagged: bool) -> BTreeSet<Digest> {
    let live: BTreeSet<Digest> = live(registry, delete_untagged).into_values().flatten().collect();
    registry.keys().filter_map(blob_of).filter(|digest| !live.contains(digest)).collect()
}

/// Returns the names of all repositories.
pub fn repositories(registry: &TestRegistry) -> BTreeSet<String> {
    let prefix = format!("{}/", layout::REPOSITORIES);
    let below = registry.keys().filter_map(|key| key.strip_prefix(&prefix));
    below.filter_map(|key| Some(key.split_once("/_")?.0.to_owned())).collect()
}

/// Returns the manifests that a repository links.
pub fn revisions(registry: &TestRegistry, repository: &str) -> BTreeSet<Digest> {
    links_below(registry, &layout::revisions(repository))
}

/// Returns the layers that a repository links.
pub fn layer_links(registry: &TestRegistry, repository: &str) -> BTreeSet<Digest> {
    links_below(registry, &layout::layers(repository))
}

fn links_below(registry: &TestRegistry, directory: &str) -> BTreeSet<Digest> {
    let prefix = format!("{directory}/");
    registry.keys().filter(|key| key.starts_with(&prefix)).filter_map(layout::digest_of_link).collect()
}

fn tagged(registry: &TestRegistry, repository: &str) -> BTreeSet<Digest> {
    let prefix = format!("{}/", layout::tags(repository));
    let links = registry.keys().filter(|key| key.starts_with(&prefix) && key.ends_with("/current/link"));
    links.map(|key| std::str::from_utf8(registry.get(key).unwrap()).unwrap().parse().unwrap()).collect()
}

fn manifest(registry: &TestRegistry, digest: &Digest) -> Option<Value> {
    registry.get(&layout::blob_data(digest)).map(|text| serde_json::from_slice(text).unwrap())
}

fn references(manifest: &Value) -> BTreeSet<Digest> {
    let lists = ["layers", "blobs", "manifests"].map(|list| manifest[list].as_array().cloned());
    let descriptors = lists.into_iter().flatten().flatten().chain([manifest["config"].clone()]);
    descriptors.filter_map(|descriptor| descriptor["digest"].as_str().map(|text| text.parse().unwrap())).collect()
}

fn live_in(registry: &TestRegistry, repository: &str, delete_untagged: bool) -> BTreeSet<Digest> {
    let revisions = revisions(registry, repository);
    let mut live = revisions.clone();
    if delete_untagged {
        let tagged = tagged(registry, repository);
        live.retain(|digest| tagged.contains(digest));
    }
    // Apply the rules until none adds anything.
    loop {
        let before = live.len();
        for revision in &revisions {
            let Some(manifest) = manifest(registry, revision) else { continue };
            if manifest["subject"]["digest"].as_str().is_some_and(|subject| live.contains(&subject.parse().unwrap())) {
                live.insert(*revision);
            }
            if live.contains(revision) {
                live.extend(references(&manifest));
            }
        }
        if live.len() == before {
            return live;
        }
    }
}

/// Returns everything that is reachable from the children of tagged indexes, where they are linked.
pub fn reachable_children(registry: &TestRegistry) -> BTreeSet<Digest> {
    let mut reachable = BTreeSet::new();
    for repository in repositories(registry) {
        let revisions = revisions(registry, &repository);
        let mut pending: Vec<Digest> = tagged(registry, &repository).intersection(&revisions).copied().collect();
        while let Some(parent) = pending.pop() {
            let Some(parent) = manifest(registry, &parent) else { continue };
            for child in parent["manifests"].as_array().into_iter().flatten() {
                let child: Digest = child["digest"].as_str().unwrap().parse().unwrap();
                reachable.insert(child);
                if let Some(manifest) = manifest(registry, &child).filter(|_| revisions.contains(&child)) {
                    reachable.extend(references(&manifest));
                    pending.push(child);
                }
            }
        }
    }
    reachable
}
