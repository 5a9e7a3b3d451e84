//! Restoring what was moved to the trash.

use std::collections::HashSet;

use rayon::prelude::*;

use super::journal::{REPAIR, read_journal};
use super::selection::Selection;
use super::{Entry, Kind, directory, forget_if_empty, is_below_blobs, is_blob, restoring};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout::{self, Location};
use crate::storage::hash::hash;
use crate::storage::lock::{Access, Locked};
use crate::storage::{Content, Moved, ReadStorage, TrashStorage, symlink_between};
use crate::threads::with_threads;

/// The result of a restore.
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "it says what failed and what is missing"]
pub struct Restored {
    /// What is restored, or would be: blobs first, then what refers to them.
    pub restored: Vec<Entry>,
    /// What the registry already has. It stays in the trash.
    pub already_there: Vec<Entry>,
    /// What conflicts with the registry: a tag that now names another manifest, or content that does not match its
    /// digest. It stays in the trash.
    pub conflicting: Vec<Entry>,
    /// Content that is neither in the trash nor in the registry, and links that would be dangling, which stay in the
    /// trash.
    pub missing: Vec<Entry>,
    /// What failed.
    pub failures: Vec<Error>,
    /// Whether the monitor stopped the restore before it was complete. The rest stays in the trash.
    pub interrupted: bool,
}

impl Restored {
    /// Whether everything that was requested is in the registry now, or would be.
    pub fn is_complete(&self) -> bool {
        self.conflicting.is_empty() && self.is_done()
    }

    /// Whether another restore of the same would change nothing.
    fn is_done(&self) -> bool {
        self.missing.is_empty() && self.failures.is_empty() && !self.interrupted
    }
}

/// The order of a push: content, and then what refers to it.
const ORDER: [Kind; 7] =
    [Kind::Blob, Kind::LayerLink, Kind::Revision, Kind::Tag, Kind::TagIndexEntry, Kind::Upload, Kind::File];

/// Restores what a run moved to the trash: all of it, or what `selection` names. Nothing is overwritten, no blob is
/// restored whose content does not match its digest, and no link is restored before what it refers to: a layer link or
/// revision needs its blob, a tag the manifest that it names. A link that a repair removed is restored even if it is
/// dangling. A read-only storage is not changed: a dry run.
///
/// From the first change until everything is restored, a collection keeps everything that the run removed, even if this
/// process is killed. If something is missing or fails, this lasts until a restore of the whole run is complete, or the
/// run is [emptied](super::empty): a partial restore does not know what an earlier one left.
///
/// Fails before anything is moved if there is no such run, if something that is selected is not in it, or with
/// [`Error::Interrupted`] if the monitor stops it.
pub fn restore(
    access: Access<'_>,
    run: &str,
    selection: Option<&Selection>,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<Restored, Error> {
    let storage = access.storage();
    let to_change = access.locked().map(Locked::trash).transpose()?;
    let (header, mut entries) = read_journal(storage, run)?;
    // Children before parents, content before links.
    entries.reverse();
    with_threads(jobs, || {
        let trash = Trash { storage, to_change, run };
        if let Some(selection) = selection {
            entries = trash.select(entries, selection)?;
        }
        let was_restoring = restoring::is_restoring(storage, run)?;
        monitor.check()?;
        if let Some(to_change) = to_change {
            restoring::begin(to_change, run)?;
        }
        let mut restoration = Restoration {
            trash,
            monitor,
            is_repair: header.command == REPAIR,
            back: HashSet::new(),
            done: Restored::default(),
        };
        monitor.phase(Phase::Restore, Some(entries.len() as u64));
        ORDER.into_iter().for_each(|kind| restoration.of_kind(kind, &entries));
        let mut restored = restoration.done;
        // A move that failed may have happened all the same.
        let may_have_changed = to_change.is_some() && !(restored.restored.is_empty() && restored.failures.is_empty());
        let is_stopped_before_any_change = restored.interrupted && !may_have_changed;
        if let Some(to_change) = to_change {
            // A partial restore does not know what an earlier one left.
            let is_all = selection.is_none() || !was_restoring;
            if restored.is_done() && is_all || is_stopped_before_any_change && !was_restoring {
                restored.failures.extend(restoring::end(to_change, run).err());
            }
            if restored.is_done() {
                restored.failures.extend(forget_if_empty(to_change, run).err());
            }
        }
        if is_stopped_before_any_change { Err(Error::Interrupted) } else { Ok(restored) }
    })
}

/// A restore in progress.
struct Restoration<'a> {
    trash: Trash<'a>,
    monitor: &'a dyn Monitor,
    /// Whether the run was a repair, which removes dangling links: restored, they dangle again.
    is_repair: bool,
    /// The keys that are restored, or would be in a dry run.
    back: HashSet<String>,
    done: Restored,
}

