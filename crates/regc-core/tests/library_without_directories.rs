//! The library on storage without directories, like a bucket: the same tests that `library` runs in memory with
//! directories.

#[path = "library/arrivals.rs"]
mod arrivals;
#[path = "library/damage.rs"]
mod damage;
#[path = "library/deletion.rs"]
mod deletion;
#[path = "library/faults.rs"]
mod faults;
#[path = "library/guards.rs"]
mod guards;
#[path = "library/hostile.rs"]
mod hostile;
#[path = "library/in_memory.rs"]
mod in_memory;
#[path = "library/leftovers.rs"]
mod leftovers;
#[path = "library/problems.rs"]
mod problems;
#[path = "library/properties.rs"]
mod properties;
#[path = "library/referrers.rs"]
mod referrers;
#[path = "library/remnants.rs"]
mod remnants;
#[path = "library/removal.rs"]
mod removal;
#[path = "library/repair.rs"]
mod repair;
#[path = "library/semantics.rs"]
mod semantics;
#[path = "library/shared.rs"]
mod shared;
#[path = "library/tenants.rs"]
mod tenants;
#[path = "library/trash.rs"]
mod trash;
#[path = "library/unserved.rs"]
mod unserved;

use regc_core::stages::scan::Options;

use self::shared::*;

/// Whether storage in memory has directories, as a file system has.
const DIRECTORIES: bool = false;
