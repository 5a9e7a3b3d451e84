//! A page about a large store, as `regc report` writes it, to measure how fast a browser opens it.
//!
//!     cargo run --release -p regc-benches -- page /tmp/large.html
//!     REGC_PAGE=/tmp/large.html node tests/page/speed.mjs

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use regc_core::{Config, Silent, Store};
use regc_report::{Limits, Report, Trash, write};
use regc_testkit::TestRegistry;
use serde_json::{Value, json};

/// Write the page about a store in memory
#[derive(clap::Args)]
pub struct Args {
    /// Where to write it
    page: PathBuf,
    /// How many repositories the store has
    #[arg(long, default_value_t = 10_000)]
    repositories: usize,
    /// How many tags each of them has
    #[arg(long, default_value_t = 20)]
    tags: usize,
}

pub fn run(args: &Args) -> io::Result<()> {
    let registry = registry(args.repositories, args.tags);
    let store = Store::with_storage(&Config::at_root("/"), Box::new(registry.in_memory(true)));
    drop(registry);
    let began = Instant::now();
    let scan = store.scan(&Silent).map_err(io::Error::other)?;
    let overview = store.overview(&scan, &Silent).map_err(io::Error::other)?;
    let summed_up = began.elapsed();
    let report = Report {
        overview: &overview,
        made: SystemTime::now(),
        store: "/var/lib/registry",
        config: Some("/etc/docker/registry/config.yml"),
        option: "-c /etc/docker/registry/config.yml",
        would_free: &[],
        findings: &[],
        trash: Trash::default(),
        free_bytes: None,
        capacity_bytes: None,
    };
    let mut page = Vec::new();
    let began = Instant::now();
    let shown = write(&report, Limits::default(), &mut page)?;
    let written = began.elapsed();
    fs::write(&args.page, &page)?;
    println!("| repositories | tags | bytes of the page | summed up | written |\n|---|---|---|---|---|");
    println!(
        "| {} of {} | {} of {} | {} | {:.1} s | {:.1} s |",
        shown.repositories,
        shown.of_repositories,
        shown.tags,
        shown.of_tags,
        page.len(),
        summed_up.as_secs_f64(),
        written.as_secs_f64()
    );
    Ok(())
}

/// How many base images there are, and layers in each.
const BASES: usize = 40;
const BASE_LAYERS: usize = 4;

/// Makes a store in which each image has a base image's layers, one that all images of its repository have, and two of its own.
fn registry(repositories: usize, tags: usize) -> TestRegistry {
    let mut registry = TestRegistry::new();
    for repository in 0..repositories {
        let name = format!("group-{}/service-{repository}", repository % 100);
        let base = repository % BASES;
        for tag in 0..tags {
            let mut layers: Vec<String> = (0..BASE_LAYERS).map(|layer| format!("base {base} {layer}")).collect();
            layers.push(format!("dependencies of {name}"));
            layers.extend((0..2).map(|layer| format!("{name} {tag} {layer}")));
            push(&mut registry, &format!("{name}:1.{tag}"), &name, &layers);
        }
    }
    registry
}

fn push(registry: &mut TestRegistry, reference: &str, repository: &str, layers: &[String]) {
    let step = |layer: &String| json!({ "created": "2026-11-21T03:15:02Z", "created_by": format!("RUN /bin/sh -c install {layer}") });
    let mut history: Vec<Value> = layers.iter().map(step).collect();
    history.push(json!({ "created_by": "ENTRYPOINT [\"/app\"]", "empty_layer": true }));
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2026-11-21T03:15:02Z", "history": history, "reference": reference,
    })
    .to_string();
    let descriptor = |kind: &str, digest: &regc_core::Digest, bytes: usize| json!({ "mediaType": kind, "digest": digest, "size": bytes });
    let digest = registry.blob(config.as_str());
    registry.link_layer(repository, &digest);
    let config = descriptor("application/vnd.oci.image.config.v1+json", &digest, config.len());
    let layer = |layer: &String| {
        let digest = registry.layer(repository, layer);
        descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &digest, regc_testkit::layer_content(layer).len())
    };
    let layers: Vec<Value> = layers.iter().map(layer).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": layers,
    });
    registry.manifest(reference, manifest.to_string());
}
