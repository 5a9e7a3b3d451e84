//! The answers of S3, in XML. An answer counts only if it is whole, from its root element to the end of that.

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event;

use crate::storage::bucket::PendingUpload;
use crate::storage::bucket::listing::{Object, Page};

/// An element, with the text in it and the elements below.
#[derive(Debug, Default)]
struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }
}

/// How many elements may be in one another.
const MAX_DEPTH: usize = 16;

/// Reads an answer whose root element has this name. Fails with what is wrong.
fn read(text: &[u8], root: &str) -> Result<Element, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut open: Vec<Element> = Vec::new();
    let mut whole: Option<Element> = None;
    let name = |name: quick_xml::name::QName<'_>| String::from_utf8_lossy(name.local_name().as_ref()).into_owned();
    loop {
        let close = match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) => {
                if whole.is_some() || open.len() == MAX_DEPTH {
                    return Err("it has more than one root element, or elements too deep in one another".to_owned());
                }
                open.push(Element { name: name(start.name()), ..Element::default() });
                false
            }
            Event::Empty(empty) => {
                open.push(Element { name: name(empty.name()), ..Element::default() });
                true
            }
            Event::End(_) => true,
            Event::Text(text) => {
                if let Some(element) = open.last_mut() {
                    element.text += &text.decode().map_err(|error| error.to_string())?;
                }
                false
            }
            Event::GeneralRef(reference) => {
                if let Some(element) = open.last_mut() {
                    let name = reference.decode().map_err(|error| error.to_string())?;
                    element.text += &unescape(&format!("&{name};")).map_err(|error| error.to_string())?;
                }
                false
            }
            Event::CData(data) => {
                if let Some(element) = open.last_mut() {
                    element.text += &data.decode().map_err(|error| error.to_string())?;
                }
                false
            }
            Event::Eof => break,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => false,
        };
        if close {
            let element = open.pop().ok_or("an element ends that has not begun")?;
            match open.last_mut() {
                Some(above) => above.children.push(element),
                None => whole = Some(element),
            }
        }
    }
    match whole {
        _ if !open.is_empty() => Err("it ends too early".to_owned()),
        Some(element) if element.name == root => Ok(element),
        Some(element) => Err(format!("its root element is {}, not {root}", element.name)),
        None => Err(format!("it has no element {root}")),
    }
}

/// Decodes a key that is encoded as in a URL.
fn decoded(text: &str) -> Result<Vec<u8>, String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits =
                    [bytes.next(), bytes.next()].map(|digit| digit.and_then(|digit| (digit as char).to_digit(16)));
                let [Some(high), Some(low)] = digits else { return Err(format!("the key {text:?} is cut")) };
                decoded.push((high * 16 + low) as u8);
            }
            b'+' => decoded.push(b' '),
            byte => decoded.push(byte),
        }
    }
    Ok(decoded)
}

/// Reads a page of a listing (`ListObjectsV2`).
pub(super) fn page(text: &[u8]) -> Result<Page, String> {
    let listing = read(text, "ListBucketResult")?;
    let next = match listing.text_of("IsTruncated") {
        Some("false") => None,
        Some("true") => {
            let token = listing.text_of("NextContinuationToken").filter(|token| !token.is_empty());
            Some(token.ok_or("it is truncated, and does not say where it goes on")?.to_owned())
        }
        _ => return Err("it does not say whether it is truncated".to_owned()),
    };
    let is_encoded = listing.text_of("EncodingType") == Some("url");
    let mut objects = Vec::new();
    for contents in listing.children.iter().filter(|child| child.name == "Contents") {
        let key = contents.text_of("Key").ok_or("an object has no key")?;
        let bytes = contents.text_of("Size").and_then(|size| size.parse().ok());
        let modified = contents.text_of("LastModified").and_then(|time| time.parse::<jiff::Timestamp>().ok());
        objects.push(Object {
            key: if is_encoded { decoded(key)? } else { key.as_bytes().to_vec() },
            bytes: bytes.ok_or_else(|| format!("the object {key:?} has no size"))?,
            modified: modified.map(Into::into),
        });
    }
    Ok(Page { objects, next })
}

/// A page of the uploads in several parts (`ListMultipartUploads`).
pub(super) struct Uploads {
    pub(super) uploads: Vec<PendingUpload>,
    /// The key and ID after which the next page begins; `None` if this is the last.
    pub(super) next: Option<(String, String)>,
}

