//! Checks after a command.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use walkdir::WalkDir;

use super::command::{Command, Counted};
use super::process::Ended;
use super::store::FRESH;

/// The files of a store, each with its length or its symbolic link's target.
pub type Snapshot = BTreeMap<String, String>;

/// Lists all files and symbolic links of the registry at `root`.
pub fn snapshot(root: &Path) -> Snapshot {
    let entries = WalkDir::new(root.join("docker")).into_iter().filter_map(Result::ok);
    let files = entries.filter(|entry| !entry.file_type().is_dir());
    files
        .map(|entry| {
            let what = match fs::read_link(entry.path()) {
                Ok(target) => format!("-> {}", target.display()),
                Err(_) => entry.metadata().map_or(0, |metadata| metadata.len()).to_string(),
            };
            (entry.path().display().to_string(), what)
        })
        .collect()
}

/// Fails if a command ended in an undocumented way, or changed files although it failed before it did anything.
pub fn ending(ended: &Ended, was_killed: bool, before: &Snapshot, after: &Snapshot) -> Result<(), String> {
    if ended.hung {
        return Err("it hangs".to_owned());
    }
    if ended.errors.contains("panicked") || ended.code == Some(101) {
        return Err(format!("it panics: {}", ended.errors));
    }
    match ended.code {
        Some(0 | 3) => Ok(()),
        Some(1) if ended.summary().is_some() || before == after => Ok(()),
        Some(1) => Err(format!("exit 1 without a summary, but files changed: {}", ended.errors)),
        None if was_killed => Ok(()),
        code => Err(format!("exit {code:?}: {}", ended.errors)),
    }
}

/// Fails if a dry run and the real run after it report different numbers.
pub fn agree(command: &Command, dry_run: &Ended, real: &Ended) -> Result<(), String> {
    // Only the real run first restores content from the trash, and then finds it.
    if command.counted == Counted::Nothing || dry_run.found("in_trash") {
        return Ok(());
    }
    let field = if command.counted == Counted::Garbage { "garbage" } else { "planned" };
    let (planned, done) =
        (dry_run.summary().map(|summary| &summary[field]), real.summary().map(|summary| &summary[field]));
    if planned != done && (dry_run.is_done() || real.is_done()) {
        return Err(format!(
            "a dry run says {planned:?} ({}), the real one {done:?} ({})",
            dry_run.errors, real.errors
        ));
    }
    Ok(())
}

/// Fails if a second run of the same command finds something left to do.
pub fn nothing_left(command: &Command, first: &Ended, second: &Ended) -> Result<(), String> {
    let failed = |ended: &Ended| ended.summary().is_none_or(|summary| summary["failures"].as_u64() != Some(0));
    if command.counted == Counted::Nothing || !first.is_done() || failed(first) {
        return Ok(());
    }
    if command.arguments[0] == "rm" && second.code == Some(1) && second.summary().is_none() {
        return Ok(());
    }
    let Some(summary) = second.summary() else {
        return Err(format!("a second run fails: {}", second.errors));
    };
    match command.work(summary) {
        0 => Ok(()),
        _ => {
            let left: Vec<String> =
                second.lines.iter().filter(|line| line["type"] != "decision").map(ToString::to_string).collect();
            Err(format!("a second run finds more:\n    {}", left.join("\n    ")))
        }
    }
}

/// Fails if an upload that is still being written was removed.
pub fn uploads(before: &Snapshot, after: &Snapshot) -> Result<(), String> {
    let gone = before.keys().find(|key| key.contains(FRESH) && !after.contains_key(*key));
    gone.map_or(Ok(()), |key| Err(format!("a fresh upload is gone: {key}")))
}
