//! The store and its sessions: checks that cannot be skipped.

use regc_core::inspect::catalog::ListOptions;
use regc_core::inspect::usage::Detail;
use regc_core::registry::layout;
use regc_core::registry::pattern::Pattern;
use regc_core::trash::Runs;
use regc_core::{
    Cause, CollectOptions, Config, Digest, Disposal, Error, Holder, Monitor, Phase, Refusal, Silent, Store, verify,
};
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
    let restore = regc_core::Restore { run: &run, selection: None };
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
    let restored = session.restore(&regc_core::Restore { run: &runs[1], selection: None }, &Silent).unwrap();
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
        let mut deletion = store.resolve_repository("app").unwrap();
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
        let resolved = store.resolve_repository(absent);
        assert!(matches!(resolved, Err(Error::NothingMatches(_))), "{absent}: {resolved:?}");
    }
    assert_eq!(store.resolve_repository("app").unwrap().repositories().count(), 1);
}

/// Stops at once.
struct Stop;

impl Monitor for Stop {
    fn phase(&self, _: Phase, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn is_stopped(&self) -> bool {
        true
    }
}

#[test]
fn every_long_call_can_be_stopped() {
    let (root, _) = registry();
    let store = open(&root);
    let stop = Stop;
    let interrupted = |result: Result<(), Error>, what: &str| {
        assert!(matches!(result, Err(Error::Interrupted)), "{what}: {result:?}");
    };
    let options = CollectOptions::new();
    interrupted(store.plan(&options, &stop).map(drop), "plan");
    interrupted(store.list(|_| true, ListOptions::new(), &stop).map(drop), "list");
    interrupted(store.scan(&stop).map(drop), "scan");
    interrupted(store.usage(&store.scan(&Silent).unwrap(), Detail::default(), &stop).map(drop), "usage");
    interrupted(store.verify(&verify::Options::new(), &stop).map(drop), "verify");
    interrupted(store.deleted(|_| true, &stop).map(drop), "deleted");
    interrupted(store.resolve(&[Pattern::parse("**").unwrap()], false, &stop).map(drop), "resolve");
    let session = store.lock(&Holder::new("test")).unwrap();
    let plan = session.plan(&options, &Silent).unwrap();
    interrupted(session.execute(&plan, Disposal::Trash, &stop).map(drop), "execute");
    let run = session.execute(&plan, Disposal::Trash, &Silent).unwrap().trashed_as.unwrap();
    let to_restore = regc_core::Restore { run: &run, selection: None };
    let restored = session.restore(&to_restore, &stop).unwrap();
    assert!(restored.interrupted && restored.restored.is_empty() && !restored.is_complete());
    let emptied = session.empty_trash(Runs::All, None, &stop).unwrap();
    assert!(emptied.interrupted && emptied.runs.is_empty());
    assert!(session.restore(&to_restore, &Silent).unwrap().is_complete() && has(&root, "deleted"));
}

#[test]
fn plan_is_stale_once_the_session_has_changed_the_store() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["tagged"]).push();
    // An index that stays keeps the image when its tag is deleted.
    registry.index("app").manifests([image]).push();
    registry.image("other:v1").layers(["base"]).push();
    let root = registry.on_disk();
    let store = open(&root);
    let session = store.lock(&Holder::new("test")).unwrap();
    let untag = || {
        let mut deletion = regc_core::Deletion::default();
        let tag = store.list(|_| true, ListOptions::new(), &Silent).unwrap().remove(0).tags.remove(0);
        deletion.tag("app", &tag.name, tag.digest);
        session.plan_deletion(deletion, &CollectOptions::new().keep_content(true), &Silent).unwrap()
    };
    let run = session.execute(&untag(), Disposal::Trash, &Silent).unwrap().trashed_as.unwrap();
    let options = CollectOptions::new().delete_untagged(true).allow_mostly_untagged(true);
    let plan = session.plan(&options, &Silent).unwrap();
    assert_eq!(plan.totals().revisions, 2);
    // The tag comes back with the time that it had.
    assert!(session.restore(&regc_core::Restore { run: &run, selection: None }, &Silent).unwrap().is_complete());
    let executed = session.execute(&plan, Disposal::Delete, &Silent);
    assert!(matches!(executed, Err(Error::StalePlan)), "{executed:?}");
    assert!(has(&root, "tagged"));
    let earlier = session.plan(&options, &Silent).unwrap();
    let latest = session.plan(&options, &Silent).unwrap();
    assert!(matches!(session.execute(&earlier, Disposal::Delete, &Silent), Err(Error::StalePlan)));
    assert!(session.execute(&latest, Disposal::Delete, &Silent).unwrap().is_complete() && has(&root, "tagged"));
}

/// Restores a run in the middle of a deletion.
struct Restoring<'s> {
    session: &'s regc_core::Session<'s>,
    run: String,
    restored: std::sync::Mutex<Option<Result<(), Error>>>,
}

impl Monitor for Restoring<'_> {
    fn phase(&self, phase: Phase, _: Option<u64>) {
        if phase == Phase::Remove {
            let restore = regc_core::Restore { run: &self.run, selection: None };
            *self.restored.lock().unwrap() = Some(self.session.restore(&restore, &Silent).map(drop));
        }
    }

    fn advance(&self, _: u64) {}
}

#[test]
fn session_refuses_a_second_call_while_it_executes_a_plan() {
    let (root, _) = registry();
    let store = open(&root);
    let session = store.lock(&Holder::new("test")).unwrap();
    let deletion = store.resolve_repository("app").unwrap();
    let plan = session.plan_deletion(deletion, &CollectOptions::new().keep_content(true), &Silent).unwrap();
    let run = session.execute(&plan, Disposal::Trash, &Silent).unwrap().trashed_as.unwrap();
    let plan = session.plan(&CollectOptions::new(), &Silent);
    let refused = matches!(plan, Err(Error::Refused(_)));
    assert!(refused, "nothing but blobs is left: {plan:?}");
    drop(session);
    let store = open(&root).allow_empty(true);
    let session = store.lock(&Holder::new("test")).unwrap();
    let plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
    assert!(plan.totals().blobs > 0);
    let monitor = Restoring { session: &session, run, restored: std::sync::Mutex::new(None) };
    assert!(session.execute(&plan, Disposal::Trash, &monitor).unwrap().is_complete());
    let restored = monitor.restored.lock().unwrap().take();
    assert!(matches!(restored, Some(Err(Error::SessionBusy))), "{restored:?}");
}
