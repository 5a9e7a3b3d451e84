//! The store to use: the configuration or the root that the command line, the environment or the system names.

use std::path::{self, Path, PathBuf};
use std::{env, fs};

use regc_core::registry::config::{DEFAULT_PATHS, Driver, PATH_VARIABLE};
use regc_core::registry::layout;
use regc_core::{Config, Error};

/// Returns a path without symbolic links and relative parts; unchanged if nothing is there, or if it is that of a bucket.
pub fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// A store's configuration, and its root for display.
pub struct Source {
    pub config: Config,
    pub root: PathBuf,
    /// The configuration file; `None` if the command line names the root.
    pub file: Option<PathBuf>,
    /// What names the root: a configuration file, perhaps with a variable of the environment. `None` if the command line does.
    named_by: Option<String>,
}

impl Source {
    /// Says which store it is, and where that is written: `/var/lib/registry, from /etc/docker/registry/config.yml`.
    pub fn place(&self) -> String {
        let root = self.root.display();
        self.named_by.as_ref().map_or_else(|| root.to_string(), |named_by| format!("{root}, from {named_by}"))
    }

    /// The option by which a command names the store, from any directory, as a shell reads it:
    /// `--config /etc/docker/registry/config.yml`.
    pub fn option(&self) -> String {
        match &self.file {
            Some(file) => format!("--config {}", quoted(&absolute(file))),
            None => format!("--root {}", quoted(&absolute(&self.root))),
        }
    }

    /// The same, for commands that take a configuration without an option: `/etc/docker/registry/config.yml`.
    pub fn argument(&self) -> String {
        self.file.as_ref().map_or_else(|| self.option(), |file| quoted(&absolute(file)))
    }

    /// Guesses which storage root was meant: the given one may be too deep, or one directory above.
    pub fn nearby_root(&self) -> Option<PathBuf> {
        let holds_layout = |directory: &PathBuf| directory.join(layout::ROOT).is_dir();
        let root = self.root.canonicalize().ok()?;
        let above = root.ancestors().skip(1).map(Path::to_owned);
        let below = fs::read_dir(&root).into_iter().flatten().flatten().map(|entry| entry.path());
        above.chain(below).find(holds_layout)
    }
}

/// Returns a path as it is from every directory.
fn absolute(path: &Path) -> PathBuf {
    path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Returns a path as a shell reads it.
pub fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !path.is_empty() && path.chars().all(is_plain) {
        return path.into_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

/// Returns the option that takes this text, if it is the path of a store's configuration or root rather than a name.
///
/// A relative path may be a repository's name as well: only a registry's configuration is taken for what it is.
pub fn option_for(text: &str) -> Option<&'static str> {
    let path = Path::new(text);
    let is_path = path.is_absolute() || text.starts_with("./") || text.starts_with("../");
    let found = fs::metadata(path).ok()?;
    if found.is_dir() {
        return (is_path && path.join(layout::ROOT).is_dir()).then_some("--root");
    }
    let is_yaml = path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
    let is_config = found.is_file() && (is_path || is_yaml) && Config::from_file(path, []).is_ok();
    is_config.then_some("--config")
}

/// Finds another store, a backup, by its root or its registry's configuration. The environment does not apply to it.
pub fn other(path: &Path) -> Result<Source, Error> {
    if path.is_dir() {
        return Ok(Source {
            config: Config::at_root(path.to_owned()),
            root: path.to_owned(),
            file: None,
            named_by: None,
        });
    }
    let config = Config::from_file(path, [])?;
    let root = root_of(&config);
    Ok(Source { config, root, file: Some(path.to_owned()), named_by: Some(path.display().to_string()) })
}

/// Finds the configuration: the argument, else the environment's, else the first that exists where registries keep it.
pub fn find(config: Option<PathBuf>, root: Option<PathBuf>) -> Result<Source, Error> {
    let (config, file, named_by) = match root {
        Some(root) => (Config::at_root(root), None, None),
        None => {
            let (path, variable) = path(config)?;
            if variable.is_none() && path.is_dir() {
                let path = path.display();
                return Err(Error::Config(format!(
                    "{path} is a directory; to use it as a storage root, pass --root {path}"
                )));
            }
            let config = read(&path).map_err(|error| match (variable, error) {
                (Some(name), Error::Storage { action, path, source }) => {
                    Error::Environment { name: name.to_owned(), reason: format!("cannot {action} {path}: {source}") }
                }
                (_, error) => error,
            })?;
            let overridden = config.driver_variable.as_ref().map_or(String::new(), |name| format!(" and ${name}"));
            let named_by = format!("{}{overridden}", path.display());
            (config, Some(path), Some(named_by))
        }
    };
    let root = root_of(&config);
    Ok(Source { config, root, file, named_by })
}

fn root_of(config: &Config) -> PathBuf {
    match &config.driver {
        Driver::Filesystem { root } => root.clone(),
        Driver::S3(s3) => s3.to_string().into(),
        Driver::Gcs(gcs) => gcs.to_string().into(),
        Driver::Azure(azure) => azure.to_string().into(),
        _ => PathBuf::new(),
    }
}

/// Returns the path of the configuration, and the environment variable that names it, if one does.
fn path(argument: Option<PathBuf>) -> Result<(PathBuf, Option<&'static str>), Error> {
    if let Some(path) = argument {
        return Ok((path, None));
    }
    if let Some(path) = env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty()) {
        return Ok((path.into(), Some(PATH_VARIABLE)));
    }
    let existing = DEFAULT_PATHS.iter().map(PathBuf::from).find(|path| path.try_exists().unwrap_or(true));
    let path = existing.ok_or_else(|| {
        Error::Config(format!(
            "there is none at {}; pass the registry's config.yml, or the directory that holds docker/registry/v2 with \
             --root",
            DEFAULT_PATHS.join(", ")
        ))
    })?;
    Ok((path, None))
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
    Config::from_file(path, environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(quoted(Path::new("/etc/docker/registry/config.yml")), "/etc/docker/registry/config.yml");
        assert_eq!(quoted(Path::new("/srv/a b")), "'/srv/a b'");
        assert_eq!(quoted(Path::new("/srv/it's; $(x)")), r"'/srv/it'\''s; $(x)'");
    }
}
