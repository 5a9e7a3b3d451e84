//! What `regc repair` leaves alone.

use std::fs;

use regc_core::registry::layout;
use regc_testkit::{TestRegistry, files_below, layer};

use crate::common::{Run, regc, regc_with};
use crate::{config, on_another_file_system};

fn repair(root: &std::path::Path, arguments: &[&str]) -> Run {
    regc([&["repair", "--root", root.to_str().unwrap()], arguments].concat())
}

#[test]
fn a_store_whose_blobs_are_not_mounted_is_refused() {
    let mut registry = TestRegistry::new();
    for n in 0..30 {
        registry.image(&format!("app:v{n}")).layers([format!("layer {n}")]).push();
    }
    let root = registry.on_disk();
    let blobs = root.path().join(layout::BLOBS);
    let elsewhere = root.path().join("elsewhere");
    fs::rename(&blobs, &elsewhere).unwrap();
    // Empty, with an empty directory in it, or with what was pushed since.
    let pushed = layout::blob_data(&layer("pushed since"));
    for made in ["", "sha256", "content"] {
        match made {
            "content" => {
                fs::create_dir_all(root.path().join(&pushed).parent().unwrap()).unwrap();
                fs::write(root.path().join(&pushed), regc_testkit::layer_content("pushed since")).unwrap();
            }
            made => fs::create_dir_all(blobs.join(made)).unwrap(),
        }
        let before = files_below(root.path());
        let run = repair(root.path(), &["--apply"]);
        assert!(run.code == 1 && run.stderr.contains("mounted"), "{made}: {}", run.stderr);
        assert_eq!(files_below(root.path()), before, "{made}");
    }
    assert_eq!(repair(root.path(), &["--allow-missing"]).code, 3);
    fs::remove_dir_all(&blobs).unwrap();
    fs::rename(&elsewhere, &blobs).unwrap();
    let run = repair(root.path(), &["--apply"]);
    assert_eq!((run.code, run.stdout.lines().last()), (0, Some("There is nothing to repair.")), "{}", run.stderr);
}

#[test]
fn repair_changes_nothing_through_symbolic_link() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    let root = registry.on_disk();
    let elsewhere = tempfile::tempdir().unwrap();
    let app = root.path().join(layout::repository("app"));
    let link = layout::revision_link("app", &image);
    fs::write(root.path().join(&link), "").unwrap();
    fs::create_dir(root.path().join(".regc")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), root.path().join(".regc/incoming")).unwrap();
    let run = repair(root.path(), &["--apply"]);
    assert!(run.code == 1 && run.stderr.contains("symbolic link"), "{}", run.stderr);
    fs::remove_dir_all(root.path().join(".regc")).unwrap();
    // The repository is on another disk, and may belong to another registry.
    fs::rename(&app, elsewhere.path().join("app")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("app"), &app).unwrap();
    assert_eq!(repair(root.path(), &["--apply"]).code, 3);
    assert_eq!(fs::read_to_string(root.path().join(&link)).unwrap(), "");
    fs::remove_file(&app).unwrap();
    fs::rename(elsewhere.path().join("app"), &app).unwrap();
    assert_eq!(repair(root.path(), &["--apply"]).code, 0);
    assert_eq!(fs::read_to_string(root.path().join(&link)).unwrap(), image.to_string());
}

#[test]
fn tag_targeted_by_a_symbolic_link_is_kept() {
    for (link, target) in
        [("tags/latest", "v1"), ("tags/v2/index", "../v1/index"), ("tags/v2/current", "../v1/current")]
    {
        let mut registry = TestRegistry::new();
        let image = registry.image("app:v1").layers(["a"]).push();
        registry.image("app:v3").layers(["b"]).push();
        registry.remove(&layout::blob_data(&image));
        let root = registry.on_disk();
        let path = root.path().join(layout::repository("app")).join("_manifests").join(link);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        let before = files_below(root.path());
        assert_eq!(repair(root.path(), &["--apply"]).code, 3, "{link}");
        assert_eq!(files_below(root.path()), before, "{link}");
        assert_eq!(regc(["gc", "--root", root.path().to_str().unwrap()]).code, 3, "{link}: it can still be collected");
    }
}

