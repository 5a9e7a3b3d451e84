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
    /// Where the registry remembers which blobs it has (`storage.cache.blobdescriptor`).
    pub blob_descriptors: BlobDescriptors,
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

/// Where a registry remembers which blobs it has. What is removed from the storage is still remembered there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BlobDescriptors {
    /// Nowhere, or in its own memory, which ends with it.
    #[default]
    None,
    /// In Redis.
    Redis {
        /// `redis.addr`, or of registry 3 `redis.addrs`.
        addresses: Vec<String>,
        /// `redis.db`, the number of the database.
        database: String,
    },
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
const SECTIONS: [&str; 5] = ["storage", "auth", "database", "http", "redis"];

impl Config {
    /// The configuration of a store of which only the root directory is known.
    pub fn at_root(root: impl Into<PathBuf>) -> Self {
        let driver = Driver::Filesystem { root: root.into() };
        Self {
            driver,
            metadata: Metadata::Storage,
            listener: None,
            blob_descriptors: BlobDescriptors::None,
            read_only: false,
        }
    }

    /// Reads the text of a configuration file, and overrides it with those variables of `environment` that start with
    /// `REGISTRY_`, by the registry's own rules: `_` between levels, values parsed as YAML, applied in lexical order.
    ///
    /// Fails if the text is no YAML, is of an unknown version, or names no storage driver or more than one.
    pub fn parse(text: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        // What an editor on Windows writes first.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
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
        let mut texts = vec![text.to_owned()];
        let mut blamed = Blamed::new(&document, &texts);
        for variable in Variable::of(environment)? {
            variable.apply(&mut document);
            texts.push(variable.text.clone());
            blamed.look(&document, &texts, &variable.name);
        }
        let driver = blamed.driver()?;
        let (metadata, listener) = (metadata(&document), listener(&document));
        let (blob_descriptors, read_only) = (blob_descriptors(&document), is_read_only(&document));
        Ok(Self { driver, metadata, listener, blob_descriptors, read_only })
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

/// An environment variable that overrides a part of the configuration.
struct Variable {
    name: String,
    text: String,
    section: &'static str,
    value: Value,
}

impl Variable {
    /// The variables that matter, in the order in which the registry applies them.
    fn of(environment: impl IntoIterator<Item = (String, String)>) -> Result<Vec<Self>, Error> {
        let mut environment: Vec<_> = environment.into_iter().collect();
        environment.sort();
        let mut variables = Vec::new();
        for (name, text) in environment {
            let Some(path) = name.strip_prefix("REGISTRY_") else { continue };
            let first = path.split('_').next().unwrap_or_default();
            let Some(section) = SECTIONS.into_iter().find(|section| section.to_uppercase() == first) else { continue };
            let fail = |reason: String| Error::Environment { name: name.clone(), reason };
            let mut value: Value =
                serde_yaml::from_str(&text).map_err(|error| fail(format!("not valid YAML: {error}")))?;
            value.apply_merge().map_err(|error| fail(error.to_string()))?;
            variables.push(Self { name, text, section, value });
        }
        Ok(variables)
    }

    fn apply(&self, document: &mut Mapping) {
        let path: Vec<&str> = self.name.split('_').skip(2).collect();
        if path.is_empty() {
            document.insert(self.section.into(), self.value.clone());
            normalize_short_form(document, self.section);
        } else {
            let section = document.entry(self.section.into()).or_insert(Value::Null);
            override_in(section, &path, self.value.clone(), 0);
        }
    }
}

/// The driver that a configuration names, or what is wrong with that and which variable has made it so.
struct Blamed {
    driver: Result<Driver, String>,
    variable: Option<String>,
}

impl Blamed {
    fn new(document: &Mapping, texts: &[String]) -> Self {
        Self { driver: driver(document, texts), variable: None }
    }

    /// Looks again, after a variable was applied.
    fn look(&mut self, document: &Mapping, texts: &[String], variable: &str) {
        let driver = driver(document, texts);
        if driver != self.driver {
            *self = Self { driver, variable: Some(variable.to_owned()) };
        }
    }

    fn driver(self) -> Result<Driver, Error> {
        self.driver.map_err(|reason| match self.variable {
            None => Error::Config(reason),
            // Kubernetes makes variables of the names of services.
            Some(name)
                if ["_PORT", "_SERVICE_HOST", "_SERVICE_PORT", "_TCP"].iter().any(|part| name.contains(part)) =>
            {
                let reason = format!(
                    "{reason}. Kubernetes sets such variables for a service of that name: unset it, or say \
                     `enableServiceLinks: false`"
                );
                Error::Environment { name, reason }
            }
            Some(name) => Error::Environment { name, reason },
        })
    }
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

fn driver(document: &Mapping, texts: &[String]) -> Result<Driver, String> {
    let none = || "no storage driver; is this a registry's config.yml?".to_owned();
    let storage = match document.get("storage") {
        Some(Value::Mapping(storage)) => storage,
        None | Some(Value::Null) => return Err(none()),
        Some(_) => return Err("storage is neither a mapping nor a driver's name".into()),
    };
    let mut drivers = storage.iter().filter(|(key, _)| !key.as_str().is_some_and(|key| RESERVED.contains(&key)));
    let (name, parameters) = drivers.next().ok_or_else(none)?;
    let name = scalar(name).unwrap_or_default();
    if let Some((other, _)) = drivers.next() {
        let other = scalar(other).unwrap_or_default();
        return Err(format!("more than one storage driver: {name}, {other}"));
    }
    Ok(match name.as_str() {
        "inmemory" => Driver::InMemory,
        "filesystem" => Driver::Filesystem { root: root_directory(parameters, texts)? },
        _ => Driver::Other(name),
    })
}

/// The filesystem driver's root. What the registry would take for another directory than a reader does is refused: the
/// wrong store must not be collected.
fn root_directory(parameters: &Value, texts: &[String]) -> Result<PathBuf, String> {
    let invalid = |reason: &str| format!("storage.filesystem{reason}");
    let parameters = match parameters {
        Value::Null => return Ok(DEFAULT_ROOT_DIRECTORY.into()),
        Value::Mapping(parameters) => parameters,
        _ => return Err(invalid(" is not a mapping of parameters")),
    };
    match parameters.get("rootdirectory") {
        None => Ok(DEFAULT_ROOT_DIRECTORY.into()),
        Some(Value::String(root)) if root.is_empty() => Err(invalid(".rootdirectory is empty")),
        Some(Value::String(root)) if is_no_text_in_yaml_1_1(root) && !is_quoted(root, texts) => Err(invalid(&format!(
            ".rootdirectory: the registry does not read {root} as text; quote it, or write ./{root}"
        ))),
        Some(Value::String(root)) => Ok(root.into()),
        Some(_) => Err(invalid(".rootdirectory is not a path in text; if it is meant as one, quote it")),
    }
}

/// The registry's YAML is that of version 1.1, which has more booleans and numbers: `yes`, `0755`, `1:30`.
fn is_no_text_in_yaml_1_1(text: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off"].contains(&text.to_lowercase().as_str())
        || text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-')) && !text.contains('/')
}

/// Whether a text stands in quotes wherever it is the value of `rootdirectory`, or is all that a variable holds: then it is text
/// in every version of YAML. The parser does not tell. Where it cannot be found, it counts as not quoted.
fn is_quoted(root: &str, texts: &[String]) -> bool {
    let (mut quoted, mut plain) = (false, false);
    for text in texts {
        let values = text.match_indices("rootdirectory").map(|(start, key)| &text[start + key.len()..]);
        let values = values.map(|rest| rest.trim_start_matches(['"', '\'']).trim_start().trim_start_matches(':'));
        for value in values.chain([text.as_str()]).map(str::trim_start) {
            plain |= value.starts_with(root);
            quoted |= ['"', '\''].iter().any(|quote| {
                value
                    .strip_prefix(*quote)
                    .and_then(|rest| rest.strip_prefix(root))
                    .is_some_and(|rest| rest.starts_with(*quote))
            });
        }
    }
    quoted && !plain
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

fn blob_descriptors(document: &Mapping) -> BlobDescriptors {
    let cache = document.get("storage").and_then(|storage| storage.get("cache"));
    // `layerinfo` is what registry 2.0 called it.
    let kind = |name: &str| cache.and_then(|cache| cache.get(name)).and_then(scalar);
    if kind("blobdescriptor").or(kind("layerinfo")).as_deref() != Some("redis") {
        return BlobDescriptors::None;
    }
    let redis = |key: &str| document.get("redis").and_then(|redis| redis.get(key));
    let mut addresses: Vec<String> = redis("addr").and_then(scalar).into_iter().collect();
    addresses.extend(redis("addrs").and_then(Value::as_sequence).into_iter().flatten().filter_map(scalar));
    BlobDescriptors::Redis { addresses, database: redis("db").and_then(scalar).unwrap_or_else(|| "0".to_owned()) }
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
            ("version: 0.1\nstorage: {filesystem: {rootdirectory: 0755}}\nx: '0755'", "write ./0755"),
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
    fn where_blobs_are_remembered() {
        let remembered = |text: &str| parse(&format!("version: 0.1\n{text}"), &[]).unwrap().blob_descriptors;
        let redis = |address: &str, database: &str| BlobDescriptors::Redis {
            addresses: vec![address.to_owned()],
            database: database.to_owned(),
        };
        let storage = "storage: {filesystem: , cache: {blobdescriptor: redis}}\n";
        assert_eq!(remembered(&format!("{storage}redis: {{addr: 'redis:6379', db: 3}}")), redis("redis:6379", "3"));
        assert_eq!(remembered(&format!("{storage}redis: {{addrs: ['redis:6379']}}")), redis("redis:6379", "0"));
        assert_eq!(remembered("storage: {filesystem: , cache: {blobdescriptor: inmemory}}"), BlobDescriptors::None);
    }

    #[test]
    fn quoted_text_is_text() {
        for quoted in ["'0755'", "\"0755\""] {
            assert_eq!(
                root(&format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: {quoted}}}}}"), &[]),
                "0755"
            );
            let text = format!("version: 0.1\nstorage:\n  filesystem:\n    'rootdirectory':   {quoted}  # a comment\n");
            assert_eq!(root(&text, &[]), "0755");
            let variable = ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", quoted);
            assert_eq!(root("version: 0.1\nstorage: filesystem", &[variable]), "0755");
        }
        assert_eq!(root("version: 0.1\nstorage: {filesystem: {rootdirectory: 'yes'}}", &[]), "yes");
    }

    #[test]
    fn what_an_editor_on_windows_writes() {
        let text = format!("\u{feff}{}", DEBIAN.trim_start().replace('\n', "\r\n"));
        assert_eq!(root(&text, &[]), "/var/lib/docker-registry");
    }

    #[test]
    fn a_variable_that_causes_an_error_is_named() {
        for (name, value) in [
            ("REGISTRY_STORAGE_PORT", "tcp://10.0.0.1:5000"),
            ("REGISTRY_STORAGE_PORT_5000_TCP_ADDR", "10.0.0.1"),
            ("REGISTRY_STORAGE_SERVICE_HOST", "10.0.0.1"),
            ("REGISTRY_STORAGE_S3", "{bucket: b}"),
            ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "0755"),
            ("REGISTRY_STORAGE_FILESYSTEM", "/data"),
            ("REGISTRY_STORAGE", "[a]"),
        ] {
            match parse(DEBIAN, &[("REGISTRY_HTTP_ADDR", ":5000"), (name, value)]) {
                Err(Error::Environment { name: blamed, .. }) => assert_eq!(blamed, name),
                other => panic!("{name}: {other:?}"),
            }
        }
        let twice = "version: 0.1\nstorage: {inmemory: , filesystem: }";
        let unrelated = parse(twice, &[("REGISTRY_HTTP_ADDR", ":5000")]);
        assert!(matches!(unrelated, Err(Error::Config(_))), "the file's own fault");
    }

    #[test]
    fn the_environment_creates_deep_mappings_but_does_not_change_those_of_the_file() {
        let mut document: Mapping =
            serde_yaml::from_str("storage: {maintenance: {readonly: {enabled: true}}}").unwrap();
        let apply = |document: &mut Mapping, environment| {
            Variable::of(environment).unwrap().iter().for_each(|variable| variable.apply(document));
        };
        let readonly = [("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED".to_owned(), "false".to_owned())];
        apply(&mut document, readonly.clone());
        assert_eq!(document["storage"]["maintenance"]["readonly"]["enabled"], Value::Bool(true));
        let mut document: Mapping = serde_yaml::from_str("storage: {maintenance: }").unwrap();
        apply(&mut document, readonly);
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
