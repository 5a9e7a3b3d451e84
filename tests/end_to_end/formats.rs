//! The output formats.

use regc_core::Digest;
use regc_core::registry::layout;
use regc_testkit::{TestRegistry, layer};
use serde_json::Value;

use crate::common::{Run, gc, regc};
use crate::{damaged, registry};

fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_type<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == name).collect()
}

#[test]
fn json_lists_items_and_summary() {
    let root = damaged().on_disk();
    let run = gc(root.path(), &["-m", "-d", "--format", "json"]);
    assert_eq!(run.code, 3);
    let lines = lines(&run);
    let (summary, items) = lines.split_last().unwrap();
    let nothing = serde_json::json!({
        "tag_index_entries": 0, "tags": 0, "revisions": 0, "layer_links": 0, "blobs": 0, "bytes": 0,
        "uploads": 0, "upload_bytes": 0, "files": 0, "file_bytes": 0, "repositories": 0,
    });
    let expected = serde_json::json!({
        "type": "summary", "schema_version": 3, "dry_run": true, "delete_untagged": true,
        "repositories": 3, "protected_repositories": 0, "shared_repositories": 0, "tags": 3, "manifests": 4,
        "marked": 9, "live_blobs": 8, "live_bytes": summary["live_bytes"],
        "garbage": {
            "tag_index_entries": 1, "tags": 0, "revisions": 1, "layer_links": 4,
            "blobs": 6, "bytes": summary["garbage"]["bytes"],
            "uploads": 0, "upload_bytes": 0, "files": 0, "file_bytes": 0, "repositories": 0,
        },
        "removed": nothing, "spared": nothing, "evicted": 0, "stale_cache": null, "young_blobs": 0, "young_bytes": 0,
        "hard_linked_bytes": 0,
        "trashed_as": null, "deleted_runs": [], "trash_bytes": 0, "interrupted": false,
        "failures": 0, "findings": 1, "ignored": 0,
    });
    assert_eq!(*summary, expected);
    let bytes: u64 = of_type(items, "blob").iter().map(|blob| blob["bytes"].as_u64().unwrap()).sum();
    assert_eq!(summary["garbage"]["bytes"], bytes);
    for (name, total) in [
        ("blob", "blobs"),
        ("revision", "revisions"),
        ("layer_link", "layer_links"),
        ("tag_index_entry", "tag_index_entries"),
    ] {
        assert_eq!(of_type(items, name).len() as u64, summary["garbage"][total], "{name}");
    }
    let entry = of_type(items, "tag_index_entry")[0];
    assert_eq!((&entry["repository"], &entry["tag"]), (&"team/app".into(), &"v1".into()));
    let finding = of_type(items, "finding")[0];
    assert_eq!((&finding["name"], &finding["repository"]), (&"missing_blob".into(), &"hurt".into()));
}

#[test]
fn json_is_the_same_for_a_real_run_but_for_what_was_done() {
    let root = damaged().on_disk();
    let dry = lines(&gc(root.path(), &["-m", "-d", "--format", "json"]));
    let real = lines(&gc(root.path(), &["-m", "--format", "json"]));
    let (dry_summary, dry_items) = dry.split_last().unwrap();
    let (real_summary, real_items) = real.split_last().unwrap();
    assert_eq!(dry_items, real_items);
    let mut expected = dry_summary.clone();
    expected["dry_run"] = false.into();
    expected["removed"] = dry_summary["garbage"].clone();
    assert_eq!(*real_summary, expected);
}

#[test]
fn registry_format_matches_the_registrys_output() {
    let root = registry().on_disk();
    let run = gc(root.path(), &["-m", "-d", "--format", "registry"]);
    let names = registry().with_names(&run.stdout);
    assert_eq!(
        names,
        "\
other
other: marking manifest <manifest other:v1>\x20
other: marking blob <config of other:v1>
other: marking blob <layer base>
team/app
team/app: marking manifest <manifest team/app:v1>\x20
team/app: marking blob <config of team/app:v1>
team/app: marking blob <layer new>
manifest eligible for deletion: {team/app <manifest team/app:v1> [v1]}

6 blobs marked, 6 blobs and 1 manifests eligible for deletion
blob eligible for deletion: <manifest team/app:v1>
blob eligible for deletion: <layer old>
blob eligible for deletion: <layer deleted>
blob eligible for deletion: <config of team/app:v0>
blob eligible for deletion: <config of team/app:v1>
blob eligible for deletion: <manifest team/app:v0>
team/app: layer link eligible for deletion: <layer old>
team/app: layer link eligible for deletion: <layer deleted>
team/app: layer link eligible for deletion: <config of team/app:v0>
team/app: layer link eligible for deletion: <config of team/app:v1>
"
    );
}

