//! What the page shows first: totals, repositories, tags, findings.

use std::collections::BTreeMap;

use regc_core::inspect::catalog::Tree;
use regc_core::inspect::overview::{Growth, Overview, RepositoryOverview};
use regc_core::inspect::usage::{LayerUsage, SharedWith, Usage};
use regc_core::registry::image::ImageKind;
use regc_core::{Digest, Finding};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use serde::Serialize;

use crate::columns::{Texts, parsed_seconds, seconds};
use crate::details::ImageNumbers;
use crate::{Report, Shown, Trash, WouldFree};

/// Changes whenever the data change in a way that the scripts of the page have to know.
const FORMAT: u32 = 1;

/// How many findings are listed. All are counted.
const FINDINGS: usize = 1000;

/// With how many other repositories it is shown what a repository shares.
const SHARED_WITH: usize = 10;

/// How many weeks are shown.
const WEEKS: usize = 26;

#[derive(Serialize)]
pub struct Summary<'r> {
    format: u32,
    regc: &'static str,
    made: i64,
    store: &'r str,
    config: Option<&'r str>,
    option: &'r str,
    totals: Totals,
    would_free: &'r [WouldFree],
    shown: Shown,
    namespaces: Namespaces<'r>,
    repositories: Repositories<'r>,
    tags: Tags<'r>,
    kinds: [&'static str; ImageKind::ALL.len()],
    strings: Vec<String>,
    untagged: Untagged,
    layers: Layers,
    findings: Vec<Found>,
    finding_counts: BTreeMap<&'static str, u64>,
    uploads: Uploads<'r>,
}

#[derive(Serialize)]
struct Totals {
    total: u64,
    live: u64,
    exclusive: u64,
    shared: u64,
    pulled: u64,
    untagged: u64,
    garbage: u64,
    other: u64,
    uploads: u64,
    upload_count: u64,
    trash: u64,
    trash_runs: u64,
    free: Option<u64>,
    capacity: Option<u64>,
    shared_layers: u64,
    saved_by_sharing: u64,
}

#[derive(Default, Serialize)]
struct Namespaces<'r> {
    name: Vec<&'r str>,
    exclusive: Vec<u64>,
    shared: Vec<u64>,
    pulled: Vec<u64>,
}

#[derive(Default, Serialize)]
struct Repositories<'r> {
    name: Vec<&'r str>,
    exclusive: Vec<u64>,
    shared: Vec<u64>,
    pulled: Vec<u64>,
    untagged: Vec<u64>,
    garbage: Vec<u64>,
    tags: Vec<usize>,
    shared_with: Vec<Vec<(&'r str, u64)>>,
    growth: Vec<Vec<(i64, u64)>>,
}

#[derive(Default, Serialize)]
struct Tags<'r> {
    repository: Vec<u32>,
    name: Vec<&'r str>,
    image: Vec<Option<u32>>,
    pushed: Vec<i64>,
    created: Vec<Option<i64>>,
    exclusive: Vec<u64>,
    pulled: Vec<Option<u64>>,
    tags_of_image: Vec<u64>,
    kind: Vec<u8>,
    problem: Vec<Option<u32>>,
}

#[derive(Default, Serialize)]
struct Untagged {
    repository: Vec<u32>,
    image: Vec<Option<u32>>,
    pushed: Vec<i64>,
    bytes: Vec<Option<u64>>,
}

#[derive(Default, Serialize)]
struct Layers {
    digest: Vec<Digest>,
    bytes: Vec<u64>,
    images: Vec<u64>,
    repositories: Vec<u64>,
    first: Vec<Option<String>>,
}

#[derive(Serialize)]
struct Found {
    code: &'static str,
    severity: &'static str,
    title: &'static str,
    message: String,
    remedy: &'static str,
    repository: Option<String>,
}

#[derive(Default, Serialize)]
struct Uploads<'r> {
    repository: Vec<&'r str>,
    upload: Vec<&'r str>,
    bytes: Vec<u64>,
    started: Vec<i64>,
}

