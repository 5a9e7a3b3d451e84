//! Buckets: storage without directories, in which every query costs a request.
//!
//! Everything is listed once, in parallel, and every query except for content is answered from that listing, until
//! [`ReadStorage::relist`]. Objects cannot be moved, so there is no trash.

#[cfg(feature = "azure")]
mod azure;
#[cfg(any(feature = "s3", feature = "gcs"))]
mod bulk;
mod deletes;
mod division;
mod failure;
#[cfg(feature = "gcs")]
mod gcs;
mod http;
mod listing;
mod marker;
#[cfg(feature = "s3")]
mod s3;
mod snapshot;
mod xml;

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use self::deletes::Deletes;
use self::listing::{Answered, From};
use self::snapshot::{Listed, Snapshot};
use super::contract::{
    Content, DeleteStorage, Entry, EntryKind, Hashes, Metadata, Object, ReadStorage, Removal, Removing,
};
use super::lock::{Holder, Lock};
use crate::error::Error;
use crate::registry::{config, layout};
use crate::sync::{Mutex, RwLock};

/// A server's bucket. Keys are whole, byte for byte as they were listed.
trait Bucket: Send + Sync {
    /// Returns its name, as a URL that shows no secret.
    fn name(&self) -> String;

    /// Returns what the keys of the store begin with; empty for the whole bucket.
    fn root(&self) -> &str;

    /// Whether a listing can begin after any key.
    fn begins_anywhere(&self) -> bool {
        true
    }

    /// Returns how many keys one page has at most.
    fn largest_page(&self) -> u16 {
        1000
    }

    /// Requests one page of the keys that begin with `prefix`, with at most that many.
    fn page(&self, prefix: &str, from: From<'_>, limit: u16) -> Result<Answered, Error>;

    /// Requests the prefixes of keys that begin with `prefix`, up to the next slash: as many as one page has. They only
    /// divide listings, so that some are missing does no harm.
    fn directories(&self, _prefix: &str) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    /// Requests an object, and returns whether it exists.
    fn get(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error>;

    /// Writes an object.
    fn put(&self, key: &str, content: &[u8]) -> Result<(), Error>;

    /// Deletes an object. One that does not exist is no error.
    fn delete(&self, key: &str) -> Result<(), Error>;

    /// Returns how many objects one request deletes at most.
    fn deleted_at_once(&self) -> usize;

    /// Deletes several objects by one request, which is sent once.
    fn delete_several(&self, keys: &[&str]) -> Result<Deleted, Error>;

    /// Lists the uploads in several parts that have begun below `prefix`, and are neither complete nor aborted; none if
    /// a registry's uploads are objects there. `None` if the server cannot list them.
    fn pending_uploads(&self, _prefix: &str) -> Result<Option<Vec<PendingUpload>>, Error> {
        Ok(Some(Vec::new()))
    }

    /// Aborts an upload in several parts. One that does not exist is no error.
    fn abort(&self, _upload: &PendingUpload) -> Result<(), Error> {
        Ok(())
    }

    /// Whether the bucket keeps what is deleted, as an older version; `None` if that cannot be found out.
    fn keeps_versions(&self) -> Option<bool>;

    /// Whether the registry creates an object, and adds its content by another request.
    fn writes_in_steps(&self) -> bool {
        false
    }
}

/// The answer to a request that deletes several objects.
enum Deleted {
    /// All are deleted but these.
    AllBut(Vec<FailedDelete>),
    /// It is unknown whether anything is deleted: the server is busy, or its answer did not arrive.
    Busy {
        /// For how long it asks to wait.
        pause: Option<Duration>,
        reason: String,
    },
    /// The server has no such request.
    Unsupported,
}

/// An upload in several parts that is not complete. It is no object, and takes up space.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PendingUpload {
    /// The whole key of the object that it is to become.
    key: String,
    id: String,
    began: Option<SystemTime>,
}

/// An object that was not deleted.
struct FailedDelete {
    key: String,
    /// Whether it may be deleted later.
    is_busy: bool,
    reason: String,
}

/// A store in a bucket.
pub struct BucketStorage {
    bucket: Arc<dyn Bucket>,
    parts: Vec<Part>,
    deletes: Deletes,
    /// The uploads in several parts that are pending, by their keys in the store, once they are needed: each counts as
    /// an object, of no known length.
    pending: Mutex<Option<HashMap<String, Vec<PendingUpload>>>>,
    /// Whether the server has said that it cannot list them.
    hides_uploads: AtomicBool,
    /// Whether anything of a registry is in the bucket, once that is known.
    has_layout: Mutex<Option<bool>>,
}

/// What is below one prefix, listed when it is first needed.
struct Part {
    /// A directory; empty for the whole store.
    directory: String,
    snapshot: Mutex<Option<Arc<RwLock<Snapshot>>>>,
    /// What was known before it was to be listed anew, where links are written in steps.
    before: Mutex<Option<Arc<RwLock<Snapshot>>>>,
}

impl BucketStorage {
    /// Prepares requests to a bucket of S3. Nothing is requested yet.
    ///
    /// Fails if there are no credentials, as far as that is known without a request.
    #[cfg(feature = "s3")]
    pub fn s3(config: &config::S3) -> Result<Self, Error> {
        Ok(Self::new(Arc::new(s3::S3::new(config)?)))
    }

