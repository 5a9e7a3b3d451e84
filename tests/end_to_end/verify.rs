//! `regc verify`: what it prints, how it exits, and that nothing in a store stops it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use regc_core::Digest;
use regc_core::registry::layout;
use regc_testkit::{TestRegistry, layer};
use serde_json::{Value, json};

use crate::common::{Run, regc};
use crate::{config, damaged, registry};

fn verify(root: &Path, arguments: &[&str]) -> Run {
    regc([&["verify", "--root", root.to_str().unwrap()], arguments].concat())
}

fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the codes and paths of all errors and warnings.
fn wrong(run: &Run) -> BTreeSet<(String, String)> {
    let findings = lines(run).into_iter().filter(|line| line["type"] == "finding" && line["severity"] != "note");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings.map(|line| (text(&line["code"]), text(&line["path"]))).collect()
}

const REPORT: &str = "RG024 error: a layer or configuration is missing: the manifest <manifest hurt:v1> needs it
    path:   LOST
    images: hurt:v1
    remedy: push the image again, which uploads what is missing, or take it from a backup with `regc repair --from`
RG040 note: content that nothing refers to: 3; none is needed; `regc gc` frees the space
3 repositories, 4 manifests, 2.73 KiB in 14 blobs: 1 error, 0 warnings, 3 notes.
";

#[test]
fn human_report_lists_findings_with_remedies() {
    let registry = damaged();
    let root = registry.on_disk();
    let readable = |run: &Run| {
        let text = run.stdout.replace(&layout::blob_data(&layer("lost")), "LOST");
        registry.with_names(&text)
    };
    let run = verify(root.path(), &[]);
    assert_eq!(readable(&run), REPORT);
    assert_eq!((run.code, run.stderr.as_str()), (3, ""));

    let (damage, rest) = REPORT.split_at(REPORT.find("RG040").unwrap());
    let quiet = verify(root.path(), &["--quiet"]);
    assert_eq!((readable(&quiet).as_str(), quiet.code), (damage, 3));
    let notes = readable(&verify(root.path(), &["--notes"]));
    assert_eq!(notes.matches("RG040 note: content that nothing refers to: ").count(), 3, "{notes}");
    assert!(notes.starts_with(damage) && notes.ends_with(rest.split_once('\n').unwrap().1), "{notes}");
    assert!(notes.contains(&format!("    path:   {}\n", layout::blob_data(&layer("deleted")))), "{notes}");
}

#[test]
fn json_report_lists_the_same_findings() {
    let root = damaged().on_disk();
    let run = verify(root.path(), &["--format", "json"]);
    let all = lines(&run);
    let error = &all[0];
    let expected = json!({
        "type": "finding",
        "code": "RG024",
        "name": "missing_blob",
        "severity": "error",
        "path": layout::blob_data(&layer("lost")),
        "repository": "hurt",
        "digest": layer("lost").to_string(),
        "message": error["message"],
        "images": ["hurt:v1"],
        "more_images": false,
        "remedy": error["remedy"],
    });
    assert_eq!(*error, expected);
    assert!(error["message"].as_str().unwrap().starts_with("the manifest sha256:"));
    assert!(!error["remedy"].as_str().unwrap().is_empty());
    let order: Vec<_> = all[..4].iter().map(|line| (line["code"].to_string(), line["path"].to_string())).collect();
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!(all[3]["repository"], Value::Null);
    let summary = all.last().unwrap();
    for (field, value) in [
        ("type", json!("summary")),
        ("schema_version", json!(3)),
        ("repositories", json!(3)),
        ("manifests", json!(4)),
        ("blobs", json!(14)),
        ("errors", json!(1)),
        ("warnings", json!(0)),
        ("notes", json!(3)),
    ] {
        assert_eq!(summary[field], value, "{field}");
    }
    assert_eq!(all.len(), 5);
    let quiet = verify(root.path(), &["--format", "json", "--quiet"]);
    assert_eq!(lines(&quiet), all[4..]);
}

