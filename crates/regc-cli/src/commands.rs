//! The commands, one file each: the arguments with their help, then the implementation.

pub mod apply;
pub mod browse;
pub mod cache;
pub mod carry_out;
pub mod completions;
pub mod content;
pub mod du;
pub mod explain;
pub mod gc;
pub mod ls;
pub mod man;
pub mod manifest_cache;
pub mod owed;
pub mod plan_file;
pub mod prune;
pub mod question;
pub mod removing;
pub mod repair;
pub mod report;
pub mod reports;
pub mod rm;
pub mod similar;
pub mod store;
pub mod trash;
pub mod undelete;
pub mod uploads;
pub mod used;
pub mod verify;

use std::path::PathBuf;

use clap::ValueEnum;
use regc_core::registry::pattern::Pattern;
use regc_core::{Error, MAX_JOBS};

use crate::source::{self, Source};

/// Which store, and how the result is printed.
#[derive(clap::Args)]
pub struct Common {
    /// The registry's configuration file. Default: as for `regc gc`
    #[arg(short, long, value_name = "CONFIG", conflicts_with = "root")]
    config: Option<PathBuf>,

    /// A storage root instead of a configuration file
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Run even if the root contains no registry, or the store has no repositories or no blobs
    #[arg(long)]
    pub allow_empty: bool,

    /// Number of threads. Default: measured, as for `regc gc`
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<usize>,

    /// Output format: human-readable text, or JSON Lines
    #[arg(long, value_enum, default_value = "human")]
    format: Format,

    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
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

    /// How the result is printed.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    /// Prints the result in this format.
    pub fn printing(self, format: Format) -> Self {
        Self { format, json: false, ..self }
    }

    /// Finds the store's configuration and root.
    pub fn source(&self) -> Result<Source, Error> {
        source::find(self.config.clone(), self.root.clone())
    }
}

/// Parses a number of threads.
pub fn jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(jobs @ 1..=MAX_JOBS) => Ok(jobs),
        _ => Err(format!("not a number from 1 to {MAX_JOBS}")),
    }
}

/// Parses a pattern of names. The path of a configuration file or of a storage root is an error that says how to name the store.
pub fn pattern(text: &str) -> Result<Pattern, String> {
    match source::option_for(text) {
        Some(option) => {
            Err(format!("this is the path of a store, not a name in it; to use that store, pass {option} {text}"))
        }
        None => Pattern::parse(text).map_err(|error| error.to_string()),
    }
}
