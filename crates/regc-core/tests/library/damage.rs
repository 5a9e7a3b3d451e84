//! Damage: one test for each row of the table in docs/differences.md, on disk.

use std::fs;

use regc_core::registry::layout;
use regc_core::registry::manifest::{Damage, MAX_MANIFEST_BYTES};
use regc_core::stages::scan::Leftovers;
use regc_core::stages::scan::scan;
use regc_core::{Blocked, Cause, Deletion, Digest, Error, Finding, Refusal, Silent};
use regc_testkit::wrapped::Faulty;
use regc_testkit::{TestRegistry, layer, sha256};

use crate::{DEFAULT, DIRECTORIES, Decided, UNTAGGED, at, decide, garbage, here, set};

/// A registry with garbage in a healthy repository, and an image to be damaged in another.
struct Damaged {
    registry: TestRegistry,
    /// The image to be damaged, in the repository `hurt`.
    image: Digest,
    /// An image of `hurt` that no tag names.
    untagged: Digest,
}

fn before() -> Damaged {
    let mut registry = TestRegistry::new();
    let gone = registry.image("healthy:v1").layers(["garbage"]).push();
    registry.delete("healthy", &gone);
    registry.image("healthy:v2").layers(["fine"]).push();
    let image = registry.image("hurt:v1").layers(["of the image"]).push();
    let untagged = registry.image("hurt").layers(["untagged"]).push();
    registry.layer("hurt", "only linked");
    Damaged { registry, image, untagged }
}

fn on_disk(registry: &TestRegistry, options: crate::Options) -> Result<Decided, Error> {
    let root = registry.on_disk();
    decide(&at(root.path()), options)
}

/// Asserts that only the other repository has garbage.
fn assert_protected(found: &Decided) {
    assert!(found.blobs.contains(&layer("garbage")), "the rest of the registry is collected");
    assert!(!found.blobs.contains(&layer("only linked")), "layer links count as live");
    assert!(!found.blobs.contains(&layer("untagged")), "untagged revisions count as live");
    assert_eq!(found.blobs.len(), 3, "{found:?}");
    assert!(found.revisions.is_empty() && found.tag_index_entries.is_empty());
    assert!(found.layer_links.iter().all(|(repository, _)| repository == "healthy"));
}

fn the_manifest_is_damaged(content: impl Into<Vec<u8>>, expected: impl Fn(&Damage) -> bool) {
    let Damaged { mut registry, image, .. } = before();
    registry.put(layout::blob_data(&image), content);
    for options in [DEFAULT, UNTAGGED] {
        let found = on_disk(&registry, options).unwrap();
        assert_protected(&found);
        let [Finding::DamagedManifest { repository, manifest, damage }] = &found.findings[..] else {
            panic!("{:?}", found.findings)
        };
        assert_eq!((repository.as_str(), manifest), ("hurt", &image));
        assert!(expected(damage), "{damage:?}");
    }
}

#[test]
fn manifest_that_does_not_match_its_digest_keeps_its_repository() {
    the_manifest_is_damaged("{}", |damage| matches!(damage, Damage::DigestMismatch(_)));
    the_manifest_is_damaged("", |damage| matches!(damage, Damage::DigestMismatch(_)));
}

#[test]
fn truncated_manifest_keeps_the_blobs_its_text_mentions() {
    let Damaged { mut registry, image, .. } = before();
    let elsewhere = registry.blob("mentioned, and linked nowhere");
    let whole = registry.remove(&layout::blob_data(&image));
    let text = format!("{}{}\"", String::from_utf8_lossy(&whole[..whole.len() / 2]), elsewhere);
    registry.put(layout::blob_data(&image), text);
    assert_protected(&on_disk(&registry, DEFAULT).unwrap());
}

#[test]
fn oversized_manifest_keeps_its_repository() {
    let Damaged { registry, image, .. } = before();
    let root = registry.on_disk();
    let file = fs::File::options().write(true).open(root.path().join(layout::blob_data(&image))).unwrap();
    file.set_len(MAX_MANIFEST_BYTES + 1).unwrap();
    let found = decide(&at(root.path()), DEFAULT).unwrap();
    assert_protected(&found);
    assert!(matches!(&found.findings[..], [Finding::DamagedManifest { damage: Damage::TooLarge, .. }]));
}

