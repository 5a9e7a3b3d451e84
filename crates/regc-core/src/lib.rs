//! Offline garbage collection for the storage of Docker and OCI registries.
//!
//! A registry (distribution/distribution, the `registry` image) never gives disk space back by itself. This library
//! finds out what in its storage a client can still pull, and removes the rest. Looking and removing are apart: a
//! [scan](scan::scan) only reads, a [plan](plan::plan) says what goes, and a [sweep](sweep::sweep) does it.
//!
//! ```
//! use regc_core::registry::config::Config;
//! use regc_core::storage::lock::Holder;
//! use regc_core::monitor::Silent;
//! use regc_core::collect::plan::{Item, plan};
//! use regc_core::storage;
//! use regc_core::scan::{Options, scan};
//! use regc_core::collect::guards::refuse_foreign_metadata;
//! use regc_core::collect::sweep::sweep;
//!
//! # fn main() -> Result<(), regc_core::error::Error> {
//! # let mut registry = regc_testkit::TestRegistry::new();
//! # let image = registry.image("team/app:v1").layers(["base", "old"]).push();
//! # registry.delete("team/app", &image);
//! # registry.image("team/app:v2").layers(["base", "new"]).push();
//! # let directory = registry.on_disk();
//! # let root = directory.path();
//! // The registry's own configuration; the environment is handed in, here an empty one.
//! let text = format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}", root.display());
//! let config = Config::parse(&text, [])?;
//! let options = Options { delete_untagged: true, ..Options::default() };
//!
//! let storage = storage::open(&config)?;
//! // Whoever removes says who he is, and has the store for himself.
//! let lock = storage.lock(&Holder { pid: 1, host: "machine".into(), since: "now".into() })?;
//! refuse_foreign_metadata(&config, &*storage, &options)?;
//! let scan = scan(&*storage, &options, &Silent)?;
//! for finding in &scan.findings {
//!     eprintln!("{}; {}", finding.message(), finding.remedy());
//! }
//!
//! let plan = plan(&scan, &options)?;
//! for item in plan.items() {
//!     if let Item::Blob { digest, bytes } = item {
//!         println!("{digest} gives back {bytes} bytes");
//!     }
//! }
//! let outcome = sweep(&*storage, &lock, &plan, &options, None, &Silent)?;
//! assert_eq!(outcome.removed, plan.totals());
//! # assert_eq!(outcome.removed.blobs, 3);
//! # Ok(())
//! # }
//! ```
//!
//! The registry must be stopped, or read-only, while something is removed.
#![deny(missing_docs)]

pub mod blocked;
pub mod collect;
pub mod digest;
pub mod duration;
pub mod error;
pub mod finding;
pub mod inspect;
pub mod monitor;
pub mod registry;
pub mod repair;
pub mod retention;
pub mod scan;
pub mod storage;
mod threads;
pub mod trash;
pub mod undelete;
pub mod verify;
