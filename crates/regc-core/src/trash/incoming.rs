//! Where new files are written before they are put in place.

use crate::error::Error;
use crate::registry::layout;
use crate::storage::TrashStorage;

/// Where a replacement is written until it is whole.
pub(crate) const INCOMING: &str = ".regc/incoming";

/// Removes what a killed repair left half written.
pub(crate) fn forget_incoming(storage: &dyn TrashStorage) -> Result<(), Error> {
    // A user who may write to the storage root must not redirect regc, which may be root.
    for own in [layout::OWN, INCOMING] {
        if storage.stat(own)?.is_some_and(|found| found.symlink) {
            return Err(Error::OwnSymlink(own.to_owned()));
        }
    }
    storage.remove_all(INCOMING)
}
