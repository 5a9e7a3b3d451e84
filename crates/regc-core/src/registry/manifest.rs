//! What a manifest refers to.
//!
//! A collector that misses one reference deletes a layer in use, so manifests are read at least as liberally as the
//! registry and its clients read them. Those are written in Go, whose `encoding/json` matches keys in any case (by
//! Unicode's simple folding) and lets the last of several equal keys win. Here every spelling counts, and every
//! occurrence: a reference that one reader may see is a reference. What is not understood at all is [`Damage`].
//!
//! Sources: distribution's `manifest/{schema1,schema2,manifestlist,ocischema}` and `registry/storage/manifeststore.go`;
//! OCI image specification 1.1, "manifest.md", "image-index.md", "descriptor.md"; OCI artifact manifest (1.1.0-rc2).

mod checked;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::digest::Digest;

/// The largest manifest that is read, in bytes. The registry itself accepts 4 MiB.
pub const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// A manifest's kind, as far as it matters to what it refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Docker image manifest, schema 1, signed or not.
    Schema1,
    /// Docker image manifest schema 2, OCI image manifest, OCI artifact manifest.
    Image,
    /// Docker manifest list, OCI image index.
    Index,
}

/// Why a manifest refers to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The image's configuration.
    Config,
    /// A layer, or a blob of an artifact.
    Layer,
    /// A layer that says where else it is (`urls`): the registry need not have it.
    ForeignLayer,
    /// A manifest in an index.
    Child,
    /// Something in an index whose media type is neither that of a manifest nor that of a layer or configuration. A
    /// registry serves it as a manifest if it is one.
    OddChild,
    /// A layer or configuration in an index, by its media type. Build caches list them there.
    OpaqueChild,
}

impl Role {
    /// Whether what is referred to may be a manifest.
    pub fn may_be_child(self) -> bool {
        matches!(self, Role::Child | Role::OddChild)
    }
}

/// One reference of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// What is referred to.
    pub digest: Digest,
    /// Why.
    pub role: Role,
    /// The length of its content in bytes, according to the manifest; 0 if it states none, or not a valid one.
    pub bytes: u64,
}

/// Everything that a manifest refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct References {
    /// The manifest's kind.
    pub kind: Kind,
    /// What it needs, in the order in which the registry marks it: config, layers, blobs, children.
    pub references: Vec<Reference>,
    /// The manifest that this one is attached to (OCI 1.1 referrers). It keeps nothing alive.
    pub subject: Option<Digest>,
}

/// Why a manifest is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is larger than [`MAX_MANIFEST_BYTES`].
    #[error("larger than 64 MiB")]
    TooLarge,
    /// Its content does not match its digest.
    #[error("its content hashes to {0}")]
    DigestMismatch(Digest),
    /// Its content did not match its digest, and a repair has moved it to the trash.
    #[error("its damaged content was moved to the trash by a repair, so that it can be pushed again")]
    MovedAside,
    /// It is not JSON, or not the JSON of a manifest.
    #[error("not the JSON of a manifest: {0}")]
    NotJson(String),
    /// Its `schemaVersion` is absent or unknown.
    #[error("unknown schema version")]
    UnknownSchema,
    /// Its `mediaType` is not that of a manifest.
    #[error("unknown media type {0:?}")]
    UnknownMediaType(String),
    /// It refers to something that is not a digest.
    #[error("refers to {0:?}, which is not a digest")]
    InvalidReference(String),
}

impl References {
    /// Reads the manifest that is stored under `digest`, after checking that its content matches it.
    pub fn of_blob(digest: &Digest, content: &[u8]) -> Result<Self, Damage> {
        let actual = Digest::of(digest.algorithm(), content);
        if actual != *digest {
            return Err(Damage::DigestMismatch(actual));
        }
        Self::parse(content)
    }

