//! How a collection is printed.

pub mod file;
pub mod human;
pub mod json;
pub mod natural;
pub mod object;
pub mod paragraph;
pub mod registry;
pub mod removal;
pub mod table;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use indicatif::HumanCount;
use regc_core::{Error, Finding, Plan, Summary};
use serde::Serialize;

use crate::ExitStatus;

/// The state of a collection.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Which store it is.
    pub place: &'a str,
    pub plan: &'a Plan,
    pub summary: &'a Summary,
    pub failures: &'a [Error],
    /// How many bytes of the file system were free before, and are now.
    pub free: Option<(u64, u64)>,
    /// The registry's cache, if it could not be told what was removed.
    pub stale: Option<&'a Finding>,
}

/// Prints a collection to the standard output stream.
pub trait Printer {
    /// Called when it is known what will be deleted, and nothing is deleted yet.
    fn decided(&mut self, run: &Run<'_>);

    /// Called when all is done or, in a dry run, planned.
    fn done(&mut self, run: &Run<'_>);

    /// Returns the error that kept the output from being written, if any.
    fn error(&mut self) -> Option<io::Error>;

    /// Takes what was kept in memory in place of being printed.
    fn take_kept(&mut self) -> String {
        String::new()
    }
}

/// A printer, and perhaps another one whose text goes into a file.
pub struct Printers {
    pub shown: Box<dyn Printer>,
    pub kept: Option<Box<dyn Printer>>,
}

impl Printers {
    pub fn decided(&mut self, run: &Run<'_>) {
        self.kept.iter_mut().for_each(|kept| kept.decided(run));
        self.shown.decided(run);
    }

    pub fn done(&mut self, run: &Run<'_>) {
        self.kept.iter_mut().for_each(|kept| kept.done(run));
        self.shown.done(run);
    }

    pub fn take_kept(&mut self) -> String {
        self.kept.as_mut().map(|kept| kept.take_kept()).unwrap_or_default()
    }
}

/// The standard output stream, or a text in memory, with an error that is kept for later: what is removed must not depend on a
/// reader of the report, or on space for it.
pub struct Output {
    stream: Stream,
    error: Option<io::Error>,
}

enum Stream {
    Standard(BufWriter<Stdout>),
    Kept(Vec<u8>),
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(stream) => stream.write(bytes),
            Self::Kept(text) => text.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(stream) => stream.flush(),
            Self::Kept(_) => Ok(()),
        }
    }
}

impl Output {
    pub fn new() -> Self {
        Self { stream: Stream::Standard(BufWriter::with_capacity(1 << 16, io::stdout())), error: None }
    }

    /// Keeps what is printed in memory.
    pub fn kept() -> Self {
        Self { stream: Stream::Kept(Vec::new()), error: None }
    }

    /// Takes what was kept in memory.
    pub fn take_kept(&mut self) -> String {
        match &mut self.stream {
            Stream::Kept(text) => String::from_utf8_lossy(&std::mem::take(text)).into_owned(),
            Stream::Standard(_) => String::new(),
        }
    }

    pub fn line(&mut self, line: std::fmt::Arguments<'_>) {
        if self.error.is_none() {
            self.error = writeln!(self.stream, "{line}").err();
        }
    }

    /// Prints a line of JSON. Characters that JSON allows but a terminal may interpret, or that are not visible, are escaped.
    pub fn json(&mut self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) if text.chars().any(is_hidden) => {
                let escape = |unit: &mut u16| format!("\\u{unit:04x}");
                let escape = |c: char| match is_hidden(c) {
                    true => c.encode_utf16(&mut [0; 2]).iter_mut().map(escape).collect(),
                    false => c.to_string(),
                };
                self.line(format_args!("{}", text.chars().map(escape).collect::<String>()));
            }
            Ok(text) => self.line(format_args!("{text}")),
            Err(error) => self.error = Some(error.into()),
        }
    }

    /// Prints a line of JSON: the type, then the fields of a structure in their order.
    pub fn record(&mut self, kind: &str, fields: &impl Serialize) {
        #[derive(Serialize)]
        struct Record<'a, Fields> {
            r#type: &'a str,
            #[serde(flatten)]
            fields: &'a Fields,
        }
        self.json(&Record { r#type: kind, fields });
    }

    /// Prints the last line of JSON of a command.
    pub fn summary(&mut self, fields: &impl Serialize) {
        self.record("summary", &Versioned { schema_version: Summary::SCHEMA_VERSION, fields });
    }

    /// Writes what is left and returns the exit status of the command: that of `ending`, or a failure if the report cannot be
    /// written.
    pub fn end(mut self, ending: impl FnOnce() -> ExitStatus) -> ExitStatus {
        self.flush();
        match self.take_error() {
            Some(error) => {
                fail(format_args!("cannot write the report: {error}"));
                ExitStatus::Failed
            }
            None => ending(),
        }
    }

    pub fn flush(&mut self) {
        if self.error.is_none() {
            self.error = self.stream.flush().err();
        }
    }

    /// Takes the error, if any. A reader that stops early, as `head` does, is no error.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take().filter(|error| error.kind() != ErrorKind::BrokenPipe)
    }
}

/// The fields of a record that says which version of docs/json.md describes it.
#[derive(Serialize)]
pub struct Versioned<'a, Fields> {
    pub schema_version: u32,
    #[serde(flatten)]
    pub fields: &'a Fields,
}

/// `1 blob`, `1,234 blobs`.
pub fn count(number: u64, thing: &str) -> String {
    count_of(number, thing, &format!("{thing}s"))
}

/// `1 repository`, `1,234 repositories`.
pub fn count_of(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", HumanCount(number), if number == 1 { one } else { many })
}

/// Prints an error to the standard error stream, its beginning in red at a terminal.
pub fn fail(text: fmt::Arguments<'_>) {
    eprintln!("{} {text}", console::style("regc:").red().bold().for_stderr());
}

/// Prints a warning to the standard error stream, in yellow at a terminal.
pub fn warn(text: fmt::Arguments<'_>) {
    eprintln!("regc: {} {text}", console::style("warning:").yellow().bold().for_stderr());
}

/// Prints what an operator should know to the standard error stream.
pub fn note(text: fmt::Arguments<'_>) {
    eprintln!("regc: {} {text}", console::style("note:").bold().for_stderr());
}

/// Returns what caused an error, the direct cause first.
pub fn causes(error: &dyn std::error::Error) -> impl Iterator<Item = &dyn std::error::Error> {
    std::iter::successors(error.source(), |error| error.source())
}

/// Says which store a command is about to change, or in a dry run would change: another one may be meant.
pub fn announce(place: &str) {
    let mut output = Output::new();
    output.line(format_args!("Storage  {}", printable(place)));
    output.flush();
}

/// Escapes what a terminal would interpret in a text that a client chose, and what would make it show something else than what is
/// there: control characters, those that change the direction of a text, and those that are not visible.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().flat_map(|c| if is_hidden(c) { c.escape_default().collect() } else { vec![c] }).collect())
}

fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_deceives_is_escaped() {
        assert_eq!(printable("team/äpp"), "team/äpp");
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{9b}"), "a\\u{1b}[2Jb\\nc\\u{9b}");
        assert_eq!(printable("a\u{202e}gpj.exe\u{200b}\u{2028}"), "a\\u{202e}gpj.exe\\u{200b}\\u{2028}");
    }
}
