//! The manifests of a store, each read and parsed once however many repositories link it.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::known_sizes::{KnownSizes, Size};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::monitor::Monitor;
use crate::registry::layout;
use crate::registry::manifest::{Damage, Kind, Reference, References, Role};
use crate::scan::inventory::{DigestId, Digests, Inventory};
use crate::scan::known::{KnownManifests, Numbered, Stamp};
use crate::storage::manifests::{with_each_manifest, with_manifest};
use crate::storage::{Content, ReadStorage};
use crate::sync::Mutex;
use crate::trash;

/// What a linked manifest turned out to be.
#[derive(Clone, Copy, Debug)]
pub enum Manifest<'a> {
    /// It is understood.
    Parsed {
        /// What it refers to and why, in its own order.
        references: &'a [PackedReference],
        /// The manifest that it is attached to.
        subject: Option<DigestId>,
        /// Its kind.
        kind: Kind,
    },
    /// It has no content.
    Missing,
    /// It is not understood.
    Damaged(&'a Damaged),
}

impl<'a> Manifest<'a> {
    /// Lists the layers and the config without which it cannot be pulled. Foreign layers are not among them.
    pub(super) fn needs(self) -> impl Iterator<Item = DigestId> + use<'a> {
        let references: &[PackedReference] = match self {
            Manifest::Parsed { references, .. } => references,
            Manifest::Missing | Manifest::Damaged(_) => &[],
        };
        let is_needed = |reference: &&PackedReference| matches!(reference.role(), Role::Config | Role::Layer);
        references.iter().filter(is_needed).map(|reference| reference.id())
    }
}

/// What a manifest refers to and why, in 4 bytes: there are more references than anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedReference(u32);

impl PackedReference {
    pub(crate) const ROLES: [Role; 6] =
        [Role::Config, Role::Layer, Role::ForeignLayer, Role::Child, Role::OddChild, Role::OpaqueChild];

    fn new(id: DigestId, role: Role) -> Self {
        Self(id.bits() | (role as u32) << DigestId::BITS)
    }

    /// What is referred to.
    pub fn id(self) -> DigestId {
        DigestId::from_bits(self.0 & (DigestId::COUNT as u32 - 1))
    }

    /// Why.
    pub fn role(self) -> Role {
        Self::ROLES[(self.0 >> DigestId::BITS) as usize]
    }
}

/// A manifest that is not understood.
#[derive(Clone, Debug)]
pub struct Damaged {
    /// Why.
    pub damage: Damage,
    /// Every digest that its text seems to mention.
    pub mentioned: Box<[DigestId]>,
}

/// The manifests that were read, by the number of their digest.
#[derive(Debug)]
pub struct Manifests {
    /// Those that a repository links as a revision, in the order of their numbers.
    linked: Vec<DigestId>,
    read: Vec<Read>,
    /// What their blobs were when they were read, if that was asked.
    stamps: Vec<Option<Stamp>>,
    /// Their references, those of one manifest side by side.
    references: Vec<PackedReference>,
    /// Those that are only linked as layers, as registry 2.1 did. They are few, and known only when an index refers
    /// to them.
    others: Mutex<HashMap<DigestId, Arc<Understood>>>,
    sizes: KnownSizes,
}

/// A manifest that was read.
#[derive(Clone, Debug)]
enum Read {
    Parsed { first_reference: u32, references: u32, subject: Option<DigestId>, kind: Kind },
    Missing,
    Damaged(Box<Damaged>),
}

/// A manifest by itself.
#[derive(Debug)]
enum Understood {
    Parsed { references: Vec<PackedReference>, subject: Option<DigestId>, kind: Kind },
    Missing,
    Damaged(Box<Damaged>),
}

