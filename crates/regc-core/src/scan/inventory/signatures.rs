//! The signatures of a revision, as registry 2.0 to 2.3 wrote them: `signatures/<algorithm>/<hex>/link`.

use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::registry::layout;
use crate::scan::links::digests_in;
use crate::storage::{EntryKind, ReadStorage, directories};

/// The contents of the directory of a revision's signatures.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    /// The signatures that are linked.
    pub(crate) digests: Vec<Digest>,
    /// The symbolic links among the directories and links.
    pub(crate) symlinks: Vec<String>,
}

/// Lists the signatures of a revision. Symbolic links are followed; the depth is fixed, so none leads in a circle.
pub(crate) fn signatures(storage: &dyn ReadStorage, repository: &str, revision: &Digest) -> Result<Signatures, Error> {
    let mut found = Signatures::default();
    let top = layout::signatures(repository, revision);
    found.symlinks.extend(storage.stat(&top)?.filter(|top| top.symlink).map(|_| top.clone()));
    for (algorithm, symlink) in directories(storage, &top, Algorithm::from_name, || ())? {
        let directory = format!("{top}/{}", algorithm.name());
        found.symlinks.extend(symlink.then(|| directory.clone()));
        for (digest, symlink) in digests_in(storage, &top, algorithm)? {
            let link = layout::signature_link(repository, revision, &digest);
            found.symlinks.extend(symlink.then(|| format!("{directory}/{}", digest.hex())));
            match storage.stat(&link)? {
                Some(found) if found.kind == EntryKind::BrokenSymlink => return Err(Error::BrokenSymlink(link)),
                Some(link_found) => {
                    found.symlinks.extend(link_found.symlink.then_some(link));
                    found.digests.push(digest);
                }
                None => {}
            }
        }
    }
    Ok(found)
}
