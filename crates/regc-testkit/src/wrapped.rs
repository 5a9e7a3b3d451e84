//! Storage that fails where it is told to, and remembers what was asked of it.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use regc_core::error::Error;
use regc_core::storage::{Content, DeleteStorage, Entry, Metadata, ReadStorage, Removal};

/// What was asked of a [`Recording`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// One level of a directory, or everything below it.
    List(String),
    /// A whole object.
    Read(String),
    /// Whether something is there, and how large.
    Stat(String),
    /// The removal of an object.
    Remove(String),
}

/// Storage that remembers what was asked of it, in order.
pub struct Recording<S> {
    inner: S,
    operations: Mutex<Vec<Operation>>,
}

impl<S> Recording<S> {
    /// Watches `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner, operations: Mutex::default() }
    }

    /// What was asked so far, in order.
    pub fn operations(&self) -> Vec<Operation> {
        self.operations.lock().unwrap().clone()
    }

    /// The keys of the objects that were removed, in order.
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

    fn list_prefix(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.record(Operation::List(prefix.to_owned()));
        self.inner.list_prefix(prefix)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        self.record(Operation::Read(key.to_owned()));
        self.inner.read(key, limit)
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        self.record(Operation::Stat(key.to_owned()));
        self.inner.stat(key)
    }

    fn real_directory(&self, directory: &str) -> Result<String, Error> {
        self.inner.real_directory(directory)
    }
}

impl<S: DeleteStorage> DeleteStorage for Recording<S> {
    fn remove(&self, keys: &[String]) -> Vec<Removal> {
        let mut operations = self.operations.lock().unwrap();
        operations.extend(keys.iter().cloned().map(Operation::Remove));
        self.inner.remove(keys)
    }

    fn remove_empty_directories(&self, directories: &[String]) -> Vec<Result<(), Error>> {
        self.inner.remove_empty_directories(directories)
    }
}

/// Storage that cannot be read in some places, and from which only so much can be removed.
pub struct Faulty<S> {
    inner: S,
    broken: Box<dyn Fn(&str) -> bool + Send + Sync>,
    removals: AtomicUsize,
    leaves_directories: bool,
}

impl<S> Faulty<S> {
    /// Storage that fails for every key and directory that `broken` names, with "permission denied".
    pub fn reading(inner: S, broken: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { inner, broken: Box::new(broken), removals: AtomicUsize::new(usize::MAX), leaves_directories: false }
    }

    /// Storage that removes `removals` objects and fails from then on.
    pub fn removing(inner: S, removals: usize) -> Self {
        Self { removals: AtomicUsize::new(removals), ..Self::reading(inner, |_| false) }
    }

    /// Storage that removes objects, but cannot remove their directories.
    pub fn leaving_directories(inner: S) -> Self {
        Self { leaves_directories: true, ..Self::reading(inner, |_| false) }
    }

    /// The storage itself.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn check(&self, key: &str) -> Result<(), Error> {
        if (self.broken)(key) { Err(denied("read", key)) } else { Ok(()) }
    }
}

fn denied(action: &'static str, key: &str) -> Error {
    Error::Storage { action, path: key.to_owned(), source: io::ErrorKind::PermissionDenied.into() }
}

impl<S: ReadStorage> ReadStorage for Faulty<S> {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        self.check(directory)?;
        self.inner.list(directory, visit)
    }

    fn list_prefix(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.check(prefix)?;
        self.inner.list_prefix(prefix)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        self.check(key)?;
        self.inner.read(key, limit)
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        self.check(key)?;
        self.inner.stat(key)
    }

    fn real_directory(&self, directory: &str) -> Result<String, Error> {
        self.inner.real_directory(directory)
    }
}

impl<S: DeleteStorage> DeleteStorage for Faulty<S> {
    fn remove(&self, keys: &[String]) -> Vec<Removal> {
        let remove = |key: &String| {
            let left = self.removals.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
            match left {
                Ok(_) if self.leaves_directories => {
                    self.inner.remove(std::slice::from_ref(key));
                    Removal::LeftDirectory(denied("remove", key))
                }
                Ok(_) => self.inner.remove(std::slice::from_ref(key)).remove(0),
                Err(_) => Removal::Failed(denied("remove", key)),
            }
        };
        keys.iter().map(remove).collect()
    }

    fn remove_empty_directories(&self, directories: &[String]) -> Vec<Result<(), Error>> {
        self.inner.remove_empty_directories(directories)
    }
}
