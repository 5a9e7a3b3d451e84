//! A registry's life with real clients: push, stop, collect, start, pull.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regc_core::{Algorithm, Digest};
use regc_testkit::peer::{self, PeerRegistry};
use regc_testkit::scenario::{self, Scenario};
use regc_testkit::{blobs_below, files_below};
use serde_json::Value;

use crate::common::{Run, regc};

/// A store with all that happens to a registry.
struct Store {
    root: tempfile::TempDir,
    work: tempfile::TempDir,
    scenario: Scenario,
}

fn store() -> Store {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let registry = PeerRegistry::start(root.path());
    let scenario = scenario::play(&registry, &work.path().join("images"), 20_000);
    let list: Value = serde_json::from_slice(&registry.get("/v2/other/manifests/list").body).unwrap();
    assert_eq!(list["mediaType"], "application/vnd.docker.distribution.manifest.list.v2+json");
    registry.stop();
    Store { root, work, scenario }
}

impl Store {
    fn regc(&self, arguments: &[&str]) -> Run {
        let config = peer::write_config(self.work.path(), self.root.path(), 0);
        regc([&["gc"], arguments, &[config.to_str().unwrap()]].concat())
    }

    /// Returns every tag as it is pulled: each file with its content.
    fn pulled(&self) -> BTreeMap<&'static str, BTreeMap<String, Vec<u8>>> {
        let registry = PeerRegistry::start(self.root.path());
        let pull = |tag: &'static str| {
            let directory = tempfile::tempdir().unwrap();
            registry.pull(tag, directory.path());
            let files = files_below(directory.path());
            let contents = files.into_iter().map(|file| {
                let content = fs::read(directory.path().join(&file)).unwrap();
                (file, content)
            });
            (tag, contents.collect())
        };
        scenario::TAGS.map(pull).into()
    }

    /// Returns the statuses of the responses for a manifest of a repository and for these blobs.
    fn statuses(&self, repository: &str, manifest: &str, blobs: &[String]) -> Vec<u16> {
        let registry = PeerRegistry::start(self.root.path());
        let manifest = format!("/v2/{repository}/manifests/{manifest}");
        let blobs = blobs.iter().map(|blob| format!("/v2/{repository}/blobs/{blob}"));
        [manifest].into_iter().chain(blobs).map(|path| registry.get(&path).status).collect()
    }
}

