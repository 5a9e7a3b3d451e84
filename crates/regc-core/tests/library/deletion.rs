//! What a requested deletion deletes, and what it keeps.

use std::collections::BTreeSet;

use proptest::prelude::*;
use regc_core::registry::layout;
use regc_core::stages::collect::plan::plan;
use regc_core::stages::collect::sweep::sweep;
use regc_core::stages::scan::{Options, scan};
use regc_core::stages::trash::restore;
use regc_core::storage::TrashStorage;
use regc_core::storage::lock::{Access, Locked};
use regc_core::storage::memory::MemoryStorage;
use regc_core::{Blocked, Cause, Deletion, Digest, Finding, Named, Silent};
use regc_testkit::generate::{self, Features};
use regc_testkit::wrapped::{Fault, Faulty};
use regc_testkit::{TestRegistry, blob_of, layer, oracle, sha256};

use crate::{DEFAULT, DIRECTORIES, Decided, UNTAGGED, at, collect, decide, here, holder, set};

fn without(registry: &TestRegistry, deletion: &Deletion) -> Decided {
    decide(&registry.in_memory(DIRECTORIES), Options { deletion: Some(deletion), ..DEFAULT }).unwrap()
}

fn blocked(registry: &TestRegistry, deletion: &Deletion) -> Vec<(Named, Cause)> {
    let options = Options { deletion: Some(deletion), ..DEFAULT };
    let scan = scan(&registry.in_memory(DIRECTORIES), &options, &Silent).unwrap();
    scan.reachable.blocked.into_iter().map(|Blocked { what, reason, .. }| (what, reason)).collect()
}

/// Returns the deletion of existing tags.
fn tags(registry: &TestRegistry, tags: &[&str]) -> Deletion {
    let mut deletion = Deletion::default();
    for tag in tags {
        let (repository, tag) = tag.split_once(':').unwrap();
        let link = registry.get(&layout::tag_link(repository, tag)).unwrap();
        deletion.tag(repository, tag, std::str::from_utf8(link).unwrap().parse().ok());
    }
    deletion
}

fn manifest(repository: &str, digest: Digest) -> Deletion {
    let mut deletion = Deletion::default();
    deletion.manifest(repository, digest);
    deletion
}

#[test]
fn deleting_tag_deletes_image_and_what_only_it_needs() {
    let mut registry = TestRegistry::new();
    let gone = registry.image("app:v1").layers(["base", "old"]).push();
    registry.image("app:v2").layers(["base", "new"]).push();
    registry.image("other:v1").layers(["other"]).push();
    // Garbage from before is not part of the deletion.
    let before = registry.image("app:v0").layers(["before"]).push();
    registry.delete("app", &before);
    let found = without(&registry, &tags(&registry, &["app:v1"]));
    let names = |decided: &Decided| registry.with_names(&format!("{:?}", decided.layer_links));
    assert_eq!((&found.tags, &found.revisions), (&set(["app:v1".to_owned()]), &here("app", [gone])));
    assert_eq!(found.blobs.len(), 3, "manifest, configuration, layer: {}", names(&found));
    assert!(found.blobs.contains(&layer("old")) && !found.blobs.contains(&layer("before")));
    assert_eq!(found.tag_index_entries, set([("app".to_owned(), "v1".to_owned(), gone)]));
    assert!(found.layer_links.contains(&("app".to_owned(), layer("old"))) && found.layer_links.len() == 2);
}

