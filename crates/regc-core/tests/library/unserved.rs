//! Repositories under names that no registry serves: renamed directories.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use regc_core::registry::layout;
use regc_core::registry::pattern::Pattern;
use regc_core::stages::scan::Leftovers;
use regc_core::stages::scan::resolve::{repository_at, resolve};
use regc_core::{CollectOptions, Config, Deletion, Error, Finding, Silent, Store};
use regc_testkit::wrapped::Faulty;
use regc_testkit::{TestRegistry, layer};

use crate::{DEFAULT, DIRECTORIES, Options, UNTAGGED, at, collect, decide, set};

const NAMES: [&str; 9] =
    ["app~", "app copy", "-app", ".app", "app@old", "App", "_old/app", "lost+found/#12", "team/.snapshot/team/app"];

/// Creates a registry with an image in each of these repositories, and one in an ordinary repository.
fn renamed() -> TestRegistry {
    let mut registry = TestRegistry::new();
    for name in NAMES {
        let manifest = registry.image("app:v1").layers([name]).push();
        registry.layer("app", &format!("orphan of {name}"));
        let moved: Vec<String> =
            registry.keys().filter(|key| key.starts_with(&layout::repository("app/"))).map(str::to_owned).collect();
        for key in moved {
            let content = registry.get(&key).unwrap().to_vec();
            registry.put(key.replacen("/app/", &format!("/{name}/"), 1), content);
            registry.remove(&key);
        }
        assert!(registry.get(&layout::revision_link(name, &manifest)).is_some());
    }
    registry.image("app:v1").layers(["served"]).push();
    registry
}

const TIDY: Leftovers = Leftovers {
    uploads_before: None,
    empty_repositories: true,
    every_tag: true,
    orphans_before: None,
    copies_before: None,
};

#[test]
fn repository_with_a_tag_that_no_registry_accepts_is_not_promised_to_be_deleted_as_a_whole() {
    for (tag, is_whole) in [("v1", true), ("=HYPERLINK(x)", false)] {
        let mut registry = TestRegistry::new();
        let manifest = registry.image("app").layers(["one"]).push();
        registry.tag("app", tag, &manifest);
        registry.image("other:v1").layers(["two"]).push();
        let storage = Box::new(registry.in_memory(DIRECTORIES));
        let store = Store::with_storage(&Config::at_root("/"), storage);
        let deletion = store.resolve_repository("app", &Silent).unwrap();
        let plan = store.plan_deletion(deletion, &CollectOptions::new(), &Silent).unwrap();
        assert_eq!(plan.totals().repositories, u64::from(is_whole), "{tag}");
        let is_foreign = |finding: &Finding| matches!(finding, Finding::ForeignFile { path, .. } if path.contains(tag));
        assert_eq!(plan.findings().iter().any(is_foreign), !is_whole, "{tag}");
    }
}

#[test]
fn unserved_repositories_keep_everything_their_manifests_need() {
    let mut registry = renamed();
    for name in NAMES {
        registry.image(name).layers([format!("untagged in {name}")]).push();
    }
    for options in [DEFAULT, UNTAGGED, Options { leftovers: TIDY, ..UNTAGGED }] {
        let root = registry.on_disk();
        let found = decide(&at(root.path()), options).unwrap();
        assert_eq!(found.blobs, NAMES.iter().map(|name| layer(&format!("orphan of {name}"))).collect());
        assert_eq!((found.revisions, found.layer_links), (set([]), set([])));
        assert!(found.tags.is_empty() && found.tag_index_entries.is_empty() && found.repositories.is_empty());
        let mut reported: Vec<String> = NAMES.map(str::to_owned).into();
        reported.sort_unstable();
        let findings = reported.into_iter().map(|repository| Finding::UnservedRepository { repository });
        assert_eq!(found.findings, findings.collect::<Vec<_>>());
    }
}

#[test]
fn a_host_with_a_port_is_an_ordinary_first_component() {
    let mut registry = TestRegistry::new();
    registry.image("localhost:5000/app:v1").layers(["mirrored"]).push();
    registry.image("app:v1").layers(["other"]).push();
    let found = decide(&registry.in_memory(DIRECTORIES), UNTAGGED).unwrap();
    assert!(found.findings.is_empty() && found.blobs.is_empty());
}

#[test]
fn unserved_repository_is_selected_by_its_path_and_by_no_pattern() {
    let storage = renamed().in_memory(DIRECTORIES);
    let everything = resolve(&storage, &[Pattern::parse("**").unwrap()], false, 4, &Silent).unwrap();
    assert!(NAMES.iter().all(|name| everything.of(name).is_none()) && everything.of("app").is_some());
    for path in ["_old/app", "docker/registry/v2/repositories/_old/app", "/docker/registry/v2/repositories/_old/app/"] {
        assert_eq!(repository_at(&storage, path, 4, &Silent).unwrap(), "_old/app");
    }
    for path in ["_old", "nothing", "", "..", "app/_manifests"] {
        assert!(matches!(repository_at(&storage, path, 4, &Silent), Err(Error::NothingMatches(_))), "{path}");
    }
    let mut deletion = Deletion::default();
    deletion.repository("_old/app");
    let before = storage.keys();
    drop(collect(&storage, Options { deletion: Some(&deletion), ..DEFAULT }).unwrap());
    let gone: Vec<String> = before.into_iter().filter(|key| !storage.keys().contains(key)).collect();
    assert!(gone.contains(&layout::blob_data(&layer("_old/app"))));
    let of_repository = |key: &String| key.starts_with(&layout::repository("_old/app/"));
    assert!(!storage.keys().iter().any(of_repository), "{:?}", storage.keys());
    assert!(gone.iter().all(|key| of_repository(key) || key.starts_with(layout::BLOBS)));
}

#[test]
fn a_directory_whose_name_is_not_utf8_stops_the_run() {
    let root = renamed().on_disk();
    let repositories = root.path().join(layout::REPOSITORIES);
    let name = OsStr::from_bytes(b"caf\xe9");
    fs::write(repositories.join(name), "").unwrap();
    decide(&at(root.path()), DEFAULT).unwrap();
    fs::remove_file(repositories.join(name)).unwrap();
    fs::rename(repositories.join("app"), repositories.join(name)).unwrap();
    assert!(matches!(decide(&at(root.path()), DEFAULT), Err(Error::NotUtf8(path)) if path.contains("caf")));
}

#[test]
fn unreadable_lost_and_found_is_ignored() {
    let denied = |name: &'static str| {
        let mut registry = TestRegistry::new();
        registry.image("app:v1").layers(["a"]).push();
        let directory = layout::repository(name);
        registry.put(format!("{directory}/#1"), "");
        decide(&Faulty::reading(registry.in_memory(DIRECTORIES), move |key| key == directory), DEFAULT)
    };
    denied("lost+found").unwrap();
    assert!(matches!(denied("private"), Err(Error::Storage { .. })));
}
