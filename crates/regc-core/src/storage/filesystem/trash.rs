//! Keeping what is removed: durable new files, and moves that overwrite nothing.

use std::ffi::CStr;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};

use super::beneath::{give_as, split, sync};
use super::{FilesystemStorage, absent_is_fine, is_absent, modified};
use crate::error::Error;
use crate::storage::{Moved, TrashStorage};

/// A file in a directory.
struct Place<'a> {
    above: OwnedFd,
    name: &'a str,
}

impl TrashStorage for FilesystemStorage {
    fn create(&self, key: &str, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        self.create_file(key, write).map_err(|error| self.error("write", key, error))
    }

    fn move_object(&self, from: &str, to: &str, below: &str) -> Result<Moved, Error> {
        self.move_file(from, to, below).map_err(|error| match error.kind() {
            ErrorKind::CrossesDevices => Error::OtherFilesystem(self.path(to).display().to_string()),
            _ => self.error("move", from, error),
        })
    }

    fn replace(&self, from: &str, to: &str, into: &str, unless: Option<SystemTime>) -> Result<bool, Error> {
        self.replace_file(from, to, &format!("{into}/{to}"), unless).map_err(|error| match error.kind() {
            ErrorKind::CrossesDevices => Error::OtherFilesystem(self.path(to).display().to_string()),
            _ => self.error("replace", to, error),
        })
    }

    fn remove_all(&self, key: &str) -> Result<(), Error> {
        let (above, name) = split(key);
        let removed = self.open_beneath(above).and_then(|above| remove_tree(&above, name));
        absent_is_fine(removed).map_err(|error| self.error("remove", key, error))
    }
}

impl FilesystemStorage {
    fn create_file(&self, key: &str, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let (directory, name) = split(key);
        let above = self.make_beneath(directory, false)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&above, name, flags, Mode::from_raw_mode(0o666))?);
        let created = fill(file, &above, write).and_then(|()| {
            // Another process may just have created the directories above.
            let ends = directory.match_indices('/').map(|(end, _)| end).chain([0, directory.len()]);
            ends.map(|end| self.open_beneath(&directory[..end])).try_for_each(|directory| sync(&directory?))
        });
        if created.is_err() {
            // Half of a file is worse than none.
            rustix::fs::unlinkat(&above, name, AtFlags::empty()).ok();
        }
        created
    }

    fn move_file(&self, from: &str, to: &str, below: &str) -> io::Result<Moved> {
        let ((directory, name), (target_directory, target)) = (split(from), split(to));
        let source = match self.open_beneath(directory) {
            Err(error) if is_absent(&error) => return Ok(Moved::Absent),
            opened => opened?,
        };
        match rustix::fs::statat(&source, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from) {
            Err(error) if is_absent(&error) => return Ok(Moved::Absent),
            found => drop(found?),
        }
        let above = self.make_beneath(target_directory, false)?;
        match rename(&source, Path::new(name), &above, Path::new(target)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Moved::Exists),
            Err(error) if is_absent(&error) => return Ok(Moved::Absent),
            renamed => renamed?,
        }
        let mut emptied = directory;
        while emptied.len() > below.len() {
            let (above, name) = split(emptied);
            let removed = self.open_beneath(above).map(|above| rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR));
            if !matches!(removed, Ok(Ok(()))) {
                break;
            }
            emptied = above;
        }
        Ok(Moved::Done)
    }

    fn replace_file(&self, from: &str, to: &str, kept: &str, unless: Option<SystemTime>) -> io::Result<bool> {
        let place = |key| {
            let (directory, name) = split(key);
            self.make_beneath(directory, true).map(|above| Place { above, name })
        };
        let (source, target) = (place(from)?, place(to)?);
        // The file was created elsewhere. The directory around it determines which user must be able to use it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&source.above, source.name, flags, Mode::empty())?);
        let mode = give_as(&file, &target.above)?.mode() & 0o666;
        file.set_permissions(Permissions::from_mode(mode))?;
        match rustix::fs::statat(&target.above, target.name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from) {
            Ok(found) if unless.is_some_and(|since| modified(&found) >= since) => return Ok(false),
            Ok(_) => put_in_place_of(&source, &target, &place(kept)?)?,
            Err(error) if is_absent(&error) => match source.rename(&target) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
                renamed => renamed?,
            },
            Err(error) => return Err(error),
        }
        sync(&target.above)?;
        Ok(true)
    }
}

/// Writes a new file that survives a power cut.
fn fill(file: File, above: &OwnedFd, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // A registry that is not root must be able to use, and to replace, what root has created for it.
    give_as(&file, above)?;
    let mut file = BufWriter::new(file);
    write(&mut file).and_then(|()| file.flush()).and_then(|()| file.get_ref().sync_all())
}

/// Replaces a file by another one, and keeps the old one. The old file gets a second name first: at no time is there
/// no file, and at no time is the old one lost.
fn put_in_place_of(source: &Place<'_>, target: &Place<'_>, kept: &Place<'_>) -> io::Result<()> {
    match rustix::fs::linkat(&target.above, target.name, &kept.above, kept.name, AtFlags::empty()) {
        Ok(()) => Ok(rustix::fs::renameat(&source.above, source.name, &target.above, target.name)?),
        // A directory, a foreign file, or a file system without hard links.
        Err(rustix::io::Errno::PERM) => {
            let exchange = RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(&source.above, source.name, &target.above, target.name, exchange)?;
            source.rename(kept)
        }
        Err(error) => Err(error.into()),
    }
}

impl Place<'_> {
    fn rename(&self, to: &Place<'_>) -> io::Result<()> {
        rename(&self.above, Path::new(self.name), &to.above, Path::new(to.name))
    }
}

/// Removes a file, or a directory with everything in it, none of it through a symbolic link.
fn remove_tree(above: &OwnedFd, name: impl rustix::path::Arg + Copy) -> io::Result<()> {
    let found = rustix::fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if !FileType::from_raw_mode(found.st_mode).is_dir() {
        return Ok(rustix::fs::unlinkat(above, name, AtFlags::empty())?);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(above, name, flags, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            absent_is_fine(remove_tree(&directory, name))?;
        }
    }
    Ok(rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR)?)
}

/// Moves a file or symbolic link to where nothing is.
pub(super) fn rename(from: impl AsFd, source: &Path, to: impl AsFd, target: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(&from, source, &to, target, RenameFlags::NOREPLACE) {
        // A file system that cannot guarantee it, such as NFS.
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
