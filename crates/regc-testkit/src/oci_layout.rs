//! Real images in an OCI image layout, which real clients can push.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use regc_core::Digest;
use serde_json::{Value, json};

use crate::sha256;

/// A directory with images.
pub struct OciLayout {
    directory: PathBuf,
    manifests: Vec<Value>,
}

/// The content of a layer before compression: a name and a number of bytes.
#[derive(Clone, Copy, Debug)]
pub struct LayerSpec<'a> {
    /// Layers of the same name are the same.
    pub name: &'a str,
    /// The length of the one file in it.
    pub bytes: usize,
}

impl OciLayout {
    /// Creates `directory` with an empty layout.
    pub fn create(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        fs::create_dir_all(directory.join("blobs/sha256")).expect("the layout can be made");
        fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file can be written");
        Self { directory, manifests: Vec::new() }
    }

    /// Returns its directory.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Adds an image for one architecture under a name.
    pub fn image(&mut self, name: &str, architecture: &str, layers: &[LayerSpec<'_>]) {
        let manifest = self.manifest(architecture, layers);
        self.name(name, manifest);
    }

    /// Adds an index of images under a name, one image per architecture.
    pub fn index(&mut self, name: &str, images: &[(&str, &[LayerSpec<'_>])]) {
        let manifests: Vec<Value> = images
            .iter()
            .map(|(architecture, layers)| {
                let mut manifest = self.manifest(architecture, layers);
                manifest["platform"] = json!({ "architecture": architecture, "os": "linux" });
                manifest
            })
            .collect();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
        let descriptor = self.blob(media_type, index.to_string().as_bytes());
        self.name(name, descriptor);
    }

    fn name(&mut self, name: &str, mut descriptor: Value) {
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        self.manifests.push(descriptor);
        let index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        fs::write(self.directory.join("index.json"), index.to_string()).expect("the index can be written");
    }

    fn manifest(&self, architecture: &str, layers: &[LayerSpec<'_>]) -> Value {
        let tars: Vec<Vec<u8>> = layers.iter().map(tar).collect();
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": tars.iter().map(|tar| sha256(tar).to_string()).collect::<Vec<_>>() },
        });
        let layers: Vec<Value> =
            tars.iter().map(|tar| self.blob("application/vnd.oci.image.layer.v1.tar+gzip", &gzip(tar))).collect();
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes()),
            "layers": layers,
        });
        self.blob(media_type, manifest.to_string().as_bytes())
    }

    fn blob(&self, media_type: &str, content: &[u8]) -> Value {
        let digest: Digest = sha256(content);
        fs::write(self.directory.join("blobs/sha256").join(digest.hex()), content).expect("a blob can be written");
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": content.len() })
    }
}

/// Returns a tar archive with one file, whose content cannot be compressed.
fn tar(layer: &LayerSpec<'_>) -> Vec<u8> {
    let seed = layer.name.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut rng = fastrand::Rng::with_seed(seed);
    let content: Vec<u8> = (0..layer.bytes).map(|_| rng.u8(..)).collect();
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, layer.name, &*content).expect("a tar archive can be made in memory");
    archive.into_inner().expect("a tar archive can be made in memory")
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("compressing in memory cannot fail")
}
