//! Deleting what is marked, in a session of the store, as `regc rm` does.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;

use indicatif::BinaryBytes;
use regc_core::descriptor_cache::Entry;
use regc_core::{CollectOptions, Deletion, DeletionIn, Disposal, Error, Holder, Item, Outcome, Plan, Refusal, Session};

use super::progress::Watched;
use super::{Worker, told};
use crate::browse::message::{Message, Planned, Removed, Request};
use crate::commands::cache;
use crate::commands::owed::Owed;
use crate::commands::question::{leaves_nothing, question};
use crate::hints::Needing;
use crate::output::human::describe;

/// How something is deleted.
pub struct Terms {
    pub disposal: Disposal,
    /// The options that name the store, as a shell takes them.
    pub store: String,
    pub root: PathBuf,
}

impl Worker<'_> {
    /// Plans a deletion, and carries it out if that is agreed to; returns whether the store was changed.
    pub(super) fn remove(&self, deletion: Deletion, requests: &Receiver<Request>) -> bool {
        self.stop.removal.store(false, Relaxed);
        let _alone = self.access.write();
        let changed = self.plan_and_execute(deletion, requests);
        changed.unwrap_or_else(|error| {
            let mut lines = told(&error);
            lines.extend(hint(&error).map(|hint| format!("hint: {hint}")));
            self.send(Message::Refused(lines));
            // Planning may have put back what is in use.
            false
        })
    }

    fn plan_and_execute(&self, deletion: Deletion, requests: &Receiver<Request>) -> Result<bool, Error> {
        let store = &self.opened.store;
        let monitor = Watched { progress: self.progress, stop: self.stop, is_removal: true };
        store.check(&CollectOptions::new(), true)?;
        let session = store.lock(&Holder::new("regc"))?;
        let manifests = manifests(&deletion);
        let plan = session.plan_deletion(deletion, &CollectOptions::new().command("browse"), &monitor)?;
        if self.terms.disposal == Disposal::Trash {
            store.check_trash(&plan, &monitor)?;
        }
        if plan.totals().is_empty() && plan.blocked().is_empty() {
            self.send(Message::Refused(vec![
                "there is nothing to delete: the store has changed since it was read".to_owned(),
            ]));
            return Ok(true);
        }
        self.send(Message::Planned(Box::new(self.planned(&session, &plan, manifests))));
        let answer = requests.iter().find_map(|request| match request {
            Request::Answer(answer) => Some(answer),
            _ => None,
        });
        if answer != Some(true) || !plan.blocked().is_empty() {
            return Ok(false);
        }
        self.execute(&session, plan, &monitor)
    }

    fn planned(&self, session: &Session<'_>, plan: &Plan, manifests: Vec<String>) -> Planned {
        let mut notes: Vec<String> =
            plan.findings().iter().map(|finding| format!("{}; {}", finding.message(), finding.remedy())).collect();
        notes.extend(self.opened.warning(session.probed()).map(|warning| format!("warning: {warning}")));
        if self.opened.store.keeps_versions() {
            notes.push(
                "the bucket is versioned: deleted objects take up space until their old versions expire".to_owned(),
            );
        }
        Planned {
            question: question(plan, &self.terms.root, self.terms.disposal == Disposal::Trash),
            numbers: describe(&plan.totals()),
            names: names(plan, manifests),
            blocked: plan.blocked().iter().map(ToString::to_string).collect(),
            notes,
            everything: leaves_nothing(plan).then(|| plan.totals().repositories),
        }
    }

    fn execute(&self, session: &Session<'_>, mut plan: Plan, monitor: &Watched<'_>) -> Result<bool, Error> {
        let store = &self.opened.store;
        let owed = Owed::of(store.config(), &self.terms.root);
        plan.confirm();
        owed.write();
        let outcome = session.execute(&plan, self.terms.disposal, monitor);
        if outcome.is_err() && !owed.is_from_before() {
            owed.clear();
        }
        let outcome = outcome?;
        let mut notes = Vec::new();
        if let Err(error) = session.remember(&plan) {
            notes.push(format!("{}; the next run reads more manifests", told(&error).join(": ")));
        }
        let removed = &outcome.removed;
        if removed.blobs + removed.layer_links + removed.revisions == 0 && !owed.is_from_before() {
            owed.clear();
        } else {
            let evicted = cache::evict(store, &owed, plan.items().filter_map(|item| Entry::of(&item)));
            notes.extend(evicted.note());
        }
        self.send(Message::Removed(Box::new(self.removed(outcome, notes))));
        Ok(true)
    }

    fn removed(&self, outcome: Outcome, mut notes: Vec<String>) -> Removed {
        let Outcome { removed, spared, trashed_as, deleted_runs, failures, interrupted, .. } = outcome;
        let what = if trashed_as.is_some() { "Moved to the trash" } else { "Deleted" };
        if !spared.is_empty() {
            notes.push(format!(
                "Spared: {}: in use again, needed by a link that is kept, or not a file of the registry.",
                describe(&spared)
            ));
        }
        if interrupted {
            notes.push(
                "Interrupted. No image is left incomplete; `regc gc` frees the space of the deleted ones.".to_owned(),
            );
        }
        for run in &deleted_runs {
            let bytes = BinaryBytes(run.bytes);
            notes.push(format!("the disk was full: run {} was deleted from the trash for good, {bytes}", run.run));
        }
        for failure in &failures {
            notes.push(told(failure).join(": "));
        }
        notes.extend(failures.iter().find_map(hint).map(|hint| format!("hint: {hint}")));
        Removed {
            summary: format!("{what}: {}.", describe(&removed)),
            undo: trashed_as.map(|run| format!("regc trash restore {} {run}", self.terms.store)),
            notes,
            failed: !failures.is_empty(),
        }
    }
}

/// Returns the manifests that a deletion names, as `repository@digest`.
fn manifests(deletion: &Deletion) -> Vec<String> {
    let named = deletion.repositories().flat_map(|(repository, deletion)| {
        let manifests = match deletion {
            DeletionIn::Some { manifests, .. } => Some(manifests),
            DeletionIn::Everything => None,
        };
        manifests.into_iter().flatten().map(move |digest| format!("{repository}@{digest}"))
    });
    named.collect()
}

/// Returns what a plan deletes: repositories as a whole, then tags of others, then the manifests that were named.
fn names(plan: &Plan, manifests: Vec<String>) -> Vec<String> {
    let whole: BTreeSet<&str> = plan
        .items()
        .filter_map(|item| match item {
            Item::Repository { repository } => Some(repository),
            _ => None,
        })
        .collect();
    let tags = plan.items().filter_map(|item| match item {
        Item::Tag { repository, tag, .. } if !whole.contains(repository) => Some(format!("{repository}:{tag}")),
        _ => None,
    });
    let repositories = whole.iter().map(|repository| format!("{repository}, the whole repository"));
    repositories.chain(tags).chain(manifests).collect()
}

/// Returns what can be done about what kept something from being deleted.
fn hint(error: &Error) -> Option<String> {
    match error {
        Error::NoTrash | Error::OtherFilesystem(_) | Error::NoRoom { .. } => {
            Some("`regc browse --delete` needs no trash; what it deletes cannot be restored".to_owned())
        }
        Error::Refused(Refusal::RegistryRuns(_) | Refusal::RegistryMayRun { .. }) => {
            Some("stop it, or set storage.maintenance.readonly.enabled in its configuration and restart it".to_owned())
        }
        error => Needing::Nothing.hint(error),
    }
}
