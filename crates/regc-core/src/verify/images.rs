//! Which images a defect affects.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use super::{Defect, Kind};
use crate::digest::Digest;
use crate::error::Error;
use crate::registry::layout;
use crate::scan::Scan;
use crate::scan::inventory::{DigestId, Repository};
use crate::scan::mark::Manifest;
use crate::scan::tag_links::tag_links;
use crate::storage::ReadStorage;
use crate::walk::walk;

/// The images that need a digest, by repository.
type Images = BTreeMap<(String, DigestId), Concerned>;

/// The images that a defect affects.
#[derive(Default)]
struct Concerned {
    names: BTreeSet<String>,
    /// Whether there may be others.
    has_more: bool,
}

/// Names the images that defects affect.
pub(super) fn name(storage: &dyn ReadStorage, scan: &Scan, defects: &mut [Defect]) -> Result<(), Error> {
    let digests = &scan.inventory.digests;
    let (mut everywhere, mut wanted): (HashSet<DigestId>, BTreeMap<&str, HashSet<DigestId>>) = Default::default();
    for defect in defects.iter().filter(|defect| are_concerned(defect.kind)) {
        let Some(digest) = &defect.digest else { continue };
        let id = digests.id(digest);
        match &defect.repository {
            Some(repository) => drop(wanted.entry(repository).or_default().insert(id)),
            None => drop(everywhere.insert(id)),
        }
    }
    let none = HashSet::default();
    let found: Vec<Images> = scan
        .inventory
        .repositories
        .par_iter()
        .map(|repository| {
            let here = wanted.get(&*repository.name).unwrap_or(&none);
            match here.is_empty() && everywhere.is_empty() {
                true => Ok(Images::new()),
                false => images_of(storage, scan, repository, &|id| here.contains(&id) || everywhere.contains(&id)),
            }
        })
        .collect::<Result<_, Error>>()?;
    let images: Images = found.into_iter().flatten().collect();
    let mut by_digest: BTreeMap<DigestId, Vec<&Concerned>> = BTreeMap::new();
    for ((_, id), concerned) in &images {
        by_digest.entry(*id).or_default().push(concerned);
    }
    for defect in defects.iter_mut().filter(|defect| are_concerned(defect.kind)) {
        let layout::Subject { repository, tag, .. } = layout::subject(&defect.path);
        if let (Some(repository), Some(tag)) = (repository, tag) {
            // Other tags that name the same digest are not affected.
            defect.images = vec![format!("{repository}:{tag}")];
            continue;
        }
        let Some(id) = defect.digest.map(|digest| digests.id(&digest)) else { continue };
        let concerned: Vec<&Concerned> = match &defect.repository {
            Some(repository) => images.get(&(repository.clone(), id)).into_iter().collect(),
            None => by_digest.get(&id).cloned().unwrap_or_default(),
        };
        let mut names: Vec<String> = concerned.iter().flat_map(|concerned| &concerned.names).cloned().collect();
        names.sort_unstable();
        defect.images = names;
        defect.has_more_images = concerned.iter().any(|concerned| concerned.has_more);
    }
    Ok(())
}

/// Returns whether a kind of defect affects images. Leftovers affect none.
pub(super) fn are_concerned(kind: Kind) -> bool {
    !matches!(kind, Kind::ForeignName | Kind::DanglingTagIndexEntry | Kind::UnreferencedBlob | Kind::StaleUpload)
}

/// Returns the images of one repository that need each of the wanted digests.
fn images_of(
    storage: &dyn ReadStorage,
    scan: &Scan,
    repository: &Repository,
    is_wanted: &dyn Fn(DigestId) -> bool,
) -> Result<Images, Error> {
    let mut above = Above::new(storage, scan, repository, is_wanted)?;
    // What the steps are spent on must not depend on the ids of digests.
    let mut wanted: Vec<(Digest, DigestId)> =
        above.wanted.iter().map(|&id| (scan.inventory.digests.digest(id), id)).collect();
    wanted.sort_unstable();
    Ok(wanted.into_iter().map(|(_, id)| ((repository.name.clone(), id), above.images(id))).collect())
}

