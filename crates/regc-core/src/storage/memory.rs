//! A registry's storage in memory, for tests and for tools that assemble one.

use std::collections::BTreeSet;
use std::collections::btree_map::{self, BTreeMap};
use std::io;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::{Content, DeleteStorage, Entry, EntryKind, Metadata, Moved, ReadStorage, Removal, Removing, TrashStorage};
use crate::error::Error;
use crate::storage::lock::{Holder, Lock};

/// Objects by key, as an object store has them: a directory is there while a key lies below it.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    objects: RwLock<BTreeMap<String, Vec<u8>>>,
    held_by: Mutex<Option<(Weak<()>, Holder)>>,
}

impl MemoryStorage {
    /// All keys, sorted.
    pub fn keys(&self) -> Vec<String> {
        self.objects().keys().cloned().collect()
    }

    fn objects(&self) -> RwLockReadGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.objects.read()
    }
}

impl<K: Into<String>, C: Into<Vec<u8>>> FromIterator<(K, C)> for MemoryStorage {
    fn from_iter<I: IntoIterator<Item = (K, C)>>(objects: I) -> Self {
        let objects = objects.into_iter().map(|(key, content)| (key.into(), content.into())).collect();
        Self { objects: RwLock::new(objects), held_by: Mutex::default() }
    }
}

/// Whether an object is too young to be removed: all of them are as old as can be.
fn is_late(unless_modified_since: Option<SystemTime>) -> bool {
    unless_modified_since.is_some_and(|since| since <= UNIX_EPOCH)
}

/// How long the parts are in which objects are read.
const PART_BYTES: usize = 64 << 10;

/// The keys below a directory.
fn below<'a>(objects: &'a BTreeMap<String, Vec<u8>>, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    objects
        .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
        .map(|(key, _)| key.as_str())
        .take_while(move |key| key.starts_with(prefix))
}

impl ReadStorage for MemoryStorage {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let objects = self.objects();
        let entries: BTreeSet<(&str, EntryKind)> = below(&objects, &prefix)
            .map(|key| match key[prefix.len()..].split_once('/') {
                Some((name, _)) => (name, EntryKind::Directory),
                None => (&key[prefix.len()..], EntryKind::File),
            })
            .collect();
        for (name, kind) in &entries {
            visit(Entry { name, kind: *kind, symlink: false });
        }
        Ok(!entries.is_empty())
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        Ok(self.objects().get(key).map(|content| {
            if content.len() as u64 > limit { Content::TooLarge } else { Content::Whole(content.clone()) }
        }))
    }

    fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
        let read = |content: &Vec<u8>| content.chunks(PART_BYTES).try_for_each(&mut *visit);
        Ok(self.objects().get(key).map(read).is_some())
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        let objects = self.objects();
        if let Some(content) = objects.get(key) {
            let bytes = content.len() as u64;
            let kind = EntryKind::File;
            return Ok(Some(Metadata {
                kind,
                bytes,
                symlink: false,
                modified: UNIX_EPOCH,
                owner: None,
                device: None,
                directories: None,
                hard_linked: false,
            }));
        }
        let is_directory = below(&objects, &format!("{key}/")).next().is_some();
        let kind = EntryKind::Directory;
        let metadata = Metadata {
            kind,
            bytes: 0,
            symlink: false,
            modified: UNIX_EPOCH,
            owner: None,
            device: None,
            directories: None,
            hard_linked: false,
        };
        Ok(is_directory.then_some(metadata))
    }
}

impl DeleteStorage for MemoryStorage {
    fn remove(&self, keys: &[String], how: &Removing<'_>) -> Vec<Removal> {
        let mut objects = self.objects.write();
        let remove = |key: &String| {
            if is_late(how.unless_modified_since) && objects.contains_key(key) {
                return Removal::Spared;
            }
            let removed = objects.remove(key);
            objects.extend(how.into.zip(removed).map(|(into, content)| (format!("{into}/{key}"), content)));
            Removal::Done
        };
        keys.iter().map(remove).collect()
    }

    fn remove_empty_directories(&self, directories: &[String], _: Option<SystemTime>) -> Vec<Result<(), Error>> {
        directories.iter().map(|_| Ok(())).collect()
    }

    fn lock(&self, holder: &Holder) -> Result<Lock, Error> {
        let mut held_by = self.held_by.lock();
        if let Some(holder) = held_by.as_ref().filter(|(held, _)| held.strong_count() > 0).map(|(_, holder)| holder) {
            return Err(Error::Locked { path: "the storage".to_owned(), holder: holder.to_string() });
        }
        let held = Arc::new(());
        *held_by = Some((Arc::downgrade(&held), holder.clone()));
        // Everything is as old as can be, so a moment later is new.
        Ok(Lock::new(UNIX_EPOCH + Duration::from_secs(1), held))
    }

    fn check_removable(&self, _: &str, _: bool) -> Result<(), Error> {
        Ok(())
    }
}

impl TrashStorage for MemoryStorage {
    fn create(&self, key: &str, write: &mut dyn FnMut(&mut dyn io::Write) -> io::Result<()>) -> Result<(), Error> {
        let fail = |error| Error::storage("write", key.to_owned(), error);
        let mut content = Vec::new();
        write(&mut content).map_err(fail)?;
        match self.objects.write().entry(key.to_owned()) {
            btree_map::Entry::Occupied(_) => Err(fail(io::ErrorKind::AlreadyExists.into())),
            btree_map::Entry::Vacant(vacant) => {
                vacant.insert(content);
                Ok(())
            }
        }
    }

    fn move_object(&self, from: &str, to: &str, _: &str) -> Result<Moved, Error> {
        let mut objects = self.objects.write();
        if !objects.contains_key(from) {
            return Ok(Moved::Absent);
        }
        if objects.contains_key(to) {
            return Ok(Moved::Exists);
        }
        let moved = objects.remove(from);
        objects.extend(moved.map(|content| (to.to_owned(), content)));
        Ok(Moved::Done)
    }

    fn replace(
        &self,
        from: &str,
        to: &str,
        into: &str,
        unless_modified_since: Option<SystemTime>,
    ) -> Result<bool, Error> {
        let mut objects = self.objects.write();
        if is_late(unless_modified_since) && objects.contains_key(to) {
            return Ok(false);
        }
        let absent = || Error::storage("replace", to.to_owned(), io::ErrorKind::NotFound.into());
        let content = objects.remove(from).ok_or_else(absent)?;
        let replaced = objects.insert(to.to_owned(), content);
        objects.extend(replaced.map(|replaced| (format!("{into}/{to}"), replaced)));
        Ok(true)
    }

    fn remove_all(&self, key: &str) -> Result<(), Error> {
        let prefix = format!("{key}/");
        self.objects.write().retain(|object, _| object != key && !object.starts_with(&prefix));
        Ok(())
    }
}
