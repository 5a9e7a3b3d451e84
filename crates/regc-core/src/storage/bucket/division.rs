//! Listings of blobs, side by side: which keys each of them has.
//!
//! Digests are spread evenly, so a part of them tells how many there are.

use std::io;
use std::ops::ControlFlow;

use super::Bucket;
use super::listing::{self, Object};
use crate::error::Error;

/// Takes what is listed, in the order of keys within a directory.
type Add<'a> = dyn Fn(&Object) + Sync + 'a;

/// How many blobs are listed before the rest is divided.
const LISTED_FIRST: usize = 4000;

/// How many keys one of the listings side by side is to have at least.
const LISTED_BY_ONE: usize = 8000;

/// How many listings run side by side at most.
const LISTINGS: usize = 32;

/// Lists the blobs, whose keys begin with `prefix`. Where listings cannot begin anywhere and there are many blobs, other keys
/// are not listed.
pub(super) fn list_blobs(bucket: &dyn Bucket, prefix: &str, add: &Add<'_>) -> Result<(), Error> {
    if bucket.begins_anywhere() { in_ranges(bucket, prefix, add) } else { by_prefix(bucket, prefix, add) }
}

fn in_ranges(bucket: &dyn Bucket, prefix: &str, add: &Add<'_>) -> Result<(), Error> {
    let (mut first, mut last) = (0, Vec::new());
    listing::list(bucket, prefix, "", &mut |object| {
        add(&object);
        first += 1;
        last = object.key;
        if first == LISTED_FIRST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if first < LISTED_FIRST {
        return Ok(());
    }
    let last = String::from_utf8(last)
        .map_err(|_| Error::storage("list", prefix, io::Error::other("a key among the blobs is not UTF-8")))?;
    let starts = starts(prefix, last, first);
    let ends = starts.iter().skip(1).map(Some).chain([None]);
    side_by_side(starts.iter().zip(ends), |(start, end)| {
        listing::list(bucket, prefix, start, &mut |object| {
            if end.is_some_and(|end| *object.key >= *end.as_bytes()) {
                return ControlFlow::Break(());
            }
            add(&object);
            ControlFlow::Continue(())
        })
    })
}

/// Returns the keys after which the rest of the blobs is listed. `last` is the key of the last blob so far.
fn starts(prefix: &str, last: String, listed: usize) -> Vec<String> {
    let of_sha256 = format!("{prefix}sha256/");
    let shard = last.strip_prefix(&of_sha256).and_then(|below| usize::from_str_radix(below.get(..2)?, 16).ok());
    let mut starts = vec![last];
    if let Some(shard) = shard {
        let left = 255 - shard;
        let keys = listed / (shard + 1) * left;
        let number = (keys / LISTED_BY_ONE).clamp(1, LISTINGS.min(left.max(1)));
        // Each begins with a directory of its own.
        starts.extend((1..number).map(|part| format!("{of_sha256}{:02x}/", shard + 1 + left * part / number)));
    }
    starts
}

/// Lists the blobs whose digests begin with 0, and then the rest: as a whole, or with a listing for each other digit and
/// algorithm.
fn by_prefix(bucket: &dyn Bucket, prefix: &str, add: &Add<'_>) -> Result<(), Error> {
    let of_digit = |digit: u8| format!("{prefix}sha256/{digit:x}");
    let (first, mut listed) = (of_digit(0), 0);
    listing::list(bucket, &first, "", &mut |object| {
        add(&object);
        listed += 1;
        ControlFlow::Continue(())
    })?;
    if listed * 16 < LISTED_BY_ONE {
        return listing::list(bucket, prefix, "", &mut |object| {
            if !object.key.starts_with(first.as_bytes()) {
                add(&object);
            }
            ControlFlow::Continue(())
        });
    }
    let others = ["sha384", "sha512"].map(|algorithm| format!("{prefix}{algorithm}/"));
    side_by_side((1..16).map(of_digit).chain(others), |prefix| listing::list_all(bucket, &prefix, add))
}

/// Runs each listing in a thread of its own.
fn side_by_side<T: Send>(
    listings: impl Iterator<Item = T>,
    list: impl Fn(T) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let list = &list;
    let listed: Vec<Result<(), Error>> = std::thread::scope(|scope| {
        let threads: Vec<_> = listings.map(|listing| scope.spawn(move || list(listing))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a listing does not panic")).collect()
    });
    listed.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_blobs_are_listed_side_by_side() {
        let starts = |last: &str, listed| starts("docker/registry/v2/blobs/", last.to_owned(), listed);
        let few = starts("docker/registry/v2/blobs/sha256/f0/aa/data", 4000);
        assert_eq!(few, ["docker/registry/v2/blobs/sha256/f0/aa/data"]);
        let many = starts("docker/registry/v2/blobs/sha256/00/aa/data", 4000);
        assert_eq!(many.len(), LISTINGS);
        assert!(many.is_sorted() && many.iter().skip(1).all(|start| start.len() == 35), "{many:?}");
        assert_eq!(starts("docker/registry/v2/blobs/sha512/00/aa/data", 4000).len(), 1);
    }
}
