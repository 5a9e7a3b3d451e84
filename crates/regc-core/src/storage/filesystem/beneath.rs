//! Opening what is to be changed without following symbolic links.
//!
//! Operators may put the directories above repositories and blobs on other disks, behind symbolic links. Those are
//! followed. Below them, and in regc's own directory, a user who may write to the storage could redirect a removal
//! elsewhere, for example into another repository. So each component from there on is opened by itself, and never
//! through a link.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{FilesystemStorage, open_directory};
use crate::error::Error;
use crate::registry::layout;

/// Returns how much of a key names directories that may be symbolic links: everything down to the directory of all
/// repositories, or to the directory of blobs whose hashes begin the same.
pub(super) fn known(key: &str) -> usize {
    let is_below = |top: &str| key.strip_prefix(top).is_some_and(|below| below.is_empty() || below.starts_with('/'));
    if is_below(layout::BLOBS) {
        let below = &key[layout::BLOBS.len()..];
        // `/<algorithm>/<first two hex>`
        below.match_indices('/').nth(2).map_or(key.len(), |(end, _)| layout::BLOBS.len() + end)
    } else if is_below(layout::REPOSITORIES) {
        layout::REPOSITORIES.len()
    } else if layout::REPOSITORIES.starts_with(key) || layout::BLOBS.starts_with(key) {
        key.len()
    } else {
        0
    }
}

impl FilesystemStorage {
    /// Opens a directory in which something is to be changed.
    ///
    /// Fails with [`Error::ThroughSymlink`] as the inner error if a symbolic link is on the way where none is
    /// allowed.
    pub(super) fn open_beneath(&self, directory: &str) -> io::Result<OwnedFd> {
        let known = known(directory);
        let start = open_directory(&self.path(&directory[..known]))?;
        let rest = directory[known..].trim_start_matches('/');
        if rest.is_empty() {
            return Ok(start);
        }
        match open_without_links(&start, rest) {
            Err(error) if is_symlink_error(&error) => Err(self.at_symlink(&start, directory, known, error)),
            opened => opened,
        }
    }

    /// Creates a directory and those above it that are absent, and opens it. What is created gets the owner of the
    /// directory above it, so that a registry that is not root can use what root has created for it. If `lasting`, it
    /// survives a power cut.
    pub(super) fn make_beneath(&self, directory: &str, lasting: bool) -> io::Result<OwnedFd> {
        // A thread that saw a directory that another thread has created but not given away yet would create more like
        // it.
        let opened = {
            let _nothing_is_made = self.making.read();
            self.open_beneath(directory)
        };
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let _making = self.making.write();
                self.make(directory, lasting)
            }
            opened => opened,
        }
    }

    /// Creates a directory and those above it, while no other thread creates any.
    fn make(&self, directory: &str, lasting: bool) -> io::Result<OwnedFd> {
        match self.open_beneath(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.is_empty() => {}
            opened => return opened,
        }
        let (above, name) = split(directory);
        let parent = self.make(above, lasting)?;
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o777)) {
            Ok(()) => {
                // A user who may write above could put a symbolic link here, and would become the owner of its
                // target.
                let made = File::from(rustix::fs::openat(&parent, name, READ, Mode::empty())?);
                let given = give_as(&made, &parent).and_then(|permissions| made.set_permissions(permissions));
                if given.is_err() {
                    // The owner of the directory above may have no disk quota left. What they do not own must not
                    // stay.
                    rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR).ok();
                }
                given?;
                if lasting {
                    sync(&parent)?;
                }
            }
            // Another process has created it.
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.open_beneath(directory)
    }

    /// Returns the error for a symbolic link, with its path, if one is there.
    fn at_symlink(&self, start: &OwnedFd, directory: &str, known: usize, error: io::Error) -> io::Error {
        let offset = directory.len() - directory[known..].trim_start_matches('/').len();
        let rest = &directory[offset..];
        let ends = rest.match_indices('/').map(|(end, _)| end).chain([rest.len()]);
        for end in ends {
            match rustix::fs::statat(start, &rest[..end], AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink() => {
                    let key = &directory[..offset + end];
                    return io::Error::other(Error::ThroughSymlink(self.path(key).display().to_string()));
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        error
    }
}

/// For a call that follows no symbolic link, a link to a directory is not a directory.
fn is_symlink_error(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::NOTDIR | Errno::MLINK))
}

