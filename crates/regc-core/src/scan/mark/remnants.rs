//! Remnants: files that interrupted copies left beside the links of a repository.

use std::time::SystemTime;

use rayon::prelude::*;
use rustc_hash::FxHashSet as HashSet;

use super::repository::Marking;
use super::{GarbageFile, RepositoryGarbage};
use crate::error::Error;
use crate::registry::layout;
use crate::scan::inventory::DigestId;
use crate::scan::links::digests_in;
use crate::scan::remnants::{BATCH, Beside};
use crate::scan::tag_links::tag_links;
use crate::storage::below;

impl Marking<'_> {
    /// Lists the remnants in the repository that were written before `before`, by path; all of them if it is `None`.
    /// `live` is what is live in it, `None` if the repository is deleted; `garbage` is what else is deleted.
    pub(super) fn remnants(
        &self,
        before: Option<SystemTime>,
        live: Option<&HashSet<DigestId>>,
        garbage: &RepositoryGarbage,
    ) -> Result<Vec<GarbageFile>, Error> {
        let mut found = Vec::new();
        let layers = layout::layers(self.name());
        for &algorithm in &self.repository.layer_algorithms {
            let links = digests_in(self.storage, &layers, algorithm)?;
            let links = links.into_iter().filter(|(_, symlink)| !symlink);
            let ids: Vec<DigestId> = links.map(|(digest, _)| self.digests.id(&digest)).collect();
            found
                .extend(self.remnants_beside(&layers, &ids, before, |id| live.is_some_and(|live| live.contains(&id)))?);
        }
        let revisions = [&*self.repository.revisions, &self.repository.unlinked].concat();
        // Where a revision that a tag names has no link, a remnant beside it may be all that is left of the link.
        let named = if self.repository.unlinked.is_empty() || live.is_none() { Vec::new() } else { self.named()? };
        let is_needed = |id| named.contains(&id);
        found.extend(self.remnants_beside(&layout::revisions(self.name()), &revisions, before, is_needed)?);
        found.extend(self.remnants_in_tags(before, live.is_none(), garbage)?);
        found.sort_unstable();
        Ok(found)
    }

    /// Lists what the tags of the repository name.
    fn named(&self) -> Result<Vec<DigestId>, Error> {
        let named = tag_links(self.storage, self.name())?.into_iter().filter_map(|tag| tag.digest);
        Ok(named.map(|digest| self.digests.id(&digest)).collect())
    }

    /// Lists the remnants beside the links of some digests, below the directory `above`. Where a link is missing and
    /// `is_needed`, its remnants stay.
    fn remnants_beside(
        &self,
        above: &str,
        ids: &[DigestId],
        before: Option<SystemTime>,
        is_needed: impl Fn(DigestId) -> bool + Sync,
    ) -> Result<Vec<GarbageFile>, Error> {
        let beside = Beside { storage: self.storage, above, file: layout::LINK, before };
        let found = ids.par_chunks(BATCH).map(|batch| {
            let link = |&id: &DigestId| layout::link_below(&self.digests.digest(id));
            let directory =
                |link: String| link.rsplit_once('/').map_or_else(String::new, |(above, _)| above.to_owned());
            let directories: Vec<String> = batch.iter().map(|id| directory(link(id))).collect();
            beside.list(&directories, |number| is_needed(batch[number]))
        });
        Ok(found.collect::<Result<Vec<_>, Error>>()?.concat())
    }

    /// Lists the remnants in tags. Where a link is missing, its directory may be the only record of what the tag has
    /// named, so its remnants stay unless the directory is deleted anyway.
    fn remnants_in_tags(
        &self,
        before: Option<SystemTime>,
        all_go: bool,
        garbage: &RepositoryGarbage,
    ) -> Result<Vec<GarbageFile>, Error> {
        let all = layout::tags(self.name());
        let beside = Beside { storage: self.storage, above: &all, file: layout::LINK, before };
        let entry = |tag: &str, id| layout::tag_index_link(self.name(), tag, &self.digests.digest(id));
        let gone: HashSet<String> = garbage.tag_index_entries.iter().map(|gone| entry(&gone.tag, gone.id)).collect();
        let tags = self.all_tag_directories()?;
        let found = tags.par_iter().map(|tag| {
            let is_dead = garbage.empty_tag_dirs.binary_search(tag).is_ok();
            let files: HashSet<String> = below(self.storage, &format!("{all}/{tag}"))?.files.into_iter().collect();
            let goes = |file: &&String| {
                let Some((directory, _)) = file.rsplit_once('/') else { return false };
                let link = format!("{directory}/{}", layout::LINK);
                let is_free =
                    all_go || is_dead || files.contains(&link) || gone.contains(&format!("{all}/{tag}/{link}"));
                is_free && layout::is_remnant(&format!("{all}/{tag}/{file}"))
            };
            beside.old(files.iter().filter(goes).map(|file| format!("{tag}/{file}")).collect())
        });
        Ok(found.collect::<Result<Vec<_>, Error>>()?.concat())
    }
}
