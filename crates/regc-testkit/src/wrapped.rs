//! Storage that fails on demand, and storage that records calls.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::SystemTime;

use regc_core::storage::lock::Lock;
use regc_core::storage::{
    Content, DeleteStorage, Entry, Metadata, Moved, Object, Owner, PosixMetadata, PosixStorage, ReadStorage, Removal,
    Removing, TrashStorage,
};
use regc_core::{Error, Holder};

/// A call to a [`Recording`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// The listing of one level of a directory, or of everything below it.
    List(String),
    /// The read of a whole object.
    Read(String),
    /// A query whether an object exists, and its size.
    Stat(String),
    /// The removal of an object.
    Remove(String),
}

/// Storage that records calls, in order.
pub struct Recording<S> {
    inner: S,
    operations: Mutex<Vec<Operation>>,
}

impl<S> Recording<S> {
    /// Records the calls to `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner, operations: Mutex::default() }
    }

    /// Returns the calls so far, in order.
    pub fn operations(&self) -> Vec<Operation> {
        self.operations.lock().unwrap().clone()
    }

    /// Returns the keys of the objects whose removal was requested, in order.
    pub fn removed(&self) -> Vec<String> {
        let removed = self.operations().into_iter().filter_map(|operation| match operation {
            Operation::Remove(key) => Some(key),
            _ => None,
        });
        removed.collect()
    }

    fn record(&self, operation: Operation) {
        self.operations.lock().unwrap().push(operation);
    }
}

impl<S: ReadStorage> ReadStorage for Recording<S> {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        self.record(Operation::List(directory.to_owned()));
        self.inner.list(directory, visit)
    }

    fn walk(&self, directory: &str, visit: &mut dyn FnMut(Object<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        self.record(Operation::List(directory.to_owned()));
        self.inner.walk(directory, visit)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        self.record(Operation::Read(key.to_owned()));
        self.inner.read(key, limit)
    }

    fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
        self.record(Operation::Read(key.to_owned()));
        self.inner.read_in_parts(key, visit)
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        self.record(Operation::Stat(key.to_owned()));
        self.inner.stat(key)
    }

    fn as_posix(&self) -> Option<&dyn PosixStorage> {
        self.inner.as_posix()
    }
}

impl<S: TrashStorage> DeleteStorage for Recording<S> {
    fn remove(&self, keys: &[String], how: &Removing<'_>) -> Vec<Removal> {
        let mut operations = self.operations.lock().unwrap();
        operations.extend(keys.iter().cloned().map(Operation::Remove));
        self.inner.remove(keys, how)
    }

    fn remove_empty_directories(&self, directories: &[String], since: Option<SystemTime>) -> Vec<Result<(), Error>> {
        self.inner.remove_empty_directories(directories, since)
    }

    fn lock(&self, holder: &Holder) -> Result<Lock, Error> {
        self.inner.lock(holder)
    }

    fn check_removable(&self, directory: &str, to_trash: bool) -> Result<(), Error> {
        self.inner.check_removable(directory, to_trash)
    }

    fn as_trash(&self) -> Option<&dyn TrashStorage> {
        Some(self)
    }
}

impl<S: TrashStorage> TrashStorage for Recording<S> {
    fn create(&self, key: &str, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        self.inner.create(key, write)
    }

    fn move_object(&self, from: &str, to: &str, below: &str) -> Result<Moved, Error> {
        self.inner.move_object(from, to, below)
    }

    fn replace(&self, from: &str, to: &str, into: &str, since: Option<SystemTime>) -> Result<bool, Error> {
        self.inner.replace(from, to, into, since)
    }

    fn remove_all(&self, directory: &str) -> Result<(), Error> {
        self.inner.remove_all(directory)
    }
}

/// Storage of which some directories are on other file systems.
pub struct Mounted<S> {
    inner: S,
    devices: BTreeMap<String, u64>,
}

impl<S> Mounted<S> {
    /// Returns `inner` with each of these directories, and everything below it, on the file system with that number;
    /// everything else is on number 0.
    pub fn new<K: Into<String>>(inner: S, devices: impl IntoIterator<Item = (K, u64)>) -> Self {
        Self { inner, devices: devices.into_iter().map(|(key, device)| (key.into(), device)).collect() }
    }

    fn device(&self, key: &str) -> u64 {
        let ends = key.match_indices('/').map(|(end, _)| end).chain([key.len()]);
        ends.filter_map(|end| self.devices.get(&key[..end])).next_back().copied().unwrap_or(0)
    }
}

impl<S: ReadStorage> ReadStorage for Mounted<S> {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        self.inner.list(directory, visit)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        self.inner.read(key, limit)
    }

    fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
        self.inner.read_in_parts(key, visit)
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        let owner = Owner { user: 0, group: 0, mode: 0o755 };
        let posix = PosixMetadata { owner, device: self.device(key), directories: None, hard_linked: false };
        let mounted = |found: Metadata| Metadata {
            posix: Some(PosixMetadata { device: posix.device, ..found.posix.unwrap_or(posix) }),
            ..found
        };
        Ok(self.inner.stat(key)?.map(mounted))
    }

    fn as_posix(&self) -> Option<&dyn PosixStorage> {
        self.inner.as_posix()
    }
}

/// Storage in which some keys cannot be read, and some changes fail.
pub struct Faulty<S> {
    inner: S,
    broken: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// The number of the next change.
    changes: AtomicUsize,
    fault: Box<dyn Fn(usize) -> Fault + Send + Sync>,
}

