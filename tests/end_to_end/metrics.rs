//! Reports in files: metrics and summaries.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use regc_core::registry::layout;
use regc_testkit::files_below;

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
    registry.upload("team/app", "abandoned");
    let root = registry.on_disk();
    for key in files_below(root.path()).iter().filter(|key| key.contains("/_uploads/")) {
        let month_ago = SystemTime::now() - Duration::from_secs(30 * 86_400);
        fs::File::open(root.path().join(key)).unwrap().set_modified(month_ago).unwrap();
    }
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
    assert!(!after.contains_key("regc_leftover_bytes"), "it was not scanned for");
    let (tidied, after, _) = run(root.path(), directory.path(), &["gc", "-m", "--tidy", "--json", "--quiet"]);
    let json: serde_json::Value = serde_json::from_str(tidied.stdout.lines().last().unwrap()).unwrap();
    let bytes = json["removed"]["upload_bytes"].as_f64().unwrap();
    assert!(bytes > 0.0 && before["regc_leftover_bytes"] == bytes && metrics["regc_leftover_bytes"] == bytes);
    assert_eq!(after["regc_leftover_bytes"], 0.0);
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
fn reports_replace_nothing_that_is_needed() {
    let (root, directory) = (crate::registry().on_disk(), tempfile::tempdir().unwrap());
    let storage = format!("{{filesystem: {{rootdirectory: {}}}}}", root.path().display());
    let config = crate::config(&directory, &storage, "");
    let config = config.to_str().unwrap();
    let before = files_below(root.path());
    let link = root.path().join(layout::tag_link("team/app", "v1"));
    let text = fs::read_to_string(&link).unwrap();
    let (link, regc_file) = (link.to_str().unwrap(), root.path().join(".regc/x"));
    let file = directory.path().join("both");
    let file = file.to_str().unwrap();
    for (files, reason) in [
        (&["--metrics-file", link][..], "it is in the store"),
        (&["--summary-file", regc_file.to_str().unwrap()], "cannot write"),
        (&["--summary-file", config], "the command reads this file"),
        (&["--metrics-file", file, "--summary-file", file], "another report is written to this file"),
        (&["--metrics-file", directory.path().to_str().unwrap()], "it is a directory"),
        (&["--metrics-file", "/nowhere/regc.prom"], "No such file"),
    ] {
        for command in [&["gc"][..], &["gc", "--dry-run"], &["rm", "--yes", "other:v1"]] {
            let run = regc([command, files, &["--config", config]].concat());
            assert!(run.code == 1 && run.stderr.contains(reason), "{files:?}: {}", run.stderr);
        }
    }
    let broken = directory.path().join("broken.yml");
    fs::write(&broken, "storage: [").unwrap();
    let broken = broken.to_str().unwrap();
    assert_eq!(regc(["gc", "--metrics-file", broken, "--summary-file", config, "--config", broken]).code, 1);
    assert_eq!(fs::read_to_string(broken).unwrap(), "storage: [");
    let hard_link = directory.path().join("hard");
    fs::hard_link(config, &hard_link).unwrap();
    for target in [config, hard_link.to_str().unwrap()] {
        let plan = regc(["gc", "--dry-run", "--plan-out", target, "--config", config]);
        assert!(plan.code == 1 && plan.stderr.contains("the command reads this file"), "{}", plan.stderr);
    }
    let dangling = directory.path().join("dangling");
    std::os::unix::fs::symlink(directory.path().join("absent"), &dangling).unwrap();
    let run = regc(["gc", "-d", "--metrics-file", dangling.to_str().unwrap(), "--config", config]);
    assert!(run.code == 1 && dangling.is_symlink(), "{}", run.stderr);
    let (new, below) = (directory.path().join("new"), directory.path().join("link"));
    std::os::unix::fs::symlink(root.path().join(layout::REPOSITORIES), &below).unwrap();
    let twice = format!("{}/./new", directory.path().display());
    for (one, other) in [(new.to_str().unwrap(), &*twice), (below.join("x").to_str().unwrap(), "/dev/null")] {
        let run = regc(["gc", "-d", "--plan-out", one, "--summary-file", other, "--config", config]);
        assert_eq!(run.code, 1, "{one} {other}: {}", run.stderr);
    }
    let list = directory.path().join("list");
    fs::write(&list, "team/app:v1").unwrap();
    let list = list.to_str().unwrap();
    let run = regc(["gc", "-d", "--keep-used", list, "--plan-out", list, "--config", config]);
    assert!(run.code == 1 && fs::read_to_string(list).unwrap() == "team/app:v1", "{}", run.stderr);
    let plan = regc(["gc", "--dry-run", "--plan-out", link, "--config", config]);
    assert!(plan.code == 1 && plan.stderr.contains("it is in the store"), "{}", plan.stderr);
    assert_eq!((files_below(root.path()), fs::read_to_string(link).unwrap()), (before, text));
}

#[test]
fn what_is_no_file_is_written_to_and_links_stay() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    let (root, directory) = (crate::registry().on_disk(), tempfile::tempdir().unwrap());
    let root = root.path().to_str().unwrap();
    let [target, link, pipe] = ["target", "link", "pipe"].map(|name| directory.path().join(name));
    fs::write(&target, "old").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&target, &link).unwrap();
    let run = regc(["gc", "-d", "-q", "--metrics-file", link.to_str().unwrap(), "--root", root]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&target).unwrap().contains("regc_exit_code"));
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);

    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Opened for both, it needs no reader.
    let reader = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let run = regc(["gc", "-d", "-q", "--summary-file", pipe.to_str().unwrap(), "--root", root]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    let mut part = vec![0; 100];
    let length = std::io::Read::read(&mut &reader, &mut part).unwrap();
    assert!(String::from_utf8_lossy(&part[..length]).contains("Storage"), "{length}");
}
