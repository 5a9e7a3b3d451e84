//! What `regc verify` finds in a store that a real registry wrote, damaged in every way that it knows of. What it calls
//! an error is one for that registry's clients.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regc_core::finding::{Kind, Severity};
use regc_core::registry::layout;
use regc_core::{Algorithm, Digest};
use regc_testkit::generate::{self, Features};
use regc_testkit::peer::{self, PeerRegistry};
use regc_testkit::{fixture, oracle};
use serde_json::Value;

use crate::common::{Run, regc};
use crate::damage::{Case, Damage, Store, TAGS, Told, can_be_pulled, check_all, copied, kind, store};

fn verify(root: &Path) -> Run {
    regc(["verify", "--notes", "--format", "json", "--root", root.to_str().unwrap()])
}

fn told(run: &Run) -> BTreeSet<Told> {
    let lines = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let findings = lines.filter(|line| line["type"] == "finding").map(|line| {
        let images = line["images"].as_array().unwrap().iter().map(|image| image.as_str().unwrap().to_owned());
        let text = |field: &str| line[field].as_str().unwrap().to_owned();
        (text("code"), text("path"), images.collect())
    });
    findings.collect()
}

/// The kinds that need more than a look at the store: `--content`, a trash, a rule.
const ELSEWHERE: [Kind; 9] = [
    Kind::ExpiredBlob,
    Kind::ForeignFile,
    Kind::Blocked,
    Kind::DamagedBlob,
    Kind::BlobsElsewhere,
    Kind::InTrash,
    Kind::BeingRestored,
    Kind::LinkBeingWritten,
    Kind::StaleCache,
];

/// Checks that no image that is named can be pulled, and that every other tag can.
fn check_pulls(damage: &Damage<'_>) -> Result<(), String> {
    let registry = match damage.user {
        Some(user) => PeerRegistry::start_as(user, damage.root),
        None => PeerRegistry::start(damage.root),
    };
    // A platform is missing in an index whose other platforms are there.
    let is_hurt = |code: &str| {
        kind(code).severity() == Severity::Error || matches!(kind(code), Kind::MissingChild | Kind::AbsentChild)
    };
    let hurt = damage.expected.iter().filter(|(code, ..)| is_hurt(code)).flat_map(|(.., images)| images.clone());
    let hurt: BTreeSet<String> = hurt.chain(damage.unknown.iter().map(|&tag| tag.to_owned())).collect();
    for image in TAGS.iter().map(|&tag| tag.to_owned()).chain(hurt.clone()) {
        let (repository, reference) = image.split_once(['@', ':']).unwrap();
        let pulled = can_be_pulled(&registry, repository, reference);
        if pulled == hurt.contains(&image) {
            return Err(format!("{image} is told to be hurt: {pulled}, and can be pulled: {pulled}"));
        }
    }
    Ok(())
}

/// Damages a copy of the store, and returns what is not as expected.
fn check(store: &Store, before: &BTreeSet<Told>, (case, damage): &(&str, Case)) -> Vec<String> {
    let root = copied(store.root.path());
    let mut damaged = Damage::new(root.path(), &store.scenario);
    damage(&mut damaged);
    let run = verify(root.path());
    let mut found: BTreeSet<Told> = told(&run).difference(before).cloned().collect();
    if !damaged.expected.iter().any(|(code, ..)| code == "RG040") {
        // What only the damaged image needed.
        found.retain(|(code, ..)| code != "RG040");
    }
    // The human-readable report is the same.
    let human = regc(["verify", "--quiet", "--root", root.path().to_str().unwrap()]);
    let codes = human.stdout.lines().filter_map(|line| line.split_once(' ')?.0.strip_prefix("RG"));
    let mut codes: Vec<String> = codes.map(|code| format!("RG{code}")).collect();
    let wrong = told(&run).into_iter().map(|(code, ..)| code).filter(|code| kind(code).severity() < Severity::Note);
    let mut wrong: Vec<String> = wrong.collect();
    codes.sort();
    wrong.sort();
    let is_harmless = damaged.expected.iter().all(|(code, ..)| kind(code).severity() == Severity::Note);
    let mut failures = Vec::new();
    if found != damaged.expected || run.code != if is_harmless { 0 } else { 3 } {
        let Damage { expected, .. } = &damaged;
        failures.push(format!("{case}: {}, {found:#?}\ninstead of {expected:#?}\n{}", run.code, run.stderr));
    }
    if codes != wrong {
        failures.push(format!("{case}: people are told {codes:?}, programs {wrong:?}"));
    }
    failures.extend(check_pulls(&damaged).err().map(|failure| format!("{case}: {failure}")));
    failures
}

