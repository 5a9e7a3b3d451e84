//! Offline garbage collection for the storage of Docker and OCI registries.
#![deny(missing_docs)]

pub mod config;
pub mod digest;
pub mod error;
pub mod finding;
pub mod inventory;
pub mod layout;
pub mod manifest;
pub mod mark;
pub mod measure;
pub mod monitor;
pub mod plan;
pub mod report;
pub mod storage;
pub mod survey;
pub mod sweep;
