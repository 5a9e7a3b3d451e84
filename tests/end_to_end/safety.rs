//! What regc refuses, waits for, keeps, and brings back.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use regc_core::Holder;
use regc_core::registry::layout;
use regc_core::storage::DeleteStorage;
use regc_core::storage::filesystem::FilesystemStorage;
use regc_testkit::{TestRegistry, blobs_below, files_below, layer};
use serde_json::Value;

use crate::common::{Run, gc, regc};
use crate::{config, on_another_file_system, registry};

/// Runs `regc trash` on a storage root.
fn trash(root: &Path, arguments: &[&str]) -> Run {
    let (command, rest) = arguments.split_first().unwrap();
    regc([&["trash", command, "--root", root.to_str().unwrap()], rest].concat())
}

fn last_line(run: &Run) -> Value {
    serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap()
}

/// Makes everything below `root` two hours old.
fn age(root: &Path) {
    let old = SystemTime::now() - Duration::from_secs(2 * 3600);
    for key in files_below(root) {
        File::open(root.join(key)).unwrap().set_modified(old).unwrap();
    }
}

#[test]
fn only_one_run_at_a_time_holds_the_lock() {
    let root = registry().on_disk();
    let storage = FilesystemStorage::open(root.path()).unwrap();
    let holder = Holder { program: String::new(), pid: 4711, host: "somewhere".into(), since: "yesterday".into() };
    let lock = storage.lock(&holder).unwrap();
    for arguments in [&["gc"][..], &["trash", "empty"], &["trash", "restore"]] {
        let run = regc([arguments, &["--root", root.path().to_str().unwrap()]].concat());
        let holder = "process 4711 on somewhere, since yesterday";
        assert!(run.code == 1 && run.stderr.contains(holder), "{arguments:?}: {}", run.stderr);
    }
    assert_eq!(gc(root.path(), &["--dry-run"]).code, 0, "looking does no harm");
    drop(lock);
    // What a dead process leaves behind.
    fs::create_dir(root.path().join(".regc")).unwrap();
    fs::write(root.path().join(layout::LOCK), "{}").unwrap();
    assert_eq!(gc(root.path(), &["--no-cache"]).code, 0);
    assert!(!root.path().join(".regc").exists());
    // The lock's holder cannot be recorded, as on a full disk.
    let root = registry().on_disk();
    fs::write(root.path().join(".regc"), "").unwrap();
    assert_eq!(gc(root.path(), &["--allow-symlinked-blobs"]).code, 0);
    assert!(!root.path().join(layout::blob_data(&layer("deleted"))).exists());
}

#[test]
fn a_running_registry_is_noticed() {
    let (root, directory) = (registry().on_disk(), tempfile::tempdir().unwrap());
    let storage = format!("{{filesystem: {{rootdirectory: {}}}}}", root.path().display());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = directory.path().join("registry.sock");
    let unix = UnixListener::bind(&socket).unwrap();
    let before = files_below(root.path());
    for http in [
        format!("{{addr: ':{port}'}}"),
        format!("{{addr: 'localhost:{port}'}}"),
        format!("{{net: unix, addr: {}}}", socket.display()),
    ] {
        let config = config(&directory, &storage, &format!("http: {http}\n"));
        let config = config.to_str().unwrap();
        let run = regc(["gc", config]);
        assert_eq!(run.code, 1, "{http}");
        for way_out in ["hint: stop it", "maintenance.readonly.enabled", "--live"] {
            assert!(run.stderr.contains(way_out), "{}", run.stderr);
        }
        let repair = regc(["repair", "--apply", config]);
        assert!(repair.code == 1 && repair.stderr.contains("hint: stop it"), "{}", repair.stderr);
        assert!(!repair.stderr.contains("--live"), "repair has no such flag: {}", repair.stderr);
        let dry = regc(["gc", "--dry-run", config]);
        assert!(
            dry.code == 0 && dry.stderr.contains("does not answer in time and may be a registry"),
            "{}",
            dry.stderr
        );
    }
    assert_eq!(files_below(root.path()), before);

    let http = format!("http: {{addr: ':{port}'}}\n");
    let live = config(&directory, &storage, &http);
    let run = regc(["gc", "--live", "--no-cache", live.to_str().unwrap()]);
    assert!(run.code == 0 && run.stdout.contains("Too young"), "{}", run.stdout);
    assert_eq!(files_below(root.path()), before, "all of it is younger than an hour");
    age(root.path());
    assert_eq!(regc(["gc", "--live", "--no-cache", live.to_str().unwrap()]).code, 0);
    assert!(!root.path().join(layout::blob_data(&layer("deleted"))).exists());
    assert_eq!(trash(root.path(), &["restore"]).code, 0, "it went to the trash");
    assert_eq!(files_below(root.path()), before);

    let read_only = storage.replacen('{', "{maintenance: {readonly: {enabled: true}}, ", 1);
    let read_only = config(&directory, &read_only, &http);
    assert_eq!(regc(["gc", read_only.to_str().unwrap()]).code, 0);
    drop((listener, unix));
    let stopped = config(&directory, &storage, &http);
    assert_eq!(regc(["gc", stopped.to_str().unwrap()]).code, 0);
    assert!(!root.path().join(layout::blob_data(&layer("deleted"))).exists());
}

