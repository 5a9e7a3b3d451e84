//! Sessions: plans that are stale, calls that are stopped, and a second call at the same time.

use regc_core::inspect::catalog::ListOptions;
use regc_core::inspect::usage::Detail;
use regc_core::registry::layout;
use regc_core::registry::pattern::Pattern;
use regc_core::storage::filesystem::FilesystemStorage;
use regc_core::storage::memory::MemoryStorage;
use regc_core::trash::Runs;
use regc_core::undelete::Selection;
use regc_core::verify::content::HashOptions;
use regc_core::{
    CollectOptions, Config, Deletion, Digest, Disposal, Error, Holder, Monitor, Phase, Refusal, Restore, Session,
    Silent, Store, repair, undelete, verify,
};
use regc_testkit::at::At;
use regc_testkit::wrapped::{Faulty, WithoutTrash};
use regc_testkit::{TestRegistry, files_below, layer};
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
    assert!(matches!(plan_undelete(&session, &Silent), Err(Error::NoTrash)));
    assert!(matches!(store.trash(&Silent), Err(Error::NoTrash)));
    let plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
    assert!(matches!(session.execute(&plan, Disposal::Trash, &Silent), Err(Error::NoTrash)));
    assert!(matches!(store.check_trash(&plan, &Silent), Err(Error::NoTrash)));
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
    let restored = std::sync::Mutex::new(None);
    let restore =
        At(Phase::Remove, || *restored.lock().unwrap() = Some(session.restore(&Restore::new(&run), &Silent).map(drop)));
    assert!(session.execute(&plan, Disposal::Trash, &restore).unwrap().is_complete());
    let restored = restored.into_inner().unwrap();
    assert!(matches!(restored, Some(Err(Error::SessionBusy))), "{restored:?}");
}

/// Writes an image into the store, as a push does: of its content, only what is not there.
fn push(root: &TempDir, repository: &str, tag: &str, layers: &[&str]) -> Digest {
    let mut registry = TestRegistry::new();
    let image = registry.image(&format!("{repository}:{tag}")).layers(layers.iter().copied()).push();
    let pushed = registry.on_disk();
    for key in files_below(pushed.path()) {
        let to = root.path().join(&key);
        if !to.exists() {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(pushed.path().join(key), to).unwrap();
        }
    }
    image
}

#[test]
fn emptying_the_trash_of_a_live_run_puts_back_what_has_come_into_use() {
    let (root, _) = registry();
    let store = open(&root);
    let session = store.lock_live(&Holder::new("test")).unwrap();
    let plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
    // The layer is there when the client asks for it, and is moved before the manifest is pushed.
    let kept = root.path().join("kept");
    std::fs::copy(root.path().join(layout::blob_data(&layer("deleted"))), &kept).unwrap();
    assert!(session.execute(&plan, Disposal::Trash, &Silent).unwrap().trashed_as.is_some());
    push(&root, "app", "new", &["deleted"]);
    std::fs::remove_file(root.path().join(layout::blob_data(&layer("deleted")))).unwrap();
    let planned = store.plan_empty_trash(Runs::All, None, &Silent).unwrap();
    assert!(planned.findings.len() == 1 && !has(&root, "deleted"), "{planned:?}");
    let emptied = session.empty_trash(Runs::All, None, &Silent).unwrap();
    assert!(emptied.findings.len() == 1 && has(&root, "deleted"), "{emptied:?}");
    assert!(!store.verify(&verify::Options::new(), &Silent).unwrap().is_damaged());
}

#[test]
fn run_in_the_trash_begins_when_its_plan_is_executed() {
    let (root, _) = registry();
    let store = open(&root);
    let session = store.lock(&Holder::new("test")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let run = collect(&session, Disposal::Trash).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let emptied = session.empty_trash(Runs::All, Some(now - 1), &Silent).unwrap();
    assert!(emptied.runs.is_empty(), "{run} began less than a second ago");
}

#[test]
fn what_a_collection_has_moved_is_put_back_whatever_its_command_is_called() {
    let (root, _) = registry();
    let store = open(&root);
    let session = store.lock_live(&Holder::new("test")).unwrap();
    let plan = session.plan(&CollectOptions::new().command("repair"), &Silent).unwrap();
    assert!(session.execute(&plan, Disposal::Trash, &Silent).unwrap().trashed_as.is_some());
    push(&root, "app", "new", &["deleted"]);
    std::fs::remove_file(root.path().join(layout::blob_data(&layer("deleted")))).unwrap();
    drop(session.plan(&CollectOptions::new(), &Silent).unwrap());
    assert!(has(&root, "deleted"));
}

#[test]
fn live_repair_spares_a_tag_whose_manifest_is_pushed_meanwhile() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["one"]).push();
    registry.remove(&layout::blob_data(&image));
    let root = registry.on_disk();
    let store = open(&root);
    let session = store.lock_live(&Holder::new("test")).unwrap();
    let verification = session.verify(&verify::Options::new(), &Silent).unwrap();
    let options = repair::Options::new().drop_lost(true);
    let plan = session.plan_repair(&verification, &options, &Silent).unwrap();
    assert!(!plan.actions().is_empty());
    let pushed = push(&root, "app", "v1", &["one"]);
    assert_eq!(pushed, image, "the same image");
    let outcome = session.repair(&plan, &options, &Silent).unwrap();
    assert_eq!((outcome.done.len(), outcome.spared.len()), (0, plan.actions().len()), "{outcome:?}");
    assert!(is_linked(&root, &image) && root.path().join(layout::tag_link("app", "v1")).exists());
}

