//! The session in which a store is changed.

use std::sync::MutexGuard;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Disposal, Probed, Restore, Store};
use crate::collect::CollectOptions;
use crate::collect::plan::Plan;
use crate::collect::sweep::{Outcome, sweep};
use crate::error::Error;
use crate::monitor::Monitor;
use crate::repair::{self, Action};
use crate::scan::deletion::Deletion;
use crate::storage::lock::Lock;
use crate::sync::Mutex;
use crate::trash::{self, Emptied, Header, Restored, Runs};
use crate::undelete;

/// The number of states of stores so far, as sessions know them: a plan belongs to the one in which it was made.
static STATES: AtomicU64 = AtomicU64::new(0);

/// A store that is locked, so that it can be changed. The lock ends when the session is dropped.
///
/// One call at a time plans or changes the store. A second one, from another thread or from a monitor, fails with
/// [`Error::SessionBusy`] and changes nothing.
#[must_use = "the store is unlocked when the session is dropped"]
pub struct Session<'s> {
    store: &'s Store,
    lock: Lock,
    probed: Probed,
    is_live: bool,
    /// The state of the store, by a number. A plan that was made in another one is stale: what is restored from the trash keeps
    /// its times, so that a rescan would not find it.
    state: AtomicU64,
    /// Held by the one call that plans or changes the store.
    busy: Mutex<()>,
    /// How many runs have been named.
    runs: AtomicU64,
}

impl<'s> Session<'s> {
    /// A session of a store whose lock was taken.
    pub(super) fn new(store: &'s Store, lock: Lock, is_live: bool, probed: Probed) -> Self {
        let state = AtomicU64::new(STATES.fetch_add(1, Relaxed));
        Self { store, lock, probed, is_live, state, busy: Mutex::new(()), runs: AtomicU64::new(0) }
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

    /// Plans what a collection deletes. Earlier plans of the session become stale. What is in use and in the trash, because it came into use during a run, is
    /// put back first; each such object is a finding.
    pub fn plan(&self, options: &CollectOptions, monitor: &dyn Monitor) -> Result<Plan, Error> {
        let _busy = self.begin()?;
        self.store.planned(Some((self.change(), &self.lock)), options, None, monitor)
    }

    /// What a deletion is to delete. Of the options, those that name other garbage have no effect. As in [`plan`](Self::plan),
    /// what is in use and in the trash is put back first.
    ///
    /// What the deletion names and cannot be deleted is in [`Plan::blocked`]; [`execute`](Self::execute) refuses such a plan.
    pub fn plan_deletion(
        &self,
        deletion: Deletion,
        options: &CollectOptions,
        monitor: &dyn Monitor,
    ) -> Result<Plan, Error> {
        let _busy = self.begin()?;
        self.store.planned(Some((self.change(), &self.lock)), options, Some(deletion), monitor)
    }

    /// Deletes what was planned in this session, links before content, after a rescan of the store: what has come into use
    /// stays. Space is freed by [`Disposal::Delete`]; [`Disposal::Trash`] frees nothing before
    /// [`empty_trash`](Self::empty_trash).
    ///
    /// Fails before anything is deleted:
    ///
    /// - with [`Error::StalePlan`] if the plan is not the latest that was made in this session, or if the session has changed
    ///   the store since;
    /// - with [`Error::Refused`] if the plan needs to be [confirmed](Plan::confirm);
    /// - with [`Refusal::Blocked`](crate::error::Refusal::Blocked) if a deletion names something that cannot be deleted, unless that was
    ///   [allowed](Plan::allow_partial);
    /// - with [`Error::Interrupted`] if the monitor stops the rescan;
    /// - if the storage cannot be read, or if it is known that something cannot be deleted or moved.
    ///
    /// Once the deletion has begun, it does not fail: the [`Outcome`] says what was deleted, what was spared, what failed, and
    /// whether the monitor stopped it. After a stop the store is whole. Repeating the deletion may leave content that only a
    /// [collection](Self::plan) deletes; what was moved to the trash can be [restored](Self::restore).
    pub fn execute(&self, plan: &Plan, disposal: Disposal, monitor: &dyn Monitor) -> Result<Outcome, Error> {
        let _busy = self.begin()?;
        if let Some(refusal) = plan.unconfirmed() {
            return Err(Error::Refused(refusal.clone()));
        }
        if plan.session() != Some(self.state.load(Relaxed)) {
            return Err(Error::StalePlan);
        }
        plan.check_complete()?;
        let header = (self.is_live || disposal == Disposal::Trash).then(|| Header {
            delete_untagged: plan.deletes_untagged(),
            min_age: plan.min_age(self.lock.since()).as_secs(),
            live: self.is_live,
            ..self.header(plan.command())
        });
        let outcome = sweep(&*self.store.storage, &self.lock, plan, header.as_ref(), monitor)?;
        self.change();
        Ok(outcome)
    }

    /// Takes the session for one call. A call that changes the store while another one executes a plan would change what that
    /// plan was decided from.
    fn begin(&self) -> Result<MutexGuard<'_, ()>, Error> {
        self.busy.try_lock().ok_or(Error::SessionBusy)
    }

