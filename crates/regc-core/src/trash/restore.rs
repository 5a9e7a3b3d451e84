//! Bringing back what was moved to the trash.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::{Entry, Kind, directory, forget_if_empty, is_blob, read_journal};
use crate::content::hash;
use crate::digest::Digest;
use crate::error::Error;
use crate::layout;
use crate::lock::Lock;
use crate::manifest::{MAX_MANIFEST_BYTES, References, Role};
use crate::storage::{Content, Moved, TrashStorage, symlink_between};
use crate::survey::with_threads;

/// What is to be brought back.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Content, with all links to it, and, if it is a manifest, with everything that it refers to.
    pub digests: Vec<Digest>,
    /// Everything of these repositories.
    pub repositories: Vec<String>,
}

/// What was brought back.
#[derive(Debug, Default)]
pub struct Restored {
    /// What is back, or would be: blobs first, in the end what leads to them.
    pub restored: Vec<Entry>,
    /// What the registry has again anyhow. It was left alone, and stays in the trash.
    pub already_there: Vec<Entry>,
    /// What could not be brought back.
    pub failures: Vec<Error>,
}

/// Brings back what a run has moved: all of it, or what `selection` names. Nothing is overwritten, and no blob comes back
/// whose content is not that of its digest. What leads to something comes after it. `None` for the lock says that
/// nothing is to be changed.
///
/// Fails before anything is moved if there is no such run, or nothing of what is selected in it.
pub fn restore(
    storage: &dyn TrashStorage,
    lock: Option<&Lock>,
    run: &str,
    selection: Option<&Selection>,
    jobs: usize,
) -> Result<Restored, Error> {
    let (_, mut entries) = read_journal(storage, run)?;
    // Children before parents, content before links.
    entries.reverse();
    with_threads(jobs, || {
        let trash = Trash { storage, run };
        if let Some(selection) = selection {
            entries = trash.select(entries, selection)?;
        }
        let mut restored = Restored::default();
        let mut missing: BTreeSet<Digest> = BTreeSet::new();
        for kind in [Kind::Blob, Kind::LayerLink, Kind::Revision, Kind::Tag, Kind::TagIndexEntry, Kind::Upload] {
            let of_kind: Vec<&Entry> = entries.iter().filter(|entry| entry.kind == kind).collect();
            let put_back = |entry: &&Entry| match entry.digest.is_some_and(|digest| missing.contains(&digest)) {
                true if trash.has(entry)? => Err(Error::WithoutContent(trash.key(&entry.path))),
                true => Ok(Moved::Absent),
                false => trash.put_back(&entry.path, entry.digest.as_ref(), lock.is_some()),
            };
            let results: Vec<Result<Moved, Error>> = match kind {
                Kind::Revision => of_kind.iter().map(put_back).collect(),
                _ => of_kind.par_iter().map(put_back).collect(),
            };
            for (entry, result) in of_kind.into_iter().zip(results) {
                match result {
                    Ok(Moved::Done) => restored.restored.push(entry.clone()),
                    Ok(Moved::Exists) => restored.already_there.push(entry.clone()),
                    Ok(Moved::Absent) => {}
                    Err(error) => {
                        missing.extend(entry.digest);
                        restored.failures.push(error);
                    }
                }
            }
        }
        if lock.is_some() {
            forget_if_empty(storage, run)?;
        }
        Ok(restored)
    })
}

/// The trash of one run.
pub(crate) struct Trash<'a> {
    pub(crate) storage: &'a dyn TrashStorage,
    pub(crate) run: &'a str,
}

