//! Which manifests can still be undeleted. Nothing is changed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;

use super::history::History;
use super::needs::Assessor;
use super::orphans::{self, Orphan};
use super::{Deleted, Evidence};
use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::registry::image::{Description, ImageConfig, ImageKind};
use crate::registry::layout;
use crate::scan::inventory::Repository;
use crate::scan::links::Link;
use crate::scan::{Options, Scan, scan};
use crate::storage::manifests::with_manifest;
use crate::storage::{Content, ReadStorage};
use crate::threads::with_threads;

/// Lists the manifests that the repositories accepted by `is_wanted` no longer link but whose content exists, by
/// repository, the latest deletion first. A linked manifest counts, too, while a tag that certainly named it names
/// nothing.
pub fn find(
    storage: &dyn ReadStorage,
    is_wanted: impl Fn(&str) -> bool + Sync,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<Vec<Deleted>, Error> {
    let scan = scan(storage, &Options { jobs, ..Options::default() }, monitor)?;
    let repositories = &scan.inventory.repositories;
    monitor.phase(Phase::FindDeleted, Some(repositories.len() as u64));
    with_threads(jobs, || {
        let read = |repository: &Repository| {
            monitor.check()?;
            History::read(storage, &repository.name)
        };
        let mut histories: Vec<History<'_>> = repositories.par_iter().map(read).collect::<Result<_, _>>()?;
        let orphans = orphans(storage, &scan, &histories, monitor)?;
        let digest = |id: &_| scan.inventory.digests.digest(*id);
        let known = |number: usize| {
            let Repository { revisions, unlinked, .. } = &repositories[number];
            revisions.iter().chain(unlinked).map(digest).collect()
        };
        orphans::infer(storage, &mut histories, &known, &orphans, monitor)?;
        let wanted = histories.into_par_iter().zip(repositories).filter(|(_, repository)| is_wanted(&repository.name));
        let deleted: Vec<Vec<Deleted>> = wanted
            .map(|(history, repository)| {
                let deleted = deleted(&scan, repository, history, monitor);
                monitor.advance(1);
                deleted
            })
            .collect::<Result<_, _>>()?;
        let mut deleted = deleted.concat();
        deleted.sort_by(|a, b| {
            let key = |deleted: &Deleted| (Reverse(deleted.deleted), deleted.digest);
            a.repository.cmp(&b.repository).then_with(|| key(a).cmp(&key(b)))
        });
        Ok(deleted)
    })
}

/// Returns the manifests among the blobs that nothing refers to, except those that some repository has a record of.
fn orphans(
    storage: &dyn ReadStorage,
    scan: &Scan,
    histories: &[History<'_>],
    monitor: &dyn Monitor,
) -> Result<Vec<Orphan>, Error> {
    let digests = &scan.inventory.digests;
    let unlinked = scan.inventory.repositories.iter().flat_map(|repository| repository.unlinked.iter());
    let mut known: HashSet<Digest> = unlinked.map(|id| digests.digest(*id)).collect();
    known.extend(histories.iter().flat_map(|history| history.remembered.keys().copied()));
    let small = scan.sizes.unreferenced.par_iter().filter(|blob| blob.bytes <= orphans::MAX_BYTES);
    let unknown = small.map(|blob| digests.digest(blob.id)).filter(|digest| !known.contains(digest));
    let orphan = |digest| {
        monitor.check()?;
        orphans::orphan(storage, digest)
    };
    unknown.filter_map(|digest| orphan(digest).transpose()).collect()
}

/// Lists what one repository no longer links.
fn deleted(
    scan: &Scan,
    repository: &Repository,
    history: History<'_>,
    monitor: &dyn Monitor,
) -> Result<Vec<Deleted>, Error> {
    let digests = &scan.inventory.digests;
    let mut candidates: BTreeMap<Digest, Evidence> = BTreeMap::new();
    candidates.extend(history.inferred.iter().map(|digest| (*digest, Evidence::References)));
    candidates.extend(history.remembered.keys().map(|digest| (*digest, Evidence::TagIndex)));
    let directories = repository.unlinked.iter().map(|id| digests.digest(*id));
    let linked = repository.revisions.iter().map(|id| digests.digest(*id));
    let half_linked = linked.filter(|digest| candidates.contains_key(digest)).collect::<Vec<_>>();
    candidates.extend(directories.chain(half_linked).map(|digest| (digest, Evidence::Revision)));
    let mut assessor = Assessor::new(history, None, monitor);
    let mut deleted = Vec::new();
    for (digest, evidence) in candidates {
        if digests.stored_index(digests.id(&digest)).is_none() {
            continue;
        }
        let is_linked = assessor.history.manifest_link(&digest)? != Link::Absent;
        if !is_linked || !assessor.history.certain_tags(&digest)?.is_empty() {
            deleted.extend(describe(&mut assessor, digest, evidence)?);
        }
    }
    Ok(deleted)
}

/// Describes a manifest; `None` if its content is not there after all.
fn describe(assessor: &mut Assessor<'_>, digest: Digest, evidence: Evidence) -> Result<Option<Deleted>, Error> {
    let storage = assessor.history.storage;
    let describe = |content| match content {
        Some(Content::Whole(content)) => Some(Description::of(&content)),
        Some(Content::TooLarge) => Some(None),
        None => None,
    };
    let Some(description) = with_manifest(storage, &layout::blob_data(&digest), describe)? else { return Ok(None) };
    let missing = assessor.verdict(&digest)?.first().cloned();
    let bytes = assessor.bytes(&digest)?;
    let history = &assessor.history;
    let directory = storage.stat(&layout::revision(&history.repository, &digest))?;
    let tags = history.remembered.get(&digest).cloned().unwrap_or_default();
    let certain_tags = history.certain_tags(&digest)?;
    Ok(Some(Deleted {
        store: 0,
        repository: history.repository.clone(),
        digest,
        evidence,
        deleted: directory.and_then(|directory| directory.modified),
        tags,
        certain_tags,
        kind: description.as_ref().map_or(ImageKind::Unknown, |description| description.kind),
        platforms: description.map_or_else(|| Ok(Vec::new()), |description| platforms(storage, description))?,
        bytes,
        missing,
    }))
}

fn platforms(storage: &dyn ReadStorage, description: Description) -> Result<Vec<String>, Error> {
    if description.kind == ImageKind::Index {
        return Ok(description.children.into_iter().filter_map(|child| child.platform).collect());
    }
    let Some(config) = description.config else { return Ok(Vec::new()) };
    Ok(match storage.read(&layout::blob_data(&config.digest), orphans::MAX_BYTES)? {
        Some(Content::Whole(content)) => ImageConfig::of(&content).platform.into_iter().collect(),
        _ => Vec::new(),
    })
}
