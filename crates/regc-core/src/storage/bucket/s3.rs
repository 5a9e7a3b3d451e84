//! Buckets of S3, and of servers that speak its protocol.

mod credentials;
mod xml;

use std::io;
use std::ops::ControlFlow;

use http::{Method, StatusCode};
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::HttpRequest;

use super::failure::{self, Failure, is_busy, is_done, is_unsupported};
use super::http::{Answer, Headers, Http, Purpose, encoded, unsigned};
use super::listing::{Answered, From};
use super::{Bucket, Deleted, PendingUpload, below, bulk};
use crate::error::Error;
use crate::registry::config;

/// A bucket of S3.
pub(super) struct S3 {
    config: config::S3,
    /// What the keys of the store begin with.
    root: String,
    /// The bucket's URL, without a slash at its end.
    url: String,
    http: Http,
    credentials: AwsCredentialProvider,
}

impl S3 {
    /// Prepares requests to the bucket. Nothing is requested yet.
    pub(super) fn new(config: &config::S3) -> Result<Self, Error> {
        reqwest::Url::parse(&url(config))
            .map_err(|error| Error::Config(format!("storage.s3.regionendpoint is not a URL: {error}")))?;
        let http = Http::new(&url(config), config.skip_verify)?;
        let credentials = credentials::provider(config)?;
        Ok(Self { config: config.clone(), root: below(&config.root), url: url(config), http, credentials })
    }

    /// Makes a signed request.
    fn request(
        &self,
        method: Method,
        path_and_query: &str,
        headers: &Headers<'_>,
        body: Vec<u8>,
    ) -> Result<HttpRequest, Error> {
        let credential = self.http.credential(&*self.credentials, &self.config)?;
        let mut request = unsigned(method, &format!("{}{path_and_query}", self.url), headers, body)?;
        let authorizer = AwsAuthorizer::new(&credential, "s3", &self.config.region);
        let failed = |error| Error::Config(format!("cannot sign a request to {}: {error}", self.config));
        authorizer.try_authorize(&mut request, None).map_err(failed)?;
        Ok(request)
    }

    /// Returns the path and query of a request for the bucket itself.
    fn of_bucket(&self, query: &str) -> String {
        let path = if self.config.path_style { "" } else { "/" };
        format!("{path}?{query}")
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
}

/// Whether the server says that there is no such object.
fn is_absent(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND && Failure::of(answer).code == "NoSuchKey"
}

/// Returns the URL of the bucket, without a slash at its end.
fn url(config: &config::S3) -> String {
    let config::S3 { bucket, region, endpoint, path_style, dual_stack, fips, .. } = config;
    let endpoint = endpoint.clone().unwrap_or_else(|| {
        let fips = if *fips { "-fips" } else { "" };
        let dual_stack = if *dual_stack { ".dualstack" } else { "" };
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://s3{fips}{dual_stack}.{region}.amazonaws.com{suffix}")
    });
    let endpoint = endpoint.trim_end_matches('/');
    match (path_style, endpoint.split_once("://")) {
        (false, Some((scheme, host))) => format!("{scheme}://{bucket}.{host}"),
        _ => format!("{endpoint}/{bucket}"),
    }
}

fn path_of(key: &str) -> String {
    format!("/{}", encoded(key, true))
}

impl Bucket for S3 {
    fn name(&self) -> String {
        format!("s3://{}", self.config.bucket)
    }

    fn root(&self) -> &str {
        &self.root
    }

    fn page(&self, prefix: &str, from: From<'_>, limit: u16) -> Result<Answered, Error> {
        let purpose = Purpose { action: "list", path: prefix };
        // The parameters are in the order that signatures need.
        let (token, after) = match from {
            From { token: Some(token), .. } => {
                (format!("continuation-token={}&", encoded(token, false)), String::new())
            }
            From { after: "", .. } => Default::default(),
            From { after, .. } => (String::new(), format!("&start-after={}", encoded(after, false))),
        };
        let prefix = encoded(prefix, false);
        let query = format!("{token}encoding-type=url&list-type=2&max-keys={limit}&prefix={prefix}{after}");
        let answer = self.send(purpose, &Method::GET, &self.of_bucket(&query), &[], &[])?;
        match answer.status {
            StatusCode::OK => Ok(xml::page(&answer.body)),
            _ => Err(failure::error(purpose, &answer)),
        }
    }

    fn directories(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let purpose = Purpose { action: "list", path: prefix };
        let prefix = encoded(prefix, false);
        let query = format!("delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix={prefix}");
        let answer = self.send(purpose, &Method::GET, &self.of_bucket(&query), &[], &[])?;
        Ok(if answer.status == StatusCode::OK { xml::directories(&answer.body) } else { Vec::new() })
    }

