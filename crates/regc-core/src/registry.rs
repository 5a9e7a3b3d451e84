//! What a registry writes, and how: its configuration, layout and manifests. Nothing here does I/O except for reading
//! the configuration file.

pub mod attached;
pub mod config;
pub mod image;
pub mod layout;
pub mod manifest;
#[cfg(feature = "patterns")]
pub mod pattern;
