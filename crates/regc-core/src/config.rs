//! The registry's `config.yml`, read as the registry reads it.
//!
//! Source: `configuration/{configuration,parser}.go` of distribution/distribution, 2.8 and 3.1. Only what a collection
//! needs is looked at; everything else is accepted. This module is pure: the text and the environment are handed in.

use std::fmt;
use std::path::PathBuf;

use serde_yaml::{Mapping, Value};

use crate::error::Error;

/// Where the registry's images look for their configuration, in the order in which regc does: registry 3's image, the
/// 2.x image and Debian, CentOS.
pub const DEFAULT_PATHS: [&str; 3] =
    ["/etc/distribution/config.yml", "/etc/docker/registry/config.yml", "/etc/docker-distribution/registry/config.yml"];

/// The environment variable that names the configuration when no argument does.
pub const PATH_VARIABLE: &str = "REGISTRY_CONFIGURATION_PATH";

/// Where the filesystem driver keeps a registry when the configuration does not say.
pub const DEFAULT_ROOT_DIRECTORY: &str = "/var/lib/registry";

/// What a collection needs of a registry's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the registry keeps everything.
    pub driver: Driver,
    /// Who else describes that storage.
    pub metadata: Metadata,
    /// Where the registry answers; `None` if it is not said, or chosen by the system.
    pub listener: Option<Listener>,
    /// Whether the registry takes no changes (`storage.maintenance.readonly.enabled`).
    pub read_only: bool,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listener::Tcp(address) => f.write_str(address),
            Listener::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Where a registry answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listener {
    /// `http.addr`: a host, which may be empty for all, and a port.
    Tcp(String),
    /// With `http.net: unix`, the socket.
    Unix(PathBuf),
}

/// A storage driver with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Driver {
    /// A directory.
    Filesystem {
        /// `rootdirectory`; a relative one is relative to the process, as for the registry.
        root: PathBuf,
    },
    /// The registry's own memory.
    InMemory,
    /// Any other driver, by its name.
    Other(String),
}

/// Who knows what a store's repositories and tags are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metadata {
    /// The storage alone, as in distribution.
    #[default]
    Storage,
    /// GitLab's registry with `database.enabled: true`: the database.
    GitLabDatabase,
    /// GitLab's registry with `database.enabled: prefer`: the database, unless a lock file in the storage says not.
    GitLabPrefersDatabase,
    /// Harbor (`auth.token.issuer: harbor-token-issuer`, or `auth.htpasswd.realm: harbor-registry-basic-realm`): tags
    /// are in its database.
    Harbor,
}

/// The keys of `storage` that are no driver.
const RESERVED: [&str; 5] = ["maintenance", "cache", "delete", "redirect", "tag"];

/// The sections that are read, and that an environment variable can therefore change.
const SECTIONS: [&str; 4] = ["storage", "auth", "database", "http"];

impl Config {
    /// The configuration of a store of which only the root directory is known.
    pub fn at_root(root: impl Into<PathBuf>) -> Self {
        let driver = Driver::Filesystem { root: root.into() };
        Self { driver, metadata: Metadata::Storage, listener: None, read_only: false }
    }

    /// Reads the text of a configuration file, and overrides it with those variables of `environment` that start with
    /// `REGISTRY_`, by the registry's own rules: `_` between levels, values parsed as YAML, applied in lexical order.
    ///
    /// Fails if the text is no YAML, is of an unknown version, or names no storage driver or more than one.
    pub fn parse(text: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let invalid = |error: serde_yaml::Error| Error::Config(format!("not valid YAML: {error}"));
        let mut document: Value = serde_yaml::from_str(text).map_err(invalid)?;
        document.apply_merge().map_err(invalid)?;
        let Value::Mapping(mut document) = document else {
            return Err(Error::Config("not a mapping of keys; is this a registry's config.yml?".into()));
        };
        match document.get("version").and_then(scalar).as_deref() {
            Some("0.1") => {}
            Some(other) => return Err(Error::Config(format!("version is {other:?}; the registry knows only 0.1"))),
            None => return Err(Error::Config("no version; a registry's config.yml starts with `version: 0.1`".into())),
        }
        normalize_short_form(&mut document, "storage");
        normalize_short_form(&mut document, "auth");
        override_with(&mut document, environment)?;
        let (metadata, listener) = (metadata(&document), listener(&document));
        Ok(Self { driver: driver(&document)?, metadata, listener, read_only: is_read_only(&document) })
    }
}

