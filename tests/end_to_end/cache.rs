//! What a registry's cache remembers of deleted blobs.

use std::net::TcpListener;
use std::path::Path;

use regc_core::registry::layout;
use regc_testkit::sha256;
use serde_json::{Value, json};

use crate::common::{Run, regc};
use crate::{config, registry};

const NOTE: &str = "regc: note: ";

/// Runs regc on a new store, with this cache and the other sections of the configuration.
fn run(arguments: &[&str], cache: &str, more: &str) -> Run {
    let (root, directory) = (registry().on_disk(), tempfile::tempdir().unwrap());
    run_at(root.path(), directory, arguments, cache, more)
}

fn run_at(root: &Path, directory: tempfile::TempDir, arguments: &[&str], cache: &str, more: &str) -> Run {
    let storage = format!(
        "{{filesystem: {{rootdirectory: {}}}, cache: {cache}, maintenance: {{readonly: {{enabled: true}}}}}}",
        root.display()
    );
    let config = config(&directory, &storage, more);
    regc([arguments, &["--config", config.to_str().unwrap()]].concat())
}

fn summary(run: &Run) -> Value {
    serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap()
}

const REDIS: &str = "{blobdescriptor: redis}";

#[test]
fn a_run_that_removes_ends_with_a_note_on_redis() {
    let two = "redis: {addr: 'cache:6379', db: 3}";
    for arguments in [
        &["gc"][..],
        &["gc", "--quiet"],
        &["gc", "--trash"],
        &["gc", "--format", "registry"],
        &["rm", "--yes", "team/app"],
        &["rm", "--yes", "--quiet", "team/app"],
        &["prune", "--yes", "--keep", "0"],
    ] {
        let run = run(arguments, REDIS, two);
        assert_eq!(run.code, 3, "{arguments:?}: {}", run.stderr);
        let last = run.stderr.lines().last().unwrap();
        assert!(last.starts_with(NOTE) && last.contains("Redis at cache:6379, database 3,"), "{arguments:?}: {last}");
        assert!(last.contains("regc cache evict"), "{arguments:?}: {last}");
        assert!(!run.stdout.contains("can be started again"), "{}", run.stdout);
    }
    let three = run(&["gc"], REDIS, "redis: {addrs: ['a:1', 'b:2']}");
    assert!(three.stderr.contains("Redis at a:1, b:2, database 0,"), "{}", three.stderr);
    let unknown = run(&["gc"], REDIS, "");
    assert!(unknown.stderr.contains("cache, Redis, database 0,"), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("has neither redis.addr"), "{}", unknown.stderr);
    let json = summary(&run(&["gc", "--format", "json", "--quiet"], REDIS, two));
    assert_eq!(json["stale_cache"], json!({ "kind": "redis", "addresses": ["cache:6379"], "db": "3" }));
}

#[test]
fn a_run_that_removes_nothing_has_no_note() {
    for (arguments, cache) in [
        (&["gc", "--dry-run"][..], REDIS),
        (&["rm", "--dry-run", "team/app"], REDIS),
        (&["prune", "--yes", "--keep", "all"], REDIS),
        (&["repair"], REDIS),
        (&["gc"], "{blobdescriptor: inmemory}"),
        (&["gc"], "{}"),
    ] {
        let run = run(arguments, cache, "");
        assert!(!run.stderr.contains(NOTE), "{arguments:?} {cache}: {}", run.stderr);
    }
    assert_eq!(summary(&run(&["gc", "--dry-run", "--format", "json"], REDIS, ""))["stale_cache"], Value::Null);
}

#[test]
fn a_cache_that_is_not_in_redis_cannot_be_evicted() {
    for cache in ["{blobdescriptor: inmemory}", "{}"] {
        for arguments in [&["cache", "evict"][..], &["cache", "evict", "--dry-run", "--from", "/dev/null"]] {
            let run = run(arguments, cache, "redis: {addr: '127.0.0.1:1'}");
            assert!(run.code == 1 && run.stderr.contains("blobdescriptor is not redis"), "{}", run.stderr);
        }
    }
}

#[test]
fn a_report_that_is_none_is_refused_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.jsonl");
    std::fs::write(&path, "{\"type\":\"blob\"}\nno JSON\n").unwrap();
    let run = run(&["cache", "evict", "--from", path.to_str().unwrap()], REDIS, "redis: {addr: '127.0.0.1:1'}");
    assert!(run.code == 1 && run.stderr.contains("line 2 is not the output of a run"), "{}", run.stderr);
    assert!(run.stderr.contains(path.to_str().unwrap()), "{}", run.stderr);
}

#[test]
fn running_read_only_registry_gets_a_restart_note() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = format!("http: {{addr: '{}'}}", listener.local_addr().unwrap());
    let run = run(&["gc", "--format", "json"], "{blobdescriptor: inmemory}", &http);
    assert!(run.stderr.contains(NOTE) && run.stderr.contains("restart it"), "{}", run.stderr);
    assert_eq!(summary(&run)["stale_cache"], json!({ "kind": "in_memory" }));
}

#[test]
fn a_repair_that_moves_content_aside_has_the_note() {
    let mut registry = registry();
    let image = registry.image("team/app:broken").layers(["broken"]).push();
    registry.put(layout::blob_data(&sha256(&regc_testkit::layer_content("broken"))), "cut off");
    assert!(registry.get(&layout::blob_data(&image)).is_some());
    let root = registry.on_disk();
    let arguments = ["repair", "--apply", "--content", "--format", "json"];
    let run = run_at(root.path(), tempfile::tempdir().unwrap(), &arguments, REDIS, "");
    assert!(run.stderr.contains(NOTE), "{} {}", run.stdout, run.stderr);
    assert_eq!(summary(&run)["stale_cache"]["kind"], "redis");
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            use std::io::{Read, Write};
            let mut stream = stream.unwrap();
            let mut part = [0; 4096];
            // The answer to the greeting, and then none.
            if stream.read(&mut part).is_ok_and(|length| length > 0) {
                stream.write_all(b"+OK\r\n+OK\r\n").ok();
            }
            held.push(stream);
        }
    });
    let began = std::time::Instant::now();
    let run = run(&["gc"], REDIS, &format!("redis: {{addr: '{address}'}}"));
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("still lists what was removed: timed out"), "{}", run.stderr);
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}
