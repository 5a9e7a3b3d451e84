//! Real Redis servers, as registries cache in them. `redis-server` and `redis-cli` are a Debian package; a test that needs them
//! fails if they are missing.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server on a free port of the loopback interface. It is stopped when this is dropped.
pub struct RedisServer {
    process: Child,
    directory: TempDir,
    port: u16,
}

impl RedisServer {
    /// Starts a server with these arguments beside those for its port and directory.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_as(None, arguments)
    }

    /// Starts a Sentinel that watches another server under this name.
    pub fn sentinel(name: &str, of: &Self) -> Self {
        Self::start_as(Some(&format!("sentinel monitor {name} 127.0.0.1 {} 1\n", of.port)), &["--sentinel"])
    }

    /// Starts three servers that are a cluster, and waits until they agree.
    pub fn cluster() -> [Self; 3] {
        let nodes = [(); 3].map(|()| {
            let bus = free_port().to_string();
            Self::start(&["--cluster-enabled", "yes", "--cluster-port", &bus])
        });
        let addresses = nodes.each_ref().map(Self::address);
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(&addresses)
            .arg("--cluster-yes")
            .output()
            .unwrap_or_else(|error| missing("redis-cli", &error));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let deadline = Instant::now() + Duration::from_secs(30);
        while !nodes.iter().all(|node| node.ask("CLUSTER INFO").contains("cluster_state:ok")) {
            assert!(Instant::now() < deadline, "the nodes do not become a cluster");
            sleep(Duration::from_millis(50));
        }
        nodes
    }

    fn start_as(config: Option<&str>, arguments: &[&str]) -> Self {
        // Another process may take the port before the server does, so this is retried.
        for _ in 0..10 {
            let (port, directory) = (free_port(), tempfile::tempdir().expect("a temporary directory can be made"));
            let mut command = Command::new("redis-server");
            if let Some(config) = config {
                let path = directory.path().join("redis.conf");
                std::fs::write(&path, config).expect("a configuration can be written");
                command.arg(path);
            }
            let process = command
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
                .arg(directory.path())
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| missing("redis-server", &error));
            let mut server = Self { process, directory, port };
            let deadline = Instant::now() + Duration::from_secs(20);
            while server.process.try_wait().expect("a child can be waited for").is_none() {
                // One with a password answers that it wants it.
                if matches!(server.ask("PING").as_bytes(), [b'+' | b'-', ..]) {
                    return server;
                }
                assert!(Instant::now() < deadline, "redis-server does not answer");
                sleep(Duration::from_millis(20));
            }
        }
        panic!("redis-server cannot be started");
    }

    /// Returns `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The directory of the server.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sends one command, without logging in, and returns what comes back at once; empty if nobody answers.
    fn ask(&self, command: &str) -> String {
        let answer = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.address())?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(format!("{command}\r\n").as_bytes())?;
            let mut part = [0; 4096];
            let length = stream.read(&mut part)?;
            Ok(String::from_utf8_lossy(&part[..length]).into_owned())
        };
        answer().unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have exited already; then there is nothing to stop.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Returns a port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn missing(program: &str, error: &std::io::Error) -> ! {
    match error.kind() {
        ErrorKind::NotFound => panic!(
            "{program} is not installed, and this test is worth nothing without it: `apt-get install redis-server`, or run .ci/run"
        ),
        _ => panic!("{program} cannot be started: {error}"),
    }
}
