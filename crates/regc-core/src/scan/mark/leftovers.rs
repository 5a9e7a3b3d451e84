//! What registries leave behind in a repository, other than content: entries in tags' indexes, uploads, the
//! repository itself.

use std::time::SystemTime;

use rayon::prelude::*;
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use super::repository::{Marking, Reach};
use super::tags::Tags;
use super::{GarbageFile, RepositoryGarbage, TagIndexEntry};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::finding::Finding;
use crate::registry::layout;
use crate::scan::inventory::DigestId;
use crate::scan::remnants::has;
use crate::scan::uploads::{Upload, uploads};
use crate::storage::{EntryKind, Metadata, ReadStorage, below, directories};

/// The uploads of a repository.
#[derive(Default)]
pub(super) struct Uploads {
    /// Abandoned uploads.
    pub(super) old: Vec<Upload>,
    /// Whether there are others.
    pub(super) has_others: bool,
}

/// Returns for each of some tags whether it may have named more than one manifest, without listing what it has named.
pub(crate) fn have_history(storage: &dyn ReadStorage, repository: &str, tags: &[String]) -> Result<Vec<bool>, Error> {
    let keys: Vec<String> = tags.iter().map(|tag| [tag, "/index"].concat()).collect();
    let indexes = storage.stat_each(&layout::tags(repository), &keys)?;
    let canonical = have_canonical_history(storage, repository, tags)?;
    Ok(indexes.iter().zip(canonical).map(|(index, canonical)| canonical || !has_one(index.as_ref())).collect())
}

/// The same for tags that have named manifests by SHA-256 digests only.
fn have_canonical_history(storage: &dyn ReadStorage, repository: &str, tags: &[String]) -> Result<Vec<bool>, Error> {
    let below = format!("/index/{}", Algorithm::Sha256.name());
    let keys: Vec<String> = tags.iter().map(|tag| [tag, &*below].concat()).collect();
    let found = storage.stat_each(&layout::tags(repository), &keys)?;
    Ok(found.iter().map(|index| !has_one(index.as_ref())).collect())
}

/// Whether a directory is absent, or holds a single directory.
pub(super) fn has_one(found: Option<&Metadata>) -> bool {
    found.is_none_or(|found| found.posix.and_then(|posix| posix.directories) == Some(1))
}

