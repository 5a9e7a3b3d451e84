//! The binary in a terminal.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use regc_core::registry::layout;
use regc_testkit::sha256;

use crate::common::Run;

/// Runs `regc` in a terminal, and types this answer. Its standard output is what the screen shows.
pub fn answered(arguments: &[&str], answer: &str) -> Run {
    answered_with(arguments, answer, "")
}

/// The same, with redirections as a shell takes them.
pub fn answered_with(arguments: &[&str], answer: &str, redirections: &str) -> Run {
    in_script(&format!("{} {redirections}", quoted(arguments)), answer)
}

/// Returns what a terminal of this many columns shows, with variables of the environment as a shell takes them.
fn in_terminal(columns: usize, arguments: &[&str], variables: &str) -> String {
    in_script(&format!("stty columns {columns} rows 24; {variables} {}", quoted(arguments)), "").stdout
}

fn quoted(arguments: &[&str]) -> String {
    let arguments: String = arguments.iter().map(|argument| format!(" '{argument}'")).collect();
    format!("'{}'{arguments}", env!("CARGO_BIN_EXE_regc"))
}

/// Runs a shell command in a terminal, and types this answer.
pub fn in_script(command: &str, answer: &str) -> Run {
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of the package bsdutils, is installed");
    terminal.stdin.take().expect("it is piped").write_all(format!("{answer}\n").as_bytes()).expect("it reads");
    let output = terminal.wait_with_output().expect("it ends");
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    Run { code: output.status.code().expect("no signal ends it"), stdout: screen, stderr: String::new() }
}

/// What a line of progress begins with, each time it is drawn.
const DRAWN: &str = "\r\u{1b}[2K";

#[test]
fn nothing_is_drawn_in_a_run_that_is_soon_over() {
    let root = crate::registry().on_disk();
    let run = answered(&["gc", "--dry-run", "--root", root.path().to_str().unwrap()], "");
    assert!(run.code == 0 && !run.stdout.contains('\u{1b}'), "{:?}", run.stdout);
}

#[test]
fn progress_is_of_one_phase_and_gone_when_it_is_done() {
    let mut registry = crate::registry();
    registry.image("large:v1").layers(["large"]).push();
    registry.put(layout::blob_data(&sha256(b"any")), vec![0; 30_000]);
    let root = registry.on_disk();
    let run = answered(&["verify", "--content", "--bandwidth", "15KiB/s", "--root", root.path().to_str().unwrap()], "");
    let frames: Vec<&str> = run.stdout.split(DRAWN).collect();
    let (last, frames) = frames.split_last().unwrap();
    let hashing = frames.iter().filter(|frame| frame.contains("hashing blobs  ") && frame.contains(" left"));
    assert!(hashing.count() > 2, "{:?}", run.stdout);
    assert!(last.contains("Hashed") && !last.contains("hashing"), "{last:?}");
    assert!(!run.stdout.contains("\u{1b}[?25l"), "the cursor is hidden");
}

/// Types Ctrl-C once the screen shows this, and returns what it shows until the command ends, and its exit code.
fn interrupted(arguments: &[&str], once: &str) -> Run {
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &quoted(arguments), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of the package bsdutils, is installed");
    let mut keyboard = terminal.stdin.take().expect("it is piped");
    let mut display = terminal.stdout.take().expect("it is piped");
    let (mut screen, mut is_typed, mut bytes) = (Vec::new(), false, [0; 4096]);
    loop {
        let read = display.read(&mut bytes).expect("it can be read");
        if read == 0 {
            break;
        }
        screen.extend_from_slice(&bytes[..read]);
        if !is_typed && String::from_utf8_lossy(&screen).contains(once) {
            keyboard.write_all(b"\x03").expect("it reads");
            is_typed = true;
        }
    }
    let screen = String::from_utf8_lossy(&screen).into_owned();
    assert!(is_typed, "{once:?} is not shown: {screen:?}");
    Run {
        code: terminal.wait().expect("it ends").code().expect("no signal ends it"),
        stdout: screen,
        stderr: String::new(),
    }
}

