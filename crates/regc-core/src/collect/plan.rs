//! What is deleted, and in which order. This does no I/O: everything that it needs was read before.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::ser::SerializeSeq;

use crate::blocked::Blocked;
use crate::collect::guards::{refuse_missing_parts, refuse_mostly_untagged};
pub use crate::collect::item::{Item, Totals};
use crate::digest::Digest;
use crate::error::{Error, Refusal};
use crate::finding::Finding;
use crate::registry::layout;
use crate::scan::inventory::{DigestId, Digests};
use crate::scan::mark::{GarbageTag, RepositoryGarbage, TagIndexEntry};
use crate::scan::sizes::UnreferencedBlob;
use crate::scan::uploads::Upload;
use crate::scan::{Options, Scan};

/// Everything that a collection removes.
///
/// It serialises as the sequence of its [items](Plan::items).
#[derive(Debug)]
pub struct Plan {
    scan: Scan,
    pub(super) terms: Terms,
    /// Why it must be confirmed before it is carried out.
    unconfirmed: Option<Refusal>,
    /// The command that the trash's journal names.
    command: String,
    /// The number of the session in which it was made; `None` for a dry run.
    session: Option<u64>,
    /// Whether it is carried out although something that it should delete is blocked.
    is_partial_allowed: bool,
    /// The keys of what is not deleted although it could be: it was not approved.
    held: HashSet<String>,
}

/// The options of a plan that matter when it is carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) delete_untagged: bool,
    pub(super) keep_since: Option<SystemTime>,
    /// Whether this is a deletion: what it deletes was named, and clients could pull it.
    pub(super) is_deletion: bool,
    pub(super) jobs: usize,
}

/// What a repository frees.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepositoryTotals<'a> {
    /// The repository's name.
    pub repository: &'a str,
    /// What is deleted from it. A blob that several repositories used is counted in the first of them.
    pub totals: Totals,
}

/// Decides what is deleted.
///
/// Refuses a store that seems to be incomplete (see [`Refusal`](crate::error::Refusal)), unless the options allow it:
/// no layout, no repository, no blob, no tag where untagged manifests are deleted; an empty directory that is a file
/// system of its own, or whose siblings are; more than ten digests that are needed and missing, if that is more than
/// one in twenty; a directory of blobs that holds none although four or more should be there; layer links and no
/// manifest; more than nine in ten manifests untagged and to be deleted, if those are more than ten.
pub fn plan(scan: Scan, options: &Options<'_>) -> Result<Plan, Error> {
    refuse_missing_parts(&scan, options)?;
    refuse_mostly_untagged(&scan, options)?;
    Ok(Plan::new(scan, options))
}

impl Plan {
    pub(crate) fn new(scan: Scan, options: &Options<'_>) -> Self {
        let terms = Terms {
            delete_untagged: options.delete_untagged,
            keep_since: options.recent_since,
            is_deletion: options.deletion.is_some(),
            jobs: options.jobs,
        };
        Self {
            scan,
            terms,
            unconfirmed: None,
            command: String::new(),
            session: None,
            is_partial_allowed: false,
            held: HashSet::new(),
        }
    }

    /// Returns the plan as made in a session by a command.
    pub(crate) fn made_in(self, session: Option<u64>, command: &str, unconfirmed: Option<Refusal>) -> Self {
        Self { session, command: command.to_owned(), unconfirmed, ..self }
    }

    pub(crate) fn session(&self) -> Option<u64> {
        self.session
    }

    pub(crate) fn deletes_untagged(&self) -> bool {
        self.terms.delete_untagged
    }

    /// Returns how old something has to be to be deleted.
    pub(crate) fn min_age(&self, now: SystemTime) -> Duration {
        let age = self.terms.keep_since.and_then(|since| now.duration_since(since).ok());
        age.unwrap_or_default()
    }

    pub(crate) fn command(&self) -> &str {
        &self.command
    }

    /// Returns why the plan must be confirmed before it is carried out: it deletes nearly all manifests as untagged.
    pub fn unconfirmed(&self) -> Option<&Refusal> {
        self.unconfirmed.as_ref()
    }

    /// Confirms the plan: an operator has seen what it deletes.
    pub fn confirm(&mut self) {
        self.unconfirmed = None;
    }

