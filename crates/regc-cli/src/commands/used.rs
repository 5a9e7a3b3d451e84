//! Images that something else runs, as a cluster: they stay.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fs, iter};

use regc_core::registry::layout;
use regc_core::storage::Content;
use regc_core::{Digest, Error, Store};
use serde_json::Value;

use crate::output::{self, count, printable};

/// Where images are listed that are in use.
#[derive(clap::Args)]
pub struct Used {
    /// Keep the images in this list with all that they need: references and digests, one a line, or JSON as of `kubectl get pods -A
    /// -o json`; `-` for standard input. The registry's host may be part of a name
    #[arg(long, value_name = "FILE")]
    keep_used: Vec<PathBuf>,
}

impl Used {
    /// Reads the lists, and returns the manifests that they name in this store.
    ///
    /// Fails if a list names no image at all: then the command that made it has failed.
    pub fn manifests(&self, store: &Store) -> Result<BTreeSet<Digest>, Error> {
        let mut used = BTreeSet::new();
        for path in &self.keep_used {
            let fail = |source| Error::Storage { action: "use", path: path.display().to_string(), source };
            let invalid = |reason: String| fail(io::Error::new(io::ErrorKind::InvalidData, reason));
            let references = references(&read(path).map_err(fail)?).map_err(invalid)?;
            if references.is_empty() {
                return Err(invalid("it names no image".to_owned()));
            }
            let mut here = 0;
            for reference in &references {
                let found = reference.in_store(store)?;
                here += usize::from(!found.is_empty());
                used.extend(found);
            }
            let (all, path) = (count(references.len() as u64, "image"), path.display().to_string());
            if here == 0 {
                output::warn(format_args!("{}: none of {all} is in this store", printable(&path)));
            }
        }
        Ok(used)
    }
}

fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text)?;
        return Ok(text);
    }
    fs::read_to_string(path)
}

/// The name of an image, as clients write it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reference {
    /// The names that the repository may have in the store: with and without what may be a host. Empty for a digest alone.
    repositories: Vec<String>,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("{text:?} is not the name of an image");
        // Docker's runtime writes docker-pullable://registry:5000/team/app@sha256:…
        let whole = text.split_once("://").map_or(text, |(_, rest)| rest);
        if let Ok(digest) = whole.parse() {
            return Ok(Self { repositories: Vec::new(), tag: None, digest: Some(digest) });
        }
        let (name, digest) = match whole.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse().map_err(|_| invalid())?)),
            None => (whole, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(layout::tag_name(tag).ok_or_else(invalid)?)),
            _ => (name, None),
        };
        let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
        let below_host = name.split_once('/').filter(|(first, _)| is_host(first)).map(|(_, below)| below);
        let short = below_host.unwrap_or(name);
        // What a client calls nginx is library/nginx in a mirror.
        let official = (!short.contains('/')).then(|| format!("library/{short}"));
        let names = iter::once(name.to_owned()).chain(below_host.map(str::to_owned)).chain(official);
        let repositories: Vec<String> = names.filter(|name| layout::is_repository_name(name)).collect();
        if repositories.is_empty() {
            return Err(invalid());
        }
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { repositories, tag, digest })
    }
}

impl Reference {
    /// Returns the manifests that it names in a store. What a tag names is read now.
    fn in_store(&self, store: &Store) -> Result<Vec<Digest>, Error> {
        let storage = store.storage();
        let mut found = Vec::new();
        for repository in &self.repositories {
            if let Some(tag) = &self.tag
                && let Some(Content::Whole(link)) = storage.read(&layout::tag_link(repository, tag), 1024)?
            {
                found.extend(layout::digest_in_link(&link));
            }
            if let Some(digest) = self.digest
                && storage.stat(&layout::revision_link(repository, &digest))?.is_some()
            {
                found.push(digest);
            }
        }
        // A digest alone may be in any repository.
        found.extend(self.digest.filter(|_| self.repositories.is_empty()));
        Ok(found)
    }
}

