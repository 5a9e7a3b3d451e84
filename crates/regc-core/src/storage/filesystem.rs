//! A registry's storage in a directory.

mod beneath;
mod lock;
mod mounts;
mod names;
mod remove;
mod trash;

use std::fs::{self, File, FileType};
use std::io::{self, ErrorKind, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat};
use walkdir::WalkDir;

use super::{Allocated, Content, Entry, EntryKind, Metadata, Owner, PosixMetadata, PosixStorage, ReadStorage};
use crate::error::Error;
use crate::sync::RwLock;

/// Storage below one directory, as the registry's `filesystem` driver keeps it.
#[derive(Debug)]
pub struct FilesystemStorage {
    root: PathBuf,
    /// The root without symbolic links, to detect what leads out of it.
    real_root: PathBuf,
    /// Held while a directory is created, until it has its owner.
    making: RwLock<()>,
}

impl FilesystemStorage {
    /// Opens the storage at `root`, the configuration's `rootdirectory`, which must exist.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = root.into();
        match fs::metadata(&root) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(Error::RootNotDirectory(root)),
            Err(error) if is_absent(&error) => return Err(Error::RootMissing(root)),
            Err(error) => return Err(Error::storage("open", root.display().to_string(), error)),
        }
        let real_root =
            root.canonicalize().map_err(|error| Error::storage("resolve", root.display().to_string(), error))?;
        Ok(Self { root, real_root, making: RwLock::default() })
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Opens a directory as a starting point, if it exists.
    fn open_directory(&self, directory: &str) -> Result<Option<OwnedFd>, Error> {
        match open_directory(&self.path(directory)) {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.error("open", directory, error)),
        }
    }

    /// Returns `None` for what is absent at `key`; an error if it is absent because a symbolic link on the way is
    /// dangling.
    fn absent<T>(&self, key: &str) -> Result<Option<T>, Error> {
        let ends = key.match_indices('/').map(|(end, _)| end).chain([key.len()]);
        for part in ends.map(|end| &key[..end]) {
            match fs::symlink_metadata(self.path(part)) {
                Ok(metadata) if metadata.is_symlink() && !self.path(part).exists() => {
                    return Err(Error::BrokenSymlink(part.to_owned()));
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Ok(None)
    }

    /// Lists the directory at a path relative to `start`; `key` is its own key.
    fn list_at(
        &self,
        start: BorrowedFd<'_>,
        path: &Path,
        key: &str,
        visit: &mut dyn FnMut(Entry<'_>),
    ) -> Result<bool, Error> {
        let follow = |name: &str| {
            let link = self.path(key).join(name);
            target_kind(&link).map_err(|error| Error::storage("follow", link.display().to_string(), error))
        };
        let listed = names::each(start, path, &mut |name, kind| {
            let Some(name) = name.to_str() else {
                let target = || target_kind(&self.path(key).join(name)).unwrap_or(EntryKind::Other);
                let kind = match kind.unwrap_or_else(target) {
                    EntryKind::Directory => EntryKind::Unnameable,
                    _ => EntryKind::Other,
                };
                visit(Entry { name: &name.to_string_lossy(), kind, symlink: false });
                return Ok(());
            };
            match kind {
                Some(kind) => visit(Entry { name, kind, symlink: false }),
                None => visit(Entry { name, kind: follow(name)?, symlink: true }),
            }
            Ok(())
        });
        match listed {
            Ok(result) => result.map(|()| true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(self.error("list", key, error)),
        }
    }

    fn error(&self, action: &'static str, key: &str, source: io::Error) -> Error {
        Error::storage(action, self.path(key).display().to_string(), source)
    }
}

impl ReadStorage for FilesystemStorage {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        self.list_at(CWD, &self.path(directory), directory, visit)
    }

    fn list_each(
        &self,
        directory: &str,
        directories: &[String],
        visit: &mut dyn FnMut(usize, Entry<'_>),
    ) -> Vec<Result<bool, Error>> {
        let opened = self.open_directory(directory);
        let list = |(number, below): (usize, &String)| {
            let key = format!("{directory}/{below}");
            match &opened {
                Ok(Some(opened)) => {
                    self.list_at(opened.as_fd(), Path::new(below), &key, &mut |entry| visit(number, entry))
                }
                Ok(None) => Ok(false),
                Err(_) => self.list(&key, &mut |entry| visit(number, entry)),
            }
        };
        directories.iter().enumerate().map(list).collect()
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        match read_at(CWD, self.path(key), limit).map_err(|error| self.error("read", key, error))? {
            None => self.absent(key),
            content => Ok(content),
        }
    }

    fn read_each(
        &self,
        directory: &str,
        keys: &[String],
        limit: u64,
        visit: &mut dyn FnMut(Option<Content>),
    ) -> Result<(), Error> {
        if let [key] = keys {
            visit(self.read(&format!("{directory}/{key}"), limit)?);
            return Ok(());
        }
        let Some(below) = self.open_directory(directory)? else {
            keys.iter().for_each(|_| visit(None));
            return Ok(());
        };
        for key in keys {
            let content = read_at(below.as_fd(), key, limit);
            let content = content.map_err(|error| self.error("read", &format!("{directory}/{key}"), error))?;
            visit(if content.is_none() { self.absent(&format!("{directory}/{key}"))? } else { content });
        }
        Ok(())
    }

    fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
        let fail = |error| self.error("read", key, error);
        let Some(file) = open_file(CWD, self.path(key)).map_err(fail)? else {
            return Ok(self.absent::<()>(key)?.is_some());
        };
        let mut buffer = Vec::with_capacity(PART_BYTES);
        loop {
            buffer.clear();
            let length = rustix::io::retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut buffer)));
            match length.map_err(io::Error::from) {
                Ok(0) => return Ok(true),
                Ok(_) if visit(&buffer).is_break() => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::IsADirectory => return Ok(false),
                Err(error) => return Err(fail(error)),
            }
        }
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        let path = self.path(key);
        let fail = |error| self.error("look at", key, error);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        let modified = metadata.modified().map_err(fail)?;
        if !metadata.is_symlink() {
            let posix = Some(posix_metadata(&metadata));
            let kind = kind_of(metadata.file_type());
            return Ok(Some(Metadata { kind, bytes: metadata.len(), symlink: false, modified: Some(modified), posix }));
        }
        let kind = target_kind(&path).map_err(fail)?;
        if kind == EntryKind::BrokenSymlink {
            let nothing = Metadata { kind, bytes: 0, symlink: true, modified: Some(modified), posix: None };
            return Ok(Some(nothing));
        }
        let target = fs::metadata(&path).map_err(fail)?;
        let modified = Some(modified.max(target.modified().map_err(fail)?));
        let posix = PosixMetadata { directories: None, hard_linked: false, ..posix_metadata(&target) };
        Ok(Some(Metadata { kind, bytes: target.len(), symlink: true, modified, posix: Some(posix) }))
    }

    fn stat_each(&self, directory: &str, keys: &[String]) -> Result<Vec<Option<Metadata>>, Error> {
        let Some(below) = self.open_directory(directory)? else { return Ok(vec![None; keys.len()]) };
        let stat = |key: &String| match rustix::fs::statat(&below, key, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
                rustix::fs::FileType::Symlink => self.stat(&format!("{directory}/{key}")),
                rustix::fs::FileType::RegularFile => Ok(Some(metadata(EntryKind::File, &stat))),
                rustix::fs::FileType::Directory => Ok(Some(metadata(EntryKind::Directory, &stat))),
                _ => Ok(Some(metadata(EntryKind::Other, &stat))),
            },
            Err(error) if is_absent(&error.into()) => Ok(None),
            Err(error) => Err(self.error("look at", &format!("{directory}/{key}"), error.into())),
        };
        keys.iter().map(stat).collect()
    }

    fn bytes_below(&self, directory: &str, is_left_out: &dyn Fn(&str) -> bool) -> Result<u64, Error> {
        let mut bytes = 0;
        let is_wanted =
            |entry: &walkdir::DirEntry| entry.depth() != 1 || !entry.file_name().to_str().is_some_and(is_left_out);
        for entry in WalkDir::new(self.path(directory)).min_depth(1).into_iter().filter_entry(is_wanted) {
            let file = entry.and_then(|entry| {
                let is_file = entry.file_type().is_file();
                if is_file { entry.metadata().map(|metadata| metadata.len()) } else { Ok(0) }
            });
            match file {
                Ok(length) => bytes += length,
                Err(error) => {
                    let path = error.path().unwrap_or(Path::new(directory)).display().to_string();
                    let error = io::Error::from(error);
                    if !is_absent(&error) && error.kind() != ErrorKind::PermissionDenied {
                        return Err(Error::storage("list", path, error));
                    }
                }
            }
        }
        Ok(bytes)
    }

    fn as_posix(&self) -> Option<&dyn PosixStorage> {
        Some(self)
    }
}

