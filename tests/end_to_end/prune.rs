//! `regc prune`: deletes what no rule keeps.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use regc_core::registry::layout;
use regc_core::{Algorithm, Digest};
use regc_testkit::{TestRegistry, blobs_below, files_below, layer};
use serde_json::{Value, json};

use crate::common::{Run, gc, regc};

/// The current time in all of these runs.
const NOW: &str = "2026-11-21T00:00:00Z";

fn prune(root: &Path, arguments: &[&str]) -> Run {
    regc([&["prune", "--now", NOW, "--root", root.to_str().unwrap()], arguments].concat())
}

fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn tags(root: &Path) -> Vec<String> {
    let run = regc(["ls", "--tags-only", "--root", root.to_str().unwrap()]);
    run.stdout.lines().map(str::to_owned).collect()
}

/// Sets a tag's push time to this many days ago.
fn pushed(root: &Path, repository: &str, tag: &str, days: u64) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200);
    let link = File::open(root.join(layout::tag_link(repository, tag))).unwrap();
    link.set_modified(now - Duration::from_secs(days * 86_400)).unwrap();
}

/// Sets when a tag was pushed.
fn pushed_at(root: &Path, repository: &str, tag: &str, time: &str) {
    let link = File::open(root.join(layout::tag_link(repository, tag))).unwrap();
    link.set_modified(time.parse::<jiff::Timestamp>().unwrap().into()).unwrap();
}

/// Images in `app` that are named after the time of their push; `friday` and `stable` are one image.
fn dated() -> tempfile::TempDir {
    let mut registry = TestRegistry::new();
    for (tag, _) in DATED {
        let image = registry.image(&format!("app:{tag}")).layers([tag]).push();
        if tag == "friday" {
            registry.tag("app", "stable", &image);
        }
    }
    let root = registry.on_disk();
    for (tag, time) in DATED {
        pushed_at(root.path(), "app", tag, time);
    }
    pushed_at(root.path(), "app", "stable", "2026-11-19T00:00:00Z");
    root
}

/// Days and weeks of UTC: week 47 begins on 2026-11-16, and 2025-12-31 is in the first week of 2026.
const DATED: [(&str, &str); 8] = [
    ("friday", "2026-11-20T23:59:59Z"),
    ("friday-early", "2026-11-20T00:00:00Z"),
    ("thursday", "2026-11-19T23:59:59Z"),
    ("sunday", "2026-11-15T23:59:59Z"),
    ("october", "2026-10-31T10:00:00Z"),
    ("october-early", "2026-10-01T10:00:00Z"),
    ("last-year", "2025-12-31T10:00:00Z"),
    ("last-year-early", "2025-03-01T10:00:00Z"),
];

/// Four images in `app`, the first of which has a second tag, and one in `other`.
fn store() -> tempfile::TempDir {
    let mut registry = TestRegistry::new();
    let mut first = None;
    for n in 1..=4 {
        let name = format!("layer {n}");
        first = first.or(Some(registry.image(&format!("app:v{n}")).layers(["base", &name]).push()));
    }
    registry.tag("app", "stable", &first.unwrap());
    registry.image("other:v1").layers(["base"]).push();
    let root = registry.on_disk();
    for n in 1..=4 {
        pushed(root.path(), "app", &format!("v{n}"), 50 - 10 * n);
    }
    pushed(root.path(), "app", "stable", 60);
    pushed(root.path(), "other", "v1", 100);
    root
}

#[test]
fn images_are_counted_and_not_tags() {
    let root = store();
    assert_eq!(prune(root.path(), &["--yes", "--keep", "3"]).code, 0);
    assert_eq!(tags(root.path()), ["app:v2", "app:v3", "app:v4", "other:v1"]);
    let blobs = blobs_below(root.path());
    assert!(!blobs.contains(&layer("layer 1")) && blobs.contains(&layer("layer 2")) && blobs.contains(&layer("base")));
}

#[test]
fn an_image_stays_if_any_of_its_tags_does() {
    let root = store();
    assert_eq!(prune(root.path(), &["--yes", "--keep", "1", "--keep-tag", "^stable$"]).code, 0);
    assert_eq!(tags(root.path()), ["app:stable", "app:v1", "app:v4", "other:v1"]);
    assert!(blobs_below(root.path()).contains(&layer("layer 1")));
}

