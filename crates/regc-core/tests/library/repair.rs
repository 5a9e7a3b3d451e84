//! What a repair does to a store, even if it is interrupted.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use regc_core::finding::{Kind, Severity};
use regc_core::registry::layout;
use regc_core::repair::{Action, Options as RepairOptions, Outcome, Plan};
use regc_core::stages::repair::{apply, plan};
use regc_core::storage::lock::Locked;
use regc_core::storage::memory::MemoryStorage;
use regc_core::storage::{Content, ReadStorage, TrashStorage};
use regc_core::trash::Header;
use regc_core::verify::content::SystemClock;
use regc_core::verify::{Options as VerifyOptions, Verification, verify};
use regc_core::{Algorithm, Digest, Error, Monitor, Phase, Silent};
use regc_testkit::wrapped::{Fault, Faulty};
use regc_testkit::{TestRegistry, layer};

use crate::faults::{header, run};
use crate::{DEFAULT, DIRECTORIES, Options, UNTAGGED, holder};

/// Takes content from the other store, and gives up what is lost.
fn options(from: Option<&dyn ReadStorage>) -> RepairOptions<'_> {
    RepairOptions::new().from(from).drop_lost(true)
}

fn look(storage: &dyn ReadStorage) -> Verification {
    verify(storage, &VerifyOptions::new(), &Silent).unwrap()
}

fn wrong(storage: &dyn ReadStorage) -> BTreeSet<Kind> {
    let wrong = look(storage).defects.into_iter().map(|defect| defect.kind);
    wrong.filter(|kind| kind.severity() < Severity::Note).collect()
}

fn planned(storage: &dyn ReadStorage, from: Option<&dyn ReadStorage>) -> Plan {
    plan(storage, &look(storage), &options(from), &SystemClock::start(), &Silent).unwrap()
}

fn repair_as(
    storage: &dyn TrashStorage,
    from: Option<&dyn ReadStorage>,
    name: &str,
    monitor: &dyn Monitor,
) -> Result<Outcome, Error> {
    let locked = Locked::take(&storage, &holder())?;
    let header = Header { command: "repair".into(), ..header(name) };
    apply(&locked, &planned(storage, from), &options(from), &header, &SystemClock::start(), monitor)
}

pub fn repair(storage: &dyn TrashStorage, from: Option<&dyn ReadStorage>) -> Outcome {
    repair_as(storage, from, "repair", &Silent).unwrap()
}

fn text(storage: &dyn ReadStorage, key: &str) -> Option<String> {
    match storage.read(key, 1 << 20).unwrap()? {
        Content::Whole(text) => Some(String::from_utf8(text).unwrap()),
        Content::TooLarge => panic!("{key} is small"),
    }
}

/// Creates tagged images, an untagged one, and an index.
fn whole() -> TestRegistry {
    let mut registry = TestRegistry::new();
    registry.image("app:v1").layers(["base", "one"]).push();
    registry.image("app:v2").layers(["base", "two"]).push();
    let children = ["arm", "x86"].map(|layer| registry.image("app").layers([layer]).push());
    registry.index("app:multi").manifests(children).push();
    registry.image("other").layers(["base", "untagged"]).push();
    registry
}

fn manifest(registry: &TestRegistry, repository: &str, tag: &str) -> Digest {
    String::from_utf8(registry.get(&layout::tag_link(repository, tag)).unwrap().to_vec()).unwrap().parse().unwrap()
}

fn untagged(registry: &TestRegistry) -> Digest {
    let revisions = format!("{}/", layout::revisions("other"));
    registry.keys().find(|key| key.starts_with(&revisions)).and_then(layout::digest_of_link).unwrap()
}

/// Creates the same, with all damage that can be repaired with a backup.
fn damaged() -> TestRegistry {
    let mut registry = whole();
    let [v1, v2, multi] = ["v1", "v2", "multi"].map(|tag| manifest(&registry, "app", tag));
    let untagged = untagged(&registry);
    registry.put(layout::revision_link("other", &untagged), "");
    registry.put(layout::layer_link("other", &layer("untagged")), "sha256:");
    registry.put(layout::blob_data(&layer("one")), "damaged, and longer than it was");
    registry.put(layout::blob_data(&v1), format!("damaged, with {}", layer("base")));
    registry.remove(&layout::blob_data(&layer("x86")));
    registry.remove(&layout::layer_link("app", &layer("arm")));
    registry.remove(&layout::revision_link("app", &v2));
    registry.remove(&layout::layer_link("app", &layer("two")));
    registry.put(layout::tag_index_link("app", "multi", &multi), "garbled");
    registry
}

