//! Builders of manifests.

use regc_core::Digest;
use serde_json::{Value, json};

use crate::{TestRegistry, layer, layer_content, split};

/// The media types that a manifest declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaTypes {
    /// Those of the OCI image specification.
    #[default]
    Oci,
    /// Those of Docker's schema 2.
    Docker,
    /// None in the manifest itself, which the OCI specification allows.
    Absent,
}

impl MediaTypes {
    fn manifest(self) -> &'static str {
        match self {
            MediaTypes::Docker => "application/vnd.docker.distribution.manifest.v2+json",
            MediaTypes::Oci | MediaTypes::Absent => "application/vnd.oci.image.manifest.v1+json",
        }
    }

    fn index(self) -> &'static str {
        match self {
            MediaTypes::Docker => "application/vnd.docker.distribution.manifest.list.v2+json",
            MediaTypes::Oci | MediaTypes::Absent => "application/vnd.oci.image.index.v1+json",
        }
    }

    fn config(self) -> &'static str {
        match self {
            MediaTypes::Docker => "application/vnd.docker.container.image.v1+json",
            MediaTypes::Oci | MediaTypes::Absent => "application/vnd.oci.image.config.v1+json",
        }
    }

    fn layer(self) -> &'static str {
        match self {
            MediaTypes::Docker => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            MediaTypes::Oci | MediaTypes::Absent => "application/vnd.oci.image.layer.v1.tar+gzip",
        }
    }
}

/// An image to be pushed.
pub struct ImageBuilder<'a> {
    registry: &'a mut TestRegistry,
    reference: String,
    media_types: MediaTypes,
    layers: Vec<String>,
    foreign_layers: Vec<String>,
    subject: Option<Digest>,
    created: Option<String>,
}

impl<'a> ImageBuilder<'a> {
    pub(crate) fn new(registry: &'a mut TestRegistry, reference: &str) -> Self {
        let (media_types, reference) = (MediaTypes::default(), reference.to_owned());
        let (layers, foreign_layers) = (Vec::new(), Vec::new());
        Self { registry, reference, media_types, layers, foreign_layers, subject: None, created: None }
    }

    /// Adds layers, by their names.
    pub fn layers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.layers.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds layers that are served elsewhere, and are not stored.
    pub fn foreign_layers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.foreign_layers.extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets the media types.
    pub fn media_types(mut self, media_types: MediaTypes) -> Self {
        self.media_types = media_types;
        self
    }

    /// Sets the manifest that the image is attached to.
    pub fn subject(mut self, subject: Digest) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Sets the creation time in its config.
    pub fn created(mut self, created: &str) -> Self {
        self.created = Some(created.to_owned());
        self
    }

    /// Pushes the image: layers, config, manifest, tag. Returns the manifest's digest.
    pub fn push(self) -> Digest {
        let (repository, _) = split(&self.reference);
        let mut config = json!({ "architecture": "amd64", "os": "linux", "layers": self.layers });
        if let Some(created) = &self.created {
            config["created"] = json!(created);
        }
        let config = config.to_string();
        let config_digest = self.registry.blob(config.as_str());
        self.registry.names.insert(config_digest, format!("config of {}", self.reference));
        self.registry.link_layer(repository, &config_digest);
        let mut layers = Vec::new();
        for name in &self.layers {
            self.registry.layer(repository, name);
            layers.push(descriptor(self.media_types.layer(), &layer(name), layer_content(name).len()));
        }
        for name in &self.foreign_layers {
            let mut foreign = descriptor(self.media_types.layer(), &layer(name), layer_content(name).len());
            foreign["urls"] = json!(["https://elsewhere.example/layer"]);
            layers.push(foreign);
        }
        let mut manifest = json!({
            "schemaVersion": 2,
            "config": descriptor(self.media_types.config(), &config_digest, config.len()),
            "layers": layers,
        });
        if self.media_types != MediaTypes::Absent {
            manifest["mediaType"] = json!(self.media_types.manifest());
        }
        if let Some(subject) = &self.subject {
            manifest["subject"] = descriptor(self.media_types.manifest(), subject, 1);
        }
        self.registry.manifest(&self.reference, manifest.to_string())
    }
}

/// An index to be pushed.
pub struct IndexBuilder<'a> {
    registry: &'a mut TestRegistry,
    reference: String,
    media_types: MediaTypes,
    manifests: Vec<Value>,
}

impl<'a> IndexBuilder<'a> {
    pub(crate) fn new(registry: &'a mut TestRegistry, reference: &str) -> Self {
        Self { registry, reference: reference.to_owned(), media_types: MediaTypes::default(), manifests: Vec::new() }
    }

    /// Sets the media types. Call this before `manifests`.
    pub fn media_types(mut self, media_types: MediaTypes) -> Self {
        self.media_types = media_types;
        self
    }

    /// Adds images. An image may be missing; its size in the index is wrong once it is pushed.
    pub fn manifests(mut self, digests: impl IntoIterator<Item = Digest>) -> Self {
        for digest in digests {
            let mut child = descriptor(self.media_types.manifest(), &digest, self.registry.stored_bytes(&digest));
            child["platform"] = json!({ "architecture": "amd64", "os": "linux" });
            self.manifests.push(child);
        }
        self
    }

    /// Adds an entry of any media type.
    pub fn entry(mut self, media_type: &str, digest: &Digest) -> Self {
        self.manifests.push(descriptor(media_type, digest, self.registry.stored_bytes(digest)));
        self
    }

    /// Pushes the index. Returns its digest.
    pub fn push(self) -> Digest {
        let mut index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        if self.media_types != MediaTypes::Absent {
            index["mediaType"] = json!(self.media_types.index());
        }
        self.registry.manifest(&self.reference, index.to_string())
    }
}

fn descriptor(media_type: &str, digest: &Digest, bytes: usize) -> Value {
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes })
}