#[test]
fn command_line_rules_keep_matching_tags() {
    for (arguments, expected) in [
        (&["--keep-within", "25d"][..], &["app:v3", "app:v4"][..]),
        (&["--keep-within", "25d", "--keep", "1", "--repository", "o*"], &["app", "other:v1"]),
        (&["--keep", "0", "--only-tag", "^v[23]$"], &["app:stable", "app:v1", "app:v4", "other:v1"]),
        (&["--keep", "1", "--by", "name"], &["app:v4", "other:v1"]),
        (&["--keep", "2", "--by", "semver", "--repository", "app"], &["app:v3", "app:v4", "other:v1"]),
        (&["--keep", "0"], &[]),
    ] {
        let root = store();
        let before = tags(root.path());
        let run = prune(root.path(), &[&["--yes"], arguments].concat());
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
        let is_expected = |tag: &String| match expected.contains(&"app") {
            true => tag.starts_with("app:") || expected.contains(&tag.as_str()),
            false => expected.contains(&tag.as_str()),
        };
        let expected: Vec<&String> = before.iter().filter(|tag| is_expected(tag)).collect();
        assert_eq!(tags(root.path()).iter().collect::<Vec<_>>(), expected, "{arguments:?}");
    }
}

#[test]
fn the_newest_image_of_each_period_stays() {
    for (rules, expected) in [
        ("--keep-hourly 2", "friday friday-early"),
        ("--keep-daily 2", "friday thursday"),
        ("--keep-daily 3", "friday sunday thursday"),
        ("--keep-daily all", "friday last-year last-year-early october october-early sunday thursday"),
        ("--keep-weekly 3", "friday october sunday"),
        ("--keep-monthly 2", "friday october"),
        ("--keep-yearly 1", "friday"),
        ("--keep-yearly 9", "friday last-year"),
        ("--keep-daily 1 --keep-weekly 2 --keep-yearly 2", "friday last-year sunday"),
        ("--keep-monthly 2 --keep 2", "friday friday-early october"),
        ("--keep-monthly 2 --keep-within 25h", "friday friday-early october thursday"),
        ("--keep-monthly 2 --keep-tag ^friday", "friday friday-early october thursday"),
        ("--keep-daily 1 --only-tag early$", "friday friday-early last-year october sunday thursday"),
        ("--keep-daily 0 --keep-yearly 1", "friday"),
        ("--keep-yearly 1 --by name", "thursday"),
    ] {
        let root = dated();
        let run = prune(root.path(), &[&["--yes"], &rules.split(' ').collect::<Vec<_>>()[..]].concat());
        assert_eq!(run.code, 0, "{rules}: {}", run.stderr);
        let left = tags(root.path());
        let left: Vec<&str> = left.iter().map(|tag| tag.strip_prefix("app:").unwrap()).collect();
        let mut expected: Vec<&str> = expected.split(' ').collect();
        if expected.contains(&"friday") {
            expected.push("stable");
        }
        expected.sort_unstable();
        assert_eq!(left, expected, "{rules}");
        assert_eq!(blobs_below(root.path()).contains(&layer("friday")), expected.contains(&"friday"), "{rules}");
    }
}

