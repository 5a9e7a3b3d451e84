//! Progress reports of a run.

use crate::finding::Finding;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Listing the blobs' directories. Steps are blobs; their number is not known in advance.
    ListBlobs,
    /// Listing repositories and their revisions. Steps are repositories; their number is not known in advance.
    ListRepositories,
    /// Reading manifests. Steps are manifests.
    ReadManifests,
    /// Following references, repository by repository. Steps are repositories.
    Mark,
    /// Reading the sizes of blobs. Steps are blobs.
    Measure,
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
    /// Removing tag index entries, revisions, layer links, and blobs, in this order. Steps are those.
    Remove,
}

/// An observer of a run. Every method is called from many threads at once, in no particular order, and should return
/// soon.
pub trait Monitor: Sync {
    /// Reports that a phase begins; `steps` is how many it has, if that is known in advance.
    fn phase(&self, phase: Phase, steps: Option<u64>);

    /// Reports that so many more steps of the phase are done.
    fn advance(&self, steps: u64);

    /// Reports something that was found damaged. The run's result holds all findings too, in a fixed order.
    fn finding(&self, _: &Finding) {}

    /// Whether the run is to stop at the next whole step. It is called often.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// A monitor that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn phase(&self, _: Phase, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
}
