//! What `regc verify` finds in a store that a real registry wrote, damaged in every way that it knows of; and that what it
//! calls an error is one for that registry's clients.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::thread;

use regc_core::digest::{Algorithm, Digest};
use regc_core::layout;
use regc_core::verify::{Kind, Severity};
use regc_testkit::generate::{self, Features};
use regc_testkit::peer::{self, PeerRegistry};
use regc_testkit::scenario::{self, Scenario};
use regc_testkit::{fixture, oracle, sha256};
use serde_json::Value;

use crate::common::{Run, regc};

/// A store with all that happens to a registry, and one image in two repositories under three tags.
struct Store {
    root: tempfile::TempDir,
    work: tempfile::TempDir,
    scenario: Scenario,
}

/// All tags in it.
const TAGS: [&str; 8] = [
    "mirror:alias",
    "mirror:v1",
    "other:list",
    "other:moving",
    "other:v1",
    "team/app/worker:v1",
    "team/app:multi",
    "team/app:v1",
];

fn store() -> Store {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let registry = PeerRegistry::start(root.path());
    let scenario = scenario::play(&registry, &work.path().join("images"), 3000);
    for tag in ["mirror:v1", "mirror:alias"] {
        registry.push(&scenario.images, "one", tag, "oci");
    }
    registry.stop();
    Store { root, work, scenario }
}

fn copied(root: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let done = Command::new("cp").arg("-a").arg(root.join(".")).arg(copy.path()).status().unwrap();
    assert!(done.success());
    copy
}

fn verify(root: &Path) -> Run {
    regc(["verify", "--format", "json", "--root", root.to_str().unwrap()])
}

/// A finding: its code, its path, and the images.
type Told = (String, String, Vec<String>);

fn told(run: &Run) -> BTreeSet<Told> {
    let lines = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let findings = lines.filter(|line| line["type"] == "finding").map(|line| {
        let images = line["images"].as_array().unwrap().iter().map(|image| image.as_str().unwrap().to_owned());
        let text = |field: &str| line[field].as_str().unwrap().to_owned();
        (text("id"), text("path"), images.collect())
    });
    findings.collect()
}

fn kind(code: &str) -> Kind {
    Kind::of_code(code).unwrap()
}

/// A manifest and what it refers to.
struct Image {
    digest: Digest,
    config: Option<Digest>,
    layers: Vec<Digest>,
    children: Vec<Digest>,
}

/// A copy of the store that is about to be damaged.
struct Damage<'a> {
    root: &'a Path,
    scenario: &'a Scenario,
    expected: BTreeSet<Told>,
    /// The tags that cannot be pulled although they are not named, since nobody knows them.
    unknown: Vec<&'a str>,
    /// Who the registry runs as, if not root.
    user: Option<u32>,
}

impl Damage<'_> {
    /// What a tag names.
    fn image(&self, reference: &str) -> Image {
        let (repository, tag) = reference.split_once(':').unwrap();
        let digest = fs::read_to_string(self.root.join(layout::tag_link(repository, tag))).unwrap();
        self.manifest(&digest)
    }

    fn manifest(&self, digest: &str) -> Image {
        let digest: Digest = digest.parse().unwrap();
        let manifest: Value =
            serde_json::from_slice(&fs::read(self.root.join(layout::blob_data(&digest))).unwrap()).unwrap();
        let parsed = |value: &Value| value["digest"].as_str().map(|digest| digest.parse().unwrap());
        let all = |field: &str| manifest[field].as_array().into_iter().flatten().filter_map(parsed).collect();
        Image { digest, config: parsed(&manifest["config"]), layers: all("layers"), children: all("manifests") }
    }

    /// The image that a tag named before it was overwritten.
    fn overwritten(&self) -> (Digest, String) {
        (self.scenario.overwritten.parse().unwrap(), format!("other@{}", self.scenario.overwritten))
    }

    /// What only the deleted image needed.
    fn doomed(&self) -> Image {
        self.manifest(&self.scenario.doomed)
    }

    fn expect(&mut self, code: &str, path: impl Into<String>, images: &[&str]) {
        let images = images.iter().map(|&image| image.to_owned()).collect();
        self.expected.insert((code.to_owned(), path.into(), images));
    }

    fn write(&self, key: &str, content: impl AsRef<[u8]>) {
        let path = self.root.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn edit(&self, key: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut content = fs::read(self.root.join(key)).unwrap();
        edit(&mut content);
        fs::write(self.root.join(key), content).unwrap();
    }

    /// Removes a file and its directory.
    fn remove(&self, key: &str) {
        fs::remove_dir_all(self.root.join(key).parent().unwrap()).unwrap();
    }

    /// Puts a symbolic link in place of what is there.
    fn lead(&self, key: &str, target: &str) {
        let path = self.root.join(key);
        fs::rename(&path, path.with_file_name("away")).unwrap();
        fs::rename(path.with_file_name("away"), self.root.join("away")).unwrap();
        symlink(target, path).unwrap();
    }

    /// Gives all of the store to a user.
    fn give_to(&mut self, user: u32) {
        let done = Command::new("chown").args(["-R", &format!("{user}:{user}")]).arg(self.root).status().unwrap();
        assert!(done.success(), "this test needs root");
        self.user = Some(user);
    }

    /// Makes something what a restored backup makes of it: root's alone.
    fn keep_to_root(&self, key: &str) {
        let path = self.root.join(key);
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(path, Some(0), Some(0)).unwrap();
    }
}

