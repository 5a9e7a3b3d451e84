//! A stop or a failure at each change.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::SystemTime;

use regc_core::registry::layout;
use regc_core::stages;
use regc_core::stages::collect::plan::plan;
use regc_core::stages::collect::recover::scan_and_recover;
use regc_core::stages::collect::sweep::sweep;
use regc_core::stages::scan::Leftovers;
use regc_core::storage::TrashStorage;
use regc_core::storage::lock::{Access, Locked};
use regc_core::storage::memory::MemoryStorage;
use regc_core::trash::Header;
use regc_core::{Error, Outcome, Silent, trash};
use regc_testkit::generate::{self, Features};
use regc_testkit::wrapped::{Fault, Faulty};
use regc_testkit::{TestRegistry, oracle};

use crate::{DEFAULT, DIRECTORIES, Options, UNTAGGED, holder};

/// All leftovers that take up little space.
const TIDY: Leftovers = Leftovers {
    uploads_before: Some(SystemTime::UNIX_EPOCH),
    empty_repositories: true,
    every_tag: true,
    orphans_before: None,
    copies_before: None,
};

const ALL: Features = Features { referrers: true, partial_repositories: true };

pub fn header(run: &str) -> Header {
    Header {
        schema_version: 1,
        run: run.into(),
        started: 1_000_000,
        regc: "0".into(),
        command: "gc".into(),
        delete_untagged: true,
        min_age: 0,
        live: false,
    }
}

/// Does what a run of the command does.
pub fn run(storage: &dyn TrashStorage, options: Options, to_trash: Option<&str>) -> Result<Outcome, Error> {
    let locked = Locked::take(&storage, &holder())?;
    let scan = scan_and_recover(Access::Change(&locked), &options, &Silent)?;
    let header = to_trash.map(header);
    sweep(&locked, &plan(scan, &options)?, header.as_ref(), &Silent)
}

/// Returns the keys that are not in the trash.
pub fn outside(storage: &MemoryStorage) -> BTreeSet<String> {
    storage.keys().into_iter().filter(|key| !key.starts_with(".regc/")).collect()
}

/// Asserts that everything that is live exists, and no live link is dangling.
pub fn assert_intact(registry: &TestRegistry, options: Options, left: &BTreeSet<String>, when: &str) {
    for (repository, live) in oracle::live(registry, options.delete_untagged) {
        for digest in live {
            let links = [layout::layer_link(&repository, &digest), layout::revision_link(&repository, &digest)];
            for key in links.iter().chain([&layout::blob_data(&digest)]) {
                assert_eq!(left.contains(key), registry.get(key).is_some(), "{when}: {key}");
            }
        }
    }
    for key in left.iter().filter(|key| key.contains("/revisions/") || key.contains("/_layers/")) {
        let blob = layout::blob_data(&layout::digest_of_link(key).unwrap());
        assert!(left.contains(&blob) || registry.get(&blob).is_none(), "{when}: {key} leads to nothing");
    }
}

/// Runs with a fault at each change in turn, and then without.
fn at_each_change(fault: impl Fn(usize, usize) -> Fault + Copy + Send + Sync + 'static, what: &str) {
    for (seed, options, to_trash) in
        [(1, DEFAULT, None), (2, UNTAGGED, None), (3, UNTAGGED, None), (2, UNTAGGED, Some("first"))]
    {
        let registry = generate::registry(seed, ALL);
        let undisturbed = registry.in_memory(DIRECTORIES);
        let removed = run(&undisturbed, options, to_trash).unwrap().removed;
        let changes = removed.tag_index_entries + removed.revisions + removed.layer_links + removed.blobs;
        assert!(changes > 10, "seed {seed} has garbage");
        for k in 0..changes as usize {
            let when = format!("seed {seed}, {what} at change {k}");
            let storage = Faulty::changing(registry.in_memory(DIRECTORIES), move |n| fault(k, n));
            match run(&storage, options, to_trash) {
                Ok(outcome) if fault(k, k) != Fault::Error(ErrorKind::NotFound) => {
                    assert!(!outcome.failures.is_empty(), "{when} is told");
                }
                Ok(_) => {}
                Err(error) => {
                    assert!(to_trash.is_some() && k == 0, "{when}: {error}: only the journal is worth giving up for");
                    assert_eq!(outside(&storage.into_inner()), outside(&registry.in_memory(DIRECTORIES)), "{when}");
                    continue;
                }
            }
            let storage = storage.into_inner();
            assert_intact(&registry, options, &outside(&storage), &when);
            let again = run(&storage, options, to_trash.map(|_| "second")).unwrap();
            assert!(again.failures.is_empty());
            assert_eq!(outside(&storage), outside(&undisturbed), "{when}: the next run ends where one ends");
        }
    }
}