/// `storage: inmemory` and `auth: silly` stand for a driver without parameters.
fn normalize_short_form(document: &mut Mapping, section: &str) {
    if let Some(value) = document.get_mut(section)
        && let Some(name) = scalar(value)
    {
        *value = Value::Mapping(Mapping::from_iter([(Value::String(name), Value::Mapping(Mapping::new()))]));
    }
}

fn override_with(document: &mut Mapping, environment: impl IntoIterator<Item = (String, String)>) -> Result<(), Error> {
    let mut environment: Vec<_> = environment.into_iter().collect();
    environment.sort();
    for (name, text) in environment {
        let Some(path) = name.strip_prefix("REGISTRY_") else { continue };
        let path: Vec<&str> = path.split('_').collect();
        let Some(section) = SECTIONS.into_iter().find(|section| section.to_uppercase() == path[0]) else { continue };
        let mut value: Value = serde_yaml::from_str(&text)
            .map_err(|error| Error::Environment { name: name.clone(), reason: format!("not valid YAML: {error}") })?;
        value.apply_merge().map_err(|error| Error::Environment { name: name.clone(), reason: error.to_string() })?;
        if path.len() == 1 {
            document.insert(section.into(), value);
            normalize_short_form(document, section);
        } else {
            let section = document.entry(section.into()).or_insert(Value::Null);
            override_in(section, &path[1..], value, 0);
        }
    }
    Ok(())
}

/// Sets `value` at `path` below `target`, whose keys are compared in upper case and made in lower case.
///
/// `depth` counts the levels below the section: the registry's parser knows the section's drivers and their parameters,
/// but treats a mapping that the file holds further down as having keys that are no strings, and leaves it alone.
fn override_in(target: &mut Value, path: &[&str], value: Value, depth: usize) {
    if target.is_null() {
        *target = Value::Mapping(Mapping::new());
    }
    let Value::Mapping(mapping) = target else { return };
    if depth >= 2 {
        return;
    }
    let existing = mapping.keys().find(|key| key.as_str().is_some_and(|key| key.to_uppercase() == path[0])).cloned();
    let new_key = Value::String(path[0].to_lowercase());
    if path.len() == 1 {
        mapping.insert(new_key, value);
        return;
    }
    match existing {
        Some(key) if !mapping[&key].is_null() => override_in(&mut mapping[&key], &path[1..], value, depth + 1),
        _ => {
            // What the environment makes itself has keys that are strings, at any depth.
            let nested = path[1..].iter().rev().fold(value, |value, key| {
                Value::Mapping(Mapping::from_iter([(Value::String(key.to_lowercase()), value)]))
            });
            mapping.insert(new_key, nested);
        }
    }
}

fn driver(document: &Mapping) -> Result<Driver, Error> {
    let none = || Error::Config("no storage driver; is this a registry's config.yml?".into());
    let storage = match document.get("storage") {
        Some(Value::Mapping(storage)) => storage,
        None | Some(Value::Null) => return Err(none()),
        Some(_) => return Err(Error::Config("storage is neither a mapping nor a driver's name".into())),
    };
    let mut drivers = storage.iter().filter(|(key, _)| !key.as_str().is_some_and(|key| RESERVED.contains(&key)));
    let (name, parameters) = drivers.next().ok_or_else(none)?;
    let name = scalar(name).unwrap_or_default();
    if let Some((other, _)) = drivers.next() {
        let other = scalar(other).unwrap_or_default();
        return Err(Error::Config(format!("more than one storage driver: {name}, {other}")));
    }
    Ok(match name.as_str() {
        "inmemory" => Driver::InMemory,
        "filesystem" => Driver::Filesystem { root: root_directory(parameters)? },
        _ => Driver::Other(name),
    })
}

/// The filesystem driver's root. What the registry would take for another directory than a reader does is refused: the
/// wrong store must not be collected.
fn root_directory(parameters: &Value) -> Result<PathBuf, Error> {
    let invalid = |reason: &str| Error::Config(format!("storage.filesystem{reason}"));
    let parameters = match parameters {
        Value::Null => return Ok(DEFAULT_ROOT_DIRECTORY.into()),
        Value::Mapping(parameters) => parameters,
        _ => return Err(invalid(" is not a mapping of parameters")),
    };
    match parameters.get("rootdirectory") {
        None => Ok(DEFAULT_ROOT_DIRECTORY.into()),
        Some(Value::String(root)) if root.is_empty() => Err(invalid(".rootdirectory is empty")),
        Some(Value::String(root)) if is_no_text_in_yaml_1_1(root) => {
            Err(invalid(&format!(".rootdirectory: the registry does not read {root} as text; write ./{root}")))
        }
        Some(Value::String(root)) => Ok(root.into()),
        Some(_) => Err(invalid(".rootdirectory is not a path in text; if it is meant as one, quote it")),
    }
}

