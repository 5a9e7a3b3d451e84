//! How runs end.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use regc_core::registry::layout;
use regc_testkit::{TestRegistry, blobs_below, layer};
use serde_json::Value;

use crate::common::{gc, regc};
use crate::{damaged, registry};

#[test]
fn exit_codes_follow_the_outcome() {
    let (healthy, damaged) = (registry().on_disk(), damaged().on_disk());
    assert_eq!(gc(healthy.path(), &["-d"]).code, 0);
    assert_eq!(gc(healthy.path(), &[]).code, 0);
    assert_eq!(gc(damaged.path(), &["-d"]).code, 3);
    assert_eq!(gc(damaged.path(), &[]).code, 3);
    assert_eq!(regc(["gc", "--root", "/nowhere/at/all"]).code, 1);
    for wrong in
        [&["gc", "--no-such-option"][..], &["no-such-command"], &[], &["gc", "a", "b"], &["gc", "--format", "x"]]
    {
        assert_eq!(regc(wrong).code, 2, "{wrong:?}");
    }
    assert_eq!(regc(["gc", "--root", "/", "config.yml"]).code, 2);
}

#[test]
fn missing_root_is_reported_with_path() {
    let run = regc(["gc", "--root", "/nowhere/at/all"]);
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("/nowhere/at/all does not exist"), "{}", run.stderr);
}

#[test]
fn every_command_refuses_a_root_without_a_registry() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().to_str().unwrap();
    for command in [
        &["gc"][..],
        &["gc", "-m", "--quiet"],
        &["gc", "--dry-run", "--format", "json"],
        &["ls"],
        &["du"],
        &["rm", "--yes", "app"],
        &["prune", "--yes", "--quiet", "--keep", "1"],
        &["verify", "--quiet"],
        &["repair"],
        &["repair", "--apply"],
        &["ls", "--deleted"],
        &["undelete", "--all-since", "2h"],
        &["trash", "list"],
        &["trash", "restore"],
        &["trash", "empty"],
    ] {
        let run = regc(command.iter().copied().chain(["--root", root]));
        assert!(
            run.code == 1 && run.stderr.contains("does not contain docker/registry/v2"),
            "{command:?}: {}",
            run.stderr
        );
        let allowed = regc(command.iter().copied().chain(["--allow-empty", "--root", root]));
        assert!(!allowed.stderr.contains("does not contain"), "{command:?}: {}", allowed.stderr);
    }
}

#[test]
fn a_store_that_looks_half_mounted_is_refused() {
    let mut registry = TestRegistry::new();
    registry.blob("content");
    let root = registry.on_disk();
    let run = gc(root.path(), &[]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("--allow-empty"), "{}", run.stderr);
    assert_eq!(blobs_below(root.path()).len(), 1);
    assert_eq!(gc(root.path(), &["--allow-empty"]).code, 0);
    assert_eq!(blobs_below(root.path()).len(), 0);
}

