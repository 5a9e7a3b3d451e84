//! Listings of a bucket, page by page.
//!
//! What a listing does not show is taken for absent, and what only that referred to is deleted. So a page counts only
//! if it is whole: if it is not, it is requested again, and if it stays so, nothing is decided from it.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use super::Bucket;
use crate::error::Error;

/// An object of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// Its key, byte for byte.
    pub(super) key: Vec<u8>,
    pub(super) bytes: u64,
    pub(super) modified: Option<SystemTime>,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) objects: Vec<Object>,
    /// Where the next page begins; `None` if this is the last.
    pub(super) next: Option<String>,
}

/// A page, or what is wrong with it.
pub(super) type Answered = Result<Page, String>;

/// Where a page begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct From<'a> {
    /// The listing begins after this key; with the first one, if it is empty.
    pub(super) after: &'a str,
    /// Where the page before this one says; `None` for the first one.
    pub(super) token: Option<&'a str>,
}

/// How often a page is requested that is not whole.
const ATTEMPTS: u32 = 4;

/// How many empty pages may follow each other.
const EMPTY_PAGES: u32 = 1000;

/// Calls `visit` with each object whose key begins with `prefix` and is greater than `after`, in the order of the keys,
/// until it breaks.
///
/// Fails if a page is not whole, after it was requested several times.
pub(super) fn list(
    bucket: &dyn Bucket,
    prefix: &str,
    after: &str,
    visit: &mut dyn FnMut(Object) -> ControlFlow<()>,
) -> Result<(), Error> {
    pages(&|from| bucket.page(prefix, from, bucket.largest_page()), prefix, after, visit)
}

/// Calls `visit` with each object whose key begins with `prefix`.
pub(super) fn list_all(bucket: &dyn Bucket, prefix: &str, visit: &dyn Fn(&Object)) -> Result<(), Error> {
    list(bucket, prefix, "", &mut |object| {
        visit(&object);
        ControlFlow::Continue(())
    })
}

/// Returns the first object whose key begins with `prefix`.
pub(super) fn first(bucket: &dyn Bucket, prefix: &str) -> Result<Option<Object>, Error> {
    let mut first = None;
    pages(&|from| bucket.page(prefix, from, 1), prefix, "", &mut |object| {
        first = Some(object);
        ControlFlow::Break(())
    })?;
    Ok(first)
}

fn pages(
    request: &dyn Fn(From<'_>) -> Result<Answered, Error>,
    prefix: &str,
    after: &str,
    visit: &mut dyn FnMut(Object) -> ControlFlow<()>,
) -> Result<(), Error> {
    let mut token: Option<String> = None;
    let mut last: Vec<u8> = after.as_bytes().to_vec();
    let mut empty_pages = 0;
    loop {
        let from = From { after, token: token.as_deref() };
        let page = whole_page(request, from, prefix, &last)?;
        // A server may answer so where its own parts meet.
        empty_pages = if page.objects.is_empty() { empty_pages + 1 } else { 0 };
        if empty_pages > EMPTY_PAGES {
            return Err(wrong(prefix, "it has many empty pages, but no end"));
        }
        if let Some(object) = page.objects.last() {
            last.clone_from(&object.key);
        }
        for object in page.objects {
            if visit(object).is_break() {
                return Ok(());
            }
        }
        match page.next {
            Some(next) => token = Some(next),
            None => return Ok(()),
        }
    }
}

/// Requests a page until it is whole.
fn whole_page(
    request: &dyn Fn(From<'_>) -> Result<Answered, Error>,
    from: From<'_>,
    prefix: &str,
    last: &[u8],
) -> Result<Page, Error> {
    let mut attempt = 1;
    loop {
        let fault = match request(from)? {
            Ok(page) => match fault(&page, from, prefix, last) {
                None => return Ok(page),
                Some(fault) => fault.to_owned(),
            },
            Err(fault) => fault,
        };
        if attempt == ATTEMPTS {
            return Err(wrong(prefix, &fault));
        }
        std::thread::sleep(Duration::from_millis(50) * attempt);
        attempt += 1;
    }
}

fn wrong(prefix: &str, fault: &str) -> Error {
    Error::storage("list", prefix, std::io::Error::other(format!("invalid listing from the server: {fault}")))
}

/// Returns what is wrong with a page.
fn fault(page: &Page, from: From<'_>, prefix: &str, last: &[u8]) -> Option<&'static str> {
    let mut before = last;
    for object in &page.objects {
        if !object.key.starts_with(prefix.as_bytes()) {
            return Some("it has a key that does not begin with the prefix");
        }
        if !before.is_empty() && !is_after(&object.key, before) {
            return Some("its keys do not ascend");
        }
        before = &object.key;
    }
    match &page.next {
        Some(next) if from.token == Some(next) => Some("its next page is the same one"),
        _ => None,
    }
}

/// Whether a key is after another one: by bytes, or by the code units of UTF-16, as a server may order those of other
/// languages.
fn is_after(key: &[u8], before: &[u8]) -> bool {
    let in_utf16 = |key: &[u8]| -> Vec<u16> { String::from_utf8_lossy(key).encode_utf16().collect() };
    key > before || in_utf16(key) > in_utf16(before)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn page(keys: &[&str], next: Option<&str>) -> Page {
        let object = |key: &&str| Object { key: key.as_bytes().to_vec(), bytes: 1, modified: None };
        Page { objects: keys.iter().map(object).collect(), next: next.map(str::to_owned) }
    }

    /// Lists what the pages hold, one after the other; the last one is repeated.
    fn listed(pages: &[Page]) -> Result<Vec<String>, Error> {
        let number = Cell::new(0);
        let request = |_: From<'_>| {
            let now = number.get();
            number.set(now + 1);
            Ok(Ok(pages[now.min(pages.len() - 1)].clone()))
        };
        let mut keys = Vec::new();
        super::pages(&request, "a/", "", &mut |object| {
            keys.push(String::from_utf8(object.key).unwrap());
            ControlFlow::Continue(())
        })?;
        Ok(keys)
    }

    #[test]
    fn a_listing_has_the_objects_of_all_pages() {
        assert_eq!(listed(&[page(&["a/1", "a/2"], Some("x")), page(&["a/3"], None)]).unwrap(), ["a/1", "a/2", "a/3"]);
        assert_eq!(listed(&[page(&[], None)]).unwrap(), Vec::<String>::new());
        assert_eq!(listed(&[page(&[], Some("x")), page(&["a/1"], None)]).unwrap(), ["a/1"]);
        assert_eq!(listed(&[page(&["a/\u{1f600}", "a/\u{ff5e}"], None)]).unwrap().len(), 2);
    }

    #[test]
    fn a_page_that_is_not_whole_is_requested_again() {
        let pages = [page(&["a/1"], Some("x")), page(&["a/1"], Some("y")), page(&["a/2"], None)];
        assert_eq!(listed(&pages).unwrap(), ["a/1", "a/2"]);
    }

    #[test]
    fn a_listing_that_stays_wrong_fails() {
        for pages in [
            vec![page(&["b/1"], None)],
            vec![page(&["a/2", "a/1"], None)],
            vec![page(&["a/1", "a/1"], None)],
            vec![page(&["a/1"], Some("x")), page(&["a/1"], None)],
            vec![page(&["a/1"], Some("x")), page(&["a/2"], Some("x"))],
            vec![page(&[], Some("x"))],
        ] {
            assert!(listed(&pages).is_err(), "{pages:?}");
        }
    }
}
