//! Stores in which a part is a file system of its own, or is mounted by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regc_core::Digest;
use regc_core::registry::layout;
use regc_testkit::{TestRegistry, blobs_below, files_below, layer};
use tempfile::TempDir;

use crate::common::{Run, regc};
use crate::mounted::Mounted;

/// How a directory becomes a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Another file system.
    Tmpfs,
    /// The same file system, mounted once more.
    Bind,
}

/// A store in which one directory is a mount.
struct Store {
    _mounted: Mounted,
    _elsewhere: TempDir,
    root: TempDir,
    place: PathBuf,
    deleted: Digest,
}

impl Store {
    /// Creates a store with work for garbage collection, a removal, a repair of content and of a link, and an undelete.
    fn new(place: &str, how: How) -> Self {
        let mut registry = TestRegistry::new();
        for tag in ["v1", "v2"] {
            registry.image(&format!("team/app:{tag}")).layers(["base", tag]).push();
        }
        let deleted = registry.image("team/app:gone").layers(["base", "deleted"]).push();
        registry.delete("team/app", &deleted);
        let (root, elsewhere) = (registry.on_disk(), tempfile::tempdir().unwrap());
        let place = root.path().join(place);
        let moved = elsewhere.path().join("moved");
        fs::rename(&place, &moved).unwrap();
        fs::create_dir(&place).unwrap();
        let mounted = match how {
            How::Bind => Mounted::bind(&moved, &place),
            How::Tmpfs => {
                let mounted = Mounted::tmpfs_at(&place);
                let copied = Command::new("cp").arg("-a").arg(moved.join(".")).arg(&place).status().unwrap();
                assert!(copied.success());
                mounted
            }
        };
        Self { _mounted: mounted, _elsewhere: elsewhere, root, place, deleted }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn regc(&self, arguments: &[&str]) -> Run {
        regc([arguments, &["--root", self.path().to_str().unwrap()]].concat())
    }

    /// Lists what is in the store, and what is in each file.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let read = |key: String| (key.clone(), fs::read(self.path().join(key)).unwrap());
        files_below(self.path()).into_iter().filter(|key| key != layout::MANIFEST_CACHE).map(read).collect()
    }

    /// Runs a command that must be refused with this hint, and checks that nothing changed.
    fn assert_refused(&self, arguments: &[&str], hint: &str) {
        let before = self.files();
        let run = self.regc(arguments);
        let place = self.place.display();
        let told =
            format!("regc: {place} is on another file system than .regc in the storage root, or is a mount point");
        assert!(run.code == 1 && run.stderr.contains(&told), "{place} {arguments:?}: {run:?}");
        assert!(run.stderr.contains(&format!("\n  hint: {hint}")), "{place} {arguments:?}: {}", run.stderr);
        assert!(self.files() == before, "{place} {arguments:?}: something was changed");
        assert!(!self.path().join(".regc").exists(), "{place} {arguments:?}");
    }
}

const PLACES: [&str; 4] =
    [layout::BLOBS, "docker/registry/v2/blobs/sha256", layout::REPOSITORIES, "docker/registry/v2/repositories/team"];

const WITHOUT_TRASH: &str = "run without --trash: deleting needs no space there, and cannot be undone\n";
const WITHOUT_LIVE: &str = "stop the registry, or make it read-only, and run without --live and --trash: deleting needs no space \
                            there, and cannot be undone\n";
const ONE_FILE_SYSTEM: &str =
    "move .regc and docker/registry/v2 to one file system, mounted once, and run the same command again; or ";