#[test]
fn min_age_keeps_recent_objects() {
    let root = registry().on_disk();
    let run = gc(root.path(), &["-m", "--min-age", "7d", "--format", "json"]);
    let summary = last_line(&run);
    assert_eq!((&summary["removed"]["blobs"], &summary["garbage"]["blobs"]), (&0.into(), &0.into()), "{summary}");
    assert!(summary["young_blobs"].as_u64() > Some(0), "{summary}");
    age(root.path());
    assert_eq!(last_line(&gc(root.path(), &["--min-age", "90m", "--format", "json"]))["removed"]["blobs"], 3);
    assert_eq!(gc(root.path(), &["--min-age", "soon"]).code, 2);
}

#[test]
fn trash_is_listed_restored_and_emptied() {
    let root = registry().on_disk();
    let before = files_below(root.path());
    assert_eq!(trash(root.path(), &["list"]).stdout, "The trash is empty.\n");

    let run = gc(root.path(), &["-m", "--trash", "--no-cache", "--format", "json"]);
    let moved = last_line(&run);
    let name = moved["trashed_as"].as_str().unwrap();
    assert_eq!(moved["trash_bytes"], moved["removed"]["bytes"]);
    let listed = trash(root.path(), &["list", "--format", "json"]);
    let listed = last_line(&listed);
    assert_eq!((&listed["run"], &listed["bytes"]), (&name.into(), &moved["removed"]["bytes"]));
    assert_eq!(listed["journal"]["delete_untagged"], true);
    let again = gc(root.path(), &["--no-cache"]);
    assert!(again.stdout.contains("`regc trash empty` frees it"), "{}", again.stdout);

    let dry = trash(root.path(), &["restore", "--dry-run", name]);
    assert!(dry.code == 0 && dry.stdout.contains("\nWould put back"), "{}", dry.stdout);
    let error = trash(root.path(), &["restore", "nowhere"]);
    assert!(error.code == 1 && error.stderr.contains("nowhere is not in run"), "{}", error.stderr);
    let run = trash(root.path(), &["restore", name, "team/app", "--format", "json"]);
    assert_eq!((run.code, &last_line(&run)["failures"]), (0, &0.into()));
    assert!(root.path().join(layout::layer_link("team/app", &layer("old"))).exists());
    assert_eq!(trash(root.path(), &["restore"]).code, 0, "the rest");
    let after: Vec<_> = files_below(root.path()).into_iter().filter(|key| !key.starts_with(".regc")).collect();
    assert_eq!(after, before.into_iter().collect::<Vec<_>>());

    assert_eq!(gc(root.path(), &["--trash", "--no-cache"]).code, 0);
    let dry = trash(root.path(), &["empty", "--dry-run"]);
    assert!(dry.stdout.contains("Would free"), "{}", dry.stdout);
    let kept = trash(root.path(), &["empty", "--older-than", "7d", "--format", "json"]);
    assert_eq!(last_line(&kept)["runs"], 0);
    assert_eq!(trash(root.path(), &["empty"]).code, 0);
    assert!(!root.path().join(".regc").exists());
}

