//! Stores on a disk that is full or has no inodes left.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use regc_core::Digest;
use regc_core::registry::layout;
use regc_testkit::{TestRegistry, files_below, layer};
use serde_json::Value;

use crate::common::{Run, gc, regc};
use crate::mounted::Mounted;

/// What the disk has run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    Bytes,
    Inodes,
}

use Lack::{Bytes, Inodes};

/// The directory of the files that fill a disk.
const FILLING: &str = "filling";

/// A disk with a registry on it: with old and new images, one that was deleted, and an upload that was abandoned.
struct Disk {
    disk: Mounted,
    deleted: Digest,
}

impl Disk {
    fn new() -> Self {
        let mut registry = TestRegistry::new();
        for (tag, layers) in [("v1", ["base", "one"]), ("v2", ["base", "two"]), ("v3", ["base", "three"])] {
            registry.image(&format!("app:{tag}")).layers(layers).push();
        }
        let deleted = registry.image("app:gone").layers(["base", "deleted"]).push();
        registry.delete("app", &deleted);
        registry.image("app:v3").layers(["base", "overwritten"]).push();
        registry.image("other:v1").layers(["base", "other"]).push();
        registry.upload("other", "6d1c5e0b-0000-4000-8000-000000000000");
        let disk = Mounted::tmpfs("size=4m,nr_inodes=2000");
        registry.write_to(disk.path());
        let disk = Self { disk, deleted };
        disk.age(Duration::from_secs(30 * 86_400));
        disk
    }

    fn path(&self) -> &Path {
        self.disk.path()
    }

    /// Makes everything this old.
    fn age(&self, age: Duration) {
        for key in files_below(self.path()) {
            File::open(self.path().join(key)).unwrap().set_modified(SystemTime::now() - age).unwrap();
        }
    }

    /// Uses up all bytes or inodes that are left, except this many inodes.
    fn fill(&self, lack: Lack, spare: usize) {
        let filling = self.path().join(FILLING);
        fs::create_dir_all(&filling).unwrap();
        let mut files = Vec::new();
        let full = (0..).find_map(|number| {
            let path = filling.join(number.to_string());
            let made = File::create_new(&path).and_then(|mut file| {
                files.push(path);
                if lack == Bytes { file.write_all(&[0; 1 << 16]) } else { Ok(()) }
            });
            made.err()
        });
        assert_eq!(full.unwrap().kind(), ErrorKind::StorageFull);
        files.iter().rev().take(spare).for_each(|path| fs::remove_file(path).unwrap());
    }

    fn free(&self) {
        fs::remove_dir_all(self.path().join(FILLING)).unwrap();
    }

    fn regc(&self, arguments: &[&str]) -> Run {
        regc([arguments, &["--root", self.path().to_str().unwrap()]].concat())
    }

    /// Moves all garbage to the trash, makes that run this many days old, and returns its name.
    fn trash(&self, arguments: &[&str], days: u64) -> String {
        let run = self.regc(arguments);
        let name = last_line(&run)["trashed_as"].as_str().unwrap_or_else(|| panic!("{}", run.stderr)).to_owned();
        self.change_journal(&name, |header| {
            header["started"] = (header["started"].as_u64().unwrap() - days * 86_400).into();
        });
        name
    }

    fn change_journal(&self, run: &str, change: impl FnOnce(&mut Value)) {
        let path = self.path().join(layout::TRASH).join(run).join("journal.jsonl");
        let journal = fs::read_to_string(&path).unwrap();
        let (header, entries) = journal.split_once('\n').unwrap();
        let mut header = serde_json::from_str(header).unwrap();
        change(&mut header);
        fs::write(path, format!("{header}\n{entries}")).unwrap();
    }

    /// Lists everything on the disk except what fills it, and what is remembered.
    fn files(&self) -> BTreeSet<String> {
        let is_other = |key: &String| key.starts_with(FILLING) || key == layout::MANIFEST_CACHE;
        files_below(self.path()).into_iter().filter(|key| !is_other(key)).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.path().join(layout::blob_data(&layer(name))).exists()
    }

