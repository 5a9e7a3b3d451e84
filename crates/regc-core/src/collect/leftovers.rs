//! What a plan deletes as leftovers, and not as untagged.

use std::collections::HashSet;
use std::convert::Infallible;

use crate::collect::plan::{Item, Plan, Totals};
use crate::registry::layout::Location;
use crate::scan::graph;
use crate::scan::inventory::DigestId;
use crate::scan::mark::RepositoryGarbage;
use crate::walk::walk;

impl Plan {
    /// Returns what the plan deletes only because leftovers are garbage: uploads, files of interrupted copies, empty
    /// repositories, and what is attached to deleted images, with all that only it needs.
    ///
    /// These totals are the difference from a plan that deletes untagged manifests but no leftovers.
    pub fn leftovers(&self) -> Totals {
        let mut totals = Totals::default();
        let is_leftover = |item: &Item<'_>| match item {
            Item::Upload { .. } | Item::Repository { .. } | Item::Tag { .. } => true,
            Item::File { path, .. } => !matches!(Location::parse(path), Some(Location::ReferrerLink { .. })),
            _ => false,
        };
        self.items().filter(is_leftover).for_each(|item| totals.add(&item));
        let unreferenced = &self.scan().sizes.unreferenced;
        let mut counted = HashSet::new();
        for garbage in &self.scan().reachable.garbage {
            let attached = self.attached(garbage);
            totals.revisions +=
                garbage.revisions.iter().filter(|revision| attached.contains(&revision.id)).count() as u64;
            totals.layer_links += garbage.layer_links.iter().filter(|id| attached.contains(id)).count() as u64;
            for id in attached {
                if let Ok(index) = unreferenced.binary_search_by_key(&id, |blob| blob.id)
                    && counted.insert(id)
                {
                    totals.blobs += 1;
                    totals.bytes += unreferenced[index].bytes;
                }
            }
        }
        totals
    }

    /// Returns everything that the deleted tags of a repository lead to.
    fn attached(&self, garbage: &RepositoryGarbage) -> HashSet<DigestId> {
        let mut attached = HashSet::new();
        if garbage.removed_tags.is_empty() {
            return attached;
        }
        let manifests = &self.scan().reachable.manifests;
        let revisions: HashSet<DigestId> = garbage.revisions.iter().map(|revision| revision.id).collect();
        let referrers = graph::referrers(manifests, revisions.iter().copied());
        let named = garbage.removed_tags.iter().filter_map(|tag| tag.id);
        let Ok(()) = walk(&mut attached, named, |id, pending| {
            if revisions.contains(&id) {
                manifests.with(id, |manifest| pending.extend(graph::edges(manifest).map(|(_, to)| to)));
            }
            pending.extend(referrers.get(&id).into_iter().flatten());
            Ok::<(), Infallible>(())
        });
        attached
    }
}
