//! Images that something else uses: they stay.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use regc_core::Digest;
use regc_core::registry::layout;
use regc_testkit::TestRegistry;
use serde_json::json;

use crate::common::{Run, regc};

/// Images of which the first has lost its tag, an index that has lost it too, and two more with tags.
struct Images {
    registry: TestRegistry,
    untagged: Digest,
    child: Digest,
    index: Digest,
}

fn images() -> Images {
    let mut registry = TestRegistry::new();
    let untagged = registry.image("team/app:v1").layers(["base", "first"]).push();
    registry.image("team/app:v1").layers(["base", "second"]).push();
    registry.image("team/app:v2").layers(["base", "third"]).push();
    let child = registry.image("multi").layers(["child"]).push();
    let index = registry.index("multi:v1").manifests([child]).push();
    registry.index("multi:v1").manifests([]).push();
    Images { registry, untagged, child, index }
}

fn run(root: &Path, arguments: &[&str], used: &str) -> Run {
    let list = root.join("used");
    fs::write(&list, used).unwrap();
    regc([arguments, &["--keep-used", list.to_str().unwrap(), "--root", root.to_str().unwrap()]].concat())
}

#[test]
fn a_signal_ends_reading_a_list_that_does_not_come() {
    let Images { registry, .. } = images();
    let root = registry.on_disk();
    let root = root.path().to_str().unwrap();
    let fifo = tempfile::tempdir().unwrap();
    let fifo = fifo.path().join("list");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for (list, signal, code) in [("-", "INT", 130), ("-", "TERM", 143), (fifo.to_str().unwrap(), "INT", 130)] {
        for arguments in [&["gc", "-m"][..], &["rm", "--yes", "multi:v1"], &["prune", "--yes", "--keep", "0"]] {
            let mut regc = Command::new(env!("CARGO_BIN_EXE_regc"))
                .args(arguments)
                .args(["--keep-used", list, "--root", root])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            thread::sleep(Duration::from_millis(500));
            assert_eq!(regc.try_wait().unwrap(), None, "{arguments:?} waits for {list}");
            assert!(Command::new("kill").args(["-s", signal, &regc.id().to_string()]).status().unwrap().success());
            let ended = (0..50).find_map(|_| {
                thread::sleep(Duration::from_millis(100));
                regc.try_wait().unwrap()
            });
            regc.kill().ok();
            assert_eq!(ended.and_then(|status| status.code()), Some(code), "{arguments:?} {list} {signal}");
        }
    }
    assert!(Path::new(root).join(layout::tag_link("multi", "v1")).exists(), "nothing was deleted");
}

#[test]
fn manifests_that_run_stay_with_all_that_they_need() {
    let Images { registry, untagged, child, index } = images();
    let pods = json!({ "items": [{ "status": { "containerStatuses": [
        { "imageID": format!("docker-pullable://registry:5000/team/app@{untagged}") },
        { "imageID": format!("registry.example.com/multi@{index}") },
    ] } }] });
    let lines = format!("registry:5000/team/app@{untagged}\n{index}\n");
    for used in [pods.to_string(), lines] {
        let root = registry.on_disk();
        let collected = run(root.path(), &["gc", "-m", "--json"], &used);
        assert_eq!((collected.code, &*collected.stderr), (0, ""), "{used}");
        for digest in [untagged, child, index, regc_testkit::layer("first"), regc_testkit::layer("child")] {
            assert!(root.path().join(layout::blob_data(&digest)).exists(), "{used}");
        }
        assert_eq!(run(root.path(), &["gc", "-m"], "team/app:v2").code, 0);
        assert!(!root.path().join(layout::blob_data(&untagged)).exists(), "without being used, it goes");
    }
}

#[test]
fn prune_keeps_tags_of_images_that_run() {
    let Images { registry, .. } = images();
    let root = registry.on_disk();
    let pruned = run(root.path(), &["prune", "--yes", "--keep", "0"], "registry:5000/team/app:v1");
    assert_eq!(pruned.code, 0, "{}{}", pruned.stdout, pruned.stderr);
    assert!(pruned.stderr.contains("team/app:v1 is kept: something outside the registry uses it"), "{}", pruned.stderr);
    let left = regc(["ls", "--tags-only", "--root", root.path().to_str().unwrap()]).stdout;
    assert_eq!(left, "team/app:v1\n");
}

#[test]
fn rm_refuses_images_that_run() {
    let Images { registry, .. } = images();
    for named in ["team/app:v1", "team/app", "**"] {
        let root = registry.on_disk();
        let before = regc_testkit::blobs_below(root.path());
        let refused = run(root.path(), &["rm", "--yes", named], "team/app:v1");
        assert_eq!(refused.code, 1, "{named}: {}", refused.stdout);
        assert!(refused.stderr.contains("something outside the registry uses it"), "{named}: {}", refused.stderr);
        assert_eq!(regc_testkit::blobs_below(root.path()), before, "{named}");
    }
    let root = registry.on_disk();
    assert_eq!(run(root.path(), &["rm", "--yes", "team/app:v2"], "team/app:v1").code, 0);
}

#[test]
fn a_list_without_images_is_refused() {
    let Images { registry, untagged, .. } = images();
    let root = registry.on_disk();
    for (used, reason) in [
        ("", "it lists no images"),
        ("# nothing\n", "it lists no images"),
        ("{\"items\":[]}", "it lists no images"),
        ("error: the server could not be reached", "line 1: "),
        ("{\"items\":", "not JSON"),
    ] {
        let refused = run(root.path(), &["gc", "-m"], used);
        let told = refused.stderr.contains(reason) && refused.stderr.contains("/used");
        assert!(refused.code == 1 && told, "{used:?}: {}", refused.stderr);
        assert!(root.path().join(layout::blob_data(&untagged)).exists());
    }
    let other = run(root.path(), &["gc", "--dry-run", "-m"], "elsewhere/no:v1\n");
    assert!(
        other.code == 1 && other.stderr.contains("it lists 1 image, none of which is in this store"),
        "{}",
        other.stderr
    );
}

#[test]
fn images_that_docker_calls_by_their_configuration_stay() {
    let Images { registry, untagged, .. } = images();
    let manifest: serde_json::Value =
        serde_json::from_slice(registry.get(&layout::blob_data(&untagged)).unwrap()).unwrap();
    let id = manifest["config"]["digest"].as_str().unwrap();
    for used in [
        id.to_owned(),
        format!("docker://{id}\nteam/app:v2"),
        id["sha256:".len()..][..12].to_owned(),
        json!([{ "Image": id, "Config": { "Image": "team/app:v1" } }]).to_string(),
        untagged.to_string(),
        untagged.hex()[..12].to_owned(),
    ] {
        let root = registry.on_disk();
        let collected = run(root.path(), &["gc", "-m"], &used);
        assert_eq!(collected.code, 0, "{used}: {}", collected.stderr);
        assert!(root.path().join(layout::blob_data(&untagged)).exists(), "{used}");
    }
}
