//! What a store holds, for people: listings, and where the bytes are. Nothing here decides what is removed, or writes.

pub mod catalog;
pub mod usage;
