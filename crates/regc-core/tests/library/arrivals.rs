//! What a registry writes during a run.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use regc_core::registry::layout;
use regc_core::stages::collect::plan::plan;
use regc_core::stages::collect::sweep::sweep;
use regc_core::stages::scan::scan;
use regc_core::storage::TrashStorage;
use regc_core::storage::lock::Locked;
use regc_core::{Digest, Error, Outcome, Silent};
use regc_testkit::{TestRegistry, layer, oracle};

use crate::{DEFAULT, DIRECTORIES, Options, UNTAGGED, at, collect, decide, holder};

/// Scans `before`, writes what is new in `after` and what is `touched`, and only then deletes: on disk, and again in
/// memory.
fn collect_while(
    before: &TestRegistry,
    after: &TestRegistry,
    touched: &[String],
    options: Options,
) -> (tempfile::TempDir, Result<Outcome, Error>) {
    let is_written = |key: &&str| before.get(key) != after.get(key) || touched.contains(&(*key).to_owned());
    let written: Vec<&str> = after.keys().filter(is_written).collect();
    let root = before.on_disk();
    let outcome = collect_after(&at(root.path()), options, || {
        for key in &written {
            let path = root.path().join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, after.get(key).unwrap()).unwrap();
        }
    });
    let memory = before.in_memory(DIRECTORIES);
    let in_memory = collect_after(&memory, options, || {
        written.iter().for_each(|key| memory.put(*key, after.get(key).unwrap()));
    });
    let counts = |outcome: &Result<Outcome, Error>| match outcome {
        Ok(outcome) => (outcome.removed, outcome.spared, String::new()),
        Err(error) => (Default::default(), Default::default(), error.to_string()),
    };
    assert_eq!(counts(&in_memory), counts(&outcome));
    let files: Vec<String> = regc_testkit::files_below(root.path()).into_iter().collect();
    assert_eq!(memory.keys(), files, "in memory as on disk");
    (root, outcome)
}

fn collect_after(storage: &dyn TrashStorage, options: Options, push: impl FnOnce()) -> Result<Outcome, Error> {
    let locked = Locked::take(&storage, &holder()).unwrap();
    let scan = scan(storage, &options, &Silent).unwrap();
    let plan = plan(scan, &options).unwrap();
    assert!(plan.totals().blobs > 0, "there is garbage that the push may need");
    push();
    sweep(&locked, &plan, None, &Silent)
}

/// Asserts that everything that is live in `registry` is at `root`, and linked.
fn assert_whole(root: &Path, registry: &TestRegistry, options: Options) {
    for (repository, live) in oracle::live(registry, options.delete_untagged) {
        for digest in live {
            let keys = [
                layout::blob_data(&digest),
                layout::layer_link(&repository, &digest),
                layout::revision_link(&repository, &digest),
            ];
            for key in keys.iter().filter(|key| registry.get(key).is_some()) {
                assert!(root.join(key).exists(), "{key} is gone");
            }
        }
    }
}

/// Creates two repositories. `app` has an image that is in use, a deleted one, and one that has lost its tag to the
/// first.
fn before() -> (TestRegistry, Digest, Digest) {
    let mut registry = TestRegistry::new();
    let deleted = registry.image("app:v0").layers(["base", "deleted"]).push();
    registry.delete("app", &deleted);
    let untagged = registry.image("app:v1").layers(["base", "untagged"]).push();
    registry.image("app:v1").layers(["base", "used"]).push();
    registry.image("other:v1").layers(["base"]).push();
    (registry, deleted, untagged)
}

