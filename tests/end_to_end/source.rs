//! Which store is meant, and whether an external metadata database manages it.

use std::fs;
use std::path::Path;

use regc_core::registry::layout;
use regc_testkit::{TestRegistry, blobs_below, layer};

use crate::common::{Run, gc, regc, regc_with};
use crate::{config, registry};

const PATH: &str = "REGISTRY_CONFIGURATION_PATH";
const ROOT: &str = "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY";

fn at(root: &Path) -> String {
    format!("{{filesystem: {{rootdirectory: {}}}}}", root.display())
}

fn is_dry_run_of(run: &Run, root: &Path) -> bool {
    let place = run.stdout.lines().find_map(|line| line.strip_prefix("  Storage       ")).unwrap_or_default();
    run.code == 0 && place.split(", from ").next() == root.to_str()
}

#[test]
fn the_configuration_is_the_argument_or_the_environments() {
    let (root, other, directory) = (registry().on_disk(), registry().on_disk(), tempfile::tempdir().unwrap());
    let config = config(&directory, &at(root.path()), "");
    let config = config.to_str().unwrap();
    assert!(is_dry_run_of(&regc(["gc", "-d", config]), root.path()));
    assert!(is_dry_run_of(&regc_with(["gc", "-d"], &[(PATH, config)]), root.path()));
    assert!(is_dry_run_of(&regc_with(["gc", "-d", config], &[(PATH, "/nowhere")]), root.path()));
    let other = other.path();
    assert!(is_dry_run_of(&regc_with(["gc", "-d", config], &[(ROOT, other.to_str().unwrap())]), other));
    assert!(is_dry_run_of(&regc_with(["gc", "-d", "--root", other.to_str().unwrap()], &[(PATH, config)]), other));
}