#[test]
fn progress_is_gone_after_an_interruption() {
    let mut registry = crate::registry();
    registry.image("large:v1").layers(["large"]).push();
    registry.put(layout::blob_data(&sha256(b"any")), vec![0; 300_000]);
    let root = registry.on_disk();
    let root = root.path().to_str().unwrap();
    for command in ["verify", "repair"] {
        let run = interrupted(&[command, "--content", "--bandwidth", "15KiB/s", "--root", root], "hashing blobs  ");
        assert_eq!(run.code, 130, "{:?}", run.stdout);
        let last = run.stdout.rsplit(DRAWN).next().unwrap();
        assert!(last.contains("nterrupted") && !last.contains("hashing"), "{:?}", run.stdout);
        assert!(!last.contains("^C"), "what the terminal echoes is cleared with the line: {:?}", run.stdout);
        let shown = run.stdout.rfind("\u{1b}[?25h");
        assert!(run.stdout.rfind("\u{1b}[?25l") <= shown, "the cursor is hidden: {:?}", run.stdout);
    }
}

#[test]
fn a_collection_says_what_would_go_with_delete_untagged() {
    let root = crate::registry().on_disk();
    let path = root.path().to_str().unwrap();
    let also = "in 1 untagged manifest would also be freed with -m.";
    assert!(!crate::common::regc(["gc", "--dry-run", "--root", path]).stdout.contains("with -m"));
    let planned = answered(&["gc", "--dry-run", "--root", path], "");
    assert!(planned.stdout.contains(also), "{}", planned.stdout);
    let bytes = |run: &Run| run.stdout.lines().find(|line| line.contains(also)).unwrap().to_owned();
    let done = answered(&["gc", "--root", path], "");
    assert_eq!(bytes(&done), bytes(&planned));
    assert!(done.stdout.contains("  Free  ") && done.stdout.contains(" before"), "{}", done.stdout);
    let with = answered(&["gc", "-m", "--root", path], "");
    let removed = with.stdout.lines().find(|line| line.contains("Removed")).unwrap();
    let freed = bytes(&planned).split(" in ").next().unwrap().to_owned();
    assert!(removed.contains(&freed) && !with.stdout.contains("with -m"), "{freed}: {}", with.stdout);
}

#[test]
fn explanations_are_as_wide_as_the_terminal_and_the_help() {
    let longest = |text: &str| {
        let plain = console::strip_ansi_codes(text).into_owned();
        plain.lines().map(|line| line.chars().count()).max().unwrap()
    };
    for code in ["RG020", "RG024", "RG030"] {
        let piped = crate::common::regc(["explain", code]).stdout;
        assert!((70..=80).contains(&longest(&piped)), "{piped}");
        for (columns, widest) in [(60, 60), (100, 100), (200, 100)] {
            let shown = in_terminal(columns, &["explain", code], "TERM=xterm NO_COLOR=");
            assert!((widest - 12..=widest).contains(&longest(&shown)), "{columns}: {shown}");
        }
    }
    let headings = ["\nWhat to do:\n  ", "\nWhat `regc repair` does:\n  "];
    let page = crate::common::regc(["explain", "RG020"]).stdout;
    assert!(headings.iter().all(|heading| page.contains(heading)), "{page}");
}

#[test]
fn a_repair_is_asked_for() {
    let mut registry = crate::registry();
    let base = sha256(&regc_testkit::layer_content("base"));
    registry.put(layout::layer_link("team/app", &base), "garbled");
    let root = registry.on_disk();
    let path = root.path().to_str().unwrap();
    let link = || std::fs::read_to_string(root.path().join(layout::layer_link("team/app", &base))).unwrap();
    for (answer, code) in [("n", 1), ("", 1), ("y", 0)] {
        let run = answered(&["repair", "--apply", "--root", path], answer);
        assert!(run.stdout.contains(&format!("Carry out 1 repair in {path}? [y/N]")), "{}", run.stdout);
        assert_eq!(run.stdout.contains("nothing was changed"), code == 1, "{}", run.stdout);
        assert!(
            run.stdout.contains(" would be written: ") && !run.stdout.contains("nothing was deleted"),
            "{}",
            run.stdout
        );
        assert_eq!((run.code, link() == "garbled"), (code, code == 1), "{answer:?}: {}", run.stdout);
    }
    let run = answered(&["repair", "--apply", "--root", path], "n");
    assert!(run.code == 0 && !run.stdout.contains("[y/N]"), "nothing is left: {}", run.stdout);
}

