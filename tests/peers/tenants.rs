//! What a repair gives a tenant that shares a store with another, as the registry serves it.

use std::fs;
use std::path::Path;

use regc_core::registry::layout;
use regc_testkit::peer::PeerRegistry;
use regc_testkit::sha256;
use serde_json::{Value, json};

use crate::common::regc;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn upload(registry: &PeerRegistry, repository: &str, content: &str) -> Value {
    let digest = sha256(content.as_bytes()).to_string();
    registry.upload(repository, &digest, content.as_bytes());
    json!({ "digest": digest, "size": content.len() })
}

fn image(config: &Value, layer: &Value) -> Value {
    json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [layer] })
}

fn status(registry: &PeerRegistry, path: &str) -> u16 {
    registry.get(path).status
}

/// Links a manifest like a registry that does not check what an index lists.
fn link_unchecked(root: &Path, repository: &str, tag: &str, text: &str) {
    let digest = sha256(text.as_bytes());
    let write = |key: &str, content: &str| {
        let path = root.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    write(&layout::blob_data(&digest), text);
    for key in [
        layout::revision_link(repository, &digest),
        layout::tag_link(repository, tag),
        layout::tag_index_link(repository, tag, &digest),
    ] {
        write(&key, &digest.to_string());
    }
}

#[test]
fn repair_gives_no_tenant_access_to_another_tenants_content() {
    let root = tempfile::tempdir().unwrap();
    let registry = PeerRegistry::start(root.path());
    let (config, secret) = (upload(&registry, "b/private", "{}"), upload(&registry, "b/private", "a secret"));
    let private = image(&config, &secret).to_string();
    assert_eq!(registry.send_as("PUT", "/v2/b/private/manifests/v1", IMAGE, private.as_bytes()).status, 201);

    let (config, own) = (upload(&registry, "a/own", "{}"), upload(&registry, "a/own", "a layer"));
    let mut odd = image(&config, &own);
    odd["fsLayers"] = json!([{ "blobSum": secret["digest"] }]);
    let put = registry.send_as("PUT", "/v2/a/own/manifests/odd", IMAGE, odd.to_string().as_bytes());
    assert_eq!(put.status, 201, "the registry ignores the key");
    registry.stop();
    let child = json!({ "mediaType": IMAGE, "digest": sha256(private.as_bytes()).to_string(), "size": private.len() });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child] });
    link_unchecked(root.path(), "a/own", "index", &index.to_string());

    let backup = crate::damage::copied(root.path());
    for from in [None, Some(backup.path().to_str().unwrap())] {
        let from = from.map_or(Vec::new(), |from| vec!["--from", from]);
        regc([vec!["repair", "--apply", "--root", root.path().to_str().unwrap()], from].concat());
    }
    let registry = PeerRegistry::start(root.path());
    let paths = |repository: &str| {
        let (manifest, layer) = (sha256(private.as_bytes()), secret["digest"].as_str().unwrap());
        [format!("/v2/{repository}/manifests/{manifest}"), format!("/v2/{repository}/blobs/{layer}")]
    };
    assert_eq!(paths("a/own").map(|path| status(&registry, &path)), [404, 404]);
    assert_eq!(paths("b/private").map(|path| status(&registry, &path)), [200, 200]);
}