    /// Prepares requests to a bucket of Google Cloud Storage. Nothing is requested yet.
    ///
    /// Fails if there are no credentials, as far as that is known without a request.
    #[cfg(feature = "gcs")]
    pub fn gcs(config: &config::Gcs) -> Result<Self, Error> {
        Ok(Self::new(Arc::new(gcs::Gcs::new(config)?)))
    }

    /// Opens a container of Azure. Requests to its server determine where the store is: see
    /// [`leading_slash`](config::Azure::leading_slash).
    ///
    /// Fails if that cannot be determined, or if the account has a hierarchical namespace.
    #[cfg(feature = "azure")]
    pub fn azure(config: &config::Azure) -> Result<Self, Error> {
        Ok(Self::new(Arc::new(azure::Azure::new(config)?)))
    }

    /// Lists every key below the root, not only those that a registry has.
    pub fn whole(self) -> Self {
        Self::with_parts(self.bucket, &[""])
    }

    fn new(bucket: Arc<dyn Bucket>) -> Self {
        Self::with_parts(bucket, &[layout::BLOBS, layout::REPOSITORIES, LOCKFILES])
    }

    fn with_parts(bucket: Arc<dyn Bucket>, parts: &[&str]) -> Self {
        let part = |directory: &&str| Part {
            directory: (*directory).to_owned(),
            snapshot: Mutex::default(),
            before: Mutex::default(),
        };
        let deletes = Deletes::new(bucket.clone());
        Self {
            bucket,
            parts: parts.iter().map(part).collect(),
            deletes,
            pending: Mutex::default(),
            hides_uploads: AtomicBool::new(false),
            has_layout: Mutex::default(),
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.bucket.root())
    }

    /// Returns what is known of the part that a key is in; `None` if it is in none.
    fn snapshot_of(&self, key: &str) -> Result<Option<Arc<RwLock<Snapshot>>>, Error> {
        let Some(part) = self.parts.iter().find(|part| is_in(key, &part.directory)) else { return Ok(None) };
        let snapshot = self.snapshot(part)?;
        if key.split('/').any(|name| name == layout::UPLOADS) {
            self.list_pending(&snapshot)?;
        }
        Ok(Some(snapshot))
    }

