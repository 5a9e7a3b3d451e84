//! Google Cloud Storage and Azure: the same as in a bucket of S3, and what only they have.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use regc_core::registry::config::Driver;
use regc_core::registry::layout;
use regc_core::storage::bucket::BucketStorage;
use regc_core::storage::conformance::{Capability, check};
use regc_core::{CollectOptions, Config, Disposal, Error, Holder, Phase, Silent, Store};
use regc_testkit::at::At;
use regc_testkit::bucket::{BucketServer, Configuration, FakeGcs, Fate, Proxy};
use regc_testkit::{TestRegistry, layer};

use crate::azurite::Azurite;
use crate::collector::collects_as_on_disk;
use crate::{Configured, ROOT, next_second};

fn registry() -> TestRegistry {
    let mut registry = TestRegistry::new();
    registry.blob("garbage");
    registry.image("app:v1").layers(["one"]).push();
    registry
}

/// Runs the checks of the contract on a server's buckets.
fn conforms(server: &dyn BucketServer, open: &dyn Fn(&Driver) -> BucketStorage) {
    let number = AtomicUsize::new(0);
    let lacking = check(&|objects| {
        let bucket = format!("bucket-{}", number.fetch_add(1, Relaxed));
        server.create(&bucket);
        for (key, content) in objects {
            server.put(&bucket, &format!("{ROOT}{key}"), content.as_bytes());
        }
        next_second();
        let Configuration { text, environment } = server.config(server.address(), &bucket, ROOT);
        let config = Config::parse(&text, environment).unwrap();
        Box::new(open(&config.driver).whole())
    });
    assert_eq!(lacking, [Capability::Trash, Capability::Directories]);
}

#[test]
fn storage_of_google_conforms() {
    conforms(&FakeGcs::start(), &|driver| match driver {
        Driver::Gcs(gcs) => BucketStorage::gcs(gcs).unwrap(),
        _ => panic!("it is Google's"),
    });
}

#[test]
fn storage_of_azure_conforms() {
    conforms(&Azurite::start(), &|driver| match driver {
        Driver::Azure(azure) => BucketStorage::azure(azure).unwrap(),
        _ => panic!("it is Azure's"),
    });
}

#[test]
fn gc_deletes_at_google_what_it_deletes_on_disk() {
    assert_eq!(collects_as_on_disk(&FakeGcs::start(), ROOT, 30), 30);
}

#[test]
fn gc_deletes_at_azure_what_it_deletes_on_disk() {
    assert!(collects_as_on_disk(&Azurite::start(), "", 30) > 15, "the others have a link that is being written");
}

#[test]
fn names_that_begin_with_a_slash_are_found_and_deleted_byte_for_byte() {
    assert!(collects_as_on_disk(&Azurite::start(), "/", 30) > 15, "the others have a link that is being written");
}

#[test]
fn all_commands_work_at_google_and_azure() {
    let (google, azurite) = (FakeGcs::start(), Azurite::start());
    for server in [&google as &dyn BucketServer, &azurite] {
        server.upload("registry", ROOT, &registry());
        next_second();
        let config = Configured::on(server, "registry", ROOT);
        let run = config.regc(&["gc", "--trash"]);
        assert!(run.code == 1 && run.stderr.contains("no trash"), "{}", run.stderr);
        for (arguments, says) in [
            (&["ls"][..], "app"),
            (&["du"], "app"),
            (&["verify", "--content"], "blobs"),
            (&["prune", "--keep", "0", "--dry-run"], "1 tag"),
            (&["gc", "--dry-run"], "1 blob"),
            (&["gc"], "1 blob"),
            (&["rm", "app:v1", "--yes", "--allow-empty"], "3 blobs"),
        ] {
            let run = config.regc(arguments);
            assert!(run.code == 0 && run.stdout.contains(says), "{arguments:?}: {}{}", run.stdout, run.stderr);
        }
        assert!(!server.keys("registry").iter().any(|key| key.contains("/blobs/")), "{:?}", server.keys("registry"));
    }
}

#[test]
fn two_stores_in_a_container_are_refused_until_it_is_said_which_is_meant() {
    let azurite = Azurite::start();
    azurite.upload("registry", "", &registry());
    for key in registry().keys() {
        azurite.put("registry", &format!("/{key}"), registry().get(key).unwrap());
    }
    next_second();
    let before = azurite.keys("registry");
    let run = Configured::on(&azurite, "registry", "").regc(&["gc"]);
    assert!(run.code == 1 && run.stderr.contains("storage.azure.legacyrootprefix"), "{}", run.stderr);
    assert_eq!(azurite.keys("registry"), before);
    for (legacy, left) in [("true", "docker/"), ("false", "/docker/")] {
        let mut configuration = azurite.config(azurite.address(), "registry", "");
        configuration.text += &format!("    legacyrootprefix: {legacy}\n");
        let run = Configured::of(configuration).regc(&["gc"]);
        assert!(run.stdout.contains("Removed       7 B in 1 blob"), "{legacy}: {}{}", run.stdout, run.stderr);
        let of_other = |keys: &[String]| keys.iter().filter(|key| key.starts_with(left)).count();
        if legacy == "true" {
            assert_eq!(of_other(&azurite.keys("registry")), of_other(&before), "{legacy}");
        }
    }
    assert_eq!(azurite.keys("registry").len(), before.len() - 2);
}