#[test]
fn deletion_leaves_other_garbage() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["shared", "freed", "own"]).push();
    registry.image("third:v1").layers(["shared"]).push();
    // What a deletion has left in another repository: links to what is kept and to what is deleted, a directory, a
    // tag's index.
    let deleted = registry.image("other:v1").layers(["shared", "freed", "lost"]).push();
    registry.image("other:v1").layers(["kept"]).push();
    registry.delete("other", &deleted);
    let deletion = tags(&registry, &["app:v1"]);
    let root = registry.on_disk();
    let found = decide(&at(root.path()), Options { deletion: Some(&deletion), ..DEFAULT }).unwrap();
    assert!(found.blobs.contains(&layer("freed")) && !found.blobs.contains(&layer("shared")));
    let of_other: BTreeSet<_> = found.layer_links.iter().filter(|(name, _)| name == "other").cloned().collect();
    assert_eq!(of_other, here("other", [layer("freed")]), "a link goes before what it leads to, and no other");
    assert!(found.tag_index_entries.iter().all(|(name, ..)| name == "app"));
    drop(crate::collect(&at(root.path()), Options { deletion: Some(&deletion), ..DEFAULT }).unwrap());
    assert!(root.path().join(layout::revision("other", &deleted)).exists());
    assert!(root.path().join(layout::tag_index_link("other", "v1", &deleted)).exists());
}

#[test]
fn an_image_stays_while_another_tag_names_it() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    registry.tag("app", "latest", &image);
    let found = without(&registry, &tags(&registry, &["app:v1"]));
    assert_eq!(found.tags, set(["app:v1".to_owned()]));
    assert!(found.revisions.is_empty() && found.blobs.is_empty() && found.layer_links.is_empty());
    let found = without(&registry, &tags(&registry, &["app:v1", "app:latest"]));
    assert_eq!((found.tags.len(), found.revisions), (2, here("app", [image])));
}

#[test]
fn attached_images_are_deleted_with_their_image() {
    let mut registry = TestRegistry::new();
    let platforms = ["amd64", "arm64"].map(|name| registry.image("app").layers(["base", name]).push());
    let index = registry.index("app:v1").manifests(platforms).push();
    let kept = registry.index("app:v2").manifests([platforms[0]]).push();
    let signature = |registry: &mut TestRegistry, of: Digest, end: &str| {
        let tag = format!("sha256-{}{end}", of.hex());
        registry.image(&format!("app:{tag}")).layers([format!("{end} of {of}")]).push()
    };
    let of_index = signature(&mut registry, index, ".sig");
    let of_kept_platform = signature(&mut registry, platforms[0], ".att");
    let of_platform = signature(&mut registry, platforms[1], ".sbom");
    let of_kept = signature(&mut registry, kept, "");
    let sbom = registry.image("app").layers(["sbom"]).subject(index).push();
    let of_sbom = registry.image("app").layers(["of sbom"]).subject(sbom).push();
    let of_kept_index = registry.image("app").layers(["of kept"]).subject(kept).push();
    let found = without(&registry, &tags(&registry, &["app:v1"]));
    let gone = [index, platforms[1], of_index, of_platform, sbom, of_sbom];
    assert_eq!(found.revisions, here("app", gone));
    assert_eq!(found.tags.len(), 3, "{:?}", found.tags);
    for stays in [platforms[0], kept, of_kept_platform, of_kept, of_kept_index] {
        assert!(!found.blobs.contains(&stays));
    }
    assert!(found.blobs.contains(&layer("arm64")) && !found.blobs.contains(&layer("base")));
}

#[test]
fn signature_of_an_image_in_another_repository_is_kept() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    let elsewhere = sha256(b"an image of another repository");
    registry.image(&format!("app:sha256-{}.sig", elsewhere.hex())).layers(["b"]).push();
    assert_eq!(without(&registry, &tags(&registry, &["app:v1"])).tags, set(["app:v1".to_owned()]));
}

#[test]
fn a_part_of_a_live_index_stays() {
    let mut registry = TestRegistry::new();
    let platform = registry.image("app:amd64").layers(["a"]).push();
    let index = registry.index("app:v1").manifests([platform]).push();
    let found = without(&registry, &tags(&registry, &["app:amd64"]));
    assert_eq!((found.tags, found.revisions.len()), (set(["app:amd64".to_owned()]), 0));
    let deletion = manifest("app", platform);
    let tagged = (Named::Manifest(platform), Cause::Tagged("amd64".into()));
    assert_eq!(blocked(&registry, &deletion), [tagged]);
    registry.untag("app", "amd64");
    assert_eq!(blocked(&registry, &deletion), [(Named::Manifest(platform), Cause::PartOf(index))]);
    assert_eq!(without(&registry, &deletion), Decided::default());
    assert_eq!(without(&registry, &manifest("app", index)), Decided::default(), "the tag v1 names it");
}

