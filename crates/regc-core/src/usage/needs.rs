//! What each repository needs, and what its tags need of that.
//!
//! Marking knows, but does not keep it: this finds it out once more from the manifests that it found live. The rules must
//! be the same.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use crate::catalog;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::inventory::{DigestId, Repository, signatures};
use crate::layout;
use crate::mark::{self, Manifest, RepositoryReachable};
use crate::storage::{ReadStorage, directories};
use crate::survey::Survey;
use crate::unwanted::attached_to;

/// Blobs, by where they stand among all blobs, in that order.
pub(super) type Blobs = Vec<u32>;

/// What one repository needs.
pub(super) struct Needs {
    /// All of it.
    pub(super) all: Blobs,
    /// What its tags pull.
    pub(super) pulled: Blobs,
    /// What its tags reach: that, and all that is attached to it.
    pub(super) tagged: Blobs,
    /// Its tags, if they were asked for.
    pub(super) tags: Vec<TagNeeds>,
}

/// What one tag needs.
pub(super) struct TagNeeds {
    pub(super) name: String,
    pub(super) digest: Option<Digest>,
    /// How many tags of the repository name the same, this one among them.
    pub(super) tags_of_image: u64,
    /// How much it pulls, in bytes.
    pub(super) pulled: u64,
    /// What nothing else in its repository needs.
    pub(super) alone: Blobs,
}

/// Finds out what a repository needs, and, `with_tags`, each of its tags. `sizes` are those of all blobs.
pub(super) fn needs(
    storage: &dyn ReadStorage,
    survey: &Survey,
    (repository, marked): (&Repository, &RepositoryReachable),
    sizes: &[u64],
    with_tags: bool,
) -> Result<Needs, Error> {
    let mut needing = Needing {
        storage,
        survey,
        repository,
        marked,
        targets: HashMap::default(),
        signatures: HashMap::default(),
        attached: HashMap::default(),
    };
    let kept = needing.kept_layers()?;
    let all = needing.all(&kept)?;
    let tags = catalog::tags(storage, &repository.name)?;
    let mut named: BTreeMap<DigestId, u64> = BTreeMap::new();
    for digest in tags.iter().filter_map(|tag| tag.digest) {
        *named.entry(survey.inventory.digests.id(&digest)).or_default() += 1;
    }
    let linked = || named.keys().copied().filter(|&id| needing.is_here(id));
    let tagged = needing.reach(linked(), true);
    let pulled = needing.blobs(&needing.reach(linked(), false));
    Ok(Needs {
        all: needing.blobs(&all),
        pulled,
        tags: if with_tags { needing.tags(tags, &named, &tagged, &kept, sizes) } else { Vec::new() },
        tagged: needing.blobs(&tagged),
    })
}

struct Needing<'a> {
    storage: &'a dyn ReadStorage,
    survey: &'a Survey,
    repository: &'a Repository,
    marked: &'a RepositoryReachable,
    /// The digests that are served for others.
    targets: HashMap<DigestId, DigestId>,
    signatures: HashMap<DigestId, Vec<DigestId>>,
    /// The manifests that are attached to another one, by that one.
    attached: HashMap<DigestId, Vec<DigestId>>,
}