    /// Makes all plans stale, and returns the number of the new state.
    fn change(&self) -> u64 {
        let state = STATES.fetch_add(1, Relaxed);
        self.state.store(state, Relaxed);
        state
    }

    /// Carries out repairs that [`repair::plan`] has found. What they replace or remove is moved to the trash. The plan must be
    /// made while this session holds the lock, and nothing may be changed in between: this is not checked.
    pub fn repair(&self, actions: &[Action], options: &repair::Options<'_>) -> Result<repair::Outcome, Error> {
        let _busy = self.begin()?;
        self.change();
        repair::apply(&*self.store.storage, &self.lock, actions, options, &self.header("repair"))
    }

    /// Writes the links that [`undelete::plan`] has found missing. The plan must be made while this session holds the lock, and
    /// nothing may be changed in between: this is not checked, and an older plan may link content that is gone.
    pub fn undelete(&self, plan: &undelete::Plan, monitor: &dyn Monitor) -> Result<undelete::Outcome, Error> {
        let _busy = self.begin()?;
        self.change();
        undelete::apply(&*self.store.storage, &self.lock, plan, monitor)
    }

    /// Brings back from the trash what a run has moved there. Nothing is overwritten.
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
    /// let deletion = store.resolve_repository("team/app")?;
    /// let plan = session.plan_deletion(deletion, &CollectOptions::new(), &Silent)?;
    /// let run = session.execute(&plan, Disposal::Trash, &Silent)?.trashed_as.expect("something was moved");
    /// // Either everything comes back, or it is deleted for good.
    /// let restored = session.restore(&Restore { run: &run, selection: None }, &Silent)?;
    /// assert!(restored.is_complete());
    /// session.empty_trash(Runs::Named(&[]), None, &Silent)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn restore(&self, restore: &Restore<'_>, monitor: &dyn Monitor) -> Result<Restored, Error> {
        let _busy = self.begin()?;
        self.change();
        let Restore { run, selection } = *restore;
        trash::restore(&*self.store.storage, Some(&self.lock), run, selection, self.store.jobs, monitor)
    }

    /// Deletes runs from the trash for good, and thereby frees their space; with `before`, in seconds since 1970, only those
    /// that began earlier.
    ///
    /// Fails with [`Error::NoSuchRun`] before anything is deleted if a named run is not in the trash. If the monitor stops it,
    /// [`Emptied::interrupted`] is set: the runs in [`Emptied::runs`] are deleted, the others are whole.
    pub fn empty_trash(&self, runs: Runs<'_>, before: Option<u64>, monitor: &dyn Monitor) -> Result<Emptied, Error> {
        let _busy = self.begin()?;
        trash::empty(&*self.store.storage, Some(&self.lock), runs, before, monitor)
    }

    /// Returns the first line of the journal of a run.
    fn header(&self, command: &str) -> Header {
        let started = self.lock.since();
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
