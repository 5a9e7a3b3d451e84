//! The library on whole registries: on disk, and in memory with directories.

mod approved;
mod arrivals;
mod beneath;
mod calls;
mod content;
mod damage;
mod deletion;
mod faults;
mod guards;
mod hostile;
mod in_memory;
mod known;
mod layers;
mod leftovers;
mod nonconforming;
mod overview;
mod problems;
mod properties;
mod reclaimable;
mod referrers;
mod remnants;
mod removal;
mod repair;
mod semantics;
mod sessions;
mod shared;
mod storage;
mod store;
mod symlinks;
mod tenants;
mod trash;
mod undelete;
mod unserved;

use regc_core::stages::scan::Options;

use self::shared::*;

/// Whether storage in memory has directories, as a file system has.
const DIRECTORIES: bool = true;
