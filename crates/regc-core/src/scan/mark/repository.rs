//! What is live in one repository.

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use super::manifests::{self, Manifest, Manifests};
use super::{RepositoryGarbage, RepositoryReachable};
use crate::blocked::Blocked;
use crate::digest::Digest;
use crate::error::Error;
use crate::finding::Finding;
use crate::registry::layout;
use crate::registry::manifest::{Damage, Role};
use crate::scan::Options;
use crate::scan::deletion::DeletionIn;
use crate::scan::graph;
use crate::scan::inventory::{DigestId, Digests, Repository, signatures};
use crate::storage::ReadStorage;
use crate::trash::Restoring;
use crate::walk::walk;

/// What marking one repository found.
#[derive(Default)]
pub(super) struct Marked {
    pub(super) live: HashSet<DigestId>,
    /// What was live before the deletion.
    pub(super) released: HashSet<DigestId>,
    pub(super) tags: u64,
    pub(super) kept: Kept,
}

/// The part of it that is kept after the repository was marked.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) reachable: RepositoryReachable,
    pub(super) garbage: RepositoryGarbage,
    pub(super) findings: Vec<Finding>,
    pub(super) blocked: Vec<Blocked>,
    /// Whether the directory of its tags is an unmounted file system.
    pub(super) tags_unmounted: bool,
}

/// Marks what is live in `repository`, and lists what is not.
pub(super) fn mark(
    storage: &dyn ReadStorage,
    digests: &Digests,
    manifests: &Manifests,
    repository: &Repository,
    options: &Options<'_>,
    restoring: &Restoring,
) -> Result<Marked, Error> {
    let restoring = restoring.repositories.get(&repository.name).map(String::as_str);
    let marking = Marking { storage, digests, manifests, repository, options, restoring };
    match options.deletion.and_then(|deletion| deletion.of(&repository.name)) {
        None => marking.collect(),
        Some(DeletionIn::Everything) => marking.without_everything(),
        Some(DeletionIn::Some { tags, manifests }) => marking.without(tags, manifests),
    }
}

/// Returns the first linked manifest whose needs are unknown because it is damaged or missing.
pub(super) fn not_understood(findings: &[Finding]) -> Option<Digest> {
    findings.iter().find_map(|finding| match finding {
        Finding::DamagedManifest { manifest, .. } | Finding::DanglingRevision { manifest, .. } => Some(*manifest),
        _ => None,
    })
}

/// One repository, and what is needed to mark it.
pub(super) struct Marking<'a> {
    pub(super) storage: &'a dyn ReadStorage,
    pub(super) digests: &'a Digests,
    pub(super) manifests: &'a Manifests,
    pub(super) repository: &'a Repository,
    pub(super) options: &'a Options<'a>,
    /// The run from which an incomplete restore brings back something of the repository.
    pub(super) restoring: Option<&'a str>,
}

/// What is reachable from some roots.
#[derive(Default)]
pub(super) struct Reach {
    pub(super) live: HashSet<DigestId>,
    /// The linked manifests among what is live.
    pub(super) manifests: HashSet<DigestId>,
    /// Damaged manifests that are not revisions, but only linked as layers.
    pub(super) damaged_others: Vec<DigestId>,
}

