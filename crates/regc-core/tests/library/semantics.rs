//! What is live and what is garbage, rule by rule.

use regc_core::registry::layout;
use regc_core::{Algorithm, Digest};
use regc_testkit::{TestRegistry, layer, sha256};

use crate::{DEFAULT, DIRECTORIES, Decided, UNTAGGED, collect, garbage, here, set};

/// Returns the digests of an image's config and layers.
fn parts(registry: &TestRegistry, manifest: &Digest) -> Vec<Digest> {
    let text = registry.get(&layout::blob_data(manifest)).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(text).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers.chain([&manifest["config"]]).map(|part| part["digest"].as_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn every_linked_revision_is_a_root_by_default() {
    let mut registry = TestRegistry::new();
    registry.image("team/app:v1").layers(["base", "old"]).push();
    registry.image("team/app:v1").layers(["base", "new"]).push();
    registry.image("other").layers(["untagged"]).push();
    assert_eq!(garbage(&registry, DEFAULT), Decided::default());
}

#[test]
fn blobs_of_deleted_revision_are_garbage() {
    let mut registry = TestRegistry::new();
    let gone = registry.image("app:v1").layers(["base", "old"]).push();
    registry.image("app:v2").layers(["base"]).push();
    let config = parts(&registry, &gone)[2];
    registry.delete("app", &gone);
    let found = garbage(&registry, DEFAULT);
    assert_eq!(found.blobs, set([gone, config, layer("old")]));
    assert_eq!(found.layer_links, here("app", [config, layer("old")]));
    assert_eq!((found.revisions.len(), found.findings.len()), (0, 0));
}

#[test]
fn a_layer_link_is_garbage_by_its_own_repository_and_a_blob_by_all() {
    let mut registry = TestRegistry::new();
    let gone = registry.image("a:v1").layers(["shared"]).push();
    registry.image("b:v1").layers(["shared"]).push();
    registry.delete("a", &gone);
    let found = garbage(&registry, DEFAULT);
    assert!(found.layer_links.contains(&("a".into(), layer("shared"))));
    assert!(!found.layer_links.contains(&("b".into(), layer("shared"))));
    assert!(!found.blobs.contains(&layer("shared")));
}

#[test]
fn untagged_revisions_are_deleted_with_tag_index_entries() {
    let mut registry = TestRegistry::new();
    let old = registry.image("app:v1").layers(["base", "old"]).push();
    let old_config = parts(&registry, &old)[2];
    registry.image("app:v1").layers(["base", "new"]).push();
    let found = garbage(&registry, UNTAGGED);
    assert_eq!(found.revisions, here("app", [old]));
    assert_eq!(found.tag_index_entries, set([("app".to_owned(), "v1".to_owned(), old)]));
    assert_eq!(found.blobs, set([old, old_config, layer("old")]));
}

#[test]
fn a_revision_untagged_here_and_tagged_there_loses_only_its_link() {
    let mut registry = TestRegistry::new();
    let image = registry.image("a:v1").layers(["x"]).push();
    registry.image("b").layers(["x"]).push();
    // The manifest is the same in both, since the config does not contain the repository's name.
    let found = garbage(&registry, UNTAGGED);
    assert_eq!(found.revisions, here("b", [image]));
    assert!(found.blobs.is_empty());
}

#[test]
fn indexes_keep_their_children_to_any_depth() {
    let mut registry = TestRegistry::new();
    let amd64 = registry.image("app").layers(["amd64"]).push();
    let arm64 = registry.image("app").layers(["arm64"]).push();
    let loose = registry.image("app").layers(["loose"]).push();
    let inner = registry.index("app").manifests([amd64, arm64]).push();
    registry.index("app:v1").manifests([inner, sha256(b"of another registry")]).push();
    let found = garbage(&registry, UNTAGGED);
    assert_eq!(found.revisions, here("app", [loose]));
    assert_eq!(found.findings, vec![], "a sparse index is normal");
}

#[test]
fn a_child_that_is_not_linked_here_is_kept_without_what_it_refers_to() {
    let mut registry = TestRegistry::new();
    let child = registry.image("a").layers(["x"]).push();
    registry.index("b:v1").manifests([child]).push();
    registry.image("a:keep").layers(["y"]).push();
    let found = garbage(&registry, UNTAGGED);
    assert_eq!(found.revisions, here("a", [child]));
    assert!(!found.blobs.contains(&child) && found.blobs.contains(&layer("x")));
}

#[test]
fn a_child_that_is_linked_as_a_layer_counts_as_linked() {
    // Registry 2.1 linked manifests under _layers.
    let mut registry = TestRegistry::new();
    let child = registry.image("app").layers(["x"]).push();
    registry.index("app:v1").manifests([child]).push();
    registry.remove(&layout::revision_link("app", &child));
    registry.link_layer("app", &child);
    for options in [DEFAULT, UNTAGGED] {
        assert_eq!(garbage(&registry, options), Decided::default());
    }
}

#[test]
fn a_tag_may_name_a_manifest_that_is_linked_as_a_layer() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["x"]).push();
    registry.image("app:v2").layers(["y"]).push();
    registry.remove(&layout::revision_link("app", &image));
    registry.link_layer("app", &image);
    assert_eq!(garbage(&registry, UNTAGGED), Decided::default());
}

