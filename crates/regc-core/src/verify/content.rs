//! Verification of content: whether the content of each blob matches its digest.
//!
//! Every blob is read from beginning to end, so a run may take hours: it can be limited to a [`Bandwidth`] or to a
//! [`Sample`] of the day, and [`Checkpoint`]s let a later run resume where it was stopped. Only the part of a blob
//! that is being read is held in memory.

mod bandwidth;
mod checkpoint;
mod queue;
mod sample;

use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

pub(crate) use self::bandwidth::Pace;
pub use self::bandwidth::{Bandwidth, Clock, SystemClock};
pub use self::checkpoint::Checkpoint;
use self::queue::Queue;
pub use self::sample::Sample;
use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout;
use crate::storage::ReadStorage;
use crate::storage::hash::hash_while;
use crate::sync::Mutex;
use crate::threads::with_threads;

/// A blob to hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// The length of its content, as far as known. It determines what comes first, and how much is left to do.
    pub bytes: u64,
}

/// What is hashed, and how.
#[derive(Clone, Debug)]
pub struct HashOptions {
    store: String,
    sample: Option<Sample>,
    bandwidth: Option<Bandwidth>,
    jobs: usize,
    resume: Option<Checkpoint>,
}

impl HashOptions {
    /// Hashes all blobs, as fast as possible, with one thread for each core. The name of the store distinguishes its
    /// checkpoints from those of other stores.
    pub fn new(store: &str) -> Self {
        let jobs = thread::available_parallelism().map_or(1, Into::into);
        Self { store: store.to_owned(), sample: None, bandwidth: None, jobs, resume: None }
    }

    /// Hashes only a sample of the blobs.
    #[must_use]
    pub fn sample(self, sample: Option<Sample>) -> Self {
        Self { sample, ..self }
    }

    /// Limits how fast blobs are read.
    #[must_use]
    pub fn bandwidth(self, bandwidth: Option<Bandwidth>) -> Self {
        Self { bandwidth, ..self }
    }

    /// Sets how many threads read and hash, from 1 to [`MAX_JOBS`](crate::threads::MAX_JOBS): more than there are cores
    /// if the storage makes them wait.
    #[must_use]
    pub fn jobs(self, jobs: usize) -> Self {
        Self { jobs, ..self }
    }

    /// Resumes a run from its last checkpoint.
    #[must_use]
    pub fn resume(self, resume: Option<Checkpoint>) -> Self {
        Self { resume, ..self }
    }
}

/// What was found, including by the runs that this one resumed.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Hashed {
    /// How many blobs were hashed.
    pub checked_blobs: u64,
    /// How many bytes those have in total.
    pub checked_bytes: u64,
    /// The blobs whose content does not match their digest, sorted.
    pub mismatched: Vec<Digest>,
    /// The blobs that failed to be read, sorted by digest, and why.
    pub unreadable: Vec<(Digest, Error)>,
    /// The blobs that no longer existed, sorted.
    pub missing: Vec<Digest>,
    /// Whether the monitor stopped the run before it was complete.
    pub interrupted: bool,
}

/// The time between two checkpoints.
const BETWEEN_CHECKPOINTS: Duration = Duration::from_secs(3);

