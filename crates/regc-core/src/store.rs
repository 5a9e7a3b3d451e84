//! A store, and a session in which it is changed: the complete way through all stages.
//!
//! The stages can be called one by one. Only this module defines which of them a safe run needs, and in which order:
//! the store must not be described by another database, its root must hold a registry, no registry may accept pushes,
//! no other run may be active, what an interrupted run left is finished first, a store that looks half mounted is
//! refused, and objects are deleted in order, after a rescan. The required stages cannot be skipped.

#[cfg(feature = "redis")]
mod evict;
mod inspect;
mod known;
mod latency;
mod session;

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

pub use self::session::Session;
use crate::collect::CollectOptions;
use crate::collect::guards::{
    refuse_foreign_metadata, refuse_missing_layout, refuse_missing_parts, refuse_mostly_untagged,
};
use crate::collect::plan::Plan;
use crate::collect::probe::{self, Answer};
use crate::collect::recover::scan_and_recover;
use crate::collect::sweep::check_removable;
use crate::error::{Error, Refusal};
use crate::finding::Finding;
use crate::monitor::Monitor;
use crate::registry::config::{Cache, Config};
#[cfg(feature = "patterns")]
use crate::registry::pattern::Pattern;
use crate::repair::{self, Action};
use crate::scan::deletion::Deletion;
use crate::scan::{KnownManifests, Options, Scan, resolve};
use crate::storage::lock::{Access, Holder, Locked};
use crate::storage::{self, DeleteStorage, ReadStorage};
use crate::threads::with_threads;
use crate::trash::{self, Emptied, Restored, Runs, Selection, TrashedRun};
use crate::undelete;
use crate::verify::Verification;
use crate::verify::content::SystemClock;

/// A store that can be read.
pub struct Store {
    config: Config,
    storage: Box<dyn DeleteStorage>,
    allow_empty: bool,
    /// How many threads work for one call, once that is given or measured.
    jobs: OnceLock<usize>,
    manifest_cache: Option<PathBuf>,
    /// Distinguishes it from other stores of this process.
    number: u64,
}

/// How many stores there were so far.
static STORES: AtomicU64 = AtomicU64::new(1);

/// How many threads a store uses by default where they wait for it.
pub const DEFAULT_JOBS: usize = 64;

/// What becomes of what is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposal {
    /// It is deleted, which frees space and cannot be undone.
    Delete,
    /// It is moved to the trash in the same storage, from which it can be restored. This frees nothing before
    /// [`Session::empty_trash`].
    Trash,
}

/// What listens at the registry's configured address.
#[derive(Debug)]
pub enum Probed {
    /// The configuration names no address, or the registry is read-only: nothing was probed.
    NotAsked,
    /// No program accepts connections.
    Nothing,
    /// A registry that accepts pushes.
    Registry,
    /// A server that may be a registry, and how it answers.
    Unclear(String),
    /// Another server, by the name that it gives itself.
    Other(String),
    /// The probe failed.
    Unknown(io::Error),
}

/// What to restore from the trash.
#[derive(Clone, Copy, Debug)]
pub struct Restore<'a> {
    run: &'a str,
    selection: Option<&'a Selection>,
}

impl<'a> Restore<'a> {
    /// Everything that the run of this name has moved there.
    pub fn new(run: &'a str) -> Self {
        Self { run, selection: None }
    }

    /// Only what is selected of it; everything if nothing is given.
    #[must_use]
    pub fn selection(self, selection: Option<&'a Selection>) -> Self {
        Self { selection, ..self }
    }
}

