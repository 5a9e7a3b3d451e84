//! Which store is meant: the configuration or the root that the command line, the environment or the system names.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::{env, fs};

use regc_core::collect::guards;
use regc_core::error::{Error, Refusal};
use regc_core::registry::config::{Config, DEFAULT_PATHS, Driver, PATH_VARIABLE};
use regc_core::registry::layout;
use regc_core::storage::{self, ReadStorage, TrashStorage};

/// A store's configuration, and its root for people to read.
pub struct Source {
    pub config: Config,
    pub root: PathBuf,
}

impl Source {
    /// Opens the store, to look at it.
    pub fn open(&self, allow_empty: bool) -> Result<Box<dyn TrashStorage>, Error> {
        let storage = storage::open(&self.config)?;
        self.refuse_missing_layout(&*storage, allow_empty)?;
        Ok(storage)
    }

    /// Refuses a storage root without a registry, unless that is allowed, and says where one is close by: a root that is given
    /// too deep, or one directory above.
    pub fn refuse_missing_layout(&self, storage: &dyn ReadStorage, allow_empty: bool) -> Result<(), Error> {
        match guards::refuse_missing_layout(storage, allow_empty) {
            Err(Error::Refused(Refusal::NoLayout)) => Err(Error::Refused(match nearby(&self.root) {
                Some(root) => Refusal::LayoutElsewhere(root.display().to_string()),
                None => Refusal::NoLayout,
            })),
            result => result,
        }
    }
}

/// The storage root that was meant instead of `root`, if it can be guessed.
fn nearby(root: &Path) -> Option<PathBuf> {
    let holds_layout = |directory: &PathBuf| directory.join(layout::ROOT).is_dir();
    let root = root.canonicalize().ok()?;
    let above = root.ancestors().skip(1).take(layout::ROOT.split('/').count()).map(Path::to_owned);
    let below = fs::read_dir(&root).into_iter().flatten().flatten().map(|entry| entry.path());
    above.chain(below).find(holds_layout)
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
        None => {
            let (path, variable) = path(config)?;
            read(&path).map_err(|error| match (variable, error) {
                (Some(name), Error::Storage { action, path, source }) => {
                    Error::Environment { name: name.to_owned(), reason: format!("cannot {action} {path}: {source}") }
                }
                (_, error) => error,
            })?
        }
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

/// Where the configuration is, and the environment variable that says so, if one does.
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
            "there is none at {}. Name the registry's config.yml, or the directory that holds docker/registry/v2 with --root",
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
    parse(path, environment)
}

fn parse(path: &Path, environment: Vec<(String, String)>) -> Result<Config, Error> {
    let fail = |source| Error::Storage { action: "read the configuration", path: path.display().to_string(), source };
    let text = text(fs::read(path).map_err(fail)?).map_err(fail)?;
    Config::parse(&text, environment).map_err(|error| match error {
        Error::Config(reason) => Error::Config(format!("{}: {reason}", path.display())),
        error => error,
    })
}

/// The text of a file that an editor may have written as UTF-16, which the registry reads as well.
fn text(content: Vec<u8>) -> io::Result<String> {
    let units = |decode: fn([u8; 2]) -> u16| -> Vec<u16> {
        content[2..].chunks_exact(2).map(|pair| decode([pair[0], pair[1]])).collect()
    };
    let units = match content.as_slice() {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => return String::from_utf8(content).map_err(|error| io::Error::new(ErrorKind::InvalidData, error)),
    };
    String::from_utf16(&units).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn both_orders_of_utf_16_are_text() {
        let bytes = |decode: fn(u16) -> [u8; 2]| "\u{feff}käse".encode_utf16().flat_map(decode).collect();
        assert_eq!(text(bytes(u16::to_le_bytes)).unwrap(), "käse");
        assert_eq!(text(bytes(u16::to_be_bytes)).unwrap(), "käse");
        assert_eq!(text(b"\xef\xbb\xbfx".to_vec()).unwrap(), "\u{feff}x");
        assert!(text(b"\xff\xfe\x00\xd8".to_vec()).is_err() && text(b"\xc3".to_vec()).is_err());
    }
}
