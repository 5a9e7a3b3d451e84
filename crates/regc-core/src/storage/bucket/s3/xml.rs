//! The answers of S3, in XML.

use super::super::PendingUpload;
use super::super::listing::{Object, Page};
use super::super::xml::{decoded, read};

/// Reads a page of a listing (`ListObjectsV2`).
pub(super) fn page(text: &[u8]) -> Result<Page, String> {
    let listing = read(text, "ListBucketResult")?;
    // Nothing that does not belong there: what is said twice may be said differently.
    if let Some(other) = ["CommonPrefixes", "Error"].into_iter().find(|name| listing.child(name).is_some()) {
        return Err(format!("it has an element {other}"));
    }
    let token = listing.only("NextContinuationToken")?.filter(|token| !token.text.is_empty());
    let next = match listing.only("IsTruncated")?.map(|truncated| truncated.text.as_str()) {
        Some("false") if token.is_some() => return Err("it is not truncated, but says where to continue".to_owned()),
        Some("false") => None,
        Some("true") => Some(token.ok_or("it is truncated, but does not say where to continue")?.text.clone()),
        _ => return Err("it does not say whether it is truncated".to_owned()),
    };
    let is_encoded = listing.text_of("EncodingType") == Some("url");
    let mut objects = Vec::new();
    for contents in listing.all("Contents") {
        let key = contents.text_of("Key").ok_or("an object has no key")?;
        let bytes = contents.text_of("Size").and_then(|size| size.parse().ok());
        let modified = contents.text_of("LastModified").and_then(|time| time.parse::<jiff::Timestamp>().ok());
        objects.push(Object {
            key: if is_encoded { decoded(key)? } else { key.as_bytes().to_vec() },
            bytes: bytes.ok_or_else(|| format!("the object {key:?} has no size"))?,
            modified: Some(modified.ok_or_else(|| format!("the object {key:?} has no time"))?.into()),
        });
    }
    match listing.only("KeyCount")?.map(|count| count.text.as_str()) {
        Some(count) if count.parse() != Ok(objects.len()) => {
            Err(format!("it has {} objects, but says that there are {count}", objects.len()))
        }
        _ => Ok(Page { objects, next }),
    }
}

/// Reads the prefixes of a page of a listing, as far as it is one.
pub(super) fn directories(text: &[u8]) -> Vec<String> {
    let Ok(listing) = read(text, "ListBucketResult") else { return Vec::new() };
    let is_encoded = listing.text_of("EncodingType") == Some("url");
    let prefixes = listing.all("CommonPrefixes").filter_map(|common| common.text_of("Prefix"));
    let decoded =
        |prefix: &str| if is_encoded { String::from_utf8(decoded(prefix).ok()?).ok() } else { Some(prefix.to_owned()) };
    prefixes.filter_map(decoded).collect()
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
            Some(next.ok_or("it is truncated, but does not say where to continue")?)
        }
        _ => None,
    };
    let mut uploads = Vec::new();
    for upload in listing.all("Upload") {
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
    fn prefixes_are_read() {
        let page = "<ListBucketResult><EncodingType>url</EncodingType><CommonPrefixes><Prefix>a%2Fb+c/</Prefix></CommonPrefixes>\
                    <CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes></ListBucketResult>";
        assert_eq!(directories(page.as_bytes()), ["a/b c/", "d/"]);
        assert!(directories(b"<html/>").is_empty());
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
            (PAGE.replace("<IsTruncated>true", "<IsTruncated>false"), "not truncated, but with a token"),
            (PAGE.replace("<Contents>", "<KeyCount>2</KeyCount><Contents>"), "another number of objects"),
            (PAGE.replace("<Contents>", "<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes><Contents>"), "prefixes"),
            (PAGE.replace("<Contents>", "<Error><Code>InternalError</Code></Error><Contents>"), "an error"),
            (PAGE.replace("2026-11-28T12:00:00.000Z", "yesterday"), "an object without a time"),
            (format!("{PAGE}{}", &PAGE[38..]), "two roots"),
        ] {
            assert!(page(odd.as_bytes()).is_err(), "{why}: {odd}");
        }
    }
}
