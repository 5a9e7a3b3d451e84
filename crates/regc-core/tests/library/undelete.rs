//! Undeleting restores what the API has deleted, and nothing that the repository never had.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use regc_core::registry::layout;
use regc_core::stages::undelete::{apply, find, plan};
use regc_core::storage::TrashStorage;
use regc_core::storage::filesystem::FilesystemStorage;
use regc_core::storage::lock::Locked;
use regc_core::undelete::{Deleted, Evidence, LinkKind, Outcome, Plan, Selection, select_since};
use regc_core::{Digest, Error, Holder, Missing, MissingReason, Silent};
use regc_testkit::wrapped::{Fault, Faulty};
use regc_testkit::{TestRegistry, files_below, layer, sha256};

fn open(root: &Path) -> FilesystemStorage {
    FilesystemStorage::open(root).unwrap()
}

fn found(root: &Path) -> Vec<Deleted> {
    find(&open(root), |_| true, 4, &Silent).unwrap()
}

fn selection(repository: &str, digest: Digest, tags: &[&str]) -> Selection {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Selection { repository: repository.to_owned(), digest, tags }
}

fn planned(root: &Path, selected: &[Selection]) -> Result<Plan, Error> {
    plan(&open(root), &found(root), selected, &Silent)
}

fn undelete_in(storage: &dyn TrashStorage, selected: &[Selection]) -> Result<(Plan, Outcome), Error> {
    let locked = Locked::take(&storage, &Holder::new("test"))?;
    let found = find(storage, |_| true, 4, &Silent)?;
    let plan = plan(storage, &found, selected, &Silent)?;
    let outcome = apply(&locked, &plan, &Silent)?;
    Ok((plan, outcome))
}

fn undelete(root: &Path, selected: &[Selection]) -> Plan {
    let (plan, outcome) = undelete_in(&open(root), selected).unwrap();
    assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
    assert_eq!(outcome.done, plan.links().len());
    plan
}

/// Lists the registry's own files.
fn files(root: &Path) -> Vec<(String, Vec<u8>)> {
    let of_registry = files_below(root).into_iter().filter(|key| key.starts_with(layout::ROOT));
    of_registry.map(|key| (key.clone(), fs::read(root.join(key)).unwrap())).collect()
}

/// Creates an index of two platforms under a tag, and deletes all of it through the API. Returns the registries
/// before and after.
fn deleted_index() -> (TestRegistry, TestRegistry, [Digest; 3]) {
    let mut registry = TestRegistry::new();
    let amd64 = registry.image("app").layers(["base", "amd64"]).push();
    let arm64 = registry.image("app").layers(["base", "arm64"]).push();
    let index = registry.index("app:v1").manifests([amd64, arm64]).push();
    registry.image("other:v1").layers(["base"]).push();
    let before = registry.clone();
    for digest in [index, amd64, arm64] {
        registry.delete("app", &digest);
    }
    (before, registry, [index, amd64, arm64])
}

#[test]
fn undelete_restores_an_index_with_its_platforms_and_tag() {
    let (before, registry, [index, amd64, arm64]) = deleted_index();
    let (root, before) = (registry.on_disk(), before.on_disk());
    let listed = found(root.path());
    assert_eq!(listed.len(), 3);
    let of_index = listed.iter().find(|deleted| deleted.digest == index).unwrap();
    assert_eq!((of_index.evidence, &of_index.missing), (Evidence::Revision, &None));
    assert_eq!(of_index.platforms, ["linux/amd64", "linux/amd64"]);
    assert!(of_index.deleted.is_some_and(|deleted| deleted.elapsed().unwrap() < Duration::from_secs(3600)));

    let plan = undelete(root.path(), &[selection("app", index, &["v1"])]);
    let kinds: Vec<LinkKind> = plan.links().iter().map(|link| link.kind).collect();
    assert_eq!(
        kinds,
        [LinkKind::Revision, LinkKind::Revision, LinkKind::Revision, LinkKind::TagIndexEntry, LinkKind::Tag]
    );
    let children = [plan.links()[0].digest, plan.links()[1].digest];
    assert!(children.contains(&amd64) && children.contains(&arm64) && plan.links()[2].digest == index);
    assert_eq!(files(root.path()), files(before.path()));
    assert!(!root.path().join(".regc/incoming").exists());
    assert!(found(root.path()).is_empty());
    assert!(undelete(root.path(), &[selection("app", index, &["v1"])]).links().is_empty());
}

