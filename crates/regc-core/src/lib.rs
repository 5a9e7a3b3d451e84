//! Offline garbage collection for the storage of Docker and OCI registries.
//!
//! A registry (distribution/distribution, the `registry` image) never frees disk space by itself. This library
//! determines what clients can still pull from its storage, and deletes the rest.
//!
//! A [`Store`] is opened with the registry's own configuration. A [`Plan`] lists what a collection would delete; a dry
//! run ends there. A [`Session`] holds the store's lock, and carries out a plan:
//!
//! ```
//! use regc_core::{CollectOptions, Config, Disposal, Holder, Silent, Store};
//!
//! # fn main() -> Result<(), regc_core::Error> {
//! # let mut registry = regc_testkit::TestRegistry::new();
//! # let image = registry.image("team/app:v1").layers(["base", "old"]).push();
//! # registry.delete("team/app", &image);
//! # registry.image("team/app:v2").layers(["base", "new"]).push();
//! # let directory = registry.on_disk();
//! # let path = directory.path().join("config.yml");
//! # let text = format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}", directory.path().display());
//! # std::fs::write(&path, text).unwrap();
//! // The registry's own configuration, and the environment, which may override it.
//! let store = Store::open(&Config::from_file(&path, std::env::vars())?)?;
//! // Refuses a registry that takes pushes, and takes the store for this process.
//! let session = store.lock(&Holder::new("my-tool"))?;
//! let plan = session.plan(&CollectOptions::new().delete_untagged(true), &Silent)?;
//! for finding in plan.findings() {
//!     eprintln!("{}; {}", finding.message(), finding.remedy());
//! }
//! println!("{} bytes in {} blobs would be freed", plan.totals().bytes, plan.totals().blobs);
//! let outcome = session.execute(&plan, Disposal::Delete, &Silent)?;
//! assert_eq!(outcome.removed, plan.totals());
//! # assert_eq!(outcome.removed.blobs, 3);
//! # Ok(())
//! # }
//! ```
//!
//! To delete a repository, name it. For tags, images and patterns, see `Store::resolve`. A session refuses to execute a
//! plan that would leave anything named undeleted:
//!
//! ```
//! # use regc_core::{CollectOptions, Config, Disposal, Holder, Silent, Store};
//! # fn main() -> Result<(), regc_core::Error> {
//! # let mut registry = regc_testkit::TestRegistry::new();
//! # registry.image("team/old:v1").layers(["old"]).push();
//! # registry.image("team/app:v2").layers(["new"]).push();
//! # let directory = registry.on_disk();
//! # let store = Store::open(&Config::at_root(directory.path()))?;
//! let session = store.lock(&Holder::new("my-tool"))?;
//! let deletion = store.resolve_repository("team/old", &Silent)?;
//! let plan = session.plan_deletion(deletion, &CollectOptions::new(), &Silent)?;
//! let outcome = session.execute(&plan, Disposal::Trash, &Silent)?;
//! println!("moved to the trash as {:?}, which is emptied by `Session::empty_trash`", outcome.trashed_as);
//! # assert_eq!(outcome.removed.repositories, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Guide
//!
//! | To | use |
//! |---|---|
//! | report what a collection would free | [`Store::plan`], which needs no lock |
//! | keep images that something else uses, as a cluster | [`CollectOptions::also_root`] |
//! | delete a repository, tags or images | [`Store::resolve_repository`] or `Store::resolve` (feature `patterns`), then [`Session::plan_deletion`] |
//! | delete the tags that a policy does not keep | `retention::decide` (feature `retention`), then [`Deletion::tag`] |
//! | undo a deletion | [`Disposal::Trash`] and [`Session::restore`]; [`Store::deleted`] and [`Session::undelete`] after a DELETE by the API |
//! | list images, and where the bytes are | [`Store::list`], [`Store::usage`] |
//! | check a store | [`Store::verify`], [`Store::verify_content`] |
//! | repair it | [`Session::verify`], [`Session::plan_repair`], [`Session::repair`] |
//! | remove from the registry's cache in Redis what was deleted | `Store::evict` (feature `redis`) |
//! | read only new manifests in the next run | [`Store::manifest_cache`] and [`Session::remember`] |
//! | show progress, and stop | a [`Monitor`] |
//! | use other storage | [`storage`], and its `conformance` checks; then [`Store::with_storage`] |
//!
//! **Safety.** The steps of a safe run cannot be skipped. [`Store::lock`] refuses a registry that accepts pushes, and a
//! store that another process has locked. [`Session::plan`] first puts back what came into use while a run moved it to
//! the trash, and refuses stores that look half-mounted, or that an external database describes. A session carries out
//! only plans that it has made since it last changed the store, and of collections and deletions only the latest.
//! [`Session::execute`] rescans, and deletes links before content.
//!
//! **What is freed.** [`Totals::all_bytes`](Totals) of [`Outcome::removed`], if it was deleted.
//! [`Session::empty_trash`] frees what was moved to the trash. Deleting a file that has other hard links frees nothing:
//! see [`Summary`].
//!
//! **Errors.** An [`Error`] says why a call did nothing. Failures during a deletion are in the result of the call: see
//! [`Outcome::is_complete`].
//!
//! **Features.** By default, stores on a file system can be collected, listed, checked and repaired. `patterns` adds
//! globs on names; `retention` adds rules for tags; `s3`, `gcs` and `azure` add stores in buckets; `redis` adds the
//! registry's cache in Redis; `conformance` adds checks for your own storage.
//!
//! **Threads.** Every call is synchronous, and uses as many threads as [`Store::jobs`] sets; only
//! [`Store::verify_content`] has its own number. A monitor can watch a call, and stop it from another thread.
//!
//! The stages behind a store are in [`stages`], for tools that need only one of them. Each stage uses only those before
//! it.
#![deny(missing_docs)]