    /// Reads a manifest's text.
    pub fn parse(content: &[u8]) -> Result<Self, Damage> {
        // Checking a whole text for UTF-8 is faster than checking each string in it. Go reads invalid UTF-8, too.
        let document: Result<Document, _> = match std::str::from_utf8(content) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(content),
        };
        let document = document.map_err(|error| Damage::NotJson(error.to_string()))?;
        let media_type = document.media_type.as_deref().unwrap_or("");
        let kind = match (document.schema_version, media_type) {
            (Some(1), _) => Kind::Schema1,
            (Some(2), "") if document.has_manifests => Kind::Index,
            (Some(2), "" | DOCKER_MANIFEST | OCI_MANIFEST) | (_, OCI_ARTIFACT | ORAS_ARTIFACT) => Kind::Image,
            (Some(2), DOCKER_LIST | OCI_INDEX) => Kind::Index,
            (Some(2), other) => return Err(Damage::UnknownMediaType(other.to_owned())),
            _ => return Err(Damage::UnknownSchema),
        };

        let mut references = Vec::new();
        for list in [document.config, document.layers, document.blobs, document.fs_layers, document.manifests] {
            if let Some(text) = list.invalid {
                return Err(Damage::InvalidReference(text));
            }
            match references.is_empty() {
                true => references = list.references,
                false => references.extend(list.references),
            }
        }
        // The subject only ever keeps its referrer alive. An unreadable subject must not be taken for none.
        let subject = match document.subject.as_deref() {
            None | Some("") => None,
            Some(text) => Some(Digest::parse_any_case(text).map_err(|error| Damage::InvalidReference(error.0))?),
        };
        Ok(Self { kind, references, subject })
    }
}

const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// What ORAS pushed before OCI's artifact manifest existed, with the same fields.
const ORAS_ARTIFACT: &str = "application/vnd.cncf.oras.artifact.manifest.v1+json";

/// The fields of all kinds of manifests together.
#[derive(Default)]
struct Document<'a> {
    schema_version: Option<u64>,
    media_type: Option<Cow<'a, str>>,
    config: List,
    layers: List,
    blobs: List,
    fs_layers: List,
    manifests: List,
    /// Whether there is an array of manifests, even an empty one: without a media type, it distinguishes an empty
    /// index from an image.
    has_manifests: bool,
    subject: Option<Cow<'a, str>>,
}

/// What a key of a manifest refers to. It is built while the text is read: descriptors would take far more memory
/// than their text.
#[derive(Default)]
struct List {
    references: Vec<Reference>,
    /// The first text that should be a digest and is not.
    invalid: Option<String>,
}

impl List {
    /// Adds the reference of a descriptor. Descriptors without a digest refer to nothing, and so do nulls, which Go
    /// decodes as such descriptors.
    fn add(&mut self, descriptor: Option<Descriptor<'_>>, role: fn(&Descriptor<'_>) -> Role) {
        let Some(descriptor) = descriptor else { return };
        let Some(text) = descriptor.digest.as_deref().filter(|text| !text.is_empty()) else { return };
        match Digest::parse_any_case(text) {
            Ok(digest) => {
                self.references.push(Reference { digest, role: role(&descriptor), bytes: descriptor.bytes });
            }
            Err(_) if self.invalid.is_some() => {}
            Err(error) => self.invalid = Some(error.0),
        }
    }
}

/// A descriptor, or one of schema 1's `fsLayers`.
#[derive(Default)]
struct Descriptor<'a> {
    digest: Option<Cow<'a, str>>,
    media_type: Option<Cow<'a, str>>,
    bytes: u64,
    has_urls: bool,
}

fn role_in_image(descriptor: &Descriptor<'_>) -> Role {
    if descriptor.has_urls { Role::ForeignLayer } else { Role::Layer }
}

/// A registry that does not look for a layer with `urls` does not look for such a configuration either.
fn role_of_config(descriptor: &Descriptor<'_>) -> Role {
    if descriptor.has_urls { Role::ForeignLayer } else { Role::Config }
}

