//! Symbolic links are followed to find what is live, but never to remove anything.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use regc_core::registry::layout;
use regc_core::stages::scan::scan;
use regc_core::storage::DeleteStorage;
use regc_core::{Cause, Deletion, Error, Finding, Silent};
use regc_testkit::{TestRegistry, blobs_below, files_below, layer};

use crate::{DEFAULT, Decided, Options, UNTAGGED, at, collect, decide, here, holder};

/// Moves what is at `key` below `root` to `elsewhere`, and puts a symbolic link in its place.
fn move_away(root: &Path, key: &str, elsewhere: &Path) {
    let (from, to) = (root.join(key), elsewhere.join(key.replace('/', "_")));
    fs::rename(&from, &to).unwrap();
    symlink(&to, &from).unwrap();
}

fn registry() -> TestRegistry {
    let mut registry = TestRegistry::new();
    registry.image("team/app:v1").layers(["base", "old"]).push();
    registry.image("team/app:v1").layers(["base", "new"]).push();
    registry.image("other:v1").layers(["base"]).push();
    registry.layer("team/app", "garbage");
    registry
}

#[test]
fn every_directory_may_be_a_symbolic_link() {
    let registry = registry();
    let app = layout::repository("team/app");
    for key in [
        "docker".to_owned(),
        layout::BLOBS.to_owned(),
        format!("{}/sha256", layout::BLOBS),
        layout::REPOSITORIES.to_owned(),
        layout::repository("team"),
        app.clone(),
        format!("{app}/_manifests"),
        format!("{app}/_manifests/revisions"),
        format!("{app}/_manifests/revisions/sha256"),
        format!("{app}/_manifests/tags"),
        format!("{app}/_layers"),
        format!("{app}/_layers/sha256"),
        layout::blob(&layer("new")),
    ] {
        let (root, elsewhere) = (registry.on_disk(), tempfile::tempdir().unwrap());
        move_away(root.path(), &key, elsewhere.path());
        for options in [DEFAULT, UNTAGGED] {
            let found = decide(&at(root.path()), options).unwrap();
            assert!(!found.blobs.contains(&layer("new")), "{key}");
            assert!(!found.blobs.contains(&layer("base")), "{key}");
            let is_told = |finding: &Finding| matches!(finding, Finding::BlobsElsewhere { path } if *path == key);
            let is_of_blobs = key.starts_with(layout::BLOBS) && key != layout::blob(&layer("new"));
            assert!(found.findings.iter().all(is_told) && found.findings.len() == usize::from(is_of_blobs), "{key}");
        }
    }
}

#[test]
fn symlinked_repository_loses_nothing() {
    let registry = registry();
    for part in ["", "/_manifests", "/_manifests/revisions", "/_layers"] {
        let (root, elsewhere) = (registry.on_disk(), tempfile::tempdir().unwrap());
        move_away(root.path(), &format!("{}{part}", layout::repository("team/app")), elsewhere.path());
        let before = (files_below(root.path()), files_below(elsewhere.path()));
        drop(collect(&at(root.path()), UNTAGGED).unwrap());
        assert_eq!((files_below(root.path()), files_below(elsewhere.path())), before, "{part}");
    }
}

#[test]
fn a_blob_behind_a_symbolic_link_loses_only_the_link() {
    let registry = registry();
    for key in [layout::blob(&layer("garbage")), layout::blob_data(&layer("garbage"))] {
        let (root, elsewhere) = (registry.on_disk(), tempfile::tempdir().unwrap());
        move_away(root.path(), &key, elsewhere.path());
        let before = files_below(elsewhere.path());
        let outcome = collect(&at(root.path()), DEFAULT).unwrap();
        assert_eq!((outcome.removed.blobs, outcome.removed.bytes), (1, 0), "what stays elsewhere frees nothing");
        assert!(fs::symlink_metadata(root.path().join(layout::blob(&layer("garbage")))).is_err(), "{key}");
        assert_eq!(files_below(elsewhere.path()), before, "{key}");
    }
}

