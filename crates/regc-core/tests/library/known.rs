//! What is remembered of manifests: with it, a plan deletes what it deletes without it, or less.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use regc_core::registry::layout;
use regc_core::{CollectOptions, Config, Digest, Disposal, Holder, Silent, Store};
use regc_testkit::generate::{self, Features};
use regc_testkit::{TestRegistry, layer, oracle};
use tempfile::TempDir;

const ALL: Features = Features { referrers: true, partial_repositories: true };

fn store(root: &Path, cache: Option<&Path>) -> Store {
    Store::open(&Config::at_root(root)).unwrap().manifest_cache(cache.map(Path::to_owned)).allow_empty(true)
}

/// Writes a registry whose files are an hour old.
fn on_disk(registry: &TestRegistry) -> TempDir {
    let directory = registry.on_disk();
    let then = SystemTime::now() - Duration::from_secs(3600);
    for path in registry.keys().map(|key| directory.path().join(key)).filter(|path| path.is_file()) {
        set_time(&path, then);
    }
    directory
}

fn set_time(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Collects, and remembers the manifests in a file.
fn remember(root: &Path, file: &Path) {
    let store = store(root, Some(file));
    let session = store.lock(&Holder::new("test")).unwrap();
    let mut plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
    plan.confirm();
    let outcome = session.execute(&plan, Disposal::Delete, &Silent).unwrap();
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    session.remember(&plan).unwrap();
}

/// What a plan deletes, and the findings.
fn planned(root: &Path, cache: Option<&Path>) -> (BTreeSet<String>, Vec<String>) {
    let mut options = CollectOptions::new().delete_untagged(true).allow_mostly_untagged(true).allow_missing(true);
    options = options.delete_empty_repositories(true).delete_empty_tags(true);
    let plan = store(root, cache).plan(&options, &Silent).unwrap();
    let findings = plan.findings().iter().map(|finding| finding.message()).collect();
    (plan.items().map(|item| serde_json::to_string(&item).unwrap()).collect(), findings)
}

fn manifests(registry: &TestRegistry) -> Vec<Digest> {
    let names = oracle::repositories(registry);
    let all: BTreeSet<Digest> = names.iter().flat_map(|name| oracle::revisions(registry, name)).collect();
    all.into_iter().collect()
}

fn data(root: &Path, digest: &Digest) -> PathBuf {
    root.join(layout::blob_data(digest))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_from_memory_deletes_what_any_other_does(seed: u64, other: u64, which: prop::sample::Index, change in 0..5) {
        let registry = generate::registry(seed, ALL);
        let (directory, elsewhere) = (on_disk(&registry), on_disk(&generate::registry(other, ALL)));
        let caches = tempfile::tempdir().unwrap();
        let [own, foreign, stale] = ["own", "foreign", "stale"].map(|name| caches.path().join(name));
        remember(elsewhere.path(), &foreign);
        remember(directory.path(), &stale);
        remember(directory.path(), &own);
        prop_assert!(fs::metadata(&own).unwrap().len() > 100 || manifests(&registry).is_empty());
        let root = directory.path();
        let remaining: Vec<Digest> = manifests(&registry).into_iter().filter(|digest| data(root, digest).exists()).collect();
        if !remaining.is_empty() {
            let path = data(root, which.get(&remaining));
            let content = fs::read(&path).unwrap();
            match change {
                0 => {}
                1 => fs::write(&path, &content[..content.len() / 2]).unwrap(),
                2 => fs::write(&path, vec![b' '; content.len()]).unwrap(),
                3 => fs::remove_file(&path).unwrap(),
                _ => fs::write(&path, b"{}").unwrap(),
            }
        }
        let without = planned(root, None);
        for cache in [&own, &foreign, &stale, &caches.path().join("absent")] {
            let with = planned(root, Some(cache));
            prop_assert_eq!(&with, &without, "{}", cache.display());
        }
    }

    #[test]
    fn what_a_decayed_manifest_needs_is_kept(seed: u64, which: prop::sample::Index) {
        let registry = generate::registry(seed, ALL);
        let directory = on_disk(&registry);
        let root = directory.path();
        let file = root.join(layout::MANIFEST_CACHE);
        remember(root, &file);
        let whole = planned(root, None);
        let remaining: Vec<Digest> = manifests(&registry).into_iter().filter(|digest| data(root, digest).exists()).collect();
        if !remaining.is_empty() {
            let path = data(root, which.get(&remaining));
            let (bytes, then) = fs::metadata(&path).map(|found| (found.len(), found.modified().unwrap())).unwrap();
            fs::write(&path, vec![0; bytes as usize]).unwrap();
            set_time(&path, then);
        }
        let (with, _) = planned(root, Some(&file));
        let (_, findings) = planned(root, None);
        prop_assert_eq!(&with, &whole.0, "what it needs is known");
        prop_assert!(remaining.is_empty() || findings.len() > whole.1.len());
    }
}

/// A registry of one image, its root, and the file of its memory.
fn remembered() -> (TestRegistry, TempDir, PathBuf) {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["one"]).push();
    registry.blob("garbage");
    let directory = on_disk(&registry);
    let file = directory.path().join(layout::MANIFEST_CACHE);
    remember(directory.path(), &file);
    (registry, directory, file)
}

