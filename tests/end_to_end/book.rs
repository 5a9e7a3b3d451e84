//! The README and the pages in docs: what their commands print, which options they name, and where their links lead.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regc_testkit::{fixture, layer};

use crate::common::regc;
use crate::terminal::in_script;
use crate::translations::TRANSLATIONS;

/// Returns the README, its translation and the pages in docs, each by its path below the project's directory.
pub fn pages() -> BTreeMap<String, String> {
    let mut found = vec![PathBuf::from("README.md"), PathBuf::from("README.zh-CN.md")];
    let mut directories = vec![PathBuf::from("docs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(crate::project().join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let path = directory.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let text = |path: &Path| fs::read_to_string(crate::project().join(path)).unwrap();
    found.into_iter().map(|path| (path.to_str().unwrap().to_owned(), text(&path))).collect()
}

/// A line of a page, and whether it is code: the language of its block, or none if it is indented.
pub enum Line<'a> {
    Prose(&'a str),
    Code(&'a str, &'a str),
}

pub fn lines(page: &str) -> Vec<Line<'_>> {
    let mut language = None;
    let mut lines = Vec::new();
    for line in page.lines() {
        match (line.trim_start().strip_prefix("```"), language) {
            (Some(named), None) => language = Some(named),
            (Some(_), Some(_)) => language = None,
            (None, Some(language)) => lines.push(Line::Code(language, line)),
            (None, None) => {
                lines.push(line.strip_prefix("    ").map_or(Line::Prose(line), |line| Line::Code("", line)))
            }
        }
    }
    lines
}

/// Returns the blocks of a page in this language, in order.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let (start, mut rest, mut found) = (format!("\n```{language}\n"), page, Vec::new());
    while let Some((_, block)) = rest.split_once(&start) {
        let (block, after) = block.split_once("\n```").expect("a block ends");
        found.push(block);
        rest = after;
    }
    found
}

/// A directory with the fixture's archive, in which a page's commands run.
struct Session {
    directory: tempfile::TempDir,
}

impl Session {
    fn new(page: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("fixtures")).unwrap();
        let archive = fixture::archive();
        fs::copy(&archive, directory.path().join("fixtures").join(archive.file_name().unwrap())).unwrap();
        // A file that the page shows begins with its name.
        for block in blocks(page, "yaml") {
            let name = block.lines().next().and_then(|line| line.strip_prefix("# "));
            if let Some(name) = name.filter(|name| name.ends_with(".yml") && !name.contains(' ')) {
                fs::write(directory.path().join(name), block).unwrap();
            }
        }
        Self { directory }
    }

    /// Returns what a command prints, its errors included.
    fn run(&self, command: &str) -> String {
        let binaries = Path::new(env!("CARGO_BIN_EXE_regc")).parent().unwrap();
        let mut path = OsString::from(binaries);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut shell = Command::new("sh");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REGISTRY_")) {
            shell.env_remove(name);
        }
        let output = shell
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(self.directory.path())
            .env("PATH", path)
            .env("HOME", self.directory.path())
            .env_remove("XDG_CACHE_HOME")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Returns the commands of a session, each with the lines that it prints.
fn commands(block: &str) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command, Vec::new())),
            None => commands.last_mut().expect("a session begins with a command").1.push(line),
        }
    }
    commands
}

/// Whether these lines were printed, where `...` stands for any lines, and `…` for anything in one.
fn printed(expected: &[&str], lines: &[&str]) -> bool {
    match (expected.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((&"...", rest)), _) => (0..=lines.len()).any(|skipped| printed(rest, &lines[skipped..])),
        (Some((pattern, rest)), Some((line, after))) => holds(pattern, line) && printed(rest, after),
        _ => false,
    }
}

fn holds(pattern: &str, line: &str) -> bool {
    match pattern.split_once('…') {
        None => pattern == line,
        Some((start, end)) => line.strip_prefix(start).is_some_and(|line| {
            line.char_indices().map(|(at, _)| at).chain([line.len()]).any(|at| holds(end, &line[at..]))
        }),
    }
}