#[test]
fn a_word_is_typed_where_no_repository_would_be_left() {
    for (arguments, answer, goes) in [
        (&["rm", "**"][..], "y", false),
        (&["rm", "**"], "yes", false),
        (&["rm", "**"], "everything", true),
        (&["rm", "--yes", "**"], "", true),
        (&["rm", "team/**"], "y", true),
    ] {
        let root = crate::registry().on_disk();
        let path = root.path().to_str().unwrap();
        let run = answered(&[arguments, &["--root", path]].concat(), answer);
        assert_eq!(run.code == 0, goes, "{arguments:?} {answer:?}: {}", run.stdout);
        assert_eq!(!root.path().join(layout::repository("team/app")).exists(), goes, "{arguments:?} {answer:?}");
        let asks = run.stdout.contains("All 2 repositories are deleted. Type `everything` to continue:");
        assert_eq!(asks, arguments == ["rm", "**"], "{}", run.stdout);
    }
}

#[test]
fn commands_that_change_a_store_say_first_which_one() {
    let (root, directory) = (crate::registry().on_disk(), tempfile::tempdir().unwrap());
    let storage = format!("{{filesystem: {{rootdirectory: {}}}}}", root.path().display());
    let config = crate::config(&directory, &storage, "");
    let config = config.to_str().unwrap();
    let place = format!("{}, from {config}", root.path().display());
    for command in [
        &["gc", "--trash"][..],
        &["rm", "--yes", "other:v1"],
        &["prune", "--yes", "--keep", "1"],
        &["repair", "--apply"],
        &["undelete", "--all-since", "1h"],
        &["trash", "restore"],
        &["trash", "empty", "--yes"],
    ] {
        let run = crate::common::regc([command, &["--config", config]].concat());
        let first = run.stdout.lines().next().unwrap_or_default();
        assert!(first.contains("Storage  ") && first.ends_with(&place), "{command:?}: {} {}", run.stdout, run.stderr);
        let run = crate::common::regc([command, &["--config", config, "--json"]].concat());
        assert!(!run.stdout.contains("Storage"), "{command:?}: {}", run.stdout);
    }
}

#[test]
fn tables_fit_the_terminal_and_are_whole_elsewhere() {
    let root = crate::registry().on_disk();
    let path = root.path().to_str().unwrap();
    let whole = crate::common::regc(["ls", "--root", path]).stdout;
    assert!(whole.contains("  sha256:") && !whole.contains('\u{1b}'), "{whole}");
    for columns in [50, 70, 120] {
        for command in [&["ls"][..], &["ls", "--sort", "size"], &["ls", "--full"]] {
            let screen = in_terminal(columns, &[command, &["--root", path]].concat(), "");
            let plain = in_terminal(columns, &[command, &["--root", path]].concat(), "NO_COLOR=1");
            assert!(screen.contains("\u{1b}[1m") && !plain.contains('\u{1b}'), "{screen:?}");
            assert_eq!(plain.contains("  sha256:"), command.contains(&"--full"), "{plain}");
            let longest = plain.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
            assert!(longest <= columns || command.contains(&"--full"), "{columns}: {plain}");
        }
    }
}

#[test]
fn long_lists_end_with_how_many_more_there_are() {
    let mut registry = regc_testkit::TestRegistry::new();
    for number in 0..40 {
        registry.image(&format!("app:v{number}")).layers(["base"]).push();
    }
    let root = registry.on_disk();
    let path = root.path().to_str().unwrap();
    let cut = answered(&["rm", "--dry-run", "--root", path, "app"], "").stdout;
    assert!(cut.contains("and 3 more (--all)"), "{cut}");
    let whole = crate::common::regc(["rm", "--dry-run", "--root", path, "app"]).stdout;
    let all = answered(&["rm", "--dry-run", "--all", "--root", path, "app"], "").stdout;
    assert_eq!(all.replace('\r', "").trim(), whole.trim());
    assert!(!whole.contains("more (--all)") && whole.lines().count() > cut.lines().count());
}

