//! The documentation matches the program.

use std::fs;
use std::time::{Duration, SystemTime};

use regc_testkit::{TestRegistry, files_below};

use crate::book::pages;
use crate::common::regc;

fn read(path: &str) -> String {
    fs::read_to_string(crate::project().join(path)).unwrap()
}

#[test]
fn the_help_is_in_the_documentation() {
    for command in ["gc", "prune", "rm"] {
        let help = regc([command, "--help"]).stdout;
        let page = format!("docs/{command}.md");
        assert!(read(&page).contains(&help), "{page} must hold:\n{help}");
    }
}

#[test]
fn the_page_of_findings_is_what_the_program_prints() {
    let printed = regc(["explain", "--markdown"]).stdout;
    assert!(read("docs/findings.md") == printed, "docs/findings.md must hold what `regc explain --markdown` prints");
    assert_eq!(regc(["explain", "RG999"]).code, 2);
    for line in regc(["explain"]).stdout.lines() {
        let code = line.split(' ').next().unwrap();
        assert!(regc(["explain", code]).stdout.starts_with(code) && printed.contains(&format!("\n## {code}: ")));
    }
}

#[test]
fn findings_are_explained_by_code_and_by_name() {
    let page = |name: &str| {
        let run = regc(["explain", name]);
        assert_eq!(run.code, 0, "{name}: {}", run.stderr);
        run.stdout
    };
    assert!(page("RG012").starts_with("RG012 garbled_tag, error: a tag's link is missing, empty or garbled\n\n"));
    assert_eq!(page("missing_blob"), page("rg024"));
    assert_eq!(regc(["explain", "RG012", "missing_blob"]).stdout, format!("{}\n{}", page("RG012"), page("RG024")));
    for (name, nearest) in [
        ("RG33", "RG032 damaged_blob, RG031 unknown_manifest, RG030 damaged_manifest"),
        ("mising-blob", "RG024 missing_blob, "),
        ("upload", "RG041 stale_upload"),
    ] {
        let run = regc(["explain", "RG012", name]);
        assert_eq!((run.code, &*run.stdout), (2, ""), "{name}");
        assert!(run.stderr.contains(&format!("the nearest are {nearest}")), "{name}: {}", run.stderr);
    }
    assert!(regc(["explain", "xyzzy"]).stderr.contains("unknown finding; `regc explain` lists all"));
}

#[test]
fn every_field_of_the_summary_is_documented() {
    let run = regc(["gc", "-d", "--format", "json", "--root", regc_testkit::fixture::tree().to_str().unwrap()]);
    let summary: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    let page = read("docs/json.md");
    for field in summary.keys() {
        assert!(page.contains(&format!("`{field}`")), "docs/json.md does not tell of {field}");
    }
}

#[test]
fn every_test_named_in_the_documentation_exists() {
    let page = read("docs/differences.md") + &read("docs/safety.md") + &read("docs/field.md");
    let mut sources = String::new();
    for directory in ["tests", "crates/regc-core/tests", "crates/regc-core/src", "crates/regc-cli/src"] {
        for file in walkdir_sources(&crate::project().join(directory)) {
            sources += &fs::read_to_string(file).unwrap();
        }
    }
    let is_row = |line: &&str| {
        line.starts_with("| ") && !["| what", "| guard", "| your"].iter().any(|head| line.starts_with(head))
    };
    let rows = page.lines().filter(is_row);
    let mut checked = 0;
    for row in rows {
        let tests = row.rsplit('|').nth(1).unwrap().trim();
        for test in tests.split(", ") {
            let test = test.trim_matches('`');
            assert!(sources.contains(&format!("fn {test}(")), "there is no test {test:?}, which is named in {row}");
            checked += 1;
        }
    }
    assert!(checked > 15, "{checked} tests are named");
}

/// The recipes in the book delete what they name, and nothing else.
#[test]
fn recipes_delete_only_what_they_name() {
    let page = read("docs/recipes.md");
    let store = || {
        let mut registry = TestRegistry::new();
        for name in ["team/project", "team/project/web", "team/projects", "app"] {
            for tag in ["v1.0.0", "main"] {
                registry.image(&format!("{name}:{tag}")).layers([format!("{name} {tag}")]).push();
            }
        }
        let root = registry.on_disk();
        let long_ago = SystemTime::now() - Duration::from_secs(40 * 86_400);
        for key in files_below(root.path()).into_iter().filter(|key| key.ends_with("/current/link")) {
            fs::File::open(root.path().join(key)).unwrap().set_modified(long_ago).unwrap();
        }
        root
    };
    for (recipe, left) in [
        ("regc prune --keep 10", 8),
        ("regc prune --keep-within 30d --keep-tag '^v[0-9]+[.][0-9]+[.][0-9]+$'", 4),
        ("regc prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12", 4),
        ("regc rm '{team/project,team/project/**}'", 4),
    ] {
        assert!(page.contains(&format!("    {recipe}\n")), "{recipe}");
        let root = store();
        let arguments: Vec<String> = recipe.split(' ').skip(1).map(|word| word.replace('\'', "")).collect();
        let run = regc(arguments.iter().map(String::as_str).chain(["--yes", "--root", root.path().to_str().unwrap()]));
        assert_eq!(run.code, 0, "{recipe}: {}", run.stderr);
        let tags = regc(["ls", "--tags-only", "--root", root.path().to_str().unwrap()]).stdout;
        assert_eq!(tags.lines().count(), left, "{recipe}: {tags}");
    }
}