    /// Fails with [`Refusal::Blocked`] if something that a deletion names cannot be deleted. A session checks that
    /// before it executes a plan, so that nothing named is half deleted; a dry run may ask.
    pub fn require_complete(self) -> Result<Self, Error> {
        self.check_complete().map(|()| self)
    }

    /// Allows deleting what can be deleted, even if something else that the deletion names is [blocked](Self::blocked).
    #[must_use]
    pub fn allow_partial(self) -> Self {
        Self { is_partial_allowed: true, ..self }
    }

    pub(crate) fn check_complete(&self) -> Result<(), Error> {
        match &self.scan.reachable.blocked {
            blocked if blocked.is_empty() || self.is_partial_allowed => Ok(()),
            blocked => Err(Error::Refused(Refusal::Blocked(blocked.clone()))),
        }
    }

    /// Returns the damage and obstacles that were found, in a fixed order.
    pub fn findings(&self) -> &[Finding] {
        &self.scan.findings
    }

    /// Adds findings of the caller.
    pub fn add_findings(&mut self, findings: Vec<Finding>) {
        self.scan.add_findings(findings);
    }

    /// Keeps what has these keys, although it could be deleted.
    pub(super) fn hold(&mut self, keys: HashSet<String>) {
        self.held = keys;
    }

    /// Whether it deletes only a part of what it has found.
    pub(crate) fn is_restricted(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether an item stays because it was not approved.
    pub(crate) fn is_held(&self, item: &Item<'_>) -> bool {
        !self.held.is_empty() && self.held.contains(&item.key())
    }

    /// Returns what stays because it was not approved.
    pub(crate) fn held_items(&self) -> impl Iterator<Item = Item<'_>> {
        self.all_items().filter(|item| self.is_held(item))
    }