#[test]
fn of_a_day_that_has_images_by_creation_only_those_that_can_be_judged_count() {
    let mut registry = TestRegistry::new();
    for (tag, created) in [
        ("new", "2026-11-19T23:00:00Z"),
        ("zone", "2026-11-20T00:30:00+02:00"),
        ("old", "2026-11-18T10:00:00Z"),
        ("older", "2026-11-17T10:00:00Z"),
        ("epoch", "1970-01-01T00:00:00Z"),
    ] {
        registry.image(&format!("app:{tag}")).layers([tag]).created(created).push();
    }
    registry.image("app:never").layers(["never"]).push();
    let lost = registry.image("app:lost").layers(["lost"]).created("2026-11-20T10:00:00Z").push();
    registry.remove(&layout::revision_link("app", &lost));
    let signed = registry.image("app:signed").layers(["signed"]).created("2026-11-18T09:00:00Z").push();
    registry.image(&format!("app:sha256-{}.sig", signed.hex())).layers(["signature"]).push();
    registry.image("app:sbom").layers(["sbom"]).created("2026-11-20T11:00:00Z").subject(signed).push();
    let root = registry.on_disk();
    let run = prune(root.path(), &["--yes", "--keep-daily", "2", "--by", "created"]);
    assert_eq!(run.code, 3, "a tag is dangling: {}", run.stderr);
    // `zone` was made on the 19th in UTC. What is attached counts for no day, and is deleted with `signed`.
    assert_eq!(tags(root.path()), ["app:epoch", "app:lost", "app:never", "app:new", "app:old"]);
    assert!(run.stderr.contains("2 tags are kept"), "{}", run.stderr);
}

