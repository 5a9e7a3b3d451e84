//! The registry's `config.yml`, read as the registry reads it.
//!
//! Source: `configuration/{configuration,parser}.go` of distribution/distribution, 2.8 and 3.1. Only what a
//! collection needs is read; everything else is accepted. The caller passes the environment, and may pass the text.

mod azure;
mod environment;
mod file;
mod gcs;
mod parameters;
mod redis;
mod s3;
mod yaml;

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_yaml::{Mapping, Value};

pub use self::azure::Azure;
#[cfg(feature = "azure")]
pub(crate) use self::azure::AzureCredentials;
pub use self::gcs::Gcs;
pub use self::redis::Redis;
#[cfg(feature = "redis")]
pub(crate) use self::redis::{Login, Tls};
pub use self::s3::S3;
use crate::error::Error;

/// Where registries keep their configuration, in the order in which regc tries them: the image of registry 3, the 2.x
/// image and Debian, CentOS.
pub const DEFAULT_PATHS: [&str; 3] =
    ["/etc/distribution/config.yml", "/etc/docker/registry/config.yml", "/etc/docker-distribution/registry/config.yml"];

/// The environment variable that names the configuration if no argument does.
pub const PATH_VARIABLE: &str = "REGISTRY_CONFIGURATION_PATH";

/// The root directory of the filesystem driver if the configuration does not set one.
pub const DEFAULT_ROOT_DIRECTORY: &str = "/var/lib/registry";

/// The part of a registry's configuration that a collection needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where the registry keeps everything.
    pub driver: Driver,
    /// Where the repositories and tags in that storage are recorded.
    pub metadata: Metadata,
    /// Where the registry listens; `None` if that is not configured, or chosen by the system.
    pub listener: Option<Listener>,
    /// Whether the registry is read-only (`storage.maintenance.readonly.enabled`).
    pub read_only: bool,
    /// Where the registry caches what it knows about its blobs (`storage.cache.blobdescriptor`).
    pub cache: Cache,
    /// How the registry reaches that Redis (`redis`).
    pub redis: Box<Redis>,
    /// What may be missing from its images.
    pub absences: Absences,
    /// The environment variable that the driver or its parameters come from, if they do.
    pub driver_variable: Option<String>,
}

/// What may be missing from a registry's images without being damage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Absences {
    /// Content: a pull-through cache (`proxy.remoteurl`) lets it expire, and fetches it again.
    pub content: bool,
    /// Platforms: the registry accepts indexes without all or some of them (`validation.manifests.indexes.platforms`
    /// is `none` or `list`).
    pub platforms: bool,
}

/// Where the registry caches which blobs it has. It still answers from the cache after a blob was deleted from the
/// storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cache {
    /// Nowhere.
    #[default]
    None,
    /// In its own memory, until it is restarted.
    InMemory,
    /// In a Redis database, where it outlives the registry.
    Redis {
        /// `redis.addr`, or `redis.addrs` of registry 3; empty if the configuration does not say.
        addresses: Vec<String>,
        /// `redis.db`, which is 0 unless the configuration says otherwise.
        db: String,
    },
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(address) => f.write_str(address),
            Place::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Where a registry listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it accepts connections.
    pub place: Place,
    /// `http.prefix`: what all its paths start with. Usually empty.
    pub prefix: String,
}

/// Where a registry accepts connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
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
    /// A bucket of S3: `s3`, also called `s3aws`.
    S3(Box<S3>),
    /// A bucket of Google Cloud Storage: `gcs`.
    Gcs(Box<Gcs>),
    /// A container of Azure's blob storage: `azure`.
    Azure(Box<Azure>),
    /// Any other driver, by its name.
    Other(String),
}

impl Driver {
    /// Whether it keeps a registry in a bucket, or what the provider calls one.
    pub fn is_bucket(&self) -> bool {
        matches!(self, Self::S3(_) | Self::Gcs(_) | Self::Azure(_))
    }

    /// Keeps those variables from which credentials are taken.
    fn keep_environment(&mut self, environment: Vec<(String, String)>) {
        let (kept, takes): (_, fn(&str) -> bool) = match self {
            Self::S3(s3) => (&mut s3.environment, S3::takes),
            Self::Gcs(gcs) => (&mut gcs.environment, Gcs::takes),
            Self::Azure(azure) => (&mut azure.environment, Azure::takes),
            Self::Filesystem { .. } | Self::InMemory | Self::Other(_) => return,
        };
        kept.extend(environment.into_iter().filter(|(name, _)| takes(name)));
    }
}

