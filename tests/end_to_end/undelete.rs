//! `regc ls --deleted` and `regc undelete`.

use std::fs;
use std::path::Path;

use regc_core::Digest;
use regc_core::registry::layout;
use regc_testkit::{TestRegistry, files_below, layer};
use serde_json::Value;

use crate::common::{Run, regc};

/// Returns a registry from which two images were deleted: one that is complete, and one that has lost a layer.
fn registry() -> (TestRegistry, Digest, Digest) {
    let mut registry = TestRegistry::new();
    let whole = registry.image("team/app:v1").layers(["base", "app"]).push();
    let broken = registry.image("team/broken:v1").layers(["lost"]).push();
    registry.image("other:v1").layers(["base"]).push();
    registry.delete("team/app", &whole);
    registry.delete("team/broken", &broken);
    registry.remove(&layout::blob_data(&layer("lost")));
    (registry, whole, broken)
}

fn run(root: &Path, arguments: &[&str]) -> Run {
    regc([arguments, &["--root", root.to_str().unwrap()]].concat())
}

fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn ls_deleted_lists_what_can_be_undeleted() {
    let (registry, whole, broken) = registry();
    let root = registry.on_disk();
    let before = files_below(root.path());
    let human = run(root.path(), &["ls", "--deleted"]);
    assert_eq!(human.code, 0, "{}", human.stderr);
    let text = &human.stdout;
    assert!(text.contains("\nteam/app\n  image  linux/amd64 ") && text.contains(&whole.to_string()), "{text}");
    assert!(text.contains(&format!("    incomplete: {} has no content in the store\n", layer("lost"))), "{text}");
    let json = lines(&run(root.path(), &["ls", "--deleted", "--format", "json", "team/*"]));
    assert_eq!(json.len(), 2);
    assert_eq!((&json[0]["digest"], &json[0]["whole"]), (&whole.to_string().into(), &true.into()));
    assert_eq!(json[0]["evidence"], "revision");
    assert_eq!((&json[1]["digest"], &json[1]["whole"]), (&broken.to_string().into(), &false.into()));
    assert_eq!(json[1]["missing"]["reason"], "no_content");
    assert_eq!(run(root.path(), &["ls", "--deleted", "other"]).code, 1);
    assert_eq!(run(root.path(), &["ls", "--deleted", "--tree"]).code, 2);
    assert_eq!(files_below(root.path()), before);
}

#[test]
fn undelete_links_an_image_and_its_tag_again() {
    let (registry, whole, _) = registry();
    let root = registry.on_disk();
    let name = format!("team/app@{whole}");
    let before = files_below(root.path());
    let dry = run(root.path(), &["undelete", &name, "--tag", "v1", "--dry-run", "--format", "json"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert_eq!(files_below(root.path()), before);
    let real = run(root.path(), &["undelete", &name, "--tag", "v1", "--format", "json"]);
    assert_eq!(real.code, 0, "{}", real.stderr);
    let links = |run: &Run| -> Vec<Value> {
        lines(run).into_iter().filter(|line| line["type"] == "link").map(|line| line["link"].clone()).collect()
    };
    assert_eq!(links(&dry), links(&real));
    assert_eq!(links(&real).len(), 3);
    let summary = lines(&real).pop().unwrap();
    assert_eq!((&summary["images"], &summary["done"], &summary["dry_run"]), (&1.into(), &3.into(), &false.into()));
    let page = fs::read_to_string(crate::project().join("docs/json.md")).unwrap();
    for field in summary.as_object().unwrap().keys() {
        assert!(page.contains(&format!("`{field}`")), "docs/json.md does not describe {field}");
    }
    assert!(run(root.path(), &["ls"]).stdout.contains("v1  image"));
    let again = run(root.path(), &["undelete", &name, "--tag", "v1"]);
    assert_eq!((again.code, again.stdout.lines().last()), (0, Some("There is nothing to undelete.")));
    let quiet = run(root.path(), &["undelete", &name, "--tag", "v2", "--quiet"]);
    assert_eq!((quiet.code, &*quiet.stdout, &*quiet.stderr), (0, "", ""));
}

#[test]
fn undelete_fails_with_a_reason_and_changes_nothing() {
    let (registry, whole, broken) = registry();
    let root = registry.on_disk();
    let before = files_below(root.path());
    let absent = format!("other@{whole}");
    let (whole, broken) = (format!("team/app@{whole}"), format!("team/broken@{broken}"));
    for (arguments, code, reason) in [
        (vec![&*broken], 1, "has no content in the store"),
        // An incomplete image keeps the other from being linked.
        (vec![&*whole, &*broken], 1, "cannot be undeleted, and nothing was changed"),
        (vec![&*absent], 1, "is not a deleted manifest"),
        (vec![&*whole, "--tag", "../v1"], 1, "is not a valid tag"),
        (vec!["team/app"], 2, "repository@digest"),
        (vec!["../app@sha256:00"], 2, "digest"),
        (vec![], 2, "required"),
        (vec![&*whole, "--all-since", "2h"], 2, "cannot be used with"),
    ] {
        let run = run(root.path(), &[&["undelete"], &*arguments].concat());
        assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(reason), "{arguments:?}: {}", run.stderr);
        let after: Vec<_> = files_below(root.path()).into_iter().filter(|key| !key.starts_with(".regc")).collect();
        assert_eq!(after, before.iter().cloned().collect::<Vec<_>>());
    }
}

#[test]
fn undelete_all_since_reports_what_is_left() {
    let (registry, whole, broken) = registry();
    let root = registry.on_disk();
    let done = run(root.path(), &["undelete", "--all-since", "2h"]);
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert!(done.stdout.contains("1 image undeleted, 1 link written."), "{}", done.stdout);
    assert!(done.stderr.contains(&broken.to_string()), "{}", done.stderr);
    assert!(root.path().join(layout::revision_link("team/app", &whole)).exists());
    let again = run(root.path(), &["undelete", "--all-since", "2h", "--format", "json"]);
    let again = lines(&again);
    assert_eq!((again[0]["type"].as_str(), again.len()), (Some("left"), 2));
    assert_eq!(again[1]["planned"], 0);
}
