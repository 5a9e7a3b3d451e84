//! Guards against stores that seem to be incomplete.
//!
//! Content on an unmounted disk looks as if it had been deleted. All commands that delete call these checks first, so
//! they all decide the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::{Algorithm, Digest};
use crate::error::{Error, Refusal};
use crate::finding::Finding;
use crate::registry::config::{Config, Metadata};
use crate::registry::layout;
use crate::scan::inventory::{DigestId, Digests, Inventory};
use crate::scan::{Options, Scan};
use crate::storage::{EntryKind, ReadStorage};

/// How many digests may be missing from a store, however small it is. Files are lost one at a time or by the handful.
const FEW: usize = 10;

/// Beyond those, one digest in this many. If a store is on several disks, one disk holds far more, and no disk that
/// still works has lost that much.
const SHARE: u64 = 20;

/// How many digests must be missing before a directory of blobs that holds none counts as missing. In a store with
/// few blobs, a directory often has only one or two, and losing those is losing files.
const SHARD: usize = 4;

/// Refuses a storage root without a registry's layout, unless that is allowed: the mount point of an unmounted file
/// system looks like an empty directory.
pub fn refuse_missing_layout(storage: &dyn ReadStorage, allow_empty: bool) -> Result<(), Error> {
    let ends = layout::ROOT.match_indices('/').map(|(end, _)| end).chain([layout::ROOT.len()]);
    for directory in ends.map(|end| &layout::ROOT[..end]) {
        match storage.stat(directory)? {
            None if !allow_empty => return Err(Error::Refused(Refusal::NoLayout)),
            // Reading it reports the error.
            Some(found) if found.kind == EntryKind::BrokenSymlink => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a store that seems to be incomplete, unless the options allow it. The decision depends on the scan's
/// findings, so they must be complete.
pub fn refuse_missing_parts(scan: &Scan, options: &Options<'_>) -> Result<(), Error> {
    let refusal = if options.allow_empty { None } else { empty_part(scan, options) };
    let missing = || if options.allow_missing { None } else { missing_part(scan) };
    refusal.or_else(missing).map_or(Ok(()), |refusal| Err(Error::Refused(refusal)))
}

/// Refuses to delete nearly all manifests as untagged, unless the options allow it: tags may be kept elsewhere, as in
/// Harbor.
pub fn refuse_mostly_untagged(scan: &Scan, options: &Options<'_>) -> Result<(), Error> {
    let Scan { inventory, reachable, .. } = scan;
    let repositories = inventory.repositories.iter().filter(|repository| options.may_tidy(&repository.name));
    let linked: usize = repositories.map(|repository| repository.revisions.len()).sum();
    let untagged: usize = reachable.garbage.iter().map(|garbage| garbage.revisions.len()).sum();
    let is_most = untagged > FEW && untagged * 10 > linked * 9;
    match options.delete_untagged && !options.allow_mostly_untagged && is_most {
        true => Err(Error::Refused(Refusal::MostlyUntagged { untagged: untagged as u64, linked: linked as u64 })),
        false => Ok(()),
    }
}

/// Returns a refusal if the store has none of something that it should have.
fn empty_part(scan: &Scan, options: &Options<'_>) -> Option<Refusal> {
    let Scan { inventory, reachable, .. } = scan;
    let has_revisions = inventory.repositories.iter().any(|repository| !repository.revisions.is_empty());
    let has_blobs = inventory.digests.stored_len() > 0;
    let is_stored = |id: &DigestId| inventory.digests.stored_index(*id).is_some();
    let leads_to_blobs = reachable.garbage.iter().any(|garbage| garbage.layer_links.iter().any(is_stored));
    let loses_revisions = reachable.garbage.iter().any(|garbage| !garbage.revisions.is_empty());
    if !inventory.has_layout {
        Some(Refusal::NoLayout)
    } else if has_blobs && inventory.repositories.is_empty() {
        Some(Refusal::NoRepositories)
    } else if has_revisions && !has_blobs {
        Some(Refusal::NoBlobs)
    } else if inventory.lacks_manifests && leads_to_blobs {
        Some(Refusal::NoManifests)
    } else if options.delete_untagged && loses_revisions && reachable.tags == 0 {
        Some(Refusal::NoTags)
    } else {
        None
    }
}

/// Returns a refusal if parts of a store that is not empty are missing.
fn missing_part(scan: &Scan) -> Option<Refusal> {
    let Scan { inventory, reachable, .. } = scan;
    if let Some(directory) = inventory.unmounted.iter().chain(&reachable.unmounted).next() {
        return Some(Refusal::Unmounted(directory.clone()));
    }
    let missing = scan.findings.iter().filter_map(missing_digest);
    let missing: BTreeSet<Digest> = missing.filter(|digest| !scan.set_aside.contains(digest)).collect();
    let needed = reachable.live.len();
    if missing.len() > FEW && missing.len() as u64 * SHARE > needed {
        return Some(Refusal::MissingContent { missing: missing.len() as u64, needed });
    }
    missing_shard(&missing, inventory).map(Refusal::MissingDirectory)
}

/// Returns the digest that a finding reports as missing, if it is about one.
fn missing_digest(finding: &Finding) -> Option<Digest> {
    match finding {
        Finding::DanglingRevision { manifest, .. } => Some(*manifest),
        Finding::MissingBlob { blob, .. } => Some(*blob),
        _ => None,
    }
}

/// Returns the first directory of blobs that holds none but should hold several.
fn missing_shard(missing: &BTreeSet<Digest>, inventory: &Inventory) -> Option<String> {
    let mut shards: BTreeMap<(Algorithm, u8), Vec<&Digest>> = BTreeMap::new();
    for digest in missing {
        shards.entry((digest.algorithm(), digest.as_bytes()[0])).or_default().push(digest);
    }
    let holds_one = |digests: &Digests, digest: &Digest| digests.has_shard(digest.algorithm(), digest.as_bytes()[0]);
    let lost = shards.values().find(|lost| lost.len() >= SHARD && !holds_one(&inventory.digests, lost[0]));
    lost.map(|lost| layout::shard(lost[0]))
}

/// Refuses a store if an external metadata database records what is in use.
pub fn refuse_foreign_metadata(config: &Config, storage: &dyn ReadStorage, options: &Options<'_>) -> Result<(), Error> {
    let refusal = if config.metadata == Metadata::GitLabDatabase {
        Refusal::GitLabDatabase("database.enabled")
    } else if storage.stat(layout::GITLAB_DATABASE_IN_USE)?.is_some() {
        Refusal::GitLabDatabase("the storage holds docker/registry/lockfiles/database-in-use")
    } else if config.metadata == Metadata::GitLabPrefersDatabase
        && storage.stat(layout::GITLAB_FILESYSTEM_IN_USE)?.is_none()
    {
        Refusal::GitLabDatabase("database.enabled: prefer, and no docker/registry/lockfiles/filesystem-in-use")
    } else if config.metadata == Metadata::OpenShift {
        Refusal::OpenShift
    } else if config.metadata == Metadata::Harbor && (options.delete_untagged || options.deletion.is_some()) {
        Refusal::HarborUntagged
    } else if config.metadata == Metadata::Harbor && !options.allow_harbor {
        Refusal::Harbor
    } else {
        return Ok(());
    };
    Err(Error::Refused(refusal))
}
