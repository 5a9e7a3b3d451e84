//! Decides what is deleted, and deletes it.

pub mod guards;
mod item;
mod journal;
mod leftovers;
pub mod marks;
mod options;
pub mod plan;
pub mod probe;
pub mod recover;
mod rescan;
mod restrict;
pub mod room;
pub mod summary;
pub mod sweep;

pub use self::options::CollectOptions;
