//! What was moved out of the registry, and can be restored.
//!
//! Each run that moves objects has a directory of its own below [`layout::TRASH`]. In it, every object keeps the key
//! that it had in the registry, and a journal records what is there and why. The journal is written, and survives a
//! power cut, before the first object is moved, so it may name objects that were never moved.

mod incoming;
mod restore;
mod restoring;
mod selection;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

pub(crate) use self::incoming::INCOMING;
pub use self::incoming::forget_incoming;
pub(crate) use self::restore::Trash;
pub use self::restore::{Restored, restore};
pub(crate) use self::restoring::{Restoring, restoring};
pub use self::selection::Selection;
use crate::digest::Digest;
use crate::error::Error;
pub use crate::error::RunSize;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout::{self, Location};
use crate::storage::lock::Lock;
use crate::storage::{Content, EntryKind, ReadStorage, TrashStorage};

/// The name of the journal in a run's directory.
const JOURNAL: &str = "journal.jsonl";

/// The largest journal that is read, in bytes: enough for ten million objects.
const MAX_JOURNAL_BYTES: u64 = 4 << 30;

/// The command of a run that was a repair.
pub(crate) const REPAIR: &str = "repair";

/// The first line of a journal: which run it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the journal's form.
    pub schema_version: u32,
    /// The run's name, which its directory has as well.
    pub run: String,
    /// When it began, in seconds since 1970, by the clock of the machine.
    pub started: u64,
    /// The version of regc.
    pub regc: String,
    /// The command that it was: `gc`, `rm`, `prune` or `repair`.
    #[serde(default = "gc")]
    pub command: String,
    /// Whether untagged manifests were garbage.
    pub delete_untagged: bool,
    /// How old something had to be to be garbage, in seconds.
    pub min_age: u64,
    /// Whether a registry was running.
    pub live: bool,
}

/// The default for journals that do not name a command.
fn gc() -> String {
    "gc".to_owned()
}

/// Every other line of a journal: an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Its key in the registry.
    pub path: String,
    /// The digest that it is about; `None` for a garbled tag, and for uploads.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<Digest>,
    /// Its repository; `None` for a blob.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repository: Option<String>,
    /// The length of a blob's content, or of what an interrupted copy left, in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
}

impl Entry {
    /// Whether its path is that of what the entry claims to be.
    fn is_consistent(&self) -> bool {
        let Some(location) = Location::parse(&self.path) else { return self.kind == Kind::File && self.is_remnant() };
        let digest = match location {
            // The digest is that of the manifest that the link named.
            Location::TagLink { .. } => self.digest,
            Location::SignatureLink { revision, .. } => Some(revision),
            _ => location.digest(),
        };
        (self.kind, self.repository.as_deref(), self.digest) == (Kind::of(&location), location.repository(), digest)
    }

    /// Whether its path is that of a file that an interrupted copy leaves, and cannot lead elsewhere.
    fn is_remnant(&self) -> bool {
        let about = layout::subject(&self.path);
        layout::is_remnant(&self.path)
            && (&about.repository, &about.digest) == (&self.repository, &self.digest)
            && !self.path.split('/').any(|part| matches!(part, "" | "." | ".."))
            && !self.repository.iter().any(|name| name.split('/').any(layout::is_repository_part))
    }
}

/// What an object in the trash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An entry in a tag's index.
    TagIndexEntry,
    /// A tag's link.
    Tag,
    /// A revision's link, or the link of one of its signatures.
    Revision,
    /// A layer link.
    LayerLink,
    /// The content of a blob.
    Blob,
    /// A file of an upload.
    Upload,
    /// A file that an interrupted copy left, or a link to a referrer.
    File,
}

impl Kind {
    /// Returns the kind that a file of the layout has in the trash.
    pub(crate) fn of(location: &Location<'_>) -> Self {
        match location {
            Location::Blob { .. } => Kind::Blob,
            Location::LayerLink { .. } => Kind::LayerLink,
            Location::RevisionLink { .. } | Location::SignatureLink { .. } => Kind::Revision,
            Location::TagLink { .. } => Kind::Tag,
            Location::TagIndexEntry { .. } => Kind::TagIndexEntry,
            Location::UploadFile { .. } => Kind::Upload,
            Location::ReferrerLink { .. } => Kind::File,
        }
    }
}

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
    /// Whether a restore of it has begun and is not complete. Until it is, a collection keeps what the run had removed.
    pub restoring: bool,
}

/// Returns the directory of a run.
pub fn directory(run: &str) -> String {
    format!("{}/{run}", layout::TRASH)
}

