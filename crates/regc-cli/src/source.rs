//! Which store is meant: the configuration or the root that the command line, the environment or the system names.

use std::path::{Path, PathBuf};
use std::{env, fs};

use regc_core::config::{Config, DEFAULT_PATHS, Driver, PATH_VARIABLE};
use regc_core::error::Error;

/// A store's configuration, and its root for people to read.
pub struct Source {
    pub config: Config,
    pub root: PathBuf,
}

/// Another store than the one that is meant, a backup: its root, or the configuration of its registry. The environment says
/// nothing of it.
pub fn other(path: &Path) -> Result<Source, Error> {
    if path.is_dir() {
        return Ok(Source { config: Config::at_root(path.to_owned()), root: path.to_owned() });
    }
    let config = parse(path, Vec::new())?;
    let root = root_of(&config);
    Ok(Source { config, root })
}

/// Finds the configuration: the argument, else the environment's, else the first that exists where registries keep it.
pub fn find(config: Option<PathBuf>, root: Option<PathBuf>) -> Result<Source, Error> {
    let config = match root {
        Some(root) => Config::at_root(root),
        None => read(&path(config)?)?,
    };
    let root = root_of(&config);
    Ok(Source { config, root })
}

fn root_of(config: &Config) -> PathBuf {
    match &config.driver {
        Driver::Filesystem { root } => root.clone(),
        _ => PathBuf::new(),
    }
}

fn path(argument: Option<PathBuf>) -> Result<PathBuf, Error> {
    let named = argument.or_else(|| env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from));
    let existing = || DEFAULT_PATHS.iter().map(PathBuf::from).find(|path| path.try_exists().unwrap_or(true));
    named.or_else(existing).ok_or_else(|| {
        Error::Config(format!(
            "there is none at {}. Name the registry's config.yml, or the directory that holds docker/registry/v2 with --root",
            DEFAULT_PATHS.join(", ")
        ))
    })
}

fn read(path: &Path) -> Result<Config, Error> {
    let mut environment = Vec::new();
    for (name, value) in env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => environment.push((name, value)),
            Err(_) if name.starts_with("REGISTRY_") => {
                return Err(Error::Environment { name, reason: "its value is not UTF-8".to_owned() });
            }
            Err(_) => {}
        }
    }
    parse(path, environment)
}

fn parse(path: &Path, environment: Vec<(String, String)>) -> Result<Config, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Storage {
        action: "read the configuration",
        path: path.display().to_string(),
        source,
    })?;
    Config::parse(&text, environment).map_err(|error| match error {
        Error::Config(reason) => Error::Config(format!("{}: {reason}", path.display())),
        error => error,
    })
}
