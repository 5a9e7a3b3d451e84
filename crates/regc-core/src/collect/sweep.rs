//! Carries out a plan. Nothing else removes anything.
//!
//! Each object is removed before what it refers to, so a run that stops at any moment leaves a registry that serves
//! everything it should, and a second run finishes the work. Before the first removal, the store is rescanned for what
//! has been added. Before each removal, the object itself is checked again.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use rayon::prelude::*;

use crate::collect::plan::{Item, Plan, RepositoryPlan, Totals};
use crate::collect::rescan::{Rescan, Spared};
use crate::collect::room::write_journal_with_room;
use crate::digest::Algorithm;
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::registry::attached::attached_to;
use crate::registry::layout;
use crate::scan::Scan;
use crate::scan::graph::edges;
use crate::scan::inventory::DigestId;
use crate::scan::mark::Manifest;
use crate::storage::lock::Locked;
use crate::storage::{DeleteStorage, Removal, Removing, below};
use crate::sync::Mutex;
use crate::threads::with_threads;
use crate::trash::{self, Header};

/// The result of carrying out a plan.
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "it says what failed"]
pub struct Outcome {
    /// What was deleted, or moved to the trash. [`Totals::all_bytes`] is the most that it frees: less if files have
    /// other hard links, and nothing yet if they were moved to the trash.
    pub removed: Totals,
    /// What was planned but kept: it is in use again, or something whose removal failed refers to it.
    pub spared: Totals,
    /// What failed, sorted. If a link is not removed, what it refers to is kept; the rest is removed.
    pub failures: Vec<Error>,
    /// Whether the monitor stopped the run after it had begun to delete.
    pub interrupted: bool,
    /// The run's name in the trash, if something was moved there.
    pub trashed_as: Option<String>,
    /// The runs that were deleted from the trash for good because the file system had no room for this run's journal.
    pub deleted_runs: Vec<trash::RunSize>,
}

impl Outcome {
    /// Whether everything that was planned was deleted.
    pub fn is_complete(&self) -> bool {
        !self.interrupted && self.failures.is_empty() && self.spared.is_empty()
    }
}

/// How many items one task removes before it looks whether it should stop.
const BATCH: usize = 256;

/// Removes everything in `plan`, in its order, or moves it to the `trash`.
///
/// The lock must have been taken before the store was scanned: what was modified since then is kept, and so is what it
/// refers to.
///
/// Fails before the first removal if the storage cannot be read, if something is known to be impossible to remove, or
/// if the trash's journal cannot be written. If there is no room for the journal, old runs are deleted from the trash.
/// Removals that fail are in the [`Outcome`].
pub fn sweep(
    locked: &Locked<'_>,
    plan: &Plan,
    trash: Option<&Header>,
    monitor: &dyn Monitor,
) -> Result<Outcome, Error> {
    let storage = locked.storage();
    let has_trash = trash.map(|_| locked.trash()).transpose()?;
    let totals = plan.totals();
    let since = plan.terms.keep_since.map_or(locked.since(), |keep_since| keep_since.min(locked.since()));
    let repositories: Vec<RepositoryPlan<'_>> = plan.repositories().collect();
    with_threads(plan.terms.jobs, || {
        let into = trash.map(|header| trash::directory(&header.run));
        check_removable(storage, plan, into.is_some(), monitor)?;
        let rescan = Rescan::new(storage, plan.scan(), since);
        monitor.phase(Phase::Rescan, None);
        let spared = rescan.look(monitor)?;
        monitor.check()?;
        let trash = has_trash.zip(trash).filter(|_| !totals.is_empty());
        let deleted_runs = match trash {
            Some((storage, header)) => write_journal_with_room(storage, header, plan, monitor)?,
            None => Vec::new(),
        };

        monitor.phase(Phase::Remove, Some(totals.items()));
        let sweep = Sweep {
            storage,
            monitor,
            how: Removing { unless_modified_since: Some(since), into: into.as_deref(), leave_directory: false },
            rescan,
            plan,
            spared: Mutex::new(spared),
            on_purpose: plan.terms.is_deletion,
            leaving: if plan.terms.is_deletion { leaving(plan) } else { HashSet::new() },
            stuck: Mutex::default(),
            must_stop: AtomicBool::new(false),
            outcome: Mutex::default(),
        };
        // What was not approved stays, and what it leads to, before anything else is removed.
        for item in plan.held_items() {
            sweep.spare_what_it_leads_to(&item);
            sweep.stick(&item);
        }
        sweep.remnants(plan);
        sweep.images(&repositories);
        sweep.layer_links(&repositories);
        sweep.blobs(plan);
        sweep.uploads(&repositories);
        sweep.empty_directories(plan, &repositories, since);
        sweep.whole_repositories(&repositories);
        let mut outcome = sweep.outcome.into_inner();
        outcome.failures.sort_by_cached_key(ToString::to_string);
        outcome.deleted_runs = deleted_runs;
        if let Some((storage, Header { run, .. })) = trash {
            // An empty journal only takes up space, and there may be none left.
            let is_forgotten = outcome.removed.is_empty().then(|| trash::forget_if_empty(storage, run)).transpose();
            outcome.trashed_as = (!matches!(is_forgotten, Ok(Some(true)))).then(|| run.clone());
            outcome.failures.extend(is_forgotten.err());
        }
        let is_unchanged = outcome.removed.is_empty() && outcome.failures.is_empty() && outcome.deleted_runs.is_empty();
        if outcome.interrupted && is_unchanged { Err(Error::Interrupted) } else { Ok(outcome) }
    })
}

