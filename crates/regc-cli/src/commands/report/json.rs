//! The report as JSON Lines, described in docs/json.md.

use std::collections::BTreeMap;

use regc_core::Digest;
use regc_core::inspect::catalog::{Problem, Tag, Tree, Untagged};
use regc_core::inspect::overview::{Growth, RepositoryOverview};
use regc_core::inspect::usage::{LayerUsage, Usage};
use regc_core::registry::image::{Part, Step};
use regc_report::Report;
use serde::Serialize;

use crate::commands::ls::{JsonImage, JsonUntagged};
use crate::commands::uploads::Unfinished;
use crate::output::Output;
use crate::output::json::describe;
use crate::process;

/// Prints everything, and of at most `top` repositories what is in them.
pub fn print(output: &mut Output, found: &Report<'_>, top: usize) {
    let overview = found.overview;
    let repositories = &overview.repositories;
    found.findings.iter().for_each(|finding| describe(output, finding));
    repositories.iter().take(top).for_each(|repository| print_repository(output, repository));
    overview.namespaces.iter().for_each(|namespace| output.record("namespace", namespace));
    for usage in &overview.totals.shared_layers.layers {
        output.record("shared_layer", &JsonSharedLayer { usage, bytes_saved: usage.bytes_saved() });
    }
    found.would_free.iter().for_each(|would_free| output.record("would_free", would_free));
    let uploads: Vec<_> = repositories.iter().flat_map(|repository| repository.uploads.iter().cloned()).collect();
    let mut findings: BTreeMap<&str, u64> = BTreeMap::new();
    found.findings.iter().for_each(|finding| *findings.entry(finding.code()).or_default() += 1);
    output.summary(&JsonSummary {
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
        findings: findings.into_iter().map(|(code, count)| JsonCount { code, count }).collect(),
    });
}

fn print_repository(output: &mut Output, found: &RepositoryOverview<'_>) {
    let RepositoryOverview { usage, listing, uploads, growth, .. } = found;
    let repository = usage.repository;
    output.record("repository", usage);
    for Growth { week, bytes, .. } in growth {
        output.record("growth", &JsonGrowth { repository, week: process::time(*week), bytes: *bytes });
    }
    for Tag { name, digest, pushed, image, problem, .. } in &listing.tags {
        let usage = found.usage_of(name);
        let tag = JsonTag {
            repository,
            tag: name,
            digest,
            pushed: process::time(*pushed),
            tags_of_image: usage.map(|usage| usage.tags_of_image),
            exclusive: usage.map(|usage| usage.exclusive),
            pulled: usage.and_then(|usage| usage.pulled),
            image: image.as_ref().map(JsonImage::new),
            problem,
        };
        output.record("tag", &tag);
    }
    for Untagged { pushed, image, .. } in &listing.untagged {
        let (pushed, image) = (process::time(*pushed), JsonImage::new(image));
        output.record("untagged", &JsonUntagged { repository, pushed, image });
    }
    for Tree { image, children, referrers, config, layers, history, .. } in listing.trees.values() {
        let image = JsonTree {
            repository,
            image: JsonImage::new(image),
            children,
            referrers,
            config: config.as_ref().map(JsonContent::new),
            layers: layers.iter().map(JsonContent::new).collect(),
            history: history.iter().map(JsonStep::new).collect(),
        };
        output.record("image", &image);
    }
    for upload in uploads {
        let (began, written) = (process::time(upload.began), process::time(upload.written));
        let (upload, bytes) = (&*upload.upload, upload.bytes);
        output.record("upload", &JsonUpload { repository, upload, bytes, began, written });
    }
}

#[derive(Serialize)]
struct JsonGrowth<'a> {
    repository: &'a str,
    week: String,
    bytes: u64,
}

#[derive(Serialize)]
struct JsonTag<'a> {
    repository: &'a str,
    tag: &'a str,
    digest: &'a Option<Digest>,
    pushed: String,
    tags_of_image: Option<u64>,
    exclusive: Option<u64>,
    pulled: Option<u64>,
    image: Option<JsonImage<'a>>,
    problem: &'a Option<Problem>,
}

#[derive(Serialize)]
struct JsonTree<'a> {
    repository: &'a str,
    image: JsonImage<'a>,
    children: &'a [Digest],
    referrers: &'a [Digest],
    config: Option<JsonContent<'a>>,
    layers: Vec<JsonContent<'a>>,
    history: Vec<JsonStep<'a>>,
}

/// A config or layer.
#[derive(Serialize)]
struct JsonContent<'a> {
    digest: &'a Digest,
    bytes: u64,
}

impl<'a> JsonContent<'a> {
    fn new(part: &'a Part) -> Self {
        Self { digest: &part.digest, bytes: part.bytes }
    }
}

#[derive(Serialize)]
struct JsonStep<'a> {
    created: Option<String>,
    created_by: Option<&'a str>,
    empty_layer: bool,
}

impl<'a> JsonStep<'a> {
    fn new(step: &'a Step) -> Self {
        Self {
            created: step.created.as_deref().and_then(process::parse_time).map(process::time),
            created_by: step.created_by.as_deref(),
            empty_layer: step.empty_layer,
        }
    }
}

#[derive(Serialize)]
struct JsonUpload<'a> {
    repository: &'a str,
    upload: &'a str,
    bytes: u64,
    began: String,
    written: String,
}

#[derive(Serialize)]
struct JsonSharedLayer<'a> {
    #[serde(flatten)]
    usage: &'a LayerUsage,
    bytes_saved: u64,
}

#[derive(Serialize)]
struct JsonSummary<'a> {
    made: String,
    repositories: u64,
    tags: u64,
    #[serde(flatten)]
    usage: &'a Usage<'a>,
    shared_layers: u64,
    bytes_saved: u64,
    uploads: Unfinished,
    trash_runs: u64,
    trash_bytes: u64,
    free_bytes: Option<u64>,
    capacity_bytes: Option<u64>,
    findings: Vec<JsonCount<'a>>,
}

/// How often something was found.
#[derive(Serialize)]
struct JsonCount<'a> {
    code: &'a str,
    count: u64,
}
