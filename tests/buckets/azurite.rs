//! Azurite, which speaks the protocol of Azure's blob storage, and checks signatures.

use std::net::SocketAddr;

use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
use object_store::client::HttpRequestBody;

use regc_testkit::bucket::{BucketServer, Configuration, Process};

/// The account that every server has.
const ACCOUNT: &str = "devstoreaccount1";

/// Its key, which is public.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server of containers on a free port of the loopback interface. It is stopped when this is dropped.
pub struct Azurite(Process);

impl Azurite {
    /// Starts a server, and waits until it answers.
    pub fn start() -> Self {
        Self(Process::start("AZURITE_BLOB", "azurite-blob", "npm install azurite", |port| {
            let fixed =
                ["--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent", "--blobHost"];
            fixed.into_iter().chain(["127.0.0.1", "--blobPort", port]).map(str::to_owned).collect()
        }))
    }

    /// Writes a blob that content is appended to afterwards: it is empty, as the registry's driver creates a link.
    pub fn begin(&self, container: &str, name: &str) {
        self.send("PUT", &format!("/{container}/{}", name.replace('/', "%2F")), "AppendBlob", &[]);
    }

    /// Deletes a blob.
    pub fn delete(&self, container: &str, name: &str) {
        self.send("DELETE", &format!("/{container}/{}", name.replace('/', "%2F")), "", &[]);
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}/{ACCOUNT}{path}", self.address()))
            .header("content-length", body.len());
        if !kind.is_empty() {
            request = request.header("x-ms-blob-type", kind).header("content-type", "application/octet-stream");
        }
        let mut request = request.body(HttpRequestBody::empty()).expect("the request is well formed");
        let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).expect("it is a key"));
        AzureAuthorizer::new(&credential, ACCOUNT).try_authorize(&mut request).expect("the request can be signed");
        let (parts, _) = request.into_parts();
        let request = ureq::http::Request::from_parts(parts, body);
        let mut answer = ureq::run(request).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        answer.body_mut().read_to_vec().expect("the answer is whole")
    }
}

impl BucketServer for Azurite {
    fn address(&self) -> SocketAddr {
        self.0.address()
    }

    fn create(&self, bucket: &str) {
        self.send("PUT", &format!("/{bucket}?restype=container"), "", &[]);
    }

    fn put(&self, bucket: &str, key: &str, content: &[u8]) {
        self.send("PUT", &format!("/{bucket}/{}", key.replace('/', "%2F")), "BlockBlob", content);
    }

    fn keys(&self, bucket: &str) -> Vec<String> {
        let page = self.send("GET", &format!("/{bucket}?comp=list&restype=container"), "", &[]);
        let page = String::from_utf8(page).expect("names are UTF-8");
        assert!(page.contains("<NextMarker/>"), "all names are on one page");
        let names = page.split("<Name>").skip(1).filter_map(|rest| rest.split("</Name>").next());
        names.map(str::to_owned).collect()
    }

    fn config(&self, address: SocketAddr, bucket: &str, root: &str) -> Configuration {
        let text = format!(
            "version: 0.1\nstorage:\n  azure:\n    accountname: {ACCOUNT}\n    accountkey: {KEY}\n    container: {bucket}\n    \
             serviceurl: http://{address}/{ACCOUNT}\n    rootdirectory: /{root}\n"
        );
        Configuration { text, environment: Vec::new() }
    }
}
