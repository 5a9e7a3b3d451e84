//! Objects that are alone in a directory which is named after a SHA-256 digest: nearly all that a registry has.

use std::time::{Duration, SystemTime};

use super::Listed;
use crate::registry::layout;

/// The only object directly in a directory that is named after a SHA-256 digest: `<hex>/data` or `<hex>/link`.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfDigest {
    pub(super) hash: [u8; 32],
    /// In whole seconds since 1970, as the time of a lock is: what is later than a lock is not earlier so.
    modified: u32,
    // One field of eight bytes would make it four bytes longer.
    bytes_low: u32,
    bytes_high: u16,
    pub(super) is_data: bool,
    /// Whether it was forgotten: to take it out would move all that follow.
    is_gone: bool,
}

impl OfDigest {
    /// Returns `None` if what is listed does not fit: more than 256 TiB, or no time, or one after 2106.
    pub(super) fn new(hash: [u8; 32], is_data: bool, listed: Listed) -> Option<Self> {
        let modified = listed.modified?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(Self {
            hash,
            modified: modified.as_secs().try_into().ok()?,
            bytes_low: listed.bytes as u32,
            bytes_high: (listed.bytes >> 32).try_into().ok()?,
            is_data,
            is_gone: false,
        })
    }

    pub(super) fn name(&self) -> &'static str {
        if self.is_data { layout::DATA } else { layout::LINK }
    }

    pub(super) fn listed(&self) -> Listed {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(self.modified.into());
        let bytes = u64::from(self.bytes_high) << 32 | u64::from(self.bytes_low);
        Listed { bytes, modified: Some(modified) }
    }
}

/// How many objects are held together. Many vectors that grow side by side leave gaps that nothing else fits in: half as much again
/// as they hold.
const TOGETHER: usize = 256;

/// The objects of the digests in one directory, by digest.
#[derive(Debug, Default)]
pub(super) struct OfDigests {
    /// None of them is empty.
    pages: Vec<Vec<OfDigest>>,
    gone: usize,
}

impl OfDigests {
    /// Whether the one that was added last is of this digest.
    pub(super) fn ends_with(&self, hash: &[u8; 32]) -> bool {
        let last = self.pages.last().and_then(|page| page.last());
        last.is_some_and(|last| last.hash == *hash && !last.is_gone)
    }

    /// Adds an object after all others.
    pub(super) fn push(&mut self, of_digest: OfDigest) {
        match self.pages.last_mut() {
            Some(page) if page.len() < TOGETHER => page.push(of_digest),
            Some(_) => {
                let mut page = Vec::with_capacity(TOGETHER);
                page.push(of_digest);
                self.pages.push(page);
            }
            None => self.pages.push(vec![of_digest]),
        }
    }

    /// Orders what was added. Usually it is in order already.
    pub(super) fn finish(&mut self) {
        if !self.pages.iter().flatten().is_sorted_by_key(|of_digest| of_digest.hash) {
            let mut all: Vec<OfDigest> = self.iter().copied().collect();
            self.gone = 0;
            all.sort_unstable_by_key(|of_digest| of_digest.hash);
            self.pages = all.chunks(TOGETHER).map(<[OfDigest]>::to_vec).collect();
        }
        if let Some(last) = self.pages.last_mut() {
            last.shrink_to_fit();
        }
    }

    /// Returns where the object of a digest is, once all are in order.
    fn position(&self, hash: &[u8; 32]) -> Option<(usize, usize)> {
        let number = self.pages.partition_point(|page| page.last().is_some_and(|last| last.hash < *hash));
        let at = self.pages.get(number)?.binary_search_by_key(hash, |of_digest| of_digest.hash).ok()?;
        Some((number, at))
    }

    /// Returns the object of a digest.
    pub(super) fn find(&self, hash: &[u8; 32]) -> Option<&OfDigest> {
        let (number, at) = self.position(hash)?;
        Some(&self.pages[number][at]).filter(|found| !found.is_gone)
    }

    /// Forgets an object, and returns whether there was one.
    pub(super) fn forget(&mut self, hash: &[u8; 32], is_data: bool) -> bool {
        let Some((number, at)) = self.position(hash) else { return false };
        let found = &mut self.pages[number][at];
        let is_there = found.is_data == is_data && !found.is_gone;
        found.is_gone |= is_there;
        self.gone += usize::from(is_there);
        is_there
    }

    /// Takes the object of a digest, whether all are in order yet or not. It stays in its place, and is gone.
    pub(super) fn take(&mut self, hash: &[u8; 32]) -> Option<OfDigest> {
        let mut all = self.pages.iter_mut().rev().flat_map(|page| page.iter_mut().rev());
        let found = all.find(|of_digest| of_digest.hash == *hash && !of_digest.is_gone)?;
        found.is_gone = true;
        self.gone += 1;
        Some(*found)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.pages.iter().map(Vec::len).sum::<usize>() == self.gone
    }

    /// Returns all, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &OfDigest> {
        self.pages.iter().flatten().filter(|of_digest| !of_digest.is_gone)
    }

    /// Returns the hashes of those that are held together as the page of this number; `None` after the last one.
    pub(super) fn page(&self, number: usize) -> Option<Vec<[u8; 32]>> {
        let page = self.pages.get(number)?;
        Some(page.iter().filter(|of_digest| !of_digest.is_gone).map(|of_digest| of_digest.hash).collect())
    }
}