impl Trash<'_> {
    fn key(&self, path: &str) -> String {
        format!("{}/{path}", directory(self.run))
    }

    fn has(&self, entry: &Entry) -> Result<bool, Error> {
        Ok(self.storage.stat(&self.key(&entry.path))?.is_some())
    }

    /// Moves an object back, or, unless `really`, finds out whether that could be done.
    pub(crate) fn put_back(&self, path: &str, digest: Option<&Digest>, really: bool) -> Result<Moved, Error> {
        let key = self.key(path);
        // A blob whose directory was a symbolic link comes back as that link.
        let whole = [&key, path].map(|key| key.rsplit_once('/').map_or(key, |(directory, _)| directory));
        let is_link = is_blob(path) && self.storage.stat(whole[0])?.is_some_and(|directory| directory.symlink);
        let (from, to) = if is_link { (whole[0], whole[1]) } else { (&*key, path) };
        let Some(metadata) = self.storage.stat(from)? else { return Ok(Moved::Absent) };
        self.refuse_detours(from, to)?;
        if self.storage.stat(to)?.is_some() {
            return Ok(Moved::Exists);
        }
        // What a symbolic link leads to is elsewhere, and was never moved.
        if let Some(digest) = digest.filter(|_| is_blob(path) && !metadata.symlink) {
            self.check(&key, digest)?;
        }
        if !really {
            return Ok(Moved::Done);
        }
        self.storage.move_object(from, to, &directory(self.run))
    }

    /// Whoever may write to the storage must not lead regc, which may be root, to somewhere else. Symbolic links that
    /// operators use, down to the directories of blobs, may be on the way to a blob.
    fn refuse_detours(&self, from: &str, to: &str) -> Result<(), Error> {
        let mut link = symlink_between(self.storage, layout::TRASH, from)?;
        if link.is_none() && !is_blob(to) {
            link = symlink_between(self.storage, layout::REPOSITORIES, to)?;
        }
        link.map_or(Ok(()), |link| Err(Error::OwnSymlink(link)))
    }

    /// Fails unless the content at `key` is that of `digest`.
    fn check(&self, key: &str, digest: &Digest) -> Result<(), Error> {
        let actual = hash(self.storage, key, digest.algorithm())?;
        if actual == Some(*digest) { Ok(()) } else { Err(Error::NotItsDigest(key.to_owned())) }
    }

    /// Those of `entries` that are selected, with what they need.
    fn select(&self, entries: Vec<Entry>, selection: &Selection) -> Result<Vec<Entry>, Error> {
        for repository in &selection.repositories {
            if !entries.iter().any(|entry| entry.repository.as_ref() == Some(repository)) {
                return Err(Error::NotInTrash { run: self.run.to_owned(), what: repository.clone() });
            }
        }
        for digest in &selection.digests {
            if !entries.iter().any(|entry| entry.digest == Some(*digest)) {
                return Err(Error::NotInTrash { run: self.run.to_owned(), what: digest.to_string() });
            }
        }
        // A digest, and the repositories whose links to it come back; none says all.
        let mut pending: Vec<(Digest, Option<String>)> =
            selection.digests.iter().map(|digest| (*digest, None)).collect();
        for entry in &entries {
            if let Some(repository) = entry.repository.as_ref().filter(|name| selection.repositories.contains(name)) {
                pending.extend(entry.digest.map(|digest| (digest, Some(repository.clone()))));
            }
        }
        let mut revisions: BTreeMap<Digest, Vec<&String>> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.kind == Kind::Revision) {
            let digest = entry.digest.iter();
            digest.for_each(|digest| revisions.entry(*digest).or_default().extend(&entry.repository));
        }
        let mut wanted = BTreeSet::new();
        while let Some((digest, repository)) = pending.pop() {
            if !wanted.insert((digest, repository.clone())) {
                continue;
            }
            let all = revisions.get(&digest).into_iter().flatten().copied();
            let here: Vec<&String> = all.filter(|name| repository.as_ref().is_none_or(|here| here == *name)).collect();
            if here.is_empty() {
                continue;
            }
            let references = self.references(&digest)?;
            for name in here {
                pending.extend(references.iter().map(|reference| (*reference, Some(name.clone()))));
            }
        }
        let digests: BTreeSet<Digest> = wanted.iter().map(|(digest, _)| *digest).collect();
        let is_wanted = |entry: &Entry| match (&entry.repository, entry.digest) {
            (None, digest) => digest.is_some_and(|digest| digests.contains(&digest)),
            (Some(repository), None) => selection.repositories.contains(repository),
            (Some(_), Some(digest)) => {
                wanted.contains(&(digest, None)) || wanted.contains(&(digest, entry.repository.clone()))
            }
        };
        Ok(entries.into_iter().filter(is_wanted).collect())
    }

    /// What a manifest, in the trash or in the registry, refers to.
    fn references(&self, digest: &Digest) -> Result<Vec<Digest>, Error> {
        let path = layout::blob_data(digest);
        for key in [self.key(&path), path] {
            if let Some(Content::Whole(content)) = self.storage.read(&key, MAX_MANIFEST_BYTES)?
                && let Ok(parsed) = References::of_blob(digest, &content)
            {
                let is_kept_here = |role| !matches!(role, Role::ForeignLayer);
                let references = parsed.references.iter().filter(|reference| is_kept_here(reference.role));
                return Ok(references.map(|reference| reference.digest).collect());
            }
        }
        Ok(Vec::new())
    }
}
