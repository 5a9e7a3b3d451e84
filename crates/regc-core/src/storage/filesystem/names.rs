//! The names in a directory, with what each of them is, as the directory itself says.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::EntryKind;
use crate::error::Error;

/// Is told a name, and its kind; `None` is a symbolic link.
type Visit<'a> = dyn FnMut(&OsStr, Option<EntryKind>) -> Result<(), Error> + 'a;

/// Calls `visit` for every name in a directory, up to its first failure, which is the inner result.
#[cfg(target_os = "linux")]
pub(super) fn each(directory: &Path, visit: &mut Visit<'_>) -> io::Result<Result<(), Error>> {
    use std::os::unix::ffi::OsStrExt;

    use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, statat};

    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(CWD, directory, flags, Mode::empty())?;
    // The directories of blobs are what is listed most: this holds some hundred names of theirs.
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = RawDir::new(&opened, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let file_type = match entry.file_type() {
            // Some file systems do not say.
            FileType::Unknown => match statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(rustix::io::Errno::NOENT) => continue,
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
        if let Err(error) = visit(OsStr::from_bytes(name.to_bytes()), kind) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// Calls `visit` for every name in a directory, up to its first failure, which is the inner result.
#[cfg(not(target_os = "linux"))]
pub(super) fn each(directory: &Path, visit: &mut Visit<'_>) -> io::Result<Result<(), Error>> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let file_type = entry.file_type()?;
        let kind = (!file_type.is_symlink()).then(|| super::kind_of(file_type));
        if let Err(error) = visit(&entry.file_name(), kind) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}
