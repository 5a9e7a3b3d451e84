//! `regc`: the garbage collector for self-hosted Docker and OCI registries.

mod browse;
mod commands;
mod failure;
mod hints;
mod interruption;
mod output;
mod process;
mod progress;
mod source;
mod usage_error;

use std::error::Error;
use std::process::ExitCode;

use clap::{Command as ClapCommand, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    apply, browse as browse_command, cache, completions, du, explain, gc, ls, man, prune, repair, report, rm, trash,
    undelete, verify,
};
use crate::failure::Failure;
use crate::hints::Flags;
use crate::interruption::Interruption;

/// Free the disk space that a Docker or OCI registry never frees by itself.
#[derive(Parser)]
#[command(name = "regc", version = env!("REGC_VERSION"), max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(visible_alias = "garbage-collect", after_help = format!("{}\n\n{EXIT_CODES}", gc::WHAT_IS_COUNTED))]
    Gc(gc::Args),
    #[command(after_help = EXIT_CODES)]
    Apply(apply::Args),
    #[command(after_help = EXIT_CODES, mut_arg("format", |format| format.hide(true)), mut_arg("json", |json| json.hide(true)))]
    Browse(browse_command::Args),
    #[command(after_help = EXIT_CODES)]
    Cache(cache::Args),
    Completions(completions::Args),
    #[command(after_help = EXIT_CODES_OF_READING)]
    Du(du::Args),
    #[command(after_help = EXIT_CODES)]
    Explain(explain::Args),
    #[command(after_help = EXIT_CODES_OF_READING)]
    Ls(ls::Args),
    Man(man::Args),
    #[command(after_help = EXIT_CODES)]
    Prune(Box<prune::Args>),
    #[command(after_help = EXIT_CODES)]
    Repair(repair::Args),
    #[command(after_help = EXIT_CODES_OF_READING)]
    Report(report::Args),
    #[command(after_help = EXIT_CODES)]
    Rm(rm::Args),
    #[command(after_help = EXIT_CODES)]
    Trash(trash::Args),
    #[command(after_help = EXIT_CODES)]
    Undelete(undelete::Args),
    #[command(after_help = EXIT_CODES)]
    Verify(verify::Args),
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: nothing was changed, or the report says exactly what was
  2  the command line is wrong
  3  done, but damage was found and kept, or something was put back from the trash
  130, 143  interrupted by SIGINT or SIGTERM: the report says what was done";

/// Those of commands that only look: what they show may be damaged all the same.
const EXIT_CODES_OF_READING: &str = "\
Exit codes:
  0  done, also if something is damaged: see `regc verify`
  1  failed
  2  the command line is wrong
  130, 143  interrupted by SIGINT or SIGTERM";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExitStatus {
    Done,
    Failed,
    FoundDamage,
    /// A signal ended it.
    Interrupted,
}

impl ExitStatus {
    /// Returns the exit code.
    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::FoundDamage => 3,
            Self::Interrupted => Interruption::exit_code(),
        }
    }
}

fn main() -> ExitCode {
    let (command, matches) = (command(), command().try_get_matches());
    let matches = matches.unwrap_or_else(|error| usage_error::exit(&error));
    let flags = Flags::of(&command, &matches);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| usage_error::exit(&error));
    let ending = match cli.command {
        Command::Gc(args) => gc::run(args),
        Command::Apply(args) => apply::run(args),
        Command::Browse(args) => browse_command::run(args),
        Command::Cache(args) => cache::run(args).map_err(Failure::from),
        Command::Completions(args) => Ok(completions::run(&args)),
        Command::Du(args) => du::run(args).map_err(Failure::from),
        Command::Explain(args) => Ok(explain::run(&args)),
        Command::Ls(args) => ls::run(args).map_err(Failure::from),
        Command::Man(args) => man::run(&args).map_err(Failure::from),
        Command::Prune(args) => prune::run(*args),
        Command::Repair(args) => repair::run(args),
        Command::Report(args) => report::run(args).map_err(Failure::from),
        Command::Rm(args) => rm::run(args),
        Command::Trash(args) => trash::run(args),
        Command::Undelete(args) => undelete::run(args).map_err(Failure::from),
        Command::Verify(args) => verify::run(args).map_err(Failure::from),
    };
    match ending {
        Ok(status) => ExitCode::from(status.code()),
        Err(failure) => {
            print_error(&failure);
            hints::print(flags.hint(&failure));
            ExitCode::from(failure.code())
        }
    }
}

/// Returns the definition of the command line.
fn command() -> ClapCommand {
    Cli::command()
}

/// Prints an error and what caused it to the standard error stream.
fn print_error(error: &dyn Error) {
    output::fail(format_args!("{}", output::printable(&error.to_string())));
    for cause in output::causes(error) {
        eprintln!("  caused by: {}", output::printable(&cause.to_string()));
    }
}
