//! A store, and a session that changes it: the complete path through all stages.
//!
//! The stages can be called one by one. Only this module defines which of them a safe run needs, and in which order: no
//! external database may describe the store, its root must contain a registry, no registry may accept pushes, no other
//! run may be active, what an interrupted run left is finished first, a store that looks half-mounted is refused, and
//! objects are deleted in order, after a rescan. The required stages cannot be skipped.

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

/// How many threads a store uses by default if they mostly wait for it.
pub const DEFAULT_JOBS: usize = 64;

/// Whether objects are deleted for good or moved to the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposal {
    /// They are deleted, which frees space and cannot be undone.
    Delete,
    /// They are moved to the trash in the same storage, from which they can be restored. This frees nothing until
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
    /// Restores everything that the run of this name moved there.
    pub fn new(run: &'a str) -> Self {
        Self { run, selection: None }
    }

    /// Restores only what is selected; everything if `None`.
    #[must_use]
    pub fn selection(self, selection: Option<&'a Selection>) -> Self {
        Self { selection, ..self }
    }
}

impl Store {
    /// Opens the store that a registry's configuration describes. Reads only what the storage needs to open.
    ///
    /// Fails if the storage's root is absent, or if its driver is not supported.
    pub fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self::with_storage(config, storage::open(config)?))
    }

    /// Opens the store in the caller's own storage. The storage section of the configuration is ignored.
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

    /// Sets whether to continue even if the root contains no registry, or the store has no repositories, blobs,
    /// manifests or tags: the mount point of an unmounted file system looks like an empty root.
    #[must_use]
    pub fn allow_empty(self, allow_empty: bool) -> Self {
        Self { allow_empty, ..self }
    }

    /// Sets how many threads work for one call, from 1 to [`MAX_JOBS`](crate::threads::MAX_JOBS); other numbers are
    /// clamped.
    ///
    /// The default is measured once, with a few hundred queries: [`DEFAULT_JOBS`] if threads wait for a disk or a
    /// network, eight for each core if everything is in memory.
    #[must_use]
    pub fn jobs(self, jobs: usize) -> Self {
        Self { jobs: OnceLock::from(jobs), ..self }
    }

    fn threads(&self) -> usize {
        *self.jobs.get_or_init(|| latency::helpful_threads(&*self.storage))
    }

    /// Sets the file that caches from one run to the next what manifests refer to. It is on this machine, wherever the
    /// storage is. Plans and [`scan`](Self::scan) do not read a manifest again if the length and time of its blob are
    /// unchanged. [`Session::remember`] writes the file; it may be absent, damaged, or that of another store. None by
    /// default.
    ///
    /// With it, only [`verify`](Self::verify) notices a manifest that was damaged since it was read, if its length and
    /// time are unchanged. What such a manifest needs is kept, but not everything else in its repository.
    #[must_use]
    pub fn manifest_cache(self, file: Option<PathBuf>) -> Self {
        Self { manifest_cache: file, ..self }
    }

    /// Returns the registry's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the storage, for reading.
    pub fn storage(&self) -> &dyn ReadStorage {
        &*self.storage
    }

    /// Refuses the store if its root contains no registry, or if an external database records what is in use. Every
    /// plan checks this first; a caller may check earlier.
    pub fn check(&self, options: &CollectOptions, is_deletion: bool) -> Result<(), Error> {
        let nothing = Deletion::default();
        let options = self.scan_options(options, is_deletion.then_some(&nothing));
        refuse_foreign_metadata(&self.config, &*self.storage, &options)?;
        self.check_layout()
    }

    /// Refuses a root that contains no registry.
    pub fn check_layout(&self) -> Result<(), Error> {
        refuse_missing_layout(&*self.storage, self.allow_empty)
    }

    /// Plans what a collection would delete. This is a dry run, needs no lock, and does not change the storage.
    pub fn plan(&self, options: &CollectOptions, monitor: &dyn Monitor) -> Result<Plan, Error> {
        self.planned(Access::Read(&*self.storage), None, options, None, monitor)
    }

    /// Plans what a deletion would delete. This is a dry run, needs no lock, and does not change the storage. What
    /// cannot be deleted is in [`Plan::blocked`].
    pub fn plan_deletion(
        &self,
        deletion: Deletion,
        options: &CollectOptions,
        monitor: &dyn Monitor,
    ) -> Result<Plan, Error> {
        self.planned(Access::Read(&*self.storage), None, options, Some(deletion), monitor)
    }

    /// Returns the deletion of one repository, by its exact name: everything in it when the deletion is planned.
    /// Repositories below it are kept.
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

    /// Returns the deletion of what patterns name: repositories, tags, manifests; of nothing, if there is no pattern. A
    /// pattern is a glob: to name one repository literally, use [`resolve_repository`](Self::resolve_repository).
    ///
    /// This may be called in a session, or before it: tags that name something else by then are kept. A whole
    /// repository is deleted with everything in it when the deletion is planned.
    ///
    /// Fails with [`Error::NothingMatches`] if a pattern matches nothing and, without `force`, with
    /// [`Error::StillTagged`] if it names a manifest that has tags.
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

    /// Returns the name of the repository whose directory is at `path`, below the storage root or the directory of all
    /// repositories. Registries need not serve a repository of this name.
    ///
    /// Fails with [`Error::NothingMatches`] if there is none.
    pub fn repository_at(&self, path: &str, monitor: &dyn Monitor) -> Result<String, Error> {
        resolve::repository_at(self.as_it_is(), path, self.threads(), monitor)
    }

    /// Plans how to repair what a verification found. This is a dry run: nothing is changed.
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

    /// Plans which links to write so that deleted manifests can be pulled again. This is a dry run: nothing is changed.
    ///
    /// Refuses a store as a deletion does. Fails with [`Error::NotDeleted`] if a selected manifest is neither linked
    /// nor among what this store [listed](Self::deleted), with [`Error::TagExists`] if a tag names something else.
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

    /// Whether the storage keeps deleted objects as older versions: space is freed only when those expire.
    pub fn keeps_versions(&self) -> bool {
        self.storage.keeps_versions()
    }

    /// Whether the server cannot list pending uploads: see
    /// [`DeleteStorage::hides_uploads`](crate::storage::DeleteStorage::hides_uploads).
    pub fn hides_uploads(&self) -> bool {
        self.storage.hides_uploads()
    }

    /// Fails if what a plan deletes is on another file system than the trash, or if the storage has no trash: moving it
    /// to the trash would fail.
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

    /// Lists the objects of a run that are still in the trash, by path. Their descriptions are from the run's journal.
    /// If the journal cannot be read or does not list an object, they are from its path, and what a tag named is
    /// unknown.
    ///
    /// Fails with [`Error::NoTrash`] if the storage has no trash, with [`Error::NoSuchRun`] if there is no such run,
    /// with [`Error::Interrupted`] if the monitor stops it.
    pub fn trash_contents(&self, run: &str, monitor: &dyn Monitor) -> Result<Vec<trash::Entry>, Error> {
        self.require_trash()?;
        trash::contents(&*self.storage, run, monitor)
    }

    /// Returns what a restore would bring back.
    pub fn plan_restore(&self, restore: &Restore<'_>, monitor: &dyn Monitor) -> Result<Restored, Error> {
        trash::restore(Access::Read(&*self.storage), restore.run, restore.selection, self.threads(), monitor)
    }

    /// Returns what emptying the trash would delete, and what would be put back first: see [`Session::empty_trash`].
    pub fn plan_empty_trash(
        &self,
        runs: Runs<'_>,
        before: Option<u64>,
        monitor: &dyn Monitor,
    ) -> Result<Emptied, Error> {
        self.emptied(Access::Read(&*self.storage), runs, before, monitor)
    }

    /// Returns the repairs that are currently impossible, and why.
    ///
    /// Fails only with [`Error::Interrupted`], if the monitor stops it.
    pub fn check_repair(&self, plan: &repair::Plan, monitor: &dyn Monitor) -> Result<Vec<(Action, Error)>, Error> {
        repair::check(&*self.storage, plan, monitor)
    }

    /// Fails if the links that a plan writes cannot be written.
    pub fn check_undelete(&self, plan: &undelete::Plan, monitor: &dyn Monitor) -> Result<(), Error> {
        undelete::check(&*self.storage, plan, monitor)
    }

    /// Checks whether a registry accepts pushes at its configured address.
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

    /// Returns the registry's cache if it still lists deleted blobs: with such a cache, the registry accepts images
    /// that cannot be pulled. Redis outlives the registry; a cache in memory matters only if the registry was not
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

    /// Returns how many bytes are free on the store's file system; `None` if it is not on a file system, or if this is
    /// unknown.
    pub fn free_bytes(&self) -> Option<u64> {
        self.storage.as_posix()?.free_bytes()
    }

    /// Returns the size of that file system in bytes; `None` likewise.
    pub fn capacity_bytes(&self) -> Option<u64> {
        self.storage.as_posix()?.capacity_bytes()
    }

    /// Locks the store, so that it can be changed.
    ///
    /// A failed probe is not an error: see [`Session::probed`].
    ///
    /// Fails with [`Error::Locked`] if another process holds the lock, with [`Refusal::RegistryRuns`] if a registry
    /// accepts pushes, and with [`Refusal::RegistryMayRun`] if a server may be one.
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

    /// Locks the store while a registry may accept pushes. Deleted objects are then always moved to the trash, from
    /// which the next run restores what has come into use. To keep what is recent, see [`CollectOptions::keep_since`].
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

    /// Returns what is cached of manifests, if the cache is in use: to be written again if `is_updated`.
    fn known(&self, is_updated: bool) -> Option<KnownManifests> {
        let file = self.manifest_cache.as_deref()?;
        let known = thread::scope(|scope| {
            if self.jobs.get().is_none() {
                // Neither needs the other, and each keeps one thread busy. Without a thread for it, this is measured later.
                thread::Builder::new().spawn_scoped(scope, || self.threads()).ok();
            }
            known::read(file)
        });
        // Recognizing manifests again costs a question for each: for nothing, if none is known.
        Some(known).filter(|known| is_updated || !known.is_empty())
    }

    fn take_lock(&self, holder: &Holder) -> Result<Locked<'_>, Error> {
        let locked = Locked::take(&*self.storage, holder)?;
        self.storage.as_trash().map_or(Ok(()), trash::forget_incoming)?;
        Ok(locked)
    }

    fn scan_options<'a>(&self, options: &'a CollectOptions, deletion: Option<&'a Deletion>) -> Options<'a> {
        options.scan(self.allow_empty, self.config.absences, deletion, self.threads())
    }

    /// Empties the trash. What a run moved there while a registry took pushes may have come into use: it is put back
    /// first.
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
        let known = self.known(access.locked().is_some());
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
