//! What `regc repair` leaves alone.

use std::fs;

use regc_core::layout;
use regc_testkit::{TestRegistry, files_below};

use crate::common::{Run, regc};

fn repair(root: &std::path::Path, arguments: &[&str]) -> Run {
    regc([&["repair", "--root", root.to_str().unwrap()], arguments].concat())
}

#[test]
fn a_store_whose_blobs_are_not_mounted_is_refused() {
    let mut registry = TestRegistry::new();
    for n in 0..30 {
        registry.image(&format!("app:v{n}")).layers([format!("layer {n}")]).push();
    }
    let root = registry.on_disk();
    let blobs = root.path().join(layout::BLOBS);
    let elsewhere = root.path().join("elsewhere");
    fs::rename(&blobs, &elsewhere).unwrap();
    // Not at all, or with nothing in it, or with what was pushed since.
    for made in ["", "sha256", "sha256/00/00ff"] {
        if !made.is_empty() {
            fs::create_dir_all(blobs.join(made)).unwrap();
        }
        let before = files_below(root.path());
        let run = repair(root.path(), &["--apply"]);
        assert!(run.code == 1 && run.stderr.contains("half-mounted"), "{made}: {}", run.stderr);
        assert_eq!(files_below(root.path()), before, "{made}");
    }
    assert_eq!(repair(root.path(), &["--allow-empty"]).code, 3);
    fs::remove_dir_all(&blobs).unwrap();
    fs::rename(&elsewhere, &blobs).unwrap();
    let run = repair(root.path(), &["--apply"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "There is nothing to repair.\n"), "{}", run.stderr);
}

#[test]
fn nothing_is_repaired_through_a_symbolic_link() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    let root = registry.on_disk();
    let elsewhere = tempfile::tempdir().unwrap();
    let app = root.path().join(layout::repository("app"));
    let link = layout::revision_link("app", &image);
    fs::write(root.path().join(&link), "").unwrap();
    fs::create_dir(root.path().join(".regc")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), root.path().join(".regc/incoming")).unwrap();
    let run = repair(root.path(), &["--apply"]);
    assert!(run.code == 1 && run.stderr.contains("symbolic link"), "{}", run.stderr);
    fs::remove_dir_all(root.path().join(".regc")).unwrap();
    // The repository is on another disk, and maybe another registry's.
    fs::rename(&app, elsewhere.path().join("app")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("app"), &app).unwrap();
    assert_eq!(repair(root.path(), &["--apply"]).code, 3);
    assert_eq!(fs::read_to_string(root.path().join(&link)).unwrap(), "");
    fs::remove_file(&app).unwrap();
    fs::rename(elsewhere.path().join("app"), &app).unwrap();
    assert_eq!(repair(root.path(), &["--apply"]).code, 0);
    assert_eq!(fs::read_to_string(root.path().join(&link)).unwrap(), image.to_string());
}
