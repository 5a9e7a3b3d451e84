//! Runs random commands on random stores for a while, and checks that no image is lost.
//!
//! Build the binary first:
//!
//! ```text
//! cargo build --release -p regc-cli
//! cargo run --release -p regc-testkit --example soak -- --seconds 120
//! ```
//!
//! `--seed S` begins with that seed, `--rounds N` stops after that many rounds, `--keep DIR` stops at the first
//! failure and keeps a copy of the store from before the command that failed. `--regc PATH` names another binary.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use regc_testkit::soak::process::Regc;
use regc_testkit::soak::round::{Counts, Round};

#[derive(Debug, Default)]
struct Args {
    seconds: Option<u64>,
    rounds: Option<u64>,
    seed: Option<u64>,
    regc: Option<PathBuf>,
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(message) => {
            eprintln!("soak: {message}");
            return ExitCode::from(2);
        }
    };
    let path = args.regc.clone().unwrap_or_else(beside_this);
    if !path.is_file() {
        eprintln!("soak: {} is missing: run `cargo build --release -p regc-cli` first", path.display());
        return ExitCode::from(2);
    }
    let failed = soak(&args, &path);
    ExitCode::from(u8::from(failed > 0))
}

/// Returns how many rounds failed.
fn soak(args: &Args, path: &Path) -> u64 {
    let regc = Regc::new(path);
    let started = Instant::now();
    let first = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 40));
    let limit = Duration::from_secs(args.seconds.unwrap_or(if args.rounds.is_some() { u64::MAX } else { 60 }));
    println!("seeds from {first} on");
    let (mut counts, mut failed) = (Counts::default(), 0);
    while started.elapsed() < limit && args.rounds.is_none_or(|rounds| counts.rounds < rounds) {
        let seed = first + counts.rounds;
        let Err(failure) = Round::new(&regc, seed, args.keep.as_deref(), &mut counts).run() else { continue };
        failed += 1;
        println!("seed {seed} failed: {}", failure.message);
        failure.commands.iter().for_each(|command| println!("  {command}"));
        println!("  repeat: cargo run --release -p regc-testkit --example soak -- --seed {seed} --rounds 1");
        if args.keep.is_some() {
            break;
        }
    }
    println!(
        "{} rounds, {failed} failed; {} commands, {} kills, {} restores, {} backups brought back, {} pulls checked",
        counts.rounds, counts.commands, counts.kills, counts.restores, counts.backups, counts.pulls
    );
    failed
}

/// Returns the path of the binary: Cargo puts examples into a directory beside the binaries.
fn beside_this() -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    this.parent().and_then(Path::parent).unwrap_or(Path::new("")).join("regc")
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut args = Args::default();
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{name}: {value} is not a number"));
        match name.as_str() {
            "--seconds" => args.seconds = Some(number()?),
            "--rounds" => args.rounds = Some(number()?),
            "--seed" => args.seed = Some(number()?),
            "--regc" => args.regc = Some(value.into()),
            "--keep" => args.keep = Some(value.into()),
            _ => return Err(format!("{name} is not known")),
        }
    }
    Ok(args)
}
