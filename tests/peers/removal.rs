//! What a real registry still serves when something was deleted from its store on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use regc_core::registry::layout;
use regc_testkit::oci_layout::{LayerSpec, OciLayout};
use regc_testkit::peer::{self, PeerRegistry};
use regc_testkit::{files_below, scenario};
use serde_json::Value;

use crate::common::{Run, regc};

/// A store, and the registry's configuration for it.
struct Store {
    root: tempfile::TempDir,
    work: tempfile::TempDir,
}

/// What each tag pulls: every file with its content.
type Pulled = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

impl Store {
    /// Returns a store that a registry wrote.
    fn written(write: impl FnOnce(&PeerRegistry, &Path)) -> Self {
        let store = Self { root: tempfile::tempdir().unwrap(), work: tempfile::tempdir().unwrap() };
        let registry = PeerRegistry::start(store.root.path());
        write(&registry, store.work.path());
        registry.stop();
        store
    }

    fn regc(&self, command: &str, arguments: &[&str]) -> Run {
        let config = peer::write_config(self.work.path(), self.root.path(), 0);
        regc([&[command, "--config", config.to_str().unwrap()], arguments].concat())
    }

    /// Returns everything that a registry lists and serves from it.
    fn served(&self) -> Pulled {
        let registry = PeerRegistry::start(self.root.path());
        let names = |path: &str, field: &str| -> Vec<String> {
            let answer: Value = serde_json::from_slice(&registry.get(path).body).unwrap();
            let names = answer[field].as_array().into_iter().flatten();
            names.map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        let mut pulled = Pulled::new();
        for repository in names("/v2/_catalog", "repositories") {
            // A repository without tags has nothing but its name.
            pulled.insert(repository.clone(), BTreeMap::new());
            for tag in names(&format!("/v2/{repository}/tags/list"), "tags") {
                let directory = tempfile::tempdir().unwrap();
                let reference = format!("{repository}:{tag}");
                registry.pull(&reference, directory.path());
                let files = files_below(directory.path());
                let content = |file: String| (file.clone(), fs::read(directory.path().join(&file)).unwrap());
                pulled.insert(reference, files.into_iter().map(content).collect());
            }
        }
        pulled
    }

    fn bytes(&self) -> u64 {
        let files = files_below(self.root.path()).into_iter();
        let content = files.filter(|key| key.ends_with("/data") || key.contains("/_uploads/"));
        content.map(|key| fs::metadata(self.root.path().join(key)).unwrap().len()).sum()
    }
}

fn summary(run: &Run) -> Value {
    serde_json::from_str(run.stdout.lines().last().unwrap_or_else(|| panic!("{}", run.stderr))).unwrap()
}

/// Deletes something, after a dry run, and checks that what is served afterwards is what was served before, except
/// `gone`, that as many bytes were freed as reported, and that a collection finds no more than before.
fn remove(store: &Store, command: &str, arguments: &[&str], gone: &[&str]) {
    let (before, bytes) = (store.served(), store.bytes());
    let garbage = |store: &Store| summary(&store.regc("gc", &["-d", "--format", "json"]))["garbage"]["bytes"].clone();
    let garbage_before = garbage(store);
    let told = store.regc(command, &[&["--dry-run", "--format", "json"], arguments].concat());
    assert_eq!(store.bytes(), bytes);
    let done = store.regc(command, &[&["--yes", "--format", "json"], arguments].concat());
    assert_eq!((told.code, done.code), (0, 0), "{}", done.stderr);
    let (told, done) = (&summary(&told)["garbage"], &summary(&done)["removed"]);
    assert_eq!(told, done, "{arguments:?}");
    let freed = told["bytes"].as_u64().unwrap() + told["upload_bytes"].as_u64().unwrap();
    assert_eq!(bytes - store.bytes(), freed, "{arguments:?}");
    assert!(freed > 0, "{arguments:?}");
    let expected: Pulled = before.into_iter().filter(|(name, _)| !gone.contains(&name.as_str())).collect();
    let served = store.served();
    let names = |pulled: &Pulled| pulled.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&served), names(&expected), "{arguments:?}");
    assert!(served == expected, "{arguments:?}: something else is pulled");
    assert_eq!(garbage(store), garbage_before, "{arguments:?}: what was garbage before stays so");
}

#[test]
fn rm_deletes_named_images_and_all_else_is_served() {
    let store = Store::written(|registry, work| {
        scenario::play(registry, &work.join("images"), 20_000);
    });
    remove(&store, "rm", &["other:moving"], &["other:moving"]);
    remove(&store, "rm", &["team/app:mult*"], &["team/app:multi"]);
    let run = store.regc("rm", &["--yes", "other:list", "other:nothing"]);
    assert_eq!(run.code, 1, "nothing is half removed");
    remove(&store, "rm", &["other"], &["other", "other:v1", "other:list"]);
    assert!(store.served().contains_key("team/app/worker:v1"));
}

#[test]
fn a_repository_below_another_one_stays() {
    let store = Store::written(|registry, work| {
        scenario::play(registry, &work.join("images"), 20_000);
    });
    let gone = ["team/app", "team/app:v1", "team/app:multi"];
    // What a deletion left there is deleted with it.
    let before = store.served();
    assert_eq!(store.regc("rm", &["--yes", "team/app"]).code, 0);
    let expected: Pulled = before.into_iter().filter(|(name, _)| !gone.contains(&name.as_str())).collect();
    assert!(store.served() == expected);
    // And it can be pushed to again.
    let registry = PeerRegistry::start(store.root.path());
    registry.push(&store.work.path().join("images"), "one", "team/app:v1", "oci");
    registry.pull("team/app:v1", &store.work.path().join("pulled"));
}

