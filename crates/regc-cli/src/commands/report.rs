//! `regc report`.

mod json;
mod would_free;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::error::ErrorKind;
use indicatif::{BinaryBytes, HumanCount};
use regc_core::retention::Policy;
use regc_core::{Error, Store};
use regc_report::{Limits, Report, Trash};

use self::would_free::WouldBeFreed;
use crate::ExitStatus;
use crate::commands::carry_out::trash;
use crate::commands::manifest_cache::ManifestCache;
use crate::commands::{Common, Format, prune};
use crate::output::{self, Output, file};
use crate::progress::Progress;
use crate::source::Source;

/// Write a page about the store: what is in it, what each part takes up, and what each command would free.
///
/// The page is one HTML file, which opens from disk, needs no network, and can be sent by mail. It has a map of
/// repositories and tags by size, tables to sort and filter, each image with its layers and history, and the commands
/// that would delete it. Nothing in the store is changed.
#[derive(clap::Args)]
pub struct Args {
    /// The registry's configuration file. Default: as for `regc gc`
    #[arg(value_name = "CONFIG", conflicts_with_all = ["config", "root"])]
    path: Option<PathBuf>,

    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    manifest_cache: ManifestCache,

    /// The file to write. Default, or `-`: standard output, unless that is a terminal
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Also report what this retention policy would delete; may be given several times
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,

    /// Show only the N repositories whose deletion would free most. Default: all, or as many as fit into 30 MB
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    top: Option<u64>,

    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

pub fn run(mut args: Args) -> Result<ExitStatus, Error> {
    args.common = args.common.at(args.path.take());
    args.output = args.output.take().filter(|path| path != Path::new("-"));
    let format = args.common.format();
    if args.output.is_none() && format == Format::Human && io::stdout().is_terminal() {
        let text = "the page is HTML, and standard output is a terminal: name a file with --output report.html";
        crate::command().error(ErrorKind::MissingRequiredArgument, text).exit();
    }
    let made = SystemTime::now();
    let source = args.common.source()?;
    args.output.iter().try_for_each(|path| check(path, &source, &args.policy))?;
    let policies = policies(&args.policy)?;
    let store = source.open(&args.common)?.manifest_cache(args.manifest_cache.file(&source));
    let progress = Progress::new(args.quiet)?;
    let reported = report(&args, &source, &store, policies, made, &progress);
    progress.clear();
    reported
}

fn report(
    args: &Args,
    source: &Source,
    store: &Store,
    policies: Vec<(&Path, Policy)>,
    made: SystemTime,
    progress: &Progress,
) -> Result<ExitStatus, Error> {
    let WouldBeFreed { would_free, findings } = would_free::all(store, source, policies, made, progress)?;
    let scan = store.scan(progress)?;
    let overview = store.overview(&scan, progress)?;
    progress.clear();
    let (runs, bytes) = trash(store);
    let report = Report {
        overview: &overview,
        made,
        store: &source.root.display().to_string(),
        config: source.file.as_deref().and_then(Path::to_str),
        option: &source.option(),
        would_free: &would_free,
        findings: &findings,
        trash: Trash { runs, bytes },
        free_bytes: store.free_bytes(),
        capacity_bytes: store.capacity_bytes(),
    };
    let top = args.top.map_or(usize::MAX, |top| usize::try_from(top).unwrap_or(usize::MAX));
    if args.common.format() == Format::Json {
        let mut output = if args.output.is_some() { Output::kept() } else { Output::new() };
        json::print(&mut output, &report, top);
        args.output.iter().try_for_each(|path| write(path, &output.take_kept()))?;
        return Ok(output.end(|| ExitStatus::Done));
    }
    let limits = Limits { repositories: top, ..Limits::default() };
    let mut page = Vec::new();
    let fail = |source| Error::Storage { action: "write", path: "the page".to_owned(), source };
    let shown = regc_report::write(&report, limits, &mut page).map_err(fail)?;
    let Some(path) = &args.output else {
        let written = io::Write::write_all(&mut io::stdout().lock(), &page);
        return match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(fail(error)),
            _ => Ok(ExitStatus::Done),
        };
    };
    write(path, &String::from_utf8_lossy(&page))?;
    if !args.quiet {
        let bytes = BinaryBytes(page.len() as u64);
        let mut output = Output::new();
        output.line(format_args!("{}: {bytes}", output::printable(&path.display().to_string())));
        if shown.repositories < shown.of_repositories {
            let [shown, all] = [shown.repositories, shown.of_repositories].map(HumanCount);
            output.line(format_args!("It shows {shown} of {all} repositories: those whose deletion would free most."));
        }
        return Ok(output.end(|| ExitStatus::Done));
    }
    Ok(ExitStatus::Done)
}

/// Fails if the report could not be written, or would replace what is needed: before anything is read.
fn check(path: &Path, source: &Source, policies: &[PathBuf]) -> Result<(), Error> {
    let fail = |source| Error::Storage { action: "write", path: path.display().to_string(), source };
    if source.file.iter().chain(policies).any(|input| file::is_same(path, input)) {
        let reason = "the command reads this file: it is the configuration or a policy";
        return Err(fail(io::Error::new(io::ErrorKind::InvalidInput, reason)));
    }
    file::check(path, &source.root).map_err(fail)
}

fn policies(paths: &[PathBuf]) -> Result<Vec<(&Path, Policy)>, Error> {
    paths.iter().map(|path| Ok((path.as_path(), Policy::parse(&prune::read(path)?)?))).collect()
}

fn write(path: &Path, content: &str) -> Result<(), Error> {
    let fail = |source| Error::Storage { action: "write", path: path.display().to_string(), source };
    file::replace(path, content).map_err(fail)
}