/// Damages a store, and says what is to be found then.
type Case = fn(&mut Damage<'_>);

/// Everything that can be damaged, by what it is.
const CASES: [(&str, Case); 53] = [
    ("a desktop's file in a repository", |store| {
        let path = format!("{}/.DS_Store", layout::repository("team/app"));
        store.write(&path, "");
        store.expect("RG001", path, &[]);
    }),
    ("a file system's directory among the blobs", |store| {
        let path = format!("{}/sha256/lost+found", layout::BLOBS);
        store.write(&format!("{path}/#1"), "");
        store.expect("RG001", path, &[]);
    }),
    ("a file in place of a layer's directory", |store| {
        let path = layout::layer("other", &sha256(b"a file"));
        store.write(&path, "");
        store.expect("RG001", path, &[]);
    }),
    ("a directory beside blobs and repositories", |store| {
        let path = format!("{}/backup", layout::ROOT);
        store.write(&format!("{path}/file"), "");
        store.expect("RG001", path, &[]);
    }),
    ("a layer that leads nowhere", |store| {
        let three = layout::blob_data(&store.image("other:moving").layers[1]);
        store.lead(&three, "/nowhere");
        store.expect("RG002", three, &["other:moving"]);
    }),
    ("the directory of a layer of several repositories that leads nowhere", |store| {
        let one = layout::blob(&store.image("team/app:v1").layers[1]);
        store.lead(&one, "/nowhere");
        let (_, overwritten) = store.overwritten();
        store.expect("RG002", one, &["mirror:alias", "mirror:v1", &overwritten, "team/app:v1"]);
    }),
    ("a manifest that leads nowhere", |store| {
        let manifest = layout::blob_data(&store.image("other:v1").digest);
        store.lead(&manifest, "/nowhere");
        store.expect("RG002", manifest, &["other:v1"]);
    }),
    ("a tag that leads nowhere", |store| {
        let tag = layout::tag("other", "v1");
        store.lead(&tag, "/nowhere");
        store.expect("RG002", tag, &["other:v1"]);
    }),
    ("a tag's link that leads in a circle", |store| {
        let link = layout::tag_link("other", "v1");
        store.lead(&link, "link");
        store.expect("RG002", link, &["other:v1"]);
    }),
    ("a revision that leads nowhere", |store| {
        let revision = layout::revision("other", &store.image("other:v1").digest);
        store.lead(&revision, "/nowhere");
        store.expect("RG002", revision, &["other:v1"]);
    }),
    ("all revisions of a repository lead nowhere", |store| {
        let revisions = layout::revisions("mirror");
        store.lead(&revisions, "/nowhere");
        store.expect("RG002", revisions, &["mirror:alias", "mirror:v1"]);
    }),
    ("all layer links of a repository lead nowhere", |store| {
        let layers = layout::layers("mirror");
        store.lead(&layers, "/nowhere");
        store.expect("RG002", layers, &["mirror:alias", "mirror:v1"]);
    }),
    ("a repository that leads nowhere", |store| {
        let repository = layout::repository("mirror");
        store.lead(&repository, "/nowhere");
        store.expect("RG002", repository, &[]);
        store.unknown = vec!["mirror:alias", "mirror:v1"];
    }),
    ("a layer that is root's alone", |store| {
        let three = layout::blob_data(&store.image("other:moving").layers[1]);
        store.give_to(1234);
        store.keep_to_root(&three);
        store.expect("RG003", three, &["other:moving"]);
    }),
    ("a tag's link that is root's alone", |store| {
        let link = layout::tag_link("other", "v1");
        store.give_to(1234);
        store.keep_to_root(&link);
        store.expect("RG003", link, &["other:v1"]);
    }),
    ("a layer link that is root's alone", |store| {
        let link = layout::layer_link("other", &store.image("other:moving").layers[1]);
        store.give_to(1234);
        store.keep_to_root(&link);
        store.expect("RG003", link, &["other:moving"]);
    }),
    ("a revision's link that is root's alone", |store| {
        let link = layout::revision_link("other", &store.image("other:v1").digest);
        store.give_to(1234);
        store.keep_to_root(&link);
        store.expect("RG003", link, &["other:v1"]);
    }),
    ("a directory that is root's alone", |store| {
        let directory = format!("{}/sha256", layout::layers("mirror"));
        store.give_to(1234);
        store.keep_to_root(&directory);
        store.expect("RG003", directory, &[]);
        store.unknown = vec!["mirror:alias", "mirror:v1"];
    }),
    // Reading the start of this file fails as reading from a broken disk does.
    ("a layer link that cannot be read", |store| {
        let link = layout::layer_link("other", &store.image("other:moving").layers[1]);
        store.lead(&link, "/proc/self/mem");
        store.expect("RG004", link, &["other:moving"]);
    }),
    ("a manifest that cannot be read", |store| {
        let manifest = layout::blob_data(&store.image("other:v1").digest);
        store.lead(&manifest, "/proc/self/mem");
        store.expect("RG004", manifest, &["other:v1"]);
    }),
    ("a tag that cannot be read", |store| {
        let link = layout::tag_link("other", "v1");
        store.lead(&link, "/proc/self/mem");
        store.expect("RG004", link, &["other:v1"]);
    }),
    ("an empty link of a manifest", |store| {
        let link = layout::revision_link("team/app/worker", &store.image("team/app/worker:v1").digest);
        store.write(&link, "");
        store.expect("RG010", link, &["team/app/worker:v1"]);
    }),
    ("a link of a platform that is cut off", |store| {
        let link = layout::revision_link("team/app", &store.image("team/app:multi").children[1]);
        store.edit(&link, |text| text.truncate(40));
        store.expect("RG010", link, &["team/app:multi"]);
    }),
    ("a link of a manifest that is something else of the right size", |store| {
        let link = layout::revision_link("mirror", &store.image("mirror:v1").digest);
        store.write(&link, [b'x'; 71]);
        store.expect("RG010", link, &["mirror:alias", "mirror:v1"]);
    }),
    ("an empty link of a layer", |store| {
        let link = layout::layer_link("other", &store.image("other:moving").layers[1]);
        store.write(&link, "");
        store.expect("RG011", link, &["other:moving"]);
    }),
    ("a garbled link of a layer of several images", |store| {
        let link = layout::layer_link("other", &store.image("other:v1").layers[0]);
        store.edit(&link, |text| text[0] = 0);
        store.expect("RG011", link, &["other:list", "other:v1"]);
    }),
    ("an empty tag", |store| {
        let link = layout::tag_link("other", "moving");
        store.write(&link, "");
        store.expect("RG012", link, &["other:moving"]);
    }),
    ("a tag that is cut off", |store| {
        let link = layout::tag_link("mirror", "v1");
        store.edit(&link, |text| text.truncate(70));
        store.expect("RG012", link, &["mirror:v1"]);
    }),
    ("a tag whose push was cut off before it named anything", |store| {
        let link = layout::tag_link("other", "v1");
        store.remove(&link);
        store.expect("RG012", link, &["other:v1"]);
    }),
    ("an empty entry in a tag's index", |store| {
        let link = layout::tag_index_link("other", "moving", &store.overwritten().0);
        store.write(&link, "");
        store.expect("RG013", link, &["other:moving"]);
    }),
    ("an entry in a tag's index that names something else", |store| {
        let link = layout::tag_index_link("mirror", "v1", &store.image("mirror:v1").digest);
        store.write(&link, sha256(b"else").to_string());
        store.expect("RG013", link, &["mirror:v1"]);
    }),
    ("a link of a manifest that names another one", |store| {
        let link = layout::revision_link("team/app/worker", &store.image("team/app/worker:v1").digest);
        store.write(&link, store.image("team/app:v1").digest.to_string());
        store.expect("RG014", link, &["team/app/worker:v1"]);
    }),
    ("a link of a layer that names another one", |store| {
        let layers = store.image("other:moving").layers;
        let link = layout::layer_link("other", &layers[1]);
        store.write(&link, layers[0].to_string());
        store.expect("RG014", link, &["other:moving"]);
    }),
    ("a manifest without content in two repositories", |store| {
        let manifest = layout::blob_data(&store.image("team/app:v1").digest);
        store.remove(&manifest);
        store.expect("RG020", &*manifest, &["mirror:alias", "mirror:v1"]);
        store.expect("RG020", manifest, &["team/app:v1"]);
    }),
    ("a manifest's directory that is empty", |store| {
        let manifest = layout::blob_data(&store.image("other:v1").digest);
        fs::remove_file(store.root.join(&manifest)).unwrap();
        store.expect("RG020", manifest, &["other:v1"]);
    }),
    ("a platform without content", |store| {
        let child = layout::blob_data(&store.image("team/app:multi").children[1]);
        store.remove(&child);
        store.expect("RG020", child, &["team/app:multi"]);
    }),
    ("two tags without a link of their manifest", |store| {
        store.remove(&layout::revision_link("mirror", &store.image("mirror:v1").digest));
        store.expect("RG021", layout::tag_link("mirror", "alias"), &["mirror:alias"]);
        store.expect("RG021", layout::tag_link("mirror", "v1"), &["mirror:v1"]);
    }),
    ("a tag that remembers what is gone", |store| {
        let (digest, _) = store.overwritten();
        store.remove(&layout::revision_link("other", &digest));
        store.expect("RG022", layout::tag_index_link("other", "moving", &digest), &[]);
    }),
    ("a platform without link", |store| {
        let link = layout::revision_link("team/app", &store.image("team/app:multi").children[1]);
        store.remove(&link);
        store.expect("RG023", link, &["team/app:multi"]);
    }),
    ("a platform without link and content", |store| {
        let child = store.image("other:list").children[0];
        store.remove(&layout::revision_link("other", &child));
        store.remove(&layout::blob_data(&child));
        store.expect("RG023", layout::revision_link("other", &child), &["other:list"]);
    }),
    ("a layer of three repositories without content", |store| {
        let one = layout::blob_data(&store.image("team/app:v1").layers[1]);
        store.remove(&one);
        let (_, overwritten) = store.overwritten();
        store.expect("RG024", &*one, &["mirror:alias", "mirror:v1"]);
        store.expect("RG024", &*one, &[&overwritten]);
        store.expect("RG024", one, &["team/app:v1"]);
    }),
    ("a configuration without content", |store| {
        let config = layout::blob_data(&store.image("other:moving").config.unwrap());
        store.remove(&config);
        store.expect("RG024", config, &["other:moving"]);
    }),
    ("a layer that is cut off", |store| {
        let three = layout::blob_data(&store.image("other:moving").layers[1]);
        store.edit(&three, |content| content.truncate(1000));
        store.expect("RG025", three, &["other:moving"]);
    }),
    ("an empty layer of several repositories", |store| {
        let one = layout::blob_data(&store.image("team/app:v1").layers[1]);
        store.write(&one, "");
        let (_, overwritten) = store.overwritten();
        store.expect("RG025", one, &["mirror:alias", "mirror:v1", &overwritten, "team/app:v1"]);
    }),
    ("a linked layer without content that nobody needs", |store| {
        let doomed = store.doomed().layers[1];
        store.remove(&layout::blob_data(&doomed));
        store.expect("RG026", layout::layer_link("team/app", &doomed), &[]);
    }),
    ("a layer without link", |store| {
        let link = layout::layer_link("other", &store.image("other:moving").layers[1]);
        store.remove(&link);
        store.expect("RG027", link, &["other:moving"]);
    }),
    ("a layer that only other repositories link", |store| {
        let link = layout::layer_link("mirror", &store.image("mirror:v1").layers[0]);
        store.remove(&link);
        store.expect("RG027", link, &["mirror:alias", "mirror:v1"]);
    }),
    ("a manifest of two repositories that was changed", |store| {
        let manifest = layout::blob_data(&store.image("team/app:v1").digest);
        store.edit(&manifest, |text| text.push(b'\n'));
        store.expect("RG030", manifest, &["mirror:alias", "mirror:v1", "team/app:v1"]);
    }),
    ("an index that is cut off", |store| {
        let index = layout::blob_data(&store.image("other:list").digest);
        store.edit(&index, |text| text.truncate(100));
        store.expect("RG030", index, &["other:list"]);
    }),
    ("an empty platform", |store| {
        let child = layout::blob_data(&store.image("team/app:multi").children[0]);
        store.write(&child, "");
        store.expect("RG030", child, &["team/app:multi"]);
    }),
    ("a manifest that is none", |store| {
        let content = "no manifest";
        let digest = sha256(content.as_bytes());
        store.write(&layout::blob_data(&digest), content);
        for link in [
            layout::revision_link("odd", &digest),
            layout::tag_link("odd", "v1"),
            layout::tag_index_link("odd", "v1", &digest),
        ] {
            store.write(&link, digest.to_string());
        }
        store.expect("RG031", layout::blob_data(&digest), &["odd:v1"]);
    }),
    ("content that nothing refers to", |store| {
        let blob = layout::blob_data(&sha256(b"alone"));
        store.write(&blob, "alone");
        store.expect("RG040", blob, &[]);
    }),
    ("an upload that was given up", |store| {
        let uploads = layout::uploads("team/app");
        let upload = fs::read_dir(store.root.join(&uploads)).unwrap().next().unwrap().unwrap().file_name();
        let upload = format!("{uploads}/{}", upload.to_str().unwrap());
        store.write(&format!("{upload}/startedat"), "2020-01-01T00:00:00Z");
        store.expect("RG041", upload, &[]);
    }),
];

/// The kinds that need more than a look at the store: `--content`, a trash, a rule.
const ELSEWHERE: [Kind; 3] = [Kind::DamagedBlob, Kind::InTrash, Kind::UnknownAge];

/// Whether a client gets all of an image, and what it gets is what it asked for.
fn can_be_pulled(registry: &PeerRegistry, repository: &str, reference: &str) -> bool {
    let Some(answer) = registry.try_get(&format!("/v2/{repository}/manifests/{reference}")) else { return false };
    let digest = sha256(&answer.body).to_string();
    if answer.status != 200 || answer.digest.as_ref() != Some(&digest) {
        return false;
    }
    let Ok(manifest) = serde_json::from_slice::<Value>(&answer.body) else { return false };
    let parts = |field: &str| manifest[field].as_array().cloned().unwrap_or_default();
    let has_children =
        parts("manifests").iter().all(|child| can_be_pulled(registry, repository, child["digest"].as_str().unwrap()));
    let blobs = parts("layers").into_iter().chain(manifest.get("config").cloned());
    has_children
        && blobs.into_iter().all(|part| {
            let digest = part["digest"].as_str().unwrap();
            let is_right = |body: &[u8]| sha256(body).to_string() == digest && body.len() == part["size"];
            let answer = registry.try_get(&format!("/v2/{repository}/blobs/{digest}"));
            answer.is_some_and(|answer| answer.status == 200 && is_right(&answer.body))
        })
}

/// Whether every image that is named cannot be pulled, and every other tag can.
fn check_pulls(damage: &Damage<'_>) -> Result<(), String> {
    let registry = match damage.user {
        Some(user) => PeerRegistry::start_as(user, damage.root),
        None => PeerRegistry::start(damage.root),
    };
    // A platform is missing in an index of which the others are there.
    let is_hurt = |code: &str| kind(code).severity() == Severity::Error || kind(code) == Kind::MissingChild;
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

/// Damages a copy of the store, and answers what is not as it should be then.
fn check(store: &Store, before: &BTreeSet<Told>, (case, damage): &(&str, Case)) -> Vec<String> {
    let root = copied(store.root.path());
    let (expected, unknown) = (BTreeSet::new(), Vec::new());
    let mut damaged = Damage { root: root.path(), scenario: &store.scenario, expected, unknown, user: None };
    damage(&mut damaged);
    let run = verify(root.path());
    let mut found: BTreeSet<Told> = told(&run).difference(before).cloned().collect();
    if !damaged.expected.iter().any(|(code, ..)| code == "RG040") {
        // What only the damaged image needed.
        found.retain(|(code, ..)| code != "RG040");
    }
    let is_harmless = damaged.expected.iter().all(|(code, ..)| kind(code).severity() == Severity::Note);
    let mut failures = Vec::new();
    if found != damaged.expected || run.code != if is_harmless { 0 } else { 3 } {
        let Damage { expected, .. } = &damaged;
        failures.push(format!("{case}: {}, {found:#?}\ninstead of {expected:#?}\n{}", run.code, run.stderr));
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
    let (store, before) = (&store, &before);
    // Most of the time goes in waiting for registries to start.
    let failures: Vec<String> = thread::scope(|scope| {
        let chunks: Vec<_> = CASES
            .chunks(CASES.len().div_ceil(6))
            .map(|cases| {
                scope.spawn(move || cases.iter().flat_map(|case| check(store, before, case)).collect::<Vec<_>>())
            })
            .collect();
        chunks.into_iter().flat_map(|chunk| chunk.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn every_kind_of_damage_is_tried() {
    let text = include_str!("verify.rs");
    for kind in Kind::ALL.into_iter().filter(|kind| !ELSEWHERE.contains(kind)) {
        assert!(text.contains(&format!(".expect(\"{}\"", kind.code())), "{}", kind.code());
    }
}

/// Asserts that nothing is wrong; notes may be told.
fn assert_whole(root: &Path, when: &str) {
    let run = verify(root);
    let wrong: Vec<Told> = told(&run).into_iter().filter(|(code, ..)| kind(code).severity() < Severity::Note).collect();
    assert_eq!((run.code, wrong), (0, Vec::new()), "{when}: {}", run.stderr);
}

/// Asserts that nothing is told at all.
fn assert_clean(root: &Path, when: &str) {
    let run = verify(root);
    assert_eq!((run.code, told(&run)), (0, BTreeSet::new()), "{when}: {}", run.stderr);
}

#[test]
fn whatever_was_done_to_a_whole_store_leaves_it_whole() {
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
fn of_what_was_just_pushed_and_of_what_was_tidied_nothing_is_told() {
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
    fs::write(upload.join("startedat"), "2020-01-01T00:00:00Z").unwrap();
    let codes = |run: &Run| told(run).into_iter().map(|(code, ..)| code).collect::<BTreeSet<_>>();
    assert_eq!(codes(&verify(store.root.path())), BTreeSet::from(["RG040".to_owned(), "RG041".to_owned()]));
    let config = peer::write_config(work.path(), store.root.path(), 0);
    assert_eq!(regc(["gc", "-m", "--tidy", config.to_str().unwrap()]).code, 0);
    assert_clean(store.root.path(), "a store that was tidied");
}

#[test]
fn what_the_registrys_own_collection_leaves_is_told_of_links_alone() {
    let store = store();
    let config = peer::write_config(store.work.path(), store.root.path(), 0);
    assert!(peer::garbage_collect(&config, &[]).status.success());
    // It forgets the links of the layers that it removes.
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
        let mut expected = BTreeSet::new();
        for repository in oracle::repositories(&registry) {
            let revisions = oracle::revisions(&registry, &repository);
            for index in &revisions {
                let text = registry.get(&layout::blob_data(index)).unwrap();
                let manifest: Value = serde_json::from_slice(text).unwrap();
                let children = manifest["manifests"].as_array().into_iter().flatten();
                let children = children.map(|child| child["digest"].as_str().unwrap().parse::<Digest>().unwrap());
                let missing = children.filter(|child| !revisions.contains(child));
                expected.extend(missing.map(|child| layout::revision_link(&repository, &child)));
            }
        }
        let root = registry.on_disk();
        let wrong: Vec<Told> = told(&verify(root.path())).into_iter().collect();
        let wrong = wrong.into_iter().filter(|(code, ..)| kind(code).severity() < Severity::Note);
        let found: BTreeSet<(String, String)> = wrong.map(|(code, path, _)| (code, path)).collect();
        let expected: BTreeSet<_> = expected.into_iter().map(|path| ("RG023".to_owned(), path)).collect();
        assert_eq!(found, expected, "seed {seed}");
    }
}

#[test]
fn what_was_pushed_by_its_sha512_digest_is_whole() {
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
