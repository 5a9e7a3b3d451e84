//! Requests that delete several blobs at once, and their answers: both have several parts, each a request or an answer
//! of its own (`Blob Batch`).

use std::io;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use object_store::client::HttpRequest;

use super::super::failure;
use super::super::http::{Answer, Purpose, is_temporary, retry_after};
use super::super::{Deleted, FailedDelete};
use crate::error::Error;

/// How many blobs one request may have.
pub(super) const MOST: usize = 256;

/// What separates the parts. Nothing in them looks like it.
pub(super) const BOUNDARY: &str = "batch_of_deletes_5a1c0c0a";

/// Writes the body of a request from those for single blobs, which are signed.
pub(super) fn body(requests: &[HttpRequest]) -> Vec<u8> {
    let mut body = String::new();
    for (number, request) in requests.iter().enumerate() {
        // Azure knows this header's name in no other case.
        body += &format!(
            "--{BOUNDARY}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {number}\r\n\r\n"
        );
        body += &format!("{} {} HTTP/1.1\r\n", request.method(), request.uri().path());
        for (name, value) in request.headers() {
            body += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
        }
        body += "Content-Length: 0\r\n\r\n\r\n";
    }
    body += &format!("--{BOUNDARY}--\r\n");
    body.into_bytes()
}

/// Reads the answer to a request that was sent once.
pub(super) fn deleted(
    purpose: Purpose<'_>,
    keys: &[&str],
    answer: Result<Answer, io::Error>,
) -> Result<Deleted, Error> {
    let busy = |pause, reason: String| Ok(Deleted::Busy { pause, reason });
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return busy(None, error.to_string()),
    };
    match answer.status {
        status if is_temporary(status) => busy(retry_after(&answer.headers), failure::described(&answer)),
        status if status.is_success() => match failed(keys, &answer) {
            Ok(failed) => Ok(Deleted::AllBut(failed)),
            Err(reason) => Err(purpose.error(io::Error::other(format!("invalid response from the server: {reason}")))),
        },
        _ if failure::is_unsupported(&answer) => Ok(Deleted::Unsupported),
        _ => Err(failure::error(purpose, &answer)),
    }
}

/// Returns what failed. Fails if a blob has no answer.
fn failed(keys: &[&str], answer: &Answer) -> Result<Vec<FailedDelete>, String> {
    let content_type = answer.headers.get(CONTENT_TYPE).and_then(|content_type| content_type.to_str().ok());
    let boundary = content_type.and_then(|content_type| content_type.split_once("boundary="));
    let boundary = boundary.and_then(|(_, boundary)| boundary.split(';').next()).ok_or("it has no parts")?;
    let boundary = boundary.trim().trim_matches('"');
    let text = String::from_utf8_lossy(&answer.body);
    let mut has_answer = vec![false; keys.len()];
    let mut failed = Vec::new();
    // What is before the first part is nothing, and what is after the last one is the end.
    for part in text.split(&format!("--{boundary}")).skip(1).filter(|part| !part.starts_with("--")) {
        let number = field(part, "content-id").and_then(|number| number.parse().ok());
        let status = part.lines().find_map(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3));
        let status = status.and_then(|status| status.parse::<StatusCode>().ok()).ok_or("a part of it has no status")?;
        let code = field(part, "x-ms-error-code").unwrap_or("no code");
        // A request that is refused as a whole is answered so.
        let Some(number) = number else { return Err(format!("{status}: {code}")) };
        *has_answer.get_mut::<usize>(number).ok_or("it answers a request that was not sent")? = true;
        if !status.is_success() && code != "BlobNotFound" {
            let key = keys[number].to_owned();
            failed.push(FailedDelete { key, is_busy: is_temporary(status), reason: format!("{status}: {code}") });
        }
    }
    match has_answer.iter().all(|has_answer| *has_answer) {
        true => Ok(failed),
        false => Err("it has no answer for some blobs".to_owned()),
    }
}

/// Returns the value of a header in a part, whose name is given in lower case.
fn field<'p>(part: &'p str, name: &str) -> Option<&'p str> {
    part.lines().find_map(|line| {
        let (other, value) = line.split_once(':')?;
        other.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    const ANSWER: &str = "--x\r\nContent-Type: application/http\r\nContent-ID: 0\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n\
        --x\r\nContent-Type: application/http\r\nContent-ID: 1\r\n\r\nHTTP/1.1 404 The blob does not exist.\r\n\
        x-ms-error-code: BlobNotFound\r\n\r\n<Error><Code>BlobNotFound</Code></Error>\r\n\
        --x\r\nContent-ID: 2\r\n\r\nHTTP/1.1 503 Busy\r\nx-ms-error-code: ServerBusy\r\n\r\n\
        --x\r\nContent-ID: 3\r\n\r\nHTTP/1.1 409 Locked\r\nx-ms-error-code: BlobImmutableDueToPolicy\r\n\r\n--x--";

    fn failed(body: &str) -> Result<Vec<FailedDelete>, String> {
        let content_type = "multipart/mixed; boundary=\"x\"; charset=utf-8";
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
        super::failed(&["a", "b", "c", "d"], &Answer { status: StatusCode::ACCEPTED, headers, body: body.into() })
    }

    #[test]
    fn an_answer_says_what_failed() {
        let [busy, locked] = &failed(ANSWER).unwrap()[..] else { panic!("two failed") };
        assert!(busy.key == "c" && busy.is_busy && busy.reason.contains("ServerBusy"));
        assert!(locked.key == "d" && !locked.is_busy && locked.reason.contains("BlobImmutableDueToPolicy"));
    }

    #[test]
    fn an_answer_that_is_not_whole_is_none() {
        for (odd, why) in [
            (String::new(), "nothing"),
            (ANSWER.replace("Content-ID: 0", "Content-ID: 7"), "answers a request that was not sent"),
            (ANSWER.replace("Content-ID: 0\r\n", ""), "refused as a whole"),
            (ANSWER.replace("HTTP/1.1 202 Accepted", ""), "no status"),
            (ANSWER[..ANSWER.find("Content-ID: 3").unwrap() - 5].to_owned(), "cut"),
        ] {
            assert!(failed(&odd).is_err(), "{why}");
        }
    }
}
