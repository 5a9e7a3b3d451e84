//! Pushes while regc runs, and runs that are killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use regc_core::Digest;
use regc_core::registry::layout;
use regc_testkit::oci_layout::{LayerSpec, OciLayout};
use regc_testkit::peer::{self, PeerRegistry};
use regc_testkit::scenario;
use regc_testkit::{TestRegistry, blobs_below, files_below};
use serde_json::Value;

use crate::common::regc;

/// Requests a manifest and everything that it refers to from a registry, as a client that pulls does; fails unless all
/// of it is there and matches its digest.
fn assert_pulls(registry: &PeerRegistry, repository: &str, reference: &str, when: &str) {
    let answer = registry.get(&format!("/v2/{repository}/manifests/{reference}"));
    assert_eq!(answer.status, 200, "{when}: {repository}:{reference}");
    if let Ok(digest) = reference.parse::<Digest>() {
        assert_eq!(Digest::of(digest.algorithm(), &answer.body), digest, "{when}");
    }
    let manifest: Value = serde_json::from_slice(&answer.body).unwrap();
    let named = |field: &str| manifest[field].as_array().into_iter().flatten().cloned().collect::<Vec<Value>>();
    for child in named("manifests") {
        assert_pulls(registry, repository, child["digest"].as_str().unwrap(), when);
    }
    let config = manifest.get("config").cloned();
    for blob in named("layers").into_iter().chain(config) {
        let digest: Digest = blob["digest"].as_str().unwrap().parse().unwrap();
        let answer = registry.get(&format!("/v2/{repository}/blobs/{digest}"));
        assert_eq!(answer.status, 200, "{when}: {repository}:{reference} needs {digest}");
        assert_eq!(Digest::of(digest.algorithm(), &answer.body), digest, "{when}");
    }
}

#[test]
fn pushes_that_reuse_old_layers_succeed_while_regc_runs() {
    const IMAGES: usize = 100;
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let names: Vec<String> = (0..IMAGES).map(|n| format!("image-{n}")).collect();
    let mut images = OciLayout::create(work.path().join("images"));
    let layer = |name| LayerSpec { name, bytes: 500 };
    for name in &names {
        images.image(name, "amd64", &[layer("base"), layer(name)]);
    }
    let images = images.path().to_owned();
    let registry = PeerRegistry::start(root.path());
    for name in &names {
        registry.push(&images, name, &format!("app:{name}"), "oci");
        registry.delete("app", &registry.digest("app", name));
    }
    // Old enough that age protects none of it.
    let old = SystemTime::now() - Duration::from_secs(2 * 3600);
    for key in files_below(root.path()) {
        File::open(root.path().join(key)).unwrap().set_modified(old).unwrap();
    }
    let config = peer::write_config(work.path(), root.path(), 0);
    let config = config.to_str().unwrap();
    let live = || {
        let run = regc(["gc", "--live", "--format", "json", "--quiet", config]);
        // 1: a manifest was being written, and nothing was deleted.
        assert!([0, 1, 3].contains(&run.code), "{}", run.stderr);
        assert!(run.code != 1 || run.stderr.contains("is being written"), "{}", run.stderr);
        run.stdout
            .lines()
            .last()
            .and_then(|line| serde_json::from_str::<Value>(line).ok())
            .map_or(0, |summary| summary["removed"]["blobs"].as_u64().unwrap())
    };

    let is_done = AtomicBool::new(false);
    let (mut runs, mut removed) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for name in &names {
                // A layer may be deleted between the client's check for it and the push of its manifest. The registry
                // reports that, and a client starts again.
                for attempt in 0.. {
                    let source = format!("oci:{}:{name}", images.display());
                    let target = registry.image(&format!("app:{name}"));
                    let mut push = Command::new("skopeo");
                    push.args(["--insecure-policy", "copy", "--dest-tls-verify=false", "--format", "oci"]);
                    if push.args([&source, &target]).output().unwrap().status.success() {
                        break;
                    }
                    assert!(attempt < 5, "{name} cannot be pushed");
                }
            }
            is_done.store(true, Relaxed);
        });
        while !is_done.load(Relaxed) {
            removed += live();
            runs += 1;
        }
    });
    assert!(runs > 3 && removed > 10, "{runs} runs beside the pushes have removed {removed} blobs");
    live();
    for name in &names {
        assert_pulls(&registry, "app", name, "after all");
    }
}