    /// Returns everything that is deleted, in the order of deletion: a link before what it points at.
    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        self.all_items().filter(|item| !self.is_held(item))
    }

    /// Returns everything that could be deleted, in the order of deletion.
    pub(super) fn all_items(&self) -> impl Iterator<Item = Item<'_>> {
        let repositories = self.repositories();
        repositories
            .clone()
            .flat_map(RepositoryPlan::remnants)
            .chain(self.remnants())
            .chain(repositories.clone().flat_map(RepositoryPlan::tag_index_entries))
            .chain(repositories.clone().flat_map(RepositoryPlan::tags))
            .chain(repositories.clone().flat_map(RepositoryPlan::referrer_links))
            .chain(repositories.clone().flat_map(RepositoryPlan::revisions))
            .chain(repositories.clone().flat_map(RepositoryPlan::layer_links))
            .chain(self.blob_directories().flat_map(|blobs| self.blobs(blobs)))
            .chain(repositories.clone().flat_map(RepositoryPlan::uploads))
            .chain(repositories.flat_map(RepositoryPlan::whole))
    }

    /// Returns how much is deleted.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        if self.is_restricted() {
            self.items().for_each(|item| totals.add(&item));
            return totals;
        }
        for garbage in &self.scan.reachable.garbage {
            totals += links(garbage);
        }
        self.remnants().for_each(|remnant| totals.add(&remnant));
        totals.blobs = self.scan.sizes.unreferenced.len() as u64;
        totals.bytes = self.scan.sizes.unreferenced.iter().map(|blob| blob.bytes).sum();
        totals
    }

    /// Returns what each repository frees, the largest first, and separately what belongs to no repository: blobs that
    /// no repository links.
    pub fn shares(&self) -> (Vec<RepositoryTotals<'_>>, Totals) {
        let unreferenced = &self.scan.sizes.unreferenced;
        let mut counted = HashSet::new();
        let mut shares = Vec::new();
        let repositories = self.scan.inventory.repositories.iter();
        for (repository, garbage) in repositories.zip(&self.scan.reachable.garbage) {
            let mut totals = if self.is_restricted() { self.links_of(&repository.name) } else { links(garbage) };
            let used = garbage.layer_links.iter().chain(&repository.unlinked);
            for &id in used.chain(garbage.revisions.iter().map(|revision| &revision.id)) {
                if let Ok(index) = unreferenced.binary_search_by_key(&id, |blob| blob.id)
                    && !self.blobs(&unreferenced[index..=index]).any(|blob| self.is_held(&blob))
                    && counted.insert(id)
                {
                    totals.blobs += 1;
                    totals.bytes += unreferenced[index].bytes;
                }
            }
            if !totals.is_empty() {
                shares.push(RepositoryTotals { repository: &repository.name, totals });
            }
        }
        let mut rest = self.totals();
        rest = Totals { blobs: rest.blobs, bytes: rest.bytes, ..Totals::default() };
        for share in &shares {
            rest.blobs -= share.totals.blobs;
            rest.bytes -= share.totals.bytes;
        }
        // The sort is stable: equal repositories stay in the order of their names.
        shares.sort_by_key(|share| {
            let Totals { blobs, revisions, layer_links, .. } = share.totals;
            std::cmp::Reverse((share.totals.all_bytes(), blobs, revisions, layer_links))
        });
        (shares, rest)
    }

    /// Returns what is deleted from a repository besides content, of a plan that deletes only a part.
    fn links_of(&self, name: &str) -> Totals {
        let mut totals = Totals::default();
        self.items().filter(|item| item.repository() == Some(name)).for_each(|item| totals.add(&item));
        totals
    }

    /// Returns the repositories of the store, sorted by name.
    pub fn repository_names(&self) -> impl Iterator<Item = &str> {
        self.scan.inventory.repositories.iter().map(|repository| &*repository.name)
    }

    /// Returns what a deletion names but the plan does not delete, and why.
    pub fn blocked(&self) -> &[Blocked] {
        &self.scan.reachable.blocked
    }

    /// Whether a repository links a manifest, before anything is deleted.
    pub fn has_manifest(&self, repository: &str, manifest: &Digest) -> bool {
        let Scan { inventory, .. } = &self.scan;
        let mut named = inventory.repositories.iter().filter(|found| *found.name == *repository);
        named.any(|found| found.links(inventory.digests.id(manifest)))
    }

    /// What was found out before.
    pub(crate) fn scan(&self) -> &Scan {
        &self.scan
    }

    /// Returns what is deleted from each repository.
    pub(crate) fn repositories(&self) -> impl Iterator<Item = RepositoryPlan<'_>> + Clone {
        let scan = &self.scan;
        let repositories = scan.inventory.repositories.iter().zip(&scan.reachable.garbage);
        repositories.map(move |(repository, garbage)| RepositoryPlan {
            repository: &repository.name,
            garbage,
            digests: &scan.inventory.digests,
        })
    }

    /// Returns what interrupted copies left beside blobs.
    pub(crate) fn remnants(&self) -> impl Iterator<Item = Item<'_>> {
        self.scan.remnants.iter().map(|file| Item::File { repository: None, path: &file.path, bytes: file.bytes })
    }

    /// Returns the blobs that are deleted, grouped by the directory that holds theirs.
    pub(crate) fn blob_directories(&self) -> impl Iterator<Item = &[UnreferencedBlob]> {
        let digests = &self.scan.inventory.digests;
        self.scan.sizes.unreferenced.chunk_by(|a, b| digests.same_shard(a.id, b.id))
    }

    /// Returns the blobs of which only the directory exists, and which nothing needs.
    pub(crate) fn empty_blobs(&self) -> impl Iterator<Item = Digest> {
        let Scan { inventory, reachable, sizes, .. } = &self.scan;
        let unused = sizes.without_content.iter().filter(|&&id| !reachable.live.contains(&inventory.digests, id));
        unused.map(|&id| inventory.digests.digest(id))
    }

    /// Returns these blobs as items.
    pub(crate) fn blobs<'a>(&'a self, blobs: &'a [UnreferencedBlob]) -> impl Iterator<Item = Item<'a>> {
        let digests = &self.scan.inventory.digests;
        blobs.iter().map(|blob| Item::Blob { digest: digests.digest(blob.id), bytes: blob.bytes })
    }
}

/// What is deleted from one repository.
#[derive(Clone, Copy)]
pub(crate) struct RepositoryPlan<'a> {
    repository: &'a str,
    garbage: &'a RepositoryGarbage,
    digests: &'a Digests,
}

