//! Restores that are not complete: killed, interrupted, or waiting for something that is missing.
//!
//! A restore brings content back before the links to it. Between the two, a collection would take that content for
//! garbage. So a restore marks its run before it moves anything, and removes the mark when all of it is back. While the mark
//! is there, everything that the run's journal names counts as in use. The mark only ever keeps; it never removes.

use std::collections::{BTreeMap, BTreeSet};

use super::{directories, directory, read_journal};
use crate::digest::Digest;
use crate::error::Error;
use crate::storage::lock::Lock;
use crate::storage::{ReadStorage, TrashStorage};

/// The name of the mark in a run's directory.
const MARK: &str = "restoring";

/// What incomplete restores protect.
#[derive(Debug, Default)]
pub(crate) struct Restoring {
    /// Content that is in use, whatever links lead to it.
    pub(crate) digests: BTreeSet<Digest>,
    /// The repositories of which nothing is removed, each with the run that is being restored.
    pub(crate) repositories: BTreeMap<String, String>,
}

/// Finds out what incomplete restores protect.
///
/// Fails if the journal of one cannot be read: what it has brought back cannot be told from garbage.
pub(crate) fn restoring(storage: &dyn ReadStorage) -> Result<Restoring, Error> {
    let mut restoring = Restoring::default();
    // Whatever has become of the journal.
    for (run, _) in directories(storage)? {
        if !is_restoring(storage, &run)? {
            continue;
        }
        for entry in read_journal(storage, &run)?.1 {
            restoring.digests.extend(entry.digest);
            restoring.repositories.extend(entry.repository.map(|repository| (repository, run.clone())));
        }
    }
    Ok(restoring)
}

/// Whether a restore of this run has begun and is not complete.
pub(super) fn is_restoring(storage: &dyn ReadStorage, run: &str) -> Result<bool, Error> {
    Ok(storage.stat(&mark(run))?.is_some())
}

/// Marks a run before the first of its objects is moved back.
pub(super) fn begin(storage: &dyn TrashStorage, _: &Lock, run: &str) -> Result<(), Error> {
    match is_restoring(storage, run)? {
        true => Ok(()),
        false => storage.create(&mark(run), &mut |to| writeln!(to, "a restore of this run is not complete")),
    }
}

/// Removes the mark: all of it is back.
pub(super) fn end(storage: &dyn TrashStorage, _: &Lock, run: &str) -> Result<(), Error> {
    storage.remove_all(&mark(run))
}

pub(super) fn mark(run: &str) -> String {
    format!("{}/{MARK}", directory(run))
}
