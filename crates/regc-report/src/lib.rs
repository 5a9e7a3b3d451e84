//! A page about a registry's store: one HTML file that needs no network, and can be sent by mail and opened from disk.
//!
//! [`write()`] creates it from an [`Overview`] and what else the caller knows about the store. The sources of the page
//! are in `page`. The page contains the data as compressed JSON, in two blocks: the summary is read when the page
//! opens, the details when an image is opened.
//!
//! Names in a store were chosen by clients. They are in the page only as compressed data; its scripts turn them into
//! text, never into markup, and its content security policy allows no other script.
#![deny(missing_docs)]

mod columns;
mod details;
mod page;
mod summary;

use std::io::{self, Write};
use std::time::SystemTime;

use regc_core::Finding;
use regc_core::inspect::overview::Overview;
use serde::Serialize;

/// What is on the page.
#[derive(Clone, Copy, Debug)]
pub struct Report<'r> {
    /// What is in the store.
    pub overview: &'r Overview<'r>,
    /// When that was determined.
    pub made: SystemTime,
    /// The storage root.
    pub store: &'r str,
    /// The configuration file; `None` if the root was named.
    pub config: Option<&'r str>,
    /// The option by which a command names the store, quoted for a shell: `--config /etc/docker/registry/config.yml`.
    pub option: &'r str,
    /// What commands would free, in the order in which they are shown.
    pub would_free: &'r [WouldFree],
    /// The damage and obstacles that were found.
    pub findings: &'r [Finding],
    /// How much is in the trash.
    pub trash: Trash,
    /// How many bytes are free on the store's file system; `None` if it is not on a file system.
    pub free_bytes: Option<u64>,
    /// The size of that file system in bytes; `None` likewise.
    pub capacity_bytes: Option<u64>,
}

/// How much is in the trash.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trash {
    /// How many runs are in it.
    pub runs: u64,
    /// What they take up, in bytes.
    pub bytes: u64,
}

/// What a command would free.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WouldFree {
    /// What it is called on the page.
    pub name: String,
    /// The command itself, to be copied.
    pub command: String,
    /// How many bytes it would free: blobs, uploads and other files.
    pub bytes: u64,
    /// How many tags it would delete.
    pub tags: u64,
    /// How many manifests it would delete.
    pub manifests: u64,
    /// How many blobs it would delete.
    pub blobs: u64,
    /// How many uploads it would delete.
    pub uploads: u64,
    /// Why it would refuse to run; `None` if it would not.
    pub refused: Option<String>,
}

/// How much is on the page.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The maximum number of repositories: those whose deletion would free most are shown.
    pub repositories: usize,
    /// The maximum length of the page, in bytes; fewer repositories are shown if it would be longer. A page with one
    /// repository may still be longer.
    pub bytes: usize,
}

impl Default for Limits {
    /// All repositories, in at most 30 MB.
    fn default() -> Self {
        Self { repositories: usize::MAX, bytes: 30_000_000 }
    }
}

/// How much of the store is on a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Shown {
    /// How many repositories are shown.
    pub repositories: u64,
    /// How many there are.
    pub of_repositories: u64,
    /// How many tags are shown.
    pub tags: u64,
    /// How many there are.
    pub of_tags: u64,
}

/// Writes the page, and returns how much is on it.
///
/// Fails if it cannot be written.
pub fn write(report: &Report<'_>, limits: Limits, out: &mut dyn Write) -> io::Result<Shown> {
    let all = report.overview.repositories.len();
    let mut repositories = limits.repositories.min(all);
    loop {
        let shown = columns::shown(report.overview, repositories);
        let (details, images) = details::details(report.overview, repositories);
        let summary = summary::summary(report, shown, &images);
        let page = page::page(&summary, &details)?;
        if page.len() <= limits.bytes || repositories <= 1 {
            out.write_all(page.as_bytes())?;
            return Ok(shown);
        }
        // Most of the page is proportional to what is shown. It gets smaller in any case.
        let fitting = repositories as f64 * limits.bytes as f64 / page.len() as f64 * 0.95;
        repositories = (fitting as usize).clamp(1, repositories - 1);
    }
}