impl<'a> RepositoryPlan<'a> {
    pub(crate) fn tag_index_entries(self) -> impl Iterator<Item = Item<'a>> {
        let Self { repository, garbage, digests } = self;
        let item = move |TagIndexEntry { tag, id }: &'a TagIndexEntry| Item::TagIndexEntry {
            repository,
            tag,
            digest: digests.digest(*id),
        };
        garbage.tag_index_entries.iter().map(item)
    }

    pub(crate) fn tags(self) -> impl Iterator<Item = Item<'a>> {
        let Self { repository, garbage, digests } = self;
        garbage.removed_tags.iter().map(move |GarbageTag { tag, id }| Item::Tag {
            repository,
            tag,
            digest: id.map(|id| digests.digest(id)),
        })
    }

    /// Returns what interrupted copies left beside links.
    pub(crate) fn remnants(self) -> impl Iterator<Item = Item<'a>> {
        let repository = Some(self.repository);
        self.garbage.remnants.iter().map(move |file| Item::File { repository, path: &file.path, bytes: file.bytes })
    }

    /// Returns the links to referrers that are deleted.
    pub(crate) fn referrer_links(self) -> impl Iterator<Item = Item<'a>> {
        let repository = Some(self.repository);
        self.garbage.referrer_links.iter().map(move |path| Item::File { repository, path, bytes: 0 })
    }

    /// Returns the revisions, each before those that it refers to.
    pub(crate) fn revisions(self) -> impl Iterator<Item = Item<'a>> {
        let Self { repository, garbage, digests } = self;
        garbage.revisions.iter().map(move |revision| Item::Revision {
            repository,
            digest: digests.digest(revision.id),
            signatures: revision.signatures.iter().map(|&id| digests.digest(id)).collect(),
            is_remembered: revision.is_remembered,
        })
    }

    /// Returns the directories of layers and revisions that have no link and that nothing needs.
    pub(crate) fn empty_directories(self, stays: impl Fn(DigestId) -> bool) -> impl Iterator<Item = String> {
        let Self { repository, garbage, digests } = self;
        let layers = garbage.empty_layers.iter().map(move |&id| layout::layer(repository, &digests.digest(id)));
        let revisions = garbage
            .empty_revisions
            .iter()
            .filter(move |&&id| !stays(id))
            .map(move |&id| layout::revision(repository, &digests.digest(id)));
        layers.chain(revisions)
    }

    /// Returns the directories of tags that name nothing.
    pub(crate) fn empty_tag_dirs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.garbage.empty_tag_dirs.iter().map(move |tag| (self.repository, tag.as_str()))
    }

    pub(crate) fn uploads(self) -> impl Iterator<Item = Item<'a>> {
        let Self { repository, garbage, .. } = self;
        garbage.uploads.iter().map(move |Upload { upload, files, bytes, .. }| Item::Upload {
            repository,
            upload,
            bytes: *bytes,
            files,
        })
    }

    /// Returns the repository itself, if it is deleted.
    pub(crate) fn whole(self) -> impl Iterator<Item = Item<'a>> {
        self.garbage.whole.then_some(Item::Repository { repository: self.repository }).into_iter()
    }

    pub(crate) fn layer_links(self) -> impl Iterator<Item = Item<'a>> {
        let Self { repository, garbage, digests } = self;
        garbage.layer_links.iter().map(move |&id| Item::LayerLink { repository, digest: digests.digest(id) })
    }
}

/// Counts the links and uploads of a repository that are deleted.
fn links(garbage: &RepositoryGarbage) -> Totals {
    Totals {
        tag_index_entries: garbage.tag_index_entries.len() as u64,
        tags: garbage.removed_tags.len() as u64,
        revisions: garbage.revisions.len() as u64,
        layer_links: garbage.layer_links.len() as u64,
        uploads: garbage.uploads.len() as u64,
        upload_bytes: garbage.uploads.iter().map(|upload| upload.bytes).sum(),
        files: (garbage.remnants.len() + garbage.referrer_links.len()) as u64,
        file_bytes: garbage.remnants.iter().map(|file| file.bytes).sum(),
        repositories: garbage.whole.into(),
        ..Totals::default()
    }
}

impl Serialize for Plan {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(None)?;
        for item in self.items() {
            sequence.serialize_element(&item)?;
        }
        sequence.end()
    }
}
