//! The manifests of a store, each read and parsed once however many repositories link it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use rayon::prelude::*;

use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::monitor::Monitor;
use crate::registry::layout;
use crate::registry::manifest::{Damage, Reference, References, Role};
use crate::scan::inventory::{DigestId, Digests, Inventory};
use crate::storage::manifests::{with_each_manifest, with_manifest};
use crate::storage::{Content, ReadStorage};
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
    },
    /// It has no content.
    Missing,
    /// It is not understood.
    Damaged(&'a Damaged),
}

impl<'a> Manifest<'a> {
    /// The layers and the configuration without which it cannot be pulled. A layer that says where else it can be had is
    /// not among them.
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
    const ROLES: [Role; 6] =
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
    /// What they refer to, those of one manifest side by side.
    references: Vec<PackedReference>,
    /// Those that are only linked as layers, as registry 2.1 did. Few, and known only when an index refers to them.
    others: Mutex<HashMap<DigestId, Arc<Understood>>>,
    sizes: KnownSizes,
}

/// A manifest that was read.
#[derive(Clone, Debug)]
enum Read {
    Parsed { first_reference: u32, references: u32, subject: Option<DigestId> },
    Missing,
    Damaged(Box<Damaged>),
}

/// A manifest by itself.
#[derive(Debug)]
enum Understood {
    Parsed { references: Vec<PackedReference>, subject: Option<DigestId> },
    Missing,
    Damaged(Box<Damaged>),
}

/// What manifests say of the sizes of blobs, so that the storage need not be asked.
#[derive(Debug)]
struct KnownSizes {
    most: Vec<AtomicU64>,
    /// Blobs of which two sizes are told.
    disputed: Mutex<Vec<DigestId>>,
}

impl KnownSizes {
    /// Set where a blob was read, so that its size is more than hearsay.
    const READ: u64 = 1 << 63;

    /// Notes a size. What was read counts more than what is said, and of that, the most.
    fn note(&self, digests: &Digests, id: DigestId, bytes: u64) {
        if let Some(index) = digests.stored_index(id) {
            // A base layer is mentioned by thousands of manifests, and reading is cheap where writing is not.
            let mut known = self.most[index].load(Relaxed);
            if known < bytes {
                known = self.most[index].fetch_max(bytes, Relaxed);
            }
            let (known, told) = (known & !Self::READ, bytes & !Self::READ);
            if known != told && known > 0 && told > 0 {
                self.disputed.lock().push(id);
            }
        }
    }
}

impl Understood {
    /// The manifest with its references added to those of all.
    fn beside(self, all: &mut Vec<PackedReference>) -> Result<Read, Error> {
        Ok(match self {
            Understood::Parsed { references, subject } => {
                let first_reference = u32::try_from(all.len()).map_err(|_| Error::TooMany("references"))?;
                all.extend_from_slice(&references);
                Read::Parsed { first_reference, references: references.len() as u32, subject }
            }
            Understood::Missing => Read::Missing,
            Understood::Damaged(damaged) => Read::Damaged(damaged),
        })
    }
}

impl Manifests {
    /// Reads every manifest that a repository of `inventory` links as a revision.
    pub(super) fn read_linked(
        storage: &dyn ReadStorage,
        inventory: &Inventory,
        monitor: &dyn Monitor,
        linked: Vec<DigestId>,
    ) -> Result<Self, Error> {
        let most = (0..inventory.digests.stored_len()).map(|_| AtomicU64::new(0)).collect();
        let sizes = KnownSizes { most, disputed: Mutex::default() };
        let mut read = vec![Read::Missing; linked.len()];
        let references = Mutex::default();
        let shards = linked.chunk_by(|a, b| inventory.digests.same_shard(*a, *b));
        let mut unread = read.as_mut_slice();
        let batches: Vec<(&[DigestId], &mut [Read])> = shards
            .flat_map(|shard| shard.chunks(BATCH))
            .map(|batch| (batch, unread.split_off_mut(..batch.len()).unwrap_or_default()))
            .collect();
        batches.into_par_iter().try_for_each(|(batch, read)| {
            let manifests = read_batch(storage, &inventory.digests, &sizes, batch)?;
            monitor.advance(batch.len() as u64);
            if monitor.is_stopped() {
                return Err(Error::Interrupted);
            }
            let mut all = references.lock();
            for (read, manifest) in read.iter_mut().zip(manifests) {
                *read = manifest.beside(&mut all)?;
            }
            Ok(())
        })?;
        protect_moved_aside(storage, &inventory.digests, &linked, &mut read)?;
        let mut references = references.into_inner();
        references.shrink_to_fit();
        Ok(Self { linked, read, references, others: Mutex::default(), sizes })
    }

    /// The length of a blob's content in bytes, as far as it is known from a manifest, and whether it was read.
    pub(crate) fn known_size(&self, digests: &Digests, id: DigestId) -> (u64, bool) {
        let known = digests.stored_index(id).map_or(0, |index| self.sizes.most[index].load(Relaxed));
        (known & !KnownSizes::READ, known & KnownSizes::READ != 0)
    }

    /// The blobs of which manifests tell different sizes, or another one than what was read has.
    pub(crate) fn disputed_sizes(&self) -> Vec<DigestId> {
        self.sizes.disputed.lock().clone()
    }

    /// Calls `look` with a manifest that was read; `None` where `id` is no manifest that was.
    pub fn with<T>(&self, id: DigestId, look: impl FnOnce(Manifest<'_>) -> T) -> Option<T> {
        if let Ok(index) = self.linked.binary_search(&id) {
            return Some(look(match &self.read[index] {
                Read::Parsed { first_reference, references, subject } => {
                    let references = &self.references[*first_reference as usize..][..*references as usize];
                    Manifest::Parsed { references, subject: *subject }
                }
                Read::Missing => Manifest::Missing,
                Read::Damaged(damaged) => Manifest::Damaged(damaged),
            }));
        }
        let other = self.others.lock().get(&id).cloned()?;
        Some(look(match &*other {
            Understood::Parsed { references, subject } => Manifest::Parsed { references, subject: *subject },
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

    /// Reads a manifest that no repository links as a revision, unless that is done.
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

/// What a repair has moved aside is damaged and not missing: it is unknown what it needs until it is pushed again.
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
    sizes.note(digests, id, content.len() as u64 | KnownSizes::READ);
    match References::of_blob(digest, &content) {
        Ok(parsed) => {
            let reference = |reference: &Reference| {
                let id = digests.id(&reference.digest);
                sizes.note(digests, id, reference.bytes & !KnownSizes::READ);
                PackedReference::new(id, reference.role)
            };
            Understood::Parsed {
                references: parsed.references.iter().map(reference).collect(),
                subject: parsed.subject.map(|subject| digests.id(&subject)),
            }
        }
        Err(damage) => damaged(damage, mentioned_in(digests, &content)),
    }
}

/// The digest that the registry really serves for `digest` in a repository.
///
/// A client that uploads a layer under another algorithm than SHA-256 gets it stored under its SHA-256 digest, and the link
/// at the digest he named holds that one (`blobWriter.Commit` and `linkBlob` in distribution). A SHA-256 digest is
/// always its own target, so no link is read for it.
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