#[test]
fn named_referrer_is_deleted_alone() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    let signature = registry.image("app").layers(["signature"]).subject(image).push();
    let found = without(&registry, &manifest("app", signature));
    assert_eq!(found.revisions, here("app", [signature]));
    assert!(blocked(&registry, &manifest("app", signature)).is_empty());
}

#[test]
fn deletion_keeps_blobs_of_other_repositories() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["base", "own"]).push();
    registry.image("app/worker:v1").layers(["base"]).push();
    registry.upload("app", "6d1c5e0b-0000-4000-8000-000000000000");
    let mut deletion = Deletion::default();
    deletion.repository("app");
    let root = registry.on_disk();
    let storage = at(root.path());
    let options = Options { deletion: Some(&deletion), ..DEFAULT };
    let locked = Locked::take(&storage, &holder()).unwrap();
    let scan = scan(&storage, &options, &Silent).unwrap();
    let plan = plan(scan, &options).unwrap();
    let outcome = sweep(&locked, &plan, None, &Silent).unwrap();
    assert_eq!(outcome.removed, plan.totals());
    assert_eq!((outcome.removed.uploads, outcome.removed.repositories, outcome.removed.tags), (1, 1, 1));
    assert_eq!(outcome.removed.upload_bytes, "the first half".len() as u64 + "2026-01-01T00:00:00Z".len() as u64);
    assert!(!root.path().join(layout::revisions("app")).exists() && !root.path().join(layout::layers("app")).exists());
    assert!(root.path().join(layout::tag_link("app/worker", "v1")).exists(), "what is below stays");
    let blobs = regc_testkit::blobs_below(root.path());
    assert!(blobs.contains(&layer("base")) && !blobs.contains(&layer("own")));
    let mut deletion = Deletion::default();
    deletion.repository("app/worker");
    drop(locked);
    let options = Options { deletion: Some(&deletion), ..DEFAULT };
    drop(crate::collect(&storage, options).unwrap());
    let left = std::fs::read_dir(root.path().join(layout::REPOSITORIES)).unwrap().count();
    assert_eq!((left, regc_testkit::blobs_below(root.path()).len()), (0, 0), "no directory above it is left");
}

#[test]
fn content_can_be_left_to_a_later_collection() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    registry.image("app:v2").layers(["b"]).push();
    let mut deletion = tags(&registry, &["app:v1"]);
    deletion.keep_content = true;
    let found = without(&registry, &deletion);
    assert_eq!((found.revisions, found.tags.len()), (here("app", [image]), 1));
    assert!(found.blobs.is_empty() && found.layer_links.is_empty());
}

#[test]
fn deletion_keeps_repository_with_damaged_manifest() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    let damaged = registry.manifest("app:damaged", "{ this is no manifest");
    let deletion = tags(&registry, &["app:v1"]);
    assert_eq!(blocked(&registry, &deletion), [(Named::Tag("v1".into()), Cause::Damaged(damaged))]);
    let found = without(&registry, &deletion);
    assert_eq!((found.tags.len(), found.blobs.len(), found.findings.len()), (0, 0, 1));
    // The damaged image itself can be deleted, and then the others can.
    let found = without(&registry, &tags(&registry, &["app:damaged", "app:v1"]));
    assert_eq!((found.tags.len(), found.revisions.len(), found.findings.len()), (2, 2, 0));

    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    registry.put(layout::tag_link("app", "garbled"), "");
    assert_eq!(blocked(&registry, &tags(&registry, &["app:v1"])), [(Named::Tag("v1".into()), Cause::GarbledTag)]);
    assert_eq!(without(&registry, &tags(&registry, &["app:garbled"])).tags, set(["app:garbled".to_owned()]));
}

#[test]
fn a_tag_that_was_pushed_again_stays() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    let deletion = tags(&registry, &["app:v1"]);
    registry.image("app:v1").layers(["b"]).push();
    assert_eq!(blocked(&registry, &deletion), [(Named::Tag("v1".into()), Cause::Changed)]);
    assert_eq!(without(&registry, &deletion), Decided::default());
}

