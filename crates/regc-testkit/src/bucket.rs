//! Buckets: moto, a server that speaks S3's protocol, and a proxy in front of it that counts, delays and spoils requests.
//!
//! moto is a package of PyPI. A test that needs it fails if it is missing.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use crate::TestRegistry;

/// A server of buckets on a free port of the loopback interface. It is stopped when this is dropped.
pub struct Moto {
    process: Child,
    address: SocketAddr,
}

/// The environment variable that names the program.
pub const PROGRAM: &str = "MOTO_SERVER";

impl Moto {
    /// Starts a server, and waits until it answers.
    pub fn start() -> Self {
        let program = std::env::var_os(PROGRAM).unwrap_or_else(|| "moto_server".into());
        // Another process may take the port before the server starts, so this is retried.
        for _ in 0..10 {
            let address = free_address();
            let process = Command::new(&program)
                .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| {
                    panic!(
                        "moto_server cannot be started ({error}), and this test is worth nothing without it: \
                         `pip install 'moto[s3]' flask flask-cors`, name it in {PROGRAM}, or run .ci/run"
                    )
                });
            let mut server = Self { process, address };
            let deadline = Instant::now() + Duration::from_secs(60);
            while server.process.try_wait().expect("a child can be waited for").is_none() {
                if TcpStream::connect(address).is_ok() {
                    return server;
                }
                assert!(Instant::now() < deadline, "moto_server does not answer");
                sleep(Duration::from_millis(50));
            }
        }
        panic!("moto_server cannot be started");
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Creates a bucket with the objects of a registry below `root`.
    pub fn upload(&self, bucket: &str, root: &str, registry: &TestRegistry) {
        self.create(bucket);
        for key in registry.keys() {
            let content = registry.get(key).expect("it is one of its keys");
            self.put(bucket, &format!("{root}{key}"), content);
        }
    }

    /// Creates an empty bucket.
    pub fn create(&self, bucket: &str) {
        self.send("PUT", &format!("/{bucket}"), &[]);
    }

    /// Writes an object.
    pub fn put(&self, bucket: &str, key: &str, content: &[u8]) {
        self.send("PUT", &format!("/{bucket}/{key}"), content);
    }

    /// Returns the objects of a bucket, by key.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let keys = self.keys(bucket).into_iter();
        keys.map(|key| (key.clone(), self.send("GET", &format!("/{bucket}/{key}"), &[]))).collect()
    }

    /// Returns the keys of a bucket.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = keys.last().cloned().unwrap_or_default();
            let page = self.send("GET", &format!("/{bucket}?list-type=2&start-after={after}"), &[]);
            let page = String::from_utf8(page).expect("keys are UTF-8");
            let found = page.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
            keys.extend(found.map(str::to_owned));
            if !page.contains("<IsTruncated>true") {
                return keys;
            }
        }
    }

    /// Returns how many uploads in several parts are pending.
    pub fn pending_uploads(&self, bucket: &str) -> usize {
        String::from_utf8_lossy(&self.send("GET", &format!("/{bucket}?uploads="), &[])).matches("<UploadId>").count()
    }

    /// Makes a bucket keep what is deleted.
    pub fn keep_versions(&self, bucket: &str) {
        let text = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        self.send("PUT", &format!("/{bucket}?versioning"), text.as_bytes());
    }

    fn send(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", "application/octet-stream")
            // The server does not check signatures, but asks for one.
            .header("authorization", "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request")
            .body(body)
            .expect("the request is well formed");
        let mut answer = ureq::run(request).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        answer.body_mut().read_to_vec().expect("the answer is whole")
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have exited already; then there is nothing to stop.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn free_address() -> SocketAddr {
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

/// What a proxy makes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on, and so is the answer.
    Pass,
    /// It is not passed on; this is the answer: a status line such as `503 Slow Down`, and a body.
    Answer(&'static str, String),
    /// It is passed on, and the answer is changed: what is left is replaced by what is right.
    Replace(&'static str, &'static str),
    /// It is passed on, and the connection is closed after so many bytes of the answer.
    Cut(usize),
    /// It is passed on as a request for the whole object, whatever range it is for.
    Whole,
}

/// Decides about each request, by its number from 0 and its first line: `GET /bucket?… HTTP/1.1`.
type Decide = dyn Fn(usize, &str) -> Fate + Send + Sync;

/// A server that passes requests on to another one.
pub struct Proxy {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts a proxy in front of a server, which delays every answer.
    pub fn start(
        target: SocketAddr,
        delay: Duration,
        decide: impl Fn(usize, &str) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (requests, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (noted, stop, decide): (_, _, Arc<Decide>) = (requests.clone(), is_over.clone(), Arc::new(decide));
        spawn(move || {
            for connection in listener.incoming() {
                if stop.load(Relaxed) {
                    return;
                }
                let (noted, decide) = (noted.clone(), decide.clone());
                // A client that is killed closes its end: there is no one to tell.
                spawn(move || {
                    connection.and_then(|connection| serve(connection, target, delay, &noted, &*decide)).ok()
                });
            }
        });
        Self { address, requests, is_over }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the first lines of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        // Wakes the thread that accepts connections.
        TcpStream::connect(self.address).ok();
    }
}

fn serve(
    mut client: TcpStream,
    target: SocketAddr,
    delay: Duration,
    noted: &Mutex<Vec<String>>,
    decide: &Decide,
) -> io::Result<()> {
    let request = read_request(&mut client)?;
    if request.is_empty() {
        return Ok(());
    }
    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
    let number = {
        let mut noted = noted.lock().unwrap();
        noted.push(line.clone());
        noted.len() - 1
    };
    let fate = decide(number, &line);
    sleep(delay);
    if let Fate::Answer(status, body) = fate {
        let length = body.len();
        write!(client, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")?;
        return client.shutdown(Shutdown::Write);
    }
    let mut server = TcpStream::connect(target)?;
    let end = line.len() + 2;
    server.write_all(&request[..end])?;
    server.write_all(b"connection: close\r\n")?;
    match fate {
        Fate::Whole => server.write_all(&without_range(&request[end..]))?,
        _ => server.write_all(&request[end..])?,
    }
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    match fate {
        Fate::Replace(left, right) => {
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
            let body = String::from_utf8_lossy(&answer[end..]).replace(left, right);
            let length = body.len();
            write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")?;
        }
        Fate::Cut(bytes) => client.write_all(&answer[..answer.len().min(bytes)])?,
        _ => client.write_all(&answer)?,
    }
    client.shutdown(Shutdown::Write)
}

/// Returns a request's headers without the range.
fn without_range(headers: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(headers).into_owned();
    let lines = text.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("range:"));
    lines.collect::<String>().into_bytes()
}

/// Reads a request with its body.
fn read_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut request, mut part) = (Vec::new(), [0; 64 << 10]);
    loop {
        let length = client.read(&mut part)?;
        request.extend_from_slice(&part[..length]);
        let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
            if length == 0 {
                return Ok(Vec::new());
            }
            continue;
        };
        let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
        let body = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let body: usize = body.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        if request.len() >= end + 4 + body {
            return Ok(request);
        }
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
