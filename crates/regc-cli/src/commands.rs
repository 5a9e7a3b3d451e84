//! The commands, one file each: its arguments with their help, then what it does.

pub mod du;
pub mod gc;
pub mod ls;
pub mod trash;
