//! The store and its sessions: checks that cannot be skipped.

use regc_core::registry::layout;
use regc_core::registry::pattern::Pattern;
use regc_core::{CollectOptions, Config, Digest, Disposal, Error, Holder, Refusal, Silent, Store};
use regc_testkit::{TestRegistry, blobs_below, layer};
use tempfile::TempDir;

/// Creates a store with a deleted, an untagged and a tagged image.
fn registry() -> (TempDir, Digest) {
    let mut registry = TestRegistry::new();
    let deleted = registry.image("app:v1").layers(["deleted"]).push();
    registry.delete("app", &deleted);
    let untagged = registry.image("app").layers(["untagged"]).push();
    registry.image("app:v2").layers(["tagged"]).push();
    (registry.on_disk(), untagged)
}

fn open(root: &TempDir) -> Store {
    Store::open(&Config::at_root(root.path())).unwrap()
}

fn has(root: &TempDir, name: &str) -> bool {
    root.path().join(layout::blob_data(&layer(name))).exists()
}

#[test]
fn a_plan_is_carried_out_only_in_the_session_that_made_it() {
    let (root, _) = registry();
    let store = open(&root);
    let options = CollectOptions::new();
    let without_lock = store.plan(&options, &Silent).unwrap();
    let earlier = store.lock(&Holder::new("test")).unwrap().plan(&options, &Silent).unwrap();
    let session = store.lock(&Holder::new("test")).unwrap();
    for plan in [without_lock, earlier] {
        let executed = session.execute(&plan, Disposal::Delete, &Silent);
        assert!(matches!(executed, Err(Error::PlanOfAnotherSession)), "{executed:?}");
        assert!(has(&root, "deleted"));
    }
    let plan = session.plan(&options, &Silent).unwrap();
    assert_eq!(session.execute(&plan, Disposal::Delete, &Silent).unwrap().removed, plan.totals());
    assert!(!has(&root, "deleted") && has(&root, "untagged"));
}

#[test]
fn one_session_at_a_time_has_a_store() {
    let (root, _) = registry();
    let store = open(&root);
    let session = store.lock(&Holder::new("first")).unwrap();
    let second = open(&root);
    assert!(matches!(second.lock(&Holder::new("second")), Err(Error::Locked { .. })));
    drop(session);
    assert!(second.lock(&Holder::new("second")).is_ok());
}

#[test]
fn what_is_kept_in_the_trash_is_restored() {
    let (root, _) = registry();
    let store = open(&root);
    let before = blobs_below(root.path());
    let session = store.lock(&Holder::new("test")).unwrap();
    let plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
    let run = session.execute(&plan, Disposal::Trash, &Silent).unwrap().trashed_as.unwrap();
    assert!(!has(&root, "deleted"));
    let restore = regc_core::Restore { run: &run, selection: None, jobs: 4 };
    let planned = store.plan_restore(&restore).unwrap().restored;
    assert_eq!(session.restore(&restore).unwrap().restored, planned);
    assert_eq!(blobs_below(root.path()), before);
}

#[test]
fn a_plan_that_deletes_nearly_everything_as_untagged_must_be_confirmed() {
    let mut registry = TestRegistry::new();
    for image in 0..20 {
        registry.image("app").layers([format!("layer {image}")]).push();
    }
    registry.image("app:v1").layers(["tagged"]).push();
    let root = registry.on_disk();
    let store = open(&root);
    let session = store.lock(&Holder::new("test")).unwrap();
    let options = CollectOptions::new().delete_untagged(true);
    let mut plan = session.plan(&options, &Silent).unwrap();
    let refused = session.execute(&plan, Disposal::Delete, &Silent);
    assert!(
        matches!(refused, Err(Error::Refused(Refusal::MostlyUntagged { untagged: 20, linked: 21 }))),
        "{refused:?}"
    );
    plan.confirm();
    assert_eq!(session.execute(&plan, Disposal::Delete, &Silent).unwrap().removed.revisions, 20);
}

#[test]
fn an_empty_root_is_refused_unless_that_is_allowed() {
    let root = tempfile::tempdir().unwrap();
    let refused = open(&root).plan(&CollectOptions::new(), &Silent);
    assert!(matches!(refused, Err(Error::Refused(Refusal::NoLayout))), "{refused:?}");
    assert!(open(&root).allow_empty(true).plan(&CollectOptions::new(), &Silent).unwrap().totals().is_empty());
}

#[test]
fn a_root_of_the_callers_stays_with_all_that_it_needs() {
    let (root, running) = registry();
    let store = open(&root);
    let session = store.lock(&Holder::new("test")).unwrap();
    let options = CollectOptions::new().delete_untagged(true);
    let plan = session.plan(&options.clone().also_root([running]), &Silent).unwrap();
    session.execute(&plan, Disposal::Delete, &Silent).unwrap();
    assert!(has(&root, "untagged") && !has(&root, "deleted"));
    // A deletion does not remove it either.
    let deletion = store.resolve(&[Pattern::parse("app").unwrap()], false).unwrap();
    let plan = session.plan_deletion(deletion, &options.clone().also_root([running]), &Silent).unwrap();
    assert!(plan.totals().is_empty() && plan.require_complete().is_err());
    let plan = session.plan(&options, &Silent).unwrap();
    session.execute(&plan, Disposal::Delete, &Silent).unwrap();
    assert!(!has(&root, "untagged") && has(&root, "tagged"));
}

#[test]
fn a_store_and_all_that_comes_of_it_can_be_shared_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Store>();
    is_shared::<regc_core::Session<'static>>();
    is_shared::<regc_core::Plan>();
    is_shared::<CollectOptions>();
    is_shared::<Error>();
}
