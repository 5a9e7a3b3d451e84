//! Metrics in Prometheus' text format.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use super::{Reports, Untagged};

/// The metric that is kept from an earlier run if this one fails.
const LAST_SUCCESS: &str = "regc_last_success_timestamp_seconds";

/// The text, as far as it is complete.
struct Text<'a> {
    text: String,
    labels: [(&'static str, &'a str); 2],
}

impl Text<'_> {
    /// Returns the name of a metric with its labels.
    fn labelled(&self, name: &str, own: Option<(&str, &str)>) -> String {
        let labels = self.labels.iter().copied().chain(own);
        let labels: Vec<String> = labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        format!("{name}{{{}}}", labels.join(","))
    }

    /// Adds a metric with these values, each with a label of its own.
    fn values(&mut self, name: &str, help: &str, label: &str, values: impl IntoIterator<Item = (String, f64)>) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return;
        }
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge").ok();
        for (of, value) in values {
            let own = (!label.is_empty()).then_some((label, &*of));
            let labelled = self.labelled(name, own);
            writeln!(self.text, "{labelled} {value}").ok();
        }
    }

    fn value(&mut self, name: &str, help: &str, value: impl Into<Option<f64>>) {
        self.values(name, help, "", value.into().map(|value| (String::new(), value)));
    }

    fn number(&mut self, name: &str, help: &str, value: impl Into<Option<u64>>) {
        self.value(name, help, value.into().map(|value| value as f64));
    }
}

/// Escapes the value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64().floor())
}

/// Returns the metrics of a run that ends with this exit code. `before` is the file of the run before.
pub fn text(reports: &Reports<'_>, code: u8, before: &Path) -> String {
    let Reports { command, started, store, phases, summary, findings, untagged, free_bytes, .. } = reports;
    let mut text = Text { text: String::new(), labels: [("command", command), ("store", store)] };
    let now = SystemTime::now();
    text.value("regc_last_run_timestamp_seconds", "When the last run ended.", seconds(now));
    let is_success = matches!(code, 0 | 3);
    let of_store = text.labelled(LAST_SUCCESS, None);
    let last_success = if is_success { Some(seconds(now)) } else { last_success(before, &of_store) };
    text.value(LAST_SUCCESS, "When the last successful run ended (exit code 0 or 3).", last_success);
    text.number("regc_exit_code", "The exit code of the last run.", u64::from(code));
    let took = now.duration_since(*started).unwrap_or_default().as_secs_f64();
    text.value("regc_run_seconds", "How long the last run took.", (took * 1000.0).round() / 1000.0);
    let phases = phases.iter().map(|(phase, seconds)| ((*phase).to_owned(), (seconds * 1000.0).round() / 1000.0));
    text.values("regc_phase_seconds", "How long each phase of the last run took.", "phase", phases);
    if let Some(summary) = summary {
        text.number("regc_dry_run", "Whether the last run changed nothing.", u64::from(summary.dry_run));
        text.number(
            "regc_freed_bytes",
            "Bytes that the last run freed, or moved to the trash.",
            summary.removed.all_bytes(),
        );
        text.number(
            "regc_freed_blobs",
            "Blobs that the last run deleted, or moved to the trash.",
            summary.removed.blobs,
        );
        text.number("regc_live_bytes", "Bytes of the blobs that manifests need.", summary.live_bytes);
        text.number("regc_live_blobs", "Blobs that manifests need.", summary.live_blobs);
        // What rm and prune plan is what was named, not all that is garbage.
        let left = summary.garbage.all_bytes().saturating_sub(summary.removed.all_bytes());
        let left = (*command == "gc").then_some(left);
        text.number("regc_garbage_bytes", "Bytes of garbage left after the last run.", left);
        text.number("regc_trash_bytes", "Bytes in the trash.", summary.trash_bytes);
        text.number("regc_repositories", "Repositories.", summary.repositories);
        text.number(
            "regc_protected_repositories",
            "Repositories in which everything is kept because of damage.",
            summary.protected_repositories,
        );
        text.number("regc_manifests", "Manifests that repositories link.", summary.manifests);
        let tags = summary.tags.or(untagged.and_then(|untagged| untagged.tags));
        text.number("regc_tags", "Tags.", tags);
        text.number("regc_failures", "Removals that failed.", summary.failures);
        text.number(
            "regc_stale_cache",
            "Whether the registry's cache still lists what was removed.",
            u64::from(summary.stale_cache.is_some()),
        );
    }
    if let Some(Untagged { manifests, bytes, .. }) = untagged {
        text.number("regc_untagged_manifests", "Manifests that no tag reaches, which -m deletes.", *manifests);
        text.number("regc_untagged_bytes", "Bytes that only untagged manifests need.", *bytes);
    }
    text.number("regc_leftover_bytes", "Bytes that --tidy would delete in addition.", reports.leftover_bytes);
    text.number("regc_free_bytes", "Free bytes on the file system of the store.", *free_bytes);
    let mut by_code: BTreeMap<&str, u64> = BTreeMap::new();
    findings.iter().for_each(|finding| *by_code.entry(finding.code()).or_default() += 1);
    let by_code = by_code.into_iter().map(|(code, number)| (code.to_owned(), number as f64));
    text.values("regc_findings", "Findings of the last run, by code.", "code", by_code);
    text.text
}

/// Reads when the last run of this command on this store succeeded from the file of the run before.
fn last_success(before: &Path, of_store: &str) -> Option<f64> {
    let text = fs::read_to_string(before).ok()?;
    text.lines().find_map(|line| line.strip_prefix(of_store)?.trim().parse().ok())
}
