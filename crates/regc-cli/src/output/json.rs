//! JSON Lines, described in docs/json.md.

use std::io;

use regc_core::{Error, Finding};
use serde::Serialize;
use serde_json::json;

use super::{Output, Printer, Run, causes};

pub struct Json {
    output: Output,
    quiet: bool,
}

impl Json {
    pub fn new(quiet: bool) -> Self {
        Self { output: Output::new(), quiet }
    }

    fn object(&mut self, object: &impl Serialize) {
        self.output.json(object);
    }
}

impl Printer for Json {
    fn decided(&mut self, run: &Run<'_>) {
        if !self.quiet {
            for finding in run.plan.findings() {
                self.output.record(&describe(finding));
            }
            for item in run.plan.items() {
                self.object(&item);
            }
        }
        self.output.flush();
    }

    fn done(&mut self, run: &Run<'_>) {
        if let Some(finding) = run.stale {
            self.output.record(&describe(finding));
        }
        for failure in run.failures {
            self.output.record(&describe_failure(failure));
        }
        #[derive(Serialize)]
        struct Last<'a> {
            r#type: &'static str,
            #[serde(flatten)]
            summary: &'a regc_core::Summary,
        }
        self.object(&Last { r#type: "summary", summary: run.summary });
        self.output.flush();
    }

    fn error(&mut self) -> Option<io::Error> {
        self.output.take_error()
    }
}

/// Describes a finding, the same for all commands.
pub fn describe(finding: &Finding) -> serde_json::Value {
    json!({
        "type": "finding",
        "code": finding.code(),
        "name": finding.name(),
        "severity": finding.severity(),
        "repository": Some(finding.repository()).filter(|name| !name.is_empty()),
        "digest": finding.digest(),
        "path": finding.path(),
        "message": finding.message(),
        "remedy": finding.remedy(),
    })
}

/// Describes what failed, the same for all commands.
pub fn describe_failure(failure: &Error) -> serde_json::Value {
    let causes: Vec<String> = causes(failure).map(ToString::to_string).collect();
    json!({ "type": "failure", "message": failure.to_string(), "causes": causes })
}