#[test]
fn prune_deletes_unkept_images_and_all_else_is_served() {
    let store = Store::written(|registry, work| {
        let mut images = OciLayout::create(work.join("images"));
        let layer = |name| LayerSpec { name, bytes: 10_000 };
        for name in ["one", "two", "three", "signature"] {
            images.image(name, "amd64", &[layer("base"), layer(name)]);
        }
        images.index("index", &[("amd64", &[layer("base"), layer("amd")]), ("arm64", &[layer("arm")])]);
        let images = images.path().to_owned();
        for (name, tag) in [("one", "v1"), ("one", "stable"), ("two", "v2"), ("index", "v3"), ("three", "v4")] {
            registry.push(&images, name, &format!("app:{tag}"), "oci");
        }
        registry.push(&images, "two", "other:v1", "oci");
        for tag in ["v2", "v3", "v4"] {
            let signature = format!("app:{}.sig", registry.digest("app", tag).replace(':', "-"));
            registry.push(&images, "signature", &signature, "oci");
        }
    });
    let tags = fs::read_dir(store.root.path().join(layout::tags("app"))).unwrap();
    let tags: Vec<String> = tags.map(|tag| tag.unwrap().file_name().into_string().unwrap()).collect();
    let age = |tag: &str| match tag {
        "v1" | "stable" => 50,
        "v2" => 40,
        "v3" => 30,
        "v4" => 20,
        _ => 1,
    };
    for tag in &tags {
        let link = File::open(store.root.path().join(layout::tag_link("app", tag))).unwrap();
        link.set_modified(SystemTime::now() - Duration::from_secs(age(tag) * 86_400)).unwrap();
    }
    let registry = PeerRegistry::start(store.root.path());
    let signature = |tag: &str| format!("app:{}.sig", registry.digest("app", tag).replace(':', "-"));
    let [of_two, of_index] = ["v2", "v3"].map(signature);
    registry.stop();
    // The images of v4 and stable are kept, and so is v1, which is the same image as stable.
    let gone = ["app:v2", "app:v3", of_two.as_str(), of_index.as_str()];
    remove(&store, "prune", &["--keep", "1", "--keep-tag", "^stable$", "--repository", "app"], &gone);
}

#[test]
fn tidy_deletes_only_leftovers() {
    let store = Store::written(|registry, work| {
        scenario::play(registry, &work.join("images"), 20_000);
        let images = work.join("images");
        registry.push(&images, "three", "gone/for/good:v1", "oci");
        registry.delete("gone/for/good", &registry.digest("gone/for/good", "v1"));
        registry.begin_upload("other", &[1; 3000]);
    });
    let mut expected = store.served();
    assert!(expected.remove("gone/for/good").is_some(), "the registry lists it");
    // The upload to `team/app` is old, the one to `other` is not.
    let uploads = store.root.path().join(layout::uploads("team/app"));
    let upload = fs::read_dir(uploads).unwrap().next().unwrap().unwrap().path();
    peer::make_upload_old(&upload);
    let bytes = store.bytes();
    let told = summary(&store.regc("gc", &["--dry-run", "--tidy", "--format", "json"]))["garbage"].clone();
    let run = store.regc("gc", &["--tidy", "--format", "json"]);
    assert_eq!((run.code, &summary(&run)["removed"]), (0, &told), "{}", run.stderr);
    assert_eq!((&told["uploads"], &told["repositories"]), (&1.into(), &1.into()));
    let freed = told["bytes"].as_u64().unwrap() + told["upload_bytes"].as_u64().unwrap();
    assert!(bytes - store.bytes() == freed && !upload.exists());
    assert!(store.served() == expected);
    assert!(!store.root.path().join(layout::repository("gone")).exists());
    let left = fs::read_dir(store.root.path().join(layout::uploads("other"))).unwrap().count();
    assert_eq!(left, 1);
}

#[test]
fn the_signature_of_a_deleted_image_is_deleted_and_all_else_is_served() {
    let store = Store::written(|registry, work| {
        let mut images = OciLayout::create(work.join("images"));
        let layer = |name| LayerSpec { name, bytes: 10_000 };
        for name in ["one", "two", "signature-of-one", "signature-of-two"] {
            images.image(name, "amd64", &[layer(name)]);
        }
        for (image, tag) in [("one", "v1"), ("two", "v2")] {
            registry.push(images.path(), image, &format!("app:{tag}"), "oci");
            let signature = format!("{}.sig", registry.digest("app", tag).replace(':', "-"));
            for repository in ["app", "signatures"] {
                let signature = format!("{repository}:{signature}");
                registry.push(images.path(), &format!("signature-of-{image}"), &signature, "oci");
            }
        }
    });
    let registry = PeerRegistry::start(store.root.path());
    let deleted = registry.digest("app", "v1");
    registry.delete("app", &deleted);
    registry.stop();
    for file in files_below(store.root.path()) {
        let then = SystemTime::now() - Duration::from_secs(8 * 86_400);
        File::open(store.root.path().join(file)).unwrap().set_modified(then).unwrap();
    }
    let mut expected = store.served();
    // The registry's own command keeps the signature, and leaves what proves that the image was there.
    let config = peer::write_config(store.work.path(), store.root.path(), 0);
    assert!(peer::garbage_collect(&config, &[]).status.success());
    let signature = format!("app:{}.sig", deleted.replace(':', "-"));
    assert!(store.served() == expected && expected.remove(&signature).is_some());
    let run = store.regc("gc", &["--tidy", "--format", "json"]);
    assert_eq!((run.code, &summary(&run)["removed"]["tags"]), (0, &1.into()), "{}{}", run.stdout, run.stderr);
    assert!(store.served() == expected);
}
