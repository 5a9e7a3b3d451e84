//! `regc apply`.

use std::env;
use std::path::PathBuf;

use clap::Parser;
use indicatif::HumanCount;
use regc_core::{Error, Plan, Store};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::commands::plan_file::{Approved, Difference};
use crate::commands::{Format, gc, prune, rm};
use crate::failure::Failure;
use crate::output::{Output, count, printable};
use crate::{Cli, Command, ExitStatus};

/// Carry out a reviewed plan.
///
/// `gc`, `prune` and `rm` write a plan with --dry-run --plan-out plan.jsonl; the registry may be running. This command
/// plans again with the same options, and deletes only what is in both plans. What is new, or in use again, is kept.
/// Stop the registry first, or make it read-only. A plan that was changed, or that is for another store or from another
/// version of regc, is refused.
#[derive(clap::Args)]
pub struct Args {
    /// The plan
    #[arg(value_name = "PLAN")]
    plan: PathBuf,

    #[command(flatten)]
    pub ways: Ways,
}

/// How a plan is carried out, whatever the command line that made it says.
#[derive(Clone, clap::Args)]
pub struct Ways {
    /// Show what would be deleted, and what differs from the plan; delete nothing
    #[arg(short, long)]
    pub dry_run: bool,

    /// Do not ask
    #[arg(short, long, conflicts_with = "dry_run")]
    pub yes: bool,

    /// Move to the trash instead of removing
    #[arg(long)]
    pub trash: bool,

    /// Print nothing but errors; with --format json, the summary too
    #[arg(short, long)]
    pub quiet: bool,

    /// Output format: human-readable text, or JSON Lines
    #[arg(long, value_enum, default_value = "human")]
    format: Format,

    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl Ways {
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

pub fn run(args: Args) -> Result<ExitStatus, Failure> {
    let Args { plan, ways } = args;
    let approved = Approved::read(&plan)?;
    let unusable = || Error::Config(format!("{} contains no command that can be carried out", plan.display()));
    let arguments = std::iter::once("regc").chain(approved.arguments.iter().map(String::as_str));
    let cli = Cli::try_parse_from(arguments).map_err(|_| unusable())?;
    // If it is gone, relative paths lead nowhere, or to another store, which is refused.
    env::set_current_dir(&approved.directory).ok();
    match cli.command {
        Command::Gc(args) => gc::apply(args, approved, &ways),
        Command::Prune(args) => prune::apply(*args, approved, &ways),
        Command::Rm(args) => rm::apply(args, approved, &ways),
        _ => Err(unusable().into()),
    }
}

/// What differs from the plan, as JSON.
#[derive(Serialize)]
struct Different<'a> {
    item: &'a RawValue,
}

/// How many lines of what differs are printed.
const LINES: usize = 20;

/// Restricts a plan to what was approved, and prints what differs.
pub fn restrict(approved: &Approved, plan: Plan, store: &Store, ways: &Ways) -> Result<Plan, Error> {
    let (plan, Difference { gone, new, both }) = approved.restrict(plan, store)?;
    let mut output = Output::new();
    match ways.format() {
        _ if ways.quiet => {}
        Format::Json => {
            gone.iter().for_each(|item| output.record("gone", &Different { item }));
            new.iter().for_each(|item| output.record("new", &Different { item }));
        }
        Format::Human => {
            let (both, stays) = (count(both, "item"), both - plan.items().count() as u64);
            let of = format!("the plan of {} for {}", approved.planned, approved.store);
            output.line(format_args!("{both} of {} can be deleted.", printable(&of)));
            if stays > 0 {
                output.line(format_args!(
                    "{} of them are kept, because something that is kept refers to them.",
                    HumanCount(stays)
                ));
            }
            list(&mut output, &gone, "in the plan, but gone or in use again");
            list(&mut output, &new, "not in the plan, so not deleted");
        }
    }
    output.flush();
    Ok(plan)
}

fn list(output: &mut Output, items: &[Box<RawValue>], what: &str) {
    if items.is_empty() {
        return;
    }
    output.line(format_args!("{} {what}:", count(items.len() as u64, "item")));
    for item in items.iter().take(LINES) {
        let item: Value = serde_json::from_str(item.get()).unwrap_or_default();
        let text = |key: &str| item[key].as_str();
        let named = [text("type"), text("repository"), text("tag"), text("upload"), text("path"), text("digest")];
        let line = named.into_iter().flatten().collect::<Vec<_>>().join(" ");
        output.line(format_args!("  {}", printable(&line)));
    }
    if items.len() > LINES {
        output.line(format_args!("  and {} more; --json prints them all", items.len() - LINES));
    }
}
