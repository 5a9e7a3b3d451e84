//! Verification of a store: what is wrong in it, which images are affected, and what can be done.
//!
//! The results determine what is reported, and what a repair is based on. Nothing is deleted because of what is not
//! found. So verification continues where a collection stops, such as at what it cannot read, and reports it.

pub mod content;
mod images;
mod repository;
mod tolerant;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use rayon::prelude::*;
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use self::content::Hashed;
use self::tolerant::{Issues, Tolerant};
use crate::digest::Digest;
use crate::error::Error;
use crate::finding::{Finding, Kind, Severity};
use crate::monitor::{Monitor, Phase};
use crate::registry::config::Absences;
use crate::registry::layout;
use crate::registry::manifest::References;
use crate::scan;
use crate::scan::inventory::{DigestId, Repository};
use crate::scan::mark::Manifest;
use crate::scan::{Leftovers, Scan};
use crate::storage::manifests::with_each_manifest;
use crate::storage::{Content, EntryKind, ReadStorage};
use crate::threads::with_threads;

/// What is checked, and with how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Uploads that began before this are reported; none if not given.
    pub(crate) stale_before: Option<SystemTime>,
    /// Whether to scan every directory for names that do not belong there: also next to each link and blob, and in
    /// all tag indexes. Most of those need not be listed otherwise.
    pub(crate) every_name: bool,
    /// What may be missing although nothing is wrong: it is reported as a note. `Store::verify` takes it from the
    /// configuration.
    pub(crate) absences: Absences,
    /// How many threads wait for the storage at once. `Store::verify` uses the number of the store.
    pub(crate) jobs: usize,
}

impl Options {
    /// Returns the options for a quick check: no uploads, and no names that need further listings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets that uploads that began before this time are reported; none with `None`.
    #[must_use]
    pub fn stale_before(self, stale_before: Option<SystemTime>) -> Self {
        Self { stale_before, ..self }
    }

    /// Sets whether to check the names in every directory.
    #[must_use]
    pub fn every_name(self, every_name: bool) -> Self {
        Self { every_name, ..self }
    }
}

impl Default for Options {
    fn default() -> Self {
        let absences = Absences::default();
        Self { stale_before: None, every_name: false, absences, jobs: scan::Options::default().jobs }
    }
}

/// Something that is wrong in a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Defect {
    /// Its kind.
    pub kind: Kind,
    /// The key of what is wrong or missing.
    pub path: String,
    /// The repository that it is in; none for content.
    pub repository: Option<String>,
    /// Its digest.
    pub digest: Option<Digest>,
    /// Details, as a sentence without a full stop; empty if there are none.
    pub detail: String,
    /// The affected images, sorted: `repository:tag`, or `repository@digest` where no tag reaches it.
    pub images: Vec<String>,
    /// Whether it may affect more images: if there are too many, only the nearest ones are listed.
    pub has_more_images: bool,
}

/// The result of verifying a whole store.
#[derive(Debug)]
#[non_exhaustive]
pub struct Verification {
    /// Everything that is wrong, in the order of the codes and paths, except for content that nothing refers to.
    pub defects: Vec<Defect>,
    /// Content that nothing refers to, and its length in bytes, in the order of the digests. There may be much of it,
    /// so it is a defect only in [`each`](Self::each).
    pub unreferenced: Vec<(Digest, u64)>,
    /// How many repositories there are.
    pub repositories: u64,
    /// How many different manifests they link.
    pub manifests: u64,
    /// The blobs that exist, and the length of each in bytes, in the order of their digests.
    pub blobs: Vec<(Digest, u64)>,
    jobs: usize,
    /// The state of a session in which it was made.
    pub(crate) made_in: Option<u64>,
    /// The scan behind the result.
    scan: Scan,
    /// The position of each repository in it.
    numbers: HashMap<String, usize>,
}

