//! Everything that is found out before anything is decided.

use std::collections::BTreeSet;
use std::time::SystemTime;

use rayon::ThreadPoolBuilder;

use crate::config::{Absences, Config, Metadata};
use crate::digest::Digest;
use crate::error::{Error, Refusal};
use crate::finding::Finding;
use crate::inventory::{self, Inventory};
use crate::layout;
use crate::mark::{self, Reachable};
use crate::measure::{self, Sizes};
use crate::monitor::Monitor;
use crate::pattern::Pattern;
use crate::storage::ReadStorage;
use crate::trash;
use crate::unwanted::Unwanted;

/// What a run may do, and with how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Whether manifests that no tag reaches are garbage too.
    pub delete_untagged: bool,
    /// Whether to go on although the store looks as if something was missing (see [`Refusal`]).
    pub allow_empty: bool,
    /// Whether to go on although much of what images need is missing, or a directory looks as if it was not mounted.
    pub allow_missing: bool,
    /// Whether to go on although nearly all manifests are untagged and would be deleted.
    pub allow_mostly_untagged: bool,
    /// What may be missing although nothing is wrong.
    pub absences: Absences,
    /// Whether blobs are garbage, too, that are reached through a symbolic link out of the storage root: nobody else uses them.
    pub allow_symlinked_blobs: bool,
    /// Whether to go on although Harbor's database also describes the store.
    pub allow_harbor: bool,
    /// What was modified at this time or later is not garbage, and neither is what it refers to.
    pub young_since: Option<SystemTime>,
    /// What else is garbage, though it takes up little.
    pub leftovers: Leftovers,
    /// The repositories in which untagged manifests and leftovers are garbage; all if there is no pattern. What is in use
    /// is always found out in all of them.
    pub repositories: &'a [Pattern],
    /// What is to go although clients could pull it. Then nothing else does, whatever else is garbage.
    pub unwanted: Option<&'a Unwanted>,
    /// How many threads wait for the storage at once. More than there are cores: waiting is no work.
    pub jobs: usize,
}

/// What registries leave behind, beside content.
///
/// Directories of links without a link go in any case, and so do entries in tags' indexes for manifests that are not linked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leftovers {
    /// Uploads that began before this, and were not written since, are garbage; none if not given. When one began is what its
    /// `startedat` says, or if that is not there, when it was written last.
    pub uploads_before: Option<SystemTime>,
    /// Whether a repository without any manifest, tag or upload is garbage.
    pub empty_repositories: bool,
    /// Whether tags that name nothing are garbage, and the indexes of all tags are looked through for entries that lead to
    /// nothing; else only those of tags that have named more than one manifest.
    pub every_tag: bool,
    /// Tags and referrers that were pushed before this are garbage if what they are attached to was deleted from the
    /// repository, and so is what only they need; none if not given.
    pub orphans_before: Option<SystemTime>,
    /// Whether neither layer links nor tags' indexes are looked through at all: whoever asks does that.
    pub no_links: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            delete_untagged: false,
            allow_empty: false,
            allow_missing: false,
            allow_mostly_untagged: false,
            absences: Absences::default(),
            allow_symlinked_blobs: false,
            allow_harbor: false,
            young_since: None,
            leftovers: Leftovers::default(),
            repositories: &[],
            unwanted: None,
            jobs: 64,
        }
    }
}

impl Options<'_> {
    /// Whether untagged manifests and leftovers may go in a repository.
    pub(crate) fn may_tidy(&self, repository: &str) -> bool {
        let is_meant = |pattern: &Pattern| pattern.matches_repository(repository);
        self.unwanted.is_none() && (self.repositories.is_empty() || self.repositories.iter().any(is_meant))
    }
}

/// A store as it was found: what it holds, and what of it is live.
#[derive(Debug)]
pub struct Survey {
    /// What the store holds.
    pub inventory: Inventory,
    /// What of it is live.
    pub reachable: Reachable,
    /// How much that is.
    pub sizes: Sizes,
    /// Everything that was found damaged, in a fixed order.
    pub findings: Vec<Finding>,
    /// Damaged content that repairs have moved aside, where any is missing: nobody need wonder where that is.
    pub set_aside: BTreeSet<Digest>,
}

impl Survey {
    /// Adds what was found damaged elsewhere.
    pub fn add_findings(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
        self.findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        self.findings.dedup();
    }
}

/// Looks at a whole store. Nothing is changed.
///
/// Fails if the storage cannot be read, since what is not seen cannot be protected. Damage in the store's content is
/// no failure but a [`Finding`].
pub fn survey(storage: &dyn ReadStorage, options: &Options<'_>, monitor: &dyn Monitor) -> Result<Survey, Error> {
    with_threads(options.jobs, || {
        let inventory = inventory::take(storage, options.young_since, monitor)?;
        let reachable = mark::mark(storage, &inventory, options, monitor)?;
        let sizes = measure::measure(storage, &inventory, &reachable, options.young_since, monitor)?;
        let is_missing = |id| inventory.digests.stored_index(id).is_none() || sizes.without_content.contains(&id);
        let missing = match options.absences.content {
            true => Vec::new(),
            false => reachable.missing_blobs(storage, &inventory, is_missing)?,
        };
        missing.iter().for_each(|finding| monitor.finding(finding));

        let mut findings = [&*inventory.findings, &*reachable.findings, &*missing].concat();
        findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        let set_aside = match missing.is_empty() {
            true => BTreeSet::new(),
            false => trash::moved_aside(storage)?.into_keys().collect(),
        };
        Ok(Survey { inventory, reachable, sizes, findings, set_aside })
    })
}

/// Refuses a store of which somebody else's database says what is in use.
pub fn refuse_foreign_metadata(config: &Config, storage: &dyn ReadStorage, options: &Options<'_>) -> Result<(), Error> {
    let refusal = if config.metadata == Metadata::GitLabDatabase {
        Refusal::GitLabDatabase("database.enabled")
    } else if storage.stat(layout::GITLAB_DATABASE_IN_USE)?.is_some() {
        Refusal::GitLabDatabase("the storage holds docker/registry/lockfiles/database-in-use")
    } else if config.metadata == Metadata::GitLabPrefersDatabase
        && storage.stat(layout::GITLAB_FILESYSTEM_IN_USE)?.is_none()
    {
        Refusal::GitLabDatabase("database.enabled: prefer, and no docker/registry/lockfiles/filesystem-in-use")
    } else if config.metadata == Metadata::OpenShift {
        Refusal::OpenShift
    } else if config.metadata == Metadata::Harbor && (options.delete_untagged || options.unwanted.is_some()) {
        Refusal::HarborUntagged
    } else if config.metadata == Metadata::Harbor && !options.allow_harbor {
        Refusal::Harbor
    } else {
        return Ok(());
    };
    Err(Error::Refused(refusal))
}

/// Runs `work` on that many threads of its own.
pub(crate) fn with_threads<T: Send>(jobs: usize, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    let pool = ThreadPoolBuilder::new().num_threads(jobs).build().map_err(|_| Error::Threads(jobs))?;
    pool.install(work)
}