#[test]
fn output_does_not_depend_on_threads() {
    let registry = regc_testkit::generate::registry(11, Default::default());
    let root = registry.on_disk();
    for format in ["human", "json", "registry"] {
        let run = || gc(root.path(), &["-m", "-d", "--format", format]).stdout;
        let first = run();
        for _ in 0..5 {
            assert_eq!(run(), first, "{format}");
        }
    }
}

#[test]
fn human_report_names_damage_and_remedy() {
    let run = gc(damaged().on_disk().path(), &["-d"]);
    assert_eq!(run.code, 3);
    assert!(run.stdout.contains("Damage: 1 finding\n  RG024 hurt: manifest sha256:"), "{}", run.stdout);
    assert!(run.stdout.contains("    remedy: push the image again"), "{}", run.stdout);
}

#[test]
fn quiet_run_reports_damage_on_standard_error() {
    let run = gc(damaged().on_disk().path(), &["-d", "--format", "registry"]);
    assert!(run.stderr.starts_with("regc: hurt: manifest sha256:"), "{}", run.stderr);
    assert!(!run.stdout.contains("cannot be pulled"));
}

#[test]
fn quiet_does_not_hide_damage() {
    let run = gc(damaged().on_disk().path(), &["-d", "-q"]);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""));
    assert!(run.stderr.contains("cannot be pulled"), "{}", run.stderr);
}

#[test]
fn quiet_prints_nothing_but_a_programs_summary() {
    for (format, expected) in [("human", 0), ("registry", 0), ("json", 1)] {
        let run = gc(registry().on_disk().path(), &["-q", "--format", format]);
        assert_eq!((run.code, run.stdout.lines().count(), run.stderr.as_str()), (0, expected, ""), "{format}");
    }
}

#[test]
fn gc_escapes_control_characters_in_names() {
    let mut registry = registry();
    registry.image("\u{1b}]0;owned\u{7}:v1").layers(["new"]).push();
    let root = registry.on_disk();
    for format in ["human", "json", "registry"] {
        let run = gc(root.path(), &["-m", "-d", "--format", format]);
        let printed = run.stdout + &run.stderr;
        assert!(printed.contains("owned"), "{format}");
        assert!(printed.chars().all(|c| c == '\n' || !c.is_control()), "{format}");
    }
}

#[test]
fn gc_and_verify_report_the_same_thing_alike() {
    type Damage = fn(&mut TestRegistry);
    let damages: [(&str, Damage); 7] = [
        ("missing blob", |registry| drop(registry.remove(&layout::blob_data(&layer("a"))))),
        ("damaged manifest", |registry| {
            let manifest = manifest(registry);
            registry.put(layout::blob_data(&manifest), "{}");
        }),
        ("unknown manifest", |registry| {
            registry.manifest("app:v2", "no manifest");
        }),
        ("missing manifest", |registry| {
            let manifest = manifest(registry);
            registry.remove(&layout::blob_data(&manifest));
        }),
        ("garbled revision link", |registry| {
            let manifest = manifest(registry);
            registry.put(layout::revision_link("app", &manifest), "garbled");
        }),
        ("garbled tag", |registry| registry.put(layout::tag_link("app", "v1"), "")),
        ("unserved repository", |registry| {
            registry.image("app~:v1").layers(["b"]).push();
        }),
    ];
    for (name, damage) in damages {
        let mut registry = TestRegistry::new();
        registry.image("app:v1").layers(["a"]).push();
        damage(&mut registry);
        let root = registry.on_disk();
        let path = root.path().to_str().unwrap();
        let same = |run: &Run| -> Vec<Vec<Value>> {
            let lines = lines(run);
            let findings = of_type(&lines, "finding").into_iter();
            // Content belongs to no repository; a collection reports it for each repository that it keeps because of it.
            let fields = ["code", "name", "severity", "digest", "path", "remedy"];
            findings.map(|finding| fields.map(|field| finding[field].clone()).to_vec()).collect()
        };
        let collected = same(&gc(root.path(), &["-m", "-d", "--format", "json", "--allow-empty"]));
        let verified = same(&regc(["verify", "--root", path, "--format", "json"]));
        assert!(!collected.is_empty(), "{name}");
        for finding in collected {
            assert!(verified.contains(&finding), "{name}: {finding:?} is not among {verified:?}");
        }
    }
}

/// Returns the only manifest of `app`.
fn manifest(registry: &TestRegistry) -> Digest {
    let revisions = layout::revisions("app");
    registry.keys().find(|key| key.starts_with(&revisions)).and_then(layout::digest_of_link).unwrap()
}
