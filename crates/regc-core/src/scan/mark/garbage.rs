//! The links of one repository that nothing live needs.

use rayon::prelude::*;
use rustc_hash::FxHashSet as HashSet;

use super::manifests::Manifest;
use super::repository::Marking;
use super::{GarbageRevision, RepositoryGarbage};
use crate::error::Error;
use crate::registry::layout;
use crate::scan::inventory::DigestId;
use crate::scan::links::digests_in;
use crate::storage::Metadata;

/// How many links one task tests.
const BATCH: usize = 256;

impl Marking<'_> {
    /// Lists the layer links: all of them are live if `keep`, else those that nothing live refers to are garbage.
    pub(super) fn layer_links(
        &self,
        keep: bool,
        live: &mut HashSet<DigestId>,
        garbage: &mut RepositoryGarbage,
    ) -> Result<(), Error> {
        if self.options.skip_links && !keep {
            return Ok(());
        }
        let mut candidates = Vec::new();
        let layers = layout::layers(self.name());
        for &algorithm in &self.repository.layer_algorithms {
            let links = digests_in(self.storage, &layers, algorithm)?;
            let symlinks = links.iter().filter(|(_, symlink)| *symlink);
            garbage.symlinks.extend(symlinks.map(|(digest, _)| layout::layer(self.name(), digest)));
            let ids = links.iter().map(|(digest, _)| self.digests.id(digest));
            candidates.extend(ids.filter(|id| keep || !live.contains(id)));
        }
        if keep {
            for id in candidates {
                live.insert(id);
                live.extend(self.target(id)?);
            }
            return Ok(());
        }
        let links: Vec<Vec<Option<Metadata>>> = candidates
            .par_chunks(BATCH)
            .map(|batch| {
                let keys: Vec<String> = batch.iter().map(|&id| layout::link_below(&self.digests.digest(id))).collect();
                self.storage.stat_each(&layers, &keys)
            })
            .collect::<Result<_, Error>>()?;
        for (id, link) in candidates.into_iter().zip(links.into_iter().flatten()) {
            match link {
                // A client that pushes an image links its layers first.
                Some(link) if self.options.recent_since.is_some_and(|since| link.may_be_recent(since)) => {
                    live.insert(id);
                    live.extend(self.target(id)?);
                }
                Some(_) => garbage.layer_links.push(id),
                None => garbage.empty_layers.push(id),
            }
        }
        garbage.layer_links.sort_unstable_by_key(|&id| self.digests.digest(id));
        Ok(())
    }

    /// Lists the revisions that are not in `live`, each before those that it refers to.
    pub(super) fn unused_revisions(
        &self,
        live: &HashSet<DigestId>,
        garbage: &mut RepositoryGarbage,
    ) -> Result<(), Error> {
        let mut unused: Vec<DigestId> =
            self.repository.revisions.iter().copied().filter(|id| !live.contains(id)).collect();
        unused.sort_unstable_by_key(|&id| self.digests.digest(id));
        for id in self.parents_first(&unused) {
            let is_signed = self.repository.signed.binary_search(&id).is_ok();
            let signatures = if is_signed { self.signatures(id)?.into() } else { Box::default() };
            garbage.revisions.push(GarbageRevision { id, signatures, is_remembered: false });
        }
        Ok(())
    }

    /// Orders manifests so that each comes before those that it refers to, as an index or as a referrer.
    fn parents_first(&self, manifests: &[DigestId]) -> Vec<DigestId> {
        let among: HashSet<DigestId> = manifests.iter().copied().collect();
        let mut done = HashSet::default();
        let mut children_first = Vec::with_capacity(manifests.len());
        // Children first, without recursion: a client can make a chain of indexes of any length.
        for &root in manifests.iter().rev() {
            let mut stack = vec![(root, false)];
            while let Some((id, is_left)) = stack.pop() {
                if is_left {
                    children_first.push(id);
                } else if done.insert(id) {
                    stack.push((id, true));
                    let below: Option<Vec<DigestId>> = self.manifests.with(id, |manifest| match manifest {
                        Manifest::Parsed { references, subject, .. } => {
                            references.iter().map(|reference| reference.id()).chain(subject).collect()
                        }
                        _ => Vec::new(),
                    });
                    let below = below.unwrap_or_default().into_iter().filter(|id| among.contains(id));
                    stack.extend(below.map(|id| (id, false)));
                }
            }
        }
        children_first.reverse();
        children_first
    }
}