/// Reads a list: JSON in which images are called `image` or `imageID`, or lines.
fn references(text: &str) -> Result<BTreeSet<Reference>, String> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    if text.trim_start().starts_with(['{', '[']) {
        for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            named(&document.map_err(|error| format!("not JSON: {error}"))?, &mut names);
        }
    } else {
        let lines = (1..).zip(text.lines().map(str::trim));
        names.extend(
            lines
                .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
                .map(|(at, line)| (line.to_owned(), at)),
        );
    }
    let parse = |(name, line): (String, usize)| {
        name.parse().map_err(|reason| if line > 0 { format!("line {line}: {reason}") } else { reason })
    };
    names.into_iter().map(parse).collect()
}

/// Adds the names of images anywhere in a document. A container that has not started yet has an empty `imageID`.
fn named(value: &Value, names: &mut BTreeMap<String, usize>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| named(value, names)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(name) if key.eq_ignore_ascii_case("image") || key.eq_ignore_ascii_case("imageID") => {
                        if !name.is_empty() {
                            names.insert(name.clone(), 0);
                        }
                    }
                    value => named(value, names),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> (Vec<String>, Option<String>, bool) {
        let Reference { repositories, tag, digest } = text.parse().unwrap();
        (repositories, tag, digest.is_some())
    }

    #[test]
    fn names_are_read_as_clients_write_them() {
        for (text, repositories, tag, has_digest) in [
            ("team/app:v1", &["team/app"][..], Some("v1"), false),
            ("team/app", &["team/app"], Some("latest"), false),
            ("registry.example.com/team/app:v1", &["registry.example.com/team/app", "team/app"], Some("v1"), false),
            ("registry:5000/app", &["registry:5000/app", "app", "library/app"], Some("latest"), false),
            ("localhost/app:1", &["localhost/app", "app", "library/app"], Some("1"), false),
            ("nginx:1.7.9", &["nginx", "library/nginx"], Some("1.7.9"), false),
        ] {
            let expected = (repositories.iter().map(ToString::to_string).collect(), tag.map(str::to_owned), has_digest);
            assert_eq!(parse(text), expected, "{text}");
        }
        let pullable = parse(&format!("docker-pullable://registry:5000/team/app@{DIGEST}"));
        assert_eq!((&*pullable.0[1], &pullable.1, pullable.2), ("team/app", &None, true));
        assert_eq!(parse(&format!("team/app:v1@{DIGEST}")), (vec!["team/app".to_owned()], Some("v1".to_owned()), true));
        assert_eq!(parse(DIGEST), (Vec::new(), None, true));
        for wrong in ["team/app@sha256:12", "Team/App", "", "a b", "team//app", "error: no server"] {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_are_lines_or_json() {
        let names = |text: &str| references(text).map(|found| found.len());
        assert_eq!(names("# running\nteam/app:v1\n\n  other  \nteam/app:v1\n"), Ok(2));
        assert_eq!(names("team/app:v1\nno name\n"), Err("line 2: \"no name\" is not the name of an image".to_owned()));
        let pods = r#"{"items":[{"spec":{"containers":[{"image":"team/app:v1"}],"initContainers":[{"image":"init"}]},
            "status":{"containerStatuses":[{"image":"team/app:v1","imageID":""}]}}]}"#;
        assert_eq!(names(pods), Ok(2));
        assert_eq!(names(r#"[{"Config":{"Image":"a"}}] [{"Config":{"Image":"b"}}]"#), Ok(2));
        // As of docker inspect and docker service inspect; several documents follow one another.
        let service = r#"[{"Spec":{"TaskTemplate":{"ContainerSpec":{"Image":"app:v1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}}}]"#;
        assert_eq!(names(service), Ok(1));
        assert!(names("{\"items\":").unwrap_err().starts_with("not JSON"));
    }
}