impl Understood {
    /// Appends the manifest's references to those of all manifests.
    fn beside(self, all: &mut Vec<PackedReference>) -> Result<Read, Error> {
        Ok(match self {
            Understood::Parsed { references, subject, kind } => {
                let first_reference = u32::try_from(all.len()).map_err(|_| Error::TooMany("references"))?;
                all.extend_from_slice(&references);
                Read::Parsed { first_reference, references: references.len() as u32, subject, kind }
            }
            Understood::Missing => Read::Missing,
            Understood::Damaged(damaged) => Read::Damaged(damaged),
        })
    }
}

impl Manifests {
    /// Reads every manifest that a repository of `inventory` links as a revision, unless it is known.
    pub(super) fn read_linked(
        storage: &dyn ReadStorage,
        inventory: &Inventory,
        known: Option<&KnownManifests>,
        monitor: &dyn Monitor,
        linked: Vec<DigestId>,
    ) -> Result<Self, Error> {
        let sizes = KnownSizes::new(inventory.digests.stored_len());
        let mut read = vec![Read::Missing; linked.len()];
        let references = Mutex::default();
        let shards = linked.chunk_by(|a, b| inventory.digests.same_shard(*a, *b));
        let known = known.map(|known| known.numbered(&inventory.digests));
        let mut stamps = vec![None; if known.is_some() { linked.len() } else { 0 }];
        let (mut unread, mut unstamped) = (read.as_mut_slice(), stamps.as_mut_slice());
        let mut batches = Vec::new();
        for batch in shards.flat_map(|shard| shard.chunks(BATCH)) {
            let stamps = unstamped.split_off_mut(..batch.len()).unwrap_or_default();
            batches.push((batch, unread.split_off_mut(..batch.len()).unwrap_or_default(), stamps));
        }
        batches.into_par_iter().try_for_each(|(batch, read, stamps)| {
            let manifests = match &known {
                Some(known) => recall_batch(storage, &inventory.digests, &sizes, known, batch, stamps)?,
                None => read_batch(storage, &inventory.digests, &sizes, batch)?,
            };
            monitor.advance(batch.len() as u64);
            monitor.check()?;
            let mut all = references.lock();
            for (read, manifest) in read.iter_mut().zip(manifests) {
                *read = manifest.beside(&mut all)?;
            }
            Ok(())
        })?;
        protect_moved_aside(storage, &inventory.digests, &linked, &mut read)?;
        let mut references = references.into_inner();
        references.shrink_to_fit();
        Ok(Self { linked, read, stamps, references, others: Mutex::default(), sizes })
    }

    /// Returns the manifests whose blobs can be recognized again.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = (DigestId, Stamp)> {
        self.linked.iter().zip(&self.stamps).filter_map(|(&id, stamp)| Some((id, (*stamp)?)))
    }

    /// Returns the length of a blob's content in bytes, as far as it is known from manifests, and whether it was
    /// read.
    pub(crate) fn known_size(&self, digests: &Digests, id: DigestId) -> (u64, bool) {
        let Size { bytes, is_read } = self.sizes.of(digests, id);
        (bytes, is_read)
    }

    /// Lists the blobs for which manifests state different sizes, or a size other than the one that was read.
    pub(crate) fn disputed_sizes(&self) -> Vec<DigestId> {
        self.sizes.disputed()
    }

    /// Calls `look` with a manifest that was read; returns `None` if `id` is not one.
    pub fn with<T>(&self, id: DigestId, look: impl FnOnce(Manifest<'_>) -> T) -> Option<T> {
        if let Ok(index) = self.linked.binary_search(&id) {
            return Some(look(match &self.read[index] {
                Read::Parsed { first_reference, references, subject, kind } => {
                    let references = &self.references[*first_reference as usize..][..*references as usize];
                    Manifest::Parsed { references, subject: *subject, kind: *kind }
                }
                Read::Missing => Manifest::Missing,
                Read::Damaged(damaged) => Manifest::Damaged(damaged),
            }));
        }
        let other = self.others.lock().get(&id).cloned()?;
        Some(look(match &*other {
            Understood::Parsed { references, subject, kind } => {
                Manifest::Parsed { references, subject: *subject, kind: *kind }
            }
            Understood::Missing => Manifest::Missing,
            Understood::Damaged(damaged) => Manifest::Damaged(damaged),
        }))
    }

    /// How many manifests were read.
    pub fn len(&self) -> usize {
        self.linked.len() + self.others.lock().len()
    }

    /// Whether none was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads a manifest that no repository links as a revision, unless it was read before.
    pub(crate) fn read_other(&self, storage: &dyn ReadStorage, digests: &Digests, id: DigestId) -> Result<(), Error> {
        if self.with(id, |_| ()).is_none() {
            for mut manifest in read_batch(storage, digests, &self.sizes, &[id])? {
                if matches!(manifest, Understood::Missing)
                    && let Some(copy) = trash::moved_aside(storage)?.get(&digests.digest(id))
                {
                    manifest = Understood::Damaged(damaged_copy(storage, digests, copy.as_deref())?);
                }
                self.others.lock().insert(id, Arc::new(manifest));
            }
        }
        Ok(())
    }
}

