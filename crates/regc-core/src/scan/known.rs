//! What manifests refer to, as earlier runs have read it.
//!
//! What a manifest refers to follows from its digest, so it need not be read again while its blob is as it was: of the same
//! length, and not written since. Content that has decayed without either is not noticed, as `verify` notices it; what the
//! manifest needs is known all the same, and kept.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use crate::digest::{Algorithm, Digest};
use crate::registry::manifest::{Kind, Role};
use crate::scan::Scan;
use crate::scan::inventory::{DigestId, Digests};
use crate::scan::mark::{Manifest, PackedReference};
use crate::storage::{EntryKind, Metadata};

/// What manifests refer to.
///
/// Only manifests whose content matched their digest are in it, and only those that refer to nothing but SHA-256 digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownManifests {
    /// Every digest that is mentioned below, sorted. Others refer to it by its index.
    hashes: Vec<[u8; 32]>,
    /// For each digest, the length of its content in bytes as manifests state it; 0 if none does, or if they disagree.
    sizes: Vec<u64>,
    /// Sorted by digest.
    manifests: Vec<Known>,
    /// An index in [`HASHES`] bits, and above them a role.
    references: Vec<u32>,
}

/// A manifest whose content matched its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    digest: u32,
    stamp: Stamp,
    kind: Kind,
    /// [`NONE`] if it is attached to nothing.
    subject: u32,
    /// Its references begin at this index.
    first: u32,
}

/// What shows that content is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The length of the content in bytes.
    pub(crate) bytes: u64,
    /// When it was written, after 1970.
    modified: Duration,
}

impl Stamp {
    /// Returns `None` for what cannot be recognized again: no file, behind a symbolic link, or of no known time.
    pub(crate) fn of(found: &Metadata) -> Option<Self> {
        let modified = found.modified?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let is_file = found.kind == EntryKind::File && !found.symlink;
        is_file.then_some(Self { bytes: found.bytes, modified })
    }
}

/// The file begins with this. Its number changes with the format.
const MAGIC: [u8; 16] = *b"regc manifests 1";
/// How many bytes of a SHA-256 checksum are at its end.
const CHECKSUM: usize = 32;
/// How many bits an index of a digest has.
const HASHES: u32 = DigestId::BITS;
/// No digest.
const NONE: u32 = u32::MAX;
/// What may have been written again within this time, without another time showing it, is not known.
const TICK: Duration = Duration::from_secs(2);

const KINDS: [Kind; 3] = [Kind::Schema1, Kind::Image, Kind::Index];

/// A manifest that need not be read.
pub(crate) struct Found<'k> {
    known: &'k Known,
    references: Range<usize>,
}

/// Manifests that are known, and how a store numbers what they mention.
pub(crate) struct Numbered<'k> {
    known: &'k KnownManifests,
    /// The number of each blob; `None` for what is only mentioned.
    ids: Vec<Option<DigestId>>,
}

