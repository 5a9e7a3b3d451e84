//! The names that a registry accepts.

use super::{LAYERS, MANIFESTS, UPLOADS};

/// Returns the name of a tag; `None` for what no registry accepts as one.
///
/// Source: the grammar of `tag` in `reference/reference.go` of distribution.
pub fn tag_name(name: &str) -> Option<String> {
    let is_first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_next = |c: char| is_first(c) || matches!(c, '.' | '-');
    (name.len() <= 128 && name.starts_with(is_first) && name.chars().all(is_next)).then(|| name.to_owned())
}

/// Whether a directory is one of the parts of a repository, and not a component of a name.
pub fn is_repository_part(name: &str) -> bool {
    matches!(name, MANIFESTS | LAYERS | UPLOADS)
}

/// Whether a registry serves a repository of this name. A repository of any other name is a directory that was
/// renamed.
///
/// Source: `reference/regexp.go` of distribution 2.8, where the first component of several may also be a host with a
/// port.
pub fn is_repository_name(name: &str) -> bool {
    let is_host = |first: &str| {
        let (host, port) = first.rsplit_once(':').unwrap_or((first, "0"));
        let is_label = |label: &str| {
            let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
            !label.is_empty() && label.chars().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
        };
        host.split('.').all(is_label) && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut components = name.split('/');
    let first = components.next().unwrap_or_default();
    let mut below = components.peekable();
    let is_first = is_path_component(first) || below.peek().is_some() && is_host(first);
    is_first && below.all(is_path_component) && name.len() <= 255
}

/// Whether it consists of lower-case letters and digits, separated by single dots, one or two underscores, or dashes.
fn is_path_component(name: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator =
        |between: &str| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-');
    name.starts_with(is_alphanumeric)
        && name.ends_with(is_alphanumeric)
        && name.split(is_alphanumeric).all(is_separator)
}

/// Whether it is a name for a blob's parent directory: the first two digits of the blob's hexadecimal form.
pub fn is_shard(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_are_validated() {
        for name in ["app", "a", "0", "my-app", "a--b", "a__b", "a.b/c_d", "localhost:5000/app", "Host.example/app"] {
            assert!(is_repository_name(name), "{name}");
        }
        for name in [
            "",
            "App",
            "_layers",
            ".DS_Store",
            "lost+found",
            "@eaDir",
            "..",
            "a b",
            "ä",
            "app~",
            "-app",
            "app-",
            "a..b",
            "a._b",
            "a___b",
            "_old/app",
            "app/",
            "a//b",
            "localhost:5000",
            "host:/app",
            "host:x/app",
            "a/host:5000/b",
            "lost+found/#12",
            "-a.b/app",
        ] {
            assert!(!is_repository_name(name), "{name}");
        }
        assert!(is_repository_name(&"a".repeat(255)) && !is_repository_name(&"a".repeat(256)));
    }
}