#[test]
fn verify_exit_codes_follow_the_findings() {
    let directory = tempfile::tempdir().unwrap();
    for (registry, code) in [(TestRegistry::new(), 1), (registry(), 0), (damaged(), 3)] {
        let root = registry.on_disk();
        let config = config(&directory, &format!("{{filesystem: {{rootdirectory: {}}}}}", root.path().display()), "");
        let run = regc(["verify", config.to_str().unwrap()]);
        assert_eq!((run.code, run.stderr.is_empty()), (code, code != 1), "{}", run.stdout);
    }
    // A warning is damage, too.
    let mut warned = registry();
    warned.link_layer("other", &layer("nowhere"));
    assert_eq!(verify(warned.on_disk().path(), &[]).code, 3);
    for format in ["human", "json"] {
        let run = verify(&directory.path().join("absent"), &["--format", format]);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""));
        assert!(run.stderr.contains("absent"), "{}", run.stderr);
    }
    assert_eq!(verify(directory.path(), &["--no-such-flag"]).code, 2);
}

#[test]
fn report_escapes_control_characters_in_names() {
    let mut registry = registry();
    registry.image("x\u{1b}[31m\ny:v1").layers(["renamed"]).push();
    registry.put(format!("{}/new\nline\u{1b}]0;title\u{7}", layout::BLOBS), "");
    let root = registry.on_disk();
    for arguments in [&["--notes"][..], &["--format", "json"]] {
        let run = verify(root.path(), arguments);
        assert_eq!(run.code, 3);
        assert!(!run.stdout.contains(['\u{1b}', '\u{7}']), "{:?}", run.stdout);
        assert!(!run.stdout.lines().any(|line| line.starts_with('y') || line.starts_with("line")), "{}", run.stdout);
        assert!(run.stdout.contains("repositories/x"), "{}", run.stdout);
    }
}

#[test]
fn verify_reports_unreadable_files_and_goes_on() {
    let (root, programs) = (damaged().on_disk(), tempfile::tempdir().unwrap());
    let binary = programs.path().join("regc");
    crate::copy_regc(&binary);
    for directory in [root.path(), programs.path()] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let run = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
        command.args(["verify", "--format", "json", "--root"]).arg(root.path());
        let output = command.output().expect("setpriv, of util-linux");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    };
    let missing = ("RG024".to_owned(), layout::blob_data(&layer("lost")));
    assert_eq!(wrong(&run()), BTreeSet::from([missing.clone()]), "this test needs root");
    let manifest = fs::read_to_string(root.path().join(layout::tag_link("other", "v1"))).unwrap();
    for (closed, images) in [
        (layout::repository("other"), json!([])),
        (format!("{}/sha256", layout::layers("other")), json!(["other:v1"])),
        (layout::tags("other"), json!([])),
        (layout::tag_link("other", "v1"), json!(["other:v1"])),
        (layout::revisions("other"), json!(["other:v1"])),
        (layout::blob(&manifest.parse().unwrap()), json!(["other:v1"])),
    ] {
        let path = root.path().join(&closed);
        let mode = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        let run = run();
        let found = wrong(&run);
        let rest: BTreeSet<_> = found.iter().filter(|(code, _)| code != "RG004").cloned().collect();
        assert_eq!((run.code, rest), (3, BTreeSet::from([missing.clone()])), "{closed}");
        let told: Vec<Value> = lines(&run).into_iter().filter(|line| line["code"] == "RG004").collect();
        assert_eq!(told.len(), 1, "{closed}: {told:#?}");
        assert!(told[0]["path"].as_str().unwrap().starts_with(&closed), "{told:?}");
        assert_eq!(told[0]["images"], images, "{closed}");
        assert!(told[0]["message"].as_str().unwrap().contains("Permission denied"), "{told:?}");
        fs::set_permissions(&path, mode).unwrap();
    }
}

