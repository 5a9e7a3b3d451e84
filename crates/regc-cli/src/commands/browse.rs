//! `regc browse`.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use regc_core::Disposal;

use crate::browse::{self, Closed, Removed, Shown, Terms};
use crate::commands::manifest_cache::ManifestCache;
use crate::commands::store::{Opened, Opening};
use crate::commands::{Common, Format};
use crate::failure::Failure;
use crate::output::printable;
use crate::{ExitStatus, print_error};

/// Browse a store in the terminal: see what takes up space and what deleting it would free, and delete it.
///
/// Lists namespaces, repositories, tags, manifests and layers, each with its exclusive and its shared space. Shows
/// exactly what deleting all marked entries would free. A deletion asks first, then locks and rescans the store, and
/// moves everything to the trash, as `regc rm --trash` does. Browsing needs no lock, and the registry may be running.
/// `?` lists the keys.
#[derive(clap::Args)]
pub struct Args {
    /// The registry's configuration file. Default: as for `regc gc`
    #[arg(value_name = "CONFIG", conflicts_with_all = ["root", "config"])]
    path: Option<PathBuf>,

    /// Browse only: nothing can be marked or deleted
    #[arg(long)]
    read_only: bool,

    /// Delete for good instead of moving to the trash. This cannot be undone
    #[arg(long, conflicts_with = "read_only")]
    delete: bool,

    #[command(flatten)]
    manifest_cache: ManifestCache,

    #[command(flatten)]
    common: Common,
}

pub fn run(args: Args) -> Result<ExitStatus, Failure> {
    let common = args.common.at(args.path);
    if common.format() == Format::Json || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::NoTerminal);
    }
    let source = common.source()?;
    let option = source.option();
    let opening = Opening {
        dry_run: args.read_only,
        live: false,
        quiet: true,
        allow_empty: common.allow_empty,
        jobs: common.jobs,
        manifest_cache: args.manifest_cache.file(&source),
    };
    let opened = Opened::to_read(source, opening)?;
    let shown = Shown { place: opened.root.display().to_string(), read_only: args.read_only, deletes: args.delete };
    let disposal = if args.delete { Disposal::Delete } else { Disposal::Trash };
    let terms = Terms { disposal, store: option, root: opened.root.clone() };
    let Closed { removed, failed, is_interrupted } = browse::browse(&opened, shown, terms, console::colors_enabled())?;
    let mut has_failed = failed.is_some();
    for removed in removed {
        has_failed |= removed.failed;
        report(&removed);
    }
    if let Some(causes) = failed {
        print_error(&*chained(causes));
    }
    Ok(match (is_interrupted, has_failed) {
        (true, _) => ExitStatus::Interrupted,
        (false, true) => ExitStatus::Failed,
        (false, false) => ExitStatus::Done,
    })
}

/// Repeats in the terminal what a removal has done. A terminal that has gone shows nothing, which is no error.
fn report(removed: &Removed) {
    let mut text = format!("{}\n", printable(&removed.summary));
    removed.notes.iter().for_each(|note| text += &format!("note: {}\n", printable(note)));
    if let Some(undo) = &removed.undo {
        text += &format!("To undo this: {}\n", printable(undo));
    }
    io::stdout().write_all(text.as_bytes()).ok();
}

/// An error that came from another thread as text, with its causes.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Told {
    text: String,
    source: Option<Box<Told>>,
}

fn chained(causes: Vec<String>) -> Box<Told> {
    let chained = causes.into_iter().rev().fold(None, |source, text| Some(Box::new(Told { text, source })));
    chained.unwrap_or_else(|| Box::new(Told { text: "the store cannot be read".to_owned(), source: None }))
}
