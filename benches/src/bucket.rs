//! A dry run on a registry in a bucket, beside the registry's own, through a proxy that delays every answer.
//!
//! Needs docker-registry and moto_server, as the tests in `tests/buckets` do.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use regc_testkit::bucket::{BucketServer, Fate, Moto, Proxy, config, measured_registry};

use crate::process::{self, median};

/// Fill a bucket, and collect in it with regc and with the registry's own command, in turns
#[derive(clap::Args)]
pub struct Args {
    /// The binary of regc
    #[arg(long, default_value = "target/release/regc")]
    regc: PathBuf,
    /// How many milliseconds each answer takes longer
    #[arg(long, default_value_t = 20)]
    delay: u64,
    /// How often each runs; the median is reported
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

pub fn run(args: &Args) -> io::Result<()> {
    let moto = Moto::start();
    moto.upload("registry", "", &measured_registry());
    let proxy = Proxy::start(moto.address(), Duration::from_millis(args.delay), |_, _| Fate::Pass);
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("config.yml");
    fs::write(&path, config(proxy.address(), "registry", "", "http: {addr: \"127.0.0.1:0\"}\n"))?;
    println!("| dry run, {} ms more for each answer | time | requests | ratio |\n|---|---|---|---|", args.delay);
    let mut times = Vec::new();
    let commands: [(&str, &[&str]); 2] =
        [("docker-registry", &["garbage-collect", "--dry-run"]), ("regc", &["gc", "--dry-run", "-q"])];
    for (name, arguments) in commands {
        let (mut costs, before) = (Vec::new(), proxy.requests().len());
        for _ in 0..args.runs {
            let program = if name == "regc" { args.regc.clone() } else { name.into() };
            costs.push(process::run(Command::new(program).args(arguments).arg(&path).env_remove("AWS_CA_BUNDLE"))?);
        }
        let requests = (proxy.requests().len() - before) / args.runs.max(1);
        let cost = median(costs).ok_or_else(|| io::Error::other("nothing was measured"))?;
        times.push(cost.seconds);
        println!("| {name} | {:.2} s | {requests} | {:.1} |", cost.seconds, times[0] / cost.seconds);
    }
    Ok(())
}
