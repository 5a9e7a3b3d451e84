//! What a collection asks of storage.
//!
//! The traits have the shape of an object store: keys, prefixes, whole objects, batches. Directories exist only as far
//! as listings show them. A backend that is asynchronous inside hides that. All methods are called from many threads.

use std::io;
use std::ops::ControlFlow;
use std::time::SystemTime;

use crate::error::Error;
use crate::storage::lock::{Holder, Lock};

/// One name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name alone. Where the backend's name is not UTF-8, a replacement, and `kind` is [`EntryKind::Unnameable`] or
    /// [`EntryKind::Other`].
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
    /// A symbolic link that leads nowhere or in a circle.
    BrokenSymlink,
    /// A directory whose name is not UTF-8: no key leads there.
    Unnameable,
    /// A socket, a device, or anything else whose name is not UTF-8.
    Other,
}

/// What is known of a key without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What is there, seen through symbolic links.
    pub kind: EntryKind,
    /// The content's length in bytes.
    pub bytes: u64,
    /// Whether the last component of the key is a symbolic link.
    pub symlink: bool,
    /// When it was last written, by the storage's clock.
    pub modified: SystemTime,
    /// Who owns it, and what others may do with it, where the storage knows such things. Of a symbolic link, what it leads
    /// to.
    pub owner: Option<Owner>,
    /// The file system that it is on, by a number, where the storage knows such things. Of a symbolic link, that of what it
    /// leads to.
    pub device: Option<u64>,
    /// How many directories are directly in it, if it is a directory and the storage knows that without listing it.
    pub directories: Option<u64>,
    /// Whether it is a file that has other names as well, where the storage knows such things: hard links, as `cp -al` and
    /// some backups make them. Removing one name frees nothing.
    pub hard_linked: bool,
}

/// Who owns a file or directory, and who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
    /// Who may read, write and execute it: the nine bits of POSIX.
    pub mode: u32,
}

impl Owner {
    /// Whether this user, who is in this group and no other, may do all of it: 4 to read, 1 to look for what is below.
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
    /// It is larger than the caller wanted, and was not read.
    TooLarge,
}

/// Storage that can be looked at.
///
/// Keys are relative to the storage's root, separated by `/`, without a leading one. Symbolic links are followed.
/// "Not there" is never an error; anything else that fails is, and names its path. A symbolic link to nothing is not
/// "not there": listing and asking show it as [`EntryKind::BrokenSymlink`], and reading through one fails. Looking
/// changes nothing.
pub trait ReadStorage: Send + Sync {
    /// Calls `visit` for every name directly below `directory`, in no particular order, and answers whether the
    /// directory is there. `.` and `..` are not among the names.
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error>;

    /// The whole object at `key` if it has at most `limit` bytes; `None` if there is no object.
    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error>;

    /// Calls `visit` with the parts of the object at `key`, one after the other, until it breaks, and answers whether
    /// there is such an object. However large it is, little of it is held at once.
    fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error>;

    /// What is at `key`; `None` if nothing is.
    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error>;

    /// Calls `visit` for every name directly below each of `directories`, which are below `directory`, with the number of
    /// the one that it is in. Answers for each of them as [`list`](Self::list) does; a backend may save the way to the
    /// directory.
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
    /// [`read`](Self::read) for each of them; a backend may save the way to the directory.
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

    /// What is at each of `keys`, which start below `directory`, in their order. The same as [`stat`](Self::stat) for
    /// each of them; a backend may save the way to the directory.
    fn stat_each(&self, directory: &str, keys: &[String]) -> Result<Vec<Option<Metadata>>, Error> {
        keys.iter().map(|key| self.stat(&format!("{directory}/{key}"))).collect()
    }

    /// How long all objects below `directory` are together, at any depth and whatever their names are, UTF-8 or not;
    /// without those below a name directly in it that `is_left_out`. Symbolic links below it are not followed, and count
    /// nothing; nor does what may not be read, as a file system's own `lost+found`.
    fn bytes_below(&self, directory: &str, is_left_out: &dyn Fn(&str) -> bool) -> Result<u64, Error> {
        let mut found = Vec::new();
        self.list(directory, &mut |Entry { name, kind, symlink }| {
            if !symlink && !is_left_out(name) {
                found.push((format!("{directory}/{name}"), kind));
            }
        })?;
        let mut bytes = 0;
        for (key, kind) in found {
            bytes += match kind {
                EntryKind::Directory => self.bytes_below(&key, &|_| false)?,
                EntryKind::File => self.stat(&key)?.map_or(0, |metadata| metadata.bytes),
                EntryKind::BrokenSymlink | EntryKind::Unnameable | EntryKind::Other => 0,
            };
        }
        Ok(bytes)
    }