/// What became of one object.
enum Came {
    Back,
    /// The registry already has it.
    There,
    /// The registry has something else instead.
    Conflicting,
    /// It is nowhere, or it is in the trash and what it refers to is nowhere.
    Missing,
    /// It was put back before, or never moved.
    Gone,
}

impl Restoration<'_> {
    fn of_kind(&mut self, kind: Kind, entries: &[Entry]) {
        let of_kind: Vec<&Entry> = entries.iter().filter(|entry| entry.kind == kind).collect();
        let results: Vec<Result<Came, Error>> = match kind {
            Kind::Revision => of_kind.iter().map(|entry| self.put_back(entry)).collect(),
            _ => of_kind.par_iter().map(|entry| self.put_back(entry)).collect(),
        };
        for (entry, result) in of_kind.into_iter().zip(results) {
            match result {
                Ok(Came::Back) => {
                    self.back.insert(entry.path.clone());
                    self.done.restored.push(entry.clone());
                }
                Ok(Came::There) => self.done.already_there.push(entry.clone()),
                Ok(Came::Conflicting) => self.done.conflicting.push(entry.clone()),
                Ok(Came::Missing) => self.done.missing.push(entry.clone()),
                Ok(Came::Gone) => {}
                Err(Error::Interrupted) => self.done.interrupted = true,
                Err(error) => self.done.failures.push(error),
            }
        }
    }

    fn put_back(&self, entry: &Entry) -> Result<Came, Error> {
        self.monitor.check()?;
        self.monitor.advance(1);
        if !self.is_repair && self.trash.has(entry)? && !self.leads_somewhere(entry)? {
            return Ok(Came::Missing);
        }
        Ok(match self.trash.put_back(&entry.path, entry.digest.as_ref(), self.monitor)? {
            Moved::Done => Came::Back,
            Moved::Exists if self.is_same(entry)? => Came::There,
            Moved::Exists => Came::Conflicting,
            // The journal is written before anything is moved: what was never moved is still there.
            Moved::Absent if entry.kind == Kind::Blob && !self.is_there(&entry.path)? => Came::Missing,
            Moved::Absent => Came::Gone,
        })
    }

    /// Whether the registry has the same as the trash: a link with the same text, or content that matches its digest.
    fn is_same(&self, entry: &Entry) -> Result<bool, Error> {
        let storage = self.trash.storage;
        match (entry.kind, &entry.digest) {
            (Kind::Blob, Some(digest)) => {
                Ok(hash(storage, &entry.path, digest.algorithm(), self.monitor)?.as_ref() == Some(digest))
            }
            (Kind::Tag | Kind::Revision | Kind::LayerLink, _) => {
                let limit = layout::link_bytes(Algorithm::Sha512);
                Ok(storage.read(&entry.path, limit)? == storage.read(&self.trash.key(&entry.path), limit)?)
            }
            _ => Ok(true),
        }
    }

    /// Whether what a link refers to exists. An entry in a tag's index and a link to a referrer are only records, and
    /// need nothing.
    fn leads_somewhere(&self, entry: &Entry) -> Result<bool, Error> {
        match (entry.kind, &entry.repository, entry.digest) {
            (Kind::LayerLink, _, Some(digest)) => self.has_content(&entry.path, &digest),
            (Kind::Revision, _, Some(digest)) => {
                let digest = Location::parse(&entry.path).and_then(|location| location.digest()).unwrap_or(digest);
                self.has_content(&entry.path, &digest)
            }
            (Kind::Tag, Some(repository), Some(digest)) => Ok(self
                .is_there(&layout::revision_link(repository, &digest))?
                || self.is_there(&layout::layer_link(repository, &digest))?),
            _ => Ok(true),
        }
    }

    /// Whether a link's content exists. A link of another algorithm than SHA-256 may name the digest under which the
    /// content is stored.
    fn has_content(&self, link: &str, digest: &Digest) -> Result<bool, Error> {
        if self.is_there(&layout::blob_data(digest))? {
            return Ok(true);
        }
        if digest.algorithm() == Algorithm::Sha256 {
            return Ok(false);
        }
        let text = self.trash.storage.read(&self.trash.key(link), layout::link_bytes(Algorithm::Sha512))?;
        let Some(Content::Whole(text)) = text else { return Ok(false) };
        layout::digest_in_link(&text).map_or(Ok(false), |target| self.is_there(&layout::blob_data(&target)))
    }

    fn is_there(&self, key: &str) -> Result<bool, Error> {
        Ok(self.back.contains(key) || self.trash.storage.stat(key)?.is_some())
    }
}

