//! What is in the directories of tags that are deleted, each listed once.

use rayon::prelude::*;

use super::repository::Marking;
use super::{GarbageFile, TagIndexEntry};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::finding::Finding;
use crate::registry::layout;
use crate::scan::remnants::has;
use crate::storage::{Below, below_each};

/// What is in the directory of a tag.
pub(super) struct InTag {
    pub(super) tag: String,
    /// The entries of its index, by digest.
    pub(super) entries: Vec<TagIndexEntry>,
    /// The keys of what no registry puts there. Another program's directory is among them even if it is empty.
    foreign: Vec<String>,
}

/// How many tags one task lists.
const BATCH: usize = 64;

impl Marking<'_> {
    /// Lists what is in the directories of some tags, which are no symbolic links.
    pub(super) fn in_tags(&self, tags: &[String]) -> Result<Vec<InTag>, Error> {
        let all = layout::tags(self.name());
        let listed = tags.par_chunks(BATCH).map(|batch| {
            let below = below_each(self.storage, &all, batch)?;
            Ok(batch.iter().zip(below).map(|(tag, below)| self.in_tag(&all, tag, below)).collect())
        });
        Ok(listed.collect::<Result<Vec<Vec<_>>, Error>>()?.into_iter().flatten().collect())
    }

    fn in_tag(&self, all: &str, tag: &str, below: Below) -> InTag {
        let entries = below.directories.iter().chain(&below.symlinked_directories).filter_map(|key| entry(key));
        let entry_of = |digest| TagIndexEntry { tag: tag.to_owned(), id: self.digests.id(&digest) };
        let mut entries: Vec<TagIndexEntry> = entries.map(entry_of).collect();
        entries.sort_unstable_by_key(|entry| self.digests.digest(entry.id));
        let is_foreign_file = |file: &String| {
            let is_link = file == "current/link" || file.strip_suffix("/link").is_some_and(|key| entry(key).is_some());
            // A symbolic link in place of an entry goes like the entry.
            let is_entry = || entry(file).is_some() && below.symlinked_directories.contains(file);
            !is_link && !is_entry()
        };
        let is_foreign_directory = |directory: &String| {
            let algorithm = directory.strip_prefix("index/").and_then(Algorithm::from_name);
            !matches!(&**directory, "current" | "index") && algorithm.is_none() && entry(directory).is_none()
        };
        let files = below.files.iter().filter(|file| is_foreign_file(file));
        let directories = below.directories.iter().rev().filter(|directory| is_foreign_directory(directory));
        let foreign = files.chain(directories).map(|key| format!("{all}/{tag}/{key}")).collect();
        InTag { tag: tag.to_owned(), entries, foreign }
    }

    /// Finds something in a tag's directory that no registry puts there, that is not among the `remnants`, and that
    /// would keep the directory from being deleted.
    pub(super) fn foreign_in_tag(&self, tag: &InTag, remnants: &[GarbageFile]) -> Option<Finding> {
        let key = tag.foreign.iter().find(|key| !has(remnants, key))?;
        Some(self.foreign_file(key.clone()))
    }
}

/// Returns the digest of the entry of a tag's index that is at a key below the tag's directory.
fn entry(key: &str) -> Option<Digest> {
    let (algorithm, hex) = key.strip_prefix("index/")?.split_once('/')?;
    Digest::from_hex(Algorithm::from_name(algorithm)?, hex)
}
