//! Servers of buckets, and a proxy in front of them.
//!
//! They are packages of PyPI and npm. A test that needs one fails if it is missing.

mod fake_gcs;
mod moto;
mod proxy;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub use self::fake_gcs::FakeGcs;
pub use self::moto::Moto;
pub use self::proxy::{Fate, Proxy};
use crate::TestRegistry;

/// A server of buckets on a free port of the loopback interface. It is stopped when this is dropped.
pub trait BucketServer {
    /// Returns where it listens.
    fn address(&self) -> SocketAddr;

    /// Creates an empty bucket.
    fn create(&self, bucket: &str);

    /// Writes an object.
    fn put(&self, bucket: &str, key: &str, content: &[u8]);

    /// Returns the keys of a bucket.
    fn keys(&self, bucket: &str) -> Vec<String>;

    /// Returns the configuration of a registry in a bucket, which is reached at an address: this server's, or that of a
    /// proxy. `root` is empty or ends with a slash.
    fn config(&self, address: SocketAddr, bucket: &str, root: &str) -> Configuration;

    /// Creates a bucket with the objects of a registry below `root`.
    fn upload(&self, bucket: &str, root: &str, registry: &TestRegistry) {
        self.create(bucket);
        for key in registry.keys() {
            let content = registry.get(key).expect("it is one of its keys");
            self.put(bucket, &format!("{root}{key}"), content);
        }
    }
}

/// A registry's configuration.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Its file.
    pub text: String,
    /// The variables of the environment that belong to it.
    pub environment: Vec<(String, String)>,
}

/// A process that listens on a free port of the loopback interface. It is stopped when this is dropped.
pub struct Process {
    process: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts the program that a variable of the environment names, or the one of this name, and waits until it answers.
    pub fn start(variable: &str, name: &str, install: &str, arguments: impl Fn(&str) -> Vec<String>) -> Self {
        let program = std::env::var_os(variable).unwrap_or_else(|| name.into());
        // Another process may take the port before the server starts, so this is retried.
        for _ in 0..10 {
            let address = free_address();
            let process = Command::new(&program)
                .args(arguments(&address.port().to_string()))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| {
                    panic!(
                        "{name} cannot be started ({error}), and this test is worth nothing without it: `{install}`, name it \
                         in {variable}, or run .ci/run"
                    )
                });
            let mut server = Self { process, address };
            let deadline = Instant::now() + Duration::from_secs(60);
            while server.process.try_wait().expect("a child can be waited for").is_none() {
                if TcpStream::connect(address).is_ok() {
                    return server;
                }
                assert!(Instant::now() < deadline, "{name} does not answer");
                sleep(Duration::from_millis(50));
            }
        }
        panic!("{name} cannot be started");
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have exited already; then there is nothing to stop.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Returns an address of the loopback interface where nothing listens, so far.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("a bound socket has an address")
}

/// Returns the configuration of a registry in a bucket, with the keys of this section in addition.
pub fn config(address: SocketAddr, bucket: &str, root: &str, section: &str) -> String {
    format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  delete: {{enabled: true}}\n  s3:\n    region: us-east-1\n    \
         regionendpoint: http://{address}\n    bucket: {bucket}\n    rootdirectory: /{root}\n    accesskey: key\n    \
         secretkey: not-to-be-shown\n{section}"
    )
}

/// Five repositories with 150 manifests, half of them tagged, and 2,000 blobs, of which some are garbage:
/// the store of which requests are counted.
pub fn measured_registry() -> TestRegistry {
    let mut registry = TestRegistry::new();
    for number in 0..150 {
        let tag = if number % 2 == 0 { format!(":v{number}") } else { String::new() };
        let layers: Vec<String> = (0..10).map(|layer| format!("{number} {layer}")).collect();
        registry.image(&format!("team/app{}{tag}", number % 5)).layers(&layers).push();
    }
    for number in 0..200 {
        registry.blob(format!("garbage {number}"));
    }
    registry
}
