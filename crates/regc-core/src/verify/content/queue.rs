//! The order in which blobs are hashed.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{Blob, Checkpoint};
use crate::digest::Digest;

/// How many of the largest blobs come first. The blobs left for the end are then no larger than any of them, so each
/// thread that is done by then waits for at most a thousandth of the whole run.
const LARGEST: usize = 1024;

/// The blobs that are still to be hashed: first the largest, then the others in the order of their digests.
pub(super) struct Queue<'a> {
    largest: std::vec::IntoIter<&'a Blob>,
    in_order: std::vec::IntoIter<&'a Blob>,
    /// The largest again, to be skipped.
    passed_over: BTreeSet<Digest>,
    /// How many bytes all of them have.
    bytes: u64,
}

impl<'a> Queue<'a> {
    /// Queues those of `blobs` that a checkpoint still wants.
    pub(super) fn new(blobs: &'a [Blob], checkpoint: &Checkpoint) -> Self {
        let mut in_order: Vec<&Blob> = blobs.iter().filter(|blob| checkpoint.wants(&blob.digest)).collect();
        in_order.sort_unstable_by_key(|blob| blob.digest);
        in_order.dedup_by_key(|blob| blob.digest);
        // Blobs that earlier runs have done ahead count, or the list would grow from run to run.
        let count = LARGEST.saturating_sub(checkpoint.ahead()).min(in_order.len());
        let mut largest = in_order.clone();
        let by_size = |blob: &&Blob| (Reverse(blob.bytes), blob.digest);
        if 0 < count && count < largest.len() {
            largest.select_nth_unstable_by_key(count, by_size);
        }
        largest.truncate(count);
        largest.shrink_to_fit();
        largest.sort_unstable_by_key(by_size);
        Self {
            bytes: in_order.iter().map(|blob| blob.bytes).sum(),
            passed_over: largest.iter().map(|blob| blob.digest).collect(),
            largest: largest.into_iter(),
            in_order: in_order.into_iter(),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the next blob, and whether it is in the order of digests.
    pub(super) fn next(&mut self) -> Option<(&'a Blob, bool)> {
        if let Some(blob) = self.largest.next() {
            return Some((blob, false));
        }
        let blob = self.in_order.find(|blob| !self.passed_over.contains(&blob.digest))?;
        Some((blob, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs(count: u32) -> Vec<Blob> {
        let blob = |n: u32| Blob { digest: digest(n), bytes: u64::from(n * 7919 % count) };
        (0..count).map(blob).collect()
    }

    fn digest(n: u32) -> Digest {
        Digest::of(crate::digest::Algorithm::Sha256, &n.to_le_bytes())
    }

    #[test]
    fn the_largest_come_first_and_the_rest_in_order() {
        let mut blobs = blobs(5003);
        blobs.push(blobs[0]);
        let mut queue = Queue::new(&blobs, &Checkpoint::new("", None));
        assert_eq!(queue.bytes(), 5002 * 5003 / 2);
        let taken: Vec<(&Blob, bool)> = std::iter::from_fn(|| queue.next()).collect();
        assert_eq!(taken.len(), 5003, "each once");
        let (first, rest) = taken.split_at(LARGEST);
        assert!(first.iter().map(|(blob, _)| blob.bytes).eq((0..5003).rev().take(LARGEST)));
        assert!(rest.is_sorted_by(|(a, _), (b, _)| a.digest < b.digest));
        assert!(first.iter().all(|(_, is_in_order)| !is_in_order) && rest.iter().all(|(_, is_in_order)| *is_in_order));
    }

    #[test]
    fn a_checkpoint_stays_small_however_often_a_run_is_stopped() {
        let blobs = blobs(5003);
        let mut checkpoint = Checkpoint::new("", None);
        let mut runs = 0;
        while checkpoint.checked_blobs() < 5003 {
            let mut queue = Queue::new(&blobs, &checkpoint);
            for _ in 0..300 {
                let Some((blob, is_in_order)) = queue.next() else { break };
                checkpoint.begin(blob.digest, is_in_order);
                checkpoint.finish(blob.digest, true, blob.bytes);
                assert!(checkpoint.ahead() <= LARGEST);
            }
            // A blob that is begun but not done.
            if let Some((blob, is_in_order)) = queue.next() {
                checkpoint.begin(blob.digest, is_in_order);
            }
            runs += 1;
            assert!(runs < 40);
            assert!(serde_json::to_string(&checkpoint).unwrap().len() < 80 * (LARGEST + 10));
        }
        assert_eq!(runs, 17, "nothing is hashed twice");
        assert_eq!(checkpoint.checked_bytes(), 5002 * 5003 / 2);
    }
}
