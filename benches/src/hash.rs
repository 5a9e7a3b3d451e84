//! The speed of hashing blobs, compared with `sha256sum` of the same files on all cores.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use fastrand::Rng;
use rayon::prelude::*;
use regc_core::registry::layout;
use regc_core::stages::scan::inventory;
use regc_core::storage::ReadStorage;
use regc_core::storage::filesystem::FilesystemStorage;
use regc_core::verify::content::{Blob, HashOptions, SystemClock, hash_all};
use regc_core::{Algorithm, Digest, Silent};

use crate::process::{self, Cost, median};

/// Generate blobs of all sizes and hash them with the library and with sha256sum, in turns
#[derive(clap::Args)]
pub struct Args {
    /// Where the blobs are made. They are kept, and made only where they are absent
    directory: PathBuf,
    /// About how many GiB of blobs there are
    #[arg(long, default_value_t = 2)]
    gib: u64,
    /// How often each runs; the median is reported
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// What to compare with: a command that takes names of files
    #[arg(long, default_value = "sha256sum")]
    with: String,
    /// How many file names one run of that command takes
    #[arg(long, default_value_t = 16)]
    files: usize,
}

/// Hash all blobs of a store with the library, as `hash` does
#[derive(clap::Args)]
pub struct HashBlobs {
    /// The storage root
    root: PathBuf,
}

/// The lengths of blobs, and how many of each length there are in a GiB: as in real registries, a few blobs hold
/// nearly all bytes.
const SHAPE: [(u64, usize); 6] =
    [(384 << 20, 1), (128 << 20, 1), (48 << 20, 6), (2 << 20, 100), (10_000, 2000), (1000, 4000)];

/// Makes the blobs, compares, and prints a table.
pub fn run(args: &Args) -> io::Result<()> {
    let root = args.directory.join(format!("blobs-{}", args.gib));
    if !root.exists() {
        let unfinished = args.directory.join("unfinished");
        write(&unfinished, args.gib)?;
        fs::rename(&unfinished, &root)?;
    }
    let cores = cores().to_string();
    let others = || {
        let mut command = Command::new("sh");
        let find = format!("find \"$1\" -type f -print0 | xargs -0 -P \"$2\" -n {} {}", args.files, args.with);
        command.args(["-ec", &find, "sh"]).arg(&root).arg(&cores);
        command
    };
    let ours = || -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("hash-blobs").arg(&root);
        Ok(command)
    };
    // Fills the caches.
    process::run(&mut others())?;
    let (mut regc, mut other): (Vec<Cost>, Vec<Cost>) = Default::default();
    for _ in 0..args.runs {
        other.push(process::run(&mut others())?);
        regc.push(process::run(&mut ours()?)?);
    }
    let (Some(regc), Some(other)) = (median(regc), median(other)) else { return Ok(()) };
    let bytes = blobs(&FilesystemStorage::open(&root).map_err(io::Error::other)?)?.iter().map(|blob| blob.bytes).sum();
    println!("| program | median | rate | peak memory | ratio |\n|---|---|---|---|---|");
    line("regc", &regc, bytes, &format!("{:.2} times the speed", other.seconds / regc.seconds));
    line(&format!("{}, {cores} at once", args.with), &other, bytes, "");
    Ok(())
}

fn line(program: &str, cost: &Cost, bytes: u64, ratio: &str) {
    let rate = bytes as f64 / cost.seconds / 1e6;
    // The memory of processes that a shell has started is not measured.
    let peak = if ratio.is_empty() { String::new() } else { format!("{:.1} MB", cost.peak_bytes as f64 / 1e6) };
    println!("| {program} | {:.2} s | {rate:.0} MB/s | {peak} | {ratio} |", cost.seconds);
}

/// Lists the blobs and hashes them.
pub fn run_library(args: &HashBlobs) -> io::Result<()> {
    let storage = FilesystemStorage::open(&args.root).map_err(io::Error::other)?;
    let blobs = blobs(&storage)?;
    let options = HashOptions::new(&args.root.display().to_string()).jobs(cores());
    let clock = SystemClock::start();
    let hashed = hash_all(&storage, &blobs, &options, &clock, &|_| {}, &Silent).map_err(io::Error::other)?;
    assert_eq!(hashed.checked_blobs, blobs.len() as u64);
    assert!(hashed.mismatched.is_empty());
    println!("{} blobs, {} bytes", hashed.checked_blobs, hashed.checked_bytes);
    Ok(())
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Lists the blobs to hash. This is part of what is measured, as `find` is for the other program.
fn blobs(storage: &FilesystemStorage) -> io::Result<Vec<Blob>> {
    let inventory = inventory::scan(storage, None, &Silent).map_err(io::Error::other)?;
    let ids: Vec<_> = inventory.digests.stored_ids().collect();
    let blob = |id| {
        let digest = inventory.digests.digest(id);
        let metadata = storage.stat(&layout::blob_data(&digest)).map_err(io::Error::other)?;
        Ok(Blob { digest, bytes: metadata.map_or(0, |metadata| metadata.bytes) })
    };
    ids.into_par_iter().map(blob).collect()
}

/// Writes blobs that cannot be compressed.
fn write(root: &Path, gib: u64) -> io::Result<()> {
    for part in 0..gib {
        for (kind, (bytes, count)) in SHAPE.into_iter().enumerate() {
            for number in 0..count {
                let seed = part << 40 | (kind as u64) << 32 | number as u64;
                let mut rng = Rng::with_seed(seed);
                let mut content = vec![0; rng.u64(bytes / 2..bytes * 3 / 2) as usize];
                rng.fill(&mut content);
                let path = root.join(layout::blob_data(&Digest::of(Algorithm::Sha256, &content)));
                fs::create_dir_all(path.with_file_name(""))?;
                fs::write(path, content)?;
            }
        }
    }
    Ok(())
}
