//! What each repository needs, and what its tags need of that.
//!
//! Marking computes this but does not keep it: this module computes it again from the manifests that marking found
//! live. The rules must be the same.

use std::collections::BTreeMap;
use std::iter;

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use super::dominators::{Adjacent, Dominators, dominators};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::registry::attached::{attached_to, is_long};
use crate::registry::layout;
use crate::scan::Scan;
use crate::scan::graph;
use crate::scan::inventory::{DigestId, Repository, signatures};
use crate::scan::links::digests_in;
use crate::scan::mark::{self, RepositoryReachable};
use crate::scan::tag_links::{TagLink, tag_links};
use crate::storage::ReadStorage;
use crate::walk::walk;

/// Blobs, as their positions among all blobs, in that order.
pub(super) type Blobs = Vec<u32>;

/// What one repository needs.
pub(super) struct Needs {
    /// All of it.
    pub(super) all: Blobs,
    /// What its tags pull.
    pub(super) pulled: Blobs,
    /// What its tags reach: what they pull, and everything attached to that.
    pub(super) tagged: Blobs,
    /// Its tags, if requested, each after the tags without which it would be unreachable.
    pub(super) tags: Vec<TagNeeds>,
}

/// What one tag needs.
pub(super) struct TagNeeds {
    pub(super) name: String,
    pub(super) digest: Option<Digest>,
    /// How many tags of the repository name the same digest, including this one.
    pub(super) tags_of_image: u64,
    /// How much it pulls, in bytes; `None` if adding up takes too long.
    pub(super) pulled: Option<u64>,
    /// The nearest tag without which this one would be unreachable, as its position among the tags: before this one.
    pub(super) above: Option<usize>,
    /// What nothing else in its repository needs, but for what such tags below this one do.
    pub(super) alone: Blobs,
}

/// Finds what a repository needs and, if `with_tags`, what each of its tags needs. `sizes` are those of all blobs.
pub(super) fn needs(
    storage: &dyn ReadStorage,
    scan: &Scan,
    (repository, marked): (&Repository, &RepositoryReachable),
    sizes: &[u64],
    with_tags: bool,
) -> Result<Needs, Error> {
    let mut needing = Needing {
        storage,
        scan,
        repository,
        marked,
        targets: HashMap::default(),
        signatures: HashMap::default(),
        attached: HashMap::default(),
    };
    let kept = needing.kept_layers()?;
    let all = needing.all(&kept)?;
    let tags = tag_links(storage, &repository.name)?;
    let mut named: BTreeMap<DigestId, u64> = BTreeMap::new();
    for digest in tags.iter().filter_map(|tag| tag.digest) {
        *named.entry(scan.inventory.digests.id(&digest)).or_default() += 1;
    }
    let linked = || named.keys().copied().filter(|&id| needing.is_here(id));
    let tagged = needing.reach(linked(), true);
    let pulled = needing.blobs(&needing.reach(linked(), false));
    let mut kept_without_tags = kept;
    kept_without_tags.extend(marked.manifests.iter().copied().filter(|id| !tagged.contains(id)));
    Ok(Needs {
        all: needing.blobs(&all),
        pulled,
        tags: if with_tags { needing.tags(&tags, &named, &kept_without_tags, sizes) } else { Vec::new() },
        tagged: needing.blobs(&tagged),
    })
}

struct Needing<'a> {
    storage: &'a dyn ReadStorage,
    scan: &'a Scan,
    repository: &'a Repository,
    marked: &'a RepositoryReachable,
    /// The digests that are served in place of others.
    targets: HashMap<DigestId, DigestId>,
    signatures: HashMap<DigestId, Vec<DigestId>>,
    /// The manifests that are attached to a subject, by subject.
    attached: HashMap<DigestId, Vec<DigestId>>,
}