/// Verifies a whole store, but not the content of blobs other than manifests. Nothing is changed.
///
/// Fails if the storage's own directory cannot be accessed, or if the monitor stops the call.
pub fn verify(storage: &dyn ReadStorage, options: &Options, monitor: &dyn Monitor) -> Result<Verification, Error> {
    let tolerant = Tolerant::new(storage)?;
    let leftovers = Leftovers { uploads_before: options.stale_before, ..Leftovers::default() };
    let to_survey = scan::Options {
        leftovers,
        skip_links: true,
        jobs: options.jobs,
        absences: options.absences,
        ..scan::Options::default()
    };
    let scan = scan::scan(&tolerant, &to_survey, monitor)?;
    with_threads(options.jobs, || {
        let Scan { inventory, reachable, .. } = &scan;
        monitor.phase(Phase::Measure, Some(inventory.digests.stored_len() as u64));
        let sizes = sizes(&tolerant, &scan, monitor)?;
        if options.every_name {
            look_for_foreign(&tolerant, &scan, monitor)?;
        }
        let mut defects = of_findings(&scan);
        defects.extend(wrong_sizes(&tolerant, &scan, &sizes)?);

        monitor.phase(Phase::CheckLinks, Some(inventory.repositories.len() as u64));
        let trashed = repository::Trashed::new(&tolerant);
        let of_repositories: Vec<Vec<Defect>> = inventory
            .repositories
            .par_iter()
            .zip(&reachable.repositories)
            .zip(&reachable.garbage)
            .map(|((repository, marked), garbage)| {
                let (storage, scan, sizes, every_name) = (&tolerant, &scan, &*sizes, options.every_name);
                let trashed = &trashed;
                let check = repository::Check { storage, scan, sizes, repository, marked, trashed, every_name };
                let defects = check.run(garbage)?;
                monitor.advance(1);
                monitor.check().map(|()| defects)
            })
            .collect::<Result<_, Error>>()?;
        defects.extend(of_repositories.into_iter().flatten());
        let (mut blobs, mut unreferenced) = (Vec::with_capacity(sizes.len()), Vec::new());
        for (id, size) in inventory.digests.stored_ids().zip(&sizes) {
            let Some(size) = *size else { continue };
            let digest = inventory.digests.digest(id);
            blobs.push((digest, size));
            if !reachable.live.contains(&inventory.digests, id) {
                unreferenced.push((digest, size));
            }
        }
        Ok((defects, blobs, unreferenced))
    })
    .and_then(|(mut defects, blobs, unreferenced)| {
        defects.extend(of_met(tolerant.into_met()));
        defects.iter_mut().for_each(|defect| defect.kind = defect.kind.in_spite_of(options.absences));
        name_images(storage, &scan, &mut defects, options.jobs)?;
        let names = scan.inventory.repositories.iter().map(|repository| repository.name.clone());
        let mut verification = Verification {
            numbers: names.zip(0..).collect(),
            repositories: scan.inventory.repositories.len() as u64,
            manifests: scan.reachable.manifests.len() as u64,
            defects: without_consequences(defects),
            blobs,
            unreferenced,
            jobs: options.jobs,
            made_in: None,
            scan,
        };
        verification.in_order();
        Ok(verification)
    })
}

impl Defect {
    /// Returns a defect of the content of a digest, wherever it is linked.
    fn of_content(kind: Kind, digest: &Digest, detail: String) -> Self {
        let path = layout::blob_data(digest);
        Self { kind, path, repository: None, digest: Some(*digest), detail, images: Vec::new(), has_more_images: false }
    }
}

