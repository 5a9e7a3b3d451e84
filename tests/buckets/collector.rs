//! What a collection leaves in a bucket: what it leaves on disk, and what the registry's own command leaves.

use std::collections::BTreeSet;

use regc_testkit::bucket::{self, BucketServer, Moto};
use regc_testkit::generate::{self, Features};
use regc_testkit::oci_layout::{LayerSpec, OciLayout};
use regc_testkit::{TestRegistry, files_below, peer};

use crate::common::gc;
use crate::{Configured, ROOT, next_second};

/// Collects generated registries on disk and in a server's buckets, and compares what is left. Returns how many could be
/// compared: an empty link at Azure is one that is being written, and what it is in is kept.
pub fn collects_as_on_disk(server: &dyn BucketServer, prefix: &str, registries: u64) -> u64 {
    let registries: Vec<TestRegistry> =
        (0..registries).map(|seed| generate::registry(seed, Features::default())).collect();
    for (seed, registry) in registries.iter().enumerate() {
        server.upload(&format!("store-{seed}"), prefix, registry);
    }
    next_second();
    let mut compared = 0;
    for (seed, registry) in registries.iter().enumerate() {
        let options: &[&str] = match seed % 3 {
            0 => &[],
            1 => &["-m"],
            _ => &["-m", "--tidy"],
        };
        let bucket = format!("store-{seed}");
        let config = Configured::on(server, &bucket, prefix.trim_start_matches('/'));
        let root = registry.on_disk();
        let planned = config.regc(&[&["gc", "--dry-run"], options].concat());
        // On a slow machine, manifests become old enough to be remembered, beside the store.
        let on_disk = gc(root.path(), &[options, &["--no-cache"]].concat());
        let in_bucket = config.regc(&[&["gc"], options].concat());
        if in_bucket.stdout.contains("is writing it") {
            continue;
        }
        assert_eq!(in_bucket.code, on_disk.code, "seed {seed}: {} {}", in_bucket.stderr, on_disk.stderr);
        assert_eq!(planned.code, on_disk.code, "seed {seed}: {}", planned.stderr);
        let left: BTreeSet<String> =
            server.keys(&bucket).iter().map(|key| key.strip_prefix(prefix).unwrap().to_owned()).collect();
        assert_eq!(left, files_below(root.path()), "seed {seed} {options:?}");
        compared += 1;
    }
    compared
}

#[test]
fn gc_deletes_in_a_bucket_what_it_deletes_on_disk() {
    assert_eq!(collects_as_on_disk(&Moto::start(), ROOT, 100), 100);
}

#[test]
fn gc_leaves_what_garbage_collect_leaves_and_all_can_be_pulled() {
    let moto = Moto::start();
    moto.create("registry");
    let config = bucket::config(moto.address(), "registry", ROOT, "");
    let registry = peer::PeerRegistry::start_with(&config);
    let directory = tempfile::tempdir().unwrap();
    let mut layout = OciLayout::create(directory.path().join("images"));
    let [base, one, two] = ["base", "one", "two"].map(|name| LayerSpec { name, bytes: 1000 });
    layout.image("one", "amd64", &[base, one]);
    layout.image("two", "amd64", &[base, two]);
    layout.index("both", &[("amd64", &[base, two]), ("arm64", &[base])]);
    registry.push(layout.path(), "one", "team/app:v1", "v2s2");
    registry.push(layout.path(), "two", "team/app:v2", "oci");
    registry.push(layout.path(), "both", "other:multi", "oci");
    registry.delete("team/app", &registry.digest("team/app", "v1"));
    registry.stop();
    // The registry's own command on a copy.
    moto.create("copy");
    for (key, content) in moto.objects("registry") {
        moto.put("copy", &key, &content);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yml");
    std::fs::write(&path, bucket::config(moto.address(), "copy", ROOT, "http: {addr: \"127.0.0.1:0\"}\n")).unwrap();
    let theirs = peer::garbage_collect(&path, &[]);
    assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
    next_second();
    let ours = Configured::new(moto.address(), "registry").regc(&["gc"]);
    assert_eq!(ours.code, 0, "{}", ours.stderr);
    let blobs = |bucket: &str| -> BTreeSet<String> {
        moto.keys(bucket).into_iter().filter(|key| key.contains("/blobs/")).collect()
    };
    assert!(ours.stdout.contains("Removed"), "{}", ours.stdout);
    assert_eq!(blobs("registry"), blobs("copy"));
    let registry = peer::PeerRegistry::start_with(&config);
    for image in ["team/app:v2", "other:multi"] {
        registry.pull(image, tempfile::tempdir().unwrap().path());
    }
    // What was deleted can be pushed again.
    registry.push(layout.path(), "one", "team/app:v1", "v2s2");
    registry.pull("team/app:v1", tempfile::tempdir().unwrap().path());
}
