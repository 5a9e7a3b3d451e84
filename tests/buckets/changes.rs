//! What is pushed while a collection runs stays, and a collection that is killed is finished by the next one.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::sleep;
use std::time::Duration;

use regc_core::registry::layout;
use regc_core::{CollectOptions, Config, Disposal, Holder, Phase, Silent, Store};
use regc_testkit::at::At;
use regc_testkit::bucket::{self, BucketServer, Fate, Moto, Proxy};
use regc_testkit::oci_layout::{LayerSpec, OciLayout};
use regc_testkit::peer::PeerRegistry;
use regc_testkit::{TestRegistry, layer};

use crate::{Configured, ROOT, next_second};

/// A store with a deleted image, an untagged index with its platforms, and an image that stays.
fn registry() -> TestRegistry {
    let mut registry = TestRegistry::new();
    let deleted = registry.image("app:old").layers(["base", "deleted"]).push();
    registry.delete("app", &deleted);
    let platform = registry.image("app").layers(["base", "platform"]).push();
    registry.index("app").manifests([platform]).push();
    registry.image("app:v1").layers(["base", "kept"]).push();
    registry
}

/// Opens a bucket's store.
fn open(moto: &Moto, bucket: &str) -> Store {
    let text = bucket::config(moto.address(), bucket, ROOT, "");
    Store::open(&Config::parse(&text, []).unwrap()).unwrap()
}

#[test]
fn image_pushed_between_the_two_listings_saves_its_blobs() {
    let moto = Moto::start();
    moto.upload("registry", ROOT, &registry());
    next_second();
    let store = open(&moto, "registry");
    let session = store.lock(&Holder::new("test")).unwrap();
    let plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
    assert_eq!(plan.totals().blobs, 3, "the manifest, the configuration and the layer of the deleted image");
    let mut pushed = TestRegistry::new();
    pushed.image("other:new").layers(["deleted"]).push();
    let push = At(Phase::Rescan, || {
        // Of its content, only what the registry does not have.
        for key in pushed.keys().filter(|key| **key != *layout::blob_data(&layer("deleted"))) {
            moto.put("registry", &format!("{ROOT}{key}"), pushed.get(key).unwrap());
        }
    });
    let outcome = session.execute(&plan, Disposal::Delete, &push).unwrap();
    assert!(outcome.failures.is_empty() && outcome.spared.blobs == 1, "{outcome:?}");
    assert!(moto.keys("registry").contains(&format!("{ROOT}{}", layout::blob_data(&layer("deleted")))));
}

#[test]
fn image_pushed_again_between_the_two_listings_saves_layers_that_are_linked_already() {
    let moto = Moto::start();
    moto.upload("registry", ROOT, &registry());
    next_second();
    let store = open(&moto, "registry");
    let session = store.lock(&Holder::new("test")).unwrap();
    let plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
    // In the same repository, the link of the layer is there: only a new manifest shows that it is needed.
    let mut pushed = TestRegistry::new();
    pushed.image("app:new").layers(["deleted"]).created("2027-01-01T00:00:00Z").push();
    let before = moto.keys("registry");
    let push = At(Phase::Rescan, || {
        for key in pushed.keys().filter(|key| !before.contains(&format!("{ROOT}{key}"))) {
            moto.put("registry", &format!("{ROOT}{key}"), pushed.get(key).unwrap());
        }
    });
    let outcome = session.execute(&plan, Disposal::Delete, &push).unwrap();
    assert!(outcome.failures.is_empty(), "{outcome:?}");
    let left = moto.keys("registry");
    let missing: Vec<&str> = pushed.keys().filter(|key| !left.contains(&format!("{ROOT}{key}"))).collect();
    assert_eq!(missing, Vec::<&str>::new(), "what was pushed needs it");
}

