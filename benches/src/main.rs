//! The speed of regc, compared with the registry's own command and a baseline walk of the same store.
//!
//!     cargo run --release -p regc-benches -- compare /tmp/regc-benches
//!     cargo run --release -p regc-benches -- hash /tmp/regc-benches
//!     cargo run --release -p regc-benches -- browse /tmp/regc-benches
//!     cargo run --release -p regc-benches -- bucket
//!     cargo run --release -p regc-benches -- bucket-memory
//!     cargo run --release -p regc-benches -- page /tmp/large.html

mod baseline;
mod browse;
mod bucket;
mod bucket_memory;
mod compare;
mod hash;
mod page;
mod process;
mod store;

use clap::Parser;

#[derive(Parser)]
enum Command {
    Compare(compare::Args),
    Baseline(baseline::Args),
    Browse(browse::Args),
    Bucket(bucket::Args),
    BucketMemory(bucket_memory::Args),
    Hash(hash::Args),
    HashBlobs(hash::HashBlobs),
    Page(page::Args),
}

fn main() -> std::io::Result<()> {
    match Command::parse() {
        Command::Browse(args) => browse::run(&args),
        Command::Bucket(args) => bucket::run(&args),
        Command::BucketMemory(args) => bucket_memory::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Hash(args) => hash::run(&args),
        Command::HashBlobs(args) => hash::run_library(&args),
        Command::Page(args) => page::run(&args),
        Command::Baseline(args) => {
            baseline::run(&args);
            Ok(())
        }
    }
}
