//! What the documentation says of the program is what the program says.

use std::fs;

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
fn every_difference_and_every_guard_names_a_test_that_is_there() {
    let page = read("docs/differences.md") + &read("docs/safety.md");
    let mut sources = String::new();
    for directory in ["tests", "crates/regc-core/tests", "crates/regc-core/src"] {
        for file in walkdir_sources(&crate::project().join(directory)) {
            sources += &fs::read_to_string(file).unwrap();
        }
    }
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| what") && !line.starts_with("| guard");
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
