//! The store over storage in memory, with directories and without.

use regc_core::inspect::catalog::ListOptions;
use regc_core::inspect::usage::Detail;
use regc_core::registry::layout;
use regc_core::trash::Runs;
use regc_core::{CollectOptions, Config, Disposal, Holder, Restore, Silent, Store, verify};
use regc_testkit::{TestRegistry, layer};

use crate::DIRECTORIES;

/// A registry with an image that was deleted, one without a tag, and one with a tag.
fn store() -> Store {
    let mut registry = TestRegistry::new();
    let deleted = registry.image("app:v1").layers(["base", "deleted"]).push();
    registry.delete("app", &deleted);
    registry.image("app").layers(["base", "untagged"]).push();
    registry.image("app:v2").layers(["base", "tagged"]).push();
    registry.image("other:v1").layers(["base"]).push();
    Store::with_storage(&Config::at_root("/nowhere"), Box::new(registry.in_memory(DIRECTORIES)))
}

fn has(store: &Store, name: &str) -> bool {
    store.storage().stat(&layout::blob_data(&layer(name))).unwrap().is_some()
}

#[test]
fn a_collection_deletes_garbage_and_its_trash_restores_it() {
    let store = store();
    let session = store.lock(&Holder::new("test")).unwrap();
    let plan = session.plan(&CollectOptions::new().delete_untagged(true), &Silent).unwrap();
    let outcome = session.execute(&plan, Disposal::Trash, &Silent).unwrap();
    assert!(outcome.is_complete() && outcome.removed == plan.totals(), "{outcome:?}");
    assert!(!has(&store, "deleted") && !has(&store, "untagged") && has(&store, "base") && has(&store, "tagged"));
    let run = outcome.trashed_as.unwrap();
    assert!(session.restore(&Restore::new(&run), &Silent).unwrap().is_complete());
    assert!(has(&store, "deleted") && has(&store, "untagged"));
    let plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
    assert!(session.execute(&plan, Disposal::Delete, &Silent).unwrap().is_complete());
    assert!(!has(&store, "deleted") && has(&store, "untagged"));
    assert_eq!(session.empty_trash(Runs::All, None, &Silent).unwrap().runs.len(), 0, "nothing was left in it");
}

#[test]
fn a_deletion_leaves_what_other_repositories_need() {
    let store = store();
    let session = store.lock(&Holder::new("test")).unwrap();
    let deletion = store.resolve_repository("app", &Silent).unwrap();
    let plan = session.plan_deletion(deletion, &CollectOptions::new(), &Silent).unwrap();
    assert!(session.execute(&plan, Disposal::Delete, &Silent).unwrap().is_complete());
    assert!(!has(&store, "tagged") && has(&store, "base"));
    let left = store.list(|_| true, ListOptions::new(), &Silent).unwrap();
    assert_eq!(left.iter().map(|listing| &*listing.repository).collect::<Vec<_>>(), ["other"]);
}

#[test]
fn reports_are_the_same_with_and_without_directories() {
    let store = store();
    let scan = store.scan(&Silent).unwrap();
    let usage = store.usage(&scan, Detail::default().tags(true), &Silent).unwrap();
    assert_eq!((usage.repositories.len(), usage.other), (2, 0));
    assert!(usage.garbage > 0 && usage.untagged > 0);
    let verification = store.verify(&verify::Options::new().every_name(true), &Silent).unwrap();
    assert!(!verification.is_damaged(), "{:?}", verification.defects);
    let listed = store.list(|_| true, ListOptions::new().images(true).untagged(true), &Silent).unwrap();
    assert_eq!(listed[0].untagged.len(), 1);
}