#[test]
fn failed_removal_is_reported_with_path_and_cause() {
    let root = registry().on_disk();
    // A directory cannot be unlinked, not even by root.
    let link = root.path().join(layout::layer_link("team/app", &layer("deleted")));
    fs::remove_file(&link).unwrap();
    fs::create_dir_all(link.join("full")).unwrap();
    let run = gc(root.path(), &[]);
    assert_eq!(run.code, 1);
    let told = format!("regc: cannot remove {}\n  caused by: ", link.display());
    assert!(run.stderr.contains(&told), "{}", run.stderr);
    assert!(run.stdout.contains("Not everything could be removed"), "{}", run.stdout);
    let left = blobs_below(root.path());
    assert!(left.contains(&layer("deleted")), "the link stays, so what it points at stays");
    assert_eq!(left.len(), 10, "the rest goes: the manifest and the configuration");

    let run = gc(root.path(), &["--format", "json"]);
    assert!(run.stdout.contains(r#"{"type":"failure","message":"cannot remove "#), "{}", run.stdout);
}

#[test]
fn deletion_completes_with_a_closed_or_full_stdout() {
    for (stdout, code) in [(closed_pipe(), 0), (Stdio::from(File::create("/dev/full").unwrap()), 1)] {
        let root = registry().on_disk();
        let output = Command::new(env!("CARGO_BIN_EXE_regc"))
            .args(["gc", "--format", "json", "--root"])
            .arg(root.path())
            .stdout(stdout)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!blobs_below(root.path()).contains(&layer("deleted")));
    }
}

/// Returns a pipe without a reader.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_run_with_nothing_to_do_is_no_dry_run() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    let root = registry.on_disk();
    let root = root.path().to_str().unwrap();
    for command in [&["gc"][..], &["prune", "--yes", "--keep", "5"]] {
        let run = regc(command.iter().copied().chain(["--root", root]));
        assert!(run.code == 0 && !run.stdout.contains("dry run"), "{command:?}: {}", run.stdout);
        let run = regc(command.iter().copied().chain(["--format", "json", "--root", root]));
        assert!(run.stdout.lines().last().unwrap().contains(r#""dry_run":false"#), "{command:?}: {}", run.stdout);
        let run = regc(command.iter().copied().filter(|flag| *flag != "--yes").chain(["--dry-run", "--root", root]));
        assert!(run.stdout.contains("dry run") || command[0] == "gc", "{command:?}: {}", run.stdout);
    }
}

#[test]
fn redis_is_named_after_a_run_that_removed_blobs() {
    let directory = tempfile::tempdir().unwrap();
    let root = registry().on_disk();
    let storage =
        format!("{{filesystem: {{rootdirectory: {}}}, cache: {{blobdescriptor: redis}}}}", root.path().display());
    let config = crate::config(&directory, &storage, "redis: {addr: 'cache:6379', db: 7}\n");
    let config = config.to_str().unwrap();
    let told = |run: &crate::common::Run| run.stderr.contains("Redis at cache:6379, database 7");
    assert!(!told(&regc(["gc", "--dry-run", config])));
    let run = regc(["gc", "--quiet", config]);
    assert!(run.code == 3 && told(&run), "{}", run.stderr);
    assert!(told(&regc(["gc", config])), "it still lists what the run before has removed");
}

#[test]
fn wrong_root_gets_a_hint_with_the_right_root() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("registry");
    registry().write_to(&root);
    let meant = format!("did you mean {}?", root.canonicalize().unwrap().display());
    let deep = ["docker", "docker/registry/v2", "docker/registry/v2/blobs", "docker/registry/v2/repositories/team/app"]
        .map(|below| root.join(below));
    for given in deep.iter().map(std::path::PathBuf::as_path).chain([directory.path()]) {
        for command in ["gc", "ls", "du", "verify", "repair"] {
            let run = regc([command, "--root", given.to_str().unwrap()]);
            assert!(run.code == 1 && run.stderr.contains(&meant), "{command} {}: {}", given.display(), run.stderr);
        }
    }
}

#[test]
fn hard_linked_bytes_are_not_reported_as_freed() {
    let root = registry().on_disk();
    let copy = tempfile::tempdir_in(root.path().parent().unwrap()).unwrap();
    let garbage = layer("deleted");
    let blob = root.path().join(layout::blob_data(&garbage));
    fs::hard_link(&blob, copy.path().join("data")).unwrap();
    let bytes = fs::metadata(&blob).unwrap().len();
    let dry_run = gc(root.path(), &["--dry-run", "--format", "json"]);
    let summary: Value = serde_json::from_str(dry_run.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(summary["hard_linked_bytes"], bytes);
    assert!(summary["garbage"]["bytes"].as_u64().unwrap() > bytes);
    let run = gc(root.path(), &[]);
    assert!(run.stdout.contains("has other hard links, and is not freed"), "{}", run.stdout);
    assert!(!gc(root.path(), &[]).stdout.contains("other hard links"));
}
