//! What can be moved to regc's own directory: a move cannot cross into another file system, nor into a second mount
//! of the same one.

use std::io;

use rustix::fd::AsFd;
use rustix::io::Errno;

use super::{FilesystemStorage, open_directory};
use crate::error::Error;
use crate::registry::layout;

impl FilesystemStorage {
    /// Fails unless what is in `directory` can be moved to the trash, and new files from beside the trash to
    /// `directory`. The error names the first directory on the way where another file system or mount begins.
    pub(super) fn check_movable(&self, directory: &str) -> Result<(), Error> {
        let fail = |error| self.error("look at", directory, error);
        // A directory that does not exist yet will be created in the one above.
        let own = [layout::TRASH, layout::OWN].into_iter().find_map(|own| open_directory(&self.path(own)).ok());
        let own = own.map_or_else(|| open_directory(&self.root), Ok).map_err(fail)?;
        let is_apart = |directory: &str| match open_directory(&self.path(directory)) {
            Ok(opened) => are_together(&opened, &own).map(|are_together| !are_together),
            Err(_) => Ok(false),
        };
        if !is_apart(directory).map_err(fail)? {
            return Ok(());
        }
        let ends = directory.match_indices('/').map(|(end, _)| end);
        for above in ends.map(|end| &directory[..end]) {
            if is_apart(above).map_err(fail)? {
                return Err(Error::OtherFilesystem(self.path(above).display().to_string()));
            }
        }
        Err(Error::OtherFilesystem(self.path(directory).display().to_string()))
    }
}

/// Whether something can be moved from one directory to another. Comparing devices is not enough: a bind mount has
/// the device of what it shows.
fn are_together(one: impl AsFd, other: impl AsFd) -> io::Result<bool> {
    if rustix::fs::fstat(&one)?.st_dev != rustix::fs::fstat(&other)?.st_dev {
        return Ok(false);
    }
    // This never moves anything. The kernel rejects the name `.` only after it has compared the mounts.
    Ok(rustix::fs::renameat(&one, ".", &other, ".") != Err(Errno::XDEV))
}
