//! What registries leave behind, besides content.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use regc_core::registry::layout;
use regc_core::stages::scan::Options;
use regc_core::stages::scan::{Leftovers, Names};
use regc_testkit::{TestRegistry, layer, sha256};

use crate::{DEFAULT, DIRECTORIES, Decided, UNTAGGED, at, collect, decide, set};

const TIDY: Options<'_> = Options {
    leftovers: Leftovers {
        uploads_before: Some(SystemTime::UNIX_EPOCH),
        empty_repositories: true,
        every_tag: true,
        orphans_before: None,
        copies_before: None,
    },
    ..DEFAULT
};

const UPLOAD: &str = "6d1c5e0b-0000-4000-8000-000000000000";

fn hours_ago(hours: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(hours * 3600)
}

fn uploads_before(before: SystemTime) -> Options<'static> {
    Options { leftovers: Leftovers { uploads_before: Some(before), ..DEFAULT.leftovers }, ..DEFAULT }
}

fn upload_directory(root: &Path) -> std::path::PathBuf {
    root.join(layout::uploads("app")).join(UPLOAD)
}

#[test]
fn uploads_are_deleted_by_age() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    registry.upload("app", UPLOAD);
    registry.put(layout::upload_file("app", UPLOAD, "hashstates/sha256/14"), "state");
    let root = registry.on_disk();
    let directory = upload_directory(root.path());
    let decided = |hours: u64| decide(&at(root.path()), uploads_before(hours_ago(hours))).unwrap();
    // Its `startedat` is the first of January, but its files were written just now.
    assert_eq!(decided(168).uploads, set([]), "somebody goes on with it");
    written(&directory, hours_ago(200));
    assert_eq!(decided(168).uploads, set([format!("app/{UPLOAD}")]));
    for file in ["data", "hashstates/sha256/14"] {
        File::open(directory.join(file)).unwrap().set_modified(hours_ago(100)).unwrap();
        assert_eq!((decided(168).uploads.len(), decided(99).uploads.len()), (0, 1), "{file}");
        written(&directory, hours_ago(200));
    }
    let started = jiff_time(hours_ago(100));
    fs::write(directory.join("startedat"), &started).unwrap();
    written(&directory, hours_ago(200));
    assert_eq!((decided(168).uploads.len(), decided(99).uploads.len()), (0, 1));
    // Without a valid `startedat`, it is as old as its newest file.
    for text in ["", "yesterday"] {
        fs::write(directory.join("startedat"), text).unwrap();
        assert_eq!(decided(1).uploads.len(), 0, "{text:?}");
    }
    fs::remove_file(directory.join("startedat")).unwrap();
    for (file, hours) in [("data", 10), ("hashstates/sha256/14", 5)] {
        File::open(directory.join(file)).unwrap().set_modified(hours_ago(hours)).unwrap();
    }
    assert_eq!((decided(4).uploads.len(), decided(6).uploads.len()), (1, 0));

    assert_eq!(decide(&at(root.path()), DEFAULT).unwrap().uploads.len(), 0, "nobody asked");
    let outcome = collect(&at(root.path()), uploads_before(hours_ago(4))).unwrap();
    assert!(outcome.failures.is_empty() && !directory.exists());
    assert_eq!((outcome.removed.uploads, outcome.removed.upload_bytes), (1, 14 + 5));
}

/// Sets the modification time of each file of an upload.
fn written(upload: &Path, time: SystemTime) {
    for key in regc_testkit::files_below(upload) {
        File::open(upload.join(key)).unwrap().set_modified(time).unwrap();
    }
}

fn jiff_time(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    jiff::Timestamp::from_second(seconds as i64).unwrap().to_string()
}

#[test]
fn an_upload_that_is_being_written_stays_whole() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    registry.upload("app", UPLOAD);
    let root = registry.on_disk();
    let storage = at(root.path());
    written(&upload_directory(root.path()), hours_ago(2));
    let options = uploads_before(hours_ago(1));
    let locked = regc_core::storage::lock::Locked::take(&storage, &crate::holder()).unwrap();
    let scan = regc_core::stages::scan::scan(&storage, &options, &regc_core::Silent).unwrap();
    let plan = regc_core::stages::collect::plan::plan(scan, &options).unwrap();
    assert_eq!(plan.totals().uploads, 1);
    fs::write(upload_directory(root.path()).join("data"), "the first half, and more").unwrap();
    let outcome = regc_core::stages::collect::sweep::sweep(&locked, &plan, None, &regc_core::Silent).unwrap();
    assert_eq!((outcome.removed.uploads, outcome.spared.uploads), (0, 1));
    assert!(upload_directory(root.path()).join("startedat").exists());
    let recent = Options { recent_since: Some(hours_ago(1)), ..options };
    assert_eq!(decide(&storage, recent).unwrap().uploads.len(), 0, "and what is young is not even tried");
}

