//! `regc explain`.

use console::style;
use regc_core::finding::{Explanation, Kind};

use crate::ExitStatus;
use crate::output::{Output, paragraph};

/// Explain findings: what each means, and what to do about it.
#[derive(clap::Args)]
pub struct Args {
    /// Codes, or names in JSON: RG012, missing_blob. Default: list all findings
    #[arg(value_name = "CODE|NAME", value_parser = parse)]
    findings: Vec<Kind>,

    /// Explain all findings, in Markdown
    #[arg(long, conflicts_with = "findings")]
    markdown: bool,
}

fn parse(text: &str) -> Result<Kind, String> {
    Kind::of_code(text).or_else(|| Kind::of_name(text)).ok_or_else(|| {
        let nearest = nearest(text);
        let named: Vec<String> = nearest.iter().map(|kind| format!("{} {}", kind.code(), kind.page().name)).collect();
        match named.is_empty() {
            true => "unknown finding; `regc explain` lists all".to_owned(),
            false => format!("unknown finding; the nearest are {}", named.join(", ")),
        }
    })
}

/// How many findings are suggested.
const SUGGESTED: usize = 3;

/// How similar a name must be to be suggested, from 0 to 1.
const SIMILAR: f64 = 0.75;

/// Returns the findings that may be meant, the nearest first: by the number of a code, otherwise by the name.
fn nearest(text: &str) -> Vec<Kind> {
    let text = text.to_ascii_lowercase().replace(['-', ' '], "_");
    let mut kinds = Kind::ALL.to_vec();
    let number = |code: &str| code.trim_start_matches(['r', 'g', 'R', 'G']).parse::<u32>().ok();
    if let Some(wanted) = number(&text) {
        kinds.sort_by_key(|kind| number(kind.code()).map(|number| number.abs_diff(wanted)));
    } else {
        let likeness = |kind: &Kind| {
            let name = kind.page().name;
            if name.contains(&text) { 1.0 } else { strsim::jaro_winkler(&text, name) }
        };
        kinds.retain(|kind| likeness(kind) >= SIMILAR);
        kinds.sort_by(|one, other| likeness(other).total_cmp(&likeness(one)));
    }
    kinds.truncate(SUGGESTED);
    kinds
}

pub fn run(args: &Args) -> ExitStatus {
    let mut output = Output::new();
    if args.markdown {
        markdown(&mut output);
    } else if args.findings.is_empty() {
        for Explanation { code, severity, title, .. } in Kind::ALL.map(Kind::page) {
            output.line(format_args!("{code}  {:<7}  {title}", severity.name()));
        }
    }
    for (at, kind) in args.findings.iter().enumerate() {
        if at > 0 {
            output.line(format_args!(""));
        }
        page(&mut output, kind.page(), paragraph::width());
    }
    output.end(|| ExitStatus::Done)
}

/// Prints the page of a finding, in the form of the help.
fn page(output: &mut Output, page: &Explanation, width: usize) {
    let Explanation { code, name, severity, title, meaning, remedy, repair } = page;
    paragraph::print(output, &format!("{code} {name}, {}: {title}", severity.name()), 0, width);
    output.line(format_args!(""));
    paragraph::print(output, meaning, 0, width);
    for (heading, text) in [("What to do:", remedy), ("What `regc repair` does:", &repair.unwrap_or("nothing"))] {
        output.line(format_args!("\n{}", style(heading).bold().underlined()));
        paragraph::print(output, &format!("{text}."), 2, width);
    }
}

/// Prints all findings in Markdown, of which only tables have long lines.
fn markdown(output: &mut Output) {
    output.line(format_args!("# Findings\n"));
    paragraph::print(
        output,
        "Every finding has one of these codes, in all reports. `regc explain RG012` explains one. This page is the \
         output of `regc explain --markdown`.",
        0,
        paragraph::WIDEST,
    );
    output.line(format_args!(
        "\n| severity | meaning |\n|---|---|\n\
         | error | an image cannot be pulled |\n\
         | warning | something is wrong; images can be pulled, except as the finding says |\n\
         | note | nothing is wrong: something is left over, or is not part of the registry. With notes alone, the exit code is 0 |"
    ));
    for Explanation { code, name, severity, title, meaning, remedy, repair } in Kind::ALL.map(Kind::page) {
        output.line(format_args!("\n## {code}: {title}\n"));
        paragraph::print(output, &format!("`{name}`, {}. {meaning}", severity.name()), 0, paragraph::WIDEST);
        output.line(format_args!(""));
        paragraph::print_item(output, &format!("What to do: {remedy}."), paragraph::WIDEST);
        let repair = repair.unwrap_or("nothing");
        paragraph::print_item(output, &format!("What `regc repair` does: {repair}."), paragraph::WIDEST);
    }
}
