//! What is refused in a bucket, and what is never shown.

use std::time::Duration;

use regc_core::Holder;
use regc_core::registry::layout;
use regc_testkit::bucket::{self, BucketServer, Fate, Moto, Proxy};
use regc_testkit::{TestRegistry, layer};

use crate::common::regc;
use crate::{Configured, ROOT, next_second};

fn registry() -> TestRegistry {
    let mut registry = TestRegistry::new();
    registry.blob("garbage");
    registry.image("app:v1").layers(["one"]).push();
    registry
}

#[test]
fn what_needs_a_trash_is_refused_with_the_way_to_undo() {
    let moto = Moto::start();
    moto.upload("registry", ROOT, &registry());
    let config = Configured::new(moto.address(), "registry");
    for arguments in [
        &["gc", "--trash"][..],
        &["gc", "--live"],
        &["gc", "--trash", "--dry-run"],
        &["rm", "app:v1", "--trash", "--yes"],
        &["trash", "list"],
        &["trash", "empty"],
        &["repair"],
        &["repair", "--apply"],
    ] {
        let run = config.regc(arguments);
        assert_eq!(run.code, 1, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("no trash") && run.stderr.contains("version"), "{arguments:?}: {}", run.stderr);
    }
    assert!(moto.keys("registry").iter().any(|key| key.contains("/tags/v1/")));
}

#[test]
fn blobs_without_a_repository_and_an_empty_bucket_are_refused() {
    let moto = Moto::start();
    let mut registry = TestRegistry::new();
    registry.blob("somebody's");
    moto.upload("blobs", ROOT, &registry);
    moto.create("empty");
    next_second();
    for (bucket, says) in [("blobs", "no repositories"), ("empty", "docker/registry/v2")] {
        let run = Configured::new(moto.address(), bucket).regc(&["gc"]);
        assert!(run.code == 1 && run.stderr.contains(says), "{bucket}: {}", run.stderr);
    }
    assert_eq!(moto.keys("blobs").len(), 1);
    let absent = Configured::new(moto.address(), "absent").regc(&["gc"]);
    assert!(absent.code == 1 && absent.stderr.contains("NoSuchBucket"), "{}", absent.stderr);
}

#[test]
fn a_manifest_that_cannot_be_read_stops_the_run() {
    let moto = Moto::start();
    let mut registry = registry();
    let manifest = registry.image("other:v1").layers(["two"]).push();
    moto.upload("registry", ROOT, &registry);
    next_second();
    let before = moto.keys("registry");
    let hex = manifest.hex();
    let denied = "<Error><Code>InvalidObjectState</Code><Message>archived</Message></Error>";
    let proxy = Proxy::start(moto.address(), Duration::ZERO, move |_, line| match line.contains(&hex) {
        true => Fate::Answer("403 Forbidden", denied.to_owned()),
        false => Fate::Pass,
    });
    let run = Configured::new(proxy.address(), "registry").regc(&["gc"]);
    assert!(run.code == 1 && run.stderr.contains("archived") && run.stderr.contains(&manifest.hex()), "{}", run.stderr);
    assert_eq!(moto.keys("registry"), before);
}