#[test]
fn symlinked_blobs_are_collected_if_allowed() {
    let shard = layout::blob(&layer("garbage")).rsplit_once('/').unwrap().0.to_owned();
    for part in [layout::BLOBS.to_owned(), format!("{}/sha256", layout::BLOBS), shard] {
        let (root, elsewhere) = (registry().on_disk(), tempfile::tempdir().unwrap());
        move_away(root.path(), &part, elsewhere.path());
        let before = files_below(elsewhere.path());
        let outcome = collect(&at(root.path()), DEFAULT).unwrap();
        assert_eq!((outcome.removed.blobs, files_below(elsewhere.path())), (0, before), "nobody knows who else does");
        let told = decide(&at(root.path()), DEFAULT).unwrap().findings;
        assert_eq!(told, vec![Finding::BlobsElsewhere { path: part }]);
        let alone = Options { allow_symlinked_blobs: true, ..DEFAULT };
        let outcome = collect(&at(root.path()), alone).unwrap();
        assert!(outcome.removed.blobs == 1 && outcome.removed.bytes > 0);
        assert!(files_below(elsewhere.path()).iter().all(|key| !key.contains(&layer("garbage").hex())));
    }
    // A target below the same root is used by this store alone.
    let root = registry().on_disk();
    move_away(root.path(), layout::BLOBS, root.path());
    assert_eq!(collect(&at(root.path()), DEFAULT).unwrap().removed.blobs, 1);
}

#[test]
fn stores_that_link_the_same_directory_exclude_each_other() {
    let elsewhere = tempfile::tempdir().unwrap();
    for part in [layout::BLOBS.to_owned(), format!("{}/sha256", layout::BLOBS), layout::REPOSITORIES.to_owned()] {
        let roots = [registry().on_disk(), registry().on_disk()];
        let shared = elsewhere.path().join(part.replace('/', "_"));
        fs::rename(roots[0].path().join(&part), &shared).unwrap();
        fs::remove_dir_all(roots[1].path().join(&part)).unwrap();
        roots.iter().for_each(|root| symlink(&shared, root.path().join(&part)).unwrap());
        let [one, other] = roots.each_ref().map(|root| at(root.path()));
        let lock = one.lock(&holder()).unwrap();
        assert!(matches!(other.lock(&holder()), Err(Error::Locked { .. })), "{part}");
        drop(lock);
        assert!(other.lock(&holder()).is_ok(), "{part}");
    }
}

#[test]
fn a_store_and_one_that_links_to_it_exclude_each_other() {
    let shard = layout::shard(&layer("garbage"));
    for parts in [&[layout::BLOBS, layout::REPOSITORIES][..], &[layout::BLOBS], &[layout::REPOSITORIES]] {
        let (whole, linking) = (registry().on_disk(), tempfile::tempdir().unwrap());
        fs::create_dir_all(linking.path().join(layout::ROOT)).unwrap();
        parts.iter().for_each(|part| symlink(whole.path().join(part), linking.path().join(part)).unwrap());
        let stores = [at(whole.path()), at(linking.path())];
        for (one, other) in [(&stores[0], &stores[1]), (&stores[1], &stores[0])] {
            let lock = one.lock(&holder()).unwrap();
            assert!(matches!(other.lock(&holder()), Err(Error::Locked { .. })), "{parts:?}");
            drop(lock);
            assert!(other.lock(&holder()).is_ok(), "{parts:?}");
        }
    }
    // Directories elsewhere that two stores link, one of them under two names.
    let elsewhere = tempfile::tempdir().unwrap();
    let roots = [registry().on_disk(), registry().on_disk()];
    for root in &roots {
        fs::remove_dir_all(root.path().join(&shard)).unwrap();
        symlink(elsewhere.path(), root.path().join(&shard)).unwrap();
        for algorithm in ["sha384", "sha512"] {
            symlink(elsewhere.path(), root.path().join(layout::BLOBS).join(algorithm)).unwrap();
        }
    }
    let lock = at(roots[0].path()).lock(&holder()).unwrap();
    assert!(matches!(at(roots[1].path()).lock(&holder()), Err(Error::Locked { .. })));
    drop(lock);
}

