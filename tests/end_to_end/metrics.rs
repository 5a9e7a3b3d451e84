//! Reports in files: metrics and summaries.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regc_core::registry::layout;
use regc_testkit::TestRegistry;

use crate::common::{Run, regc};

/// Runs a command on a store, and returns what it has written: each metric with its value, and the summary.
fn run(root: &Path, directory: &Path, arguments: &[&str]) -> (Run, BTreeMap<String, f64>, String) {
    let (metrics, summary) = (directory.join("regc.prom"), directory.join("summary.txt"));
    let files = ["--metrics-file", metrics.to_str().unwrap(), "--summary-file", summary.to_str().unwrap()];
    let run = regc([arguments, &files, &["--root", root.to_str().unwrap()]].concat());
    let text = fs::read_to_string(&metrics).unwrap_or_default();
    let labels = format!("{{command=\"{}\",store=\"{}\"", arguments[0], root.display());
    let metrics = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        assert!(line.contains(&labels), "{line}");
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.replace(&labels, "{").replace("{,", "{").replace("{}", ""), value.parse().unwrap())
    });
    (run, metrics.collect(), fs::read_to_string(summary).unwrap_or_default())
}

#[test]
fn metrics_are_the_numbers_of_the_run() {
    let (mut registry, directory) = (crate::registry(), tempfile::tempdir().unwrap());
    registry.image("hurt:v1").layers(["torn"]).push();
    registry.remove(&layout::blob_data(&regc_testkit::layer("torn")));
    let root = registry.on_disk();
    let (planned, before, _) = run(root.path(), directory.path(), &["gc", "--dry-run", "--quiet"]);
    assert_eq!((planned.code, before["regc_exit_code"], before["regc_dry_run"]), (3, 3.0, 1.0));
    assert_eq!(before["regc_freed_bytes"], 0.0);
    let (done, metrics, summary) = run(root.path(), directory.path(), &["gc", "--json", "--quiet"]);
    let json: serde_json::Value = serde_json::from_str(done.stdout.lines().last().unwrap()).unwrap();
    for (metric, value) in [
        ("regc_freed_bytes", &json["removed"]["bytes"]),
        ("regc_freed_blobs", &json["removed"]["blobs"]),
        ("regc_live_bytes", &json["live_bytes"]),
        ("regc_repositories", &json["repositories"]),
        ("regc_manifests", &json["manifests"]),
    ] {
        assert_eq!(metrics[metric], value.as_f64().unwrap(), "{metric}");
        assert!(metrics[metric] > 0.0, "{metric}");
    }
    assert_eq!(before["regc_garbage_bytes"], metrics["regc_freed_bytes"]);
    assert_eq!((metrics["regc_garbage_bytes"], metrics["regc_tags"]), (0.0, 3.0));
    assert_eq!(metrics["regc_findings{code=\"RG024\"}"], 1.0);
    assert!(metrics["regc_last_success_timestamp_seconds"] > 1.7e9 && metrics["regc_free_bytes"] > 0.0);
    assert!(metrics.keys().any(|name| name.starts_with("regc_phase_seconds{phase=")), "{metrics:?}");
    assert!(
        summary.contains("Removed  ") && summary.contains("is missing") && summary.contains("with -m"),
        "{summary}"
    );

    let (with, after, _) = run(root.path(), directory.path(), &["gc", "-m", "--json", "--quiet"]);
    let json: serde_json::Value = serde_json::from_str(with.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(metrics["regc_untagged_manifests"], json["removed"]["revisions"].as_f64().unwrap());
    assert_eq!(metrics["regc_untagged_bytes"], json["removed"]["bytes"].as_f64().unwrap());
    assert_eq!((after["regc_untagged_manifests"], after["regc_untagged_bytes"]), (0.0, 0.0));
}

#[test]
fn a_run_that_fails_keeps_the_time_of_the_last_success() {
    let (root, directory) = (crate::registry().on_disk(), tempfile::tempdir().unwrap());
    let (_, first, _) = run(root.path(), directory.path(), &["gc"]);
    let file = directory.path().join("regc.prom");
    let text = fs::read_to_string(&file).unwrap();
    let last = format!("}} {}", first["regc_last_success_timestamp_seconds"]);
    fs::write(&file, text.replace(&last, "} 1234567890")).unwrap();
    fs::rename(root.path().join("docker"), root.path().join("elsewhere")).unwrap();
    let (failed, metrics, summary) = run(root.path(), directory.path(), &["gc"]);
    assert_eq!((failed.code, metrics["regc_exit_code"]), (1, 1.0));
    assert_eq!(metrics["regc_last_success_timestamp_seconds"], 1_234_567_890.0);
    assert!(metrics["regc_last_run_timestamp_seconds"] > 1_234_567_890.0);
    assert!(!metrics.contains_key("regc_live_bytes") && summary.starts_with("regc: refused"), "{summary}");
    let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.count(), 2, "nothing is left beside the files");
}

#[test]
fn rm_and_prune_write_reports_too() {
    for arguments in [&["rm", "--yes", "team/app"][..], &["prune", "--yes", "--keep", "0", "--quiet"]] {
        let (root, directory) = (crate::registry().on_disk(), tempfile::tempdir().unwrap());
        let (done, metrics, summary) = run(root.path(), directory.path(), arguments);
        assert_eq!((done.code, metrics["regc_exit_code"]), (0, 0.0), "{arguments:?}: {}", done.stderr);
        assert!(metrics["regc_freed_bytes"] > 0.0 && !metrics.contains_key("regc_untagged_bytes"), "{metrics:?}");
        let place = format!("Storage  {}\n", root.path().display());
        assert!(summary.starts_with(&place) && summary.contains("Removed: "), "{summary}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_a_failure_and_the_work_is_done() {
    let root = TestRegistry::new().on_disk();
    let mut registry = crate::registry();
    registry.layer("team/app", "garbage");
    registry.write_to(root.path());
    let (done, ..) = run(root.path(), Path::new("/nowhere"), &["gc"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("cannot write /nowhere/regc.prom: "), "{}", done.stderr);
    assert!(done.stdout.contains("Done. "), "{}", done.stdout);
}
