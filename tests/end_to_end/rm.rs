//! `regc rm`: deletes what is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use regc_core::registry::layout;
use regc_testkit::{TestRegistry, files_below, fixture};
use serde_json::Value;

use crate::common::{Run, gc, regc};
use crate::terminal::answered;

fn rm(root: &Path, arguments: &[&str]) -> Run {
    regc([&["rm", "--root", root.to_str().unwrap()], arguments].concat())
}

fn summary(run: &Run) -> Value {
    serde_json::from_str(run.stdout.lines().last().unwrap_or_else(|| panic!("{}", run.stderr))).unwrap()
}

/// Returns the fixture's store, in a directory of its own.
fn store() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fixture::unpack(root.path());
    root
}

/// Returns the total length of all blobs and uploads.
fn bytes_of_content(root: &Path) -> u64 {
    let files = files_below(root).into_iter().filter(|key| key.ends_with("/data") || key.contains("/_uploads/"));
    files.filter(|key| key.starts_with("docker/")).map(|key| fs::metadata(root.join(key)).unwrap().len()).sum()
}

fn tags(root: &Path) -> Vec<String> {
    let run = regc(["ls", "--tags-only", "--root", root.to_str().unwrap()]);
    run.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn dry_run_predicts_freed_bytes() {
    for names in [
        &["team/app:v1"][..],
        &["team/app:*"],
        &["team/app"],
        &["**"],
        &["other:list", "other:moving"],
        &["team/app/*", "other:v1"],
    ] {
        let root = store();
        let before = files_below(root.path());
        let dry = rm(root.path(), &[&["--dry-run", "--format", "json"], names].concat());
        assert_eq!((dry.code, files_below(root.path())), (0, before), "{names:?}: {}", dry.stderr);
        let bytes = bytes_of_content(root.path());
        let real = rm(root.path(), &[&["--yes", "--format", "json"], names].concat());
        assert_eq!(real.code, 0, "{names:?}: {}", real.stderr);
        let (told, done) = (summary(&dry), summary(&real));
        assert_eq!((&told["garbage"], &told["garbage"]), (&done["garbage"], &done["removed"]), "{names:?}");
        let freed = told["garbage"]["bytes"].as_u64().unwrap() + told["garbage"]["upload_bytes"].as_u64().unwrap();
        assert_eq!(bytes - bytes_of_content(root.path()), freed, "{names:?}");
        assert!(freed > 0);
    }
}

#[test]
fn rm_deletes_only_what_is_named() {
    let root = store();
    let run = rm(root.path(), &["--yes", "team/app", "other:v1"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("team/app\n  tag       multi  sha256:") && run.stdout.contains("\nRemoved: "));
    assert_eq!(tags(root.path()), ["other:list", "other:moving", "team/app/worker:v1"]);
    assert!(!root.path().join(layout::layers("team/app")).exists());
    assert!(!root.path().join(layout::tag("other", "v1")).exists(), "the registry lists directories as tags");
    assert_eq!(rm(root.path(), &["--yes", "**"]).code, 0);
    assert_eq!(fs::read_dir(root.path().join(layout::REPOSITORIES)).unwrap().count(), 0);
}

#[test]
fn rm_fails_if_nothing_matches() {
    let root = store();
    let before = files_below(root.path());
    let digest = format!("other@sha256:{}", "0".repeat(64));
    for (name, code) in [
        ("nowhere", 1),
        ("app", 1),
        ("team/app:v9", 1),
        ("team/app/:v1", 1),
        (&digest, 1),
        ("other@sha256:12", 2),
        ("[", 2),
        (":v1", 2),
        ("team/app:v1\n", 2),
    ] {
        let run = rm(root.path(), &["--yes", "team/app/worker", name]);
        assert_eq!((run.code, files_below(root.path())), (code, before.clone()), "{name}");
        assert!(run.stderr.contains(if code == 1 { "nothing matches" } else { "invalid pattern" }), "{}", run.stderr);
    }
}

#[test]
fn rm_refuses_manifests_in_use() {
    let root = store();
    let before = files_below(root.path());
    let list = regc(["ls", "--tree", "--format", "json", "--root", root.path().to_str().unwrap()]).stdout;
    let lines: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let index = lines.iter().find(|line| line["tag"] == "multi").unwrap()["digest"].as_str().unwrap();
    let tree = lines.iter().find(|line| line["type"] == "image" && line["image"]["digest"] == index).unwrap();
    let platform = tree["children"][0].as_str().unwrap();
    let run = rm(root.path(), &["--yes", "other:v1", &format!("team/app@{platform}")]);
    assert!(run.code == 1 && run.stderr.contains(&format!("part of the index {index}")), "{}", run.stderr);
    let run = rm(root.path(), &["--yes", &format!("team/app@{index}")]);
    assert!(run.code == 1 && run.stderr.contains("still has tags: multi"), "{}", run.stderr);
    assert_eq!(files_below(root.path()), before, "nothing is half removed");
    assert_eq!(rm(root.path(), &["--yes", "--force", &format!("team/app@{index}")]).code, 0);
    assert!(!tags(root.path()).contains(&"team/app:multi".to_owned()));
}

#[test]
fn rm_requires_confirmation() {
    let root = store();
    let before = files_below(root.path());
    let run = rm(root.path(), &["other:v1"]);
    assert!(run.code == 1 && run.stderr.contains("--yes") && run.stdout.is_empty(), "{}", run.stderr);
    for (answer, code) in [("n", 1), ("", 1), ("y", 0)] {
        let path = root.path().to_str().unwrap();
        let run = answered(&["rm", "--root", path, "other:v1"], answer);
        let question = format!(" from {path}? [y/N]");
        assert!(run.stdout.contains(&question) && run.stdout.contains("This removes"), "{}", run.stdout);
        assert_eq!(run.code, code, "{answer:?}: {}", run.stdout);
        assert_eq!(files_below(root.path()) == before, code == 1, "{answer:?}");
    }
}

#[test]
fn patterns_may_name_the_same_twice() {
    let root = store();
    let list = regc(["ls", "--format", "json", "--root", root.path().to_str().unwrap(), "team/app:v1"]).stdout;
    let digest: Value = serde_json::from_str(&list).unwrap();
    let digest = format!("team/app@{}", digest["digest"].as_str().unwrap());
    for names in [["team/app:v1", &digest], [&digest, "team/app:*"], [&digest, "team/app"]] {
        let run = rm(root.path(), &["--dry-run", names[0], names[1]]);
        assert_eq!(run.code, 0, "{names:?}: {}", run.stderr);
    }
}

#[test]
fn gc_frees_content_left_by_rm_no_gc() {
    let (root, other) = (store(), store());
    assert_eq!(rm(root.path(), &["--yes", "--no-gc", "team/app:multi"]).code, 0);
    assert_eq!(bytes_of_content(root.path()), bytes_of_content(other.path()), "nothing is freed yet");
    assert_eq!(rm(other.path(), &["--yes", "team/app:multi"]).code, 0);
    for root in [&root, &other] {
        assert_eq!(gc(root.path(), &[]).code, 0);
    }
    assert_eq!(files_below(root.path()), files_below(other.path()));
}

#[test]
fn rm_is_undone_by_restore() {
    let root = store();
    let before = files_below(root.path());
    let in_registry = |root: &Path| -> BTreeSet<String> {
        files_below(root).into_iter().filter(|key| key.starts_with("docker/")).collect()
    };
    let run = rm(root.path(), &["--yes", "--trash", "team/app", "other:*"]);
    assert!(run.code == 0 && run.stdout.contains("Moved to the trash: "), "{}", run.stderr);
    assert_eq!(tags(root.path()), ["team/app/worker:v1"]);
    let journal = fs::read_dir(root.path().join(".regc/trash")).unwrap().next().unwrap().unwrap().path();
    assert!(fs::read_to_string(journal.join("journal.jsonl")).unwrap().contains(r#""command":"rm""#));
    // The next collection does not put back what is not in use.
    assert_eq!(gc(root.path(), &[]).code, 0);
    assert_eq!(tags(root.path()), ["team/app/worker:v1"]);
    let restored = regc(["trash", "restore", "--root", root.path().to_str().unwrap()]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert_eq!(in_registry(root.path()), before, "what was left of the deleted image came along");
    assert_eq!(tags(root.path()).len(), 6);
}

#[test]
fn rm_deletes_damaged_repository_only_as_a_whole() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    registry.image("other:v1").layers(["b"]).push();
    registry.manifest("app:damaged", "{");
    let root = registry.on_disk();
    let run = rm(root.path(), &["--yes", "app:v1"]);
    assert!(run.code == 1 && run.stderr.contains("is damaged"), "{}", run.stderr);
    assert_eq!(rm(root.path(), &["--dry-run", "other:v1"]).code, 0, "what is damaged elsewhere is for gc to tell");
    assert_eq!(rm(root.path(), &["--yes", "app"]).code, 0);
    assert_eq!(gc(root.path(), &["-d"]).code, 0);
}

#[test]
fn rm_refuses_external_metadata() {
    let root = store();
    let directory = tempfile::tempdir().unwrap();
    let auth = "auth: {token: {issuer: harbor-token-issuer}}\n";
    let config =
        crate::config(&directory, &format!("{{filesystem: {{rootdirectory: {}}}}}", root.path().display()), auth);
    let run = regc(["rm", "--yes", "other:v1", "--config", config.to_str().unwrap()]);
    assert!(run.code == 1 && run.stderr.contains("Harbor"), "{}", run.stderr);
}

#[test]
fn interrupted_rm_leaves_no_partial_image() {
    let mut registry = TestRegistry::new();
    for repository in 0..30 {
        let name = format!("team/app-{repository}");
        let platforms: Vec<_> = (0..20).map(|n| registry.image(&name).layers([format!("{name} {n}")]).push()).collect();
        registry.index(&format!("{name}:v1")).manifests(platforms).push();
    }
    registry.image("other:v1").layers(["stays"]).push();
    let root = registry.on_disk();
    let path = root.path().to_str().unwrap();
    let mut regc_rm = Command::new(env!("CARGO_BIN_EXE_regc"))
        .args(["rm", "--yes", "--root", path, "team/*:v1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Interrupt it as soon as it deletes anything.
    let tag = root.path().join(layout::tag("team/app-0", "v1"));
    while tag.exists() && regc_rm.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    Command::new("kill").args(["-INT", &regc_rm.id().to_string()]).status().unwrap();
    let code = regc_rm.wait().unwrap().code().unwrap();
    assert!([0, 130].contains(&code), "{code}");
    for repository in 0..30 {
        let name = format!("team/app-{repository}");
        let revisions = files_below(&root.path().join(layout::revisions(&name))).len();
        let has_tag = root.path().join(layout::tag_link(&name, "v1")).exists();
        assert_eq!(revisions, if has_tag { 21 } else { 0 }, "{name}");
    }
    assert_eq!(gc(root.path(), &[]).code, 0);
}

#[test]
fn all_names_that_match_nothing_are_told_with_what_was_meant() {
    let root = crate::registry().on_disk();
    let path = root.path().to_str().unwrap();
    for (names, expected) in [
        (&["tema/app"][..], "did you mean team/app?"),
        (&["team"], "did you mean 'team/**' or team/app?"),
        (&["app"], "did you mean team/app?"),
        (&["team/app:v2"], "did you mean team/app:v1?"),
        (&["otter:v1"], "did you mean other:v1?"),
    ] {
        for command in [&["rm", "--dry-run"][..], &["ls"]] {
            let run = regc([command, names, &["--root", path]].concat());
            assert_eq!(run.code, 1, "{command:?}");
            assert!(run.stderr.contains(&format!("  hint: {expected}")), "{command:?} {names:?}: {}", run.stderr);
        }
    }
    let run = regc(["rm", "--dry-run", "--root", path, "other", "nosuch", "absent:v1"]);
    assert!(run.code == 1 && run.stderr.contains("nothing matches nosuch, absent:v1\n"), "{}", run.stderr);
    assert!(run.stderr.contains("`regc ls` lists what there is"), "{}", run.stderr);
}

#[test]
fn nothing_of_a_tag_is_left_if_another_tag_takes_its_image_meanwhile() {
    let root = crate::registry().on_disk();
    let path = root.path().to_str().unwrap();
    let plan = root.path().join("plan");
    let run = regc(["rm", "--dry-run", "team/app", "--plan-out", plan.to_str().unwrap(), "--root", path]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let link = |tag: &str| root.path().join(layout::tag_link("team/app", tag));
    let digest = std::fs::read_to_string(link("v1")).unwrap();
    let index = layout::tag_index_link("team/app", "v2", &digest.parse().unwrap());
    for file in [link("v2"), root.path().join(index)] {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, &digest).unwrap();
    }
    let planned = regc(["apply", "--dry-run", "--json", plan.to_str().unwrap()]);
    let done = regc(["apply", "--yes", "--json", plan.to_str().unwrap()]);
    let last = |run: &crate::common::Run| -> serde_json::Value {
        serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap()
    };
    assert_eq!((done.code, &last(&done)["removed"]), (0, &last(&planned)["garbage"]), "{}", done.stderr);
    assert!(!root.path().join(layout::tag("team/app", "v1")).exists() && link("v2").exists());
    assert_eq!(regc(["verify", "--root", path]).code, 0);
}
