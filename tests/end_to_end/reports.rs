//! Whole reports, as they are printed. `UPDATE_EXPECT=1 cargo test --test end_to_end reports` updates them.

use std::path::Path;

use expect_test::{Expect, expect};
use regc_testkit::TestRegistry;

use crate::common::regc;
use crate::{damaged, registry};

/// Asserts what a command prints for a registry, with names in place of digests, and `ROOT` in place of the root.
fn assert_prints(registry: &TestRegistry, root: &Path, arguments: &[&str], expected: &Expect) {
    let run = regc(arguments.iter().copied().chain(["--root", root.to_str().unwrap()]));
    let mut text = run.stdout;
    if !run.stderr.is_empty() {
        text += &format!("--- standard error\n{}", run.stderr);
    }
    text += &format!("--- exit code {}\n", run.code);
    let text = registry.with_names(&text).replace(root.to_str().unwrap(), "ROOT");
    // Others use the disk as well.
    let is_free = |line: &str| line.trim_start().starts_with("Free");
    let lines = text.lines().map(|line| if is_free(line) { "  Free          SPACE" } else { line });
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    // The files were written just now.
    let is_time =
        |word: &str| word.len() == "2026-11-28T00:00:00Z".len() && word.starts_with("20") && word.ends_with('Z');
    let words = text.split(' ').map(|word| if is_time(word) { "PUSHED AT ANY TIME.." } else { word });
    expected.assert_eq(&words.collect::<Vec<_>>().join(" "));
}

