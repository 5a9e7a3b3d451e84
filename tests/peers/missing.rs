//! What is missing and comes back: unmounted file systems, and files that were lost and restored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use regc_core::registry::layout;
use regc_testkit::oci_layout::{LayerSpec, OciLayout};
use regc_testkit::peer::{self, PeerRegistry};
use regc_testkit::{blobs_below, files_below};
use tempfile::TempDir;

use crate::common::{Run, regc};

/// Twenty images of three layers each in four repositories, and two that were deleted.
struct Store {
    root: TempDir,
    work: TempDir,
    config: PathBuf,
}

const IMAGES: usize = 20;

fn reference(image: usize) -> (String, String) {
    (format!("team/app-{}", image % 4), format!("v{image}"))
}

impl Store {
    fn new() -> Self {
        let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut images = OciLayout::create(work.path().join("images"));
        for image in 0..IMAGES + 2 {
            let names = ["a", "b", "c"].map(|layer| format!("{image} {layer}"));
            let layers: Vec<LayerSpec<'_>> = names.iter().map(|name| LayerSpec { name, bytes: 300 }).collect();
            images.image(&format!("image-{image}"), "amd64", &layers);
        }
        let registry = PeerRegistry::start(root.path());
        for image in 0..IMAGES + 2 {
            let (repository, tag) = reference(image);
            registry.push(images.path(), &format!("image-{image}"), &format!("{repository}:{tag}"), "oci");
            if image >= IMAGES {
                registry.delete(&repository, &registry.digest(&repository, &tag));
            }
        }
        registry.stop();
        let config = peer::write_config(work.path(), root.path(), 0);
        Self { root, work, config }
    }

    fn regc(&self, arguments: &[&str]) -> Run {
        regc(arguments.iter().copied().chain(["--config", self.config.to_str().unwrap()]))
    }

    fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let read = |key: String| (key.clone(), fs::read(self.root.path().join(key)).unwrap());
        files_below(self.root.path()).into_iter().map(read).collect()
    }

    /// Asserts that every image can be pulled by a client that hashes what it gets.
    fn assert_pulls(&self) {
        let registry = PeerRegistry::start(self.root.path());
        for image in 0..IMAGES {
            let (repository, tag) = reference(image);
            let target = self.work.path().join("pulled");
            registry.pull(&format!("{repository}:{tag}"), &target);
            fs::remove_dir_all(target).unwrap();
        }
    }
}

/// Moves the directories of blobs `00` to `7f` away, and leaves empty directories, like mount points.
fn unmount(root: &Path, away: &Path) {
    fs::create_dir_all(away).unwrap();
    for shard in fs::read_dir(root.join(layout::BLOBS).join("sha256")).unwrap() {
        let shard = shard.unwrap();
        if shard.file_name().to_str().unwrap() < "80" {
            fs::rename(shard.path(), away.join(shard.file_name())).unwrap();
            fs::create_dir(shard.path()).unwrap();
        }
    }
}

fn mount(root: &Path, away: &Path) {
    for shard in fs::read_dir(away).unwrap() {
        let shard = shard.unwrap();
        let place = root.join(layout::BLOBS).join("sha256").join(shard.file_name());
        fs::remove_dir(&place).unwrap();
        fs::rename(shard.path(), place).unwrap();
    }
}

#[test]
fn no_image_is_lost_while_half_of_the_blobs_are_not_mounted() {
    let store = Store::new();
    let (root, away) = (store.root.path(), store.work.path().join("disks"));
    unmount(root, &away);
    let before = store.contents();
    for command in [
        &["gc"][..],
        &["gc", "-m", "--tidy", "--quiet"],
        &["rm", "--yes", "team/app-0:v0"],
        &["prune", "--yes", "--keep", "1"],
        &["repair", "--apply"],
    ] {
        let run = store.regc(command);
        assert!(run.code == 1 && run.stderr.contains("may not be mounted"), "{command:?}: {}", run.stderr);
        assert_eq!(store.contents(), before, "{command:?}");
    }
    // With `--allow-missing`, what the missing manifests may need is kept.
    assert_eq!(store.regc(&["gc", "-m", "--allow-missing"]).code, 3);
    mount(root, &away);
    store.assert_pulls();
    assert_eq!(store.regc(&["gc", "-m"]).code, 0);
    store.assert_pulls();
}

#[test]
fn a_lost_manifest_can_be_restored_after_a_collection() {
    let store = Store::new();
    let (repository, tag) = reference(0);
    let link = fs::read_to_string(store.root.path().join(layout::tag_link(&repository, &tag))).unwrap();
    let data = store.root.path().join(layout::blob_data(&link.parse().unwrap()));
    let kept = store.work.path().join("kept");
    fs::rename(&data, &kept).unwrap();
    let run = store.regc(&["gc", "-m"]);
    assert!(run.code == 3 && run.stdout.contains("everything in the repository is kept"), "{}", run.stdout);
    fs::create_dir_all(data.parent().unwrap()).unwrap();
    fs::rename(&kept, &data).unwrap();
    store.assert_pulls();
    assert_eq!(store.regc(&["gc", "-m"]).code, 0);
}

#[test]
fn a_renamed_repository_and_a_tag_without_a_link_lose_no_image() {
    let store = Store::new();
    let repository = |name: &str| store.root.path().join(layout::repository(name));
    let (name, tag) = reference(2);
    let current = store.root.path().join(layout::tag(&name, &tag)).join("current");
    for aside in ["team/app-1~", "_old"] {
        fs::rename(repository("team/app-1"), repository(aside)).unwrap();
        let link = fs::read(current.join(layout::LINK)).unwrap();
        fs::remove_dir_all(&current).unwrap();
        for arguments in [&["gc"][..], &["gc", "-m", "--tidy"]] {
            let run = store.regc(arguments);
            assert!(run.code == 3 && run.stdout.contains(aside), "{arguments:?}: {}{}", run.stdout, run.stderr);
        }
        fs::rename(repository(aside), repository("team/app-1")).unwrap();
        fs::create_dir(&current).unwrap();
        fs::write(current.join(layout::LINK), link).unwrap();
        store.assert_pulls();
    }
    assert!(blobs_below(store.root.path()).len() < 5 * (IMAGES + 2), "what was deleted is collected all the same");
}