/// Writes what is going to be moved to the journal.
pub(crate) fn write_entries(
    storage: &dyn TrashStorage,
    header: &Header,
    mut entries: impl Iterator<Item = Entry>,
) -> Result<(), Error> {
    fn line<T: Serialize>(mut to: &mut dyn Write, value: &T) -> io::Result<()> {
        serde_json::to_writer(&mut to, value)?;
        to.write_all(b"\n")
    }
    refuse_symlinks(storage)?;
    let written = storage.create(&journal(&header.run), &mut |to| {
        line(to, header)?;
        entries.try_for_each(|entry| line(to, &entry))
    });
    if written.is_err() {
        // Removes what was made for it. Why there is no journal matters more than why that stays.
        storage.remove_empty_directories(&[directory(&header.run), layout::TRASH.to_owned()], None);
    }
    written
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
fn directories(storage: &dyn ReadStorage) -> Result<Vec<(String, bool)>, Error> {
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

/// Whether a run has a journal, readable or not, and not a symbolic link to one.
fn has_journal(storage: &dyn ReadStorage, run: &str) -> Result<bool, Error> {
    let found = storage.stat(&journal(run))?;
    Ok(found.is_some_and(|journal| journal.kind == EntryKind::File && !journal.symlink))
}

/// Fails if regc's own directories are symbolic links: a user who may write to the storage root must not redirect
/// regc, which may be root.
fn refuse_symlinks(storage: &dyn ReadStorage) -> Result<(), Error> {
    for own in [layout::OWN, layout::TRASH] {
        if storage.stat(own)?.is_some_and(|metadata| metadata.symlink) {
            return Err(Error::OwnSymlink(own.to_owned()));
        }
    }
    Ok(())
}

fn journal(run: &str) -> String {
    format!("{}/{JOURNAL}", directory(run))
}

/// Whether this may be a run's name. It becomes a part of paths.
fn is_run(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Lists all runs in the trash by name, including those that have lost their journal.
pub fn list(storage: &dyn ReadStorage) -> Result<Vec<TrashedRun>, Error> {
    let mut runs = Vec::new();
    for (run, symlink) in directories(storage)? {
        // The journal is written first and deleted last: a directory that has none, and nothing of a registry in it,
        // is not regc's.
        let is_run = !symlink
            && (has_journal(storage, &run)?
                || restoring::is_restoring(storage, &run)?
                || storage.stat(&format!("{}/docker", directory(&run)))?.is_some());
        if is_run {
            runs.push(look_into(storage, run)?);
        }
    }
    Ok(runs)
}

fn look_into(storage: &dyn ReadStorage, run: String) -> Result<TrashedRun, Error> {
    let header = match has_journal(storage, &run)?.then(|| read_header(storage, &run)) {
        Some(Ok(header)) => Some(header),
        None | Some(Err(Error::Journal { .. })) => None,
        Some(Err(error)) => return Err(error),
    };
    let restoring = restoring::is_restoring(storage, &run)?;
    let mut found = TrashedRun { header, objects: 0, blobs: 0, bytes: 0, restoring, run };
    for (key, is_symlink) in objects(storage, &found.run)? {
        found.objects += 1;
        found.blobs += u64::from(is_blob(&key));
        // What a symbolic link points to is elsewhere, and stays there.
        if !is_symlink && !key.ends_with(&format!("/{}", layout::LINK)) {
            let path = format!("{}/{key}", directory(&found.run));
            found.bytes += storage.stat(&path)?.map_or(0, |data| data.bytes);
        }
    }
    Ok(found)
}

/// Reads the first line of a run's journal.
fn read_header(storage: &dyn ReadStorage, run: &str) -> Result<Header, Error> {
    let mut line = Vec::new();
    storage.read_in_parts(&journal(run), &mut |part| {
        let end = part.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&part[..end.unwrap_or(part.len())]);
        if end.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    serde_json::from_slice(&line).map_err(|error| Error::Journal { path: journal(run), reason: error.to_string() })
}

/// Lists the objects of a run that are still there: the key that each had in the registry, and whether it is a
/// symbolic link. Symbolic links are not followed.
pub(crate) fn objects(storage: &dyn ReadStorage, run: &str) -> Result<Vec<(String, bool)>, Error> {
    let mut objects = Vec::new();
    let mut pending = vec!["docker".to_owned()];
    let top = directory(run);
    while let Some(directory) = pending.pop() {
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

/// Whether a key is that of a blob's content, and not of a file beside it.
fn is_blob(key: &str) -> bool {
    is_below_blobs(key) && key.rsplit('/').next() == Some(layout::DATA)
}

fn is_below_blobs(key: &str) -> bool {
    key.strip_prefix(layout::BLOBS).is_some_and(|below| below.starts_with('/'))
}

/// Whether a run was a repair.
pub(crate) fn is_of_repair(storage: &dyn ReadStorage, run: &str) -> Result<bool, Error> {
    match read_header(storage, run) {
        Ok(header) => Ok(header.command == REPAIR),
        Err(Error::Journal { .. }) => Ok(false),
        Err(error) => Err(error),
    }
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

/// Reads the journal of a run.
///
/// Fails with [`Error::Journal`] if there is none, or if it cannot be read.
pub fn read_journal(storage: &dyn ReadStorage, run: &str) -> Result<(Header, Vec<Entry>), Error> {
    let path = journal(run);
    let garbled = |reason: String| Error::Journal { path: path.clone(), reason };
    if !is_run(run) {
        return Err(garbled("this is no name of a run".to_owned()));
    }
    if storage.stat(&directory(run))?.is_some_and(|run| run.symlink) {
        return Err(garbled("its directory is a symbolic link".to_owned()));
    }
    if !has_journal(storage, run)? {
        return Err(garbled("there is none".to_owned()));
    }
    let text = match storage.read(&path, MAX_JOURNAL_BYTES)? {
        Some(Content::Whole(text)) => text,
        Some(Content::TooLarge) => return Err(garbled("it is too large".to_owned())),
        None => return Err(garbled("there is none".to_owned())),
    };
    let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let header: Header =
        serde_json::from_slice(lines.next().unwrap_or_default()).map_err(|e| garbled(e.to_string()))?;
    if header.schema_version != 1 {
        return Err(garbled(format!("version {} is unknown; a newer regc wrote it", header.schema_version)));
    }
    let entries = lines.map(|line| {
        let entry: Entry = serde_json::from_slice(line).map_err(|error| garbled(error.to_string()))?;
        // A restore puts what a journal names at the path that it gives: only where the registry keeps such a thing.
        match entry.is_consistent() {
            true => Ok(entry),
            false => Err(garbled(format!("{:?} is not where the registry keeps such a thing", entry.path))),
        }
    });
    Ok((header.clone(), entries.collect::<Result<_, _>>()?))
}

/// Which runs of the trash are meant.
#[derive(Clone, Copy, Debug)]
pub enum Runs<'a> {
    /// Every run.
    All,
    /// Those of these names; none if there is no name.
    Named(&'a [String]),
}

impl Runs<'_> {
    fn contains(self, run: &str) -> bool {
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
    /// Why other runs are still there, at least in part.
    pub failures: Vec<Error>,
    /// Whether the monitor stopped it between two runs.
    pub interrupted: bool,
}

/// Deletes what runs have moved, for good. With `before`, in seconds since 1970, only runs that began earlier are deleted. A
/// run whose journal cannot be read has no known age; with `before`, it is deleted only if nothing else is left of it. A run
/// that is being restored is deleted only without `before`. `None` for the lock changes nothing: a dry run.
///
/// Fails with [`Error::NoSuchRun`] before anything is deleted if a named run is not in the trash.
pub fn empty(
    storage: &dyn TrashStorage,
    lock: Option<&Lock>,
    meant: Runs<'_>,
    before: Option<u64>,
    monitor: &dyn Monitor,
) -> Result<Emptied, Error> {
    let mut emptied = Emptied::default();
    let runs = list(storage)?;
    if let Runs::Named(names) = meant
        && let Some(absent) = names.iter().find(|name| !runs.iter().any(|run| run.run == **name))
    {
        return Err(Error::NoSuchRun(absent.clone()));
    }
    let meant: Vec<TrashedRun> = runs.into_iter().filter(|run| meant.contains(&run.run)).collect();
    monitor.phase(Phase::EmptyTrash, Some(meant.len() as u64));
    for run in meant {
        if monitor.is_stopped() {
            emptied.interrupted = true;
            break;
        }
        monitor.advance(1);
        let is_wanted = match (before, &run.header) {
            (None, _) => true,
            (Some(_), _) if run.restoring => false,
            (Some(before), Some(header)) => header.started < before,
            (Some(_), None) => run.objects == 0,
        };
        match is_wanted.then(|| if lock.is_some() { forget(storage, &run.run) } else { Ok(()) }) {
            Some(Ok(())) => emptied.runs.push(run),
            Some(Err(error)) => emptied.failures.push(error),
            None => {}
        }
    }
    Ok(emptied)
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
