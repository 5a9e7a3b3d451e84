//! The contract between regc and storage.
//!
//! A storage is a flat set of objects: keys, contents, and when each was written. Directories exist only in listings:
//! as prefixes of keys, or as directories of a file system. Each capability beyond reading is a trait of its own:
//!
//! | Trait | Adds | Used by |
//! |---|---|---|
//! | [`ReadStorage`] | listings and contents | scans, reports, checks, dry runs |
//! | [`DeleteStorage`] | deletion in batches, and a lock | collections that delete |
//! | [`TrashStorage`] | durable new objects, and moves that overwrite nothing | the trash, repairs, restored tags, by [`DeleteStorage::as_trash`] |
//! | [`PosixStorage`] | symbolic links that lead elsewhere | scans of file systems, by [`ReadStorage::as_posix`] |
//!
//! All methods are synchronous, and are called from many threads at once.
//!
//! Nothing here does the checks of a `Store`: code that deletes from a storage directly has no lock and no guards.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::Error;
use crate::storage::lock::{Holder, Lock};

/// One name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name only. If it is not UTF-8 in the backend, this is a replacement, and `kind` is [`EntryKind::Unnameable`]
    /// or [`EntryKind::Other`].
    pub name: &'a str,
    /// What is there, seen through symbolic links.
    pub kind: EntryKind,
    /// Whether the name is a symbolic link.
    pub symlink: bool,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A directory, or a prefix of keys.
    Directory,
    /// A file, or an object.
    File,
    /// A symbolic link that is dangling or part of a loop.
    BrokenSymlink,
    /// A directory whose name is not UTF-8, so it has no key.
    Unnameable,
    /// A socket, a device, or anything else whose name is not UTF-8.
    Other,
}

/// An object of a flat listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    /// Its whole key.
    pub key: &'a str,
    /// The content's length in bytes. 0 for a symbolic link: deleting it frees nothing.
    pub bytes: u64,
    /// When it was last written, by the storage's clock.
    pub modified: Option<SystemTime>,
}

/// Some SHA-256 hashes, each once and in order.
pub type Hashes = Arc<Vec<[u8; 32]>>;

/// What is known about a key without reading its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What is there, seen through symbolic links.
    pub kind: EntryKind,
    /// The content's length in bytes.
    pub bytes: u64,
    /// Whether the last component of the key is a symbolic link.
    pub symlink: bool,
    /// When it was last written, by the storage's clock; of a directory, when a name was last added to it or removed: a
    /// rescan lists only directories that have changed. `None` if the storage does not know: a prefix of keys has no
    /// such time. An object without a time counts as just written, so it is listed, and kept.
    pub modified: Option<SystemTime>,
    /// What only a file system knows about it.
    pub posix: Option<PosixMetadata>,
}

impl Metadata {
    /// Describes an object of this many bytes.
    pub fn object(bytes: u64, modified: Option<SystemTime>) -> Self {
        Self { kind: EntryKind::File, bytes, symlink: false, modified, posix: None }
    }

    /// A directory, or a prefix of keys.
    pub fn directory(modified: Option<SystemTime>) -> Self {
        Self { kind: EntryKind::Directory, ..Self::object(0, modified) }
    }

    /// Whether it was written at this time or later, as far as the storage knows.
    pub fn may_be_recent(&self, since: SystemTime) -> bool {
        self.modified.is_none_or(|modified| modified >= since)
    }

    /// Returns the number of the file system that it is on, if it is on one.
    pub fn device(&self) -> Option<u64> {
        self.posix.map(|posix| posix.device)
    }

    /// Returns when it was last written; now, if the storage does not know.
    pub fn written(&self) -> SystemTime {
        self.modified.unwrap_or_else(SystemTime::now)
    }
}

/// What only a file system knows about a name. For a symbolic link, it describes the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PosixMetadata {
    /// The owner, and what others may do.
    pub owner: Owner,
    /// The number of the file system.
    pub device: u64,
    /// How many directories are directly in a directory, if the file system counts them.
    pub directories: Option<u64>,
    /// Whether a file has other hard links, as `cp -al` and some backups create them. Deleting one of them frees
    /// nothing.
    pub hard_linked: bool,
}

/// Who owns a file or directory, and who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user ID.
    pub user: u32,
    /// The group ID.
    pub group: u32,
    /// Who may read, write and execute it: the nine bits of POSIX.
    pub mode: u32,
}