#[test]
fn first_repair_plan_is_complete() {
    let (backup, storage) = (whole().in_memory(DIRECTORIES), damaged().in_memory(DIRECTORIES));
    let before = storage.keys();
    let planned = planned(&storage, Some(&backup));
    assert_eq!(storage.keys(), before);
    let outcome = repair(&storage, Some(&backup));
    assert_eq!((outcome.done.len(), outcome.failures.len(), outcome.spared.len()), (planned.actions().len(), 0, 0));
    assert_eq!(outcome.done, planned.actions());
    assert_eq!(wrong(&storage), BTreeSet::new());
    for key in backup.keys() {
        assert_eq!(text(&storage, &key), text(&backup, &key), "{key}");
    }
    assert!(repair_as(&storage, Some(&backup), "again", &Silent).unwrap().done.is_empty());
    // This includes a layer of a manifest that was not linked itself.
    let two = Action::WriteLink { path: layout::layer_link("app", &layer("two")), digest: layer("two") };
    assert!(planned.actions().contains(&two));
}

#[test]
fn every_action_has_a_cause() {
    let (backup, storage) = (whole().in_memory(DIRECTORIES), damaged().in_memory(DIRECTORIES));
    let v2 = manifest(&damaged(), "app", "v2");
    for from in [None, Some(&backup as &dyn ReadStorage)] {
        let planned = planned(&storage, from);
        for action in planned.actions() {
            assert!(planned.cause(action).is_some(), "{action:?}");
        }
        let kind = |action: Action| planned.cause(&action).unwrap().kind;
        let garbled = layout::layer_link("other", &layer("untagged"));
        assert_eq!(kind(Action::WriteLink { path: garbled, digest: layer("untagged") }), Kind::GarbledLayerLink);
        // The tag's manifest is linked again, and needs the layer.
        for (path, digest) in
            [(layout::revision_link("app", &v2), v2), (layout::layer_link("app", &layer("two")), layer("two"))]
        {
            let action = Action::WriteLink { path, digest };
            assert_eq!(kind(action.clone()), Kind::DanglingTag);
            assert_eq!(planned.cause(&action).unwrap().images, ["app:v2"]);
        }
    }
}

/// Returns the keys that a collection leaves.
fn collected(storage: &MemoryStorage, options: Options) -> BTreeSet<String> {
    let copy: MemoryStorage =
        storage.keys().into_iter().map(|key| (key.clone(), text(storage, &key).unwrap())).collect();
    drop(run(&copy, options, None).unwrap());
    copy.keys().into_iter().collect()
}

/// Asserts that a collection deletes nothing that it would not have deleted before the repair.
fn assert_nothing_lost(storage: &MemoryStorage, when: &str) {
    let before: BTreeSet<String> = storage.keys().into_iter().collect();
    for options in [DEFAULT, UNTAGGED] {
        let (left, unrepaired) = (collected(storage, options), collected(&damaged().in_memory(DIRECTORIES), options));
        for key in unrepaired.intersection(&before) {
            assert!(left.contains(key), "{when}: {key} was collected");
        }
    }
}

#[test]
fn lost_manifest_keeps_its_links_without_drop_lost() {
    for is_linked in [true, false] {
        let mut registry = whole();
        let v1 = manifest(&registry, "app", "v1");
        registry.tag("app", "v1", &manifest(&registry, "app", "v2"));
        registry.tag("app", "v1", &v1);
        registry.remove(&layout::blob_data(&v1));
        if !is_linked {
            registry.remove(&layout::revision_link("app", &v1));
        }
        let storage = registry.in_memory(DIRECTORIES);
        let seen = look(&storage);
        let plan_with = |drop_lost| {
            let options = RepairOptions::new().drop_lost(drop_lost);
            plan(&storage, &seen, &options, &SystemClock::start(), &Silent).unwrap()
        };
        let undecided = plan_with(false);
        assert_eq!((undecided.actions(), undecided.lost()), (&[][..], &BTreeSet::from([("app".to_owned(), v1)])));
        let decided = plan_with(true);
        let removes_tag = |action: &Action| action.path() == layout::tag_link("app", "v1");
        assert!(decided.lost().is_empty() && decided.actions().iter().any(removes_tag), "linked: {is_linked}");
    }
}

