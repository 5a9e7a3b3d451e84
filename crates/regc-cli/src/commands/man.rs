//! `regc man`.

use std::fs;
use std::path::PathBuf;

use clap_mangen::{Man, generate_to};
use regc_core::Error;

use crate::ExitStatus;
use crate::output::Output;

/// Print the manual page of regc, or write those of all commands.
#[derive(clap::Args)]
pub struct Args {
    /// Write the pages of regc and of each command to this directory: regc.1, regc-gc.1 and so on
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<ExitStatus, Error> {
    if let Some(directory) = &args.output {
        let fail = |source| Error::Storage { action: "write", path: directory.display().to_string(), source };
        fs::create_dir_all(directory).and_then(|()| generate_to(crate::command(), directory)).map_err(fail)?;
        return Ok(ExitStatus::Done);
    }
    let mut page = Vec::new();
    let fail = |source| Error::Storage { action: "write", path: "the page".to_owned(), source };
    // The pages of all commands have none for `help` either.
    Man::new(crate::command().disable_help_subcommand(true)).render(&mut page).map_err(fail)?;
    let mut output = Output::new();
    output.line(format_args!("{}", String::from_utf8_lossy(&page).trim_end()));
    Ok(output.end(|| ExitStatus::Done))
}