impl Owner {
    /// Whether a user with only this group has all the `wanted` permissions: 4 to read, 1 to reach what is below.
    pub fn permits(&self, user: u32, group: u32, wanted: u32) -> bool {
        let shift = match (self.user == user, self.group == group) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        user == 0 || self.mode >> shift & wanted == wanted
    }
}

/// The content of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All of it.
    Whole(Vec<u8>),
    /// It is larger than the caller's limit, and was not read.
    TooLarge,
}

/// Storage that can be read.
///
/// Keys are relative to the storage's root, separated by `/`, without a leading one. Reading changes nothing.
///
/// - **An absent object is not an error.** Every other failure is, and names its path. An incomplete listing is an
///   error, too: regc takes what a listing does not show for absent, and deletes what seems to be unreferenced.
/// - **A call sees what was written before it began**, or before the last [`relist`](Self::relist). It may or may not see
///   what is written or deleted during the call.
/// - **Callbacks may call the storage.** No lock is held during a callback.
/// - **All times are from one clock**, that of [`Lock::since`]: regc compares them with each other.
/// - **Symbolic links are followed.** A dangling one is not absent: listings and [`stat`](Self::stat) show it as
///   [`EntryKind::BrokenSymlink`], and reading through one fails.
pub trait ReadStorage: Send + Sync {
    /// Calls `visit` for every name directly below `directory`, in no particular order, and returns whether the
    /// directory exists. `.` and `..` are not among the names. `""` is the root.
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error>;