#[test]
fn referrers_live_with_their_subject_and_keep_nothing_alive() {
    let mut registry = TestRegistry::new();
    let child = registry.image("app").layers(["x"]).push();
    registry.index("app:v1").manifests([child]).push();
    let signature = registry.image("app").layers(["signature"]).subject(child).push();
    registry.image("app").layers(["of the signature"]).subject(signature).push();
    let dead = registry.image("app").layers(["dead"]).push();
    let of_dead = registry.image("app").layers(["of dead"]).subject(dead).push();
    let found = garbage(&registry, UNTAGGED);
    assert_eq!(found.revisions, here("app", [dead, of_dead]));
    assert_eq!(garbage(&registry, DEFAULT), Decided::default());
}

#[test]
fn a_tagged_referrer_does_not_keep_its_subject() {
    let mut registry = TestRegistry::new();
    let subject = registry.image("app").layers(["x"]).push();
    registry.image("app:signature").layers(["s"]).subject(subject).push();
    assert_eq!(garbage(&registry, UNTAGGED).revisions, here("app", [subject]));
}

fn schema1(registry: &mut TestRegistry, reference: &str, name: &str) -> (Digest, Digest) {
    let repository = reference.split(':').next().unwrap();
    registry.layer(repository, name);
    let manifest = registry.manifest(
        reference,
        format!(r#"{{"schemaVersion":1,"name":"{repository}","fsLayers":[{{"blobSum":"{}"}}]}}"#, layer(name)),
    );
    let signature = registry.blob(format!("signature of {name}"));
    registry.put(layout::signature_link(repository, &manifest, &signature), signature.to_string());
    (manifest, signature)
}

#[test]
fn schema_1_keeps_its_signatures() {
    let mut registry = TestRegistry::new();
    let (old, old_signature) = schema1(&mut registry, "app:v1", "old");
    let (_, _) = schema1(&mut registry, "app:v1", "new");
    assert_eq!(garbage(&registry, DEFAULT), Decided::default());
    let found = garbage(&registry, UNTAGGED);
    assert_eq!(found.blobs, set([old, old_signature, layer("old")]));

    let root = registry.on_disk();
    let outcome = collect(&crate::at(root.path()), UNTAGGED).unwrap();
    assert_eq!(outcome.removed.revisions, 1);
    assert!(!root.path().join(layout::revision("app", &old)).exists(), "the directory goes with its signatures");
}

#[test]
fn layers_listed_by_a_build_cache_are_kept() {
    let mut registry = TestRegistry::new();
    let blob = registry.layer("app", "not JSON");
    let config = registry.layer("app", "configuration");
    registry
        .index("app:cache")
        .entry("application/vnd.oci.image.layer.v1.tar+gzip", &blob)
        .entry("application/vnd.buildkit.cacheconfig.v0", &config)
        .entry("application/x-whatever", &config)
        .push();
    for options in [DEFAULT, UNTAGGED] {
        assert_eq!(garbage(&registry, options), Decided::default());
    }
}

#[test]
fn a_layer_of_another_algorithm_keeps_the_blob_that_its_link_names() {
    // How the registry stores an upload whose digest is not SHA-256: the content under its SHA-256 digest, and two
    // links that contain that digest.
    let mut registry = TestRegistry::new();
    let content = b"a layer that its client calls by sha512";
    let (asked, stored) = (Digest::of(Algorithm::Sha512, content), registry.blob(*content));
    registry.put(layout::layer_link("app", &asked), stored.to_string());
    registry.put(layout::layer_link("app", &stored), stored.to_string());
    registry.manifest("app:v1", format!(r#"{{"schemaVersion":2,"layers":[{{"digest":"{asked}"}}]}}"#));
    for options in [DEFAULT, UNTAGGED] {
        assert_eq!(garbage(&registry, options), Decided::default());
    }
}

/// Links `manifest` only as a blob, as the registry does if it was uploaded by its SHA-512 digest.
fn by_sha512(registry: &mut TestRegistry, manifest: &Digest) -> Digest {
    let content = registry.get(&layout::blob_data(manifest)).unwrap();
    let asked = Digest::of(Algorithm::Sha512, content);
    registry.remove(&layout::revision_link("app", manifest));
    registry.put(layout::layer_link("app", &asked), manifest.to_string());
    registry.put(layout::layer_link("app", manifest), manifest.to_string());
    asked
}

#[test]
fn a_manifest_of_another_algorithm_keeps_what_it_refers_to() {
    let mut registry = TestRegistry::new();
    let child = registry.image("app").layers(["x"]).push();
    let asked = by_sha512(&mut registry, &child);
    registry.index("app:v1").manifests([asked]).push();
    for options in [DEFAULT, UNTAGGED] {
        assert_eq!(garbage(&registry, options), Decided::default());
    }
}

#[test]
fn a_revision_of_another_algorithm_keeps_what_it_refers_to() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app").layers(["x"]).push();
    let asked = by_sha512(&mut registry, &image);
    registry.put(layout::revision_link("app", &asked), image.to_string());
    registry.tag("app", "v1", &asked);
    for options in [DEFAULT, UNTAGGED] {
        assert_eq!(garbage(&registry, options), Decided::default());
    }
}

#[test]
fn a_child_is_a_manifest_whatever_the_index_calls_it() {
    for media_type in [
        "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
        "Application/vnd.oci.image.manifest.v1+json",
        "application/json",
        "application/octet-stream",
        "",
    ] {
        let mut registry = TestRegistry::new();
        let child = registry.image("app").layers(["x"]).push();
        registry.index("app:v1").entry(media_type, &child).push();
        registry.remove(&layout::revision_link("app", &child));
        registry.link_layer("app", &child);
        for options in [DEFAULT, UNTAGGED] {
            assert_eq!(garbage(&registry, options), Decided::default(), "{media_type}");
        }
    }
}

#[test]
fn signatures_are_kept_beside_manifests_of_schema_1_and_those_that_are_not_understood() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["x"]).push();
    let damaged = registry.manifest("damaged:v1", "{}");
    let of_image = registry.blob("beside an image, where no registry writes one");
    let of_damaged = registry.blob("beside a damaged manifest");
    registry.put(layout::signature_link("app", &image, &of_image), of_image.to_string());
    registry.put(layout::signature_link("damaged", &damaged, &of_damaged), of_damaged.to_string());
    for options in [DEFAULT, UNTAGGED] {
        assert_eq!(garbage(&registry, options).blobs, set([of_image]));
    }
}