fn role_in_index(descriptor: &Descriptor<'_>) -> Role {
    const NO_MANIFESTS: [&str; 5] = [
        "application/vnd.oci.image.layer.",
        "application/vnd.oci.image.config.",
        "application/vnd.docker.image.rootfs.",
        "application/vnd.docker.container.image.",
        "application/vnd.buildkit.cacheconfig.",
    ];
    match descriptor.media_type.as_deref().unwrap_or("") {
        ""
        | DOCKER_SCHEMA1
        | DOCKER_SCHEMA1_SIGNED
        | DOCKER_MANIFEST
        | DOCKER_LIST
        | OCI_MANIFEST
        | OCI_INDEX
        | OCI_ARTIFACT
        | ORAS_ARTIFACT => Role::Child,
        other if NO_MANIFESTS.iter().any(|prefix| other.starts_with(prefix)) => Role::OpaqueChild,
        _ => Role::OddChild,
    }
}

/// Folds a key as Go's decoder compares it: ASCII to lower case, and the two other characters that fold to ASCII
/// letters.
fn folded(key: &str) -> Cow<'_, str> {
    let as_specified = match key {
        "mediaType" => "mediatype",
        "schemaVersion" => "schemaversion",
        "fsLayers" => "fslayers",
        "blobSum" => "blobsum",
        _ => "",
    };
    if !as_specified.is_empty() {
        return Cow::Borrowed(as_specified);
    }
    if key.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(key);
    }
    let fold = |c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    Cow::Owned(key.chars().map(fold).collect())
}

/// Returns the one that is there. Fails on two different ones: which one counts would depend on the reader.
fn one_of<'a, E: serde::de::Error>(
    one: Option<Cow<'a, str>>,
    other: Option<Cow<'a, str>>,
    what: &str,
) -> Result<Option<Cow<'a, str>>, E> {
    match (&one, &other) {
        (Some(a), Some(b)) if a != b => Err(E::custom(format_args!("two different {what}"))),
        _ => Ok(one.or(other)),
    }
}

/// A string that is borrowed from the text where it holds no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for Document<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DocumentVisitor;
        impl<'de> Visitor<'de> for DocumentVisitor {
            type Value = Document<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a manifest")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document<'de>, A::Error> {
                let mut document = Document::default();
                while let Some(Text(key)) = map.next_key()? {
                    match &*folded(&key) {
                        "schemaversion" => document.schema_version = map.next_value()?,
                        "mediatype" => document.media_type = map.next_value::<Option<Text<'_>>>()?.map(|text| text.0),
                        "config" => document.config.add(map.next_value()?, role_of_config),
                        "layers" => drop(read_list(&mut map, &mut document.layers, role_in_image)?),
                        "blobs" => drop(read_list(&mut map, &mut document.blobs, role_in_image)?),
                        "fslayers" => drop(read_list(&mut map, &mut document.fs_layers, role_in_image)?),
                        "manifests" => {
                            document.has_manifests |= read_list(&mut map, &mut document.manifests, role_in_index)?;
                        }
                        "subject" => {
                            let subject =
                                map.next_value::<Option<Descriptor<'_>>>()?.and_then(|subject| subject.digest);
                            document.subject = one_of(document.subject, subject, "subjects")?;
                        }
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(document)
            }
        }
        deserializer.deserialize_map(DocumentVisitor)
    }
}

/// Reads an array of descriptors. Returns whether it is one, and not null.
fn read_list<'de, A: MapAccess<'de>>(
    map: &mut A,
    list: &mut List,
    role: fn(&Descriptor<'_>) -> Role,
) -> Result<bool, A::Error> {
    struct Reading<'l> {
        list: &'l mut List,
        role: fn(&Descriptor<'_>) -> Role,
    }
    impl<'de> DeserializeSeed<'de> for Reading<'_> {
        type Value = bool;
        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
            deserializer.deserialize_option(self)
        }
    }
    impl<'de> Visitor<'de> for Reading<'_> {
        type Value = bool;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of descriptors")
        }
        fn visit_none<E>(self) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
            deserializer.deserialize_seq(self)
        }
        fn visit_seq<S: SeqAccess<'de>>(self, mut array: S) -> Result<bool, S::Error> {
            while let Some(descriptor) = array.next_element()? {
                self.list.add(descriptor, self.role);
            }
            Ok(true)
        }
    }
    map.next_value_seed(Reading { list, role })
}

