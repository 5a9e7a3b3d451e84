//! Images that are deleted through a real registry's API, and pulled again after `regc undelete`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use regc_testkit::oci_layout::{LayerSpec, OciLayout};
use regc_testkit::peer::{self, PeerRegistry};
use serde_json::Value;

use crate::common::{Run, regc};

struct Store {
    directory: tempfile::TempDir,
}

impl Store {
    /// Creates a store with two images of one platform, and an index of two platforms, pushed by skopeo.
    fn new() -> (Self, PeerRegistry) {
        let store = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(store.root()).unwrap();
        let mut images = OciLayout::create(store.directory.path().join("images"));
        let spec = |name| LayerSpec { name, bytes: 2000 };
        images.image("single", "amd64", &[spec("base"), spec("single")]);
        images.image("other", "amd64", &[spec("base"), spec("other")]);
        images.index("multi", &[("amd64", &[spec("base"), spec("amd")]), ("arm64", &[spec("base"), spec("arm")])]);
        let registry = PeerRegistry::start(&store.root());
        for (name, reference, format) in
            [("single", "team/app:v1", "v2s2"), ("other", "team/app:v2", "oci"), ("multi", "team/multi:v1", "oci")]
        {
            registry.push(&store.directory.path().join("images"), name, reference, format);
        }
        (store, registry)
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn regc(&self, arguments: &[&str]) -> Run {
        let config = peer::write_config(self.directory.path(), &self.root(), 0);
        regc([arguments, &["--config", config.to_str().unwrap()]].concat())
    }

    /// Returns what a client pulls, by file.
    fn pull(&self, registry: &PeerRegistry, reference: &str, to: &str) -> BTreeMap<String, Vec<u8>> {
        let directory = self.directory.path().join(to);
        registry.pull(reference, &directory);
        content(&directory)
    }
}

fn content(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn deleted_images_can_be_pulled_after_undelete() {
    let (store, registry) = Store::new();
    let mut cases = Vec::new();
    for (number, (repository, tag)) in [("team/app", "v1"), ("team/multi", "v1")].into_iter().enumerate() {
        let pulled = store.pull(&registry, &format!("{repository}:{tag}"), &format!("before-{number}"));
        cases.push((repository, tag, registry.digest(repository, tag), pulled));
    }
    let index: Value = serde_json::from_slice(&cases[1].3["manifest.json"]).unwrap();
    for (repository, tag, digest, _) in &cases {
        registry.delete(repository, digest);
        assert_eq!(registry.get(&format!("/v2/{repository}/manifests/{tag}")).status, 404);
    }
    for platform in index["manifests"].as_array().unwrap() {
        registry.delete("team/multi", platform["digest"].as_str().unwrap());
    }
    registry.stop();

    let listed = store.regc(&["ls", "--deleted", "--format", "json"]);
    let listed: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed.len(), 4);
    assert!(listed.iter().all(|line| line["whole"] == true && !line["deleted"].is_null()), "{listed:?}");
    for (repository, tag, digest, _) in &cases {
        let run = store.regc(&["undelete", &format!("{repository}@{digest}"), "--tag", tag]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    assert_eq!(store.regc(&["verify", "--content"]).code, 0);

    let registry = PeerRegistry::start(&store.root());
    for (number, (repository, tag, digest, pulled)) in cases.iter().enumerate() {
        assert_eq!(registry.digest(repository, tag), *digest);
        let again = store.pull(&registry, &format!("{repository}:{tag}"), &format!("after-{number}"));
        assert!(again == *pulled, "{repository}:{tag} is pulled as it was");
    }
    assert_eq!(registry.get("/v2/team/app/manifests/v2").status, 200);
}

#[test]
fn everything_deleted_within_two_hours_can_be_pulled_by_digest_after_undelete() {
    let (store, registry) = Store::new();
    let digests = ["v1", "v2"].map(|tag| registry.digest("team/app", tag));
    digests.iter().for_each(|digest| registry.delete("team/app", digest));
    registry.stop();
    let run = store.regc(&["undelete", "--all-since", "2h"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.ends_with("2 images undeleted, 2 links written.\n"), "{}", run.stdout);
    // What is linked again survives a collection by either program.
    assert_eq!(store.regc(&["gc"]).code, 0);
    let config = peer::write_config(store.directory.path(), &store.root(), 0);
    assert!(peer::garbage_collect(&config, &[]).status.success());
    let registry = PeerRegistry::start(&store.root());
    for (number, digest) in digests.iter().enumerate() {
        let pulled = store.pull(&registry, &format!("team/app@{digest}"), &format!("pulled-{number}"));
        assert!(pulled.len() >= 4);
    }
}

#[test]
fn undelete_is_refused_while_a_registry_runs_that_can_be_written_to() {
    let (store, registry) = Store::new();
    let digest = registry.digest("team/app", "v1");
    registry.delete("team/app", &digest);
    let port = registry.address().rsplit(':').next().unwrap().parse().unwrap();
    let config = peer::write_config(store.directory.path(), &store.root(), port);
    let name = format!("team/app@{digest}");
    let run = regc(["undelete", &name, "--config", config.to_str().unwrap()]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("a registry answers"), "{}", run.stderr);
}
