//! Listings side by side: which keys each of them has.
//!
//! Digests are spread evenly, so a part of them tells how many blobs there are. Repositories are not: they are divided
//! where directories begin.

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

/// How many listings of blobs run side by side at most.
const LISTINGS: usize = 32;

/// How many listings of repositories.
const LISTINGS_OF_REPOSITORIES: usize = 16;

/// How many requests find out where those begin, at most.
const REQUESTS_FOR_POINTS: usize = 6;

/// Lists the blobs, whose keys begin with `prefix`. Where listings cannot begin anywhere and there are many blobs,
/// other keys are not listed.
pub(super) fn list_blobs(bucket: &dyn Bucket, prefix: &str, add: &Add<'_>) -> Result<(), Error> {
    if bucket.begins_anywhere() { in_ranges(bucket, prefix, add) } else { by_prefix(bucket, prefix, add) }
}

fn in_ranges(bucket: &dyn Bucket, prefix: &str, add: &Add<'_>) -> Result<(), Error> {
    match list_first(bucket, prefix, add)? {
        Some(last) => list_ranges(bucket, prefix, &starts(prefix, last, LISTED_FIRST), add),
        None => Ok(()),
    }
}

/// Lists the repositories, whose keys begin with `prefix`.
pub(super) fn list_repositories(bucket: &dyn Bucket, prefix: &str, add: &Add<'_>) -> Result<(), Error> {
    if !bucket.begins_anywhere() {
        return listing::list_all(bucket, prefix, add);
    }
    let Some(last) = list_first(bucket, prefix, add)? else { return Ok(()) };
    let mut points: Vec<String> = points(bucket, prefix)?.into_iter().filter(|point| *point > last).collect();
    points.sort_unstable();
    points.dedup();
    // The first of them begins where the first listing has ended.
    let evenly = |part: usize| points[points.len() * part / LISTINGS_OF_REPOSITORIES].clone();
    let mut starts = vec![last];
    match points.len() {
        0..LISTINGS_OF_REPOSITORIES => starts.append(&mut points),
        _ => starts.extend((0..LISTINGS_OF_REPOSITORIES).map(evenly)),
    }
    list_ranges(bucket, prefix, &starts, add)
}

/// Returns keys that divide the repositories: the directories of several repositories, or those in one. Many are on one
/// page.
fn points(bucket: &dyn Bucket, prefix: &str) -> Result<Vec<String>, Error> {
    let (mut points, mut level, mut requests) = (Vec::new(), vec![prefix.to_owned()], 0);
    while points.len() < LISTINGS_OF_REPOSITORIES && !level.is_empty() && requests < REQUESTS_FOR_POINTS {
        let mut below = Vec::new();
        for directory in level {
            if directory.ends_with("/sha256/") {
                points.extend((1..16).map(|digit| format!("{directory}{digit:x}")));
            } else if requests < REQUESTS_FOR_POINTS {
                requests += 1;
                below.extend(bucket.directories(&directory)?);
            }
        }
        points.extend(below.iter().cloned());
        level = below;
    }
    Ok(points)
}

