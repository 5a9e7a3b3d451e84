//! What a deletion would free, without a scan for each: the numbers of its plan.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use regc_core::inspect::reclaimable::Reclaimed;
use regc_core::registry::layout;
use regc_core::storage::DeleteStorage;
use regc_core::{CollectOptions, Config, Deletion, Digest, Disposal, Error, Holder, Silent, Store, Totals};
use regc_testkit::generate::{self, Features};
use regc_testkit::{TestRegistry, layer};

use crate::{DIRECTORIES, at};

/// Something that a deletion can name.
#[derive(Clone, Debug)]
enum Named {
    Repository(String),
    Tag(String, String, Option<Digest>),
    Manifest(String, Digest),
}

/// Lists everything that a deletion can name.
fn names(registry: &TestRegistry) -> Vec<Named> {
    let mut repositories = BTreeSet::new();
    let mut named = Vec::new();
    for key in registry.keys() {
        let Some(below) = key.strip_prefix(&format!("{}/", layout::REPOSITORIES)) else { continue };
        let Some((repository, inside)) = below.split_once("/_") else { continue };
        repositories.insert(repository.to_owned());
        if let Some(tag) = inside.strip_prefix("manifests/tags/").and_then(|tag| tag.strip_suffix("/current/link")) {
            let digest = std::str::from_utf8(registry.get(key).unwrap()).ok().and_then(|digest| digest.parse().ok());
            named.push(Named::Tag(repository.to_owned(), tag.to_owned(), digest));
        }
        if let Some(hex) = inside.strip_prefix("manifests/revisions/sha256/").and_then(|hex| hex.strip_suffix("/link"))
        {
            named.push(Named::Manifest(repository.to_owned(), format!("sha256:{hex}").parse().unwrap()));
        }
    }
    named.extend(repositories.into_iter().map(Named::Repository));
    named
}

fn deletion_of(named: &[Named]) -> Deletion {
    let mut deletion = Deletion::default();
    let whole = |named: &&Named| matches!(named, Named::Repository(_));
    for named in named.iter().filter(|named| !whole(named)).chain(named.iter().filter(whole)) {
        match named {
            Named::Repository(name) => deletion.repository(name),
            Named::Tag(repository, tag, digest) => deletion.tag(repository, tag, *digest),
            Named::Manifest(repository, digest) => deletion.manifest(repository, *digest),
        }
    }
    deletion
}

/// Asks both ways, and returns the answer, which is the same.
fn freed(store: &Store, deletions: &[Deletion]) -> Vec<Reclaimed> {
    let scan = store.scan(&Silent).unwrap();
    let reclaimable = store.reclaimable(&scan, &Silent).unwrap();
    let each = deletions.iter().map(|deletion| {
        let reclaimed = reclaimable.by(deletion, &Silent).unwrap();
        let plan = store.plan_deletion(deletion.clone(), &CollectOptions::new(), &Silent).unwrap();
        let mut totals = plan.totals();
        (totals.tag_index_entries, totals.layer_links) = (0, 0);
        let mut expected = Totals::default();
        expected.repositories = reclaimed.repositories;
        expected.tags = reclaimed.tags;
        expected.revisions = reclaimed.revisions;
        (expected.blobs, expected.bytes) = (reclaimed.blobs, reclaimed.bytes);
        (expected.uploads, expected.upload_bytes) = (reclaimed.uploads, reclaimed.upload_bytes);
        (expected.files, expected.file_bytes) = (reclaimed.files, reclaimed.file_bytes);
        assert_eq!(expected, totals, "{deletion:?}");
        assert_eq!(reclaimed.all_bytes(), totals.all_bytes());
        assert_eq!(reclaimed.blocked, plan.blocked(), "{deletion:?}");
        reclaimed
    });
    each.collect()
}

fn in_memory(registry: &TestRegistry) -> Store {
    let storage: Box<dyn DeleteStorage> = Box::new(registry.in_memory(DIRECTORIES));
    Store::with_storage(&Config::at_root("/"), storage).jobs(4)
}

