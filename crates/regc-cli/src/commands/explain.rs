//! `regc explain`.

use regc_core::finding::{Explanation, Kind};

use crate::ExitStatus;
use crate::output::Output;

/// Tell what a finding means, and what can be done about it.
#[derive(clap::Args)]
pub struct Args {
    /// Its code: RG012. Without one, all codes are listed
    #[arg(value_name = "CODE", value_parser = parse)]
    code: Option<Kind>,

    /// Everything about all of them, in Markdown
    #[arg(long, conflicts_with = "code")]
    markdown: bool,
}

fn parse(text: &str) -> Result<Kind, String> {
    Kind::of_code(text).ok_or_else(|| "there is no such code; `regc explain` lists all".to_owned())
}

pub fn run(args: &Args) -> ExitStatus {
    let mut output = Output::new();
    match args.code {
        Some(kind) => page(&mut output, kind.page()),
        None if args.markdown => markdown(&mut output),
        None => {
            for Explanation { code, severity, title, .. } in Kind::ALL.map(Kind::page) {
                output.line(format_args!("{code}  {:<7}  {title}", severity.name()));
            }
        }
    }
    output.end(|| ExitStatus::Done)
}

fn page(output: &mut Output, page: &Explanation) {
    let Explanation { code, name, severity, title, meaning, remedy, repair } = page;
    output.line(format_args!("{code} {name}, {}: {title}\n\n{meaning}\n", severity.name()));
    output.line(format_args!("What to do: {remedy}."));
    let repair = repair.unwrap_or("nothing");
    output.line(format_args!("What `regc repair` does: {repair}."));
}

fn markdown(output: &mut Output) {
    output.line(format_args!(
        "# What can be found wrong\n\n\
         Every finding has one of these codes, in all reports. `regc explain RG012` prints the page of one; this file is what\n\
         `regc explain --markdown` prints.\n\n\
         | severity | meaning |\n|---|---|\n\
         | error | an image cannot be pulled |\n\
         | warning | something is wrong, and images can be pulled all the same, but for what is told |\n\
         | note | nothing is wrong: something is left over, or is not the registry's. Notes alone are no damage: the exit code is 0 |"
    ));
    for Explanation { code, name, severity, title, meaning, remedy, repair } in Kind::ALL.map(Kind::page) {
        output.line(format_args!("\n## {code}: {title}\n\n`{name}`, {}. {meaning}\n", severity.name()));
        output.line(format_args!("- What to do: {remedy}."));
        output.line(format_args!("- What `regc repair` does: {}.", repair.unwrap_or("nothing")));
    }
}
