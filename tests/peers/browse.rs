//! The window in a real terminal, which tmux is.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use redis::Commands;
use regc_core::registry::layout;
use regc_testkit::redis::RedisServer;
use regc_testkit::tmux::{Tmux, with_settings};
use regc_testkit::{TestRegistry, files_below, layer};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::regc;

/// A window over a store, and what its terminal was like before and after.
struct Window {
    terminal: Tmux,
    notes: TempDir,
}

impl Window {
    /// Opens a window, with variables of the environment and more arguments as a shell takes them.
    fn open(root: &Path, variables: &str, arguments: &str) -> Self {
        let notes = tempfile::tempdir().unwrap();
        let (binary, notes_at) = (env!("CARGO_BIN_EXE_regc"), notes.path().display());
        let command = format!("{variables} exec {binary} browse --no-cache --root {} {arguments}", root.display());
        let command = format!("sh -c 'echo $$ > {notes_at}/pid; {command}'");
        let terminal = Tmux::start(80, 24, &with_settings(notes.path(), &command));
        Self { terminal, notes }
    }

    /// Opens a window by a configuration, with more in the section on storage, and more sections.
    fn configured(root: &Path, storage: &str, more: &str) -> Self {
        let notes = tempfile::tempdir().unwrap();
        let config = notes.path().join("config.yml");
        let storage = format!("{{{storage} filesystem: {{rootdirectory: {}}}}}", root.display());
        fs::write(&config, format!("version: 0.1\nstorage: {storage}\n{more}")).unwrap();
        let command = format!("{} browse --no-cache {}", env!("CARGO_BIN_EXE_regc"), config.display());
        Self { terminal: Tmux::start(80, 24, &with_settings(notes.path(), &command)), notes }
    }

    fn press(&self, keys: &[&str]) {
        self.terminal.press(keys);
    }

    /// Waits until the store is read, and the window shows these texts.
    fn opened(&self, texts: &[&str]) {
        // Of the whole store, or of the entry at the cursor as soon as that is known.
        let is_read = |screen: &str| screen.contains(" in use, ") || screen.contains("deleting this frees");
        self.terminal.wait_until(&format!("{texts:?}"), |screen| {
            is_read(screen) && texts.iter().all(|text| screen.contains(text))
        });
    }

    /// Waits until the window has closed, and returns what is on the screen then.
    fn closed(&self, code: i32) -> String {
        let screen = self.terminal.wait_for(&["it has ended"]);
        let read = |name: &str| fs::read_to_string(self.notes.path().join(name)).unwrap();
        assert_eq!(read("code").trim(), code.to_string(), "{screen}");
        assert_eq!(read("before"), read("after"), "the settings are what they were");
        assert!(!self.terminal.is_on_other_screen() && self.terminal.has_cursor(), "{screen}");
        screen
    }
}

fn registry() -> TestRegistry {
    let mut registry = TestRegistry::new();
    registry.image("team/app:v1").layers(["base", "one"]).push();
    registry.image("team/app:v2").layers(["base", "two"]).push();
    registry.image("team/tools:all").layers(["base", "three"]).push();
    registry.image("other:v1").layers(["elsewhere"]).push();
    registry
}

/// What `regc rm` says that deleting these would free.
fn freed(root: &Path, names: &[&str]) -> u64 {
    let run = regc([&["rm", "--dry-run", "--json", "--root", root.to_str().unwrap()], names].concat());
    let summary: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    summary["garbage"]["bytes"].as_u64().unwrap()
}

/// The bytes that the line of marks names.
fn marked(screen: &str) -> u64 {
    let line = screen.lines().find(|line| line.contains(" frees ") && line.contains(" marked: ")).unwrap();
    let bytes = match line.split_once('(') {
        Some((_, bytes)) => bytes.split_once(" bytes)").unwrap().0,
        None => line.split_once(" frees ").unwrap().1.split_once(" B in ").unwrap().0,
    };
    bytes.parse().unwrap()
}