    fn get(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
        let purpose = Purpose { action: "read", path: key };
        let make = |headers: &Headers<'_>| self.request(Method::GET, &path_of(key), headers, Vec::new());
        match self.http.stream(purpose, &make, visit)? {
            None => Ok(true),
            // Only the server itself can say that there is no such object: not a proxy, nor a bucket that is not there.
            Some(answer) if is_absent(&answer) => Ok(false),
            Some(answer) => Err(failure::error(purpose, &answer)),
        }
    }

    fn put(&self, key: &str, content: &[u8]) -> Result<(), Error> {
        let purpose = Purpose { action: "write", path: key };
        let answer = self.send(purpose, &Method::PUT, &path_of(key), &[], content)?;
        if is_done(&answer) { Ok(()) } else { Err(failure::error(purpose, &answer)) }
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        let purpose = Purpose { action: "delete", path: key };
        let answer = self.send(purpose, &Method::DELETE, &path_of(key), &[], &[])?;
        if is_done(&answer) || is_absent(&answer) { Ok(()) } else { Err(failure::error(purpose, &answer)) }
    }

    fn deleted_at_once(&self) -> usize {
        bulk::MOST
    }

    fn pending_uploads(&self, prefix: &str) -> Result<Option<Vec<PendingUpload>>, Error> {
        let purpose = Purpose { action: "list the uploads of", path: prefix };
        let prefix = encoded(prefix, false);
        let (mut uploads, mut after): (_, Option<(String, String)>) = (Vec::new(), None);
        loop {
            let (key, id) = after.as_ref().map_or_else(Default::default, |(key, id)| {
                (format!("key-marker={}&", encoded(key, false)), format!("&upload-id-marker={}", encoded(id, false)))
            });
            let query = format!("{key}max-uploads=1000&prefix={prefix}{id}&uploads=");
            let answer = self.send(purpose, &Method::GET, &self.of_bucket(&query), &[], &[])?;
            if is_unsupported(&answer) {
                return Ok(None);
            }
            if answer.status != StatusCode::OK {
                return Err(failure::error(purpose, &answer));
            }
            let page = xml::uploads(&answer.body).map_err(|error| purpose.error(io::Error::other(error)))?;
            uploads.extend(page.uploads);
            match page.next {
                None => return Ok(Some(uploads)),
                next if next == after => return Err(purpose.error(io::Error::other("the next page is the same one"))),
                next => after = next,
            }
        }
    }

    fn abort(&self, upload: &PendingUpload) -> Result<(), Error> {
        let purpose = Purpose { action: "abort the upload of", path: &upload.key };
        let path = format!("{}?uploadId={}", path_of(&upload.key), encoded(&upload.id, false));
        let answer = self.send(purpose, &Method::DELETE, &path, &[], &[])?;
        match answer.status {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            _ => Err(failure::error(purpose, &answer)),
        }
    }

    fn keeps_versions(&self) -> Option<bool> {
        let name = self.name();
        let purpose = Purpose { action: "read the versioning of", path: &name };
        let answer = self.send(purpose, &Method::GET, &self.of_bucket("versioning="), &[], &[]).ok()?;
        if answer.status == StatusCode::OK { xml::has_versions(&answer.body) } else { None }
    }

    fn delete_several(&self, keys: &[&str]) -> Result<Deleted, Error> {
        let name = self.name();
        let purpose = Purpose { action: "delete objects of", path: &name };
        let (body, sum) = bulk::request(keys);
        let request = self.request(Method::POST, &self.of_bucket("delete="), &bulk::headers(&sum), body)?;
        bulk::deleted(purpose, self.http.send_once(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_of_the_registry() {
        for (parameters, url) in [
            ("{bucket: b, region: eu-west-1}", "https://b.s3.eu-west-1.amazonaws.com"),
            ("{bucket: b, region: eu-west-1, forcepathstyle: true}", "https://s3.eu-west-1.amazonaws.com/b"),
            ("{bucket: b, region: cn-north-1}", "https://b.s3.cn-north-1.amazonaws.com.cn"),
            (
                "{bucket: b, region: r, usedualstack: true, usefipsendpoint: 'T'}",
                "https://b.s3-fips.dualstack.r.amazonaws.com",
            ),
            ("{bucket: b, regionendpoint: 'http://h:9000/'}", "http://h:9000/b"),
            ("{bucket: b, regionendpoint: 'h:9000', secure: false}", "http://h:9000/b"),
            ("{bucket: b, regionendpoint: h, secure: 'true'}", "https://h/b"),
            ("{bucket: b, regionendpoint: 'https://h', forcepathstyle: '0'}", "https://b.h"),
        ] {
            let text = format!("version: 0.1\nstorage: {{s3: {parameters}}}");
            let config::Driver::S3(s3) = config::Config::parse(&text, []).unwrap().driver else { panic!("it is S3") };
            assert_eq!(super::url(&s3), url, "{parameters}");
        }
    }
}
