//! Incomplete restores: killed, interrupted, or waiting for something that is missing.
//!
//! A restore moves content back before the links to it. In between, a collection would take that content for garbage.
//! So a restore marks its run before it moves anything, and removes the mark when everything is restored. While the
//! mark is there, everything that the run's journal names counts as in use. The mark only keeps objects; it never
//! removes any.

use std::collections::{BTreeMap, BTreeSet};

use super::directory;
use super::journal::read_journal;
use super::listing::directories;
use crate::digest::Digest;
use crate::error::Error;
use crate::storage::{ReadStorage, TrashStorage};

/// The name of the mark in a run's directory.
const MARK: &str = "restoring";

/// What incomplete restores protect.
#[derive(Debug, Default)]
pub(crate) struct Restoring {
    /// Content that is in use, whatever links to it.
    pub(crate) digests: BTreeSet<Digest>,
    /// The repositories from which nothing is removed, each with the run that is being restored.
    pub(crate) repositories: BTreeMap<String, String>,
}

/// Finds out what incomplete restores protect.
///
/// Fails if the journal of one cannot be read: what it has restored cannot be distinguished from garbage.
pub(crate) fn restoring(storage: &dyn ReadStorage) -> Result<Restoring, Error> {
    let mut restoring = Restoring::default();
    // All directories, whether the journal is still there or not.
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
pub(super) fn begin(storage: &dyn TrashStorage, run: &str) -> Result<(), Error> {
    match is_restoring(storage, run)? {
        true => Ok(()),
        false => storage.create(&mark(run), &mut |to| writeln!(to, "a restore of this run is not complete")),
    }
}

/// Removes the mark: everything is restored.
pub(super) fn end(storage: &dyn TrashStorage, run: &str) -> Result<(), Error> {
    storage.remove_all(&mark(run))
}

pub(super) fn mark(run: &str) -> String {
    format!("{}/{MARK}", directory(run))
}
