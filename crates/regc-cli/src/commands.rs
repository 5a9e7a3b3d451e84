//! The commands, one file each: the arguments with their help, then the implementation.

pub mod cache;
pub mod content;
pub mod du;
pub mod explain;
pub mod gc;
pub mod ls;
pub mod manifest_cache;
pub mod prune;
pub mod removing;
pub mod repair;
pub mod rm;
pub mod store;
pub mod trash;
pub mod undelete;
pub mod verify;

use std::path::PathBuf;

use clap::ValueEnum;
use regc_core::{Error, Store};

use crate::source::{self, Source};

/// Which store, and how the result is printed.
#[derive(clap::Args)]
pub struct Common {
    /// The registry's configuration file; found as `regc gc` finds it if not given
    #[arg(short, long, value_name = "CONFIG", conflicts_with = "root")]
    config: Option<PathBuf>,

    /// A storage root instead of a configuration file
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Go on although the root holds no registry, or the store has no repository or no blob
    #[arg(long)]
    pub allow_empty: bool,

    /// What to print: text for people, or JSON Lines
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Human,
    Json,
}

impl Common {
    /// Replaces the configuration file with `path`, if given.
    pub fn at(self, path: Option<PathBuf>) -> Self {
        Self { config: path.or(self.config), ..self }
    }

    /// Opens the store for reading.
    pub fn open(&self) -> Result<Store, Error> {
        self.source()?.open(self.allow_empty)
    }

    /// Finds the store's configuration and root.
    pub fn source(&self) -> Result<Source, Error> {
        source::find(self.config.clone(), self.root.clone())
    }
}