#[test]
fn verify_reports_dangling_symbolic_link_once() {
    let mut registry = registry();
    registry.upload("other", "given-up");
    let root = registry.on_disk();
    let places = places(root.path());
    assert!(places.len() > 80);
    for key in places {
        let path = root.path().join(&key);
        let away = root.path().join("away");
        fs::rename(&path, &away).unwrap();
        symlink("/nowhere/at/all", &path).unwrap();
        let run = verify(root.path(), &["--format", "json"]);
        let is_remembered = key.contains("/index/");
        if is_remembered {
            // No client follows the entries of a tag's index, so without `--notes` not every one is read.
            let all = verify(root.path(), &["--format", "json", "--notes"]);
            let expected = BTreeSet::from([("RG002".to_owned(), key.clone())]);
            assert!(wrong(&run).is_subset(&expected), "{key}: {}", run.stderr);
            assert_eq!((all.code, wrong(&all)), (3, expected), "{}", all.stderr);
        } else if key.contains("/given-up/") {
            // Of an upload only its beginning is looked at.
            assert!(run.code != 1 && wrong(&run).len() <= 1, "{key}: {}", run.stderr);
        } else {
            let expected = BTreeSet::from([("RG002".to_owned(), key.clone())]);
            assert_eq!((run.code, wrong(&run)), (3, expected), "{}", run.stderr);
        }
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
    }
}

/// Lists every directory and file of a registry's storage.
fn places(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec!["docker".to_owned()];
    while let Some(key) = pending.pop() {
        if let Ok(below) = fs::read_dir(root.join(&key)) {
            pending.extend(below.map(|entry| format!("{key}/{}", entry.unwrap().file_name().into_string().unwrap())));
        }
        found.push(key);
    }
    found.sort_unstable();
    found
}

/// Changes a blob's content, but not its length.
fn change(root: &Path, digest: &Digest) {
    let path = root.join(layout::blob_data(digest));
    let mut content = fs::read(&path).unwrap();
    content[0] ^= 1;
    fs::write(path, content).unwrap();
}

#[test]
fn content_is_hashed_if_asked_for() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a", "b"]).push();
    registry.image("other:v1").layers(["a"]).push();
    let root = registry.on_disk();
    change(root.path(), &layer("a"));
    assert_eq!(verify(root.path(), &[]).code, 0, "its size tells nothing");
    let run = verify(root.path(), &["--content", "--format", "json"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let lines = lines(&run);
    assert_eq!(wrong(&run), BTreeSet::from([("RG032".to_owned(), layout::blob_data(&layer("a")))]));
    assert_eq!(lines[0]["images"], json!(["app:v1", "other:v1"]));
    let summary = lines.last().unwrap();
    assert_eq!((&summary["content_blobs"], &summary["content_bytes"]), (&summary["blobs"], &summary["bytes"]));
    assert_eq!(summary["interrupted"], false);
    assert!(verify(root.path(), &["--content"]).stdout.contains("Hashed "));
    for arguments in [
        &["--content=some"][..],
        &["--content=sample:0%"],
        &["--bandwidth", "1MiB/s"],
        &["--content", "--bandwidth", "x"],
    ] {
        assert_eq!(verify(root.path(), arguments).code, 2, "{arguments:?}");
    }
    let sample = verify(root.path(), &["--content=sample:100%", "--format", "json"]);
    assert_eq!(wrong(&sample).len(), 1);
}

#[test]
fn hashing_resumes_at_checkpoint() {
    let mut registry = TestRegistry::new();
    for n in 0..40 {
        registry.image(&format!("app:v{n}")).layers([format!("layer {n} {}", "x".repeat(20_000))]).push();
    }
    let root = registry.on_disk();
    let damaged = layer(&format!("layer 7 {}", "x".repeat(20_000)));
    change(root.path(), &damaged);
    let work = tempfile::tempdir().unwrap();
    let checkpoint = work.path().join("checkpoint.json");
    let checkpoint = checkpoint.to_str().unwrap();
    let arguments = ["--content", "--checkpoint", checkpoint, "--format", "json"];
    let mut limited = Command::new(env!("CARGO_BIN_EXE_regc"))
        .args(["verify", "--root", root.path().to_str().unwrap(), "--bandwidth", "100KiB/s"])
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(4));
    let interrupt = Command::new("kill").args(["-INT", &limited.id().to_string()]).status().unwrap();
    assert!(interrupt.success() && limited.try_wait().unwrap().is_none(), "800 KB at 100 KiB/s take longer");
    let output = limited.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let summary: Value = serde_json::from_slice(output.stdout.split(|b| *b == b'\n').rev().nth(1).unwrap()).unwrap();
    let (hashed, blobs) = (summary["content_blobs"].as_u64().unwrap(), summary["blobs"].as_u64().unwrap());
    assert!(summary["interrupted"] == true && hashed > 0 && hashed < blobs, "{summary}");
    // What was hashed is not read again: if it were damaged now, that would go unnoticed.
    let done: Value = serde_json::from_str(&fs::read_to_string(checkpoint).unwrap()).unwrap();
    assert_eq!(done["checked_blobs"], hashed);
    let run = verify(root.path(), &arguments);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert_eq!(wrong(&run), BTreeSet::from([("RG032".to_owned(), layout::blob_data(&damaged))]));
    assert_eq!(lines(&run).last().unwrap()["content_blobs"], blobs, "with those of the run before");
    assert!(!Path::new(checkpoint).exists(), "it is done");
    fs::write(checkpoint, "{").unwrap();
    let run = verify(root.path(), &arguments);
    assert!(run.code == 1 && run.stderr.contains("cannot read the checkpoint"), "{}", run.stderr);
}

