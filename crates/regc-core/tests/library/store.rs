//! The store and its sessions: checks that cannot be skipped.

use regc_core::registry::layout;
use regc_core::registry::pattern::Pattern;
use regc_core::trash::Runs;
use regc_core::{Cause, CollectOptions, Config, Digest, Disposal, Error, Holder, Refusal, Silent, Store};
use regc_testkit::{TestRegistry, blobs_below, layer};
use tempfile::TempDir;

/// Creates a store with a deleted, an untagged and a tagged image.
pub fn registry() -> (TempDir, Digest) {
    let mut registry = TestRegistry::new();
    let deleted = registry.image("app:v1").layers(["deleted"]).push();
    registry.delete("app", &deleted);
    let untagged = registry.image("app").layers(["untagged"]).push();
    registry.image("app:v2").layers(["tagged"]).push();
    (registry.on_disk(), untagged)
}

pub fn open(root: &TempDir) -> Store {
    Store::open(&Config::at_root(root.path())).unwrap()
}

pub fn has(root: &TempDir, name: &str) -> bool {
    root.path().join(layout::blob_data(&layer(name))).exists()
}

#[test]
fn plan_is_executed_only_in_the_session_that_made_it() {
    let (root, _) = registry();
    let store = open(&root);
    let options = CollectOptions::new();
    let without_lock = store.plan(&options, &Silent).unwrap();
    let earlier = store.lock(&Holder::new("test")).unwrap().plan(&options, &Silent).unwrap();
    let session = store.lock(&Holder::new("test")).unwrap();
    for plan in [without_lock, earlier] {
        let executed = session.execute(&plan, Disposal::Delete, &Silent);
        assert!(matches!(executed, Err(Error::StalePlan)), "{executed:?}");
        assert!(has(&root, "deleted"));
    }
    let plan = session.plan(&options, &Silent).unwrap();
    assert_eq!(session.execute(&plan, Disposal::Delete, &Silent).unwrap().removed, plan.totals());
    assert!(!has(&root, "deleted") && has(&root, "untagged"));
}

#[test]
fn store_allows_one_session_at_a_time() {
    let (root, _) = registry();
    let store = open(&root);
    let session = store.lock(&Holder::new("first")).unwrap();
    let second = open(&root);
    assert!(matches!(second.lock(&Holder::new("second")), Err(Error::Locked { .. })));
    drop(session);
    assert!(second.lock(&Holder::new("second")).is_ok());
}

#[test]
fn session_restores_trashed_run() {
    let (root, _) = registry();
    let store = open(&root);
    let before = blobs_below(root.path());
    let session = store.lock(&Holder::new("test")).unwrap();
    let plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
    let run = session.execute(&plan, Disposal::Trash, &Silent).unwrap().trashed_as.unwrap();
    assert!(!has(&root, "deleted"));
    let restore = regc_core::Restore::new(&run);
    let planned = store.plan_restore(&restore, &Silent).unwrap().restored;
    assert_eq!(session.restore(&restore, &Silent).unwrap().restored, planned);
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
fn additional_root_is_kept_with_all_that_it_needs() {
    let (root, running) = registry();
    let store = open(&root);
    let session = store.lock(&Holder::new("test")).unwrap();
    let options = CollectOptions::new().delete_untagged(true);
    let plan = session.plan(&options.clone().also_root([running]), &Silent).unwrap();
    drop(session.execute(&plan, Disposal::Delete, &Silent).unwrap());
    assert!(has(&root, "untagged") && !has(&root, "deleted"));
    // Not by a deletion either.
    let deletion = store.resolve(&[Pattern::parse("app").unwrap()], false, &Silent).unwrap();
    let plan = session.plan_deletion(deletion, &options.clone().also_root([running]), &Silent).unwrap();
    assert!(plan.totals().is_empty());
    let refused = plan.require_complete().map(|_| ());
    assert!(
        matches!(&refused, Err(Error::Refused(Refusal::Blocked(blocked))) if blocked[0].reason == Cause::Root),
        "{refused:?}"
    );
    let plan = session.plan(&options, &Silent).unwrap();
    drop(session.execute(&plan, Disposal::Delete, &Silent).unwrap());
    assert!(!has(&root, "untagged") && has(&root, "tagged"));
}

#[test]
fn store_and_session_types_can_be_shared_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Store>();
    is_shared::<regc_core::Session<'static>>();
    is_shared::<regc_core::Plan>();
    is_shared::<CollectOptions>();
    is_shared::<Error>();
}

#[test]
fn a_session_executes_several_plans_each_with_a_run_of_its_own() {
    let (root, untagged) = registry();
    let store = open(&root);
    let session = store.lock(&Holder::new("test")).unwrap();
    let mut runs = Vec::new();
    for options in [CollectOptions::new(), CollectOptions::new().delete_untagged(true)] {
        let mut plan = session.plan(&options, &Silent).unwrap();
        plan.confirm();
        let outcome = session.execute(&plan, Disposal::Trash, &Silent).unwrap();
        assert!(outcome.is_complete(), "{outcome:?}");
        runs.push(outcome.trashed_as.expect("something was moved"));
    }
    assert!(runs[0] < runs[1], "{runs:?}");
    assert!(!has(&root, "deleted") && !has(&root, "untagged"));
    let named = Runs::Named(&runs[..1]);
    assert_eq!(session.empty_trash(Runs::Named(&[]), None, &Silent).unwrap().runs.len(), 0, "no name is no run");
    assert_eq!(session.empty_trash(named, None, &Silent).unwrap().runs.len(), 1);
    let restored = session.restore(&regc_core::Restore::new(&runs[1]), &Silent).unwrap();
    assert!(restored.is_complete() && has(&root, "untagged") && !has(&root, "deleted"));
    assert!(root.path().join(layout::revision_link("app", &untagged)).exists());
}

#[test]
fn partial_plan_is_executed_only_if_allowed() {
    let (root, running) = registry();
    let store = open(&root);
    let session = store.lock(&Holder::new("test")).unwrap();
    let options = CollectOptions::new().also_root([running]);
    let plan = || {
        let mut deletion = store.resolve_repository("app", &Silent).unwrap();
        deletion.repository("not there");
        session.plan_deletion(deletion, &options, &Silent).unwrap()
    };
    let refused = session.execute(&plan(), Disposal::Delete, &Silent);
    assert!(matches!(refused, Err(Error::Refused(Refusal::Blocked(_)))), "{refused:?}");
    assert!(session.execute(&plan().allow_partial(), Disposal::Delete, &Silent).is_ok());
    assert!(has(&root, "tagged"), "the caller's root keeps the repository whole");
}

#[test]
fn a_repository_is_named_literally() {
    let (root, _) = registry();
    let store = open(&root);
    for absent in ["**", "ap*", "{app,other}", "other", "app/", "App"] {
        let resolved = store.resolve_repository(absent, &Silent);
        assert!(matches!(resolved, Err(Error::NothingMatches(_))), "{absent}: {resolved:?}");
    }
    assert_eq!(store.resolve_repository("app", &Silent).unwrap().repositories().count(), 1);
}
