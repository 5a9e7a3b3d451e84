//! Restores from the trash what turned out to be in use.
//!
//! A push during a run may refer to something that the run moved to the trash. The next run finds that something live
//! is missing, and puts it back first.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet as HashSet;

use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::finding::Finding;
use crate::monitor::Monitor;
use crate::registry::layout;
use crate::scan::graph::{Edge, edges};
use crate::scan::inventory::DigestId;
use crate::scan::tag_links::tag_links;
use crate::scan::{Options, Scan, scan};
use crate::storage::lock::Access;
use crate::storage::{Moved, ReadStorage};
use crate::trash::{self, Trash};

/// Scans a whole store as [`scan`] does, and puts back live objects that are missing from the store but in the trash.
/// Each of them is a finding. A read-only storage is not changed: the findings report what would be put back.
///
/// If the monitor stops it, it fails with [`Error::Interrupted`]. What was put back before that is in the registry,
/// where it is in use, and was reported to the monitor.
pub fn scan_and_recover(access: Access<'_>, options: &Options<'_>, monitor: &dyn Monitor) -> Result<Scan, Error> {
    let storage = access.storage();
    let to_change = access.locked().and_then(|locked| locked.storage().as_trash());
    let mut healed = Vec::new();
    loop {
        let mut scan = scan(storage, options, monitor)?;
        let missing = missing(storage, &scan, monitor)?;
        let mut is_changed = false;
        for Missing { repository, digest, path, runs } in missing {
            monitor.check()?;
            if to_change.is_some() && leads_to_nothing(storage, &path, &digest)? {
                continue;
            }
            let mut restored = false;
            let mut from = runs.last().cloned().unwrap_or_default();
            // A copy may be damaged while an older one is not.
            let mut is_damaged = true;
            for run in runs.into_iter().rev() {
                let moved = Trash { storage, to_change, run: &run }.put_back(&path, Some(&digest), monitor);
                if matches!(moved, Err(Error::Interrupted)) {
                    return Err(Error::Interrupted);
                }
                is_damaged &= matches!(moved, Err(Error::NotItsDigest(_)));
                if let Some(to_change) = to_change.filter(|_| moved.is_ok_and(|moved| moved == Moved::Done)) {
                    trash::forget_if_empty(to_change, &run)?;
                    (restored, from) = (true, run);
                    break;
                }
            }
            // It was moved aside because it is damaged; that it is missing is a finding of its own.
            if is_damaged {
                continue;
            }
            is_changed |= restored;
            let finding = Finding::InTrash { repository, digest, path, run: from, restored };
            monitor.finding(&finding);
            healed.push(finding);
        }
        // What was put back may be a manifest, which needs more.
        if !is_changed {
            scan.add_findings(healed);
            return Ok(scan);
        }
    }
}

/// Whether a link would be dangling once it is put back. Content comes first, in the order of the paths.
fn leads_to_nothing(storage: &dyn ReadStorage, path: &str, digest: &Digest) -> Result<bool, Error> {
    let content = layout::blob_data(digest);
    Ok(path != content && digest.algorithm() == Algorithm::Sha256 && storage.stat(&content)?.is_none())
}

/// A live object that is not in the store but in the trash.
struct Missing {
    repository: String,
    digest: Digest,
    path: String,
    /// The runs that moved it to the trash, the latest last.
    runs: Vec<String>,
}

fn missing(storage: &dyn ReadStorage, scan: &Scan, monitor: &dyn Monitor) -> Result<Vec<Missing>, Error> {
    // The runs, by the key in the registry.
    let mut trashed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for run in trash::runs(storage)? {
        // What a repair moved to the trash was damaged or dangling.
        if trash::is_of_repair(storage, &run)? {
            continue;
        }
        for (key, _) in trash::objects_until(storage, &run, monitor)? {
            trashed.entry(key).or_default().push(run.clone());
        }
    }
    let mut missing = Vec::new();
    if trashed.is_empty() {
        return Ok(missing);
    }
    let Scan { inventory, reachable, .. } = scan;
    for (repository, marked) in inventory.repositories.iter().zip(&reachable.repositories) {
        monitor.check()?;
        let name = &repository.name;
        let mut children: HashSet<DigestId> = HashSet::default();
        let mut content: HashSet<DigestId> = marked.manifests.iter().copied().collect();
        for &id in &marked.manifests {
            reachable.manifests.with(id, |manifest| {
                for (edge, id) in edges(manifest) {
                    let is_child = matches!(edge, Edge::Reference(role) if role.may_be_child());
                    children.extend(is_child.then_some(id));
                    content.insert(id);
                }
            });
        }
        let mut needed: Vec<(Digest, String)> = Vec::new();
        for &id in &content {
            let digest = inventory.digests.digest(id);
            needed.push((digest, layout::blob_data(&digest)));
            needed.push((digest, layout::layer_link(name, &digest)));
            if children.contains(&id) {
                needed.push((digest, layout::revision_link(name, &digest)));
            }
        }
        // A tag that was pushed just as its manifest was moved to the trash names what the repository does not link.
        // Without that link the content would be garbage again.
        let revisions = format!("{}/", layout::revisions(name));
        if trashed.range(revisions.clone()..).next().is_some_and(|(key, _)| key.starts_with(&revisions)) {
            let with_link = |digest| (digest, layout::revision_link(name, &digest));
            let named = tag_links(storage, name)?.into_iter().filter_map(|tag| tag.digest).map(with_link);
            for (digest, link) in named.filter(|(_, link)| trashed.contains_key(link)) {
                needed.push((digest, layout::blob_data(&digest)));
                needed.push((digest, link));
            }
        }
        for (digest, path) in needed {
            if let Some(runs) = trashed.get(&path)
                && storage.stat(&path)?.is_none()
            {
                missing.push(Missing { repository: name.clone(), digest, runs: runs.clone(), path });
            }
        }
    }
    missing.sort_by(|a, b| a.path.cmp(&b.path));
    missing.dedup_by(|a, b| a.path == b.path);
    Ok(missing)
}