impl Verification {
    /// Returns everything that is wrong, and content that nothing refers to, in the order of the codes and paths.
    pub fn each(&self) -> impl Iterator<Item = Cow<'_, Defect>> {
        let end = self.defects.partition_point(|defect| defect.kind < Kind::UnreferencedBlob);
        let (before, after) = self.defects.split_at(end);
        let unreferenced = self.unreferenced.iter();
        let unreferenced = unreferenced
            .map(|(digest, bytes)| Defect::of_content(Kind::UnreferencedBlob, digest, format!("{bytes} bytes")));
        before.iter().map(Cow::Borrowed).chain(unreferenced.map(Cow::Owned)).chain(after.iter().map(Cow::Borrowed))
    }

    /// Returns how many defects of a kind there are.
    pub fn count(&self, kind: Kind) -> u64 {
        let found = self.defects.iter().filter(|defect| defect.kind == kind).count() as u64;
        if kind == Kind::UnreferencedBlob { found + self.unreferenced.len() as u64 } else { found }
    }

    /// Adds those of the wrong blobs that `is_meant` accepts: blobs whose content does not match their digest, and
    /// blobs that failed to be read, with the reason.
    pub(crate) fn add_hashed(
        &mut self,
        storage: &dyn ReadStorage,
        hashed: &Hashed,
        is_meant: impl Fn(&Digest) -> bool,
    ) -> Result<(), Error> {
        let wrong: BTreeSet<Digest> = hashed.mismatched.iter().copied().filter(&is_meant).collect();
        // A mismatch of the content says more than its length.
        self.defects.retain(|defect| {
            defect.kind != Kind::WrongSize || defect.digest.is_none_or(|digest| !wrong.contains(&digest))
        });
        let known = |kind: Kind| self.defects.iter().filter(move |defect| defect.kind == kind);
        let manifests: BTreeSet<Digest> = known(Kind::DamagedManifest).filter_map(|defect| defect.digest).collect();
        let damaged = wrong.difference(&manifests);
        let damaged = damaged.map(|digest| Defect::of_content(Kind::DamagedBlob, digest, String::new()));
        let failed = hashed.unreadable.iter().filter(|(digest, _)| is_meant(digest));
        let failed = failed.map(|(digest, why)| Defect::of_content(Kind::CannotBeRead, digest, why.to_string()));
        let mut added: Vec<Defect> = damaged.chain(failed).collect();
        name_images(storage, &self.scan, &mut added, self.jobs)?;
        self.defects.extend(added);
        self.in_order();
        Ok(())
    }

    /// Returns the scan behind the result.
    pub(crate) fn scan(&self) -> &Scan {
        &self.scan
    }

    fn repository(&self, name: &str) -> Option<&Repository> {
        self.numbers.get(name).map(|&number| &self.scan.inventory.repositories[number])
    }

    /// Returns whether symbolic links lead into a repository, or from within it to somewhere else.
    pub(crate) fn is_shared(&self, repository: &str) -> bool {
        self.repository(repository).is_some_and(|found| found.shared)
    }

    /// Returns the manifests that a repository links as revisions.
    pub(crate) fn manifests_of(&self, repository: &str) -> Vec<Digest> {
        let Scan { inventory, .. } = &self.scan;
        let found = self.repository(repository);
        found.map_or_else(Vec::new, |found| found.revisions.iter().map(|&id| inventory.digests.digest(id)).collect())
    }

    /// Returns the repositories that link a manifest as a revision, except for those into which symbolic links lead.
    pub(crate) fn repositories_of(&self, manifest: &Digest) -> Vec<String> {
        let Scan { inventory, .. } = &self.scan;
        let id = inventory.digests.id(manifest);
        let with_it = inventory.repositories.iter().filter(|found| found.revisions.binary_search(&id).is_ok());
        with_it.filter(|found| !found.shared).map(|found| found.name.clone()).collect()
    }

    /// Returns the manifests to which something that a repository links is attached.
    pub(crate) fn subjects(&self, repository: &str) -> BTreeSet<Digest> {
        let Scan { inventory, reachable, .. } = &self.scan;
        let subject = |id: &DigestId| {
            let subject = reachable.manifests.with(*id, |found| match found {
                Manifest::Parsed { subject, .. } => subject,
                Manifest::Missing | Manifest::Damaged(_) => None,
            });
            subject.flatten().map(|subject| inventory.digests.digest(subject))
        };
        let found = self.repository(repository);
        found.into_iter().flat_map(|found| found.revisions.iter().filter_map(subject)).collect()
    }

    /// Returns whether an image cannot be pulled, or something else is wrong besides leftovers.
    pub fn is_damaged(&self) -> bool {
        self.defects.iter().any(|defect| defect.kind.severity() < Severity::Note)
    }

    fn in_order(&mut self) {
        // A stable sort: what is appended is mostly in order by itself.
        self.defects.sort();
        self.defects.dedup();
    }
}

