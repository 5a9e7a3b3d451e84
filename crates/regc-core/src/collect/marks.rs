//! The marks that a plan is based on, in the order in which the registry's own command reports them.

use std::collections::HashSet;

use crate::collect::plan::Plan;
use crate::digest::Digest;
use crate::scan::Scan;
use crate::scan::inventory::DigestId;
use crate::scan::mark::Manifest;

/// One step of marking.
///
/// Source: `registry/storage/garbagecollect.go` of distribution 3.1. There, the manifests to be deleted come in the
/// order of a map; here, in that of their digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark<'p> {
    /// The marking of a repository begins.
    Repository(&'p str),
    /// A manifest of a repository is a root.
    Root(&'p str, Digest),
    /// Content of a repository is in use. It is reported only for the repository that marks it first.
    Blob(&'p str, Digest),
    /// A manifest of a repository is not in use. The tags are those whose directories name it to the registry.
    Unused(&'p str, Digest, &'p [String]),
}

impl Plan {
    /// Calls `visit` with each step of marking: everything in use, repository by repository, then the manifests that
    /// are not in use.
    pub fn each_mark(&self, visit: &mut dyn FnMut(Mark<'_>)) {
        let Scan { inventory, reachable, .. } = self.scan();
        let digest = |id| inventory.digests.digest(id);
        let mut marked = HashSet::new();
        for (repository, reached) in inventory.repositories.iter().zip(&reachable.repositories) {
            let name = &*repository.name;
            visit(Mark::Repository(name));
            let mut roots = reached.roots.to_vec();
            roots.sort_unstable_by_key(|&id| digest(id));
            for root in roots {
                visit(Mark::Root(name, digest(root)));
                marked.insert(root);
                // The registry recurses into a child before it goes on: a stack, where a walk would visit the nearest first.
                let mut pending = self.references_last_first(root);
                while let Some(id) = pending.pop() {
                    if marked.insert(id) {
                        visit(Mark::Blob(name, digest(id)));
                        if reached.manifests.binary_search(&id).is_ok() {
                            pending.extend(self.references_last_first(id));
                        }
                    }
                }
            }
        }
        for (repository, garbage) in inventory.repositories.iter().zip(&reachable.garbage) {
            for revision in &garbage.revisions {
                visit(Mark::Unused(&repository.name, digest(revision.id), &garbage.tags));
            }
        }
    }

    fn references_last_first(&self, manifest: DigestId) -> Vec<DigestId> {
        let references = self.scan().reachable.manifests.with(manifest, |manifest| match manifest {
            Manifest::Parsed { references, .. } => references.iter().rev().map(|reference| reference.id()).collect(),
            _ => Vec::new(),
        });
        references.unwrap_or_default()
    }
}
