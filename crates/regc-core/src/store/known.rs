//! The file in which a store's sessions cache what manifests refer to.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::error::Error;
use crate::scan::KnownManifests;

/// Reads the file. Nothing is known if there is none, or if it is damaged, of another version, or something else.
pub(super) fn read(path: &Path) -> KnownManifests {
    let is_file = fs::metadata(path).is_ok_and(|found| found.is_file());
    let content = is_file.then(|| fs::read(path).ok()).flatten();
    content.and_then(|content| KnownManifests::decode(&content)).unwrap_or_default()
}

/// Replaces the file, and creates its directory. Whoever reads it meanwhile sees the old content or the new, and a
/// crash leaves one of them, or something damaged, of which nothing is known.
pub(super) fn write(path: &Path, known: &KnownManifests) -> Result<(), Error> {
    let fail = |source: io::Error| Error::storage("write the cache of manifests", path.display().to_string(), source);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(fail(io::ErrorKind::InvalidInput.into()));
    };
    fs::create_dir_all(directory).map_err(fail)?;
    let prefix = format!("{}.", name.to_string_lossy());
    // What runs have left that were killed here: the lock excludes another one. A symbolic link is not followed.
    for left in fs::read_dir(directory).into_iter().flatten().flatten() {
        if left.file_name().to_string_lossy().starts_with(&prefix) {
            fs::remove_file(left.path()).ok();
        }
    }
    let beside = directory.join(format!("{prefix}{}", std::process::id()));
    let create = || File::options().write(true).create_new(true).open(&beside);
    let written =
        create().and_then(|mut file| file.write_all(&known.encode())).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        fs::remove_file(&beside).ok();
        fail(error)
    })
}