fn name_images(storage: &dyn ReadStorage, scan: &Scan, defects: &mut [Defect], jobs: usize) -> Result<(), Error> {
    if !defects.iter().any(|defect| images::are_concerned(defect.kind)) {
        return Ok(());
    }
    with_threads(jobs, || images::name(&Tolerant::new(storage)?, scan, defects))
}

/// Returns the length of each blob in bytes, in the order of their digests; `None` where the content is missing.
fn sizes(storage: &Tolerant<'_>, scan: &Scan, monitor: &dyn Monitor) -> Result<Vec<Option<u64>>, Error> {
    let Scan { inventory, reachable, sizes: measured, .. } = scan;
    let digests = &inventory.digests;
    let mut sizes = vec![None; digests.stored_len()];
    let mut is_known = vec![false; digests.stored_len()];
    for (id, bytes) in measured.unreferenced.iter().map(|blob| (blob.id, blob.bytes)).filter(|(_, bytes)| *bytes > 0) {
        if let Some(index) = digests.stored_index(id) {
            (sizes[index], is_known[index]) = (Some(bytes), true);
        }
    }
    let ids: Vec<DigestId> = digests.stored_ids().collect();
    for (index, &id) in ids.iter().enumerate().filter(|_| !storage.asks_for_owners()) {
        if let (bytes, true) = reachable.manifests.known_size(digests, id) {
            (sizes[index], is_known[index]) = (Some(bytes), true);
        }
    }
    let unknown: Vec<DigestId> = ids.into_iter().zip(is_known).filter(|(_, known)| !known).map(|(id, _)| id).collect();
    monitor.advance((digests.stored_len() - unknown.len()) as u64);
    let shards: Vec<&[DigestId]> = unknown.chunk_by(|a, b| digests.same_shard(*a, *b)).collect();
    let found = shards.into_par_iter().map(|shard| {
        let blobs: Vec<Digest> = shard.iter().map(|&id| digests.digest(id)).collect();
        let keys: Vec<String> = blobs.iter().map(layout::data_below).collect();
        let found = storage.stat_each(&layout::shard(&blobs[0]), &keys)?;
        monitor.advance(shard.len() as u64);
        monitor.check()?;
        let files = found.into_iter().map(|data| data.filter(|data| data.kind == EntryKind::File));
        Ok(files.map(|file| file.map(|file| file.bytes)).collect::<Vec<_>>())
    });
    let found = found.collect::<Result<Vec<_>, Error>>()?.concat();
    for (id, bytes) in unknown.into_iter().zip(found) {
        if let Some(index) = digests.stored_index(id) {
            sizes[index] = bytes;
        }
    }
    Ok(sizes)
}

/// Scans for names that do not belong next to the content of blobs.
fn look_for_foreign(storage: &Tolerant<'_>, scan: &Scan, monitor: &dyn Monitor) -> Result<(), Error> {
    let digests = &scan.inventory.digests;
    let ids: Vec<DigestId> = digests.stored_ids().collect();
    let shards: Vec<&[DigestId]> = ids.chunk_by(|a, b| digests.same_shard(*a, *b)).collect();
    shards.into_par_iter().try_for_each(|shard| {
        monitor.check()?;
        let blobs: Vec<String> = shard.iter().map(|&id| digests.digest(id).hex()).collect();
        storage.look_for_foreign(&layout::shard(&digests.digest(shard[0])), &blobs)
    })
}

