//! `regc prune --check-policy`: what a policy file says, without a store.

use std::path::Path;

use regc_core::retention::{Policy, PolicyError, PolicyRule};
use serde_json::json;

use crate::ExitStatus;
use crate::commands::Format;
use crate::output::{Output, printable};

/// Prints what each rule of the policy keeps, and which rules never apply; or what is wrong with it.
pub fn run(path: &Path, text: &str, format: Format) -> ExitStatus {
    let mut output = Output::new();
    let checked = Policy::check(text);
    match (&checked, format) {
        (Ok(policy), Format::Human) => print(&mut output, policy),
        (Ok(policy), Format::Json) => print_json(&mut output, policy),
        (Err(error), Format::Human) => {
            eprintln!("regc: {}", printable(&format!("{}: {error}", path.display())));
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
    output.line(format_args!("A repository that no rule matches is left alone."));
}

fn print_json(output: &mut Output, policy: &Policy) {
    let mut warnings = 0;
    for (number, rule, earlier) in rules(policy) {
        warnings += usize::from(!earlier.is_empty());
        output.record(&json!({
            "type": "rule", "number": number, "repositories": globs(rule), "keeps": rule.rule.to_string(),
            "never_applies_after": earlier,
        }));
    }
    output.record(&json!({
        "type": "summary", "schema_version": 1, "valid": true, "rules": policy.rules().len(), "warnings": warnings,
    }));
}

fn print_error(output: &mut Output, error: &PolicyError) {
    output.record(&json!({
        "type": "policy_error", "line": error.line, "column": error.column, "rule": error.rule,
        "message": error.message, "example": error.example,
    }));
    output.record(&json!({ "type": "summary", "schema_version": 1, "valid": false, "rules": null, "warnings": null }));
}
