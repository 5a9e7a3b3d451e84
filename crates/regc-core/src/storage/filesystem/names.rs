//! The names in a directory and their kinds, as the directory itself records them.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};

use super::EntryKind;
use crate::error::Error;

/// Receives a name and its kind; `None` is a symbolic link.
type Visit<'a> = dyn FnMut(&OsStr, Option<EntryKind>) -> Result<(), Error> + 'a;

/// Calls `visit` for every name in the directory at a path relative to another one, up to its first failure, which is
/// the inner result.
pub(super) fn each(start: BorrowedFd<'_>, path: &Path, visit: &mut Visit<'_>) -> io::Result<Result<(), Error>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    each_in(openat(start, path, flags, Mode::empty())?, visit)
}

#[cfg(target_os = "linux")]
fn each_in(directory: OwnedFd, visit: &mut Visit<'_>) -> io::Result<Result<(), Error>> {
    // Most listings are of directories of blobs: this holds some hundred of their names.
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = rustix::fs::RawDir::new(&directory, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if let Err(error) = tell(&directory, entry.file_name(), entry.file_type(), visit)? {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

#[cfg(not(target_os = "linux"))]
fn each_in(directory: OwnedFd, visit: &mut Visit<'_>) -> io::Result<Result<(), Error>> {
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        if let Err(error) = tell(&directory, entry.file_name(), entry.file_type(), visit)? {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

fn tell(directory: &OwnedFd, name: &CStr, file_type: FileType, visit: &mut Visit<'_>) -> io::Result<Result<(), Error>> {
    if matches!(name.to_bytes(), b"." | b"..") {
        return Ok(Ok(()));
    }
    let file_type = match file_type {
        // Some file systems do not record the kind.
        FileType::Unknown => match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(rustix::io::Errno::NOENT) => return Ok(Ok(())),
            Err(error) => return Err(error.into()),
        },
        known => known,
    };
    let kind = match file_type {
        FileType::Symlink => None,
        FileType::Directory => Some(EntryKind::Directory),
        FileType::RegularFile => Some(EntryKind::File),
        _ => Some(EntryKind::Other),
    };
    Ok(visit(OsStr::from_bytes(name.to_bytes()), kind))
}
