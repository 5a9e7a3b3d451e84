//! Deletions of several objects by one request, as S3 and Google Cloud Storage have them.

use std::io;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName};
use md5::{Digest as _, Md5};

use super::failure::{self, Failure};
use super::http::{Answer, Purpose, is_temporary, retry_after};
use super::{Deleted, FailedDelete, xml};
use crate::error::Error;

/// How many keys one request may have.
pub(super) const MOST: usize = 1000;

/// Writes a request (`DeleteObjects`), and returns its body with the value of `content-md5`. Its answer names only what
/// failed.
pub(super) fn request(keys: &[&str]) -> (Vec<u8>, String) {
    let mut text = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>".to_owned();
    for key in keys {
        text += "<Object><Key>";
        text += &quick_xml::escape::escape(*key);
        text += "</Key></Object>";
    }
    text += "</Delete>";
    let sum = BASE64_STANDARD.encode(Md5::digest(&text));
    (text.into_bytes(), sum)
}

/// Returns the headers of such a request.
pub(super) fn headers(sum: &str) -> [(HeaderName, &str); 2] {
    [(HeaderName::from_static("content-md5"), sum), (CONTENT_TYPE, "application/xml")]
}

/// Reads the answer to a request that was sent once: whether the server is busy decides how much is sent at the same
/// time. If it is unknown whether it has arrived, to delete again does no harm.
pub(super) fn deleted(purpose: Purpose<'_>, answer: Result<Answer, io::Error>) -> Result<Deleted, Error> {
    let busy = |pause, reason: String| Ok(Deleted::Busy { pause, reason });
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return busy(None, error.to_string()),
    };
    match answer.status {
        status if is_temporary(status) || Failure::of(&answer).is_busy() => {
            busy(retry_after(&answer.headers), failure::described(&answer))
        }
        StatusCode::OK => match failed(&answer.body) {
            Ok(failed) => Ok(Deleted::AllBut(failed)),
            Err(reason) => Err(purpose.error(io::Error::other(format!("invalid response from the server: {reason}")))),
        },
        _ if failure::is_unsupported(&answer) => Ok(Deleted::Unsupported),
        _ => Err(failure::error(purpose, &answer)),
    }
}

/// Reads what failed.
fn failed(text: &[u8]) -> Result<Vec<FailedDelete>, String> {
    let result = xml::read(text, "DeleteResult")?;
    let failed = result.all("Error").map(|error| (error, Failure::in_element(error)));
    let failed = failed.filter(|(_, failure)| failure.code != "NoSuchKey").map(|(error, failure)| FailedDelete {
        key: error.text_of("Key").unwrap_or_default().to_owned(),
        is_busy: failure.is_busy(),
        reason: format!("{}: {}", failure.code, failure.message),
    });
    Ok(failed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletes_are_written_and_their_failures_read() {
        let (text, sum) = request(&["a&b", "c"]);
        assert!(String::from_utf8(text).unwrap().contains("<Key>a&amp;b</Key>") && sum.len() == 24);
        let answer =
            b"<DeleteResult><Error><Key>a</Key><Code>SlowDown</Code><Message>m</Message></Error></DeleteResult>";
        let [only] = &failed(answer).unwrap()[..] else { panic!("one failed") };
        assert!(only.key == "a" && only.is_busy && only.reason == "SlowDown: m");
        assert!(failed(b"<DeleteResult/>").unwrap().is_empty());
        assert!(failed(b"<DeleteResult><Error><Code>NoSuchKey</Code></Error></DeleteResult>").unwrap().is_empty());
        assert!(failed(b"<html/>").is_err());
    }
}