impl PosixStorage for FilesystemStorage {
    fn real_directory(&self, directory: &str) -> Result<String, Error> {
        let real = self.path(directory).canonicalize().map_err(|error| self.error("resolve", directory, error))?;
        Ok(match real.strip_prefix(&self.real_root) {
            Ok(key) => key.display().to_string(),
            Err(_) => real.display().to_string(),
        })
    }

    fn free_bytes(&self) -> Option<u64> {
        let found = rustix::fs::statvfs(&self.real_root).ok()?;
        found.f_bavail.checked_mul(found.f_frsize)
    }

    fn capacity_bytes(&self) -> Option<u64> {
        let found = rustix::fs::statvfs(&self.real_root).ok()?;
        found.f_blocks.checked_mul(found.f_frsize)
    }

    fn each_allocated(&self, visit: &mut dyn FnMut(Allocated<'_>) -> Result<(), Error>) -> Result<bool, Error> {
        for entry in WalkDir::new(&self.real_root) {
            let found = entry.and_then(|entry| Ok((entry.metadata()?, entry)));
            let (metadata, entry) = match found {
                Ok(found) => found,
                Err(error) => {
                    let path = error.path().unwrap_or(&self.real_root).display().to_string();
                    match io::Error::from(error) {
                        // It was deleted meanwhile.
                        error if is_absent(&error) => continue,
                        error => return Err(Error::storage("list", path, error)),
                    }
                }
            };
            let key = entry.path().strip_prefix(&self.real_root).unwrap_or(entry.path()).to_string_lossy();
            let is_directory = metadata.is_dir();
            visit(Allocated {
                key: &key,
                is_directory,
                bytes: metadata.blocks().saturating_mul(BLOCK_BYTES),
                shared: (!is_directory && metadata.nlink() > 1).then(|| (metadata.dev(), metadata.ino())),
            })?;
        }
        Ok(true)
    }
}

/// The unit in which systems count a file's blocks, however large those of its file system are, in bytes.
const BLOCK_BYTES: u64 = 512;

/// The initial size of a buffer, in bytes: enough for nearly every manifest.
const USUAL_BYTES: usize = 16 << 10;

/// How much of a large file is read at once, in bytes: little enough to stay in a core's own cache for what reads it
/// next.
const PART_BYTES: usize = 128 << 10;

/// Opens the file at a path relative to a directory; `None` if there is none.
fn open_file<P: rustix::path::Arg>(directory: BorrowedFd<'_>, path: P) -> io::Result<Option<File>> {
    // Opening a named pipe in place of a file would wait forever for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match rustix::fs::openat(directory, path, flags, Mode::empty()).map_err(io::Error::from) {
        Ok(file) => Ok(Some(File::from(file))),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the file at a path relative to a directory; `None` if there is none.
fn read_at<P: rustix::path::Arg>(directory: BorrowedFd<'_>, path: P, limit: u64) -> io::Result<Option<Content>> {
    let Some(file) = open_file(directory, path)? else { return Ok(None) };
    match read_up_to(file, limit) {
        Err(error) if error.kind() == ErrorKind::IsADirectory => Ok(None),
        content => content.map(Some),
    }
}

/// Reads a file that has at most `limit` bytes.
fn read_up_to(file: File, limit: u64) -> io::Result<Content> {
    // Nearly every file is small: a single read, which ends early only at the end of the file, gets all of it.
    let mut content = Vec::with_capacity(
        usize::try_from(limit).map_or(USUAL_BYTES, |limit| USUAL_BYTES.min(limit.saturating_add(1))),
    );
    rustix::io::retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut content)))?;
    if content.len() == content.capacity() {
        if file.metadata()?.len() > limit {
            return Ok(Content::TooLarge);
        }
        // A file that grows while it is read must not grow the buffer without end.
        file.take((limit + 1).saturating_sub(content.len() as u64)).read_to_end(&mut content)?;
    }
    Ok(if content.len() as u64 > limit { Content::TooLarge } else { Content::Whole(content) })
}