/// Returns the summary of as many repositories as there are numbers of images.
pub fn summary<'r>(report: &Report<'r>, shown: Shown, images: &ImageNumbers) -> Summary<'r> {
    let Report { overview, made, store, config, option, would_free, findings, .. } = *report;
    let repositories = &overview.repositories[..images.len()];
    let mut strings = Texts::default();
    let tags = tags(repositories, images, &mut strings);
    let mut finding_counts = BTreeMap::new();
    findings.iter().for_each(|finding| *finding_counts.entry(finding.code()).or_default() += 1);
    Summary {
        format: FORMAT,
        regc: env!("CARGO_PKG_VERSION"),
        made: seconds(made),
        store,
        config,
        option,
        totals: totals(report),
        would_free,
        shown,
        namespaces: namespaces(overview, repositories),
        repositories: columns(repositories),
        tags,
        kinds: ImageKind::ALL.map(ImageKind::name),
        strings: strings.into_texts(),
        untagged: untagged(repositories, images),
        layers: layers(overview),
        findings: findings.iter().take(FINDINGS).map(found).collect(),
        finding_counts,
        uploads: uploads(overview),
    }
}

fn totals(report: &Report<'_>) -> Totals {
    let Report { overview, trash: Trash { runs, bytes: trash }, free_bytes, capacity_bytes, .. } = *report;
    let Usage { total, live, exclusive, shared, pulled, untagged, garbage, other, ref shared_layers, .. } =
        overview.totals;
    let uploads = || overview.repositories.iter().flat_map(|repository| &repository.uploads);
    Totals {
        total,
        live,
        exclusive,
        shared,
        pulled,
        untagged,
        garbage,
        other,
        uploads: uploads().map(|upload| upload.bytes).sum(),
        upload_count: uploads().count() as u64,
        trash,
        trash_runs: runs,
        free: free_bytes,
        capacity: capacity_bytes,
        shared_layers: shared_layers.count,
        saved_by_sharing: shared_layers.bytes_saved,
    }
}

/// Returns the namespaces that some of these repositories are in.
fn namespaces<'r>(overview: &'r Overview<'_>, repositories: &[RepositoryOverview<'_>]) -> Namespaces<'r> {
    let mut shown: HashSet<&str> = HashSet::default();
    for repository in repositories {
        let name = repository.usage.repository;
        shown.extend(name.match_indices('/').map(|(end, _)| &name[..end]));
    }
    let mut columns = Namespaces::default();
    for namespace in overview.namespaces.iter().filter(|namespace| shown.contains(namespace.namespace)) {
        columns.name.push(namespace.namespace);
        columns.exclusive.push(namespace.exclusive);
        columns.shared.push(namespace.shared);
        columns.pulled.push(namespace.pulled);
    }
    columns
}

