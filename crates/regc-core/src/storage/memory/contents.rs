//! The contents of a storage in memory: objects, and directories if it has any.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::{Duration, SystemTime};

use super::parent;
use crate::storage::EntryKind;

/// An object.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) content: Vec<u8>,
    pub(super) modified: SystemTime,
}

/// Objects by key, and directories with the time of their last change.
#[derive(Debug)]
pub(super) struct Contents {
    objects: BTreeMap<String, Object>,
    /// `None` if there are only prefixes of keys.
    directories: Option<BTreeMap<String, SystemTime>>,
    /// The time of the last change.
    last: SystemTime,
}

impl Contents {
    /// Creates the contents of an empty storage with directories.
    pub(super) fn new() -> Self {
        let now = SystemTime::now();
        Self { objects: BTreeMap::new(), directories: Some(BTreeMap::from([(String::new(), now)])), last: now }
    }

    pub(super) fn forget_directories(&mut self) {
        self.directories = None;
    }

    /// Returns the time, later with every call.
    pub(super) fn now(&mut self) -> SystemTime {
        self.last = SystemTime::now().max(self.last + Duration::from_nanos(1));
        self.last
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.objects.keys()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Whether there is an object that was modified at this time or later.
    pub(super) fn is_recent(&self, key: &str, since: Option<SystemTime>) -> bool {
        self.get(key).zip(since).is_some_and(|(object, since)| object.modified >= since)
    }

    /// Returns the objects below a directory, at any depth.
    pub(super) fn below(&self, directory: &str) -> impl Iterator<Item = (&str, &Object)> {
        let prefix = prefix(directory);
        let from = (Bound::Included(prefix.clone()), Bound::Unbounded);
        let objects = self.objects.range(from).take_while(move |(key, _)| key.starts_with(&prefix));
        objects.map(|(key, object)| (key.as_str(), object))
    }

    /// Returns whether a directory exists, and the names directly in it.
    pub(super) fn names_in(&self, directory: &str) -> (bool, BTreeSet<(String, EntryKind)>) {
        let prefix = prefix(directory);
        let mut names: BTreeSet<(String, EntryKind)> = self
            .below(directory)
            .map(|(key, _)| match key[prefix.len()..].split_once('/') {
                Some((name, _)) => (name.to_owned(), EntryKind::Directory),
                None => (key[prefix.len()..].to_owned(), EntryKind::File),
            })
            .collect();
        names.extend(self.directories_below(directory).map(|below| {
            let below = &below[prefix.len()..];
            (below.split_once('/').map_or(below, |(name, _)| name).to_owned(), EntryKind::Directory)
        }));
        (!names.is_empty() || self.directory(directory).is_some(), names)
    }

    /// Looks up a directory. Returns the time of its last change, if it has one.
    pub(super) fn directory(&self, key: &str) -> Option<Option<SystemTime>> {
        match &self.directories {
            Some(directories) => directories.get(key).copied().map(Some),
            None => self.below(key).next().map(|_| None),
        }
    }

    /// Writes an object, and replaces what is at the key.
    pub(super) fn write(&mut self, key: String, content: Vec<u8>) {
        let modified = self.now();
        match self.objects.get_mut(&key) {
            Some(object) => *object = Object { content, modified },
            None => self.insert(key, Object { content, modified }),
        }
    }

    /// Adds an object, and the directories that it needs.
    pub(super) fn insert(&mut self, key: String, object: Object) {
        self.make_directory(parent(&key));
        self.touch(parent(&key));
        self.objects.insert(key, object);
    }

    /// Removes an object. Its directory stays.
    pub(super) fn take(&mut self, key: &str) -> Option<Object> {
        let taken = self.objects.remove(key)?;
        self.touch(parent(key));
        Some(taken)
    }

    pub(super) fn make_directory(&mut self, directory: &str) {
        let now = self.now();
        let Some(directories) = &mut self.directories else { return };
        let mut directory = directory;
        while directories.insert(directory.to_owned(), now).is_none() {
            directory = parent(directory);
        }
    }

    /// Removes a directory if nothing is in it. Returns whether it did.
    pub(super) fn remove_empty_directory(&mut self, directory: &str) -> bool {
        let is_empty = self.below(directory).next().is_none() && self.directories_below(directory).next().is_none();
        let removed = self.directories.as_mut().filter(|_| is_empty).and_then(|all| all.remove(directory));
        if removed.is_some() {
            self.touch(parent(directory));
        }
        removed.is_some()
    }

    /// Removes an object, or a directory with all that is in it.
    pub(super) fn remove_all(&mut self, key: &str) {
        let prefix = prefix(key);
        let stays = |other: &String| other != key && !other.starts_with(&prefix);
        self.objects.retain(|object, _| stays(object));
        if let Some(directories) = &mut self.directories {
            directories.retain(|directory, _| stays(directory));
        }
        self.touch(parent(key));
    }

    /// Records that something was added to a directory, or removed from it.
    fn touch(&mut self, directory: &str) {
        let now = self.now();
        if let Some(modified) = self.directories.as_mut().and_then(|directories| directories.get_mut(directory)) {
            *modified = now;
        }
    }

    fn directories_below(&self, directory: &str) -> impl Iterator<Item = &str> {
        let prefix = prefix(directory);
        let from = (Bound::Excluded(prefix.clone()), Bound::Unbounded);
        let directories = self.directories.iter().flat_map(move |directories| directories.range(from.clone()));
        directories.map(|(key, _)| key.as_str()).take_while(move |key| key.starts_with(&prefix))
    }
}

/// Returns the prefix of the keys below a directory.
fn prefix(directory: &str) -> String {
    if directory.is_empty() { String::new() } else { format!("{directory}/") }
}