#[test]
fn gc_reports_what_it_would_delete() {
    let registry = registry();
    let root = registry.on_disk();
    assert_prints(
        &registry,
        root.path(),
        &["gc", "-m", "--dry-run"],
        &expect![[r#"
          Storage       ROOT
          Repositories  2
          Tags          2
          Manifests     3
          In use        1.06 KiB in 6 blobs
          Garbage       1.22 KiB in 6 blobs, 1 manifest, 4 layer links, 1 tag index entry

        Repositories that free most:
              1.22 KiB  team/app  (6 blobs, 1 manifest, 4 layer links, 1 tag index entry)

        Nothing was removed: this was a dry run. To remove the garbage, stop the registry and run the same command
        without --dry-run.
        --- exit code 0
    "#]],
    );
    assert_prints(
        &registry,
        root.path(),
        &["gc", "-m", "--dry-run", "--format", "json"],
        &expect![[r#"
        {"type":"tag_index_entry","repository":"team/app","tag":"v1","digest":"<manifest team/app:v1>"}
        {"type":"revision","repository":"team/app","digest":"<manifest team/app:v1>","signatures":[]}
        {"type":"layer_link","repository":"team/app","digest":"<layer old>"}
        {"type":"layer_link","repository":"team/app","digest":"<layer deleted>"}
        {"type":"layer_link","repository":"team/app","digest":"<config of team/app:v0>"}
        {"type":"layer_link","repository":"team/app","digest":"<config of team/app:v1>"}
        {"type":"blob","digest":"<manifest team/app:v1>","bytes":552}
        {"type":"blob","digest":"<layer old>","bytes":10}
        {"type":"blob","digest":"<layer deleted>","bytes":14}
        {"type":"blob","digest":"<config of team/app:v0>","bytes":65}
        {"type":"blob","digest":"<config of team/app:v1>","bytes":61}
        {"type":"blob","digest":"<manifest team/app:v0>","bytes":552}
        {"type":"summary","schema_version":3,"dry_run":true,"delete_untagged":true,"repositories":2,"protected_repositories":0,"shared_repositories":0,"tags":2,"manifests":3,"marked":6,"live_blobs":6,"live_bytes":1088,"young_blobs":0,"young_bytes":0,"hard_linked_bytes":0,"garbage":{"tag_index_entries":1,"tags":0,"revisions":1,"layer_links":4,"blobs":6,"bytes":1254,"uploads":0,"upload_bytes":0,"files":0,"file_bytes":0,"repositories":0},"removed":{"tag_index_entries":0,"tags":0,"revisions":0,"layer_links":0,"blobs":0,"bytes":0,"uploads":0,"upload_bytes":0,"files":0,"file_bytes":0,"repositories":0},"spared":{"tag_index_entries":0,"tags":0,"revisions":0,"layer_links":0,"blobs":0,"bytes":0,"uploads":0,"upload_bytes":0,"files":0,"file_bytes":0,"repositories":0},"trashed_as":null,"deleted_runs":[],"trash_bytes":0,"evicted":0,"stale_cache":null,"interrupted":false,"failures":0,"findings":0,"ignored":0}
        --- exit code 0
    "#]],
    );
    assert_prints(
        &registry,
        root.path(),
        &["gc", "-m"],
        &expect![[r#"
              Storage       ROOT
              Repositories  2
              Tags          2
              Manifests     3
              In use        1.06 KiB in 6 blobs
              Garbage       1.22 KiB in 6 blobs, 1 manifest, 4 layer links, 1 tag index entry
              Removed       1.22 KiB in 6 blobs, 1 manifest, 4 layer links, 1 tag index entry
              Free          SPACE

            Repositories that free most:
                  1.22 KiB  team/app  (6 blobs, 1 manifest, 4 layer links, 1 tag index entry)

            Done. The registry can be started again.
            --- exit code 0
        "#]],
    );
    assert_prints(
        &registry,
        root.path(),
        &["gc", "-m"],
        &expect![[r#"
              Storage       ROOT
              Repositories  2
              Tags          2
              Manifests     2
              In use        1.06 KiB in 6 blobs
              Garbage       nothing
              Removed       nothing
              Free          SPACE

            There is nothing to remove.
            --- exit code 0
        "#]],
    );
}

#[test]
fn gc_reports_damage_with_its_remedy() {
    let registry = damaged();
    let root = registry.on_disk();
    assert_prints(
        &registry,
        root.path(),
        &["gc", "--dry-run"],
        &expect![[r#"
              Storage       ROOT
              Repositories  3
              Manifests     4
              In use        2.11 KiB in 11 blobs
              Garbage       631 B in 3 blobs, 2 layer links

            Repositories that free most:
                     631 B  team/app  (3 blobs, 2 layer links)

            Damage: 1 finding
              RG024 hurt: manifest <manifest hurt:v1> cannot be pulled: <layer lost> is missing
                file:   docker/registry/v2/blobs/sha256/33/339dd8ddb4190af4c79318e2c19c4a6ce7c32519f60e6baf8acb349b06b45846/data
                remedy: push the image again, which uploads what is missing, or take it from a backup with `regc repair --from`

            Nothing was removed: this was a dry run. To remove the garbage, stop the registry and run the same command
            without --dry-run.
            --- exit code 3
        "#]],
    );
    assert_prints(
        &registry,
        root.path(),
        &["verify"],
        &expect![[r#"
            RG024 error: a layer or configuration is missing: the manifest <manifest hurt:v1> needs it
                path:   docker/registry/v2/blobs/sha256/33/339dd8ddb4190af4c79318e2c19c4a6ce7c32519f60e6baf8acb349b06b45846/data
                images: hurt:v1
                remedy: push the image again, which uploads what is missing, or take it from a backup with `regc repair --from`
            RG040 note: content that nothing refers to: 3; none is needed; `regc gc` frees the space
            3 repositories, 4 manifests, 2.73 KiB in 14 blobs: 1 error, 0 warnings, 3 notes.
            --- exit code 3
        "#]],
    );
}

#[test]
fn du_reports_exclusive_and_shared_bytes() {
    let registry = registry();
    let root = registry.on_disk();
    assert_prints(
        &registry,
        root.path(),
        &["du", "--tags", "--by-namespace"],
        &expect![[r#"
            EXCLUSIVE  SHARED    PULLED  UNTAGGED  GARBAGE  REPOSITORY
             1.22 KiB    11 B     634 B     623 B    631 B  team/app
                          shared with other (11 B)
                623 B             634 B                       :v1
                454 B    11 B     465 B       0 B      0 B  other
                          shared with team/app (11 B)
                454 B             465 B                       :v1
             1.22 KiB    11 B     634 B                     team/
             1.66 KiB    11 B  1.06 KiB     623 B    631 B  (total, everything once)
            2.29 KiB in total: 1.67 KiB in use, 631 B garbage, which `regc gc` frees, 0 B in other files
            --- exit code 0
        "#]],
    );
}

#[test]
fn ls_lists_platforms_and_untagged_manifests() {
    let mut registry = registry();
    let platforms = [registry.image("multi").layers(["a"]).push(), registry.image("multi").layers(["b"]).push()];
    registry.index("multi:v1").manifests(platforms).push();
    let root = registry.on_disk();
    assert_prints(
        &registry,
        root.path(),
        &["ls", "--tags-only"],
        &expect![[r#"
        multi:v1
        other:v1
        team/app:v1
        --- exit code 0
    "#]],
    );
    assert_prints(
        &registry,
        root.path(),
        &["ls", "--tree", "multi"],
        &expect![[r#"
            TAG           KIND   PLATFORMS                    SIZE  PUSHED                DIGEST
            multi
              v1          index  linux/amd64,linux/amd64  1.37 KiB  PUSHED AT ANY TIME..  <manifest multi:v1>
                contains  image  linux/amd64                 458 B                        <manifest multi>
                contains  image  linux/amd64                 458 B                        <manifest multi>
            --- exit code 0
        "#]],
    );
}

#[test]
fn rm_and_prune_report_what_they_would_delete() {
    let registry = registry();
    let root = registry.on_disk();
    assert_prints(
        &registry,
        root.path(),
        &["rm", "--dry-run", "other"],
        &expect![[r#"
            Storage  ROOT
            other
              tag       v1  <manifest other:v1>
              manifest  <manifest other:v1>
              and the repository itself
            This removes 454 B in 2 blobs, 1 repository, 1 tag, 1 manifest, 2 layer links, 1 tag index entry.
            Nothing was removed: this was a dry run.
            --- exit code 0
        "#]],
    );
    assert_prints(
        &registry,
        root.path(),
        &["rm", "--dry-run", "absent"],
        &expect![[r#"
            Storage  ROOT
            --- standard error
            regc: nothing matches absent
              hint: `regc ls` lists what there is
            --- exit code 1
        "#]],
    );
    let prune = ["prune", "--dry-run", "--keep", "0", "--explain", "--by", "name", "--now", "2030-01-01T00:00:00Z"];
    assert_prints(
        &registry,
        root.path(),
        &prune,
        &expect![[r#"
            Storage  ROOT
            The time is 2030-01-01T00:00:00Z.
            other
              remove v1 is kept by no rule
            team/app
              remove v1 is kept by no rule
            REPOSITORY             KEPT  REMOVED     FREED
            team/app                  0        1     623 B
            other                     0        1     454 B
            (in all repositories)     0        2  1.05 KiB
            This removes 1.05 KiB in 5 blobs, 2 tags, 2 manifests, 4 layer links, 3 tag index entries.
            Nothing was removed: this was a dry run.
            --- exit code 0
        "#]],
    );
}
