//! Random stores on disk, with damage and symbolic links.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use regc_core::Digest;
use regc_core::registry::layout;
use walkdir::WalkDir;

use crate::generate::{self, Features};
use crate::oracle::pull::Served;
use crate::{TestRegistry, files_below, oracle};

/// A symbolic link that may give a repository another name, and that repository. What one names, the other names too.
pub const ALIAS: &str = "alias";
/// The repository that has the alias.
pub const ALIASED: &str = "always";

/// The age of everything except a fresh upload.
const AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The upload that is still being written, in every store that has one.
pub const FRESH: &str = "6d1c5e0b-0000-4000-8000-00000000ffff";

/// A store in a directory that is deleted when it is dropped.
pub struct Store {
    directory: tempfile::TempDir,
}

impl Store {
    /// Writes the store of this seed.
    pub fn new(seed: u64) -> Self {
        let store = Self { directory: tempfile::tempdir().expect("a temporary directory can be made") };
        let mut rng = Rng::with_seed(seed);
        let registry = registry(seed, &mut rng);
        registry.write_to(&store.root());
        fs::create_dir_all(store.elsewhere()).expect("a directory can be made");
        if rng.bool() {
            for _ in 0..rng.usize(1..6) {
                damage(&store.root(), &mut rng);
            }
        }
        if rng.u8(..3) == 0 {
            link_elsewhere(&store, &mut rng);
        }
        make_old(store.directory.path());
        if rng.bool() {
            begin_upload(&store.root(), "app");
        }
        store
    }

    /// Returns the storage root.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// Damages some more of its files: each time one, and usually another one of the same digest.
    pub fn damage(&self, rng: &mut Rng, times: usize) {
        for _ in 0..times {
            let Some(damaged) = damage(&self.root(), rng) else { continue };
            let hex = damaged.split('/').find(|component| component.len() == 64);
            let is_file = |key: &String| self.root().join(key).is_file();
            let of_same = |key: &String| hex.is_some_and(|hex| key.contains(hex)) && *key != damaged && is_file(key);
            let others: Vec<String> = files_below(&self.root()).into_iter().filter(of_same).collect();
            if let Some(other) = rng.choice(&others).filter(|_| rng.u8(..4) > 0) {
                harm(&self.root().join(other), rng);
            }
        }
    }

    /// Returns the directory of the targets of the store's symbolic links.
    fn elsewhere(&self) -> PathBuf {
        self.directory.path().join("elsewhere")
    }

    /// Whether no symbolic link leads to the directory of a repository.
    pub fn is_real(&self, repository: &str) -> bool {
        let root = self.root().canonicalize().expect("the root is there");
        let path = root.join(layout::repository(repository));
        path.canonicalize().is_ok_and(|real| real == path)
    }

    /// Deletes a manifest as the API does: the tags that name it, and its link. `served` is what the store serves.
    pub fn delete(&self, served: &Served, repository: &str, digest: &Digest) {
        for tag in served.tags_of(repository, digest) {
            // If a tag is a symbolic link, the registry removes nothing of it.
            fs::remove_dir_all(self.root().join(layout::tag(repository, tag))).ok();
        }
        fs::remove_file(self.root().join(layout::revision_link(repository, digest))).ok();
    }

    /// Copies the store and the targets of its symbolic links, times included.
    pub fn back_up(&self, to: &Path) {
        fs::remove_dir_all(to).ok();
        fs::create_dir_all(to).expect("a directory can be made");
        copy(&self.root(), to);
        copy(&self.elsewhere(), to);
    }

    /// Restores a copy: all of it, or without regc's own files.
    pub fn bring_back(&self, from: &Path, all: bool) {
        let name = if all { "root" } else { "root/docker" };
        let to = self.directory.path().join(name);
        fs::remove_dir_all(&to).ok();
        fs::remove_dir_all(self.elsewhere()).ok();
        copy(&from.join(name), to.parent().expect("below the directory"));
        copy(&from.join("elsewhere"), self.directory.path());
    }
}

