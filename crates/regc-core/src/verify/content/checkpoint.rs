//! How far a run has come.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Sample;
use crate::digest::Digest;
use crate::error::Error;

/// What a run has hashed so far, for a later one to go on where it was stopped.
///
/// Blobs are begun in the order of their digests, but for a fixed number of the largest, which come first. So a digest and
/// two short lists say it all, however large the store is: one of blobs that were done ahead of that order, and one of
/// those that were begun and not done. The latter also has what could not be read, which is tried again. What arrives
/// later among the digests that are done is not hashed by a run that goes on, only by the next that begins anew.
///
/// That of a run that came to its end is not gone on with, since nothing would be checked any more: a run that gets it
/// begins anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The version of its form.
    schema_version: u32,
    /// Which store it is.
    store: String,
    /// Which blobs were to be hashed; all if not given.
    sample: Option<Sample>,
    /// Whether the run came to its end.
    complete: bool,
    /// No digest up to this one has to be begun any more.
    through: Option<Digest>,
    /// What was done ahead of that order.
    ahead: BTreeSet<Digest>,
    /// What was begun and is not done.
    unfinished: BTreeSet<Digest>,
    /// What does not have the content that its digest says.
    mismatched: BTreeSet<Digest>,
    /// How many blobs were hashed.
    checked_blobs: u64,
    /// How many bytes they have together.
    checked_bytes: u64,
}

/// The version that is written. Another one is refused.
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
    /// That of a run that begins.
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

    /// That of a run that goes on after `self`. Fails if it was to hash something else.
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

    /// The sample that the run was to hash, which may be that of another day.
    pub fn sample(&self) -> Option<Sample> {
        self.sample
    }

    /// Whether the run came to its end, so that there is nothing to go on with.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The blobs found so far that do not have the content that their digests say.
    pub fn mismatched(&self) -> impl Iterator<Item = &Digest> {
        self.mismatched.iter()
    }

    /// How many blobs were hashed so far.
    pub fn checked_blobs(&self) -> u64 {
        self.checked_blobs
    }

    /// How many bytes those have together.
    pub fn checked_bytes(&self) -> u64 {
        self.checked_bytes
    }

    /// Whether a blob is still to be hashed.
    pub(super) fn wants(&self, digest: &Digest) -> bool {
        let is_begun = self.through.is_some_and(|through| *digest <= through) || self.ahead.contains(digest);
        self.sample.is_none_or(|sample| sample.selects(digest)) && (!is_begun || self.unfinished.contains(digest))
    }

    /// How many blobs are done ahead of the order.
    pub(super) fn ahead(&self) -> usize {
        self.ahead.len()
    }

    /// Notes that a blob is begun; in the order of digests, unless it is one of the largest.
    pub(super) fn begin(&mut self, digest: Digest, is_in_order: bool) {
        self.unfinished.insert(digest);
        if is_in_order && self.through.is_none_or(|through| through < digest) {
            self.through = Some(digest);
        }
    }

    /// Notes that a blob is hashed.
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

    /// Notes that the run came to its end.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }
}
