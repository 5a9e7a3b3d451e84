//! Repositories of different tenants in one store: a repair gives no tenant access to another's content.

use regc_core::Digest;
use regc_core::registry::layout;
use regc_core::storage::memory::MemoryStorage;
use regc_testkit::{TestRegistry, layer};

use crate::repair::repair;

use crate::DIRECTORIES;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Creates a store in which tenant `b` has a private image.
fn private() -> (TestRegistry, Digest) {
    let mut registry = TestRegistry::new();
    let secret = registry.image("b/private:v1").layers(["secret"]).push();
    registry.image("a/own:v1").layers(["own"]).push();
    (registry, secret)
}

/// Returns the keys of tenant `a` after a repair.
fn of_a(registry: &TestRegistry) -> Vec<String> {
    let storage = registry.in_memory(DIRECTORIES);
    let outcome = repair(&storage, None);
    assert!(outcome.failures.is_empty());
    keys_of_a(&storage)
}

fn keys_of_a(storage: &MemoryStorage) -> Vec<String> {
    let prefix = layout::repository("a/");
    storage.keys().into_iter().filter(|key| key.starts_with(&prefix)).collect()
}

#[test]
fn repair_links_no_index_child_of_other_tenant() {
    let (mut registry, secret) = private();
    registry.index("a/own:index").manifests([secret]).push();
    assert_eq!(of_a(&registry), keys_of_a(&registry.in_memory(DIRECTORIES)), "a manifest");

    let (mut registry, _) = private();
    registry.index("a/own:cache").entry(LAYER, &layer("secret")).push();
    assert_eq!(of_a(&registry), keys_of_a(&registry.in_memory(DIRECTORIES)), "a layer in an index");

    // An index with layers, which no registry checks.
    let (mut registry, _) = private();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"layers":[{{"digest":"{}"}}]}}"#,
        layer("secret")
    );
    registry.manifest("a/own:odd", text);
    assert_eq!(of_a(&registry), keys_of_a(&registry.in_memory(DIRECTORIES)), "layers beside an index");

    // A manifest of which a registry in Go reads only the last list.
    let (mut registry, _) = private();
    for (first, last) in [("layers", "Layers"), ("Layers", "layers"), ("layers", "layers")] {
        let (secret, own) = (layer("secret"), layer("own"));
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","{first}":[{{"digest":"{secret}"}}],"{last}":[{{"digest":"{own}"}}]}}"#
        );
        registry.manifest(&format!("a/own:{first}{last}"), text);
    }
    assert_eq!(of_a(&registry), keys_of_a(&registry.in_memory(DIRECTORIES)), "two lists of layers");
}

#[test]
fn repair_links_what_repository_had() {
    for evidence in 0..4 {
        let (mut registry, _) = private();
        let child = registry.image("a/own").layers(["child"]).push();
        registry.index("a/own:index").manifests([child]).push();
        let link = layout::revision_link("a/own", &child);
        registry.remove(&link);
        match evidence {
            0 => registry.put(layout::tag_index_link("a/own", "v1", &child), child.to_string()),
            1 => registry.put(layout::layer_link("a/own", &child), child.to_string()),
            2 => registry.put(format!("{}/note", layout::revision("a/own", &child)), ""),
            _ => {}
        }
        let links_it = of_a(&registry).contains(&link);
        // Registries already serve a manifest by its layer link.
        assert_eq!(links_it, [true, false, true, false][evidence], "{evidence}");
    }
    let (mut registry, _) = private();
    registry.remove(&layout::layer_link("a/own", &layer("own")));
    assert!(of_a(&registry).contains(&layout::layer_link("a/own", &layer("own"))), "an image needs it");
}

#[test]
fn repair_links_no_unchecked_reference_of_other_tenant() {
    let (secret, own) = (layer("secret"), layer("own"));
    let typed = r#""schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json""#;
    let texts = [
        // Schema 1's layers beside those of schema 2, which are all that a registry reads there.
        format!(r#"{{{typed},"layers":[{{"digest":"{own}"}}],"fsLayers":[{{"blobSum":"{secret}"}}]}}"#),
        // What clients fetch elsewhere, as a layer and as the config.
        format!(r#"{{{typed},"layers":[{{"digest":"{secret}","urls":["http://x"]}}]}}"#),
        format!(r#"{{{typed},"config":{{"digest":"{secret}","urls":["http://x"]}},"layers":[{{"digest":"{own}"}}]}}"#),
        format!(r#"{{{typed},"config":{{"digest":"{secret}","urls":[""]}},"layers":[{{"digest":"{own}"}}]}}"#),
        // No layers, so it can be pushed as an index.
        format!(r#"{{{typed},"fsLayers":[{{"blobSum":"{secret}"}}]}}"#),
        // No media type: it can be pushed as an index to distribution 2.7.
        format!(r#"{{"schemaVersion":2,"layers":[{{"digest":"{secret}"}}]}}"#),
        // The reverse.
        format!(r#"{{"schemaVersion":1,"fsLayers":[{{"blobSum":"{own}"}}],"layers":[{{"digest":"{secret}"}}]}}"#),
        format!(r#"{{"schemaVersion":1,"fsLayers":[{{"blobSum":"{own}"}}],"config":{{"digest":"{secret}"}}}}"#),
        // The same number, but not the same digests.
        format!(r#"{{{typed},"layers":[{{"digest":"{secret}"}},{{}}],"Layers":[{{"digest":"{own}"}}]}}"#),
        format!(r#"{{{typed},"layers":[null],"blobs":[{{"digest":"{secret}"}}]}}"#),
        format!(r#"{{{typed},"blobs":[{{"digest":"{secret}"}}],"fsLayers":[null]}}"#),
    ];
    let mut wrong = Vec::new();
    for text in texts {
        let (mut registry, _) = private();
        registry.manifest("a/own:odd", text.clone());
        if of_a(&registry) != keys_of_a(&registry.in_memory(DIRECTORIES)) {
            wrong.push(text);
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
