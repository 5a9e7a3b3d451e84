//! `regc trash`.

mod empty;
mod list;
mod restore;

use std::time::Duration;

use clap::Subcommand;
use regc_core::{Error, Holder, Silent, Store, duration};

use self::empty::{What, empty};
use self::list::{list, list_contents};
use self::restore::restore;
use crate::ExitStatus;
use crate::commands::{Common, Format};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::source::Source;

/// List, restore or delete for good what `regc gc --trash` has moved.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the runs in the trash, with their sizes, and until when each is kept even if the disk is full. With RUN,
    /// list what is in that run: tags, manifests, layer links and blobs
    List {
        /// The run, as `regc trash list` names it
        #[arg(value_name = "RUN")]
        run: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Restore what a run has moved to the trash: all of it, or some images or repositories. Nothing is overwritten,
    /// and no link is restored without its target. Until everything is restored, a collection keeps the rest of the run
    Restore {
        #[command(flatten)]
        common: Common,
        /// Show what would be put back; change nothing
        #[arg(short, long)]
        dry_run: bool,
        /// The run, as `regc trash list` names it; the last one if none is given. Then digests, which are put back with
        /// everything that they refer to or that is attached to them, and repositories; everything if none is given
        #[arg(value_name = "RUN|DIGEST|REPOSITORY")]
        what: Vec<String>,
    },
    /// Delete runs from the trash for good, which frees their space
    Empty {
        /// The runs, as `regc trash list` names them; all if none is given
        #[arg(value_name = "RUN")]
        runs: Vec<String>,
        #[command(flatten)]
        common: Common,
        /// Show what would be deleted; delete nothing
        #[arg(short, long)]
        dry_run: bool,
        /// Do not ask. Without a terminal, regc never asks
        #[arg(short, long)]
        yes: bool,
        /// Only runs that began at least this long ago, and are not being restored. Examples: 90m, 24h, 7d
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        older_than: Option<Duration>,
    },
}

pub fn run(args: Args) -> Result<ExitStatus, Failure> {
    let common = match &args.command {
        Command::List { common, .. } | Command::Restore { common, .. } | Command::Empty { common, .. } => common,
    };
    let source = common.source()?;
    let store = source.open(common)?;
    act(&args.command, &source, &store, common.format()).map_err(|failure| match failure {
        Failure::Library(Error::NoSuchRun(run)) => match store.trash(&Silent) {
            Ok(runs) => Failure::NoSuchRun { run, runs: runs.into_iter().map(|run| run.run).collect() },
            Err(_) => Failure::Library(Error::NoSuchRun(run)),
        },
        failure => failure,
    })
}

fn act(command: &Command, source: &Source, store: &Store, format: Format) -> Result<ExitStatus, Failure> {
    if format == Format::Human && !matches!(command, Command::List { .. }) {
        output::announce(&source.place());
    }
    let mut output = Output::new();
    // The registry may take pushes meanwhile: what it serves does not change, except for what is restored.
    let session = |dry_run: bool| (!dry_run).then(|| store.lock_live(&Holder::new("regc"))).transpose();
    let ending = match command {
        Command::List { run, .. } => {
            let progress = Progress::new(false)?;
            let runs = store.trash(&progress).inspect_err(|_| progress.clear())?;
            let contents = run.as_ref().map(|run| store.trash_contents(run, &progress)).transpose();
            progress.clear();
            match (contents?, runs.iter().find(|listed| Some(&listed.run) == run.as_ref())) {
                (Some(contents), Some(run)) => list_contents(&mut output, format, run, contents),
                (Some(_), None) => return Err(Error::NoSuchRun(run.clone().unwrap_or_default()).into()),
                (None, _) => list(&mut output, format, &runs),
            }
            ExitStatus::Done
        }
        &Command::Restore { dry_run, ref what, .. } => {
            restore(&mut output, format, store, session(dry_run)?, what.clone())?
        }
        Command::Empty { dry_run, yes, older_than, runs, .. } => {
            let session = session(*dry_run)?;
            let what = What { runs, older_than: *older_than, dry_run: *dry_run, is_agreed: *yes };
            empty(&mut output, format, store, session.as_ref(), &source.root, &what)?
        }
    };
    Ok(output.end(|| ending))
}
