//! Sessions: plans that are stale, calls that are stopped, and a second call at the same time.

use regc_core::inspect::catalog::ListOptions;
use regc_core::inspect::usage::Detail;
use regc_core::registry::layout;
use regc_core::registry::pattern::Pattern;
use regc_core::storage::memory::MemoryStorage;
use regc_core::trash::Runs;
use regc_core::undelete::Selection;
use regc_core::verify::content::HashOptions;
use regc_core::{
    CollectOptions, Config, Deletion, Digest, Disposal, Error, Holder, Monitor, Phase, Refusal, Restore, Session,
    Silent, Store, repair, undelete, verify,
};
use regc_testkit::TestRegistry;
use regc_testkit::wrapped::WithoutTrash;
use tempfile::TempDir;

use crate::store::{has, open, registry};

/// Stops at once.
struct Stop;

impl Monitor for Stop {
    fn phase(&self, _: Phase, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn is_stopped(&self) -> bool {
        true
    }
}

/// Plans to link every deleted manifest again.
fn plan_undelete(session: &Session<'_>, monitor: &dyn Monitor) -> Result<undelete::Plan, Error> {
    let deleted = session.store().deleted(|_| true, &Silent)?;
    session.plan_undelete(&deleted, &selected(&deleted), monitor)
}

fn selected(deleted: &[undelete::Deleted]) -> Vec<Selection> {
    let selection = |found: &undelete::Deleted| Selection {
        repository: found.repository.clone(),
        digest: found.digest,
        tags: vec!["v1".to_owned()],
    };
    deleted.iter().map(selection).collect()
}

fn collect(session: &Session<'_>, disposal: Disposal) -> Option<String> {
    let plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
    session.execute(&plan, disposal, &Silent).unwrap().trashed_as
}

/// Removes the link of the manifest that `app:v2` names, so that a repair writes it again.
fn without_a_link(root: &TempDir) -> Digest {
    let tag = std::fs::read_to_string(root.path().join(layout::tag_link("app", "v2"))).unwrap();
    let manifest: Digest = tag.parse().unwrap();
    std::fs::remove_file(root.path().join(layout::revision_link("app", &manifest))).unwrap();
    manifest
}

fn is_linked(root: &TempDir, manifest: &Digest) -> bool {
    root.path().join(layout::revision_link("app", manifest)).exists()
}

#[test]
fn every_long_call_can_be_stopped() {
    let (root, _) = registry();
    let store = open(&root);
    let stop = Stop;
    let interrupted = |result: Result<(), Error>, what: &str| {
        assert!(matches!(result, Err(Error::Interrupted)), "{what}: {result:?}");
    };
    let (options, to_repair) = (CollectOptions::new(), repair::Options::new());
    interrupted(store.plan(&options, &stop).map(drop), "plan");
    interrupted(store.list(|_| true, ListOptions::new(), &stop).map(drop), "list");
    interrupted(store.scan(&stop).map(drop), "scan");
    interrupted(store.usage(&store.scan(&Silent).unwrap(), Detail::default(), &stop).map(drop), "usage");
    interrupted(store.verify(&verify::Options::new(), &stop).map(drop), "verify");
    interrupted(store.deleted(|_| true, &stop).map(drop), "deleted");
    interrupted(store.resolve(&[Pattern::parse("**").unwrap()], false, &stop).map(drop), "resolve");
    interrupted(store.resolve_repository("app", &stop).map(drop), "resolve_repository");
    interrupted(store.repository_at("app", &stop).map(drop), "repository_at");
    let plan = store.plan(&options, &Silent).unwrap();
    interrupted(store.check_trash(&plan, &stop), "check_trash");

    let damaged = without_a_link(&root);
    let session = store.lock(&Holder::new("test")).unwrap();
    let mut verification = session.verify(&verify::Options::new(), &Silent).unwrap();
    let hashed = store.verify_content(&mut verification, &HashOptions::new("test"), &|_| (), &stop).unwrap();
    assert!(hashed.interrupted && hashed.checked_blobs == 0);
    interrupted(session.plan_repair(&verification, &to_repair, &stop).map(drop), "plan_repair");
    let repairs = session.plan_repair(&verification, &to_repair, &Silent).unwrap();
    interrupted(store.check_repair(&repairs, &stop).map(drop), "check_repair");
    interrupted(session.repair(&repairs, &to_repair, &stop).map(drop), "repair");
    assert!(!is_linked(&root, &damaged));
    let repairs = session.plan_repair(&session.verify(&verify::Options::new(), &Silent).unwrap(), &to_repair, &Silent);
    assert!(session.repair(&repairs.unwrap(), &to_repair, &Silent).unwrap().failures.is_empty());
    assert!(is_linked(&root, &damaged));

    interrupted(plan_undelete(&session, &stop).map(drop), "plan_undelete");
    let links = plan_undelete(&session, &Silent).unwrap();
    interrupted(store.check_undelete(&links, &stop), "check_undelete");
    interrupted(session.undelete(&links, &stop).map(drop), "undelete");

    let plan = session.plan(&options, &Silent).unwrap();
    interrupted(session.execute(&plan, Disposal::Trash, &stop).map(drop), "execute");
    let run = session.execute(&plan, Disposal::Trash, &Silent).unwrap().trashed_as.unwrap();
    let to_restore = Restore::new(&run);
    interrupted(store.trash(&stop).map(drop), "trash");
    interrupted(store.plan_restore(&to_restore, &stop).map(drop), "plan_restore");
    interrupted(store.plan_empty_trash(Runs::All, None, &stop).map(drop), "plan_empty_trash");
    interrupted(session.plan(&options, &stop).map(drop), "plan in a session");
    interrupted(session.restore(&to_restore, &stop).map(drop), "restore");
    interrupted(session.empty_trash(Runs::All, None, &stop).map(drop), "empty_trash");
    assert!(!store.trash(&Silent).unwrap()[0].restoring, "nothing is restored");
    assert!(session.restore(&to_restore, &Silent).unwrap().is_complete() && has(&root, "deleted"));
}

#[test]
fn undelete_plan_is_stale_once_the_session_has_changed_the_store() {
    let (root, _) = registry();
    let store = open(&root);
    let deleted = store.deleted(|_| true, &Silent).unwrap();
    let without_lock = store.plan_undelete(&deleted, &selected(&deleted), &Silent).unwrap();
    let earlier = plan_undelete(&store.lock(&Holder::new("test")).unwrap(), &Silent).unwrap();
    let session = store.lock(&Holder::new("test")).unwrap();
    let before = plan_undelete(&session, &Silent).unwrap();
    assert!(!before.links().is_empty());
    collect(&session, Disposal::Delete);
    assert!(!has(&root, "deleted"));
    for plan in [without_lock, earlier, before] {
        let undeleted = session.undelete(&plan, &Silent);
        assert!(matches!(undeleted, Err(Error::StalePlan)), "{undeleted:?}");
    }
    assert!(!is_linked(&root, &deleted[0].digest), "a link to content that is gone");
}

#[test]
fn repair_is_planned_only_from_what_its_session_has_verified() {
    let (root, _) = registry();
    let manifest = without_a_link(&root);
    let store = open(&root);
    let (options, verify) = (repair::Options::new(), verify::Options::new());
    let without_lock = store.verify(&verify, &Silent).unwrap();
    let earlier = store.lock(&Holder::new("test")).unwrap().verify(&verify, &Silent).unwrap();
    let planned_without_lock = store.plan_repair(&without_lock, &options, &Silent).unwrap();
    let session = store.lock(&Holder::new("test")).unwrap();
    let before = session.verify(&verify, &Silent).unwrap();
    let planned_before = session.plan_repair(&before, &options, &Silent).unwrap();
    // A deletion by the session itself: the manifest is to be gone.
    let deletion = store.resolve_repository("app", &Silent).unwrap();
    let plan = session.plan_deletion(deletion, &CollectOptions::new(), &Silent).unwrap();
    assert!(session.execute(&plan, Disposal::Delete, &Silent).unwrap().is_complete());
    for verification in [without_lock, earlier, before] {
        let planned = session.plan_repair(&verification, &options, &Silent);
        assert!(matches!(planned, Err(Error::StalePlan)), "{planned:?}");
    }
    for plan in [planned_without_lock, planned_before] {
        assert!(!plan.actions().is_empty());
        let repaired = session.repair(&plan, &options, &Silent);
        assert!(matches!(repaired, Err(Error::StalePlan)), "{repaired:?}");
    }
    assert!(!is_linked(&root, &manifest));
}

#[test]
fn repairs_and_undeletes_are_refused_as_deletions_are() {
    let (root, _) = registry();
    let store = open(&root);
    let deleted = store.deleted(|_| true, &Silent).unwrap();
    let database = root.path().join(layout::GITLAB_DATABASE_IN_USE);
    std::fs::create_dir_all(database.parent().unwrap()).unwrap();
    std::fs::write(database, "").unwrap();
    let session = store.lock(&Holder::new("test")).unwrap();
    let verification = session.verify(&verify::Options::new(), &Silent).unwrap();
    let refused = |error: Option<Error>| matches!(error, Some(Error::Refused(Refusal::GitLabDatabase(_))));
    assert!(refused(session.plan_repair(&verification, &repair::Options::new(), &Silent).err()));
    assert!(refused(store.plan_repair(&verification, &repair::Options::new(), &Silent).err()));
    assert!(refused(session.plan_undelete(&deleted, &selected(&deleted), &Silent).err()));
    assert!(refused(store.plan_undelete(&deleted, &selected(&deleted), &Silent).err()));
}

#[test]
fn storage_without_a_trash_is_collected_and_moves_nothing() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["deleted"]).push();
    registry.delete("app", &image);
    registry.image("app:v2").layers(["tagged"]).push();
    let storage: MemoryStorage = registry.in_memory(crate::DIRECTORIES);
    let root = TempDir::new().unwrap();
    let store = Store::with_storage(&Config::at_root(root.path()), Box::new(WithoutTrash::new(storage)));
    assert!(matches!(store.lock_live(&Holder::new("test")), Err(Error::NoTrash)));
    let session = store.lock(&Holder::new("test")).unwrap();
    let links = plan_undelete(&session, &Silent).unwrap();
    assert!(matches!(session.undelete(&links, &Silent), Err(Error::NoTrash)));
    let plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
    assert!(matches!(session.execute(&plan, Disposal::Trash, &Silent), Err(Error::NoTrash)));
    assert_eq!(session.execute(&plan, Disposal::Delete, &Silent).unwrap().removed, plan.totals());
    assert!(plan.totals().blobs > 0 && store.plan(&CollectOptions::new(), &Silent).unwrap().totals().is_empty());
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
        let mut deletion = Deletion::default();
        let tag = store.list(|_| true, ListOptions::new(), &Silent).unwrap().remove(0).tags.remove(0);
        deletion.tag("app", &tag.name, tag.digest);
        session.plan_deletion(deletion, &CollectOptions::new().keep_content(true), &Silent).unwrap()
    };
    let run = session.execute(&untag(), Disposal::Trash, &Silent).unwrap().trashed_as.unwrap();
    let options = CollectOptions::new().delete_untagged(true).allow_mostly_untagged(true);
    let plan = session.plan(&options, &Silent).unwrap();
    assert_eq!(plan.totals().revisions, 2);
    // The tag comes back with the time that it had.
    assert!(session.restore(&Restore::new(&run), &Silent).unwrap().is_complete());
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
    session: &'s Session<'s>,
    run: String,
    restored: std::sync::Mutex<Option<Result<(), Error>>>,
}

impl Monitor for Restoring<'_> {
    fn phase(&self, phase: Phase, _: Option<u64>) {
        if phase == Phase::Remove {
            let restore = Restore::new(&self.run);
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
    let deletion = store.resolve_repository("app", &Silent).unwrap();
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