/// Returns the defects that the scan has already found. Links are left out: they are checked again, more closely.
fn of_findings(scan: &Scan) -> Vec<Defect> {
    let defect = |finding: &Finding| {
        let detail = match finding {
            Finding::DamagedManifest { damage, .. } => damage.to_string(),
            Finding::DanglingRevision { .. } | Finding::UnservedRepository { .. } => String::new(),
            _ => return None,
        };
        let digest = finding.manifest().copied();
        let is_content = matches!(finding, Finding::DamagedManifest { .. });
        let repository = (!is_content).then(|| finding.repository().to_owned());
        Some(Defect {
            kind: finding.kind(),
            path: finding.path(),
            repository,
            digest,
            detail,
            images: Vec::new(),
            has_more_images: false,
        })
    };
    scan.findings.iter().filter_map(defect).collect()
}

/// Returns content that does not have the size that a manifest states, each with the first manifest that states it.
fn wrong_sizes(storage: &dyn ReadStorage, scan: &Scan, sizes: &[Option<u64>]) -> Result<Vec<Defect>, Error> {
    let Scan { inventory, reachable, .. } = scan;
    let digests = &inventory.digests;
    // The sizes that manifests state were recorded when they were read. They are read again only if a size differs
    // from the actual one.
    let mut suspects: HashSet<DigestId> = reachable.manifests.disputed_sizes().into_iter().collect();
    suspects.extend(digests.stored_ids().zip(sizes).filter_map(|(id, size)| {
        let (stated, _) = reachable.manifests.known_size(digests, id);
        (stated > 0 && size.is_some_and(|size| size != stated)).then_some(id)
    }));
    let is_suspect = |manifest: &DigestId| {
        let found = reachable.manifests.with(*manifest, |found| match found {
            Manifest::Parsed { references, .. } => references.iter().any(|part| suspects.contains(&part.id())),
            _ => false,
        });
        found.unwrap_or(false)
    };
    let all = reachable.repositories.iter().flat_map(|marked| marked.manifests.iter().copied());
    let mut manifests: Vec<DigestId> = if suspects.is_empty() { Vec::new() } else { all.filter(is_suspect).collect() };
    manifests.sort_unstable();
    manifests.dedup();
    let damaged: HashSet<Digest> = scan
        .findings
        .iter()
        .filter(|finding| matches!(finding, Finding::DamagedManifest { .. }))
        .filter_map(|finding| finding.manifest().copied())
        .collect();
    let shards: Vec<&[DigestId]> = manifests.chunk_by(|a, b| digests.same_shard(*a, *b)).collect();
    let wrong = shards.into_par_iter().map(|shard| {
        let blobs: Vec<Digest> = shard.iter().map(|&id| digests.digest(id)).collect();
        let keys: Vec<String> = blobs.iter().map(layout::data_below).collect();
        let (mut wrong, mut index) = (Vec::new(), 0);
        with_each_manifest(storage, &layout::shard(&blobs[0]), &keys, &mut |content| {
            let manifest = blobs[index];
            index += 1;
            let Some(Content::Whole(content)) = content else { return };
            let Ok(parsed) = References::parse(&content) else { return };
            for reference in parsed.references.iter().filter(|reference| reference.bytes > 0) {
                let id = digests.id(&reference.digest);
                let actual = digests.stored_index(id).and_then(|index| sizes[index]);
                if let Some(actual) = actual.filter(|actual| *actual != reference.bytes) {
                    wrong.push((reference.digest, actual, reference.bytes, manifest));
                }
            }
        })?;
        Ok(wrong)
    });
    let mut wrong: Vec<_> = wrong.collect::<Result<Vec<_>, Error>>()?.concat();
    wrong.sort_unstable();
    wrong.dedup_by_key(|(digest, ..)| *digest);
    wrong.retain(|(digest, ..)| !damaged.contains(digest));
    let defect = |(digest, actual, stated, manifest): (Digest, u64, u64, Digest)| {
        let detail = format!("it has {actual} bytes, but the manifest {manifest} states {stated}");
        Defect::of_content(Kind::WrongSize, &digest, detail)
    };
    Ok(wrong.into_iter().map(defect).collect())
}

