//! A large registry, written directly to a directory.

use std::fs;
use std::io;
use std::path::Path;

use fastrand::Rng;
use rayon::prelude::*;
use regc_core::registry::layout;
use regc_core::{Algorithm, Digest};
use serde_json::json;

/// The size and contents of a generated registry.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Shape {
    /// How many repositories there are
    #[arg(long, default_value_t = 600)]
    pub repositories: usize,
    /// How many images are pushed to each
    #[arg(long, default_value_t = 60)]
    pub images: usize,
    /// How many layers an image has
    #[arg(long, default_value_t = 8)]
    pub layers: usize,
    /// How many of an image's layers come from a base that all images share
    #[arg(long, default_value_t = 5)]
    pub base_layers: usize,
    /// The length of a layer, in bytes
    #[arg(long, default_value_t = 64)]
    pub layer_bytes: usize,
    /// How many percent of the images are deleted through the API
    #[arg(long, default_value_t = 30)]
    pub deleted: u8,
    /// How many percent of the images have no tag
    #[arg(long, default_value_t = 20)]
    pub untagged: u8,
    /// How many percent of the images are indexes of two platforms
    #[arg(long, default_value_t = 10)]
    pub indexes: u8,
    /// The seed of the random choices
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Writes a registry of this shape below `root`.
pub fn write(root: &Path, shape: &Shape) -> io::Result<()> {
    let base: Vec<(Digest, usize)> = (0..shape.base_layers)
        .map(|n| blob(root, &padded(format!("base {n}"), shape.layer_bytes)))
        .collect::<Result<_, _>>()?;
    (0..shape.repositories).into_par_iter().try_for_each(|number| {
        let mut rng = Rng::with_seed(shape.seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        let name = format!("team-{}/app-{number}", number % 20);
        let repository = Repository { root, shape, name: &name, base: &base };
        (0..shape.images).try_for_each(|image| repository.push(image, &mut rng))
    })
}

struct Repository<'a> {
    root: &'a Path,
    shape: &'a Shape,
    name: &'a str,
    base: &'a [(Digest, usize)],
}

impl Repository<'_> {
    fn push(&self, image: usize, rng: &mut Rng) -> io::Result<()> {
        let is_index = rng.u8(..100) < self.shape.indexes;
        let (is_deleted, is_tagged) = (rng.u8(..100) < self.shape.deleted, rng.u8(..100) >= self.shape.untagged);
        let platforms: &[&str] = if is_index { &["amd64", "arm64"] } else { &["amd64"] };
        let mut pushed = Vec::new();
        for platform in platforms {
            pushed.push(self.image(image, platform)?);
        }
        if is_index {
            let manifests: Vec<_> = pushed
                .iter()
                .zip(platforms)
                .map(|((digest, bytes), platform)| {
                    let mut manifest = descriptor("manifest.v1+json", digest, *bytes);
                    manifest["platform"] = json!({ "architecture": platform, "os": "linux" });
                    manifest
                })
                .collect();
            let media_type = "application/vnd.oci.image.index.v1+json";
            let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
            pushed.push(blob(self.root, index.to_string().as_bytes())?);
        }
        for (digest, _) in &pushed {
            if is_deleted {
                fs::create_dir_all(self.root.join(layout::revision(self.name, digest)))?;
            } else {
                self.link(&layout::revision_link(self.name, digest), digest)?;
            }
        }
        if let Some((digest, _)) = pushed.last().filter(|_| is_tagged && !is_deleted) {
            let tag = format!("v{image}");
            self.link(&layout::tag_link(self.name, &tag), digest)?;
            self.link(&layout::tag_index_link(self.name, &tag, digest), digest)?;
        }
        Ok(())
    }

    fn image(&self, image: usize, platform: &str) -> io::Result<(Digest, usize)> {
        let mut layers = self.base.to_vec();
        for layer in self.shape.base_layers..self.shape.layers {
            let content = padded(format!("{} {image} {platform} {layer}", self.name), self.shape.layer_bytes);
            layers.push(blob(self.root, &content)?);
        }
        let config = json!({ "architecture": platform, "os": "linux", "of": format!("{} {image}", self.name) });
        let config = blob(self.root, config.to_string().as_bytes())?;
        for (digest, _) in layers.iter().chain([&config]) {
            self.link(&layout::layer_link(self.name, digest), digest)?;
        }
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let layers: Vec<_> =
            layers.iter().map(|(digest, bytes)| descriptor("layer.v1.tar+gzip", digest, *bytes)).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": descriptor("config.v1+json", &config.0, config.1),
            "layers": layers,
        });
        blob(self.root, manifest.to_string().as_bytes())
    }

    fn link(&self, key: &str, digest: &Digest) -> io::Result<()> {
        write_file(self.root, key, digest.to_string().as_bytes())
    }
}

fn blob(root: &Path, content: &[u8]) -> io::Result<(Digest, usize)> {
    let digest = Digest::of(Algorithm::Sha256, content);
    write_file(root, &layout::blob_data(&digest), content)?;
    Ok((digest, content.len()))
}

fn write_file(root: &Path, key: &str, content: &[u8]) -> io::Result<()> {
    let path = root.join(key);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)
}

fn padded(name: String, bytes: usize) -> Vec<u8> {
    let mut content = name.into_bytes();
    content.resize(bytes.max(content.len()), b' ');
    content
}

fn descriptor(kind: &str, digest: &Digest, bytes: usize) -> serde_json::Value {
    json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest.to_string(), "size": bytes })
}