#[test]
fn undelete_takes_no_evidence_from_another_store() {
    let (root, other) = (registry().0, registry().0);
    let (store, other) = (open(&root), open(&other));
    let deleted = other.deleted(|_| true, &Silent).unwrap();
    let session = store.lock(&Holder::new("test")).unwrap();
    let planned = session.plan_undelete(&deleted, &selected(&deleted), &Silent);
    assert!(matches!(planned, Err(Error::NotDeleted { .. })), "{planned:?}");
}

#[test]
fn plan_is_stale_once_a_monitor_has_panicked() {
    let (root, _) = registry();
    let store = open(&root);
    let session = store.lock(&Holder::new("test")).unwrap();
    let links = {
        let plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
        let links = plan_undelete(&session, &Silent).unwrap();
        let panics = At(Phase::Remove, || panic!("in a monitor"));
        let executed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            session.execute(&plan, Disposal::Delete, &panics)
        }));
        assert!(executed.is_err());
        links
    };
    assert!(matches!(session.undelete(&links, &Silent), Err(Error::StalePlan)));
}

#[test]
fn what_was_linked_is_reported_although_tidying_up_failed() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["deleted"]).push();
    registry.image("app:v2").layers(["tagged"]).push();
    registry.delete("app", &image);
    let root = registry.on_disk();
    let storage = FilesystemStorage::open(root.path()).unwrap();
    let storage = Faulty::reading(storage, |key| key == ".regc/incoming/link");
    let store = Store::with_storage(&Config::at_root(root.path()), Box::new(storage));
    let session = store.lock(&Holder::new("test")).unwrap();
    let links = plan_undelete(&session, &Silent).unwrap();
    let outcome = session.undelete(&links, &Silent).unwrap();
    assert!(outcome.left.is_some() && outcome.done == links.links().len(), "{outcome:?}");
}

#[test]
fn restore_reports_what_the_registry_has_something_else_instead_of() {
    let (root, _) = registry();
    let store = open(&root);
    let session = store.lock(&Holder::new("test")).unwrap();
    let mut deletion = Deletion::default();
    let tag = store.list(|_| true, ListOptions::new(), &Silent).unwrap().remove(0).tags.remove(0);
    deletion.tag("app", &tag.name, tag.digest);
    let plan = session.plan_deletion(deletion, &CollectOptions::new(), &Silent).unwrap();
    let run = session.execute(&plan, Disposal::Trash, &Silent).unwrap().trashed_as.unwrap();
    push(&root, "app", &tag.name, &["other"]);
    let torn = root.path().join(layout::blob_data(&layer("tagged")));
    std::fs::create_dir_all(torn.parent().unwrap()).unwrap();
    std::fs::write(torn, "torn").unwrap();
    for planned in [true, false] {
        let restored = match planned {
            true => store.plan_restore(&Restore::new(&run), &Silent).unwrap(),
            false => session.restore(&Restore::new(&run), &Silent).unwrap(),
        };
        let conflicting: Vec<&str> = restored.conflicting.iter().map(|entry| &*entry.path).collect();
        assert_eq!(conflicting, [layout::blob_data(&layer("tagged")), layout::tag_link("app", &tag.name)]);
        assert!(!restored.is_complete());
    }
    assert!(!store.trash(&Silent).unwrap()[0].restoring, "there is nothing more to restore");
}

/// Stops at the call of that number.
struct StopAt {
    calls: std::sync::atomic::AtomicUsize,
    at: usize,
}

impl Monitor for StopAt {
    fn phase(&self, _: Phase, _: Option<u64>) {}

    fn advance(&self, _: u64) {}

    fn is_stopped(&self) -> bool {
        self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= self.at
    }
}

#[test]
fn a_call_is_interrupted_exactly_if_it_has_changed_nothing() {
    for disposal in [Disposal::Delete, Disposal::Trash] {
        for at in 0.. {
            let (root, _) = registry();
            let store = open(&root).jobs(1);
            let session = store.lock(&Holder::new("test")).unwrap();
            let plan = session.plan(&CollectOptions::new(), &Silent).unwrap();
            let before = files_below(root.path());
            let monitor = StopAt { calls: 0.into(), at };
            let executed = session.execute(&plan, disposal, &monitor);
            let is_changed = files_below(root.path()) != before;
            match executed {
                Err(Error::Interrupted) => assert!(!is_changed, "stop {at}"),
                Ok(outcome) if outcome.interrupted => assert!(is_changed, "stop {at}"),
                Ok(outcome) => {
                    assert!(outcome.is_complete() && at > 5);
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