    /// The directory that `directory` really is once symbolic links are followed: its key, or, outside of the root,
    /// something that is equal for equal directories and equal to no key. Without symbolic links, it is `directory`.
    fn real_directory(&self, directory: &str) -> Result<String, Error> {
        Ok(directory.to_owned())
    }
}

/// How objects are removed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Removing<'a> {
    /// An object that was modified at this time or later stays. It is looked at just before it would go.
    pub unless_modified_since: Option<SystemTime>,
    /// Objects are not removed but moved: to the same key below this directory of the same storage.
    pub into: Option<&'a str>,
    /// The directory that held an object stays, even if nothing is left in it.
    pub leave_directory: bool,
}

/// What became of an object that was to be removed.
#[derive(Debug)]
pub enum Removal {
    /// It is gone, or was not there.
    Done,
    /// It is still there, since it was modified too late.
    Spared,
    /// It is gone, but the directory that held it is empty and could not be removed.
    LeftDirectory(Error),
    /// It is still there.
    Failed(Error),
}

/// Storage from which something can be removed.
pub trait DeleteStorage: ReadStorage {
    /// Removes the objects at `keys` and answers for each of them, in their order. An object that is not there counts
    /// as removed. Where the backend has directories, the one that held the object goes too if nothing is left in it;
    /// one that still holds something stays, and that is no error.
    ///
    /// Nothing is removed through a symbolic link: if the object's directory is one, the link itself is removed, and
    /// what it leads to stays; if the object is one, likewise.
    fn remove(&self, keys: &[String], how: &Removing<'_>) -> Vec<Removal>;

    /// Removes those of `directories` that are empty, in the order given. One that is not, or is not there, is no
    /// error. Neither is one that was modified at the time `unless_modified_since` or later; it stays. A backend
    /// without directories has nothing to do.
    fn remove_empty_directories(
        &self,
        directories: &[String],
        unless_modified_since: Option<SystemTime>,
    ) -> Vec<Result<(), Error>>;

    /// Takes the store for the holder, who changes it, until the [`Lock`] is dropped. Who it is, is left for others to read.
    ///
    /// Fails with [`Error::Locked`] while another process has it. One that has ended does not have it any more.
    fn lock(&self, holder: &Holder) -> Result<Lock, Error>;

    /// Whether something can be removed from `directory`, or moved between there and regc's own directory, as far as that can be
    /// told without trying: an error if not.
    ///
    /// Fails with [`Error::OtherFilesystem`] where the two are on different file systems.
    fn check_removable(&self, directory: &str, to_trash: bool) -> Result<(), Error>;
}

/// What became of an object that was to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It is there now.
    Done,
    /// There is something already. Nothing was changed.
    Exists,
    /// There is no such object.
    Absent,
}

/// Storage that can keep what is removed from the registry.
pub trait TrashStorage: DeleteStorage {
    /// Makes a new object of what `write` writes. It survives a power cut once this returns.
    ///
    /// Fails if there is an object at `key`.
    fn create(&self, key: &str, write: &mut dyn FnMut(&mut dyn io::Write) -> io::Result<()>) -> Result<(), Error>;

    /// Moves an object. Nothing is ever overwritten. Directories that are made for it belong to whom the one above them
    /// does; those that it leaves empty go, up to `below`.
    fn move_object(&self, from: &str, to: &str, below: &str) -> Result<Moved, Error>;

    /// Moves the object at `from` to `to`, in the place of what is there, which is kept at the same key below `into`. It is
    /// one step: at any moment, the one or the other is there. It survives a power cut once this returns.
    ///
    /// Answers false, and changes nothing, if what is at `to` was modified at the time `unless_modified_since` or later.
    /// Fails if the backend can neither have one object under two names nor exchange two.
    fn replace(
        &self,
        from: &str,
        to: &str,
        into: &str,
        unless_modified_since: Option<SystemTime>,
    ) -> Result<bool, Error>;

    /// Removes an object, or a directory with everything in it, none of it through a symbolic link.
    fn remove_all(&self, key: &str) -> Result<(), Error>;
}