/// Lists the first keys, and returns the last of them if there may be more.
fn list_first(bucket: &dyn Bucket, prefix: &str, add: &Add<'_>) -> Result<Option<String>, Error> {
    let (mut listed, mut last) = (0, Vec::new());
    listing::list(bucket, prefix, "", &mut |object| {
        add(&object);
        listed += 1;
        last = object.key;
        if listed == LISTED_FIRST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if listed < LISTED_FIRST {
        return Ok(None);
    }
    let not_utf8 = |_| Error::storage("list", prefix, io::Error::other("a key is not UTF-8"));
    String::from_utf8(last).map(Some).map_err(not_utf8)
}

/// Lists the keys after each of `starts` up to the next one, side by side.
fn list_ranges(bucket: &dyn Bucket, prefix: &str, starts: &[String], add: &Add<'_>) -> Result<(), Error> {
    let ends = starts.iter().skip(1).map(Some).chain([None]);
    side_by_side(starts.iter().zip(ends), |(start, end)| {
        listing::list(bucket, prefix, start, &mut |object| {
            // The next listing begins after this key.
            if end.is_some_and(|end| *object.key > *end.as_bytes()) {
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

/// Lists the blobs whose digests begin with 0, and then the rest: as a whole, or with a listing for each other digit
/// and algorithm.
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
    use super::super::Deleted;
    use super::super::listing::{Answered, From, Page};
    use super::*;
    use crate::sync::Mutex;

    /// A bucket of these keys, which notes where listings begin.
    struct Keys(Vec<String>, Mutex<Vec<String>>);

    impl Bucket for Keys {
        fn name(&self) -> String {
            "keys".to_owned()
        }

        fn root(&self) -> &str {
            ""
        }

        fn page(&self, prefix: &str, from: From<'_>, _: u16) -> Result<Answered, Error> {
            if from.token.is_none() {
                self.1.lock().push(from.after.to_owned());
            }
            let after = from.token.unwrap_or(from.after);
            let keys = self.0.iter().filter(|key| key.starts_with(prefix) && key.as_str() > after);
            let object = |key: &String| Object { key: key.clone().into_bytes(), bytes: 1, modified: None };
            let objects: Vec<Object> = keys.clone().take(1000).map(object).collect();
            Ok(Ok(Page { next: keys.clone().nth(1000).and(keys.clone().nth(999)).cloned(), objects }))
        }

        fn directories(&self, prefix: &str) -> Result<Vec<String>, Error> {
            let below = self.0.iter().filter_map(|key| key.strip_prefix(prefix)?.split_once('/'));
            let mut directories: Vec<String> = below.map(|(name, _)| format!("{prefix}{name}/")).collect();
            directories.dedup();
            directories.truncate(1000);
            Ok(directories)
        }

        fn get(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
            Ok(false)
        }

        fn put(&self, _: &str, _: &[u8]) -> Result<(), Error> {
            Ok(())
        }

        fn delete(&self, _: &str) -> Result<(), Error> {
            Ok(())
        }

        fn deleted_at_once(&self) -> usize {
            1
        }

        fn delete_several(&self, _: &[&str]) -> Result<Deleted, Error> {
            Ok(Deleted::Unsupported)
        }

        fn keeps_versions(&self) -> Option<bool> {
            None
        }
    }

    /// Lists repositories, and returns the keys, and how many listings there were.
    fn listed(mut keys: Vec<String>) -> (Vec<String>, usize) {
        keys.sort_unstable();
        let (bucket, listed) = (Keys(keys, Mutex::default()), Mutex::new(Vec::new()));
        list_repositories(&bucket, "r/", &|object| listed.lock().push(String::from_utf8(object.key.clone()).unwrap()))
            .unwrap();
        let mut listed = listed.into_inner();
        listed.sort_unstable();
        (listed, bucket.1.into_inner().len())
    }

    #[test]
    fn many_repositories_are_listed_side_by_side_and_every_key_once() {
        let link = |repository: &str, number: u64| {
            let hex = format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            format!("r/{repository}/_layers/sha256/{hex}/link")
        };
        let one: Vec<String> = (0..9000).map(|number| link("team/app", number)).collect();
        let many: Vec<String> = (0..9000).map(|number| link(&format!("app{}", number % 40), number)).collect();
        let few: Vec<String> = (0..9000).map(|number| link(&format!("team/app{}", number % 3), number)).collect();
        for (mut keys, least) in [(one, 10), (many, 17), (few, 3)] {
            // A key may be where a listing begins.
            keys.extend(["r/app20/", "r/team/", "r/team/app/_layers/sha256/7", "r/zzz"].map(str::to_owned));
            keys.sort_unstable();
            keys.dedup();
            let (all, listings) = listed(keys.clone());
            assert!(all == keys, "{} of {} keys", all.len(), keys.len());
            assert!((least..=18).contains(&listings), "{listings} listings");
        }
        let (all, listings) = listed((0..3999).map(|number| link("app", number)).collect());
        assert_eq!((all.len(), listings), (3999, 1));
    }

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
