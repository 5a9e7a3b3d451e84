//! The digests of a store, each held once.
//!
//! A scan of a large registry holds little but digests, so this table decides how much memory a run needs: 32 bytes
//! for each stored blob. Everything else refers to a digest by its number, in 4 bytes.

use std::num::NonZeroU32;

use indexmap::IndexSet;

use super::hashes::SortedHashes;
use crate::digest::{Algorithm, Digest};
use crate::storage::Hashes;
use crate::sync::RwLock;

/// The number of a digest in its [`Digests`].
///
/// Numbers of stored blobs are in the order of their digests. Numbers of other digests depend on the order in which
/// threads find them: never let that order show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DigestId(
    /// The number and 1, so that no number takes no more memory than one.
    NonZeroU32,
);

impl DigestId {
    /// How many bits a number has.
    pub(crate) const BITS: u32 = 29;
    /// How many digests can be told apart: 536,870,912.
    pub(crate) const COUNT: usize = 1 << Self::BITS;

    /// The number itself, which fits [`BITS`](Self::BITS).
    pub(crate) fn bits(self) -> u32 {
        self.0.get() - 1
    }

    /// Returns the number as an index.
    fn index(self) -> usize {
        self.bits() as usize
    }

    /// Turns a number back into a `DigestId`.
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(bits))
    }
}

/// All digests of a store: those of its blobs, and those that are only mentioned.
#[derive(Debug, Default)]
pub struct Digests {
    /// The blobs named by SHA-256: numbers from 0.
    stored: SortedHashes,
    /// The blobs named by another algorithm, sorted: the numbers after that.
    stored_otherwise: Vec<Digest>,
    /// Digests without a blob: the numbers after that, and, for other algorithms than SHA-256, down from the top.
    mentioned: RwLock<Mentioned>,
}

#[derive(Debug, Default)]
struct Mentioned {
    sha256: IndexSet<[u8; 32]>,
    otherwise: IndexSet<Digest>,
}

impl Digests {
    /// Builds a table from the blobs of a store: those named by SHA-256, in any order and in pages that are in order, and those
    /// named by another algorithm.
    pub fn new(stored: Vec<[u8; 32]>, held: Vec<Hashes>, mut stored_otherwise: Vec<Digest>) -> Self {
        stored_otherwise.sort_unstable();
        stored_otherwise.dedup();
        let stored = SortedHashes::new(stored, held);
        Self { stored, stored_otherwise, mentioned: RwLock::default() }
    }

    /// Returns the algorithm of a digest, usually without looking up the rest of it.
    pub fn algorithm(&self, id: DigestId) -> Algorithm {
        if id.index() < self.stored.len() { Algorithm::Sha256 } else { self.digest(id).algorithm() }
    }

    /// Whether the directories of two blobs are in the same directory.
    pub(crate) fn same_shard(&self, a: DigestId, b: DigestId) -> bool {
        let shard = |digest: Digest| (digest.algorithm(), digest.as_bytes()[0]);
        shard(self.digest(a)) == shard(self.digest(b))
    }

    /// Whether there is a blob whose hash begins with this byte.
    pub(crate) fn has_shard(&self, algorithm: Algorithm, first: u8) -> bool {
        if algorithm != Algorithm::Sha256 {
            let is_there = |digest: &Digest| digest.algorithm() == algorithm && digest.as_bytes()[0] == first;
            return self.stored_otherwise.iter().any(is_there);
        }
        self.stored.has_first(first)
    }

    /// Returns the numbers of those of these sorted hashes that are blobs, in their order, and `None` for the others.
    pub(crate) fn stored_among(&self, sorted: &[[u8; 32]]) -> Vec<Option<DigestId>> {
        let mut rest = (0..).map(DigestId::from_bits).zip(self.stored.iter()).peekable();
        let number = |hash: &[u8; 32]| {
            while rest.next_if(|(_, stored)| *stored < hash).is_some() {}
            rest.next_if(|(_, stored)| *stored == hash).map(|(id, _)| id)
        };
        sorted.iter().map(number).collect()
    }

    /// How many blobs there are.
    pub fn stored_len(&self) -> usize {
        self.stored.len() + self.stored_otherwise.len()
    }

