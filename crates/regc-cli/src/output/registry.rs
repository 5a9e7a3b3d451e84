//! The exact lines that `registry garbage-collect` of distribution 3.1 prints, for the scripts that read them.
//!
//! Source: `registry/storage/garbagecollect.go`.

use std::io;

use regc_core::{Item, Mark};

use super::{Output, Printer, Run, printable};

pub struct Registry {
    output: Output,
    quiet: bool,
}

impl Registry {
    pub fn new(quiet: bool) -> Self {
        Self { output: Output::new(), quiet }
    }
}

impl Printer for Registry {
    fn decided(&mut self, run: &Run<'_>) {
        if self.quiet {
            return;
        }
        let output = &mut self.output;
        run.plan.each_mark(&mut |mark| match mark {
            Mark::Repository(name) => output.line(format_args!("{}", printable(name))),
            Mark::Root(name, digest) => {
                output.line(format_args!("{}: marking manifest {digest} ", printable(name)));
            }
            Mark::Blob(name, digest) => output.line(format_args!("{}: marking blob {digest}", printable(name))),
            Mark::Unused(name, digest, tags) => {
                let (name, tags) = (printable(name), tags.join(" "));
                output.line(format_args!("manifest eligible for deletion: {{{name} {digest} [{}]}}", printable(&tags)));
            }
        });
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
