//! The exact lines that `registry garbage-collect` of distribution 3.1 prints, for the scripts that read them.
//!
//! Source: `registry/storage/garbagecollect.go`. There, what is eligible for deletion is in the order of a map; here,
//! in that of the digests.

use std::collections::HashSet;
use std::io;

use regc_core::Item;
use regc_core::stages::scan::inventory::{DigestId, Repository};
use regc_core::stages::scan::mark::{Manifest, RepositoryReachable};

use super::{Output, Printer, Run, printable};

pub struct Registry {
    output: Output,
    quiet: bool,
}

impl Registry {
    pub fn new(quiet: bool) -> Self {
        Self { output: Output::new(), quiet }
    }

    /// Prints what is marked in a repository. A digest is printed as a blob only the first time.
    fn marks(
        &mut self,
        run: &Run<'_>,
        repository: &Repository,
        reachable: &RepositoryReachable,
        marked: &mut HashSet<DigestId>,
    ) {
        let digests = &run.plan.scan().inventory.digests;
        let name = printable(&repository.name);
        self.output.line(format_args!("{name}"));
        let mut roots = reachable.roots.to_vec();
        roots.sort_unstable_by_key(|&id| digests.digest(id));
        for root in roots {
            self.output.line(format_args!("{name}: marking manifest {} ", digests.digest(root)));
            marked.insert(root);
            let mut pending = references(run, root);
            while let Some(id) = pending.pop() {
                if !marked.insert(id) {
                    continue;
                }
                self.output.line(format_args!("{name}: marking blob {}", digests.digest(id)));
                if reachable.manifests.binary_search(&id).is_ok() {
                    pending.extend(references(run, id));
                }
            }
        }
    }
}

/// Returns what a manifest refers to, last first.
fn references(run: &Run<'_>, id: DigestId) -> Vec<DigestId> {
    let references = run.plan.scan().reachable.manifests.with(id, |manifest| match manifest {
        Manifest::Parsed { references, .. } => references.iter().rev().map(|reference| reference.id()).collect(),
        _ => Vec::new(),
    });
    references.unwrap_or_default()
}

impl Printer for Registry {
    fn decided(&mut self, run: &Run<'_>) {
        if self.quiet {
            return;
        }
        let scan = run.plan.scan();
        let mut marked = HashSet::new();
        for (repository, reachable) in scan.inventory.repositories.iter().zip(&scan.reachable.repositories) {
            self.marks(run, repository, reachable, &mut marked);
        }
        for (repository, garbage) in scan.inventory.repositories.iter().zip(&scan.reachable.garbage) {
            let (name, tags) = (printable(&repository.name), garbage.tags.join(" "));
            for revision in &garbage.revisions {
                let digest = scan.inventory.digests.digest(revision.id);
                self.output
                    .line(format_args!("manifest eligible for deletion: {{{name} {digest} [{}]}}", printable(&tags)));
            }
        }
        let garbage = run.summary.garbage;
        self.output.line(format_args!(
            "\n{} blobs marked, {} blobs and {} manifests eligible for deletion",
            run.summary.marked, garbage.blobs, garbage.revisions
        ));
        for item in run.plan.items() {
            if let Item::Blob { digest, .. } = item {
                self.output.line(format_args!("blob eligible for deletion: {digest}"));
            }
        }
        for item in run.plan.items() {
            if let Item::LayerLink { repository, digest } = item {
                let name = printable(repository);
                self.output.line(format_args!("{name}: layer link eligible for deletion: {digest}"));
            }
        }
        self.output.flush();
    }

    fn done(&mut self, _: &Run<'_>) {}

    fn error(&mut self) -> Option<io::Error> {
        self.output.take_error()
    }
}
