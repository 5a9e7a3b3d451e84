//! What interrupted copies leave beside content and links.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use regc_core::registry::layout;
use regc_core::stages;
use regc_core::stages::collect::plan::plan;
use regc_core::stages::collect::sweep::sweep;
use regc_core::stages::scan::Leftovers;
use regc_core::stages::scan::{Options, scan};
use regc_core::storage::lock::{Access, Locked};
use regc_core::trash::Kind;
use regc_core::{Deletion, Finding, Silent, trash};
use regc_testkit::wrapped::{Fault, Faulty};
use regc_testkit::{TestRegistry, files_below, layer, oracle, sha256};

use crate::faults::run;
use crate::{DEFAULT, Decided, UNTAGGED, at, collect, decide, holder, set};

const UUID: &str = "6d1c5e0b-0000-4000-8000-000000000000";

fn days_ago(days: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(days * 24 * 3600)
}

/// Returns the options of `--tidy`, for what is older than a week.
fn tidy() -> Options<'static> {
    let leftovers = Leftovers {
        uploads_before: Some(days_ago(7)),
        empty_repositories: true,
        every_tag: true,
        orphans_before: None,
        copies_before: Some(days_ago(7)),
    };
    Options { leftovers, ..DEFAULT }
}

/// Writes a file as if it had been left some days ago.
fn leave(root: &Path, key: &str, days: u64) {
    let path = root.join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "the first half").unwrap();
    File::open(&path).unwrap().set_modified(days_ago(days)).unwrap();
}

/// Lists all files outside of the trash, with their modification times.
fn files(root: &Path) -> BTreeMap<String, SystemTime> {
    let files = files_below(root).into_iter().filter(|key| !key.starts_with(".regc/"));
    files.map(|key| (key.clone(), fs::symlink_metadata(root.join(&key)).unwrap().modified().unwrap())).collect()
}

/// Returns the key of `name` in the directory of another key.
fn beside(key: &str, name: &str) -> String {
    format!("{}/{name}", key.rsplit_once('/').unwrap().0)
}

/// Creates a registry with an image, and returns keys of remnants in every kind of place, all safe to delete.
fn registry() -> (TestRegistry, Vec<String>) {
    let mut registry = TestRegistry::new();
    let old = registry.image("app:v1").layers(["base", "old"]).push();
    let image = registry.image("app:v1").layers(["base"]).push();
    registry.delete("app", &old);
    let left = vec![
        beside(&layout::blob_data(&image), ".data.Xy12Za"),
        beside(&layout::blob_data(&layer("base")), "data.part"),
        // The content beside it is garbage.
        beside(&layout::blob_data(&layer("old")), "data.filepart"),
        beside(&layout::layer_link("app", &layer("old")), "link.partial"),
        beside(&layout::tag_index_link("app", "v1", &old), ".link.aaaaaa"),
        // There is nothing else beside it.
        beside(&layout::blob_data(&sha256(b"never")), &format!("data.{UUID}.tmp")),
        beside(&layout::layer_link("app", &sha256(b"never")), ".link.Xy12Za"),
        beside(&layout::revision_link("app", &old), ".link.Xy12Za"),
        beside(&layout::revision_link("app", &image), &format!("link.{UUID}.tmp")),
        beside(&layout::tag_link("app", "v1"), ".link.Xy12Za"),
        beside(&layout::tag_index_link("app", "v1", &image), ".link.Xy12Za"),
        beside(&layout::tag_link("app", "dead"), ".link.Xy12Za"),
    ];
    (registry, left)
}

#[test]
fn old_remnants_are_deleted() {
    let (registry, left) = registry();
    let root = registry.on_disk();
    let kept = [
        (beside(&left[0], ".data.young1"), 6),
        (beside(&left[3], ".link.young1"), 6),
        (beside(&left[0], "data.bak"), 100),
        (beside(&left[0], ".link.Xy12Za"), 100),
        (format!("{}/.data.Xy12Za", layout::shard(&layer("base"))), 100),
        (format!("{}/link.part", layout::layers("app")), 100),
        (format!("{}/link.part", layout::tag("app", "v1")), 100),
    ];
    kept.iter().for_each(|(key, days)| leave(root.path(), key, *days));
    left.iter().for_each(|key| leave(root.path(), key, 8));
    let before = files(root.path());
    let pulled = oracle::live(&registry, false);

    let storage = at(root.path());
    for options in [DEFAULT, UNTAGGED] {
        assert!(decide(&storage, options).unwrap().files.is_empty(), "nobody asked");
    }
    let decided = decide(&storage, tidy()).unwrap();
    assert_eq!(decided.files, left.iter().cloned().collect());
    assert_eq!(decided.findings, []);
    let recent = Options { recent_since: Some(days_ago(9)), ..tidy() };
    assert!(decide(&storage, recent).unwrap().files.is_empty(), "what is young for --min-age is kept");

    let dry = plan(scan(&storage, &tidy(), &Silent).unwrap(), &tidy()).unwrap().totals();
    let outcome = collect(&storage, tidy()).unwrap();
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!((outcome.removed, outcome.spared.files), (dry, 0));
    assert_eq!((dry.files, dry.file_bytes), (left.len() as u64, left.len() as u64 * 14));
    let after = files(root.path());
    assert!(left.iter().all(|key| !after.contains_key(key)));
    assert!(kept.iter().all(|(key, _)| after.contains_key(key)));
    // Not `left[3]`: the link there is deleted, but the young remnant beside it is kept.
    for key in [&left[2], &left[5], &left[6], &left[7], &left[11]] {
        assert!(!root.path().join(key).parent().unwrap().exists(), "{key}: its directory goes with it");
    }
    assert!(!root.path().join(layout::tag("app", "dead")).exists());
    for digest in &pulled["app"] {
        assert_eq!(before.get(&layout::blob_data(digest)), after.get(&layout::blob_data(digest)));
    }
    assert_eq!(decide(&storage, tidy()).unwrap(), Decided::default(), "a second run has nothing to do");
}

