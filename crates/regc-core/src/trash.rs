//! What was moved out of the registry, and can be restored.
//!
//! Each run that moves objects has a directory of its own below [`layout::TRASH`]. In it, every object keeps the key
//! that it had in the registry, and a journal records what is there and why. The journal is written durably before the
//! first object is moved, so it may list objects that were never moved.

pub(crate) mod empty;
mod incoming;
pub(crate) mod journal;
pub(crate) mod listing;
pub(crate) mod restore;
mod restoring;
mod selection;

pub use self::empty::{Emptied, Runs};
pub(crate) use self::empty::{empty, forget, forget_if_empty};
pub(crate) use self::incoming::{INCOMING, forget_incoming};
pub use self::journal::{Entry, Header, Kind};
pub(crate) use self::journal::{REPAIR, write_entries};
pub use self::listing::TrashedRun;
pub(crate) use self::listing::{
    Subject, contents, has_live_runs, is_of_repair, list, moved_aside, objects, objects_until, runs, subjects,
};
pub use self::restore::Restored;
pub(crate) use self::restore::{Trash, restore};
pub(crate) use self::restoring::{Restoring, restoring};
pub use self::selection::Selection;
use crate::error::Error;
pub use crate::error::RunSize;
use crate::registry::layout;
use crate::storage::ReadStorage;

/// Returns the directory of a run.
pub fn directory(run: &str) -> String {
    format!("{}/{run}", layout::TRASH)
}

/// Fails if regc's own directories are symbolic links: a user who may write to the storage root must not redirect
/// regc, which may be root.
fn refuse_symlinks(storage: &dyn ReadStorage) -> Result<(), Error> {
    for own in [layout::OWN, layout::TRASH] {
        if storage.stat(own)?.is_some_and(|metadata| metadata.symlink) {
            return Err(Error::OwnSymlink(own.to_owned()));
        }
    }
    Ok(())
}

/// Whether this may be a run's name. It becomes a part of paths.
fn is_run(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a key is that of a blob's content, and not of a file beside it.
fn is_blob(key: &str) -> bool {
    is_below_blobs(key) && key.rsplit('/').next() == Some(layout::DATA)
}

fn is_below_blobs(key: &str) -> bool {
    key.strip_prefix(layout::BLOBS).is_some_and(|below| below.starts_with('/'))
}