/// Counts what a repair has moved aside as damaged, not missing: what it needs is unknown until it is pushed again.
fn protect_moved_aside(
    storage: &dyn ReadStorage,
    digests: &Digests,
    linked: &[DigestId],
    read: &mut [Read],
) -> Result<(), Error> {
    if !read.iter().any(|read| matches!(read, Read::Missing)) {
        return Ok(());
    }
    let aside = trash::moved_aside(storage)?;
    for (&id, read) in linked.iter().zip(read).filter(|(_, read)| matches!(read, Read::Missing)) {
        if let Some(copy) = aside.get(&digests.digest(id)) {
            *read = Read::Damaged(damaged_copy(storage, digests, copy.as_deref())?);
        }
    }
    Ok(())
}

fn damaged_copy(storage: &dyn ReadStorage, digests: &Digests, copy: Option<&str>) -> Result<Box<Damaged>, Error> {
    let mentioned = |content| match content {
        Some(Content::Whole(content)) => mentioned_in(digests, &content),
        _ => Box::default(),
    };
    let mentioned = copy.map(|copy| with_manifest(storage, copy, mentioned)).transpose()?.unwrap_or_default();
    Ok(Box::new(Damaged { damage: Damage::MovedAside, mentioned }))
}

fn mentioned_in(digests: &Digests, content: &[u8]) -> Box<[DigestId]> {
    let mut mentioned = Vec::new();
    Digest::each_mentioned_in(content, |digest| mentioned.push(digests.id(&digest)));
    mentioned.sort_unstable();
    mentioned.dedup();
    mentioned.into()
}

/// How many manifests one task reads.
const BATCH: usize = 16;

/// Reads manifests whose blobs are in the same directory.
fn read_batch(
    storage: &dyn ReadStorage,
    digests: &Digests,
    sizes: &KnownSizes,
    ids: &[DigestId],
) -> Result<Vec<Understood>, Error> {
    let blobs: Vec<Digest> = ids.iter().map(|&id| digests.digest(id)).collect();
    let keys: Vec<String> = blobs.iter().map(layout::data_below).collect();
    let mut manifests = Vec::with_capacity(ids.len());
    with_each_manifest(storage, &layout::shard(&blobs[0]), &keys, &mut |content| {
        let index = manifests.len();
        manifests.push(understand(digests, sizes, ids[index], &blobs[index], content));
    })?;
    Ok(manifests)
}

