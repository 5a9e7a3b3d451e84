//! Files that other programs read: they are whole at any time.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process;

use regc_core::registry::layout;

use crate::interruption::Interruption;
use crate::source::real;

/// Writes a file beside its place, and puts it there when it is whole. It keeps its owner and mode; a new one can be read by
/// everybody. What is behind a symbolic link is replaced, not the link; what is no file, as a device, is written to.
pub fn replace(path: &Path, content: &str) -> io::Result<()> {
    let path = real(path);
    let found = fs::metadata(&path).ok();
    if found.as_ref().is_some_and(|found| !found.is_file()) {
        return write_to(path, content.to_owned());
    }
    let beside = beside(&path)?;
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(content.as_bytes())?;
        let mode = found.as_ref().map_or(0o644, |found| found.mode() & 0o777);
        file.set_permissions(Permissions::from_mode(mode))?;
        if let Some(found) = &found {
            // Only root can, and needs to.
            chown(&beside, Some(found.uid()), Some(found.gid())).ok();
        }
        Ok(())
    });
    written.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// Writes to what is no file. A pipe that nobody reads holds that up for ever, so a signal ends it.
fn write_to(path: PathBuf, content: String) -> io::Result<()> {
    let interruption = Interruption::watch()?;
    let written = interruption.or(move || OpenOptions::new().write(true).open(path)?.write_all(content.as_bytes()));
    written.unwrap_or_else(|| Err(io::ErrorKind::Interrupted.into()))
}

/// Returns the absolute path of a file, which need not exist.
fn place(path: &Path) -> io::Result<PathBuf> {
    if path.is_symlink() && !path.exists() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it is a dangling symbolic link"));
    }
    if path.exists() {
        return path.canonicalize();
    }
    let directory = path.parent().filter(|directory| *directory != Path::new("")).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::IsADirectory, "not the name of a file"))?;
    Ok(directory.canonicalize()?.join(name))
}

/// Whether two paths lead to one file, or would.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    match (file(one), file(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => place(one).is_ok_and(|one| place(other).is_ok_and(|other| one == other)),
        _ => false,
    }
}

/// Fails if a file cannot be meant: it is in the store, or no file can be written there. Nothing is written yet.
pub fn check(path: &Path, root: &Path) -> io::Result<()> {
    let invalid = |reason: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    let place = place(path)?;
    let found = fs::metadata(&place).ok().map(|found| found.file_type());
    if found.is_some_and(|found| found.is_dir()) {
        return invalid("it is a directory");
    }
    // Who reads a pipe would take its being opened and closed for the end.
    if found.is_some_and(|found| found.is_fifo()) {
        return Ok(());
    }
    let root = real(root);
    if [layout::ROOT, layout::OWN].iter().any(|own| place.starts_with(root.join(own))) {
        return invalid("it is in the store");
    }
    if place.exists() {
        return OpenOptions::new().write(true).open(&place).map(drop);
    }
    let beside = beside(&place)?;
    File::create(&beside)?;
    fs::remove_file(&beside)
}

/// Returns a path beside another one. Its name ends differently: node exporter reads all files that end in `.prom`.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::IsADirectory, "not the name of a file"))?;
    let mut beside = name.to_owned();
    beside.push(format!(".{}", process::id()));
    Ok(path.with_file_name(beside))
}