#[test]
fn a_repair_that_is_killed_loses_nothing_and_is_finished_by_the_next() {
    for from in [None, Some(whole().in_memory(DIRECTORIES))] {
        let from = from.as_ref().map(|from| from as &dyn ReadStorage);
        let mut died = 0;
        for k in 0.. {
            let storage = Faulty::changing(damaged().in_memory(DIRECTORIES), move |n| match n >= k {
                true => Fault::Error(ErrorKind::StorageFull),
                false => Fault::None,
            });
            let outcome = repair_as(&storage, from, "killed", &Silent);
            let storage = storage.into_inner();
            let when = format!("killed at change {k}, backup: {}", from.is_some());
            // Without a backup, one image can only be pushed again, and what is left of it must not be collected.
            assert_nothing_lost(&storage, &when);
            repair(&storage, from);
            assert_nothing_lost(&storage, &format!("{when}, and then finished"));
            let left = wrong(&storage);
            match from {
                Some(_) => assert_eq!(left, BTreeSet::new(), "{when}"),
                None => assert_eq!(left, BTreeSet::from([Kind::MissingBlob, Kind::DamagedManifest]), "{when}"),
            }
            if outcome.is_ok_and(|outcome| outcome.failures.is_empty()) {
                break;
            }
            died += 1;
        }
        assert!(died > 10, "{died}");
    }
}

#[test]
fn repository_of_a_manifest_moved_aside_is_kept_until_the_push() {
    let mut registry = whole();
    let multi = manifest(&registry, "app", "multi");
    let index = String::from_utf8(registry.get(&layout::blob_data(&multi)).unwrap().to_vec()).unwrap();
    registry.put(layout::blob_data(&multi), format!("{index} and more"));
    let storage = registry.in_memory(DIRECTORIES);
    let outcome = repair(&storage, None);
    let aside = Action::MoveAside { path: layout::blob_data(&multi), digest: multi };
    assert_eq!(outcome.done, [aside]);
    // A collection deletes nothing of it now, and the next repair does not count it as lost.
    for name in ["first", "second"] {
        let before = storage.keys();
        drop(run(&storage, UNTAGGED, None).unwrap());
        let gone = before.iter().filter(|key| !storage.keys().contains(key)).count();
        assert_eq!(gone, if name == "first" { 7 } else { 0 }, "the image in the other repository that nobody names");
        assert_eq!(wrong(&storage).into_iter().collect::<Vec<_>>(), [Kind::DamagedManifest]);
        assert!(repair_as(&storage, None, name, &Silent).unwrap().done.is_empty());
    }
    storage.create(&layout::blob_data(&multi), &mut |to| to.write_all(index.as_bytes())).unwrap();
    assert_eq!(wrong(&storage), BTreeSet::new());
}

#[test]
fn repair_reports_unreadable_backup_and_goes_on() {
    let one = layout::blob_data(&layer("one"));
    let backup = Faulty::reading(whole().in_memory(DIRECTORIES), move |key| key == one);
    let storage = damaged().in_memory(DIRECTORIES);
    let plan = planned(&storage, Some(&backup));
    assert!(matches!(plan.failures(), [Error::Storage { path, .. }] if *path == layout::blob_data(&layer("one"))));
    repair(&storage, Some(&backup));
    assert_eq!(wrong(&storage), BTreeSet::from([Kind::MissingBlob]), "it is moved to the trash all the same");
}

#[test]
fn repair_links_no_blob_as_manifest() {
    let mut registry = whole();
    let other = layer("not a manifest");
    registry.tag("app", "wrong", &other);
    let mut backup = registry.clone();
    backup.blob(regc_testkit::layer_content("not a manifest"));
    let storage = registry.in_memory(DIRECTORIES);
    assert_eq!(planned(&storage, Some(&backup.in_memory(DIRECTORIES))).actions(), []);
    assert_eq!(planned(&storage, None).actions().len(), 2, "the tag goes where nobody has a backup");
}

