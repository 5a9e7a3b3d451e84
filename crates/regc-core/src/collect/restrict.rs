//! Carries out only the reviewed part of a plan.
//!
//! What is kept may refer to what was approved: a new link may point to a blob that was garbage. So this decides,
//! before anything is shown or deleted, what must be kept with it.

use std::collections::HashSet;
use std::time::SystemTime;

use crate::collect::plan::{Item, Plan};
use crate::collect::rescan::{Rescan, Spared};
use crate::error::Error;
use crate::storage::ReadStorage;

impl Plan {
    /// Restricts the plan to items that `is_approved` accepts: those of an earlier plan that was reviewed. What is kept
    /// also keeps what it refers to: a blob is kept as long as a link to it is, all of an image if its manifest is, and
    /// a repository if anything in it is. `storage` is that of the plan's store.
    ///
    /// Fails if the storage cannot be read.
    pub fn only(mut self, storage: &dyn ReadStorage, is_approved: impl Fn(&Item<'_>) -> bool) -> Result<Self, Error> {
        let mut held: HashSet<String> = HashSet::new();
        let mut spared = Spared::default();
        let rescan = Rescan::new(storage, self.scan(), SystemTime::now());
        // Of these tags an entry in the index stays, and so does the tag.
        let mut stuck: HashSet<(&str, &str)> = HashSet::new();
        for item in self.all_items().filter(|item| !is_approved(item)) {
            rescan.spare_what_it_leads_to(&item, &mut spared)?;
            held.insert(item.key());
            if let Item::TagIndexEntry { repository, tag, .. } = item {
                stuck.insert((repository, tag));
            }
        }
        for item in self.all_items().filter(|item| item.tag().is_some_and(|tag| stuck.contains(&tag))) {
            rescan.spare_what_it_leads_to(&item, &mut spared)?;
            held.insert(item.key());
        }
        if !held.is_empty() {
            let digests = &self.scan().inventory.digests;
            let is_leaving = |item: &Item<'_>| self.terms.is_deletion && !held.contains(&item.key());
            let leaving = self.all_items().filter(is_leaving).filter_map(|item| item.tag());
            let leaving: HashSet<(&str, &str)> = leaving.collect();
            let stays = |item: &Item<'_>| match item {
                Item::Tag { .. } => false,
                Item::TagIndexEntry { repository, tag, .. } if leaving.contains(&(*repository, *tag)) => false,
                item => item.digest().is_some_and(|digest| spared.contains(&digests.id(&digest))),
            };
            let more: Vec<String> = self.all_items().filter(stays).map(|item| item.key()).collect();
            held.extend(more);
            let kept = self.all_items().filter(|item| held.contains(&item.key()));
            let occupied: HashSet<&str> = kept.filter_map(|item| item.repository()).collect();
            let is_occupied = |item: &Item<'_>| {
                matches!(item, Item::Repository { .. }) && item.repository().is_some_and(|name| occupied.contains(name))
            };
            let whole: Vec<String> = self.all_items().filter(is_occupied).map(|item| item.key()).collect();
            held.extend(whole);
        }
        self.hold(held);
        Ok(self)
    }
}