/// Where a store's repositories and tags are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metadata {
    /// The storage alone, as in distribution.
    #[default]
    Storage,
    /// GitLab's registry with `database.enabled: true`: the database.
    GitLabDatabase,
    /// GitLab's registry with `database.enabled: prefer`: the database, unless a lock file in the storage shows
    /// otherwise.
    GitLabPrefersDatabase,
    /// Harbor (`auth.token.issuer: harbor-token-issuer`, or `auth.htpasswd.realm: harbor-registry-basic-realm`): tags
    /// are in its database.
    Harbor,
    /// OpenShift's registry (`openshift`, or a middleware of that name): manifests and tags are in etcd.
    OpenShift,
}

/// The keys of `storage` that are not drivers.
const RESERVED: [&str; 5] = ["maintenance", "cache", "delete", "redirect", "tag"];

impl Config {
    /// Returns the configuration of a store if only its root directory is known.
    pub fn at_root(root: impl Into<PathBuf>) -> Self {
        let driver = Driver::Filesystem { root: root.into() };
        Self {
            driver,
            metadata: Metadata::Storage,
            listener: None,
            read_only: false,
            cache: Cache::None,
            redis: Box::default(),
            absences: Absences::default(),
            driver_variable: None,
        }
    }

    /// Reads the text of a configuration file, and overrides it with those variables of `environment` that start with
    /// `REGISTRY_`, by the registry's own rules: `_` between levels, values parsed as YAML, applied in lexical order.
    ///
    /// Fails if the text is not YAML, has an unknown version, or does not name exactly one storage driver.
    ///
    /// ```
    /// use regc_core::Config;
    ///
    /// # fn main() -> Result<(), regc_core::Error> {
    /// let text = "version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}";
    /// let overridden = [("REGISTRY_HTTP_ADDR".to_owned(), "127.0.0.1:5001".to_owned())];
    /// let config = Config::parse(text, overridden)?;
    /// assert_eq!(config.listener.map(|listener| listener.to_string()).as_deref(), Some("127.0.0.1:5001"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn parse(text: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let document = yaml::read(text).map_err(|error| Error::Config(format!("not valid YAML: {error}")))?;
        let Value::Mapping(mut document) = document else {
            return Err(Error::Config("not a mapping of keys; is this a registry's config.yml?".into()));
        };
        match document.get("version").and_then(scalar).as_deref() {
            Some("0.1") => {}
            Some(other) => return Err(Error::Config(format!("version is {other:?}; the registry accepts only 0.1"))),
            None => return Err(Error::Config("no version; a registry's config.yml starts with `version: 0.1`".into())),
        }
        normalize_short_form(&mut document, "storage");
        normalize_short_form(&mut document, "auth");
        let environment: Vec<(String, String)> = environment.into_iter().collect();
        let (mut driver, driver_variable) = environment::apply(&mut document, environment.iter().cloned())?;
        driver.keep_environment(environment);
        let redis = Redis::read(&document);
        Ok(Self {
            driver,
            metadata: metadata(&document),
            listener: listener(&document),
            read_only: is_read_only(&document),
            cache: cache(&document, &redis),
            redis: Box::new(redis),
            absences: absences(&document),
            driver_variable,
        })
    }
}

/// Expands `storage: inmemory` and `auth: silly`, which stand for a driver without parameters.
fn normalize_short_form(document: &mut Mapping, section: &str) {
    if let Some(value) = document.get_mut(section)
        && let Some(name) = scalar(value)
    {
        *value = Value::Mapping(Mapping::from_iter([(Value::String(name), Value::Mapping(Mapping::new()))]));
    }
}

/// Lists the keys of `storage` that name drivers, with their parameters.
fn drivers(storage: &Mapping) -> impl Iterator<Item = (&Value, &Value)> {
    storage.iter().filter(|(key, _)| !key.as_str().is_some_and(|key| RESERVED.contains(&key)))
}

