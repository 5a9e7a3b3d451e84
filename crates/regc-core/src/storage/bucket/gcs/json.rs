//! The answers of Google Cloud Storage, in JSON.

use serde::Deserialize;

use super::super::listing::{Object, Page};

/// A page of a listing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    kind: String,
    /// Absent on the last page, and never `null`.
    #[serde(default, deserialize_with = "present")]
    next_page_token: Option<String>,
    #[serde(default)]
    items: Vec<Item>,
    #[serde(default)]
    prefixes: Vec<String>,
    /// It does not belong there.
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
    /// A number, as text.
    size: String,
    updated: String,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// Reads a page of a listing. Fails with what is wrong.
pub(super) fn page(text: &[u8]) -> Result<Page, String> {
    let listing: Listing = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if listing.kind != "storage#objects" {
        return Err(format!("it is of the kind {:?}", listing.kind));
    }
    if listing.error.is_some() || !listing.prefixes.is_empty() || listing.next_page_token.as_deref() == Some("") {
        return Err("it has an error, prefixes or an empty token".to_owned());
    }
    let object = |Item { name, size, updated }| {
        let bytes = size.parse().map_err(|_| format!("the object {name:?} has the size {size:?}"))?;
        let modified = updated.parse::<jiff::Timestamp>();
        let modified = modified.map_err(|_| format!("the object {name:?} has the time {updated:?}"))?;
        Ok(Object { key: name.into_bytes(), bytes, modified: Some(modified.into()) })
    };
    let objects = listing.items.into_iter().map(object).collect::<Result<_, String>>()?;
    Ok(Page { objects, next: listing.next_page_token })
}

/// Reads the prefixes of a page of a listing, as far as it is one.
pub(super) fn directories(text: &[u8]) -> Vec<String> {
    serde_json::from_slice(text).map(|listing: Listing| listing.prefixes).unwrap_or_default()
}

/// Whether an answer describes an object, which was written.
pub(super) fn is_object(text: &[u8]) -> bool {
    serde_json::from_slice(text).is_ok_and(|object: serde_json::Value| object["kind"] == "storage#object")
}

/// What is said of a bucket.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    versioning: Option<Versioning>,
    soft_delete_policy: Option<SoftDeletePolicy>,
}

#[derive(Deserialize)]
struct Versioning {
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SoftDeletePolicy {
    /// A number, as text; 0 if nothing is kept.
    retention_duration_seconds: String,
}

/// Reads whether a bucket keeps what is deleted.
pub(super) fn keeps_versions(text: &[u8]) -> Option<bool> {
    let Described { versioning, soft_delete_policy } = serde_json::from_slice(text).ok()?;
    let has_versions = versioning.is_some_and(|versioning| versioning.enabled);
    Some(has_versions || soft_delete_policy.is_some_and(|policy| policy.retention_duration_seconds != "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{"kind":"storage#objects","nextPageToken":"t","items":[
        {"name":"a/b c","size":"7","updated":"2026-11-28T15:48:40.129186Z"},{"name":"a/c","size":"0","updated":"2026-11-28T15:48:40Z"}]}"#;

    #[test]
    fn a_page_is_read() {
        let page = page(PAGE.as_bytes()).unwrap();
        let [one, other] = &page.objects[..] else { panic!("two objects") };
        assert_eq!((&*one.key, one.bytes, one.modified.is_some()), (&b"a/b c"[..], 7, true));
        assert_eq!((other.bytes, page.next.as_deref()), (0, Some("t")));
        assert_eq!(super::page(br#"{"kind":"storage#objects"}"#), Ok(Page::default()));
    }

    #[test]
    fn a_page_that_is_not_whole_is_an_error() {
        for odd in [
            "<html/>".to_owned(),
            String::new(),
            "{}".to_owned(),
            "null".to_owned(),
            PAGE[..PAGE.len() - 1].to_owned(),
            PAGE.replace("storage#objects", "storage#buckets"),
            PAGE.replace(r#""size":"7","#, ""),
            PAGE.replace(r#""7""#, r#""seven""#),
            PAGE.replace("2026-11-28T15:48:40Z", "yesterday"),
            PAGE.replace(r#""t""#, "null"),
            PAGE.replace(r#""t""#, r#""""#),
            PAGE.replace("\"items\"", r#""error":{"code":500},"items""#),
            PAGE.replace("\"items\"", r#""prefixes":["a/"],"items""#),
        ] {
            assert!(page(odd.as_bytes()).is_err(), "{odd}");
        }
    }

    #[test]
    fn versions_and_soft_deletion_are_read() {
        for (text, keeps) in [
            (r#"{"versioning":{"enabled":true}}"#, Some(true)),
            (
                r#"{"versioning":{"enabled":false},"softDeletePolicy":{"retentionDurationSeconds":"604800"}}"#,
                Some(true),
            ),
            (r#"{"softDeletePolicy":{"retentionDurationSeconds":"0"}}"#, Some(false)),
            ("{}", Some(false)),
            ("<html/>", None),
        ] {
            assert_eq!(keeps_versions(text.as_bytes()), keeps, "{text}");
        }
    }
}
