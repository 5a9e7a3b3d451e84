//! Moving to the trash, and restoring from it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use regc_core::registry::layout;
use regc_core::stages;
use regc_core::stages::collect::recover::scan_and_recover;
use regc_core::stages::scan::Options;
use regc_core::storage::lock::{Access, Locked};
use regc_core::trash::Runs;
use regc_core::trash::{Kind, Restored, Selection};
use regc_core::{Deletion, Digest, Error, Finding, Silent, trash};
use regc_testkit::generate::{self, Features};
use regc_testkit::wrapped::{Fault, Faulty};
use regc_testkit::{TestRegistry, layer};

use crate::faults::run;
use crate::{DEFAULT, DIRECTORIES, UNTAGGED, at, decide, holder};

/// Lists all files below `root`, with their contents and modification times.
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
    let locked = Locked::take(&storage, &holder()).unwrap();
    stages::trash::restore(Access::Change(&locked), "run", selection, 4, &Silent)
}

/// Creates an index and an image that have lost their tags, and one image in use.
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
fn restore_brings_everything_back() {
    for seed in 0..10 {
        let root = generate::registry(seed, Features { referrers: true, partial_repositories: true }).on_disk();
        let before = files(root.path());
        let garbage = decide(&at(root.path()), UNTAGGED).unwrap();
        let moved = run(&at(root.path()), UNTAGGED, Some("run")).unwrap();
        assert_eq!((moved.removed.bytes, moved.failures.len()), (garbage.bytes, 0));
        assert_eq!(decide(&at(root.path()), UNTAGGED).unwrap(), crate::Decided::default(), "the trash is no registry");
        let [listed] = &stages::trash::list(&at(root.path()), &Silent).unwrap()[..] else { panic!("one run") };
        assert_eq!((listed.bytes, listed.blobs), (garbage.bytes, garbage.blobs.len() as u64));

        let restored = restore(root.path(), None).unwrap();
        assert!(restored.failures.is_empty() && restored.already_there.is_empty());
        let mut after = files(root.path());
        after.retain(|key, _| !key.starts_with(".regc/"));
        assert_eq!(after, before, "seed {seed}: contents and times");
    }
}

#[test]
fn restoring_image_restores_only_what_it_needs() {
    let (registry, [index, image]) = registry();
    let root = registry.on_disk();
    drop(run(&at(root.path()), UNTAGGED, Some("run")).unwrap());
    let exists = |key: String| root.path().join(key).exists();
    assert!(!exists(layout::revision_link("multi", &index)) && !exists(layout::blob_data(&layer("a"))));

    drop(restore(root.path(), Some(&Selection { digests: vec![index], ..Selection::default() })).unwrap());
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
    drop(
        restore(root.path(), Some(&Selection { repositories: vec!["team/app".into()], ..Selection::default() }))
            .unwrap(),
    );
    assert!(exists(layout::blob_data(&image)) && exists(layout::layer_link("team/app", &layer("old"))));
}

#[test]
fn restore_overwrites_nothing_and_refuses_damaged_content() {
    let (registry, [index, image]) = registry();
    let root = registry.on_disk();
    drop(run(&at(root.path()), UNTAGGED, Some("run")).unwrap());
    let in_trash = |key: &str| root.path().join(trash::directory("run")).join(key);
    // The image was pushed again, and a layer in the trash was damaged.
    let again = layout::blob_data(&image);
    fs::create_dir_all(root.path().join(&again).parent().unwrap()).unwrap();
    fs::write(root.path().join(&again), "what is there now").unwrap();
    fs::write(in_trash(&layout::blob_data(&layer("a"))), "something else").unwrap();

    let restored = restore(root.path(), None).unwrap();
    assert_eq!(fs::read_to_string(root.path().join(&again)).unwrap(), "what is there now");
    assert!(in_trash(&again).exists(), "it stays in the trash");
    assert!(restored.conflicting.iter().any(|entry| entry.path == again));
    assert!(!root.path().join(layout::blob_data(&layer("a"))).exists());
    assert!(!root.path().join(layout::layer_link("multi", &layer("a"))).exists(), "no link to what did not come back");
    let failures: Vec<String> = restored.failures.iter().map(ToString::to_string).collect();
    assert!(
        failures
            .iter()
            .any(|failure| failure.contains(&layer("a").hex()) && failure.contains("does not match its digest")),
        "{failures:?}"
    );
    assert!(restored.restored.iter().any(|entry| entry.digest == Some(index) && entry.kind == Kind::Revision));
}