    /// Adds the pending uploads to what is known of repositories, unless they are there already.
    fn list_pending(&self, snapshot: &RwLock<Snapshot>) -> Result<(), Error> {
        let mut known = self.pending.lock();
        if known.is_some() {
            return Ok(());
        }
        let mut pending: HashMap<String, Vec<PendingUpload>> = HashMap::new();
        let uploads = self.bucket.pending_uploads(&self.key(&format!("{}/", layout::REPOSITORIES)))?;
        self.hides_uploads.store(uploads.is_none(), Relaxed);
        for upload in uploads.into_iter().flatten() {
            let Some(key) = upload.key.strip_prefix(self.bucket.root()).filter(|key| key.contains(UPLOADS)) else {
                continue;
            };
            // The later of all times counts, and one that is unknown is the latest.
            let known = snapshot.read().object(key);
            let bytes = known.map_or(0, |known| known.bytes);
            let modified = match known {
                Some(known) => known.modified.zip(upload.began).map(|(one, other)| one.max(other)),
                None => upload.began,
            };
            snapshot.write().insert(key, Listed { bytes, modified });
            pending.entry(key.to_owned()).or_default().push(upload);
        }
        *known = Some(pending);
        Ok(())
    }

    /// Aborts the pending uploads of a key, if there are any.
    fn abort(&self, key: &str) -> Option<Result<(), Error>> {
        let uploads = self.pending.lock().as_ref()?.get(key)?.clone();
        Some(uploads.iter().try_for_each(|upload| self.bucket.abort(upload)))
    }

    /// Returns what is known of a part, which is listed first if it was not yet.
    fn snapshot(&self, part: &Part) -> Result<Arc<RwLock<Snapshot>>, Error> {
        let mut known = part.snapshot.lock();
        if let Some(snapshot) = &*known {
            return Ok(snapshot.clone());
        }
        let listed = self.list_part(&part.directory)?;
        let mut before = part.before.lock();
        if let Some(link) = before.as_ref().and_then(|before| listed.link_written_since(&before.read())) {
            return Err(Error::BeingWritten(link));
        }
        *before = None;
        let snapshot = Arc::new(RwLock::new(listed));
        *known = Some(snapshot.clone());
        Ok(snapshot)
    }

    /// Returns the parts that are below a directory, and not the directory itself.
    fn parts_below(&self, directory: &str) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.directory != directory && is_in(&part.directory, directory))
    }

    fn list_part(&self, directory: &str) -> Result<Snapshot, Error> {
        let below = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let prefix = self.key(&below);
        let snapshot = Mutex::new(Snapshot::default());
        let root = self.bucket.root().len();
        let add = |object: &listing::Object| {
            // A key that is not UTF-8 is none of a registry.
            match std::str::from_utf8(&object.key[root..]) {
                Ok(key) => snapshot.lock().add(key, Listed { bytes: object.bytes, modified: object.modified }),
                Err(_) => snapshot.lock().ignore(),
            }
        };
        match directory {
            layout::BLOBS => division::list_blobs(&*self.bucket, &prefix, &add)?,
            layout::REPOSITORIES => division::list_repositories(&*self.bucket, &prefix, &add)?,
            _ => listing::list_all(&*self.bucket, &prefix, &add)?,
        }
        let mut snapshot = snapshot.into_inner();
        snapshot.finish();
        Ok(snapshot)
    }

    /// Requests an object. Fails if less or more of it arrives than was listed: an answer that does not state its
    /// length may end anywhere, and may be no answer of the server.
    fn get(
        &self,
        key: &str,
        listed: Option<Listed>,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        let (mut arrived, mut is_stopped) = (0, false);
        let is_there = self.bucket.get(&self.key(key), &mut |part| {
            arrived += part.len() as u64;
            let visited = visit(part);
            is_stopped = visited.is_break();
            visited
        })?;
        match listed {
            Some(Listed { bytes, .. }) if is_there && (arrived > bytes || arrived < bytes && !is_stopped) => {
                let wrong = format!("{arrived} bytes arrived, but {bytes} were listed");
                Err(Error::storage("read", key, io::Error::other(wrong)))
            }
            _ => Ok(is_there),
        }
    }

    /// Forgets an object that is deleted.
    fn forget(&self, key: &str) -> Removal {
        match self.snapshot_of(key) {
            Ok(snapshot) => {
                snapshot.iter().for_each(|snapshot| snapshot.write().forget(key));
                Removal::Done
            }
            Err(error) => Removal::Failed(error),
        }
    }

    /// Whether anything of a registry is in the bucket.
    fn has_layout(&self) -> Result<bool, Error> {
        let mut known = self.has_layout.lock();
        if let Some(known) = *known {
            return Ok(known);
        }
        let is_there = listing::first(&*self.bucket, &self.key(&format!("{}/", layout::ROOT)))?.is_some();
        *known = Some(is_there);
        Ok(is_there)
    }
}