#[test]
fn one_run_at_a_time_and_a_marker_of_a_dead_process_counts_for_nothing() {
    let moto = Moto::start();
    moto.upload("registry", ROOT, &registry());
    next_second();
    let config = Configured::new(moto.address(), "registry");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let here = format!("{} {}", boot.trim(), namespace.display());
    let mark_in = |holder: &Holder, namespace: &str| {
        let mut marked = serde_json::to_value(holder).unwrap();
        marked["namespace"] = namespace.into();
        moto.put("registry", &format!("{ROOT}{}", layout::LOCK), marked.to_string().as_bytes());
    };
    let mark = |holder: &Holder| mark_in(holder, &here);
    let mut holder = Holder::new("another");
    mark(&holder);
    let refused = config.regc(&["gc"]);
    assert!(refused.code != 0 && refused.stderr.contains("another"), "{}", refused.stderr);
    holder.host = "elsewhere".to_owned();
    mark(&holder);
    let refused = config.regc(&["gc"]);
    assert!(refused.code != 0 && refused.stderr.contains("elsewhere"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: if no such run is active"), "{}", refused.stderr);
    // A process that has ended.
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let ended = Holder { pid: child.id(), ..Holder::new("killed") };
    mark_in(&ended, "another container");
    let refused = config.regc(&["gc"]);
    assert!(refused.code != 0 && refused.stderr.contains("killed"), "{}", refused.stderr);
    mark(&ended);
    let run = config.regc(&["gc"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(moto.keys("registry").iter().all(|key| !key.contains(".regc")), "the marker is gone");
}

#[test]
fn foreign_keys_are_left_alone() {
    let moto = Moto::start();
    moto.upload("registry", ROOT, &registry());
    let blob = layout::blob_data(&layer("one"));
    let foreign = [
        "docker/registry/v2/".to_owned(),
        "docker/registry/v2/blobs/sha256/00/".to_owned(),
        "docker/registry/v2//blobs/x".to_owned(),
        "docker/registry/v2/blobs/sha256/readme.txt".to_owned(),
        "docker/registry/v2/repositories/app/notes".to_owned(),
        format!("{blob}.bak"),
        "other/program".to_owned(),
    ];
    for key in &foreign {
        moto.put("registry", &format!("{ROOT}{key}"), b"");
    }
    next_second();
    let run = Configured::new(moto.address(), "registry").regc(&["gc", "-m", "--tidy"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("Removed       7 B in 1 blob"), "{}", run.stdout);
    assert!(run.stdout.contains("Ignored       3 names"), "{}", run.stdout);
    let left = moto.keys("registry");
    for key in foreign.iter().chain([&blob]) {
        assert!(left.contains(&format!("{ROOT}{key}")), "{key}: {left:?}");
    }
}

#[test]
fn an_object_with_the_name_of_a_directory_hides_nothing() {
    let moto = Moto::start();
    let blob = layout::blob_data(&layer("one"));
    // As some mounts of buckets leave them.
    let directories = [
        "docker/registry/v2/blobs/sha256",
        blob.rsplit_once('/').unwrap().0,
        "docker/registry/v2/repositories/app",
        "docker/registry/v2/repositories/app/_manifests/revisions/sha256",
        "docker/registry/v2/repositories/app/_manifests/tags/v1",
    ];
    for (number, directory) in directories.iter().enumerate() {
        let bucket = format!("registry-{number}");
        moto.upload(&bucket, ROOT, &registry());
        moto.put(&bucket, &format!("{ROOT}{directory}"), b"");
    }
    next_second();
    for (number, directory) in directories.iter().enumerate() {
        let bucket = format!("registry-{number}");
        let before = moto.keys(&bucket).len();
        let run = Configured::new(moto.address(), &bucket).regc(&["gc", "-m"]);
        assert!(
            run.code == 0 && run.stdout.contains("Removed       7 B in 1 blob"),
            "{directory}: {}{}",
            run.stdout,
            run.stderr
        );
        assert_eq!(moto.keys(&bucket).len(), before - 1, "{directory}");
    }
}

#[test]
fn no_secret_is_shown() {
    let moto = Moto::start();
    moto.upload("registry", ROOT, &registry());
    let unreachable = Configured::new(([127, 0, 0, 1], 1).into(), "registry");
    let denied = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
    let denying =
        Proxy::start(moto.address(), Duration::ZERO, move |_, _| Fate::Answer("403 Forbidden", denied.into()));
    let runs = [
        Configured::new(denying.address(), "registry").regc(&["gc"]),
        Configured::new(moto.address(), "registry").regc(&["gc", "--dry-run", "--format", "json"]),
        Configured::new(moto.address(), "registry").regc(&["verify", "--content"]),
        unreachable.regc(&["ls"]),
    ];
    for run in &runs {
        let shown = format!("{}{}", run.stdout, run.stderr);
        assert!(!shown.contains("not-to-be-shown") && !shown.to_lowercase().contains("signature="), "{shown}");
    }
    assert!(runs[0].stderr.contains("AccessDenied") && runs[0].code == 1, "{}", runs[0].stderr);
    assert!(runs[3].code == 1, "{}", runs[3].stderr);
}

#[test]
fn a_system_without_certificates_reaches_http_and_says_what_https_lacks() {
    let moto = Moto::start();
    moto.upload("registry", ROOT, &registry());
    let mut configured = Configured::new(moto.address(), "registry");
    let nowhere = configured.path().display().to_string();
    let none = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", &nowhere)];
    configured.environment = none.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let run = configured.regc(&["ls"]);
    assert!(run.code == 0 && run.stdout.contains("app"), "{}", run.stderr);

    let text = std::fs::read_to_string(configured.path()).unwrap();
    let address = moto.address().to_string();
    let encrypted = text.replace(&format!("http://{address}"), &format!("https://{address}"));
    assert_ne!(encrypted, text);
    std::fs::write(configured.path(), encrypted).unwrap();
    let run = configured.regc(&["ls"]);
    assert!(run.code == 1 && run.stderr.to_lowercase().contains("certificates"), "{}", run.stderr);
}

#[test]
fn what_cannot_be_honoured_is_an_error_that_names_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yml");
    let address = ([127, 0, 0, 1], 1).into();
    for (driver, says) in [
        (
            bucket::config(address, "registry", ROOT, "").replace("bucket:", "v4auth: false\n    bucket:"),
            "storage.s3.v4auth",
        ),
        ("version: 0.1\nstorage: {swift: {container: c}}\n".to_owned(), "swift"),
        ("version: 0.1\nstorage: {oss: {bucket: b}}\n".to_owned(), "oss"),
        ("version: 0.1\nstorage: {gcs: {}}\n".to_owned(), "storage.gcs.bucket"),
        (
            "version: 0.1\nstorage: {azure: {accountname: a, container: c}}\n".to_owned(),
            "storage.azure.credentials.type",
        ),
    ] {
        std::fs::write(&path, driver).unwrap();
        let run = regc(["gc".as_ref(), "--dry-run".as_ref(), path.as_os_str()]);
        assert!(run.code == 1 && run.stderr.contains(says), "{says}: {}", run.stderr);
    }
}
