//! Emptying the trash.

use super::journal::journal;
use super::{TrashedRun, directory, list, objects, restoring};
use crate::error::Error;
use crate::finding::Finding;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout;
use crate::storage::TrashStorage;
use crate::storage::lock::{Access, Locked};

/// Which runs in the trash to act on.
#[derive(Clone, Copy, Debug)]
pub enum Runs<'a> {
    /// Every run.
    All,
    /// The runs with these names; none if there are no names.
    Named(&'a [String]),
}

impl Runs<'_> {
    pub(super) fn contains(self, run: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| name == run),
        }
    }
}

/// What was deleted from the trash.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Emptied {
    /// The runs that are deleted, or would be.
    pub runs: Vec<TrashedRun>,
    /// What is in use but was in the trash. It is put back, or would be, before anything is deleted.
    pub findings: Vec<Finding>,
    /// Why other runs are still in the trash, at least in part.
    pub failures: Vec<Error>,
    /// Whether the monitor stopped it between two runs.
    pub interrupted: bool,
}

/// Deletes runs from the trash for good. With `before`, in seconds since 1970, only runs that began earlier are
/// deleted. The age of a run whose journal cannot be read is unknown; with `before`, it is deleted only if nothing else
/// is left of it. A run that is being restored is deleted only without `before`. A read-only storage is not changed: a
/// dry run.
///
/// Fails before anything is deleted: with [`Error::NoSuchRun`] if a named run is not in the trash, with
/// [`Error::Interrupted`] if the monitor stops it before the first run.
pub fn empty(
    access: Access<'_>,
    meant: Runs<'_>,
    before: Option<u64>,
    monitor: &dyn Monitor,
) -> Result<Emptied, Error> {
    let mut emptied = Emptied::default();
    let runs = list(access.storage(), monitor)?;
    if let Runs::Named(names) = meant
        && let Some(absent) = names.iter().find(|name| !runs.iter().any(|run| run.run == **name))
    {
        return Err(Error::NoSuchRun(absent.clone()));
    }
    let trash = access.locked().map(Locked::trash).transpose()?;
    let is_wanted = |run: &TrashedRun| match (before, &run.header) {
        (None, _) => true,
        (Some(_), _) if run.restoring => false,
        (Some(before), Some(header)) => header.started < before,
        (Some(_), None) => run.objects == 0,
    };
    let meant: Vec<TrashedRun> = runs.into_iter().filter(|run| meant.contains(&run.run)).filter(is_wanted).collect();
    monitor.phase(Phase::EmptyTrash, Some(meant.len() as u64));
    monitor.check()?;
    for run in meant {
        if monitor.is_stopped() {
            emptied.interrupted = true;
            break;
        }
        match trash.map_or(Ok(()), |trash| forget(trash, &run.run)) {
            Ok(()) => emptied.runs.push(run),
            Err(error) => emptied.failures.push(error),
        }
        monitor.advance(1);
    }
    let is_unchanged = trash.is_none() || emptied.runs.is_empty() && emptied.failures.is_empty();
    if emptied.interrupted && is_unchanged { Err(Error::Interrupted) } else { Ok(emptied) }
}

/// Removes a run's directory if nothing is left in it but the journal, and returns whether that is so.
pub(crate) fn forget_if_empty(storage: &dyn TrashStorage, run: &str) -> Result<bool, Error> {
    let is_empty = objects(storage, run)?.is_empty();
    if is_empty {
        forget(storage, run)?;
    }
    Ok(is_empty)
}

/// Removes a run's directory.
pub(crate) fn forget(storage: &dyn TrashStorage, run: &str) -> Result<(), Error> {
    // The journal is deleted last, so that what is left after an interruption still has one.
    storage.remove_all(&format!("{}/docker", directory(run)))?;
    storage.remove_all(&restoring::mark(run))?;
    storage.remove_all(&journal(run))?;
    storage.remove_empty_directories(&[directory(run), layout::TRASH.to_owned()], None).into_iter().collect()
}