impl Marking<'_> {
    /// Lists the leftovers of an undamaged repository. `reach` is what is live in it, `tags` what its tags name, if
    /// they were read.
    pub(super) fn leftovers(
        &self,
        tags: Option<Tags>,
        reach: &Reach,
        garbage: &mut RepositoryGarbage,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Error> {
        let leftovers = self.options.leftovers;
        garbage.empty_revisions = self.repository.unlinked.to_vec();
        let uploads = match leftovers.uploads_before {
            None if !leftovers.empty_repositories => Uploads::default(),
            // Without a time, none is abandoned.
            before => self.uploads(Some(before.unwrap_or(SystemTime::UNIX_EPOCH)))?,
        };
        garbage.uploads = uploads.old;
        let keeps_revisions = self.repository.revisions.len() > garbage.revisions.len();
        let may_be_whole = leftovers.empty_repositories
            && self.repository.alias.is_none()
            && !keeps_revisions
            && reach.live.is_empty()
            && self.tag_directories(|link| link.is_some())?.iter().all(|tag| garbage.removes_tag(tag))
            && !uploads.has_others;
        let mut removed_tags = Vec::new();
        let removed: HashSet<DigestId> = garbage.revisions.iter().map(|revision| revision.id).collect();
        if !self.options.skip_links {
            let all = leftovers.every_tag
                || may_be_whole
                || !garbage.revisions.is_empty()
                || !garbage.removed_tags.is_empty();
            // An entry of an index outlives the link of its manifest if the registry deleted that. On a file system, the directory of
            // the link then shows it. Registry 2.1 linked manifests as layers.
            let has_deleted = !self.repository.unlinked.is_empty()
                || !garbage.layer_links.is_empty()
                || self.storage.as_posix().is_none();
            let directories = match tags {
                Some(tags) => tags.directories,
                None if !all && !has_deleted => Vec::new(),
                None => self.all_tag_directories()?,
            };
            self.remember_deleted(&directories, &reach.manifests, garbage);
            let looked_at = match all {
                true => directories.clone(),
                false if !has_deleted => Vec::new(),
                false => self.with_history(&directories)?,
            };
            let unlinked: HashSet<DigestId> = garbage.layer_links.iter().copied().collect();
            let is_garbage = |id: DigestId| {
                Ok(removed.contains(&id) || !self.has_revision(id) && (unlinked.contains(&id) || !self.is_known(id)?))
            };
            let (of_removed, of_others): (Vec<String>, Vec<String>) =
                looked_at.into_iter().partition(|tag| garbage.removes_tag(tag));
            removed_tags = self.in_tags(&of_removed)?;
            garbage.tag_index_entries = removed_tags.iter().flat_map(|removed| &removed.entries).cloned().collect();
            garbage.tag_index_entries.extend(self.tag_index_entries(&of_others, is_garbage)?);
            if !garbage.revisions.is_empty() {
                garbage.tags = directories;
            }
        }
        if leftovers.every_tag {
            garbage.empty_tag_dirs = self.empty_tag_dirs(&garbage.tag_index_entries)?;
        }
        if let Some(before) = self.options.remnants_before() {
            garbage.remnants = self.remnants(Some(before), Some(&reach.live), garbage)?;
        }
        findings.extend(removed_tags.iter().filter_map(|removed| self.foreign_in_tag(removed, &garbage.remnants)));
        for empty in self.in_tags(&std::mem::take(&mut garbage.empty_tag_dirs))? {
            match self.foreign_in_tag(&empty, &garbage.remnants) {
                Some(finding) => findings.push(finding),
                None => garbage.empty_tag_dirs.push(empty.tag),
            }
        }
        if may_be_whole {
            let foreign = self.foreign(&garbage.remnants)?;
            garbage.whole = foreign.is_none();
            findings.extend(foreign);
        }
        if garbage.whole || !removed.is_empty() {
            garbage.referrer_links = self.referrer_links(|id| garbage.whole || removed.contains(&id))?;
        }
        Ok(())
    }

    /// Lists those of some tags that may have named more than one manifest. If a tag exists, what it named last is linked: a
    /// deletion through the API deletes the tags too. So only their indexes may have entries that are not linked.
    fn with_history(&self, tags: &[String]) -> Result<Vec<String>, Error> {
        let is_canonical = |id: &DigestId| self.digests.algorithm(*id) == Algorithm::Sha256;
        let had = self.repository.revisions.iter().chain(&self.repository.unlinked);
        let past = match had.clone().all(is_canonical) {
            true => have_canonical_history(self.storage, self.name(), tags)?,
            false => have_history(self.storage, self.name(), tags)?,
        };
        Ok(tags.iter().zip(past).filter(|(_, past)| *past).map(|(tag, _)| tag.clone()).collect())
    }

    /// Lists the tags that name nothing, and whose indexes are empty once the entries in `gone` are deleted.
    fn empty_tag_dirs(&self, gone: &[TagIndexEntry]) -> Result<Vec<String>, Error> {
        let mut entries_gone: HashMap<&str, usize> = HashMap::default();
        for entry in gone {
            *entries_gone.entry(&entry.tag).or_default() += 1;
        }
        let mut dead = Vec::new();
        for tag in self.tag_directories(|link| link.is_none())? {
            let remembered = self.entries_of(&tag)?.len();
            dead.extend((remembered <= entries_gone.get(&*tag).copied().unwrap_or(0)).then_some(tag));
        }
        Ok(dead)
    }

    /// Whether the repository has a link for a manifest.
    fn is_known(&self, id: DigestId) -> Result<bool, Error> {
        let as_layer = || layout::layer_link(self.name(), &self.digests.digest(id));
        Ok(self.has_revision(id) || self.storage.stat(&as_layer())?.is_some())
    }

    /// Finds something in the repository that no registry puts there, that is not among the `remnants`, and that
    /// would keep its directory from being deleted.
    pub(super) fn foreign(&self, remnants: &[GarbageFile]) -> Result<Option<Finding>, Error> {
        for part in [layout::MANIFESTS, layout::LAYERS, layout::UPLOADS] {
            let directory = format!("{}/{part}", layout::repository(self.name()));
            let is_foreign = |file: &String| {
                let is_link = file.ends_with(&format!("/{}", layout::LINK));
                let tag = file.strip_prefix("tags/").and_then(|file| file.split('/').next());
                let is_of_tag = tag.is_some() && file.ends_with("/current/link");
                // What no registry accepts as a tag is not deleted as one.
                let is_odd = tag.is_some_and(|tag| layout::tag_name(tag).is_none());
                match part {
                    layout::UPLOADS => !file.contains('/'),
                    _ => is_odd || !(is_link && (layout::digest_of_link(file).is_some() || is_of_tag)),
                }
            };
            let foreign = below(self.storage, &directory)?.files.into_iter().filter(is_foreign);
            let mut keys = foreign.map(|file| format!("{directory}/{file}"));
            if let Some(key) = keys.find(|key| !has(remnants, key)) {
                return Ok(Some(self.foreign_file(key)));
            }
        }
        self.foreign_referrer()
    }

    /// Lists the entries of tags' indexes for which `is_garbage` returns true, by tag and digest. Symbolic links are
    /// not followed.
    pub(super) fn tag_index_entries(
        &self,
        tags: &[String],
        is_garbage: impl Fn(DigestId) -> Result<bool, Error> + Sync,
    ) -> Result<Vec<TagIndexEntry>, Error> {
        let entries = tags.par_iter().map(|tag| {
            let mut entries = Vec::new();
            for entry in self.entries_of(tag)? {
                if is_garbage(entry.id)? {
                    entries.push(entry);
                }
            }
            Ok(entries)
        });
        Ok(entries.collect::<Result<Vec<_>, Error>>()?.concat())
    }

    pub(super) fn entries_of(&self, tag: &str) -> Result<Vec<TagIndexEntry>, Error> {
        let mut entries = Vec::new();
        let index = layout::tag_index(self.name(), tag);
        if self.storage.stat(&index)?.is_none_or(|metadata| metadata.symlink) {
            return Ok(entries);
        }
        for (algorithm, symlink) in directories(self.storage, &index, Algorithm::from_name, || ())? {
            if symlink {
                continue;
            }
            let directory = format!("{index}/{}", algorithm.name());
            self.storage.list(&directory, &mut |entry| {
                let digest = Digest::from_hex(algorithm, entry.name).filter(|_| entry.kind == EntryKind::Directory);
                let id = digest.map(|digest| self.digests.id(&digest));
                entries.extend(id.map(|id| TagIndexEntry { tag: tag.to_owned(), id }));
            })?;
        }
        entries.sort_unstable_by_key(|entry| self.digests.digest(entry.id));
        Ok(entries)
    }

    /// Lists the uploads: those that began before `before` and were not written since are abandoned; all if it is
    /// `None`.
    pub(super) fn uploads(&self, before: Option<SystemTime>) -> Result<Uploads, Error> {
        let found = uploads(self.storage, self.name())?;
        let is_old = |upload: &Upload| {
            let is_recent = self.options.recent_since.is_some_and(|since| upload.written >= since);
            !is_recent && before.is_none_or(|before| upload.is_abandoned(before))
        };
        let (old, others): (Vec<Upload>, Vec<Upload>) = found.all.into_iter().partition(is_old);
        Ok(Uploads { old, has_others: found.has_symlinks || !others.is_empty() })
    }
}
