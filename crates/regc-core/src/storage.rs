//! Where a registry's files are: the interface of a storage, and the backends.

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
// Each of them uses a part of what they share.
#[cfg_attr(not(all(feature = "s3", feature = "gcs", feature = "azure")), allow(dead_code))]
pub mod bucket;
#[cfg(feature = "conformance")]
pub mod conformance;
mod contract;
pub mod filesystem;
pub(crate) mod hash;
mod listing;
pub mod lock;
pub(crate) mod manifests;
pub mod memory;
mod pointers;

pub use self::contract::{
    Allocated, Content, DeleteStorage, Entry, EntryKind, Hashes, Metadata, Moved, Object, Owner, PosixMetadata,
    PosixStorage, ReadStorage, Removal, Removing, TrashStorage,
};
pub(crate) use self::listing::{
    Below, below, below_each, device, directories, each_directory, each_directory_of_digest, real_directory,
    symlink_between,
};
use crate::error::Error;
use crate::registry::config::{Config, Driver};

/// Opens the storage that `config` describes.
///
/// Fails if its root directory is absent, and for drivers that are not supported: `inmemory`, which keeps nothing,
/// and everything but `filesystem` and, with the features of these names, `s3`, `gcs` and `azure`.
pub fn open(config: &Config) -> Result<Box<dyn DeleteStorage>, Error> {
    open_driver(&config.driver).map_err(|error| match (&config.driver_variable, error) {
        (Some(name), error @ (Error::RootMissing(_) | Error::RootNotDirectory(_) | Error::Config(_))) => {
            Error::Environment { name: name.clone(), reason: error.to_string() }
        }
        (_, error) => error,
    })
}

fn open_driver(driver: &Driver) -> Result<Box<dyn DeleteStorage>, Error> {
    match driver {
        Driver::Filesystem { root } => Ok(Box::new(filesystem::FilesystemStorage::open(root)?)),
        #[cfg(feature = "s3")]
        Driver::S3(s3) => Ok(Box::new(bucket::BucketStorage::s3(s3)?)),
        #[cfg(feature = "gcs")]
        Driver::Gcs(gcs) => Ok(Box::new(bucket::BucketStorage::gcs(gcs)?)),
        #[cfg(feature = "azure")]
        Driver::Azure(azure) => Ok(Box::new(bucket::BucketStorage::azure(azure)?)),
        #[cfg(not(feature = "s3"))]
        Driver::S3(s3) => Err(without_support(s3)),
        #[cfg(not(feature = "gcs"))]
        Driver::Gcs(gcs) => Err(without_support(gcs)),
        #[cfg(not(feature = "azure"))]
        Driver::Azure(azure) => Err(without_support(azure)),
        Driver::InMemory => Err(Error::Config(
            "storage is `inmemory`: the registry keeps nothing when it stops, so there is nothing to collect".into(),
        )),
        Driver::Other(name) => Err(Error::Config(format!(
            "the storage driver `{name}` is not supported; regc reads `filesystem`, `s3`, `gcs` and `azure`"
        ))),
    }
}

#[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
fn without_support(store: impl std::fmt::Display) -> Error {
    Error::Config(format!("this program was built without support for {store}"))
}