    /// The numbers of all blobs, in the order of their digests.
    pub fn stored_ids(&self) -> impl ExactSizeIterator<Item = DigestId> + use<> {
        (0..self.stored_len() as u32).map(DigestId::from_bits)
    }

    /// Returns the position of a blob among all blobs; `None` for a digest without a blob.
    pub fn stored_index(&self, id: DigestId) -> Option<usize> {
        Some(id.index()).filter(|&index| index < self.stored_len())
    }

    /// Returns the number of a digest, and assigns one if it has none yet.
    pub fn id(&self, digest: &Digest) -> DigestId {
        let stored = match digest.as_sha256() {
            Some(bytes) => self.stored.position(bytes),
            None => self.stored_otherwise.binary_search(digest).ok().map(|index| self.stored.len() + index),
        };
        if let Some(index) = stored {
            return DigestId::from_bits(index as u32);
        }
        if let Some(id) = self.mentioned.read().find(digest) {
            return self.mentioned_id(id);
        }
        let mut mentioned = self.mentioned.write();
        let index = mentioned.insert(digest);
        let count = self.stored_len() + mentioned.sha256.len() + mentioned.otherwise.len();
        assert!(count <= DigestId::COUNT, "a store has no more than 536870912 digests");
        self.mentioned_id(index)
    }

    /// Returns the digest with this number.
    pub fn digest(&self, id: DigestId) -> Digest {
        let index = id.index();
        if let Some(bytes) = self.stored.get(index) {
            return Digest::sha256(*bytes);
        }
        if let Some(digest) = self.stored_otherwise.get(index - self.stored.len()) {
            return *digest;
        }
        let mentioned = self.mentioned.read();
        let found = match mentioned.sha256.get_index(index - self.stored_len()) {
            Some(bytes) => Some(Digest::sha256(*bytes)),
            None => mentioned.otherwise.get_index(DigestId::COUNT - 1 - index).copied(),
        };
        found.expect("a number comes from the table that it is asked of")
    }

    fn mentioned_id(&self, index: MentionedIndex) -> DigestId {
        match index {
            MentionedIndex::Sha256(index) => DigestId::from_bits((self.stored_len() + index) as u32),
            MentionedIndex::Otherwise(index) => DigestId::from_bits((DigestId::COUNT - 1 - index) as u32),
        }
    }
}

enum MentionedIndex {
    Sha256(usize),
    Otherwise(usize),
}

impl Mentioned {
    fn find(&self, digest: &Digest) -> Option<MentionedIndex> {
        match digest.as_sha256() {
            Some(bytes) => self.sha256.get_index_of(bytes).map(MentionedIndex::Sha256),
            None => self.otherwise.get_index_of(digest).map(MentionedIndex::Otherwise),
        }
    }

    fn insert(&mut self, digest: &Digest) -> MentionedIndex {
        match digest.as_sha256() {
            Some(bytes) => MentionedIndex::Sha256(self.sha256.insert_full(*bytes).0),
            None => MentionedIndex::Otherwise(self.otherwise.insert_full(*digest).0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digest_has_one_number() {
        let digest = |algorithm, n: u32| Digest::of(algorithm, &n.to_le_bytes());
        let stored: Vec<_> = Algorithm::ALL.into_iter().flat_map(|a| (0..20).map(move |n| digest(a, n))).collect();
        let (sha256, otherwise): (Vec<Digest>, _) =
            stored.iter().chain(&stored).partition(|digest| digest.algorithm() == Algorithm::Sha256);
        let digests =
            Digests::new(sha256.iter().filter_map(Digest::as_sha256).copied().collect(), Vec::new(), otherwise);
        assert_eq!(digests.stored_len(), 60);
        for algorithm in Algorithm::ALL {
            for n in 0..40 {
                let id = digests.id(&digest(algorithm, n));
                assert_eq!(digests.digest(id), digest(algorithm, n));
                assert_eq!(digests.id(&digest(algorithm, n)), id);
                assert_eq!(digests.stored_index(id).is_some(), n < 20);
            }
        }
        let in_order: Vec<_> = digests.stored_ids().map(|id| digests.digest(id)).collect();
        assert!(in_order.is_sorted());
    }
}
