//! Everything that a report shows: what is in a store, and what each part takes up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use rayon::prelude::*;

use super::catalog::{ListOptions, Listing, Tree, catalog};
use super::usage::{Detail, NamespaceUsage, RepositoryUsage, TagUsage, Usage, usage};
use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::Monitor;
use crate::registry::config::Absences;
use crate::scan::Scan;
pub use crate::scan::uploads::Upload;
use crate::scan::uploads::uploads;
use crate::storage::ReadStorage;
use crate::threads::with_threads;

/// How many shared layers an overview contains at most.
pub const LAYERS: usize = 1000;

/// What is in a store, and what each part takes up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Overview<'a> {
    /// The totals, and the layers that several images have. Its repositories and namespaces are in the fields below.
    pub totals: Usage<'a>,
    /// The repositories, by what deleting them would free, the most first.
    pub repositories: Vec<RepositoryOverview<'a>>,
    /// The namespaces, in the same order.
    pub namespaces: Vec<NamespaceUsage<'a>>,
}

/// A repository, what is in it, and what it takes up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RepositoryOverview<'a> {
    /// What it takes up. Its tags are in the order of their names.
    pub usage: RepositoryUsage<'a>,
    /// Its tags and untagged manifests, and what each image consists of. Empty if the repository was deleted after the
    /// scan.
    pub listing: Listing,
    /// Its unfinished uploads, by name.
    pub uploads: Vec<Upload>,
    /// How many bytes were added to it in each week, the earliest first; weeks without a push are left out.
    pub growth: Vec<Growth>,
}

impl<'a> RepositoryOverview<'a> {
    /// Returns what a tag takes up; `None` if it was pushed after the scan.
    pub fn usage_of(&self, tag: &str) -> Option<&TagUsage<'a>> {
        let found = self.usage.tags.binary_search_by(|usage| usage.tag.as_str().cmp(tag));
        found.ok().map(|found| &self.usage.tags[found])
    }
}

/// How many bytes were added to a repository in a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Growth {
    /// The Monday on which the week begins, at midnight UTC.
    pub week: SystemTime,
    /// How many bytes were pushed in that week that the repository did not have before and still has. This is based on
    /// when tags and untagged manifests were last pushed, and on the lengths that manifests state.
    pub bytes: u64,
}

/// Sums up a store. The scan must have default options, as for [`usage`].
pub fn overview<'a>(
    storage: &dyn ReadStorage,
    scan: &'a Scan,
    absences: Absences,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<Overview<'a>, Error> {
    let detail = Detail::default().tags(true).namespaces(true).layers(LAYERS);
    let mut totals = usage(storage, scan, detail, jobs, monitor)?;
    let options = ListOptions::new().images(true).untagged(true).trees(true).layers(true).problems(true);
    let listings = catalog(storage, |_| true, options.absences(absences), jobs, monitor)?;
    let mut listings: HashMap<String, Listing> =
        listings.into_iter().map(|listing| (listing.repository.clone(), listing)).collect();
    let namespaces = std::mem::take(&mut totals.namespaces);
    let pairs: Vec<(RepositoryUsage<'a>, Listing)> = std::mem::take(&mut totals.repositories)
        .into_iter()
        .map(|usage| {
            let listing = listings.remove(usage.repository);
            let listing = listing.unwrap_or_else(|| Listing::empty(usage.repository));
            (usage, listing)
        })
        .collect();
    let repositories = with_threads(jobs, || {
        let of_repository = |(mut usage, listing): (RepositoryUsage<'a>, Listing)| {
            monitor.check()?;
            usage.tags.sort_unstable_by(|one, other| one.tag.cmp(&other.tag));
            let uploads = uploads(storage, usage.repository)?.all;
            let growth = growth(&listing);
            Ok(RepositoryOverview { usage, listing, uploads, growth })
        };
        pairs.into_par_iter().map(of_repository).collect::<Result<Vec<_>, Error>>()
    })?;
    Ok(Overview { totals, repositories, namespaces })
}

/// Returns how much came into a repository in each week.
fn growth(listing: &Listing) -> Vec<Growth> {
    let tags = listing.tags.iter().filter_map(|tag| Some((tag.pushed, tag.digest?)));
    let untagged = listing.untagged.iter().map(|untagged| (untagged.pushed, untagged.image.digest));
    let mut pushed: Vec<(SystemTime, Digest)> = tags.chain(untagged).collect();
    pushed.sort_unstable();
    let (mut images, mut content) = (HashSet::new(), HashSet::new());
    let mut weeks: BTreeMap<SystemTime, u64> = BTreeMap::new();
    for (time, digest) in pushed {
        let mut bytes = 0_u64;
        let mut pending = vec![digest];
        while let Some(digest) = pending.pop() {
            let Some(Tree { children, config, layers, .. }) = listing.trees.get(&digest) else { continue };
            if images.insert(digest) {
                pending.extend(children);
                let new = config.iter().chain(layers).filter(|part| content.insert(part.digest));
                bytes = new.map(|part| part.bytes).fold(bytes, u64::saturating_add);
            }
        }
        if bytes > 0 {
            let week = weeks.entry(monday(time)).or_default();
            *week = week.saturating_add(bytes);
        }
    }
    weeks.into_iter().map(|(week, bytes)| Growth { week, bytes }).collect()
}

/// Returns when the week of a time began.
fn monday(time: SystemTime) -> SystemTime {
    const DAY: u64 = 24 * 60 * 60;
    // 1970 began on a Thursday.
    const FIRST_MONDAY: u64 = 4 * DAY;
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let into_week = (seconds + 7 * DAY - FIRST_MONDAY) % (7 * DAY);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.saturating_sub(into_week))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_mondays() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        // Monday 2026-11-23, and the Sunday after it.
        assert_eq!(monday(at(1_795_392_000)), at(1_795_392_000));
        assert_eq!(monday(at(1_795_392_000 + 7 * 86_400 - 1)), at(1_795_392_000));
        assert_eq!(monday(at(1_795_392_000 - 1)), at(1_795_392_000 - 7 * 86_400));
        assert_eq!(monday(at(3)), at(0));
    }
}