#[test]
fn undelete_stopped_at_any_change_links_nothing_dangling_and_is_finished_by_the_next() {
    let (before, registry, [index, ..]) = deleted_index();
    let before = before.on_disk();
    let selected = [selection("app", index, &["v1"])];
    for stop in 0.. {
        let root = registry.on_disk();
        let reached = Arc::new(AtomicUsize::new(0));
        let counted = reached.clone();
        let storage = Faulty::changing(open(root.path()), move |change| {
            counted.fetch_max(change + 1, Relaxed);
            if change >= stop { Fault::Error(io::ErrorKind::StorageFull) } else { Fault::None }
        });
        let (plan, outcome) = undelete_in(&storage, &selected).unwrap();
        if outcome.failure.is_none() {
            assert!(stop >= 2 * plan.links().len() && reached.load(Relaxed) == stop);
            break;
        }
        // A link exists only if its target does, and has the text that a registry writes.
        let findings = crate::decide(&open(root.path()), crate::DEFAULT).unwrap().findings;
        assert!(findings.is_empty(), "stopped at change {stop}: {findings:?}");
        for link in plan.links().iter().filter(|link| root.path().join(&link.path).exists()) {
            assert_eq!(fs::read_to_string(root.path().join(&link.path)).unwrap(), link.digest.to_string());
        }
        undelete(root.path(), &selected);
        assert_eq!(files(root.path()), files(before.path()), "stopped at change {stop}");
    }
}

#[test]
fn undelete_refuses_incomplete_manifests_and_changes_nothing() {
    let lost = layer("amd64");
    type Damage = fn(&mut TestRegistry);
    let cases: [(Damage, MissingReason); 4] = [
        (|registry| drop(registry.remove(&layout::blob_data(&layer("amd64")))), MissingReason::NoContent),
        (|registry| registry.put(layout::blob_data(&layer("amd64")), "layer amd6x\n"), MissingReason::Damaged),
        (
            |registry| drop(registry.remove(&layout::layer_link("app", &layer("amd64")))),
            MissingReason::NeverInRepository,
        ),
        (|registry| registry.put(layout::layer_link("app", &layer("amd64")), ""), MissingReason::GarbledLink),
    ];
    for (damage, reason) in cases {
        let (_, mut registry, [index, ..]) = deleted_index();
        damage(&mut registry);
        let root = registry.on_disk();
        let before = files(root.path());
        let plan = undelete(root.path(), &[selection("app", index, &["v1"])]);
        assert!(plan.links().is_empty() && plan.selected().is_empty());
        assert_eq!(plan.left()[0].1, [Missing { digest: lost, reason }]);
        assert_eq!(files(root.path()), before);
        let listed = found(root.path()).into_iter().find(|deleted| deleted.digest == index).unwrap();
        let seen_without_hashing = (reason != MissingReason::Damaged).then_some(Missing { digest: lost, reason });
        assert_eq!(listed.missing, seen_without_hashing);
    }
}

#[test]
fn undelete_links_nothing_that_only_another_repository_had() {
    let mut registry = TestRegistry::new();
    let secret = registry.image("tenant/secret").layers(["secret"]).push();
    // An index that one tenant has pushed, and that lists the digest of another tenant's image.
    let own = registry.image("app").layers(["own"]).push();
    let index = registry.index("app:v1").manifests([own, secret]).push();
    registry.delete("app", &index);
    let root = registry.on_disk();
    let before = files(root.path());
    assert!(matches!(planned(root.path(), &[selection("app", secret, &[])]), Err(Error::NotDeleted { .. })));
    let plan = undelete(root.path(), &[selection("app", index, &[])]);
    assert_eq!(plan.absent(), [("app".to_owned(), secret)]);
    let added: Vec<_> = files(root.path()).into_iter().filter(|file| !before.contains(file)).collect();
    assert_eq!(added, [(layout::revision_link("app", &index), index.to_string().into_bytes())]);
}

