//! The links by which the ORAS project's registry finds the referrers of a manifest.

use std::fs;
use std::os::unix::fs::symlink;

use regc_core::registry::layout;
use regc_core::stages;
use regc_core::stages::scan::Leftovers;
use regc_core::stages::scan::Options;
use regc_core::storage::lock::{Access, Locked};
use regc_core::verify::verify;
use regc_core::{Deletion, Digest, Finding, Silent, verify};
use regc_testkit::wrapped::{Operation, Recording};
use regc_testkit::{TestRegistry, files_below, sha256};

use crate::faults::run;
use crate::{DEFAULT, DIRECTORIES, Decided, UNTAGGED, at, collect, decide, holder, set};

/// Returns where one of two versions of that registry links a referrer, chosen by the digest.
fn link(repository: &str, subject: &Digest, referrer: &Digest) -> String {
    let directory = &layout::referrers(repository)[usize::from(referrer.as_bytes()[0] & 1)];
    format!("{directory}/subjects/sha256/{}/sha256/{}/link", subject.hex(), referrer.hex())
}

/// Pushes something that is attached to an image, as that registry does.
fn attach(registry: &mut TestRegistry, repository: &str, subject: Digest, what: &str) -> Digest {
    let referrer = registry.image(repository).layers([what]).subject(subject).push();
    registry.put(link(repository, &subject, &referrer), referrer.to_string());
    referrer
}

/// Creates two images with a signature each, and another repository.
fn registry() -> (TestRegistry, [(Digest, Digest); 2]) {
    let mut registry = TestRegistry::new();
    let images = ["v1", "v2"].map(|tag| {
        let image = registry.image(&format!("app:{tag}")).layers([tag]).push();
        (image, attach(&mut registry, "app", image, &format!("signature of {tag}")))
    });
    registry.image("other:v1").layers(["other"]).push();
    (registry, images)
}

fn tidy() -> Options<'static> {
    let leftovers = Leftovers { empty_repositories: true, every_tag: true, ..Leftovers::default() };
    Options { leftovers, ..UNTAGGED }
}

#[test]
fn links_to_referrers_are_not_taken_for_repositories_nor_touched() {
    let (registry, _) = registry();
    let root = registry.on_disk();
    let before = files_below(root.path());
    for options in [DEFAULT, UNTAGGED, tidy()] {
        assert_eq!(decide(&at(root.path()), options).unwrap(), Decided::default());
        drop(collect(&at(root.path()), options).unwrap());
    }
    assert_eq!(files_below(root.path()), before);
    let scan = regc_core::stages::scan::scan(&at(root.path()), &DEFAULT, &Silent).unwrap();
    let names: Vec<&str> = scan.inventory.repositories.iter().map(|repository| &*repository.name).collect();
    assert_eq!((names, scan.inventory.ignored), (vec!["app", "other"], 0));
    let options = verify::Options::new().every_name(true);
    assert_eq!(verify(&at(root.path()), &options, &Silent).unwrap().defects, []);

    let recording = Recording::new(registry.in_memory(DIRECTORIES));
    decide(&recording, UNTAGGED).unwrap();
    let deep = |operation: &&Operation| matches!(operation, Operation::List(key) if key.contains("/_ref") && key.contains("/subjects/"));
    assert_eq!(recording.operations().iter().filter(deep).count(), 0, "no referrer costs a listing");
}

#[test]
fn deleted_repository_takes_its_referrer_links_along() {
    for (foreign, to_trash) in
        [(None, None), (None, Some("run")), (Some("_refs/note"), None), (Some("_referrers/subjects/note"), None)]
    {
        let (mut registry, images) = registry();
        // One of the manifests was deleted, but its link was left.
        registry.put(link("app", &images[0].0, &sha256(b"gone")), "anything");
        let foreign = foreign.map(|file| format!("{}/{file}", layout::repository("app")));
        foreign.iter().for_each(|key| registry.put(key.clone(), "somebody's"));
        let root = registry.on_disk();
        let before = files_below(root.path());
        let mut deletion = Deletion::default();
        deletion.repository("app");
        let options = Options { deletion: Some(&deletion), ..DEFAULT };
        let decided = decide(&at(root.path()), options).unwrap();
        let links = images.iter().map(|(image, referrer)| link("app", image, referrer));
        assert_eq!(decided.files, links.chain([link("app", &images[0].0, &sha256(b"gone"))]).collect());
        let finding = |path: &String| Finding::ForeignFile { repository: "app".into(), path: path.clone() };
        assert_eq!(decided.findings, foreign.iter().map(finding).collect::<Vec<_>>());
        assert_eq!(decided.repositories.len(), if foreign.is_some() { 0 } else { 1 });

        let outcome = run(&at(root.path()), options, to_trash).unwrap();
        assert!(outcome.failures.is_empty() && outcome.removed.files == 3, "{:?}", outcome.failures);
        let left = files_below(&root.path().join(layout::REPOSITORIES)).into_iter();
        let left: Vec<String> = left.filter(|key| key.starts_with("app/")).collect();
        assert_eq!(left.len(), foreign.iter().len(), "{left:?}");
        assert_eq!(root.path().join(layout::repository("app")).exists(), foreign.is_some());
        if to_trash.is_some() {
            let storage = at(root.path());
            let locked = Locked::take(&storage, &holder()).unwrap();
            let restored = stages::trash::restore(Access::Change(&locked), "run", None, 4, &Silent).unwrap();
            assert!(restored.is_complete(), "{:?} {:?}", restored.missing, restored.failures);
            let mut after = files_below(root.path());
            after.retain(|key| !key.starts_with(".regc/"));
            assert_eq!(after, before);
        }
    }
}

