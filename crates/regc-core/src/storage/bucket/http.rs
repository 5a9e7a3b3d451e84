//! Requests to a server, signed by the backend, and sent again where that may help.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http::header::{IF_MATCH, RANGE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use object_store::CredentialProvider;
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpRequestBody, HttpResponse};
use tokio::runtime::{Builder, Runtime};

use crate::error::Error;

/// How often a request is sent.
const ATTEMPTS: u32 = 7;

/// How long to wait after the first attempt; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How long a server may make a request wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long nothing may arrive.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client, with the threads that wait for its answers.
pub(super) struct Http {
    runtime: Runtime,
    client: HttpClient,
}

/// The answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// The headers of a request.
pub(super) type Headers<'a> = [(HeaderName, &'a str)];

/// Makes a request for content, or for the rest of it, with these headers.
type MakeFrom<'a> = dyn Fn(&Headers<'_>) -> Result<HttpRequest, Error> + 'a;

/// What a request was for: it stands in errors.
#[derive(Clone, Copy)]
pub(super) struct Purpose<'a> {
    pub(super) action: &'static str,
    pub(super) path: &'a str,
}

impl Purpose<'_> {
    pub(super) fn error(self, source: io::Error) -> Error {
        Error::storage(self.action, self.path, source)
    }
}

impl Http {
    /// Creates a client for the server at `url` that accepts any certificate if `skip_verify`. For a URL of `http`, the
    /// system need not have certificates of authorities, which small containers lack, unless credentials are requested from a
    /// server.
    pub(super) fn new(url: &str, skip_verify: bool) -> Result<Self, Error> {
        let failed = |error: String| Error::Config(format!("cannot create an HTTP client: {error}"));
        // The first one that is installed in a process stays, and any serves.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = || {
            reqwest::Client::builder()
                // What a proxy or a page to sign in redirects to is no answer of the server.
                .redirect(reqwest::redirect::Policy::none())
                .http1_only()
                .connect_timeout(TIMEOUT)
                .read_timeout(TIMEOUT)
                .danger_accept_invalid_certs(skip_verify)
        };
        let built = match client().build() {
            Err(_) if url.starts_with("http://") => client().tls_certs_only([]).build(),
            built => built,
        };
        let client = HttpClient::new(built.map_err(|error| failed(describe(&error).to_string()))?);
        let mut threads = Builder::new_multi_thread();
        let runtime = threads.worker_threads(2).enable_all().build().map_err(|error| failed(error.to_string()))?;
        Ok(Self { runtime, client })
    }

    /// Waits for something that the threads do.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Returns the credential for a bucket, which is requested if the last one has expired.
    pub(super) fn credential<T>(
        &self,
        credentials: &dyn CredentialProvider<Credential = T>,
        bucket: &dyn fmt::Display,
    ) -> Result<Arc<T>, Error> {
        let failed = |error| Error::Config(format!("no credentials for {bucket}: {}", without_urls(&error)));
        self.wait(credentials.get_credential()).map_err(failed)
    }

    /// Sends the request that `make` makes, again if the server is busy or cannot be reached, and returns its answer.
    ///
    /// `is_busy` says of an answer whether the server was.
    pub(super) fn send(
        &self,
        purpose: Purpose<'_>,
        make: &dyn Fn() -> Result<HttpRequest, Error>,
        is_busy: &dyn Fn(&Answer) -> bool,
    ) -> Result<Answer, Error> {
        let mut attempts = Attempts::new();
        loop {
            match self.execute(make()?) {
                Ok(answer) if !is_temporary(answer.status) && !is_busy(&answer) => return Ok(answer),
                Ok(answer) if attempts.is_last() => return Ok(answer),
                Err(error) if attempts.is_last() => return Err(purpose.error(describe(&error))),
                Ok(answer) => attempts.wait(retry_after(&answer.headers)),
                Err(_) => attempts.wait(None),
            }
        }
    }

    /// Sends a request once, and returns its answer, or why there is none.
    pub(super) fn send_once(&self, request: HttpRequest) -> Result<Answer, io::Error> {
        self.execute(request).map_err(|error| describe(&error))
    }

    fn execute(&self, request: HttpRequest) -> Result<Answer, HttpError> {
        self.wait(async {
            let response = self.client.execute(request).await?;
            let (parts, body) = response.into_parts();
            let body = body.bytes().await?.to_vec();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        })
    }

    /// Sends a request for content once; see [`stream`](Self::stream). Each part is visited with whether the answer is
    /// only the rest that was requested. That is outside of the threads that wait for parts: a visitor may send
    /// requests of its own.
    fn stream_once(
        &self,
        request: HttpRequest,
        version: &mut Option<String>,
        visit: &mut dyn FnMut(&[u8], bool) -> ControlFlow<()>,
    ) -> Result<Option<Answer>, HttpError> {
        let response: HttpResponse = self.wait(self.client.execute(request))?;
        let (parts, body) = response.into_parts();
        if !parts.status.is_success() {
            let body = self.wait(body.bytes())?.to_vec();
            return Ok(Some(Answer { status: parts.status, headers: parts.headers, body }));
        }
        let tag = parts.headers.get(http::header::ETAG).and_then(|tag| tag.to_str().ok());
        *version = tag.map(str::to_owned);
        let is_rest = parts.status == StatusCode::PARTIAL_CONTENT;
        let mut body = body.bytes_stream();
        while let Some(part) = self.wait(body.next()) {
            if visit(&part?, is_rest).is_break() {
                break;
            }
        }
        Ok(None)
    }

    /// Sends a request for content, and calls `visit` with its parts until it breaks. If the answer is cut, the rest of
    /// the same version is requested.
    ///
    /// Returns the answer, without its body, if its status is none of success.
    pub(super) fn stream(
        &self,
        purpose: Purpose<'_>,
        make: &MakeFrom<'_>,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Option<Answer>, Error> {
        let (mut arrived, mut attempts) = (0, Attempts::new());
        let mut version: Option<String> = None;
        loop {
            let before = arrived;
            // A server that knows no ranges sends everything again.
            let mut skipped = before;
            let range = format!("bytes={arrived}-");
            let mut headers = Vec::new();
            if arrived > 0 {
                headers.push((RANGE, range.as_str()));
                headers.extend(version.as_deref().map(|version| (IF_MATCH, version)));
            }
            let request = make(&headers)?;
            let sent = self.stream_once(request, &mut version, &mut |part, is_rest| {
                let known = if is_rest { 0 } else { skipped.min(part.len() as u64) };
                skipped -= known;
                let part = &part[known as usize..];
                arrived += part.len() as u64;
                if part.is_empty() { ControlFlow::Continue(()) } else { visit(part) }
            });
            match sent {
                Ok(None) => return Ok(None),
                // It was cut after its last byte.
                Ok(Some(answer)) if before > 0 && answer.status == StatusCode::RANGE_NOT_SATISFIABLE => {
                    return Ok(None);
                }
                Ok(Some(answer)) if !is_temporary(answer.status) || attempts.is_last() => return Ok(Some(answer)),
                Ok(Some(answer)) => attempts.wait(retry_after(&answer.headers)),
                // It goes on: only attempts without progress are counted.
                Err(_) if arrived > before => attempts = Attempts::new(),
                Err(error) if attempts.is_last() => return Err(purpose.error(describe(&error))),
                Err(_) => attempts.wait(None),
            }
        }
    }
}