#[test]
fn content_that_failed_to_copy_gets_no_link() {
    let mut registry = whole();
    let v1 = manifest(&registry, "app", "v1");
    registry.remove(&layout::revision_link("app", &v1));
    registry.remove(&layout::blob_data(&v1));
    // The journal comes first, then the copy.
    let full = Faulty::changing(registry.in_memory(DIRECTORIES), |n| match n {
        0 => Fault::Error(ErrorKind::StorageFull),
        _ => Fault::None,
    });
    let outcome = repair(&full, Some(&whole().in_memory(DIRECTORIES)));
    assert!(matches!(
        &outcome.failures[..],
        [(Action::Take { .. }, _), (Action::WriteLink { .. }, Error::NotTaken(_))]
    ));
    assert_eq!(wrong(&full.into_inner()), BTreeSet::from([Kind::DanglingTag]));
}

/// Stops the run once something was done.
#[derive(Default)]
struct StopAfterFirst(std::sync::atomic::AtomicU64);

impl Monitor for StopAfterFirst {
    fn phase(&self, _: Phase, _: Option<u64>) {}

    fn advance(&self, steps: u64) {
        self.0.fetch_add(steps, std::sync::atomic::Ordering::Relaxed);
    }

    fn finding(&self, _: &regc_core::Finding) {}

    fn is_stopped(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed) > 0
    }
}

#[test]
fn a_stop_is_heeded_between_two_repairs() {
    let (backup, storage) = (whole().in_memory(DIRECTORIES), damaged().in_memory(DIRECTORIES));
    let outcome = repair_as(&storage, Some(&backup), "stopped", &StopAfterFirst::default()).unwrap();
    assert!(outcome.interrupted && outcome.done.len() == 1, "{outcome:?}");
    assert!(!repair(&storage, Some(&backup)).interrupted);
    assert_eq!(wrong(&storage), BTreeSet::new());
    assert!(storage.keys().iter().all(|key| !key.starts_with(".regc/incoming")));
}

/// Removes a tag and its index.
fn untag(registry: &mut TestRegistry, repository: &str, tag: &str) {
    let prefix = format!("{}/", layout::tag(repository, tag));
    let keys: Vec<String> = registry.keys().filter(|key| key.starts_with(&prefix)).map(str::to_owned).collect();
    keys.iter().for_each(|key| drop(registry.remove(key)));
}

#[test]
fn repair_leaves_trashed_content_to_collection() {
    let registry = whole();
    let v1 = manifest(&registry, "app", "v1");
    for with_revision in [false, true] {
        let mut untagged = registry.clone();
        untag(&mut untagged, "app", "v1");
        let storage = untagged.in_memory(DIRECTORIES);
        assert!(run(&storage, UNTAGGED, Some("collection")).unwrap().removed.revisions > 0);
        // It was pushed again at that moment, and the registry answered that it already has the content.
        let mut links = vec![layout::tag_link("app", "v1"), layout::tag_index_link("app", "v1", &v1)];
        links.extend(with_revision.then(|| layout::revision_link("app", &v1)));
        for link in links {
            storage.create(&link, &mut |to| write!(to, "{v1}")).unwrap();
        }
        let found = planned(&storage, None);
        assert_eq!((found.actions(), found.in_trash()), (&[][..], &BTreeSet::from([v1])));
        repair(&storage, None);
        drop(run(&storage, DEFAULT, None).unwrap());
        assert_eq!(wrong(&storage), BTreeSet::new(), "the next collection puts it back");
    }
}

#[test]
fn a_collection_does_not_undo_a_repair() {
    let mut registry = whole();
    let x86 = registry.image("app").layers(["x86"]).push();
    registry.remove(&layout::blob_data(&x86));
    registry.put(layout::layer_link("app", &layer("arm")), "garbled");
    let storage = registry.in_memory(DIRECTORIES);
    assert_eq!(repair(&storage, None).done.len(), 2);
    let healed = run(&storage, DEFAULT, None).unwrap();
    assert_eq!(text(&storage, &layout::layer_link("app", &layer("arm"))), Some(layer("arm").to_string()));
    assert!(healed.failures.is_empty());
    assert_eq!(wrong(&storage), BTreeSet::from([Kind::MissingChild]), "the link to nothing stays away");
    assert_eq!(planned(&storage, None).actions(), []);
}

