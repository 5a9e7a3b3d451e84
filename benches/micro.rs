//! The parts without I/O: parsing a manifest, and planning.
//!
//!     cargo bench -p regc-benches

use divan::counter::BytesCount;
use regc_core::registry::layout;
use regc_core::registry::manifest::References;
use regc_core::stages::collect::plan::plan;
use regc_core::stages::scan::{Options, Scan, scan};
use regc_core::{Digest, Silent};
use regc_testkit::TestRegistry;

fn main() {
    divan::main();
}

/// Returns a manifest with this many layers, and its digest.
fn manifest(layers: usize) -> (Digest, Vec<u8>) {
    let mut registry = TestRegistry::new();
    let digest = registry.image("app:v1").layers((0..layers).map(|n| n.to_string())).push();
    (digest, registry.get(&layout::blob_data(&digest)).unwrap_or_default().to_vec())
}

#[divan::bench(args = [8, 128])]
fn parse_manifest(bencher: divan::Bencher<'_, '_>, layers: usize) {
    let (_, content) = manifest(layers);
    bencher.counter(BytesCount::of_slice(&content)).bench(|| References::parse(&content));
}

#[divan::bench(args = [8, 128])]
fn hash_and_parse_manifest(bencher: divan::Bencher<'_, '_>, layers: usize) {
    let (digest, content) = manifest(layers);
    bencher.counter(BytesCount::of_slice(&content)).bench(|| References::of_blob(&digest, &content));
}

/// Scans a store in which half of the images were deleted.
fn scanned(images: usize) -> Scan {
    let mut registry = TestRegistry::new();
    for image in 0..images {
        let name = format!("team/app-{}", image % 10);
        let digest = registry.image(&format!("{name}:v{image}")).layers(["base".to_owned(), image.to_string()]).push();
        if image % 2 == 0 {
            registry.delete(&name, &digest);
        }
    }
    scan(&registry.in_memory(true), &Options::default(), &Silent).expect("a store in memory can be read")
}

#[divan::bench(args = [100, 1000])]
fn plan_and_list(bencher: divan::Bencher<'_, '_>, images: usize) {
    bencher.with_inputs(|| scanned(images)).bench_values(|scan| {
        let plan = plan(scan, &Options::default()).expect("the store is healthy");
        (plan.items().count(), plan.totals(), plan.shares().0.len())
    });
}