#[test]
fn repair_deletes_half_written_files() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    registry.put(layout::revision_link("app", &image), "");
    registry.put(".regc/incoming/data", "the first half");
    let root = registry.on_disk();
    let run = repair(root.path(), &["--apply"]);
    assert_eq!((run.code, run.stdout.lines().count()), (0, 3), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.ends_with("1 repair done; nothing is damaged now.\n"), "{}", run.stdout);
    assert!(!root.path().join(".regc/incoming").exists());
    // Any other command that changes the store deletes it, too.
    fs::create_dir_all(root.path().join(".regc/incoming")).unwrap();
    fs::write(root.path().join(".regc/incoming/data"), "the first half").unwrap();
    assert_eq!(regc(["gc", "--root", root.path().to_str().unwrap()]).code, 0);
    assert!(!root.path().join(".regc/incoming").exists());
}

#[test]
fn repair_dry_run_predicts_actions() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a", "b"]).push();
    registry.image("app:v2").layers(["c"]).push();
    let root = registry.on_disk();
    // A tag whose manifest, and all that it needs, is no longer linked: only the manifest refers to the layers.
    fs::remove_dir_all(root.path().join(layout::revision("app", &image))).unwrap();
    fs::remove_dir_all(root.path().join(layout::layers("app"))).unwrap();
    let told = |run: Run, end: &str| {
        assert_eq!(run.stdout.lines().last(), Some(end), "{}", run.stderr);
        run.stdout
            .lines()
            .filter(|line| line.contains(" written: "))
            .map(|line| line.replace("would be", "is"))
            .collect::<Vec<_>>()
    };
    let end =
        "6 repairs planned. Nothing was changed: to apply, stop the registry and run the same command with --apply.";
    let dry = repair(root.path(), &[]);
    assert!(dry.stdout.contains(" would be written: ") && !dry.stdout.contains(" is written"), "{}", dry.stdout);
    let planned = told(dry, end);
    let done = told(repair(root.path(), &["--apply"]), "6 repairs done; nothing is damaged now.");
    assert_eq!((planned.len(), planned), (6, done));
}

#[test]
fn repair_reports_remaining_damage() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    let root = registry.on_disk();
    let backup = registry.on_disk();
    let blob = root.path().join(layout::blob_data(&layer("a")));
    let damaged = fs::read_to_string(&blob).unwrap().to_uppercase();
    fs::write(&blob, damaged).unwrap();
    // Its directory is a symbolic link, which must not be followed, so it cannot be replaced.
    let shard = root.path().join(layout::shard(&layer("a")));
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(shard.join(layer("a").hex()), elsewhere.path().join("blob")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("blob"), shard.join(layer("a").hex())).unwrap();
    let run = repair(root.path(), &["--apply", "--content", "--from", backup.path().to_str().unwrap()]);
    let end = "0 repairs done; 1 finding is left: see `regc verify`.";
    assert_eq!(run.stdout.lines().last(), Some(end), "{}", run.stderr);
    assert_eq!(run.code, 3);
}

#[test]
fn moved_manifest_protects_its_repository_even_as_symbolic_link() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    registry.image("app:v2").layers(["b"]).push();
    registry.put(layout::blob_data(&image), "damaged");
    let root = registry.on_disk();
    let data = root.path().join(layout::blob_data(&image));
    let away = root.path().join("away");
    fs::rename(&data, &away).unwrap();
    std::os::unix::fs::symlink(&away, &data).unwrap();
    for _ in 0..2 {
        repair(root.path(), &["--apply"]);
        for mode in [&["gc"][..], &["gc", "-m"]] {
            let run = regc([mode, &["--root", root.path().to_str().unwrap()]].concat());
            assert_eq!(run.code, 3, "{}", run.stderr);
            for key in [layout::blob_data(&layer("a")), layout::tag_link("app", "v1")] {
                assert!(root.path().join(&key).exists(), "{key}");
            }
        }
    }
}