/// Reads a page of the uploads in several parts.
pub(super) fn uploads(text: &[u8]) -> Result<Uploads, String> {
    let listing = read(text, "ListMultipartUploadsResult")?;
    let next = match listing.text_of("IsTruncated") {
        Some("true") => {
            let text_of = |name: &str| listing.text_of(name).filter(|text| !text.is_empty()).map(str::to_owned);
            let next = text_of("NextKeyMarker").zip(text_of("NextUploadIdMarker"));
            Some(next.ok_or("it is truncated, and does not say where it goes on")?)
        }
        _ => None,
    };
    let mut uploads = Vec::new();
    for upload in listing.children.iter().filter(|child| child.name == "Upload") {
        let began = upload.text_of("Initiated").and_then(|time| time.parse::<jiff::Timestamp>().ok());
        uploads.push(PendingUpload {
            key: upload.text_of("Key").ok_or("an upload has no key")?.to_owned(),
            id: upload.text_of("UploadId").ok_or("an upload has no ID")?.to_owned(),
            began: began.map(Into::into),
        });
    }
    Ok(Uploads { uploads, next })
}

/// Reads whether a bucket keeps, or has kept, older versions (`GetBucketVersioning`).
pub(super) fn has_versions(text: &[u8]) -> Option<bool> {
    // Some servers call it as the request was called once.
    let roots = ["VersioningConfiguration", "GetBucketVersioningResponse"];
    let configuration = roots.iter().find_map(|root| read(text, root).ok())?;
    Some(configuration.text_of("Status").is_some_and(|status| matches!(status, "Enabled" | "Suspended")))
}

/// An error, as S3 describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: String,
    pub(super) message: String,
}

/// Reads the answer to a failed request, as far as it is one.
pub(super) fn failure(text: &[u8]) -> Failure {
    let Ok(error) = read(text, "Error") else { return Failure::default() };
    let text_of = |name: &str| error.text_of(name).unwrap_or_default().to_owned();
    Failure { code: text_of("Code"), message: text_of("Message") }
}

/// Reads the answer to a bulk delete (`DeleteObjects`): the keys that failed, each with why.
pub(super) fn failed_deletes(text: &[u8]) -> Result<Vec<(String, Failure)>, String> {
    let result = read(text, "DeleteResult")?;
    let failed = result.children.iter().filter(|child| child.name == "Error").map(|error| {
        let text_of = |name: &str| error.text_of(name).unwrap_or_default().to_owned();
        (text_of("Key"), Failure { code: text_of("Code"), message: text_of("Message") })
    });
    Ok(failed.collect())
}

/// Writes a bulk delete. Its answer names only what failed.
pub(super) fn delete(keys: &[&str]) -> String {
    let mut text = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>".to_owned();
    for key in keys {
        text += "<Object><Key>";
        text += &quick_xml::escape::escape(*key);
        text += "</Key></Object>";
    }
    text + "</Delete>"
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
        <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><EncodingType>url</EncodingType>\
        <IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b</NextContinuationToken>\
        <Contents><Key>a%2Fb%01+c</Key><LastModified>2026-11-28T12:00:00.000Z</LastModified><Size>7</Size></Contents></ListBucketResult>";

    #[test]
    fn a_page_is_read() {
        let page = page(PAGE.as_bytes()).unwrap();
        assert_eq!(page.next.as_deref(), Some("a&b"));
        let [object] = &page.objects[..] else { panic!("one object") };
        assert_eq!((&object.key[..], object.bytes), (&b"a/b\x01 c"[..], 7));
        assert!(object.modified.is_some());
    }

    #[test]
    fn a_page_that_is_not_whole_is_an_error() {
        for (odd, why) in [
            ("<html><body>Sign in</body></html>".to_owned(), "an HTML page"),
            (String::new(), "nothing"),
            (PAGE[..PAGE.len() - 5].to_owned(), "cut at the end"),
            (PAGE[..PAGE.find("<Contents>").unwrap()].to_owned(), "cut before the objects"),
            (PAGE.replace("<IsTruncated>true</IsTruncated>", ""), "truncated or not"),
            (PAGE.replace("a&amp;b", ""), "truncated without a token"),
            (PAGE.replace("<Size>7</Size>", ""), "an object without a size"),
            (PAGE.replace("%01", "%0"), "a key that is cut"),
            (PAGE.replace("ListBucketResult", "Error"), "another root element"),
            (format!("{PAGE}{}", &PAGE[38..]), "two roots"),
        ] {
            assert!(page(odd.as_bytes()).is_err(), "{why}: {odd}");
        }
    }

    #[test]
    fn deletes_are_written_and_their_failures_read() {
        assert!(delete(&["a&b", "c"]).contains("<Key>a&amp;b</Key>"));
        let answer =
            b"<DeleteResult><Error><Key>a</Key><Code>SlowDown</Code><Message>m</Message></Error></DeleteResult>";
        let failed = failed_deletes(answer).unwrap();
        assert_eq!((failed[0].0.as_str(), failed[0].1.code.as_str()), ("a", "SlowDown"));
        assert!(failed_deletes(b"<DeleteResult/>").unwrap().is_empty());
        assert!(failed_deletes(b"<html/>").is_err());
    }
}