impl Needing<'_> {
    /// Whether something is a manifest that the repository has.
    fn is_here(&self, id: DigestId) -> bool {
        self.marked.manifests.binary_search(&id).is_ok()
    }

    /// The layers that are needed because nothing in the repository is garbage.
    fn kept_layers(&self) -> Result<Vec<DigestId>, Error> {
        let mut kept = Vec::new();
        if self.marked.protected || self.repository.shared {
            for &algorithm in &self.repository.layer_algorithms {
                let directory = format!("{}/{}", layout::layers(&self.repository.name), algorithm.name());
                let links = directories(self.storage, &directory, |hex| Digest::from_hex(algorithm, hex), || ())?;
                kept.extend(links.iter().map(|(digest, _)| self.survey.inventory.digests.id(digest)));
            }
        }
        Ok(kept)
    }

    /// Everything that is needed. Learns on the way what stands for what, and what is attached to what.
    fn all(&mut self, kept: &[DigestId]) -> Result<HashSet<DigestId>, Error> {
        let Survey { inventory, reachable, .. } = self.survey;
        let mut all: HashSet<DigestId> = kept.iter().copied().collect();
        for &id in &self.marked.manifests {
            all.insert(id);
            let subject = reachable.manifests.with(id, |manifest| match manifest {
                Manifest::Parsed { references, subject } => {
                    all.extend(references.iter().map(|reference| reference.id()));
                    subject
                }
                Manifest::Missing => None,
                Manifest::Damaged(damaged) => {
                    all.extend(&damaged.mentioned);
                    None
                }
            });
            if let Some(subject) = subject.flatten() {
                self.attached.entry(subject).or_default().push(id);
            }
        }
        for &id in &self.repository.signed {
            let found = signatures(self.storage, &self.repository.name, &inventory.digests.digest(id))?;
            let signatures: Vec<_> = found.digests.iter().map(|digest| inventory.digests.id(digest)).collect();
            all.extend(&signatures);
            self.signatures.insert(id, signatures);
        }
        for &id in &all {
            if inventory.digests.algorithm(id) != Algorithm::Sha256 {
                let target = mark::target(self.storage, &inventory.digests, &self.repository.name, id)?;
                self.targets.extend(target.map(|target| (id, target)));
            }
        }
        all.extend(self.targets.values());
        Ok(all)
    }

    /// What some manifests refer to and what that does, and so on; `with_attached`, also what is attached to all that.
    fn reach(&self, from: impl Iterator<Item = DigestId>, with_attached: bool) -> HashSet<DigestId> {
        self.reach_with(from, with_attached, |_| with_attached)
    }

    /// The same, with what is attached where `follows` says so.
    fn reach_with(
        &self,
        from: impl Iterator<Item = DigestId>,
        with_signatures: bool,
        follows: impl Fn(DigestId) -> bool,
    ) -> HashSet<DigestId> {
        let mut reached = HashSet::default();
        let mut pending: Vec<DigestId> = from.collect();
        while let Some(id) = pending.pop() {
            if !reached.insert(id) {
                continue;
            }
            pending.extend(self.targets.get(&id));
            let attached = self.attached.get(&id).into_iter().flatten().copied();
            pending.extend(attached.filter(|&attached| follows(attached)));
            if with_signatures {
                pending.extend(self.signatures.get(&id).into_iter().flatten());
            }
            if self.is_here(id) {
                self.survey.reachable.manifests.with(id, |manifest| match manifest {
                    Manifest::Parsed { references, .. } => pending.extend(references.iter().map(|r| r.id())),
                    Manifest::Missing => {}
                    Manifest::Damaged(damaged) => pending.extend(&damaged.mentioned),
                });
            }
        }
        reached
    }

    /// What each tag needs. `named` are the digests that tags name, and by how many; `tagged` is what they reach together.
    ///
    /// What would be freed is what [`without`](crate::mark) finds: what is attached to an image goes with it, unless
    /// somebody has given it a tag of its own; what programs tag goes all the same.
    fn tags(
        &mut self,
        tags: Vec<catalog::Tag>,
        named: &BTreeMap<DigestId, u64>,
        tagged: &HashSet<DigestId>,
        kept: &[DigestId],
        sizes: &[u64],
    ) -> Vec<TagNeeds> {
        let digests = &self.survey.inventory.digests;
        let mut of_programs: HashSet<DigestId> = HashSet::default();
        let mut of_people: HashSet<DigestId> = HashSet::default();
        for tag in &tags {
            let Some(id) = tag.digest.map(|digest| digests.id(&digest)) else { continue };
            let owner = attached_to(&tag.name).map(|owner| digests.id(&owner));
            match owner.filter(|owner| *owner != id && self.is_here(*owner)) {
                Some(owner) => {
                    of_programs.insert(id);
                    self.attached.entry(owner).or_default().push(id);
                }
                None => drop(of_people.insert(id)),
            }
        }
        // What holds something: each image what it reaches, but for what is attached and has a tag of its own.
        let images = named.keys().copied().filter(|&image| self.is_here(image));
        let held: BTreeMap<DigestId, HashSet<DigestId>> = images
            .map(|image| (image, self.reach_with([image].into_iter(), true, |attached| !named.contains_key(&attached))))
            .collect();
        let mut holders: HashMap<DigestId, u32> = HashMap::default();
        for id in held.values().flatten() {
            *holders.entry(*id).or_default() += 1;
        }
        let untagged = self.marked.manifests.iter().copied().filter(|id| !tagged.contains(id));
        for id in self.reach(untagged, true).into_iter().chain(kept.iter().copied()) {
            *holders.entry(id).or_default() += 1;
        }
        let needs = tags.into_iter().map(|catalog::Tag { name, digest, .. }| {
            let id = digest.map(|digest| digests.id(&digest));
            let tags_of_image = id.map_or(1, |id| named[&id]);
            let here = id.filter(|id| held.contains_key(id));
            let mut alone: HashSet<DigestId> = HashSet::default();
            if let Some(id) = here.filter(|_| tags_of_image == 1) {
                let dies = self.reach_with([id].into_iter(), true, |attached| !of_people.contains(&attached));
                let mut dying: HashMap<DigestId, u32> = HashMap::default();
                let goes = |image: &DigestId| *image == id || of_programs.contains(image) && !of_people.contains(image);
                for held in
                    held.iter().filter(|(image, _)| dies.contains(image) && goes(image)).flat_map(|(_, ids)| ids)
                {
                    *dying.entry(*held).or_default() += 1;
                }
                alone = dies.into_iter().filter(|id| dying.get(id) == holders.get(id)).collect();
            }
            let pulled = sum(&self.blobs(&self.reach(here.into_iter(), false)), sizes);
            TagNeeds { name, digest, tags_of_image, pulled, alone: self.blobs(&alone) }
        });
        needs.collect()
    }

    /// Those of some digests that are blobs.
    fn blobs(&self, ids: &HashSet<DigestId>) -> Blobs {
        let digests = &self.survey.inventory.digests;
        let mut blobs: Blobs =
            ids.iter().filter_map(|&id| digests.stored_index(id)).map(|index| index as u32).collect();
        blobs.sort_unstable();
        blobs
    }
}

/// How long some blobs are together.
pub(super) fn sum(blobs: &[u32], sizes: &[u64]) -> u64 {
    blobs.iter().map(|&blob| sizes[blob as usize]).sum()
}