/// Returns the config and layers of an image in an OCI layout.
fn blobs_of(layout: &Path, name: &str) -> Vec<String> {
    let read = |path: &str| -> Value { serde_json::from_slice(&fs::read(layout.join(path)).unwrap()).unwrap() };
    let index = read("index.json");
    let named = index["manifests"].as_array().unwrap().iter();
    let image = named.into_iter().find(|m| m["annotations"]["org.opencontainers.image.ref.name"] == name).unwrap();
    let manifest = read(&image["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/"));
    let parts = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
    parts.map(|part| part["digest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_image_that_should_be_there_is_pulled_as_it_was() {
    let store = store();
    let before = store.pulled();
    let dry = store.regc(&["--dry-run", "--format", "json"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    let (size_before, files) = (bytes_of_blobs(store.root.path()), files_below(store.root.path()));
    let real = store.regc(&["--format", "json"]);
    assert_eq!(real.code, 0, "{}", real.stderr);

    assert_eq!(store.pulled(), before, "byte for byte");
    let told = summary(&dry)["garbage"]["bytes"].as_u64().unwrap();
    assert_eq!(size_before - bytes_of_blobs(store.root.path()), told, "the dry run tells what the real run frees");
    assert!(told > 20_000);
    assert!(files.iter().any(|file| file.contains("_uploads")));
    assert!(files_below(store.root.path()).iter().any(|file| file.contains("_uploads")), "a cut off push can go on");

    // What was deleted is gone, except the base layer, which another image of the repository uses.
    let [base, doomed, config] = &blobs_of(&store.scenario.images, "doomed")[..] else { panic!() };
    let parts = [base.clone(), doomed.clone(), config.clone()];
    assert_eq!(store.statuses("team/app", &store.scenario.doomed, &parts), [404, 200, 404, 404]);
    assert_eq!(store.statuses("other", &store.scenario.overwritten, &[]), [200], "untagged, and still there");

    // And it can be pushed again.
    let registry = PeerRegistry::start(store.root.path());
    registry.push(&store.scenario.images, "doomed", "team/app:doomed", "oci");
    registry.pull("team/app:doomed", &store.work.path().join("again"));
    assert_eq!(registry.digest("team/app", "doomed"), store.scenario.doomed);
}

#[test]
fn gc_deletes_untagged_manifests_and_keeps_all_platforms() {
    let store = store();
    let before = store.pulled();
    let run = store.regc(&["-m", "--format", "json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let removed = &summary(&run)["removed"];
    assert_eq!((&removed["revisions"], &removed["tag_index_entries"]), (&1.into(), &1.into()), "the overwritten image");
    assert_eq!(store.pulled(), before, "byte for byte, all platforms");
    assert_eq!(store.statuses("other", &store.scenario.overwritten, &[]), [404]);

    let again = store.regc(&["-m", "--format", "json"]);
    assert_eq!(summary(&again)["garbage"]["blobs"], 0);
    let registry = PeerRegistry::start(store.root.path());
    registry.push(&store.scenario.images, "one", "other:moving", "v2s2");
    assert_eq!(registry.digest("other", "moving"), store.scenario.overwritten);
}

#[test]
fn a_dry_run_beside_a_running_registry_changes_nothing() {
    let store = store();
    let before = files_below(store.root.path());
    let registry = PeerRegistry::start(store.root.path());
    for arguments in [&["-d"][..], &["-d", "-m"]] {
        assert_eq!(store.regc(arguments).code, 0);
    }
    registry.stop();
    assert_eq!(files_below(store.root.path()), before);
}

#[test]
fn a_layer_that_was_pushed_by_its_sha512_digest_can_still_be_pulled() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let content = b"a layer that its client calls by another algorithm";
    let (asked, stored) = (Digest::of(Algorithm::Sha512, content), Digest::of(Algorithm::Sha256, content));
    let config = Digest::of(Algorithm::Sha256, b"{}");
    let registry = PeerRegistry::start(root.path());
    registry.upload("app", &asked.to_string(), content);
    registry.upload("app", &config.to_string(), b"{}");
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
            "config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},
            "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{asked}","size":{}}}]}}"#,
        content.len()
    );
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    assert_eq!(registry.send_as("PUT", "/v2/app/manifests/v1", media_type, manifest.as_bytes()).status, 201);
    registry.stop();
    let layer = || PeerRegistry::start(root.path()).get(&format!("/v2/app/blobs/{asked}"));
    assert_eq!(layer().body, content);

    let config = peer::write_config(work.path(), root.path(), 0);
    assert_eq!(regc(["gc", "-m", config.to_str().unwrap()]).code, 0);
    assert_eq!((layer().status, layer().body), (200, content.to_vec()));
    assert!(blobs_below(root.path()).contains(&stored));
    // The registry's own command deletes it.
    assert!(peer::garbage_collect(&config, &[]).status.success());
    assert_eq!(layer().status, 404);
}

#[test]
fn a_platform_that_an_index_names_by_its_sha512_digest_can_still_be_pulled() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let registry = PeerRegistry::start(root.path());
    let upload = |algorithm, content: &[u8]| {
        let digest = Digest::of(algorithm, content).to_string();
        registry.upload("app", &digest, content);
        digest
    };
    let (config, layer) = (upload(Algorithm::Sha256, b"{}"), upload(Algorithm::Sha256, b"of the platform"));
    let manifest =
        format!(r#"{{"schemaVersion":2,"config":{{"digest":"{config}"}},"layers":[{{"digest":"{layer}"}}]}}"#);
    let child = upload(Algorithm::Sha512, manifest.as_bytes());
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[{{"digest":"{child}","size":{},
            "mediaType":"application/vnd.oci.image.manifest.v1+json"}}]}}"#,
        manifest.len()
    );
    assert_eq!(registry.send_as("PUT", "/v2/app/manifests/v1", media_type, index.as_bytes()).status, 201);
    registry.stop();
    let statuses = || {
        let registry = PeerRegistry::start(root.path());
        let paths = [format!("manifests/{child}"), format!("blobs/{config}"), format!("blobs/{layer}")];
        paths.map(|path| registry.get(&format!("/v2/app/{path}")).status)
    };
    assert_eq!(statuses(), [200; 3]);
    let config = peer::write_config(work.path(), root.path(), 0);
    for mode in [&["gc"][..], &["gc", "-m"]] {
        assert_eq!(regc([mode, &[config.to_str().unwrap()]].concat()).code, 0);
        assert_eq!(statuses(), [200; 3], "{mode:?}");
    }
}

fn bytes_of_blobs(root: &Path) -> u64 {
    let files = files_below(root).into_iter().filter(|file| regc_testkit::blob_of(file).is_some());
    files.map(|file| fs::metadata(root.join(file)).unwrap().len()).sum()
}

fn summary(run: &Run) -> Value {
    let summary: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(summary["type"], "summary");
    summary
}