impl KnownManifests {
    /// Returns what a scan has found out about the manifests that are live, except those that may have been written after
    /// `since`, by the storage's clock.
    pub(crate) fn of(scan: &Scan, since: SystemTime) -> Self {
        let (digests, manifests) = (&scan.inventory.digests, &scan.reachable.manifests);
        let before = since.checked_sub(TICK).and_then(|before| before.duration_since(SystemTime::UNIX_EPOCH).ok());
        let mut disputed = manifests.disputed_sizes();
        disputed.sort_unstable();
        let is_plain = |id: &DigestId| digests.algorithm(*id) == Algorithm::Sha256;
        // Where manifests contradict each other, the storage is asked, as if none had stated a size.
        let size = |id: DigestId| match disputed.binary_search(&id) {
            Ok(_) => 0,
            Err(_) => manifests.known_size(digests, id).0,
        };
        let mut kept: Vec<(DigestId, Stamp)> = manifests
            .stamps()
            .filter(|(id, stamp)| {
                let is_known = |manifest: Manifest<'_>| match manifest {
                    Manifest::Parsed { references, subject, .. } => {
                        references.iter().map(|reference| reference.id()).chain(subject).all(|id| is_plain(&id))
                    }
                    Manifest::Missing | Manifest::Damaged(_) => false,
                };
                let is_old = before.is_some_and(|before| stamp.modified < before);
                is_old
                    && is_plain(id)
                    && scan.reachable.live.contains(digests, *id)
                    && manifests.with(*id, is_known) == Some(true)
            })
            .collect();
        let mut ids: Vec<DigestId> = kept.iter().map(|(id, _)| *id).collect();
        for (id, _) in &kept {
            manifests.with(*id, |manifest| {
                if let Manifest::Parsed { references, subject, .. } = manifest {
                    ids.extend(references.iter().map(|reference| reference.id()).chain(subject));
                }
            });
        }
        ids.sort_unstable();
        ids.dedup();
        let hash = |id: DigestId| *digests.digest(id).as_sha256().expect("all others were left out");
        let mut sorted: Vec<([u8; 32], DigestId)> = ids.iter().map(|&id| (hash(id), id)).collect();
        sorted.sort_unstable();
        let mut indexes = vec![0; ids.len()];
        for (index, (_, id)) in (0..).zip(&sorted) {
            indexes[ids.binary_search(id).expect("it is one of them")] = index;
        }
        let index = |id: DigestId| -> u32 { indexes[ids.binary_search(&id).expect("it is one of them")] };
        kept.sort_unstable_by_key(|(id, _)| index(*id));
        let mut known = Self {
            sizes: sorted.iter().map(|(_, id)| size(*id)).collect(),
            hashes: sorted.into_iter().map(|(hash, _)| hash).collect(),
            ..Self::default()
        };
        for (id, stamp) in kept {
            manifests.with(id, |manifest| {
                if let Manifest::Parsed { references, subject, kind } = manifest {
                    let first = known.references.len() as u32;
                    let packed =
                        references.iter().map(|reference| index(reference.id()) | (reference.role() as u32) << HASHES);
                    known.references.extend(packed);
                    let subject = subject.map_or(NONE, &index);
                    known.manifests.push(Known { digest: index(id), stamp, kind, subject, first });
                }
            });
        }
        known
    }

    /// Numbers what is mentioned as a store does.
    pub(crate) fn numbered(&self, digests: &Digests) -> Numbered<'_> {
        Numbered { known: self, ids: digests.stored_among(&self.hashes) }
    }

    /// How many manifests are known.
    pub fn len(&self) -> usize {
        self.manifests.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.manifests.is_empty()
    }

    /// Writes what is known as bytes: numbers in little-endian order, and at the end the SHA-256 checksum of all before it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for length in [self.hashes.len(), self.manifests.len(), self.references.len()] {
            bytes.extend((length as u64).to_le_bytes());
        }
        self.hashes.iter().for_each(|hash| bytes.extend(hash));
        self.sizes.iter().for_each(|size| bytes.extend(size.to_le_bytes()));
        for Known { digest, stamp, kind, subject, first } in &self.manifests {
            bytes.extend(digest.to_le_bytes());
            bytes.extend(stamp.bytes.to_le_bytes());
            bytes.extend(stamp.modified.as_secs().to_le_bytes());
            bytes.extend(stamp.modified.subsec_nanos().to_le_bytes());
            bytes.push(*kind as u8);
            bytes.extend(subject.to_le_bytes());
            bytes.extend(first.to_le_bytes());
        }
        self.references.iter().for_each(|reference| bytes.extend(reference.to_le_bytes()));
        let checksum = Digest::of(Algorithm::Sha256, &bytes);
        bytes.extend(checksum.as_bytes());
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` for anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
        if Digest::of(Algorithm::Sha256, content).as_bytes() != checksum {
            return None;
        }
        let mut rest = Rest(content);
        if rest.take()? != MAGIC {
            return None;
        }
        let lengths = [rest.number()?, rest.number()?, rest.number()?];
        let [hashes, manifests, references] = lengths.map(|length| length as usize);
        let known = Self {
            hashes: rest.take_each(hashes)?.to_vec(),
            sizes: rest.take_each(hashes)?.iter().copied().map(u64::from_le_bytes).collect(),
            manifests: (0..manifests).map(|_| rest.known()).collect::<Option<_>>()?,
            references: rest.take_each(references)?.iter().copied().map(u32::from_le_bytes).collect(),
        };
        (rest.0.is_empty() && known.is_valid()).then_some(known)
    }

    fn is_valid(&self) -> bool {
        let is_index = |index: u32| (index as usize) < self.hashes.len();
        let is_reference = |reference: &u32| {
            is_index(reference & (DigestId::COUNT as u32 - 1))
                && (reference >> HASHES) < PackedReference::ROLES.len() as u32
        };
        let is_known = |known: &Known| {
            is_index(known.digest)
                && (known.subject == NONE || is_index(known.subject))
                && known.first as usize <= self.references.len()
        };
        self.hashes.is_sorted_by(|a, b| a < b)
            && self.manifests.iter().all(is_known)
            && self.manifests.is_sorted_by(|a, b| a.digest < b.digest && a.first <= b.first)
            && self.references.iter().all(is_reference)
    }
}

/// What is not read yet.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take_each<const N: usize>(&mut self, count: usize) -> Option<&'b [[u8; N]]> {
        let (taken, rest) = self.0.split_at_checked(count.checked_mul(N)?)?;
        self.0 = rest;
        Some(taken.as_chunks().0)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn known(&mut self) -> Option<Known> {
        let digest = u32::from_le_bytes(self.take()?);
        let (bytes, seconds) = (self.number()?, self.number()?);
        let nanoseconds = u32::from_le_bytes(self.take()?);
        let [kind] = self.take()?;
        Some(Known {
            digest,
            // More would overflow a `Duration`.
            stamp: Stamp {
                bytes,
                modified: Duration::new(seconds, (nanoseconds < 1_000_000_000).then_some(nanoseconds)?),
            },
            kind: *KINDS.get(usize::from(kind))?,
            subject: u32::from_le_bytes(self.take()?),
            first: u32::from_le_bytes(self.take()?),
        })
    }
}

impl Numbered<'_> {
    /// Returns a manifest if its blob is as it was.
    pub(crate) fn find(&self, digest: &Digest, stamp: Option<Stamp>) -> Option<Found<'_>> {
        let (hash, manifests) = (digest.as_sha256()?, &self.known.manifests);
        let index = manifests.binary_search_by(|known| self.known.hashes[known.digest as usize].cmp(hash)).ok()?;
        let known = &manifests[index];
        let end = manifests.get(index + 1).map_or(self.known.references.len(), |next| next.first as usize);
        let references = known.first as usize..end;
        (Some(known.stamp) == stamp).then_some(Found { known, references })
    }

    /// Returns what a manifest refers to: the number, the role, and the length in bytes that manifests state.
    pub(crate) fn references(&self, found: &Found<'_>, digests: &Digests) -> Vec<(DigestId, Role, u64)> {
        let reference = |packed: &u32| {
            let index = packed & (DigestId::COUNT as u32 - 1);
            (
                self.id(index, digests),
                PackedReference::ROLES[(packed >> HASHES) as usize],
                self.known.sizes[index as usize],
            )
        };
        self.known.references[found.references.clone()].iter().map(reference).collect()
    }

    /// Returns the manifest that another one is attached to.
    pub(crate) fn subject(&self, found: &Found<'_>, digests: &Digests) -> Option<DigestId> {
        Some(found.known.subject).filter(|subject| *subject != NONE).map(|subject| self.id(subject, digests))
    }

    fn id(&self, index: u32, digests: &Digests) -> DigestId {
        let index = index as usize;
        self.ids[index].unwrap_or_else(|| digests.id(&Digest::sha256(self.known.hashes[index])))
    }
}

impl Found<'_> {
    pub(crate) fn kind(&self) -> Kind {
        self.known.kind
    }
}
