//! The SHA-256 digests of blobs, sorted and numbered.

use rayon::prelude::*;

use crate::storage::Hashes;

/// Sorted hashes, each with a number from 0 on.
#[derive(Debug, Default)]
pub(super) struct SortedHashes {
    /// One after the other; none is empty. What a storage holds in memory is shared with it. What it lists is one page.
    pages: Vec<Hashes>,
    /// The number of each page's first hash, and last how many there are.
    firsts: Vec<u32>,
    /// For each value of a hash's first two bytes, the number at which those hashes begin, and last how many there are. Hashes
    /// are spread evenly, so the rest of a search is short.
    starts: Vec<u32>,
}

impl SortedHashes {
    /// Sorts and numbers hashes: some in any order, and pages that are each in order.
    pub(super) fn new(mut listed: Vec<[u8; 32]>, mut pages: Vec<Hashes>) -> Self {
        pages.retain(|page| !page.is_empty());
        pages.sort_unstable_by(|a, b| a.first().cmp(&b.first()));
        if !pages.iter().flat_map(|page| &**page).is_sorted_by(|a, b| a < b) || listed.len() > pages.len() {
            // In place: on a disk all are listed, and collecting them anew would hold them twice.
            listed.extend(pages.iter().flat_map(|page| &**page));
            pages = vec![Hashes::new(sorted(listed))];
        } else {
            // In a bucket, what is in a blob's directory beside its content makes it one of these.
            let last = pages.len().saturating_sub(1);
            for hash in listed {
                let before = pages.partition_point(|page| page.last().is_some_and(|last| *last < hash));
                let page = Hashes::make_mut(&mut pages[before.min(last)]);
                if let Err(at) = page.binary_search(&hash) {
                    page.insert(at, hash);
                }
            }
        }
        let mut firsts = vec![0];
        firsts.extend(pages.iter().scan(0, |next, page| {
            *next += page.len() as u32;
            Some(*next)
        }));
        let mut starts = Vec::with_capacity(PREFIXES + 1);
        for (number, hash) in (0..).zip(pages.iter().flat_map(|page| &**page)) {
            starts.resize(starts.len().max(first_two(hash) + 1), number);
        }
        starts.resize(PREFIXES + 1, firsts[pages.len()]);
        Self { pages, firsts, starts }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.firsts.last().map_or(0, |len| *len as usize)
    }

    /// Whether there is one that begins with this byte.
    pub(super) fn has_first(&self, first: u8) -> bool {
        let start = usize::from(first) << 8;
        match (self.starts.get(start), self.starts.get(start + (1 << 8))) {
            (Some(start), Some(end)) => start < end,
            _ => false,
        }
    }

    /// Returns the hash of a number.
    pub(super) fn get(&self, number: usize) -> Option<&[u8; 32]> {
        if let [only] = &*self.pages {
            return only.get(number);
        }
        let page = self.firsts.partition_point(|first| *first as usize <= number).checked_sub(1)?;
        self.pages.get(page)?.get(number - self.firsts[page] as usize)
    }

    /// Returns the number of a hash.
    pub(super) fn position(&self, hash: &[u8; 32]) -> Option<usize> {
        if let [only] = &*self.pages {
            let prefix = first_two(hash);
            let range = self.starts[prefix] as usize..self.starts[prefix + 1] as usize;
            return only[range.clone()].binary_search(hash).ok().map(|at| range.start + at);
        }
        let page = self.pages.partition_point(|page| page.last().is_some_and(|last| last < hash));
        let at = self.pages.get(page)?.binary_search(hash).ok()?;
        Some(self.firsts[page] as usize + at)
    }

    /// Returns all, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.pages.iter().flat_map(|page| &**page)
    }
}

/// How many values the first two bytes of a hash can have.
const PREFIXES: usize = 1 << 16;

fn sorted(mut hashes: Vec<[u8; 32]>) -> Vec<[u8; 32]> {
    hashes.par_sort_unstable_by(|a, b| first_bytes(a).cmp(&first_bytes(b)).then_with(|| a.cmp(b)));
    hashes.dedup();
    hashes.shrink_to_fit();
    hashes
}

fn first_two(hash: &[u8; 32]) -> usize {
    usize::from(u16::from_be_bytes([hash[0], hash[1]]))
}

/// Returns the first 8 bytes of a hash as a number: faster to compare than bytes, and rarely equal.
fn first_bytes(hash: &[u8; 32]) -> u64 {
    hash[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn hash(number: u16) -> [u8; 32] {
        let mut hash = [0; 32];
        hash[..2].copy_from_slice(&number.to_be_bytes());
        hash
    }

    proptest! {
        #[test]
        fn hashes_are_numbered_in_their_order_however_they_arrive(
            numbers in prop::collection::btree_set(0..300_u16, 0..100),
            together in 1..20_usize,
            listed in prop::collection::vec(0..300_u16, 0..8),
            overlapping in any::<bool>(),
        ) {
            let all: BTreeSet<[u8; 32]> = numbers.iter().chain(&listed).map(|number| hash(*number)).collect();
            let numbers: Vec<[u8; 32]> = numbers.into_iter().map(hash).collect();
            let mut pages: Vec<Hashes> = numbers.chunks(together).rev().map(|page| Hashes::new(page.to_vec())).collect();
            if overlapping {
                pages.extend(pages.first().cloned());
            }
            let hashes = SortedHashes::new(listed.into_iter().map(hash).collect(), pages);
            prop_assert!(hashes.iter().eq(&all));
            prop_assert_eq!(hashes.len(), all.len());
            for (number, hash) in all.iter().enumerate() {
                prop_assert_eq!(hashes.get(number), Some(hash));
                prop_assert_eq!(hashes.position(hash), Some(number));
            }
            prop_assert_eq!(hashes.get(all.len()), None);
            for number in (0..300).filter(|number| !all.contains(&hash(*number))) {
                prop_assert_eq!(hashes.position(&hash(number)), None);
            }
            for first in 0..=u8::MAX {
                prop_assert_eq!(hashes.has_first(first), all.iter().any(|hash| hash[0] == first));
            }
        }
    }
}