#[test]
fn a_file_that_is_damaged_or_of_another_version_is_written_anew() {
    let (_, directory, file) = remembered();
    let whole = fs::read(&file).unwrap();
    let expected = planned(directory.path(), None);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&file, &damaged).unwrap();
        assert_eq!(planned(directory.path(), Some(&file)), expected, "byte {at}");
    }
    for length in [0, 1, 31, 32, 100, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        assert_eq!(planned(directory.path(), Some(&file)), expected, "{length} bytes");
    }
    remember(directory.path(), &file);
    assert_eq!(fs::read(&file).unwrap(), whole);
    // Whatever is in its place does no harm.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(planned(directory.path(), Some(&file)), expected);
    let store = store(directory.path(), Some(&file));
    let session = store.lock(&Holder::new("test")).unwrap();
    let plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
    let error = session.remember(&plan).unwrap_err().to_string();
    assert!(error.contains("cache of manifests") && error.contains(".regc/manifests"), "{error}");
    let left: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("manifests.")), "{left:?}");
}

#[test]
fn only_what_is_live_and_older_than_the_run_is_remembered() {
    let (mut registry, directory, file) = remembered();
    let one = fs::metadata(&file).unwrap().len();
    // Written just now: it may be written again without another time.
    let path = data(directory.path(), manifests(&registry).first().unwrap());
    set_time(&path, SystemTime::now());
    remember(directory.path(), &file);
    assert!(fs::metadata(&file).unwrap().len() < one);
    // What is deleted is forgotten.
    let second = registry.image("app:v2").layers(["two"]).push();
    let directory = on_disk(&registry);
    let file = directory.path().join(layout::MANIFEST_CACHE);
    remember(directory.path(), &file);
    let two = fs::metadata(&file).unwrap().len();
    assert!(two > one);
    fs::remove_file(directory.path().join(layout::revision_link("app", &second))).unwrap();
    remember(directory.path(), &file);
    assert_eq!(fs::metadata(&file).unwrap().len(), one);
}

#[test]
fn manifests_that_state_different_sizes_are_remembered_too() {
    let (mut registry, _directory, file) = remembered();
    let one = fs::metadata(&file).unwrap().len();
    let (layer, config) = (layer("one"), registry.layer("other", "config"));
    registry.layer("other", "one");
    for bytes in [7, 8] {
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.to_string(), "size": bytes },
            "layers": [{ "mediaType": "layer", "digest": layer.to_string(), "size": bytes }]
        });
        registry.manifest(&format!("other:v{bytes}"), manifest.to_string());
    }
    let directory = on_disk(&registry);
    let file = directory.path().join(layout::MANIFEST_CACHE);
    remember(directory.path(), &file);
    assert_eq!(planned(directory.path(), Some(&file)), planned(directory.path(), None));
    let known = fs::read(&file).unwrap();
    assert!(known.len() as u64 > one, "{} bytes", known.len());
    // What a killed run has left is deleted.
    let left = file.with_extension("4711");
    fs::write(&left, "half").unwrap();
    remember(directory.path(), &file);
    assert!(!left.exists() && fs::read(&file).unwrap() == known);
}