impl Store {
    /// Opens the store that a registry's configuration describes. Reads nothing yet but what the storage needs to
    /// open.
    ///
    /// Fails if the storage's root is absent, or if its driver is not supported.
    pub fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self::with_storage(config, storage::open(config)?))
    }

    /// Opens the store in a storage of the caller's. The configuration's own storage section is ignored.
    pub fn with_storage(config: &Config, storage: Box<dyn DeleteStorage>) -> Self {
        let number = STORES.fetch_add(1, Relaxed);
        Self {
            config: config.clone(),
            storage,
            allow_empty: false,
            jobs: OnceLock::new(),
            manifest_cache: None,
            number,
        }
    }

    /// Sets whether to go on although the root holds no registry, or the store has no repository, no blob, no
    /// manifest or no tag: the mount point of an unmounted file system looks like an empty root.
    #[must_use]
    pub fn allow_empty(self, allow_empty: bool) -> Self {
        Self { allow_empty, ..self }
    }

    /// How many threads work for one call: at least 1, at most [`MAX_JOBS`](crate::threads::MAX_JOBS); beyond that, the nearest
    /// of the two.
    ///
    /// By default as many as help, which is measured once, by a few hundred questions: [`DEFAULT_JOBS`] where threads wait for a
    /// disk or a network, eight for each core where everything is in memory.
    #[must_use]
    pub fn jobs(self, jobs: usize) -> Self {
        Self { jobs: OnceLock::from(jobs), ..self }
    }

    fn threads(&self) -> usize {
        *self.jobs.get_or_init(|| latency::helpful_threads(&*self.storage))
    }

    /// Sets the file in which what manifests refer to is remembered from one run to the next: on this machine, wherever the
    /// storage is. Plans, and [`scan`](Self::scan), do not read a manifest again whose blob has the length and the time that it
    /// had. The file is written by [`Session::remember`]; it may be absent, damaged, or that of another store. None by default.
    ///
    /// Content that has decayed since it was read is then noticed only by [`verify`](Self::verify), if neither its length nor its
    /// time shows it. What such a manifest needs is kept, but no longer everything else in its repository.
    #[must_use]
    pub fn manifest_cache(self, file: Option<PathBuf>) -> Self {
        Self { manifest_cache: file, ..self }
    }

    /// The registry's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The storage, to read.
    pub fn storage(&self) -> &dyn ReadStorage {
        &*self.storage
    }

    /// Refuses the store if its root holds no registry, or if an external database describes what is in use. Every
    /// plan checks this first; a caller may check earlier.
    pub fn check(&self, options: &CollectOptions, is_deletion: bool) -> Result<(), Error> {
        let nothing = Deletion::default();
        let options = self.scan_options(options, is_deletion.then_some(&nothing));
        refuse_foreign_metadata(&self.config, &*self.storage, &options)?;
        self.check_layout()
    }

    /// Refuses a root that holds no registry.
    pub fn check_layout(&self) -> Result<(), Error> {
        refuse_missing_layout(&*self.storage, self.allow_empty)
    }

    /// What a collection would delete: a dry run, which needs no lock. The storage is not changed.
    pub fn plan(&self, options: &CollectOptions, monitor: &dyn Monitor) -> Result<Plan, Error> {
        self.planned(Access::Read(&*self.storage), None, options, None, monitor)
    }

    /// What a deletion would delete: a dry run, which needs no lock. The storage is not changed. What cannot be deleted is in
    /// [`Plan::blocked`].
    pub fn plan_deletion(
        &self,
        deletion: Deletion,
        options: &CollectOptions,
        monitor: &dyn Monitor,
    ) -> Result<Plan, Error> {
        self.planned(Access::Read(&*self.storage), None, options, Some(deletion), monitor)
    }

    /// The deletion of one repository, by its exact name: all that it holds when the deletion is planned. Repositories below it
    /// stay.
    ///
    /// Fails with [`Error::NothingMatches`] if there is no repository of that name.
    pub fn resolve_repository(&self, name: &str, monitor: &dyn Monitor) -> Result<Deletion, Error> {
        let mut deletion = Deletion::default();
        match self.repository_at(name, monitor)? {
            found if found == name => deletion.repository(&found),
            _ => return Err(Error::NothingMatches(name.to_owned())),
        }
        Ok(deletion)
    }

    /// The deletion of what patterns name: repositories, tags, manifests; of nothing, if there is no pattern. To name one
    /// repository literally, use [`resolve_repository`](Self::resolve_repository): a pattern is a glob.
    ///
    /// Resolve in a session, or before it: tags that name something else by then stay. A repository that is named as a whole is
    /// deleted with what it holds when the deletion is planned.
    ///
    /// Fails with [`Error::NothingMatches`] if one names nothing, and without `force` with [`Error::StillTagged`] if one names
    /// a manifest that tags name as well.
    ///
    /// ```
    /// use regc_core::registry::pattern::Pattern;
    /// # fn main() -> Result<(), regc_core::Error> {
    /// # let mut registry = regc_testkit::TestRegistry::new();
    /// # let image = registry.image("team/app:v1").layers(["base", "new"]).push();
    /// # registry.image("other:v1").layers(["base"]).push();
    /// # let directory = registry.on_disk();
    /// # let store = Store::open(&Config::at_root(directory.path()))?;
    /// # use regc_core::{CollectOptions, Config, Silent, Store};
    /// let old = [Pattern::parse("team/*:v1")?];
    /// let deletion = store.resolve(&old, false, &Silent)?;
    /// let plan = store.plan_deletion(deletion, &CollectOptions::new(), &Silent)?;
    /// println!("{} tags and {} bytes would be deleted", plan.totals().tags, plan.totals().bytes);
    /// # assert_eq!(plan.totals().tags, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "patterns")]
    pub fn resolve(&self, patterns: &[Pattern], force: bool, monitor: &dyn Monitor) -> Result<Deletion, Error> {
        resolve::resolve(self.as_it_is(), patterns, force, self.threads(), monitor)
    }

    /// The name of the repository whose directory is at `path`: below the storage root, or below the directory of all
    /// repositories. It need not be a name that a registry serves.
    ///
    /// Fails with [`Error::NothingMatches`] if there is none.
    pub fn repository_at(&self, path: &str, monitor: &dyn Monitor) -> Result<String, Error> {
        resolve::repository_at(self.as_it_is(), path, self.threads(), monitor)
    }

    /// Plans how to repair what a verification found: a dry run. Nothing is changed.
    ///
    /// Refuses a store as a deletion does. Fails with [`Error::NoTrash`] if the storage has no trash, with
    /// [`Error::Interrupted`] if the monitor stops it.
    pub fn plan_repair(
        &self,
        verification: &Verification,
        options: &repair::Options<'_>,
        monitor: &dyn Monitor,
    ) -> Result<repair::Plan, Error> {
        self.check(&CollectOptions::new(), true)?;
        self.require_trash()?;
        let options = repair::Options { allow_empty: self.allow_empty, ..*options };
        repair::plan(&*self.storage, verification, &options, &SystemClock::start(), monitor)
    }

    /// What is to be written so that deleted manifests can be pulled again: a dry run. Nothing is changed.
    ///
    /// Refuses a store as a deletion does. Fails with [`Error::NotDeleted`] if a selected manifest is neither linked nor among
    /// what this store [listed](Self::deleted), with [`Error::TagExists`] if a tag names something else.
    ///
    /// ```
    /// use regc_core::undelete::Selection;
    /// # fn main() -> Result<(), regc_core::Error> {
    /// # let mut registry = regc_testkit::TestRegistry::new();
    /// # let image = registry.image("team/app:v1").layers(["base", "new"]).push();
    /// # registry.image("other:v1").layers(["base"]).push();
    /// # let directory = registry.on_disk();
    /// # let store = Store::open(&Config::at_root(directory.path()))?;
    /// # use regc_core::{Config, Holder, Silent, Store};
    /// # registry.delete("team/app", &image);
    /// # let directory = registry.on_disk();
    /// # let store = Store::open(&Config::at_root(directory.path()))?;
    /// let deleted = store.deleted(|_| true, &Silent)?;
    /// let tags = ["v1".to_owned()].into();
    /// let selected = [Selection { repository: "team/app".to_owned(), digest: deleted[0].digest, tags }];
    /// let session = store.lock(&Holder::new("my-tool"))?;
    /// let plan = session.plan_undelete(&deleted, &selected, &Silent)?;
    /// let outcome = session.undelete(&plan, &Silent)?;
    /// assert_eq!(outcome.done, plan.links().len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn plan_undelete(
        &self,
        deleted: &[undelete::Deleted],
        selected: &[undelete::Selection],
        monitor: &dyn Monitor,
    ) -> Result<undelete::Plan, Error> {
        self.check(&CollectOptions::new(), true)?;
        self.require_trash()?;
        // What another store shows is no evidence in this one.
        let deleted: Vec<undelete::Deleted> =
            deleted.iter().filter(|deleted| deleted.store == self.number).cloned().collect();
        undelete::plan(&*self.storage, &deleted, selected, monitor)
    }

    /// Whether the storage keeps what is deleted as an older version: space is freed only when that expires.
    pub fn keeps_versions(&self) -> bool {
        self.storage.keeps_versions()
    }

    /// Whether the server has said that it cannot list the uploads that are pending: see
    /// [`DeleteStorage::hides_uploads`](crate::storage::DeleteStorage::hides_uploads).
    pub fn hides_uploads(&self) -> bool {
        self.storage.hides_uploads()
    }

    /// Fails, as moving to the trash would, if what a plan deletes is on another file system than the trash, or if the storage
    /// has no trash.
    pub fn check_trash(&self, plan: &Plan, monitor: &dyn Monitor) -> Result<(), Error> {
        self.require_trash()?;
        match with_threads(self.threads(), || check_removable(&*self.storage, plan, true, monitor)) {
            Err(error @ (Error::OtherFilesystem(_) | Error::Interrupted)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Lists the runs in the trash by name, including those that have lost their journal.
    ///
    /// Fails with [`Error::NoTrash`] if the storage has no trash.
    pub fn trash(&self, monitor: &dyn Monitor) -> Result<Vec<TrashedRun>, Error> {
        self.require_trash()?;
        trash::list(&*self.storage, monitor)
    }

    /// Lists the objects of a run that are still in the trash, by path. What each is comes from the run's journal; from its path,
    /// if that cannot be read or does not name it, and then it is unknown what a tag named.
    ///
    /// Fails with [`Error::NoTrash`] if the storage has no trash, with [`Error::NoSuchRun`] if there is no such run, with
    /// [`Error::Interrupted`] if the monitor stops it.
    pub fn trash_contents(&self, run: &str, monitor: &dyn Monitor) -> Result<Vec<trash::Entry>, Error> {
        self.require_trash()?;
        trash::contents(&*self.storage, run, monitor)
    }

    /// What a restore would bring back.
    pub fn plan_restore(&self, restore: &Restore<'_>, monitor: &dyn Monitor) -> Result<Restored, Error> {
        trash::restore(Access::Read(&*self.storage), restore.run, restore.selection, self.threads(), monitor)
    }

    /// What emptying the trash would delete, and what would be put back first; see [`Session::empty_trash`].
    pub fn plan_empty_trash(
        &self,
        runs: Runs<'_>,
        before: Option<u64>,
        monitor: &dyn Monitor,
    ) -> Result<Emptied, Error> {
        self.emptied(Access::Read(&*self.storage), runs, before, monitor)
    }

    /// Returns the repairs that cannot be done at present, and why.
    ///
    /// Fails only with [`Error::Interrupted`], if the monitor stops it.
    pub fn check_repair(&self, plan: &repair::Plan, monitor: &dyn Monitor) -> Result<Vec<(Action, Error)>, Error> {
        repair::check(&*self.storage, plan, monitor)
    }

    /// Fails if the links that a plan writes cannot be written.
    pub fn check_undelete(&self, plan: &undelete::Plan, monitor: &dyn Monitor) -> Result<(), Error> {
        undelete::check(&*self.storage, plan, monitor)
    }

    /// Finds out whether a registry accepts pushes at its configured address.
    pub fn probe(&self) -> Probed {
        let Some(listener) = self.config.listener.as_ref().filter(|_| !self.config.read_only) else {
            return Probed::NotAsked;
        };
        match probe::answers(listener) {
            Ok(Answer::Registry) => Probed::Registry,
            Ok(Answer::Unclear(answer)) => Probed::Unclear(answer),
            Ok(Answer::Nobody) => Probed::Nothing,
            Ok(Answer::Other(name)) => Probed::Other(name),
            Err(error) => Probed::Unknown(error),
        }
    }

    /// The registry's cache, if it still lists blobs that were deleted: a registry that believes it has a blob accepts images
    /// that cannot be pulled. Redis outlives the registry; the registry's own memory matters only if the registry was not
    /// stopped.
    pub fn stale_cache(&self) -> Option<Cache> {
        let is_stale = match &self.config.cache {
            Cache::Redis { .. } => true,
            Cache::InMemory => self.config.listener.as_ref().is_some_and(|listener| {
                // One that cannot be asked may be running.
                probe::answers(listener).map_or(true, |answer| matches!(answer, Answer::Registry | Answer::Unclear(_)))
            }),
            _ => false,
        };
        is_stale.then(|| self.config.cache.clone())
    }

    /// Returns how many bytes are free on the file system that the store is on; `None` if it is on none, or that is not known.
    pub fn free_bytes(&self) -> Option<u64> {
        self.storage.as_posix()?.free_bytes()
    }

    /// Returns how many bytes that file system has, free or not; `None` likewise.
    pub fn capacity_bytes(&self) -> Option<u64> {
        self.storage.as_posix()?.capacity_bytes()
    }

    /// Takes the store's lock, so that it can be changed.
    ///
    /// A probe that fails does not keep it from going on: see [`Session::probed`].
    ///
    /// Fails with [`Error::Locked`] if another process has it, with [`Refusal::RegistryRuns`] if a registry takes pushes, and
    /// with [`Refusal::RegistryMayRun`] if a server may be one.
    pub fn lock(&self, holder: &Holder) -> Result<Session<'_>, Error> {
        let locked = self.take_lock(holder)?;
        let probed = self.probe();
        let listener = self.config.listener.as_ref().map(ToString::to_string).unwrap_or_default();
        match probed {
            Probed::Registry => Err(Error::Refused(Refusal::RegistryRuns(listener))),
            Probed::Unclear(answer) => Err(Error::Refused(Refusal::RegistryMayRun { listener, answer })),
            probed => Ok(Session::new(self, locked, false, probed)),
        }
    }

    /// Locks the store while a registry may accept pushes. What is deleted is then always moved to the trash, from
    /// which the next run restores what has come into use; see [`CollectOptions::keep_since`] for how to keep what is
    /// recent.
    ///
    /// Fails with [`Error::NoTrash`] if the storage has no trash.
    pub fn lock_live(&self, holder: &Holder) -> Result<Session<'_>, Error> {
        self.require_trash()?;
        Ok(Session::new(self, self.take_lock(holder)?, true, Probed::NotAsked))
    }

    /// Returns the storage, of which nothing is known from before.
    fn as_it_is(&self) -> &dyn ReadStorage {
        self.storage.relist("");
        &*self.storage
    }

    /// Fails with [`Error::NoTrash`] if the storage has no trash.
    fn require_trash(&self) -> Result<(), Error> {
        self.storage.as_trash().map(drop).ok_or(Error::NoTrash)
    }

    /// Returns what is remembered of manifests, if anything is to be.
    fn known(&self) -> Option<KnownManifests> {
        let file = self.manifest_cache.as_deref()?;
        Some(thread::scope(|scope| {
            // Neither needs the other, and each keeps one thread busy.
            scope.spawn(|| self.threads());
            known::read(file)
        }))
    }

    fn take_lock(&self, holder: &Holder) -> Result<Locked<'_>, Error> {
        let locked = Locked::take(&*self.storage, holder)?;
        self.storage.as_trash().map_or(Ok(()), trash::forget_incoming)?;
        Ok(locked)
    }

    fn scan_options<'a>(&self, options: &'a CollectOptions, deletion: Option<&'a Deletion>) -> Options<'a> {
        options.scan(self.allow_empty, self.config.absences, deletion, self.threads())
    }

    /// Empties the trash. What a run moved there while a registry took pushes may have come into use: it is put back first.
    fn emptied(
        &self,
        access: Access<'_>,
        runs: Runs<'_>,
        before: Option<u64>,
        monitor: &dyn Monitor,
    ) -> Result<Emptied, Error> {
        let mut findings = Vec::new();
        if trash::has_live_runs(access.storage(), runs)? {
            let options = CollectOptions::new();
            findings = scan_and_recover(access, &self.scan_options(&options, None), monitor)?.findings;
            findings.retain(|finding| matches!(finding, Finding::InTrash { .. }));
        }
        Ok(Emptied { findings, ..trash::empty(access, runs, before, monitor)? })
    }

    fn planned(
        &self,
        access: Access<'_>,
        made_in: Option<u64>,
        options: &CollectOptions,
        deletion: Option<Deletion>,
        monitor: &dyn Monitor,
    ) -> Result<Plan, Error> {
        self.storage.relist("");
        self.check(options, deletion.is_some())?;
        let mut deletion = deletion;
        deletion.iter_mut().for_each(|deletion| deletion.keep_content |= options.keeps_content());
        // Only what is written down again after a real run needs more of manifests than their content.
        let known = self.known().filter(|known| access.locked().is_some() || !known.is_empty());
        let to_scan = Options { known: known.as_ref(), ..self.scan_options(options, deletion.as_ref()) };
        let mut scan = scan_and_recover(access, &to_scan, monitor)?;
        refuse_missing_parts(&scan, &to_scan)?;
        if let Some(deletion) = &deletion {
            concern(&mut scan, deletion);
        }
        let unconfirmed = match refuse_mostly_untagged(&scan, &to_scan) {
            Err(Error::Refused(refusal)) => Some(refusal),
            judged => judged.map(|()| None)?,
        };
        Ok(Plan::new(scan, &to_scan).made_in(made_in, options.journal_command(), unconfirmed))
    }
}

/// Retains the findings that concern a deletion, and adds what is in its way. A collection reports other damage.
fn concern(scan: &mut Scan, deletion: &Deletion) {
    scan.findings.retain(|finding| {
        matches!(finding, Finding::InTrash { .. } | Finding::BlobsElsewhere { .. })
            || deletion.of(finding.repository()).is_some()
    });
    let obstructed = scan.reachable.blocked.iter().filter(|blocked| blocked.is_obstructed()).cloned();
    let obstructed = obstructed.map(Finding::Blocked).collect();
    scan.add_findings(obstructed);
}
