//! `regc prune --check-policy`: what a policy file says, without a store.

use std::path::Path;

use regc_core::retention::{Policy, PolicyError, PolicyRule};
use serde::Serialize;

use crate::ExitStatus;
use crate::commands::Format;
use crate::output::{self, Output, printable};

/// Prints what each rule of the policy keeps, and which rules never apply; or what is wrong with it.
pub fn run(path: &Path, text: &str, format: Format) -> ExitStatus {
    let mut output = Output::new();
    let checked = Policy::check(text);
    match (&checked, format) {
        (Ok(policy), Format::Human) => print(&mut output, policy),
        (Ok(policy), Format::Json) => print_json(&mut output, policy),
        (Err(error), Format::Human) => {
            output::fail(format_args!("{}", printable(&format!("{}: {error}", path.display()))));
        }
        (Err(error), Format::Json) => print_error(&mut output, error),
    }
    output.end(|| if checked.is_ok() { ExitStatus::Done } else { ExitStatus::Failed })
}

/// Returns the rules, each with its number and those of the rules because of which it never applies.
fn rules(policy: &Policy) -> impl Iterator<Item = (usize, &PolicyRule, Vec<usize>)> {
    (1..).zip(policy.rules()).map(|(number, rule)| {
        let earlier = policy.never_applies(number).map_or_else(Vec::new, |earlier| earlier.into_iter().collect());
        (number, rule, earlier)
    })
}

fn globs(rule: &PolicyRule) -> Vec<String> {
    rule.repositories.iter().map(ToString::to_string).collect()
}

fn print(output: &mut Output, policy: &Policy) {
    for (number, rule, earlier) in rules(policy) {
        let line = format!("rule {number}, {}: {}", globs(rule).join(", "), rule.rule);
        output.line(format_args!("{}", printable(&line)));
        let earlier: Vec<String> = earlier.iter().map(ToString::to_string).collect();
        match &earlier[..] {
            [] => {}
            [one] => {
                output.line(format_args!("  warning: never applies: rule {one} matches the same repositories first"))
            }
            several => output.line(format_args!(
                "  warning: never applies: rules {} match the same repositories first",
                several.join(", ")
            )),
        }
    }
    output.line(format_args!("Repositories that no rule matches are not changed."));
}

/// A rule, as JSON.
#[derive(Serialize)]
struct JsonRule {
    number: usize,
    repositories: Vec<String>,
    keeps: String,
    never_applies_after: Vec<usize>,
}

/// The last line of JSON.
#[derive(Serialize)]
struct Last {
    valid: bool,
    rules: Option<usize>,
    warnings: Option<usize>,
}

fn print_json(output: &mut Output, policy: &Policy) {
    let mut warnings = 0;
    for (number, rule, earlier) in rules(policy) {
        warnings += usize::from(!earlier.is_empty());
        let (repositories, keeps) = (globs(rule), rule.rule.to_string());
        output.record("rule", &JsonRule { number, repositories, keeps, never_applies_after: earlier });
    }
    output.summary(&Last { valid: true, rules: Some(policy.rules().len()), warnings: Some(warnings) });
}

fn print_error(output: &mut Output, error: &PolicyError) {
    #[derive(Serialize)]
    struct Wrong<'a> {
        line: Option<usize>,
        column: Option<usize>,
        rule: Option<usize>,
        message: &'a str,
        example: &'a str,
    }
    let PolicyError { line, column, rule, message, example, .. } = error;
    output.record("policy_error", &Wrong { line: *line, column: *column, rule: *rule, message, example });
    output.summary(&Last { valid: false, rules: None, warnings: None });
}