#[test]
fn a_push_that_reuses_old_layers_is_kept() {
    type Push = fn(&mut TestRegistry);
    let pushes: [(&str, Push); 5] = [
        ("the deleted image again", |registry| {
            registry.image("app:v0").layers(["base", "deleted"]).push();
        }),
        ("another image of a garbage layer", |registry| {
            registry.image("app:v2").layers(["base", "deleted", "new"]).push();
        }),
        ("the same to another repository", |registry| {
            registry.image("other:v2").layers(["deleted"]).push();
        }),
        ("the same to a new repository", |registry| {
            registry.image("deep/new/app:v2").layers(["deleted"]).push();
        }),
        ("an index of new images", |registry| {
            let platforms =
                [registry.image("app").layers(["deleted"]).push(), registry.image("app").layers(["p"]).push()];
            registry.index("app:v3").manifests(platforms).push();
        }),
    ];
    for options in [DEFAULT, UNTAGGED] {
        for (what, push) in pushes {
            let (before, ..) = before();
            let mut after = before.clone();
            push(&mut after);
            let (root, outcome) = collect_while(&before, &after, &[], options);
            let outcome = outcome.unwrap();
            assert!(outcome.failures.is_empty() && outcome.spared.blobs > 0, "{what}: {outcome:?}");
            assert_whole(root.path(), &after, options);
            drop(collect(&at(root.path()), options).unwrap());
            assert_whole(root.path(), &after, options);
        }
    }
}

#[test]
fn a_layer_link_that_is_new_keeps_its_blob() {
    let (before, ..) = before();
    let mut after = before.clone();
    after.link_layer("other", &layer("deleted"));
    let (root, outcome) = collect_while(&before, &after, &[], DEFAULT);
    drop(outcome.unwrap());
    assert!(root.path().join(layout::blob_data(&layer("deleted"))).exists());

    // The same if the link was already garbage, and is written again.
    let link = layout::layer_link("app", &layer("deleted"));
    let (root, outcome) = collect_while(&before, &before, std::slice::from_ref(&link), DEFAULT);
    assert_eq!(outcome.unwrap().spared.layer_links, 1);
    assert!(root.path().join(link).exists() && root.path().join(layout::blob_data(&layer("deleted"))).exists());
}

#[test]
fn an_untagged_manifest_that_comes_into_use_is_kept() {
    let (mut before, _, untagged) = before();
    let referrer = before.image("app").layers(["signature"]).subject(regc_testkit::sha256(b"later")).push();
    type Push = fn(&mut TestRegistry, &Digest) -> Vec<String>;
    let pushes: [(&str, Push); 3] = [
        // A client that pushes a tag pushes the manifest first, which writes its link again.
        ("it is tagged", |registry, untagged| {
            registry.tag("app", "again", untagged);
            vec![layout::revision_link("app", untagged)]
        }),
        ("it is tagged, and its link was seen to be newer by nobody", |registry, untagged| {
            registry.tag("app", "again", untagged);
            Vec::new()
        }),
        ("it becomes a platform", |registry, untagged| {
            registry.index("app:list").manifests([*untagged]).push();
            Vec::new()
        }),
    ];
    for (what, push) in pushes {
        let mut after = before.clone();
        let touched = push(&mut after, &untagged);
        let (root, outcome) = collect_while(&before, &after, &touched, UNTAGGED);
        assert!(outcome.unwrap().spared.revisions > 0, "{what}");
        assert_whole(root.path(), &after, UNTAGGED);
    }

    let mut after = before.clone();
    after.manifest("app:later", "later");
    let (_, outcome) = collect_while(&before, &after, &[], UNTAGGED);
    assert!(matches!(outcome, Err(Error::BeingWritten(_))), "a manifest that is not whole yet: nothing is removed");

    let mut before = before.clone();
    let mut after = before.clone();
    let subject = after.image("app:later").layers(["deleted"]).push();
    let attached = before.image("app").layers(["sbom"]).subject(subject).push();
    let of_it = before.image("app").layers(["of the sbom"]).subject(attached).push();
    for key in before.keys().map(str::to_owned).collect::<Vec<_>>() {
        after.put(key.clone(), before.get(&key).unwrap());
    }
    let (root, outcome) = collect_while(&before, &after, &[], UNTAGGED);
    assert!(outcome.unwrap().removed.revisions > 0);
    assert_whole(root.path(), &after, UNTAGGED);
    let exists = |digest| root.path().join(layout::revision_link("app", digest)).exists();
    assert!(exists(&attached) && exists(&of_it) && !exists(&referrer), "what is attached to what is new stays with it");
}

