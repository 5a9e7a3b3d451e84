//! The page itself: its frame, with style, script and data put in.

use std::io;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use sha2::{Digest, Sha256};

const FRAME: &str = include_str!("../page/page.html");
const STYLE: &str = include_str!("../page/style.css");
const SCRIPT: &str = include_str!(concat!(env!("OUT_DIR"), "/script.js"));

/// Returns the page with these data.
pub fn page(summary: &impl Serialize, details: &impl Serialize) -> io::Result<String> {
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        source(SCRIPT),
        source(STYLE)
    );
    let elements = [
        ("policy", format!(r#"<meta http-equiv="Content-Security-Policy" content="{policy}">"#)),
        ("style", format!("<style>{STYLE}</style>")),
        ("summary", block("summary", summary)?),
        ("script", format!("<script>{SCRIPT}</script>")),
        ("details", block("details", details)?),
    ];
    let mut page =
        String::with_capacity(FRAME.len() + elements.iter().map(|(_, element)| element.len()).sum::<usize>());
    // What is put in is not searched for markers.
    let mut rest = FRAME;
    for (name, element) in &elements {
        let (before, after) =
            rest.split_once(&format!("{{{{{name}}}}}")).expect("the frame has each marker, in this order");
        page += before;
        page += element;
        rest = after;
    }
    Ok(page + rest)
}

/// Returns the source expression that allows an element with this content (Content Security Policy Level 3, section 2.3.1).
fn source(content: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(content)))
}

/// Returns an element that holds data: compressed JSON, in letters that are no markup.
fn block(id: &str, data: &impl Serialize) -> io::Result<String> {
    let mut compressed = GzEncoder::new(Vec::new(), Compression::default());
    serde_json::to_writer(&mut compressed, data)?;
    let data = BASE64_STANDARD.encode(compressed.finish()?);
    Ok(format!(r#"<script type="application/octet-stream" id="{id}">{data}</script>"#))
}