/// Hashes `blobs`, each once, in no particular order.
///
/// `save` receives a checkpoint every few seconds, when a blob is done, and one at the end. It is called from any
/// thread, but never concurrently. A blob that was being read when the run was stopped is not recorded.
///
/// Fails if the checkpoint to resume is that of another store or sample. A blob that cannot be read, or no longer
/// exists, is reported in [`Hashed`].
pub fn hash_all(
    storage: &dyn ReadStorage,
    blobs: &[Blob],
    options: &HashOptions,
    clock: &dyn Clock,
    save: &(dyn Fn(&Checkpoint) + Sync),
    monitor: &dyn Monitor,
) -> Result<Hashed, Error> {
    let HashOptions { store, sample, bandwidth, jobs, resume } = options;
    let checkpoint = match resume {
        Some(checkpoint) => checkpoint.resume(store, *sample)?,
        None => Checkpoint::new(store, *sample),
    };
    let queue = Queue::new(blobs, &checkpoint);
    monitor.phase(Phase::HashContent, Some(queue.bytes()));
    let run = Run {
        storage,
        clock,
        pace: Pace::new(*bandwidth, clock, monitor),
        save,
        saved: Mutex::new(clock.now()),
        monitor,
        state: Mutex::new(State { queue, checkpoint, hashed: Hashed::default() }),
    };
    with_threads(*jobs, || {
        rayon::broadcast(|_| run.work());
        Ok(())
    })?;
    let State { mut checkpoint, mut hashed, .. } = run.state.into_inner();
    if !hashed.interrupted {
        checkpoint.complete();
    }
    save(&checkpoint);
    hashed.checked_blobs = checkpoint.checked_blobs();
    hashed.checked_bytes = checkpoint.checked_bytes();
    hashed.mismatched = checkpoint.mismatched().copied().collect();
    hashed.unreadable.sort_unstable_by_key(|(digest, _)| *digest);
    hashed.missing.sort_unstable();
    Ok(hashed)
}

struct Run<'a> {
    storage: &'a dyn ReadStorage,
    clock: &'a dyn Clock,
    pace: Pace<'a>,
    save: &'a (dyn Fn(&Checkpoint) + Sync),
    /// When a checkpoint was last saved. The thread that saves one holds this, so that none is followed by an older
    /// one.
    saved: Mutex<Duration>,
    monitor: &'a dyn Monitor,
    state: Mutex<State<'a>>,
}

struct State<'a> {
    queue: Queue<'a>,
    checkpoint: Checkpoint,
    hashed: Hashed,
}

impl<'a> Run<'a> {
    /// Hashes blobs, as one of many threads, until there are no more.
    fn work(&self) {
        while let Some(blob) = self.next() {
            self.check(blob);
            self.save_now_and_then();
        }
    }

    fn next(&self) -> Option<&'a Blob> {
        let mut state = self.state.lock();
        let State { queue, checkpoint, hashed } = &mut *state;
        if hashed.interrupted {
            return None;
        }
        let (blob, is_in_order) = queue.next()?;
        if self.monitor.is_stopped() {
            hashed.interrupted = true;
            return None;
        }
        checkpoint.begin(blob.digest, is_in_order);
        Some(blob)
    }

    fn check(&self, blob: &Blob) {
        let (mut read_bytes, mut told_bytes) = (0, 0);
        let key = layout::blob_data(&blob.digest);
        let hash = hash_while(self.storage, &key, blob.digest.algorithm(), &mut |bytes| {
            self.pace.wait(bytes)?;
            read_bytes += bytes as u64;
            // No more than the length that was announced, however long the content is.
            let steps = read_bytes.min(blob.bytes) - told_bytes;
            told_bytes += steps;
            self.monitor.advance(steps);
            if self.monitor.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let State { checkpoint, hashed, .. } = &mut *self.state.lock();
        match hash {
            Ok(ControlFlow::Break(())) => {
                hashed.interrupted = true;
                return;
            }
            Ok(ControlFlow::Continue(Some(hash))) => checkpoint.finish(blob.digest, hash == blob.digest, read_bytes),
            Ok(ControlFlow::Continue(None)) => hashed.missing.push(blob.digest),
            Err(error) => hashed.unreadable.push((blob.digest, error)),
        }
        self.monitor.advance(blob.bytes - told_bytes);
    }

    fn save_now_and_then(&self) {
        let Some(mut saved) = self.saved.try_lock() else { return };
        let now = self.clock.now();
        if now.saturating_sub(*saved) >= BETWEEN_CHECKPOINTS {
            let checkpoint = self.state.lock().checkpoint.clone();
            (self.save)(&checkpoint);
            *saved = now;
        }
    }
}