#[test]
fn trash_refuses_parts_on_other_filesystem() {
    for how in [How::Tmpfs, How::Bind] {
        for place in PLACES {
            let store = Store::new(place, how);
            for (command, hint) in [("--trash", WITHOUT_TRASH), ("--live", WITHOUT_LIVE)] {
                store.assert_refused(&["gc", "--min-age", "0s", command], hint);
                store.assert_refused(&["gc", "--dry-run", "--min-age", "0s", command], hint);
                store.assert_refused(&["rm", "--dry-run", "--min-age", "0s", command, "team/app:v1"], hint);
                store.assert_refused(&["rm", "--yes", "--min-age", "0s", command, "team/app:v1"], hint);
                store.assert_refused(&["prune", "--yes", "--min-age", "0s", command, "--keep", "1"], hint);
            }
            assert_eq!(store.regc(&["rm", "--yes", "team/app:v1"]).code, 0, "{place} {how:?}");
            assert_eq!(store.regc(&["gc"]).code, 0, "{place} {how:?}");
            assert_eq!(blobs_below(store.path()).len(), 4, "{place} {how:?}: what the hint says is possible");
        }
    }
}

#[test]
fn a_repair_of_what_is_on_a_disk_of_its_own_is_refused() {
    for how in [How::Tmpfs, How::Bind] {
        for place in PLACES {
            let store = Store::new(place, how);
            let is_blobs = place.contains("blobs");
            let damaged = match is_blobs {
                true => layout::blob_data(&layer("v1")),
                false => layout::layer_link("team/app", &layer("v1")),
            };
            fs::write(store.path().join(&damaged), "damaged").unwrap();
            for arguments in [&["repair", "--content"][..], &["repair", "--content", "--apply"]] {
                store.assert_refused(arguments, ONE_FILE_SYSTEM);
            }
        }
        // What is on the same file system as .regc is repaired.
        let store = Store::new(layout::BLOBS, how);
        let link = store.path().join(layout::layer_link("team/app", &layer("v1")));
        fs::write(&link, "damaged").unwrap();
        assert_eq!(store.regc(&["repair", "--apply"]).code, 0, "{how:?}");
        assert_eq!(fs::read_to_string(link).unwrap(), layer("v1").to_string());
    }
}

#[test]
fn an_undelete_on_a_disk_of_its_own_is_refused() {
    for how in [How::Tmpfs, How::Bind] {
        for place in PLACES {
            let store = Store::new(place, how);
            let name = format!("team/app@{}", store.deleted);
            if place.contains("repositories") {
                store.assert_refused(&["undelete", "--dry-run", &name], ONE_FILE_SYSTEM);
                store.assert_refused(&["undelete", &name], ONE_FILE_SYSTEM);
            } else {
                assert_eq!(store.regc(&["undelete", &name]).code, 0, "{place} {how:?}: it needs no blob to be moved");
            }
        }
    }
}

/// What was moved to the trash before its directory was mounted by itself.
#[test]
fn a_restore_to_a_disk_of_its_own_is_refused() {
    let mut registry = TestRegistry::new();
    let gone = registry.image("app:gone").layers(["deleted"]).push();
    registry.delete("app", &gone);
    registry.image("app:v1").layers(["base"]).push();
    let (root, elsewhere) = (registry.on_disk(), tempfile::tempdir().unwrap());
    let run = |arguments: &[&str]| regc([arguments, &["--root", root.path().to_str().unwrap()]].concat());
    assert_eq!(run(&["gc", "--trash"]).code, 0);
    let (blobs, moved) = (root.path().join(layout::BLOBS), elsewhere.path().join("moved"));
    fs::rename(&blobs, &moved).unwrap();
    fs::create_dir(&blobs).unwrap();
    let before = files_below(&root.path().join(".regc/trash"));
    let mounted = Mounted::bind(&moved, &blobs);
    let restored = run(&["trash", "restore"]);
    assert!(restored.code == 1 && restored.stderr.contains(ONE_FILE_SYSTEM), "{restored:?}");
    let mut after = files_below(&root.path().join(".regc/trash"));
    after.retain(|key| !key.ends_with("/restoring"));
    assert_eq!(after, before, "nothing has left the trash");
    drop(mounted);
    fs::remove_dir(&blobs).unwrap();
    fs::rename(&moved, &blobs).unwrap();
    assert_eq!(run(&["trash", "restore"]).code, 0);
}