/// The registry's YAML is that of version 1.1, which has more booleans and numbers: `yes`, `0755`, `1:30`.
fn is_no_text_in_yaml_1_1(text: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off"].contains(&text.to_lowercase().as_str())
        || text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-')) && !text.contains('/')
}

fn metadata(document: &Mapping) -> Metadata {
    let database = document.get("database").and_then(|database| database.get("enabled")).and_then(scalar);
    match database.map(|value| value.to_lowercase()).as_deref() {
        None | Some("false" | "no" | "off" | "n" | "") => {}
        Some("prefer") => return Metadata::GitLabPrefersDatabase,
        Some(_) => return Metadata::GitLabDatabase,
    }
    let auth = |kind: &str, key: &str| {
        let parameters = document.get("auth").and_then(|auth| auth.get(kind));
        parameters.and_then(|parameters| parameters.get(key)).and_then(scalar)
    };
    // Harbor 1 lets the registry check its tokens; Harbor 2 stands before it and logs in.
    let is_harbor = auth("token", "issuer").is_some_and(|issuer| issuer == "harbor-token-issuer")
        || auth("htpasswd", "realm").is_some_and(|realm| realm == "harbor-registry-basic-realm");
    if is_harbor { Metadata::Harbor } else { Metadata::Storage }
}

fn listener(document: &Mapping) -> Option<Listener> {
    let http = document.get("http")?;
    let address = http.get("addr").and_then(scalar).filter(|address| !address.is_empty())?;
    match http.get("net").and_then(scalar).as_deref() {
        Some("unix") => Some(Listener::Unix(address.into())),
        _ if address.ends_with(":0") => None,
        _ => Some(Listener::Tcp(address)),
    }
}

fn is_read_only(document: &Mapping) -> bool {
    let maintenance = document.get("storage").and_then(|storage| storage.get("maintenance"));
    let enabled = maintenance.and_then(|maintenance| maintenance.get("readonly")?.get("enabled")).and_then(scalar);
    enabled.is_some_and(|enabled| ["true", "yes", "on", "y"].contains(&enabled.to_lowercase().as_str()))
}

/// A scalar's text, as Go prints it; `None` for null, sequences and mappings.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, Error> {
        Config::parse(text, environment.iter().map(|(name, value)| (name.to_string(), value.to_string())))
    }

    fn root(text: &str, environment: &[(&str, &str)]) -> String {
        match parse(text, environment).unwrap().driver {
            Driver::Filesystem { root } => root.display().to_string(),
            other => panic!("{other:?}"),
        }
    }

    const DEBIAN: &str = "
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/docker-registry
  delete:
    enabled: true
  maintenance:
    readonly:
      enabled: true
http:
  addr: :5000
auth:
  htpasswd:
    realm: basic-realm
    path: /etc/docker/registry