#[test]
fn deleted_manifest_takes_its_referrer_links_along() {
    let (mut registry, images) = registry();
    let gone = images[0];
    let tag = registry.get(&layout::tag_link("app", "v1")).unwrap().to_vec();
    let mut by_tag = Deletion::default();
    by_tag.tag("app", "v1", std::str::from_utf8(&tag).unwrap().parse().ok());
    let mut by_digest = Deletion::default();
    by_digest.manifest("app", gone.1);
    for deletion in [&by_tag, &by_digest] {
        let options = Options { deletion: Some(deletion), ..DEFAULT };
        assert_eq!(
            decide(&registry.in_memory(DIRECTORIES), options).unwrap().files,
            set([link("app", &gone.0, &gone.1)])
        );
    }
    // A signature that is also in use otherwise is kept, and is found if the image is pushed again.
    registry.tag("app", "signature", &gone.1);
    let options = Options { deletion: Some(&by_tag), ..DEFAULT };
    let decided = decide(&registry.in_memory(DIRECTORIES), options).unwrap();
    assert!(decided.files.is_empty() && decided.revisions.len() == 1);
    registry.untag("app", "signature");

    registry.untag("app", "v1");
    assert!(decide(&registry.in_memory(DIRECTORIES), DEFAULT).unwrap().files.is_empty());
    let root = registry.on_disk();
    let recording = Recording::new(at(root.path()));
    assert_eq!(collect(&recording, UNTAGGED).unwrap().removed.files, 1);
    let removed = recording.removed();
    let position = |key: &String| removed.iter().position(|removed| removed == key).unwrap();
    assert!(position(&link("app", &gone.0, &gone.1)) < position(&layout::revision_link("app", &gone.1)));
    let subject = |link: String| root.path().join(link).ancestors().nth(3).unwrap().to_owned();
    assert!(!subject(link("app", &gone.0, &gone.1)).exists(), "nor its directory");
    assert!(subject(link("app", &images[1].0, &images[1].1)).exists());
}

#[test]
fn a_repository_of_which_every_manifest_was_deleted_is_tidied_with_its_links_to_referrers() {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["a"]).push();
    let image = registry.image("gone").layers(["b"]).push();
    let signature = attach(&mut registry, "gone", image, "signature");
    registry.delete("gone", &image);
    registry.delete("gone", &signature);
    let root = registry.on_disk();
    let decided = decide(&at(root.path()), tidy()).unwrap();
    assert_eq!(decided.files, set([link("gone", &image, &signature)]));
    drop(collect(&at(root.path()), tidy()).unwrap());
    assert!(!root.path().join(layout::repository("gone")).exists());
}

#[test]
fn rewritten_link_to_a_referrer_keeps_its_manifest() {
    let (registry, images) = registry();
    let root = registry.on_disk();
    let mut deletion = Deletion::default();
    deletion.manifest("app", images[0].1);
    let options = Options { deletion: Some(&deletion), ..DEFAULT };
    let storage = at(root.path());
    let locked = Locked::take(&storage, &holder()).unwrap();
    let scan = regc_core::stages::scan::scan(&storage, &options, &Silent).unwrap();
    let plan = regc_core::stages::collect::plan::plan(scan, &options).unwrap();
    // It is pushed again.
    let link = link("app", &images[0].0, &images[0].1);
    fs::write(root.path().join(&link), images[0].1.to_string()).unwrap();
    let outcome = regc_core::stages::collect::sweep::sweep(&locked, &plan, None, &Silent).unwrap();
    assert_eq!((outcome.removed.revisions, outcome.spared.files, outcome.spared.revisions), (0, 1, 1));
    assert!(root.path().join(layout::revision_link("app", &images[0].1)).exists());
}

#[test]
fn links_to_referrers_behind_a_symbolic_link_stay() {
    let (registry, _) = registry();
    let (root, elsewhere) = (registry.on_disk(), tempfile::tempdir().unwrap());
    for (number, directory) in layout::referrers("app").iter().enumerate() {
        let (refs, moved) = (root.path().join(directory), elsewhere.path().join(number.to_string()));
        fs::create_dir_all(&refs).unwrap();
        fs::rename(&refs, &moved).unwrap();
        symlink(&moved, &refs).unwrap();
    }
    let mut deletion = Deletion::default();
    deletion.repository("app");
    let decided = decide(&at(root.path()), Options { deletion: Some(&deletion), ..DEFAULT }).unwrap();
    assert!(decided.files.is_empty() && decided.repositories.is_empty());
    let path = layout::referrers("app")[1].clone();
    assert_eq!(decided.findings, [Finding::ForeignFile { repository: "app".into(), path }]);
}
