//! Reports in files: metrics for Prometheus, and a summary to mail.

mod metrics;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use regc_core::{Error, Finding, Summary};

use crate::ExitStatus;
use crate::failure::Failure;
use crate::output::{self, causes, file, printable};
use crate::progress::Progress;
use crate::source::Source;

/// Which reports are written.
#[derive(clap::Args)]
pub struct Files {
    /// Write metrics of this run to a file, in Prometheus' text format, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,

    /// Also write the human-readable report to a file, whatever the output format: for example, as the body of a mail
    #[arg(long, value_name = "FILE")]
    summary_file: Option<PathBuf>,
}

/// What a run has to report, as far as it has come.
pub struct Reports<'a> {
    files: &'a Files,
    pub command: &'static str,
    pub started: SystemTime,
    /// Whether the files may be written; `None` if it did not come to be checked.
    is_checked: Option<bool>,
    /// Which store it is; empty if that is not known.
    pub store: String,
    /// The phases of the run, each with its seconds.
    pub phases: Vec<(&'static str, f64)>,
    /// The run in numbers; `None` if it did not come that far.
    pub summary: Option<Summary>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// What `-m` would delete now; `None` if that is not known.
    pub untagged: Option<Untagged>,
    /// What `--tidy` would delete beside that, in bytes; `None` if that is not known.
    pub leftover_bytes: Option<u64>,
    /// How many bytes are free on the file system, if it is on one.
    pub free_bytes: Option<u64>,
    /// The human-readable report.
    pub text: String,
}

/// What no tag reaches and is not deleted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untagged {
    /// How many manifests that are.
    pub manifests: u64,
    /// What only they need, in bytes.
    pub bytes: u64,
    /// The tags in the store.
    pub tags: Option<u64>,
}

impl<'a> Reports<'a> {
    pub fn new(command: &'static str, files: &'a Files, started: SystemTime) -> Self {
        Self {
            files,
            command,
            started,
            is_checked: None,
            store: String::new(),
            phases: Vec::new(),
            summary: None,
            findings: Vec::new(),
            untagged: None,
            leftover_bytes: None,
            free_bytes: None,
            text: String::new(),
        }
    }

    /// Sets the store, and fails if a report, or the plan, could not be written, or would replace what is needed: before anything is
    /// done. `inputs` are the files that the command reads.
    pub fn check(&mut self, source: &Source, plan: Option<&Path>, inputs: &[&Path]) -> Result<(), Error> {
        self.store = source.root.display().to_string();
        self.is_checked = Some(false);
        let reports = self.files.metrics_file.iter().chain(&self.files.summary_file).map(PathBuf::as_path);
        let outputs: Vec<&Path> = reports.chain(plan).collect();
        for (at, path) in outputs.iter().enumerate() {
            let fail = |source| Error::Storage { action: "write", path: path.display().to_string(), source };
            let refuse = |reason: &str| Err(fail(io::Error::new(io::ErrorKind::InvalidInput, reason)));
            if outputs[..at].iter().any(|other| file::is_same(path, other)) {
                return refuse("another report is written to this file");
            }
            if source.file.as_deref().into_iter().chain(inputs.iter().copied()).any(|input| file::is_same(path, input))
            {
                return refuse("the command reads this file: it is the configuration, a policy or a list");
            }
            file::check(path, &source.root).map_err(fail)?;
        }
        self.is_checked = Some(true);
        Ok(())
    }

    /// Whether metrics are written.
    pub fn has_metrics(&self) -> bool {
        self.files.metrics_file.is_some()
    }

    /// Whether the human-readable report is kept.
    pub fn has_summary(&self) -> bool {
        self.files.summary_file.is_some()
    }

    /// Adds what failed to the human-readable report.
    pub fn add_failures(&mut self, failures: &[Error]) {
        failures.iter().for_each(|failure| self.text += &told(failure));
    }

    /// Takes the times of the phases so far.
    pub fn time(&mut self, progress: &Progress) {
        self.phases = progress.phases();
    }

    /// Writes the reports, and returns how the run ended: a failure if a report cannot be written. The work is done all the same.
    pub fn write(self, ended: Result<ExitStatus, Failure>) -> Result<ExitStatus, Failure> {
        let code = match &ended {
            Ok(status) => status.code(),
            Err(failure) => failure.code(),
        };
        let mut is_written = true;
        let may_be_written = |path: &Path| self.is_checked.unwrap_or_else(|| !path.exists() || is_report(path));
        let mut write = |path: &Path, content: &str| {
            if !may_be_written(path) {
                return;
            }
            if let Err(error) = file::replace(path, content) {
                output::fail(format_args!("cannot write {}: {error}", printable(&path.display().to_string())));
                is_written = false;
            }
        };
        if let Some(path) = &self.files.metrics_file {
            write(path, &metrics::text(&self, code, path));
        }
        if let Some(path) = &self.files.summary_file {
            write(path, &self.mail(&ended));
        }
        match ended {
            Ok(_) if !is_written => Ok(ExitStatus::Failed),
            ended => ended,
        }
    }

    fn mail(&self, ended: &Result<ExitStatus, Failure>) -> String {
        let failure = ended.as_ref().err().map(|failure| told(failure));
        self.text.clone() + &failure.unwrap_or_default()
    }
}

/// Whether a file is a report of an earlier run.
fn is_report(path: &Path) -> bool {
    let begins =
        |text: String| ["# HELP regc_", "  Storage", "Storage", "regc:"].iter().any(|own| text.starts_with(own));
    fs::read_to_string(path).is_ok_and(begins)
}

/// Returns an error with what caused it, as it is printed.
fn told(error: &dyn std::error::Error) -> String {
    let causes: String =
        causes(error).map(|cause| format!("  caused by: {}\n", printable(&cause.to_string()))).collect();
    format!("regc: {}\n{causes}", printable(&error.to_string()))
}
