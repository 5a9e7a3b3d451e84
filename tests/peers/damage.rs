//! Everything that can be damaged in a store that a real registry wrote, and the findings to expect.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::thread;

use regc_core::Digest;
use regc_core::finding::Kind;
use regc_core::registry::layout;
use regc_testkit::peer::PeerRegistry;
use regc_testkit::scenario::{self, Scenario};
use regc_testkit::sha256;
use serde_json::Value;

/// A store with all that happens to a registry, and one image in two repositories under three tags.
pub struct Store {
    pub root: tempfile::TempDir,
    pub work: tempfile::TempDir,
    pub scenario: Scenario,
}

/// All tags in it.
pub const TAGS: [&str; 8] = [
    "mirror:alias",
    "mirror:v1",
    "other:list",
    "other:moving",
    "other:v1",
    "team/app/worker:v1",
    "team/app:multi",
    "team/app:v1",
];

pub fn store() -> Store {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let registry = PeerRegistry::start(root.path());
    let scenario = scenario::play(&registry, &work.path().join("images"), 3000);
    for tag in ["mirror:v1", "mirror:alias"] {
        registry.push(&scenario.images, "one", tag, "oci");
    }
    registry.stop();
    Store { root, work, scenario }
}

pub fn copied(root: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let done = Command::new("cp").arg("-a").arg(root.join(".")).arg(copy.path()).status().unwrap();
    assert!(done.success());
    copy
}

/// A finding: its code, its path, and the images.
pub type Told = (String, String, Vec<String>);

pub fn kind(code: &str) -> Kind {
    Kind::of_code(code).unwrap()
}

/// A manifest and what it refers to.
pub struct Image {
    digest: Digest,
    config: Option<Digest>,
    layers: Vec<Digest>,
    children: Vec<Digest>,
}

/// A copy of the store that is about to be damaged.
pub struct Damage<'a> {
    pub root: &'a Path,
    pub scenario: &'a Scenario,
    pub expected: BTreeSet<Told>,
    /// The tags that cannot be pulled although no finding names them, since regc cannot list them.
    pub unknown: Vec<&'a str>,
    /// The user that the registry runs as, if not root.
    pub user: Option<u32>,
}

impl<'a> Damage<'a> {
    pub fn new(root: &'a Path, scenario: &'a Scenario) -> Self {
        Self { root, scenario, expected: BTreeSet::new(), unknown: Vec::new(), user: None }
    }
    /// Returns the image that a tag names.
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

    /// Returns the image that a tag named before it was overwritten.
    fn overwritten(&self) -> (Digest, String) {
        (self.scenario.overwritten.parse().unwrap(), format!("other@{}", self.scenario.overwritten))
    }

    /// The image that was deleted.
    fn doomed(&self) -> Image {
        self.manifest(&self.scenario.doomed)
    }