fn walkdir_sources(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walkdir_sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn the_session_in_the_readme_is_what_its_command_prints() {
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_regc"))
        .args(["gc", "--dry-run", "fixtures/config.yml"])
        .current_dir(crate::project())
        .output()
        .unwrap();
    let printed = String::from_utf8(run.stdout).unwrap();
    assert!(!printed.is_empty() && read("README.md").contains(&printed), "README.md must hold:\n{printed}");
}

/// What other words say better, each with those.
const OLD_WORDS: [(&str, &str); 38] = [
    ("what goes", "what is deleted"),
    ("would go", "would be deleted"),
    ("could not", "failed"),
    ("for itself", "exclusive space"),
    ("alone went", "if only it were deleted"),
    ("for people", "human-readable"),
    ("given up", "abandoned"),
    ("gives back", "frees"),
    ("lead to nothing", "dangling"),
    ("leads to nothing", "dangling"),
    ("passed over", "ignored"),
    ("kept by nothing", "no rule keeps it"),
    ("nobody", "what cannot be done, or is not known"),
    ("somebody", "who, or what is done"),
    ("whoever", "a user who"),
    ("tells of", "reports"),
    ("tells you", "reports"),
    ("is told", "is reported"),
    ("may go", "may be deleted"),
    ("goes with", "is deleted with"),
    ("for ever", "forever"),
    ("but for", "except"),
    ("hangs on", "is attached to"),
    ("kept whole", "everything in it is kept"),
    ("is it whole", "check and repair"),
    ("not that of its", "does not match its"),
    ("looked at", "scanned, or checked"),
    ("looks for", "scans for"),
    ("second look", "rescan"),
    ("leads nowhere", "dangling"),
    ("waiting is no work", "threads mostly wait"),
    ("bare walk", "baseline"),
    ("go on although", "run even if"),
    ("as of `", "as in `"),
    ("meanwhile", "in the meantime, or during a run"),
    ("put it aside", "set it aside"),
    ("unless you say", "unless you give"),
    ("was to be changed", "a dry run"),
];

#[test]
fn help_and_documentation_use_the_same_words() {
    let mut texts: Vec<_> = ["README.md", "CHANGELOG.md"].map(|page| (page.to_owned(), read(page))).into();
    let directories = ["docs", "docs/monitoring", "docs/packaging"]
        .map(|directory| fs::read_dir(crate::project().join(directory)).unwrap());
    let pages = directories.into_iter().flatten().map(|page| page.unwrap().path());
    for page in pages.filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        texts.push((page.display().to_string(), fs::read_to_string(page).unwrap()));
    }
    let listed = regc(["--help"]).stdout;
    let commands = listed.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for command in commands.filter_map(|line| line.split_whitespace().next()) {
        texts.push((format!("regc {command} --help"), regc([command, "--help"]).stdout));
    }
    for command in [["trash", "list"], ["trash", "restore"], ["trash", "empty"], ["cache", "evict"]] {
        texts.push((format!("regc {} --help", command.join(" ")), regc([command[0], command[1], "--help"]).stdout));
    }
    assert!(texts.len() > 20, "{}", texts.len());
    for (place, text) in texts {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        for (old, new) in OLD_WORDS {
            let at = text.find(old).map(|at| &text[text.floor_char_boundary(at.saturating_sub(80))..at]);
            assert_eq!(at, None, "{place} says \"{old}\": say \"{new}\"");
        }
    }
}

/// Code, tables and links that no line break can divide may be longer.
#[test]
fn prose_is_at_most_100_columns_wide() {
    let mut pages = pages();
    pages.insert("CHANGELOG.md".to_owned(), read("CHANGELOG.md"));
    pages.retain(|path, _| !path.contains("zh-CN"));
    assert!(pages.len() > 25, "{} pages are checked", pages.len());
    let mut long = Vec::new();
    for (path, page) in &pages {
        let mut is_code = false;
        for (number, line) in (1..).zip(page.lines()) {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            let is_prose = !is_code && !is_fence && !line.starts_with("    ") && !line.starts_with('|');
            if is_prose && line.chars().count() > 100 && line.chars().skip(20).any(char::is_whitespace) {
                long.push(format!("{path}:{number}"));
            }
        }
    }
    assert_eq!(long, Vec::<String>::new(), "wrap these lines at 100 columns");
}
