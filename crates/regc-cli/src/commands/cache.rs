//! `regc cache`, and what a registry still caches of what was removed.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use indicatif::HumanCount;
use regc_core::descriptor_cache::Entry;
use regc_core::registry::config::Cache;
use regc_core::{Digest, Error, Finding, Silent, Store};
use serde::{Deserialize, Serialize};

use crate::ExitStatus;
use crate::commands::owed::Owed;
use crate::commands::{Common, Format};
use crate::output::{self, Output, printable};
use crate::progress::Progress;

/// The registry's cache of what blobs it has (storage.cache.blobdescriptor)
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Evict(Evict),
}

/// Remove from the registry's cache in Redis what is no longer in its storage.
///
/// A registry that caches in Redis claims to have blobs that were deleted from the storage, and accepts images that
/// cannot be pulled. `regc gc`, `rm`, `prune` and `repair` evict what they delete; use this command if Redis was
/// unreachable, and after the registry's own garbage collection. Every entry is compared with the storage, which may be
/// in use. Evicting an entry is harmless: the registry then reads from the storage.
#[derive(clap::Args)]
struct Evict {
    /// The registry's configuration file. Default: as for `regc gc`
    #[arg(value_name = "CONFIG", conflicts_with_all = ["root", "config"])]
    path: Option<PathBuf>,

    /// Evict only what a run deleted, without scanning for other entries. The file contains the run's output with
    /// --json; `-` is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,

    /// Show how many entries are stale; remove nothing
    #[arg(short, long)]
    dry_run: bool,

    /// Print nothing but errors; with --format json, the summary too
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    common: Common,
}

pub fn run(args: Args) -> Result<ExitStatus, Error> {
    let Command::Evict(Evict { path, from, dry_run, quiet, common }) = args.command;
    let common = common.at(path);
    let format = common.format();
    let source = common.source()?;
    if !matches!(source.config.cache, Cache::Redis { .. }) {
        return Err(Error::Config(
            "storage.cache.blobdescriptor is not redis: the registry's cache does not outlive it".to_owned(),
        ));
    }
    let store = source.open(&common)?;
    let is_complete = from.is_none();
    let entries = match from {
        Some(path) => deleted(&path)?,
        None => {
            let progress = Progress::new(quiet)?;
            store.stale_entries(&progress)?
        }
    };
    let stale = entries.len() as u64;
    let mut output = Output::new();
    if format == Format::Json && !quiet {
        entries.iter().for_each(|entry| output.record("stale_entry", entry));
    }
    let evicted = if dry_run { 0 } else { store.evict(entries)? };
    if is_complete && !dry_run {
        Owed::of(&source.config, &source.root).clear();
    }
    match format {
        Format::Json => output.summary(&Last { dry_run, stale, evicted }),
        Format::Human if quiet => {}
        Format::Human => {
            let done = if dry_run { "nothing was removed: this was a dry run" } else { "removed" };
            let entries = if stale == 1 { "entry" } else { "entries" };
            let redis = source.config.redis.to_string();
            output.line(format_args!("{}: {} stale {entries}, {done}", printable(&redis), HumanCount(stale)));
        }
    }
    Ok(output.end(|| ExitStatus::Done))
}

/// The last line of JSON.
#[derive(Serialize)]
struct Last {
    dry_run: bool,
    stale: u64,
    evicted: u64,
}

/// Reads what a run has deleted from what it printed.
fn deleted(path: &Path) -> Result<Vec<Entry<'static>>, Error> {
    /// A line of JSON; of most, only the type is needed.
    #[derive(Deserialize)]
    struct Line {
        r#type: String,
        repository: Option<String>,
        digest: Option<Digest>,
    }
    let storage = |source: io::Error| Error::Storage { action: "read", path: path.display().to_string(), source };
    let reader: Box<dyn BufRead> = match path == Path::new("-") {
        true => Box::new(io::stdin().lock()),
        false => Box::new(BufReader::new(File::open(path).map_err(storage)?)),
    };
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(reader.lines()) {
        let line = line.map_err(storage)?;
        let line: Line = serde_json::from_str(&line).map_err(|error| {
            storage(io::Error::other(format!("line {number} is not the output of a run with --json: {error}")))
        })?;
        entries.extend(match (&*line.r#type, line.repository, line.digest) {
            ("blob", _, Some(digest)) => Some(Entry::blob(digest)),
            ("revision" | "layer_link", Some(repository), Some(digest)) => Some(Entry::link(repository, digest)),
            _ => None,
        });
    }
    Ok(entries)
}

/// What became of the registry's cache after something was removed from the storage.
#[derive(Default)]
pub struct Evicted {
    /// How many keys and members of sets were removed from it.
    pub entries: u64,
    /// The cache, if it still lists what was removed.
    pub stale: Option<Cache>,
    /// The finding about that.
    pub finding: Option<Finding>,
}

/// Removes entries from the registry's cache, if it has one in Redis: those of what a run has removed, or all that are stale if an
/// earlier run owes them.
pub fn evict<'a>(store: &Store, owed: &Owed, entries: impl Iterator<Item = Entry<'a>>) -> Evicted {
    match store.stale_cache() {
        Some(cache @ Cache::Redis { .. }) => {
            let evicted = match owed.is_from_before() {
                true => store.stale_entries(&Silent).and_then(|entries| store.evict(entries)),
                false => store.evict(entries),
            };
            match evicted {
                Ok(entries) => {
                    owed.clear();
                    Evicted { entries, ..Evicted::default() }
                }
                Err(error) => {
                    owed.write();
                    let reason = output::causes(&error).last().map_or_else(|| error.to_string(), ToString::to_string);
                    let finding = Finding::StaleCache { cache: store.config().redis.to_string(), reason };
                    Evicted { entries: 0, stale: Some(cache), finding: Some(finding) }
                }
            }
        }
        stale => Evicted { stale, ..Evicted::default() },
    }
}

impl Evicted {
    /// Says what to do about a cache that is stale. This is printed whatever else is not: a registry that believes to have a blob
    /// accepts images that cannot be pulled.
    pub fn warn(&self) {
        if let Some(note) = self.note() {
            output::note(format_args!("{note}"));
        }
    }

    /// Returns what to do about a cache that is stale.
    pub fn note(&self) -> Option<String> {
        match &self.finding {
            Some(finding) => Some(format!("{}; {}", printable(&finding.message()), finding.remedy())),
            None => self.stale.as_ref().map(|_| {
                "the running registry still lists what was removed, in its memory: restart it before it takes pushes"
                    .to_owned()
            }),
        }
    }
}