#[test]
fn a_run_in_the_trash_is_listed_with_all_that_is_in_it() {
    let root = registry().on_disk();
    let path = root.path().to_str().unwrap();
    let run = regc(["rm", "--trash", "--no-cache", "--yes", "--json", "--root", path, "team/app:v1"]);
    let name = last_line(&run)["trashed_as"].as_str().unwrap().to_owned();
    let directory = root.path().join(layout::TRASH).join(&name);

    let listed = trash(root.path(), &["list", &name, "--json"]);
    let lines: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["type"], &lines[0]["run"]), (&"run".into(), &name.as_str().into()));
    let objects: Vec<&Value> = lines[1..].iter().inspect(|line| assert_eq!(line["state"], "in_trash")).collect();
    let paths: Vec<&str> = objects.iter().map(|line| line["object"]["path"].as_str().unwrap()).collect();
    let files: Vec<_> = files_below(&directory).into_iter().filter(|key| key.starts_with("docker/")).collect();
    assert_eq!(paths, files);
    let bytes: u64 = objects.iter().filter_map(|line| line["object"]["bytes"].as_u64()).sum();
    assert_eq!(bytes, lines[0]["bytes"].as_u64().unwrap());
    assert!(objects.iter().all(|line| line["object"]["digest"].is_string()), "also what the tag named: {listed:?}");
    let kinds: Vec<&str> = objects.iter().map(|line| line["object"]["type"].as_str().unwrap()).collect();
    assert!(["tag", "revision", "layer_link", "blob"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");

    let shown = trash(root.path(), &["list", &name]);
    let table: Vec<&str> = shown.stdout.lines().skip_while(|line| !line.starts_with("OBJECT")).collect();
    let of_new = layer("new").to_string();
    for (title, row, digest) in [("team/app", "  tag v1 ", ""), ("team/app", "  layer link ", &of_new)] {
        let below = table.iter().skip_while(|line| **line != title).skip(1).take_while(|line| line.starts_with("  "));
        assert!(below.clone().any(|line| line.starts_with(row) && line.ends_with(digest)), "{row}: {}", shown.stdout);
    }
    let content = table.iter().skip_while(|line| !line.starts_with("(content")).find(|line| line.ends_with(&of_new));
    assert!(content.is_some_and(|line| line.starts_with("  blob ") && line.contains(" B  ")), "{}", shown.stdout);
    assert_eq!(shown.stdout.lines().filter(|line| line.contains("sha256:")).count(), objects.len());
    // Without its journal, only what the tag named is unknown.
    fs::remove_file(directory.join("journal.jsonl")).unwrap();
    let without = trash(root.path(), &["list", &name]);
    assert_eq!(without.stdout.lines().filter(|line| line.contains("sha256:")).count(), objects.len() - 1);
    assert!(without.stdout.contains("\nKept until  emptied"), "{}", without.stdout);
    assert!(without.stdout.contains("\nState       without a readable journal\n"), "{}", without.stdout);
}

#[test]
fn the_list_of_runs_says_until_when_each_is_kept_on_a_full_disk() {
    let mut registry = registry();
    let image = registry.image("app:v1").layers(["a"]).push();
    let root = registry.on_disk();
    let path = root.path().to_str().unwrap();
    assert_eq!(gc(root.path(), &["--trash", "--no-cache"]).code, 0);
    let listed = last_line(&trash(root.path(), &["list", "--json"]));
    let name = listed["run"].as_str().unwrap();
    let seconds = |time: &Value| {
        let date = Command::new("date").args(["-d", time.as_str().unwrap(), "+%s"]).output().unwrap().stdout;
        String::from_utf8(date).unwrap().trim().parse::<u64>().unwrap()
    };
    assert_eq!(seconds(&listed["kept_until"]) - seconds(&listed["started"]), 7 * 86_400);
    let until = listed["kept_until"].as_str().unwrap();
    let row = |run: &Run| run.stdout.lines().find(|line| line.starts_with(name)).unwrap().trim_end().to_owned();
    let shown = trash(root.path(), &["list"]);
    assert!(row(&shown).ends_with(until) && shown.stdout.lines().next().unwrap().ends_with("KEPT UNTIL"), "{shown:?}");
    assert!(shown.stdout.ends_with("delete the oldest runs that are past KEPT UNTIL\n"), "{}", shown.stdout);
    assert!(trash(root.path(), &["list", name]).stdout.contains(&format!("\nKept until  {until}; ")));
    // A run that is being restored, and a repair, are never deleted to make room.
    fs::write(root.path().join(layout::TRASH).join(name).join("restoring"), "").unwrap();
    let restoring = row(&trash(root.path(), &["list"]));
    assert!(restoring.ends_with("  emptied     being restored"), "{restoring}");
    fs::write(root.path().join(layout::revision_link("app", &image)), "").unwrap();
    assert_eq!(regc(["repair", "--apply", "--root", path]).code, 0);
    let repair = last_line(&trash(root.path(), &["list", "--json"]));
    assert_eq!((&repair["journal"]["command"], &repair["kept_until"]), (&"repair".into(), &Value::Null));
}

#[test]
fn an_unknown_run_is_an_error_that_names_those_there_are() {
    let root = registry().on_disk();
    for command in [&["list", "Nowhere"][..], &["empty", "Nowhere"], &["restore", "Nowhere"]] {
        let error = trash(root.path(), command);
        assert!(error.code == 1, "{command:?}");
        assert!(error.stderr.contains("run \"Nowhere\" is not in the trash, which is empty\n"), "{}", error.stderr);
    }
    for number in 0..12 {
        let run = root.path().join(layout::TRASH).join(format!("run-{number:02}"));
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("journal.jsonl"), "").unwrap();
        let error = trash(root.path(), &["list", "Nowhere"]).stderr;
        let expected = match number {
            0 => "which holds only run-00\n".to_owned(),
            1 => "which holds run-00, run-01\n".to_owned(),
            11 => format!("{}, run-11 and 2 older runs\n", "which holds run-02, run-03"),
            _ => continue,
        };
        let (begins, ends) = expected.split_at(expected.find(", run-11").unwrap_or(0));
        assert!(error.contains(begins) && error.ends_with(ends), "{error}");
    }
}

