//! Plans that are reviewed before they are carried out.

use std::fs;
use std::path::{Path, PathBuf};

use regc_core::registry::layout;
use regc_testkit::{TestRegistry, blobs_below, files_below, layer};
use serde_json::Value;

use crate::common::{Run, regc};

/// A store with untagged images, and a place for a plan of it.
struct Setting {
    registry: TestRegistry,
    root: tempfile::TempDir,
    directory: tempfile::TempDir,
}

impl Setting {
    fn new() -> Self {
        let mut registry = TestRegistry::new();
        for layers in [["base", "old"], ["base", "older"], ["base", "new"]] {
            registry.image("team/app:v1").layers(layers).push();
        }
        registry.image("other:v1").layers(["base"]).push();
        let root = registry.on_disk();
        Self { registry, root, directory: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("plan.jsonl")
    }

    /// Writes a plan of a dry run.
    fn plan(&self, arguments: &[&str]) {
        let file = self.file();
        let plan = ["--dry-run", "--plan-out", file.to_str().unwrap(), "--root", self.root.path().to_str().unwrap()];
        let run = regc([arguments, &plan].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
    }

    fn apply(&self, arguments: &[&str]) -> Run {
        regc([&["apply", self.file().to_str().unwrap()], arguments].concat())
    }

    /// Writes what has been pushed since.
    fn push(&self) {
        self.registry.write_to(self.root.path());
    }

    fn has(&self, key: &str) -> bool {
        self.root.path().join(key).exists()
    }
}

fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn only_what_is_in_both_plans_is_deleted() {
    let mut setting = Setting::new();
    setting.plan(&["gc", "-m"]);
    // Since then, a layer that was garbage has come into use, and another image has lost its tag.
    setting.registry.image("other:v2").layers(["old"]).push();
    setting.registry.image("other:v1").layers(["base", "newer"]).push();
    setting.push();
    let before = files_below(setting.root.path());
    let planned = setting.apply(&["--dry-run", "--json"]);
    assert_eq!((planned.code, files_below(setting.root.path())), (0, before), "{}", planned.stderr);
    let of_type = |name: &str| lines(&planned).into_iter().filter(|line| line["type"] == name).collect::<Vec<_>>();
    let old = layer("old").to_string();
    assert!(of_type("gone").iter().any(|gone| gone["item"]["type"] == "blob" && gone["item"]["digest"] == old));
    assert!(of_type("new").iter().any(|new| new["item"]["type"] == "revision" && new["item"]["repository"] == "other"));

    let done = setting.apply(&[]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("in the plan, but gone or in use again:\n"), "{}", done.stdout);
    assert!(
        done.stdout.contains("not in the plan, so not deleted:\n  tag_index_entry other v1 sha256:"),
        "{}",
        done.stdout
    );
    assert!(setting.has(&layout::blob_data(&layer("old"))), "in use again");
    assert!(!setting.has(&layout::blob_data(&layer("older"))));
    let left = regc(["gc", "-m", "--dry-run", "--json", "--root", setting.root.path().to_str().unwrap()]);
    let left = lines(&left).into_iter().filter(|line| line["type"] == "revision").collect::<Vec<_>>();
    assert!(left.len() == 1 && left[0]["repository"] == "other", "{left:?}");

    let again = setting.apply(&[]);
    assert!(again.code == 0 && again.stdout.contains("0 items of the plan of"), "{}", again.stdout);
}

#[test]
fn blob_stays_as_long_as_a_link_that_was_not_in_the_plan_leads_to_it() {
    let mut setting = Setting::new();
    setting.plan(&["gc", "-m"]);
    // The same layer again, and garbage again: the link to it is new.
    setting.registry.layer("other", "older");
    setting.push();
    let done = setting.apply(&["--json"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(setting.has(&layout::layer_link("other", &layer("older"))));
    assert!(setting.has(&layout::blob_data(&layer("older"))), "{}", done.stdout);
    assert!(!setting.has(&layout::blob_data(&layer("old"))));
}

#[test]
fn deletions_are_planned_and_applied_too() {
    for arguments in [&["rm", "team/app"][..], &["prune", "--keep", "0", "--repository", "team/*"]] {
        let mut setting = Setting::new();
        setting.plan(arguments);
        setting.registry.image("team/app:v2").layers(["late"]).push();
        setting.push();
        let unasked = setting.apply(&[]);
        assert_eq!(unasked.code, 1, "{}", unasked.stdout);
        let done = setting.apply(&["--yes", "--quiet"]);
        assert_eq!((done.code, &*done.stdout, &*done.stderr), (0, "", ""), "{arguments:?}");
        let tags = regc(["ls", "--tags-only", "--root", setting.root.path().to_str().unwrap()]).stdout;
        assert_eq!(tags, "other:v1\nteam/app:v2\n", "{arguments:?}");
        assert!(setting.has(&layout::blob_data(&layer("late"))) && !setting.has(&layout::blob_data(&layer("new"))));
    }
}

#[test]
fn plan_is_applied_to_the_trash_with_the_options_it_was_made_with() {
    let setting = Setting::new();
    setting.plan(&["gc"]);
    assert!(lines(&setting.apply(&["--trash", "--json"])).iter().all(|line| line["type"] != "revision"), "without -m");
    setting.plan(&["gc", "-m", "--trash"]);
    let done = setting.apply(&["--json"]);
    assert!(lines(&done).last().unwrap()["trashed_as"].is_string(), "{}", done.stdout);
    let restored = regc(["trash", "restore", "--root", setting.root.path().to_str().unwrap()]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert!(setting.has(&layout::blob_data(&layer("older"))));
}

#[test]
fn plan_that_is_not_what_was_reviewed_is_refused() {
    let setting = Setting::new();
    setting.plan(&["gc", "-m"]);
    let text = fs::read_to_string(setting.file()).unwrap();
    let blobs = blobs_below(setting.root.path());
    let refused = |text: &str, reason: &str| {
        fs::write(setting.file(), text).unwrap();
        let run = setting.apply(&[]);
        assert!(run.code == 1 && run.stderr.contains(reason), "{reason}: {}", run.stderr);
        assert_eq!(blobs_below(setting.root.path()), blobs, "{reason}");
    };
    let blob = text.lines().find(|line| line.contains("\"blob\"")).unwrap();
    refused(&text.replace(&format!("{blob}\n"), ""), "it was changed");
    refused(&text.replace("\"-m\"", "\"-m\",\"--tidy\""), "it was changed");
    refused(&text[..text.len() / 2], "it is incomplete");
    refused("", "it is incomplete");
    refused("{\"items\":[]}\n{\"items\":[]}\n", "it is incomplete");
    refused(&text.replace(setting.root.path().to_str().unwrap(), "/another"), "it was changed");
    assert_eq!(regc(["gc", "--plan-out", "x", "--root", "/nowhere"]).code, 2, "only a dry run writes a plan");
}

#[test]
fn plan_of_another_version_is_refused_with_that_version() {
    let setting = Setting::new();
    setting.plan(&["gc", "-m"]);
    let text = fs::read_to_string(setting.file()).unwrap();
    let this = env!("CARGO_PKG_VERSION");
    let rewritten = |changed: String| {
        // Whole, as the other version has written it.
        let before = &changed[..changed.trim_end().rfind('\n').unwrap() + 1];
        let digest = regc_testkit::sha256(before.as_bytes());
        format!("{before}{{\"type\":\"end\",\"items\":1,\"sha256\":\"{digest}\"}}\n")
    };
    let made_by = format!("\"regc\":\"{this}\"");
    assert!(text.contains(&made_by) && text.contains("\"schema_version\":2"), "{text}");
    for (plan, reason) in [
        (
            rewritten(text.replace(&made_by, "\"regc\":\"9.9.9\"")),
            format!(
                "it was made by regc 9.9.9, but this is regc {this}; apply it with regc 9.9.9, or write it again with --plan-out"
            ),
        ),
        // One whose other lines are written otherwise.
        (
            "{\"type\":\"plan\",\"schema_version\":7,\"regc\":\"9.9.9\",\"new\":1}\nsomething else\n".to_owned(),
            "it was made by regc 9.9.9".to_owned(),
        ),
        (
            rewritten(text.replace("\"schema_version\":2", "\"version\":1")),
            format!(
                "it was made by another build of regc {this}, in version 1 of the format, but this build uses version 2; write it again"
            ),
        ),
    ] {
        fs::write(setting.file(), plan).unwrap();
        let blobs = blobs_below(setting.root.path());
        let run = setting.apply(&[]);
        assert!(run.code == 1 && run.stderr.contains(&reason), "{reason}: {}", run.stderr);
        assert!(run.stderr.contains(setting.file().to_str().unwrap()), "{}", run.stderr);
        assert_eq!(blobs_below(setting.root.path()), blobs);
    }
}

#[test]
fn plan_of_another_store_is_refused() {
    let (setting, directory) = (Setting::new(), tempfile::tempdir().unwrap());
    let config = |root: &Path| {
        let storage = format!("{{filesystem: {{rootdirectory: {}}}}}", root.display());
        crate::config(&directory, &storage, "")
    };
    let path = config(setting.root.path());
    let file = setting.file();
    let run = regc(["gc", "-d", "--plan-out", file.to_str().unwrap(), path.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let other = Setting::new();
    config(other.root.path());
    let before = blobs_below(other.root.path());
    let run = setting.apply(&[]);
    assert!(run.code == 1 && run.stderr.contains("the plan is for the store"), "{}{}", run.stdout, run.stderr);
    assert_eq!(blobs_below(other.root.path()), before);
}
