//! How fast regc is, beside the registry's own command and a bare walk of the same store.
//!
//!     cargo run --release -p regc-benches -- compare /tmp/regc-benches

mod bare_walk;
mod compare;
mod process;
mod store;

use clap::Parser;

#[derive(Parser)]
enum Command {
    Compare(compare::Args),
    BareWalk(bare_walk::Args),
}

fn main() -> std::io::Result<()> {
    match Command::parse() {
        Command::Compare(args) => compare::run(&args),
        Command::BareWalk(args) => {
            bare_walk::run(&args);
            Ok(())
        }
    }
}