impl Marking<'_> {
    /// Marks what is live if nothing in the repository is deleted because it was named.
    pub(super) fn collect(&self) -> Result<Marked, Error> {
        let repository = self.repository;
        let is_served = repository.is_served();
        let is_changing = self.restoring.is_some() || repository.writing.is_some();
        let may_tidy = self.options.may_tidy(self.name()) && !is_changing && is_served;
        let delete_untagged = self.options.delete_untagged && may_tidy;
        let mut findings = self.findings_of(&repository.revisions)?;
        let being_restored =
            |run: &str| Finding::BeingRestored { repository: repository.name.clone(), run: run.into() };
        findings.extend(self.restoring.map(being_restored));
        let being_written =
            |path: &String| Finding::LinkBeingWritten { repository: repository.name.clone(), path: path.clone() };
        findings.extend(repository.writing.as_ref().map(being_written));
        let unserved = || Finding::UnservedRepository { repository: repository.name.clone() };
        findings.extend((!is_served && repository.is_linking()).then(unserved));
        let mut is_damaged = not_understood(&findings).is_some();
        // Where something is deleted on purpose, a tag must not lose what only it leads to: manifests that registry
        // 2.1 linked.
        let are_judged = delete_untagged || self.options.deletion.is_some();
        let may_have_orphans = may_tidy && self.may_have_orphans(delete_untagged);
        let tags = if are_judged || may_have_orphans { Some(self.tags()?) } else { None };
        findings.extend(tags.iter().filter(|_| are_judged).flat_map(|tags| tags.findings(&repository.name)));

        // A repository that is not understood or is shared is kept as a whole.
        let tagged = tags.as_ref().map_or(&[][..], |tags| &tags.tagged);
        let mut only_tagged =
            delete_untagged && tags.as_ref().is_some_and(|tags| !tags.unknown) && !is_damaged && !repository.shared;
        let everything = [&*repository.revisions, tagged].concat();
        let wanted = [&*repository.recent, tagged].concat();
        let mut reach = if only_tagged {
            self.reach(&wanted, &self.referrers())?
        } else {
            self.reach(&everything, &HashMap::default())?
        };
        if !reach.damaged_others.is_empty() {
            is_damaged = true;
            if only_tagged {
                only_tagged = false;
                reach = self.reach(&everything, &HashMap::default())?;
            }
            findings.extend(self.findings_of(&reach.damaged_others)?);
        }

        let mut garbage = RepositoryGarbage::default();
        if let Some(tags) = tags.as_ref().filter(|_| may_have_orphans && !is_damaged && !repository.shared) {
            self.drop_orphans(tags, only_tagged, &mut reach, &mut garbage)?;
        }
        let is_kept = is_damaged || repository.shared || is_changing;
        self.layer_links(is_kept, &mut reach.live, &mut garbage)?;
        if only_tagged || may_have_orphans {
            self.unused_revisions(&reach.manifests, &mut garbage)?;
        }
        let tags_unmounted = tags.as_ref().is_some_and(|tags| tags.is_unmounted);
        let count = match &tags {
            Some(tags) => tags.count,
            // Whether the store has any tag decides whether its manifests may be untagged.
            None if self.options.delete_untagged => self.all_tag_directories()?.len() as u64,
            None => 0,
        };
        if may_tidy && !repository.shared && !is_damaged {
            self.leftovers(tags, &reach, &mut garbage, &mut findings)?;
        }
        if !is_served {
            garbage = RepositoryGarbage::default();
        }
        let roots = if only_tagged { &wanted[..] } else { &repository.revisions };
        let roots = roots.iter().copied().filter(|id| reach.manifests.contains(id)).collect();
        let reachable = RepositoryReachable { roots, manifests: sorted(reach.manifests), protected: is_damaged };
        let kept = Kept { reachable, garbage, findings, blocked: Vec::new(), tags_unmounted };
        Ok(Marked { live: reach.live, released: HashSet::default(), tags: count, kept })
    }

    pub(super) fn name(&self) -> &str {
        &self.repository.name
    }

    /// Lists what is wrong with manifests that the repository links.
    pub(super) fn findings_of(&self, ids: &[DigestId]) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        for &id in ids {
            // A digest without content of its own may have that of another digest.
            let id = match self.target(id)? {
                Some(target) => {
                    self.manifests.read_other(self.storage, self.digests, target)?;
                    target
                }
                None => id,
            };
            let (repository, manifest) = (|| self.repository.name.clone(), || self.digests.digest(id));
            let finding = self.manifests.with(id, |found| match found {
                Manifest::Parsed { .. } => None,
                Manifest::Missing => Some(Finding::DanglingRevision { repository: repository(), manifest: manifest() }),
                Manifest::Damaged(damaged) => Some(Finding::DamagedManifest {
                    repository: repository(),
                    manifest: manifest(),
                    damage: damaged.damage.clone(),
                }),
            });
            findings.extend(finding.flatten());
        }
        Ok(findings)
    }

    /// Returns the digest that the registry serves for `id` in this repository, if it is another one.
    pub(super) fn target(&self, id: DigestId) -> Result<Option<DigestId>, Error> {
        manifests::target(self.storage, self.digests, self.name(), id)
    }

    pub(super) fn has_revision(&self, id: DigestId) -> bool {
        self.repository.revisions.binary_search(&id).is_ok()
    }

    /// Whether the repository links the manifest: as a revision, or as a layer, where registry 2.1 put it and later
    /// versions still look. In that case it is read.
    pub(super) fn is_linked(&self, id: DigestId) -> Result<bool, Error> {
        if self.has_revision(id) {
            return Ok(true);
        }
        let is_linked = self.storage.stat(&layout::layer_link(self.name(), &self.digests.digest(id)))?.is_some();
        if is_linked {
            self.manifests.read_other(self.storage, self.digests, id)?;
        }
        Ok(is_linked)
    }

    /// Returns everything that is live if `roots`, which are linked manifests, are. `referrers` lists what is
    /// attached to what; where every revision is a root, it is not needed.
    pub(super) fn reach(
        &self,
        roots: &[DigestId],
        referrers: &HashMap<DigestId, Vec<DigestId>>,
    ) -> Result<Reach, Error> {
        let mut reach = Reach::default();
        self.reach_more(roots, referrers, &HashMap::default(), &mut reach)?;
        Ok(reach)
    }

    /// Does the same, and adds the linked manifests named by tags that are attached to something in it.
    pub(super) fn reach_more(
        &self,
        roots: &[DigestId],
        referrers: &HashMap<DigestId, Vec<DigestId>>,
        tags: &HashMap<DigestId, Vec<DigestId>>,
        reach: &mut Reach,
    ) -> Result<(), Error> {
        let Reach { live, manifests, damaged_others } = reach;
        walk(manifests, roots.iter().copied(), |id, pending| {
            for &named in tags.get(&id).into_iter().flatten() {
                if self.is_linked(named)? {
                    pending.push(named);
                }
            }
            let mut became_live = vec![id];
            let mut children = Vec::new();
            let is_damaged = self.manifests.with(id, |manifest| match manifest {
                Manifest::Parsed { references, .. } => {
                    became_live.extend(references.iter().map(|reference| reference.id()));
                    for reference in references {
                        let (id, role) = (reference.id(), reference.role());
                        if self.has_revision(id) {
                            pending.push(id);
                        } else if role.may_be_child() {
                            children.push((id, role));
                        }
                    }
                    false
                }
                Manifest::Missing => false,
                Manifest::Damaged(damaged) => {
                    became_live.extend(&damaged.mentioned);
                    true
                }
            });
            for (child, role) in children {
                if self.is_linked(child)? && (role == Role::Child || self.may_be_manifest(child)) {
                    pending.push(child);
                }
            }
            if let Some(target) = self.target(id)? {
                self.manifests.read_other(self.storage, self.digests, target)?;
                pending.push(target);
            }
            if self.repository.signed.binary_search(&id).is_ok() {
                became_live.extend(self.signatures(id)?);
            }
            if is_damaged.unwrap_or(false) && !self.has_revision(id) {
                damaged_others.push(id);
            }
            for id in became_live {
                if live.insert(id) {
                    pending.extend(referrers.get(&id).into_iter().flatten());
                    live.extend(self.target(id)?);
                }
            }
            Ok(())
        })?;
        reach.damaged_others.sort_unstable_by_key(|&id| self.digests.digest(id));
        Ok(())
    }

    /// Whether something in an index with an inconclusive media type is a manifest, or was one before it was damaged.
    fn may_be_manifest(&self, id: DigestId) -> bool {
        let may_be = self.manifests.with(id, |manifest| match manifest {
            Manifest::Parsed { .. } | Manifest::Missing => true,
            Manifest::Damaged(damaged) => {
                matches!(damaged.damage, Damage::DigestMismatch(_) | Damage::MovedAside | Damage::InvalidReference(_))
            }
        });
        may_be.unwrap_or(false)
    }

    /// Returns the revisions that are attached to another manifest, grouped by that one.
    pub(super) fn referrers(&self) -> HashMap<DigestId, Vec<DigestId>> {
        graph::referrers(self.manifests, self.repository.revisions.iter().copied())
    }

    /// Lists the signatures of a revision.
    pub(super) fn signatures(&self, id: DigestId) -> Result<Vec<DigestId>, Error> {
        let found = signatures(self.storage, self.name(), &self.digests.digest(id))?;
        Ok(found.digests.iter().map(|digest| self.digests.id(digest)).collect())
    }
}

/// Sorts manifests in the order of their numbers.
pub(super) fn sorted(manifests: HashSet<DigestId>) -> Box<[DigestId]> {
    let mut manifests: Vec<DigestId> = manifests.into_iter().collect();
    manifests.sort_unstable();
    manifests.into()
}