#[test]
fn unknown_manifest_with_a_matching_digest_keeps_its_repository() {
    for text in [
        "no JSON",
        "{}",
        r#"{"schemaVersion":7}"#,
        r#"{"schemaVersion":2,"mediaType":"application/x-unknown"}"#,
        r#"{"schemaVersion":2,"layers":[{"digest":"sha256:short"}]}"#,
    ] {
        let Damaged { mut registry, .. } = before();
        let manifest = registry.manifest("hurt:odd", text);
        for options in [DEFAULT, UNTAGGED] {
            let found = on_disk(&registry, options).unwrap();
            assert_protected(&found);
            assert_eq!(found.findings.len(), 1, "{text}");
            assert_eq!(found.findings[0].manifest(), Some(&manifest));
        }
    }
}

#[test]
fn untagged_damaged_manifest_keeps_its_repository() {
    let Damaged { mut registry, untagged, .. } = before();
    registry.put(layout::blob_data(&untagged), "damaged");
    assert_protected(&on_disk(&registry, UNTAGGED).unwrap());
}

#[test]
fn damaged_manifest_linked_as_a_layer_keeps_its_repository() {
    let Damaged { mut registry, image, .. } = before();
    registry.index("hurt:index").manifests([image]).push();
    registry.untag("hurt", "v1");
    registry.remove(&layout::revision_link("hurt", &image));
    registry.link_layer("hurt", &image);
    registry.put(layout::blob_data(&image), "damaged");
    for options in [DEFAULT, UNTAGGED] {
        let found = on_disk(&registry, options).unwrap();
        assert_protected(&found);
        assert_eq!(found.findings.len(), 1);
    }
}

#[test]
fn damaged_manifest_keeps_every_repository_that_links_it() {
    let Damaged { mut registry, image, .. } = before();
    registry.manifest("other:v1", registry.get(&layout::blob_data(&image)).unwrap().to_vec());
    registry.layer("other", "linked there");
    registry.put(layout::blob_data(&image), "damaged");
    let found = on_disk(&registry, DEFAULT).unwrap();
    assert_protected(&found);
    let repositories: Vec<_> = found.findings.iter().map(Finding::repository).collect();
    assert_eq!(repositories, ["hurt", "other"]);
}

#[test]
fn revision_with_a_missing_blob_keeps_its_repository() {
    let Damaged { mut registry, image, .. } = before();
    registry.remove(&layout::blob_data(&image));
    for options in [DEFAULT, UNTAGGED] {
        let found = on_disk(&registry, options).unwrap();
        assert_eq!(found.findings, vec![Finding::DanglingRevision { repository: "hurt".into(), manifest: image }]);
        assert_protected(&found);
    }
    // The remedy works after a collection: once the file is restored, the image is complete.
    let storage = registry.in_memory(DIRECTORIES);
    drop(crate::collect(&storage, UNTAGGED).unwrap());
    let keys = storage.keys();
    let needed = [layout::blob_data(&layer("of the image")), layout::layer_link("hurt", &layer("of the image"))];
    assert!(needed.iter().all(|key| keys.contains(key)));
    // Or the image is deleted on purpose.
    let mut deletion = Deletion::default();
    deletion.manifest("hurt", image);
    deletion.tag("hurt", "v1", Some(image));
    drop(crate::collect(&storage, crate::Options { deletion: Some(&deletion), ..DEFAULT }).unwrap());
    drop(crate::collect(&storage, DEFAULT).unwrap());
    assert!(!storage.keys().contains(&needed[0]));
}

#[test]
fn an_index_is_not_removed_with_a_damaged_child() {
    let mut registry = TestRegistry::new();
    let child = registry.image("app").layers(["a"]).push();
    let index = registry.index("app:v1").manifests([child]).push();
    registry.image("app:v2").layers(["b"]).push();
    registry.put(layout::blob_data(&child), "{");
    let storage = registry.in_memory(DIRECTORIES);
    let mut deletion = Deletion::default();
    deletion.tag("app", "v1", Some(index));
    let scan = scan(&storage, &crate::Options { deletion: Some(&deletion), ..DEFAULT }, &Silent).unwrap();
    assert!(
        matches!(&scan.reachable.blocked[..], [Blocked { reason: Cause::Damaged(damaged), .. }] if *damaged == child)
    );
    deletion.manifest("app", child);
    let found = decide(&storage, crate::Options { deletion: Some(&deletion), ..DEFAULT }).unwrap();
    assert_eq!(found.revisions, here("app", [index, child]), "both are named");
}