/// The trash of one run.
pub(crate) struct Trash<'a> {
    pub(crate) storage: &'a dyn ReadStorage,
    /// The same storage, unless it may only be read.
    pub(crate) to_change: Option<&'a dyn TrashStorage>,
    pub(crate) run: &'a str,
}

impl Trash<'_> {
    pub(super) fn key(&self, path: &str) -> String {
        format!("{}/{path}", directory(self.run))
    }

    fn has(&self, entry: &Entry) -> Result<bool, Error> {
        Ok(self.storage.stat(&self.key(&entry.path))?.is_some())
    }

    /// Moves an object back, or, if the storage may only be read, finds out whether that is possible.
    ///
    /// Fails with [`Error::Interrupted`] if the monitor stops the hashing of its content.
    pub(crate) fn put_back(&self, path: &str, digest: Option<&Digest>, monitor: &dyn Monitor) -> Result<Moved, Error> {
        let key = self.key(path);
        // A blob whose directory was a symbolic link is restored as that link.
        let whole = [&key, path].map(|key| key.rsplit_once('/').map_or(key, |(directory, _)| directory));
        let is_link = is_blob(path) && self.storage.stat(whole[0])?.is_some_and(|directory| directory.symlink);
        let (from, to) = if is_link { (whole[0], whole[1]) } else { (&*key, path) };
        let Some(metadata) = self.storage.stat(from)? else { return Ok(Moved::Absent) };
        self.refuse_detours(from, to)?;
        if self.storage.stat(to)?.is_some() {
            return Ok(Moved::Exists);
        }
        // What a symbolic link points to is elsewhere, and was never moved.
        if let Some(digest) = digest.filter(|_| is_blob(path) && !metadata.symlink) {
            self.check(&key, digest, monitor)?;
        }
        self.to_change.map_or(Ok(Moved::Done), |storage| storage.move_object(from, to, &directory(self.run)))
    }

    /// Fails if a symbolic link is on the way: a user who may write to the storage must not redirect regc, which may
    /// be root. Symbolic links that operators use, down to the directories of blobs, may be on the way to a blob.
    fn refuse_detours(&self, from: &str, to: &str) -> Result<(), Error> {
        let mut link = symlink_between(self.storage, layout::TRASH, from)?;
        if link.is_none() && !is_below_blobs(to) {
            link = symlink_between(self.storage, layout::REPOSITORIES, to)?;
        }
        link.map_or(Ok(()), |link| Err(Error::OwnSymlink(link)))
    }

    /// Fails unless the content at `key` matches `digest`.
    fn check(&self, key: &str, digest: &Digest, monitor: &dyn Monitor) -> Result<(), Error> {
        let actual = hash(self.storage, key, digest.algorithm(), monitor)?;
        if actual == Some(*digest) { Ok(()) } else { Err(Error::NotItsDigest(key.to_owned())) }
    }
}
