//! Which revisions have signatures beside them, as registry 2.0 to 2.3 wrote them for manifests of schema 1.

use rayon::prelude::*;

use super::{Manifest, Manifests};
use crate::digest::Digest;
use crate::error::Error;
use crate::registry::layout;
use crate::registry::manifest::Kind;
use crate::scan::inventory::{DigestId, Digests, Inventory, Repository, share, signatures};
use crate::storage::ReadStorage;

/// Adds the revisions with signatures to the repositories of `inventory`. Only those are asked whose manifest is of schema 1,
/// or is not understood.
pub(super) fn find(storage: &dyn ReadStorage, inventory: &mut Inventory, manifests: &Manifests) -> Result<(), Error> {
    let Inventory { digests, repositories, .. } = inventory;
    let symlinks: Vec<Vec<String>> = repositories
        .par_iter_mut()
        .map(|repository| find_in(storage, digests, repository, manifests))
        .collect::<Result<_, Error>>()?;
    share(storage, repositories, &symlinks.concat())
}

/// Returns the symbolic links among the directories and links of signatures.
fn find_in(
    storage: &dyn ReadStorage,
    digests: &Digests,
    repository: &mut Repository,
    manifests: &Manifests,
) -> Result<Vec<String>, Error> {
    let may_be_signed = |id: &DigestId| {
        let is_parsed =
            |manifest: Manifest<'_>| matches!(manifest, Manifest::Parsed { kind, .. } if kind != Kind::Schema1);
        !manifests.with(*id, is_parsed).unwrap_or(false)
    };
    let asked: Vec<DigestId> = repository.revisions.iter().copied().filter(may_be_signed).collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let revisions: Vec<Digest> = asked.iter().map(|&id| digests.digest(id)).collect();
    let keys: Vec<String> = revisions.iter().map(layout::signatures_below).collect();
    let (mut signed, mut symlinks) = (Vec::new(), Vec::new());
    let found = storage.stat_each(&layout::revisions(&repository.name), &keys)?;
    for ((id, revision), found) in asked.into_iter().zip(&revisions).zip(found) {
        if found.is_some() {
            symlinks.extend(signatures(storage, &repository.name, revision)?.symlinks);
            signed.push(id);
        }
    }
    repository.signed = signed.into();
    repository.shared |= !symlinks.is_empty();
    Ok(symlinks)
}
