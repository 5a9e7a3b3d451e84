//! Removing, or moving to the trash.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use rustix::fd::OwnedFd;
use rustix::fs::{Access, AtFlags, CWD, FileType, Gid, Mode, Stat, Uid};

use super::beneath::{open_child, split};
use super::trash::rename;
use super::{FilesystemStorage, absent_is_fine, copy, is_absent, modified, not_empty_is_fine};
use crate::error::Error;
use crate::storage::lock::{Holder, Lock};
use crate::storage::{DeleteStorage, Removal, Removing, TrashStorage};

/// A directory of directories with an object each, and where the objects are moved to.
struct Above {
    directory: Option<OwnedFd>,
    into: Option<Destination>,
}

/// A directory to which objects are moved, each with its own directory.
struct Destination {
    directory: OwnedFd,
    /// Its owner, if what is created in it would belong to another user.
    owner: Option<(Uid, Gid)>,
}

/// What is left of an object and its directory.
enum Left {
    Nothing,
    Directory,
    Everything,
}

impl DeleteStorage for FilesystemStorage {
    fn remove(&self, keys: &[String], how: &Removing<'_>) -> Vec<Removal> {
        // Keys are sorted, so those in the directories of one directory follow each other.
        let mut last: Option<(&str, io::Result<Above>)> = None;
        let mut removals = Vec::with_capacity(keys.len());
        for key in keys {
            let (directory, object) = key.rsplit_once('/').unwrap_or(("", key));
            let (above, name) = directory.rsplit_once('/').unwrap_or(("", directory));
            let opened = match &mut last {
                Some((path, opened)) if *path == above => opened,
                _ => &mut last.insert((above, self.open_above(above, how))).1,
            };
            let removed = match opened {
                Ok(above) => remove_object(above, name, object, how.unless_modified_since),
                Err(error) => Err(copy(error)),
            };
            removals.push(match removed {
                Ok(Left::Nothing) => Removal::Done,
                Ok(Left::Directory) if how.leave_directory => Removal::Done,
                Ok(Left::Everything) => Removal::Spared,
                Ok(Left::Directory) => match opened.as_ref().map_or(Ok(()), |above| remove_directory(above, name)) {
                    Ok(()) => Removal::Done,
                    Err(error) => Removal::LeftDirectory(self.error("remove", directory, error)),
                },
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                    Removal::Failed(Error::OtherFilesystem(self.path(key).display().to_string()))
                }
                Err(error) => Removal::Failed(self.error("remove", key, error)),
            });
        }
        removals
    }

    fn remove_empty_directories(
        &self,
        directories: &[String],
        unless_modified_since: Option<SystemTime>,
    ) -> Vec<Result<(), Error>> {
        // Those of one directory follow each other.
        let mut last: Option<(&str, io::Result<OwnedFd>)> = None;
        let remove = |directory| {
            let (above, name) = split(directory);
            let opened = match &mut last {
                Some((path, opened)) if *path == above => opened,
                _ => &mut last.insert((above, self.open_beneath(above))).1,
            };
            let removed = match opened {
                Ok(above) => remove_if_old(above, name, unless_modified_since),
                Err(error) => Err(copy(error)),
            };
            not_empty_is_fine(removed).map_err(|error| self.error("remove", directory, error))
        };
        directories.iter().map(String::as_str).map(remove).collect()
    }

    fn lock(&self, holder: &Holder) -> Result<Lock, Error> {
        self.take_lock(holder)
    }

    fn check_removable(&self, directory: &str, to_trash: bool) -> Result<(), Error> {
        let path = self.path(directory);
        let fail = |error| self.error("change anything in", directory, error);
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        absent_is_fine(rustix::fs::accessat(CWD, &path, wanted, AtFlags::EACCESS).map_err(Into::into)).map_err(fail)?;
        if to_trash { self.check_movable(directory) } else { Ok(()) }
    }

    fn as_trash(&self) -> Option<&dyn TrashStorage> {
        Some(self)
    }
}

impl FilesystemStorage {
    fn open_above(&self, above: &str, how: &Removing<'_>) -> io::Result<Above> {
        let directory = match self.open_beneath(above) {
            Ok(directory) => Some(directory),
            Err(error) if is_absent(&error) => return Ok(Above { directory: None, into: None }),
            Err(error) => return Err(error),
        };
        let into = how.into.map(|into| {
            let directory = self.make_beneath(&format!("{into}/{above}"), false)?;
            let stat = rustix::fs::fstat(&directory)?;
            let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            let own = (rustix::process::geteuid(), rustix::process::getegid());
            // Only root may change an owner, and only root must.
            let owner = (own.0.is_root() && owner != own).then_some(owner);
            io::Result::Ok(Destination { directory, owner })
        });
        Ok(Above { directory, into: into.transpose()? })
    }
}