#[test]
fn what_is_marked_is_summed_up_removed_and_restored() {
    let root = registry().on_disk();
    let before = files_below(root.path());
    let window = Window::open(root.path(), "", "");
    window.opened(&["team/", "other"]);
    assert!(window.terminal.is_on_other_screen());
    window.press(&["n", "Home", "Down", "Enter"]);
    window.terminal.wait_for(&["app", "tools"]);
    window.press(&["Enter"]);
    window.terminal.wait_for(&["team/app ", "v1", "v2"]);
    // One tag after the other: the base stays as long as another image needs it.
    for (keys, names) in [
        (&["Space"][..], &["team/app:v1"][..]),
        (&["Space"], &["team/app:v1", "team/app:v2"]),
        (&["Left", "Down", "Space"], &["team/app:v1", "team/app:v2", "team/tools"]),
    ] {
        window.press(keys);
        let number = format!(" {} marked: deleting all frees", names.len());
        let screen = window.terminal.wait_for(&[&number]);
        assert_eq!(marked(&screen), freed(root.path(), names), "{screen}");
    }
    window.press(&["d"]);
    window.terminal.wait_for(&["This removes", "[y/N]"]);
    window.press(&["n"]);
    window.terminal.wait_for(&["nothing was deleted"]);
    assert_eq!(files_below(root.path()), before);
    window.press(&["d"]);
    window.terminal.wait_for(&["[y/N]"]);
    window.press(&["y"]);
    window.terminal.wait_for(&["Moved to the trash", "To undo this"]);
    assert!(!root.path().join(layout::tag_link("team/app", "v1")).exists());
    window.press(&["Enter"]);
    // The store is read again.
    window.terminal.wait_until("a repository without a tag alone", |screen| {
        screen.contains("app  no tags") && !screen.contains("tools") && screen.contains("nothing is marked")
    });
    window.press(&["q"]);
    let screen = window.closed(0);
    let undo = screen.split_once("To undo this: regc ").expect("the command is printed").1;
    let undo = undo.lines().next().unwrap().split_whitespace();
    let run = regc(undo);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(files_below(root.path()), before);
}

#[test]
fn a_filter_finds_names_at_any_depth() {
    let root = registry().on_disk();
    let window = Window::open(root.path(), "", "--read-only");
    window.opened(&["team/", "read-only"]);
    window.press(&["/", "t", "o", "o"]);
    let screen = window
        .terminal
        .wait_until("the repository alone", |screen| screen.contains("team/tools") && !screen.contains("other"));
    assert!(screen.contains("filter: too_"), "{screen}");
    window.press(&["Enter", "Enter"]);
    window.terminal.wait_for(&["team/tools ", "all"]);
    window.press(&["Enter"]);
    window.terminal.wait_for(&["team/tools:all", "layer  sha256:", "config  sha256:"]);
    window.press(&["d"]);
    window.terminal.wait_for(&["--read-only: nothing can be marked or deleted"]);
    window.press(&["q"]);
    window.closed(0);
}

#[test]
fn the_terminal_is_as_it_was_whatever_closes_the_window() {
    let root = registry().on_disk();
    for (key, code) in [(Ok("q"), 0), (Ok("C-c"), 0), (Err("-TERM"), 143), (Err("-HUP"), 129)] {
        let window = Window::open(root.path(), "", "");
        window.opened(&["team/"]);
        assert!(window.terminal.is_on_other_screen() && !window.terminal.has_cursor());
        match key {
            Ok(key) => window.press(&[key]),
            Err(signal) => {
                let pid = fs::read_to_string(window.notes.path().join("pid")).unwrap();
                assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
            }
        }
        window.closed(code);
    }
}

#[test]
fn the_window_ends_with_its_terminal() {
    let root = registry().on_disk();
    let window = Window::open(root.path(), "", "");
    window.opened(&["team/"]);
    let pid = fs::read_to_string(window.notes.path().join("pid")).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    assert!(process.exists());
    // Also where it waits for an answer, and holds the lock.
    window.press(&["Space", "d"]);
    window.terminal.wait_for(&["[y/N]"]);
    drop(window.terminal);
    let gone = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(100));
        !process.exists()
    });
    assert!(gone, "the process goes on without a terminal");
    assert_eq!(regc(["gc", "--root", root.path().to_str().unwrap()]).code, 0, "the lock is free");
}

#[test]
fn the_window_follows_the_size_of_the_terminal() {
    let mut registry = registry();
    for number in 0..60 {
        registry.image(&format!("many{number:02}:v1")).layers(["base"]).push();
    }
    let root = registry.on_disk();
    let window = Window::open(root.path(), "", "");
    window.opened(&["SHARED"]);
    window.press(&["n", "End"]);
    window.terminal.wait_for(&["team/", "many58"]);
    for (columns, rows, is_wide) in [(40, 12, false), (100, 30, true), (80, 24, true)] {
        window.terminal.resize(columns, rows);
        let screen = window.terminal.wait_until("all lines of the new size", |screen| {
            screen.contains("SHARED") == is_wide && screen.trim_end().lines().count() == usize::from(rows)
        });
        assert!(screen.contains("team/") && screen.contains("? help"), "{screen}");
        assert!(screen.lines().all(|line| line.chars().count() <= usize::from(columns)), "{screen}");
    }
    window.press(&["q"]);
    window.closed(0);
}