#[test]
fn a_link_that_is_being_written_protects_its_repository() {
    let azurite = Azurite::start();
    let mut registry = registry();
    let untagged = registry.image("app").layers(["two"]).push();
    registry.image("other").layers(["three"]).push();
    let links = [
        layout::revision_link("app", &untagged),
        layout::layer_link("app", &layer("two")),
        layout::tag_link("app", "v2"),
    ];
    for (number, link) in links.iter().enumerate() {
        let container = format!("registry-{number}");
        azurite.upload(&container, "", &registry);
        azurite.begin(&container, link);
        next_second();
        let config = Configured::on(&azurite, &container, "");
        let planned = config.regc(&["gc", "-m", "--dry-run"]);
        let run = config.regc(&["gc", "-m"]);
        for run in [&planned, &run] {
            assert!(run.code == 3 && run.stdout.contains("Damage: 1 finding"), "{link}: {}{}", run.stdout, run.stderr);
            assert!(run.stdout.contains(link), "{link}: {}", run.stdout);
        }
        let left = azurite.keys(&container);
        assert!(
            left.contains(&layout::blob_data(&layer("two"))) && left.contains(&layout::blob_data(&untagged)),
            "{link}"
        );
        assert!(left.contains(link), "{link}");
        assert!(!left.contains(&layout::blob_data(&layer("three"))), "{link}: the rest is collected");
        let run = config.regc(&["rm", "app:v1", "--yes"]);
        assert!(run.code != 0 && run.stderr.contains("writing"), "{link}: {}{}", run.stdout, run.stderr);
        let run = config.regc(&["rm", "app", "--yes", "--allow-empty"]);
        assert!(run.code == 0, "{link}: a repository as a whole: {}{}", run.stdout, run.stderr);
    }
}