#[test]
fn a_collection_killed_at_any_request_is_finished_by_the_next() {
    let moto = Moto::start();
    moto.upload("whole", ROOT, &registry());
    next_second();
    let run = Configured::new(moto.address(), "whole").regc(&["gc", "-m"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let finished: BTreeSet<String> = moto.keys("whole").into_iter().collect();
    let live: BTreeSet<String> = finished.clone();
    for kill_at in 0.. {
        let bucket = format!("killed-{kill_at}");
        moto.upload(&bucket, ROOT, &registry());
        next_second();
        let (reached, killed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (reaches, is_killed) = (reached.clone(), killed.clone());
        let proxy = Proxy::start(moto.address(), Duration::ZERO, move |number, _| {
            if number != kill_at || is_killed.load(Relaxed) {
                return Fate::Pass;
            }
            reaches.store(1, Relaxed);
            while !is_killed.load(Relaxed) {
                sleep(Duration::from_millis(1));
            }
            Fate::Answer("503 Killed", String::new())
        });
        let config = Configured::new(proxy.address(), &bucket);
        let mut child = Command::new(env!("CARGO_BIN_EXE_regc"))
            .args(["gc", "-m", "-q", "--jobs", "1", "--config"])
            .arg(config.path())
            .env("XDG_CACHE_HOME", config.path().parent().unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let is_over = loop {
            if reached.load(Relaxed) == 1 {
                child.kill().unwrap();
                break false;
            }
            if child.try_wait().unwrap().is_some() {
                break true;
            }
            sleep(Duration::from_millis(1));
        };
        child.wait().unwrap();
        killed.store(true, Relaxed);
        let left: BTreeSet<String> = moto.keys(&bucket).into_iter().collect();
        assert!(live.is_subset(&left), "killed at request {kill_at}: something that is in use is gone");
        let run = Configured::new(moto.address(), &bucket).regc(&["gc", "-m"]);
        assert_eq!(run.code, 0, "killed at request {kill_at}: {}", run.stderr);
        let left: BTreeSet<String> = moto.keys(&bucket).into_iter().collect();
        assert_eq!(left, finished, "killed at request {kill_at}");
        if is_over {
            assert!(kill_at > 10, "{kill_at} requests");
            break;
        }
    }
}

#[test]
fn abandoned_uploads_are_aborted_and_recent_ones_are_not() {
    let moto = Moto::start();
    moto.create("registry");
    let text = bucket::config(moto.address(), "registry", ROOT, "");
    let registry = PeerRegistry::start_with(&text);
    let directory = tempfile::tempdir().unwrap();
    let mut layout = OciLayout::create(directory.path());
    layout.image("one", "amd64", &[LayerSpec { name: "one", bytes: 1000 }]);
    registry.push(layout.path(), "one", "app:v1", "oci");
    registry.begin_upload("app", b"half of a layer");
    registry.stop();
    let pending = || moto.pending_uploads("registry");
    assert_eq!(pending(), 1, "the registry's driver uploads in parts");
    next_second();
    let config = Configured::new(moto.address(), "registry");
    let run = config.regc(&["gc", "--purge-uploads=1h"]);
    assert!(run.code == 0 && pending() == 1, "it is recent: {}", run.stderr);
    let run = config.regc(&["gc", "--purge-uploads=1s", "--dry-run"]);
    assert!(run.stdout.contains("1 upload") && pending() == 1, "{}", run.stdout);
    let run = config.regc(&["gc", "--purge-uploads=1s"]);
    assert!(run.code == 0 && pending() == 0, "{}{}", run.stdout, run.stderr);
    assert!(!moto.keys("registry").iter().any(|key| key.contains("_uploads")), "{:?}", moto.keys("registry"));
}

#[test]
fn deletions_in_a_bucket_that_keeps_versions_say_so() {
    let moto = Moto::start();
    moto.upload("registry", ROOT, &registry());
    moto.keep_versions("registry");
    next_second();
    let run = Configured::new(moto.address(), "registry").regc(&["gc", "--dry-run"]);
    assert!(run.stderr.contains("the bucket is versioned"), "{}", run.stderr);
}
