//! Buckets of Google Cloud Storage.
//!
//! Listings, contents and single deletions use its JSON interface; only the XML one deletes several objects at once.

mod credentials;
mod json;

use std::ops::ControlFlow;

use http::header::{AUTHORIZATION, CONTENT_TYPE, RANGE};
use http::{Method, StatusCode};
use object_store::client::HttpRequest;
use object_store::gcp::GcpCredentialProvider;

use super::failure::{self, Failure, is_busy, is_done};
use super::http::{Answer, Headers, Http, Purpose, encoded, unsigned};
use super::listing::{Answered, From};
use super::{Bucket, Deleted, below, bulk};
use crate::error::Error;
use crate::registry::config;

/// A bucket of Google Cloud Storage.
pub(super) struct Gcs {
    config: config::Gcs,
    /// What the keys of the store begin with.
    root: String,
    /// The server's URL, without a slash at its end.
    endpoint: String,
    http: Http,
    /// `None` for an emulator.
    credentials: Option<GcpCredentialProvider>,
}

impl Gcs {
    /// Prepares requests to the bucket. Nothing is requested yet.
    pub(super) fn new(config: &config::Gcs) -> Result<Self, Error> {
        let emulator = config.environment.iter().find(|(name, _)| name == "STORAGE_EMULATOR_HOST");
        let emulator = emulator.map(|(_, host)| host.as_str()).filter(|host| !host.is_empty());
        let endpoint = match emulator {
            // Its path, if there is one, is not that of the interface.
            Some(url) => {
                let (scheme, host) = url.split_once("://").unwrap_or(("http", url));
                format!("{scheme}://{}", host.split('/').next().unwrap_or_default())
            }
            None => "https://storage.googleapis.com".to_owned(),
        };
        let http = Http::new(&endpoint, false)?;
        let credentials = if emulator.is_some() { None } else { Some(credentials::provider(config)?) };
        Ok(Self { config: config.clone(), root: below(&config.root), endpoint, http, credentials })
    }

    fn request(
        &self,
        method: Method,
        path_and_query: &str,
        headers: &Headers<'_>,
        body: Vec<u8>,
    ) -> Result<HttpRequest, Error> {
        let credentials = self.credentials.as_ref();
        let credential =
            credentials.map(|credentials| self.http.credential(&**credentials, &self.config)).transpose()?;
        let bearer = credential.map(|credential| format!("Bearer {}", credential.bearer));
        let mut headers = headers.to_vec();
        headers.extend(bearer.as_deref().map(|bearer| (AUTHORIZATION, bearer)));
        unsigned(method, &format!("{}{path_and_query}", self.endpoint), &headers, body)
    }

    fn send(
        &self,
        purpose: Purpose<'_>,
        method: &Method,
        path_and_query: &str,
        headers: &Headers<'_>,
        body: &[u8],
    ) -> Result<Answer, Error> {
        let make = || self.request(method.clone(), path_and_query, headers, body.to_vec());
        self.http.send(purpose, &make, &is_busy)
    }

    /// Returns the path of the bucket's objects.
    fn objects(&self) -> String {
        format!("/storage/v1/b/{}/o", encoded(&self.config.bucket, false))
    }

    fn path_of(&self, key: &str) -> String {
        format!("{}/{}", self.objects(), encoded(key, false))
    }
}

/// Whether the server itself says that there is no such object: not a proxy, nor for want of the bucket.
fn is_absent(answer: &Answer) -> bool {
    let Failure { code, message } = Failure::of(answer);
    // An emulator says no more.
    let is_of_object = message.starts_with("No such object") || message == "Not Found";
    answer.status == StatusCode::NOT_FOUND && matches!(&*code, "notFound" | "Not Found") && is_of_object
}

impl Bucket for Gcs {
    fn name(&self) -> String {
        format!("gs://{}", self.config.bucket)
    }

    fn root(&self) -> &str {
        &self.root
    }

