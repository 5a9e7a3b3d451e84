//! The progress of a run.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Sample;
use crate::digest::Digest;
use crate::error::Error;

/// What a run has hashed so far, so that a later run can resume where it was stopped.
///
/// Blobs are begun in the order of their digests, except for a fixed number of the largest, which come first. So a
/// digest and two short lists are enough, however large the store is: one of blobs that were done ahead of that
/// order, and one of blobs that were begun but not done. The latter also holds what failed to be read, which is tried
/// again. Blobs that are added later among the digests that are done are not hashed by a run that resumes, only by
/// the next one that starts over.
///
/// The checkpoint of a complete run is not resumed, because nothing would be left to check: the next run starts over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The version of its format.
    schema_version: u32,
    /// The name of the store.
    store: String,
    /// Which blobs were to be hashed; all if not given.
    sample: Option<Sample>,
    /// Whether the run is complete.
    complete: bool,
    /// No digest up to this one is still to be begun.
    through: Option<Digest>,
    /// The blobs that were done ahead of that order.
    ahead: BTreeSet<Digest>,
    /// The blobs that were begun but are not done.
    unfinished: BTreeSet<Digest>,
    /// The blobs whose content does not match their digest.
    mismatched: BTreeSet<Digest>,
    /// How many blobs were hashed.
    checked_blobs: u64,
    /// How many bytes they have in total.
    checked_bytes: u64,
}

/// The version that is written. A checkpoint of another version is refused, unless it is complete.
const SCHEMA_VERSION: u32 = 1;

/// Which blobs a run is to hash.
struct Range<'a>(u32, &'a str, Option<Sample>);

impl fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(version, store, sample) = self;
        match sample {
            Some(sample) => write!(f, "{sample} in {store}")?,
            None => write!(f, "all blobs in {store}")?,
        }
        if *version == SCHEMA_VERSION { Ok(()) } else { write!(f, ", in form {version}") }
    }
}

impl Checkpoint {
    /// Returns the checkpoint of a run that starts.
    pub(super) fn new(store: &str, sample: Option<Sample>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            store: store.to_owned(),
            sample,
            complete: false,
            through: None,
            ahead: BTreeSet::new(),
            unfinished: BTreeSet::new(),
            mismatched: BTreeSet::new(),
            checked_blobs: 0,
            checked_bytes: 0,
        }
    }

    /// Returns the checkpoint of a run that resumes `self`. Fails if the run of `self` was to hash something else.
    pub(super) fn resume(&self, store: &str, sample: Option<Sample>) -> Result<Self, Error> {
        if self.complete {
            return Ok(Self::new(store, sample));
        }
        if (self.schema_version, &*self.store, self.sample) != (SCHEMA_VERSION, store, sample) {
            let checkpoint = Range(self.schema_version, &self.store, self.sample).to_string();
            let run = Range(SCHEMA_VERSION, store, sample).to_string();
            return Err(Error::OtherCheckpoint { checkpoint, run });
        }
        Ok(self.clone())
    }

    /// Returns the sample that the run was to hash, which may be that of another day.
    pub fn sample(&self) -> Option<Sample> {
        self.sample
    }

    /// Returns whether the run is complete, so that there is nothing to resume.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Returns the blobs found so far whose content does not match their digest.
    pub fn mismatched(&self) -> impl Iterator<Item = &Digest> {
        self.mismatched.iter()
    }

    /// Returns how many blobs were hashed so far.
    pub fn checked_blobs(&self) -> u64 {
        self.checked_blobs
    }

    /// Returns how many bytes those have in total.
    pub fn checked_bytes(&self) -> u64 {
        self.checked_bytes
    }

    /// Returns whether a blob is still to be hashed.
    pub(super) fn wants(&self, digest: &Digest) -> bool {
        let is_begun = self.through.is_some_and(|through| *digest <= through) || self.ahead.contains(digest);
        self.sample.is_none_or(|sample| sample.selects(digest)) && (!is_begun || self.unfinished.contains(digest))
    }

    /// Returns how many blobs are done ahead of the order.
    pub(super) fn ahead(&self) -> usize {
        self.ahead.len()
    }

    /// Records that a blob is begun; in the order of digests, unless it is one of the largest.
    pub(super) fn begin(&mut self, digest: Digest, is_in_order: bool) {
        self.unfinished.insert(digest);
        if is_in_order && self.through.is_none_or(|through| through < digest) {
            self.through = Some(digest);
        }
    }

    /// Records that a blob is hashed.
    pub(super) fn finish(&mut self, digest: Digest, is_match: bool, bytes: u64) {
        self.unfinished.remove(&digest);
        if self.through.is_none_or(|through| through < digest) {
            self.ahead.insert(digest);
        }
        if !is_match {
            self.mismatched.insert(digest);
        }
        self.checked_blobs += 1;
        self.checked_bytes += bytes;
    }

    /// Records that the run is complete.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }
}