#[test]
fn names_of_repositories_and_tags_are_not_taken_for_parts_of_the_layout() {
    for reference in ["index:v1", "app:index", "a/index/b:v1"] {
        let mut registry = TestRegistry::new();
        let image = registry.image(reference).layers(["a"]).push();
        registry.image("other:v1").layers(["b"]).push();
        registry.remove(&layout::blob_data(&image));
        let root = registry.on_disk();
        let before = files_below(root.path());
        assert_eq!(repair(root.path(), &["--apply"]).code, 3, "{reference}: nobody has decided");
        assert_eq!(files_below(root.path()), before, "{reference}");
        assert_eq!(repair(root.path(), &["--apply", "--drop-lost"]).code, 0, "{reference}");
        assert_ne!(files_below(root.path()), before, "{reference}");
        let run = regc(["trash", "restore", "--root", root.path().to_str().unwrap()]);
        assert_eq!((run.code, files_below(root.path())), (0, before), "{reference}: {}", run.stderr);
    }
}

#[test]
fn repair_deletes_tag_with_its_directory() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    registry.image("app:v2").layers(["b"]).push();
    registry.remove(&layout::blob_data(&image));
    let root = registry.on_disk();
    let index = root.path().join(layout::tag_index("app", "v1"));
    fs::create_dir_all(index.join("sha256").join(layer("gone").hex())).unwrap();
    let run = repair(root.path(), &["--apply", "--drop-lost"]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(!root.path().join(layout::tag("app", "v1")).exists());
}

#[test]
fn a_directory_in_place_of_content_is_replaced() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    let (root, backup) = (registry.on_disk(), registry.on_disk());
    let data = root.path().join(layout::blob_data(&layer("a")));
    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    let run = repair(root.path(), &["--apply", "--from", backup.path().to_str().unwrap()]);
    assert_eq!(run.stdout.lines().last(), Some("1 repair done; nothing is damaged now."), "{}", run.stderr);
    assert!(data.is_file());
}

#[test]
fn repair_from_requires_a_different_store() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    let backup = registry.on_disk();
    registry.remove(&layout::blob_data(&layer("a")));
    let (root, empty) = (registry.on_disk(), tempfile::tempdir().unwrap());
    let docker = backup.path().join("docker");
    for (other, told) in [
        (empty.path(), "does not contain docker/registry/v2/blobs"),
        (&docker, "does not contain"),
        (root.path(), "is the store itself"),
    ] {
        let run = repair(root.path(), &["--from", other.to_str().unwrap()]);
        assert!(run.code == 1 && run.stderr.contains(told), "{}: {}", other.display(), run.stderr);
    }
    // The environment of a registry's container refers to its own store.
    let config = config(&empty, &format!("{{filesystem: {{rootdirectory: {}}}}}", backup.path().display()), "");
    let arguments = ["repair", "--apply", "--from", config.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let run = regc_with(arguments, &[("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", root.path().to_str().unwrap())]);
    assert_eq!(run.stdout.lines().last(), Some("1 repair done; nothing is damaged now."), "{}", run.stderr);
}

#[test]
fn repair_reports_other_filesystem_and_goes_on() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    let (backup, disk) = (registry.on_disk(), on_another_file_system());
    registry.remove(&layout::blob_data(&layer("a")));
    registry.put(layout::revision_link("app", &image), "");
    let root = registry.on_disk();
    let shard = root.path().join(layout::shard(&layer("a")));
    fs::create_dir_all(&shard).unwrap();
    fs::remove_dir(&shard).unwrap();
    std::os::unix::fs::symlink(disk.path(), &shard).unwrap();
    for apply in [&[][..], &["--apply"]] {
        let run = repair(root.path(), &[apply, &["--from", backup.path().to_str().unwrap()]].concat());
        assert!(run.code == 1 && run.stderr.contains("another file system"), "{}", run.stderr);
    }
    let link = root.path().join(layout::revision_link("app", &image));
    assert_eq!(fs::read_to_string(link).unwrap(), image.to_string(), "the rest is done");
}

#[test]
fn the_summary_counts_what_is_lost() {
    let mut registry = TestRegistry::new();
    let [v1, v2] = ["v1", "v2"].map(|tag| registry.image(&format!("app:{tag}")).layers([tag]).push());
    registry.image("app").layers(["signature"]).subject(v1).push();
    for digest in [v1, v2] {
        registry.remove(&layout::blob_data(&digest));
    }
    let root = registry.on_disk();
    for (arguments, lost) in [(&[][..], 2), (&["--apply"], 2), (&["--apply", "--drop-lost"], 1)] {
        let run = repair(root.path(), &[arguments, &["--format", "json"]].concat());
        let summary: serde_json::Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
        assert_eq!(summary["lost"], lost, "{arguments:?}: {summary}");
        let told = format!("regc: {lost} missing manifest{} ", if lost == 1 { "" } else { "s" });
        assert!(run.stderr.starts_with(&told), "{arguments:?}: {}", run.stderr);
    }
    let page = fs::read_to_string(crate::project().join("docs/json.md")).unwrap();
    let run = repair(root.path(), &["--format", "json"]);
    let summary: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    for field in summary.keys() {
        assert!(page.contains(&format!("\"{field}\":")), "docs/json.md does not show {field}");
    }
}