#[test]
fn last_trace_of_an_image_is_kept() {
    // Linked where registry 2.1 did, and known only from a garbled tag's index: by an entry that is garbled, too.
    let mut registry = whole();
    let v1 = manifest(&registry, "app", "v1");
    registry.remove(&layout::revision_link("app", &v1));
    registry.put(layout::layer_link("app", &v1), v1.to_string());
    registry.put(layout::tag_link("app", "v1"), "");
    registry.put(layout::tag_index_link("app", "v1", &v1), "");
    let entry = Action::WriteLink { path: layout::tag_index_link("app", "v1", &v1), digest: v1 };
    assert_eq!(planned(&registry.in_memory(DIRECTORIES), None).actions(), [entry]);

    // Referrers of a missing image are kept until it is pushed again.
    let mut registry = whole();
    let v1 = manifest(&registry, "app", "v1");
    let signature = registry.image("app").layers(["signature"]).subject(v1).push();
    registry.remove(&layout::blob_data(&v1));
    let storage = registry.in_memory(DIRECTORIES);
    repair(&storage, None);
    drop(run(&storage, UNTAGGED, None).unwrap());
    assert!(text(&storage, &layout::blob_data(&signature)).is_some());
}

#[test]
fn unreadable_manifest_is_not_lost() {
    let mut registry = whole();
    let v1 = manifest(&registry, "app", "v1");
    registry.remove(&layout::revision_link("app", &v1));
    let blob = layout::blob_data(&v1);
    let storage = Faulty::reading(registry.in_memory(DIRECTORIES), move |key| key == blob);
    let found = planned(&storage, None);
    assert!(found.actions().is_empty() && !found.failures().is_empty(), "{found:?}");
}

#[test]
fn missing_manifest_linked_by_many_repositories_counts_once() {
    let mut registry = TestRegistry::new();
    let mut image = None;
    for n in 0..30 {
        image = Some(registry.image(&format!("app-{n}:v1")).layers(["a"]).push());
        registry.image(&format!("app-{n}:v2")).layers([format!("layer {n}")]).push();
    }
    registry.remove(&layout::blob_data(&image.unwrap()));
    let dangling =
        look(&registry.in_memory(DIRECTORIES)).defects.iter().filter(|d| d.kind == Kind::DanglingRevision).count();
    let found = planned(&registry.in_memory(DIRECTORIES), None);
    assert!(dangling >= 1 && !found.actions().is_empty());
}

#[test]
fn content_named_by_a_sha512_digest_is_found_through_its_link() {
    let sha512 = |content: &[u8]| Digest::of(Algorithm::Sha512, content);
    let content = b"pushed by its sha512 digest";
    let (named, canonical) = (sha512(content), Digest::of(Algorithm::Sha256, content));
    let mut registry = TestRegistry::new();
    let config = registry.blob("{}");
    registry.link_layer("app", &config);
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"digest":"{config}","size":2}},
            "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{named}","size":27}}]}}"#
    );
    registry.manifest("app:v1", text);
    registry.blob(content);
    registry.link_layer("app", &canonical);
    registry.put(layout::layer_link("app", &named), canonical.to_string());
    assert_eq!(wrong(&registry.in_memory(DIRECTORIES)), BTreeSet::new());
    let mut without_link = registry.clone();
    without_link.remove(&layout::layer_link("app", &named));
    assert_eq!(wrong(&without_link.in_memory(DIRECTORIES)), BTreeSet::from([Kind::MissingLayerLink]));
    let mut without_content = registry.clone();
    without_content.remove(&layout::blob_data(&canonical));
    assert_eq!(wrong(&without_content.in_memory(DIRECTORIES)), BTreeSet::from([Kind::MissingBlob]));
    let storage = without_content.in_memory(DIRECTORIES);
    repair(&storage, Some(&registry.in_memory(DIRECTORIES)));
    assert_eq!(wrong(&storage), BTreeSet::new());

    // Its revision is linked by the other digest, and its content is missing: there is no link to remove.
    let mut registry = whole();
    let v1 = manifest(&registry, "app", "v1");
    let other = sha512(registry.get(&layout::blob_data(&v1)).unwrap());
    registry.remove(&layout::revision_link("app", &v1));
    registry.put(layout::revision_link("app", &other), v1.to_string());
    registry.put(layout::tag_link("app", "v1"), other.to_string());
    registry.put(layout::tag_index_link("app", "v1", &other), other.to_string());
    registry.remove(&layout::tag_index_link("app", "v1", &v1));
    registry.remove(&layout::blob_data(&v1));
    assert_eq!(planned(&registry.in_memory(DIRECTORIES), None).actions(), []);
}

