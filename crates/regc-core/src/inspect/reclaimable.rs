//! How much a deletion would free, without another scan.
//!
//! A plan scans the whole store, which is too slow to react to every key that an operator presses while marking what to
//! delete. Deletions change what is live only in the repositories that they name. So the number of repositories that
//! need each blob is counted once, and only the named repositories are marked again, by the same code as for a plan.
//! The result equals that of the plan, unless the store has changed since the scan.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use crate::blocked::Blocked;
use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::scan::deletion::Deletion;
use crate::scan::inventory::DigestId;
use crate::scan::mark::{Again, Marker};
use crate::scan::{Options, Scan, sizes};
use crate::storage::ReadStorage;
use crate::sync::Mutex;
use crate::threads::with_threads;

/// What is needed to compute how much a deletion would free.
pub struct Reclaimable<'a> {
    storage: &'a dyn ReadStorage,
    scan: &'a Scan,
    marker: Marker<'a>,
    jobs: usize,
    /// The positions of the repositories in the inventory, by name.
    positions: HashMap<&'a str, usize>,
    /// For each repository, the blobs that are live in it, sorted.
    needed: Vec<Box<[u32]>>,
    /// For each blob, how many repositories need it, and one more if it is live whatever they need.
    needs: Vec<u32>,
    /// The lengths of the blobs that were asked for so far; `None` for one without content.
    measured: Mutex<HashMap<u32, Option<u64>>>,
}

/// What a deletion would delete and free, as in the `Totals` of its plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reclaimed {
    /// Repositories that are deleted as a whole.
    pub repositories: u64,
    /// Tags.
    pub tags: u64,
    /// Manifest revisions.
    pub revisions: u64,
    /// Blobs.
    pub blobs: u64,
    /// The length of their content, in bytes.
    pub bytes: u64,
    /// Unfinished uploads of repositories that are deleted as a whole.
    pub uploads: u64,
    /// The length of their files, in bytes.
    pub upload_bytes: u64,
    /// Files that interrupted copies left, and links to referrers.
    pub files: u64,
    /// Their length, in bytes.
    pub file_bytes: u64,
    /// What the deletion names but cannot be deleted. A session carries out such a deletion only if partial plans are
    /// allowed.
    pub blocked: Vec<Blocked>,
}

impl Reclaimed {
    /// Returns how many bytes are freed.
    pub fn all_bytes(&self) -> u64 {
        self.bytes + self.upload_bytes + self.file_bytes
    }
}

/// Counts what each repository needs. The scan must have default options.
pub(crate) fn reclaimable<'a>(
    storage: &'a dyn ReadStorage,
    scan: &'a Scan,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<Reclaimable<'a>, Error> {
    let marker = Marker::new(storage, scan)?;
    let nothing = Deletion::default();
    // The links that are garbage are known from the scan.
    let options = Options { deletion: Some(&nothing), skip_links: true, jobs, ..Options::default() };
    let digests = &scan.inventory.digests;
    let blobs = |live: &mut dyn Iterator<Item = DigestId>| {
        let mut blobs: Vec<u32> = live.filter_map(|id| digests.stored_index(id)).map(|index| index as u32).collect();
        blobs.sort_unstable();
        blobs.dedup();
        blobs.into_boxed_slice()
    };
    let repositories = &scan.inventory.repositories;
    monitor.phase(Phase::Mark, Some(repositories.len() as u64));
    let needed: Vec<Box<[u32]>> = with_threads(jobs, || {
        let needed = (0..repositories.len()).into_par_iter().map(|position| {
            let again = marker.mark(position, &options)?;
            monitor.advance(1);
            monitor.check()?;
            Ok(blobs(&mut again.live.into_iter()))
        });
        needed.collect::<Result<_, Error>>()
    })?;
    let mut needs = vec![0; digests.stored_len()];
    let for_all = blobs(&mut marker.kept_for_all(&options));
    needed.iter().chain([&for_all]).flatten().for_each(|&blob| needs[blob as usize] += 1);
    let positions = repositories.iter().enumerate();
    let positions = positions.map(|(position, repository)| (repository.name.as_str(), position)).collect();
    Ok(Reclaimable { storage, scan, marker, jobs, positions, needed, needs, measured: Mutex::default() })
}

