//! regc and the registry's own command on the same stores.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regc_core::Digest;
use regc_core::registry::layout;
use regc_testkit::generate::{self, Features};
use regc_testkit::{TestRegistry, blobs_below, layer, oracle, peer};

use crate::common::{gc, regc};

/// Returns what the registry's own command leaves and prints. It must not fail.
fn theirs(registry: &TestRegistry, arguments: &[&str]) -> (BTreeSet<Digest>, String) {
    let (root, config) = (registry.on_disk(), tempfile::tempdir().unwrap());
    let config = peer::write_config(config.path(), root.path(), 0);
    let output = peer::garbage_collect(&config, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (blobs_below(root.path()), String::from_utf8(output.stdout).unwrap())
}

/// Returns what regc leaves, and what it prints in the registry's format.
fn ours(registry: &TestRegistry, arguments: &[&str]) -> (BTreeSet<Digest>, String) {
    let root = registry.on_disk();
    let run = gc(root.path(), &[arguments, &["--format", "registry"]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    (blobs_below(root.path()), run.stdout)
}

/// Returns the lines that both print in the same words, sorted and each once: 2.8 names a blob each time it meets it.
fn common_lines(output: &str, skip: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    output.lines().filter(|line| !line.is_empty() && !skip(line)).collect()
}

#[test]
fn gc_leaves_what_garbage_collect_leaves() {
    for seed in 0..200 {
        let registry = generate::registry(seed, Features::default());
        let ((their_blobs, their_lines), (our_blobs, our_lines)) = (theirs(&registry, &[]), ours(&registry, &[]));
        assert_eq!(our_blobs, their_blobs, "seed {seed}");
        // 2.8 leaves layer links, and prints the blobs that it meets in each repository, not only in the first.
        let skip = |line: &str| line.contains(": layer link") || line.contains(": marking blob");
        assert_eq!(common_lines(&our_lines, skip), common_lines(&their_lines, skip), "seed {seed}");
        let blobs = |lines: &str| -> BTreeSet<String> {
            let marks = lines.lines().filter_map(|line| line.split_once(": marking blob "));
            marks.map(|(_, digest)| digest.to_owned()).collect()
        };
        let roots = |lines: &str| -> BTreeSet<String> {
            let marks = lines.lines().filter_map(|line| line.split_once(": marking manifest "));
            marks.map(|(_, digest)| digest.trim_end().to_owned()).collect()
        };
        // A child that is marked as a manifest before its index is met is not named again as a blob.
        let (our_roots, their_roots) = (roots(&our_lines), roots(&their_lines));
        assert_eq!(&blobs(&our_lines) | &our_roots, &blobs(&their_lines) | &their_roots, "seed {seed}");
    }
}

#[test]
fn gc_of_untagged_manifests_also_keeps_children_of_live_indexes() {
    let mut with_children = 0;
    for seed in 0..100 {
        let registry = generate::registry(seed, Features::default());
        let (their_blobs, _) = theirs(&registry, &["-m"]);
        let (our_blobs, _) = ours(&registry, &["-m"]);
        let children: BTreeSet<Digest> = oracle::reachable_children(&registry)
            .into_iter()
            .filter(|blob| blobs_of(&registry).contains(blob))
            .collect();
        assert_eq!(our_blobs, &their_blobs | &children, "seed {seed}");
        with_children += usize::from(!children.is_subset(&their_blobs));
    }
    assert!(with_children > 20, "in {with_children} of the stores 2.8 has taken platforms from live images");
}

fn blobs_of(registry: &TestRegistry) -> BTreeSet<Digest> {
    registry.keys().filter_map(regc_testkit::blob_of).collect()
}

#[test]
fn regc_goes_on_where_registrys_command_stops_at_damage() {
    let mut registry = TestRegistry::new();
    let gone = registry.image("app:v1").layers(["garbage"]).push();
    registry.delete("app", &gone);
    let image = registry.image("hurt:v1").layers(["x"]).push();
    registry.put(layout::revision_link("hurt", &image), "");
    let (root, config) = (registry.on_disk(), tempfile::tempdir().unwrap());
    let config = peer::write_config(config.path(), root.path(), 0);
    assert!(!peer::garbage_collect(&config, &[]).status.success());
    assert!(blobs_below(root.path()).contains(&layer("garbage")));

    let run = regc(["gc", config.to_str().unwrap()]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let left = blobs_below(root.path());
    assert!(!left.contains(&layer("garbage")) && left.contains(&layer("x")));
}

#[test]
fn a_store_without_a_layout_is_an_error_for_both() {
    let (root, config) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = peer::write_config(config.path(), root.path(), 0);
    assert!(!peer::garbage_collect(&config, &["-d"]).status.success());
    let run = regc(["gc", config.to_str().unwrap()]);
    assert!(run.code == 1 && run.stderr.contains("does not contain docker/registry/v2"), "{}", run.stderr);
}

#[test]
fn repositories_without_layer_links_are_missed_by_the_registrys_own_command_only() {
    let mut registry = TestRegistry::new();
    registry.image("other:v1").layers(["x"]).push();
    registry.image("app:v1").layers(["y"]).push();
    let (root, config) = (registry.on_disk(), tempfile::tempdir().unwrap());
    let config = peer::write_config(config.path(), root.path(), 0);
    fs::remove_dir_all(root.path().join(layout::layers("app"))).unwrap();

    let run = regc(["gc", config.to_str().unwrap()]);
    assert_eq!((run.code, blobs_below(root.path()).contains(&layer("y"))), (0, true));
    assert!(peer::garbage_collect(&config, &[]).status.success());
    assert!(!blobs_below(root.path()).contains(&layer("y")));
}

#[test]
fn the_environment_overrides_the_configuration_for_both() {
    let mut registry = TestRegistry::new();
    let gone = registry.image("app:v1").layers(["garbage"]).push();
    registry.delete("app", &gone);
    registry.image("app:v2").layers(["x"]).push();
    let (root, elsewhere) = (registry.on_disk(), tempfile::tempdir().unwrap());
    let config = peer::write_config(elsewhere.path(), Path::new("/nowhere"), 0);
    for (name, value) in [
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", root.path().display().to_string()),
        ("REGISTRY_STORAGE_FILESYSTEM", format!("{{rootdirectory: {}}}", root.path().display())),
        ("REGISTRY_STORAGE", format!("{{filesystem: {{rootdirectory: {}}}}}", root.path().display())),
    ] {
        let output = std::process::Command::new("docker-registry")
            .args(["garbage-collect", "-d"])
            .arg(&config)
            .env(name, &value)
            .output()
            .unwrap();
        let eligible = |text: &str| text.lines().filter(|line| line.starts_with("blob eligible")).count();
        assert_eq!(eligible(&String::from_utf8_lossy(&output.stdout)), 3, "{name}");
        let arguments = ["gc", "-d", "--format", "registry", config.to_str().unwrap()];
        let run = crate::common::regc_with(arguments, &[(name, &value)]);
        assert_eq!(eligible(&run.stdout), 3, "{name}: {}", run.stderr);
    }
}