#[test]
fn long_chain_of_indexes_is_repaired() {
    let mut registry = TestRegistry::new();
    let mut top = registry.image("app").layers(["a"]).push();
    for _ in 0..5000 {
        top = registry.index("app").manifests([top]).push();
    }
    registry.tag("app", "top", &top);
    let prefix = format!("{}/", layout::revisions("app"));
    let revisions: Vec<String> = registry.keys().filter(|key| key.starts_with(&prefix)).map(str::to_owned).collect();
    for key in revisions {
        registry.remove(&key);
        // A deletion through the API leaves the directory, which shows that the repository has had the manifest.
        registry.put(key.replace("/link", "/left"), "");
    }
    assert_eq!(planned(&registry.in_memory(DIRECTORIES), None).actions().len(), 5001);
}

#[test]
fn links_of_a_relinked_manifest_are_repaired_in_the_same_run() {
    let mut registry = whole();
    let v1 = manifest(&registry, "app", "v1");
    registry.remove(&layout::revision_link("app", &v1));
    registry.put(layout::layer_link("app", &layer("one")), layer("two").to_string());
    let storage = registry.in_memory(DIRECTORIES);
    assert_eq!(repair(&storage, None).done.len(), 2);
    assert_eq!(wrong(&storage), BTreeSet::new());
}

#[test]
fn layer_link_that_serves_a_tag_is_repaired() {
    // A manifest that registry 2.1 has linked among the layers.
    let mut registry = whole();
    let [v1, v2] = ["v1", "v2"].map(|tag| manifest(&registry, "app", tag));
    registry.remove(&layout::revision_link("app", &v1));
    for (text, kind) in [(v2.to_string(), Kind::MisdirectedLink), ("x".repeat(71), Kind::GarbledLayerLink)] {
        registry.put(layout::layer_link("app", &v1), text);
        let storage = registry.in_memory(DIRECTORIES);
        assert_eq!(wrong(&storage), BTreeSet::from([kind]));
        repair(&storage, None);
        assert_eq!(wrong(&storage), BTreeSet::new());
    }
}

/// Returns what a second repair would do after a first one.
fn second(storage: &dyn TrashStorage, from: Option<&dyn ReadStorage>) -> Vec<Action> {
    let first = repair(storage, from);
    assert!(!first.done.is_empty() && first.failures.is_empty(), "{first:?}");
    planned(storage, from).actions().to_vec()
}

#[test]
fn tag_index_entry_of_a_relinked_manifest_is_repaired_in_the_same_run() {
    // The tag itself, another tag that named the image before, and a manifest that is linked as part of an index.
    let mut registry = whole();
    let [v1, multi] = ["v1", "multi"].map(|tag| manifest(&registry, "app", tag));
    let x86 = registry.image("app").layers(["x86"]).push();
    for (tag, digest) in [("v1", v1), ("v2", v1), ("v2", multi), ("v2", x86)] {
        registry.put(layout::tag_index_link("app", tag, &digest), "garbled");
    }
    for digest in [v1, multi, x86] {
        registry.remove(&layout::revision_link("app", &digest));
    }
    let storage = registry.in_memory(DIRECTORIES);
    assert_eq!(second(&storage, None), []);
    for (tag, digest) in [("v1", v1), ("v2", v1), ("v2", multi), ("v2", x86)] {
        assert_eq!(text(&storage, &layout::tag_index_link("app", tag, &digest)), Some(digest.to_string()));
    }
    // Linked where registry 2.1 did, by a link that is lost but written again, since an image needs it as a layer.
    let mut registry = whole();
    registry.put(layout::tag_index_link("app", "v1", &layer("two")), "garbled");
    registry.remove(&layout::layer_link("app", &layer("two")));
    assert_eq!(second(&registry.in_memory(DIRECTORIES), None), []);
}

