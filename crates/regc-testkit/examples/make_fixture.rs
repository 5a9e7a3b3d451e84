//! Generates `fixtures/registry-2.8.2` again, with the installed `docker-registry` and `skopeo`:
//!
//!     cargo run -p regc-testkit --example make_fixture

use std::fs::{self, File};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use regc_testkit::fixture;
use regc_testkit::peer::PeerRegistry;
use regc_testkit::scenario;
use walkdir::WalkDir;

fn main() -> std::io::Result<()> {
    let work = tempfile::tempdir()?;
    let tree = fixture::tree();
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    fs::create_dir_all(&tree)?;
    let registry = PeerRegistry::start(&tree);
    scenario::play(&registry, &work.path().join("images"), 3_000);
    registry.stop();

    let mut archive = tar::Builder::new(GzEncoder::new(File::create(fixture::archive())?, Compression::best()));
    archive.mode(tar::HeaderMode::Deterministic);
    archive.append_dir_all(Path::new("docker"), tree.join("docker"))?;
    archive.into_inner()?.finish()?;

    // Git does not keep empty directories, so there must be none here either.
    for entry in WalkDir::new(&tree).contents_first(true) {
        let entry = entry?;
        if entry.file_type().is_dir() && fs::read_dir(entry.path())?.next().is_none() {
            fs::remove_dir(entry.path())?;
        }
    }
    Ok(())
}