/// Leaves out defects that are only a consequence of what failed to be read. Their images are reported with the
/// cause.
fn without_consequences(defects: Vec<Defect>) -> Vec<Defect> {
    let is_cause = |kind: Kind| matches!(kind, Kind::BrokenSymlink | Kind::CannotBeRead | Kind::Unreadable);
    let (mut causes, others): (Vec<Defect>, Vec<Defect>) =
        defects.into_iter().partition(|defect| is_cause(defect.kind));
    if causes.is_empty() {
        return others;
    }
    // Directories before what is below them. What regc cannot read for the same reason as the registry is reported
    // once.
    causes.sort_unstable_by(|a, b| (&a.path, a.kind).cmp(&(&b.path, b.kind)));
    causes.dedup_by(|second, first| second.path == first.path);
    let mut hiding: BTreeMap<String, Defect> = BTreeMap::new();
    let mut kept = Vec::new();
    for defect in causes.into_iter().chain(others) {
        // What it refers to may exist all the same.
        let target = match (defect.kind, &defect.repository, &defect.digest) {
            (Kind::DanglingTag | Kind::DanglingTagIndexEntry, Some(repository), Some(digest)) => {
                layout::revision_link(repository, digest)
            }
            (Kind::DanglingLayerLink, _, Some(digest)) => layout::blob_data(digest),
            _ => String::new(),
        };
        let cause = [&defect.path, &target].into_iter().find_map(|path| {
            let mut ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
            ends.find(|end| hiding.contains_key(&path[..*end])).map(|end| path[..end].to_owned())
        });
        match cause.and_then(|cause| hiding.get_mut(&cause)) {
            Some(cause) => {
                cause.images.extend(defect.images);
                cause.has_more_images |= defect.has_more_images;
            }
            None if is_cause(defect.kind) && (defect.kind != Kind::Unreadable || !defect.detail.is_empty()) => {
                hiding.insert(defect.path.clone(), defect);
            }
            None => kept.push(defect),
        }
    }
    // Each image once, however many defects the cause hides.
    let in_order = |mut cause: Defect| {
        cause.images.sort_unstable();
        cause.images.dedup();
        cause
    };
    kept.extend(hiding.into_values().map(in_order));
    kept
}

fn of_met(met: Issues) -> Vec<Defect> {
    let Issues { broken_symlinks, failed, foreign, unreadable } = met;
    let of_kind = |kind: Kind, paths: BTreeSet<String>| -> Vec<(Kind, String, String)> {
        let reason = |path: &String| failed.get(path).filter(|_| kind == Kind::Unreadable).cloned().unwrap_or_default();
        paths.into_iter().map(|path| (kind, path.clone(), reason(&path))).collect()
    };
    let mut all = of_kind(Kind::BrokenSymlink, broken_symlinks);
    all.extend(of_kind(Kind::ForeignName, foreign));
    all.extend(of_kind(Kind::Unreadable, unreadable));
    all.extend(failed.into_iter().map(|(path, reason)| (Kind::CannotBeRead, path, reason)));
    let defect = |(kind, path, detail): (Kind, String, String)| {
        let layout::Subject { repository, digest, .. } = layout::subject(&path);
        let repository = repository.filter(|_| kind != Kind::ForeignName);
        Defect {
            kind,
            digest: digest.filter(|_| kind != Kind::ForeignName),
            repository,
            path,
            detail,
            images: Vec::new(),
            has_more_images: false,
        }
    };
    all.into_iter().map(defect).collect()
}