/// Returns what keys begin with below a root, which has no slashes around it.
fn below(root: &str) -> String {
    if root.is_empty() { String::new() } else { format!("{root}/") }
}

/// What is in the keys of all uploads.
const UPLOADS: &str = "/_uploads/";

/// Where GitLab's registry says what describes the store.
const LOCKFILES: &str = "docker/registry/lockfiles";

/// Whether a key is in a directory, or is that directory.
fn is_in(key: &str, directory: &str) -> bool {
    let below = key.strip_prefix(directory);
    directory.is_empty() || below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// Calls `visit` for what is in a directory but directories of digests, and returns whether it exists, and those
/// digests.
fn list_in(snapshot: &RwLock<Snapshot>, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> (bool, Vec<Hashes>) {
    let mut names = Vec::new();
    let (is_there, digests) = {
        let snapshot = snapshot.read();
        let is_there = snapshot.list(directory, &mut |name, kind| names.push((name.to_owned(), kind)));
        (is_there, snapshot.digests(directory))
    };
    // No lock is held while they are visited.
    names.iter().for_each(|(name, kind)| visit(Entry { name, kind: *kind, symlink: false }));
    (is_there, digests)
}

impl ReadStorage for BucketStorage {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        let Some(snapshot) = self.snapshot_of(directory)? else {
            let mut names = Vec::new();
            for part in self.parts_below(directory) {
                if self.snapshot(part)?.read().stat(&part.directory).is_some() {
                    let below = part.directory[directory.len()..].trim_start_matches('/');
                    names.extend(below.split('/').next().map(str::to_owned));
                }
            }
            names.sort_unstable();
            names.dedup();
            names.iter().for_each(|name| visit(Entry { name, kind: EntryKind::Directory, symlink: false }));
            return Ok(!names.is_empty() || directory.is_empty());
        };
        let (is_there, digests) = list_in(&snapshot, directory, visit);
        for hash in digests.iter().flat_map(|hashes| &**hashes) {
            visit(Entry { name: &hex::encode(hash), kind: EntryKind::Directory, symlink: false });
        }
        Ok(is_there)
    }

    fn list_digests(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<Vec<Hashes>, Error> {
        match self.snapshot_of(directory)? {
            Some(snapshot) => Ok(list_in(&snapshot, directory, visit).1),
            None => self.list(directory, visit).map(|_| Vec::new()),
        }
    }

    fn walk(&self, directory: &str, visit: &mut dyn FnMut(Object<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        let mut objects = Vec::new();
        let mut add = |snapshot: &Snapshot, directory: &str| {
            snapshot.walk(directory, &mut |Object { key, bytes, modified }| {
                objects.push((key.to_owned(), bytes, modified));
            });
        };
        match self.snapshot_of(directory)? {
            Some(snapshot) => add(&snapshot.read(), directory),
            None => {
                for part in self.parts_below(directory) {
                    add(&self.snapshot(part)?.read(), &part.directory);
                }
            }
        }
        let mut objects = objects.iter();
        let _ =
            objects.try_for_each(|(key, bytes, modified)| visit(Object { key, bytes: *bytes, modified: *modified }));
        Ok(())
    }

    /// An object that was not listed is requested all the same: it may have been written since.
    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
        let Some(snapshot) = self.snapshot_of(key)? else { return Ok(None) };
        let listed = snapshot.read().object(key);
        if listed.is_some_and(|listed| listed.bytes > limit) {
            return Ok(Some(Content::TooLarge));
        }
        let (mut content, mut is_too_large) = (Vec::new(), false);
        let is_there = self.get(key, listed, &mut |part| {
            content.extend_from_slice(part);
            is_too_large = content.len() as u64 > limit;
            if is_too_large { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(is_there.then_some(if is_too_large { Content::TooLarge } else { Content::Whole(content) }))
    }

    fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
        let Some(snapshot) = self.snapshot_of(key)? else { return Ok(false) };
        let listed = snapshot.read().object(key);
        self.get(key, listed, visit)
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
        if let Some(snapshot) = self.snapshot_of(key)? {
            return Ok(snapshot.read().stat(key));
        }
        // Only directories are above the parts.
        let is_there = if is_in(layout::ROOT, key) { self.has_layout()? } else { false };
        Ok(is_there.then(|| Metadata::directory(None)))
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn ignored(&self) -> u64 {
        let listed = self.parts.iter().filter_map(|part| part.snapshot.lock().clone());
        listed.map(|snapshot| snapshot.read().ignored()).sum()
    }

    fn link_being_written(&self, key: &str) -> Result<Option<String>, Error> {
        if !self.bucket.writes_in_steps() {
            return Ok(None);
        }
        Ok(self.snapshot_of(key)?.and_then(|snapshot| snapshot.read().empty_link(key)))
    }

    fn relist(&self, directory: &str) {
        for part in &self.parts {
            if is_in(&part.directory, directory) || is_in(directory, &part.directory) {
                let known = part.snapshot.lock().take();
                // A look at the same place again, during a run, shows what is written meanwhile.
                let is_again = self.bucket.writes_in_steps() && part.directory == directory;
                *part.before.lock() = known.filter(|_| is_again);
            }
        }
        *self.pending.lock() = None;
        // What is there does not vanish as a whole.
        self.has_layout.lock().take_if(|has_layout| !*has_layout);
    }
}

impl DeleteStorage for BucketStorage {
    fn remove(&self, keys: &[String], how: &Removing<'_>) -> Vec<Removal> {
        if how.into.is_some() {
            return keys.iter().map(|_| Removal::Failed(Error::NoTrash)).collect();
        }
        let mut removals: Vec<Option<Removal>> = Vec::with_capacity(keys.len());
        let mut listed = Vec::new();
        for (number, key) in keys.iter().enumerate() {
            let found = self.snapshot_of(key).map(|snapshot| snapshot.and_then(|snapshot| snapshot.read().object(key)));
            removals.push(match found {
                Err(error) => Some(Removal::Failed(error)),
                Ok(None) => Some(Removal::Done),
                Ok(Some(Listed { modified, .. })) => {
                    let is_recent =
                        how.unless_modified_since.is_some_and(|since| modified.is_none_or(|at| at >= since));
                    let aborted = if is_recent { None } else { self.abort(key) };
                    match aborted {
                        _ if is_recent => Some(Removal::Spared),
                        Some(Err(error)) => Some(Removal::Failed(error)),
                        // There may be an object as well.
                        None | Some(Ok(())) => {
                            listed.push(number);
                            None
                        }
                    }
                }
            });
        }
        let deleted = self.deletes.run(listed.iter().map(|&number| self.key(&keys[number])).collect());
        for (number, deleted) in listed.into_iter().zip(deleted) {
            removals[number] = Some(deleted.map_or_else(Removal::Failed, |()| self.forget(&keys[number])));
        }
        removals.into_iter().flatten().collect()
    }

    fn keeps_versions(&self) -> bool {
        self.bucket.keeps_versions() == Some(true)
    }

    fn hides_uploads(&self) -> bool {
        self.hides_uploads.load(Relaxed)
    }

    fn removed_at_once(&self) -> Option<usize> {
        Some(self.bucket.deleted_at_once())
    }

    /// Writes a marker, which is no lock that can be relied on: two programs that begin at the same moment may both go
    /// on. After a process of this machine was killed, its marker counts for nothing.
    fn lock(&self, holder: &Holder) -> Result<Lock, Error> {
        let lock = marker::write(&self.bucket, &self.key(layout::LOCK), holder)?;
        self.relist("");
        Ok(lock)
    }
}
