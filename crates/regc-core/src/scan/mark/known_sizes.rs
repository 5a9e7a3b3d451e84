//! The sizes of blobs as manifests state them, so that the storage need not be queried.

use std::collections::HashMap;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use crate::scan::inventory::{DigestId, Digests};
use crate::sync::Mutex;

/// The sizes of blobs, at 4 bytes for each blob of the store.
#[derive(Debug)]
pub(super) struct KnownSizes {
    /// For each blob, its size in bytes, or [`LARGE`], and [`READ`].
    most: Vec<AtomicU32>,
    /// The sizes of blobs that are too large for that.
    large: Mutex<HashMap<DigestId, Size>>,
    /// Blobs for which two sizes are stated.
    disputed: Mutex<Vec<DigestId>>,
}

/// Set if a blob was read, so that its size is certain.
const READ: u32 = 1 << 31;
/// This size or a larger one.
const LARGE: u32 = READ - 1;

/// A size in bytes. One that was read is greater than any that is stated: it takes precedence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size {
    pub(super) is_read: bool,
    pub(super) bytes: u64,
}

impl KnownSizes {
    /// The sizes of this many blobs, none of which is known.
    pub(super) fn new(blobs: usize) -> Self {
        let most = (0..blobs).map(|_| AtomicU32::new(0)).collect();
        Self { most, large: Mutex::default(), disputed: Mutex::default() }
    }

    /// Records a size. Of those that are stated, the largest counts.
    pub(super) fn note(&self, digests: &Digests, id: DigestId, size: Size) {
        let Some(index) = digests.stored_index(id) else { return };
        let small = u32::try_from(size.bytes).unwrap_or(LARGE).min(LARGE) | if size.is_read { READ } else { 0 };
        let mut before = Size::default();
        if size.bytes >= u64::from(LARGE) {
            let mut large = self.large.lock();
            let known = large.entry(id).or_default();
            before = *known;
            *known = size.max(before);
        }
        // Thousands of manifests mention a base layer, and reading is cheap where writing is not.
        let mut known = self.most[index].load(Relaxed);
        if known < small {
            known = self.most[index].fetch_max(small, Relaxed);
        }
        if known & LARGE != LARGE {
            before = Size { is_read: known & READ != 0, bytes: u64::from(known & LARGE) };
        } else if small & LARGE != LARGE {
            before = self.large.lock().get(&id).copied().unwrap_or_default();
        }
        if before.bytes != size.bytes && before.bytes > 0 && size.bytes > 0 {
            self.disputed.lock().push(id);
        }
    }

    /// Returns the size of a blob, as far as it is known; 0 if it is not.
    pub(super) fn of(&self, digests: &Digests, id: DigestId) -> Size {
        let known = digests.stored_index(id).map_or(0, |index| self.most[index].load(Relaxed));
        match known & LARGE {
            LARGE => self.large.lock().get(&id).copied().unwrap_or_default(),
            small => Size { is_read: known & READ != 0, bytes: u64::from(small) },
        }
    }

    /// Lists the blobs for which manifests state different sizes, or a size other than the one that was read.
    pub(super) fn disputed(&self) -> Vec<DigestId> {
        self.disputed.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::{Algorithm, Digest};

    fn bytes() -> impl Strategy<Value = u64> {
        let large = u64::from(LARGE);
        prop::sample::select(vec![0, 1, 70, large - 1, large, large + 1, u64::from(u32::MAX), 1 << 40])
    }

    proptest! {
        #[test]
        fn sizes_are_those_that_64_bits_would_hold(
            // Content that was read has one length.
            read in bytes(),
            stated in prop::collection::vec((bytes(), any::<bool>()), 1..6),
        ) {
            let digest = Digest::of(Algorithm::Sha256, b"blob");
            let digests = Digests::new(vec![*digest.as_sha256().unwrap()], Vec::new(), Vec::new());
            let (known, id) = (KnownSizes::new(1), digests.id(&digest));
            let (mut most, mut is_disputed) = (Size::default(), false);
            for (bytes, is_read) in stated {
                let size = Size { is_read, bytes: if is_read { read } else { bytes } };
                is_disputed |= size.bytes != most.bytes && most.bytes > 0 && size.bytes > 0;
                most = most.max(size);
                known.note(&digests, id, size);
                prop_assert_eq!(known.of(&digests, id), most);
                prop_assert_eq!(!known.disputed().is_empty(), is_disputed);
            }
        }
    }
}
