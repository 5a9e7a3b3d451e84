//! Why a server did not do what was requested: the code and the message in its answer.

use std::io;

use http::StatusCode;
use serde::Deserialize;

use super::http::{Answer, Purpose, is_temporary};
use super::xml;
use crate::error::Error;

/// The code and the message of an answer that is an error; empty if it is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: String,
    pub(super) message: String,
}

/// No error is longer.
const LONGEST: usize = 64 << 10;

/// An error in JSON, as Google describes it.
#[derive(Deserialize)]
struct InJson {
    error: JsonError,
}

#[derive(Deserialize)]
struct JsonError {
    message: String,
    #[serde(default)]
    errors: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    reason: String,
}

impl Failure {
    pub(super) fn of(answer: &Answer) -> Self {
        match answer.body.first() {
            _ if answer.body.len() > LONGEST => Self::default(),
            Some(b'{') => Self::in_json(&answer.body),
            Some(_) => xml::read(&answer.body, "Error").map(|error| Self::in_element(&error)).unwrap_or_default(),
            None => Self::default(),
        }
    }

    /// Reads it from the element `Error`.
    pub(super) fn in_element(error: &xml::Element) -> Self {
        let text_of = |name: &str| error.text_of(name).unwrap_or_default().to_owned();
        // Azure adds lines with the number of the request, and the time.
        let message = text_of("Message").lines().next().unwrap_or_default().to_owned();
        Self { code: text_of("Code"), message }
    }

    fn in_json(text: &[u8]) -> Self {
        let Ok(InJson { error }) = serde_json::from_slice(text) else { return Self::default() };
        let code = error.errors.into_iter().next().map_or_else(|| "error".to_owned(), |first| first.reason);
        Self { code, message: error.message }
    }

    /// Whether the same request may succeed later.
    pub(super) fn is_busy(&self) -> bool {
        matches!(
            &*self.code,
            "SlowDown"
                | "RequestTimeout"
                | "InternalError"
                | "ServiceUnavailable"
                | "OperationAborted"
                | "ServerBusy"
                | "rateLimitExceeded"
                | "userRateLimitExceeded"
                | "backendError"
        )
    }
}

/// Whether a server that answers so is busy, whatever the status.
pub(super) fn is_busy(answer: &Answer) -> bool {
    is_temporary(answer.status) || answer.status != StatusCode::NOT_FOUND && Failure::of(answer).is_busy()
}

/// Whether a request that has no content to return is done: an error, or a page to sign in, may come with a status of
/// success.
pub(super) fn is_done(answer: &Answer) -> bool {
    answer.status.is_success() && matches!(answer.body.trim_ascii(), b"" | b"null")
}

/// Whether the server has no such request.
pub(super) fn is_unsupported(answer: &Answer) -> bool {
    matches!(answer.status, StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED)
        || !answer.status.is_success() && matches!(&*Failure::of(answer).code, "NotImplemented" | "MethodNotAllowed")
}

/// Returns the error of an answer that is none of success.
pub(super) fn error(purpose: Purpose<'_>, answer: &Answer) -> Error {
    let kind = match answer.status {
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => io::ErrorKind::PermissionDenied,
        StatusCode::NOT_FOUND => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    purpose.error(io::Error::new(kind, described(answer)))
}

/// Describes an answer that is none of success, and what to do.
pub(super) fn described(answer: &Answer) -> String {
    let Failure { code, message } = Failure::of(answer);
    let hint = match &*code {
        "RequestTimeTooSkewed" => "; set this machine's clock",
        "InvalidObjectState" | "BlobArchived" => "; it is archived: restore it first",
        _ => "",
    };
    match code.is_empty() {
        true => format!("the server answers {}", answer.status),
        false => format!("the server answers {}: {code}: {message}{hint}", answer.status),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn failure(body: &str) -> Failure {
        Failure::of(&Answer { status: StatusCode::FORBIDDEN, headers: HeaderMap::new(), body: body.into() })
    }

    #[test]
    fn failures_are_read_as_each_server_writes_them() {
        for (body, code, message) in [
            ("<Error><Code>SlowDown</Code><Message>m</Message></Error>", "SlowDown", "m"),
            (
                "<?xml version=\"1.0\"?><Error><Code>ServerBusy</Code><Message>m\nRequestId:1</Message></Error>",
                "ServerBusy",
                "m",
            ),
            ("{\"error\":{\"code\":403,\"message\":\"m\",\"errors\":[{\"reason\":\"forbidden\"}]}}", "forbidden", "m"),
            ("{\"error\":{\"code\":403,\"message\":\"m\"}}", "error", "m"),
            ("<html/>", "", ""),
            ("{}", "", ""),
            ("", "", ""),
        ] {
            assert_eq!(failure(body), Failure { code: code.into(), message: message.into() }, "{body}");
        }
    }
}
