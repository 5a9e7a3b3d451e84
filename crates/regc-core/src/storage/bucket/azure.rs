//! Containers of Azure's blob storage.

mod batch;
mod credentials;
mod xml;

use std::ops::ControlFlow;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, Method, StatusCode};
use object_store::azure::{AzureAuthorizer, AzureCredentialProvider};
use object_store::client::HttpRequest;

use super::failure::{self, Failure, is_busy, is_done};
use super::http::{Answer, Headers, Http, Purpose, encoded, unsigned};
use super::listing::{self, Answered, From};
use super::{Bucket, Deleted, below};
use crate::error::Error;
use crate::registry::{config, layout};

/// A container.
pub(super) struct Azure {
    config: config::Azure,
    /// The container's URL.
    url: String,
    /// What the names of the store's blobs begin with.
    root: String,
    http: Http,
    credentials: AzureCredentialProvider,
}

impl Azure {
    /// Prepares requests to the container, and finds out how the names of the store's blobs begin.
    pub(super) fn new(config: &config::Azure) -> Result<Self, Error> {
        let url = format!("{}/{}", config.service_url, encoded(&config.container, false));
        reqwest::Url::parse(&url)
            .map_err(|error| Error::Config(format!("storage.azure.serviceurl is not a URL: {error}")))?;
        let http = Http::new(&url, false)?;
        let credentials = credentials::provider(config)?;
        let mut azure = Self { config: config.clone(), url, root: String::new(), http, credentials };
        azure.refuse_hierarchy()?;
        azure.root = azure.find_root()?;
        Ok(azure)
    }

    /// Fails if the account has real directories: there, a blob's directory stays when the blob is deleted, and a
    /// listing has another order.
    fn refuse_hierarchy(&self) -> Result<(), Error> {
        let name = self.name();
        let purpose = Purpose { action: "read the properties of", path: &name };
        let answer =
            self.send(purpose, &Method::GET, &self.of_container("comp=properties&restype=account"), &[], &[])?;
        let is_enabled = answer.headers.get("x-ms-is-hns-enabled").is_some_and(|enabled| enabled == "true");
        // Who may not ask finds out by the first directory that is listed.
        if is_enabled { Err(self.hierarchy()) } else { Ok(()) }
    }

    fn hierarchy(&self) -> Error {
        Error::Config(format!(
            "storage.azure.accountname: the account {} has a hierarchical namespace, which is not supported",
            self.config.account
        ))
    }

    /// Returns what the names of the store's blobs begin with: a slash, if registry 2.8 or GitLab's wrote them.
    fn find_root(&self) -> Result<String, Error> {
        let root = below(&self.config.root);
        let with_slash = format!("/{root}");
        match self.config.leading_slash {
            Some(true) => return Ok(with_slash),
            Some(false) => return Ok(root),
            None => {}
        }
        match (self.has_layout(&root)?, self.has_layout(&with_slash)?) {
            (true, true) => Err(Error::Config(format!(
                "storage.azure.container: {} has a store below {root}{layout} and another one below {with_slash}{layout}; set \
                 storage.azure.legacyrootprefix to false for the first, as registry 3 reads it, or to true for the second, as \
                 registry 2 does",
                self.config.container,
                layout = layout::ROOT,
            ))),
            (false, true) => Ok(with_slash),
            (_, false) => Ok(root),
        }
    }

    fn has_layout(&self, root: &str) -> Result<bool, Error> {
        Ok(listing::first(self, &format!("{root}{}/", layout::ROOT))?.is_some())
    }

    /// Makes a signed request.
    fn request(&self, method: Method, url: &str, headers: &Headers<'_>, body: Vec<u8>) -> Result<HttpRequest, Error> {
        let credential = self.http.credential(&*self.credentials, &self.config)?;
        let length = body.len();
        let mut request = unsigned(method, url, headers, body)?;
        if length > 0 {
            // It is signed.
            request.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        let authorizer = AzureAuthorizer::new(&credential, &self.config.account);
        let failed = |error| Error::Config(format!("cannot sign a request to {}: {error}", self.config));
        authorizer.try_authorize(&mut request).map_err(failed)?;
        Ok(request)
    }

    fn send(
        &self,
        purpose: Purpose<'_>,
        method: &Method,
        url: &str,
        headers: &Headers<'_>,
        body: &[u8],
    ) -> Result<Answer, Error> {
        let make = || self.request(method.clone(), url, headers, body.to_vec());
        self.http.send(purpose, &make, &is_busy)
    }

    fn of_container(&self, query: &str) -> String {
        format!("{}?{query}", self.url)
    }

    /// Returns a blob's URL. Slashes are encoded, too: else one at the beginning of a name would be lost.
    fn url_of(&self, key: &str) -> String {
        format!("{}/{}", self.url, encoded(key, false))
    }
}

/// Whether the server says that there is no such blob.
fn is_absent(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND && Failure::of(answer).code == "BlobNotFound"
}

impl Bucket for Azure {
    fn name(&self) -> String {
        format!("azure://{}/{}", self.config.account, self.config.container)
    }

