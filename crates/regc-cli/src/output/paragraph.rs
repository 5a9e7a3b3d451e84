//! Text in paragraphs, as wide as the help is.

use std::io::{self, IsTerminal};

use console::{Term, measure_text_width};

use super::Output;

/// The longest line, as in the help.
pub const WIDEST: usize = 100;

/// The longest line where the output is not a terminal.
const PIPED: usize = 80;

/// Returns how long a line may be.
pub fn width() -> usize {
    if io::stdout().is_terminal() { usize::from(Term::stdout().size().1).min(WIDEST) } else { PIPED }
}

/// Prints a paragraph, each line of which is indented by so many columns.
pub fn print(output: &mut Output, text: &str, indent: usize, width: usize) {
    for line in wrapped(text, width.saturating_sub(indent)) {
        output.line(format_args!("{:indent$}{line}", ""));
    }
}

/// Prints an item of a list in Markdown. Its lines after the first are indented.
pub fn print_item(output: &mut Output, text: &str, width: usize) {
    for (at, line) in wrapped(text, width.saturating_sub(2)).iter().enumerate() {
        output.line(format_args!("{}{line}", if at == 0 { "- " } else { "  " }));
    }
}

/// Breaks a text between words. Only a word that is longer than that makes a line longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words() {
        let text = "a manifest is linked, and its content is missing";
        assert_eq!(wrapped(text, 22), ["a manifest is linked,", "and its content is", "missing"]);
        assert_eq!(wrapped(text, 21)[0], "a manifest is linked,");
        assert_eq!(wrapped(text, 20)[0], "a manifest is");
        assert_eq!(wrapped("REPOSITORY@DIGEST or", 5), ["REPOSITORY@DIGEST", "or"]);
        assert_eq!(wrapped("änderte än", 10), ["änderte än"]);
    }
}