    /// Returns an upload that did not end.
    fn upload(&self) -> String {
        let uploads = layout::uploads("team/app");
        let upload = fs::read_dir(self.root.join(&uploads)).unwrap().next().unwrap().unwrap().file_name();
        format!("{uploads}/{}", upload.to_str().unwrap())
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

    /// Removes a file as the API's deletion does: its directory stays.
    fn unlink(&self, key: &str) {
        fs::remove_file(self.root.join(key)).unwrap();
    }

    /// Replaces what is there with a symbolic link.
    fn lead(&self, key: &str, target: &str) {
        let path = self.root.join(key);
        fs::rename(&path, path.with_file_name("away")).unwrap();
        fs::rename(path.with_file_name("away"), self.root.join("away")).unwrap();
        symlink(target, path).unwrap();
    }

    /// Makes a user the owner of the whole store.
    fn give_to(&mut self, user: u32) {
        let done = Command::new("chown").args(["-R", &format!("{user}:{user}")]).arg(self.root).status().unwrap();
        assert!(done.success(), "this test needs root");
        self.user = Some(user);
    }

    /// Makes something accessible to root alone, as restoring a backup does.
    fn keep_to_root(&self, key: &str) {
        let path = self.root.join(key);
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(path, Some(0), Some(0)).unwrap();
    }
}

/// Damages a store, and records the findings to expect.
pub type Case = fn(&mut Damage<'_>);

/// Everything that can be damaged, with its description.
pub const CASES: [(&str, Case); 61] = [
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
    ("names beside links, in tags, and in an upload", |store| {
        let upload = store.upload();
        let image = store.image("other:v1");
        for directory in [
            layout::layer("other", &image.layers[0]),
            layout::revision("other", &image.digest),
            layout::tag("other", "v1"),
            format!("{}/current", layout::tag("other", "v1")),
            layout::tag_index("other", "v1"),
            format!("{}/sha256", layout::tag_index("other", "v1")),
            format!("{}/sha256/{}", layout::tag_index("other", "v1"), image.digest.hex()),
            layout::blob(&image.layers[0]),
            upload,
        ] {
            store.write(&format!("{directory}/.nfs0001"), "");
            store.expect("RG001", format!("{directory}/.nfs0001"), &[]);
        }
    }),
    ("a repository that was put aside", |store| {
        let [from, to] = ["other", "other~"].map(|name| store.root.join(layout::repository(name)));
        assert!(Command::new("cp").arg("-a").args([&from, &to]).status().unwrap().success());
        store.expect("RG005", layout::repository("other~"), &[]);
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
    ("the directory of a layer that is root's alone", |store| {
        let directory = layout::blob(&store.image("other:moving").layers[1]);
        store.give_to(1234);
        store.keep_to_root(&directory);
        store.expect("RG003", directory, &["other:moving"]);
    }),
    ("the directory of a layer link that is root's alone", |store| {
        let directory = layout::layer("other", &store.image("other:moving").layers[1]);
        store.give_to(1234);
        store.keep_to_root(&directory);
        store.expect("RG003", directory, &["other:moving"]);
    }),
    ("the directory of a revision that is root's alone", |store| {
        let directory = layout::revision("other", &store.image("other:v1").digest);
        store.give_to(1234);
        store.keep_to_root(&directory);
        store.expect("RG003", directory, &["other:v1"]);
    }),
    ("a tag's directory that is root's alone", |store| {
        let directory = layout::tag("other", "v1");
        store.give_to(1234);
        store.keep_to_root(&directory);
        store.expect("RG003", directory, &["other:v1"]);
    }),
    ("a directory that is root's alone", |store| {
        let directory = format!("{}/sha256", layout::layers("mirror"));
        store.give_to(1234);
        store.keep_to_root(&directory);
        store.expect("RG003", directory, &[]);
        store.unknown = vec!["mirror:alias", "mirror:v1"];
    }),
    // Reading the start of this file fails like reading from a broken disk.
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
    ("an empty link of a layer that nobody needs", |store| {
        let link = layout::layer_link("team/app", &store.doomed().layers[1]);
        store.write(&link, "");
        store.expect("RG011", link, &[]);
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
        store.unlink(&link);
        store.expect("RG023", link, &["team/app:multi"]);
    }),
    ("a platform of which there is no trace", |store| {
        let link = layout::revision_link("team/app", &store.image("team/app:multi").children[1]);
        store.remove(&link);
        store.expect("RG028", link, &["team/app:multi"]);
    }),
    ("a platform without link and content", |store| {
        let child = store.image("other:list").children[0];
        store.unlink(&layout::revision_link("other", &child));
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
        let upload = store.upload();
        regc_testkit::peer::make_upload_old(&store.root.join(&upload));
        store.expect("RG041", upload, &[]);
    }),
];

/// Calls `check` for every case, several at once, since most of the time is spent waiting for registries to start, and
/// returns what it found.
pub fn check_all(check: impl Fn(&(&str, Case)) -> Vec<String> + Sync) -> Vec<String> {
    thread::scope(|scope| {
        let check = &check;
        let chunks = CASES.chunks(CASES.len().div_ceil(6));
        let chunks: Vec<_> =
            chunks.map(|cases| scope.spawn(move || cases.iter().flat_map(check).collect::<Vec<_>>())).collect();
        chunks.into_iter().flat_map(|chunk| chunk.join().unwrap()).collect()
    })
}

/// Whether a client gets all of an image, with the content that it asked for.
pub fn can_be_pulled(registry: &PeerRegistry, repository: &str, reference: &str) -> bool {
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