#[test]
fn layer_link_into_another_repository_keeps_its_target() {
    let mut registry = TestRegistry::new();
    let image = registry.image("lodger:v1").layers(["lent"]).push();
    registry.image("owner:v1").layers(["own"]).push();
    registry.layer("owner", "lent");
    let link = layout::layer("lodger", &layer("lent"));
    let mut deletion = Deletion::default();
    deletion.repository("owner");
    for options in [DEFAULT, UNTAGGED, Options { deletion: Some(&deletion), ..DEFAULT }] {
        let root = registry.on_disk();
        fs::remove_dir_all(root.path().join(&link)).unwrap();
        symlink(root.path().join(layout::layer("owner", &layer("lent"))), root.path().join(&link)).unwrap();
        drop(collect(&at(root.path()), options).unwrap());
        assert!(root.path().join(&link).join(layout::LINK).exists(), "what the image needs is served");
        assert!(root.path().join(layout::revision_link("lodger", &image)).exists());
        assert!(root.path().join(layout::blob_data(&layer("lent"))).exists());
        drop(collect(&at(root.path()), options).unwrap());
    }
}

#[test]
fn a_repository_with_another_name_is_not_removed_as_a_whole() {
    let root = registry().on_disk();
    let alias = root.path().join(layout::REPOSITORIES).join("alias");
    symlink("other", &alias).unwrap();
    symlink("team", root.path().join(layout::REPOSITORIES).join("crew")).unwrap();
    let mut deletion = Deletion::default();
    deletion.repository("other");
    deletion.repository("team/app");
    let options = Options { deletion: Some(&deletion), ..DEFAULT };
    let scan = scan(&at(root.path()), &options, &Silent).unwrap();
    let kept = scan.reachable.blocked.iter().map(|kept| (kept.repository.as_str(), kept.reason.clone()));
    let reason = |link: &str| Cause::Alias(layout::repository(link));
    let expected = [("other", reason("alias")), ("team/app", reason("crew"))];
    assert_eq!(kept.collect::<Vec<_>>(), expected, "a name of its own, and one by its namespace");
    drop(collect(&at(root.path()), options).unwrap());
    assert!(root.path().join(layout::repository("crew/app")).join(layout::MANIFESTS).exists() && alias.exists());
    drop(collect(&at(root.path()), DEFAULT).unwrap());
}

