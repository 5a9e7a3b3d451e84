//! Who is told how a run goes.

use crate::finding::Finding;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Listing the blobs' directories. Steps are blobs; their number is not known before.
    ListBlobs,
    /// Listing repositories and their revisions. Steps are repositories; their number is not known before.
    ListRepositories,
    /// Reading manifests. Steps are manifests.
    ReadManifests,
    /// Following references, repository by repository. Steps are repositories.
    Mark,
    /// Asking for the sizes of blobs. Steps are blobs.
    Measure,
    /// Listing the images of repositories. Steps are repositories.
    ListImages,
    /// Looking at every link of repositories. Steps are repositories.
    CheckLinks,
    /// Hashing the contents of blobs. Steps are bytes.
    HashContent,
    /// Looking again for what has arrived since. There are no steps.
    Rescan,
    /// Finding out what can be repaired. There are no steps.
    PlanRepair,
    /// Carrying out repairs. Steps are those.
    Repair,
    /// Looking for manifests that were deleted. Steps are repositories.
    FindDeleted,
    /// Checking and hashing what is to be linked again. Steps are manifests.
    CheckDeleted,
    /// Writing links. Steps are those.
    Link,
    /// Moving objects from the trash back to the registry. Steps are objects.
    Restore,
    /// Deleting runs from the trash. Steps are runs.
    EmptyTrash,
    /// Removing tag index entries, revisions, layer links, and blobs, in this order. Steps are those.
    Remove,
}

/// Watches a run. Every method is called from many threads at once, in no particular order, and should return soon.
pub trait Monitor: Sync {
    /// A phase begins; `steps` is how many it has, where that is known before.
    fn phase(&self, phase: Phase, steps: Option<u64>);

    /// So many more steps of the phase are done.
    fn advance(&self, steps: u64);

    /// Something was found damaged. The run's result holds it too, in a fixed order.
    fn finding(&self, _: &Finding) {}

    /// Whether the run is to stop at the next whole step. It is asked often.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn phase(&self, _: Phase, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
}