#[test]
fn an_image_that_registry_2_1_linked_keeps_what_it_needs() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["shared", "own"]).push();
    let old = registry.image("old:v1").layers(["shared", "old"]).push();
    registry.remove(&layout::revision_link("old", &old));
    registry.link_layer("old", &old);
    let found = without(&registry, &tags(&registry, &["app:v1"]));
    assert!(!found.blobs.contains(&layer("shared")) && found.blobs.contains(&layer("own")));
    assert!(found.layer_links.iter().all(|(repository, _)| repository == "app"));
}

#[test]
fn manifest_listed_as_a_layer_is_kept_when_the_image_is_deleted() {
    let mut registry = TestRegistry::new();
    let other = registry.image("app").layers(["a"]).push();
    let text = format!(r#"{{"schemaVersion":2,"layers":[{{"digest":"{other}","size":1}}]}}"#);
    let image = registry.manifest("app:v1", text);
    assert_eq!(without(&registry, &tags(&registry, &["app:v1"])).revisions, here("app", [image]));
}

#[test]
fn tag_with_only_the_prefix_of_a_cosign_tag_is_kept() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    registry.image(&format!("app:sha256-{}-arm64", image.hex())).layers(["b"]).push();
    assert_eq!(without(&registry, &tags(&registry, &["app:v1"])).tags, set(["app:v1".to_owned()]));
}

#[test]
fn deletion_keeps_tags_behind_symbolic_links() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    registry.image("app:old").layers(["c"]).push();
    registry.image("other:v1").layers(["b"]).push();
    let deletion = tags(&registry, &["app:v1", "app:old"]);
    for (link, target) in [
        ("app/_manifests/tags/v2", "v1"),
        ("app/_manifests/tags/v2/current", "../v1/current"),
        ("app/_manifests/tags/v2/current/link", "../../v1/current/link"),
    ] {
        let root = registry.on_disk();
        let path = root.path().join(layout::REPOSITORIES).join(link);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, &path).unwrap();
        let options = Options { deletion: Some(&deletion), ..DEFAULT };
        let scan = scan(&at(root.path()), &options, &Silent).unwrap();
        let [blocked] = &scan.reachable.blocked[..] else { panic!("{link}") };
        assert_eq!((&blocked.what, &blocked.reason), (&Named::Tag("v1".into()), &Cause::Symlinks), "{link}");
        let decided = decide(&at(root.path()), options).unwrap();
        assert_eq!(decided.tags, set(["app:old".to_owned()]), "{link}");
        assert!(decided.blobs.contains(&layer("c")) && !decided.blobs.contains(&layer("a")));
    }
    // A target that is not a tag.
    let root = registry.on_disk();
    let path = root.path().join(layout::tags("app")).join("v2");
    std::os::unix::fs::symlink("../revisions", &path).unwrap();
    let options = Options { deletion: Some(&deletion), ..DEFAULT };
    assert_eq!(decide(&at(root.path()), options).unwrap().tags, set([]));
    // A symbolic link from another repository, which loses its tag.
    for (link, target) in [
        ("v2", "v1"),
        ("v2/current", "v1/current"),
        ("v2/current/link", "v1/current/link"),
        ("v2/index", "v1/index"),
        ("v2/index/sha256", "v1/index/sha256"),
    ] {
        let root = registry.on_disk();
        let tags = |name: &str| root.path().join(layout::tags(name));
        let path = tags("other").join(link);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(tags("app").join(target), &path).unwrap();
        let options = Options { deletion: Some(&deletion), ..DEFAULT };
        let refused = decide(&at(root.path()), options);
        assert!(matches!(refused, Err(regc_core::Error::SymlinkElsewhere(_))), "{link}: {refused:?}");
    }
}

