//! Human-readable descriptions of manifests: kind, platforms, size.
//!
//! Nothing here decides what is deleted; [`manifest`](crate::registry::manifest) does. So what is not understood is
//! left out.
//!
//! The text is not read by [`manifest`](crate::registry::manifest), although both read the same JSON. A collection must
//! see every reference that some reader may see, in any spelling, and must stop at what it does not understand. A
//! listing shows what clients show, and leaves the rest out. Safety must not depend on what a listing wants to show.
//!
//! Sources: OCI image specification 1.1 ("manifest.md": `artifactType`, `config.mediaType`), and what cosign, notation,
//! Helm and BuildKit push.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use crate::digest::Digest;

/// The kind of a manifest that a client has pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageKind {
    /// A container image for one platform.
    Image,
    /// An index of images for several platforms, or of anything else.
    Index,
    /// A signature: cosign's or Notary's.
    Signature,
    /// An attestation: in-toto statements of cosign or BuildKit.
    Attestation,
    /// A software bill of materials.
    Sbom,
    /// A Helm chart.
    Chart,
    /// A build cache.
    Cache,
    /// Anything else that is not an image.
    Artifact,
    /// What is not understood.
    Unknown,
}

impl ImageKind {
    /// All of them, in their order.
    pub const ALL: [Self; 9] = [
        Self::Image,
        Self::Index,
        Self::Signature,
        Self::Attestation,
        Self::Sbom,
        Self::Chart,
        Self::Cache,
        Self::Artifact,
        Self::Unknown,
    ];

    /// Returns the name, for example `image`.
    pub const fn name(self) -> &'static str {
        match self {
            ImageKind::Image => "image",
            ImageKind::Index => "index",
            ImageKind::Signature => "signature",
            ImageKind::Attestation => "attestation",
            ImageKind::Sbom => "sbom",
            ImageKind::Chart => "chart",
            ImageKind::Cache => "cache",
            ImageKind::Artifact => "artifact",
            ImageKind::Unknown => "unknown",
        }
    }
}

/// What a manifest describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its kind.
    pub kind: ImageKind,
    /// The config, which states when an image was created and for which platform.
    pub config: Option<Part>,
    /// Its layers, or an artifact's blobs.
    pub layers: Vec<Part>,
    /// The manifests in an index.
    pub children: Vec<Part>,
    /// The manifest that it is attached to.
    pub subject: Option<Digest>,
    /// When it was created, from its annotation `org.opencontainers.image.created`, in RFC 3339. The configs of
    /// charts and other artifacts do not say.
    pub created: Option<String>,
}

/// Something that a manifest refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its digest.
    pub digest: Digest,
    /// The length of its content in bytes, according to the manifest.
    pub bytes: u64,
    /// Its platform, for example `linux/arm64/v8`, if an index states it.
    pub platform: Option<String>,
}

/// What an image's config states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// Its platform, for example `linux/amd64`.
    pub platform: Option<String>,
    /// When it was created, according to the config, in RFC 3339.
    pub created: Option<String>,
}

/// A step in which an image was made, as its config records it (OCI image specification 1.1, "config.md": `history`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Step {
    /// When, in RFC 3339.
    pub created: Option<String>,
    /// The command, for example a line of a Dockerfile.
    pub created_by: Option<String>,
    /// Whether it added no layer. The other steps and the image's layers correspond, in their order.
    pub empty_layer: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Parts>,
    blobs: Option<Parts>,
    fs_layers: Option<Parts>,
    manifests: Option<Parts>,
    subject: Option<Descriptor>,
    annotations: Option<Annotations>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "org.opencontainers.image.created")]
    created: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Descriptor {
    #[serde(alias = "blobSum")]
    digest: Option<String>,
    media_type: Option<String>,
    size: Option<u64>,
    platform: Option<Platform>,
}

/// An array of descriptors. It is built while the text is read: descriptors would take far more memory than their
/// text.
#[derive(Default)]
struct Parts {
    parts: Vec<Part>,
    /// The kind that their media types indicate.
    tells: Option<ImageKind>,
    has_cache: bool,
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartsVisitor;
        impl<'de> Visitor<'de> for PartsVisitor {
            type Value = Parts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of descriptors")
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut array: S) -> Result<Parts, S::Error> {
                let mut parts = Parts::default();
                while let Some(descriptor) = array.next_element::<Descriptor>()? {
                    parts.parts.extend(descriptor.part());
                    let media_type = descriptor.media_type.as_deref().unwrap_or("");
                    parts.tells = [parts.tells, told_by(media_type)].into_iter().flatten().min();
                    parts.has_cache |= media_type.contains(CACHE);
                }
                Ok(parts)
            }
        }
        deserializer.deserialize_seq(PartsVisitor)
    }
}

