//! Random stores, random sequences of commands, and what must hold after each of them.
//!
//! A round makes a store from its seed, and runs the real binary on it: some commands are killed, some are undone from the
//! trash, and now and then a backup is brought back. The kills come after a time, so a round with kills may not end the
//! same twice; everything else does.

pub mod check;
pub mod command;
pub mod process;
pub mod round;
pub mod store;