#[test]
fn a_link_that_is_written_between_the_two_listings_stops_the_run_before_anything_is_deleted() {
    let azurite = Azurite::start();
    let mut registry = registry();
    let untagged = registry.image("app").layers(["two"]).push();
    let (new, old) = (layout::tag_link("app", "v9"), layout::tag_link("app", "v1"));
    let of_untagged = layout::revision_link("app", &untagged);
    // The driver deletes a link, creates it empty, and adds the digest: this is how far it is.
    let (created, deleted) =
        (|link: &str, of: &str| azurite.begin(of, link), |link: &str, of: &str| azurite.delete(of, link));
    type Step<'s> = &'s (dyn Fn(&str, &str) + Sync);
    let steps: [(&str, &str, Step<'_>); 4] = [
        ("a new tag", &new, &created),
        ("a tag that is moved", &old, &created),
        ("a tag that is about to be moved", &old, &deleted),
        ("a manifest that is pushed again", &of_untagged, &deleted),
    ];
    for (number, (what, link, step)) in steps.into_iter().enumerate() {
        let container = format!("registry-{number}");
        azurite.upload(&container, "", &registry);
        next_second();
        let Configuration { text, environment } = azurite.config(azurite.address(), &container, "");
        let store = Store::open(&Config::parse(&text, environment).unwrap()).unwrap();
        let session = store.lock(&Holder::new("test")).unwrap();
        let plan = session.plan(&CollectOptions::new().delete_untagged(true), &Silent).unwrap();
        assert!(plan.totals().revisions == 1, "{what}");
        let before = azurite.keys(&container).len();
        let error =
            session.execute(&plan, Disposal::Delete, &At(Phase::Rescan, || step(link, &container))).unwrap_err();
        assert!(matches!(&error, Error::BeingWritten(path) if path == link), "{what}: {error}");
        let left = azurite.keys(&container);
        let (added, removed) = (usize::from(link == new), usize::from(!left.contains(&link.to_owned())));
        assert_eq!(left.len(), before + added - removed, "{what}: nothing was deleted");
    }
}

#[test]
fn answers_of_others_delete_nothing_for_certain() {
    let (google, azurite) = (FakeGcs::start(), Azurite::start());
    let html = || Fate::Answer("200 OK", "<html><body>Sign in</body></html>".to_owned());
    let json = Fate::Answer("404 Not Found", "{\"error\":{\"code\":404,\"message\":\"no route\"}}".to_owned());
    let login = || Fate::Answer("302 Found\r\nlocation: /login", String::new());
    for (server, fates) in
        [(&google as &dyn BucketServer, vec![html(), json, login()]), (&azurite, vec![html(), login()])]
    {
        server.upload("registry", ROOT, &registry());
        next_second();
        let before = server.keys("registry");
        for fate in fates {
            let what = format!("{fate:?}");
            let proxy = Proxy::start(server.address(), Duration::ZERO, move |_, line| {
                match line.starts_with("DELETE") || line.contains("comp=batch") || line.contains("/login") {
                    true if !line.contains("lock") => fate.clone(),
                    _ => Fate::Pass,
                }
            });
            let run = Configured::of(server.config(proxy.address(), "registry", ROOT)).regc(&["gc"]);
            assert!(run.code == 1 && run.stderr.contains("cannot remove"), "{what}: {}{}", run.stdout, run.stderr);
            assert!(!proxy.requests().iter().any(|line| line.contains("/login")), "{what}: no redirect is followed");
            assert_eq!(server.keys("registry"), before, "{what}");
        }
    }
}

#[test]
fn a_page_in_place_of_a_manifest_stops_the_run() {
    let azurite = Azurite::start();
    azurite.upload("registry", "", &registry());
    next_second();
    let page = "<html><body>Sign in, please. It takes but a moment, and is as long as a manifest may be.</body></html>"
        .repeat(9);
    for answer in [page.clone(), page[..20].to_owned()] {
        let proxy =
            Proxy::start(azurite.address(), Duration::ZERO, move |_, line| match line.contains("blobs%2Fsha256") {
                true if line.starts_with("GET") && !line.contains("comp=list") => {
                    Fate::Answer("200 OK", answer.clone())
                }
                _ => Fate::Pass,
            });
        let run = Configured::of(azurite.config(proxy.address(), "registry", "")).regc(&["gc"]);
        assert!(run.code == 1 && run.stderr.contains("bytes arrived"), "{}{}", run.stdout, run.stderr);
    }
}

#[test]
fn an_account_with_a_hierarchical_namespace_is_refused() {
    let azurite = Azurite::start();
    azurite.upload("registry", "", &registry());
    next_second();
    let before = azurite.keys("registry");
    let of_account = Fate::ReplaceHead("x-ms-account-kind: StorageV2", "x-ms-is-hns-enabled: true");
    let of_page = Fate::Replace("<Properties>", "<Properties><ResourceType>directory</ResourceType>");
    for (query, fate) in [("restype=account", of_account), ("comp=list", of_page)] {
        let proxy = Proxy::start(azurite.address(), Duration::ZERO, move |_, line| match line.contains(query) {
            true => fate.clone(),
            false => Fate::Pass,
        });
        let run = Configured::of(azurite.config(proxy.address(), "registry", "")).regc(&["gc"]);
        assert!(run.code == 1 && run.stderr.contains("hierarchical namespace"), "{query}: {}", run.stderr);
        assert_eq!(azurite.keys("registry"), before, "{query}");
    }
}

#[test]
fn pages_that_stay_wrong_stop_a_run_at_google_and_azure() {
    let (google, azurite) = (FakeGcs::start(), Azurite::start());
    let html = || Fate::Answer("200 OK", "<html><body>Sign in</body></html>".to_owned());
    let of_google = [
        html(),
        Fate::Answer("200 OK", String::new()),
        Fate::Replace("storage#objects", "storage#others"),
        Fate::Replace("\"name\":\"", "\"name\":\"other/"),
        // The object at the end of the page is the first of the next one.
        Fate::Replace("\"items\":", "\"nextPageToken\":\"docker\",\"items\":"),
    ];
    let of_azure = [
        html(),
        Fate::Answer("200 OK", String::new()),
        Fate::Replace("<NextMarker/>", ""),
        Fate::Replace("<Name>", "<Name>other/"),
        Fate::Replace("<NextMarker/>", "<NextMarker>x</NextMarker>"),
    ];
    for (server, fates, is_of_listing) in
        [(&google as &dyn BucketServer, of_google, "maxResults=1000"), (&azurite, of_azure, "maxresults=5000")]
    {
        server.upload("registry", ROOT, &registry());
        next_second();
        let before = server.keys("registry");
        for fate in fates {
            let what = format!("{fate:?}");
            let proxy =
                Proxy::start(server.address(), Duration::ZERO, move |_, line| match line.contains(is_of_listing) {
                    true => fate.clone(),
                    false => Fate::Pass,
                });
            let run = Configured::of(server.config(proxy.address(), "registry", ROOT)).regc(&["gc", "-m"]);
            assert!(run.code == 1 && run.stderr.contains("invalid listing"), "{what}: {} {}", run.code, run.stderr);
            assert_eq!(server.keys("registry"), before, "{what}");
        }
    }
}

#[test]
fn a_run_costs_as_few_requests_at_google_and_azure() {
    let (google, azurite) = (FakeGcs::start(), Azurite::start());
    let measured = regc_testkit::bucket::measured_registry();
    // One server deletes each object by a request of its own: 200 blobs.
    for (server, most) in [(&google as &dyn BucketServer, 180 + 200), (&azurite, 180)] {
        server.upload("registry", ROOT, &measured);
        next_second();
        for (arguments, most) in [(&["gc", "--dry-run"][..], 165), (&["gc"], most)] {
            let proxy = Proxy::start(server.address(), Duration::ZERO, |_, _| Fate::Pass);
            let run = Configured::of(server.config(proxy.address(), "registry", ROOT)).regc(arguments);
            assert_eq!(run.code, 0, "{}", run.stderr);
            let requests = proxy.requests();
            assert!(requests.len() <= most, "{arguments:?}: {} requests, not {most}", requests.len());
        }
    }
}
