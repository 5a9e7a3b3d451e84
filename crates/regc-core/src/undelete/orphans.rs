//! Manifests that no repository records, and the repositories that must have had them.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use rayon::prelude::*;

use super::history::History;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::monitor::Monitor;
use crate::registry::layout;
use crate::registry::manifest::{Kind, References, Role};
use crate::storage::{ReadStorage, directories};

/// The size of the largest manifest that a registry accepts, in bytes.
pub(super) const MAX_BYTES: u64 = 4 << 20;

/// A manifest that nothing refers to.
pub(super) struct Orphan {
    digest: Digest,
    is_index: bool,
    /// What it refers to, each once, except foreign layers.
    needs: Vec<Digest>,
}

/// The numbers of the repositories that have something, ascending.
type Owners = HashMap<Digest, Vec<usize>>;

/// Reads a blob if it is a manifest. Of any other blob, no more than its beginning is read.
pub(super) fn orphan(storage: &dyn ReadStorage, digest: Digest) -> Result<Option<Orphan>, Error> {
    let mut content = Vec::new();
    storage.read_in_parts(&layout::blob_data(&digest), &mut |part| {
        content.extend_from_slice(part);
        let is_candidate = content.first() == Some(&b'{') && content.len() as u64 <= MAX_BYTES;
        if is_candidate { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let is_candidate = content.first() == Some(&b'{') && content.len() as u64 <= MAX_BYTES;
    let manifest = is_candidate.then(|| References::of_blob(&digest, &content).ok()).flatten();
    Ok(manifest.map(|manifest| {
        let is_needed = |role| role != Role::ForeignLayer;
        let references = manifest.references.iter().filter(|reference| is_needed(reference.role));
        let mut needs: Vec<Digest> = references.map(|reference| reference.digest).collect();
        needs.sort_unstable();
        needs.dedup();
        Orphan { digest, is_index: manifest.kind == Kind::Index, needs }
    }))
}

/// Records in each repository's history the orphans that it must have had: it links everything that they refer to.
///
/// `linked` are the manifests for which a repository has a directory, by its number. An index counts if the repository
/// has or had all manifests in it.
pub(super) fn infer(
    storage: &dyn ReadStorage,
    histories: &mut [History<'_>],
    linked: &(dyn Fn(usize) -> Vec<Digest> + Sync),
    orphans: &[Orphan],
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    if orphans.is_empty() {
        return Ok(());
    }
    let of_orphan = |orphan: &Orphan| orphan.needs.iter().copied().chain([orphan.digest]).collect::<Vec<_>>();
    let wanted: HashSet<Digest> = orphans.iter().flat_map(of_orphan).collect();
    let layers: Vec<Vec<Digest>> = histories
        .par_iter()
        .map(|history| {
            monitor.check()?;
            layer_links(storage, &history.repository, &wanted)
        })
        .collect::<Result<_, _>>()?;
    let mut owners = Owners::new();
    for (number, layers) in layers.into_iter().enumerate() {
        add(&mut owners, number, layers);
    }
    let note = |owners: &Owners, histories: &mut [History<'_>], of_indexes: bool| {
        // What some repository has as a layer is not unknown.
        let is_unknown = |orphan: &&Orphan| !owners.contains_key(&orphan.digest);
        for orphan in orphans.iter().filter(|orphan| orphan.is_index == of_indexes).filter(is_unknown) {
            for number in owners_of_all(owners, &orphan.needs) {
                histories[number].inferred.insert(orphan.digest);
            }
        }
    };
    note(&owners, histories, false);
    for (number, history) in histories.iter().enumerate() {
        let manifests = linked(number).into_iter().chain(history.remembered.keys().copied());
        let manifests = manifests.chain(history.inferred.iter().copied());
        add(&mut owners, number, manifests.filter(|digest| wanted.contains(digest)).collect());
    }
    note(&owners, histories, true);
    Ok(())
}

fn add(owners: &mut Owners, number: usize, digests: Vec<Digest>) {
    for digest in digests {
        let owners = owners.entry(digest).or_default();
        if let Err(at) = owners.binary_search(&number) {
            owners.insert(at, number);
        }
    }
}

/// Returns the repositories that have all of `needs`. A manifest that refers to nothing has no owner.
fn owners_of_all(owners: &Owners, needs: &[Digest]) -> Vec<usize> {
    let lists: Option<Vec<&Vec<usize>>> = needs.iter().map(|digest| owners.get(digest)).collect();
    let lists = lists.unwrap_or_default();
    let Some(shortest) = lists.iter().min_by_key(|list| list.len()) else { return Vec::new() };
    let in_all = |number: &&usize| lists.iter().all(|list| list.binary_search(number).is_ok());
    shortest.iter().filter(in_all).copied().collect()
}

/// Returns the layer links of a repository to what is wanted.
fn layer_links(storage: &dyn ReadStorage, repository: &str, wanted: &HashSet<Digest>) -> Result<Vec<Digest>, Error> {
    let all = layout::layers(repository);
    let mut linked = Vec::new();
    for (algorithm, _) in directories(storage, &all, Algorithm::from_name, || ())? {
        let is_wanted = |hex: &str| Digest::from_hex(algorithm, hex).filter(|digest| wanted.contains(digest));
        let found = directories(storage, &format!("{all}/{}", algorithm.name()), is_wanted, || ())?;
        let keys: Vec<String> = found.iter().map(|(digest, _)| layout::link_below(digest)).collect();
        let links = storage.stat_each(&all, &keys)?;
        linked.extend(found.into_iter().zip(links).filter_map(|((digest, _), link)| link.map(|_| digest)));
    }
    Ok(linked)
}