/// Opens a directory only as a starting point.
fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    const PATH: OFlags = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    const PATH: OFlags = OFlags::RDONLY;
    let flags = PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

fn metadata(kind: EntryKind, stat: &Stat) -> Metadata {
    #[allow(clippy::unnecessary_cast, reason = "it has 32 bits on macOS")]
    let device = stat.st_dev as u64;
    let posix = PosixMetadata {
        owner: owner(stat.st_uid, stat.st_gid, stat.st_mode),
        device,
        directories: directories_in(kind, stat.st_nlink),
        hard_linked: kind == EntryKind::File && stat.st_nlink > 1,
    };
    let bytes = stat.st_size.unsigned_abs();
    Metadata { kind, bytes, symlink: false, modified: Some(modified(stat)), posix: Some(posix) }
}

fn posix_metadata(metadata: &fs::Metadata) -> PosixMetadata {
    let kind = kind_of(metadata.file_type());
    PosixMetadata {
        owner: owner(metadata.uid(), metadata.gid(), metadata.mode()),
        device: metadata.dev(),
        directories: directories_in(kind, metadata.nlink()),
        hard_linked: kind == EntryKind::File && metadata.nlink() > 1,
    }
}

/// Most file systems count a directory's own name, its `.`, and the `..` of each directory in it. Those that do not
/// count report 1, as others do when there are too many to count. Those of macOS count files as well.
fn directories_in(kind: EntryKind, links: impl Into<u64>) -> Option<u64> {
    let is_told = cfg!(target_os = "linux") && kind == EntryKind::Directory;
    if is_told { links.into().checked_sub(2) } else { None }
}