/// Copies a store on the same disk.
fn copy(store: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-a", "--reflink=auto"]).arg(store).arg(to).status().unwrap();
    assert!(copied.success());
}

/// Runs `regc` and kills it at a random moment of the time that it takes.
fn kill_at_random(arguments: &[&str], takes: Duration, rng: &mut Rng) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_regc"))
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    sleep(takes.mul_f64(rng.f64()));
    process.kill().ok();
    process.wait().unwrap();
}

/// Creates a store that a real registry wrote, with much garbage besides. It is on a disk: in memory, a run is over before it can
/// be killed.
fn store() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = directory.path().join("store");
    fs::create_dir(&root).unwrap();
    let registry = PeerRegistry::start(&root);
    scenario::play(&registry, &directory.path().join("images"), 2000);
    registry.stop();
    let mut garbage = TestRegistry::new();
    for image in 0..60 {
        let name = format!("garbage-{}", image % 5);
        let gone = garbage.image(&name).layers((0..4).map(|n| format!("{image} {n}"))).push();
        garbage.delete(&name, &gone);
    }
    garbage.write_to(&root);
    (directory, root)
}

#[test]
fn killed_run_loses_no_image_and_the_next_run_finishes() {
    let (directory, store) = store();
    let undisturbed = directory.path().join("undisturbed");
    copy(&store, &undisturbed);
    let started = Instant::now();
    assert_eq!(regc(["gc", "-m", "--root", undisturbed.to_str().unwrap()]).code, 0);
    let takes = started.elapsed();
    let (all, expected) = (blobs_below(&store), blobs_below(&undisturbed));
    let links_and_blobs = |root: &Path| files_below(root).iter().filter(|key| key.starts_with("docker")).count();
    let whole_states = [links_and_blobs(&store), links_and_blobs(&undisturbed)];
    let mut rng = Rng::with_seed(7);
    let mut cut_off = 0;
    let rounds = std::env::var("REGC_KILLS").map_or(30, |rounds| rounds.parse().expect("REGC_KILLS is a number"));
    for round in 0..rounds {
        let root = directory.path().join(format!("round-{round}"));
        copy(&store, &root);
        let path = root.to_str().unwrap();
        let what = ["removing", "trashing", "restoring"][round % 3];
        match what {
            "removing" => kill_at_random(&["gc", "-m", "--root", path], takes, &mut rng),
            "trashing" => kill_at_random(&["gc", "-m", "--trash", "--root", path], takes, &mut rng),
            _ => {
                assert_eq!(regc(["gc", "-m", "--trash", "--root", path]).code, 0);
                kill_at_random(&["trash", "restore", "--root", path], takes, &mut rng);
            }
        }
        cut_off += usize::from(!whole_states.contains(&links_and_blobs(&root)));
        let when = format!("round {round}, {what}");
        let registry = PeerRegistry::start(&root);
        for tag in scenario::TAGS {
            let (repository, tag) = tag.split_once(':').unwrap();
            assert_pulls(&registry, repository, tag, &when);
        }
        registry.stop();
        // No revision link is dangling.
        for key in files_below(&root).iter().filter(|key| key.starts_with("docker") && key.contains("/revisions/")) {
            let blob = layout::blob_data(&layout::digest_of_link(key).unwrap());
            assert!(root.join(&blob).exists(), "{when}: {key} leads to nothing");
        }
        match what {
            "restoring" => {
                let again = regc(["trash", "restore", "--root", path]);
                assert!(again.code == 0 || again.stderr.contains("the trash is empty"), "{}", again.stderr);
                assert_eq!(blobs_below(&root), all, "{when}");
            }
            _ => {
                assert_eq!(regc(["gc", "-m", "--root", path]).code, 0, "{when}");
                assert_eq!(blobs_below(&root), expected, "{when}");
            }
        }
        fs::remove_dir_all(&root).unwrap();
    }
    assert!(cut_off > rounds / 5, "{cut_off} of {rounds} runs were cut off in the middle");
}
