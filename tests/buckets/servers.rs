//! Servers that answer wrongly, are busy, or lack something.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use regc_core::Config;
use regc_core::registry::config::Driver;
use regc_core::storage::bucket::BucketStorage;
use regc_core::storage::conformance::{Capability, check};
use regc_testkit::TestRegistry;
use regc_testkit::bucket::{self, BucketServer, Fate, Moto, Proxy};

use crate::{Configured, ROOT, next_second};

fn registry() -> TestRegistry {
    let mut registry = TestRegistry::new();
    registry.blob("garbage");
    registry.image("app:v1").layers(["one"]).push();
    registry
}

fn is_listing(line: &str) -> bool {
    line.contains("list-type=2") && line.contains("max-keys=1000")
}

#[test]
fn storage_in_a_bucket_conforms() {
    let (moto, number) = (Moto::start(), AtomicUsize::new(0));
    let lacking = check(&|objects| {
        let bucket = format!("bucket-{}", number.fetch_add(1, Relaxed));
        moto.create(&bucket);
        for (key, content) in objects {
            moto.put(&bucket, &format!("{ROOT}{key}"), content.as_bytes());
        }
        next_second();
        let config = Config::parse(&bucket::config(moto.address(), &bucket, ROOT, ""), []).unwrap();
        let Driver::S3(s3) = &config.driver else { panic!("it is S3") };
        Box::new(BucketStorage::s3(s3).unwrap().whole())
    });
    assert_eq!(lacking, [Capability::Trash, Capability::Directories]);
}

#[test]
fn a_listing_that_stays_wrong_stops_the_run_before_anything_is_deleted() {
    let moto = Moto::start();
    moto.upload("registry", ROOT, &registry());
    next_second();
    let before = moto.keys("registry");
    let wrong = [
        ("an HTML page", Fate::Answer("200 OK", "<html><body>Sign in</body></html>".to_owned())),
        ("nothing", Fate::Answer("200 OK", String::new())),
        ("truncated without a token", Fate::Replace("<IsTruncated>false", "<IsTruncated>true")),
        ("not said", Fate::Replace("<IsTruncated>false</IsTruncated>", "")),
        ("without its end", Fate::Replace("</ListBucketResult>", "")),
        ("keys of another prefix", Fate::Replace("<Key>", "<Key>other/")),
    ];
    for (what, fate) in wrong {
        let proxy =
            Proxy::start(
                moto.address(),
                Duration::ZERO,
                move |_, line| {
                    if is_listing(line) { fate.clone() } else { Fate::Pass }
                },
            );
        let run = Configured::new(proxy.address(), "registry").regc(&["gc", "-m"]);
        assert!(run.code == 1 && run.stderr.contains("invalid listing"), "{what}: {} {}", run.code, run.stderr);
        assert_eq!(moto.keys("registry"), before, "{what}");
    }
}

#[test]
fn a_page_that_is_wrong_or_cut_once_is_requested_again() {
    let moto = Moto::start();
    for (number, fate) in [
        Fate::Answer("200 OK", "<html/>".to_owned()),
        Fate::Answer("503 Slow Down", "<Error><Code>SlowDown</Code></Error>".to_owned()),
        Fate::Answer("429 Too Many Requests", String::new()),
        Fate::Cut(300),
        Fate::Cut(0),
    ]
    .into_iter()
    .enumerate()
    {
        let bucket = format!("registry-{number}");
        moto.upload(&bucket, ROOT, &registry());
        next_second();
        let (once, spoilt) = (AtomicUsize::new(0), fate.clone());
        let proxy = Proxy::start(moto.address(), Duration::ZERO, move |_, line| {
            let is_first = is_listing(line) && line.contains("/blobs/") && once.fetch_add(1, Relaxed) == 0;
            if is_first { spoilt.clone() } else { Fate::Pass }
        });
        let run = Configured::new(proxy.address(), &bucket).regc(&["gc"]);
        assert_eq!(run.code, 0, "{fate:?}: {}", run.stderr);
        assert!(run.stdout.contains("Removed       7 B in 1 blob"), "{fate:?}: {}", run.stdout);
    }
}

