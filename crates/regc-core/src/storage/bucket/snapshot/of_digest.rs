//! Objects that are alone in a directory which is named after a SHA-256 digest: nearly all that a registry has.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Listed;
use crate::registry::layout;
use crate::storage::Hashes;

/// The only object directly in a directory that is named after a SHA-256 digest: `<hex>/data` or `<hex>/link`.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfDigest {
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
    pub(super) fn new(is_data: bool, listed: Listed) -> Option<Self> {
        let modified = listed.modified?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(Self {
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

/// How many objects are held together. Many vectors that grow side by side leave gaps that nothing else fits in: half
/// as much again as they hold.
const TOGETHER: usize = 256;

/// Some objects, and the digests after which their directories are named.
#[derive(Debug)]
struct Page {
    /// Whoever lists the directory shares them.
    hashes: Hashes,
    objects: Vec<OfDigest>,
}

impl Page {
    fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8; 32], &OfDigest)> {
        self.hashes.iter().zip(&self.objects)
    }
}

impl FromIterator<([u8; 32], OfDigest)> for Page {
    fn from_iter<I: IntoIterator<Item = ([u8; 32], OfDigest)>>(all: I) -> Self {
        let (hashes, objects) = all.into_iter().unzip();
        Self { hashes: Arc::new(hashes), objects }
    }
}

/// The objects of the digests in one directory, by digest.
#[derive(Debug, Default)]
pub(super) struct OfDigests {
    /// None of them is empty.
    pages: Vec<Page>,
    gone: usize,
}

impl OfDigests {
    /// Whether the one that was added last is of this digest.
    pub(super) fn ends_with(&self, hash: &[u8; 32]) -> bool {
        let last = self.pages.last().and_then(|page| page.iter().next_back());
        last.is_some_and(|(last, of_digest)| last == hash && !of_digest.is_gone)
    }

    /// Adds an object after all others.
    pub(super) fn push(&mut self, hash: [u8; 32], of_digest: OfDigest) {
        match self.pages.last_mut() {
            Some(page) if page.objects.len() < TOGETHER => {
                Arc::make_mut(&mut page.hashes).push(hash);
                page.objects.push(of_digest);
            }
            Some(_) => {
                let (mut hashes, mut objects) = (Vec::with_capacity(TOGETHER), Vec::with_capacity(TOGETHER));
                hashes.push(hash);
                objects.push(of_digest);
                self.pages.push(Page { hashes: Arc::new(hashes), objects });
            }
            None => self.pages.push(Page::from_iter([(hash, of_digest)])),
        }
    }

    /// Orders what was added. Usually it is in order already.
    pub(super) fn finish(&mut self) {
        if !self.pages.iter().flat_map(|page| &*page.hashes).is_sorted() {
            let mut all: Vec<_> = self.iter().map(|(hash, of_digest)| (*hash, *of_digest)).collect();
            self.gone = 0;
            all.sort_unstable_by_key(|(hash, _)| *hash);
            self.pages = all.chunks(TOGETHER).map(|page| page.iter().copied().collect()).collect();
        }
        if let Some(last) = self.pages.last_mut() {
            Arc::make_mut(&mut last.hashes).shrink_to_fit();
            last.objects.shrink_to_fit();
        }
    }

    /// Returns where the object of a digest is, once all are in order.
    fn position(&self, hash: &[u8; 32]) -> Option<(usize, usize)> {
        let number = self.pages.partition_point(|page| page.hashes.last().is_some_and(|last| last < hash));
        let at = self.pages.get(number)?.hashes.binary_search(hash).ok()?;
        Some((number, at))
    }

    /// Returns the object of a digest.
    pub(super) fn find(&self, hash: &[u8; 32]) -> Option<&OfDigest> {
        let (number, at) = self.position(hash)?;
        Some(&self.pages[number].objects[at]).filter(|found| !found.is_gone)
    }

    /// Forgets an object, and returns whether there was one.
    pub(super) fn forget(&mut self, hash: &[u8; 32], is_data: bool) -> bool {
        let Some((number, at)) = self.position(hash) else { return false };
        let found = &mut self.pages[number].objects[at];
        let is_there = found.is_data == is_data && !found.is_gone;
        found.is_gone |= is_there;
        self.gone += usize::from(is_there);
        is_there
    }

    /// Takes the object of a digest, whether all are in order yet or not. It stays in its place, and is gone.
    pub(super) fn take(&mut self, hash: &[u8; 32]) -> Option<OfDigest> {
        let of_page = |page: &mut Page| {
            let mut all = page.hashes.iter().zip(&mut page.objects).rev();
            let (_, found) = all.find(|(other, of_digest)| *other == hash && !of_digest.is_gone)?;
            found.is_gone = true;
            Some(*found)
        };
        let taken = self.pages.iter_mut().rev().find_map(of_page)?;
        self.gone += 1;
        Some(taken)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.pages.iter().map(|page| page.objects.len()).sum::<usize>() == self.gone
    }

    /// Returns all, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8; 32], &OfDigest)> {
        self.pages.iter().flat_map(Page::iter).filter(|(_, of_digest)| !of_digest.is_gone)
    }

    /// Returns the digests of all, in order and shared as far as none is gone.
    pub(super) fn hashes(&self) -> Vec<Hashes> {
        let of_page = |page: &Page| {
            if page.objects.iter().any(|of_digest| of_digest.is_gone) {
                let there = page.iter().filter(|(_, of_digest)| !of_digest.is_gone);
                Arc::new(there.map(|(hash, _)| *hash).collect())
            } else {
                page.hashes.clone()
            }
        };
        self.pages.iter().map(of_page).filter(|hashes| !hashes.is_empty()).collect()
    }
}
