//! The results of `regc repair`, as a real registry and real clients see them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regc_core::Digest;
use regc_core::registry::layout;
use regc_testkit::peer::{self, PeerRegistry};
use regc_testkit::{files_below, scenario, sha256};
use serde_json::Value;

use crate::common::{Run, regc};
use crate::damage::{self, Case, Damage, TAGS};

/// A store that a registry wrote, and the images that were pushed to it.
struct Store {
    directory: tempfile::TempDir,
}

impl Store {
    fn new() -> Self {
        let store = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(store.root()).unwrap();
        let registry = PeerRegistry::start(&store.root());
        scenario::play(&registry, &store.images(), 20_000);
        registry.stop();
        store
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn images(&self) -> PathBuf {
        self.directory.path().join("images")
    }

    /// Returns the path of a key.
    fn at(&self, key: &str) -> PathBuf {
        self.root().join(key)
    }

    fn repair(&self, arguments: &[&str]) -> Run {
        let config = peer::write_config(self.directory.path(), &self.root(), 0);
        regc([&["repair", "--format", "json", "--config", config.to_str().unwrap()], arguments].concat())
    }

    fn verify(&self) -> (i32, Vec<String>) {
        self.verify_with(&[])
    }

    fn verify_with(&self, arguments: &[&str]) -> (i32, Vec<String>) {
        let run = regc([&["verify", "--format", "json", "--root", self.root().to_str().unwrap()], arguments].concat());
        let lines = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let wrong = lines.filter(|line| line["type"] == "finding" && line["severity"] != "note");
        (run.code, wrong.map(|line| line["code"].as_str().unwrap().to_owned()).collect())
    }

    /// Copies the store, as a backup.
    fn copy(&self, name: &str) -> PathBuf {
        let copy = self.directory.path().join(name);
        assert!(Command::new("cp").arg("-a").arg(self.root()).arg(&copy).status().unwrap().success());
        copy
    }

    /// Returns the digest that a tag names, and the content of the manifest.
    fn manifest(&self, repository: &str, tag: &str) -> (Digest, Value) {
        let digest = fs::read_to_string(self.at(&layout::tag_link(repository, tag))).unwrap().parse().unwrap();
        let content = fs::read(self.at(&layout::blob_data(&digest))).unwrap();
        (digest, serde_json::from_slice(&content).unwrap())
    }
}

fn digest(value: &Value) -> Digest {
    value["digest"].as_str().unwrap().parse().unwrap()
}

/// Whether a client can pull a tag; skopeo checks every digest.
fn can_pull(registry: &PeerRegistry, reference: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let target = format!("dir:{}", directory.path().display());
    let source = registry.image(reference);
    let arguments = ["--insecure-policy", "copy", "--all", "--src-tls-verify=false", &source, &target];
    Command::new("skopeo").args(arguments).output().unwrap().status.success()
}

fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let keys = files_below(root).into_iter().filter(|key| key.starts_with("docker/"));
    keys.map(|key| (key.clone(), fs::read(root.join(key)).unwrap())).collect()
}

#[test]
fn damaged_links_are_repaired() {
    type Damage = fn(&Store) -> PathBuf;
    let damages: [(&str, Damage); 7] = [
        ("RG010", |store| {
            let (digest, _) = store.manifest("team/app", "v1");
            let link = store.at(&layout::revision_link("team/app", &digest));
            fs::write(&link, "").unwrap();
            link
        }),
        ("RG011", |store| {
            let (_, manifest) = store.manifest("team/app", "v1");
            let link = store.at(&layout::layer_link("team/app", &digest(&manifest["layers"][1])));
            fs::write(&link, "sha256:12").unwrap();
            link
        }),
        ("RG014", |store| {
            let (_, manifest) = store.manifest("team/app", "v1");
            let link = store.at(&layout::layer_link("team/app", &digest(&manifest["layers"][1])));
            fs::write(&link, digest(&manifest["layers"][0]).to_string()).unwrap();
            link
        }),
        ("RG027", |store| {
            let (_, manifest) = store.manifest("team/app", "v1");
            let link = store.at(&layout::layer_link("team/app", &digest(&manifest["layers"][1])));
            fs::remove_dir_all(link.parent().unwrap()).unwrap();
            link
        }),
        ("RG021", |store| {
            let (digest, _) = store.manifest("team/app", "v1");
            let link = store.at(&layout::revision_link("team/app", &digest));
            fs::remove_dir_all(link.parent().unwrap()).unwrap();
            link
        }),
        ("RG023", |store| {
            let (_, index) = store.manifest("team/app", "multi");
            let link = store.at(&layout::revision_link("team/app", &digest(&index["manifests"][0])));
            fs::remove_file(&link).unwrap();
            link
        }),
        ("RG013", |store| {
            let (digest, _) = store.manifest("team/app", "v1");
            let link = store.at(&layout::tag_index_link("team/app", "v1", &digest));
            fs::write(&link, "").unwrap();
            link
        }),
    ];
    for (code, damage) in damages {
        let store = Store::new();
        let before = contents(&store.root());
        let link = damage(&store);
        assert_eq!(store.verify(), (3, vec![code.to_owned()]));
        let damaged = contents(&store.root());
        assert_ne!(damaged, before, "{code}");
        let dry = store.repair(&[]);
        assert!(dry.code == 3 && dry.stdout.contains("\"planned\""), "{code}: {}", dry.stdout);
        assert_eq!(contents(&store.root()), damaged, "{code}: it is dry unless told otherwise");
        let run = store.repair(&["--apply"]);
        assert_eq!(run.code, 0, "{code}: {} {}", run.stdout, run.stderr);
        assert_eq!(contents(&store.root()), before, "{code}");
        assert!(link.exists() && store.verify() == (0, Vec::new()), "{code}");
        let registry = PeerRegistry::start(&store.root());
        for tag in scenario::TAGS {
            assert!(can_pull(&registry, tag), "{code}: {tag}");
        }
    }
}

