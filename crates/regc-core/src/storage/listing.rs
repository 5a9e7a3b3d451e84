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

/// The same as [`each_directory`], but returns what the storage holds of directories that are named after SHA-256
/// digests.
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
    /// Those of the files that are symbolic links to directories.
    pub(crate) symlinked_directories: Vec<String>,
}

/// Lists what is below a directory. A symbolic link counts as a file, and is not followed.
pub(crate) fn below(storage: &dyn ReadStorage, directory: &str) -> Result<Below, Error> {
    let (parent, name) = directory.rsplit_once('/').unwrap_or(("", directory));
    let mut below = below_each(storage, parent, &[name.to_owned()])?;
    Ok(below.pop().unwrap_or_default())
}

/// Lists what is below each of some directories in `parent`, in their order.
pub(crate) fn below_each(storage: &dyn ReadStorage, parent: &str, names: &[String]) -> Result<Vec<Below>, Error> {
    let mut all: Vec<Below> = names.iter().map(|_| Below::default()).collect();
    // All directories of one depth are listed together.
    let mut numbers: Vec<usize> = (0..names.len()).collect();
    let mut paths = names.to_vec();
    while !paths.is_empty() {
        let (mut deeper, mut deeper_paths) = (Vec::new(), Vec::new());
        let listed = storage.list_each(parent, &paths, &mut |index, entry| {
            let number = numbers[index];
            let path = [&paths[index], "/", entry.name].concat();
            let key = path[names[number].len() + 1..].to_owned();
            if entry.kind == EntryKind::Directory && !entry.symlink {
                all[number].directories.push(key);
                deeper.push(number);
                deeper_paths.push(path);
                return;
            }
            if entry.kind == EntryKind::Directory {
                all[number].symlinked_directories.push(key.clone());
            }
            all[number].files.push(key);
        });
        listed.into_iter().try_for_each(|listed| listed.map(drop))?;
        (numbers, paths) = (deeper, deeper_paths);
    }
    all.iter_mut().for_each(|below| below.directories.sort_unstable_by(|a, b| b.cmp(a)));
    Ok(all)
}
