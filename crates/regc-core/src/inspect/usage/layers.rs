//! Layers that several images have: each is stored once, and pulled with each of them.

use std::cmp::Reverse;

use super::sharing::Users;
use super::{LayerUsage, SharedLayers};
use crate::registry::manifest::Role;
use crate::scan::Scan;
use crate::scan::graph::{self, Edge};
use crate::scan::inventory::DigestId;

/// Finds the layers and configs that several live images have, and returns the `most` of them that save most.
pub(super) fn shared_layers(scan: &Scan, users: &Users, sizes: &[u64], most: usize) -> SharedLayers {
    let Scan { inventory, reachable, .. } = scan;
    let mut live: Vec<DigestId> =
        reachable.repositories.iter().flat_map(|repository| repository.manifests.iter().copied()).collect();
    live.sort_unstable();
    live.dedup();
    let mut images = vec![0_u64; sizes.len()];
    for manifest in live {
        let content = |(edge, id): (Edge, DigestId)| match edge {
            Edge::Reference(Role::Config | Role::Layer) => inventory.digests.stored_index(id),
            _ => None,
        };
        let blobs = reachable.manifests.with(manifest, |manifest| graph::edges(manifest).filter_map(content).collect());
        let mut blobs: Vec<usize> = blobs.unwrap_or_default();
        blobs.sort_unstable();
        blobs.dedup();
        blobs.into_iter().for_each(|blob| images[blob] += 1);
    }
    let saved = |blob: usize| sizes[blob].saturating_mul(images[blob] - 1);
    let mut shared: Vec<usize> = (0..sizes.len()).filter(|&blob| images[blob] > 1).collect();
    let (count, bytes_saved) =
        (shared.len() as u64, shared.iter().map(|&blob| saved(blob)).fold(0, u64::saturating_add));
    // The order of equal ones is that of their digests.
    shared.sort_by_key(|&blob| Reverse(saved(blob)));
    shared.truncate(most);
    let digests: Vec<DigestId> = inventory.digests.stored_ids().collect();
    let usage = |blob: usize| LayerUsage {
        digest: inventory.digests.digest(digests[blob]),
        bytes: sizes[blob],
        images: images[blob],
        repositories: users.of(blob as u32).len() as u64,
    };
    SharedLayers { count, bytes_saved, layers: shared.into_iter().map(usage).collect() }
}