    fn root(&self) -> &str {
        &self.root
    }

    fn begins_anywhere(&self) -> bool {
        false
    }

    fn largest_page(&self) -> u16 {
        5000
    }

    fn page(&self, prefix: &str, from: From<'_>, limit: u16) -> Result<Answered, Error> {
        let purpose = Purpose { action: "list", path: prefix };
        let mut query = format!("comp=list&maxresults={limit}&prefix={}&restype=container", encoded(prefix, false));
        if let Some(token) = from.token {
            query += &format!("&marker={}", encoded(token, false));
        }
        let answer = self.send(purpose, &Method::GET, &self.of_container(&query), &[], &[])?;
        match answer.status {
            StatusCode::OK => match xml::page(&answer.body) {
                Ok(listed) if listed.has_directories => Err(self.hierarchy()),
                listed => Ok(listed.map(|listed| listed.page)),
            },
            _ => Err(failure::error(purpose, &answer)),
        }
    }

    fn get(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
        let purpose = Purpose { action: "read", path: key };
        let make = |headers: &Headers<'_>| self.request(Method::GET, &self.url_of(key), headers, Vec::new());
        match self.http.stream(purpose, &make, visit)? {
            None => Ok(true),
            Some(answer) if is_absent(&answer) => Ok(false),
            Some(answer) => Err(failure::error(purpose, &answer)),
        }
    }

    fn put(&self, key: &str, content: &[u8]) -> Result<(), Error> {
        let purpose = Purpose { action: "write", path: key };
        let headers =
            [(HeaderName::from_static("x-ms-blob-type"), "BlockBlob"), (CONTENT_TYPE, "application/octet-stream")];
        let answer = self.send(purpose, &Method::PUT, &self.url_of(key), &headers, content)?;
        if is_done(&answer) { Ok(()) } else { Err(failure::error(purpose, &answer)) }
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        let purpose = Purpose { action: "delete", path: key };
        let answer = self.send(purpose, &Method::DELETE, &self.url_of(key), &[], &[])?;
        if is_done(&answer) || is_absent(&answer) { Ok(()) } else { Err(failure::error(purpose, &answer)) }
    }

    fn deleted_at_once(&self) -> usize {
        batch::MOST
    }

    fn delete_several(&self, keys: &[&str]) -> Result<Deleted, Error> {
        let name = self.name();
        let purpose = Purpose { action: "delete objects of", path: &name };
        let requests = keys.iter().map(|key| self.request(Method::DELETE, &self.url_of(key), &[], Vec::new()));
        let body = batch::body(&requests.collect::<Result<Vec<_>, _>>()?);
        let content_type = format!("multipart/mixed; boundary={}", batch::BOUNDARY);
        let url = self.of_container("comp=batch&restype=container");
        let request = self.request(Method::POST, &url, &[(CONTENT_TYPE, &content_type)], body)?;
        batch::deleted(purpose, keys, self.http.send_once(request))
    }

    /// Whether deleted blobs are kept. Whether there are versions, too, is told only where the account itself is
    /// managed.
    fn keeps_versions(&self) -> Option<bool> {
        let name = self.name();
        let purpose = Purpose { action: "read the properties of", path: &name };
        let url = format!("{}/?comp=properties&restype=service", self.config.service_url);
        let answer = self.send(purpose, &Method::GET, &url, &[], &[]).ok()?;
        let is_kept = answer.status == StatusCode::OK && xml::keeps_deleted(&answer.body);
        is_kept.then_some(true)
    }

    fn writes_in_steps(&self) -> bool {
        true
    }
}
