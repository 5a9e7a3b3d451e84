//! What is moved to the trash, and comes back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regc_core::digest::Digest;
use regc_core::error::Error;
use regc_core::finding::Finding;
use regc_core::heal::survey_and_heal;
use regc_core::layout;
use regc_core::monitor::Silent;
use regc_core::storage::DeleteStorage;
use regc_core::trash::{self, Kind, Restored, Selection};
use regc_testkit::generate::{self, Features};
use regc_testkit::{TestRegistry, layer};

use crate::faults::run;
use crate::{DEFAULT, UNTAGGED, at, decide, holder};

/// Every file below `root`, with its content and when it was written.
fn files(root: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let files = regc_testkit::files_below(root).into_iter();
    let files = files.map(|key| {
        let path = root.join(&key);
        (key, (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap()))
    });
    files.collect()
}

fn restore(root: &Path, selection: Option<&Selection>) -> Result<Restored, Error> {
    let storage = at(root);
    let lock = storage.lock(&holder()).unwrap();
    trash::restore(&storage, Some(&lock), "run", selection, 4)
}

/// An index and an image that were deleted, and one that stays.
fn registry() -> (TestRegistry, [Digest; 2]) {
    let mut registry = TestRegistry::new();
    let platforms = [registry.image("multi").layers(["a"]).push(), registry.image("multi").layers(["b"]).push()];
    let index = registry.index("multi:v1").manifests(platforms).push();
    let image = registry.image("team/app:v1").layers(["base", "old"]).push();
    registry.image("team/app:v1").layers(["base", "new"]).push();
    registry.image("multi:v1").layers(["base"]).push();
    (registry, [index, image])
}

#[test]
fn everything_comes_back_as_it_was() {
    for seed in 0..10 {
        let root = generate::registry(seed, Features { referrers: true, partial_repositories: true }).on_disk();
        let before = files(root.path());
        let garbage = decide(&at(root.path()), UNTAGGED).unwrap();
        let moved = run(&at(root.path()), UNTAGGED, Some("run")).unwrap();
        assert_eq!((moved.removed.bytes, moved.failures.len()), (garbage.bytes, 0));
        assert_eq!(decide(&at(root.path()), UNTAGGED).unwrap(), crate::Decided::default(), "the trash is no registry");
        let [listed] = &trash::list(&at(root.path())).unwrap()[..] else { panic!("one run") };
        assert_eq!((listed.bytes, listed.blobs), (garbage.bytes, garbage.blobs.len() as u64));

        let restored = restore(root.path(), None).unwrap();
        assert!(restored.failures.is_empty() && restored.already_there.is_empty());
        let mut after = files(root.path());
        after.retain(|key, _| !key.starts_with(".regc/"));
        assert_eq!(after, before, "seed {seed}: contents and times");
    }
}

#[test]
fn an_image_comes_back_with_all_that_it_needs_and_nothing_else() {
    let (registry, [index, image]) = registry();
    let root = registry.on_disk();
    run(&at(root.path()), UNTAGGED, Some("run")).unwrap();
    let exists = |key: String| root.path().join(key).exists();
    assert!(!exists(layout::revision_link("multi", &index)) && !exists(layout::blob_data(&layer("a"))));

    restore(root.path(), Some(&Selection { digests: vec![index], ..Selection::default() })).unwrap();
    assert!(exists(layout::revision_link("multi", &index)));
    for name in ["a", "b"] {
        assert!(exists(layout::blob_data(&layer(name))) && exists(layout::layer_link("multi", &layer(name))));
    }
    assert!(!exists(layout::blob_data(&image)));
    assert_eq!(decide(&at(root.path()), DEFAULT).unwrap(), crate::Decided::default(), "it is whole");

    for (what, selection) in [
        ("nowhere", Selection { repositories: vec!["nowhere".into()], ..Selection::default() }),
        ("sha256:", Selection { digests: vec![layer("nothing")], ..Selection::default() }),
    ] {
        let error = restore(root.path(), Some(&selection)).unwrap_err();
        assert!(matches!(&error, Error::NotInTrash { .. }) && error.to_string().contains(what), "{error}");
    }
    restore(root.path(), Some(&Selection { repositories: vec!["team/app".into()], ..Selection::default() })).unwrap();
    assert!(exists(layout::blob_data(&image)) && exists(layout::layer_link("team/app", &layer("old"))));
}

#[test]
fn nothing_is_overwritten_and_nothing_wrong_comes_back() {
    let (registry, [index, image]) = registry();
    let root = registry.on_disk();
    run(&at(root.path()), UNTAGGED, Some("run")).unwrap();
    let in_trash = |key: &str| root.path().join(trash::directory("run")).join(key);
    // Somebody has pushed the image again, and a disk has lost a bit.
    let again = layout::blob_data(&image);
    fs::create_dir_all(root.path().join(&again).parent().unwrap()).unwrap();
    fs::write(root.path().join(&again), "what is there now").unwrap();
    fs::write(in_trash(&layout::blob_data(&layer("a"))), "something else").unwrap();

    let restored = restore(root.path(), None).unwrap();
    assert_eq!(fs::read_to_string(root.path().join(&again)).unwrap(), "what is there now");
    assert!(in_trash(&again).exists(), "it stays in the trash");
    assert!(restored.already_there.iter().any(|entry| entry.path == again));
    assert!(!root.path().join(layout::blob_data(&layer("a"))).exists());
    assert!(!root.path().join(layout::layer_link("multi", &layer("a"))).exists(), "no link to what did not come back");
    let failures: Vec<String> = restored.failures.iter().map(ToString::to_string).collect();
    assert!(
        failures.iter().any(|failure| failure.contains(&layer("a").hex()) && failure.contains("content")),
        "{failures:?}"
    );
    assert!(restored.restored.iter().any(|entry| entry.digest == index && entry.kind == Kind::Revision));
}

