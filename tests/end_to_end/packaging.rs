//! What packages hold besides the binary: completions and manual pages; and the version.

use std::fs;
use std::process::Command;

use crate::common::regc;

/// Returns the names of all commands, as the help lists them.
fn commands() -> Vec<String> {
    let help = regc(["--help"]).stdout;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let lines = commands.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

#[test]
fn completions_know_all_commands_and_are_valid() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let run = regc(["completions", shell]);
        assert_eq!((run.code, &*run.stderr), (0, ""));
        for command in commands() {
            assert!(run.stdout.contains(&command), "{shell} does not complete {command}");
        }
        let script = directory.path().join(shell);
        fs::write(&script, &run.stdout).unwrap();
        if shell == "bash" {
            // It completes what a user has begun to type.
            let typed = format!(
                "source {}; COMP_WORDS=(regc pru); COMP_CWORD=1; _regc regc pru regc; echo \"${{COMPREPLY[*]}}\"",
                script.display()
            );
            let output = Command::new("bash").args(["-c", &typed]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "prune");
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    assert_eq!(regc(["man", "--output", pages.to_str().unwrap()]).code, 0);
    for command in commands() {
        let page = fs::read_to_string(pages.join(format!("regc-{command}.1"))).unwrap();
        assert!(page.contains(&format!(".TH regc-{command} ")), "{command}");
        assert!(page.contains(".SH DESCRIPTION"), "{command}");
    }
    assert_eq!(fs::read_to_string(pages.join("regc.1")).unwrap().trim_end(), regc(["man"]).stdout.trim_end());
}

#[test]
fn version_names_the_commit() {
    let version = regc(["--version"]).stdout;
    let log = Command::new("git")
        .args(["log", "-1", "--format=%h %cs"])
        .current_dir(crate::project())
        .output()
        .expect("git can be run");
    let number = env!("CARGO_PKG_VERSION");
    match String::from_utf8(log.stdout).unwrap().trim() {
        // The sources of a package have no history.
        "" => assert_eq!(version, format!("regc {number}\n")),
        commit => assert_eq!(version, format!("regc {number} ({commit})\n")),
    }
}