fn driver(document: &Mapping) -> Result<Driver, Error> {
    let none = || Error::Config("no storage driver; is this a registry's config.yml?".into());
    let storage = match document.get("storage") {
        Some(Value::Mapping(storage)) => storage,
        None | Some(Value::Null) => return Err(none()),
        Some(_) => return Err(Error::Config("storage is neither a mapping nor a driver's name".into())),
    };
    let mut drivers = drivers(storage);
    let (name, parameters) = drivers.next().ok_or_else(none)?;
    let name = scalar(name).unwrap_or_default();
    if let Some((other, _)) = drivers.next() {
        let other = scalar(other).unwrap_or_default();
        return Err(Error::Config(format!("more than one storage driver: {name}, {other}")));
    }
    Ok(match name.as_str() {
        "inmemory" => Driver::InMemory,
        "filesystem" => Driver::Filesystem { root: root_directory(parameters)? },
        "s3" | "s3aws" => Driver::S3(Box::new(S3::read(&name, parameters)?)),
        "gcs" => Driver::Gcs(Box::new(Gcs::read(&name, parameters)?)),
        "azure" => Driver::Azure(Box::new(Azure::read(&name, parameters)?)),
        _ => Driver::Other(name),
    })
}

/// Returns the filesystem driver's root. Fails on a value that the registry would take for another directory than a
/// reader does: the wrong store must not be collected.
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
        Some(Value::String(root)) => Ok(root.into()),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Err(invalid(&format!(
            ".rootdirectory is not a string: the registry reads it as {}; put it in quotes",
            scalar(value).unwrap_or_default()
        ))),
        Some(_) => Err(invalid(".rootdirectory is not a string; if it is a path, put it in quotes")),
    }
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
    // The registry of Harbor 1 checks Harbor's tokens; Harbor 2 is a proxy in front of the registry and logs in.
    let is_harbor = auth("token", "issuer").is_some_and(|issuer| issuer == "harbor-token-issuer")
        || auth("htpasswd", "realm").is_some_and(|realm| realm == "harbor-registry-basic-realm");
    if is_harbor {
        Metadata::Harbor
    } else if is_openshift(document) {
        Metadata::OpenShift
    } else {
        Metadata::Storage
    }
}

fn is_openshift(document: &Mapping) -> bool {
    let middleware = document.get("middleware").and_then(|middleware| middleware.get("registry"));
    let named = middleware.and_then(Value::as_sequence).into_iter().flatten().filter_map(|item| item.get("name"));
    let mut names = named.chain(middleware).filter_map(scalar);
    document.get("openshift").is_some() || names.any(|name| name == "openshift")
}

fn listener(document: &Mapping) -> Option<Listener> {
    let http = document.get("http")?;
    let address = http.get("addr").and_then(scalar).filter(|address| !address.is_empty())?;
    let place = match http.get("net").and_then(scalar).as_deref() {
        Some("unix") => Place::Unix(address.into()),
        _ if address.ends_with(":0") => return None,
        _ => Place::Tcp(address),
    };
    Some(Listener { place, prefix: http.get("prefix").and_then(scalar).unwrap_or_default() })
}

fn is_read_only(document: &Mapping) -> bool {
    let maintenance = document.get("storage").and_then(|storage| storage.get("maintenance"));
    let enabled = maintenance.and_then(|maintenance| maintenance.get("readonly")?.get("enabled")).and_then(scalar);
    enabled.is_some_and(|enabled| ["true", "yes", "on", "y"].contains(&enabled.to_lowercase().as_str()))
}

fn cache(document: &Mapping, redis: &Redis) -> Cache {
    let cache = document.get("storage").and_then(|storage| storage.get("cache"));
    // Registry 2 still reads the older name of the key.
    let kind = cache.and_then(|cache| scalar(cache.get("blobdescriptor").or_else(|| cache.get("layerinfo"))?));
    match kind.as_deref() {
        Some("inmemory") => Cache::InMemory,
        Some("redis") => Cache::Redis { addresses: redis.addresses.clone(), db: redis.db.clone() },
        _ => Cache::None,
    }
}

fn absences(document: &Mapping) -> Absences {
    let remote = document.get("proxy").and_then(|proxy| proxy.get("remoteurl")).and_then(scalar);
    let manifests = document.get("validation").and_then(|validation| validation.get("manifests"));
    let platforms = manifests.and_then(|manifests| manifests.get("indexes")?.get("platforms")).and_then(scalar);
    Absences {
        content: remote.is_some_and(|remote| !remote.is_empty()),
        platforms: platforms.is_some_and(|platforms| matches!(&*platforms.to_lowercase(), "none" | "list")),
    }
}

/// Returns a scalar's text, as Go prints it; `None` for null, sequences and mappings.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