#[test]
fn restore_brings_no_dangling_link() {
    let (registry, [index, image]) = registry();
    let root = registry.on_disk();
    drop(run(&at(root.path()), UNTAGGED, Some("run")).unwrap());
    let in_trash = |key: &str| root.path().join(trash::directory("run")).join(key);
    // A layer and a manifest no longer exist anywhere.
    for lost in [layer("a"), image] {
        fs::remove_file(in_trash(&layout::blob_data(&lost))).unwrap();
    }
    for _ in 0..2 {
        let restored = restore(root.path(), None).unwrap();
        let missing: Vec<&str> = restored.missing.iter().map(|entry| &*entry.path).collect();
        let links = [layout::layer_link("multi", &layer("a")), layout::revision_link("team/app", &image)];
        let blobs = [layer("a"), image].map(|lost| layout::blob_data(&lost));
        assert!(missing.len() == 4 && links.iter().chain(&blobs).all(|key| missing.contains(&&**key)), "{missing:?}");
        assert!(links.iter().all(|key| !root.path().join(key).exists() && in_trash(key).exists()));
        assert!(root.path().join(layout::revision_link("multi", &index)).exists() && restored.failures.is_empty());
    }
    // What is restored is kept until the rest is restored or deleted from the trash.
    let before = regc_testkit::files_below(root.path());
    let told = run(&at(root.path()), UNTAGGED, None).unwrap();
    assert_eq!((regc_testkit::files_below(root.path()), told.removed.blobs), (before, 0));
    let storage = at(root.path());
    let locked = Locked::take(&storage, &holder()).unwrap();
    assert!(matches!(
        stages::trash::empty(Access::Change(&locked), Runs::Named(&["other".into()]), None, &Silent),
        Err(Error::NoSuchRun(_))
    ));
    assert_eq!(
        stages::trash::empty(Access::Change(&locked), Runs::Named(&["run".into()]), None, &Silent).unwrap().runs.len(),
        1
    );
    drop(locked);
    assert!(run(&storage, UNTAGGED, None).unwrap().removed.blobs > 0);
}

#[test]
fn partial_restore_leaves_the_rest_protected() {
    let (registry, [index, image]) = registry();
    let root = registry.on_disk();
    let storage = at(root.path());
    drop(run(&storage, UNTAGGED, Some("run")).unwrap());
    // Killed when content was back and no link was.
    let stop = Faulty::changing(at(root.path()), |n| if n > 4 { Fault::Error(ErrorKind::Other) } else { Fault::None });
    let locked = Locked::take(&stop, &holder()).unwrap();
    assert!(!stages::trash::restore(Access::Change(&locked), "run", None, 1, &Silent).unwrap().is_complete());
    drop(locked);
    let part = Selection { digests: vec![image], ..Selection::default() };
    assert!(restore(root.path(), Some(&part)).unwrap().is_complete());
    let before = regc_testkit::blobs_below(root.path());
    drop(run(&storage, UNTAGGED, None).unwrap());
    assert_eq!(regc_testkit::blobs_below(root.path()), before, "what is back is kept until all of it is");
    assert!(restore(root.path(), None).unwrap().is_complete());
    assert!(root.path().join(layout::revision_link("multi", &index)).exists());
    assert!(run(&storage, UNTAGGED, None).unwrap().removed.blobs > 0, "and then it is as before");
}

#[test]
fn restoring_image_restores_what_is_attached() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    let sbom = registry.image("app").layers(["sbom"]).subject(image).push();
    let signature = registry.image(&format!("app:sha256-{}.sig", image.hex())).layers(["signature"]).push();
    registry.image("app:v2").layers(["b"]).push();
    let root = registry.on_disk();
    let storage = at(root.path());
    let mut deletion = Deletion::default();
    deletion.tag("app", "v1", Some(image));
    drop(run(&storage, Options { deletion: Some(&deletion), ..DEFAULT }, Some("run")).unwrap());
    assert!(!root.path().join(layout::revision_link("app", &sbom)).exists());
    let restored = restore(root.path(), Some(&Selection { digests: vec![image], ..Selection::default() })).unwrap();
    assert!(restored.is_complete());
    for digest in [image, sbom, signature] {
        assert!(root.path().join(layout::revision_link("app", &digest)).exists(), "{digest}");
    }
    for tag in ["v1".to_owned(), format!("sha256-{}.sig", image.hex())] {
        assert!(root.path().join(layout::tag_link("app", &tag)).exists(), "{tag}");
    }
    assert_eq!(decide(&storage, UNTAGGED).unwrap(), crate::Decided::default(), "all of it is whole");
}