#[test]
fn a_signal_ends_a_question() {
    let root = crate::registry().on_disk();
    let path = root.path().to_str().unwrap();
    let command = quoted(&["rm", "--root", path, "other:v1"]);
    // The question stands for a while before the signal comes; nobody types an answer.
    let script = format!("{command} & sleep 2; kill -INT $!; wait $!; echo \"ended with $?\"");
    let began = std::time::Instant::now();
    let mut terminal = Command::new("script")
        .args([
            "--quiet",
            "--return",
            "--command",
            &format!("bash -ic '{}'", script.replace('\'', "'\\''")),
            "/dev/null",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of the package bsdutils, is installed");
    let stdin = terminal.stdin.take();
    let output = terminal.wait_with_output().expect("it ends");
    drop(stdin);
    let screen = String::from_utf8_lossy(&output.stdout);
    assert!(began.elapsed().as_secs() < 20, "{screen}");
    assert!(root.path().join(layout::tag_link("other", "v1")).exists(), "{screen}");
}

#[test]
fn errors_and_warnings_have_colours_only_at_a_terminal() {
    let root = crate::registry().on_disk();
    let path = root.path().to_str().unwrap();
    for (arguments, colour) in [
        (&["ls", "--root", "/nowhere"][..], "\u{1b}[31m"),
        (&["gc", "--dry-run", "--root", path, "--repository", "nosuch"], "\u{1b}[33m"),
        (&["gc", "--formt", "json"], "\u{1b}[31m"),
        (&["prune", "--check-policy", "/dev/null"], "\u{1b}[31m"),
    ] {
        assert!(in_terminal(80, arguments, "").contains(colour), "{arguments:?}");
        assert!(!in_terminal(80, arguments, "NO_COLOR=1").contains('\u{1b}'), "{arguments:?}");
        assert!(!crate::common::regc(arguments).stderr.contains('\u{1b}'), "{arguments:?}");
    }
}

#[test]
fn errors_look_the_same_whatever_is_wrong() {
    for (arguments, code) in [
        (&["ls", "--root", "/nowhere"][..], 1),
        (&["ls", "--nosuch"], 2),
        (&["rm"], 2),
        (&["nosuch"], 2),
        (&["gc", "--format", "x"], 2),
        (&["explain", "RG999"], 2),
    ] {
        let run = crate::common::regc(arguments);
        assert_eq!((run.code, &*run.stdout), (code, ""), "{arguments:?}: {}", run.stderr);
        let (first, below) = run.stderr.split_once('\n').unwrap();
        let reason = first.strip_prefix("regc: ").unwrap_or_else(|| panic!("{arguments:?}: {first}"));
        assert!(reason.starts_with(char::is_lowercase) && !reason.ends_with('.'), "{reason}");
        assert!(
            below.lines().all(|line| line.starts_with("  ") && (line.ends_with("...") || !line.ends_with('.'))),
            "{arguments:?}: {below}"
        );
        if !matches!(arguments, ["ls", ..]) {
            continue;
        }
        let begin = |screen: String| screen.split_once("regc:").map(|(before, _)| before.trim().to_owned());
        assert_eq!(begin(in_terminal(80, arguments, "")).as_deref(), Some("\u{1b}[31m\u{1b}[1m"), "{arguments:?}");
        assert_eq!(begin(in_terminal(80, arguments, "NO_COLOR=1")).as_deref(), Some(""), "{arguments:?}");
    }
    assert!(crate::common::regc(["ls", "--help"]).stdout.contains("Usage: regc ls"), "help is no error");
}

#[test]
fn prune_lists_what_goes_only_if_that_is_asked_for() {
    let root = crate::registry().on_disk();
    let path = root.path().to_str().unwrap();
    let prune = |more: &[&str]| {
        crate::common::regc([&["prune", "--keep", "0", "--dry-run", "--root", path], more].concat()).stdout
    };
    assert!(!prune(&[]).contains("  tag       v1  sha256:") && prune(&["--all"]).contains("  tag       v1  sha256:"));
}
