//! What happens to a registry in practice, with real clients: pushes of every kind, an overwritten tag, a deletion
//! through the API, an interrupted push.

use std::path::{Path, PathBuf};

use crate::oci_layout::{LayerSpec, OciLayout};
use crate::peer::PeerRegistry;

/// What was pushed to a registry, and what was deleted.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The OCI image layout from which everything was pushed.
    pub images: PathBuf,
    /// The digest of the image that was deleted from `team/app`. Its layers are "base", which other images share, and
    /// "doomed".
    pub doomed: String,
    /// The digest of the image that `other:moving` named before it was overwritten.
    pub overwritten: String,
}

/// All tags that can be pulled afterwards.
pub const TAGS: [&str; 6] =
    ["team/app:v1", "team/app:multi", "team/app/worker:v1", "other:v1", "other:list", "other:moving"];

/// Makes images in `directory`, with layers of `layer_bytes` each, and plays the scenario on an empty registry.
pub fn play(registry: &PeerRegistry, directory: &Path, layer_bytes: usize) -> Scenario {
    let part = |name| LayerSpec { name, bytes: layer_bytes };
    let (base, shared) = (part("base"), part("shared"));
    let mut images = OciLayout::create(directory);
    images.image("one", "amd64", &[base, part("one")]);
    images.image("two", "amd64", &[base, shared, part("two")]);
    images.image("three", "amd64", &[shared, part("three")]);
    images.image("doomed", "amd64", &[base, part("doomed")]);
    images.index("oci-index", &[("amd64", &[base, part("oci amd64")]), ("arm64", &[part("oci arm64")])]);
    images.index("docker-list", &[("amd64", &[base, part("docker amd64")]), ("arm64", &[part("docker arm64")])]);
    let images = images.path().to_owned();

    registry.push(&images, "one", "team/app:v1", "oci");
    registry.push(&images, "oci-index", "team/app:multi", "oci");
    registry.push(&images, "two", "team/app/worker:v1", "oci");
    registry.push(&images, "two", "other:v1", "v2s2");
    registry.push(&images, "docker-list", "other:list", "v2s2");
    registry.push(&images, "one", "other:moving", "v2s2");
    let overwritten = registry.digest("other", "moving");
    registry.push(&images, "three", "other:moving", "v2s2");
    registry.push(&images, "doomed", "team/app:doomed", "oci");
    let doomed = registry.digest("team/app", "doomed");
    registry.delete("team/app", &doomed);
    registry.begin_upload("team/app", &[7; 5000]);
    Scenario { images, doomed, overwritten }
}