#[test]
fn a_journal_that_leads_out_of_the_registry_is_refused() {
    let (registry, _) = registry();
    for path in ["/etc/passwd", "docker/registry/v2/../../../x", "docker/registry/v2x/y", "docker/registry/v2//x", ""] {
        let root = registry.on_disk();
        drop(run(&at(root.path()), UNTAGGED, Some("run")).unwrap());
        let journal = root.path().join(trash::directory("run")).join("journal.jsonl");
        let digest = layer("a");
        let line = format!(r#"{{"type":"blob","path":{path:?},"digest":"{digest}","bytes":1}}"#);
        fs::write(&journal, format!("{}\n{line}\n", fs::read_to_string(&journal).unwrap())).unwrap();
        assert!(matches!(restore(root.path(), None), Err(Error::Journal { .. })), "{path}");
    }
    let storage = registry.in_memory(DIRECTORIES);
    for run in ["../run", "", "a/b", "."] {
        assert!(matches!(stages::trash::read_journal(&storage, run), Err(Error::Journal { .. })), "{run}");
    }
}

#[test]
fn emptying_deletes_runs_that_are_old_enough() {
    let (registry, _) = registry();
    let root = registry.on_disk();
    let storage = at(root.path());
    drop(run(&storage, UNTAGGED, Some("run")).unwrap());
    let locked = Locked::take(&storage, &holder()).unwrap();
    assert!(
        stages::trash::empty(Access::Change(&locked), Runs::All, Some(1_000_000), &Silent).unwrap().runs.is_empty(),
        "it began then, not before"
    );
    assert_eq!(stages::trash::empty(Access::Read(&storage), Runs::All, None, &Silent).unwrap().runs.len(), 1);
    assert_eq!(stages::trash::list(&storage, &Silent).unwrap().len(), 1, "a dry run removes nothing");
    assert_eq!(
        stages::trash::empty(Access::Change(&locked), Runs::All, Some(1_000_001), &Silent).unwrap().runs.len(),
        1
    );
    assert!(stages::trash::list(&storage, &Silent).unwrap().is_empty());
    drop(locked);
    assert!(!root.path().join(".regc").exists(), "nothing is left");
}

#[test]
fn trashed_content_in_use_is_put_back() {
    let (mut registry, [index, image]) = registry();
    let root = registry.on_disk();
    drop(run(&at(root.path()), UNTAGGED, Some("run")).unwrap());
    // Pushes that a run has overtaken: the tags and revisions are there, what they refer to is in the trash.
    for (repository, tag, digest) in [("multi", "late", &index), ("team/app", "late", &image)] {
        registry.tag(repository, tag, digest);
        for key in [layout::tag_link(repository, tag), layout::revision_link(repository, digest)] {
            fs::create_dir_all(root.path().join(&key).parent().unwrap()).unwrap();
            fs::write(root.path().join(&key), registry.get(&key).unwrap()).unwrap();
        }
    }
    let storage = at(root.path());
    let told = scan_and_recover(Access::Read(&storage), &UNTAGGED, &Silent).unwrap();
    let in_trash = |findings: &[Finding], done| {
        findings.iter().filter(|f| matches!(f, Finding::InTrash { restored, .. } if *restored == done)).count()
    };
    assert!(in_trash(&told.findings, false) > 0 && !root.path().join(layout::blob_data(&index)).exists());

    let locked = Locked::take(&storage, &holder()).unwrap();
    let scan = scan_and_recover(Access::Change(&locked), &UNTAGGED, &Silent).unwrap();
    drop(locked);
    assert_eq!(in_trash(&scan.findings, true), scan.findings.len(), "nothing is missing any more: {:?}", scan.findings);
    for name in ["a", "b"] {
        assert!(root.path().join(layout::blob_data(&layer(name))).exists());
        assert!(root.path().join(layout::layer_link("multi", &layer(name))).exists());
    }
    assert!(root.path().join(layout::layer_link("team/app", &layer("old"))).exists());
    assert_eq!(decide(&storage, UNTAGGED).unwrap(), crate::Decided::default());
}

#[test]
fn tag_restores_its_manifest_from_the_trash() {
    let (mut registry, [index, image]) = registry();
    let root = registry.on_disk();
    drop(run(&at(root.path()), UNTAGGED, Some("run")).unwrap());
    for (repository, digest) in [("multi", &index), ("team/app", &image)] {
        registry.tag(repository, "late", digest);
        let link = root.path().join(layout::tag_link(repository, "late"));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        fs::write(link, digest.to_string()).unwrap();
    }
    for options in [DEFAULT, UNTAGGED] {
        drop(run(&at(root.path()), options, None).unwrap());
        for (repository, live) in regc_testkit::oracle::live(&registry, true) {
            for digest in live {
                let keys = [layout::blob_data(&digest), layout::layer_link(&repository, &digest)];
                let keys = keys.into_iter().chain([layout::revision_link(&repository, &digest)]);
                for key in keys.filter(|key| registry.get(key).is_some()) {
                    assert!(root.path().join(&key).exists(), "{key}");
                }
            }
        }
    }
}

#[test]
fn content_without_a_link_in_the_trash_is_not_restored_for_a_tag() {
    let mut registry = TestRegistry::new();
    let named = registry.image("app:v1").layers(["a"]).push();
    registry.remove(&layout::revision_link("app", &named));
    registry.image("app:v2").layers(["b"]).push();
    registry.image("app:v2").layers(["c"]).push();
    let storage = registry.in_memory(DIRECTORIES);
    assert!(run(&storage, UNTAGGED, Some("first")).unwrap().removed.blobs > 1);
    let left = storage.keys();
    assert_eq!(run(&storage, UNTAGGED, Some("second")).unwrap().removed.blobs, 0);
    assert_eq!(storage.keys(), left);
}

#[test]
fn a_damaged_copy_in_the_trash_stops_nothing() {
    let (registry, [_, image]) = registry();
    let root = registry.on_disk();
    let storage = at(root.path());
    for name in ["first", "second"] {
        drop(run(&storage, UNTAGGED, Some(name)).unwrap());
        if name == "first" {
            // The same is pushed again, and becomes garbage again.
            registry.write_to(root.path());
        }
    }
    let data = layout::blob_data(&layer("old"));
    fs::write(root.path().join(trash::directory("second")).join(&data), "rotten").unwrap();
    let link = root.path().join(layout::revision_link("team/app", &image));
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    fs::write(&link, image.to_string()).unwrap();
    drop(run(&storage, DEFAULT, None).unwrap());
    assert_eq!(fs::read(root.path().join(&data)).unwrap(), registry.get(&data).unwrap(), "the older copy is good");

    // If there is no good copy, the run continues and reports what is missing: the damaged copy is not restored.
    fs::remove_file(root.path().join(&data)).unwrap();
    let locked = Locked::take(&storage, &holder()).unwrap();
    let scan = scan_and_recover(Access::Change(&locked), &DEFAULT, &Silent).unwrap();
    let told = scan.findings.iter().any(|f| matches!(f, Finding::MissingBlob { blob, .. } if *blob == layer("old")));
    assert!(told && scan.findings.len() == 1, "{:?}", scan.findings);
}

#[test]
fn symlinked_blobs_are_trashed_and_restored_as_links() {
    use std::os::unix::fs::symlink;
    for (is_relative, is_directory) in [(true, true), (true, false), (false, true), (false, false)] {
        let (registry, _) = registry();
        let (root, elsewhere) = (registry.on_disk(), tempfile::tempdir().unwrap());
        let data = root.path().join(layout::blob_data(&layer("old")));
        let moved = if is_directory { data.parent().unwrap().to_owned() } else { data.clone() };
        let cold = if is_relative { root.path().join("cold") } else { elsewhere.path().join("cold") };
        fs::rename(&moved, &cold).unwrap();
        let up = if is_directory { "../../../../../../cold" } else { "../../../../../../../cold" };
        symlink(if is_relative { Path::new(up) } else { &cold }, &moved).unwrap();
        assert_eq!(fs::read(&data).unwrap(), registry.get(&layout::blob_data(&layer("old"))).unwrap());
        let before = regc_testkit::files_below(root.path());

        let when = format!("relative {is_relative}, directory {is_directory}");
        let outcome = run(&at(root.path()), UNTAGGED, Some("run")).unwrap();
        assert!(outcome.failures.is_empty() && fs::symlink_metadata(&moved).is_err(), "{when}");
        let [listed] = &stages::trash::list(&at(root.path()), &Silent).unwrap()[..] else { panic!("{when}") };
        assert_eq!(listed.bytes, outcome.removed.bytes, "{when}: what is elsewhere is not counted");
        let restored = restore(root.path(), None).unwrap();
        assert!(restored.failures.is_empty(), "{when}: {:?}", restored.failures);
        assert!(fs::symlink_metadata(&moved).unwrap().is_symlink() && cold.exists(), "{when}");
        assert_eq!(regc_testkit::files_below(root.path()), before, "{when}");
    }
}

#[test]
fn forged_journals_and_symbolic_links_are_refused() {
    let (registry, _) = registry();
    let digest = layer("a");
    for line in [
        // A blob recorded as a link would not be hashed; content of one digest would be restored under another.
        format!(
            r#"{{"type":"layer_link","path":"{}","digest":"{digest}","repository":"multi"}}"#,
            layout::blob_data(&digest)
        ),
        format!(r#"{{"type":"blob","path":"{}","digest":"{digest}","bytes":1}}"#, layout::blob_data(&layer("b"))),
        format!(r#"{{"type":"revision","path":"{}","digest":"{digest}"}}"#, layout::revision_link("multi", &digest)),
        format!(
            r#"{{"type":"tag_index_entry","path":"{}","digest":"{digest}","repository":"multi"}}"#,
            layout::tag_index_link("multi", "..", &digest)
        ),
    ] {
        let root = registry.on_disk();
        drop(run(&at(root.path()), UNTAGGED, Some("run")).unwrap());
        let journal = root.path().join(trash::directory("run")).join("journal.jsonl");
        fs::write(&journal, format!("{}\n{line}\n", fs::read_to_string(&journal).unwrap())).unwrap();
        assert!(matches!(restore(root.path(), None), Err(Error::Journal { .. })), "{line}");
    }
    for from_trash in [true, false] {
        let (root, victim) = (registry.on_disk(), tempfile::tempdir().unwrap());
        drop(run(&at(root.path()), UNTAGGED, Some("run")).unwrap());
        let below = layout::repository("team");
        let way = if from_trash { format!("{}/{below}", trash::directory("run")) } else { below };
        fs::rename(root.path().join(&way), victim.path().join("team")).unwrap();
        std::os::unix::fs::symlink(victim.path().join("team"), root.path().join(&way)).unwrap();
        let before = regc_testkit::files_below(victim.path());
        let restored = restore(root.path(), None).unwrap();
        assert_eq!(regc_testkit::files_below(victim.path()), before, "nothing is taken or put there");
        assert!(!restored.failures.is_empty(), "and it is told");
    }
}

#[test]
fn symbolic_link_in_place_of_a_regc_directory_is_refused() {
    let (registry, _) = registry();
    for own in [".regc", ".regc/trash", ".regc/trash/run"] {
        let (root, elsewhere) = (registry.on_disk(), tempfile::tempdir().unwrap());
        fs::create_dir_all(elsewhere.path().join("trash/run/docker")).unwrap();
        fs::write(elsewhere.path().join("lock"), "somebody's").unwrap();
        fs::create_dir_all(root.path().join(own).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join(own)).unwrap();
        let storage = at(root.path());
        let locked = Locked::take(&storage, &holder()).unwrap();
        let emptied = stages::trash::empty(Access::Change(&locked), Runs::All, None, &Silent);
        drop(locked);
        match own {
            ".regc/trash/run" => assert!(emptied.unwrap().runs.is_empty(), "what has no journal is no run"),
            _ => {
                assert!(matches!(emptied, Err(Error::OwnSymlink(_))), "{own}");
                assert!(matches!(run(&storage, UNTAGGED, Some("run")), Err(Error::OwnSymlink(_))), "{own}");
            }
        }
        assert!(elsewhere.path().join("trash/run/docker").exists() && elsewhere.path().join("lock").exists());
        assert!(!elsewhere.path().join("run").exists());
    }
}