/// How many steps may be taken in a repository from defects to the images that they affect: at least this many, and
/// more for each reference and tag. If thousands of indexes contain each other and each has a defect, naming all
/// images of all of them would take time and memory with the square of their number.
const STEPS: u64 = 1 << 16;
const STEPS_OF_EACH: u64 = 8;
/// How many steps are taken for each digest when those are spent.
const STEPS_AT_LEAST: u64 = 16;

/// The error of a walk that has used up its steps.
struct TooFar;

/// What refers to the digests of a repository.
struct Above<'a> {
    scan: &'a Scan,
    repository: &'a Repository,
    /// The wanted digests that something in the repository names.
    wanted: HashSet<DigestId>,
    /// The tags that name a digest.
    tags: HashMap<DigestId, Vec<String>>,
    /// The manifests that refer to a digest.
    manifests: HashMap<DigestId, Vec<DigestId>>,
    /// The damaged manifests whose text mentions a digest. It is unknown whether they refer to it.
    damaged: HashMap<DigestId, Vec<DigestId>>,
    steps_left: u64,
}

impl<'a> Above<'a> {
    fn new(
        storage: &dyn ReadStorage,
        scan: &'a Scan,
        repository: &'a Repository,
        is_wanted: &dyn Fn(DigestId) -> bool,
    ) -> Result<Self, Error> {
        let mut tags: HashMap<DigestId, Vec<String>> = HashMap::default();
        for tag in tag_links(storage, &repository.name)? {
            if let Some(digest) = tag.digest {
                tags.entry(scan.inventory.digests.id(&digest)).or_default().push(tag.name);
            }
        }
        let revisions = &repository.revisions;
        let mut nodes: Vec<DigestId> = revisions.iter().chain(tags.keys()).copied().collect();
        nodes.sort_unstable();
        nodes.dedup();
        let wanted = nodes.iter().copied().filter(|&id| is_wanted(id)).collect();
        let steps_left = STEPS + STEPS_OF_EACH * nodes.len() as u64;
        let (manifests, damaged) = (HashMap::default(), HashMap::default());
        let mut above = Self { scan, repository, wanted, tags, manifests, damaged, steps_left };
        for &manifest in &nodes {
            scan.reachable.manifests.with(manifest, |found| match found {
                Manifest::Parsed { references, .. } => {
                    above.steps_left += STEPS_OF_EACH * references.len() as u64;
                    for id in references.iter().map(|reference| reference.id()) {
                        if is_wanted(id) {
                            above.wanted.insert(id);
                        }
                        if is_wanted(id) || nodes.binary_search(&id).is_ok() {
                            above.manifests.entry(id).or_default().push(manifest);
                        }
                    }
                }
                Manifest::Missing => {}
                Manifest::Damaged(damaged) => {
                    for &id in damaged.mentioned.iter().filter(|&&id| is_wanted(id)) {
                        above.wanted.insert(id);
                        above.damaged.entry(id).or_default().push(manifest);
                    }
                }
            });
        }
        Ok(above)
    }

    /// Returns the images that need a digest: tags, or manifests if no tag does. The nearest come first if not all
    /// can be named.
    fn images(&mut self, id: DigestId) -> Concerned {
        let allowed = self.steps_left.max(STEPS_AT_LEAST);
        let mut steps = 0;
        let (mut tags, mut manifests) = (BTreeSet::new(), BTreeSet::new());
        let walked = walk(&mut HashSet::default(), [id], |next, pending| {
            if steps >= allowed {
                return Err(TooFar);
            }
            steps += 1;
            let is_linked = self.repository.revisions.binary_search(&next).is_ok();
            if is_linked {
                manifests.insert(next);
            }
            for tag in self.tags.get(&next).into_iter().flatten() {
                steps += 1;
                tags.insert(format!("{}:{tag}", self.repository.name));
            }
            let damaged = self.damaged.get(&next).filter(|_| next == id);
            let above = self.manifests.get(&next).filter(|_| is_linked || next == id);
            let before = pending.len();
            pending.extend([above, damaged].into_iter().flatten().flatten());
            steps += (pending.len() - before) as u64;
            Ok(())
        });
        self.steps_left = self.steps_left.saturating_sub(steps);
        let untagged = |id: DigestId| format!("{}@{}", self.repository.name, self.scan.inventory.digests.digest(id));
        let names = if tags.is_empty() { manifests.into_iter().map(untagged).collect() } else { tags };
        Concerned { names, has_more: walked.is_err() }
    }
}
