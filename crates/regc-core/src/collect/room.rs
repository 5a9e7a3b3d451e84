//! Makes room for the journal if the file system is full.
//!
//! Moving to the trash needs a little space, and there is none if earlier runs in the trash fill the file system. Then
//! the oldest of those runs are deleted for good. An operator may still need them, so anything that may be the only
//! copy of something is kept: see [`KEPT_FOR`].

use std::time::Duration;

use crate::collect::journal::write_journal;
use crate::collect::plan::Plan;
use crate::error::Error;
use crate::finding::Finding;
use crate::monitor::Monitor;
use crate::storage::{ReadStorage, TrashStorage};
use crate::trash::{Header, REPAIR, RunSize, TrashedRun, directory, forget, list};

/// How long a run is always kept in the trash: a run that began less than this before the current one is never deleted
/// to make room. Neither is a run whose header cannot be read, one that is being restored, a repair, or one that holds
/// what an image in use needs.
pub const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

impl TrashedRun {
    /// Returns until when the run is always kept in the trash, in seconds since 1970. After that, a run that finds the
    /// file system full may delete it, unless it holds what an image in use needs. `None` if only emptying the trash
    /// deletes it.
    pub fn kept_until(&self) -> Option<u64> {
        let header = self.header.as_ref()?;
        let may_be_deleted = header.schema_version == 1 && header.command != REPAIR && !self.restoring;
        may_be_deleted.then(|| header.started.saturating_add(KEPT_FOR.as_secs()))
    }
}

fn size(run: &TrashedRun) -> RunSize {
    RunSize { run: run.run.clone(), bytes: run.bytes }
}

/// Writes what `plan` is going to move to the journal. While there is no room for that, deletes the oldest run that
/// may be deleted.
///
/// Returns the deleted runs. Fails with [`Error::NoRoom`] if there is still no room when all of them are deleted.
pub(crate) fn write_journal_with_room(
    storage: &dyn TrashStorage,
    header: &Header,
    plan: &Plan,
    monitor: &dyn Monitor,
) -> Result<Vec<RunSize>, Error> {
    let mut full = match write_journal(storage, header, plan) {
        Err(error) if error.is_full() => error,
        written => return written.map(|()| Vec::new()),
    };
    let runs = oldest_first(storage, monitor)?;
    let mut spare = Vec::new();
    for run in runs.iter().filter(|run| is_old(run, header)) {
        spare.extend((!is_needed(storage, plan, &run.run)?).then_some(run));
    }
    let mut deleted = Vec::new();
    for run in spare {
        deleted.push(size(run));
        match forget(storage, &run.run).and_then(|()| write_journal(storage, header, plan)) {
            Ok(()) => return Ok(deleted),
            Err(error) => full = error,
        }
        if !full.is_full() {
            break;
        }
    }
    let mut oldest = None;
    for run in runs.iter().filter(|run| !deleted.contains(&size(run))) {
        if !is_needed(storage, plan, &run.run)? {
            oldest = Some(size(run));
            break;
        }
    }
    Err(Error::NoRoom { deleted, oldest, source: Box::new(full) })
}

/// Returns the runs that may be deleted once they are old enough, the oldest first.
fn oldest_first(storage: &dyn ReadStorage, monitor: &dyn Monitor) -> Result<Vec<TrashedRun>, Error> {
    let mut runs = list(storage, monitor)?;
    runs.retain(|run| run.kept_until().is_some());
    runs.sort_by_key(TrashedRun::kept_until);
    Ok(runs)
}

fn is_old(run: &TrashedRun, present: &Header) -> bool {
    run.kept_until().is_some_and(|until| until <= present.started)
}

/// Whether a run holds something that is in use and could not be put back, as a full file system prevents.
fn is_needed(storage: &dyn ReadStorage, plan: &Plan, run: &str) -> Result<bool, Error> {
    for finding in &plan.scan().findings {
        if let Finding::InTrash { path, restored: false, .. } = finding
            && storage.stat(&format!("{}/{path}", directory(run)))?.is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}
