//! Human-readable views of a store: listings and space usage. Nothing here decides what is removed, or writes.

pub mod catalog;
pub mod disk_usage;
pub mod overview;
pub mod reclaimable;
pub mod uploads;
pub mod usage;
