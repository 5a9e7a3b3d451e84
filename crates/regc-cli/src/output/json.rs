//! JSON Lines, described in docs/json.md.

use std::borrow::Cow;
use std::io;

use regc_core::finding::Severity;
use regc_core::{Digest, Error, Finding};
use serde::Serialize;

use super::{Output, Printer, Run, causes};

pub struct Json {
    output: Output,
    quiet: bool,
}

impl Json {
    pub fn new(quiet: bool) -> Self {
        Self { output: Output::new(), quiet }
    }
}

impl Printer for Json {
    fn decided(&mut self, run: &Run<'_>) {
        if !self.quiet {
            for finding in run.plan.findings() {
                describe(&mut self.output, finding);
            }
            for item in run.plan.items() {
                self.output.json(&item);
            }
        }
        self.output.flush();
    }

    fn done(&mut self, run: &Run<'_>) {
        if let Some(finding) = run.stale {
            describe(&mut self.output, finding);
        }
        for failure in run.failures {
            describe_failure(&mut self.output, failure);
        }
        self.output.record("summary", run.summary);
        self.output.flush();
    }

    fn error(&mut self) -> Option<io::Error> {
        self.output.take_error()
    }
}

/// Prints a finding, the same for all commands.
pub fn describe(output: &mut Output, finding: &Finding) {
    output.record("finding", &Found::new(finding));
}

/// A finding, as all commands print it.
#[derive(Serialize)]
pub struct Found<'a> {
    pub code: &'a str,
    pub name: &'a str,
    pub severity: Severity,
    pub repository: Option<&'a str>,
    pub digest: Option<Digest>,
    pub path: Cow<'a, str>,
    pub message: Cow<'a, str>,
    pub remedy: &'a str,
}

impl<'a> Found<'a> {
    fn new(finding: &'a Finding) -> Self {
        Self {
            code: finding.code(),
            name: finding.name(),
            severity: finding.severity(),
            repository: Some(finding.repository()).filter(|name| !name.is_empty()),
            digest: finding.digest().copied(),
            path: finding.path().into(),
            message: finding.message().into(),
            remedy: finding.remedy(),
        }
    }
}

/// Prints what failed, the same for all commands.
pub fn describe_failure(output: &mut Output, failure: &Error) {
    #[derive(Serialize)]
    struct Failed {
        message: String,
        causes: Vec<String>,
    }
    let causes = causes(failure).map(ToString::to_string).collect();
    output.record("failure", &Failed { message: failure.to_string(), causes });
}
