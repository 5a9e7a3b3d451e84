//! Keeping what is removed: new files that last, and moves that overwrite nothing.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;
use std::time::SystemTime;

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};

use super::{FilesystemStorage, absent_is_fine, is_absent};
use crate::error::Error;
use crate::storage::{Moved, TrashStorage};

impl TrashStorage for FilesystemStorage {
    fn create(&self, key: &str, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        let path = self.path(key);
        self.create_file(&path, write).map_err(|error| self.error("write", key, error))
    }

    fn move_object(&self, from: &str, to: &str, below: &str) -> Result<Moved, Error> {
        let (source, target) = (self.path(from), self.path(to));
        let fail = |error| self.error("move", from, error);
        if fs::symlink_metadata(&source).is_err_and(|error| is_absent(&error)) {
            return Ok(Moved::Absent);
        }
        make_directories(target.parent().unwrap_or(&target)).map_err(fail)?;
        match rename(CWD, &source, CWD, &target) {
            Ok(()) => {
                let kept = self.path(below);
                let emptied = source.ancestors().skip(1).take_while(|directory| *directory != kept);
                for directory in emptied {
                    if fs::remove_dir(directory).is_err() {
                        break;
                    }
                }
                Ok(Moved::Done)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Moved::Exists),
            Err(error) if is_absent(&error) => Ok(Moved::Absent),
            Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                Err(Error::OtherFilesystem(target.display().to_string()))
            }
            Err(error) => Err(fail(error)),
        }
    }

    fn replace(&self, from: &str, to: &str, into: &str, unless: Option<SystemTime>) -> Result<bool, Error> {
        let [source, target, kept] = [self.path(from), self.path(to), self.path(into).join(to)];
        Self::replace_file(&source, &target, &kept, unless).map_err(|error| match error.kind() {
            ErrorKind::CrossesDevices => Error::OtherFilesystem(target.display().to_string()),
            _ => self.error("replace", to, error),
        })
    }

    fn remove_all(&self, key: &str) -> Result<(), Error> {
        let path = self.path(key);
        let removed = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        absent_is_fine(removed).map_err(|error| self.error("remove", key, error))
    }
}

impl FilesystemStorage {
    fn create_file(&self, path: &Path, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let above = path.parent().unwrap_or(path);
        make_directories(above)?;
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        // A registry that is not root must be able to use, and to replace, what root has made for it.
        give_as(&file, above)?;
        let mut file = BufWriter::new(file);
        let written = write(&mut file).and_then(|()| file.flush()).and_then(|()| file.get_ref().sync_all());
        if let Err(error) = written {
            // Half of it is worse than nothing.
            fs::remove_file(path).ok();
            return Err(error);
        }
        // Somebody else may have made those above just now.
        let mut directories = path.ancestors().skip(1).take_while(|directory| directory.starts_with(&self.root));
        directories.try_for_each(sync)
    }

    fn replace_file(source: &Path, target: &Path, kept: &Path, unless: Option<SystemTime>) -> io::Result<bool> {
        let [above, above_kept] = [target, kept].map(|path| path.parent().unwrap_or(path));
        make_lasting_directories(above)?;
        // It was made elsewhere. What is beside it tells who must be able to use it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(CWD, source, flags, Mode::empty())?);
        let mode = give_as(&file, above)?.mode() & 0o666;
        file.set_permissions(Permissions::from_mode(mode))?;
        match fs::symlink_metadata(target) {
            Ok(metadata) if unless.is_some_and(|since| metadata.modified().is_ok_and(|late| late >= since)) => {
                return Ok(false);
            }
            // A second name first: at no time is there nothing, and at no time is what was there lost.
            Ok(_) => {
                make_directories(above_kept)?;
                match rustix::fs::linkat(CWD, target, CWD, kept, AtFlags::empty()) {
                    Ok(()) => fs::rename(source, target)?,
                    // A directory, somebody else's file, or a file system without such names.
                    Err(rustix::io::Errno::PERM) => {
                        rustix::fs::renameat_with(CWD, source, CWD, target, RenameFlags::EXCHANGE)?;
                        rename(CWD, source, CWD, kept)?;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) if is_absent(&error) => match rename(CWD, source, CWD, target) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
                renamed => renamed?,
            },
            Err(error) => return Err(error),
        }
        sync(above)?;
        Ok(true)
    }
}

/// Makes names in a directory last that were just made.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes a directory and those above it that are absent. They belong to whom the nearest one above belongs, so that a
/// registry that is not root can use what root has made for it.
pub(super) fn make_directories(path: &Path) -> io::Result<()> {
    make(path, false)
}

/// The same, and they survive a power cut.
fn make_lasting_directories(path: &Path) -> io::Result<()> {
    make(path, true)
}

fn make(path: &Path, lasting: bool) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => return Err(ErrorKind::NotADirectory.into()),
        Err(error) if is_absent(&error) => {}
        Err(error) => return Err(error),
    }
    let above = path.parent().ok_or(ErrorKind::NotFound)?;
    make(above, lasting)?;
    match fs::create_dir(path) {
        // Another thread has made it.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    // Whoever may write above could put a symbolic link here, and would be given what it leads to.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
    made.set_permissions(give_as(&made, above)?.permissions())?;
    if lasting { sync(above) } else { Ok(()) }
}

/// Gives a new file or directory to whom the directory above it belongs.
fn give_as(made: &File, above: &Path) -> io::Result<Metadata> {
    let (like, own) = (fs::metadata(above)?, made.metadata()?);
    if (like.uid(), like.gid()) != (own.uid(), own.gid()) {
        match fchown(made, Some(like.uid()), Some(like.gid())) {
            // Only root may, and only who is root must.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && !rustix::process::geteuid().is_root() => {}
            given => given?,
        }
    }
    Ok(like)
}

/// Moves a file or symbolic link to where nothing is.
pub(super) fn rename(from: impl AsFd, source: &Path, to: impl AsFd, target: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(&from, source, &to, target, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it, as NFS.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            match rustix::fs::statat(&to, target, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Err(ErrorKind::AlreadyExists.into()),
                Err(rustix::io::Errno::NOENT) => Ok(rustix::fs::renameat(from, source, to, target)?),
                Err(error) => Err(error.into()),
            }
        }
        renamed => Ok(renamed?),
    }
}