#[test]
fn repair_keeps_subject_of_linked_referrer() {
    let mut registry = whole();
    let v1 = manifest(&registry, "app", "v1");
    let signature = registry.image("app:signature").layers(["signature"]).subject(v1).push();
    registry.remove(&layout::revision_link("app", &signature));
    registry.remove(&layout::blob_data(&v1));
    let storage = registry.in_memory(DIRECTORIES);
    assert_eq!(second(&storage, None), []);
    assert!(text(&storage, &layout::revision_link("app", &v1)).is_some());
}

#[test]
fn tag_of_a_manifest_moved_aside_is_kept() {
    let mut registry = whole();
    let v1 = manifest(&registry, "app", "v1");
    registry.remove(&layout::revision_link("app", &v1));
    registry.put(layout::blob_data(&v1), "damaged");
    let storage = registry.in_memory(DIRECTORIES);
    assert_eq!(second(&storage, None), []);
    assert!(text(&storage, &layout::tag_link("app", "v1")).is_some());
}

#[test]
fn repair_takes_manifest_and_its_needs_in_one_run() {
    let backup = whole().in_memory(DIRECTORIES);
    let mut registry = whole();
    let v1 = manifest(&registry, "app", "v1");
    registry.remove(&layout::layer_link("app", &layer("one")));
    let blob = layout::blob_data(&v1);
    let path = blob.clone();
    let storage = Faulty::reading(registry.in_memory(DIRECTORIES), move |key| key == path);
    let actions = planned(&storage, Some(&backup)).actions().to_vec();
    let link = Action::WriteLink { path: layout::layer_link("app", &layer("one")), digest: layer("one") };
    assert_eq!(actions, [Action::Take { path: blob, digest: v1 }, link]);
}

#[test]
fn references_of_a_relinked_index_are_repaired_in_the_same_run() {
    let mut registry = whole();
    let artifact = registry.image("app").layers(["odd"]).push();
    let multi = registry
        .index("app:odd")
        .entry("application/vnd.oci.image.layer.v1.tar", &layer("cached"))
        .entry("application/vnd.oci.image.layer.v1.tar", &layer("base"))
        .entry("application/vnd.example", &artifact)
        .push();
    registry.layer("app", "cached");
    let backup = registry.in_memory(DIRECTORIES);
    for digest in [multi, artifact] {
        registry.remove(&layout::revision_link("app", &digest));
        registry.put(layout::revision("app", &digest) + "/left", "");
    }
    registry.put(layout::blob_data(&layer("base")), "damaged, and longer than it was");
    registry.remove(&layout::blob_data(&layer("cached")));
    registry.remove(&layout::layer_link("app", &layer("odd")));
    let storage = registry.in_memory(DIRECTORIES);
    assert_eq!(second(&storage, Some(&backup)), []);
    assert!(text(&storage, &layout::revision_link("app", &artifact)).is_some());
}

#[test]
fn moved_content_does_not_count_as_unmounted() {
    let mut registry = TestRegistry::new();
    for n in 0..15 {
        let name = format!("layer {n}");
        registry.image(&format!("app:v{n}")).layers([&name]).push();
        registry.put(layout::blob_data(&layer(&name)), "cut");
    }
    let storage = registry.in_memory(DIRECTORIES);
    assert_eq!(second(&storage, None), []);
    assert_eq!(wrong(&storage), BTreeSet::from([Kind::MissingBlob]));
    assert!(run(&storage, DEFAULT, None).is_ok());
}

#[test]
fn a_tag_with_white_space_around_its_digest_is_written_anew() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["a"]).push();
    let unlinked = registry.blob("no manifest of this repository");
    let link = layout::tag_link("app", "v1");
    for (written, mended) in [
        (format!("{image}\n"), image.to_string()),
        (format!("\r\n {image}\t\n"), image.to_string()),
        (format!("{unlinked}\n"), format!("{unlinked}\n")),
        (format!("{image}{image}\n"), format!("{image}{image}\n")),
    ] {
        registry.put(link.clone(), written);
        let storage = registry.in_memory(DIRECTORIES);
        repair(&storage, None);
        assert_eq!(text(&storage, &link), Some(mended));
    }
}
