//! What a registry writes, and how: its configuration, its layout, its manifests. Pure: nothing is read here but the configuration's file.

pub mod attached;
pub mod config;
pub mod image;
pub mod layout;
pub mod manifest;
pub mod pattern;