impl Reclaimable<'_> {
    /// Returns what a deletion would free: the same as `Store::plan_deletion` with default options, unless the store
    /// has changed since it was scanned.
    ///
    /// Reads only the repositories that the deletion names, and the lengths of the blobs that would be deleted.
    ///
    /// Fails if the storage cannot be read, with [`Error::Interrupted`] if the monitor stops it.
    pub fn by(&self, deletion: &Deletion, monitor: &dyn Monitor) -> Result<Reclaimed, Error> {
        with_threads(self.jobs, || self.freed_by(deletion, monitor))
    }

    /// Returns how many repositories need a blob, and 0 for a digest without a blob. An incomplete restore that
    /// protects the blob counts as one more.
    pub fn needs(&self, digest: &Digest) -> u64 {
        let digests = &self.scan.inventory.digests;
        digests.stored_index(digests.id(digest)).map_or(0, |index| self.needs[index].into())
    }

    fn freed_by(&self, deletion: &Deletion, monitor: &dyn Monitor) -> Result<Reclaimed, Error> {
        let options = Options { deletion: Some(deletion), jobs: self.jobs, ..Options::default() };
        let named: Vec<usize> =
            deletion.repositories().filter_map(|(name, _)| self.positions.get(name).copied()).collect();
        let marked = named.into_par_iter().map(|position| {
            monitor.check()?;
            Ok((position, self.marker.mark(position, &options)?))
        });
        let mut again: BTreeMap<usize, Again> = marked.collect::<Result<_, Error>>()?;
        self.marker.mark_linked(&mut again, &options)?;

        let unneeded = if deletion.keep_content { Vec::new() } else { self.unneeded(&again) };
        let lengths = self.lengths(&unneeded, monitor)?;
        let mut reclaimed = Reclaimed {
            blobs: lengths.iter().flatten().count() as u64,
            bytes: lengths.into_iter().flatten().sum(),
            ..Reclaimed::default()
        };
        for Again { garbage, blocked, .. } in again.into_values() {
            reclaimed.repositories += u64::from(garbage.whole);
            reclaimed.tags += garbage.removed_tags.len() as u64;
            reclaimed.revisions += garbage.revisions.len() as u64;
            reclaimed.uploads += garbage.uploads.len() as u64;
            reclaimed.upload_bytes += garbage.uploads.iter().map(|upload| upload.bytes).sum::<u64>();
            reclaimed.files += (garbage.remnants.len() + garbage.referrer_links.len()) as u64;
            reclaimed.file_bytes += garbage.remnants.iter().map(|file| file.bytes).sum::<u64>();
            reclaimed.blocked.extend(blocked);
        }
        reclaimed.blocked.sort_unstable();
        Ok(reclaimed)
    }

    /// Returns the blobs that these repositories release and that then no repository needs, in the order of their
    /// digests.
    fn unneeded(&self, again: &BTreeMap<usize, Again>) -> Vec<DigestId> {
        let digests = &self.scan.inventory.digests;
        // How many fewer repositories need a blob, and more: what was not live may be, once its repository counts as shared.
        let mut changes: BTreeMap<usize, i64> = BTreeMap::new();
        for (&position, Again { live, released, .. }) in again {
            for &blob in &self.needed[position] {
                *changes.entry(blob as usize).or_default() -= 1;
            }
            for index in live.iter().filter_map(|&id| digests.stored_index(id)) {
                *changes.entry(index).or_default() += 1;
            }
            for index in released.iter().filter_map(|&id| digests.stored_index(id)) {
                changes.entry(index).or_default();
            }
        }
        let is_released = |id: DigestId| again.values().any(|again| again.released.contains(&id));
        let dead = changes.into_iter().filter(|&(index, change)| i64::from(self.needs[index]) + change == 0);
        let ids: Vec<usize> = dead.map(|(index, _)| index).collect();
        let mut ids = ids.into_iter().peekable();
        let stored = digests.stored_ids().enumerate();
        let dead = stored.filter(|(index, _)| ids.next_if_eq(index).is_some()).map(|(_, id)| id);
        dead.filter(|&id| is_released(id)).collect()
    }

    /// Returns how many bytes deleting each of these blobs frees; `None` for one without content.
    fn lengths(&self, blobs: &[DigestId], monitor: &dyn Monitor) -> Result<Vec<Option<u64>>, Error> {
        let digests = &self.scan.inventory.digests;
        let index = |id: &DigestId| digests.stored_index(*id).map(|index| index as u32).unwrap_or_default();
        let unknown: Vec<DigestId> = {
            let measured = self.measured.lock();
            blobs.iter().copied().filter(|id| !measured.contains_key(&index(id))).collect()
        };
        let found = sizes::freed_each(self.storage, &self.scan.inventory, &unknown, monitor)?;
        let mut measured = self.measured.lock();
        measured.extend(unknown.iter().map(&index).zip(found));
        Ok(blobs.iter().map(|id| measured.get(&index(id)).copied().flatten()).collect())
    }
}