/// Makes a request without a signature.
pub(super) fn unsigned(method: Method, url: &str, headers: &Headers<'_>, body: Vec<u8>) -> Result<HttpRequest, Error> {
    let mut request = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let body = if body.is_empty() { HttpRequestBody::empty() } else { HttpRequestBody::from(body) };
    request.body(body).map_err(|error| Error::Config(format!("cannot make a request to {url}: {error}")))
}

/// How often the same was tried, and how long to wait next.
struct Attempts {
    number: u32,
    pause: Duration,
}

impl Attempts {
    fn new() -> Self {
        Self { number: 1, pause: FIRST_PAUSE }
    }

    fn is_last(&self) -> bool {
        self.number == ATTEMPTS
    }

    /// Waits before the next attempt, as long as the server asks if that is longer.
    fn wait(&mut self, asked: Option<Duration>) {
        std::thread::sleep(asked.map_or(self.pause, |asked| asked.max(self.pause)).min(LONGEST_PAUSE));
        self.pause *= 2;
        self.number += 1;
    }
}

/// Whether the same request may succeed later.
pub(super) fn is_temporary(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
        || status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
}

pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Encodes a key, or a value of a query, byte for byte, as signatures of version 4 of S3 need it.
pub(super) fn encoded(text: &str, keeps_slashes: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte as char),
            b'/' if keeps_slashes => encoded.push('/'),
            byte => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

/// Describes a failure with all its causes.
fn describe(error: &dyn std::error::Error) -> io::Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let deeper_text = deeper.to_string();
        if !text.contains(&deeper_text) {
            text += ": ";
            text += &deeper_text;
        }
        cause = deeper.source();
    }
    io::Error::other(text)
}

/// Describes an error with all its causes and without URLs, which may hold secrets.
pub(super) fn without_urls(error: &object_store::Error) -> String {
    let text = describe(error).to_string();
    text.split_whitespace().filter(|word| !word.contains("://")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_byte_for_byte() {
        assert_eq!(encoded("a/b c+~é", true), "a/b%20c%2B~%C3%A9");
        assert_eq!(encoded("a/b=", false), "a%2Fb%3D");
    }
}
