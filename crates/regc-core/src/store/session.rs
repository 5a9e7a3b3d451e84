//! A session, which can change a store.

use std::collections::HashSet;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Disposal, Probed, Restore, Store, known};
use crate::collect::CollectOptions;
use crate::collect::plan::Plan;
use crate::collect::sweep::{Outcome, sweep};
use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::Monitor;
use crate::repair::{self, Action};
use crate::scan::KnownManifests;
use crate::scan::deletion::Deletion;
use crate::storage::lock::{Access, Locked};
use crate::sync::Mutex;
use crate::trash::{self, Emptied, Header, Restored, Runs};
use crate::undelete;
use crate::verify::content::{Hashed, SystemClock};
use crate::verify::{self, Verification};

/// The number of states of stores so far, as sessions know them: a plan belongs to the one in which it was made.
static STATES: AtomicU64 = AtomicU64::new(0);

/// A locked store, which can be changed. The lock ends when the session is dropped.
///
/// Only one call at a time can plan or change the store. A second one, from another thread or from a monitor, fails
/// with [`Error::SessionBusy`] and changes nothing.
#[must_use = "the store is unlocked when the session is dropped"]
pub struct Session<'s> {
    store: &'s Store,
    locked: Locked<'s>,
    probed: Probed,
    is_live: bool,
    /// The state of the store, by a number. A plan that was made in another one is stale: what is restored from the
    /// trash keeps its times, so that a rescan would not find it.
    state: AtomicU64,
    /// Held by the one call that plans or changes the store.
    busy: Mutex<()>,
    /// How many runs have been named.
    runs: AtomicU64,
}

impl<'s> Session<'s> {
    /// A session of a store whose lock was taken.
    pub(super) fn new(store: &'s Store, locked: Locked<'s>, is_live: bool, probed: Probed) -> Self {
        let state = AtomicU64::new(STATES.fetch_add(1, Relaxed));
        Self { store, locked, probed, is_live, state, busy: Mutex::new(()), runs: AtomicU64::new(0) }
    }
}