#[test]
fn remnants_are_restored_from_trash() {
    let (registry, left) = registry();
    let root = registry.on_disk();
    left.iter().for_each(|key| leave(root.path(), key, 8));
    let before = files(root.path());
    let storage = at(root.path());
    let outcome = run(&storage, tidy(), Some("run")).unwrap();
    assert_eq!(outcome.removed.files, left.len() as u64);
    let listed = &stages::trash::list(&storage, &Silent).unwrap()[0];
    let moved = outcome.removed;
    assert_eq!((listed.blobs, listed.bytes), (moved.blobs, moved.all_bytes()));

    let locked = Locked::take(&storage, &holder()).unwrap();
    let restored = stages::trash::restore(Access::Change(&locked), "run", None, 4, &Silent).unwrap();
    assert!(restored.is_complete(), "{:?} {:?}", restored.missing, restored.failures);
    let files_back = restored.restored.iter().filter(|entry| entry.kind == Kind::File);
    assert_eq!(files_back.map(|entry| &entry.path).collect::<BTreeSet<_>>(), left.iter().collect());
    assert_eq!(files(root.path()), before);
}

#[test]
fn journal_accepts_only_names_of_remnants() {
    let (registry, left) = registry();
    let root = registry.on_disk();
    leave(root.path(), &left[0], 8);
    drop(run(&at(root.path()), tidy(), Some("run")).unwrap());
    let journal = root.path().join(trash::directory("run")).join("journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    for other in [".data.bak", "../.data.Xy12Za", "data", "../../../../../../../x/.data.Xy12Za"] {
        fs::write(&journal, text.replace(".data.Xy12Za", other)).unwrap();
        assert!(stages::trash::read_journal(&at(root.path()), "run").is_err(), "{other}");
    }
    fs::write(&journal, text).unwrap();
    assert!(stages::trash::read_journal(&at(root.path()), "run").is_ok());
}

#[test]
fn remnant_written_during_run_stays() {
    let (registry, left) = registry();
    let root = registry.on_disk();
    left.iter().for_each(|key| leave(root.path(), key, 8));
    let (storage, options) = (at(root.path()), tidy());
    let locked = Locked::take(&storage, &holder()).unwrap();
    let scan = scan(&storage, &options, &Silent).unwrap();
    let plan = plan(scan, &options).unwrap();
    for key in [&left[0], &left[3]] {
        fs::write(root.path().join(key), "the first half, and more").unwrap();
    }
    let outcome = sweep(&locked, &plan, None, &Silent).unwrap();
    assert_eq!((outcome.spared.files, outcome.removed.files), (2, left.len() as u64 - 2));
    assert!([&left[0], &left[3]].iter().all(|key| root.path().join(key).exists()));
}

#[test]
fn remnant_without_its_original_stays() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["lost"]).push();
    registry.image("app:v2").layers(["other"]).push();
    registry.remove(&layout::blob_data(&layer("lost")));
    registry.remove(&layout::layer_link("app", &layer("lost")));
    registry.remove(&layout::tag_link("app", "v1"));
    let root = registry.on_disk();
    for key in [
        beside(&layout::blob_data(&layer("lost")), ".data.Xy12Za"),
        beside(&layout::layer_link("app", &layer("lost")), ".link.Xy12Za"),
        beside(&layout::tag_link("app", "v1"), ".link.Xy12Za"),
        beside(&layout::tag_index_link("app", "v2", &image), ".link.Xy12Za"),
    ] {
        leave(root.path(), &key, 100);
    }
    let before = files(root.path());
    for delete_untagged in [false, true] {
        let options = Options { delete_untagged, ..tidy() };
        assert_eq!(decide(&at(root.path()), options).unwrap().files, set([]));
        drop(collect(&at(root.path()), options).unwrap());
    }
    assert_eq!(files(root.path()), before);
}

