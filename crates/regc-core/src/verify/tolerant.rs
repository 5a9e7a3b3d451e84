//! Storage that continues where a collection would stop, and records why.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::error::Error;
use crate::registry::layout::{self, Holds};
use crate::storage::{Content, Entry, EntryKind, Metadata, PosixMetadata, PosixStorage, ReadStorage};
use crate::sync::Mutex;

/// The issues met on the way.
#[derive(Debug, Default)]
pub(super) struct Issues {
    /// Dangling symbolic links.
    pub(super) broken_symlinks: BTreeSet<String>,
    /// What cannot be read, and why.
    pub(super) failed: BTreeMap<String, String>,
    /// Names that are not part of the layout.
    pub(super) foreign: BTreeSet<String>,
    /// What the user that the registry runs as cannot read.
    pub(super) unreadable: BTreeSet<String>,
}

/// Storage in which what cannot be read counts as absent. It is read-only, so nothing is lost by that.
pub(super) struct Tolerant<'a> {
    inner: &'a dyn ReadStorage,
    /// The user and group that the registry runs as, as far as known.
    reader: Option<(u32, u32)>,
    met: Mutex<Issues>,
}

impl<'a> Tolerant<'a> {
    /// Wraps a storage. The registry is assumed to run as the owner of its directory.
    pub(super) fn new(inner: &'a dyn ReadStorage) -> Result<Self, Error> {
        let owner = inner.stat(layout::ROOT)?.and_then(|root| root.posix).map(|posix| posix.owner);
        let reader = owner.map(|owner| (owner.user, owner.group)).filter(|(user, _)| *user != 0);
        Ok(Self { inner, reader, met: Mutex::default() })
    }

    pub(super) fn into_met(self) -> Issues {
        self.met.into_inner()
    }

    fn look(&self, key: &str, metadata: Option<Metadata>) -> Option<Metadata> {
        let metadata = metadata?;
        // What is next to the actual location of blobs is also checked under its own name.
        let has_own_name = !key.contains("/../");
        if metadata.kind == EntryKind::BrokenSymlink && !has_own_name {
            return None;
        }
        if metadata.kind == EntryKind::BrokenSymlink {
            self.met.lock().broken_symlinks.insert(key.to_owned());
            return None;
        }
        if has_own_name && !self.may_be_read(&metadata) {
            self.met.lock().unreadable.insert(key.to_owned());
        }
        Some(metadata)
    }

    /// Returns whether owners and modes are meaningful: not if the registry runs as root, or if its user is unknown.
    pub(super) fn asks_for_owners(&self) -> bool {
        self.reader.is_some()
    }

    fn may_be_read(&self, metadata: &Metadata) -> bool {
        let wanted = if metadata.kind == EntryKind::Directory { 0o5 } else { 0o4 };
        let permits = |((user, group), posix): ((u32, u32), PosixMetadata)| posix.owner.permits(user, group, wanted);
        self.reader.zip(metadata.posix).is_none_or(permits)
    }