/// A part of the media types in BuildKit's caches, which are images or indexes of layers.
const CACHE: &str = "buildkit.cacheconfig";

/// Returns the kind of manifest that a media type in it indicates. Of several, the first in the order of kinds
/// counts.
fn told_by(media_type: &str) -> Option<ImageKind> {
    const TELLING: [(ImageKind, &[&str]); 5] = [
        (ImageKind::Signature, &["cosign.simplesigning", "notary.signature", "sigstore.bundle"]),
        (ImageKind::Attestation, &["in-toto", "dsse.envelope"]),
        (ImageKind::Sbom, &["spdx", "cyclonedx", "syft"]),
        (ImageKind::Chart, &["cncf.helm"]),
        (ImageKind::Cache, &[CACHE]),
    ];
    let tells = TELLING.into_iter().find(|(_, parts)| parts.iter().any(|part| media_type.contains(part)));
    tells.map(|(kind, _)| kind)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Platform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    created: Option<String>,
}

impl Platform {
    /// Returns `os/architecture/variant`; `None` if it is not a platform, as in BuildKit's attestations.
    fn name(&self) -> Option<String> {
        let known = |part: &Option<String>| part.clone().filter(|part| !part.is_empty() && part != "unknown");
        let parts = [known(&self.os)?, known(&self.architecture)?];
        Some(parts.into_iter().chain(known(&self.variant)).collect::<Vec<_>>().join("/"))
    }
}

impl Descriptor {
    fn part(&self) -> Option<Part> {
        let digest = Digest::parse_any_case(self.digest.as_deref()?).ok()?;
        let platform = self.platform.as_ref().and_then(Platform::name);
        Some(Part { digest, bytes: self.size.unwrap_or(0), platform })
    }
}

impl Description {
    /// Describes a manifest; returns `None` if it is not one.
    pub fn of(content: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(content).ok()?;
        document.schema_version.or(document.artifact_type.as_ref().map(|_| 2))?;
        let kind = document.kind();
        let mut layers = Vec::new();
        for list in [document.layers, document.blobs, document.fs_layers].into_iter().flatten() {
            match layers.is_empty() {
                true => layers = list.parts,
                false => layers.extend(list.parts),
            }
        }
        Some(Self {
            kind,
            config: document.config.as_ref().and_then(Descriptor::part),
            layers,
            children: document.manifests.map_or_else(Vec::new, |manifests| manifests.parts),
            subject: document.subject.as_ref().and_then(Descriptor::part).map(|part| part.digest),
            created: document.annotations.and_then(|annotations| annotations.created),
        })
    }
}

impl Document {
    fn kind(&self) -> ImageKind {
        let is_index = self.media_type.as_deref().is_some_and(|t| t.contains("index") || t.contains("manifest.list"));
        let config = self.config.as_ref().and_then(|config| config.media_type.as_deref());
        let is_image = |config: &str| {
            matches!(
                config,
                "application/vnd.docker.container.image.v1+json" | "application/vnd.oci.image.config.v1+json"
            )
        };
        let of_layers = [&self.layers, &self.blobs].into_iter().flatten().filter_map(|list| list.tells);
        let of_itself = [self.artifact_type.as_deref(), config].into_iter().flatten().filter_map(told_by);
        let of_index = self.manifests.as_ref().filter(|manifests| manifests.has_cache).map(|_| ImageKind::Cache);
        if let Some(told) = of_layers.chain(of_itself).chain(of_index).min() {
            told
        } else if is_index || self.manifests.is_some() {
            ImageKind::Index
        } else if self.fs_layers.is_some() || config.is_some_and(is_image) && self.artifact_type.is_none() {
            ImageKind::Image
        } else {
            ImageKind::Artifact
        }
    }
}

impl ImageConfig {
    /// Reads an image's config. Anything else gives an empty one.
    pub fn of(content: &[u8]) -> Self {
        let config: Platform = serde_json::from_slice(content).unwrap_or_default();
        Self { platform: config.name(), created: config.created.filter(|created| !created.is_empty()) }
    }
}