#[test]
fn trash_copies_nothing_from_other_filesystem() {
    use std::os::unix::fs::symlink;
    let (root, other) = (registry().on_disk(), on_another_file_system());
    let blobs = root.path().join(layout::BLOBS);
    let moved = Command::new("cp").arg("-a").arg(blobs.join("sha256")).arg(other.path()).status().unwrap();
    assert!(moved.success());
    fs::remove_dir_all(&blobs).unwrap();
    symlink(other.path(), &blobs).unwrap();
    let (before, elsewhere) = (files_below(root.path()), files_below(other.path()));
    let run = gc(root.path(), &["--trash", "--allow-symlinked-blobs"]);
    assert!(run.code == 1 && run.stderr.contains("another file system"), "{}", run.stderr);
    assert_eq!((files_below(root.path()), files_below(other.path())), (before, elsewhere), "nothing was removed");
    assert_eq!(gc(root.path(), &["--allow-symlinked-blobs"]).code, 0);
    assert!(!root.path().join(layout::blob_data(&layer("deleted"))).exists());
}

/// Returns a registry whose collection takes a while.
fn much_garbage() -> tempfile::TempDir {
    let mut registry = registry();
    for image in 0..700 {
        let layers = (0..5).map(|n| format!("{image} {n}"));
        let gone = registry.image(&format!("team/app-{}", image % 7)).layers(layers).push();
        registry.delete(&format!("team/app-{}", image % 7), &gone);
    }
    registry.on_disk()
}

