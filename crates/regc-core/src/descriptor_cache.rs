//! Removes from a registry's cache in Redis what is no longer in its storage.
//!
//! A registry with `storage.cache.blobdescriptor: redis` answers "layer already exists" from the cache, also for a
//! layer that was deleted from the storage. A client then pushes a manifest without that layer, and the image cannot be
//! pulled (distribution issues 1803, 2094, 2945, 3743, 4269, 4569). A missing entry is harmless: the registry reads the
//! storage, and caches what it finds. So more entries may be removed than are stale, but never fewer.
//!
//! What the registry caches, by `registry/storage/cache/redis/redis.go`, the same in 2.8 and 3.1:
//!
//! | key | type | what |
//! |---|---|---|
//! | `blobs::<digest>` | hash | length and media type of a blob |
//! | `repository::<name>::blobs` | set | the digests of the blobs that a repository links |
//! | `repository::<name>::blobs::<digest>` | hash | the media type of a blob in that repository |

mod connection;
mod stale;

use std::borrow::Cow;
use std::io;
use std::sync::mpsc;
use std::thread;

use serde::Serialize;

use self::connection::Connection;
pub(crate) use self::stale::stale;
use crate::collect::plan::Item;
use crate::digest::Digest;
use crate::error::Error;
use crate::registry::config::Redis;
use crate::registry::layout::Location;

/// What a registry may have cached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Entry<'a> {
    /// The repository that links the blob; `None` for the blob itself.
    pub repository: Option<Cow<'a, str>>,
    /// The blob, which may be a manifest.
    pub digest: Digest,
}

impl<'a> Entry<'a> {
    /// Returns what may be cached of a blob, in whatever repository.
    pub fn blob(digest: Digest) -> Self {
        Self { repository: None, digest }
    }

    /// Returns what may be cached of a repository's link to a blob.
    pub fn link(repository: impl Into<Cow<'a, str>>, digest: Digest) -> Self {
        Self { repository: Some(repository.into()), digest }
    }

    /// Returns what is stale once the object at this key is deleted, if anything is.
    pub fn at(key: &'a str) -> Option<Self> {
        match Location::parse(key)? {
            Location::Blob { digest } => Some(Self::blob(digest)),
            Location::LayerLink { repository, digest } | Location::RevisionLink { repository, digest } => {
                Some(Self::link(repository, digest))
            }
            _ => None,
        }
    }

    /// Returns what is stale once `item` is deleted, if anything is.
    pub fn of(item: &Item<'a>) -> Option<Self> {
        match item {
            Item::Revision { repository, digest, .. } | Item::LayerLink { repository, digest } => {
                Some(Self::link(*repository, *digest))
            }
            Item::Blob { digest, .. } => Some(Self::blob(*digest)),
            Item::TagIndexEntry { .. }
            | Item::Tag { .. }
            | Item::Upload { .. }
            | Item::File { .. }
            | Item::Repository { .. } => None,
        }
    }
}

/// How many entries are removed by one request.
const PIPELINED: usize = 1000;

/// Removes entries from a registry's cache, and returns how many keys and members of sets were removed.
///
/// Fails if Redis cannot be reached, or refuses. Some entries may have been removed by then; repeating does no harm.
pub(crate) fn evict<'a>(redis: &Redis, entries: impl Iterator<Item = Entry<'a>>) -> Result<u64, Error> {
    let mut entries = entries.peekable();
    if entries.peek().is_none() {
        return Ok(0);
    }
    let mut connection = Connection::open(redis)?;
    let mut evicted = 0;
    while entries.peek().is_some() {
        let commands: Vec<::redis::Cmd> = entries.by_ref().take(PIPELINED).flat_map(|entry| removals(&entry)).collect();
        // The client waits for the answer to each command, however long the others took.
        let (sender, answer) = mpsc::channel();
        thread::spawn(move || {
            let sum = connection.sum(commands);
            sender.send((connection, sum)).ok();
        });
        let timeout = |_| Error::Cache { at: redis.to_string(), source: io::ErrorKind::TimedOut.into() };
        let (returned, sum) = answer.recv_timeout(connection::ANSWER).map_err(timeout)?;
        connection = returned;
        evicted += sum?;
    }
    Ok(evicted)
}

/// Returns the commands that remove an entry. Each answers how many keys or members it has removed.
fn removals(Entry { repository, digest }: &Entry<'_>) -> Vec<::redis::Cmd> {
    let delete = |key: String| {
        let mut command = ::redis::cmd("DEL");
        command.arg(key);
        command
    };
    match repository {
        None => vec![delete(format!("{BLOB}{digest}"))],
        Some(name) => {
            let mut remove = ::redis::cmd("SREM");
            remove.arg(format!("{REPOSITORY}{name}{LINKED}")).arg(digest.to_string());
            vec![remove, delete(format!("{REPOSITORY}{name}{LINKED}::{digest}"))]
        }
    }
}

const BLOB: &str = "blobs::";
const REPOSITORY: &str = "repository::";
const LINKED: &str = "::blobs";