#[test]
fn prune_explains_which_period_keeps_an_image() {
    let root = dated();
    let rules = ["--dry-run", "--explain", "--keep-daily", "2", "--keep-yearly", "all"];
    let run = prune(root.path(), &rules);
    for line in [
        "keep   friday is the newest pushed on 2026-11-20, number 1 of the last 2 days with an image",
        "keep   stable is the newest pushed on 2026-11-20, number 1 of the last 2 days with an image",
        "keep   thursday is the newest pushed on 2026-11-19, number 2 of the last 2 days with an image",
        "keep   last-year is the newest pushed in the year 2025, number 2 of all years with an image",
        "remove sunday is not the newest of any of the last 2 days or of any year",
    ] {
        assert!(run.stdout.contains(&format!("{line}\n")), "{line}: {}", run.stdout);
    }
    let page = fs::read_to_string(crate::project().join("docs/json.md")).unwrap();
    for (option, code) in [
        ("--keep-hourly", "hourly"),
        ("--keep-daily", "daily"),
        ("--keep-weekly", "weekly"),
        ("--keep-monthly", "monthly"),
        ("--keep-yearly", "yearly"),
    ] {
        let run = prune(root.path(), &["--dry-run", "--explain", "--json", option, "1"]);
        let codes: Vec<String> = lines(&run)
            .iter()
            .filter(|line| line["type"] == "decision" && line["keep"] == true)
            .map(|line| line["code"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(codes, [code, code], "{option}: the tags of one image");
        assert!(page.contains(&format!("`{code}`")), "docs/json.md does not tell of {code}");
    }
}

#[test]
fn a_policy_keeps_by_the_calendar() {
    let root = dated();
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("retention.yml");
    let rule = "{repositories: app, keep-daily: 0, keep-monthly: 2}";
    fs::write(&policy, format!("version: 1\ndefaults: {{keep-daily: 2, keep-yearly: all}}\nrules: [{rule}]")).unwrap();
    assert_eq!(prune(root.path(), &["--yes", "--policy", policy.to_str().unwrap()]).code, 0);
    assert_eq!(tags(root.path()), ["app:friday", "app:last-year", "app:october", "app:stable"]);
}

#[test]
fn a_policy_is_checked_without_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("retention.yml");
    let check = |text: &str, format: &[&str]| {
        fs::write(&policy, text).unwrap();
        regc([&["prune", "--check-policy", policy.to_str().unwrap()], format].concat())
    };
    let rules = "version: 1
defaults: {keep: 3}
rules:
- {repositories: 'ci/**', keep-daily: 7, only-tag: ^pr-}
- {repositories: [team/*, tools], keep: all}
- {repositories: [ci/app, team/web]}
- {repositories: '**', keep: 0}
";
    let run = check(rules, &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(
        run.stdout,
        "\
rule 1, ci/**: keeps the 3 images pushed last, the newest pushed in each of the last 7 days with an image and images with a tag \
that does not match ^pr-; deletes all others
rule 2, team/*, tools: keeps all images
rule 3, ci/app, team/web: keeps the 3 images pushed last; deletes all others
  warning: never applies: rules 1, 2 match the same repositories first
rule 4, **: keeps no image; deletes all
Repositories that no rule matches are not changed.
"
    );
    let page = fs::read_to_string(crate::project().join("docs/json.md")).unwrap();
    let documented = |lines: &[Value]| {
        for field in lines.iter().flat_map(|line| line.as_object().unwrap().keys()) {
            assert!(page.contains(&format!("`{field}`")), "docs/json.md does not tell of {field}");
        }
    };
    let run = check(rules, &["--json"]);
    let json = lines(&run);
    assert_eq!((run.code, json.len()), (0, 5), "{}", run.stderr);
    assert_eq!(
        json[2],
        json!({
            "type": "rule", "number": 3, "repositories": ["ci/app", "team/web"],
            "keeps": "keeps the 3 images pushed last; deletes all others", "never_applies_after": [1, 2],
        })
    );
    assert_eq!(json[3]["never_applies_after"], json!([]));
    let summary = json!({ "type": "summary", "schema_version": 3, "valid": true, "rules": 4, "warnings": 1 });
    assert_eq!(json[4], summary);
    documented(&json);

    let wrong = "version: 1\nrules:\n- repositories: app\n  keep-within: 30\n";
    let run = check(wrong, &[]);
    assert_eq!((run.code, &*run.stdout), (1, ""));
    let error = "line 4, column 16: rule 1, keep-within: invalid type: integer `30`, expected a duration";
    let error = format!("regc: {}: {error}; for example `keep-within: 30d`\n", policy.display());
    assert_eq!(run.stderr, error);
    let run = check(wrong, &["--format", "json"]);
    let json = lines(&run);
    assert_eq!((run.code, &*run.stderr), (1, ""));
    assert_eq!(
        json[0],
        json!({
            "type": "policy_error", "line": 4, "column": 16, "rule": 1, "example": "keep-within: 30d",
            "message": "keep-within: invalid type: integer `30`, expected a duration",
        })
    );
    assert_eq!((json.len(), &json[1]["valid"]), (2, &false.into()));
    documented(&json);

    let path = policy.to_str().unwrap();
    for arguments in [&["--policy", path][..], &["--keep", "1"], &["--dry-run"], &["--root", "/nowhere"]] {
        assert_eq!(check(rules, arguments).code, 2, "{arguments:?}");
    }
    let nowhere = regc(["prune", "--check-policy", "/nowhere/retention.yml"]);
    assert!(nowhere.code == 1 && nowhere.stderr.contains("/nowhere/retention.yml"), "{}", nowhere.stderr);
}

#[test]
fn prune_deletes_attached_images_with_their_owner() {
    let mut registry = TestRegistry::new();
    let mut images: Vec<(Digest, Vec<Digest>)> = Vec::new();
    for version in ["v1", "v2"] {
        let platforms: Vec<Digest> = ["amd64", "arm64"]
            .iter()
            .map(|platform| {
                registry.image(&format!("app:{version}-{platform}")).layers([format!("{version} {platform}")]).push()
            })
            .collect();
        let index = registry.index(&format!("app:{version}")).manifests(platforms.clone()).push();
        let mut all = platforms.clone();
        for (of, end) in [(index, ".sig"), (platforms[0], ".att"), (platforms[1], ".sbom"), (index, "")] {
            let tag = format!("app:sha256-{}{end}", of.hex());
            all.push(registry.image(&tag).layers([format!("{end} of {of}")]).push());
        }
        let sbom = registry.image("app").layers([format!("sbom of {version}")]).subject(index).push();
        all.extend([sbom, registry.image("app").layers([format!("signature of {version}")]).subject(sbom).push()]);
        all.push(index);
        images.push((index, all));
    }
    let root = registry.on_disk();
    for tag in tags(root.path()) {
        // What belongs to the old one is as recent as the new one.
        let days = if tag.starts_with("app:v1") { 50 } else { 1 };
        pushed(root.path(), "app", tag.strip_prefix("app:").unwrap(), days);
    }
    let run = prune(root.path(), &["--yes", "--keep", "1", "--explain"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let blobs = blobs_below(root.path());
    assert!(images[0].1.iter().all(|digest| !blobs.contains(digest)), "{}", run.stdout);
    assert!(images[1].1.iter().all(|digest| blobs.contains(digest)), "{}", run.stdout);
    assert_eq!(tags(root.path()).len(), 7, "the index, its platforms, and what was made for them");
    for (index, fate) in [(images[0].0, "is deleted"), (images[1].0, "is kept")] {
        let line = format!("sha256-{}.sig belongs to {index}, which {fate}", index.hex());
        assert!(run.stdout.contains(&line), "{line}: {}", run.stdout);
    }
    let decided = decide_again(root.path());
    assert!(decided.stdout.contains("There is nothing to remove."), "{}", decided.stdout);
}

fn decide_again(root: &Path) -> Run {
    prune(root, &["--dry-run", "--keep", "1"])
}

#[test]
fn prune_keeps_images_tagged_elsewhere() {
    let mut registry = TestRegistry::new();
    let shared = registry.image("app:old").layers(["shared"]).push();
    registry.image("app:new").layers(["new"]).push();
    registry.image("other:v1").layers(["shared"]).push();
    registry.index("app:index").manifests([shared]).push();
    let root = registry.on_disk();
    for (tag, days) in [("old", 50), ("new", 2), ("index", 1)] {
        pushed(root.path(), "app", tag, days);
    }
    assert_eq!(prune(root.path(), &["--yes", "--keep", "1"]).code, 0);
    assert_eq!(tags(root.path()), ["app:index", "app:old", "other:v1"], "old is part of the index");
    assert!(root.path().join(layout::revision_link("app", &shared)).exists());
}

#[test]
fn prune_counts_no_broken_images() {
    let mut registry = TestRegistry::new();
    registry.image("app:good").layers(["a"]).push();
    let unlinked = registry.image("app:unlinked").layers(["b"]).push();
    registry.remove(&layout::revision_link("app", &unlinked));
    let lost = registry.image("app:lost").layers(["c"]).push();
    registry.remove(&layout::blob_data(&lost));
    let root = registry.on_disk();
    pushed(root.path(), "app", "good", 50);
    let run = prune(root.path(), &["--dry-run", "--keep", "1", "--explain"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(
        run.stdout.contains("keep   good is number 1 of the 1") && !run.stdout.contains("  remove "),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("the tag unlinked names sha256:"), "{}", run.stdout);
}

#[test]
fn prune_keeps_images_attached_through_untagged_manifests() {
    let mut registry = TestRegistry::new();
    let platform = registry.image("app:platform").layers(["a"]).push();
    let inner = registry.index("app").manifests([platform]).push();
    registry.index("app:latest").manifests([inner]).push();
    registry.image("app:sbom").layers(["sbom"]).subject(inner).push();
    registry.image("app:other").layers(["b"]).push();
    let root = registry.on_disk();
    assert_eq!(prune(root.path(), &["--yes", "--keep", "0", "--keep-tag", "latest"]).code, 0);
    assert_eq!(tags(root.path()), ["app:latest", "app:platform", "app:sbom"]);
}

#[test]
fn tag_of_unknown_age_is_kept_and_chart_age_is_read_from_annotations() {
    let mut registry = TestRegistry::new();
    registry.image("app:old").layers(["a"]).created("2024-01-01T00:00:00Z").push();
    registry.image("app:new").layers(["b"]).created("2026-11-20T00:00:00.123456789Z").push();
    registry.image("app:never").layers(["c"]).push();
    registry.image("app:epoch").layers(["d"]).created("1970-01-01T00:00:00Z").push();
    registry.image("app:garbled").layers(["e"]).push();
    registry.put(layout::tag_link("app", "garbled"), "");
    for (tag, created) in [("chart-old", "2024-01-01T00:00:00Z"), ("chart-new", "2026-11-20T00:00:00Z")] {
        let config = registry.blob(tag);
        let config = json!({ "mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": config.to_string() });
        let annotations = json!({ "org.opencontainers.image.created": created, "version": "1" });
        let chart = json!({ "schemaVersion": 2, "config": config, "layers": [], "annotations": annotations });
        registry.manifest(&format!("app:{tag}"), chart.to_string());
    }
    let root = registry.on_disk();
    let run = prune(root.path(), &["--yes", "--keep-within", "30d", "--by", "created", "--format", "json"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert_eq!(tags(root.path()), ["app:chart-new", "app:epoch", "app:garbled", "app:never", "app:new"]);
    let findings: Vec<String> = lines(&run)
        .iter()
        .filter(|line| line["type"] == "finding")
        .map(|line| line["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(findings, ["garbled_tag"]);
    assert!(run.stderr.contains("2 tags are kept"), "{}", run.stderr);
    let by_push = prune(root.path(), &["--dry-run", "--keep", "1"]);
    assert!(!by_push.stdout.contains("cannot be read when"), "nobody asks for age: {}", by_push.stdout);
}

#[test]
fn prune_explains_every_tag_deterministically() {
    let root = store();
    let explain = || prune(root.path(), &["--dry-run", "--keep", "1", "--keep-tag", "stable", "--explain"]);
    let run = explain();
    for line in [
        "The time is 2026-11-21T00:00:00Z.",
        "keep   stable matches keep-tag stable",
        "keep   v1 is the same image as stable, which matches keep-tag stable",
        "remove v2 is number 3, not among the 1 most recently pushed",
        "keep   v4 is number 1 of the 1 most recently pushed",
    ] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
    assert_eq!(run.stdout, explain().stdout);
    let json = lines(&prune(root.path(), &["--dry-run", "--keep", "1", "--explain", "--format", "json"]));
    assert_eq!(json[0], serde_json::json!({ "type": "rules", "now": NOW }));
    let decisions: Vec<&Value> = json.iter().filter(|line| line["type"] == "decision").collect();
    assert_eq!(decisions.len(), tags(root.path()).len());
    let page = fs::read_to_string(crate::project().join("docs/json.md")).unwrap();
    for field in decisions[0].as_object().unwrap().keys() {
        assert!(page.contains(&format!("`{field}`")), "docs/json.md does not tell of {field}");
    }
}

#[test]
fn dry_run_predicts_freed_bytes() {
    let bytes = |root: &Path| -> u64 {
        let files = files_below(root).into_iter().filter(|key| key.ends_with("/data"));
        files.map(|key| fs::metadata(root.join(key)).unwrap().len()).sum()
    };
    for rules in [&["--keep", "1"][..], &["--keep", "0"], &["--keep-within", "15d"], &["--keep", "2", "--by", "name"]] {
        let root = store();
        let dry = lines(&prune(root.path(), &[&["--dry-run", "--format", "json"], rules].concat()));
        let before = bytes(root.path());
        let real = lines(&prune(root.path(), &[&["--yes", "--format", "json"], rules].concat()));
        let (told, done) = (&dry.last().unwrap()["garbage"], &real.last().unwrap()["removed"]);
        assert_eq!(told, done, "{rules:?}");
        assert_eq!(told["bytes"], before - bytes(root.path()), "{rules:?}");
        assert!(told["bytes"].as_u64().unwrap() > 0);
        let left = gc(root.path(), &["-d", "-m", "--allow-empty", "--format", "json", "-q"]);
        assert_eq!(lines(&left)[0]["garbage"]["blobs"], 0, "{rules:?}: nothing is left to collect");
    }
}

#[test]
fn policy_applies_the_first_matching_rule() {
    let root = store();
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("retention.yml");
    let run = |text: &str| {
        fs::write(&policy, text).unwrap();
        prune(root.path(), &["--dry-run", "--format", "json", "--policy", policy.to_str().unwrap()])
    };
    let removed = |text: &str| -> Vec<String> {
        let run = run(text);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let tags = lines(&run).into_iter().filter(|line| line["type"] == "tag");
        tags.map(|line| format!("{}:{}", line["repository"].as_str().unwrap(), line["tag"].as_str().unwrap())).collect()
    };
    let first = "version: 1\nrules:\n  - repositories: app\n    keep: 3\n  - repositories: '**'\n    keep: 0\n";
    assert_eq!(removed(first), ["app:stable", "app:v1", "other:v1"], "the first rule that matches");
    let only = "version: 1\ndefaults: {by: name}\nrules:\n  - {repositories: app, keep: 3}\n";
    assert_eq!(removed(only), ["app:stable", "app:v1"], "a repository without a rule stays");
    for (text, wrong) in [
        ("version: 1\nrules:\n  - repositories: app\n    kep: 3\n", "line 4"),
        ("version: 1\nrules:\n  - repositories: app\n", "rule 1"),
        ("version: 2\nrules: []\n", "version"),
    ] {
        let run = run(text);
        assert!(run.code == 1 && run.stderr.contains(wrong), "{text}: {}", run.stderr);
    }
    assert_eq!(prune(root.path(), &["--dry-run", "--policy", "/nowhere/retention.yml"]).code, 1);
}

#[test]
fn prune_requires_a_rule() {
    let root = store();
    for arguments in [
        &[][..],
        &["--only-tag", "v"],
        &["--keep", "x"],
        &["--keep", "1", "--keep-tag", "("],
        &["--keep", "1", "--keep-tag", "v1\n"],
        &["--keep-daily", "7d"],
    ] {
        assert_eq!(prune(root.path(), &[&["--yes"], arguments].concat()).code, 2, "{arguments:?}");
    }
    let run = prune(root.path(), &["--yes", "--keep-daily", "0"]);
    assert!(run.code == 1 && run.stderr.contains("what to keep is not set"), "{}", run.stderr);
    let run = prune(root.path(), &["--keep", "1"]);
    assert!(run.code == 1 && run.stderr.contains("--yes"), "{}", run.stderr);
    assert_eq!(tags(root.path()).len(), 6);
}

#[test]
fn prune_keeps_and_reports_damaged_tags() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    registry.image("app:v2").layers(["b"]).push();
    registry.manifest("app", "{");
    registry.image("other:v1").layers(["c"]).push();
    registry.image("other:v2").layers(["d"]).push();
    let root = registry.on_disk();
    let run = prune(root.path(), &["--yes", "--keep", "1", "--by", "name"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("app:v1 is kept: the manifest sha256:"), "{}", run.stderr);
    assert_eq!(tags(root.path()), ["app:v1", "app:v2", "other:v2"]);
}

#[test]
fn prune_tells_content_that_is_not_understood_from_missing_content() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    registry.image("app:v2").layers(["b"]).push();
    let damaged = registry.manifest("app:v0", "{");
    let root = registry.on_disk();
    let ids = || -> Vec<String> {
        let run = prune(root.path(), &["--dry-run", "--keep", "1", "--format", "json"]);
        let findings = lines(&run).into_iter().filter(|line| line["type"] == "finding");
        findings.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(), ["RG031"]);
    fs::remove_file(root.path().join(layout::blob_data(&damaged))).unwrap();
    assert_eq!(ids(), ["RG020"]);
}

#[test]
fn a_real_run_with_nothing_to_do_is_no_dry_run() {
    let root = store();
    let run = prune(root.path(), &["--yes", "--keep", "all"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("There is nothing to remove.") && !run.stdout.contains("dry run"), "{}", run.stdout);
    let dry = prune(root.path(), &["--dry-run", "--keep", "all"]);
    assert!(dry.stdout.contains("There is nothing to remove."), "{}", dry.stdout);
    for (arguments, is_dry) in [(&["--yes"][..], false), (&["--dry-run"], true)] {
        let run = prune(root.path(), &[&["--keep", "all", "--format", "json"], arguments].concat());
        assert_eq!(lines(&run).last().unwrap()["dry_run"], is_dry, "{}", run.stdout);
    }
    // The other commands report it as well.
    let at = ["--root", root.path().to_str().unwrap(), "--format", "json"];
    for arguments in [&["gc"][..], &["trash", "empty"]] {
        let run = regc([arguments, &at].concat());
        let lines = lines(&run);
        let last = lines.last().unwrap();
        assert_eq!((&last["dry_run"], run.code), (&false.into(), 0), "{arguments:?}: {}", run.stdout);
    }
    let repair = regc([&["repair", "--apply"], &at[..]].concat());
    assert_eq!(lines(&repair).last().unwrap()["dry_run"], false);
}

#[test]
fn prune_reports_blocked_tags_in_every_format() {
    for (way, code) in [("v1/.nfs0001", "RG006"), ("latest -> v1", "RG007")] {
        let mut registry = TestRegistry::new();
        registry.image("app:v1").layers(["a"]).push();
        registry.image("app:v2").layers(["b"]).push();
        for (arguments, is_quiet) in [(&["--quiet"][..], true), (&[], false), (&["--format", "json"], false)] {
            let root = registry.on_disk();
            pushed(root.path(), "app", "v1", 50);
            pushed(root.path(), "app", "v2", 1);
            let tags = root.path().join(layout::tags("app"));
            match way.split_once(" -> ") {
                Some((link, target)) => symlink(target, tags.join(link)).unwrap(),
                None => fs::write(tags.join(way), "").unwrap(),
            }
            let run = prune(root.path(), &[&["--yes", "--keep", "1"], arguments].concat());
            assert_eq!(run.code, 3, "{way}: {}{}", run.stdout, run.stderr);
            let report = if is_quiet { &run.stderr } else { &run.stdout };
            let what = way.split(" -> ").last().unwrap();
            assert!(
                report.contains(what) || report.contains(code),
                "{way} {arguments:?}: {}{}",
                run.stdout,
                run.stderr
            );
            let is_gone = !root.path().join(layout::blob_data(&layer("a"))).exists();
            assert_eq!(is_gone, code == "RG006", "{way}");
        }
    }
}

#[test]
fn a_referrers_tag_of_a_sha512_digest_stays() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    registry.image("app:v2").layers(["b"]).push();
    let referrers = format!("sha512-{}", "0123456789abcdef".repeat(4));
    registry.index(&format!("app:{referrers}")).manifests([]).push();
    let root = registry.on_disk();
    for (tag, days) in [("v1", 50), ("v2", 1), (&referrers, 60)] {
        pushed(root.path(), "app", tag, days);
    }
    assert_eq!(prune(root.path(), &["--yes", "--keep", "1"]).code, 0);
    assert_eq!(tags(root.path()), [format!("app:{referrers}"), "app:v2".to_owned()]);
}

#[test]
fn a_referrers_tag_that_abbreviates_the_digest_of_an_image_is_deleted_with_it() {
    let mut registry = TestRegistry::new();
    let referrers = ["v1", "v2"].map(|tag| {
        let image = registry.image("app").layers([tag]).push();
        let content = registry.get(&layout::blob_data(&image)).unwrap().to_vec();
        let digest = Digest::of(Algorithm::Sha512, &content);
        registry.remove(&layout::revision_link("app", &image));
        registry.put(layout::blob_data(&digest), content);
        registry.put(layout::revision_link("app", &digest), digest.to_string());
        registry.tag("app", tag, &digest);
        let referrers = format!("sha512-{}", &digest.hex()[..64]);
        registry.index(&format!("app:{referrers}")).manifests([]).push();
        referrers
    });
    let root = registry.on_disk();
    for (tag, days) in [("v1", 50), ("v2", 1), (&referrers[0], 60), (&referrers[1], 60)] {
        pushed(root.path(), "app", tag, days);
    }
    let run = prune(root.path(), &["--yes", "--keep", "1"]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert_eq!(tags(root.path()), [format!("app:{}", referrers[1]), "app:v2".to_owned()]);
}

#[test]
fn explain_says_that_the_subject_of_a_signature_is_not_here() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    let stays = registry.image("app:v2").layers(["b"]).push();
    let gone = registry.image("app:v3").layers(["c"]).push();
    for subject in [stays, gone] {
        registry.image(&format!("app:sha256-{}.sig", subject.hex())).layers([&subject.hex()]).push();
    }
    registry.delete("app", &gone);
    let root = registry.on_disk();
    let run = prune(root.path(), &["--dry-run", "--explain", "--keep", "9"]);
    let line = |subject: Digest| run.stdout.lines().find(|line| line.contains(&*subject.hex())).unwrap().to_owned();
    assert!(line(stays).ends_with("which is kept"), "{}", run.stdout);
    assert!(line(gone).ends_with("which is not in this repository"), "{}", run.stdout);
}