/// Reads those of some manifests that are not known, and notes what the blobs of all of them are. They are in the same directory.
fn recall_batch(
    storage: &dyn ReadStorage,
    digests: &Digests,
    sizes: &KnownSizes,
    known: &Numbered<'_>,
    ids: &[DigestId],
    stamps: &mut [Option<Stamp>],
) -> Result<Vec<Understood>, Error> {
    let blobs: Vec<Digest> = ids.iter().map(|&id| digests.digest(id)).collect();
    let keys: Vec<String> = blobs.iter().map(layout::data_below).collect();
    // Before they are read: what is written after that is not taken for what was read.
    let found = storage.stat_each(&layout::shard(&blobs[0]), &keys)?;
    let mut recalled: Vec<Option<Understood>> = Vec::with_capacity(ids.len());
    for (((&id, blob), found), stamp) in ids.iter().zip(&blobs).zip(found).zip(stamps) {
        *stamp = found.as_ref().and_then(Stamp::of);
        recalled.push(known.find(blob, *stamp).zip(*stamp).map(|(manifest, stamp)| {
            sizes.note(digests, id, Size { is_read: true, bytes: stamp.bytes });
            let reference = |(id, role, bytes)| {
                sizes.note(digests, id, Size { is_read: false, bytes });
                PackedReference::new(id, role)
            };
            Understood::Parsed {
                references: known.references(&manifest, digests).into_iter().map(reference).collect(),
                subject: known.subject(&manifest, digests),
                kind: manifest.kind(),
            }
        }));
    }
    let unknown: Vec<DigestId> =
        ids.iter().zip(&recalled).filter(|(_, recalled)| recalled.is_none()).map(|(&id, _)| id).collect();
    if unknown.is_empty() {
        return Ok(recalled.into_iter().flatten().collect());
    }
    let mut read = read_batch(storage, digests, sizes, &unknown)?.into_iter();
    Ok(recalled.into_iter().filter_map(|recalled| recalled.or_else(|| read.next())).collect())
}

fn understand(
    digests: &Digests,
    sizes: &KnownSizes,
    id: DigestId,
    digest: &Digest,
    content: Option<Content>,
) -> Understood {
    let damaged = |damage, mentioned| Understood::Damaged(Box::new(Damaged { damage, mentioned }));
    let content = match content {
        None => return Understood::Missing,
        Some(Content::TooLarge) => return damaged(Damage::TooLarge, Box::default()),
        Some(Content::Whole(content)) => content,
    };
    sizes.note(digests, id, Size { is_read: true, bytes: content.len() as u64 });
    match References::of_blob(digest, &content) {
        Ok(parsed) => {
            let reference = |reference: &Reference| {
                let id = digests.id(&reference.digest);
                sizes.note(digests, id, Size { is_read: false, bytes: reference.bytes });
                PackedReference::new(id, reference.role)
            };
            Understood::Parsed {
                references: parsed.references.iter().map(reference).collect(),
                subject: parsed.subject.map(|subject| digests.id(&subject)),
                kind: parsed.kind,
            }
        }
        Err(damage) => damaged(damage, mentioned_in(digests, &content)),
    }
}

/// Returns the digest that the registry serves for `id` in a repository, if it is another one.
///
/// If a client uploads a layer by a digest of another algorithm than SHA-256, the registry stores it under its
/// SHA-256 digest, and the link of the client's digest holds the SHA-256 digest (`blobWriter.Commit` and `linkBlob`
/// in distribution). A SHA-256 digest is always its own target, so no link is read for it.
pub(crate) fn target(
    storage: &dyn ReadStorage,
    digests: &Digests,
    repository: &str,
    id: DigestId,
) -> Result<Option<DigestId>, Error> {
    if digests.algorithm(id) == Algorithm::Sha256 {
        return Ok(None);
    }
    let digest = digests.digest(id);
    for link in [layout::layer_link(repository, &digest), layout::revision_link(repository, &digest)] {
        if let Some(Content::Whole(text)) = storage.read(&link, layout::link_bytes(Algorithm::Sha512))?
            && let Some(target) = layout::digest_in_link(&text).filter(|target| *target != digest)
        {
            return Ok(Some(digests.id(&target)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_reference_holds_everything() {
        for role in PackedReference::ROLES {
            for id in [0, 1, DigestId::COUNT as u32 - 1].map(DigestId::from_bits) {
                let packed = PackedReference::new(id, role);
                assert_eq!((packed.id(), packed.role()), (id, role));
            }
        }
    }
}