impl Needing<'_> {
    /// Returns whether something is a manifest that the repository has.
    fn is_here(&self, id: DigestId) -> bool {
        self.marked.manifests.binary_search(&id).is_ok()
    }

    /// Returns the layers that are needed because nothing in the repository is garbage.
    fn kept_layers(&self) -> Result<Vec<DigestId>, Error> {
        let mut kept = Vec::new();
        if self.marked.protected || self.repository.shared {
            for &algorithm in &self.repository.layer_algorithms {
                let links = digests_in(self.storage, &layout::layers(&self.repository.name), algorithm)?;
                kept.extend(links.iter().map(|(digest, _)| self.scan.inventory.digests.id(digest)));
            }
        }
        Ok(kept)
    }

    /// Returns everything that is needed. Also fills `targets`, `signatures` and `attached`.
    fn all(&mut self, kept: &[DigestId]) -> Result<HashSet<DigestId>, Error> {
        let Scan { inventory, reachable, .. } = self.scan;
        let mut all: HashSet<DigestId> = kept.iter().copied().collect();
        for &id in &self.marked.manifests {
            all.insert(id);
            self.each_reference(id, |reference| _ = all.insert(reference));
        }
        self.attached = graph::referrers(&reachable.manifests, self.marked.manifests.iter().copied());
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

    /// Returns some manifests and everything that they refer to, directly or indirectly; if `with_attached`, also
    /// everything attached to that.
    fn reach(&self, from: impl Iterator<Item = DigestId>, with_attached: bool) -> HashSet<DigestId> {
        let mut steps_left = u64::MAX;
        self.reach_within(from, with_attached, &mut steps_left).unwrap_or_default()
    }

    /// Returns the same, or `None` if it takes more steps than are left.
    fn reach_within(
        &self,
        from: impl Iterator<Item = DigestId>,
        with_attached: bool,
        steps_left: &mut u64,
    ) -> Option<HashSet<DigestId>> {
        let mut reached = HashSet::default();
        let walked = walk(&mut reached, from, |id, pending| {
            let before = pending.len();
            pending.extend(self.targets.get(&id));
            if with_attached {
                let attached = [self.attached.get(&id), self.signatures.get(&id)];
                pending.extend(attached.into_iter().flatten().flatten());
            }
            if self.is_here(id) {
                self.each_reference(id, |reference| pending.push(reference));
            }
            let steps = 1 + (pending.len() - before) as u64;
            *steps_left = steps_left.checked_sub(steps).ok_or(TooFar)?;
            Ok::<(), TooFar>(())
        });
        walked.map(|()| reached).ok()
    }

    /// Calls `visit` with everything that a manifest refers to, or seems to.
    fn each_reference(&self, manifest: DigestId, mut visit: impl FnMut(DigestId)) {
        let manifests = &self.scan.reachable.manifests;
        manifests.with(manifest, |manifest| graph::edges(manifest).for_each(|(_, id)| visit(id)));
    }

    /// Returns what each tag needs. `named` holds the digests that tags name, each with the number of those tags;
    /// `kept` is what is needed without a tag.
    fn tags(
        &self,
        tags: &[TagLink],
        named: &BTreeMap<DigestId, u64>,
        kept: &[DigestId],
        sizes: &[u64],
    ) -> Vec<TagNeeds> {
        let digests = &self.scan.inventory.digests;
        let leading = Leading::new(self, tags, kept);
        let Dominators { order, above } = leading.dominators();
        let mut found: Vec<TagNeeds> = Vec::with_capacity(tags.len());
        // For each node, the position of the nearest tag that dominates it, or of the tag that it is.
        let mut through: Vec<Option<usize>> = Vec::with_capacity(order.len());
        let mut pulled: HashMap<DigestId, Option<u64>> = HashMap::default();
        let mut steps_left = STEPS + STEPS_OF_EACH * leading.edges.len() as u64;
        for (node, above) in order.into_iter().zip(above) {
            let above = through.get(above as usize).copied().flatten();
            match leading.node(node) {
                Node::Root => through.push(None),
                Node::Digest(id) => {
                    through.push(above);
                    if let (Some(tag), Some(blob)) = (above, digests.stored_index(id)) {
                        found[tag].alone.push(blob as u32);
                    }
                }
                Node::Tag(tag) => {
                    through.push(Some(found.len()));
                    let TagLink { name, digest, .. } = &tags[tag];
                    let id = digest.map(|digest| digests.id(&digest));
                    let mut sum_up = |image| {
                        let reached = self.reach_within(iter::once(image), false, &mut steps_left)?;
                        Some(sum(&self.blobs(&reached), sizes))
                    };
                    let here = id.filter(|&id| self.is_here(id));
                    found.push(TagNeeds {
                        name: name.clone(),
                        digest: *digest,
                        tags_of_image: id.map_or(1, |id| named[&id]),
                        pulled: here.map_or(Some(0), |id| *pulled.entry(id).or_insert_with(|| sum_up(id))),
                        above,
                        alone: Blobs::new(),
                    });
                }
            }
        }
        found
    }

    /// Returns those of some digests that are blobs.
    fn blobs(&self, ids: &HashSet<DigestId>) -> Blobs {
        let digests = &self.scan.inventory.digests;
        let mut blobs: Blobs =
            ids.iter().filter_map(|&id| digests.stored_index(id)).map(|index| index as u32).collect();
        blobs.sort_unstable();
        blobs
    }
}

/// How many steps may be taken in a repository to add up what its tags pull: at least this many, and more for each
/// reference. In chains of tagged indexes, adding up would take time with the square of their length.
const STEPS: u64 = 1 << 16;
const STEPS_OF_EACH: u64 = 16;

/// The error of a walk that has used up its steps.
struct TooFar;