#[test]
fn a_platform_that_the_repository_never_had_is_a_note() {
    let mut registry = TestRegistry::new();
    let [here, had] = ["here", "had"].map(|name| registry.image("app").layers([name]).push());
    let never = registry.image("other:v1").layers(["elsewhere"]).push();
    registry.index("app:sparse").manifests([here, never, layer("nowhere")]).push();
    let mut cache = registry.index("app:cache");
    for name in ["here", "cached"] {
        cache = cache.entry("application/vnd.oci.image.layer.v1.tar+gzip", &layer(name));
    }
    cache.push();
    let root = registry.on_disk();
    let run = verify(root.path(), &["--notes", "--format", "json"]);
    let notes: BTreeSet<_> = lines(&run)
        .into_iter()
        .filter(|line| line["code"] == "RG028")
        .map(|line| (line["path"].as_str().unwrap().to_owned(), line["images"][0].as_str().unwrap().to_owned()))
        .collect();
    let sparse = [never, layer("nowhere")].map(|digest| (layout::revision_link("app", &digest), "app:sparse"));
    let cached = (layout::layer_link("app", &layer("cached")), "app:cache");
    let expected = sparse.into_iter().chain([cached]).map(|(path, image)| (path, image.to_owned())).collect();
    assert_eq!((run.code, wrong(&run), notes), (0, BTreeSet::new(), expected));
    let quiet = verify(root.path(), &[]);
    assert!(quiet.stdout.starts_with("RG028 note: ") && quiet.code == 0, "{}", quiet.stdout);

    // It is more than a note if anything shows that the repository had it: the directory of a link, an entry in a tag's index,
    // the trash; or if the repository has no platform at all.
    registry.index("app:had").manifests([here, had]).push();
    registry.index("app:none").manifests([layer("none")]).push();
    registry.remove(&layout::revision_link("app", &had));
    registry.put(layout::tag_index_link("app", "sparse", &had), had.to_string());
    let root = registry.on_disk();
    let missing = |digests: &[Digest]| -> BTreeSet<(String, String)> {
        digests.iter().map(|digest| ("RG023".to_owned(), layout::revision_link("app", digest))).collect()
    };
    let found = || wrong(&verify(root.path(), &["--format", "json"]));
    assert_eq!(found(), missing(&[had, layer("none")]));
    fs::create_dir_all(root.path().join(layout::revision("app", &never))).unwrap();
    assert_eq!(found(), missing(&[had, layer("none"), never]));
    let run = root.path().join(".regc/trash/20261121T031502Z-4711");
    let link = run.join(layout::revision_link("app", &layer("nowhere")));
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    fs::write(link, layer("nowhere").to_string()).unwrap();
    fs::write(run.join("journal.jsonl"), "").unwrap();
    assert_eq!(found(), missing(&[had, layer("none"), never, layer("nowhere")]));
    fs::create_dir_all(root.path().join(layout::layer("app", &layer("cached")))).unwrap();
    let cached = ("RG024".to_owned(), layout::blob_data(&layer("cached")));
    assert!(found().contains(&cached));
}
