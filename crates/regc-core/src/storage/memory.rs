//! A registry's storage in memory, for tests and for tools that assemble one.

mod contents;

use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use self::contents::{Contents, Object};
use super::{
    Content, DeleteStorage, Entry, Metadata, Moved, Object as Listed, ReadStorage, Removal, Removing, TrashStorage,
};
use crate::error::Error;
use crate::storage::lock::{Holder, Lock};
use crate::sync::{Mutex, RwLock};

/// Objects by key, each with the time at which it was written.
///
/// By default it has directories, as a file system does: they are created for objects, have their own times, and remain
/// when what is in them is deleted. [`without_directories`](Self::without_directories) makes it flat, like a bucket: a
/// directory is a prefix of keys, without a time.
#[derive(Debug)]
pub struct MemoryStorage {
    contents: RwLock<Contents>,
    held_by: Mutex<Option<(Weak<()>, Holder)>>,
}

impl MemoryStorage {
    /// Returns all keys, sorted.
    pub fn keys(&self) -> Vec<String> {
        self.contents.read().keys().cloned().collect()
    }

    /// Writes an object, and replaces what is at the key.
    pub fn put(&self, key: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.contents.write().write(key.into(), content.into());
    }

    /// Creates a directory, and those above it, if the storage has directories.
    pub fn make_directory(&self, directory: &str) {
        self.contents.write().make_directory(directory);
    }

    /// Returns the same objects without directories.
    pub fn without_directories(self) -> Self {
        self.contents.write().forget_directories();
        self
    }
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self { contents: RwLock::new(Contents::new()), held_by: Mutex::default() }
    }
}

impl<K: Into<String>, C: Into<Vec<u8>>> FromIterator<(K, C)> for MemoryStorage {
    fn from_iter<I: IntoIterator<Item = (K, C)>>(objects: I) -> Self {
        let storage = Self::default();
        objects.into_iter().for_each(|(key, content)| storage.put(key, content));
        storage
    }
}

/// The length of the parts in which objects are read, in bytes.
const PART_BYTES: usize = 64 << 10;

impl ReadStorage for MemoryStorage {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        let (is_there, names) = self.contents.read().names_in(directory);
        for (name, kind) in &names {
            visit(Entry { name, kind: *kind, symlink: false });
        }
        Ok(is_there)
    }

    fn walk(&self, directory: &str, visit: &mut dyn FnMut(Listed<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        let listed = |(key, object): (&str, &Object)| (key.to_owned(), object.content.len() as u64, object.modified);
        // Without the lock: a visitor may call the storage.
        let below: Vec<_> = self.contents.read().below(directory).map(listed).collect();
        let mut each = below.iter();
        let visit = |(key, bytes, modified): &(String, u64, SystemTime)| {
            visit(Listed { key, bytes: *bytes, modified: Some(*modified) })
        };
        let _ = each.try_for_each(visit);
        Ok(())
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        Ok(self.contents.read().get(key).map(|Object { content, .. }| {
            if content.len() as u64 > limit { Content::TooLarge } else { Content::Whole(content.clone()) }
        }))
    }

    fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
        let content = self.contents.read().get(key).map(|object| object.content.clone());
        Ok(content.map(|content| content.chunks(PART_BYTES).try_for_each(visit)).is_some())
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        let contents = self.contents.read();
        let object = contents.get(key).map(|object| {
            let Object { content, modified } = object;
            Metadata::object(content.len() as u64, Some(*modified))
        });
        Ok(object.or_else(|| contents.directory(key).map(Metadata::directory)))
    }
}

impl DeleteStorage for MemoryStorage {
    fn remove(&self, keys: &[String], how: &Removing<'_>) -> Vec<Removal> {
        let mut contents = self.contents.write();
        let remove = |key: &String| {
            if contents.is_recent(key, how.unless_modified_since) {
                return Removal::Spared;
            }
            if let Some(removed) = contents.take(key) {
                if let Some(into) = how.into {
                    contents.insert(format!("{into}/{key}"), removed);
                }
                if !how.leave_directory {
                    contents.remove_empty_directory(parent(key));
                }
            }
            Removal::Done
        };
        keys.iter().map(remove).collect()
    }

    fn remove_empty_directories(&self, directories: &[String], since: Option<SystemTime>) -> Vec<Result<(), Error>> {
        let mut contents = self.contents.write();
        let remove = |directory: &String| {
            let modified = contents.directory(directory).flatten();
            if since.zip(modified).is_none_or(|(since, modified)| modified < since) {
                contents.remove_empty_directory(directory);
            }
            Ok(())
        };
        directories.iter().map(remove).collect()
    }

    fn lock(&self, holder: &Holder) -> Result<Lock, Error> {
        let mut held_by = self.held_by.lock();
        if let Some(holder) = held_by.as_ref().filter(|(held, _)| held.strong_count() > 0).map(|(_, holder)| holder) {
            return Err(Error::Locked { path: "the storage".to_owned(), holder: holder.to_string() });
        }
        let held = Arc::new(());
        *held_by = Some((Arc::downgrade(&held), holder.clone()));
        Ok(Lock::new(self.contents.write().now(), held))
    }

    fn as_trash(&self) -> Option<&dyn TrashStorage> {
        Some(self)
    }
}

impl TrashStorage for MemoryStorage {
    fn create(&self, key: &str, write: &mut dyn FnMut(&mut dyn io::Write) -> io::Result<()>) -> Result<(), Error> {
        let fail = |error| Error::storage("write", key.to_owned(), error);
        let mut content = Vec::new();
        write(&mut content).map_err(fail)?;
        let mut contents = self.contents.write();
        if contents.get(key).is_some() {
            return Err(fail(io::ErrorKind::AlreadyExists.into()));
        }
        contents.write(key.to_owned(), content);
        Ok(())
    }

    fn move_object(&self, from: &str, to: &str, below: &str) -> Result<Moved, Error> {
        let mut contents = self.contents.write();
        if contents.get(to).is_some() && contents.get(from).is_some() {
            return Ok(Moved::Exists);
        }
        let Some(moved) = contents.take(from) else { return Ok(Moved::Absent) };
        contents.insert(to.to_owned(), moved);
        let mut emptied = parent(from);
        while emptied.len() > below.len() && contents.remove_empty_directory(emptied) {
            emptied = parent(emptied);
        }
        Ok(Moved::Done)
    }

    fn replace(
        &self,
        from: &str,
        to: &str,
        into: &str,
        unless_modified_since: Option<SystemTime>,
    ) -> Result<bool, Error> {
        let mut contents = self.contents.write();
        if contents.is_recent(to, unless_modified_since) {
            return Ok(false);
        }
        let absent = || Error::storage("replace", to.to_owned(), io::ErrorKind::NotFound.into());
        let object = contents.take(from).ok_or_else(absent)?;
        if let Some(replaced) = contents.take(to) {
            contents.insert(format!("{into}/{to}"), replaced);
        }
        contents.insert(to.to_owned(), object);
        Ok(true)
    }

    fn remove_all(&self, key: &str) -> Result<(), Error> {
        self.contents.write().remove_all(key);
        Ok(())
    }
}

/// Returns the directory that a key is in.
fn parent(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(parent, _)| parent)
}
