//! The binary in a terminal.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::Run;

/// Runs `regc` in a terminal, and types this answer. Its standard output is what the screen shows.
pub fn answered(arguments: &[&str], answer: &str) -> Run {
    answered_with(arguments, answer, "")
}

/// The same, with redirections as a shell takes them.
pub fn answered_with(arguments: &[&str], answer: &str, redirections: &str) -> Run {
    let quoted: String = arguments.iter().map(|argument| format!(" '{argument}'")).collect();
    let command = format!("'{}'{quoted} {redirections}", env!("CARGO_BIN_EXE_regc"));
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of the package bsdutils, is installed");
    terminal.stdin.take().expect("it is piped").write_all(format!("{answer}\n").as_bytes()).expect("it reads");
    let output = terminal.wait_with_output().expect("it ends");
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    Run { code: output.status.code().expect("no signal ends it"), stdout: screen, stderr: String::new() }
}
