//! The links by which the registry of the ORAS project finds what is attached to a manifest.

use super::repository::Marking;
use crate::digest::Digest;
use crate::error::Error;
use crate::finding::Finding;
use crate::registry::layout::{self, Location};
use crate::scan::inventory::DigestId;
use crate::storage::below;

impl Marking<'_> {
    /// Lists the links to referrers for which `is_gone` returns true, sorted. Symbolic links are not followed.
    pub(super) fn referrer_links(&self, is_gone: impl Fn(DigestId) -> bool) -> Result<Vec<String>, Error> {
        let is_gone = |key: &String| referrer_of(key).is_some_and(|digest| is_gone(self.digests.id(&digest)));
        Ok(self.below_referrers()?.into_iter().filter(is_gone).collect())
    }

    /// Finds something among these links that the registry does not put there.
    pub(super) fn foreign_referrer(&self) -> Result<Option<Finding>, Error> {
        let foreign = self.below_referrers()?.into_iter().find(|key| referrer_of(key).is_none());
        Ok(foreign.map(|key| self.foreign_file(key)))
    }

    /// Lists everything except directories in the repository's directories of links to referrers, sorted; such a
    /// directory itself if it is a symbolic link.
    fn below_referrers(&self) -> Result<Vec<String>, Error> {
        let mut keys = Vec::new();
        if !self.repository.has_referrers {
            return Ok(keys);
        }
        for directory in layout::referrers(self.name()) {
            if self.storage.stat(&directory)?.is_some_and(|found| found.symlink) {
                keys.push(directory);
            } else {
                let files = below(self.storage, &directory)?.files.into_iter();
                keys.extend(files.map(|file| format!("{directory}/{file}")));
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }
}

fn referrer_of(key: &str) -> Option<Digest> {
    match Location::parse(key)? {
        Location::ReferrerLink { referrer, .. } => Some(referrer),
        _ => None,
    }
}