    /// The same as [`list`](Self::list), but a storage that already holds the hashes may return directories that are
    /// named after SHA-256 digests instead of visiting them, so that they are in memory only once. Symbolic links are
    /// visited.
    fn list_digests(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<Vec<Hashes>, Error> {
        self.list(directory, visit)?;
        Ok(Vec::new())
    }

    /// Calls `visit` for every object below `directory`, at any depth, in no particular order, until it breaks. A
    /// symbolic link is visited itself, and is not followed. Names that are not UTF-8 are ignored: they have no key.
    ///
    /// For a storage without directories, this is one listing. The default implementation lists directory by directory.
    fn walk(&self, directory: &str, visit: &mut dyn FnMut(Object<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        let mut pending = vec![directory.to_owned()];
        while let Some(directory) = pending.pop() {
            let mut names = Vec::new();
            self.list(&directory, &mut |Entry { name, kind, symlink }| match kind {
                EntryKind::Directory if !symlink => pending.push(below(&directory, name)),
                EntryKind::Unnameable | EntryKind::Other if !symlink => {}
                _ => names.push(name.to_owned()),
            })?;
            for (name, found) in names.iter().zip(self.stat_each(&directory, &names)?) {
                // What is gone by now is no longer an object.
                let Some(Metadata { bytes, symlink, modified, .. }) = found else { continue };
                let object = Object { key: &below(&directory, name), bytes: if symlink { 0 } else { bytes }, modified };
                if visit(object).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads the whole object at `key` if it has at most `limit` bytes; `None` if there is no object.
    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error>;

    /// Calls `visit` with the parts of the object at `key`, one after the other, until it breaks, and returns whether
    /// there is such an object. However large it is, only a little of it is in memory at once.
    fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error>;

    /// Returns what is at `key`; `None` if nothing is.
    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error>;

    /// Calls `visit` for every name directly below each of `directories`, which are below `directory`, with the
    /// number of the one that it is in. Returns for each of them what [`list`](Self::list) does; a backend may save
    /// resolving `directory` each time.
    fn list_each(
        &self,
        directory: &str,
        directories: &[String],
        visit: &mut dyn FnMut(usize, Entry<'_>),
    ) -> Vec<Result<bool, Error>> {
        let list = |(number, below): (usize, &String)| {
            self.list(&format!("{directory}/{below}"), &mut |entry| visit(number, entry))
        };
        directories.iter().enumerate().map(list).collect()
    }

    /// Calls `visit` with the object at each of `keys`, which start below `directory`, in their order. The same as
    /// [`read`](Self::read) for each of them; a backend may save resolving `directory` each time.
    fn read_each(
        &self,
        directory: &str,
        keys: &[String],
        limit: u64,
        visit: &mut dyn FnMut(Option<Content>),
    ) -> Result<(), Error> {
        for key in keys {
            visit(self.read(&format!("{directory}/{key}"), limit)?);
        }
        Ok(())
    }

    /// Returns what is at each of `keys`, which start below `directory`, in their order. The same as
    /// [`stat`](Self::stat) for each of them; a backend may save resolving `directory` each time.
    fn stat_each(&self, directory: &str, keys: &[String]) -> Result<Vec<Option<Metadata>>, Error> {
        keys.iter().map(|key| self.stat(&format!("{directory}/{key}"))).collect()
    }

    /// Returns the total length of all objects below `directory`, at any depth and whatever their names are, UTF-8 or
    /// not, except those below a name directly in it that `is_left_out`. Symbolic links below it are not followed,
    /// and count as nothing; so does what may not be read, such as a file system's own `lost+found`.
    fn bytes_below(&self, directory: &str, is_left_out: &dyn Fn(&str) -> bool) -> Result<u64, Error> {
        let mut total = 0;
        self.walk(directory, &mut |Object { key, bytes, .. }| {
            let below = key[directory.len()..].trim_start_matches('/');
            if !below.split('/').next().is_some_and(is_left_out) {
                total += bytes;
            }
            ControlFlow::Continue(())
        })?;
        Ok(total)
    }
    /// Makes the next question about what is below `directory` list that anew, for a storage that lists everything at
    /// once and answers from that. Calls that ask what is there *now* begin with this. By default, does nothing: each
    /// question is answered anew.
    fn relist(&self, directory: &str) {
        let _ = directory;
    }

    /// Returns how many keys have been listed that lead through no directory, because they have an empty part, `.` or
    /// `..`, or characters that no registry writes. They are never deleted.
    fn ignored(&self) -> u64 {
        0
    }

    /// Returns the first link at or below `key` that is empty because the registry is writing it, or was interrupted:
    /// its driver for Azure creates a link empty, and adds the content afterwards. By default, links are never seen so.
    fn link_being_written(&self, key: &str) -> Result<Option<String>, Error> {
        let _ = key;
        Ok(None)
    }

    /// Whether each answer comes over a network. Then many threads ask at once, without measuring whether that helps.
    fn is_remote(&self) -> bool {
        false
    }

    /// Returns the file system's view of this storage, if it is a file system.
    fn as_posix(&self) -> Option<&dyn PosixStorage> {
        None
    }
}

/// Returns the key of a name in a directory.
fn below(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// A file system, in which symbolic links may point from one directory to another.
pub trait PosixStorage: Send + Sync {
    /// Resolves symbolic links in `directory`. Returns its key, or, outside of the root, an absolute path that is
    /// equal for equal directories.
    fn real_directory(&self, directory: &str) -> Result<String, Error>;

    /// Returns how many bytes of the file system are free for users other than root; `None` if unknown.
    fn free_bytes(&self) -> Option<u64> {
        None
    }

    /// Returns how many bytes the file system has, free or not; `None` if unknown.
    fn capacity_bytes(&self) -> Option<u64> {
        None
    }

    /// Visits the root and everything below it, with what the file system has allocated for it, until `visit` fails.
    /// Symbolic links are visited, and not followed. Returns false if this is unknown; then nothing was visited.
    fn each_allocated(&self, _visit: &mut dyn FnMut(Allocated<'_>) -> Result<(), Error>) -> Result<bool, Error> {
        Ok(false)
    }
}

/// What a file system has allocated for a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated<'a> {
    /// Its key; empty for the root. Invalid UTF-8 in it is replaced.
    pub key: &'a str,
    /// Whether it is a directory, and not a symbolic link to one.
    pub is_directory: bool,
    /// The length of its blocks, in bytes.
    pub bytes: u64,
    /// For a file with several hard links, what they have in common: the device and the inode.
    pub shared: Option<(u64, u64)>,
}

/// How objects are deleted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Removing<'a> {
    /// An object that was modified at this time or later is kept, and so is one whose time the storage does not know.
    /// The time is read just before the deletion, or with the last listing by a storage that lists everything at once.
    pub unless_modified_since: Option<SystemTime>,
    /// Objects are not deleted, but moved to the same key below this directory of the same storage. Only for a
    /// [`TrashStorage`].
    pub into: Option<&'a str>,
    /// The directory that held an object is kept, even if it is empty afterwards.
    pub leave_directory: bool,
}

/// The result of deleting an object.
#[derive(Debug)]
pub enum Removal {
    /// It was deleted, or did not exist.
    Done,
    /// It was kept, because it was modified too recently.
    Spared,
    /// It was deleted, but removing its empty directory failed.
    LeftDirectory(Error),
    /// Deleting it failed.
    Failed(Error),
}

/// Storage from which objects can be deleted.
///
/// A deletion is final once it is reported as done. A deletion that is reported as failed may have happened anyway.
pub trait DeleteStorage: ReadStorage {
    /// Deletes the objects at `keys` and returns a result for each of them, in the same order. An object that does not
    /// exist counts as deleted. If the backend has directories, the object's directory is deleted as well if it is
    /// empty; one that is not empty is kept, which is not an error.
    ///
    /// Nothing is deleted through a symbolic link: if the object or its directory is a symbolic link, the link itself
    /// is deleted, and its target is kept.
    fn remove(&self, keys: &[String], how: &Removing<'_>) -> Vec<Removal>;

    /// Deletes those of `directories` that are empty, in the given order. A directory that is not empty, or does not
    /// exist, is not an error. Neither is one that was modified at the time `unless_modified_since` or later; it is
    /// kept.
    ///
    /// The default implementation does nothing: a backend without directories has no empty ones.
    fn remove_empty_directories(
        &self,
        directories: &[String],
        unless_modified_since: Option<SystemTime>,
    ) -> Vec<Result<(), Error>> {
        let _ = unless_modified_since;
        directories.iter().map(|_| Ok(())).collect()
    }

    /// Locks the store until the [`Lock`] is dropped, and records the holder for others to read. Everything that was
    /// written before has an earlier time than [`Lock::since`].
    ///
    /// Fails with [`Error::Locked`] while another process holds the lock. A process that has ended no longer holds
    /// it.
    fn lock(&self, holder: &Holder) -> Result<Lock, Error>;

    /// Fails unless objects can be deleted from `directory`, or moved between it and regc's own directory, as far as
    /// this is known without trying. The default implementation checks nothing.
    ///
    /// Fails with [`Error::OtherFilesystem`] if the two are on different file systems.
    fn check_removable(&self, directory: &str, to_trash: bool) -> Result<(), Error> {
        let _ = (directory, to_trash);
        Ok(())
    }

    /// Whether deleted objects are kept as older versions, and take up space until those expire, as far as is known.
    fn keeps_versions(&self) -> bool {
        false
    }

    /// Whether the server cannot list pending uploads, so they are neither counted nor deleted. `false` until they were
    /// requested.
    fn hides_uploads(&self) -> bool {
        false
    }

    /// Returns how many objects are best removed in one call, in whatever directories; `None` if it is best to remove
    /// those of one directory together.
    fn removed_at_once(&self) -> Option<usize> {
        None
    }

    /// Returns this storage as one with a trash, if it has one.
    fn as_trash(&self) -> Option<&dyn TrashStorage> {
        None
    }
}

/// The result of moving an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It is there now.
    Done,
    /// Something is already there. Nothing was changed.
    Exists,
    /// There is no such object.
    Absent,
}

/// Storage that can keep what is deleted from the registry, and restore it.
///
/// Each method is atomic: a killed process leaves either the state before it or the state after it.
pub trait TrashStorage: DeleteStorage {
    /// Creates a new object from what `write` writes. It is durable once this returns.
    ///
    /// Fails if there is an object at `key`. If it fails, there is none.
    fn create(&self, key: &str, write: &mut dyn FnMut(&mut dyn io::Write) -> io::Result<()>) -> Result<(), Error>;

    /// Moves an object. Nothing is ever overwritten. Directories that are created for it get the owner of their
    /// parent; directories that it leaves empty are deleted, up to `below`.
    fn move_object(&self, from: &str, to: &str, below: &str) -> Result<Moved, Error>;

    /// Moves the object at `from` to `to`, and replaces what is there, which is kept at the same key below `into`. The
    /// object is durable once this returns.
    ///
    /// Returns false, and changes nothing, if what is at `to` was modified at the time `unless_modified_since` or
    /// later. Fails if the backend can neither hard-link objects nor exchange two of them.
    fn replace(
        &self,
        from: &str,
        to: &str,
        into: &str,
        unless_modified_since: Option<SystemTime>,
    ) -> Result<bool, Error>;

    /// Deletes an object, or a directory with everything in it, but nothing through a symbolic link. Only this method
    /// is not atomic.
    fn remove_all(&self, key: &str) -> Result<(), Error>;
}
