//! Writing the links that are missing.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::{NewLink, Plan};
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout;
use crate::storage::lock::Locked;
use crate::storage::{DeleteStorage, TrashStorage};
use crate::trash::{INCOMING, forget_incoming};

/// The result of an undelete.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Outcome {
    /// How many of the plan's links were written, counted from the first.
    pub done: usize,
    /// Why the next one was not written.
    pub failure: Option<Error>,
    /// Why one of regc's own files was left behind. Nothing depends on it.
    pub left: Option<Error>,
    /// Whether the monitor stopped the run before it was complete.
    pub interrupted: bool,
}

/// Writes the links of a plan, one after the other, until one fails: later links may refer to it.
///
/// The lock must have been taken before the plan was made. Fails before the first link if [`check`] does, or with
/// [`Error::Interrupted`] if the monitor stops it. Each link is written atomically and durably, and nothing is ever
/// overwritten. A killed run has linked nothing incomplete, and the next run finishes it.
pub fn apply(locked: &Locked<'_>, plan: &Plan, monitor: &dyn Monitor) -> Result<Outcome, Error> {
    let storage = locked.trash()?;
    forget_incoming(storage)?;
    check(storage, plan, monitor)?;
    monitor.phase(Phase::Link, Some(plan.links().len() as u64));
    monitor.check()?;
    let mut outcome = Outcome::default();
    for link in plan.links() {
        if monitor.is_stopped() {
            outcome.interrupted = true;
            break;
        }
        if let Err(error) = write(storage, link) {
            outcome.failure = Some(error);
            break;
        }
        outcome.done += 1;
        monitor.advance(1);
    }
    let tidied = storage.remove_all(&incoming());
    let removed = storage.remove_empty_directories(&[INCOMING.to_owned()], None).into_iter();
    outcome.left = tidied.err().or(removed.filter_map(Result::err).next());
    let is_unchanged = outcome.done == 0 && outcome.failure.is_none();
    if outcome.interrupted && is_unchanged { Err(Error::Interrupted) } else { Ok(outcome) }
}

/// Fails if links cannot be written to one of the repositories, as far as this is known without trying: regc may not
/// write there, or new files are created on another file system.
pub fn check(storage: &dyn DeleteStorage, plan: &Plan, monitor: &dyn Monitor) -> Result<(), Error> {
    let repositories: BTreeSet<&str> = plan.links().iter().map(|link| &*link.repository).collect();
    repositories.into_iter().try_for_each(|name| {
        monitor.check()?;
        storage.check_removable(&layout::repository(name), true)
    })
}

fn incoming() -> String {
    format!("{INCOMING}/{}", layout::LINK)
}

fn write(storage: &dyn TrashStorage, link: &NewLink) -> Result<(), Error> {
    // A link that is half written when the power fails would be worse than none.
    let incoming = incoming();
    storage.create(&incoming, &mut |to| write!(to, "{}", link.digest))?;
    // Whatever is there stays: everything was modified at this time or later.
    match storage.replace(&incoming, &link.path, layout::TRASH, Some(SystemTime::UNIX_EPOCH))? {
        true => Ok(()),
        false => Err(Error::storage("write", link.path.clone(), std::io::ErrorKind::AlreadyExists.into())),
    }
}
