//! The same options, with the same meaning, on all commands.

use std::collections::BTreeMap;
use std::fs;

use regc_core::registry::layout;
use regc_testkit::fixture;

use crate::common::regc;
use crate::terminal::{answered, answered_with};

/// The commands that use a store.
const COMMANDS: [&[&str]; 14] = [
    &["gc"],
    &["ls"],
    &["du"],
    &["browse"],
    &["verify"],
    &["repair"],
    &["report"],
    &["rm"],
    &["prune"],
    &["undelete"],
    &["trash", "list"],
    &["trash", "restore"],
    &["trash", "empty"],
    &["cache", "evict"],
];

/// Returns the options of a command that have a long name, each with its short one.
fn options(command: &[&str]) -> BTreeMap<String, Option<char>> {
    let help = regc(command.iter().copied().chain(["--help"])).stdout;
    let option = |line: &str| {
        let line = line.trim_start();
        let (short, long) = match line.split_once(", --") {
            Some((short, long)) => (short.strip_prefix('-')?.parse().ok(), long),
            None => (None, line.strip_prefix("--")?),
        };
        let end = long.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(long.len());
        Some((long[..end].to_owned(), short))
    };
    let lines = help.lines().skip_while(|line| *line != "Options:");
    // Explanations are indented further.
    lines.filter(|line| line.len() - line.trim_start().len() <= 6).filter_map(option).collect()
}

#[test]
fn every_command_takes_the_store_and_the_format_by_the_same_options() {
    for command in COMMANDS {
        let options = options(command);
        let of_output = ["format", "json"].into_iter().filter(|_| command != ["browse"]);
        for option in ["config", "root", "allow-empty", "jobs", "help"].into_iter().chain(of_output) {
            assert!(options.contains_key(option), "{command:?} lacks --{option}: {options:?}");
        }
    }
    for command in [&["rm"][..], &["prune"], &["gc"], &["undelete"], &["trash", "restore"], &["trash", "empty"]] {
        assert!(options(command).contains_key("dry-run"), "{command:?}");
    }
    for command in ["gc", "du", "browse", "verify", "repair", "report", "prune"] {
        assert!(regc([command, "--help"]).stdout.contains(" [CONFIG]\n"), "{command}");
    }
}

#[test]
fn a_letter_stands_for_the_same_option_on_all_commands() {
    let mut letters = BTreeMap::new();
    let mut shorts = BTreeMap::new();
    for (option, short) in COMMANDS.into_iter().flat_map(options) {
        assert_eq!(*shorts.entry(option.clone()).or_insert(short), short, "--{option} has one letter, or none");
        if let Some(letter) = short {
            assert_eq!(*letters.entry(letter).or_insert(option.clone()), option, "-{letter}");
        }
    }
    assert_eq!(letters.get(&'d').map(String::as_str), Some("dry-run"));
}

#[test]
fn the_table_of_options_is_in_the_documentation() {
    let all: Vec<_> = COMMANDS.into_iter().map(|command| (command.join(" "), options(command))).collect();
    let mut table =
        format!("| |{}\n|---|{}\n", all.iter().map(|(name, _)| format!(" {name} |")).collect::<String>(), {
            "---|".repeat(all.len())
        });
    let mut shared: BTreeMap<&String, Option<char>> = BTreeMap::new();
    for (option, short) in all.iter().flat_map(|(_, options)| options) {
        if all.iter().filter(|(_, options)| options.contains_key(option)).count() > 1 {
            shared.insert(option, *short);
        }
    }
    for (option, short) in shared {
        let short = short.map_or(String::new(), |letter| format!("`-{letter}`, "));
        let cells = all.iter().map(|(_, options)| if options.contains_key(option) { " ✓ |" } else { " |" });
        table += &format!("| {short}`--{option}` |{}\n", cells.collect::<String>());
    }
    let page = fs::read_to_string(crate::project().join("docs/cli.md")).unwrap();
    assert!(page.contains(&table), "docs/cli.md must hold:\n{table}");
}

#[test]
fn json_is_short_for_the_format() {
    let root = fixture::tree();
    let root = root.to_str().unwrap();
    for command in [
        &["gc", "-d"][..],
        &["ls"],
        &["ls", "--tags-only"],
        &["du"],
        &["verify"],
        &["trash", "list"],
        &["rm", "-d", "other:v1"],
    ] {
        let run = |format: &[&str]| regc([command, &["--root", root, "--jobs", "3"], format].concat());
        let (short, long) = (run(&["--json"]), run(&["--format", "json"]));
        let lines = |run: &crate::common::Run| run.stdout.lines().count();
        assert_eq!((short.code, lines(&short)), (long.code, lines(&long)), "{command:?}: {}", short.stderr);
        assert!(short.stdout.lines().all(|line| line.starts_with('{')), "{command:?}: {}", short.stdout);
        assert_eq!(run(&["--json", "--format", "human"]).code, 2, "{command:?}");
    }
}