fn copy(from: &Path, into: &Path) {
    let status = Command::new("cp").arg("-a").args([from, into]).status().expect("cp can be run");
    assert!(status.success(), "cp failed: {}", from.display());
}

/// Generates a registry with signatures of both kinds.
fn registry(seed: u64, rng: &mut Rng) -> TestRegistry {
    let mut registry = generate::registry(seed, Features { referrers: true, partial_repositories: rng.bool() });
    for name in oracle::repositories(&registry) {
        for digest in oracle::revisions(&registry, &name) {
            if rng.u8(..8) == 0 {
                let tag = format!("{name}:sha256-{}.sig", digest.hex());
                registry.image(&tag).layers([format!("cosign {}", rng.u8(..20))]).push();
            }
        }
    }
    registry
}

/// Damages a file of the registry, and returns its key.
fn damage(root: &Path, rng: &mut Rng) -> Option<String> {
    let part = *rng.choice(&[layout::BLOBS, layout::REPOSITORIES]).expect("one of two");
    // Symbolic links to directories are listed, too.
    let may_be_harmed = |key: &String| !key.contains("/_uploads/") && root.join(key).is_file();
    let keys = files_below(&root.join(part)).into_iter().map(|key| format!("{part}/{key}"));
    let key = rng.choice(keys.filter(may_be_harmed).collect::<Vec<_>>())?;
    harm(&root.join(&key), rng);
    Some(key)
}

fn harm(path: &Path, rng: &mut Rng) {
    let done = match rng.u8(..5) {
        0 => fs::remove_file(path),
        1 => fs::write(path, ""),
        2 => fs::read(path).and_then(|content| fs::write(path, &content[..content.len() / 2])),
        3 => fs::remove_dir_all(path.parent().expect("a file has a parent")),
        _ => fs::write(path, "something else"),
    };
    done.expect("a file can be changed");
}

/// Replaces something by a symbolic link, as administrators do.
fn link_elsewhere(store: &Store, rng: &mut Rng) {
    let (root, elsewhere) = (store.root(), store.elsewhere());
    let blobs = root.join(layout::BLOBS).join("sha256");
    let repositories = root.join(layout::REPOSITORIES);
    match rng.u8(..5) {
        0 => move_and_link(&root.join(layout::BLOBS), &elsewhere.join("blobs")),
        1 => {
            let shards: Vec<PathBuf> =
                fs::read_dir(&blobs).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            if let Some(shard) = rng.choice(&shards) {
                move_and_link(shard, &elsewhere.join("shard"));
            }
        }
        2 => symlink(ALIASED, repositories.join(ALIAS)).expect("a link can be made"),
        3 => symlink("v1", repositories.join("always/_manifests/tags/linked")).expect("a link can be made"),
        _ => move_and_link(&repositories.join("always"), &elsewhere.join("always")),
    }
}

fn move_and_link(path: &Path, to: &Path) {
    fs::rename(path, to).expect("a directory can be moved");
    symlink(to, path).expect("a link can be made");
}

fn make_old(directory: &Path) {
    let then = SystemTime::now() - AGE;
    for entry in WalkDir::new(directory).contents_first(true).into_iter().filter_map(Result::ok) {
        if !entry.path_is_symlink() {
            let changed = File::open(entry.path()).and_then(|file| file.set_modified(then));
            changed.expect("a file's time can be set");
        }
    }
}

fn begin_upload(root: &Path, repository: &str) {
    let directory = root.join(layout::repository(repository)).join(layout::UPLOADS).join(FRESH);
    fs::create_dir_all(&directory).expect("a directory can be made");
    fs::write(directory.join("startedat"), "2026-01-01T00:00:00Z").expect("a file can be written");
    fs::write(directory.join("data"), "just now").expect("a file can be written");
}