impl<'de> Deserialize<'de> for Descriptor<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DescriptorVisitor;
        impl<'de> Visitor<'de> for DescriptorVisitor {
            type Value = Descriptor<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a descriptor")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Descriptor<'de>, A::Error> {
                let mut descriptor = Descriptor::default();
                while let Some(Text(key)) = map.next_key()? {
                    match &*folded(&key) {
                        "digest" | "blobsum" => {
                            let digest = map.next_value::<Option<Text<'_>>>()?.map(|text| text.0);
                            descriptor.digest = one_of(descriptor.digest, digest, "digests in a descriptor")?;
                        }
                        "mediatype" => descriptor.media_type = map.next_value::<Option<Text<'_>>>()?.map(|text| text.0),
                        // Any value is accepted: a number out of range must not hide a reference.
                        "size" => descriptor.bytes = map.next_value::<&RawValue>()?.get().parse().unwrap_or(0),
                        "urls" => {
                            let urls: Option<Vec<IgnoredAny>> = map.next_value()?;
                            descriptor.has_urls = urls.is_some_and(|urls| !urls.is_empty());
                        }
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(descriptor)
            }
        }
        deserializer.deserialize_map(DescriptorVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;

    fn digest(name: &str) -> Digest {
        Digest::of(Algorithm::Sha256, name.as_bytes())
    }

    /// Parses `text` with every `$name` replaced by that name's digest.
    fn parse(text: &str) -> Result<References, Damage> {
        let mut pieces = text.split('$');
        let mut json = pieces.next().unwrap().to_owned();
        for piece in pieces {
            let end = piece.find(|c: char| !c.is_alphanumeric()).unwrap_or(piece.len());
            json += &digest(&piece[..end]).to_string();
            json += &piece[end..];
        }
        References::parse(json.as_bytes())
    }

    fn names(text: &str) -> Vec<(Digest, Role)> {
        parse(text).unwrap().references.into_iter().map(|reference| (reference.digest, reference.role)).collect()
    }

    #[test]
    fn every_manifest_format_is_parsed() {
        let image = r#","config":{"digest":"$c"},"layers":[{"digest":"$a","size":1},{"digest":"$b"}]}"#;
        let expected = vec![(digest("c"), Role::Config), (digest("a"), Role::Layer), (digest("b"), Role::Layer)];
        for media_type in ["", DOCKER_MANIFEST, OCI_MANIFEST] {
            let text = format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}"{image}"#);
            assert_eq!(names(&text), expected, "{media_type}");
            assert_eq!(parse(&text).unwrap().kind, Kind::Image);
        }
        assert_eq!(names(&format!(r#"{{"schemaVersion":2{image}"#)), expected);

        let index = r#","manifests":[{"digest":"$a"},{"digest":"$b","mediaType":"application/vnd.oci.image.layer.v1.tar"},
            {"digest":"$c","mediaType":"application/octet-stream"}]}"#;
        let expected =
            vec![(digest("a"), Role::Child), (digest("b"), Role::OpaqueChild), (digest("c"), Role::OddChild)];
        for media_type in ["", DOCKER_LIST, OCI_INDEX] {
            let text = format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}"{index}"#);
            assert_eq!(names(&text), expected, "{media_type}");
            assert_eq!(parse(&text).unwrap().kind, Kind::Index);
        }

        let schema1 =
            r#"{"schemaVersion":1,"name":"app","fsLayers":[{"blobSum":"$a"},{"blobSum":"$a"}],"signatures":[{}]}"#;
        assert_eq!(names(schema1), vec![(digest("a"), Role::Layer); 2]);

        for media_type in [OCI_ARTIFACT, ORAS_ARTIFACT] {
            let artifact =
                format!(r#"{{"mediaType":"{media_type}","blobs":[{{"digest":"$a"}}],"subject":{{"digest":"$s"}}}}"#);
            assert_eq!(names(&artifact), vec![(digest("a"), Role::Layer)]);
            assert_eq!(parse(&artifact).unwrap().subject, Some(digest("s")));
        }
    }

    #[test]
    fn absent_and_null_fields_are_accepted() {
        for text in [
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":2,"config":null,"layers":null,"manifests":null,"subject":null}"#,
            r#"{"schemaVersion":2,"config":{},"layers":[null,{"digest":null},{"digest":""}]}"#,
            r#"{"schemaVersion":2,"manifests":[]}"#,
        ] {
            assert_eq!(names(text), vec![], "{text}");
        }
    }

    #[test]
    fn layers_with_urls_are_foreign() {
        let text = r#"{"schemaVersion":2,"layers":[{"digest":"$a","urls":["https://x"]},{"digest":"$b","urls":[]}]}"#;
        assert_eq!(names(text), vec![(digest("a"), Role::ForeignLayer), (digest("b"), Role::Layer)]);
    }

    #[test]
    fn out_of_range_numbers_and_upper_case_digests_are_accepted() {
        let upper = digest("a").to_string().to_uppercase();
        let text = format!(
            r#"{{"schemaVersion":2,"x":1e999,"layers":[{{"digest":"{upper}","size":-99999999999999999999999999}}]}}"#
        );
        assert_eq!(names(&text), vec![(digest("a"), Role::Layer)]);
        let bytes = |size: &str| {
            let text = format!(r#"{{"schemaVersion":2,"config":{{"size":{size},"digest":"$a"}}}}"#);
            parse(&text).unwrap().references[0].bytes
        };
        assert_eq!(bytes("12"), 12);
        for size in ["-1", "1.5", "1e999", "99999999999999999999", "null", r#""12""#, "[{}]"] {
            assert_eq!(bytes(size), 0, "{size}");
        }
    }

    #[test]
    fn keys_match_in_any_case_and_conflicting_duplicates_are_damage() {
        let text = "{\"SchemaVersion\":2,\"Layers\":[{\"Digest\":\"$a\"}],\"layer\u{17f}\":[{\"DIGEST\":\"$b\"}],\"layers\":null}";
        assert_eq!(names(text), vec![(digest("a"), Role::Layer), (digest("b"), Role::Layer)]);
        for text in [
            r#"{"schemaVersion":2,"layers":[{"digest":"$a","digest":"$b"}]}"#,
            r#"{"schemaVersion":2,"subject":{"digest":"$a"},"subject":{"digest":"$b"}}"#,
        ] {
            assert!(matches!(parse(text), Err(Damage::NotJson(_))), "which one counts depends on the reader");
        }
        let text = r#"{"schemaVersion":2,"subject":{"digest":"$a"},"Subject":{"size":1},"subject":null}"#;
        assert_eq!(parse(text).unwrap().subject, Some(digest("a")));
    }

    #[test]
    fn a_manifest_that_is_also_an_index_keeps_both() {
        let text = r#"{"schemaVersion":2,"layers":[{"digest":"$a"}],"manifests":[{"digest":"$b"}]}"#;
        assert_eq!(names(text), vec![(digest("a"), Role::Layer), (digest("b"), Role::Child)]);
    }

    #[test]
    fn unknown_manifest_is_damage() {
        assert!(matches!(parse("hello"), Err(Damage::NotJson(_))));
        assert!(matches!(parse(r#"{"schemaVersion":2,"layers":[{"#), Err(Damage::NotJson(_))));
        assert!(matches!(parse(r#"{"schemaVersion":2,"layers":"none"}"#), Err(Damage::NotJson(_))));
        assert!(matches!(parse(r#"{"schemaVersion":2} {}"#), Err(Damage::NotJson(_))));
        assert_eq!(parse("{}"), Err(Damage::UnknownSchema));
        assert_eq!(parse(r#"{"schemaVersion":3}"#), Err(Damage::UnknownSchema));
        assert_eq!(
            parse(r#"{"schemaVersion":2,"mediaType":"text/plain"}"#),
            Err(Damage::UnknownMediaType("text/plain".into()))
        );
        assert_eq!(
            parse(r#"{"schemaVersion":2,"config":{"digest":"sha256:12"}}"#),
            Err(Damage::InvalidReference("sha256:12".into()))
        );
        assert!(matches!(References::of_blob(&digest("a"), br#"{"schemaVersion":2}"#), Err(Damage::DigestMismatch(_))));
    }
}
