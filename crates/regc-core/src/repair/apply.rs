//! Carries out a plan.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::ControlFlow;

use super::{Action, Options, Plan};
use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout::{self, Location};
use crate::storage::hash::hash;
use crate::storage::lock::Locked;
use crate::storage::{DeleteStorage, ReadStorage, Removal, Removing, TrashStorage, below};
use crate::trash::{self, Entry, INCOMING, forget_incoming};
use crate::verify::content::{Clock, Pace};

/// The result of a repair.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Outcome {
    /// What is repaired.
    pub done: Vec<Action>,
    /// What changed in the meantime, and was not repaired.
    pub spared: Vec<Action>,
    /// What failed, and why.
    pub failures: Vec<(Action, Error)>,
    /// What failed afterwards, such as the removal of an empty directory. Nothing depends on it.
    pub left: Vec<Error>,
    /// Whether the monitor stopped the run before it was complete.
    pub interrupted: bool,
}

/// Carries out a plan.
///
/// The lock must have been taken before the verification. Fails before anything is changed if the trash's journal
/// cannot be written, or if the monitor stops it.
pub fn apply(
    locked: &Locked<'_>,
    plan: &Plan,
    options: &Options<'_>,
    header: &trash::Header,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Outcome, Error> {
    let (storage, actions) = (locked.trash()?, plan.actions());
    let mut impossible: HashMap<Action, Error> = check(storage, plan, monitor)?.into_iter().collect();
    forget_incoming(storage)?;
    let mut moved = Vec::new();
    for action in actions {
        if storage.stat(action.path())?.is_some() {
            moved.push(entry(action));
        }
    }
    let has_journal = !moved.is_empty();
    if has_journal {
        trash::write_entries(storage, header, moved.into_iter())?;
    }
    let into = trash::directory(&header.run);
    let removing = Removing { unless_modified_since: Some(locked.since()), into: Some(&into), leave_directory: false };
    let pace = Pace::new(options.bandwidth, clock, monitor);
    let apply = Apply { storage, from: options.from, pace: &pace, removing, into: &into, monitor };
    monitor.phase(Phase::Repair, Some(actions.len() as u64));
    let mut outcome = Outcome::default();
    let mut not_taken = HashSet::new();
    for action in actions {
        let done = match (action, monitor.is_stopped(), impossible.remove(action)) {
            (_, true, _) => Err(Error::Interrupted),
            (_, _, Some(error)) => Err(error),
            (Action::WriteLink { path, digest }, ..) if not_taken.contains(digest) => {
                Err(Error::NotTaken(path.clone()))
            }
            _ => apply.carry_out(action),
        };
        if let (Action::Take { digest, .. }, Ok(false) | Err(_)) = (action, &done) {
            not_taken.insert(*digest);
        }
        match done {
            Ok(true) => outcome.done.push(action.clone()),
            Ok(false) => outcome.spared.push(action.clone()),
            Err(Error::Interrupted) => {
                outcome.interrupted = true;
                break;
            }
            Err(error) => outcome.failures.push((action.clone(), error)),
        }
        monitor.advance(1);
    }
    for action in &outcome.done {
        if let Action::RemoveLink { path, .. } = action {
            outcome.left.extend(tidy(storage, path).err());
        }
    }
    let removed = storage.remove_empty_directories(&[INCOMING.to_owned()], None).into_iter();
    outcome.left.extend(removed.filter_map(Result::err));
    if has_journal {
        // If nothing could be moved, there is nothing to restore.
        outcome.left.extend(trash::forget_if_empty(storage, &header.run).err());
    }
    let is_unchanged = outcome.done.is_empty() && outcome.failures.is_empty();
    if outcome.interrupted && is_unchanged { Err(Error::Interrupted) } else { Ok(outcome) }
}

/// Returns the actions that cannot be carried out, as far as that is known without trying: where regc may not write,
/// or on another file system than the trash.
///
/// Fails only with [`Error::Interrupted`], if the monitor stops it.
pub fn check(storage: &dyn DeleteStorage, plan: &Plan, monitor: &dyn Monitor) -> Result<Vec<(Action, Error)>, Error> {
    let mut checked: HashMap<String, bool> = HashMap::new();
    let mut impossible = Vec::new();
    for action in plan.actions() {
        monitor.check()?;
        let place = match (action, layout::subject(action.path()).repository) {
            (_, Some(repository)) => layout::repository(&repository),
            (Action::Take { digest, .. }, None) => layout::shard(digest),
            (_, None) => action.path().rsplit_once('/').map_or_else(String::new, |(directory, _)| directory.to_owned()),
        };
        if checked.get(&place) == Some(&true) {
            continue;
        }
        let possible = storage.check_removable(&place, true);
        checked.insert(place, possible.is_ok());
        impossible.extend(possible.err().map(|error| (action.clone(), error)));
    }
    Ok(impossible)
}

/// Returns the journal entry for what an action moves to the trash.
fn entry(action: &Action) -> Entry {
    let path = action.path().to_owned();
    let layout::Subject { repository, .. } = layout::subject(&path);
    Entry { kind: action.kind(), path, digest: action.digest(), repository, bytes: None }
}

struct Apply<'a> {
    storage: &'a dyn TrashStorage,
    from: Option<&'a dyn ReadStorage>,
    pace: &'a Pace<'a>,
    removing: Removing<'a>,
    /// The run's directory in the trash.
    into: &'a str,
    monitor: &'a dyn Monitor,
}