#[test]
fn remnants_behind_symbolic_link_stay() {
    let (registry, _) = registry();
    let (root, elsewhere) = (registry.on_disk(), tempfile::tempdir().unwrap());
    leave(elsewhere.path(), ".data.Xy12Za", 100);
    leave(elsewhere.path(), "shard/.data.Xy12Za", 100);
    // A symbolic link in its place, a blob's directory, and a directory of blobs out of the storage root.
    let link = |key: &str, to: &Path| {
        let path = root.path().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, &path).unwrap();
        // A symbolic link has its own age.
        assert!(Command::new("touch").args(["-h", "-t", "202001010000"]).arg(path).status().unwrap().success());
    };
    link(&beside(&layout::blob_data(&layer("base")), ".data.Xy12Za"), &elsewhere.path().join(".data.Xy12Za"));
    link(&layout::blob(&sha256(b"linked")), elsewhere.path());
    let shard = (0u32..).map(|n| sha256(&n.to_le_bytes())).find(|d| !root.path().join(layout::shard(d)).exists());
    let shard = shard.unwrap();
    leave(elsewhere.path(), &format!("shard/{}/.data.Xy12Za", shard.hex()), 100);
    link(&layout::shard(&shard), &elsewhere.path().join("shard"));
    // What a tag names, and a layer's link.
    for (name, key) in
        [("tag", layout::tag("app", "linked") + "/current"), ("layer", layout::layer("app", &sha256(b"linked")))]
    {
        leave(elsewhere.path(), &format!("{name}/.link.Xy12Za"), 100);
        link(&key, &elsewhere.path().join(name));
    }
    let before = (files(root.path()), files_below(elsewhere.path()));
    assert_eq!(decide(&at(root.path()), tidy()).unwrap().files, set([]));
    drop(collect(&at(root.path()), tidy()).unwrap());
    assert_eq!(files_below(elsewhere.path()), before.1);
    assert!(root.path().join(beside(&layout::blob_data(&layer("base")), ".data.Xy12Za")).is_symlink());

    // Unless `allow_symlinked_blobs` confirms that no other store uses them.
    let allowed = Options { allow_symlinked_blobs: true, ..tidy() };
    let found = decide(&at(root.path()), allowed).unwrap().files;
    assert_eq!(found, set([format!("{}/{}/.data.Xy12Za", layout::shard(&shard), shard.hex())]));
}

#[test]
fn empty_repository_is_deleted_with_remnants() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    registry.layer("empty", "b");
    let root = registry.on_disk();
    let link = beside(&layout::layer_link("empty", &layer("b")), ".link.Xy12Za");
    leave(root.path(), &link, 3);
    let decided = decide(&at(root.path()), tidy()).unwrap();
    assert!(decided.repositories.is_empty() && decided.files.is_empty());
    let finding = Finding::ForeignFile { repository: "empty".into(), path: link.clone() };
    assert!(finding.remedy().contains("regc gc --tidy") && finding.remedy().contains("week"));
    assert_eq!(decided.findings, [finding]);

    leave(root.path(), &link, 8);
    let decided = decide(&at(root.path()), tidy()).unwrap();
    assert_eq!((decided.repositories, decided.findings), (set(["empty".to_owned()]), vec![]));
    drop(collect(&at(root.path()), tidy()).unwrap());
    assert!(!root.path().join(layout::repository("empty")).exists());
}

#[test]
fn repository_is_deleted_with_remnants_of_any_age() {
    let (registry, left) = registry();
    let root = registry.on_disk();
    // At any age.
    left.iter().filter(|key| key.starts_with(layout::REPOSITORIES)).for_each(|key| leave(root.path(), key, 1));
    let mut deletion = Deletion::default();
    deletion.repository("app");
    let options = Options { deletion: Some(&deletion), ..DEFAULT };
    let decided = decide(&at(root.path()), options).unwrap();
    assert_eq!(decided.findings, []);
    assert!(decided.files.contains(&left[9]), "{:?}", decided.files);
    drop(collect(&at(root.path()), options).unwrap());
    assert!(!root.path().join(layout::repository("app")).exists());
}

#[test]
fn failure_to_delete_remnants_loses_nothing() {
    let (registry, left) = registry();
    for to_trash in [None, Some("run")] {
        for k in 0..left.len() + 6 {
            let root = registry.on_disk();
            left.iter().for_each(|key| leave(root.path(), key, 8));
            let fails = move |n| if n == k { Fault::Error(ErrorKind::Other) } else { Fault::None };
            let storage = Faulty::changing(at(root.path()), fails);
            match run(&storage, tidy(), to_trash) {
                Ok(outcome) => assert!(!outcome.failures.is_empty(), "change {k} is told"),
                Err(error) => assert!(to_trash.is_some() && k == 0, "change {k}: {error}"),
            }
            for digest in oracle::live(&registry, false).into_values().flatten() {
                let key = layout::blob_data(&digest);
                assert_eq!(root.path().join(&key).exists(), registry.get(&key).is_some(), "change {k}: {key}");
            }
            drop(run(&at(root.path()), tidy(), None).unwrap());
            assert_eq!(decide(&at(root.path()), tidy()).unwrap(), Decided::default(), "change {k}");
            assert!(files(root.path()).keys().all(|key| !layout::is_remnant(key)), "change {k}");
        }
    }
}
