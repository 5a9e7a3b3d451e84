//! Where what is put in place is written first.

use crate::error::Error;
use crate::registry::layout;
use crate::storage::TrashStorage;
use crate::storage::lock::Lock;

/// Where that is written which is to take the place of something, until it is whole.
pub(crate) const INCOMING: &str = ".regc/incoming";

/// Removes what a repair that was killed has left half written.
pub fn forget_incoming(storage: &dyn TrashStorage, _: &Lock) -> Result<(), Error> {
    // A user who may write to the storage root must not lead regc, which may be root, to another place.
    for own in [layout::OWN, INCOMING] {
        if storage.stat(own)?.is_some_and(|found| found.symlink) {
            return Err(Error::OwnSymlink(own.to_owned()));
        }
    }
    storage.remove_all(INCOMING)
}