#[test]
fn a_tag_without_a_linked_manifest_is_reported() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    let gone = registry.image("app:v2").layers(["b"]).push();
    registry.remove(&layout::revision_link("app", &gone));
    let expected = Finding::DanglingTag { repository: "app".into(), tag: "v2".into(), manifest: gone };
    assert_eq!(garbage(&registry, UNTAGGED).findings, vec![expected]);
}

#[test]
fn revision_with_an_empty_or_garbled_link_is_kept_and_reported() {
    for text in ["", "sha256:", "\0\0\0\0"] {
        let Damaged { mut registry, image, untagged } = before();
        registry.put(layout::revision_link("hurt", &image), text);
        let found = on_disk(&registry, DEFAULT).unwrap();
        assert_eq!(found.findings, vec![Finding::GarbledRevisionLink { repository: "hurt".into(), manifest: image }]);
        assert!(!found.blobs.contains(&layer("of the image")), "the directory's name says which one it is");
        assert_eq!(on_disk(&registry, UNTAGGED).unwrap().revisions, here("hurt", [untagged]));
    }
}

#[test]
fn a_directory_without_a_link_is_no_revision() {
    let Damaged { mut registry, image, .. } = before();
    registry.delete("hurt", &image);
    let found = on_disk(&registry, DEFAULT).unwrap();
    assert!(found.blobs.contains(&layer("of the image")));
    assert_eq!(found.findings, vec![]);
}

#[test]
fn empty_or_garbled_layer_link_counts_as_a_link() {
    let Damaged { mut registry, .. } = before();
    registry.put(layout::layer_link("hurt", &layer("of the image")), "");
    registry.put(layout::layer_link("hurt", &layer("only linked")), "garbled");
    let found = on_disk(&registry, DEFAULT).unwrap();
    assert_eq!(found.findings, vec![], "a collection does not look");
    assert!(found.layer_links.contains(&("hurt".into(), layer("only linked"))), "it counts as a link");
    assert!(!found.layer_links.contains(&("hurt".into(), layer("of the image"))));
}

#[test]
fn empty_or_garbled_tag_keeps_every_manifest_it_has_named() {
    for text in ["", "garbled", "sha256:0"] {
        let Damaged { mut registry, image, untagged } = before();
        let newer = registry.image("hurt:v1").layers(["newer"]).push();
        registry.put(layout::tag_link("hurt", "v1"), text);
        assert_eq!(on_disk(&registry, DEFAULT).unwrap().findings, vec![], "tags decide nothing here");
        let found = on_disk(&registry, UNTAGGED).unwrap();
        assert_eq!(found.findings, vec![Finding::GarbledTag { repository: "hurt".into(), tag: "v1".into() }]);
        assert_eq!(found.revisions, here("hurt", [untagged]), "all that the tag has named counts as tagged");
        assert!(!found.blobs.contains(&image) && !found.blobs.contains(&newer));
    }
}

#[test]
fn a_garbled_tag_without_a_trace_keeps_its_repository() {
    let Damaged { mut registry, image, .. } = before();
    registry.remove(&layout::tag_index_link("hurt", "v1", &image));
    registry.put(layout::tag_link("hurt", "v1"), "");
    let found = on_disk(&registry, UNTAGGED).unwrap();
    assert!(found.revisions.is_empty(), "nothing says which revision it named");
}

#[test]
fn tag_with_a_trailing_line_feed_keeps_its_manifest_and_is_reported() {
    let Damaged { mut registry, image, untagged } = before();
    registry.remove(&layout::tag_index_link("hurt", "v1", &image));
    registry.put(layout::tag_link("hurt", "v1"), format!("{image}\n"));
    let found = on_disk(&registry, UNTAGGED).unwrap();
    assert_eq!(found.revisions, here("hurt", [untagged]));
    assert_eq!(found.findings.len(), 1, "the registry cannot read it");
}