#[test]
fn repositories_may_lack_any_of_their_directories() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["x"]).push();
    registry.manifest("only/manifests:v1", r#"{"schemaVersion":2}"#);
    registry.upload("only/uploads", "1");
    let pushed = registry.layer("only/layers", "x");
    let interrupted = registry.layer("only/layers", "interrupted");
    let found = garbage(&registry, DEFAULT);
    assert_eq!(found.layer_links, here("only/layers", [pushed, interrupted]));
    assert_eq!(found.blobs, set([interrupted]));
    assert_eq!(found.findings, vec![]);
}

#[test]
fn nested_repositories_are_repositories_of_their_own() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["x"]).push();
    registry.image("app/worker:v1").layers(["y"]).push();
    let gone = registry.image("app/worker/deep:v1").layers(["z"]).push();
    registry.delete("app/worker/deep", &gone);
    let found = garbage(&registry, DEFAULT);
    assert!(found.blobs.contains(&layer("z")) && !found.blobs.contains(&layer("y")));
}

#[test]
fn missing_foreign_layers_are_not_reported() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["x"]).foreign_layers(["windows"]).push();
    assert_eq!(garbage(&registry, DEFAULT), Decided::default());
}

#[test]
fn blobs_of_every_algorithm_are_collected() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["x"]).push();
    let strange = Digest::of(Algorithm::Sha384, b"strange");
    registry.put(layout::blob_data(&strange), "strange");
    assert_eq!(garbage(&registry, DEFAULT).blobs, set([strange]));
}

#[test]
fn names_that_are_no_part_of_the_layout_are_left_alone() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["x"]).push();
    let hex = sha256(b"y").hex();
    for key in [
        format!("{}/lost+found/file", layout::BLOBS),
        format!("{}/sha256/.nfs0000", layout::BLOBS),
        format!("{}/sha256/zz/{hex}/data", layout::BLOBS),
        format!("{}/sha256/ab/{}/data", layout::BLOBS, "ab".repeat(31)),
        format!("{}/md5/ab/{hex}/data", layout::BLOBS),
        format!("{}/.DS_Store", layout::REPOSITORIES),
        format!("{}/@eaDir/app/SYNO@.attr", layout::REPOSITORIES),
        format!("{}/app/_unknown/file", layout::REPOSITORIES),
        format!("{}/app/_layers/sha256/short/link", layout::REPOSITORIES),
        format!("{}/app/_manifests/revisions/README", layout::REPOSITORIES),
    ] {
        registry.put(key, "left alone");
    }
    assert_eq!(garbage(&registry, DEFAULT), Decided::default());
    let scan = regc_core::stages::scan::scan(&registry.in_memory(DIRECTORIES), &DEFAULT, &regc_core::Silent).unwrap();
    assert!(scan.inventory.ignored >= 7, "{}", scan.inventory.ignored);
}
