//! `regc report`: what it writes, and where.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use regc_testkit::{TestRegistry, files_below};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::{Run, regc};
use crate::{config, damaged, registry};

/// Writes a report in a new directory, and returns the page.
fn page(root: &Path, arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.html");
    let fixed = ["report", "--root", root.to_str().unwrap(), "-o", path.to_str().unwrap()];
    let run = regc([&fixed[..], arguments].concat());
    assert_eq!((run.code, &*run.stderr), (0, ""), "{}", run.stdout);
    fs::read_to_string(path).unwrap()
}

/// Returns the data in an element of the page.
fn data(page: &str, id: &str) -> Value {
    let (_, data) = page.split_once(&format!(r#"<script type="application/octet-stream" id="{id}">"#)).unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    let compressed = BASE64_STANDARD.decode(data).unwrap();
    let mut text = String::new();
    GzDecoder::new(&*compressed).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn report_shows_what_du_ls_and_dry_runs_say() {
    let root = registry().on_disk();
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("it's a policy.yml");
    fs::write(&policy, "version: 1\nrules: [{repositories: '**', keep: 1}]\n").unwrap();
    let policy = policy.to_str().unwrap();
    let before = files_below(root.path());
    let page = page(root.path(), &["--policy", policy]);
    let (summary, details) = (data(&page, "summary"), data(&page, "details"));
    let at = ["--root", root.path().to_str().unwrap(), "--json"];
    let run = |arguments: &[&str]| lines(&regc([arguments, &at].concat()));

    let du = run(&["du", "--tags", "--by-namespace"]);
    let of_type = |name: &str| du.iter().filter(|line| line["type"] == name).cloned().collect::<Vec<_>>();
    for field in ["total", "live", "exclusive", "shared", "pulled", "untagged", "garbage", "other"] {
        assert_eq!(summary["totals"][field], of_type("summary")[0][field], "{field}");
    }
    for (number, line) in of_type("repository").iter().enumerate() {
        assert_eq!(summary["repositories"]["name"][number], line["repository"]);
        assert_eq!(summary["repositories"]["exclusive"][number], line["exclusive"]);
    }
    let tags = summary["tags"]["name"].as_array().unwrap();
    assert_eq!(tags.len(), of_type("tag").len());
    for line in of_type("tag") {
        let is_it = |number: &usize| {
            let repository = summary["tags"]["repository"][number].as_u64().unwrap() as usize;
            summary["repositories"]["name"][repository] == line["repository"] && tags[*number] == line["tag"]
        };
        let number = (0..tags.len()).find(is_it).unwrap();
        assert_eq!(summary["tags"]["exclusive"][number], line["exclusive"]);
        assert_eq!(summary["tags"]["pulled"][number], line["pulled"]);
        let image = summary["tags"]["image"][number].as_u64().unwrap() as usize;
        let digests = details["images"]["digest"].as_str().unwrap();
        assert_eq!(format!("sha256:{}", &digests[image * 64..][..64]), line["digest"].as_str().unwrap());
    }

    let root = root.path().to_str().unwrap();
    let would_free = summary["would_free"].as_array().unwrap();
    assert_eq!(would_free.len(), 5);
    for (would_free, arguments) in would_free.iter().zip([
        &["gc", "-d"][..],
        &["gc", "-d", "-m"],
        &["gc", "-d", "--tidy"],
        &["gc", "-d", "-m", "--tidy"],
        &["prune", "-d", "--policy", policy],
    ]) {
        let garbage = &run(arguments).pop().unwrap()["garbage"];
        let bytes = ["bytes", "upload_bytes", "file_bytes"].map(|field| garbage[field].as_u64().unwrap());
        assert_eq!(would_free["bytes"], bytes.iter().sum::<u64>(), "{arguments:?}");
        assert_eq!(would_free["manifests"], garbage["revisions"], "{arguments:?}");
        assert_eq!(would_free["tags"], garbage["tags"], "{arguments:?}");
        assert!(would_free["refused"].is_null());
    }
    assert_eq!(would_free[1]["command"], format!("regc gc -m --root {root}"));
    let quoted = policy.replace('\'', r"'\''");
    assert_eq!(would_free[4]["command"], format!("regc prune --policy '{quoted}' --root {root}"));
    assert_eq!(files_below(Path::new(root)), before, "nothing in the store is changed");
}

#[test]
fn report_holds_findings_and_what_a_command_would_refuse() {
    let root = damaged().on_disk();
    let summary = data(&page(root.path(), &[]), "summary");
    let codes: Vec<_> = summary["findings"].as_array().unwrap().iter().map(|finding| finding["code"].clone()).collect();
    let gc = lines(&regc(["gc", "-d", "-m", "--json", "--root", root.path().to_str().unwrap()]));
    let expected: Vec<_> = gc.iter().filter(|line| line["type"] == "finding").collect();
    assert!(!expected.is_empty());
    for finding in expected {
        assert!(codes.contains(&finding["code"]), "{finding}");
    }
    let mut registry = TestRegistry::new();
    registry.image("app").layers(["untagged"]).push();
    let summary = data(&page(registry.on_disk().path(), &[]), "summary");
    assert!(summary["would_free"][0]["refused"].is_null());
    assert!(summary["would_free"][1]["refused"].as_str().unwrap().contains("tag"), "{}", summary["would_free"][1]);
}

#[test]
fn policy_of_the_page_allows_its_own_script_and_style_only() {
    let page = page(registry().on_disk().path(), &[]);
    let between = |before: &str, after: &str| page.split_once(before).unwrap().1.split_once(after).unwrap().0;
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let policy = between(r#"<meta http-equiv="Content-Security-Policy" content=""#, r#"">"#);
    let (script, style) = (hash(between("<script>", "</script>")), hash(between("<style>", "</style>")));
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; script-src {script}; style-src {style}; img-src data:; base-uri 'none'; form-action 'none'"
        )
    );
    assert_eq!(page.matches("<script").count(), 3);
    // What is loaded before the policy is read is not subject to it.
    assert!(page.find("<script").unwrap() > page.find("Content-Security-Policy").unwrap());
}

#[test]
fn top_cuts_the_page_and_says_so() {
    let root = registry().on_disk();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.html");
    let run = regc(["report", "--top", "1", "--root", root.path().to_str().unwrap(), "-o", path.to_str().unwrap()]);
    let page = fs::read_to_string(path).unwrap();
    let shown = &data(&page, "summary")["shown"];
    assert_eq!(shown["repositories"], 1);
    let all = shown["of_repositories"].as_u64().unwrap();
    assert!(all > 1);
    assert!(run.stdout.contains(&format!("It shows 1 of {all} repositories")), "{}", run.stdout);
}

#[test]
fn report_replaces_no_file_that_is_needed() {
    let root = registry().on_disk();
    let directory = tempfile::tempdir().unwrap();
    let storage = format!("{{filesystem: {{rootdirectory: {}}}}}", root.path().display());
    let config = config(&directory, &storage, "");
    let policy = directory.path().join("policy.yml");
    fs::write(&policy, "version: 1\nrules: [{repositories: '**', keep: 1}]\n").unwrap();
    let blob = files_below(root.path()).into_iter().find(|key| key.ends_with("/data")).unwrap();
    let dangling = directory.path().join("dangling");
    std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
    for output in [config.clone(), policy.clone(), root.path().join(blob), directory.path().to_owned(), dangling] {
        let content = || output.is_file().then(|| fs::read(&output).unwrap());
        let before = content();
        let arguments = ["report", config.to_str().unwrap(), "--policy", policy.to_str().unwrap(), "-o"];
        let run = regc(arguments.into_iter().chain([output.to_str().unwrap()]));
        assert_eq!(run.code, 1, "{output:?}: {}", run.stdout);
        assert!(run.stderr.contains(output.to_str().unwrap()), "{}", run.stderr);
        assert_eq!(content(), before, "{output:?}");
    }
}

#[test]
fn a_pipe_is_written_to_and_a_signal_ends_the_wait_for_who_reads_it() {
    let root = registry().on_disk();
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_regc"))
            .args(["report", "-o", pipe.to_str().unwrap(), "--root", root.path().to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut written = start();
    let page = fs::read_to_string(&pipe).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(written.wait().unwrap().success());
    let mut waiting = start();
    // It waits for who reads: without the signal, for ever.
    thread::sleep(Duration::from_secs(2));
    assert!(waiting.try_wait().unwrap().is_none());
    assert!(Command::new("kill").args(["-TERM", &waiting.id().to_string()]).status().unwrap().success());
    assert!(!waiting.wait().unwrap().success());
}

#[test]
fn page_goes_to_the_standard_output_without_a_file() {
    let root = registry().on_disk();
    for output in [&[][..], &["-o", "-"]] {
        let run = regc([&["report", "--root", root.path().to_str().unwrap()], output].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stdout.starts_with("<!DOCTYPE html>") && run.stdout.trim_end().ends_with("</html>"));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.jsonl");
    let root = root.path().to_str().unwrap();
    regc(["report", "--json", "--root", root, "-o", path.to_str().unwrap()]);
    let written = fs::read_to_string(path).unwrap();
    let types: Vec<Value> = lines(&Run { code: 0, stdout: written, stderr: String::new() });
    assert_eq!(types.last().unwrap()["type"], "summary");
}