#[test]
fn a_deleted_manifest_is_not_listed_for_another_repository_that_has_its_layers() {
    let mut registry = TestRegistry::new();
    let image = registry.image("tenant/secret:v1").layers(["base"]).push();
    let config: Vec<_> = registry.keys().filter(|key| key.contains("/_layers/")).map(str::to_owned).collect();
    registry.delete("tenant/secret", &image);
    for key in config {
        let content = registry.get(&key).unwrap().to_vec();
        registry.put(key.replace("tenant/secret", "app"), content);
    }
    let listed = |root: &Path| found(root).into_iter().map(|deleted| deleted.repository).collect::<Vec<_>>();
    let root = registry.on_disk();
    assert_eq!(listed(root.path()), ["tenant/secret"]);
    assert!(matches!(planned(root.path(), &[selection("app", image, &[])]), Err(Error::NotDeleted { .. })));
    // The same if it is known only as a layer.
    fs::remove_dir(root.path().join(layout::revision("tenant/secret", &image))).unwrap();
    assert_eq!(listed(root.path()), ["app", "tenant/secret"]);
    registry.link_layer("tenant/secret", &image);
    registry.write_to(root.path());
    fs::remove_dir(root.path().join(layout::revision("tenant/secret", &image))).unwrap();
    assert!(listed(root.path()).is_empty());
}

#[test]
fn undelete_restores_index_of_layers() {
    let mut registry = TestRegistry::new();
    let (cached, odd) = (registry.layer("app", "cached"), registry.layer("app", "odd"));
    let index = registry.index("app:cache").manifests([cached]);
    let index = index.entry("application/vnd.oci.image.layer.v1.tar+gzip", &odd).push();
    let before = registry.clone().on_disk();
    registry.delete("app", &index);
    let root = registry.on_disk();
    undelete(root.path(), &[selection("app", index, &["cache"])]);
    assert_eq!(files(root.path()), files(before.path()));
}

#[test]
fn undelete_writes_layer_links_that_the_repository_had() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["base"]).push();
    registry.delete("app", &image);
    registry.remove(&layout::layer_link("app", &layer("base")));
    let root = registry.on_disk();
    // A DELETE of a layer through the API leaves its directory.
    fs::create_dir_all(root.path().join(layout::layer("app", &layer("base")))).unwrap();
    let plan = undelete(root.path(), &[selection("app", image, &["v1"])]);
    assert_eq!(plan.links()[0].path, layout::layer_link("app", &layer("base")));
    assert!(root.path().join(layout::tag_link("app", "v1")).exists());
}

#[test]
fn a_tag_that_names_something_else_is_not_overwritten() {
    let mut registry = TestRegistry::new();
    let old = registry.image("app:v1").layers(["old"]).push();
    let new = registry.image("app:v1").layers(["new"]).push();
    registry.delete("app", &old);
    let root = registry.on_disk();
    let listed = found(root.path());
    assert_eq!(listed[0].tags, ["v1"]);
    assert!(listed[0].certain_tags.is_empty());
    let before = files(root.path());
    let both = [selection("app", old, &["v2"]), selection("app", new, &["v2"])];
    for taken in [&[selection("app", old, &["v1"])][..], &both] {
        assert!(matches!(planned(root.path(), taken), Err(Error::TagExists { .. })));
    }
    for wrong in ["../v2", "", ".", "a/b", "-v2"] {
        assert!(matches!(planned(root.path(), &[selection("app", old, &[wrong])]), Err(Error::NoTag(_))), "{wrong}");
    }
    assert_eq!(files(root.path()), before);
    undelete(root.path(), &[selection("app", old, &["old"])]);
    let names = |tag| fs::read_to_string(root.path().join(layout::tag_link("app", tag))).unwrap();
    assert_eq!((names("old"), names("v1")), (old.to_string(), new.to_string()));
}

