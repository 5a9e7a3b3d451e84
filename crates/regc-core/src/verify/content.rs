//! Whether blobs have the content that their digests say.
//!
//! Every blob is read from beginning to end, so a run may take hours: it can be limited to a [`Bandwidth`] or to a
//! [`Sample`] of the day, and [`Checkpoint`]s let a later run go on where it was stopped. Nothing is held of a blob but the
//! part that is just read.

mod bandwidth;
mod checkpoint;
mod queue;
mod sample;

use std::ops::ControlFlow;
use std::time::Duration;

use parking_lot::Mutex;

pub use self::bandwidth::{Bandwidth, Clock, Pace};
pub use self::checkpoint::Checkpoint;
use self::queue::Queue;
pub use self::sample::Sample;
use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout;
use crate::storage::ReadStorage;
use crate::storage::hash::hash_while;
use crate::threads::with_threads;

/// A blob that is to be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// The length of its content as far as it is known. It decides what comes first, and how much is left to do.
    pub bytes: u64,
}

/// What is hashed, and how.
#[derive(Clone, Debug)]
pub struct HashOptions {
    /// What the store is called, so that a checkpoint of another one is told from its own.
    pub store: String,
    /// Which blobs; all if not given.
    pub sample: Option<Sample>,
    /// How fast blobs are read at most; as fast as can be if not given.
    pub bandwidth: Option<Bandwidth>,
    /// How many threads read and hash: as many as there are cores, or more if the storage makes them wait.
    pub jobs: usize,
    /// The last checkpoint of the run that this one goes on with.
    pub resume: Option<Checkpoint>,
}

/// What was found, together with the runs that this one went on with.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Hashed {
    /// How many blobs were hashed.
    pub checked_blobs: u64,
    /// How many bytes those have together.
    pub checked_bytes: u64,
    /// The blobs that do not have the content that their digests say, sorted.
    pub mismatched: Vec<Digest>,
    /// The blobs that could not be read, sorted by digest, and why.
    pub unreadable: Vec<(Digest, Error)>,
    /// The blobs that were not there any more, sorted.
    pub missing: Vec<Digest>,
    /// Whether the monitor told it to stop before all was done.
    pub interrupted: bool,
}

/// How much time lies between two checkpoints.
const BETWEEN_CHECKPOINTS: Duration = Duration::from_secs(3);

/// Hashes `blobs`, in no particular order and each once.
///
/// `save` gets a checkpoint every few seconds, when a blob is done, and one at the end; one after the other, from any
/// thread. Of a blob that was being read when the run was stopped, nothing is kept.
///
/// Fails if the checkpoint to go on with is that of another store or sample. A blob that cannot be read, or is not there
/// any more, is told in [`Hashed`].
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
    /// When a checkpoint was saved last. Who saves one holds this, so that none is followed by an older one.
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
            // No more than was said to come, whatever comes.
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