#[test]
fn signatures_behind_symbolic_links_are_kept_and_end() {
    let mut registry = registry();
    let mut revisions = Vec::new();
    for name in ["team/app", "other"] {
        let mut of_schema_1 = |tag: &str, content: &str| {
            let layer = registry.layer(name, content);
            let text = format!(r#"{{"schemaVersion":1,"name":"{name}","fsLayers":[{{"blobSum":"{layer}"}}]}}"#);
            registry.manifest(&format!("{name}{tag}"), text)
        };
        let (image, untagged) = (of_schema_1(":signed", "signed"), of_schema_1("", &format!("{name} untagged")));
        for revision in [image, untagged] {
            let signature = registry.blob(format!("signature of {name} {revision}"));
            registry.put(layout::signature_link(name, &revision, &signature), signature.to_string());
        }
        revisions.push(untagged);
    }
    let signatures = [layout::signatures("team/app", &revisions[0]), layout::signatures("other", &revisions[1])];
    let root = registry.on_disk();
    fs::remove_dir_all(root.path().join(&signatures[0])).unwrap();
    symlink(root.path().join(&signatures[1]), root.path().join(&signatures[0])).unwrap();
    let before = files_below(&root.path().join(layout::repository("other")));
    let blobs = blobs_below(root.path());
    drop(collect(&at(root.path()), UNTAGGED).unwrap());
    assert_eq!(files_below(&root.path().join(layout::repository("other"))), before);
    assert!(blobs_below(root.path()).contains(&layer("other untagged")) && blobs.len() > 10);
    // Links that multiply at each level, and names of no digest, are not followed.
    let algorithm = root.path().join(&signatures[1]).join("sha256");
    for level in 0..40 {
        symlink(&algorithm, algorithm.join(format!("l{level}"))).unwrap();
        symlink(&algorithm, algorithm.join(layer(&format!("{level}")).hex())).unwrap();
    }
    decide(&at(root.path()), UNTAGGED).unwrap();
}

#[test]
fn symbolic_link_loops_are_ignored() {
    let root = registry().on_disk();
    let repositories = root.path().join(layout::REPOSITORIES);
    symlink("..", repositories.join("team/up")).unwrap();
    symlink(root.path(), repositories.join("root")).unwrap();
    symlink("../other", repositories.join("other/self")).unwrap();
    let found = decide(&at(root.path()), DEFAULT).unwrap();
    assert_eq!(found.layer_links, here("team/app", [layer("garbage")]));
}

#[test]
fn dangling_symbolic_link_stops_the_run() {
    let app = layout::repository("team/app");
    for key in [
        "docker".to_owned(),
        layout::ROOT.to_owned(),
        layout::BLOBS.to_owned(),
        format!("{}/sha256", layout::BLOBS),
        layout::REPOSITORIES.to_owned(),
        layout::repository("team"),
        app.clone(),
        format!("{app}/_manifests"),
        format!("{app}/_manifests/revisions"),
        format!("{app}/_layers"),
        format!("{app}/_layers/sha256"),
    ] {
        let root = registry().on_disk();
        let path = root.path().join(&key);
        fs::remove_dir_all(&path).unwrap();
        symlink("/nowhere/at/all", &path).unwrap();
        match decide(&at(root.path()), DEFAULT) {
            Err(Error::BrokenSymlink(path)) => assert_eq!(path, key),
            other => panic!("{key}: {other:?}"),
        }
    }
}

#[test]
fn dangling_symbolic_link_never_counts_as_absent() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["x"]).push();
    registry.image("app").layers(["y"]).push();
    for (key, options) in [
        (layout::blob(&image), DEFAULT),
        (layout::blob_data(&image), DEFAULT),
        (layout::blob(&layer("x")), DEFAULT),
        (layout::blob_data(&layer("x")), DEFAULT),
        (layout::revision("app", &image), DEFAULT),
        (layout::revision_link("app", &image), DEFAULT),
        (layout::tag_link("app", "v1"), UNTAGGED),
        (format!("{}/v1/current", layout::tags("app")), UNTAGGED),
        (format!("{}/v1", layout::tags("app")), UNTAGGED),
    ] {
        let (root, elsewhere) = (registry.on_disk(), tempfile::tempdir().unwrap());
        move_away(root.path(), &key, elsewhere.path());
        drop(elsewhere);
        match decide(&at(root.path()), options) {
            Err(Error::BrokenSymlink(path)) => assert_eq!(path, key),
            other => panic!("{key}: {other:?}"),
        }
    }
}

#[test]
fn a_revision_whose_link_is_another_repositorys_keeps_both() {
    let mut registry = TestRegistry::new();
    let image = registry.image("x:v1").layers(["l"]).push();
    registry.image("y").layers(["l"]).push();
    registry.image("y:other").layers(["m"]).push();
    let root = registry.on_disk();
    let link = root.path().join(layout::revision_link("x", &image));
    fs::remove_file(&link).unwrap();
    symlink(root.path().join(layout::revision_link("y", &image)), &link).unwrap();
    assert_eq!(decide(&at(root.path()), UNTAGGED).unwrap(), Decided::default());
}

#[test]
fn a_tag_whose_link_is_another_repositorys_stops_the_run() {
    let mut registry = TestRegistry::new();
    let image = registry.image("x:v1").layers(["l"]).push();
    registry.image("y:v1").layers(["l"]).push();
    let root = registry.on_disk();
    let link = root.path().join(layout::tag_link("x", "v1"));
    fs::remove_file(&link).unwrap();
    symlink(root.path().join(layout::tag_index_link("y", "v1", &image)), &link).unwrap();
    assert!(matches!(decide(&at(root.path()), UNTAGGED), Err(Error::SymlinkElsewhere(_))));
    assert_eq!(decide(&at(root.path()), DEFAULT).unwrap(), Decided::default());
    // A symbolic link to a link of the same repository is as good as a file.
    fs::remove_file(&link).unwrap();
    symlink(root.path().join(layout::tag_index_link("x", "v1", &image)), &link).unwrap();
    assert_eq!(decide(&at(root.path()), UNTAGGED).unwrap(), Decided::default());
}

