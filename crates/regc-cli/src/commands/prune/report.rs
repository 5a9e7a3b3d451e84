//! What `regc prune` prints of its decisions.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io::{self, IsTerminal};
use std::time::SystemTime;

use indicatif::{BinaryBytes, HumanCount};
use regc_core::retention::{Decision, Reason};
use regc_core::{Blocked, Digest, Item, Named, Plan};
use serde::Serialize;

use super::Judged;
use crate::commands::Format;
use crate::output::table::{Cell, Column, Table};
use crate::output::{Output, printable};
use crate::process;

const COLUMNS: [Column; 4] = [
    Column::text("REPOSITORY").at_least(16),
    Column::number("KEPT"),
    Column::number("REMOVED"),
    Column::number("FREED"),
];

/// How many repositories are printed to a terminal. A file or a pipe gets all of them.
const REPOSITORIES_ON_TERMINAL: usize = 40;

/// Prints how many tags are kept and removed in each repository where any are removed, and what that frees, the most first.
pub fn summarise(judged: &[Judged], plan: &Plan, all: bool) {
    let mut removed: HashMap<&str, usize> = HashMap::new();
    for item in plan.items() {
        if let Item::Tag { repository, .. } = item {
            *removed.entry(repository).or_default() += 1;
        }
    }
    let freed: HashMap<&str, u64> =
        plan.shares().0.iter().map(|share| (share.repository, share.totals.all_bytes())).collect();
    let of = |judged: &Judged| {
        let removed = removed.get(&*judged.repository).copied().unwrap_or(0);
        let freed = freed.get(&*judged.repository).copied().unwrap_or(0);
        (judged.tags.len().saturating_sub(removed), removed, freed)
    };
    let mut changed: Vec<&Judged> = judged.iter().filter(|judged| of(judged).1 > 0).collect();
    if changed.is_empty() {
        return;
    }
    changed.sort_by_key(|judged| Reverse(of(judged).2));
    let limit = if all || !io::stdout().is_terminal() { usize::MAX } else { REPOSITORIES_ON_TERMINAL };
    let mut table = Table::new(&COLUMNS);
    let mut row = |name: &str, (kept, removed, freed): (usize, usize, u64)| {
        let [kept, removed] = [kept, removed].map(|number| Cell::text(&HumanCount(number as u64).to_string()));
        table.row(vec![Cell::text(name), kept, removed, Cell::bytes(BinaryBytes(freed))]);
    };
    changed.iter().take(limit).for_each(|judged| row(&judged.repository, of(judged)));
    let (kept, removed) = judged.iter().map(of).fold((0, 0), |(kept, removed), of| (kept + of.0, removed + of.1));
    if changed.len() > limit {
        row(&format!("(and {} more, --all)", changed.len() - limit), (0, 0, 0));
    }
    row("(in all repositories)", (kept, removed, plan.totals().all_bytes()));
    let mut output = Output::new();
    table.print(&mut output);
    output.flush();
}

/// Prints what time it is taken to be, and if `all`, for each tag what becomes of it and why. Whatever stays although its
/// rule would remove it is told in any case.
pub fn explain(judged: &[Judged], plan: &Plan, now: SystemTime, format: Format, all: bool) {
    let going: HashSet<(&str, &str)> = plan
        .items()
        .filter_map(|item| match item {
            Item::Tag { repository, tag, .. } => Some((repository, tag)),
            _ => None,
        })
        .collect();
    let blocked = plan.blocked();
    let blocked: HashMap<(&str, &str), &Blocked> = blocked
        .iter()
        .filter_map(|blocked| match &blocked.what {
            Named::Tag(tag) => Some(((&*blocked.repository, &**tag), blocked)),
            _ => None,
        })
        .collect();
    let mut output = Output::new();
    match format {
        Format::Human => output.line(format_args!("The time is {}.", process::time(now))),
        Format::Json => output.record("rules", &Begin { now: process::time(now) }),
    }
    for Judged { repository, tags } in judged {
        if all && format == Format::Human && !tags.is_empty() {
            output.line(format_args!("{}", printable(repository)));
        }
        for (tag, decision) in tags {
            let goes = going.contains(&(&**repository, &*tag.name));
            let blocked = blocked.get(&(&**repository, &*tag.name));
            let (code, reason) = match (blocked, decision) {
                (Some(blocked), _) => ("kept_back", format!("is kept: {}", blocked.reason)),
                (None, Some(Decision { reason: reason @ Reason::Attached(subject), .. })) => {
                    let fate = match goes {
                        true => "is deleted",
                        false if !plan.has_manifest(repository, subject) => "is not in this repository",
                        false => "is kept",
                    };
                    (reason.code(), format!("{reason}, which {fate}"))
                }
                (None, Some(Decision { reason, .. })) => (reason.code(), reason.to_string()),
                (None, None) => ("no_rule", "is in a repository without a rule".to_owned()),
            };
            match format {
                Format::Human if all => {
                    let line = format!("  {} {} {reason}", if goes { "remove" } else { "keep  " }, tag.name);
                    output.line(format_args!("{}", printable(&line)));
                }
                Format::Json if all => {
                    let (tag, digest) = (&*tag.name, &tag.digest);
                    output.record("decision", &JsonDecision { repository, tag, digest, keep: !goes, code, reason });
                }
                _ if blocked.is_some() => {
                    eprintln!("regc: {}", printable(&format!("{repository}:{} {reason}", tag.name)));
                }
                _ => {}
            }
        }
    }
    output.flush();
}

/// The first line of JSON.
#[derive(Serialize)]
struct Begin {
    now: String,
}

/// What becomes of a tag, as JSON.
#[derive(Serialize)]
struct JsonDecision<'a> {
    repository: &'a str,
    tag: &'a str,
    digest: &'a Option<Digest>,
    keep: bool,
    code: &'a str,
    reason: String,
}
