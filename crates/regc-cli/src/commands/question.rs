//! Questions to the operator at the terminal.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use indicatif::{BinaryBytes, HumanCount};
use regc_core::Plan;

use crate::source::real;
use crate::{output, process};

/// Whether an operator at a terminal can answer.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Returns the question before a plan is carried out. It names the store: another one may be meant.
pub fn question(plan: &Plan, root: &Path, is_kept: bool) -> String {
    let totals = plan.totals();
    let (bytes, blobs) = (BinaryBytes(totals.all_bytes()), HumanCount(totals.blobs));
    let what = match totals.blobs {
        0 => "this".to_owned(),
        1 => format!("this, {bytes} in 1 blob,"),
        _ => format!("this, {bytes} in {blobs} blobs,"),
    };
    // One that is relative says little.
    let root = if root.is_relative() { real(root) } else { root.to_owned() };
    let root = root.to_string_lossy();
    let root = output::printable(&root);
    if is_kept { format!("Move {what} to the trash of {root}?") } else { format!("Remove {what} from {root}?") }
}

/// Whether no repository would be left, of several.
pub fn leaves_nothing(plan: &Plan) -> bool {
    let repositories = plan.totals().repositories;
    repositories >= 2 && repositories >= plan.repository_names().count() as u64
}

/// Asks the operator at the terminal whether to carry out a plan. Where no repository would be left, a word must be typed: the
/// pattern may match more than was meant.
pub fn is_agreed_to(plan: &Plan, question: &str) -> bool {
    if !leaves_nothing(plan) {
        return is_agreed(question);
    }
    let repositories = plan.totals().repositories;
    let question =
        format!("{question} All {} repositories are deleted. Type `everything` to continue:", HumanCount(repositories));
    ask(&question).is_some_and(|answer| answer == "everything")
}

/// Asks the operator at the terminal.
pub fn is_agreed(question: &str) -> bool {
    let answer = ask(&format!("{question} [y/N]"));
    answer.is_some_and(|answer| matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Returns what is typed in answer to a question; `None` if nothing is, or if a signal comes first.
fn ask(question: &str) -> Option<String> {
    eprint!("{question} ");
    io::stderr().flush().ok();
    let read = || {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).is_ok().then(|| line.trim().to_owned())
    };
    let answer = process::watch().ok()?.or(read);
    if answer.is_none() {
        eprintln!();
    }
    answer.flatten()
}
