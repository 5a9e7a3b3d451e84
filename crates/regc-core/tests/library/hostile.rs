//! Hostile texts and names.

use proptest::prelude::*;
use regc_core::registry::layout;
use regc_core::registry::manifest::{Damage, References};
use regc_core::stages;
use regc_core::{Algorithm, Config, Digest, trash};
use regc_testkit::{TestRegistry, layer};

use crate::{DEFAULT, DIRECTORIES, UNTAGGED, collect, decide};

/// Generates texts that are nearly `base`: with some characters or lines replaced, left out or doubled.
fn nearly(base: &'static str) -> impl Strategy<Value = String> {
    proptest::collection::vec((any::<prop::sample::Index>(), 0..4usize, ".{0,3}"), 0..6).prop_map(move |changes| {
        let mut text: Vec<char> = base.chars().collect();
        for (at, what, new) in changes {
            let at = at.index(text.len().max(1)).min(text.len().saturating_sub(1));
            match what {
                0 => drop(text.splice(at..at, new.chars())),
                1 => text.truncate(at),
                2 if !text.is_empty() => drop(text.remove(at)),
                _ => text.extend_from_within(at..),
            }
        }
        text.into_iter().collect()
    })
}

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":2},"layers":[{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":3,"urls":["x"]}],"subject":{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}"#;

const CONFIG: &str = "version: 0.1
storage: &s
  filesystem:
    rootdirectory: /srv
  maintenance: {readonly: {enabled: true}}
http: {addr: ':5000', net: tcp}
auth: {token: {issuer: x}}
<<: {database: {enabled: false}}
";

/// Generates names for paths: those of the layout, and others.
fn name() -> impl Strategy<Value = String> {
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    prop_oneof![
        proptest::sample::select(vec![
            "_manifests",
            "_layers",
            "_uploads",
            "revisions",
            "tags",
            "current",
            "index",
            "signatures",
            "sha256",
            "sha512",
            "link",
            "data",
            "e3",
            "app",
            digest,
            "docker",
            ".",
            "..",
            "...",
        ])
        .prop_map(str::to_owned),
        "[^/\u{0}]{1,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_manifest_is_read_or_is_damage(text in nearly(MANIFEST), bytes: Vec<u8>) {
        for content in [text.as_bytes(), &bytes] {
            match References::parse(content) {
                Ok(parsed) => {
                    let mentioned = Digest::mentioned_in(content);
                    prop_assert!(parsed.references.iter().all(|reference| mentioned.contains(&reference.digest)));
                }
                Err(Damage::DigestMismatch(_)) => prop_assert!(false, "nothing was hashed"),
                Err(_) => {}
            }
        }
    }

    #[test]
    fn any_configuration_is_read_or_refused(text in nearly(CONFIG), name in "REGISTRY_[A-Z_]{0,30}", value in nearly(CONFIG)) {
        let _ = Config::parse(&text, [(name, value)]);
    }

    #[test]
    fn digest_found_in_any_key_is_at_its_end(names in proptest::collection::vec(name(), 0..6)) {
        let key = names.join("/");
        if let Some(digest) = layout::digest_of_link(&key) {
            let end = format!("{}/{}/link", digest.algorithm().name(), digest.hex());
            prop_assert!(key.ends_with(&end));
        }
        for name in &names {
            prop_assert!(!layout::is_repository_name(name) || ![".", "..", ""].contains(&name.as_str()));
            prop_assert_eq!(Digest::from_hex(Algorithm::Sha256, name).is_some(), name.len() == 64);
        }
    }

    #[test]
    fn any_journal_is_read_or_refused(text in ".{0,300}") {
        let mut registry = TestRegistry::new();
        registry.put(format!("{}/journal.jsonl", trash::directory("run")), text);
        let _ = stages::trash::read_journal(&registry.in_memory(DIRECTORIES), "run");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_name_escapes_the_registry_or_deletes_live_content(
        keys in proptest::collection::vec((proptest::collection::vec(name(), 1..8), 0..2usize), 1..20),
    ) {
        let mut registry = TestRegistry::new();
        registry.image("app:v1").layers(["live"]).push();
        let own: Vec<String> = registry.keys().map(str::to_owned).collect();
        for (names, top) in keys {
            let key = format!("{}/{}", [layout::REPOSITORIES, layout::BLOBS][top], names.join("/"));
            if registry.get(&key).is_none() {
                registry.put(key, "somebody's");
            }
        }
        for options in [DEFAULT, UNTAGGED] {
            let storage = registry.in_memory(DIRECTORIES);
            let Ok(found) = decide(&storage, options) else { continue };
            prop_assert!(!found.blobs.contains(&layer("live")));
            let before = storage.keys();
            if let Ok(outcome) = collect(&storage, options) {
                prop_assert!(outcome.failures.is_empty());
            }
            let after = storage.keys();
            prop_assert!(own.iter().all(|key| after.contains(key)));
            let gone = before.iter().filter(|key| !after.contains(key));
            for key in gone {
                prop_assert!(key.ends_with("/link") || key.ends_with("/data"), "{}", key);
                prop_assert!(!key.contains("/../") && !key.contains("/./"), "{}", key);
            }
        }
    }
}