#[test]
fn a_journal_that_leads_out_of_the_registry_is_refused() {
    let (registry, _) = registry();
    for path in ["/etc/passwd", "docker/registry/v2/../../../x", "docker/registry/v2x/y", "docker/registry/v2//x", ""] {
        let root = registry.on_disk();
        run(&at(root.path()), UNTAGGED, Some("run")).unwrap();
        let journal = root.path().join(trash::directory("run")).join("journal.jsonl");
        let digest = layer("a");
        let line = format!(r#"{{"type":"blob","path":{path:?},"digest":"{digest}","bytes":1}}"#);
        fs::write(&journal, format!("{}\n{line}\n", fs::read_to_string(&journal).unwrap())).unwrap();
        assert!(matches!(restore(root.path(), None), Err(Error::Journal { .. })), "{path}");
    }
    let storage = registry.in_memory();
    for run in ["../run", "", "a/b", "."] {
        assert!(matches!(trash::read_journal(&storage, run), Err(Error::Journal { .. })), "{run}");
    }
}

#[test]
fn emptying_gives_up_what_is_old_enough() {
    let (registry, _) = registry();
    let root = registry.on_disk();
    let storage = at(root.path());
    run(&storage, UNTAGGED, Some("run")).unwrap();
    let lock = storage.lock(&holder()).unwrap();
    assert!(trash::empty(&storage, Some(&lock), Some(1_000_000)).unwrap().is_empty(), "it began then, not before");
    assert_eq!(trash::empty(&storage, None, None).unwrap().len(), 1);
    assert_eq!(trash::list(&storage).unwrap().len(), 1, "a dry run removes nothing");
    assert_eq!(trash::empty(&storage, Some(&lock), Some(1_000_001)).unwrap().len(), 1);
    assert!(trash::list(&storage).unwrap().is_empty());
    drop(lock);
    assert!(!root.path().join(".regc").exists(), "nothing is left");
}

#[test]
fn what_turns_out_to_be_in_use_is_put_back() {
    let (mut registry, [index, image]) = registry();
    let root = registry.on_disk();
    run(&at(root.path()), UNTAGGED, Some("run")).unwrap();
    // Pushes that a run has overtaken: the tags and revisions are there, what they refer to is in the trash.
    for (repository, tag, digest) in [("multi", "late", &index), ("team/app", "late", &image)] {
        registry.tag(repository, tag, digest);
        for key in [layout::tag_link(repository, tag), layout::revision_link(repository, digest)] {
            fs::create_dir_all(root.path().join(&key).parent().unwrap()).unwrap();
            fs::write(root.path().join(&key), registry.get(&key).unwrap()).unwrap();
        }
    }
    let storage = at(root.path());
    let told = survey_and_heal(&storage, None, &UNTAGGED, &Silent).unwrap();
    let in_trash = |findings: &[Finding], done| {
        findings.iter().filter(|f| matches!(f, Finding::InTrash { restored, .. } if *restored == done)).count()
    };
    assert!(in_trash(&told.findings, false) > 0 && !root.path().join(layout::blob_data(&index)).exists());

    let lock = storage.lock(&holder()).unwrap();
    let survey = survey_and_heal(&storage, Some(&lock), &UNTAGGED, &Silent).unwrap();
    drop(lock);
    assert_eq!(
        in_trash(&survey.findings, true),
        survey.findings.len(),
        "nothing is missing any more: {:?}",
        survey.findings
    );
    for name in ["a", "b"] {
        assert!(root.path().join(layout::blob_data(&layer(name))).exists());
        assert!(root.path().join(layout::layer_link("multi", &layer(name))).exists());
    }
    assert!(root.path().join(layout::layer_link("team/app", &layer("old"))).exists());
    assert_eq!(decide(&storage, UNTAGGED).unwrap(), crate::Decided::default());
}

#[test]
fn a_symbolic_link_in_place_of_what_is_regcs_own_is_refused() {
    let (registry, _) = registry();
    for own in [".regc", ".regc/trash", ".regc/trash/run"] {
        let (root, elsewhere) = (registry.on_disk(), tempfile::tempdir().unwrap());
        fs::create_dir_all(elsewhere.path().join("trash/run/docker")).unwrap();
        fs::write(elsewhere.path().join("lock"), "somebody's").unwrap();
        fs::create_dir_all(root.path().join(own).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join(own)).unwrap();
        let storage = at(root.path());
        let lock = storage.lock(&holder()).unwrap();
        let emptied = trash::empty(&storage, Some(&lock), None);
        drop(lock);
        match own {
            ".regc/trash/run" => assert!(emptied.unwrap().is_empty(), "what has no journal is no run"),
            _ => {
                assert!(matches!(emptied, Err(Error::OwnSymlink(_))), "{own}");
                assert!(matches!(run(&storage, UNTAGGED, Some("run")), Err(Error::OwnSymlink(_))), "{own}");
            }
        }
        assert!(elsewhere.path().join("trash/run/docker").exists() && elsewhere.path().join("lock").exists());
        assert!(!elsewhere.path().join("run").exists());
    }
}
