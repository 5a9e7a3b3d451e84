//! A registry's storage in a directory.

use std::fs::{self, File, FileType};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::{Content, DeleteStorage, Entry, EntryKind, Metadata, ReadStorage};
use crate::error::Error;

/// Storage below one directory, as the registry's `filesystem` driver keeps it.
#[derive(Debug)]
pub struct FilesystemStorage {
    root: PathBuf,
    /// The root without symbolic links, to tell what leads out of it.
    real_root: PathBuf,
}

impl FilesystemStorage {
    /// Opens the storage at `root`, the configuration's `rootdirectory`, which must be there.
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
        Ok(Self { root, real_root })
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn error(&self, action: &'static str, key: &str, source: io::Error) -> Error {
        Error::storage(action, self.path(key).display().to_string(), source)
    }

    fn remove_one(&self, key: &str) -> io::Result<()> {
        let path = self.path(key);
        let Some(directory) = path.parent() else { return absent_is_fine(fs::remove_file(&path)) };
        match fs::symlink_metadata(directory) {
            // Going on would remove what another directory holds, maybe another store's.
            Ok(metadata) if metadata.is_symlink() => absent_is_fine(fs::remove_file(directory)),
            Ok(_) => {
                absent_is_fine(fs::remove_file(&path))?;
                remove_if_empty(directory)
            }
            Err(error) => absent_is_fine(Err(error)),
        }
    }
}

impl ReadStorage for FilesystemStorage {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        let entries = match fs::read_dir(self.path(directory)) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(false),
            Err(error) => return Err(self.error("list", directory, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| self.error("list", directory, error))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                visit(Entry { name: &name.to_string_lossy(), kind: EntryKind::Other, symlink: false });
                continue;
            };
            let file_type = entry.file_type().map_err(|error| self.error("list", directory, error))?;
            let symlink = file_type.is_symlink();
            let kind = if symlink { target_kind(&entry.path()) } else { Ok(kind_of(file_type)) };
            let kind = kind.map_err(|error| self.error("follow", &format!("{directory}/{name}"), error))?;
            visit(Entry { name, kind, symlink });
        }
        Ok(true)
    }

    fn list_prefix(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let mut keys = Vec::new();
        for entry in WalkDir::new(self.path(prefix)).follow_links(true).sort_by_file_name() {
            match entry {
                Ok(entry) if entry.file_type().is_file() => {
                    let below_root = entry.path().strip_prefix(&self.root).unwrap_or(entry.path());
                    keys.extend(below_root.to_str().map(str::to_owned));
                }
                Ok(_) => {}
                // A loop of symbolic links leads to nothing that is not listed already.
                Err(error) if error.loop_ancestor().is_some() => {}
                Err(error) => {
                    let path = error.path().unwrap_or(Path::new(prefix)).display().to_string();
                    let error = io::Error::from(error);
                    if !is_absent(&error) {
                        return Err(Error::storage("list", path, error));
                    }
                }
            }
        }
        Ok(keys)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        let fail = |error| self.error("read", key, error);
        let mut file = match File::open(self.path(key)) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() {
            return Ok(None);
        }
        if metadata.len() > limit {
            return Ok(Some(Content::TooLarge));
        }
        // A file that grows while it is read must not grow the buffer without end.
        let mut content = Vec::with_capacity(metadata.len() as usize + 1);
        file.by_ref().take(limit + 1).read_to_end(&mut content).map_err(fail)?;
        Ok(Some(if content.len() as u64 > limit { Content::TooLarge } else { Content::Whole(content) }))
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        let path = self.path(key);
        let fail = |error| self.error("look at", key, error);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        if !metadata.is_symlink() {
            let kind = kind_of(metadata.file_type());
            return Ok(Some(Metadata { kind, bytes: metadata.len(), symlink: false }));
        }
        let kind = target_kind(&path).map_err(fail)?;
        let bytes = if kind == EntryKind::BrokenSymlink { 0 } else { fs::metadata(&path).map_err(fail)?.len() };
        Ok(Some(Metadata { kind, bytes, symlink: true }))
    }

    fn real_directory(&self, directory: &str) -> Result<String, Error> {
        let real = self.path(directory).canonicalize().map_err(|error| self.error("resolve", directory, error))?;
        Ok(match real.strip_prefix(&self.real_root) {
            Ok(key) => key.display().to_string(),
            Err(_) => real.display().to_string(),
        })
    }
}

impl DeleteStorage for FilesystemStorage {
    fn remove(&self, keys: &[String]) -> Vec<Result<(), Error>> {
        keys.iter().map(|key| self.remove_one(key).map_err(|error| self.error("remove", key, error))).collect()
    }

    fn remove_empty_directories(&self, directories: &[String]) -> Vec<Result<(), Error>> {
        let remove = |directory: &String| {
            remove_if_empty(&self.path(directory)).map_err(|error| self.error("remove", directory, error))
        };
        directories.iter().map(remove).collect()
    }
}

/// Nothing is there, or something on the way is no directory, which for a key is the same.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_absent(&error) => Ok(()),
        result => result,
    }
}

fn remove_if_empty(directory: &Path) -> io::Result<()> {
    match fs::remove_dir(directory) {
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

/// What a symbolic link leads to.
fn target_kind(link: &Path) -> io::Result<EntryKind> {
    match fs::metadata(link) {
        Ok(metadata) => Ok(kind_of(metadata.file_type())),
        Err(error) if is_absent(&error) || is_loop(&error) => Ok(EntryKind::BrokenSymlink),
        Err(error) => Err(error),
    }
}

/// Too many levels of symbolic links. Its `ErrorKind` is not stable yet.
fn is_loop(error: &io::Error) -> bool {
    const ELOOP: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };
    error.raw_os_error() == Some(ELOOP)
}