#[test]
fn emptying_the_trash_at_a_terminal_is_asked_for() {
    let root = crate::registry().on_disk();
    let path = root.path().to_str().unwrap();
    assert_eq!(regc(["gc", "--trash", "--no-cache", "--root", path]).code, 0);
    for (answer, code) in [("n", 1), ("", 1), ("y", 0)] {
        let run = answered(&["trash", "empty", "--root", path], answer);
        assert!(run.stdout.contains(&format!("from the trash of {path} for good? [y/N]")), "{}", run.stdout);
        assert_eq!(run.code, code, "{answer:?}: {}", run.stdout);
        assert_eq!(root.path().join(".regc").exists(), code == 1, "{answer:?}");
    }
    let run = answered(&["trash", "empty", "--root", path], "n");
    assert!(run.code == 0 && !run.stdout.contains("[y/N]"), "nothing is left: {}", run.stdout);
    assert_eq!(regc(["gc", "-m", "--trash", "--no-cache", "--root", path]).code, 0);
    let run = answered(&["trash", "empty", "--yes", "--root", path], "n");
    assert!(run.code == 0 && !run.stdout.contains("[y/N]"), "{}", run.stdout);
}

#[test]
fn the_trash_is_not_emptied_where_the_question_cannot_be_seen() {
    let root = crate::registry().on_disk();
    let path = root.path().to_str().unwrap();
    assert_eq!(regc(["gc", "--trash", "--no-cache", "--root", path]).code, 0);
    let run = answered_with(&["trash", "empty", "--root", path], "n", "2>/dev/null");
    assert!(run.code == 1 && root.path().join(".regc").exists(), "{}", run.stdout);
    assert_eq!(regc(["trash", "empty", "--root", path]).code, 0, "nobody is there to be asked");
    assert!(!root.path().join(".regc").exists());
}

#[test]
fn a_path_that_is_not_in_the_store_names_nothing_in_it() {
    let mut registry = crate::registry();
    let image = registry.image("app:v1").layers(["a"]).push();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    registry.write_to(&root);
    let renamed = layout::repository("app~");
    fs::rename(root.join(layout::repository("app")), root.join(&renamed)).unwrap();
    let rm = |path: &str| regc(["rm", "--dry-run", "--root", root.to_str().unwrap(), "--path", path]);
    for inside in [renamed.clone(), root.join(&renamed).to_str().unwrap().to_owned()] {
        let run = rm(&inside);
        assert!(run.code != 1 && run.stdout.contains("app~"), "{inside}: {} {}", run.stdout, run.stderr);
    }
    for outside in ["storeapp~".to_owned(), format!("store{renamed}"), format!("other/{renamed}")] {
        let path = format!("{}/{outside}", directory.path().display());
        let run = rm(&path);
        assert!(run.code == 1 && run.stderr.contains("nothing matches"), "{path}: {} {}", run.stdout, run.stderr);
    }
    assert!(root.join(layout::blob_data(&image)).exists());
}

#[test]
fn a_path_in_place_of_a_name_is_an_error_that_says_what_to_type() {
    let (tree, directory) = (fixture::tree(), tempfile::tempdir().unwrap());
    let config = crate::config(&directory, "{filesystem: {rootdirectory: /nowhere}}", "");
    let no_config = directory.path().join("site.yml");
    fs::write(&no_config, "services: {}").unwrap();
    let run = regc(["ls", "--root", tree.to_str().unwrap(), no_config.to_str().unwrap()]);
    assert!(run.code != 0 && !run.stderr.contains("--config"), "{}", run.stderr);
    for command in [&["ls"][..], &["rm", "--dry-run"]] {
        for (path, option) in [(&config, "--config"), (&tree, "--root")] {
            let path = path.to_str().unwrap();
            let run = regc([command, &[path]].concat());
            assert!(run.code == 2 && run.stderr.contains(&format!("{option} {path}")), "{command:?}: {}", run.stderr);
        }
    }
    // Nor is a storage root a configuration file.
    for command in [&["gc", "--dry-run"][..], &["du"], &["verify"], &["repair"], &["prune", "--keep", "1", "--dry-run"]]
    {
        let run = regc([command, &[tree.to_str().unwrap()]].concat());
        let option = format!("--root {}", tree.display());
        assert!(run.code == 1 && run.stderr.contains(&option), "{command:?}: {}", run.stderr);
    }
    // A directory or file that happens to have the name of a repository hides none.
    let run = regc(["ls", "--root", tree.to_str().unwrap(), "other"]);
    assert!(run.code == 0 && run.stdout.contains("\nother\n"), "{}", run.stderr);
}
