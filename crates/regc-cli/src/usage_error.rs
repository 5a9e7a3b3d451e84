//! Errors in the command line, printed as all other errors are.

use clap::error::ErrorKind;

use crate::output::{self, printable};

/// Prints why the command line is wrong, or the help that it asks for, and ends the process.
pub fn exit(error: &clap::Error) -> ! {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        error.exit();
    }
    let text = error.render().to_string();
    for (number, line) in lines(&text).enumerate() {
        match number {
            0 => output::fail(format_args!("{}", printable(&line))),
            _ => eprintln!("{}", printable(&line)),
        }
    }
    std::process::exit(error.exit_code());
}

/// Returns the lines of an error of clap, in the form that other errors have: the reason, and below it hints.
fn lines(text: &str) -> impl Iterator<Item = String> {
    text.strip_prefix("error: ").unwrap_or(text).lines().filter(|line| !line.trim().is_empty()).map(|line| {
        let below = line.trim_start();
        if let Some(tip) = below.strip_prefix("tip: ") {
            return format!("  hint: {tip}");
        }
        if let Some(usage) = below.strip_prefix("Usage: ") {
            return format!("  usage: {usage}");
        }
        match below.strip_prefix("For more information, ") {
            Some(more) => format!("  hint: for more information, {}", more.trim_end_matches('.')),
            None => line.to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_clap_has_a_reason_and_hints() {
        let command = crate::command();
        for (line, expected) in [
            (
                "regc gc --formt json",
                &[
                    "unexpected argument '--formt' found",
                    "  hint: a similar argument exists: '--format'",
                    "  usage: regc gc --format <FORMAT> [CONFIG]",
                    "  hint: for more information, try '--help'",
                ][..],
            ),
            (
                "regc gc --format x",
                &[
                    "invalid value 'x' for '--format <FORMAT>'",
                    "  [possible values: human, json, registry]",
                    "  hint: for more information, try '--help'",
                ],
            ),
        ] {
            let error = command.clone().try_get_matches_from(line.split(' ')).unwrap_err();
            assert_eq!(lines(&error.render().to_string()).collect::<Vec<_>>(), expected);
        }
    }
}
