//! What a registry writes, and how: its configuration, its layout, its manifests. Pure: nothing is read or written here.

pub mod attached;
pub mod config;
pub mod image;
pub mod layout;
pub mod manifest;
pub mod pattern;
