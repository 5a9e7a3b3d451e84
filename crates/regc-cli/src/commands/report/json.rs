//! The report as JSON Lines, described in docs/json.md.

use std::collections::BTreeMap;

use regc_core::Digest;
use regc_core::inspect::catalog::{Image, Problem, Tag, Tree, Untagged};
use regc_core::inspect::overview::{Growth, RepositoryOverview};
use regc_core::inspect::usage::{LayerUsage, NamespaceUsage, RepositoryUsage, Usage};
use regc_core::registry::image::{ImageKind, Part, Step};
use regc_report::WouldFree;
use serde::Serialize;

use super::Found;
use crate::commands::uploads::Unfinished;
use crate::output::Output;
use crate::output::json::describe;
use crate::process;

/// Prints everything, and of at most `top` repositories what is in them.
pub fn print(output: &mut Output, found: &Found<'_>, top: usize) {
    let overview = found.overview;
    let repositories = &overview.repositories;
    for finding in found.findings {
        output.record(&describe(finding));
    }
    for repository in repositories.iter().take(top) {
        print_repository(output, repository);
    }
    overview.namespaces.iter().for_each(|namespace| output.json(&Line::Namespace(namespace)));
    for layer in &overview.totals.shared_layers.layers {
        output.json(&Line::SharedLayer { usage: layer, bytes_saved: layer.bytes_saved() });
    }
    found.would_free.iter().for_each(|would_free| output.json(&Line::WouldFree(would_free)));
    let uploads: Vec<_> = repositories.iter().flat_map(|repository| repository.uploads.iter().cloned()).collect();
    let mut findings: BTreeMap<&str, u64> = BTreeMap::new();
    found.findings.iter().for_each(|finding| *findings.entry(finding.code()).or_default() += 1);
    output.json(&Line::Summary {
        schema_version: 1,
        made: process::time(found.made),
        repositories: repositories.len() as u64,
        tags: repositories.iter().map(|repository| repository.listing.tags.len() as u64).sum(),
        usage: &overview.totals,
        shared_layers: overview.totals.shared_layers.count,
        bytes_saved: overview.totals.shared_layers.bytes_saved,
        uploads: Unfinished::of(&uploads, found.made),
        trash_runs: found.trash.runs,
        trash_bytes: found.trash.bytes,
        free_bytes: found.free_bytes,
        capacity_bytes: found.capacity_bytes,
        findings,
    });
}

fn print_repository(output: &mut Output, found: &RepositoryOverview<'_>) {
    let RepositoryOverview { usage, listing, uploads, growth, .. } = found;
    let repository = usage.repository;
    output.json(&Line::Repository(usage));
    for Growth { week, bytes, .. } in growth {
        output.json(&Line::Growth { repository, week: process::time(*week), bytes: *bytes });
    }
    for tag in &listing.tags {
        let usage = found.usage_of(&tag.name);
        let Tag { name, digest, pushed, image, problem, .. } = tag;
        output.json(&Line::Tag {
            repository,
            tag: name,
            digest: *digest,
            pushed: process::time(*pushed),
            tags_of_image: usage.map(|usage| usage.tags_of_image),
            exclusive: usage.map(|usage| usage.exclusive),
            pulled: usage.and_then(|usage| usage.pulled),
            image: image.as_ref().map(Described::of),
            problem: problem.as_ref(),
        });
    }
    for Untagged { pushed, image, .. } in &listing.untagged {
        output.json(&Line::Untagged { repository, pushed: process::time(*pushed), image: Described::of(image) });
    }
    for Tree { image, children, referrers, config, layers, history, .. } in listing.trees.values() {
        output.json(&Line::Image {
            repository,
            image: Described::of(image),
            children,
            referrers,
            config: config.as_ref().map(Content::of),
            layers: layers.iter().map(Content::of).collect(),
            history,
        });
    }
    for upload in uploads {
        output.json(&Line::Upload {
            repository,
            upload: &upload.upload,
            bytes: upload.bytes,
            began: process::time(upload.began),
            written: process::time(upload.written),
        });
    }
}

/// An image, as `regc ls` describes it.
#[derive(Serialize)]
struct Described<'l> {
    digest: Digest,
    kind: ImageKind,
    platforms: &'l [String],
    bytes: Option<u64>,
    created: Option<&'l str>,
}

impl<'l> Described<'l> {
    fn of(image: &'l Image) -> Self {
        let Image { digest, kind, platforms, bytes, created, .. } = image;
        Self { digest: *digest, kind: *kind, platforms, bytes: *bytes, created: created.as_deref() }
    }
}

/// A config or layer.
#[derive(Serialize)]
struct Content {
    digest: Digest,
    bytes: u64,
}

impl Content {
    fn of(part: &Part) -> Self {
        Self { digest: part.digest, bytes: part.bytes }
    }
}

/// A line of JSON.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'l> {
    Repository(&'l RepositoryUsage<'l>),
    Growth {
        repository: &'l str,
        week: String,
        bytes: u64,
    },
    Tag {
        repository: &'l str,
        tag: &'l str,
        digest: Option<Digest>,
        pushed: String,
        tags_of_image: Option<u64>,
        exclusive: Option<u64>,
        pulled: Option<u64>,
        image: Option<Described<'l>>,
        problem: Option<&'l Problem>,
    },
    Untagged {
        repository: &'l str,
        pushed: String,
        image: Described<'l>,
    },
    Image {
        repository: &'l str,
        image: Described<'l>,
        children: &'l [Digest],
        referrers: &'l [Digest],
        config: Option<Content>,
        layers: Vec<Content>,
        history: &'l [Step],
    },
    Upload {
        repository: &'l str,
        upload: &'l str,
        bytes: u64,
        began: String,
        written: String,
    },
    Namespace(&'l NamespaceUsage<'l>),
    SharedLayer {
        #[serde(flatten)]
        usage: &'l LayerUsage,
        bytes_saved: u64,
    },
    WouldFree(&'l WouldFree),
    Summary {
        schema_version: u32,
        made: String,
        repositories: u64,
        tags: u64,
        #[serde(flatten)]
        usage: &'l Usage<'l>,
        shared_layers: u64,
        bytes_saved: u64,
        uploads: Unfinished,
        trash_runs: u64,
        trash_bytes: u64,
        free_bytes: Option<u64>,
        capacity_bytes: Option<u64>,
        findings: BTreeMap<&'l str, u64>,
    },
}
