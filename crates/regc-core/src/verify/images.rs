//! Which images something wrong concerns.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use super::{Defect, Kind};
use crate::catalog;
use crate::digest::Digest;
use crate::error::Error;
use crate::inventory::{DigestId, Repository};
use crate::layout;
use crate::mark::{Manifest, RepositoryReachable};
use crate::storage::ReadStorage;
use crate::survey::Survey;

/// The images that need a digest, by the repository.
type Images = BTreeMap<(String, DigestId), Vec<String>>;

/// Names the images that defects concern, where that is not done.
pub(super) fn name(storage: &dyn ReadStorage, survey: &Survey, defects: &mut [Defect]) -> Result<(), Error> {
    let Survey { inventory, reachable, .. } = survey;
    let (mut everywhere, mut wanted): (HashSet<DigestId>, BTreeMap<&str, HashSet<DigestId>>) = Default::default();
    for defect in defects.iter().filter(|defect| are_concerned(defect.kind)) {
        let Some(digest) = &defect.digest else { continue };
        let id = inventory.digests.id(digest);
        match &defect.repository {
            Some(repository) => drop(wanted.entry(repository).or_default().insert(id)),
            None => drop(everywhere.insert(id)),
        }
    }
    let repositories: Vec<_> = inventory.repositories.iter().zip(&reachable.repositories).collect();
    let found: Vec<Images> = repositories
        .into_par_iter()
        .map(|(repository, marked)| {
            let mut ids = everywhere.clone();
            ids.extend(wanted.get(&*repository.name).into_iter().flatten());
            if ids.is_empty() { Ok(Images::new()) } else { images_of(storage, survey, repository, marked, &ids) }
        })
        .collect::<Result<_, Error>>()?;
    let images: Images = found.into_iter().flatten().collect();
    let mut by_digest: BTreeMap<DigestId, BTreeSet<&String>> = BTreeMap::new();
    for ((_, id), names) in &images {
        by_digest.entry(*id).or_default().extend(names);
    }
    for defect in defects.iter_mut().filter(|defect| are_concerned(defect.kind)) {
        let layout::Subject { repository, tag, .. } = layout::subject(&defect.path);
        if let (Some(repository), Some(tag)) = (repository, tag) {
            // Other tags that name the same are not concerned.
            defect.images = vec![format!("{repository}:{tag}")];
            continue;
        }
        let mut names: BTreeSet<String> = BTreeSet::new();
        if let Some(digest) = &defect.digest {
            let id = inventory.digests.id(digest);
            match &defect.repository {
                Some(repository) => {
                    names.extend(images.get(&(repository.clone(), id)).into_iter().flatten().cloned());
                }
                None => names.extend(by_digest.get(&id).into_iter().flatten().map(|name| (*name).clone())),
            }
        }
        defect.images = names.into_iter().collect();
    }
    Ok(())
}

/// Whether images are. What is only left over concerns nobody.
pub(super) fn are_concerned(kind: Kind) -> bool {
    !matches!(kind, Kind::ForeignName | Kind::DanglingTagIndexEntry | Kind::UnreferencedBlob | Kind::StaleUpload)
}

/// The images of one repository that need each of some digests: tags, or where none does, manifests.
fn images_of(
    storage: &dyn ReadStorage,
    survey: &Survey,
    repository: &Repository,
    marked: &RepositoryReachable,
    ids: &HashSet<DigestId>,
) -> Result<Images, Error> {
    let digests = &survey.inventory.digests;
    let mut reached = Reached { survey, repository, ids, known: HashMap::default() };
    let mut images: BTreeMap<DigestId, Vec<String>> = BTreeMap::new();
    for tag in catalog::tags(storage, &repository.name)? {
        let Some(digest) = tag.digest else { continue };
        for id in reached.from(digests.id(&digest)) {
            images.entry(id).or_default().push(format!("{}:{}", repository.name, tag.name));
        }
    }
    let mut untagged: BTreeMap<DigestId, BTreeSet<Digest>> = BTreeMap::new();
    for &root in &marked.roots {
        for id in reached.from(root).into_iter().filter(|id| !images.contains_key(id)) {
            untagged.entry(id).or_default().insert(digests.digest(root));
        }
    }
    for (id, roots) in untagged {
        images.insert(id, roots.iter().map(|root| format!("{}@{root}", repository.name)).collect());
    }
    Ok(images.into_iter().map(|(id, names)| ((repository.name.clone(), id), names)).collect())
}

/// Which of some digests manifests of a repository reach.
struct Reached<'a> {
    survey: &'a Survey,
    repository: &'a Repository,
    ids: &'a HashSet<DigestId>,
    known: HashMap<DigestId, Vec<DigestId>>,
}

impl Reached<'_> {
    fn from(&mut self, manifest: DigestId) -> Vec<DigestId> {
        if let Some(known) = self.known.get(&manifest) {
            return known.clone();
        }
        let (mut seen, mut pending) = (HashSet::default(), vec![manifest]);
        while let Some(id) = pending.pop() {
            if seen.insert(id) && (id == manifest || self.repository.revisions.binary_search(&id).is_ok()) {
                self.survey.reachable.manifests.with(id, |found| match found {
                    Manifest::Parsed { references, .. } => pending.extend(references.iter().map(|r| r.id())),
                    Manifest::Missing => {}
                    Manifest::Damaged(damaged) => seen.extend(&damaged.mentioned),
                });
            }
        }
        seen.retain(|id| self.ids.contains(id));
        let mut reached: Vec<DigestId> = seen.into_iter().collect();
        reached.sort_unstable();
        self.known.insert(manifest, reached.clone());
        reached
    }
}