/// Fails if it is known beforehand that something cannot be removed, or moved to the trash; or with
/// [`Error::Interrupted`] if the monitor stops it.
pub fn check_removable(
    storage: &dyn DeleteStorage,
    plan: &Plan,
    to_trash: bool,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    let mut directories = Vec::new();
    let mut last = String::new();
    for item in plan.items() {
        let Some(key) = item.keys().into_iter().next() else { continue };
        let Some((directory, _)) = key.rsplit_once('/') else { continue };
        let Some((above, _)) = directory.rsplit_once('/') else { continue };
        // One directory below each parent stands for its siblings: one program made them alike.
        if above != last {
            last = above.to_owned();
            directories.extend([above.to_owned(), directory.to_owned()]);
        }
    }
    directories.into_par_iter().try_for_each(|directory| {
        monitor.check()?;
        storage.check_removable(&directory, to_trash)
    })
}

struct Sweep<'a> {
    storage: &'a dyn DeleteStorage,
    monitor: &'a dyn Monitor,
    how: Removing<'a>,
    rescan: Rescan<'a>,
    plan: &'a Plan,
    spared: Mutex<Spared>,
    /// Whether the operator named what is deleted.
    on_purpose: bool,
    /// The tags that a deletion deletes, by repository and name.
    leaving: HashSet<(String, String)>,
    /// Tags of which something could not be removed, by repository and name: nothing more of them is removed.
    stuck: Mutex<HashSet<(String, String)>>,
    /// Set when a link could not be removed and it is unknown what it refers to.
    must_stop: AtomicBool,
    outcome: Mutex<Outcome>,
}

