//! The same command, run again, has nothing to do: on random stores, most of them damaged.
//!
//! `REGC_STORES` sets how many stores each command is tried on. A failure names the seed of its store.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fastrand::Rng;
use regc_testkit::soak::store::Store;
use serde_json::Value;
use walkdir::WalkDir;

use crate::common::{Run, regc};

/// How many stores each command is tried on, unless the environment says otherwise.
const STORES: u64 = 3;

/// A command line without the store, and what in its summary shows how much there was to do.
struct Command {
    /// The command that runs before it, so that it has something to do.
    first: &'static [&'static str],
    arguments: &'static [&'static str],
    /// The arguments of a real run.
    real: &'static [&'static str],
    /// The arguments of a dry run.
    dry: &'static [&'static str],
    /// The summary's fields that are 0 when there was nothing to do.
    work: &'static [&'static str],
}

const GC: Command =
    Command { first: &[], arguments: &["gc"], real: &[], dry: &["--dry-run"], work: &["garbage", "removed"] };

#[test]
fn gc_after_gc_has_nothing_to_do() {
    check(&GC);
}

#[test]
fn gc_of_untagged_manifests_after_the_same_has_nothing_to_do() {
    check(&Command { arguments: &["gc", "-m"], ..GC });
}

#[test]
fn gc_tidy_after_gc_tidy_has_nothing_to_do() {
    check(&Command { arguments: &["gc", "--tidy"], ..GC });
    check(&Command { arguments: &["gc", "-m", "--tidy"], ..GC });
}

#[test]
fn gc_into_the_trash_after_the_same_has_nothing_to_do() {
    check(&Command { arguments: &["gc", "-m", "--trash"], ..GC });
}

#[test]
fn rm_after_rm_has_nothing_to_do() {
    check(&Command { arguments: &["rm", "{*,**/*}:v1"], real: &["--yes"], ..GC });
    check(&Command { arguments: &["rm", "team/**"], real: &["--yes"], ..GC });
}

#[test]
fn prune_after_prune_has_nothing_to_do() {
    check(&Command { arguments: &["prune", "--keep", "1"], real: &["--yes"], ..GC });
}

const REPAIR: Command =
    Command { first: &[], arguments: &["repair"], real: &["--apply"], dry: &[], work: &["planned", "done"] };

#[test]
fn repair_after_repair_has_nothing_to_do() {
    check(&REPAIR);
    check(&Command { arguments: &["repair", "--content"], ..REPAIR });
}

#[test]
fn repair_after_a_collection_into_the_trash_has_nothing_to_do_the_second_time() {
    check(&Command { first: &["gc", "-m", "--trash"], ..REPAIR });
}

#[test]
fn repair_drop_lost_after_the_same_has_nothing_to_do() {
    check(&Command { arguments: &["repair", "--drop-lost"], ..REPAIR });
    check(&Command { arguments: &["repair", "--drop-lost"], first: &["gc", "-m", "--trash"], ..REPAIR });
}

#[test]
fn trash_restore_after_trash_restore_has_nothing_to_do() {
    check(&Command {
        first: &["gc", "-m", "--trash"],
        arguments: &["trash", "restore"],
        real: &[],
        dry: &["--dry-run"],
        work: &["restored"],
    });
}

#[test]
fn undelete_after_undelete_has_nothing_to_do() {
    check(&Command {
        first: &[],
        arguments: &["undelete", "--all-since", "60d"],
        real: &[],
        dry: &["--dry-run"],
        work: &["planned", "done"],
    });
}

/// Runs a command on random stores, then again as a dry run and as a real run, which must do nothing.
fn check(command: &Command) {
    let stores = std::env::var("REGC_STORES").map_or(STORES, |stores| stores.parse().expect("REGC_STORES is a number"));
    let is_named = matches!(command.arguments[0], "rm" | "trash");
    let mut did_something = 0;
    for seed in 0..stores {
        let store = Store::new(seed);
        store.damage(&mut Rng::with_seed(seed), seed as usize % 8);
        let run = |arguments: &[&[&str]]| run(&store.root(), &arguments.concat());
        if !command.first.is_empty() {
            run(&[command.first]);
        }
        let first = run(&[command.arguments, command.real]);
        // It reports why it stopped or what failed, so there is something left to do.
        if !matches!(first.code, 0 | 3) {
            continue;
        }
        did_something += u64::from(work(&first, command) > Some(0));
        let left = tree(&store.root());
        for second in [run(&[command.arguments, command.dry]), run(&[command.arguments, command.real])] {
            let told = || {
                let Run { code, stdout, stderr } = &second;
                format!("seed {seed}, {:?}: {code}\n{stdout}{stderr}\nafter\n{}", command.arguments, first.stdout)
            };
            // Its arguments match nothing any more.
            let names_nothing = is_named && second.code == 1 && second.stdout.is_empty();
            assert!(names_nothing || work(&second, command) == Some(0), "{}", told());
            let changed = difference(&left, &tree(&store.root()));
            assert!(changed.is_empty(), "{changed:#?}\n{}", told());
        }
    }
    assert!(did_something > 0, "{:?} finds nothing to do in any store", command.arguments);
}

fn run(root: &Path, arguments: &[&str]) -> Run {
    regc([arguments, &["--format", "json", "--root", root.to_str().unwrap()]].concat())
}

/// Returns how much a run had to do, and did; `None` without a summary.
fn work(run: &Run, command: &Command) -> Option<u64> {
    let summary: Value = serde_json::from_str(run.stdout.lines().last()?).ok()?;
    (summary["type"] == "summary").then(|| command.work.iter().map(|field| sum(&summary[field])).sum())
}

fn sum(value: &Value) -> u64 {
    match value {
        Value::Object(fields) => fields.values().map(sum).sum(),
        value => value.as_u64().unwrap_or(0),
    }
}

/// Returns everything below a storage root, each file with its content.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = WalkDir::new(root).into_iter().filter_map(Result::ok);
    let content = |path: &Path| match fs::read_link(path) {
        Ok(target) => target.display().to_string().into_bytes(),
        Err(_) => fs::read(path).unwrap_or_default(),
    };
    entries.map(|entry| (entry.path().display().to_string(), content(entry.path()))).collect()
}

/// Lists what is in only one of two trees, or differs between them.
fn difference(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let is_in =
        |tree: &BTreeMap<String, Vec<u8>>, (path, content): (&String, &Vec<u8>)| tree.get(path) == Some(content);
    let gone = before.iter().filter(|entry| !is_in(after, *entry)).map(|(path, _)| format!("- {path}"));
    let new = after.iter().filter(|entry| !is_in(before, *entry)).map(|(path, _)| format!("+ {path}"));
    gone.chain(new).collect()
}
