//! `regc completions`.

use clap_complete::{Shell, generate};

use crate::ExitStatus;
use crate::output::Output;

/// Print a script that completes commands and options in a shell.
#[derive(clap::Args)]
#[command(after_help = WHERE)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

const WHERE: &str = "\
Where to put them:
  bash  regc completions bash > /etc/bash_completion.d/regc
  zsh   regc completions zsh > /usr/local/share/zsh/site-functions/_regc
  fish  regc completions fish > ~/.config/fish/completions/regc.fish";

pub fn run(args: &Args) -> ExitStatus {
    let mut script = Vec::new();
    generate(args.shell, &mut crate::command(), "regc", &mut script);
    let mut output = Output::new();
    output.line(format_args!("{}", String::from_utf8_lossy(&script).trim_end()));
    output.end(|| ExitStatus::Done)
}
