//! What is in the trash.

use std::collections::{BTreeMap, HashMap};

use super::journal::{REPAIR, has_journal, read_header, read_journal};
use super::{Entry, Header, Runs, directory, is_below_blobs, is_blob, is_run, refuse_symlinks, restoring};
use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::{Monitor, Silent};
use crate::registry::layout;
use crate::storage::{EntryKind, ReadStorage};

/// A run's part of the trash.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrashedRun {
    /// The run's name.
    pub run: String,
    /// The header of its journal; `None` if that cannot be read.
    pub header: Option<Header>,
    /// How many objects are still there.
    pub objects: u64,
    /// How many of them are blobs.
    pub blobs: u64,
    /// The length of everything but links, in bytes.
    pub bytes: u64,
    /// Whether a restore of it has begun and is not complete. Until it is complete, a collection keeps what the run
    /// removed.
    pub restoring: bool,
}

/// Lists the names of all runs in the trash that have a journal, sorted.
pub fn runs(storage: &dyn ReadStorage) -> Result<Vec<String>, Error> {
    let mut runs = Vec::new();
    for (run, symlink) in directories(storage)? {
        if !symlink && has_journal(storage, &run)? {
            runs.push(run);
        }
    }
    Ok(runs)
}

/// Lists the names of all directories in the trash that a run may have made, sorted, and whether each is a symbolic
/// link.
pub(super) fn directories(storage: &dyn ReadStorage) -> Result<Vec<(String, bool)>, Error> {
    refuse_symlinks(storage)?;
    let mut directories = Vec::new();
    storage.list(layout::TRASH, &mut |entry| {
        if entry.kind == EntryKind::Directory && is_run(entry.name) {
            directories.push((entry.name.to_owned(), entry.symlink));
        }
    })?;
    directories.sort_unstable();
    Ok(directories)
}

/// Lists all runs in the trash by name, including those that have lost their journal.
///
/// Fails with [`Error::Interrupted`] if the monitor stops it.
pub fn list(storage: &dyn ReadStorage, monitor: &dyn Monitor) -> Result<Vec<TrashedRun>, Error> {
    let mut runs = Vec::new();
    for (run, symlink) in directories(storage)? {
        // The journal is written first and deleted last: a directory that has none, and nothing of a registry in it,
        // is not regc's.
        let is_run = !symlink
            && (has_journal(storage, &run)?
                || restoring::is_restoring(storage, &run)?
                || storage.stat(&format!("{}/docker", directory(&run)))?.is_some());
        if is_run {
            runs.push(look_into(storage, run, monitor)?);
        }
    }
    Ok(runs)
}

fn look_into(storage: &dyn ReadStorage, run: String, monitor: &dyn Monitor) -> Result<TrashedRun, Error> {
    let header = match has_journal(storage, &run)?.then(|| read_header(storage, &run)) {
        Some(Ok(header)) => Some(header),
        None | Some(Err(Error::Journal { .. })) => None,
        Some(Err(error)) => return Err(error),
    };
    let restoring = restoring::is_restoring(storage, &run)?;
    let mut found = TrashedRun { header, objects: 0, blobs: 0, bytes: 0, restoring, run };
    for (key, is_symlink) in objects_until(storage, &found.run, monitor)? {
        monitor.check()?;
        found.objects += 1;
        found.blobs += u64::from(is_blob(&key));
        // What a symbolic link points to is elsewhere, and stays there.
        if !is_symlink && !is_link(&key) {
            let path = format!("{}/{key}", directory(&found.run));
            found.bytes += storage.stat(&path)?.map_or(0, |data| data.bytes);
        }
    }
    Ok(found)
}