#[test]
fn stop_at_any_change_loses_nothing_and_the_next_run_finishes() {
    at_each_change(|k, n| if n < k { Fault::None } else { Fault::Error(ErrorKind::Other) }, "a stop");
}

#[test]
fn failure_of_any_change_loses_nothing_and_the_next_run_finishes() {
    at_each_change(|k, n| if n == k { Fault::Error(ErrorKind::Other) } else { Fault::None }, "EIO");
    at_each_change(|k, n| if n == k { Fault::Error(ErrorKind::StorageFull) } else { Fault::None }, "ENOSPC");
    at_each_change(|k, n| if n == k { Fault::Error(ErrorKind::PermissionDenied) } else { Fault::None }, "EACCES");
    at_each_change(|k, n| if n == k { Fault::Error(ErrorKind::NotFound) } else { Fault::None }, "ENOENT");
}

#[test]
fn a_failure_ends_only_what_depends_on_it() {
    let mut registry = TestRegistry::new();
    for image in ["a", "b", "c"] {
        let gone = registry.image(&format!("app:{image}")).layers([image]).push();
        registry.delete("app", &gone);
    }
    registry.image("app:kept").layers(["kept"]).push();
    let storage = Faulty::changing(registry.in_memory(DIRECTORIES), |n| {
        if n == 0 { Fault::Error(ErrorKind::Other) } else { Fault::None }
    });
    let outcome = run(&storage, DEFAULT, None).unwrap();
    assert_eq!(outcome.failures.len(), 1);
    assert_eq!((outcome.removed.layer_links, outcome.removed.blobs), (5, 8), "one link stays, and one blob with it");
    assert_eq!(outcome.spared.blobs, 1);
}

#[test]
fn restoring_can_be_stopped_at_any_change() {
    let registry = generate::registry(2, ALL);
    let before = outside(&registry.in_memory(DIRECTORIES));
    let trashed = || {
        let storage = registry.in_memory(DIRECTORIES);
        drop(run(&storage, UNTAGGED, Some("run")).unwrap());
        storage
    };
    let changes = stages::trash::list(&trashed(), &Silent).unwrap()[0].objects as usize;
    // The first change marks the run as being restored.
    for k in 1..=changes {
        let storage =
            Faulty::changing(trashed(), move |n| if n < k { Fault::None } else { Fault::Error(ErrorKind::Other) });
        let locked = Locked::take(&storage, &holder()).unwrap();
        let restored = stages::trash::restore(Access::Change(&locked), "run", None, 4, &Silent).unwrap();
        assert!(!restored.failures.is_empty());
        drop(locked);
        let storage = storage.into_inner();
        assert_intact(&registry, UNTAGGED, &outside(&storage), &format!("stop {k}"));
        // What is restored is kept, no matter what runs meanwhile.
        let back = outside(&storage);
        for options in [DEFAULT, Options { leftovers: TIDY, ..UNTAGGED }] {
            drop(run(&storage, options, None).unwrap());
            assert_eq!(outside(&storage), back, "stop {k}");
        }
        let locked = Locked::take(&storage, &holder()).unwrap();
        assert!(
            stages::trash::empty(Access::Change(&locked), trash::Runs::All, Some(u64::MAX), &Silent)
                .unwrap()
                .runs
                .is_empty(),
            "of no age"
        );
        assert!(stages::trash::restore(Access::Change(&locked), "run", None, 4, &Silent).unwrap().failures.is_empty());
        assert_eq!(outside(&storage), before, "stop {k}: the next restoration ends where one ends");
    }
}
