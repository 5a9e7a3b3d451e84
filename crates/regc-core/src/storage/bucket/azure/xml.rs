//! The answers of Azure, in XML.

use super::super::listing::{Object, Page};
use super::super::xml::{decoded, read};

/// A page of a listing.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) page: Page,
    /// Whether it has real directories.
    pub(super) has_directories: bool,
}

/// Reads a page of a listing (`List Blobs`).
pub(super) fn page(text: &[u8]) -> Result<Listed, String> {
    let listing = read(text, "EnumerationResults")?;
    // It is empty on the last page.
    let next = listing.only("NextMarker")?.ok_or("it does not say whether it is the last")?;
    let next = Some(next.text.clone()).filter(|next| !next.is_empty());
    let blobs = listing.only("Blobs")?.ok_or("it has no list of blobs")?;
    if listing.child("Error").is_some() || blobs.child("BlobPrefix").is_some() {
        return Err("it has an error, or prefixes".to_owned());
    }
    let mut listed = Listed { page: Page { objects: Vec::new(), next }, has_directories: false };
    for blob in blobs.all("Blob") {
        let name = blob.child("Name").ok_or("a blob has no name")?;
        let properties =
            blob.child("Properties").ok_or_else(|| format!("the blob {:?} has no properties", name.text))?;
        let bytes = properties.text_of("Content-Length").and_then(|bytes| bytes.parse().ok());
        let modified = properties.text_of("Last-Modified").and_then(|time| jiff::fmt::rfc2822::parse(time).ok());
        listed.has_directories |= properties.text_of("ResourceType") == Some("directory");
        listed.page.objects.push(Object {
            key: match name.attribute("Encoded") {
                Some("true") => decoded(&name.text)?,
                _ => name.text.as_bytes().to_vec(),
            },
            bytes: bytes.ok_or_else(|| format!("the blob {:?} has no length", name.text))?,
            modified: Some(modified.ok_or_else(|| format!("the blob {:?} has no time", name.text))?.timestamp().into()),
        });
    }
    Ok(listed)
}

/// Whether an account keeps deleted blobs for a while (`Get Blob Service Properties`).
pub(super) fn keeps_deleted(text: &[u8]) -> bool {
    let Ok(properties) = read(text, "StorageServiceProperties") else { return false };
    properties.child("DeleteRetentionPolicy").is_some_and(|policy| policy.text_of("Enabled") == Some("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\
        <EnumerationResults ServiceEndpoint=\"https://a/\" ContainerName=\"c\"><Prefix>/docker</Prefix><Blobs>\
        <Blob><Name>/docker/a b</Name><Properties><Last-Modified>Sat, 28 Nov 2026 15:51:20 GMT</Last-Modified>\
        <Content-Length>6</Content-Length></Properties></Blob>\
        <Blob><Name Encoded=\"true\">/docker/%EF%BF%BE</Name><Properties><Content-Length>0</Content-Length>\
        <Last-Modified>Sat, 28 Nov 2026 15:51:20 GMT</Last-Modified></Properties></Blob></Blobs><NextMarker>2!m&amp;</NextMarker></EnumerationResults>";

    #[test]
    fn a_page_is_read() {
        let Listed { page, has_directories } = page(PAGE.as_bytes()).unwrap();
        let [one, other] = &page.objects[..] else { panic!("two blobs") };
        assert_eq!((&*one.key, one.bytes, one.modified.is_some()), (&b"/docker/a b"[..], 6, true));
        assert_eq!((&*other.key, other.bytes), (&b"/docker/\xef\xbf\xbe"[..], 0));
        assert_eq!((page.next.as_deref(), has_directories), (Some("2!m&"), false));
        let last = PAGE.replace("<NextMarker>2!m&amp;</NextMarker>", "<NextMarker />");
        assert_eq!(super::page(last.as_bytes()).unwrap().page.next, None);
        let directory = PAGE.replace("<Properties>", "<Properties><ResourceType>directory</ResourceType>");
        assert!(super::page(directory.as_bytes()).unwrap().has_directories);
    }

    #[test]
    fn a_page_that_is_not_whole_is_an_error() {
        for (odd, why) in [
            ("<html/>".to_owned(), "an HTML page"),
            (PAGE[..PAGE.len() - 5].to_owned(), "cut at the end"),
            (PAGE.replace("<NextMarker>2!m&amp;</NextMarker>", ""), "the last or not"),
            (PAGE.replace("Blobs>", "Others>"), "no list"),
            (PAGE.replace("<Blobs>", "<Blobs/><Blobs>"), "two lists"),
            (PAGE.replace("<Content-Length>6</Content-Length>", ""), "no length"),
            (PAGE.replace("Sat, 28", "Sunday, 30"), "no time"),
            (PAGE.replace("<Blobs>", "<Blobs><BlobPrefix><Name>a/</Name></BlobPrefix>"), "prefixes"),
            (PAGE.replace("<Blobs>", "<Error><Code>InternalError</Code></Error><Blobs>"), "an error"),
        ] {
            assert!(page(odd.as_bytes()).is_err(), "{why}");
        }
    }

    #[test]
    fn a_soft_deletion_is_read() {
        let with = |policy: &str| format!("<StorageServiceProperties>{policy}</StorageServiceProperties>");
        let policy = "<DeleteRetentionPolicy><Enabled>true</Enabled><Days>7</Days></DeleteRetentionPolicy>";
        assert!(keeps_deleted(with(policy).as_bytes()));
        assert!(
            !keeps_deleted(with(&policy.replace("true", "false")).as_bytes()) && !keeps_deleted(with("").as_bytes())
        );
    }
}