/// How many steps of an image's history are kept, and how many characters of each text. Docker makes no image of more
/// than 127 layers.
const MAX_STEPS: usize = 256;
const MAX_STEP_CHARACTERS: usize = 2000;

/// Reads the steps in which an image was built from its config, the oldest first. Other content has none. Clients
/// control how long this is, so only the first 256 steps are returned, and 2,000 characters of each text.
pub fn history_of(content: &[u8]) -> Vec<Step> {
    #[derive(Deserialize)]
    struct Config {
        history: Vec<Step>,
    }
    let mut history = serde_json::from_slice(content).map_or_else(|_| Vec::new(), |config: Config| config.history);
    history.truncate(MAX_STEPS);
    for step in &mut history {
        for text in [&mut step.created, &mut step.created_by].into_iter().flatten() {
            if let Some((end, _)) = text.char_indices().nth(MAX_STEP_CHARACTERS) {
                text.truncate(end);
            }
        }
    }
    history
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn describe(text: &str) -> Description {
        Description::of(text.replace("$d", DIGEST).as_bytes()).unwrap()
    }

    #[test]
    fn image_kinds_are_recognized() {
        let image =
            r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"$d"}"#;
        for (text, kind) in [
            (format!("{image}}}"), ImageKind::Image),
            (r#"{"schemaVersion":1,"fsLayers":[{"blobSum":"$d"}]}"#.into(), ImageKind::Image),
            (r#"{"schemaVersion":2,"manifests":[]}"#.into(), ImageKind::Index),
            (
                format!(r#"{image},"layers":[{{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json"}}]}}"#),
                ImageKind::Signature,
            ),
            (format!(r#"{image},"layers":[{{"mediaType":"application/vnd.in-toto+json"}}]}}"#), ImageKind::Attestation),
            (
                r#"{"schemaVersion":2,"artifactType":"application/spdx+json","config":{"mediaType":"x"}}"#.into(),
                ImageKind::Sbom,
            ),
            (
                r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"}}"#.into(),
                ImageKind::Chart,
            ),
            (
                r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.buildkit.cacheconfig.v0"}]}"#.into(),
                ImageKind::Cache,
            ),
            (r#"{"schemaVersion":2,"config":{"mediaType":"application/wasm"}}"#.into(), ImageKind::Artifact),
        ] {
            assert_eq!(describe(&text).kind, kind, "{text}");
        }
        assert!(Description::of(b"{}").is_none() && Description::of(b"text").is_none());
    }

    #[test]
    fn platforms_and_sizes_are_read() {
        let index = describe(
            r#"{"schemaVersion":2,"manifests":[
                {"digest":"$d","size":7,"platform":{"os":"linux","architecture":"arm64","variant":"v8"}},
                {"digest":"$d","platform":{"os":"unknown","architecture":"unknown"}}]}"#,
        );
        let children: Vec<_> = index.children.iter().map(|child| (child.bytes, child.platform.as_deref())).collect();
        assert_eq!(children, [(7, Some("linux/arm64/v8")), (0, None)]);
        let config = ImageConfig::of(br#"{"os":"linux","architecture":"amd64","created":"2026-01-02T03:04:05Z"}"#);
        assert_eq!(config.platform.as_deref(), Some("linux/amd64"));
        assert_eq!(config.created.as_deref(), Some("2026-01-02T03:04:05Z"));
        assert_eq!(ImageConfig::of(b"no configuration"), ImageConfig::default());
        let steps = history_of(
            br#"{"history":[{"created":"2026-01-02T03:04:05Z","created_by":"COPY . .","author":"a"},{"empty_layer":true}]}"#,
        );
        assert_eq!(steps[0].created_by.as_deref(), Some("COPY . ."));
        assert_eq!(steps.iter().map(|step| step.empty_layer).collect::<Vec<_>>(), [false, true]);
        let long = format!(r#"{{"history":[{}{{"created_by":"{}"}}]}}"#, "{},".repeat(9), "ä".repeat(9_999));
        assert_eq!(history_of(long.as_bytes())[9].created_by.as_ref().map(String::len), Some(2 * MAX_STEP_CHARACTERS));
        let many = format!(r#"{{"history":[{}{{}}]}}"#, "{},".repeat(999));
        assert_eq!(history_of(many.as_bytes()).len(), MAX_STEPS);
        assert!(history_of(b"{}").is_empty() && history_of(br#"{"history":[{"created":1}]}"#).is_empty());
    }
}
