//! A limit on the memory that large manifests take up, for all threads together.
//!
//! Most manifests have a few kilobytes. A client that can push can make manifests of 64 MiB, and every thread could
//! read one at the same time.

use crate::error::Error;
use crate::registry::manifest::MAX_MANIFEST_BYTES;
use crate::storage::{Content, ReadStorage};
use crate::sync::{Condvar, Mutex};

/// The largest content, in bytes, that is read without a share.
const SMALL: u64 = 1 << 20;
/// The limits that are tried next, in this order. The content that is looked at takes the last.
const LARGE: [u64; 2] = [8 << 20, MAX_MANIFEST_BYTES];
/// How many bytes of large manifests may be in memory at once.
const BUDGET: u64 = 64 << 20;

static LEFT: Mutex<u64> = Mutex::new(BUDGET);
static GIVEN_BACK: Condvar = Condvar::new();

/// A part of the budget, which is released when this is dropped. A thread that holds one takes no other.
struct Share(u64);

impl Share {
    fn take(bytes: u64) -> Self {
        let mut left = GIVEN_BACK.wait_while(LEFT.lock(), |left| *left < bytes);
        *left -= bytes;
        Self(bytes)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *LEFT.lock() += self.0;
        GIVEN_BACK.notify_all();
    }
}

/// Returns what `look` makes of the manifest at `key`, which is freed from memory after that.
pub(crate) fn with_manifest<T>(
    storage: &dyn ReadStorage,
    key: &str,
    look: impl FnOnce(Option<Content>) -> T,
) -> Result<T, Error> {
    match storage.read(key, SMALL)? {
        Some(Content::TooLarge) => with_large(storage, key, look),
        content => Ok(look(content)),
    }
}

/// Calls `look` with the manifest at each of `keys`, as [`ReadStorage::read_each`] does.
pub(crate) fn with_each_manifest(
    storage: &dyn ReadStorage,
    directory: &str,
    keys: &[String],
    look: &mut dyn FnMut(Option<Content>),
) -> Result<(), Error> {
    let (mut number, mut failed) = (0, None);
    storage.read_each(directory, keys, SMALL, &mut |content| {
        let key = &keys[number];
        number += 1;
        match content {
            Some(Content::TooLarge) if failed.is_none() => {
                failed = with_large(storage, &format!("{directory}/{key}"), &mut *look).err();
            }
            content => look(content),
        }
    })?;
    failed.map_or(Ok(()), Err)
}

fn with_large<T>(storage: &dyn ReadStorage, key: &str, look: impl FnOnce(Option<Content>) -> T) -> Result<T, Error> {
    for limit in LARGE {
        let _share = Share::take(limit);
        match storage.read(key, limit)? {
            Some(Content::TooLarge) => {}
            content => return Ok(look(content)),
        }
    }
    Ok(look(Some(Content::TooLarge)))
}