fn columns<'r>(repositories: &'r [RepositoryOverview<'_>]) -> Repositories<'r> {
    let mut columns = Repositories::default();
    for RepositoryOverview { usage, listing, growth, .. } in repositories {
        columns.name.push(usage.repository);
        columns.exclusive.push(usage.exclusive);
        columns.shared.push(usage.shared);
        columns.pulled.push(usage.pulled);
        columns.untagged.push(usage.untagged);
        columns.garbage.push(usage.garbage);
        columns.tags.push(listing.tags.len());
        let with = |with: &SharedWith<'r>| (with.repository, with.bytes);
        columns.shared_with.push(usage.shared_with.iter().take(SHARED_WITH).map(with).collect());
        columns.growth.push(growth[growth.len().saturating_sub(WEEKS)..].iter().map(week).collect());
    }
    columns
}

/// Returns the number of a week since the first Monday of 1970, and its bytes.
fn week(growth: &Growth) -> (i64, u64) {
    const DAY: i64 = 24 * 60 * 60;
    ((seconds(growth.week) - 4 * DAY).div_euclid(7 * DAY), growth.bytes)
}

fn tags<'r>(repositories: &'r [RepositoryOverview<'_>], images: &ImageNumbers, strings: &mut Texts) -> Tags<'r> {
    let mut columns = Tags::default();
    for (number, (repository, images)) in repositories.iter().zip(images).enumerate() {
        for tag in &repository.listing.tags {
            let usage = repository.usage_of(&tag.name);
            let image = tag.image.as_ref();
            columns.repository.push(number as u32);
            columns.name.push(&tag.name);
            columns.image.push(image.and_then(|image| images.get(&image.digest).copied()));
            columns.pushed.push(seconds(tag.pushed));
            columns.created.push(parsed_seconds(image.and_then(|image| image.created.as_deref())));
            columns.exclusive.push(usage.map_or(0, |usage| usage.exclusive));
            columns.pulled.push(usage.and_then(|usage| usage.pulled));
            columns.tags_of_image.push(usage.map_or(1, |usage| usage.tags_of_image));
            columns.kind.push(image.map_or(ImageKind::Unknown, |image| image.kind) as u8);
            let problem = tag.problem.as_ref().map(|problem| {
                let of = problem.digest.map_or_else(String::new, |digest| format!(": {digest}"));
                strings.number(&format!("{}: {}{of}", problem.kind.code(), problem.kind.page().title))
            });
            columns.problem.push(problem);
        }
    }
    columns
}

fn untagged(repositories: &[RepositoryOverview<'_>], images: &ImageNumbers) -> Untagged {
    let mut columns = Untagged::default();
    for (number, (repository, images)) in repositories.iter().zip(images).enumerate() {
        for untagged in &repository.listing.untagged {
            columns.repository.push(number as u32);
            columns.image.push(images.get(&untagged.image.digest).copied());
            columns.pushed.push(seconds(untagged.pushed));
            columns.bytes.push(untagged.image.bytes);
        }
    }
    columns
}

fn layers(overview: &Overview<'_>) -> Layers {
    let layers = &overview.totals.shared_layers.layers;
    let wanted: HashSet<Digest> = layers.iter().map(|layer| layer.digest).collect();
    let mut first: HashMap<Digest, String> = HashMap::default();
    let mut note = |tree: &Tree, name: &dyn Fn() -> String| {
        for part in tree.config.iter().chain(&tree.layers).filter(|part| wanted.contains(&part.digest)) {
            first.entry(part.digest).or_insert_with(name);
        }
    };
    for RepositoryOverview { usage, listing, .. } in &overview.repositories {
        for tag in &listing.tags {
            if let Some(tree) = tag.digest.and_then(|digest| listing.trees.get(&digest)) {
                note(tree, &|| format!("{}:{}", usage.repository, tag.name));
            }
        }
    }
    // Some are only in what an index holds, what is attached, or what no tag reaches.
    for RepositoryOverview { usage, listing, .. } in &overview.repositories {
        for (digest, tree) in &listing.trees {
            note(tree, &|| format!("{}@{digest}", usage.repository));
        }
    }
    let mut columns = Layers::default();
    for LayerUsage { digest, bytes, images, repositories, .. } in layers {
        columns.digest.push(*digest);
        columns.bytes.push(*bytes);
        columns.images.push(*images);
        columns.repositories.push(*repositories);
        columns.first.push(first.remove(digest));
    }
    columns
}

fn found(finding: &Finding) -> Found {
    let repository = finding.repository();
    Found {
        code: finding.code(),
        severity: finding.severity().name(),
        title: finding.kind().page().title,
        message: finding.message(),
        remedy: finding.remedy(),
        repository: (!repository.is_empty()).then(|| repository.to_owned()),
    }
}

fn uploads<'r>(overview: &'r Overview<'_>) -> Uploads<'r> {
    let mut columns = Uploads::default();
    for repository in &overview.repositories {
        for upload in &repository.uploads {
            columns.repository.push(repository.usage.repository);
            columns.upload.push(&upload.upload);
            columns.bytes.push(upload.bytes);
            columns.started.push(seconds(upload.began));
        }
    }
    columns
}