impl Session<'_> {
    /// Returns the store.
    pub fn store(&self) -> &Store {
        self.store
    }

    /// Returns what listened at the registry's address when the lock was taken.
    pub fn probed(&self) -> &Probed {
        &self.probed
    }

    /// Plans what a collection deletes. Earlier plans of the session become stale. Objects in the trash that came into
    /// use during a run are put back first. Each of them is a finding, which the monitor receives at once, because the
    /// object remains in the registry even if the monitor then stops the call.
    pub fn plan(&self, options: &CollectOptions, monitor: &dyn Monitor) -> Result<Plan, Error> {
        let _busy = self.begin()?;
        self.store.planned(Access::Change(&self.locked), Some(self.change()), options, None, monitor)
    }

    /// Plans what a deletion deletes. Options that select other garbage have no effect. As in [`plan`](Self::plan),
    /// objects in the trash that are in use are put back first.
    ///
    /// What the deletion names but cannot be deleted is in [`Plan::blocked`]; [`execute`](Self::execute) refuses such a
    /// plan.
    pub fn plan_deletion(
        &self,
        deletion: Deletion,
        options: &CollectOptions,
        monitor: &dyn Monitor,
    ) -> Result<Plan, Error> {
        let _busy = self.begin()?;
        self.store.planned(Access::Change(&self.locked), Some(self.change()), options, Some(deletion), monitor)
    }

    /// Deletes what was planned in this session, links before content, after a rescan of the store: what has come into
    /// use is kept. [`Disposal::Delete`] frees space; [`Disposal::Trash`] frees nothing until
    /// [`empty_trash`](Self::empty_trash).
    ///
    /// Fails before anything is deleted:
    ///
    /// - with [`Error::StalePlan`] if the plan is not the latest that was made in this session, or if the session has
    ///   changed the store since;
    /// - with [`Error::Refused`] if the plan needs to be [confirmed](Plan::confirm);
    /// - with [`Refusal::Blocked`](crate::error::Refusal::Blocked) if a deletion names something that cannot be deleted,
    ///   unless that was [allowed](Plan::allow_partial);
    /// - with [`Error::Interrupted`] if the monitor stops the rescan;
    /// - if the storage cannot be read, or if something is known to be impossible to delete or move.
    ///
    /// Once the deletion has begun, this does not fail: the [`Outcome`] reports what was deleted, what was kept, what
    /// failed, and whether the monitor stopped it. The store is consistent after a stop. Repeating the deletion may
    /// leave content that only a [collection](Self::plan) deletes; what was moved to the trash can be
    /// [restored](Self::restore).
    pub fn execute(&self, plan: &Plan, disposal: Disposal, monitor: &dyn Monitor) -> Result<Outcome, Error> {
        let _busy = self.begin()?;
        if let Some(refusal) = plan.unconfirmed() {
            return Err(Error::Refused(refusal.clone()));
        }
        self.check_current(plan.session())?;
        plan.check_complete()?;
        let header = (self.is_live || disposal == Disposal::Trash).then(|| Header {
            delete_untagged: plan.deletes_untagged(),
            min_age: plan.min_age(self.locked.since()).as_secs(),
            live: self.is_live,
            ..self.header(plan.command())
        });
        self.changing(|| sweep(&self.locked, plan, header.as_ref(), monitor))
    }

    /// Caches what the manifests refer to that a plan of this session has read and keeps, in the store's
    /// [file](Store::manifest_cache), if it has one. What may have been written since the lock was taken is left out.
    ///
    /// Fails if the file cannot be written. The store itself does not need it.
    pub fn remember(&self, plan: &Plan) -> Result<(), Error> {
        let file = self.store.manifest_cache.as_deref();
        let Some(file) = file else { return Ok(()) };
        let known = KnownManifests::of(plan.scan(), self.locked.since());
        if known.is_empty() && !file.exists() { Ok(()) } else { known::write(file, &known) }
    }

    /// Takes the session for one call. A call that changes the store while another one executes a plan would change
    /// what that plan was decided from.
    fn begin(&self) -> Result<MutexGuard<'_, ()>, Error> {
        self.busy.try_lock().ok_or(Error::SessionBusy)
    }

    /// Fails with [`Error::StalePlan`] unless something was made in the present state of this session.
    fn check_current(&self, made_in: Option<u64>) -> Result<(), Error> {
        if made_in == Some(self.state.load(Relaxed)) { Ok(()) } else { Err(Error::StalePlan) }
    }

    /// Calls what changes the store, and fails only if it has changed nothing. From before the first change, even if it
    /// panics, all plans are stale.
    fn changing<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let before = self.state.load(Relaxed);
        self.change();
        work().inspect_err(|_| self.state.store(before, Relaxed))
    }

    /// Makes all plans stale, and returns the number of the new state.
    fn change(&self) -> u64 {
        let state = STATES.fetch_add(1, Relaxed);
        self.state.store(state, Relaxed);
        state
    }

    /// Checks the store, as [`Store::verify`] does. The result, and what [`verify_content`](Store::verify_content) adds
    /// to it, is the basis for planning a repair.
    pub fn verify(&self, options: &verify::Options, monitor: &dyn Monitor) -> Result<Verification, Error> {
        let _busy = self.begin()?;
        let mut verification = self.store.verify(options, monitor)?;
        verification.made_in = Some(self.state.load(Relaxed));
        Ok(verification)
    }

    /// Plans how to repair what a verification of this session found.
    ///
    /// Fails with [`Error::StalePlan`] if the verification is of another session, or if this one has changed the store
    /// since. Refuses a store as a deletion does.
    pub fn plan_repair(
        &self,
        verification: &Verification,
        options: &repair::Options<'_>,
        monitor: &dyn Monitor,
    ) -> Result<repair::Plan, Error> {
        let _busy = self.begin()?;
        self.check_current(verification.made_in)?;
        let mut plan = self.store.plan_repair(verification, options, monitor)?;
        plan.made_in = verification.made_in;
        Ok(plan)
    }

    /// Carries out a repair that was planned in this session, with the same options. What it replaces or removes is
    /// moved to the trash.
    ///
    /// Fails before anything is changed: with [`Error::StalePlan`] if the session has changed the store since it was
    /// planned, with [`Error::NoTrash`] if the storage has no trash, with [`Error::Interrupted`] if the monitor stops
    /// it.
    pub fn repair(
        &self,
        plan: &repair::Plan,
        options: &repair::Options<'_>,
        monitor: &dyn Monitor,
    ) -> Result<repair::Outcome, Error> {
        let _busy = self.begin()?;
        self.check_current(plan.made_in)?;
        let header = self.header("repair");
        self.changing(|| repair::apply(&self.locked, plan, options, &header, &SystemClock::start(), monitor))
    }

    /// Checks the store again after a repair. Blobs are not hashed again: damaged ones that were neither replaced nor
    /// moved to the trash are still reported.
    pub fn verify_repair(
        &self,
        options: &verify::Options,
        hashed: &Hashed,
        outcome: &repair::Outcome,
        monitor: &dyn Monitor,
    ) -> Result<Verification, Error> {
        let mut verification = self.verify(options, monitor)?;
        let is_content = |done: &&Action| matches!(done, Action::Take { .. } | Action::MoveAside { .. });
        let mended: HashSet<Digest> = outcome.done.iter().filter(is_content).filter_map(Action::digest).collect();
        verification.add_hashed(&*self.store.storage, hashed, |digest| !mended.contains(digest))?;
        Ok(verification)
    }

    /// Plans which links to write so that deleted manifests can be pulled again: see [`Store::plan_undelete`].
    pub fn plan_undelete(
        &self,
        deleted: &[undelete::Deleted],
        selected: &[undelete::Selection],
        monitor: &dyn Monitor,
    ) -> Result<undelete::Plan, Error> {
        let _busy = self.begin()?;
        let mut plan = self.store.plan_undelete(deleted, selected, monitor)?;
        plan.made_in = Some(self.state.load(Relaxed));
        Ok(plan)
    }

    /// Writes the links that were planned in this session, one after the other, until one fails. Nothing is
    /// overwritten.
    ///
    /// Fails before anything is changed: with [`Error::StalePlan`] if the session has changed the store since they were
    /// planned, with [`Error::NoTrash`] if the storage has no trash, with [`Error::Interrupted`] if the monitor stops
    /// it.
    pub fn undelete(&self, plan: &undelete::Plan, monitor: &dyn Monitor) -> Result<undelete::Outcome, Error> {
        let _busy = self.begin()?;
        self.check_current(plan.made_in)?;
        self.changing(|| undelete::apply(&self.locked, plan, monitor))
    }

    /// Restores from the trash what a run moved there. Nothing is overwritten.
    ///
    /// ```
    /// use regc_core::trash::Runs;
    /// # fn main() -> Result<(), regc_core::Error> {
    /// # let mut registry = regc_testkit::TestRegistry::new();
    /// # let image = registry.image("team/app:v1").layers(["base", "new"]).push();
    /// # registry.image("other:v1").layers(["base"]).push();
    /// # let directory = registry.on_disk();
    /// # let store = Store::open(&Config::at_root(directory.path()))?;
    /// # use regc_core::{CollectOptions, Config, Disposal, Holder, Restore, Silent, Store};
    /// let session = store.lock(&Holder::new("my-tool"))?;
    /// let deletion = store.resolve_repository("team/app", &Silent)?;
    /// let plan = session.plan_deletion(deletion, &CollectOptions::new(), &Silent)?;
    /// let run = session.execute(&plan, Disposal::Trash, &Silent)?.trashed_as.expect("something was moved");
    /// // Either everything comes back, or it is deleted for good.
    /// let restored = session.restore(&Restore::new(&run), &Silent)?;
    /// assert!(restored.is_complete());
    /// session.empty_trash(Runs::Named(&[]), None, &Silent)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn restore(&self, restore: &Restore<'_>, monitor: &dyn Monitor) -> Result<Restored, Error> {
        let _busy = self.begin()?;
        let Restore { run, selection } = *restore;
        self.changing(|| trash::restore(Access::Change(&self.locked), run, selection, self.store.threads(), monitor))
    }

    /// Deletes runs from the trash for good, which frees their space. With `before`, in seconds since 1970, only runs
    /// that began earlier are deleted. Earlier plans of the session become stale.
    ///
    /// What a run moved there while a registry accepted pushes may have come into use since. If there is such a run,
    /// the store is scanned, and what is in use is put back first: see [`Emptied::findings`].
    ///
    /// Fails with [`Error::NoSuchRun`] before anything is deleted if a named run is not in the trash. If the monitor
    /// stops it between two runs, [`Emptied::interrupted`] is set: the runs in [`Emptied::runs`] are deleted, and the
    /// others are untouched.
    pub fn empty_trash(&self, runs: Runs<'_>, before: Option<u64>, monitor: &dyn Monitor) -> Result<Emptied, Error> {
        let _busy = self.begin()?;
        self.change();
        self.store.emptied(Access::Change(&self.locked), runs, before, monitor)
    }

    /// Returns the first line of the journal of a run.
    fn header(&self, command: &str) -> Header {
        let started = SystemTime::now();
        Header {
            schema_version: 1,
            // Each run has a name of its own, and names in their order are runs in theirs.
            run: run_name(started + Duration::from_micros(self.runs.fetch_add(1, Relaxed))),
            started: started.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            regc: env!("CARGO_PKG_VERSION").to_owned(),
            command: command.to_owned(),
            delete_untagged: false,
            min_age: 0,
            live: false,
        }
    }
}

/// Returns the name of a run that began at that time, to the microsecond: `20261121T031502123456Z-4711`. Sorted names
/// are runs in chronological order.
fn run_name(started: SystemTime) -> String {
    // Beyond the year 9999, any time will do.
    let started = Timestamp::try_from(started).unwrap_or(Timestamp::MAX);
    let name = started.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S%6fZ").to_string();
    format!("{name}-{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_run_is_named_after_its_beginning() {
        let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let name = |nanos| run_name(started + Duration::from_nanos(nanos));
        assert_eq!(name(123_456_789), format!("20010909T014640123456Z-{}", std::process::id()));
        assert!(name(0) < name(1_000) && name(9_000) < name(10_000));
    }
}
