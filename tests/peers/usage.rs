//! regc reports as many bytes as `du` reports for the files.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use regc_core::registry::layout;
use regc_testkit::peer::PeerRegistry;
use regc_testkit::{files_below, scenario};
use serde_json::Value;

use crate::common::regc;

/// Returns the total size of the regular files below a directory, according to `du --apparent-size`, in bytes.
fn du(directory: &Path) -> u64 {
    let mut find = Command::new("find")
        .arg(directory)
        .args(["-type", "f", "-print0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test is worth nothing without find: {error}"));
    let output = Command::new("du")
        .args(["--apparent-size", "--bytes", "--files0-from=-", "--total"])
        .stdin(find.stdout.take().unwrap())
        .output()
        .unwrap_or_else(|error| panic!("this test is worth nothing without du: {error}"));
    assert!(find.wait().unwrap().success(), "find fails");
    assert!(output.status.success(), "du fails: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let total = text.lines().last().unwrap().strip_suffix("\ttotal").unwrap();
    total.parse().unwrap()
}

fn summary(root: &Path) -> Value {
    let run = regc(["du", "--files", "--format", "json", "--root", root.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap()
}

#[test]
fn live_and_garbage_and_other_are_what_du_says() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let registry = PeerRegistry::start(root.path());
    scenario::play(&registry, &work.path().join("images"), 3000);
    let blobs = root.path().join(layout::BLOBS);
    let parts = |summary: &Value| ["live", "garbage", "other"].map(|part| summary[part].as_u64().unwrap());

    let clean = parts(&summary(root.path()));
    let [live, garbage, other] = clean;
    assert!(live > 0 && garbage > 3000, "an image was deleted: {garbage}");
    assert_eq!((live + garbage, other), (du(&blobs), 0));

    // Files beside contents, in the directories above them, and under names that no registry creates.
    let data = files_below(&blobs).into_iter().find(|file| file.ends_with("/data")).unwrap();
    let beside = data.strip_suffix("data").unwrap();
    let places = ["notes", "lost+found/a", "sha256/.nfs1", "sha256/zz/file", &format!("{beside}data.part")];
    for (number, place) in places.iter().enumerate() {
        let path = blobs.join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![0; 1000 + number]).unwrap();
    }
    let found = summary(root.path());
    let [live, garbage, other] = parts(&found);
    assert_eq!(([live, garbage], other), ([clean[0], clean[1]], 5 * 1000 + 10));
    assert_eq!(live + garbage + other, du(&blobs));
    assert_eq!(found["total"], du(&blobs));
}
