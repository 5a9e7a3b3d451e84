//! Random registries, the same for the same seed.

use fastrand::Rng;
use regc_core::Digest;

use crate::{MediaTypes, TestRegistry, layer};

/// What a random registry may hold besides images, deleted and untagged ones, and indexes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features {
    /// Manifests that are attached to others by `subject`.
    pub referrers: bool,
    /// Repositories without one of their directories, as interrupted pushes leave them.
    pub partial_repositories: bool,
}

const NAMES: [&str; 6] = ["app", "app/worker", "base", "team/app", "team/app/cache", "team/tools"];

/// Generates a registry from the seed: a few repositories that share layers, with all that can happen to images.
pub fn registry(seed: u64, features: Features) -> TestRegistry {
    let mut rng = Rng::with_seed(seed);
    let mut registry = TestRegistry::new();
    let mut pushed: Vec<(String, Digest)> = Vec::new();
    for name in NAMES {
        if rng.u8(..4) == 0 {
            continue;
        }
        // Every repository has a tag: without one, the registry's own command stops at the first untagged manifest.
        let keep = registry.image(&format!("{name}:keep")).layers(layers(&mut rng)).push();
        let mut here = vec![keep];
        for _ in 0..rng.usize(1..8) {
            let reference = reference(&mut rng, name);
            let media_types = *rng.choice(&[MediaTypes::Oci, MediaTypes::Docker, MediaTypes::Absent]).unwrap();
            let manifest = match rng.u8(..10) {
                0..=2 => {
                    let mut children: Vec<Digest> = Vec::new();
                    for _ in 0..rng.usize(..4) {
                        children.push(match rng.u8(..6) {
                            // In no repository.
                            0 => layer(&format!("absent {}", rng.u8(..5))),
                            // Perhaps in another repository only.
                            1 => pushed.get(rng.usize(..pushed.len().max(1))).map_or(keep, |(_, digest)| *digest),
                            _ => *rng.choice(&here).unwrap(),
                        });
                    }
                    registry.index(&reference).media_types(media_types).manifests(children).push()
                }
                3 if features.referrers => {
                    let subject = *rng.choice(&here).unwrap();
                    registry.image(name).layers([format!("signature {}", rng.u8(..20))]).subject(subject).push()
                }
                4 => registry
                    .image(&reference)
                    .layers(layers(&mut rng))
                    .foreign_layers(["elsewhere"])
                    .media_types(media_types)
                    .push(),
                _ => registry.image(&reference).layers(layers(&mut rng)).media_types(media_types).push(),
            };
            here.push(manifest);
            pushed.push((name.to_owned(), manifest));
        }
        for manifest in &here {
            if *manifest != keep && rng.u8(..4) == 0 && registry.get(&revision_link(name, manifest)).is_some() {
                registry.delete(name, manifest);
            }
        }
        if rng.u8(..3) == 0 {
            registry.layer(name, &format!("never used {}", rng.u8(..3)));
        }
        if rng.bool() {
            registry.upload(name, "6d1c5e0b-0000-4000-8000-000000000000");
        }
    }
    registry.image("always:v1").layers(layers(&mut rng)).push();
    if features.partial_repositories {
        registry.layer("cut/off", "base 0");
        registry.upload("cut/short", "6d1c5e0b-0000-4000-8000-000000000001");
        let manifest = registry.manifest("bare:v1", r#"{"schemaVersion":2,"config":null,"layers":[]}"#);
        registry.tag("bare", "v2", &manifest);
    }
    registry
}

fn revision_link(name: &str, digest: &Digest) -> String {
    regc_core::registry::layout::revision_link(name, digest)
}

fn layers(rng: &mut Rng) -> Vec<String> {
    let mut layers = vec![format!("base {}", rng.u8(..3))];
    layers.extend((0..rng.usize(..4)).map(|_| format!("layer {}", rng.u8(..40))));
    layers
}

/// Returns a reference with one of a few tags, so that tags move, or without a tag.
fn reference(rng: &mut Rng, name: &str) -> String {
    if rng.u8(..4) == 0 { name.to_owned() } else { format!("{name}:v{}", rng.u8(..4)) }
}
