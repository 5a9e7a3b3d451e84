//! `regc ls`: what is in a store.

use std::fs;

use regc_core::registry::layout;
use regc_testkit::{TestRegistry, sha256};
use serde_json::Value;

use crate::common::{Run, regc};

/// An index of two platforms with a signature, an image that has lost its tag, and one that is missing.
fn registry() -> TestRegistry {
    let mut registry = TestRegistry::new();
    let platforms = ["a", "b"].map(|name| registry.image("team/app").layers(["base", name]).push());
    let index = registry.index("team/app:v1").manifests(platforms).push();
    registry.image("team/app").layers(["signature"]).subject(index).push();
    registry.image("team/app:v2").layers(["base", "old"]).push();
    registry.image("team/app:v2").layers(["base", "new"]).push();
    registry.image("deep/er/app:latest").layers(["base"]).push();
    let lost = registry.image("other:lost").layers(["x"]).push();
    registry.remove(&layout::blob_data(&lost));
    registry.put(layout::tag_link("other", "garbled"), "");
    registry
}

fn ls(arguments: &[&str]) -> Run {
    let root = registry().on_disk();
    regc([&["ls", "--root", root.path().to_str().unwrap()], arguments].concat())
}

fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn tags_only_lists_matching_tags() {
    let all = ["deep/er/app:latest", "other:garbled", "other:lost", "team/app:v1", "team/app:v2"];
    for (patterns, expected) in [
        (&[][..], &all[..]),
        (&["team/*"], &all[3..]),
        (&["*"], &all[1..3]),
        (&["**"], &all),
        (&["**/app"], &[all[0], all[3], all[4]]),
        (&["**:v*"], &all[3..]),
        (&["other", "team/app:v1"], &all[1..4]),
    ] {
        let run = ls(&[&["--tags-only"], patterns].concat());
        assert_eq!(run.stdout.lines().collect::<Vec<_>>(), expected, "{patterns:?}");
        assert_eq!(run.code, 0);
    }
    for nothing in ["nowhere", "app", "team/app:v3"] {
        let run = ls(&["--tags-only", nothing]);
        let told = run.stderr.lines().next();
        assert_eq!((run.code, &*run.stdout, told), (1, "", Some(&*format!("regc: nothing matches {nothing}"))));
    }
    let wrong = ls(&["team/["]);
    assert!(wrong.code == 2 && wrong.stderr.contains("invalid pattern"), "{}", wrong.stderr);
}

#[test]
fn ls_describes_tagged_images() {
    let run = ls(&["--format", "json", "--tree", "team/*", "other"]);
    let lines = lines(&run);
    let tag = |name: &str| lines.iter().find(|line| line["tag"] == name).unwrap();
    let index = &tag("v1")["image"];
    let tree = |digest: &Value| {
        let mut trees = lines.iter().filter(|line| line["type"] == "image" && line["image"]["digest"] == *digest);
        let tree = trees.next().unwrap();
        assert!(trees.next().is_none(), "each image has one line");
        tree
    };
    let of_index = tree(&index["digest"]);
    assert_eq!((&index["kind"], of_index["children"].as_array().unwrap().len()), (&"index".into(), 2));
    assert_eq!(of_index["referrers"].as_array().unwrap().len(), 1);
    let children = of_index["children"].as_array().unwrap().iter();
    let children: u64 = children.map(|child| tree(child)["image"]["bytes"].as_u64().unwrap()).sum();
    let base = regc_testkit::layer_content("base").len() as u64;
    let own =
        registry().get(&layout::blob_data(&index["digest"].as_str().unwrap().parse().unwrap())).unwrap().len() as u64;
    assert_eq!(index["bytes"], children - base + own, "what both platforms have is pulled once");
    assert_eq!(tag("v2")["image"]["kind"], "image");
    assert_eq!((&tag("lost")["image"], &tag("garbled")["digest"]), (&Value::Null, &Value::Null));

    let people = ls(&[]);
    assert_eq!(people.code, 0);
    for text in ["team/app\n", "missing  ", "garbled", "index"] {
        assert!(people.stdout.contains(text), "{text}: {}", people.stdout);
    }
    assert!(ls(&["--tree"]).stdout.contains("attached  "));
}

