//! The examples work as described. `cargo test` builds them, except when only this test is selected.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use regc_core::registry::layout;
use regc_testkit::{TestRegistry, files_below, layer};
use tempfile::TempDir;

/// Runs an example with a configuration and standard input.
fn example(name: &str, config: &Path, input: &str) -> Output {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    let mut command = Command::new(&program);
    command.arg(config).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let spawned = command.spawn();
    let mut child = spawned.unwrap_or_else(|error| {
        panic!("{}: {error}; build it with `cargo build -p regc-core --examples`", program.display())
    });
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Creates a store with a deleted, an untagged and a tagged image, and its configuration.
fn store() -> (TempDir, PathBuf, String) {
    let mut registry = TestRegistry::new();
    let deleted = registry.image("app:v1").layers(["deleted"]).push();
    registry.delete("app", &deleted);
    let untagged = registry.image("app").layers(["untagged"]).push();
    registry.image("app:v2").layers(["tagged"]).push();
    let root = registry.on_disk();
    let config = root.path().join("config.yml");
    let text = format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n", root.path().display());
    fs::write(&config, text).unwrap();
    (root, config, untagged.to_string())
}

fn has(root: &TempDir, name: &str) -> bool {
    root.path().join(layout::blob_data(&layer(name))).exists()
}

#[test]
fn report_prints_what_would_be_freed_and_changes_nothing() {
    let (root, config, _) = store();
    let before = files_below(root.path());
    let run = example("report", &config, "");
    let printed = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success() && printed.contains("app") && printed.contains("in 3 blobs"), "{printed}");
    assert_eq!(files_below(root.path()), before);
}

#[test]
fn collect_moves_what_is_garbage_to_the_trash() {
    let (root, config, _) = store();
    let run = example("collect", &config, "");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(!has(&root, "deleted") && !has(&root, "untagged") && has(&root, "tagged"));
    assert!(root.path().join(".regc/trash").exists());
}

#[test]
fn keep_running_keeps_the_images_that_run() {
    let (root, config, untagged) = store();
    assert!(!example("keep_running", &config, "").status.success(), "nothing runs");
    assert!(has(&root, "deleted"));
    let run = example("keep_running", &config, &untagged);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(!has(&root, "deleted") && has(&root, "untagged") && has(&root, "tagged"));
}

#[test]
fn custom_storage_counts_its_calls() {
    let (_root, config, _) = store();
    let run = example("custom_storage", &config, "");
    let printed = String::from_utf8(run.stdout).unwrap();
    assert!(printed.starts_with("3 blobs to delete, found with ") && !printed.contains("with 0 "), "{printed}");
}
