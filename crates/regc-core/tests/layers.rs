//! The layers of the library: a module uses only modules below it, and only some modules can write.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules, lowest first. Modules on the same line do not use each other.
const LAYERS: [&[&str]; 14] = [
    &["digest", "duration", "sync", "walk"],
    &["blocked"],
    &["error"],
    &["registry", "threads"],
    &["finding"],
    &["monitor"],
    &["storage"],
    &["retention", "trash"],
    &["scan"],
    &["verify"],
    &["inspect"],
    &["collect"],
    &["descriptor_cache", "repair", "undelete"],
    &["store"],
];

/// The modules that can write.
const WRITERS: [&str; 6] = ["storage", "trash", "collect", "repair", "undelete", "store"];

/// The traits that only writers name.
const MEANS_OF_WRITING: [&str; 2] = ["DeleteStorage", "TrashStorage"];

/// Lists all source files of the library except its root, each with its module and its text without tests.
fn sources() -> Vec<(PathBuf, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut pending = vec![root.clone()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            let below = path.strip_prefix(&root).unwrap().with_extension("");
            let parts: Vec<&str> = below.iter().map(|part| part.to_str().unwrap()).collect();
            if parts == ["lib"] || parts.contains(&"tests") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
            sources.push((below.clone(), parts[0].to_owned(), text));
        }
    }
    assert!(sources.len() > 50, "the sources are found");
    sources
}

/// Lists the top-level modules that a text names, also in its documentation.
fn used(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("crate::").map(|(at, crate_)| {
        let path = &text[at + crate_.len()..];
        assert!(!path.starts_with('{'), "one `use` for each module");
        path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
    })
}

#[test]
fn no_module_uses_what_stands_above_it() {
    let levels = (0..).zip(LAYERS).flat_map(|(level, modules)| modules.iter().map(move |module| (*module, level)));
    let levels: BTreeMap<&str, u32> = levels.collect();
    let level = |module: &str| *levels.get(module).unwrap_or_else(|| panic!("{module} stands in no layer"));
    let mut upwards = Vec::new();
    for (path, module, text) in sources() {
        let others = used(&text).filter(|other| *other != module);
        upwards.extend(others.filter(|other| level(other) >= level(&module)).map(|other| format!("{path:?}: {other}")));
    }
    assert_eq!(upwards, Vec::<String>::new());
}

#[test]
fn the_picture_in_the_documentation_shows_these_layers() {
    let documentation = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/architecture.md");
    let documentation = fs::read_to_string(documentation).unwrap();
    let picture = documentation.split("\n\n").nth(1).unwrap();
    let is_module = |word: &&str| LAYERS.iter().any(|modules| modules.contains(word));
    // A line begins with modules; what they are about follows.
    let of_layer = |layer: &str| {
        let lines = layer.lines().map(|line| line.split_whitespace().take_while(is_module));
        let mut modules: Vec<String> = lines.flatten().map(str::to_owned).collect();
        modules.sort();
        modules
    };
    let drawn: Vec<Vec<String>> = picture.split('│').map(of_layer).collect();
    let mut layers: Vec<Vec<String>> =
        LAYERS.iter().map(|modules| modules.iter().map(|module| (*module).to_owned()).collect()).collect();
    layers.reverse();
    layers.iter_mut().for_each(|modules| modules.sort());
    assert_eq!(drawn, layers);
}

#[test]
fn only_some_modules_can_write() {
    let mut others = sources();
    others.retain(|(_, module, _)| !WRITERS.contains(&module.as_str()));
    let writes = |text: &str| MEANS_OF_WRITING.iter().any(|means| text.contains(means));
    let writers: Vec<&PathBuf> = others.iter().filter(|(_, _, text)| writes(text)).map(|(path, ..)| path).collect();
    assert_eq!(writers, Vec::<&PathBuf>::new());
}

#[test]
fn the_binary_uses_the_facade_and_no_single_stage() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../regc-cli/src");
    let mut sources = 0;
    for path in walkdir::WalkDir::new(root).into_iter().map(|entry| entry.unwrap().into_path()) {
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("stages"), "{} names a stage", path.display());
            sources += 1;
        }
    }
    assert!(sources > 20, "the sources are found");
}