#[test]
fn ls_lists_untagged_manifests() {
    let untagged = lines(&ls(&["--untagged", "--format", "json"]));
    let digests: Vec<&str> = untagged.iter().map(|line| line["image"]["digest"].as_str().unwrap()).collect();
    let mut registry = registry();
    let expected = registry.image("team/app").layers(["base", "old"]).push();
    assert_eq!(digests, [expected.to_string()], "not the platforms, not the signature");
    assert!(ls(&["--untagged"]).stdout.contains("\nteam/app\n  image"));
}

#[test]
fn manifests_attached_to_each_other_are_listed_once() {
    let mut registry = TestRegistry::new();
    // A manifest cannot hold its own digest, but in a broken store, two manifests can be attached to each other.
    let (one, other) = (sha256(b"one"), sha256(b"other"));
    for (digest, subject) in [(one, other), (other, one)] {
        let text = format!(r#"{{"schemaVersion":2,"subject":{{"digest":"{subject}"}}}}"#);
        registry.put(layout::blob_data(&digest), text);
        registry.put(layout::revision_link("app", &digest), digest.to_string());
    }
    registry.tag("app", "v1", &one);
    let root = registry.on_disk();
    let run = regc(["ls", "--tree", "--root", root.path().to_str().unwrap()]);
    assert_eq!((run.code, run.stdout.lines().count()), (0, 6), "with what is wrong with it: {}", run.stdout);
    fs::remove_dir_all(root.path().join("docker")).unwrap();
    assert_eq!(regc(["ls", "--root", root.path().to_str().unwrap()]).code, 1);
    assert_eq!(regc(["ls", "--allow-empty", "--root", root.path().to_str().unwrap()]).code, 0);
}

#[test]
fn each_pattern_that_matches_nothing_is_named() {
    for arguments in [&[][..], &["--tags-only"], &["--format", "json"], &["--untagged"], &["--tree"]] {
        let run = ls(&[arguments, &["team/app:v1", "nosuch", "team/app", "team/app:v3"]].concat());
        assert_eq!(run.code, 1, "{arguments:?}");
        let told = "regc: nothing matches nosuch\nregc: nothing matches team/app:v3\n";
        assert!(run.stderr.starts_with(told), "{arguments:?}: {}", run.stderr);
        assert!(run.stdout.contains("team/app"), "the rest is listed: {}", run.stdout);
    }
    assert_eq!(ls(&["team/app", "team/app:v*"]).code, 0);
    let run = ls(&["--deleted", "nosuch"]);
    assert_eq!((run.code, run.stderr.as_str()), (1, "regc: nothing matches nosuch\n"));
}

#[test]
fn ls_marks_tags_that_cannot_be_pulled() {
    let mut registry = registry();
    let unlinked = registry.image("hurt:unlinked").layers(["base"]).push();
    registry.remove(&layout::revision_link("hurt", &unlinked));
    registry.image("hurt:torn").layers(["torn"]).push();
    registry.remove(&layout::blob_data(&regc_testkit::layer("torn")));
    let root = registry.on_disk();
    let root = root.path().to_str().unwrap();
    let people = regc(["ls", "--root", root]);
    assert_eq!(people.code, 0, "{}", people.stderr);
    for (tag, mark) in [
        ("unlinked", format!("RG021: a tag names a manifest that the repository does not link: {unlinked}")),
        ("torn", format!("RG024: a layer or configuration is missing: {}", regc_testkit::layer("torn"))),
        ("garbled", "RG012: a tag's link is missing, empty or garbled".to_owned()),
        ("lost", "RG020: a manifest is linked, but its content is missing: sha256:".to_owned()),
    ] {
        let mut lines = people.stdout.lines().skip_while(|line| !line.starts_with(&format!("  {tag} ")));
        let after = lines.nth(1).unwrap_or_default();
        assert!(after.starts_with(&format!("    {mark}")), "{tag}: {}", people.stdout);
    }
    assert_eq!(people.stdout.matches("RG0").count(), 4, "{}", people.stdout);
    let json = lines(&regc(["ls", "--format", "json", "--root", root]));
    let problem = |tag: &str| &json.iter().find(|line| line["tag"] == tag).unwrap()["problem"];
    assert_eq!(*problem("v1"), Value::Null);
    assert_eq!((&problem("torn")["code"], &problem("torn")["name"]), (&"RG024".into(), &"missing_blob".into()));
    assert_eq!(problem("unlinked")["digest"], unlinked.to_string());
}

/// Tags of two repositories with numbers in their names, pushed one after the other, each larger than the one before.
fn numbered() -> TestRegistry {
    let mut registry = TestRegistry::new();
    for (number, reference) in ["b:v10", "b:v2", "a:1.10", "a:1.9"].into_iter().enumerate() {
        let image = registry.image(reference).layers([&*"x".repeat(1 + number * 50)]).push();
        assert!(registry.get(&layout::blob_data(&image)).is_some());
    }
    registry
}

fn tags(root: &std::path::Path, arguments: &[&str]) -> Vec<String> {
    let run = regc([&["ls", "--tags-only", "--root", root.to_str().unwrap()], arguments].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn tags_are_listed_in_the_order_that_is_asked_for() {
    let root = numbered().on_disk();
    let pushed = |key: &str, hour: u64| {
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 + hour * 3600);
        fs::File::open(root.path().join(key)).unwrap().set_modified(time).unwrap();
    };
    for (hour, (repository, tag)) in [("a", "1.9"), ("b", "v2"), ("a", "1.10"), ("b", "v10")].into_iter().enumerate() {
        pushed(&layout::tag_link(repository, tag), hour as u64);
    }
    let by_name = ["a:1.9", "a:1.10", "b:v2", "b:v10"];
    let by_size = ["a:1.9", "a:1.10", "b:v2", "b:v10"];
    let by_time = ["b:v10", "a:1.10", "b:v2", "a:1.9"];
    for (arguments, expected) in [
        (&[][..], by_name.to_vec()),
        (&["--sort", "name"], by_name.to_vec()),
        (&["--reverse"], by_name.iter().copied().rev().collect()),
        (&["--sort", "size"], by_size.to_vec()),
        (&["--sort", "size", "--reverse"], by_size.iter().copied().rev().collect()),
        (&["--sort", "pushed"], by_time.to_vec()),
        (&["--sort", "pushed", "-n", "1"], by_time[..1].to_vec()),
        (&["-n", "3"], by_name[..3].to_vec()),
        (&["-n", "0"], Vec::new()),
        (&["--sort", "pushed", "b"], vec!["b:v10", "b:v2"]),
    ] {
        assert_eq!(tags(root.path(), arguments), expected, "{arguments:?}");
        let path = root.path().to_str().unwrap();
        let lines = lines(&regc([&["ls", "--json", "--root", path], arguments].concat()));
        let names = lines.iter().map(|line| format!("{}:{}", line["repository"], line["tag"]).replace('"', ""));
        assert_eq!(names.collect::<Vec<_>>(), expected, "{arguments:?}");
    }
    let path = root.path().to_str().unwrap();
    let largest = regc(["ls", "--sort", "size", "-n", "1", "--root", path]).stdout;
    let largest: Vec<&str> = largest.lines().collect();
    assert!(largest[0].starts_with("IMAGE") && largest[1].starts_with("a:1.9  "), "{largest:?}");
    assert_eq!(largest[2..], ["and 3 more"]);
    assert_eq!(regc(["ls", "--untagged", "-n", "1", "--root", path]).code, 2);
}