mod blocked;
mod collect;
#[cfg(feature = "redis")]
pub mod descriptor_cache;
mod digest;
pub mod duration;
mod error;
pub mod finding;
pub mod inspect;
mod monitor;
pub mod registry;
pub mod repair;
#[cfg(feature = "retention")]
pub mod retention;
mod scan;
pub mod storage;
mod store;
mod sync;
mod threads;
pub mod trash;
pub mod undelete;
pub mod verify;
mod walk;

pub use self::blocked::{Blocked, Cause, Missing, MissingReason, Named};
pub use self::collect::CollectOptions;
pub use self::collect::marks::Mark;
pub use self::collect::plan::{Item, Plan, RepositoryTotals, Totals};
pub use self::collect::summary::Summary;
pub use self::collect::sweep::Outcome;
pub use self::digest::{Algorithm, Digest, InvalidDigest};
pub use self::error::{Error, Refusal};
pub use self::finding::Finding;
pub use self::monitor::{Monitor, Phase, Silent};
pub use self::registry::config::Config;
pub use self::scan::deletion::{Deletion, DeletionIn};
pub use self::storage::lock::Holder;
pub use self::store::{DEFAULT_JOBS, Disposal, Probed, Restore, Session, Store};
pub use self::threads::MAX_JOBS;

/// The stages, for callers that call them one by one. A [`Store`] calls them in the only safe order, and these modules
/// may change more often than it does. Functions that change a storage require it locked. Only a [`Session`] checks
/// that a plan is for that storage and was made after it was locked.
pub mod stages {
    /// Decides what is deleted, and deletes it.
    pub mod collect {
        pub use crate::collect::{guards, plan, probe, recover, room, summary, sweep};
    }

    /// What is in a store, and what of it is live. Nothing is changed.
    pub mod scan {
        pub use crate::scan::{
            KnownManifests, Leftovers, Names, Options, Scan, deletion, inventory, mark, resolve, scan, sizes,
        };
    }

    /// Lists, restores and deletes what was moved to the trash.
    pub mod trash {
        pub use crate::trash::empty::empty;
        pub use crate::trash::journal::read_journal;
        pub use crate::trash::listing::{list, runs};
        pub use crate::trash::restore::restore;
    }

    /// Plans a repair, and carries it out.
    pub mod repair {
        pub use crate::repair::apply::{apply, check};
        pub use crate::repair::plan::plan;
    }

    /// Finds what was deleted, and links it again.
    pub mod undelete {
        pub use crate::undelete::apply::{apply, check};
        pub use crate::undelete::find::find;
        pub use crate::undelete::plan::plan;
    }
}
