//! Scanning a store: what it holds, and what of it is live.

pub mod deletion;
pub(crate) mod graph;
pub mod inventory;
pub(crate) mod known;
pub(crate) mod links;
pub mod mark;
mod options;
pub(crate) mod orphans;
pub(crate) mod remnants;
pub mod resolve;
pub mod sizes;
pub(crate) mod tag_links;
pub(crate) mod uploads;

use std::collections::BTreeSet;

use self::inventory::Inventory;
use self::mark::{GarbageFile, Reachable};
use self::sizes::Sizes;
use crate::digest::Digest;
use crate::error::Error;
use crate::finding::Finding;
use crate::monitor::Monitor;
use crate::storage::ReadStorage;
use crate::threads::with_threads;
use crate::trash;

pub use self::known::KnownManifests;
pub use self::options::{Leftovers, Names, Options};

/// The result of a scan: what a store holds, and what of it is live.
#[derive(Debug)]
pub struct Scan {
    /// What is in the store.
    pub inventory: Inventory,
    /// What of it is live.
    pub reachable: Reachable,
    /// The number and sizes of its blobs, live and not.
    pub sizes: Sizes,
    /// Files that interrupted copies left beside blobs, by path, if requested.
    pub remnants: Vec<GarbageFile>,
    /// All damage found, in a fixed order.
    pub findings: Vec<Finding>,
    /// Damaged content that repairs have moved aside, listed only if content is missing: it explains where that
    /// content is.
    pub set_aside: BTreeSet<Digest>,
}

impl Scan {
    /// Adds damage that was found elsewhere.
    pub fn add_findings(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
        self.findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        self.findings.dedup();
    }
}

/// Scans a whole store without changing anything.
///
/// Fails if the storage cannot be read, since content that is not seen cannot be protected. Damage in the store's
/// content is a [`Finding`], not a failure.
pub fn scan(storage: &dyn ReadStorage, options: &Options<'_>, monitor: &dyn Monitor) -> Result<Scan, Error> {
    with_threads(options.jobs, || {
        let mut inventory = inventory::scan(storage, options.recent_since, monitor)?;
        inventory.keep(options.also_roots.into_iter().flatten());
        let reachable = mark::mark(storage, &mut inventory, options, monitor)?;
        let sizes = sizes::measure(storage, &inventory, &reachable, options.recent_since, monitor)?;
        let remnants = remnants::beside_blobs(storage, &inventory, &reachable, options, monitor)?;
        let is_missing = |id| inventory.digests.stored_index(id).is_none() || sizes.without_content.contains(&id);
        let missing = match options.absences.content {
            true => Vec::new(),
            false => reachable.missing_blobs(storage, &inventory, is_missing)?,
        };
        missing.iter().for_each(|finding| monitor.finding(finding));

        let mut findings = [&*inventory.findings, &*reachable.findings, &*missing].concat();
        findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        let set_aside = match missing.is_empty() {
            true => BTreeSet::new(),
            false => trash::moved_aside(storage)?.into_keys().collect(),
        };
        Ok(Scan { inventory, reachable, sizes, remnants, findings, set_aside })
    })
}