#[test]
fn every_damage_is_found_with_its_code_and_images_and_is_what_clients_meet() {
    let store = store();
    let before = verify(store.root.path());
    assert_eq!(before.code, 0, "{}", before.stdout);
    let before = told(&before);
    let failures = check_all(|case| check(&store, &before, case));
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn every_kind_of_damage_is_tried() {
    let text = include_str!("damage.rs");
    for kind in Kind::ALL.into_iter().filter(|kind| !ELSEWHERE.contains(kind)) {
        assert!(text.contains(&format!(".expect(\"{}\"", kind.code())), "{}", kind.code());
    }
}

/// Asserts that nothing is wrong; notes are allowed.
fn assert_whole(root: &Path, when: &str) {
    let run = verify(root);
    let wrong: Vec<Told> = told(&run).into_iter().filter(|(code, ..)| kind(code).severity() < Severity::Note).collect();
    assert_eq!((run.code, wrong), (0, Vec::new()), "{when}: {}", run.stderr);
}

/// Asserts that nothing is reported at all.
fn assert_clean(root: &Path, when: &str) {
    let run = verify(root);
    assert_eq!((run.code, told(&run)), (0, BTreeSet::new()), "{when}: {}", run.stderr);
}

#[test]
fn commands_leave_whole_store_whole() {
    let store = store();
    for commands in [
        &[][..],
        &[&["gc"][..]],
        &[&["gc", "-m"]],
        &[&["gc", "--tidy"], &["gc", "-m", "--tidy"]],
        &[&["gc", "-m", "--trash"], &["trash", "restore"]],
        &[&["gc", "-m", "--trash"], &["trash", "empty"]],
        &[&["rm", "--yes", "other:moving", "team/app:v1"], &["gc", "-m"]],
        &[&["rm", "--yes", "team/app"]],
        &[&["rm", "--yes", "--trash", "mirror"], &["trash", "restore"]],
        &[&["prune", "--yes", "--keep", "1"], &["gc"]],
    ] {
        let root = copied(store.root.path());
        let config = peer::write_config(store.work.path(), root.path(), 0);
        for command in commands {
            let run = regc([command, &["--config", config.to_str().unwrap()][..]].concat());
            assert_eq!(run.code, 0, "{command:?}: {}", run.stderr);
        }
        assert_whole(root.path(), &format!("{commands:?}"));
    }
}

#[test]
fn verify_reports_nothing_of_pushed_or_tidied_store() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = store();
    let registry = PeerRegistry::start(root.path());
    for (image, reference, format) in [
        ("one", "app:v1", "oci"),
        ("two", "app:v2", "v2s2"),
        ("oci-index", "app:multi", "oci"),
        ("docker-list", "team/tools:list", "v2s2"),
        ("one", "team/tools:v1", "oci"),
    ] {
        registry.push(&store.scenario.images, image, reference, format);
        assert_clean(root.path(), "while the registry runs");
    }
    registry.begin_upload("app", b"begun just now");
    registry.stop();
    assert_clean(root.path(), "a store that was just written");

    let uploads = store.root.path().join(layout::uploads("team/app"));
    let upload = fs::read_dir(uploads).unwrap().next().unwrap().unwrap().path();
    peer::make_upload_old(&upload);
    let codes = |run: &Run| told(run).into_iter().map(|(code, ..)| code).collect::<BTreeSet<_>>();
    assert_eq!(codes(&verify(store.root.path())), BTreeSet::from(["RG040".to_owned(), "RG041".to_owned()]));
    let config = peer::write_config(work.path(), store.root.path(), 0);
    assert_eq!(regc(["gc", "-m", "--tidy", config.to_str().unwrap()]).code, 0);
    assert_clean(store.root.path(), "a store that was tidied");
}

