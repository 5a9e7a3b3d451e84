//! Repositories into which the layer links of others lead.
//!
//! A layer link whose directory is a symbolic link is found only when its repository is marked. What it leads to may
//! be garbage in its own repository while clients pull it from the other one.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::registry::layout;
use crate::scan::inventory::Inventory;
use crate::storage::{ReadStorage, real_directory};

/// Returns the positions in the inventory of the repositories that some symbolic links lead into.
pub(super) fn repositories<'a>(
    storage: &dyn ReadStorage,
    inventory: &Inventory,
    symlinks: impl Iterator<Item = &'a String>,
) -> Result<BTreeSet<usize>, Error> {
    let mut directories = BTreeSet::new();
    for link in symlinks {
        let real = real_directory(storage, link)?;
        // The rest is a layer link's: `/_layers/<algorithm>/<hex>`, or it is no part of a repository.
        if let Some((repository, _)) = real.rsplit_once(&format!("/{}/", layout::LAYERS)) {
            directories.insert(repository.to_owned());
        }
    }
    let mut found = BTreeSet::new();
    if directories.is_empty() {
        return Ok(found);
    }
    for (index, repository) in inventory.repositories.iter().enumerate().filter(|(_, found)| !found.shared) {
        if directories.contains(&real_directory(storage, &layout::repository(&repository.name))?) {
            found.insert(index);
        }
    }
    Ok(found)
}