impl Apply<'_> {
    /// Returns whether it is done; not if what is there changed meanwhile.
    fn carry_out(&self, action: &Action) -> Result<bool, Error> {
        match action {
            // What was pushed meanwhile may be what the link refers to.
            Action::RemoveLink { path, digest: Some(digest) } if self.leads_somewhere(path, digest)? => Ok(false),
            Action::MoveAside { path, .. } | Action::RemoveLink { path, .. } => self.move_aside(path),
            Action::WriteLink { path, digest } => {
                let incoming = format!("{INCOMING}/{}", layout::LINK);
                self.storage.create(&incoming, &mut |to| write!(to, "{digest}"))?;
                self.put(&incoming, path)
            }
            Action::Take { path, digest } => {
                let from = self.from.ok_or_else(|| Error::NotTaken(path.clone()))?;
                let incoming = format!("{INCOMING}/{}", layout::DATA);
                match self.copy(from, &incoming, digest) {
                    Ok(()) => self.put(&incoming, path),
                    Err(error) => {
                        self.storage.remove_all(&incoming)?;
                        Err(error)
                    }
                }
            }
        }
    }

    /// Whether a link that is to be removed refers to something by now. An entry of a tag's index does if its manifest
    /// is linked, too.
    fn leads_somewhere(&self, path: &str, digest: &Digest) -> Result<bool, Error> {
        let has = |key: &str| Ok::<bool, Error>(self.storage.stat(key)?.is_some());
        let is_there = has(&layout::blob_data(digest))?;
        match Location::parse(path) {
            Some(Location::TagIndexEntry { repository, .. }) if is_there => {
                Ok(has(&layout::revision_link(repository, digest))? || has(&layout::layer_link(repository, digest))?)
            }
            _ => Ok(is_there),
        }
    }

    fn move_aside(&self, path: &str) -> Result<bool, Error> {
        for removal in self.storage.remove(&[path.to_owned()], &self.removing) {
            match removal {
                Removal::Done | Removal::LeftDirectory(_) => {}
                Removal::Spared => return Ok(false),
                Removal::Failed(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Replaces what is there with what was written.
    fn put(&self, incoming: &str, path: &str) -> Result<bool, Error> {
        let put = self.storage.replace(incoming, path, self.into, self.removing.unless_modified_since);
        self.storage.remove_all(incoming)?;
        put
    }

    /// Copies content from another store. What was written is read back, so that what is put in place is whole.
    fn copy(&self, from: &dyn ReadStorage, to: &str, digest: &Digest) -> Result<(), Error> {
        let path = layout::blob_data(digest);
        let (mut failed, mut is_stopped) = (None, false);
        let created = self.storage.create(to, &mut |to| {
            let mut written = Ok(());
            let read = from.read_in_parts(&path, &mut |part| {
                written = to.write_all(part);
                is_stopped = self.pace.wait(part.len()).is_break();
                if written.is_err() || is_stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            failed = read.err();
            written
        });
        match failed {
            _ if is_stopped => return Err(Error::Interrupted),
            Some(error) => return Err(error),
            None => created?,
        }
        match hash(self.storage, to, digest.algorithm(), self.monitor)? {
            Some(actual) if actual == *digest => Ok(()),
            _ => Err(Error::storage("take", path, io::ErrorKind::InvalidData.into())),
        }
    }
}

/// Removes the directories that a removed tag or index entry leaves empty.
fn tidy(storage: &dyn TrashStorage, path: &str) -> Result<(), Error> {
    let layout::Subject { repository: Some(repository), tag: Some(tag), .. } = layout::subject(path) else {
        return Ok(());
    };
    if storage.stat(&layout::tag_link(&repository, &tag))?.is_some() {
        return Ok(());
    }
    let tag = layout::tag(&repository, &tag);
    let mut directories = below(storage, &tag)?.directories;
    directories.iter_mut().for_each(|directory| *directory = format!("{tag}/{directory}"));
    directories.push(tag);
    storage.remove_empty_directories(&directories, None).into_iter().collect()
}
