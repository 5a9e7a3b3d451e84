//! moto, a server that speaks S3's protocol. It does not check signatures.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{BucketServer, Configuration, Process};

/// The environment variable that names the program.
const PROGRAM: &str = "MOTO_SERVER";

/// A server of buckets on a free port of the loopback interface. It is stopped when this is dropped.
pub struct Moto(Process);

impl Moto {
    /// Starts a server, and waits until it answers.
    pub fn start() -> Self {
        Self(Process::start(PROGRAM, "moto_server", "pip install 'moto[s3]' flask flask-cors", |port| {
            ["-H", "127.0.0.1", "-p", port].map(str::to_owned).into()
        }))
    }

    /// Returns the objects of a bucket, by key.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let keys = self.keys(bucket).into_iter();
        keys.map(|key| (key.clone(), self.send("GET", &format!("/{bucket}/{key}"), &[]))).collect()
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
            .uri(format!("http://{}{path}", self.address()))
            .header("content-type", "application/octet-stream")
            // The server does not check signatures, but asks for one.
            .header("authorization", "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request")
            .body(body)
            .expect("the request is well formed");
        let mut answer = ureq::run(request).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        answer.body_mut().read_to_vec().expect("the answer is whole")
    }
}

impl BucketServer for Moto {
    fn address(&self) -> SocketAddr {
        self.0.address()
    }

    fn create(&self, bucket: &str) {
        self.send("PUT", &format!("/{bucket}"), &[]);
    }

    fn put(&self, bucket: &str, key: &str, content: &[u8]) {
        self.send("PUT", &format!("/{bucket}/{key}"), content);
    }

    fn keys(&self, bucket: &str) -> Vec<String> {
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

    fn config(&self, address: SocketAddr, bucket: &str, root: &str) -> Configuration {
        Configuration { text: super::config(address, bucket, root, ""), environment: Vec::new() }
    }
}