#[test]
fn deletion_keeps_foreign_file() {
    for (path, whole) in [
        ("_manifests/tags/v1/.nfs0001", false),
        ("_manifests/tags/v1/current/.DS_Store", false),
        ("_manifests/tags/v1/@eaDir/link", false),
        ("_uploads/note", true),
        ("_layers/sha256/note", true),
    ] {
        let mut registry = TestRegistry::new();
        registry.image("app:v1").layers(["a"]).push();
        registry.image("app:v2").layers(["b"]).push();
        let path = format!("{}/{path}", layout::repository("app"));
        registry.put(path.clone(), "somebody's");
        let mut deletion = tags(&registry, &["app:v1"]);
        if whole {
            deletion.repository("app");
        }
        let options = Options { deletion: Some(&deletion), ..DEFAULT };
        let found = decide(&registry.in_memory(DIRECTORIES), options).unwrap();
        let finding = Finding::ForeignFile { repository: "app".into(), path: path.clone() };
        assert_eq!(found.findings, std::slice::from_ref(&finding));
        assert!(found.tags.contains("app:v1") && found.blobs.contains(&layer("a")));
        assert!(found.repositories.is_empty(), "its directory stays");
        let root = registry.on_disk();
        drop(crate::collect(&at(root.path()), options).unwrap());
        let left = regc_testkit::files_below(&root.path().join(layout::repository("app")));
        assert_eq!(left.iter().filter(|file| path.ends_with(*file)).count(), 1);
        assert!(whole == (left.len() == 1), "{left:?}");
        // A second run has nothing to do, and still reports it.
        let again = decide(&at(root.path()), options).unwrap();
        assert_eq!(again, Decided { findings: vec![finding], ..Decided::default() });
    }
}

#[test]
fn deletion_keeps_image_with_recent_parts() {
    let mut registry = TestRegistry::new();
    let platform = registry.image("app").layers(["a"]).push();
    registry.index("app:v1").manifests([platform]).push();
    registry.image("app:v2").layers(["b"]).push();
    let deletion = tags(&registry, &["app:v1", "app:v2"]);
    let root = registry.on_disk();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    for key in regc_testkit::files_below(root.path()) {
        std::fs::File::open(root.path().join(key)).unwrap().set_modified(old).unwrap();
    }
    // The platform has just been pushed again.
    let link = root.path().join(layout::revision_link("app", &platform));
    std::fs::File::open(link).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    let recent_since = Some(old + std::time::Duration::from_secs(3600));
    let options = Options { deletion: Some(&deletion), recent_since, ..DEFAULT };
    let scan = scan(&at(root.path()), &options, &Silent).unwrap();
    let [blocked] = &scan.reachable.blocked[..] else { panic!("{:?}", scan.reachable.blocked) };
    assert_eq!((&blocked.what, &blocked.reason), (&Named::Tag("v1".into()), &Cause::Recent));
    assert_eq!(plan(scan, &options).unwrap().totals().tags, 1);
}

/// An interrupted run leaves no state: a collection of untagged manifests removes what it has left.
#[test]
fn a_removal_cut_off_at_any_change_is_completed_by_the_next_and_a_collection() {
    let mut registry = TestRegistry::new();
    let platforms = ["a", "b"].map(|name| registry.image("app").layers(["base", name]).push());
    let index = registry.index("app:v1").manifests(platforms).push();
    registry.image("app").layers(["sbom"]).subject(index).push();
    registry.image("app:v2").layers(["base"]).push();
    for to_trash in [None, Some("run")] {
        let remove = |storage: &dyn TrashStorage, deletion: &Deletion, run: Option<&str>| {
            let locked = Locked::take(&storage, &holder()).unwrap();
            let options = Options { deletion: Some(deletion), ..DEFAULT };
            let scan = scan(storage, &options, &Silent).unwrap();
            let header = run.map(crate::faults::header);
            sweep(&locked, &plan(scan, &options).unwrap(), header.as_ref(), &Silent)
        };
        let outside = |storage: &MemoryStorage| -> Vec<String> {
            storage.keys().into_iter().filter(|key| key.starts_with("docker/")).collect()
        };
        let deletion = tags(&registry, &["app:v1"]);
        let undisturbed = registry.in_memory(DIRECTORIES);
        drop(remove(&undisturbed, &deletion, to_trash).unwrap());
        // Before that, the journal is written; a run that cannot do so removes nothing.
        for k in usize::from(to_trash.is_some())..40 {
            for stops in [true, false] {
                let fault = move |n| match n == k || stops && n > k {
                    true => Fault::Error(std::io::ErrorKind::Other),
                    false => Fault::None,
                };
                let storage = Faulty::changing(registry.in_memory(DIRECTORIES), fault);
                drop(remove(&storage, &deletion, to_trash));
                let storage = storage.into_inner();
                assert!(storage.keys().iter().all(|key| key.starts_with("docker/") || key.starts_with(".regc/trash/")));
                drop(remove(&storage, &deletion, to_trash.map(|_| "again")).unwrap());
                drop(collect(&storage, UNTAGGED).unwrap());
                assert_eq!(outside(&storage), outside(&undisturbed), "{to_trash:?}, change {k}, {stops}");
            }
        }
    }
}

