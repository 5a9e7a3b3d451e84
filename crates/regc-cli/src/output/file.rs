//! Files that other programs read: they are whole at any time.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process;

/// Writes a file beside its place, and puts it there when it is whole. Everybody may read it.
pub fn replace(path: &Path, content: &str) -> io::Result<()> {
    let beside = beside(path)?;
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(content.as_bytes())?;
        file.set_permissions(Permissions::from_mode(0o644))
    });
    written.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// Returns a path beside another one. Its name ends differently: node exporter reads all files that end in `.prom`.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::IsADirectory, "not the name of a file"))?;
    let mut beside = name.to_owned();
    beside.push(format!(".{}", process::id()));
    Ok(path.with_file_name(beside))
}