#[test]
fn sessions_in_the_book_are_what_their_commands_print() {
    let mut checked = 0;
    for (path, page) in pages() {
        let session = Session::new(&page);
        for (command, expected) in blocks(&page, "console").into_iter().flat_map(commands) {
            let output = session.run(command);
            let found: Vec<&str> = output.lines().collect();
            assert!(
                printed(&expected, &found),
                "{path}: `{command}` prints:\n{output}\nand not:\n{}",
                expected.join("\n")
            );
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked} commands are compared");
}

/// `.ci/session` draws it again.
#[test]
fn the_picture_of_a_session_shows_what_its_commands_print() {
    let picture = fs::read_to_string(crate::project().join("docs/pictures/session.svg")).unwrap();
    let mut text = String::new();
    for element in picture.split("<text ").skip(1) {
        let (element, _) = element.split_once("</text>").unwrap();
        // What is outside of tags. The first part is the end of the first tag.
        let parts = element.split('<').map(|part| part.split_once('>').map_or(part, |(_, shown)| shown));
        text += &parts.collect::<String>().replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        text.push('\n');
    }
    let session = Session::new("");
    let directory = session.directory.path().display();
    session.run("mkdir store && tar -xzf fixtures/registry-2.8.2.tar.gz -C store");
    let commands = commands(&text);
    assert!(commands.len() > 2, "{text}");
    for (command, mut expected) in commands {
        let command = command.strip_prefix("regc").unwrap();
        let program = env!("CARGO_BIN_EXE_regc");
        let screen =
            in_script(&format!("cd '{directory}'; stty columns 108; NO_COLOR=1 '{program}'{command}"), "").stdout;
        // The terminal echoes the empty answer.
        let mut found: Vec<&str> = screen.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        // What is free on the disk differs.
        expected.iter_mut().chain(&mut found).filter(|line| line.starts_with("  Free ")).for_each(|line| *line = "");
        assert_eq!(expected, found, "docs/pictures/session.svg: {command}");
    }
}

/// Splits a command as a shell does, up to a pipe, a redirection, another command or a comment.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in command.chars() {
        match (quote, character) {
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == character => quote = None,
            (None, ' ') => words.extend(word.take()),
            (None, '|' | '>' | '<' | '&' | ';') => break,
            (None, '#') if word.is_none() => break,
            (_, other) => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

/// Returns the commands of regc on a page: lines of code, and code in prose.
fn named_commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in lines(page) {
        match line {
            Line::Code("" | "console" | "sh", line) => {
                for part in line.trim_start_matches("$ ").split(" | ") {
                    let part = part.split_once("sudo -u docker-registry ").map_or(part, |(_, part)| part);
                    found.extend(part.starts_with("regc ").then(|| part.to_owned()));
                }
            }
            Line::Code(..) => {}
            Line::Prose(line) => {
                let code = line.split('`').skip(1).step_by(2).map(|code| code.replace("\\|", "|"));
                found.extend(code.filter(|code| code.starts_with("regc ")));
            }
        }
    }
    found
}

#[test]
fn commands_in_the_documentation_have_the_options_they_name() {
    let mut checked = BTreeSet::new();
    let digest = &layer("any").to_string();
    for (path, page) in pages() {
        for command in named_commands(&page) {
            let arguments: Vec<String> = words(&command).into_iter().skip(1).collect();
            // Placeholders: `regc COMMAND --help`, `regc … --format json`.
            let is_name = |word: &String| word.starts_with(|c: char| c.is_ascii_lowercase() || c == '-');
            if !arguments.first().is_some_and(is_name) || arguments.iter().any(|word| word == "…") {
                continue;
            }
            if checked.insert(arguments.clone()) {
                // All arguments before it are parsed first.
                let given = arguments.iter().map(|word| word.replace("DIGEST", digest).replace("sha256:…", digest));
                let run = regc(given.chain(["--help".to_owned()]));
                let is_known = run.code == 0 || run.stderr.contains("a value is required for");
                assert!(is_known, "{path}: `{command}`: {}", run.stderr);
            }
        }
    }
    assert!(checked.len() > 100, "{} commands are checked", checked.len());
}

/// The front page is compiled and run by its own tests.
#[test]
fn code_of_the_library_is_that_of_its_front_page() {
    let front_page = fs::read_to_string(crate::project().join("crates/regc-core/src/lib.rs")).unwrap();
    let pages = pages();
    let blocks = blocks(&pages["docs/embedding.md"], "rust");
    assert!(blocks.len() > 1);
    for line in blocks.into_iter().flat_map(str::lines).filter(|line| !line.starts_with("//")) {
        assert!(front_page.contains(&format!("\n//! {line}\n")), "docs/embedding.md: {line}");
    }
}

/// Returns the anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in lines(page) {
        let Line::Prose(line) = line else { continue };
        let Some((marks, heading)) = line.split_once(' ') else { continue };
        if marks.is_empty() || marks.chars().any(|mark| mark != '#') {
            continue;
        }
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|number| format!("{anchor}-{number}"));
        let anchor = [anchor.clone()].into_iter().chain(again).find(|anchor| !found.contains(anchor));
        found.extend(anchor);
    }
    found
}