impl Sweep<'_> {
    /// Removes what interrupted copies left beside blobs, so that it is not in the way of later removals.
    fn remnants(&self, plan: &Plan) {
        let remnants: Vec<Item<'_>> = plan.remnants().collect();
        remnants.par_chunks(BATCH).for_each(|batch| self.batch(batch.to_vec()));
    }

    /// Removes tag index entries, tags, and revisions: repositories in parallel, the revisions of each one after the
    /// other. In a deletion, a repository is one step: no image is left half deleted.
    fn images(&self, repositories: &[RepositoryPlan<'_>]) {
        repositories.par_iter().for_each(|repository| {
            if self.is_over() {
                return;
            }
            let remove = |items: Vec<Item<'_>>| match self.on_purpose {
                true => self.remove(items),
                false => self.batch(items),
            };
            let remnants: Vec<Item<'_>> = repository.remnants().collect();
            remnants.par_chunks(BATCH).for_each(|batch| remove(batch.to_vec()));
            let entries: Vec<Item<'_>> = repository.tag_index_entries().collect();
            entries.par_chunks(BATCH).for_each(|batch| remove(batch.to_vec()));
            let tags: Vec<Item<'_>> = repository.tags().collect();
            tags.par_chunks(BATCH).for_each(|batch| {
                remove(batch.to_vec());
                let tags = batch.iter().filter_map(|item| match item {
                    Item::Tag { repository, tag, .. } => Some((*repository, *tag)),
                    _ => None,
                });
                self.tag_directories(tags);
            });
            self.tag_directories(repository.empty_tag_dirs());
            let referrer_links: Vec<Item<'_>> = repository.referrer_links().collect();
            referrer_links.par_chunks(BATCH).for_each(|batch| remove(batch.to_vec()));
            self.referrer_directories(&referrer_links);
            self.steps(repository.revisions()).into_iter().for_each(&remove);
        });
    }

    /// Divides revisions, each of which comes before those that it refers to, into steps: none refers to another of its
    /// step, so that those of a step are removed in any order.
    fn steps<'i>(&self, revisions: impl Iterator<Item = Item<'i>>) -> Vec<Vec<Item<'i>>> {
        let Scan { inventory, reachable, .. } = self.rescan.scan;
        let mut steps: Vec<Vec<Item<'i>>> = Vec::new();
        let (mut below, mut was_remembered): (HashSet<DigestId>, _) = (HashSet::new(), None);
        for item in revisions {
            let Item::Revision { digest, is_remembered, .. } = &item else { continue };
            let id = inventory.digests.id(digest);
            let is_next = below.contains(&id)
                || was_remembered != Some(*is_remembered)
                || steps.last().is_none_or(|step| step.len() == BATCH);
            if is_next {
                below.clear();
                steps.push(Vec::new());
            }
            was_remembered = Some(*is_remembered);
            reachable.manifests.with(id, |manifest| {
                below.extend(edges(manifest).map(|(_, to)| to));
                if let Manifest::Parsed { subject, .. } = manifest {
                    below.extend(subject);
                }
            });
            if let Some(step) = steps.last_mut() {
                step.push(item);
            }
        }
        steps
    }

    /// Removes the remaining directories of tags: the registry lists a tag as long as its directory exists.
    fn tag_directories<'t>(&self, tags: impl Iterator<Item = (&'t str, &'t str)>) {
        let mut directories = Vec::new();
        for (repository, tag) in tags {
            let (tag, index) = (layout::tag(repository, tag), layout::tag_index(repository, tag));
            directories.extend(Algorithm::ALL.map(|algorithm| format!("{index}/{}", algorithm.name())));
            directories.extend([index, format!("{tag}/current"), tag]);
        }
        let removed = self.storage.remove_empty_directories(&directories, None);
        self.outcome.lock().failures.extend(removed.into_iter().filter_map(Result::err));
    }

    /// Removes the referrer directories of manifests that no longer have referrers.
    fn referrer_directories(&self, links: &[Item<'_>]) {
        let above = |item: &Item<'_>| match item {
            // `<algorithm>/<hex>/link` below that of the manifest.
            Item::File { path, .. } => path.rsplitn(4, '/').last().map(str::to_owned),
            _ => None,
        };
        let mut manifests: Vec<String> = links.iter().filter_map(above).collect();
        manifests.dedup();
        let below = |manifest: &String| Algorithm::ALL.map(|algorithm| format!("{manifest}/{}", algorithm.name()));
        let directories: Vec<String> =
            manifests.iter().flat_map(|manifest| below(manifest).into_iter().chain([manifest.clone()])).collect();
        let removed = self.storage.remove_empty_directories(&directories, None);
        self.outcome.lock().failures.extend(removed.into_iter().filter_map(Result::err));
    }

    /// Removes layer links, in any order.
    fn layer_links(&self, repositories: &[RepositoryPlan<'_>]) {
        repositories.par_iter().for_each(|repository| {
            let links: Vec<Item<'_>> = repository.layer_links().collect();
            links.par_chunks(BATCH).for_each(|batch| self.batch(batch.to_vec()));
        });
    }

    /// Removes blobs. One task removes all blobs of a directory: parallel removals from one directory only wait for
    /// each other.
    fn blobs(&self, plan: &Plan) {
        if let Some(number) = self.storage.removed_at_once() {
            let blobs = &self.rescan.scan.sizes.unreferenced;
            blobs.par_chunks(number).for_each(|batch| self.batch(plan.blobs(batch).collect()));
            return;
        }
        let directories: Vec<_> = plan.blob_directories().collect();
        directories.par_iter().for_each(|blobs| {
            for batch in blobs.chunks(BATCH) {
                self.batch(plan.blobs(batch).collect());
            }
        });
    }

    /// Removes uploads, each as a whole unless it is being written.
    fn uploads(&self, repositories: &[RepositoryPlan<'_>]) {
        repositories.par_iter().for_each(|repository| {
            for upload in repository.uploads() {
                if self.is_over() {
                    return;
                }
                let Item::Upload { repository, upload: name, files, .. } = &upload else { continue };
                let (repository, name) = (repository.to_string(), name.to_string());
                let content = layout::upload_file(&repository, &name, files.first().map_or("", String::as_str));
                let since = self.how.unless_modified_since;
                match self.storage.stat(&content) {
                    Ok(Some(found)) if since.is_some_and(|since| found.may_be_recent(since)) => {
                        self.outcome.lock().spared.add(&upload);
                        continue;
                    }
                    Err(error) => {
                        self.outcome.lock().failures.push(error);
                        continue;
                    }
                    Ok(_) => {}
                }
                self.batch(vec![upload]);
                if let Err(error) = self.remove_directories(&format!("{}/{name}", layout::uploads(&repository))) {
                    self.outcome.lock().failures.push(error);
                }
            }
        });
    }

    /// Removes the remaining directories of deleted repositories, and those above that hold nothing else.
    fn whole_repositories(&self, repositories: &[RepositoryPlan<'_>]) {
        for item in repositories.iter().flat_map(|repository| repository.whole()) {
            let Item::Repository { repository } = item else { continue };
            if self.is_over() {
                return;
            }
            if self.plan.is_held(&item) {
                self.outcome.lock().spared.add(&item);
                continue;
            }
            let is_gone = self.whole_repository(repository);
            let mut outcome = self.outcome.lock();
            match is_gone {
                Ok(true) => outcome.removed.add(&item),
                Ok(false) => outcome.spared.add(&item),
                Err(error) => outcome.failures.push(error),
            }
            drop(outcome);
            self.monitor.advance(1);
        }
    }

    /// Removes what is left of a repository. Returns whether it is gone: it is not if something was pushed to it, or
    /// if it holds something that no registry wrote.
    fn whole_repository(&self, repository: &str) -> Result<bool, Error> {
        let directory = layout::repository(repository);
        // Referrer links alone do not make a repository: after a run that was stopped, no later run would find them.
        let parts = layout::REFERRERS.into_iter().chain([layout::MANIFESTS, layout::LAYERS, layout::UPLOADS]);
        let parts: Vec<String> = parts.map(|part| format!("{directory}/{part}")).collect();
        parts.iter().try_for_each(|part| self.remove_directories(part))?;
        let ends = repository.match_indices('/').map(|(end, _)| &repository[..end]);
        // A symbolic link to one of them would dangle, and `lost+found` belongs to the file system.
        let stays = |name: &&str| self.rescan.scan.inventory.aliased.contains_key(*name) || *name == "lost+found";
        let mut above: Vec<String> =
            ends.chain([repository]).filter(|name| !stays(name)).map(layout::repository).collect();
        above.reverse();
        self.storage.remove_empty_directories(&above, None).into_iter().collect::<Result<(), Error>>()?;
        for part in &parts {
            if self.storage.stat(part)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes a directory and all directories in it, as far as they hold nothing else.
    fn remove_directories(&self, directory: &str) -> Result<(), Error> {
        let below = below(self.storage, directory)?.directories;
        let mut directories: Vec<String> = below.into_iter().map(|below| format!("{directory}/{below}")).collect();
        directories.push(directory.to_owned());
        self.storage.remove_empty_directories(&directories, None).into_iter().collect()
    }

    /// Whether to stop removing.
    fn is_over(&self) -> bool {
        if self.monitor.is_stopped() {
            self.outcome.lock().interrupted = true;
            return true;
        }
        self.must_stop.load(Relaxed)
    }

    /// Removes some items, unless the sweep is to stop.
    fn batch(&self, items: Vec<Item<'_>>) {
        if !items.is_empty() && !self.is_over() {
            self.remove(items);
        }
    }

    fn remove(&self, items: Vec<Item<'_>>) {
        if self.must_stop.load(Relaxed) {
            return;
        }
        let steps = items.len() as u64;
        let digests = &self.rescan.scan.inventory.digests;
        let spared = self.spared.lock();
        let (kept, items): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| match item {
            item if self.plan.is_held(item) => true,
            // Of a tag that is deleted, nothing stays: what it named may be in use by another tag.
            Item::TagIndexEntry { repository, tag, .. }
                if self.leaving.contains(&(repository.to_string(), tag.to_string())) =>
            {
                false
            }
            // A tag is removed although what it names is in use; a tag that was pushed again is newer than the run.
            Item::Tag { repository, tag, .. } => {
                let is_owner_back = || {
                    let owner = attached_to(tag, &[]).map(|owner| digests.id(&owner));
                    owner.is_some_and(|owner| spared.contains(&owner))
                };
                self.stuck.lock().contains(&(repository.to_string(), tag.to_string()))
                    || !self.on_purpose && is_owner_back()
            }
            item => item.digest().is_some_and(|digest| spared.contains(&digests.id(&digest))),
        });
        drop(spared);
        for item in &kept {
            if matches!(item, Item::Tag { .. }) {
                self.spare_what_it_leads_to(item);
            }
            self.outcome.lock().spared.add(item);
        }
        let mut keys = Vec::with_capacity(items.len());
        let mut ends = Vec::with_capacity(items.len());
        for item in &items {
            keys.extend(item.keys());
            ends.push(keys.len());
        }
        let is_remembered = |item: &Item<'_>| matches!(item, Item::Revision { is_remembered: true, .. });
        let how = Removing { leave_directory: items.iter().any(is_remembered), ..self.how };
        let mut removals = self.storage.remove(&keys, &how).into_iter();
        let mut start = 0;
        for (item, end) in items.iter().zip(ends) {
            let (mut is_gone, mut is_spared) = (true, false);
            let mut failures = Vec::new();
            for removal in removals.by_ref().take(end - start) {
                match removal {
                    Removal::Done => {}
                    Removal::Spared => (is_gone, is_spared) = (false, true),
                    Removal::LeftDirectory(error) => failures.push(error),
                    Removal::Failed(error) => {
                        is_gone = false;
                        failures.push(error);
                    }
                }
            }
            start = end;
            if !is_gone {
                self.spare_what_it_leads_to(item);
                self.stick(item);
            }
            let mut outcome = self.outcome.lock();
            outcome.failures.extend(failures);
            if is_gone {
                outcome.removed.add(item);
            } else if is_spared {
                outcome.spared.add(item);
            }
        }
        self.monitor.advance(steps);
    }

    /// Keeps the tag of an entry in its index, because the entry stays.
    fn stick(&self, item: &Item<'_>) {
        if let Item::TagIndexEntry { repository, tag, .. } = item {
            self.stuck.lock().insert((repository.to_string(), tag.to_string()));
        }
    }

    /// Keeps what a link refers to, because the link itself stays.
    fn spare_what_it_leads_to(&self, item: &Item<'_>) {
        let mut spared = self.spared.lock();
        let result = self.rescan.spare_what_it_leads_to(item, &mut spared);
        if let Err(error) = result {
            self.must_stop.store(true, Relaxed);
            self.outcome.lock().failures.push(error);
        }
    }

    /// Removes empty directories: those of signatures, and those that a stopped run left.
    fn empty_directories(&self, plan: &Plan, repositories: &[RepositoryPlan<'_>], since: SystemTime) {
        if self.is_over() {
            return;
        }
        let spared = self.spared.lock().clone();
        let blobs: Vec<String> = plan.empty_blobs().map(|digest| layout::blob(&digest)).collect();
        let of_blobs =
            blobs.par_chunks(BATCH).flat_map_iter(|blobs| self.storage.remove_empty_directories(blobs, Some(since)));
        let of_repositories = repositories.par_iter().flat_map_iter(|repository| {
            // A tag's index still refers to the others; the next run finds it by the directory.
            let directories: Vec<String> = repository.empty_directories(|id| spared.contains(&id)).collect();
            let removed = self.storage.remove_empty_directories(&directories, Some(since)).into_iter();
            // This run itself has just changed these.
            removed.chain(self.storage.remove_empty_directories(&emptied(*repository), None))
        });
        let failures: Vec<Error> = of_blobs.chain(of_repositories).filter_map(Result::err).collect();
        self.outcome.lock().failures.extend(failures);
    }
}

/// Returns the tags that are deleted, by repository and name.
fn leaving(plan: &Plan) -> HashSet<(String, String)> {
    let tags =
        plan.items().filter_map(|item| item.tag().map(|(repository, tag)| (repository.to_owned(), tag.to_owned())));
    tags.collect()
}

/// Returns the directories of signatures that are empty once the revisions are removed, those deeper down first.
fn emptied(repository: RepositoryPlan<'_>) -> Vec<String> {
    let mut emptied = Vec::new();
    for item in repository.revisions() {
        let Item::Revision { repository, digest, signatures, is_remembered } = item else { continue };
        let parent = layout::signatures(repository, &digest);
        for signature in &signatures {
            emptied.push(format!("{parent}/{}", signature.algorithm().name()));
        }
        if !signatures.is_empty() {
            emptied.push(parent);
            emptied.extend((!is_remembered).then(|| layout::revision(repository, &digest)));
        }
    }
    emptied
}