#[test]
fn a_window_without_colours_says_the_same() {
    let root = registry().on_disk();
    for (variables, has_colours) in [("", true), ("NO_COLOR=1", false)] {
        let window = Window::open(root.path(), variables, "");
        window.opened(&["team/"]);
        window.press(&["Space"]);
        let screen = window.terminal.wait_for(&["marked: deleting all frees", "*"]);
        let coloured = window.terminal.coloured_screen();
        assert_eq!(coloured.contains("\u{1b}[38;5;3m"), has_colours, "{coloured:?}");
        assert!(coloured.contains("\u{1b}[7m") || coloured.contains(";7m"), "the cursor is seen: {screen}");
        window.press(&["q"]);
        window.closed(0);
    }
}

#[test]
fn nothing_is_deleted_while_a_registry_runs() {
    let root = registry().on_disk();
    let before = files_below(root.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            // The request is of no interest, but must have come.
            assert!(client.read(&mut [0; 1024]).is_ok_and(|length| length > 0));
            let answer =
                "HTTP/1.1 200 OK\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Length: 2\r\n\r\n{}";
            client.write_all(answer.as_bytes()).ok();
        }
    });
    let window = Window::configured(root.path(), "", &format!("http: {{addr: '{address}'}}\n"));
    window.opened(&["team/"]);
    window.press(&["d"]);
    window.terminal.wait_for(&["Error", "a registry answers", "Nothing was deleted"]);
    window.press(&["Enter", "q"]);
    window.closed(0);
    assert_eq!(files_below(root.path()), before);
}

#[test]
fn what_is_deleted_is_evicted_from_redis() {
    let server = RedisServer::start(&[]);
    let mut connection =
        redis::Client::open(format!("redis://{}", server.address())).unwrap().get_connection().unwrap();
    let keys = |connection: &mut redis::Connection| -> Vec<String> {
        let mut keys: Vec<String> = connection.keys("blobs::*").unwrap();
        keys.sort_unstable();
        keys
    };
    let cached = ["elsewhere", "base"].map(|name| format!("blobs::{}", layer(name)));
    for is_reachable in [true, false] {
        for key in &cached {
            let () = connection.hset(key, "size", 1).unwrap();
        }
        let root = registry().on_disk();
        let address = if is_reachable { server.address() } else { "127.0.0.1:1".to_owned() };
        let redis = format!("redis: {{addr: '{address}'}}\n");
        let window = Window::configured(root.path(), "cache: {blobdescriptor: redis},", &redis);
        window.opened(&["other"]);
        window.press(&["n", "Home", "d"]);
        window.terminal.wait_for(&["[y/N]"]);
        window.press(&["y"]);
        window.terminal.wait_for(&["Moved to the trash", "To undo this"]);
        let left = keys(&mut connection);
        assert_eq!(left.contains(&cached[0]), !is_reachable, "{left:?}");
        assert!(left.contains(&cached[1]), "what stays is cached still: {left:?}");
        // The next run makes up for it.
        assert_eq!(root.path().join(".regc/stale-cache").exists(), !is_reachable);
        window.press(&["Enter", "q"]);
        let screen = window.closed(0);
        assert_eq!(screen.contains("regc cache evict"), !is_reachable, "{screen}");
    }
}

#[test]
fn a_window_needs_a_terminal() {
    let root = registry().on_disk();
    for format in [&[][..], &["--json"], &["--format", "json"]] {
        let run = regc([&["browse", "--root", root.path().to_str().unwrap()], format].concat());
        assert_eq!((run.code, &*run.stdout), (1, ""));
        assert!(run.stderr.contains("needs a terminal") && run.stderr.contains("`regc du`"), "{}", run.stderr);
        assert!(run.stderr.contains("`regc ls`"), "{}", run.stderr);
    }
}

#[test]
fn what_ends_the_window_by_itself_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    registry().write_to(&root);
    let tags = root.join(layout::repository("other")).join("_manifests/tags");
    fs::remove_dir_all(&tags).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", &tags).unwrap();
    let window = Window::open(&root, "", "");
    let screen = window.closed(1);
    assert!(screen.contains("regc: ") && screen.contains("_manifests/tags"), "{screen}");
}