";

    #[test]
    fn the_packaged_configuration() {
        assert_eq!(root(DEBIAN, &[]), "/var/lib/docker-registry");
        assert_eq!(parse(DEBIAN, &[]).unwrap().metadata, Metadata::Storage);
    }

    #[test]
    fn short_forms_defaults_and_anchors() {
        assert_eq!(parse("version: 0.1\nstorage: inmemory", &[]).unwrap().driver, Driver::InMemory);
        assert_eq!(root("version: 0.1\nstorage: filesystem", &[]), DEFAULT_ROOT_DIRECTORY);
        assert_eq!(root("version: 0.1\nstorage:\n  filesystem:", &[]), DEFAULT_ROOT_DIRECTORY);
        assert_eq!(root("version: '0.1'\nstorage: {filesystem: {rootdirectory: './12'}}", &[]), "./12");
        let merged = "
version: 0.1
x: &fs
  filesystem: {rootdirectory: /merged}
storage:
  <<: *fs
  delete: {enabled: true}
";
        assert_eq!(root(merged, &[]), "/merged");
        let s3 = parse("version: 0.1\nstorage: {s3: {bucket: b}}", &[]).unwrap();
        assert_eq!(s3.driver, Driver::Other("s3".into()));
    }

    #[test]
    fn what_the_registry_refuses_is_refused() {
        for (text, expected) in [
            ("", "not a mapping"),
            ("storage: inmemory", "no version"),
            ("version: 0.2\nstorage: inmemory", "\"0.2\""),
            ("version: 0.1", "no storage driver"),
            ("version: 0.1\nstorage: {cache: {}}", "no storage driver"),
            ("version: 0.1\nstorage: [a]", "neither"),
            ("version: 0.1\nstorage: {inmemory: , filesystem: }", "more than one"),
            ("version: 0.1\n  storage: {", "not valid YAML"),
            ("version: 0.1\nstorage: {filesystem: /srv}", "not a mapping"),
            ("version: 0.1\nstorage: {filesystem: {rootdirectory: }}", "not a path"),
            ("version: 0.1\nstorage: {filesystem: {rootdirectory: ''}}", "empty"),
            ("version: 0.1\nstorage: {filesystem: {rootdirectory: 0755}}", "write ./0755"),
            ("version: 0.1\nstorage: {filesystem: {rootdirectory: yes}}", "write ./yes"),
        ] {
            let error = parse(text, &[]).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_environment_overrides() {
        const ROOT: &str = "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY";
        assert_eq!(root(DEBIAN, &[(ROOT, "/data")]), "/data");
        assert_eq!(root("version: 0.1\nstorage:\n  filesystem:", &[(ROOT, "/data")]), "/data");
        assert_eq!(root("version: 0.1", &[("REGISTRY_STORAGE", "filesystem")]), DEFAULT_ROOT_DIRECTORY);
        // The more specific variable comes last, in whatever order they are given.
        assert_eq!(root(DEBIAN, &[(ROOT, "/b"), ("REGISTRY_STORAGE", "{filesystem: {rootdirectory: /a}}")]), "/b");
        assert_eq!(root(DEBIAN, &[("REGISTRY_STORAGE_FILESYSTEM", "{rootdirectory: /c}")]), "/c");
        // Two drivers, as for the registry.
        assert!(parse("version: 0.1\nstorage: {s3: {}}", &[(ROOT, "/data")]).is_err());
        // What is not a key of the configuration is ignored, whatever it holds.
        assert_eq!(root(DEBIAN, &[("REGISTRY_PORT_5000_TCP", "{"), ("PATH", "{")]), "/var/lib/docker-registry");
        assert!(matches!(parse(DEBIAN, &[(ROOT, "{")]), Err(Error::Environment { .. })));
        for value in ["", "~", "12"] {
            assert!(parse(DEBIAN, &[(ROOT, value)]).is_err(), "never the default root: {value:?}");
        }
        assert!(parse(DEBIAN, &[("REGISTRY_STORAGE_FILESYSTEM", "/data")]).is_err());
    }

    #[test]
    fn the_environment_creates_deep_mappings_but_does_not_change_those_of_the_file() {
        let mut document: Mapping =
            serde_yaml::from_str("storage: {maintenance: {readonly: {enabled: true}}}").unwrap();
        let readonly = [("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED".to_owned(), "false".to_owned())];
        override_with(&mut document, readonly.clone()).unwrap();
        assert_eq!(document["storage"]["maintenance"]["readonly"]["enabled"], Value::Bool(true));
        let mut document: Mapping = serde_yaml::from_str("storage: {maintenance: }").unwrap();
        override_with(&mut document, readonly).unwrap();
        assert_eq!(document["storage"]["maintenance"]["readonly"]["enabled"], Value::Bool(false));
    }

    #[test]
    fn somebody_elses_metadata() {
        let metadata = |extra: &str| parse(&format!("version: 0.1\nstorage: inmemory\n{extra}"), &[]).unwrap().metadata;
        assert_eq!(metadata("database: {enabled: true, host: db}"), Metadata::GitLabDatabase);
        assert_eq!(metadata("database: {enabled: 'true'}"), Metadata::GitLabDatabase);
        assert_eq!(metadata("database: {enabled: yes}"), Metadata::GitLabDatabase);
        assert_eq!(metadata("database: {enabled: prefer}"), Metadata::GitLabPrefersDatabase);
        assert_eq!(metadata("database: {enabled: false}"), Metadata::Storage);
        assert_eq!(metadata("auth: {token: {issuer: harbor-token-issuer, realm: x}}"), Metadata::Harbor);
        assert_eq!(metadata("auth: {htpasswd: {realm: harbor-registry-basic-realm}}"), Metadata::Harbor);
        assert_eq!(metadata("auth: {token: {issuer: other}}"), Metadata::Storage);
        let environment = [("REGISTRY_DATABASE_ENABLED", "true")];
        assert_eq!(parse(DEBIAN, &environment).unwrap().metadata, Metadata::GitLabDatabase);
        let environment = [("REGISTRY_AUTH", "token"), ("REGISTRY_AUTH_TOKEN_ISSUER", "harbor-token-issuer")];
        assert_eq!(parse(DEBIAN, &environment).unwrap().metadata, Metadata::Harbor);
    }
}