#[test]
fn a_repair_speaks_of_images_and_names_the_finding() {
    let mut registry = TestRegistry::new();
    let lost = registry.image("team/app:lost").layers(["a"]).push();
    registry.tag("team/app", "same", &lost);
    registry.image("team/app:v1").layers(["damaged", "linked"]).push();
    registry.image("team/app:v2").layers(["damaged"]).push();
    registry.image("other:v1").layers(["damaged"]).push();
    registry.image("other:v2").layers(["damaged"]).push();
    registry.remove(&layout::blob_data(&lost));
    registry.put(layout::blob_data(&layer("damaged")), "other content");
    registry.put(layout::layer_link("team/app", &layer("linked")), "");
    let root = registry.on_disk();
    let (damaged, linked) = (layer("damaged"), layer("linked"));
    let expected = [
        (
            format!(
                "layer link of {linked} in team/app is written: RG011 the link of a layer is empty or garbled; image team/app:v1"
            ),
            layout::layer_link("team/app", &linked),
        ),
        (
            format!(
                "blob {damaged} is moved to the trash: RG025 content does not have the size that a manifest states; \
                 images other:v1, other:v2, team/app:v1 and 1 more"
            ),
            layout::blob_data(&damaged),
        ),
        (
            format!(
                "entry of {lost} in the index of tag team/app:same is removed: RG020 a manifest is linked, but its \
                 content is missing; images team/app:lost, team/app:same"
            ),
            layout::tag_index_link("team/app", "same", &lost),
        ),
        (
            "tag team/app:lost is removed: RG020 a manifest is linked, but its content is missing; images \
             team/app:lost, team/app:same"
                .to_owned(),
            layout::tag_link("team/app", "lost"),
        ),
        (
            format!(
                "link of manifest team/app@{lost} is removed: RG020 a manifest is linked, but its content is missing; \
                 images team/app:lost, team/app:same"
            ),
            layout::revision_link("team/app", &lost),
        ),
    ];
    for mode in [&["--drop-lost"][..], &["--drop-lost", "--verbose"], &["--drop-lost", "-v", "--apply"]] {
        let run = repair(root.path(), mode);
        let mut lines = run.stdout.lines().skip(1);
        for (line, path) in &expected {
            // Only of what is done it says so.
            let line = match mode.contains(&"--apply") {
                true => line.clone(),
                false => line.replacen(" is ", " would be ", 1),
            };
            assert!(
                lines.any(|printed| printed == line),
                "{mode:?} lacks, or not in this order: {line}\n{}",
                run.stdout
            );
            let path = format!("    {path}");
            let is_verbose = mode.len() > 1;
            assert_eq!(is_verbose.then(|| lines.next()).flatten(), is_verbose.then_some(&*path), "{}", run.stdout);
        }
        assert_eq!(run.stdout.contains("docker/registry/v2"), mode.len() > 1, "{}", run.stdout);
    }
}

#[test]
fn a_repair_in_json_names_the_finding_and_the_images() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    let root = registry.on_disk();
    // Nothing shows the layer's link but the image, which is not linked itself.
    fs::remove_dir_all(root.path().join(layout::revision("app", &image))).unwrap();
    fs::remove_dir_all(root.path().join(layout::layers("app"))).unwrap();
    let lines: Vec<serde_json::Value> =
        repair(root.path(), &["--json"]).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, repairs) = lines.split_last().unwrap();
    assert!(summary["type"] == "summary" && repairs.len() == 3, "{lines:?}");
    for line in repairs {
        assert_eq!((&line["code"], &line["name"]), (&"RG021".into(), &"dangling_tag".into()), "{line}");
        assert_eq!((&line["images"], &line["more_images"]), (&serde_json::json!(["app:v1"]), &false.into()), "{line}");
    }
}
