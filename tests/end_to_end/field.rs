//! What other programs put into a store that a real registry wrote.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use regc_core::registry::layout;
use regc_core::{Algorithm, Digest};
use regc_testkit::{files_below, fixture};
use serde_json::Value;

use crate::common::{Run, gc, regc};

fn store() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fixture::unpack(root.path());
    root
}

fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Writes a file that is some days old.
fn leave(root: &Path, key: &str, days: u64) {
    let path = root.join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "the first half").unwrap();
    let time = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
    File::open(&path).unwrap().set_modified(time).unwrap();
}

#[test]
fn tidy_deletes_remnants_of_rsync() {
    let root = store();
    assert_eq!(gc(root.path(), &["--tidy"]).code, 0);
    let before = files_below(root.path());
    // Beside every file, and alone where a copy got no further.
    let beside = before.iter().filter_map(|key| {
        let (directory, name) = key.rsplit_once('/')?;
        let remnant = format!("{directory}/.{name}.Xy12Za");
        layout::is_remnant(&remnant).then_some(remnant)
    });
    let nothing = Digest::of(Algorithm::Sha256, b"never copied");
    let alone = format!("{}/.data.Xy12Za", layout::blob(&nothing));
    let left: Vec<String> = beside.chain([alone.clone()]).collect();
    assert!(left.len() > 20);
    left.iter().for_each(|key| leave(root.path(), key, 8));
    let recent = format!("{}/.data.Zz99zz", layout::blob(&nothing));
    leave(root.path(), &recent, 6);

    let plain = gc(root.path(), &["--format", "json"]);
    assert_eq!((plain.code, &lines(&plain).last().unwrap()["garbage"]["files"]), (0, &0.into()));
    let dry = gc(root.path(), &["--tidy", "--dry-run", "--format", "json"]);
    let told = lines(&dry);
    let mut named: Vec<&str> = told.iter().filter_map(|line| line["path"].as_str()).collect();
    named.sort_unstable();
    let mut expected: Vec<&str> = left.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!((dry.code, named), (0, expected));

    let real = gc(root.path(), &["--tidy", "--trash", "--format", "json"]);
    let done = lines(&real);
    let (told, done) = (told.last().unwrap(), done.last().unwrap());
    assert_eq!((&told["garbage"], &told["garbage"]), (&done["garbage"], &done["removed"]));
    assert_eq!((real.code, &done["removed"]["file_bytes"]), (0, &(left.len() as u64 * 14).into()));
    assert_eq!((&done["trash_bytes"], &done["spared"]["files"]), (&done["removed"]["file_bytes"], &0.into()));
    let root_argument = root.path().to_str().unwrap();
    let restored = regc(["trash", "restore", "--root", root_argument]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    let all: Vec<String> = before.iter().cloned().chain(left).chain([recent.clone()]).collect();
    assert_eq!(files_below(root.path()), all.into_iter().collect());

    let report = gc(root.path(), &["--tidy"]);
    assert!(report.code == 0 && report.stdout.contains("other files"), "{}", report.stdout);
    let mut after = files_below(root.path());
    assert!(after.remove(&recent), "what is young stays");
    assert_eq!(after, before);
    assert_eq!(regc(["verify", "--root", root_argument]).code, 0);
    // A shorter age for abandoned uploads applies to these as well.
    let shorter = gc(root.path(), &["--tidy", "--purge-uploads=120h"]);
    assert_eq!((shorter.code, root.path().join(layout::blob(&nothing)).exists()), (0, false));
}

#[test]
fn rm_deletes_referrer_links_of_oras_registry() {
    let root = store();
    assert_eq!(gc(root.path(), &[]).code, 0);
    let revisions = files_below(&root.path().join(layout::revisions("team/app")));
    let mut digests = revisions.iter().filter_map(|key| layout::digest_of_link(key));
    let (subject, referrer) = (digests.next().unwrap(), digests.next().unwrap());
    let link = |part: &String| format!("{part}/subjects/sha256/{}/sha256/{}/link", subject.hex(), referrer.hex());
    let links = layout::referrers("team/app").each_ref().map(link);
    let root_argument = root.path().to_str().unwrap();
    let output = |arguments: &[&str]| regc([arguments, &["--root", root_argument]].concat());
    let looks = [&["ls"][..], &["du"], &["verify", "--notes"], &["gc", "--dry-run"]];
    let without = looks.map(|arguments| output(arguments).stdout);
    for link in &links {
        let path = root.path().join(link);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, referrer.to_string()).unwrap();
    }
    assert_eq!(looks.map(|arguments| output(arguments).stdout), without);

    let before = files_below(root.path());
    let dry = output(&["rm", "--dry-run", "--format", "json", "team/app"]);
    let removed = output(&["rm", "--yes", "--trash", "--format", "json", "team/app"]);
    let (told, done) = (lines(&dry), lines(&removed));
    let files = told.iter().filter(|line| line["type"] == "file").filter_map(|line| line["path"].as_str());
    let mut expected = links.each_ref().map(String::as_str);
    expected.sort_unstable();
    assert_eq!(files.collect::<Vec<_>>(), expected);
    assert_eq!(told.last().unwrap()["garbage"], done.last().unwrap()["removed"]);
    assert_eq!((removed.code, &done.last().unwrap()["removed"]["files"]), (0, &2.into()));
    let left = files_below(&root.path().join(layout::repository("team/app")));
    assert!(!left.iter().any(|key| key.starts_with('_')), "{left:?}");
    assert!(layout::referrers("team/app").iter().all(|directory| !root.path().join(directory).exists()));
    assert_eq!(output(&["trash", "restore"]).code, 0);
    assert_eq!(files_below(root.path()), before);
}

