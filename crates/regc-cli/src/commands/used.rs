//! Images that something else runs, as a cluster: they stay.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fs, iter};

use regc_core::inspect::catalog::ListOptions;
use regc_core::registry::layout;
use regc_core::registry::manifest::MAX_MANIFEST_BYTES;
use regc_core::storage::Content;
use regc_core::{Algorithm, Digest, Error, Silent, Store};
use serde_json::Value;

use crate::output::{self, count};
use crate::process;

/// Where images are listed that are in use.
#[derive(clap::Args)]
pub struct Used {
    /// Keep the images in this list, with everything they need: references and digests, one per line, or JSON such as
    /// that of `kubectl get pods -A -o json`; `-` for standard input. Names may include the registry's host
    #[arg(long, value_name = "FILE")]
    keep_used: Vec<PathBuf>,
}

impl Used {
    /// The lists that are files.
    pub fn files(&self) -> Vec<&Path> {
        self.keep_used.iter().map(PathBuf::as_path).filter(|path| *path != Path::new("-")).collect()
    }

    /// Reads the lists, and returns the manifests that they name in this store.
    ///
    /// Fails if a list names no image of the store: then the command that made it has failed, or it is of another registry.
    pub fn manifests(&self, store: &Store) -> Result<BTreeSet<Digest>, Error> {
        let mut used = BTreeSet::new();
        for path in &self.keep_used {
            let fail = |source| Error::Storage { action: "use", path: path.display().to_string(), source };
            let invalid = |reason: String| fail(io::Error::new(io::ErrorKind::InvalidData, reason));
            let list = path.clone();
            let text = process::watch()?.or(move || read(&list)).ok_or(Error::Interrupted)?;
            let references = references(&text.map_err(fail)?).map_err(invalid)?;
            if references.is_empty() {
                return Err(invalid("it lists no images".to_owned()));
            }
            let (mut found, mut ids) = (BTreeSet::new(), Vec::new());
            for reference in &references {
                let of_it = reference.in_store(store)?;
                ids.extend(reference.id.as_deref().filter(|_| of_it.is_empty()));
                found.extend(of_it);
            }
            if !ids.is_empty() {
                found.extend(with_ids(store, &ids)?);
            }
            if found.is_empty() {
                let all = count(references.len() as u64, "image");
                return Err(invalid(format!(
                    "it lists {all}, none of which is in this store; is it the list of another registry?"
                )));
            }
            used.extend(found);
        }
        Ok(used)
    }
}

/// Returns the manifests whose digest, or that of whose configuration, begins with one of these hexadecimal digits: docker calls an
/// image by its configuration. All manifests are read for it.
fn with_ids(store: &Store, ids: &[&str]) -> Result<BTreeSet<Digest>, Error> {
    let options = ListOptions::new().images(true).untagged(true).trees(true);
    let mut manifests = BTreeSet::new();
    for listing in store.list(|_| true, options, &Silent)? {
        manifests.extend(listing.tags.iter().filter_map(|tag| tag.digest));
        manifests.extend(listing.untagged.iter().map(|untagged| untagged.image.digest));
        manifests.extend(listing.trees.keys());
    }
    let is_named = |digest: &Digest| ids.iter().any(|id| digest.hex().starts_with(id));
    let mut found = BTreeSet::new();
    for manifest in manifests {
        let config = || -> Result<Option<Digest>, Error> {
            let content = store.storage().read(&layout::blob_data(&manifest), MAX_MANIFEST_BYTES)?;
            let Some(Content::Whole(text)) = content else { return Ok(None) };
            let parsed: Option<Value> = serde_json::from_slice(&text).ok();
            Ok(parsed.and_then(|parsed| parsed["config"]["digest"].as_str()?.parse().ok()))
        };
        if is_named(&manifest) || config()?.is_some_and(|config| is_named(&config)) {
            found.insert(manifest);
        }
    }
    Ok(found)
}

/// From how many hexadecimal digits on a name may be the ID of an image: docker shows as many.
const ID: usize = 12;

fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") {
        if io::stdin().is_terminal() {
            output::note(format_args!("reading the list of images in use from standard input"));
        }
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
    /// The hexadecimal digits that the ID of the image begins with, if it may be one.
    id: Option<String>,
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("{text:?} is not the name of an image");
        // Docker's runtime writes docker-pullable://registry:5000/team/app@sha256:…
        let whole = text.split_once("://").map_or(text, |(_, rest)| rest);
        let hex = whole.strip_prefix("sha256:").unwrap_or(whole).to_ascii_lowercase();
        let id = ((ID..=64).contains(&hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hex);
        if id.is_some() && whole.contains(':') {
            return Ok(Self { repositories: Vec::new(), tag: None, digest: None, id });
        }
        let (name, digest) = match whole.split_once('@') {
            Some((name, digest)) => (name, Some(Digest::parse_any_case(digest).map_err(|_| invalid())?)),
            None => (whole, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(layout::tag_name(tag).ok_or_else(invalid)?)),
            _ => (name, None),
        };
        // The registry's host, and what a mirror puts before its names, are not known: the name begins anywhere.
        let ends = name.match_indices('/').map(|(at, _)| &name[at + 1..]);
        // What a client calls nginx is library/nginx in a mirror.
        let official = name.rsplit('/').next().map(|last| format!("library/{last}"));
        let names = iter::once(name).chain(ends).map(str::to_owned).chain(official);
        let repositories: Vec<String> = names.filter(|name| layout::is_repository_name(name)).collect();
        if !layout::is_repository_name(name)
            && !name.split_once('/').is_some_and(|(_, name)| layout::is_repository_name(name))
        {
            return Err(invalid());
        }
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { repositories, tag, digest, id })
    }
}

