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
        let mut entries = Vec::new();
        for directory in below.directories.iter().chain(&below.symlinked_directories) {
            if let ["index", algorithm, hex] = directory.split('/').collect::<Vec<_>>()[..] {
                let digest = Algorithm::from_name(algorithm).and_then(|algorithm| Digest::from_hex(algorithm, hex));
                let id = digest.map(|digest| self.digests.id(&digest));
                entries.extend(id.map(|id| TagIndexEntry { tag: tag.to_owned(), id }));
            }
        }
        entries.sort_unstable_by_key(|entry| self.digests.digest(entry.id));
        let is_foreign_file = |file: &String| {
            !matches!(
                file.split('/').collect::<Vec<_>>()[..],
                ["current", layout::LINK] | ["index", _, _, layout::LINK]
            )
        };
        let is_foreign_directory = |directory: &String| {
            !matches!(
                directory.split('/').collect::<Vec<_>>()[..],
                ["current"] | ["index"] | ["index", _] | ["index", _, _]
            )
        };
        let files = below.files.into_iter().filter(is_foreign_file);
        let directories = below.directories.into_iter().rev().filter(is_foreign_directory);
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