    /// Passes on entries that may be in a directory, and records those that may not.
    fn sift(&self, directory: &str, holds: Option<Holds>, entry: Entry<'_>, visit: &mut dyn FnMut(Entry<'_>)) {
        let Some(holds) = holds else { return visit(entry) };
        let kind = if holds.is_directory(entry.name) { EntryKind::Directory } else { EntryKind::File };
        match holds.allows(entry.name) {
            true if entry.kind == kind => visit(entry),
            true if entry.kind == EntryKind::BrokenSymlink => {
                self.met.lock().broken_symlinks.insert(format!("{directory}/{}", entry.name));
            }
            _ => drop(self.met.lock().foreign.insert(format!("{directory}/{}", entry.name))),
        }
    }

    /// Returns whether a listed directory exists.
    fn listed(&self, directory: &str, listed: Result<bool, Error>) -> Result<bool, Error> {
        let is_there = self.tolerate(directory, listed, false)?;
        if !is_there || self.asks_for_owners() {
            // It may be a dangling symbolic link in a directory that is never listed.
            self.stat(directory)?;
        }
        Ok(is_there)
    }

    /// Scans directories of which nothing else needs to be known for names that do not belong there.
    pub(super) fn look_for_foreign(&self, directory: &str, directories: &[String]) -> Result<(), Error> {
        self.list_each(directory, directories, &mut |_, _| {}).into_iter().try_for_each(|listed| listed.map(drop))
    }

    fn stat_all(&self, directory: &str, keys: &[String]) -> Result<Vec<Option<Metadata>>, Error> {
        let Ok(found) = self.inner.stat_each(directory, keys) else {
            return keys.iter().map(|key| self.stat(&format!("{directory}/{key}"))).collect();
        };
        let is_as_usual = |metadata: &Metadata| metadata.kind != EntryKind::BrokenSymlink && self.may_be_read(metadata);
        let look = |(key, metadata): (&String, Option<Metadata>)| match metadata {
            Some(metadata) if is_as_usual(&metadata) => Some(metadata),
            metadata => self.look(&format!("{directory}/{key}"), metadata),
        };
        Ok(keys.iter().zip(found).map(look).collect())
    }

    /// Returns the answer; `absent` if it failed, or led through a dangling symbolic link.
    fn tolerate<T>(&self, key: &str, answer: Result<T, Error>, absent: T) -> Result<T, Error> {
        match answer {
            Err(Error::BrokenSymlink(link)) => {
                self.met.lock().broken_symlinks.insert(link);
                Ok(absent)
            }
            Err(Error::Storage { source, .. }) => {
                self.met.lock().failed.insert(key.to_owned(), source.to_string());
                Ok(absent)
            }
            answer => answer,
        }
    }
}

impl ReadStorage for Tolerant<'_> {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        let holds = Holds::of(directory);
        let listed = self.inner.list(directory, &mut |entry| self.sift(directory, holds, entry, visit));
        self.listed(directory, listed)
    }

    fn list_each(
        &self,
        directory: &str,
        directories: &[String],
        visit: &mut dyn FnMut(usize, Entry<'_>),
    ) -> Vec<Result<bool, Error>> {
        let keys: Vec<String> = directories.iter().map(|below| format!("{directory}/{below}")).collect();
        let holds: Vec<Option<Holds>> = keys.iter().map(|key| Holds::of(key)).collect();
        let listed = self.inner.list_each(directory, directories, &mut |number, entry| {
            self.sift(&keys[number], holds[number], entry, &mut |entry| visit(number, entry));
        });
        keys.iter().zip(listed).map(|(key, listed)| self.listed(key, listed)).collect()
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        self.tolerate(key, self.inner.read(key, limit), None)
    }

    fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
        self.tolerate(key, self.inner.read_in_parts(key, visit), false)
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        // The registry does not need to read regc's own files.
        if key.starts_with(layout::OWN) {
            return self.inner.stat(key);
        }
        let metadata = self.tolerate(key, self.inner.stat(key), None)?;
        Ok(self.look(key, metadata))
    }

    fn read_each(
        &self,
        directory: &str,
        keys: &[String],
        limit: u64,
        visit: &mut dyn FnMut(Option<Content>),
    ) -> Result<(), Error> {
        let mut visited = 0;
        let read = self.inner.read_each(directory, keys, limit, &mut |content| {
            visited += 1;
            visit(content);
        });
        if read.is_err() {
            // One of them cannot be read; those after it can.
            for key in &keys[visited..] {
                visit(self.read(&format!("{directory}/{key}"), limit)?);
            }
        }
        Ok(())
    }

    fn stat_each(&self, directory: &str, keys: &[String]) -> Result<Vec<Option<Metadata>>, Error> {
        if self.asks_for_owners() {
            // Reading a file requires access to its directory, too.
            let above: Vec<String> = keys.iter().filter_map(|key| Some(key.rsplit_once('/')?.0.to_owned())).collect();
            self.stat_all(directory, &above)?;
        }
        self.stat_all(directory, keys)
    }

    fn bytes_below(&self, directory: &str, is_left_out: &dyn Fn(&str) -> bool) -> Result<u64, Error> {
        self.inner.bytes_below(directory, is_left_out)
    }

    fn as_posix(&self) -> Option<&dyn PosixStorage> {
        self.inner.as_posix()
    }
}
