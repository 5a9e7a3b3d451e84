//! A registry's storage in memory, for tests and for tools that assemble one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use parking_lot::{RwLock, RwLockReadGuard};

use super::{Content, DeleteStorage, Entry, EntryKind, Metadata, ReadStorage, Removal};
use crate::error::Error;

/// Objects by key, as an object store has them: a directory is there while a key lies below it.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    objects: RwLock<BTreeMap<String, Vec<u8>>>,
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
        Self { objects: RwLock::new(objects) }
    }
}

/// The keys below a directory.
fn below<'a>(objects: &'a BTreeMap<String, Vec<u8>>, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    objects
        .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
        .map(|(key, _)| key.as_str())
        .take_while(move |key| key.starts_with(prefix))
}

impl ReadStorage for MemoryStorage {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        let prefix = format!("{directory}/");
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

    fn list_prefix(&self, prefix: &str) -> Result<Vec<String>, Error> {
        Ok(below(&self.objects(), &format!("{prefix}/")).map(str::to_owned).collect())
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        Ok(self.objects().get(key).map(|content| {
            if content.len() as u64 > limit { Content::TooLarge } else { Content::Whole(content.clone()) }
        }))
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        let objects = self.objects();
        if let Some(content) = objects.get(key) {
            return Ok(Some(Metadata { kind: EntryKind::File, bytes: content.len() as u64, symlink: false }));
        }
        let is_directory = below(&objects, &format!("{key}/")).next().is_some();
        Ok(is_directory.then_some(Metadata { kind: EntryKind::Directory, bytes: 0, symlink: false }))
    }
}

impl DeleteStorage for MemoryStorage {
    fn remove(&self, keys: &[String]) -> Vec<Removal> {
        let mut objects = self.objects.write();
        for key in keys {
            objects.remove(key);
        }
        keys.iter().map(|_| Removal::Done).collect()
    }

    fn remove_empty_directories(&self, directories: &[String]) -> Vec<Result<(), Error>> {
        directories.iter().map(|_| Ok(())).collect()
    }
}
