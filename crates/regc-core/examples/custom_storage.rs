//! A custom storage: it counts the calls that a dry run makes to the storage below it. It has no trash: nothing can be
//! moved in it.
//!
//! To test a custom storage, enable the feature `conformance`: see `regc_core::storage::conformance`.
//!
//!     cargo run -p regc-core --example custom_storage -- /etc/docker/registry/config.yml

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use regc_core::storage::lock::Lock;
use regc_core::storage::{self, Content, DeleteStorage, Entry, Metadata, PosixStorage, ReadStorage, Removal, Removing};
use regc_core::{CollectOptions, Config, Holder, Silent, Store};

type Result<T> = std::result::Result<T, regc_core::Error>;

/// Counts reads, and forwards all calls.
struct Counting {
    below: Box<dyn DeleteStorage>,
    calls: Arc<AtomicU64>,
}

impl Counting {
    fn count(&self) -> &dyn DeleteStorage {
        self.calls.fetch_add(1, Relaxed);
        &*self.below
    }
}

impl ReadStorage for Counting {
    fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool> {
        self.count().list(directory, visit)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Content>> {
        self.count().read(key, limit)
    }

    fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool> {
        self.count().read_in_parts(key, visit)
    }

    fn stat(&self, key: &str) -> Result<Option<Metadata>> {
        self.count().stat(key)
    }

    fn as_posix(&self) -> Option<&dyn PosixStorage> {
        self.below.as_posix()
    }
}

impl DeleteStorage for Counting {
    fn remove(&self, keys: &[String], how: &Removing<'_>) -> Vec<Removal> {
        self.below.remove(keys, how)
    }

    fn remove_empty_directories(&self, directories: &[String], since: Option<SystemTime>) -> Vec<Result<()>> {
        self.below.remove_empty_directories(directories, since)
    }

    fn lock(&self, holder: &Holder) -> Result<Lock> {
        self.below.lock(holder)
    }

    fn check_removable(&self, directory: &str, to_trash: bool) -> Result<()> {
        self.below.check_removable(directory, to_trash)
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("give the path of the registry's config.yml")?;
    let config = Config::from_file(path, std::env::vars())?;
    let calls = Arc::new(AtomicU64::new(0));
    let storage = Counting { below: storage::open(&config)?, calls: calls.clone() };
    let plan = Store::with_storage(&config, Box::new(storage)).plan(&CollectOptions::new(), &Silent)?;
    println!("{} blobs to delete, found with {} calls", plan.totals().blobs, calls.load(Relaxed));
    Ok(())
}
