//! Nothing is changed through a symbolic link below the directories that operators may link elsewhere.
#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use regc_core::registry::layout;
use regc_core::storage::{ReadStorage, Removal, Removing, TrashStorage};
use regc_core::trash;
use regc_testkit::{TestRegistry, files_below, layer};

use crate::at;

/// Creates a registry with an object of every kind, and returns their keys.
fn registry() -> (TestRegistry, Vec<String>) {
    let mut registry = TestRegistry::new();
    let image = registry.image("team/app:v1").layers(["a"]).push();
    registry.put(layout::signature_link("team/app", &image, &layer("s")), layer("s").to_string());
    registry.upload("team/app", "upload");
    let keys = vec![
        layout::tag_index_link("team/app", "v1", &image),
        layout::tag_link("team/app", "v1"),
        layout::revision_link("team/app", &image),
        layout::signature_link("team/app", &image, &layer("s")),
        layout::layer_link("team/app", &layer("a")),
        layout::upload_file("team/app", "upload", "data"),
        layout::blob_data(&layer("a")),
    ];
    for key in &keys {
        registry.put(format!("{}/{key}", trash::directory("run")), "kept");
    }
    (registry, keys)
}

/// Lists the parent directories of a key that must not be symbolic links.
fn directories(key: &str) -> Vec<&str> {
    let known = match key {
        key if key.starts_with(layout::BLOBS) => layout::BLOBS.len() + "/sha256/ab".len(),
        key if key.starts_with(layout::REPOSITORIES) => layout::REPOSITORIES.len(),
        _ => 0,
    };
    key.match_indices('/').map(|(end, _)| &key[..end]).filter(|directory| directory.len() > known).collect()
}

/// Moves a directory away, puts a symbolic link in its place, and changes something: what was moved away must not
/// change.
fn planted(directory: &str, what: &str, change: impl FnOnce(&Path)) {
    let (root, victim) = (registry().0.on_disk(), tempfile::tempdir().unwrap());
    let moved = victim.path().join("moved");
    fs::rename(root.path().join(directory), &moved).unwrap();
    symlink(&moved, root.path().join(directory)).unwrap();
    let before = files_below(victim.path());
    change(root.path());
    assert_eq!(files_below(victim.path()), before, "{what} with a link at {directory}");
}

#[test]
fn storage_removes_nothing_through_symbolic_link() {
    for key in registry().1 {
        for directory in directories(&key) {
            for into in [None, Some(".regc/trash/new")] {
                planted(directory, "removal", |root| {
                    let how = Removing { into, ..Removing::default() };
                    let removed =
                        regc_core::storage::DeleteStorage::remove(&at(root), std::slice::from_ref(&key), &how);
                    // The directory of the object itself: the symbolic link is removed.
                    let is_last = key.rsplit_once('/').unwrap().0 == directory;
                    match &removed[..] {
                        [Removal::Done] if is_last => assert!(fs::symlink_metadata(root.join(directory)).is_err()),
                        [Removal::Failed(error)] if !is_last => {
                            let cause = std::error::Error::source(error).unwrap().to_string();
                            assert!(cause.contains(directory) && cause.contains("symbolic link"), "{cause}");
                        }
                        other => panic!("{directory}: {other:?}"),
                    }
                });
            }
            planted(directory, "removal of directories", |root| {
                let above = key.rsplit_once('/').unwrap().0.to_owned();
                fs::remove_file(root.join(&key)).ok();
                let before = files_below(root);
                let _ = regc_core::storage::DeleteStorage::remove_empty_directories(&at(root), &[above], None);
                assert_eq!(files_below(root), before);
                fs::write(root.join(&key), "again").unwrap();
            });
        }
    }
}

#[test]
fn storage_moves_and_makes_nothing_through_symbolic_link() {
    for key in registry().1 {
        let trashed = format!("{}/{key}", trash::directory("run"));
        for (from, to) in [(&trashed, &key), (&key, &trashed)] {
            for directory in directories(from).into_iter().chain(directories(to)) {
                let run = trash::directory("run");
                planted(directory, "move", |root| {
                    if !root.join(from).starts_with(root.join(directory)) {
                        fs::remove_file(root.join(to)).ok();
                        fs::write(root.join(to), "x").unwrap();
                    }
                    let _ = at(root).move_object(from, to, &run);
                    assert!(root.join(from).exists(), "{from}");
                });
                planted(directory, "replacement", |root| {
                    assert!(at(root).replace(from, to, ".regc/trash/other", None).is_err(), "{from} to {to}");
                });
            }
        }
        for key in [&key, &trashed] {
            for directory in directories(key) {
                planted(directory, "creation", |root| {
                    let new = format!("{}/new", key.rsplit_once('/').unwrap().0);
                    let write = &mut |to: &mut dyn Write| to.write_all(b"new");
                    assert!(at(root).create(&new, write).is_err(), "{new}");
                });
                planted(directory, "removal of all", |root| {
                    assert!(at(root).remove_all(key).is_err() || directory == key);
                });
            }
        }
    }
}

#[test]
fn remove_all_follows_no_symbolic_link() {
    let (registry, _) = registry();
    let (root, victim) = (registry.on_disk(), tempfile::tempdir().unwrap());
    fs::write(victim.path().join("somebody's"), "content").unwrap();
    let run = root.path().join(trash::directory("run"));
    symlink(victim.path(), run.join("docker/link")).unwrap();
    at(root.path()).remove_all(&trash::directory("run")).unwrap();
    assert!(victim.path().join("somebody's").exists() && !run.exists());
    assert!(at(root.path()).stat(layout::ROOT).unwrap().is_some());
}