#[test]
fn moved_content_can_be_pushed_again() {
    for what in ["layer", "manifest", "content"] {
        let store = Store::new();
        let (manifest, content) = store.manifest("team/app", "v1");
        let damaged = if what == "manifest" { manifest } else { digest(&content["layers"][1]) };
        let path = store.at(&layout::blob_data(&damaged));
        let whole = fs::read(&path).unwrap();
        let (code, arguments): (_, &[&str]) = match what {
            "layer" => ("RG025", &[]),
            "manifest" => ("RG030", &[]),
            _ => ("RG032", &["--content"]),
        };
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        fs::write(&path, if what == "content" { &changed } else { &whole[..whole.len() / 2] }).unwrap();
        assert_eq!(store.verify_with(arguments), (3, vec![code.to_owned()]), "{what}");

        // For the registry, the content is there, so a push changes nothing.
        let registry = PeerRegistry::start(&store.root());
        let push = || {
            let source = format!("oci:{}:one", store.images().display());
            let target = registry.image("team/app:v1");
            let arguments =
                ["--insecure-policy", "copy", "--dest-tls-verify=false", "--format", "oci", &source, &target];
            Command::new("skopeo").args(arguments).output().unwrap();
        };
        push();
        assert!(!can_pull(&registry, "team/app:v1"), "{what}: it cannot be pulled, however often it is pushed");
        registry.stop();

        let run = store.repair(&[&["--apply"], arguments].concat());
        assert!(
            [0, 3].contains(&run.code) && run.stdout.contains("move_aside"),
            "{what}: {} {}",
            run.stdout,
            run.stderr
        );
        assert!(store.at(&layout::tag_link("team/app", "v1")).exists(), "{what}: its tag waits for the push");
        let registry = PeerRegistry::start(&store.root());
        registry.push(&store.images(), "one", "team/app:v1", "oci");
        assert!(can_pull(&registry, "team/app:v1"), "{what}");
        registry.stop();
        assert_eq!((fs::read(&path).unwrap() == whole, store.verify()), (true, (0, Vec::new())), "{what}");
        let list = regc(["trash", "list", "--json", "--root", store.root().to_str().unwrap()]);
        assert!(list.stdout.contains(r#""blobs":1,"#), "{what}: what was there is kept: {}", list.stdout);
        // And no collection takes the damaged copy for what is missing.
        assert_eq!(regc(["gc", "-d", "--root", store.root().to_str().unwrap()]).code, 0);
    }
}

#[test]
fn repair_takes_content_from_backup() {
    let store = Store::new();
    let before = contents(&store.root());
    let backup = store.copy("backup");
    let (manifest, content) = store.manifest("team/app", "v1");
    let (_, index) = store.manifest("team/app", "multi");
    let lost = [digest(&content["layers"][1]), digest(&content["config"]), digest(&index["manifests"][1])];
    for digest in lost {
        fs::remove_file(store.at(&layout::blob_data(&digest))).unwrap();
    }
    fs::write(store.at(&layout::blob_data(&manifest)), "damaged").unwrap();
    // A backup may be damaged as well; what is damaged there is not taken.
    fs::write(backup.join(layout::blob_data(&lost[1])), "damaged as well").unwrap();
    assert_eq!(store.verify().0, 3);
    let run = store.repair(&["--apply", "--from", backup.to_str().unwrap()]);
    assert_eq!(run.code, 3, "{} {}", run.stdout, run.stderr);
    let (_, left) = store.verify();
    assert!(!left.is_empty() && left.iter().all(|code| code == "RG024"), "{left:?}");
    fs::write(backup.join(layout::blob_data(&lost[1])), &before[&layout::blob_data(&lost[1])]).unwrap();
    let config = peer::write_config(&store.directory.path().join("images"), &backup, 0);
    assert_eq!(store.repair(&["--apply", "--from", config.to_str().unwrap()]).code, 0);
    assert_eq!(contents(&store.root()), before);
    assert_eq!(store.verify(), (0, Vec::new()));
    assert!(!store.root().join(".regc/incoming").exists());
    let registry = PeerRegistry::start(&store.root());
    for tag in scenario::TAGS {
        assert!(can_pull(&registry, tag), "{tag}");
    }
}

#[test]
fn repair_moves_dangling_links_to_trash_and_restore_undoes_it() {
    let store = Store::new();
    let (manifest, _) = store.manifest("team/app", "v1");
    fs::remove_dir_all(store.at(&layout::blob(&manifest))).unwrap();
    let damaged = contents(&store.root());
    assert_eq!(store.verify(), (3, vec!["RG020".to_owned()]));
    let run = store.repair(&["--apply", "--drop-lost"]);
    assert_eq!(run.code, 0, "{} {}", run.stdout, run.stderr);
    let registry = PeerRegistry::start(&store.root());
    let tags: Value = serde_json::from_slice(&registry.get("/v2/team/app/tags/list").body).unwrap();
    assert_eq!(tags["tags"], serde_json::json!(["multi"]), "the registry does not list what nobody can pull");
    assert!(can_pull(&registry, "team/app:multi"));
    registry.stop();
    assert_eq!(regc(["trash", "restore", "--root", store.root().to_str().unwrap()]).code, 0);
    assert_eq!(contents(&store.root()), damaged);
}

/// Returns the tags that a client can pull.
fn pulled(damage: &Damage<'_>) -> BTreeSet<&'static str> {
    let registry = match damage.user {
        Some(user) => PeerRegistry::start_as(user, damage.root),
        None => PeerRegistry::start(damage.root),
    };
    let is_there = |tag: &&&str| {
        let (repository, tag) = tag.split_once(':').unwrap();
        damage::can_be_pulled(&registry, repository, tag)
    };
    TAGS.iter().filter(is_there).copied().collect()
}

/// Returns the codes of what is wrong.
fn codes(root: &Path) -> BTreeSet<String> {
    let run = regc(["verify", "--format", "json", "--root", root.to_str().unwrap()]);
    let lines = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let wrong = lines.filter(|line| line["type"] == "finding" && line["severity"] != "note");
    wrong.map(|line| line["code"].as_str().unwrap().to_owned()).collect()
}

/// What only the operator can repair: the target of a symbolic link, permissions, a broken disk, what a garbled tag
/// named, and a manifest that is none. And a link that a collection deletes, since what needs it is unknown while there
/// is damage.
const UNREPAIRABLE: [&str; 7] = ["RG005", "RG002", "RG003", "RG004", "RG012", "RG026", "RG031"];

/// What needs a backup or a push.
const LOST: [&str; 7] = ["RG020", "RG021", "RG023", "RG024", "RG025", "RG028", "RG030"];

/// Damages a copy of the store and repairs it, without a backup and then with one, and returns what is not as expected.
fn check(store: &damage::Store, (case, damage): &(&str, Case)) -> Vec<String> {
    let root = damage::copied(store.root.path());
    let mut damaged = Damage::new(root.path(), &store.scenario);
    damage(&mut damaged);
    let is_one_of = |codes: &[&str]| damaged.expected.iter().any(|(code, ..)| codes.contains(&&**code));
    let before = pulled(&damaged);
    let repair = |arguments: &[&str]| {
        regc([&["repair", "--apply", "--format", "json", "--root", root.path().to_str().unwrap()], arguments].concat())
    };
    let mut failures = Vec::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            failures.push(format!("{case}: {what}"));
        }
    };
    let run = repair(&[]);
    let after = pulled(&damaged);
    expect([0, 3].contains(&run.code), run.stderr.clone());
    expect(after.is_superset(&before), format!("{:?} cannot be pulled any more", before.difference(&after)));
    let can_all_be = TAGS.iter().all(|tag| after.contains(tag)) && codes(root.path()).is_empty();
    expect(can_all_be || is_one_of(&UNREPAIRABLE) || is_one_of(&LOST), format!("{after:?}, {}", run.stdout));

    let root = damage::copied(store.root.path());
    damaged = Damage::new(root.path(), &store.scenario);
    damage(&mut damaged);
    let backup = store.root.path().to_str().unwrap();
    let run = regc(["repair", "--apply", "--root", root.path().to_str().unwrap(), "--from", backup]);
    let after = pulled(&damaged);
    let can_all_be = TAGS.iter().all(|tag| after.contains(tag)) && codes(root.path()).is_empty();
    let is_repairable = !damaged.expected.iter().any(|(code, ..)| UNREPAIRABLE.contains(&&**code));
    expect(can_all_be || !is_repairable, format!("from a backup: {after:?}, {}{}", run.stdout, run.stderr));
    expect(after.is_superset(&before), format!("from a backup, {:?} cannot be pulled", before.difference(&after)));
    failures
}

#[test]
fn registry_serves_all_that_can_be_served_after_repair() {
    let store = damage::store();
    let failures = damage::check_all(|case| check(&store, case));
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn build_cache_with_missing_layers_is_repaired() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let registry = PeerRegistry::start(root.path());
    let mut entries = Vec::new();
    for (media_type, content) in [
        ("application/vnd.oci.image.layer.v1.tar+gzip", "a layer of the cache"),
        ("application/vnd.oci.image.layer.v1.tar+gzip", "another one"),
        ("application/vnd.buildkit.cacheconfig.v0", "{}"),
    ] {
        let digest = sha256(content.as_bytes()).to_string();
        registry.upload("app/cache", &digest, content.as_bytes());
        entries.push(serde_json::json!({ "mediaType": media_type, "digest": digest, "size": content.len() }));
    }
    let index = "application/vnd.oci.image.index.v1+json";
    let text = serde_json::json!({ "schemaVersion": 2, "mediaType": index, "manifests": entries }).to_string();
    assert_eq!(registry.send_as("PUT", "/v2/app/cache/manifests/main", index, text.as_bytes()).status, 201);
    registry.stop();
    assert_eq!(codes(root.path()), BTreeSet::new());
    let backup = damage::copied(root.path());
    let [first, second] = ["a layer of the cache", "another one"].map(|content| sha256(content.as_bytes()));
    fs::remove_dir_all(root.path().join(layout::blob(&first))).unwrap();
    fs::remove_file(root.path().join(layout::layer_link("app/cache", &second))).unwrap();
    assert_eq!(codes(root.path()), BTreeSet::from(["RG024".to_owned(), "RG027".to_owned()]));
    let config = peer::write_config(work.path(), root.path(), 0);
    let arguments = ["repair", "--apply", "--from", backup.path().to_str().unwrap(), config.to_str().unwrap()];
    let run = regc(arguments);
    assert_eq!((run.code, codes(root.path())), (0, BTreeSet::new()), "{}{}", run.stdout, run.stderr);
    assert_eq!(contents(root.path()), contents(backup.path()));
}

#[test]
fn files_repaired_or_trashed_by_root_belong_to_the_registry_user() {
    let store = Store::new();
    let done = Command::new("chown").args(["-R", "1234:1235"]).arg(store.root()).status().unwrap();
    assert!(done.success(), "this test needs root");
    let backup = store.copy("backup");
    let (manifest, content) = store.manifest("team/app", "v1");
    fs::write(store.at(&layout::revision_link("team/app", &manifest)), "").unwrap();
    fs::remove_dir_all(store.at(&layout::layer("team/app", &digest(&content["config"])))).unwrap();
    fs::remove_dir_all(store.at(&layout::blob(&digest(&content["layers"][0])))).unwrap();
    fs::write(store.at(&layout::blob_data(&digest(&content["layers"][1]))), "damaged").unwrap();
    // The directory above belongs to root, as where volumes are mounted, and so does what root creates.
    assert!(Command::new("chown").arg("0:0").arg(store.root()).status().unwrap().success());
    let (root, binary) = (store.root(), env!("CARGO_BIN_EXE_regc"));
    let run = Command::new("sh")
        .args(["-c", "umask 077; exec \"$@\"", "sh", binary, "repair", "--apply", "--root"])
        .arg(&root)
        .args(["--from", backup.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    let of_others = |directory: &Path| {
        let others = ["(", "!", "-uid", "1234", "-o", "!", "-gid", "1235", ")"];
        let found = Command::new("find").arg(directory).args(others).output().unwrap();
        String::from_utf8(found.stdout).unwrap()
    };
    assert_eq!(of_others(&root.join("docker")), "", "all of it belongs to the registry");
    // What is moved to a trash that belongs to the registry belongs to it, too.
    assert!(Command::new("chown").args(["-R", "1234:1235"]).arg(root.join(".regc")).status().unwrap().success());
    assert_eq!(regc(["gc", "-m", "--trash", "--root", root.to_str().unwrap()]).code, 0);
    assert_eq!(of_others(&root.join(".regc/trash")), "");
    let registry = PeerRegistry::start_as(1234, &store.root());
    assert!(can_pull(&registry, "team/app:v1"));
}
