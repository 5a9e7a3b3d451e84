//! The binary: what it prints, how it exits, and which store it uses.

#[path = "../common/mod.rs"]
mod common;

mod again;
mod apply;
mod book;
mod cache;
mod documentation;
mod du;
mod field;
mod fixture;
mod formats;
mod ls;
mod metrics;
mod nightly;
mod orphans;
mod outcome;
mod packaging;
mod prune;
mod repair;
mod report;
mod reports;
mod rm;
mod safety;
mod schema;
mod shapes;
mod source;
mod surface;
mod terminal;
mod translations;
mod undelete;
mod used;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regc_testkit::{TestRegistry, layer};

/// Returns the project's directory, in which the README's commands run.
fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns an empty directory that is on another file system than temporary files are.
fn on_another_file_system() -> tempfile::TempDir {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    let places = [Path::new("/dev/shm"), Path::new(env!("CARGO_TARGET_TMPDIR"))];
    let is_other = |place: &&&Path| device(place).is_some_and(|other| Some(other) != device(&std::env::temp_dir()));
    let other =
        places.iter().find(is_other).expect("/dev/shm, or the target directory, is on a file system of its own");
    tempfile::tempdir_in(other).expect("a temporary directory")
}

/// Returns a registry with a little of everything that may be printed.
fn registry() -> TestRegistry {
    let mut registry = TestRegistry::new();
    let gone = registry.image("team/app:v0").layers(["base", "deleted"]).push();
    registry.delete("team/app", &gone);
    registry.image("team/app:v1").layers(["base", "old"]).push();
    registry.image("team/app:v1").layers(["base", "new"]).push();
    registry.image("other:v1").layers(["base"]).push();
    registry
}

/// Returns the same registry with an image that cannot be pulled.
fn damaged() -> TestRegistry {
    let mut registry = registry();
    registry.image("hurt:v1").layers(["lost"]).push();
    registry.remove(&regc_core::registry::layout::blob_data(&layer("lost")));
    registry
}

/// Writes a configuration with this storage section, and more lines after it.
fn config(directory: &tempfile::TempDir, storage: &str, more: &str) -> PathBuf {
    let path = directory.path().join("config.yml");
    fs::write(&path, format!("version: 0.1\nstorage: {storage}\n{more}")).expect("a configuration can be written");
    path
}

/// Copies the binary, to where another user can run it. Another process copies: while this one holds the copy open for writing, a
/// thread may start a program that inherits it, and a file that somebody writes to cannot be run.
fn copy_regc(to: &Path) {
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_regc")).arg(to).status().expect("cp can be run");
    assert!(copied.success(), "the binary can be copied to {}", to.display());
}