#[test]
fn manifests_without_any_directory_are_found_where_everything_they_refer_to_is_linked() {
    let mut registry = TestRegistry::new();
    let amd64 = registry.image("app").layers(["base", "amd64"]).push();
    let index = registry.index("app:v1").manifests([amd64]).push();
    for digest in [amd64, index] {
        registry.remove(&layout::revision_link("app", &digest));
    }
    registry.untag("app", "v1");
    // Another repository has some of the layers, and a third one only a tag's index.
    registry.image("other:v1").layers(["base"]).push();
    let remembered = registry.image("third:v1").layers(["third"]).push();
    registry.remove(&layout::revision_link("third", &remembered));
    registry.remove(&layout::tag_link("third", "v1"));
    // JSON that is no manifest, and a manifest that no client could have pushed.
    registry.blob(r#"{"os":"linux"}"#);
    registry.blob(r#"{"schemaVersion":2,"layers":[]}"#);
    let root = registry.on_disk();
    let listed: Vec<_> =
        found(root.path()).into_iter().map(|deleted| (deleted.repository, deleted.digest, deleted.evidence)).collect();
    let mut expected = vec![
        ("app".to_owned(), amd64, Evidence::References),
        ("app".to_owned(), index, Evidence::References),
        ("third".to_owned(), remembered, Evidence::TagIndex),
    ];
    expected.sort();
    assert_eq!(listed, expected);
    undelete(root.path(), &[selection("app", index, &["v1"]), selection("third", remembered, &["v1"])]);
    assert!(found(root.path()).is_empty());
    assert!(crate::decide(&open(root.path()), crate::UNTAGGED).unwrap().blobs.len() == 2);
}

#[test]
fn undelete_all_since_restores_known_tags() {
    let mut registry = TestRegistry::new();
    let images: Vec<Digest> = ["early", "late", "broken"]
        .iter()
        .map(|name| registry.image(&format!("app:{name}")).layers([*name]).push())
        .collect();
    images.iter().for_each(|image| registry.delete("app", image));
    registry.remove(&layout::blob_data(&layer("broken")));
    registry.put(layout::tag_index_link("app", "late", &images[1]), images[1].to_string());
    let root = registry.on_disk();
    let day_ago = SystemTime::now() - Duration::from_secs(86_400);
    File::open(root.path().join(layout::revision("app", &images[0]))).unwrap().set_modified(day_ago).unwrap();
    let since = SystemTime::now() - Duration::from_secs(7200);
    let selected = select_since(&found(root.path()), since);
    let plan = undelete(root.path(), &selected);
    assert_eq!(plan.selected(), [selection("app", images[1], &["late"])]);
    assert_eq!(plan.left()[0].0.digest, images[2]);
    assert!(root.path().join(layout::tag_link("app", "late")).exists());
    assert!(!root.path().join(layout::revision_link("app", &images[0])).exists());
    let again = undelete(root.path(), &select_since(&found(root.path()), since));
    assert!(again.links().is_empty());
    // A run that was killed between the manifest and its tag is finished.
    fs::remove_file(root.path().join(layout::tag_link("app", "late"))).unwrap();
    let finished = undelete(root.path(), &select_since(&found(root.path()), since));
    assert_eq!(finished.links().iter().map(|link| link.kind).collect::<Vec<_>>(), [LinkKind::Tag]);
}

#[test]
fn no_link_is_written_through_a_symbolic_link() {
    for part in ["_manifests", "_manifests/revisions", "_manifests/revisions/sha256", ""] {
        let (_, registry, [_, amd64, _]) = deleted_index();
        let (root, elsewhere) = (registry.on_disk(), tempfile::tempdir().unwrap());
        let path = root.path().join(layout::repository("app")).join(part);
        let path = path.components().collect::<std::path::PathBuf>();
        fs::rename(&path, elsewhere.path().join("real")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("real"), &path).unwrap();
        let before = files_below(elsewhere.path());
        let plan = planned(root.path(), &[selection("app", amd64, &[])]).unwrap();
        assert!(plan.links().is_empty(), "{part}: {:?}", plan.links());
        let reason = Some(MissingReason::BehindSymlink);
        assert_eq!(plan.left().first().map(|(_, missing)| missing[0].reason), reason, "{part}");
        assert_eq!(files_below(elsewhere.path()), before);
    }
}

#[test]
fn undelete_finds_long_chain_of_deleted_indexes() {
    let mut registry = TestRegistry::new();
    let mut top = registry.image("app").layers(["base"]).push();
    let mut all = vec![top];
    for _ in 0..1500 {
        top = registry.index("app").manifests([top]).push();
        all.push(top);
    }
    all.iter().for_each(|digest| {
        registry.remove(&layout::revision_link("app", digest));
    });
    let root = registry.on_disk();
    for digest in &all {
        fs::create_dir_all(root.path().join(layout::revision("app", digest))).unwrap();
    }
    let listed = found(root.path());
    assert_eq!(listed.len(), all.len());
    let selected: Vec<Selection> = listed.iter().map(|deleted| selection("app", deleted.digest, &[])).collect();
    let plan = planned(root.path(), &selected).unwrap();
    let order: Vec<Digest> = plan.links().iter().map(|link| link.digest).collect();
    assert_eq!(order, all);
    assert_ne!(sha256(b""), top);
}