/// The outcome of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It succeeds.
    None,
    /// It fails and changes nothing.
    Error(io::ErrorKind),
    /// An object is removed, but its directory cannot be.
    LeftDirectory,
}

impl<S> Faulty<S> {
    /// Returns storage in which reading fails with "permission denied" for every key and directory that `broken`
    /// selects.
    pub fn reading(inner: S, broken: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { broken: Box::new(broken), ..Self::changing(inner, |_| Fault::None) }
    }

    /// Returns storage in which each change has the fault that `fault` returns for its number, counted from 0. A
    /// change is the removal, move, replacement or creation of an object.
    pub fn changing(inner: S, fault: impl Fn(usize) -> Fault + Send + Sync + 'static) -> Self {
        Self { inner, broken: Box::new(|_| false), changes: AtomicUsize::new(0), fault: Box::new(fault) }
    }

    /// Returns the inner storage.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn check(&self, key: &str) -> Result<(), Error> {
        if (self.broken)(key) { Err(failed("read", key, io::ErrorKind::PermissionDenied)) } else { Ok(()) }
    }

    fn next(&self) -> Fault {
        (self.fault)(self.changes.fetch_add(1, Relaxed))
    }
}

fn failed(action: &'static str, key: &str, kind: io::ErrorKind) -> Error {
    Error::Storage { action, path: key.to_owned(), source: kind.into() }
}

impl<S: ReadStorage> ReadStorage for Faulty<S> {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        self.check(directory)?;
        self.inner.list(directory, visit)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        self.check(key)?;
        self.inner.read(key, limit)
    }

    fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
        self.check(key)?;
        self.inner.read_in_parts(key, visit)
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        self.check(key)?;
        self.inner.stat(key)
    }

    fn as_posix(&self) -> Option<&dyn PosixStorage> {
        self.inner.as_posix()
    }
}

impl<S: TrashStorage> DeleteStorage for Faulty<S> {
    fn remove(&self, keys: &[String], how: &Removing<'_>) -> Vec<Removal> {
        let remove = |key: &String| match self.next() {
            Fault::None => self.inner.remove(std::slice::from_ref(key), how).remove(0),
            // Another process has removed it first. A missing object counts as removed.
            Fault::Error(io::ErrorKind::NotFound) => {
                self.inner.remove(std::slice::from_ref(key), &Removing::default());
                Removal::Done
            }
            Fault::Error(kind) => Removal::Failed(failed("remove", key, kind)),
            Fault::LeftDirectory => {
                self.inner.remove(std::slice::from_ref(key), how);
                Removal::LeftDirectory(failed("remove", key, io::ErrorKind::PermissionDenied))
            }
        };
        keys.iter().map(remove).collect()
    }

    fn remove_empty_directories(&self, directories: &[String], since: Option<SystemTime>) -> Vec<Result<(), Error>> {
        self.inner.remove_empty_directories(directories, since)
    }

    fn lock(&self, holder: &Holder) -> Result<Lock, Error> {
        self.inner.lock(holder)
    }

    fn check_removable(&self, directory: &str, to_trash: bool) -> Result<(), Error> {
        self.inner.check_removable(directory, to_trash)
    }

    fn as_trash(&self) -> Option<&dyn TrashStorage> {
        Some(self)
    }
}

impl<S: TrashStorage> TrashStorage for Faulty<S> {
    fn create(&self, key: &str, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        match self.next() {
            Fault::Error(kind) => Err(failed("write", key, kind)),
            _ => self.inner.create(key, write),
        }
    }

    fn move_object(&self, from: &str, to: &str, below: &str) -> Result<Moved, Error> {
        match self.next() {
            Fault::Error(kind) => Err(failed("move", from, kind)),
            _ => self.inner.move_object(from, to, below),
        }
    }

    fn replace(&self, from: &str, to: &str, into: &str, since: Option<SystemTime>) -> Result<bool, Error> {
        match self.next() {
            Fault::Error(kind) => Err(failed("replace", to, kind)),
            _ => self.inner.replace(from, to, into, since),
        }
    }

    fn remove_all(&self, directory: &str) -> Result<(), Error> {
        self.check(directory)?;
        self.inner.remove_all(directory)
    }
}

/// Storage that cannot move anything, as a bucket cannot.
pub struct WithoutTrash<S>(S);

impl<S> WithoutTrash<S> {
    /// Returns `inner` without its trash.
    pub fn new(inner: S) -> Self {
        Self(inner)
    }
}

impl<S: ReadStorage> ReadStorage for WithoutTrash<S> {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        self.0.list(directory, visit)
    }

    fn walk(&self, directory: &str, visit: &mut dyn FnMut(Object<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        self.0.walk(directory, visit)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        self.0.read(key, limit)
    }

    fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
        self.0.read_in_parts(key, visit)
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        self.0.stat(key)
    }
}

impl<S: DeleteStorage> DeleteStorage for WithoutTrash<S> {
    fn remove(&self, keys: &[String], how: &Removing<'_>) -> Vec<Removal> {
        assert!(how.into.is_none(), "nothing can be moved");
        self.0.remove(keys, how)
    }

    fn remove_empty_directories(&self, directories: &[String], since: Option<SystemTime>) -> Vec<Result<(), Error>> {
        self.0.remove_empty_directories(directories, since)
    }

    fn lock(&self, holder: &Holder) -> Result<Lock, Error> {
        self.0.lock(holder)
    }
}