impl Reference {
    /// Returns the manifests that it names in a store. What a tag names is read now.
    fn in_store(&self, store: &Store) -> Result<Vec<Digest>, Error> {
        let storage = store.storage();
        let mut found = Vec::new();
        for repository in &self.repositories {
            if let Some(tag) = &self.tag
                && let Some(Content::Whole(link)) =
                    storage.read(&layout::tag_link(repository, tag), layout::link_bytes(Algorithm::Sha512))?
            {
                found.extend(layout::digest_in_link(&link));
            }
            if let Some(digest) = self.digest
                && storage.stat(&layout::revision_link(repository, &digest))?.is_some()
            {
                found.push(digest);
            }
        }
        Ok(found)
    }
}

/// Reads a list: JSON in which images are called `image` or `imageID`, or lines.
fn references(text: &str) -> Result<BTreeSet<Reference>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    if text.trim_start().starts_with(['{', '[']) {
        for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            match document.map_err(|error| format!("not JSON: {error}"))? {
                Value::Array(values) if values.iter().all(Value::is_string) => {
                    names.extend(values.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), 0)));
                }
                document => named(&document, &mut names)?,
            }
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

/// Adds the names of images anywhere in a document. A container that has not started yet has an empty `imageID`; a volume of
/// Kubernetes has its image in `reference`.
fn named(value: &Value, names: &mut BTreeMap<String, usize>) -> Result<(), String> {
    match value {
        Value::Array(values) => values.iter().try_for_each(|value| named(value, names)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| {
            if !key.eq_ignore_ascii_case("image") && !key.eq_ignore_ascii_case("imageID") {
                return named(value, names);
            }
            match value.as_str().or_else(|| value["reference"].as_str()) {
                Some("") => Ok(()),
                Some(name) => {
                    names.insert(name.to_owned(), 0);
                    Ok(())
                }
                None if value.is_null() => Ok(()),
                None => Err(format!("{key:?} is not the name of an image: {value}")),
            }
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> (Vec<String>, Option<String>, bool, bool) {
        let Reference { repositories, tag, digest, id } = text.parse().unwrap();
        (repositories, tag, digest.is_some(), id.is_some())
    }

    #[test]
    fn names_are_read_as_clients_write_them() {
        for (text, repositories, tag) in [
            ("team/app:v1", &["team/app", "app", "library/app"][..], "v1"),
            ("app", &["app", "library/app"], "latest"),
            (
                "registry.example.com/team/app:v1",
                &["registry.example.com/team/app", "team/app", "app", "library/app"],
                "v1",
            ),
            ("reg/mirror/other:2", &["reg/mirror/other", "mirror/other", "other", "library/other"], "2"),
            ("registry:5000/app", &["registry:5000/app", "app", "library/app"], "latest"),
            ("REGISTRY/app", &["REGISTRY/app", "app", "library/app"], "latest"),
        ] {
            let expected = (repositories.iter().map(ToString::to_string).collect(), Some(tag.to_owned()), false, false);
            assert_eq!(parse(text), expected, "{text}");
        }
        let (repositories, tag, has_digest, _) = parse(&format!("docker-pullable://registry:5000/team/app@{DIGEST}"));
        assert_eq!((&*repositories[1], tag, has_digest), ("team/app", None, true));
        let (_, tag, has_digest, _) = parse(&format!("team/app:v1@{}", DIGEST.to_uppercase().replace("SHA", "sha")));
        assert_eq!((tag.as_deref(), has_digest), (Some("v1"), true));
        for id in [DIGEST, &DIGEST[7..], &DIGEST[7..19], "docker://sha256:e3b0c44298fc", "deadbeefdead"] {
            assert!(parse(id).3, "{id}");
        }
        for wrong in ["team/app@sha256:12", "Team App", "", "a b", "team//app", "error: no server", "<none>"] {
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
        assert_eq!(names("\u{feff}[\"a\", \"b:1\"]"), Ok(2));
        assert_eq!(names(r#"{"volumes":[{"image":{"reference":"a"}}]}"#), Ok(1));
        assert!(names(r#"{"image":{"name":"a"}}"#).unwrap_err().contains("is not the name of an image"));
        assert!(names("{\"items\":").unwrap_err().starts_with("not JSON"));
    }
}