#[test]
fn verify_reports_only_links_after_registrys_own_collection() {
    let store = store();
    let config = peer::write_config(store.work.path(), store.root.path(), 0);
    assert!(peer::garbage_collect(&config, &[]).status.success());
    // It leaves the links of the layers that it deletes.
    let found = told(&verify(store.root.path()));
    assert!(!found.is_empty() && found.iter().all(|(code, ..)| code == "RG026"), "{found:?}");
    assert_eq!(regc(["gc", config.to_str().unwrap()]).code, 0);
    assert_whole(store.root.path(), "and regc removes them");
}

#[test]
fn the_store_that_ships_with_the_repository_is_whole() {
    assert_whole(&fixture::tree(), "the directory");
    let root = tempfile::tempdir().unwrap();
    fixture::unpack(root.path());
    assert_whole(root.path(), "the archive");
    let [gc, dry] = [&["-m"][..], &["--dry-run"]]
        .map(|mode| regc([&["gc", "--root", root.path().to_str().unwrap()], mode].concat()));
    assert_eq!((gc.code, dry.code), (0, 0));
    assert_whole(root.path(), "the archive, collected");
}

#[test]
fn stores_made_at_random_are_whole_but_for_platforms_that_are_not_there() {
    let features = Features { referrers: true, partial_repositories: true };
    for seed in 0..40 {
        let registry = generate::registry(seed, features);
        let root = registry.on_disk();
        let mut expected = BTreeSet::new();
        for repository in oracle::repositories(&registry) {
            let revisions = oracle::revisions(&registry, &repository);
            for index in &revisions {
                let text = registry.get(&layout::blob_data(index)).unwrap();
                let manifest: Value = serde_json::from_slice(text).unwrap();
                let children = manifest["manifests"].as_array().into_iter().flatten();
                let children = children.map(|child| child["digest"].as_str().unwrap().parse::<Digest>().unwrap());
                let (here, missing): (Vec<_>, Vec<_>) = children.partition(|child| revisions.contains(child));
                // A platform that the repository never had may be missing, unless the repository has none at all.
                let is_lost = |child: &Digest| {
                    let was_deleted = root.path().join(layout::revision(&repository, child)).exists();
                    let end = layout::link_below(child);
                    let tags = format!("{}/", layout::tags(&repository));
                    let is_remembered = registry.keys().any(|key| key.starts_with(&tags) && key.ends_with(&end));
                    here.is_empty() || was_deleted || is_remembered
                };
                let lost = missing.into_iter().filter(is_lost);
                expected.extend(lost.map(|child| layout::revision_link(&repository, &child)));
            }
        }
        let wrong: Vec<Told> = told(&verify(root.path())).into_iter().collect();
        let wrong = wrong.into_iter().filter(|(code, ..)| kind(code).severity() < Severity::Note);
        let found: BTreeSet<(String, String)> = wrong.map(|(code, path, _)| (code, path)).collect();
        let expected: BTreeSet<_> = expected.into_iter().map(|path| ("RG023".to_owned(), path)).collect();
        assert_eq!(found, expected, "seed {seed}");
    }
}

#[test]
fn verify_accepts_images_pushed_by_sha512() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let registry = PeerRegistry::start(root.path());
    let upload = |algorithm, content: &[u8]| {
        let digest = Digest::of(algorithm, content).to_string();
        registry.upload("app", &digest, content);
        digest
    };
    let put = |tag: &str, media_type: &str, text: String| {
        let path = format!("/v2/app/manifests/{tag}");
        assert_eq!(registry.send_as("PUT", &path, media_type, text.as_bytes()).status, 201);
    };
    let (image, index) = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json");
    let (config, layer) = (upload(Algorithm::Sha256, b"{}"), upload(Algorithm::Sha512, b"a layer"));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{image}","config":{{"digest":"{config}","size":2}},
            "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":7}}]}}"#
    );
    put("v1", image, manifest.clone());
    let child = upload(Algorithm::Sha512, manifest.as_bytes());
    let size = manifest.len();
    put(
        "multi",
        index,
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{index}",
                "manifests":[{{"mediaType":"{image}","digest":"{child}","size":{size}}}]}}"#
        ),
    );
    registry.stop();
    assert_clean(root.path(), "as it was pushed");
    let config = peer::write_config(work.path(), root.path(), 0);
    assert_eq!(regc(["gc", "-m", "--tidy", config.to_str().unwrap()]).code, 0);
    assert_clean(root.path(), "collected");
}
