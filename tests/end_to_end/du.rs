//! Where the bytes are.

use std::fs;

use regc_core::layout;
use regc_testkit::{TestRegistry, blob_of, files_below, fixture, layer_content};
use serde_json::Value;

use crate::common::{gc, regc};

fn du(root: &std::path::Path, arguments: &[&str]) -> Vec<Value> {
    let run = regc([&["du", "--format", "json", "--root", root.to_str().unwrap()], arguments].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_parts_are_the_whole() {
    let root = fixture::tree();
    let lines = du(&root, &[]);
    let summary = lines.last().unwrap();
    let blobs = files_below(&root).into_iter().filter(|key| blob_of(key).is_some());
    let bytes: u64 = blobs.map(|key| fs::metadata(root.join(key)).unwrap().len()).sum();
    assert_eq!(summary["live"].as_u64().unwrap() + summary["garbage"].as_u64().unwrap(), bytes);
    let dry: Value = serde_json::from_str(gc(&root, &["-d", "--format", "json", "-q"]).stdout.trim()).unwrap();
    assert_eq!((&summary["live"], &summary["garbage"]), (&dry["live_bytes"], &dry["garbage"]["bytes"]));
}

#[test]
fn what_a_repository_has_for_itself_is_what_its_removal_frees() {
    let mut registry = TestRegistry::new();
    registry.image("team/app:v1").layers(["base", "a"]).push();
    let untagged = registry.image("team/app").layers(["base", "old"]).push();
    registry.image("team/other:v1").layers(["base", "b"]).push();
    registry.image("alone:v1").layers(["c"]).push();
    let root = registry.on_disk();
    let lines = du(root.path(), &["--by-namespace"]);
    let repository = |name: &str| lines.iter().find(|line| line["repository"] == name).unwrap().clone();
    let app = repository("team/app");
    assert_eq!(app["shared"], layer_content("base").len());
    let own = |key: String| fs::metadata(root.path().join(key)).unwrap().len();
    let config: Value = serde_json::from_slice(registry.get(&layout::blob_data(&untagged)).unwrap()).unwrap();
    let config = config["config"]["digest"].as_str().unwrap().parse().unwrap();
    let of_untagged =
        own(layout::blob_data(&untagged)) + own(layout::blob_data(&config)) + layer_content("old").len() as u64;
    assert_eq!(app["untagged"], of_untagged);
    assert_eq!(
        app["pulled"].as_u64().unwrap() + of_untagged,
        app["exclusive"].as_u64().unwrap() + app["shared"].as_u64().unwrap()
    );
    let namespace = lines.iter().find(|line| line["namespace"] == "team").unwrap();
    let sum = app["exclusive"].as_u64().unwrap() + repository("team/other")["exclusive"].as_u64().unwrap();
    assert_eq!(namespace["exclusive"], sum);

    fs::remove_dir_all(root.path().join(layout::repository("team/app"))).unwrap();
    let dry: Value = serde_json::from_str(gc(root.path(), &["-d", "--format", "json", "-q"]).stdout.trim()).unwrap();
    assert_eq!(dry["garbage"]["bytes"], app["exclusive"]);
    let people = regc(["du", "--root", root.path().to_str().unwrap()]);
    assert!(people.stdout.contains("team/other") && people.stdout.contains("garbage, which `regc gc` gives back"));
}