fn on_disk(root: &Path) -> Store {
    let storage: Box<dyn DeleteStorage> = Box::new(at(root));
    Store::with_storage(&Config::at_root(root), storage).jobs(4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sum_is_that_of_the_plan(
        seed: u64,
        several in proptest::collection::vec(proptest::collection::vec(any::<prop::sample::Index>(), 1..12), 1..5),
        attached: Option<prop::sample::Index>,
        damaged: Option<prop::sample::Index>,
    ) {
        let mut registry = generate::registry(seed, Features { referrers: true, partial_repositories: true });
        if let Some(attached) = attached {
            let all = names(&registry);
            let manifests: Vec<_> = all.iter().filter(|named| matches!(named, Named::Manifest(..))).collect();
            if let Named::Manifest(repository, digest) = attached.get(&manifests) {
                registry.image(&format!("{repository}:sha256-{}.sig", digest.hex())).layers(["signed"]).push();
            }
        }
        if let Some(damaged) = damaged {
            let keys: Vec<String> = registry.keys().map(str::to_owned).collect();
            let key = damaged.get(&keys);
            // A repository without any directory is none, and a store may not lose all of its manifests.
            if !key.contains("/always/") {
                registry.put(key.clone(), "garbled");
            }
        }
        let all = names(&registry);
        let deletions: Vec<Deletion> = several
            .iter()
            .map(|indexes| deletion_of(&indexes.iter().map(|index| index.get(&all).clone()).collect::<Vec<_>>()))
            .collect();
        freed(&in_memory(&registry), &deletions);
    }
}

#[test]
fn shared_blobs_count_once_their_last_user_is_deleted() {
    let mut registry = TestRegistry::new();
    let a = registry.image("a:v1").layers(["shared", "a"]).push();
    let b = registry.image("b:v1").layers(["shared", "b"]).push();
    let (of_a, of_b) = (Named::Tag("a".into(), "v1".into(), Some(a)), Named::Tag("b".into(), "v1".into(), Some(b)));
    let both = [of_a, of_b];
    let deletions = [&both[..1], &both[1..], &both].map(deletion_of);
    let [a, b, both] = <[Reclaimed; 3]>::try_from(freed(&in_memory(&registry), &deletions)).unwrap();
    let shared = regc_testkit::layer_content("shared").len() as u64;
    assert_eq!(both.bytes, a.bytes + b.bytes + shared);
    assert_eq!(both.blobs, a.blobs + b.blobs + 1);
}

#[test]
fn content_is_not_counted_where_it_stays() {
    let mut registry = TestRegistry::new();
    registry.image("a:v1").layers(["a"]).push();
    registry.upload("a", "6d1c5e0b-0000-4000-8000-000000000000");
    let mut deletion = deletion_of(&[Named::Repository("a".into())]);
    let whole = freed(&in_memory(&registry), std::slice::from_ref(&deletion)).remove(0);
    assert!(whole.blobs == 3 && whole.uploads == 1 && whole.upload_bytes > 0, "{whole:?}");
    deletion.keep_content = true;
    let links = freed(&in_memory(&registry), &[deletion]).remove(0);
    assert_eq!((links.blobs, links.bytes, links.repositories), (0, 0, 1));
}

#[cfg(unix)]
#[test]
fn repositories_with_symbolic_links_are_kept_as_in_the_plan() {
    use std::os::unix::fs::symlink;
    let mut registry = TestRegistry::new();
    let lodger = registry.image("lodger:v1").layers(["lent"]).push();
    let owner = registry.image("owner:v1").layers(["own", "lent"]).push();
    registry.image("third:v1").layers(["elsewhere"]).push();
    let all = names(&registry);
    let root = registry.on_disk();
    let link = root.path().join(layout::layer_link("lodger", &layer("lent")));
    let link = link.parent().unwrap();
    fs::remove_dir_all(link).unwrap();
    symlink(root.path().join(layout::layer("owner", &layer("lent"))), link).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let blob = root.path().join(layout::blob(&layer("elsewhere")));
    fs::rename(&blob, elsewhere.path().join("blob")).unwrap();
    symlink(elsewhere.path().join("blob"), &blob).unwrap();
    let mut deletions: Vec<Deletion> = all.iter().map(|named| deletion_of(std::slice::from_ref(named))).collect();
    deletions.push(deletion_of(&all));
    let found = freed(&on_disk(root.path()), &deletions);
    assert!(found.iter().any(|found| !found.blocked.is_empty()));
    assert!(found.iter().any(|found| found.blobs > 0));
    assert_ne!(lodger, owner);
}

#[test]
fn what_an_incomplete_restore_brings_back_stays() {
    let mut registry = TestRegistry::new();
    registry.image("a:v1").layers(["shared", "a"]).push();
    let b = registry.image("b:v1").layers(["shared", "b"]).push();
    let root = registry.on_disk();
    let store = on_disk(root.path());
    let session = store.lock(&Holder::new("test")).unwrap();
    let mut deletion = Deletion::default();
    deletion.tag("b", "v1", Some(b));
    let plan = session.plan_deletion(deletion, &CollectOptions::new(), &Silent).unwrap();
    let run = session.execute(&plan, Disposal::Trash, &Silent).unwrap().trashed_as.unwrap();
    drop(session);
    fs::write(root.path().join(format!(".regc/trash/{run}/restoring")), "").unwrap();
    let deletions = ["a", "b"].map(|name| deletion_of(&[Named::Repository(name.into())]));
    let found = freed(&store, &deletions);
    assert!(found[0].blobs > 0 && !found[1].blocked.is_empty(), "{found:?}");
}

#[test]
fn a_monitor_stops_the_sum() {
    struct Stopped;
    impl regc_core::Monitor for Stopped {
        fn phase(&self, _: regc_core::Phase, _: Option<u64>) {}
        fn advance(&self, _: u64) {}
        fn is_stopped(&self) -> bool {
            true
        }
    }
    let mut registry = TestRegistry::new();
    registry.image("a:v1").layers(["a"]).push();
    let store = in_memory(&registry);
    let scan = store.scan(&Silent).unwrap();
    assert!(matches!(store.reclaimable(&scan, &Stopped), Err(Error::Interrupted)));
    let deletion = deletion_of(&[Named::Repository("a".into())]);
    let stopped = store.reclaimable(&scan, &Silent).unwrap().by(&deletion, &Stopped);
    assert!(matches!(stopped, Err(Error::Interrupted)));
}