    fn trashed(&self) -> Vec<String> {
        let Ok(runs) = fs::read_dir(self.path().join(layout::TRASH)) else { return Vec::new() };
        let mut names: Vec<String> = runs.map(|run| run.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn last_line(run: &Run) -> Value {
    serde_json::from_str(run.stdout.lines().last().unwrap_or_else(|| panic!("{}", run.stderr))).unwrap()
}

#[test]
fn gc_deletes_on_full_disk() {
    for lack in [Bytes, Inodes] {
        for (arguments, gone) in [
            (&["gc"][..], "deleted"),
            (&["gc", "-m", "--tidy"], "three"),
            (&["rm", "--yes", "app:v1"], "one"),
            (&["prune", "--yes", "--keep", "1"], "two"),
        ] {
            let disk = Disk::new();
            assert!(disk.has(gone));
            disk.fill(lack, 0);
            let run = disk.regc(arguments);
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{lack:?} {arguments:?}: {}", run.stdout);
            assert!(!disk.has(gone) && disk.has("base") && disk.has("overwritten"), "{lack:?} {arguments:?}");
            assert!(!disk.path().join(layout::LOCK).exists(), "{lack:?} {arguments:?}: nothing is left of the lock");
        }
        let disk = Disk::new();
        let old = disk.trash(&["gc", "--trash", "--format", "json"], 0);
        disk.fill(lack, 0);
        let run = disk.regc(&["trash", "empty", &old]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{lack:?}");
        assert!(!disk.path().join(layout::LOCK).exists() && !disk.path().join(layout::TRASH).exists(), "{lack:?}");
    }
}

#[test]
fn a_second_run_is_refused_on_a_full_disk_as_on_any_other() {
    use regc_core::Holder;
    use regc_core::storage::DeleteStorage;
    use regc_core::storage::filesystem::FilesystemStorage;
    for lack in [Bytes, Inodes] {
        let disk = Disk::new();
        disk.fill(lack, 0);
        let storage = FilesystemStorage::open(disk.path()).unwrap();
        let before = SystemTime::now();
        let lock =
            storage.lock(&Holder { program: String::new(), pid: 1, host: "here".into(), since: "now".into() }).unwrap();
        assert!(lock.since() > before, "the time is that of the disk: what was written before is older");
        let run = gc(disk.path(), &[]);
        assert!(run.code == 1 && run.stderr.contains("is locked by another regc"), "{lack:?}: {}", run.stderr);
        drop(lock);
        assert_eq!(gc(disk.path(), &[]).code, 0, "{lack:?}");
    }
}

#[test]
fn commands_that_need_space_change_nothing_on_full_disk() {
    for lack in [Bytes, Inodes] {
        for (arguments, hint) in [
            (&["gc", "--trash"][..], "hint: run without --trash: deleting needs no space there"),
            (
                &["gc", "--live", "--min-age", "1h"],
                "hint: stop the registry, or make it read-only, and run without --live",
            ),
            (&["rm", "--trash", "--yes", "app:v1"], "hint: run without --trash"),
            (&["prune", "--trash", "--yes", "--keep", "1"], "hint: run without --trash"),
            (&["undelete", "app@DELETED"], "hint: free some space and run the same command again"),
            (&["repair", "--apply"], "hint: free some space and run the same command again"),
        ] {
            let disk = Disk::new();
            let name = format!("app@{}", disk.deleted);
            let arguments: Vec<&str> =
                arguments.iter().map(|argument| if *argument == "app@DELETED" { &name } else { *argument }).collect();
            if arguments[0] == "repair" {
                fs::write(disk.path().join(layout::layer_link("other", &layer("other"))), "").unwrap();
            }
            disk.fill(lack, 0);
            let before = disk.files();
            let run = disk.regc(&arguments);
            assert!(run.code == 1 && run.stderr.contains("No space left on device"), "{lack:?} {arguments:?}: {run:?}");
            assert!(run.stderr.contains(hint), "{lack:?} {arguments:?}: {}", run.stderr);
            assert_eq!(disk.files(), before, "{lack:?} {arguments:?}");
            assert!(!disk.path().join(".regc").exists(), "{lack:?} {arguments:?}: nothing is left behind");
            disk.free();
            let run = disk.regc(&arguments);
            assert_eq!(run.code, 0, "{lack:?} {arguments:?}: {}", run.stderr);
        }
    }
}

#[test]
fn a_restore_on_a_full_disk_changes_nothing_or_is_finished_by_the_next() {
    for (lack, spare) in [(Bytes, 0), (Inodes, 0), (Inodes, 1), (Inodes, 2)] {
        let disk = Disk::new();
        let before = disk.files();
        disk.trash(&["gc", "-m", "--trash", "--format", "json"], 0);
        disk.fill(lack, spare);
        let run = disk.regc(&["trash", "restore"]);
        assert!(run.code == 1 && run.stderr.contains("No space left on device"), "{lack:?} {spare}: {run:?}");
        assert!(run.stderr.contains("hint: free some space and run the same command again"), "{}", run.stderr);
        disk.free();
        let run = disk.regc(&["trash", "restore"]);
        assert_eq!((run.code, disk.files()), (0, before), "{lack:?} {spare}: {}", run.stderr);
    }
}

#[test]
fn old_runs_in_the_trash_make_room_on_a_full_disk() {
    for lack in [Bytes, Inodes] {
        let disk = Disk::new();
        let oldest = disk.trash(&["gc", "--trash", "--format", "json"], 20);
        let old = disk.trash(&["rm", "--yes", "--trash", "--format", "json", "app:v1"], 10);
        let recent = disk.trash(&["rm", "--yes", "--trash", "--format", "json", "app:v2"], 6);
        disk.fill(lack, 0);
        let run = disk.regc(&["gc", "-m", "--trash", "--format", "json"]);
        assert_eq!(run.code, 0, "{lack:?}: {}", run.stderr);
        let summary = last_line(&run);
        let deleted = summary["deleted_runs"].as_array().unwrap();
        assert_eq!((deleted.len(), &deleted[0]["run"]), (1, &oldest.clone().into()), "{lack:?}: {summary}");
        assert!(deleted[0]["bytes"].as_u64() > Some(0), "{summary}");
        let note = format!("regc: note: the disk was full: run {oldest} was deleted from the trash for good");
        assert!(run.stderr.contains(&note), "{}", run.stderr);
        let new = summary["trashed_as"].as_str().unwrap().to_owned();
        assert_eq!(disk.trashed(), [old, recent, new], "{lack:?}");
        assert!(!disk.has("three") && disk.has("overwritten"));
        disk.free();
        assert_eq!(disk.regc(&["trash", "restore"]).code, 0);
        assert!(disk.has("three"), "what was moved can be restored");
    }
}

#[test]
fn every_report_names_the_runs_that_made_room() {
    for (arguments, told) in [
        (&["gc", "-m", "--trash"][..], "  Made room     "),
        (&["gc", "-m", "--trash", "--quiet"], ""),
        (&["gc", "-m", "--trash", "--format", "registry"], ""),
        (&["rm", "--yes", "--trash", "app:v1"], "Deleted old runs from the trash for good, to make room: "),
        (&["prune", "--yes", "--trash", "--keep", "1"], "Deleted old runs from the trash for good, to make room: "),
    ] {
        let disk = Disk::new();
        let oldest = disk.trash(&["gc", "--trash", "--format", "json"], 8);
        disk.fill(Bytes, 0);
        let run = disk.regc(arguments);
        assert!(run.code == 0 && run.stdout.contains(told), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(&oldest) && run.stderr.lines().count() == 1, "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn needed_runs_make_no_room() {
    let recent = |disk: &Disk, run: &str| {
        disk.change_journal(run, |header| {
            header["started"] = (header["started"].as_u64().unwrap() + 13 * 86_400 + 60).into();
        });
    };
    let restoring = |disk: &Disk, run: &str| {
        fs::write(disk.path().join(layout::TRASH).join(run).join("restoring"), "").unwrap();
    };
    let repair = |disk: &Disk, run: &str| disk.change_journal(run, |header| header["command"] = "repair".into());
    let newer = |disk: &Disk, run: &str| disk.change_journal(run, |header| header["schema_version"] = 2.into());
    let garbled = |disk: &Disk, run: &str| {
        fs::write(disk.path().join(layout::TRASH).join(run).join("journal.jsonl"), "garbled").unwrap();
    };
    type Change<'a> = &'a dyn Fn(&Disk, &str);
    let cases: [(&str, Change<'_>, bool); 5] = [
        ("young", &recent, true),
        ("restoring", &restoring, false),
        ("repair", &repair, false),
        ("newer", &newer, false),
        ("garbled", &garbled, false),
    ];
    for lack in [Bytes, Inodes] {
        for (name, change, is_hinted) in cases {
            let disk = Disk::new();
            let old = disk.trash(&["gc", "--trash", "--format", "json"], 20);
            change(&disk, &old);
            disk.fill(lack, 0);
            let before = disk.files();
            let run = disk.regc(&["rm", "--yes", "--trash", "other:v1"]);
            assert!(run.code == 1 && run.stderr.contains("nothing was deleted"), "{lack:?} {name}: {run:?}");
            assert_eq!(disk.files(), before, "{lack:?} {name}");
            assert_eq!(disk.trashed(), [&*old], "{lack:?} {name}");
            let hint = format!("hint: `regc trash empty {old}` frees ");
            assert_eq!(run.stderr.contains(&hint), is_hinted, "{lack:?} {name}: {}", run.stderr);
            assert!(run.stderr.contains("run without --trash"), "{}", run.stderr);
        }
    }
}

/// A journal that is longer than all that can be freed.
#[test]
fn runs_that_were_deleted_in_vain_are_reported() {
    let disk = Disk::new();
    let old = disk.trash(&["gc", "--trash", "--format", "json"], 20);
    for number in 0..300 {
        let link = disk.path().join(layout::layer_link("other", &layer(&number.to_string())));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        fs::write(link, layer(&number.to_string()).to_string()).unwrap();
    }
    disk.fill(Bytes, 0);
    let before = disk.files();
    let run = disk.regc(&["gc", "--trash"]);
    let told = format!(
        "regc: nothing was deleted: no space left for the trash's journal, even after runs were deleted from the \
         trash: {old} ("
    );
    assert!(run.code == 1 && run.stderr.starts_with(&told), "{run:?}");
    assert!(run.stderr.contains("\n  hint: run without --trash"), "{}", run.stderr);
    let of_registry = before.into_iter().filter(|key| !key.starts_with(".regc")).collect();
    assert_eq!(disk.files(), of_registry, "nothing else was removed");
}

#[test]
fn run_holding_content_in_use_is_not_deleted_to_make_room() {
    let disk = Disk::new();
    let old = disk.trash(&["gc", "--trash", "--format", "json"], 20);
    // As after a push that came just as the layer was moved away.
    let [blob, in_trash] = ["".to_owned(), format!("{}/{old}/", layout::TRASH)]
        .map(|top| disk.path().join(format!("{top}{}", layout::blob_data(&layer("one")))));
    fs::create_dir_all(in_trash.parent().unwrap()).unwrap();
    fs::rename(&blob, &in_trash).unwrap();
    fs::remove_dir(blob.parent().unwrap()).unwrap();
    disk.fill(Inodes, 0);
    let run = disk.regc(&["gc", "-m", "--trash"]);
    assert!(run.code == 1 && in_trash.exists() && disk.trashed() == [&*old], "{run:?}");
    assert!(!run.stderr.contains("trash empty"), "it is not proposed either: {}", run.stderr);
    disk.free();
    assert_eq!(disk.regc(&["gc", "-m", "--trash"]).code, 3);
    assert!(blob.exists(), "it is back");
}

/// What cannot be moved for lack of space stays with all that it refers to, and the next run finishes.
#[test]
fn a_disk_that_fills_up_while_things_are_moved_loses_nothing() {
    let mut seen = BTreeSet::new();
    for spare in (0..16).chain((16..60).step_by(8)) {
        let disk = Disk::new();
        disk.fill(Inodes, spare);
        let before = disk.files();
        let run = disk.regc(&["gc", "-m", "--trash", "--format", "json"]);
        seen.insert(run.code);
        if run.code == 1 {
            assert!(run.stderr.contains("hint: ") && run.stderr.contains("without --trash"), "{spare}: {}", run.stderr);
        }
        let verified = disk.regc(&["verify"]);
        assert!(!verified.stdout.contains("RG02"), "{spare}: {}", verified.stdout);
        for name in ["base", "one", "two", "overwritten", "other"] {
            assert!(disk.has(name), "{spare}: {name}");
        }
        if run.stdout.contains("\"summary\"") && run.code == 1 {
            seen.insert(100);
            let summary = last_line(&run);
            assert!(summary["failures"].as_u64() > Some(0), "{spare}: {summary}");
            let moved = summary["removed"].as_object().unwrap().values().any(|number| *number != 0);
            let kept = summary["trashed_as"].as_str().map(str::to_owned);
            assert_eq!(disk.trashed(), kept.into_iter().collect::<Vec<_>>(), "{spare}");
            if !moved {
                seen.insert(200);
                assert!(disk.files() == before, "{spare}: a journal of nothing is left behind");
            }
        } else if run.code == 1 {
            assert_eq!(disk.files(), before, "{spare}: nothing was removed");
        }
        disk.free();
        let next = disk.regc(&["gc", "-m", "--trash"]);
        assert_eq!(next.code, 0, "{spare}: {} {} {} {}", run.stdout, run.stderr, next.stdout, next.stderr);
        assert!(!disk.has("three") && !disk.has("deleted"), "{spare}: the next run finishes");
        // The second run moved what is linked by links that the first one moved.
        for run in disk.trashed().into_iter().rev() {
            assert_eq!(disk.regc(&["trash", "restore", &run]).code, 0, "{spare}");
        }
        let after: BTreeSet<String> = disk.files().into_iter().filter(|key| !key.starts_with(".regc")).collect();
        assert_eq!(
            after,
            before.into_iter().filter(|key| !key.starts_with(".regc")).collect(),
            "{spare}: all comes back"
        );
    }
    assert_eq!(seen, [0, 1, 100, 200].into(), "too little for the journal, for all moves, for any, and enough");
}