/// Returns where the links of a page lead, without those to other sites.
pub fn links(page: &str) -> Vec<String> {
    let prose = lines(page).into_iter().filter_map(|line| match line {
        Line::Prose(line) => Some(line),
        Line::Code(..) => None,
    });
    let prose = prose.collect::<Vec<_>>().join("\n");
    // What is between backticks is no link.
    let text: String = prose.split('`').step_by(2).collect::<Vec<_>>().join("code");
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target.to_owned()));
    targets.filter(|target| !target.contains("://")).collect()
}

#[test]
fn links_in_the_documentation_lead_to_files_and_headings() {
    let pages = pages();
    let mut checked = 0;
    for (path, page) in &pages {
        for link in links(page) {
            let (file, anchor) = link.split_once('#').map_or((&*link, None), |(file, anchor)| (file, Some(anchor)));
            let target =
                if file.is_empty() { PathBuf::from(path) } else { Path::new(path).parent().unwrap().join(file) };
            let absolute = crate::project().join(&target);
            assert!(absolute.exists(), "{path}: {link} leads to no file");
            if path.starts_with("docs/") {
                let docs = crate::project().join("docs").canonicalize().unwrap();
                assert!(absolute.canonicalize().unwrap().starts_with(docs), "{path}: {link} leads out of the book");
            }
            if let Some(anchor) = anchor {
                let text = fs::read_to_string(&absolute).unwrap();
                assert!(anchors(&text).contains(anchor), "{path}: {link}: there are {:?}", anchors(&text));
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked} links are checked");
}

#[test]
fn the_summary_of_the_book_lists_every_page_once() {
    let pages = pages();
    let mut listed = links(&pages["docs/SUMMARY.md"]);
    listed.sort();
    let mut expected: Vec<&str> = pages.keys().filter_map(|path| path.strip_prefix("docs/")).collect();
    expected.retain(|path| *path != "SUMMARY.md");
    assert_eq!(listed, expected);
}

/// Those in English have a test in `documentation`.
#[test]
fn translations_are_at_most_100_columns_wide() {
    let pages = pages();
    for (_, path) in TRANSLATIONS {
        for line in lines(&pages[path]) {
            if let Line::Prose(line) = line {
                assert!(line.starts_with('|') || line.chars().count() <= 100, "{path}: {line}");
            }
        }
    }
}

#[test]
fn the_readme_is_short() {
    let length = pages()["README.md"].lines().count();
    assert!(length <= 150, "README.md has {length} lines; what is longer belongs in the book");
}