#[test]
fn unusable_configuration_is_reported_with_path() {
    let directory = tempfile::tempdir().unwrap();
    let run = regc(["gc", "/nowhere/config.yml"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("/nowhere/config.yml\n  caused by: No such file"), "{}", run.stderr);
    for (storage, expected) in [
        ("inmemory", "keeps nothing"),
        ("{s3: {bucket: b}}", "storage.s3.region is not set"),
        ("{gcs: {}}", "storage.gcs.bucket"),
        ("{azure: {accountname: a}}", "storage.azure.container"),
        ("{swift: {}}", "`swift` is not supported"),
        ("{filesystem: {}, s3: {}}", "more than one storage driver"),
        ("{", "not valid YAML"),
    ] {
        let config = config(&directory, storage, "");
        let run = regc(["gc", config.to_str().unwrap()]);
        assert_eq!(run.code, 1, "{storage}");
        assert!(run.stderr.contains(expected), "{storage}: {}", run.stderr);
    }
    let config = config(&directory, "{filesystem: {rootdirectory: /nowhere}}", "");
    let run = regc_with(["gc", config.to_str().unwrap()], &[(ROOT, "{")]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains(ROOT), "{}", run.stderr);
}

#[test]
fn a_variable_that_breaks_the_configuration_is_named() {
    let (root, directory) = (registry().on_disk(), tempfile::tempdir().unwrap());
    let config = config(&directory, &at(root.path()), "");
    let config = config.to_str().unwrap();
    for (name, value) in [
        ("REGISTRY_STORAGE_PORT", "tcp://10.0.0.1:5000"),
        ("REGISTRY_STORAGE_PORT_5000_TCP", "tcp://10.0.0.1:5000"),
        ("REGISTRY_STORAGE_SERVICE_HOST", "10.0.0.1"),
        ("REGISTRY_STORAGE", "inmemory"),
        ("REGISTRY_STORAGE", "s3"),
        (ROOT, "/nowhere"),
        (ROOT, "0755"),
    ] {
        let run = regc_with(["gc", "-d", config], &[(name, value)]);
        assert_eq!(run.code, 1, "{name}={value}");
        let named = format!("regc: cannot use the environment variable {name}: ");
        assert!(run.stderr.starts_with(&named), "{name}={value}: {}", run.stderr);
        assert_eq!(run.stderr.contains("Kubernetes"), name.contains("_PORT") || name.contains("_SERVICE"), "{name}");
        assert!(!run.stderr.contains(config), "the file is not to blame: {}", run.stderr);
    }
    let run = regc_with(["gc", "-d"], &[(PATH, "/nowhere/config.yml")]);
    assert!(run.code == 1 && run.stderr.contains(&format!("variable {PATH}: ")), "{}", run.stderr);
    assert!(is_dry_run_of(&regc_with(["gc", "-d", config], &[("REGISTRY_PORT", "tcp://1")]), root.path()));
}

#[test]
fn flags_of_the_registrys_own_command_are_understood() {
    let root = registry().on_disk();
    let root = root.path().to_str().unwrap();
    let run = |arguments: &[&str]| regc([&["garbage-collect", "--root", root], arguments].concat());
    for dry in [&["-d"][..], &["--dry-run"], &["--dry-run=true"], &["-d=1"]] {
        assert!(run(dry).stdout.contains("Nothing was removed"), "{dry:?}");
    }
    for untagged in [
        &["-dm"][..],
        &["-d", "--delete-untagged=true"],
        &["-m", "-d", "--quiet=false"],
        &["-m", "-d", "-m"],
        &["-d", "-m=false", "-m"],
    ] {
        assert!(run(untagged).stdout.contains("Tags "), "{untagged:?}");
    }
    for tagged in [&["-d", "--delete-untagged=false"][..], &["-d", "-m=true", "-m=false"]] {
        assert!(!run(tagged).stdout.contains("Tags "), "the last one counts: {tagged:?}");
    }
    assert!(run(&["--dry-run=false"]).stdout.contains("Removed"));
    assert_eq!(run(&["--dry-run=perhaps"]).code, 2);
}

#[cfg(unix)]
#[test]
fn a_variable_that_cannot_be_read_is_an_error() {
    use std::os::unix::ffi::OsStrExt;

    let (root, directory) = (registry().on_disk(), tempfile::tempdir().unwrap());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_regc"))
        .args(["gc", config(&directory, &at(root.path()), "").to_str().unwrap()])
        .env(ROOT, std::ffi::OsStr::from_bytes(b"/data\xff"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(ROOT));
    assert!(blobs_below(root.path()).contains(&layer("deleted")));
}

fn refused(arguments: &[&str], config: &Path, reason: &str) {
    let run = regc([&["gc"], arguments, &[config.to_str().unwrap()]].concat());
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{arguments:?}");
    assert!(run.stderr.contains(reason), "{arguments:?}: {}", run.stderr);
}

#[test]
fn gitlabs_database_is_refused() {
    let (root, directory) = (registry().on_disk(), tempfile::tempdir().unwrap());
    let enabled = config(&directory, &at(root.path()), "database: {enabled: true, host: db, port: 5432}");
    refused(&[], &enabled, "database.enabled");
    refused(&["-d"], &enabled, "database.enabled");

    let prefer = config(&directory, &at(root.path()), "database: {enabled: prefer}");
    refused(&[], &prefer, "prefer");
    let lock = root.path().join(layout::GITLAB_FILESYSTEM_IN_USE);
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    fs::write(&lock, "").unwrap();
    assert_eq!(regc(["gc", "-d", prefer.to_str().unwrap()]).code, 0);

    let disabled = config(&directory, &at(root.path()), "database: {enabled: false}");
    assert_eq!(regc(["gc", "-d", disabled.to_str().unwrap()]).code, 0);
    fs::rename(&lock, root.path().join(layout::GITLAB_DATABASE_IN_USE)).unwrap();
    refused(&[], &disabled, "database-in-use");
    assert_eq!(gc(root.path(), &["-d"]).code, 1, "a root alone has no configuration that could say so");
    assert!(blobs_below(root.path()).contains(&layer("deleted")));
}

#[test]
fn harbor_is_refused() {
    let (root, directory) = (registry().on_disk(), tempfile::tempdir().unwrap());
    let harbor = "auth:\n  token:\n    issuer: harbor-token-issuer\n    realm: https://harbor.example/service/token";
    let harbor = config(&directory, &at(root.path()), harbor);
    refused(&[], &harbor, "--allow-harbor");
    refused(&["-m"], &harbor, "without --delete-untagged");
    refused(&["-m", "--allow-harbor"], &harbor, "without --delete-untagged");
    let harbor2 = "auth: {htpasswd: {realm: harbor-registry-basic-realm, path: /etc/registry/passwd}}";
    let (store, directory2) = (at(root.path()), tempfile::tempdir().unwrap());
    refused(&["-m"], &config(&directory2, &store, harbor2), "without --delete-untagged");
    assert_eq!(regc(["gc", "--allow-harbor", harbor.to_str().unwrap()]).code, 0);
    assert!(!blobs_below(root.path()).contains(&layer("deleted")));
}

#[test]
fn expired_content_of_pull_through_cache_is_a_note() {
    let mut registry = TestRegistry::new();
    for number in 0..20 {
        let expired = format!("expired {number}");
        registry.image(&format!("library/app{number}:v1")).layers([expired.clone()]).push();
        registry.remove(&layout::blob_data(&layer(&expired)));
    }
    let (root, directory) = (registry.on_disk(), tempfile::tempdir().unwrap());
    let storage = at(root.path());
    let ordinary = config(&directory, &storage, "");
    assert_eq!(regc(["gc", "-d", ordinary.to_str().unwrap()]).code, 1, "too much is missing");
    assert!(regc(["ls", "--config", ordinary.to_str().unwrap()]).stdout.contains("RG024"));
    let cache = config(&directory, &storage, "proxy: {remoteurl: 'https://registry-1.docker.io'}");
    let cache = cache.to_str().unwrap();
    for command in
        [&["gc", "-d"][..], &["gc", "-m"], &["verify"], &["repair"], &["ls"], &["prune", "-y", "--keep", "1"]]
    {
        let run = regc([command, &["--config", cache]].concat());
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{command:?}: {}", run.stdout);
        assert!(!run.stdout.contains("RG024"), "{command:?}: {}", run.stdout);
    }
    let notes = regc(["verify", "--notes", "--config", cache]);
    assert!(notes.code == 0 && notes.stdout.contains("RG029") && !notes.stdout.contains("push"), "{}", notes.stdout);
}

#[test]
fn platforms_that_the_registry_does_not_ask_for_are_a_note() {
    let mut registry = TestRegistry::new();
    let platforms: Vec<_> = ["amd64", "arm64"].map(|name| registry.image("app").layers([name]).push()).into();
    registry.index("app:v1").manifests(platforms.clone()).push();
    registry.delete("app", &platforms[1]);
    let (root, directory) = (registry.on_disk(), tempfile::tempdir().unwrap());
    fs::create_dir_all(root.path().join(layout::revision("app", &platforms[1]))).unwrap();
    let storage = at(root.path());
    for (platforms, code) in [("all", 3), ("none", 0), ("list", 0)] {
        let more = format!("validation: {{manifests: {{indexes: {{platforms: {platforms}}}}}}}");
        let config = config(&directory, &storage, &more);
        for command in ["verify", "repair"] {
            let run = regc([command, "--config", config.to_str().unwrap()]);
            assert_eq!(run.code, code, "{command} {platforms}: {}", run.stdout);
        }
        let listed = regc(["ls", "--config", config.to_str().unwrap()]);
        assert_eq!(listed.stdout.contains("RG023"), code == 3, "{platforms}: {}", listed.stdout);
    }
}
