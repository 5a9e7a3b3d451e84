//! The store that ships with the repository, which a real registry wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regc_testkit::{files_below, fixture};

use crate::common::{gc, regc};

const REPORT: &str = "  Storage       ROOT
  Repositories  3
  Manifests     11
  In use        35.56 KiB in 27 blobs
  Garbage       3.89 KiB in 3 blobs, 2 layer links

Repositories that free most:
      3.35 KiB  team/app  (2 blobs, 2 layer links)
         557 B  linked by no repository  (1 blob)

Nothing was removed: this was a dry run. To remove the garbage, stop the registry and run the same command
without --dry-run.
";

#[test]
fn dry_run_reports_the_fixture_contents() {
    let tree = fixture::tree();
    let run = gc(&tree, &["--dry-run"]);
    assert_eq!(run.stdout.replace(&tree.display().to_string(), "ROOT"), REPORT);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[test]
fn a_run_removes_what_the_dry_run_says() {
    let root = tempfile::tempdir().unwrap();
    fixture::unpack(root.path());
    let before = files_below(root.path());
    let run = gc(root.path(), &["-m"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("Removed       4.46 KiB in 4 blobs, 1 manifest, 4 layer links, 1 tag index entry"));
    let gone = before.difference(&files_below(root.path())).count();
    assert_eq!(gone, 4 + 1 + 4 + 1);
    assert!(gc(root.path(), &["-m"]).stdout.contains("There is nothing to remove."));
}

#[test]
fn the_archive_and_the_directory_hold_the_same() {
    let root = tempfile::tempdir().unwrap();
    fixture::unpack(root.path());
    assert_eq!(contents(root.path()), contents(&fixture::tree()));
}

#[test]
fn fixture_configuration_is_relative_to_the_project_directory() {
    let text = fs::read_to_string(crate::project().join("fixtures/config.yml")).unwrap();
    let relative = "fixtures/registry-2.8.2";
    assert!(text.contains(&format!("rootdirectory: {relative}\n")) && crate::project().join(relative).is_dir());
    assert_eq!(regc(["gc", "-d", "--root", &crate::project().join(relative).display().to_string()]).code, 0);
}

fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    files_below(root).into_iter().map(|key| (key.clone(), fs::read(root.join(key)).unwrap())).collect()
}