#[test]
fn empty_repositories_are_deleted() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    let gone = registry.image("team/gone:v1").layers(["b"]).push();
    registry.tag("team/gone", "v2", &gone);
    registry.image("team/gone:v2").layers(["c"]).push();
    let second = sha256(registry.get(&layout::tag_link("team/gone", "v2")).unwrap());
    assert_ne!(second, gone);
    let named: regc_core::Digest =
        std::str::from_utf8(registry.get(&layout::tag_link("team/gone", "v2")).unwrap()).unwrap().parse().unwrap();
    registry.delete("team/gone", &gone);
    registry.delete("team/gone", &named);
    registry.image("team/gone/below:v1").layers(["d"]).push();
    registry.layer("cut/off", "e");
    registry.layer("busy", "f");
    registry.upload("busy", UPLOAD);
    let root = registry.on_disk();
    let decided = decide(&at(root.path()), TIDY).unwrap();
    assert_eq!(decided.repositories, set(["cut/off".to_owned(), "team/gone".to_owned()]), "not one with an upload");
    let alone = Leftovers { empty_repositories: true, ..DEFAULT.leftovers };
    let found = decide(&at(root.path()), Options { leftovers: alone, ..DEFAULT }).unwrap();
    assert_eq!(found.repositories, decided.repositories, "nor where uploads are left alone");
    assert_eq!(found.uploads.len(), 0);
    assert_eq!(decide(&at(root.path()), DEFAULT).unwrap().repositories.len(), 0, "nobody asked");
    let outcome = collect(&at(root.path()), TIDY).unwrap();
    assert_eq!((outcome.removed.repositories, outcome.failures.len()), (2, 0));
    let exists = |name: &str| root.path().join(layout::repository(name)).exists();
    assert!(!exists("cut") && exists("team/gone/below") && exists("busy") && exists("app"));
    assert!(!root.path().join(layout::layers("team/gone")).exists());
    assert_eq!(decide(&at(root.path()), TIDY).unwrap(), crate::Decided::default());
}

#[test]
fn repository_with_foreign_files_is_kept() {
    for path in ["_layers/sha256/note", "_manifests/tags/v1/note", "_uploads/note"] {
        let mut registry = TestRegistry::new();
        registry.image("app:v1").layers(["a"]).push();
        registry.layer("empty", "b");
        registry.put(format!("{}/{path}", layout::repository("empty")), "somebody's");
        assert_eq!(decide(&registry.in_memory(DIRECTORIES), TIDY).unwrap().repositories.len(), 0, "{path}");
    }
}

#[test]
fn collection_deletes_leftovers_of_api_deletion() {
    let mut registry = TestRegistry::new();
    let old = registry.image("app:v1").layers(["a"]).push();
    let kept = registry.image("app:v1").layers(["b"]).push();
    registry.image("other:v1").layers(["b"]).push();
    registry.delete("app", &old);
    let root = registry.on_disk();
    let exists = |path: String| root.path().join(path).exists();
    assert!(exists(layout::tag_index_link("app", "v1", &old)) && exists(layout::revision("app", &old)));
    let decided = decide(&at(root.path()), DEFAULT).unwrap();
    assert_eq!(decided.tag_index_entries, set([("app".to_owned(), "v1".to_owned(), old)]));
    drop(collect(&at(root.path()), DEFAULT).unwrap());
    assert!(!exists(layout::tag_index_link("app", "v1", &old)) && !exists(layout::revision("app", &old)));
    assert!(exists(layout::tag_index_link("app", "v1", &kept)) && exists(layout::revision_link("app", &kept)));

    // Of this one only the entry is left, since it was removed by hand. Nothing shows that, so only tidying finds it. The tag v2
    // has no other entry.
    let lost = sha256(b"lost");
    for tag in ["v1", "v2"] {
        let entry = root.path().join(layout::tag_index_link("other", tag, &lost));
        fs::create_dir_all(entry.parent().unwrap()).unwrap();
        fs::write(entry, lost.to_string()).unwrap();
    }
    let entry = |tag: &str| ("other".to_owned(), tag.to_owned(), lost);
    assert_eq!(decide(&at(root.path()), DEFAULT).unwrap().tag_index_entries, set([]));
    assert_eq!(decide(&at(root.path()), TIDY).unwrap().tag_index_entries, set([entry("v1"), entry("v2")]));
}

