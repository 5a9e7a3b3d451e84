//! Writes a store whose names and texts are those of clients that mean harm to whoever looks at it.
//!
//!     cargo run -p regc-testkit --example hostile_store -- DIR

use std::path::Path;

use regc_core::registry::layout;
use regc_testkit::TestRegistry;
use serde_json::json;

/// What clients write where a name or a text is expected. A slash would be a directory.
const TEXTS: [&str; 12] = [
    "<script>window.harmed=1<∕script>",
    "\"><img src=x onerror=window.harmed=1>",
    "'-alert(1)-'",
    "javascript:window.harmed=1",
    "{{style}}{{script}}",
    "$&$'$`${1}",
    "=HYPERLINK(\"x\")",
    "a\u{202e}gpj.exe",
    "line\u{2028}break\r\nand more",
    "__proto__",
    "constructor",
    "&lt;b&gt;&#x3c;",
];

fn main() {
    let root = std::env::args_os().nth(1).expect("the directory to write to");
    let mut registry = TestRegistry::new();
    let served = registry.image("team/app:v1").layers(["base"]).push();
    for text in TEXTS {
        // A registry serves neither these tags nor these repositories, but whoever can write to its disk can make them.
        registry.tag("team/app", text, &served);
        let repository = format!("odd/{text}");
        let config = json!({
            "os": text, "architecture": text, "created": text, "history": [{ "created_by": text, "created": text }],
        })
        .to_string();
        let digest = registry.blob(config.as_str());
        let descriptor = |kind: &str| json!({ "mediaType": kind, "digest": digest, "size": config.len() });
        for (repository, tag) in [(&*repository, text), ("team/texts", "v1"), ("team/untagged", "")] {
            let config = descriptor("application/vnd.oci.image.config.v1+json");
            let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [], "annotations": { "a": text } });
            registry.link_layer(repository, &digest);
            let digest = registry.blob(manifest.to_string());
            registry.put(layout::revision_link(repository, &digest), digest.to_string());
            if !tag.is_empty() {
                registry.tag(repository, tag, &digest);
            }
        }
        registry.upload("team/app", text);
        registry.put(layout::tag_link("team/damaged", text), text);
    }
    registry.write_to(Path::new(&root));
}