/// Lists the objects of a run that are still in the trash, by path. Their descriptions are from the run's journal. If
/// the journal cannot be read or does not list an object, they are from its path, and what a tag named is unknown.
///
/// Fails with [`Error::NoSuchRun`] if there is no such run, with [`Error::Interrupted`] if the monitor stops it.
pub(crate) fn contents(storage: &dyn ReadStorage, run: &str, monitor: &dyn Monitor) -> Result<Vec<Entry>, Error> {
    let is_directory = |(name, symlink): (String, bool)| name == run && !symlink;
    if !directories(storage)?.into_iter().any(is_directory) {
        return Err(Error::NoSuchRun(run.to_owned()));
    }
    let recorded = match read_journal(storage, run) {
        Ok((_, entries)) => entries,
        Err(Error::Journal { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut recorded: HashMap<String, Entry> = recorded.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    let mut contents = Vec::new();
    for (key, is_symlink) in objects_until(storage, run, monitor)? {
        monitor.check()?;
        let has_bytes = !is_symlink && !is_link(&key);
        let data = if has_bytes { storage.stat(&format!("{}/{key}", directory(run)))? } else { None };
        let entry = recorded.remove(&key).unwrap_or_else(|| Entry::at(key));
        contents.push(Entry { bytes: data.map(|data| data.bytes), ..entry });
    }
    Ok(contents)
}

fn is_link(key: &str) -> bool {
    key.rsplit('/').next() == Some(layout::LINK)
}

/// Lists the objects of a run that are still there: the key that each had in the registry, and whether it is a
/// symbolic link. Symbolic links are not followed.
pub(crate) fn objects(storage: &dyn ReadStorage, run: &str) -> Result<Vec<(String, bool)>, Error> {
    objects_until(storage, run, &Silent)
}

/// The same, unless the monitor stops it.
pub(crate) fn objects_until(
    storage: &dyn ReadStorage,
    run: &str,
    monitor: &dyn Monitor,
) -> Result<Vec<(String, bool)>, Error> {
    let mut objects = Vec::new();
    let mut pending = vec!["docker".to_owned()];
    let top = directory(run);
    while let Some(directory) = pending.pop() {
        monitor.check()?;
        storage.list(&format!("{top}/{directory}"), &mut |entry| {
            let key = format!("{directory}/{}", entry.name);
            match entry.kind {
                // A blob's directory may have been a symbolic link, and was moved as one.
                _ if entry.symlink && is_below_blobs(&key) && entry.name != layout::DATA => {
                    objects.push((format!("{key}/{}", layout::DATA), true));
                }
                _ if entry.symlink => objects.push((key, true)),
                EntryKind::Directory => pending.push(key),
                EntryKind::File | EntryKind::Unnameable | EntryKind::Other | EntryKind::BrokenSymlink => {
                    objects.push((key, false))
                }
            }
        })?;
    }
    objects.sort_unstable();
    Ok(objects)
}

/// Whether a run was a repair.
pub(crate) fn is_of_repair(storage: &dyn ReadStorage, run: &str) -> Result<bool, Error> {
    match read_header(storage, run) {
        Ok(header) => Ok(header.command == REPAIR),
        Err(Error::Journal { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether one of the runs that are meant was made while a registry took pushes. If its journal cannot be read, that is
/// unknown, and it counts as none: an operator must be able to give it up.
pub(crate) fn has_live_runs(storage: &dyn ReadStorage, meant: Runs<'_>) -> Result<bool, Error> {
    for run in runs(storage)?.iter().filter(|run| meant.contains(run)) {
        match read_header(storage, run) {
            Ok(header) if header.live => return Ok(true),
            Ok(_) | Err(Error::Journal { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// An object that a run has moved to the trash.
pub(crate) struct Subject {
    /// What it was about.
    pub(crate) subject: layout::Subject,
    /// Whether the run was a repair: the object was damaged or dangling.
    pub(crate) of_repair: bool,
}

/// Lists what runs have moved to the trash.
pub(crate) fn subjects(storage: &dyn ReadStorage) -> Result<Vec<Subject>, Error> {
    let mut subjects = Vec::new();
    for run in runs(storage)? {
        let of_repair = is_of_repair(storage, &run)?;
        let subject = |(key, _): &(String, bool)| Subject { subject: layout::subject(key), of_repair };
        // What an interrupted copy left shows nothing.
        subjects.extend(objects(storage, &run)?.iter().filter(|(key, _)| !layout::is_remnant(key)).map(subject));
    }
    Ok(subjects)
}

/// Returns the damaged content that repairs moved aside so that it can be pushed again: by its digest, the key of the
/// copy in the trash that was moved there last. `None` if that is a symbolic link, which leads elsewhere.
pub(crate) fn moved_aside(storage: &dyn ReadStorage) -> Result<BTreeMap<Digest, Option<String>>, Error> {
    let mut aside = BTreeMap::new();
    for run in runs(storage)? {
        if !is_of_repair(storage, &run)? {
            continue;
        }
        for (key, is_symlink) in objects(storage, &run)?.into_iter().filter(|(key, _)| is_blob(key)) {
            let copy = (!is_symlink).then(|| format!("{}/{key}", directory(&run)));
            aside.extend(layout::subject(&key).digest.map(|digest| (digest, copy)));
        }
    }
    Ok(aside)
}