#[test]
fn an_index_loses_the_entry_of_a_manifest_that_is_linked_as_a_layer_only() {
    let mut registry = TestRegistry::new();
    let old = registry.image("app:v1").layers(["a"]).push();
    registry.image("app:v1").layers(["b"]).push();
    let root = registry.on_disk();
    // As registry 2.1 linked manifests.
    let [revision, layer] =
        [layout::revision("app", &old), layout::layer("app", &old)].map(|key| root.path().join(key));
    fs::rename(revision, layer).unwrap();
    let decided = decide(&at(root.path()), DEFAULT).unwrap();
    assert!(decided.layer_links.contains(&("app".to_owned(), old)));
    assert_eq!(decided.tag_index_entries, set([("app".to_owned(), "v1".to_owned(), old)]));
}

#[test]
fn empty_tags_are_deleted() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    registry.image("app:v2").layers(["b"]).push();
    registry.remove(&layout::tag_link("app", "v1"));
    registry.delete("app", &image);
    let root = registry.on_disk();
    fs::create_dir_all(root.path().join(layout::tag("app", "v0")).join("current")).unwrap();
    drop(collect(&at(root.path()), TIDY).unwrap());
    let left = fs::read_dir(root.path().join(layout::tags("app"))).unwrap().map(|tag| tag.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["v2"]);
}

#[test]
fn a_repository_whose_every_manifest_is_deleted_is_deleted_in_the_same_run() {
    let mut registry = TestRegistry::new();
    let image = registry.image("gone").layers(["a"]).push();
    registry.index("gone").manifests([image]).push();
    registry.image("app:v1").layers(["b"]).push();
    let options = Options { delete_untagged: true, ..TIDY };
    let storage = registry.in_memory(DIRECTORIES);
    assert_eq!(decide(&storage, options).unwrap().repositories, set(["gone".to_owned()]));
    drop(collect(&storage, options).unwrap());
    assert_eq!(decide(&storage, options).unwrap(), Decided::default(), "a second run has nothing to do");
    assert_eq!(
        decide(&registry.in_memory(DIRECTORIES), TIDY).unwrap().repositories,
        set([]),
        "untagged, and nobody asked"
    );
}

#[test]
fn only_some_repositories_are_tidied() {
    let mut registry = TestRegistry::new();
    for name in ["team/app", "other"] {
        registry.image(&format!("{name}:v1")).layers(["old"]).push();
        registry.image(&format!("{name}:v1")).layers(["new"]).push();
        registry.upload(name, UPLOAD);
        let gone = registry.image(&format!("{name}/empty:v1")).layers(["gone"]).push();
        registry.delete(&format!("{name}/empty"), &gone);
    }
    let some = |name: &str| name.starts_with("team/");
    let leftovers = Leftovers { uploads_before: Some(SystemTime::now()), ..TIDY.leftovers };
    let root = registry.on_disk();
    for name in ["team/app", "other"] {
        written(&root.path().join(layout::uploads(name)).join(UPLOAD), hours_ago(1));
    }
    let decided =
        decide(&at(root.path()), Options { leftovers, repositories: Names::accepted_by(&some), ..UNTAGGED }).unwrap();
    assert_eq!(decided.uploads, set([format!("team/app/{UPLOAD}")]));
    assert_eq!(decided.repositories, set(["team/app/empty".to_owned()]));
    assert!(decided.revisions.iter().all(|(name, _)| name == "team/app") && decided.revisions.len() == 1);
    // The other repository still has it.
    assert!(!decided.blobs.contains(&layer("old")) && decided.blobs.contains(&layer("gone")));
}
