//! Removing, or moving to the trash.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use rustix::fd::OwnedFd;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode};

use super::trash::{make_directories, rename};
use super::{FilesystemStorage, absent_is_fine, copy, is_absent, modified, not_empty_is_fine, open_directory};
use crate::error::Error;
use crate::lock::{Holder, Lock};
use crate::storage::{DeleteStorage, Removal, Removing};

/// A directory of directories with an object each, and where those are moved to.
struct Above {
    directory: OwnedFd,
    into: Option<OwnedFd>,
}

/// What is left of an object and its directory.
enum Left {
    Nothing,
    Directory,
    Everything,
}

impl DeleteStorage for FilesystemStorage {
    fn remove(&self, keys: &[String], how: &Removing<'_>) -> Vec<Removal> {
        // Keys come sorted, so that those of one directory's directories follow each other.
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
                Err(error) => absent_is_fine(Err(copy(error))).map(|()| Left::Nothing),
            };
            removals.push(match removed {
                Ok(Left::Nothing) => Removal::Done,
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
        let remove = |directory: &String| {
            let path = self.path(directory);
            let fail = |error| self.error("remove", directory, error);
            if let Some(since) = unless_modified_since {
                match fs::symlink_metadata(&path).and_then(|metadata| metadata.modified()) {
                    Ok(modified) if modified >= since => return Ok(()),
                    Ok(_) => {}
                    Err(error) if is_absent(&error) => return Ok(()),
                    Err(error) => return Err(fail(error)),
                }
            }
            not_empty_is_fine(fs::remove_dir(path)).map_err(fail)
        };
        directories.iter().map(remove).collect()
    }

    fn lock(&self, holder: &Holder) -> Result<Lock, Error> {
        self.take_lock(holder)
    }

    fn check_removable(&self, directory: &str, to_trash: bool) -> Result<(), Error> {
        let path = self.path(directory);
        let fail = |error| self.error("remove anything in", directory, error);
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        absent_is_fine(rustix::fs::accessat(CWD, &path, wanted, AtFlags::EACCESS).map_err(Into::into)).map_err(fail)?;
        if to_trash && let Ok(metadata) = fs::metadata(&path) {
            let root = fs::metadata(&self.root).map_err(fail)?;
            if metadata.dev() != root.dev() {
                return Err(Error::OtherFilesystem(path.display().to_string()));
            }
        }
        Ok(())
    }
}

impl FilesystemStorage {
    fn open_above(&self, above: &str, how: &Removing<'_>) -> io::Result<Above> {
        let directory = open_directory(&self.path(above))?;
        let into = how.into.map(|into| {
            let path = self.path(into).join(above);
            make_directories(&path)?;
            open_directory(&path)
        });
        Ok(Above { directory, into: into.transpose()? })
    }
}

/// Removes `directory/object` from the directory above.
fn remove_object(above: &Above, directory: &str, object: &str, unless: Option<SystemTime>) -> io::Result<Left> {
    let is_late = |stat| unless.is_some_and(|since| modified(stat) >= since);
    let at = &above.directory;
    match rustix::fs::statat(at, directory, AtFlags::SYMLINK_NOFOLLOW) {
        // Going on would remove what another directory holds, maybe another store's.
        Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_symlink() => {
            if is_late(&stat) {
                return Ok(Left::Everything);
            }
            absent_is_fine(take_away(above, Path::new(directory)))?;
            Ok(Left::Nothing)
        }
        Ok(_) => {
            let object = [directory, "/", object].concat();
            if unless.is_some() {
                match rustix::fs::statat(at, &*object, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from) {
                    Ok(stat) if is_late(&stat) => return Ok(Left::Everything),
                    Ok(_) => {}
                    Err(error) if is_absent(&error) => return Ok(Left::Directory),
                    Err(error) => return Err(error),
                }
            }
            if let Some(into) = &above.into {
                match rustix::fs::mkdirat(into, directory, Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            absent_is_fine(take_away(above, Path::new(&object)))?;
            Ok(Left::Directory)
        }
        Err(error) => absent_is_fine(Err(error.into())).map(|()| Left::Nothing),
    }
}

/// Removes a file or symbolic link, or moves it to where it is to be kept.
fn take_away(above: &Above, path: &Path) -> io::Result<()> {
    match &above.into {
        Some(into) => rename(&above.directory, path, into, path),
        None => Ok(rustix::fs::unlinkat(&above.directory, path, AtFlags::empty())?),
    }
}

/// Removes a directory if it is empty.
fn remove_directory(above: &Above, directory: &str) -> io::Result<()> {
    not_empty_is_fine(rustix::fs::unlinkat(&above.directory, directory, AtFlags::REMOVEDIR).map_err(Into::into))
}