/// Flags to read a directory, or to change its owner and permissions.
const READ: OFlags = FLAGS.union(OFlags::RDONLY);
const FLAGS: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(target_os = "linux")]
const PLACE: OFlags = FLAGS.union(OFlags::PATH);
#[cfg(not(target_os = "linux"))]
const PLACE: OFlags = FLAGS;

/// Opens a directory below another one, in one call where the system can.
#[cfg(target_os = "linux")]
fn open_without_links(start: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    match rustix::fs::openat2(start, path, PLACE, Mode::empty(), resolve) {
        // Old kernels, and sandboxes that do not know it.
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => open_each(start, path),
        opened => Ok(opened?),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_without_links(start: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
    open_each(start, path)
}

/// Opens a directory component by component.
fn open_each(start: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
    let mut opened: Option<OwnedFd> = None;
    for name in path.split('/') {
        // `..` would lead out of the storage, and no key contains it.
        if matches!(name, "" | "." | "..") {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        opened = Some(open_child(opened.as_ref().unwrap_or(start), name)?);
    }
    opened.ok_or(io::ErrorKind::InvalidInput.into())
}

/// Splits a key into its directory and its last component.
pub(super) fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}

/// Gives a new file or directory to the owner of the directory above it, and returns that directory's permissions.
pub(super) fn give_as(made: &File, above: &OwnedFd) -> io::Result<Permissions> {
    let (like, own) = (rustix::fs::fstat(above)?, made.metadata()?);
    if (like.st_uid, like.st_gid) != (own.uid(), own.gid()) {
        match fchown(made, Some(like.st_uid), Some(like.st_gid)) {
            // Only root may, and only root must.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !rustix::process::geteuid().is_root() => {}
            given => given?,
        }
    }
    #[allow(clippy::useless_conversion, reason = "it has 16 bits on macOS")]
    Ok(Permissions::from_mode(u32::from(like.st_mode) & 0o7777))
}

/// Makes new names in a directory survive a power cut.
pub(super) fn sync(directory: &OwnedFd) -> io::Result<()> {
    File::from(rustix::fs::openat(directory, ".", READ, Mode::empty())?).sync_all()
}

/// Opens a directory directly in another one, unless it is a symbolic link.
pub(super) fn open_child(directory: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(directory, name, PLACE, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn layout_directories_may_be_symbolic_links() {
        let shard = format!("{}/sha256/ab", layout::BLOBS);
        for (key, expected) in [
            (format!("{shard}/abcd"), shard.len()),
            (shard.clone(), shard.len()),
            (layout::BLOBS.to_owned(), layout::BLOBS.len()),
            (format!("{}x/sha256", layout::BLOBS), 0),
            (format!("{}/app/_layers", layout::REPOSITORIES), layout::REPOSITORIES.len()),
            ("docker/registry".to_owned(), 15),
            (format!(".regc/trash/run/{shard}"), 0),
            (".regc".to_owned(), 0),
        ] {
            assert_eq!(known(&key), expected, "{key}");
        }
    }

    #[test]
    fn both_ways_of_opening_follow_no_link() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b/c")).unwrap();
        symlink("b", root.path().join("a/link")).unwrap();
        let start = open_directory(root.path()).unwrap();
        for open in [open_without_links, open_each] {
            assert!(open(&start, "a/b/c").is_ok());
            for path in ["a/link/c", "a/link", "..", "a/b/none"] {
                assert!(open(&start, path).is_err(), "{path}");
            }
        }
    }
}