/// Removes `directory/object` from the directory above.
fn remove_object(above: &Above, directory: &str, object: &str, unless: Option<SystemTime>) -> io::Result<Left> {
    let is_late = |stat: &Stat| unless.is_some_and(|since| modified(stat) >= since);
    let Some(at) = &above.directory else { return Ok(Left::Nothing) };
    let opened = match open_child(at, directory) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return remove_in_place(above, directory, is_late);
        }
        Err(error) if is_absent(&error) => return Ok(Left::Nothing),
        opened => opened?,
    };
    if unless.is_some() {
        match rustix::fs::statat(&opened, object, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from) {
            Ok(stat) if is_late(&stat) => return Ok(Left::Everything),
            Ok(_) => {}
            Err(error) if is_absent(&error) => return Ok(Left::Directory),
            Err(error) => return Err(error),
        }
    }
    let into = above.into.as_ref().map(|into| {
        make_directory(into, directory)?;
        open_child(&into.directory, directory)
    });
    match take_away(&opened, into.transpose()?.as_ref(), object, is_late)? {
        true => Ok(Left::Directory),
        false => Ok(Left::Everything),
    }
}

/// Removes a symbolic link that is in the place of an object's directory. Following it would remove what another
/// directory holds, maybe another store's.
fn remove_in_place(above: &Above, directory: &str, is_late: impl Fn(&Stat) -> bool) -> io::Result<Left> {
    let Some(at) = &above.directory else { return Ok(Left::Nothing) };
    let stat = rustix::fs::statat(at, directory, AtFlags::SYMLINK_NOFOLLOW)?;
    // A foreign file: what was to be removed does not exist.
    if !FileType::from_raw_mode(stat.st_mode).is_symlink() {
        return Ok(Left::Nothing);
    }
    if is_late(&stat) || !take_away(at, above.into.as_ref().map(|into| &into.directory), directory, is_late)? {
        return Ok(Left::Everything);
    }
    Ok(Left::Nothing)
}

/// Creates a directory if it does not exist. A registry that is not root must be able to use what root has created
/// for it.
fn make_directory(into: &Destination, name: &str) -> io::Result<()> {
    match rustix::fs::mkdirat(&into.directory, name, Mode::from_raw_mode(0o777)) {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    if let Some((user, group)) = into.owner {
        rustix::fs::chownat(&into.directory, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

/// Removes a file or symbolic link, or moves it to where it is to be kept. Returns whether it is gone: what was
/// written just before it was moved is moved back.
fn take_away(at: &OwnedFd, into: Option<&OwnedFd>, path: &str, is_late: impl Fn(&Stat) -> bool) -> io::Result<bool> {
    let Some(into) = into else {
        return absent_is_fine(rustix::fs::unlinkat(at, path, AtFlags::empty()).map_err(Into::into)).map(|()| true);
    };
    if let Err(error) = rename(at, Path::new(path), into, Path::new(path)) {
        // Either the file or the place for it is absent.
        return match rustix::fs::statat(at, path, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => Ok(true),
            _ => Err(error),
        };
    }
    if !is_late(&rustix::fs::statat(into, path, AtFlags::SYMLINK_NOFOLLOW)?) {
        return Ok(true);
    }
    match rename(into, Path::new(path), at, Path::new(path)) {
        // It was written again.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        moved => moved.map(|()| false),
    }
}

/// Removes an empty directory unless it was modified at this time or later.
fn remove_if_old(above: &OwnedFd, name: &str, unless: Option<SystemTime>) -> io::Result<()> {
    let is_late = |found: &Stat| unless.is_some_and(|since| modified(found) >= since);
    match rustix::fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW)? {
        found if is_late(&found) => Ok(()),
        _ => Ok(rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR)?),
    }
}

/// Removes a directory if it is empty.
fn remove_directory(above: &Above, directory: &str) -> io::Result<()> {
    let Some(at) = &above.directory else { return Ok(()) };
    not_empty_is_fine(rustix::fs::unlinkat(at, directory, AtFlags::REMOVEDIR).map_err(Into::into))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::open_directory;
    use super::*;

    #[test]
    fn object_written_just_before_move_is_moved_back() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["from", "into"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        let write = |text: &str| fs::write(root.path().join("from/link"), text).unwrap();
        let read = |path: &str| fs::read_to_string(root.path().join(path)).ok();
        let [from, into] = ["from", "into"].map(|directory| open_directory(&root.path().join(directory)).unwrap());
        write("pushed again");
        assert!(!take_away(&from, Some(&into), "link", |_| true).unwrap());
        assert_eq!((read("from/link").as_deref(), read("into/link")), (Some("pushed again"), None));
        // And written again while it was away.
        let written_once_more = |_: &Stat| {
            write("and again");
            true
        };
        assert!(!take_away(&from, Some(&into), "link", written_once_more).unwrap());
        assert_eq!(read("from/link").as_deref(), Some("and again"));
        fs::remove_file(root.path().join("into/link")).unwrap();
        assert!(take_away(&from, Some(&into), "link", |_| false).unwrap());
        assert_eq!((read("from/link"), read("into/link").as_deref()), (None, Some("and again")));
        assert!(take_away(&from, Some(&into), "link", |_| true).unwrap(), "what is not there is gone");
    }
}