#[test]
fn missing_live_blob_is_reported() {
    let Damaged { mut registry, image, .. } = before();
    registry.remove(&layout::blob_data(&layer("of the image")));
    let expected =
        vec![Finding::MissingBlob { repository: "hurt".into(), manifest: image, blob: layer("of the image") }];
    assert_eq!(on_disk(&registry, DEFAULT).unwrap().findings, expected);
    // The same if its directory remains.
    let root = registry.on_disk();
    fs::create_dir_all(root.path().join(layout::blob(&layer("of the image")))).unwrap();
    let found = decide(&at(root.path()), DEFAULT).unwrap();
    assert_eq!(found.findings, expected);
    assert!(!found.blobs.contains(&layer("of the image")));
}

#[test]
fn unreadable_directory_stops_the_run() {
    let Damaged { registry, image, .. } = before();
    let tag = layout::tag_link("hurt", "v1");
    for place in [
        layout::BLOBS.to_owned(),
        format!("{}/{}", layout::blobs(image.algorithm()), &image.hex()[..2]),
        layout::REPOSITORIES.to_owned(),
        layout::repository("hurt"),
        format!("{}/_manifests", layout::repository("hurt")),
        format!("{}/sha256", layout::revisions("hurt")),
        layout::revision_link("hurt", &image),
        layout::blob_data(&image),
        layout::layers("hurt"),
        layout::tags("hurt"),
        tag.clone(),
    ] {
        let broken = place.clone();
        let storage = Faulty::reading(registry.in_memory(DIRECTORIES), move |key| key == broken);
        match crate::collect(&storage, UNTAGGED) {
            Err(Error::Storage { path, .. }) => assert_eq!(path, place),
            other => panic!("{place}: {other:?}"),
        }
        assert!(storage.into_inner().keys().iter().map(String::as_str).eq(registry.keys()), "{place}");
    }
    // By default, tags do not matter, so they are not read.
    let storage = Faulty::reading(registry.in_memory(DIRECTORIES), move |key| key == tag);
    assert!(decide(&storage, DEFAULT).is_ok());
}

#[cfg(target_os = "linux")]
#[test]
fn a_named_pipe_in_place_of_a_file_does_not_wait() {
    let Damaged { registry, image, .. } = before();
    for (key, options) in [(layout::blob_data(&image), DEFAULT), (layout::tag_link("hurt", "v1"), UNTAGGED)] {
        let root = registry.on_disk();
        let path = root.path().join(&key);
        fs::remove_file(&path).unwrap();
        let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).unwrap();
        let found = decide(&at(root.path()), options).unwrap();
        assert_eq!(found.findings.len(), 1, "{key}: {found:?}");
    }
}

#[test]
fn garbled_tag_keeps_manifests_with_a_directory_in_its_index() {
    let Damaged { registry, image, untagged } = before();
    let root = registry.on_disk();
    fs::write(root.path().join(layout::tag_link("hurt", "v1")), "").unwrap();
    fs::remove_file(root.path().join(layout::tag_index_link("hurt", "v1", &image))).unwrap();
    assert_eq!(decide(&at(root.path()), UNTAGGED).unwrap().revisions, here("hurt", [untagged]));
}

#[test]
fn tag_without_a_link_keeps_the_manifests_in_its_index() {
    let Damaged { mut registry, untagged, .. } = before();
    registry.image("hurt:v2").layers(["another"]).push();
    registry.remove(&layout::tag_link("hurt", "v1"));
    let root = registry.on_disk();
    for is_directory_there in [true, false] {
        let current = root.path().join(layout::tag("hurt", "v1")).join("current");
        match is_directory_there {
            true => fs::create_dir_all(&current).unwrap(),
            false => fs::remove_dir(&current).unwrap(),
        }
        let leftovers = Leftovers { every_tag: true, ..Leftovers::default() };
        for options in [UNTAGGED, crate::Options { leftovers, ..UNTAGGED }] {
            let found = decide(&at(root.path()), options).unwrap();
            assert_eq!(found.revisions, here("hurt", [untagged]));
            assert_eq!(found.findings, [Finding::GarbledTag { repository: "hurt".into(), tag: "v1".into() }]);
            assert!(root.path().join(layout::tag("hurt", "v1")).exists());
        }
    }
}

