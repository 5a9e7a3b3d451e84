//! Progress reports of a run.

use crate::error::Error;
use crate::finding::Finding;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Listing the directories of blobs. Steps are blobs; their number is not known in advance.
    ListBlobs,
    /// Listing repositories and their revisions. Steps are repositories; their number is not known in advance.
    ListRepositories,
    /// Reading manifests. Steps are manifests.
    ReadManifests,
    /// Following references, repository by repository. Steps are repositories.
    Mark,
    /// Reading the sizes of blobs. Steps are blobs.
    Measure,
    /// Listing the images of repositories. Steps are repositories.
    ListImages,
    /// Checking every link of repositories. Steps are repositories.
    CheckLinks,
    /// Hashing the contents of blobs. Steps are bytes.
    HashContent,
    /// Rescanning for what has been added since. There are no steps.
    Rescan,
    /// Planning repairs. There are no steps.
    PlanRepair,
    /// Carrying out repairs. Steps are repairs.
    Repair,
    /// Finding deleted manifests. Steps are repositories.
    FindDeleted,
    /// Checking and hashing what is to be linked again. Steps are manifests.
    CheckDeleted,
    /// Writing links. Steps are links.
    Link,
    /// Moving objects from the trash back to the registry. Steps are objects.
    Restore,
    /// Deleting runs from the trash. Steps are runs.
    EmptyTrash,
    /// Removing tag index entries, revisions, layer links, and blobs, in this order. Steps are those.
    Remove,
}

/// Watches a run, and may stop it.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// use regc_core::{Monitor, Phase};
///
/// /// Set by the handler of a signal, or by another thread.
/// static STOP: AtomicBool = AtomicBool::new(false);
///
/// struct Progress;
///
/// impl Monitor for Progress {
///     fn phase(&self, phase: Phase, steps: Option<u64>) {
///         eprintln!("{phase:?}: {steps:?} steps");
///     }
///
///     fn advance(&self, _steps: u64) {}
///
///     fn is_stopped(&self) -> bool {
///         STOP.load(Ordering::Relaxed)
///     }
/// }
/// ```
///
/// Every method is called from many threads at once, in no particular order, and should return quickly.
pub trait Monitor: Sync {
    /// Reports that a phase begins; `steps` is how many it has, if that is known in advance.
    fn phase(&self, phase: Phase, steps: Option<u64>);

    /// Reports that this many more steps of the phase are done.
    fn advance(&self, steps: u64);

    /// Reports damage. It is also in `Plan::findings`, in a fixed order; in the plan of a deletion, only if it concerns
    /// what is deleted.
    fn finding(&self, _: &Finding) {}

    /// Whether the run is to stop after the current step. This is called often.
    ///
    /// A call that is stopped before it has changed anything fails with [`Error::Interrupted`]. A call that has begun
    /// to change the storage returns what was done, with `interrupted` set. A monitor that has stopped one call also
    /// stops the next one: to restore after a stop, pass another monitor.
    fn is_stopped(&self) -> bool {
        false
    }
}

impl dyn Monitor + '_ {
    /// Fails with [`Error::Interrupted`] if the run is to stop.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_stopped() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Stops what another monitor stops, and reports nothing to it: for parts of a phase that have no steps of their own.
pub(crate) struct Unreported<'a>(pub(crate) &'a dyn Monitor);

impl Monitor for Unreported<'_> {
    fn phase(&self, _: Phase, _: Option<u64>) {}

    fn advance(&self, _: u64) {}

    fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }
}

/// A monitor that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn phase(&self, _: Phase, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
}
