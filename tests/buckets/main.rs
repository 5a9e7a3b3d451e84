//! regc on registries in buckets: moto as the server, Debian's docker-registry 2.8.2 writing through its driver, and skopeo.
//!
//!     apt-get install docker-registry skopeo; pip install 'moto[s3]' flask flask-cors
//!     cargo test -p regc-cli --test buckets

#[path = "../common/mod.rs"]
mod common;

mod changes;
mod collector;
mod refusals;
mod requests;
mod servers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use regc_testkit::bucket;
use tempfile::TempDir;

use crate::common::{Run, regc};

/// Where the stores of the tests are in their buckets.
const ROOT: &str = "sub/dir/";

/// A configuration file.
struct Configured(TempDir);

impl Configured {
    /// Configures a registry in a bucket.
    fn new(server: SocketAddr, bucket: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.yml"), bucket::config(server, bucket, ROOT, "")).unwrap();
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("config.yml")
    }

    fn regc(&self, arguments: &[&str]) -> Run {
        let path = self.path().into_os_string().into_string().unwrap();
        let (command, flags) = arguments.split_first().unwrap();
        let mut all = vec![*command];
        all.extend_from_slice(flags);
        all.extend(["--config", &path]);
        regc(all)
    }
}

/// Waits until what was written is older than what comes: a server knows whole seconds.
fn next_second() {
    sleep(Duration::from_millis(1100));
}