#[test]
fn an_empty_directory_of_another_program_keeps_a_tag_and_is_reported() {
    for command in [&["prune", "--yes", "--quiet", "--keep", "0"][..], &["rm", "--yes", "team/app:v1"]] {
        for place in ["@eaDir/deeper", "@eaDir", "current/@eaDir", "index/@eaDir", "index/sha256/@eaDir"] {
            let mut registry = regc_testkit::TestRegistry::new();
            registry.image("team/app:v1").layers(["a"]).push();
            let root = registry.on_disk();
            let foreign = root.path().join(layout::tag("team/app", "v1")).join(place);
            fs::create_dir_all(&foreign).unwrap();
            let run = regc([command, &["--root", root.path().to_str().unwrap()]].concat());
            assert_eq!(run.code, 3, "{command:?} {place}: {}{}", run.stdout, run.stderr);
            assert!(format!("{}{}", run.stdout, run.stderr).contains("@eaDir"), "{}{}", run.stdout, run.stderr);
            assert!(foreign.exists() && !root.path().join(layout::tag_link("team/app", "v1")).exists());
        }
    }
}

#[test]
fn symlink_in_place_of_a_tag_index_entry_goes_with_the_tag() {
    let mut registry = regc_testkit::TestRegistry::new();
    let image = registry.image("team/app:v1").layers(["a"]).push();
    let (root, outside) = (registry.on_disk(), tempfile::tempdir().unwrap());
    let tag = root.path().join(layout::tag("team/app", "v1"));
    let entry = tag.join(format!("index/sha256/{}", image.hex()));
    fs::rename(&entry, outside.path().join("entry")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("entry"), &entry).unwrap();
    let run = regc(["rm", "--yes", "team/app:v1", "--root", root.path().to_str().unwrap()]);
    assert_eq!((run.code, tag.exists()), (0, false), "{}{}", run.stdout, run.stderr);
    assert!(outside.path().join("entry/link").exists());
}

#[test]
fn rm_deletes_a_repository_with_remnants_of_interrupted_copies() {
    let mut registry = regc_testkit::TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    let root = registry.on_disk();
    fs::create_dir(root.path().join(layout::repository("lost+found"))).unwrap();
    let renamed = "lost+found/#12";
    fs::rename(root.path().join(layout::repository("app")), root.path().join(layout::repository(renamed))).unwrap();
    for link in [layout::tag_link(renamed, "v1"), layout::revision_link(renamed, &image)] {
        leave(root.path(), &link.replace("/link", "/.link.Xy12Za"), 0);
    }
    // No registry has this link any more: what is left beside it is all that remains.
    fs::remove_file(root.path().join(layout::revision_link(renamed, &image))).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let path = layout::repository(renamed);
    let run = regc(["rm", "--yes", "--path", &path, "--root", root.path().to_str().unwrap()]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let parent = root.path().join(layout::repository("lost+found"));
    assert_eq!(fs::read_dir(parent).unwrap().count(), 0, "the file system's own directory stays, empty");
}

#[test]
fn tidy_keeps_remnant_of_missing_link() {
    let mut registry = regc_testkit::TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    registry.image("app:v2").layers(["b"]).push();
    let root = registry.on_disk();
    let link = root.path().join(layout::revision_link("app", &image));
    let left = layout::revision_link("app", &image).replace("/link", "/.link.Xy12Za");
    leave(root.path(), &left, 30);
    fs::remove_file(&link).unwrap();
    assert_eq!(gc(root.path(), &["--tidy"]).code, 0);
    assert!(root.path().join(&left).exists());
}