#[test]
fn names_that_no_tag_can_have_are_not_opened() {
    let Damaged { mut registry, untagged, image } = before();
    for name in ["@eaDir", "lost+found", ".snapshot", "v1~"] {
        registry.put(layout::tag_link("hurt", name), untagged.to_string());
        registry.put(format!("{}/@eaDir", layout::tag("hurt", name)), "");
    }
    let at_foreign = |key: &str| key.contains("@eaDir") || key.contains("lost+found") || key.contains("v1~");
    let storage = Faulty::reading(registry.in_memory(DIRECTORIES), at_foreign);
    let leftovers = Leftovers { every_tag: true, ..Leftovers::default() };
    let found = decide(&storage, crate::Options { leftovers, ..UNTAGGED }).unwrap();
    assert_eq!(found.revisions, here("hurt", [untagged]));
    assert!(registry.get(&layout::revision_link("hurt", &image)).is_some());
}

fn refusal(registry: &TestRegistry, options: crate::Options) -> Refusal {
    match decide(&registry.in_memory(DIRECTORIES), options) {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn blobs_without_any_repository_are_refused() {
    let mut registry = TestRegistry::new();
    let blob = registry.blob("content");
    assert_eq!(refusal(&registry, DEFAULT), Refusal::NoRepositories);
    let allowed = crate::Options { allow_empty: true, ..DEFAULT };
    assert_eq!(garbage(&registry, allowed).blobs, set([blob]));
}

#[test]
fn repositories_without_any_blob_are_refused() {
    let mut registry = TestRegistry::new();
    let missing = sha256(b"a manifest on a disk that is not mounted");
    registry.put(layout::revision_link("app", &missing), missing.to_string());
    registry.link_layer("app", &layer("x"));
    assert_eq!(refusal(&registry, DEFAULT), Refusal::NoBlobs);
    let allowed = crate::Options { allow_empty: true, ..DEFAULT };
    assert_eq!(garbage(&registry, allowed).layer_links, set([]), "nobody knows what the manifest needs");
}

#[test]
fn layers_without_any_manifest_are_refused() {
    let mut registry = TestRegistry::new();
    for name in ["project/app", "project/base"] {
        let image = registry.image(&format!("{name}:v1")).layers(["x", name]).push();
        registry.remove(&layout::revision_link(name, &image));
        registry.remove(&layout::blob_data(&image));
        registry.remove(&layout::tag_link(name, "v1"));
        registry.remove(&layout::tag_index_link(name, "v1", &image));
        let signature = registry.blob("signature");
        registry.put(layout::signature_link(name, &image, &signature), signature.to_string());
    }
    for options in [DEFAULT, UNTAGGED] {
        assert_eq!(refusal(&registry, options), Refusal::NoManifests);
        let allowed = crate::Options { allow_empty: true, ..options };
        assert!(garbage(&registry, allowed).blobs.contains(&layer("x")));
    }
    registry.image("another:v1").layers(["y"]).push();
    assert!(garbage(&registry, DEFAULT).blobs.contains(&layer("x")), "a repository of uploads that were given up");
}

#[test]
fn untagged_manifests_without_any_tag_are_refused() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app").layers(["x"]).push();
    assert_eq!(refusal(&registry, UNTAGGED), Refusal::NoTags);
    assert_eq!(garbage(&registry, DEFAULT), Decided::default());
    let allowed = crate::Options { allow_empty: true, ..UNTAGGED };
    assert_eq!(garbage(&registry, allowed).revisions, here("app", [image]));
}

#[test]
fn repositories_whose_every_revision_was_deleted_are_collected() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["x"]).push();
    registry.delete("app", &image);
    let root = registry.on_disk();
    fs::create_dir_all(root.path().join(layout::revision("app", &image))).unwrap();
    for options in [DEFAULT, UNTAGGED] {
        assert_eq!(decide(&at(root.path()), options).unwrap().blobs.len(), 3);
    }
}