    fn page(&self, prefix: &str, from: From<'_>, limit: u16) -> Result<Answered, Error> {
        let purpose = Purpose { action: "list", path: prefix };
        let mut query = format!(
            "fields=kind,nextPageToken,items(name,size,updated)&maxResults={limit}&prefix={}",
            encoded(prefix, false)
        );
        // It begins with this key itself, which is left out.
        if !from.after.is_empty() {
            query += &format!("&startOffset={}", encoded(from.after, false));
        }
        if let Some(token) = from.token {
            query += &format!("&pageToken={}", encoded(token, false));
        }
        let answer = self.send(purpose, &Method::GET, &format!("{}?{query}", self.objects()), &[], &[])?;
        match answer.status {
            StatusCode::OK => Ok(json::page(&answer.body).map(|mut page| {
                page.objects.retain(|object| object.key != from.after.as_bytes());
                page
            })),
            _ => Err(failure::error(purpose, &answer)),
        }
    }

    fn directories(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let purpose = Purpose { action: "list", path: prefix };
        let query = format!("delimiter=%2F&fields=kind,prefixes&maxResults=1000&prefix={}", encoded(prefix, false));
        let answer = self.send(purpose, &Method::GET, &format!("{}?{query}", self.objects()), &[], &[])?;
        Ok(if answer.status == StatusCode::OK { json::directories(&answer.body) } else { Vec::new() })
    }

    fn get(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
        let purpose = Purpose { action: "read", path: key };
        let path = format!("{}?alt=media", self.path_of(key));
        let make = |headers: &Headers<'_>| {
            // A registry's object is written once, so what has arrived needs no comparison with the rest.
            let range: Vec<_> = headers.iter().filter(|(name, _)| *name == RANGE).cloned().collect();
            self.request(Method::GET, &path, &range, Vec::new())
        };
        match self.http.stream(purpose, &make, visit)? {
            None => Ok(true),
            // Where content is requested, an answer that there is none is no JSON, so it is not known whose answer it is.
            Some(answer) if answer.status == StatusCode::NOT_FOUND => {
                let path = format!("{}?fields=name", self.path_of(key));
                let described = self.send(purpose, &Method::GET, &path, &[], &[])?;
                if is_absent(&described) { Ok(false) } else { Err(failure::error(purpose, &answer)) }
            }
            Some(answer) => Err(failure::error(purpose, &answer)),
        }
    }

    fn put(&self, key: &str, content: &[u8]) -> Result<(), Error> {
        let purpose = Purpose { action: "write", path: key };
        let bucket = encoded(&self.config.bucket, false);
        let path = format!("/upload/storage/v1/b/{bucket}/o?uploadType=media&name={}", encoded(key, false));
        let headers = [(CONTENT_TYPE, "application/octet-stream")];
        let answer = self.send(purpose, &Method::POST, &path, &headers, content)?;
        if answer.status.is_success() && json::is_object(&answer.body) {
            Ok(())
        } else {
            Err(failure::error(purpose, &answer))
        }
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        let purpose = Purpose { action: "delete", path: key };
        let answer = self.send(purpose, &Method::DELETE, &self.path_of(key), &[], &[])?;
        if is_done(&answer) || is_absent(&answer) { Ok(()) } else { Err(failure::error(purpose, &answer)) }
    }

    fn deleted_at_once(&self) -> usize {
        bulk::MOST
    }

    fn delete_several(&self, keys: &[&str]) -> Result<Deleted, Error> {
        let name = self.name();
        let purpose = Purpose { action: "delete objects of", path: &name };
        let (body, sum) = bulk::request(keys);
        let path = format!("/{}?delete=", encoded(&self.config.bucket, false));
        let request = self.request(Method::POST, &path, &bulk::headers(&sum), body)?;
        match self.http.send_once(request) {
            // An emulator without the XML interface.
            Ok(answer) if is_absent(&answer) && !answer.body.starts_with(b"<") => Ok(Deleted::Unsupported),
            answer => bulk::deleted(purpose, answer),
        }
    }

    fn keeps_versions(&self) -> Option<bool> {
        let name = self.name();
        let purpose = Purpose { action: "read the versioning of", path: &name };
        let bucket = encoded(&self.config.bucket, false);
        let path = format!("/storage/v1/b/{bucket}?fields=versioning,softDeletePolicy");
        let answer = self.send(purpose, &Method::GET, &path, &[], &[]).ok()?;
        if answer.status == StatusCode::OK { json::keeps_versions(&answer.body) } else { None }
    }
}
