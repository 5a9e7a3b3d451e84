//! The store in `fixtures/`, which a real registry wrote.

use std::fs::File;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

/// Returns the path of the store as a directory, without the empty directories, which git does not keep.
pub fn tree() -> PathBuf {
    fixtures().join("registry-2.8.2")
}

/// Returns the path of the store as an archive, with all empty directories.
pub fn archive() -> PathBuf {
    fixtures().join("registry-2.8.2.tar.gz")
}

/// Unpacks the archive below `root`.
pub fn unpack(root: &Path) {
    let file = File::open(archive()).expect("the fixture is there");
    tar::Archive::new(GzDecoder::new(file)).unpack(root).expect("the fixture can be unpacked");
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}