#[test]
fn deletes_are_repeated_where_the_server_is_busy_and_sent_singly_where_it_has_no_bulk() {
    let moto = Moto::start();
    let slow = "<Error><Code>SlowDown</Code><Message>m</Message></Error>";
    let none = "<Error><Code>NotImplemented</Code><Message>m</Message></Error>";
    for (number, (status, body, times)) in
        [("503 Slow Down", slow, 2), ("200 OK", slow, 2), ("501 Not Implemented", none, usize::MAX)]
            .into_iter()
            .enumerate()
    {
        let bucket = format!("registry-{number}");
        moto.upload(&bucket, ROOT, &registry());
        next_second();
        let before = moto.keys(&bucket).len();
        let deletes = AtomicUsize::new(0);
        let proxy = Proxy::start(moto.address(), Duration::ZERO, move |_, line| {
            let is_spoilt = line.starts_with("POST") && deletes.fetch_add(1, Relaxed) < times;
            if is_spoilt { Fate::Answer(status, body.to_owned()) } else { Fate::Pass }
        });
        let run = Configured::new(proxy.address(), &bucket).regc(&["gc"]);
        assert_eq!(run.code, 0, "{status}: {}", run.stderr);
        assert_eq!(moto.keys(&bucket).len(), before - 1, "{status}");
    }
}

#[test]
fn an_object_that_cannot_be_deleted_is_reported_and_the_rest_is_deleted() {
    let moto = Moto::start();
    let mut registry = registry();
    registry.blob("more garbage");
    moto.upload("registry", ROOT, &registry);
    next_second();
    let stuck = format!("{ROOT}{}", regc_core::registry::layout::blob_data(&regc_testkit::sha256(b"garbage")));
    let answer = format!(
        "<DeleteResult><Error><Key>{stuck}</Key><Code>AccessDenied</Code><Message>locked</Message></Error></DeleteResult>"
    );
    let proxy = Proxy::start(moto.address(), Duration::ZERO, move |_, line| match line.starts_with("POST") {
        true => Fate::Answer("200 OK", answer.clone()),
        false => Fate::Pass,
    });
    let run = Configured::new(proxy.address(), "registry").regc(&["gc"]);
    assert!(
        run.code == 1 && run.stderr.contains("locked") && run.stderr.contains(&stuck),
        "{} {}",
        run.code,
        run.stderr
    );
    assert!(run.stdout.contains("Removed       12 B in 1 blob"), "{}", run.stdout);
}

#[test]
fn reads_need_no_right_to_write() {
    let moto = Moto::start();
    moto.upload("registry", ROOT, &registry());
    let proxy = Proxy::start(moto.address(), Duration::ZERO, |_, line| match line.starts_with("GET") {
        true => Fate::Pass,
        false => Fate::Answer("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>".to_owned()),
    });
    let config = Configured::new(proxy.address(), "registry");
    for arguments in [&["gc", "--dry-run"][..], &["ls"], &["du"], &["verify"], &["verify", "--content"]] {
        let run = config.regc(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
    }
    assert_eq!(config.regc(&["gc"]).code, 1, "without the right to write its marker");
}

#[test]
fn content_that_is_cut_is_requested_from_there_on() {
    let moto = Moto::start();
    let mut registry = registry();
    registry.blob(vec![7; 1_000_000]);
    moto.upload("registry", ROOT, &registry);
    next_second();
    let hex = regc_testkit::sha256(&vec![7; 1_000_000]).hex();
    for is_ranged in [true, false] {
        let (reads, of_blob) = (std::sync::Arc::new(AtomicUsize::new(0)), hex.clone());
        let counted = reads.clone();
        let proxy = Proxy::start(moto.address(), Duration::ZERO, move |_, line| match line.contains(&of_blob) {
            true if counted.fetch_add(1, Relaxed) < 3 => Fate::Cut(300_000),
            true if !is_ranged => Fate::Whole,
            _ => Fate::Pass,
        });
        let run = Configured::new(proxy.address(), "registry").regc(&["verify", "--content"]);
        assert!(run.code == 0 && reads.load(Relaxed) > 3, "ranges: {is_ranged}: {}{}", run.stdout, run.stderr);
    }
}

#[test]
fn an_answer_that_names_no_known_key_deletes_nothing_for_certain() {
    let moto = Moto::start();
    moto.upload("registry", ROOT, &registry());
    next_second();
    let before = moto.keys("registry");
    let unnamed = "<DeleteResult><Error><Code>AccessDenied</Code><Message>all of them</Message></Error></DeleteResult>";
    let proxy = Proxy::start(moto.address(), Duration::ZERO, move |_, line| match line.starts_with("POST") {
        true => Fate::Answer("200 OK", unnamed.to_owned()),
        false => Fate::Pass,
    });
    let run = Configured::new(proxy.address(), "registry").regc(&["gc"]);
    assert!(run.code == 1 && run.stderr.contains("all of them"), "{} {}", run.code, run.stderr);
    assert_eq!(moto.keys("registry"), before);
}
