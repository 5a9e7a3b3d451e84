//! The object that shows who changes the store.
//!
//! A server cannot say who is first, so this is no lock that can be relied on: two programs that begin at the same
//! moment may both go on. It is deleted when its process is done. If the process was killed, another one of the same
//! machine finds that it has ended; one of another machine cannot, and refuses until the object is deleted.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Bucket, listing};
use crate::error::Error;
use crate::storage::lock::{Holder, Lock};

/// What a marker holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marked {
    #[serde(flatten)]
    holder: Holder,
    /// Where the number of the process has its meaning: see [`namespace`].
    #[serde(default)]
    namespace: String,
}

/// The marker of this process, which is deleted when this is dropped.
struct Marker {
    bucket: Arc<dyn Bucket>,
    key: String,
    marked: Marked,
}

impl Drop for Marker {
    fn drop(&mut self) {
        // That of another process is not ours to delete. If it fails, the next run here finds that this process has ended.
        if marked_at(&*self.bucket, &self.key).is_ok_and(|marked| marked.as_ref() == Some(&self.marked)) {
            self.bucket.delete(&self.key).ok();
        }
    }
}

/// Writes a marker for the holder at a key.
///
/// Fails with [`Error::Locked`] if there is one of another process that may go on.
pub(super) fn write(bucket: &Arc<dyn Bucket>, key: &str, holder: &Holder) -> Result<Lock, Error> {
    let locked = |other: &Marked| {
        let path = format!("{}/{key}", bucket.name());
        Err(Error::Locked { path, holder: other.holder.to_string() })
    };
    if let Some(other) = marked_at(&**bucket, key)?.filter(|other| !has_ended(other)) {
        return locked(&other);
    }
    let marked = Marked { holder: holder.clone(), namespace: namespace() };
    let text = serde_json::to_vec(&marked).map_err(|error| Error::storage("write", key, error.into()))?;
    // Before it is written: it may be written although that fails.
    let marker = Marker { bucket: bucket.clone(), key: key.to_owned(), marked };
    bucket.put(key, &text)?;
    match (marked_at(&**bucket, key)?, written(&**bucket, key)?) {
        (Some(now), Some(since)) if now == marker.marked => Ok(Lock::new(floored(since), marker)),
        (Some(other), _) if other != marker.marked => locked(&other),
        _ => Err(Error::storage("write", key, io::Error::other("it is missing after it was written"))),
    }
}

/// Returns what the marker at a key holds, if there is one.
fn marked_at(bucket: &dyn Bucket, key: &str) -> Result<Option<Marked>, Error> {
    let mut text = Vec::new();
    let is_there = bucket.get(key, &mut |part| {
        text.extend_from_slice(part);
        ControlFlow::Continue(())
    })?;
    let (host, since) = ("an unknown machine".to_owned(), "an unknown time".to_owned());
    let unknown = Marked { holder: Holder { program: String::new(), pid: 0, host, since }, namespace: String::new() };
    Ok(is_there.then(|| serde_json::from_slice(&text).unwrap_or(unknown)))
}

/// Returns when an object was written, by the server's clock.
fn written(bucket: &dyn Bucket, key: &str) -> Result<Option<SystemTime>, Error> {
    let first = listing::first(bucket, key)?.filter(|object| object.key == key.as_bytes());
    Ok(first.and_then(|object| object.modified))
}

/// Whether a marker is of a process of this machine that has ended. In another container, a number is another process.
fn has_ended(marked: &Marked) -> bool {
    let here = namespace();
    let is_here = !here.is_empty() && marked.namespace == here && marked.holder.host == Holder::new("").host;
    let pid = i32::try_from(marked.holder.pid).ok().and_then(rustix::process::Pid::from_raw);
    is_here && pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

/// Returns the start of the machine and the namespace of processes; empty if they are unknown.
fn namespace() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").map(|path| path.display().to_string()).unwrap_or_default();
    match (boot.trim(), &*namespace) {
        ("", _) | (_, "") => String::new(),
        (boot, namespace) => format!("{boot} {namespace}"),
    }
}

/// Returns the whole second: no listing is more precise.
fn floored(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
