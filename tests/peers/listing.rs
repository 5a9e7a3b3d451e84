//! What regc lists is what the registry lists, and what clients pull.

use std::collections::BTreeMap;
use std::fs;

use regc_testkit::peer::PeerRegistry;
use regc_testkit::{files_below, scenario};
use serde_json::Value;

use crate::common::regc;

#[test]
fn ls_lists_what_registry_lists() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let registry = PeerRegistry::start(root.path());
    scenario::play(&registry, &work.path().join("images"), 3000);
    let run = regc(["ls", "--format", "json", "--root", root.path().to_str().unwrap()]);
    let mut listed: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for line in run.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let (repository, tag) = (line["repository"].as_str().unwrap(), line["tag"].as_str().unwrap());
        listed.entry(repository.to_owned()).or_default().insert(tag.to_owned(), line);
    }

    let answer = |path: &str| -> Value { serde_json::from_slice(&registry.get(path).body).unwrap() };
    let names = |value: &Value| -> Vec<String> {
        let mut names: Vec<_> =
            value.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&answer("/v2/_catalog")["repositories"]), listed.keys().cloned().collect::<Vec<_>>());
    for (repository, tags) in &listed {
        let told = names(&answer(&format!("/v2/{repository}/tags/list"))["tags"]);
        assert_eq!(told, tags.keys().cloned().collect::<Vec<_>>(), "{repository}");
        for (tag, line) in tags {
            assert_eq!(line["digest"], registry.digest(repository, tag), "{repository}:{tag}");
            let pulled = work.path().join(format!("{}-{tag}", repository.replace('/', "-")));
            registry.pull(&format!("{repository}:{tag}"), &pulled);
            let files = files_below(&pulled).into_iter().filter(|file| file != "version");
            let bytes: u64 = files.map(|file| fs::metadata(pulled.join(file)).unwrap().len()).sum();
            assert_eq!(line["image"]["bytes"], bytes, "{repository}:{tag}");
        }
    }
    let kind = |repository: &str, tag: &str| listed[repository][tag]["image"]["kind"].clone();
    assert_eq!((kind("team/app", "v1"), kind("other", "list")), ("image".into(), "index".into()));
    assert_eq!(listed["other"]["list"]["image"]["platforms"], serde_json::json!(["linux/amd64", "linux/arm64"]));
}