fn owner(user: u32, group: u32, mode: impl Into<u32>) -> Owner {
    Owner { user, group, mode: mode.into() & 0o777 }
}

fn modified(stat: &Stat) -> SystemTime {
    let seconds = Duration::from_secs(stat.st_mtime.unsigned_abs());
    let whole = if stat.st_mtime < 0 { UNIX_EPOCH - seconds } else { UNIX_EPOCH + seconds };
    whole + Duration::new(0, stat.st_mtime_nsec as u32)
}

/// Copies an error.
fn copy(error: &io::Error) -> io::Error {
    let other = || io::Error::new(error.kind(), error.to_string());
    error.raw_os_error().map_or_else(other, io::Error::from_raw_os_error)
}

/// Whether nothing is there, or something on the way is not a directory, which for a key is the same.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_absent(&error) => Ok(()),
        result => result,
    }
}

fn not_empty_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        // POSIX allows both for a directory that still holds something.
        Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => Ok(()),
        result => absent_is_fine(result),
    }
}

fn kind_of(file_type: FileType) -> EntryKind {
    if file_type.is_dir() {
        EntryKind::Directory
    } else if file_type.is_file() {
        EntryKind::File
    } else {
        EntryKind::Other
    }
}

/// Returns the kind of a symbolic link's target.
fn target_kind(link: &Path) -> io::Result<EntryKind> {
    match fs::metadata(link) {
        Ok(metadata) => Ok(kind_of(metadata.file_type())),
        Err(error) if is_absent(&error) || is_loop(&error) => Ok(EntryKind::BrokenSymlink),
        Err(error) => Err(error),
    }
}

/// Whether there are too many levels of symbolic links. Its `ErrorKind` is not stable yet.
fn is_loop(error: &io::Error) -> bool {
    const ELOOP: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };
    error.raw_os_error() == Some(ELOOP)
}
