//! Which references of a manifest the registry checks when the manifest is pushed.
//!
//! [`References::parse`] counts every reference that any reader may see. For what may be added to a repository, the
//! opposite counts: only what the registry itself has seen and found in the repository.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{Kind, Reference, References, Role, folded};
use crate::digest::Digest;

impl References {
    /// Returns the config and layers whose presence in the repository the registry checks when the manifest is pushed.
    /// `content` is the text from which these references were parsed. Returns none if registries may read them
    /// differently, and none for an index, or what may have been pushed as one, since some registries check nothing
    /// there.
    pub fn checked_at_push(&self, content: &[u8]) -> Vec<Digest> {
        // A registry ignores digests under all other keys.
        let checked: &[&str] = match self.kind {
            Kind::Schema1 => &["fsLayers"],
            Kind::Image => &["config", "layers"],
            Kind::Index => &[],
        };
        // An image without a media type can be pushed as an index to distribution 2.7, which then looks for none of
        // its layers.
        let is_known = |keys: &Keys| self.kind != Kind::Image || keys.0.iter().any(|key| key == "mediaType");
        let is_part = |reference: &&Reference| matches!(reference.role, Role::Config | Role::Layer);
        match serde_json::from_slice::<Keys>(content) {
            Ok(keys) if keys.are_unambiguous(checked) && is_known(&keys) => {
                self.references.iter().filter(is_part).map(|reference| reference.digest).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The keys that decide what a manifest refers to, as the registry spells them.
const DECISIVE: [&str; 7] = ["schemaVersion", "mediaType", "config", "layers", "fsLayers", "blobs", "manifests"];

/// The keys of a manifest that fold to [`DECISIVE`] ones, each as often as it occurs, up to the number that proves
/// that one of them occurs twice.
struct Keys(Vec<String>);

impl Keys {
    /// Whether each key occurs once, spelled exactly, and those that list digests are among `checked`.
    fn are_unambiguous(&self, checked: &[&str]) -> bool {
        self.0.iter().enumerate().all(|(at, key)| {
            let is_allowed = matches!(&**key, "schemaVersion" | "mediaType") || checked.contains(&&**key);
            is_allowed && !self.0[..at].contains(key)
        })
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeysVisitor;
        impl<'de> Visitor<'de> for KeysVisitor {
            type Value = Keys;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a manifest")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, _>()? {
                    let is_decisive = DECISIVE.iter().any(|decisive| folded(decisive) == folded(&key));
                    if is_decisive && keys.len() <= DECISIVE.len() {
                        keys.push(key);
                    }
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(KeysVisitor)
    }
}
