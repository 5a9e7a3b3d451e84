//! How many requests a run costs.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use regc_testkit::TestRegistry;
use regc_testkit::bucket::{self, BucketServer, Fate, Moto, Proxy};

use crate::{Configured, ROOT, next_second};

/// Runs regc, and returns the first lines of its requests.
fn requests(moto: &Moto, bucket: &str, arguments: &[&str]) -> Vec<String> {
    let proxy = Proxy::start(moto.address(), Duration::ZERO, |_, _| Fate::Pass);
    let run = Configured::new(proxy.address(), bucket).regc(arguments);
    assert!(run.code == 0 || bucket == "empty", "{}", run.stderr);
    proxy.requests()
}

#[test]
fn a_run_costs_few_requests_and_reads_no_manifest_twice() {
    let moto = Moto::start();
    let measured = bucket::measured_registry();
    moto.upload("registry", ROOT, &measured);
    moto.upload("untagged", ROOT, &measured);
    moto.create("empty");
    next_second();
    for (bucket, arguments, most) in [
        ("empty", &["gc", "--dry-run", "--allow-empty"][..], 10),
        ("registry", &["gc", "--dry-run"], 165),
        ("registry", &["gc"], 180),
        ("untagged", &["gc", "-m"], 260),
    ] {
        let requests = requests(&moto, bucket, arguments);
        assert!(requests.len() <= most, "{arguments:?}: {} requests, not {most}", requests.len());
        let reads: Vec<&String> = requests.iter().filter(|line| line.contains("/blobs/sha256/")).collect();
        let read: BTreeSet<&&String> = reads.iter().collect();
        assert_eq!(read.len(), reads.len(), "{arguments:?}: a manifest is read twice");
    }
}

#[test]
fn the_second_run_reads_only_the_manifests_that_are_new() {
    let moto = Moto::start();
    let mut registry = bucket::measured_registry();
    moto.upload("registry", ROOT, &registry);
    // What is younger may be written again within the same second.
    sleep(Duration::from_secs(4));
    let proxy = Proxy::start(moto.address(), Duration::ZERO, |_, _| Fate::Pass);
    let config = Configured::new(proxy.address(), "registry");
    let first = config.regc(&["gc", "-m"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let known: BTreeSet<String> = registry.keys().map(str::to_owned).collect();
    registry.image("new:v1").layers(["one"]).push();
    for key in registry.keys().filter(|key| !known.contains(*key)) {
        moto.put("registry", &format!("{ROOT}{key}"), registry.get(key).unwrap());
    }
    let before = proxy.requests().len();
    let second = config.regc(&["gc", "--dry-run"]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    let requests = proxy.requests().split_off(before);
    let reads = requests.iter().filter(|line| line.contains("/blobs/sha256/")).count();
    assert!(reads == 1 && requests.len() < 20, "{reads} reads in {} requests", requests.len());
}

#[test]
fn listings_of_many_keys_cost_little_more_than_their_pages() {
    let moto = Moto::start();
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["one"]).push();
    for number in 0..20_000 {
        registry.blob(format!("garbage {number}"));
    }
    moto.upload("registry", ROOT, &registry);
    next_second();
    let keys = moto.keys("registry").len();
    let requests = requests(&moto, "registry", &["gc", "--dry-run"]);
    let listings = requests.iter().filter(|line| line.contains("list-type=2")).count();
    assert!(listings <= keys * 12 / 10_000 + 20, "{listings} listings of {keys} keys");
}
