//! File systems that are mounted for a test.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A directory on which a file system is mounted until this is dropped.
pub struct Mounted {
    /// `None` if the caller owns the directory.
    _directory: Option<TempDir>,
    path: PathBuf,
}

impl Mounted {
    /// Mounts a new file system in memory, with these options of its own.
    pub fn tmpfs(options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut mounted = Self::mount(&["-t", "tmpfs", "-o", options, "tmpfs"], directory.path());
        mounted._directory = Some(directory);
        mounted
    }

    /// Mounts what is in `from` once more at `path`.
    pub fn bind(from: &Path, path: &Path) -> Self {
        Self::mount(&["--bind", from.to_str().unwrap()], path)
    }

    /// Mounts a new file system in memory at `path`.
    pub fn tmpfs_at(path: &Path) -> Self {
        Self::mount(&["-t", "tmpfs", "tmpfs"], path)
    }

    fn mount(arguments: &[&str], path: &Path) -> Self {
        let output = Command::new("mount").args(arguments).arg(path).output().expect("mount, of util-linux");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "this test needs root, and a system that lets it mount: {told}");
        Self { _directory: None, path: path.to_owned() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.path).status();
        if !std::thread::panicking() {
            assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.path.display());
        }
    }
}