/// The graph of what leads to what in a repository, used to find what only one tag leads to.
///
/// Deleting a tag would free what [`without`](crate::scan::mark) finds: what is attached to an image is deleted with
/// it, unless a user has given it a tag of its own; what programs tag is deleted all the same. So nothing else leads to
/// a tag of a user, while the manifest in the name of a program's tag leads to that tag, as a `subject` does to a
/// referrer.
struct Leading {
    tags: usize,
    digests: Vec<DigestId>,
    numbers: HashMap<DigestId, u32>,
    edges: Vec<(u32, u32)>,
}

/// A node of this graph.
enum Node {
    /// What needs nothing that leads to it.
    Root,
    /// A tag, as its position among the tags.
    Tag(usize),
    Digest(DigestId),
}

impl Leading {
    const ROOT: u32 = 0;

    fn new(needing: &Needing<'_>, tags: &[TagLink], kept: &[DigestId]) -> Self {
        let mut leading =
            Self { tags: tags.len(), digests: Vec::new(), numbers: HashMap::default(), edges: Vec::new() };
        let digests = &needing.scan.inventory.digests;
        let mut of_people: HashSet<DigestId> = HashSet::default();
        let mut of_programs: HashMap<DigestId, Vec<u32>> = HashMap::default();
        let linked = needing.repository.revisions.iter().map(|&id| digests.digest(id));
        let long: Vec<Digest> = linked.filter(is_long).collect();
        for (index, tag) in tags.iter().enumerate() {
            let node = Self::tag(index);
            let id = tag.digest.map(|digest| digests.id(&digest));
            if let Some(here) = id.filter(|&id| needing.is_here(id)) {
                let image = leading.number(here);
                leading.edges.push((node, image));
            }
            let owner = attached_to(&tag.name, &long).map(|owner| digests.id(&owner));
            match id.zip(owner).filter(|(id, owner)| id != owner && needing.is_here(*owner)) {
                Some((id, owner)) => {
                    of_programs.entry(id).or_default().push(node);
                    let owner = leading.number(owner);
                    leading.edges.push((owner, node));
                }
                None => {
                    of_people.extend(id);
                    leading.edges.push((Self::ROOT, node));
                }
            }
        }
        for &id in kept {
            let kept = leading.number(id);
            leading.edges.push((Self::ROOT, kept));
        }
        for &manifest in &needing.marked.manifests {
            needing.each_reference(manifest, |reference| leading.lead(manifest, reference));
        }
        needing.targets.iter().for_each(|(&id, &target)| leading.lead(id, target));
        for (&id, signatures) in &needing.signatures {
            signatures.iter().for_each(|&signature| leading.lead(id, signature));
        }
        for (&subject, attached) in &needing.attached {
            for &attached in attached.iter().filter(|attached| !of_people.contains(attached)) {
                match of_programs.get(&attached) {
                    Some(tags) => {
                        let subject = leading.number(subject);
                        leading.edges.extend(tags.iter().map(|&tag| (subject, tag)));
                    }
                    None => leading.lead(subject, attached),
                }
            }
        }
        leading.root_circles();
        leading
    }

    fn tag(index: usize) -> u32 {
        index as u32 + 1
    }

    fn number(&mut self, id: DigestId) -> u32 {
        let next = (1 + self.tags + self.digests.len()) as u32;
        let digests = &mut self.digests;
        *self.numbers.entry(id).or_insert_with(|| {
            digests.push(id);
            next
        })
    }

    fn node(&self, number: u32) -> Node {
        match (number as usize).checked_sub(1) {
            None => Node::Root,
            Some(tag) if tag < self.tags => Node::Tag(tag),
            Some(other) => Node::Digest(self.digests[other - self.tags]),
        }
    }

    fn lead(&mut self, from: DigestId, to: DigestId) {
        let edge = (self.number(from), self.number(to));
        self.edges.push(edge);
    }

    fn nodes(&self) -> usize {
        1 + self.tags + self.digests.len()
    }

    /// Adds edges from the root to tags of programs that only lead to each other.
    fn root_circles(&mut self) {
        let successors = Adjacent::new(self.nodes(), self.edges.iter().copied());
        let mut is_reached = vec![false; self.nodes()];
        for start in (0..=self.tags).map(|tag| tag as u32) {
            if start != Self::ROOT && !is_reached[start as usize] {
                self.edges.push((Self::ROOT, start));
            }
            let mut pending = vec![start];
            while let Some(node) = pending.pop() {
                if !std::mem::replace(&mut is_reached[node as usize], true) {
                    pending.extend(successors.of(node));
                }
            }
        }
    }

    fn dominators(&self) -> Dominators {
        dominators(self.nodes(), &self.edges)
    }
}

/// Returns the total length of some blobs.
pub(super) fn sum(blobs: &[u32], sizes: &[u64]) -> u64 {
    blobs.iter().map(|&blob| sizes[blob as usize]).sum()
}
