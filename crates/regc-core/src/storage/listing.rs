//! Listings of a directory, and of everything below it.

use super::contract::{Entry, EntryKind, Hashes, ReadStorage};
use crate::error::Error;

/// Returns what `accept` makes of the names of directories in `directory`, and whether each is a symbolic link. Calls
/// `pass_over` for every other name.
///
/// A dangling symbolic link is an error if its name is accepted: it may lead to an unmounted disk, and what is there
/// must not be taken for absent. So is a directory whose name is not UTF-8, if the replacement is accepted.
pub(crate) fn directories<T>(
    storage: &dyn ReadStorage,
    directory: &str,
    accept: impl Fn(&str) -> Option<T>,
    pass_over: impl Fn(),
) -> Result<Vec<(T, bool)>, Error> {
    let mut accepted = Vec::new();
    each_directory(storage, directory, accept, |meaning, symlink| accepted.push((meaning, symlink)), pass_over)?;
    Ok(accepted)
}

/// Calls `visit` with what [`directories`] would return.
pub(crate) fn each_directory<T>(
    storage: &dyn ReadStorage,
    directory: &str,
    accept: impl Fn(&str) -> Option<T>,
    visit: impl FnMut(T, bool),
    pass_over: impl Fn(),
) -> Result<(), Error> {
    let list = |visit: &mut dyn FnMut(Entry<'_>)| storage.list(directory, visit);
    accepted(list, directory, accept, visit, pass_over).map(drop)
}

/// The same as [`each_directory`], but returns what the storage holds of directories that are named after SHA-256 digests.
pub(crate) fn each_directory_of_digest<T>(
    storage: &dyn ReadStorage,
    directory: &str,
    accept: impl Fn(&str) -> Option<T>,
    visit: impl FnMut(T, bool),
    pass_over: impl Fn(),
) -> Result<Vec<Hashes>, Error> {
    let list = |visit: &mut dyn FnMut(Entry<'_>)| storage.list_digests(directory, visit);
    accepted(list, directory, accept, visit, pass_over)
}

fn accepted<T, L>(
    list: impl FnOnce(&mut dyn FnMut(Entry<'_>)) -> Result<L, Error>,
    directory: &str,
    accept: impl Fn(&str) -> Option<T>,
    mut visit: impl FnMut(T, bool),
    pass_over: impl Fn(),
) -> Result<L, Error> {
    let mut error = None;
    let listed = list(&mut |Entry { name, kind, symlink }| match (accept(name), kind) {
        (Some(meaning), EntryKind::Directory) => visit(meaning, symlink),
        (Some(_), EntryKind::BrokenSymlink) => error = Some(Error::BrokenSymlink(format!("{directory}/{name}"))),
        (Some(_), EntryKind::Unnameable) => error = Some(Error::NotUtf8(format!("{directory}/{name}"))),
        _ => pass_over(),
    })?;
    error.map_or(Ok(listed), Err)
}

/// Returns the number of the file system that something is on, if the storage knows it.
pub(crate) fn device(storage: &dyn ReadStorage, key: &str) -> Result<Option<u64>, Error> {
    Ok(storage.stat(key)?.and_then(|found| found.device()))
}

/// Resolves symbolic links in `directory`. A storage without symbolic links returns `directory`.
pub(crate) fn real_directory(storage: &dyn ReadStorage, directory: &str) -> Result<String, Error> {
    storage.as_posix().map_or_else(|| Ok(directory.to_owned()), |posix| posix.real_directory(directory))
}

/// Returns the first directory between `top` and `key`, which is below it, that is a symbolic link.
pub(crate) fn symlink_between(storage: &dyn ReadStorage, top: &str, key: &str) -> Result<Option<String>, Error> {
    let ends = key.match_indices('/').map(|(end, _)| end).filter(|end| *end > top.len());
    for directory in ends.map(|end| &key[..end]) {
        if storage.stat(directory)?.is_some_and(|found| found.symlink) {
            return Ok(Some(directory.to_owned()));
        }
    }
    Ok(None)
}

/// What is below a directory, at any depth.
#[derive(Debug, Default)]
pub(crate) struct Below {
    /// Everything but directories, by its key below the directory.
    pub(crate) files: Vec<String>,
    /// The directories, those deeper down first.
    pub(crate) directories: Vec<String>,
}

/// Lists what is below a directory. A symbolic link counts as a file, and is not followed.
pub(crate) fn below(storage: &dyn ReadStorage, directory: &str) -> Result<Below, Error> {
    let mut below = Below::default();
    let mut pending = vec![directory.to_owned()];
    while let Some(parent) = pending.pop() {
        storage.list(&parent, &mut |entry| {
            let path = format!("{parent}/{}", entry.name);
            let key = path[directory.len() + 1..].to_owned();
            match entry.kind {
                EntryKind::Directory if !entry.symlink => {
                    pending.push(path);
                    below.directories.push(key);
                }
                _ => below.files.push(key),
            }
        })?;
    }
    below.directories.sort_unstable_by(|a, b| b.cmp(a));
    Ok(below)
}
