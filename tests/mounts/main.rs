//! regc on file systems that are mounted for a test: full ones, and several in one store. Only root may mount.
//!
//!     cargo test -p regc-cli --test mounts

#[path = "../common/mod.rs"]
mod common;

mod full;
mod mounted;
mod several;