#[test]
fn recent_objects_keep_what_they_refer_to() {
    let (mut registry, _, untagged) = before();
    registry.blob("linked by nobody");
    let root = registry.on_disk();
    let old = SystemTime::now() - Duration::from_secs(3 * 3600);
    let files: Vec<String> = regc_testkit::files_below(root.path()).into_iter().collect();
    let age = |key: &str, modified| File::open(root.path().join(key)).unwrap().set_modified(modified).unwrap();
    files.iter().for_each(|key| age(key, old));
    let hour = Options { recent_since: Some(old + Duration::from_secs(3600)), ..UNTAGGED };
    let all = decide(&at(root.path()), UNTAGGED).unwrap();
    assert_eq!(decide(&at(root.path()), hour).unwrap(), all, "nothing is young");

    let revision = layout::revision_link("app", &untagged);
    age(&revision, SystemTime::now());
    let kept = decide(&at(root.path()), hour).unwrap();
    assert!(kept.revisions.is_empty() && !kept.blobs.contains(&layer("untagged")), "{kept:?}");
    assert!(kept.blobs.contains(&layer("deleted")));

    age(&layout::layer_link("app", &layer("deleted")), SystemTime::now());
    let kept = decide(&at(root.path()), hour).unwrap();
    assert!(!kept.blobs.contains(&layer("deleted")) && !kept.layer_links.contains(&("app".into(), layer("deleted"))));

    let blob = regc_testkit::sha256(b"linked by nobody");
    assert!(kept.blobs.contains(&blob));
    age(&layout::blob_data(&blob), SystemTime::now());
    assert!(!decide(&at(root.path()), hour).unwrap().blobs.contains(&blob));

    let everything = Options { recent_since: Some(SystemTime::UNIX_EPOCH), ..UNTAGGED };
    let outcome = collect(&at(root.path()), everything).unwrap();
    assert_eq!(outcome.removed, Default::default(), "all is younger than that");
}

#[test]
fn a_manifest_that_is_tagged_again_keeps_all_that_marking_would_keep() {
    type Shape = fn(&mut TestRegistry) -> Digest;
    let shapes: [(&str, Shape); 3] = [
        ("signatures", |registry| {
            let layer = registry.layer("app", "signed");
            let text = format!(r#"{{"schemaVersion":1,"fsLayers":[{{"blobSum":"{layer}"}}]}}"#);
            let manifest = registry.manifest("app", text);
            let signature = registry.blob("a signature");
            registry.put(layout::signature_link("app", &manifest, &signature), signature.to_string());
            manifest
        }),
        ("a child that the index calls a layer", |registry| {
            let image = registry.image("app").layers(["of the child"]).push();
            registry.index("app").entry("application/vnd.oci.image.layer.v1.tar+gzip", &image).push()
        }),
        ("what is attached to a layer", |registry| {
            let image = registry.image("app").layers(["with a report"]).push();
            registry.image("app").layers(["the report"]).subject(layer("with a report")).push();
            image
        }),
    ];
    for (what, shape) in shapes {
        let mut before = TestRegistry::new();
        before.image("app:v1").layers(["used"]).push();
        let untagged = shape(&mut before);
        let mut after = before.clone();
        after.tag("app", "back", &untagged);
        let (root, outcome) = collect_while(&before, &after, &[], UNTAGGED);
        let outcome = outcome.unwrap();
        assert!(outcome.failures.is_empty(), "{what}: {outcome:?}");
        for key in after.keys() {
            assert!(root.path().join(key).exists(), "{what}: {key} is gone");
        }
    }
}