/// What is restored after an interrupted removal is kept: no later run completes the removal.
#[test]
fn a_store_restored_after_a_removal_was_cut_off_stays() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["base", "a"]).push();
    registry.image("app:v2").layers(["base", "b"]).push();
    let deletion = tags(&registry, &["app:v1", "app:v2"]);
    let fault = |n| if n > 2 { Fault::Error(std::io::ErrorKind::Other) } else { Fault::None };
    let storage = Faulty::changing(registry.in_memory(DIRECTORIES), fault);
    let options = Options { deletion: Some(&deletion), ..DEFAULT };
    let locked = Locked::take(&storage, &holder()).unwrap();
    let scan = scan(&storage, &options, &Silent).unwrap();
    let header = crate::faults::header("run");
    drop(sweep(&locked, &plan(scan, &options).unwrap(), Some(&header), &Silent));
    drop(locked);
    let storage = storage.into_inner();
    let locked = Locked::take(&storage, &holder()).unwrap();
    assert!(restore(Access::Change(&locked), "run", None, 4, &Silent).unwrap().failures.is_empty());
    drop(locked);
    for options in [DEFAULT, UNTAGGED] {
        assert_eq!(decide(&storage, options).unwrap(), Decided::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Everything that the remaining tags need is kept; and one run deletes what a collection would have found to be
    /// garbage after the names were removed.
    #[test]
    fn remaining_images_can_be_pulled(seed: u64, which in proptest::collection::vec(any::<prop::sample::Index>(), 1..4)) {
        let registry = generate::registry(seed, Features { referrers: true, partial_repositories: false });
        let all: Vec<(String, String)> = registry.keys().filter_map(|key| {
            let (repository, tag) = key.strip_prefix(&format!("{}/", layout::REPOSITORIES))?.split_once("/_manifests/tags/")?;
            Some((repository.to_owned(), tag.strip_suffix("/current/link")?.to_owned()))
        }).collect();
        prop_assume!(!all.is_empty());
        let names: BTreeSet<String> =
            which.iter().map(|index| index.get(&all)).map(|(name, tag)| format!("{name}:{tag}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let deletion = tags(&registry, &names);
        let found = without(&registry, &deletion);

        let mut left = registry.clone();
        for name in &found.tags {
            let (repository, tag) = name.split_once(':').unwrap();
            left.untag(repository, tag);
        }
        prop_assert!(names.iter().all(|name| found.tags.contains(*name)));
        let tagged = oracle::live(&left, true);
        for (repository, digest) in &found.revisions {
            prop_assert!(!tagged[repository].contains(digest), "{repository}@{digest} is in use");
            left.remove(&layout::revision_link(repository, digest));
        }
        let live: BTreeSet<Digest> = oracle::live(&left, false).into_values().flatten().collect();
        prop_assert!(found.blobs.is_disjoint(&live));
        // Everything that was live before, and no longer is, is deleted.
        let garbage_before = oracle::garbage_blobs(&registry, false);
        let released: BTreeSet<Digest> = registry.keys().filter_map(blob_of)
            .filter(|digest| !live.contains(digest) && !garbage_before.contains(digest)).collect();
        prop_assert_eq!(found.blobs, released);
    }
}