#[test]
fn a_signal_ends_a_run_at_a_whole_step() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let root = much_garbage();
        let mut process = Command::new(env!("CARGO_BIN_EXE_regc"))
            .args(["gc", "--jobs", "1", "--format", "json", "--quiet", "--root"])
            .arg(root.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Send the signal as soon as something is deleted.
        let link = root.path().join(layout::layer_link("team/app-0", &layer("0 0")));
        while link.exists() && process.try_wait().unwrap().is_none() {
            sleep(Duration::from_micros(200));
        }
        let sent = Command::new("kill").args(["-s", signal, &process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let text = String::from_utf8(output.stdout).unwrap();
        let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(summary["interrupted"], true);
        let (removed, garbage) = (summary["removed"].clone(), summary["garbage"].clone());
        assert!(removed["layer_links"].as_u64() > Some(0) && removed["blobs"].as_u64() < garbage["blobs"].as_u64());
        assert_eq!(
            blobs_below(root.path()).len() as u64,
            700 * 7 + 12 - removed["blobs"].as_u64().unwrap(),
            "as it says"
        );
        let rest = last_line(&gc(root.path(), &["--format", "json"]));
        let sum = |field: &str| removed[field].as_u64().unwrap() + rest["removed"][field].as_u64().unwrap();
        assert_eq!(sum("blobs"), garbage["blobs"].as_u64().unwrap(), "the next run goes on");
    }
}

#[test]
fn read_only_user_can_dry_run_and_is_refused_before_any_change() {
    let (root, programs) = (registry().on_disk(), tempfile::tempdir().unwrap());
    // A copy that every user can reach, and nothing that other users can write.
    let regc = programs.path().join("regc");
    crate::copy_regc(&regc);
    for directory in [root.path(), programs.path()] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&regc);
        let output = command.args(arguments).arg("--root").arg(root.path()).output().expect("setpriv, of util-linux");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let before = files_below(root.path());
    assert_eq!(run(&["gc", "--dry-run"]), (0, String::new()), "this test needs root");
    for arguments in [&["gc"][..], &["gc", "--trash"]] {
        let (code, told) = run(arguments);
        assert!(code == 1 && told.contains("cannot change anything in"), "{told}");
        assert!(told.contains("Permission denied"), "{told}");
        assert!(told.contains("hint: regc runs as the user with ID 65534; run it as the user that"), "{told}");
    }
    assert_eq!(files_below(root.path()), before);
}

#[test]
fn remaining_files_keep_owner_and_restored_files_get_that_of_their_directory() {
    let root = registry().on_disk();
    let chown = Command::new("chown").args(["-R", "1234:2345"]).arg(root.path()).status().unwrap();
    assert!(chown.success(), "this test needs root");
    let owner = |key: &str| {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(root.path().join(key)).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode())
    };
    let before: Vec<_> = files_below(root.path()).into_iter().map(|key| (owner(&key), key)).collect();
    let (blob, shard) = (layout::blob(&layer("deleted")), layout::shard(&layer("deleted")));
    let (of_blob, of_shard) = (owner(&blob), owner(&shard));
    assert_eq!(gc(root.path(), &["--trash"]).code, 0);
    assert_eq!(owner(&shard), of_shard);
    assert_eq!(trash(root.path(), &["restore"]).code, 0);
    let after: Vec<_> = files_below(root.path()).into_iter().filter(|key| !key.starts_with(".regc")).collect();
    assert_eq!(after.into_iter().map(|key| (owner(&key), key)).collect::<Vec<_>>(), before);
    assert_eq!(owner(&blob), of_blob, "the registry can write there");
}

