//! Storage that breaks the contract in one point fails the conformance checks.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use regc_core::storage::lock::Lock;
use regc_core::storage::memory::MemoryStorage;
use regc_core::storage::{
    Content, DeleteStorage, Entry, EntryKind, Metadata, Moved, Object, ReadStorage, Removal, Removing, TrashStorage,
    conformance,
};
use regc_core::{Error, Holder};

/// A point in which a storage is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    WalkSkipsAnObject,
    ListingEndsEarly,
    ListingEndsAfterAPage,
    MovesRecentObjects,
    NoTimes,
    DeletesRecentObjects,
    DeletesInsteadOfMoving,
    LockIsDatedEarly,
    LockIsNotExclusive,
    ReadsOnlyOnePart,
    RemovesDirectories,
    RemovesRecentDirectories,
    DirectoriesKeepTheirTime,
    LockIsDatedLate,
    AnswersInReverse,
}

struct Wrong {
    inner: MemoryStorage,
    fault: Fault,
}

impl Wrong {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

impl ReadStorage for Wrong {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        let mut names = 0;
        self.inner.list(directory, &mut |entry| {
            names += 1;
            let ends = names > 1 && self.is(Fault::ListingEndsEarly);
            if !ends && (names <= 1_000 || !self.is(Fault::ListingEndsAfterAPage)) {
                visit(entry);
            }
        })
    }

    fn walk(&self, directory: &str, visit: &mut dyn FnMut(Object<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        let mut objects = 0;
        self.inner.walk(directory, &mut |object| {
            objects += 1;
            if objects == 2 && self.is(Fault::WalkSkipsAnObject) { ControlFlow::Continue(()) } else { visit(object) }
        })
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        self.inner.read(key, limit)
    }

    fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
        match self.inner.read(key, 1 << 30)? {
            Some(Content::Whole(content)) if self.is(Fault::ReadsOnlyOnePart) => {
                let _ = visit(&content[..content.len().min(64 << 10)]);
                Ok(true)
            }
            _ => self.inner.read_in_parts(key, visit),
        }
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        let retimed = |found: Metadata| match self.fault {
            Fault::NoTimes => Metadata { modified: None, ..found },
            Fault::DirectoriesKeepTheirTime if found.kind == EntryKind::Directory => {
                Metadata { modified: Some(SystemTime::UNIX_EPOCH), ..found }
            }
            _ => found,
        };
        Ok(self.inner.stat(key)?.map(retimed))
    }
}

impl DeleteStorage for Wrong {
    fn remove(&self, keys: &[String], how: &Removing<'_>) -> Vec<Removal> {
        let unless_modified_since = how.unless_modified_since.filter(|_| {
            !(self.is(Fault::DeletesRecentObjects) || self.is(Fault::MovesRecentObjects) && how.into.is_some())
        });
        let into = how.into.filter(|_| !self.is(Fault::DeletesInsteadOfMoving));
        let leave_directory = how.leave_directory && !self.is(Fault::RemovesDirectories);
        let mut removals = self.inner.remove(keys, &Removing { unless_modified_since, into, leave_directory });
        if self.is(Fault::AnswersInReverse) {
            removals.reverse();
        }
        removals
    }

    fn remove_empty_directories(&self, directories: &[String], since: Option<SystemTime>) -> Vec<Result<(), Error>> {
        self.inner.remove_empty_directories(directories, since.filter(|_| !self.is(Fault::RemovesRecentDirectories)))
    }

    fn lock(&self, holder: &Holder) -> Result<Lock, Error> {
        match self.fault {
            Fault::LockIsDatedEarly => {
                let lock = self.inner.lock(holder)?;
                Ok(Lock::new(SystemTime::UNIX_EPOCH, lock))
            }
            Fault::LockIsDatedLate => {
                let lock = self.inner.lock(holder)?;
                Ok(Lock::new(SystemTime::now() + Duration::from_secs(86_400), lock))
            }
            Fault::LockIsNotExclusive => Ok(Lock::new(SystemTime::now(), ())),
            _ => self.inner.lock(holder),
        }
    }

    fn as_trash(&self) -> Option<&dyn TrashStorage> {
        Some(self)
    }
}

impl TrashStorage for Wrong {
    fn create(&self, key: &str, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        self.inner.create(key, write)
    }

    fn move_object(&self, from: &str, to: &str, below: &str) -> Result<Moved, Error> {
        self.inner.move_object(from, to, below)
    }

    fn replace(&self, from: &str, to: &str, into: &str, since: Option<SystemTime>) -> Result<bool, Error> {
        self.inner.replace(from, to, into, since)
    }

    fn remove_all(&self, key: &str) -> Result<(), Error> {
        self.inner.remove_all(key)
    }
}

fn conforms(fault: Fault) -> bool {
    let make = |objects: &[(&str, &str)]| -> Box<dyn DeleteStorage> {
        Box::new(Wrong { inner: objects.iter().copied().collect(), fault })
    };
    catch_unwind(AssertUnwindSafe(|| conformance::check(&make))).is_ok()
}

#[test]
fn conformance_checks_reject_storage_that_breaks_the_contract() {
    assert!(conforms(Fault::None));
    for fault in [
        Fault::WalkSkipsAnObject,
        Fault::ListingEndsEarly,
        Fault::ListingEndsAfterAPage,
        Fault::MovesRecentObjects,
        Fault::NoTimes,
        Fault::DeletesRecentObjects,
        Fault::DeletesInsteadOfMoving,
        Fault::LockIsDatedEarly,
        Fault::LockIsNotExclusive,
        Fault::ReadsOnlyOnePart,
        Fault::RemovesDirectories,
        Fault::RemovesRecentDirectories,
        Fault::DirectoriesKeepTheirTime,
        Fault::LockIsDatedLate,
        Fault::AnswersInReverse,
    ] {
        assert!(!conforms(fault), "{fault:?} passes the checks");
    }
}