#[test]
fn directories_that_all_lead_to_each_other_are_walked_once() {
    let root = registry().on_disk();
    let (inside, outside) = (root.path().join(layout::REPOSITORIES), tempfile::tempdir().unwrap());
    for base in [inside.as_path(), outside.path()] {
        for from in 0..12 {
            fs::create_dir_all(base.join(format!("d{from}"))).unwrap();
            for to in 0..12 {
                symlink(base.join(format!("d{to}")), base.join(format!("d{from}/to{to}"))).unwrap();
            }
        }
    }
    symlink(outside.path(), inside.join("outside")).unwrap();
    let found = decide(&at(root.path()), DEFAULT).unwrap();
    assert_eq!(found.layer_links, here("team/app", [layer("garbage")]));
}

#[test]
fn the_blobs_of_another_store_are_refused() {
    let mut registry = registry();
    registry.put(format!("{}/sha512/ab/keep", layout::BLOBS), "");
    let shard = layout::blob(&layer("garbage")).rsplit_once('/').unwrap().0.to_owned();
    for part in
        [layout::BLOBS.to_owned(), format!("{}/sha256", layout::BLOBS), format!("{}/sha512", layout::BLOBS), shard]
    {
        let (root, other) = (registry.on_disk(), registry.on_disk());
        let blobs = root.path().join(&part);
        fs::remove_dir_all(&blobs).unwrap();
        symlink(other.path().join(&part), &blobs).unwrap();
        match decide(&at(root.path()), DEFAULT) {
            Err(Error::BlobsOfAnotherStore(path)) => assert_eq!(path, part),
            found => panic!("{part}: {found:?}"),
        }
    }
    let (root, other) = (registry.on_disk(), registry.on_disk());
    fs::remove_dir_all(root.path().join(layout::REPOSITORIES)).unwrap();
    symlink(other.path().join(layout::REPOSITORIES), root.path().join(layout::REPOSITORIES)).unwrap();
    assert!(matches!(decide(&at(root.path()), UNTAGGED), Err(Error::RepositoriesOfAnotherStore(_))));
}

#[test]
fn a_second_name_for_a_repository_changes_nothing() {
    let root = registry().on_disk();
    symlink("team/app", root.path().join(layout::REPOSITORIES).join("alias")).unwrap();
    symlink("team", root.path().join(layout::REPOSITORIES).join("crew")).unwrap();
    let plain = registry().on_disk();
    for options in [DEFAULT, UNTAGGED] {
        assert_eq!(decide(&at(root.path()), options).unwrap(), decide(&at(plain.path()), options).unwrap());
    }
}

#[test]
fn symlink_target_in_other_repository_is_kept() {
    let mut registry = registry();
    registry.image("lodger:v1").layers(["new"]).push();
    let root = registry.on_disk();
    let links = root.path().join(layout::layers("lodger"));
    fs::remove_dir_all(&links).unwrap();
    symlink("../team/app/_layers", &links).unwrap();
    assert_eq!(decide(&at(root.path()), UNTAGGED).unwrap().layer_links, Decided::default().layer_links);
    let before = blobs_below(root.path());
    drop(collect(&at(root.path()), UNTAGGED).unwrap());
    assert_eq!(blobs_below(root.path()), before);
}

#[test]
fn a_repository_that_anothers_uploads_lead_to_is_kept() {
    let root = registry().on_disk();
    let repository = |name: &str| root.path().join(layout::repository(name));
    symlink(repository("other").join(layout::MANIFESTS), repository("team/app").join(layout::UPLOADS)).unwrap();
    let mut deletion = Deletion::default();
    deletion.repository("other");
    let options = Options { deletion: Some(&deletion), ..DEFAULT };
    let scan = scan(&at(root.path()), &options, &Silent).unwrap();
    assert_eq!(scan.reachable.blocked[0].reason, Cause::Symlinks);
    drop(collect(&at(root.path()), options).unwrap());
    drop(collect(&at(root.path()), DEFAULT).unwrap());
}