#[test]
fn hostile_names_are_escaped_collected_and_restored() {
    let mut registry: TestRegistry = registry();
    registry.put(format!("{}/hurt\u{1b}[2J/_manifests/tags/x/current/link", layout::REPOSITORIES), "x");
    let long = "a".repeat(250);
    let gone = registry.image(&format!("{long}/{long}:v1")).layers(["long"]).push();
    registry.delete(&format!("{long}/{long}"), &gone);
    registry.image("new\nline\u{1b}[31m:v1").layers(["renamed"]).push();
    let root = registry.on_disk();
    let other = root.path().join(layout::repository("other"));
    for name in [other.join(OsStr::from_bytes(b"_layers/\xff\xfe")), other.join(".../_layers")] {
        fs::create_dir_all(name).unwrap();
    }
    for format in ["human", "json", "registry"] {
        let run = gc(root.path(), &["-m", "--dry-run", "--format", format]);
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "{format}: {}", run.stdout);
        if format == "json" {
            assert!(run.stdout.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
            assert!(run.stdout.contains(r#"new\nline\u001b[31m"#), "{}", run.stdout);
        }
    }
    assert_eq!(gc(root.path(), &["-m", "--trash"]).code, 3);
    assert!(!root.path().join(layout::blob_data(&layer("long"))).exists());
    assert_eq!(trash(root.path(), &["restore"]).code, 0);
    assert!(root.path().join(layout::blob_data(&layer("long"))).exists());
}

#[test]
fn unreadable_journal_of_incomplete_restore_stops_run_with_hint() {
    let ways: [fn(&Path); 4] = [
        |journal| fs::write(journal, "garbled").unwrap(),
        |journal| fs::remove_file(journal).unwrap(),
        |journal| {
            fs::remove_file(journal).unwrap();
            fs::create_dir(journal).unwrap();
        },
        |journal| {
            fs::rename(journal, journal.with_extension("real")).unwrap();
            std::os::unix::fs::symlink(journal.with_extension("real"), journal).unwrap();
        },
    ];
    for (number, damage) in ways.into_iter().enumerate() {
        let root = registry().on_disk();
        let trashed = last_line(&gc(root.path(), &["--trash", "--format", "json"]));
        let run = trashed["trashed_as"].as_str().unwrap();
        let directory = root.path().join(layout::TRASH).join(run);
        fs::write(directory.join("restoring"), "").unwrap();
        let journal = files_below(&directory).into_iter().find(|name| name.starts_with("journal")).unwrap();
        damage(&directory.join(journal));
        let refused = gc(root.path(), &[]);
        let remedy = format!("regc trash empty {run}");
        assert!(refused.code == 1 && refused.stderr.contains(&remedy), "{number}: {}", refused.stderr);
        assert!(trash(root.path(), &["list"]).stdout.contains(run), "{number}");
        assert_eq!(trash(root.path(), &["empty", run]).code, 0, "{number}");
        assert!(!directory.join("docker").exists(), "{number}");
        assert_eq!(gc(root.path(), &[]).code, 0, "{number}");
    }
}

#[test]
fn a_store_that_is_nearly_all_untagged_is_collected_only_when_that_is_confirmed() {
    let mut registry = TestRegistry::new();
    for number in 0..20 {
        registry.image(&format!("project/app{}", number % 3)).layers([format!("layer {number}")]).push();
    }
    registry.image("library/left:over").layers(["tagged"]).push();
    let root = registry.on_disk();
    let before = files_below(root.path());
    let warned = gc(root.path(), &["-m", "--dry-run"]);
    let warning = "20 of 21 manifests are untagged";
    assert!(warned.code == 0 && warned.stderr.contains(warning), "{}", warned.stderr);
    assert!(warned.stdout.contains("20 "), "{}", warned.stdout);
    for format in ["human", "json", "registry"] {
        let refused = gc(root.path(), &["-m", "--format", format]);
        assert!(refused.code == 1 && refused.stderr.contains("--allow-mostly-untagged"), "{}", refused.stderr);
    }
    for number in 20..35 {
        registry.image("project/app1").layers([format!("layer {number}")]).push();
    }
    let of_one = registry.on_disk();
    let refused = gc(of_one.path(), &["-m", "--repository", "project/app1"]);
    assert!(refused.code == 1 && refused.stderr.contains("22 of 22 manifests are untagged"), "{}", refused.stderr);
    assert_eq!(files_below(root.path()), before);
    assert_eq!(gc(root.path(), &["-m", "--allow-mostly-untagged"]).code, 0);
    assert!(files_below(root.path()).len() < before.len() / 10);
}

#[test]
fn a_manifest_deleted_from_one_repository_says_nothing_of_another() {
    let mut registry = TestRegistry::new();
    for name in ["a", "b"] {
        let image = registry.image(&format!("{name}:v1")).layers([name]).push();
        registry.delete(name, &image);
    }
    let root = registry.on_disk();
    assert_eq!(gc(root.path(), &["--dry-run"]).code, 0, "both were deleted");
    fs::remove_dir_all(root.path().join(layout::revisions("b"))).unwrap();
    let refused = gc(root.path(), &[]);
    assert!(refused.code == 1 && refused.stderr.contains("--allow-empty"), "{}", refused.stderr);
    assert!(root.path().join(layout::blob_data(&layer("b"))).exists());
}
