//! `regc verify`.

use std::path::PathBuf;
use std::time::SystemTime;

use indicatif::{BinaryBytes, HumanCount};
use regc_core::Error;
use regc_core::finding::{Explanation, Kind, Severity};
use regc_core::verify::content::Hashed;
use regc_core::verify::{Defect, Options, Verification};
use serde::Serialize;

use crate::ExitStatus;
use crate::commands::content::Hashing;
use crate::commands::gc::OLD_UPLOAD;
use crate::commands::{Common, Format};
use crate::output::json::Found;
use crate::output::{Output, count, count_of, printable};
use crate::progress::Progress;

/// Check the store: what is damaged, and which images are affected.
///
/// Checks every link and manifest, and the size of every blob; with --content, also hashes blobs. Nothing is changed.
/// The registry may be running, but images that are being pushed can look damaged. `regc explain RG012` explains a
/// finding; `regc repair` repairs what it can.
#[derive(clap::Args)]
pub struct Args {
    /// The registry's configuration file. Default: as for `regc gc`
    #[arg(value_name = "CONFIG", conflicts_with_all = ["config", "root"])]
    path: Option<PathBuf>,

    #[command(flatten)]
    hashing: Hashing,

    /// Also list notes, one by one: garbage, abandoned uploads, unknown names. This takes longer, because it also
    /// searches the directories of single links and blobs
    #[arg(long)]
    notes: bool,

    /// Print nothing but damage; with --format json, the summary too
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    common: Common,
}

pub fn run(mut args: Args) -> Result<ExitStatus, Error> {
    args.common = args.common.at(args.path.take());
    let source = args.common.source()?;
    let store = source.open(&args.common)?;
    let progress = Progress::new(args.quiet)?;
    let stale_before = SystemTime::now().checked_sub(OLD_UPLOAD);
    let options = Options::new().stale_before(stale_before).every_name(args.notes);
    let found = store.verify(&options, &progress).and_then(|mut verification| {
        let hashed = args.hashing.run(&store, &source.root, &mut verification, &progress)?;
        Ok((verification, hashed))
    });
    progress.clear();
    let (verification, hashed) = found?;
    let mut output = Output::new();
    match args.common.format() {
        Format::Human => human(&mut output, &verification, &hashed, &args),
        Format::Json => json_lines(&mut output, &verification, &hashed, &args),
    }
    Ok(output.end(|| match () {
        () if hashed.interrupted => ExitStatus::Interrupted,
        () if verification.is_damaged() => ExitStatus::FoundDamage,
        () => ExitStatus::Done,
    }))
}

fn tell(output: &mut Output, defect: &Defect) {
    let Explanation { code, severity, title, remedy, .. } = defect.kind.page();
    let detail = if defect.detail.is_empty() { String::new() } else { format!(": {}", defect.detail) };
    output.line(format_args!("{code} {}: {title}{}", severity.name(), printable(&detail)));
    output.line(format_args!("    path:   {}", printable(&defect.path)));
    if !defect.images.is_empty() {
        let more = if defect.has_more_images { ", and more" } else { "" };
        output.line(format_args!("    images: {}{more}", printable(&defect.images.join(", "))));
    }
    output.line(format_args!("    remedy: {remedy}"));
}

fn human(output: &mut Output, verification: &Verification, hashed: &Hashed, args: &Args) {
    match args.notes {
        true => verification.each().for_each(|defect| tell(output, &defect)),
        false => {
            let wrong = verification.defects.iter().filter(|defect| defect.kind.severity() < Severity::Note);
            wrong.for_each(|defect| tell(output, defect));
        }
    }
    if args.quiet {
        return;
    }
    for kind in Kind::ALL.into_iter().filter(|kind| kind.severity() == Severity::Note && !args.notes) {
        let number = verification.count(kind);
        if number > 0 {
            let Explanation { code, title, remedy, .. } = kind.page();
            output.line(format_args!("{code} note: {title}: {}; {remedy}", HumanCount(number)));
        }
    }
    if hashed.checked_blobs > 0 || hashed.interrupted {
        let (bytes, blobs) = (BinaryBytes(hashed.checked_bytes), count(hashed.checked_blobs, "blob"));
        let interrupted = match (hashed.interrupted, args.hashing.can_go_on()) {
            (false, _) => "",
            (true, true) => "; interrupted: run the same command again to continue",
            (true, false) => "; interrupted: with --checkpoint, the next run would continue from there",
        };
        output.line(format_args!("Hashed {bytes} in {blobs}{interrupted}."));
    }
    let [errors, warnings, notes] = counts(verification);
    let bytes = verification.blobs.iter().map(|(_, bytes)| bytes).sum();
    output.line(format_args!(
        "{}, {}, {} in {}: {}, {}, {}.",
        count_of(verification.repositories, "repository", "repositories"),
        count(verification.manifests, "manifest"),
        BinaryBytes(bytes),
        count(verification.blobs.len() as u64, "blob"),
        count(errors, "error"),
        count(warnings, "warning"),
        count(notes, "note"),
    ));
}

/// A finding with the images that it affects.
#[derive(Serialize)]
struct Affecting<'a> {
    #[serde(flatten)]
    finding: Found<'a>,
    images: &'a [String],
    more_images: bool,
}

/// The last line of JSON.
#[derive(Serialize)]
struct Last {
    repositories: u64,
    manifests: u64,
    blobs: usize,
    bytes: u64,
    content_blobs: u64,
    content_bytes: u64,
    errors: u64,
    warnings: u64,
    notes: u64,
    interrupted: bool,
}

fn json_lines(output: &mut Output, verification: &Verification, hashed: &Hashed, args: &Args) {
    for defect in verification.each().filter(|_| !args.quiet) {
        let Defect { kind, path, repository, digest, detail, images, has_more_images, .. } = &*defect;
        let Explanation { code, name, severity, remedy, .. } = kind.page();
        let (repository, digest, severity) = (repository.as_deref(), *digest, *severity);
        let finding =
            Found { code, name, severity, repository, digest, path: path.into(), message: detail.into(), remedy };
        output.record("finding", &Affecting { finding, images, more_images: *has_more_images });
    }
    let [errors, warnings, notes] = counts(verification);
    let bytes: u64 = verification.blobs.iter().map(|(_, bytes)| bytes).sum();
    output.summary(&Last {
        repositories: verification.repositories,
        manifests: verification.manifests,
        blobs: verification.blobs.len(),
        bytes,
        content_blobs: hashed.checked_blobs,
        content_bytes: hashed.checked_bytes,
        errors,
        warnings,
        notes,
        interrupted: hashed.interrupted,
    });
}

/// Counts the defects of each severity.
fn counts(verification: &Verification) -> [u64; 3] {
    let of = |severity| Kind::ALL.into_iter().filter(move |kind| kind.severity() == severity);
    [Severity::Error, Severity::Warning, Severity::Note]
        .map(|severity| of(severity).map(|kind| verification.count(kind)).sum())
}
